/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A browser extension's manifest.json, of Chromium's kind (developer.chrome.com/docs/extensions/
 * reference/manifest): which hosts it may ask, and in whose pages its scripts run. Firefox's list
 * of its extensions' names of this profile. Whoever wrote the extension wrote them. Pure.
 */
#ifndef FENCE_WIRE_EXTENSION_H
#define FENCE_WIRE_EXTENSION_H

#include <stddef.h>

#include "base/buf.h"

#define FENCE_EXTENSION_BYTES (1u << 20)
#define FENCE_EXTENSION_PATTERNS 256 /* of each kind; more are not looked at */

struct fence_extension {
	struct fence_buf hosts; /* match patterns, each terminated: host permissions that it has, or
				   may be given */
	struct fence_buf scripts; /* likewise: pages of its content scripts */
	struct fence_buf key; /* base64; empty: its id comes from elsewhere */
};

/* 0, or -EINVAL: no manifest. Comments are taken, as by a browser. */
int fence_wire_extension(const char *text, size_t len, struct fence_extension *e);
void fence_wire_extension_done(struct fence_extension *e);

/* Does one of `patterns` cover an https page or request at `host`? Paths are not looked at. */
int fence_wire_covers(const struct fence_buf *patterns, const char *host);

/*
 * Chromium's Preferences or Secure Preferences of a profile: the extensions that it has, also those
 * that are not packed, or its own. `dir`: with their manifest; NULL: it is below Extensions.
 * `manifest`: a copy of it; NULL: there is none.
 */
void fence_wire_installed(const char *prefs, size_t len,
			  void (*each)(void *ctx, const char *id, const char *dir,
				       const char *manifest),
			  void *ctx);

/* Firefox's prefs.js: each add-on's id, and the name that this profile has for it. */
void fence_wire_addons(const char *prefs, void (*each)(void *ctx, const char *id, const char *uuid),
		       void *ctx);

#endif
