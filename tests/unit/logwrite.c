// SPDX-License-Identifier: Apache-2.0
/* Who writes the log: no row is lost, and what is found otherwise than it was left is told and
 * kept. */
#include <fcntl.h>
#include <sys/syscall.h>

#include "base/ring.h"
#include "log.h"

struct told {
	int n;
	char body[1200]; /* of the first */
};

static int on_told(void *ctx, const struct fence_row *row)
{
	struct told *t = ctx;

	if (!t->n++)
		snprintf(t->body, sizeof(t->body), "%s", row->body);
	return 0;
}

/* The rows of kind "log" in it. */
static void told_in(const char *file, struct told *t)
{
	struct fence_query_log q = { .kinds = "log" };
	struct fence_diag d = { 0 };

	memset(t, 0, sizeof(*t));
	assert_int_equal(fence_log_read(file, &q, on_told, t, &d), 0);
}

/* The file whose name a body has under "file". */
static void old_file(const char *body, char out[256])
{
	const char *at = strstr(body, "\"file\":\"");

	out[0] = 0;
	if (at)
		snprintf(out, 256, "%.*s", (int)strcspn(at + 8, "\""), at + 8);
}

/* One row is put into what stands there; `what` is what it tells first, "": nothing. */
static void opens(const char *what, int rows, char old[256])
{
	struct fence_log *log = fence_log_new(path);
	struct fence_diag d = { 0 };
	struct fence_verify v;
	struct told t;
	char want[64];

	assert_non_null(log);
	assert_int_equal(put(log, 1, 1, &d), 0);
	fence_log_free(log, 1);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_true(!v.bad && !v.cut && !v.gone);
	assert_int_equal(v.rows, rows);
	told_in(path, &t);
	assert_int_equal(t.n, *what != 0);
	snprintf(want, sizeof(want), "\"what\":\"%s\"", what);
	assert_true(!*what || strstr(t.body, want));
	old_file(t.body, old);
}

/* What cannot be gone on with is kept as it is, and a new file tells of it. */
static void test_set_aside(void **state)
{
	static const char *const lasts[] = {
		"UPDATE log SET hash=substr(hash,1,31) WHERE seq=10",
		"UPDATE log SET hash=CAST(hex(hash) AS TEXT) WHERE seq=10",
		"UPDATE log SET seq=9223372036854775807 WHERE seq=10",
		"UPDATE log SET seq=9223372036854775800 WHERE seq=10",
	};
	struct fence_diag d = { 0 };
	struct fence_verify v;
	char old[256];
	size_t i;
	FILE *f;

	(void)state;
	for (i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
		make_log(10);
		sql(path, schemas[i]);
		opens("aside", 2, old);
		assert_true(fence_log_verify(old, &v, &d) < 0); /* its tables, as they were */
		unlink(old);
	}
	for (i = 0; i < sizeof(lasts) / sizeof(lasts[0]); i++) {
		make_log(10);
		sql(path, lasts[i]);
		opens("aside", 2, old);
		assert_int_equal(fence_log_verify(old, &v, &d), 0);
		assert_int_equal(v.rows, 9);
		unlink(old);
	}
	make_log(10);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "%2000s", "no database");
	fclose(f);
	opens("aside", 2, old);
	assert_int_equal(access(old, F_OK), 0);
	unlink(path);
	opens("short", 2, old); /* the file is gone; rows were in it */
}

/* A start finds what is missing from the end by the mark; whose own absence tells nothing. */
static void test_mark(void **state)
{
	struct fence_query_log q = { 0 };
	struct fence_log *log;
	struct fence_diag d = { 0 };
	struct fence_verify v;
	struct told t;
	struct seen s;
	char old[256], copy[512];

	(void)state;
	make_log(10);
	opens("", 11, old);
	opens("", 12, old);
	sql(path, "DELETE FROM log WHERE seq > 9");
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_true(v.bad_seq == 10 && v.gone == 3 && v.rows == 9);
	snprintf(copy, sizeof(copy), "%s.copy", path); /* its copy says the same */
	assert_int_equal(fence_log_copy(path, copy, &v, &d), 0);
	assert_true(v.bad_seq == 10 && v.gone == 3 && v.rows == 9);
	unlink(copy);
	assert_int_equal(read_all(path, &q, &s, &d), -EBADMSG);
	assert_int_equal(s.n, 9);
	opens("short", 11, old);
	told_in(path, &t);
	assert_non_null(strstr(t.body, "\"count\":3"));
	assert_non_null(strstr(t.body, "\"seq\":12"));

	/* ended by nobody's will: fence_log_free says so */
	make_log(10);
	log = fence_log_new(path);
	assert_int_equal(put(log, 1, 1, &d), 0);
	fence_log_free(log, 0);
	opens("unclean", 13, old);

	/* taken away while the log is written, it is there again */
	make_log(10);
	log = fence_log_new(path);
	assert_int_equal(put(log, 1, 1, &d), 0);
	text_of(old, sizeof(old), "egress.db.last");
	assert_int_equal(unlink(old), 0);
	assert_int_equal(put(log, 2, 1, &d), 0);
	fence_log_free(log, 0);
	opens("unclean", 14, old);

	/* another log with as many rows */
	make_log(10);
	opens("", 11, old);
	copy_file("egress.db.last", "kept.last");
	unlink(path);
	make_log(11);
	copy_file("kept.last", "egress.db.last");
	opens("rewritten", 13, old);
}

/* One writer at a time. */
static void test_one_writer(void **state)
{
	struct fence_log *a = fence_log_new(path), *b = fence_log_new(path);
	struct fence_diag d = { 0 };

	(void)state;
	assert_int_equal(put(a, 1, 1, &d), 0);
	assert_int_equal(put(b, 2, 1, &d), -EBUSY);
	assert_non_null(strstr(d.text, "another agent"));
	fence_log_free(a, 1);
	assert_int_equal(put(b, 2, 1, &d), 0);
	assert_int_equal(fence_log_seq(b), 2);
	fence_log_free(b, 1);
}

/* Who holds the lock costs no row and no number. */
static void test_locked(void **state)
{
	struct fence_log *log = fence_log_new(path);
	struct fence_diag d = { 0 };
	struct fence_verify v;
	sqlite3 *db;

	(void)state;
	assert_int_equal(put(log, 1, 10, &d), 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(put(log, 11, 10, &d), -EAGAIN);
	assert_int_equal(put(log, 11, 10, &d), -EAGAIN);
	assert_non_null(strstr(d.text, "another program"));
	sqlite3_close(db);
	assert_int_equal(put(log, 11, 10, &d), 0);
	fence_log_free(log, 1);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_true(v.rows == 20 && !v.bad);
}

/* ---- the disk, as the writer asks for it ---- */

static int dir_syncs, file_syncs, keeps_fd; /* synced descriptors that a child would have */

static int sync_counted(int fd, long number)
{
	struct stat st;

	if (!fstat(fd, &st)) {
		dir_syncs += S_ISDIR(st.st_mode);
		file_syncs += !S_ISDIR(st.st_mode);
		keeps_fd += !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	return (int)syscall(number, fd);
}

int fsync(int fd)
{
	return sync_counted(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_counted(fd, SYS_fdatasync);
}

/* What is told as written waits for the disk, and so do the names of new files, once. */
static void test_sync(void **state)
{
	struct fence_log *log = fence_log_new(path);
	struct fence_diag d = { 0 };
	int kept, err;

	(void)state;
	assert_true(fence_log_sync(log, &d) < 0); /* it is not open */
	assert_int_equal(put(log, 1, 10, &d), 0);
	dir_syncs = file_syncs = keeps_fd = 0;
	assert_int_equal(fence_log_sync(log, &d), 0);
	assert_int_equal(dir_syncs, 1);
	assert_int_equal(file_syncs, 1);
	assert_int_equal(put(log, 11, 10, &d), 0);
	kept = dup(0); /* descriptor 0 is one as any other */
	close(0);
	file_syncs = 0;
	err = fence_log_sync(log, &d);
	dup2(kept, 0);
	close(kept);
	assert_int_equal(err, 0);
	assert_int_equal(file_syncs, 1);
	assert_int_equal(dir_syncs, 1);
	assert_int_equal(keeps_fd, 0);
	fence_log_free(log, 1);
}

/* Why it cannot be written, by what stands in the way. */
static void test_why_not(void **state)
{
	struct fence_diag d = { 0 };
	struct fence_log *log;
	char name[800], part[200];
	FILE *f;
	int i;

	memset(part, 'x', sizeof(part) - 1);
	part[sizeof(part) - 1] = 0;
	snprintf(name, sizeof(name), "%s", dir);
	for (i = 0; i < 3; i++) { /* longer than SQLite opens: it has no errno for that */
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "/%s", part);
		assert_int_equal(mkdir(name, 0755), 0);
	}
	snprintf(name + strlen(name), sizeof(name) - strlen(name), "/x.db");
	log = fence_log_new(name);
	assert_true(put(log, 1, 1, &d) < 0 && d.text[0]);
	fence_log_free(log, 1);

	log = fence_log_new("/nowhere/x.db");
	assert_int_equal(put(log, 1, 1, &d), -ENOENT);
	assert_non_null(strstr(d.text, strerror(ENOENT)));
	fence_log_free(log, 1);
	if (geteuid())
		return;

	make_log(10); /* another's, who may but read it */
	chmod(path, 0444);
	chmod(dir, 0777);
	assert_int_equal(seteuid(65534), 0);
	log = fence_log_new(path);
	assert_int_equal(put(log, 1, 1, &d), -EROFS);
	assert_non_null(strstr(d.text, "only be read"));
	fence_log_free(log, 1);
	assert_int_equal(seteuid(0), 0);
	teardown(state);
	setup(state);

	f = fopen(path, "we"); /* no log, and no right to keep it under another name */
	assert_non_null(f);
	fprintf(f, "%2000s", "no database");
	fclose(f);
	snprintf(name, sizeof(name), "%s.last", path);
	f = fopen(name, "we");
	assert_non_null(f);
	fclose(f);
	chmod(name, 0666);
	chmod(path, 0666);
	chmod(dir, 0755);
	assert_int_equal(seteuid(65534), 0);
	log = fence_log_new(path);
	assert_int_equal(put(log, 1, 1, &d), -EACCES);
	fence_log_free(log, 1);
	assert_int_equal(seteuid(0), 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* who looks for leaks traces us */
}

/* What no agent writes is not written, nor is what came with it; a file that is gone by then is
 * begun anew. */
static void test_row_refused(void **state)
{
	static const struct fence_entry good = { 7, "flow", "{}", 2 }, bad = { 7, "flow", "{x", 2 };
	struct fence_entry both[] = { good, bad };
	struct fence_log *log = fence_log_new(path);
	struct fence_diag d = { 0 };
	struct fence_verify v;
	struct told t;

	(void)state;
	assert_int_equal(put(log, 1, 10, &d), 0);
	assert_int_equal(fence_log_begun(log), 1);
	assert_true(fence_log_write(log, both, 2, &d) < 0);
	assert_int_equal(put(log, 11, 1, &d), 0);
	assert_int_equal(fence_log_seq(log), 11);
	assert_int_equal(fence_log_begun(log), 1);
	assert_true(fence_log_write(log, both, 2, &d) < 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(put(log, 12, 1, &d), 0);
	assert_int_equal(fence_log_seq(log), 2);
	assert_int_equal(fence_log_begun(log), 2);
	fence_log_free(log, 1);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_true(v.rows == 2 && !v.bad);
	told_in(path, &t);
	assert_non_null(strstr(t.body, "\"what\":\"short\""));

	log = fence_log_new(path);
	assert_int_equal(put(log, 1, 1, &d), 0);
	assert_int_equal(fence_log_begun(log), 0);
	fence_log_free(log, 1);
}

/* Who ends before it wrote a row of its own has left nothing behind that could be missed. */
static void test_wrote_nothing(void **state)
{
	struct fence_diag d = { 0 };
	struct fence_log *log;
	struct told t;
	int i;

	(void)state;
	make_log(10);
	for (i = 0; i < 3; i++) {
		log = fence_log_new(path);
		if (i == 1)
			fence_log_note(log, "touched", "by a test");
		assert_int_equal(fence_log_write(log, NULL, 0, &d), 0);
		fence_log_free(log, 0);
	}
	told_in(path, &t);
	assert_int_equal(t.n, 1);
}

/* What is done to the file while it is written: how, what is told, and rows that the old then has.
 */
static void do_rename(void)
{
	char to[128];

	text_of(to, sizeof(to), "egress.db.1");
	rename(path, to);
}

static void do_rename_all(void)
{
	char to[160], from[160];

	do_rename();
	snprintf(from, sizeof(from), "%s-wal", path);
	snprintf(to, sizeof(to), "%s.1-wal", path);
	rename(from, to);
}

static void do_replace(void)
{
	copy_file("egress.db", "other.db");
	do_rename();
	copy_file("other.db", "egress.db");
}

static void do_unlink(void)
{
	unlink(path);
}

static void do_unlink_wal(void)
{
	char wal[160];

	snprintf(wal, sizeof(wal), "%s-wal", path);
	unlink(wal);
}

static void do_truncate(void)
{
	assert_int_equal(truncate(path, 0), 0);
}

static void do_truncate_wal(void)
{
	char wal[160];

	snprintf(wal, sizeof(wal), "%s-wal", path);
	assert_int_equal(truncate(wal, 0), 0);
}

static void do_trigger(void)
{
	sql(path, "CREATE TRIGGER t BEFORE INSERT ON log BEGIN SELECT RAISE(IGNORE); END");
}

static void do_delete_last(void)
{
	sql(path, "DELETE FROM log WHERE seq > 15");
}

static void do_insert(void)
{
	sql(path, "INSERT INTO log SELECT seq+1, boot, ts, kind, body, hash FROM log ORDER BY seq "
		  "DESC LIMIT 1");
}

static void do_touch(void)
{
	sql(path, "INSERT INTO log VALUES(99,'',1,'x','{}',''); DELETE FROM log WHERE seq=99");
}

static const struct {
	void (*how)(void);
	const char *what;
	int rows; /* that are whole in the old file; -1: none can be read; -2: it goes on */
} done_to[] = {
	{ do_rename, "moved", 20 },	  { do_rename_all, "moved", 20 },
	{ do_replace, "moved", 20 },	  { do_unlink, "moved", 20 },
	{ do_unlink_wal, "moved", 20 },	  { do_truncate, "aside", -1 },
	{ do_truncate_wal, "aside", -1 }, { do_trigger, "aside", -1 },
	{ do_delete_last, "aside", 15 },  { do_insert, "aside", 20 },
	{ do_touch, "touched", -2 },
};

static void test_done_to_the_file(void **state)
{
	struct fence_diag d = { 0 };
	struct fence_verify v;
	struct told t;
	char old[256], want[64];
	struct fence_log *log;
	const char *said;
	unsigned int told;
	size_t i;

	for (i = 0; i < sizeof(done_to) / sizeof(done_to[0]); i++) {
		log = fence_log_new(path);
		assert_int_equal(put(log, 1, 10, &d), 0);
		assert_int_equal(put(log, 11, 10, &d), 0);
		done_to[i].how();
		assert_int_equal(put(log, 21, 10, &d), 0);
		assert_int_equal(put(log, 31, 10, &d), 0);
		snprintf(want, sizeof(want), "%s: ", done_to[i].what);
		said = fence_log_told(log, &told);
		assert_int_equal(strncmp(said, want, strlen(want)), 0);
		assert_int_equal(told, 1);
		fence_log_free(log, 1);
		assert_int_equal(fence_log_verify(path, &v, &d), 0);
		assert_true(!v.bad && !v.cut);
		assert_int_equal(v.rows, done_to[i].rows == -2 ? 41 : 21);
		told_in(path, &t);
		assert_int_equal(t.n, 1);
		snprintf(want, sizeof(want), "\"what\":\"%s\"", done_to[i].what);
		assert_non_null(strstr(t.body, want));
		old_file(t.body, old);
		if (done_to[i].rows != -2)
			assert_int_equal(access(old, F_OK), 0);
		if (done_to[i].rows >= 0) {
			assert_int_equal(fence_log_verify(old, &v, &d), 0);
			assert_int_equal(v.rows, done_to[i].rows);
			assert_int_equal(v.cut, 0);
		}
		teardown(state);
		setup(state);
	}
}

/* ---- the queue between the agent and who writes ---- */

static void test_ring(void **state)
{
	struct fence_ring *r = fence_ring_new();
	struct fence_ring_row row;
	uint64_t at, n = 0, seen = 0;
	char body[5000];
	int64_t no;
	int i, round;

	(void)state;
	assert_non_null(r);
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 3000; i++) { /* until it is full, each of another length */
			int len = snprintf(body, sizeof(body), "{%*d}", (int)(n % 3001), (int)n);

			no = fence_ring_put(r, (int64_t)n, "flow", body, (size_t)len);
			if (no < 0)
				break;
			assert_int_equal(no, n++);
		}
		assert_true(round > 2 || i > 0);
		assert_int_equal(fence_ring_next(r), n);
		/* looked at and not taken, it is there again */
		at = 0;
		assert_int_equal(fence_ring_peek(r, &at, &row), 1);
		assert_int_equal(row.no, seen);
		at = 0;
		for (i = 0; i < 1700 && fence_ring_peek(r, &at, &row); i++) {
			assert_int_equal(row.no, seen);
			assert_int_equal(row.ts, seen++);
			assert_int_equal(row.len, strlen(row.body));
			assert_int_equal(atoi(row.body + 1), row.no);
			assert_string_equal(row.kind, "flow");
		}
		fence_ring_taken(r, at);
	}
	assert_int_equal(fence_ring_put(r, 1, "flow", body, FENCE_RING_BYTES), -ENOSPC);
	at = 0;
	while (fence_ring_peek(r, &at, &row))
		assert_int_equal(row.no, seen++);
	fence_ring_taken(r, at);
	assert_int_equal(seen, n);
	assert_int_equal(fence_ring_used(r), 0);
	fence_ring_free(r);
}

/* Who keeps up stays at the memory's beginning, and has room for a burst at every moment. */
static void test_ring_burst(void **state)
{
	struct fence_ring *r = fence_ring_new();
	struct fence_ring_row row;
	char body[4000];
	uint64_t at;
	int i, round, took;

	(void)state;
	memset(body, 'x', sizeof(body));
	assert_non_null(r);
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 37 * round; i++) { /* kept up with, up to another place each time */
			assert_true(fence_ring_put(r, 1, "flow", body, sizeof(body)) >= 0);
			at = 0;
			assert_int_equal(fence_ring_peek(r, &at, &row), 1);
			fence_ring_taken(r, at);
		}
		for (i = 0; i < 900; i++) /* some 3.6 MB that nobody reads yet */
			assert_true(fence_ring_put(r, 1, "flow", body, sizeof(body)) >= 0);
		for (at = 0, took = 0; fence_ring_peek(r, &at, &row); took++)
			;
		fence_ring_taken(r, at);
		assert_int_equal(took, 900);
	}
	fence_ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_why_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_row_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrote_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_done_to_the_file, setup, teardown),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_ring_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
