// SPDX-License-Identifier: Apache-2.0
/* Every reader walks the chain, so what is shown is what was hashed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/internal.h"

struct walk {
	sqlite3 *db; /* owned */
	sqlite3_stmt *s; /* owned */
	struct chain chain; /* owned */
	int64_t next; /* seq of the row that has to come */
	struct fence_verify v;
};

static void walk_done(struct walk *w)
{
	sqlite3_finalize(w->s);
	sqlite3_close(w->db);
	chain_done(&w->chain);
}
#define AUTO_WALK __attribute__((cleanup(walk_done)))

static int walk_failed(struct walk *w, const char *path, struct fence_diag *d)
{
	return db_diag(d, path, sqlite3_errcode(w->db), sqlite3_errmsg(w->db));
}

static int walk_open(struct walk *w, const char *path, struct fence_diag *d)
{
	if (chain_init(&w->chain))
		return fence_diag_set(d, -ENOMEM, NULL, "no memory");
	return db_read(path, &w->db, &w->v.cut, d);
}

static void walk_bad(struct walk *w, int64_t seq, const char *what, const char *detail)
{
	if (!w->v.bad++) {
		w->v.bad_seq = seq;
		snprintf(w->v.why, sizeof(w->v.why), "row %lld %s%.80s", (long long)seq, what,
			 detail);
	}
}

/* Begin behind row `after`, whose hash is where the chain goes on from. */
static int walk_from(struct walk *w, int64_t after)
{
	AUTO_STMT sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(w->db, "SELECT hash FROM log WHERE seq = ?", -1, &s, NULL);

	sqlite3_bind_int64(s, 1, after);
	if (rc == SQLITE_OK && after && (rc = sqlite3_step(s)) == SQLITE_ROW &&
	    sqlite3_column_bytes(s, 0) == HASH)
		memcpy(w->v.head, sqlite3_column_blob(s, 0), HASH);
	if (rc == SQLITE_DONE)
		walk_bad(w, after, "is missing", "");
	w->next = after + 1;
	w->v.seq = after;
	if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
		rc = sqlite3_prepare_v2(w->db,
					"SELECT seq, boot, ts, kind, body, hash FROM log WHERE seq "
					"> ? ORDER BY seq",
					-1, &w->s, NULL);
	sqlite3_bind_int64(w->s, 1, after ? after : INT64_MIN); /* no row stands before the first */
	return rc == SQLITE_OK ? 0 : -EIO;
}

/* A text of which nothing stands behind a NUL; NULL: it is none. Borrowed. */
static const char *walk_text(sqlite3_stmt *s, int i)
{
	const char *text = sqlite3_column_type(s, i) == SQLITE_TEXT
				   ? (const char *)sqlite3_column_text(s, i)
				   : NULL;

	return text && strlen(text) == (size_t)sqlite3_column_bytes(s, i) ? text : NULL;
}

/* Is the row that stands there what was hashed, and does it fit behind the one before? */
static int walk_fits(struct walk *w, struct fence_row *row)
{
	uint8_t hash[HASH];

	return sqlite3_column_type(w->s, 2) == SQLITE_INTEGER && row->boot && row->kind &&
	       row->body && sqlite3_column_type(w->s, 5) == SQLITE_BLOB &&
	       sqlite3_column_bytes(w->s, 5) == HASH &&
	       !chain_next(&w->chain, w->v.head, row, (size_t)sqlite3_column_bytes(w->s, 4),
			   hash) &&
	       !memcmp(hash, sqlite3_column_blob(w->s, 5), HASH);
}

/*
 * The next row that fits. 1; 0: the last one was the last; -EIO: no more can be read, which counts
 * as one that does not fit. What does not fit is passed over and counted, and the chain taken up
 * behind it.
 */
static int walk_next(struct walk *w, struct fence_row *row)
{
	int rc, fits;

	while ((rc = sqlite3_step(w->s)) == SQLITE_ROW) {
		*row = (struct fence_row){ .seq = sqlite3_column_int64(w->s, 0),
					   .boot = walk_text(w->s, 1),
					   .ts = sqlite3_column_int64(w->s, 2),
					   .kind = walk_text(w->s, 3),
					   .body = walk_text(w->s, 4) };
		fits = row->seq == w->next && walk_fits(w, row);
		if (row->seq != w->next)
			walk_bad(w, w->next, "is missing", "");
		else if (!fits)
			walk_bad(w, row->seq, "does not fit the hash of the rows before it", "");
		memset(w->v.head, 0, HASH);
		if (sqlite3_column_bytes(w->s, 5) == HASH)
			memcpy(w->v.head, sqlite3_column_blob(w->s, 5), HASH);
		w->v.seq = row->seq;
		w->next = row->seq == INT64_MAX ? row->seq : row->seq + 1;
		w->v.rows += fits;
		if (fits)
			return 1;
	}
	if (rc == SQLITE_DONE)
		return 0;
	walk_bad(w, w->next, "cannot be read: ", sqlite3_errmsg(w->db));
	return -EIO;
}

/* The last row was read: was it the last that was written? `mark` is from before the walk. */
static void walk_ended(struct walk *w, int64_t mark)
{
	if (mark > w->v.seq && !w->v.cut) {
		w->v.gone = mark - w->v.seq;
		walk_bad(w, w->v.seq + 1, "was written, and is gone from the end", "");
	}
}

/* Is `kind` in the comma list? */
static int has_kind(const char *kinds, const char *kind)
{
	size_t n = strlen(kind);
	const char *at;

	if (!kinds)
		return 1;
	for (at = kinds; (at = strstr(at, kind)); at += n)
		if ((at == kinds || at[-1] == ',') && (!at[n] || at[n] == ','))
			return 1;
	return 0;
}

static int is_wanted(const struct fence_query_log *q, const char *kind, int64_t ts)
{
	return (!q->since || ts >= q->since) && (!q->until || ts < q->until) && kind &&
	       has_kind(q->kinds, kind);
}

/* The row behind which the last `last` that are wanted stand. */
static int walk_last(struct walk *w, const struct fence_query_log *q, int64_t *after)
{
	AUTO_STMT sqlite3_stmt *s = NULL;
	int64_t n = 0;
	int rc = sqlite3_prepare_v2(w->db,
				    "SELECT seq, ts, kind FROM log WHERE seq > ? ORDER BY seq DESC",
				    -1, &s, NULL);

	sqlite3_bind_int64(s, 1, q->after);
	if (rc != SQLITE_OK)
		return -EIO;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		if (is_wanted(q, walk_text(s, 2), sqlite3_column_int64(s, 1)) && ++n == q->last) {
			*after = sqlite3_column_int64(s, 0) - 1;
			return 0;
		}
	return rc == SQLITE_DONE ? 0 : -EIO;
}

int fence_log_read(const char *path, const struct fence_query_log *q,
		   int (*each)(void *ctx, const struct fence_row *row), void *ctx,
		   struct fence_diag *d)
{
	AUTO_WALK struct walk w = { 0 };
	int64_t after = q->after, mark = mark_seq(path);
	struct fence_row row;
	int err = walk_open(&w, path, d), more;

	if (err < 0)
		return err;
	if ((q->last && walk_last(&w, q, &after) < 0) || walk_from(&w, after) < 0)
		return walk_failed(&w, path, d);
	while ((more = walk_next(&w, &row)) > 0)
		if (is_wanted(q, row.kind, row.ts) && each(ctx, &row))
			break;
	if (!more)
		walk_ended(&w, mark);
	if (!w.v.bad)
		return 0;
	return fence_diag_set(d, -EBADMSG, NULL,
			      "the log %s is not as it was written: %s; what fits is shown, and "
			      "%lld that does not is left out: see crmfence verify",
			      path, w.v.why, (long long)w.v.bad);
}

/* `mark`: the last row that was written once, as was said before. */
static int verify(const char *path, int64_t mark, struct fence_verify *v, struct fence_diag *d)
{
	AUTO_WALK struct walk w = { 0 };
	struct fence_row row;
	int err = walk_open(&w, path, d), more;

	memset(v, 0, sizeof(*v));
	if (err < 0)
		return err;
	if (walk_from(&w, 0) < 0)
		return walk_failed(&w, path, d);
	while ((more = walk_next(&w, &row)) > 0)
		;
	if (!more)
		walk_ended(&w, mark);
	*v = w.v;
	return 0;
}

int fence_log_verify(const char *path, struct fence_verify *v, struct fence_diag *d)
{
	return verify(path, mark_seq(path), v, d);
}

int db_copy(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int rc, end;

	if (!b)
		return sqlite3_errcode(to);
	rc = sqlite3_backup_step(b, -1);
	end = sqlite3_backup_finish(b);
	return rc != SQLITE_DONE ? (end != SQLITE_OK ? end : SQLITE_BUSY) : end;
}

int fence_log_copy(const char *path, const char *to, struct fence_verify *v, struct fence_diag *d)
{
	AUTO_DB sqlite3 *from = NULL;
	AUTO_DB sqlite3 *out = NULL;
	int64_t mark = mark_seq(path); /* the copy is held against it: it has none of its own */
	FILE *f = fopen(to, "wxe"); /* made here, and nobody else's until root says so */
	int rc, cut;

	if (!f || fchmod(fileno(f), 0600))
		rc = -errno;
	else
		rc = 0;
	if (f)
		fclose(f);
	if (rc < 0)
		return fence_diag_set(d, rc, NULL,
				      "%s cannot be made: %s; name a file that is "
				      "not there yet",
				      to, strerror(-rc));
	rc = db_read(path, &from, &cut, d);
	if (rc < 0) {
		unlink(to);
		return rc;
	}
	rc = sqlite3_open_v2(to, &out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = db_copy(from, out);
	/* its head says from now on that no -wal belongs to it, but where one does that is not here
	 */
	if (rc == SQLITE_OK && !cut)
		rc = sqlite3_exec(out, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = verify(to, mark, v, d);
	if (rc)
		unlink(to);
	if (rc <= 0)
		return rc;
	return fence_diag_set(d, -EIO, NULL,
			      "%s cannot be copied to %s: %s; see that there is room", path, to,
			      out ? sqlite3_errmsg(out) : "no memory");
}
