/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crmfence: one file a command, one row a command in main.c. Exit status: 0 fine, 1 the answer is
 * no, 2 could not do it.
 */
#ifndef FENCE_CLI_H
#define FENCE_CLI_H

#include <stdint.h>

#include <cjson/cJSON.h>

#include "store/log.h"

#define CLI_DB "/var/lib/crmfence/egress.db"

/* What listings take. */
struct cli_list {
	const char *db;
	int json;
	struct fence_query_log q;
	const char *rest[4]; /* arguments that are no option */
	int nrest;
};

int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_sessions(int argc, char **argv);
int cmd_flows(int argc, char **argv);
int cmd_requests(int argc, char **argv);
int cmd_alerts(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_tail(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_join(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/*
 * list.c: --db, --json, --since, --until, --last, and operands: those that `usage` names, the rest
 * is refused. 0, or 2 after the usage line was printed. Says when the log is a copy without its
 * -wal.
 */
int cli_list_options(int argc, char **argv, const char *usage, struct cli_list *l);

/* A row as one JSON object a line: the body with "id", "kind" and "ts" in front. */
void cli_json_row(const struct fence_row *row);

/* Members of a parsed body; "" and 0 when absent. Strings are borrowed. */
const char *cli_str(const cJSON *body, const char *key);
int64_t cli_int(const cJSON *body, const char *key);

/*
 * Last part of the path of program `exec`, remembered from the "process" rows that cli_learn has
 * seen.
 */
void cli_learn(const cJSON *body);
const cJSON *cli_process(const char *exec);
const char *cli_program(const char *exec);

/* closure.c: close what is no network for this process and all that descend from it. */
struct cli_closing {
	int abstract; /* abstract Unix sockets are left to the kernel programs */
	int unshared; /* those do not see payload on shared pages: there are to be none */
	char *write; /* lines of FENCE_CONTROL_WRITE, taken apart on the way; NULL: files stay open
		      */
};

int cli_close_session(const struct cli_closing *c); /* 0, or negative; the line was printed */
int cli_close_failed(const char *what, int err); /* prints that line; -err */

/* Each directory of "write", "~" resolved. Ends with, and returns, what is not 0. `write` may be
 * NULL. */
int cli_write_each(const char *write, int (*each)(void *ctx, const char *path), void *ctx);

/* mounts.c: root's own mounts, in which what is a whole way out can only be read. */
int cli_close_mounts(const char *write); /* 0, or negative; the line was printed */

/*
 * standard.c: is something in descriptors 0 to 2 that a session may not have? Each is told: 0 as an
 * error, 1 as a warning where nothing is enforced; -1 tells nothing.
 */
int cli_standard_check(int watched);

/* browser.c. Each difference between what is installed below `root` and what should be. */
struct fence_policy;
typedef void cli_drift(void *ctx, const char *browser, const char *why, const char *remedy);
void cli_browser_drift(const struct fence_policy *p, const char *root, cli_drift *each, void *ctx);
int cli_policy_browser(const struct fence_policy *p, int argc,
		       char **argv); /* -EINVAL: usage; else an exit status */

/*
 * matches.c. Each executable of the policy's with which something is amiss on this machine: `path`
 * in the policy, why, and what to do.
 */
typedef void cli_match_amiss(void *ctx, const char *tool, const char *path, const char *why,
			     const char *remedy);
void cli_matches(const struct fence_policy *p, cli_match_amiss *each, void *ctx);

int cli_colour(void);
const char *cli_clock(int64_t us,
		      char out[32]); /* day of the month and local time; us since 1970 */
const char *cli_amount(int64_t octets, char out[16]);
int cli_fail(const struct fence_diag *d); /* print, return 2 */

#endif
