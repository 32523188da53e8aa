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

#endif
