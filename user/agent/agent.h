/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crmfenced: one thread, one epoll loop. Records come from the ring in turns (every 250 ms, or when
 * the programs wake it), become rows that a process of its own writes (writer.h), and lines or a
 * table on the terminal. It is never in the data path.
 */
#ifndef FENCE_AGENT_H
#define FENCE_AGENT_H

#include <stdint.h>
#include <time.h>

#include <crmfence/event.h>

#include "agent/writer.h"
#include "alert/alert.h"
#include "base/buf.h"
#include "base/json.h"
#include "ipc/control.h"
#include "kernel/kernel.h"
#include "policy/policy.h"

#define AGENT_TURN_MS 250
#define AGENT_TURN_SIGHT_MS 100 /* while plaintext is read: what has to end is ended after it */
#define AGENT_EXECS 8192 /* programs remembered; the oldest that no longer runs goes first */
#define AGENT_FLOWS \
	32768 /* flows open at once that are remembered; the oldest is written down as it is and \
		 forgotten */
#define AGENT_NAMES 8192 /* (program, address) pairs whose name is remembered */
#define AGENT_DOOMED 1024 /* refused sockets that are destroyed together */
#define AGENT_BATCH 2000 /* rows of one transaction, about */
#define AGENT_LAST_MS 5000 /* that what was put last is given to be written */
#define AGENT_STALL_NS 5000000000ULL /* the log is not written when no row went in for so long */
#define AGENT_ADDONS 64
#define AGENT_RESOLVERS_MAX 16
#define AGENT_LATE_NS \
	1000000000ULL /* a flow open for longer gets a row of its own before it ends */

/* A program that a process runs: one a exec. */
struct agent_exec {
	uint64_t id, parent_id, start, session, cgroup;
	uint64_t ino, size, changed; /* of its file at the exec; changed: ctime in ns; 0: unknown */
	uint32_t dev, tgid, parent, uid;
	uint32_t question; /* about its arguments */
	uint8_t tool, match, rule;
	uint8_t existing, logged;
	uint64_t tainted; /* boot time: it read records of the org, as far as sight shows; 0 */
	char *path; /* owned */
	char *extension; /* owned; whose native messaging host it is, or was started by; NULL */
	struct agent_exec *next; /* hash chain */
};

struct agent_flow {
	uint64_t cookie, exec, session, opened;
	uint8_t addr[16], wire[16]; /* wire: where a refused packet of it went, as in the record */
	uint32_t tgid, uid, rule;
	uint16_t port, wire_port;
	uint16_t target; /* the port that a proxy was asked for; 0: it was not, or is not known */
	uint8_t tool, proto, action, reason, existing, logged, dns_machine;
	uint8_t owes; /* a refused request on it has no alert yet: sight's finding is one */
	uint8_t untold; /* refused, as its socket says: with what facts was lost */
	uint8_t tainted; /* that its program had read the org's records was told */
	struct fence_facts facts;
	uint64_t plain[2]; /* octets seen inside its TLS: read, written */
	char *dns, *sni; /* owned; NULL: unknown */
	uint32_t next, prev; /* by age; 0: none */
	uint32_t chain;
};

struct agent_session {
	uint64_t id, start, ended; /* ended: boot time, 0 while it lives */
	uint64_t frozen; /* boot time; while a file that it waits for is looked into; 0 */
	uint64_t procs, flows, denials, tx, rx;
	uint32_t tgid;
	uint32_t ended_in; /* epoch of `denied` in which its end was heard of */
	uint8_t tool, match, rule, refuted, told;
	uint8_t tainted; /* but seen at first, it has read from the org: confined */
	uint8_t fresh; /* of processes that ran before it: what they hold is to be looked at */
	char cgroup[300]; /* made for it; empty: none */
	int view[2]; /* owned; of `crmfence exec`: its root directory and mountinfo; 0: none */
	struct agent_session *next;
};

struct agent_totals {
	uint64_t flows, denials, would, sessions, bad, gaps, hosts;
};

/* A tool, in wall clock microseconds. */
struct agent_seen {
	int64_t first; /* the policy has listed it since */
	int64_t last; /* its last session began; 0: it had none */
	int64_t saved; /* `last` as it is on disk */
	int told; /* that nobody meets it */
};

struct agent_options {
	const char *policy, *db, *control, *cgroup, *pin_dir;
	int table, keep, quiet;
	long seconds; /* 0: until a signal */
};

/* How the log does. */
struct agent_log {
	struct writer_state now;
	uint64_t lost; /* rows that found no room, and are not in the log as a gap yet */
	uint64_t lost_ever;
	int64_t last; /* number of the last row, as far as it is known */
	uint64_t moved; /* boot time when a row was last seen to go in, or none to wait */
	int64_t since; /* wall clock, us: since when it cannot be written; 0: it can */
	char why[200];
	char told[400]; /* the last that was found otherwise than it was left */
};

struct agent_matches;
struct absences;
struct scan;
struct scanned;
struct scan_answer;
struct sight;
struct show;

struct agent {
	struct agent_options opt;
	struct fence_policy *policy; /* owned */
	struct fence_kernel *kernel; /* owned */
	struct writer *log; /* owned */
	struct fence_buf body; /* reused for every row */
	struct agent_exec **execs; /* owned; AGENT_EXECS buckets */
	struct agent_exec *exec_ring[AGENT_EXECS];
	uint32_t exec_at;
	struct agent_flow *flows; /* owned; index 0 unused */
	uint32_t *flow_buckets; /* owned */
	uint32_t flow_free, flow_fresh; /* first free slot; slots ever used */
	uint32_t flow_oldest, flow_newest,
		flow_late; /* by age; late: the first that had no row for lasting yet */
	struct agent_session *sessions; /* owned list */
	struct names *names; /* owned */
	struct scan *scan, *hasher; /* owned: what is small; hashes */
	struct scanned *scanned; /* owned */
	struct show *show; /* owned */
	struct fence_alert_book *alerts; /* owned */
	struct absences *absences; /* owned; NULL until one is met */
	unsigned int views; /* sessions that have one */
	struct sight *sight; /* owned; NULL: no tool asks for it */
	struct places *places; /* owned; NULL until one is asked for */
	struct agent_matches *matches; /* owned; what the policy calls a tool, as it is now */
	struct agent_seen seen[FENCE_TOOL_MAX]; /* by the policy's order, which stays */
	uint64_t seen_looked;
	struct agent_totals totals;
	uint64_t counters[FENCE_C_MAX]; /* as last logged */
	int64_t wall_offset; /* ns: wall clock minus boot clock, taken every turn */
	uint64_t now; /* boot time of this turn */
	uint64_t started;
	struct agent_log log_is;
	uint64_t generation;
	uint32_t stamp; /* of the services last written */
	struct timespec resolv; /* resolv.conf(5) as last read: its mtime */
	uint64_t peers, peers_looked; /* Unix sockets: over what was at their names, and when */
	uint8_t resolvers[AGENT_RESOLVERS_MAX][16]; /* of it, as last believed */
	size_t nresolvers;
	int resolv_told; /* that it is not believed */
	uint64_t dirs, dirs_looked; /* those to write: over all that were there, and when */
	struct fence_config
		config; /* as written, without the flags that programs and sessions set */
	uint64_t digest; /* of the policy in the maps */
	struct fence_doomed doomed[AGENT_DOOMED]; /* refused in this turn */
	size_t ndoomed;
	uint64_t watched; /* boot time of the last look for tampering */
	char exe[256]; /* the agent's own file */
	uint64_t exe_ino;
	int64_t exe_mtime;
	uint8_t sees_shared; /* the programs see payload that is on shared pages */
	char addons[AGENT_ADDONS][37]; /* UUIDs of Firefox's listed add-ons, as met in profiles */
	uint32_t naddons;
	uint8_t addon_new; /* one that the maps do not have yet */
	uint8_t bank; /* 0 or FENCE_BANK: where the policy in force stands */
	uint32_t epoch; /* of `denied` */
	uint64_t swept; /* boot time of the last look at `denied` */
	uint64_t committed; /* boot time when rows were last handed over */
	uint32_t uncommitted; /* rows since */
	int urgent; /* a row that should not wait */
	int moved; /* a process was moved into a tool's unit: what it has started is to be found */
};

/* identity.c */
int agent_exec_init(struct agent *a);
void agent_exec_done(struct agent *a);
struct agent_exec *agent_exec_find(struct agent *a, uint64_t id);
struct agent_exec *agent_exec_add(struct agent *a, const struct fence_rec_exec *r, int existing);
uint64_t agent_exec_tainted(struct agent *a,
			    uint64_t id); /* since when, by itself or by who began it; 0 */
void agent_exec_log(struct agent *a,
		    struct agent_exec *e); /* its row, and those of its ancestors, once */

/* scanned.c: files of strangers, read by the scanner */
int agent_scan_init(struct agent *a); /* before anything is there to be inherited */
void agent_scan_done(struct agent *a);
void agent_scan_turn(struct agent *a, int final);
/* Until what waits for the scanner is answered (*waits 0), at most `ms`. How long it was. */
int64_t agent_scan_await(struct agent *a, const uint32_t *waits, int64_t ms);
/* ... 50 ms of a second in all. */
void agent_scan_wait(struct agent *a, const uint32_t *question);
void agent_hash_want(struct agent *a, const struct agent_exec *e); /* a row, once a file */
/* The session is ended when the program has another hash than `m`: now, or once it is known. */
void agent_hash_check(struct agent *a, const struct agent_exec *e, uint64_t session,
		      const struct fence_policy_match *m, uint8_t tool);
/*
 * Of a running program: has it another one? At the agent's start this waits, a few seconds in all,
 * and what is not known then is no other. Later what is not known yet counts as another, and
 * a->moved is set when it is.
 */
int agent_hash_differs(struct agent *a, const struct agent_exec *e,
		       const struct fence_policy_match *m);
void agent_scan_begun(struct agent *a); /* the start is over */
void agent_arguments_want(struct agent *a, struct agent_exec *e); /* a row, where it is a host */
uint32_t agent_proc_owner(uint32_t tgid); /* ~0: it is gone */

/* install.c */
/* Refused where others than root can write it. */
int agent_policy_read(struct agent *a, struct fence_policy **ret, struct fence_policy_errors *e);
int agent_policy_install(struct agent *a, struct fence_diag *d);
/* `fresh` is owned by the agent from here on; on error it is gone, and the old one stays. */
int agent_policy_reload(struct agent *a, struct fence_policy *fresh, struct fence_diag *d);

uint64_t
agent_policy_digest(struct agent *a); /* over the policy's keys in force; 0: they cannot be read */
int agent_policy_restore(struct agent *a, struct fence_diag *d); /* a->policy again */
void agent_services_turn(struct agent *a); /* another network, another user: other services */
uint64_t agent_hash(const struct agent *a, const char *text); /* as the programs do: hash.h */

/* sockets.c: the Unix sockets of every tool into `put` (addr, tool, enum fence_service) */
typedef int agent_put_peer(struct agent *a, const uint8_t addr[16], uint8_t tool, uint8_t kind);
int agent_sockets_put(struct agent *a, agent_put_peer *put);
int agent_sockets_changed(struct agent *a); /* at most once a second */

/*
 * places.c: what is at a path on a user's own file system, as the scanner saw it last; it looks
 * again when that is five seconds ago. `user`: as fence_unix_amiss. `owner`: whose share of the
 * scanner's time it is of. 1: *out is it; 0: it is not known (yet).
 */
struct scan_place;
int agent_place(struct agent *a, const char *path, uint32_t user, uint32_t owner,
		struct scan_place *out);
void agent_place_answer(struct agent *a, const struct scan_answer *r);
void agent_places_done(struct agent *a);

/* dirs.c: what "write" lists, into `put`; all zero: the tool has a list */
typedef int agent_dir_put(struct agent *a, uint8_t tool, uint8_t kind, uint16_t how,
			  const uint8_t id[16]);
int agent_dirs_put(struct agent *a, agent_dir_put *put);
int agent_dirs_changed(struct agent *a); /* at most once a second */

/* rights.c */
int agent_rights_narrow(struct fence_diag *d);
void agent_yield(int yield); /* behind the machine's other work, or before it again */

/* watch.c */
void agent_watch_init(struct agent *a);
void agent_watch_turn(struct agent *a);

/* A row and a line; `err` 0: it was mended, or had no effect. */
void agent_tampered(void *agent, const char *what, const char *name, int err);

/* resolvers.c: each that the system's file names. Ends with, and returns, what is not 0. */
int agent_resolvers_put(struct agent *a, int (*put)(struct agent *a, const uint8_t addr[16]));

/* match.c */
struct agent_running {
	uint32_t tgid, uid;
	const char *exe; /* as /proc has it */
	dev_t dev; /* of its file, as stat(2) has it */
	uint64_t ino;
	const char *cgroup; /* from the v2 root */
	const struct agent_exec *exec;
};

/*
 * Look at the executables of a policy that is to be in force; at those that others than root have a
 * hand in by the scanner, for a second at most: one that does not answer by then is known by its
 * path alone until it does. 0, or -ENOMEM.
 */
int agent_matches_look(struct agent *a, const struct fence_policy *p);
void agent_matches_forget(struct agent *a, const struct fence_policy *p); /* it is freed */
int agent_matches_put(struct agent *a); /* a->policy's, looked at before, into a->bank */
void agent_matches_tell(struct agent *a); /* what is amiss with a listed executable */
void agent_matches_turn(struct agent *a); /* at most once a second */
void agent_match_looked(struct agent *a, const struct scan_answer *r);
int agent_match_narrowed(const struct agent *a, uint8_t tool, uint8_t index); /* to a build */
void agent_matches_done(struct agent *a);
void agent_matches_status(struct agent *a, struct fence_json *j); /* "tools" */
const struct fence_exe *agent_match_exe(const struct agent *a, uint8_t tool,
					uint8_t index); /* from 0; as last looked at */
/* Is it known by the policy's own name alone: what links lead to is everybody's, or not theirs? */
int agent_match_by_name(const struct fence_policy_match *m, const struct fence_exe *e);

/* running.c */
uint8_t agent_match_running(struct agent *a, const struct agent_running *r,
			    uint8_t *index); /* the tool, by that match; 0: none */

/* seen.c */
void agent_seen_load(struct agent *a); /* also for the tools of another policy */
void agent_seen_save(struct agent *a);
void agent_seen(struct agent *a, uint8_t tool); /* it has a session now */
int agent_unseen(const struct agent *a, size_t tool); /* index; not for the policy's days */
void agent_seen_turn(struct agent *a); /* at most once a minute */

/* recon.c */
int agent_reconcile(struct agent *a);
int agent_recognise(struct agent *a); /* what runs, is a tool's, and is in no session */
/* Those that sessions' processes have open; `tgid`: that this one has. */
int agent_sockets_join(struct agent *a, uint32_t tgid);

/* A running process and its descendants become a session; `out`: what was done. */
int agent_join(struct agent *a, uint32_t tgid, const char *tool, struct fence_buf *out,
	       struct fence_diag *d);

/* confine.c */
int agent_session_tool(struct agent *a, const char *tool, uint8_t *id, struct fence_diag *d);

/* Mark a process: `how` is an enum fence_match. -EALREADY, -ESRCH: agent_session_refused. */
int agent_session_begin(struct agent *a, uint32_t tgid, uint8_t tool, uint8_t how, uint8_t rule,
			struct agent_session **out);
int agent_session_refused(int err, struct fence_diag *d); /* why, in words */
int agent_session_cgroup(struct agent *a, struct agent_session *s); /* make it */
int agent_session_write(const struct agent_session *s, const char *file, uint32_t value);

/* The path of a process's v2 cgroup; is `path` the cgroup `want` or below it? */
int agent_proc_cgroup(uint32_t tgid, char *out, size_t size);
int agent_cgroup_below(const char *path, const char *want);
/*
 * What the kernel could not prove alone: "sha256". Refuted only when it is certain: by the file of
 * the exec that matched (agent_hash_check), not by what the process made of itself since. A process
 * that is gone stays what it was.
 */
void agent_check_match(struct agent *a, const struct fence_rec_exec *r, const struct agent_exec *e);
/* It is no tool's after all, because `why`. */
void agent_session_refute(struct agent *a, const struct fence_session_set *set, uint32_t tgid,
			  uint8_t tool, const char *why);
/* Who asks becomes a session, while it is the process that called. */
int agent_confine(struct agent *a, const struct fence_caller *c, const struct fence_peer *peer,
		  const char *tool, uint64_t *session, struct fence_diag *d);
struct agent_session *agent_session_find(struct agent *a, uint64_t id);
int agent_session_loose(struct agent *a, uint64_t id, uint8_t tool); /* seen, not confined */
int agent_session_free(struct agent *a, uint64_t id); /* the same of one that was refuted, too */
struct agent_session *agent_session_get(struct agent *a,
					uint64_t id); /* also one that only the kernel knows yet */
void agent_beat(struct agent *a); /* tell the programs that the agent is there */
struct agent_session *agent_session_add(struct agent *a, uint64_t id);
void agent_sessions_turn(struct agent *a, int final);
void agent_cgroups_thaw(struct agent *a);
void agent_cgroups_done(struct agent *a); /* remove what is empty of the sessions' cgroups */

/* names.c */
struct names *agent_names_new(void);
void agent_names_free(struct names *n);
void agent_names_learn(struct names *n, uint64_t exec, const uint8_t addr[16], const char *host);
void agent_names_keep(struct names *n, const char *host); /* findable by its hash */
uint64_t agent_names_hash(const char *host); /* as the programs do: name.h */
const char *agent_names_hashed(const struct names *n, uint64_t hash);
const char *agent_names_find(const struct names *n, uint64_t exec, const uint8_t addr[16]);

/* flows.c */
int agent_flows_init(struct agent *a);
void agent_flows_done(struct agent *a);
void agent_flow_open(struct agent *a, const struct fence_rec_flow *r);
void agent_flow_name(struct agent *a, const struct fence_rec_flow *r);
void agent_flow_close(struct agent *a, const struct fence_rec_close *r);
void agent_flows_turn(struct agent *a, int final);
void agent_flows_judge(
	struct agent *a,
	int settle); /* by a->policy: destroy what it forbids; settle: take its rules */
struct agent_flow *agent_flow_find(struct agent *a, uint64_t cookie);
int agent_flow_joins(struct agent *a, const struct fence_recon_socket *s); /* 1: it has to end */
void agent_flow_fill(struct agent_flow *f, const struct fence_rec_flow *r);
void agent_flow_host(struct agent *a, struct agent_flow *f); /* its name by DNS: f->dns, owned */
void agent_identify(struct agent *a, uint64_t exec); /* its row, when it has none */
void agent_put_facts(struct fence_json *j, const struct fence_facts *f);
/* Where a packet went, where that is another address; port 0: it is not */
void agent_put_wire(struct fence_json *j, const uint8_t addr[16], uint16_t port);
const char *agent_proto_name(uint8_t proto);

/* alert.c. An alert's row: what is NULL or 0 is left out, but for what is sight's to say. */
struct agent_alert {
	enum fence_alert alert;
	const char *action, *addr, *at, *authority, *class, *extension, *grant, *org, *reason, *sni,
		*user; /* borrowed */
	const struct fence_value_hit *hits; /* borrowed: nhits of `values` */
	size_t nhits, values;
	uint64_t cookie, cut_us, exec, left, session; /* left: bytes that were written until then */
	uint64_t time; /* boot time of what it is about; 0: now */
	int64_t denial, request; /* rows */
	uint32_t pid;
	uint16_t port;
	uint8_t tool, sight, cut, held; /* sight: `cut` and `left` are told */
};

int64_t agent_alert_raise(struct agent *a, const struct agent_alert *al); /* the row's seq */

/* One denial, or `count` of the same up to `last`; counts in `flow` are not looked at. */
struct agent_denial {
	const struct agent_flow *flow; /* what is known of it; sni: the name it is about */
	enum fence_alert alert;
	enum fence_place place;
	uint16_t guard;
	int sight; /* each of these has an alert already: they only count where there is one */
	int64_t row;
	uint64_t count, last;
};

void agent_denial_class(struct agent *a, struct agent_denial *d); /* alert and place */
void agent_alert_denial(struct agent *a, struct agent_denial *d);
void agent_alerts_turn(struct agent *a); /* what was counted since the last one, as rows */
void agent_alerts_anew(struct agent *a); /* rows have other numbers: each is raised again */

/*
 * absent.c: was nothing at the path of a Unix socket that a session was refused before it was
 * looked up? 1: that is proved, and nothing is to be told.
 */
int agent_unix_absent(struct agent *a, const struct fence_rec_flow *r);
/*
 * How files stand for a session that `crmfence exec` begins, for when none of it lives; it can make
 * no mounts but those that the command line makes of these.
 */
void agent_view_take(struct agent *a, struct agent_session *s);
void agent_view_drop(struct agent *a, struct agent_session *s);
void agent_absent_turn(struct agent *a); /* let go of what is known for too long */
void agent_absent_done(struct agent *a);

/* deny.c */
void agent_flow_deny(struct agent *a, const struct fence_rec_flow *r);
void agent_denials_turn(struct agent *a, int final);
void agent_doomed_turn(struct agent *a); /* destroy what was refused */

/* sight.c */
int agent_sight_init(struct agent *a); /* when the policy asks for it */
void agent_sight_reload(struct agent *a); /* another policy is in force */
void agent_sight_done(struct agent *a);
void agent_sight_session(struct agent *a, uint32_t tgid, uint64_t session);
void agent_sight_again(struct agent *a, uint32_t tgid); /* ... now that it can be frozen */
int agent_sight_turn(struct agent *a, int final); /* 1: more waits */
/* 1: what was said on the flow needs it still; it is closed at the end of this turn. */
/* A flow to anybody but the org, of a program that read its records: told where the policy says. */
void agent_sight_tainted(struct agent *a, struct agent_flow *f);
int agent_sight_watches(const struct agent *a, const struct agent_flow *f); /* TLS, to be seen */
void agent_sight_over(struct agent *a, const struct agent_flow *f, uint64_t tx); /* was it? */
int agent_sight_defers(struct agent *a, const struct fence_rec_close *r);
int agent_sight_probes(const struct agent *a); /* a process carries probes */
int agent_sight_fd(const struct agent *a); /* readable when it has something; -1: never */
void agent_sight_status(const struct agent *a, struct fence_json *j);

/* rows.c: one row; the body is built in a->body */
struct fence_json *agent_row(struct agent *a, struct fence_json *j); /* begin: opens the object */
int64_t agent_row_end(struct agent *a, struct fence_json *j, const char *kind);
int64_t agent_us(const struct agent *a,
		 uint64_t boot_ns); /* boot time to wall clock microseconds */
void agent_gap(struct agent *a, const char *what, uint64_t count); /* what was lost */
void agent_log_turn(struct agent *a, int final); /* written; gaps and losses become rows */
void agent_log_policy(struct agent *a);
void agent_log_start(struct agent *a);
void agent_log_stop(struct agent *a, const char *why);
void agent_status(struct agent *a, struct fence_buf *out);

/* show.c */
struct show *agent_show_new(int table);
void agent_show_free(struct show *s);
void agent_show_flow(struct agent *a, const struct agent_flow *f, int64_t seq, const char *state,
		     uint64_t tx, uint64_t rx);
void agent_show_note(struct agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void agent_show_warnings(struct agent *a); /* the policy's */
void agent_show_turn(struct agent *a);
void agent_show_summary(struct agent *a);

/* pipeline.c */
void agent_record(void *ctx, const struct fence_rec *r);

#endif
