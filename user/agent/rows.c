// SPDX-License-Identifier: Apache-2.0
/* Rows of the log that are not a flow's or a program's, and the turn that commits them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "agent/agent.h"

static const char *const counter_names[FENCE_C_MAX] = {
	"ring",		"ring_denials", "procs_full",  "sessions_full", "socks_full",
	"scratch_busy", "answers_full", "argv_faults", "denied",
};

struct fence_json *agent_row(struct agent *a, struct fence_json *j)
{
	fence_buf_reset(&a->body);
	fence_json_init(j, &a->body);
	fence_json_open(j, NULL);
	return j;
}

int64_t agent_row_end(struct agent *a, struct fence_json *j, const char *kind)
{
	int64_t seq;

	fence_json_close(j);
	seq = a->body.failed ? -ENOMEM
			     : writer_put(a->log, kind, fence_buf_text(&a->body), a->body.len);
	if (a->body.failed) /* half a row is none: it is counted, and the next begins anew */
		fence_buf_done(&a->body);
	a->uncommitted++;
	a->log_is.lost += seq < 0;
	a->log_is.lost_ever += seq < 0;
	if (seq > 0)
		a->log_is.last = seq;
	return seq < 0 ? 0 : seq;
}

int64_t agent_us(const struct agent *a, uint64_t boot_ns)
{
	return ((int64_t)boot_ns + a->wall_offset) / 1000;
}

void agent_gap(struct agent *a, const char *what, uint64_t count)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_int(&j, "count", (int64_t)count);
	fence_json_str(&j, "what", what);
	agent_row_end(a, &j, "gap");
	a->totals.gaps += count;
	a->urgent = 1;
}

static void log_alert(struct agent *a, const char *why)
{
	agent_alert_raise(a, &(struct agent_alert){ .alert = FENCE_ALERT_E015,
						    .authority = "log",
						    .reason = why });
	a->urgent = 1;
}

/* What the programs could not do since the last turn. */
static void losses(struct agent *a)
{
	uint64_t now[FENCE_C_MAX];
	int i;

	fence_kernel_counters(a->kernel, now);
	for (i = 0; i < FENCE_C_DENIED; i++)
		if (now[i] > a->counters[i])
			agent_gap(a, counter_names[i], now[i] - a->counters[i]);
	for (i = 0; i < FENCE_C_MAX; i++) {
		uint32_t key = (uint32_t)i;

		if (now[i] != a->counters[i])
			fence_kernel_put(a->kernel, FENCE_MAP_LOGGED, &key, &now[i]);
	}
	memcpy(a->counters, now, sizeof(now));
}

/* What was found amiss with the log's files, as E015 too: but for an agent that was ended. */
static void log_told(struct agent *a, unsigned int before)
{
	struct agent_log *l = &a->log_is;

	if (l->now.told == before || !strncmp(l->now.said, "unclean", 7))
		return;
	snprintf(l->told, sizeof(l->told), "%s", l->now.said);
	agent_show_note(a, "TAMPERED: the log: %s", l->told);
	log_alert(a, l->told);
}

/* The count of what was lost, again until there is room for it. */
static void log_gap(struct agent *a)
{
	struct agent_log *l = &a->log_is;
	uint64_t lost = l->lost;
	char text[80];

	if (!lost || l->now.err || !writer_has_room(a->log))
		return;
	snprintf(text, sizeof(text), "lost: %llu rows found no room", (unsigned long long)lost);
	l->lost = 0;
	agent_gap(a, "rows", lost);
	log_alert(a, text);
	agent_show_note(a, "the log is written again; %llu rows were lost and are in it as a gap",
			(unsigned long long)lost);
}

/* Small files beside it that cannot be written; each is told once. */
static void log_files(struct agent *a, const int before[WRITER_FILES])
{
	size_t i;

	for (i = 0; i < WRITER_FILES; i++)
		if (a->log_is.now.file_err[i] && a->log_is.now.file_err[i] != before[i])
			agent_show_note(a, "%s beside the log cannot be written: %s",
					writer_file_names[i], strerror(-a->log_is.now.file_err[i]));
}

/* Is it written, and since when is it not? */
static void log_health(struct agent *a)
{
	struct agent_log *l = &a->log_is;
	unsigned int told = l->now.told, moved = l->now.moved;
	int files[WRITER_FILES], stalled;
	int64_t seq = l->now.seq;

	memcpy(files, l->now.file_err, sizeof(files));
	writer_look(a->log, &l->now);
	log_files(a, files);
	if (!l->now.waiting || l->now.seq != seq || !l->moved)
		l->moved = a->now;
	stalled = a->now - l->moved >= AGENT_STALL_NS;
	if (l->now.moved != moved)
		agent_alerts_anew(a);
	log_told(a, told);
	log_gap(a);
	if (!l->now.err && !stalled && !l->lost) {
		if (l->since)
			agent_show_note(a, "the log %s is written", a->opt.db);
		l->since = 0;
		return;
	}
	if (l->now.err || !l->since)
		snprintf(l->why, sizeof(l->why), "%s",
			 l->now.err ? l->now.why : "the disk does not answer");
	if (l->since)
		return;
	l->since = agent_us(a, stalled ? l->moved : a->now);
	agent_show_note(a, "the log %s cannot be written (%s): enforcement goes on, rows wait",
			a->opt.db, l->why);
}

/* What was put is handed over after a second, or AGENT_BATCH rows; a denial or a session at once.
 */
void agent_log_turn(struct agent *a, int final)
{
	log_health(a);
	if (!final && !a->urgent && a->uncommitted < AGENT_BATCH &&
	    a->now - a->committed < AGENT_LATE_NS)
		return;
	a->committed = a->now;
	losses(a);
	if (a->uncommitted)
		writer_wake(a->log, a->urgent);
	a->uncommitted = 0;
	a->urgent = 0;
}

void agent_log_policy(struct agent *a)
{
	struct fence_json j;
	char sha[65], ranges[65];
	unsigned int i;

	for (i = 0; i < 32; i++) {
		sprintf(sha + 2 * i, "%02x", a->policy->sha[i]);
		sprintf(ranges + 2 * i, "%02x", a->policy->ranges_sha[i]);
	}
	agent_row(a, &j);
	fence_json_str(&j, "file", a->policy->file);
	fence_json_int(&j, "generation", (int64_t)a->generation);
	if (a->policy->ranges_file[0])
		fence_json_str(&j, "ip_ranges", ranges);
	fence_json_str(&j, "mode", a->policy->monitor ? "monitor" : "enforce");
	fence_json_str(&j, "name", a->policy->name);
	fence_json_str(&j, "sha256", sha);
	agent_row_end(a, &j, "policy");
	a->urgent = 1;
}

void agent_log_start(struct agent *a)
{
	struct utsname u;
	struct fence_json j;
	const char *name;
	unsigned int i;

	uname(&u);
	agent_row(a, &j);
	fence_json_int(&j, "abi", FENCE_ABI);
	fence_json_bool(&j, "adopted", fence_kernel_adopted(a->kernel));
	fence_json_str(&j, "kernel", u.release);
	fence_json_str(&j, "node", u.nodename);
	fence_json_str(&j, "tier", fence_tier_name(fence_kernel_tier(a->kernel)));
	agent_row_end(a, &j, "start");
	a->urgent = 1;
	agent_log_policy(a);
	for (i = 0; (name = fence_kernel_sensor(i)); i++) {
		agent_row(a, &j);
		fence_json_str(&j, "name", name);
		fence_json_str(&j, "state",
			       fence_kernel_has(a->kernel, i) ? "attached" : "not on this kernel");
		agent_row_end(a, &j, "sensor");
	}
	/* what was lost while no agent was there */
	for (i = 0; i < FENCE_C_MAX; i++)
		fence_kernel_get(a->kernel, FENCE_MAP_LOGGED, &i, &a->counters[i]);
	losses(a);
}

void agent_log_stop(struct agent *a, const char *why)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_bool(&j, "enforcing", a->opt.keep);
	fence_json_str(&j, "why", why);
	agent_row_end(a, &j, "stop");
	writer_wake(a->log, 1);
}

/* Entries of "unix" that this tier leaves closed, or open by their name alone. */
static void unix_entries(const struct agent *a, int64_t *closed, int64_t *unproved)
{
	const struct fence_policy_tool *t = a->policy->tools;
	size_t i, j;

	*closed = *unproved = 0;
	if (fence_kernel_tier(a->kernel) != FENCE_TIER_B || !fence_kernel_checks_unix(a->kernel))
		return;
	for (i = 0; i < a->policy->ntools; i++, t++) {
		for (j = 0; j < t->nunix; j++)
			*(t->unix_peers[j].unproved ? unproved : closed) += 1;
		*closed += __builtin_popcount(t->unix_groups & ~t->unix_unproved);
		*unproved += __builtin_popcount(t->unix_unproved);
	}
}

void agent_status(struct agent *a, struct fence_buf *out)
{
	int64_t closed, unproved;
	struct agent_session *s;
	struct fence_json j;
	uint64_t live = 0, counters[FENCE_C_MAX];
	int i;

	fence_kernel_counters(a->kernel, counters);
	for (s = a->sessions; s; s = s->next)
		live += !s->ended;
	fence_json_init(&j, out);
	fence_json_open(&j, NULL);
	fence_json_open(&j, "counters");
	/* canonical order is not needed for a reply, but the writer asks for it */
	{
		static const int order[] = { FENCE_C_ANSWER_FULL,  FENCE_C_ARG_FAULT,
					     FENCE_C_DENIED,	   FENCE_C_PROC_FULL,
					     FENCE_C_RING_LOST,	   FENCE_C_RING_LOST_DENY,
					     FENCE_C_SCRATCH_BUSY, FENCE_C_SESSION_FULL,
					     FENCE_C_SOCK_FULL };

		for (i = 0; i < FENCE_C_MAX; i++)
			fence_json_int(&j, counter_names[order[i]], (int64_t)counters[order[i]]);
	}
	fence_json_close(&j);
	fence_json_str(&j, "db", a->opt.db);
	fence_json_int(&j, "denials", (int64_t)a->totals.denials);
	fence_json_int(&j, "flows", (int64_t)a->totals.flows);
	fence_json_int(&j, "log_lost", (int64_t)a->log_is.lost_ever);
	fence_json_int(&j, "log_safe", a->log_is.now.safe);
	fence_json_int(&j, "log_seq", a->log_is.now.seq);
	fence_json_int(&j, "log_since", a->log_is.since);
	fence_json_str(&j, "log_told", a->log_is.told);
	fence_json_int(&j, "log_waiting", (int64_t)a->log_is.now.waiting);
	fence_json_str(&j, "log_why", a->log_is.since ? a->log_is.why : "");
	fence_json_bool(&j, "log_writable", !a->log_is.since);
	fence_json_str(&j, "mode", a->policy->monitor ? "monitor" : "enforce");
	fence_json_str(&j, "policy", a->policy->name);
	fence_json_str(&j, "policy_file", a->policy->file);
	fence_json_bool(&j, "sees_shared", a->sees_shared);
	fence_json_int(&j, "sessions_live", (int64_t)live);
	agent_sight_status(a, &j);
	fence_json_str(&j, "tier", fence_tier_name(fence_kernel_tier(a->kernel)));
	agent_matches_status(a, &j);
	unix_entries(a, &closed, &unproved);
	fence_json_int(&j, "unix_closed", closed);
	fence_json_int(&j, "unix_unproved", unproved);
	fence_json_int(&j, "uptime", (int64_t)((a->now - a->started) / 1000000000));
	fence_json_int(&j, "would_deny", (int64_t)a->totals.would);
	fence_json_close(&j);
}
