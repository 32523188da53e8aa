// SPDX-License-Identifier: Apache-2.0
/*
 * Lint and compile: refuse what an attacker would want, warn of what a reviewer should look at, lay
 * the rest out as map entries.
 */
#include "policy/read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct compiler {
	struct reader *r;
	struct fence_policy *p; /* the reader's */
	uint32_t rule; /* index of the rule that is being compiled */
	char path[112]; /* where its host or network stands */
};

static void warn(struct fence_policy *p, const char *path, const char *text)
{
	struct fence_diag *w;

	if (p->nwarnings >= FENCE_POLICY_WARNINGS)
		return;
	w = &p->warnings[p->nwarnings++];
	snprintf(w->file, sizeof(w->file), "%s", p->file);
	fence_diag_set(w, 0, path, "%s", text);
}

static void warn_model(struct fence_policy *p, const char *path)
{
	warn(p, path,
	     "the host of a known vendor of AI models or speech recognition: what is sent there "
	     "leaves the company; take it out, unless that is what the policy is for");
}

/* Grow an array by one zeroed element. */
static void *grow(void **array, size_t *count, size_t size)
{
	char *grown = realloc(*array, (*count + 1) * size);

	if (!grown)
		return NULL;
	*array = grown;
	memset(grown + *count * size, 0, size);
	return grown + (*count)++ * size;
}

/* A pattern's key: exact, "*.suffix" or "label--*.rest". */
static int name_key(const char *pattern, struct fence_name_key *key)
{
	const char *star = strchr(pattern, '*');
	struct fence_name n;
	const char *s;
	uint32_t i, len;

	fence_name_init(&n);
	for (s = star == pattern ? pattern + 2 : pattern; *s; s++)
		fence_name_feed(
			&n,
			*s == '*' ? 'x'
				  : (uint8_t)*s); /* any octet may stand for the star of a shape */
	if (!fence_name_ok(&n))
		return -EINVAL;
	if (star == pattern) {
		len = n.len + 1u;
		for (i = 0; i < n.len; i++)
			key->name[i] = fence_name_key_at(&n, i);
		key->name[i] = '.';
	} else if (star) {
		if (!fence_name_has_shape(&n) || n.dot - n.star != 1)
			return -EINVAL;
		len = fence_name_shape_len(&n);
		for (i = 0; i < len; i++)
			key->name[i] = fence_name_shape_at(&n, i);
	} else {
		len = fence_name_key_len(&n);
		for (i = 0; i < len; i++)
			key->name[i] = fence_name_key_at(&n, i);
	}
	key->prefixlen = FENCE_NAME_KEY_BITS(len);
	return 0;
}

static int refuse_name(struct compiler *c, const char *pattern)
{
	char meant[FENCE_MEANT];
	unsigned int port;

	if (fence_meant_host(pattern, meant, &port))
		return REFUSE(
			c->r, c->path,
			"is no host name: lower-case labels of letters, digits, hyphens, no "
			"port, no final dot; other letters in their xn-- form, as `idn2 HOST` "
			"prints it");
	if (port)
		return REFUSE(c->r, c->path,
			      "is no host name alone; write \"%s\", with \"ports\": [%u]", meant,
			      port);
	return REFUSE(c->r, c->path, "is no host name alone; write \"%s\"", meant);
}

static int add_name(void *ctx, const char *pattern)
{
	struct compiler *c = ctx;
	const struct fence_policy_rule *r = &c->p->rules[c->rule];
	struct fence_policy_name *n;
	struct fence_name_key key;
	size_t i;

	memset(&key, 0, sizeof(key));
	key.tool = r->tool;
	if (name_key(pattern, &key))
		return refuse_name(c, pattern);
	for (i = 0; i < c->p->nnames; i++)
		if (!memcmp(&c->p->names[i].key, &key, sizeof(key)))
			return REFUSE(c->r, c->path, "\"%s\" is already allowed by %s; keep one",
				      pattern, c->p->rules[c->p->names[i].rule.id].path);
	if (c->p->nnames >= FENCE_RULE_MAX)
		return REFUSE(c->r, c->path, "more than %d names; use fewer sandboxes or tools",
			      FENCE_RULE_MAX);
	n = grow((void **)&c->p->names, &c->p->nnames, sizeof(*n));
	if (!n)
		return REFUSE(c->r, c->path, "no memory");
	n->key = key;
	n->rule.id = c->rule;
	n->rule.flags = r->flags;
	n->rule.nports = r->nports;
	memcpy(n->rule.ports, r->ports, sizeof(n->rule.ports));
	return 0;
}

static int lint_star(struct compiler *c, const struct fence_policy_rule *r, const char *h)
{
	if (strncmp(h, "*.", 2))
		return REFUSE(c->r, c->path,
			      "a star may only stand for whole labels in front, \"*.name\"; list "
			      "the hosts one by one");
	if (strchr(h + 2, '*'))
		return REFUSE(c->r, c->path, "one star, in front; list the hosts one by one");
	if (fence_crm_is_shared_suffix(h + 2))
		return REFUSE(
			c->r, c->path,
			"also allows strangers' hosts: anybody can have a name under %s; list "
			"the hosts one by one",
			h + 2);
	if (fence_crm_is_model(h + 2))
		warn_model(c->p, r->path);
	warn(c->p, r->path, "a wildcard: whoever can add a name to this zone can receive data");
	return 0;
}

/* The name of the sandbox that a host of the own My Domain belongs to; 0: none, a partition. */
static int sandbox_of(const struct fence_org *o, const char *host)
{
	size_t n = strlen(o->my_domain);

	return !strncmp(host, o->my_domain, n) && !strncmp(host + n, "--", 2)
		       ? (int)strcspn(host + n + 2, ".-")
		       : 0;
}

static int lint_host(struct compiler *c, const struct fence_policy_rule *r)
{
	const struct fence_org *o = &c->p->org;
	char meant[FENCE_MEANT];
	const char *h = fence_meant_host(r->text, meant, &(unsigned int){ 0 }) ? r->text : meant;

	if (strchr(h, '*'))
		return lint_star(c, r, h);
	if (fence_crm_is_model(h))
		warn_model(c->p, r->path);
	switch (fence_crm_classify(h, o)) {
	case FENCE_HOST_FOREIGN:
		return REFUSE(c->r, c->path,
			      "is another Salesforce org's; only $.org is allowed, by \"crm.own\"");
	case FENCE_HOST_SANDBOX:
		if (sandbox_of(o, h))
			return REFUSE(
				c->r, c->path,
				"is a sandbox of the org; write \"sandboxes\": [\"%.*s\"] into "
				"$.org",
				sandbox_of(o, h), h + strlen(o->my_domain) + 2);
		return REFUSE(
			c->r, c->path,
			"is a sandbox or partition of the org; list it in $.org.sandboxes, or "
			"name it in $.org.partition");
	case FENCE_HOST_SHARED:
		return REFUSE(
			c->r, c->path,
			"serves every Salesforce org, so its name proves nothing; for sign-on "
			"use $.org.login_hosts");
	case FENCE_HOST_OWN:
		return REFUSE(c->r, c->path,
			      "is the org's own host; write \"crm.own\" instead of this entry");
	case FENCE_HOST_IP:
		return REFUSE(c->r, c->path, "is an address; write { \"cidr\": \"%s/%d\", ... }", h,
			      strchr(h, ':') ? 128 : 32);
	case FENCE_HOST_LEGACY:
		warn(c->p, r->path,
		     "a Salesforce product outside the org: other customers' data lives there too");
		return 0;
	default:
		return 0;
	}
}

static int add_net(struct compiler *c, const struct fence_policy_rule *r)
{
	char meant[FENCE_MEANT];
	struct fence_policy_net *n;
	unsigned int bits = 0;
	uint8_t addr[16];
	uint16_t i;

	if (fence_addr_parse_net(r->text, addr, &bits)) {
		if (fence_meant_net(r->text, meant))
			return REFUSE(c->r, c->path,
				      "is no network: write address/bits with no host bits set; a "
				      "name goes into \"host\"");
		return REFUSE(c->r, c->path,
			      "is no network: it has host bits, or no bits; write \"%s\"", meant);
	}
	if (bits < (fence_addr_is_v4(addr) ? 96 + 8 : 32))
		return REFUSE(c->r, c->path,
			      "is too wide: at least /8 for IPv4, /32 for IPv6; list the networks "
			      "that are meant");
	if (fence_addr_is_local(addr))
		return REFUSE(c->r, c->path, "is this machine; use \"local_ports\"");
	warn(c->p, r->path, "an address rule: neither name nor TLS is checked there");
	for (i = 0; i < r->nports; i++) {
		n = grow((void **)&c->p->nets, &c->p->nnets, sizeof(*n));
		if (!n)
			return REFUSE(c->r, c->path, "no memory");
		n->key.prefixlen = FENCE_NET_KEY_BITS(bits);
		n->key.tool = r->tool;
		n->key.port = r->ports[i];
		memcpy(n->key.addr, addr, 16);
		n->rule = c->rule;
	}
	return 0;
}

static struct fence_policy_rule *add_rule(struct compiler *c, const struct fence_policy_rule *from)
{
	struct fence_policy_rule *r = grow((void **)&c->p->rules, &c->p->nrules, sizeof(*r));

	if (!r)
		return NULL;
	*r = *from;
	c->rule = (uint32_t)(c->p->nrules - 1);
	return r;
}

static void compile_allow(struct compiler *c, const struct fence_policy_allow *a)
{
	const struct fence_policy_rule *r = add_rule(c, &a->rule);
	char meant[FENCE_MEANT];
	unsigned int port;

	snprintf(c->path, sizeof(c->path), "%s%s", a->rule.path,
		 a->kind == FENCE_ALLOW_NET    ? ".cidr"
		 : a->kind == FENCE_ALLOW_HOST ? ".host"
					       : "");
	if (!r) {
		REFUSE(c->r, c->path, "no memory");
	} else if (a->kind == FENCE_ALLOW_OWN) {
		c->p->rules[c->rule].flags |= FENCE_RULE_OWN;
		fence_crm_own(&c->p->org, add_name, c);
	} else if (a->kind == FENCE_ALLOW_NET) {
		add_net(c, r);
	} else if (lint_host(c, r) < 0) {
		return;
	} else if (!fence_meant_host(r->text, meant, &port)) {
		refuse_name(c, r->text); /* capitals too: one host is written in one way */
	} else {
		if (r->flags & FENCE_RULE_PLAIN)
			warn(c->p, r->path,
			     "\"tls\": false: anybody on the way can read what is sent there");
		add_name(c, r->text);
	}
}

/* The proxy's own name may be asked for by every tool. */
static void compile_proxy(struct compiler *c, size_t index, uint8_t tool)
{
	const struct fence_policy_proxy *x = &c->p->proxies[index];
	struct fence_policy_rule r = { .tool = tool, .nports = 1, .ports = { x->port } };

	/* a company's proxy has an address of the company's */
	r.flags = FENCE_RULE_ASK | FENCE_RULE_PRIVATE;

	snprintf(r.path, sizeof(r.path), "$.proxies[%zu]", index);
	snprintf(r.text, sizeof(r.text), "%s", x->host);
	snprintf(r.why, sizeof(r.why), "the corporate proxy, for CONNECT to allowed names");
	snprintf(c->path, sizeof(c->path), "%s.host", r.path);
	if (!add_rule(c, &r))
		REFUSE(c->r, c->path, "no memory");
	else if (!x->is_addr)
		add_name(c, x->host);
}

static void warn_matches(struct fence_policy *p, size_t tool)
{
	char path[96];
	size_t j;

	for (j = 0; j < p->tools[tool].nmatch; j++) {
		snprintf(path, sizeof(path), "$.tools[%zu].match[%zu]", tool, j);
		if (p->tools[tool].match[j].kind == FENCE_MATCH_UID &&
		    p->tools[tool].match[j].uid >= 1000)
			warn(p, path,
			     "a user id from 1000 on is mostly a person's: every program of that "
			     "person is the tool");
		if (p->tools[tool].match[j].has_sha)
			warn(p, path,
			     "with \"sha256\" another build at this path is not the tool, "
			     "and is not confined");
	}
}

static void warn_unix(struct fence_policy *p, size_t tool)
{
	const struct fence_unix_group *g;
	char path[64];
	size_t i;

	snprintf(path, sizeof(path), "$.tools[%zu].unix", tool);
	for (i = 0; (g = fence_unix_group(i)); i++)
		if (p->tools[tool].unix_groups >> i & 1)
			warn(p, path, g->warning);
	if (fence_policy_unproved(&p->tools[tool], 0))
		warn(p, path,
		     "with \"unproved\", in tier B, any Unix socket of this machine can be reached "
		     "through that name: a session makes it lead elsewhere");
}

static void warn_ranges(struct fence_policy *p)
{
	size_t i;

	for (i = 0; i < p->nrules && !(p->rules[i].flags & FENCE_RULE_OWN); i++)
		;
	if (i < p->nrules && !p->ranges_file[0])
		warn(p, "$.org",
		     "no \"ip_ranges\": whatever public address a resolver gives for the org's "
		     "names is believed; put Salesforce's ip-ranges.json beside the policy");
	if (p->ranges_tell)
		warn(p, "$.org.ip_ranges.outside",
		     "an address that is not Salesforce's gets the org's data, and an alert");
}

static void warn_leaves(struct fence_policy *p)
{
	int left = fence_policy_leaves(p);
	char text[400];

	snprintf(text, sizeof(text), "%s; %s", fence_policy_leaves_why, fence_policy_leaves_remedy);
	if (left & FENCE_FREE_EXTENSIONS)
		warn(p, "$.browser.extensions", text);
	if (left & FENCE_FREE_ADDONS)
		warn(p, "$.browser.addons", text);
}

static void warn_write(struct fence_policy *p, size_t tool)
{
	char path[64];

	snprintf(path, sizeof(path), "$.tools[%zu].write", tool);
	if (p->tools[tool].nwrite && p->tools[tool].nmatch)
		warn(p, path,
		     "in tier B held for sessions of `crmfence exec` alone: a process that is "
		     "recognised has begun without it");
}

void fence_policy_compile(struct reader *r)
{
	struct fence_policy *p = r->p;
	struct compiler c = { .r = r, .p = p };
	size_t i, j;

	fence_lint_matches(r);
	for (i = 0; i < p->ntools; i++) {
		warn_matches(p, i);
		warn_unix(p, i);
		warn_write(p, i);
		for (j = 0; j < r->allows[i].count; j++)
			compile_allow(&c, &r->allows[i].list[j]);
		for (j = 0; j < p->nproxies; j++)
			compile_proxy(&c, j, (uint8_t)(i + 1));
	}
	warn_ranges(p);
	warn_leaves(p);
	if (p->org.login_hosts)
		warn(p, "$.org.login_hosts",
		     "login.salesforce.com is shared by every org; switch it off in My Domain and "
		     "drop it here");
	if (p->quic_allow)
		warn(p, "$.quic", "QUIC hides the server name: only the address is checked");
}
