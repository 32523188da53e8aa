// SPDX-License-Identifier: Apache-2.0
/*
 * JSON to policy. Everything that is not exactly understood is refused, with the JSON path and what
 * to write instead.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <openssl/sha.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "crm/action.h"
#include "crm/values.h"
#include "policy/compile.h"
#include "policy/read.h"

static void json_free(cJSON **j)
{
	cJSON_Delete(*j);
}

/* Only the listed keys, each once. `keys` is a comma list with a comma at both ends. */
int fence_read_keys(struct reader *r, const cJSON *obj, const char *path, const char *keys)
{
	const cJSON *a, *b;
	char probe[80];

	if (!cJSON_IsObject(obj))
		return REFUSE(r, path, "must be an object, { ... }");
	cJSON_ArrayForEach (a, obj) {
		snprintf(probe, sizeof(probe), ",%.64s,", a->string);
		if (strchr(a->string, ',') || !strstr(keys, probe))
			return REFUSE(r, path, "unknown key \"%.64s\"; known here: %.*s", a->string,
				      (int)strlen(keys) - 2, keys + 1);
		for (b = a->next; b; b = b->next)
			if (!strcmp(a->string, b->string))
				return REFUSE(r, path,
					      "the key \"%.64s\" stands here twice; keep one",
					      a->string);
	}
	return 0;
}

int fence_read_str(struct reader *r, const cJSON *v, const char *path, char *out, size_t size)
{
	if (!cJSON_IsString(v))
		return REFUSE(r, path, "must be a string");
	if (!v->valuestring[0])
		return REFUSE(r, path, "must not be empty");
	if (strlen(v->valuestring) >= size)
		return REFUSE(r, path, "is longer than %zu characters", size - 1);
	snprintf(out, size, "%s", v->valuestring);
	return 0;
}

int fence_read_int(struct reader *r, const cJSON *v, const char *path, long min, long max,
		   long *out)
{
	if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) ||
	    v->valuedouble < (double)min || v->valuedouble > (double)max)
		return REFUSE(r, path, "must be a whole number from %ld to %ld", min, max);
	*out = (long)v->valuedouble;
	return 0;
}

int fence_read_bool(struct reader *r, const cJSON *v, const char *path, int *out)
{
	if (!cJSON_IsBool(v))
		return REFUSE(r, path, "must be true or false");
	*out = cJSON_IsTrue(v);
	return 0;
}

int fence_read_list(struct reader *r, const cJSON *v, const char *path, int max)
{
	if (!cJSON_IsArray(v))
		return REFUSE(r, path, "must be a list, [ ... ]");
	if (!cJSON_GetArraySize(v))
		return REFUSE(r, path, "is an empty list; leave the key out, or list something");
	if (cJSON_GetArraySize(v) > max)
		return REFUSE(r, path, "has %d entries; at most %d fit", cJSON_GetArraySize(v),
			      max);
	return 0;
}

/* A choice between two words. */
int fence_read_word(struct reader *r, const cJSON *v, const char *path, const char *no,
		    const char *yes, int *out)
{
	if (!cJSON_IsString(v) || (strcmp(v->valuestring, no) && strcmp(v->valuestring, yes)))
		return REFUSE(r, path, "must be \"%s\" or \"%s\"", no, yes);
	*out = !strcmp(v->valuestring, yes);
	return 0;
}

/* A My Domain, sandbox or tool name: lower-case letters, digits, hyphens, not at an end. */
int fence_read_label(struct reader *r, const cJSON *v, const char *path, char *out, size_t size)
{
	int err = fence_read_str(r, v, path, out, size);
	size_t n, i;

	if (err < 0)
		return err;
	n = strlen(out);
	for (i = 0; i < n; i++)
		if (!((out[i] >= 'a' && out[i] <= 'z') || (out[i] >= '0' && out[i] <= '9') ||
		      (out[i] == '-' && i && i + 1 < n)))
			return REFUSE(r, path,
				      "\"%.60s\" has other than lower-case letters, digits and "
				      "inner hyphens; write it as the "
				      "first label of the host has it",
				      out);
	return 0;
}

/* Values, or ids, of records that nobody has a reason to take anywhere. */
static int read_honey(struct reader *r, const cJSON *v)
{
	int err = fence_read_list(r, v, "$.org.honey", FENCE_POLICY_HONEY);
	const cJSON *e;
	char path[48];

	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, v) {
		snprintf(path, sizeof(path), "$.org.honey[%zu]", r->p->nhoney);
		err = fence_read_str(r, e, path, r->p->honey[r->p->nhoney], FENCE_HONEY_MAX);
		if (err < 0)
			return err;
		if (strlen(r->p->honey[r->p->nhoney]) < FENCE_VALUE_MIN)
			return REFUSE(r, path,
				      "is too short: others write the same; %d characters at the "
				      "least",
				      FENCE_VALUE_MIN);
		r->p->nhoney++;
	}
	return 0;
}

static int uid_of(const char *name, uint32_t *uid)
{
	AUTO_FILE FILE *f = NULL;
	const struct passwd *user;
	unsigned long n;
	char *end;

	n = strtoul(name, &end, 10);
	if (*name && !*end && n < UINT32_MAX) {
		*uid = (uint32_t)n;
		return 0;
	}
	f = fopen("/etc/passwd", "re");
	while (f && (user = fgetpwent(f)))
		if (!strcmp(user->pw_name, name)) {
			*uid = user->pw_uid;
			return 0;
		}
	return -ENOENT;
}

/* { "jane": "005...", "1001": "005..." } */
static int read_users(struct reader *r, const cJSON *v)
{
	struct fence_policy_user *u;
	const cJSON *e;
	char path[96];

	if (!cJSON_IsObject(v) || cJSON_GetArraySize(v) > FENCE_POLICY_USERS)
		return REFUSE(r, "$.org.users",
			      "must be an object, of Linux users and their Salesforce user ids, "
			      "%d at the most",
			      FENCE_POLICY_USERS);
	cJSON_ArrayForEach (e, v) {
		u = &r->p->users[r->p->nusers];
		snprintf(path, sizeof(path), "$.org.users.%.64s", e->string);
		if (!cJSON_IsString(e) || strncmp(e->valuestring, "005", 3) ||
		    !fence_crm_record_id(e->valuestring, strlen(e->valuestring)))
			return REFUSE(r, path,
				      "must be a Salesforce user's id: 005 and 12 more letters or "
				      "digits, or the 18 character form");
		snprintf(u->id, sizeof(u->id), "%s", e->valuestring);
		if (uid_of(e->string, &u->uid)) /* a fleet has one policy, and not each user */
			continue;
		r->p->nusers++;
	}
	return 0;
}

static int read_org(struct reader *r, const cJSON *v)
{
	struct fence_org *o = &r->p->org;
	const cJSON *k;
	char path[96];
	int err = fence_read_keys(r, v, "$.org",
				  ",my_domain,partition,sandboxes,org_ids,login_hosts,honey,users,"
				  "government,china,defender,ip_ranges,");

	if (err < 0)
		return err;
	k = cJSON_GetObjectItemCaseSensitive(v, "my_domain");
	if (!k)
		return REFUSE(r, "$.org",
			      "needs \"my_domain\": the first label of the org's own hosts");
	err = fence_read_label(r, k, "$.org.my_domain", o->my_domain, sizeof(o->my_domain));
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "partition"))) {
		err = fence_read_str(r, k, "$.org.partition", o->partition, sizeof(o->partition));
		if (err >= 0 && !fence_crm_partition_ok(o->partition))
			err = REFUSE(r, "$.org.partition",
				     "is none of sandbox, develop, scratch, demo, free, patch, "
				     "trailblaze");
	}
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "sandboxes"))) {
		err = fence_read_list(r, k, "$.org.sandboxes", FENCE_ORG_SANDBOXES);
		const cJSON *e;
		size_t i;

		if (err < 0)
			return err;
		cJSON_ArrayForEach (e, k) {
			snprintf(path, sizeof(path), "$.org.sandboxes[%zu]", o->nsandboxes);
			err = fence_read_label(r, e, path, o->sandboxes[o->nsandboxes],
					       sizeof(o->sandboxes[0]));
			if (err < 0)
				return err;
			for (i = 0; i < o->nsandboxes; i++)
				if (!strcmp(o->sandboxes[i], o->sandboxes[o->nsandboxes]))
					return REFUSE(r, path, "\"%s\" is listed twice",
						      o->sandboxes[i]);
			o->nsandboxes++;
		}
	}
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "org_ids"))) {
		err = fence_read_list(r, k, "$.org.org_ids", FENCE_ORG_IDS);
		const cJSON *e;

		if (err < 0)
			return err;
		cJSON_ArrayForEach (e, k) {
			snprintf(path, sizeof(path), "$.org.org_ids[%zu]", o->nids);
			err = fence_read_str(r, e, path, o->ids[o->nids], sizeof(o->ids[0]));
			if (err >= 0 && !fence_crm_org_id_ok(o->ids[o->nids]))
				err = REFUSE(r, path,
					     "is no organisation id: 00D and 12 more letters or "
					     "digits, or the 18 character form");
			if (err < 0)
				return err;
			o->nids++;
		}
	}
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "honey")))
		err = read_honey(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "users")))
		err = read_users(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "login_hosts")))
		err = fence_read_bool(r, k, "$.org.login_hosts", &o->login_hosts);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "government")))
		err = fence_read_bool(r, k, "$.org.government", &o->government);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "china")))
		err = fence_read_bool(r, k, "$.org.china", &o->china);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "defender")))
		err = fence_read_bool(r, k, "$.org.defender", &o->defender);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "ip_ranges")))
		err = fence_read_ranges(r, k);
	return err;
}

static int read_resolvers(struct reader *r, const cJSON *v)
{
	const cJSON *e;
	char path[64];
	int err;

	if (cJSON_IsString(v)) {
		if (strcmp(v->valuestring, "system"))
			return REFUSE(r, "$.resolvers",
				      "must be \"system\" or a list of addresses");
		r->p->resolvers_system = 1;
		return 0;
	}
	err = fence_read_list(r, v, "$.resolvers", FENCE_POLICY_RESOLVERS);
	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, v) {
		snprintf(path, sizeof(path), "$.resolvers[%zu]", r->p->nresolvers);
		if (!cJSON_IsString(e) ||
		    fence_addr_parse(e->valuestring, r->p->resolvers[r->p->nresolvers]))
			return REFUSE(r, path, "must be an IPv4 or IPv6 address in quotes");
		r->p->nresolvers++;
	}
	return 0;
}

static int read_proxies(struct reader *r, const cJSON *v)
{
	const cJSON *e;
	char path[64], sub[96];
	long port = 0;
	int err;

	if (cJSON_IsArray(v) && !cJSON_GetArraySize(v))
		return 0;
	err = fence_read_list(r, v, "$.proxies", FENCE_POLICY_PROXIES);
	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, v) {
		struct fence_policy_proxy *x = &r->p->proxies[r->p->nproxies];

		snprintf(path, sizeof(path), "$.proxies[%zu]", r->p->nproxies);
		err = fence_read_keys(r, e, path, ",host,port,tls,");
		if (err < 0)
			return err;
		if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(e, "tls")))
			return REFUSE(
				r, path,
				"a proxy that is spoken to inside TLS hides what it is asked "
				"for: give the port where it takes plain text (what is inside "
				"its tunnels is TLS)");
		snprintf(sub, sizeof(sub), "%s.host", path);
		err = fence_read_str(r, cJSON_GetObjectItemCaseSensitive(e, "host"), sub, x->host,
				     sizeof(x->host));
		if (err < 0)
			return err;
		snprintf(sub, sizeof(sub), "%s.port", path);
		err = fence_read_int(r, cJSON_GetObjectItemCaseSensitive(e, "port"), sub, 1, 65535,
				     &port);
		if (err < 0)
			return err;
		x->port = (uint16_t)port;
		x->is_addr = !fence_addr_parse(x->host, x->addr);
		r->p->nproxies++;
	}
	return 0;
}

/* name@domain, or a GUID in braces. */
static int read_addons(struct reader *r, const cJSON *list)
{
	const cJSON *e;
	char path[64];
	size_t n;
	int err = fence_read_list(r, list, "$.browser.addons", FENCE_POLICY_MATCHES);

	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, list) {
		snprintf(path, sizeof(path), "$.browser.addons[%zu]", r->p->naddons);
		n = cJSON_IsString(e) ? strlen(e->valuestring) : 0;
		if (n < 3 || n >= FENCE_ADDON_MAX || !strpbrk(e->valuestring, "@{") ||
		    strspn(e->valuestring, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789@{}._-") != n)
			return REFUSE(r, path,
				      "must be an add-on's id: name@domain, or a GUID in braces");
		memcpy(r->p->addons[r->p->naddons++], e->valuestring, n + 1);
	}
	return 0;
}

static int read_browser(struct reader *r, const cJSON *v)
{
	const cJSON *list, *e;
	char path[64];
	int err = fence_read_keys(r, v, "$.browser", ",extensions,addons,");

	if (err < 0)
		return err;
	list = cJSON_GetObjectItemCaseSensitive(v, "addons");
	err = list ? read_addons(r, list) : 0;
	list = cJSON_GetObjectItemCaseSensitive(v, "extensions");
	if (err < 0 || (!list && r->p->naddons))
		return err;
	err = fence_read_list(r, list, "$.browser.extensions", FENCE_POLICY_MATCHES);
	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, list) {
		snprintf(path, sizeof(path), "$.browser.extensions[%zu]", r->p->nextensions);
		if (!cJSON_IsString(e) || strlen(e->valuestring) != 32 ||
		    fence_read_extension(e->valuestring, r->p->extensions[r->p->nextensions]))
			return REFUSE(r, path, "must be an extension id: 32 letters a to p");
		r->p->nextensions++;
	}
	return 0;
}

static int read_ttl(struct reader *r, const cJSON *v)
{
	const cJSON *k;
	int err = fence_read_keys(r, v, "$.ttl", ",floor,ceiling,");

	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "floor")))
		err = fence_read_int(r, k, "$.ttl.floor", 1, 3600, &r->p->ttl_floor);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "ceiling")))
		err = fence_read_int(r, k, "$.ttl.ceiling", 1, 86400, &r->p->ttl_ceiling);
	if (err >= 0 && r->p->ttl_floor > r->p->ttl_ceiling)
		err = REFUSE(r, "$.ttl", "the floor is above the ceiling");
	return err;
}

static int read_dns(struct reader *r, const cJSON *v)
{
	const cJSON *k;
	int err = fence_read_keys(r, v, "$.dns", ",distinct,");

	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "distinct")))
		err = fence_read_int(r, k, "$.dns.distinct", 10, 100000, &r->p->distinct);
	return err;
}

static int read_top(struct reader *r, const cJSON *top)
{
	const cJSON *k, *e;
	long version = 0;
	int err =
		fence_read_keys(r, top, "$",
				",crmfence,name,mode,org,tools,browser,resolvers,proxies,quic,ttl,"
				"heartbeat,dns,unseen_days,");

	if (err < 0)
		return err;
	err = fence_read_int(r, cJSON_GetObjectItemCaseSensitive(top, "crmfence"), "$.crmfence", 1,
			     1, &version);
	if (err >= 0)
		err = fence_read_str(r, cJSON_GetObjectItemCaseSensitive(top, "name"), "$.name",
				     r->p->name, sizeof(r->p->name));
	k = cJSON_GetObjectItemCaseSensitive(top, "mode");
	if (err >= 0)
		err = fence_read_word(r, k, "$.mode", "enforce", "monitor", &r->p->monitor);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "quic")))
		err = fence_read_word(r, k, "$.quic", "deny", "allow", &r->p->quic_allow);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "org")))
		err = read_org(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "browser")))
		err = read_browser(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "ttl")))
		err = read_ttl(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "heartbeat")))
		err = fence_read_int(r, k, "$.heartbeat", 2, 3600, &r->p->heartbeat);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "unseen_days")))
		err = fence_read_int(r, k, "$.unseen_days", 1, 365, &r->p->unseen_days);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "dns")))
		err = read_dns(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "resolvers")))
		err = read_resolvers(r, k);
	else
		r->p->resolvers_system = 1;
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "proxies")))
		err = read_proxies(r, k);
	if (err < 0)
		return err;
	k = cJSON_GetObjectItemCaseSensitive(top, "tools");
	if (!k)
		return REFUSE(r, "$", "needs \"tools\": the AI tools to confine");
	err = fence_read_list(r, k, "$.tools", FENCE_TOOL_MAX);
	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, k) {
		err = fence_read_tool(r, e, r->p->ntools);
		if (err < 0)
			return err;
		r->p->ntools++;
	}
	return 0;
}

/* cJSON says only where it stopped; a person wants the line. */
static int refuse_json(struct reader *r, const char *text, const char *end)
{
	unsigned int line = 1, column = 1;
	const char *s;

	for (s = text; s < end && *s; s++) {
		column++;
		if (*s == '\n') {
			line++;
			column = 1;
		}
	}
	return REFUSE(r, NULL,
		      "line %u, column %u: not JSON from here on; JSON has no comments and no "
		      "comma before a closing bracket",
		      line, column);
}

/* The policy's own, unless it reads another file. */
static void policy_digest(struct fence_policy *p)
{
	uint8_t both[64];

	memcpy(p->digest, p->sha, 32);
	if (!p->ranges_file[0])
		return;
	memcpy(both, p->sha, 32);
	memcpy(both + 32, p->ranges_sha, 32);
	SHA256(both, sizeof(both), p->digest);
}

int fence_policy_parse(const char *text, size_t len, const char *file, struct fence_policy **ret,
		       struct fence_diag *d)
{
	struct fence_policy_allows allows[FENCE_TOOL_MAX] = { 0 };
	__attribute__((cleanup(json_free))) cJSON *json = NULL;
	struct reader r = { .d = d, .allows = allows };
	const char *end = NULL;
	size_t i;
	int err;

	if (d)
		snprintf(d->file, sizeof(d->file), "%s", file);
	if (memchr(text, 0, len))
		return REFUSE(&r, NULL, "has a NUL byte; a policy is text");
	r.p = calloc(1, sizeof(*r.p));
	if (!r.p)
		return -ENOMEM;
	snprintf(r.p->file, sizeof(r.p->file), "%s", file);
	SHA256((const unsigned char *)text, len, r.p->sha);
	r.p->ttl_floor = 60;
	r.p->ttl_ceiling = 3600;
	r.p->heartbeat = 15;
	r.p->unseen_days = 7;
	r.p->distinct = 240;
	json = cJSON_ParseWithOpts(text, &end, 1);
	err = json ? read_top(&r, json) : refuse_json(&r, text, end);
	policy_digest(r.p);
	if (err >= 0)
		err = fence_policy_compile(r.p, allows, d);
	for (i = 0; i < FENCE_TOOL_MAX; i++)
		free(allows[i].list);
	if (err < 0) {
		fence_policy_free(r.p);
		return err;
	}
	*ret = r.p;
	return 0;
}

int fence_policy_read(const char *file, struct fence_policy **ret, struct fence_diag *d)
{
	AUTO_BUF struct fence_buf text = { 0 };
	int err = fence_buf_read_file(&text, file, FENCE_POLICY_BYTES);

	if (d)
		snprintf(d->file, sizeof(d->file), "%s", file);
	if (err == -EFBIG)
		return fence_diag_set(d, err, NULL, "is larger than %u bytes; no policy is",
				      FENCE_POLICY_BYTES);
	if (err < 0)
		return fence_diag_set(d, err, NULL,
				      "cannot be read: %s; give its path with --policy",
				      strerror(-err));
	return fence_policy_parse(fence_buf_text(&text), text.len, file, ret, d);
}

void fence_policy_free(struct fence_policy *p)
{
	if (!p)
		return;
	free(p->rules);
	free(p->names);
	free(p->nets);
	free(p->ranges);
	free(p);
}
