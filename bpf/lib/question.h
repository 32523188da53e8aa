/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 5. What a session asks of DNS: read, judged, and remembered, so that its answer, and no
 * other, is believed.
 */
#ifndef FENCE_BPF_QUESTION_H
#define FENCE_BPF_QUESTION_H

#include "deny.h"
#include "wire.h"

/* `q` has its rule already. */
static __always_inline int question_keep(struct __sk_buff *skb, const struct fence_sock *st,
					 const struct wire *w, const struct fence_dns *d,
					 struct fence_question *q)
{
	struct fence_question_key k = { .cookie = bpf_get_socket_cookie(skb),
					.id = d->id,
					.port = w->port };

	__builtin_memcpy(k.resolver, w->addr, 16);
	q->name = d->name.hash;
	q->asked = bpf_ktime_get_boot_ns();
	q->qtype = d->qtype;
	q->tool = st->tool;
	q->local = skb->ifindex == LOOPBACK_IFINDEX;
	q->bank = tool_key(0);
	q->spare[0] = q->spare[1] = q->spare[2] = 0;
	q->pad = 0;
	return bpf_map_update_elem(&questions, &k, q, BPF_ANY);
}

/* The question into s->dns. */
__weak __noinline int question_read(struct __sk_buff *skb, const struct wire *w,
				    struct fence_scratch *s)
{
	struct fence_dns *d;
	__u32 n;

	if (!w || !s)
		return -1;
	d = &s->dns;
	fence_name_init(&d->name);
	d->bad = 1;
	d->qtype = 0;
	n = w->len;
	if (!n || n > FENCE_DNS_ASK_MAX || w->ttl < FENCE_DNS_HOPS_MIN || !wire_whole(skb, w))
		return 0;
	n = ((n - 1) & 511) + 1;
	if (!bpf_skb_load_bytes(skb, w->off, s->msg, n))
		fence_dns_ask(s->msg, n, d);
	return 0;
}

/* What the question is to the policy; its rule into `r`. */
static __always_inline void facts_question(struct fence_facts *f, struct fence_sock *st,
					   const struct fence_dns *d, struct fence_rule *r)
{
	int found;

	if (d->bad)
		f->form = FENCE_FORM_BAD;
	else if (d->qtype != FENCE_DNS_A && d->qtype != FENCE_DNS_AAAA &&
		 d->qtype != FENCE_DNS_CNAME)
		f->form = FENCE_FORM_TYPE;
	f->name = FENCE_NAME_MALFORMED;
	if (fence_name_ok(&d->name)) {
		found = rule_find(st->tool, &d->name, r);
		if (found < 0)
			f->flags |= FENCE_F_OVERFLOW;
		f->name = found > 0 ? FENCE_NAME_ALLOWED : FENCE_NAME_REFUSED;
		if (found > 0)
			st->rule = r->id;
	} else if (!d->name.bad && d->name.label) {
		f->name = FENCE_NAME_REFUSED; /* one label: a search list's try */
	}
}

/*
 * `paid` is the time up to which somebody has paid, `price` what a question costs; he may be at
 * most `most` ahead of now. 1: paid. 0: not, also when other CPUs were quicker four times.
 */
static __always_inline int rate_pay(__u64 *paid, __u64 price, __u64 most)
{
	__u64 now = bpf_ktime_get_boot_ns(), old, fresh;
	__u32 i;

	for (i = 0; i < 4; i++) {
		old = *(volatile __u64 *)paid;
		fresh = (old < now ? now : old) + price;
		if (fresh - now > most)
			return 0;
		if (__sync_val_compare_and_swap(paid, old, fresh) == old)
			return 1;
	}
	return 0;
}

/*
 * May the session ask what is in s->msg, `len` octets? The id is bounded by the rate of all of its
 * questions; whatever else it could choose (flags, case of letters, size, cookie, the star of a
 * shape, name after name) by that of those that it has not asked within the last hour. 1: it may,
 * 0: it has asked too much, negative: nobody knows the session.
 */
__weak __noinline int question_rate(const struct fence_sock *st, struct fence_scratch *s, __u32 len)
{
	struct fence_config *cfg = config_get();
	struct fence_asked_key k = {};
	struct fence_session *own;
	__u64 now = bpf_ktime_get_boot_ns(), *last;

	if (!st || !s || !cfg)
		return -1;
	k.session = st->session;
	own = bpf_map_lookup_elem(&sessions, &k.session);
	if (!own)
		return -1;
	if (!rate_pay(&own->asks, FENCE_ASK_NS, FENCE_ASK_BURST_NS))
		return 0;
	k.mark = fence_dns_mark(cfg->key, s->msg, len, (void *)&s->key);
	last = bpf_map_lookup_elem(&asked, &k);
	if ((!last || is_past(now, *last, FENCE_ASKED_NS)) &&
	    !rate_pay(&own->distinct, cfg->distinct_ns, FENCE_ASK_WINDOW_NS))
		return 0;
	bpf_map_update_elem(&asked, &k, &now, BPF_ANY);
	return 1;
}

/* What would pass by its name and form alone is counted. */
static __always_inline void facts_rate(struct fence_facts *f, const struct fence_sock *st,
				       struct fence_scratch *s, __u32 len)
{
	int may;

	if (f->form != FENCE_FORM_OK || f->name != FENCE_NAME_ALLOWED || f->state)
		return;
	may = question_rate(st, s, len);
	if (may < 0)
		f->flags |= FENCE_F_OVERFLOW;
	else if (!may)
		f->form = FENCE_FORM_RATE;
}

/*
 * Did a user make the network namespace of this packet's socket? There he answers himself (a TUN
 * device, tc, an address of the resolver's), and what an answer teaches counts in every namespace.
 */
__weak __noinline int question_of_users(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct sock_common *common = 0;
	struct user_namespace *ns;
	struct net *net;
	int level = 1;

	if (!sk)
		return 1;
	bpf_probe_read_kernel(&common, sizeof(common), &sk); /* a number: its fields can be read */
	net = BPF_CORE_READ(common, skc_net.net);
	ns = BPF_CORE_READ(net, user_ns);
	return bpf_core_read(&level, sizeof(level), &ns->level) || level;
}

/*
 * The question that is the `w->len` octets at `w->off`: its facts into `f`. action | reason << 8;
 * what is not allowed is told.
 */
__weak __noinline int question_judge(struct __sk_buff *skb, struct fence_sock *st,
				     const struct wire *w, struct fence_facts *f)
{
	struct fence_scratch *s;
	struct fence_question *q;
	struct told t = {};
	int packed;

	if (!st || !w || !f)
		return FENCE_DENY;
	f->at = FENCE_AT_DNS;
	f->proto = w->proto;
	f->addr = FENCE_ADDR_RESOLVER;
	facts_begin(f);
	t.cookie = bpf_get_socket_cookie(skb);
	told_to(&t, w->addr, w->port);
	s = scratch_take();
	if (s) {
		q = (void *)s->room;
		question_read(skb, w, s);
		facts_question(f, st, &s->dns, &q->rule);
		if (question_of_users(skb))
			f->form = FENCE_FORM_BAD;
		facts_rate(f, st, s, w->len);
		t.detail = s->dns.qtype;
	} else {
		f->flags |= FENCE_F_OVERFLOW;
	}
	packed = judge_packed(f);
	t.v = verdict_of(packed);
	if (t.v.action != FENCE_ALLOW) {
		if (deny_emit(st, f, s ? &s->dns.name : 0, &t))
			st->flags |= FENCE_SK_UNTOLD;
	} else if (s && question_keep(skb, st, w, &s->dns, (void *)s->room)) {
		count(FENCE_C_ANSWER_FULL);
	}
	if (s)
		scratch_give(s);
	return packed;
}

/*
 * The next question of what is left of a packet, `m`. 1: it may pass; 0: refused, and told;
 * negative: no question is there.
 */
__weak __noinline int question_next(struct __sk_buff *skb, struct fence_sock *st,
				    struct fence_frames *frame, struct wire *m)
{
	struct fence_facts f = {};
	__u32 left, len;
	__u8 head[2];
	int packed;

	if (!st || !frame || !m)
		return -1;
	if (!frame->tx_len) {
		if (m->len < 2 || bpf_skb_load_bytes(skb, m->off, head, 2))
			return -1;
		frame->tx_len = (__u16)(head[0] << 8 | head[1]);
		if (!frame->tx_len || frame->tx_len > FENCE_DNS_ASK_MAX)
			return -1;
		m->off += 2;
		m->len -= 2;
		if (!m->len)
			return 1;
	}
	len = frame->tx_len;
	frame->tx_len = 0;
	if (m->len < len)
		return -1;
	left = m->len - len;
	m->len = len;
	packed = question_judge(skb, st, m, &f);
	m->off += len;
	m->len = left;
	return verdict_of(packed).action != FENCE_DENY;
}

#endif
