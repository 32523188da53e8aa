/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Layer 4. A session's beginning and end, as they are told, and a process that leaves it. */
#ifndef FENCE_BPF_SESSION_H
#define FENCE_BPF_SESSION_H

#include "fence.h"

static __always_inline void session_emit(__u64 id, const struct fence_session *s, __u8 change)
{
	struct fence_rec_session *r = bpf_ringbuf_reserve(&denials, sizeof(*r), 0);

	if (!r) {
		rec_lost(FENCE_K_SESSION);
		return;
	}
	rec_init(&r->h, FENCE_K_SESSION, sizeof(*r), 1);
	r->session = id;
	r->total = s->total;
	r->start = s->start;
	r->tgid = s->tgid;
	r->rule = s->rule;
	r->tool = s->tool;
	r->match = s->match;
	r->change = change;
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

/* A process less; the last one ends it. */
static __always_inline void session_leave(__u64 id)
{
	struct fence_session *s = bpf_map_lookup_elem(&sessions, &id);

	if (!s || __sync_fetch_and_add(&s->procs, -1) != 1)
		return;
	session_emit(id, s, FENCE_SESSION_END);
	bpf_map_delete_elem(&sessions, &id);
}

#endif
