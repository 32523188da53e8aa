// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "policy/policy.h"

static void explain_match(const struct fence_policy_match *m, struct fence_buf *out)
{
	switch (m->kind) {
	case FENCE_MATCH_EXE:
		fence_buf_printf(out, "    the program %s%s\n", m->text,
				 m->has_sha ? ", when its SHA-256 is the listed one" : "");
		return;
	case FENCE_MATCH_CGROUP:
		fence_buf_printf(out, "    anything in the %s %s\n",
				 m->text[0] == '/' ? "cgroup" : "unit", m->text);
		return;
	case FENCE_MATCH_UID:
		fence_buf_printf(out, "    anything that user id %u starts\n", m->uid);
		return;
	default:
		fence_buf_printf(out, "    the native messaging host of extension %s\n", m->text);
	}
}

static void ports(const uint16_t *list, size_t n, struct fence_buf *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		fence_buf_printf(out, "%s%u", i ? ", " : n > 1 ? "ports " : "port ", list[i]);
}

static int show_host(void *ctx, const char *pattern)
{
	fence_buf_printf(ctx, "        %s\n", pattern);
	return 0;
}

static void words(const char *const *w, struct fence_buf *out)
{
	for (; *w; w++)
		fence_buf_printf(out, " %s", *w);
}

/* Where nobody sees who listens. */
static const char *in_tier_b(int unproved)
{
	return unproved ? "\n      in tier B by this name alone, and through it any Unix socket of "
			  "this machine"
			: "; in tier B closed";
}

static void explain_tool(const struct fence_policy *p, size_t index, struct fence_buf *out)
{
	const struct fence_policy_tool *t = &p->tools[index];
	const struct fence_unix_group *g;
	size_t i;

	fence_buf_printf(out, "\n%s\n  Its processes:\n", t->name);
	for (i = 0; i < t->nmatch; i++)
		explain_match(&t->match[i], out);
	fence_buf_str(out, "    what `crmfence exec --tool ");
	fence_buf_printf(out,
			 "%s` starts\n    and everything that any of these starts, for ever\n  "
			 "They may reach:\n",
			 t->name);
	for (i = 0; i < p->nrules; i++) {
		const struct fence_policy_rule *r = &p->rules[i];

		if (r->tool != index + 1)
			continue;
		fence_buf_printf(out, "    %s, ", r->text);
		ports(r->ports, r->nports, out);
		fence_buf_printf(out, "%s%s\n      because: %s  (%s)\n",
				 strchr(r->text, '/') ? ", any protocol, no name checked"
				 : r->flags & FENCE_RULE_PLAIN
					 ? ", TLS or not, at the addresses that DNS gives for it"
				 : r->flags & FENCE_RULE_ASK
					 ? ", to CONNECT to the names above only"
					 : ", TLS with that server name, at the addresses that DNS "
					   "gives for it",
				 r->flags & FENCE_RULE_PRIVATE ? ", private ones too" : "", r->why,
				 r->path);
		if (strcmp(r->text, "crm.own"))
			continue;
		fence_crm_own(&p->org, show_host, out);
		if (p->ranges_file[0])
			fence_buf_printf(out, "      at the %zu networks of %s; elsewhere: %s\n",
					 p->nranges, p->ranges_file,
					 p->ranges_tell ? "let through, with an alert" : "refused");
	}
	if (t->sight)
		fence_buf_str(out,
			      "    and what it says inside TLS is read (sight): requests and what "
			      "they do are logged,\n      no value, token or body is\n");
	if (t->taint == FENCE_TAINT_CONFINED)
		fence_buf_str(out,
			      "    it is seen, not confined, until it has read from the org; from "
			      "then on it is\n");
	if (t->loose)
		fence_buf_str(out,
			      "    it is seen, not confined: of its connections only those of the "
			      "extensions in\n      $.browser.extensions and addons are held to "
			      "the former\n");
	if (t->nlocal) {
		fence_buf_str(out, "    this machine, ");
		ports(t->local, t->nlocal, out);
		fence_buf_str(out, "\n");
	}
	for (i = 0; i < t->nunix; i++)
		fence_buf_printf(out, "    the Unix socket %s, if it is listened on by %s%s\n",
				 t->unix_peers[i].path,
				 t->unix_peers[i].owner[0] ? t->unix_peers[i].owner : "root",
				 in_tier_b(t->unix_peers[i].unproved));
	for (i = 0; i < t->nwrite; i++)
		fence_buf_printf(out, "%s%s%s",
				 i ? " " : "    files: it writes (recognised: in tier A) below ",
				 t->write[i], i + 1 < t->nwrite ? "" : " and nowhere else\n");
	for (i = 0; (g = fence_unix_group(i)); i++) {
		if (!(t->unix_groups >> i & 1))
			continue;
		fence_buf_printf(out, "    %s, %s: the Unix sockets", g->name, g->what);
		words(g->paths, out);
		fence_buf_str(out, "\n      if they are listened on by");
		words(g->owners, out);
		fence_buf_printf(out, "%s\n", in_tier_b(t->unix_unproved >> i & 1));
	}
}

void fence_policy_explain(const struct fence_policy *p, struct fence_buf *out)
{
	char text[FENCE_ADDR_TEXT];
	size_t i;

	fence_buf_printf(
		out, "Policy \"%s\": %s.\n", p->name,
		p->monitor ? "MONITOR, every decision is taken and recorded, nothing is blocked"
			   : "enforced in the kernel");
	if (fence_policy_leaves(p))
		fence_buf_printf(out, "NOT CONFINED: %s.\n  Remedy: %s.\n", fence_policy_leaves_why,
				 fence_policy_leaves_remedy);
	for (i = 0; i < p->ntools; i++)
		explain_tool(p, i, out);
	fence_buf_str(out, "\nFor all of these tools\n  DNS: A, AAAA and CNAME questions for the "
			   "names above, to ");
	if (p->resolvers_system)
		fence_buf_str(out, "the system's resolvers");
	for (i = 0; i < p->nresolvers; i++)
		fence_buf_printf(out, "%s%s", i ? ", " : "",
				 fence_addr_text(p->resolvers[i], text));
	fence_buf_printf(out,
			 "; an answer is good for its TTL, at least %ld s and at most %ld s.\n",
			 p->ttl_floor, p->ttl_ceiling);
	fence_buf_printf(
		out,
		"  At most %ld different questions a minute and session; no answer leads to "
		"a private, link-local or\n  loopback address but where it says so above.\n",
		p->distinct);
	fence_buf_printf(out, "  QUIC: %s.\n",
			 p->quic_allow ? "to allowed addresses, the name is not checked"
				       : "refused, clients fall back to TCP");
	fence_buf_printf(out,
			 "  Without a running agent: the same for %ld s, then nothing at all.\n",
			 p->heartbeat);
	fence_buf_str(out, "  Everything else is refused: other orgs, other hosts, addresses "
			   "without a name, other protocols, listening,\n"
			   "  this machine's own ports.\nEvery other process on the machine is "
			   "recorded and never blocked.\n");
}

/* Words with commas between them, in lines of at most 100 columns. */
struct list {
	struct fence_buf *out;
	size_t column; /* 0: none yet */
};

static int list_add(void *ctx, const char *word)
{
	struct list *l = ctx;
	size_t n = strlen(word) + 2;

	if (l->column && l->column + n > 100) {
		fence_buf_str(l->out, ",\n           ");
		l->column = 11;
	} else if (l->column) {
		fence_buf_str(l->out, ", ");
		l->column += 2;
	} else {
		l->column = 11;
	}
	fence_buf_str(l->out, word);
	l->column += n - 2;
	return 0;
}

static void brief_matches(const struct fence_policy_tool *t, struct fence_buf *out)
{
	struct list l = { .out = out };
	char text[300];
	size_t i;

	fence_buf_str(out, "  is       ");
	for (i = 0; i < t->nmatch; i++) {
		if (t->match[i].kind == FENCE_MATCH_UID)
			snprintf(text, sizeof(text), "user id %u", t->match[i].uid);
		else
			snprintf(text, sizeof(text), "%s%s%s",
				 t->match[i].kind == FENCE_MATCH_NATIVE ? "the native host of "
									: "",
				 t->match[i].text, t->match[i].has_sha ? " (one build)" : "");
		list_add(&l, text);
	}
	if (!t->loose)
		list_add(&l, "what crmfence exec starts");
	fence_buf_str(out, "\n");
}

static void brief_rule(const struct fence_policy_rule *r, struct list *l)
{
	char text[400];
	uint16_t i;
	int n = snprintf(text, sizeof(text), "%s", r->text);

	for (i = 0; i < r->nports && (r->nports > 1 || r->ports[0] != 443); i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%u", i ? "," : ":",
			      r->ports[i]);
	snprintf(text + n, sizeof(text) - (size_t)n, "%s%s%s",
		 strchr(r->text, '/')		 ? " (no name is checked)"
		 : r->flags & FENCE_RULE_ASK	 ? " (a proxy, for the others)"
		 : r->flags & FENCE_RULE_PRIVATE ? " (private addresses too)"
						 : "",
		 r->flags & FENCE_RULE_PLAIN ? " (TLS or not)" : "",
		 strncmp(r->text, "*.", 2) ? "" : " (whoever has a name there)");
	list_add(l, text);
}

static void brief_reach(const struct fence_policy *p, size_t tool, struct fence_buf *out)
{
	const struct fence_policy_tool *t = &p->tools[tool];
	const struct fence_unix_group *g;
	struct list l = { .out = out };
	char text[40];
	size_t i;

	fence_buf_str(out, "  reaches  ");
	for (i = 0; i < p->nrules; i++)
		if (p->rules[i].tool == tool + 1)
			brief_rule(&p->rules[i], &l);
	for (i = 0; i < t->nlocal; i++) {
		snprintf(text, sizeof(text), "this machine:%u", t->local[i]);
		list_add(&l, text);
	}
	for (i = 0; (g = fence_unix_group(i)); i++)
		if (t->unix_groups >> i & 1)
			list_add(&l, g->name);
	for (i = 0; i < t->nunix; i++)
		list_add(&l, t->unix_peers[i].path);
	l.column = 0;
	fence_buf_str(out, t->nwrite ? "\n  writes   " : "");
	for (i = 0; i < t->nwrite; i++)
		list_add(&l, t->write[i]);
	fence_buf_str(out, "\n");
}

static void brief_own(const struct fence_policy *p, struct fence_buf *out)
{
	struct list l = { .out = out };
	size_t i;

	for (i = 0; i < p->nrules && !(p->rules[i].flags & FENCE_RULE_OWN); i++)
		;
	if (i == p->nrules)
		return;
	fence_buf_str(out, "crm.own:   ");
	fence_crm_own(&p->org, list_add, &l);
	fence_buf_printf(out, "\n  at %s\n",
			 !p->ranges_file[0] ? "any public address: there is no \"ip_ranges\""
			 : p->ranges_tell ? "any public address; an alert if it is not Salesforce's"
					  : "Salesforce's published addresses");
}

void fence_policy_brief(const struct fence_policy *p, struct fence_buf *out)
{
	const struct fence_policy_tool *t;
	size_t i;

	fence_buf_printf(out, "Policy \"%s\": %s.\n", p->name,
			 p->monitor ? "MONITOR, nothing is blocked" : "enforced in the kernel");
	if (fence_policy_leaves(p))
		fence_buf_printf(out, "NOT CONFINED: %s.\n", fence_policy_leaves_why);
	for (i = 0; i < p->ntools; i++) {
		t = &p->tools[i];
		fence_buf_printf(
			out, "%s: %s\n", t->name,
			t->loose
				? "SEEN, NOT CONFINED: listed extensions alone are held to what it "
				  "reaches"
			: t->taint == FENCE_TAINT_CONFINED
				? "SEEN, NOT CONFINED until it has read from the org"
			: p->monitor ? "watched, with all that it starts"
				     : "confined, with all that it starts");
		brief_matches(t, out);
		brief_reach(p, i, out);
	}
	brief_own(p, out);
	fence_buf_printf(out,
			 "QUIC %s. Without an agent the same for %ld s, then nothing. Everything "
			 "else is refused.\n%zu warnings: crmfence policy check\n",
			 p->quic_allow ? "to allowed addresses, without a name" : "refused",
			 p->heartbeat, p->nwarnings);
}

void fence_policy_flip(const struct fence_policy *p, uint8_t tool, uint8_t reason, const char *host,
		       const char *addr, uint16_t port, struct fence_buf *out)
{
	enum fence_host_class c = host && *host ? fence_crm_classify(host, &p->org) : FENCE_HOST_IP;
	size_t t = tool ? tool - 1u : 0;

	switch (reason) {
	case FENCE_R_DNS_NAME:
	case FENCE_R_SNI:
	case FENCE_R_REQUEST:
	case FENCE_R_PROXY_NAME:
		if (c == FENCE_HOST_FOREIGN || c == FENCE_HOST_SHARED)
			fence_buf_printf(out, "none: %s is %s, and no policy may allow it", host,
					 c == FENCE_HOST_FOREIGN ? "another org's"
								 : "shared by every org");
		else if (c == FENCE_HOST_SANDBOX)
			fence_buf_printf(out, "$.org.sandboxes: add the sandbox of %s", host);
		else
			fence_buf_printf(out,
					 "$.tools[%zu].allow: add { \"host\": \"%s\", \"ports\": "
					 "[%u], \"why\": \"...\" }",
					 t, host ? host : "?", port == 53 || !port ? 443 : port);
		return;
	case FENCE_R_ADDR:
		fence_buf_printf(out,
				 "$.tools[%zu].allow: list the host by name, or { \"cidr\": "
				 "\"%s/%d\", \"ports\": [%u], \"why\": \"...\" }",
				 t, addr, strchr(addr, ':') ? 128 : 32, port);
		return;
	case FENCE_R_LOCAL:
		fence_buf_printf(out, "$.tools[%zu].local_ports: add %u", t, port);
		return;
	case FENCE_R_UNIX:
		if (host && (host[0] == '/' || host[0] == '@') && !fence_unix_resolves(host))
			fence_buf_printf(out,
					 "$.tools[%zu].unix: add { \"path\": \"%s\", \"owner\": "
					 "the program that listens there } (tier B: closed all the "
					 "same, see \"unproved\")",
					 t, host);
		else
			fence_buf_str(out, "none: a policy lists neither who resolves names nor "
					   "relative names");
		return;
	case FENCE_R_DNS_RATE:
		fence_buf_printf(out, "$.dns.distinct: more than %ld, if the tool is to be trusted",
				 p->distinct);
		return;
	case FENCE_R_DNS_ADDR:
		fence_buf_printf(out,
				 "$.tools[%zu].allow: \"private\": true for %s, if the company has "
				 "it at such an address",
				 t, host ? host : "?");
		return;
	case FENCE_R_DNS_RANGE:
		fence_buf_str(out, "$.org.ip_ranges: a newer file of Salesforce's; or \"outside\": "
				   "\"alert\"");
		return;
	case FENCE_R_TENANT:
		fence_buf_str(out, "$.org.org_ids: add the org's id, if it is the customer's");
		return;
	case FENCE_R_NOT_TLS:
		fence_buf_str(out, "the rule of this host: add \"tls\": false");
		return;
	case FENCE_R_UDP:
		fence_buf_str(out, "$.quic: \"allow\" (the name is then not checked)");
		return;
	default:
		fence_buf_str(out, "none: no policy allows this");
	}
}

static int case_line(const struct fence_policy *p, const char *file, unsigned int line, char *text,
		     struct fence_cases_result *r, struct fence_buf *out, struct fence_diag *d)
{
	char tool[64], host[300], proto[8], action[16], reason[32], class[32], junk[2];
	struct fence_query q = { 0 };
	struct fence_answer_to a;
	unsigned int port = 0;
	int n = sscanf(text, "%63s %299s %u %7s %15s %31s %31s %1s", tool, host, &port, proto,
		       action, reason, class, junk);

	if (n != 7 || port > 65535 || (strcmp(proto, "tcp") && strcmp(proto, "udp")))
		return fence_diag_set(
			d, -EINVAL, NULL,
			"line %u: a case is: tool host port tcp|udp allow|deny reason class", line);
	q.tool = fence_policy_tool(p, tool);
	if (!q.tool)
		return fence_diag_set(d, -EINVAL, NULL, "line %u: the policy has no tool \"%s\"",
				      line, tool);
	q.host = host;
	q.port = (uint16_t)port;
	q.proto = strcmp(proto, "udp") ? FENCE_IPPROTO_TCP : FENCE_IPPROTO_UDP;
	fence_policy_decide(p, &q, &a);
	if (!strcmp(action, fence_action_name(a.verdict.action)) &&
	    !strcmp(reason, fence_reason_name(a.verdict.reason)) &&
	    !strcmp(class, fence_host_class_name(a.host_class))) {
		r->passed++;
		return 0;
	}
	r->failed++;
	fence_buf_printf(out, "%s:%u: %s %s %u %s: expected %s %s %s, got %s %s %s\n", file, line,
			 tool, host, port, proto, action, reason, class,
			 fence_action_name(a.verdict.action), fence_reason_name(a.verdict.reason),
			 fence_host_class_name(a.host_class));
	return 0;
}

int fence_policy_cases(const struct fence_policy *p, const char *file, struct fence_cases_result *r,
		       struct fence_buf *out, struct fence_diag *d)
{
	AUTO_FILE FILE *f = fopen(file, "re");
	unsigned int line = 0;
	char text[1024], *s;
	int err = 0;

	memset(r, 0, sizeof(*r));
	if (d)
		snprintf(d->file, sizeof(d->file), "%s", file);
	if (!f)
		return fence_diag_set(d, -errno, NULL, "cannot be read: %s", strerror(errno));
	while (err >= 0 && fgets(text, sizeof(text), f)) {
		line++;
		for (s = text; isspace((unsigned char)*s); s++)
			;
		if (*s && *s != '#')
			err = case_line(p, file, line, s, r, out, d);
	}
	if (err >= 0 && !(r->passed + r->failed))
		err = fence_diag_set(d, -EINVAL, NULL, "has no case");
	return err;
}
