// SPDX-License-Identifier: Apache-2.0
/*
 * Is everything still where it was put? A link that was detached, a foreign program behind ours in
 * the cgroup (it could overrule a verdict with bpf_set_retval), a pin that is gone: told and
 * mended.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <crmfence/hash.h>
#include <crmfence/rule.h>

#include "kernel/internal.h"

#define PROGRAMS 64 /* of one attach point that are looked at */

#define BATCH 64 /* entries of a map in one system call */
#define KEY_MAX sizeof(struct fence_name_key) /* the longest of the policy's maps */
#define VALUE_MAX sizeof(struct fence_unit_rule)

/* The ids of the link's program and cgroup; cgroup 0: detached. */
static int link_ids(const struct bpf_link *link, uint32_t *prog, uint64_t *cgroup)
{
	struct bpf_link_info info;
	uint32_t len = sizeof(info);
	int err;

	memset(&info, 0, sizeof(info));
	err = bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &len);
	if (err)
		return err;
	*prog = info.prog_id;
	*cgroup = info.type == BPF_LINK_TYPE_CGROUP ? info.cgroup.cgroup_id : 1;
	return 0;
}

/* Does a program stand behind ours? */
static int overtaken(const struct fence_kernel *k, size_t i, uint32_t prog)
{
	uint32_t ids[PROGRAMS], n = PROGRAMS;

	if (bpf_prog_query(k->cgroup_fd, bpf_program__expected_attach_type(k->programs[i]), 0, NULL,
			   ids, &n))
		return 0;
	return n && ids[n - 1] != prog;
}

/* A new link first, which goes to the end; then the old one goes. */
static int attach_anew(struct fence_kernel *k, size_t i, const char *path)
{
	struct bpf_link *link = bpf_program__attach_cgroup(k->programs[i], k->cgroup_fd);
	char fresh[280];
	int err;

	if (!link)
		return -errno;
	snprintf(fresh, sizeof(fresh), "%s_new", path);
	unlink(fresh);
	err = bpf_obj_pin(bpf_link__fd(link), fresh);
	if (!err && rename(fresh, path)) /* at no moment without a pin */
		err = -errno;
	bpf_link__disconnect(k->links[i]); /* its pin is the new one's now */
	bpf_link__destroy(k->links[i]);
	k->links[i] = link;
	k->pins[i] = fence_inode_of(path);
	return err;
}

/*
 * Might a pin be gone? One stat(2) of their directory instead of one each: it says when a name in
 * it came or went, in the clock's coarse steps, so what is seen changed is looked through once
 * more.
 */
static int pins_moved(struct fence_kernel *k)
{
	struct stat st;

	if (stat(k->pin_dir, &st)) {
		mkdir(k->pin_dir, 0700);
		return 1;
	}
	if (st.st_ino == k->dir_ino && st.st_ctim.tv_sec == k->dir_changed.tv_sec &&
	    st.st_ctim.tv_nsec == k->dir_changed.tv_nsec)
		return k->dir_again && k->dir_again--;
	k->dir_ino = st.st_ino;
	k->dir_changed = st.st_ctim;
	k->dir_again = 1;
	return 1;
}

/* A link of another kind than a cgroup's cannot be detached, only unpinned and let go. */
static void watch_link(struct fence_kernel *k, size_t i, int pins, fence_tampered *each, void *ctx)
{
	const char *name = bpf_program__name(k->programs[i]);
	enum bpf_prog_type type = bpf_program__type(k->programs[i]);
	int is_cgroup = type != BPF_PROG_TYPE_TRACING && type != BPF_PROG_TYPE_LSM;
	uint64_t cgroup = 1;
	uint32_t prog = 0;
	char path[256];
	int err = is_cgroup ? link_ids(k->links[i], &prog, &cgroup) : 0;

	snprintf(path, sizeof(path), "%s/link_%s", k->pin_dir, name);
	if (err)
		each(ctx, "unreadable", name, err);
	else if (is_cgroup && !cgroup)
		each(ctx, "detached", name, attach_anew(k, i, path));
	else if (is_cgroup && overtaken(k, i, prog))
		each(ctx, "foreign program behind", name, attach_anew(k, i, path));
	else if (pins && fence_inode_of(path) != k->pins[i]) {
		unlink(path);
		each(ctx, "unpinned", name, bpf_obj_pin(bpf_link__fd(k->links[i]), path));
		k->pins[i] = fence_inode_of(path);
	}
}

int fence_kernel_after(struct fence_kernel *k, uint32_t i)
{
	int err = k->after_prog[i] < 0
			  ? bpf_map_delete_elem(k->after, &i)
			  : bpf_map_update_elem(k->after, &i, &k->after_prog[i], BPF_ANY);

	return err ? -errno : 0;
}

/* A program there has the last word on a session's packets. */
static void watch_after(struct fence_kernel *k, fence_tampered *each, void *ctx)
{
	struct bpf_prog_info info;
	uint32_t i, is, len;

	for (i = 0; i < FENCE_PACKET_ENDS; i++) {
		memset(&info, 0, sizeof(info));
		len = sizeof(info);
		if (k->after_prog[i] >= 0 && bpf_prog_get_info_by_fd(k->after_prog[i], &info, &len))
			continue;
		if (bpf_map_lookup_elem(k->after, &i, &is))
			is = 0;
		if (is != info.id)
			each(ctx, "foreign program behind", "packet_egress",
			     fence_kernel_after(k, i));
	}
}

void fence_kernel_watch(struct fence_kernel *k, fence_tampered *each, void *ctx)
{
	int pins = pins_moved(k);
	char path[256];
	size_t i;

	for (i = 0; i < k->nlinks; i++)
		watch_link(k, i, pins, each, ctx);
	watch_after(k, each, ctx);
	for (i = 0; pins && i < FENCE_MAP_COUNT_; i++) {
		snprintf(path, sizeof(path), "%s/%s", k->pin_dir, fence_map_names[i]);
		if (fence_inode_of(path) == k->map_pins[i])
			continue;
		unlink(path);
		each(ctx, "unpinned", fence_map_names[i], bpf_obj_pin(k->maps[i], path));
		k->map_pins[i] = fence_inode_of(path);
	}
	if (pins) /* a link that was attached anew has a new pin */
		fence_kernel_own(k);
}

static uint64_t digest_entry(const struct fence_kernel *k, const uint8_t *key, uint32_t key_size,
			     const uint8_t *value, uint32_t value_size)
{
	struct fence_hash h;
	uint32_t i;

	fence_hash_init(&h, k->key);
	for (i = 0; i < key_size; i++)
		fence_hash_feed(&h, i, key[i]);
	for (i = 0; i < value_size; i++)
		fence_hash_feed(&h, key_size + i, value[i]);
	return fence_hash_end(&h);
}

/* A batch a system call: this runs every second on a laptop that does nothing else. */
uint64_t fence_kernel_digest(struct fence_kernel *k, enum fence_map map, uint32_t value_size,
			     uint8_t (*bank_of)(enum fence_map map, const void *key), uint8_t bank)
{
	static uint8_t keys[BATCH * KEY_MAX], values[BATCH * VALUE_MAX], at[KEY_MAX];
	uint32_t key_size = k->key_size[map], i, n;
	uint64_t sum = 1; /* of nothing: not 0 */
	void *from = NULL;
	int err;

	if (key_size > KEY_MAX || value_size > VALUE_MAX)
		return 0;
	do {
		n = BATCH;
		err = bpf_map_lookup_batch(k->maps[map], from, at, keys, values, &n, NULL);
		if (err && err != -ENOENT)
			return 0;
		for (i = 0; i < n; i++)
			if (bank_of(map, keys + i * key_size) == bank)
				sum += digest_entry(k, keys + i * key_size, key_size,
						    values + i * value_size, value_size);
		from = at; /* the order of a hash map is nobody's: a sum */
	} while (!err);
	return sum;
}
