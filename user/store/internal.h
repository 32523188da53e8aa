/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this module share. */
#ifndef FENCE_STORE_INTERNAL_H
#define FENCE_STORE_INTERNAL_H

#include <openssl/evp.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "store/log.h"

#define HASH FENCE_LOG_HASH

/* chain.c: a row's hash; writer and readers share it. */
struct chain {
	EVP_MD_CTX *md; /* owned */
	EVP_MD *sha; /* owned */
};

int chain_init(struct chain *c); /* 0, or -ENOMEM; chain_done() either way */
void chain_done(struct chain *c);

/*
 * The hash of `row`, whose body has `len` bytes, behind a row whose hash is `prev`. 0; -EBADMSG:
 * no agent writes such a row (its boot, kind or body has not the form that makes the hashed text
 * read one way only); -EIO.
 */
int chain_next(struct chain *c, const uint8_t prev[HASH], const struct fence_row *row, size_t len,
	       uint8_t out[HASH]);

/* db.c: an open database, as all of this module want it: no trigger, no view, no trust. */
int db_strict(sqlite3 *db); /* an SQLite code */

/* Is what is in it a log's one table, and nothing else? 0; -ENOENT: it is empty; -EBADMSG; -EIO. */
int db_schema(sqlite3 *db);

/* Make the table. An SQLite code. */
int db_create(sqlite3 *db);

/*
 * Open for reading, without leaving a file beside it. *cut: as fence_log_cut. 0: *ret is owned by
 * the caller (sqlite3_close); else `d` says why not.
 */
int db_read(const char *path, sqlite3 **ret, int *cut, struct fence_diag *d);

/* Why `path` cannot be read, in words that help. */
int db_diag(struct fence_diag *d, const char *path, int rc, const char *text);

/*
 * mark.c: number and hash of the last row, in a file beside the log whose lock its one writer
 * holds. It is written after each commit, without waiting for the disk: what a power cut takes from
 * the log and not from it, and what somebody cuts from the log's end, is seen by it.
 */
struct mark {
	int64_t seq; /* 0: it says nothing */
	uint8_t hash[HASH];
	int there; /* there was one */
	int ended; /* the agent ended of itself */
};

/* Open it, when *fd is -1 or not the one that is there, lock it, read it. 0; -EBUSY: another writer
 * is at work; -errno. */
int mark_open(const char *path, int *fd, struct mark *m);
int mark_write(int fd, const struct mark *m, int sync); /* 0, or -errno */
int64_t mark_seq(const char *path); /* as who only reads sees it; 0: nothing */

/* log.c: a log that is written; not open: db is NULL. */
#define LOG_PENDING 8
struct fence_log {
	char *path; /* owned */
	char boot[40];
	sqlite3 *db; /* owned */
	sqlite3_stmt *insert; /* owned */
	struct chain chain; /* owned */
	int64_t seq, found; /* of the last row; when it was opened */
	uint8_t head[HASH];
	int mark; /* owned; the file beside it, locked; -1 */
	int place; /* owned; O_PATH: where the file is now; -1 */
	struct stat was, wal; /* as last seen; no ino: not seen */
	int64_t version; /* changes when another program writes */
	int fresh; /* what is opened next was begun because the one before could not be gone on with
		    */
	int wrote; /* rows of the caller's */
	int named; /* the disk has the names of its files */
	int unsafe; /* errno: the disk did not take rows, which it says once and no more */
	unsigned int opened, begun, ntold;
	char told[400];
	char *pending[LOG_PENDING]; /* owned; bodies of rows that are to be written first */
	size_t npending;
};

int log_has(sqlite3 *db, const struct mark *m); /* has row m->seq that hash? */

/* keep.c: what is found otherwise than it was left. */
struct log_event {
	const char *what, *why; /* a word, a sentence */
	const char *file; /* where the old is; NULL: it is still this one */
	int64_t count; /* of rows; 0: not known */
	int64_t seq; /* last row that was there, and its hash; NULL: not told */
	const uint8_t *hash;
};

void log_tell(struct fence_log *log, const struct log_event *e);

/* Keep what stands at the log's path under another name. 0, or -errno. */
int log_aside(struct fence_log *log, const char *why);

/* While it is open: is it as it was left? If not it is told, and, where it has to be, closed. */
void log_check(struct fence_log *log);
void log_seen(struct fence_log *log); /* its files are now as they should be */
int64_t log_version(const struct fence_log *log); /* another one when another program wrote */
void log_shut(struct fence_log *log); /* close, as it is */

/* Rows of one database into another: read.c. An SQLite code. */
int db_copy(sqlite3 *from, sqlite3 *to);

/* Close for cleanup attributes. */
void db_close(sqlite3 **db);
void db_finalize(sqlite3_stmt **s);
#define AUTO_DB __attribute__((cleanup(db_close)))
#define AUTO_STMT __attribute__((cleanup(db_finalize)))

#endif
