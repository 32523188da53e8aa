// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers: what comes back to a socket.
 *
 * cgroup_skb/ingress -> a DNS answer to a question that a session asked fills the allow map before
 * the process can read it; any other answer to it is dropped, and so is a connection from outside.
 * Answers to everybody else are shown to the agent, to name addresses for people.
 */
#include "lib/deny.h"
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
 * An answer for a session's socket: believed when it was asked for, of this resolver, with this id,
 * just now.
 */
static __always_inline int answer_learn(struct __sk_buff *skb, const struct fence_sock *st,
					const struct wire *w, struct fence_scratch *s, __u32 n)
{
	struct fence_question_key k = { .cookie = bpf_get_socket_cookie(skb), .port = w->port };
	struct fence_config *cfg = config_get();
	struct learn_cursor c = { .dns = &s->dns };
	struct fence_question *q;
	__u64 now = bpf_ktime_get_boot_ns(), ttl;

	__builtin_memcpy(k.resolver, w->addr, 16);
	fence_dns_answer(s->msg, n, &s->dns);
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

/* A datagram from port 53. 1: pass. */
static __always_inline int answer(struct __sk_buff *skb, struct fence_sock *st,
				  const struct wire *w)
{
	int confined = session_confined(st->session), learned = 0;
	struct fence_scratch *s;
	__u32 n = w->len;

	if (n < 12)
		return !confined;
	s = scratch_take();
	if (!s)
		return !confined;
	if (n > FENCE_DNS_MAX)
		n = FENCE_DNS_MAX;
	n = ((n - 1) & (FENCE_DNS_BUF - 1)) + 1;
	if (!bpf_skb_load_bytes(skb, w->off, s->msg, n)) {
		if (confined)
			learned = answer_learn(skb, st, w, s, n);
		if (learned >= 0)
			answer_emit(skb, st, w, s, n, learned);
	}
	scratch_give(s);
	if (learned < 0 && config_facts(config_get()) & FENCE_F_MONITOR)
		return 1;
	return learned >= 0;
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
	if (sk->state != BPF_SK_LISTEN)
		return 1;
	st = bpf_sk_storage_get(&socks, sk, 0, 0);
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
