// SPDX-License-Identifier: Apache-2.0
/*
 * exec --tool T -- CMD ARGS: this very process becomes the session's first and then the program, so
 * that terminal, signals and exit status are the program's own. What it gives up
 * on the way stands in closure.c.
 *
 * join --tool T PID: a process that runs already; the agent does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "ipc/control.h"

/* What exec and join both take. 0, or -EINVAL. */
static int options(int argc, char **argv, const char *shorts, const char **tool,
		   const char **control)
{
	static const struct option longs[] = { { "tool", 1, NULL, 't' },
					       { "control", 1, NULL, 'c' },
					       { NULL, 0, NULL, 0 } };
	int c;

	*tool = NULL;
	*control = FENCE_CONTROL_PATH;
	optind = 1;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 't')
			*tool = optarg;
		else if (c == 'c')
			*control = optarg;
		else
			return -EINVAL;
	}
	return *tool ? 0 : -EINVAL;
}

/* Ask the agent; on a refusal its reason stands in `text`, or there is none and it says so here. */
static int ask(const char *control, uint16_t op, const char *tool, uint32_t pid, char *text,
	       const char *consequence)
{
	int err = fence_control_ask(control, op, tool, pid, text, FENCE_CONTROL_REPLY);

	if (!*text && (err == -ECONNREFUSED || err == -ENOENT))
		snprintf(text, FENCE_CONTROL_REPLY,
			 "no agent answers at %s; start one with `sudo crmfence run`. %s", control,
			 consequence);
	if (err < 0)
		fprintf(stderr, "crmfence: %s\n", *text ? text : strerror(-err));
	return err;
}

static int map_file(const char *path)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || access(path, X_OK))
		return -1;
	return mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0;
}

/*
 * Map the program that is to be, until the exec: with TLS sight the agent looks into what a session
 * that begins has mapped, so its probes are there before the program's first instruction. Where
 * that cannot be it hears of the program when it has begun; errors are for execvp() to tell.
 */
static void map_program(const char *name)
{
	const char *dir = strchr(name, '/') ? NULL : getenv("PATH");
	char path[PATH_MAX];
	int len;

	if (!dir) {
		map_file(name);
		return;
	}
	do {
		len = (int)(strchrnul(dir, ':') - dir);
		snprintf(path, sizeof(path), "%.*s/%s", len ? len : 1, len ? dir : ".", name);
	} while (map_file(path) && *(dir += len) && dir++);
}

/* Does the agent only watch? Asked before there is a session, and only where it matters. */
static int is_watched(const char *control)
{
	static char text[FENCE_CONTROL_REPLY];

	return fence_control_ask(control, FENCE_OP_STATUS, NULL, 0, text, sizeof(text)) >= 0 &&
	       strstr(text, "\"mode\":\"monitor\"");
}

int cmd_exec(int argc, char **argv)
{
	static char text[FENCE_CONTROL_REPLY];
	const char *tool, *control;
	struct cli_closing c = { 0 };
	int err, watched;

	if (options(argc, argv, "+", &tool, &control) || optind >= argc) {
		fprintf(stderr, "usage: crmfence exec --tool T [--control PATH] -- COMMAND "
				"[ARGUMENT...]\n");
		return 2;
	}
	if (cli_standard_check(-1)) {
		watched = is_watched(control);
		cli_standard_check(watched);
		if (!watched)
			return 2;
	}
	map_program(argv[optind]);
	if (ask(control, FENCE_OP_CONFINE, tool, 0, text, "Nothing was started") < 0)
		return 2;
	if (strstr(text, FENCE_CONTROL_UNCHECKED))
		fputs("crmfence: this kernel does not check Unix sockets: the session can hand "
		      "data to any program of this machine; see `crmfence doctor`\n",
		      stderr);
	c.write = strstr(text, FENCE_CONTROL_WRITE);
	if (c.write) /* what follows are paths, no flags */
		*c.write++ = 0;
	c.abstract = strstr(text, FENCE_CONTROL_ABSTRACT) != NULL;
	c.unshared = strstr(text, FENCE_CONTROL_SHARING) != NULL;
	if (!strstr(text, FENCE_CONTROL_MONITOR) && cli_close_session(&c) < 0)
		return 2;
	execvp(argv[optind], argv + optind);
	err = errno;
	fprintf(stderr, "crmfence: %s: %s\n", argv[optind], strerror(err));
	return err == ENOENT ? 127 : 126;
}

int cmd_join(int argc, char **argv)
{
	static char text[FENCE_CONTROL_REPLY];
	const char *tool, *control;
	unsigned long pid = 0;
	char *end = NULL;

	if (!options(argc, argv, "", &tool, &control) && optind + 1 == argc)
		pid = strtoul(argv[optind], &end, 10);
	if (!pid || pid > INT_MAX || *end) {
		fprintf(stderr, "usage: crmfence join --tool T [--control PATH] PID\n");
		return 2;
	}
	if (ask(control, FENCE_OP_JOIN, tool, (uint32_t)pid, text, "Nothing was confined") < 0)
		return 2;
	puts(text);
	return 0;
}
