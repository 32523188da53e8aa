/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 4. TLS sight's connections: what a thread is in the middle of, which socket a connection
 * writes to, and the records of its plaintext.
 */
#ifndef FENCE_BPF_SIGHT_H
#define FENCE_BPF_SIGHT_H

#include <crmfence/sight.h>

#include "fence.h"

#define WAKE (1u << 20)

/* A TLS call that has not returned yet. */
struct frame {
	__u64 sp; /* at its first instruction; 0: free */
	__u64 conn;
	__u64 buf;
	__u64 done; /* where the library will say how much it took or gave */
	__u32 call; /* enum fence_tls_call */
	__u32 told; /* of a write: nothing in it waits for the agent */
};

struct thread {
	struct frame frames[FENCE_SIGHT_FRAMES];
	__u64 inside; /* connection of the write that runs, for the next send */
	__u64 pending; /* one whose write has returned without a send */
	__u32 pending_len;
	__u32 next; /* frame to take when none is free */
	__u32 held; /* an entry of `holds` is this thread's */
	__u32 spare;
	struct fence_hold unseen; /* room to refuse without a scratch slot */
};

/* No memory: the thread's calls are not seen, and counted as returns without an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

struct conn_key {
	__u64 conn; /* the library's own pointer */
	__u32 tgid;
	__u32 spare;
};

/* What of a connection's answers is for the agent. */
enum reads {
	READ_UNDECIDED, /* nothing was written yet; a server's SETTINGS may come first */
	READ_HEADS, /* HTTP/2 from its beginning, a confined session's, and only others were asked
		     */
	READ_WHOLE, /* for good */
};

struct conn {
	__u64 id;
	__u64 cookie;
	__u64 at[2]; /* octets so far: read, written */
	__u32 how; /* enum fence_sight_how */
	__u8 listed; /* a listed extension's */
	__u8 own; /* something was asked of the org on it */
	__u8 opaque; /* it does not begin as HTTP does: nobody decides anything on it */
	__u8 reads; /* enum reads */
	struct fence_frame frame; /* while not READ_WHOLE: where what is read is */
};

/* Full: the least recently used goes; its next call begins a new connection, unmapped. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct conn_key);
	__type(value, struct conn);
} conns SEC(".maps");

struct go_key {
	__u64 g; /* goroutine: it may go on on another thread */
	__u32 tgid;
	__u32 spare;
};

struct go_read {
	__u64 conn;
	__u64 buf;
};

/* Full: the least recently used goes; its return is counted as without an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct go_key);
	__type(value, struct go_read);
} go_reads SEC(".maps");

/* The end of a record that was encrypted into memory: its AEAD's tag. */
struct tag_key {
	__u8 octets[16];
};

/* Full: the least recently used goes; its connection's socket is the thread's next send. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct tag_key);
	__type(value, struct conn_key);
} tags SEC(".maps");

struct sole_key {
	__u64 session;
	__u64 host; /* FNV-1a */
};

/*
 * Boot time of when the agent found that whoever of this browser's extensions may ask that host is
 * listed. Full: the least recently used goes; its next request is the agent's to see again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct sole_key);
	__type(value, __u64);
} soles SEC(".maps");

/* Full: the chunk is lost, counted, and a gap in its stream. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FENCE_SIGHT_RING);
} sight SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FENCE_SIGHT_MISS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} missed SEC(".maps");

static __always_inline void miss(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&missed, &which);

	if (n)
		__sync_fetch_and_add(n, 1);
}

__u64 urgent; /* records that the agent was woken for */

/*
 * Wake the agent for this record of `size` octets? At once, when it may have to stop what is
 * written; else with each MiB that waits. Not for each record behind that: it would cost the writer
 * more than the record, and the sooner the agent is late.
 */
static __always_inline __u64 wake(__u32 now, __u64 size)
{
	__u64 waits;

	if (now) {
		__sync_fetch_and_add(&urgent, 1);
		return BPF_RB_FORCE_WAKEUP;
	}
	waits = bpf_ringbuf_query(&sight, BPF_RB_AVAIL_DATA); /* this one, too */
	return waits >= WAKE && waits % WAKE < size + BPF_RINGBUF_HDR_SZ ? BPF_RB_FORCE_WAKEUP
									 : BPF_RB_NO_WAKEUP;
}

/* The process, when the policy wants its TLS seen. */
static __always_inline struct fence_proc *watched(__u32 tgid)
{
	struct fence_proc *p = bpf_map_lookup_elem(&procs, &tgid);

	return p && p->sight ? p : 0;
}

static __always_inline struct thread *thread_get(__u64 flags)
{
	return bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, flags);
}

static __always_inline struct conn *conn_get(const struct conn_key *k)
{
	struct conn *c = bpf_map_lookup_elem(&conns, k), fresh = {};

	if (c)
		return c;
	fresh.id = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&conns, k, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&conns, k);
}

/* Of the socket that it was sent on before, for sure; 0: not known. */
static __always_inline __u64 conn_cookie(const struct conn *c)
{
	return c && c->how == FENCE_SIGHT_EXACT ? c->cookie : 0;
}

static __always_inline void fill(struct fence_sight_rec *r, const struct conn *c,
				 const struct fence_proc *p, __u32 tgid, __u8 kind)
{
	r->time = bpf_ktime_get_boot_ns();
	r->conn = c->id;
	r->cookie = c->cookie;
	r->offset = 0;
	r->exec = p->exec;
	r->session = p->session;
	r->tgid = tgid;
	r->call = 0;
	r->len = 0;
	r->kind = kind;
	r->out = 0;
	r->how = (__u8)c->how;
	r->tool = p->tool;
	r->part = r->spare = 0;
	r->after = r->spare2 = 0;
}

static __always_inline void tell(const struct conn *c, const struct fence_proc *p, __u32 tgid,
				 __u8 kind, __u32 now)
{
	struct fence_sight_rec *r = bpf_ringbuf_reserve(&sight, sizeof(*r), 0);

	if (!r) {
		miss(FENCE_SIGHT_RING_FULL);
		return;
	}
	fill(r, c, p, tgid, kind);
	bpf_ringbuf_submit(r, wake(now, sizeof(*r)));
}

struct cursor {
	struct conn *c;
	struct fence_proc *p;
	__u64 buf;
	__u64 offset;
	__u32 n; /* octets of the run */
	__u32 at; /* of them, done */
	__u32 after; /* octets of a body behind them */
	__u32 tgid;
	__u32 out;
	__u32 now; /* the agent is to look at it at once */
};

/* One chunk in a record with room for `ROOM` octets. */
#define CHUNK(ROOM) \
	do { \
		struct fence_sight_rec *r = bpf_ringbuf_reserve(&sight, sizeof(*r) + (ROOM), 0); \
		if (!r) { \
			miss(FENCE_SIGHT_RING_FULL); \
			break; \
		} \
		fill(r, u->c, u->p, u->tgid, FENCE_SIGHT_DATA); \
		r->offset = u->offset + u->at; \
		r->call = u->n; \
		r->out = (__u8)u->out; \
		r->len = (__u16)part; \
		r->part = (__u8)(u->at / FENCE_SIGHT_CHUNK); \
		r->after = part == u->n - u->at ? u->after : 0; \
		if (part > (ROOM) || \
		    bpf_probe_read_user(r->data, part, (void *)(u->buf + u->at))) { \
			miss(FENCE_SIGHT_FAULT); \
			bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP); \
			break; \
		} \
		bpf_ringbuf_submit(r, wake(u->now, sizeof(*r) + (ROOM))); \
	} while (0)

static long chunk(__u32 i, void *ctx)
{
	struct cursor *u = ctx;
	__u32 part = u->n - u->at;

	if (!part && (i || !u->after))
		return 1;
	if (part > FENCE_SIGHT_CHUNK)
		part = FENCE_SIGHT_CHUNK;
	if (part <= FENCE_SIGHT_TINY)
		CHUNK(FENCE_SIGHT_TINY);
	else if (part <= FENCE_SIGHT_SMALL)
		CHUNK(FENCE_SIGHT_SMALL);
	else
		CHUNK(FENCE_SIGHT_CHUNK);
	u->at += part;
	return 0;
}

/* The first octets of an answer: its session is confined before it can use them. */
static __always_inline void taint(const struct conn *c, const struct fence_proc *p, __u32 tgid)
{
	__u64 id = p->session;
	struct fence_session *s = bpf_map_lookup_elem(&sessions, &id);

	if (!s || s->cleared != FENCE_UNTAINTED)
		return;
	s->cleared = FENCE_CONFINED;
	tell(c, p, tgid, FENCE_SIGHT_TAINT, 1);
}

static __always_inline void run(struct cursor *u)
{
	if (u->n > FENCE_SIGHT_CALL * FENCE_SIGHT_CHUNK)
		miss(FENCE_SIGHT_LONG);
	bpf_loop(FENCE_SIGHT_CALL, chunk, u, 0);
}

struct frames {
	struct cursor u; /* of what is between two bodies */
	__u64 buf;
	__u64 offset;
	__u32 n; /* octets of the call */
	__u32 at;
};

/* Of what is between two bodies, and of how long the second one is. */
static __always_inline void run_end(struct frames *f, __u32 after)
{
	struct cursor *u = &f->u;

	u->n = f->at - (__u32)(u->buf - f->buf);
	u->offset = f->offset + (u->buf - f->buf);
	u->at = 0;
	u->after = after;
	run(u);
	u->buf += u->n + after;
}

/* A frame's header, or its payload, or as much of either as is there. */
static long frame_step(__u32 i, void *ctx)
{
	struct frames *f = ctx;
	struct fence_frame *h = &f->u.c->frame;
	__u32 n = f->n - f->at;
	__u8 head[FENCE_FRAME_HEADER];

	if (!n)
		return 1;
	if (!h->got && h->left) {
		if (n > h->left)
			n = h->left;
		if (f->u.c->reads == READ_HEADS && fence_frame_is_body(h) && n >= FENCE_SIGHT_BODY)
			run_end(f, n);
		f->at += n;
		h->left -= n;
		return 0;
	}
	if (n > sizeof(head))
		n = sizeof(head);
	if (bpf_probe_read_user(head, n, (void *)(f->buf + f->at))) {
		f->u.c->reads = READ_WHOLE;
		return 1;
	}
	f->at += fence_frame_head(h, head, n);
	return 0;
}

/* What is read on a connection of which only the heads are, or may be, wanted. */
static __always_inline void heads(const struct cursor *whole)
{
	struct frames f = {
		.u = *whole, .buf = whole->buf, .offset = whole->offset, .n = whole->n
	};

	bpf_loop(2 * FENCE_SIGHT_FRAMES_AT_ONCE, frame_step, &f, 0);
	if (f.at < f.n) /* where its frames are is not known any more */
		f.u.c->reads = READ_WHOLE;
	f.at = f.n;
	run_end(&f, 0);
}

static __always_inline void plaintext(struct fence_proc *p, const struct conn_key *k, __u64 buf,
				      __u32 n, __u32 out, __u32 now)
{
	struct cursor u = { .p = p, .buf = buf, .n = n, .tgid = k->tgid, .out = out, .now = now };

	u.c = conn_get(k);
	if (!u.c)
		return;
	if (!out && u.c->own)
		taint(u.c, p, k->tgid);
	u.offset = u.c->at[out & 1];
	u.c->at[out & 1] += n;
	if (!out && u.c->reads != READ_WHOLE)
		heads(&u);
	else
		run(&u);
}

static __always_inline void conn_end(struct fence_proc *p, const struct conn_key *k)
{
	struct conn *c = bpf_map_lookup_elem(&conns, k);

	if (!c)
		return;
	tell(c, p, k->tgid, FENCE_SIGHT_END, 0);
	bpf_map_delete_elem(&conns, k);
}

/*
 * The connection's socket. Another one than before, of the same certainty: the library used its
 * memory again. What is known mends a guess; a guess does not move what is known.
 */
static __always_inline void map_to(struct fence_proc *p, const struct conn_key *k, __u64 cookie,
				   __u32 how)
{
	struct conn *c = conn_get(k);

	if (!c || how < c->how || (how == c->how && cookie == c->cookie))
		return;
	if (c->cookie && c->cookie != cookie && c->how == how) {
		tell(c, p, k->tgid, FENCE_SIGHT_END, 0);
		c->id = bpf_ktime_get_boot_ns();
		c->at[0] = c->at[1] = 0;
		c->reads = READ_WHOLE;
	}
	c->cookie = cookie;
	c->how = how;
	tell(c, p, k->tgid, FENCE_SIGHT_MAP, 0);
}

#endif
