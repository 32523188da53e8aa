// SPDX-License-Identifier: Apache-2.0
#include "base/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define LOW \
	(4u << 20) /* room that there is at least: what is passed over is not free until it is \
		      read */
#define WRAP UINT32_MAX /* nothing more up to the end of the memory */

struct fence_ring {
	_Atomic uint64_t head,
		tail; /* bytes put and taken, ever; they begin behind 0, which is no place */
	_Atomic uint64_t next;
	uint8_t state[FENCE_RING_STATE] __attribute__((aligned(64)));
	uint8_t data[FENCE_RING_BYTES] __attribute__((aligned(64)));
};

struct ring_row {
	uint32_t len, size; /* of the body; of all, with this */
	uint64_t no;
	int64_t ts;
	char kind[FENCE_RING_KIND];
	char body[];
};

struct fence_ring *fence_ring_new(void)
{
	struct fence_ring *r =
		mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (r == MAP_FAILED)
		return NULL;
	r->head = r->tail = FENCE_RING_BYTES;
	return r;
}

void fence_ring_free(struct fence_ring *r)
{
	if (r)
		munmap(r, sizeof(*r));
}

void fence_ring_keep(struct fence_ring *r)
{
	madvise(r, sizeof(*r), MADV_DONTFORK);
}

void *fence_ring_state(struct fence_ring *r)
{
	return r->state;
}

size_t fence_ring_used(const struct fence_ring *r)
{
	return (size_t)(r->head - r->tail);
}

uint64_t fence_ring_next(const struct fence_ring *r)
{
	return r->next;
}

int64_t fence_ring_put(struct fence_ring *r, int64_t ts, const char *kind, const char *body,
		       size_t len)
{
	uint64_t head = r->head, tail = r->tail, no = r->next;
	size_t at = head % FENCE_RING_BYTES, rest = FENCE_RING_BYTES - at, skip;
	size_t size = (sizeof(struct ring_row) + len + 1 + 7) & ~(size_t)7;
	struct ring_row *row;

	if (len > FENCE_RING_BYTES / 4 || strlen(kind) >= FENCE_RING_KIND)
		return -ENOSPC;
	/* who keeps up never touches the rest of the memory */
	skip = rest < size || (head == tail && at > LOW) ? rest : 0;
	if (head - tail + skip + size > FENCE_RING_BYTES)
		return -ENOSPC;
	if (skip) {
		memset(r->data + at, 0xff, sizeof(uint32_t));
		at = 0;
	}
	row = (struct ring_row *)(r->data + at);
	*row = (struct ring_row){
		.len = (uint32_t)len, .size = (uint32_t)size, .no = no, .ts = ts
	};
	memcpy(row->kind, kind, strlen(kind));
	memcpy(row->body, body, len);
	row->body[len] = 0;
	r->head = head + skip + size; /* from here on the other may have it */
	r->next = no + 1; /* last: what it counts is there */
	return (int64_t)no;
}

int fence_ring_peek(const struct fence_ring *r, uint64_t *at, struct fence_ring_row *out)
{
	uint64_t place = *at ? *at : r->tail, head = r->head;
	const struct ring_row *row;
	uint32_t first;

	if (place < head) {
		memcpy(&first, r->data + place % FENCE_RING_BYTES, sizeof(first));
		if (first == WRAP)
			place += FENCE_RING_BYTES - place % FENCE_RING_BYTES;
	}
	if (place >= head)
		return 0;
	row = (const struct ring_row *)(r->data + place % FENCE_RING_BYTES);
	*out = (struct fence_ring_row){
		.no = row->no, .ts = row->ts, .kind = row->kind, .body = row->body, .len = row->len
	};
	*at = place + row->size;
	return 1;
}

void fence_ring_taken(struct fence_ring *r, uint64_t at)
{
	if (at)
		r->tail = at;
}
