// SPDX-License-Identifier: Apache-2.0
/*
 * Where a mistake stands, and how it is told. cJSON keeps no places: the place of a path is found
 * by walking the text beside the tree that was made of it.
 */
#include <stdarg.h>
#include <strings.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "policy/read.h"

#define SHOWN 60 /* characters of a value */

static const char *blank(const char *s)
{
	while (*s && (unsigned char)*s <= ' ')
		s++;
	return s;
}

/* Behind the value that begins at `s`, of text that is JSON. */
static const char *value_end(const char *s)
{
	size_t depth = 0;

	if (*s != '"' && *s != '{' && *s != '[') {
		while ((unsigned char)*s > ' ' && !strchr(",]}", *s))
			s++;
		return s;
	}
	do {
		if (*s == '"')
			for (s++; *s && *s != '"'; s++)
				s += *s == '\\' && s[1];
		depth += *s == '{' || *s == '[';
		depth -= *s == '}' || *s == ']';
		s += !!*s;
	} while (depth && *s);
	return s;
}

/* How many octets of `path` say `v`, entry `i` of a list or a member of an object. */
static size_t path_names(const char *path, const cJSON *v, size_t i)
{
	char index[24];
	size_t n;

	if (v->string) {
		n = strlen(v->string);
		return *path == '.' && !strncmp(path + 1, v->string, n) &&
				       (!path[n + 1] || strchr(".[", path[n + 1]))
			       ? n + 1
			       : 0;
	}
	n = (size_t)snprintf(index, sizeof(index), "[%zu]", i);
	return strncmp(path, index, n) ? 0 : n;
}

/*
 * To the member or entry that `*path` begins with, whose value is then at *s; of two with one name
 * the last. *key: its key, NULL in a list. NULL: there is none.
 */
static const cJSON *step_into(const char **s, const char **key, const cJSON *v, const char **path)
{
	const char *at = blank(**s ? *s + 1 : *s), *name = NULL, *found = NULL;
	const cJSON *c, *best = NULL;
	size_t n, most = 0, i = 0;

	cJSON_ArrayForEach (c, v) {
		if (c->string) {
			name = at;
			at = blank(value_end(at));
			at = blank(*at ? at + 1 : at);
		}
		n = path_names(*path, c, i++);
		if (n && n >= most) {
			most = n;
			best = c;
			found = at;
			*key = name;
		}
		at = blank(value_end(at));
		at = blank(*at == ',' ? at + 1 : at);
	}
	if (best)
		*s = found;
	*path += most;
	return best;
}

void fence_read_line(const char *text, const char *at, struct fence_diag *d)
{
	d->line = d->column = 1;
	for (; text < at && *text; text++) {
		d->column += ((unsigned char)*text & 0xc0) != 0x80;
		if (*text == '\n') {
			d->line++;
			d->column = 1;
		}
	}
}

unsigned int fence_read_hidden(const char *s)
{
	unsigned int c;

	while ((c = fence_utf8_next(&s)))
		if (fence_utf8_hidden(c))
			return c;
	return 0;
}

/* A password in a URL is nobody's to read. */
static const char *user_end(const char *s)
{
	size_t n = strncmp(s, "://", 3) ? 0 : strcspn(s + 3, "@/\\\"?# ");

	return n && s[3 + n] == '@' ? s + 3 + n : NULL;
}

void fence_read_value(const char *s, int whole, char out[256])
{
	const char *end = whole ? value_end(s) : s + strcspn(s, "\r\n"), *from, *at;
	unsigned int n = 0, c;
	size_t len = 0;
	int quoted = 0;

	while (s < end && n++ < SHOWN) {
		from = s;
		at = user_end(s);
		c = fence_utf8_next(&s);
		if (whole && c == '"')
			quoted = !quoted;
		if (c == '\\' && s < end && strchr("\"\\", *s)) /* both of an escape */
			s++;
		if (at) {
			len += (size_t)snprintf(out + len, 8, "://...");
			s = at;
		} else if (c <= ' ' && !quoted) {
			out[len++] = ' ';
			s = blank(s);
		} else if (c == FENCE_UTF8_BAD || fence_utf8_hidden(c)) {
			len += (size_t)snprintf(out + len, 9, "\\u%04x", c);
		} else {
			memcpy(out + len, from, (size_t)(s - from));
			len += (size_t)(s - from);
		}
		if (len > 240 || (!*s && s < end))
			break;
	}
	snprintf(out + len, 256 - len, "%s", s < end ? "..." : "");
}

int fence_read_place(const struct fence_read_source *source, const char *path, int at_key,
		     struct fence_diag *d)
{
	const char *s = source->text, *key = NULL, *from = path;
	const cJSON *v = source->json;

	if (!s || !v || *path++ != '$')
		return 1;
	s = blank(strncmp(s, "\xef\xbb\xbf", 3) ? s : s + 3);
	while (*path && (v = step_into(&s, &key, v, &path)))
		;
	at_key = at_key && key;
	fence_read_line(source->text, at_key ? key : s, d);
	if (!*path && path > from + 1 && !at_key && strncmp(from, "$.org.honey", 11))
		fence_read_value(s, 1, d->value);
	return !*path;
}

/* Has a mistake been told there, or inside it? */
static int told(const struct fence_policy_errors *e, const char *file, const char *path)
{
	size_t i, n = strlen(path);

	for (i = 0; i < e->count && i < FENCE_POLICY_ERRORS; i++)
		if (!strcmp(e->d[i].file, file) && !strncmp(e->d[i].path, path, n) &&
		    (!e->d[i].path[n] || strchr(".[", e->d[i].path[n])))
			return 1;
	return 0;
}

int fence_read_tell(struct reader *r, struct fence_diag *d)
{
	struct fence_policy_errors *e = r->e;
	size_t i = e->count++;

	snprintf(d->file, sizeof(d->file), "%s", r->source.file);
	if (i >= FENCE_POLICY_ERRORS)
		return -EINVAL;
	for (; i && !strcmp(e->d[i - 1].file, d->file) &&
	       (e->d[i - 1].line > d->line ||
		(e->d[i - 1].line == d->line && e->d[i - 1].column > d->column));
	     i--)
		e->d[i] = e->d[i - 1];
	e->d[i] = *d;
	return -EINVAL;
}

static int refuse(struct reader *r, const char *path, int at_key, const char *text)
{
	struct fence_diag d = { 0 }, place = { 0 };
	int found;

	if (path && told(r->e, r->source.file, path))
		return -EINVAL;
	found = !path || fence_read_place(&r->source, path, at_key, &place);
	fence_diag_set(&d, 0, path, "%s%s", found ? "" : "is missing: ", text);
	d.line = place.line;
	d.column = place.column;
	memcpy(d.value, place.value, sizeof(d.value));
	return fence_read_tell(r, &d);
}

int fence_read_refuse(struct reader *r, const char *path, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return refuse(r, path, 0, text);
}

int fence_read_refuse_key(struct reader *r, const char *path, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return refuse(r, path, 1, text);
}

void fence_policy_errors_text(const struct fence_policy_errors *e, const char *before,
			      struct fence_buf *out)
{
	char line[FENCE_DIAG_LINE];
	size_t i;

	for (i = 0; i < e->count && i < FENCE_POLICY_ERRORS; i++)
		fence_buf_printf(out, "%s%s%s", i ? "\n" : "", i ? before : "",
				 fence_diag_line(&e->d[i], line, sizeof(line)));
	if (e->count > FENCE_POLICY_ERRORS)
		fence_buf_printf(out, "\n%sand %zu more", before, e->count - FENCE_POLICY_ERRORS);
}

/* Single letters put in, left out or exchanged between the two, capitals or not. */
static unsigned int slips(const char *a, size_t n, const char *b, size_t m)
{
	unsigned int row[66], before, last;
	size_t i, j;

	if (n > 64 || m > 64)
		return 64;
	for (j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (i = 1; i <= n; i++) {
		last = row[0];
		row[0] = (unsigned int)i;
		for (j = 1; j <= m; j++) {
			before = row[j];
			row[j] = last + !!strncasecmp(a + i - 1, b + j - 1, 1);
			if (row[j] > before + 1)
				row[j] = before + 1;
			if (row[j] > row[j - 1] + 1)
				row[j] = row[j - 1] + 1;
			last = before;
		}
	}
	return row[m];
}

const char *fence_read_near(const char *word, const char *list, size_t *len)
{
	const char *s, *best = NULL;
	unsigned int n, least = 3;
	size_t m, w = strlen(word);
	char known[66];

	for (s = list + 1; *s; s += m + 1) {
		m = strcspn(s, ",");
		n = slips(word, w, s, m);
		snprintf(known, sizeof(known), "%.*s", (int)m, s);
		if (n * 2 >= m && !(n == 1 && m == 2))
			n = 3;
		if (n == 3 && w >= 4 && strcasestr(known, word)) /* "domain" for "my_domain" */
			n = 2;
		if (n < least) {
			least = n;
			best = s;
			*len = m;
		}
	}
	return best;
}
