/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/crm: what the readers of each API put an action together with. */
#ifndef FENCE_CRM_BUILD_H
#define FENCE_CRM_BUILD_H

#include <cjson/cJSON.h>

#include "crm/action.h"

struct out {
	void (*each)(void *ctx, const struct fence_crm_action *a);
	void *ctx;
	unsigned int n;
};

void crm_emit(struct out *o, const struct fence_crm_action *a);

/* An API name: a letter, then letters, digits, _; "." in a path over a relation. */
int crm_is_name(const char *s);

void crm_object(struct fence_crm_action *a, const char *name); /* no name: nothing */
void crm_id(struct fence_crm_action *a, const char *text, size_t len); /* no id: nothing */
void crm_ids(struct fence_crm_action *a, const char *text); /* comma-separated */
void crm_field(struct fence_crm_action *a, const char *name); /* no name: opaque */

/* A record, a list of them, or { records }: names of members, ids and types. NULL: opaque. */
void crm_records(struct fence_crm_action *a, const cJSON *body);
void crm_body(struct fence_crm_action *a, const cJSON *body);

/* What an answer adds: ids of what was created, the code of what was refused. */
void crm_answer(struct fence_crm_action *a, const cJSON *answer);

/* The object behind a statement's own FROM. */
void crm_soql(struct fence_crm_action *a, const char *q);

/* The value of a parameter of "...?a=b&c=d", decoded. 0, or -ENOENT. */
int crm_parameter(const char *path, const char *name, char *out, size_t size);

/* The same of a form's text. Its length, or -ENOENT. */
long crm_form(const char *form, size_t len, const char *name, char *out, size_t size);

/* What a bulk job's operation does, "insert" -> "create"; NULL: not known. */
const char *crm_operation(const char *name);

/* soap.c; Bulk 1.0's jobInfo is XML too */
void crm_soap(struct out *o, struct fence_crm_action *a, const struct fence_crm_call *c);
void crm_bulk1(struct fence_crm_action *a, const struct fence_crm_call *c);

/* graphql.c: an action for each object that is asked for. */
void crm_graphql(struct out *o, struct fence_crm_action *a, const cJSON *body, const cJSON *answer);

/* forms.c */
void crm_aura(struct out *o, struct fence_crm_action *a, const struct fence_crm_call *c,
	      const cJSON *answer);
void crm_csv(struct fence_crm_action *a, const char *text, size_t len); /* columns, ids */
void crm_cometd(struct fence_crm_action *a, const cJSON *body);
void crm_pubsub(struct fence_crm_action *a, const struct fence_crm_call *c);
void crm_grant(struct fence_crm_action *a, const struct fence_crm_call *c);

#endif
