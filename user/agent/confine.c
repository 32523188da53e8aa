// SPDX-License-Identifier: Apache-2.0
/* Processes into sessions. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "agent/agent.h"
#include "base/addr.h"
#include "base/cleanup.h"

struct agent_session *agent_session_find(struct agent *a, uint64_t id)
{
	struct agent_session *s = a->sessions;

	while (s && s->id != id)
		s = s->next;
	return s;
}

struct agent_session *agent_session_get(struct agent *a, uint64_t id)
{
	struct agent_session *s = id ? agent_session_find(a, id) : NULL;
	struct fence_session k;

	if (s || !id || fence_kernel_get(a->kernel, FENCE_MAP_SESSIONS, &id, &k))
		return s;
	s = agent_session_add(a, id);
	if (s) {
		s->start = k.start;
		s->tool = k.tool;
		s->match = k.match;
		s->rule = k.rule;
		s->tgid = k.tgid;
	}
	return s;
}

struct agent_session *agent_session_add(struct agent *a, uint64_t id)
{
	struct agent_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->id = id;
	s->next = a->sessions;
	a->sessions = s;
	return s;
}

static void session_end_row(struct agent *a, const struct agent_session *s)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_int(&j, "bytes_in", (int64_t)s->rx);
	fence_json_int(&j, "bytes_out", (int64_t)s->tx);
	fence_json_str(&j, "change", s->refuted ? "refuted" : "end");
	fence_json_int(&j, "denials", (int64_t)s->denials);
	fence_json_int(&j, "end", agent_us(a, s->ended));
	fence_json_int(&j, "flows", (int64_t)s->flows);
	fence_json_int(&j, "pid", s->tgid);
	fence_json_int(&j, "processes", (int64_t)s->procs);
	fence_json_id(&j, "session", s->id);
	fence_json_int(&j, "start", agent_us(a, s->start));
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, s->tool));
	agent_row_end(a, &j, "session");
	a->urgent = 1;
	agent_show_note(a, "session of %s ends: %llu processes, %llu flows, %llu denials",
			fence_policy_tool_name(a->policy, s->tool), (unsigned long long)s->procs,
			(unsigned long long)s->flows, (unsigned long long)s->denials);
}

/* Sockets are closed after the last process is counted out: totals are written a second later. */
void agent_sessions_turn(struct agent *a, int final)
{
	struct agent_session **p = &a->sessions, *s;
	struct stat st;

	while ((s = *p)) {
		if (!s->ended || (!final && a->now - s->ended < AGENT_LATE_NS)) {
			p = &s->next;
			continue;
		}
		session_end_row(a, s);
		if (s->cgroup[0] && !stat(s->cgroup, &st)) {
			uint64_t id = st.st_ino;

			if (!rmdir(s->cgroup))
				fence_kernel_del(a->kernel, FENCE_MAP_CGROUPS, &id);
		}
		*p = s->next;
		free(s);
	}
}

/* The path of a process's v2 cgroup. */
static int proc_cgroup(uint32_t tgid, char *out, size_t size)
{
	AUTO_FILE FILE *f = NULL;
	char path[64], line[1024];

	snprintf(path, sizeof(path), "/proc/%u/cgroup", tgid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "0::", 3)) {
			snprintf(out, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
			return 0;
		}
	return -ESRCH;
}

/* Is `path` the cgroup `want` or below it? */
static int cgroup_below(const char *path, const char *want)
{
	size_t n = strlen(want);

	return !strncmp(path, want, n) && (!path[n] || path[n] == '/');
}

/*
 * What the kernel could not prove alone. Refuted only when it is certain; a process that is gone
 * stays what it was.
 */
static int refuted(const struct fence_policy_match *m, uint32_t tgid)
{
	char path[600];
	uint8_t sha[32];
	uint64_t size;

	if (m->kind == FENCE_MATCH_CGROUP)
		return !proc_cgroup(tgid, path, sizeof(path)) && !cgroup_below(path, m->text);
	if (!m->has_sha)
		return 0;
	snprintf(path, sizeof(path), "/proc/%u/exe", tgid);
	return !agent_hash_file(path, sha, &size) && memcmp(sha, m->sha, 32);
}

void agent_check_match(struct agent *a, const struct fence_rec_exec *r)
{
	const struct fence_policy_match *m;
	struct fence_session s;
	struct agent_session *as;

	if (!r->tool || r->tool > a->policy->ntools ||
	    r->rule >= a->policy->tools[r->tool - 1].nmatch)
		return;
	m = &a->policy->tools[r->tool - 1].match[r->rule];
	if (!refuted(m, r->tgid) ||
	    fence_kernel_get(a->kernel, FENCE_MAP_SESSIONS, &r->session, &s))
		return;
	s.cleared = 1;
	fence_kernel_put(a->kernel, FENCE_MAP_SESSIONS, &r->session, &s);
	as = agent_session_find(a, r->session);
	if (as)
		as->refuted = 1;
	agent_show_note(a, "pid %u is not %s after all: %s", r->tgid,
			fence_policy_tool_name(a->policy, r->tool),
			m->has_sha ? "its file has another SHA-256" : "it is in another cgroup");
}

static int write_text(const char *path, const char *text)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

static int slice_path(const struct agent *a, char *out, size_t size)
{
	char base[200];

	if (a->opt.cgroup)
		snprintf(base, sizeof(base), "%s", a->opt.cgroup);
	else if (fence_cgroup_mount(base, sizeof(base)))
		return -ENOENT;
	snprintf(out, size, "%s/crmfence.slice", base);
	return 0;
}

void agent_cgroups_done(struct agent *a)
{
	struct agent_session *s;
	char path[240];

	for (s = a->sessions; s; s = s->next)
		if (s->cgroup[0])
			rmdir(s->cgroup);
	if (!slice_path(a, path, sizeof(path)))
		rmdir(path); /* stays while a session's cgroup is in it */
}

/*
 * A root-owned cgroup of its own, which an unprivileged process cannot leave; its sockets are the
 * session's, whoever made them.
 */
static int session_cgroup(struct agent *a, struct agent_session *s, const char *tool)
{
	char base[240], path[340], pid[16];
	struct fence_config c;
	uint32_t zero = 0;
	struct stat st;
	uint64_t id;

	if (slice_path(a, base, sizeof(base)))
		return -ENOENT;
	if (mkdir(base, 0755) && errno != EEXIST)
		return -errno;
	snprintf(s->cgroup, sizeof(s->cgroup), "%s/%s-%u", base, tool, s->tgid);
	if ((mkdir(s->cgroup, 0755) && errno != EEXIST) || stat(s->cgroup, &st))
		return -errno;
	id = st.st_ino;
	if (fence_kernel_put(a->kernel, FENCE_MAP_CGROUPS, &id, &s->id) ||
	    fence_kernel_get(a->kernel, FENCE_MAP_CONFIG, &zero, &c))
		return -EIO;
	c.flags |= FENCE_CFG_CGROUPS;
	if (fence_kernel_put(a->kernel, FENCE_MAP_CONFIG, &zero, &c))
		return -EIO;
	snprintf(path, sizeof(path), "%s/cgroup.procs", s->cgroup);
	snprintf(pid, sizeof(pid), "%u", s->tgid);
	return write_text(path, pid);
}

static int tag(struct agent *a, uint32_t tgid, uint8_t tool, uint8_t how, uint8_t rule,
	       uint64_t *session)
{
	struct fence_session s = {
		.procs = 1, .total = 1, .tool = tool, .match = how, .rule = rule, .tgid = tgid
	};
	struct fence_proc p;
	struct timespec now;

	if (fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &tgid, &p))
		return -ESRCH;
	if (p.session)
		return -EALREADY;
	clock_gettime(CLOCK_BOOTTIME, &now);
	s.start = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	p.session = s.start;
	p.tool = tool;
	if (fence_kernel_put(a->kernel, FENCE_MAP_SESSIONS, &p.session, &s))
		return -ENOSPC;
	if (fence_kernel_put(a->kernel, FENCE_MAP_PROCS, &tgid, &p)) {
		fence_kernel_del(a->kernel, FENCE_MAP_SESSIONS, &p.session);
		return -ENOSPC;
	}
	*session = p.session;
	return 0;
}

/* The row and the line of a session that the kernel did not begin itself. */
static struct agent_session *session_told(struct agent *a, uint64_t id, uint32_t tgid, uint8_t tool,
					  uint8_t how, uint8_t rule)
{
	struct fence_rec_session r = {
		.h = { .kind = FENCE_K_SESSION, .len = sizeof(r), .version = 1, .time = id },
		.session = id,
		.total = 1,
		.start = id,
		.tgid = tgid,
		.rule = rule,
		.tool = tool,
		.match = how,
		.change = FENCE_SESSION_START
	};

	agent_record(a, &r.h);
	return agent_session_find(a, id);
}

int agent_confine(struct agent *a, uint32_t tgid, const char *tool, uint64_t *session,
		  struct fence_diag *d)
{
	uint8_t id = fence_policy_tool(a->policy, tool);
	struct agent_session *s;
	int err;

	if (!id)
		return fence_diag_set(d, -ENOENT, NULL, "the policy \"%s\" has no tool \"%s\"",
				      a->policy->name, tool);
	err = tag(a, tgid, id, FENCE_MATCH_EXEC, 0, session);
	if (err == -EALREADY)
		return fence_diag_set(d, err, NULL,
				      "this process belongs to a session already, and stays in it");
	if (err < 0)
		return fence_diag_set(d, err, NULL, "the session cannot be begun: %s",
				      strerror(-err));
	s = session_told(a, *session, tgid, id, FENCE_MATCH_EXEC, 0);
	err = s ? session_cgroup(a, s, tool) : -ENOMEM;
	return err < 0 ? fence_diag_set(d, err, NULL, "the session's cgroup cannot be made: %s",
					strerror(-err))
		       : 0;
}

/* ---- what was there before ---- */

struct recon {
	struct agent *a;
	int matched;
};

static int read_link(uint32_t tgid, char *out, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/exe", tgid);
	n = readlink(path, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = 0;
	return 0;
}

/* argv[1] or argv[2] is the extension's origin. */
static int argv_has(uint32_t tgid, const char *extension)
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

static int unit_in(const char *path, const char *unit)
{
	size_t n = strlen(unit);
	const char *s = path;

	while ((s = strstr(s, unit))) {
		if (s > path && s[-1] == '/' && (!s[n] || s[n] == '/'))
			return 1;
		s += n;
	}
	return 0;
}

static int matches(const struct fence_policy_match *m, uint32_t tgid, const char *exe, uint32_t uid,
		   const char *cgroup)
{
	switch (m->kind) {
	case FENCE_MATCH_EXE:
		return !strcmp(exe, m->text) && !refuted(m, tgid);
	case FENCE_MATCH_UID:
		return uid == m->uid;
	case FENCE_MATCH_CGROUP:
		return m->text[0] == '/' ? cgroup_below(cgroup, m->text) : unit_in(cgroup, m->text);
	case FENCE_MATCH_NATIVE:
		return argv_has(tgid, m->text);
	default:
		return 0;
	}
}

/*
 * A running process that is a tool's becomes a session; one whose parent is in a session joins it.
 */
static void join(struct recon *r, const struct fence_recon_task *t, const char *exe, uint32_t uid,
		 const char *cgroup)
{
	const struct fence_policy *p = r->a->policy;
	struct fence_proc own, parent;
	struct fence_session s;
	uint64_t session;
	size_t i, j;

	if (fence_kernel_get(r->a->kernel, FENCE_MAP_PROCS, &t->tgid, &own) || own.session)
		return;
	if (!fence_kernel_get(r->a->kernel, FENCE_MAP_PROCS, &t->parent, &parent) &&
	    parent.session) {
		own.session = parent.session;
		own.tool = parent.tool;
		if (!fence_kernel_get(r->a->kernel, FENCE_MAP_SESSIONS, &own.session, &s)) {
			s.procs++;
			s.total++;
			fence_kernel_put(r->a->kernel, FENCE_MAP_SESSIONS, &own.session, &s);
		}
		fence_kernel_put(r->a->kernel, FENCE_MAP_PROCS, &t->tgid, &own);
		return;
	}
	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++)
			if (matches(&p->tools[i].match[j], t->tgid, exe, uid, cgroup) &&
			    !tag(r->a, t->tgid, (uint8_t)(i + 1), p->tools[i].match[j].kind,
				 (uint8_t)j, &session)) {
				session_told(r->a, session, t->tgid, (uint8_t)(i + 1),
					     p->tools[i].match[j].kind, (uint8_t)j);
				r->matched++;
				return;
			}
}

static void on_task(void *ctx, const struct fence_recon_task *t);

/*
 * A parent that the iterator has not given, or does not give: on 6.18 it begins behind process 1.
 */
static void on_parent(struct recon *r, const struct fence_recon_task *child)
{
	struct fence_recon_task t = { .exec = child->parent_exec,
				      .start = child->parent_exec - child->parent,
				      .tgid = child->parent,
				      .kernel = child->parent == 2 };
	struct fence_proc p = { .exec = t.exec, .start = t.start };

	if (!child->parent || child->parent == child->tgid ||
	    agent_exec_find(r->a, child->parent_exec))
		return;
	if (fence_kernel_get(r->a->kernel, FENCE_MAP_PROCS, &t.tgid, &p))
		fence_kernel_put(r->a->kernel, FENCE_MAP_PROCS, &t.tgid, &p);
	if (child->parent == 1)
		on_task(r, &t);
}

static void on_task(void *ctx, const struct fence_recon_task *t)
{
	char room[sizeof(struct fence_rec_exec) + FENCE_PATH_MAX]
		__attribute__((aligned(8))) = { 0 };
	struct fence_rec_exec *e = (void *)room;
	char exe[FENCE_PATH_MAX] = "", cgroup[512] = "", path[64];
	struct recon *r = ctx;
	struct stat st = { 0 };

	on_parent(r, t);
	snprintf(path, sizeof(path), "/proc/%u", t->tgid);
	if (!stat(path, &st))
		e->uid = st.st_uid;
	e->exec = t->exec;
	e->start = t->start;
	e->parent_exec = t->tgid == t->parent || !t->parent ? 0 : t->parent_exec;
	e->tgid = t->tgid;
	e->parent = t->parent;
	if (!t->kernel && !read_link(t->tgid, exe, sizeof(exe))) {
		snprintf(path, sizeof(path), "/proc/%u/exe", t->tgid);
		if (!stat(path, &st)) {
			e->ino = st.st_ino;
			e->dev = (uint32_t)(major(st.st_dev) << 20 | minor(st.st_dev));
		}
	}
	e->path_len = (uint16_t)strlen(exe);
	memcpy(e->path, exe, e->path_len);
	agent_exec_add(r->a, e, 1);
	if (t->kernel)
		return;
	proc_cgroup(t->tgid, cgroup, sizeof(cgroup));
	join(r, t, exe, e->uid, cgroup);
}

int agent_reconcile(struct agent *a)
{
	struct recon r = { .a = a };
	int err = fence_kernel_tasks(a->kernel, on_task, &r);

	if (err >= 0 && r.matched) /* children that the iterator met before their parents */
		err = fence_kernel_tasks(a->kernel, on_task, &r);
	return err < 0 ? err : fence_kernel_sockets(a->kernel);
}
