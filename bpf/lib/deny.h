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
	       !(f->at == FENCE_AT_DNS && fence_form_is_answer(f->form)) &&
	       (f->at == FENCE_AT_STREAM || f->at == FENCE_AT_PACKET || f->at == FENCE_AT_DNS ||
		f->at == FENCE_AT_REQUEST);
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

static __always_inline void deny_fill(struct fence_rec_flow *r, const struct fence_sock *st,
				      const struct fence_facts *f, const struct told *t, __u32 n)
{
	rec_init(&r->h, FENCE_K_DENY, sizeof(*r) + n, 1);
	flow_fill(r, st, f, t);
	r->name_len = (__u16)n;
}

/* No room to count in: through the ring alone. */
static __always_inline int deny_bare(const struct fence_sock *st, const struct fence_facts *f,
				     const struct told *t, __u8 flags)
{
	struct fence_rec_flow *r = bpf_ringbuf_reserve(&denials, sizeof(*r), 0);

	if (!r)
		return -1;
	deny_fill(r, st, f, t, 0);
	r->h.flags |= flags;
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* Into the entry, and, the first time or for its socket's sake, into the ring. */
static __always_inline int deny_room(struct fence_scratch *s, const struct fence_sock *st,
				     const struct fence_facts *f, const struct fence_name *name,
				     const struct told *t)
{
	struct fence_denial_key k = {
		.session = st->session,
		.exec = st->exec,
		.name = name ? name->hash : 0,
		.epoch = deny_epoch(),
		.detail = t->detail,
		.level = t->level,
		.at = f->at,
		.reason = t->v.reason,
		.action = t->v.action,
		.proto = f->proto,
	};
	struct fence_denial *fresh = (void *)s->room, *in;
	struct fence_rec_flow *r = (void *)fresh->rec;
	__u32 n = name ? name->len & 255 : 0;
	int again, err;

	deny_fill(r, st, f, t, n);
	if (name)
		__builtin_memcpy(r->name, name->text, 256);
	fresh->count = 1;
	fresh->last = r->h.time;
	fresh->told = 0;
	k.port = t->to ? t->port : st->port;
	__builtin_memcpy(k.addr, t->to ? t->addr : st->addr, 16);
	in = deny_count(&k, fresh, &again);
	if (in && again) {
		if (!deny_each(f))
			return 0;
		r->h.flags |= FENCE_REC_AGAIN;
	}
	err = (int)bpf_ringbuf_output(&denials, r, sizeof(*r) + n, BPF_RB_FORCE_WAKEUP);
	if (!err && in && !again)
		in->told = 1;
	else if (err && !in)
		count(FENCE_C_RING_LOST_DENY);
	return err && deny_each(f) ? -1 : 0;
}

/*
 * Tell of a denial; `name` may be NULL. Negative: it is counted, but the agent was not told that
 * the socket has to go.
 */
__weak __noinline int deny_emit(const struct fence_sock *st, const struct fence_facts *f,
				const struct fence_name *name, const struct told *t)
{
	struct fence_scratch *s;
	int err;

	if (!st || !f || !t)
		return -1;
	s = scratch_take();
	if (!s) {
		err = deny_bare(st, f, t, 0);
		if (err)
			count(FENCE_C_RING_LOST_DENY);
		return err;
	}
	err = deny_room(s, st, f, name, t);
	scratch_give(s);
	return err;
}

/* Counted before, but the ring was full: tell the agent now that the socket has to go. */
static __always_inline int deny_socket(const struct fence_sock *st, const struct fence_facts *f,
				       const struct told *t)
{
	return deny_bare(st, f, t, FENCE_REC_AGAIN);
}

#endif
