// SPDX-License-Identifier: Apache-2.0
/*
 * What the policy calls a tool, as the programs know it: keys of `matches` and `units`. An
 * executable is known by its path, by where its links lead and by the file there; a script by the
 * names that it may be started by. Files come, go, are replaced and turned by those who update
 * them: they are looked at again each second, and what began meanwhile is joined.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/scan.h"
#include "base/cleanup.h"
#include "base/exe.h"
#include "base/path.h"

#define LOOK_USER 0x80000000u
#define KEYS_MAX 2048 /* of all tools: half of the map, which has two policies' for a moment */
#define LOOK_NS 1000000000ULL
#define LOOK_MS 1000 /* that a policy waits for its executables to be looked at */
#define UNSEEN_NS 30000000000ULL /* that nobody is told of one that was not, on a busy machine */
#define WHOLE_NS 60000000000ULL /* a look at whose the directories are, too */
#define TELL_NS 60000000000ULL /* a change of one file is told once a minute ... */
#define TELL_BURST_NS (10 * TELL_NS) /* ... but ten at once */
#define REST 10 /* of the time that looking at what runs takes */

struct key {
	struct fence_match_key key;
	struct fence_match_rule rule;
};

/* What a policy's exe matches are. */
struct look {
	const struct fence_policy *policy; /* NULL: of none */
	struct fence_exe exe[FENCE_TOOL_MAX][FENCE_POLICY_MATCHES];
	uint8_t asked[FENCE_TOOL_MAX][FENCE_POLICY_MATCHES]; /* of the scanner, without an answer */
	uint32_t round; /* in the questions' ids */
	uint32_t waits; /* questions that the policy waits for */
	uint64_t began; /* boot time */
};

struct agent_matches {
	struct look look[2]; /* of the policy in force, and of one that is to be */
	uint32_t round; /* of the last look */
	const struct fence_policy *policy; /* whose keys and changes these are */
	struct fence_exe told[FENCE_TOOL_MAX][FENCE_POLICY_MATCHES]; /* as last told */
	uint64_t tell[FENCE_TOOL_MAX][FENCE_POLICY_MATCHES]; /* boot time up to which is paid */
	uint64_t dirs; /* fence_exe_dirs() */
	uint64_t sum; /* over the keys in the map; 0: not known */
	uint64_t looked, whole; /* boot time of the last look, and of the last at everything */
	uint64_t recognise; /* boot time from which what runs is looked at; 0: it need not be */
	uint64_t rested; /* boot time before which it is not looked at again */
};

static struct look *look_of(const struct agent *a, const struct fence_policy *p)
{
	struct look *l = a->matches->look;

	return l[0].policy == p ? &l[0] : &l[1];
}

static struct fence_exe *exe_of(const struct agent *a, size_t tool, size_t index)
{
	return &look_of(a, a->policy)->exe[tool][index];
}

struct keys {
	struct agent *a;
	struct key *keys; /* owned */
	size_t n;
	struct fence_match_rule rule; /* of the match that is being put */
	int full;
};

static struct fence_match_rule rule_of(const struct agent *a, uint8_t tool, uint8_t index)
{
	const struct fence_policy_match *m = &a->policy->tools[tool - 1].match[index];
	struct fence_match_rule r = { .tool = tool, .rule = index };

	if (m->has_sha)
		r.flags = FENCE_MATCH_CHECK;
	if (fence_policy_sees(a->policy, tool))
		r.flags |= FENCE_MATCH_SIGHT;
	if (fence_policy_loose(a->policy, tool))
		r.flags |= FENCE_MATCH_LOOSE;
	if (fence_policy_taints(a->policy, tool))
		r.flags |= FENCE_MATCH_TAINT;
	return r;
}

/* Of two tools that one key stands for the first counts, one that is not narrowed before others. */
static void add(struct keys *k, uint32_t kind, uint64_t value, uint32_t dev)
{
	struct key one = { .key = { .value = value, .kind = kind, .bank = k->a->bank, .dev = dev },
			   .rule = k->rule };
	size_t i;

	for (i = 0; i < k->n && memcmp(&k->keys[i].key, &one.key, sizeof(one.key));)
		i++;
	if (i == KEYS_MAX)
		k->full = 1;
	else if (i == k->n)
		k->keys[k->n++] = one;
	else if (k->keys[i].rule.flags & FENCE_MATCH_CHECK && !(one.rule.flags & FENCE_MATCH_CHECK))
		k->keys[i] = one;
}

int agent_match_by_name(const struct fence_policy_match *m, const struct fence_exe *e)
{
	return e->err || e->foreign || (e->broad[0] && !m->broad[0]);
}

static void add_exe(struct keys *k, const struct fence_policy_match *m, const struct fence_exe *e)
{
	const char *name = NULL;

	add(k, FENCE_MATCH_EXE, agent_hash(k->a, m->text), 0);
	if (e->kind == FENCE_EXE_SCRIPT) /* "sha256" is not its interpreter's */
		k->rule.flags &= (uint8_t)~FENCE_MATCH_CHECK;
	add(k, FENCE_MATCH_NAME, agent_hash(k->a, m->text), 0);
	if (agent_match_by_name(m, e))
		return;
	if (fence_exe_script(e)) {
		add(k, FENCE_MATCH_NAME, agent_hash(k->a, e->real), 0);
		while ((name = fence_exe_name(e, name)))
			add(k, FENCE_MATCH_NAME, agent_hash(k->a, name), 0);
	}
	if (e->kind == FENCE_EXE_SCRIPT)
		return;
	add(k, FENCE_MATCH_EXE, agent_hash(k->a, e->real), 0);
	if (e->unique)
		add(k, FENCE_MATCH_FILE, e->ino, e->kernel_dev);
}

static void add_match(struct keys *k, const struct fence_policy_match *m, const struct fence_exe *e)
{
	if (m->kind == FENCE_MATCH_EXE)
		add_exe(k, m, e);
	else if (m->kind == FENCE_MATCH_UID)
		add(k, m->kind, m->uid, 0);
	else
		add(k, m->kind, agent_hash(k->a, m->text), 0);
}

/* Every key of the policy. -ENOSPC: more than the map has room for. */
static int collect(struct agent *a, struct keys *k)
{
	const struct fence_policy *p = a->policy;
	uint8_t i, j;

	*k = (struct keys){ .a = a, .keys = calloc(KEYS_MAX, sizeof(*k->keys)) };
	if (!k->keys)
		return -ENOMEM;
	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			k->rule = rule_of(a, (uint8_t)(i + 1), j);
			if (!strchr(p->tools[i].match[j].text, '*'))
				add_match(k, &p->tools[i].match[j], exe_of(a, i, j));
		}
	return k->full ? -ENOSPC : 0;
}

/* Keys of the bank that are not among these. */
static void sweep(struct agent *a, const struct keys *k)
{
	struct fence_match_key key, next;
	int more = !fence_kernel_next(a->kernel, FENCE_MAP_MATCHES, NULL, &next);
	size_t i;

	while (more) {
		key = next;
		more = !fence_kernel_next(a->kernel, FENCE_MAP_MATCHES, &key, &next);
		for (i = 0; i < k->n && memcmp(&k->keys[i].key, &key, sizeof(key));)
			i++;
		if (i == k->n && key.bank == a->bank)
			fence_kernel_del(a->kernel, FENCE_MAP_MATCHES, &key);
	}
}

/* What is new is put before what is over goes: nothing is unknown in between. 1: it was there. */
static int put_keys(struct agent *a)
{
	struct keys k;
	uint64_t sum = 1;
	size_t i;
	int err = collect(a, &k);

	for (i = 0; !err && i < k.n; i++)
		sum = sum * FENCE_FNV_PRIME ^
		      fence_hash_octets(fence_kernel_key(a->kernel), &k.keys[i], sizeof(k.keys[i]));
	if (!err && sum == a->matches->sum) {
		free(k.keys);
		return 1;
	}
	for (i = 0; !err && i < k.n; i++)
		err = fence_kernel_put(a->kernel, FENCE_MAP_MATCHES, &k.keys[i].key,
				       &k.keys[i].rule);
	if (!err)
		sweep(a, &k);
	a->matches->sum = err ? 0 : sum;
	free(k.keys);
	return err;
}

typedef int each_star(void *ctx, uint8_t tool, uint8_t index, const char *text, size_t head);

/* Units with a star: `head` octets stand before it. Until `each` returns other than 0. */
static int stars(struct agent *a, each_star *each, void *ctx)
{
	const struct fence_policy *p = a->policy;
	const char *text, *star;
	int err = 0;
	uint8_t i, j;

	for (i = 0; !err && i < p->ntools; i++)
		for (j = 0; !err && j < p->tools[i].nmatch; j++) {
			text = p->tools[i].match[j].text;
			star = p->tools[i].match[j].kind == FENCE_MATCH_CGROUP ? strchr(text, '*')
									       : NULL;
			if (star)
				err = each(ctx, (uint8_t)(i + 1), j, text, (size_t)(star - text));
		}
	return err;
}

struct star {
	struct agent *a;
	const char *text;
	size_t head, n;
	struct fence_unit_rule rule;
};

/* An end that counts for `ctx` too: it begins alike, or shorter. */
static int add_end(void *ctx, uint8_t tool, uint8_t index, const char *text, size_t head)
{
	struct star *s = ctx;

	if (head > s->head || strncmp(text, s->text, head))
		return 0;
	if (s->n == FENCE_UNIT_ENDS)
		return -ENOSPC;
	s->rule.end[s->n++] = (struct fence_unit_end){ .hash = agent_hash(s->a, text + head + 1),
						       .head = (uint32_t)head,
						       .tail = (uint32_t)strlen(text + head + 1),
						       .rule = rule_of(s->a, tool, index) };
	return 0;
}

static int put_star(void *ctx, uint8_t tool, uint8_t index, const char *text, size_t head)
{
	struct agent *a = ctx;
	struct star s = { .a = a, .text = text, .head = head };
	struct fence_name_key k = { .tool = a->bank,
				    .prefixlen = FENCE_NAME_KEY_BITS((uint32_t)head) };
	int err = stars(a, add_end, &s);

	(void)tool;
	(void)index;
	memcpy(k.name, text, head);
	return err ? err : fence_kernel_put(a->kernel, FENCE_MAP_UNITS, &k, &s.rule);
}

/* Has the scanner look at an executable. 1: it is asked. */
static int look_ask(struct agent *a, struct look *l, uint8_t tool, uint8_t index)
{
	struct scan_question q = { .kind = SCAN_LOOK,
				   .id = l->round << 16 | (uint32_t)tool << 8 | index };

	if (l->asked[tool][index])
		return 0;
	q.uid = LOOK_USER; /* all of them have one share of the time */
	snprintf(q.path, sizeof(q.path), "%s", l->policy->tools[tool].match[index].text);
	l->asked[tool][index] = !scan_ask(a->scan, &q);
	return l->asked[tool][index];
}

/* What is known of the same path under the policy that is in force; or that nothing is yet. */
static void look_begin(const struct look *old, const char *path, struct fence_exe *e)
{
	size_t i, j;

	*e = (struct fence_exe){ .err = EINPROGRESS };
	for (i = 0; old && i < old->policy->ntools; i++)
		for (j = 0; j < old->policy->tools[i].nmatch; j++) {
			const struct fence_policy_match *m = &old->policy->tools[i].match[j];

			if (m->kind == FENCE_MATCH_EXE && !strcmp(m->text, path))
				*e = old->exe[i][j];
		}
}

/*
 * Root's own are looked at here: whoever waits for their disk would wait for them at every exec.
 * Others are, by the scanner.
 */
static void look_first(struct agent *a, struct look *l, uint8_t tool, uint8_t index,
		       const struct look *old, struct fence_mounts *mounts)
{
	const char *path = l->policy->tools[tool].match[index].text;

	if (fence_path_is_roots(path, mounts)) {
		fence_exe_look_now(path, &l->exe[tool][index]);
		return;
	}
	look_begin(old, path, &l->exe[tool][index]);
	l->waits += (uint32_t)look_ask(a, l, tool, index);
}

int agent_matches_look(struct agent *a, const struct fence_policy *p)
{
	AUTO_MOUNTS struct fence_mounts mounts = { 0 };
	struct look *l, *old;
	uint8_t i, j;

	if (!a->matches)
		a->matches = calloc(1, sizeof(*a->matches));
	if (!a->matches)
		return -ENOMEM;
	old = look_of(a, a->policy); /* at the start it is the one that is to be, and is empty */
	l = &a->matches->look[old == a->matches->look];
	memset(l->asked, 0, sizeof(l->asked));
	l->policy = p;
	l->round = ++a->matches->round & 0xffff; /* answers to any before are none */
	l->waits = 0;
	l->began = a->now;
	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++)
			if (p->tools[i].match[j].kind == FENCE_MATCH_EXE)
				look_first(a, l, i, j, old->policy == a->policy ? old : NULL,
					   &mounts);
	agent_scan_await(a, &l->waits, LOOK_MS);
	l->waits = 0;
	return 0;
}

/* Its executables are as they are told to be. */
static void look_told(struct agent *a)
{
	struct agent_matches *m = a->matches;
	size_t i, j;

	m->policy = a->policy;
	m->looked = a->now;
	for (i = 0; i < a->policy->ntools; i++)
		for (j = 0; j < a->policy->tools[i].nmatch; j++)
			m->told[i][j] = *exe_of(a, i, j);
}

int agent_matches_put(struct agent *a)
{
	int err;

	if (a->matches->policy != a->policy) /* else what has changed since is to be told */
		look_told(a);
	a->matches->sum = 0;
	err = put_keys(a);
	if (!err)
		err = stars(a, put_star, a);
	if (err) /* another one will be in force */
		a->matches->policy = NULL;
	return err;
}

/* Has the file, or where its path leads, changed since? The cheap half of a look. */
static int is_other(const char *path, const struct fence_exe *e)
{
	struct stat st;

	if (stat(path, &st))
		return !e->err;
	return e->err || st.st_ino != e->ino || st.st_dev != e->dev ||
	       (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec != e->ctime;
}

/* What is to be told of an executable; NULL: nothing. */
static const char *amiss(const struct fence_policy_match *m, const struct fence_exe *e)
{
	return e->err			     ? (e->err == ENOENT ? "missing" : "unseen file")
	       : e->foreign		     ? "not followed"
	       : agent_match_by_name(m, e)   ? "broad"
	       : e->kind == FENCE_EXE_OTHER  ? "no program"
	       : e->others[0]		     ? "others"
	       : e->kind == FENCE_EXE_UNREAD ? "unread"
	       : e->kind == FENCE_EXE_SCRIPT ? "script"
					     : NULL;
}

static int is_in_order(const char *change)
{
	return !strcmp(change, "turned") || !strcmp(change, "replaced") || !strcmp(change, "found");
}

static void tell(struct agent *a, uint8_t tool, const char *path, const struct fence_exe *e,
		 const char *change)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_str(&j, "change", change);
	fence_json_str(&j, "exe", path);
	if (e->others[0])
		fence_json_str(&j, "others", e->others);
	if (e->real[0])
		fence_json_str(&j, "real", e->real);
	fence_json_bool(&j, "script", e->kind == FENCE_EXE_SCRIPT);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, tool));
	agent_row_end(a, &j, "match");
	a->urgent = 1;
	if (e->others[0] || !is_in_order(change)) /* what root updates is no alert */
		agent_alert_raise(a, &(struct agent_alert){ .alert = FENCE_ALERT_E031,
							    .authority = path,
							    .reason = change,
							    .tool = tool });
	agent_show_note(a, "%s of %s: %s%s%s%s%s", path, fence_policy_tool_name(a->policy, tool),
			change, e->real[0] && strcmp(e->real, path) ? ", is " : "",
			e->real[0] && strcmp(e->real, path) ? e->real : "",
			e->others[0] ? ", others than root can write or turn " : "", e->others);
}

/* From one look to the next. EINPROGRESS: there was none yet, and nothing to tell of it. */
static const char *changed(const struct fence_exe *old, const struct fence_exe *e)
{
	if (old->err == EINPROGRESS)
		return NULL;
	if (e->err)
		return old->err ? NULL : "missing";
	if (old->err)
		return "found";
	if (strcmp(old->real, e->real))
		return "turned";
	if (old->ino != e->ino || old->dev != e->dev || old->mtime != e->mtime)
		return "replaced";
	return strcmp(old->others, e->others) && e->others[0] ? "others" : NULL;
}

void agent_matches_tell(struct agent *a)
{
	const struct fence_policy *p = a->policy;
	const char *what;
	uint8_t i, j;

	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			const struct fence_policy_match *m = &p->tools[i].match[j];
			const struct fence_exe *e = exe_of(a, i, j);

			what = m->kind == FENCE_MATCH_EXE ? amiss(m, e) : NULL;
			if (what && e->err != EINPROGRESS)
				tell(a, (uint8_t)(i + 1), m->text, e, what);
		}
}

/* Was it looked at for the first time, or not at all for too long? */
static void tell_first(struct agent *a, uint8_t tool, uint8_t index)
{
	const struct fence_policy_match *m = &a->policy->tools[tool].match[index];
	const struct fence_exe *e = exe_of(a, tool, index);
	struct fence_exe *told = &a->matches->told[tool][index];
	const char *what;

	if (told->err != EINPROGRESS ||
	    (e->err == EINPROGRESS && a->now - look_of(a, a->policy)->began < UNSEEN_NS))
		return;
	*told = *e;
	if (e->err == EINPROGRESS)
		told->err = ETIMEDOUT; /* it is told, and would be found */
	what = amiss(m, e);
	if (what)
		tell(a, (uint8_t)(tool + 1), m->text, e, what);
}

/* A change since it was last told; who turns a link each second is told ten times, then by minutes.
 */
static void tell_changes(struct agent *a)
{
	struct agent_matches *m = a->matches;
	const struct fence_policy *p = a->policy;
	const char *what, *state;
	uint8_t i, j;

	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			const struct fence_policy_match *one = &p->tools[i].match[j];
			const struct fence_exe *e = exe_of(a, i, j);

			if (one->kind == FENCE_MATCH_EXE)
				tell_first(a, i, j);
			what = one->kind == FENCE_MATCH_EXE ? changed(&m->told[i][j], e) : NULL;
			if (!what || m->tell[i][j] > a->now + TELL_BURST_NS - TELL_NS)
				continue;
			if (m->tell[i][j] < a->now)
				m->tell[i][j] = a->now;
			m->tell[i][j] += TELL_NS;
			m->told[i][j] = *e;
			state = amiss(one, e);
			tell(a, (uint8_t)(i + 1), one->text, e, what);
			if (state && strcmp(what, state))
				tell(a, (uint8_t)(i + 1), one->text, e, state);
		}
}

/* At most once a second, and for a tenth of the time. */
static void recognise(struct agent *a)
{
	struct agent_matches *m = a->matches;
	struct timespec began, now;

	if (!m->recognise || a->now < m->rested)
		return;
	m->recognise = 0;
	clock_gettime(CLOCK_MONOTONIC, &began);
	agent_recognise(a);
	clock_gettime(CLOCK_MONOTONIC, &now);
	m->rested = a->now + LOOK_NS +
		    REST * ((uint64_t)(now.tv_sec - began.tv_sec) * 1000000000 +
			    (uint64_t)now.tv_nsec - (uint64_t)began.tv_nsec);
}

/* What was looked at, told and into the map. */
static void keys_again(struct agent *a)
{
	struct agent_matches *m = a->matches;
	int err;

	tell_changes(a);
	err = put_keys(a);
	if (err > 0)
		return;
	if (err < 0) {
		agent_show_note(a, "what the policy calls tools does not fit the kernel's map");
		m->dirs = 0; /* again */
	}
	a->digest = agent_policy_digest(a);
	m->recognise = a->now;
	recognise(a);
}

/* By what was seen last: not root's alone, or on no disk of this machine (no major number). */
static int is_strangers(const struct fence_exe *e)
{
	return e->others[0] || (e->err ? e->err != ENOENT : !major(e->dev));
}

void agent_matches_forget(struct agent *a, const struct fence_policy *p)
{
	struct agent_matches *m = a->matches;
	size_t i;

	m->policy = m->policy == p ? NULL : m->policy;
	for (i = 0; i < ARRAY_SIZE(m->look); i++)
		m->look[i].policy = m->look[i].policy == p ? NULL : m->look[i].policy;
}

void agent_match_looked(struct agent *a, const struct scan_answer *r)
{
	const uint8_t tool = (uint8_t)(r->id >> 8), index = (uint8_t)r->id;
	struct look *l = a->matches ? a->matches->look : NULL;
	struct fence_exe e;

	if (l && l->round != r->id >> 16)
		l++;
	if (!l || l->round != r->id >> 16 || tool >= FENCE_TOOL_MAX ||
	    index >= FENCE_POLICY_MATCHES || !l->asked[tool][index])
		return;
	l->asked[tool][index] = 0;
	l->waits -= l->waits != 0;
	if (r->err || r->len != sizeof(e)) /* what does not answer stays what it was */
		return;
	memcpy(&e, r->data, sizeof(e));
	e.real[sizeof(e.real) - 1] = e.interpreter[sizeof(e.interpreter) - 1] =
		e.others[sizeof(e.others) - 1] = e.broad[sizeof(e.broad) - 1] = 0;
	e.names[sizeof(e.names) - 1] = e.names[sizeof(e.names) - 2] = 0;
	if (fence_exe_same(&e, &l->exe[tool][index]))
		return;
	l->exe[tool][index] = e;
	if (l->policy == a->policy && a->matches->policy == a->policy)
		keys_again(a);
}

void agent_matches_turn(struct agent *a)
{
	const struct fence_policy *p = a->policy;
	struct agent_matches *m = a->matches;
	AUTO_MOUNTS struct fence_mounts mounts = { 0 };
	struct look *l = look_of(a, p);
	uint64_t dirs;
	uint8_t i, j;
	int whole, any = 0;

	if (a->moved)
		m->recognise = a->now;
	a->moved = 0;
	recognise(a);
	if (m->policy == p && a->now - m->looked < LOOK_NS)
		return;
	dirs = fence_exe_dirs();
	whole = dirs != m->dirs || a->now - m->whole >= WHOLE_NS;
	if (m->policy != p) { /* another one was refused */
		look_told(a);
		any = 1;
	}
	m->looked = a->now;
	m->dirs = dirs;
	if (whole)
		m->whole = a->now;
	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			const char *text = p->tools[i].match[j].text;

			if (p->tools[i].match[j].kind != FENCE_MATCH_EXE)
				continue;
			any |= m->told[i][j].err == EINPROGRESS;
			if (is_strangers(&l->exe[i][j]) || !fence_path_is_roots(text, &mounts)) {
				look_ask(a, l, i, j);
			} else if (whole || is_other(text, &l->exe[i][j])) {
				fence_exe_look_now(text, &l->exe[i][j]);
				any = 1;
			}
		}
	if (any)
		keys_again(a);
}

void agent_matches_status(struct agent *a, struct fence_json *j)
{
	const struct fence_policy *p = a->policy;
	size_t i, k;

	fence_json_array(j, "tools");
	for (i = 0; i < p->ntools; i++) {
		fence_json_open(j, NULL);
		if (a->seen[i].last)
			fence_json_int(j, "last_seen", a->seen[i].last);
		fence_json_array(j, "matches"); /* those that are to be looked at */
		for (k = 0; k < p->tools[i].nmatch; k++) {
			const struct fence_policy_match *m = &p->tools[i].match[k];
			const char *what =
				m->kind == FENCE_MATCH_EXE ? amiss(m, exe_of(a, i, k)) : NULL;

			if (!what)
				continue;
			fence_json_open(j, NULL);
			fence_json_str(j, "exe", m->text);
			fence_json_str(j, "state", what);
			fence_json_close(j);
		}
		fence_json_array_end(j);
		fence_json_str(j, "name", p->tools[i].name);
		fence_json_bool(j, "unseen", agent_unseen(a, i));
		fence_json_close(j);
	}
	fence_json_array_end(j);
}

int agent_match_narrowed(const struct agent *a, uint8_t tool, uint8_t index)
{
	return a->policy->tools[tool - 1].match[index].has_sha &&
	       exe_of(a, tool - 1u, index)->kind != FENCE_EXE_SCRIPT;
}

const struct fence_exe *agent_match_exe(const struct agent *a, uint8_t tool, uint8_t index)
{
	return exe_of(a, tool, index);
}

void agent_matches_done(struct agent *a)
{
	free(a->matches);
	a->matches = NULL;
}
