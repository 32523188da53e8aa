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
		return REFUSE(r, path, "is too wide to be one company's%s", AGAIN);
	if (p->nranges >= FENCE_RANGE_MAX)
		return REFUSE(r, path, "is more than %d networks%s", FENCE_RANGE_MAX, AGAIN);
	to = realloc(p->ranges, (p->nranges + 1) * sizeof(*to));
	if (!to)
		return REFUSE(r, path, "no memory");
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

/* Mistakes from here on are the file's; of one that is not Salesforce's the first will do. */
static int range_file(struct reader *r)
{
	__attribute__((cleanup(json_free))) cJSON *json = NULL;
	AUTO_BUF struct fence_buf text = { 0 };
	const cJSON *list, *e;
	size_t i = 0;
	int err = fence_buf_read_file(&text, r->source.file, FENCE_RANGES_BYTES);

	if (err < 0)
		return REFUSE(r, NULL, "cannot be read: %s%s", strerror(-err), AGAIN);
	SHA256((const unsigned char *)fence_buf_text(&text), text.len, r->p->ranges_sha);
	json = cJSON_ParseWithLength(fence_buf_text(&text), text.len);
	r->source.json = json;
	r->source.text = fence_buf_text(&text);
	list = cJSON_GetObjectItemCaseSensitive(json, "prefixes");
	if (!cJSON_IsArray(list))
		return REFUSE(r, "$.prefixes",
			      "must be a list; Salesforce's ip-ranges.json has one%s", AGAIN);
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
	struct fence_read_source policy = r->source;
	const char *path = "$.org.ip_ranges";
	const cJSON *k = v, *outside = NULL;
	char name[256];
	int err;

	if (!cJSON_IsString(v)) {
		if (fence_read_keys(r, v, path, ",file,outside,") < 0)
			return -EINVAL;
		path = "$.org.ip_ranges.file";
		k = cJSON_GetObjectItemCaseSensitive(v, "file");
		outside = cJSON_GetObjectItemCaseSensitive(v, "outside");
	}
	if (outside)
		fence_read_word(r, outside, "$.org.ip_ranges.outside", "deny", "alert",
				&r->p->ranges_tell);
	if (fence_read_str(r, k, path, name, sizeof(name)) < 0 || range_path(r, name, path) < 0)
		return -EINVAL;
	r->source = (struct fence_read_source){ .file = r->p->ranges_file };
	err = range_file(r);
	r->source = policy;
	return err;
}
