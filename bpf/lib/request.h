/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 5. A request before it is encrypted: what its head is to the policy, what is refused of it,
 * and what of the answers will be read.
 */
#ifndef FENCE_BPF_REQUEST_H
#define FENCE_BPF_REQUEST_H

#include "deny.h"
#include "sight.h"

#define SIGKILL 9

/*
 * What a request's head is to the policy: facts and rule into s->hold. `whole` is set when its
 * answer may be the org's, which is read to the last octet.
 */
static __always_inline struct fence_verdict request_judge(struct fence_scratch *s,
							  const struct fence_proc *p, __u32 *whole)
{
	struct fence_config *cfg = config_get();
	struct fence_head *h = &s->head;
	struct fence_facts f = { .at = FENCE_AT_REQUEST, .proto = FENCE_IPPROTO_TCP };
	struct fence_rule r = { .id = NO_RULE };
	int found;

	f.flags = config_facts(cfg);
	f.addr = FENCE_ADDR_NAMED;
	f.stream = FENCE_STREAM_TLS;
	if (h->hosts && fence_name_ok(&h->name)) {
		found = rule_find(p->tool, &h->name, &r);
		if (found < 0)
			f.flags |= FENCE_F_OVERFLOW;
		f.name = found > 0 ? FENCE_NAME_ALLOWED : FENCE_NAME_REFUSED;
	} else if (h->hosts) {
		f.name = FENCE_NAME_MALFORMED;
	}
	if (h->hosts && (f.name != FENCE_NAME_ALLOWED || r.flags & FENCE_RULE_OWN))
		*whole = 1;
	if (h->has_org && h->hosts && !(r.flags & FENCE_RULE_OWN))
		f.form = FENCE_FORM_TOKEN;
	else if (h->has_org && cfg && cfg->flags & FENCE_CFG_ORGS &&
		 !service_has((const __u8 *)h->org, 0, 0, FENCE_SVC_ORG))
		f.form = FENCE_FORM_TENANT;
	if (!h->hosts && !f.form) /* HTTP/2: by its index; it was looked at when it got one */
		return (struct fence_verdict){};
	s->hold.facts = f;
	s->hold.rule = r.id;
	return verdict_of(judge_packed(&s->hold.facts));
}

struct head_cursor {
	struct fence_scratch *s;
	const struct fence_proc *p;
	__u32 off;
	__u32 len;
	__u32 refused;
	enum fence_cleared cleared; /* seen, not confined: but for listed extensions */
	__u32 listed;
	__u32 own; /* the org was asked, while that matters */
	__u32 whole; /* what is answered is to be read to the end */
};

struct origin_cursor {
	struct fence_hash hash;
	const struct fence_head *head;
};

static long origin_step(__u32 i, void *ctx)
{
	struct origin_cursor *c = ctx;

	if (i >= c->head->origin_len)
		return 1;
	fence_hash_feed(&c->hash, i, (__u8)c->head->origin[i & (FENCE_ORIGIN_MAX - 1)]);
	return 0;
}

/* Is it a listed extension's: Chromium's by its id, Firefox's by its profile's UUID for it? */
static __always_inline int is_listed(const struct fence_head *h)
{
	struct fence_config *cfg = config_get();
	struct origin_cursor c = { .head = h };
	__u64 key[2] = {};

	if (!cfg || (h->origin_len != 32 && h->origin_len != 36))
		return 0;
	fence_hash_init(&c.hash, cfg->key);
	fence_loop(FENCE_ORIGIN_MAX, origin_step, &c);
	key[0] = fence_hash_end(&c.hash);
	return service_has((const __u8 *)key, 0, 0, FENCE_SVC_ORIGIN);
}

/* Can it be nobody's but a listed one's, as the agent has found of this browser lately? */
static __always_inline int is_sole(const struct fence_head *h, const struct fence_proc *p)
{
	struct sole_key k = { .session = p->session, .host = h->name.hash };
	__u64 *since;

	if (!fence_head_is_anonymous(h) || !h->hosts || !fence_name_ok(&h->name))
		return 0;
	since = bpf_map_lookup_elem(&soles, &k);
	return since && !is_past(bpf_ktime_get_boot_ns(), *since, FENCE_SOLE_NS);
}

static __always_inline int is_own(const struct fence_head *h, const struct fence_proc *p)
{
	struct fence_rule r = {};

	return h->hosts && fence_name_ok(&h->name) && rule_find(p->tool, &h->name, &r) > 0 &&
	       r.flags & FENCE_RULE_OWN;
}

static long head_step(__u32 i, void *ctx)
{
	struct head_cursor *c = ctx;
	struct fence_head *h = &c->s->head;
	__u32 n;

	if (h->state == FENCE_HEAD_DONE) {
		if (c->cleared)
			c->listed |= (__u32)(is_listed(h) || is_sole(h, c->p));
		if (c->cleared == FENCE_UNTAINTED)
			c->own |= (__u32)is_own(h, c->p);
		c->refused = (!c->cleared || c->listed) &&
			     request_judge(c->s, c->p, &c->whole).action == FENCE_DENY;
		c->whole |= h->tunnel;
		if (c->refused)
			return 1;
		fence_head_next(h);
	}
	if (h->state != FENCE_HEAD_MORE || c->off >= c->len)
		return 1;
	n = fence_head_jump(h, c->len - c->off);
	if (n) {
		c->off += n;
		return 0;
	}
	fence_head_feed(h, c->s->text[c->off & (FENCE_HEAD_BUF - 1)]);
	c->off++;
	return 0;
}

/*
 * What this thread sends next is not to leave; nor, where it is known, what its socket does. Where
 * either cannot be remembered, the process ends.
 */
static __always_inline void hold_begin(struct thread *t, const struct fence_hold *hold,
				       __u64 cookie)
{
	__u64 id = bpf_get_current_pid_tgid();

	cookie |= FENCE_HOLD_SOCKET;
	if ((cookie != FENCE_HOLD_SOCKET && bpf_map_update_elem(&holds, &cookie, hold, BPF_ANY)) ||
	    bpf_map_update_elem(&holds, &id, hold, BPF_ANY))
		bpf_send_signal(SIGKILL);
	else
		t->held = 1;
}

/* There is no memory to look at what a confined session writes; not where nothing is blocked. */
static __always_inline void request_lost(const struct fence_proc *p)
{
	if (!session_cleared(p->session) && p->session && !monitors())
		bpf_send_signal(SIGKILL);
}

/* A request that was looked at is refused. */
static __always_inline void request_refuse(struct fence_scratch *s, const struct fence_proc *p,
					   __u64 cookie)
{
	struct thread *t = thread_get(BPF_LOCAL_STORAGE_GET_F_CREATE);

	s->hold.session = p->session;
	s->hold.time = bpf_ktime_get_boot_ns();
	s->hold.spare = 0;
	s->hold.name = s->head.name;
	if (t)
		hold_begin(t, &s->hold, cookie);
	else
		bpf_send_signal(SIGKILL);
}

/* There is no room to look at what a confined session writes: it may be anything. */
static __always_inline void request_unseen(const struct fence_proc *p, __u64 cookie)
{
	struct thread *t = thread_get(BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t) {
		bpf_send_signal(SIGKILL);
		return;
	}
	t->unseen.session = p->session;
	t->unseen.time = bpf_ktime_get_boot_ns();
	t->unseen.rule = NO_RULE;
	t->unseen.facts = (struct fence_facts){
		.at = FENCE_AT_REQUEST,
		.flags = config_facts(config_get()) | FENCE_F_OVERFLOW,
		.proto = FENCE_IPPROTO_TCP,
		.addr = FENCE_ADDR_NAMED,
		.stream = FENCE_STREAM_TLS,
	};
	hold_begin(t, &t->unseen, cookie);
}

/*
 * A write was looked at, before it is counted: what is read on its connection from now on. The
 * bodies of answers are read for the org's records; another's are copied for nobody.
 */
static __always_inline void conn_reads(struct conn *conn, const struct head_cursor *c, __u64 len)
{
	const struct fence_head *h = &c->s->head;
	int begins = conn->reads == READ_UNDECIDED && !conn->at[1] && h->two &&
		     c->s->text[0] == 'P'; /* the preface */

	conn->reads = (begins || conn->reads == READ_HEADS) && !c->cleared && !c->whole &&
				      c->off >= len && fence_head_told(h)
			      ? READ_HEADS
			      : READ_WHOLE;
}

/*
 * A session's thread is about to have `len` octets encrypted. What is refused of them is not to
 * leave: where that cannot be remembered, the process ends before it goes on. `cookie`: of the
 * socket, where it is known; 0. `conn`: may be NULL, then no extension is told. Returns 1 when
 * there is nothing in them that the agent has to look at at once.
 */
__weak __noinline int request_look(__u64 buf, __u64 len, const struct fence_proc *p, __u64 cookie,
				   struct conn *conn)
{
	struct head_cursor c = { .p = p };
	int told;
	__u32 n;

	if (!p || !buf || !len)
		return 0;
	c.s = scratch_take();
	if (!c.s) {
		if (conn)
			conn->reads = READ_WHOLE;
		if (!session_cleared(p->session))
			request_unseen(p, cookie);
		return 0;
	}
	n = len < FENCE_HEAD_BUF ? (__u32)len : FENCE_HEAD_BUF;
	n = ((n - 1) & (FENCE_HEAD_BUF - 1)) + 1;
	c.len = bpf_probe_read_user(c.s->text, n, (void *)buf) ? 0 : n;
	fence_head_init(&c.s->head);
	c.cleared = session_cleared(p->session);
	c.listed = conn ? conn->listed : 0;
	bpf_loop(FENCE_HEAD_BUF + 1, head_step, &c, 0);
	if (conn) {
		conn->listed = (__u8)c.listed;
		conn->own |= (__u8)c.own;
		if (!conn->at[1] && c.len)
			conn->opaque = fence_head_is_foreign(&c.s->head);
		conn_reads(conn, &c, len);
	}
	if (c.refused)
		request_refuse(c.s, p, cookie);
	/* what is held at its socket the denial tells of */
	told = c.refused ? !!cookie : c.off >= len && fence_head_told(&c.s->head);
	scratch_give(c.s);
	return told || (conn && conn->opaque);
}

/* The thread's send was that of what was held, or there will be none. */
static __always_inline void hold_end(struct thread *t, struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct fence_hold *hold = bpf_map_lookup_elem(&holds, &id);
	struct told told = {};
	struct fence_facts f;
	struct fence_sock *st;

	t->held = 0;
	st = sk && hold ? bpf_sk_storage_get(&socks, sk, 0, 0) : 0;
	/* what the kernel queued, and will send by itself: judged as egress does, by the socket */
	if (st && st->phase != FENCE_PH_DENIED && st->session == hold->session) {
		f = hold->facts;
		f.addr = st->kind;
		told.v = judge(&f);
		told.cookie = bpf_get_socket_cookie(sk);
		if (told.v.action == FENCE_DENY) {
			st->rule = hold->rule;
			st->phase = FENCE_PH_DENIED;
			st->why = told.v.reason;
			if (deny_emit(st, &f, &hold->name, &told))
				st->flags |= FENCE_SK_UNTOLD;
		}
	}
	bpf_map_delete_elem(&holds, &id);
}

#endif
