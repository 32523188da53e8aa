// SPDX-License-Identifier: Apache-2.0
#include "crm/action.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"

#define SEGMENTS 12
#define QUERY_MAX 4096

typedef void each_action(void *ctx, const struct fence_crm_action *a);

struct out {
	each_action *each;
	void *ctx;
	unsigned int n;
};

/* The path's segments behind the host, without the query. */
struct segments {
	char text[1024];
	char *at[SEGMENTS];
	unsigned int n;
};

static void split(const char *path, struct segments *s)
{
	char *p, *save = NULL;

	memset(s, 0, sizeof(*s));
	snprintf(s->text, sizeof(s->text), "%.*s", (int)strcspn(path, "?#"), path);
	for (p = strtok_r(s->text, "/", &save); p && s->n < SEGMENTS;
	     p = strtok_r(NULL, "/", &save))
		s->at[s->n++] = p;
}

static int segment_is(const struct segments *s, unsigned int i, const char *want)
{
	return i < s->n && !strcasecmp(s->at[i], want);
}

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
static int is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");

	return n && !s[n] && n < FENCE_ACTION_NAME && isalpha((unsigned char)s[0]);
}

static void set_object(struct fence_crm_action *a, const char *name)
{
	if (is_name(name))
		snprintf(a->object, sizeof(a->object), "%s", name);
}

static void add_id(struct fence_crm_action *a, const char *text, size_t len)
{
	if (!fence_crm_record_id(text, len))
		return;
	if (a->nids < FENCE_ACTION_IDS)
		snprintf(a->ids[a->nids], FENCE_CRM_ID, "%.*s", (int)len, text);
	a->nids++;
}

/* Comma-separated. */
static void add_ids(struct fence_crm_action *a, const char *text)
{
	size_t n;

	while (*text) {
		n = strcspn(text, ",&%");
		add_id(a, text, n);
		text += n;
		text += *text == '%' && !strncasecmp(text, "%2c", 3) ? 3 : !!*text;
	}
}

static void add_field(struct fence_crm_action *a, const char *name)
{
	uint32_t i;

	for (i = 0; i < a->nfields && i < FENCE_ACTION_FIELDS; i++)
		if (!strcmp(a->fields[i], name))
			return;
	if (!is_name(name)) { /* no field of an object is called so */
		a->opaque = 1;
		return;
	}
	if (a->nfields < FENCE_ACTION_FIELDS)
		snprintf(a->fields[a->nfields], FENCE_ACTION_NAME, "%s", name);
	a->nfields++;
}

/* A record as JSON: the names of its members, its id and type where it says them. */
static void add_record(struct fence_crm_action *a, const cJSON *record)
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
				set_object(a, type->valuestring);
		} else if (!strcasecmp(m->string, "id")) {
			if (cJSON_IsString(m))
				add_id(a, m->valuestring, strlen(m->valuestring));
		} else {
			add_field(a, m->string);
		}
	}
}

static void add_records(struct fence_crm_action *a, const cJSON *body)
{
	const cJSON *list = cJSON_IsArray(body) ? body : cJSON_GetObjectItem(body, "records"), *r;

	if (!cJSON_IsArray(list)) {
		add_record(a, body);
		return;
	}
	cJSON_ArrayForEach (r, list)
		add_record(a, r);
}

/* What the answer adds: the ids of what was created, the code of what was refused. */
static void add_answer(struct fence_crm_action *a, const cJSON *answer)
{
	const cJSON *list = cJSON_IsArray(answer) ? answer : NULL, *r, *id, *code;
	const cJSON *one = list ? list->child : answer;

	for (r = one; r; r = list ? r->next : NULL) {
		id = cJSON_GetObjectItemCaseSensitive(r, "id");
		code = cJSON_GetObjectItemCaseSensitive(r, "errorCode");
		if (cJSON_IsString(code) && is_name(code->valuestring) && !a->error[0])
			snprintf(a->error, sizeof(a->error), "%s", code->valuestring);
		if (cJSON_IsString(id) &&
		    (!strcmp(a->verb, "create") || !strcmp(a->verb, "upsert")))
			add_id(a, id->valuestring, strlen(id->valuestring));
	}
}

static void emit(struct out *o, const struct fence_crm_action *a)
{
	o->each(o->ctx, a);
	o->n++;
}

/* The value of a query parameter, decoded. 0: it is there. */
static int parameter(const char *path, const char *name, char *out, size_t size)
{
	const char *q = strchr(path, '?');
	size_t n = strlen(name), len = 0;
	unsigned int byte;

	while (q && *q) {
		q++;
		if (!strncmp(q, name, n) && q[n] == '=') {
			for (q += n + 1; *q && *q != '&' && len + 1 < size; q++) {
				if (*q == '%' && isxdigit((unsigned char)q[1]) &&
				    sscanf(q + 1, "%2x", &byte) == 1) {
					out[len++] = (char)byte;
					q += 2;
				} else {
					out[len++] = *q == '+' ? ' ' : *q;
				}
			}
			out[len] = 0;
			return 0;
		}
		q = strchr(q, '&');
	}
	return -ENOENT;
}

static const char *skip_space(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* The object behind a statement's own FROM: not one in a subquery, not one inside a literal. */
static void soql(struct fence_crm_action *a, const char *q)
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
		set_object(a, name);
		return;
	}
	a->opaque = 1;
}

static const char *rest_verb(const char *method)
{
	return !strcmp(method, "GET") || !strcmp(method, "HEAD") ? "read"
	       : !strcmp(method, "POST")			 ? "create"
	       : !strcmp(method, "PATCH")			 ? "update"
	       : !strcmp(method, "DELETE")			 ? "delete"
								 : "other";
}

static void body_or_opaque(struct fence_crm_action *a, const cJSON *body)
{
	if (body)
		add_records(a, body);
	else
		a->opaque = 1;
}

/* /sobjects/{object}[/{id} | /describe | /{external field}/{value}] ; at: of the object */
static void rest_rows(struct fence_crm_action *a, const struct segments *s, unsigned int at,
		      const char *method, const cJSON *body)
{
	a->api = "rest";
	a->verb = rest_verb(method);
	if (at >= s->n || segment_is(s, at + 1, "describe") || segment_is(s, at + 1, "updated") ||
	    segment_is(s, at + 1, "deleted")) {
		a->verb = "describe";
		if (at < s->n)
			set_object(a, s->at[at]);
		return;
	}
	set_object(a, s->at[at]);
	if (at + 1 < s->n)
		add_id(a, s->at[at + 1], strlen(s->at[at + 1]));
	if (at + 2 < s->n && !a->nids) { /* by external id; its value is not for the log */
		if (!strcmp(a->verb, "update") || !strcmp(a->verb, "create"))
			a->verb = "upsert";
		add_field(a, s->at[at + 1]);
	}
	if (!strcmp(method, "POST") || !strcmp(method, "PATCH") || !strcmp(method, "PUT"))
		body_or_opaque(a, body);
}

struct shape {
	const char *first, *second; /* segments behind the version; NULL: any */
	const char *api, *verb;
	int opaque;
};

/* What stands behind /services/data/vNN.N and needs no reading of bodies, or cannot be read. */
static const struct shape shapes[] = {
	{ "jobs", "ingest", "bulk2", "load", 1 },
	{ "jobs", "query", "bulk2", "export", 1 },
	{ "graphql", NULL, "graphql", "query", 1 },
	{ "tooling", NULL, "tooling", "admin", 1 },
	{ "metadata", NULL, "metadata", "deploy", 1 },
	{ "analytics", NULL, "analytics", "report", 1 },
	{ "limits", NULL, "rest", "limits", 0 },
	{ "search", NULL, "search", "search", 1 },
	{ "parameterizedSearch", NULL, "search", "search", 1 },
	{ "queryMore", NULL, "query", "query", 1 },
	{ "chatter", NULL, "chatter", "other", 1 },
	{ "connect", NULL, "connect", "other", 1 },
	{ "actions", NULL, "actions", "invoke", 1 },
	{ "process", NULL, "process", "invoke", 1 },
	{ "wave", NULL, "analytics", "report", 1 },
};

static void data_call(struct out *o, const char *method, const char *path, const cJSON *body,
		      const cJSON *answer, struct fence_crm_action *a);

/* One sub-request: { method, url, body | richInput }. */
static void sub_request(struct out *o, const cJSON *r, const cJSON *answer)
{
	const cJSON *method = cJSON_GetObjectItem(r, "method"),
		    *url = cJSON_GetObjectItem(r, "url"), *body = cJSON_GetObjectItem(r, "body");
	const cJSON *status = cJSON_GetObjectItem(answer, "httpStatusCode"),
		    *result = cJSON_GetObjectItem(answer, "body");
	struct fence_crm_action a = { .sub = 1 };
	char path[QUERY_MAX];

	if (!body)
		body = cJSON_GetObjectItem(r, "richInput");
	if (!status)
		status = cJSON_GetObjectItem(answer, "statusCode");
	if (!result)
		result = cJSON_GetObjectItem(answer, "result");
	if (!cJSON_IsString(method) || !cJSON_IsString(url)) {
		a.api = "rest";
		a.verb = "other";
		a.opaque = 1;
		emit(o, &a);
		return;
	}
	if (cJSON_IsNumber(status) && status->valueint > 0 && status->valueint < 1000)
		a.status = (uint16_t)status->valueint;
	/* batch writes "v60.0/sobjects/..", composite "/services/data/v60.0/sobjects/.." */
	snprintf(path, sizeof(path), "%s%s",
		 strncmp(url->valuestring, "/services/", 10) ? "/services/data/" : "",
		 url->valuestring);
	data_call(o, method->valuestring, path, body, result, &a);
}

static void sub_requests(struct out *o, const cJSON *list, const cJSON *answers)
{
	const cJSON *r, *answer = answers ? answers->child : NULL;
	unsigned int n = 0;

	cJSON_ArrayForEach (r, list) {
		if (n++ == FENCE_ACTION_SUBS)
			return;
		sub_request(o, r, answer);
		answer = answer ? answer->next : NULL;
	}
}

/* { graphs: [ { compositeRequest } ] } and { graphs: [ { graphResponse: { compositeResponse } } ] }
 */
static void graphs(struct out *o, const cJSON *body, const cJSON *answer)
{
	const cJSON *g, *list = cJSON_GetObjectItem(body, "graphs"),
			*said = cJSON_GetObjectItem(answer, "graphs");
	const cJSON *a = said ? said->child : NULL;

	cJSON_ArrayForEach (g, list) {
		sub_requests(o, cJSON_GetObjectItem(g, "compositeRequest"),
			     cJSON_GetObjectItem(cJSON_GetObjectItem(a, "graphResponse"),
						 "compositeResponse"));
		a = a ? a->next : NULL;
	}
}

/* A tree's records, with their children under the names of relations. */
static void tree(struct fence_crm_action *a, const cJSON *body)
{
	const cJSON *r, *m;

	cJSON_ArrayForEach (r, cJSON_GetObjectItem(body, "records"))
		cJSON_ArrayForEach (m, r)
			if (strcmp(m->string, "attributes"))
				add_field(a, m->string);
}

static void composite(struct out *o, const struct segments *s, unsigned int at, const char *method,
		      const char *path, const cJSON *body, const cJSON *answer,
		      struct fence_crm_action *a)
{
	const cJSON *results = cJSON_GetObjectItem(answer, "results");
	char ids[QUERY_MAX];

	a->api = "composite";
	a->verb = "batch";
	if (segment_is(s, at, "sobjects")) {
		a->verb = at + 2 < s->n && !strcmp(method, "PATCH") ? "upsert" : rest_verb(method);
		if (at + 1 < s->n)
			set_object(a, s->at[at + 1]);
		if (!parameter(path, "ids", ids, sizeof(ids)))
			add_ids(a, ids);
		if (strcmp(method, "GET") && strcmp(method, "DELETE"))
			body_or_opaque(a, body);
		add_answer(a, answer);
		emit(o, a);
		return;
	}
	if (segment_is(s, at, "tree")) {
		a->verb = "create";
		if (at + 1 < s->n)
			set_object(a, s->at[at + 1]);
		a->opaque = !body;
		tree(a, body);
		add_answer(a, results ? results : answer);
		emit(o, a);
		return;
	}
	a->opaque = !body;
	add_answer(a, answer);
	emit(o, a);
	if (segment_is(s, at, "graph"))
		graphs(o, body, answer);
	else if (segment_is(s, at, "batch"))
		sub_requests(o, cJSON_GetObjectItem(body, "batchRequests"), results);
	else
		sub_requests(o, cJSON_GetObjectItem(body, "compositeRequest"),
			     cJSON_GetObjectItem(answer, "compositeResponse"));
}

/* /ui-api/records[/{id}], /record-ui/{ids}, /list-ui .. */
static void ui_api(struct fence_crm_action *a, const struct segments *s, unsigned int at,
		   const char *method, const cJSON *body)
{
	const cJSON *name = cJSON_GetObjectItem(body, "apiName"), *m;

	a->api = "ui-api";
	a->verb = rest_verb(method);
	if (at + 1 < s->n)
		add_ids(a, s->at[at + 1]);
	if (cJSON_IsString(name))
		set_object(a, name->valuestring);
	cJSON_ArrayForEach (m, cJSON_GetObjectItem(body, "fields"))
		if (m->string)
			add_field(a, m->string);
	if ((!strcmp(method, "POST") || !strcmp(method, "PATCH")) && !body)
		a->opaque = 1;
}

/* Everything below /services/data/vNN.N. */
static void data_call(struct out *o, const char *method, const char *path, const cJSON *body,
		      const cJSON *answer, struct fence_crm_action *a)
{
	char q[QUERY_MAX];
	struct segments s;
	unsigned int at = 3;
	size_t i;

	split(path, &s);
	a->api = "rest";
	a->verb = s.n <= at ? "versions" : "other";
	if (segment_is(&s, at, "composite")) {
		composite(o, &s, at + 1, method, path, body, answer, a);
		return;
	}
	if (segment_is(&s, at, "sobjects")) {
		rest_rows(a, &s, at + 1, method, body);
	} else if (segment_is(&s, at, "query") || segment_is(&s, at, "queryAll")) {
		a->api = a->verb = "query";
		if (!parameter(path, "q", q, sizeof(q)))
			soql(a, q);
		else
			a->opaque = 1; /* the next page of an earlier one */
		explicit_bzero(q, sizeof(q));
	} else if (segment_is(&s, at, "ui-api")) {
		ui_api(a, &s, at + 1, method, body);
	} else if (s.n > at) {
		a->opaque = 1;
		for (i = 0; i < ARRAY_SIZE(shapes); i++) {
			if (!segment_is(&s, at, shapes[i].first) ||
			    (shapes[i].second && !segment_is(&s, at + 1, shapes[i].second)))
				continue;
			a->api = shapes[i].api;
			a->verb = shapes[i].verb;
			a->opaque = (uint8_t)shapes[i].opaque;
			break;
		}
		if (!strcmp(a->api, "bulk2")) {
			const cJSON *object = cJSON_GetObjectItem(body, "object");

			if (cJSON_IsString(object))
				set_object(a, object->valuestring);
			if (at + 2 < s.n)
				add_id(a, s.at[at + 2], strlen(s.at[at + 2]));
		}
	}
	add_answer(a, answer);
	emit(o, a);
}

/* <soapenv:Body><update>: the operation; types and fields stay inside. */
static void soap(struct fence_crm_action *a, const struct fence_crm_call *c)
{
	static const char *const verbs[] = { "create",	 "update", "upsert", "delete", "query",
					     "retrieve", "search", "login",  "logout", "undelete" };
	const char *p = c->request ? memmem(c->request, c->request_len, "Body", 4) : NULL, *end;
	size_t i, n;

	a->api = "soap";
	a->verb = "other";
	a->opaque = 1;
	if (!p)
		return;
	end = c->request + c->request_len;
	p = memchr(p, '<', (size_t)(end - p));
	for (i = 0; p && i < ARRAY_SIZE(verbs); i++) {
		const char *name = p + 1, *colon;

		n = 0;
		while (name + n < end && (isalnum((unsigned char)name[n]) || name[n] == ':'))
			n++;
		colon = memchr(name, ':', n);
		if (colon) {
			n -= (size_t)(colon + 1 - name);
			name = colon + 1;
		}
		if (n == strlen(verbs[i]) && !memcmp(name, verbs[i], n))
			a->verb = verbs[i];
	}
}

struct prefix {
	const char *path, *api, *verb;
};

static const struct prefix prefixes[] = {
	{ "/services/oauth2/token", "oauth", "token" },
	{ "/services/oauth2/authorize", "oauth", "authorize" },
	{ "/services/oauth2/revoke", "oauth", "revoke" },
	{ "/services/oauth2/introspect", "oauth", "introspect" },
	{ "/services/oauth2/userinfo", "oauth", "identity" },
	{ "/services/async/", "bulk1", "load" },
	{ "/services/apexrest/", "apexrest", "invoke" },
	{ "/cometd/", "streaming", "subscribe" },
	{ "/eventbus.v1.PubSub/", "pubsub", "subscribe" },
	{ "/aura", "aura", "page" },
	{ "/s/sfsites/aura", "aura", "page" },
	{ "/servlet/servlet.FileDownload", "files", "download" },
	{ "/sfc/servlet.shepherd/", "files", "download" },
	{ "/lightning/", "lightning", "page" },
	{ "/id/", "oauth", "identity" },
};

/* What is told by its path's beginning; 0: nothing. */
static int by_prefix(struct fence_crm_action *a, const char *path)
{
	struct segments s;
	unsigned int i;
	size_t k;

	for (k = 0; k < ARRAY_SIZE(prefixes); k++)
		if (!strncmp(path, prefixes[k].path, strlen(prefixes[k].path)))
			break;
	if (k == ARRAY_SIZE(prefixes))
		return 0;
	a->api = prefixes[k].api;
	a->verb = prefixes[k].verb;
	a->opaque = strcmp(a->api, "oauth") && strcmp(a->api, "lightning");
	split(path, &s);
	for (i = 0; i < s.n; i++)
		add_id(a, s.at[i], strlen(s.at[i]));
	if (!strcmp(a->api, "lightning") && segment_is(&s, 1, "r") && s.n > 2)
		set_object(a, s.at[2]);
	return 1;
}

static int is_data(const char *path)
{
	return !strncmp(path, "/services/data", 14) &&
	       (!path[14] || path[14] == '/' || path[14] == '?');
}

unsigned int fence_crm_actions(const struct fence_crm_call *c, each_action *each, void *ctx)
{
	struct out o = { .each = each, .ctx = ctx };
	struct fence_crm_action a = { .status = c->status };
	cJSON *body = NULL, *answer = NULL;

	if (c->request_len && !c->request_cut)
		body = cJSON_ParseWithLength(c->request, c->request_len);
	if (c->response_len && !c->response_cut)
		answer = cJSON_ParseWithLength(c->response, c->response_len);
	if (is_data(c->path)) {
		data_call(&o, c->method, c->path, body, answer, &a);
	} else if (!strncmp(c->path, "/services/Soap/", 15)) {
		soap(&a, c);
		emit(&o, &a);
	} else if (by_prefix(&a, c->path)) {
		add_answer(&a, answer);
		emit(&o, &a);
	}
	cJSON_Delete(body);
	cJSON_Delete(answer);
	return o.n;
}

int fence_crm_identity(const char *path, char org[FENCE_CRM_ID], char user[FENCE_CRM_ID])
{
	struct segments s;

	split(path, &s);
	if (s.n < 3 || strcmp(s.at[0], "id") || strncmp(s.at[1], "00D", 3) ||
	    strncmp(s.at[2], "005", 3) || !fence_crm_record_id(s.at[1], strlen(s.at[1])) ||
	    !fence_crm_record_id(s.at[2], strlen(s.at[2])))
		return -ENOENT;
	snprintf(org, FENCE_CRM_ID, "%s", s.at[1]);
	snprintf(user, FENCE_CRM_ID, "%s", s.at[2]);
	return 0;
}

/* A word of an API: letters and what joins them, two digits at the most; an id; or a version. */
static int is_word(const char *s)
{
	size_t digits = 0, n;

	if (fence_crm_record_id(s, strlen(s)))
		return 1;
	for (n = 0; s[n]; n++) {
		if (!isalnum((unsigned char)s[n]) && !strchr("_.-", s[n]))
			return 0;
		digits += !!isdigit((unsigned char)s[n]);
	}
	return n && n <= 40 && digits <= (s[0] == 'v' ? 4 : 2);
}

/* Behind which segment stand a customer's own words; 0: none. */
static unsigned int values_from(const struct segments *s)
{
	unsigned int i;

	for (i = 0; i < s->n; i++) {
		if (!strcmp(s->at[i], "sobjects"))
			return i + 3; /* object, field, then the value of an external id */
		if (!strcmp(s->at[i], "apexrest"))
			return i + 2;
	}
	return SEGMENTS;
}

void fence_crm_path_shape(const char *path, char *out, size_t size)
{
	unsigned int i, from;
	struct segments s;
	size_t used = 0;

	split(path, &s);
	from = values_from(&s);
	out[0] = 0;
	if (!s.n)
		snprintf(out, size, "/");
	for (i = 0; i < s.n && used + 1 < size; i++)
		used += (size_t)snprintf(out + used, size - used, "/%s",
					 i >= from || !is_word(s.at[i]) ? "*" : s.at[i]);
}
