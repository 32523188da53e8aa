// SPDX-License-Identifier: Apache-2.0
/* What is there at a Unix name that a policy lists. */
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "policy/policy.h"

#define RUNTIME "/run/user"

int fence_unix_expand(const char *path, fence_unix_path *each, void *ctx)
{
	char full[sizeof(RUNTIME) + FENCE_UNIX_MAX + 32];
	glob_t users;
	size_t i;
	int err = 0;

	if (strncmp(path, "%t/", 3))
		return each(ctx, path, FENCE_UNIX_ANYBODY);
	if (glob(RUNTIME "/*", 0, NULL, &users))
		return 0;
	for (i = 0; !err && i < users.gl_pathc; i++) {
		snprintf(full, sizeof(full), "%.32s/%s", users.gl_pathv[i], path + 3);
		err = each(ctx, full,
			   (uint32_t)strtoul(users.gl_pathv[i] + sizeof(RUNTIME), NULL, 10));
	}
	globfree(&users);
	return err;
}

const char fence_unix_waits[] = "a program of some user answers for its file system";

const char *fence_unix_amiss(const char *path, uint32_t user, struct fence_mounts *m)
{
	static const char nothing[] = "nothing is there";
	char dir[PATH_MAX];
	AUTO_FD int fd = -1;
	AUTO_FD int above = -1;
	struct stat st;

	if (path[0] == '@') /* of an abstract name nothing can be looked at */
		return NULL;
	if (strlen(path) >= sizeof(dir))
		return nothing;
	fd = fence_path_now(path, FENCE_PATH_LINKS | FENCE_PATH_ITSELF, m);
	if (fd == -EAGAIN)
		return fence_unix_waits;
	if (fd < 0 || fstat(fd, &st))
		return nothing;
	if (S_ISLNK(st.st_mode))
		return "a symbolic link is there";
	if (!S_ISSOCK(st.st_mode))
		return "what is there is no socket";
	if (user != FENCE_UNIX_ANYBODY && st.st_uid && st.st_uid != user)
		return "the socket there is another user's";
	strcpy(dir, path);
	above = fence_path_now(dirname(dir), FENCE_PATH_LINKS, m);
	if (above == -EAGAIN)
		return fence_unix_waits;
	if (above < 0 || !fence_path_kept(above, st.st_uid, 1))
		return "others than the socket's user may change its directory";
	return NULL;
}
