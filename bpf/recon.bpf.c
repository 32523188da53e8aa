// SPDX-License-Identifier: GPL-2.0-only
/*
 * What was there before the agent.
 *
 * iter/task      -> every process gets its entry in procs, unless fork or exec made one meanwhile;
 * one line a process for the agent. iter/task_file -> every inet socket is tagged with its process;
 * those of a session are checked from their next packet on.
 */
#include "lib/fence.h"

char _license[] SEC("license") = "GPL";

struct seq_file;

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
	__u32 tgid;

	if (!task || task->pid != task->tgid)
		return 0;
	tgid = task->tgid;
	p.start = task->start_boottime;
	p.exec = p.start + tgid; /* the first processes of a boot share their time */
	p.parent = BPF_CORE_READ(task, real_parent, tgid);
	bpf_map_update_elem(&procs, &tgid, &p, BPF_NOEXIST);
	r.exec = p.exec;
	r.parent_exec = BPF_CORE_READ(task, real_parent, group_leader, start_boottime) + p.parent;
	r.start = p.start;
	r.tgid = tgid;
	r.parent = p.parent;
	r.kernel = !BPF_CORE_READ(task, mm);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

SEC("iter/task_file")
int recon_socket(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct fence_proc *p;
	struct fence_sock *st;
	struct sock *sk;
	__u16 family;
	__u32 tgid;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (family != AF_INET && family != AF_INET6)
		return 0;
	tgid = task->tgid;
	p = bpf_map_lookup_elem(&procs, &tgid);
	if (!p)
		return 0;
	st = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st || st->exec) {
		if (st && p->session && !st->session) {
			st->session = p->session;
			st->tool = p->tool;
			st->phase = FENCE_PH_NEW;
		}
		return 0;
	}
	st->exec = p->exec;
	st->start = p->start;
	st->session = p->session;
	st->tool = p->tool;
	st->tgid = tgid;
	st->uid = NO_UID;
	st->rule = NO_RULE;
	st->proto = (__u8)sk->sk_protocol;
	st->family = (__u8)family;
	st->flags = FENCE_SK_EXISTING;
	st->phase = st->session || st->proto != FENCE_IPPROTO_TCP ? FENCE_PH_NEW : FENCE_PH_OPEN;
	if (st->proto == FENCE_IPPROTO_TCP && sk->__sk_common.skc_dport) {
		st->opened = bpf_ktime_get_boot_ns();
		st->port = bpf_ntohs(sk->__sk_common.skc_dport);
		if (family == AF_INET)
			addr_from4(st->addr, sk->__sk_common.skc_daddr);
		else
			BPF_CORE_READ_INTO(&st->addr, sk, __sk_common.skc_v6_daddr);
		st->flags |= FENCE_SK_FLOW;
		{
			struct fence_facts f = { .at = FENCE_AT_NONE, .proto = FENCE_IPPROTO_TCP };
			struct told t = { .cookie = bpf_get_socket_cookie(sk),
					  .v = fence_decide(&f) };

			flow_emit(st, &f, &t);
		}
	}
	return 0;
}
