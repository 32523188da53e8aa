// SPDX-License-Identifier: Apache-2.0
#include "base/shed.h"

#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NOBODY 65534

int fence_shed(int keep, const char *name)
{
	if ((keep != FENCE_SHED_FD && dup2(keep, FENCE_SHED_FD) != FENCE_SHED_FD) ||
	    close_range(FENCE_SHED_FD + 1, ~0u, 0) || setgroups(0, NULL) ||
	    setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY) ||
	    prctl(PR_SET_NAME, name) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return 0;
}
