// SPDX-License-Identifier: Apache-2.0
/* Bodies that are neither a record nor XML: Aura, CSV, CometD, Pub/Sub, OAuth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "crm/build.h"

#define COLUMNS 256

/* ---- Aura: message={"actions":[{"descriptor":".../ACTION$getRecord","params":{...}}]} ---- */

static const char *aura_verb(const char *descriptor)
{
	static const char *const all[][2] = { { "get", "read" },      { "create", "create" },
					      { "save", "update" },   { "update", "update" },
					      { "delete", "delete" }, { "query", "query" },
					      { "search", "search" } };
	const char *name = strstr(descriptor, "ACTION$");
	size_t i;

	for (i = 0; name && i < ARRAY_SIZE(all); i++)
		if (!strncmp(name + 7, all[i][0], strlen(all[i][0])))
			return all[i][1];
	return "invoke";
}

/* "Opportunity.StageName" */
static void aura_path(struct fence_crm_action *a, const char *path)
{
	const char *dot = strchr(path, '.');
	char object[FENCE_ACTION_NAME];

	if (!dot || !crm_is_name(path))
		return;
	snprintf(object, sizeof(object), "%.*s", (int)(dot - path), path);
	if (!a->object[0])
		crm_object(a, object);
	if (strcasecmp(dot + 1, "id"))
		crm_field(a, dot + 1);
}

static void aura_params(struct fence_crm_action *a, const cJSON *params)
{
	const cJSON *m, *f, *input = cJSON_GetObjectItem(params, "recordInput"), *name;

	cJSON_ArrayForEach (m, params) {
		if (cJSON_IsString(m))
			crm_id(a, m->valuestring, strlen(m->valuestring));
		if (!strcmp(m->string, "recordIds"))
			cJSON_ArrayForEach (f, m)
				if (cJSON_IsString(f))
					crm_id(a, f->valuestring, strlen(f->valuestring));
		if (!strcmp(m->string, "fields") || !strcmp(m->string, "optionalFields"))
			cJSON_ArrayForEach (f, m)
				if (cJSON_IsString(f))
					aura_path(a, f->valuestring);
	}
	name = cJSON_GetObjectItem(input ? input : params, "apiName");
	if (!name)
		name = cJSON_GetObjectItem(params, "objectApiName");
	if (cJSON_IsString(name))
		crm_object(a, name->valuestring);
	cJSON_ArrayForEach (f, cJSON_GetObjectItem(input, "fields"))
		if (f->string && strcasecmp(f->string, "id"))
			crm_field(a, f->string);
}

static void aura_answer(struct fence_crm_action *a, const cJSON *answer)
{
	const cJSON *state = cJSON_GetObjectItem(answer, "state"),
		    *id = cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "returnValue"), "id");

	if (cJSON_IsString(state) && strcmp(state->valuestring, "SUCCESS") &&
	    crm_is_name(state->valuestring))
		snprintf(a->error, sizeof(a->error), "%s", state->valuestring);
	if (cJSON_IsString(id) && !strcmp(a->verb, "create"))
		crm_id(a, id->valuestring, strlen(id->valuestring));
}

void crm_aura(struct out *o, struct fence_crm_action *a, const struct fence_crm_call *c,
	      const cJSON *answer)
{
	const cJSON *r, *descriptor, *said = cJSON_GetObjectItem(answer, "actions");
	cJSON *message = NULL;
	unsigned int before = o->n;
	char *text = c->request_cut ? NULL : malloc(c->request_len + 1);
	long n;

	n = text ? crm_form(c->request, c->request_len, "message", text, c->request_len + 1) : -1;
	if (n >= 0)
		message = cJSON_ParseWithLength(text, (size_t)n);
	said = said ? said->child : NULL;
	cJSON_ArrayForEach (r, cJSON_GetObjectItem(message, "actions")) {
		struct fence_crm_action one = { .api = "aura", .status = a->status };

		descriptor = cJSON_GetObjectItem(r, "descriptor");
		if (o->n - before == FENCE_ACTION_SUBS)
			break;
		one.verb =
			cJSON_IsString(descriptor) ? aura_verb(descriptor->valuestring) : "invoke";
		aura_params(&one, cJSON_GetObjectItem(r, "params"));
		one.opaque = !strcmp(one.verb, "invoke"); /* a controller of the org's own */
		aura_answer(&one, said);
		said = said ? said->next : NULL;
		crm_emit(o, &one);
	}
	if (o->n == before) {
		a->opaque = 1;
		crm_emit(o, a);
	}
	cJSON_Delete(message);
	if (text)
		explicit_bzero(text, c->request_len + 1);
	free(text);
}

/* ---- CSV of Bulk (RFC 4180; the delimiter is the job's choice) ---- */

struct csv {
	const char *p, *end;
	char delimiter;
	int eol; /* the cell was its line's last */
};

/* The next cell's text without its quotes. 0: there is none. */
static int cell(struct csv *s, const char **text, size_t *len)
{
	int quoted;

	if (s->p >= s->end)
		return 0;
	quoted = *s->p == '"';
	s->p += quoted;
	*text = s->p;
	while (s->p < s->end &&
	       (quoted ? *s->p != '"' || (s->p + 1 < s->end && s->p[1] == '"' && s->p++)
		       : *s->p != s->delimiter && *s->p != '\n' && *s->p != '\r'))
		s->p++;
	*len = (size_t)(s->p - *text);
	s->p += quoted && s->p < s->end;
	if (s->p < s->end && *s->p == '\r')
		s->p++;
	s->eol = s->p >= s->end || *s->p == '\n';
	s->p += s->p < s->end;
	return 1;
}

void crm_csv(struct fence_crm_action *a, const char *text, size_t len)
{
	static const char delimiters[] = ",;|\t^`";
	struct csv s = { .p = text, .end = text + len, .delimiter = ',' };
	const char *line = memchr(text, '\n', len), *at;
	int column = 0, id = -1;
	char name[FENCE_ACTION_NAME];
	size_t n, i;

	for (i = 0; i < sizeof(delimiters) - 1; i++)
		if (line && memchr(text, delimiters[i], (size_t)(line - text))) {
			s.delimiter = delimiters[i];
			break;
		}
	while (!s.eol && cell(&s, &at, &n)) {
		snprintf(name, sizeof(name), "%.*s", (int)(n < sizeof(name) ? n : 0), at);
		if (!strcasecmp(name, "id") || !strcmp(name, "sf__Id"))
			id = column;
		else
			crm_field(a, name);
		column++;
	}
	for (column = 0; id >= 0 && cell(&s, &at, &n); column = s.eol ? 0 : column + 1)
		if (column == id)
			crm_id(a, at, n);
}

/* ---- CometD: [{"channel":"/meta/subscribe","subscription":"/data/LeadChangeEvent"}] ---- */

static void last_segment(struct fence_crm_action *a, const char *topic)
{
	const char *slash = strrchr(topic, '/');

	crm_object(a, slash ? slash + 1 : topic);
}

void crm_cometd(struct fence_crm_action *a, const cJSON *body)
{
	const cJSON *m, *topic, *channel;

	a->verb = "connect";
	a->opaque = !body;
	cJSON_ArrayForEach (m, body) {
		channel = cJSON_GetObjectItem(m, "channel");
		topic = cJSON_GetObjectItem(m, "subscription");
		if (!cJSON_IsString(channel) || strcmp(channel->valuestring, "/meta/subscribe"))
			continue;
		a->verb = "subscribe";
		if (cJSON_IsString(topic))
			last_segment(a, topic->valuestring);
	}
}

/* ---- Pub/Sub: gRPC's frame (flag, length), then field 1, the topic's name ---- */

void crm_pubsub(struct fence_crm_action *a, const struct fence_crm_call *c)
{
	static const char *const verbs[][2] = {
		{ "Publish", "publish" },     { "PublishStream", "publish" },
		{ "Subscribe", "subscribe" }, { "ManagedSubscribe", "subscribe" },
		{ "GetTopic", "describe" },   { "GetSchema", "describe" }
	};
	const char *method = strrchr(c->path, '/') + 1;
	const uint8_t *p = (const uint8_t *)c->request;
	char topic[256];
	size_t i;

	a->verb = "other";
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(method, verbs[i][0]))
			a->verb = verbs[i][1];
	a->opaque = 1;
	if (c->request_len < 8 || p[0] || p[5] != 0x0a || p[6] > 127 || p[6] + 7u > c->request_len)
		return; /* compressed, or not begun with its topic */
	snprintf(topic, sizeof(topic), "%.*s", (int)p[6], (const char *)p + 7);
	last_segment(a, topic);
	a->opaque = !a->object[0];
}

/* ---- OAuth: by which grant ---- */

void crm_grant(struct fence_crm_action *a, const struct fence_crm_call *c)
{
	static const char *const all[][2] = {
		{ "authorization_code", "authorization_code" },
		{ "hybrid_auth_code", "authorization_code" },
		{ "refresh_token", "refresh_token" },
		{ "hybrid_refresh", "refresh_token" },
		{ "password", "password" },
		{ "client_credentials", "client_credentials" },
		{ "urn:ietf:params:oauth:grant-type:jwt-bearer", "jwt-bearer" },
		{ "urn:ietf:params:oauth:grant-type:saml2-bearer", "saml2-bearer" },
		{ "urn:ietf:params:oauth:grant-type:token-exchange", "token-exchange" },
		{ "urn:ietf:params:oauth:grant-type:device_code", "device" },
		{ "device", "device" },
		{ "code", "authorization_code" }, /* response_type of authorize */
		{ "token", "implicit" },
	};
	int asked = !strcmp(a->verb, "authorize");
	char value[96] = "";
	size_t i;

	if (strcmp(a->verb, "token") && !asked)
		return;
	if (asked ? crm_parameter(c->path, "response_type", value, sizeof(value)) != 0
		  : c->request_cut || crm_form(c->request, c->request_len, "grant_type", value,
					       sizeof(value)) < 0)
		if (crm_parameter(c->path, "grant_type", value, sizeof(value)))
			return;
	a->grant = "other";
	for (i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(value, all[i][0]))
			a->grant = all[i][1];
	explicit_bzero(value, sizeof(value));
}
