// SPDX-License-Identifier: Apache-2.0
/*
 * GraphQL as Salesforce's uiapi has it (GraphQL specification, 2.1; GraphQL API Developer Guide):
 *
 *   query { uiapi { query { Account(where: ...) { edges { node { Name { value } } } } } } }
 *   mutation { uiapi { AccountUpdate(input: { Account: { Name: "x" }, Id: "001..." }) { ... } } }
 *
 * An action for each object of a query and for each mutation. Values, those of variables too, are
 * passed over, but for ids.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "crm/build.h"

#define DEPTH 24

enum { END, NAME, STRING, DOLLAR, SPREAD, OTHER };

struct lexer {
	const char *p, *at; /* of the token */
	int kind; /* one of the former, or a character */
	size_t len; /* of a name or of what a string holds */
};

static void lex_string(struct lexer *l)
{
	int block = !strncmp(l->p, "\"\"\"", 3);

	l->p += block ? 3 : 1;
	l->at = l->p;
	while (*l->p && (block ? strncmp(l->p, "\"\"\"", 3) != 0 : *l->p != '"'))
		l->p += *l->p == '\\' && l->p[1] ? 2 : 1;
	l->len = (size_t)(l->p - l->at);
	l->kind = STRING;
	if (*l->p)
		l->p += block ? 3 : 1;
}

static int next(struct lexer *l)
{
	while (*l->p && (isspace((unsigned char)*l->p) || *l->p == ',' || *l->p == '#')) {
		if (*l->p == '#')
			l->p += strcspn(l->p, "\n");
		l->p += !!*l->p;
	}
	l->at = l->p;
	l->len = 1;
	if (!*l->p) {
		l->kind = END;
	} else if (*l->p == '"') {
		lex_string(l);
	} else if (isalpha((unsigned char)*l->p) || *l->p == '_') {
		while (isalnum((unsigned char)*l->p) || *l->p == '_')
			l->p++;
		l->len = (size_t)(l->p - l->at);
		l->kind = NAME;
	} else if (!strncmp(l->p, "...", 3)) {
		l->p += 3;
		l->kind = SPREAD;
	} else if (strchr("{}()[]:", *l->p)) {
		l->kind = *l->p++;
	} else {
		l->kind = *l->p++ == '$' ? DOLLAR : OTHER;
	}
	return l->kind;
}

static int named(const struct lexer *l, const char *want)
{
	return l->kind == NAME && l->len == strlen(want) && !memcmp(l->at, want, l->len);
}

static void copy(const struct lexer *l, char out[FENCE_ACTION_NAME])
{
	snprintf(out, FENCE_ACTION_NAME, "%.*s",
		 (int)(l->len < FENCE_ACTION_NAME ? l->len : FENCE_ACTION_NAME - 1), l->at);
}

struct doc {
	struct lexer l;
	struct out *o;
	const cJSON *variables, *answers; /* data.uiapi of the answer */
	struct fence_crm_action a;
	int open; /* a holds something that is not told yet */
	int mutation, strange;
	char key[FENCE_ACTION_NAME]; /* of the answer */
	char path[DEPTH][FENCE_ACTION_NAME]; /* fields whose selections are open */
};

static void tell(struct doc *d)
{
	const cJSON *id;

	if (!d->open)
		return;
	id = cJSON_GetObjectItem(
		cJSON_GetObjectItem(cJSON_GetObjectItemCaseSensitive(d->answers, d->key), "Record"),
		"Id");
	if (cJSON_IsObject(id))
		id = cJSON_GetObjectItem(id, "value");
	if (cJSON_IsString(id) && !strcmp(d->a.verb, "create"))
		crm_id(&d->a, id->valuestring, strlen(id->valuestring));
	d->a.opaque |= (uint8_t)d->strange;
	crm_emit(d->o, &d->a);
	d->open = 0;
}

static void begin(struct doc *d, const char *verb, const char *object, uint16_t status)
{
	tell(d);
	d->open = 1;
	memset(&d->a, 0, sizeof(d->a));
	d->a.api = "graphql";
	d->a.verb = verb;
	d->a.status = status;
	crm_object(&d->a, object);
}

/* A mutation's input, from a variable. */
static void input_variable(struct doc *d, const cJSON *input)
{
	const cJSON *m, *f;

	if (!cJSON_IsObject(input)) {
		d->a.opaque = 1;
		return;
	}
	cJSON_ArrayForEach (m, input) {
		if (!strcmp(m->string, "Id") && cJSON_IsString(m))
			crm_id(&d->a, m->valuestring, strlen(m->valuestring));
		else if (!strcmp(m->string, d->a.object))
			cJSON_ArrayForEach (f, m)
				crm_field(&d->a, f->string);
	}
}

/*
 * Arguments, from behind their "(" to behind their ")". `level`: of objects inside; of a mutation's
 * input the members are looked at: 1 its own, 2 those of the record.
 */
static void arguments(struct doc *d)
{
	char key[3][FENCE_ACTION_NAME] = { "", "", "" }, name[FENCE_ACTION_NAME];
	int round = 1, level = 0, value = 0; /* value: a colon stands before */
	struct lexer *l = &d->l;

	while (round && next(l) != END) {
		round += (l->kind == '(') - (l->kind == ')');
		if (l->kind == '{' || l->kind == '[')
			level++;
		level -= l->kind == '}' || l->kind == ']';
		if (!d->mutation || !d->open) {
			continue;
		} else if (l->kind == NAME && !value && level >= 0 && level < 3) {
			copy(l, key[level]);
			if (level == 2 && !strcmp(key[0], "input") && !strcmp(key[1], d->a.object))
				crm_field(&d->a, key[2]);
		} else if (l->kind == STRING && value && level == 1 && !strcmp(key[1], "Id")) {
			crm_id(&d->a, l->at, l->len);
		} else if (l->kind == DOLLAR && value) {
			next(l);
			copy(l, name);
			if (!level && !strcmp(key[0], "input"))
				input_variable(d, cJSON_GetObjectItem(d->variables, name));
			else if (level == 1 && !strcmp(key[1], "Id") &&
				 cJSON_IsString(cJSON_GetObjectItem(d->variables, name)))
				crm_ids(&d->a,
					cJSON_GetObjectItem(d->variables, name)->valuestring);
			else if (level == 1 && !strcmp(key[1], d->a.object))
				d->a.opaque = 1; /* its fields are in a variable of their own */
		}
		value = l->kind == ':';
	}
}

/* A field of a selection at `depth` (of names above it). */
static void field(struct doc *d, int depth, const char *name, const char *key, uint16_t status)
{
	static const char *const verbs[][2] = { { "Create", "create" },
						{ "Update", "update" },
						{ "Delete", "delete" } };
	char object[FENCE_ACTION_NAME];
	size_t n = strlen(name), i, v;

	if (depth < 2 || strcmp(d->path[1], "uiapi"))
		return;
	if (!d->mutation) {
		if (depth == 3 && !strcmp(d->path[2], "query"))
			begin(d, "query", name, status);
		else if (depth == 6 && !strcmp(d->path[4], "edges") &&
			 !strcmp(d->path[5], "node") && strcmp(name, "Id"))
			crm_field(&d->a, name);
		return;
	}
	for (i = 0; depth == 2 && i < ARRAY_SIZE(verbs); i++) {
		v = strlen(verbs[i][0]);
		if (n <= v || strcmp(name + n - v, verbs[i][0]))
			continue;
		snprintf(object, sizeof(object), "%.*s", (int)(n - v), name);
		begin(d, verbs[i][1], object, status);
		snprintf(d->key, sizeof(d->key), "%s", key);
	}
}

/* One operation, from its "{" on. */
static void selections(struct doc *d, uint16_t status)
{
	char name[FENCE_ACTION_NAME] = "", key[FENCE_ACTION_NAME];
	struct lexer *l = &d->l;
	int depth = 1, have = next(l);

	while (depth && have != END) {
		if (have == '{') {
			if (depth == DEPTH) {
				d->strange = 1;
				return;
			}
			snprintf(d->path[depth++], FENCE_ACTION_NAME, "%s", name);
		} else if (have == '}') {
			depth--;
		} else if (have == '(') {
			arguments(d);
		} else if (have == SPREAD) {
			d->strange = 1;
		} else if (have == NAME) {
			copy(l, name);
			memcpy(key, name, sizeof(key));
			have = next(l);
			if (have == ':') { /* that was an alias */
				next(l);
				copy(l, name);
				have = next(l);
			}
			field(d, depth, name, key, status);
			continue;
		}
		have = next(l);
	}
}

void crm_graphql(struct out *o, struct fence_crm_action *a, const cJSON *body, const cJSON *answer)
{
	const cJSON *query = cJSON_GetObjectItem(body, "query");
	struct doc d = { .o = o,
			 .variables = cJSON_GetObjectItem(body, "variables"),
			 .answers = cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "data"),
							"uiapi") };
	unsigned int before = o->n;

	a->api = "graphql";
	a->verb = "query";
	a->opaque = 1;
	if (cJSON_IsString(query)) {
		d.l.p = query->valuestring;
		while (next(&d.l) != END) {
			d.strange |= named(&d.l, "fragment") || named(&d.l, "subscription");
			d.mutation |= named(&d.l, "mutation");
			if (d.l.kind == '(')
				arguments(&d);
			if (d.l.kind != '{')
				continue;
			selections(&d, a->status);
			tell(&d);
			d.mutation = 0;
		}
	}
	if (o->n == before)
		crm_emit(o, a);
}
