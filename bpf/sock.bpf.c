// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets: what a process may make of one. Every refusal here is an EPERM inside the call.
 *
 * cgroup/sock_create -> a session makes TCP and UDP sockets only; its sockets are tagged for ever.
 * cgroup/connect4,6  -> the address must be one that the policy gave; a TCP flow begins.
 * cgroup/sendmsg4,6  -> the same for a datagram with an address.
 * cgroup/bind4,6     -> sessions do not listen.
 * cgroup/setsockopt  -> nothing that changes routes, opens layer 2 or hands the stream to another
 * protocol. cgroup/sock_release-> a datagram flow ends.
 * The first and the last also say when a seized socket's address is another's (lib/seize.h).
 *
 * The subject is the task (procs), or the socket's owner (socks) when a session's socket is in
 * other hands: either confines.
 */
#include "lib/seize.h"
#include "lib/subject.h"

char _license[] SEC("license") = "GPL";

#define SOCK_STREAM 1
#define SOCK_DGRAM 2

SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *sk)
{
	struct subject s;
	struct fence_sock *st;
	__u8 form;

	if (is_seizing())
		seized_forget((__u64)sk);
	subject_get(&s);
	if (!subject_confined(&s, 0))
		return 1;
	form = (sk->type == SOCK_STREAM && sk->protocol == FENCE_IPPROTO_TCP) ||
			       (sk->type == SOCK_DGRAM && sk->protocol == FENCE_IPPROTO_UDP)
		       ? FENCE_FORM_OK
		       : FENCE_FORM_BAD;
	if (form != FENCE_FORM_OK || s.overflow || agent_silent())
		return refuse(0, 0, &s, FENCE_AT_CREATE, form, (__u8)sk->protocol, (__u8)sk->family,
			      (__u16)(sk->type << 8 | (sk->protocol & 255)), 0);
	st = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st) {
		count(FENCE_C_SOCK_FULL);
		return 0;
	}
	owner_set(st, &s);
	st->proto = (__u8)sk->protocol;
	st->family = (__u8)sk->family;
	st->rule = NO_RULE;
	return 1;
}

/* A session's next datagram to where its last one went, by an address of the policy's own. */
static __always_inline int datagram_listed(const struct fence_sock *st, const struct subject *s,
					   const __u8 *addr, __u16 port)
{
	return st->listed && !s->overflow && s->proc && s->proc->exec == st->exec &&
	       st->listed == listed_word(addr, port, generation()) && !agent_silent();
}

/* A destination: connect, or a datagram's address. `addr` is on the caller's stack. */
static __always_inline int destination(struct bpf_sock_addr *ctx, const __u8 *addr, __u8 at)
{
	struct fence_facts f = { .at = at, .proto = (__u8)ctx->protocol };
	__u16 port = bpf_ntohs((__u16)ctx->user_port);
	struct bpf_sock *sk = ctx->sk;
	struct fence_sock *st;
	struct told t = {};
	struct subject s;
	__u32 now = generation(); /* before the decision: what it takes of a newer one is judged
				     again */
	int confined;

	if (!sk)
		return 1;
	subject_get(&s);
	st = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (seized_socket(sk, &st) < 0)
		return 0;
	if (!st) {
		count(FENCE_C_SOCK_FULL);
		return !subject_confined(&s, 0);
	}
	confined = subject_confined(&s, st);
	if (at == FENCE_AT_SENDMSG && (confined ? datagram_listed(st, &s, addr, port) : !!st->exec))
		return 1; /* a known socket's next datagram: egress counts it */
	t.cookie = bpf_get_socket_cookie(ctx);
	owner_set(st, &s);
	st->proto = f.proto;
	st->family = (__u8)ctx->family;
	st->rule = NO_RULE;
	st->kind = FENCE_ADDR_UNKNOWN;
	if (confined) {
		facts_begin(&f);
		if (s.overflow)
			f.flags |= FENCE_F_OVERFLOW;
		st->rule = facts_addr(&f, st->tool, (const struct octets16 *)addr, port);
		st->kind = f.addr;
	}
	t.v = judge(&f);
	if (f.proto == FENCE_IPPROTO_TCP) {
		__builtin_memcpy(st->addr, addr, 16);
		st->port = port;
	}
	if (f.proto == FENCE_IPPROTO_TCP || t.v.action != FENCE_ALLOW)
		t.netns = bpf_get_netns_cookie(ctx);
	if (t.v.action != FENCE_ALLOW) {
		told_to(&t, addr, port);
		deny_emit(st, &f, 0, &t);
		st->flags |= FENCE_SK_TOLD;
		if (!pass(t.v))
			return 0;
	}
	if (f.proto != FENCE_IPPROTO_TCP)
		return 1; /* a datagram flow begins with its first datagram, at egress */
	st->opened = bpf_ktime_get_boot_ns();
	st->flags = (st->flags & (FENCE_SK_TOLD | FENCE_SK_SEQ)) | FENCE_SK_FLOW;
	if (f.flags & FENCE_F_PLAIN_OK)
		st->flags |= FENCE_SK_PLAIN;
	if (t.v.action == FENCE_ALLOW)
		st->flags &= ~FENCE_SK_TOLD;
	st->name = 0;
	st->generation = confined ? now : NO_GENERATION;
	st->phase = t.v.reason == FENCE_R_ADDR_OK || t.v.reason == FENCE_R_LOCAL_OK ? FENCE_PH_OPEN
										    : FENCE_PH_WALK;
	flow_emit(st, &f, &t);
	return 1;
}

static __always_inline int destination4(struct bpf_sock_addr *ctx, __u8 at)
{
	__u8 addr[16] __attribute__((aligned(8)));

	addr_from4(addr, ctx->user_ip4);
	return destination(ctx, addr, at);
}

static __always_inline int destination6(struct bpf_sock_addr *ctx, __u8 at)
{
	__u32 addr[4] __attribute__((aligned(8)));

	addr[0] = ctx->user_ip6[0];
	addr[1] = ctx->user_ip6[1];
	addr[2] = ctx->user_ip6[2];
	addr[3] = ctx->user_ip6[3];
	return destination(ctx, (__u8 *)addr, at);
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr *ctx)
{
	return destination4(ctx, FENCE_AT_CONNECT);
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *ctx)
{
	return destination6(ctx, FENCE_AT_CONNECT);
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *ctx)
{
	return destination4(ctx, FENCE_AT_SENDMSG);
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *ctx)
{
	return destination6(ctx, FENCE_AT_SENDMSG);
}

static __always_inline int bind_any(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct fence_sock *st;
	struct subject s;

	if (!ctx->user_port || !sk)
		return 1;
	subject_get(&s);
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
	if (seized_socket(sk, &st) >= 0 && !subject_confined(&s, st))
		return 1;
	return refuse(bpf_get_socket_cookie(ctx), st, &s, FENCE_AT_BIND, FENCE_FORM_OK,
		      (__u8)ctx->protocol, (__u8)ctx->family, bpf_ntohs((__u16)ctx->user_port), 0);
}

SEC("cgroup/bind4")
int sock_bind4(struct bpf_sock_addr *ctx)
{
	return bind_any(ctx);
}

SEC("cgroup/bind6")
int sock_bind6(struct bpf_sock_addr *ctx)
{
	return bind_any(ctx);
}

/* Options by include/uapi/linux/{in,in6,tcp}.h; the 2292 forms are RFC 2292's. */
static __always_inline int option_refused(int level, int name)
{
	switch (level) {
	case 1: /* SOL_SOCKET: ZEROCOPY, see wire_shared() */
		return name == 60;
	case 0: /* IPPROTO_IP: HDRINCL, OPTIONS, FREEBIND, TRANSPARENT */
		return name == 3 || name == 4 || name == 15 || name == 19;
	case 6: /* IPPROTO_TCP: REPAIR, ULP */
		return name == 19 || name == 31;
	case 41: /* IPPROTO_IPV6: 2292PKTINFO..2292PKTOPTIONS, HDRINCL, HOPOPTS, RTHDRDSTOPTS,
		    RTHDR, DSTOPTS, TRANSPARENT, FREEBIND */
		return (name >= 2 && name <= 6) || name == 36 || name == 54 || name == 55 ||
		       name == 57 || name == 59 || name == 75 || name == 78;
	case 132: /* SOL_SCTP */
	case 263: /* SOL_PACKET */
	case 283: /* SOL_XDP */
		return 1;
	default:
		return 0;
	}
}

SEC("cgroup/setsockopt")
int sock_setsockopt(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct fence_sock *st;
	struct subject s;
	int pass = 1;

	if (option_refused(ctx->level, ctx->optname)) {
		subject_get(&s);
		st = sk ? bpf_sk_storage_get(&socks, sk, 0, 0) : 0;
		if ((sk && seized_socket(sk, &st) < 0) || subject_confined(&s, st))
			pass = refuse(0, st, &s, FENCE_AT_SOCKOPT, FENCE_FORM_OK, 0, 0,
				      (__u16)ctx->optname, (__u16)ctx->level);
	}
	/*
	 * A value over a page reaches the kernel only if the program says that it has not touched
	 * it.
	 */
	if (ctx->optlen > 4096)
		ctx->optlen = 0;
	return pass;
}

/* Nobody has it open any more. What TCP has still to send leaves later. */
static __always_inline void seized_release(struct bpf_sock *sk)
{
	struct fence_seized *s = seized_find((__u64)sk);

	if (!s)
		return;
	if (s->proto == FENCE_IPPROTO_TCP && sk->state != TCP_CLOSE)
		s->released = 1;
	else
		seized_forget((__u64)sk);
}

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *sk)
{
	struct fence_rec_close *r;
	struct fence_sock *st;

	if (is_seizing())
		seized_release(sk);
	if (sk->protocol != FENCE_IPPROTO_UDP)
		return 1;
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
	if (!st || !(st->flags & FENCE_SK_FLOW))
		return 1;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		rec_lost(FENCE_K_CLOSE);
		return 1;
	}
	rec_init(&r->h, FENCE_K_CLOSE, sizeof(*r), 0);
	r->cookie = bpf_get_socket_cookie(sk);
	r->opened = st->opened;
	r->tx = st->tx;
	r->rx = st->rx;
	r->proto = FENCE_IPPROTO_UDP;
	r->shared = !!(st->flags & FENCE_SK_SHARED);
	r->why = 0;
	__builtin_memset(r->spare, 0, sizeof(r->spare));
	bpf_ringbuf_submit(r, ring_flags(0));
	return 1;
}
