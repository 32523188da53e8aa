/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the log share: a directory of its own for each, logs, ways to spoil them. */
#ifndef FENCE_TESTS_LOG_H
#define FENCE_TESTS_LOG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <sqlite3.h>

#include "store/log.h"

static char dir[64], path[96];

static inline void text_of(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", dir, name);
}

static inline int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/crmfence-unit-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	text_of(path, sizeof(path), "egress.db");
	return 0;
}

static inline int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static inline void sql(const char *file, const char *text)
{
	char *err = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	sqlite3_exec(db, text, NULL, NULL, &err);
	assert_null(err);
	sqlite3_close(db);
}

/* The hash of a row as log.h says it, behind one whose hash is `prev`; none of the writer's code.
 */
static inline void hash_of(const uint8_t prev[FENCE_LOG_HASH], const struct fence_row *row,
			   uint8_t out[FENCE_LOG_HASH])
{
	char text[9000];
	int n;

	memcpy(text, prev, FENCE_LOG_HASH);
	n = snprintf(text + FENCE_LOG_HASH, sizeof(text) - FENCE_LOG_HASH, "%lld\n%s\n%lld\n%s\n%s",
		     (long long)row->seq, row->boot, (long long)row->ts, row->kind, row->body);
	assert_int_equal(
		EVP_Digest(text, FENCE_LOG_HASH + (size_t)n, out, NULL, EVP_sha256(), NULL), 1);
}

static inline int exists(const char *name)
{
	char full[160];

	snprintf(full, sizeof(full), "%s/%s", dir, name);
	return !access(full, F_OK);
}

static inline void copy_file(const char *from, const char *to)
{
	char command[300];

	snprintf(command, sizeof(command), "cd %s && cp %s %s", dir, from, to);
	assert_int_equal(system(command), 0);
}

/* Rows of that number and on, all at once. */
static inline int put(struct fence_log *log, int from, int n, struct fence_diag *d)
{
	static char bodies[3000][32];
	static struct fence_entry rows[3000];
	int i;

	for (i = 0; i < n; i++)
		rows[i] = (struct fence_entry){
			.ts = 1795910400000000000LL + from + i,
			.kind = (from + i) % 5 ? "flow" : "deny",
			.body = bodies[i],
			.len = (size_t)snprintf(bodies[i], sizeof(bodies[i]), "{\"n\":%d}",
						from + i),
		};
	return fence_log_write(log, rows, (size_t)n, d);
}

static inline void make_log(int rows)
{
	struct fence_log *log;
	struct fence_diag d = { 0 };
	char last[128];

	snprintf(last, sizeof(last), "%s.last", path);
	unlink(path);
	unlink(last);
	log = fence_log_new(path);
	assert_non_null(log);
	assert_int_equal(put(log, 1, rows, &d), 0);
	assert_int_equal(fence_log_seq(log), rows);
	fence_log_free(log, 1);
	unlink(last);
}

struct seen {
	int n, stop;
	int64_t first, last;
};

static inline int on_row(void *ctx, const struct fence_row *row)
{
	struct seen *s = ctx;

	if (!s->n++)
		s->first = row->seq;
	s->last = row->seq;
	return s->n == s->stop;
}

static inline int read_all(const char *file, const struct fence_query_log *q, struct seen *s,
			   struct fence_diag *d)
{
	memset(s, 0, sizeof(*s));
	memset(d, 0, sizeof(*d));
	return fence_log_read(file, q, on_row, s, d);
}

/* What is not ours is neither read nor written. */
static const char *const schemas[] = {
	"CREATE TABLE other(a)",
	"CREATE INDEX i ON log(kind)",
	"CREATE TRIGGER t BEFORE INSERT ON log BEGIN SELECT RAISE(IGNORE); END",
	"CREATE VIEW v AS SELECT * FROM log",
	"ALTER TABLE log RENAME TO logs; CREATE VIEW log AS SELECT * FROM logs WHERE kind<>'deny'",
	"ALTER TABLE log ADD COLUMN note TEXT",
	"DROP TABLE log; CREATE TABLE log(seq INTEGER PRIMARY KEY, boot, ts, kind, body, hash)",
};

#endif
