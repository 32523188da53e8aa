// SPDX-License-Identifier: Apache-2.0
/*
 * Plaintext in, rows out: a request's row (method, authority, the path's shape, sizes, status) and
 * one for each thing that it did to the org. A request whose authority is not what its connection
 * was let through for ends its connection. No value, token or body gets into a row.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <sys/random.h>
#include <sys/socket.h>

#include "agent/sight.h"
#include "base/addr.h"
#include "crm/action.h"
#include "crm/values.h"

/* Which witness disagrees. */
#define WRONG_AUTHORITY 0x1 /* of a request, with the server name of its connection */
#define WRONG_HOST 0x2 /* the policy does not allow the authority */
#define WRONG_TENANT 0x4 /* the credential is of another org than the policy's */
#define WRONG_TOKEN 0x8 /* a Salesforce credential goes to a host that is not the org's */

static const struct {
	uint8_t bit;
	enum fence_alert alert; /* of WRONG_HOST: as the host is */
	const char *sentence;
} wrongs[] = {
	{ WRONG_TOKEN, FENCE_ALERT_E014, "a Salesforce credential goes to" },
	{ WRONG_TENANT, FENCE_ALERT_E003, "the credential of another org is used at" },
	{ WRONG_HOST, FENCE_ALERT_E001, "a request asks for a host that is not allowed:" },
	{ WRONG_AUTHORITY, FENCE_ALERT_E007,
	  "a request asks for another host than its connection was let through for:" },
};

static void on_request(void *ctx, const struct fence_exchange *x);
static void object(struct agent *a, struct sight_conn *c);
static void waiting_judge(struct sight_conn *c);
static void on_message(void *ctx, struct fence_exchange *x, int out, const char *data, size_t len);
static void on_done(void *ctx, struct fence_exchange *x);

int sight_hooks(struct sight *s)
{
	s->room = SIGHT_ROOM;
	s->hooks = (struct fence_http_hooks){ .request = on_request,
					      .message = on_message,
					      .done = on_done,
					      .room = &s->room,
					      .key = s->credentials };
	return sight_values(s);
}

static struct sight_conn **conn_at(struct sight *s, uint64_t id)
{
	struct sight_conn **at = &s->conns[(id >> 4) % SIGHT_BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->chain;
	return at;
}

/* What of a connection was not seen, and whether the rest could be read on from there. */
static void missed_row(struct sight_conn *c)
{
	struct agent *a = c->agent;
	struct fence_json j;

	agent_row(a, &j);
	fence_json_int(&j, "cookie", (int64_t)c->cookie);
	fence_json_bool(&j, "desynchronised", c->http && fence_http_lost(c->http));
	fence_json_id(&j, "exec", c->exec);
	fence_json_int(&j, "missed_in", (int64_t)c->missed[0]);
	fence_json_int(&j, "missed_out", (int64_t)c->missed[1]);
	fence_json_int(&j, "pid", c->tgid);
	fence_json_id(&j, "session", c->session);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, c->tool));
	agent_row_end(a, &j, "stream");
}

static void conn_done(struct sight *s, struct sight_conn **at)
{
	struct sight_conn *c = *at;

	if (c->missed[0] || c->missed[1])
		missed_row(c);

	waiting_judge(c);
	if (c->owed)
		object(c->agent, c);
	*at = c->chain;
	s->nconns--;
	s->unfollowed += c->http && (fence_http_lost(c->http) ||
				     fence_http_version(c->http) == FENCE_HTTP_OPAQUE);
	fence_http_free(c->http);
	free(c);
}

void sight_forget(struct agent *a, uint64_t session)
{
	struct sight *s = a->sight;
	unsigned int i;

	for (i = 0; i < SIGHT_BUCKETS; i++) {
		struct sight_conn **at = &s->conns[i];

		while (*at)
			if ((*at)->session == session)
				conn_done(s, at);
			else
				at = &(*at)->chain;
	}
	for (i = 0; i < s->nusers; i++)
		if (s->users[i].session == session)
			s->users[i--] = s->users[--s->nusers];
}

/* What of its flow was seen inside. */
static void count(struct sight_conn *c, int out)
{
	struct agent_flow *f = agent_flow_find(c->agent, c->cookie);

	if (!f)
		return;
	f->plain[out] += c->next[out] - c->counted[out];
	c->counted[out] = c->next[out];
}

/* What the flow table knows of its socket. */
static void map_conn(struct agent *a, struct sight_conn *c, const struct fence_sight_rec *r)
{
	struct agent_flow *f;

	if (c->cookie != r->cookie) /* its records came before this one */
		fence_kernel_drain(a->kernel, agent_record, a, &a->totals.bad);
	f = agent_flow_find(a, r->cookie);
	c->cookie = r->cookie;
	c->how = r->how;
	if (f && (f->sni || f->dns))
		snprintf(c->sni, sizeof(c->sni), "%s", f->sni ? f->sni : f->dns);
	count(c, 0);
	count(c, 1);
	if (f)
		waiting_judge(c);
	if (c->owed)
		object(a, c);
}

static struct sight_conn *conn_new(struct agent *a, struct sight_conn **at,
				   const struct fence_sight_rec *r)
{
	struct sight_conn *c;

	if (a->sight->nconns == SIGHT_CONNS) {
		a->sight->unfollowed++;
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = r->conn;
	c->session = r->session;
	c->exec = r->exec;
	c->tgid = r->tgid;
	c->tool = r->tool;
	c->agent = a;
	*at = c;
	a->sight->nconns++;
	return c;
}

static void missed(struct sight_conn *c, int out, uint64_t n)
{
	c->missed[out] += n;
	fence_http_gap(c->http, out, n);
}

void sight_record(void *ctx, const struct fence_sight_rec *r)
{
	struct agent *a = ctx;
	struct sight_conn **at = conn_at(a->sight, r->conn), *c = *at;
	uint64_t *next;

	a->sight->read = r->time;
	if (!c)
		c = conn_new(a, at, r);
	if (!c)
		return;
	if (r->cookie && (c->cookie != r->cookie || c->how != r->how || !c->sni[0]))
		map_conn(a, c, r);
	if (r->kind == FENCE_SIGHT_END) {
		conn_done(a->sight, at);
		return;
	}
	c->time = r->time;
	if (r->kind == FENCE_SIGHT_TAINT)
		sight_confines(c);
	if (r->kind != FENCE_SIGHT_DATA)
		return;
	if (!c->http)
		c->http = fence_http_new(&a->sight->hooks, c, 0);
	if (!c->http)
		return;
	next = &c->next[r->out];
	if (r->offset > *next)
		missed(c, r->out, r->offset - *next);
	*next = r->offset + r->len;
	if (r->out)
		c->before = r->offset;
	fence_http_feed(c->http, r->out, r->data, r->len);
	fence_http_pass(c->http, r->out, r->after);
	*next += r->after;
	if (r->part == FENCE_SIGHT_CALL - 1 && r->call > FENCE_SIGHT_CALL * FENCE_SIGHT_CHUNK) {
		missed(c, r->out, r->call - FENCE_SIGHT_CALL * FENCE_SIGHT_CHUNK);
		*next += r->call - FENCE_SIGHT_CALL * FENCE_SIGHT_CHUNK;
	}
	count(c, r->out);
}

/* ":authority" or Host without its port, lower case. */
static void host_of(const struct fence_exchange *x, char *out, size_t size)
{
	const char *at = x->authority, *end = at[0] == '[' ? strchr(at, ']') : strrchr(at, ':');
	size_t n = end ? (size_t)(end - at) : strlen(at), i;

	snprintf(out, size, "%.*s", (int)n, at);
	for (i = 0; out[i]; i++)
		out[i] = (char)tolower((unsigned char)out[i]);
	if (i && out[i - 1] == '.')
		out[i - 1] = 0;
}

static int is_own(const struct fence_policy *p, const char *host)
{
	enum fence_host_class c = fence_crm_classify(host, &p->org);

	/* a host of every org is this one's for whom a credential has to be of it */
	return c == FENCE_HOST_OWN || fence_crm_is_login(host) ||
	       (c == FENCE_HOST_SHARED && p->org.nids);
}

static int is_own_tenant(const struct fence_policy *p, const char *org)
{
	size_t i;

	for (i = 0; i < p->org.nids; i++)
		if (!strncmp(p->org.ids[i], org, 15))
			return 1;
	return !p->org.nids;
}

/* The port that what is said on the flow is for: behind a proxy the one that it was asked for. */
static uint16_t port_of(const struct agent_flow *f)
{
	return f->target ? f->target : f->facts.addr == FENCE_ADDR_PROXY ? 443 : f->port;
}

/* Of a connection whose flow nobody knows, nor ever will: is the host allowed on no port at all? */
static uint8_t is_refused_anywhere(const struct sight_conn *c, const char *host)
{
	const struct fence_policy *p = c->agent->policy;
	size_t i;

	for (i = 0; i < p->nnets; i++) /* it may be at an address that is listed itself */
		if ((p->nets[i].key.tool & ~FENCE_BANK) == c->tool)
			return 0;
	return !p->tools[c->tool - 1].nlocal &&
	       fence_place_of_host(host, &p->org) != FENCE_PLACE_ADDRESS &&
	       !fence_policy_find(p, c->tool, host);
}

/* Does the policy keep this connection's tool from asking for the host? */
static uint8_t is_refused(const struct sight_conn *c, const char *host)
{
	const struct fence_policy *p = c->agent->policy;
	const struct agent_flow *f = agent_flow_find(c->agent, c->cookie);
	struct fence_query q = { .tool = c->tool, .host = host, .proto = FENCE_IPPROTO_TCP };
	struct fence_answer_to to;

	if (!host[0] || c->tool > p->ntools)
		return 0;
	if (!f)
		return is_refused_anywhere(c, host);
	if (f->facts.addr == FENCE_ADDR_LISTED || f->facts.addr == FENCE_ADDR_LOOPBACK)
		return 0;
	q.port = port_of(f);
	fence_policy_decide(p, &q, &to);
	return to.verdict.action != FENCE_ALLOW;
}

int sight_may_end(const struct sight_conn *c)
{
	const struct fence_policy *p = c->agent->policy;
	size_t i;

	if (p->monitor)
		return 0;
	if (!agent_session_loose(c->agent, c->session, c->tool) || c->listed)
		return 1;
	for (i = 0; c->extension[0] && i < p->nextensions; i++)
		if (!strcmp(p->extensions[i], c->extension))
			return 1;
	for (i = 0; c->extension[0] && i < p->naddons; i++)
		if (!strcmp(p->addons[i], c->extension))
			return 1;
	return 0;
}

static const struct sight_host *host_get(struct sight_conn *c, const struct fence_exchange *x)
{
	struct sight_host *h = &c->host;
	char name[sizeof(h->name)];

	host_of(x, name, sizeof(name));
	if (h->generation == c->agent->generation && h->cookie == c->cookie &&
	    !strcmp(h->name, name))
		return h;
	memcpy(h->name, name, sizeof(h->name));
	h->generation = c->agent->generation;
	h->cookie = c->cookie;
	h->own = (uint8_t)is_own(c->agent->policy, name);
	h->refused = is_refused(c, name);
	return h;
}

/* Every witness of where this request goes, held against the others. */
static uint8_t disagree(const struct sight_conn *c, const struct fence_exchange *x,
			const struct sight_host *h)
{
	const struct fence_policy *p = c->agent->policy;
	uint8_t wrong = 0;

	if (h->name[0] && c->sni[0] && strcasecmp(h->name, c->sni))
		wrong |= WRONG_AUTHORITY;
	if (h->refused)
		wrong |= WRONG_HOST;
	if (x->org[0] && !h->own)
		wrong |= WRONG_TOKEN;
	else if (x->org[0] && !is_own_tenant(p, x->org))
		wrong |= WRONG_TENANT;
	return wrong;
}

int sight_held(const struct agent_flow *f)
{
	return f && f->facts.at == FENCE_AT_REQUEST && f->action == FENCE_DENY;
}

static void alert(struct agent *a, struct sight_conn *c, const char *org, const char *host,
		  uint8_t bit, int cut, uint64_t took)
{
	struct agent_flow *f = agent_flow_find(a, c->cookie);
	int held = sight_held(f);
	struct agent_alert al = { .authority = host,
				  .cookie = c->cookie,
				  .cut_us = cut && !held ? took : 0,
				  .exec = c->exec,
				  .extension = c->extension,
				  .left = held ? c->before : c->next[1], /* written, and not held */
				  .org = org,
				  .pid = c->tgid,
				  .session = c->session,
				  .sni = c->sni,
				  .tool = c->tool,
				  .sight = 1,
				  .cut = (uint8_t)cut,
				  .held = (uint8_t)held };
	size_t i;

	for (i = 0; wrongs[i].bit != bit; i++)
		;
	al.alert = bit == WRONG_HOST
			   ? fence_alert_of_place(fence_place_of_host(host, &a->policy->org))
			   : wrongs[i].alert;
	agent_alert_raise(a, &al);
	if (f)
		f->owes = 0;
	agent_show_note(a, "%s %s (%s, pid %u)%s", wrongs[i].sentence, host,
			fence_alert_kind(al.alert)->rule, c->tgid,
			held  ? "; it did not leave"
			: cut ? "; the connection was ended"
			      : "");
}

/*
 * Each finding of a connection is told once: by what is wrong, host and org. 1: now. One that is
 * not among the last of them is told again: who asks for many hosts shall not hide one behind them.
 */
static int is_news(struct sight_conn *c, uint8_t bit)
{
	char text[sizeof(c->owed_host) + sizeof(c->owed_org) + 4];
	uint64_t hash;
	size_t i;

	snprintf(text, sizeof(text), "%c %s %s", 'a' + bit, c->owed_host, c->owed_org);
	hash = agent_hash(c->agent, text);
	for (i = 0; i < SIGHT_TOLD; i++)
		if (c->told[i] == hash)
			return 0;
	c->told[c->ntold++ % SIGHT_TOLD] = hash;
	return 1;
}

/* End the connection, unless the kernel has, and tell. */
static void object(struct agent *a, struct sight_conn *c)
{
	const struct agent_flow *f;
	uint8_t wrong = c->owed;
	struct timespec now;
	uint64_t took;
	size_t i;
	int cut;

	c->owed = 0;
	fence_kernel_drain(a->kernel, agent_record, a, &a->totals.bad); /* was it held? */
	f = agent_flow_find(a, c->cookie);
	cut = sight_held(f);
	/* several names of one allowed host on one connection (RFC 9113 9.1.1) are told, not ended
	 */
	if (!cut)
		cut = f && wrong != WRONG_AUTHORITY && sight_may_end(c) &&
		      !fence_socket_destroy(c->cookie,
					    fence_addr_is_v4(f->addr) ? AF_INET : AF_INET6, f->port,
					    c->tgid);
	clock_gettime(CLOCK_BOOTTIME, &now);
	took = ((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - c->time) / 1000;
	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++)
		if (wrong & wrongs[i].bit && is_news(c, wrongs[i].bit))
			alert(a, c, c->owed_org, c->owed_host, wrongs[i].bit, cut, took);
}

/* A tab may go where it likes, but with the org's credential. */
static uint8_t held_against(const struct sight_conn *c, uint8_t wrong)
{
	if (!agent_session_loose(c->agent, c->session, c->tool))
		return wrong;
	return wrong & (sight_may_end(c) ? (uint8_t)~WRONG_AUTHORITY : WRONG_TOKEN);
}

static void owe(struct sight_conn *c, uint8_t wrong, const char *host, const char *org)
{
	if (!wrong)
		return;
	c->owed |= wrong;
	snprintf(c->owed_host, sizeof(c->owed_host), "%s", host);
	snprintf(c->owed_org, sizeof(c->owed_org), "%s", org);
	if (c->cookie) /* else its socket is the thread's next send */
		object(c->agent, c);
}

/*
 * Some libraries say a request before their socket is known (Node's is the thread's next send):
 * where it goes, and under which name, is asked when it is.
 */
static void waiting_add(struct sight_conn *c, const char *host)
{
	uint8_t i;

	for (i = 0; i < c->nwaiting; i++)
		if (!strcmp(c->waiting[i], host))
			return;
	i = c->nwaiting < SIGHT_WAITING ? c->nwaiting++ : SIGHT_WAITING - 1;
	snprintf(c->waiting[i], sizeof(c->waiting[i]), "%s", host);
}

static void waiting_judge(struct sight_conn *c)
{
	uint8_t i, n = c->nwaiting, wrong;

	c->nwaiting = 0;
	for (i = 0; i < n; i++) {
		if (!is_own(c->agent->policy, c->waiting[i]))
			sight_tainted(c);
		wrong = is_refused(c, c->waiting[i]) ? WRONG_HOST : 0;
		if (c->sni[0] && strcasecmp(c->waiting[i], c->sni))
			wrong |= WRONG_AUTHORITY;
		owe(c, held_against(c, wrong), c->waiting[i], "");
	}
}

static void on_request(void *ctx, const struct fence_exchange *x)
{
	struct sight_conn *c = ctx;
	const struct sight_host *h = host_get(c, x);
	uint8_t wrong = disagree(c, x, h);

	sight_label(c, x, h);
	if (!h->own)
		sight_tainted(c);
	if (h->name[0] && !agent_flow_find(c->agent, c->cookie)) {
		waiting_add(c, h->name);
		wrong &= WRONG_TENANT | WRONG_TOKEN;
	}
	owe(c, held_against(c, wrong), h->name, x->org);
}

static int64_t request_row(struct agent *a, const struct sight_conn *c,
			   const struct fence_exchange *x, const char *host)
{
	static const char *const hows[] = { "unmapped", "probable", "exact" };
	const char *by, *who, *kind, *ids[SIGHT_CANDIDATES];
	char shape[512];
	struct fence_json j;

	who = sight_initiator(c, x, &by);
	kind = sight_kind(c, x, !!by);

	fence_crm_path_shape(x->path, shape, sizeof(shape));
	agent_row(a, &j);
	fence_json_str(&j, "authority", host);
	fence_json_int(&j, "bytes_in", (int64_t)x->in);
	fence_json_int(&j, "bytes_out", (int64_t)x->out);
	if (by && !strcmp(who, "unknown"))
		sight_put_ids(&j, "candidates", ids, sight_candidates(c, host, 0, 0, ids));
	fence_json_int(&j, "cookie", (int64_t)c->cookie);
	if (x->flags & FENCE_HTTP_CUT)
		fence_json_bool(&j, "cut", 1);
	fence_json_id(&j, "exec", c->exec);
	if (by) {
		fence_json_str(&j, "extension", who);
		fence_json_str(&j, "extension_by", by);
	}
	if (kind)
		fence_json_str(&j, "initiator", kind);
	if (x->flags & FENCE_HTTP_LATE)
		fence_json_bool(&j, "late", 1);
	fence_json_str(&j, "mapping", hows[c->how < 3 ? c->how : 0]);
	if (x->messages)
		fence_json_int(&j, "messages", x->messages);
	if (x->messages_in)
		fence_json_int(&j, "messages_in", x->messages_in);
	fence_json_str(&j, "method", x->method);
	if (sight_is_origin(x->origin))
		fence_json_str(&j, "origin", x->origin);
	fence_json_str(&j, "path", shape);
	fence_json_int(&j, "pid", c->tgid);
	if (x->request_id[0])
		fence_json_str(&j, "request_id", x->request_id);
	fence_json_id(&j, "session", c->session);
	fence_json_int(&j, "status", x->status);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, c->tool));
	if (x->flags & FENCE_HTTP_UPGRADED)
		fence_json_bool(&j, "upgraded", 1);
	fence_json_str(&j, "version", x->version == FENCE_HTTP_2 ? "2" : "1.1");
	a->sight->requests++;
	return agent_row_end(a, &j, "request");
}

struct acting {
	struct sight_conn *c;
	const struct fence_exchange *x;
	int64_t request;
	uint64_t credential;
};

static void on_action(void *ctx, const struct fence_crm_action *act)
{
	const struct acting *w = ctx;
	struct agent *a = w->c->agent;
	const char *by, *user = sight_user(w->c, w->credential, &by);
	struct fence_json j;
	uint32_t i;

	if (act->grant)
		sight_grant(w->c, act->grant);

	agent_row(a, &j);
	fence_json_str(&j, "api", act->api);
	if (act->error[0])
		fence_json_str(&j, "error", act->error);
	fence_json_array(&j, "fields");
	for (i = 0; i < act->nfields && i < FENCE_ACTION_FIELDS; i++)
		fence_json_str(&j, NULL, act->fields[i]);
	fence_json_array_end(&j);
	if (act->grant)
		fence_json_str(&j, "grant", act->grant);
	fence_json_array(&j, "ids");
	for (i = 0; i < act->nids && i < FENCE_ACTION_IDS; i++)
		fence_json_str(&j, NULL, act->ids[i]);
	fence_json_array_end(&j);
	fence_json_int(&j, "nids", act->nids);
	if (act->object[0])
		fence_json_str(&j, "object", act->object);
	if (act->opaque)
		fence_json_bool(&j, "opaque", 1);
	if (w->x->org[0])
		fence_json_str(&j, "org", w->x->org);
	fence_json_int(&j, "request", w->request);
	fence_json_id(&j, "session", w->c->session);
	fence_json_int(&j, "status", act->status);
	if (act->sub)
		fence_json_bool(&j, "sub", 1);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, w->c->tool));
	if (user)
		fence_json_str(&j, "user", user);
	if (by)
		fence_json_str(&j, "user_by", by);
	fence_json_str(&j, "verb", act->verb);
	agent_row_end(a, &j, "action");
}

/* A WebSocket message: its request is not over, and has no row yet. */
static void on_message(void *ctx, struct fence_exchange *x, int out, const char *data, size_t len)
{
	struct sight_conn *c = ctx;
	const struct sight_host *h = host_get(c, x);

	if (out && !h->own) {
		sight_leaves(c, data, len, h->name, 0);
	} else if (!out && h->own) {
		sight_taints(c, 0);
		fence_values_learn(c->agent->sight->values, data, len);
	}
}

static void on_done(void *ctx, struct fence_exchange *x)
{
	struct sight_conn *c = ctx;
	struct acting w = { .c = c, .x = x };
	const struct sight_host *h;
	struct fence_crm_call call = {
		.method = x->method,
		.path = x->path,
		.soap_action = x->action,
		.type_out = x->type_out,
		.type_in = x->type_in,
		.status = x->status,
		.request = fence_buf_text(&x->request),
		.response = fence_buf_text(&x->response),
		.request_len = x->request.len,
		.response_len = x->response.len,
		.request_cut = !(x->flags & FENCE_HTTP_WHOLE_OUT),
		.response_cut = !(x->flags & FENCE_HTTP_WHOLE_IN),
	};

	if (!x->method[0])
		return;
	h = host_get(c, x);
	w.request = request_row(c->agent, c, x, h->name);
	if (!h->own) {
		if (!sight_leaves(c, call.request, call.request_len, h->name, w.request))
			sight_leaves(c, x->path, strlen(x->path), h->name, w.request);
		return;
	}
	if (x->in && x->status >= 200 && x->status < 300 && !strstr(x->path, "/services/oauth2/"))
		sight_taints(c, w.request);
	sight_signs_on(c, x, &call, w.request);
	w.credential = sight_credential(c->agent, x, &call);
	if (!strstr(x->path, "/services/oauth2/") && !call.response_cut)
		fence_values_learn(c->agent->sight->values, call.response, call.response_len);
	fence_crm_actions(&call, on_action, &w);
}
