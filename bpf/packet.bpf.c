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
#include "lib/deny.h"
#include "lib/wire.h"

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
 * Walk what is new of this packet. Retransmits repeat octets that were walked before; a gap cannot
 * be, for what comes before it did not pass here. Returns octets walked so far in the packet,
 * negative when there is a gap.
 */
static __always_inline int walk_packet(struct __sk_buff *skb, struct fence_walk *walk,
				       struct fence_sock *st, const struct wire *w)
{
	struct walk_cursor c = { .skb = skb, .walk = walk, .end = w->off + w->len };
	__u32 known;

	if (!(st->flags & FENCE_SK_SEQ)) {
		st->next_seq = w->seq;
		st->flags |= FENCE_SK_SEQ;
	}
	known = st->next_seq - w->seq - !!(w->tcp_flags & TCP_SYN);
	if (known > 0x7fffffff)
		return -1;
	if (known >= w->len)
		return 0;
	c.off = w->off + known;
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

/* Turn what the walk found into facts. */
static __always_inline void facts_stream(struct fence_facts *f, struct fence_sock *st,
					 struct fence_walk *walk, struct fence_scratch *s)
{
	int proxied = !!(st->flags & FENCE_SK_VIA_PROXY);
	__u16 port = walk->proxy || proxied ? walk->port : st->port;
	struct fence_rule *r;

	f->addr = st->kind;
	f->stream = walk_stream(walk);
	if (st->flags & FENCE_SK_PLAIN)
		f->flags |= FENCE_F_PLAIN_OK;
	if (proxied)
		f->flags |= FENCE_F_VIA_PROXY;
	switch (walk->state) {
	case FENCE_WALK_MORE:
		f->name = FENCE_NAME_PENDING;
		return;
	case FENCE_WALK_ABSENT:
		f->name = FENCE_NAME_ABSENT;
		return;
	case FENCE_WALK_NAME:
	case FENCE_WALK_CONNECT:
		break;
	default:
		f->name = FENCE_NAME_MALFORMED;
		return;
	}
	f->name = FENCE_NAME_REFUSED;
	r = rule_find(st->tool, &walk->name, &s->key);
	if (!r || r->flags & FENCE_RULE_ASK || !rule_has_port(r, port))
		return;
	f->name = FENCE_NAME_ALLOWED;
	st->rule = r->id;
	if (proxied ? st->name == walk->name.hash
		    : !!answer_find(st->tool, st->addr, port, walk->name.hash))
		f->flags |= FENCE_F_NAME_AT;
}

/* What cannot be read cannot be proved. 1: pass. */
static __always_inline int refuse_unread(const struct fence_sock *st, struct fence_facts *f,
					 __u64 cookie)
{
	struct denial d = { .st = st, .f = f, .cookie = cookie };

	f->flags |= FENCE_F_OVERFLOW;
	d.v = judge(f);
	deny_emit(&d, 0);
	return d.v.action == FENCE_WOULD_DENY;
}

static __always_inline void walk_end(struct bpf_sock *sk, struct fence_sock *st, __u8 phase)
{
	st->phase = phase;
	bpf_sk_storage_delete(&walks, sk);
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
	struct denial d = { .st = st, .f = &f, .cookie = bpf_get_socket_cookie(skb) };

	facts_begin(&f);
	st->generation = generation();
	st->rule = facts_addr(&f, st->tool, st->addr, st->port);
	f.stream = st->name ? FENCE_STREAM_TLS : FENCE_STREAM_OTHER;
	if (st->name && answer_find(st->tool, st->addr, st->port, st->name)) {
		f.name = FENCE_NAME_ALLOWED;
		f.flags |= FENCE_F_NAME_AT;
	}
	d.v = judge(&f);
	if (d.v.action == FENCE_ALLOW)
		return 1;
	deny_emit(&d, 0);
	if (d.v.action == FENCE_DENY)
		st->phase = FENCE_PH_DENIED;
	return d.v.action != FENCE_DENY;
}

/* The first bytes of a session's stream. 1: pass. */
static __always_inline int stream_enforce(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st, const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM, .proto = FENCE_IPPROTO_TCP };
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct fence_walk *walk;
	struct fence_verdict v;
	struct fence_scratch *s;
	__u32 round;

	f.flags = config_facts(config_get());
	walk = bpf_sk_storage_get(&walks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	s = scratch_take();
	if (!walk || !s) {
		count(FENCE_C_SOCK_FULL);
		if (s)
			scratch_give(s);
		return refuse_unread(st, &f, cookie);
	}
	if (!walk->name.hash) /* new */
		fence_walk_init(walk, st->kind == FENCE_ADDR_PROXY);
	for (round = 0; round < 2; round++) {
		/*
		 * urgent data (RFC 6093): the receiver may leave an octet out that was walked here
		 */
		if (walk_packet(skb, walk, st, w) || w->tcp_flags & TCP_URG)
			walk->state = FENCE_WALK_BAD;
		facts_stream(&f, st, walk, s);
		v = judge(&f);
		if (v.reason != FENCE_R_PROXY_OK)
			break;
		/* the CONNECT is good; now the hello inside it, which may be in this very packet */
		name_emit(st, cookie, &f, v, &walk->name, walk->port, s);
		st->name = walk->name.hash;
		st->flags |= FENCE_SK_VIA_PROXY;
		f.flags = config_facts(config_get());
		{
			__u16 port = walk->port;

			fence_walk_init(walk, 0);
			walk->port = port;
		}
	}
	if (v.reason == FENCE_R_PENDING || v.reason == FENCE_R_PROXY_OK) {
		scratch_give(s);
		return 1;
	}
	if (v.action == FENCE_ALLOW) {
		name_emit(st, cookie, &f, v, &walk->name, 0, s);
	} else {
		struct denial d = {
			.st = st, .f = &f, .name = &walk->name, .cookie = cookie, .v = v
		};

		deny_emit(&d, s);
	}
	scratch_give(s);
	st->generation = generation();
	if (v.action == FENCE_ALLOW && !(st->flags & FENCE_SK_VIA_PROXY))
		st->name = walk->state == FENCE_WALK_NAME ? walk->name.hash : 0;
	walk_end(sk, st, v.action == FENCE_DENY ? FENCE_PH_DENIED : FENCE_PH_OPEN);
	return v.action != FENCE_DENY;
}

/* The first bytes of anybody else's stream: for the server name, and never again. */
static __always_inline int stream_observe(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st, const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_STREAM,
				 .proto = FENCE_IPPROTO_TCP,
				 .stream = FENCE_STREAM_TLS };
	struct fence_walk *walk;
	struct fence_verdict v = fence_decide(&f);
	struct fence_scratch *s;
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
	if (walk_packet(skb, walk, st, w))
		walk->state = FENCE_WALK_BAD;
	if (walk->state == FENCE_WALK_MORE)
		return 1;
	if (walk->state == FENCE_WALK_NAME) {
		s = scratch_take();
		if (s) {
			name_emit(st, bpf_get_socket_cookie(skb), &f, v, &walk->name, 0, s);
			scratch_give(s);
		}
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
	flow_emit(st, k.cookie, 0, f, v);
}

/* Remember what was asked, so that its answer, and no other, is believed. */
static __always_inline int question_keep(struct __sk_buff *skb, const struct fence_sock *st,
					 const struct wire *w, const struct fence_dns *d,
					 const struct fence_rule *r)
{
	struct fence_question_key k = { .cookie = bpf_get_socket_cookie(skb),
					.id = d->id,
					.port = w->port };
	struct fence_question q = { .name = d->name.hash,
				    .asked = bpf_ktime_get_boot_ns(),
				    .qtype = d->qtype,
				    .tool = st->tool,
				    .local = skb->ifindex == LOOPBACK_IFINDEX,
				    .bank = tool_key(0) };

	__builtin_memcpy(k.resolver, w->addr, 16);
	q.rule = *r;
	return bpf_map_update_elem(&questions, &k, &q, BPF_ANY);
}

/* A session's question. 1: pass. */
static __always_inline int question_enforce(struct __sk_buff *skb, struct fence_sock *st,
					    const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_DNS,
				 .proto = FENCE_IPPROTO_UDP,
				 .addr = FENCE_ADDR_RESOLVER };
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct fence_scratch *s = scratch_take();
	struct fence_rule *r = 0;
	struct fence_verdict v;
	struct fence_dns *d;
	struct denial told;
	__u32 n = w->len;

	facts_begin(&f);
	if (!s) {
		return refuse_unread(st, &f, cookie);
	}
	d = &s->dns;
	fence_name_init(&d->name);
	d->bad = 1;
	d->qtype = 0;
	if (n && n <= FENCE_DNS_ASK_MAX) {
		n = ((n - 1) & 511) + 1;
		if (!bpf_skb_load_bytes(skb, w->off, s->msg, n))
			fence_dns_ask(s->msg, n, d);
	}
	if (d->bad)
		f.form = FENCE_FORM_BAD;
	else if (d->qtype != FENCE_DNS_A && d->qtype != FENCE_DNS_AAAA &&
		 d->qtype != FENCE_DNS_CNAME)
		f.form = FENCE_FORM_TYPE;
	f.name = FENCE_NAME_MALFORMED;
	if (fence_name_ok(&d->name)) {
		r = rule_find(st->tool, &d->name, &s->key);
		f.name = r ? FENCE_NAME_ALLOWED : FENCE_NAME_REFUSED;
		if (r)
			st->rule = r->id;
	} else if (!d->name.bad && d->name.label) {
		f.name = FENCE_NAME_REFUSED; /* one label: a search list's try */
	}
	v = judge(&f);
	if (v.action == FENCE_ALLOW) {
		if (r && question_keep(skb, st, w, d, r))
			count(FENCE_C_ANSWER_FULL);
		datagram_count(skb, st, w, &f, v);
	} else {
		__builtin_memcpy(st->addr, w->addr, 16);
		st->port = w->port;
		told = (struct denial){ .st = st,
					.f = &f,
					.name = &d->name,
					.cookie = cookie,
					.v = v,
					.detail = d->qtype };
		deny_emit(&told, s);
	}
	scratch_give(s);
	return v.action != FENCE_DENY;
}

/* ---- egress ---- */

/* A session's packet that is not a stream's payload: by the address on the wire. 1: pass. */
static __always_inline int packet_enforce(struct __sk_buff *skb, struct fence_sock *st,
					  const struct wire *w, int known)
{
	struct fence_facts f = { .at = FENCE_AT_PACKET, .proto = w->proto };
	struct fence_verdict v;
	struct denial d;

	facts_begin(&f);
	f.addr = FENCE_ADDR_UNKNOWN;
	st->rule = NO_RULE;
	if (known && !w->odd)
		st->rule = facts_addr(&f, st->tool, w->addr, w->port);
	/* an own address reaches this machine however it is written */
	if (skb->ifindex == LOOPBACK_IFINDEX && f.addr > FENCE_ADDR_PROXY) {
		f.addr = FENCE_ADDR_LOOPBACK;
		if (service_has(0, w->port, st->tool, FENCE_SVC_LOCAL))
			f.flags |= FENCE_F_PORT_OK;
	}
	st->kind = f.addr;
	v = judge(&f);
	if (v.action != FENCE_ALLOW && !(st->flags & FENCE_SK_TOLD)) {
		__builtin_memcpy(st->addr, w->addr, 16);
		st->port = w->port;
		d = (struct denial){
			.st = st, .f = &f, .cookie = bpf_get_socket_cookie(skb), .v = v
		};
		deny_emit(&d, 0);
		if (w->proto == FENCE_IPPROTO_TCP)
			st->flags |= FENCE_SK_TOLD;
	}
	if (v.action == FENCE_DENY)
		return 0;
	if (w->proto == FENCE_IPPROTO_UDP) {
		if (f.addr == FENCE_ADDR_RESOLVER)
			return question_enforce(skb, st, w);
		datagram_count(skb, st, w, &f, v);
		return 1;
	}
	__builtin_memcpy(st->addr, w->addr, 16);
	st->port = w->port;
	st->phase = v.reason == FENCE_R_PENDING ? FENCE_PH_WALK : FENCE_PH_OPEN;
	st->generation = generation();
	st->name = 0;
	st->flags &= ~(FENCE_SK_VIA_PROXY | FENCE_SK_PLAIN);
	if (f.flags & FENCE_F_PLAIN_OK)
		st->flags |= FENCE_SK_PLAIN;
	return 1;
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
}

/* An open stream while no agent is there: held back, not broken. 1: pass. */
static __always_inline int packet_silent(struct __sk_buff *skb, struct fence_sock *st)
{
	struct fence_facts f = { .at = FENCE_AT_PACKET, .proto = st->proto, .addr = st->kind };
	struct denial d = { .st = st, .f = &f, .cookie = bpf_get_socket_cookie(skb) };

	facts_begin(&f);
	d.v = judge(&f);
	if (d.v.action != FENCE_ALLOW)
		deny_emit(&d, 0);
	return d.v.action != FENCE_DENY;
}

static __always_inline int egress_enforce(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct fence_sock *st)
{
	struct wire w = {};
	int r = wire_read(skb, &w, 1);

	if (r || w.odd || w.proto == FENCE_IPPROTO_UDP)
		return packet_enforce(skb, st, &w, !r);
	if (st->phase == FENCE_PH_NEW || w.port != st->port || !addr_equal(w.addr, st->addr) ||
	    (skb->ifindex == LOOPBACK_IFINDEX && st->kind > FENCE_ADDR_PROXY)) {
		if (st->flags & FENCE_SK_TOLD && st->phase != FENCE_PH_NEW)
			return !(config_facts(config_get()) & FENCE_F_MONITOR) ? 0 : 1;
		if (!packet_enforce(skb, st, &w, 1))
			return 0;
	}
	if (w.tcp_flags & TCP_SYN)
		stream_begin(sk, st, &w);
	if (!w.len)
		return 1;
	if (agent_silent())
		return packet_silent(skb, st);
	if (st->phase == FENCE_PH_OPEN)
		return st->generation == generation() || st->flags & FENCE_SK_TOLD
			       ? 1
			       : stream_again(skb, st);
	if (st->phase == FENCE_PH_DENIED)
		return 0;
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

/* A socket without an owner in a session's cgroup is the session's. */
static __always_inline struct fence_sock *adopt(struct __sk_buff *skb, struct bpf_sock *sk)
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
	if (!st)
		return 0;
	session = bpf_map_lookup_elem(&sessions, id);
	st->session = *id;
	st->tool = session ? session->tool : 0;
	st->rule = NO_RULE;
	st->uid = NO_UID;
	return st;
}

SEC("cgroup_skb/egress")
int packet_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct fence_sock *st;

	if (!sk)
		return 1;
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
	if (!st) {
		st = adopt(skb, sk);
		if (!st)
			return 1;
	}
	if (!st->session) {
		if (st->phase == FENCE_PH_OPEN)
			return 1;
		return egress_observe(skb, sk, st);
	}
	if (session_confined(st->session))
		return egress_enforce(skb, sk, st);
	return egress_observe(skb, sk, st);
}
