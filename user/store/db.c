// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "store/internal.h"

#define READER_PATIENCE_MS 2000
#define WAL_HEAD 32 /* bytes; one that is shorter holds nothing */

/* As SQLite keeps the text of what made it. */
static const char table[] =
	"CREATE TABLE log(seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, ts INTEGER NOT NULL, "
	"kind TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL)";

void db_close(sqlite3 **db)
{
	sqlite3_close(*db);
}

void db_finalize(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
}

int db_strict(sqlite3 *db)
{
	static const struct {
		int op, on;
	} how[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },	 { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
		{ SQLITE_DBCONFIG_ENABLE_VIEW, 0 },	 { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_DQS_DML, 0 },		 { SQLITE_DBCONFIG_DQS_DDL, 0 },
		{ SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 },
	};
	size_t i;
	int rc = SQLITE_OK;

	for (i = 0; rc == SQLITE_OK && i < ARRAY_SIZE(how); i++)
		rc = sqlite3_db_config(db, how[i].op, how[i].on, NULL);
	return rc == SQLITE_OK ? sqlite3_exec(db, "PRAGMA cell_size_check=ON", NULL, NULL, NULL)
			       : rc;
}

int db_create(sqlite3 *db)
{
	return sqlite3_exec(db, table, NULL, NULL, NULL);
}

static int is_text(sqlite3_stmt *s, int i, const char *want)
{
	const char *text = (const char *)sqlite3_column_text(s, i);

	return text && !strcmp(text, want) && (size_t)sqlite3_column_bytes(s, i) == strlen(want);
}

int db_schema(sqlite3 *db)
{
	AUTO_STMT sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema", -1,
				    &s, NULL);
	int n = 0, ours = 1;

	while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		ours &= !n++ && is_text(s, 0, "table") && is_text(s, 1, "log") &&
			is_text(s, 2, "log") && is_text(s, 3, table);
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_DONE)
		return -EIO;
	return !n ? -ENOENT : ours ? 0 : -EBADMSG;
}

int db_diag(struct fence_diag *d, const char *path, int rc, const char *text)
{
	const char *remedy = "give its path with --db, and read it as root";

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		remedy = "another program holds it; end that, or try again";
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		remedy = "it is damaged, or no log of crmfence; what a copy of it from before has, "
			 "this one may lack";
		break;
	case SQLITE_SCHEMA:
		remedy = "somebody else wrote into it; keep it, and see what sqlite3's .schema "
			 "says";
	}
	return fence_diag_set(d, -EIO, NULL, "the log %s cannot be read: %s; %s", path, text,
			      remedy);
}

/* Does its head say that rows may stand in a -wal beside it? An agent that ends takes them in. */
static int says_wal(const char *path)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t head[20] = { 0 };

	return fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head) && head[18] == 2;
}

/* Size of the file beside it; -1: there is none. */
static int64_t beside(const char *path, const char *what)
{
	char full[4096];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", path, what);
	return stat(full, &st) ? -1 : (int64_t)st.st_size;
}

int fence_log_cut(const char *path)
{
	int64_t wal = beside(path, "-wal");

	return says_wal(path) && (wal < 0 || (wal < WAL_HEAD && beside(path, "-shm") < 0));
}

/* The URI of a path. */
static void uri(struct fence_buf *out, const char *path, const char *how)
{
	fence_buf_str(out, "file:");
	for (; *path; path++)
		if (strchr("%?#", *path))
			fence_buf_printf(out, "%%%02x", (unsigned char)*path);
		else
			fence_buf_printf(out, "%c", *path);
	fence_buf_str(out, how);
}

/* Open in one way. An SQLite code; text: of the error. */
static int open_way(const char *path, const char *how, const char *pragma, sqlite3 **ret,
		    char text[128])
{
	AUTO_BUF struct fence_buf name = { 0 };
	sqlite3 *db = NULL;
	int rc, schema = 0;

	uri(&name, path, how);
	rc = sqlite3_open_v2(fence_buf_text(&name), &db,
			     SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
	if (rc == SQLITE_OK)
		rc = db_strict(db);
	if (rc == SQLITE_OK && pragma)
		rc = sqlite3_exec(db, pragma, NULL, NULL, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db, READER_PATIENCE_MS);
		schema = db_schema(db);
		if (schema == -EIO)
			rc = sqlite3_errcode(db);
	}
	snprintf(text, 128, "%s", db ? sqlite3_errmsg(db) : "no memory");
	if (rc == SQLITE_OK && schema) {
		rc = SQLITE_SCHEMA;
		snprintf(text, 128, "%s",
			 schema == -ENOENT ? "there is no table in it"
					   : "its tables are not those of a log");
	}
	if (rc != SQLITE_OK) {
		sqlite3_close(db);
		return rc;
	}
	*ret = db;
	return rc;
}

/*
 * Where an agent is at work there is a -shm, and SQLite does as ever. Without one it would make
 * that, and a -wal, beside what may be evidence, or could not where nothing may be made; so a -wal
 * is read with its index in memory, and what has none as what nobody changes.
 */
int db_read(const char *path, sqlite3 **ret, int *cut, struct fence_diag *d)
{
	int wal = says_wal(path), rc;
	char text[128];

	*cut = wal && fence_log_cut(path);
	if (*cut)
		rc = open_way(path, "?immutable=1", NULL, ret, text);
	else if (!wal || beside(path, "-shm") >= 0)
		rc = open_way(path, "", NULL, ret, text);
	else
		rc = SQLITE_CANTOPEN;
	if (wal && !*cut && rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY && rc != SQLITE_SCHEMA)
		rc = open_way(path, "?vfs=unix-none", "PRAGMA locking_mode=EXCLUSIVE", ret, text);
	return rc == SQLITE_OK ? 0 : db_diag(d, path, rc, text);
}
