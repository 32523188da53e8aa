/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Salesforce host grammar (enhanced domains):
 *
 *   <label>[.<partition>].<suffix>     label = MyDomain[--Sandbox][--Package | --UniqueID]
 *
 * A name is read from the configured My Domain outward, never by splitting at its first "--":
 * whether a My Domain may itself have one is not documented. Organisations' suffixes are not in the
 * Public Suffix List, so nothing here groups by registrable domain. Source: Salesforce Help, "My
 * Domain URL Formats" and "Partitioned Domains".
 */
#ifndef FENCE_CRM_HOSTS_H
#define FENCE_CRM_HOSTS_H

#include <stddef.h>

#define FENCE_ORG_SANDBOXES 32
#define FENCE_ORG_IDS 16
#define FENCE_MY_DOMAIN_MAX 40

struct fence_org {
	char my_domain[FENCE_MY_DOMAIN_MAX + 1]; /* lower case; empty: none */
	char partition[16]; /* "", "develop", "scratch", "demo", "free", "patch", "trailblaze" */
	char sandboxes[FENCE_ORG_SANDBOXES][FENCE_MY_DOMAIN_MAX + 1];
	size_t nsandboxes;
	char ids[FENCE_ORG_IDS][19];
	size_t nids;
	int login_hosts; /* login.salesforce.com and, with sandboxes, test.salesforce.com */
	int government; /* the .mil twins too */
	int china; /* the .cn twins too */
	int defender; /* each also with ".mcas.ms" */
};

enum fence_host_class {
	FENCE_HOST_OTHER, /* not Salesforce's */
	FENCE_HOST_OWN, /* of this org */
	FENCE_HOST_SANDBOX, /* of this My Domain, but a sandbox or partition that is not listed */
	FENCE_HOST_FOREIGN, /* of another org */
	FENCE_HOST_SHARED, /* Salesforce's, of all orgs: the name cannot tell whose data goes there
			    */
	FENCE_HOST_LEGACY, /* Salesforce's, auxiliary or retired */
	FENCE_HOST_IP, /* an address literal, not a name */
	FENCE_HOST_INVALID, /* not a host name */
};

const char *fence_host_class_name(enum fence_host_class c);

/*
 * Call `each` for every pattern of the org's own hosts: an exact name, or a shape
 * "acme--*.vf.force.com" (name.h). `each` returns 0, or a negative errno that ends the walk and is
 * returned.
 */
int fence_crm_own(const struct fence_org *org, int (*each)(void *ctx, const char *pattern),
		  void *ctx);

/* True for the two login hosts, which every org shares. */
int fence_crm_is_login(const char *host);

/* `host`: lower case, no trailing dot. `org` may be NULL: then nothing is own. */
enum fence_host_class fence_crm_classify(const char *host, const struct fence_org *org);

/*
 * Is `suffix` ("my.salesforce.com", no leading "*.") shared by many organisations, so that "*." in
 * front of it allows strangers?
 */
int fence_crm_is_shared_suffix(const char *suffix);

int fence_crm_partition_ok(const char *partition);

/* A 15 or 18 character id with the prefix 00D; the 18th form's case suffix is checked. */
int fence_crm_org_id_ok(const char *id);

/*
 * The 18 character form of an id of 15 (what is behind them is not looked at): one character more
 * for each five, which of them are capitals. -EINVAL: not 15 letters and digits.
 */
int fence_crm_id_checksum(const char *id, char out[19]);

/* Does a known vendor of AI models or of speech recognition answer there? */
int fence_crm_is_model(const char *host);

#endif
