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

static void read_ports(struct reader *r, const cJSON *v, const char *path, uint16_t *ports,
		       uint16_t *nports, int max)
{
	const cJSON *e;
	char sub[160];
	uint16_t i;
	int at = 0;
	long n = 0;

	if (fence_read_list(r, v, path, max) < 0)
		return;
	*nports = 0;
	cJSON_ArrayForEach (e, v) {
		snprintf(sub, sizeof(sub), "%s[%d]", path, at++);
		if (fence_read_int(r, e, sub, 1, 65535, &n) < 0)
			continue;
		for (i = 0; i < *nports && ports[i] != n; i++)
			;
		if (i < *nports)
			REFUSE(r, sub, "this port is listed twice; keep one");
		else
			ports[(*nports)++] = (uint16_t)n;
	}
}

/* "private": what DNS gives for it may be an address of the company's own. */
static void read_private(struct reader *r, const cJSON *v, const char *path,
			 struct fence_policy_allow *a)
{
	const cJSON *k = cJSON_GetObjectItemCaseSensitive(v, "private");
	int is_private = 0;
	char sub[128];

	if (!k)
		return;
	snprintf(sub, sizeof(sub), "%s.private", path);
	fence_read_bool(r, k, sub, &is_private);
	if (is_private)
		a->rule.flags |= FENCE_RULE_PRIVATE;
}

/* "crm.own", or { "set": "crm.own", ... } */
static int read_set(struct reader *r, const cJSON *v, const char *path,
		    struct fence_policy_allow *a)
{
	const char *name = cJSON_IsString(v) ? v->valuestring : "";
	char meant[FENCE_MEANT];
	unsigned int port;
	size_t n;

	if (strcmp(name, "crm.own") && fence_read_near(name, ",crm.own,", &n))
		return REFUSE(r, path, "is no rule set; did you mean \"crm.own\"?");
	if (strcmp(name, "crm.own") && fence_meant_host(name, meant, &port))
		snprintf(meant, sizeof(meant), "%s", strchr(name, '.') ? name : "...");
	if (strcmp(name, "crm.own"))
		return REFUSE(r, path,
			      "is no rule set; the only one is \"crm.own\"; a host is written { "
			      "\"host\": \"%.100s\", \"why\": \"...\" }",
			      meant);
	if (!r->org)
		return REFUSE(r, path,
			      "needs $.org to say whose: \"org\": { \"my_domain\": \"...\" }");
	a->kind = FENCE_ALLOW_OWN;
	snprintf(a->rule.text, sizeof(a->rule.text), "crm.own");
	snprintf(a->rule.why, sizeof(a->rule.why), "the customer's own Salesforce org");
	return 0;
}

static void read_host(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_allow *a)
{
	const cJSON *tls = cJSON_GetObjectItemCaseSensitive(v, "tls");
	char sub[128];
	int is_tls = 1;

	a->kind = FENCE_ALLOW_HOST;
	if (tls) {
		snprintf(sub, sizeof(sub), "%s.tls", path);
		if (fence_read_bool(r, tls, sub, &is_tls) >= 0 && !is_tls)
			a->rule.flags |= FENCE_RULE_PLAIN;
	}
	read_private(r, v, path, a);
	snprintf(sub, sizeof(sub), "%s.host", path);
	fence_read_str(r, cJSON_GetObjectItemCaseSensitive(v, "host"), sub, a->rule.text,
		       sizeof(a->rule.text));
}

static void read_net(struct reader *r, const cJSON *v, const char *path,
		     struct fence_policy_allow *a)
{
	char sub[128];

	a->kind = FENCE_ALLOW_NET;
	if (cJSON_GetObjectItemCaseSensitive(v, "tls"))
		REFUSE(r, path,
		       "\"tls\" does not go with \"cidr\": an address has no name to check; leave "
		       "it "
		       "out");
	if (cJSON_GetObjectItemCaseSensitive(v, "private"))
		REFUSE(r, path,
		       "\"private\" does not go with \"cidr\": the network is listed as it is; "
		       "leave "
		       "it out");
	snprintf(sub, sizeof(sub), "%s.cidr", path);
	fence_read_str(r, cJSON_GetObjectItemCaseSensitive(v, "cidr"), sub, a->rule.text,
		       sizeof(a->rule.text));
}

/* 0: there is something to compile. */
static int read_allow(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_allow *a)
{
	const cJSON *host, *cidr, *ports;
	char sub[128];

	a->rule.nports = 1;
	a->rule.ports[0] = 443;
	snprintf(a->rule.path, sizeof(a->rule.path), "%s", path);
	if (cJSON_IsString(v))
		return read_set(r, v, path, a);
	if (cJSON_GetObjectItemCaseSensitive(v, "set")) {
		fence_read_keys(r, v, path, ",set,private,");
		read_private(r, v, path, a);
		snprintf(sub, sizeof(sub), "%s.set", path);
		return read_set(r, cJSON_GetObjectItemCaseSensitive(v, "set"), sub, a);
	}
	if (fence_read_keys(r, v, path, ",host,cidr,ports,why,tls,private,") < 0)
		return -EINVAL;
	host = cJSON_GetObjectItemCaseSensitive(v, "host");
	cidr = cJSON_GetObjectItemCaseSensitive(v, "cidr");
	ports = cJSON_GetObjectItemCaseSensitive(v, "ports");
	if (!!host + !!cidr != 1)
		return REFUSE(r, path, "needs exactly one of host, cidr");
	snprintf(sub, sizeof(sub), "%s.why", path);
	if (cJSON_GetObjectItemCaseSensitive(v, "why"))
		fence_read_str(r, cJSON_GetObjectItemCaseSensitive(v, "why"), sub, a->rule.why,
			       sizeof(a->rule.why));
	else
		REFUSE(r, sub, "write \"why\": \"...\", the reason that an auditor will read");
	if (ports) {
		snprintf(sub, sizeof(sub), "%s.ports", path);
		read_ports(r, ports, sub, a->rule.ports, &a->rule.nports, FENCE_PORTS_MAX);
	}
	if (cidr)
		read_net(r, v, path, a);
	else
		read_host(r, v, path, a);
	return a->rule.text[0] ? 0 : -EINVAL;
}

/* Directories that a session may write below. */
static void read_write(struct reader *r, const cJSON *v, const char *path,
		       struct fence_policy_tool *t)
{
	const cJSON *e;
	char sub[112], *p;
	size_t i = 0;

	if (fence_read_list(r, v, path, FENCE_POLICY_WRITE) < 0)
		return;
	cJSON_ArrayForEach (e, v) {
		snprintf(sub, sizeof(sub), "%s[%zu]", path, i++);
		p = t->write[t->nwrite];
		if (fence_read_str(r, e, sub, p, FENCE_WRITE_MAX) < 0)
			continue;
		if ((p[0] != '/' && strncmp(p, "~/", 2)) || !fence_path_is_plain(p))
			REFUSE(r, sub,
			       "must be an absolute directory, or one below the user's home, "
			       "\"~/...\", without \"//\", \"/./\" or \"/../\"");
		else
			t->nwrite++;
	}
}

static void read_taint(struct reader *r, const cJSON *v, const char *path,
		       struct fence_policy_tool *t)
{
	static const char *const words[] = { "nothing", "alert", "confined" };
	const char *word = cJSON_IsString(v) ? v->valuestring : "", *near;
	size_t n = 0;

	for (t->taint = FENCE_TAINT_CONFINED; t->taint >= 0; t->taint--)
		if (!strcmp(word, words[t->taint]))
			break;
	if (t->taint > 0 && !t->sight)
		REFUSE(r, path, "needs \"sight\": true, which shows what is read");
	if (t->taint >= 0)
		return;
	t->taint = FENCE_TAINT_NOTHING;
	near = fence_read_near(word, ",nothing,alert,confined,", &n);
	if (near)
		REFUSE(r, path, "did you mean \"%.*s\"?", (int)n, near);
	else
		REFUSE(r, path, "must be \"nothing\", \"alert\" or \"confined\"");
}

/* What a tool may have besides. */
static void read_more(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_tool *t)
{
	const cJSON *k;
	char sub[96];
	uint16_t n = 0;

	k = cJSON_GetObjectItemCaseSensitive(v, "local_ports");
	snprintf(sub, sizeof(sub), "%s.local_ports", path);
	if (k)
		read_ports(r, k, sub, t->local, &n, FENCE_POLICY_LOCAL);
	t->nlocal = n;
	k = cJSON_GetObjectItemCaseSensitive(v, "write");
	snprintf(sub, sizeof(sub), "%s.write", path);
	if (k)
		read_write(r, k, sub, t);
	k = cJSON_GetObjectItemCaseSensitive(v, "sight");
	snprintf(sub, sizeof(sub), "%s.sight", path);
	if (k && fence_read_bool(r, k, sub, &t->sight) < 0)
		t->sight = 1; /* what needs it is not told too */
	k = cJSON_GetObjectItemCaseSensitive(v, "taint");
	snprintf(sub, sizeof(sub), "%s.taint", path);
	if (k)
		read_taint(r, k, sub, t);
	k = cJSON_GetObjectItemCaseSensitive(v, "confine");
	snprintf(sub, sizeof(sub), "%s.confine", path);
	if (k && fence_read_word(r, k, sub, "all", "extensions", &t->loose) >= 0 && t->loose &&
	    (!t->sight || !(r->p->nextensions || r->p->naddons)))
		REFUSE(r, sub,
		       "needs \"sight\": true, and $.browser.extensions or addons, whose "
		       "connections it is about");
	k = cJSON_GetObjectItemCaseSensitive(v, "unix");
	snprintf(sub, sizeof(sub), "%s.unix", path);
	if (k)
		fence_read_unix(r, k, sub, t);
}

static void read_name(struct reader *r, const cJSON *v, const char *path, size_t index)
{
	struct fence_policy_tool *t = &r->p->tools[index];
	char meant[FENCE_MEANT];
	size_t i;

	if (fence_read_label(r, v, path, t->name, sizeof(t->name)) < 0) {
		if (cJSON_IsString(v) && !fence_meant_label(v->valuestring, meant))
			REFUSE(r, path,
			       "must be lower-case letters, digits and inner hyphens; write "
			       "\"%.*s\"",
			       (int)sizeof(t->name) - 1, meant);
		else
			REFUSE(r, path,
			       "must be 1 to %zu lower-case letters, digits and inner hyphens",
			       sizeof(t->name) - 1);
		return;
	}
	for (i = 0; i < index; i++)
		if (!strcmp(r->p->tools[i].name, t->name))
			REFUSE(r, path, "is the name of $.tools[%zu] already; choose another", i);
}

static void read_matches(struct reader *r, const cJSON *v, const char *path,
			 struct fence_policy_tool *t)
{
	const cJSON *e;
	char sub[96];
	size_t i = 0;

	if (fence_read_list(r, v, path, FENCE_POLICY_MATCHES) < 0)
		return;
	cJSON_ArrayForEach (e, v) {
		snprintf(sub, sizeof(sub), "%.60s[%zu]", path, i++);
		read_match(r, e, sub, &t->match[t->nmatch++]);
	}
}

static void read_allows(struct reader *r, const cJSON *v, const char *path, size_t tool)
{
	struct fence_policy_allows *allows = &r->allows[tool];
	const cJSON *e;
	char sub[96];
	size_t i = 0;

	if (fence_read_list(r, v, path, FENCE_POLICY_ALLOWS) < 0)
		return;
	allows->list = calloc((size_t)cJSON_GetArraySize(v), sizeof(*allows->list));
	if (!allows->list) {
		REFUSE(r, path, "no memory");
		return;
	}
	cJSON_ArrayForEach (e, v) {
		snprintf(sub, sizeof(sub), "%.60s[%zu]", path, i++);
		allows->list[allows->count].rule.tool = (uint8_t)(tool + 1);
		if (read_allow(r, e, sub, &allows->list[allows->count]) >= 0)
			allows->count++;
		else
			memset(&allows->list[allows->count], 0, sizeof(*allows->list));
	}
}

void fence_read_tool(struct reader *r, const cJSON *v, size_t index)
{
	struct fence_policy_tool *t = &r->p->tools[index];
	const cJSON *match, *allow;
	char path[64], sub[96];

	snprintf(path, sizeof(path), "$.tools[%zu]", index);
	if (fence_read_keys(r, v, path,
			    ",name,match,allow,local_ports,unix,write,sight,taint,confine,") < 0)
		return;
	snprintf(sub, sizeof(sub), "%s.name", path);
	read_name(r, cJSON_GetObjectItemCaseSensitive(v, "name"), sub, index);
	match = cJSON_GetObjectItemCaseSensitive(v, "match");
	snprintf(sub, sizeof(sub), "%s.match", path);
	if (match)
		read_matches(r, match, sub, t);
	allow = cJSON_GetObjectItemCaseSensitive(v, "allow");
	snprintf(sub, sizeof(sub), "%s.allow", path);
	if (allow)
		read_allows(r, allow, sub, index);
	else
		REFUSE(r, sub, "list what the tool may reach, such as [ \"crm.own\" ]");
	read_more(r, v, path, t);
}
