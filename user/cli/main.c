// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "ipc/control.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "run", cmd_run,
	  "the agent in the foreground, with a live table; takes crmfenced's options" },
	{ "exec", cmd_exec, "start a command as a confined session of a tool" },
	{ "join", cmd_join, "make a running process and its descendants a session of a tool" },
	{ "status", cmd_status, "is an agent running, with which policy, how is it doing" },
	{ "sessions", cmd_sessions, "sessions of the policy's tools" },
	{ "flows", cmd_flows, "who sent what where" },
	{ "requests", cmd_requests,
	  "HTTP requests of tools with \"sight\", and what they did to the org" },
	{ "alerts", cmd_alerts,
	  "what was refused, or is wrong, once each with its count; exit status 1 when any" },
	{ "report", cmd_report,
	  "per session: where its octets went, what it did to the org, as whom" },
	{ "tail", cmd_tail, "the same, as it happens" },
	{ "why", cmd_why, "explain one flow, denial, alert or request" },
	{ "reload", cmd_reload, "have the agent read its policy again" },
	{ "doctor", cmd_doctor, "the tier, what stays open on this machine, and the remedy" },
	{ "verify", cmd_verify, "recompute the log's hash chain" },
	{ "log", cmd_log, "copy the log, whole, while the agent writes on" },
	{ "policy", cmd_policy, "check, explain, decide, test a policy; make a browser's of it" },
};

/* The agent stands beside this program. */
int cmd_run(int argc, char **argv)
{
	char path[PATH_MAX + 16];
	AUTO_FREE char **args = calloc((size_t)argc + 2, sizeof(*args));
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash;
	int i;

	if (n < 0 || !args)
		return 2;
	path[n] = 0;
	slash = strrchr(path, '/');
	snprintf(slash + 1, 16, "crmfenced");
	args[0] = path;
	for (i = 1; i < argc; i++)
		args[i] = argv[i];
	args[argc] = (char *)"--table";
	execv(path, args);
	fprintf(stderr, "crmfence: %s: %s; install both programs into one directory\n", path,
		strerror(errno));
	return 2;
}

static void status_tools(const cJSON *tools)
{
	const cJSON *t, *m;
	char when[40];
	time_t at;

	cJSON_ArrayForEach (t, tools) {
		at = (time_t)(cli_int(t, "last_seen") / 1000000);
		snprintf(when, sizeof(when), "never");
		if (at)
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M", localtime(&at));
		printf("tool      %s, last seen %s%s\n", cli_str(t, "name"), when,
		       cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t, "unseen"))
			       ? ": NOT FOR DAYS, see crmfence doctor"
			       : "");
		cJSON_ArrayForEach (m, cJSON_GetObjectItemCaseSensitive(t, "matches"))
			printf("          %s: %s\n", cli_str(m, "exe"), cli_str(m, "state"));
	}
}

/* How its log does, behind its name. */
static void status_log(const cJSON *s, int bad)
{
	char clock[32];

	if (bad)
		printf(", CANNOT BE WRITTEN since %s: %s; %lld bytes of rows wait, %lld rows are "
		       "lost",
		       cli_clock(cli_int(s, "log_since"), clock), cli_str(s, "log_why"),
		       (long long)cli_int(s, "log_waiting"), (long long)cli_int(s, "log_lost"));
	else
		printf(", to row %lld, on the disk to row %lld", (long long)cli_int(s, "log_seq"),
		       (long long)cli_int(s, "log_safe"));
	printf("\n");
	if (!bad && cli_int(s, "log_lost"))
		printf("trouble   log: %lld rows were lost\n", (long long)cli_int(s, "log_lost"));
	if (*cli_str(s, "log_told"))
		printf("trouble   log: %s\n", cli_str(s, "log_told"));
}

int cmd_status(int argc, char **argv)
{
	static const struct option longs[] = { { "json", 0, NULL, 'j' },
					       { "control", 1, NULL, 'c' },
					       { NULL, 0, NULL, 0 } };
	const char *control = FENCE_CONTROL_PATH;
	static char text[FENCE_CONTROL_REPLY];
	const cJSON *e, *sight;
	cJSON *s;
	int c, err, json = 0, bad;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j')
			json = 1;
		else if (c == 'c')
			control = optarg;
		else
			return 2;
	}
	err = fence_control_ask(control, FENCE_OP_STATUS, NULL, 0, text, sizeof(text));
	if (err < 0) {
		fprintf(stderr,
			"crmfence: no agent answers at %s (%s); start one with `sudo crmfence "
			"run`\n",
			control, strerror(-err));
		return 1;
	}
	s = cJSON_Parse(text);
	bad = !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(s, "log_writable"));
	if (json) {
		puts(text);
		cJSON_Delete(s);
		return bad;
	}
	printf("policy    %s (%s), %s\ntier      %s\nuptime    %lld s\nsessions  %lld live\nflows  "
	       "   %lld, %lld "
	       "denied, %lld would be\nlog       %s",
	       cli_str(s, "policy"), cli_str(s, "mode"), cli_str(s, "policy_file"),
	       cli_str(s, "tier"), (long long)cli_int(s, "uptime"),
	       (long long)cli_int(s, "sessions_live"), (long long)cli_int(s, "flows"),
	       (long long)cli_int(s, "denials"), (long long)cli_int(s, "would_deny"),
	       cli_str(s, "db"));
	status_log(s, bad);
	if (cli_int(s, "unix_closed") + cli_int(s, "unix_unproved"))
		printf("unix      %lld entries closed in tier B, %lld open by their names alone "
		       "(crmfence doctor)\n",
		       (long long)cli_int(s, "unix_closed"),
		       (long long)cli_int(s, "unix_unproved"));
	status_tools(cJSON_GetObjectItemCaseSensitive(s, "tools"));
	sight = cJSON_GetObjectItemCaseSensitive(s, "sight");
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(sight, "on")))
		printf("TLS SIGHT IS ON: %lld probes, %lld connections, %lld requests read, %lld "
		       "connections not followed; of %lld that are over nothing was seen of "
		       "%lld\n",
		       (long long)cli_int(sight, "probes"),
		       (long long)cli_int(sight, "connections"),
		       (long long)cli_int(sight, "requests"),
		       (long long)cli_int(sight, "unfollowed"),
		       (long long)cli_int(sight, "streams"), (long long)cli_int(sight, "unseen"));
	cJSON_ArrayForEach (e, cJSON_GetObjectItemCaseSensitive(s, "counters"))
		if (e->valuedouble > 0 && strcmp(e->string, "denied"))
			printf("trouble   %s: %.0f\n", e->string, e->valuedouble);
	cJSON_Delete(s);
	return bad;
}

int cmd_reload(int argc, char **argv)
{
	static const struct option longs[] = { { "control", 1, NULL, 'c' }, { NULL, 0, NULL, 0 } };
	const char *control = FENCE_CONTROL_PATH;
	static char text[FENCE_CONTROL_REPLY];
	int c, err;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c != 'c')
			return 2;
		control = optarg;
	}
	err = fence_control_ask(control, FENCE_OP_RELOAD, NULL, 0, text, sizeof(text));
	if (err < 0) {
		fprintf(stderr, "crmfence: the policy in force stays: %s\n",
			*text ? text : strerror(-err));
		return 2;
	}
	printf("policy \"%s\" is in force\n", text);
	return 0;
}

static int help(FILE *out)
{
	size_t i;

	fprintf(out, "usage: crmfence COMMAND ...\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].what);
	fprintf(out, "Listings take --json, --since, --until, --last, --db. Exit status: 0 fine, 1 "
		     "the answer is no, 2 could not do it.\n");
	return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		return help(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		return help(stdout);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "crmfence: no command \"%s\"\n", argv[1]);
	return help(stderr);
}
