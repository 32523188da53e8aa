// SPDX-License-Identifier: Apache-2.0
/* An action, put together: names, ids and codes get in, values do not. */
#include "crm/build.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

size_t fence_crm_record_id(const char *text, size_t len)
{
	static const char suffix[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
	unsigned int chunk, i, bits;

	if (len != 15 && len != 18)
		return 0;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]))
			return 0;
	if (!isdigit((unsigned char)text[0]) && !islower((unsigned char)text[0]))
		return 0; /* key prefixes begin with a digit, those of packages with a letter */
	for (chunk = 0; len == 18 && chunk < 3; chunk++) {
		for (bits = i = 0; i < 5; i++)
			if (isupper((unsigned char)text[chunk * 5 + i]))
				bits |= 1u << i;
		if (toupper((unsigned char)text[15 + chunk]) != suffix[bits])
			return 0;
	}
	return len;
}

/* An API name: a letter, then letters, digits, _; "." in a path over a relation. */
int crm_is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");

	return n && !s[n] && n < FENCE_ACTION_NAME && isalpha((unsigned char)s[0]);
}

void crm_object(struct fence_crm_action *a, const char *name)
{
	if (crm_is_name(name))
		snprintf(a->object, sizeof(a->object), "%s", name);
}

void crm_id(struct fence_crm_action *a, const char *text, size_t len)
{
	if (!fence_crm_record_id(text, len))
		return;
	if (a->nids < FENCE_ACTION_IDS)
		snprintf(a->ids[a->nids], FENCE_CRM_ID, "%.*s", (int)len, text);
	a->nids++;
}

/* Comma-separated. */
void crm_ids(struct fence_crm_action *a, const char *text)
{
	size_t n;

	while (*text) {
		n = strcspn(text, ",&%");
		crm_id(a, text, n);
		text += n;
		text += *text == '%' && !strncasecmp(text, "%2c", 3) ? 3 : !!*text;
	}
}

void crm_field(struct fence_crm_action *a, const char *name)
{
	uint32_t i;

	for (i = 0; i < a->nfields && i < FENCE_ACTION_FIELDS; i++)
		if (!strcmp(a->fields[i], name))
			return;
	if (!crm_is_name(name)) { /* no field of an object is called so */
		a->opaque = 1;
		return;
	}
	if (a->nfields < FENCE_ACTION_FIELDS)
		snprintf(a->fields[a->nfields], FENCE_ACTION_NAME, "%s", name);
	a->nfields++;
}

/* A record as JSON: the names of its members, its id and type where it says them. */
static void crm_record(struct fence_crm_action *a, const cJSON *record)
{
	const cJSON *m, *type;

	if (!cJSON_IsObject(record)) {
		a->opaque = 1;
		return;
	}
	cJSON_ArrayForEach (m, record) {
		if (!strcmp(m->string, "attributes")) {
			type = cJSON_GetObjectItem(m, "type");
			if (cJSON_IsString(type) && !a->object[0])
				crm_object(a, type->valuestring);
		} else if (!strcasecmp(m->string, "id")) {
			if (cJSON_IsString(m))
				crm_id(a, m->valuestring, strlen(m->valuestring));
		} else {
			crm_field(a, m->string);
		}
	}
}

void crm_records(struct fence_crm_action *a, const cJSON *body)
{
	const cJSON *list = cJSON_IsArray(body) ? body : cJSON_GetObjectItem(body, "records"), *r;

	if (!cJSON_IsArray(list)) {
		crm_record(a, body);
		return;
	}
	cJSON_ArrayForEach (r, list)
		crm_record(a, r);
}

/* What the answer adds: the ids of what was created, the code of what was refused. */
void crm_answer(struct fence_crm_action *a, const cJSON *answer)
{
	const cJSON *list = cJSON_IsArray(answer) ? answer : NULL, *r, *id, *code;
	const cJSON *one = list ? list->child : answer;

	for (r = one; r; r = list ? r->next : NULL) {
		id = cJSON_GetObjectItemCaseSensitive(r, "id");
		code = cJSON_GetObjectItemCaseSensitive(r, "errorCode");
		if (cJSON_IsString(code) && crm_is_name(code->valuestring) && !a->error[0])
			snprintf(a->error, sizeof(a->error), "%s", code->valuestring);
		if (cJSON_IsString(id) &&
		    (!strcmp(a->verb, "create") || !strcmp(a->verb, "upsert")))
			crm_id(a, id->valuestring, strlen(id->valuestring));
	}
}

void crm_emit(struct out *o, const struct fence_crm_action *a)
{
	o->each(o->ctx, a);
	o->n++;
}

long crm_form(const char *form, size_t len, const char *name, char *out, size_t size)
{
	const char *p = form, *end = form + len;
	size_t n = strlen(name), k = 0;
	unsigned int byte;
	char hex[3];

	while (p && p < end && !((size_t)(end - p) > n && !memcmp(p, name, n) && p[n] == '=')) {
		p = memchr(p, '&', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	if (!p || p >= end)
		return -ENOENT;
	for (p += n + 1; p < end && *p != '&' && k + 1 < size; p++) {
		snprintf(hex, sizeof(hex), "%.*s", end - p > 2 ? 2 : 0, p + 1);
		if (*p == '%' && isxdigit((unsigned char)hex[0]) &&
		    sscanf(hex, "%2x", &byte) == 1) {
			out[k++] = (char)byte;
			p += 2;
		} else {
			out[k++] = *p == '+' ? ' ' : *p;
		}
	}
	out[k] = 0;
	return (long)k;
}

int crm_parameter(const char *path, const char *name, char *out, size_t size)
{
	const char *q = strchr(path, '?');

	return q && crm_form(q + 1, strlen(q + 1), name, out, size) >= 0 ? 0 : -ENOENT;
}

static const char *skip_space(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* The object behind a statement's own FROM: not one in a subquery, not one inside a literal. */
void crm_soql(struct fence_crm_action *a, const char *q)
{
	char name[FENCE_ACTION_NAME];
	int depth = 0;
	const char *p;

	for (p = q; *p; p++) {
		if (*p == '\'') {
			for (p++; *p && *p != '\''; p++)
				p += *p == '\\' && p[1];
			if (!*p)
				break;
		}
		depth += (*p == '(') - (*p == ')');
		if (depth || strncasecmp(p, "from", 4) || !isspace((unsigned char)p[4]) || p == q ||
		    (!isspace((unsigned char)p[-1]) && p[-1] != ')'))
			continue;
		p = skip_space(p + 4);
		snprintf(name, sizeof(name), "%.*s",
			 (int)strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789_"),
			 p);
		crm_object(a, name);
		return;
	}
	a->opaque = 1;
}

void crm_body(struct fence_crm_action *a, const cJSON *body)
{
	if (body)
		crm_records(a, body);
	else
		a->opaque = 1;
}
