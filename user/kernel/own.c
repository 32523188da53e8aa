// SPDX-License-Identifier: Apache-2.0
/*
 * The `own` map: which maps, links and pins are the fence's, and which program may change them. Its
 * reader is bpf/lib/own.h; where no tier A works nothing reads it, and it stays empty.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <crmfence/hash.h>
#include <crmfence/rule.h>

#include "base/cleanup.h"
#include "kernel/internal.h"

static int put(struct fence_kernel *k, enum fence_own kind, uint64_t id, uint32_t stamp)
{
	struct fence_own_key key = { .id = id, .kind = kind };

	return fence_kernel_put(k, FENCE_MAP_OWN, &key, &stamp);
}

static uint64_t own_program(const __u64 key[FENCE_HASH_KEY])
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

	return fence_hash_octets(key, path, n > 0 ? (__u64)n : 0);
}

int fence_kernel_owned_by_other(const char *pin_dir, const __u64 key[FENCE_HASH_KEY])
{
	struct fence_own_key at, next;
	uint64_t own = own_program(key);
	int other = 0, more;
	AUTO_FD int fd = -1;
	char path[256];

	snprintf(path, sizeof(path), "%s/own", pin_dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	for (more = !bpf_map_get_next_key(fd, NULL, &next); more;
	     more = !bpf_map_get_next_key(fd, &at, &next)) {
		at = next;
		if (at.kind == FENCE_OWN_PROGRAM && at.id == own)
			return 0;
		other |= at.kind == FENCE_OWN_PROGRAM;
	}
	return other;
}

static int put_maps(struct fence_kernel *k, uint32_t stamp)
{
	struct bpf_map_info info;
	struct bpf_map *map;
	uint32_t len;
	size_t i;
	int err = 0;

	for (i = 0; i < FENCE_SENSORS_MAX; i++) {
		if (!k->objects[i])
			continue;
		bpf_object__for_each_map(map, k->objects[i])
		{
			memset(&info, 0, sizeof(info));
			len = sizeof(info);
			if (!err)
				err = bpf_map_get_info_by_fd(bpf_map__fd(map), &info, &len);
			if (!err)
				err = put(k, FENCE_OWN_MAP, info.id, stamp);
		}
	}
	return err;
}

static int put_links(struct fence_kernel *k, uint32_t stamp)
{
	struct bpf_link_info info;
	uint32_t len;
	size_t i;
	int err = 0;

	for (i = 0; !err && i < k->nlinks; i++) {
		memset(&info, 0, sizeof(info));
		len = sizeof(info);
		err = bpf_link_get_info_by_fd(bpf_link__fd(k->links[i]), &info, &len);
		if (!err)
			err = put(k, FENCE_OWN_LINK, info.id, stamp);
	}
	return err;
}

/* What an earlier agent wrote and this one did not. */
static void sweep(struct fence_kernel *k, uint32_t stamp)
{
	struct fence_own_key key, next;
	uint32_t at;
	int more = !fence_kernel_next(k, FENCE_MAP_OWN, NULL, &next);

	while (more) {
		key = next;
		more = !fence_kernel_next(k, FENCE_MAP_OWN, &key, &next);
		if (!fence_kernel_get(k, FENCE_MAP_OWN, &key, &at) && at != stamp)
			fence_kernel_del(k, FENCE_MAP_OWN, &key);
	}
}

int fence_kernel_own(struct fence_kernel *k)
{
	struct timespec now;
	uint32_t stamp;
	struct stat st;
	int err;

	if (k->tier == FENCE_TIER_B)
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &now);
	stamp = (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
	err = put(k, FENCE_OWN_PROGRAM, own_program(k->key),
		  stamp); /* first: what follows shuts out who is not listed */
	if (!err)
		err = put_maps(k, stamp);
	if (!err)
		err = put_links(k, stamp);
	if (!err && !stat(k->pin_dir, &st))
		err = put(k, FENCE_OWN_DIR,
			  (uint64_t)(major(st.st_dev) << 20 | minor(st.st_dev)) << 32 |
				  (uint32_t)st.st_ino,
			  stamp);
	if (!err)
		sweep(k, stamp);
	return err;
}

int fence_kernel_unpin(const char *pin_dir)
{
	const char *dir = pin_dir ? pin_dir : FENCE_PIN_DIR;
	char path[600];
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
	return rmdir(dir) ? -errno : 0;
}
