// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "store/internal.h"

#define PATIENCE_MS 1000 /* for who holds the log's lock */
#define LAST_SEQ (INT64_MAX - (1 << 20)) /* behind which no agent goes on */

static const char how[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
			  "PRAGMA cache_size=-256; PRAGMA wal_autocheckpoint=1000;";

struct fence_log *fence_log_new(const char *path)
{
	struct fence_log *log = calloc(1, sizeof(*log));
	AUTO_BUF struct fence_buf boot = { 0 };

	if (!log)
		return NULL;
	log->mark = log->place = -1;
	log->path = strdup(path);
	fence_buf_read_file(&boot, "/proc/sys/kernel/random/boot_id", 64);
	snprintf(log->boot, sizeof(log->boot), "%.36s", fence_buf_text(&boot));
	if (chain_init(&log->chain) || !log->path) {
		fence_log_free(log, 0);
		return NULL;
	}
	return log;
}

/* A negative errno of an SQLite code. */
static int log_errno(const struct fence_log *log, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EAGAIN;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_CANTOPEN:
		rc = log->db ? sqlite3_system_errno(log->db) : 0;
		return rc ? -rc : -EACCES;
	default:
		return -EIO;
	}
}

static int log_diag(const struct fence_log *log, int err, struct fence_diag *d)
{
	const char *remedy = err == -EAGAIN   ? "another program holds it"
			     : err == -EBUSY  ? "another agent's rows are still being written"
			     : err == -ENOSPC ? "make room"
			     : err == -EROFS  ? "it can only be read there"
			     : err == -EIO && log->db ? sqlite3_errmsg(log->db)
						      : strerror(-err);

	return fence_diag_set(d, err, NULL, "%s", remedy);
}

/* Where the chain goes on. -EBADMSG: it cannot: the last row is none that an agent wrote. */
static int log_head(struct fence_log *log)
{
	AUTO_STMT sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(log->db, "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1",
				    -1, &s, NULL);

	log->seq = 0;
	memset(log->head, 0, HASH);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return log_errno(log, rc);
	if (sqlite3_column_type(s, 1) != SQLITE_BLOB || sqlite3_column_bytes(s, 1) != HASH ||
	    sqlite3_column_int64(s, 0) <= 0 || sqlite3_column_int64(s, 0) > LAST_SEQ)
		return -EBADMSG;
	log->seq = sqlite3_column_int64(s, 0);
	memcpy(log->head, sqlite3_column_blob(s, 1), HASH);
	return 0;
}

int log_has(sqlite3 *db, const struct mark *m)
{
	AUTO_STMT sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT hash FROM log WHERE seq = ?", -1, &s, NULL);

	sqlite3_bind_int64(s, 1, m->seq);
	return rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW &&
	       sqlite3_column_bytes(s, 0) == HASH &&
	       !memcmp(sqlite3_column_blob(s, 0), m->hash, HASH);
}

/* What was opened against what was written last. */
static void log_compare(struct fence_log *log, const struct mark *m)
{
	struct log_event e = { .seq = m->seq, .hash = m->hash };

	if (!m->there)
		return;
	if (!m->ended && !log->npending) {
		log_tell(log, &(struct log_event){
				      .what = "unclean",
				      .why = "who wrote the log before did not end of itself: what "
					     "it met last may be missing" });
	}
	if (m->seq > log->seq) {
		e.what = "short";
		e.why = "rows that were written are gone from the log's end";
		e.count = m->seq - log->seq;
		log_tell(log, &e);
	} else if (m->seq && !log_has(log->db, m)) {
		e.what = "rewritten";
		e.why = "the log is not the one that was written";
		log_tell(log, &e);
	}
}

/* A new file's name lasts once its directory is on the disk. */
static void log_sync_dir(const struct fence_log *log)
{
	char *copy = strdup(log->path);
	AUTO_FREE char *owned = copy;
	AUTO_FD int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	(void)owned;
	if (fd >= 0)
		fsync(fd);
}

/* The connection, strict, with our table in it. -EBADMSG: what is there is none of ours. */
static int log_connect(struct fence_log *log)
{
	mode_t mask = umask(0077);
	int rc = sqlite3_open_v2(log->path, &log->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
				 NULL);
	int err = 0;

	if (rc == SQLITE_OK)
		rc = db_strict(log->db);
	if (rc == SQLITE_OK)
		sqlite3_busy_timeout(log->db, PATIENCE_MS);
	if (rc == SQLITE_OK && sqlite3_db_readonly(log->db, "main"))
		rc = SQLITE_READONLY;
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(log->db, how, NULL, NULL, NULL);
	if (rc == SQLITE_OK) {
		err = db_schema(log->db);
		if (err == -ENOENT) {
			rc = db_create(log->db);
			err = rc == SQLITE_OK ? db_schema(log->db) : 0;
		}
		if (err == -EIO)
			rc = sqlite3_errcode(log->db);
	}
	umask(mask);
	if (rc == SQLITE_OK)
		log->version = log_version(log); /* before its last row is looked at */
	if (rc == SQLITE_OK && !err)
		rc = sqlite3_prepare_v3(log->db, "INSERT INTO log VALUES(?,?,?,?,?,?)", -1,
					SQLITE_PREPARE_PERSISTENT, &log->insert, NULL);
	return rc != SQLITE_OK ? log_errno(log, rc) : err;
}

static int log_open(struct fence_log *log, struct fence_diag *d)
{
	struct mark m = { .seq = log->seq, .there = 1, .ended = 1 }, now;
	int err, again;

	memcpy(m.hash, log->head, HASH); /* of an earlier opening; the file's, before the first */
	err = mark_open(log->path, &log->mark, log->opened ? &now : &m);
	if (err < 0)
		return log_diag(log, err, d);
	for (again = 0;; again++) {
		err = log_connect(log);
		if (!err)
			err = log_head(log);
		if (err != -EBADMSG || again)
			break;
		log_shut(log);
		log->seq = m.seq;
		memcpy(log->head, m.hash, HASH);
		err = log_aside(log, "what stood there was not a log as an agent leaves it");
		if (err < 0)
			break;
	}
	now = m;
	now.ended = 0; /* from here on; and its room on the disk is taken */
	if (!err)
		err = mark_write(log->mark, &now, 1);
	if (err < 0) {
		log_diag(log, err, d);
		log_shut(log);
		return err;
	}
	if (!log->fresh)
		log_compare(log, &m);
	log->begun += log->fresh || !log->seq;
	log->found = log->seq;
	log->fresh = log->named = 0;
	log->opened++;
	log_seen(log);
	return 0;
}

/* Bind and insert one row behind `seq` and `head`, which go on with it. An SQLite code. */
static int log_insert(struct fence_log *log, const struct fence_entry *e, int64_t *seq,
		      uint8_t head[HASH])
{
	struct fence_row row = {
		.seq = *seq + 1, .ts = e->ts, .boot = log->boot, .kind = e->kind, .body = e->body
	};
	uint8_t hash[HASH];
	int rc;

	if (chain_next(&log->chain, head, &row, e->len, hash))
		return SQLITE_MISUSE;
	sqlite3_bind_int64(log->insert, 1, row.seq);
	sqlite3_bind_text(log->insert, 2, log->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(log->insert, 3, row.ts);
	sqlite3_bind_text(log->insert, 4, row.kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(log->insert, 5, row.body, (int)e->len, SQLITE_STATIC);
	sqlite3_bind_blob(log->insert, 6, hash, HASH, SQLITE_STATIC);
	rc = sqlite3_step(log->insert);
	sqlite3_reset(log->insert);
	if (rc != SQLITE_DONE)
		return rc;
	if (sqlite3_changes(log->db) != 1)
		return SQLITE_CORRUPT;
	*seq = row.seq;
	memcpy(head, hash, HASH);
	return SQLITE_OK;
}

/* Those that tell of the log itself. An SQLite code. */
static int log_insert_pending(struct fence_log *log, int64_t *seq, uint8_t head[HASH])
{
	struct timespec now;
	int rc = SQLITE_OK;
	size_t i;

	clock_gettime(CLOCK_REALTIME, &now);
	for (i = 0; rc == SQLITE_OK && i < log->npending; i++) {
		struct fence_entry e = { .ts = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
					 .kind = "log",
					 .body = log->pending[i],
					 .len = strlen(log->pending[i]) };

		rc = log_insert(log, &e, seq, head);
	}
	return rc;
}

/* All of them in one transaction, or none. An SQLite code; SQLITE_SCHEMA: look at it again first.
 */
static int log_put(struct fence_log *log, const struct fence_entry *rows, size_t n)
{
	int64_t seq = log->seq;
	uint8_t head[HASH];
	size_t i;
	int rc = sqlite3_exec(log->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	memcpy(head, log->head, HASH);
	/* did somebody write since it was looked at? From here on nobody can. */
	if (rc == SQLITE_OK && log_version(log) != log->version)
		rc = SQLITE_SCHEMA;
	if (rc == SQLITE_OK)
		rc = log_insert_pending(log, &seq, head);
	for (i = 0; rc == SQLITE_OK && i < n; i++)
		rc = log_insert(log, &rows[i], &seq, head);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(log->db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		if (!sqlite3_get_autocommit(log->db))
			sqlite3_exec(log->db, "ROLLBACK", NULL, NULL, NULL);
		return rc;
	}
	while (log->npending)
		free(log->pending[--log->npending]);
	log->seq = seq;
	memcpy(log->head, head, HASH);
	log->wrote |= n > 0;
	return rc;
}

static void log_write_mark(struct fence_log *log, int ended)
{
	struct mark m = { .seq = log->seq, .ended = ended }, before;

	memcpy(m.hash, log->head, HASH);
	mark_open(log->path, &log->mark, &before);
	mark_write(log->mark, &m, ended);
}

int fence_log_sync(struct fence_log *log, struct fence_diag *d)
{
	char name[4096];
	AUTO_FD int fd = -1;

	if (!log->db)
		return log_diag(log, -EAGAIN, d);
	if (!log->named)
		log_sync_dir(log);
	log->named = 1;
	snprintf(name, sizeof(name), "%s-wal", log->path);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return log_diag(log, -errno, d);
	if (!log->unsafe && fdatasync(fd)) {
		if (errno == EINTR)
			return log_diag(log, -EINTR, d);
		log->unsafe = errno;
	}
	return log->unsafe ? fence_diag_set(d, -log->unsafe, NULL,
					    "rows did not reach the disk (%s): look at the disk, "
					    "then restart the agent",
					    strerror(log->unsafe))
			   : 0;
}

int fence_log_write(struct fence_log *log, const struct fence_entry *rows, size_t n,
		    struct fence_diag *d)
{
	int rc, err = 0, again = 0;

	do {
		if (log->db)
			log_check(log);
		if (!log->db)
			err = log_open(log, d);
		if (err < 0 || !(n || log->npending))
			return err;
		rc = log_put(log, rows, n);
	} while (rc == SQLITE_SCHEMA && !again++);
	if (rc != SQLITE_OK) {
		err = log_diag(log, log_errno(log, rc), d);
		if (err == -EBADMSG && !log_aside(log, "it could not be written any more"))
			return -EAGAIN;
		if (err != -EAGAIN && err != -ENOSPC) /* it is opened anew */
			log_shut(log);
		return err;
	}
	log_write_mark(log, 0);
	log_seen(log);
	return 0;
}

int64_t fence_log_seq(const struct fence_log *log)
{
	return log->seq;
}

int64_t fence_log_found(const struct fence_log *log)
{
	return log->found;
}

unsigned int fence_log_opened(const struct fence_log *log)
{
	return log->opened;
}

unsigned int fence_log_begun(const struct fence_log *log)
{
	return log->begun;
}

void fence_log_note(struct fence_log *log, const char *what, const char *why)
{
	log_tell(log, &(struct log_event){ .what = what, .why = why });
}

const char *fence_log_told(const struct fence_log *log, unsigned int *count)
{
	*count = log->ntold;
	return log->told;
}

void fence_log_free(struct fence_log *log, int ended)
{
	if (!log)
		return;
	if (log->db)
		fence_log_write(log, NULL, 0, NULL);
	if (log->db) { /* one file from now on, whose head says that it is whole */
		sqlite3_exec(log->db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
		log_write_mark(log, ended || !log->wrote);
	}
	log_shut(log);
	if (log->mark >= 0)
		close(log->mark); /* and its lock goes */
	while (log->npending)
		free(log->pending[--log->npending]);
	chain_done(&log->chain);
	free(log->path);
	free(log);
}
