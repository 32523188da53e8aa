/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side as user space holds it: sensors loaded, attached and pinned, maps by name,
 * records from the ring. The only place with libbpf.
 *
 * Everything is pinned below one directory of a BPF file system, so that enforcement goes on when
 * the agent dies. A later agent finds the pins: maps of the same ABI are taken over with what they
 * hold, links are updated in place, never detached first. Pins of another ABI, or of another
 * cgroup, are refused.
 */
#ifndef FENCE_KERNEL_H
#define FENCE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include <crmfence/event.h>
#include <crmfence/rule.h>

#include "base/diag.h"

#define FENCE_PIN_DIR "/sys/fs/bpf/crmfence"

struct fence_kernel;

struct fence_kernel_opts {
	const char *cgroup; /* directory to attach at; NULL: the root of the v2 mount */
	const char *pin_dir; /* NULL: FENCE_PIN_DIR; its parent is a BPF file system, mounted when
				it is /sys/fs/bpf and is none */
};

enum fence_map {
	FENCE_MAP_NAMES,
	FENCE_MAP_NETS,
	FENCE_MAP_SERVICES,
	FENCE_MAP_MATCHES,
	FENCE_MAP_ANSWERS,
	FENCE_MAP_CGROUPS,
	FENCE_MAP_PROCS,
	FENCE_MAP_SESSIONS,
	FENCE_MAP_CONFIG,
	FENCE_MAP_COUNTERS,
	FENCE_MAP_LOGGED,
	FENCE_MAP_PULSE,
	FENCE_MAP_TOOLS,
	FENCE_MAP_DENIED,
	FENCE_MAP_OWN,
	FENCE_MAP_RING,
	FENCE_MAP_DENIALS,
	FENCE_MAP_RANGES,
	FENCE_MAP_UNITS,
	FENCE_MAP_COUNT_
};

/*
 * Root, BTF, cgroup v2, bpffs, no stranger's pins: 0, or a negative errno with the sentence and
 * remedy in `d`. Changes nothing.
 */
int fence_kernel_check(const struct fence_kernel_opts *o, struct fence_diag *d);

/*
 * Load every sensor. Nothing is attached yet: fill the policy maps first. The key of their hashes
 * is there: that of the pins, or a new one. 0: *ret is owned by the caller.
 */
int fence_kernel_open(const struct fence_kernel_opts *o, struct fence_kernel **ret,
		      struct fence_diag *d);

/* Attach and pin, or update what is pinned. After it the policy is enforced. */
int fence_kernel_attach(struct fence_kernel *k, struct fence_diag *d);

/*
 * Let go. keep: pins stay, and so does enforcement; otherwise everything is detached and unpinned.
 * NULL is fine.
 */
void fence_kernel_close(struct fence_kernel *k, int keep);

/* Remove the pins of an agent that is gone. 0, or a negative errno. */
int fence_kernel_unpin(const char *pin_dir);

/* The key: two words, for fence_config and hash.h. */
const __u64 *fence_kernel_key(const struct fence_kernel *k);

/* Inode of the directory that the programs are attached at, for fence_config. */
uint64_t fence_kernel_cgroup(const struct fence_kernel *k);

/*
 * What stands between a session and the rest of the machine, found out by a call that has to be
 * refused. A1: BPF LSM; A2: fmod_ret on the same functions; B: neither.
 */
enum fence_tier { FENCE_TIER_B, FENCE_TIER_A1, FENCE_TIER_A2 };
enum fence_tier fence_kernel_tier(const struct fence_kernel *k);
const char *fence_tier_name(enum fence_tier tier);

/*
 * Look after links, pins and their order; what is not as it was put is mended and told: what,
 * which, 0 or the errno of mending it.
 */
typedef void fence_tampered(void *ctx, const char *what, const char *name, int err);
void fence_kernel_watch(struct fence_kernel *k, fence_tampered *each, void *ctx);

/*
 * A number over all keys and values of a hash or trie map whose key is of `bank`; 0: they cannot be
 * read.
 */
uint64_t fence_kernel_digest(struct fence_kernel *k, enum fence_map map, uint32_t value_size,
			     uint8_t (*bank_of)(enum fence_map map, const void *key), uint8_t bank);

/* True when pins were there already. */
int fence_kernel_adopted(const struct fence_kernel *k);

int fence_kernel_put(struct fence_kernel *k, enum fence_map map, const void *key,
		     const void *value);
/* Change a session, while programs count its processes. 0; -ENOENT: there is none; -errno. */
int fence_kernel_session(struct fence_kernel *k, const struct fence_session_set *c);

int fence_kernel_get(struct fence_kernel *k, enum fence_map map, const void *key, void *value);
int fence_kernel_del(struct fence_kernel *k, enum fence_map map, const void *key);
int fence_kernel_clear(struct fence_kernel *k, enum fence_map map); /* hash and trie maps */

/* Walk keys of a hash map: `key` NULL for the first. 0, or -ENOENT at the end. */
int fence_kernel_next(struct fence_kernel *k, enum fence_map map, const void *key, void *next);

/* Sums over CPUs. */
void fence_kernel_counters(struct fence_kernel *k, uint64_t out[FENCE_C_MAX]);

/* Readable when the programs wanted the agent woken. */
int fence_kernel_ring_fd(const struct fence_kernel *k);

/*
 * Every record that waits in both rings, checked by fence_record_check, to `each`; others are
 * counted in *bad. An ordinary record is given before a denial that is younger. Returns 0, 1
 * when more waits than one turn takes, or -errno.
 */
int fence_kernel_drain(struct fence_kernel *k, void (*each)(void *ctx, const struct fence_rec *r),
		       void *ctx, uint64_t *bad);

/* Length, kind and version of a record in `size` bytes at `data`: 0, or -EINVAL. Pure. */
int fence_record_check(const void *data, uint64_t size);

/* Run the iterator over processes: each (struct fence_recon_task) has its entry in procs then. */
int fence_kernel_tasks(struct fence_kernel *k, void (*each)(void *ctx, const void *task),
		       void *ctx);

/*
 * Run the iterator over open inet sockets: each is tagged; those that became a session's by it are
 * given (struct fence_recon_socket). `tgid`: those of this process; 0: everybody's.
 */
int fence_kernel_sockets(struct fence_kernel *k, uint32_t tgid,
			 void (*each)(void *ctx, const void *socket), void *ctx);

/* Sensors, for status: name by index, NULL behind the last. */
const char *fence_kernel_sensor(unsigned int index);

/* False: this kernel does not know the sensor's hooks. */
int fence_kernel_checks_unix(const struct fence_kernel *k); /* Unix sockets, in some tier */
int fence_kernel_has(const struct fence_kernel *k, unsigned int index);

/* The v2 mount point into `out`. 0, or -ENOENT. */
int fence_cgroup_mount(char *out, unsigned long size);

/*
 * Make a TCP socket fail now: its owner gets ECONNABORTED, its peer a reset. `tgid` names the
 * network namespace. 0, -ESRCH when no such socket is left, or another negative errno.
 */
int fence_socket_destroy(uint64_t cookie, uint8_t family, uint16_t port, uint32_t tgid);

/* Several at once, with one look at each table; how many went. */
struct fence_doomed {
	uint64_t cookie;
	uint32_t tgid;
	uint16_t port; /* remote */
	uint8_t family;
};

size_t fence_sockets_destroy(const struct fence_doomed *doomed, size_t n);

#endif
