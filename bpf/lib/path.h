/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Layer 4. The path of a file as the kernel has it, and hashes of texts in scratch room. */
#ifndef FENCE_BPF_PATH_H
#define FENCE_BPF_PATH_H

#include "fence.h"

#define PATH_STEPS 48

struct path_cursor {
	struct dentry *dentry;
	struct vfsmount *mnt;
	char *buf;
	__u32 off; /* of the first octet that is written */
};

/* One component, from the leaf towards the root, written in front of what is there. */
static long path_step(__u32 i, void *ctx)
{
	struct path_cursor *c = ctx;
	struct dentry *d = c->dentry, *parent = BPF_CORE_READ(d, d_parent);
	struct vfsmount *mnt = c->mnt;
	const unsigned char *name;
	struct mount *m, *up;
	__u32 len, off;

	if (d == BPF_CORE_READ(mnt, mnt_root) || d == parent) {
		m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		up = BPF_CORE_READ(m, mnt_parent);
		if (up == m || !up)
			return 1;
		c->dentry = BPF_CORE_READ(m, mnt_mountpoint);
		c->mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	len = BPF_CORE_READ(d, d_name.len) & 255;
	name = BPF_CORE_READ(d, d_name.name);
	off = c->off;
	if (off < len + 1 || off > 2 * FENCE_PATH_MAX)
		return 1;
	off -= len + 1;
	off &= 2 * FENCE_PATH_MAX - 1;
	bpf_probe_read_kernel(c->buf + off + 1, len, name);
	c->buf[off] = '/';
	c->off = off;
	c->dentry = parent;
	return 0;
}

/* The path of a dentry in a mount, at the end of s->path; returns where it begins. */
__weak __noinline __u32 path_read(__u64 dentry, __u64 mnt, struct fence_scratch *s)
{
	struct path_cursor c = { .dentry = (void *)dentry,
				 .mnt = (void *)mnt,
				 .off = 2 * FENCE_PATH_MAX + fence_vague() };

	if (!s)
		return c.off;
	c.buf = s->path;
	fence_loop(PATH_STEPS, path_step, &c);
	return c.off;
}

struct hash_cursor {
	const char *text;
	__u64 hash;
	__u32 off;
	__u32 end;
};

static long hash_step(__u32 i, void *ctx)
{
	struct hash_cursor *c = ctx;
	__u32 at = c->off + i;

	if (at >= c->end)
		return 1;
	c->hash = fence_fnv(c->hash, c->text[at & (2 * FENCE_PATH_MAX - 1)]);
	return 0;
}

/* Of the octets from `off` up to `end` of s->path, or s->arg. */
__weak __noinline __u64 text_hash(const struct fence_scratch *s, int arg, __u32 off, __u32 end)
{
	struct hash_cursor c = { .hash = FENCE_FNV_BASIS, .off = off, .end = end };

	if (!s)
		return 0;
	c.text = arg ? s->arg : s->path;
	fence_loop(FENCE_PATH_MAX, hash_step, &c);
	return c.hash;
}

#define CGROUP_STEPS 12

/*
 * Of the name of the system's unit that a cgroup is of: what stands below system.slice, where none
 * but root makes cgroups. 0: of none.
 */
__weak __noinline __u64 unit_hash(__u64 cgroup, struct fence_scratch *s)
{
	struct cgroup *cg = (void *)cgroup;
	struct hash_cursor c = {};
	__u64 upper = 0, unit = 0;
	__u32 i;

	if (!s)
		return 0;
	c.text = (const char *)s->room;
	for (i = 0; i < CGROUP_STEPS && cg; i++) {
		long n = bpf_probe_read_kernel_str(s->room, 256, BPF_CORE_READ(cg, kn, name));

		cg = (struct cgroup *)BPF_CORE_READ(cg, self.parent);
		if (n <= 1 || !cg) /* the root, which has no name */
			continue;
		c.hash = FENCE_FNV_BASIS;
		c.end = (__u32)n - 1;
		fence_loop(FENCE_PATH_MAX, hash_step, &c);
		unit = upper;
		upper = c.hash;
	}
	return !cg && upper == FENCE_SYSTEM_SLICE ? unit : 0;
}

/* Of the path of a program's file; 0: not known. */
static __always_inline __u64 program_hash(struct file *file)
{
	struct fence_scratch *s = file ? scratch_take() : 0;
	__u64 hash;

	if (!s)
		return 0;
	hash = text_hash(s, 0,
			 path_read((__u64)BPF_CORE_READ(file, f_path.dentry),
				   (__u64)BPF_CORE_READ(file, f_path.mnt), s),
			 2 * FENCE_PATH_MAX);
	scratch_give(s);
	return hash;
}

#endif
