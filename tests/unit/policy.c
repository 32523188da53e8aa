// SPDX-License-Identifier: Apache-2.0
/* The policy: its grammar, what is refused, what it compiles to, what stands at its Unix names. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include <crmfence/addr.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/json.h"
#include "crm/action.h"
#include "crm/hosts.h"
#include "kernel/kernel.h"
#include "policy/policy.h"
#include "store/log.h"

static int collect(void *ctx, const char *pattern)
{
	fence_buf_printf(ctx, "%s\n", pattern);
	return 0;
}

static void test_grammar_options(void **state)
{
	struct fence_org o = { .my_domain = "acme", .government = 1, .china = 1, .defender = 1 };
	struct fence_buf b = { 0 };

	(void)state;
	fence_crm_own(&o, collect, &b);
	assert_non_null(strstr(b.data, "acme.my.salesforce.mil\n"));
	assert_non_null(strstr(b.data, "acme--*.vf.force.com.mcas.ms\n"));
	assert_non_null(strstr(b.data, "acme.my.sfcrmproducts.cn\n"));
	assert_null(strstr(b.data, "login."));
	fence_buf_reset(&b);
	o = (struct fence_org){ .my_domain = "acme-dev-ed", .partition = "develop" };
	fence_crm_own(&o, collect, &b);
	assert_non_null(strstr(b.data, "acme-dev-ed.develop.my.salesforce.com\n"));
	assert_null(strstr(b.data, "acme-dev-ed.my.salesforce.com\n"));
	fence_buf_done(&b);
}

/* ---- policy ---- */

#define TOOL(x) \
	"{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"org\":{\"my_domain\":\"acme\"}," \
	"\"tools\":[{\"name\":\"a\"," x "}]}"
#define ALLOW(x) TOOL("\"allow\":[" x "]")

static const struct {
	const char *text, *path, *say;
} refused[] = {
	{ "{\"crmfence\":1,\"name\":\"n\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"t\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"write\":[\"work\"]}]}",
	  "$.tools[0].write[0]", "absolute directory" },
	{ "", "", "is empty" },
	{ "[]", "$", "object" },
	{ "{\"crmfence\":1,}", "", "no comma" },
	{ "{\"crmfence\":2}", "$.crmfence", "must be 1" },
	{ "{\"crmfence\":1,\"name\":\"t\"}", "$.mode", "enforce" },
	{ "{\"crmfence\":1,\"crmfence\":1}", "$.crmfence", "twice" },
	{ "{\"crmfence\":1,\"colour\":1}", "$.colour", "unknown key" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\"}", "$.tools", "is missing" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[]}", "$.tools", "empty" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"/tmp/x\"]}]}",
	  "$.tools[0].unix[0]", "below /run" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"/run/user/1000/bus\"]}]}",
	  "$.tools[0].unix[0]", "below /run" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"/run/../tmp/x\"]}]}",
	  "$.tools[0].unix[0]", "absolute path" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"/run/nscd/socket\"]}]}",
	  "$.tools[0].unix[0]", "resolves any name" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"deskop\"]}]}",
	  "$.tools[0].unix[0]", "display, audio, session-bus" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"@/tmp/.X11-unix/X0\"]}]}",
	  "$.tools[0].unix[0]", "say who" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"%t/bus\"]}]}",
	  "$.tools[0].unix[0]", "say who" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"path\":\"/tmp/x\"}]}]}",
	  "$.tools[0].unix[0]", "exactly one of owner, unit" },
	{ "{\"crmfence\":1,\"name\":\"n\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"t\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"path\":\"/tmp/"
	  "x\",\"unit\":\"a/"
	  "b.service\"}]}]}",
	  "$.tools[0].unix[0].unit", "service of system.slice" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"path\":\"x\",\"owner\":"
	  "\"/usr/bin/x\"}]}]}",
	  "$.tools[0].unix[0].path", "absolute path" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"path\":\"/tmp/"
	  "x\",\"owner\":\"x\"}]}]}",
	  "$.tools[0].unix[0].owner", "absolute path" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"path\":\"/var/run/nscd/"
	  "socket\",\"owner\":\"/usr/sbin/nscd\"}]}]}",
	  "$.tools[0].unix[0].path", "resolves any name" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"group\":\"desktop\","
	  "\"unproved\":true}]}]}",
	  "$.tools[0].unix[0].group", "display, audio" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"group\":\"audio\","
	  "\"unproved\":1}]}]}",
	  "$.tools[0].unix[0].unproved", "true or false" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"path\":\"/tmp/"
	  "x\",\"unproved\":true}]}]}",
	  "$.tools[0].unix[0].path", "say who" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":[{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[{\"path\":\"/run/"
	  "x\",\"owner\":\"/bin/x\",\"unit\":\"x.service\"}]}]}",
	  "$.tools[0].unix[0]", "exactly one" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"heartbeat\":0}", "$.heartbeat",
	  "whole number" },
	{ "{\"crmfence\":1,\"name\":7,\"mode\":\"enforce\"}", "$.name", "string" },
	{ ALLOW("\"crm.other\""), "$.tools[0].allow[0]", "rule set" },
	{ ALLOW("{\"set\":\"crm.other\"}"), "$.tools[0].allow[0].set", "rule set" },
	{ ALLOW("{\"set\":7}"), "$.tools[0].allow[0].set", "rule set" },
	{ ALLOW("{\"set\":\"crm.own\",\"ports\":[1]}"), "$.tools[0].allow[0].ports",
	  "unknown key" },
	{ ALLOW("{\"set\":\"crm.own\",\"private\":1}"), "$.tools[0].allow[0].private",
	  "true or false" },
	{ ALLOW("{\"host\":\"a.example\",\"why\":\"x\",\"private\":\"yes\"}"),
	  "$.tools[0].allow[0].private", "true or false" },
	{ ALLOW("{\"cidr\":\"10.0.0.0/8\",\"why\":\"x\",\"private\":true}"), "$.tools[0].allow[0]",
	  "does not go" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"dns\":{\"distinct\":9}}",
	  "$.dns.distinct", "from 10 to 100000" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"dns\":{\"rate\":9}}", "$.dns.rate",
	  "unknown key" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"org\":{\"my_domain\":\"a\","
	  "\"ip_ranges\":7}}",
	  "$.org.ip_ranges", "object" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"org\":{\"my_domain\":\"a\","
	  "\"ip_ranges\":{\"file\":\"x\",\"outside\":\"allow\"}}}",
	  "$.org.ip_ranges.outside", "deny" },
	{ ALLOW(""), "$.tools[0].allow", "empty" },
	{ ALLOW("{\"host\":\"a.example\"}"), "$.tools[0].allow[0].why", "auditor" },
	{ ALLOW("{\"host\":\"a.example\",\"cidr\":\"10.0.0.0/8\",\"why\":\"x\"}"),
	  "$.tools[0].allow[0]", "exactly one" },
	{ ALLOW("{\"host\":\"*.my.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "strangers" },
	{ ALLOW("{\"host\":\"*.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "strangers" },
	{ ALLOW("{\"host\":\"*.com\",\"why\":\"x\"}"), "$.tools[0].allow[0].host", "strangers" },
	{ ALLOW("{\"host\":\"*.run.app\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "strangers" },
	{ ALLOW("{\"host\":\"a*.example.com\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "star" },
	{ ALLOW("{\"host\":\"evil.my.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "another" },
	{ ALLOW("{\"host\":\"api.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "every" },
	{ ALLOW("{\"host\":\"acme--x.sandbox.my.salesforce.com\",\"why\":\"x\"}"),
	  "$.tools[0].allow[0].host", "sandboxes" },
	{ ALLOW("{\"host\":\"10.0.0.1\",\"why\":\"x\"}"), "$.tools[0].allow[0].host", "cidr" },
	{ ALLOW("{\"host\":\"a.example.\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "no host name" },
	{ ALLOW("{\"host\":\"a.example:443\",\"why\":\"x\"}"), "$.tools[0].allow[0].host",
	  "no host name" },
	{ ALLOW("{\"host\":\"a.example\",\"why\":\"x\"},{\"host\":\"a.example\",\"why\":\"y\"}"),
	  "$.tools[0].allow[1].host", "already" },
	{ ALLOW("{\"host\":\"a.example\",\"why\":\"x\",\"ports\":[0]}"),
	  "$.tools[0].allow[0].ports[0]", "whole number" },
	{ ALLOW("{\"host\":\"a.example\",\"why\":\"x\",\"ports\":[1,2,3,4,5,6,7,8,9]}"),
	  "$.tools[0].allow[0].ports", "at most 8" },
	{ ALLOW("{\"cidr\":\"10.0.0.1/8\",\"why\":\"x\"}"), "$.tools[0].allow[0].cidr",
	  "host bits" },
	{ ALLOW("{\"cidr\":\"0.0.0.0/0\",\"why\":\"x\"}"), "$.tools[0].allow[0].cidr", "too wide" },
	{ ALLOW("{\"cidr\":\"127.0.0.0/8\",\"why\":\"x\"}"), "$.tools[0].allow[0].cidr",
	  "this machine" },
	{ TOOL("\"match\":[{\"exe\":\"a\"}],\"allow\":[\"crm.own\"]"), "$.tools[0].match[0].exe",
	  "absolute" },
	{ TOOL("\"match\":[{\"exe\":\"/a\",\"uid\":5}],\"allow\":[\"crm.own\"]"),
	  "$.tools[0].match[0]", "exactly one" },
	{ TOOL("\"match\":[{\"exe\":\"/a\",\"sha256\":\"00\"}],\"allow\":[\"crm.own\"]"),
	  "$.tools[0].match[0].sha256", "64" },
	{ TOOL("\"match\":[{\"exe\":\"/a\"},{\"exe\":\"/a\"}],\"allow\":[\"crm.own\"]"),
	  "$.tools[0].match[1]", "same match" },
	{ TOOL("\"match\":[{\"native_host_of\":\"abcdefghijklmnopabcdefghijklmnop\"}],"
	       "\"allow\":[\"crm.own\"]"),
	  "$.tools[0].match[0].native_host_of", "browser.extensions" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":\"a\","
	  "\"allow\":["
	  "{\"host\":\"a.example\",\"why\":\"x\"}]},{\"name\":\"a\",\"allow\":[{\"host\":\"a."
	  "example\","
	  "\"why\":\"x\"}]}]}",
	  "$.tools[1].name", "already" },
};

static void test_policy_refusals(void **state)
{
	struct fence_policy *p = (void *)1;
	struct fence_policy_errors e;
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (fence_policy_parse(refused[i].text, strlen(refused[i].text), "f.json", &p,
				       &e) >= 0)
			fail_msg("accepted: %s", refused[i].text);
		for (j = 0; j < e.count && (strcmp(e.d[j].path, refused[i].path) ||
					    !strstr(e.d[j].text, refused[i].say));
		     j++)
			assert_string_equal(e.d[j].file, "f.json");
		if (j == e.count)
			fail_msg("%s\n said %s: %s", refused[i].text, e.d[0].path, e.d[0].text);
		assert_ptr_equal(p, (void *)1);
	}
}

/* Each as the only match of a tool: "" is taken, else the policy says so. */
static const struct {
	const char *match, *say;
} matches[] = {
	{ "{\"exe\":\"/opt/x/assistant\"}", "" },
	{ "{\"exe\":\"/opt/x/bin/bash\"}", "" }, /* a tool's own */
	{ "{\"exe\":\"/opt/x/python3\"}", "" },
	{ "{\"exe\":\"/usr/bin/slack\"}", "" },
	{ "{\"exe\":\"/usr/bin/bash\"}", "a shell" },
	{ "{\"exe\":\"/bin/sh\"}", "a shell" },
	{ "{\"exe\":\"/usr/bin/bash\",\"broad\":\"a kiosk\"}", "" },
	{ "{\"exe\":\"/usr/bin/python3.11\"}", "an interpreter" },
	{ "{\"exe\":\"/usr/bin/node\"}", "an interpreter" },
	{ "{\"exe\":\"/usr/bin/env\"}", "an interpreter" },
	{ "{\"exe\":\"/sbin/init\"}", "the system itself" },
	{ "{\"exe\":\"/lib/systemd/systemd\"}", "the system itself" },
	{ "{\"exe\":\"/usr/bin/gnome-shell\"}", "the system itself" },
	{ "{\"exe\":\"/usr/lib/firefox/firefox\"}", "a whole browser" },
	{ "{\"exe\":\"/opt/google/chrome/chrome\"}", "a whole browser" },
	{ "{\"exe\":\"/opt/google/chrome/chrome\",\"broad\":\"a kiosk\"}", "" },
	{ "{\"unit\":\"assistant.service\"}", "" },
	{ "{\"unit\":\"app-assistant-*.scope\"}", "" },
	{ "{\"unit\":\"app-gnome-assistant-*.scope\"}", "" },
	{ "{\"unit\":\"snap.assistant.*\"}", "" },
	{ "{\"unit\":\"app-*.scope\"}", "nothing in common" },
	{ "{\"unit\":\"app-gnome-*.scope\"}", "nothing in common" },
	{ "{\"unit\":\"*.service\"}", "nothing in common" },
	{ "{\"unit\":\"us*.slice\"}", "nothing in common" },
	{ "{\"unit\":\"a*b*.scope\"}", "one \"*\"" },
	{ "{\"unit\":\"user.slice\"}", "everything" },
	{ "{\"unit\":\"user-1000.slice\"}", "everything" },
	{ "{\"unit\":\"user@1000.service\"}", "everything" },
	{ "{\"cgroup\":\"/user.slice\"}", "everything" },
	{ "{\"cgroup\":\"/crm.slice/assistant\"}", "" },
	{ "{\"unit\":\"user.slice\",\"broad\":\"one user, one tool\"}", "" },
	{ "{\"unit\":\"assistant.service\",\"broad\":\"x\"}", "take it away" },
	{ "{\"unit\":\"a-*.scope\"},{\"unit\":\"a-*.service\"},{\"unit\":\"a-*.slice\"},"
	  "{\"unit\":\"a-b-*.slice\"}",
	  "" },
	{ "{\"unit\":\"a-*.scope\"},{\"unit\":\"a-*.service\"},{\"unit\":\"a-*.slice\"},"
	  "{\"unit\":\"a-*.mount\"},{\"unit\":\"a-b-*.slice\"}",
	  "begin alike" },
};

static void test_matches(void **state)
{
	struct fence_policy *p;
	struct fence_policy_errors e;
	char text[1024];
	size_t i;
	int err;

	(void)state;
	for (i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		snprintf(text, sizeof(text),
			 "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"tools\":[{\"name\":"
			 "\"a\",\"match\":[%s],\"allow\":[{\"host\":\"a.example\",\"why\":\"x\"}]}]"
			 "}",
			 matches[i].match);
		p = NULL;
		err = fence_policy_parse(text, strlen(text), "f.json", &p, &e);
		if ((err >= 0) != !matches[i].say[0] ||
		    (err < 0 && (e.count != 1 || !strstr(e.d[0].text, matches[i].say))))
			fail_msg("%s: %d %s: %s", matches[i].match, err, e.count ? e.d[0].path : "",
				 e.count ? e.d[0].text : "");
		fence_policy_free(p);
	}
}

static const char *reason_of(const struct fence_policy *p, const char *host, const char *addr)
{
	struct fence_query q = { .tool = 1, .host = host, .has_addr = 1, .proto = 6 };
	struct fence_answer_to a;

	assert_int_equal(fence_addr_parse(addr, q.addr), 0);
	fence_policy_decide(p, &q, &a);
	/* what is outside of the ranges may be told alone; a private address never */
	assert_int_equal(a.verdict.action == FENCE_WOULD_DENY,
			 a.verdict.reason == FENCE_R_DNS_RANGE && p->ranges_tell);
	return fence_reason_name(a.verdict.reason);
}

/* Where DNS may lead a name: by the entry, and by Salesforce's file beside the policy. */
static void test_leads(void **state)
{
	static const char policy[] =
		"{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\","
		"\"org\":{\"my_domain\":\"acme\",\"ip_ranges\":{\"file\":\"r.json\",\"outside\":"
		"\"%s\"}},\"tools\":[{\"name\":\"a\",\"allow\":[\"crm.own\","
		"{\"host\":\"in.example\",\"why\":\"x\",\"private\":true},"
		"{\"host\":\"out.example\",\"why\":\"x\"}]}]}";
	static const char ranges[] =
		"{\"prefixes\":[{\"ip_prefix\":[\"13.108.0.0/14\",\"2600::/32\"]},"
		"{\"ip_prefix\":\"1.2.3.4/32\",\"x\":1}]}";
	static const char own[] = "acme.my.salesforce.com";
	char dir[] = "/tmp/crmfence-unit-XXXXXX", path[64], text[1024];
	uint8_t digest[32];
	struct fence_policy *p = NULL;
	struct fence_policy_errors d;
	FILE *f;
	int tell;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/r.json", dir);
	for (tell = 0; tell < 2; tell++) {
		f = fopen(path, "w");
		fputs(ranges, f);
		fputs(tell ? "\n" : "", f);
		fclose(f);
		snprintf(text, sizeof(text), policy, tell ? "alert" : "deny");
		snprintf(path, sizeof(path), "%s/p.json", dir);
		if (fence_policy_parse(text, strlen(text), path, &p, &d) < 0)
			fail_msg("%s %s: %s", d.d[0].file, d.d[0].path, d.d[0].text);
		snprintf(path, sizeof(path), "%s/r.json", dir);
		assert_int_equal(p->nranges, 3);
		assert_string_equal(reason_of(p, own, "13.111.255.255"), "name");
		assert_string_equal(reason_of(p, own, "2600::1"), "name");
		assert_string_equal(reason_of(p, own, "1.2.3.4"), "name");
		assert_string_equal(reason_of(p, own, "64:ff9b::1.2.3.4"), "name");
		assert_string_equal(reason_of(p, own, "64:ff9b::1.2.3.5"), "dns-range");
		assert_string_equal(reason_of(p, own, "1.2.3.5"), "dns-range");
		assert_string_equal(reason_of(p, own, "13.112.0.0"), "dns-range");
		assert_string_equal(reason_of(p, own, "10.0.0.1"), "dns-address");
		assert_string_equal(reason_of(p, "out.example", "1.2.3.5"), "name");
		assert_string_equal(reason_of(p, "out.example", "169.254.169.254"), "dns-address");
		assert_string_equal(reason_of(p, "in.example", "10.0.0.1"), "name");
		assert_string_equal(reason_of(p, "in.example", "127.0.0.1"), "loopback");
		if (tell) /* the file alone makes another policy */
			assert_memory_not_equal(digest, p->digest, 32);
		memcpy(digest, p->digest, 32);
		fence_policy_free(p);
	}
	unlink(path);
	assert_true(fence_policy_parse(text, strlen(text), path, &p, &d) < 0);
	assert_string_equal(d.d[0].file, path);
	rmdir(dir);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

/* On a page: what is confined, each rule, the org's names once. */
static void brief(const struct fence_policy *p)
{
	struct fence_buf out = { 0 }, whole = { 0 };
	const char *text, *line;
	size_t i;

	fence_policy_brief(p, &out);
	fence_policy_explain(p, &whole);
	text = fence_buf_text(&out);
	assert_int_equal(count(text, "acme.my.salesforce.com"), 1);
	assert_int_equal(count(fence_buf_text(&whole), "acme.my.salesforce.com"), p->ntools);
	assert_true(count(text, "\n") < 45);
	for (i = 0; i < p->nrules; i++)
		assert_non_null(strstr(text, p->rules[i].text));
	for (i = 0; i < p->ntools; i++)
		assert_non_null(strstr(text, p->tools[i].name));
	assert_int_equal(count(text, "SEEN, NOT CONFINED"), p->tools[0].loose);
	assert_int_equal(count(text, ": confined"), p->ntools - (size_t)p->tools[0].loose);
	for (line = text; (line = strstr(line, "\n ")); line++)
		assert_true(strcspn(line + 1, "\n") <= 100);
	fence_buf_done(&out);
	fence_buf_done(&whole);
}

/* Does `explain`, and a warning with it, say that an extension is free? */
static int leaves(const struct fence_policy *p)
{
	struct fence_buf out = { 0 };
	size_t i, warned = 0;
	int said;

	fence_policy_explain(p, &out);
	said = strstr(fence_buf_text(&out), "NOT CONFINED: a listed extension") != NULL;
	fence_buf_done(&out);
	for (i = 0; i < p->nwarnings; i++)
		warned += strstr(p->warnings[i].text, "is itself free") != NULL;
	assert_int_equal(said, warned > 0);
	return said;
}

static void test_shipped_policies(void **state)
{
	static const struct {
		const char *name;
		unsigned int cases;
		int leaves;
	} shipped[] = {
		{ "salesforce-voice-assistant", 150, 1 },
		{ "extension", 50, 0 },
		{ "desktop-program", 30, 0 },
		{ "user-service", 30, 0 },
	};
	struct fence_cases_result r;
	struct fence_diag d = { 0 };
	char path[96];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(shipped) / sizeof(shipped[0]); i++) {
		struct fence_policy *p = NULL;
		struct fence_buf out = { 0 };

		snprintf(path, sizeof(path), "policies/%s.json", shipped[i].name);
		assert_int_equal(fence_policy_read(path, &p, NULL), 0);
		snprintf(path, sizeof(path), "policies/%s.cases", shipped[i].name);
		assert_int_equal(fence_policy_cases(p, path, &r, &out, &d), 0);
		if (r.failed)
			fail_msg("%s", fence_buf_text(&out));
		assert_true(r.passed >= shipped[i].cases);
		assert_int_equal(leaves(p), shipped[i].leaves);
		brief(p);
		fence_buf_done(&out);
		fence_policy_free(p);
	}
}

static void test_cases_can_fail(void **state)
{
	char path[] = "/tmp/crmfence-unit-XXXXXX";
	struct fence_policy *p = NULL;
	struct fence_cases_result r;
	struct fence_buf out = { 0 };
	struct fence_diag d = { 0 };
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	(void)state;
	assert_int_equal(fence_policy_read("policies/salesforce-voice-assistant.json", &p, NULL),
			 0);
	fputs("voice-assistant evil.my.salesforce.com 443 tcp allow name own\n", f);
	fflush(f);
	assert_int_equal(fence_policy_cases(p, path, &r, &out, &d), 0);
	assert_int_equal(r.failed, 1);
	fputs("voice-assistant oops\n", f);
	fclose(f);
	assert_true(fence_policy_cases(p, path, &r, &out, &d) < 0);
	unlink(path);
	fence_buf_done(&out);
	fence_policy_free(p);
}

/* ---- decide ---- */

/* Everything that is not allowed by name is a denial, also for values that no enumeration has. */
static int count_peer(void *ctx, const char *path, const char *owner, int flags)
{
	unsigned int *n = ctx;

	(void)owner;
	n[flags] += flags & FENCE_UNIX_CURATED ? 1 : strlen(path);
	return 0;
}

/* Which names will do unproved: of a path, of a group, and of neither. */
static void test_unix_unproved(void **state)
{
	static const char text[] =
		"{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"resolvers\":\"system\","
		"\"tools\":[{\"name\":\"a\",\"match\":[{\"exe\":\"/bin/a\"}],\"allow\":["
		"{\"host\":\"a.example\",\"why\":\"w\"}],\"unix\":[\"/run/1\",\"display\","
		"{\"path\":\"/run/22\",\"unproved\":true},{\"path\":\"@x\",\"owner\":\"/bin/x\","
		"\"unproved\":false},{\"group\":\"session-bus\",\"unproved\":true}]}]}";
	struct fence_policy *p = NULL;
	unsigned int n[4] = { 0 };

	(void)state;
	assert_int_equal(fence_policy_parse(text, strlen(text), "t", &p, NULL), 0);
	fence_policy_unix_each(&p->tools[0], count_peer, n);
	assert_int_equal(n[0], strlen("/run/1@x"));
	assert_int_equal(n[FENCE_UNIX_UNPROVED], strlen("/run/22"));
	assert_true(n[FENCE_UNIX_CURATED] > 6);
	assert_int_equal(n[FENCE_UNIX_CURATED | FENCE_UNIX_UNPROVED], 3);
	assert_true(fence_policy_unproved(&p->tools[0], 0));
	assert_false(fence_policy_unproved(&p->tools[0], 1));
	fence_policy_free(p);
}

static const char *amiss(const char *dir, const char *leaf, uint32_t user)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, leaf);
	return fence_unix_amiss(path, user, NULL);
}

/* What may be at a name that will do unproved. */
static void test_unix_amiss(void **state)
{
	char dir[] = "/tmp/crmfence-unit-XXXXXX", path[80], link[80];
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	uint32_t me = getuid();

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(link, sizeof(link), "%s/l", dir);
	assert_string_equal(amiss(dir, "s", me), "nothing is there");
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(bind(fd, (void *)&a, sizeof(a)), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_null(amiss(dir, "s", me));
	assert_null(amiss(dir, "s", FENCE_UNIX_ANYBODY));
	assert_non_null(strstr(amiss(dir, "l", me), "link"));
	assert_non_null(strstr(amiss(dir, ".", me), "no socket"));
	if (me)
		assert_non_null(strstr(amiss(dir, "s", me + 1), "another user's"));
	assert_int_equal(chmod(dir, 0777), 0);
	assert_non_null(strstr(amiss(dir, "s", me), "directory"));
	assert_int_equal(chmod(dir, 01777), 0);
	assert_null(amiss(dir, "s", me));
	assert_int_equal(chmod(dir, 0770), 0);
	assert_non_null(strstr(amiss(dir, "s", me), "directory"));
	assert_null(fence_unix_amiss("@anything", me, NULL));
	unlink(path);
	unlink(link);
	rmdir(dir);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar_options),	 cmocka_unit_test(test_policy_refusals),
		cmocka_unit_test(test_matches),		 cmocka_unit_test(test_leads),
		cmocka_unit_test(test_shipped_policies), cmocka_unit_test(test_cases_can_fail),
		cmocka_unit_test(test_unix_unproved),	 cmocka_unit_test(test_unix_amiss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
