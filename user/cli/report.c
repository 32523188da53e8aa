// SPDX-License-Identifier: Apache-2.0
/*
 * report: per session, what an auditor asks. Where its octets went, what it did to the org, as
 * whom, and whether what it may do there is what that person may do (permission inheritance). From
 * the log alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/alert.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"

#define WORDS 12 /* different verbs, objects, users, grants, rules of one session that are told */

/* A few words, each with how often it was seen. */
struct words {
	char text[WORDS][40];
	int64_t n[WORDS];
	size_t count;
	int64_t others;
};

struct session {
	char id[24], tool[40], user_by[12];
	int64_t pid, start, own_out, own_in, else_out, else_in, denials, records;
	int64_t streams, unseen; /* TLS connections of a tool with sight; nothing seen of */
	int64_t authorizes, tokens, refused; /* refused: INSUFFICIENT_ACCESS and the like */
	int64_t foreign; /* credentials of other orgs */
	int64_t strangers; /* actions with a credential of nobody known */
	struct words verbs, objects, users, grants, rules;
	struct session *next;
};

struct report {
	const struct cli_list *l;
	struct session *first;
};

static void word(struct words *w, const char *text, int64_t n)
{
	size_t i;

	for (i = 0; i < w->count && strcmp(w->text[i], text); i++)
		;
	if (i == WORDS) {
		w->others += n;
		return;
	}
	if (i == w->count) {
		snprintf(w->text[i], sizeof(w->text[i]), "%s", text);
		w->count++;
	}
	w->n[i] += n;
}

static int has(const struct words *w, const char *text)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		if (!strcmp(w->text[i], text))
			return 1;
	return 0;
}

static struct session *session_get(struct report *r, const char *id)
{
	struct session **s = &r->first;

	while (*s && strcmp((*s)->id, id))
		s = &(*s)->next;
	if (!*s) {
		*s = calloc(1, sizeof(**s));
		if (*s)
			snprintf((*s)->id, sizeof((*s)->id), "%s", id);
	}
	return *s;
}

static void action(struct session *s, const cJSON *b)
{
	const char *error = cli_str(b, "error");

	word(&s->verbs, cli_str(b, "verb"), 1);
	if (*cli_str(b, "object"))
		word(&s->objects, cli_str(b, "object"), 1);
	s->records += cli_int(b, "nids");
	if (*cli_str(b, "user"))
		word(&s->users, cli_str(b, "user"), 1);
	s->strangers += !strcmp(cli_str(b, "user_by"), "not-shown");
	if (*cli_str(b, "user_by"))
		snprintf(s->user_by, sizeof(s->user_by), "%s", cli_str(b, "user_by"));
	if (*cli_str(b, "grant"))
		word(&s->grants, cli_str(b, "grant"), 1);
	s->authorizes += !strcmp(cli_str(b, "verb"), "authorize");
	s->tokens += !strcmp(cli_str(b, "verb"), "token");
	s->refused += !strncmp(error, "INSUFFICIENT_", 13) ||
		      !strcmp(error, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY");
}

/*
 * A denial is one of its session, whoever's the alert's row is; a request that was refused has
 * sight's.
 */
static void denial(struct session *s, const cJSON *b)
{
	const struct fence_alert_kind *k = fence_alert_by_rule(cli_str(b, "alert"));

	if (k && strcmp(cli_str(b, "at"), "request"))
		word(&s->rules, k->name, cli_int(b, "count"));
}

static int each_row(void *ctx, const struct fence_row *row)
{
	struct report *r = ctx;
	cJSON *b = cJSON_Parse(row->body);
	struct session *s = *cli_str(b, "session") ? session_get(r, cli_str(b, "session")) : NULL;
	int own = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "own"));

	if (s && *cli_str(b, "tool"))
		snprintf(s->tool, sizeof(s->tool), "%s", cli_str(b, "tool"));
	if (s && !strcmp(row->kind, "session")) {
		s->pid = cli_int(b, "pid");
		s->start = cli_int(b, "start");
	} else if (s && !strcmp(row->kind, "flow") && strcmp(cli_str(b, "state"), "open")) {
		*(own ? &s->own_out : &s->else_out) += cli_int(b, "bytes_out");
		*(own ? &s->own_in : &s->else_in) += cli_int(b, "bytes_in");
		s->streams += !!cJSON_GetObjectItemCaseSensitive(b, "plain_out");
		s->unseen += cJSON_GetObjectItemCaseSensitive(b, "plain_out") &&
			     !cli_int(b, "plain_out") && !cli_int(b, "plain_in");
	} else if (s && !strcmp(row->kind, "deny")) {
		s->denials += cli_int(b, "count");
		denial(s, b);
	} else if (s && !strcmp(row->kind, "action")) {
		action(s, b);
	} else if (s && !strcmp(row->kind, "alert") && !cli_int(b, "denial")) { /* sight's */
		word(&s->rules, cli_str(b, "name"), 1);
		s->foreign += !strcmp(cli_str(b, "rule"), "E003") && *cli_str(b, "org");
	}
	cJSON_Delete(b);
	return 0;
}

/* "holds", "broken", "not shown", and why. */
static const char *inheritance(const struct session *s, const char **why)
{
	if (has(&s->grants, "client_credentials") || has(&s->grants, "jwt-bearer")) {
		*why = "its token is an integration user's, not the person's";
		return "broken";
	}
	if (has(&s->rules, "user-differs") || s->users.count > 1) {
		*why = "it acted as another user than the person at this machine";
		return "broken";
	}
	if (s->foreign) {
		*why = "a credential of another org was used";
		return "broken";
	}
	if (s->authorizes > s->tokens) {
		*why = "it was authorised here, and the token was asked for elsewhere: somebody "
		       "else holds it";
		return "broken";
	}
	if (has(&s->rules, "opaque")) {
		*why = "there were connections of it that nothing was seen of";
		return "not shown";
	}
	if (s->strangers) {
		*why = "it used a credential of which no sign-on was seen";
		return "not shown";
	}
	if (!s->users.count) {
		*why = "no sign-on was seen and the policy maps no user (org.users)";
		return "not shown";
	}
	*why = !strcmp(s->user_by, "policy")
		       ? "as far as the policy's map of users goes; no sign-on was seen"
	       : s->refused ? "one person's sign-on, and the org refused what that person may not"
			    : "one person's sign-on; nothing was refused, so nothing was tried";
	return "holds";
}

static void print_words(const char *head, const struct words *w)
{
	size_t i;

	if (!w->count)
		return;
	printf("  %-11s", head);
	for (i = 0; i < w->count; i++)
		printf("%s%s %lld", i ? ", " : "", w->text[i], (long long)w->n[i]);
	if (w->others)
		printf(", others %lld", (long long)w->others);
	printf("\n");
}

static void print_text(const struct session *s)
{
	const char *why, *verdict = inheritance(s, &why);
	char clock[32], a[16], b[16], c[16], d[16];

	printf("session %s of %s, pid %lld, %s\n", s->id, s->tool, (long long)s->pid,
	       s->start ? cli_clock(s->start, clock) : "?");
	printf("  octets     to the org %s out, %s in; to others %s out, %s in; refused %lld\n",
	       cli_amount(s->own_out, a), cli_amount(s->own_in, b), cli_amount(s->else_out, c),
	       cli_amount(s->else_in, d), (long long)s->denials);
	print_words("actions", &s->verbs);
	print_words("objects", &s->objects);
	print_words("users", &s->users);
	print_words("tokens by", &s->grants);
	printf("  records    %lld named; %lld refused by the org for want of a right\n",
	       (long long)s->records, (long long)s->refused);
	if (s->streams)
		printf("  sight      %lld TLS connections; of %lld nothing was seen\n",
		       (long long)s->streams, (long long)s->unseen);
	print_words("alerts", &s->rules);
	printf("  permission inheritance: %s: %s\n\n", verdict, why);
}

static void put_words(struct fence_json *j, const char *key, const struct words *w)
{
	size_t i;

	fence_json_array(j, key);
	for (i = 0; i < w->count; i++) {
		fence_json_open(j, NULL);
		fence_json_int(j, "count", w->n[i]);
		fence_json_str(j, "word", w->text[i]);
		fence_json_close(j);
	}
	fence_json_array_end(j);
}

static void print_json(const struct session *s)
{
	AUTO_BUF struct fence_buf b = { 0 };
	const char *why, *verdict = inheritance(s, &why);
	struct fence_json j;

	fence_json_init(&j, &b);
	fence_json_open(&j, NULL);
	put_words(&j, "alerts", &s->rules);
	fence_json_int(&j, "denials", s->denials);
	put_words(&j, "grants", &s->grants);
	fence_json_str(&j, "inheritance", verdict);
	put_words(&j, "objects", &s->objects);
	fence_json_int(&j, "other_in", s->else_in);
	fence_json_int(&j, "other_out", s->else_out);
	fence_json_int(&j, "own_in", s->own_in);
	fence_json_int(&j, "own_out", s->own_out);
	fence_json_int(&j, "pid", s->pid);
	fence_json_int(&j, "records", s->records);
	fence_json_int(&j, "refused", s->refused);
	fence_json_str(&j, "session", s->id);
	fence_json_int(&j, "start", s->start);
	fence_json_int(&j, "streams", s->streams);
	fence_json_str(&j, "tool", s->tool);
	fence_json_int(&j, "unseen", s->unseen);
	put_words(&j, "users", &s->users);
	put_words(&j, "verbs", &s->verbs);
	fence_json_str(&j, "why", why);
	fence_json_close(&j);
	printf("%s\n", fence_buf_text(&b));
}

/* 1 when an alert or a broken inheritance is among them. */
int cmd_report(int argc, char **argv)
{
	struct fence_diag d = { 0 };
	struct report r = { 0 };
	struct session *s;
	struct cli_list l;
	const char *why;
	int bad = 0, err;

	if (cli_list_options(argc, argv, "report [--since T] [--until T] [--json] [--db FILE]", &l))
		return 2;
	r.l = &l;
	l.q.kinds = "session,flow,deny,action,alert";
	err = fence_log_read(l.db, &l.q, each_row, &r, &d);
	while ((s = r.first)) {
		bad |= s->rules.count || !strcmp(inheritance(s, &why), "broken");
		if (l.json)
			print_json(s);
		else
			print_text(s);
		r.first = s->next;
		free(s);
	}
	return err < 0 ? cli_fail(&d) : bad ? 1 : fence_log_cut(l.db) ? 2 : 0;
}
