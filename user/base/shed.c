// SPDX-License-Identifier: Apache-2.0
#include "base/shed.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NOBODY 65534

int fence_shed(const int *keep, size_t n, const char *name)
{
	int at[FENCE_SHED_MOST];
	size_t i;

	if (n > FENCE_SHED_MOST)
		return -E2BIG;
	for (i = 0; i < n; i++) { /* out of each other's way first */
		at[i] = fcntl(keep[i], F_DUPFD, FENCE_SHED_FD + FENCE_SHED_MOST);
		if (at[i] < 0)
			return -errno;
	}
	for (i = 0; i < n; i++)
		if (dup2(at[i], FENCE_SHED_FD + (int)i) < 0)
			return -errno;
	if (close_range(FENCE_SHED_FD + (unsigned int)n, ~0u, 0) || setgroups(0, NULL) ||
	    setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY) ||
	    prctl(PR_SET_NAME, name) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return 0;
}
