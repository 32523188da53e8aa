// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"

void fence_buf_done(struct fence_buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

void fence_buf_reset(struct fence_buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = 0;
}

int fence_buf_reserve(struct fence_buf *b, size_t more)
{
	size_t want = b->len + more + 1, size = b->size ? b->size : 256;
	char *data;

	if (want <= b->size)
		return 0;
	while (size < want)
		size *= 2;
	data = realloc(b->data, size);
	if (!data) {
		b->failed = 1;
		return -ENOMEM;
	}
	b->data = data;
	b->size = size;
	return 0;
}

void fence_buf_add(struct fence_buf *b, const void *data, size_t len)
{
	if (fence_buf_reserve(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = 0;
}

void fence_buf_str(struct fence_buf *b, const char *s)
{
	fence_buf_add(b, s, strlen(s));
}

void fence_buf_printf(struct fence_buf *b, const char *fmt, ...)
{
	char small[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n < sizeof(small)) {
		fence_buf_add(b, small, (size_t)n);
		return;
	}
	if (fence_buf_reserve(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

const char *fence_buf_text(const struct fence_buf *b)
{
	return b->data ? b->data : "";
}

size_t fence_digits(char out[FENCE_DIGITS], int64_t v)
{
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	char digits[FENCE_DIGITS], *p = digits + sizeof(digits);

	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		*--p = '-';
	memcpy(out, p, (size_t)(digits + sizeof(digits) - p));
	return (size_t)(digits + sizeof(digits) - p);
}

int fence_buf_read_file(struct fence_buf *b, const char *path, size_t limit)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* nobody makes us wait */
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		if (b->len + (size_t)n > limit)
			return -EFBIG;
		fence_buf_add(b, chunk, (size_t)n);
	}
	if (n < 0)
		return -errno;
	return b->failed ? -ENOMEM : 0;
}

char *fence_text_plain(char *text)
{
	const char *next = text;
	char *p = text;
	unsigned int c;

	while ((c = fence_utf8_next(&next)))
		for (; p < next; p++)
			*p = fence_utf8_hidden(c) ? '?' : *p;
	return text;
}
