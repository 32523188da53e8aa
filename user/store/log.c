// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "store/internal.h"

struct fence_log {
	sqlite3 *db; /* owned */
	sqlite3_stmt *insert; /* owned */
	struct chain chain; /* owned */
	char boot[40];
	int64_t seq, kept_seq; /* last row; last row on disk */
	uint8_t head[HASH], kept_head[HASH];
	int open; /* a transaction is */
	uint64_t lost;
};

#define LAST_SEQ (INT64_MAX - 1) /* behind which there is room for one */

static const char how[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
			  "PRAGMA cache_size=-256; PRAGMA wal_autocheckpoint=1000;";

static int db_error(int rc)
{
	return rc == SQLITE_FULL ? -ENOSPC : -EIO;
}

/* Where the chain goes on. -EBADMSG: it cannot: the last row is none that an agent wrote. */
static int read_head(struct fence_log *log)
{
	AUTO_STMT sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(log->db, "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1",
				    -1, &s, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		log->seq = sqlite3_column_int64(s, 0);
		if (sqlite3_column_type(s, 1) != SQLITE_BLOB ||
		    sqlite3_column_bytes(s, 1) != HASH || log->seq <= 0 || log->seq > LAST_SEQ)
			return -EBADMSG;
		memcpy(log->head, sqlite3_column_blob(s, 1), HASH);
	}
	log->kept_seq = log->seq;
	memcpy(log->kept_head, log->head, HASH);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -EIO;
}

/* The table, made where there is none; any other is not ours to write into. */
static int check_schema(struct fence_log *log)
{
	int err = db_schema(log->db);

	if (err == -ENOENT)
		err = db_create(log->db) == SQLITE_OK ? db_schema(log->db) : -EIO;
	return err;
}

int fence_log_open(const char *path, struct fence_log **ret, struct fence_diag *d)
{
	struct fence_log *log = calloc(1, sizeof(*log));
	AUTO_BUF struct fence_buf boot = { 0 };
	mode_t mask;
	int rc, err;

	if (!log)
		return -ENOMEM;
	fence_buf_read_file(&boot, "/proc/sys/kernel/random/boot_id", 64);
	snprintf(log->boot, sizeof(log->boot), "%.36s", fence_buf_text(&boot));
	err = chain_init(&log->chain);
	mask = umask(0077);
	rc = sqlite3_open_v2(path, &log->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc == SQLITE_OK)
		rc = db_strict(log->db);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(log->db, how, NULL, NULL, NULL);
	if (rc == SQLITE_OK && !err)
		err = check_schema(log);
	umask(mask);
	if (rc == SQLITE_OK && !err)
		err = read_head(log);
	if (rc == SQLITE_OK && !err)
		rc = sqlite3_prepare_v3(log->db, "INSERT INTO log VALUES(?,?,?,?,?,?)", -1,
					SQLITE_PREPARE_PERSISTENT, &log->insert, NULL);
	if (rc != SQLITE_OK || err) {
		fence_diag_set(d, -EIO, NULL,
			       "the log %s cannot be opened: %s; give another path with --db", path,
			       err == -EBADMSG ? "it is not as an agent left it"
			       : log->db       ? sqlite3_errmsg(log->db)
					       : "no memory");
		fence_log_close(log);
		return -EIO;
	}
	*ret = log;
	return 0;
}

/* Give up the open transaction; its rows are lost, the chain goes on from the last row on disk. */
static void drop(struct fence_log *log)
{
	sqlite3_exec(log->db, "ROLLBACK", NULL, NULL, NULL);
	log->lost += (uint64_t)(log->seq - log->kept_seq);
	log->seq = log->kept_seq;
	memcpy(log->head, log->kept_head, HASH);
	log->open = 0;
}

int fence_log_commit(struct fence_log *log)
{
	int rc;

	if (!log->open)
		return 0;
	rc = sqlite3_exec(log->db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		drop(log);
		return db_error(rc);
	}
	log->open = 0;
	log->kept_seq = log->seq;
	memcpy(log->kept_head, log->head, HASH);
	return 0;
}

void fence_log_close(struct fence_log *log)
{
	if (!log)
		return;
	if (log->db)
		fence_log_commit(log);
	sqlite3_finalize(log->insert);
	if (log->db) /* one file from now on, whose head says that it is whole */
		sqlite3_exec(log->db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	sqlite3_close(log->db);
	chain_done(&log->chain);
	free(log);
}

int64_t fence_log_append(struct fence_log *log, const char *kind, const char *body, size_t len)
{
	struct fence_row row = {
		.seq = log->seq + 1, .boot = log->boot, .kind = kind, .body = body
	};
	struct timespec now;
	uint8_t hash[HASH];
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	row.ts = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	if (log->seq >= LAST_SEQ || chain_next(&log->chain, log->head, &row, len, hash))
		return -EIO;
	if (!log->open) {
		rc = sqlite3_exec(log->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		if (rc != SQLITE_OK) {
			log->lost++;
			return db_error(rc);
		}
		log->open = 1;
	}
	sqlite3_bind_int64(log->insert, 1, row.seq);
	sqlite3_bind_text(log->insert, 2, log->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(log->insert, 3, row.ts);
	sqlite3_bind_text(log->insert, 4, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(log->insert, 5, body, (int)len, SQLITE_STATIC);
	sqlite3_bind_blob(log->insert, 6, hash, HASH, SQLITE_STATIC);
	rc = sqlite3_step(log->insert);
	sqlite3_reset(log->insert);
	if (rc != SQLITE_DONE || sqlite3_changes(log->db) != 1) {
		drop(log);
		log->lost++;
		return db_error(rc);
	}
	log->seq = row.seq;
	memcpy(log->head, hash, HASH);
	return row.seq;
}

uint64_t fence_log_lost(struct fence_log *log)
{
	uint64_t n = log->lost;

	log->lost = 0;
	return n;
}

int64_t fence_log_seq(const struct fence_log *log)
{
	return log->seq;
}
