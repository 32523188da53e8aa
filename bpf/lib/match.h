/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 5. Which tool a program is: by its file's path, its file, the name that it was started
 * by, the extension that a browser started it for, its unit, its user. In this order; the first
 * counts, but what is narrowed by "sha256" comes last.
 */
#ifndef FENCE_BPF_MATCH_H
#define FENCE_BPF_MATCH_H

#include "path.h"

#define CHROME_ORIGIN "chrome-extension://"
#define CGROUP_DEPTH 32
#define DOT_STEPS 4 /* "./" in front of a path */

static __always_inline struct fence_match_rule *match_find(__u32 kind, __u64 value, __u32 dev)
{
	struct fence_match_key k = {
		.value = value, .kind = kind, .bank = tool_key(0), .dev = dev
	};

	return bpf_map_lookup_elem(&matches, &k);
}

/* Slots of proc_exec's own, then those of all. */
static __always_inline struct fence_scratch *scratch_exec(void)
{
	struct fence_scratch *s = scratch_of(&exec_scratch);

	return s ? s : scratch_take();
}

/* A rule as a number, which a function can return; 0: none, for there is no tool 0. */
static __always_inline __u32 rule_word(const struct fence_match_rule *r)
{
	return r ? r->tool | (__u32)r->flags << 8 | (__u32)r->rule << 16 : 0;
}

static __always_inline struct fence_match_rule rule_of(__u32 word)
{
	struct fence_match_rule r = { .tool = (__u8)word,
				      .flags = (__u8)(word >> 8),
				      .rule = (__u8)(word >> 16) };

	return r;
}

#define MATCH_UNREAD (~0u) /* no room to see what it is */

/* A cgroup whose name, `len` octets, is in s->arg: by what it begins and ends with. */
static __always_inline __u32 match_star(struct fence_scratch *s, __u32 len)
{
	struct fence_unit_rule *u;
	__u32 i;

	s->key.tool = tool_key(0);
	s->key.prefixlen = FENCE_NAME_KEY_BITS(len);
	bpf_probe_read_kernel(s->key.name, len & 255, s->arg);
	u = bpf_map_lookup_elem(&units, &s->key);
	for (i = 0; u && i < FENCE_UNIT_ENDS && u->end[i].head; i++)
		if (u->end[i].head + u->end[i].tail < len &&
		    text_hash(s, TEXT_ARG, len - u->end[i].tail, len) == u->end[i].hash)
			return rule_word(&u->end[i].rule);
	return 0;
}

struct cgroup_cursor {
	struct cgroup *cg;
	struct fence_scratch *s;
	__u32 off; /* where the path begins in s->path */
	__u32 end; /* of what is looked at */
	__u32 found;
};

/* One name, from the leaf towards the root, written in front of what is there. */
static long cgroup_step(__u32 i, void *ctx)
{
	struct cgroup_cursor *c = ctx;
	struct cgroup *cg = c->cg;
	struct fence_scratch *s = c->s;
	__u32 off = c->off, len;
	long n = bpf_probe_read_kernel_str(s->arg, 256, BPF_CORE_READ(cg, kn, name));

	if (n <= 1) /* the root, which has no name */
		return 1;
	len = (__u32)n - 1;
	if (off < len + 1 || off > 2 * FENCE_PATH_MAX)
		return 1;
	off = (off - len - 1) & (2 * FENCE_PATH_MAX - 1);
	bpf_probe_read_kernel(s->path + off + 1, len & 255, s->arg);
	s->path[off] = '/';
	c->off = off;
	c->cg = (struct cgroup *)BPF_CORE_READ(cg, self.parent);
	return !c->cg;
}

/* A unit is a cgroup of its name; any cgroup on the way to the root counts, by its path too. */
static long unit_step(__u32 i, void *ctx)
{
	struct cgroup_cursor *c = ctx;
	struct cgroup *cg = c->cg;
	struct fence_scratch *s = c->s;
	struct fence_config *cfg = config_get();
	long n = bpf_probe_read_kernel_str(s->arg, 256, BPF_CORE_READ(cg, kn, name));
	__u32 len = (__u32)n - 1;

	if (n <= 1 || !cfg)
		return 1;
	c->found = rule_word(
		match_find(FENCE_MATCH_CGROUP, text_hash(s, TEXT_PATH, c->off, c->end), 0));
	if (!c->found)
		c->found = rule_word(
			match_find(FENCE_MATCH_CGROUP, text_hash(s, TEXT_ARG, 0, len), 0));
	if (!c->found && cfg->flags & FENCE_CFG_UNITS)
		c->found = match_star(s, len);
	c->end -= len + 1;
	c->cg = (struct cgroup *)BPF_CORE_READ(cg, self.parent);
	return c->found || !c->cg;
}

__weak __noinline __u32 match_cgroup(__u64 cgroup)
{
	struct fence_scratch *s = scratch_exec();
	struct cgroup_cursor c = { .cg = (void *)cgroup,
				   .s = s,
				   .off = 2 * FENCE_PATH_MAX + fence_vague(),
				   .end = 2 * FENCE_PATH_MAX };

	if (!s)
		return MATCH_UNREAD;
	fence_loop(CGROUP_DEPTH, cgroup_step, &c);
	c.cg = (void *)cgroup;
	fence_loop(CGROUP_DEPTH, unit_step, &c);
	scratch_give(s);
	return c.found;
}

static __always_inline int is_origin(const char *arg)
{
	const char want[] = CHROME_ORIGIN;
	__u32 i;

	for (i = 0; i < sizeof(want) - 1; i++)
		if (arg[i] != want[i])
			return 0;
	return 1;
}

/*
 * argv[1] or argv[2] is the origin of the extension that a browser started this native messaging
 * host for.
 */
static __always_inline struct fence_match_rule *match_native(struct task_struct *task,
							     struct fence_scratch *s)
{
	unsigned long at = BPF_CORE_READ(task, mm, arg_start),
		      end = BPF_CORE_READ(task, mm, arg_end);
	__u32 i;

	for (i = 0; i < 3; i++) {
		const __u32 id = sizeof(CHROME_ORIGIN) - 1;
		struct fence_match_rule *r;
		long n;

		if (at >= end)
			return 0;
		n = bpf_probe_read_user_str(s->arg, sizeof(s->arg), (void *)at);
		if (n <= 0) {
			count(FENCE_C_ARG_FAULT);
			return 0;
		}
		at += n;
		if (!i || !is_origin(s->arg))
			continue;
		if (s->arg[id + 32] && (s->arg[id + 32] != '/' || s->arg[id + 33]))
			continue; /* a page of the extension's */
		r = match_find(FENCE_MATCH_NATIVE, text_hash(s, TEXT_ARG, id, id + 32), 0);
		if (r)
			return r;
	}
	return 0;
}

struct start_cursor {
	struct fence_hash hash;
	const struct fence_scratch *s;
	__u32 dir, name; /* where the directory begins in s->path, and the name in s->arg */
	__u32 end; /* of the name */
};

/* The directory, a slash, the name. */
static long start_step(__u32 i, void *ctx)
{
	struct start_cursor *c = ctx;
	__u32 dir = 2 * FENCE_PATH_MAX - c->dir, at = c->name + i - dir - 1;
	__u8 octet;

	if (i < dir)
		octet = (__u8)c->s->path[(c->dir + i) & (2 * FENCE_PATH_MAX - 1)];
	else if (i == dir)
		octet = '/';
	else if (at < c->end)
		octet = (__u8)c->s->arg[at & (sizeof(c->s->arg) - 1)];
	else
		return 1;
	fence_hash_feed(&c->hash, i, octet);
	return 0;
}

/*
 * Of a path that a program was started by, `name` in the kernel, behind the directory where it is
 * relative. What is in s->path is gone.
 */
__weak __noinline __u64 start_hash(__u64 name, __u64 dentry, __u64 mnt, struct fence_scratch *s)
{
	struct start_cursor c = { .s = s };
	struct fence_config *cfg = config_get();
	__u32 i;
	long n;

	if (!s || !cfg)
		return 0;
	n = bpf_probe_read_kernel_str(s->arg, FENCE_PATH_MAX, (void *)name);
	if (n <= 1)
		return 0;
	if (s->arg[0] == '/')
		return text_hash(s, TEXT_ARG, 0, (__u32)n - 1);
	for (i = 0; i < DOT_STEPS && s->arg[2 * i] == '.' && s->arg[2 * i + 1] == '/'; i++)
		c.name += 2;
	c.end = (__u32)n - 1;
	c.dir = path_read(dentry, mnt, s);
	fence_hash_init(&c.hash, cfg->key);
	fence_loop(2 * FENCE_PATH_MAX, start_step, &c);
	return fence_hash_end(&c.hash);
}

/*
 * By the path that execve(2) was given, and by the interpreter that a script names: a script, and a
 * link to an interpreter that everybody uses. What is in s->path is gone.
 */
static __always_inline __u32 match_start(struct task_struct *task, struct linux_binprm *bprm,
					 struct fence_scratch *s)
{
	__u64 dentry = (__u64)BPF_CORE_READ(task, fs, pwd.dentry),
	      mnt = (__u64)BPF_CORE_READ(task, fs, pwd.mnt),
	      name = (__u64)BPF_CORE_READ(bprm, filename),
	      interp = (__u64)BPF_CORE_READ(bprm, interp);
	struct fence_config *cfg = config_get();
	struct fence_match_rule *r;

	if (!cfg || !(cfg->flags & FENCE_CFG_EXE))
		return 0;
	r = match_find(FENCE_MATCH_NAME, start_hash(name, dentry, mnt, s), 0);
	if (!r && interp != name)
		r = match_find(FENCE_MATCH_NAME, start_hash(interp, dentry, mnt, s), 0);
	return rule_word(r);
}

/* `path`: hash; in any mount namespace, that only confines more. `start`: of match_start(). */
static __always_inline __u32 match_task(struct task_struct *task, struct linux_binprm *bprm,
					struct fence_scratch *s, __u64 path, __u32 start, __u32 uid,
					__u8 *how)
{
	struct fence_config *cfg = config_get();
	__u32 word = 0, narrowed;

	*how = FENCE_MATCH_EXE;
	/* a script is what its user calls it, whatever interprets it */
	if (start && BPF_CORE_READ(bprm, interp) != BPF_CORE_READ(bprm, filename))
		word = start;
	if (!word)
		word = rule_word(match_find(FENCE_MATCH_EXE, path, 0));
	if (!word)
		word = rule_word(match_find(FENCE_MATCH_FILE,
					    BPF_CORE_READ(bprm, file, f_inode, i_ino),
					    BPF_CORE_READ(bprm, file, f_inode, i_sb, s_dev)));
	if (!word)
		word = start;
	/* another build may be refuted: who counts whatever the build is comes first */
	narrowed = rule_of(word).flags & FENCE_MATCH_CHECK ? word : 0;
	if (narrowed)
		word = 0;
	if (!word && cfg && cfg->flags & FENCE_CFG_NATIVE) {
		*how = FENCE_MATCH_NATIVE;
		word = rule_word(match_native(task, s));
	}
	if (!word && cfg && cfg->flags & FENCE_CFG_CGROUP) {
		*how = FENCE_MATCH_CGROUP;
		word = match_cgroup((__u64)BPF_CORE_READ(task, cgroups, dfl_cgrp));
	}
	if (!word) {
		*how = FENCE_MATCH_UID;
		word = rule_word(match_find(FENCE_MATCH_UID, uid, 0));
	}
	if (word)
		return word;
	*how = FENCE_MATCH_EXE;
	return narrowed;
}

#endif
