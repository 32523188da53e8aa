// SPDX-License-Identifier: Apache-2.0
/*
 * SOAP of the Partner and Enterprise WSDL, and the jobInfo of Bulk 1.0, by expat: the operation,
 * the type, ids and names of fields; of texts only those that are one of these.
 */
#include <ctype.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "crm/build.h"

#define ENVELOPE_OPERATION 3 /* depth: Envelope, Body, the operation, its children, theirs */
#define DEPTH_MAX 64
#define TEXT_MAX 4096

struct soap {
	struct fence_crm_action *a;
	XML_Parser parser;
	int depth, body, answer, bad;
	char op[32], child[32], name[FENCE_ACTION_NAME];
	int keep; /* the text of the element that is open is wanted */
	size_t len;
	char text[TEXT_MAX];
};

static const char *local(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon ? colon + 1 : name;
}

static int is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

static const char *verb_of(const char *op)
{
	static const char *const verbs[] = { "create",	 "update",     "upsert",   "delete",
					     "query",	 "retrieve",   "search",   "login",
					     "logout",	 "undelete",   "describe", "merge",
					     "queryAll", "convertLead" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strncmp(op, verbs[i], strlen(verbs[i])) &&
		    (is(op, verbs[i]) || is(verbs[i], "describe") || is(op, "queryMore")))
			return is(verbs[i], "retrieve")	  ? "read"
			       : is(verbs[i], "queryAll") ? "query"
							  : verbs[i];
	return "other";
}

/* Is the text of this element one that gets into the action? */
static int wanted(const struct soap *s, const char *name)
{
	static const char *const children[] = { "ids",	       "ID",	      "queryString",
						"sObjectType", "fieldList",   "externalIDFieldName",
						"faultcode",   "sObjectsType" };
	static const char *const members[] = { "type", "Id", "id", "fieldsToNull", "userId" };
	size_t i;

	if (s->depth == ENVELOPE_OPERATION + 1)
		for (i = 0; i < ARRAY_SIZE(children); i++)
			if (is(name, children[i]))
				return 1;
	if (s->depth == ENVELOPE_OPERATION + 2 && (is(s->child, "sObjects") || s->answer))
		for (i = 0; i < ARRAY_SIZE(members); i++)
			if (is(name, members[i]))
				return 1;
	return s->answer && s->depth == ENVELOPE_OPERATION + 3 && is(name, "statusCode");
}

static void XMLCALL on_start(void *ctx, const XML_Char *full, const XML_Char **attributes)
{
	struct soap *s = ctx;
	const char *name = local(full);
	size_t i;

	if (++s->depth > DEPTH_MAX) {
		s->bad = 1;
		XML_StopParser(s->parser, XML_FALSE);
		return;
	}
	s->len = 0;
	s->keep = 0;
	if (s->depth == ENVELOPE_OPERATION - 1)
		s->body = is(name, "Body");
	if (!s->body || s->depth < ENVELOPE_OPERATION)
		return;
	if (s->depth == ENVELOPE_OPERATION) {
		snprintf(s->op, sizeof(s->op), "%s", name);
		if (!s->answer)
			s->a->verb = verb_of(name);
	}
	if (s->depth == ENVELOPE_OPERATION + 1)
		snprintf(s->child, sizeof(s->child), "%s", name);
	if (s->depth == ENVELOPE_OPERATION + 1 && !s->answer && is(name, "sObjects"))
		for (i = 0; attributes[i]; i += 2)
			if (is(local(attributes[i]), "type") && !s->a->object[0])
				crm_object(s->a, local(attributes[i + 1]));
	s->keep = wanted(s, name);
	if (s->depth == ENVELOPE_OPERATION + 2 && !s->answer && is(s->child, "sObjects") &&
	    !s->keep)
		crm_field(s->a, name);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct soap *s = ctx;

	if (!s->keep)
		return;
	if (s->len + (size_t)len >= sizeof(s->text)) {
		s->keep = 0;
		s->a->opaque = 1;
		return;
	}
	memcpy(s->text + s->len, text, (size_t)len);
	s->len += (size_t)len;
}

static void request_text(struct soap *s, const char *name)
{
	char *save = NULL, *p;

	if (is(name, "type") || is(name, "sObjectType")) {
		if (!s->a->object[0])
			crm_object(s->a, s->text);
	} else if (!strcasecmp(name, "id") || is(name, "ids")) {
		crm_id(s->a, s->text, s->len);
	} else if (is(name, "fieldsToNull") || is(name, "externalIDFieldName")) {
		if (s->len)
			crm_field(s->a, s->text);
	} else if (is(name, "queryString")) {
		crm_soql(s->a, s->text);
	} else if (is(name, "fieldList")) {
		for (p = strtok_r(s->text, ", ", &save); p; p = strtok_r(NULL, ", ", &save))
			if (strcasecmp(p, "id"))
				crm_field(s->a, p);
	}
}

static void answer_text(struct soap *s, const char *name)
{
	if ((is(name, "faultcode") || is(name, "statusCode")) && !s->a->error[0] &&
	    crm_is_name(local(s->text)))
		snprintf(s->a->error, sizeof(s->a->error), "%.63s", local(s->text));
	else if ((is(name, "id") && (is(s->a->verb, "create") || is(s->a->verb, "upsert"))) ||
		 (is(name, "userId") && is(s->a->verb, "login")))
		crm_id(s->a, s->text, s->len);
}

static void XMLCALL on_end(void *ctx, const XML_Char *full)
{
	struct soap *s = ctx;

	s->text[s->len] = 0;
	if (s->keep && s->answer)
		answer_text(s, local(full));
	else if (s->keep)
		request_text(s, local(full));
	s->keep = 0;
	s->depth--;
}

/* A document type is nobody's who talks to Salesforce. */
static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int internal)
{
	struct soap *s = ctx;

	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	s->bad = 1;
	XML_StopParser(s->parser, XML_FALSE);
}

/* 1: it was well-formed to its end. */
static int parse(struct soap *s, const char *text, size_t len)
{
	int good = 0;

	s->parser = XML_ParserCreate(NULL);
	if (!s->parser)
		return 0;
	XML_SetUserData(s->parser, s);
	XML_SetElementHandler(s->parser, on_start, on_end);
	XML_SetCharacterDataHandler(s->parser, on_text);
	XML_SetStartDoctypeDeclHandler(s->parser, on_doctype);
	if (len < 1u << 30)
		good = XML_Parse(s->parser, text, (int)len, XML_TRUE) == XML_STATUS_OK && !s->bad;
	XML_ParserFree(s->parser);
	return good;
}

void crm_soap(struct out *o, struct fence_crm_action *a, const struct fence_crm_call *c)
{
	static const char form[] = "/services/Soap/";
	char which = c->path[sizeof(form) - 1]; /* c, u: records; m, T, s: setup, Apex */
	struct soap s = { .a = a };

	a->api = "soap";
	a->verb = "other";
	if (!c->request_len || c->request_cut || !parse(&s, c->request, c->request_len) ||
	    !strchr("cu", which) || is(a->verb, "other"))
		a->opaque = 1;
	explicit_bzero(&s, sizeof(s));
	s.a = a;
	s.answer = 1;
	if (c->response_len && !c->response_cut)
		parse(&s, c->response, c->response_len);
	explicit_bzero(&s, sizeof(s));
	crm_emit(o, a);
}

/* ---- Bulk 1.0: <jobInfo><operation>insert</operation><object>Lead</object>... ---- */

const char *crm_operation(const char *name)
{
	static const char *const all[][2] = { { "insert", "create" },	  { "update", "update" },
					      { "upsert", "upsert" },	  { "delete", "delete" },
					      { "hardDelete", "delete" }, { "query", "export" },
					      { "queryAll", "export" } };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		if (is(name, all[i][0]))
			return all[i][1];
	return NULL;
}

static void XMLCALL job_start(void *ctx, const XML_Char *full, const XML_Char **attributes)
{
	struct soap *s = ctx;
	const char *name = local(full);

	(void)attributes;
	s->len = 0;
	s->keep = ++s->depth == 2 && (is(name, "operation") || is(name, "object"));
}

static void XMLCALL job_end(void *ctx, const XML_Char *full)
{
	struct soap *s = ctx;
	const char *verb;

	s->text[s->len] = 0;
	s->depth--;
	if (!s->keep)
		return;
	s->keep = 0;
	if (is(local(full), "object"))
		crm_object(s->a, s->text);
	verb = is(local(full), "operation") ? crm_operation(s->text) : NULL;
	if (verb)
		s->a->verb = verb;
}

void crm_bulk1(struct fence_crm_action *a, const struct fence_crm_call *c)
{
	struct soap s = { .a = a };

	s.parser = XML_ParserCreate(NULL);
	if (!s.parser)
		return;
	XML_SetUserData(s.parser, &s);
	XML_SetElementHandler(s.parser, job_start, job_end);
	XML_SetCharacterDataHandler(s.parser, on_text);
	XML_SetStartDoctypeDeclHandler(s.parser, on_doctype);
	XML_Parse(s.parser, c->request, (int)c->request_len, XML_TRUE);
	XML_ParserFree(s.parser);
	explicit_bzero(&s, sizeof(s));
}
