/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts: the one table of them (alerts.def), which of them a denial is, and when the same again is
 * but one more. Pure: no clock, no log; times are the caller's, nanoseconds.
 */
#ifndef FENCE_ALERT_ALERT_H
#define FENCE_ALERT_ALERT_H

#include <stdint.h>

#include <crmfence/decide.h>

#include "crm/hosts.h"

enum fence_alert {
#define ALERT(id, name, severity, keys, trigger, remedy) FENCE_ALERT_##id,
#include "alert/alerts.def"
#undef ALERT
	FENCE_ALERT_MAX,
};

#define FENCE_ALERT_EACH 0
#define FENCE_ALERT_BY_KIND 1 /* tool, program, class of the destination, reason, action */
#define FENCE_ALERT_BY_PLACE 2 /* the destination itself beside them */

struct fence_alert_kind {
	const char *rule, *name, *severity, *trigger, *remedy;
	uint8_t keys; /* FENCE_ALERT_* */
};

const struct fence_alert_kind *fence_alert_kind(enum fence_alert alert);
const struct fence_alert_kind *fence_alert_by_rule(const char *rule); /* NULL: no such id */

/* What a destination is. */
enum fence_place {
	FENCE_PLACE_OWN, /* of the customer's org */
	FENCE_PLACE_SANDBOX, /* of its, not listed */
	FENCE_PLACE_FOREIGN, /* another org's */
	FENCE_PLACE_SHARED, /* Salesforce's, of all orgs */
	FENCE_PLACE_SALESFORCE, /* Salesforce's, other */
	FENCE_PLACE_AI, /* an AI vendor's */
	FENCE_PLACE_DROP, /* where anybody fetches what was left */
	FENCE_PLACE_DOH, /* answers DNS inside of HTTPS */
	FENCE_PLACE_HOST, /* any other host with a name */
	FENCE_PLACE_ADDRESS, /* without a name */
	FENCE_PLACE_MACHINE, /* this machine */
	FENCE_PLACE_UNIX, /* a Unix socket */
	FENCE_PLACE_PROCESS, /* another process, by no socket */
	FENCE_PLACE_SOCKET, /* nobody yet: a kind of socket, an option */
	FENCE_PLACE_INCOMING, /* who connects from outside */
	FENCE_PLACE_MAX,
};

const char *fence_place_name(enum fence_place p);

/* `host`: a name as it was asked for, NULL or "" when there is none; `org` may be NULL. */
enum fence_place fence_place_of(const struct fence_facts *f, const char *host,
				const struct fence_org *org);
enum fence_place fence_place_of_host(const char *host, const struct fence_org *org);

/* A request or connection for a host of this place that is not allowed. */
enum fence_alert fence_alert_of_place(enum fence_place p);

/* Which alert a denial is. `guard`: at FENCE_AT_LOCAL, what it was about. */
enum fence_alert fence_alert_of(const struct fence_facts *f, uint8_t reason, uint16_t guard,
				uint16_t port, enum fence_place p);

/*
 * The alerts that are open. The first of a key is a row at once; the same again adds to `pending`,
 * which the caller writes down and clears. After FENCE_ALERT_QUIET_NS without one, the next is a
 * first again. A tool that has many open (it gives its program ever new paths) has the rest of them
 * without the program's name, so that no flood of denials is a flood of alerts.
 */
#define FENCE_ALERT_OPEN 512
#define FENCE_ALERT_OPEN_TOOL 64
#define FENCE_ALERT_QUIET_NS (30ULL * 60 * 1000000000)

struct fence_alert_key {
	uint64_t program; /* hash of its path; 0: any */
	uint64_t place; /* hash of the destination, FENCE_ALERT_BY_PLACE; else 0 */
	uint8_t alert, tool, class, reason, action;
	uint8_t spare[3];
};

struct fence_alert_open {
	struct fence_alert_key key;
	uint64_t last; /* when it was seen last; 0: free */
	uint64_t pending; /* not written down yet */
	int64_t row; /* of the log: the first; the caller's */
	uint64_t session, exec; /* of the last; the caller's */
	uint32_t pid;
	char where[256];
};

struct fence_alert_book {
	struct fence_alert_open open[FENCE_ALERT_OPEN];
};

/* The open alert of the key; NULL: it is new. `key` may lose its program here. */
struct fence_alert_open *fence_alert_find(struct fence_alert_book *b, struct fence_alert_key *key,
					  uint64_t now);
/*
 * A place for a new one: free, or the one that is quiet for longest. What is pending there is the
 * caller's to write down before it calls fence_alert_begin.
 */
struct fence_alert_open *fence_alert_place(struct fence_alert_book *b);
void fence_alert_begin(struct fence_alert_open *o, const struct fence_alert_key *key, uint64_t now);

#endif
