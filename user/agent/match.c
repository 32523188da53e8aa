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
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/exe.h"

#define KEYS_MAX 1024 /* of all tools: the map's room */
#define LOOK_NS 1000000000ULL
#define WHOLE_NS 60000000000ULL /* a look at whose the directories are, too */

struct key {
	struct fence_match_key key;
	struct fence_match_rule rule;
};

struct agent_matches {
	const struct fence_policy *policy; /* whose they are */
	struct fence_exe exe[FENCE_TOOL_MAX][FENCE_POLICY_MATCHES]; /* of exe matches */
	uint64_t dirs; /* fence_exe_dirs() */
	uint64_t looked, whole; /* boot time of the last look, and of the last at everything */
};

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

/* Of two tools that one key stands for the first counts. */
static void add(struct keys *k, uint32_t kind, uint64_t value, uint32_t dev)
{
	struct key one = { .key = { .value = value, .kind = kind, .bank = k->a->bank, .dev = dev },
			   .rule = k->rule };
	size_t i;

	for (i = 0; i < k->n; i++)
		if (!memcmp(&k->keys[i].key, &one.key, sizeof(one.key)))
			return;
	if (k->n == KEYS_MAX)
		k->full = 1;
	else
		k->keys[k->n++] = one;
}

/* Does a link lead to what the policy was not asked for? */
static int is_broad(const struct fence_policy_match *m, const struct fence_exe *e)
{
	return !m->broad[0] && strcmp(m->text, e->real) && fence_exe_broad(e->real);
}

static int add_name(void *ctx, const char *name)
{
	struct keys *k = ctx;

	k->rule.flags &= (uint8_t)~FENCE_MATCH_CHECK; /* "sha256" is not its interpreter's */
	add(k, FENCE_MATCH_NAME, agent_hash(k->a, name), 0);
	return 0;
}

static void add_exe(struct keys *k, const struct fence_policy_match *m, const struct fence_exe *e)
{
	const char *path = m->text;

	add(k, FENCE_MATCH_EXE, agent_hash(k->a, path), 0);
	if (e->err || e->foreign)
		return;
	if (is_broad(m, e)) { /* known by this name alone */
		add_name(k, path);
		return;
	}
	add(k, FENCE_MATCH_EXE, agent_hash(k->a, e->real), 0);
	if (e->kind == FENCE_EXE_SCRIPT)
		fence_exe_names(path, e, add_name, k);
	else if (e->ino)
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
				add_match(k, &p->tools[i].match[j], &a->matches->exe[i][j]);
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

/* What is new is put before what is over goes: nothing is unknown in between. */
static int put_keys(struct agent *a)
{
	struct keys k;
	size_t i;
	int err = collect(a, &k);

	for (i = 0; !err && i < k.n; i++)
		err = fence_kernel_put(a->kernel, FENCE_MAP_MATCHES, &k.keys[i].key,
				       &k.keys[i].rule);
	if (!err)
		sweep(a, &k);
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

static void look_all(struct agent *a)
{
	const struct fence_policy *p = a->policy;
	size_t i, j;

	a->matches->dirs = fence_exe_dirs(); /* first: what changes meanwhile is looked at again */
	a->matches->looked = a->now;
	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++)
			if (p->tools[i].match[j].kind == FENCE_MATCH_EXE)
				fence_exe_look(p->tools[i].match[j].text, &a->matches->exe[i][j]);
}

int agent_matches_put(struct agent *a)
{
	int err;

	if (!a->matches)
		a->matches = calloc(1, sizeof(*a->matches));
	if (!a->matches)
		return -ENOMEM;
	if (a->matches->policy != a->policy) { /* else what has changed since is to be told */
		a->matches->policy = a->policy;
		look_all(a);
	}
	err = put_keys(a);
	return err ? err : stars(a, put_star, a);
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
	return e->err			     ? "missing"
	       : e->foreign		     ? "not followed"
	       : is_broad(m, e)		     ? "broad"
	       : e->kind == FENCE_EXE_OTHER  ? "no program"
	       : e->others[0]		     ? "others"
	       : e->kind == FENCE_EXE_SCRIPT ? "script"
					     : NULL;
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
	agent_show_note(a, "%s of %s: %s%s%s%s%s", path, fence_policy_tool_name(a->policy, tool),
			change, e->real[0] && strcmp(e->real, path) ? ", is " : "",
			e->real[0] && strcmp(e->real, path) ? e->real : "",
			e->others[0] ? ", others than root can write or turn " : "", e->others);
}

/* From one look to the next. */
static const char *changed(const struct fence_exe *old, const struct fence_exe *e)
{
	if (e->err)
		return old->err ? NULL : "missing";
	if (old->err)
		return "found";
	if (strcmp(old->real, e->real))
		return "turned";
	if (old->ino != e->ino || old->dev != e->dev || old->ctime != e->ctime)
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
			const struct fence_exe *e = &a->matches->exe[i][j];

			what = m->kind == FENCE_MATCH_EXE ? amiss(m, e) : NULL;
			if (what)
				tell(a, (uint8_t)(i + 1), m->text, e, what);
		}
}

void agent_matches_turn(struct agent *a)
{
	const struct fence_policy *p = a->policy;
	struct agent_matches *m = a->matches;
	int whole = a->now - m->whole >= WHOLE_NS, any;
	struct fence_exe e;
	const char *what;
	uint64_t dirs;
	uint8_t i, j;

	if (a->moved)
		agent_recognise(a);
	a->moved = 0;
	if (m->policy != p) { /* another one was looked at, and refused */
		m->policy = p;
		look_all(a);
	}
	if (a->now - m->looked < LOOK_NS)
		return;
	m->looked = a->now;
	dirs = fence_exe_dirs();
	any = dirs != m->dirs;
	m->dirs = dirs;
	if (whole)
		m->whole = a->now;
	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			const struct fence_policy_match *one = &p->tools[i].match[j];

			if (one->kind != FENCE_MATCH_EXE ||
			    (!whole && !is_other(one->text, &m->exe[i][j])))
				continue;
			fence_exe_look(one->text, &e);
			if (fence_exe_same(&e, &m->exe[i][j]))
				continue;
			what = changed(&m->exe[i][j], &e);
			m->exe[i][j] = e;
			any = 1;
			if (what)
				tell(a, (uint8_t)(i + 1), one->text, &e, what);
			if (what && amiss(one, &e) && strcmp(what, amiss(one, &e)))
				tell(a, (uint8_t)(i + 1), one->text, &e, amiss(one, &e));
		}
	if (!any)
		return;
	if (put_keys(a))
		agent_show_note(a, "what the policy calls tools does not fit the kernel's map");
	a->digest = agent_policy_digest(a);
	agent_recognise(a);
}

/* ---- what runs ---- */

struct started {
	const char *const *names; /* what it may have been started as */
	size_t n;
};

static int is_started(void *ctx, const char *name)
{
	const struct started *s = ctx;
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!strcmp(s->names[i], name))
			return 1;
	return 0;
}

/*
 * Was it started by a name of the script, whose interpreter it is, or by the link of the policy's?
 * Its command line says so: a script's name stands behind its interpreter's, perhaps one argument
 * later.
 */
static int is_named(const struct fence_policy_match *m, const struct fence_exe *e,
		    const struct agent_running *r)
{
	int script = e->kind == FENCE_EXE_SCRIPT;
	AUTO_BUF struct fence_buf args = { 0 };
	char at[64], cwd[FENCE_PATH_MAX], whole[3][2 * FENCE_PATH_MAX];
	const char *names[3], *arg;
	struct started s = { .names = names };
	ssize_t n;

	if (strcmp(r->exe, script ? e->interpreter : e->real))
		return 0;
	snprintf(at, sizeof(at), "/proc/%u/cwd", r->tgid);
	n = readlink(at, cwd, sizeof(cwd) - 1);
	cwd[n < 0 ? 0 : n] = 0;
	snprintf(at, sizeof(at), "/proc/%u/cmdline", r->tgid);
	if (fence_buf_read_file(&args, at, 1u << 17) || !args.len)
		return 0;
	for (arg = args.data; s.n < (script ? 3 : 1) && arg < args.data + args.len;
	     arg += strlen(arg) + 1) {
		const char *name = arg;

		while (!strncmp(name, "./", 2))
			name += 2;
		snprintf(whole[s.n], sizeof(whole[0]), "%.511s%s%.500s", name[0] == '/' ? "" : cwd,
			 name[0] == '/' ? "" : "/", name);
		names[s.n] = whole[s.n];
		s.n++;
	}
	return script ? fence_exe_names(m->text, e, is_started, &s) : is_started(&s, m->text);
}

static int is_exe(const struct fence_policy_match *m, const struct fence_exe *e,
		  const struct agent_running *r)
{
	int followed = !e->err && !e->foreign, broad = is_broad(m, e);

	if (followed && (e->kind == FENCE_EXE_SCRIPT || broad) && is_named(m, e, r))
		return 1;
	followed &= !broad && (!strcmp(r->exe, e->real) || (r->ino == e->ino && r->dev == e->dev));
	return (followed || !strcmp(r->exe, m->text)) && !agent_refuted(m, r->tgid, NULL);
}

/* argv[1] or argv[2] is the extension's origin. */
static int is_native(const char *extension, uint32_t tgid)
{
	AUTO_BUF struct fence_buf b = { 0 };
	char path[64], want[64];
	const char *arg;
	int i;

	snprintf(path, sizeof(path), "/proc/%u/cmdline", tgid);
	snprintf(want, sizeof(want), "chrome-extension://%s", extension);
	if (fence_buf_read_file(&b, path, 1u << 17) || !b.len)
		return 0;
	arg = b.data;
	for (i = 0; i < 3 && arg < b.data + b.len; i++, arg += strlen(arg) + 1)
		if (i && !strncmp(arg, want, strlen(want)))
			return 1;
	return 0;
}

/* Is one of a cgroup's names the unit, or one that its star stands for? */
static int is_unit(const char *unit, const char *cgroup)
{
	const char *star = strchr(unit, '*'), *at = cgroup;
	size_t head = star ? (size_t)(star - unit) : strlen(unit),
	       tail = star ? strlen(star + 1) : 0;

	while ((at = strchr(at, '/'))) {
		size_t n = strcspn(++at, "/");

		if (star ? n > head + tail && !strncmp(at, unit, head) &&
				    !strncmp(at + n - tail, star + 1, tail)
			 : n == head && !strncmp(at, unit, head))
			return 1;
	}
	return 0;
}

static int is_tool(const struct fence_policy_match *m, const struct fence_exe *e,
		   const struct agent_running *r)
{
	switch (m->kind) {
	case FENCE_MATCH_EXE:
		return is_exe(m, e, r);
	case FENCE_MATCH_UID:
		return r->uid == m->uid;
	case FENCE_MATCH_CGROUP:
		return m->text[0] == '/' ? agent_cgroup_below(r->cgroup, m->text)
					 : is_unit(m->text, r->cgroup);
	case FENCE_MATCH_NATIVE:
		return is_native(m->text, r->tgid);
	default:
		return 0;
	}
}

uint8_t agent_match_running(struct agent *a, const struct agent_running *r, uint8_t *index)
{
	static const uint8_t order[] = { FENCE_MATCH_EXE, FENCE_MATCH_NATIVE, FENCE_MATCH_CGROUP,
					 FENCE_MATCH_UID }; /* as the programs ask: match.h */
	const struct fence_policy *p = a->policy;
	size_t kind;
	uint8_t i, j;

	for (kind = 0; kind < ARRAY_SIZE(order); kind++)
		for (i = 0; i < p->ntools; i++)
			for (j = 0; j < p->tools[i].nmatch; j++)
				if (p->tools[i].match[j].kind == order[kind] &&
				    is_tool(&p->tools[i].match[j], &a->matches->exe[i][j], r)) {
					*index = j;
					return (uint8_t)(i + 1);
				}
	return 0;
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
			const char *what = m->kind == FENCE_MATCH_EXE
						   ? amiss(m, &a->matches->exe[i][k])
						   : NULL;

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

void agent_matches_done(struct agent *a)
{
	free(a->matches);
	a->matches = NULL;
}
