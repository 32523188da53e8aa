// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent makes of a policy's matches: the keys that the programs look up, what is told when
 * a file changes, which tool a running process is. The kernel's maps and the rest of the agent are
 * played here. Long: by one player for all of it.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/scan.h"
#include "base/exe.h"

#define BANK FENCE_BANK
#define BIN "/usr/local/bin"
#define ID "abcdefghijklmnopabcdefghijklmnop"

static char dir[] = "/tmp/crmfence-unit-XXXXXX";
static struct agent *a;
static struct fence_policy *p;

/* ---- what is played ---- */

static struct {
	struct fence_match_key key;
	struct fence_match_rule rule;
} keys[2100];
static size_t nkeys;
static struct {
	struct fence_name_key key;
	struct fence_unit_rule rule;
} units[32];
static size_t nunits;
static int recognised, refuted, put_fails;
static char said[4000]; /* rows, in short */
static struct fence_buf row;
static struct scan_question
	questions[FENCE_TOOL_MAX * FENCE_POLICY_MATCHES]; /* that the scanner was asked */
static size_t nquestions;

int fence_kernel_put(struct fence_kernel *k, enum fence_map map, const void *key, const void *value)
{
	size_t i;

	(void)k;
	if (put_fails)
		return put_fails;
	if (map == FENCE_MAP_UNITS) {
		memcpy(&units[nunits].key, key, sizeof(units[0].key));
		memcpy(&units[nunits++].rule, value, sizeof(units[0].rule));
		return 0;
	}
	assert_int_equal(map, FENCE_MAP_MATCHES);
	for (i = 0; i < nkeys && memcmp(&keys[i].key, key, sizeof(keys[0].key)); i++)
		;
	memcpy(&keys[i].key, key, sizeof(keys[0].key));
	memcpy(&keys[i].rule, value, sizeof(keys[0].rule));
	nkeys += i == nkeys;
	return 0;
}

int fence_kernel_del(struct fence_kernel *k, enum fence_map map, const void *key)
{
	size_t i;

	(void)k;
	(void)map;
	for (i = 0; i < nkeys; i++)
		if (!memcmp(&keys[i].key, key, sizeof(keys[0].key)))
			keys[i] = keys[--nkeys];
	return 0;
}

/* In the order of the keys themselves, for some go meanwhile. */
int fence_kernel_next(struct fence_kernel *k, enum fence_map map, const void *key, void *next)
{
	const struct fence_match_key *best = NULL;
	size_t i;

	(void)k;
	(void)map;
	for (i = 0; i < nkeys; i++)
		if ((!key || memcmp(&keys[i].key, key, sizeof(*best)) > 0) &&
		    (!best || memcmp(&keys[i].key, best, sizeof(*best)) < 0))
			best = &keys[i].key;
	if (best)
		memcpy(next, best, sizeof(*best));
	return best ? 0 : -2;
}

const __u64 *fence_kernel_key(const struct fence_kernel *k)
{
	static const __u64 key[FENCE_HASH_KEY] = { 1, 2 };

	(void)k;
	return key;
}

int scan_ask(struct scan *s, const struct scan_question *q)
{
	(void)s;
	assert_int_equal(q->kind, SCAN_LOOK);
	assert_int_equal(q->uid, 0x80000000u); /* one share */
	assert_true(nquestions < sizeof(questions) / sizeof(questions[0]));
	questions[nquestions++] = *q;
	return 0;
}

static int silent; /* the scanner does not answer in time */

static void answered(void)
{
	while (nquestions) {
		struct scan_question *q = &questions[--nquestions];
		struct fence_exe e;
		struct scan_answer r = {
			.id = q->id, .last = 1, .data = (const uint8_t *)&e, .len = sizeof(e)
		};

		fence_exe_look(q->path, &e);
		agent_match_looked(a, &r);
	}
}

int64_t agent_scan_await(struct agent *agent, const uint32_t *waits, int64_t ms)
{
	assert_ptr_equal(agent, a);
	assert_int_equal(ms, 1000);
	if (silent)
		return ms;
	assert_int_equal(*waits, nquestions);
	answered();
	assert_int_equal(*waits, 0);
	return 0;
}

static const struct fence_policy *looked; /* the last that was */

/* A policy comes in force; again, it was looked at before. */
static int loaded(void)
{
	if (looked != a->policy || !a->matches)
		assert_int_equal(agent_matches_look(a, a->policy), 0);
	looked = a->policy;
	return agent_matches_put(a);
}

uint64_t agent_hash(const struct agent *agent, const char *text)
{
	uint64_t hash = FENCE_FNV_BASIS;

	assert_ptr_equal(agent, a);
	while (*text)
		hash = fence_fnv(hash, (uint8_t)*text++);
	return hash;
}

int agent_recognise(struct agent *agent)
{
	(void)agent;
	return recognised++, 0;
}

uint64_t agent_policy_digest(struct agent *agent)
{
	(void)agent;
	return 77;
}

int agent_hash_differs(struct agent *agent, const struct agent_exec *e,
		       const struct fence_policy_match *m)
{
	(void)agent;
	(void)e;
	assert_int_equal(m->has_sha, 1);
	return refuted;
}

int agent_cgroup_below(const char *path, const char *want)
{
	return !strcmp(path, want);
}

int agent_unseen(const struct agent *agent, size_t tool)
{
	(void)agent;
	return tool == 1;
}

struct fence_json *agent_row(struct agent *agent, struct fence_json *j)
{
	(void)agent;
	fence_buf_reset(&row);
	fence_json_init(j, &row);
	fence_json_open(j, NULL);
	return j;
}

int64_t agent_row_end(struct agent *agent, struct fence_json *j, const char *kind)
{
	(void)agent;
	assert_string_equal(kind, "match");
	fence_json_close(j);
	strcat(strcat(said, fence_buf_text(&row)), "\n");
	return 1;
}

int64_t agent_alert_raise(struct agent *agent, const struct agent_alert *al)
{
	(void)agent;
	assert_int_equal(al->alert, FENCE_ALERT_E031);
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "alert %s %s of %u\n",
		 al->reason, al->authority, al->tool);
	return 1;
}

void agent_show_note(struct agent *agent, const char *fmt, ...)
{
	va_list args;

	(void)agent;
	va_start(args, fmt);
	vsnprintf(said + strlen(said), sizeof(said) - strlen(said), fmt, args);
	va_end(args);
	strcat(said, "\n");
}

/* ---- a policy and its files ---- */

static const char *at(const char *leaf)
{
	static char paths[8][128];
	static int next;
	char *path = paths[next++ & 7];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, leaf);
	return path;
}

static void put(const char *leaf, const char *text)
{
	FILE *f = fopen(at(leaf), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(at(leaf), 0755), 0);
}

static struct fence_policy_match *match(int tool, uint8_t kind, const char *text)
{
	struct fence_policy_match *m = &p->tools[tool].match[p->tools[tool].nmatch++];

	m->kind = kind;
	snprintf(m->text, sizeof(m->text), "%s", text);
	return m;
}

static int begin(void **state)
{
	(void)state;
	assert_int_equal(mkdir(dir, 0755), 0);
	put("prog", "\177ELF");
	put("script", "#!/bin/sh\n");
	assert_int_equal(symlink(at("prog"), at("link")), 0);
	assert_int_equal(symlink("/usr/bin/env", at("env")), 0);
	a = calloc(1, sizeof(*a));
	p = calloc(1, sizeof(*p));
	a->policy = p;
	a->bank = BANK;
	a->now = 1000000000000;
	p->ntools = 2;
	strcpy(p->tools[0].name, "one");
	strcpy(p->tools[1].name, "two");
	nkeys = nunits = 0;
	recognised = refuted = put_fails = silent = 0;
	looked = NULL;
	said[0] = 0;
	return 0;
}

static int end(void **state)
{
	char command[64];

	(void)state;
	agent_matches_done(a);
	assert_null(a->matches);
	free(p);
	free(a);
	fence_buf_done(&row);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* The rule of a key: tool, flags, index; 0: there is none. */
static unsigned int rule(uint32_t kind, uint64_t value, uint32_t dev)
{
	size_t i;

	for (i = 0; i < nkeys; i++)
		if (keys[i].key.kind == kind && keys[i].key.value == value &&
		    keys[i].key.dev == dev && keys[i].key.bank == BANK)
			return keys[i].rule.tool << 16 | keys[i].rule.flags << 8 |
			       keys[i].rule.rule;
	return 0;
}

static unsigned int by_path(const char *path)
{
	return rule(FENCE_MATCH_EXE, agent_hash(a, path), 0);
}

static unsigned int by_name(const char *path)
{
	return rule(FENCE_MATCH_NAME, agent_hash(a, path), 0);
}

static unsigned int by_file(const char *path)
{
	struct fence_exe e;

	fence_exe_look(path, &e);
	return rule(FENCE_MATCH_FILE, e.ino, e.kernel_dev);
}

/* ---- keys ---- */

static void test_keys(void **state)
{
	struct fence_match_key old = { .kind = FENCE_MATCH_UID, .value = 9, .bank = BANK };

	(void)state;
	match(0, FENCE_MATCH_EXE, at("link"));
	match(0, FENCE_MATCH_EXE, at("script"))->has_sha = 1;
	match(0, FENCE_MATCH_EXE, at("missing"));
	match(0, FENCE_MATCH_NATIVE, ID);
	match(0, FENCE_MATCH_CGROUP, "app.service");
	match(1, FENCE_MATCH_UID, "")->uid = 4242;
	match(1, FENCE_MATCH_CGROUP, "/crm.slice/x");
	match(1, FENCE_MATCH_EXE, at("prog"))->has_sha = 1;
	match(1, FENCE_MATCH_EXE, at("env"));
	match(1, FENCE_MATCH_CGROUP, "app-*.scope"); /* in another map */
	p->tools[1].sight = 1;
	fence_kernel_put(NULL, FENCE_MAP_MATCHES, &old, &(struct fence_match_rule){ 0 });
	old.bank = 0;
	fence_kernel_put(NULL, FENCE_MAP_MATCHES, &old, &(struct fence_match_rule){ 0 });
	assert_int_equal(loaded(), 0);
	assert_int_equal(by_path(at("link")), 0x10000);
	assert_int_equal(by_name(at("link")), 0x10000);
	assert_int_equal(by_path(at("prog")), 0x10000); /* the first tool's, without its flags */
	assert_int_equal(by_file(at("prog")), 0x10000);
	assert_int_equal(by_path(at("script")), 0x10101);
	assert_int_equal(by_name(at("script")), 0x10001); /* "sha256" is not its interpreter's */
	assert_int_equal(by_file(at("script")), 0);
	assert_int_equal(by_path(at("missing")), 0x10002);
	assert_int_equal(rule(FENCE_MATCH_NATIVE, agent_hash(a, ID), 0), 0x10003);
	assert_int_equal(rule(FENCE_MATCH_CGROUP, agent_hash(a, "app.service"), 0), 0x10004);
	assert_int_equal(rule(FENCE_MATCH_UID, 4242, 0), 0x20200);
	assert_int_equal(rule(FENCE_MATCH_CGROUP, agent_hash(a, "/crm.slice/x"), 0), 0x20201);
	assert_int_equal(by_path(at("env")), 0x20203); /* what it leads to is everybody's */
	assert_int_equal(by_name(at("env")), 0x20203);
	assert_int_equal(by_file("/usr/bin/env"), 0);
	assert_int_equal(by_path("/usr/bin/env"), 0);
	assert_int_equal(rule(FENCE_MATCH_UID, 9, 0), 0); /* of before; the other bank's stays */
	assert_int_equal(nkeys, 1 + 15);
	assert_int_equal(nunits, 1);
	assert_false(agent_match_narrowed(a, 1, 0));
	assert_false(agent_match_narrowed(a, 1, 1)); /* a script's interpreter has another */
	assert_true(agent_match_narrowed(a, 2, 2));
	put_fails = -28;
	assert_int_equal(loaded(), -28);
}

static void test_flags(void **state)
{
	unsigned int i, flags;

	(void)state;
	match(0, FENCE_MATCH_UID, "")->uid = 1;
	for (i = 0; i < 16; i++) {
		p->tools[0].match[0].has_sha = i & 1;
		p->tools[0].sight = i & 2;
		p->tools[0].loose = i & 4;
		p->tools[0].taint = i & 8 ? FENCE_TAINT_CONFINED : 0;
		flags = (i & 1 ? FENCE_MATCH_CHECK : 0) | (i & 2 ? FENCE_MATCH_SIGHT : 0) |
			(i & 12 ? FENCE_MATCH_LOOSE : 0) | (i & 8 ? FENCE_MATCH_TAINT : 0);
		assert_int_equal(loaded(), 0);
		assert_int_equal(rule(FENCE_MATCH_UID, 1, 0), 0x10000 | flags << 8);
	}
}

/* Of what begins alike, the longer has the ends of the shorter. */
static void test_stars(void **state)
{
	const struct fence_unit_end *e;
	size_t i;

	(void)state;
	match(0, FENCE_MATCH_CGROUP, "a-*.scope");
	match(0, FENCE_MATCH_CGROUP, "b-*");
	match(1, FENCE_MATCH_CGROUP, "a-b-*.service");
	match(1, FENCE_MATCH_EXE, "/x*y"); /* no unit */
	assert_int_equal(loaded(), 0);
	assert_int_equal(nunits, 3);
	for (i = 0; i < 3; i++) {
		static const char *const heads[] = { "a-", "b-", "a-b-" };

		assert_string_equal(units[i].key.name, heads[i]);
		assert_int_equal(units[i].key.tool, BANK);
		assert_int_equal(units[i].key.prefixlen, 8 * (1 + strlen(heads[i])));
	}
	e = units[0].rule.end;
	assert_int_equal(e[0].head, 2);
	assert_int_equal(e[0].tail, 6);
	assert_true(e[0].hash == agent_hash(a, ".scope"));
	assert_int_equal(e[0].rule.tool, 1);
	assert_int_equal(e[0].rule.rule, 0);
	assert_int_equal(e[1].head, 0);
	e = units[1].rule.end;
	assert_int_equal(e[0].tail, 0);
	assert_int_equal(e[0].rule.rule, 1);
	e = units[2].rule.end;
	assert_true(e[0].hash == agent_hash(a, ".scope") && e[0].head == 2);
	assert_true(e[1].hash == agent_hash(a, ".service") && e[1].head == 4);
	assert_int_equal(e[1].rule.tool, 2);
	assert_int_equal(e[2].head, 0);
	for (i = 0; i < 4; i++)
		match(1, FENCE_MATCH_CGROUP, "a-*.x");
	assert_int_equal(loaded(), -28);
}

/* As many tools and matches as there may be; what stands behind them is nobody's. */
static void test_full(void **state)
{
	size_t i, j;

	(void)state;
	p->ntools = FENCE_TOOL_MAX;
	for (i = 0; i < FENCE_TOOL_MAX; i++)
		for (j = 0; j < FENCE_POLICY_MATCHES; j++)
			match((int)i, FENCE_MATCH_UID, "")->uid = (uint32_t)(100 * i + j);
	assert_int_equal(loaded(), 0);
	assert_int_equal(nkeys, FENCE_TOOL_MAX * FENCE_POLICY_MATCHES);
	a->now += 61000000000;
	agent_matches_turn(a);
	agent_matches_tell(a);
	assert_string_equal(said, "");
	/* fewer again, and an executable behind the last */
	p->ntools = 1;
	p->tools[0].nmatch = 1;
	p->tools[0].match[1].kind = p->tools[1].match[0].kind = FENCE_MATCH_EXE;
	strcpy(p->tools[0].match[1].text, at("prog"));
	strcpy(p->tools[1].match[0].text, at("script"));
	assert_int_equal(loaded(), 0);
	assert_int_equal(nkeys, 1);
	a->now += 61000000000;
	agent_matches_turn(a);
	agent_matches_tell(a);
	assert_string_equal(said, "");
}

/* There is room for 2,048 keys: a link has four, to a script with names two and those. */
static void test_room(void **state)
{
	char leaf[16], link[32];
	int i, names;

	(void)state;
	if (geteuid())
		skip();
	p->ntools = FENCE_TOOL_MAX;
	for (i = 0; i < FENCE_TOOL_MAX * FENCE_POLICY_MATCHES; i++) {
		snprintf(leaf, sizeof(leaf), "f%d", i);
		put(leaf, i ? "\177ELF" : "#!/bin/sh\n");
		snprintf(link, sizeof(link), "l%d", i);
		assert_int_equal(symlink(at(leaf), at(link)), 0);
		match(i / FENCE_POLICY_MATCHES, FENCE_MATCH_EXE, at(link));
	}
	for (names = 1; names < 3; names++) {
		snprintf(link, sizeof(link), BIN "/%d", names);
		assert_int_equal(symlink(at("f0"), link), 0);
		agent_matches_done(a);
		nkeys = 0;
		assert_int_equal(loaded(), names == 2 ? -28 : 0);
		assert_int_equal(nkeys, names == 2 ? 0 : 2047 + names);
	}
	unlink(BIN "/1");
	unlink(BIN "/2");
}

/* ---- changes ---- */

/* Time passes; what was said of it. */
static const char *turn(double seconds)
{
	said[0] = 0;
	recognised = 0;
	a->now += (uint64_t)(seconds * 1e9);
	agent_matches_turn(a);
	answered();
	return said;
}

static void told(const char *what, const char *state, const char *more)
{
	char want[400];

	snprintf(want, sizeof(want), "\"change\":\"%s\",\"exe\":\"%s\"", what, state);
	if (!strstr(said, want) || !strstr(said, more))
		fail_msg("%s %s: %s", want, more, said);
}

static void test_turn(void **state)
{
	uint64_t began;

	(void)state;
	match(0, FENCE_MATCH_EXE, at("link"));
	match(0, FENCE_MATCH_UID, "")->uid = 5;
	assert_int_equal(loaded(), 0);
	turn(0.9);
	assert_int_equal(recognised, 0);
	turn(60); /* whole; nothing is other */
	assert_string_equal(said, "");
	assert_int_equal(recognised, 0);
	a->moved = 1;
	turn(0);
	assert_int_equal(recognised, 1);
	turn(0);
	assert_int_equal(recognised, 0);
	/* another file at the same place; at once, but not twice a second */
	began = by_file(at("prog"));
	assert_true(began);
	put("next", "\177ELF");
	assert_int_equal(rename(at("next"), at("prog")), 0);
	turn(0.1);
	assert_string_equal(said, "");
	a->urgent = 0;
	turn(1);
	told("replaced", at("link"), "\"tool\":\"one\"");
	assert_null(strstr(said, "alert ")); /* root's own doing */
	assert_int_equal(a->urgent, 1);
	assert_int_equal(recognised, 1);
	assert_int_equal(a->digest, 77);
	assert_int_equal(by_file(at("prog")), 0x10000);
	assert_int_equal(nkeys, 5);
	assert_string_equal(turn(1), "");
	assert_int_equal(unlink(at("link")), 0);
	turn(1);
	told("missing", at("link"), "\"script\":false");
	assert_non_null(strstr(said, "alert missing "));
	assert_int_equal(nkeys, 3); /* its own name, and the user */
	assert_string_equal(turn(1), "");
	assert_int_equal(symlink(at("prog"), at("link")), 0);
	turn(1);
	told("found", at("link"), at("prog"));
	assert_int_equal(nkeys, 5);
	assert_int_equal(unlink(at("link")) | symlink(at("script"), at("link")), 0);
	turn(1);
	told("turned", at("link"), at("script"));
	told("script", at("link"), "\"script\":true"); /* what it is now is told as well */
	assert_int_equal(nkeys, 4);
	assert_int_equal(by_name(at("script")), 0x10000);
	assert_int_equal(unlink(at("link")) | symlink("/usr/bin/env", at("link")), 0);
	turn(1);
	told("broad", at("link"), ", is /usr/bin/env");
	strcpy(p->tools[0].match[0].broad, "as it is meant");
	put_fails = -7;
	assert_int_equal(unlink(at("link")) | symlink(at("prog"), at("link")), 0);
	turn(1);
	assert_non_null(strstr(said, "does not fit the kernel's map"));
}

/* What others can write is no other file: it is seen once a minute, when all is looked at. */
static void test_turn_others(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	match(0, FENCE_MATCH_EXE, at("prog"));
	assert_int_equal(loaded(), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	turn(60);
	told("others", at("prog"), ", others than root can write or turn ");
	told("others", at("prog"), "\"others\":\"");
	assert_null(strstr(said, ", is ")); /* where it is, is said */
	assert_string_equal(turn(59), "");
	assert_int_equal(chmod(dir, 0755), 0);
	turn(0.9);
	assert_int_equal(recognised, 0);
	turn(60); /* better again: nothing to tell, and no key is another */
	assert_string_equal(said, "");
	assert_int_equal(recognised, 0);
}

/* A policy that is refused has been looked at, and half put: the one in force is as it was. */
static void test_turn_policy(void **state)
{
	struct fence_policy *other = calloc(1, sizeof(*other));

	(void)state;
	match(0, FENCE_MATCH_EXE, at("prog"));
	assert_int_equal(loaded(), 0);
	assert_int_equal(agent_matches_look(a, other), 0);
	a->policy = other;
	assert_int_equal(agent_matches_put(a), 0);
	assert_int_equal(nkeys, 0);
	a->policy = p;
	free(other);
	turn(0);
	assert_string_equal(said, "");
	assert_int_equal(by_file(at("prog")), 0x10000);
	agent_matches_tell(a);
	assert_string_equal(said, "");
	assert_int_equal(agent_matches_put(a), 0);
	assert_int_equal(by_file(at("prog")), 0x10000);
}

/* A file system that does not answer keeps no policy waiting: until it does the path alone counts,
 * and that is told. What was known of a path before is known under the next policy. */
static void test_silent(void **state)
{
	struct fence_policy *next = calloc(1, sizeof(*next));
	struct scan_question late, script;

	(void)state;
	silent = 1;
	assert_int_equal(chmod(dir, 0777), 0);
	match(0, FENCE_MATCH_EXE, at("prog"));
	assert_int_equal(loaded(), 0);
	assert_int_equal(nkeys, 2);
	assert_int_equal(by_path(at("prog")), 0x10000);
	agent_matches_tell(a);
	assert_string_equal(said, ""); /* a busy machine is late */
	assert_int_equal(nquestions, 1);
	late = questions[0];
	nquestions = 0;
	turn(29);
	assert_string_equal(said, "");
	turn(1);
	told("unseen file", at("prog"), "\"tool\":\"one\"");
	assert_string_equal(turn(1), "");
	questions[nquestions++] = late; /* it answers now */
	turn(0);
	told("found", at("prog"), "others");
	assert_int_equal(by_file(at("prog")), 0x10000);

	*next = *p;
	assert_int_equal(agent_matches_look(a, next), 0);
	assert_int_equal(nquestions, 1);
	late = questions[0]; /* its answer comes when another policy has been looked at */
	nquestions = 0;
	strcpy(next->tools[0].match[1].text, at("script"));
	next->tools[0].match[1].kind = FENCE_MATCH_EXE;
	next->tools[0].nmatch = 2;
	assert_int_equal(agent_matches_look(a, next), 0);
	assert_int_equal(nquestions, 2);
	script = questions[1];
	questions[1] = late;
	snprintf(questions[1].path, sizeof(questions[1].path), "%s", at("missing"));
	answered();
	a->policy = next;
	assert_int_equal(agent_matches_put(a), 0);
	assert_int_equal(by_file(at("prog")), 0x10000);
	said[0] = 0;
	agent_matches_tell(a);
	assert_null(strstr(said, "unseen file"));
	questions[nquestions++] = script;
	turn(1); /* no change, but what is amiss with one that is seen first */
	told("others", at("script"), "\"script\":true");
	assert_null(strstr(said, "found"));
	a->policy = p;
	free(next);
}

static void test_tell(void **state)
{
	struct fence_buf b = { 0 };
	struct fence_json j;
	const char *text;

	(void)state;
	put("data", "x");
	match(0, FENCE_MATCH_EXE, at("prog"));
	match(0, FENCE_MATCH_EXE, at("script"));
	match(0, FENCE_MATCH_EXE, at("missing"));
	match(1, FENCE_MATCH_EXE, at("data"));
	match(1, FENCE_MATCH_EXE, at("env"));
	match(1, FENCE_MATCH_UID, "")->uid = 1;
	a->seen[0].last = 1234;
	assert_int_equal(loaded(), 0);
	agent_matches_tell(a);
	assert_null(strstr(said, at("prog")));
	told("script", at("script"), "\"tool\":\"one\"");
	told("missing", at("missing"), "\"tool\":\"one\"");
	told("no program", at("data"), "\"tool\":\"two\"");
	told("broad", at("env"), "\"tool\":\"two\"");
	fence_json_init(&j, &b);
	fence_json_open(&j, NULL);
	agent_matches_status(a, &j);
	fence_json_close(&j);
	text = fence_buf_text(&b);
	assert_ptr_equal(strstr(text, "{\"tools\":[{\"last_seen\":1234,\"matches\":[{\"exe\":\""),
			 text);
	assert_non_null(strstr(text, "\"state\":\"script\"},{"));
	assert_non_null(strstr(text, "\"state\":\"missing\"}],\"name\":\"one\",\"unseen\":false},{"
				     "\"matches\":[{"));
	assert_non_null(strstr(text, "\"state\":\"no program\"},{"));
	assert_non_null(strstr(text, "\"state\":\"broad\"}],\"name\":\"two\",\"unseen\":true}]}"));
	fence_buf_done(&b);
}

/* ---- what runs ---- */

static uint8_t is(const struct agent_running *r)
{
	uint8_t index = 77, tool = agent_match_running(a, r, &index);

	if (!tool)
		assert_int_equal(index, 77);
	return tool ? (uint8_t)(tool << 4 | index) : 0;
}

static void test_running(void **state)
{
	struct agent_running r = { .tgid = (uint32_t)getpid(), .exe = "/x", .cgroup = "/" };
	struct stat st;
	char path[128];

	(void)state;
	match(0, FENCE_MATCH_UID, "")->uid = 5;
	match(0, FENCE_MATCH_CGROUP, "a.service");
	match(0, FENCE_MATCH_CGROUP, "b-*.scope");
	match(1, FENCE_MATCH_EXE, at("link"));
	match(1, FENCE_MATCH_CGROUP, "/crm.slice");
	match(1, FENCE_MATCH_UID, "")->uid = 6;
	match(1, FENCE_MATCH_EXE, at("missing")); /* as little as of a process that is gone */
	assert_int_equal(loaded(), 0);
	assert_int_equal(is(&r), 0);
	r.uid = 5;
	assert_int_equal(is(&r), 0x10);
	r.uid = 6;
	assert_int_equal(is(&r), 0x22);
	r.cgroup = "/x/a.service/y"; /* before any user */
	assert_int_equal(is(&r), 0x11);
	r.cgroup = "/x/b-1.scope";
	assert_int_equal(is(&r), 0x12);
	r.cgroup = "/crm.slice";
	assert_int_equal(is(&r), 0x21);
	r.uid = 0;
	r.cgroup = "/a.servic/aa.service/a.service2/b-.scope/b-1.scop/c-1.scope/b-1.scope2";
	assert_int_equal(is(&r), 0);
	r.cgroup = "a.service"; /* no path */
	assert_int_equal(is(&r), 0);
	r.cgroup = "/x/a.service";
	snprintf(path, sizeof(path), "%s", at("link")); /* before any unit */
	r.exe = path;
	assert_int_equal(is(&r), 0x20);
	snprintf(path, sizeof(path), "%s", at("prog"));
	assert_int_equal(is(&r), 0x20);
	r.cgroup = "/";
	p->tools[1].match[0].has_sha = 1;
	assert_int_equal(is(&r), 0x20);
	refuted = 1;
	assert_int_equal(is(&r), 0);
	p->tools[1].match[0].has_sha = 0;
	r.cgroup = "/x/a.service";
	r.exe = "/another/name"; /* of the same file */
	assert_int_equal(stat(at("prog"), &st), 0);
	r.ino = st.st_ino;
	r.dev = st.st_dev;
	assert_int_equal(is(&r), 0x20);
	r.dev++;
	assert_int_equal(is(&r), 0x11);
	r.dev--;
	r.ino++;
	assert_int_equal(is(&r), 0x11);
}

/* A process whose command line has these words; ours to end. */
static pid_t started(const char *one, const char *two, const char *three)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		dup2(ready[1], 9);
		execl("/proc/self/exe", one, two, three, NULL);
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static uint8_t ran(const char *exe, const char *one, const char *two, const char *three)
{
	struct agent_running r = { .exe = exe, .cgroup = "/" };
	uint8_t found;

	r.tgid = (uint32_t)started(one, two, three);
	found = is(&r);
	kill((pid_t)r.tgid, SIGKILL);
	waitpid((pid_t)r.tgid, NULL, 0);
	return found;
}

static void test_command_lines(void **state)
{
	char sh[PATH_MAX], env[PATH_MAX];

	(void)state;
	assert_non_null(realpath("/bin/sh", sh));
	assert_non_null(realpath("/usr/bin/env", env));
	match(0, FENCE_MATCH_EXE, at("script"));
	match(0, FENCE_MATCH_NATIVE, ID);
	match(0, FENCE_MATCH_EXE, at("env"));
	assert_int_equal(loaded(), 0);
	assert_int_equal(ran(sh, "sh", at("script"), "x"), 0x10);
	assert_int_equal(ran(sh, "sh", "-e", at("script")), 0x10);
	assert_int_equal(ran(sh, at("script"), "x", "y"), 0x10);
	assert_int_equal(ran(sh, "sh", "x", "y"), 0);
	assert_int_equal(ran(at("prog"), "sh", at("script"), "x"), 0); /* another interpreter */
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(ran(sh, "sh", "script", "x"), 0x10);
	assert_int_equal(ran(sh, "sh", "././script", "x"), 0x10);
	assert_int_equal(ran(sh, "sh", "./other", "x"), 0);
	assert_int_equal(ran(env, at("env"), "x", "y"), 0x12);
	assert_int_equal(ran(env, "./env", "x", "y"), 0x12);
	assert_int_equal(ran(env, "env", at("env"), "y"), 0x12); /* the same name, from here */
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(ran(env, "env", "x", "y"), 0);
	assert_int_equal(ran(env, "sh", at("script"), "y"), 0);
	assert_int_equal(ran("/x", "host", "chrome-extension://" ID "/", "y"), 0x11);
	assert_int_equal(ran("/x", "host", "y", "chrome-extension://" ID), 0x11);
	assert_int_equal(ran("/x", "chrome-extension://" ID "/", "y", "z"), 0);
	assert_int_equal(ran("/x", "host", "chrome-extension:/" ID "/", "y"), 0);
	assert_int_equal(
		ran("/x", "host", "chrome-extension://bbcdefghijklmnopabcdefghijklmnop/", "y"), 0);
}

/* By a name among the programs; by its own memory it is not asked. */
static void test_started(void **state)
{
	char sh[PATH_MAX], self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	if (geteuid())
		skip();
	assert_true(n > 0);
	self[n] = 0;
	assert_non_null(realpath("/bin/sh", sh));
	assert_int_equal(symlink(at("script"), BIN "/command"), 0);
	assert_int_equal(symlink(self, at("me")) | symlink(self, BIN "/bash"), 0);
	match(0, FENCE_MATCH_EXE, at("script"));
	match(0, FENCE_MATCH_EXE, at("me"));
	assert_int_equal(loaded(), 0);
	assert_int_equal(ran(sh, "sh", BIN "/command", "x"), 0x10);
	assert_int_equal(ran(sh, "sh", BIN "/commands", "x"), 0);
	assert_int_equal(ran(self, "x", "y", "z"), 0);
	assert_int_equal(ran(self, at("me"), "y", "z"), 0x11);
	assert_int_equal(ran(sh, at("me"), "y", "z"), 0); /* it has become another since */
	unlink(BIN "/command");
	unlink(BIN "/bash");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keys, begin, end),
		cmocka_unit_test_setup_teardown(test_flags, begin, end),
		cmocka_unit_test_setup_teardown(test_stars, begin, end),
		cmocka_unit_test_setup_teardown(test_full, begin, end),
		cmocka_unit_test_setup_teardown(test_room, begin, end),
		cmocka_unit_test_setup_teardown(test_turn, begin, end),
		cmocka_unit_test_setup_teardown(test_turn_others, begin, end),
		cmocka_unit_test_setup_teardown(test_turn_policy, begin, end),
		cmocka_unit_test_setup_teardown(test_silent, begin, end),
		cmocka_unit_test_setup_teardown(test_tell, begin, end),
		cmocka_unit_test_setup_teardown(test_running, begin, end),
		cmocka_unit_test_setup_teardown(test_command_lines, begin, end),
		cmocka_unit_test_setup_teardown(test_started, begin, end),
	};

	if (argc > 1 && argv[1]) /* one that is looked at */
		return write(9, "", 1) == 1 ? pause() : 1;
	if (!geteuid() &&
	    (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	     mount("tmpfs", BIN, "tmpfs", 0, NULL)))
		return 1;
	umask(022);
	if (!mkdtemp(dir) || rmdir(dir))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
