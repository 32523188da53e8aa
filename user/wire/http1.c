// SPDX-License-Identifier: Apache-2.0
/* HTTP/1.1, RFC 9112. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire/http_internal.h"

#define MOST_OF_A_LINE 4096 /* of a chunk's size and extensions, or a trailer field */

/* What a head says about the body behind it. */
struct framing {
	int chunked;
	int has_length;
	uint64_t length;
};

static int name_is(const char *line, size_t len, const char *want)
{
	return strlen(want) == len && !strncasecmp(line, want, len);
}

static int number(const char *text, size_t len, int base, uint64_t *out)
{
	char copy[24], *end;

	if (!len || len >= sizeof(copy))
		return -1;
	memcpy(copy, text, len);
	copy[len] = 0;
	if (!strchr("0123456789abcdefABCDEF", copy[0]))
		return -1;
	*out = strtoull(copy, &end, base);
	return *end ? -1 : 0;
}

static int field(struct fence_exchange *x, int out, const char *line, size_t len, struct framing *f)
{
	const char *colon = memchr(line, ':', len), *value;
	size_t nlen, vlen;
	uint64_t n;

	if (!colon || colon == line)
		return -1;
	nlen = (size_t)(colon - line);
	value = colon + 1;
	vlen = len - nlen - 1;
	while (vlen && (*value == ' ' || *value == '\t'))
		value++, vlen--;
	while (vlen && (value[vlen - 1] == ' ' || value[vlen - 1] == '\t'))
		vlen--;
	if (name_is(line, nlen, "transfer-encoding")) {
		f->chunked = vlen >= 7 && !strncasecmp(value + vlen - 7, "chunked", 7);
	} else if (name_is(line, nlen, "content-length")) {
		if (number(value, vlen, 10, &n) || (f->has_length && f->length != n))
			return -1;
		f->has_length = 1;
		f->length = n;
	}
	http_field(x, out, line, nlen, value, vlen);
	return 0;
}

static int first_line(struct fence_exchange *x, int out, const char *line, size_t len)
{
	const char *sp = memchr(line, ' ', len), *sp2;
	uint64_t status;

	if (!sp)
		return -1;
	if (!out) {
		if (len < 12 || strncmp(line, "HTTP/1.", 7) || number(sp + 1, 3, 10, &status))
			return -1;
		x->status = (uint16_t)status;
		return 0;
	}
	sp2 = memchr(sp + 1, ' ', len - (size_t)(sp + 1 - line));
	if (!sp2 || strncmp(sp2 + 1, "HTTP/1.", 7) || (size_t)(sp - line) >= sizeof(x->method))
		return -1;
	snprintf(x->method, sizeof(x->method), "%.*s", (int)(sp - line), line);
	snprintf(x->path, sizeof(x->path), "%.*s", (int)(sp2 - sp - 1), sp + 1);
	return 0;
}

/* Every line of a head that is complete. */
static int parse_head(struct fence_exchange *x, int out, const struct fence_buf *head,
		      struct framing *f)
{
	const char *p = head->data, *end = p + head->len, *eol;
	int first = 1;

	while (p < end && (eol = memchr(p, '\n', (size_t)(end - p)))) {
		size_t len = (size_t)(eol - p);

		if (len && p[len - 1] == '\r')
			len--;
		if (len && (first ? first_line(x, out, p, len) : field(x, out, p, len, f)))
			return -1;
		first = first && !len;
		p = eol + 1;
	}
	return 0;
}

/* RFC 9112 6.3: how long the body is. */
static void begin_body(struct fence_http *h, struct h1_side *s, int out, const struct framing *f)
{
	struct fence_exchange *x = s->x;
	int none = !out && (x->status < 200 || x->status == 204 || x->status == 304 ||
			    !strcmp(x->method, "HEAD"));

	if (!out && (x->status == 101 || (x->status / 100 == 2 && !strcmp(x->method, "CONNECT")))) {
		x->flags |= FENCE_HTTP_UPGRADED;
		h->h1[0].state = h->h1[1].state = H1_OPAQUE;
		h->h1[1].x = x;
		if (!strcasecmp(x->upgrade, "websocket"))
			ws_begin(h, x);
		return;
	}
	if (none)
		s->left = 0;
	else if (f->chunked)
		s->left = 1;
	else if (f->has_length)
		s->left = f->length;
	else
		s->left = out ? 0 : 1;
	s->state = none || !s->left ? H1_HEAD
		   : f->chunked	    ? H1_CHUNK
		   : f->has_length  ? H1_LENGTH
				    : H1_CLOSE;
}

static void message_end(struct fence_http *h, struct h1_side *s, int out)
{
	struct fence_exchange *x = s->x;

	s->state = H1_HEAD;
	s->x = NULL;
	if (!x || out)
		return; /* a request is over when it is answered */
	http_end(h, x);
}

/* The request that this answer is to: the oldest that has none. */
static struct fence_exchange *answered(struct fence_http *h)
{
	struct fence_exchange *x;

	for (x = h->open; x && x->answered; x = x->next)
		;
	if (!x && h->late) /* its request was before our time */
		x = http_begin(h, ++h->serial);
	return x;
}

static void head_complete(struct fence_http *h, struct h1_side *s, int out)
{
	struct framing f = { 0 };

	s->x = out ? http_begin(h, ++h->serial) : answered(h);
	if (!s->x || parse_head(s->x, out, &s->line, &f)) {
		http_lose(h, out);
		return;
	}
	http_drop(h, &s->line);
	if (out)
		http_told(h, s->x);
	if (!out && s->x->status / 100 == 1 && s->x->status != 101) {
		s->x->status = 0; /* interim: the answer is still to come */
		s->x = NULL;
		return;
	}
	if (!out)
		s->x->answered = 1;
	begin_body(h, s, out, &f);
	if (s->state == H1_HEAD)
		message_end(h, s, out);
}

/* Octets up to and with the end of a line; -1: too long. 1: the line is complete. */
static int gather(struct fence_http *h, struct h1_side *s, const uint8_t **data, size_t *len,
		  size_t most)
{
	const uint8_t *eol = memchr(*data, '\n', *len);
	size_t n = eol ? (size_t)(eol - *data) + 1 : *len;

	if (s->line.len + n > most)
		return -1;
	if (http_keep(h, &s->line, *data, n))
		return -1;
	*data += n;
	*len -= n;
	return !!eol;
}

/* An empty line ends a head. */
static int head_ended(const struct fence_buf *b)
{
	return (b->len >= 2 && !memcmp(b->data + b->len - 2, "\n\n", 2)) ||
	       (b->len >= 4 && !memcmp(b->data + b->len - 4, "\r\n\r\n", 4));
}

static int is_empty(const struct fence_buf *b)
{
	return !strcmp(b->data, "\r\n") || !strcmp(b->data, "\n");
}

static void line_state(struct fence_http *h, struct h1_side *s, int out, const uint8_t **data,
		       size_t *len)
{
	int got = gather(h, s, data, len, s->state == H1_HEAD ? FENCE_HTTP_HEAD : MOST_OF_A_LINE);
	size_t digits;

	if (got < 0) {
		http_lose(h, out);
		return;
	}
	if (!got)
		return;
	switch (s->state) {
	case H1_HEAD:
		if (is_empty(&s->line)) /* RFC 9112 2.2: before a message */
			http_drop(h, &s->line);
		else if (head_ended(&s->line))
			head_complete(h, s, out);
		return;
	case H1_CHUNK:
		digits = strspn(s->line.data, "0123456789abcdefABCDEF");
		if (number(s->line.data, digits, 16, &s->left))
			http_lose(h, out);
		s->state = s->left ? H1_DATA : H1_TRAILER;
		break;
	case H1_DATA_END:
		s->state = H1_CHUNK;
		break;
	default: /* a trailer */
		if (is_empty(&s->line))
			message_end(h, s, out);
	}
	http_drop(h, &s->line);
}

static void upgraded(struct fence_http *h, struct fence_exchange *x, int out, const uint8_t *data,
		     uint64_t n)
{
	*(out ? &x->out : &x->in) += n;
	ws_feed(h, x, out, data, (size_t)n);
}

/* Octets of a body; data NULL: not seen. Returns how many it took. */
static uint64_t body_state(struct fence_http *h, struct h1_side *s, int out, const uint8_t *data,
			   uint64_t len)
{
	uint64_t n = s->state == H1_CLOSE || s->state == H1_OPAQUE || len < s->left ? len : s->left;

	if (s->x && s->state == H1_OPAQUE)
		upgraded(h, s->x, out, data, n);
	else if (s->x)
		http_body(h, s->x, out, data, (size_t)n);
	if (s->state != H1_LENGTH && s->state != H1_DATA)
		return n;
	s->left -= n;
	if (!s->left && s->state == H1_DATA)
		s->state = H1_DATA_END;
	else if (!s->left)
		message_end(h, s, out);
	return n;
}

static int is_body(const struct h1_side *s)
{
	return s->state == H1_LENGTH || s->state == H1_DATA || s->state == H1_CLOSE ||
	       s->state == H1_OPAQUE;
}

void h1_feed(struct fence_http *h, int out, const uint8_t *data, size_t len)
{
	struct h1_side *s = &h->h1[out];
	uint64_t n;

	while (len && !h->lost[out]) {
		if (!is_body(s)) {
			line_state(h, s, out, &data, &len);
			continue;
		}
		n = body_state(h, s, out, data, len);
		data += n;
		len -= n;
	}
}

/* A gap inside a body is known to be one; anywhere else nothing behind it can be told. */
void h1_gap(struct fence_http *h, int out, uint64_t len)
{
	struct h1_side *s = &h->h1[out];

	if (is_body(s) && (s->state == H1_CLOSE || s->state == H1_OPAQUE || len <= s->left))
		body_state(h, s, out, NULL, len);
	else
		http_lose(h, out);
}

void h1_done(struct fence_http *h)
{
	int i;

	for (i = 0; i < 2; i++) {
		http_drop(h, &h->h1[i].line);
		fence_buf_done(&h->h1[i].line);
	}
}
