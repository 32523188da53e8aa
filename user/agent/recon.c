// SPDX-License-Identifier: Apache-2.0
/*
 * Processes that ran before: those that the agent finds at its start, and one that is told to join
 * a session. Marked first, so that whatever it starts to do is judged; then its open sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"

#define FOREBEARS 64
#define FREEZE_MS 1000 /* most that a join waits for its processes to stand still */

struct recon {
	struct agent *a;
	struct agent_session *session; /* that is joined */
	int kin; /* processes that are in a session now, and were in none */
	int ended; /* connections */
	int killed; /* processes, for what they held; once for each such descriptor */
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
	if (n > 10 && !strcmp(out + n - 10, " (deleted)")) /* replaced since it began */
		out[n - 10] = 0;
	return 0;
}

/* A process that belongs to a session, and cannot be marked, ends; not where nothing is blocked. */
static void end_unmarked(struct agent *a, uint32_t tgid, uint8_t tool)
{
	if (a->policy->monitor || fence_policy_loose(a->policy, tool))
		return;
	kill((pid_t)tgid, SIGKILL);
	agent_show_note(a, "pid %u of %s cannot be confined: it was killed", tgid,
			fence_policy_tool_name(a->policy, tool));
}

/* A process is in `own` from now on; it was in the session `old`, 0: in none. */
static void put_own(struct agent *a, uint32_t tgid, const struct fence_proc *own, uint64_t old)
{
	struct fence_session_set more = { .id = own->session, .more = 1 };
	struct fence_session_set less = { .id = old, .leaves = 1 };

	if (fence_kernel_put(a->kernel, FENCE_MAP_PROCS, &tgid, own)) {
		end_unmarked(a, tgid, own->tool);
		return;
	}
	fence_kernel_session(a->kernel, &more);
	if (old)
		fence_kernel_session(a->kernel, &less);
}

/* Is its parent in a session that is confined, or else in one that is but seen? Then so is it. */
static int inherit(struct agent *a, const struct fence_recon_task *t, struct fence_proc *own,
		   int confined)
{
	struct fence_proc parent;
	uint64_t old = own->session;

	if (fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &t->parent, &parent) || !parent.session ||
	    parent.session == old || agent_session_free(a, parent.session) == confined)
		return 0;
	own->session = parent.session;
	own->tool = parent.tool;
	own->sight = parent.sight;
	put_own(a, t->tgid, own, old);
	return 1;
}

/*
 * A running process that is a tool's becomes a session; one whose parent is in a session joins it.
 * As at an exec, out of a session that is not confined a tool begins one of its own.
 */
static void join(struct recon *r, const struct fence_recon_task *t, const struct agent_running *p)
{
	struct fence_proc own = { .exec = t->exec, .start = t->start, .parent = t->parent };
	struct agent *a = r->a;
	const struct fence_policy_match *m;
	struct agent_session *s;
	uint8_t tool, index;
	int err;

	if (!fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &t->tgid, &own) && own.session &&
	    !agent_session_free(a, own.session))
		return;
	if (inherit(a, t, &own, 1)) {
		r->kin++;
		return;
	}
	tool = agent_match_running(a, p, &index);
	if (own.session && (!tool || (tool == own.tool && fence_policy_loose(a->policy, tool))))
		return; /* seen, and to be but seen */
	if (!tool) {
		r->kin += inherit(a, t, &own, 0);
		return;
	}
	m = &a->policy->tools[tool - 1].match[index];
	err = agent_session_begin(a, t->tgid, tool, m->kind, index, &s);
	if (err && err != -EALREADY)
		end_unmarked(a, t->tgid, tool);
	if (s && agent_match_narrowed(a, tool, index)) /* where it was not known in time */
		agent_hash_check(a, p->exec, s->id, m, tool);
	r->kin++;
}

static void on_task(void *ctx, const void *task);

/*
 * A parent that the iterator has not given, or does not give: on 6.18 it begins behind process 1.
 */
static void on_parent(struct recon *r, const struct fence_recon_task *child)
{
	struct fence_recon_task t = { .exec = child->parent_exec,
				      .start = child->parent_exec - child->parent,
				      .tgid = child->parent,
				      .kernel = child->parent == 2,
				      .overflow = child->overflow };
	struct fence_proc p = { .exec = t.exec, .start = t.start };
	char exe[FENCE_PATH_MAX];

	if (!child->parent || child->parent == child->tgid ||
	    agent_exec_find(r->a, child->parent_exec))
		return;
	/* whose path that is the iterator sees; of process 1 it may not tell, and it is root's */
	if (t.tgid == 1 && !read_link(t.tgid, exe, sizeof(exe)))
		p.program = agent_hash(r->a, exe);
	if (!child->overflow && fence_kernel_get(r->a->kernel, FENCE_MAP_PROCS, &t.tgid, &p))
		fence_kernel_put(r->a->kernel, FENCE_MAP_PROCS, &t.tgid, &p);
	if (child->parent == 1)
		on_task(r, &t);
}

static void on_task(void *ctx, const void *task)
{
	const struct fence_recon_task *t = task;
	char room[sizeof(struct fence_rec_exec) + FENCE_PATH_MAX]
		__attribute__((aligned(8))) = { 0 };
	struct fence_rec_exec *e = (void *)room;
	char exe[FENCE_PATH_MAX] = "", cgroup[512] = "", path[64];
	struct agent_running p = { .tgid = t->tgid, .exe = exe, .cgroup = cgroup };
	struct recon *r = ctx;
	struct agent_exec *known;
	struct stat st = { 0 };
	struct statx sx;

	r->a->sees_shared |= (uint8_t)t->shared;
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
		/* as the kernel has it: a file system is not asked, which might not answer */
		if (!statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &sx)) {
			e->ino = p.ino = sx.stx_ino;
			p.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
			e->dev = sx.stx_dev_major << 20 | sx.stx_dev_minor;
			e->size = sx.stx_size;
			e->changed =
				(uint64_t)sx.stx_ctime.tv_sec * 1000000000 + sx.stx_ctime.tv_nsec;
		}
	}
	e->path_len = (uint16_t)strlen(exe);
	memcpy(e->path, exe, e->path_len);
	known = agent_exec_add(r->a, e, 1);
	if (t->kernel || !known)
		return;
	agent_proc_cgroup(t->tgid, cgroup, sizeof(cgroup));
	p.uid = e->uid;
	p.exec = known;
	join(r, t, &p);
}

/*
 * A process of a session holds what nobody can judge: as at an exec, it is recorded and ends. That
 * is what carries out unseen (bpf/lib/carry.h), but where it was in the session already when it
 * made it, and a socket without room for its tag.
 */
static void on_unseen(struct recon *r, const struct fence_recon_socket *s)
{
	struct fence_rec_flow d = {
		.h = { .kind = FENCE_K_DENY, .len = sizeof(d), .version = 1, .time = r->a->now },
		.session = s->session,
		.tgid = s->tgid,
		.uid = ~0u,
		.rule = ~0u,
		.tool = s->tool,
		.facts = { .at = FENCE_AT_LOCAL, .flags = FENCE_F_CONFINED },
		.detail = FENCE_G_INHERIT
	};
	struct agent_session *session = agent_session_find(r->a, s->session);
	struct fence_verdict v;
	struct fence_proc p;

	if (!session || (s->unseen && !session->fresh))
		return;
	if (!fence_kernel_get(r->a->kernel, FENCE_MAP_PROCS, &s->tgid, &p)) {
		d.exec = p.exec;
		d.start = p.start;
	}
	if (r->a->policy->monitor)
		d.facts.flags |= FENCE_F_MONITOR;
	v = fence_decide(&d.facts);
	d.action = v.action;
	d.reason = v.reason;
	agent_record(r->a, &d.h);
	if (v.action == FENCE_DENY && !kill((pid_t)s->tgid, SIGKILL))
		r->killed++;
}

/*
 * A socket became a session's while it was open. A stream whose address the policy does not list
 * itself cannot be proved any more: it ends. A datagram is judged when it is sent.
 */
static void on_socket(void *ctx, const void *socket)
{
	const struct fence_recon_socket *s = socket;
	struct recon *r = ctx;

	if (agent_session_loose(r->a, s->session, s->tool))
		return;
	if (s->unseen || s->untagged)
		on_unseen(r, s);
	else if (s->proto == IPPROTO_TCP && agent_flow_joins(r->a, s) &&
		 !fence_socket_destroy(s->cookie, s->family, s->port, s->tgid))
		r->ended++;
}

static int sockets(struct recon *r, uint32_t tgid)
{
	int err = fence_kernel_sockets(r->a->kernel, tgid, on_socket, r);
	struct agent_session *s;

	for (s = r->a->sessions; s; s = s->next)
		s->fresh = 0;
	return err;
}

int agent_sockets_join(struct agent *a, uint32_t tgid)
{
	struct recon r = { .a = a };

	return sockets(&r, tgid);
}

int agent_recognise(struct agent *a)
{
	struct recon r = { .a = a };
	int before, err;

	do { /* children that the iterator met before their parents */
		before = r.kin;
		err = fence_kernel_tasks(a->kernel, on_task, &r);
	} while (err >= 0 && r.kin > before);
	return err < 0 ? err : sockets(&r, 0);
}

int agent_reconcile(struct agent *a)
{
	int err = agent_recognise(a);

	agent_cgroups_thaw(a); /* what an agent that ended in the middle of a join had frozen */
	return err;
}

/* ---- crmfence join ---- */

/* A process of the session, found by its parent: marked, and into the frozen cgroup. */
static void on_kin(void *ctx, const void *task)
{
	const struct fence_recon_task *t = task;
	struct recon *r = ctx;
	struct fence_proc own = { .exec = t->exec, .start = t->start, .parent = t->parent };

	fence_kernel_get(r->a->kernel, FENCE_MAP_PROCS, &t->tgid, &own);
	if (own.session != r->session->id && own.session && !agent_session_free(r->a, own.session))
		return;
	if (own.session != r->session->id &&
	    (!inherit(r->a, t, &own, 1) || own.session != r->session->id))
		return;
	if (t->tgid != r->session->tgid && own.session)
		r->kin++;
	agent_session_write(r->session, "cgroup.procs", t->tgid);
}

/* Every descendant: one that a process not yet frozen forks is found in the next round. */
static int gather(struct recon *r)
{
	int before, err;

	do {
		before = r->kin;
		r->kin = 0;
		err = fence_kernel_tasks(r->a->kernel, on_kin, r);
	} while (err >= 0 && r->kin > before);
	return err;
}

static int frozen(const struct agent_session *s)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	AUTO_BUF struct fence_buf b = { 0 };
	char path[340];
	int i;

	snprintf(path, sizeof(path), "%s/cgroup.events", s->cgroup);
	for (i = 0; i < FREEZE_MS; i++) {
		b.len = 0;
		if (!fence_buf_read_file(&b, path, 4096) && strstr(fence_buf_text(&b), "frozen 1"))
			return 1;
		nanosleep(&ms, NULL);
	}
	return 0;
}

/* Is `tgid` the agent, or one whose descendant the agent is? It would be frozen with it. */
static int is_forebear(struct agent *a, uint32_t tgid)
{
	uint32_t at = (uint32_t)getpid();
	struct fence_proc p;
	int i;

	for (i = 0; i < FOREBEARS && at > 1; i++, at = p.parent)
		if (at == tgid)
			return 1;
		else if (fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &at, &p))
			return 0;
	return i == FOREBEARS;
}

int agent_join(struct agent *a, uint32_t tgid, const char *tool, struct fence_buf *out,
	       struct fence_diag *d)
{
	struct recon r = { .a = a };
	char exe[FENCE_PATH_MAX];
	int err, held;
	uint8_t id;

	err = agent_session_tool(a, tool, &id, d);
	if (err < 0)
		return err;
	if (tgid < 2 || is_forebear(a, tgid))
		return fence_diag_set(d, -EINVAL, NULL,
				      "neither process 1 nor the agent joins a session, nor what "
				      "started the agent: start the agent from elsewhere");
	if (read_link(tgid, exe, sizeof(exe)))
		return fence_diag_set(d, -ESRCH, NULL, "there is no process %u with a program",
				      tgid);
	err = agent_session_begin(a, tgid, id, FENCE_MATCH_JOIN, 0, &r.session);
	if (err < 0)
		return agent_session_refused(err, d);
	err = agent_session_cgroup(a,
				   r.session); /* marked now: what fails from here on stays shut */
	if (!err)
		err = agent_session_write(r.session, "cgroup.freeze", 1);
	if (!err)
		err = agent_session_write(r.session, "cgroup.procs", tgid);
	if (err >= 0)
		err = gather(&r);
	held = frozen(r.session);
	if (err >= 0)
		err = sockets(&r, 0);
	agent_session_write(r.session, "cgroup.freeze", 0);
	if (err < 0)
		return fence_diag_set(d, err, NULL,
				      "pid %u is confined, but what it had open or had started may "
				      "not be: %s; end it and start it again",
				      tgid, strerror(-err));
	fence_buf_printf(out,
			 "pid %u is confined as %s, with %d descendants; %d open connections "
			 "ended%s%s",
			 tgid, tool, r.kin, r.ended,
			 r.killed ? "; what held an io_uring, or a socket whose packets nobody can "
				    "judge, was killed"
				  : "",
			 held ? "" : "; it could not be held still meanwhile");
	return 0;
}
