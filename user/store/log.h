/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one append-only SQLite table, each row chained to the one before it.
 *
 *   log(seq INTEGER PRIMARY KEY, boot TEXT, ts INTEGER, kind TEXT, body TEXT, hash BLOB)
 *   hash = SHA-256(previous hash | "seq NL boot NL ts NL kind NL" | body);  the first row's
 * previous hash is 32 zero bytes
 *
 * ts: wall clock, nanoseconds since 1970. body: canonical JSON (RFC 8785). kind: a to z and "-", at
 * most 31. boot: a UUID. The other columns go into the hash too: a chain over the bodies alone
 * would let a row's time or kind be changed. Everything else that people are shown is computed from
 * this table. A database with another table, a trigger, a view or an index is none of ours: it is
 * neither written nor read.
 *
 * Who writes gives a batch of rows, all of which are written or none: none is lost here, the caller
 * tries again with the same. It is the only writer (a lock on the file `<log>.last`, which has
 * number and hash of the last row). What it finds otherwise than it was left becomes a row of kind
 * "log" (EVENTS.md), and where the file cannot be gone on with it is kept under another name and a
 * new one begun: another schema, a last row that none of ours wrote, a page that cannot be read, a
 * file moved, replaced or cut short while it is written. WAL mode while it is open; one file when
 * it is closed. The only place with sqlite3.h.
 */
#ifndef FENCE_STORE_LOG_H
#define FENCE_STORE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"

#define FENCE_LOG_HASH 32 /* bytes */

struct fence_log;

/* One to be written. Touches no file yet. Owned by the caller; NULL: no memory. */
struct fence_log *fence_log_new(const char *path);

/* `ended`: the agent ends of itself, after these rows; else the next one tells that it did not. */
void fence_log_free(struct fence_log *log, int ended); /* NULL is fine */

struct fence_entry {
	int64_t ts; /* wall clock, ns */
	const char *kind, *body; /* borrowed */
	size_t len; /* bytes of body */
};

/*
 * Write `n` rows; with 0: open it, see whether it is as it was left, tell what is not. 0; or
 * -errno, with a word on what would help, and none of them was written: -EAGAIN another program
 * holds it, -ENOSPC, -EROFS, -EIO, ... Waits a second at most for who holds it; for the disk as
 * long as that takes.
 */
int fence_log_write(struct fence_log *log, const struct fence_entry *rows, size_t n,
		    struct fence_diag *d);

/* Wait until the disk has what was written. 0, or -errno: it is not known to. */
int fence_log_sync(struct fence_log *log, struct fence_diag *d);

int64_t fence_log_seq(const struct fence_log *log); /* of the last row; 0: none, or not open */
int64_t fence_log_found(const struct fence_log *log); /* ... as it was opened last */
unsigned int fence_log_opened(const struct fence_log *log); /* how often; it may differ then */
unsigned int fence_log_begun(const struct fence_log *log); /* how often a new file was begun */

/* Have the next write tell this first, as a row of kind "log". */
void fence_log_note(struct fence_log *log, const char *what, const char *why);

/* The last that was told, as "WHAT: sentence", and how many were. Borrowed. */
const char *fence_log_told(const struct fence_log *log, unsigned int *count);

struct fence_row {
	int64_t seq;
	int64_t ts;
	const char *boot, *kind, *body; /* borrowed, until the callback returns */
};

/*
 * Read: rows of `kinds` (NULL: all) with since <= ts < until (0: no bound), behind row `after`,
 * only the last `last` (0: all), newest last. `each` returns 0 to go on.
 *
 * Every row is held against its hash and its place before it is given: one that does not fit is
 * passed over. 0: all that is wanted was given, to the last row. -EBADMSG: what fits was given, and
 * there was more, which `d` names: a caller shows what it has and then fails. Else nothing was
 * read. Leaves no file beside the log; reads copies, also where nothing may be written.
 */
struct fence_query_log {
	const char *kinds; /* comma list, NULL: all */
	int64_t since, until, after;
	int64_t last; /* only the last N */
};

int fence_log_read(const char *path, const struct fence_query_log *q,
		   int (*each)(void *ctx, const struct fence_row *row), void *ctx,
		   struct fence_diag *d);

/* 1: a copy without its -wal, in which the newest rows stand: there may be more than are here. */
int fence_log_cut(const char *path);

struct fence_verify {
	int64_t rows; /* that fit */
	int64_t bad; /* places that do not */
	int64_t bad_seq; /* the first of them; 0: none */
	int64_t seq; /* of the last row */
	int cut; /* as fence_log_cut */
	int64_t gone; /* rows behind the last that were written once, as `<log>.last` says */
	char why[128]; /* the first that does not fit */
	uint8_t head[FENCE_LOG_HASH]; /* hash of the last row */
};

/*
 * Recompute the chain, to its last row. 0 also when it is broken: then v->bad_seq says where. Who
 * can write the file can recompute the chain, too, and cut rows from its end: only `seq` and
 * `head`, held against what somebody else kept, show that nothing of it happened.
 */
int fence_log_verify(const char *path, struct fence_verify *v, struct fence_diag *d);

/*
 * Copy the log, as it is at this moment and an agent goes on writing, into the new file `to`, which
 * is whole by itself. `v`: of the copy. 0, or -errno, and no file is left.
 */
int fence_log_copy(const char *path, const char *to, struct fence_verify *v, struct fence_diag *d);

#endif
