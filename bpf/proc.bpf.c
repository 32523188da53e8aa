// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes: who runs what, and who belongs to a session.
 *
 * tp_btf/sched_process_fork -> the child inherits its parent's entry before it runs: program,
 * session. tp_btf/sched_process_exec -> the new program is matched against the policy before its
 * first instruction; an exec record. tp_btf/sched_process_exit -> the last thread takes the entry
 * away; the last process ends the session.
 *
 * Membership is for ever: nothing here takes a process out of its session, and exec does not match
 * again inside one; but for sessions that are not confined.
 */
#include "lib/carry.h"
#include "lib/path.h"
#include "lib/subject.h"

char _license[] SEC("license") = "GPL";

#define FD_STEPS 4096
#define SIGKILL 9
#define SIGSTOP 19
#define CHROME_ORIGIN "chrome-extension://"

static __always_inline struct fence_match_rule *match_find(__u32 kind, __u64 value)
{
	struct fence_match_key k = { .value = value, .kind = kind, .bank = tool_key(0) };

	return bpf_map_lookup_elem(&matches, &k);
}

/* A unit is a cgroup of its name; any cgroup on the way to the root counts. */
static __always_inline struct fence_match_rule *match_cgroup(struct task_struct *task,
							     struct fence_scratch *s)
{
	struct cgroup *cg = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct fence_match_rule *r;
	__u32 i;

	for (i = 0; i < CGROUP_STEPS && cg; i++) {
		long n = bpf_probe_read_kernel_str(s->arg, 256, BPF_CORE_READ(cg, kn, name));

		if (n > 1) {
			r = match_find(FENCE_MATCH_CGROUP, text_hash(s, TEXT_ARG, 0, (__u32)n - 1));
			if (r)
				return r;
		}
		cg = (struct cgroup *)BPF_CORE_READ(cg, self.parent);
	}
	return 0;
}

static __always_inline int is_origin(const char *arg)
{
	const char want[] = CHROME_ORIGIN;
	__u32 i;

	for (i = 0; i < sizeof(want) - 1; i++)
		if (arg[i] != want[i])
			return 0;
	return 1;
}

/*
 * argv[1] or argv[2] is the origin of the extension that a browser started this native messaging
 * host for.
 */
static __always_inline struct fence_match_rule *match_native(struct task_struct *task,
							     struct fence_scratch *s)
{
	unsigned long at = BPF_CORE_READ(task, mm, arg_start),
		      end = BPF_CORE_READ(task, mm, arg_end);
	__u32 i;

	for (i = 0; i < 3; i++) {
		const __u32 id = sizeof(CHROME_ORIGIN) - 1;
		struct fence_match_rule *r;
		long n;

		if (at >= end)
			return 0;
		n = bpf_probe_read_user_str(s->arg, sizeof(s->arg), (void *)at);
		if (n <= 0) {
			count(FENCE_C_ARG_FAULT);
			return 0;
		}
		at += n;
		if (!i || !is_origin(s->arg))
			continue;
		r = match_find(FENCE_MATCH_NATIVE, text_hash(s, TEXT_ARG, id, id + 32));
		if (r)
			return r;
	}
	return 0;
}

/*
 * Which tool, and how it was recognised. The executable speaks first, then the origin, the unit,
 * the uid.
 */
static __always_inline struct fence_match_rule *
match_task(struct task_struct *task, struct fence_scratch *s, __u64 program, __u32 uid, __u8 *how)
{
	struct fence_config *cfg = config_get();
	struct fence_match_rule *r;

	*how = FENCE_MATCH_EXE;
	r = match_find(FENCE_MATCH_EXE, program);
	if (r)
		return r;
	if (cfg && cfg->flags & FENCE_CFG_NATIVE) {
		*how = FENCE_MATCH_NATIVE;
		r = match_native(task, s);
		if (r)
			return r;
	}
	if (cfg && cfg->flags & FENCE_CFG_CGROUP) {
		*how = FENCE_MATCH_CGROUP;
		r = match_cgroup(task, s);
		if (r)
			return r;
	}
	*how = FENCE_MATCH_UID;
	r = match_find(FENCE_MATCH_UID, uid);
	if (!r)
		*how = FENCE_MATCH_NONE;
	return r;
}

static __always_inline void session_emit(__u64 id, const struct fence_session *s, __u8 change)
{
	struct fence_rec_session *r = bpf_ringbuf_reserve(&denials, sizeof(*r), 0);

	if (!r) {
		rec_lost(FENCE_K_SESSION);
		return;
	}
	rec_init(&r->h, FENCE_K_SESSION, sizeof(*r), 1);
	r->session = id;
	r->total = s->total;
	r->start = s->start;
	r->tgid = s->tgid;
	r->rule = s->rule;
	r->tool = s->tool;
	r->match = s->match;
	r->change = change;
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

struct fd_cursor {
	struct file **fd;
	__u32 max;
	__u32 inet; /* the agent can tag these */
	__u32 unseen;
};

static long fd_step(__u32 i, void *ctx)
{
	struct fd_cursor *c = ctx;
	struct file *file = 0;
	enum carried what;

	if (i >= c->max)
		return 1;
	bpf_probe_read_kernel(&file, sizeof(file), c->fd + i);
	what = file ? file_carries(file) : CARRIES_NOTHING;
	c->inet |= what == CARRIES_INET;
	c->unseen |= what == CARRIES_UNSEEN;
	return 0;
}

/* A process that cannot be confined ends; not where nothing is blocked. */
static __always_inline void end_process(void)
{
	if (!(config_facts(config_get()) & FENCE_F_MONITOR))
		bpf_send_signal(SIGKILL);
}

/*
 * A program becomes a session with something in its hands, before its first instruction. With an
 * inet socket it is stopped: the agent tags the socket and lets it go on. With what carries out
 * unseen it ends here, and so it does where the agent will not be told: without one, or `full`.
 */
__weak __noinline int hold(int full)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fd_cursor c = { .fd = BPF_CORE_READ(task, files, fdt, fd),
			       .max = BPF_CORE_READ(task, files, fdt, max_fds) };

	fence_loop(FD_STEPS, fd_step, &c);
	if (c.unseen && guard(FENCE_G_INHERIT)) {
		bpf_send_signal(SIGKILL);
		return 0;
	}
	if (!c.inet && c.max <= FD_STEPS)
		return 0;
	if (full || agent_silent())
		end_process();
	else
		bpf_send_signal(SIGSTOP);
	return 1;
}

/* The process is in `procs` by now: the agent may be on its way as soon as it is told. */
static __always_inline void session_begin(__u64 id, __u32 tgid, const struct fence_match_rule *m,
					  __u8 how)
{
	int loose = m->flags & FENCE_MATCH_LOOSE;
	struct fence_session s = {
		.cleared = !loose			  ? FENCE_CONFINED
			   : m->flags & FENCE_MATCH_TAINT ? FENCE_UNTAINTED
							  : FENCE_CLEARED,
		.start = id,
		.procs = 1,
		.total = 1,
		.tool = m->tool,
		.match = how,
		.rule = m->rule,
		.tgid = tgid,
	};

	int full = bpf_map_update_elem(&sessions, &id, &s, BPF_ANY) != 0, held = 0;

	if (!loose)
		held = hold(full);
	if (full)
		count(FENCE_C_SESSION_FULL);
	else
		session_emit(id, &s, held ? FENCE_SESSION_HELD : FENCE_SESSION_START);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(proc_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 ptgid = parent->tgid, tgid = child->tgid;
	struct fence_proc fresh = {}, *p;
	struct fence_session *s;

	if (ptgid == tgid) /* a thread */
		return 0;
	p = bpf_map_lookup_elem(&procs, &ptgid);
	if (p)
		fresh = *p;
	else
		fresh.exec = parent->group_leader->start_boottime + ptgid;
	fresh.start = child->start_boottime;
	fresh.parent = ptgid;
	if (bpf_map_update_elem(&procs, &tgid, &fresh, BPF_ANY)) {
		count(FENCE_C_PROC_FULL);
		if (fresh.session) {
			__u32 zero = 0, one = 1;

			bpf_map_update_elem(&overflow, &zero, &one, BPF_ANY);
		}
		return 0;
	}
	if (!fresh.session)
		return 0;
	s = bpf_map_lookup_elem(&sessions, &fresh.session);
	if (s) {
		__sync_fetch_and_add(&s->procs, 1);
		__sync_fetch_and_add(&s->total, 1);
	}
	return 0;
}

static __always_inline void exec_emit(struct task_struct *task, struct linux_binprm *bprm,
				      struct fence_scratch *s, const struct fence_proc *p,
				      __u32 off, __u64 parent_exec, __u32 uid,
				      const struct fence_match_rule *m, __u8 how)
{
	struct fence_rec_exec *r = (void *)s->room;
	__u32 n = 2 * FENCE_PATH_MAX - off, len;

	if (n > FENCE_PATH_MAX) {
		off = 2 * FENCE_PATH_MAX - FENCE_PATH_MAX; /* the leaf end of a longer path */
		n = FENCE_PATH_MAX;
	}
	len = sizeof(*r) + n;
	rec_init(&r->h, FENCE_K_EXEC, len, p->check);
	r->exec = p->exec;
	r->parent_exec = parent_exec;
	r->start = p->start;
	r->session = p->session;
	r->ino = BPF_CORE_READ(bprm, file, f_inode, i_ino);
	r->dev = BPF_CORE_READ(bprm, file, f_inode, i_sb, s_dev);
	r->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	r->tgid = task->tgid;
	r->parent = p->parent;
	r->uid = uid;
	r->tool = p->tool;
	r->match = m ? how : FENCE_MATCH_NONE;
	r->check = p->check;
	r->rule = m ? m->rule : 0;
	r->path_len = (__u16)n;
	r->spare = 0;
	bpf_probe_read_kernel(r->path, n & (2 * FENCE_PATH_MAX - 1),
			      s->path + (off & (2 * FENCE_PATH_MAX - 1)));
	if (len > sizeof(*r) + FENCE_PATH_MAX)
		return;
	if (bpf_ringbuf_output(&ring, r, len, ring_flags(p->check)))
		rec_lost(FENCE_K_EXEC);
}

/* Would the session be one of the same kind as it is in: seen, or by a match that was refuted? */
static __always_inline int session_again(__u64 id, const struct fence_match_rule *m)
{
	struct fence_session *s = bpf_map_lookup_elem(&sessions, &id);

	return s && (m->flags & FENCE_MATCH_LOOSE || m->rule == s->rule);
}

/* A process less; the last one ends it. */
static __always_inline void session_leave(__u64 id)
{
	struct fence_session *s = bpf_map_lookup_elem(&sessions, &id);

	if (!s || __sync_fetch_and_add(&s->procs, -1) != 1)
		return;
	session_emit(id, s, FENCE_SESSION_END);
	bpf_map_delete_elem(&sessions, &id);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct fence_scratch *s = scratch_of(&exec_scratch);
	__u32 tgid = task->tgid, uid = (__u32)bpf_get_current_uid_gid(), off;
	struct fence_match_rule *m = 0;
	struct fence_proc fresh = {}, *p;
	__u8 how = FENCE_MATCH_NONE;
	__u64 before, old, named;

	p = bpf_map_lookup_elem(&procs, &tgid);
	if (p)
		fresh = *p;
	fresh.start = task->group_leader->start_boottime;
	if (!p)
		fresh.parent = BPF_CORE_READ(task, real_parent, tgid);
	before = fresh.exec;
	fresh.exec = bpf_ktime_get_boot_ns();
	if (!s) { /* cannot match: keep what is known */
		fresh.program = 0;
		bpf_map_update_elem(&procs, &tgid, &fresh, BPF_ANY);
		return 0;
	}
	off = path_read((__u64)BPF_CORE_READ(bprm, file, f_path.dentry),
			(__u64)BPF_CORE_READ(bprm, file, f_path.mnt), s);
	named = text_hash(s, TEXT_PATH, off, 2 * FENCE_PATH_MAX);
	/* a tool is matched by its path in any namespace: that only confines more */
	fresh.program = path_trusted((__u64)BPF_CORE_READ(bprm, file, f_path.mnt), named);
	/* out of a session that is not confined a tool begins one of its own */
	old = fresh.session;
	if (!session_confined(old))
		m = match_task(task, s, named, uid, &how);
	if (m && old && m->tool == fresh.tool && session_again(old, m))
		m = 0;
	if (m) {
		fresh.session = fresh.exec;
		fresh.tool = m->tool;
		fresh.check = m->flags & FENCE_MATCH_CHECK;
		fresh.sight = !!(m->flags & FENCE_MATCH_SIGHT);
	}
	if (bpf_map_update_elem(&procs, &tgid, &fresh, BPF_ANY)) {
		count(FENCE_C_PROC_FULL);
		if (m && !(m->flags & FENCE_MATCH_LOOSE))
			end_process();
	}
	if (m && old)
		session_leave(old);
	if (m)
		session_begin(fresh.session, tgid, m, how);
	exec_emit(task, bprm, s, &fresh, off, before, uid, m, how);
	scratch_give(s);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(proc_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;
	struct fence_proc *p;
	__u64 id;

	if (task->signal->live.counter)
		return 0;
	p = bpf_map_lookup_elem(&procs, &tgid);
	if (!p)
		return 0;
	id = p->session;
	bpf_map_delete_elem(&procs, &tgid);
	if (id)
		session_leave(id);
	return 0;
}
