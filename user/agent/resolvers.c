// SPDX-License-Identifier: Apache-2.0
/*
 * "resolvers": "system": the nameserver lines of /etc/resolv.conf, as it stands now. Who writes
 * there says who tells addresses for the org's names; so lines are taken of a file only that root
 * alone could have put there. Of another one nothing is taken: the resolvers stay those before.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/shut.h"

#define LINES 1000 /* that are looked at */

static void read_lines(struct agent *a, FILE *f)
{
	char line[512], text[FENCE_ADDR_TEXT];
	int lines = LINES;

	a->nresolvers = 0;
	while (a->nresolvers < ARRAY_SIZE(a->resolvers) && lines-- && fgets(line, sizeof(line), f))
		if (sscanf(line, " nameserver %63[0-9a-fA-F.:]", text) == 1 &&
		    !fence_addr_parse(text, a->resolvers[a->nresolvers]))
			a->nresolvers++;
}

int agent_resolvers_put(struct agent *a, int (*put)(struct agent *a, const uint8_t addr[16]))
{
	AUTO_FD int fd = fence_path_open(FENCE_RESOLV);
	AUTO_FILE FILE *f = NULL;
	char why[FENCE_PATH_MAX], link[32];
	struct stat st;
	size_t i;
	int err = 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fence_path_trusted(FENCE_RESOLV, why, sizeof(why)) && fd == -EPERM)
		snprintf(why, sizeof(why), "a symbolic link on the way");
	if (fd >= 0 && !why[0] && !fstat(fd, &st) && S_ISREG(st.st_mode))
		f = fopen(link, "re");
	if (f) {
		if (!fstat(fileno(f), &st))
			a->resolv = st.st_mtim;
		a->resolv_told = 0;
		read_lines(a, f);
	} else if (why[0] && !a->resolv_told) {
		a->resolv_told = 1;
		agent_tampered(a,
			       "/etc/resolv.conf is not root's alone: its resolvers are not taken",
			       why, 0);
	}
	for (i = 0; !err && i < a->nresolvers; i++)
		err = put(a, a->resolvers[i]);
	return err;
}
