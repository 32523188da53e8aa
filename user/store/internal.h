/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this module share. */
#ifndef FENCE_STORE_INTERNAL_H
#define FENCE_STORE_INTERNAL_H

#include <openssl/evp.h>
#include <sqlite3.h>

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

/* Close for cleanup attributes. */
void db_close(sqlite3 **db);
void db_finalize(sqlite3_stmt **s);
#define AUTO_DB __attribute__((cleanup(db_close)))
#define AUTO_STMT __attribute__((cleanup(db_finalize)))

#endif
