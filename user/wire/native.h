/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A native messaging host's manifest, as Chrome, Chromium and Edge read it
 * (developer.chrome.com/docs/extensions/develop/concepts/native-messaging): which program a browser
 * starts for which extensions. Whoever may write below a manifest directory wrote it. Pure.
 */
#ifndef FENCE_WIRE_NATIVE_H
#define FENCE_WIRE_NATIVE_H

#include <stddef.h>

#define FENCE_NATIVE_BYTES (64u << 10)
#define FENCE_NATIVE_ORIGINS 64

struct fence_native {
	char name[128]; /* lower-case letters, digits, '_', '.' */
	char path[256]; /* absolute */
	char extensions[FENCE_NATIVE_ORIGINS][33]; /* 32 letters a to p */
	size_t count;
};

/*
 * 0, or -EINVAL: no JSON object, or one whose name, path, type or allowed_origins are not what a
 * browser takes. Keys that a browser does not know are no reason.
 */
int fence_wire_native(const char *text, size_t len, struct fence_native *m);

/* Is the extension (32 letters) among those that it may be started for? */
int fence_wire_native_for(const struct fence_native *m, const char *extension);

#endif
