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

#include "agent/sight.h"
#include "agent/speak.h"
#include "base/cleanup.h"
#include "base/path.h"

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
static int is_likely(int fd, const struct stat *st)
{
	static const char *const parts[] = { "ssl", "tls", "nspr4" };
	char link[32], path[512], *name;
	ssize_t n;
	size_t i;

	if (st->st_size > SIGHT_QUICK)
		return 1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	name = strrchr(path, '/');
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

static int is_roots(const struct stat *st)
{
	return !st->st_uid && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/*
 * What is found is kept for the next run as long as whoever looks has not met a file that somebody
 * else than root made, who might speak through it. He answers in the order of the questions.
 */
static int is_kept(struct sight *s, const struct stat *st)
{
	s->strangers |= !is_roots(st);
	return s->found && !s->strangers;
}

struct sight_file *sight_file_at(struct agent *a, const char *path, uint64_t session)
{
	struct sight *s = a->sight;
	struct sight_file *f = NULL;
	struct offsets_file is;
	struct stat st;
	AUTO_FD int fd = fence_path_regular(path, &st);
	unsigned int i;

	if (fd < 0 || !st.st_size)
		return NULL;
	offsets_file(&is, &st);
	for (i = 0; i < s->nfiles && !f; i++)
		f = memcmp(&s->files[i].is, &is, sizeof(is)) ? NULL : &s->files[i];
	if (!f) {
		f = slot(a);
		if (!f)
			return NULL;
		*f = (struct sight_file){
			.is = is,
			.fd = -1,
			.awaited = (uint8_t)is_likely(fd, &st),
			.kept = (uint8_t)is_kept(s, &st),
		};
		f->err = st.st_size > SIGHT_LARGEST
				 ? -EFBIG
				 : look_ask(s->look, fd, &is, (uint32_t)(f - s->files));
		if (f->err == -EPIPE)
			snprintf(f->points.how, sizeof(f->points.how),
				 "crmfenced-look was ended; restart the agent");
		if (!f->err) {
			f->err = -EINPROGRESS;
			f->fd = TAKE_FD(fd);
		}
	}
	if (is_waited_for(f))
		freeze(a, session);
	return f;
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
	int known = 0;

	while (look_next(a->sight->look, &r))
		known |= answered(a, &r);
	return known;
}

/* The programs that the policy wants seen, or those of them that are root's. */
static void programs(struct agent *a, int all)
{
	const struct fence_policy_tool *t;
	struct stat st;
	size_t i, k;

	for (i = 0; i < a->policy->ntools; i++) {
		t = &a->policy->tools[i];
		for (k = 0; t->sight && k < t->nmatch; k++)
			if (t->match[k].kind == FENCE_MATCH_EXE &&
			    (all || (!stat(t->match[k].text, &st) && is_roots(&st))))
				sight_file_at(a, t->match[k].text, 0);
	}
}

/* One that is deleted, and that nobody carries probes in, is not to keep its room on the disk. */
static void let_go(const struct sight *s, struct sight_file *f)
{
	struct stat st;

	if (f->fd < 0 || !is_free(s, f) || fstat(f->fd, &st) || st.st_nlink)
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
	struct sight *s = a->sight;
	struct fence_diag d = { 0 };

	if (s->found &&
	    (s->found->count != s->known->count ||
	     memcmp(s->found->at, s->known->at, sizeof(s->found->at))) &&
	    offsets_save(a->opt.db, s->found, &d))
		agent_show_note(a, "where TLS libraries are probed is not kept: %s", d.text);
	free(s->found);
	free(s->known);
	s->found = s->known = NULL;
}

int sight_files_known(struct agent *a, struct sight *s)
{
	struct fence_diag d = { 0 };

	s->known = calloc(1, sizeof(*s->known));
	s->found = calloc(1, sizeof(*s->found));
	if (!s->known || !s->found)
		return -ENOMEM;
	if (offsets_load(a->opt.db, s->known, &d))
		agent_show_note(a, "TLS libraries are looked into anew: %s", d.text);
	return 0;
}

void sight_files_first(struct agent *a)
{
	struct sight *s = a->sight;
	struct pollfd p = { .fd = look_fd(s->look), .events = POLLIN };
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
	while (look_asked(s->look) && poll(&p, 1, FIRST_MS) > 0)
		sight_files_turn(a);
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
