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

#include "lib/question.h"
#include "lib/seize.h"

char _license[] SEC("license") = "GPL";

#define TCP_SYN 0x02
#define TCP_URG 0x20
#define TLS_HANDSHAKE 22

/* ---- streams ---- */

struct walk_cursor {
	struct __sk_buff *skb;
	struct fence_walk *walk;
	__u32 off;
	__u32 end;
};

static long walk_step(__u32 i, void *ctx)
{
	struct walk_cursor *c = ctx;
	struct fence_walk *w = c->walk;
	__u32 n;
	__u8 octet;

	if (w->state != FENCE_WALK_MORE || c->off >= c->end)
		return 1;
	n = fence_walk_jump(w, c->end - c->off);
	if (n) {
		c->off += n;
		return 0;
	}
	if (bpf_skb_load_bytes(c->skb, c->off, &octet, 1)) {
		w->state = FENCE_WALK_BAD;
		return 1;
	}
	fence_walk_feed(w, octet);
	c->off++;
	return 0;
}

#define WALK_STEPS 8192 /* octets looked at in one packet; what is jumped over does not count */

/*
 * Octets of this packet that were read before: a retransmit's. Negative: what is new in it cannot
 * be read. A gap: what comes before it did not pass here. Urgent data (RFC 6093): the receiver may
 * leave it out of what it reads. Shared pages: it may read others.
 */
static __always_inline int stream_known(struct __sk_buff *skb, struct fence_sock *st,
					const struct wire *w)
{
	__u32 known;

	if (!(st->flags & FENCE_SK_SEQ)) {
		st->next_seq = w->seq;
		st->flags |= FENCE_SK_SEQ;
	}
	known = st->next_seq - w->seq - !!(w->tcp_flags & TCP_SYN);
	if (known > 0x7fffffff || w->tcp_flags & TCP_URG || (known < w->len && wire_shared(skb)))
		return -1;
	return (int)known;
}

/* Walk what is new of this packet. */
__weak __noinline int walk_packet(struct __sk_buff *skb, struct fence_walk *walk,
				  struct fence_sock *st, const struct wire *w)
{
	struct walk_cursor c = { .skb = skb, .walk = walk };
	int known;

	if (!walk || !st || !w)
		return -1;
	known = stream_known(skb, st, w);
	if (known < 0)
		walk->state = FENCE_WALK_BAD;
	if (known < 0 || (__u32)known >= w->len)
		return 0;
	c.off = w->off + known;
	c.end = w->off + w->len;
	fence_loop(WALK_STEPS, walk_step, &c);
	st->next_seq += c.off - (w->off + known);
	return 0;
}

static __always_inline __u8 walk_stream(const struct fence_walk *walk)
{
	if (walk->state == FENCE_WALK_OTHER)
		return FENCE_STREAM_OTHER;
	if (walk->proxy)
		return FENCE_STREAM_CONNECT;
	return walk->tls || walk->state == FENCE_WALK_BAD ? FENCE_STREAM_TLS : FENCE_STREAM_NONE;
}

/* What the walk's name is to the policy: FENCE_NAME_ALLOWED with its rule in `st`, or why not. */
static __always_inline __u8 stream_name(struct fence_facts *f, struct fence_sock *st,
					const struct fence_walk *walk, __u16 port)
{
	struct fence_rule r = {};
	int found = rule_find(st->tool, &walk->name, &r);

	if (found < 0)
		f->flags |= FENCE_F_OVERFLOW;
	if (found <= 0 || r.flags & FENCE_RULE_ASK || !rule_has_port(&r, port))
		return FENCE_NAME_REFUSED;
	st->rule = r.id;
	return FENCE_NAME_ALLOWED;
}

/* Turn what the walk found into facts. */
__weak __noinline int facts_stream(struct fence_facts *f, struct fence_sock *st,
				   struct fence_walk *walk)
{
	int proxied;
	__u16 port;

	if (!f || !st || !walk)
		return -1;
	proxied = !!(st->flags & FENCE_SK_VIA_PROXY);
	port = walk->proxy || proxied ? walk->port : st->port;
	f->flags = config_facts(
		config_get()); /* no agent_silent(): asked before, and held, not broken */
	f->addr = st->kind;
	f->stream = walk_stream(walk);
	if (st->flags & FENCE_SK_PLAIN)
		f->flags |= FENCE_F_PLAIN_OK;
	if (proxied)
		f->flags |= FENCE_F_VIA_PROXY;
	switch (walk->state) {
	case FENCE_WALK_MORE:
		f->name = FENCE_NAME_PENDING;
		return 0;
	case FENCE_WALK_ABSENT:
		f->name = FENCE_NAME_ABSENT;
		return 0;
	case FENCE_WALK_NAME:
	case FENCE_WALK_CONNECT:
		break;
	default:
		f->name = FENCE_NAME_MALFORMED;
		return 0;
	}
	f->name = stream_name(f, st, walk, port);
	if (f->name == FENCE_NAME_ALLOWED &&
	    (proxied ? st->name == walk->name.hash
		     : !!answer_find(st->tool, st->addr, port, walk->name.hash)))
		f->flags |= FENCE_F_NAME_AT;
	return 0;
}

/* A packet's verdict, told when it is not to allow. 1: pass. */
static __always_inline int refuse_packet(struct fence_sock *st, const struct fence_facts *f,
					 const struct fence_name *name, struct told *t)
{
	t->v = judge(f);
	if (t->v.action == FENCE_ALLOW)
		return 1;
	if (deny_emit(st, f, name, t))
		st->flags |= FENCE_SK_UNTOLD;
	return t->v.action == FENCE_WOULD_DENY;
}

/* What cannot be read cannot be proved. 1: pass. */
static __always_inline int refuse_unread(struct fence_sock *st, struct fence_facts *f, __u64 cookie)
{
	struct told t = { .cookie = cookie };

	f->flags |= FENCE_F_OVERFLOW;
	return refuse_packet(st, f, 0, &t);
}

static __always_inline void walk_end(struct bpf_sock *sk, struct fence_sock *st, __u8 phase)
{
	st->phase = phase;
	bpf_sk_storage_delete(&walks, sk);
}

/* The facts about a packet's address. An own address reaches this machine however it is written. */
static __always_inline void facts_packet(struct __sk_buff *skb, struct fence_facts *f,
					 struct fence_sock *st, const __u8 *addr, __u16 port)
{
	st->rule = facts_addr(f, st->tool, (const struct octets16 *)addr, port);
	if (skb->ifindex != LOOPBACK_IFINDEX || f->addr <= FENCE_ADDR_PROXY)
		return;
	f->addr = FENCE_ADDR_LOOPBACK;
	if (service_has(0, port, st->tool, FENCE_SVC_LOCAL))
		f->flags |= FENCE_F_PORT_OK;
}

/*
 * An open stream under a policy that came after it: once more by its address and the name that it
 * gave then. Behind a proxy nothing can be proved any more. 1: pass.
 */
static __always_inline int stream_again(struct __sk_buff *skb, struct fence_sock *st)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM,
				 .proto = FENCE_IPPROTO_TCP,
				 .name = FENCE_NAME_REFUSED };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	__u32 now = generation();

	f.flags = config_facts(config_get());
	facts_packet(skb, &f, st, st->addr, st->port);
	f.stream = st->name ? FENCE_STREAM_TLS : FENCE_STREAM_OTHER;
	if (st->name && answer_find(st->tool, st->addr, st->port, st->name)) {
		f.name = FENCE_NAME_ALLOWED;
		f.flags |= FENCE_F_NAME_AT;
	}
	st->kind = f.addr;
	if (!refuse_packet(st, &f, 0, &t)) {
		st->phase = FENCE_PH_DENIED;
		return 0;
	}
	st->generation = now;
	return 1;
}

/* Refused, and perhaps the agent could not be told: once more, now that the sender tries again. */
static __always_inline void stream_refused(struct __sk_buff *skb, struct fence_sock *st)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM, .proto = FENCE_IPPROTO_TCP };
	struct told t = { .cookie = bpf_get_socket_cookie(skb), .v = { .action = FENCE_DENY } };

	if (st->flags & FENCE_SK_UNTOLD && !deny_socket(st, &f, &t))
		st->flags &= ~FENCE_SK_UNTOLD;
}

/* The CONNECT was good: next comes the hello inside it, for the port that CONNECT named. */
static __always_inline void walk_inside(struct fence_sock *st, struct fence_walk *walk)
{
	__u16 port = walk->port;

	st->name = walk->name.hash;
	st->flags |= FENCE_SK_VIA_PROXY;
	fence_walk_init(walk, 0);
	walk->port = port;
}

/*
 * A session's questions over TCP: each behind its length (RFC 1035 4.2.2), whole in its segment,
 * and nothing else. The length may come in the segment before (RFC 7766 8 advises against it).
 * 1: pass.
 */
static __always_inline int questions_enforce(struct __sk_buff *skb, struct bpf_sock *sk,
					     struct fence_sock *st, const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_DNS,
				 .proto = FENCE_IPPROTO_TCP,
				 .addr = FENCE_ADDR_RESOLVER,
				 .form = FENCE_FORM_BAD };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	int known = stream_known(skb, st, w), i, r = known < 0 ? -1 : 1;
	struct wire m = *w; /* what is left of the packet */
	struct fence_frames *frame;

	frame = bpf_sk_storage_get(&frames, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!frame) {
		count(FENCE_C_SOCK_FULL);
		f.flags = config_facts(config_get());
		return refuse_unread(st, &f, t.cookie);
	}
	if (known >= 0 && (__u32)known >= w->len)
		return 1;
	m.off += known;
	m.len -= known;
	for (i = 0; i < FENCE_DNS_BATCH && r > 0 && m.len; i++)
		r = question_next(skb, st, frame, &m);
	if (r > 0 && !m.len) {
		st->next_seq += w->len - known;
		return 1;
	}
	f.flags = config_facts(config_get());
	if (r && refuse_packet(st, &f, 0, &t)) { /* not framed: monitor mode goes on unread */
		st->phase = FENCE_PH_OPEN;
		return 1;
	}
	st->phase = FENCE_PH_DENIED;
	return 0;
}

/* The first bytes of a session's stream. 1: pass. */
static __always_inline int stream_enforce(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st, const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM, .proto = FENCE_IPPROTO_TCP };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	__u32 now = generation(); /* before the decision: what it takes of a newer one is judged
				     again */
	struct fence_walk *walk;
	__u32 round;
	int pass;

	walk = bpf_sk_storage_get(&walks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!walk) {
		count(FENCE_C_SOCK_FULL);
		f.flags = config_facts(config_get());
		return refuse_unread(st, &f, t.cookie);
	}
	if (!walk->name.hash) /* new */
		fence_walk_init(walk, st->kind == FENCE_ADDR_PROXY);
	for (round = 0; round < 2;
	     round++) { /* the hello may be in the very packet of its CONNECT */
		walk_packet(skb, walk, st, w);
		facts_stream(&f, st, walk);
		t.v = judge(&f);
		if (t.v.reason != FENCE_R_PROXY_OK)
			break;
		t.detail = walk->port;
		name_emit(st, &f, &walk->name, &t);
		t.detail = 0;
		walk_inside(st, walk);
	}
	if (t.v.reason == FENCE_R_PENDING || t.v.reason == FENCE_R_PROXY_OK)
		return 1;
	pass = t.v.action != FENCE_DENY;
	if (t.v.action == FENCE_ALLOW) {
		name_emit(st, &f, &walk->name, &t);
		if (!(st->flags & FENCE_SK_VIA_PROXY))
			st->name = walk->state == FENCE_WALK_NAME ? walk->name.hash : 0;
	} else if (deny_emit(st, &f, &walk->name, &t)) {
		st->flags |= FENCE_SK_UNTOLD;
	}
	st->generation = now;
	walk_end(sk, st, pass ? FENCE_PH_OPEN : FENCE_PH_DENIED);
	return pass;
}

/* A stream that may go on when its session is confined, by the name that it gave before. */
static __always_inline void stream_foresee(struct fence_sock *st, const struct fence_walk *walk)
{
	struct fence_facts f = {};
	__u32 now = generation();

	if (stream_name(&f, st, walk, st->port) != FENCE_NAME_ALLOWED)
		return;
	st->kind = FENCE_ADDR_NAMED;
	st->name = walk->name.hash;
	st->generation = now;
}

/* The first bytes of anybody else's stream: for the server name, and never again. */
static __always_inline int stream_observe(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st, const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM,
				 .proto = FENCE_IPPROTO_TCP,
				 .stream = FENCE_STREAM_TLS };
	struct fence_walk *walk;
	struct told t = {};
	__u8 first;

	walk = bpf_sk_storage_get(&walks, sk, 0, 0);
	if (!walk) {
		/* most streams say with their first octet that they have no server name */
		if (!bpf_skb_load_bytes(skb, w->off, &first, 1) && first == TLS_HANDSHAKE)
			walk = bpf_sk_storage_get(&walks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!walk) {
			st->phase = FENCE_PH_OPEN;
			return 1;
		}
		fence_walk_init(walk, 0);
	}
	walk_packet(skb, walk, st, w);
	if (walk->state == FENCE_WALK_MORE)
		return 1;
	if (walk->state == FENCE_WALK_NAME) {
		t.cookie = bpf_get_socket_cookie(skb);
		t.v = fence_decide(&f);
		name_emit(st, &f, &walk->name, &t);
		if (session_cleared(st->session) == FENCE_UNTAINTED)
			stream_foresee(st, walk);
	}
	walk_end(sk, st, FENCE_PH_OPEN);
	return 1;
}

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
	st->kind = f.addr;
	t.v = judge(&f);
	if (t.v.action != FENCE_ALLOW && !(st->flags & FENCE_SK_TOLD)) {
		deny_to(st, w->addr, w->port, &f, 0, &t);
		if (w->proto == FENCE_IPPROTO_TCP) {
			__builtin_memcpy(st->addr, w->addr, 16);
			st->port = w->port;
			st->flags |= FENCE_SK_TOLD;
		}
	}
	if (t.v.action == FENCE_DENY)
		return 0;
	if (w->proto == FENCE_IPPROTO_UDP) {
		if (f.addr == FENCE_ADDR_RESOLVER)
			return question_enforce(skb, st, w);
		datagram_count(skb, st, w, &f, t.v);
		if (t.v.action == FENCE_ALLOW && f.addr == FENCE_ADDR_LISTED)
			st->listed = listed_word(w->addr, w->port, now);
		return 1;
	}
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
	st->next_seq = w->seq + 1;
	st->flags |= FENCE_SK_SEQ;
	bpf_sk_storage_delete(&walks, sk);
	bpf_sk_storage_delete(&frames, sk);
}

/* An open stream while no agent is there: held back, not broken. 1: pass. */
static __always_inline int packet_silent(struct __sk_buff *skb, struct fence_sock *st)
{
	struct fence_facts f = { .at = FENCE_AT_PACKET, .proto = st->proto, .addr = st->kind };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };

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
static __always_inline int stream_held(struct __sk_buff *skb, struct fence_sock *st)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	__u64 id = (__u64)task->tgid << 32 | (__u32)task->pid;
	__u64 socket = t.cookie | FENCE_HOLD_SOCKET;
	struct fence_hold *hold = bpf_map_lookup_elem(&holds, &id);
	struct fence_facts f;

	if (!hold)
		hold = bpf_map_lookup_elem(&holds, &socket);
	if (!hold || hold->session != st->session ||
	    bpf_ktime_get_boot_ns() - hold->time > FENCE_HOLD_NS)
		return 0;
	f = hold->facts;
	f.addr = st->kind;
	t.v = judge(&f);
	if (t.v.action != FENCE_DENY)
		return 0;
	st->rule = hold->rule;
	st->phase = FENCE_PH_DENIED;
	if (deny_emit(st, &f, &hold->name, &t))
		st->flags |= FENCE_SK_UNTOLD;
	return 1;
}

static __always_inline int egress_enforce(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st)
{
	struct wire w = {};
	int r = wire_read(skb, &w, 1);

	if (r || w.odd)
		return packet_enforce(skb, st, &w, !r);
	if (w.proto == FENCE_IPPROTO_UDP) {
		if (!datagram_again(skb, st, &w))
			return packet_enforce(skb, st, &w, 1);
		st->tx += w.len;
		return 1;
	}
	if (st->phase == FENCE_PH_NEW || w.port != st->port || !addr_equal(w.addr, st->addr) ||
	    (skb->ifindex == LOOPBACK_IFINDEX && st->kind > FENCE_ADDR_PROXY)) {
		if (st->flags & FENCE_SK_TOLD && st->phase != FENCE_PH_NEW)
			return !(config_facts(config_get()) & FENCE_F_MONITOR) ? 0 : 1;
		if (!packet_enforce(skb, st, &w, 1))
			return 0;
	}
	if (w.tcp_flags & TCP_SYN)
		stream_begin(sk, st, &w);
	if (!w.len) /* nothing of the session's in it; to an address that was allowed */
		return 1;
	if (agent_silent())
		return packet_silent(skb, st);
	if (st->phase == FENCE_PH_OPEN && config_sees() && stream_held(skb, st))
		return 0;
	if (st->phase == FENCE_PH_OPEN)
		return st->generation == generation() || st->flags & FENCE_SK_TOLD
			       ? 1
			       : stream_again(skb, st);
	if (st->phase == FENCE_PH_DENIED) {
		stream_refused(skb, st);
		return 0;
	}
	if (st->kind == FENCE_ADDR_RESOLVER)
		return questions_enforce(skb, sk, st, &w);
	if (st->flags & FENCE_SK_TOLD)
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
