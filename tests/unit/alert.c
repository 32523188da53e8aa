// SPDX-License-Identifier: Apache-2.0
/* Alerts: the table and its page, which alert a denial is, what is one more of the same. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alert/alert.h"
#include "base/buf.h"
#include "base/cleanup.h"

#define SECOND 1000000000ULL

/* Each run of white space is one blank. */
static void squeeze(char *s)
{
	char *to = s, last = ' ';

	for (; *s; s++) {
		char c = isspace((unsigned char)*s) ? ' ' : *s;

		if (c != ' ' || last != ' ')
			*to++ = c;
		last = c;
	}
	*to = 0;
}

static void test_table(void **state)
{
	const struct fence_alert_kind *k, *before = NULL;
	int i;

	(void)state;
	for (i = 0; i < FENCE_ALERT_MAX; i++) {
		k = fence_alert_kind((enum fence_alert)i);
		assert_true(!before || strcmp(before->rule, k->rule) < 0);
		assert_ptr_equal(fence_alert_by_rule(k->rule), k);
		assert_true(!strcmp(k->severity, "medium") || !strcmp(k->severity, "high") ||
			    !strcmp(k->severity, "critical"));
		assert_true(*k->trigger && *k->remedy);
		before = k;
	}
	assert_null(fence_alert_by_rule("E999"));
}

static void test_page(void **state)
{
	AUTO_BUF struct fence_buf page = { 0 }, want = { 0 };
	const struct fence_alert_kind *k;
	const char *p;
	int i, n = 0;

	(void)state;
	assert_int_equal(fence_buf_read_file(&page, "docs/ALERTS.md", 1 << 20), 0);
	squeeze(page.data);
	for (i = 0; i < FENCE_ALERT_MAX; i++) {
		k = fence_alert_kind((enum fence_alert)i);
		fence_buf_reset(&want);
		fence_buf_printf(&want, "## %s %s, %s %s What to do: %s ", k->rule, k->name,
				 k->severity, k->trigger, k->remedy);
		if (!strstr(page.data, fence_buf_text(&want)))
			fail_msg("docs/ALERTS.md has no \"%s\"", fence_buf_text(&want));
	}
	for (p = page.data; (p = strstr(p, "## E")); p++)
		n++;
	assert_int_equal(n, FENCE_ALERT_MAX);
	for (i = 0; i < FENCE_PLACE_MAX; i++)
		assert_non_null(strstr(page.data, fence_place_name((enum fence_place)i)));
}

static struct fence_org org(void)
{
	return (struct fence_org){ .my_domain = "acme" };
}

static void test_places(void **state)
{
	static const struct {
		const char *host;
		enum fence_place place;
		enum fence_alert alert;
	} cases[] = {
		{ "acme.my.salesforce.com", FENCE_PLACE_OWN, FENCE_ALERT_E001 },
		{ "acme--dev.sandbox.my.salesforce.com", FENCE_PLACE_SANDBOX, FENCE_ALERT_E003 },
		{ "evil.my.salesforce.com", FENCE_PLACE_FOREIGN, FENCE_ALERT_E003 },
		{ "login.salesforce.com", FENCE_PLACE_SHARED, FENCE_ALERT_E004 },
		{ "help.salesforce.com", FENCE_PLACE_SALESFORCE, FENCE_ALERT_E001 },
		{ "api.openai.com", FENCE_PLACE_AI, FENCE_ALERT_E002 },
		{ "openai.com", FENCE_PLACE_AI, FENCE_ALERT_E002 },
		{ "x.otter.ai", FENCE_PLACE_AI, FENCE_ALERT_E002 },
		{ "www.google.com", FENCE_PLACE_HOST, FENCE_ALERT_E001 },
		{ "notopenai.com", FENCE_PLACE_HOST, FENCE_ALERT_E001 },
		{ "openai.com.example", FENCE_PLACE_HOST, FENCE_ALERT_E001 },
		{ "a.webhook.site", FENCE_PLACE_DROP, FENCE_ALERT_E006 },
		{ "dns.google", FENCE_PLACE_DOH, FENCE_ALERT_E008 },
		{ "10.1.2.3", FENCE_PLACE_ADDRESS, FENCE_ALERT_E007 },
		{ "not a name", FENCE_PLACE_HOST, FENCE_ALERT_E001 },
	};
	struct fence_facts f = { .at = FENCE_AT_DNS };
	struct fence_org o = org();
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		enum fence_place p = fence_place_of(&f, cases[i].host, &o);

		assert_string_equal(fence_place_name(p), fence_place_name(cases[i].place));
		assert_int_equal(fence_alert_of(&f, FENCE_R_DNS_NAME, 0, 53, p), cases[i].alert);
	}
}

/* Every reason that is not allowed, wherever it is asked: an alert of its own meaning, and never
 * none. */
static void test_reasons(void **state)
{
	static const enum fence_alert want[FENCE_R_MAX] = {
		[FENCE_R_ADDR] = FENCE_ALERT_E007,	   [FENCE_R_LOCAL] = FENCE_ALERT_E018,
		[FENCE_R_SOCKET] = FENCE_ALERT_E019,	   [FENCE_R_BIND] = FENCE_ALERT_E013,
		[FENCE_R_SOCKOPT] = FENCE_ALERT_E019,	   [FENCE_R_DNS_NAME] = FENCE_ALERT_E007,
		[FENCE_R_DNS_TYPE] = FENCE_ALERT_E026,	   [FENCE_R_DNS_FORM] = FENCE_ALERT_E026,
		[FENCE_R_UDP] = FENCE_ALERT_E009,	   [FENCE_R_SNI] = FENCE_ALERT_E007,
		[FENCE_R_SNI_ADDR] = FENCE_ALERT_E007,	   [FENCE_R_SNI_NONE] = FENCE_ALERT_E007,
		[FENCE_R_HELLO] = FENCE_ALERT_E007,	   [FENCE_R_NOT_TLS] = FENCE_ALERT_E007,
		[FENCE_R_PROXY_METHOD] = FENCE_ALERT_E007, [FENCE_R_PROXY_NAME] = FENCE_ALERT_E007,
		[FENCE_R_ACCEPT] = FENCE_ALERT_E013,	   [FENCE_R_OVERFLOW] = FENCE_ALERT_E029,
		[FENCE_R_UNIX] = FENCE_ALERT_E013,	   [FENCE_R_OTHER] = FENCE_ALERT_E013,
		[FENCE_R_REQUEST] = FENCE_ALERT_E007,	   [FENCE_R_TENANT] = FENCE_ALERT_E003,
		[FENCE_R_TOKEN] = FENCE_ALERT_E014,	   [FENCE_R_SILENT] = FENCE_ALERT_E028,
		[FENCE_R_PROXY_FORM] = FENCE_ALERT_E007,   [FENCE_R_PROXY_EARLY] = FENCE_ALERT_E007,
		[FENCE_R_PROXY_TLS] = FENCE_ALERT_E007,	   [FENCE_R_DNS_RATE] = FENCE_ALERT_E026,
		[FENCE_R_DNS_ADDR] = FENCE_ALERT_E027,	   [FENCE_R_DNS_RANGE] = FENCE_ALERT_E022,
	};
	static const uint16_t side[] = { FENCE_G_FAMILY,  FENCE_G_TUN,	      FENCE_G_BPF,
					 FENCE_G_INHERIT, FENCE_G_CAPABILITY, FENCE_G_SHUT };
	struct fence_facts f = { .at = FENCE_AT_CONNECT };
	uint8_t r;
	size_t i;

	(void)state;
	for (r = FENCE_R_ADDR; r < FENCE_R_MAX; r++)
		assert_int_equal(fence_alert_of(&f, r, 0, 443, FENCE_PLACE_ADDRESS), want[r]);
	for (i = 0; i < ARRAY_SIZE(side); i++)
		assert_int_equal(fence_alert_of(&f, FENCE_R_OTHER, side[i], 0, FENCE_PLACE_PROCESS),
				 FENCE_ALERT_E019);
	assert_int_equal(fence_alert_of(&f, FENCE_R_OTHER, FENCE_G_OWN, 0, FENCE_PLACE_PROCESS),
			 FENCE_ALERT_E015);
	assert_int_equal(fence_alert_of(&f, FENCE_R_ADDR, 0, 853, FENCE_PLACE_ADDRESS),
			 FENCE_ALERT_E008);
	assert_int_equal(fence_alert_of(&f, FENCE_R_ADDR, 0, 443, FENCE_PLACE_OWN),
			 FENCE_ALERT_E007);
	assert_int_equal(fence_alert_of(&f, FENCE_R_ADDR, 0, 443, FENCE_PLACE_AI),
			 FENCE_ALERT_E002);
	f.addr = FENCE_ADDR_LOOPBACK;
	assert_int_equal(fence_place_of(&f, "x.example", NULL), FENCE_PLACE_MACHINE);
	f.at = FENCE_AT_UNIX;
	assert_int_equal(fence_place_of(&f, "/run/x", NULL), FENCE_PLACE_UNIX);
}

static struct fence_alert_key key(uint8_t tool, uint64_t program, uint8_t reason)
{
	return (struct fence_alert_key){ .program = program, .tool = tool, .reason = reason };
}

/* 1: it is a new alert. */
static int meet(struct fence_alert_book *b, struct fence_alert_key k, uint64_t now)
{
	struct fence_alert_open *o = fence_alert_find(b, &k, now);

	if (o) {
		o->pending++;
		if (now > o->last)
			o->last = now;
		return 0;
	}
	fence_alert_begin(fence_alert_place(b), &k, now);
	return 1;
}

static void test_same(void **state)
{
	struct fence_alert_book *b = calloc(1, sizeof(*b));
	struct fence_alert_key k = key(1, 7, 3);
	uint64_t t = 1000 * SECOND;

	(void)state;
	assert_true(meet(b, k, t));
	assert_false(meet(b, k, t + SECOND));
	assert_false(meet(b, k, t - SECOND)); /* counts come in no order */
	assert_int_equal(fence_alert_find(b, &k, t)->pending, 2);
	assert_true(meet(b, key(2, 7, 3), t));
	assert_true(meet(b, key(1, 8, 3), t));
	assert_true(meet(b, key(1, 7, 4), t));
	k.class = 1;
	assert_true(meet(b, k, t));
	k.action = 1;
	assert_true(meet(b, k, t));
	k.place = 1;
	assert_true(meet(b, k, t));
	assert_false(meet(b, k, t + FENCE_ALERT_QUIET_NS));
	assert_true(meet(b, k, t + 2 * FENCE_ALERT_QUIET_NS + 1));
	free(b);
}

/* Ever new programs: one more alert without a name, and no others' are pushed out. */
static void test_flood(void **state)
{
	struct fence_alert_book *b = calloc(1, sizeof(*b));
	struct fence_alert_key other = key(2, 1, 1), bare = key(1, 0, 1);
	uint64_t t = 1000 * SECOND;
	unsigned int i, firsts = 0;

	(void)state;
	assert_true(meet(b, other, t));
	for (i = 0; i < 100000; i++)
		firsts += (unsigned int)meet(b, key(1, i + 1, 1), t + i);
	assert_int_equal(firsts, FENCE_ALERT_OPEN_TOOL + 1);
	assert_int_equal(fence_alert_find(b, &bare, t)->pending, 100000 - firsts);
	assert_false(meet(b, other, t));
	free(b);
}

/* More than there is room for: the one that is quiet for longest goes. */
static void test_full(void **state)
{
	struct fence_alert_book *b = calloc(1, sizeof(*b));
	uint64_t t = 1000 * SECOND;
	uint8_t tool, i;

	(void)state;
	for (tool = 1; tool <= FENCE_ALERT_OPEN / 16; tool++)
		for (i = 0; i < 16; i++)
			assert_true(meet(b, key(tool, i + 1u, 1), t + tool));
	assert_true(meet(b, key(200, 1, 1), t + 100));
	assert_true(meet(b, key(1, 1, 1), t + 101)); /* the first was the oldest */
	assert_false(meet(b, key(FENCE_ALERT_OPEN / 16, 16, 1), t + 102));
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),  cmocka_unit_test(test_page),
		cmocka_unit_test(test_places), cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_same),   cmocka_unit_test(test_flood),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
