// SPDX-License-Identifier: Apache-2.0
#include "crm/build.h"

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

static const char *rest_verb(const char *method)
{
	return !strcmp(method, "GET") || !strcmp(method, "HEAD") ? "read"
	       : !strcmp(method, "POST")			 ? "create"
	       : !strcmp(method, "PATCH")			 ? "update"
	       : !strcmp(method, "DELETE")			 ? "delete"
								 : "other";
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
			crm_object(a, s->at[at]);
		return;
	}
	crm_object(a, s->at[at]);
	if (at + 1 < s->n)
		crm_id(a, s->at[at + 1], strlen(s->at[at + 1]));
	if (at + 2 < s->n && !a->nids) { /* by external id; its value is not for the log */
		if (!strcmp(a->verb, "update") || !strcmp(a->verb, "create"))
			a->verb = "upsert";
		crm_field(a, s->at[at + 1]);
	}
	if (!strcmp(method, "POST") || !strcmp(method, "PATCH") || !strcmp(method, "PUT"))
		crm_body(a, body);
}

struct shape {
	const char *first, *second; /* segments behind the version; NULL: any */
	const char *api, *verb;
	int opaque;
};

/* What stands behind /services/data/vNN.N and needs no reading of bodies, or cannot be read. */
static const struct shape shapes[] = {
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
		crm_emit(o, &a);
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

/* Many records by their ids: { ids: [...], fields: [...] }. 0: it is not that. */
static int read_many(struct fence_crm_action *a, const cJSON *body)
{
	const cJSON *ids = cJSON_GetObjectItem(body, "ids"), *m;

	if (!cJSON_IsArray(ids))
		return 0;
	a->verb = "read";
	cJSON_ArrayForEach (m, ids)
		if (cJSON_IsString(m))
			crm_id(a, m->valuestring, strlen(m->valuestring));
	cJSON_ArrayForEach (m, cJSON_GetObjectItem(body, "fields"))
		if (cJSON_IsString(m))
			crm_field(a, m->valuestring);
	return 1;
}

/* A tree's records, with their children under the names of relations. */
static void tree(struct fence_crm_action *a, const cJSON *body)
{
	const cJSON *r, *m;

	cJSON_ArrayForEach (r, cJSON_GetObjectItem(body, "records"))
		cJSON_ArrayForEach (m, r)
			if (strcmp(m->string, "attributes"))
				crm_field(a, m->string);
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
			crm_object(a, s->at[at + 1]);
		if (!crm_parameter(path, "ids", ids, sizeof(ids)))
			crm_ids(a, ids);
		if (!read_many(a, body) && strcmp(method, "GET") && strcmp(method, "DELETE"))
			crm_body(a, body);
		crm_answer(a, answer);
		crm_emit(o, a);
		return;
	}
	if (segment_is(s, at, "tree")) {
		a->verb = "create";
		if (at + 1 < s->n)
			crm_object(a, s->at[at + 1]);
		a->opaque = !body;
		tree(a, body);
		crm_answer(a, results ? results : answer);
		crm_emit(o, a);
		return;
	}
	a->opaque = !body;
	crm_answer(a, answer);
	crm_emit(o, a);
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
		crm_ids(a, s->at[at + 1]);
	if (cJSON_IsString(name))
		crm_object(a, name->valuestring);
	cJSON_ArrayForEach (m, cJSON_GetObjectItem(body, "fields"))
		if (m->string)
			crm_field(a, m->string);
	if ((!strcmp(method, "POST") || !strcmp(method, "PATCH")) && !body)
		a->opaque = 1;
}

/* An object of the Tooling API, or a query of it. */
static void tooling(struct fence_crm_action *a, const struct segments *s, unsigned int at,
		    const char *method, const char *path, const cJSON *body)
{
	char q[QUERY_MAX];

	if (segment_is(s, at, "sobjects")) {
		a->opaque = 0;
		rest_rows(a, s, at + 1, method, body);
	} else if (segment_is(s, at, "query") && !crm_parameter(path, "q", q, sizeof(q))) {
		a->opaque = 0;
		a->verb = "query";
		crm_soql(a, q);
		explicit_bzero(q, sizeof(q));
	}
	a->api = "tooling";
}

/* Everything below /services/data/vNN.N. */
static void data_call(struct out *o, const char *method, const char *path, const cJSON *body,
		      const cJSON *answer, struct fence_crm_action *a)
{
	char q[QUERY_MAX];
	struct segments s;
	unsigned int at = 3, k;
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
		if (!crm_parameter(path, "q", q, sizeof(q)))
			crm_soql(a, q);
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
		if (!strcmp(a->api, "graphql")) {
			crm_graphql(o, a, body, answer);
			return;
		}
		if (!strcmp(a->api, "tooling"))
			tooling(a, &s, at + 1, method, path, body);
		for (k = at + 1; !a->nids && k < s.n; k++)
			crm_id(a, s.at[k], strlen(s.at[k]));
	}
	crm_answer(a, answer);
	crm_emit(o, a);
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
	{ "/services/apexrest/", "apexrest", "invoke" },
	{ "/cometd/", "streaming", "connect" },
	{ "/eventbus.v1.PubSub/", "pubsub", "subscribe" },
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
	char file[32];
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
		crm_id(a, s.at[i], strlen(s.at[i]));
	if (!strcmp(a->api, "lightning") && segment_is(&s, 1, "r") && s.n > 2)
		crm_object(a, s.at[2]);
	if (!strcmp(a->api, "files") && !crm_parameter(path, "file", file, sizeof(file)))
		crm_id(a, file, strlen(file));
	if (!strcmp(a->api, "files"))
		a->opaque = !a->nids;
	return 1;
}

/* A record's own page: /006... */
static int by_record(struct fence_crm_action *a, const char *path)
{
	struct segments s;

	split(path, &s);
	if (s.n != 1 || !fence_crm_record_id(s.at[0], strlen(s.at[0])))
		return 0;
	a->api = "page";
	a->verb = "page";
	crm_id(a, s.at[0], strlen(s.at[0]));
	return 1;
}

/*
 * /services/data/vNN/jobs/{ingest,query}[/{job}[/batches,results]] and
 * /services/async/NN/job[/{job}
 * [/batch[/{batch}[/result]]]]: the job says operation and object, its batches are CSV.
 */
static int bulk(struct fence_crm_action *a, const struct fence_crm_call *c, const cJSON *body)
{
	const cJSON *object = cJSON_GetObjectItem(body, "object"),
		    *operation = cJSON_GetObjectItem(body, "operation"),
		    *query = cJSON_GetObjectItem(body, "query");
	const char *verb = cJSON_IsString(operation) ? crm_operation(operation->valuestring) : NULL;
	struct segments s;
	unsigned int i;
	int two;

	split(c->path, &s);
	two = segment_is(&s, 1, "data") && segment_is(&s, 3, "jobs");
	if (!two && !segment_is(&s, 1, "async"))
		return 0;
	a->api = two ? "bulk2" : "bulk1";
	a->verb = two && segment_is(&s, 4, "query") ? "export" : "load";
	for (i = 4; i < s.n; i++)
		crm_id(a, s.at[i], strlen(s.at[i]));
	if (verb)
		a->verb = verb;
	if (cJSON_IsString(object))
		crm_object(a, object->valuestring);
	if (cJSON_IsString(query))
		crm_soql(a, query->valuestring);
	if (c->type_out && strstr(c->type_out, "xml") && !c->request_cut)
		crm_bulk1(a, c);
	if (c->type_out && strstr(c->type_out, "csv")) {
		crm_csv(a, c->request, c->request_len);
		a->opaque |= (uint8_t) !!c->request_cut;
	}
	if (!strcmp(c->method, "GET") && strstr(s.at[s.n - 1], "result") && c->type_in &&
	    strstr(c->type_in, "csv")) {
		a->verb = "export";
		crm_csv(a, c->response, c->response_len);
		a->opaque |= (uint8_t) !!c->response_cut;
	}
	return 1;
}

static int is_aura(const char *path)
{
	return !strncmp(path, "/aura", 5) || strstr(path, "/sfsites/aura");
}

static int is_data(const char *path)
{
	return !strncmp(path, "/services/data", 14) &&
	       (!path[14] || path[14] == '/' || path[14] == '?');
}

unsigned int fence_crm_actions(const struct fence_crm_call *c,
			       void (*each)(void *ctx, const struct fence_crm_action *a), void *ctx)
{
	struct out o = { .each = each, .ctx = ctx };
	struct fence_crm_action a = { .status = c->status };
	cJSON *body = NULL, *answer = NULL;
	const cJSON *id;

	if (c->request_len && !c->request_cut)
		body = cJSON_ParseWithLength(c->request, c->request_len);
	if (c->response_len && !c->response_cut)
		answer = cJSON_ParseWithLength(c->response, c->response_len);
	if (bulk(&a, c, body)) {
		crm_answer(&a, answer);
		id = cJSON_GetObjectItem(answer, "id"); /* the job's */
		if (cJSON_IsString(id) && !a.nids)
			crm_id(&a, id->valuestring, strlen(id->valuestring));
		crm_emit(&o, &a);
	} else if (is_data(c->path)) {
		data_call(&o, c->method, c->path, body, answer, &a);
	} else if (!strncmp(c->path, "/services/Soap/", 15)) {
		crm_soap(&o, &a, c);
	} else if (is_aura(c->path)) {
		a.api = "aura";
		a.verb = "page";
		crm_aura(&o, &a, c, answer);
	} else if (by_prefix(&a, c->path) || by_record(&a, c->path)) {
		if (!strcmp(a.api, "streaming"))
			crm_cometd(&a, body);
		else if (!strcmp(a.api, "pubsub"))
			crm_pubsub(&a, c);
		else if (!strcmp(a.api, "oauth"))
			crm_grant(&a, c);
		crm_answer(&a, answer);
		crm_emit(&o, &a);
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
