/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 8. Files that are opened for writing, or made, by a session.
 *
 * "write": below the tool's directories alone, for another program may send what stands elsewhere.
 * Root's sessions, with or without it: not what is a whole way out by itself (crmfence/shut.h,
 * user/base/shut.h). By the directories' inodes, up the file system's own tree, the nearest says: a
 * bind mount in a namespace of the session's changes nothing. Nobody's: devices that reach below,
 * and of /proc what is not of the session's own processes.
 */
#ifndef FENCE_BPF_WRITE_H
#define FENCE_BPF_WRITE_H

#include <crmfence/shut.h>

#include "guard.h"

#define WRITE_STEPS 64 /* directories up to the root; deeper is refused */
#define S_IFREG 0100000
#define S_IFBLK 0060000

enum write_place {
	WRITE_NOWHERE, /* in no directory of either list */
	WRITE_TOO_DEEP,
	WRITE_OPEN,
	WRITE_SHUT,
};

struct write_cursor {
	struct dentry *at;
	__u32 dev;
	__u8 tool;
	__u8 root;
	__u8 found; /* enum write_place */
};

static long write_step(__u32 i, void *ctx)
{
	struct write_cursor *c = ctx;
	struct dentry *at = c->at, *up = BPF_CORE_READ(at, d_parent);
	__u64 id[2] __attribute__((aligned(8))) = { c->dev, BPF_CORE_READ(at, d_inode, i_ino) };

	if (service_has((const __u8 *)id, 0, c->tool, FENCE_SVC_DIR))
		c->found = WRITE_OPEN;
	else if (c->root && service_has((const __u8 *)id, 0, 0, FENCE_SVC_SHUT))
		c->found = WRITE_SHUT;
	else if (up == at)
		c->found = WRITE_NOWHERE;
	c->at = up;
	return c->found != WRITE_TOO_DEEP;
}

struct proc_cursor {
	struct dentry *at;
	struct dentry *below; /* the one before it on the way up */
	__u8 net; /* met on the way: what is the network's, not the process's */
};

static long proc_step(__u32 i, void *ctx)
{
	struct proc_cursor *c = ctx;
	struct dentry *at = c->at, *up = BPF_CORE_READ(at, d_parent);
	char name[4] = {};

	if (up == at)
		return 1;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(at, d_name.name));
	if (BPF_CORE_READ(at, d_name.len) == 3 && name[0] == 'n' && name[1] == 'e' &&
	    name[2] == 't')
		c->net = 1;
	c->below = at;
	c->at = up;
	return 0;
}

/* Of /proc: below a process of the subject's session? */
static __always_inline int proc_own(struct dentry *at, const struct subject *who)
{
	struct proc_cursor c = { .at = at };
	struct dentry *top;
	struct proc_inode *inode;
	struct pid *pid;
	char first = 0;

	fence_loop(WRITE_STEPS, proc_step, &c);
	top = c.below;
	if (!top || c.net)
		return 0;
	bpf_probe_read_kernel(&first, 1, BPF_CORE_READ(top, d_name.name));
	if (first < '0' || first > '9') /* others have no pid there */
		return 0;
	inode = (void *)BPF_CORE_READ(top, d_inode) -
		bpf_core_field_offset(struct proc_inode, vfs_inode);
	pid = BPF_CORE_READ(inode, pid);
	return pid && guard_within(who, BPF_CORE_READ(pid, numbers[0].nr));
}

/* Does the process at hand write root's files: by its uid, or by a right over any file? */
static __always_inline int write_as_root(const struct cred *cred)
{
	return !BPF_CORE_READ(cred, fsuid.val) ||
	       (cred_has(cred, FENCE_CAPS_ROOT) && !BPF_CORE_READ(cred, user_ns, level));
}

static __always_inline int shut_has(struct dentry *at, __u32 dev, enum fence_shut how)
{
	__u64 id[2] __attribute__((aligned(8))) = { dev, BPF_CORE_READ(at, d_inode, i_ino) };

	return service_has((const __u8 *)id, (__u16)how, 0, FENCE_SVC_SHUT);
}

/* Something is written at, or made in, `at`. 0, or -EPERM. */
static __always_inline int write_at(struct dentry *at, struct super_block *sb)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const struct cred *cred = BPF_CORE_READ(task, cred);
	struct write_cursor c = { .at = at, .found = WRITE_TOO_DEEP };
	struct subject who;
	__u32 magic;

	if (!guard_session(&who))
		return 0;
	magic = (__u32)BPF_CORE_READ(sb, s_magic);
	if (magic == FENCE_PROC_MAGIC)
		return proc_own(at, &who) ? 0 : guard_refuse(&who, FENCE_G_SHUT);
	c.root = (__u8)write_as_root(cred);
	if (c.root && fence_is_switches(magic))
		return guard_refuse(&who, FENCE_G_SHUT);
	/* a right by a group (crontab's program), or that root gave before it became another */
	if (BPF_CORE_READ(at, d_inode, i_uid.val) != BPF_CORE_READ(cred, fsuid.val))
		c.root = 1;
	c.tool = who.proc->tool;
	if (!c.root && !service_has(0, 0, c.tool, FENCE_SVC_DIRS))
		return 0;
	c.dev = BPF_CORE_READ(sb, s_dev);
	fence_loop(WRITE_STEPS, write_step, &c);
	if (c.found == WRITE_OPEN)
		return 0;
	if (c.found == WRITE_SHUT)
		return guard_refuse(&who, FENCE_G_SHUT);
	return service_has(0, 0, c.tool, FENCE_SVC_DIRS) || c.found == WRITE_TOO_DEEP
		       ? guard_refuse(&who, FENCE_G_WRITE)
		       : 0;
}

/* A name is made in, or taken from, directory `at`; `moved`: of this, which stays where it is. */
static __always_inline int write_name(struct dentry *at, struct dentry *moved)
{
	struct super_block *sb = BPF_CORE_READ(at, d_inode, i_sb);
	__u32 dev = BPF_CORE_READ(sb, s_dev);
	struct subject who;

	if (!guard_session(&who))
		return 0;
	if (shut_has(at, dev, FENCE_SHUT_ENTRIES) ||
	    (moved && shut_has(moved, dev, FENCE_SHUT_PLACE)))
		return guard_refuse(&who, FENCE_G_SHUT);
	return write_at(at, sb);
}

/* Is what has the name `at`, a file or directory, open to change? */
static __always_inline int write_there(struct dentry *at)
{
	struct inode *inode = BPF_CORE_READ(at, d_inode);

	return inode ? write_at(at, BPF_CORE_READ(inode, i_sb)) : 0;
}

/* Memory, ports, the kernel's log, keyboards of one's own, queues of packets, disks' commands. */
static __always_inline int device_shut(__u32 dev)
{
	switch (dev) {
	case DEVICE(1, 1):
	case DEVICE(1, 2):
	case DEVICE(1, 4):
	case DEVICE(1, 11):
	case DEVICE(10, 223): /* uinput */
	case DEVICE(10, 238): /* vhost-net */
	case DEVICE(10, 239): /* uhid */
	case DEVICE(10, 241): /* vhost-vsock */
		return 1;
	default:
		return dev >> 20 == 21; /* generic SCSI */
	}
}

static __always_inline int write_device(void)
{
	struct subject who;

	return guard_session(&who) ? guard_refuse(&who, FENCE_G_SHUT) : 0;
}

/* Terminals, pipes and the like are not files that stay. */
static __always_inline int write_file(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	unsigned short kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;

	if (!(BPF_CORE_READ(file, f_mode) & FMODE_WRITE))
		return 0;
	if (kind == S_IFBLK || (kind == S_IFCHR && device_shut(BPF_CORE_READ(inode, i_rdev))))
		return write_device();
	if (kind != S_IFREG)
		return 0;
	return write_at(BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(inode, i_sb));
}

static __always_inline int write_dir(const struct path *dir)
{
	return write_name(BPF_CORE_READ(dir, dentry), 0);
}

#endif
