// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets: what leaves a socket.
 *
 * cgroup_skb/egress -> by socket, never by current: the address on the wire, the DNS question, the
 * first bytes of a stream.
 *
 * A packet of a socket that is not a session's costs one storage lookup. Only the first packets of
 * a TCP stream are read, for their server name; datagrams are counted.
 */
#include <crmfence/sight.h>

#include "lib/seize.h"
#include "lib/stream.h"

char _license[] SEC("license") = "GPL";

/* ---- datagrams ---- */

/* Count a datagram; the first to an address begins a flow. */
static __always_inline void datagram_count(struct __sk_buff *skb, struct fence_sock *st,
					   const struct wire *w, const struct fence_facts *f,
					   struct fence_verdict v)
{
	struct fence_peer_key k = { .port = w->port };
	struct told t = { .v = v };
	__u8 one = 1;

	st->tx += w->len;
	if (st->flags & FENCE_SK_FLOW && st->port == w->port && addr_equal(st->addr, w->addr))
		return;
	k.cookie = bpf_get_socket_cookie(skb);
	__builtin_memcpy(k.addr, w->addr, 16);
	__builtin_memcpy(st->addr, w->addr, 16);
	st->port = w->port;
	if (st->flags & FENCE_SK_FLOW) {
		st->flags |= FENCE_SK_SHARED;
		if (bpf_map_update_elem(&peers, &k, &one, BPF_NOEXIST))
			return;
	} else {
		st->opened = bpf_ktime_get_boot_ns();
		st->flags |= FENCE_SK_FLOW;
	}
	t.cookie = k.cookie;
	flow_emit(st, f, &t);
}

/* A session's question in a datagram. 1: pass. */
static __always_inline int question_enforce(struct __sk_buff *skb, struct fence_sock *st,
					    const struct wire *w)
{
	struct fence_facts f = {};
	struct fence_verdict v = verdict_of(question_judge(skb, st, w, &f));

	if (v.action == FENCE_ALLOW)
		datagram_count(skb, st, w, &f, v);
	return v.action != FENCE_DENY;
}

/* ---- egress ---- */

/*
 * What a packet's denial leaves behind: the destination is refused to this socket for good, until
 * it connects again. Not where the next packet may be another matter: no room, or no agent.
 */
static __always_inline void packet_refused(struct fence_sock *st, struct fence_verdict v)
{
	if (v.reason == FENCE_R_SILENT || v.reason == FENCE_R_OVERFLOW)
		return;
	st->phase = FENCE_PH_REFUSED;
	st->why = v.reason;
}

/* A session's packet that is not a stream's payload: by the address on the wire. 1: pass. */
static __always_inline int packet_enforce(struct __sk_buff *skb, struct fence_sock *st,
					  const struct wire *w, int known)
{
	struct fence_facts f = { .at = FENCE_AT_PACKET, .proto = w->proto };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	__u32 now = generation();

	facts_begin(&f);
	f.addr = FENCE_ADDR_UNKNOWN;
	st->rule = NO_RULE;
	if (known && !w->odd)
		facts_packet(skb, &f, st, w->addr, w->port);
	if (f.addr == FENCE_ADDR_RESOLVER && w->proto == FENCE_IPPROTO_TCP &&
	    w->ttl < FENCE_DNS_HOPS_MIN)
		f.form = FENCE_FORM_BAD;
	t.v = judge(&f);
	if (t.v.action != FENCE_ALLOW && !stream_watched(st)) {
		if (known)
			told_to(&t, w->addr, w->port);
		if (deny_emit(st, &f, 0, &t))
			st->flags |= FENCE_SK_UNTOLD;
	}
	if (t.v.action == FENCE_DENY) {
		if (known && w->proto != FENCE_IPPROTO_UDP)
			packet_refused(st, t.v);
		return 0;
	}
	st->kind = f.addr;
	if (w->proto == FENCE_IPPROTO_UDP) {
		if (f.addr == FENCE_ADDR_RESOLVER)
			return question_enforce(skb, st, w);
		datagram_count(skb, st, w, &f, t.v);
		if (t.v.action == FENCE_ALLOW && f.addr == FENCE_ADDR_LISTED)
			st->listed = listed_word(w->addr, w->port, now);
		return 1;
	}
	if (t.v.action != FENCE_ALLOW)
		st->flags |= FENCE_SK_TOLD;
	__builtin_memcpy(st->addr, w->addr, 16);
	st->port = w->port;
	st->phase = t.v.reason == FENCE_R_PENDING ? FENCE_PH_WALK : FENCE_PH_OPEN;
	st->generation = now;
	st->name = 0;
	st->flags &= ~(FENCE_SK_VIA_PROXY | FENCE_SK_PLAIN);
	if (f.flags & FENCE_F_PLAIN_OK)
		st->flags |= FENCE_SK_PLAIN;
	return 1;
}

/* The next datagram to where the last one was let pass, and its flow is known. */
static __always_inline int datagram_again(struct __sk_buff *skb, const struct fence_sock *st,
					  const struct wire *w)
{
	return st->listed && st->flags & FENCE_SK_FLOW && skb->ifindex != LOOPBACK_IFINDEX &&
	       st->port == w->port && addr_equal(st->addr, w->addr) &&
	       st->listed == listed_word(w->addr, w->port, generation()) && !agent_silent();
}

/*
 * A connection begins, again on a socket that was disconnected: what was walked before is another
 * stream's.
 */
static __always_inline void stream_begin(struct bpf_sock *sk, struct fence_sock *st,
					 const struct wire *w)
{
	if (st->flags & FENCE_SK_SEQ && st->first == w->seq)
		return; /* sent again: of what it carried (Fast Open) some may have arrived */
	st->first = w->seq;
	st->next_seq = w->seq + 1;
	st->flags |= FENCE_SK_SEQ;
	bpf_sk_storage_delete(&walks, sk);
	bpf_sk_storage_delete(&frames, sk);
}

/* An open stream while no agent is there: held back, not broken. 1: pass. */
__weak __noinline int packet_silent(struct __sk_buff *skb, struct fence_sock *st)
{
	struct fence_facts f = { .at = FENCE_AT_PACKET };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };

	if (!st)
		return 0;
	f.proto = st->proto;
	f.addr = st->kind;
	facts_begin(&f);
	t.v = judge(&f);
	if (t.v.action != FENCE_ALLOW)
		deny_emit(st, &f, 0, &t);
	return t.v.action != FENCE_DENY;
}

/*
 * Is this, or does the thread that sends hold, what was refused before it was encrypted? Outside
 * its own calls `current` is somebody else; only his own session's sockets can be taken for his.
 */
__weak __noinline int stream_held(struct __sk_buff *skb, struct fence_sock *st)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	__u64 id = (__u64)task->tgid << 32 | (__u32)task->pid;
	__u64 socket = t.cookie | FENCE_HOLD_SOCKET;
	struct fence_hold *hold = bpf_map_lookup_elem(&holds, &id);
	struct fence_facts f;

	if (!st)
		return 1;
	if (!hold)
		hold = bpf_map_lookup_elem(&holds, &socket);
	if (!hold || hold->session != st->session ||
	    is_past(bpf_ktime_get_boot_ns(), hold->time, FENCE_HOLD_NS))
		return 0;
	f = hold->facts;
	f.addr = st->kind;
	t.v = judge(&f);
	if (t.v.action != FENCE_DENY)
		return 0;
	st->rule = hold->rule;
	stream_deny(st, t.v);
	if (deny_emit(st, &f, &hold->name, &t))
		st->flags |= FENCE_SK_UNTOLD;
	return 1;
}

static __always_inline int egress_enforce(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st)
{
	struct bpf_sock *full = bpf_sk_fullsock(sk);
	struct wire w = {};
	int r = wire_read(skb, &w, 1);

	if (full &&
	    full->type == SOCK_RAW) /* made before: its headers are the session's to write */
		w.odd = 1;
	if (st->phase == FENCE_PH_REFUSED && w.proto != FENCE_IPPROTO_UDP) {
		if (!monitors()) {
			stream_refused(skb, st);
			return 0;
		}
		st->phase = FENCE_PH_NEW;
	}
	if (r || w.odd)
		return packet_enforce(skb, st, &w, !r);
	if (w.proto == FENCE_IPPROTO_UDP) {
		if (!datagram_again(skb, st, &w))
			return packet_enforce(skb, st, &w, 1);
		st->tx += w.len;
		return 1;
	}
	if ((st->phase == FENCE_PH_NEW || (w.tcp_flags & TCP_SYN && w.ttl < FENCE_DNS_HOPS_MIN) ||
	     w.port != st->port || !addr_equal(w.addr, st->addr) ||
	     (skb->ifindex == LOOPBACK_IFINDEX && st->kind > FENCE_ADDR_PROXY)) &&
	    !packet_enforce(skb, st, &w, 1))
		return 0;
	if (w.tcp_flags & TCP_SYN)
		stream_begin(sk, st, &w);
	if (!w.len) /* nothing of the session's in it; to an address that was allowed */
		return 1;
	if (agent_silent())
		return packet_silent(skb, st);
	if (st->phase == FENCE_PH_DENIED) {
		stream_refused(skb, st);
		return 0;
	}
	if (st->generation != generation() && !stream_watched(st) && !stream_again(skb, st))
		return 0;
	if ((st->phase == FENCE_PH_OPEN || st->name) && config_sees() && stream_held(skb, st))
		return 0;
	if (st->phase == FENCE_PH_OPEN)
		return 1;
	if (st->kind == FENCE_ADDR_RESOLVER)
		return questions_enforce(skb, sk, st, &w);
	if (stream_watched(st))
		return stream_observe(skb, sk, st, &w);
	return stream_enforce(skb, sk, st, &w);
}

static __always_inline int egress_observe(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st)
{
	struct fence_facts f = { .at = FENCE_AT_PACKET };
	struct wire w = {};

	if (wire_read(skb, &w, 1))
		return 1;
	f.proto = w.proto;
	if (w.proto == FENCE_IPPROTO_UDP) {
		datagram_count(skb, st, &w, &f, fence_decide(&f));
		return 1;
	}
	if (w.tcp_flags & TCP_SYN)
		stream_begin(sk, st, &w);
	if (!w.len)
		return 1;
	return stream_observe(skb, sk, st, &w);
}

/*
 * A socket without an owner in a session's cgroup is the session's. Negative: and there is no room
 * to say so.
 */
static __always_inline int adopt(struct __sk_buff *skb, struct bpf_sock *sk,
				 struct fence_sock **out)
{
	struct fence_config *cfg = config_get();
	struct fence_session *session;
	struct fence_sock *st;
	__u64 cgroup, *id;

	if (!cfg || !(cfg->flags & FENCE_CFG_CGROUPS))
		return 0;
	cgroup = bpf_skb_cgroup_id(skb);
	id = bpf_map_lookup_elem(&cgroups, &cgroup);
	if (!id)
		return 0;
	st = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st) {
		count(FENCE_C_SOCK_FULL);
		return config_facts(cfg) & FENCE_F_MONITOR ? 0 : -1;
	}
	session = bpf_map_lookup_elem(&sessions, id);
	st->tool = session ? session->tool : 0;
	st->rule = NO_RULE;
	st->uid = NO_UID;
	__sync_lock_test_and_set(&st->session, *id);
	*out = st;
	return 0;
}

/* A session's packet. 1: pass. */
static __always_inline int egress_session(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st)
{
	if (session_confined(st->session))
		return egress_enforce(skb, sk, st);
	/* seen, not confined: but for what a listed extension is held to */
	if (config_sees() && st->phase == FENCE_PH_DENIED) {
		stream_refused(skb, st);
		return 0;
	}
	if (config_sees() && stream_held(skb, st))
		return 0;
	return egress_observe(skb, sk, st);
}

/*
 * Sight's, while it looks for a session's packets: what goes on with one that passes, and with one
 * that does not. Neither changes which it is. Not pinned: empty when the agent is gone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, FENCE_PACKET_ENDS);
	__type(key, __u32);
	__type(value, __u32);
} packet_after SEC(".maps");

SEC("cgroup_skb/egress")
int packet_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct fence_sock *st;

	if (!sk)
		return 1;
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
	if (is_seizing() && (!st || !session_confined(st->session))) {
		if (seized_packet(skb) < 0)
			return 0;
		st = bpf_sk_storage_get(&socks, sk, 0, 0);
	}
	if (!st) {
		if (adopt(skb, sk, &st))
			return 0;
		if (!st)
			return 1;
	}
	if (!st->session) {
		if (st->phase == FENCE_PH_OPEN)
			return 1;
		return egress_observe(skb, sk, st);
	}
	if (egress_session(skb, sk, st)) {
		bpf_tail_call(skb, &packet_after, FENCE_PACKET_PASSED);
		return 1;
	}
	bpf_tail_call(skb, &packet_after, FENCE_PACKET_REFUSED);
	return 0;
}
