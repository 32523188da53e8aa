// SPDX-License-Identifier: Apache-2.0
/* flows, tail, sessions: tables for people, one object a line for programs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const char *tint(const char *action)
{
	if (!cli_colour())
		return "";
	return !strcmp(action, "deny")	       ? "\033[31m"
	       : !strcmp(action, "would-deny") ? "\033[33m"
					       : "";
}

static void flow_line(const struct fence_row *row, const cJSON *b)
{
	char clock[32], out[16], in[16], where[80], end[40];
	const char *name = *cli_str(b, "sni")	 ? cli_str(b, "sni")
			   : *cli_str(b, "name") ? cli_str(b, "name")
			   : *cli_str(b, "dns")	 ? cli_str(b, "dns")
						 : cli_str(b, "addr");
	const char *action = cli_str(b, "action"), *state = cli_str(b, "state");

	if (!strcmp(cli_str(b, "at"), "unix") && *cli_str(b, "name"))
		snprintf(where, sizeof(where), "%s", cli_str(b, "name"));
	else if (*cli_str(b, "guard"))
		snprintf(where, sizeof(where), "(%s)", cli_str(b, "guard"));
	else if (!cli_int(b, "port"))
		snprintf(where, sizeof(where), "(%s)", cli_str(b, "at"));
	else
		snprintf(where, sizeof(where), "%.34s:%lld", name, (long long)cli_int(b, "port"));
	if (strcmp(action, "allow"))
		snprintf(end, sizeof(end), "%-15s", cli_str(b, "reason"));
	else
		snprintf(end, sizeof(end), "%7s %7s", cli_amount(cli_int(b, "bytes_out"), out),
			 cli_amount(cli_int(b, "bytes_in"), in));
	printf("%s%6lld %s %-10s %-10.10s %-30.40s %-15s %s%s%s%s%s\n", tint(action),
	       (long long)row->seq, cli_clock(cli_int(b, "start"), clock), action,
	       cli_program(cli_str(b, "exec")), where, end,
	       *cli_str(b, "tool") ? cli_str(b, "tool") : "-",
	       *state && strcmp(state, "closed") ? " (" : "",
	       *state && strcmp(state, "closed") ? state : "",
	       *state && strcmp(state, "closed") ? ")" : "", *tint(action) ? "\033[0m" : "");
}

static int flow_row(void *ctx, const struct fence_row *row)
{
	const struct cli_list *l = ctx;
	cJSON *b = cJSON_Parse(row->body);

	if (!strcmp(row->kind, "process"))
		cli_learn(b);
	else if (l->json)
		cli_json_row(row);
	else
		flow_line(row, b);
	cJSON_Delete(b);
	return 0;
}

static void flow_heading(void)
{
	printf("%6s %-11s %-10s %-10s %-30s %7s %7s %s\n", "ID", "START", "VERDICT", "PROGRAM",
	       "WHERE", "OUT", "IN", "TOOL");
}

/*
 * Programs are learned from the whole log: a flow's may have begun long before the time that is
 * asked for.
 */
static int learn_row(void *ctx, const struct fence_row *row)
{
	cJSON *b = cJSON_Parse(row->body);

	(void)ctx;
	cli_learn(b);
	cJSON_Delete(b);
	return 0;
}

/* What cannot be read of it the listing meets again, and says. */
static void learn(const struct cli_list *l)
{
	struct fence_query_log q = { .kinds = "process" };

	fence_log_read(l->db, &q, learn_row, NULL, NULL);
}

int cmd_flows(int argc, char **argv)
{
	struct fence_diag d = { 0 };
	struct cli_list l;

	if (cli_list_options(argc, argv,
			     "flows [--since T] [--until T] [--last N] [--json] [--db FILE]", &l))
		return 2;
	l.q.kinds = "flow,deny";
	learn(&l);
	if (!l.json)
		flow_heading();
	return fence_log_read(l.db, &l.q, flow_row, &l, &d) < 0 ? cli_fail(&d) : 0;
}

struct follow {
	struct cli_list *l;
	int64_t last;
};

static int tail_row(void *ctx, const struct fence_row *row)
{
	struct follow *f = ctx;

	f->last = row->seq;
	return flow_row(f->l, row);
}

int cmd_tail(int argc, char **argv)
{
	struct fence_diag d = { 0 };
	struct follow f = { 0 };
	struct cli_list l;

	if (cli_list_options(argc, argv, "tail [--since T] [--last N] [--json] [--db FILE]", &l))
		return 2;
	f.l = &l;
	l.q.kinds = "flow,deny,process";
	if (!l.q.last)
		l.q.last = 10;
	learn(&l);
	if (!l.json)
		flow_heading();
	for (;;) {
		if (fence_log_read(l.db, &l.q, tail_row, &f, &d) < 0)
			return cli_fail(&d);
		fflush(stdout);
		l.q.after = f.last;
		l.q.last = 0;
		usleep(300000);
	}
}

struct sessions {
	const struct cli_list *l;
	cJSON *by_id; /* id -> body of its newest row */
	cJSON *denied; /* id -> how many, by the rows of its denials */
};

/*
 * As `report` counts them: an end row has what was known when it was written, by the agent that
 * wrote it.
 */
static int denied_row(void *ctx, const struct fence_row *row)
{
	struct sessions *s = ctx;
	cJSON *b = cJSON_Parse(row->body), *n;
	const char *id = cli_str(b, "session");

	n = cJSON_GetObjectItemCaseSensitive(s->denied, id);
	if (n)
		cJSON_SetNumberValue(n, n->valuedouble + (double)cli_int(b, "count"));
	else
		cJSON_AddNumberToObject(s->denied, id, (double)cli_int(b, "count"));
	cJSON_Delete(b);
	return 0;
}

static int session_row(void *ctx, const struct fence_row *row)
{
	struct sessions *s = ctx;
	cJSON *b = cJSON_Parse(row->body), *old;

	if (s->l->json) {
		cli_json_row(row);
	} else {
		old = cJSON_GetObjectItemCaseSensitive(s->by_id, cli_str(b, "session"));
		if (old && *cli_str(old, "match"))
			cJSON_AddStringToObject(b, "match", cli_str(old, "match"));
		cJSON_DeleteItemFromObjectCaseSensitive(s->by_id, cli_str(b, "session"));
		cJSON_AddItemToObject(s->by_id, cli_str(b, "session"), cJSON_Duplicate(b, 1));
	}
	cJSON_Delete(b);
	return 0;
}

int cmd_sessions(int argc, char **argv)
{
	struct fence_query_log denials = { .kinds = "deny" };
	struct sessions s = { 0 };
	struct fence_diag d = { 0 };
	char clock[32], out[16], in[16];
	struct cli_list l;
	const cJSON *b;
	int err;

	if (cli_list_options(argc, argv, "sessions [--since T] [--until T] [--json] [--db FILE]",
			     &l))
		return 2;
	s.l = &l;
	s.by_id = cJSON_CreateObject();
	l.q.kinds = "session";
	s.denied = cJSON_CreateObject();
	denials.until = l.q.until;
	err = fence_log_read(l.db, &l.q, session_row, &s, &d);
	if (!l.json && fence_log_read(l.db, &denials, denied_row, &s, &d) < 0)
		err = -1;
	if (!l.json)
		printf("%-12s %-16s %-11s %7s %-16s %5s %6s %6s %7s %7s\n", "SESSION", "TOOL",
		       "START", "PID", "RECOGNISED BY", "PROCS", "FLOWS", "DENIED", "OUT", "IN");
	cJSON_ArrayForEach (b, s.by_id) {
		printf("%-12s %-16s %-11s %7lld %-16s ", cli_str(b, "session"), cli_str(b, "tool"),
		       cli_clock(cli_int(b, "start"), clock), (long long)cli_int(b, "pid"),
		       *cli_str(b, "match") ? cli_str(b, "match") : "?");
		if (!strcmp(cli_str(b, "change"), "start"))
			printf("live\n");
		else
			printf("%5lld %6lld %6lld %7s %7s\n", (long long)cli_int(b, "processes"),
			       (long long)cli_int(b, "flows"),
			       (long long)cli_int(s.denied, cli_str(b, "session")),
			       cli_amount(cli_int(b, "bytes_out"), out),
			       cli_amount(cli_int(b, "bytes_in"), in));
	}
	cJSON_Delete(s.by_id);
	cJSON_Delete(s.denied);
	return err < 0 ? cli_fail(&d) : 0;
}
