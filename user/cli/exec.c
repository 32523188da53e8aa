// SPDX-License-Identifier: Apache-2.0
/*
 * exec --tool T -- CMD ARGS: this very process becomes the session's first and then the program, so
 * that terminal, signals and exit status are the program's own. What it gives up
 * on the way stands in closure.c.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "ipc/control.h"

int cmd_exec(int argc, char **argv)
{
	static const struct option longs[] = { { "tool", 1, NULL, 't' },
					       { "control", 1, NULL, 'c' },
					       { NULL, 0, NULL, 0 } };
	const char *tool = NULL, *control = FENCE_CONTROL_PATH;
	static char text[FENCE_CONTROL_REPLY];
	int c, err;

	optind = 1;
	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (c == 't')
			tool = optarg;
		else if (c == 'c')
			control = optarg;
		else
			return 2;
	}
	if (!tool || optind >= argc) {
		fprintf(stderr, "usage: crmfence exec --tool T [--control PATH] -- COMMAND "
				"[ARGUMENT...]\n");
		return 2;
	}
	err = fence_control_ask(control, FENCE_OP_CONFINE, tool, 0, text, sizeof(text));
	if (!*text && (err == -ECONNREFUSED || err == -ENOENT))
		snprintf(text, sizeof(text),
			 "no agent answers at %s; start one with `sudo crmfence run`. Nothing was "
			 "started",
			 control);
	if (err < 0) {
		fprintf(stderr, "crmfence: %s\n", *text ? text : strerror(-err));
		return 2;
	}
	if (!strstr(text, FENCE_CONTROL_MONITOR) && cli_close_session() < 0)
		return 2;
	execvp(argv[optind], argv + optind);
	err = errno;
	fprintf(stderr, "crmfence: %s: %s\n", argv[optind], strerror(err));
	return err == ENOENT ? 127 : 126;
}
