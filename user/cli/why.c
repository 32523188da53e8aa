// SPDX-License-Identifier: Apache-2.0
/*
 * why ID: everything that is known about a flow, a denial, an alert or a request. An alert leads to
 * its denial, a request to its connection; what was decided is decided again from the facts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/alert.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "policy/policy.h"

#define MADE 64 /* lines about what a request did, and the alerts of it */

struct why {
	int64_t id; /* as asked for */
	cJSON *asked; /* that row's body */
	char kind[32]; /* and kind */
	int64_t denial; /* an alert's: the row to explain; 0 */
	int64_t request; /* an alert's, or the row itself; 0 */
	int64_t cookie; /* of the connection */
	cJSON *row; /* a flow or denial: what is decided again; owned unless it is `asked` */
	cJSON *request_row; /* owned; NULL */
	int64_t count, last; /* of an alert */
	cJSON *made[MADE]; /* owned: actions of the request, alerts of it */
	int nmade;
	cJSON *sessions; /* id -> body of its start */
	cJSON *exes; /* "dev:ino" -> sha256 */
	char policy[256]; /* file, as the policy row before it says */
};

/* The row that is asked for, and what it refers to. An alert's counts stand for the alert. */
static int find(void *ctx, const struct fence_row *row)
{
	struct why *w = ctx;
	cJSON *b = cJSON_Parse(row->body);

	if (row->seq == w->id && !strcmp(row->kind, "alert-count"))
		w->id = cli_int(b, "alert");
	else if (row->seq == w->id) {
		w->asked = b;
		snprintf(w->kind, sizeof(w->kind), "%s", row->kind);
		w->denial = cli_int(b, "denial");
		w->cookie = cli_int(b, "cookie");
		w->request = strcmp(row->kind, "request") ? cli_int(b, "request") : row->seq;
		w->last = cli_int(b, "start");
		w->count = 1;
		return 1;
	}
	cJSON_Delete(b);
	return 1;
}

/* Is it the connection's own row? The last of them knows most. */
static int is_flow(const struct why *w, const struct fence_row *row, const cJSON *b)
{
	return !w->denial && w->cookie && !strcmp(row->kind, "flow") &&
	       cli_int(b, "cookie") == w->cookie &&
	       !strcmp(cli_str(b, "exec"), cli_str(w->asked, "exec"));
}

/* What an asked row refers to. 1: the body is kept. */
static int keep(struct why *w, const struct fence_row *row, cJSON *b)
{
	int told =
		!strcmp(row->kind, "action") || (!strcmp(row->kind, "alert") && row->seq != w->id);

	if (!strcmp(row->kind, "alert-count") && cli_int(b, "alert") == w->id) {
		w->count += cli_int(b, "count");
		w->last = cli_int(b, "last");
	}
	if (w->denial ? row->seq == w->denial : is_flow(w, row, b)) {
		cJSON_Delete(w->row);
		w->row = b;
		return 1;
	}
	if (w->request && row->seq == w->request && row->seq != w->id) {
		w->request_row = b;
		return 1;
	}
	if (w->request && told && cli_int(b, "request") == w->request && w->nmade < MADE) {
		w->made[w->nmade++] = b;
		return 1;
	}
	return 0;
}

static int collect(void *ctx, const struct fence_row *row)
{
	struct why *w = ctx;
	cJSON *b = cJSON_Parse(row->body);
	char key[64];

	if (!strcmp(row->kind, "process")) {
		cli_learn(b);
	} else if (!strcmp(row->kind, "session") && !strcmp(cli_str(b, "change"), "start")) {
		cJSON_AddItemToObject(w->sessions, cli_str(b, "session"), cJSON_Duplicate(b, 1));
	} else if (!strcmp(row->kind, "exe")) {
		snprintf(key, sizeof(key), "%lld:%lld", (long long)cli_int(b, "dev"),
			 (long long)cli_int(b, "ino"));
		cJSON_AddStringToObject(w->exes, key, cli_str(b, "sha256"));
	} else if (!strcmp(row->kind, "policy") && row->seq < w->id) {
		snprintf(w->policy, sizeof(w->policy), "%s", cli_str(b, "file"));
	} else if (keep(w, row, b)) {
		return 0;
	}
	cJSON_Delete(b);
	return 0;
}

static void lineage(const struct why *w)
{
	const cJSON *p = cli_process(cli_str(w->asked, "exec"));
	const char *parent, *sha;
	char key[64];
	int depth;

	for (depth = 0; p && depth < 32; depth++) {
		snprintf(key, sizeof(key), "%lld:%lld", (long long)cli_int(p, "dev"),
			 (long long)cli_int(p, "ino"));
		sha = cli_str(w->exes, key);
		printf("  %*spid %lld  %s  uid %lld%s\n", depth * 2, "",
		       (long long)cli_int(p, "pid"),
		       *cli_str(p, "exe") ? cli_str(p, "exe") : "(kernel)",
		       (long long)cli_int(p, "uid"),
		       cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(p, "existing"))
			       ? ", was running before the agent"
			       : "");
		if (*sha)
			printf("  %*s  sha256 %s\n", depth * 2, "", sha);
		if (!depth && *cli_str(p, "cgroup"))
			printf("    cgroup %s\n", cli_str(p, "cgroup"));
		parent = cli_str(p, "parent_exec");
		p = strcmp(parent, cli_str(p, "exec")) ? cli_process(parent) : NULL;
	}
	if (!depth)
		printf("  pid %lld; its program is not in the log\n",
		       (long long)cli_int(w->asked, "pid"));
}

static void session(const struct why *w)
{
	const char *id = cli_str(w->asked, "session"), *match;
	const cJSON *s = cJSON_GetObjectItemCaseSensitive(w->sessions, id);

	printf("Session\n");
	if (!*id || !strcmp(id, "0")) {
		printf("  none: this process is not confined\n");
		return;
	}
	printf("  %s of %s", id, cli_str(s ? s : w->asked, "tool"));
	match = cli_str(s, "match");
	if (s)
		printf(", first process %lld, recognised by %s", (long long)cli_int(s, "pid"),
		       match);
	if (s && strncmp(match, "crmfence ", 9))
		printf(" ($.tools[].match[%lld])", (long long)cli_int(s, "match_index"));
	printf("\n");
}

static const char *guard_text(const char *guard)
{
	if (!strcmp(guard, "fence"))
		return "crmfence's own maps, links and pins, by another program than the agent";
	if (!strcmp(guard, "inherited"))
		return "it became a session with an io_uring, or a socket whose packets nobody can "
		       "judge, in its hands, and was killed";
	if (!strcmp(guard, "capability"))
		return "root's power over the machine (capabilities(7) has the number in `level`): "
		       "mounts, networks' set-up, other processes";
	if (!strcmp(guard, "system-file"))
		return "a file that something outside the session obeys: the kernel's switches, "
		       "the system's configuration, a device, another process's /proc";
	return guard;
}

static void witnesses(const cJSON *b)
{
	if (!strcmp(cli_str(b, "at"), "unix")) {
		printf("Witnesses\n  Unix socket  %s\n",
		       *cli_str(b, "name") ? cli_str(b, "name") : "(no name)");
		return;
	}
	if (*cli_str(b, "guard")) {
		printf("Witnesses\n  this machine %s\n", guard_text(cli_str(b, "guard")));
		return;
	}
	if (!strcmp(cli_str(b, "at"), "create") || !strcmp(cli_str(b, "at"), "sockopt") ||
	    !strcmp(cli_str(b, "at"), "bind")) {
		printf("Witnesses\n  socket       %s, before it goes anywhere\n", cli_str(b, "at"));
		return;
	}
	if (!strcmp(cli_str(b, "at"), "dns") && strcmp(cli_str(b, "reason"), "dns-address") &&
	    strcmp(cli_str(b, "reason"), "dns-range")) {
		printf("Witnesses\n  DNS question %s, asked of %s port %lld %s\n",
		       *cli_str(b, "name") ? cli_str(b, "name") : "(cannot be read)",
		       cli_str(b, "addr"), (long long)cli_int(b, "port"), cli_str(b, "proto"));
		return;
	}
	printf("Witnesses\n  address      %s port %lld %s\n", cli_str(b, "addr"),
	       (long long)cli_int(b, "port"), cli_str(b, "proto"));
	if (cli_int(b, "target_port"))
		printf("  proxy        was asked for port %lld\n",
		       (long long)cli_int(b, "target_port"));
	if (!strcmp(cli_str(b, "reason"), "dns-address") ||
	    !strcmp(cli_str(b, "reason"), "dns-range")) {
		printf("  DNS answer   the address above, for %s\n", cli_str(b, "name"));
		return;
	}
	if (*cli_str(b, "dns"))
		printf("  DNS          %s, asked by %s\n", cli_str(b, "dns"),
		       strcmp(cli_str(b, "dns_by"), "process") ? "another process of this machine"
							       : "this program");
	else
		printf("  DNS          no answer named this address\n");
	if (*cli_str(b, "sni"))
		printf("  server name  %s\n", cli_str(b, "sni"));
	if (*cli_str(b, "name"))
		printf("  %s %s\n",
		       strcmp(cli_str(b, "at"), "request") ? "server name " : "request for ",
		       cli_str(b, "name"));
	if (cli_int(b, "bytes_out") + cli_int(b, "bytes_in"))
		printf("  bytes        %lld out, %lld in\n", (long long)cli_int(b, "bytes_out"),
		       (long long)cli_int(b, "bytes_in"));
}

/* The facts as the row has them, all of them: what is left out would be decided as 0. */
static int facts(const cJSON *b, struct fence_facts *f)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(b, "facts"), *n;
	uint8_t v[sizeof(*f)];
	size_t i = 0;

	if (cJSON_GetArraySize(list) != (int)sizeof(*f))
		return -1;
	cJSON_ArrayForEach (n, list) {
		if (!cJSON_IsNumber(n))
			return -1;
		v[i++] = (uint8_t)n->valueint;
	}
	*f = (struct fence_facts){ v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7] };
	return 0;
}

_Static_assert(sizeof(struct fence_facts) == 8, "why decides from every fact");

static uint8_t reason_by_name(const char *name)
{
	uint8_t i;

	for (i = 0; i < FENCE_R_MAX; i++)
		if (!strcmp(fence_reason_name(i), name))
			return i;
	return FENCE_R_OVERFLOW;
}

/* What was asked for: behind a proxy not the proxy's own. */
static uint16_t asked_port(const cJSON *b)
{
	return (uint16_t)(cli_int(b, "target_port") ? cli_int(b, "target_port")
						    : cli_int(b, "port"));
}

static void verdict(const struct why *w, const char *policy)
{
	const cJSON *b = w->row;
	AUTO_BUF struct fence_buf flip = { 0 };
	struct fence_policy *p = NULL;
	struct fence_facts f;
	struct fence_verdict v;
	const char *name = *cli_str(b, "name")	? cli_str(b, "name")
			   : *cli_str(b, "sni") ? cli_str(b, "sni")
						: cli_str(b, "dns");
	uint8_t reason = reason_by_name(cli_str(b, "reason"));

	printf("Verdict\n  %s (%s): %s\n", cli_str(b, "action"), cli_str(b, "reason"),
	       fence_reason_sentence(reason));
	if (!facts(b, &f)) {
		v = fence_decide(&f);
		printf("  facts: at %s, address %s, name %s; decided again: %s%s\n",
		       fence_at_name(f.at), fence_addr_name(f.addr), fence_namefact_name(f.name),
		       fence_action_name(v.action), v.reason == reason ? "" : "  (DIFFERS)");
	}
	if (*cli_str(b, "rule"))
		printf("Policy line\n  %s of %s\n", cli_str(b, "rule"), policy);
	if (!strcmp(cli_str(b, "action"), "allow"))
		return;
	if (fence_policy_read(policy, &p, NULL) < 0) {
		printf("What would change it\n  the policy %s cannot be read now\n", policy);
		return;
	}
	fence_policy_flip(p, fence_policy_tool(p, cli_str(b, "tool")), reason, name,
			  cli_str(b, "addr"), asked_port(b), &flip);
	printf("What would change it\n  %s\n", fence_buf_text(&flip));
	if (strncmp(fence_buf_text(&flip), "none", 4))
		printf("  That opens the boundary for all that %s starts; it is for who answers "
		       "for "
		       "the policy.\n",
		       *cli_str(b, "tool") ? cli_str(b, "tool") : "the tool");
	fence_policy_free(p);
}

static void alert(const struct why *w)
{
	const struct fence_alert_kind *k = fence_alert_by_rule(cli_str(w->asked, "rule"));
	const cJSON *b = w->asked;
	char clock[32];

	printf("Alert\n  %s %s, %s: %s\n", cli_str(b, "rule"), cli_str(b, "name"),
	       cli_str(b, "severity"), k ? k->trigger : "not one of this version");
	printf("  %lld times, the last %s\n", (long long)w->count, cli_clock(w->last, clock));
	printf("  %s%s%s%s\n", cli_str(b, "authority"), *cli_str(b, "class") ? " (" : "",
	       cli_str(b, "class"), *cli_str(b, "class") ? ")" : "");
	if (k)
		printf("What to do\n  %s\n", k->remedy);
}

/* A list's texts, one behind the other. */
static void texts(const cJSON *b, const char *key)
{
	const cJSON *v, *a = cJSON_GetObjectItemCaseSensitive(b, key);

	cJSON_ArrayForEach (v, a)
		if (cJSON_IsString(v))
			printf("%s%s", v == a->child ? "" : ", ", fence_text_plain(v->valuestring));
}

/* What sight saw of it. */
static void seen(const cJSON *b)
{
	printf("Witnesses\n  request for  %s\n", cli_str(b, "authority"));
	if (*cli_str(b, "sni"))
		printf("  server name  %s\n", cli_str(b, "sni"));
	if (*cli_str(b, "org"))
		printf("  credential   of org %s\n", cli_str(b, "org"));
	if (*cli_str(b, "user"))
		printf("  acts as      %s\n", cli_str(b, "user"));
	if (*cli_str(b, "grant"))
		printf("  token by     %s\n", cli_str(b, "grant"));
	if (cJSON_GetObjectItemCaseSensitive(b, "fields")) {
		printf("  fields       ");
		texts(b, "fields");
		printf(" of ");
		texts(b, "ids");
		printf("\n");
	}
	if (cJSON_GetObjectItemCaseSensitive(b, "cut"))
		printf("  %lld bytes had left; %s\n", (long long)cli_int(b, "left"),
		       cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "held"))  ? "held"
		       : cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "cut")) ? "cut"
										  : "let through");
}

static void request(const struct why *w)
{
	const cJSON *b = strcmp(w->kind, "request") ? w->request_row : w->asked;
	int i;

	if (!b)
		return;
	printf("Request\n  %s %s%s, status %lld, %lld bytes out, %lld in\n", cli_str(b, "method"),
	       cli_str(b, "authority"), cli_str(b, "path"), (long long)cli_int(b, "status"),
	       (long long)cli_int(b, "bytes_out"), (long long)cli_int(b, "bytes_in"));
	if (*cli_str(b, "extension"))
		printf("  by extension %s (%s)\n", cli_str(b, "extension"),
		       cli_str(b, "extension_by"));
	for (i = 0; i < w->nmade; i++) {
		if (*cli_str(w->made[i], "rule")) {
			printf("  alert        %s %s\n", cli_str(w->made[i], "rule"),
			       cli_str(w->made[i], "name"));
			continue;
		}
		printf("  did          %s %s %s ", cli_str(w->made[i], "api"),
		       cli_str(w->made[i], "verb"), cli_str(w->made[i], "object"));
		texts(w->made[i], "ids");
		printf("\n");
	}
}

static void print_text(const struct why *w)
{
	char clock[32];
	int64_t when = cli_int(w->asked, "start");

	printf("%s %lld%s%s\n", w->kind, (long long)w->id, when ? ", " : "",
	       when ? cli_clock(when, clock) : "");
	if (!strcmp(w->kind, "alert"))
		alert(w);
	if (strcmp(cli_str(w->asked, "exec"), "0")) {
		printf("Process\n");
		lineage(w);
		session(w);
	}
	request(w);
	if (!strcmp(w->kind, "alert") && cJSON_GetObjectItemCaseSensitive(w->asked, "cut"))
		seen(w->asked);
	if (w->row && w->row != w->asked)
		printf("%s\n", w->denial ? "Its first denial" : "Its connection");
	if (w->row) {
		witnesses(w->row);
		verdict(w, w->policy);
	} else if (w->cookie) {
		printf("Its connection\n  is not in the log (yet)\n");
	}
}

static int is_explained(const char *kind)
{
	return !strcmp(kind, "flow") || !strcmp(kind, "deny") || !strcmp(kind, "alert") ||
	       !strcmp(kind, "request");
}

static void why_done(struct why *w)
{
	if (w->row != w->asked)
		cJSON_Delete(w->row);
	cJSON_Delete(w->asked);
	cJSON_Delete(w->request_row);
	while (w->nmade)
		cJSON_Delete(w->made[--w->nmade]);
	cJSON_Delete(w->sessions);
	cJSON_Delete(w->exes);
}

/* The asked row; of an alert's count the alert's. */
static int find_asked(struct why *w, const char *db, struct fence_diag *d)
{
	struct fence_query_log q = { 0 };
	int64_t id;
	int err;

	do {
		id = w->id;
		q.after = id - 1;
		err = fence_log_read(db, &q, find, w, d);
	} while (err >= 0 && w->id != id);
	return err;
}

int cmd_why(int argc, char **argv)
{
	struct why w = { 0 };
	struct fence_diag d = { 0 };
	struct cli_list l;
	char *text;
	int err;

	if (cli_list_options(argc, argv,
			     "why ID [--json] [--db FILE]   (IDs stand in flows, alerts, requests, "
			     "tail and run)",
			     &l))
		return 2;
	w.id = l.nrest == 1 ? atoll(l.rest[0]) : 0;
	if (w.id <= 0) {
		fprintf(stderr, "usage: crmfence why ID [--json] [--db FILE]\n");
		return 2;
	}
	w.sessions = cJSON_CreateObject();
	w.exes = cJSON_CreateObject();
	err = find_asked(&w, l.db, &d);
	if (err >= 0 && !is_explained(w.kind))
		err = fence_diag_set(&d, -ENOENT, NULL,
				     "%lld is no flow, denial, alert or request of %s; `crmfence "
				     "flows`, `alerts` and `requests` list them",
				     (long long)w.id, l.db);
	if (err >= 0 && (!strcmp(w.kind, "flow") || !strcmp(w.kind, "deny"))) {
		w.row = w.asked;
		w.cookie = w.denial = w.request = 0;
	}
	if (err >= 0)
		err = fence_log_read(l.db, &l.q, collect, &w, &d);
	if (err >= 0 && l.json) {
		text = cJSON_PrintUnformatted(w.asked);
		puts(text ? text : "");
		free(text);
	} else if (err >= 0) {
		print_text(&w);
	}
	why_done(&w);
	return err < 0 ? cli_fail(&d) : 0;
}
