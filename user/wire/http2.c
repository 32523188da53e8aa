// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/2, RFC 9113: frames here, header blocks by nghttp2. A connection that was there before has
 * a dynamic table that we do not know: placeholders stand in for it, so that whatever is added from
 * now on is found at its index, and what was there before reads as "?".
 */
#include <stdlib.h>
#include <string.h>

#include "wire/http_internal.h"

#define PRIMED 124 /* entries of 33 octets in a table of 4,096 (RFC 7541 4.1) */
#define TABLE_MAX 65536 /* of SETTINGS_HEADER_TABLE_SIZE that we follow */

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
#define END_STREAM 0x1
#define END_HEADERS 0x4
#define ACK 0x1
#define PADDED 0x8
#define HAS_PRIORITY 0x20

static uint32_t be24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | be24(p + 1);
}

int h2_begins(const uint8_t *data, size_t len)
{
	if (len < 9)
		return -1;
	return data[3] <= CONTINUATION && be24(data) <= FENCE_HTTP_HEAD && !(data[5] & 0x80);
}

static void decode_block(struct fence_exchange *x, int out, nghttp2_hd_inflater *in,
			 const uint8_t *p, size_t len, int *bad)
{
	nghttp2_nv nv;
	int flags = 0;
	ssize_t n;

	for (;;) {
		n = nghttp2_hd_inflate_hd2(in, &nv, &flags, p, len, 1);
		if (n < 0) {
			*bad = 1;
			return;
		}
		p += n;
		len -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT && x) {
			const char *name = (const char *)nv.name, *value = (const char *)nv.value;

			http_field(x, out, name, nv.namelen, value, nv.valuelen);
			if (!out && nv.namelen == 7 && !memcmp(name, ":status", 7))
				x->status = (uint16_t)strtoul(value, NULL, 10);
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !len)
			break;
	}
	nghttp2_hd_inflate_end_headers(in);
}

int h2_init(struct fence_http *h)
{
	static const uint8_t entry[] = { 0x40, 1, '?', 0 };
	uint8_t block[PRIMED * sizeof(entry)];
	int i, bad = 0;

	for (i = 0; i < PRIMED; i++)
		memcpy(block + (size_t)i * sizeof(entry), entry, sizeof(entry));
	for (i = 0; i < 2; i++) {
		if (nghttp2_hd_inflate_new(&h->h2[i].inflater))
			return -1;
		if (h->late)
			decode_block(NULL, i, h->h2[i].inflater, block, sizeof(block), &bad);
	}
	return bad ? -1 : 0;
}

void h2_done(struct fence_http *h)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (h->h2[i].inflater)
			nghttp2_hd_inflate_del(h->h2[i].inflater);
		http_drop(h, &h->h2[i].block);
		fence_buf_done(&h->h2[i].block);
	}
}

static void stream_end(struct fence_http *h, struct fence_exchange *x, int out)
{
	if (!out) /* a request that is over waits for its answer */
		http_end(h, x);
}

/* A header block is whole. */
static void block_complete(struct fence_http *h, struct h2_side *s, int out)
{
	struct fence_exchange *x = http_find(h, s->block_stream);
	int bad = 0;

	if (!x && (out || h->late)) {
		x = http_begin(h, s->block_stream);
		if (!x) { /* a request that nobody looks at must not pass for one that was */
			http_lose(h, out);
			return;
		}
	}
	if (x && !out)
		x->status = 0;
	decode_block(x, out, s->inflater, (const uint8_t *)fence_buf_text(&s->block), s->block.len,
		     &bad);
	http_drop(h, &s->block);
	if (bad) {
		http_lose(h, out);
		return;
	}
	if (!x)
		return;
	if (out && x->upgrade[0] && !strcmp(x->method, "CONNECT")) { /* RFC 8441 */
		x->flags |= FENCE_HTTP_UPGRADED;
		if (!strcmp(x->upgrade, "websocket"))
			ws_begin(h, x);
	}
	if (out)
		http_told(h, x);
	else if (x->status >= 300) /* what was asked for was not granted */
		x->flags &= (uint16_t)~FENCE_HTTP_UPGRADED;
	if (s->end)
		stream_end(h, x, out);
}

/* What the other side will let our side's encoder use. */
static void settings(struct fence_http *h, struct h2_side *s, int out)
{
	const uint8_t *p = (const uint8_t *)fence_buf_text(&s->block);
	size_t i;

	for (i = 0; i + 6 <= s->block.len; i += 6) {
		uint32_t value = be32(p + i + 2);

		if (p[i] == 0 && p[i + 1] == 1 && value > 4096 && value <= TABLE_MAX)
			nghttp2_hd_inflate_change_table_size(h->h2[!out].inflater, value);
	}
	http_drop(h, &s->block);
}

static void frame_end(struct fence_http *h, struct h2_side *s, int out)
{
	struct fence_exchange *x;

	switch (s->type) {
	case DATA:
		x = http_find(h, s->stream);
		if (x && s->flags & END_STREAM)
			stream_end(h, x, out);
		break;
	case HEADERS:
	case CONTINUATION:
		if (s->flags & END_HEADERS)
			block_complete(h, s, out);
		break;
	case RST_STREAM:
		x = http_find(h, s->stream);
		if (x) {
			x->flags |= FENCE_HTTP_CUT;
			http_end(h, x);
		}
		break;
	case SETTINGS:
		if (!(s->flags & ACK))
			settings(h, s, out);
		break;
	default:
		break;
	}
	s->have = 0;
}

static void frame_begin(struct fence_http *h, struct h2_side *s, int out)
{
	s->left = be24(s->head);
	s->type = s->head[3];
	s->flags = s->head[4];
	s->stream = be32(s->head + 5) & 0x7fffffff;
	s->pad = (s->type == DATA || s->type == HEADERS) && s->flags & PADDED;
	s->padding = 0;
	if (s->type == HEADERS) {
		http_drop(h, &s->block);
		s->block_stream = s->stream;
		s->end = s->flags & END_STREAM;
	}
	if (s->type == SETTINGS)
		http_drop(h, &s->block);
	if (s->type == PUSH || (s->type == CONTINUATION && s->stream != s->block_stream) ||
	    (s->type == HEADERS && s->left > FENCE_HTTP_HEAD) ||
	    ((s->type == HEADERS || s->type == DATA) && !s->stream)) {
		http_lose(h,
			  out); /* push: nobody sends it any more, and its block is the table's */
		return;
	}
	if (!s->left)
		frame_end(h, s, out);
}

/* A block's payload: without padding and priority. */
static void block_add(struct fence_http *h, struct h2_side *s, int out, const uint8_t *p, size_t n,
		      uint64_t before)
{
	uint64_t total = be24(s->head), skip = 0, keep = total;

	if (s->type == HEADERS && s->flags & PADDED) {
		if (!before && n)
			s->padding = p[0];
		skip = 1;
		keep = s->padding < total ? total - s->padding : 0;
	}
	if (s->type == HEADERS && s->flags & HAS_PRIORITY)
		skip += 5;
	if (before + n > keep)
		n = before < keep ? (size_t)(keep - before) : 0;
	if (before < skip) {
		size_t cut = (size_t)(skip - before) < n ? (size_t)(skip - before) : n;

		p += cut;
		n -= cut;
	}
	if (s->block.len + n > FENCE_HTTP_HEAD || http_keep(h, &s->block, p, n))
		http_lose(h, out);
}

static void data_add(struct fence_http *h, struct h2_side *s, int out, const uint8_t *p, size_t n)
{
	struct fence_exchange *x = http_find(h, s->stream);
	uint64_t after;

	if (s->pad && p && n) {
		s->padding = p[0];
		s->pad = 0;
		p++;
		n--;
		s->left--;
	}
	after = s->left - n; /* of the frame, behind these */
	if (after < s->padding)
		n = s->left > s->padding ? (size_t)(s->left - s->padding) : 0;
	if (x && n && x->flags & FENCE_HTTP_UPGRADED) {
		*(out ? &x->out : &x->in) += n;
		ws_feed(h, x, out, p, n);
	} else if (x && n) {
		http_body(h, x, out, p, n);
	}
	s->left = after;
}

void h2_feed(struct fence_http *h, int out, const uint8_t *data, size_t len)
{
	struct h2_side *s = &h->h2[out];
	size_t n;

	while (len && !h->lost[out]) {
		if (s->have < 9) {
			s->head[s->have++] = *data++;
			len--;
			if (s->have == 9)
				frame_begin(h, s, out);
			continue;
		}
		n = s->left < len ? (size_t)s->left : len;
		if (s->type == DATA) {
			data_add(h, s, out, data, n);
		} else {
			if (s->type == HEADERS || s->type == CONTINUATION || s->type == SETTINGS)
				block_add(h, s, out, data, n, be24(s->head) - s->left);
			s->left -= n;
		}
		data += n;
		len -= n;
		if (!s->left && !h->lost[out])
			frame_end(h, s, out);
	}
}

void h2_gap(struct fence_http *h, int out, uint64_t len)
{
	struct h2_side *s = &h->h2[out];

	if (s->have < 9 || s->type != DATA || len > s->left || s->pad) {
		http_lose(h, out);
		return;
	}
	data_add(h, s, out, NULL, (size_t)len);
	if (!s->left)
		frame_end(h, s, out);
}
