/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer that is always terminated. When memory runs out it stays as it was and
 * `failed` is set.
 */
#ifndef FENCE_BASE_BUF_H
#define FENCE_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct fence_buf {
	char *data; /* owned; NULL while empty */
	size_t len;
	size_t size;
	int failed;
};

void fence_buf_done(struct fence_buf *b);
int fence_buf_reserve(struct fence_buf *b,
		      size_t more); /* room for `more` octets and the end: 0, or -ENOMEM */
void fence_buf_reset(struct fence_buf *b); /* empty; memory is kept */
void fence_buf_add(struct fence_buf *b, const void *data, size_t len);
void fence_buf_str(struct fence_buf *b, const char *s);
void fence_buf_printf(struct fence_buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
const char *fence_buf_text(const struct fence_buf *b); /* never NULL */

/*
 * Fit for a terminal: each byte of a character that nobody sees (utf8.h) becomes '?', in place.
 * Names and paths are chosen by who is watched. Returns `text`.
 */
char *fence_text_plain(char *text);

/* A number in decimal, not terminated; returns its octets. For hot paths, where printf is dear. */
#define FENCE_DIGITS 24
size_t fence_digits(char out[FENCE_DIGITS], int64_t v);

/* Read a whole file of at most `limit` bytes. 0, or a negative errno: -EFBIG when larger. */
int fence_buf_read_file(struct fence_buf *b, const char *path, size_t limit);

#define AUTO_BUF __attribute__((cleanup(fence_buf_done)))

#endif
