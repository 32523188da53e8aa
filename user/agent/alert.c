// SPDX-License-Identifier: Apache-2.0
/*
 * Alerts: every row of the kind is written here. A denial's is raised once, then counted: the same
 * again within half an hour adds to its count, which is a row a second (alert-count). Sight's
 * findings are rows of their own.
 */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/addr.h"
#include "crm/values.h"

static void put_str(struct fence_json *j, const char *key, const char *s)
{
	if (s && *s)
		fence_json_str(j, key, s);
}

/* Fields and ids stand pairwise: a field is of the record at the same place. */
static void put_hits(struct fence_json *j, const struct agent_alert *al, int fields)
{
	size_t i;

	if (!al->hits)
		return;
	fence_json_array(j, fields ? "fields" : "ids");
	for (i = 0; i < al->nhits; i++)
		fence_json_str(j, NULL, fields ? al->hits[i].field : al->hits[i].id);
	fence_json_array_end(j);
}

int64_t agent_alert_raise(struct agent *a, const struct agent_alert *al)
{
	const struct fence_alert_kind *k = fence_alert_kind(al->alert);
	struct fence_json j;

	agent_row(a, &j);
	put_str(&j, "action", al->action);
	put_str(&j, "addr", al->addr);
	put_str(&j, "at", al->at);
	fence_json_str(&j, "authority", al->authority ? al->authority : "");
	put_str(&j, "class", al->class);
	if (al->cookie)
		fence_json_int(&j, "cookie", (int64_t)al->cookie);
	if (al->sight)
		fence_json_bool(&j, "cut", al->cut);
	if (al->cut_us)
		fence_json_int(&j, "cut_us", (int64_t)al->cut_us);
	if (al->denial)
		fence_json_int(&j, "denial", al->denial);
	fence_json_id(&j, "exec", al->exec);
	put_str(&j, "extension", al->extension);
	put_hits(&j, al, 1);
	put_str(&j, "grant", al->grant);
	if (al->held)
		fence_json_bool(&j, "held", 1);
	put_hits(&j, al, 0);
	if (al->sight)
		fence_json_int(&j, "left", (int64_t)al->left);
	fence_json_str(&j, "name", k->name);
	put_str(&j, "org", al->org);
	fence_json_int(&j, "pid", al->pid);
	if (al->port)
		fence_json_int(&j, "port", al->port);
	put_str(&j, "reason", al->reason);
	if (al->request)
		fence_json_int(&j, "request", al->request);
	fence_json_str(&j, "rule", k->rule);
	fence_json_id(&j, "session", al->session);
	fence_json_str(&j, "severity", k->severity);
	put_str(&j, "sni", al->sni);
	fence_json_int(&j, "start", agent_us(a, al->time ? al->time : a->now));
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, al->tool));
	put_str(&j, "user", al->user);
	if (al->values)
		fence_json_int(&j, "values", (int64_t)al->values);
	a->urgent = 1;
	return agent_row_end(a, &j, "alert");
}

/* How many more, up to now. */
static void count_row(struct agent *a, struct fence_alert_open *o)
{
	struct fence_json j;

	if (!o->pending)
		return;
	agent_row(a, &j);
	fence_json_int(&j, "alert", o->row);
	fence_json_str(&j, "authority", o->where);
	fence_json_int(&j, "count", (int64_t)o->pending);
	fence_json_id(&j, "exec", o->exec);
	fence_json_int(&j, "last", agent_us(a, o->last));
	fence_json_int(&j, "pid", o->pid);
	fence_json_id(&j, "session", o->session);
	o->pending = 0;
	agent_row_end(a, &j, "alert-count");
}

void agent_alerts_turn(struct agent *a)
{
	struct fence_alert_open *o;

	for (o = a->alerts->open; o < a->alerts->open + FENCE_ALERT_OPEN; o++)
		count_row(a, o);
}

void agent_alerts_anew(struct agent *a)
{
	agent_alerts_turn(a);
	memset(a->alerts, 0, sizeof(*a->alerts));
}

static uint64_t text_key(const char *s)
{
	uint64_t h = FENCE_FNV_BASIS;

	for (; s && *s; s++)
		h = fence_fnv(h, (uint8_t)*s);
	return h;
}

/* The name that a denial is about, or how else it says where to. */
static const char *where_to(const struct agent_denial *d, const char *addr)
{
	const struct agent_flow *f = d->flow;

	if (f->sni)
		return f->sni;
	if (f->facts.at == FENCE_AT_LOCAL)
		return fence_guard_name((uint8_t)d->guard);
	if (f->facts.at == FENCE_AT_UNIX || f->facts.at == FENCE_AT_CREATE ||
	    f->facts.at == FENCE_AT_SOCKOPT || f->facts.at == FENCE_AT_BIND)
		return fence_at_name(f->facts.at);
	return f->dns ? f->dns : addr;
}

static void denial_key(struct agent *a, const struct agent_denial *d, const char *where,
		       const char *addr, struct fence_alert_key *key)
{
	const struct agent_exec *e = agent_exec_find(a, d->flow->exec);

	memset(key, 0, sizeof(*key));
	key->alert = (uint8_t)d->alert;
	key->tool = d->flow->tool;
	key->class = (uint8_t)d->place;
	key->reason = d->flow->reason;
	key->action = d->flow->action;
	key->program = text_key(e && e->path ? e->path : "?");
	if (fence_alert_kind(d->alert)->keys == FENCE_ALERT_BY_PLACE)
		key->place = text_key(where) * 31 + text_key(addr);
}

/* Of a question the address is the resolver's. */
static int says_addr(const struct agent_denial *d)
{
	const struct fence_facts *f = &d->flow->facts;

	if (f->at == FENCE_AT_DNS)
		return fence_form_is_answer(f->form);
	return f->at == FENCE_AT_CONNECT || f->at == FENCE_AT_SENDMSG || f->at == FENCE_AT_PACKET ||
	       f->at == FENCE_AT_STREAM || f->at == FENCE_AT_ACCEPT || f->at == FENCE_AT_REQUEST;
}

static void denial_first(struct agent *a, const struct agent_denial *d, const char *where,
			 const char *addr, struct fence_alert_open *o)
{
	const struct agent_flow *f = d->flow;
	struct agent_alert al = {
		.alert = d->alert,
		.action = fence_action_name(f->action),
		.addr = says_addr(d) ? addr : NULL,
		.at = fence_at_name(f->facts.at),
		.authority = where,
		.class = fence_place_name(d->place),
		.cookie = f->cookie,
		.denial = d->row,
		.exec = f->exec,
		.pid = f->tgid,
		.port = says_addr(d) ? f->port : 0,
		.reason = fence_reason_name(f->reason),
		.session = f->session,
		.time = d->last,
		.tool = f->tool,
	};

	o->row = agent_alert_raise(a, &al);
	agent_show_note(a, "%s: %s %s (%s, pid %u)", fence_alert_kind(d->alert)->name,
			f->action == FENCE_DENY ? "refused" : "would refuse", where,
			fence_alert_kind(d->alert)->rule, f->tgid);
}

void agent_denial_class(struct agent *a, struct agent_denial *d)
{
	const struct agent_flow *f = d->flow;
	const char *host = f->sni ? f->sni : f->facts.at == FENCE_AT_DNS ? NULL : f->dns;

	d->place = fence_place_of(&f->facts, host, &a->policy->org);
	d->alert = fence_alert_of(&f->facts, f->reason, d->guard, f->port, d->place);
}

void agent_alert_denial(struct agent *a, struct agent_denial *d)
{
	const struct agent_flow *f = d->flow;
	struct fence_alert_open *o;
	struct fence_alert_key key;
	char addr[FENCE_ADDR_TEXT];
	const char *where;

	fence_addr_text(f->addr, addr);
	where = where_to(d, addr);
	denial_key(a, d, where, addr, &key);
	o = fence_alert_find(a->alerts, &key, d->last);
	if (!o && d->sight)
		return;
	if (!o) {
		o = fence_alert_place(a->alerts);
		count_row(a, o);
		fence_alert_begin(o, &key, d->last);
		denial_first(a, d, where, addr, o);
		d->count--;
	}
	o->pending += d->count;
	if (d->last < o->last) /* counts come in no order */
		return;
	o->last = d->last;
	o->session = f->session;
	o->exec = f->exec;
	o->pid = f->tgid;
	snprintf(o->where, sizeof(o->where), "%s", where);
}
