/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 4. A denial is told once and then counted: the first of its kind goes through a ring of its
 * own at once, the same again adds to an entry of `denied`. So a flood costs one entry, whatever
 * else floods the other ring, and its count is exact.
 */
#ifndef FENCE_BPF_DENY_H
#define FENCE_BPF_DENY_H

#include "fence.h"

/* A stream that is refused has to be destroyed by the agent: each socket is told. */
static __always_inline int deny_each(const struct fence_facts *f)
{
	return f->proto == FENCE_IPPROTO_TCP && !(f->state & FENCE_S_SILENT) &&
	       (f->at == FENCE_AT_STREAM || f->at == FENCE_AT_PACKET);
}

static __always_inline void deny_send(struct fence_rec_flow *r, __u32 len, struct fence_denial *in)
{
	if (!bpf_ringbuf_output(&denials, r, len, BPF_RB_FORCE_WAKEUP)) {
		if (in)
			in->told = 1;
	} else if (!in) {
		count(FENCE_C_RING_LOST_DENY);
	}
}

/* Count it. The entry, new or old; NULL when there is no room for it. */
static __always_inline struct fence_denial *deny_count(const struct fence_denial_key *k,
						       const struct fence_denial *fresh, int *again)
{
	struct fence_denial *in = bpf_map_lookup_elem(&denied, k);

	*again = 1;
	if (!in && !bpf_map_update_elem(&denied, k, fresh, BPF_NOEXIST)) {
		*again = 0;
		return bpf_map_lookup_elem(&denied, k);
	}
	if (!in)
		in = bpf_map_lookup_elem(&denied, k); /* another CPU was first */
	if (in) {
		__sync_fetch_and_add(&in->count, 1);
		in->last = fresh->last;
	}
	return in;
}

static __always_inline __u32 deny_epoch(void)
{
	__u32 zero = 0;
	struct fence_pulse *p = bpf_map_lookup_elem(&pulse, &zero);

	return p ? p->epoch : 0;
}

struct denial {
	const struct fence_sock *st;
	const struct fence_facts *f;
	const struct fence_name *name; /* NULL: none */
	__u64 cookie;
	__u64 netns;
	struct fence_verdict v;
	__u16 detail;
	__u16 level;
};

static __always_inline void deny_fill(struct fence_rec_flow *r, const struct denial *d, __u32 n)
{
	rec_init(&r->h, FENCE_K_DENY, sizeof(*r) + n, 1);
	flow_fill(r, d->st, d->cookie, d->f, d->v);
	r->netns = d->netns;
	r->detail = d->detail;
	r->level = d->level;
	r->name_len = (__u16)n;
}

/* No room to count in: through the ring alone. */
static __always_inline void deny_bare(const struct denial *d)
{
	struct fence_rec_flow *r = bpf_ringbuf_reserve(&denials, sizeof(*r), 0);

	if (!r) {
		count(FENCE_C_RING_LOST_DENY);
		return;
	}
	deny_fill(r, d, 0);
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

/* `s`: scratch room that the caller has, or NULL. */
static __always_inline void deny_emit(const struct denial *d, struct fence_scratch *s)
{
	struct fence_scratch *own = s ? 0 : scratch_take();
	struct fence_denial_key k = {
		.session = d->st->session,
		.exec = d->st->exec,
		.name = d->name ? d->name->hash : 0,
		.epoch = deny_epoch(),
		.port = d->st->port,
		.detail = d->detail,
		.level = d->level,
		.at = d->f->at,
		.reason = d->v.reason,
		.action = d->v.action,
		.proto = d->f->proto,
	};
	struct fence_denial *fresh, *in;
	struct fence_rec_flow *r;
	__u32 n = d->name ? d->name->len & 255 : 0;
	int again;

	if (!s)
		s = own;
	if (!s) {
		deny_bare(d);
		return;
	}
	fresh = (void *)s->room;
	r = (void *)fresh->rec;
	deny_fill(r, d, n);
	if (d->name)
		__builtin_memcpy(r->name, d->name->text, 256);
	fresh->count = 1;
	fresh->last = r->h.time;
	fresh->told = 0;
	__builtin_memcpy(k.addr, d->st->addr, 16);
	in = deny_count(&k, fresh, &again);
	if (in && again)
		r->h.flags |= FENCE_REC_AGAIN;
	if (!in || !again)
		deny_send(r, sizeof(*r) + n, in);
	else if (deny_each(d->f))
		bpf_ringbuf_output(&denials, r, sizeof(*r) + n, BPF_RB_FORCE_WAKEUP);
	if (own)
		scratch_give(own);
}

#endif
