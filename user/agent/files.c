// SPDX-License-Identifier: Apache-2.0
/*
 * Files that have a TLS stack, or not: each is looked into once (look.h), the system's libraries
 * and the programs that the policy names before anybody needs them, also when an update has put
 * others in their place. A session that has just begun is frozen while one is looked into that it
 * is likely to speak TLS with, when it has a cgroup of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/sight.h"
#include "agent/speak.h"
#include "base/cleanup.h"
#include "base/path.h"

#define AGAIN_NS 10000000000ULL /* until a file is asked for that there was no time for */
#define FIRST_MS 5000 /* for what is looked into before the agent begins */

static const char *const patterns[] = {
	"/usr/lib/*/libssl.so.*",    "/usr/lib64/libssl.so.*",	   "/usr/lib/*/libcrypto.so.*",
	"/usr/lib64/libcrypto.so.*", "/usr/lib/*/libgnutls.so.30", "/usr/lib64/libgnutls.so.30",
	"/usr/lib/*/libnspr4.so",    "/usr/lib64/libnspr4.so",
};

static int is_waited_for(const struct sight_file *f)
{
	return f->err == -EINPROGRESS && f->awaited;
}

/* By its size, or by its name, which decides nothing else. */
static int is_likely(const char *link, uint64_t size)
{
	static const char *const parts[] = { "ssl", "tls", "nspr4" };
	char path[512];
	const char *name;
	ssize_t n;
	size_t i;

	if (size > SIGHT_QUICK)
		return 1;
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	name = strrchr(n > 0 ? path : link, '/');
	for (i = 0; name && i < ARRAY_SIZE(parts); i++)
		if (strstr(name, parts[i]))
			return 1;
	return 0;
}

/* One that has lived for longer is left alone, for what it waits in would be interrupted. */
static void freeze(struct agent *a, uint64_t session)
{
	struct agent_session *s = agent_session_find(a, session);

	if (!s || s->ended || s->frozen || !s->cgroup[0] || a->now > s->start + SIGHT_YOUNG_NS)
		return;
	if (!agent_session_write(s, "cgroup.freeze", 1))
		s->frozen = a->now;
}

void sight_files_thaw(struct agent *a)
{
	struct agent_session *s;
	unsigned int i, wait = 0;

	for (i = 0; i < a->sight->nfiles; i++)
		wait |= (unsigned int)is_waited_for(&a->sight->files[i]);
	/* another session's files may take for ever: nobody waits for those */
	for (s = a->sessions; s; s = s->next)
		if (s->frozen && (!wait || a->now > s->frozen + SIGHT_WAIT_NS) &&
		    !agent_session_write(s, "cgroup.freeze", 0))
			s->frozen = 0;
}

/* Does no process carry probes in it, or its refusal? */
static int is_free(const struct sight *s, const struct sight_file *f)
{
	unsigned int i, k;

	if (f->err == -EINPROGRESS)
		return 0;
	for (i = 0; i < SIGHT_PROCS; i++)
		for (k = 0; k < s->procs[i].nfiles; k++)
			if (s->procs[i].files[k] == (uint32_t)(f - s->files))
				return 0;
	return 1;
}

static struct sight_file *slot(struct agent *a)
{
	struct sight *s = a->sight;
	struct sight_file *f;
	unsigned int i;

	if (s->nfiles < SIGHT_FILES)
		return &s->files[s->nfiles++];
	for (i = 0; i < SIGHT_FILES; i++) {
		f = &s->files[s->turn++ % SIGHT_FILES];
		if (!is_free(s, f))
			continue;
		if (f->fd >= 0)
			close(f->fd);
		return f;
	}
	if (!s->lost++)
		agent_show_note(a, "a file is not looked into: %u are in use", SIGHT_FILES);
	return NULL;
}

/*
 * What a file is, as the kernel has it: a file system is not asked, which might not answer. `dir`
 * and `path` as of openat(2); "": `dir` itself. 0, or -ENOENT: no regular file that has something
 * in it.
 */
static int file_is(int dir, const char *path, struct statx *st, struct offsets_file *is)
{
	if (statx(dir, path, AT_STATX_DONT_SYNC | (*path ? 0 : AT_EMPTY_PATH), STATX_BASIC_STATS,
		  st) ||
	    !S_ISREG(st->stx_mode) || !st->stx_size)
		return -ENOENT;
	*is = (struct offsets_file){ .dev = makedev(st->stx_dev_major, st->stx_dev_minor),
				     .ino = st->stx_ino,
				     .size = st->stx_size,
				     .changed = (int64_t)st->stx_ctime.tv_sec * 1000000000 +
						st->stx_ctime.tv_nsec };
	return 0;
}

static int is_roots(const struct statx *st)
{
	return !st->stx_uid && !(st->stx_mode & (S_IWGRP | S_IWOTH));
}

/*
 * What is found is kept for the next run as long as whoever looks has not met a file that somebody
 * else than root made, who might speak through it. He answers in the order of the questions.
 */
static int is_kept(struct sight *s, const struct statx *st)
{
	s->strangers |= !is_roots(st);
	return s->found && !s->strangers;
}

/* There is no answer about it: not even that it has no TLS stack is known. */
static void refuse(struct agent *a, struct sight_file *f, int err, const char *why)
{
	f->err = sight_file_is_none(&(struct sight_file){ .err = err }) ? -EIO : err;
	snprintf(f->points.how, sizeof(f->points.how), "%s", why);
	a->sight->refused = 1;
}

/* Ask for a file that is new. Path and size are of who may have made it; nothing waits for him. */
static void file_ask(struct agent *a, struct sight_file *f, const char *path, uint64_t session)
{
	const struct agent_session *s = agent_session_find(a, session);
	struct scan_question q = {
		.kind = SCAN_OPEN,
		.id = (uint32_t)(f - a->sight->files),
		.uid = s ? agent_proc_owner(s->tgid) : 0,
		.file = { .ino = f->is.ino,
			  .size = f->is.size,
			  .changed = (uint64_t)f->is.changed },
	};
	int err = -EINVAL;

	if (snprintf(q.path, sizeof(q.path), "%s", path) < (int)sizeof(q.path))
		err = scan_ask(a->scan, &q);
	if (err)
		refuse(a, f, err, scan_why(err));
	a->sight->opening += !err;
}

/* Have an open file looked into. */
static void file_look(struct agent *a, struct sight_file *f, int open, const struct statx *st)
{
	AUTO_FD int fd = open;
	int err;

	f->kept = (uint8_t)is_kept(a->sight, st);
	err = look_ask(a->sight->look, fd, &f->is, (uint32_t)(f - a->sight->files));
	if (err)
		refuse(a, f, err,
		       err == -EPIPE ? "crmfenced-look was ended; restart the agent" : "");
	else
		f->fd = TAKE_FD(fd);
}

/* Root's own, on a disk of this machine, are opened here, as most are. `at` -1: by path. */
static void file_new(struct agent *a, struct sight_file *f, int at, const char *path,
		     uint64_t session, const struct statx *st)
{
	struct offsets_file is;
	struct statx opened;
	struct stat unused;
	char link[32];
	int fd;

	if (!is_roots(st) || !st->stx_dev_major) {
		file_ask(a, f, path, session);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	fd = fence_path_regular(at < 0 ? path : link, &unused);
	if (fd >= 0 && !file_is(fd, "", &opened, &is) && !memcmp(&is, &f->is, sizeof(is))) {
		file_look(a, f, fd, &opened);
		return;
	}
	if (fd >= 0)
		close(fd);
	*f = (struct sight_file){ .err = -ENOENT, .fd = -1 }; /* it is another one by now */
}

static struct sight_file *file_at(struct agent *a, int at, const char *path, uint64_t session)
{
	struct sight *s = a->sight;
	struct sight_file *f = NULL;
	struct offsets_file is;
	struct statx st;
	unsigned int i;

	if (file_is(at < 0 ? AT_FDCWD : at, at < 0 ? path : "", &st, &is))
		return NULL;
	for (i = 0; i < s->nfiles && !f; i++)
		f = memcmp(&s->files[i].is, &is, sizeof(is)) ? NULL : &s->files[i];
	if (!f || (scan_passes(f->err) && a->now > f->asked + AGAIN_NS && is_free(s, f))) {
		f = f ? f : slot(a);
		if (!f)
			return NULL;
		*f = (struct sight_file){ .is = is,
					  .fd = -1,
					  .err = -EINPROGRESS,
					  .asked = a->now,
					  .awaited = (uint8_t)is_likely(path, is.size) };
		if (is.size > SIGHT_LARGEST)
			f->err = -EFBIG;
		else
			file_new(a, f, at, path, session, &st);
	}
	if (is_waited_for(f))
		freeze(a, session);
	return f;
}

struct sight_file *sight_file_at(struct agent *a, const char *path, uint64_t session)
{
	return file_at(a, -1, path, session);
}

void sight_file_opened(struct agent *a, const struct scan_answer *r)
{
	struct sight_file *f = a->sight && r->id < SIGHT_FILES ? &a->sight->files[r->id] : NULL;
	AUTO_FD int fd = r->fd;
	struct offsets_file is;
	struct statx st;

	if (!f || f->err != -EINPROGRESS || f->fd >= 0)
		return;
	a->sight->opening -= !!a->sight->opening;
	if (r->err == -ENOENT || r->err == -ESRCH || r->err == -ESTALE ||
	    (!r->err && (file_is(fd, "", &st, &is) || memcmp(&is, &f->is, sizeof(is)))))
		*f = (struct sight_file){ .err = -ENOENT, .fd = -1 };
	else if (r->err)
		refuse(a, f, r->err, scan_why(r->err));
	else
		file_look(a, f, TAKE_FD(fd), &st);
}

/* 1: of a file that is known now, and has a TLS stack or should have been seen to have none. */
static int answered(struct agent *a, const struct look_answer *r)
{
	struct sight_file *f = &a->sight->files[r->id];

	f->err = r->err;
	f->points = r->points;
	a->sight->nknown += !!r->known;
	a->sight->nlooked += !r->known;
	if (!f->err && f->kept && a->sight->found)
		offsets_add(a->sight->found, &f->is, &f->points);
	if (f->err == -EIO)
		snprintf(f->points.how, sizeof(f->points.how), "looking into it failed");
	if (sight_file_is_none(f)) {
		close(f->fd);
		f->fd = -1;
		return 0;
	}
	return 1;
}

int sight_files_turn(struct agent *a)
{
	struct look_answer r;
	int known = a->sight->refused;

	a->sight->refused = 0;
	while (look_next(a->sight->look, &r))
		known |= answered(a, &r);
	return known;
}

/*
 * The programs that the policy wants seen, or those of them that are root's. One on a user's own
 * file system is looked into when it runs.
 */
static void programs(struct agent *a, int all)
{
	AUTO_MOUNTS struct fence_mounts mounts = { 0 };
	const struct fence_policy_tool *t;
	struct offsets_file is;
	struct statx st;
	size_t i, k;

	for (i = 0; i < a->policy->ntools; i++) {
		t = &a->policy->tools[i];
		for (k = 0; t->sight && k < t->nmatch; k++) {
			AUTO_FD int at = t->match[k].kind == FENCE_MATCH_EXE
						 ? fence_path_now(t->match[k].text,
								  FENCE_PATH_LINKS, &mounts)
						 : -1;

			if (at >= 0 && (all || (!file_is(at, "", &st, &is) && is_roots(&st))))
				file_at(a, at, t->match[k].text, 0);
		}
	}
}

/* One that is deleted, and that nobody carries probes in, is not to keep its room on the disk. */
static void let_go(const struct sight *s, struct sight_file *f)
{
	struct offsets_file is;
	struct statx st;

	if (f->fd < 0 || !is_free(s, f) || file_is(f->fd, "", &st, &is) || st.stx_nlink)
		return;
	close(f->fd);
	*f = (struct sight_file){ .err = -ENOENT, .fd = -1 };
}

void sight_files_renew(struct agent *a)
{
	unsigned int i;

	for (i = 0; i < a->sight->nfiles; i++)
		let_go(a->sight, &a->sight->files[i]);
	for (i = 0; i < a->sight->nlibraries; i++)
		sight_file_at(a, a->sight->libraries[i], 0);
	programs(a, 1);
}

static void library(struct agent *a, const char *path)
{
	struct sight *s = a->sight;

	if (s->nlibraries < SIGHT_LIBRARIES && strlen(path) < SIGHT_LIBRARY_PATH &&
	    sight_file_at(a, path, 0))
		strcpy(s->libraries[s->nlibraries++], path);
}

void sight_file_points(const struct sight_file *f, struct fence_sight_point *out)
{
	unsigned int i;

	for (i = 0; i < f->points.count; i++)
		out[i] = (struct fence_sight_point){ f->points.at[i].offset, f->points.at[i].call,
						     f->points.at[i].box, f->points.at[i].seq };
}

static void try_row(struct agent *a, const char *path, const struct sight_file *f, const char *how,
		    const char *state)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_str(&j, "how", how);
	fence_json_str(&j, "path", path);
	fence_json_str(&j, "stack", fence_tls_stack_name(f->points.stack));
	fence_json_str(&j, "state", state);
	agent_row_end(a, &j, "sight");
}

/*
 * A child speaks through the library: what it says has to come. A library that fails is refused;
 * where nothing could be found out it is not. 1: the child did not even end.
 */
static int try_library(struct agent *a, const char *path)
{
	struct sight_file *f = sight_file_at(a, path, 0);
	struct fence_sight_point at[FENCE_SIGHT_POINTS];
	struct fence_try try = { .path = path, .at = at, .out = 1, .in = 1 };
	struct fence_diag d = { 0 };
	int err;

	if (!f || f->err)
		return 0;
	if (f->points.stack == FENCE_TLS_GNUTLS)
		try.child = speak_gnutls;
	else if (f->points.stack == FENCE_TLS_NSPR)
		try.child = speak_nspr;
	else if (f->points.count > 1) /* one: libcrypto's BIO alone */
		try.child = speak_openssl;
	else
		return 0;
	sight_file_points(f, at);
	try.count = f->points.count;
	err = fence_sight_try(a->kernel, a->sight->kernel, &try, &d);
	if (err == -EIO) {
		f->err = -EINVAL;
		snprintf(f->points.how, sizeof(f->points.how), "its trial failed");
		agent_show_note(a, "the TLS of %s is not seen: %s", path, d.text);
	}
	try_row(a, path, f, err ? d.text : f->points.how,
		!err	      ? "tried"
		: err == -EIO ? "refused"
			      : "untried");
	return err == -ETIMEDOUT;
}

/* For the next run, when it is not what the last one kept. */
static void keep(struct agent *a)
{
	AUTO_BUF struct fence_buf b = { 0 };
	struct sight *s = a->sight;

	if (s->found && (s->found->count != s->known->count ||
			 memcmp(s->found->at, s->known->at, sizeof(s->found->at)))) {
		int err = offsets_pack(s->found, &b);

		if (!err)
			err = writer_file(a->log, WRITER_OFFSETS, b.data, b.len);
		if (err)
			agent_show_note(a, "where TLS libraries are probed is not kept: %s",
					strerror(-err));
	}
	free(s->found);
	free(s->known);
	s->found = s->known = NULL;
}

int sight_files_known(struct agent *a, struct sight *s)
{
	struct fence_diag d = { 0 };
	char path[512];

	s->known = calloc(1, sizeof(*s->known));
	s->found = calloc(1, sizeof(*s->found));
	if (!s->known || !s->found)
		return -ENOMEM;
	writer_file_path(a->opt.db, WRITER_OFFSETS, path);
	if (offsets_load(path, s->known, &d))
		agent_show_note(a, "TLS libraries are looked into anew: %s", d.text);
	return 0;
}

void sight_files_first(struct agent *a)
{
	struct sight *s = a->sight;
	struct pollfd p[2] = { { .fd = look_fd(s->look), .events = POLLIN },
			       { .fd = scan_fd(a->scan), .events = POLLIN } };
	glob_t found;
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(patterns); k++) {
		if (glob(patterns[k], 0, NULL, &found))
			continue;
		for (i = 0; i < found.gl_pathc; i++)
			library(a, found.gl_pathv[i]);
		globfree(&found);
	}
	programs(a, 0);
	programs(a, 1);
	while ((s->opening || look_asked(s->look)) && poll(p, 2, FIRST_MS) > 0) {
		agent_scan_turn(a, 0);
		sight_files_turn(a);
	}
	keep(a);
	for (i = 0; i < s->nlibraries && !try_library(a, s->libraries[i]); i++)
		; /* nobody waits for one after the other that does not answer */
}

void sight_files_done(struct agent *a)
{
	unsigned int i;

	for (i = 0; i < a->sight->nfiles; i++)
		if (a->sight->files[i].fd >= 0)
			close(a->sight->files[i].fd);
	a->sight->nfiles = 0;
	free(a->sight->known);
	free(a->sight->found);
	sight_files_thaw(a);
	look_stop(a->sight->look);
}
