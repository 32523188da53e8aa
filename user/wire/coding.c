// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies with a content coding: gzip and deflate (RFC 9110 8.4.1), br (RFC 7932), zstd (RFC 8878,
 * its window bounded by RFC 9659). What is not whole when it ends is not taken.
 */
#include <brotli/decode.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "wire/http_internal.h"

#define WINDOW_LOG 23 /* of zstd: 8 MiB */

struct clear {
	struct fence_http *h;
	struct fence_buf b;
	uint8_t out[4096];
};

/* The first `n` octets of `out` are next. -1: there is no room. */
static int take(struct clear *c, size_t n)
{
	return c->b.len + n > HTTP_DECODED_MAX || http_keep(c->h, &c->b, c->out, n) ? -1 : 0;
}

/* Each: 1 when all of `in` was one whole body. */
static int by_zlib(struct clear *c, const struct fence_buf *in)
{
	z_stream z = { .next_in = (Bytef *)in->data, .avail_in = (uInt)in->len };
	int rc = inflateInit2(&z, MAX_WBITS + 32); /* gzip or zlib, as it begins */

	while (rc == Z_OK) {
		z.next_out = c->out;
		z.avail_out = sizeof(c->out);
		rc = inflate(&z, Z_NO_FLUSH);
		if (take(c, sizeof(c->out) - z.avail_out))
			rc = Z_MEM_ERROR;
	}
	inflateEnd(&z);
	return rc == Z_STREAM_END;
}

static int by_brotli(struct clear *c, const struct fence_buf *in)
{
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	BrotliDecoderResult rc = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
	const uint8_t *next = (const uint8_t *)in->data;
	size_t left = in->len;

	while (s && rc == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
		size_t room = sizeof(c->out);
		uint8_t *out = c->out;

		rc = BrotliDecoderDecompressStream(s, &left, &next, &room, &out, NULL);
		if (take(c, sizeof(c->out) - room))
			rc = BROTLI_DECODER_RESULT_ERROR;
	}
	BrotliDecoderDestroyInstance(s);
	return s && rc == BROTLI_DECODER_RESULT_SUCCESS;
}

static int by_zstd(struct clear *c, const struct fence_buf *in)
{
	ZSTD_inBuffer from = { .src = in->data, .size = in->len };
	ZSTD_DCtx *s = ZSTD_createDCtx();
	size_t rc = 1;

	if (!s || ZSTD_isError(ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, WINDOW_LOG)))
		from.size = 0;
	while (from.size && rc && !ZSTD_isError(rc)) {
		ZSTD_outBuffer to = { .dst = c->out, .size = sizeof(c->out) };
		size_t before = from.pos;

		rc = ZSTD_decompressStream(s, &to, &from);
		if (take(c, to.pos) || (rc && before == from.pos && !to.pos))
			break; /* no room, or cut short */
	}
	ZSTD_freeDCtx(s);
	return !rc;
}

int http_decode(struct fence_http *h, struct fence_buf *b, const char *coding)
{
	static const struct {
		const char *name;
		int (*by)(struct clear *c, const struct fence_buf *in);
	} all[] = { { "gzip", by_zlib },
		    { "x-gzip", by_zlib },
		    { "deflate", by_zlib },
		    { "br", by_brotli },
		    { "zstd", by_zstd } };
	struct clear c = { .h = h };
	size_t i;
	int done;

	for (i = 0; i < sizeof(all) / sizeof(all[0]) && strcmp(all[i].name, coding); i++)
		;
	done = i < sizeof(all) / sizeof(all[0]) && all[i].by(&c, b);
	explicit_bzero(c.out, sizeof(c.out));
	http_drop(h, done ? b : &c.b);
	fence_buf_done(done ? b : &c.b);
	if (done)
		*b = c.b;
	return done;
}
