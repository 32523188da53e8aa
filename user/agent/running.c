// SPDX-License-Identifier: Apache-2.0
/*
 * Whose is a program that runs already: what bpf/lib/match.h asks at an exec, asked of /proc. Only
 * to confine: what a process says of itself later takes nothing away.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/exe.h"

/*
 * What it may have been started as: the first of its arguments. Its memory is not read otherwise: a
 * page of it may be of a file that does not answer.
 */
struct started {
	char names[3][2 * FENCE_PATH_MAX];
	size_t n;
};

static void add_started(struct started *s, const char *cwd, const char *name)
{
	while (!strncmp(name, "./", 2))
		name += 2;
	if (*name && s->n < ARRAY_SIZE(s->names))
		snprintf(s->names[s->n++], sizeof(s->names[0]), "%.511s%s%.500s",
			 name[0] == '/' ? "" : cwd, name[0] == '/' ? "" : "/", name);
}

static int was_started(const struct started *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!strcmp(s->names[i], name))
			return 1;
	return 0;
}

static void look_started(const struct agent_running *r, struct started *s)
{
	AUTO_BUF struct fence_buf args = { 0 };
	char at[64], cwd[FENCE_PATH_MAX];
	const char *arg;
	ssize_t n;
	int i;

	s->n = 0;
	snprintf(at, sizeof(at), "/proc/%u/cwd", r->tgid);
	n = readlink(at, cwd, sizeof(cwd) - 1);
	cwd[n < 0 ? 0 : n] = 0;
	snprintf(at, sizeof(at), "/proc/%u/cmdline", r->tgid);
	if (fence_buf_read_file(&args, at, 1u << 17) || !args.len)
		return;
	for (i = 0, arg = args.data; i < 3 && arg < args.data + args.len;
	     i++, arg += strlen(arg) + 1)
		add_started(s, cwd, arg);
}

/*
 * Was it started by the policy's name, or by one of the script, whose interpreter it is? "env" has
 * become another program by now.
 */
static int is_named(const struct fence_policy_match *m, const struct fence_exe *e,
		    const struct agent_running *r)
{
	int script = !agent_match_by_name(m, e) && fence_exe_script(e);
	const char *leaf = strrchr(e->interpreter, '/'), *name = NULL;
	struct started s;

	if (script && e->interpreter[0] && strcmp(leaf, "/env") && strcmp(r->exe, e->interpreter))
		return 0;
	if (!script && !e->err && strcmp(r->exe, e->real))
		return 0;
	look_started(r, &s);
	if (was_started(&s, m->text) || (script && was_started(&s, e->real)))
		return 1;
	while (script && (name = fence_exe_name(e, name)))
		if (was_started(&s, name))
			return 1;
	return 0;
}

static int is_file(const struct fence_policy_match *m, const struct fence_exe *e,
		   const struct agent_running *r)
{
	if (!strcmp(r->exe, m->text))
		return 1;
	return !agent_match_by_name(m, e) && e->kind != FENCE_EXE_SCRIPT &&
	       (!strcmp(r->exe, e->real) || (e->unique && r->ino == e->ino && r->dev == e->dev));
}

static int is_exe(struct agent *a, const struct fence_policy_match *m, const struct fence_exe *e,
		  const struct agent_running *r)
{
	if (!is_file(m, e, r) &&
	    !((agent_match_by_name(m, e) || fence_exe_script(e)) && is_named(m, e, r)))
		return 0;
	return e->kind == FENCE_EXE_SCRIPT || !(m->has_sha && agent_hash_differs(a, r->exec, m));
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
		if (i && !strncmp(arg, want, strlen(want)) &&
		    (!strcmp(arg + strlen(want), "/") || !arg[strlen(want)]))
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

static int is_tool(struct agent *a, const struct fence_policy_match *m, const struct fence_exe *e,
		   const struct agent_running *r)
{
	switch (m->kind) {
	case FENCE_MATCH_EXE:
		return is_exe(a, m, e, r);
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

/* As the programs ask (bpf/lib/match.h): what is narrowed by "sha256" comes last. */
static const struct {
	uint8_t kind, sha;
} order[] = {
	{ FENCE_MATCH_EXE, 0 }, { FENCE_MATCH_NATIVE, 0 }, { FENCE_MATCH_CGROUP, 0 },
	{ FENCE_MATCH_UID, 0 }, { FENCE_MATCH_EXE, 1 },
};

uint8_t agent_match_running(struct agent *a, const struct agent_running *r, uint8_t *index)
{
	const struct fence_policy *p = a->policy;
	size_t o;
	uint8_t i, j;

	for (o = 0; o < ARRAY_SIZE(order); o++)
		for (i = 0; i < p->ntools; i++)
			for (j = 0; j < p->tools[i].nmatch; j++)
				if (p->tools[i].match[j].kind == order[o].kind &&
				    p->tools[i].match[j].has_sha == order[o].sha &&
				    is_tool(a, &p->tools[i].match[j], agent_match_exe(a, i, j),
					    r)) {
					*index = j;
					return (uint8_t)(i + 1);
				}
	return 0;
}
