/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 7. Tier A: what is no network, at the security hooks. Built twice from this file: as BPF
 * LSM (A1), and as fmod_ret on the functions that call the hooks (A2), for kernels whose `lsm=`
 * lacks bpf. GUARD(hook, arguments) opens a program of either kind.
 *
 * The subject is the task. What belongs to its own session stays open to it.
 */
#ifndef FENCE_BPF_GUARD_H
#define FENCE_BPF_GUARD_H

#include <crmfence/shut.h>

#include "carry.h"
#include "path.h"
#include "unix.h"

#define SIG_INFO_KERNEL 1UL
#define MQUEUE_MAGIC 0x19800202
#define PIPEFS_MAGIC 0x50495045
#define BPF_FS_MAGIC 0xcafe4a11
#define FUSE_MAGIC 0x65735546
#define OTHERS_WRITE 022 /* a sticky directory does not help: the name may be free */
#define FMODE_WRITE 2
#define LAUNCH_NS 60000000000ULL
#define CAP_OPT_NOAUDIT 2 /* include/linux/security.h */
#define KEY_NEED_WRITE 3 /* enum key_need_perm, include/linux/key.h */

/* Is process `tgid` of the subject's own session? */
static __always_inline int guard_within(const struct subject *who, __u32 tgid)
{
	struct fence_proc *other;

	if (tgid == who->tgid)
		return 1;
	other = bpf_map_lookup_elem(&procs, &tgid);
	return who->proc && other && other->session == who->proc->session;
}

/* As guard(), but not between processes of one session. */
static __always_inline int guard_other(enum fence_guard what, __u32 tgid)
{
	struct subject who;

	subject_get(&who);
	return subject_confined(&who, 0) && !guard_within(&who, tgid) ? guard_refuse(&who, what)
								      : 0;
}

/*
 * `crmfence exec` is a session's first process already while it makes root's mounts and gives its
 * rights up: as long as it has not become the tool, and for no longer than that takes.
 */
static __always_inline int guard_launching(const struct subject *who)
{
	__u64 id = who->proc->session;
	struct fence_session *s = bpf_map_lookup_elem(&sessions, &id);

	return s && s->match == FENCE_MATCH_EXEC && s->tgid == who->tgid &&
	       who->proc->exec < s->start && !is_past(bpf_ktime_get_boot_ns(), s->start, LAUNCH_NS);
}

/*
 * For what nobody but a session is ever refused: that a process is not known, while a table is
 * full, is no reason to stop the machine's own work.
 */
static __always_inline int guard_session(struct subject *who)
{
	subject_get(who);
	return who->proc && session_confined(who->proc->session) && !guard_launching(who);
}

/* Has it one of these capabilities at hand? */
static __always_inline int cred_has(const struct cred *cred, __u64 caps)
{
	__u64 effective = 0; /* two words before 6.3: the same octets */

	bpf_probe_read_kernel(&effective, sizeof(effective), &cred->cap_effective);
	return (effective & caps) != 0;
}

/*
 * The kernel asks whether a process has a capability over the machine. Of one that has not the
 * kernel says so itself; in a user namespace of its own (browsers' sandboxes) a session has all.
 * Who asks without a record (CAP_OPT_NOAUDIT) only looks what is there.
 */
static __always_inline int guard_capable(const struct cred *cred, struct user_namespace *ns,
					 int cap, unsigned int opts)
{
	struct subject who;

	if (FENCE_CAPS_KEPT >> (cap & 63) & 1)
		return 0;
	if (BPF_CORE_READ(ns, level) || !cred_has(cred, 1ULL << (cap & 63)) ||
	    BPF_CORE_READ(cred, user_ns, level))
		return 0;
	if (!guard_session(&who))
		return 0;
	if (opts & CAP_OPT_NOAUDIT)
		return monitors() ? 0 : -EPERM;
	return guard_refuse_one(&who, FENCE_G_CAPABILITY, (__u16)cap);
}

static __always_inline int guard_family(int family, int type, int protocol, int kern)
{
	struct fence_pulse *p;
	__u32 zero = 0;

	if (kern)
		return 0;
	if (family == AF_UNIX && protocol == FENCE_PROBE_PROTOCOL + GUARD_TIER) {
		p = bpf_map_lookup_elem(&pulse, &zero);
		return p && p->probe == (__u32)(bpf_get_current_pid_tgid() >> 32) ? -EPERM : 0;
	}
	if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
	    (family == AF_NETLINK && !protocol))
		return 0;
	return guard(FENCE_G_FAMILY);
}

/*
 * May none but root have bound this socket where it is? Its directory is root's and only his to
 * write, reached in a mount namespace of his, and on no file system that a user answers for.
 */
static __always_inline int guard_bound_by_root(struct unix_sock *u)
{
	struct dentry *at = BPF_CORE_READ(u, path.dentry);
	struct inode *dir = at ? BPF_CORE_READ(at, d_parent, d_inode) : 0;
	__u32 owner = ~0u;

	if (!dir || bpf_core_read(&owner, sizeof(owner), &dir->i_uid.val) || owner ||
	    BPF_CORE_READ(dir, i_mode) & OTHERS_WRITE ||
	    BPF_CORE_READ(dir, i_sb, s_magic) == FUSE_MAGIC)
		return 0;
	return path_trusted((__u64)BPF_CORE_READ(u, path.mnt), 1) != 0;
}

/*
 * Does a session's tool list the name that the peer bound, and who listens there: root by the
 * place, or somebody by his program or by the unit that made the socket?
 */
static __always_inline int guard_listed(struct fence_scratch *s, struct sock *other, __u32 tgid,
					__u8 tool)
{
	struct fence_proc *owner = bpf_map_lookup_elem(&procs, &tgid);
	const struct fence_name *name = &s->dns.name;
	__u64 unit;

	if ((unix_listed(name, FENCE_SVC_UNIX, tool, 0) && guard_bound_by_root((void *)other)) ||
	    (owner && owner->program && unix_listed(name, FENCE_SVC_OWNED, tool, owner->program)))
		return 1;
	unit = unit_hash((__u64)BPF_CORE_READ(other, sk_cgrp_data.cgroup), s);
	return unit && unix_listed(name, FENCE_SVC_OWNED, tool, unit);
}

/*
 * The process that listens, or made a datagram socket; 0: it has ended, and who has its number now
 * is somebody else.
 */
static __always_inline __u32 guard_peer(struct sock *other)
{
	struct pid *pid = BPF_CORE_READ(other, sk_peer_pid);

	return BPF_CORE_READ(pid, tasks[1].first) ? BPF_CORE_READ(pid, numbers[0].nr) : 0;
}

/* A Unix socket's peer: listed, or of the same session. */
static __always_inline int guard_unix(struct sock *other)
{
	__u32 tgid = guard_peer(other);
	struct fence_facts f = { .at = FENCE_AT_UNIX };
	struct unix_sock *u = (void *)other;
	struct fence_scratch *s;
	struct unix_address *a;
	struct subject who;
	int err;

	subject_get(&who);
	if (!subject_confined(&who, 0) || guard_within(&who, tgid))
		return 0;
	facts_begin(&f);
	s = scratch_take();
	a = BPF_CORE_READ(u, addr);
	if (!s)
		f.flags |= FENCE_F_OVERFLOW;
	if (s)
		unix_read(&s->dns.name,
			  (void *)a + bpf_core_field_offset(struct unix_address, name),
			  a ? (__u32)BPF_CORE_READ(a, len) : 0);
	if (s && who.proc && guard_listed(s, other, tgid, who.proc->tool))
		f.flags |= FENCE_F_PORT_OK;
	err = guard_judge(&who, &f, s ? &s->dns.name : 0, 0, 0);
	if (s)
		scratch_give(s);
	return err;
}

#ifndef GUARD_WITHOUT_STORAGE
/* An inet socket of the subject's session? */
static __always_inline int receive_own(struct file *file, const struct subject *who)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : 0;
	struct fence_sock *st = sk ? bpf_sk_storage_get(&socks, sk, 0, 0) : 0;

	return st && who->proc && st->session == who->proc->session;
}
#endif

/*
 * A descriptor from outside (SCM_RIGHTS, pidfd_getfd): no ring and no socket that somebody else
 * made. Unix sockets have their own hook when they are connected.
 */
static __always_inline int guard_receive(struct file *file)
{
	enum carried what = file_carries(file);
	struct subject who;

	if (what == CARRIES_NOTHING)
		return 0;
	subject_get(&who);
	if (!subject_confined(&who, 0))
		return 0;
#ifdef GUARD_WITHOUT_STORAGE
	if (what == CARRIES_INET) /* cannot be told from the session's own */
		return 0;
#else
	if (what == CARRIES_INET && receive_own(file, &who))
		return 0;
#endif
	return guard_refuse(&who, FENCE_G_RECEIVE);
}

/* Message queues and FIFOs that have a name; pipes have none. */
static __always_inline int guard_file(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u64 magic = BPF_CORE_READ(inode, i_sb, s_magic);

	if (!(BPF_CORE_READ(file, f_mode) & FMODE_WRITE))
		return 0;
	if (magic == MQUEUE_MAGIC ||
	    (magic != PIPEFS_MAGIC && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFIFO))
		return guard(FENCE_G_FILE);
	return 0;
}

#endif
