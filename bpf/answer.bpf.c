// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers: what comes back to a socket.
 *
 * cgroup_skb/ingress -> a DNS answer to a question that a session asked fills the allow map before
 * the process can read it; any other answer to it is dropped, and so is a connection from outside.
 * Answers to everybody else are shown to the agent, to name addresses for people.
 */
#include "lib/seize.h"
#include "lib/wire.h"

char _license[] SEC("license") = "GPL";

#define BPF_SK_LISTEN 10

struct learn_cursor {
	struct fence_dns *dns;
	struct fence_question *q;
	__u64 until;
};

static __always_inline void learn_one(struct learn_cursor *c, const __u8 *addr, __u16 port,
				      __u64 name)
{
	struct fence_answer_key k = { .name = name, .port = port, .tool = c->q->tool | c->q->bank };
	struct fence_answer a = { .until = c->until,
				  .rule = c->q->rule.id,
				  .flags = c->q->rule.flags },
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
	struct learn_cursor *c = ctx;
	const __u8 *addr = c->dns->addrs[i & (FENCE_DNS_ADDRS - 1)].addr;
	__u32 p;

	if (i >= c->dns->count)
		return 1;
	learn_one(c, addr, 0, 0);
	for (p = 0; p < FENCE_PORTS_MAX && p < c->q->rule.nports; p++) {
		learn_one(c, addr, c->q->rule.ports[p & 7], 0);
		learn_one(c, addr, c->q->rule.ports[p & 7], c->q->name);
	}
	return 0;
}

/*
 * An answer for a session's socket, `n` octets in s->msg: believed when it was asked for, of this
 * resolver, with this id, just now. The count of its addresses, or negative.
 */
__weak __noinline int answer_learn(struct __sk_buff *skb, const struct wire *w,
				   struct fence_scratch *s, __u32 n)
{
	struct fence_question_key k = {};
	struct fence_config *cfg = config_get();
	struct learn_cursor c = {};
	struct fence_question *q;
	__u64 now = bpf_ktime_get_boot_ns(), ttl;

	if (!w || !s)
		return -1;
	k.cookie = bpf_get_socket_cookie(skb);
	k.port = w->port;
	c.dns = &s->dns;
	__builtin_memcpy(k.resolver, w->addr, 16);
	fence_dns_answer(s->msg, n, w->cut, &s->dns);
	k.id = s->dns.id;
	q = bpf_map_lookup_elem(&questions, &k);
	if (!q || !cfg || s->dns.bad || s->dns.name.hash != q->name || s->dns.qtype != q->qtype ||
	    now - q->asked > FENCE_QUESTION_NS || q->bank != tool_key(0) ||
	    q->local != (skb->ifindex == LOOPBACK_IFINDEX))
		return -1;
	ttl = (__u64)s->dns.ttl * 1000000000;
	if (ttl < cfg->ttl_floor)
		ttl = cfg->ttl_floor;
	if (ttl > cfg->ttl_ceiling)
		ttl = cfg->ttl_ceiling;
	c.q = q;
	c.until = now + ttl;
	fence_loop(FENCE_DNS_ADDRS, learn_step, &c);
	bpf_map_delete_elem(&questions, &k);
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
		learned = answer_learn(skb, m, s, n);
	if (learned >= 0)
		answer_emit(skb, st, m, s, n < FENCE_DNS_MAX ? n : FENCE_DNS_MAX, learned);
	scratch_give(s);
	return learned;
}

/* A datagram from port 53. 1: pass. */
static __always_inline int answer(struct __sk_buff *skb, struct fence_sock *st, struct wire *w)
{
	return answer_read(skb, st, w) >= 0 || config_facts(config_get()) & FENCE_F_MONITOR;
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

SEC("cgroup_skb/ingress")
int answer_ingress(struct __sk_buff *skb)
{
	struct fence_facts f = { .at = FENCE_AT_ACCEPT, .proto = FENCE_IPPROTO_TCP };
	struct bpf_sock *sk = skb->sk;
	struct told t = {};
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
		return 1;
	}
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
	if (seized_socket(sk, &st) < 0)
		return 0;
	if (!st || !session_confined(st->session) || wire_read(skb, &w, 0))
		return 1;
	facts_begin(&f);
	t.v = judge(&f);
	__builtin_memcpy(st->addr, w.addr, 16);
	st->port = w.port;
	t.cookie = bpf_get_socket_cookie(skb);
	deny_emit(st, &f, 0, &t);
	return t.v.action == FENCE_WOULD_DENY;
}
