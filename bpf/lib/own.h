/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 8. The fence's own maps, links and pins: what changes them is refused to every program but
 * the agent's, known by its path. A descriptor is looked at before the kernel looks it up, so a
 * thread that swaps it in between gets by; who can do that can start the agent's program with
 * --unpin too. This is against the hasty, and it leaves a denial.
 */
#ifndef FENCE_BPF_OWN_H
#define FENCE_BPF_OWN_H

#include "guard.h"
#include "path.h"

#define BATCH_MAP_FD 36 /* of union bpf_attr, where a call is about many keys */

static __always_inline int own_has(__u32 kind, __u64 id)
{
	struct fence_own_key k = { .id = id, .kind = kind };

	return bpf_map_lookup_elem(&own, &k) != 0;
}

/* 0, or -EPERM for who is not the agent, or is the agent's program inside a session. */
static __always_inline int own_guard(__u32 kind, __u64 id)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct subject who;

	if (!own_has(kind, id))
		return 0;
	subject_get(&who);
	if (!(who.proc && session_confined(who.proc->session)) && /* a session may start it too */
	    own_has(FENCE_OWN_PROGRAM, program_hash(BPF_CORE_READ(task, mm, exe_file))))
		return 0;
	return guard_refuse(&who, FENCE_G_OWN);
}

/* A call of bpf(2) that changes a map or a link by its descriptor. */
static __always_inline int own_call(int cmd, const void *attr)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 at = 0, kind = FENCE_OWN_MAP, fd = 0;
	struct file **files, *file = 0;
	void *object;

	switch (cmd) {
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
	case BPF_MAP_FREEZE:
		break;
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_BATCH:
	case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
		at = BATCH_MAP_FD;
		break;
	case BPF_LINK_UPDATE:
	case BPF_LINK_DETACH:
		kind = FENCE_OWN_LINK;
		break;
	default:
		return 0;
	}
	bpf_probe_read_kernel(&fd, sizeof(fd), attr + at);
	if (fd >= BPF_CORE_READ(task, files, fdt, max_fds))
		return 0;
	files = BPF_CORE_READ(task, files, fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	if (!file) /* the kernel will say so */
		return 0;
	object = BPF_CORE_READ(file, private_data);
	return own_guard(kind, kind == FENCE_OWN_MAP
				       ? BPF_CORE_READ((struct bpf_map *)object, id)
				       : BPF_CORE_READ((struct bpf_link *)object, id));
}

/* Something in `dir`, or the directory itself, is taken away. */
static __always_inline int own_dir(struct inode *dir)
{
	if (!dir || BPF_CORE_READ(dir, i_sb, s_magic) != BPF_FS_MAGIC)
		return 0;
	return own_guard(FENCE_OWN_DIR, (__u64)BPF_CORE_READ(dir, i_sb, s_dev) << 32 |
						(__u32)BPF_CORE_READ(dir, i_ino));
}

#endif
