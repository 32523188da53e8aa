// SPDX-License-Identifier: Apache-2.0
/* Records in, rows out. Every record has passed fence_record_check. */
#include <string.h>

#include "agent/agent.h"
#include "wire/dns.h"

static void on_exec(struct agent *a, const struct fence_rec_exec *r)
{
	struct agent_exec *e = agent_exec_add(a, r, 0);

	if (r->check)
		agent_check_match(a, r, e);
	if (e && r->session)
		agent_exec_log(a, e);
}

static void session_row(struct agent *a, const struct agent_session *s, const char *change)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_str(&j, "change", change);
	if (fence_policy_loose(a->policy, s->tool))
		fence_json_bool(&j, "confined", 0);
	fence_json_str(&j, "match", fence_match_name(s->match));
	fence_json_int(&j, "match_index", s->rule);
	fence_json_int(&j, "pid", s->tgid);
	fence_json_id(&j, "session", s->id);
	fence_json_int(&j, "start", agent_us(a, s->start));
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, s->tool));
	agent_row_end(a, &j, "session");
	a->urgent = 1;
}

static void on_session(struct agent *a, const struct fence_rec_session *r)
{
	struct agent_session *s = agent_session_get(a, r->session);

	if (!s)
		s = agent_session_add(a, r->session);
	if (!s)
		return;
	s->procs = r->total;
	if (r->change == FENCE_SESSION_END) {
		s->ended = r->h.time;
		s->ended_in = a->epoch;
		return;
	}
	if (r->change == FENCE_SESSION_MOVED) {
		s->fresh = 1;
		a->moved = 1;
	}
	if (r->change == FENCE_SESSION_SEIZED) {
		s->fresh = 1;
		agent_sockets_join(a, 0);
	}
	if (s->told)
		return;
	s->told = 1;
	s->start = r->start;
	s->tool = r->tool;
	s->match = r->match;
	s->rule = r->rule;
	s->tgid = r->tgid;
	a->totals.sessions++;
	if (fence_policy_sees(a->policy, s->tool))
		agent_sight_session(a, s->tgid, s->id);
	agent_seen(a, s->tool);
	session_row(a, s, "start");
	agent_show_note(a, "session of %s begins: pid %u, recognised by %s",
			fence_policy_tool_name(a->policy, s->tool), s->tgid,
			fence_match_name(s->match));
}

static void on_dns(struct agent *a, const struct fence_rec_dns *r)
{
	struct fence_dns_message m;
	size_t i;

	if (fence_wire_dns(r->msg, r->msg_len, &m) || !m.response || !m.name[0])
		return;
	if (r->learned)
		agent_names_keep(a->names, m.name);
	for (i = 0; i < m.count; i++) {
		agent_names_learn(a->names, r->exec, m.addrs[i], m.name);
		agent_names_learn(a->names, 0, m.addrs[i], m.name);
	}
}

void agent_record(void *ctx, const struct fence_rec *r)
{
	struct agent *a = ctx;

	switch (r->kind) {
	case FENCE_K_EXEC:
		on_exec(a, (const void *)r);
		return;
	case FENCE_K_SESSION:
		on_session(a, (const void *)r);
		return;
	case FENCE_K_FLOW:
		agent_flow_open(a, (const void *)r);
		return;
	case FENCE_K_NAME:
		agent_flow_name(a, (const void *)r);
		return;
	case FENCE_K_DENY:
		agent_flow_deny(a, (const void *)r);
		return;
	case FENCE_K_CLOSE:
		if (!agent_sight_defers(a, (const void *)r))
			agent_flow_close(a, (const void *)r);
		return;
	case FENCE_K_DNS:
		on_dns(a, (const void *)r);
		return;
	default:
		return;
	}
}
