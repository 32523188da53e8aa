/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 5. Sockets that a tool has in its hands at the exec that makes it a session.
 *
 * They are the session's before its first instruction, by their address in the kernel (`seized`):
 * proc_exec has no other handle on them, for socket storage wants a pointer that the verifier
 * trusts. Whoever meets such a socket next writes the session into its storage, and the agent's
 * iterator does so for all of them at once. Nothing is stopped meanwhile, so that there is nothing
 * which the tool's own user could undo.
 *
 * An address is used again. An entry goes before that: when nobody has the socket open and it can
 * send nothing more, at the latest when another socket begins there.
 */
#ifndef FENCE_BPF_SEIZE_H
#define FENCE_BPF_SEIZE_H

#include "deny.h"

#define TCP_CLOSE 7
#define TCP_LISTEN 10

static __always_inline __u64 *seizing_count(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&seizing, &zero);
}

static __always_inline int is_seizing(void)
{
	__u64 *n = seizing_count();

	return n && *n;
}

static __always_inline struct fence_seized *seized_find(__u64 sk)
{
	return bpf_map_lookup_elem(&seized, &sk);
}

/* Counted first: whoever sees the entry looks for it. 0, also when it is a session's already. */
static __always_inline int seized_add(__u64 sk, const struct fence_seized *s)
{
	__u64 *n = seizing_count();

	if (!n)
		return -1;
	__sync_fetch_and_add(n, 1);
	if (!bpf_map_update_elem(&seized, &sk, s, BPF_NOEXIST))
		return 0;
	__sync_fetch_and_add(n, -1);
	return seized_find(sk) ? 0 : -1;
}

static __always_inline void seized_forget(__u64 sk)
{
	__u64 *n = seizing_count();

	if (n && !bpf_map_delete_elem(&seized, &sk))
		__sync_fetch_and_add(n, -1);
}

/*
 * An open socket becomes a session's: nothing that let its stream go on before counts any more, and
 * of a stream that has said something the next is not its beginning. The session comes last: from
 * then on packets are judged, perhaps at this moment on another CPU.
 */
static __always_inline void socket_confine(struct fence_sock *st, __u64 session, __u8 tool)
{
	st->generation = NO_GENERATION;
	if (st->phase == FENCE_PH_OPEN)
		st->flags &= ~FENCE_SK_SEQ;
	st->phase = FENCE_PH_NEW;
	st->listed = 0;
	st->tool = tool;
	__sync_lock_test_and_set(&st->session, session);
}

/* A session's id is the exec of its first process, whose socket it was. */
static __always_inline void seized_owner(struct fence_sock *st, const struct fence_seized *s)
{
	st->exec = s->session;
	st->start = s->start;
	st->tgid = s->tgid;
	st->uid = NO_UID;
	st->rule = NO_RULE;
	st->proto = s->proto;
	st->family = s->family;
}

/*
 * Was this socket seized, and its storage, `*st`, does not say so yet? Then it does from now on: 1.
 * 0: there is nothing to do. Negative: there is no room for storage, and whatever is asked of the
 * socket is to be refused (0 where the policy only watches).
 */
static __always_inline int seized_socket(void *sk, struct fence_sock **st)
{
	struct fence_seized *s;

	if (!is_seizing() || (*st && session_confined((*st)->session)))
		return 0;
	s = seized_find((__u64)sk);
	if (!s)
		return 0;
	if (!*st)
		*st = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!*st) {
		count(FENCE_C_SOCK_FULL);
		return monitors() ? 0 : -1;
	}
	if (!(*st)->exec)
		seized_owner(*st, s);
	socket_confine(*st, s->session, s->tool);
	return 1;
}

/* What leaves a socket that was seized, and has no room for storage, does not: told. */
static __always_inline void seized_refuse(struct __sk_buff *skb, const struct fence_seized *s)
{
	struct fence_facts f = { .at = FENCE_AT_PACKET, .proto = s->proto };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	struct fence_scratch *room = scratch_take(); /* this is deep in calls */
	struct fence_sock *st;

	facts_begin(&f);
	f.flags |= FENCE_F_OVERFLOW;
	t.v = judge(&f);
	if (!room)
		return;
	st = (void *)room->room;
	__builtin_memset(st, 0, sizeof(*st));
	seized_owner(st, s);
	st->session = s->session;
	st->tool = s->tool;
	deny_emit(st, &f, 0, &t);
	scratch_give(room);
}

/* As seized_socket(), of the socket of a packet that leaves. Negative: it does not. */
__weak __noinline int seized_packet(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct fence_seized *s;
	struct fence_sock *st;
	int found;

	if (!sk)
		return 0;
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
	found = seized_socket(sk, &st);
	s = found < 0 ? seized_find((__u64)sk) : 0;
	if (s)
		seized_refuse(skb, s);
	return found;
}

#endif
