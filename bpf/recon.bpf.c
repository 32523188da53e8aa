// SPDX-License-Identifier: GPL-2.0-only
/*
 * What was there before the agent.
 *
 * iter/task      -> every process gets its entry in procs, unless fork or exec made one meanwhile;
 * one line a process for the agent. iter/task_file -> every inet socket is tagged with its process;
 * those of a session are checked from their next packet on, and told to the agent. It runs again
 * when a running process joins a session, and when a new one has seized sockets.
 *
 * syscall        -> session_set: what the agent changes of a session.
 */
#include "lib/carry.h"
#include "lib/path.h"
#include "lib/seize.h"
#include "lib/session.h"
#include "lib/wire.h"

char _license[] SEC("license") = "GPL";

struct seq_file;

/* 0; 1: there is no such session. */
SEC("syscall")
int session_set(struct fence_session_set *c)
{
	__u64 id = c->id;
	struct fence_session *s = bpf_map_lookup_elem(&sessions, &id);

	if (!s)
		return 1;
	__sync_fetch_and_add(&s->procs, c->more);
	__sync_fetch_and_add(&s->total, c->more);
	if (c->leaves) /* it is gone after this, where nobody else is in it */
		session_leave(id);
	else if (c->clears && (c->from == FENCE_ANY_CLEARED || c->from == s->cleared))
		s->cleared = c->to;
	return 0;
}

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int recon_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct fence_proc p = {};
	struct fence_recon_task r = {};
	struct fence_proc *there;
	__u32 tgid;

	if (!task || task->pid != task->tgid)
		return 0;
	tgid = task->tgid;
	p.start = task->start_boottime;
	p.exec = p.start + tgid; /* the first processes of a boot share their time */
	p.parent = BPF_CORE_READ(task, real_parent, tgid);
	p.program = program_hash(BPF_CORE_READ(task, mm, exe_file));
	r.overflow = (__u16)overflow_raised();
	if (!r.overflow)
		bpf_map_update_elem(&procs, &tgid, &p, BPF_NOEXIST);
	there = bpf_map_lookup_elem(&procs, &tgid);
	if (there && there->exec == p.exec && !there->program) /* the agent met its child first */
		there->program = p.program;
	r.exec = p.exec;
	r.parent_exec = BPF_CORE_READ(task, real_parent, group_leader, start_boottime) + p.parent;
	r.start = p.start;
	r.tgid = tgid;
	r.parent = p.parent;
	r.kernel = !BPF_CORE_READ(task, mm);
	r.shared = WIRE_SEES_SHARED;
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

/* The address of a connected socket's other side. */
static __always_inline void other_side(struct sock *sk, __u8 *addr)
{
	if (sk->__sk_common.skc_family == AF_INET)
		addr_from4(addr, sk->__sk_common.skc_daddr);
	else
		bpf_probe_read_kernel(addr, 16, &sk->__sk_common.skc_v6_daddr);
}

/* Tell the agent of a socket that is a session's now. */
static __always_inline void tell(struct bpf_iter__task_file *ctx, struct sock *sk,
				 const struct fence_seized *own)
{
	struct fence_recon_socket r = { .cookie = bpf_get_socket_cookie(sk),
					.session = own->session,
					.tgid = own->tgid,
					.tool = own->tool,
					.family = (__u8)sk->__sk_common.skc_family,
					.proto = (__u8)sk->sk_protocol,
					.port = bpf_ntohs(sk->__sk_common.skc_dport) };

	if (r.port)
		other_side(sk, r.addr);
	else if (r.proto == FENCE_IPPROTO_TCP && sk->__sk_common.skc_state != TCP_LISTEN)
		return; /* there is nothing of it to end */
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
}

/* A session's process has in its hands what carries out unseen, or what cannot be tagged. */
static __always_inline void tell_unseen(struct bpf_iter__task_file *ctx, const struct fence_proc *p,
					__u32 tgid, __u8 untagged)
{
	struct fence_recon_socket r = { .session = p->session,
					.tgid = tgid,
					.tool = p->tool,
					.unseen = !untagged,
					.untagged = untagged };

	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
}

/* A socket that was there before the agent. One that a session has already stays as it is. */
static __always_inline void meet(struct sock *sk, struct fence_sock *st, const struct fence_proc *p,
				 __u32 tgid)
{
	struct fence_facts f = { .at = FENCE_AT_NONE, .proto = FENCE_IPPROTO_TCP };
	struct told t = {};

	st->exec = p->exec;
	st->start = p->start;
	st->tgid = tgid;
	st->uid = NO_UID;
	st->rule = NO_RULE;
	st->proto = (__u8)sk->sk_protocol;
	st->family = (__u8)sk->__sk_common.skc_family;
	if (st->session)
		return;
	st->flags = FENCE_SK_EXISTING;
	if (st->proto != FENCE_IPPROTO_TCP)
		return;
	st->phase = FENCE_PH_OPEN;
	if (!sk->__sk_common.skc_dport)
		return;
	st->opened = bpf_ktime_get_boot_ns();
	st->port = bpf_ntohs(sk->__sk_common.skc_dport);
	other_side(sk, st->addr);
	st->flags |= FENCE_SK_FLOW;
	t.cookie = bpf_get_socket_cookie(sk);
	t.v = fence_decide(&f);
	flow_emit(st, &f, &t);
}

/* A socket in the hands of a process that is known. */
static __always_inline void on_socket(struct bpf_iter__task_file *ctx, struct sock *sk,
				      const struct fence_proc *p, __u32 tgid)
{
	struct fence_seized own = { .session = p->session, .tgid = tgid, .tool = p->tool };
	struct fence_seized *was = is_seizing() ? seized_find((__u64)sk) : 0;
	struct fence_sock *st;

	st = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st) {
		count(FENCE_C_SOCK_FULL);
		if (p->session)
			tell_unseen(ctx, p, tgid, 1);
		return;
	}
	if (!st->exec)
		meet(sk, st, p, tgid);
	if (was)
		own = *was;
	if (!session_confined(st->session) && own.session && st->session != own.session)
		socket_confine(st, own.session, own.tool);
	else if (!was)
		return;
	if (was)
		seized_forget((__u64)sk);
	tell(ctx, sk, &own);
}

/*
 * Of the first process of `crmfence exec` the three descriptors count that it keeps. The others it
 * closes when it has its answer; they are open in who started it too, whom nobody confines.
 */
static __always_inline int is_passing(struct bpf_iter__task_file *ctx, const struct fence_proc *p,
				      __u32 tgid)
{
	__u64 id = p->session;
	struct fence_session *s = id && ctx->fd > 2 ? bpf_map_lookup_elem(&sessions, &id) : 0;

	return s && s->match == FENCE_MATCH_EXEC && s->tgid == tgid;
}

SEC("iter/task_file")
int recon_socket(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct fence_proc *p;
	enum carried what;
	__u32 tgid;

	if (!task || !file)
		return 0;
	what = file_carries(file);
	if (what == CARRIES_NOTHING)
		return 0;
	tgid = task->tgid;
	p = bpf_map_lookup_elem(&procs, &tgid);
	if (!p || is_passing(ctx, p, tgid))
		return 0;
	if (what == CARRIES_UNSEEN) {
		if (p->session)
			tell_unseen(ctx, p, tgid, 0);
		return 0;
	}
	socket = bpf_sock_from_file(file);
	if (socket && socket->sk)
		on_socket(ctx, socket->sk, p, tgid);
	return 0;
}
