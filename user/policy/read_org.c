// SPDX-License-Identifier: Apache-2.0
/* $.org: whose Salesforce org it is. */
#include <pwd.h>

#include "base/cleanup.h"
#include "crm/action.h"
#include "crm/hosts.h"
#include "crm/values.h"
#include "policy/read.h"

/* Values, or ids, of records that nobody has a reason to take anywhere. */
static void read_honey(struct reader *r, const cJSON *v)
{
	const cJSON *e;
	char path[48];
	size_t i = 0;
	char *honey;

	if (fence_read_list(r, v, "$.org.honey", FENCE_POLICY_HONEY) < 0)
		return;
	cJSON_ArrayForEach (e, v) {
		honey = r->p->honey[r->p->nhoney];
		snprintf(path, sizeof(path), "$.org.honey[%zu]", i++);
		if (fence_read_str(r, e, path, honey, FENCE_HONEY_MAX) < 0)
			continue;
		if (strlen(honey) < FENCE_VALUE_MIN)
			REFUSE(r, path,
			       "is too short: others write the same; %d characters at the least",
			       FENCE_VALUE_MIN);
		else
			r->p->nhoney++;
	}
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
static void read_users(struct reader *r, const cJSON *v)
{
	struct fence_policy_user *u;
	const cJSON *e;
	char path[96];

	if (!cJSON_IsObject(v) || cJSON_GetArraySize(v) > FENCE_POLICY_USERS) {
		REFUSE(r, "$.org.users",
		       "must be an object, of Linux users and their Salesforce user ids, %d at the "
		       "most: { \"jane\": \"005...\" }",
		       FENCE_POLICY_USERS);
		return;
	}
	cJSON_ArrayForEach (e, v) {
		u = &r->p->users[r->p->nusers];
		snprintf(path, sizeof(path), "$.org.users.%.64s", e->string);
		if (!cJSON_IsString(e) || strncmp(e->valuestring, "005", 3) ||
		    !fence_crm_record_id(e->valuestring, strlen(e->valuestring))) {
			REFUSE(r, path,
			       "must be a Salesforce user's id: 005 and 12 more letters or digits, "
			       "or the 18 character form");
			continue;
		}
		snprintf(u->id, sizeof(u->id), "%s", e->valuestring);
		if (!uid_of(e->string, &u->uid)) /* a fleet has one policy, and not each user */
			r->p->nusers++;
	}
}

/* What was meant is taken, so that what follows from the mistake is not told too. */
static void read_my_domain(struct reader *r, const cJSON *v)
{
	static const char path[] = "$.org.my_domain";
	struct fence_org *o = &r->p->org;
	char meant[FENCE_MEANT], *sandbox;

	if (!v) {
		REFUSE(r, path,
		       "write the first label of the org's own hosts: \"acme\" for "
		       "acme.my.salesforce.com");
		return;
	}
	if (fence_read_label(r, v, path, o->my_domain, sizeof(o->my_domain)) >= 0)
		return;
	if (!cJSON_IsString(v) || fence_meant_label(v->valuestring, meant)) {
		REFUSE(r, path,
		       "must be the first label of the org's hosts (\"acme\" of "
		       "acme.my.salesforce.com): lower-case letters, digits and inner hyphens, %d "
		       "at the most",
		       FENCE_MY_DOMAIN_MAX);
		return;
	}
	sandbox = strchr(v->valuestring, '.') ? strstr(meant, "--") : NULL;
	if (sandbox)
		*sandbox = 0;
	REFUSE(r, path, "must be the first label of the org's hosts alone; write \"%s\"%s%s%s",
	       meant, sandbox ? ", and \"sandboxes\": [\"" : "", sandbox ? sandbox + 2 : "",
	       sandbox ? "\"]" : "");
	snprintf(o->my_domain, sizeof(o->my_domain), "%.40s", meant);
}

static void read_partition(struct reader *r, const cJSON *v)
{
	static const char path[] = "$.org.partition";
	static const char list[] = ",develop,scratch,demo,free,patch,trailblaze,sandbox,";
	struct fence_org *o = &r->p->org;
	const char *near;
	size_t n = 0;

	if (fence_read_str(r, v, path, o->partition, sizeof(o->partition)) < 0 ||
	    fence_crm_partition_ok(o->partition))
		return;
	near = fence_read_near(o->partition, list, &n);
	if (!strncasecmp(o->partition, "prod", 4))
		REFUSE(r, path, "production has no partition: leave it out");
	else if (near)
		REFUSE(r, path, "is none; did you mean \"%.*s\"?", (int)n, near);
	else
		REFUSE(r, path,
		       "must be one of develop, scratch, demo, free, patch, trailblaze; leave it "
		       "out for production, and list sandboxes in \"sandboxes\"");
	o->partition[0] = 0;
}

static void read_sandboxes(struct reader *r, const cJSON *v)
{
	struct fence_org *o = &r->p->org;
	char path[48], meant[FENCE_MEANT], *name;
	const cJSON *e;
	size_t i = 0, j;
	int err;

	if (fence_read_list(r, v, "$.org.sandboxes", FENCE_ORG_SANDBOXES) < 0)
		return;
	cJSON_ArrayForEach (e, v) {
		snprintf(path, sizeof(path), "$.org.sandboxes[%zu]", i++);
		name = o->sandboxes[o->nsandboxes];
		err = fence_read_label(r, e, path, name, sizeof(o->sandboxes[0]));
		if (err < 0 || strstr(name, "--")) {
			if (!cJSON_IsString(e) || fence_meant_label(e->valuestring, meant)) {
				REFUSE(r, path,
				       "must be a sandbox's name alone (\"uat\" of "
				       "acme--uat.sandbox.my.salesforce.com): lower-case letters "
				       "and digits");
				continue;
			}
			name = strstr(meant, "--"); /* "acme--uat": the org's prefix is put there */
			snprintf(o->sandboxes[o->nsandboxes], sizeof(o->sandboxes[0]), "%.40s",
				 name && name[2] ? name + 2 : meant);
			name = o->sandboxes[o->nsandboxes];
			REFUSE(r, path, "must be the sandbox's name alone; write \"%s\"", name);
		}
		for (j = 0; j < o->nsandboxes && strcmp(o->sandboxes[j], name); j++)
			;
		if (j < o->nsandboxes)
			REFUSE(r, path, "is listed twice; keep one");
		else
			o->nsandboxes++;
	}
}

static void refuse_id(struct reader *r, const char *path, const char *id)
{
	size_t n = strlen(id);
	char right[19];

	if (strncmp(id, "00D", 3))
		REFUSE(r, path,
		       "is no organisation id, which begins with 00D: copy it from Setup, Company "
		       "Information");
	else if (n != 15 && n != 18)
		REFUSE(r, path,
		       "has %zu characters: an organisation id has 15, or 18 with its checksum; "
		       "copy it from Setup, Company Information",
		       n);
	else if (fence_crm_id_checksum(id, right))
		REFUSE(r, path,
		       "has other than letters and digits; copy it from Setup, Company "
		       "Information");
	else
		REFUSE(r, path,
		       "its last three characters are a checksum of the former 15, capitals or "
		       "not: "
		       "write \"%s\", or copy the id anew if one of these is wrong",
		       right);
}

static void read_ids(struct reader *r, const cJSON *v)
{
	struct fence_org *o = &r->p->org;
	char path[48], id[64];
	const cJSON *e;
	size_t i = 0;

	if (fence_read_list(r, v, "$.org.org_ids", FENCE_ORG_IDS) < 0)
		return;
	cJSON_ArrayForEach (e, v) {
		snprintf(path, sizeof(path), "$.org.org_ids[%zu]", i++);
		if (fence_read_str(r, e, path, id, sizeof(id)) < 0)
			continue;
		if (fence_crm_org_id_ok(id))
			snprintf(o->ids[o->nids++], sizeof(o->ids[0]), "%.18s", id);
		else
			refuse_id(r, path, id);
	}
}

void fence_read_org(struct reader *r, const cJSON *v)
{
	struct fence_org *o = &r->p->org;
	const struct {
		const char *key, *path;
		int *to;
	} bools[] = {
		{ "login_hosts", "$.org.login_hosts", &o->login_hosts },
		{ "government", "$.org.government", &o->government },
		{ "china", "$.org.china", &o->china },
		{ "defender", "$.org.defender", &o->defender },
	};
	static const struct {
		const char *key;
		void (*read)(struct reader *r, const cJSON *v);
	} others[] = {
		{ "partition", read_partition }, { "sandboxes", read_sandboxes },
		{ "org_ids", read_ids },	 { "honey", read_honey },
		{ "users", read_users },
	};
	const cJSON *k;
	size_t i;

	r->org = 1;
	if (fence_read_keys(r, v, "$.org",
			    ",my_domain,partition,sandboxes,org_ids,login_hosts,honey,users,"
			    "government,china,defender,ip_ranges,") < 0)
		return;
	read_my_domain(r, cJSON_GetObjectItemCaseSensitive(v, "my_domain"));
	for (i = 0; i < ARRAY_SIZE(others); i++)
		if ((k = cJSON_GetObjectItemCaseSensitive(v, others[i].key)))
			others[i].read(r, k);
	for (i = 0; i < ARRAY_SIZE(bools); i++)
		if ((k = cJSON_GetObjectItemCaseSensitive(v, bools[i].key)))
			fence_read_bool(r, k, bools[i].path, bools[i].to);
	if ((k = cJSON_GetObjectItemCaseSensitive(v, "ip_ranges")))
		fence_read_ranges(r, k);
}
