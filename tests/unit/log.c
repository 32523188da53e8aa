// SPDX-License-Identifier: Apache-2.0
/* The log: what is shown is what was hashed, and nobody who reads it ends early without a word. */
#include "log.h"

/* A page that is no page any more: the rows behind it do not count as never written. */
static void test_page_damaged(void **state)
{
	struct fence_query_log q = { 0 };
	struct fence_verify v;
	struct fence_diag d = { 0 };
	struct seen s;
	char rubbish[4096];
	FILE *f;

	(void)state;
	make_log(3000);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_int_equal(v.rows, 3000);
	assert_int_equal(v.bad, 0);
	memset(rubbish, 0xa5, sizeof(rubbish));
	f = fopen(path, "r+e");
	assert_non_null(f);
	fseek(f, -(long)sizeof(rubbish) * 4, SEEK_END);
	assert_int_equal(fwrite(rubbish, sizeof(rubbish), 1, f), 1);
	fclose(f);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_true(v.bad_seq > 0 && v.bad_seq <= v.rows + 1);
	assert_int_equal(read_all(path, &q, &s, &d), -EBADMSG);
	assert_int_equal(s.n, v.rows);
	assert_non_null(strstr(d.text, "cannot be read"));
}

/* Each edit of a row, and the row at which both verify and a reader have to say so. */
static const struct {
	const char *sql;
	int seq;
} edits[] = {
	{ "UPDATE log SET body='{\"n\":7}' WHERE seq=5", 5 },
	{ "UPDATE log SET ts=ts+1 WHERE seq=5", 5 },
	{ "UPDATE log SET kind='stop' WHERE seq=5", 5 },
	{ "UPDATE log SET boot='x' WHERE seq=5", 5 },
	{ "DELETE FROM log WHERE seq=5", 5 },
	{ "DELETE FROM log WHERE seq=1", 1 },
	{ "UPDATE log SET seq=99 WHERE seq=5", 5 },
	{ "UPDATE log SET body=CAST(body AS BLOB) WHERE seq=5", 5 },
	{ "UPDATE log SET body=CAST(body||char(0)||'x' AS TEXT) WHERE seq=5", 5 },
	{ "UPDATE log SET kind=CAST(kind||char(0)||'x' AS TEXT) WHERE seq=5", 5 },
	{ "UPDATE log SET boot=CAST(boot||char(0)||'x' AS TEXT) WHERE seq=5", 5 },
	{ "UPDATE log SET kind=CAST(kind AS BLOB) WHERE seq=5", 5 },
	{ "UPDATE log SET ts=ts||'x' WHERE seq=5", 5 },
	{ "UPDATE log SET hash=substr(hash,1,31) WHERE seq=5", 5 },
	{ "UPDATE log SET hash=CAST(hex(hash) AS TEXT) WHERE seq=5", 5 },
	{ "UPDATE log SET hash=zeroblob(32) WHERE seq=10", 10 },
	/* the border between two hashed members moved: the hashed text is the same */
	{ "UPDATE log SET kind=kind||char(10)||substr(body,1,1), body=substr(body,2) WHERE seq=5",
	  5 },
	{ "INSERT INTO log VALUES(0,'',1,'flow','{}',zeroblob(32))", 1 },
	{ "INSERT INTO log VALUES(9223372036854775807,'',1,'flow','{}',zeroblob(32))", 11 },
};

static void test_edits(void **state)
{
	struct fence_query_log q = { .kinds = "deny,flow" };
	struct fence_verify v;
	struct fence_diag d = { 0 };
	struct seen s;
	size_t i;

	(void)state;
	make_log(10);
	assert_int_equal(fence_log_verify(path, &v, &d), 0);
	assert_int_equal(v.bad, 0);
	assert_int_equal(v.rows, 10);
	assert_int_equal(v.seq, 10);
	assert_int_equal(read_all(path, &q, &s, &d), 0);
	assert_int_equal(s.n, 10);
	for (i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		make_log(10);
		sql(path, edits[i].sql);
		assert_int_equal(fence_log_verify(path, &v, &d), 0);
		assert_int_equal(v.bad_seq, edits[i].seq);
		assert_true(v.bad > 0 && v.why[0]);
		assert_int_equal(read_all(path, &q, &s, &d), -EBADMSG);
		assert_int_equal(s.n, v.rows);
		assert_non_null(strstr(d.text, v.why));
	}
}

static void on_hash(sqlite3_stmt *s, uint8_t head[FENCE_LOG_HASH])
{
	struct fence_row row = { .seq = sqlite3_column_int64(s, 0),
				 .boot = (const char *)sqlite3_column_text(s, 1),
				 .ts = sqlite3_column_int64(s, 2),
				 .kind = (const char *)sqlite3_column_text(s, 3),
				 .body = (const char *)sqlite3_column_text(s, 4) };

	hash_of(head, &row, head);
	assert_memory_equal(head, sqlite3_column_blob(s, 5), FENCE_LOG_HASH);
}

/* The hash is the one that log.h tells auditors, and covers every column. */
static void test_hash(void **state)
{
	uint8_t head[FENCE_LOG_HASH] = { 0 };
	sqlite3_stmt *s;
	sqlite3 *db;
	int n = 0;

	(void)state;
	make_log(10);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT * FROM log ORDER BY seq", -1, &s, NULL),
			 SQLITE_OK);
	for (; sqlite3_step(s) == SQLITE_ROW; n++)
		on_hash(s, head);
	sqlite3_finalize(s);
	sqlite3_close(db);
	assert_int_equal(n, 10);
}

#define BOOT "01234567-89ab-cdef-0123-456789abcdef"
#define KIND31 "abcdefghijklmnopqrstuvwxyz-abcd"

/* One row whose hash is right, by who can compute it. Is it one that an agent may have written? */
static const struct {
	struct fence_row row;
	int good;
} forged[] = {
	{ { 1, 1, BOOT, "flow", "{}" }, 1 },
	{ { 1, 1, BOOT, KIND31, "{}" }, 1 },
	{ { 1, 1, BOOT, KIND31 "e", "{}" }, 0 },
	{ { 1, 1, BOOT, "", "{}" }, 0 },
	{ { 1, 1, BOOT, "Flow", "{}" }, 0 },
	{ { 1, 1, BOOT, "flow\nx", "{}" }, 0 },
	{ { 1, 1, BOOT, "flow", "{" }, 0 },
	{ { 1, 1, BOOT, "flow", "" }, 0 },
	{ { 1, 1, BOOT, "flow", "x}" }, 0 },
	{ { 1, 1, BOOT, "flow", "{x" }, 0 },
	{ { 1, 0, BOOT, "flow", "{}" }, 0 },
	{ { 1, -1, BOOT, "flow", "{}" }, 0 },
	{ { 1, 1, "", "flow", "{}" }, 0 },
	{ { 1, 1, BOOT "0", "flow", "{}" }, 0 },
	{ { 1, 1, "1234567-89ab-cdef-0123-456789abcdef", "flow", "{}" }, 0 },
	{ { 1, 1, "0123456X-89ab-cdef-0123-456789abcdef", "flow", "{}" }, 0 },
	{ { 1, 1, "0123456\n-89ab-cdef-0123-456789abcdef", "flow", "{}" }, 0 },
};

static void forge(const struct fence_row *row)
{
	uint8_t hash[FENCE_LOG_HASH] = { 0 };
	sqlite3_stmt *s;
	sqlite3 *db;

	make_log(1);
	hash_of(hash, row, hash);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
					    "UPDATE log SET boot=?, ts=?, kind=?, body=?, hash=?",
					    -1, &s, NULL),
			 SQLITE_OK);
	sqlite3_bind_text(s, 1, row->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, row->ts);
	sqlite3_bind_text(s, 3, row->kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, row->body, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 5, hash, sizeof(hash), SQLITE_STATIC);
	assert_int_equal(sqlite3_step(s), SQLITE_DONE);
	sqlite3_finalize(s);
	sqlite3_close(db);
}

/* A form in which a border between two hashed members could be moved is none of a row. */
static void test_forged(void **state)
{
	struct fence_verify v;
	struct fence_diag d = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		forge(&forged[i].row);
		assert_int_equal(fence_log_verify(path, &v, &d), 0);
		if (v.rows != forged[i].good || v.bad_seq != !forged[i].good)
			fail_msg("forged row %zu: %lld rows, bad %lld", i, (long long)v.rows,
				 (long long)v.bad_seq);
	}
}

static void test_schemas(void **state)
{
	struct fence_query_log q = { 0 };
	struct fence_verify v;
	struct fence_diag d;
	struct seen s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
		make_log(10);
		sql(path, schemas[i]);
		memset(&d, 0, sizeof(d));
		assert_true(fence_log_verify(path, &v, &d) < 0);
		assert_non_null(strstr(d.text, "tables"));
		assert_true(read_all(path, &q, &s, &d) < 0);
		assert_int_equal(s.n, 0);
	}
}

static void test_query(void **state)
{
	struct fence_query_log q = { .kinds = "deny" };
	struct fence_diag d;
	struct seen s;

	(void)state;
	make_log(100);
	assert_int_equal(read_all(path, &q, &s, &d), 0);
	assert_int_equal(s.n, 20);
	q.last = 3;
	assert_int_equal(read_all(path, &q, &s, &d), 0);
	assert_int_equal(s.n, 3);
	assert_int_equal(s.first, 90);
	assert_int_equal(s.last, 100);
	q = (struct fence_query_log){ .after = 98 };
	assert_int_equal(read_all(path, &q, &s, &d), 0);
	assert_int_equal(s.n, 2);
	/* who followed a log that was begun anew since is told so */
	q.after = 200;
	assert_int_equal(read_all(path, &q, &s, &d), -EBADMSG);
	assert_non_null(strstr(d.text, "row 200 is missing"));
	/* an edit is met by who asks for other rows, too */
	sql(path, "UPDATE log SET kind=kind||char(0) WHERE seq=50");
	q = (struct fence_query_log){ .kinds = "flow" };
	assert_int_equal(read_all(path, &q, &s, &d), -EBADMSG);
	assert_int_equal(s.n, 80);
}

/* As an agent that was killed leaves it: rows in the -wal. Not closed: the process goes on. */
static sqlite3 *live(void)
{
	sqlite3 *db;

	make_log(10);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; DELETE FROM log WHERE seq=10",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	return db;
}

/* Copies are read, leave nothing beside them, and say when they are not whole. */
static void test_copies(void **state)
{
	struct fence_query_log q = { 0 };
	struct fence_verify v;
	struct fence_diag d = { 0 };
	struct seen s;
	char copy[128], other[128];
	sqlite3 *db = live();

	(void)state;
	copy_file("egress.db", "alone.db");
	copy_file("egress.db", "both.db");
	copy_file("egress.db-wal", "both.db-wal");

	text_of(copy, sizeof(copy), "both.db");
	assert_int_equal(fence_log_cut(copy), 0);
	assert_int_equal(read_all(copy, &q, &s, &d), 0);
	assert_int_equal(s.n, 9);
	assert_true(exists("both.db-wal") && !exists("both.db-shm"));

	text_of(copy, sizeof(copy), "alone.db");
	assert_int_equal(fence_log_cut(copy), 1);
	assert_int_equal(read_all(copy, &q, &s, &d), 0);
	assert_int_equal(s.n, 10);
	assert_int_equal(fence_log_verify(copy, &v, &d), 0);
	assert_true(v.cut && !v.bad);
	assert_true(!exists("alone.db-wal") && !exists("alone.db-shm"));

	/* as it is now, in one file, while somebody has it open; and of a copy that is cut as cut
	 */
	text_of(other, sizeof(other), "copied.db");
	assert_int_equal(fence_log_copy(path, other, &v, &d), 0);
	assert_true(v.rows == 9 && !v.cut && !v.bad);
	assert_true(!exists("copied.db-wal") && !exists("copied.db-shm"));
	assert_int_equal(fence_log_copy(path, other, &v, &d), -EEXIST);
	text_of(other, sizeof(other), "copied2.db");
	assert_int_equal(fence_log_copy(copy, other, &v, &d), 0);
	assert_true(v.rows == 10 && v.cut);
	text_of(other, sizeof(other), "copied3.db");
	assert_true(fence_log_copy("/nowhere/egress.db", other, &v, &d) < 0);
	assert_false(exists("copied3.db"));
	sqlite3_close(db);
	assert_int_equal(fence_log_cut(path), 1);
}

/* Who may not write there reads the same. */
static void test_read_only(void **state)
{
	struct fence_query_log q = { 0 };
	struct fence_diag d = { 0 };
	struct seen s;
	char other[128];
	sqlite3 *db = live();

	(void)state;
	copy_file("egress.db", "'x%?#.db'");
	copy_file("egress.db-wal", "'x%?#.db-wal'");
	sqlite3_close(db);
	make_log(10);
	chmod(path, 0444);
	text_of(other, sizeof(other), "x%?#.db");
	chmod(other, 0444);
	text_of(other, sizeof(other), "x%?#.db-wal");
	chmod(other, 0444);
	chmod(dir, 0555);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(read_all(path, &q, &s, &d), 0);
	assert_int_equal(s.n, 10);
	text_of(path, sizeof(path), "x%?#.db");
	assert_int_equal(read_all(path, &q, &s, &d), 0);
	assert_int_equal(s.n, 9);
	assert_int_equal(seteuid(getuid()), 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* who looks for leaks traces us */
	chmod(dir, 0755);
}

/* What is no log is told in words, each with what to do. */
static void test_no_log(void **state)
{
	struct fence_query_log q = { 0 };
	struct fence_diag d = { 0 };
	struct seen s;
	sqlite3 *db;
	FILE *f;

	(void)state;
	assert_true(read_all(path, &q, &s, &d) < 0);
	assert_non_null(strstr(d.text, "root"));
	f = fopen(path, "we");
	assert_non_null(f);
	fclose(f);
	assert_true(read_all(path, &q, &s, &d) < 0);
	assert_non_null(strstr(d.text, "no table"));
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "%2000s", "this is no database");
	fclose(f);
	assert_true(read_all(path, &q, &s, &d) < 0);
	assert_non_null(strstr(d.text, "no log of crmfence"));
	assert_true(read_all(dir, &q, &s, &d) < 0);
	make_log(10);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	assert_true(read_all(path, &q, &s, &d) < 0);
	assert_non_null(strstr(d.text, "another program"));
	sqlite3_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_page_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_schemas, setup, teardown),
		cmocka_unit_test_setup_teardown(test_query, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_log, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
