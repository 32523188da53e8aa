/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who signs on, as the org's own answers say: a token's ("id" of the OAuth flows), userinfo's
 * (OpenID Connect), SOAP's login() and getUserInfo(). Pure; bodies are hostile.
 */
#ifndef FENCE_CRM_SIGNON_H
#define FENCE_CRM_SIGNON_H

#include "base/buf.h"
#include "crm/action.h"

struct fence_crm_signon {
	const char *how; /* "token", "userinfo", "soap"; static */
	char org[FENCE_CRM_ID], user[FENCE_CRM_ID];
	/* The credential that the answer gives; empty: it is about the one of the request. Wiped by
	 * fence_crm_signon_done(). */
	struct fence_buf token;
};

/* 0, or -ENOENT: no such exchange, or its answer names nobody; `out` is to be done in any case. */
int fence_crm_signon(const struct fence_crm_call *c, struct fence_crm_signon *out);
void fence_crm_signon_done(struct fence_crm_signon *s);

/* The session id in the head of a SOAP request; to be wiped. 0, or -ENOENT. */
int fence_crm_soap_session(const struct fence_crm_call *c, struct fence_buf *out);

#endif
