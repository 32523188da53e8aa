/* SPDX-License-Identifier: Apache-2.0 */
/* What kernel.c and watch.c share. */
#ifndef FENCE_KERNEL_INTERNAL_H
#define FENCE_KERNEL_INTERNAL_H

#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <time.h>

#include <crmfence/sight.h>

#include "kernel/kernel.h"

#define FENCE_LINKS_MAX 64
#define FENCE_SENSORS_MAX 16

struct fence_kernel {
	char pin_dir[200];
	char cgroup[256];
	int cgroup_fd;
	struct bpf_object *objects[FENCE_SENSORS_MAX]; /* owned */
	struct bpf_link *links[FENCE_LINKS_MAX]; /* owned */
	struct bpf_program *programs[FENCE_LINKS_MAX]; /* borrowed: of each link */
	uint64_t pins[FENCE_LINKS_MAX]; /* inode of each link's pin */
	uint64_t map_pins[FENCE_MAP_COUNT_];
	ino_t dir_ino; /* pin_dir as it was looked through last, */
	struct timespec dir_changed; /* and when it had changed; */
	int dir_again; /* once more, since that clock is coarse */
	size_t nlinks;
	int after; /* borrowed: map of the programs that packet_egress goes on with */
	int after_prog[FENCE_PACKET_ENDS]; /* what sight has in it, borrowed; -1: nothing */
	int maps[FENCE_MAP_COUNT_]; /* borrowed from objects */
	uint32_t key_size[FENCE_MAP_COUNT_];
	struct ring_buffer *ring; /* owned; both rings: 0 ordinary records, 1 denials */
	uint32_t budget; /* records of this drain still to be taken */
	uint64_t drained; /* boot time up to which ring 0 has been read */
	int adopted;
	__u64 key[FENCE_HASH_KEY]; /* of the keyed hashes in the maps (hash.h) */
	enum fence_tier tier;
	void (*each)(void *ctx, const struct fence_rec *r);
	void *ctx;
	uint64_t *bad;
};

extern const char *const fence_map_names[FENCE_MAP_COUNT_];

/* own.c: write down what is ours; are the pins in `pin_dir` those of an agent at another path? */
int fence_kernel_own(struct fence_kernel *k);
int fence_kernel_owned_by_other(const char *pin_dir, const __u64 key[FENCE_HASH_KEY]);

/* key.c: into the map, before any program that hashes is attached; a new one without pins. */
int fence_kernel_key_put(struct fence_kernel *k, struct fence_diag *d);

/* A sensor's map, owned by its object; NULL: there is none of that name. */
struct bpf_map *fence_kernel_map(const struct fence_kernel *k, const char *name);

/* watch.c: put into `packet_after` what is to be there. */
int fence_kernel_after(struct fence_kernel *k, uint32_t i);

uint64_t fence_inode_of(const char *path); /* 0: nothing is there */

#endif
