// SPDX-License-Identifier: Apache-2.0
/* verify, log copy: the log as evidence. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "cli/cli.h"

static const char *hash_text(const uint8_t hash[FENCE_LOG_HASH], char out[2 * FENCE_LOG_HASH + 1])
{
	size_t i;

	for (i = 0; i < FENCE_LOG_HASH; i++)
		sprintf(out + 2 * i, "%02x", hash[i]);
	return out;
}

static void print_json(const char *db, const struct fence_verify *v)
{
	AUTO_BUF struct fence_buf b = { 0 };
	char head[2 * FENCE_LOG_HASH + 1];
	struct fence_json j;

	fence_json_init(&j, &b);
	fence_json_open(&j, NULL);
	fence_json_int(&j, "bad", v->bad);
	fence_json_int(&j, "bad_seq", v->bad_seq);
	fence_json_bool(&j, "cut", v->cut);
	fence_json_str(&j, "file", db);
	fence_json_int(&j, "gone", v->gone);
	fence_json_str(&j, "head", hash_text(v->head, head));
	fence_json_int(&j, "rows", v->rows);
	fence_json_int(&j, "seq", v->seq);
	fence_json_str(&j, "why", v->why);
	fence_json_close(&j);
	printf("%s\n", fence_buf_text(&b));
}

/* What was shown, and what was not: who can write the file can also write its chain anew. */
static void print_text(const char *db, const struct fence_verify *v)
{
	char head[2 * FENCE_LOG_HASH + 1];

	if (v->bad)
		printf("%s: broken: %s; %lld rows fit, in %lld places one does not\n", db, v->why,
		       (long long)v->rows, (long long)v->bad);
	else if (v->cut)
		printf("%s: incomplete: a copy without its -wal; the %lld rows that are here fit\n",
		       db, (long long)v->rows);
	else
		printf("%s: %lld rows, each fits the hash of those before it\n", db,
		       (long long)v->rows);
	printf("last row %lld, hash %s\n"
	       "That shows nothing about rows cut from the end, or a chain made anew: hold this "
	       "hash against one that was kept elsewhere.\n",
	       (long long)v->seq, hash_text(v->head, head));
}

int cmd_verify(int argc, char **argv)
{
	struct fence_diag d = { 0 };
	struct fence_verify v;
	struct cli_list l;

	if (cli_list_options(argc, argv, "verify [--json] [--db FILE]", &l))
		return 2;
	if (fence_log_verify(l.db, &v, &d) < 0)
		return cli_fail(&d);
	if (l.json)
		print_json(l.db, &v);
	else
		print_text(l.db, &v);
	return v.bad || v.cut;
}

int cmd_log(int argc, char **argv)
{
	struct fence_diag d = { 0 };
	struct fence_verify v;
	struct cli_list l;

	if (cli_list_options(argc, argv, "log copy FILE [--json] [--db FILE]", &l))
		return 2;
	if (l.nrest != 2 || strcmp(l.rest[0], "copy")) {
		fprintf(stderr, "usage: crmfence log copy FILE [--json] [--db FILE]\n");
		return 2;
	}
	if (fence_log_copy(l.db, l.rest[1], &v, &d) < 0)
		return cli_fail(&d);
	if (l.json)
		print_json(l.rest[1], &v);
	else
		print_text(l.rest[1], &v);
	return v.bad || v.cut;
}
