/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: what a security engineer writes, checked and compiled. docs/POLICY.md is its manual
 * for people.
 *
 * fence_policy_read parses, refuses and lints in one go: a policy that it returns is one that can
 * be enforced. Its compiled form is plain arrays of the map entries of rule.h; user/kernel copies
 * them, fence_policy_decide looks them up as the programs do.
 */
#ifndef FENCE_POLICY_H
#define FENCE_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include <crmfence/decide.h>
#include <crmfence/name.h>
#include <crmfence/rule.h>

#include "base/diag.h"
#include "crm/hosts.h"

#define FENCE_POLICY_BYTES (1u << 20)
#define FENCE_POLICY_MATCHES 16 /* ways to recognise one tool */
#define FENCE_POLICY_ALLOWS 256 /* allow entries of one tool */
#define FENCE_POLICY_UNIX 16
#define FENCE_UNIX_MAX 108 /* sun_path of unix(7), with its NUL */
#define FENCE_UNIX_OWNER 128
#define FENCE_POLICY_LOCAL 16 /* loopback ports of one tool */
#define FENCE_POLICY_WRITE 16 /* directories of one tool */
#define FENCE_WRITE_MAX 256
#define FENCE_POLICY_RESOLVERS 8
#define FENCE_POLICY_PROXIES 4
#define FENCE_POLICY_WARNINGS 64
#define FENCE_POLICY_HONEY 64 /* values that must never leave */
#define FENCE_HONEY_MAX 129
#define FENCE_POLICY_USERS 64
#define FENCE_WHY_MAX 160
#define FENCE_RANGES_BYTES (4u << 20) /* of the file of "ip_ranges" */

struct fence_policy_match {
	uint8_t kind; /* enum fence_match */
	char text[256]; /* path, unit (a '*' in it stands for one octet or more), cgroup path, or
			   extension id */
	char broad[FENCE_WHY_MAX]; /* why it may be the whole machine; "" */
	uint32_t uid;
	int has_sha;
	uint8_t sha[32];
};

/*
 * One line of the policy that allows something; the rule id of a record is its index in
 * fence_policy.rules.
 */
struct fence_policy_rule {
	uint8_t tool;
	uint8_t flags; /* FENCE_RULE_* */
	uint16_t nports;
	uint16_t ports[FENCE_PORTS_MAX];
	char path[96]; /* JSON path of the line */
	char text[FENCE_NAME_MAX + 64]; /* pattern or CIDR */
	char why[FENCE_WHY_MAX];
};

/* A Unix socket that a session may reach, and who has to listen there. */
struct fence_policy_unix {
	char path[FENCE_UNIX_MAX]; /* absolute; "%t/" is a user's runtime directory; "@" abstract */
	char owner[FENCE_UNIX_OWNER]; /* executable, or unit, which has no '/'; "": at this path
					none but root can listen */
	int unproved; /* "unproved": its name will do where nobody sees who listens (tier B) */
};

/* What a desktop offers, by name: curated, see peers.c. */
struct fence_unix_group {
	const char *name;
	const char *what; /* in plain words */
	const char *warning; /* the way out that it is all the same */
	const char *const *paths; /* any of these, listened on ... */
	const char *const *owners; /* ... by any of these; both end with NULL */
};

/* What it means that a program has read the org's records. */
enum fence_policy_taint {
	FENCE_TAINT_NOTHING,
	FENCE_TAINT_ALERT, /* a flow of it to anybody else alarms */
	FENCE_TAINT_CONFINED, /* its session, but seen until then, is confined */
};

struct fence_policy_tool {
	char name[FENCE_TOOL_NAME_MAX];
	struct fence_policy_match match[FENCE_POLICY_MATCHES];
	size_t nmatch;
	uint16_t local[FENCE_POLICY_LOCAL]; /* loopback ports */
	size_t nlocal;
	struct fence_policy_unix unix_peers[FENCE_POLICY_UNIX];
	size_t nunix;
	uint32_t unix_groups; /* bits: indexes of fence_unix_group() */
	uint32_t unix_unproved; /* of them, those that are "unproved" */
	char write[FENCE_POLICY_WRITE][FENCE_WRITE_MAX]; /* directories that it may write below;
							    "~/" is its user's home */
	size_t nwrite; /* 0: wherever its user may */
	int sight; /* its TLS plaintext is read: requests and actions are recorded */
	int loose; /* a browser: seen, not confined; listed extensions are held to `allow` */
	int taint; /* enum fence_policy_taint */
};

#define FENCE_ADDON_MAX 81 /* an add-on's id, terminated */

struct fence_policy_proxy {
	char host[FENCE_NAME_MAX + 1]; /* name or address */
	uint16_t port;
	int is_addr;
	uint8_t addr[16];
};

/* Who a Linux user is in Salesforce. */
struct fence_policy_user {
	uint32_t uid;
	char id[19]; /* 005... */
};

struct fence_policy_name {
	struct fence_name_key key;
	struct fence_rule rule;
};

struct fence_policy_net {
	struct fence_net_key key;
	uint32_t rule;
};

/* Addresses that Salesforce says are its own. */
struct fence_policy_range {
	uint8_t addr[16];
	uint32_t bits;
};

struct fence_policy {
	char name[64];
	char file[256];
	uint8_t sha[32]; /* of the file */
	uint8_t digest[32]; /* of it and of what it reads: whether another policy is the same */
	int monitor;
	int quic_allow;
	long ttl_floor, ttl_ceiling; /* seconds */
	long heartbeat; /* seconds that the agent may be silent before sessions reach nothing */
	long unseen_days; /* that a tool may be without a session before that is told */
	long distinct; /* DNS questions that differ, of a session, a minute */
	struct fence_org org;
	struct fence_policy_tool tools[FENCE_TOOL_MAX];
	size_t ntools; /* tool id = index + 1 */
	int resolvers_system;
	uint8_t resolvers[FENCE_POLICY_RESOLVERS][16];
	size_t nresolvers;
	struct fence_policy_proxy proxies[FENCE_POLICY_PROXIES];
	size_t nproxies;
	char honey[FENCE_POLICY_HONEY][FENCE_HONEY_MAX];
	size_t nhoney;
	struct fence_policy_user users[FENCE_POLICY_USERS];
	size_t nusers;
	char extensions[FENCE_POLICY_MATCHES][33];
	size_t nextensions;
	char addons[FENCE_POLICY_MATCHES][FENCE_ADDON_MAX]; /* Firefox's, by their own ids */
	size_t naddons;
	/* compiled; owned */
	struct fence_policy_rule *rules;
	size_t nrules;
	struct fence_policy_name *names;
	size_t nnames;
	struct fence_policy_net *nets;
	size_t nnets;
	char ranges_file[256]; /* "": the policy has none */
	uint8_t ranges_sha[32];
	int ranges_tell; /* what is outside of them is let through, and told */
	struct fence_policy_range *ranges;
	size_t nranges;
	struct fence_diag warnings[FENCE_POLICY_WARNINGS];
	size_t nwarnings;
};

#define FENCE_POLICY_ERRORS 20 /* that are told */

/* All that is wrong with a policy, in the order of its text. */
struct fence_policy_errors {
	struct fence_diag d[FENCE_POLICY_ERRORS];
	size_t count; /* that there are: those behind the last that is told are told as a number */
};

/*
 * Read, check and compile `file`. 0: *ret is owned by the caller. Negative errno: *ret untouched,
 * `e` (which may be NULL) says why. `text` is terminated: text[len] is NUL.
 */
int fence_policy_read(const char *file, struct fence_policy **ret, struct fence_policy_errors *e);
int fence_policy_parse(const char *text, size_t len, const char *file, struct fence_policy **ret,
		       struct fence_policy_errors *e);
void fence_policy_free(struct fence_policy *p);

/* Tool id by name, 0 when there is none. */
uint8_t fence_policy_tool(const struct fence_policy *p, const char *name);
const char *fence_policy_tool_name(const struct fence_policy *p, uint8_t tool);
int fence_policy_loose(const struct fence_policy *p, uint8_t tool); /* begins seen, not confined */
int fence_policy_taints(const struct fence_policy *p, uint8_t tool); /* confined once it has read */
int fence_policy_sees(const struct fence_policy *p, uint8_t tool); /* "sight" */

#define FENCE_FREE_EXTENSIONS 1 /* Chromium's */
#define FENCE_FREE_ADDONS 2 /* Firefox's */
/*
 * Which of the listed extensions run in a browser that no tool recognises, so that what they send
 * is neither seen nor held; FENCE_FREE_*. Browsers are told by the names of their programs and
 * units.
 */
int fence_policy_leaves(const struct fence_policy *p);
extern const char fence_policy_leaves_why[], fence_policy_leaves_remedy[];

/* What one asks `policy decide`. */
struct fence_query {
	uint8_t tool;
	const char *host; /* as a person writes it: any case, a trailing dot */
	int has_addr;
	uint8_t addr[16];
	uint16_t port;
	uint8_t proto;
};

struct fence_answer_to {
	struct fence_facts facts;
	struct fence_verdict verdict;
	enum fence_host_class host_class;
	uint32_t rule; /* ~0: none */
	char host[300]; /* as it was understood */
};

/*
 * Decide as the kernel would for a whole flow: the name is asked of DNS (unless an address is
 * given, which then has to be listed or local), connected to, and said in the hello.
 */
void fence_policy_decide(const struct fence_policy *p, const struct fence_query *q,
			 struct fence_answer_to *a);

/* The rule for a whole name: as the `names` trie finds it. NULL: none. */
const struct fence_policy_name *fence_policy_find(const struct fence_policy *p, uint8_t tool,
						  const char *host);

/*
 * May an answer of DNS lead a name of a rule with these FENCE_RULE_* to the address? FENCE_FORM_OK,
 * or what is wrong with it, as the programs have it.
 */
uint8_t fence_policy_leads(const struct fence_policy *p, uint16_t flags, const uint8_t addr[16]);

/* Does who listens there answer for the network? Then no policy may list it. */
int fence_unix_resolves(const char *path);

/* NULL behind the last. */
const struct fence_unix_group *fence_unix_group(size_t i);

#define FENCE_UNIX_UNPROVED 0x1
#define FENCE_UNIX_CURATED 0x2 /* of a group */

/*
 * Every (path, owner) that a tool lists, with FENCE_UNIX_* flags, groups unfolded; until `each`
 * returns other than 0.
 */
typedef int fence_unix_one(void *ctx, const char *path, const char *owner, int flags);
int fence_policy_unix_each(const struct fence_policy_tool *t, fence_unix_one *each, void *ctx);

/* Does a tool list a name that will do unproved? An abstract one, when `abstract`. */
int fence_policy_unproved(const struct fence_policy_tool *t, int abstract);

#define FENCE_UNIX_ANYBODY (~0u)

/* "%t/" of each user who has a runtime directory, with whose it is; any other path as it is. */
typedef int fence_unix_path(void *ctx, const char *path, uint32_t user);
int fence_unix_expand(const char *path, fence_unix_path *each, void *ctx);

/*
 * Why what is at a path now is not to be reached by its name alone; NULL: a socket of root's or of
 * `user`'s is there, at a place where nobody but its own user can put another one. With `m` no
 * user's own file system is waited for: fence_unix_waits, it would have to be.
 */
struct fence_mounts;
const char *fence_unix_amiss(const char *path, uint32_t user, struct fence_mounts *m);
extern const char fence_unix_waits[];

/* Names and sentences for verdicts; "?" when out of range. */
const char *fence_reason_name(uint8_t reason);
const char *fence_reason_sentence(uint8_t reason);
const char *fence_action_name(uint8_t action);
const char *fence_at_name(uint8_t at);
const char *fence_guard_name(uint8_t guard); /* enum fence_guard */
const char *fence_addr_name(uint8_t addr);
const char *fence_namefact_name(uint8_t name);
const char *fence_match_name(uint8_t match);

struct fence_buf;

/* A line each, without the last line end; `before` in front of each but the first. */
void fence_policy_errors_text(const struct fence_policy_errors *e, const char *before,
			      struct fence_buf *out);

/* Plain words: what each tool may reach and why. */
void fence_policy_explain(const struct fence_policy *p, struct fence_buf *out);
/* The same on a page: what is confined first, the org's names once, reasons left out. */
void fence_policy_brief(const struct fence_policy *p, struct fence_buf *out);

/* The one-line change that would allow what was refused, or why none should. */
void fence_policy_flip(const struct fence_policy *p, uint8_t tool, uint8_t reason, const char *host,
		       const char *addr, uint16_t port, struct fence_buf *out);

struct fence_cases_result {
	unsigned int passed, failed;
};

/*
 * Run a cases file (docs/POLICY.md); each difference is written to `out` as one line. -EINVAL with
 * `d` for a line that is no case.
 */
int fence_policy_cases(const struct fence_policy *p, const char *file, struct fence_cases_result *r,
		       struct fence_buf *out, struct fence_diag *d);

#endif
