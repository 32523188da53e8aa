// SPDX-License-Identifier: Apache-2.0
#include "wire/extension.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Strings of an array that look like match patterns; names of permissions do not. */
static void patterns(const cJSON *list, struct fence_buf *out)
{
	const cJSON *v;
	int n = 0;

	cJSON_ArrayForEach (v, list)
		if (cJSON_IsString(v) && n++ < FENCE_EXTENSION_PATTERNS &&
		    (strstr(v->valuestring, "://") || !strcmp(v->valuestring, "<all_urls>")))
			fence_buf_add(out, v->valuestring, strlen(v->valuestring) + 1);
}

int fence_wire_extension(const char *text, size_t len, struct fence_extension *e)
{
	char *copy = len <= FENCE_EXTENSION_BYTES ? strndup(text, len) : NULL;
	static const char *const hosts[] = { "host_permissions", "optional_host_permissions",
					     "permissions", "optional_permissions" };
	static const char all[] = "<all_urls>";
	const cJSON *scripts, *key, *v;
	cJSON *o;
	size_t i;
	int n = 0;

	memset(e, 0, sizeof(*e));
	if (!copy)
		return -EINVAL;
	cJSON_Minify(copy); /* takes comments away */
	o = cJSON_Parse(copy);
	free(copy);
	if (!cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(o, "manifest_version"))) {
		cJSON_Delete(o);
		return -EINVAL;
	}
	for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		patterns(cJSON_GetObjectItemCaseSensitive(o, hosts[i]), &e->hosts);
	cJSON_ArrayForEach (v, cJSON_GetObjectItemCaseSensitive(o, "permissions"))
		if (cJSON_IsString(v) && !strcmp(v->valuestring, "activeTab"))
			fence_buf_add(&e->hosts, all, sizeof(all)); /* the tab's, when clicked */
	cJSON_ArrayForEach (scripts, cJSON_GetObjectItemCaseSensitive(o, "content_scripts"))
		if (n++ < FENCE_EXTENSION_PATTERNS)
			patterns(cJSON_GetObjectItemCaseSensitive(scripts, "matches"), &e->scripts);
	key = cJSON_GetObjectItemCaseSensitive(o, "key");
	if (cJSON_IsString(key))
		fence_buf_str(&e->key, key->valuestring);
	cJSON_Delete(o);
	return 0;
}

void fence_wire_extension_done(struct fence_extension *e)
{
	fence_buf_done(&e->hosts);
	fence_buf_done(&e->scripts);
	fence_buf_done(&e->key);
}

/* scheme "://" host "/" path, where the host may be "*" or begin with "*." */
static int covers(const char *p, const char *host)
{
	const char *at = strstr(p, "://");
	size_t scheme = at ? (size_t)(at - p) : 0, n, m = strlen(host);

	if (!strcmp(p, "<all_urls>"))
		return 1;
	if (!at || !((scheme == 1 && *p == '*') || (scheme == 5 && !strncmp(p, "https", 5))))
		return 0;
	at += 3;
	n = strcspn(at, "/:");
	if (n == 1 && *at == '*')
		return 1;
	if (n > 2 && !strncmp(at, "*.", 2)) {
		at += 2;
		n -= 2;
		return m >= n && !strncasecmp(host + m - n, at, n) &&
		       (m == n || host[m - n - 1] == '.');
	}
	return n == m && !strncasecmp(at, host, n);
}

int fence_wire_covers(const struct fence_buf *list, const char *host)
{
	const char *p = fence_buf_text(list), *end = p + list->len;

	for (; p < end; p += strlen(p) + 1)
		if (covers(p, host))
			return 1;
	return 0;
}

void fence_wire_installed(const char *prefs, size_t len,
			  void (*each)(void *ctx, const char *id, const char *dir,
				       const char *manifest),
			  void *ctx)
{
	cJSON *o = cJSON_ParseWithLength(prefs, len);
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(
			    cJSON_GetObjectItemCaseSensitive(o, "extensions"), "settings"),
		    *v, *dir, *manifest;
	char *text;

	cJSON_ArrayForEach (v, list) {
		dir = cJSON_GetObjectItemCaseSensitive(v, "path");
		manifest = cJSON_GetObjectItemCaseSensitive(v, "manifest");
		text = cJSON_IsObject(manifest) ? cJSON_PrintUnformatted(manifest) : NULL;
		if (v->string)
			each(ctx, v->string,
			     cJSON_IsString(dir) && *dir->valuestring == '/' ? dir->valuestring
									     : NULL,
			     text);
		cJSON_free(text);
	}
	cJSON_Delete(o);
}

/* user_pref("extensions.webextensions.uuids", "{\"ID\":\"UUID\",...}"); */
void fence_wire_addons(const char *prefs, void (*each)(void *ctx, const char *id, const char *uuid),
		       void *ctx)
{
	static const char name[] = "\"extensions.webextensions.uuids\", ";
	const char *at = strstr(prefs, name), *end = at ? strchr(at, '\n') : NULL;
	const cJSON *v;
	cJSON *text, *o;

	if (!at)
		return;
	at += sizeof(name) - 1;
	for (end = end ? end : at + strlen(at); end > at && *end != ')'; end--)
		;
	text = cJSON_ParseWithLength(at, (size_t)(end - at)); /* a string, escaped as JSON is */
	o = cJSON_IsString(text) ? cJSON_Parse(text->valuestring) : NULL;
	cJSON_ArrayForEach (v, o)
		if (cJSON_IsString(v) && v->string)
			each(ctx, v->string, v->valuestring);
	cJSON_Delete(o);
	cJSON_Delete(text);
}
