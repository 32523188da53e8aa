// SPDX-License-Identifier: Apache-2.0
/* $.browser: which extensions it is about. */
#include "policy/read.h"

/* Is it an add-on's id of Firefox: name@domain, or a GUID in braces? */
static int is_addon(const char *s)
{
	size_t n = strlen(s);

	return n >= 3 && n < FENCE_ADDON_MAX && strpbrk(s, "@{") &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789@{}._-") == n;
}

/* The first 32 letters a to p in a row, which an extension's address or page has in it; NULL: none.
 */
static const char *extension_in(const char *s)
{
	size_t n;

	for (; *s; s += n ? n : 1) {
		n = strspn(s, "abcdefghijklmnop");
		if (n == 32)
			return s;
	}
	return NULL;
}

static void read_addons(struct reader *r, const cJSON *list)
{
	const char *text;
	const cJSON *e;
	char path[64];
	size_t i = 0;

	if (fence_read_list(r, list, "$.browser.addons", FENCE_POLICY_MATCHES) < 0)
		return;
	cJSON_ArrayForEach (e, list) {
		snprintf(path, sizeof(path), "$.browser.addons[%zu]", i++);
		text = cJSON_IsString(e) ? e->valuestring : "";
		if (is_addon(text))
			snprintf(r->p->addons[r->p->naddons++], FENCE_ADDON_MAX, "%s", text);
		else
			REFUSE(r, path, "must be an add-on's id, name@domain or a GUID in braces%s",
			       extension_in(text)
				       ? "; this is one of Chromium's: it goes into \"extensions\""
				       : ": about:debugging in Firefox shows it");
	}
}

static void read_extensions(struct reader *r, const cJSON *list)
{
	const char *text, *in;
	const cJSON *e;
	char path[64];
	size_t i = 0;

	if (fence_read_list(r, list, "$.browser.extensions", FENCE_POLICY_MATCHES) < 0)
		return;
	cJSON_ArrayForEach (e, list) {
		snprintf(path, sizeof(path), "$.browser.extensions[%zu]", i++);
		text = cJSON_IsString(e) ? e->valuestring : "";
		in = extension_in(text);
		if (in && strlen(text) == 32)
			fence_read_extension(text, r->p->extensions[r->p->nextensions++]);
		else if (in)
			REFUSE(r, path, "must be an extension's id alone; write \"%.32s\"", in);
		else
			REFUSE(r, path, "must be an extension's id, 32 letters a to p%s",
			       is_addon(text)
				       ? "; this is an add-on of Firefox: it goes into \"addons\""
				       : ": chrome://extensions shows it");
	}
}

void fence_read_browser(struct reader *r, const cJSON *v)
{
	const cJSON *addons, *extensions;

	if (fence_read_keys(r, v, "$.browser", ",extensions,addons,") < 0)
		return;
	addons = cJSON_GetObjectItemCaseSensitive(v, "addons");
	extensions = cJSON_GetObjectItemCaseSensitive(v, "extensions");
	if (addons)
		read_addons(r, addons);
	if (extensions || !addons)
		read_extensions(r, extensions);
}
