/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's own parts: read.c has the pieces and the top, read_tool.c one tool, ranges.c the
 * file of Salesforce's addresses. Every one
 * returns 0, or a negative errno with the path and the sentence in the reader's diag.
 */
#ifndef FENCE_POLICY_READ_H
#define FENCE_POLICY_READ_H

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

struct reader {
	struct fence_policy *p;
	struct fence_diag *d;
	struct fence_policy_allows *allows; /* one a tool */
};

#define REFUSE(r, path, ...) fence_diag_set((r)->d, -EINVAL, path, __VA_ARGS__)

/* Only the listed keys, each once. `keys` is a comma list with a comma at both ends. */
int fence_read_keys(struct reader *r, const cJSON *obj, const char *path, const char *keys);
int fence_read_str(struct reader *r, const cJSON *v, const char *path, char *out, size_t size);
int fence_read_int(struct reader *r, const cJSON *v, const char *path, long min, long max,
		   long *out);
int fence_read_bool(struct reader *r, const cJSON *v, const char *path, int *out);
/* A choice between two words: *out is 1 for `yes`. */
int fence_read_word(struct reader *r, const cJSON *v, const char *path, const char *no,
		    const char *yes, int *out);
int fence_read_list(struct reader *r, const cJSON *v, const char *path,
		    int max); /* 1..max entries */
int fence_read_label(struct reader *r, const cJSON *v, const char *path, char *out, size_t size);
int fence_read_extension(const char *text, char out[33]); /* the 32 letters of its origin */
int fence_read_exe(struct reader *r, const cJSON *v, const char *path, char *out,
		   size_t size); /* a program's path */
int fence_read_ranges(struct reader *r, const cJSON *v); /* $.org.ip_ranges */
int fence_read_unix(struct reader *r, const cJSON *v, const char *path,
		    struct fence_policy_tool *t);
int fence_read_tool(struct reader *r, const cJSON *v, size_t index); /* $.tools[index] */

#endif
