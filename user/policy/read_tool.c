// SPDX-License-Identifier: Apache-2.0
/* One tool of the policy: how it is recognised, and what it may reach. */
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "policy/read.h"

static int read_sha(struct reader *r, const cJSON *v, const char *path,
		    struct fence_policy_match *m)
{
	unsigned int byte, i;
	char hex[65];
	int err = fence_read_str(r, v, path, hex, sizeof(hex));

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
int fence_read_extension(const char *text, char out[33])
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
	int err = fence_read_str(r, v, path, text, sizeof(text));

	if (err < 0)
		return err;
	if (fence_read_extension(text, m->text))
		return REFUSE(r, path, "must be \"chrome-extension://\", 32 letters a to p, \"/\"");
	for (i = 0; i < r->p->nextensions; i++)
		if (!strcmp(r->p->extensions[i], m->text))
			return 0;
	return REFUSE(r, path, "the extension is not in $.browser.extensions; list it there");
}

int fence_read_exe(struct reader *r, const cJSON *v, const char *path, char *out, size_t size)
{
	int err = fence_read_str(r, v, path, out, size);

	if (err >= 0 && (out[0] != '/' || !fence_path_is_plain(out)))
		return REFUSE(r, path,
			      "must be an absolute path without \"//\", \"/./\" or \"/../\"");
	return err;
}

static int read_match(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_match *m)
{
	const cJSON *exe, *unit, *cgroup, *uid, *native, *sha, *broad;
	char sub[128];
	long n = 0;
	int err = fence_read_keys(r, v, path, ",exe,sha256,unit,cgroup,uid,native_host_of,broad,");

	if (err < 0)
		return err;
	exe = cJSON_GetObjectItemCaseSensitive(v, "exe");
	sha = cJSON_GetObjectItemCaseSensitive(v, "sha256");
	unit = cJSON_GetObjectItemCaseSensitive(v, "unit");
	cgroup = cJSON_GetObjectItemCaseSensitive(v, "cgroup");
	uid = cJSON_GetObjectItemCaseSensitive(v, "uid");
	native = cJSON_GetObjectItemCaseSensitive(v, "native_host_of");
	broad = cJSON_GetObjectItemCaseSensitive(v, "broad");
	if (broad) {
		snprintf(sub, sizeof(sub), "%s.broad", path);
		err = fence_read_str(r, broad, sub, m->broad, sizeof(m->broad));
		if (err < 0)
			return err;
	}
	if (!!exe + !!unit + !!cgroup + !!uid + !!native != 1)
		return REFUSE(r, path,
			      "needs exactly one of exe, unit, cgroup, uid, native_host_of");
	if (sha && !exe)
		return REFUSE(r, path, "\"sha256\" goes with \"exe\" only");
	if (exe) {
		m->kind = FENCE_MATCH_EXE;
		snprintf(sub, sizeof(sub), "%s.exe", path);
		err = fence_read_exe(r, exe, sub, m->text, sizeof(m->text));
		if (err >= 0 && sha) {
			snprintf(sub, sizeof(sub), "%s.sha256", path);
			err = read_sha(r, sha, sub, m);
		}
	} else if (unit) {
		m->kind = FENCE_MATCH_CGROUP;
		snprintf(sub, sizeof(sub), "%s.unit", path);
		err = fence_read_str(r, unit, sub, m->text, sizeof(m->text));
		if (err >= 0 && (strchr(m->text, '/') || !strchr(m->text, '.')))
			err = REFUSE(r, sub,
				     "must be a unit's full name, such as \"assistant.service\"");
		if (err >= 0 && strchr(m->text, '*') != strrchr(m->text, '*'))
			err = REFUSE(r, sub,
				     "may have one \"*\", as in \"app-NAME-*.scope\" or "
				     "\"snap.NAME.*\"; write a second match for another pattern");
	} else if (cgroup) {
		m->kind = FENCE_MATCH_CGROUP;
		snprintf(sub, sizeof(sub), "%s.cgroup", path);
		err = fence_read_str(r, cgroup, sub, m->text, sizeof(m->text));
		if (err >= 0 &&
		    (m->text[0] != '/' || !m->text[1] || m->text[strlen(m->text) - 1] == '/'))
			err = REFUSE(r, sub,
				     "must be a cgroup's path from the v2 root, such as "
				     "\"/crm.slice/assistant\"");
	} else if (uid) {
		m->kind = FENCE_MATCH_UID;
		snprintf(sub, sizeof(sub), "%s.uid", path);
		err = fence_read_int(r, uid, sub, 1, 4294967294L, &n);
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
	int err = fence_read_list(r, v, path, max);

	if (err < 0)
		return err;
	*nports = 0;
	cJSON_ArrayForEach (e, v) {
		snprintf(sub, sizeof(sub), "%s[%u]", path, *nports);
		err = fence_read_int(r, e, sub, 1, 65535, &n);
		if (err < 0)
			return err;
		for (i = 0; i < *nports; i++)
			if (ports[i] == n)
				return REFUSE(r, sub, "port %ld is listed twice", n);
		ports[(*nports)++] = (uint16_t)n;
	}
	return 0;
}

/* "private": what DNS gives for it may be an address of the company's own. */
static int read_private(struct reader *r, const cJSON *v, const char *path,
			struct fence_policy_allow *a)
{
	const cJSON *k = cJSON_GetObjectItemCaseSensitive(v, "private");
	int is_private = 0, err;
	char sub[128];

	if (!k)
		return 0;
	snprintf(sub, sizeof(sub), "%s.private", path);
	err = fence_read_bool(r, k, sub, &is_private);
	if (is_private)
		a->rule.flags |= FENCE_RULE_PRIVATE;
	return err;
}

/* "crm.own", or { "set": "crm.own", ... } */
static int read_set(struct reader *r, const cJSON *v, const char *path,
		    struct fence_policy_allow *a)
{
	const char *name = cJSON_IsString(v) ? v->valuestring : "";

	if (strcmp(name, "crm.own"))
		return REFUSE(r, path,
			      "\"%.60s\" is no rule set; the only one is \"crm.own\"; a "
			      "host is written { \"host\": ..., "
			      "\"why\": ... }",
			      name);
	if (!r->p->org.my_domain[0])
		return REFUSE(r, path, "\"crm.own\" needs $.org to say whose");
	a->kind = FENCE_ALLOW_OWN;
	snprintf(a->rule.text, sizeof(a->rule.text), "crm.own");
	snprintf(a->rule.why, sizeof(a->rule.why), "the customer's own Salesforce org");
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
	if (cJSON_IsString(v))
		return read_set(r, v, path, a);
	if (cJSON_GetObjectItemCaseSensitive(v, "set")) {
		err = fence_read_keys(r, v, path, ",set,private,");
		if (err >= 0)
			err = read_private(r, v, path, a);
		snprintf(sub, sizeof(sub), "%s.set", path);
		return err < 0 ? err
			       : read_set(r, cJSON_GetObjectItemCaseSensitive(v, "set"), sub, a);
	}
	err = fence_read_keys(r, v, path, ",host,cidr,ports,why,tls,private,");
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
	err = fence_read_str(r, why, sub, a->rule.why, sizeof(a->rule.why));
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
		if (cJSON_GetObjectItemCaseSensitive(v, "private"))
			return REFUSE(r, path,
				      "\"private\" does not go with \"cidr\": the network is "
				      "listed as it is");
		snprintf(sub, sizeof(sub), "%s.cidr", path);
		return fence_read_str(r, cidr, sub, a->rule.text, sizeof(a->rule.text));
	}
	a->kind = FENCE_ALLOW_HOST;
	if (tls) {
		snprintf(sub, sizeof(sub), "%s.tls", path);
		err = fence_read_bool(r, tls, sub, &is_tls);
		if (err < 0)
			return err;
	}
	if (!is_tls)
		a->rule.flags |= FENCE_RULE_PLAIN;
	err = read_private(r, v, path, a);
	if (err < 0)
		return err;
	snprintf(sub, sizeof(sub), "%s.host", path);
	return fence_read_str(r, host, sub, a->rule.text, sizeof(a->rule.text));
}

/* Directories that a session may write below. */
static int read_write(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_tool *t)
{
	int err = fence_read_list(r, v, path, FENCE_POLICY_WRITE);
	const cJSON *e;
	char sub[112], *p;

	cJSON_ArrayForEach (e, v) {
		if (err < 0)
			return err;
		snprintf(sub, sizeof(sub), "%s[%zu]", path, t->nwrite);
		p = t->write[t->nwrite];
		err = fence_read_str(r, e, sub, p, FENCE_WRITE_MAX);
		if (err >= 0 && ((p[0] != '/' && strncmp(p, "~/", 2)) || !fence_path_is_plain(p) ||
				 strchr(p, '\n')))
			return REFUSE(
				r, sub,
				"must be an absolute directory, or one below the user's home, "
				"\"~/...\", without \"//\", \"/./\" or \"/../\"");
		t->nwrite++;
	}
	return err;
}

/* What a tool may have besides. */
static int read_taint(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_tool *t)
{
	static const char *const words[] = { "nothing", "alert", "confined" };

	for (t->taint = FENCE_TAINT_CONFINED; t->taint >= 0; t->taint--)
		if (cJSON_IsString(v) && !strcmp(v->valuestring, words[t->taint]))
			return 0;
	t->taint = FENCE_TAINT_NOTHING;
	return REFUSE(r, path, "must be \"nothing\", \"alert\" or \"confined\"");
}

static int read_more(struct reader *r, const cJSON *v, const char *path,
		     struct fence_policy_tool *t)
{
	const cJSON *k;
	char sub[96];
	uint16_t n = 0;
	int err = 0;

	k = cJSON_GetObjectItemCaseSensitive(v, "local_ports");
	if (k) {
		snprintf(sub, sizeof(sub), "%s.local_ports", path);
		err = read_ports(r, k, sub, t->local, &n, FENCE_POLICY_LOCAL);
		t->nlocal = n;
	}
	k = cJSON_GetObjectItemCaseSensitive(v, "write");
	if (err >= 0 && k) {
		snprintf(sub, sizeof(sub), "%s.write", path);
		err = read_write(r, k, sub, t);
	}
	k = cJSON_GetObjectItemCaseSensitive(v, "sight");
	if (err >= 0 && k) {
		snprintf(sub, sizeof(sub), "%s.sight", path);
		err = fence_read_bool(r, k, sub, &t->sight);
	}
	k = cJSON_GetObjectItemCaseSensitive(v, "taint");
	if (err >= 0 && k) {
		snprintf(sub, sizeof(sub), "%s.taint", path);
		err = read_taint(r, k, sub, t);
		if (err >= 0 && t->taint && !t->sight)
			err = REFUSE(r, sub, "needs \"sight\": true, which shows what is read");
	}
	k = cJSON_GetObjectItemCaseSensitive(v, "confine");
	if (err >= 0 && k) {
		snprintf(sub, sizeof(sub), "%s.confine", path);
		err = fence_read_word(r, k, sub, "all", "extensions", &t->loose);
		if (err >= 0 && t->loose && (!t->sight || !(r->p->nextensions || r->p->naddons)))
			err = REFUSE(
				r, sub,
				"needs \"sight\": true, and $.browser.extensions or addons, whose "
				"connections it is about");
	}
	k = cJSON_GetObjectItemCaseSensitive(v, "unix");
	if (err < 0 || !k)
		return err;
	snprintf(sub, sizeof(sub), "%s.unix", path);
	return fence_read_unix(r, k, sub, t);
}

int fence_read_tool(struct reader *r, const cJSON *v, size_t index)
{
	struct fence_policy_tool *t = &r->p->tools[index];
	struct fence_policy_allows *allows = &r->allows[index];
	const cJSON *k, *e;
	char path[64], sub[96];
	size_t i;
	int err;

	snprintf(path, sizeof(path), "$.tools[%zu]", index);
	err = fence_read_keys(r, v, path,
			      ",name,match,allow,local_ports,unix,write,sight,taint,confine,");
	if (err < 0)
		return err;
	snprintf(sub, sizeof(sub), "%s.name", path);
	err = fence_read_label(r, cJSON_GetObjectItemCaseSensitive(v, "name"), sub, t->name,
			       sizeof(t->name));
	if (err < 0)
		return err;
	for (i = 0; i < index; i++)
		if (!strcmp(r->p->tools[i].name, t->name))
			return REFUSE(r, sub, "another tool is already called \"%s\"", t->name);
	k = cJSON_GetObjectItemCaseSensitive(v, "match");
	if (k) {
		snprintf(sub, sizeof(sub), "%s.match", path);
		err = fence_read_list(r, k, sub, FENCE_POLICY_MATCHES);
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
	err = fence_read_list(r, k, sub, FENCE_POLICY_ALLOWS);
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
	return read_more(r, v, path, t);
}
