/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of the org's records as fingerprints, and a search for them in what leaves. A value is not
 * kept: what is kept of it are two keyed hashes, its length, the id of its record and the name of
 * its field. The key is the caller's, of this run; nothing of it goes to disk.
 *
 * Kept are strings and numbers of FENCE_VALUE_MIN octets and more, but for ids, times, URLs and
 * single words, which everybody writes. The oldest go first.
 */
#ifndef FENCE_CRM_VALUES_H
#define FENCE_CRM_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "crm/action.h"

#define FENCE_VALUE_MIN 12
#define FENCE_VALUE_MAX 4096 /* of a longer one, its beginning */
#define FENCE_VALUES 131072 /* values kept, 9 MiB */
#define FENCE_VALUE_FIELDS 4096 /* names of fields; others' values are said to be in "?" */

struct fence_values;

struct fence_value_hit {
	char id[FENCE_CRM_ID]; /* empty: its record had none */
	char field[FENCE_ACTION_NAME];
};

struct fence_values *fence_values_new(const uint8_t key[16]); /* NULL: no memory */
void fence_values_free(struct fence_values *v); /* NULL is fine */

/*
 * What an answer of the org holds: JSON as REST, UI API, GraphQL and Aura give it, or CSV with a
 * header as Bulk does. Returns how many values are new.
 */
unsigned int fence_values_learn(struct fence_values *v, const char *text, size_t len);

/* One value whatever it is, FENCE_VALUE_MIN octets at the least. */
void fence_values_add(struct fence_values *v, const char *value, const char *field);

/*
 * Which of them are in `data`: as they are, URL-encoded, JSON-escaped or in base64. Each (id,
 * field) once, `most` at most; returns how many there were.
 */
size_t fence_values_search(struct fence_values *v, const void *data, size_t len,
			   struct fence_value_hit *hits, size_t most);

#endif
