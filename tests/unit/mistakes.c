// SPDX-License-Identifier: Apache-2.0
/* What people get wrong in a policy, and what they are told: mistakes.txt, and the file itself. */
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

#include "base/buf.h"
#include "base/cleanup.h"
#include "policy/policy.h"

static const char base[] = "{\n"
			   "  \"crmfence\": 1,\n"
			   "  \"name\": \"northwind\",\n"
			   "  \"mode\": \"enforce\",\n"
			   "  \"org\": { \"my_domain\": \"northwind\" },\n"
			   "  \"tools\": [ {\n"
			   "      \"name\": \"assistant\",\n"
			   "      \"match\": [ { \"exe\": \"/opt/assistant/assistantd\" } ],\n"
			   "      \"allow\": [ \"crm.own\" ]\n"
			   "    }\n"
			   "  ]\n"
			   "}\n";

#define LINES 16

struct mistake {
	char name[200];
	char text[8192];
	char old[600]; /* of a pair that is not whole yet */
	char told[LINES][600], warned[LINES][600];
	size_t ntold, nwarned;
};

struct tally {
	unsigned int cases, clear, pairs, accepted, bad;
};

#define BAD(t, ...) ((t)->bad++, print_error(__VA_ARGS__))

/* \n, \t, \r, \\ and \xHH, in place. */
static void unescape(char *s)
{
	char *to = s;
	unsigned int c;

	for (; *s; s++) {
		if (*s != '\\') {
			*to++ = *s;
		} else if (*++s == 'x') {
			assert_int_equal(sscanf(s + 1, "%2x", &c), 1);
			*to++ = (char)c;
			s += 2;
		} else {
			*to++ = (char)(*s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'r' ? '\r' : *s);
		}
	}
	*to = 0;
}

/* The old text stands there once: a case that changes nothing, or two places, is none. */
static void replace(struct mistake *m, const char *fresh)
{
	char *at = strstr(m->text, m->old);
	size_t n = strlen(m->old);

	if (!m->old[0] || !at || strstr(at + 1, m->old))
		fail_msg("%s: \"%s\" does not stand once in the policy", m->name, m->old);
	assert_true(strlen(m->text) - n + strlen(fresh) < sizeof(m->text));
	memmove(at + strlen(fresh), at + n, strlen(at + n) + 1);
	memcpy(at, fresh, strlen(fresh));
	m->old[0] = 0;
}

/* Does the line have each "A | B | C" of `parts`? Returns how many these are, 0: not. */
static unsigned int has(const char *line, const char *parts)
{
	char part[600];
	unsigned int n = 0;
	const char *end;

	for (; parts; parts = end ? end + 3 : NULL, n++) {
		end = strstr(parts, " | ");
		snprintf(part, sizeof(part), "%.*s", end ? (int)(end - parts) : 599, parts);
		if (!strstr(line, part))
			return 0;
	}
	return n;
}

static int warned(const struct fence_policy *p, const char *parts)
{
	char line[FENCE_DIAG_LINE];
	size_t i;

	for (i = 0; i < p->nwarnings; i++)
		if (has(fence_diag_line(&p->warnings[i], line, sizeof(line)), parts))
			return 1;
	return 0;
}

static void one(const struct mistake *m, const struct fence_policy *right, struct tally *t)
{
	struct fence_policy_errors e;
	struct fence_policy *p = NULL;
	struct fence_buf all = { 0 };
	char line[FENCE_DIAG_LINE];
	unsigned int parts, clear = 0;
	size_t i;

	t->cases++;
	if (fence_policy_parse(m->text, strlen(m->text), "p.json", &p, &e) >= 0) {
		if (m->ntold)
			BAD(t, "%s: was accepted\n", m->name);
		for (i = 0; i < m->nwarned; i++)
			if (!warned(p, m->warned[i]) || warned(right, m->warned[i]))
				BAD(t, "%s: no warning, or one without it: %s\n", m->name,
				    m->warned[i]);
		if (!m->nwarned && p->nwarnings != right->nwarnings)
			BAD(t, "%s: a warning\n", m->name);
		t->clear += m->nwarned != 0;
		t->accepted += !m->nwarned;
		fence_policy_free(p);
		return;
	}
	fence_policy_errors_text(&e, "  ", &all);
	if (e.count != m->ntold)
		BAD(t, "%s: %zu mistakes were told:\n  %s\n", m->name, e.count,
		    fence_buf_text(&all));
	for (i = 0; i < m->ntold && i < e.count; i++) {
		parts = has(fence_diag_line(&e.d[i], line, sizeof(line)), m->told[i]);
		if (!parts)
			BAD(t, "%s:\n  %s\nis not\n  %s\n", m->name, line, m->told[i]);
		clear += parts > 1 && (e.d[i].line || !e.d[i].path[0]);
	}
	t->clear += clear == m->ntold;
	t->pairs += m->ntold > 1;
	fence_buf_done(&all);
}

static void line_of(struct mistake *m, char *s)
{
	char *text = s[1] ? s + 2 : s + 1;
	size_t n;

	assert_true(m->ntold < LINES && m->nwarned < LINES);
	unescape(text);
	if (*s == '-') {
		snprintf(m->old, sizeof(m->old), "%s", text);
	} else if (*s == '+') {
		replace(m, text);
	} else if (*s == '<') {
		n = strcmp(m->text, base) ? strlen(m->text) : 0;
		snprintf(m->text + n, sizeof(m->text) - n, "%s\n", text);
	} else if (*s == '!') {
		snprintf(m->told[m->ntold++], sizeof(m->told[0]), "%s", text);
	} else if (*s == '?') {
		snprintf(m->warned[m->nwarned++], sizeof(m->warned[0]), "%s", text);
	} else {
		fail_msg("%s: no such line: %s", m->name, s);
	}
}

static void test_mistakes(void **state)
{
	AUTO_FILE FILE *f = fopen("tests/unit/mistakes.txt", "re");
	struct fence_policy *right = NULL;
	struct mistake m = { .name = "" };
	struct tally t = { 0 };
	char line[600];

	(void)state;
	assert_non_null(f);
	assert_int_equal(fence_policy_parse(base, sizeof(base) - 1, "p.json", &right, NULL), 0);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (*line == '=') {
			if (m.name[0])
				one(&m, right, &t);
			memset(&m, 0, sizeof(m));
			snprintf(m.name, sizeof(m.name), "%.190s", line + 2);
			memcpy(m.text, base, sizeof(base));
		} else if (*line && *line != '#') {
			line_of(&m, line);
		}
	}
	one(&m, right, &t);
	fence_policy_free(right);
	print_message("%u cases: %u clear with a remedy, %u of them of more than one, %u right\n",
		      t.cases, t.clear, t.pairs, t.accepted);
	assert_int_equal(t.bad, 0);
	assert_true(t.clear >= 70 && t.pairs >= 5 && t.accepted >= 5);
	assert_int_equal(t.clear + t.accepted, t.cases);
}

/* More mistakes than are told: the rest as a number. */
static void test_many(void **state)
{
	struct fence_buf text = { 0 }, all = { 0 };
	struct fence_policy_errors e;
	struct fence_policy *p = NULL;
	int i;

	(void)state;
	fence_buf_str(&text, "{\"crmfence\":1,\"name\":\"n\",\"mode\":\"enforce\",\"tools\":[{"
			     "\"name\":\"a\",\"allow\":[");
	for (i = 0; i < 250; i++)
		fence_buf_printf(&text, "%s{\"host\":\"h%d.example\"}", i ? "," : "", i);
	fence_buf_str(&text, "]}]}");
	assert_true(fence_policy_parse(text.data, text.len, "p", &p, &e) < 0);
	assert_int_equal(e.count, 250);
	fence_policy_errors_text(&e, "", &all);
	assert_non_null(strstr(all.data, "\nand 230 more"));
	fence_buf_done(&text);
	fence_buf_done(&all);
}

static void file_says(const char *path, const char *say)
{
	struct fence_policy_errors e;
	struct fence_policy *p = NULL;

	assert_true(fence_policy_read(path, &p, &e) < 0);
	if (e.count != 1 || strcmp(e.d[0].file, path) || !strstr(e.d[0].text, say) ||
	    strstr(e.d[0].text, "--policy"))
		fail_msg("%s: %s, not %s", path, e.d[0].text, say);
}

/* What is no file, or nobody's to read; no remedy is an option that only some commands have. */
static void test_files(void **state)
{
	char dir[] = "/tmp/crmfence-unit-XXXXXX", path[80];
	struct fence_policy *p = NULL;
	uid_t me = geteuid();
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	file_says(dir, "is a directory; name the file in it");
	snprintf(path, sizeof(path), "%s/none", dir);
	file_says(path, "no such file; name another");
	snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(symlink("/nowhere/policy.json", path), 0);
	file_says(path, "is a link to \"/nowhere/policy.json\", where nothing is; repair");
	unlink(path);
	assert_int_equal(symlink("policy", path), 0);
	snprintf(path, sizeof(path), "%s/policy", dir);
	f = fopen(path, "w");
	fputs(base, f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	chmod(dir, 0755);
	if (me)
		chmod(path, 0);
	else
		assert_int_equal(seteuid(65534), 0);
	file_says(path, "read it as root, with sudo");
	assert_int_equal(seteuid(me), 0);
	chmod(path, 0600);
	snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(fence_policy_read(path, &p, NULL), 0);
	fence_policy_free(p);
	unlink(path);
	snprintf(path, sizeof(path), "%s/policy", dir);
	assert_int_equal(truncate(path, 3 << 20), 0);
	file_says(path, "is larger than 1048576 bytes");
	assert_int_equal(truncate(path, 100), 0);
	f = fopen(path, "w");
	fwrite("{\0\"\0c\0", 1, 6, f);
	fclose(f);
	file_says(path, "save it as UTF-8");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	file_says(path, "is no regular file");
	unlink(path);
	rmdir(dir);
	file_says("/dev/zero", "is larger than");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
