// SPDX-License-Identifier: GPL-2.0-only
/*
 * tp_btf/inet_sock_set_state -> a TCP flow ends: its octets, as the kernel itself counted them.
 * A seized socket that nobody has open is forgotten with it. Other changes return at once.
 */
#include "lib/seize.h"

char _license[] SEC("license") = "GPL";

#define TCP_SYN_RECV 3

/*
 * Closed, and nobody's to open again: its address is free soon. A child that a listener has just
 * made is another socket than the one which had its address before.
 */
static __always_inline void seized_close(const struct sock *sk, int oldstate, int newstate)
{
	struct fence_seized *s = seized_find((__u64)sk);

	if (s && ((newstate == TCP_SYN_RECV && oldstate == TCP_LISTEN) ||
		  (newstate == TCP_CLOSE && (s->released || !BPF_CORE_READ(sk, sk_socket)))))
		seized_forget((__u64)sk);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(close_state, const struct sock *sk, int oldstate, int newstate)
{
	struct fence_rec_close *r;
	struct tcp_sock *tp;
	struct fence_sock *st;

	if (is_seizing())
		seized_close(sk, oldstate, newstate);
	if (newstate != TCP_CLOSE)
		return 0;
	st = bpf_sk_storage_get(&socks, (void *)sk, 0, 0);
	if (!st || !(st->flags & FENCE_SK_FLOW))
		return 0;
	st->flags &= ~FENCE_SK_FLOW;
	tp = (void *)sk;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		rec_lost(FENCE_K_CLOSE);
		return 0;
	}
	rec_init(&r->h, FENCE_K_CLOSE, sizeof(*r), 0);
	r->cookie = bpf_get_socket_cookie((void *)sk);
	r->opened = st->opened;
	r->tx = BPF_CORE_READ(tp, bytes_sent) - BPF_CORE_READ(tp, bytes_retrans);
	r->rx = BPF_CORE_READ(tp, bytes_received);
	r->proto = FENCE_IPPROTO_TCP;
	r->shared = 0;
	r->why = st->phase >= FENCE_PH_DENIED ? st->why : 0;
	__builtin_memset(r->spare, 0, sizeof(r->spare));
	bpf_ringbuf_submit(r, ring_flags(0));
	return 0;
}
