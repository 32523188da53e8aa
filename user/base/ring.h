/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of rows between two processes, in memory that they share: one puts, one takes. What was
 * put stays until the other says that it is done with it, also when that one ended meanwhile and
 * another goes on in its place. Neither ever waits for the other.
 */
#ifndef FENCE_BASE_RING_H
#define FENCE_BASE_RING_H

#include <stddef.h>
#include <stdint.h>

#define FENCE_RING_BYTES (32u << 20)
#define FENCE_RING_KIND 32

struct fence_ring;

struct fence_ring_row {
	uint64_t no; /* 0, 1, 2, ... as they were put */
	int64_t ts;
	const char *kind, *body; /* borrowed, until fence_ring_taken */
	size_t len; /* bytes of body, which ends with a NUL behind them */
};

/* Shared by what is forked from now on. NULL: no memory. Its memory begins as zeros. */
struct fence_ring *fence_ring_new(void);
void fence_ring_free(struct fence_ring *r); /* NULL is fine */
void fence_ring_keep(struct fence_ring *r); /* what is forked later does not get it */

/* FENCE_RING_STATE bytes for what else they tell each other. */
#define FENCE_RING_STATE 4096
void *fence_ring_state(struct fence_ring *r);

/* Its number, or -ENOSPC: it is full. */
int64_t fence_ring_put(struct fence_ring *r, int64_t ts, const char *kind, const char *body,
		       size_t len);
size_t fence_ring_used(const struct fence_ring *r); /* bytes; 0: all was taken */
uint64_t fence_ring_next(const struct fence_ring *r); /* number of the next that is put */

/*
 * The other side: rows in their order, from the oldest that was not taken (`at` 0) on. 1, and *at
 * is for the next call; 0: there are no more.
 */
int fence_ring_peek(const struct fence_ring *r, uint64_t *at, struct fence_ring_row *row);
void fence_ring_taken(struct fence_ring *r, uint64_t at); /* all before `at`, as peek left it */

#endif
