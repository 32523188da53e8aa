// SPDX-License-Identifier: Apache-2.0
/*
 * Which processes carry probes, and where. When a session of a tool with "sight" begins, probes for
 * what it has mapped and for every TLS library of the system go in for that process. What it maps
 * later, and whom it forks, is told by perf events of that process alone. No other process has a
 * breakpoint in it. (Stopping a process until its probes are there would be seen by a shell, which
 * takes a stopped program for its user's wish.)
 */
#include "agent/sight.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "crm/values.h"

static struct sight_proc *proc_of(struct sight *s, uint32_t tgid)
{
	unsigned int i;

	for (i = 0; i < SIGHT_PROCS; i++)
		if (s->procs[i].tgid == tgid)
			return &s->procs[i];
	return NULL;
}

int sight_is_chromium(const struct sight_conn *c)
{
	struct sight *s = c->agent->sight;
	const struct sight_proc *p = proc_of(s, c->tgid);
	unsigned int i;

	for (i = 0; p && i < p->nfiles; i++)
		if (p->told[i] && s->files[p->files[i]].points.stack == FENCE_TLS_BORINGSSL)
			return 1;
	return 0;
}

static void attach_row(struct agent *a, const struct sight_proc *p, const char *path,
		       const struct sight_file *f, const char *state)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_str(&j, "how", f->points.how);
	fence_json_str(&j, "path", path);
	fence_json_int(&j, "pid", p->tgid);
	fence_json_id(&j, "session", p->session);
	fence_json_str(&j, "stack", fence_tls_stack_name(f->points.stack));
	fence_json_str(&j, "state", state);
	agent_row_end(a, &j, "sight");
}

static int probe(struct sight *s, const struct sight_proc *p, const struct sight_file *f)
{
	struct fence_sight_point at[FENCE_SIGHT_POINTS];
	char path[32];

	sight_file_points(f, at);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	return fence_sight_attach(s->kernel, path, p->tgid, at, f->points.count);
}

/*
 * Probes into the file for this process, when it has a TLS stack; a row once it is mapped. Of one
 * that is not known yet we hear (agent_sight_turn).
 */
static void attach(struct agent *a, struct sight_proc *p, struct sight_file *f, const char *path,
		   int mapped)
{
	struct sight *s = a->sight;
	char real[256];
	unsigned int k;
	ssize_t n;
	int err = 0;

	if (!f || f->err == -EINPROGRESS || sight_file_is_none(f))
		return;
	for (k = 0; k < p->nfiles && p->files[k] != (uint32_t)(f - s->files); k++)
		;
	if (k == SIGHT_ATTACHED || (k < p->nfiles && (p->told[k] || !mapped)))
		return;
	if (k == p->nfiles) {
		p->files[p->nfiles++] = (uint32_t)(f - s->files);
		p->told[k] = 0;
		err = f->err ? f->err : probe(s, p, f);
	}
	if (err == -ESRCH || !mapped)
		return; /* it is gone; or nothing to tell yet */
	p->told[k] = 1;
	n = readlink(path, real, sizeof(real) - 1);
	real[n > 0 ? n : 0] = 0;
	if (err && !f->told)
		agent_show_note(a, "the TLS of %s is not seen: %s", real,
				f->points.how[0] ? f->points.how : strerror(-err));
	f->told |= !!err;
	attach_row(a, p, real, f, err ? "refused" : "attached");
}

/* What it has mapped already. */
static void attach_maps(struct agent *a, struct sight_proc *p)
{
	char path[64], line[512], entry[128], perms[8];
	unsigned long from, to, inode;
	AUTO_FILE FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%u/maps", p->tgid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &from, &to, perms, &inode) != 4 ||
		    !inode || perms[2] != 'x')
			continue;
		/* without the zeros that maps has before a low address */
		snprintf(entry, sizeof(entry), "/proc/%u/map_files/%lx-%lx", p->tgid, from, to);
		attach(a, p, sight_file_at(a, entry, p->session), entry, 1);
	}
}

/* A child has mapped what its parent has. */
static void attach_child(struct agent *a, struct sight_proc *child, const struct sight_proc *p)
{
	struct sight_file *f;
	char path[32];
	unsigned int i;

	for (i = 0; i < p->nfiles; i++) {
		f = &a->sight->files[p->files[i]];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
		if (p->told[i] && f->fd >= 0)
			attach(a, child, f, path, 1);
	}
}

static struct sight_proc *proc_new(struct agent *a, uint32_t tgid, uint64_t session)
{
	struct sight_proc *p = proc_of(a->sight, 0);

	if (!p) {
		if (!a->sight->lost++)
			agent_show_note(a, "pid %u is not watched: %u processes are", tgid,
					SIGHT_PROCS);
		return NULL;
	}
	*p = (struct sight_proc){ .tgid = tgid, .session = session };
	return p;
}

static void proc_done(struct sight *s, struct sight_proc *p)
{
	fence_sight_release(s->kernel, p->tgid);
	fence_mapped_close(p->mapped);
	memset(p, 0, sizeof(*p));
}

/*
 * A process of a watched session. Events have a ring a CPU: what it maps may be told before its
 * fork is.
 */
static struct sight_proc *proc_get(struct agent *a, uint32_t tgid)
{
	struct sight_proc *p = tgid ? proc_of(a->sight, tgid) : NULL;
	struct fence_proc k;

	if (p || !tgid || fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &tgid, &k) || !k.session ||
	    !k.sight)
		return p;
	p = proc_new(a, tgid, k.session);
	if (p)
		attach_maps(a, p);
	return p;
}

/* A process of a watched session mapped code, or has a child. */
static void on_mapping(void *ctx, const struct fence_mapping *g)
{
	struct agent *a = ctx;
	struct sight_proc *p = proc_get(a, g->parent ? g->parent : g->tgid), *child;
	char entry[128];

	if (!p || !g->tgid)
		return;
	if (g->parent) {
		child = proc_of(a->sight, g->tgid);
		if (!child)
			child = proc_new(a, g->tgid, p->session);
		if (child)
			attach_child(a, child, p);
		return;
	}
	snprintf(entry, sizeof(entry), "/proc/%u/map_files/%llx-%llx", g->tgid,
		 (unsigned long long)g->start, (unsigned long long)g->end);
	attach(a, p, sight_file_at(a, entry, p->session), entry, 1);
}

/* A process, and whom it forks from now on. */
static void watch(struct agent *a, uint32_t tgid, uint64_t session)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct sight_proc *p = proc_new(a, tgid, session);
	unsigned int i;

	if (!p)
		return;
	if (fence_mapped_open(tgid, &p->mapped)) /* it may be gone */
		a->sight->lost++;
	else
		epoll_ctl(a->sight->ep, EPOLL_CTL_ADD, fence_mapped_fd(p->mapped), &e);
	attach_maps(a, p);
	for (i = 0; i < a->sight->nlibraries; i++)
		attach(a, p, sight_file_at(a, a->sight->libraries[i], session), "", 0);
}

/* One that is not stopped may have begun others before its first was watched. */
static int watch_others(struct agent *a, uint64_t session)
{
	uint32_t key, next;
	struct fence_proc k;
	int more = !fence_kernel_next(a->kernel, FENCE_MAP_PROCS, NULL, &next), n = 0;

	while (more) {
		key = next;
		more = !fence_kernel_next(a->kernel, FENCE_MAP_PROCS, &key, &next);
		if (fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &key, &k) ||
		    k.session != session || proc_of(a->sight, key))
			continue;
		watch(a, key, session);
		n += !!proc_of(a->sight, key);
	}
	return n;
}

void agent_sight_session(struct agent *a, uint32_t tgid, uint64_t session)
{
	if (!a->sight || proc_of(a->sight, tgid))
		return;
	watch(a, tgid, session);
	sight_addons(a, tgid, session);
	while (watch_others(a, session))
		;
}

void agent_sight_again(struct agent *a, uint32_t tgid)
{
	struct sight_proc *p = a->sight ? proc_of(a->sight, tgid) : NULL;

	if (p)
		attach_maps(a, p);
}

/* Sessions that are over, when what they said was read; and once a second processes that are. */
static void sweep(struct agent *a, int more)
{
	struct sight *s = a->sight;
	struct agent_session *session;
	int look_now = a->now - s->looked > AGENT_LATE_NS;
	unsigned int i;

	if (look_now) {
		s->looked = a->now;
		sight_files_renew(a);
	}
	for (i = 0; i < SIGHT_PROCS; i++) {
		struct sight_proc *p = &s->procs[i];

		if (!p->tgid)
			continue;
		session = agent_session_find(a, p->session);
		if (!session || session->ended) {
			p->over = p->over ? p->over : a->now;
			if (more && s->read <= p->over)
				continue;
			sight_forget(a, p->session);
			proc_done(s, p);
		} else if (look_now && kill((pid_t)p->tgid, 0) && errno == ESRCH && !p->mapped) {
			proc_done(s, p);
		}
	}
}

static void losses(struct agent *a)
{
	static const char *const names[FENCE_SIGHT_MISS_MAX] = { "sight_ring", "sight_fault",
								 "sight_frames", "sight_long" };
	uint64_t now[FENCE_SIGHT_MISS_MAX];
	unsigned int i;

	fence_sight_missed(a->sight->kernel, now);
	for (i = 0; i < FENCE_SIGHT_MISS_MAX; i++)
		if (now[i] > a->sight->missed[i])
			agent_gap(a, names[i], now[i] - a->sight->missed[i]);
	memcpy(a->sight->missed, now, sizeof(now));
}

int agent_sight_defers(struct agent *a, const struct fence_rec_close *r)
{
	const struct agent_flow *f = a->sight ? agent_flow_find(a, r->cookie) : NULL;

	if (!f || !fence_policy_sees(a->policy, f->tool) || a->sight->ncloses == SIGHT_CLOSES)
		return 0;
	a->sight->closes[a->sight->ncloses++] = *r;
	return 1;
}

/*
 * A flow's record is written before the plaintext on it, and its close after: so the other ring is
 * read up to now for each new socket (map_conn), and a close is done when everything before it was
 * read. A flow with a held request is closed by us, before its writer has said what he wrote: a
 * little later.
 */
static int is_early(struct agent *a, const struct fence_rec_close *r, int all)
{
	return (!all && r->h.time >= a->sight->read) ||
	       (sight_held(agent_flow_find(a, r->cookie)) && a->now < r->h.time + SIGHT_HELD_NS);
}

/*
 * What the kernel left to us is read at once; the rest a bite at a time, behind whatever else the
 * machine has to do. 1: more waits.
 */
static int plaintext(struct agent *a, int final)
{
	struct sight *s = a->sight;
	unsigned int i, kept = 0, left = final ? SIGHT_TURNS_FINAL : SIGHT_TURNS, n = 1;
	enum fence_sight_waits waits;

	while ((waits = fence_sight_waits(s->kernel)) && n && left--) {
		if (waits == FENCE_SIGHT_QUIET)
			agent_yield(1);
		n = fence_sight_drain(s->kernel, sight_record, a, &s->bad);
		if (waits == FENCE_SIGHT_QUIET)
			agent_yield(0);
	}
	for (i = 0; i < s->ncloses; i++)
		if (is_early(a, &s->closes[i], !waits))
			s->closes[kept++] = s->closes[i];
		else
			agent_flow_close(a, &s->closes[i]);
	s->ncloses = kept;
	return waits && n; /* a program that was stopped while it wrote one is not waited for */
}

int agent_sight_turn(struct agent *a, int final)
{
	struct sight *s = a->sight;
	unsigned int i;
	int known, more;

	if (!s)
		return 0;
	known = sight_files_turn(a);
	for (i = 0; i < SIGHT_PROCS && known; i++)
		if (s->procs[i].tgid)
			attach_maps(a, &s->procs[i]);
	sight_files_thaw(a);
	for (i = 0; i < SIGHT_PROCS; i++)
		if (s->procs[i].mapped)
			fence_mapped_drain(s->procs[i].mapped, on_mapping, a, &s->lost);
	more = plaintext(a, final);
	sweep(a, more);
	losses(a);
	return more;
}

int agent_sight_probes(const struct agent *a)
{
	return a->sight && fence_sight_attached(a->sight->kernel);
}

int agent_sight_fd(const struct agent *a)
{
	return a->sight ? a->sight->ep : -1;
}

static int wanted(const struct fence_policy *p)
{
	size_t i;

	for (i = 0; i < p->ntools; i++)
		if (p->tools[i].sight)
			return 1;
	return 0;
}

void agent_sight_reload(struct agent *a)
{
	if (a->sight) {
		sight_honey(a);
		sight_files_renew(a);
		fence_sight_soles_forget(a->sight->kernel);
	}
	if (!a->sight && wanted(a->policy))
		agent_show_note(a, "the policy asks for TLS sight: it begins when the agent is "
				   "started again");
}

static void off(struct agent *a, const char *why)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_str(&j, "how", why);
	fence_json_str(&j, "state", "off");
	agent_row_end(a, &j, "sight");
	agent_show_note(a, "TLS sight is off: %s; enforcement does not need it and goes on", why);
}

int agent_sight_init(struct agent *a)
{
	/* a session must not be able to take the descriptors that the agent lives by */
	const struct rlimit open_max = { .rlim_cur = SIGHT_OPEN, .rlim_max = SIGHT_OPEN };
	struct epoll_event e = { .events = EPOLLIN };
	struct fence_diag d = { 0 };
	struct sight *s;

	if (a->sight || !wanted(a->policy))
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ep = setrlimit(RLIMIT_NOFILE, &open_max) ? -1 : epoll_create1(EPOLL_CLOEXEC);
	if (s->ep < 0 || sight_files_known(a, s) || look_start(s->known, &s->look) ||
	    fence_sight_open(a->kernel, &s->kernel, &d) < 0 ||
	    fence_sight_test(a->kernel, s->kernel, &d) < 0) {
		off(a, d.text);
		fence_sight_close(s->kernel);
		look_stop(s->look);
		free(s->known);
		free(s->found);
		if (s->ep >= 0)
			close(s->ep);
		free(s);
		return 0;
	}
	epoll_ctl(s->ep, EPOLL_CTL_ADD, fence_sight_fd(s->kernel), &e);
	epoll_ctl(s->ep, EPOLL_CTL_ADD, look_fd(s->look), &e);
	s->ready = -1;
	a->sight = s;
	if (sight_hooks(s)) {
		agent_sight_done(a);
		return -ENOMEM;
	}
	s->ready = fence_mapped_ready();
	sight_honey(a);
	sight_files_first(a);
	agent_show_note(a,
			"TLS SIGHT IS ON: requests of tools with \"sight\" are read; bodies stay "
			"in memory until read, and are not logged");
	return 0;
}

void agent_sight_done(struct agent *a)
{
	struct sight *s = a->sight;
	unsigned int i;

	if (!s)
		return;
	for (i = 0; i < SIGHT_PROCS; i++)
		if (s->procs[i].tgid) {
			sight_forget(a, s->procs[i].session);
			proc_done(s, &s->procs[i]);
		}
	sight_files_done(a);
	sight_browsers_done(s);
	fence_values_free(s->values);
	fence_values_free(s->honey);
	fence_sight_close(s->kernel);
	if (s->ready >= 0)
		close(s->ready);
	close(s->ep);
	free(s);
	a->sight = NULL;
}

void agent_sight_status(const struct agent *a, struct fence_json *j)
{
	const struct sight *s = a->sight;

	fence_json_open(j, "sight");
	fence_json_int(j, "connections", s ? s->nconns : 0);
	fence_json_int(j, "known", s ? (int64_t)s->nknown : 0);
	fence_json_int(j, "looked", s ? (int64_t)s->nlooked : 0);
	fence_json_bool(j, "on", !!s);
	fence_json_int(j, "probes", s ? fence_sight_attached(s->kernel) : 0);
	fence_json_int(j, "requests", s ? (int64_t)s->requests : 0);
	fence_json_int(j, "streams", s ? (int64_t)s->streams : 0);
	fence_json_int(j, "unfollowed", s ? (int64_t)s->unfollowed : 0);
	fence_json_int(j, "unseen", s ? (int64_t)s->unseen : 0);
	fence_json_close(j);
}
