// SPDX-License-Identifier: Apache-2.0
/*
 * Programs: what runs in which process, and where it came from. A program is written down when the
 * first of its flows or sessions is, its ancestors before it; its file is hashed by the scanner
 * (scanned.c).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/cleanup.h"

#define ANCESTORS 32

int agent_exec_init(struct agent *a)
{
	a->execs = calloc(AGENT_EXECS, sizeof(*a->execs));
	return a->execs ? 0 : -ENOMEM;
}

static void exec_free(struct agent_exec *e)
{
	free(e->path);
	free(e->extension);
	free(e);
}

void agent_exec_done(struct agent *a)
{
	struct agent_exec *e, *next;
	size_t i;

	for (i = 0; a->execs && i < AGENT_EXECS; i++)
		for (e = a->execs[i]; e; e = next) {
			next = e->next;
			exec_free(e);
		}
	free(a->execs);
}

static struct agent_exec **bucket(struct agent *a, uint64_t id)
{
	return &a->execs[(id * 0x9e3779b97f4a7c15ULL >> 40) % AGENT_EXECS];
}

struct agent_exec *agent_exec_find(struct agent *a, uint64_t id)
{
	struct agent_exec *e;

	for (e = *bucket(a, id); e; e = e->next)
		if (e->id == id)
			return e;
	return NULL;
}

/* What a program reads is its descendants', if they began after it. */
uint64_t agent_exec_tainted(struct agent *a, uint64_t id)
{
	const struct agent_exec *e = a->sight ? agent_exec_find(a, id) : NULL;
	uint64_t began = ~0ULL;
	int hops;

	for (hops = 0; e && hops < 16; hops++) {
		if (e->tainted && e->tainted <= began)
			return e->tainted;
		began = e->id;
		e = e->parent_id == e->id ? NULL : agent_exec_find(a, e->parent_id);
	}
	return 0;
}

static void exec_drop(struct agent *a, struct agent_exec *e)
{
	struct agent_exec **p = bucket(a, e->id);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	exec_free(e);
}

/* A place in the ring: the oldest entry whose process no longer runs, or the oldest. */
static struct agent_exec **ring_place(struct agent *a)
{
	struct agent_exec **slot;
	int tries;

	for (tries = 0; tries < 64; tries++) {
		slot = &a->exec_ring[a->exec_at++ % AGENT_EXECS];
		if (!*slot || (kill((pid_t)(*slot)->tgid, 0) && errno == ESRCH))
			break;
	}
	if (*slot)
		exec_drop(a, *slot);
	return slot;
}

struct agent_exec *agent_exec_add(struct agent *a, const struct fence_rec_exec *r, int existing)
{
	struct agent_exec *e = agent_exec_find(a, r->exec), **slot, **b;

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->id = r->exec;
	e->parent_id = r->parent_exec;
	e->start = r->start;
	e->session = r->session;
	e->ino = r->ino;
	e->size = r->size;
	e->changed = r->changed;
	e->dev = r->dev;
	e->cgroup = r->cgroup;
	e->tgid = r->tgid;
	e->parent = r->parent;
	e->uid = r->uid;
	e->tool = r->tool;
	e->match = r->match;
	e->rule = r->rule;
	e->existing = (uint8_t)existing;
	e->path = strndup(r->path, r->path_len);
	slot = ring_place(a);
	*slot = e;
	b = bucket(a, e->id);
	e->next = *b;
	*b = e;
	return e;
}

/* The unit, or the cgroup when there is none, from the kernel's own list. */
static void cgroup_text(const struct agent_exec *e, char *out, size_t size)
{
	AUTO_FILE FILE *f = NULL;
	char path[64], line[1024];

	out[0] = 0;
	snprintf(path, sizeof(path), "/proc/%u/cgroup", e->tgid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "0::", 3))
			snprintf(out, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
}

/* A native messaging host is its extension's, and so is what it starts. */
static void exec_extension(struct agent *a, struct agent_exec *e)
{
	const struct agent_exec *parent = agent_exec_find(a, e->parent_id);

	if (parent && parent != e && parent->extension)
		e->extension = strdup(parent->extension);
	else if (e->match == FENCE_MATCH_NATIVE && e->tool && e->tool <= a->policy->ntools &&
		 e->rule < a->policy->tools[e->tool - 1].nmatch) /* the kernel has read it */
		e->extension = strdup(a->policy->tools[e->tool - 1].match[e->rule].text);
	else if (!parent || parent->session != e->session ||
		 agent_session_loose(a, e->session, e->tool))
		agent_arguments_want(a, e); /* what starts a host is the browser */
}

static void exec_row(struct agent *a, struct agent_exec *e)
{
	struct fence_json j;
	char cgroup[512];

	cgroup_text(e, cgroup, sizeof(cgroup));
	if (e->session)
		exec_extension(a, e);
	agent_row(a, &j);
	if (cgroup[0])
		fence_json_str(&j, "cgroup", cgroup);
	fence_json_id(&j, "cgroup_id", e->cgroup);
	if (e->changed)
		fence_json_int(&j, "ctime", (int64_t)(e->changed / 1000));
	fence_json_int(&j, "dev", e->dev);
	fence_json_str(&j, "exe", e->path ? e->path : "");
	fence_json_id(&j, "exec", e->id);
	fence_json_bool(&j, "existing", e->existing);
	if (e->extension)
		fence_json_str(&j, "extension", e->extension);
	fence_json_int(&j, "ino", (int64_t)e->ino);
	fence_json_id(&j, "parent_exec", e->parent_id);
	fence_json_int(&j, "pid", e->tgid);
	fence_json_int(&j, "ppid", e->parent);
	if (e->session)
		fence_json_id(&j, "session", e->session);
	if (e->changed)
		fence_json_int(&j, "size", (int64_t)e->size);
	fence_json_int(&j, "start", agent_us(a, e->start));
	if (e->session)
		fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, e->tool));
	fence_json_int(&j, "uid", e->uid);
	agent_row_end(a, &j, "process");
}

void agent_exec_log(struct agent *a, struct agent_exec *e)
{
	struct agent_exec *line[ANCESTORS];
	size_t n = 0;

	while (e && !e->logged && n < ANCESTORS) {
		line[n++] = e;
		e = e->parent_id && e->parent_id != e->id ? agent_exec_find(a, e->parent_id) : NULL;
	}
	while (n--) {
		line[n]->logged = 1;
		exec_row(a, line[n]);
		agent_hash_want(a, line[n]);
	}
}
