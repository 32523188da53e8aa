/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Layer 5. For hooks inside a system call: who asks, is he confined, and what he is told. */
#ifndef FENCE_BPF_SUBJECT_H
#define FENCE_BPF_SUBJECT_H

#include "deny.h"

#define EPERM 1
#define ENETUNREACH 101

struct subject {
	struct fence_proc *proc;
	__u32 tgid;
	__u8 overflow;
};

static __always_inline void subject_get(struct subject *s)
{
	s->tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	s->proc = bpf_map_lookup_elem(&procs, &s->tgid);
	s->overflow = !s->proc && overflow_raised();
}

static __always_inline int subject_confined(const struct subject *s, const struct fence_sock *st)
{
	if (s->overflow)
		return 1;
	if (s->proc && session_confined(s->proc->session))
		return 1;
	return st && session_confined(st->session);
}

/* Write down who uses the socket; a session, once there, stays. */
static __always_inline void owner_set(struct fence_sock *st, const struct subject *s)
{
	if (s->proc) {
		st->exec = s->proc->exec;
		st->start = s->proc->start;
		if (s->proc->session && !st->session) {
			st->session = s->proc->session;
			st->tool = s->proc->tool;
		}
	}
	st->tgid = s->tgid;
	st->uid = (__u32)bpf_get_current_uid_gid();
}

/*
 * 1: go on. What is refused because no agent is there says so: the network is gone, not the right
 * to it.
 */
static __always_inline int pass(struct fence_verdict v)
{
	if (v.action != FENCE_DENY)
		return 1;
	if (v.reason == FENCE_R_SILENT)
		bpf_set_retval(-ENETUNREACH);
	return 0;
}

/* A verdict without a flow: socket, bind, option. */
static __always_inline int refuse(__u64 cookie, struct fence_sock *st, const struct subject *s,
				  __u8 at, __u8 form, __u8 proto, __u8 family, __u16 detail,
				  __u16 level)
{
	struct fence_facts f = { .at = at, .proto = proto, .form = form };
	struct fence_sock none = { .rule = NO_RULE, .family = family };
	struct told t = { .cookie = cookie, .detail = detail, .level = level };

	facts_begin(&f);
	if (s->overflow)
		f.flags |= FENCE_F_OVERFLOW;
	t.v = judge(&f);
	if (t.v.action == FENCE_ALLOW)
		return 1;
	if (st)
		none = *st;
	else
		owner_set(&none, s);
	deny_emit(&none, &f, 0, &t);
	return pass(t.v);
}

/* A session's process asks for what it may not. 0, or -EPERM. */
static __always_inline int guard_judge(struct subject *who, struct fence_facts *f,
				       const struct fence_name *name, __u16 detail, __u16 level)
{
	struct fence_sock none = { .rule = NO_RULE };
	struct told t = { .detail = detail, .level = level };

	if (who->overflow)
		f->flags |= FENCE_F_OVERFLOW;
	owner_set(&none, who);
	t.v = judge(f);
	if (t.v.action == FENCE_ALLOW)
		return 0;
	deny_emit(&none, f, name, &t);
	return t.v.action == FENCE_DENY ? -EPERM : 0;
}

/* `level`: which of its kind, for what has kinds. */
static __always_inline int guard_refuse_one(struct subject *who, enum fence_guard what, __u16 level)
{
	struct fence_facts f = { .at = FENCE_AT_LOCAL };

	facts_begin(&f);
	return guard_judge(who, &f, 0, (__u16)what, level);
}

static __always_inline int guard_refuse(struct subject *who, enum fence_guard what)
{
	return guard_refuse_one(who, what, 0);
}

static __always_inline int guard(enum fence_guard what)
{
	struct subject who;

	subject_get(&who);
	return subject_confined(&who, 0) ? guard_refuse(&who, what) : 0;
}

#endif
