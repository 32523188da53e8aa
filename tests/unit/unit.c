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

#include <crmfence/addr.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/path.h"
#include "base/shut.h"
#include "crm/action.h"
#include "crm/hosts.h"
#include "kernel/kernel.h"
#include "policy/policy.h"

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

static void test_path_plain(void **state)
{
	(void)state;
	assert_true(fence_path_is_plain("/a/b.c/..d/.e"));
	assert_true(fence_path_is_plain("/a/"));
	assert_false(fence_path_is_plain("/a//b"));
	assert_false(fence_path_is_plain("/a/./b"));
	assert_false(fence_path_is_plain("/a/../b"));
	assert_false(fence_path_is_plain("/a/."));
	assert_false(fence_path_is_plain("~/.."));
}

/* What it leads to: 1 `there`, 0 nothing, with the error expected. */
static int leads(const char *dir, const char *name, const struct stat *there, int expected)
{
	char path[200];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = fence_path_open(path);
	if (fd < 0) {
		assert_int_equal(fd, expected);
		return 0;
	}
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	return st.st_ino == there->st_ino && st.st_dev == there->st_dev;
}

/* Links of root's in his own directories count, whatever they are made of; nobody else's. */
static void test_path_open(void **state)
{
	char dir[] = "/tmp/crmfence-unit-XXXXXX", path[100];
	static const char *const dirs[] = { "there", "users" };
	static const struct {
		const char *to, *name;
	} links[] = {
		{ "there", "near" },	       { "../there", "users/led" },
		{ "near", "twice" },	       { "users/led", "through" },
		{ "round", "round" },	       { "users/../there/", "dots" },
		{ "/proc/self/root", "root" },
	};
	struct stat there;
	size_t i;

	(void)state;
	if (geteuid())
		skip();
	assert_non_null(mkdtemp(dir));
	chmod(dir, 0755);
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		assert_int_equal(mkdir(path, 0755), 0);
		if (!i)
			assert_int_equal(stat(path, &there), 0);
	}
	assert_int_equal(chown(path, 65534, 65534), 0);
	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, links[i].name);
		assert_int_equal(symlink(links[i].to, path), 0);
	}
	assert_true(leads(dir, "there", &there, 0));
	assert_true(leads(dir, "near", &there, 0));
	assert_true(leads(dir, "twice", &there, 0));
	assert_true(leads(dir, "dots", &there, 0));
	assert_false(leads(dir, "users/led", &there, -EPERM));
	assert_false(leads(dir, "through", &there, -EPERM));
	assert_false(leads(dir, "round", &there, -ELOOP));
	assert_false(leads(dir, "nothing", &there, -ENOENT));
	assert_int_equal(fence_path_open("there"), -EINVAL);
	snprintf(path, sizeof(path), "%s/near", dir);
	assert_int_equal(lchown(path, 65534, 65534), 0); /* root's directory, somebody's link */
	assert_false(leads(dir, "near", &there, -EPERM));
	chmod(dir, 0777);
	assert_false(leads(dir, "dots", &there, -EPERM));
	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, links[i].name);
		unlink(path);
	}
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		rmdir(path);
	}
	assert_int_equal(rmdir(dir), 0);
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

/* The registries' networks, as text; and what a v6 address may hide. */
static const char *const private_nets[] = {
	"0.0.0.0/8",
	"10.0.0.0/8",
	"100.64.0.0/10",
	"127.0.0.0/8",
	"168.63.129.16/32",
	"169.254.0.0/16",
	"172.16.0.0/12",
	"192.0.0.0/24",
	"192.168.0.0/16",
	"198.18.0.0/15",
	"224.0.0.0/4",
	"240.0.0.0/4",
	"::/96",
	"::/128",
	"64:ff9b:1::/48",
	"2001::/32",
	"fc00::/7",
	"fe80::/10",
	"fec0::/10",
	"ff00::/8",
	"64:ff9b::a00:0/104",
	"2002:a00::/24",
	"2002:a9fe::/32",
	"::ffff:0:a00:0/104",
	"64:ff9b::a9fe:0/112",
	"2002:c0a8::/32",
	"::ffff:0:7f00:0/104",
};
static const char *const public_addrs[] = {
	"1.1.1.1",	    "9.255.255.255",   "11.0.0.0",	   "100.63.255.255",
	"100.128.0.0",	    "126.255.255.255", "128.0.0.0",	   "169.253.255.255",
	"169.255.0.0",	    "172.15.255.255",  "172.32.0.0",	   "191.255.255.255",
	"192.0.1.0",	    "192.1.0.0",       "192.167.255.255",  "192.169.0.0",
	"198.17.255.255",   "198.20.0.0",      "223.255.255.255",  "13.108.0.1",
	"168.63.129.15",    "168.63.129.17",   "2600::1",	   "2a00::1",
	"64:ff9b::808:808", "2002:808:808::1", "2001:4860::1",	   "2001:db8::1",
	"fbff::1",	    "fe7f::1",	       "::ffff:0:808:808", "64:ff9a::a00:1",
};

/* The first and the last of each network, and both with the network's own bits alone. */
static void test_private_addresses(void **state)
{
	uint8_t a[16], net[16];
	unsigned int bits, i, k;

	(void)state;
	for (i = 0; i < sizeof(private_nets) / sizeof(private_nets[0]); i++) {
		assert_int_equal(fence_addr_parse_net(private_nets[i], net, &bits), 0);
		memcpy(a, net, 16);
		assert_true(fence_addr_is_private(a));
		for (k = bits; k < 128; k++)
			a[k / 8] |= (uint8_t)(0x80 >> k % 8);
		if (!fence_addr_is_private(a))
			fail_msg("the last of %s is public", private_nets[i]);
	}
	for (i = 0; i < sizeof(public_addrs) / sizeof(public_addrs[0]); i++) {
		assert_int_equal(fence_addr_parse(public_addrs[i], a), 0);
		if (fence_addr_is_private(a))
			fail_msg("%s is private", public_addrs[i]);
	}
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

/* SipHash-2-4, the paper's own vectors: key 00..0f, of 00 01 02 ... */
static void test_hash_vectors(void **state)
{
	static const struct {
		unsigned int len;
		__u64 hash;
	} known[] = {
		{ 0, 0x726fdb47dd0e0e31 }, { 1, 0x74f839c593dc67fd },  { 7, 0xab0200f58b01d137 },
		{ 8, 0x93f5f5799a932462 }, { 15, 0xa129ca6149be45e5 }, { 63, 0x958a324ceb064572 },
	};
	const __u64 key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	uint8_t text[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_true(fence_hash_octets(key, text, known[i].len) == known[i].hash);
}

static uint64_t fnv(const char *s)
{
	uint64_t hash = FENCE_FNV_BASIS;

	while (*s)
		hash = fence_fnv(hash, (uint8_t)*s++);
	return hash;
}

/* Two texts of one number without a key, and what a key makes of them. */
static void test_hash_collision(void **state)
{
	/* found by reducing a lattice of twenty octets, which takes seconds */
	static const char one[] = "/run/crmfence-evade/listed",
			  two[] = "/tmp/cf80a4\076\227\044\074\065\073\044\346\167\026\001"
				  "\033\055\342\015\062\022\024\042\111";
	const __u64 key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

	(void)state;
	assert_true(fnv(one) == fnv(two) && strcmp(one, two));
	assert_true(fence_hash_octets(key, one, strlen(one)) !=
		    fence_hash_octets(key, two, strlen(two)));
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
		cmocka_unit_test(test_private_addresses),
		cmocka_unit_test(test_org_ids),
		cmocka_unit_test(test_hash_vectors),
		cmocka_unit_test(test_hash_collision),
		cmocka_unit_test(test_path_below),
		cmocka_unit_test(test_shut_each),
		cmocka_unit_test(test_path_trusted),
		cmocka_unit_test(test_path_plain),
		cmocka_unit_test(test_path_open),
		cmocka_unit_test(test_capabilities_kept),
		cmocka_unit_test(test_decide_default_is_no),
		cmocka_unit_test(test_record_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
