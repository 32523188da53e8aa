/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write canonical JSON (RFC 8785): no space, keys in ascending order, integers within 2^53, the
 * shortest escapes. The writer asserts the order of keys, so that a body which would not be
 * canonical cannot be written.
 *
 * Strings are octets from the kernel, not trusted to be UTF-8: an octet over 0x7f that is not part
 * of a valid sequence is written as U+FFFD.
 */
#ifndef FENCE_BASE_JSON_H
#define FENCE_BASE_JSON_H

#include <stdint.h>

#include "base/buf.h"

#define FENCE_JSON_DEPTH 8

struct fence_json {
	struct fence_buf *out; /* borrowed */
	const char *last[FENCE_JSON_DEPTH]; /* borrowed: the last key of each open object */
	int depth;
	int comma;
};

void fence_json_init(struct fence_json *j, struct fence_buf *out);
void fence_json_open(struct fence_json *j,
		     const char *key); /* object; key NULL at the top or in an array */
void fence_json_close(struct fence_json *j);
void fence_json_array(struct fence_json *j, const char *key);
void fence_json_array_end(struct fence_json *j);
void fence_json_int(struct fence_json *j, const char *key, int64_t v);
void fence_json_id(struct fence_json *j, const char *key,
		   uint64_t id); /* hex string: ids pass 2^53 */
void fence_json_bool(struct fence_json *j, const char *key, int v);
void fence_json_str(struct fence_json *j, const char *key, const char *s);
void fence_json_strn(struct fence_json *j, const char *key, const char *s, size_t n);

#endif
