// SPDX-License-Identifier: Apache-2.0
#include "store/log.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"

#define HASH 32

struct fence_log {
	sqlite3 *db; /* owned */
	sqlite3_stmt *insert; /* owned */
	EVP_MD_CTX *md; /* owned */
	EVP_MD *sha; /* owned */
	char boot[40];
	int64_t seq, kept_seq; /* last row; last row on disk */
	uint8_t head[HASH], kept_head[HASH];
	int open; /* a transaction is */
	uint64_t lost;
};

static const char schema[] =
	"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-256;"
	"PRAGMA wal_autocheckpoint=1000;"
	"CREATE TABLE IF NOT EXISTS log(seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, ts INTEGER "
	"NOT NULL,"
	" kind TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL);";

static int chain(EVP_MD_CTX *md, const EVP_MD *sha, const uint8_t prev[HASH], const char *head,
		 size_t head_len, const char *body, size_t len, uint8_t out[HASH])
{
	return EVP_DigestInit_ex(md, sha, NULL) && EVP_DigestUpdate(md, prev, HASH) &&
			       EVP_DigestUpdate(md, head, head_len) &&
			       EVP_DigestUpdate(md, body, len) && EVP_DigestFinal_ex(md, out, NULL)
		       ? 0
		       : -EIO;
}

/* What the hash covers besides the body. 0: a row that no agent writes. */
static size_t head_text(char *out, size_t size, int64_t seq, const char *boot, int64_t ts,
			const char *kind)
{
	size_t boots = strlen(boot), kinds = strlen(kind), n;

	if (2 * FENCE_DIGITS + boots + kinds + 4 > size)
		return 0;
	n = fence_digits(out, seq);
	out[n++] = '\n';
	memcpy(out + n, boot, boots);
	n += boots;
	out[n++] = '\n';
	n += fence_digits(out + n, ts);
	out[n++] = '\n';
	memcpy(out + n, kind, kinds);
	n += kinds;
	out[n++] = '\n';
	return n;
}

static int db_error(int rc)
{
	return rc == SQLITE_FULL ? -ENOSPC : -EIO;
}

static int read_head(struct fence_log *log)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(log->db, "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1",
				    -1, &s, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW &&
	    sqlite3_column_bytes(s, 1) == HASH) {
		log->seq = sqlite3_column_int64(s, 0);
		memcpy(log->head, sqlite3_column_blob(s, 1), HASH);
	}
	sqlite3_finalize(s);
	log->kept_seq = log->seq;
	memcpy(log->kept_head, log->head, HASH);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -EIO;
}

int fence_log_open(const char *path, struct fence_log **ret, struct fence_diag *d)
{
	struct fence_log *log = calloc(1, sizeof(*log));
	AUTO_BUF struct fence_buf boot = { 0 };
	mode_t mask;
	int rc;

	if (!log)
		return -ENOMEM;
	fence_buf_read_file(&boot, "/proc/sys/kernel/random/boot_id", 64);
	snprintf(log->boot, sizeof(log->boot), "%.36s", fence_buf_text(&boot));
	log->md = EVP_MD_CTX_new();
	log->sha = EVP_MD_fetch(NULL, "SHA256", NULL);
	mask = umask(0077);
	rc = sqlite3_open_v2(path, &log->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(log->db, schema, NULL, NULL, NULL);
	umask(mask);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(log->db, "INSERT INTO log VALUES(?,?,?,?,?,?)", -1,
					SQLITE_PREPARE_PERSISTENT, &log->insert, NULL);
	if (rc != SQLITE_OK || !log->md || !log->sha || read_head(log)) {
		fence_diag_set(d, -EIO, NULL,
			       "the log %s cannot be opened: %s; give another path with --db", path,
			       log->db ? sqlite3_errmsg(log->db) : "no memory");
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
	sqlite3_close(log->db);
	EVP_MD_CTX_free(log->md);
	EVP_MD_free(log->sha);
	free(log);
}

int64_t fence_log_append(struct fence_log *log, const char *kind, const char *body, size_t len)
{
	int64_t seq = log->seq + 1, ts;
	struct timespec now;
	uint8_t hash[HASH];
	char head[160];
	size_t n;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	ts = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	n = head_text(head, sizeof(head), seq, log->boot, ts, kind);
	if (chain(log->md, log->sha, log->head, head, n, body, len, hash))
		return -EIO;
	if (!log->open) {
		rc = sqlite3_exec(log->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		if (rc != SQLITE_OK) {
			log->lost++;
			return db_error(rc);
		}
		log->open = 1;
	}
	sqlite3_bind_int64(log->insert, 1, seq);
	sqlite3_bind_text(log->insert, 2, log->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(log->insert, 3, ts);
	sqlite3_bind_text(log->insert, 4, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(log->insert, 5, body, (int)len, SQLITE_STATIC);
	sqlite3_bind_blob(log->insert, 6, hash, HASH, SQLITE_STATIC);
	rc = sqlite3_step(log->insert);
	sqlite3_reset(log->insert);
	if (rc != SQLITE_DONE) {
		drop(log);
		log->lost++;
		return db_error(rc);
	}
	log->seq = seq;
	memcpy(log->head, hash, HASH);
	return seq;
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

static int open_reader(const char *path, sqlite3 **db, struct fence_diag *d)
{
	int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(*db, "SELECT 1 FROM log LIMIT 1", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	fence_diag_set(
		d, -EIO, NULL,
		"the log %s cannot be read: %s; give its path with --db, and read it as root", path,
		sqlite3_errmsg(*db));
	sqlite3_close(*db);
	*db = NULL;
	return -EIO;
}

/* A log that somebody changed may have nothing there. */
static const char *column(sqlite3_stmt *s, int i)
{
	const char *text = (const char *)sqlite3_column_text(s, i);

	return text ? text : "";
}

int fence_log_read(const char *path, const struct fence_query_log *q,
		   int (*each)(void *ctx, const struct fence_row *row), void *ctx,
		   struct fence_diag *d)
{
	static const char sql[] = "SELECT seq, boot, ts, kind, body FROM (SELECT * FROM log WHERE "
				  "seq > ?1 AND (?2 = 0 OR ts >= ?2) AND"
				  " (?3 = 0 OR ts < ?3) AND (?4 IS NULL OR instr(?4, ',' || kind "
				  "|| ',')) ORDER BY seq DESC LIMIT ?5)"
				  " ORDER BY seq";
	sqlite3_stmt *s = NULL;
	sqlite3 *db = NULL;
	char kinds[256];
	int rc, err = open_reader(path, &db, d);

	if (err < 0)
		return err;
	snprintf(kinds, sizeof(kinds), ",%s,", q->kinds ? q->kinds : "");
	rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
	sqlite3_bind_int64(s, 1, q->after);
	sqlite3_bind_int64(s, 2, q->since);
	sqlite3_bind_int64(s, 3, q->until);
	if (q->kinds)
		sqlite3_bind_text(s, 4, kinds, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 5, q->last ? q->last : -1);
	while (rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
		struct fence_row row = {
			.seq = sqlite3_column_int64(s, 0),
			.boot = column(s, 1),
			.ts = sqlite3_column_int64(s, 2),
			.kind = column(s, 3),
			.body = column(s, 4),
		};

		if (each(ctx, &row))
			break;
	}
	sqlite3_finalize(s);
	sqlite3_close(db);
	return rc == SQLITE_OK ? 0 : -EIO;
}

/* One row against the chain so far. */
static int verify_row(sqlite3_stmt *s, EVP_MD_CTX *md, const EVP_MD *sha, struct fence_verify *v,
		      int64_t *next)
{
	int64_t seq = sqlite3_column_int64(s, 0), ts = sqlite3_column_int64(s, 2);
	const char *boot = (const char *)sqlite3_column_text(s, 1),
		   *kind = (const char *)sqlite3_column_text(s, 3),
		   *body = (const char *)sqlite3_column_text(s, 4);
	uint8_t hash[HASH];
	char head[160];
	size_t n;

	if (seq != *next) {
		snprintf(v->why, sizeof(v->why), "row %lld is missing", (long long)*next);
		v->bad_seq = *next;
		return -1;
	}
	n = boot && kind && body ? head_text(head, sizeof(head), seq, boot, ts, kind) : 0;
	if (!n ||
	    chain(md, sha, v->head, head, n, body, (size_t)sqlite3_column_bytes(s, 4), hash) ||
	    sqlite3_column_bytes(s, 5) != HASH || memcmp(hash, sqlite3_column_blob(s, 5), HASH)) {
		snprintf(v->why, sizeof(v->why),
			 "row %lld does not fit the hash of the rows before it", (long long)seq);
		v->bad_seq = seq;
		return -1;
	}
	memcpy(v->head, hash, HASH);
	v->rows++;
	(*next)++;
	return 0;
}

/* Every row; one that cannot be read is no end of the log. */
static void verify_rows(sqlite3 *db, EVP_MD_CTX *md, const EVP_MD *sha, struct fence_verify *v)
{
	sqlite3_stmt *s = NULL;
	int64_t next = 1;
	int rc = sqlite3_prepare_v2(
		db, "SELECT seq, boot, ts, kind, body, hash FROM log ORDER BY seq", -1, &s, NULL);

	if (rc == SQLITE_OK)
		while ((rc = sqlite3_step(s)) == SQLITE_ROW)
			if (verify_row(s, md, sha, v, &next))
				break;
	if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
		snprintf(v->why, sizeof(v->why), "row %lld cannot be read: %.80s", (long long)next,
			 sqlite3_errmsg(db));
		v->bad_seq = next;
	}
	sqlite3_finalize(s);
}

int fence_log_verify(const char *path, struct fence_verify *v, struct fence_diag *d)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_MD *sha = EVP_MD_fetch(NULL, "SHA256", NULL);
	sqlite3 *db = NULL;
	int err = open_reader(path, &db, d);

	memset(v, 0, sizeof(*v));
	if (!err)
		verify_rows(db, md, sha, v);
	sqlite3_close(db);
	EVP_MD_CTX_free(md);
	EVP_MD_free(sha);
	return err;
}
