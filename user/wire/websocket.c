// SPDX-License-Identifier: Apache-2.0
/* WebSocket, RFC 6455: both sides' frames as messages; with permessage-deflate (RFC 7692). */
#include <stdlib.h>
#include <string.h>

#include "wire/http_internal.h"

#define FIN 0x80
#define RSV1 0x40
#define RSV23 0x30
#define MASKED 0x80
#define CONTROL 0x8 /* opcodes from here on: close, ping, pong */
#define INFLATE_ROOM (48u << 10) /* what zlib needs, by its manual */

static void lose(struct fence_http *h, struct ws_side *w)
{
	w->lost = 1;
	http_drop(h, &w->message);
}

/* Keep what fits; a message that is longer is told as far as it was kept. */
static void keep(struct fence_http *h, struct ws_side *w, const uint8_t *data, size_t len)
{
	size_t room = FENCE_HTTP_BODY - w->message.len;

	if (http_keep(h, &w->message, data, len < room ? len : room))
		lose(h, w);
}

static void unpack(struct fence_http *h, struct ws_side *w, const uint8_t *data, size_t len)
{
	uint8_t out[4096];
	int rc = Z_OK;

	if (!w->inflater && *h->hooks->room >= INFLATE_ROOM) {
		w->inflater = calloc(1, sizeof(*w->inflater));
		if (w->inflater && inflateInit2(w->inflater, -MAX_WBITS) != Z_OK) {
			free(w->inflater);
			w->inflater = NULL;
		}
		*h->hooks->room -= w->inflater ? INFLATE_ROOM : 0;
	}
	if (!w->inflater) {
		lose(h, w);
		return;
	}
	w->inflater->next_in = (Bytef *)(uintptr_t)data;
	w->inflater->avail_in = (uInt)len;
	do {
		w->inflater->next_out = out;
		w->inflater->avail_out = sizeof(out);
		rc = inflate(w->inflater, Z_SYNC_FLUSH);
		if (rc == Z_STREAM_END) /* RFC 7692 7.2.3.4: a last block, and more behind it */
			rc = inflateReset(w->inflater);
		if (rc != Z_OK && rc != Z_BUF_ERROR) {
			lose(h, w);
			break;
		}
		keep(h, w, out, sizeof(out) - w->inflater->avail_out);
	} while (!w->lost && (!w->inflater->avail_out || (w->inflater->avail_in && rc == Z_OK)));
	explicit_bzero(out, sizeof(out));
}

static void message_end(struct fence_http *h, struct fence_exchange *x, struct ws_side *w)
{
	static const uint8_t tail[] = { 0, 0, 0xff, 0xff };

	if (w->packed)
		unpack(h, w, tail, sizeof(tail));
	if (w->lost)
		return;
	(*(w->out ? &x->messages : &x->messages_in))++;
	if (h->hooks->message && w->message.len)
		h->hooks->message(h->ctx, x, w->out, w->message.data, w->message.len);
	http_drop(h, &w->message);
}

/* Octets of a frame's head, once its second is there. */
static unsigned int head_size(const struct ws_side *w)
{
	unsigned int n = w->head[1] & 0x7f;

	return 2 + (n == 126 ? 2 : n == 127 ? 8 : 0) + (w->head[1] & MASKED ? 4 : 0);
}

static void head_complete(struct fence_http *h, struct ws_side *w)
{
	unsigned int size = head_size(w), i, opcode = w->head[0] & 0xf;

	w->left = w->head[1] & 0x7f;
	if (w->left >= 126)
		for (w->left = 0, i = 2; i < size - (w->head[1] & MASKED ? 4 : 0); i++)
			w->left = w->left << 8 | w->head[i];
	/* a client masks what it sends, a server does not; an extension that we do not know may
	 * mean anything */
	if (!(w->head[1] & MASKED) != !w->out || w->head[0] & RSV23 || w->left >> 62) {
		lose(h, w);
		return;
	}
	memset(w->mask, 0, sizeof(w->mask));
	if (w->out)
		memcpy(w->mask, w->head + size - 4, 4);
	w->at = 0;
	w->control = opcode >= CONTROL;
	if (!w->control && opcode)
		w->packed = !!(w->head[0] & RSV1);
}

static void payload(struct fence_http *h, struct ws_side *w, const uint8_t *data, size_t len)
{
	uint8_t clear[1024];
	size_t n, i;

	for (; len && !w->lost; data += n, len -= n) {
		n = len < sizeof(clear) ? len : sizeof(clear);
		for (i = 0; i < n; i++)
			clear[i] = data[i] ^ w->mask[w->at++ & 3];
		if (w->packed)
			unpack(h, w, clear, n);
		else
			keep(h, w, clear, n);
	}
	explicit_bzero(clear, sizeof(clear));
}

static void frame_end(struct fence_http *h, struct fence_exchange *x, struct ws_side *w)
{
	w->have = 0;
	if (!w->control && w->head[0] & FIN)
		message_end(h, x, w);
}

void ws_feed(struct fence_http *h, struct fence_exchange *x, int out, const uint8_t *data,
	     size_t len)
{
	struct ws_side *w = x->ws[out];
	size_t n;

	if (w && !data)
		lose(h, w); /* where the next frame begins is not known any more */
	while (w && len && !w->lost) {
		if (w->have < 2 || w->have < head_size(w)) {
			w->head[w->have++] = *data++;
			len--;
			if (w->have < 2 || w->have < head_size(w))
				continue;
			head_complete(h, w);
			if (!w->lost && !w->left)
				frame_end(h, x, w);
			continue;
		}
		n = len < w->left ? len : (size_t)w->left;
		if (!w->control)
			payload(h, w, data, n);
		data += n;
		len -= n;
		w->left -= n;
		if (!w->left && !w->lost)
			frame_end(h, x, w);
	}
}

void ws_begin(struct fence_http *h, struct fence_exchange *x)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (x->ws[i] || *h->hooks->room < sizeof(*x->ws[i]))
			continue;
		x->ws[i] = calloc(1, sizeof(*x->ws[i]));
		if (!x->ws[i])
			continue;
		x->ws[i]->out = (uint8_t)i;
		*h->hooks->room -= sizeof(*x->ws[i]);
	}
}

void ws_done(struct fence_http *h, struct fence_exchange *x)
{
	struct ws_side *w;
	int i;

	for (i = 0; i < 2; i++) {
		w = x->ws[i];
		if (!w)
			continue;
		http_drop(h, &w->message);
		fence_buf_done(&w->message);
		if (w->inflater) {
			inflateEnd(w->inflater);
			free(w->inflater);
			*h->hooks->room += INFLATE_ROOM;
		}
		*h->hooks->room += sizeof(*w);
		free(w);
		x->ws[i] = NULL;
	}
}
