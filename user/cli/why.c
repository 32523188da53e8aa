// SPDX-License-Identifier: Apache-2.0
/* why ID: everything that is known about one row, decided again from its facts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "policy/policy.h"

struct why {
	int64_t id;
	cJSON *row; /* the row's body */
	char kind[32];
	cJSON *sessions; /* id -> body of its start */
	cJSON *exes; /* "dev:ino" -> sha256 */
	char policy[256]; /* file, as the policy row before it says */
};

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
	}
	if (row->seq == w->id) {
		w->row = b;
		snprintf(w->kind, sizeof(w->kind), "%s", row->kind);
		return 0;
	}
	cJSON_Delete(b);
	return 0;
}

static void lineage(const struct why *w)
{
	const cJSON *p = cli_process(cli_str(w->row, "exec"));
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
		       (long long)cli_int(w->row, "pid"));
}

static void session(const struct why *w)
{
	const cJSON *s = cJSON_GetObjectItemCaseSensitive(w->sessions, cli_str(w->row, "session"));

	if (!*cli_str(w->row, "session") || !strcmp(cli_str(w->row, "session"), "0"))
		printf("Session\n  none: this process is not confined\n");
	else if (!s)
		printf("Session\n  %s of %s\n", cli_str(w->row, "session"),
		       cli_str(w->row, "tool"));
	else
		printf("Session\n  %s of %s, first process %lld, recognised by %s "
		       "($.tools[].match[%lld])\n",
		       cli_str(w->row, "session"), cli_str(s, "tool"), (long long)cli_int(s, "pid"),
		       cli_str(s, "match"), (long long)cli_int(s, "match_index"));
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
	printf("Witnesses\n  address      %s port %lld %s\n", cli_str(b, "addr"),
	       (long long)cli_int(b, "port"), cli_str(b, "proto"));
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
		       strcmp(cli_str(b, "at"), "dns") ? "server name " : "DNS question",
		       cli_str(b, "name"));
	if (cli_int(b, "bytes_out") + cli_int(b, "bytes_in"))
		printf("  octets       %lld out, %lld in\n", (long long)cli_int(b, "bytes_out"),
		       (long long)cli_int(b, "bytes_in"));
}

/* The facts as the row has them, and what decide.h makes of them here and now. */
static int facts(const cJSON *b, struct fence_facts *f)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(b, "facts");
	uint8_t v[7];
	int i;

	memset(f, 0, sizeof(*f));
	for (i = 0; i < 7; i++) {
		const cJSON *n = cJSON_GetArrayItem(list, i);

		if (!cJSON_IsNumber(n))
			return -1;
		v[i] = (uint8_t)n->valueint;
	}
	*f = (struct fence_facts){ v[0], v[1], v[2], v[3], v[4], v[5], v[6], 0 };
	return 0;
}

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
	fence_policy_free(p);
}

int cmd_why(int argc, char **argv)
{
	struct why w = { 0 };
	struct fence_diag d = { 0 };
	struct cli_list l;
	char clock[32];

	if (cli_list_options(argc, argv,
			     "why ID [--json] [--db FILE]   (IDs stand in flows, tail and run)",
			     &l))
		return 2;
	w.id = l.nrest == 1 ? atoll(l.rest[0]) : 0;
	if (w.id <= 0) {
		fprintf(stderr, "usage: crmfence why ID [--json] [--db FILE]\n");
		return 2;
	}
	w.sessions = cJSON_CreateObject();
	w.exes = cJSON_CreateObject();
	if (fence_log_read(l.db, &l.q, collect, &w, &d) < 0)
		return cli_fail(&d);
	if (!w.row || (strcmp(w.kind, "flow") && strcmp(w.kind, "deny"))) {
		fence_diag_set(&d, 0, NULL,
			       "%lld is no flow or denial of %s; `crmfence flows` lists them",
			       (long long)w.id, l.db);
		return cli_fail(&d);
	}
	if (l.json) {
		char *text = cJSON_PrintUnformatted(w.row);

		puts(text);
		free(text);
	} else {
		printf("%s %lld, %s\n", w.kind, (long long)w.id,
		       cli_clock(cli_int(w.row, "start"), clock));
		printf("Process\n");
		lineage(&w);
		session(&w);
		witnesses(w.row);
		verdict(&w, w.policy);
	}
	cJSON_Delete(w.row);
	cJSON_Delete(w.sessions);
	cJSON_Delete(w.exes);
	return 0;
}
