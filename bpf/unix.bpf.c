// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unix sockets, since 6.7: a helper on the same machine could pass the data on.
 *
 * cgroup/connect_unix, sendmsg_unix -> a session reaches the names that its tool lists as good
 * enough unproved, as it says them itself: where they lead it can arrange. The object behind a name
 * only a security hook sees (lib/guard.h).
 */
#include "lib/path.h"
#include "lib/unix.h"

char _license[] SEC("license") = "GPL";

struct sockaddr;

struct bpf_sock_addr_kern {
	struct sockaddr *uaddr;
	__u32 uaddrlen;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

/*
 * Nothing has been looked up yet: the agent looks whether anything is there, and needs to know from
 * where. Not where a user may have mounted what he likes, or changed the root: it is its mount's,
 * and that is the first of the namespace, or lies on the one that was.
 */
static __always_inline __u32 root_mount(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct vfsmount *mnt = BPF_CORE_READ(task, fs, root.mnt);
	struct mount *m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);

	if (!mnt || BPF_CORE_READ(task, fs, root.dentry) != BPF_CORE_READ(mnt, mnt_root) ||
	    BPF_CORE_READ(m, mnt_mountpoint) != BPF_CORE_READ(m, mnt_parent, mnt.mnt_root) ||
	    !path_trusted((__u64)mnt, 1))
		return 0;
	return (__u32)BPF_CORE_READ(m, mnt_id);
}

static __always_inline int peer(struct bpf_sock_addr *ctx)
{
	struct fence_facts f = { .at = FENCE_AT_UNIX };
	struct bpf_sock_addr_kern *k = bpf_cast_to_kern_ctx(ctx);
	struct fence_sock none = { .rule = NO_RULE, .family = 1 };
	struct fence_scratch *s;
	struct told t = {};
	struct subject who;

	subject_get(&who);
	if (!subject_confined(&who, 0))
		return 1;
	owner_set(&none, &who);
	facts_begin(&f);
	s = scratch_take();
	if (who.overflow || !s)
		f.flags |= FENCE_F_OVERFLOW;
	if (s) {
		unix_read(&s->dns.name, BPF_CORE_READ(k, uaddr), BPF_CORE_READ(k, uaddrlen));
		if (unix_listed(&s->dns.name, FENCE_SVC_CLAIM, none.tool, 0))
			f.flags |= FENCE_F_PORT_OK;
	}
	t.v = judge(&f);
	if (t.v.action != FENCE_ALLOW) {
		t.root = root_mount();
		deny_emit(&none, &f, s ? &s->dns.name : 0, &t);
	}
	if (s)
		scratch_give(s);
	return pass(t.v);
}

SEC("cgroup/connect_unix")
int unix_connect(struct bpf_sock_addr *ctx)
{
	return peer(ctx);
}

SEC("cgroup/sendmsg_unix")
int unix_sendmsg(struct bpf_sock_addr *ctx)
{
	return peer(ctx);
}
