// SPDX-License-Identifier: Apache-2.0
/*
 * JSON to policy. Everything that is not exactly understood is refused, with the JSON path and what
 * to write instead.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "policy/compile.h"

struct reader {
	struct fence_policy *p;
	struct fence_diag *d;
	struct fence_policy_allows *allows; /* one a tool */
};

static void json_free(cJSON **j)
{
	cJSON_Delete(*j);
}

#define REFUSE(r, path, ...) fence_diag_set((r)->d, -EINVAL, path, __VA_ARGS__)

/* Only the listed keys, each once. `keys` is a comma list with a comma at both ends. */
static int check_keys(struct reader *r, const cJSON *obj, const char *path, const char *keys)
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

static int get_str(struct reader *r, const cJSON *v, const char *path, char *out, size_t size)
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

static int get_int(struct reader *r, const cJSON *v, const char *path, long min, long max,
		   long *out)
{
	if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) ||
	    v->valuedouble < (double)min || v->valuedouble > (double)max)
		return REFUSE(r, path, "must be a whole number from %ld to %ld", min, max);
	*out = (long)v->valuedouble;
	return 0;
}

static int get_bool(struct reader *r, const cJSON *v, const char *path, int *out)
{
	if (!cJSON_IsBool(v))
		return REFUSE(r, path, "must be true or false");
	*out = cJSON_IsTrue(v);
	return 0;
}

static int get_list(struct reader *r, const cJSON *v, const char *path, int max)
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

/* A My Domain, sandbox or tool name: lower-case letters, digits, hyphens, not at an end. */
static int get_label(struct reader *r, const cJSON *v, const char *path, char *out, size_t size)
{
	int err = get_str(r, v, path, out, size);
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

static int read_org(struct reader *r, const cJSON *v)
{
	struct fence_org *o = &r->p->org;
	const cJSON *k;
	char path[96];
	int err = check_keys(
		r, v, "$.org",
		",my_domain,partition,sandboxes,org_ids,login_hosts,government,china,defender,");

	if (err < 0)
		return err;
	k = cJSON_GetObjectItemCaseSensitive(v, "my_domain");
	if (!k)
		return REFUSE(r, "$.org",
			      "needs \"my_domain\": the first label of the org's own hosts");
	err = get_label(r, k, "$.org.my_domain", o->my_domain, sizeof(o->my_domain));
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "partition"))) {
		err = get_str(r, k, "$.org.partition", o->partition, sizeof(o->partition));
		if (err >= 0 && !fence_crm_partition_ok(o->partition))
			err = REFUSE(r, "$.org.partition",
				     "is none of sandbox, develop, scratch, demo, free, patch, "
				     "trailblaze");
	}
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "sandboxes"))) {
		err = get_list(r, k, "$.org.sandboxes", FENCE_ORG_SANDBOXES);
		const cJSON *e;
		size_t i;

		if (err < 0)
			return err;
		cJSON_ArrayForEach (e, k) {
			snprintf(path, sizeof(path), "$.org.sandboxes[%zu]", o->nsandboxes);
			err = get_label(r, e, path, o->sandboxes[o->nsandboxes],
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
		err = get_list(r, k, "$.org.org_ids", FENCE_ORG_IDS);
		const cJSON *e;

		if (err < 0)
			return err;
		cJSON_ArrayForEach (e, k) {
			snprintf(path, sizeof(path), "$.org.org_ids[%zu]", o->nids);
			err = get_str(r, e, path, o->ids[o->nids], sizeof(o->ids[0]));
			if (err >= 0 && !fence_crm_org_id_ok(o->ids[o->nids]))
				err = REFUSE(r, path,
					     "is no organisation id: 00D and 12 more letters or "
					     "digits, or the 18 character form");
			if (err < 0)
				return err;
			o->nids++;
		}
	}
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "login_hosts")))
		err = get_bool(r, k, "$.org.login_hosts", &o->login_hosts);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "government")))
		err = get_bool(r, k, "$.org.government", &o->government);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "china")))
		err = get_bool(r, k, "$.org.china", &o->china);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "defender")))
		err = get_bool(r, k, "$.org.defender", &o->defender);
	return err;
}

static int read_sha(struct reader *r, const cJSON *v, const char *path,
		    struct fence_policy_match *m)
{
	unsigned int byte, i;
	char hex[65];
	int err = get_str(r, v, path, hex, sizeof(hex));

	if (err < 0)
		return err;
	if (strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
		return REFUSE(r, path,
			      "must be 64 lower-case hex digits, as sha256sum prints them");
	for (i = 0; i < 32; i++) {
		sscanf(hex + 2 * i, "%2x", &byte);
		m->sha[i] = (uint8_t)byte;
	}
	m->has_sha = 1;
	return 0;
}

/* "chrome-extension://<32 letters a-p>/", or the 32 letters alone; the letters into `out`. */
static int extension_id(const char *text, char out[33])
{
	static const char origin[] = "chrome-extension://";
	size_t n;

	if (!strncmp(text, origin, sizeof(origin) - 1))
		text += sizeof(origin) - 1;
	n = strspn(text, "abcdefghijklmnop");
	if (n != 32 || (text[32] && strcmp(text + 32, "/")))
		return -EINVAL;
	memcpy(out, text, 32);
	out[32] = 0;
	return 0;
}

static int read_native(struct reader *r, const cJSON *v, const char *path,
		       struct fence_policy_match *m)
{
	char text[80];
	size_t i;
	int err = get_str(r, v, path, text, sizeof(text));

	if (err < 0)
		return err;
	if (extension_id(text, m->text))
		return REFUSE(r, path, "must be \"chrome-extension://\", 32 letters a to p, \"/\"");
	for (i = 0; i < r->p->nextensions; i++)
		if (!strcmp(r->p->extensions[i], m->text))
			return 0;
	return REFUSE(r, path, "the extension is not in $.browser.extensions; list it there");
}

static int read_match(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_match *m)
{
	const cJSON *exe, *unit, *cgroup, *uid, *native, *sha;
	char sub[128];
	long n = 0;
	int err = check_keys(r, v, path, ",exe,sha256,unit,cgroup,uid,native_host_of,");

	if (err < 0)
		return err;
	exe = cJSON_GetObjectItemCaseSensitive(v, "exe");
	sha = cJSON_GetObjectItemCaseSensitive(v, "sha256");
	unit = cJSON_GetObjectItemCaseSensitive(v, "unit");
	cgroup = cJSON_GetObjectItemCaseSensitive(v, "cgroup");
	uid = cJSON_GetObjectItemCaseSensitive(v, "uid");
	native = cJSON_GetObjectItemCaseSensitive(v, "native_host_of");
	if (!!exe + !!unit + !!cgroup + !!uid + !!native != 1)
		return REFUSE(r, path,
			      "needs exactly one of exe, unit, cgroup, uid, native_host_of");
	if (sha && !exe)
		return REFUSE(r, path, "\"sha256\" goes with \"exe\" only");
	if (exe) {
		m->kind = FENCE_MATCH_EXE;
		snprintf(sub, sizeof(sub), "%s.exe", path);
		err = get_str(r, exe, sub, m->text, sizeof(m->text));
		if (err >= 0 && (m->text[0] != '/' || strstr(m->text, "//") ||
				 strstr(m->text, "/./") || strstr(m->text, "/../")))
			err = REFUSE(
				r, sub,
				"must be an absolute path without \"//\", \"/./\" or \"/../\"");
		if (err >= 0 && sha) {
			snprintf(sub, sizeof(sub), "%s.sha256", path);
			err = read_sha(r, sha, sub, m);
		}
	} else if (unit) {
		m->kind = FENCE_MATCH_CGROUP;
		snprintf(sub, sizeof(sub), "%s.unit", path);
		err = get_str(r, unit, sub, m->text, sizeof(m->text));
		if (err >= 0 && (strchr(m->text, '/') || !strchr(m->text, '.')))
			err = REFUSE(r, sub,
				     "must be a unit's full name, such as \"assistant.service\"");
	} else if (cgroup) {
		m->kind = FENCE_MATCH_CGROUP;
		snprintf(sub, sizeof(sub), "%s.cgroup", path);
		err = get_str(r, cgroup, sub, m->text, sizeof(m->text));
		if (err >= 0 &&
		    (m->text[0] != '/' || !m->text[1] || m->text[strlen(m->text) - 1] == '/'))
			err = REFUSE(r, sub,
				     "must be a cgroup's path from the v2 root, such as "
				     "\"/crm.slice/assistant\"");
	} else if (uid) {
		m->kind = FENCE_MATCH_UID;
		snprintf(sub, sizeof(sub), "%s.uid", path);
		err = get_int(r, uid, sub, 1, 4294967294L, &n);
		m->uid = (uint32_t)n;
	} else {
		m->kind = FENCE_MATCH_NATIVE;
		snprintf(sub, sizeof(sub), "%s.native_host_of", path);
		err = read_native(r, native, sub, m);
	}
	return err;
}

static int read_ports(struct reader *r, const cJSON *v, const char *path, uint16_t *ports,
		      uint16_t *nports, int max)
{
	const cJSON *e;
	char sub[160];
	uint16_t i;
	long n = 0;
	int err = get_list(r, v, path, max);

	if (err < 0)
		return err;
	*nports = 0;
	cJSON_ArrayForEach (e, v) {
		snprintf(sub, sizeof(sub), "%s[%u]", path, *nports);
		err = get_int(r, e, sub, 1, 65535, &n);
		if (err < 0)
			return err;
		for (i = 0; i < *nports; i++)
			if (ports[i] == n)
				return REFUSE(r, sub, "port %ld is listed twice", n);
		ports[(*nports)++] = (uint16_t)n;
	}
	return 0;
}

static int read_allow(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_allow *a)
{
	const cJSON *host, *cidr, *ports, *why, *tls;
	char sub[128];
	int err, is_tls = 1;

	a->rule.nports = 1;
	a->rule.ports[0] = 443;
	snprintf(a->rule.path, sizeof(a->rule.path), "%s", path);
	if (cJSON_IsString(v)) {
		if (strcmp(v->valuestring, "crm.own"))
			return REFUSE(r, path,
				      "\"%.60s\" is no rule set; the only one is \"crm.own\"; a "
				      "host is written { \"host\": ..., "
				      "\"why\": ... }",
				      v->valuestring);
		if (!r->p->org.my_domain[0])
			return REFUSE(r, path, "\"crm.own\" needs $.org to say whose");
		a->kind = FENCE_ALLOW_OWN;
		snprintf(a->rule.text, sizeof(a->rule.text), "crm.own");
		snprintf(a->rule.why, sizeof(a->rule.why), "the customer's own Salesforce org");
		return 0;
	}
	err = check_keys(r, v, path, ",host,cidr,ports,why,tls,");
	if (err < 0)
		return err;
	host = cJSON_GetObjectItemCaseSensitive(v, "host");
	cidr = cJSON_GetObjectItemCaseSensitive(v, "cidr");
	ports = cJSON_GetObjectItemCaseSensitive(v, "ports");
	why = cJSON_GetObjectItemCaseSensitive(v, "why");
	tls = cJSON_GetObjectItemCaseSensitive(v, "tls");
	if (!!host + !!cidr != 1)
		return REFUSE(r, path, "needs exactly one of host, cidr");
	if (!why)
		return REFUSE(r, path, "needs \"why\": the reason that an auditor will read");
	snprintf(sub, sizeof(sub), "%s.why", path);
	err = get_str(r, why, sub, a->rule.why, sizeof(a->rule.why));
	if (err >= 0 && ports) {
		snprintf(sub, sizeof(sub), "%s.ports", path);
		err = read_ports(r, ports, sub, a->rule.ports, &a->rule.nports, FENCE_PORTS_MAX);
	}
	if (err < 0)
		return err;
	if (cidr) {
		a->kind = FENCE_ALLOW_NET;
		if (tls)
			return REFUSE(r, path,
				      "\"tls\" does not go with \"cidr\": an address has no name "
				      "to check");
		snprintf(sub, sizeof(sub), "%s.cidr", path);
		return get_str(r, cidr, sub, a->rule.text, sizeof(a->rule.text));
	}
	a->kind = FENCE_ALLOW_HOST;
	if (tls) {
		snprintf(sub, sizeof(sub), "%s.tls", path);
		err = get_bool(r, tls, sub, &is_tls);
		if (err < 0)
			return err;
	}
	if (!is_tls)
		a->rule.flags |= FENCE_RULE_PLAIN;
	snprintf(sub, sizeof(sub), "%s.host", path);
	return get_str(r, host, sub, a->rule.text, sizeof(a->rule.text));
}

static int read_tool(struct reader *r, const cJSON *v, size_t index)
{
	struct fence_policy_tool *t = &r->p->tools[index];
	struct fence_policy_allows *allows = &r->allows[index];
	const cJSON *k, *e;
	char path[64], sub[96];
	uint16_t n = 0;
	size_t i;
	int err;

	snprintf(path, sizeof(path), "$.tools[%zu]", index);
	err = check_keys(r, v, path, ",name,match,allow,local_ports,");
	if (err < 0)
		return err;
	snprintf(sub, sizeof(sub), "%s.name", path);
	err = get_label(r, cJSON_GetObjectItemCaseSensitive(v, "name"), sub, t->name,
			sizeof(t->name));
	if (err < 0)
		return err;
	for (i = 0; i < index; i++)
		if (!strcmp(r->p->tools[i].name, t->name))
			return REFUSE(r, sub, "another tool is already called \"%s\"", t->name);
	k = cJSON_GetObjectItemCaseSensitive(v, "match");
	if (k) {
		snprintf(sub, sizeof(sub), "%s.match", path);
		err = get_list(r, k, sub, FENCE_POLICY_MATCHES);
		if (err < 0)
			return err;
		cJSON_ArrayForEach (e, k) {
			snprintf(sub, sizeof(sub), "%s.match[%zu]", path, t->nmatch);
			err = read_match(r, e, sub, &t->match[t->nmatch]);
			if (err < 0)
				return err;
			t->nmatch++;
		}
	}
	snprintf(sub, sizeof(sub), "%s.allow", path);
	k = cJSON_GetObjectItemCaseSensitive(v, "allow");
	if (!k)
		return REFUSE(r, path,
			      "needs \"allow\": what the tool may reach, such as [ \"crm.own\" ]");
	err = get_list(r, k, sub, FENCE_POLICY_ALLOWS);
	if (err < 0)
		return err;
	allows->list = calloc((size_t)cJSON_GetArraySize(k), sizeof(*allows->list));
	if (!allows->list)
		return -ENOMEM;
	cJSON_ArrayForEach (e, k) {
		snprintf(sub, sizeof(sub), "%s.allow[%zu]", path, allows->count);
		err = read_allow(r, e, sub, &allows->list[allows->count]);
		if (err < 0)
			return err;
		allows->list[allows->count++].rule.tool = (uint8_t)(index + 1);
	}
	k = cJSON_GetObjectItemCaseSensitive(v, "local_ports");
	if (!k)
		return 0;
	snprintf(sub, sizeof(sub), "%s.local_ports", path);
	err = read_ports(r, k, sub, t->local, &n, FENCE_POLICY_LOCAL);
	t->nlocal = n;
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
	err = get_list(r, v, "$.resolvers", FENCE_POLICY_RESOLVERS);
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
	err = get_list(r, v, "$.proxies", FENCE_POLICY_PROXIES);
	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, v) {
		struct fence_policy_proxy *x = &r->p->proxies[r->p->nproxies];

		snprintf(path, sizeof(path), "$.proxies[%zu]", r->p->nproxies);
		err = check_keys(r, e, path, ",host,port,");
		if (err < 0)
			return err;
		snprintf(sub, sizeof(sub), "%s.host", path);
		err = get_str(r, cJSON_GetObjectItemCaseSensitive(e, "host"), sub, x->host,
			      sizeof(x->host));
		if (err < 0)
			return err;
		snprintf(sub, sizeof(sub), "%s.port", path);
		err = get_int(r, cJSON_GetObjectItemCaseSensitive(e, "port"), sub, 1, 65535, &port);
		if (err < 0)
			return err;
		x->port = (uint16_t)port;
		x->is_addr = !fence_addr_parse(x->host, x->addr);
		r->p->nproxies++;
	}
	return 0;
}

static int read_browser(struct reader *r, const cJSON *v)
{
	const cJSON *list, *e;
	char path[64];
	int err = check_keys(r, v, "$.browser", ",extensions,");

	if (err < 0)
		return err;
	list = cJSON_GetObjectItemCaseSensitive(v, "extensions");
	err = get_list(r, list, "$.browser.extensions", FENCE_POLICY_MATCHES);
	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, list) {
		snprintf(path, sizeof(path), "$.browser.extensions[%zu]", r->p->nextensions);
		if (!cJSON_IsString(e) || strlen(e->valuestring) != 32 ||
		    extension_id(e->valuestring, r->p->extensions[r->p->nextensions]))
			return REFUSE(r, path, "must be an extension id: 32 letters a to p");
		r->p->nextensions++;
	}
	return 0;
}

static int read_ttl(struct reader *r, const cJSON *v)
{
	const cJSON *k;
	int err = check_keys(r, v, "$.ttl", ",floor,ceiling,");

	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "floor")))
		err = get_int(r, k, "$.ttl.floor", 1, 3600, &r->p->ttl_floor);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(v, "ceiling")))
		err = get_int(r, k, "$.ttl.ceiling", 1, 86400, &r->p->ttl_ceiling);
	if (err >= 0 && r->p->ttl_floor > r->p->ttl_ceiling)
		err = REFUSE(r, "$.ttl", "the floor is above the ceiling");
	return err;
}

/* A choice between two words. */
static int read_word(struct reader *r, const cJSON *v, const char *path, const char *no,
		     const char *yes, int *out)
{
	if (!cJSON_IsString(v) || (strcmp(v->valuestring, no) && strcmp(v->valuestring, yes)))
		return REFUSE(r, path, "must be \"%s\" or \"%s\"", no, yes);
	*out = !strcmp(v->valuestring, yes);
	return 0;
}

static int read_top(struct reader *r, const cJSON *top)
{
	const cJSON *k, *e;
	long version = 0;
	int err = check_keys(r, top, "$",
			     ",crmfence,name,mode,org,tools,browser,resolvers,proxies,quic,ttl,"
			     "heartbeat,");

	if (err < 0)
		return err;
	err = get_int(r, cJSON_GetObjectItemCaseSensitive(top, "crmfence"), "$.crmfence", 1, 1,
		      &version);
	if (err >= 0)
		err = get_str(r, cJSON_GetObjectItemCaseSensitive(top, "name"), "$.name",
			      r->p->name, sizeof(r->p->name));
	k = cJSON_GetObjectItemCaseSensitive(top, "mode");
	if (err >= 0)
		err = read_word(r, k, "$.mode", "enforce", "monitor", &r->p->monitor);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "quic")))
		err = read_word(r, k, "$.quic", "deny", "allow", &r->p->quic_allow);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "org")))
		err = read_org(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "browser")))
		err = read_browser(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "ttl")))
		err = read_ttl(r, k);
	if (err >= 0 && (k = cJSON_GetObjectItemCaseSensitive(top, "heartbeat")))
		err = get_int(r, k, "$.heartbeat", 2, 3600, &r->p->heartbeat);
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
	err = get_list(r, k, "$.tools", FENCE_TOOL_MAX);
	if (err < 0)
		return err;
	cJSON_ArrayForEach (e, k) {
		err = read_tool(r, e, r->p->ntools);
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
	json = cJSON_ParseWithOpts(text, &end, 1);
	err = json ? read_top(&r, json) : refuse_json(&r, text, end);
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
	free(p);
}
