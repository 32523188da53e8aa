// SPDX-License-Identifier: Apache-2.0
/* Processes into sessions. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/agent.h"
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
		s->tainted = k.cleared == FENCE_CONFINED && fence_policy_loose(a->policy, k.tool);
	}
	return s;
}

int agent_session_loose(struct agent *a, uint64_t id, uint8_t tool)
{
	const struct agent_session *s =
		fence_policy_loose(a->policy, tool) ? agent_session_find(a, id) : NULL;

	return s ? !s->tainted : fence_policy_loose(a->policy, tool);
}

int agent_session_free(struct agent *a, uint64_t id)
{
	struct fence_session s;

	return !fence_kernel_get(a->kernel, FENCE_MAP_SESSIONS, &id, &s) &&
	       s.cleared != FENCE_CONFINED;
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

/*
 * Sockets are closed after the last process is counted out: totals are written a second later, and
 * when the counts of its denials are in, which are read when the next epoch is over.
 */
static int is_summed(const struct agent *a, const struct agent_session *s)
{
	return a->now - s->ended >= AGENT_LATE_NS && (!s->denials || a->epoch - s->ended_in >= 2);
}

void agent_sessions_turn(struct agent *a, int final)
{
	struct agent_session **p = &a->sessions, *s;
	struct stat st;

	while ((s = *p)) {
		if (!s->ended || (!final && !is_summed(a, s))) {
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
		agent_view_drop(a, s);
		free(s);
	}
}

/* The path of a process's v2 cgroup. */
int agent_proc_cgroup(uint32_t tgid, char *out, size_t size)
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
int agent_cgroup_below(const char *path, const char *want)
{
	size_t n = strlen(want);

	return !strncmp(path, want, n) && (!path[n] || path[n] == '/');
}

void agent_session_refute(struct agent *a, const struct fence_session_set *set, uint32_t tgid,
			  uint8_t tool, const char *why)
{
	struct agent_session *s;

	if (fence_kernel_session(a->kernel, set))
		return;
	s = agent_session_get(a, set->id); /* its own record may still be on its way */
	if (s)
		s->refuted = 1;
	agent_show_note(a, "pid %u is not %s after all: %s", tgid,
			fence_policy_tool_name(a->policy, tool), why);
}

void agent_check_match(struct agent *a, const struct fence_rec_exec *r, const struct agent_exec *e)
{
	const struct fence_policy_match *m;

	if (!e || !r->tool || r->tool > a->policy->ntools ||
	    r->rule >= a->policy->tools[r->tool - 1].nmatch)
		return;
	m = &a->policy->tools[r->tool - 1].match[r->rule];
	if (m->has_sha)
		agent_hash_check(a, e, r->session, m, r->tool);
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

void agent_cgroups_thaw(struct agent *a)
{
	char path[240];
	glob_t g = { 0 };
	int bad;
	size_t i;
	FILE *f;

	if (slice_path(a, path, sizeof(path) - sizeof("/*/cgroup.freeze")))
		return;
	strcat(path, "/*/cgroup.freeze");
	if (!glob(path, 0, NULL, &g))
		for (i = 0; i < g.gl_pathc; i++) {
			f = fopen(g.gl_pathv[i], "we");
			bad = f && fputs("0", f) < 0;
			if (f && (fclose(f) || bad))
				agent_show_note(a, "%s cannot be written", g.gl_pathv[i]);
		}
	globfree(&g);
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
int agent_session_cgroup(struct agent *a, struct agent_session *s)
{
	struct fence_config c;
	char base[240];
	uint32_t zero = 0;
	struct stat st;
	uint64_t id;

	if (slice_path(a, base, sizeof(base)))
		return -ENOENT;
	if (mkdir(base, 0755) && errno != EEXIST)
		return -errno;
	snprintf(s->cgroup, sizeof(s->cgroup), "%s/%s-%u", base,
		 fence_policy_tool_name(a->policy, s->tool), s->tgid);
	if ((mkdir(s->cgroup, 0755) && errno != EEXIST) || stat(s->cgroup, &st))
		return -errno;
	id = st.st_ino;
	if (fence_kernel_put(a->kernel, FENCE_MAP_CGROUPS, &id, &s->id) ||
	    fence_kernel_get(a->kernel, FENCE_MAP_CONFIG, &zero, &c))
		return -EIO;
	c.flags |= FENCE_CFG_CGROUPS;
	return fence_kernel_put(a->kernel, FENCE_MAP_CONFIG, &zero, &c) ? -EIO : 0;
}

int agent_session_write(const struct agent_session *s, const char *file, uint32_t value)
{
	char path[340], text[16];
	AUTO_FD int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", s->cgroup, file);
	snprintf(text, sizeof(text), "%u", value);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

static int tag(struct agent *a, uint32_t tgid, uint8_t tool, uint8_t how, uint8_t rule,
	       uint64_t *session)
{
	struct fence_session s = {
		.procs = 1, .total = 1, .tool = tool, .match = how, .rule = rule, .tgid = tgid
	};
	struct fence_session_set old = { .leaves = 1 };
	struct fence_proc p;
	struct timespec now;

	if (fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &tgid, &p))
		return -ESRCH;
	if (p.session && !agent_session_free(a, p.session))
		return -EALREADY;
	old.id = p.session;
	clock_gettime(CLOCK_BOOTTIME, &now);
	s.start = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	s.cleared = fence_policy_taints(a->policy, tool)  ? FENCE_UNTAINTED
		    : fence_policy_loose(a->policy, tool) ? FENCE_CLEARED
							  : FENCE_CONFINED;
	p.session = s.start;
	p.tool = tool;
	p.sight = (uint8_t)fence_policy_sees(a->policy, tool);
	if (fence_kernel_put(a->kernel, FENCE_MAP_SESSIONS, &p.session, &s))
		return -ENOSPC;
	if (fence_kernel_put(a->kernel, FENCE_MAP_PROCS, &tgid, &p)) {
		fence_kernel_del(a->kernel, FENCE_MAP_SESSIONS, &p.session);
		return -ENOSPC;
	}
	if (old.id)
		fence_kernel_session(a->kernel, &old);
	*session = p.session;
	return 0;
}

int agent_session_begin(struct agent *a, uint32_t tgid, uint8_t tool, uint8_t how, uint8_t rule,
			struct agent_session **out)
{
	struct fence_rec_session r = {
		.h = { .kind = FENCE_K_SESSION, .len = sizeof(r), .version = 1 },
		.total = 1,
		.tgid = tgid,
		.rule = rule,
		.tool = tool,
		.match = how,
		.change = FENCE_SESSION_START
	};
	uint64_t id;
	int err = tag(a, tgid, tool, how, rule, &id);

	*out = NULL;
	if (err < 0)
		return err;
	r.session = r.start = r.h.time = id;
	agent_record(a, &r.h); /* its row and its line */
	*out = agent_session_find(a, id);
	if (!*out)
		return -ENOMEM;
	(*out)->fresh = 1;
	return 0;
}

int agent_session_tool(struct agent *a, const char *tool, uint8_t *id, struct fence_diag *d)
{
	*id = fence_policy_tool(a->policy, tool);
	return *id ? 0
		   : fence_diag_set(d, -ENOENT, NULL, "the policy \"%s\" has no tool \"%s\"",
				    a->policy->name, tool);
}

int agent_session_refused(int err, struct fence_diag *d)
{
	if (err == -EALREADY)
		return fence_diag_set(d, err, NULL,
				      "this process belongs to a session already, and stays in it");
	if (err == -ESRCH)
		return fence_diag_set(d, err, NULL, "there is no such process");
	return fence_diag_set(d, err, NULL, "the session cannot be begun: %s", strerror(-err));
}

/*
 * No core handler is started for a process whose limit is 1, and one is for 0; who has 0 as its
 * hard limit, as services often have, cannot raise it. The command line looks whether it was done.
 */
static void limit_cores(const struct agent *a, uint32_t tgid)
{
	const struct rlimit one = { 1, 1 };

	if (!a->policy->monitor)
		prlimit((pid_t)tgid, RLIMIT_CORE, &one, NULL);
}

/* A process's real user; -ESRCH: it is gone. */
static int proc_uid(uint32_t tgid, uid_t *uid)
{
	AUTO_FILE FILE *f = NULL;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%u/status", tgid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Uid: %u", uid) == 1)
			return 0;
	return -ESRCH;
}

/*
 * Who asked may have ended since, and his pid be another's. The process that connected is known by
 * its pidfd, that it is the one which sent by its pid at that time (control.h), and what has that
 * pid now by its user and by the first still being there.
 */
int agent_confine(struct agent *a, const struct fence_caller *c, const struct fence_peer *peer,
		  const char *tool, uint64_t *session, struct fence_diag *d)
{
	uint32_t tgid = (uint32_t)peer->pid;
	struct agent_session *s;
	uid_t uid;
	uint8_t id;
	int err = agent_session_tool(a, tool, &id, d);

	if (err < 0)
		return err;
	if (proc_uid(tgid, &uid) || uid != peer->real || fence_control_gone(c))
		return fence_diag_set(d, -ESRCH, NULL, "the process that asked is gone");
	if (fence_policy_loose(a->policy, id))
		return fence_diag_set(d, -EINVAL, NULL,
				      "\"%s\" is seen, not confined (\"confine\": \"extensions\", "
				      "or \"taint\": \"confined\"): start it as it is",
				      tool);
	err = agent_session_begin(a, tgid, id, FENCE_MATCH_EXEC, 0, &s);
	if (err < 0)
		return agent_session_refused(err, d);
	*session = s->id;
	agent_view_take(a, s);
	err = agent_session_cgroup(a, s);
	if (!err)
		err = agent_session_write(s, "cgroup.procs", tgid);
	limit_cores(a, tgid);
	if (!err) /* what it holds on 0 to 2: the command line looks too, but who asks may be
		     another */
		err = agent_sockets_join(a, tgid);
	if (err >= 0)
		agent_sight_again(a, tgid);
	return err < 0 ? fence_diag_set(d, err, NULL,
					"the session's cgroup cannot be made, or its sockets not "
					"be looked at: %s",
					strerror(-err))
		       : 0;
}
