// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <assert.h>
#include <string.h>

#include "base/utf8.h"

void fence_json_init(struct fence_json *j, struct fence_buf *out)
{
	memset(j, 0, sizeof(*j));
	j->out = out;
}

/* Room for `more` octets behind the key. NULL: no memory. */
static char *begin(struct fence_json *j, const char *key, size_t more)
{
	size_t n = key ? strlen(key) : 0;
	struct fence_buf *b = j->out;
	char *p;

	if (fence_buf_reserve(b, n + 4 + more))
		return NULL;
	p = b->data + b->len;
	if (j->comma)
		*p++ = ',';
	j->comma = 1;
	if (!key)
		return p;
	assert(!j->last[j->depth] || strcmp(j->last[j->depth], key) < 0);
	j->last[j->depth] = key;
	*p++ = '"';
	memcpy(p, key, n);
	p += n;
	*p++ = '"';
	*p++ = ':';
	return p;
}

static void end(struct fence_json *j, char *p)
{
	*p = 0;
	j->out->len = (size_t)(p - j->out->data);
}

static void nest(struct fence_json *j, const char *open)
{
	fence_buf_str(j->out, open);
	j->depth++;
	assert(j->depth < FENCE_JSON_DEPTH);
	j->last[j->depth] = NULL;
	j->comma = 0;
}

static void unnest(struct fence_json *j, const char *close)
{
	fence_buf_str(j->out, close);
	j->depth--;
	j->comma = 1;
}

static void key_only(struct fence_json *j, const char *key)
{
	char *p = begin(j, key, 0);

	if (p)
		end(j, p);
}

void fence_json_open(struct fence_json *j, const char *key)
{
	key_only(j, key);
	nest(j, "{");
}

void fence_json_close(struct fence_json *j)
{
	unnest(j, "}");
}

void fence_json_array(struct fence_json *j, const char *key)
{
	key_only(j, key);
	nest(j, "[");
}

void fence_json_array_end(struct fence_json *j)
{
	unnest(j, "]");
}

void fence_json_int(struct fence_json *j, const char *key, int64_t v)
{
	char *p = begin(j, key, FENCE_DIGITS);

	if (p)
		end(j, p + fence_digits(p, v));
}

void fence_json_id(struct fence_json *j, const char *key, uint64_t id)
{
	char *p = begin(j, key, 18);
	int shift = 60;

	if (!p)
		return;
	*p++ = '"';
	while (shift && !(id >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*p++ = "0123456789abcdef"[id >> shift & 15];
	*p++ = '"';
	end(j, p);
}

void fence_json_bool(struct fence_json *j, const char *key, int v)
{
	key_only(j, key);
	fence_buf_str(j->out, v ? "true" : "false");
}

void fence_json_str(struct fence_json *j, const char *key, const char *s)
{
	fence_json_strn(j, key, s, strlen(s));
}

static void escape(struct fence_buf *b, unsigned char c)
{
	static const char short_for[] = "btn\0fr"; /* 8..13 */

	if (c == '"' || c == '\\')
		fence_buf_printf(b, "\\%c", c);
	else if (c >= 8 && c <= 13 && c != 11)
		fence_buf_printf(b, "\\%c", short_for[c - 8]);
	else
		fence_buf_printf(b, "\\u%04x", c);
}

void fence_json_strn(struct fence_json *j, const char *key, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, plain = 0, len;
	char *at = begin(j, key, n + 2);

	if (!at)
		return;
	*at++ = '"';
	while (i < n && p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\')
		*at++ = s[i++];
	end(j, at);
	plain = i;
	while (i < n) {
		len = fence_utf8_len(p + i, n - i);
		if (len && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
			i += len;
			continue;
		}
		fence_buf_add(j->out, s + plain, i - plain);
		if (len)
			escape(j->out, p[i]);
		else
			fence_buf_str(j->out, "\xef\xbf\xbd");
		plain = ++i;
	}
	fence_buf_add(j->out, s + plain, n - plain);
	fence_buf_add(j->out, "\"", 1);
}
