// SPDX-License-Identifier: Apache-2.0
/*
 * What leaves (values of the org, honey, credentials in a body), who has read what the org holds,
 * and as which Salesforce user: told by ids, names of fields and places in the policy, never by
 * the text itself.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "agent/sight.h"
#include "base/addr.h"
#include "crm/action.h"
#include "crm/signon.h"
#include "crm/values.h"

#define ORG_ID 15
#define TOKEN_MIN 20 /* characters behind the "!" of a session id; there are about 90 */

static int values_new(struct fence_values **out)
{
	uint8_t key[16];

	if (getrandom(key, sizeof(key), 0) != sizeof(key)) /* of this run, and nowhere else */
		return -errno;
	*out = fence_values_new(key);
	explicit_bzero(key, sizeof(key));
	return *out ? 0 : -ENOMEM;
}

int sight_values(struct sight *s)
{
	if (getrandom(s->credentials, sizeof(s->credentials), 0) != sizeof(s->credentials))
		return -errno;
	return values_new(&s->values);
}

void sight_honey(struct agent *a)
{
	struct sight *s = a->sight;
	char field[40];
	size_t i;

	fence_values_free(s->honey);
	s->honey = NULL;
	if (!a->policy->nhoney || values_new(&s->honey))
		return;
	for (i = 0; i < a->policy->nhoney; i++) {
		snprintf(field, sizeof(field), "$.org.honey[%zu]", i);
		fence_values_add(s->honey, a->policy->honey[i], field);
	}
}

/* ---- alerts ---- */

/* Of a connection, as far as it is known. */
static struct agent_alert alert_of(const struct sight_conn *c, enum fence_alert alert,
				   const char *host)
{
	return (struct agent_alert){ .alert = alert,
				     .authority = host,
				     .cookie = c->cookie,
				     .exec = c->exec,
				     .left = c->next[1],
				     .pid = c->tgid,
				     .session = c->session,
				     .sni = c->sni,
				     .tool = c->tool,
				     .sight = 1 };
}

/* End a confined connection. 1: it was. */
static int cut(struct sight_conn *c)
{
	const struct agent_flow *f = agent_flow_find(c->agent, c->cookie);

	return f && sight_may_end(c) &&
	       !fence_socket_destroy(c->cookie, fence_addr_is_v4(f->addr) ? AF_INET : AF_INET6,
				     f->port, c->tgid);
}

static void hits_alert(struct sight_conn *c, const char *host, int64_t request,
		       enum fence_alert alert, const struct fence_value_hit *hits, size_t n,
		       int ended)
{
	struct agent_alert al = alert_of(c, alert, host);

	al.cut = (uint8_t)ended;
	al.hits = hits;
	al.nhits = n < SIGHT_HITS ? n : SIGHT_HITS;
	al.values = n;
	al.request = request;
	agent_alert_raise(c->agent, &al);
	agent_show_note(c->agent, "%zu %s went to %s (%s, pid %u)%s", n,
			alert == FENCE_ALERT_E024 ? "honey values" : "values of the org's records",
			host, fence_alert_kind(alert)->rule, c->tgid,
			ended ? "; the connection was ended" : "");
}

/* "00D", twelve more and "!", then what only a session id or access token has. */
static int token_in(const char *text, size_t len, char org[ORG_ID + 1])
{
	const char *p = text, *end = text + len;
	size_t i;

	while ((p = memmem(p, (size_t)(end - p), "00D", 3))) {
		for (i = 3; p + i < end && isalnum((unsigned char)p[i]); i++)
			;
		if (i == ORG_ID && p + i < end && p[i] == '!') {
			for (i++;
			     p + i < end && (isalnum((unsigned char)p[i]) || strchr("._", p[i]));
			     i++)
				if (!p[i])
					break;
			if (i > ORG_ID + TOKEN_MIN) {
				memcpy(org, p, ORG_ID);
				org[ORG_ID] = 0;
				return 1;
			}
		}
		p += 3;
	}
	return 0;
}

static void token_alert(struct sight_conn *c, const char *host, int64_t request, const char *org)
{
	struct agent_alert al = alert_of(c, FENCE_ALERT_E014, host);

	al.cut = (uint8_t)cut(c);
	al.org = org;
	al.request = request;
	agent_alert_raise(c->agent, &al);
	agent_show_note(c->agent, "a Salesforce credential is in what went to %s (E014, pid %u)%s",
			host, c->tgid, al.cut ? "; the connection was ended" : "");
}

int sight_leaves(struct sight_conn *c, const char *text, size_t len, const char *host,
		 int64_t request)
{
	struct fence_value_hit hits[SIGHT_HITS];
	struct sight *s = c->agent->sight;
	char org[ORG_ID + 1];
	size_t n, honey = 0;
	int token;

	n = fence_values_search(s->values, text, len, hits, SIGHT_HITS);
	if (n)
		hits_alert(c, host, request, FENCE_ALERT_E023, hits, n, 0);
	if (s->honey)
		honey = fence_values_search(s->honey, text, len, hits, SIGHT_HITS);
	if (honey)
		hits_alert(c, host, request, FENCE_ALERT_E024, hits, honey, cut(c));
	token = token_in(text, len, org);
	if (token)
		token_alert(c, host, request, org);
	return n || honey || token;
}

/* ---- taint ---- */

static void taint_row(struct sight_conn *c, int64_t request, int confined)
{
	struct fence_json j;

	agent_row(c->agent, &j);
	if (confined)
		fence_json_bool(&j, "confined", 1);
	fence_json_id(&j, "exec", c->exec);
	fence_json_int(&j, "pid", c->tgid);
	if (request)
		fence_json_int(&j, "request", request);
	fence_json_id(&j, "session", c->session);
	fence_json_str(&j, "tool", fence_policy_tool_name(c->agent->policy, c->tool));
	agent_row_end(c->agent, &j, "taint");
}

void sight_taints(struct sight_conn *c, int64_t request)
{
	struct agent_exec *e = agent_exec_find(c->agent, c->exec);

	sight_confines(c); /* where the kernel could not tell who was asked */
	if (!e || e->tainted)
		return;
	e->tainted = c->time;
	taint_row(c, request, 0);
}

/*
 * The kernel lets nothing out of the session any more but what its policy allows; what it had open
 * to others ends.
 */
void sight_confines(struct sight_conn *c)
{
	struct agent_session *s = fence_policy_taints(c->agent->policy, c->tool)
					  ? agent_session_get(c->agent, c->session)
					  : NULL;
	struct agent_exec *e = agent_exec_find(c->agent, c->exec);
	struct fence_session_set to = { .clears = 1,
					.from = FENCE_UNTAINTED,
					.to = FENCE_CONFINED };

	if (!s || s->tainted)
		return;
	to.id = s->id;
	if (fence_kernel_session(c->agent->kernel, &to))
		return;
	s->tainted = 1;
	if (e && !e->tainted)
		e->tainted = c->time;
	taint_row(c, 0, 1);
	c->agent->urgent = 1;
	agent_show_note(c->agent, "%s has read from the org (pid %u): its session is confined",
			fence_policy_tool_name(c->agent->policy, c->tool), c->tgid);
	fence_kernel_drain(c->agent->kernel, agent_record, c->agent, &c->agent->totals.bad);
	agent_flows_judge(c->agent, 0);
}

/* Of a flow as a whole. `left`: bytes. */
static void flow_alert(struct agent *a, const struct agent_flow *f, enum fence_alert alert,
		       uint64_t left)
{
	const char *host = f->sni ? f->sni : f->dns ? f->dns : "";
	char addr[FENCE_ADDR_TEXT];
	struct agent_alert al = { .alert = alert,
				  .addr = fence_addr_text(f->addr, addr),
				  .authority = *host ? host : addr,
				  .cookie = f->cookie,
				  .exec = f->exec,
				  .left = left,
				  .pid = f->tgid,
				  .session = f->session,
				  .tool = f->tool,
				  .sight = 1 };

	agent_alert_raise(a, &al);
}

void agent_sight_tainted(struct agent *a, struct agent_flow *f)
{
	if (f->tainted || !f->tool || f->tool > a->policy->ntools ||
	    a->policy->tools[f->tool - 1].taint != FENCE_TAINT_ALERT || f->action == FENCE_DENY ||
	    f->facts.addr == FENCE_ADDR_RESOLVER || f->facts.addr == FENCE_ADDR_LOOPBACK ||
	    (f->rule < a->policy->nrules && a->policy->rules[f->rule].flags & FENCE_RULE_OWN))
		return;
	f->tainted = 1;
	flow_alert(a, f, FENCE_ALERT_E011, 0);
}

int agent_sight_watches(const struct agent *a, const struct agent_flow *f)
{
	return a->sight && fence_policy_sees(a->policy, f->tool) && f->proto == FENCE_IPPROTO_TCP &&
	       (f->sni || f->facts.stream == FENCE_STREAM_TLS);
}

void agent_sight_over(struct agent *a, const struct agent_flow *f, uint64_t tx)
{
	if (!agent_sight_watches(a, f) || f->existing || f->action == FENCE_DENY)
		return;
	a->sight->streams++;
	if (f->plain[0] || f->plain[1])
		return;
	a->sight->unseen++;
	if (tx < SIGHT_OPAQUE)
		return;
	flow_alert(a, f, FENCE_ALERT_E025, tx);
}

void sight_tainted(struct sight_conn *c)
{
	struct agent_flow *f = agent_flow_find(c->agent, c->cookie);

	if (f && agent_exec_tainted(c->agent, c->exec))
		agent_sight_tainted(c->agent, f);
}

/* ---- as whom ---- */

static struct sight_user *user_of(struct agent *a, uint64_t session)
{
	struct sight *s = a->sight;
	unsigned int i;

	for (i = 0; i < s->nusers; i++)
		if (s->users[i].session == session)
			return &s->users[i];
	if (s->nusers == SIGHT_USERS)
		return NULL;
	s->users[s->nusers] = (struct sight_user){ .session = session };
	return &s->users[s->nusers++];
}

/* Who the policy says that the process's Linux user is. */
static const char *mapped(const struct sight_conn *c)
{
	const struct fence_policy *p = c->agent->policy;
	const struct agent_exec *e = agent_exec_find(c->agent, c->exec);
	size_t i;

	for (i = 0; e && i < p->nusers; i++)
		if (p->users[i].uid == e->uid)
			return p->users[i].id;
	return NULL;
}

uint64_t sight_credential(struct agent *a, const struct fence_exchange *x,
			  const struct fence_crm_call *call)
{
	AUTO_BUF struct fence_buf soap = { 0 };
	uint64_t number = x->credential;

	if (!number && !fence_crm_soap_session(call, &soap))
		number = fence_http_credential(a->sight->credentials, soap.data, soap.len);
	if (soap.data)
		explicit_bzero(soap.data, soap.size);
	return number;
}

static const char *token_user(const struct sight_user *u, uint64_t credential)
{
	unsigned int i;

	for (i = 0; u && i < SIGHT_TOKENS; i++)
		if (u->tokens[i].credential == credential)
			return u->tokens[i].user;
	return NULL;
}

const char *sight_user(const struct sight_conn *c, uint64_t credential, const char **by)
{
	const struct sight_user *u = user_of(c->agent, c->session);
	const char *user = credential	     ? token_user(u, credential)
			   : u && u->user[0] ? u->user
					     : NULL;

	*by = "sign-on";
	if (user)
		return user;
	user = credential ? NULL : mapped(c);
	*by = credential ? "not-shown" : user ? "policy" : NULL;
	return user;
}

static void user_alert(struct sight_conn *c, enum fence_alert alert, const char *user,
		       const char *grant)
{
	struct agent_alert al = alert_of(c, alert, c->host.name);

	al.left = 0;
	al.grant = grant;
	al.user = user;
	agent_alert_raise(c->agent, &al);
	agent_show_note(c->agent, "%s: pid %u acts as %s (%s)", fence_alert_kind(alert)->name,
			c->tgid, grant ? grant : user, fence_alert_kind(alert)->rule);
}

/* The credential is of the user who signed on last. */
static void token_put(struct sight_user *u, uint64_t credential)
{
	unsigned int i;

	for (i = 0; i < SIGHT_TOKENS && u->tokens[i].credential != credential; i++)
		;
	i = i < SIGHT_TOKENS ? i : u->turn++ % SIGHT_TOKENS;
	u->tokens[i].credential = credential;
	memcpy(u->tokens[i].user, u->user, sizeof(u->user));
}

static void signon_row(struct sight_conn *c, const struct fence_crm_signon *s, const char *before,
		       int64_t request)
{
	struct fence_json j;

	agent_row(c->agent, &j);
	if (before)
		fence_json_str(&j, "before", before);
	fence_json_int(&j, "cookie", (int64_t)c->cookie);
	fence_json_id(&j, "exec", c->exec);
	fence_json_str(&j, "how", s->how);
	if (s->org[0])
		fence_json_str(&j, "org", s->org);
	fence_json_int(&j, "pid", c->tgid);
	fence_json_int(&j, "request", request);
	fence_json_id(&j, "session", c->session);
	fence_json_str(&j, "tool", fence_policy_tool_name(c->agent->policy, c->tool));
	fence_json_str(&j, "user", s->user);
	agent_row_end(c->agent, &j, "sign-on");
	c->agent->urgent = 1;
}

void sight_signs_on(struct sight_conn *c, const struct fence_exchange *x,
		    const struct fence_crm_call *call, int64_t request)
{
	struct sight_user *u = user_of(c->agent, c->session);
	struct fence_crm_signon s = { 0 };
	uint64_t credential = 0;
	const char *before;

	if (u && !fence_crm_signon(call, &s))
		credential = s.token.len ? fence_http_credential(c->agent->sight->credentials,
								 s.token.data, s.token.len)
					 : sight_credential(c->agent, x, call);
	if (credential && (s.token.len || !token_user(u, credential))) { /* else it is known */
		before = u->user[0] ? u->user : mapped(c);
		signon_row(c, &s, u->user[0] ? u->user : NULL, request);
		if (before && strncmp(before, s.user, 15))
			user_alert(c, FENCE_ALERT_E020, s.user, NULL);
		memcpy(u->user, s.user, sizeof(u->user));
		token_put(u, credential);
	}
	fence_crm_signon_done(&s);
}

/* A token that is no person's: what it may is not what the person may. */
void sight_grant(struct sight_conn *c, const char *grant)
{
	struct sight_user *u = user_of(c->agent, c->session);

	if (!u || u->told || (strcmp(grant, "client_credentials") && strcmp(grant, "jwt-bearer")))
		return;
	u->told = 1;
	user_alert(c, FENCE_ALERT_E021, NULL, grant);
}
