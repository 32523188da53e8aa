// SPDX-License-Identifier: Apache-2.0
/* What every listing shares. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/cli.h"

/* "10m", "2h", "1d" ago, or a local time "2026-01-31 12:00". Nanoseconds since 1970. */
static int parse_when(const char *text, int64_t *out)
{
	struct tm tm = { .tm_isdst = -1 };
	char *end;
	long n = strtol(text, &end, 10), unit = 0;

	if (n > 0 && end[0] && !end[1])
		unit = *end == 's'   ? 1
		       : *end == 'm' ? 60
		       : *end == 'h' ? 3600
		       : *end == 'd' ? 86400
				     : 0;
	if (unit) {
		*out = ((int64_t)time(NULL) - (int64_t)n * unit) * 1000000000;
		return 0;
	}
	end = strptime(
		text, strchr(text, ' ') || strchr(text, 'T') ? "%Y-%m-%d%n%H:%M" : "%Y-%m-%d", &tm);
	if (!end || *end)
		return -EINVAL;
	*out = (int64_t)mktime(&tm) * 1000000000;
	return 0;
}

/* Is what was given of use to the command? Its usage names what it takes. */
static int is_taken(const char *usage, const char *option)
{
	char name[16];

	snprintf(name, sizeof(name), "--%s", option);
	if (strstr(usage, name))
		return 1;
	fprintf(stderr, "crmfence: %.*s takes no %s\n", (int)strcspn(usage, " ["), usage, name);
	return 0;
}

/* Operands stand before the options, in capitals. */
static int takes_operand(const char *usage)
{
	return strcspn(usage, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") < strcspn(usage, "[");
}

int cli_list_options(int argc, char **argv, const char *usage, struct cli_list *l)
{
	static const struct option longs[] = {
		{ "db", 1, NULL, 'd' },	   { "json", 0, NULL, 'j' }, { "since", 1, NULL, 's' },
		{ "until", 1, NULL, 'u' }, { "last", 1, NULL, 'n' }, { NULL, 0, NULL, 0 },
	};
	int c, at, bad = 0;

	memset(l, 0, sizeof(*l));
	l->db = CLI_DB;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, &at)) != -1) {
		bad |= c == '?' || !is_taken(usage, longs[at].name);
		if (c == 'd')
			l->db = optarg;
		else if (c == 'j')
			l->json = 1;
		else if (c == 's')
			bad |= parse_when(optarg, &l->q.since);
		else if (c == 'u')
			bad |= parse_when(optarg, &l->q.until);
		else if (c == 'n')
			bad |= (l->q.last = atol(optarg)) <= 0;
	}
	if (optind < argc && !takes_operand(usage)) {
		fprintf(stderr, "crmfence: what is \"%s\"?\n", argv[optind]);
		bad = 1;
	}
	while (optind < argc && l->nrest < (int)ARRAY_SIZE(l->rest))
		l->rest[l->nrest++] = argv[optind++];
	if (!bad && optind == argc) {
		if (fence_log_cut(l->db))
			fprintf(stderr,
				"crmfence: %s is a copy without its -wal: rows may be missing "
				"behind its last; `crmfence log copy` makes a whole one\n",
				l->db);
		return 0;
	}
	fprintf(stderr, "usage: crmfence %s\n", usage);
	if (strstr(usage, "--since"))
		fprintf(stderr, "  --since, --until: 10m, 2h, 1d ago, or 2026-01-31 [12:00]\n");
	return 2;
}

void cli_json_row(const struct fence_row *row)
{
	printf("{\"id\":%lld,\"kind\":\"%s\",\"ts\":%lld%s%s\n", (long long)row->seq, row->kind,
	       (long long)(row->ts / 1000), strcmp(row->body, "{}") ? "," : "", row->body + 1);
}

const char *cli_str(const cJSON *body, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(body, key);

	return cJSON_IsString(v) ? fence_text_plain(v->valuestring) : "";
}

int64_t cli_int(const cJSON *body, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(body, key);

	return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

static cJSON *processes; /* exec id -> body; lives as long as the command */

void cli_learn(const cJSON *body)
{
	if (!processes)
		processes = cJSON_CreateObject();
	if (!cJSON_GetObjectItemCaseSensitive(processes, cli_str(body, "exec")))
		cJSON_AddItemToObject(processes, cli_str(body, "exec"), cJSON_Duplicate(body, 1));
}

const cJSON *cli_process(const char *exec)
{
	return cJSON_GetObjectItemCaseSensitive(processes, exec);
}

const char *cli_program(const char *exec)
{
	const char *path = cli_str(cli_process(exec), "exe"), *slash = strrchr(path, '/');

	return slash ? slash + 1 : *path ? path : "?";
}

int cli_colour(void)
{
	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
}

const char *cli_clock(int64_t us, char out[32])
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, 32, "%d %H:%M:%S", &tm);
	return out;
}

const char *cli_amount(int64_t octets, char out[16])
{
	static const char units[] = " kMGT";
	double v = (double)octets;
	size_t u = 0;

	while (v >= 1000 && u < sizeof(units) - 2) {
		v /= 1000;
		u++;
	}
	if (u)
		snprintf(out, 16, "%.1f%c", v, units[u]);
	else
		snprintf(out, 16, "%lld", (long long)octets);
	return out;
}

int cli_fail(const struct fence_diag *d)
{
	char line[FENCE_DIAG_LINE];

	fprintf(stderr, "crmfence: %s\n", fence_diag_line(d, line, sizeof(line)));
	return 2;
}
