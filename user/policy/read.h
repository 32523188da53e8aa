/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's own parts: read.c has the pieces and the top, read_org.c the org, read_browser.c the
 * browser, read_tool.c one tool, read_unix.c its Unix sockets, ranges.c the file of Salesforce's
 * addresses, refuse.c where and how a mistake is told, syntax.c what is no JSON, meant.c what was
 * probably meant.
 *
 * All mistakes are told at once. So a reader tells each with REFUSE and goes on with the next key
 * or entry; it returns -EINVAL when what it read cannot be used, which matters only to who needs
 * it. A policy with one mistake told is refused (reader.e->count), whatever was returned.
 */
#ifndef FENCE_POLICY_READ_H
#define FENCE_POLICY_READ_H

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* What paths are paths of. All borrowed. */
struct fence_read_source {
	const char *file;
	const char *text; /* NULL: no place can be told */
	cJSON *json; /* of `text`; its children stand in the text's order */
};

struct reader {
	struct fence_policy *p;
	struct fence_policy_errors *e;
	struct fence_policy_allows *allows; /* one a tool */
	struct fence_read_source source;
	int org; /* there is an org, right or wrong */
};

/*
 * Tell a mistake: its place and value are looked up by `path`. What is not there is told as
 * missing, at the object that should have it. What an earlier mistake, at that path or inside it,
 * has led to is not told again. Returns -EINVAL.
 */
int fence_read_refuse(struct reader *r, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define REFUSE(r, path, ...) fence_read_refuse(r, path, __VA_ARGS__)
/* The same of the key that `path` ends with, whatever its value. */
int fence_read_refuse_key(struct reader *r, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, for who has found the place: put it in the order of places. Returns -EINVAL. */
int fence_read_tell(struct reader *r, struct fence_diag *d);

/*
 * Line, column and value of what stands at `path`, or of its key, and no value. 0: nothing does,
 * and the place is that of what is around it.
 */
int fence_read_place(const struct fence_read_source *s, const char *path, int at_key,
		     struct fence_diag *d);
void fence_read_line(const char *text, const char *at, struct fence_diag *d);

/* What stands at `s`, to its end or at most 60 characters, with what a terminal would not show as
 * \u escapes. `whole`: up to the end of the JSON value, else of the line. */
void fence_read_value(const char *s, int whole, char out[256]);

/* The first character that does not show, or turns what stands around it; 0: none. */
unsigned int fence_read_hidden(const char *s);

/* Tell what is wrong with text that cJSON has refused at `end`. */
int fence_read_syntax(struct reader *r, const char *text, const char *end);

/*
 * The word of a comma list (a comma at both ends) that `word` is a slip of the pen for, *len octets
 * long; NULL: none.
 */
const char *fence_read_near(const char *word, const char *list, size_t *len);

/*
 * meant.c. Each: 0 and what was probably meant; -EINVAL: no idea, `out` is empty. `out` is never
 * the text itself.
 */
#define FENCE_MEANT 300
/* A host: of a URL, with a port (*port, else 0), in capitals, with a final dot, in other letters.
 */
int fence_meant_host(const char *text, char out[FENCE_MEANT], unsigned int *port);
int fence_meant_label(const char *text, char out[FENCE_MEANT]); /* a My Domain, a tool's name */
int fence_meant_net(const char *text, char out[FENCE_MEANT]); /* host bits, no bits, a mask */
/* "; write [ ... ]" for what should be a list, "" for what cannot be. */
void fence_meant_list(const cJSON *v, char out[FENCE_MEANT]);

/* Only the listed keys, each once. `keys` is a comma list with a comma at both ends. A slip of the
 * pen is told, and taken for the key that it was meant to be. */
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
/* Lower-case letters, digits and inner hyphens, up to 40 octets. -EINVAL: other text; `out` has it.
 */
int fence_read_label(struct reader *r, const cJSON *v, const char *path, char *out, size_t size);
int fence_read_extension(const char *text, char out[33]); /* the 32 letters of its origin */
int fence_read_exe(struct reader *r, const cJSON *v, const char *path, char *out,
		   size_t size); /* a program's path */
void fence_read_org(struct reader *r, const cJSON *v); /* $.org */
void fence_read_browser(struct reader *r, const cJSON *v); /* $.browser */
int fence_read_ranges(struct reader *r, const cJSON *v); /* $.org.ip_ranges */
int fence_read_unix(struct reader *r, const cJSON *v, const char *path,
		    struct fence_policy_tool *t);
void fence_read_tool(struct reader *r, const cJSON *v, size_t index); /* $.tools[index] */

void fence_lint_matches(struct reader *r); /* match.c: $.tools[].match */
/* Lint and lay out what was read; mistakes are told. */
void fence_policy_compile(struct reader *r);

#endif
