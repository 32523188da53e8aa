// SPDX-License-Identifier: Apache-2.0
/* alerts: each with its first, its last and how many there were, as later rows counted them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

struct alert {
	int64_t id, count, first, last; /* id: of its row; times: microseconds since 1970 */
	cJSON *body; /* owned */
};

struct alerts {
	const struct cli_list *l;
	struct alert *list; /* owned; by id, as the log has them */
	size_t n, room;
	int failed;
	int64_t loose; /* counted of alerts that are not here */
};

static struct alert *alert_find(struct alerts *all, int64_t id)
{
	size_t low = 0, high = all->n, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (all->list[mid].id == id)
			return &all->list[mid];
		if (all->list[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static void alert_add(struct alerts *all, const struct fence_row *row, cJSON *body)
{
	struct alert *more;

	if (all->n == all->room) {
		more = realloc(all->list, (2 * all->room + 64) * sizeof(*more));
		if (!more) {
			all->failed = 1;
			cJSON_Delete(body);
			return;
		}
		all->list = more;
		all->room = 2 * all->room + 64;
	}
	all->list[all->n++] = (struct alert){ .id = row->seq,
					      .first = cli_int(body, "start"),
					      .count = 1,
					      .last = cli_int(body, "start"),
					      .body = body };
}

static int each_row(void *ctx, const struct fence_row *row)
{
	struct alerts *all = ctx;
	cJSON *b = cJSON_Parse(row->body);
	struct alert *al;

	if (!strcmp(row->kind, "alert")) {
		alert_add(all, row, b);
		return all->failed;
	}
	if (!strcmp(row->kind, "process"))
		cli_learn(b);
	if (strcmp(row->kind, "alert-count")) {
		cJSON_Delete(b);
		return 0;
	}
	al = alert_find(all, cli_int(b, "alert"));
	if (!al)
		all->loose += cli_int(b, "count");
	if (al) {
		al->count += cli_int(b, "count");
		if (cli_int(b, "last") > al->last)
			al->last = cli_int(b, "last");
	}
	cJSON_Delete(b);
	return 0;
}

static const char *outcome(const cJSON *b)
{
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "held")))
		return "held";
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "cut")))
		return "cut";
	if (!strcmp(cli_str(b, "action"), "deny"))
		return "refused";
	if (*cli_str(b, "action"))
		return "would be refused";
	return cJSON_GetObjectItemCaseSensitive(b, "cut") ? "let through" : NULL;
}

static void print_text(const struct alert *al)
{
	const cJSON *b = al->body;
	const char *done = outcome(b);
	char first[32], last[32], left[16];

	printf("%6lld %s %s %6lld %s %-8s %-16s %s", (long long)al->id, cli_clock(al->first, first),
	       cli_clock(al->last, last), (long long)al->count, cli_str(b, "rule"),
	       cli_str(b, "severity"), cli_str(b, "name"), cli_str(b, "authority"));
	if (done)
		printf(", %s by %s of %s", done, cli_program(cli_str(b, "exec")),
		       cli_str(b, "tool"));
	else if (*cli_str(b, "reason"))
		printf(", %s", cli_str(b, "reason"));
	if (cJSON_GetObjectItemCaseSensitive(b, "left"))
		printf(", %s bytes had left", cli_amount(cli_int(b, "left"), left));
	printf("\n");
}

static void print_json(const struct alert *al)
{
	char *text;

	cJSON_AddNumberToObject(al->body, "count", (double)al->count);
	cJSON_AddNumberToObject(al->body, "first", (double)al->first);
	cJSON_AddNumberToObject(al->body, "id", (double)al->id);
	cJSON_AddStringToObject(al->body, "kind", "alert");
	cJSON_AddNumberToObject(al->body, "last", (double)al->last);
	cJSON_AddNumberToObject(al->body, "ts", (double)al->first);
	text = cJSON_PrintUnformatted(al->body);
	if (text)
		puts(text);
	free(text);
}

/* Those that there were between --since and --until, if only by their last; 1 when any. */
static int print(struct alerts *all, int64_t since)
{
	size_t i, shown = 0, skip = 0;

	for (i = 0; i < all->n; i++)
		shown += all->list[i].last >= since;
	if (all->l->q.last && shown > (size_t)all->l->q.last)
		skip = shown - (size_t)all->l->q.last;
	if (shown && !all->l->json)
		printf("%6s %-11s %-11s %6s %-4s %-8s %-16s %s\n", "ID", "FIRST", "LAST", "COUNT",
		       "RULE", "SEVERITY", "NAME", "WHAT");
	for (i = 0; i < all->n; i++) {
		if (all->list[i].last < since)
			continue;
		if (skip) {
			skip--;
			continue;
		}
		if (all->l->json)
			print_json(&all->list[i]);
		else
			print_text(&all->list[i]);
	}
	return shown > 0;
}

int cmd_alerts(int argc, char **argv)
{
	struct fence_diag d = { 0 };
	struct alerts all = { 0 };
	struct fence_query_log q = { 0 };
	struct cli_list l;
	int err, any = 0;

	if (cli_list_options(argc, argv,
			     "alerts [--since T] [--until T] [--last N] [--json] [--db FILE]", &l))
		return 2;
	all.l = &l;
	q.kinds = "process,alert,alert-count"; /* an alert may have begun long before its last */
	q.until = l.q.until;
	err = fence_log_read(l.db, &q, each_row, &all, &d);
	if (err >= 0 && all.failed)
		err = fence_diag_set(&d, -ENOMEM, NULL, "no memory");
	if (!all.failed) /* what fits is shown, whatever else there was */
		any = print(&all, l.q.since / 1000);
	if (all.loose)
		fprintf(stderr,
			"crmfence: %lld more denials are counted for alerts that are not in this "
			"log; "
			"`crmfence flows` has their rows\n",
			(long long)all.loose);
	while (all.n)
		cJSON_Delete(all.list[--all.n].body);
	free(all.list);
	/* of a copy that may lack rows nobody can say that there are none */
	return err < 0 ? cli_fail(&d) : any ? any : fence_log_cut(l.db) ? 2 : 0;
}
