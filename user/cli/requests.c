// SPDX-License-Identifier: Apache-2.0
/* requests: what TLS sight recorded. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"

static void request_line(const struct fence_row *row, const cJSON *b)
{
	char clock[32], out[16], in[16], status[8] = "-";

	if (cli_int(b, "status"))
		snprintf(status, sizeof(status), "%lld", (long long)cli_int(b, "status"));
	printf("%6lld %s %-7s %3s %7s %7s %-10.10s %s%s%s%s\n", (long long)row->seq,
	       cli_clock(row->ts / 1000, clock), cli_str(b, "method"), status,
	       cli_amount(cli_int(b, "bytes_out"), out), cli_amount(cli_int(b, "bytes_in"), in),
	       cli_program(cli_str(b, "exec")), cli_str(b, "authority"), cli_str(b, "path"),
	       *cli_str(b, "extension") ? " by extension " : "", cli_str(b, "extension"));
}

static void list(struct fence_buf *out, const cJSON *b, const char *key, int64_t total)
{
	const cJSON *v, *a = cJSON_GetObjectItemCaseSensitive(b, key);
	int n = cJSON_GetArraySize(a);

	cJSON_ArrayForEach (v, a)
		if (cJSON_IsString(v))
			fence_buf_printf(out, "%s%s", v == a->child ? " " : ", ",
					 fence_text_plain(v->valuestring));
	if (total > n)
		fence_buf_printf(out, " and %lld more", (long long)total - n);
}

/* "User 005.. updated Opportunity 006..: StageName, Amount" */
static void action_line(const cJSON *b)
{
	AUTO_BUF struct fence_buf out = { 0 };

	if (*cli_str(b, "user"))
		fence_buf_printf(&out, "user %s: ", cli_str(b, "user"));
	fence_buf_printf(&out, "%s %s", cli_str(b, "api"), cli_str(b, "verb"));
	if (*cli_str(b, "object"))
		fence_buf_printf(&out, " %s", cli_str(b, "object"));
	list(&out, b, "ids", cli_int(b, "nids"));
	if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(b, "fields"))) {
		fence_buf_str(&out, ", fields");
		list(&out, b, "fields", 0);
	}
	if (*cli_str(b, "error"))
		fence_buf_printf(&out, ", %s", cli_str(b, "error"));
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "opaque")))
		fence_buf_str(&out, " (opaque: more than can be told)");
	printf("       %s%s\n",
	       cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "sub")) ? "  " : "",
	       fence_buf_text(&out));
}

static int each_row(void *ctx, const struct fence_row *row)
{
	const struct cli_list *l = ctx;
	cJSON *b = cJSON_Parse(row->body);

	if (!strcmp(row->kind, "process"))
		cli_learn(b);
	else if (l->json)
		cli_json_row(row);
	else if (!strcmp(row->kind, "request"))
		request_line(row, b);
	else if (!strcmp(row->kind, "action"))
		action_line(b);
	cJSON_Delete(b);
	return 0;
}

int cmd_requests(int argc, char **argv)
{
	struct fence_query_log programs = { .kinds = "process" };
	struct fence_diag d = { 0 };
	struct cli_list l;

	if (cli_list_options(argc, argv,
			     "requests [--since T] [--until T] [--last N] [--json] [--db FILE]",
			     &l))
		return 2;
	fence_log_read(l.db, &programs, each_row, &l, NULL); /* its errors are met again below */
	if (!l.json)
		printf("%6s %-11s %-7s %3s %7s %7s %-10s %s\n", "ID", "WHEN", "METHOD", "", "OUT",
		       "IN", "PROGRAM", "WHAT");
	l.q.kinds = "request,action";
	return fence_log_read(l.db, &l.q, each_row, &l, &d) < 0 ? cli_fail(&d) : 0;
}
