// SPDX-License-Identifier: Apache-2.0
/* Public functions of libcrmfence, one test a promise of its header. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <crmfence/shut.h>
#include <sqlite3.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/shut.h"
#include "crm/action.h"
#include "crm/hosts.h"
#include "kernel/kernel.h"
#include "policy/policy.h"
#include "store/log.h"

/* ---- base ---- */

static void test_path_below(void **state)
{
	(void)state;
	assert_true(fence_path_below("/etc", "/etc"));
	assert_true(fence_path_below("/etc/x", "/etc"));
	assert_false(fence_path_below("/etcetera", "/etc"));
	assert_false(fence_path_below("/", "/etc"));
}

struct shut_seen {
	int etc, again, end;
};

static int shut_one(void *ctx, const char *path)
{
	struct shut_seen *s = ctx;

	assert_int_equal(path[0], '/');
	assert_int_not_equal(path[1], 0);
	s->etc += !strcmp(path, "/etc");
	s->again += !strcmp(path, "/usr/lib") || !strcmp(path, "/usr/bin"); /* links to them */
	return s->end;
}

static void test_shut_each(void **state)
{
	struct shut_seen s = { 0 }, t = { .end = -7 };

	(void)state;
	assert_int_equal(fence_shut_each(shut_one, &s), 0);
	assert_int_equal(s.etc, 1);
	assert_int_equal(s.again, 0);
	assert_int_equal(fence_shut_each(shut_one, &t), -7);
	assert_int_equal(t.etc, 1);
}

/* /tmp is everybody's, but sticky: what root has there nobody else puts there. */
static void test_path_trusted(void **state)
{
	char path[] = "/tmp/crmfence-unit-XXXXXX", link[64], why[64];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(symlink(path, link), 0);
	if (!geteuid()) {
		assert_int_equal(fence_path_trusted(link, why, sizeof(why)), 1);
		assert_int_equal(chmod(path, 0666), 0);
		assert_int_equal(fence_path_trusted(link, why, sizeof(why)), 0);
		assert_string_equal(why, path);
		assert_int_equal(chmod(path, 0600) | chown(path, 65534, 0), 0);
	}
	assert_int_equal(fence_path_trusted(link, why, sizeof(why)), 0);
	unlink(link);
	unlink(path);
	assert_int_equal(fence_path_trusted(path, why, sizeof(why)), 0);
	assert_string_equal(why, "");
}

static void test_capabilities_kept(void **state)
{
	(void)state;
	assert_false(FENCE_CAPS_KEPT >> CAP_SYS_ADMIN & 1);
	assert_false(FENCE_CAPS_KEPT >> CAP_SYS_RESOURCE & 1); /* it raises the limit of cores */
	assert_false(FENCE_CAPS_KEPT >> CAP_NET_ADMIN & 1);
	assert_true(FENCE_CAPS_KEPT >> CAP_SETFCAP & 1); /* unshare -Ur */
	assert_true(fence_is_switches(0x62656572) && fence_is_switches(0xcafe4a11));
	assert_false(fence_is_switches(0xef53) || fence_is_switches(FENCE_PROC_MAGIC));
}

static void test_json_is_canonical(void **state)
{
	struct fence_buf b = { 0 };
	struct fence_json j;

	(void)state;
	fence_json_init(&j, &b);
	fence_json_open(&j, NULL);
	fence_json_int(&j, "a", -9007199254740991);
	fence_json_strn(&j, "b", "\x01\t\"\\/\xc3\xa9\xff\xed\xa0\x80", 12);
	fence_json_array(&j, "c");
	fence_json_int(&j, NULL, 0);
	fence_json_bool(&j, NULL, 1);
	fence_json_array_end(&j);
	fence_json_id(&j, "d", 0xffffffffffffffffULL);
	fence_json_close(&j);
	assert_string_equal(
		fence_buf_text(&b),
		"{\"a\":-9007199254740991,\"b\":\"\\u0001\\t\\\"\\\\/\xc3\xa9\xef\xbf\xbd\xef"
		"\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\u0000\",\"c\":[0,true],\"d\":"
		"\"ffffffffffffffff\"}");
	fence_buf_done(&b);
}

static void test_addresses(void **state)
{
	static const char *const bad_nets[] = { "10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "x/8",
						"::1/64",     "::/129",	  "10.0.0.0/-1" };
	char text[FENCE_ADDR_TEXT];
	unsigned int bits, i;
	uint8_t a[16];

	(void)state;
	assert_int_equal(fence_addr_parse("10.1.2.3", a), 0);
	assert_true(fence_addr_is_v4(a));
	assert_string_equal(fence_addr_text(a, text), "10.1.2.3");
	assert_int_equal(fence_addr_parse("fd00::1", a), 0);
	assert_false(fence_addr_is_v4(a));
	assert_int_not_equal(fence_addr_parse("10.1.2", a), 0);
	assert_int_equal(fence_addr_parse_net("10.0.0.0/8", a, &bits), 0);
	assert_int_equal(bits, 104);
	for (i = 0; i < sizeof(bad_nets) / sizeof(bad_nets[0]); i++)
		assert_int_not_equal(fence_addr_parse_net(bad_nets[i], a, &bits), 0);
}

/* ---- crm ---- */

static void test_org_ids(void **state)
{
	(void)state;
	assert_true(fence_crm_org_id_ok("00D5f000000J2PK"));
	assert_true(fence_crm_org_id_ok("00D5f000000J2PKEA0"));
	assert_false(fence_crm_org_id_ok("00D5f000000J2PKEAA"));
	assert_false(fence_crm_org_id_ok("0055f000000J2PK"));
	assert_false(fence_crm_org_id_ok("00D5f000000J2P"));
}

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
	{ "", "", "not JSON" },
	{ "[]", "$", "object" },
	{ "{\"crmfence\":1,}", "", "not JSON" },
	{ "{\"crmfence\":2}", "$.crmfence", "whole number" },
	{ "{\"crmfence\":1,\"name\":\"t\"}", "$.mode", "enforce" },
	{ "{\"crmfence\":1,\"crmfence\":1}", "$", "twice" },
	{ "{\"crmfence\":1,\"colour\":1}", "$", "unknown key" },
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\"}", "$", "tools" },
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
	{ "{\"crmfence\":1,\"name\":\"t\",\"mode\":\"enforce\",\"heartbeat\":0}", "$.heartbeat",
	  "whole number" },
	{ "{\"crmfence\":1,\"name\":7,\"mode\":\"enforce\"}", "$.name", "string" },
	{ ALLOW("\"crm.other\""), "$.tools[0].allow[0]", "rule set" },
	{ ALLOW(""), "$.tools[0].allow", "empty" },
	{ ALLOW("{\"host\":\"a.example\"}"), "$.tools[0].allow[0]", "why" },
	{ ALLOW("{\"host\":\"a.example\",\"cidr\":\"10.0.0.0/8\",\"why\":\"x\"}"),
	  "$.tools[0].allow[0]", "exactly one" },
	{ ALLOW("{\"host\":\"*.my.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0]",
	  "strangers" },
	{ ALLOW("{\"host\":\"*.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0]",
	  "strangers" },
	{ ALLOW("{\"host\":\"*.com\",\"why\":\"x\"}"), "$.tools[0].allow[0]", "strangers" },
	{ ALLOW("{\"host\":\"*.run.app\",\"why\":\"x\"}"), "$.tools[0].allow[0]", "strangers" },
	{ ALLOW("{\"host\":\"a*.example.com\",\"why\":\"x\"}"), "$.tools[0].allow[0]", "star" },
	{ ALLOW("{\"host\":\"evil.my.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0]",
	  "another" },
	{ ALLOW("{\"host\":\"api.salesforce.com\",\"why\":\"x\"}"), "$.tools[0].allow[0]",
	  "every" },
	{ ALLOW("{\"host\":\"acme--x.sandbox.my.salesforce.com\",\"why\":\"x\"}"),
	  "$.tools[0].allow[0]", "sandboxes" },
	{ ALLOW("{\"host\":\"10.0.0.1\",\"why\":\"x\"}"), "$.tools[0].allow[0]", "cidr" },
	{ ALLOW("{\"host\":\"a.example.\",\"why\":\"x\"}"), "$.tools[0].allow[0]", "no host name" },
	{ ALLOW("{\"host\":\"a.example:443\",\"why\":\"x\"}"), "$.tools[0].allow[0]",
	  "no host name" },
	{ ALLOW("{\"host\":\"a.example\",\"why\":\"x\"},{\"host\":\"a.example\",\"why\":\"y\"}"),
	  "$.tools[0].allow[1]", "already" },
	{ ALLOW("{\"host\":\"a.example\",\"why\":\"x\",\"ports\":[0]}"),
	  "$.tools[0].allow[0].ports[0]", "whole number" },
	{ ALLOW("{\"host\":\"a.example\",\"why\":\"x\",\"ports\":[1,2,3,4,5,6,7,8,9]}"),
	  "$.tools[0].allow[0].ports", "at most 8" },
	{ ALLOW("{\"cidr\":\"10.0.0.1/8\",\"why\":\"x\"}"), "$.tools[0].allow[0]", "host bits" },
	{ ALLOW("{\"cidr\":\"0.0.0.0/0\",\"why\":\"x\"}"), "$.tools[0].allow[0]", "too wide" },
	{ ALLOW("{\"cidr\":\"127.0.0.0/8\",\"why\":\"x\"}"), "$.tools[0].allow[0]",
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
	struct fence_diag d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		memset(&d, 0, sizeof(d));
		if (fence_policy_parse(refused[i].text, strlen(refused[i].text), "f.json", &p,
				       &d) >= 0)
			fail_msg("accepted: %s", refused[i].text);
		if (strcmp(d.path, refused[i].path) || !strstr(d.text, refused[i].say))
			fail_msg("%s\n said %s: %s", refused[i].text, d.path, d.text);
		assert_string_equal(d.file, "f.json");
		assert_ptr_equal(p, (void *)1);
	}
}

static void test_shipped_policy(void **state)
{
	struct fence_policy *p = NULL;
	struct fence_cases_result r;
	struct fence_buf out = { 0 };
	struct fence_diag d = { 0 };

	(void)state;
	assert_int_equal(fence_policy_read("policies/salesforce-voice-assistant.json", &p, &d), 0);
	assert_int_equal(
		fence_policy_cases(p, "policies/salesforce-voice-assistant.cases", &r, &out, &d),
		0);
	if (r.failed)
		fail_msg("%s", fence_buf_text(&out));
	assert_true(r.passed >= 150);
	fence_buf_done(&out);
	fence_policy_free(p);
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
	assert_int_equal(fence_policy_read("policies/salesforce-voice-assistant.json", &p, &d), 0);
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
static void test_constants(void **state)
{
	const char *s = "system.slice";
	uint64_t hash = FENCE_FNV_BASIS;

	(void)state;
	while (*s)
		hash = fence_fnv(hash, (uint8_t)*s++);
	assert_true(hash == FENCE_SYSTEM_SLICE);
}

static void test_decide_default_is_no(void **state)
{
	struct fence_facts f = { .flags = FENCE_F_CONFINED };
	struct fence_verdict v;
	unsigned int at, addr;

	(void)state;
	for (at = 0; at < 256; at++)
		for (addr = FENCE_ADDR_MAX; addr < 256; addr++) {
			f.at = (uint8_t)at;
			f.addr = (uint8_t)addr;
			f.name = 0xee;
			f.form = 0xee;
			v = fence_decide(&f);
			assert_int_equal(v.action, FENCE_DENY);
			f.flags |= FENCE_F_MONITOR;
			assert_int_equal(fence_decide(&f).action, FENCE_WOULD_DENY);
			f.flags = FENCE_F_CONFINED;
		}
	f = (struct fence_facts){ .at = FENCE_AT_STREAM,
				  .flags = FENCE_F_CONFINED,
				  .addr = FENCE_ADDR_NAMED,
				  .name = FENCE_NAME_MALFORMED };
	assert_int_equal(fence_decide(&f).action, FENCE_DENY); /* a gap before the first octet */
	f.flags = 0;
	assert_int_equal(fence_decide(&f).action, FENCE_ALLOW);
}

/* ---- records ---- */

static void test_record_check(void **state)
{
	struct {
		struct fence_rec_flow r;
		char tail[256];
	} x = { .r.h = { .kind = FENCE_K_NAME,
			 .version = 1,
			 .len = sizeof(struct fence_rec_flow) + 5 },
		.r.name_len = 5 };

	(void)state;
	assert_int_equal(fence_record_check(&x, sizeof(x)), 0);
	assert_int_not_equal(fence_record_check(&x, sizeof(struct fence_rec_flow) + 4), 0);
	assert_int_not_equal(fence_record_check(&x, 15), 0);
	x.r.name_len = 6;
	assert_int_not_equal(fence_record_check(&x, sizeof(x)), 0);
	x.r.name_len = 5;
	x.r.h.version = 2;
	assert_int_not_equal(fence_record_check(&x, sizeof(x)), 0);
	x.r.h.version = 1;
	x.r.h.kind = FENCE_K_MAX;
	assert_int_not_equal(fence_record_check(&x, sizeof(x)), 0);
}

/* ---- store ---- */

static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void make_log(const char *path, int rows)
{
	struct fence_log *log = NULL;
	struct fence_diag d = { 0 };
	char body[32];
	int i, n;

	unlink(path);
	assert_int_equal(fence_log_open(path, &log, &d), 0);
	for (i = 1; i <= rows; i++) {
		n = snprintf(body, sizeof(body), "{\"n\":%d}", i);
		assert_int_equal(fence_log_append(log, "t", body, (size_t)n), i);
	}
	fence_log_close(log);
}

/* A page that is no page any more: the rows behind it do not count as never written. */
static void test_log_corrupt(void **state)
{
	const char *path = "/tmp/crmfence-unit.db";
	struct fence_verify v;
	struct fence_diag d = { 0 };
	char rubbish[4096];
	FILE *f;

	(void)state;
	make_log(path, 3000);
	sql(path, "PRAGMA journal_mode=DELETE; VACUUM");
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_int_equal(v.rows, 3000);
	memset(rubbish, 0xa5, sizeof(rubbish));
	f = fopen(path, "r+e");
	assert_non_null(f);
	fseek(f, -(long)sizeof(rubbish) * 4, SEEK_END);
	assert_int_equal(fwrite(rubbish, sizeof(rubbish), 1, f), 1);
	fclose(f);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_true(v.bad_seq > 0 && v.bad_seq <= v.rows + 1);
	unlink(path);
}

static void test_log_chain(void **state)
{
	static const char *const changes[] = {
		"UPDATE log SET body='{\"n\":7}' WHERE seq=5",
		"UPDATE log SET ts=ts+1 WHERE seq=5",
		"UPDATE log SET kind='u' WHERE seq=5",
		"UPDATE log SET boot='x' WHERE seq=5",
		"DELETE FROM log WHERE seq=5",
	};
	const char *path = "/tmp/crmfence-unit.db";
	struct fence_verify v;
	struct fence_diag d = { 0 };
	size_t i;

	(void)state;
	make_log(path, 10);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_int_equal(v.bad_seq, 0);
	assert_int_equal(v.rows, 10);
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		make_log(path, 10);
		sql(path, changes[i]);
		assert_int_equal(fence_log_verify(path, &v, &d), 0);
		assert_int_equal(v.bad_seq, 5);
	}
	unlink(path);
	unlink("/tmp/crmfence-unit.db-wal");
	unlink("/tmp/crmfence-unit.db-shm");
}

/* ---- what requests did ---- */

static void test_record_ids(void **state)
{
	static const char *const good[] = { "0055j000000utlP",	  "0055j000000utlPAAQ",
					    "00D5f000000J2PKEA0", "0032x000002yF6cAAE",
					    "0032x000002yF6dAAE", "00QdL00000UNS3xUAH" };
	static const char *const bad[] = { "0055j000000utlPAAA",
					   "0055j000000utl",
					   "",
					   "0055j000000utl-",
					   "0055j000000utlPA",
					   "Opportunities__"
					   "r" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(fence_crm_record_id(good[i], strlen(good[i])), strlen(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fence_crm_record_id(bad[i], strlen(bad[i])), 0);
}

static void test_path_shapes(void **state)
{
	static const char *const cases[][2] = {
		{ "/services/data/v60.0/sobjects/Opportunity/006000000000001AAA?x=secret",
		  "/services/data/v60.0/sobjects/Opportunity/006000000000001AAA" },
		{ "/services/data/v60.0/sobjects/Contact/Email__c/jane", "/services/data/v60.0/"
									 "sobjects/Contact/"
									 "Email__c/*" },
		{ "/services/apexrest/Customer/jane", "/services/apexrest/Customer/*" },
		{ "/bot12345:AAE/sendMessage", "/*/sendMessage" },
		{ "/hooks/T0001/B0002/xyz123456", "/hooks/*/*/*" },
		{ "/", "/" },
		{ "", "/" },
	};
	char shape[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fence_crm_path_shape(cases[i][0], shape, sizeof(shape));
		assert_string_equal(shape, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_ids),
		cmocka_unit_test(test_path_shapes),
		cmocka_unit_test(test_json_is_canonical),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_org_ids),
		cmocka_unit_test(test_grammar_options),
		cmocka_unit_test(test_policy_refusals),
		cmocka_unit_test(test_shipped_policy),
		cmocka_unit_test(test_cases_can_fail),
		cmocka_unit_test(test_path_below),
		cmocka_unit_test(test_shut_each),
		cmocka_unit_test(test_path_trusted),
		cmocka_unit_test(test_capabilities_kept),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_decide_default_is_no),
		cmocka_unit_test(test_record_check),
		cmocka_unit_test(test_log_chain),
		cmocka_unit_test(test_log_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
