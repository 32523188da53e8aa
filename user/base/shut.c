// SPDX-License-Identifier: Apache-2.0
#include "base/shut.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

/* As systemd's ProtectSystem=full, and what it leaves to others. /opt and homes are not in it. */
static const char *const shut[] = {
	"/etc", /* resolvers, timers, units, device rules, profiles, logins */
	"/usr", /* programs and libraries that services of root's run */
	"/bin",
	"/sbin",
	"/lib",
	"/lib32",
	"/lib64",
	"/libx32",
	"/usr/local", /* these two again: they may be file systems of their own */
	"/boot", /* the kernel, its first file system, its command line */
	"/boot/efi",
	"/efi",
	"/run", /* units, device rules, resolvers, of this boot; /run/user stays open */
	"/var/spool", /* crontabs, at jobs, mail to be sent */
	"/var/lib/systemd", /* timers' stamps, lingering users, machines */
	"/var/lib/NetworkManager", /* connections' state: resolvers, routes */
	"/var/lib/dhcp", /* leases: resolvers, routes */
	"/var/lib/dhcpcd",
	"/var/lib/connman",
	"/var/lib/cloud", /* scripts of the next boot */
	"/var/lib/dpkg", /* scripts of the next update */
	"/var/lib/rpm",
	"/var/lib/apt",
	"/var/lib/crmfence", /* the agent's log */
};

int fence_path_below(const char *path, const char *above)
{
	size_t n = strlen(above);

	return !strncmp(path, above, n) && (!path[n] || path[n] == '/');
}

/* Is `path` on the file system of, and in, what one of the table's first `n` rows leads to? */
static int shut_before(const char *path, size_t n)
{
	struct stat st, above;
	char real[PATH_MAX];
	size_t i;

	if (stat(path, &st))
		return 1;
	for (i = 0; i < n; i++)
		if (realpath(shut[i], real) && fence_path_below(path, real) &&
		    !stat(real, &above) && above.st_dev == st.st_dev)
			return 1;
	return 0;
}

int fence_shut_each(int (*each)(void *ctx, const char *path), void *ctx)
{
	char real[PATH_MAX], *leaf;
	size_t i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(shut); i++)
		if (realpath(shut[i], real) && real[1] && !shut_before(real, i))
			err = each(ctx, real);
	if (err || !realpath(FENCE_RESOLV, real))
		return err;
	leaf = strrchr(real, '/');
	*leaf = 0;
	return leaf == real || shut_before(real, ARRAY_SIZE(shut)) ? 0 : each(ctx, real);
}

struct above {
	int (*each)(void *ctx, const char *path);
	void *ctx;
};

static int above_one(void *ctx, const char *path)
{
	const struct above *a = ctx;
	char room[PATH_MAX], *cut;
	int err = 0;

	snprintf(room, sizeof(room), "%s", path);
	for (cut = strchr(room + 1, '/'); !err && cut; cut = strchr(cut + 1, '/')) {
		*cut = 0;
		err = a->each(a->ctx, room);
		*cut = '/';
	}
	return err;
}

int fence_shut_above(int (*each)(void *ctx, const char *path), void *ctx)
{
	struct above a = { each, ctx };

	return fence_shut_each(above_one, &a);
}

/* systemd-resolved keeps its file as a user of its own. By the file: the agent may ask no service.
 */
static int is_resolved(uid_t uid)
{
	AUTO_FILE FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *user;

	while (f && (user = fgetpwent(f)))
		if (user->pw_uid == uid && !strcmp(user->pw_name, "systemd-resolve"))
			return 1;
	return 0;
}

static int is_trusted(const struct stat *st)
{
	mode_t others = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) ? 0 : S_IWOTH;

	if (st->st_gid) /* a group of root's is root */
		others |= S_IWGRP;
	return (!st->st_uid || is_resolved(st->st_uid)) && !(st->st_mode & others);
}

int fence_path_others(const char *path, char *why, size_t size)
{
	char above[PATH_MAX], *cut;
	struct stat st;

	snprintf(above, sizeof(above), "%s", path);
	*why = 0;
	do { /* each name on the way: a link in a directory of somebody's leads where he likes */
		if (!lstat(above, &st) && S_ISLNK(st.st_mode) && st.st_uid)
			snprintf(why, size, "%s", above);
		else if (!access(above, F_OK))
			fence_path_trusted(above, why, size);
		cut = strrchr(above, '/');
		if (cut)
			*cut = 0;
	} while (!*why && cut && cut > above);
	return *why != 0;
}

int fence_path_trusted(const char *path, char *why, size_t size)
{
	char real[PATH_MAX], *cut;
	struct stat st;

	*why = 0;
	if (!realpath(path, real))
		return 0;
	do {
		if (stat(real[0] ? real : "/", &st) || !is_trusted(&st)) {
			snprintf(why, size, "%s", real[0] ? real : "/");
			return 0;
		}
		cut = strrchr(real, '/');
		if (cut)
			*cut = 0;
	} while (cut);
	return 1;
}
