/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS sight in the kernel: the sensor of bpf/tls.bpf.c, its probes, and word of what a watched
 * process maps. Nothing of it is pinned: sight ends with the agent, enforcement does not need it.
 */
#ifndef FENCE_KERNEL_SIGHT_H
#define FENCE_KERNEL_SIGHT_H

#include <stdint.h>

#include <crmfence/sight.h>

#include "kernel/kernel.h"

struct fence_sight;

/*
 * Load the sensor, over the maps of `k`. 0: *ret is owned by the caller; -ENOTSUP with the reason
 * in `d` where the kernel lacks what it needs (uprobe_multi: 6.6; sock_send_length: 6.3).
 */
int fence_sight_open(struct fence_kernel *k, struct fence_sight **ret, struct fence_diag *d);
void fence_sight_close(struct fence_sight *s); /* NULL is fine */

struct fence_sight_point {
	uint64_t offset; /* in the file */
	uint8_t call; /* enum fence_tls_call */
	uint8_t box, seq; /* FENCE_TLS_COOKIE */
};

#define FENCE_SIGHT_POINTS 32
#define FENCE_SIGHT_LINKS 1024 /* attached at once; more are refused */

/*
 * Put probes into the file at `path` (a map_files entry will do), for the process `tgid` alone,
 * also when it maps the file only later. They go when fence_sight_release is called for it. 0,
 * -E2BIG, or -errno.
 */
int fence_sight_attach(struct fence_sight *s, const char *path, uint32_t tgid,
		       const struct fence_sight_point *at, unsigned int count);
void fence_sight_release(struct fence_sight *s, uint32_t tgid);
unsigned int fence_sight_attached(const struct fence_sight *s);

#define FENCE_TRY_NONCES 16
#define FENCE_TRY_NONCE 32 /* octets */

/* A trial: what a child says has to come, on its socket, and it has to live. */
struct fence_try {
	const char *path; /* of the file that carries the probes */
	const struct fence_sight_point *at;
	unsigned int count;
	uint32_t out, in; /* bits: the nonces that it writes, on the first socket, and reads */
	const char *const *names; /* of what a nonce is said by; NULL: of the file */
	int closed_off; /* with three system calls left: read, sendto, exit_group */
	/*
	 * In the child, which is nobody. fds: both ends of a connection over loopback, not
	 * blocking. 0; other: it cannot be tried.
	 */
	int (*child)(const char *path, const int fds[2], const uint8_t nonce[][FENCE_TRY_NONCE]);
};

/* 0; -EIO: what is said does not come, or it did not live, `d` says which; other: not found out. */
int fence_sight_try(struct fence_kernel *k, struct fence_sight *s, const struct fence_try *try,
		    struct fence_diag *d);

/*
 * ... of a child with a seccomp filter, which calls a function of its own in each way in which TLS
 * libraries are called. 0, or a negative errno with the reason in `d`: then nobody is to be probed.
 */
int fence_sight_test(struct fence_kernel *k, struct fence_sight *s, struct fence_diag *d);

/*
 * Of the extensions that `session`'s browser has, all that may ask `host` (FNV-1a of its name) are
 * listed, as was seen at the boot time `now`: a request by none that says who it is is held as
 * theirs, for FENCE_SOLE_NS.
 */
void fence_sight_sole(struct fence_sight *s, uint64_t session, uint64_t host, uint64_t now);
void fence_sight_soles_forget(struct fence_sight *s); /* the list is another one now */

/*
 * Some of the records that wait, in their order; returns how many. Each has passed
 * fence_sight_check; others are counted in *bad.
 */
unsigned int fence_sight_drain(struct fence_sight *s,
			       void (*each)(void *ctx, const struct fence_sight_rec *r), void *ctx,
			       uint64_t *bad);
enum fence_sight_waits {
	FENCE_SIGHT_NONE,
	FENCE_SIGHT_QUIET, /* a little, and nobody waits for it */
	FENCE_SIGHT_NOW, /* what the kernel could not tell; or the ring fills */
};
enum fence_sight_waits fence_sight_waits(struct fence_sight *s);
int fence_sight_check(const void *data, uint64_t size); /* pure: 0, or -EINVAL */
int fence_sight_fd(const struct fence_sight *s); /* readable when much waits */
void fence_sight_missed(struct fence_sight *s, uint64_t out[FENCE_SIGHT_MISS_MAX]);

/*
 * What a process and those it starts map as code from now on, and whom they fork: perf events of
 * that process alone, nobody else pays for them.
 */
struct fence_mapped;

struct fence_mapping {
	uint32_t tgid;
	uint32_t parent; /* not 0: `tgid` was forked by it; the rest is empty */
	uint64_t start, end; /* of the mapping: /proc/TGID/map_files/START-END */
	uint64_t ino; /* as the mount shows it */
	uint32_t major, minor;
};

/*
 * The first event of a machine waits for every CPU, 20 ms, in which a session would speak unseen:
 * an idle one of our own, from before the first session on. A descriptor, or -errno.
 */
int fence_mapped_ready(void);

int fence_mapped_open(uint32_t tgid, struct fence_mapped **ret);
void fence_mapped_close(struct fence_mapped *m);
int fence_mapped_fd(const struct fence_mapped *m); /* of an epoll: readable when there is more */
void fence_mapped_drain(struct fence_mapped *m,
			void (*each)(void *ctx, const struct fence_mapping *g), void *ctx,
			uint64_t *lost);

#endif
