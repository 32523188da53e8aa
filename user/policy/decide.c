// SPDX-License-Identifier: Apache-2.0
/*
 * The policy's own evaluator: the same facts and the same decide.h as the kernel, without a kernel.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <crmfence/addr.h>

#include "base/addr.h"
#include "policy/policy.h"

uint8_t fence_policy_tool(const struct fence_policy *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->ntools; i++)
		if (!strcmp(p->tools[i].name, name))
			return (uint8_t)(i + 1);
	return 0;
}

int fence_policy_sees(const struct fence_policy *p, uint8_t tool)
{
	return tool && tool <= p->ntools && p->tools[tool - 1].sight;
}

int fence_policy_loose(const struct fence_policy *p, uint8_t tool)
{
	return tool && tool <= p->ntools &&
	       (p->tools[tool - 1].loose || fence_policy_taints(p, tool));
}

int fence_policy_taints(const struct fence_policy *p, uint8_t tool)
{
	return tool && tool <= p->ntools && p->tools[tool - 1].taint == FENCE_TAINT_CONFINED;
}

const char *fence_policy_tool_name(const struct fence_policy *p, uint8_t tool)
{
	return tool && tool <= p->ntools ? p->tools[tool - 1].name : "";
}

/* Longest entry that is a prefix of `key`, as an LPM trie finds it. */
static const struct fence_policy_name *longest(const struct fence_policy *p,
					       const struct fence_name_key *key)
{
	const struct fence_policy_name *best = NULL;
	size_t i;

	for (i = 0; i < p->nnames; i++) {
		const struct fence_name_key *k = &p->names[i].key;

		if (k->tool != key->tool || k->prefixlen > key->prefixlen ||
		    memcmp(k->name, key->name, k->prefixlen / 8 - 1))
			continue;
		if (!best || best->key.prefixlen < k->prefixlen)
			best = &p->names[i];
	}
	return best;
}

const struct fence_policy_name *fence_policy_find(const struct fence_policy *p, uint8_t tool,
						  const char *host)
{
	struct fence_name_key key = { .tool = tool };
	const struct fence_policy_name *found;
	struct fence_name n;
	uint32_t i, len;

	fence_name_init(&n);
	for (; *host; host++)
		fence_name_feed(&n, (uint8_t)*host);
	if (!fence_name_ok(&n))
		return NULL;
	len = fence_name_key_len(&n);
	for (i = 0; i < len; i++)
		key.name[i] = fence_name_key_at(&n, i);
	key.prefixlen = FENCE_NAME_KEY_BITS(len);
	found = longest(p, &key);
	if (found || !fence_name_has_shape(&n))
		return found;
	len = fence_name_shape_len(&n);
	for (i = 0; i < len; i++)
		key.name[i] = fence_name_shape_at(&n, i);
	key.prefixlen = FENCE_NAME_KEY_BITS(len);
	return longest(p, &key);
}

static int has_port(const uint16_t *ports, size_t n, uint16_t port)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (ports[i] == port)
			return 1;
	return 0;
}

static int bits_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	return !memcmp(a, b, bits / 8) &&
	       !(bits % 8 && (a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8));
}

static const struct fence_policy_net *find_net(const struct fence_policy *p, uint8_t tool,
					       const uint8_t addr[16], uint16_t port)
{
	const struct fence_policy_net *best = NULL;
	size_t i;

	for (i = 0; i < p->nnets; i++) {
		const struct fence_policy_net *n = &p->nets[i];

		if (n->key.tool != tool || n->key.port != port ||
		    !bits_equal(n->key.addr, addr, n->key.prefixlen - 32))
			continue;
		if (!best || best->key.prefixlen < n->key.prefixlen)
			best = n;
	}
	return best;
}

uint8_t fence_policy_leads(const struct fence_policy *p, uint16_t flags, const uint8_t addr[16])
{
	uint8_t meant[16];
	size_t i;

	if (fence_addr_is_private(addr))
		return flags & FENCE_RULE_PRIVATE ? FENCE_FORM_OK : FENCE_FORM_PRIVATE;
	if (!(flags & FENCE_RULE_OWN) || !p->ranges_file[0])
		return FENCE_FORM_OK;
	fence_addr_meant(addr, meant);
	for (i = 0; i < p->nranges; i++)
		if (bits_equal(p->ranges[i].addr, meant, p->ranges[i].bits))
			return FENCE_FORM_OK;
	return FENCE_FORM_RANGE;
}

static void facts_addr(const struct fence_policy *p, uint8_t tool, const uint8_t addr[16],
		       uint16_t port, struct fence_answer_to *a)
{
	const struct fence_policy_net *net;
	size_t i;

	for (i = 0; port == 53 && i < p->nresolvers; i++)
		if (!memcmp(p->resolvers[i], addr, 16))
			a->facts.addr = FENCE_ADDR_RESOLVER;
	for (i = 0; i < p->nproxies; i++)
		if (p->proxies[i].is_addr && p->proxies[i].port == port &&
		    !memcmp(p->proxies[i].addr, addr, 16))
			a->facts.addr = FENCE_ADDR_PROXY;
	if (a->facts.addr != FENCE_ADDR_UNKNOWN)
		return;
	if (fence_addr_is_local(addr)) {
		a->facts.addr = FENCE_ADDR_LOOPBACK;
		if (has_port(p->tools[tool - 1].local, p->tools[tool - 1].nlocal, port))
			a->facts.flags |= FENCE_F_PORT_OK;
		return;
	}
	net = find_net(p, tool, addr, port);
	if (net) {
		a->facts.addr = FENCE_ADDR_LISTED;
		a->rule = net->rule;
	}
}

/* What a person writes for a host: any case, one final dot, ":port" behind it. */
static void read_host(const struct fence_query *q, struct fence_answer_to *a, uint16_t *port)
{
	char *colon, *end, *s;
	unsigned long n;

	snprintf(a->host, sizeof(a->host), "%s", q->host ? q->host : "");
	colon = strchr(a->host, ':');
	if (colon && !strchr(colon + 1, ':') && isdigit((unsigned char)colon[1])) {
		n = strtoul(colon + 1, &end, 10);
		if (!*end && n && n < 65536) {
			*port = (uint16_t)n;
			*colon = 0;
		}
	}
	for (s = a->host; *s; s++)
		*s = (char)tolower((unsigned char)*s);
	if (s > a->host + 1 && s[-1] == '.' && s[-2] != '.')
		s[-1] = 0;
}

/* The name part: asked of DNS, connected to, said in the hello. Each step may end it. */
static void decide_name(const struct fence_policy *p, const struct fence_query *q, uint16_t port,
			struct fence_answer_to *a)
{
	const struct fence_policy_name *n;
	struct fence_name name;
	const char *s;

	a->facts.at = FENCE_AT_DNS;
	a->facts.proto = FENCE_IPPROTO_UDP;
	a->facts.addr = FENCE_ADDR_RESOLVER;
	fence_name_init(&name);
	for (s = a->host; *s; s++)
		fence_name_feed(&name, (uint8_t)*s);
	if (name.bad || !name.label) {
		a->facts.name = FENCE_NAME_MALFORMED;
		return;
	}
	n = fence_policy_find(p, q->tool, a->host);
	if (!n) {
		a->facts.name = FENCE_NAME_REFUSED;
		return;
	}
	a->rule = n->rule.id;
	a->facts.form = q->has_addr ? fence_policy_leads(p, n->rule.flags, q->addr) : 0;
	if (a->facts.form) { /* as the answer is taken */
		a->facts.name = FENCE_NAME_ALLOWED;
		if (a->facts.form == FENCE_FORM_RANGE && p->ranges_tell)
			a->facts.flags |= FENCE_F_MONITOR;
		return;
	}
	a->facts.proto = q->proto;
	a->facts.addr = has_port(n->rule.ports, n->rule.nports, port) ? FENCE_ADDR_NAMED
								      : FENCE_ADDR_UNKNOWN;
	if (q->has_addr && fence_addr_is_local(q->addr)) { /* before any name, as in the kernel */
		a->facts.addr = FENCE_ADDR_UNKNOWN;
		facts_addr(p, q->tool, q->addr, port, a);
	}
	if (a->facts.addr == FENCE_ADDR_NAMED && n->rule.flags & FENCE_RULE_ASK)
		a->facts.addr = FENCE_ADDR_PROXY;
	if (n->rule.flags & FENCE_RULE_PLAIN)
		a->facts.flags |= FENCE_F_PLAIN_OK;
	a->facts.at = FENCE_AT_PACKET;
	if (fence_decide(&a->facts).reason != FENCE_R_PENDING || q->proto == FENCE_IPPROTO_UDP)
		return;
	a->facts.at = FENCE_AT_STREAM;
	a->facts.stream = FENCE_STREAM_TLS;
	a->facts.name = FENCE_NAME_ALLOWED;
	a->facts.flags |= FENCE_F_NAME_AT;
}

void fence_policy_decide(const struct fence_policy *p, const struct fence_query *q,
			 struct fence_answer_to *a)
{
	uint16_t port = q->port ? q->port : 443;
	uint8_t addr[16];

	memset(a, 0, sizeof(*a));
	a->rule = ~0u;
	a->facts.flags = FENCE_F_CONFINED | (p->monitor ? FENCE_F_MONITOR : 0) |
			 (p->quic_allow ? FENCE_F_QUIC_OK : 0);
	read_host(q, a, &port);
	a->host_class = fence_crm_classify(a->host, &p->org);
	if (a->host_class == FENCE_HOST_IP || (!a->host[0] && q->has_addr)) {
		a->host_class = FENCE_HOST_IP;
		a->facts.at = FENCE_AT_CONNECT;
		a->facts.proto = q->proto;
		if (fence_addr_parse(a->host, addr))
			memcpy(addr, q->addr, 16);
		facts_addr(p, q->tool, addr, port, a);
	} else {
		decide_name(p, q, port, a);
	}
	a->verdict = fence_decide(&a->facts);
}
