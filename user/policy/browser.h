/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The managed policy that a browser needs beside ours: what would hide from the kernel programs
 * (QUIC, encrypted ClientHello, DNS over HTTPS) is off, native messaging is for the listed
 * extensions alone, and these may read and script no host but what their tools may reach. Sources:
 * chromeenterprise.google/policies, mozilla.github.io/policy-templates.
 *
 * It is the browser that holds it, not the kernel: a listed extension can still send a simple
 * request anywhere (docs/POLICY.md).
 */
#ifndef FENCE_POLICY_BROWSER_H
#define FENCE_POLICY_BROWSER_H

#include "policy/policy.h"

struct fence_browser {
	const char *name; /* for the command line */
	const char *programs[3]; /* one of them is there when the browser is; ends with NULL */
	const char *dir; /* of managed policies */
	const char *file; /* in it */
	const char *hosts; /* directory of native messaging manifests; NULL: not Chromium's kind */
};

const struct fence_browser *fence_browser(size_t i); /* NULL behind the last */

#define FENCE_BROWSER_HOSTS 32

/* Does a tool recognise the native messaging hosts of the extension? */
int fence_policy_native(const struct fence_policy *p, const char *extension);

/*
 * The policy as JSON text; free() it. `hosts`: names of the native messaging hosts that may be
 * started. NULL: no memory.
 */
char *fence_policy_browser(const struct fence_policy *p, const struct fence_browser *b,
			   const char (*hosts)[128], size_t nhosts);

#endif
