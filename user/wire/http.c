// SPDX-License-Identifier: Apache-2.0
/* What HTTP/1 and HTTP/2 have in common: exchanges, the fields that are kept, bodies. */
#include "wire/http.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire/http_internal.h"

#define FIRST_MAX 4096 /* octets of a server that speaks first: its SETTINGS */
#define ORG_ID 15 /* letters and digits of an org id before its case suffix */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct fence_http *fence_http_new(const struct fence_http_hooks *hooks, void *ctx, int late)
{
	struct fence_http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->hooks = hooks;
	h->ctx = ctx;
	h->late = late;
	return h;
}

void fence_http_free(struct fence_http *h)
{
	if (!h)
		return;
	while (h->open) {
		h->open->flags |= FENCE_HTTP_CUT;
		http_end(h, h->open);
	}
	h1_done(h);
	h2_done(h);
	http_drop(h, &h->first);
	http_drop(h, &h->answer);
	fence_buf_done(&h->first);
	fence_buf_done(&h->answer);
	free(h);
}

int fence_http_version(const struct fence_http *h)
{
	return h->version;
}

int fence_http_lost(const struct fence_http *h)
{
	return h->lost[0] || h->lost[1];
}

void http_lose(struct fence_http *h, int out)
{
	struct fence_exchange *x;

	h->lost[out] = 1;
	for (x = h->open; x; x = x->next)
		x->flags |= FENCE_HTTP_CUT;
}

int http_keep(struct fence_http *h, struct fence_buf *b, const void *data, size_t len)
{
	if (len > *h->hooks->room || fence_buf_reserve(b, len))
		return -ENOMEM;
	*h->hooks->room -= len;
	fence_buf_add(b, data, len);
	return 0;
}

/* It is what people write to each other, and their tokens: not left behind in memory. */
void http_drop(struct fence_http *h, struct fence_buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->len);
	*h->hooks->room += b->len;
	fence_buf_reset(b);
}

struct fence_exchange *http_find(struct fence_http *h, uint32_t id)
{
	struct fence_exchange *x;

	for (x = h->open; x && x->id != id; x = x->next)
		;
	return x;
}

struct fence_exchange *http_begin(struct fence_http *h, uint32_t id)
{
	struct fence_exchange *x, **at = &h->open;

	if (h->count == FENCE_HTTP_OPEN) { /* the oldest will hardly end any more */
		h->open->flags |= FENCE_HTTP_CUT;
		http_end(h, h->open);
	}
	x = *h->hooks->room < sizeof(*x) ? NULL : calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	*h->hooks->room -= sizeof(*x);
	x->id = id;
	x->version = (uint8_t)h->version;
	x->flags = h->late ? FENCE_HTTP_LATE : 0;
	x->key = h->hooks->key;
	while (*at)
		at = &(*at)->next;
	*at = x;
	h->count++;
	return x;
}

void http_told(struct fence_http *h, struct fence_exchange *x)
{
	if (!x->told && h->hooks->request)
		h->hooks->request(h->ctx, x);
	x->told = 1;
}

/* Is a body all there? Then without its coding, when it is one that we know. */
static void whole(struct fence_http *h, struct fence_exchange *x, struct fence_buf *b,
		  uint64_t size, const char *coding, unsigned int coded, unsigned int flag)
{
	if (b->len != size)
		return;
	if (x->flags & coded && size && http_decode(h, b, coding))
		x->flags &= (uint16_t)~coded;
	if (!(x->flags & coded))
		x->flags |= (uint16_t)flag;
}

void http_end(struct fence_http *h, struct fence_exchange *x)
{
	struct fence_exchange **at;
	int i;

	for (at = &h->open; *at && *at != x; at = &(*at)->next)
		;
	if (*at) {
		*at = x->next;
		h->count--;
	}
	for (i = 0; i < 2; i++)
		if (h->h1[i].x == x)
			h->h1[i].x = NULL;
	whole(h, x, &x->request, x->out, x->coding_out, FENCE_HTTP_CODED_OUT, FENCE_HTTP_WHOLE_OUT);
	whole(h, x, &x->response, x->in, x->coding_in, FENCE_HTTP_CODED_IN, FENCE_HTTP_WHOLE_IN);
	if (x->method[0] || x->status)
		h->hooks->done(h->ctx, x);
	h->bodies -= x->keeps;
	ws_done(h, x);
	http_drop(h, &x->request);
	http_drop(h, &x->response);
	fence_buf_done(&x->request);
	fence_buf_done(&x->response);
	*h->hooks->room += sizeof(*x);
	explicit_bzero(x, sizeof(*x));
	free(x);
}

/* With "!" as a cookie may have it. */
uint64_t fence_http_credential(const __u64 *key, const char *value, size_t len)
{
	struct fence_hash h;
	size_t i, at = 0;

	fence_hash_init(&h, key);
	for (i = 0; i < len; i++) {
		int coded = len - i > 2 && !memcmp(value + i, "%21", 3);

		fence_hash_feed(&h, at++, coded ? '!' : (uint8_t)value[i]);
		i += coded ? 2 : 0;
	}
	return fence_hash_end(&h) | 1;
}

/* "00Dxxxxxxxxxxxx!": a session id or access token begins with its org. */
static void credential(struct fence_exchange *x, const char *value, size_t len, int fielded)
{
	size_t i;

	x->flags |= FENCE_HTTP_BEARER;
	if (x->key && len && fielded >= x->fielded) {
		x->credential = fence_http_credential(x->key, value, len);
		x->fielded = (uint8_t)fielded;
	}
	if (len <= ORG_ID || memcmp(value, "00D", 3) || value[ORG_ID] != '!')
		return;
	for (i = 0; i < ORG_ID; i++)
		if (!isalnum((unsigned char)value[i]))
			return;
	memcpy(x->org, value, ORG_ID);
	x->org[ORG_ID] = 0;
}

/* gRPC metadata of Pub/Sub: "core/prod/00D..." or the id alone. */
static void tenant(struct fence_exchange *x, const char *value, size_t len)
{
	const char *id = memmem(value, len, "00D", 3);
	size_t i;

	if (!id || (size_t)(value + len - id) < ORG_ID || x->org[0])
		return;
	for (i = 0; i < ORG_ID; i++)
		if (!isalnum((unsigned char)id[i]))
			return;
	memcpy(x->org, id, ORG_ID);
	x->org[ORG_ID] = 0;
}

static void cookies(struct fence_exchange *x, const char *value, size_t len)
{
	static const char sid[] = "sid=";
	size_t at = 0;
	const char *end;

	while (at < len) {
		while (at < len && value[at] == ' ')
			at++;
		if (len - at > 4 && !memcmp(value + at, sid, 4)) {
			end = memchr(value + at, ';', len - at);
			credential(x, value + at + 4, (end ? (size_t)(end - value) : len) - at - 4,
				   0);
		}
		end = memchr(value + at, ';', len - at);
		if (!end)
			return;
		at = (size_t)(end - value) + 1;
	}
}

static int is(const char *name, size_t len, const char *want)
{
	return strlen(want) == len && !strncasecmp(name, want, len);
}

static void keep(char *to, size_t size, const char *value, size_t len)
{
	snprintf(to, size, "%.*s", (int)(len < size ? len : size - 1), value);
}

struct kept {
	const char *name;
	size_t at, size;
};

#define KEEP(name, field) \
	{ \
		name, offsetof(struct fence_exchange, field), \
			sizeof(((struct fence_exchange *)0)->field) \
	}

static const struct kept requests[] = {
	KEEP(":method", method),
	KEEP(":path", path),
	KEEP(":authority", authority),
	KEEP("host", authority),
	KEEP("origin", origin),
	KEEP("sec-fetch-site", site),
	KEEP("sec-fetch-mode", mode),
	KEEP("sec-fetch-dest", dest),
	KEEP("content-type", type_out),
	KEEP("soapaction", action),
	KEEP("upgrade", upgrade),
	KEEP(":protocol", upgrade),
	KEEP("content-encoding", coding_out),
};

static const struct kept answers[] = {
	KEEP("content-type", type_in),
	KEEP("x-sfdc-request-id", request_id),
	KEEP("content-encoding", coding_in),
};

void http_field(struct fence_exchange *x, int out, const char *name, size_t nlen, const char *value,
		size_t vlen)
{
	const struct kept *k = out ? requests : answers;
	size_t n = out ? sizeof(requests) / sizeof(requests[0])
		       : sizeof(answers) / sizeof(answers[0]),
	       i;

	for (i = 0; i < n; i++)
		if (is(name, nlen, k[i].name))
			keep((char *)x + k[i].at, k[i].size, value, vlen);
	if (is(name, nlen, "content-encoding") && !is(value, vlen, "identity"))
		x->flags |= out ? FENCE_HTTP_CODED_OUT : FENCE_HTTP_CODED_IN;
	if (out && is(name, nlen, "authorization")) {
		if (vlen > 7 &&
		    (!strncasecmp(value, "bearer ", 7) || !strncasecmp(value, "oauth ", 6))) {
			size_t skip = value[5] == ' ' ? 6 : 7;

			credential(x, value + skip, vlen - skip, 1);
		}
	}
	if (out && is(name, nlen, "cookie"))
		cookies(x, value, vlen);
	if (out && (is(name, nlen, "accesstoken") || is(name, nlen, "x-sfdc-session")))
		credential(x, value, vlen, 1);
	if (out && is(name, nlen, "tenantid"))
		tenant(x, value, vlen);
}

void http_body(struct fence_http *h, struct fence_exchange *x, int out, const uint8_t *data,
	       size_t len)
{
	struct fence_buf *b = out ? &x->request : &x->response;

	*(out ? &x->out : &x->in) += len;
	if (!data) {
		x->flags |= h->passing ? 0 : FENCE_HTTP_CUT;
		return;
	}
	if (!x->keeps && h->bodies < FENCE_HTTP_BODIES) {
		x->keeps = 1;
		h->bodies++;
	}
	if (!x->keeps || b->len + len > FENCE_HTTP_BODY) {
		x->flags |= FENCE_HTTP_LONG;
		len = x->keeps ? FENCE_HTTP_BODY - b->len : 0;
	}
	if (http_keep(h, b, data, len))
		x->flags |= FENCE_HTTP_LONG;
}

static int is_method(const struct fence_buf *b)
{
	static const char *const all[] = { "GET ",  "POST ",	"PUT ",	    "PATCH ", "DELETE ",
					   "HEAD ", "OPTIONS ", "CONNECT ", "TRACE " };
	size_t i, n;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		n = strlen(all[i]);
		if (!strncmp(fence_buf_text(b), all[i], b->len < n ? b->len : n))
			return b->len >= n ? 1 : -1;
	}
	return 0;
}

/* Octets of `with`, when what there is of `b` is as it begins; else 0. */
static size_t begins(const struct fence_buf *b, const char *with)
{
	size_t n = strlen(with);

	return strncmp(fence_buf_text(b), with, b->len < n ? b->len : n) ? 0 : n;
}

/*
 * Not all since the beginning was seen: no server speaks first but in HTTP/2, and there it says
 * what fits into `answer`.
 */
static void begun_before(struct fence_http *h)
{
	h->late = 1;
	http_drop(h, &h->answer);
}

/* What the client says first tells the version; -1: more is needed. */
static int recognise(struct fence_http *h)
{
	size_t n = begins(&h->first, preface);
	int method;

	if (n)
		return h->first.len < n ? -1 : FENCE_HTTP_2;
	method = is_method(&h->first);
	if (method)
		return method < 0 ? -1 : FENCE_HTTP_1;
	method = h->late ? h2_begins((const uint8_t *)h->first.data, h->first.len) : 0;
	return method < 0 ? -1 : method ? FENCE_HTTP_2 : FENCE_HTTP_OPAQUE;
}

static void dispatch(struct fence_http *h, int out, const uint8_t *data, size_t len)
{
	if (h->version == FENCE_HTTP_1)
		h1_feed(h, out, data, len);
	else if (h->version == FENCE_HTTP_2)
		h2_feed(h, out, data, len);
}

void fence_http_feed(struct fence_http *h, int out, const uint8_t *data, size_t len)
{
	size_t skip = 0;
	int version;

	out = !!out;
	if (h->lost[out] || !len)
		return;
	if (h->version != FENCE_HTTP_UNKNOWN) {
		dispatch(h, out, data, len);
		return;
	}
	if (!out) {
		if (h->late || h->answer.len + len > FIRST_MAX ||
		    http_keep(h, &h->answer, data, len))
			begun_before(h);
		return;
	}
	if (http_keep(h, &h->first, data, len)) {
		h->version = FENCE_HTTP_OPAQUE;
		return;
	}
	skip = begins(&h->first, preface);
	if (!skip && h->answer.len)
		begun_before(h);
	version = recognise(h);
	if (version < 0)
		return;
	h->version = version;
	if (version == FENCE_HTTP_2 && h2_init(h))
		h->version = FENCE_HTTP_OPAQUE;
	if (h->answer.len)
		dispatch(h, 0, (const uint8_t *)h->answer.data, h->answer.len);
	if (h->first.len > skip)
		dispatch(h, 1, (const uint8_t *)h->first.data + skip, h->first.len - skip);
	http_drop(h, &h->answer);
	http_drop(h, &h->first);
}

void fence_http_gap(struct fence_http *h, int out, uint64_t len)
{
	out = !!out;
	if (!len || h->lost[out])
		return;
	if (h->version == FENCE_HTTP_1)
		h1_gap(h, out, len);
	else if (h->version == FENCE_HTTP_2)
		h2_gap(h, out, len);
	else
		begun_before(h);
}

void fence_http_pass(struct fence_http *h, int out, uint64_t len)
{
	h->passing = 1;
	fence_http_gap(h, out, len);
	h->passing = 0;
}
