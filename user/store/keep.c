// SPDX-License-Identifier: Apache-2.0
/* A log that is found otherwise than it was left: told, and kept as it is found. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "store/internal.h"

static const char *const ends[] = { "-wal", "-shm", "-journal" };

void log_tell(struct fence_log *log, const struct log_event *e)
{
	AUTO_BUF struct fence_buf b = { 0 };
	char hash[2 * HASH + 1];
	struct fence_json j;
	size_t i;
	int n;

	for (i = 0; e->hash && i < HASH; i++)
		sprintf(hash + 2 * i, "%02x", e->hash[i]);
	fence_json_init(&j, &b);
	fence_json_open(&j, NULL);
	if (e->count)
		fence_json_int(&j, "count", e->count);
	if (e->file)
		fence_json_str(&j, "file", e->file);
	if (e->hash)
		fence_json_str(&j, "hash", hash);
	if (e->hash)
		fence_json_int(&j, "seq", e->seq);
	fence_json_str(&j, "what", e->what);
	fence_json_str(&j, "why", e->why);
	fence_json_close(&j);
	n = snprintf(log->told, sizeof(log->told), "%s: %s%s%.200s", e->what, e->why,
		     e->file ? "; it is kept as " : "", e->file ? e->file : "");
	if (e->count && n > 0 && n < (int)sizeof(log->told))
		snprintf(log->told + n, sizeof(log->told) - (size_t)n, "; %lld rows",
			 (long long)e->count);
	log->ntold++;
	if (log->npending < LOG_PENDING && !b.failed)
		log->pending[log->npending++] = TAKE_PTR(b.data);
}

/* A name that nothing has yet. */
static int log_other_name(const struct fence_log *log, char out[4096])
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;
	int i, n;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	for (i = 0; i < 100; i++) {
		n = i ? snprintf(out, 4096, "%s.aside-%s.%d", log->path, when, i)
		      : snprintf(out, 4096, "%s.aside-%s", log->path, when);
		if (n >= 4096 - 16)
			return -ENAMETOOLONG;
		if (access(out, F_OK))
			return 0;
	}
	return -EEXIST;
}

/* Give what stands at the path, and beside it, another name. -ENOENT: nothing stands there. */
static int log_rename(const struct fence_log *log, const char *to)
{
	char from[4096], name[4096];
	size_t i;

	if (rename(log->path, to))
		return -errno;
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(from, sizeof(from), "%s%s", log->path, ends[i]);
		snprintf(name, sizeof(name), "%s%s", to, ends[i]);
		rename(from, name);
	}
	return 0;
}

/* The next that is opened is a new one. */
static void log_begin_anew(struct fence_log *log, const char *what, const char *why,
			   const char *file)
{
	struct log_event e = { .what = what, .why = why, .file = file, .seq = log->seq };

	e.hash = log->seq ? log->head : NULL;
	log_tell(log, &e);
	log->seq = 0;
	memset(log->head, 0, HASH);
	log->fresh = 1;
}

int log_aside(struct fence_log *log, const char *why)
{
	char name[4096];
	int err;

	log_shut(log);
	err = log_other_name(log, name);
	if (!err)
		err = log_rename(log, name);
	if (!err)
		log_begin_anew(log, "aside", why, name);
	return err;
}

/* Where the open file is now: its path, or "" when it has none any more. */
static void log_place(const struct fence_log *log, char out[4096])
{
	char link[64];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", log->place);
	n = readlink(link, out, 4095);
	out[n > 0 ? n : 0] = 0;
	if (stat(out, &st) || st.st_ino != log->was.st_ino || st.st_dev != log->was.st_dev)
		out[0] = 0;
}

/* Everything, by the open connection, into a file of that name. */
static int log_rescue(struct fence_log *log, const char *to)
{
	AUTO_DB sqlite3 *out = NULL;
	mode_t mask = umask(0077);
	int rc = sqlite3_open_v2(
		to, &out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	umask(mask);
	if (rc == SQLITE_OK)
		rc = db_copy(log->db, out);
	return rc == SQLITE_OK ? sqlite3_exec(out, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL)
			       : rc;
}

/* A log that lies elsewhere now, closed: its -wal goes with it, or into it. */
static void log_follow(const struct fence_log *log, const char *place)
{
	AUTO_DB sqlite3 *db = NULL;
	char from[4096], to[4096];

	snprintf(from, sizeof(from), "%s-wal", log->path);
	snprintf(to, sizeof(to), "%.4000s-wal", place);
	rename(from, to);
	snprintf(from, sizeof(from), "%s-shm", log->path);
	unlink(from);
	if (sqlite3_open_v2(place, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
	    SQLITE_OK)
		sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
}

/* Its file, or its -wal, is not where it was: it is whole still, by what is open. */
static void log_moved(struct fence_log *log)
{
	char place[4096], name[4096] = "";
	int other = log_other_name(log, name);

	log_place(log, place);
	if (place[0] && strcmp(place, log->path)) {
		log_shut(log);
		log_follow(log, place);
	} else {
		/* deleted; or without its -wal, which is gone */
		snprintf(place, sizeof(place), "%s", name);
		if (other || log_rescue(log, place) != SQLITE_OK)
			place[0] = 0;
		log_shut(log);
		other = log_other_name(log, name);
	}
	if (!other)
		log_rename(log, name); /* what somebody put in its place, or is left of it */
	log_begin_anew(log, "moved",
		       place[0] ? "the log was taken from its place while it was written"
				: "the log was deleted while it was written",
		       place[0] ? place : NULL);
}

/* By a connection that has seen nothing yet: is it ours, to the last row? */
static int log_is_ours(const struct fence_log *log)
{
	AUTO_DB sqlite3 *db = NULL;
	AUTO_STMT sqlite3_stmt *s = NULL;
	struct mark m = { .seq = log->seq };

	memcpy(m.hash, log->head, HASH);
	if (sqlite3_open_v2(log->path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
		    SQLITE_OK ||
	    db_strict(db) != SQLITE_OK || sqlite3_busy_timeout(db, 1000) != SQLITE_OK)
		return 0;
	return !db_schema(db) &&
	       sqlite3_prepare_v2(db, "SELECT max(seq) FROM log", -1, &s, NULL) == SQLITE_OK &&
	       sqlite3_step(s) == SQLITE_ROW && sqlite3_column_int64(s, 0) == m.seq &&
	       (!m.seq || log_has(db, &m));
}

int64_t log_version(const struct fence_log *log)
{
	AUTO_STMT sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v2(log->db, "PRAGMA data_version", -1, &s, NULL) != SQLITE_OK ||
	    sqlite3_step(s) != SQLITE_ROW)
		return 0;
	return sqlite3_column_int64(s, 0);
}

static int log_stat_wal(const struct fence_log *log, struct stat *st)
{
	char name[4096];

	snprintf(name, sizeof(name), "%s-wal", log->path);
	return stat(name, st);
}

void log_seen(struct fence_log *log)
{
	struct stat st;

	if (!log->db)
		return;
	if (log->place < 0)
		log->place = open(log->path, O_PATH | O_CLOEXEC);
	if (!fstat(log->place, &st))
		log->was = st;
	if (!log_stat_wal(log, &st))
		log->wal = st;
}

static int is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

void log_check(struct fence_log *log)
{
	struct stat file, wal = { 0 };
	int64_t version;
	int no_wal = log->wal.st_ino && (log_stat_wal(log, &wal) || !is_same(&wal, &log->wal));

	if (stat(log->path, &file) || !is_same(&file, &log->was) || no_wal) {
		log_moved(log);
		return;
	}
	version = log_version(log);
	if (file.st_size >= log->was.st_size && wal.st_size >= log->wal.st_size &&
	    version == log->version)
		return;
	if (file.st_size < log->was.st_size || !log_is_ours(log))
		log_aside(log, "somebody else cut it, or wrote into it");
	else
		fence_log_note(log, "touched",
			       "another program wrote into the log; it ends as it was left");
	log->version = version; /* what came behind it is found the next time */
	log_seen(log);
}

void log_shut(struct fence_log *log)
{
	sqlite3_finalize(log->insert);
	log->insert = NULL;
	sqlite3_close(log->db);
	log->db = NULL;
	if (log->place >= 0)
		close(log->place);
	log->place = -1;
	memset(&log->was, 0, sizeof(log->was));
	memset(&log->wal, 0, sizeof(log->wal));
}
