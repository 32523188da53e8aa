// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes: who runs what, and who belongs to a session.
 *
 * tp_btf/sched_process_fork -> the child inherits its parent's entry before it runs: program,
 * session. tp_btf/sched_process_exec -> the new program is matched against the policy before its
 * first instruction, and so is what it has in its hands; an exec record. tp_btf/sched_process_exit
 * -> the last thread takes the entry away; the last process ends the session.
 * tp_btf/cgroup_attach_task -> what is moved into a tool's unit becomes the tool's: desktops start
 * a program first, and give it its scope then.
 *
 * Membership is for ever: nothing here takes a process out of its session, and exec does not match
 * again inside one; but for sessions that are not confined.
 */
#include "lib/carry.h"
#include "lib/match.h"
#include "lib/seize.h"
#include "lib/session.h"
#include "lib/subject.h"

char _license[] SEC("license") = "GPL";

#define FD_WORDS (1u << 17) /* of 64 descriptors: eight million */
#define QUEUE_STEPS 65536 /* connections that wait to be accepted */
#define SIGKILL 9

struct fd_cursor {
	struct fence_seized owner;
	struct file **fd;
	unsigned long *open_fds;
	struct request_sock *queued;
	__u64 word; /* of open_fds */
	__u32 words;
	__u32 at; /* the word's first descriptor */
	__u32 taken; /* inet sockets: they are the session's now */
	__u32 unseen; /* something carries out unseen, or could not be taken */
};

static __always_inline void take_sock(struct fd_cursor *c, struct sock *sk)
{
	c->owner.proto = (__u8)BPF_CORE_READ(sk, sk_protocol);
	c->owner.family = (__u8)BPF_CORE_READ(sk, __sk_common.skc_family);
	if (seized_add((__u64)sk, &c->owner))
		c->unseen = 1;
	else
		c->taken = 1;
}

/* A connection that waits at a listener is nobody's, and would be what accept(2) gives. */
static long queue_step(__u32 i, void *ctx)
{
	struct request_sock *req = ((struct fd_cursor *)ctx)->queued;
	struct fd_cursor *c = ctx;
	struct sock *sk;

	if (!req)
		return 1;
	sk = BPF_CORE_READ(req, sk);
	if (sk)
		take_sock(c, sk);
	c->queued = BPF_CORE_READ(req, dl_next);
	return 0;
}

/* The listener first: from then on nothing more comes in. */
static __always_inline void take_socket(struct fd_cursor *c, struct sock *sk)
{
	struct inet_connection_sock *listener = (void *)sk;

	take_sock(c, sk);
	if (c->owner.proto != FENCE_IPPROTO_TCP ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN)
		return;
	c->queued = BPF_CORE_READ(listener, icsk_accept_queue.rskq_accept_head);
	fence_loop(QUEUE_STEPS, queue_step, c);
	if (c->queued)
		c->unseen = 1;
}

static long fd_step(__u32 i, void *ctx)
{
	struct fd_cursor *c = ctx;
	struct file *file = 0;
	enum carried what;

	if (!(c->word >> (i & 63) & 1))
		return 0;
	if (bpf_probe_read_kernel(&file, sizeof(file), c->fd + c->at + i))
		c->unseen = 1;
	what = file ? file_carries(file) : CARRIES_NOTHING;
	if (what == CARRIES_INET)
		take_socket(c, file_sock(file));
	if (what == CARRIES_UNSEEN)
		c->unseen = 1;
	return 0;
}

static long word_step(__u32 i, void *ctx)
{
	struct fd_cursor *c = ctx;

	if (i >= c->words)
		return 1;
	c->word = 0;
	c->at = i * 64;
	if (bpf_probe_read_kernel(&c->word, sizeof(c->word), c->open_fds + i))
		c->unseen = 1;
	if (c->word)
		fence_loop(64, fd_step, c);
	return 0;
}

/* A process that cannot be confined ends; not where nothing is blocked. */
static __always_inline void end_process(void)
{
	if (!monitors())
		bpf_send_signal(SIGKILL);
}

#define HANDS_TAKEN 1 /* there were inet sockets */
#define HANDS_UNSEEN 2 /* and what carries out unseen, or more than can be remembered */

__weak __noinline int hands_read(__u64 of, __u64 session, __u64 start, __u32 tool)
{
	struct task_struct *task = (void *)of;
	struct fd_cursor c = { .owner = { .session = session,
					  .start = start,
					  .tgid = BPF_CORE_READ(task, tgid),
					  .tool = (__u8)tool } };
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);

	c.fd = BPF_CORE_READ(fdt, fd);
	c.open_fds = BPF_CORE_READ(fdt, open_fds);
	c.words = BPF_CORE_READ(fdt, max_fds) / 64;
	if (!c.words || c.words > FD_WORDS) /* none: it could not be read */
		c.unseen = 1;
	fence_loop(FD_WORDS, word_step, &c);
	return (c.taken ? HANDS_TAKEN : 0) | (c.unseen ? HANDS_UNSEEN : 0);
}

/* A number, which a function takes of a task. */
static __always_inline __u64 leader(struct task_struct *task)
{
	return (__u64)BPF_CORE_READ(task, group_leader);
}

/* Beside hands_read(), not in it: both need their room on the stack. */
__weak __noinline int hands_refuse(void)
{
	if (guard(FENCE_G_INHERIT))
		bpf_send_signal(SIGKILL);
	return 0;
}

/*
 * A program becomes a session with something in its hands, before its first instruction, and its
 * files are its own by now. Inet sockets are the session's from here on, whoever else has them.
 * With what carries out unseen it ends here. 1: there were sockets.
 */
static __always_inline int hands_take(__u64 session, __u64 start, __u32 tool)
{
	int what = hands_read(leader(bpf_get_current_task_btf()), session, start, tool);

	if (what & HANDS_UNSEEN)
		hands_refuse();
	return what & HANDS_TAKEN;
}

/*
 * The process is in `procs` by now: the agent may be on its way as soon as it is told. `moved`: it
 * ran already, and somebody else may have moved it; else it is the current one, at its exec. What a
 * moved one holds that carries out unseen only the agent can end.
 */
static __always_inline void session_begin(struct task_struct *task, const struct fence_proc *p,
					  struct fence_match_rule m, __u8 how, int moved)
{
	__u64 id = p->session;
	int loose = m.flags & FENCE_MATCH_LOOSE;
	struct fence_session s = {
		.cleared = !loose			 ? FENCE_CONFINED
			   : m.flags & FENCE_MATCH_TAINT ? FENCE_UNTAINTED
							 : FENCE_CLEARED,
		.start = id,
		.procs = 1,
		.total = 1,
		.tool = m.tool,
		.match = how,
		.rule = m.rule,
		.tgid = BPF_CORE_READ(task, tgid),
	};

	int full = bpf_map_update_elem(&sessions, &id, &s, BPF_ANY) != 0, taken = 0;

	if (!loose && moved)
		hands_read(leader(task), id, p->start, m.tool);
	else if (!loose)
		taken = hands_take(id, p->start, m.tool);
	if (full)
		count(FENCE_C_SESSION_FULL);
	else
		session_emit(id, &s,
			     moved   ? FENCE_SESSION_MOVED
			     : taken ? FENCE_SESSION_SEIZED
				     : FENCE_SESSION_START);
}

/*
 * Is it seen, and would it be but seen again? What was refuted is matched again: it may be the
 * right build now.
 */
static __always_inline int session_again(__u64 id, struct fence_match_rule m)
{
	return m.flags & FENCE_MATCH_LOOSE && bpf_map_lookup_elem(&sessions, &id);
}

/*
 * A process is in another cgroup than it was: by itself, mostly by who manages the user's session.
 * It keeps its program. No room to see where it is counts as an error alone, for it may be anybody.
 */
static __always_inline void moved(struct task_struct *task, __u32 tgid)
{
	__u64 old;
	struct fence_config *cfg = config_get();
	struct fence_match_rule m;
	struct fence_proc fresh, *p;
	__u32 word;

	p = bpf_map_lookup_elem(&procs, &tgid);
	if (!cfg || !(cfg->flags & FENCE_CFG_CGROUP) || !p || session_confined(p->session))
		return;
	word = match_cgroup((__u64)BPF_CORE_READ(task, cgroups, dfl_cgrp));
	if (!word || word == MATCH_UNREAD)
		return;
	fresh = *p;
	old = fresh.session;
	m = rule_of(word);
	if (old && m.tool == fresh.tool && session_again(old, m))
		return;
	fresh.session = bpf_ktime_get_boot_ns();
	fresh.tool = m.tool;
	fresh.sight = !!(m.flags & FENCE_MATCH_SIGHT);
	if (bpf_map_update_elem(&procs, &tgid, &fresh, BPF_EXIST))
		return; /* it has just ended */
	if (old)
		session_leave(old);
	session_begin(task, &fresh, m, FENCE_MATCH_CGROUP, 1);
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(proc_attach, struct cgroup *to, const char *path, struct task_struct *task)
{
	moved(task, task->tgid);
	return 0;
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
	if (!p && overflow_raised())
		return 0; /* nobody knows whose child it is */
	if (p)
		fresh = *p;
	else
		fresh.exec = parent->group_leader->start_boottime + ptgid;
	fresh.start = child->start_boottime;
	fresh.parent = ptgid;
	if (bpf_map_update_elem(&procs, &tgid, &fresh, BPF_ANY)) {
		count(FENCE_C_PROC_FULL);
		if (fresh.session)
			overflow_raise();
		return 0;
	}
	s = fresh.session ? bpf_map_lookup_elem(&sessions, &fresh.session) : 0;
	if (s) {
		__sync_fetch_and_add(&s->procs, 1);
		__sync_fetch_and_add(&s->total, 1);
	}
	if (BPF_CORE_READ(child, cgroups) != BPF_CORE_READ(parent, cgroups))
		moved(child, tgid); /* CLONE_INTO_CGROUP */
	return 0;
}

/* When the inode was last changed, in ns since 1970. */
static __always_inline __u64 inode_changed(struct inode *inode)
{
	struct inode___fields *f = (void *)inode;
	struct inode___hidden *h = (void *)inode;
	struct inode___plain *p = (void *)inode;

	if (bpf_core_field_exists(f->i_ctime_sec))
		return (__u64)BPF_CORE_READ(f, i_ctime_sec) * 1000000000 +
		       (BPF_CORE_READ(f, i_ctime_nsec) & 0x7fffffff);
	if (bpf_core_field_exists(h->__i_ctime))
		return (__u64)BPF_CORE_READ(h, __i_ctime.tv_sec) * 1000000000 +
		       (__u64)BPF_CORE_READ(h, __i_ctime.tv_nsec);
	if (bpf_core_field_exists(p->i_ctime))
		return (__u64)BPF_CORE_READ(p, i_ctime.tv_sec) * 1000000000 +
		       (__u64)BPF_CORE_READ(p, i_ctime.tv_nsec);
	return 0;
}

static __always_inline void exec_emit(struct task_struct *task, struct linux_binprm *bprm,
				      struct fence_scratch *s, const struct fence_proc *p,
				      __u32 off, __u64 parent_exec, __u32 uid,
				      struct fence_match_rule m, __u8 how)
{
	struct fence_rec_exec *r = (void *)s->room;
	__u32 n = 2 * FENCE_PATH_MAX - off, len;
	struct inode *inode;

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
	inode = BPF_CORE_READ(bprm, file, f_inode);
	r->ino = BPF_CORE_READ(inode, i_ino);
	r->size = (__u64)BPF_CORE_READ(inode, i_size);
	r->changed = inode_changed(inode);
	r->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	r->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	r->tgid = task->tgid;
	r->parent = p->parent;
	r->uid = uid;
	r->tool = p->tool;
	r->match = how;
	r->check = m.tool ? p->check : 0;
	r->rule = m.rule;
	r->path_len = (__u16)n;
	r->spare = 0;
	bpf_probe_read_kernel(r->path, n & (2 * FENCE_PATH_MAX - 1),
			      s->path + (off & (2 * FENCE_PATH_MAX - 1)));
	if (len > sizeof(*r) + FENCE_PATH_MAX)
		return;
	if (bpf_ringbuf_output(&ring, r, len, ring_flags(p->check)))
		rec_lost(FENCE_K_EXEC);
}

/*
 * No room to see what it is: it may be a tool. In a session it stays there; else it belongs to one
 * that nobody knows, and is refused everything.
 */
static __always_inline void exec_unread(__u32 tgid, struct fence_proc *fresh)
{
	__u64 old = fresh->session;
	int again = session_confined(old);

	fresh->program = 0;
	if (!again) {
		fresh->session = fresh->exec;
		fresh->tool = 0;
	}
	if (bpf_map_update_elem(&procs, &tgid, fresh, BPF_ANY) && !again)
		end_process();
	if (again)
		return;
	if (old)
		session_leave(old);
	hands_take(fresh->session, fresh->start, 0);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct fence_scratch *s = scratch_exec();
	__u32 tgid = task->tgid, uid = (__u32)bpf_get_current_uid_gid(), off, start = 0, word = 0;
	struct fence_match_rule m = {};
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
	if (!s) {
		exec_unread(tgid, &fresh);
		return 0;
	}
	old = fresh.session;
	if (!session_confined(old))
		start = match_start(task, bprm, s);
	off = path_read((__u64)BPF_CORE_READ(bprm, file, f_path.dentry),
			(__u64)BPF_CORE_READ(bprm, file, f_path.mnt), s);
	named = text_hash(s, TEXT_PATH, off, 2 * FENCE_PATH_MAX);
	fresh.program = path_trusted((__u64)BPF_CORE_READ(bprm, file, f_path.mnt), named);
	/* out of a session that is not confined a tool begins one of its own */
	if (!session_confined(old))
		word = match_task(task, bprm, s, named, start, uid, &how);
	if (word == MATCH_UNREAD) {
		scratch_give(s);
		exec_unread(tgid, &fresh);
		return 0;
	}
	m = rule_of(word);
	if (m.tool && old && m.tool == fresh.tool && session_again(old, m))
		m.tool = 0;
	if (m.tool) {
		fresh.session = fresh.exec;
		fresh.tool = m.tool;
		fresh.check = m.flags & FENCE_MATCH_CHECK;
		fresh.sight = !!(m.flags & FENCE_MATCH_SIGHT);
	}
	/* who is not known while `overflow` is raised may be a session's: but as a tool he stays so
	 */
	if ((p || m.tool || !overflow_raised()) &&
	    bpf_map_update_elem(&procs, &tgid, &fresh, BPF_ANY)) {
		count(FENCE_C_PROC_FULL);
		if (m.tool && (!(m.flags & FENCE_MATCH_LOOSE) || m.flags & FENCE_MATCH_TAINT))
			end_process();
	}
	if (m.tool && old)
		session_leave(old);
	if (m.tool)
		session_begin(task, &fresh, m, how, 0);
	else
		how = FENCE_MATCH_NONE;
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
	if (!bpf_map_delete_elem(&procs, &tgid) && id) /* the last two threads may both be here */
		session_leave(id);
	return 0;
}
