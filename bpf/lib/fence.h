/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 3. What every sensor does: count, find the subject, take scratch room, look an address or a
 * name up, send a record.
 */
#ifndef FENCE_BPF_FENCE_H
#define FENCE_BPF_FENCE_H

#include "maps.h"

#define AF_INET 2
#define AF_INET6 10
#define DEVICE(major, minor) ((major) << 20 | (minor))
#define SOCK_RAW 3 /* include/linux/net.h */
#define NO_RULE 0xffffffffu
#define NO_GENERATION 0xffffffffu /* no policy's: what it let pass is judged again */
#define NO_UID 0xffffffffu

/*
 * Functions that are not static are verified once, by their types alone, not again at each call:
 * load time, and room under the verifier's limit. Their pointers may be NULL for all it knows.
 */

struct octets16 {
	__u8 b[16];
};

static __always_inline void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline struct fence_config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

static __always_inline struct fence_scratch *scratch_of(void *map)
{
	__u32 i;

	for (i = 0; i < FENCE_SLOTS && !fence_fault(); i++) {
		__u32 slot = i;
		struct fence_scratch *s = bpf_map_lookup_elem(map, &slot);

		if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
			return s;
	}
	count(FENCE_C_SCRATCH_BUSY);
	return 0;
}

static __always_inline struct fence_scratch *scratch_take(void)
{
	return scratch_of(&scratch);
}

static __always_inline void scratch_give(struct fence_scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/*
 * Is `then` longer ago than `limit`, ns? Another CPU may have written it after `now` was read: what
 * is yet to come is not past.
 */
static __always_inline int is_past(__u64 now, __u64 then, __u64 limit)
{
	return (__s64)(now - then) > (__s64)limit;
}

/*
 * The ring never wakes the agent for an ordinary record: that would cost sixteen times the record.
 */
static __always_inline __u64 ring_flags(int urgent)
{
	if (urgent || bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= FENCE_RING_WAKE)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void rec_init(struct fence_rec *h, __u16 kind, __u32 len, int urgent)
{
	h->time = bpf_ktime_get_boot_ns();
	h->len = len;
	h->kind = kind;
	h->version = 1;
	h->flags = urgent ? FENCE_REC_URGENT : 0;
}

static __always_inline void rec_lost(__u16 kind)
{
	count(kind == FENCE_K_SESSION ? FENCE_C_RING_LOST_DENY : FENCE_C_RING_LOST);
}

static __always_inline __u32 *overflow_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&overflow, &zero);
}

/* A process that is not known may be a session's: it is refused, and stays unknown. */
static __always_inline int overflow_raised(void)
{
	__u32 *raised = overflow_get();

	return !raised || *raised;
}

static __always_inline void overflow_raise(void)
{
	__u32 *raised = overflow_get();

	if (raised)
		*raised = 1;
}

/* Of no session: not confined. Of one that is unknown: confined, for then nothing can be proved. */
static __always_inline enum fence_cleared session_cleared(__u64 session)
{
	struct fence_session *s;

	if (!session)
		return FENCE_CLEARED;
	s = bpf_map_lookup_elem(&sessions, &session);
	return s ? (enum fence_cleared)s->cleared : FENCE_CONFINED;
}

static __always_inline int session_confined(__u64 session)
{
	return session_cleared(session) == FENCE_CONFINED;
}

static __always_inline __u32 generation(void)
{
	struct fence_config *c = config_get();

	return c ? (__u32)c->generation : 0;
}

/* The tool's part of a policy key. */
static __always_inline __u8 tool_key(__u8 tool)
{
	struct fence_config *c = config_get();

	return c && c->flags & FENCE_CFG_BANK ? tool | FENCE_BANK : tool;
}

static __always_inline void addr_from4(__u8 *addr, __u32 v4)
{
	__builtin_memset(addr, 0, 10);
	addr[10] = 0xff;
	addr[11] = 0xff;
	__builtin_memcpy(addr + 12, &v4, 4);
}

static __always_inline int addr_equal(const __u8 *a, const __u8 *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

static __always_inline int addr_is4(const __u8 *a)
{
	const __u32 *w = (const __u32 *)a;

	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

/* 127/8, 0/8, ::1, ::, and the v4-compatible rest of ::/96, which is nobody else. */
static __always_inline int addr_is_local(const __u8 *a)
{
	const __u32 *w = (const __u32 *)a;

	if (addr_is4(a))
		return a[12] == 127 || a[12] == 0;
	return !w[0] && !w[1] && !w[2];
}

static __always_inline int service_has(const __u8 *addr, __u16 port, __u8 tool, __u8 kind)
{
	struct fence_service_key k = { .port = port, .tool = tool_key(tool), .kind = kind };

	if (addr)
		__builtin_memcpy(k.addr, addr, 16);
	return bpf_map_lookup_elem(&services, &k) != 0;
}

/*
 * `port` 0: any port that the rule has. name 0: any allowed name. NULL: no answer, or no longer
 * good.
 */
static __always_inline struct fence_answer *answer_find(__u8 tool, const __u8 *addr, __u16 port,
							__u64 name)
{
	struct fence_answer_key k = { .name = name, .port = port, .tool = tool_key(tool) };
	struct fence_answer *a;

	__builtin_memcpy(k.addr, addr, 16);
	a = bpf_map_lookup_elem(&answers, &k);
	return a && a->until >= bpf_ktime_get_boot_ns() ? a : 0;
}

static __always_inline __u32 facts_addr_in(struct fence_facts *f, __u8 tool, const __u8 *addr,
					   __u16 port)
{
	struct fence_net_key net = { .prefixlen = FENCE_NET_KEY_BITS(128),
				     .tool = tool_key(tool),
				     .port = port };
	int probe = f->at == FENCE_AT_CONNECT && f->proto == FENCE_IPPROTO_UDP;
	struct fence_answer *a;

	f->addr = FENCE_ADDR_UNKNOWN;
	if (port == 53 && service_has(addr, port, 0, FENCE_SVC_RESOLVER)) {
		f->addr = FENCE_ADDR_RESOLVER;
		return NO_RULE;
	}
	if (service_has(addr, port, 0, FENCE_SVC_PROXY)) {
		f->addr = FENCE_ADDR_PROXY;
		return NO_RULE;
	}
	if (addr_is_local(addr)) {
		f->addr = FENCE_ADDR_LOOPBACK;
		if (service_has(0, port, tool, FENCE_SVC_LOCAL))
			f->flags |= FENCE_F_PORT_OK;
		return NO_RULE;
	}
	a = answer_find(tool, addr, probe ? 0 : port, 0);
	if (a) {
		if (a->flags & FENCE_RULE_ASK) {
			f->addr = FENCE_ADDR_PROXY;
			return a->rule;
		}
		f->addr = FENCE_ADDR_NAMED;
		if (a->flags & FENCE_RULE_PLAIN)
			f->flags |= FENCE_F_PLAIN_OK;
		return a->rule;
	}
	__builtin_memcpy(net.addr, addr, 16);
	a = bpf_map_lookup_elem(&nets, &net);
	if (a) {
		f->addr = FENCE_ADDR_LISTED;
		return a->rule;
	}
	return NO_RULE;
}

/* Fill the facts about an address; returns the rule it came from. */
__weak __noinline __u32 facts_addr(struct fence_facts *f, __u8 tool, const struct octets16 *addr,
				   __u16 port)
{
	return f && addr ? facts_addr_in(f, tool, addr->b, port) : NO_RULE;
}

/*
 * An IPv4 destination under the policy in force, in one word: threads may send on one datagram
 * socket side by side, so what lets a datagram pass unasked must not be put together from two
 * writes. 0: not remembered. The generation's low half is enough: a socket would have to sleep
 * through 65,536 policies.
 */
static __always_inline __u64 listed_word(const __u8 *addr, __u16 port, __u32 generation)
{
	const __u32 *w = (const __u32 *)addr;

	if (port == 53) /* who is a resolver changes with the network, not with the policy */
		return 0;
	return addr_is4(addr) ? (__u64)w[3] << 32 | (__u32)port << 16 | (__u16)generation : 0;
}

struct key_cursor {
	const struct fence_name *name;
	struct fence_name_key *key;
	__u32 len;
	__u32 shape; /* 1: the shape's key, 0: the name's own */
};

static long key_step(__u32 i, void *ctx)
{
	struct key_cursor *c = ctx;
	__u32 at = i & 255;

	if (i >= c->len || at > 254)
		return 1;
	c->key->name[at] =
		c->shape ? fence_name_shape_at(c->name, i) : fence_name_key_at(c->name, i);
	return 0;
}

static __always_inline struct fence_rule *key_find(struct key_cursor *c)
{
	fence_loop(256, key_step, c);
	c->key->prefixlen = FENCE_NAME_KEY_BITS(c->len);
	return bpf_map_lookup_elem(&names, c->key);
}

/*
 * The rule for a whole name into `out`: its own, a suffix's, or its shape's. 1: there is one, 0:
 * there is none, negative: no scratch room.
 */
__weak __noinline int rule_find(__u8 tool, const struct fence_name *name, struct fence_rule *out)
{
	struct fence_scratch *s = scratch_take();
	struct key_cursor c = { .name = name };
	struct fence_rule *r;

	if (!s)
		return -1;
	if (!name || !out) {
		scratch_give(s);
		return -1;
	}
	c.key = &s->key;
	c.key->tool = tool_key(tool);
	c.len = fence_name_key_len(name);
	r = key_find(&c);
	if (!r && fence_name_has_shape(name)) {
		c.len = fence_name_shape_len(name);
		c.shape = 1;
		r = key_find(&c);
	}
	if (r)
		*out = *r;
	scratch_give(s);
	return !!r;
}

static __always_inline int rule_has_port(const struct fence_rule *r, __u16 port)
{
	__u32 i;

	for (i = 0; i < FENCE_PORTS_MAX; i++)
		if (i < r->nports && r->ports[i] == port)
			return 1;
	return 0;
}

/* Some tool's TLS is seen. */
static __always_inline int config_sees(void)
{
	struct fence_config *c = config_get();

	return c && c->flags & FENCE_CFG_SIGHT;
}

static __always_inline __u8 config_facts(const struct fence_config *c)
{
	__u8 flags = FENCE_F_CONFINED;

	if (!c)
		return flags | FENCE_F_OVERFLOW;
	if (c->flags & FENCE_CFG_MONITOR)
		flags |= FENCE_F_MONITOR;
	if (c->flags & FENCE_CFG_QUIC)
		flags |= FENCE_F_QUIC_OK;
	return flags;
}

/* The policy watches, and blocks nothing. */
static __always_inline int monitors(void)
{
	return !!(config_facts(config_get()) & FENCE_F_MONITOR);
}

/* Has the agent been silent for longer than the policy allows? */
static __always_inline int agent_silent(void)
{
	__u32 zero = 0;
	struct fence_pulse *p = bpf_map_lookup_elem(&pulse, &zero);

	return !p || is_past(bpf_ktime_get_ns(), p->beat, p->limit);
}

/* What holds for every question about a session. */
static __always_inline void facts_begin(struct fence_facts *f)
{
	f->flags = config_facts(config_get());
	f->state = agent_silent() ? FENCE_S_SILENT : 0;
}

/* action | reason << 8 */
__weak __noinline int judge_packed(const struct fence_facts *f)
{
	struct fence_verdict v;

	if (!f)
		return FENCE_DENY | FENCE_R_OVERFLOW << 8;
	v = fence_decide(f);
	if (v.action != FENCE_ALLOW)
		count(FENCE_C_DENIED);
	return v.action | v.reason << 8;
}

static __always_inline struct fence_verdict verdict_of(int packed)
{
	return (struct fence_verdict){ .action = (__u8)packed, .reason = (__u8)(packed >> 8) };
}

/* Decide, and count what is not allowed. */
static __always_inline struct fence_verdict judge(const struct fence_facts *f)
{
	return verdict_of(judge_packed(f));
}

/* What a record says beside its socket and its facts. */
struct told {
	__u64 cookie;
	__u64 netns;
	__u8 addr[16]; /* where it goes, where `to` is set */
	struct fence_verdict v;
	__u16 detail;
	__u16 level;
	__u16 port;
	__u8 to;
	__u8 spare[3];
	__u32 root; /* as fence_rec_flow's */
};

/*
 * It is about this destination: a datagram's, for the socket's own fields may be another thread's
 * at this moment, or the one on the wire.
 */
static __always_inline void told_to(struct told *t, const __u8 *addr, __u16 port)
{
	__builtin_memcpy(t->addr, addr, 16);
	t->port = port;
	t->to = 1;
}

/* The common part of a flow record, from what is known of the socket. */
static __always_inline void flow_fill(struct fence_rec_flow *r, const struct fence_sock *st,
				      const struct fence_facts *f, const struct told *t)
{
	r->cookie = t->cookie;
	r->exec = st->exec;
	r->start = st->start;
	r->session = st->session;
	r->netns = t->netns;
	__builtin_memset(r->wire, 0, 16);
	r->wire_port = 0;
	__builtin_memcpy(r->addr, st->addr, 16);
	r->port = st->port;
	if (t->to && f->at == FENCE_AT_PACKET && f->proto == FENCE_IPPROTO_TCP &&
	    st->flags & FENCE_SK_FLOW && (t->port != st->port || !addr_equal(t->addr, st->addr))) {
		__builtin_memcpy(r->wire, t->addr, 16);
		r->wire_port = t->port;
	} else if (t->to) {
		__builtin_memcpy(r->addr, t->addr, 16);
		r->port = t->port;
	}
	r->tgid = st->tgid;
	r->uid = st->uid;
	r->rule = st->rule;
	r->tool = st->tool;
	r->family = st->family;
	r->facts = *f;
	r->action = t->v.action;
	r->reason = t->v.reason;
	r->detail = t->detail;
	r->level = t->level;
	r->name_len = 0;
	r->spare = 0;
	r->root = t->root;
}

/* A flow begins. */
static __always_inline void flow_emit(const struct fence_sock *st, const struct fence_facts *f,
				      const struct told *t)
{
	struct fence_rec_flow *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);

	if (!r) {
		rec_lost(FENCE_K_FLOW);
		return;
	}
	rec_init(&r->h, FENCE_K_FLOW, sizeof(*r), 0);
	flow_fill(r, st, f, t);
	bpf_ringbuf_submit(r, ring_flags(0));
}

/* Its stream has said where it goes. */
__weak __noinline int name_emit(const struct fence_sock *st, const struct fence_facts *f,
				const struct fence_name *name, const struct told *t)
{
	struct fence_scratch *s = scratch_take();
	struct fence_rec_flow *r;
	__u32 n, len;

	if (!s)
		return -1;
	if (!st || !f || !name || !t) {
		scratch_give(s);
		return -1;
	}
	n = name->len & 255;
	len = sizeof(*r) + n;
	r = (void *)s->room;
	rec_init(&r->h, FENCE_K_NAME, len, 0);
	flow_fill(r, st, f, t);
	r->name_len = (__u16)n;
	__builtin_memcpy(r->name, name->text, 256);
	if (bpf_ringbuf_output(&ring, r, len, ring_flags(0)))
		rec_lost(FENCE_K_NAME);
	scratch_give(s);
	return 0;
}

#endif
