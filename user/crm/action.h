/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request to a Salesforce org did: API, verb, object, record ids, names of fields; never a
 * value. By the shapes of the REST API Developer Guide and its siblings. What a body does not show
 * is `opaque`, not guessed.
 */
#ifndef FENCE_CRM_ACTION_H
#define FENCE_CRM_ACTION_H

#include <stddef.h>
#include <stdint.h>

#define FENCE_ACTION_IDS 16 /* kept of one action; nids counts on */
#define FENCE_ACTION_FIELDS 64 /* likewise */
#define FENCE_ACTION_SUBS 500 /* sub-requests of one composite that are looked at */
#define FENCE_ACTION_NAME 64 /* octets of an object's or a field's API name, with its NUL */
#define FENCE_CRM_ID 19 /* 18 characters and the NUL */

/* One exchange. Borrowed; bodies need not be terminated. */
struct fence_crm_call {
	const char *method, *path, *soap_action;
	const char *type_out, *type_in; /* Content-Type of the request, of the answer; or NULL */
	uint16_t status; /* 0: not answered */
	const char *request, *response;
	size_t request_len, response_len;
	int request_cut, response_cut; /* not all of it is there, or it is compressed */
};

struct fence_crm_action {
	const char *api; /* "rest", "query", "composite", "bulk2", ...; static */
	const char *verb; /* "read", "create", "update", "delete", "upsert", "login", ...; static */
	char object[FENCE_ACTION_NAME]; /* API name as the request had it; empty: not told */
	char ids[FENCE_ACTION_IDS][FENCE_CRM_ID];
	uint32_t nids, nfields;
	char fields[FENCE_ACTION_FIELDS][FENCE_ACTION_NAME];
	uint16_t status; /* of a sub-request where the answer says it */
	char error[FENCE_ACTION_NAME]; /* errorCode of the answer */
	const char *grant; /* OAuth: how a token was asked for; static; NULL: no such request */
	uint8_t opaque; /* more happened than can be told */
	uint8_t sub; /* part of a composite request */
};

/*
 * Every action of one exchange, in order; a composite's own row comes first. Returns how many, 0:
 * no API that we know.
 */
unsigned int fence_crm_actions(const struct fence_crm_call *c,
			       void (*each)(void *ctx, const struct fence_crm_action *a),
			       void *ctx);

/* 15 letters and digits, or 18 whose suffix fits (case of the 15): the id's length, else 0. */
size_t fence_crm_record_id(const char *text, size_t len);

/* The path without its query and with ids in place of what is neither id nor API word: for logs. */
void fence_crm_path_shape(const char *path, char *out, size_t size);

/* The org and user of an identity URL, /id/00D.../005...: 0, or -ENOENT. */
int fence_crm_identity(const char *path, char org[FENCE_CRM_ID], char user[FENCE_CRM_ID]);

#endif
