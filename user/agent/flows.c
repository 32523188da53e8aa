// SPDX-License-Identifier: Apache-2.0
/*
 * Flows: from their first record to their last, one row each. A flow that ends within a second has
 * its one row then; one that lasts has a row when it is known to last, and another at its end. A
 * denial is a row at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "base/addr.h"
#include "base/cleanup.h"

#define BUCKETS 65536

int agent_flows_init(struct agent *a)
{
	a->flows = calloc(AGENT_FLOWS + 1, sizeof(*a->flows));
	a->flow_buckets = calloc(BUCKETS, sizeof(*a->flow_buckets));
	return a->flows && a->flow_buckets ? 0 : -ENOMEM;
}

void agent_flows_done(struct agent *a)
{
	uint32_t i;

	for (i = 1; a->flows && i <= a->flow_fresh; i++) {
		free(a->flows[i].dns);
		free(a->flows[i].sni);
	}
	free(a->flows);
	free(a->flow_buckets);
}

static uint32_t *bucket(struct agent *a, uint64_t cookie)
{
	return &a->flow_buckets[(cookie * 0x9e3779b97f4a7c15ULL) >> 48];
}

struct agent_flow *agent_flow_find(struct agent *a, uint64_t cookie)
{
	uint32_t i;

	for (i = *bucket(a, cookie); i; i = a->flows[i].chain)
		if (a->flows[i].cookie == cookie)
			return &a->flows[i];
	return NULL;
}

static void unlink_age(struct agent *a, struct agent_flow *f)
{
	if (&a->flows[a->flow_late] == f)
		a->flow_late = f->next;
	if (f->prev)
		a->flows[f->prev].next = f->next;
	else
		a->flow_oldest = f->next;
	if (f->next)
		a->flows[f->next].prev = f->prev;
	else
		a->flow_newest = f->prev;
}

/* The kernel refused a request on it, and sight did not say so. */
static void unseen_request(struct agent *a, const struct agent_flow *f)
{
	struct agent_denial d = { .flow = f, .count = 1, .last = a->now };

	agent_denial_class(a, &d);
	agent_alert_denial(a, &d);
}

static void forget(struct agent *a, struct agent_flow *f)
{
	uint32_t self = (uint32_t)(f - a->flows), *p = bucket(a, f->cookie);

	if (f->owes)
		unseen_request(a, f);
	while (*p != self)
		p = &a->flows[*p].chain;
	*p = f->chain;
	unlink_age(a, f);
	free(f->dns);
	free(f->sni);
	memset(f, 0, sizeof(*f));
	f->next = a->flow_free; /* the free list runs through next */
	a->flow_free = self;
}

/* In the order of the struct, so that anybody can decide again. */
void agent_put_wire(struct fence_json *j, const uint8_t addr[16], uint16_t port)
{
	char text[FENCE_ADDR_TEXT];

	if (!port)
		return;
	fence_json_str(j, "wire_addr", fence_addr_text(addr, text));
	fence_json_int(j, "wire_port", port);
}

void agent_put_facts(struct fence_json *j, const struct fence_facts *f)
{
	const uint8_t v[] = { f->at,   f->flags,  f->proto, f->addr,
			      f->name, f->stream, f->form,  f->state };
	size_t i;

	fence_json_array(j, "facts");
	for (i = 0; i < sizeof(v); i++)
		fence_json_int(j, NULL, v[i]);
	fence_json_array_end(j);
}

const char *agent_proto_name(uint8_t proto)
{
	return proto == FENCE_IPPROTO_UDP ? "udp" : proto == FENCE_IPPROTO_TCP ? "tcp" : "other";
}

/* Write the flow's row. `state`: "open", "closed", or "lost" when its end was not seen. */
static void flow_row(struct agent *a, struct agent_flow *f, const char *state, uint64_t end,
		     uint64_t tx, uint64_t rx, int shared)
{
	char addr[FENCE_ADDR_TEXT];
	struct fence_json j;
	uint64_t tainted;
	int64_t seq;

	agent_row(a, &j);
	fence_json_str(&j, "action", fence_action_name(f->action));
	fence_json_str(&j, "addr", fence_addr_text(f->addr, addr));
	fence_json_int(&j, "bytes_in", (int64_t)rx);
	fence_json_int(&j, "bytes_out", (int64_t)tx);
	fence_json_int(&j, "cookie", (int64_t)f->cookie);
	if (f->dns) {
		fence_json_str(&j, "dns", f->dns);
		fence_json_str(&j, "dns_by", f->dns_machine ? "machine" : "process");
	}
	if (end)
		fence_json_int(&j, "end", agent_us(a, end));
	fence_json_id(&j, "exec", f->exec);
	if (f->existing)
		fence_json_bool(&j, "existing", 1);
	if (f->facts.flags & FENCE_F_CONFINED && !f->untold)
		agent_put_facts(&j, &f->facts);
	fence_json_str(&j, "grade", f->sni ? "B" : f->dns ? "C" : "D");
	if (f->rule < a->policy->nrules && a->policy->rules[f->rule].flags & FENCE_RULE_OWN)
		fence_json_bool(&j, "own", 1);
	fence_json_int(&j, "pid", f->tgid);
	if (end && agent_sight_watches(a, f)) {
		fence_json_int(&j, "plain_in", (int64_t)f->plain[0]);
		fence_json_int(&j, "plain_out", (int64_t)f->plain[1]);
	}
	fence_json_int(&j, "port", f->port);
	fence_json_str(&j, "proto", agent_proto_name(f->proto));
	fence_json_str(&j, "reason", fence_reason_name(f->reason));
	if (f->rule < a->policy->nrules)
		fence_json_str(&j, "rule", a->policy->rules[f->rule].path);
	if (f->session)
		fence_json_id(&j, "session", f->session);
	if (shared)
		fence_json_bool(&j, "shared", 1);
	if (f->sni)
		fence_json_str(&j, "sni", f->sni);
	fence_json_int(&j, "start", agent_us(a, f->opened));
	fence_json_str(&j, "state", state);
	tainted = agent_exec_tainted(a, f->exec);
	if (tainted)
		fence_json_int(&j, "tainted", agent_us(a, tainted));
	if (f->target)
		fence_json_int(&j, "target_port", f->target);
	if (f->session)
		fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, f->tool));
	if (f->uid != ~0u)
		fence_json_int(&j, "uid", f->uid);
	agent_put_wire(&j, f->wire, f->wire_port);
	seq = agent_row_end(a, &j, "flow");
	if (tainted && f->opened >= tainted) /* else its requests say whether it matters */
		agent_sight_tainted(a, f);
	f->logged = 1;
	agent_show_flow(a, f, seq, state, tx, rx);
}

/* A slot: free, fresh, or the oldest flow's, which is written down as it is. */
static struct agent_flow *slot(struct agent *a)
{
	struct agent_flow *f;
	uint32_t i;

	if (!a->flow_free && a->flow_fresh < AGENT_FLOWS)
		return &a->flows[++a->flow_fresh];
	if (!a->flow_free) {
		f = &a->flows[a->flow_oldest];
		if (!f->logged)
			flow_row(a, f, "lost", 0, 0, 0, 0);
		forget(a, f);
	}
	i = a->flow_free;
	a->flow_free = a->flows[i].next;
	return &a->flows[i];
}

/*
 * The name that DNS gave for the address: to the program, to one it descends from, or to anybody.
 */
void agent_flow_host(struct agent *a, struct agent_flow *f)
{
	const char *host = agent_names_find(a->names, f->exec, f->addr);
	struct agent_exec *e = agent_exec_find(a, f->exec);
	int hops;

	for (hops = 0; !host && e && hops < 4; hops++) {
		host = agent_names_find(a->names, e->parent_id, f->addr);
		e = agent_exec_find(a, e->parent_id);
	}
	if (!host) {
		host = agent_names_find(a->names, 0, f->addr);
		f->dns_machine = 1;
	}
	f->dns = host ? strdup(host) : NULL;
}

void agent_flow_fill(struct agent_flow *f, const struct fence_rec_flow *r)
{
	memset(f, 0, sizeof(*f));
	f->cookie = r->cookie;
	f->exec = r->exec;
	f->session = r->session;
	f->opened = r->h.time;
	memcpy(f->addr, r->addr, 16);
	f->tgid = r->tgid;
	f->uid = r->uid;
	f->rule = r->rule;
	f->port = r->port;
	f->tool = r->tool;
	f->proto = r->facts.proto;
	f->action = r->action;
	f->reason = r->reason;
	f->facts = r->facts;
}

static struct agent_flow *insert(struct agent *a, const struct fence_rec_flow *r)
{
	struct agent_flow *f = agent_flow_find(a, r->cookie);
	uint32_t self, *b;

	if (f) { /* a datagram socket's next address, or a connect that was tried again */
		if (!f->logged)
			flow_row(a, f, "closed", r->h.time, 0, 0, 1);
		forget(a, f);
	}
	f = slot(a);
	self = (uint32_t)(f - a->flows);
	agent_flow_fill(f, r);
	f->existing = r->facts.at == FENCE_AT_NONE;
	b = bucket(a, f->cookie);
	f->chain = *b;
	*b = self;
	f->prev = a->flow_newest;
	if (a->flow_newest)
		a->flows[a->flow_newest].next = self;
	else
		a->flow_oldest = self;
	a->flow_newest = self;
	if (!a->flow_late)
		a->flow_late = self;
	agent_flow_host(a, f);
	return f;
}

void agent_identify(struct agent *a, uint64_t exec)
{
	struct agent_exec *e = agent_exec_find(a, exec);

	if (e && !e->logged)
		agent_exec_log(a, e);
}

void agent_flow_open(struct agent *a, const struct fence_rec_flow *r)
{
	struct agent_session *s = agent_session_get(a, r->session);

	agent_identify(a, r->exec);
	insert(a, r);
	a->totals.flows++;
	if (s)
		s->flows++;
}

void agent_flow_name(struct agent *a, const struct fence_rec_flow *r)
{
	struct agent_flow *f = agent_flow_find(a, r->cookie);

	if (!f)
		return;
	if (r->name_len && (r->reason != FENCE_R_PROXY_OK || !f->sni)) {
		free(f->sni);
		f->sni = strndup(r->name, r->name_len);
	}
	if (r->detail)
		f->target = r->detail;
	if (f->facts.flags & r->facts.flags & FENCE_F_CONFINED) { /* not what is but watched */
		f->facts = r->facts;
		f->reason = r->reason;
		f->rule = r->rule;
	}
}

void agent_flow_close(struct agent *a, const struct fence_rec_close *r)
{
	struct agent_flow *f = agent_flow_find(a, r->cookie);
	struct agent_session *s;

	if (!f)
		return;
	if (r->why && f->action == FENCE_ALLOW) { /* its denial found no room */
		f->action = FENCE_DENY;
		f->reason = r->why;
		f->untold = 1;
	}
	s = agent_session_get(a, f->session);
	if (s) {
		s->tx += r->tx;
		s->rx += r->rx;
	}
	flow_row(a, f, "closed", r->h.time, r->tx, r->rx, r->shared);
	agent_sight_over(a, f, r->tx);
	forget(a, f);
}

void agent_flows_turn(struct agent *a, int final)
{
	struct agent_flow *f;

	while (a->flow_late) {
		f = &a->flows[a->flow_late];
		if (!final && a->now - f->opened < AGENT_LATE_NS)
			return;
		a->flow_late = f->next;
		if (!f->logged)
			flow_row(a, f, "open", 0, 0, 0, 0);
	}
}

/* The policy's word on a flow, as far as the agent knows it: the name it gave, or its address. */
static int forbidden(const struct agent *a, const struct agent_flow *f, uint32_t *rule)
{
	struct fence_query q = { .tool = f->tool,
				 .host = f->sni ? f->sni : f->dns,
				 .port = f->port,
				 .proto = f->proto };
	char addr[FENCE_ADDR_TEXT];
	struct fence_answer_to to;

	if (f->facts.addr == FENCE_ADDR_LISTED || f->facts.addr == FENCE_ADDR_LOOPBACK || !q.host)
		q.host = fence_addr_text(f->addr, addr);
	if (f->tool > a->policy->ntools)
		return 1;
	q.has_addr = f->facts.addr == FENCE_ADDR_NAMED; /* not a proxy's */
	memcpy(q.addr, f->addr, 16);
	fence_policy_decide(a->policy, &q, &to);
	*rule = to.rule;
	return to.verdict.action == FENCE_DENY;
}

/* Is its session confined: neither refuted nor but seen? */
static int is_held(struct agent *a, const struct agent_flow *f)
{
	const struct agent_session *s = agent_session_find(a, f->session);

	return !agent_session_loose(a, f->session, f->tool) && !(s && s->refuted);
}

void agent_flows_judge(struct agent *a, int settle)
{
	struct agent_flow *f;
	uint32_t i, rule = ~0u;

	for (i = a->flow_oldest; i; i = f->next) {
		f = &a->flows[i];
		if (!f->session || !f->tool || f->proto != FENCE_IPPROTO_TCP || !is_held(a, f))
			continue;
		if (forbidden(a, f, &rule))
			fence_socket_destroy(f->cookie,
					     fence_addr_is_v4(f->addr) ? AF_INET : AF_INET6,
					     f->port, f->tgid);
		if (settle)
			f->rule = rule;
	}
}

/* By its address alone: a name that was given before the session began was given unjudged. */
int agent_flow_joins(struct agent *a, const struct fence_recon_socket *s)
{
	struct agent_flow *f = agent_flow_find(a, s->cookie);
	struct fence_query q = { .tool = s->tool, .port = s->port, .proto = s->proto };
	char addr[FENCE_ADDR_TEXT];
	struct fence_answer_to to;

	if (f) {
		f->session = s->session;
		f->tool = s->tool;
	}
	if (!s->port) /* it listens */
		return !a->policy->monitor;
	q.host = fence_addr_text(s->addr, addr);
	fence_policy_decide(a->policy, &q, &to);
	return to.verdict.action == FENCE_DENY;
}
