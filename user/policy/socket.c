// SPDX-License-Identifier: Apache-2.0
/* What is there at a Unix name that a policy lists. */
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/policy.h"

#define RUNTIME "/run/user"

/* May nobody but `owner` and root put something else at a name in `dir`, or above it? */
static int is_kept_by(char *dir, uid_t owner)
{
	struct stat st;
	char *slash;

	for (;;) {
		if (stat(*dir ? dir : "/", &st) || (st.st_uid && st.st_uid != owner) ||
		    (st.st_mode & 022 && !(st.st_mode & S_ISVTX)))
			return 0;
		slash = strrchr(dir, '/');
		if (!slash || !*dir)
			return 1;
		*slash = 0;
	}
}

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

const char *fence_unix_amiss(const char *path, uint32_t user)
{
	char name[PATH_MAX], dir[PATH_MAX];
	struct stat st;

	if (path[0] == '@') /* of an abstract name nothing can be looked at */
		return NULL;
	if (strlen(path) >= sizeof(name) || lstat(path, &st))
		return "nothing is there";
	if (S_ISLNK(st.st_mode))
		return "a symbolic link is there";
	if (!S_ISSOCK(st.st_mode))
		return "what is there is no socket";
	if (user != FENCE_UNIX_ANYBODY && st.st_uid && st.st_uid != user)
		return "the socket there is another user's";
	strcpy(name, path);
	if (!realpath(dirname(name), dir) || !is_kept_by(dir, st.st_uid))
		return "others than the socket's user may change its directory";
	return NULL;
}
