// SPDX-License-Identifier: Apache-2.0
#include "wire/native.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsString(v) ? v->valuestring : "";
}

/* "chrome-extension://<32 letters>/": no wildcard, as in a browser. */
static int origin(struct fence_native *m, const char *text)
{
	static const char scheme[] = "chrome-extension://";
	const char *id = text + sizeof(scheme) - 1;

	if (strncmp(text, scheme, sizeof(scheme) - 1) || strspn(id, "abcdefghijklmnop") != 32 ||
	    strcmp(id + 32, "/"))
		return -EINVAL;
	if (m->count == FENCE_NATIVE_ORIGINS)
		return -EINVAL;
	snprintf(m->extensions[m->count++], 33, "%.32s", id);
	return 0;
}

static int read_manifest(const cJSON *o, struct fence_native *m)
{
	const cJSON *origins = cJSON_GetObjectItemCaseSensitive(o, "allowed_origins"), *e;
	const char *name = text_of(o, "name"), *path = text_of(o, "path");
	size_t n = strlen(name);

	if (!cJSON_IsArray(origins) || strcmp(text_of(o, "type"), "stdio") || !n ||
	    n >= sizeof(m->name) || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.") != n ||
	    path[0] != '/' || strlen(path) >= sizeof(m->path))
		return -EINVAL;
	memcpy(m->name, name, n + 1);
	memcpy(m->path, path, strlen(path) + 1);
	cJSON_ArrayForEach (e, origins)
		if (!cJSON_IsString(e) || origin(m, e->valuestring))
			return -EINVAL;
	return 0;
}

int fence_wire_native(const char *text, size_t len, struct fence_native *m)
{
	cJSON *o = len <= FENCE_NATIVE_BYTES ? cJSON_ParseWithLength(text, len) : NULL;
	int err;

	memset(m, 0, sizeof(*m));
	err = cJSON_IsObject(o) ? read_manifest(o, m) : -EINVAL;
	cJSON_Delete(o);
	if (err)
		memset(m, 0, sizeof(*m));
	return err;
}

int fence_wire_native_for(const struct fence_native *m, const char *extension)
{
	size_t i;

	for (i = 0; i < m->count; i++)
		if (!strcmp(m->extensions[i], extension))
			return 1;
	return 0;
}
