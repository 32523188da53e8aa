/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 6. The first bytes of a stream, at egress: walked until they say where it goes, judged, and
 * told. Also what is left of it once it was let pass, or refused.
 */
#ifndef FENCE_BPF_STREAM_H
#define FENCE_BPF_STREAM_H

#include "question.h"

#define TCP_SYN 0x02
#define TCP_WINDOW_MAX (1u << 30) /* RFC 7323 2.3; nothing older is sent again */

/* Told of by a policy that only watches, and such a one is in force: the rest is but watched. */
static __always_inline int stream_watched(const struct fence_sock *st)
{
	return st->flags & FENCE_SK_TOLD && monitors();
}

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

#define WALK_STEPS 65536 /* octets looked at in one packet; what is jumped over does not count */
#define WALK_ROUNDS 8 /* names, or requests to a proxy, of one packet */

/*
 * Octets of this packet that were read before: a retransmit's. Negative: what is new in it cannot
 * be read. A gap: what comes before it did not pass here. A stream whose beginning nobody saw is
 * one big gap: in its middle may be a tunnel, and what looks like a request goes to its far end.
 */
static __always_inline int stream_known(struct __sk_buff *skb, struct fence_sock *st,
					const struct wire *w)
{
	__u32 known;

	if (!(st->flags & FENCE_SK_SEQ))
		return -1;
	known = st->next_seq - w->seq - !!(w->tcp_flags & TCP_SYN);
	if (known > TCP_WINDOW_MAX || w->tcp_flags & TCP_URG ||
	    (known < w->len && !wire_whole(skb, w)))
		return -1;
	return (int)known;
}

/* Walk what is new of this packet. 1: there is more of it behind what was found. */
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
	if (c.off < c.end && walk->state == FENCE_WALK_MORE)
		walk->state = FENCE_WALK_BAD; /* not read to its end */
	return c.off < c.end;
}

static __always_inline __u8 walk_stream(const struct fence_walk *walk)
{
	if (walk->asks && walk->tls)
		return FENCE_STREAM_TLS;
	if (walk->state == FENCE_WALK_OTHER)
		return FENCE_STREAM_OTHER;
	if (walk->asks)
		return walk->proxy.connect ? FENCE_STREAM_CONNECT : FENCE_STREAM_ABSOLUTE;
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
	if (walk->asks && r.flags & FENCE_RULE_PLAIN)
		f->flags |= FENCE_F_PLAIN_OK;
	st->rule = r.id;
	return FENCE_NAME_ALLOWED;
}

/* The port that the walk's name is for. */
static __always_inline __u16 stream_port(const struct fence_sock *st, const struct fence_walk *walk)
{
	if (walk->asks)
		return walk->proxy.port;
	return st->flags & FENCE_SK_VIA_PROXY ? walk->port : st->port;
}

/*
 * A whole name: is it allowed, and at this address? Inside a tunnel it has to be the one that
 * CONNECT asked for, in a second hello the first one's.
 */
static __always_inline void facts_name(struct fence_facts *f, struct fence_sock *st,
				       struct fence_walk *walk)
{
	__u16 port = stream_port(st, walk);

	f->name = stream_name(f, st, walk, port);
	if (walk->again && st->name != walk->name.hash)
		f->name = FENCE_NAME_REFUSED;
	if (f->name == FENCE_NAME_ALLOWED &&
	    (f->flags & FENCE_F_VIA_PROXY
		     ? st->name == walk->name.hash
		     : !!answer_find(st->tool, st->addr, port, walk->name.hash)))
		f->flags |= FENCE_F_NAME_AT;
}

/* Turn what the walk found into facts. */
__weak __noinline int facts_stream(struct fence_facts *f, struct fence_sock *st,
				   struct fence_walk *walk)
{
	if (!f || !st || !walk)
		return -1;
	f->flags = config_facts(
		config_get()); /* no agent_silent(): asked before, and held, not broken */
	f->addr = st->kind;
	f->form = walk->state == FENCE_WALK_EARLY ? FENCE_FORM_EARLY : FENCE_FORM_OK;
	f->stream = walk_stream(walk);
	if (st->flags & FENCE_SK_PLAIN)
		f->flags |= FENCE_F_PLAIN_OK;
	if (st->flags & FENCE_SK_VIA_PROXY)
		f->flags |= FENCE_F_VIA_PROXY;
	switch (walk->state) {
	case FENCE_WALK_MORE: /* the hello is not whole, perhaps its name is: refused at once */
		if (walk->named)
			facts_name(f, st, walk);
		if (f->name != FENCE_NAME_REFUSED)
			f->name = FENCE_NAME_PENDING;
		return 0;
	case FENCE_WALK_ABSENT:
		f->name = FENCE_NAME_ABSENT;
		return 0;
	case FENCE_WALK_NAME:
	case FENCE_WALK_CONNECT:
	case FENCE_WALK_PLAIN:
		facts_name(f, st, walk);
		return 0;
	default:
		f->name = FENCE_NAME_MALFORMED;
		return 0;
	}
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

/* Its payload is refused from here on. */
static __always_inline void stream_deny(struct fence_sock *st, struct fence_verdict v)
{
	st->phase = FENCE_PH_DENIED;
	st->why = v.reason;
}

/*
 * A stream under a policy that came after its address was judged: once more by its address, and by
 * the name that it has given. What it has not said yet is judged when it says it. Behind a proxy
 * nothing can be proved any more, nor of what a policy that only watched let by. 1: pass.
 */
__weak __noinline int stream_again(struct __sk_buff *skb, struct fence_sock *st)
{
	struct fence_facts f = { .proto = FENCE_IPPROTO_TCP };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	__u32 now = generation();
	int said;

	if (!st)
		return 0;
	said = st->phase != FENCE_PH_WALK || st->name || st->flags & FENCE_SK_TOLD;
	f.flags = config_facts(config_get());
	facts_packet(skb, &f, st, st->addr, st->port);
	f.at = said ? FENCE_AT_STREAM : FENCE_AT_PACKET;
	if (said) {
		f.name = FENCE_NAME_REFUSED;
		f.stream = f.addr == FENCE_ADDR_PROXY		   ? FENCE_STREAM_CONNECT
			   : st->name || st->flags & FENCE_SK_TOLD ? FENCE_STREAM_TLS
								   : FENCE_STREAM_OTHER;
	}
	if (st->name && !(st->flags & FENCE_SK_TOLD) && f.addr != FENCE_ADDR_PROXY &&
	    answer_find(st->tool, st->addr, st->port, st->name)) {
		f.name = FENCE_NAME_ALLOWED;
		f.flags |= FENCE_F_NAME_AT;
	}
	if (!refuse_packet(st, &f, 0, &t)) {
		stream_deny(st, t.v);
		return 0;
	}
	st->kind = f.addr;
	st->flags &= ~FENCE_SK_PLAIN;
	if (f.flags & FENCE_F_PLAIN_OK)
		st->flags |= FENCE_SK_PLAIN;
	if (t.v.action != FENCE_ALLOW)
		st->flags |= FENCE_SK_TOLD;
	if (t.v.reason == FENCE_R_ADDR_OK || t.v.reason == FENCE_R_LOCAL_OK)
		st->phase = FENCE_PH_OPEN;
	st->generation = now;
	return 1;
}

/* Refused, and perhaps the agent could not be told: once more, now that the sender tries again. */
static __always_inline void stream_refused(struct __sk_buff *skb, struct fence_sock *st)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM, .proto = FENCE_IPPROTO_TCP };
	struct told t = { .cookie = bpf_get_socket_cookie(skb),
			  .v = { .action = FENCE_DENY, .reason = st->why } };

	if (st->flags & FENCE_SK_UNTOLD && !deny_socket(st, &f, &t))
		st->flags &= ~FENCE_SK_UNTOLD;
}

/*
 * The proxy has answered the CONNECT: next comes the hello inside it, for the port that CONNECT
 * named, or another request.
 */
static __always_inline void walk_answered(struct fence_sock *st, struct fence_walk *walk)
{
	__u16 port = walk->proxy.port;
	__u8 answer = walk->proxy.answer;

	if (walk->proxy.step != FENCE_P_WAIT || answer == FENCE_ANSWER_NONE)
		return;
	fence_walk_init(walk, answer != FENCE_ANSWER_TUNNEL);
	if (answer != FENCE_ANSWER_TUNNEL)
		return;
	st->flags |= FENCE_SK_VIA_PROXY;
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
	stream_deny(st, t.v);
	return 0;
}

/* What was found may pass: remember it, tell it, and read on. 1: there is no need to. */
static __always_inline int walk_passed(struct fence_sock *st, const struct fence_facts *f,
				       struct fence_walk *walk, struct told *t)
{
	__u8 state = walk->state;
	int news = st->name != walk->name.hash;

	if (state == FENCE_WALK_CONNECT || state == FENCE_WALK_PLAIN) {
		st->name = walk->name.hash;
		t->detail = walk->proxy.port;
		if (f->flags & FENCE_F_PLAIN_OK)
			st->flags |= FENCE_SK_PLAIN;
		else
			st->flags &= ~FENCE_SK_PLAIN;
	} else if (state == FENCE_WALK_NAME && !(st->flags & FENCE_SK_VIA_PROXY)) {
		st->name = walk->name.hash;
	}
	if (!walk->again && (state != FENCE_WALK_PLAIN || news))
		name_emit(st, f, &walk->name, t);
	t->detail = 0;
	if (state != FENCE_WALK_CONNECT && state != FENCE_WALK_PLAIN && state != FENCE_WALK_NAME)
		return 1; /* plain text, where its rule says so */
	fence_walk_on(walk);
	return 0;
}

/* The first bytes of a session's stream. 1: pass. */
static __always_inline int stream_enforce(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st, const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM, .proto = FENCE_IPPROTO_TCP };
	struct told t = { .cookie = bpf_get_socket_cookie(skb) };
	struct fence_walk *walk;
	__u32 round;
	int more = 1;

	walk = bpf_sk_storage_get(&walks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!walk) {
		count(FENCE_C_SOCK_FULL);
		f.flags = config_facts(config_get());
		return refuse_unread(st, &f, t.cookie);
	}
	if (!walk->began)
		fence_walk_init(walk, st->kind == FENCE_ADDR_PROXY);
	walk_answered(st, walk);
	for (round = 0; round < WALK_ROUNDS && more; round++) {
		more = walk_packet(skb, walk, st, w);
		if (walk->state == FENCE_WALK_DONE) {
			walk_end(sk, st, FENCE_PH_OPEN);
			return 1;
		}
		f.name = FENCE_NAME_NONE;
		facts_stream(&f, st, walk);
		t.v = judge(&f);
		if (t.v.action != FENCE_ALLOW)
			break;
		if (t.v.reason == FENCE_R_PENDING)
			return 1;
		if (walk_passed(st, &f, walk, &t)) {
			walk_end(sk, st, FENCE_PH_OPEN);
			return 1;
		}
	}
	if (t.v.action == FENCE_ALLOW) {
		if (!more)
			return 1;
		f.name = FENCE_NAME_MALFORMED; /* more in one packet than is read */
		t.v = judge(&f);
	}
	if (f.addr == FENCE_ADDR_PROXY)
		t.detail = stream_port(st, walk);
	if (t.v.action != FENCE_ALLOW && deny_emit(st, &f, &walk->name, &t))
		st->flags |= FENCE_SK_UNTOLD;
	walk_end(sk, st, FENCE_PH_OPEN);
	if (t.v.action == FENCE_DENY)
		stream_deny(st, t.v);
	else
		st->flags |= FENCE_SK_TOLD; /* whoever enforces finds it refused */
	return t.v.action != FENCE_DENY;
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
		if (!walk->began)
			fence_walk_init(walk, 0);
	}
	walk_packet(skb, walk, st, w);
	if (walk->state == FENCE_WALK_MORE && !walk->named)
		return 1;
	if (walk->named) {
		t.cookie = bpf_get_socket_cookie(skb);
		t.v = fence_decide(&f);
		name_emit(st, &f, &walk->name, &t);
		if (session_cleared(st->session) == FENCE_UNTAINTED)
			stream_foresee(st, walk);
	}
	walk_end(sk, st, FENCE_PH_OPEN);
	return 1;
}

#endif
