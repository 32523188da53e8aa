/* SPDX-License-Identifier: Apache-2.0 */
/* Between reading and a usable policy: lint and compile. For user/policy only. */
#ifndef FENCE_POLICY_COMPILE_H
#define FENCE_POLICY_COMPILE_H

#include "policy/policy.h"

enum fence_allow_kind { FENCE_ALLOW_OWN, FENCE_ALLOW_HOST, FENCE_ALLOW_NET };

struct fence_policy_allow {
	enum fence_allow_kind kind;
	struct fence_policy_rule rule;
};

struct fence_policy_allows {
	struct fence_policy_allow *list; /* owned by the reader */
	size_t count;
};

/* match.c: $.tools[].match, before anything is compiled. */
int fence_lint_matches(const struct fence_policy *p, struct fence_diag *d);

/*
 * Fill p->rules, names, nets and warnings. Negative errno with `d` when the policy must be refused.
 */
int fence_policy_compile(struct fence_policy *p, const struct fence_policy_allows *allows,
			 struct fence_diag *d);

#endif
