// SPDX-License-Identifier: Apache-2.0
/*
 * The decision, against a second statement of it: rules in a table, of which the first that fits
 * counts. Every combination of facts is asked. And the policy's evaluator: what it makes of a
 * question, fact by fact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "policy/policy.h"

/* ---- decide.h ---- */

#define ONE(x) (1u << (x))
#define ADDRESS (ONE(FENCE_AT_CONNECT) | ONE(FENCE_AT_SENDMSG) | ONE(FENCE_AT_PACKET))
#define STREAM ONE(FENCE_AT_STREAM)
#define DNS ONE(FENCE_AT_DNS)
#define REQUEST ONE(FENCE_AT_REQUEST)
#define HERE ONE(FENCE_ADDR_LOOPBACK)
#define PROXY ONE(FENCE_ADDR_PROXY)
#define NAMED ONE(FENCE_ADDR_NAMED)
#define LISTED ONE(FENCE_ADDR_LISTED)
#define GOOD ONE(FENCE_NAME_ALLOWED)
#define PENDING ONE(FENCE_NAME_PENDING)
#define TLS ONE(FENCE_STREAM_TLS)
#define UDP 1u
#define TCP 2u

/* Sets, 0: all; `with` and `without`: flags. */
static const struct row {
	uint32_t at, addr, name, stream, form, proto;
	uint8_t with, without, reason;
} rows[] = {
	{ .with = FENCE_F_OVERFLOW, .reason = FENCE_R_OVERFLOW },
	{ .at = ONE(FENCE_AT_CREATE), .form = ONE(FENCE_FORM_OK), .reason = FENCE_R_SOCKET_OK },
	{ .at = ONE(FENCE_AT_CREATE), .reason = FENCE_R_SOCKET },
	{ .at = ONE(FENCE_AT_BIND), .reason = FENCE_R_BIND },
	{ .at = ONE(FENCE_AT_SOCKOPT), .reason = FENCE_R_SOCKOPT },
	{ .at = ONE(FENCE_AT_ACCEPT), .reason = FENCE_R_ACCEPT },
	{ .at = ONE(FENCE_AT_LOCAL), .reason = FENCE_R_OTHER },
	{ .at = ONE(FENCE_AT_UNIX), .with = FENCE_F_PORT_OK, .reason = FENCE_R_LOCAL_OK },
	{ .at = ONE(FENCE_AT_UNIX), .reason = FENCE_R_UNIX },

	{ .at = ADDRESS,
	  .addr = ONE(FENCE_ADDR_RESOLVER),
	  .form = ONE(FENCE_FORM_OK),
	  .reason = FENCE_R_PENDING },
	{ .at = ADDRESS, .addr = ONE(FENCE_ADDR_RESOLVER), .reason = FENCE_R_DNS_FORM },
	{ .at = ADDRESS | STREAM,
	  .addr = HERE,
	  .with = FENCE_F_PORT_OK,
	  .reason = FENCE_R_LOCAL_OK },
	{ .at = ADDRESS | STREAM, .addr = HERE, .reason = FENCE_R_LOCAL },
	{ .at = ADDRESS | STREAM, .addr = LISTED, .reason = FENCE_R_ADDR_OK },
	{ .at = ADDRESS, .addr = PROXY | NAMED, .proto = TCP, .reason = FENCE_R_PENDING },
	{ .at = ONE(FENCE_AT_CONNECT), .addr = NAMED, .reason = FENCE_R_PENDING },
	{ .at = ADDRESS, .addr = NAMED, .with = FENCE_F_QUIC_OK, .reason = FENCE_R_QUIC_OK },
	{ .at = ADDRESS, .addr = PROXY | NAMED, .reason = FENCE_R_UDP },
	{ .at = ADDRESS, .reason = FENCE_R_ADDR },

	{ .at = DNS, .form = ONE(FENCE_FORM_BAD), .reason = FENCE_R_DNS_FORM },
	{ .at = DNS, .name = ONE(FENCE_NAME_MALFORMED), .reason = FENCE_R_DNS_FORM },
	{ .at = DNS, .name = ~GOOD, .reason = FENCE_R_DNS_NAME },
	{ .at = DNS, .form = ONE(FENCE_FORM_OK), .reason = FENCE_R_DNS_OK },
	{ .at = DNS, .form = ONE(FENCE_FORM_RATE), .reason = FENCE_R_DNS_RATE },
	{ .at = DNS, .form = ONE(FENCE_FORM_PRIVATE), .reason = FENCE_R_DNS_ADDR },
	{ .at = DNS, .form = ONE(FENCE_FORM_RANGE), .reason = FENCE_R_DNS_RANGE },
	{ .at = DNS, .reason = FENCE_R_DNS_TYPE },

	/* what a proxy is asked for; inside a CONNECT it is a stream as any */
	{ .at = STREAM,
	  .addr = PROXY,
	  .without = FENCE_F_VIA_PROXY,
	  .form = ONE(FENCE_FORM_EARLY),
	  .reason = FENCE_R_PROXY_EARLY },
	{ .at = STREAM,
	  .addr = PROXY,
	  .without = FENCE_F_VIA_PROXY,
	  .stream = TLS,
	  .reason = FENCE_R_PROXY_TLS },
	{ .at = STREAM,
	  .addr = PROXY,
	  .without = FENCE_F_VIA_PROXY,
	  .stream = ONE(FENCE_STREAM_OTHER),
	  .reason = FENCE_R_PROXY_METHOD },
	{ .at = STREAM,
	  .addr = PROXY,
	  .without = FENCE_F_VIA_PROXY,
	  .name = PENDING,
	  .reason = FENCE_R_PENDING },
	{ .at = STREAM,
	  .addr = PROXY,
	  .without = FENCE_F_VIA_PROXY,
	  .name = ONE(FENCE_NAME_MALFORMED),
	  .reason = FENCE_R_PROXY_FORM },
	{ .at = STREAM,
	  .addr = PROXY,
	  .with = FENCE_F_PLAIN_OK,
	  .without = FENCE_F_VIA_PROXY,
	  .stream = ONE(FENCE_STREAM_ABSOLUTE),
	  .name = GOOD,
	  .reason = FENCE_R_PLAIN_OK },
	{ .at = STREAM,
	  .addr = PROXY,
	  .without = FENCE_F_VIA_PROXY,
	  .stream = ONE(FENCE_STREAM_ABSOLUTE),
	  .reason = FENCE_R_PROXY_METHOD },
	{ .at = STREAM,
	  .addr = PROXY,
	  .without = FENCE_F_VIA_PROXY,
	  .name = GOOD,
	  .reason = FENCE_R_PROXY_OK },
	{ .at = STREAM, .addr = PROXY, .without = FENCE_F_VIA_PROXY, .reason = FENCE_R_PROXY_NAME },

	{ .at = STREAM, .addr = ~(NAMED | PROXY), .reason = FENCE_R_ADDR },
	{ .at = STREAM,
	  .stream = ONE(FENCE_STREAM_NONE),
	  .name = PENDING,
	  .reason = FENCE_R_PENDING },
	{ .at = STREAM, .stream = ONE(FENCE_STREAM_NONE), .reason = FENCE_R_HELLO },
	{ .at = STREAM, .stream = TLS, .name = PENDING, .reason = FENCE_R_PENDING },
	{ .at = STREAM,
	  .stream = TLS,
	  .name = GOOD,
	  .with = FENCE_F_NAME_AT,
	  .reason = FENCE_R_NAME_OK },
	{ .at = STREAM, .stream = TLS, .name = GOOD, .reason = FENCE_R_SNI_ADDR },
	{ .at = STREAM, .stream = TLS, .name = ONE(FENCE_NAME_REFUSED), .reason = FENCE_R_SNI },
	{ .at = STREAM, .stream = TLS, .name = ONE(FENCE_NAME_ABSENT), .reason = FENCE_R_SNI_NONE },
	{ .at = STREAM, .stream = TLS, .reason = FENCE_R_HELLO },
	{ .at = STREAM, .with = FENCE_F_PLAIN_OK, .reason = FENCE_R_PLAIN_OK },
	{ .at = STREAM, .reason = FENCE_R_NOT_TLS },

	{ .at = REQUEST, .form = ONE(FENCE_FORM_TOKEN), .reason = FENCE_R_TOKEN },
	{ .at = REQUEST, .form = ONE(FENCE_FORM_TENANT), .reason = FENCE_R_TENANT },
	{ .at = REQUEST, .addr = HERE | LISTED, .reason = FENCE_R_PENDING },
	{ .at = REQUEST, .name = GOOD, .reason = FENCE_R_PENDING },
	{ .at = REQUEST, .reason = FENCE_R_REQUEST },
	{ .reason = FENCE_R_OVERFLOW },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int has(uint32_t set, uint8_t value)
{
	return !set || set >> value & 1;
}

/* Rules that fit a place, in their order; how many. */
static size_t rows_at(uint8_t at, const struct row **out)
{
	size_t i, n = 0;

	for (i = 0; i < ROWS; i++)
		if (has(rows[i].at, at))
			out[n++] = &rows[i];
	return n;
}

static uint8_t expected(const struct row **some, const struct fence_facts *f)
{
	const struct row *r;

	for (;; some++) {
		r = *some;
		if (has(r->addr, f->addr) && has(r->name, f->name) && has(r->stream, f->stream) &&
		    has(r->form, f->form) && has(r->proto, f->proto == 17 ? 0 : 1) &&
		    (f->flags & r->with) == r->with && !(f->flags & r->without))
			return r->reason;
	}
}

static void every_form(const struct row **some, struct fence_facts *f)
{
	struct fence_verdict v;
	unsigned int flags;
	uint8_t reason;

	for (f->form = 0; f->form < 10; f->form++)
		for (flags = 0; flags < 256; flags++) {
			f->flags = (uint8_t)flags;
			reason = f->flags & 1 ? expected(some, f) : FENCE_R_UNCONFINED;
			v = fence_decide(f);
			if (v.reason != reason || v.action != (reason < FENCE_R_ADDR ? FENCE_ALLOW
							       : flags & 2 ? FENCE_WOULD_DENY
									   : FENCE_DENY))
				fail_msg("at %u flags %#x proto %u addr %u name %u stream %u form "
					 "%u: %u, expected %u",
					 f->at, flags, f->proto, f->addr, f->name, f->stream,
					 f->form, v.reason, reason);
		}
}

/* Also one beyond the last of each. */
static void test_every_fact(void **state)
{
	static const uint8_t protos[] = { 6, 17 };
	const struct row *some[ROWS];
	struct fence_facts f = { 0 };
	size_t i;

	(void)state;
	for (f.at = 0; f.at <= FENCE_AT_MAX; f.at++) {
		rows_at(f.at, some);
		for (i = 0; i < 2; i++)
			for (f.addr = 0; f.addr <= FENCE_ADDR_MAX; f.addr++)
				for (f.name = 0; f.name <= FENCE_NAME_MAX_; f.name++)
					for (f.stream = 0; f.stream <= FENCE_STREAM_MAX;
					     f.stream++) {
						f.proto = protos[i];
						every_form(some, &f);
					}
	}
}

/* No agent: no, whatever else; but nobody outside a session is asked, and a full table is said. */
static void test_silent(void **state)
{
	struct fence_facts f = { .state = 1 };
	struct fence_verdict v;
	unsigned int flags;

	(void)state;
	for (f.at = 0; f.at <= FENCE_AT_MAX; f.at++)
		for (flags = 0; flags < 256; flags++) {
			f.flags = (uint8_t)flags;
			v = fence_decide(&f);
			assert_int_equal(v.reason, !(flags & 1)	  ? FENCE_R_UNCONFINED
						   : flags & 0x80 ? FENCE_R_OVERFLOW
								  : FENCE_R_SILENT);
		}
	for (f.at = 0; f.at <= FENCE_AT_MAX; f.at++) { /* other bits are nothing */
		f.flags = 1;
		f.state = 0xfe;
		assert_int_not_equal(fence_decide(&f).reason, FENCE_R_SILENT);
	}
}

/* The numbers are in the log, for ever; and what a denial of a form is about. */
static void test_numbers(void **state)
{
	static const uint8_t forms[] = { FENCE_FORM_OK,	     FENCE_FORM_BAD,   FENCE_FORM_TYPE,
					 FENCE_FORM_TENANT,  FENCE_FORM_TOKEN, FENCE_FORM_RATE,
					 FENCE_FORM_PRIVATE, FENCE_FORM_RANGE, FENCE_FORM_EARLY };
	static const uint8_t flags[] = { FENCE_F_CONFINED,  FENCE_F_MONITOR, FENCE_F_PLAIN_OK,
					 FENCE_F_QUIC_OK,   FENCE_F_PORT_OK, FENCE_F_NAME_AT,
					 FENCE_F_VIA_PROXY, FENCE_F_OVERFLOW };
	uint8_t i;

	(void)state;
	for (i = 0; i < sizeof(forms); i++) {
		assert_int_equal(forms[i], i);
		assert_int_equal(fence_form_is_answer(i), i == 6 || i == 7);
	}
	for (i = 0; i < sizeof(flags); i++)
		assert_int_equal(flags[i], 1 << i);
	assert_int_equal(FENCE_S_SILENT, 1);
	assert_int_equal(FENCE_IPPROTO_TCP, 6);
	assert_int_equal(FENCE_IPPROTO_UDP, 17);
	for (i = 0; i < FENCE_R_MAX; i++)
		assert_int_equal(fence_reason_is_allow(i), i < 10);
	assert_int_equal(FENCE_R_ADDR, 10);
	assert_int_equal(FENCE_R_DNS_RANGE, 39);
}

/* ---- policy/decide.c ---- */

static const char text[] =
	"{\"crmfence\":1,\"name\":\"t\",\"mode\":\"%s\",\"org\":{\"my_domain\":\"acme\"},"
	"\"resolvers\":[\"10.0.0.53\",\"fd00::53\"],\"quic\":\"%s\","
	"\"proxies\":[{\"host\":\"proxy.example\",\"port\":3128},{\"host\":\"10.0.0.8\",\"port\":"
	"8080}],\"tools\":[{\"name\":\"one\",\"allow\":[\"crm.own\","
	"{\"host\":\"a.example\",\"why\":\"w\"},{\"host\":\"*.z.example\",\"why\":\"w\"},"
	"{\"host\":\"plain.example\",\"why\":\"w\",\"tls\":false,\"ports\":[80,8080]},"
	"{\"cidr\":\"10.1.0.0/16\",\"ports\":[5000,5001],\"why\":\"w\"},"
	"{\"cidr\":\"10.1.2.0/23\",\"ports\":[5000],\"why\":\"w\"}],\"local_ports\":[7000]},"
	"{\"name\":\"two\",\"allow\":[{\"host\":\"b.example\",\"why\":\"w\"},"
	"{\"host\":\"x.z.example\",\"why\":\"w\"},"
	"{\"cidr\":\"fd77::/33\",\"ports\":[5000],\"why\":\"w\"}],\"local_ports\":[7001,7002]}]}";

/* `rule`: a part of its text, "": none. */
static const struct asked {
	const char *host, *addr;
	uint16_t port;
	uint8_t tool, udp;
	const char *reason, *rule, *as;
	uint8_t at, fact, name;
} asked[] = {
	/* names */
	{ "a.example", 0, 443, 1, 0, "name", "a.example", 0, FENCE_AT_STREAM, FENCE_ADDR_NAMED,
	  FENCE_NAME_ALLOWED },
	{ "A.Example.", 0, 0, 1, 0, "name", "a.example", "a.example", FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "a.example:443", 0, 80, 1, 0, "name", "a.example", "a.example", FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "a.example:444", 0, 443, 1, 0, "address-unknown", "a.example", "a.example",
	  FENCE_AT_PACKET, FENCE_ADDR_UNKNOWN, 0 },
	{ "a.example:65535", 0, 443, 1, 0, "address-unknown", "a.example", "a.example",
	  FENCE_AT_PACKET, FENCE_ADDR_UNKNOWN, 0 },
	{ "a.example:65536", 0, 443, 1, 0, "dns-form", "", "a.example:65536", FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_MALFORMED },
	{ "a.example:0", 0, 443, 1, 0, "dns-form", "", "a.example:0", FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_MALFORMED },
	{ "a.example:4x", 0, 443, 1, 0, "dns-form", "", "a.example:4x", FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_MALFORMED },
	{ "a.example:", 0, 443, 1, 0, "dns-form", "", "a.example:", FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_MALFORMED },
	{ "a.example..", 0, 443, 1, 0, "dns-form", "", "a.example..", FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_MALFORMED },
	{ ".", 0, 443, 1, 0, "dns-form", "", ".", FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_MALFORMED },
	{ "", 0, 443, 1, 0, "dns-form", "", "", FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_MALFORMED },
	{ "a.", 0, 443, 1, 0, "dns-name", "", "a", FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_REFUSED },
	{ "a.example", 0, 444, 1, 0, "address-unknown", "a.example", 0, FENCE_AT_PACKET,
	  FENCE_ADDR_UNKNOWN, 0 },
	{ "a.example", 0, 443, 2, 0, "dns-name", "", 0, FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_REFUSED },
	{ "b.example", 0, 443, 2, 0, "name", "b.example", 0, FENCE_AT_STREAM, FENCE_ADDR_NAMED,
	  FENCE_NAME_ALLOWED },
	{ "b.example", 0, 443, 1, 0, "dns-name", "", 0, FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_REFUSED },
	{ "a.example", 0, 443, 1, 1, "udp", "a.example", 0, FENCE_AT_PACKET, FENCE_ADDR_NAMED, 0 },
	{ "aa.example", 0, 443, 1, 0, "dns-name", "", 0, FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_REFUSED },
	{ "z.example", 0, 443, 1, 0, "dns-name", "", 0, FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_REFUSED },
	{ "y.z.example", 0, 443, 1, 0, "name", "*.z.example", 0, FENCE_AT_STREAM, FENCE_ADDR_NAMED,
	  FENCE_NAME_ALLOWED },
	{ "y.x.z.example", 0, 443, 1, 0, "name", "*.z.example", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "y.z.example", 0, 443, 2, 0, "dns-name", "", 0, FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_REFUSED },
	{ "acme.my.salesforce.com", 0, 443, 1, 0, "name", "crm.own", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "acme--c.vf.force.com", 0, 443, 1, 0, "name", "crm.own", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "acme--.vf.force.com", 0, 443, 1, 0, "dns-name", "", 0, FENCE_AT_DNS, FENCE_ADDR_RESOLVER,
	  FENCE_NAME_REFUSED },
	{ "acmf--c.vf.force.com", 0, 443, 1, 0, "dns-name", "", 0, FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_REFUSED },
	{ "acme--c.vf.forcf.com", 0, 443, 1, 0, "dns-name", "", 0, FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_REFUSED },
	/* in plain text */
	{ "plain.example", 0, 80, 1, 0, "name", "plain.example", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "plain.example", 0, 8080, 1, 0, "name", "plain.example", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "plain.example", 0, 0, 1, 0, "address-unknown", "plain.example", 0, FENCE_AT_PACKET,
	  FENCE_ADDR_UNKNOWN, 0 },
	/* a proxy, which both may ask for */
	{ "proxy.example", 0, 3128, 1, 0, "proxy-tls", "proxy.example", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_PROXY, FENCE_NAME_ALLOWED },
	{ "proxy.example", 0, 3128, 2, 1, "udp", "proxy.example", 0, FENCE_AT_PACKET,
	  FENCE_ADDR_PROXY, 0 },
	{ "proxy.example", 0, 3129, 2, 0, "address-unknown", "proxy.example", 0, FENCE_AT_PACKET,
	  FENCE_ADDR_UNKNOWN, 0 },
	{ "10.0.0.8", 0, 8080, 1, 0, "pending", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_PROXY, 0 },
	{ "10.0.0.8", 0, 8080, 1, 1, "udp", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_PROXY, 0 },
	{ "10.0.0.8", 0, 8081, 1, 0, "address-unknown", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_UNKNOWN,
	  0 },
	{ "10.0.0.9", 0, 8080, 1, 0, "address-unknown", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_UNKNOWN,
	  0 },
	/* resolvers */
	{ "10.0.0.53", 0, 53, 1, 1, "pending", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_RESOLVER, 0 },
	{ "fd00::53", 0, 53, 2, 1, "pending", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_RESOLVER, 0 },
	{ "10.0.0.53", 0, 54, 1, 1, "address-unknown", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_UNKNOWN,
	  0 },
	{ "10.0.0.54", 0, 53, 1, 1, "address-unknown", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_UNKNOWN,
	  0 },
	/* this machine */
	{ "127.0.0.1", 0, 7000, 1, 0, "local", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_LOOPBACK, 0 },
	{ "127.0.0.1", 0, 7001, 1, 0, "loopback", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_LOOPBACK, 0 },
	{ "::1", 0, 7002, 2, 0, "local", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_LOOPBACK, 0 },
	{ "::1", 0, 7000, 2, 0, "loopback", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_LOOPBACK, 0 },
	/* networks: the longest that has the address, of this tool and port */
	{ "10.1.0.0", 0, 5000, 1, 0, "address", "10.1.0.0/16", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "10.1.255.255", 0, 5000, 1, 0, "address", "10.1.0.0/16", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "10.1.2.0", 0, 5000, 1, 0, "address", "10.1.2.0/23", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "10.1.3.255", 0, 5000, 1, 0, "address", "10.1.2.0/23", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "10.1.4.0", 0, 5000, 1, 0, "address", "10.1.0.0/16", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "10.1.3.0", 0, 5001, 1, 0, "address", "10.1.0.0/16", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "10.1.3.0", 0, 5002, 1, 0, "address-unknown", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_UNKNOWN,
	  0 },
	{ "10.1.3.0", 0, 5000, 2, 0, "address-unknown", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_UNKNOWN,
	  0 },
	{ "10.0.255.255", 0, 5000, 1, 0, "address-unknown", "", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_UNKNOWN, 0 },
	{ "10.2.0.0", 0, 5000, 1, 0, "address-unknown", "", 0, FENCE_AT_CONNECT, FENCE_ADDR_UNKNOWN,
	  0 },
	{ "fd77::7fff:1:1", 0, 5000, 2, 0, "address", "fd77::/33", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "fd77:0:8000::", 0, 5000, 2, 0, "address-unknown", "", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_UNKNOWN, 0 },
	{ "fd77:0:7fff::", 0, 5000, 2, 1, "address", "fd77::/33", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	/* a name and the address that DNS gave */
	{ "a.example", "1.2.3.4", 443, 1, 0, "name", "a.example", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_NAMED, FENCE_NAME_ALLOWED },
	{ "a.example", "10.0.0.1", 443, 1, 0, "dns-address", "a.example", 0, FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_ALLOWED },
	{ "a.example", "127.0.0.1", 443, 1, 0, "dns-address", "a.example", 0, FENCE_AT_DNS,
	  FENCE_ADDR_RESOLVER, FENCE_NAME_ALLOWED },
	{ "proxy.example", "127.0.0.1", 3128, 1, 0, "loopback", "proxy.example", 0, FENCE_AT_PACKET,
	  FENCE_ADDR_LOOPBACK, 0 },
	{ "proxy.example", "10.0.0.1", 3128, 1, 0, "proxy-tls", "proxy.example", 0, FENCE_AT_STREAM,
	  FENCE_ADDR_PROXY, FENCE_NAME_ALLOWED },
	{ "", "10.1.0.9", 5000, 1, 0, "address", "10.1.0.0/16", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "10.1.0.9", "10.2.0.9", 5000, 1, 0, "address", "10.1.0.0/16", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "", "10.1.2.9", 5000, 1, 0, "address", "10.1.2.0/23", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_LISTED, 0 },
	{ "", "10.2.0.9", 5000, 1, 0, "address-unknown", "", 0, FENCE_AT_CONNECT,
	  FENCE_ADDR_UNKNOWN, 0 },
	{ "", "fd77::1", 5000, 2, 0, "address", "fd77::/33", 0, FENCE_AT_CONNECT, FENCE_ADDR_LISTED,
	  0 },
};

static struct fence_policy *read_policy(const char *mode, const char *quic)
{
	struct fence_policy *p = NULL;
	struct fence_policy_errors e;
	char room[2048];

	snprintf(room, sizeof(room), text, mode, quic);
	if (fence_policy_parse(room, strlen(room), "t.json", &p, &e) < 0)
		fail_msg("%s: %s", e.d[0].path, e.d[0].text);
	return p;
}

static struct fence_answer_to ask(const struct fence_policy *p, const struct asked *q)
{
	struct fence_query query = { .tool = q->tool,
				     .host = q->host,
				     .port = q->port,
				     .has_addr = !!q->addr,
				     .proto = q->udp ? 17 : 6 };
	struct fence_answer_to a;

	if (q->addr)
		assert_int_equal(fence_addr_parse(q->addr, query.addr), 0);
	memset(&a, 0xee, sizeof(a)); /* nothing of it is anybody's before */
	fence_policy_decide(p, &query, &a);
	return a;
}

static void test_asked(void **state)
{
	struct fence_policy *p = read_policy("enforce", "deny");
	const struct asked *q;
	struct fence_answer_to a;
	const char *reason, *rule;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		q = &asked[i];
		a = ask(p, q);
		reason = fence_reason_name(a.verdict.reason);
		rule = a.rule < p->nrules ? p->rules[a.rule].text : "";
		if (strcmp(reason, q->reason) || (q->rule[0] ? !strstr(rule, q->rule) : rule[0]) ||
		    a.facts.at != q->at || a.facts.addr != q->fact || a.facts.name != q->name ||
		    strcmp(a.host, q->as ? q->as : q->host) ||
		    (a.facts.flags & 3) != FENCE_F_CONFINED ||
		    a.verdict.action != !fence_reason_is_allow(a.verdict.reason) ||
		    !(a.facts.flags & FENCE_F_PLAIN_OK) != !strstr(q->host, "plain") ||
		    a.facts.proto != (a.facts.at == FENCE_AT_DNS || q->udp ? 17 : 6) ||
		    a.facts.stream != (a.facts.at == FENCE_AT_STREAM ? FENCE_STREAM_TLS : 0) ||
		    (a.host_class == FENCE_HOST_IP) != (a.facts.at == FENCE_AT_CONNECT))
			fail_msg("%s %s %u of tool %u: %s by \"%s\" at %u, addr %u, name %u, as %s",
				 q->host, q->addr ? q->addr : "", q->port, q->tool, reason, rule,
				 a.facts.at, a.facts.addr, a.facts.name, a.host);
	}
	fence_policy_free(p);
}

/* Monitor mode denies nothing and says the same; QUIC passes where the policy says so. */
static void test_asked_modes(void **state)
{
	static const struct asked foreign = { .host = "x.example", .tool = 1, .udp = 1 },
				  own = { .host = "a.example", .tool = 1, .udp = 1 },
				  none = { .host = NULL, .tool = 1 };
	struct fence_policy *p = read_policy("monitor", "allow");
	struct fence_answer_to a = ask(p, &foreign);

	(void)state;
	assert_int_equal(a.verdict.action, FENCE_WOULD_DENY);
	assert_int_equal(a.verdict.reason, FENCE_R_DNS_NAME);
	assert_int_equal(a.rule, ~0u);
	a = ask(p, &own);
	assert_int_equal(a.verdict.reason, FENCE_R_QUIC_OK);
	assert_int_equal(a.verdict.action, FENCE_ALLOW);
	a = ask(p, &none);
	assert_string_equal(a.host, "");
	assert_int_equal(a.verdict.reason, FENCE_R_DNS_FORM);
	fence_policy_free(p);
}

static void test_tools(void **state)
{
	struct fence_policy *p = read_policy("enforce", "deny");
	uint8_t tool, t;

	(void)state;
	assert_int_equal(fence_policy_tool(p, "one"), 1);
	assert_int_equal(fence_policy_tool(p, "two"), 2);
	assert_int_equal(fence_policy_tool(p, "three"), 0);
	assert_string_equal(fence_policy_tool_name(p, 2), "two");
	assert_string_equal(fence_policy_tool_name(p, 0), "");
	assert_string_equal(fence_policy_tool_name(p, 3), "");
	for (t = 0; t < 6; t++) { /* of the second tool; and of none beyond */
		p->tools[1].sight = t & 1;
		p->tools[1].loose = t & 2;
		p->tools[1].taint = t & 4 ? FENCE_TAINT_CONFINED : FENCE_TAINT_ALERT;
		p->tools[2] = p->tools[1];
		for (tool = 0; tool < 4; tool++) {
			assert_int_equal(!!fence_policy_sees(p, tool), tool == 2 && t & 1);
			assert_int_equal(!!fence_policy_taints(p, tool), tool == 2 && t & 4);
			assert_int_equal(!!fence_policy_loose(p, tool), tool == 2 && t & 6);
		}
	}
	fence_policy_free(p);
}

/* What finds a name: every one that the policy lists, and none with an octet more, less or other.
 */
static void test_find(void **state)
{
	struct fence_policy *p = read_policy("enforce", "deny");
	static const struct {
		const char *host;
		int tools; /* bits: of which it is */
	} hosts[] = {
		{ "a.example", 1 },
		{ "b.example", 2 },
		{ "x.z.example", 3 },
		{ "y.z.example", 1 },
		{ ".z.example", 0 },
		{ "z.example", 0 },
		{ "proxy.example", 3 },
		{ "a.example.", 0 },
		{ "a.exampl", 0 },
		{ "a.examples", 0 },
		{ "a", 0 },
		{ "example", 0 },
		{ "A.EXAMPLE", 1 },
		{ "a .example", 0 },
		{ "acme--x.vf.force.com", 1 },
		{ "acme--x--y.vf.force.com", 0 },
		{ "acme-x.vf.force.com", 0 },
	};
	const struct fence_policy_name *n;
	size_t i;
	uint8_t tool;

	(void)state;
	for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		for (tool = 0; tool < 4; tool++) {
			n = fence_policy_find(p, tool, hosts[i].host);
			if (!n != !(tool && tool < 3 && hosts[i].tools >> (tool - 1) & 1))
				fail_msg("%s of tool %u: %s", hosts[i].host, tool,
					 n ? "found" : "none");
		}
	n = fence_policy_find(p, 2, "x.z.example"); /* its own rule, not the zone's of the other */
	assert_int_equal(p->rules[n->rule.id].tool, 2);
	fence_policy_free(p);
}

/* As many proxies and resolvers as there may be: one more is nobody's. */
static void test_full(void **state)
{
	static const struct asked last = { .host = "10.0.0.8", .port = 8080, .tool = 1 },
				  none = { .host = "10.0.9.9", .port = 53, .tool = 1 };
	struct fence_policy *p = read_policy("enforce", "deny");
	struct fence_policy_proxy proxy = p->proxies[p->nproxies - 1];

	(void)state;
	while (p->nproxies < FENCE_POLICY_PROXIES)
		p->proxies[p->nproxies++] = proxy;
	while (p->nresolvers < FENCE_POLICY_RESOLVERS)
		memcpy(p->resolvers[p->nresolvers++], p->resolvers[0], 16);
	while (p->tools[0].nlocal < FENCE_POLICY_LOCAL)
		p->tools[0].local[p->tools[0].nlocal++] = 7000;
	assert_int_equal(ask(p, &last).facts.addr, FENCE_ADDR_PROXY);
	assert_int_equal(ask(p, &none).facts.addr, FENCE_ADDR_UNKNOWN);
	fence_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_fact),  cmocka_unit_test(test_silent),
		cmocka_unit_test(test_numbers),	    cmocka_unit_test(test_asked),
		cmocka_unit_test(test_asked_modes), cmocka_unit_test(test_tools),
		cmocka_unit_test(test_find),	    cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
