/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TLS sight shares between its files: sight.c attaches probes to the processes of sessions
 * whose tool asks for it, files.c knows where to, requests.c makes rows of what they say. Plaintext
 * is in memory only, and only until its exchange is over.
 */
#ifndef FENCE_AGENT_SIGHT_H
#define FENCE_AGENT_SIGHT_H

#include <errno.h>

#include "agent/agent.h"
#include "agent/look.h"
#include "agent/offsets.h"
#include "agent/scan.h"
#include "crm/action.h"
#include "kernel/sight.h"
#include "tls/find.h"
#include "wire/http.h"

#define SIGHT_FILES 512 /* files that were looked into, remembered */
#define SIGHT_LIBRARIES 16 /* of them, attached to every watched process before it maps them */
#define SIGHT_PROCS 512 /* processes watched at once; the next are not, and the log says so */
#define SIGHT_ATTACHED 16 /* files of one process that carry probes */
#define SIGHT_ROOM (48u << 20) /* octets kept of all connections together */
#define SIGHT_CONNS 1024 /* connections followed at once */
#define SIGHT_BUCKETS 4096
#define SIGHT_WAITING 4 /* hosts of one connection; the last place is taken again */
#define SIGHT_TOLD 16 /* findings of a connection that are not told again */
#define SIGHT_TOKENS 16 /* credentials of one whose user is known; the oldest goes first */
#define SIGHT_USERS 512 /* live sessions whose user is known */
#define SIGHT_TURNS 32 /* bites of the ring in one turn: 10 ms */
#define SIGHT_TURNS_FINAL 4096 /* more than there can be in it */
#define SIGHT_CLOSES 4096 /* flows that end in one turn with plaintext to be read */
#define SIGHT_HELD_NS \
	200000000ULL /* until what was held is read: its writer is still in the call */
#define SIGHT_OPEN 16384 /* descriptors: links, files, two and more of each session */
#define SIGHT_LARGEST (1u << 30) /* octets of a file that is looked into */
#define SIGHT_LIBRARY_PATH 256
#define SIGHT_BROWSERS 4 /* sessions whose extensions are remembered */
#define SIGHT_INSTALLED 64 /* extensions of one */
#define SIGHT_ADDONS 256 /* names of Firefox's, of one */
#define SIGHT_CANDIDATES 8 /* of them, told of one request */
#define ID_LETTERS 32 /* of a Chromium extension's id */
#define SIGHT_QUICK (4u << 20) /* octets that are looked through in no time */
#define SIGHT_YOUNG_NS 10000000000ULL /* a browser's launcher takes seconds */
#define SIGHT_OPAQUE 3072 /* octets: more than a handshake that is not used */
#define SIGHT_WAIT_NS 1000000000ULL /* that a session stands still, at most */
#define SIGHT_HITS 16 /* values of one request that are named */

struct sight_file {
	struct offsets_file is;
	uint64_t asked; /* boot time */
	int err; /* of fence_tls_find; 0: it has a TLS stack; -EINPROGRESS: it is looked into */
	uint8_t told;
	uint8_t awaited; /* it takes a while, or is hardly anything but a TLS library */
	uint8_t kept; /* for the next run: what is found, by who saw root's files alone before */
	int fd; /* owned; open until it is known to have none: /proc/self/fd names the very file */
	struct fence_tls_points points;
};

struct sight_proc {
	uint32_t tgid; /* 0: free */
	uint64_t session;
	uint64_t over; /* boot time when its session was found to be; 0: it is not */
	struct fence_mapped *mapped; /* owned; of the process a session began with */
	uint32_t files[SIGHT_ATTACHED]; /* indexes, that carry probes for it */
	uint8_t told[SIGHT_ATTACHED]; /* it has mapped it: the log has a row */
	unsigned int nfiles;
};

/* What a policy says of a request's host; asked once for many requests to it. */
struct sight_host {
	char name[256]; /* without its port, lower case */
	uint64_t generation; /* of the policy; 0: nothing is known */
	uint64_t cookie; /* whose flow was looked at */
	uint8_t own; /* of the policy's org, or a login host */
	uint8_t refused;
};

struct sight_conn {
	uint64_t id, cookie, session, exec;
	uint64_t next[2]; /* offset that is expected, by direction */
	uint64_t counted[2]; /* of next: told of its flow */
	uint64_t missed[2]; /* octets that did not come, by direction: a full ring, a very long call
			     */
	uint64_t before; /* octets written before the chunk that is read now */
	uint64_t time; /* of the chunk that is read now */
	uint32_t tgid;
	uint8_t tool, how, begun[2];
	uint64_t told[SIGHT_TOLD]; /* findings that were told: over what is wrong, host and org */
	uint8_t ntold;
	uint8_t owed; /* what is wrong: to be told when its socket is known, or it ends */
	char owed_host[256], owed_org[16]; /* of the request that owes */
	char waiting[SIGHT_WAITING][256]; /* hosts that were asked before its flow was known */
	uint8_t nwaiting;
	struct sight_host host; /* of the last request */
	uint8_t paged; /* whose scripts may have made its pages' requests was told */
	char extension[FENCE_ADDON_MAX]; /* that opened it: an origin said so; empty: not known */
	uint8_t by_permissions; /* ... or no other installed may ask what it asks */
	uint8_t listed; /* whoever it is of, the policy lists it */
	char sni[256];
	struct fence_http *http; /* owned; NULL until the first octets */
	struct agent *agent;
	struct sight_conn *chain;
};

/* Who a session is in Salesforce, as its own sign-ons said. */
struct sight_user {
	uint64_t session;
	char user[FENCE_CRM_ID]; /* of the last sign-on; empty: there was none */
	uint8_t told; /* that it is no person */
	unsigned int turn; /* whose place is taken next */
	struct {
		uint64_t credential; /* 0: free */
		char user[FENCE_CRM_ID];
	} tokens[SIGHT_TOKENS];
};

struct sight {
	struct fence_sight *kernel; /* owned */
	struct sight_file files[SIGHT_FILES];
	unsigned int nfiles, turn; /* turn: whose slot is taken next when all are */
	struct look *look; /* owned */
	struct offsets *known, *found; /* owned, until the agent begins: of the last run, of this */
	unsigned int opening; /* files that were asked for */
	uint8_t refused; /* one of them cannot be looked into: to be told of its processes */
	uint8_t strangers; /* files that others than root can write were looked into */
	uint64_t nknown, nlooked; /* files that were in `known`; that were looked into */
	char libraries[SIGHT_LIBRARIES][SIGHT_LIBRARY_PATH];
	unsigned int nlibraries;
	struct sight_proc procs[SIGHT_PROCS];
	struct sight_conn *conns[SIGHT_BUCKETS]; /* owned chains */
	unsigned int nconns;
	struct fence_http_hooks hooks;
	uint64_t read; /* boot time of the last record of the ring that was read */
	struct fence_rec_close closes[SIGHT_CLOSES];
	unsigned int ncloses;
	size_t room; /* of SIGHT_ROOM, still free */
	struct fence_values *values; /* owned: fingerprints of what the org answered */
	struct fence_values *honey; /* owned: of the policy's honey; NULL: it has none */
	__u64 credentials[FENCE_HASH_KEY]; /* key of their numbers, of this run and nowhere else */
	struct sight_user users[SIGHT_USERS];
	unsigned int nusers;
	struct sight_browser *browsers[SIGHT_BROWSERS]; /* owned */
	uint32_t question; /* the last about one of them */
	uint64_t streams, unseen; /* TLS connections that are over; of which nothing was seen */
	uint64_t bad, lost, requests, unfollowed, missed[FENCE_SIGHT_MISS_MAX];
	uint64_t looked; /* boot time of the last look for processes that are gone */
	int ready; /* owned; an idle event (fence_mapped_ready), or negative: sessions wait a little
		    */
	int ep; /* of the watched processes' events and the ring */
};

/* files.c */
/*
 * The file at `path`, opened and looked into once, both by others. It may not be known yet
 * (-EINPROGRESS): then `session` (0: none) is frozen if it is young and the file is likely to be
 * what it speaks TLS with. NULL: it cannot be opened, or no room.
 */
struct sight_file *sight_file_at(struct agent *a, const char *path, uint64_t session);
void sight_file_points(const struct sight_file *f, struct fence_sight_point *out);
void sight_file_opened(struct agent *a, const struct scan_answer *r);
int sight_files_turn(struct agent *a); /* 1: something is known now of a file with a TLS stack */
void sight_files_thaw(struct agent *a); /* sessions, when none has to wait for a file any more */
int sight_files_known(struct agent *a, struct sight *s); /* what the last run kept; or -ENOMEM */
/* The system's libraries, which are tried, and the policy's programs. */
void sight_files_first(struct agent *a);
void sight_files_renew(struct agent *a); /* ... again, where another file is in their place */
void sight_files_done(struct agent *a);
static inline int sight_file_is_none(const struct sight_file *f) /* no TLS stack in it */
{
	return f->err == -ENOENT || f->err == -ENOEXEC;
}

/* evidence.c: what left, who read, and as whom */
int sight_values(struct sight *s); /* 0, or a negative errno */
void sight_honey(struct agent *a); /* anew, from the policy in force */

/*
 * Search what goes to `host`, which is not the org's. 1: there is something of the org's in it; it
 * was told. `request`: the row's number; 0: it has none yet.
 */
int sight_leaves(struct sight_conn *c, const char *text, size_t len, const char *host,
		 int64_t request);

/* Its program has read what the org holds; it asks somebody else. */
void sight_taints(struct sight_conn *c, int64_t request);
void sight_confines(struct sight_conn *c); /* it reads, and the policy confines who has */
void sight_tainted(struct sight_conn *c);

/*
 * The answer of the org names the user whom it gave a credential, or whose the request's is. From
 * then on the session is that user, and what carries a credential is whose that was given to.
 */
void sight_signs_on(struct sight_conn *c, const struct fence_exchange *x,
		    const struct fence_crm_call *call, int64_t request);
void sight_grant(struct sight_conn *c, const char *grant);

/* The number of a request's credential, also of one in its SOAP head; 0: it has none. */
uint64_t sight_credential(struct agent *a, const struct fence_exchange *x,
			  const struct fence_crm_call *call);
/*
 * The Salesforce user of a request with this credential, and how that is known: "sign-on",
 * "policy"; NULL, "not-shown": it carries a credential of nobody known; NULL, NULL.
 */
const char *sight_user(const struct sight_conn *c, uint64_t credential, const char **by);

/* initiator.c */
void sight_label(struct sight_conn *c, const struct fence_exchange *x, const struct sight_host *h);
/* Who in the browser asked, and how that is known; `by` NULL: nothing points at an extension. */
const char *sight_initiator(const struct sight_conn *c, const struct fence_exchange *x,
			    const char **by);
/* "extension", "navigation" (a person, or what opened a tab), "page"; NULL: it may be either. */
const char *sight_kind(const struct sight_conn *c, const struct fence_exchange *x, int extension);
int sight_is_origin(const char *s); /* is it one, and nothing else? */
void sight_put_ids(struct fence_json *j, const char *key, const char *const *ids, size_t n);

/* extensions.c: of a browser, what it has installed */
/*
 * Ids of extensions that may ask `host`; `scripts`: that may run in its pages. How many. `wait`: a
 * moment, where it is long ago that the browser's files were read; not while a row is built.
 */
size_t sight_candidates(const struct sight_conn *c, const char *host, int scripts, int wait,
			const char *ids[SIGHT_CANDIDATES]);
/*
 * Whom a request of an unknown extension to `host` can be of: 1: all whom it can be are listed in
 * the policy. *id: the only one; NULL.
 */
int sight_sole(const struct sight_conn *c, const char *host, const char **id);
/*
 * Firefox: the id of the add-on whose origin is moz-extension://uuid into `out`, 0, or -ENOENT. The
 * listed ones of that profile are held from then on; so are those of a browser that begins.
 */
int sight_addon(const struct sight_conn *c, const char *uuid, char out[FENCE_ADDON_MAX]);
void sight_addons(struct agent *a, uint32_t tgid, uint64_t session);
void sight_browsers_done(struct sight *s);
void sight_browser_answer(struct agent *a, const struct scan_answer *r);

/* sight.c: is its process one that has BoringSSL in it, as Chromium's kin have? */
int sight_is_chromium(const struct sight_conn *c);

/* requests.c */
/* Enforced, and confined, or in a browser that is not: a listed extension's. */
int sight_may_end(const struct sight_conn *c);
int sight_hooks(struct sight *s); /* 0, or -ENOMEM */
void sight_record(void *ctx, const struct fence_sight_rec *r);
/* The kernel kept a request on it from leaving, and has its connection ended. */
int sight_held(const struct agent_flow *f);
void sight_forget(struct agent *a, uint64_t session); /* its connections are over */

#endif
