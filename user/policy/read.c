// SPDX-License-Identifier: Apache-2.0
/*
 * JSON to policy. Everything that is not exactly understood is refused, with the JSON path and what
 * to write instead.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "policy/compile.h"
#include "policy/read.h"

static void json_free(cJSON **j)
{
	cJSON_Delete(*j);
}

/* What was meant by a key that is not known here, if that is missing: read as that key from here
 * on, so that what follows from the slip is not told too. */
static void rename_key(const cJSON *obj, cJSON *key, const char *known, size_t len)
{
	char *name = cJSON_malloc(len + 1);

	if (!name)
		return;
	memcpy(name, known, len);
	name[len] = 0;
	if (cJSON_GetObjectItemCaseSensitive(obj, name)) {
		cJSON_free(name);
		return;
	}
	cJSON_free(key->string);
	key->string = name;
}

int fence_read_keys(struct reader *r, const cJSON *obj, const char *path, const char *keys)
{
	char probe[80], sub[256];
	const char *known;
	cJSON *a, *b;
	size_t len = 0;

	if (!cJSON_IsObject(obj))
		return REFUSE(r, path, "must be an object, { ... }");
	cJSON_ArrayForEach (a, obj) {
		snprintf(probe, sizeof(probe), ",%.64s,", a->string);
		snprintf(sub, sizeof(sub), "%.160s.%.64s", path, a->string);
		for (b = obj->child; b != a && strcmp(a->string, b->string); b = b->next)
			;
		if (b != a) {
			fence_read_refuse_key(r, sub, "this key stands here twice; keep one");
		} else if (strchr(a->string, ',') || !strstr(keys, probe)) {
			known = fence_read_near(a->string, keys, &len);
			if (known)
				fence_read_refuse_key(r, sub, "unknown key; did you mean \"%.*s\"?",
						      (int)len, known);
			else
				fence_read_refuse_key(r, sub, "unknown key; known here: %.*s",
						      (int)strlen(keys) - 2, keys + 1);
			if (known)
				rename_key(obj, a, known, len);
		}
	}
	return 0;
}

int fence_read_str(struct reader *r, const cJSON *v, const char *path, char *out, size_t size)
{
	unsigned int c;

	out[0] = 0;
	if (cJSON_IsNumber(v))
		return REFUSE(r, path, "must be a string; write \"%g\"", v->valuedouble);
	if (!cJSON_IsString(v))
		return REFUSE(r, path, "must be a string, in double quotes");
	if (!v->valuestring[0])
		return REFUSE(r, path, "must not be empty");
	if (strlen(v->valuestring) >= size)
		return REFUSE(r, path, "is longer than %zu bytes; shorten it", size - 1);
	c = fence_read_hidden(v->valuestring);
	if (c)
		return REFUSE(r, path, "has a character that nobody sees, U+%04X; take it out", c);
	snprintf(out, size, "%s", v->valuestring);
	return 0;
}

int fence_read_int(struct reader *r, const cJSON *v, const char *path, long min, long max,
		   long *out)
{
	long meant = cJSON_IsString(v) ? atol(v->valuestring) : min - 1;

	if (cJSON_IsNumber(v) && v->valuedouble == floor(v->valuedouble) &&
	    v->valuedouble >= (double)min && v->valuedouble <= (double)max) {
		*out = (long)v->valuedouble;
		return 0;
	}
	if (min == max)
		return REFUSE(r, path, "must be %ld", min);
	if (meant >= min && meant <= max)
		return REFUSE(r, path, "must be a whole number from %ld to %ld; write %ld", min,
			      max, meant);
	return REFUSE(r, path, "must be a whole number from %ld to %ld", min, max);
}

int fence_read_bool(struct reader *r, const cJSON *v, const char *path, int *out)
{
	static const char yes[] = ",true,yes,on,1,", no[] = ",false,no,off,0,";
	char probe[8];

	*out = cJSON_IsTrue(v);
	if (cJSON_IsBool(v))
		return 0;
	snprintf(probe, sizeof(probe), ",%.5s,", cJSON_IsString(v) ? v->valuestring : "");
	if (strcasestr(yes, probe) || (cJSON_IsNumber(v) && v->valuedouble != 0))
		return REFUSE(r, path, "must be true or false, without quotes; write true");
	if (strcasestr(no, probe) || cJSON_IsNumber(v))
		return REFUSE(r, path, "must be true or false, without quotes; write false");
	return REFUSE(r, path, "must be true or false");
}

int fence_read_list(struct reader *r, const cJSON *v, const char *path, int max)
{
	char meant[FENCE_MEANT];

	fence_meant_list(v, meant);
	if (!cJSON_IsArray(v))
		return REFUSE(r, path, "must be a list, [ ... ]%s", meant);
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
	const char *word = cJSON_IsString(v) ? v->valuestring : "", *near = NULL;
	char list[64];
	size_t n = 0;

	*out = !strcmp(word, yes);
	if (*out || !strcmp(word, no))
		return 0;
	snprintf(list, sizeof(list), ",%s,%s,", no, yes);
	near = fence_read_near(word, list, &n);
	if (cJSON_IsBool(v) && !strcmp(no, "deny")) {
		near = cJSON_IsTrue(v) ? yes : no;
		n = strlen(near);
	}
	if (near)
		return REFUSE(r, path, "must be \"%s\" or \"%s\"; write \"%.*s\"", no, yes, (int)n,
			      near);
	return REFUSE(r, path, "must be \"%s\" or \"%s\"", no, yes);
}

int fence_read_label(struct reader *r, const cJSON *v, const char *path, char *out, size_t size)
{
	char text[FENCE_MEANT];
	size_t n, i;

	out[0] = 0;
	if (fence_read_str(r, v, path, text, sizeof(text)) < 0)
		return -EINVAL;
	n = strlen(text);
	if (n >= size)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
		      (text[i] == '-' && i && i + 1 < n)))
			return -EINVAL;
	memcpy(out, text, n + 1);
	return 0;
}

static void read_resolvers(struct reader *r, const cJSON *v)
{
	char path[64], meant[FENCE_MEANT];
	unsigned int port;
	const cJSON *e;
	size_t i = 0;

	if (cJSON_IsString(v) && !strcmp(v->valuestring, "system")) {
		r->p->resolvers_system = 1;
		return;
	}
	if (!cJSON_IsArray(v)) {
		fence_meant_list(v, meant);
		if (cJSON_IsString(v) && fence_read_near(v->valuestring, ",system,", &i))
			snprintf(meant, sizeof(meant), "; write \"system\"");
		REFUSE(r, "$.resolvers", "must be \"system\" or a list of addresses%s", meant);
		return;
	}
	if (fence_read_list(r, v, "$.resolvers", FENCE_POLICY_RESOLVERS) < 0)
		return;
	cJSON_ArrayForEach (e, v) {
		snprintf(path, sizeof(path), "$.resolvers[%zu]", i++);
		if (cJSON_IsString(e) &&
		    !fence_addr_parse(e->valuestring, r->p->resolvers[r->p->nresolvers])) {
			r->p->nresolvers++;
			continue;
		}
		if (cJSON_IsString(e) && !fence_meant_host(e->valuestring, meant, &port) &&
		    !fence_addr_parse(meant, r->p->resolvers[r->p->nresolvers]))
			REFUSE(r, path, "must be an address alone; write \"%s\"", meant);
		else
			REFUSE(r, path,
			       "must be an IPv4 or IPv6 address in quotes, such as "
			       "\"10.0.0.53\"");
	}
}

static void read_proxy(struct reader *r, const cJSON *v, const char *path,
		       struct fence_policy_proxy *x)
{
	const cJSON *host = cJSON_GetObjectItemCaseSensitive(v, "host"),
		    *number = cJSON_GetObjectItemCaseSensitive(v, "port");
	char sub[96], meant[FENCE_MEANT], text[FENCE_MEANT];
	unsigned int said = 0;
	long port = 0;

	if (cJSON_IsString(v) && !fence_meant_host(v->valuestring, meant, &said)) {
		REFUSE(r, path, "must be an object; write { \"host\": \"%s\", \"port\": %u }",
		       meant, said ? said : 8080);
		return;
	}
	if (fence_read_keys(r, v, path, ",host,port,tls,") < 0)
		return;
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(v, "tls")))
		REFUSE(r, path,
		       "a proxy that is spoken to inside TLS hides what it is asked for: give the "
		       "port where it takes plain text (what is inside its tunnels is TLS)");
	snprintf(sub, sizeof(sub), "%s.host", path);
	if (fence_read_str(r, host, sub, text, sizeof(text)) >= 0) {
		if (!fence_meant_host(text, meant, &said)) {
			if (said)
				REFUSE(r, sub,
				       "must be a host alone; write \"%s\", and \"port\": %u",
				       meant, said);
			else
				REFUSE(r, sub, "must be a host alone; write \"%s\"", meant);
			snprintf(text, sizeof(text), "%s", meant);
		}
		snprintf(x->host, sizeof(x->host), "%.*s", (int)sizeof(x->host) - 1, text);
		x->is_addr = !fence_addr_parse(x->host, x->addr);
	}
	snprintf(sub, sizeof(sub), "%s.port", path);
	if (number || !said)
		fence_read_int(r, number, sub, 1, 65535, &port);
	x->port = (uint16_t)port;
}

static void read_proxies(struct reader *r, const cJSON *v)
{
	struct fence_policy_proxy *x;
	const cJSON *e;
	char path[64];
	size_t i = 0;

	if (cJSON_IsArray(v) && !cJSON_GetArraySize(v))
		return;
	if (fence_read_list(r, v, "$.proxies", FENCE_POLICY_PROXIES) < 0)
		return;
	cJSON_ArrayForEach (e, v) {
		snprintf(path, sizeof(path), "$.proxies[%zu]", i++);
		x = &r->p->proxies[r->p->nproxies];
		read_proxy(r, e, path, x);
		r->p->nproxies += x->host[0] != 0;
	}
}

static void read_ttl(struct reader *r, const cJSON *v)
{
	const cJSON *k;

	if (fence_read_keys(r, v, "$.ttl", ",floor,ceiling,") < 0)
		return;
	if ((k = cJSON_GetObjectItemCaseSensitive(v, "floor")))
		fence_read_int(r, k, "$.ttl.floor", 1, 3600, &r->p->ttl_floor);
	if ((k = cJSON_GetObjectItemCaseSensitive(v, "ceiling")))
		fence_read_int(r, k, "$.ttl.ceiling", 1, 86400, &r->p->ttl_ceiling);
	if (r->p->ttl_floor > r->p->ttl_ceiling)
		REFUSE(r, "$.ttl", "the floor, %ld, is above the ceiling, %ld", r->p->ttl_floor,
		       r->p->ttl_ceiling);
}

static void read_dns(struct reader *r, const cJSON *v)
{
	const cJSON *k;

	if (fence_read_keys(r, v, "$.dns", ",distinct,") < 0)
		return;
	if ((k = cJSON_GetObjectItemCaseSensitive(v, "distinct")))
		fence_read_int(r, k, "$.dns.distinct", 10, 100000, &r->p->distinct);
}

static int read_top(struct reader *r, const cJSON *top)
{
	static const struct {
		const char *key;
		void (*read)(struct reader *r, const cJSON *v);
	} parts[] = {
		{ "org", fence_read_org },
		{ "browser", fence_read_browser },
		{ "ttl", read_ttl },
		{ "dns", read_dns },
		{ "resolvers", read_resolvers },
		{ "proxies", read_proxies },
	};
	const cJSON *k, *e;
	long version = 0;
	size_t i;

	if (fence_read_keys(r, top, "$",
			    ",crmfence,name,mode,org,tools,browser,resolvers,proxies,quic,ttl,"
			    "heartbeat,dns,unseen_days,") < 0)
		return -EINVAL;
	fence_read_int(r, cJSON_GetObjectItemCaseSensitive(top, "crmfence"), "$.crmfence", 1, 1,
		       &version);
	fence_read_str(r, cJSON_GetObjectItemCaseSensitive(top, "name"), "$.name", r->p->name,
		       sizeof(r->p->name));
	fence_read_word(r, cJSON_GetObjectItemCaseSensitive(top, "mode"), "$.mode", "enforce",
			"monitor", &r->p->monitor);
	if ((k = cJSON_GetObjectItemCaseSensitive(top, "quic")))
		fence_read_word(r, k, "$.quic", "deny", "allow", &r->p->quic_allow);
	if ((k = cJSON_GetObjectItemCaseSensitive(top, "heartbeat")))
		fence_read_int(r, k, "$.heartbeat", 2, 3600, &r->p->heartbeat);
	if ((k = cJSON_GetObjectItemCaseSensitive(top, "unseen_days")))
		fence_read_int(r, k, "$.unseen_days", 1, 365, &r->p->unseen_days);
	r->p->resolvers_system = !cJSON_GetObjectItemCaseSensitive(top, "resolvers");
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		if ((k = cJSON_GetObjectItemCaseSensitive(top, parts[i].key)))
			parts[i].read(r, k);
	k = cJSON_GetObjectItemCaseSensitive(top, "tools");
	if (!k)
		return REFUSE(
			r, "$.tools",
			"list the AI tools to confine: [ { \"name\": ..., \"match\": [ ... ], "
			"\"allow\": [ \"crm.own\" ] } ]");
	if (fence_read_list(r, k, "$.tools", FENCE_TOOL_MAX) < 0)
		return -EINVAL;
	cJSON_ArrayForEach (e, k)
		fence_read_tool(r, e, r->p->ntools++);
	return 0;
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

/* Where what is warned of stands. */
static void place_warnings(struct reader *r)
{
	struct fence_diag *w;
	size_t i;

	for (i = 0; i < r->p->nwarnings; i++) {
		w = &r->p->warnings[i];
		fence_read_place(&r->source, w->path, 0, w);
		if (w->value[0] == '{') /* of what is around */
			w->value[0] = 0;
	}
}

int fence_policy_parse(const char *text, size_t len, const char *file, struct fence_policy **ret,
		       struct fence_policy_errors *e)
{
	struct fence_policy_allows allows[FENCE_TOOL_MAX] = { 0 };
	__attribute__((cleanup(json_free))) cJSON *json = NULL;
	struct fence_policy_errors own = { .count = 0 };
	struct reader r = { .e = e ? e : &own, .allows = allows, .source.file = file };
	const char *end = NULL;
	size_t i;

	r.e->count = 0;
	if (memchr(text, 0, len))
		return REFUSE(&r, NULL, "has a NUL byte; a policy is text: save it as UTF-8");
	r.p = calloc(1, sizeof(*r.p));
	if (!r.p)
		return REFUSE(&r, NULL, "no memory");
	snprintf(r.p->file, sizeof(r.p->file), "%s", file);
	SHA256((const unsigned char *)text, len, r.p->sha);
	r.p->ttl_floor = 60;
	r.p->ttl_ceiling = 3600;
	r.p->heartbeat = 15;
	r.p->unseen_days = 7;
	r.p->distinct = 240;
	json = cJSON_ParseWithOpts(text, &end, 1);
	r.source.text = text;
	r.source.json = json;
	if (!json)
		fence_read_syntax(&r, text, end);
	else if (read_top(&r, json) >= 0)
		fence_policy_compile(&r);
	policy_digest(r.p);
	place_warnings(&r);
	for (i = 0; i < FENCE_TOOL_MAX; i++)
		free(allows[i].list);
	if (r.e->count) {
		fence_policy_free(r.p);
		return -EINVAL;
	}
	*ret = r.p;
	return 0;
}

/* Why a file cannot be read, as who wrote its path on a command line needs it. */
static int refuse_file(struct reader *r, const char *file, int err)
{
	char to[256];
	struct stat st;
	ssize_t n;

	if (err == -EFBIG)
		return REFUSE(r, NULL, "is larger than %u bytes; no policy is", FENCE_POLICY_BYTES);
	if (err == -EISDIR)
		return REFUSE(r, NULL, "is a directory; name the file in it");
	if (err == -EACCES || err == -EPERM)
		return REFUSE(r, NULL, "may not be read by this user; read it as root, with sudo");
	if (err == -ENOENT && !lstat(file, &st) && S_ISLNK(st.st_mode)) {
		n = readlink(file, to, sizeof(to) - 1);
		to[n < 0 ? 0 : n] = 0;
		return REFUSE(r, NULL,
			      "is a link to \"%s\", where nothing is; repair the link, or "
			      "name another file",
			      to);
	}
	if (err == -ENOENT || err == -ENOTDIR)
		return REFUSE(r, NULL,
			      "there is no such file; name another, or begin with a copy of an "
			      "example, such as /etc/crmfence/policy.json.example");
	return REFUSE(r, NULL, "cannot be read: %s", strerror(-err));
}

int fence_policy_read(const char *file, struct fence_policy **ret, struct fence_policy_errors *e)
{
	AUTO_BUF struct fence_buf text = { 0 };
	struct fence_policy_errors own = { .count = 0 };
	struct reader r = { .e = e ? e : &own, .source.file = file };
	struct stat st;
	int err = fence_buf_read_file(&text, file, FENCE_POLICY_BYTES);

	r.e->count = 0;
	if (err < 0) {
		refuse_file(&r, file, err);
		return err;
	}
	if (!text.len && !stat(file, &st) && !S_ISREG(st.st_mode))
		return REFUSE(&r, NULL, "is no regular file; name the policy's");
	return fence_policy_parse(fence_buf_text(&text), text.len, file, ret, e);
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
