// SPDX-License-Identifier: Apache-2.0
/*
 * "ip_ranges": the file in which Salesforce publishes its addresses (ip-ranges.json), read as it
 * is:
 *
 *   { "prefixes": [ { "ip_prefix": "a.b.c.d/n" or [ "a.b.c.d/n", ... ], ... }, ... ], ... }
 *
 * Other keys are Salesforce's own business. A file that is not exactly understood is refused, and
 * the policy with it.
 */
#include <openssl/sha.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "policy/read.h"

#define AGAIN "; take the file anew from Salesforce, or leave \"ip_ranges\" out"

static void json_free(cJSON **j)
{
	cJSON_Delete(*j);
}

/* Its path, from the policy's own directory. */
static int range_path(struct reader *r, const char *name, const char *path)
{
	const char *slash = strrchr(r->p->file, '/');
	int n = snprintf(r->p->ranges_file, sizeof(r->p->ranges_file), "%.*s%s",
			 *name != '/' && slash ? (int)(slash + 1 - r->p->file) : 0, r->p->file,
			 name);

	if (n >= (int)sizeof(r->p->ranges_file))
		return REFUSE(r, path, "is too long a path; put the file beside the policy");
	return 0;
}

static int range_add(struct reader *r, const cJSON *v, const char *path)
{
	struct fence_policy *p = r->p;
	struct fence_policy_range *to;
	unsigned int bits = 0;
	uint8_t addr[16];

	if (!cJSON_IsString(v) || fence_addr_parse_net(v->valuestring, addr, &bits))
		return REFUSE(r, path, "must be a network, address/bits with no host bits set%s",
			      AGAIN);
	if (bits < (fence_addr_is_v4(addr) ? 96 + 8 : 16) ||
	    (!fence_addr_is_v4(addr) && !addr[0] && !addr[1])) /* ::/80 has all of IPv4 */
		return REFUSE(r, path, "\"%s\" is too wide to be one company's%s", v->valuestring,
			      AGAIN);
	if (p->nranges >= FENCE_RANGE_MAX)
		return REFUSE(r, path, "is more than %d networks%s", FENCE_RANGE_MAX, AGAIN);
	to = realloc(p->ranges, (p->nranges + 1) * sizeof(*to));
	if (!to)
		return -ENOMEM;
	p->ranges = to;
	memcpy(to[p->nranges].addr, addr, 16);
	to[p->nranges++].bits = bits;
	return 0;
}

static int range_entry(struct reader *r, const cJSON *v, size_t index)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "ip_prefix"), *e;
	char path[64];
	size_t i = 0;
	int err = 0;

	snprintf(path, sizeof(path), "$.prefixes[%zu].ip_prefix", index);
	if (!cJSON_IsArray(list))
		return range_add(r, list, path);
	cJSON_ArrayForEach (e, list) {
		snprintf(path, sizeof(path), "$.prefixes[%zu].ip_prefix[%zu]", index, i++);
		err = range_add(r, e, path);
		if (err < 0)
			break;
	}
	return err;
}

/* Errors from here on are the file's. */
static int range_file(struct reader *r)
{
	__attribute__((cleanup(json_free))) cJSON *json = NULL;
	AUTO_BUF struct fence_buf text = { 0 };
	const char *file = r->p->ranges_file;
	const cJSON *list, *e;
	size_t i = 0;
	int err = fence_buf_read_file(&text, file, FENCE_RANGES_BYTES);

	if (r->d)
		snprintf(r->d->file, sizeof(r->d->file), "%s", file);
	if (err < 0)
		return fence_diag_set(r->d, err, NULL, "cannot be read: %s%s", strerror(-err),
				      AGAIN);
	SHA256((const unsigned char *)fence_buf_text(&text), text.len, r->p->ranges_sha);
	json = cJSON_ParseWithLength(fence_buf_text(&text), text.len);
	list = cJSON_GetObjectItemCaseSensitive(json, "prefixes");
	if (!cJSON_IsArray(list))
		return REFUSE(r, "$.prefixes", "is no list; Salesforce's ip-ranges.json has one%s",
			      AGAIN);
	cJSON_ArrayForEach (e, list) {
		err = range_entry(r, e, i++);
		if (err < 0)
			return err;
	}
	if (!r->p->nranges)
		return REFUSE(r, "$.prefixes", "has no network%s", AGAIN);
	return 0;
}

/* "FILE", or { "file": FILE, "outside": "deny" | "alert" } */
int fence_read_ranges(struct reader *r, const cJSON *v)
{
	const char *path = "$.org.ip_ranges";
	char policy[sizeof(r->d->file)], name[256];
	const cJSON *k, *outside = NULL;
	int err = 0;

	k = v;
	if (!cJSON_IsString(v)) {
		err = fence_read_keys(r, v, path, ",file,outside,");
		path = "$.org.ip_ranges.file";
		k = cJSON_GetObjectItemCaseSensitive(v, "file");
		outside = cJSON_GetObjectItemCaseSensitive(v, "outside");
	}
	if (err >= 0)
		err = fence_read_str(r, k, path, name, sizeof(name));
	if (err >= 0 && outside)
		err = fence_read_word(r, outside, "$.org.ip_ranges.outside", "deny", "alert",
				      &r->p->ranges_tell);
	if (err >= 0)
		err = range_path(r, name, path);
	if (err < 0)
		return err;
	if (r->d)
		snprintf(policy, sizeof(policy), "%s", r->d->file);
	err = range_file(r);
	if (err >= 0 && r->d)
		snprintf(r->d->file, sizeof(r->d->file), "%s", policy);
	return err;
}
