/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 4. The path of a file as the kernel has it, hashes of texts in scratch room, and what of
 * them an unprivileged user can make himself.
 */
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
	struct fence_hash hash;
	const char *text;
	__u32 off;
	__u32 end;
};

static long hash_step(__u32 i, void *ctx)
{
	struct hash_cursor *c = ctx;
	__u32 at = c->off + i;

	if (at >= c->end)
		return 1;
	fence_hash_feed(&c->hash, i, (__u8)c->text[at & (2 * FENCE_PATH_MAX - 1)]);
	return 0;
}

enum text_place {
	TEXT_PATH, /* s->path */
	TEXT_ARG, /* s->arg */
	TEXT_ROOM, /* s->room */
};

/* Of the octets from `off` up to `end` of a text, of the last FENCE_PATH_MAX; 0: no key. */
__weak __noinline __u64 text_hash(const struct fence_scratch *s, int place, __u32 off, __u32 end)
{
	struct hash_cursor c = { .off = off, .end = end };
	struct fence_config *cfg = config_get();

	if (!s || !cfg)
		return 0;
	fence_hash_init(&c.hash, cfg->key);
	c.text = place == TEXT_ARG ? s->arg : place == TEXT_ROOM ? (const char *)s->room : s->path;
	fence_loop(FENCE_PATH_MAX, hash_step, &c);
	return fence_hash_end(&c.hash);
}

/*
 * `hash`, of a path in the mount `mnt`, where none but root can have put together what it leads to;
 * else 0. In a user namespace of his own anybody mounts anything at any path. What cannot be read
 * is not root's.
 */
__weak __noinline __u64 path_trusted(__u64 mnt, __u64 hash)
{
	struct mount *m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	struct user_namespace *user = 0;
	struct mnt_namespace *ns = 0;
	int level = 1;

	if (bpf_core_read(&ns, sizeof(ns), &m->mnt_ns) || !ns ||
	    bpf_core_read(&user, sizeof(user), &ns->user_ns) || !user ||
	    bpf_core_read(&level, sizeof(level), &user->level))
		return 0;
	return level ? 0 : hash;
}

#define CGROUP_STEPS 12

#define SYSTEM_SLICE 0x732e6d6574737973ULL /* "system.s", */
#define SYSTEM_SLICE_END 0x6563696cULL /* and "lice" with its NUL */

/*
 * Of the name of the system's unit that a cgroup is of: what stands below system.slice, where none
 * but root makes cgroups. By the one v2 hierarchy itself: a cgroup namespace, a second mount or a
 * subtree that was handed to somebody changes none of it. 0: of none.
 */
__weak __noinline __u64 unit_hash(__u64 cgroup, struct fence_scratch *s)
{
	struct cgroup *cg = (void *)cgroup;
	__u64 upper = 0, unit = 0;
	int system = 0;
	__u32 i;

	if (!s)
		return 0;
	for (i = 0; i < CGROUP_STEPS && cg; i++) {
		long n = bpf_probe_read_kernel_str(s->room, 256, BPF_CORE_READ(cg, kn, name));

		cg = (struct cgroup *)BPF_CORE_READ(cg, self.parent);
		if (n <= 1 || !cg) /* the root, which has no name */
			continue;
		unit = upper;
		upper = text_hash(s, TEXT_ROOM, 0, (__u32)n - 1);
		system = s->room[0] == SYSTEM_SLICE &&
			 (s->room[1] & 0xffffffffff) == SYSTEM_SLICE_END;
	}
	return !cg && system ? unit : 0;
}

/* Of the path of a program's file; 0: not known, or anybody's to give. */
static __always_inline __u64 program_hash(struct file *file)
{
	struct fence_scratch *s = file ? scratch_take() : 0;
	__u64 hash;

	if (!s)
		return 0;
	hash = text_hash(s, TEXT_PATH,
			 path_read((__u64)BPF_CORE_READ(file, f_path.dentry),
				   (__u64)BPF_CORE_READ(file, f_path.mnt), s),
			 2 * FENCE_PATH_MAX);
	scratch_give(s);
	return path_trusted((__u64)BPF_CORE_READ(file, f_path.mnt), hash);
}

#endif
