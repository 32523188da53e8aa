// SPDX-License-Identifier: Apache-2.0
#include "base/exe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/shut.h"

/* Where programs are started from by their name alone; root's. */
static const char *const dirs[] = {
	"/usr/local/sbin",
	"/usr/local/bin",
	"/usr/sbin",
	"/usr/bin",
	"/sbin",
	"/bin",
	"/usr/games",
	"/snap/bin",
	"/usr/local/games",
	"/var/lib/flatpak/exports/bin",
};

/* "#!", the interpreter, perhaps one argument. */
static void read_first(int fd, struct fence_exe *e)
{
	char first[257], real[PATH_MAX], *at;
	ssize_t n = pread(fd, first, sizeof(first) - 1, 0);

	first[n < 0 ? 0 : n] = 0;
	e->kind = FENCE_EXE_OTHER;
	if (n >= 4 && !memcmp(first, "\177ELF", 4))
		e->kind = FENCE_EXE_PROGRAM;
	if (n < 3 || first[0] != '#' || first[1] != '!')
		return;
	at = first + 2 + strspn(first + 2, " \t");
	at[strcspn(at, " \t\n")] = 0;
	if (at[0] != '/')
		return;
	e->kind = FENCE_EXE_SCRIPT;
	if (realpath(at, real))
		snprintf(e->interpreter, sizeof(e->interpreter), "%.511s", real);
}

/* Where it is: the text is followed as execve(2) follows it, whoever made the links. */
static int look_path(const char *path, struct fence_exe *e)
{
	char real[PATH_MAX];

	fence_path_others(path, e->others, sizeof(e->others));
	if (!realpath(path, real))
		return -errno;
	if (strlen(real) >= sizeof(e->real))
		return -ENAMETOOLONG;
	memcpy(e->real, real, strlen(real) + 1);
	return 0;
}

static int is_turned(const char *path)
{
	AUTO_FD int fd = fence_path_open(path);

	return fd == -EPERM;
}

void fence_exe_look(const char *path, struct fence_exe *e)
{
	AUTO_FD int fd = -1;
	struct stat st;

	memset(e, 0, sizeof(*e));
	e->err = -look_path(path, e);
	if (e->err)
		return;
	fd = open(e->real, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		e->err = errno;
		return;
	}
	e->kind = FENCE_EXE_OTHER;
	e->foreign = !st.st_uid && is_turned(path);
	e->dev = st.st_dev;
	e->ctime = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
	if (!S_ISREG(st.st_mode))
		return;
	if (fence_path_id(fd, &e->kernel_dev, &e->ino))
		e->ino = 0;
	if (st.st_mode & 0111)
		read_first(fd, e);
}

int fence_exe_same(const struct fence_exe *a, const struct fence_exe *b)
{
	return a->kind == b->kind && a->err == b->err && a->foreign == b->foreign &&
	       a->ino == b->ino && a->dev == b->dev && a->kernel_dev == b->kernel_dev &&
	       a->ctime == b->ctime && !strcmp(a->real, b->real) && !strcmp(a->others, b->others) &&
	       !strcmp(a->interpreter, b->interpreter);
}

static int names_in(const char *dir, const char *path, const struct fence_exe *e,
		    int (*each)(void *ctx, const char *name), void *ctx)
{
	char name[PATH_MAX];
	DIR *d = opendir(dir);
	struct dirent *f;
	struct stat st;
	int err = 0;

	while (d && !err && (f = readdir(d))) {
		if (f->d_name[0] == '.' || fstatat(dirfd(d), f->d_name, &st, 0) ||
		    st.st_dev != e->dev || !S_ISREG(st.st_mode))
			continue;
		snprintf(name, sizeof(name), "%s/%s", dir, f->d_name);
		if (strcmp(name, path) && strcmp(name, e->real) && st.st_ino == e->ino)
			err = each(ctx, name);
	}
	if (d)
		closedir(d);
	return err;
}

int fence_exe_names(const char *path, const struct fence_exe *e,
		    int (*each)(void *ctx, const char *name), void *ctx)
{
	size_t i;
	int err = each(ctx, path);

	if (!err && strcmp(path, e->real))
		err = each(ctx, e->real);
	for (i = 0; !err && e->ino && i < ARRAY_SIZE(dirs); i++)
		err = names_in(dirs[i], path, e, each, ctx);
	return err;
}

uint64_t fence_exe_dirs(void)
{
	uint64_t sum = 0;
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		if (!stat(dirs[i], &st))
			sum = sum * 1000003 + (uint64_t)st.st_mtim.tv_sec * 1000000000 +
			      (uint64_t)st.st_mtim.tv_nsec + st.st_ino;
	return sum;
}

static int is_one(const char *name, const char *const *patterns)
{
	size_t i;

	for (i = 0; patterns[i]; i++)
		if (!fnmatch(patterns[i], name, 0))
			return 1;
	return 0;
}

/* Where the system's own programs are: the same name elsewhere is somebody's copy. */
static int is_systems(const char *path, size_t dir)
{
	static const char *const places[] = {
		"/bin",	    "/sbin",	    "/usr/bin",		"/usr/sbin",	"/usr/local/bin",
		"/usr/lib", "/lib/systemd", "/usr/lib/systemd", "/usr/libexec",
	};
	size_t i;

	if (!strncmp(path, "/usr/lib/jvm/", 13))
		return 1;
	for (i = 0; i < ARRAY_SIZE(places); i++)
		if (dir == strlen(places[i]) && !strncmp(path, places[i], dir))
			return 1;
	return 0;
}

const char *fence_exe_broad(const char *path)
{
	static const char *const heart[] = { "init",
					     "systemd",
					     "systemd-*",
					     "dbus-daemon",
					     "dbus-broker*",
					     "login",
					     "sshd",
					     "sudo",
					     "su",
					     "doas",
					     "pkexec",
					     "cron",
					     "crond",
					     "agetty",
					     "Xorg",
					     "Xwayland",
					     "gdm*",
					     "sddm*",
					     "lightdm*",
					     "gnome-shell",
					     "gnome-session*",
					     "kwin_*",
					     "plasmashell",
					     "xfce4-session",
					     "NetworkManager",
					     "udevd",
					     "polkitd",
					     "snapd",
					     "flatpak",
					     "bwrap",
					     NULL };
	static const char *const shells[] = { "sh",   "bash", "dash", "rbash", "zsh",	  "fish",
					      "ksh*", "mksh", "tcsh", "csh",   "busybox", NULL };
	static const char *const interpreters[] = {
		"env",	"python",     "python[0-9]*", "perl",		"perl[0-9]*",
		"ruby", "ruby[0-9]*", "node",	      "nodejs",		"java",
		"php",	"php[0-9]*",  "lua*",	      "tclsh*",		"wine*",
		"mono", "dotnet",     "electron",     "electron[0-9]*", "gjs",
		NULL
	};
	const char *leaf = strrchr(path, '/');

	if (!leaf || !is_systems(path, (size_t)(leaf - path)))
		return NULL;
	leaf++;
	return is_one(leaf, heart)	    ? "a part of the system itself"
	       : is_one(leaf, shells)	    ? "a shell: every user's scripts and terminals"
	       : is_one(leaf, interpreters) ? "an interpreter: every program that is written for it"
					    : NULL;
}

int fence_exe_browser(const char *path)
{
	static const char *const places[] = { "/bin/",		 "/usr/",
					      "/opt/google/",	 "/opt/microsoft/",
					      "/opt/brave.com/", "/opt/vivaldi/",
					      "/snap/",		 "/var/lib/flatpak/" };
	static const char *const leaves[] = {
		"chrome",   "google-chrome*",  "chromium*", "firefox*",
		"msedge",   "microsoft-edge*", "brave*",    "opera",
		"vivaldi*", "x-www-browser",   NULL
	};
	const char *leaf = strrchr(path, '/');
	size_t i;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		if (!strncmp(path, places[i], strlen(places[i])))
			return is_one(leaf + 1, leaves);
	return 0;
}

const char *fence_unit_broad(const char *unit)
{
	static const char *const heart[] = {
		"-.slice",	    "user.slice",    "user-*.slice",	"user@*.service",
		"system.slice",	    "init.scope",    "app.slice",	"session.slice",
		"background.slice", "machine.slice", "session-*.scope", NULL
	};
	/* a pattern that takes one of these takes what has nothing to do with one tool */
	static const char *const others[] = {
		"user.slice",
		"user-1000.slice",
		"user@1000.service",
		"system.slice",
		"init.scope",
		"app.slice",
		"session-2.scope",
		"aaaa.service",
		"app-aaaa-1.scope",
		"app-aaaa@1.service",
		"app-gnome-aaaa-1.scope",
		"app-flatpak-aaaa-1.scope",
		"snap.aaaa.aaaa-1.scope",
	};
	const char *leaf = strrchr(unit, '/');
	size_t i;

	leaf = leaf ? leaf + 1 : unit;
	if (is_one(leaf, heart))
		return "everything that a user, or the machine, runs";
	for (i = 0; i < ARRAY_SIZE(others); i++)
		if (strchr(leaf, '*') && !fnmatch(leaf, others[i], 0))
			return "a pattern of units that have nothing in common";
	return NULL;
}
