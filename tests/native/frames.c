// SPDX-License-Identifier: Apache-2.0
/*
 * The BPF reader of frames, built for the host: what a server sends over HTTP/2, in calls of any
 * size, given to the agent's parser without the bodies that the reader passes over, has to read as
 * it does in one piece.
 *
 * usage: frames ROUNDS [SEED]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/lib/frame.h"
#include "wire/http.h"
#include "random.h"

#define STREAMS 8
#define ROOM 262144

struct answer {
	int done, status;
	uint64_t in;
	unsigned int flags;
};

static uint8_t data[ROOM];
static size_t len;
static uint64_t passed;

static void on_done(void *ctx, struct fence_exchange *x)
{
	struct answer *a = (struct answer *)ctx + x->id / 2;

	a->done++;
	a->status = x->status;
	a->in = x->in;
	a->flags = x->flags & ~(unsigned int)FENCE_HTTP_WHOLE_IN;
}

static void put_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *payload, uint32_t n)
{
	const uint8_t head[9] = {
		(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0,
		(uint8_t)stream
	};

	memcpy(data + len, head, 9);
	if (payload)
		memcpy(data + len + 9, payload, n);
	len += 9 + n;
}

/* SETTINGS, and each stream's answer: bodies in frames of any size, padded or not, in turn. */
static void make(void)
{
	static uint8_t body[20000];
	uint32_t open[STREAMS], n = STREAMS, i, size;
	uint8_t flags;

	len = 0;
	put_frame(4, 0, 0, NULL, 0);
	for (i = 0; i < STREAMS; i++)
		open[i] = 2 * i + 1;
	for (i = 0; i < STREAMS; i++)
		put_frame(1, 4, open[i], "\x88", 1);
	while (n) {
		i = rnd(n);
		size = rnd(4) ? rnd(300) : rnd(15000);
		flags = (uint8_t)((rnd(5) ? 0 : 8) | (rnd(3) ? 0 : 1));
		memset(body, (int)rnd(256), sizeof(body)); /* a frame's header, perhaps */
		if (!size)
			flags &= 1;
		if (flags & 8)
			body[0] = (uint8_t)rnd(size < 255 ? size : 255);
		if (!rnd(6))
			put_frame(6, 0, 0, body, 8); /* PING */
		put_frame(0, flags, open[i], body, size);
		if (flags & 1)
			open[i] = open[--n];
		if (len > ROOM / 2)
			break;
	}
}

static struct fence_http *begin(const struct fence_http_hooks *hooks, struct answer *a)
{
	static const uint8_t ask[] = { 0, 0, 6, 1, 5, 0, 0, 0, 0, 0x82, 0x84, 0x87, 0x01, 1, 'a' };
	struct fence_http *h = fence_http_new(hooks, a, 0);
	uint8_t one[sizeof(ask)];
	uint8_t i;

	fence_http_feed(h, 1, (const uint8_t *)"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	for (i = 0; i < STREAMS; i++) {
		memcpy(one, ask, sizeof(ask));
		one[8] = (uint8_t)(2 * i + 1);
		fence_http_feed(h, 1, one, sizeof(one));
	}
	return h;
}

/* As bpf/lib/sight.h does with what one call has read. */
static void call(struct fence_http *h, struct fence_frame *f, const uint8_t *p, uint32_t n,
		 uint32_t least)
{
	uint32_t at = 0, from = 0, k;

	while (at < n) {
		if (f->got || !f->left) {
			k = n - at < FENCE_FRAME_HEADER ? n - at : FENCE_FRAME_HEADER;
			at += fence_frame_head(f, p + at, k);
			continue;
		}
		k = n - at < f->left ? n - at : f->left;
		if (fence_frame_is_body(f) && k >= least) {
			fence_http_feed(h, 0, p + from, at - from);
			fence_http_pass(h, 0, k);
			passed += k;
			from = at + k;
		}
		at += k;
		f->left -= k;
	}
	fence_http_feed(h, 0, p + from, n - from);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, i;
	struct answer whole[STREAMS], parts[STREAMS];
	size_t room = 16u << 20, at, n;
	struct fence_http_hooks hooks = { .done = on_done, .room = &room };
	struct fence_frame f;
	struct fence_http *h;
	uint32_t least;

	random_seed((argc > 2 ? strtoull(argv[2], NULL, 10) : 1));
	for (i = 0; i < rounds; i++) {
		make();
		memset(whole, 0, sizeof(whole));
		memset(parts, 0, sizeof(parts));
		h = begin(&hooks, whole);
		fence_http_feed(h, 0, data, len);
		fence_http_free(h);
		h = begin(&hooks, parts);
		memset(&f, 0, sizeof(f));
		least = rnd(2) ? 1 : 128;
		for (at = 0; at < len; at += n) {
			n = 1 + (rnd(3) ? rnd(20) : rnd(16384));
			if (n > len - at)
				n = len - at;
			call(h, &f, data + at, (uint32_t)n, least);
		}
		if (fence_http_lost(h)) {
			printf("round %lu: lost\n", i);
			return 1;
		}
		fence_http_free(h);
		if (memcmp(whole, parts, sizeof(whole))) {
			printf("round %lu: the answers differ\n", i);
			return 1;
		}
	}
	printf("%lu connections, %llu octets of bodies passed over, no difference\n", rounds,
	       (unsigned long long)passed);
	return rounds && !passed;
}
