// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "alert/alert.h"

#define EACH FENCE_ALERT_EACH
#define BY_KIND FENCE_ALERT_BY_KIND
#define BY_PLACE FENCE_ALERT_BY_PLACE

static const struct fence_alert_kind kinds[] = {
#define ALERT(id, name_, severity_, keys_, trigger_, remedy_) \
	[FENCE_ALERT_##id] = { .rule = #id, \
			       .name = name_, \
			       .severity = severity_, \
			       .trigger = trigger_, \
			       .remedy = remedy_, \
			       .keys = keys_ },
#include "alert/alerts.def"
#undef ALERT
};

const struct fence_alert_kind *fence_alert_kind(enum fence_alert alert)
{
	return &kinds[alert < FENCE_ALERT_MAX ? alert : FENCE_ALERT_E001];
}

const struct fence_alert_kind *fence_alert_by_rule(const char *rule)
{
	int i;

	for (i = 0; i < FENCE_ALERT_MAX; i++)
		if (!strcmp(kinds[i].rule, rule))
			return &kinds[i];
	return NULL;
}
