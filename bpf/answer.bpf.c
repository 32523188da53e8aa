// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers: what comes back to a socket.
 *
 * cgroup_skb/ingress -> a DNS answer to a question that a session asked fills the allow map before
 * the process can read it; any other answer to it is dropped, and so is a connection from outside.
 * Answers to everybody else are shown to the agent, to name addresses for people. Of what a proxy
 * says to a session it is read whether a CONNECT was granted.
 */
#include <crmfence/addr.h>

#include "lib/seize.h"
#include "lib/wire.h"

char _license[] SEC("license") = "GPL";

#define BPF_SK_LISTEN 10

/* What is at hand while an answer is taken, in a scratch slot's room: calls go deep here. */
struct answer_room {
	struct fence_question q;
	__u64 until; /* its addresses are good up to then */
	struct fence_sock own; /* who asked, for what is told */
	struct fence_facts f;
	struct told t;
	__u32 flags; /* of the configuration */
	__u32 count; /* addresses that stay; here, where the verifier does not count along */
};

struct answer_cursor {
	struct fence_scratch *s;
};

static __always_inline struct answer_room *answer_room(struct fence_scratch *s)
{
	return (void *)s->room;
}

/*
 * An answer for a session's socket, `n` octets in s->msg: believed when it was asked for, of this
 * resolver, with this id, just now. 0: it is, and its question is in the room.
 */
__weak __noinline int answer_match(struct __sk_buff *skb, const struct wire *w,
				   struct fence_scratch *s, __u32 n)
{
	struct fence_question_key k = {};
	struct fence_config *cfg = config_get();
	struct fence_question *q;
	__u64 now = bpf_ktime_get_boot_ns(), ttl;

	if (!w || !s)
		return -1;
	k.cookie = bpf_get_socket_cookie(skb);
	k.port = w->port;
	__builtin_memcpy(k.resolver, w->addr, 16);
	fence_dns_answer(s->msg, n, w->cut, &s->dns);
	k.id = s->dns.id;
	q = bpf_map_lookup_elem(&questions, &k);
	if (!q || !cfg || s->dns.bad || s->dns.name.hash != q->name || s->dns.qtype != q->qtype ||
	    is_past(now, q->asked, FENCE_QUESTION_NS) || q->bank != tool_key(0) ||
	    q->local != (skb->ifindex == LOOPBACK_IFINDEX))
		return -1;
	ttl = (__u64)s->dns.ttl * 1000000000;
	if (ttl < cfg->ttl_floor)
		ttl = cfg->ttl_floor;
	if (ttl > cfg->ttl_ceiling)
		ttl = cfg->ttl_ceiling;
	answer_room(s)->until = now + ttl;
	answer_room(s)->q = *q;
	bpf_map_delete_elem(&questions, &k);
	return 0;
}

static __always_inline int range_has(const __u8 *addr)
{
	struct fence_range_key k = { .prefixlen = FENCE_RANGE_KEY_BITS(128), .bank = tool_key(0) };

	fence_addr_meant(addr, k.addr);
	return bpf_map_lookup_elem(&ranges, &k) != 0;
}

/*
 * What is wrong with an address that an answer gives for a name of a rule with these flags;
 * FENCE_FORM_OK: nothing.
 */
__weak __noinline int sift_form(const struct octets16 *addr, __u32 rule)
{
	struct fence_config *cfg = config_get();

	if (!addr || !cfg)
		return FENCE_FORM_BAD;
	if (fence_addr_is_private(addr->b))
		return rule & FENCE_RULE_PRIVATE ? FENCE_FORM_OK : FENCE_FORM_PRIVATE;
	if (!(rule & FENCE_RULE_OWN) || !(cfg->flags & FENCE_CFG_RANGES))
		return FENCE_FORM_OK;
	return range_has(addr->b) ? FENCE_FORM_OK : FENCE_FORM_RANGE;
}

/* The next address. What is wrong with it is told; those that are to be learned close up. */
static long sift_step(__u32 i, void *ctx)
{
	struct answer_cursor *c = ctx;
	struct fence_dns *d = &c->s->dns;
	struct answer_room *r = answer_room(c->s);
	const __u8 *addr = d->addrs[i & (FENCE_DNS_ADDRS - 1)].addr;

	if (i >= d->count)
		return 1;
	r->f.form = (__u8)sift_form((const struct octets16 *)addr, r->q.rule.flags);
	if (r->f.form != FENCE_FORM_OK) {
		r->f.flags = config_facts(config_get());
		if (r->f.form == FENCE_FORM_RANGE && r->flags & FENCE_CFG_RANGES_TELL)
			r->f.flags |= FENCE_F_MONITOR;
		r->t.v = judge(&r->f);
		__builtin_memcpy(r->own.addr, addr, 16);
		deny_emit(&r->own, &r->f, &d->name, &r->t);
		if (r->t.v.action == FENCE_DENY)
			return 0;
	}
	__builtin_memcpy(d->addrs[r->count & (FENCE_DNS_ADDRS - 1)].addr, addr, 16);
	r->count++;
	return 0;
}

/*
 * Whoever answers, the resolver of a hotspot or who forges one, could lead a public name anywhere:
 * of an answer that was matched only what may be the name's own address stays in s->dns.
 */
__weak __noinline int answer_sift(struct __sk_buff *skb, const struct fence_sock *st,
				  struct fence_scratch *s, __u8 proto)
{
	struct fence_config *cfg = config_get();
	struct answer_cursor c = { .s = s };
	struct answer_room *r;

	if (!st || !s)
		return -1;
	r = answer_room(s);
	r->flags = cfg ? cfg->flags : 0;
	r->count = 0;
	r->own = *st;
	r->own.rule = r->q.rule.id;
	r->own.port = 53;
	__builtin_memset(&r->f, 0, sizeof(r->f));
	r->f.at = FENCE_AT_DNS;
	r->f.proto = proto;
	r->f.addr = FENCE_ADDR_RESOLVER;
	r->f.name = FENCE_NAME_ALLOWED;
	__builtin_memset(&r->t, 0, sizeof(r->t));
	r->t.cookie = bpf_get_socket_cookie(skb);
	r->t.detail = r->q.qtype;
	fence_loop(FENCE_DNS_ADDRS, sift_step, &c);
	s->dns.count = r->count;
	return 0;
}

static __always_inline void learn_one(const struct answer_room *r, const __u8 *addr, __u16 port,
				      __u64 name)
{
	struct fence_answer_key k = { .name = name, .port = port, .tool = r->q.tool | r->q.bank };
	struct fence_answer a = { .until = r->until,
				  .rule = r->q.rule.id,
				  .flags = r->q.rule.flags },
			    *old;

	__builtin_memcpy(k.addr, addr, 16);
	old = bpf_map_lookup_elem(&answers, &k);
	if (old && old->until >= bpf_ktime_get_boot_ns()) { /* two names share the address */
		a.flags |= old->flags;
		if (old->until > a.until)
			a.until = old->until;
	}
	if (bpf_map_update_elem(&answers, &k, &a, BPF_ANY))
		count(FENCE_C_ANSWER_FULL);
}

static long learn_step(__u32 i, void *ctx)
{
	struct answer_cursor *c = ctx;
	const struct answer_room *r = answer_room(c->s);
	const __u8 *addr = c->s->dns.addrs[i & (FENCE_DNS_ADDRS - 1)].addr;
	__u32 p;

	if (i >= c->s->dns.count)
		return 1;
	learn_one(r, addr, 0, 0);
	for (p = 0; p < FENCE_PORTS_MAX && p < r->q.rule.nports; p++) {
		learn_one(r, addr, r->q.rule.ports[p & 7], 0);
		learn_one(r, addr, r->q.rule.ports[p & 7], r->q.name);
	}
	return 0;
}

/* Its addresses, with its question in the room, into the allow map: how many. */
__weak __noinline int answer_learn(struct fence_scratch *s)
{
	struct answer_cursor c = { .s = s };

	if (!s)
		return -1;
	fence_loop(FENCE_DNS_ADDRS, learn_step, &c);
	return (int)s->dns.count;
}

static __always_inline void answer_emit(struct __sk_buff *skb, const struct fence_sock *st,
					const struct wire *w, struct fence_scratch *s, __u32 n,
					int learned)
{
	struct fence_rec_dns *r = (void *)s->room;
	__u32 len = sizeof(*r) + n;

	rec_init(&r->h, FENCE_K_DNS, len, 0);
	r->cookie = bpf_get_socket_cookie(skb);
	r->exec = st->exec;
	r->session = st->session;
	__builtin_memcpy(r->resolver, w->addr, 16);
	r->tgid = st->tgid;
	r->msg_len = (__u16)n;
	r->learned = (__u8)learned;
	r->spare = 0;
	bpf_probe_read_kernel(r->msg, ((n - 1) & (FENCE_DNS_BUF - 1)) + 1, s->msg);
	if (len > sizeof(*r) + FENCE_DNS_BUF)
		return;
	if (bpf_ringbuf_output(&ring, r, len, ring_flags(0)))
		rec_lost(FENCE_K_DNS);
}

/*
 * An answer, the octets of `m`: learned for a session, shown to the agent. How many addresses were
 * learned; negative: a session's, and not believed.
 */
__weak __noinline int answer_read(struct __sk_buff *skb, const struct fence_sock *st,
				  struct wire *m)
{
	int confined, learned = 0;
	struct fence_scratch *s;
	__u32 n;

	if (!st || !m)
		return -1;
	confined = session_confined(st->session);
	n = m->len;
	s = n < 12 ? 0 : scratch_take();
	if (!s)
		return -confined;
	if (n > FENCE_DNS_BUF) {
		n = FENCE_DNS_BUF;
		m->cut = 1;
	}
	n = ((n - 1) & (FENCE_DNS_BUF - 1)) + 1;
	if (bpf_skb_load_bytes(skb, m->off, s->msg, n)) {
		scratch_give(s);
		return -confined;
	}
	if (confined)
		learned = answer_match(skb, m, s, n);
	if (confined && !learned) {
		answer_sift(skb, st, s, m->proto);
		learned = answer_learn(s);
	}
	if (learned >= 0)
		answer_emit(skb, st, m, s, n < FENCE_DNS_MAX ? n : FENCE_DNS_MAX, learned);
	scratch_give(s);
	return learned;
}

/* A datagram from port 53. 1: pass. */
static __always_inline int answer(struct __sk_buff *skb, struct fence_sock *st, struct wire *w)
{
	return answer_read(skb, st, w) >= 0 || monitors();
}

/* The next of what is left of a segment, `m`: the rest of an answer, a length, or an answer. */
__weak __noinline int answer_next(struct __sk_buff *skb, const struct fence_sock *st,
				  struct fence_frames *f, struct wire *m)
{
	__u32 left, n;
	__u8 head[2];

	if (!st || !f || !m)
		return 0;
	if (!f->rx_left) {
		if (!f->rx_len) {
			if (m->len < 2 || bpf_skb_load_bytes(skb, m->off, head, 2)) {
				f->rx_lost = 1;
				m->len = 0;
				return 0;
			}
			f->rx_len = (__u16)(head[0] << 8 | head[1]);
			m->off += 2;
			m->len -= 2;
			return 0;
		}
		n = f->rx_len < m->len ? f->rx_len : m->len;
		left = m->len - n;
		m->cut = f->rx_len > n;
		m->len = n;
		f->rx_left = f->rx_len;
		f->rx_len = 0;
		answer_read(skb, st, m);
		m->len = n + left;
	}
	n = f->rx_left < m->len ? f->rx_left : m->len;
	f->rx_left -= n;
	m->off += n;
	m->len -= n;
	return 0;
}

/*
 * Answers over TCP, in the segments' order: one that begins here teaches what is here of it, and a
 * segment has room for more addresses than are used of an answer. The stream itself is nothing to
 * stop: what was not asked for is not learned, and so leads nowhere.
 */
static __always_inline void answer_stream(struct __sk_buff *skb, struct bpf_sock *sk,
					  struct wire *w)
{
	struct fence_frames *f = bpf_sk_storage_get(&frames, sk, 0, 0);
	struct fence_sock *st = bpf_sk_storage_get(&socks, sk, 0, 0);
	struct bpf_tcp_sock *tp;
	__u32 known, i;

	if (!f || !st || f->rx_lost || wire_read(skb, w, 0) || !w->len || w->port != 53)
		return;
	if (!f->rx_on) {
		tp = bpf_tcp_sock(sk);
		if (!tp)
			return;
		f->rx_next = tp->rcv_nxt;
		f->rx_on = 1;
	}
	known = f->rx_next - w->seq;
	if (known >= w->len) /* again; or out of order, or forged: it will come again */
		return;
	f->rx_next += w->len - known;
	w->off += known;
	w->len -= known;
	for (i = 0; i < 2 * FENCE_DNS_BATCH && w->len; i++)
		answer_next(skb, st, f, w);
	f->rx_lost |= !!w->len;
}

/* ---- what a proxy answers ---- */

#define REPLY_STEPS 65536

struct reply_cursor {
	struct __sk_buff *skb;
	struct fence_proxy *proxy;
	__u32 off;
	__u32 end;
};

static long reply_step(__u32 i, void *ctx)
{
	struct reply_cursor *c = ctx;
	__u32 n;
	__u8 octet;

	if (c->off >= c->end)
		return 1;
	n = fence_reply_jump(&c->proxy->reply, c->end - c->off);
	if (n) {
		c->off += n;
		return 0;
	}
	if (bpf_skb_load_bytes(c->skb, c->off, &octet, 1)) {
		c->proxy->reply.step = FENCE_R_LOST;
		return 1;
	}
	fence_reply_feed(c->proxy, octet);
	c->off++;
	return 0;
}

/* What is new of this segment. */
__weak __noinline int reply_read(struct __sk_buff *skb, struct fence_walk *walk,
				 const struct wire *w, __u32 known)
{
	struct reply_cursor c = { .skb = skb };

	if (!walk || !w)
		return -1;
	c.proxy = &walk->proxy;
	c.off = w->off + known;
	c.end = w->off + w->len;
	fence_loop(REPLY_STEPS, reply_step, &c);
	if (c.off < c.end)
		walk->proxy.reply.step = FENCE_R_LOST;
	return 0;
}

/*
 * A proxy's answer to a session's CONNECT, in the segments' order: one that comes too early is
 * dropped, and will come again. What cannot be followed is no answer, and the session may say
 * nothing more. 1: pass.
 */
static __always_inline int reply_stream(struct __sk_buff *skb, struct bpf_sock *sk, struct wire *w)
{
	struct fence_walk *walk = bpf_sk_storage_get(&walks, sk, 0, 0);
	struct fence_reply *r;
	struct bpf_tcp_sock *tp;
	__u32 known;

	if (!walk || !walk->asks || walk->proxy.plain)
		return 1;
	r = &walk->proxy.reply;
	if (r->step == FENCE_R_LOST || wire_read(skb, w, 0) || !w->len)
		return 1;
	if (!r->on) {
		tp = bpf_tcp_sock(sk);
		if (!tp)
			return 1;
		r->next = tp->rcv_nxt;
		r->on = 1;
	}
	known = r->next - w->seq;
	if (known > 0x7fffffff)
		return 0;
	if (known >= w->len)
		return 1;
	r->next += w->len - known;
	reply_read(skb, walk, w, known);
	return 1;
}

/* A connection from outside reaches a session's socket. 1: pass. */
__weak __noinline int accept_judge(struct __sk_buff *skb, const struct fence_sock *st,
				   const struct wire *w)
{
	struct fence_facts f = { .at = FENCE_AT_ACCEPT, .proto = FENCE_IPPROTO_TCP };
	struct told t = {};

	if (!st || !w)
		return 0;
	facts_begin(&f);
	t.v = judge(&f);
	t.cookie = bpf_get_socket_cookie(skb);
	told_to(&t, w->addr, w->port);
	deny_emit(st, &f, 0, &t);
	return t.v.action == FENCE_WOULD_DENY;
}

SEC("cgroup_skb/ingress")
int answer_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct fence_config *cfg;
	struct fence_sock *st;
	struct wire w = {};

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	if (sk->protocol == FENCE_IPPROTO_UDP) {
		st = bpf_sk_storage_get(&socks, sk, 0, 0);
		if (!st || wire_read(skb, &w, 0))
			return 1;
		st->rx += w.len;
		return w.port == 53 ? answer(skb, st, &w) : 1;
	}
	if (sk->state != BPF_SK_LISTEN) {
		if (sk->dst_port == bpf_htons(53))
			answer_stream(skb, sk, &w);
		cfg = config_get();
		return cfg && cfg->flags & FENCE_CFG_PROXIES ? reply_stream(skb, sk, &w) : 1;
	}
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
	if (seized_socket(sk, &st) < 0)
		return 0;
	if (!st || !session_confined(st->session) || wire_read(skb, &w, 0))
		return 1;
	return accept_judge(skb, st, &w) ? 1 : 0;
}
