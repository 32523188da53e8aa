// SPDX-License-Identifier: Apache-2.0
/* policy check|explain|decide|test|browser: without a kernel, and but for --install without root.
 */
#include "policy/policy.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"

static const char usage[] =
	"usage: crmfence policy check FILE\n"
	"       crmfence policy explain FILE [--short]\n"
	"       crmfence policy decide FILE --tool T --host H [--ip A] [--port N] [--proto "
	"tcp|udp] [--json]\n"
	"       crmfence policy test FILE [CASES]     default: FILE with .cases instead of .json\n"
	"       crmfence policy browser FILE [--browser chromium|chrome|edge|firefox] [--root DIR] "
	"[--install|--remove]\n";

static void match_warning(void *ctx, const char *tool, const char *path, const char *why,
			  const char *remedy)
{
	(void)ctx;
	(void)tool;
	printf("warning: %s: on this machine %s: %s\n", path, why, remedy);
}

static int check(const struct fence_policy *p)
{
	char line[FENCE_DIAG_LINE];
	size_t i;

	for (i = 0; i < p->nwarnings; i++)
		printf("warning: %s\n", fence_diag_line(&p->warnings[i], line, sizeof(line)));
	cli_matches(p, match_warning, NULL);
	printf("%s: ok: %zu tools, %zu rules, %zu names, %s\n", p->file, p->ntools, p->nrules,
	       p->nnames, p->monitor ? "monitor" : "enforce");
	return 0;
}

static int explain(const struct fence_policy *p, int is_short)
{
	AUTO_BUF struct fence_buf out = { 0 };

	if (is_short)
		fence_policy_brief(p, &out);
	else
		fence_policy_explain(p, &out);
	fputs(fence_buf_text(&out), stdout);
	return 0;
}

static void decide_json(const struct fence_policy *p, const struct fence_query *q,
			const struct fence_answer_to *a)
{
	AUTO_BUF struct fence_buf out = { 0 };
	struct fence_json j;

	fence_json_init(&j, &out);
	fence_json_open(&j, NULL);
	fence_json_str(&j, "action", fence_action_name(a->verdict.action));
	fence_json_str(&j, "class", fence_host_class_name(a->host_class));
	fence_json_str(&j, "host", a->host);
	fence_json_str(&j, "reason", fence_reason_name(a->verdict.reason));
	if (a->rule != ~0u)
		fence_json_str(&j, "rule", p->rules[a->rule].path);
	fence_json_str(&j, "tool", fence_policy_tool_name(p, q->tool));
	fence_json_close(&j);
	puts(fence_buf_text(&out));
}

static int decide(const struct fence_policy *p, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "tool", 1, NULL, 't' }, { "host", 1, NULL, 'h' },  { "ip", 1, NULL, 'i' },
		{ "port", 1, NULL, 'p' }, { "proto", 1, NULL, 'o' }, { "json", 0, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct fence_query q = { .proto = FENCE_IPPROTO_TCP };
	struct fence_answer_to a;
	const char *tool = NULL;
	int c, json = 0, bad = 0;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 't')
			tool = optarg;
		else if (c == 'h')
			q.host = optarg;
		else if (c == 'i')
			bad |= fence_addr_parse(optarg, q.addr), q.has_addr = 1;
		else if (c == 'p')
			bad |= atol(optarg) < 1 || atol(optarg) > 65535,
				q.port = (uint16_t)atol(optarg);
		else if (c == 'o' && (!strcmp(optarg, "tcp") || !strcmp(optarg, "udp")))
			q.proto = strcmp(optarg, "udp") ? FENCE_IPPROTO_TCP : FENCE_IPPROTO_UDP;
		else if (c == 'j')
			json = 1;
		else
			bad = 1;
	}
	q.tool = tool ? fence_policy_tool(p, tool) : 0;
	if (bad || optind < argc || !tool || (!q.host && !q.has_addr)) {
		fputs(usage, stderr);
		return 2;
	}
	if (!q.tool) {
		fprintf(stderr, "crmfence: %s has no tool \"%s\"\n", p->file, tool);
		return 2;
	}
	fence_policy_decide(p, &q, &a);
	if (json) {
		decide_json(p, &q, &a);
	} else {
		printf("%s  %s: %s\nhost   %s (%s)\nrule   %s\n",
		       fence_action_name(a.verdict.action), fence_reason_name(a.verdict.reason),
		       fence_reason_sentence(a.verdict.reason), a.host,
		       fence_host_class_name(a.host_class),
		       a.rule == ~0u ? "none" : p->rules[a.rule].path);
	}
	return a.verdict.action == FENCE_ALLOW ? 0 : 1;
}

static int test(const struct fence_policy *p, const char *cases)
{
	AUTO_BUF struct fence_buf out = { 0 };
	struct fence_cases_result r;
	struct fence_diag d = { 0 };
	char name[300];
	size_t n;

	if (!cases) {
		n = strlen(p->file);
		if (n > 5 && !strcmp(p->file + n - 5, ".json"))
			n -= 5;
		snprintf(name, sizeof(name), "%.*s.cases", (int)n, p->file);
		cases = name;
	}
	if (fence_policy_cases(p, cases, &r, &out, &d) < 0)
		return cli_fail(&d);
	fputs(fence_buf_text(&out), stdout);
	printf("%u as expected, %u different\n", r.passed, r.failed);
	return r.failed ? 1 : 0;
}

/* What is wrong with a policy, a line each. */
static int refused(const struct fence_policy_errors *e)
{
	AUTO_BUF struct fence_buf out = { 0 };

	fence_policy_errors_text(e, "crmfence: ", &out);
	fprintf(stderr, "crmfence: %s\n", fence_buf_text(&out));
	return 2;
}

int cmd_policy(int argc, char **argv)
{
	static const char *const words[] = { "check", "explain", "decide", "test", "browser" };
	struct fence_policy_errors e;
	struct fence_policy *p = NULL;
	size_t i;
	int r;

	if (argc < 2) {
		fputs(usage, stderr);
		return 2;
	}
	for (i = 0; i < ARRAY_SIZE(words) && strcmp(words[i], argv[1]); i++)
		;
	if (i == ARRAY_SIZE(words))
		fprintf(stderr, "crmfence: policy has no command \"%.40s\"\n", argv[1]);
	if (i == ARRAY_SIZE(words) || argc < 3) {
		fputs(usage, stderr);
		return 2;
	}
	if (fence_policy_read(argv[2], &p, &e) < 0)
		return refused(&e);
	if (!strcmp(argv[1], "check") && argc == 3) {
		r = check(p);
	} else if (!strcmp(argv[1], "explain") &&
		   (argc == 3 || (argc == 4 && !strcmp(argv[3], "--short")))) {
		r = explain(p, argc == 4);
	} else if (!strcmp(argv[1], "decide")) {
		r = decide(p, argc - 2, argv + 2);
	} else if (!strcmp(argv[1], "test") && argc <= 4) {
		r = test(p, argc == 4 ? argv[3] : NULL);
	} else {
		r = strcmp(argv[1], "browser") ? -EINVAL
					       : cli_policy_browser(p, argc - 2, argv + 2);
		if (r < 0) {
			fputs(usage, stderr);
			r = 2;
		}
	}
	fence_policy_free(p);
	return r;
}
