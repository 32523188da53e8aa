// SPDX-License-Identifier: Apache-2.0
/*
 * Denials: the first of a kind comes through the ring and is a row at once; the same again is
 * counted by the programs, and its count is a row a second. The counts of one (session, program,
 * place, reason) add up to exactly as many as there were.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/addr.h"

/* `many`: a count of the same, the last of them at `last`; 0: the first. */
static int64_t deny_row(struct agent *a, const struct fence_rec_flow *r,
			const struct agent_denial *d, uint64_t many, uint64_t last)
{
	const struct agent_flow *one = d->flow;
	char addr[FENCE_ADDR_TEXT];
	struct fence_json j;

	agent_row(a, &j);
	fence_json_str(&j, "action", fence_action_name(r->action));
	fence_json_str(&j, "addr", fence_addr_text(r->addr, addr));
	fence_json_str(&j, "alert", fence_alert_kind(d->alert)->rule);
	fence_json_str(&j, "at", fence_at_name(r->facts.at));
	fence_json_str(&j, "class", fence_place_name(d->place));
	fence_json_int(&j, "cookie", (int64_t)r->cookie);
	fence_json_int(&j, "count", many ? (int64_t)many : 1);
	if (r->detail && r->facts.at != FENCE_AT_STREAM)
		fence_json_int(&j, "detail", r->detail);
	if (one->dns && r->facts.at != FENCE_AT_DNS) {
		fence_json_str(&j, "dns", one->dns);
		fence_json_str(&j, "dns_by", one->dns_machine ? "machine" : "process");
	}
	fence_json_id(&j, "exec", r->exec);
	agent_put_facts(&j, &r->facts);
	if (r->facts.at == FENCE_AT_LOCAL)
		fence_json_str(&j, "guard", fence_guard_name((uint8_t)r->detail));
	if (many)
		fence_json_int(&j, "last", agent_us(a, last));
	if (r->level)
		fence_json_int(&j, "level", r->level);
	if (r->name_len)
		fence_json_strn(&j, "name", r->name, r->name_len);
	fence_json_int(&j, "pid", r->tgid);
	fence_json_int(&j, "port", r->port);
	fence_json_str(&j, "proto", agent_proto_name(r->facts.proto));
	fence_json_str(&j, "reason", fence_reason_name(r->reason));
	if (r->rule < a->policy->nrules)
		fence_json_str(&j, "rule", a->policy->rules[r->rule].path);
	fence_json_id(&j, "session", r->session);
	fence_json_int(&j, "start", agent_us(a, r->h.time));
	if (r->detail && r->facts.at == FENCE_AT_STREAM)
		fence_json_int(&j, "target_port", r->detail);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, r->tool));
	if (r->uid != ~0u)
		fence_json_int(&j, "uid", r->uid);
	agent_put_wire(&j, r->wire, r->wire_port);
	a->urgent |= !many;
	return agent_row_end(a, &j, "deny");
}

/* A refused stream must not hang: its socket is destroyed, and the program sees an error. */
static void destroy(struct agent *a, const struct fence_rec_flow *r)
{
	if (a->ndoomed == AGENT_DOOMED)
		agent_doomed_turn(a);
	if (r->facts.proto == FENCE_IPPROTO_TCP && r->action == FENCE_DENY && r->cookie &&
	    r->reason != FENCE_R_SILENT &&
	    !(r->facts.at == FENCE_AT_DNS && fence_form_is_answer(r->facts.form)) &&
	    (r->facts.at == FENCE_AT_STREAM || r->facts.at == FENCE_AT_PACKET ||
	     r->facts.at == FENCE_AT_DNS || r->facts.at == FENCE_AT_REQUEST))
		a->doomed[a->ndoomed++] = (struct fence_doomed){
			.cookie = r->cookie, .tgid = r->tgid, .port = r->port, .family = r->family
		};
}

void agent_doomed_turn(struct agent *a)
{
	if (a->ndoomed)
		fence_sockets_destroy(a->doomed, a->ndoomed);
	a->ndoomed = 0;
	agent_beat(a);
}

static void totals(struct agent *a, const struct fence_rec_flow *r, uint64_t n)
{
	struct agent_session *s = agent_session_get(a, r->session);

	if (r->action == FENCE_DENY)
		a->totals.denials += n;
	else
		a->totals.would += n;
	if (s)
		s->denials += n;
}

/*
 * The alert of it. A refused request is sight's to tell, with what it saw; the flow remembers until
 * it has.
 */
static void alert(struct agent *a, struct agent_denial *d)
{
	struct agent_flow *f =
		d->flow->facts.at == FENCE_AT_REQUEST ? agent_flow_find(a, d->flow->cookie) : NULL;

	if (f && a->sight) {
		f->owes |= !d->sight;
		return;
	}
	agent_alert_denial(a, d);
}

/* One row, and one line for people; `many` as above. */
static void tell(struct agent *a, const struct fence_rec_flow *r, uint64_t many, uint64_t last)
{
	struct agent_flow one;
	struct agent_denial d = { .flow = &one,
				  .guard = r->facts.at == FENCE_AT_LOCAL ? r->detail : 0,
				  .sight = many && r->facts.at == FENCE_AT_REQUEST,
				  .count = many ? many : 1,
				  .last = many ? last : r->h.time };

	if (agent_unix_absent(a, r))
		return;
	agent_identify(a, r->exec);
	agent_flow_fill(&one, r);
	agent_flow_host(a, &one);
	if (r->name_len)
		one.sni = strndup(r->name, r->name_len);
	agent_denial_class(a, &d);
	d.row = deny_row(a, r, &d, many, last);
	if (!many)
		agent_show_flow(a, &one, d.row, fence_at_name(r->facts.at), 0, 0);
	totals(a, r, d.count);
	alert(a, &d);
	free(one.dns);
	free(one.sni);
}

void agent_flow_deny(struct agent *a, const struct fence_rec_flow *r)
{
	struct agent_flow *f = r->cookie ? agent_flow_find(a, r->cookie) : NULL;

	destroy(a, r);
	if (!(r->h.flags & FENCE_REC_AGAIN))
		tell(a, r, 0, 0);
	if (!f)
		return;
	f->action = r->action;
	f->reason = r->reason;
	f->owes |= r->facts.at == FENCE_AT_REQUEST && a->sight;
	f->untold = r->h.flags & FENCE_REC_AGAIN && !r->facts.flags;
	if (!f->untold)
		f->facts = r->facts;
	if (r->wire_port) {
		memcpy(f->wire, r->wire, 16);
		f->wire_port = r->wire_port;
	}
	if (r->facts.at == FENCE_AT_STREAM && r->detail)
		f->target = r->detail;
	if (r->name_len && !f->sni)
		f->sni = strndup(r->name, r->name_len);
}

static void counted(struct agent *a, const struct fence_denial *d)
{
	const struct fence_rec_flow *r = (const void *)d->rec;

	if (fence_record_check(r, sizeof(d->rec)) || r->h.kind != FENCE_K_DENY) {
		a->totals.bad++;
		return;
	}
	if (!d->told)
		tell(a, r, 0, 0);
	if (d->count > 1)
		tell(a, r, d->count - 1, d->last);
}

/*
 * Entries of an epoch that ended a second ago: no program touches them any more. They go before
 * their rows are on disk: what a crash between the two loses is the last transaction, as
 * everywhere.
 */
void agent_denials_turn(struct agent *a, int final)
{
	struct fence_denial_key key, next;
	struct fence_denial d;
	int more;

	if (!final && a->now - a->swept < AGENT_LATE_NS)
		return;
	a->swept = a->now;
	if (final) {
		a->epoch++;
		agent_beat(a);
	}
	more = !fence_kernel_next(a->kernel, FENCE_MAP_DENIED, NULL, &next);
	while (more) {
		key = next;
		more = !fence_kernel_next(a->kernel, FENCE_MAP_DENIED, &key, &next);
		if (key.epoch == a->epoch)
			continue;
		if (!fence_kernel_get(a->kernel, FENCE_MAP_DENIED, &key, &d))
			counted(a, &d);
		fence_kernel_del(a->kernel, FENCE_MAP_DENIED, &key);
	}
	a->epoch++;
	agent_absent_turn(a);
	agent_alerts_turn(a);
}
