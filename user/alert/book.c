// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "alert/alert.h"

struct fence_alert_open *fence_alert_find(struct fence_alert_book *b, struct fence_alert_key *key,
					  uint64_t now)
{
	struct fence_alert_open *o, *any = NULL;
	unsigned int of_tool = 0;
	struct fence_alert_key bare = *key;

	bare.program = 0;
	for (o = b->open; o < b->open + FENCE_ALERT_OPEN; o++) {
		if (!o->last || now > o->last + FENCE_ALERT_QUIET_NS)
			continue;
		if (!memcmp(&o->key, key, sizeof(*key)))
			return o;
		if (!memcmp(&o->key, &bare, sizeof(bare)))
			any = o;
		of_tool += o->key.tool == key->tool;
	}
	if (of_tool < FENCE_ALERT_OPEN_TOOL)
		return NULL;
	*key = bare;
	return any;
}

struct fence_alert_open *fence_alert_place(struct fence_alert_book *b)
{
	struct fence_alert_open *o, *oldest = b->open;

	for (o = b->open; o < b->open + FENCE_ALERT_OPEN; o++)
		if (o->last < oldest->last)
			oldest = o;
	return oldest;
}

void fence_alert_begin(struct fence_alert_open *o, const struct fence_alert_key *key, uint64_t now)
{
	memset(o, 0, sizeof(*o));
	o->key = *key;
	o->last = now;
}
