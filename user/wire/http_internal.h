/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP readers share. */
#ifndef FENCE_WIRE_HTTP_INTERNAL_H
#define FENCE_WIRE_HTTP_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <zlib.h>

#include "wire/http.h"

#define HTTP_DECODED_MAX (1u << 20) /* octets of one body without its coding */

/* Where one direction of an HTTP/1 connection is. */
enum h1_state {
	H1_HEAD,
	H1_LENGTH,
	H1_CHUNK,
	H1_DATA,
	H1_DATA_END,
	H1_TRAILER,
	H1_CLOSE,
	H1_OPAQUE
};

struct h1_side {
	enum h1_state state;
	uint64_t left; /* octets of the body, or of the chunk */
	struct fence_exchange *x; /* borrowed: whose body this is */
	struct fence_buf line; /* the head, or a line */
};

struct h2_side {
	nghttp2_hd_inflater *inflater; /* owned */
	uint8_t head[9];
	uint32_t have; /* octets of `head` */
	uint64_t left; /* octets of the frame's payload */
	uint8_t type, flags, pad; /* pad: its length octet is still to come */
	uint32_t stream, padding;
	struct fence_buf block; /* payload of HEADERS, CONTINUATION and SETTINGS */
	uint8_t end; /* END_STREAM of the HEADERS whose block goes on */
	uint32_t block_stream;
};

/* One direction of a WebSocket. */
struct ws_side {
	uint8_t head[14], mask[4];
	unsigned int have, at; /* octets of the head; of the payload */
	uint64_t left;
	uint8_t out, control, packed, lost;
	struct fence_buf message; /* so far */
	z_stream *inflater; /* owned */
};

struct fence_http {
	const struct fence_http_hooks *hooks; /* borrowed */
	void *ctx;
	int version, late;
	int lost[2]; /* by direction */
	int passing; /* what is not seen is not wanted */
	struct fence_buf first, answer; /* of client and server, until the version is known */
	struct fence_exchange *open; /* owned; in order of their beginning */
	unsigned int count, bodies, serial;
	struct h1_side h1[2];
	struct h2_side h2[2];
};

struct fence_exchange *http_begin(struct fence_http *h, uint32_t id);
struct fence_exchange *http_find(struct fence_http *h, uint32_t id);
void http_told(struct fence_http *h, struct fence_exchange *x); /* its request's head is there */
void http_end(struct fence_http *h, struct fence_exchange *x);
void http_field(struct fence_exchange *x, int out, const char *name, size_t nlen, const char *value,
		size_t vlen);
void http_body(struct fence_http *h, struct fence_exchange *x, int out, const uint8_t *data,
	       size_t len); /* data NULL: not seen */
void http_lose(struct fence_http *h, int out);

/* Keep octets in a buffer of the connection, within the room of all; -ENOMEM. Empty it again. */
int http_keep(struct fence_http *h, struct fence_buf *b, const void *data, size_t len);
void http_drop(struct fence_http *h, struct fence_buf *b);

/* Take the content coding off a whole body; what cannot be decoded stays as it is. */
int http_decode(struct fence_http *h, struct fence_buf *b, const char *coding);

/* The exchange is a WebSocket from here on; without memory it is only counted. */
void ws_begin(struct fence_http *h, struct fence_exchange *x);
void ws_feed(struct fence_http *h, struct fence_exchange *x, int out, const uint8_t *data,
	     size_t len); /* data NULL: not seen */
void ws_done(struct fence_http *h, struct fence_exchange *x);

void h1_feed(struct fence_http *h, int out, const uint8_t *data, size_t len);
void h1_gap(struct fence_http *h, int out, uint64_t len);
void h1_done(struct fence_http *h);
void h2_feed(struct fence_http *h, int out, const uint8_t *data, size_t len);
void h2_gap(struct fence_http *h, int out, uint64_t len);
int h2_init(struct fence_http *h);
void h2_done(struct fence_http *h);
int h2_begins(const uint8_t *data, size_t len); /* a frame; -1: more is needed */

#endif
