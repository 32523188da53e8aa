/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 8. Files that somebody else may send: a session of a tool that has "write" opens for
 * writing, makes, links and renames below its directories alone. By the directories' inodes, up the
 * file system's own tree: a bind mount in a namespace of the session's changes nothing.
 */
#ifndef FENCE_BPF_WRITE_H
#define FENCE_BPF_WRITE_H

#include "guard.h"

#define WRITE_STEPS 64 /* directories up to the root; deeper is refused */
#define PROC_MAGIC 0x9fa0
#define S_IFREG 0100000
#define S_IFBLK 0060000

struct write_cursor {
	struct dentry *at;
	__u32 dev;
	__u8 tool;
	__u8 found;
};

static long write_step(__u32 i, void *ctx)
{
	struct write_cursor *c = ctx;
	struct dentry *at = c->at, *up = BPF_CORE_READ(at, d_parent);
	__u64 id[2] __attribute__((aligned(8))) = { c->dev, BPF_CORE_READ(at, d_inode, i_ino) };

	if (service_has((const __u8 *)id, 0, c->tool, FENCE_SVC_DIR)) {
		c->found = 1;
		return 1;
	}
	if (up == at)
		return 1;
	c->at = up;
	return 0;
}

/* Something is written at, or made in, `at`. 0, or -EPERM. */
static __always_inline int write_at(struct dentry *at, struct super_block *sb)
{
	struct write_cursor c = { .at = at };
	struct subject who;

	subject_get(&who);
	if (!subject_confined(&who, 0) || !who.proc)
		return 0;
	c.tool = who.proc->tool;
	if (!service_has(0, 0, c.tool, FENCE_SVC_DIRS) || BPF_CORE_READ(sb, s_magic) == PROC_MAGIC)
		return 0;
	c.dev = BPF_CORE_READ(sb, s_dev);
	fence_loop(WRITE_STEPS, write_step, &c);
	return c.found ? 0 : guard_refuse(&who, FENCE_G_WRITE);
}

/* Terminals, pipes and the like are not files that stay. */
static __always_inline int write_file(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	unsigned short kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;

	if (!(BPF_CORE_READ(file, f_mode) & FMODE_WRITE) || (kind != S_IFREG && kind != S_IFBLK))
		return 0;
	return write_at(BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(inode, i_sb));
}

static __always_inline int write_dir(const struct path *dir)
{
	return write_at(BPF_CORE_READ(dir, dentry), BPF_CORE_READ(dir, dentry, d_inode, i_sb));
}

#endif
