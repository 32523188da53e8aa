// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor: the same hooks as crmfence's with one lookup each and two records a connection.
 * Nothing less could do the job.
 */
#include "../../bpf/lib/maps.h"

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} floor_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} floor_socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FENCE_RING_SIZE);
} floor_ring SEC(".maps");

static __always_inline int look(void)
{
	__u32 k = (__u32)(bpf_get_current_pid_tgid() >> 32);

	return bpf_map_lookup_elem(&floor_hash, &k) != 0;
}

static __always_inline void record(void)
{
	__u64 *r = bpf_ringbuf_reserve(&floor_ring, 64, 0);

	if (!r)
		return;
	r[0] = bpf_ktime_get_boot_ns();
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

SEC("cgroup/sock_create")
int floor_create(struct bpf_sock *ctx)
{
	look();
	return 1;
}

SEC("cgroup/connect4")
int floor_connect4(struct bpf_sock_addr *ctx)
{
	look();
	if (ctx->sk)
		bpf_sk_storage_get(&floor_socks, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (ctx->protocol == FENCE_IPPROTO_TCP)
		record();
	return 1;
}

SEC("cgroup/sendmsg4")
int floor_sendmsg4(struct bpf_sock_addr *ctx)
{
	look();
	return 1;
}

SEC("cgroup/setsockopt")
int floor_setsockopt(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > 4096)
		ctx->optlen = 0;
	return 1;
}

SEC("cgroup_skb/egress")
int floor_egress(struct __sk_buff *skb)
{
	if (skb->sk)
		bpf_sk_storage_get(&floor_socks, skb->sk, 0, 0);
	return 1;
}

SEC("cgroup_skb/ingress")
int floor_ingress(struct __sk_buff *skb)
{
	return 1;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(floor_state, const struct sock *sk, int oldstate, int newstate)
{
	if (newstate == 7 && bpf_sk_storage_get(&floor_socks, (void *)sk, 0, 0))
		record();
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(floor_fork, struct task_struct *parent, struct task_struct *child)
{
	look();
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(floor_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	look();
	record();
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(floor_exit, struct task_struct *task)
{
	look();
	return 0;
}
