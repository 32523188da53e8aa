// SPDX-License-Identifier: Apache-2.0
#include "crm/signon.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 4096 /* bytes of an element's text that is wanted */

/* The first text of each element of these names, wherever it stands. */
struct texts {
	const char *const *names;
	struct fence_buf *out; /* one a name */
	size_t n, open; /* open: index and one; 0: none */
};

static void XMLCALL on_start(void *ctx, const XML_Char *full, const XML_Char **attributes)
{
	const char *colon = strrchr(full, ':'), *name = colon ? colon + 1 : full;
	struct texts *t = ctx;
	size_t i;

	(void)attributes;
	t->open = 0;
	for (i = 0; i < t->n; i++)
		if (!strcmp(name, t->names[i]) && !t->out[i].len)
			t->open = i + 1;
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct texts *t = ctx;

	if (t->open && t->out[t->open - 1].len + (size_t)len <= TEXT_MAX)
		fence_buf_add(&t->out[t->open - 1], text, (size_t)len);
}

static void XMLCALL on_end(void *ctx, const XML_Char *full)
{
	struct texts *t = ctx;

	(void)full;
	t->open = 0;
}

static void wipe(struct fence_buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->size);
	fence_buf_done(b);
}

static void read_xml(struct texts *t, const char *text, size_t len)
{
	XML_Parser p = XML_ParserCreate(NULL);

	if (!p)
		return;
	XML_SetUserData(p, t);
	XML_SetElementHandler(p, on_start, on_end);
	XML_SetCharacterDataHandler(p, on_text);
	XML_Parse(p, text, (int)len, 1); /* what came before a fault counts */
	XML_ParserFree(p);
}

static int is_soap(const struct fence_crm_call *c)
{
	return !strncmp(c->path, "/services/Soap/", 15);
}

/* An id of its kind, as the org writes it; else nothing. */
static void put_id(char out[FENCE_CRM_ID], const char *text, const char *prefix)
{
	if (text && !strncmp(text, prefix, 3) && fence_crm_record_id(text, strlen(text)))
		snprintf(out, FENCE_CRM_ID, "%s", text);
}

static void soap_answer(const struct fence_crm_call *c, struct fence_crm_signon *out)
{
	static const char *const names[] = { "userId", "organizationId", "sessionId" };
	struct fence_buf found[3] = { { 0 }, { 0 }, { 0 } };
	struct texts t = { .names = names, .out = found, .n = 3 };

	/* others tell of users too, of any */
	if (!memmem(c->response, c->response_len, "loginResponse", 13) &&
	    !memmem(c->response, c->response_len, "getUserInfoResponse", 19))
		return;
	read_xml(&t, c->response, c->response_len);
	out->how = "soap";
	put_id(out->user, fence_buf_text(&found[0]), "005");
	put_id(out->org, fence_buf_text(&found[1]), "00D");
	out->token = found[2];
	fence_buf_done(&found[0]);
	fence_buf_done(&found[1]);
}

static const char *member(const cJSON *o, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
}

/* "https://login.salesforce.com/id/00D.../005..." */
static void put_identity(struct fence_crm_signon *out, const char *url)
{
	const char *at = url ? strstr(url, "/id/00D") : NULL;
	char path[64];

	snprintf(path, sizeof(path), "%.*s", at ? (int)strcspn(at, "?#") : 0, at ? at : "");
	fence_crm_identity(path, out->org, out->user);
}

static void oauth_answer(const struct fence_crm_call *c, struct fence_crm_signon *out)
{
	int token = !strncmp(c->path, "/services/oauth2/token", 22);
	cJSON *o = cJSON_ParseWithLength(c->response, c->response_len);

	out->how = token ? "token" : "userinfo";
	put_identity(out, member(o, token ? "id" : "sub"));
	if (!token && !out->user[0]) {
		put_id(out->user, member(o, "user_id"), "005");
		put_id(out->org, member(o, "organization_id"), "00D");
	}
	if (token && member(o, "access_token"))
		fence_buf_str(&out->token, member(o, "access_token"));
	cJSON_Delete(o);
}

int fence_crm_signon(const struct fence_crm_call *c, struct fence_crm_signon *out)
{
	*out = (struct fence_crm_signon){ 0 };
	if (c->response_cut || c->status < 200 || c->status > 299)
		return -ENOENT;
	if (is_soap(c))
		soap_answer(c, out);
	else if (!strncmp(c->path, "/services/oauth2/token", 22) ||
		 !strncmp(c->path, "/services/oauth2/userinfo", 25))
		oauth_answer(c, out);
	return out->user[0] ? 0 : -ENOENT;
}

void fence_crm_signon_done(struct fence_crm_signon *s)
{
	wipe(&s->token);
}

int fence_crm_soap_session(const struct fence_crm_call *c, struct fence_buf *out)
{
	static const char *const names[] = { "sessionId" };
	struct texts t = { .names = names, .out = out, .n = 1 };

	if (!is_soap(c) || c->request_cut)
		return -ENOENT;
	read_xml(&t, c->request, c->request_len);
	return out->len ? 0 : -ENOENT;
}
