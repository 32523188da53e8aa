// SPDX-License-Identifier: Apache-2.0
/*
 * A value is found by a rolling hash over its first FENCE_VALUE_MIN octets (Karp and Rabin), modulo
 * 2^61 - 1 with a secret base, and is certain by another over all of it.
 */
#include "crm/values.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRIME ((1ULL << 61) - 1)
#define BUCKETS (1u << 17)
#define FILTER_BITS 21
#define CHAIN_MAX 256 /* values with one beginning that are compared */
#define DEPTH 24
#define RUN 16 /* octets of base64 that are worth decoding */

struct value {
	uint64_t head, whole; /* hashes */
	uint32_t next; /* index + 1 in its bucket */
	uint16_t len, field;
	char id[FENCE_CRM_ID];
};

struct fence_values {
	uint64_t base, whole_base; /* secret */
	uint64_t out[256]; /* what an octet weighs that leaves the window */
	struct value *all; /* owned; a ring */
	uint32_t buckets[BUCKETS];
	uint8_t filter[1u << (FILTER_BITS - 3)];
	uint32_t at, count;
	char (*fields)[FENCE_ACTION_NAME]; /* owned */
	uint32_t nfields;
};

static uint64_t mul(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;
	uint64_t r = (uint64_t)(p & PRIME) + (uint64_t)(p >> 61);

	return r >= PRIME ? r - PRIME : r;
}

static uint64_t step(uint64_t h, uint64_t base, uint8_t octet)
{
	h = mul(h, base) + octet + 1u;
	return h >= PRIME ? h - PRIME : h;
}

static uint64_t hash_of(uint64_t base, const uint8_t *data, size_t len)
{
	uint64_t h = 0;

	while (len--)
		h = step(h, base, *data++);
	return h;
}

struct fence_values *fence_values_new(const uint8_t key[16])
{
	struct fence_values *v = calloc(1, sizeof(*v));
	uint64_t weight = 1;
	unsigned int i;

	if (!v)
		return NULL;
	memcpy(&v->base, key, 8);
	memcpy(&v->whole_base, key + 8, 8);
	v->base = v->base % (PRIME - 1000) + 500;
	v->whole_base = v->whole_base % (PRIME - 1000) + 500;
	for (i = 0; i < FENCE_VALUE_MIN; i++)
		weight = mul(weight, v->base);
	for (i = 0; i < 256; i++)
		v->out[i] = PRIME - mul(weight, i + 1);
	v->all = calloc(FENCE_VALUES, sizeof(*v->all));
	v->fields = calloc(FENCE_VALUE_FIELDS, sizeof(*v->fields));
	if (v->all && v->fields) {
		snprintf(v->fields[v->nfields++], FENCE_ACTION_NAME, "?");
		return v;
	}
	fence_values_free(v);
	return NULL;
}

void fence_values_free(struct fence_values *v)
{
	if (!v)
		return;
	free(v->all);
	free(v->fields);
	free(v);
}

static uint32_t *bucket(struct fence_values *v, uint64_t head)
{
	return &v->buckets[head & (BUCKETS - 1)];
}

static uint32_t bit_of(uint64_t head)
{
	return (uint32_t)(head >> 20) & ((1u << FILTER_BITS) - 1);
}

/* The filter forgets nothing; it is made anew when the ring has gone round. */
static void refilter(struct fence_values *v)
{
	uint32_t i, b;

	memset(v->filter, 0, sizeof(v->filter));
	for (i = 0; i < v->count; i++) {
		b = bit_of(v->all[i].head);
		v->filter[b >> 3] |= (uint8_t)(1u << (b & 7));
	}
}

static void forget(struct fence_values *v, uint32_t index)
{
	uint32_t *p = bucket(v, v->all[index].head);

	while (*p && *p != index + 1)
		p = &v->all[*p - 1].next;
	if (*p)
		*p = v->all[index].next;
}

static uint16_t field_of(struct fence_values *v, const char *name)
{
	uint32_t i;

	for (i = 0; i < v->nfields; i++)
		if (!strcmp(v->fields[i], name))
			return (uint16_t)i;
	if (!name[0] || v->nfields == FENCE_VALUE_FIELDS || strlen(name) >= FENCE_ACTION_NAME)
		return 0;
	memcpy(v->fields[v->nfields], name, strlen(name) + 1);
	return (uint16_t)v->nfields++;
}

/* Is it there already, of this record and field? */
static int known(struct fence_values *v, const struct value *fresh)
{
	uint32_t i, n = 0;

	for (i = *bucket(v, fresh->head); i && n < CHAIN_MAX; i = v->all[i - 1].next, n++) {
		const struct value *e = &v->all[i - 1];

		if (e->head == fresh->head && e->whole == fresh->whole && e->len == fresh->len &&
		    e->field == fresh->field && !strcmp(e->id, fresh->id))
			return 1;
	}
	return 0;
}

/* What everybody writes is nobody's: ids, times, URLs, one word. */
static int is_common(const char *s, size_t len)
{
	size_t i;

	if (fence_crm_record_id(s, len) || !strncmp(s, "https://", 8) || s[0] == '/' ||
	    !strncmp(s, "http://", 7))
		return 1;
	if (len >= 16 && isdigit((unsigned char)s[0]) && s[4] == '-' && s[7] == '-' &&
	    (s[10] == 'T' || s[10] == ' '))
		return 1;
	for (i = 0; i < len && isalpha((unsigned char)s[i]); i++)
		;
	return i == len && len < 20;
}

static unsigned int put(struct fence_values *v, const char *s, size_t len, const char *id,
			const char *field)
{
	struct value fresh = { 0 };
	uint32_t b;

	fresh.head = hash_of(v->base, (const uint8_t *)s, FENCE_VALUE_MIN);
	fresh.whole = hash_of(v->whole_base, (const uint8_t *)s, len);
	fresh.len = (uint16_t)len;
	fresh.field = field_of(v, field);
	snprintf(fresh.id, sizeof(fresh.id), "%s", id);
	if (known(v, &fresh))
		return 0;
	if (v->count == FENCE_VALUES)
		forget(v, v->at);
	fresh.next = *bucket(v, fresh.head);
	v->all[v->at] = fresh;
	*bucket(v, fresh.head) = v->at + 1;
	if (v->count < FENCE_VALUES)
		v->count++;
	v->at = (v->at + 1) % FENCE_VALUES;
	b = bit_of(fresh.head);
	v->filter[b >> 3] |= (uint8_t)(1u << (b & 7));
	if (!v->at)
		refilter(v);
	return 1;
}

static unsigned int learn_one(struct fence_values *v, const char *s, const char *id,
			      const char *field)
{
	size_t len = strlen(s);

	if (len > FENCE_VALUE_MAX)
		len = FENCE_VALUE_MAX;
	return len < FENCE_VALUE_MIN || is_common(s, len) ? 0 : put(v, s, len, id, field);
}

void fence_values_add(struct fence_values *v, const char *value, const char *field)
{
	size_t len = strlen(value);

	if (len >= FENCE_VALUE_MIN && len <= FENCE_VALUE_MAX)
		put(v, value, len, "", field);
}

/* ---- what an answer holds ---- */

/* The id that an object says is its own; else its parent's. */
static const char *id_of(const cJSON *o, const char *outer)
{
	const cJSON *e;

	cJSON_ArrayForEach (e, o)
		if (e->string && !strcasecmp(e->string, "id") && cJSON_IsString(e) &&
		    fence_crm_record_id(e->valuestring, strlen(e->valuestring)))
			return e->valuestring;
	return outer;
}

/* UI API and GraphQL: { "Name": { "value": ..., "displayValue": ... } } */
static const char *name_of(const cJSON *e, const char *outer)
{
	if (!e->string || !strcmp(e->string, "value") || !strcmp(e->string, "displayValue"))
		return outer;
	return e->string;
}

static unsigned int learn_json(struct fence_values *v, const cJSON *o, const char *id,
			       const char *field, int depth)
{
	unsigned int n = 0;
	const cJSON *e;
	char text[40];

	if (cJSON_IsString(o))
		return learn_one(v, o->valuestring, id, field);
	if (cJSON_IsNumber(o)) {
		snprintf(text, sizeof(text), "%.17g", o->valuedouble);
		return learn_one(v, text, id, field);
	}
	if (depth > DEPTH)
		return 0;
	if (cJSON_IsObject(o))
		id = id_of(o, id);
	cJSON_ArrayForEach (e, o)
		if (!e->string || strcmp(e->string, "attributes"))
			n += learn_json(v, e, id, name_of(e, field), depth + 1);
	return n;
}

/* One field of CSV into `out`; returns what follows it. *end: 1 at the end of a line. */
static const char *csv_field(const char *p, const char *stop, char *out, size_t size, int *end)
{
	int quoted = p < stop && *p == '"';
	size_t n = 0;

	p += quoted;
	while (p < stop && (quoted || (*p != ',' && *p != '\n'))) {
		if (quoted && *p == '"') {
			if (p + 1 >= stop || p[1] != '"')
				break;
			p++;
		}
		if (n + 1 < size && *p != '\r')
			out[n++] = *p;
		p++;
	}
	out[n] = 0;
	while (p < stop && *p != ',' && *p != '\n')
		p++;
	*end = p >= stop || *p == '\n';
	return p < stop ? p + 1 : stop;
}

#define COLUMNS 128

static unsigned int learn_csv(struct fence_values *v, const char *p, const char *stop)
{
	static const char none[] = "";
	char(*names)[FENCE_ACTION_NAME] = calloc(COLUMNS, sizeof(*names));
	char *cell = malloc(FENCE_VALUE_MAX + 1), id[FENCE_CRM_ID];
	const char *row;
	unsigned int n = 0, i;
	int end = 0;

	for (i = 0; names && i < COLUMNS && !end; i++)
		p = csv_field(p, stop, names[i], FENCE_ACTION_NAME, &end);
	while (names && cell && p < stop) {
		snprintf(id, sizeof(id), "%s", none);
		for (row = p, end = 0, i = 0; !end && row < stop; i++) { /* its Id first */
			row = csv_field(row, stop, cell, FENCE_VALUE_MAX + 1, &end);
			if (i < COLUMNS && !strcasecmp(names[i], "id") &&
			    fence_crm_record_id(cell, strlen(cell)))
				snprintf(id, sizeof(id), "%.18s", cell);
		}
		for (end = 0, i = 0; !end && p < stop; i++) {
			p = csv_field(p, stop, cell, FENCE_VALUE_MAX + 1, &end);
			n += i < COLUMNS ? learn_one(v, cell, id, names[i]) : 0;
		}
	}
	free(names);
	free(cell);
	return n;
}

unsigned int fence_values_learn(struct fence_values *v, const char *text, size_t len)
{
	unsigned int n = 0;
	cJSON *o;

	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	if (!len)
		return 0;
	if (*text != '{' && *text != '[')
		return memchr(text, ',', len) && memchr(text, '\n', len) && *text != '<'
			       ? learn_csv(v, text, text + len)
			       : 0;
	o = cJSON_ParseWithLength(text, len);
	n = o ? learn_json(v, o, "", "?", 0) : 0;
	cJSON_Delete(o);
	return n;
}

/* ---- what leaves ---- */

struct search {
	struct fence_values *v;
	struct fence_value_hit *hits;
	size_t most, found;
};

static void hit(struct search *s, const struct value *e)
{
	const char *field = s->v->fields[e->field];
	size_t i;

	for (i = 0; i < s->found && i < s->most; i++)
		if (!strcmp(s->hits[i].id, e->id) && !strcmp(s->hits[i].field, field))
			return;
	if (s->found < s->most) {
		memcpy(s->hits[s->found].id, e->id, sizeof(e->id));
		snprintf(s->hits[s->found].field, FENCE_ACTION_NAME, "%s", field);
	}
	s->found++;
}

static void candidates(struct search *s, uint64_t head, const uint8_t *at, size_t left)
{
	struct fence_values *v = s->v;
	uint32_t i, n = 0;

	for (i = *bucket(v, head); i && n < CHAIN_MAX; i = v->all[i - 1].next, n++) {
		const struct value *e = &v->all[i - 1];

		if (e->head == head && e->len <= left &&
		    hash_of(v->whole_base, at, e->len) == e->whole)
			hit(s, e);
	}
}

static void search_raw(struct search *s, const uint8_t *data, size_t len)
{
	const struct fence_values *v = s->v;
	uint64_t h = 0;
	uint32_t b;
	size_t i;

	for (i = 0; i < len; i++) {
		h = step(h, v->base, data[i]);
		if (i >= FENCE_VALUE_MIN) {
			h += v->out[data[i - FENCE_VALUE_MIN]];
			if (h >= PRIME)
				h -= PRIME;
		}
		b = bit_of(h);
		if (i + 1 >= FENCE_VALUE_MIN && v->filter[b >> 3] & 1u << (b & 7))
			candidates(s, h, data + i + 1 - FENCE_VALUE_MIN,
				   len - (i + 1 - FENCE_VALUE_MIN));
	}
}

static int nibble(uint8_t c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* %41 and '+'. */
static size_t from_url(const uint8_t *data, size_t len, uint8_t *out)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		if (data[i] == '%' && i + 2 < len && nibble(data[i + 1]) >= 0 &&
		    nibble(data[i + 2]) >= 0) {
			out[n++] = (uint8_t)(nibble(data[i + 1]) << 4 | nibble(data[i + 2]));
			i += 2;
		} else {
			out[n++] = data[i] == '+' ? ' ' : data[i];
		}
	return n;
}

/* One code unit's UTF-8; surrogates' halves give nothing. */
static size_t put_utf8(uint32_t c, uint8_t *out)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c >= 0xd800 && c < 0xe000)
		return 0;
	out[0] = (uint8_t)(0xe0 | c >> 12);
	out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c & 0x3f));
	return 3;
}

/* RFC 8259 7, wherever a backslash stands; an escaped text inside another loses one level. */
static size_t from_json(const uint8_t *data, size_t len, uint8_t *out)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *at;
	size_t i, n = 0;
	uint32_t c;
	int k;

	for (i = 0; i < len; i++) {
		if (data[i] != '\\' || i + 1 == len) {
			out[n++] = data[i];
			continue;
		}
		i++;
		if (data[i] == 'u' && i + 4 < len) {
			for (c = 0, k = 1; k <= 4 && nibble(data[i + (size_t)k]) >= 0; k++)
				c = c << 4 | (uint32_t)nibble(data[i + (size_t)k]);
			if (k == 5) {
				n += put_utf8(c, out + n);
				i += 4;
				continue;
			}
		}
		at = data[i] ? strchr(from, data[i]) : NULL;
		out[n++] = at ? (uint8_t)to[at - from] : data[i];
	}
	return n;
}

static int sextet(uint8_t c)
{
	if (isupper(c))
		return c - 'A';
	if (islower(c))
		return c - 'a' + 26;
	if (isdigit(c))
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Each run of base64 (and base64url), from each of the four places where a group may begin. */
static void search_base64(struct search *s, const uint8_t *data, size_t len, uint8_t *out)
{
	size_t i, from, n, k;
	unsigned int shift;
	uint32_t acc;

	for (i = 0; i < len; i = from + 1) {
		for (from = i; from < len && sextet(data[from]) >= 0; from++)
			;
		for (shift = 0; from - i >= RUN && shift < 4; shift++) {
			for (k = i + shift, n = 0, acc = 0; k < from; k++) {
				acc = acc << 6 | (uint32_t)sextet(data[k]);
				if ((k - i - shift) % 4 == 3) {
					out[n++] = (uint8_t)(acc >> 16);
					out[n++] = (uint8_t)(acc >> 8);
					out[n++] = (uint8_t)acc;
				}
			}
			if ((k - i - shift) % 4 == 3) /* two octets and no more */
				out[n++] = (uint8_t)(acc >> 10), out[n++] = (uint8_t)(acc >> 2);
			else if ((k - i - shift) % 4 == 2)
				out[n++] = (uint8_t)(acc >> 4);
			search_raw(s, out, n);
		}
	}
}

size_t fence_values_search(struct fence_values *v, const void *data, size_t len,
			   struct fence_value_hit *hits, size_t most)
{
	struct search s = { .v = v, .hits = hits, .most = most };
	uint8_t *room = v->count && len >= FENCE_VALUE_MIN ? malloc(len + 4) : NULL;

	if (!room)
		return 0;
	search_raw(&s, data, len);
	if (memchr(data, '%', len) || memchr(data, '+', len))
		search_raw(&s, room, from_url(data, len, room));
	if (memchr(data, '\\', len))
		search_raw(&s, room, from_json(data, len, room));
	search_base64(&s, data, len, room);
	explicit_bzero(room, len + 4);
	free(room);
	return s.found;
}
