// SPDX-License-Identifier: Apache-2.0
/*
 * What comes of the scanner's answers: hashes of programs, matches that are refuted by them, the
 * extension that a native messaging host is of.
 *
 * A hash belongs to the file as it was at the exec: inode, size and ctime (struct scan_file). It is
 * taken once; an inode that was written again, or is another file's now, is another file. While it
 * is not known, and where it cannot be, a match by it stands.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/scan.h"
#include "agent/sight.h"
#include "base/cleanup.h"

#define HASHES 512 /* files whose hash is known or waited for; the oldest goes first */
#define CHECKS 256 /* sessions that wait for one */
#define WAIT_MS 50 /* of a second, that the agent waits for the scanner; it has other work */
#define START_MS 5000 /* ... while running processes are looked at, in all */
#define BEAT_MS 200

struct hash {
	struct scan_file file; /* as the exec has it; ino 0: free */
	uint32_t id; /* of its question */
	int err; /* 0: `sha` is known; -EINPROGRESS */
	char *path; /* owned */
	uint8_t sha[32];
};

/* A session that ends when its file has another hash than those of the builds that are the tool. */
struct check {
	uint64_t session; /* 0: free */
	uint32_t hash, tgid; /* hash: the question's id */
	uint8_t tool, n;
	uint8_t want[FENCE_POLICY_MATCHES][32];
};

static int is_wanted(const struct check *c, const uint8_t sha[32])
{
	uint8_t i;

	for (i = 0; i < c->n; i++)
		if (!memcmp(c->want[i], sha, 32))
			return 1;
	return 0;
}

/* The builds of one path that the tool lists. */
static void want(struct check *c, const struct fence_policy_tool *t,
		 const struct fence_policy_match *m)
{
	size_t i;

	for (i = 0; i < t->nmatch; i++)
		if (t->match[i].has_sha && !strcmp(t->match[i].text, m->text))
			memcpy(c->want[c->n++], t->match[i].sha, 32);
}

struct scanned {
	struct hash hashes[HASHES];
	struct check checks[CHECKS];
	uint32_t id; /* of the last hash that was asked for */
	uint32_t line; /* likewise, command line */
	int64_t waited, since; /* ms in the second that began then, CLOCK_MONOTONIC */
	int64_t started; /* ms that the agent has waited while running processes were looked at */
	uint8_t begun; /* the agent waits for no hash any more */
	uint8_t again; /* what runs is to be recognised again, once a hash is known */
};

int agent_scan_init(struct agent *a)
{
	a->scanned = calloc(1, sizeof(*a->scanned));
	if (!a->scanned)
		return -ENOMEM;
	if (scan_start("crmfenced-scan", &a->scan) || scan_start("crmfenced-hash", &a->hasher))
		return -EAGAIN;
	return 0;
}

void agent_scan_done(struct agent *a)
{
	size_t i;

	scan_stop(a->scan);
	scan_stop(a->hasher);
	for (i = 0; a->scanned && i < HASHES; i++)
		free(a->scanned->hashes[i].path);
	free(a->scanned);
}

uint32_t agent_proc_owner(uint32_t tgid)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u", tgid);
	return stat(path, &st) ? ~0u : st.st_uid;
}

/* While running processes are looked at: some of an answer, or a while. 0: no longer. */
static int start_wait(struct agent *a);

/* ---- hashes ---- */

static void hex(const uint8_t *in, size_t n, char *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", in[i]);
}

static void hash_row(struct agent *a, const struct hash *h)
{
	struct fence_json j;
	char text[65];

	agent_row(a, &j);
	if (h->file.changed)
		fence_json_int(&j, "ctime", (int64_t)(h->file.changed / 1000));
	fence_json_int(&j, "dev", (int64_t)h->file.dev);
	fence_json_str(&j, "exe", h->path ? h->path : "");
	fence_json_int(&j, "ino", (int64_t)h->file.ino);
	if (!h->err) {
		hex(h->sha, 32, text);
		fence_json_str(&j, "sha256", text);
	}
	if (h->file.changed)
		fence_json_int(&j, "size", (int64_t)h->file.size);
	if (h->err)
		fence_json_str(&j, "unknown", scan_why(h->err));
	agent_row_end(a, &j, "exe");
}

static void refute(struct agent *a, const struct check *c)
{
	const struct fence_session_set set = {
		.id = c->session, .clears = 1, .from = FENCE_ANY_CLEARED, .to = FENCE_CLEARED
	};

	agent_session_refute(a, &set, c->tgid, c->tool, "its file has another SHA-256");
}

static void hash_known(struct agent *a, struct hash *h)
{
	struct check *c;
	size_t i;

	hash_row(a, h);
	for (i = 0; i < CHECKS; i++) {
		c = &a->scanned->checks[i];
		if (!c->session || c->hash != h->id)
			continue;
		if (!h->err && !is_wanted(c, h->sha))
			refute(a, c);
		c->session = 0;
	}
	a->moved |= a->scanned->again;
	a->scanned->again = 0;
	if (scan_passes(h->err)) /* the next process of it may have more luck */
		h->file.ino = 0;
}

static void hash_answer(struct agent *a, const struct scan_answer *r)
{
	struct hash *h = &a->scanned->hashes[r->id % HASHES];
	const struct scan_hash *is = (const void *)r->data;

	if (h->id != r->id || h->err != -EINPROGRESS)
		return;
	h->err = r->err ? r->err : r->len == sizeof(*is) ? 0 : -EIO;
	if (!h->err) {
		memcpy(h->sha, r->data + offsetof(struct scan_hash, sha), sizeof(h->sha));
		if (!h->file.changed) /* as it is now: nobody saw its exec */
			memcpy(&h->file, r->data, sizeof(h->file));
	}
	hash_known(a, h);
}

/* The file's entry, asked for when it is new. */
static struct hash *hash_get(struct agent *a, const struct scan_file *file, const char *path,
			     uint32_t tgid, uint32_t uid)
{
	struct scan_question q = { .kind = SCAN_HASH, .uid = uid, .tgid = { tgid }, .file = *file };
	struct scanned *s = a->scanned;
	struct hash *h;
	size_t i;

	for (i = 0; i < HASHES; i++)
		if (s->hashes[i].file.ino && !memcmp(&s->hashes[i].file, file, sizeof(*file)))
			return &s->hashes[i];
	q.id = ++s->id;
	h = &s->hashes[q.id % HASHES];
	if (h->file.ino && h->err == -EINPROGRESS) { /* more wait than are remembered */
		h->err = -EAGAIN;
		hash_known(a, h);
	}
	free(h->path);
	*h = (struct hash){ .file = *file, .id = q.id, .err = -EINPROGRESS, .path = strdup(path) };
	snprintf(q.path, sizeof(q.path), "%s", path);
	h->err = scan_ask(a->hasher, &q);
	if (h->err)
		hash_known(a, h);
	else
		h->err = -EINPROGRESS;
	return h;
}

static struct scan_file exec_file(const struct agent_exec *e)
{
	return (struct scan_file){
		.dev = e->dev, .ino = e->ino, .size = e->size, .changed = e->changed
	};
}

void agent_hash_want(struct agent *a, const struct agent_exec *e)
{
	const struct scan_file file = exec_file(e);

	if (e->ino && e->path)
		hash_get(a, &file, e->path, e->tgid, e->uid);
}

void agent_hash_check(struct agent *a, const struct agent_exec *e, uint64_t session,
		      const struct fence_policy_match *m, uint8_t tool)
{
	const struct scan_file file = exec_file(e);
	const struct hash *h = hash_get(a, &file, e->path ? e->path : "", e->tgid, e->uid);
	struct check c = { .session = session, .hash = h->id, .tgid = e->tgid, .tool = tool };
	size_t i;

	want(&c, &a->policy->tools[tool - 1], m);
	if (h->err != -EINPROGRESS) {
		if (!h->err && !is_wanted(&c, h->sha))
			refute(a, &c);
		return;
	}
	for (i = 0; i < CHECKS && a->scanned->checks[i].session; i++)
		;
	if (i < CHECKS) /* else it stays what it is */
		a->scanned->checks[i] = c;
}

int agent_hash_differs(struct agent *a, const struct agent_exec *e,
		       const struct fence_policy_match *m)
{
	const struct scan_file file = exec_file(e);
	const struct hash *h = hash_get(a, &file, e->path ? e->path : "", e->tgid, e->uid);
	uint32_t id = h->id;

	while (h->id == id && h->err == -EINPROGRESS && start_wait(a))
		;
	if (h->id == id && h->err == -EINPROGRESS && a->scanned->begun) {
		a->scanned->again = 1;
		return 1;
	}
	return h->id == id && !h->err && memcmp(h->sha, m->sha, 32);
}

/* ---- command lines ---- */

/* `err`: why it is not known whether it is one. */
static void host_row(struct agent *a, const struct agent_exec *e, int err)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_id(&j, "exec", e->id);
	if (!err)
		fence_json_str(&j, "extension", e->extension);
	fence_json_int(&j, "pid", e->tgid);
	fence_json_id(&j, "session", e->session);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, e->tool));
	if (err)
		fence_json_str(&j, "unknown", scan_why(err));
	agent_row_end(a, &j, "native-host");
}

/* Whose it is, and so what it has started meanwhile. */
static void host_known(struct agent *a, struct agent_exec *e, const char *extension)
{
	struct agent_exec *x, *parent;
	int again = 1;
	size_t i;

	e->extension = strdup(extension);
	if (!e->extension)
		return;
	host_row(a, e, 0);
	while (again)
		for (i = again = 0; i < AGENT_EXECS; i++) {
			x = a->exec_ring[i];
			if (!x || x->extension || !x->session || !x->logged)
				continue;
			parent = agent_exec_find(a, x->parent_id);
			if (!parent || parent == x || !parent->extension ||
			    parent->session != e->session)
				continue;
			x->extension = strdup(parent->extension);
			if (!x->extension)
				return;
			host_row(a, x, 0);
			again = 1;
		}
}

static void arguments_answer(struct agent *a, const struct scan_answer *r)
{
	char text[FENCE_ADDON_MAX + 1] = "";
	struct agent_exec *e;
	size_t i;

	if (!r->err && r->len && r->len <= sizeof(text) && !r->data[r->len - 1])
		memcpy(text, r->data, r->len);
	/* of a process that was over before it could be asked nothing is told */
	for (i = 0;
	     i < AGENT_EXECS && (text[0] || (r->err && r->err != -ENOENT && r->err != -ESRCH));
	     i++) {
		e = a->exec_ring[i];
		if (!e || e->question != r->id || e->extension)
			continue;
		if (text[0])
			host_known(a, e, text + 1);
		else
			host_row(a, e, r->err);
		return;
	}
}

void agent_arguments_want(struct agent *a, struct agent_exec *e)
{
	struct scan_question q = { .kind = SCAN_ARGUMENTS, .uid = e->uid, .tgid = { e->tgid } };

	int err;

	q.id = e->question = ++a->scanned->line;
	err = scan_ask(a->scan, &q);
	if (err)
		host_row(a, e, err);
}

/* ---- the loop ---- */

static void answers(struct agent *a, struct scan *s)
{
	struct scan_answer r;

	while (scan_next(s, &r)) {
		if (r.kind == SCAN_HASH)
			hash_answer(a, &r);
		else if (r.kind == SCAN_ARGUMENTS)
			arguments_answer(a, &r);
		else if (r.kind == SCAN_LOOK)
			agent_match_looked(a, &r);
		else if (r.kind == SCAN_PLACE)
			agent_place_answer(a, &r);
		else if (r.kind == SCAN_OPEN)
			sight_file_opened(a, &r);
		else
			sight_browser_answer(a, &r);
	}
}

void agent_scan_turn(struct agent *a, int final)
{
	struct hash *h;
	size_t i;

	answers(a, a->scan);
	answers(a, a->hasher);
	for (i = 0; final && i < HASHES; i++) {
		h = &a->scanned->hashes[i];
		if (!h->file.ino || h->err != -EINPROGRESS)
			continue;
		h->err = -ECANCELED;
		hash_known(a, h);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t agent_scan_await(struct agent *a, const uint32_t *waits, int64_t ms)
{
	struct pollfd p = { .events = POLLIN };
	int64_t began = now_ms(), now = began;

	while (*waits && now - began < ms) {
		p.fd = scan_fd(a->scan);
		if (p.fd < 0 || poll(&p, 1, (int)(ms - (now - began))) <= 0)
			break;
		answers(a, a->scan);
		now = now_ms();
	}
	return now_ms() - began;
}

void agent_scan_wait(struct agent *a, const uint32_t *question)
{
	struct scanned *s = a->scanned;
	int64_t now = now_ms();

	if (now - s->since >= 1000) {
		s->since = now;
		s->waited = 0;
	}
	s->waited += agent_scan_await(a, question, WAIT_MS - s->waited);
}

static int start_wait(struct agent *a)
{
	struct pollfd p = { .fd = scan_fd(a->hasher), .events = POLLIN };
	int64_t began = now_ms();
	int more;

	if (a->scanned->begun || a->scanned->started >= START_MS)
		return 0;
	agent_beat(a);
	more = poll(&p, 1, BEAT_MS) >= 0;
	answers(a, a->hasher);
	a->scanned->started += now_ms() - began;
	return more;
}

void agent_scan_begun(struct agent *a)
{
	a->scanned->begun = 1;
}
