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
#include <sys/sysmacros.h>
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
static void read_first(int fd, struct fence_exe *e, struct fence_mounts *mounts)
{
	char first[257], link[32], *at;
	ssize_t n = pread(fd, first, sizeof(first) - 1, 0);
	int there;

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
	there = fence_path_now(at, FENCE_PATH_LINKS, mounts);
	if (there < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", there);
	n = readlink(link, e->interpreter, sizeof(e->interpreter) - 1);
	e->interpreter[n < 0 ? 0 : n] = 0;
	close(there);
}

/* Where it leads, as a descriptor that reads nothing. */
static int look_path(const char *path, struct fence_exe *e, uint32_t *turner)
{
	int fd = fence_path_follow(path, turner);
	char link[32];
	ssize_t n;

	fence_path_others(path, e->others, sizeof(e->others));
	if (fd < 0)
		return fd;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, e->real, sizeof(e->real));
	if (n < 0 || n == (ssize_t)sizeof(e->real)) {
		e->real[0] = 0;
		close(fd);
		return n < 0 ? -errno : -ENAMETOOLONG;
	}
	e->real[n] = 0;
	return fd;
}

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Its bytes: only of a regular file, which opening does nothing to. */
static void look_inside(int fd, struct fence_exe *e, struct fence_mounts *mounts)
{
	char link[32];
	AUTO_FD int in = -1;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	in = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (in >= 0)
		read_first(in, e, mounts);
	else
		e->kind = FENCE_EXE_UNREAD;
}

static int is_one(const char *name, const char *const *patterns)
{
	size_t i;

	for (i = 0; patterns[i]; i++)
		if (!fnmatch(patterns[i], name, 0))
			return 1;
	return 0;
}

static const char *broad_leaf(const char *leaf)
{
	static const char *const heart[] = {
		"init",		  "systemd",	    "systemd-*", "dbus-daemon", "dbus-broker*",
		"login",	  "sshd",	    "sshd-*",	 "sudo",	"su",
		"doas",		  "pkexec",	    "cron",	 "crond",	"agetty",
		"Xorg",		  "Xwayland",	    "gdm*",	 "sddm*",	"lightdm*",
		"gnome-shell",	  "gnome-session*", "kwin_*",	 "plasmashell", "xfce4-session",
		"NetworkManager", "udevd",	    "polkitd",	 "snapd",	"snap-confine",
		"bwrap",	  "containerd*",    "dockerd",	 NULL
	};
	static const char *const shells[] = { "sh",	 "bash",   "dash", "rbash", "zsh",
					      "fish",	 "ksh*",   "mksh", "tcsh",  "csh",
					      "busybox", "toybox", NULL };
	static const char *const interpreters[] = { "env",
						    "python",
						    "python[0-9]*",
						    "platform-python*",
						    "pypy*",
						    "perl",
						    "perl[0-9]*",
						    "ruby",
						    "ruby[0-9]*",
						    "node",
						    "nodejs",
						    "java",
						    "php",
						    "php[0-9]*",
						    "lua*",
						    "tclsh*",
						    "wine*",
						    "mono",
						    "dotnet",
						    "electron",
						    "electron[0-9]*",
						    "gjs",
						    "gjs-console",
						    "deno",
						    "bun",
						    NULL };
	static const char *const starters[] = { "snap",	      "flatpak",	  "mise",  "asdf",
						"volta-shim", "rustup",		  "pyenv", "uv",
						"coreutils",  "AppImageLauncher", NULL };

	return is_one(leaf, heart)	    ? "a part of the system itself"
	       : is_one(leaf, shells)	    ? "a shell: every user's scripts and terminals"
	       : is_one(leaf, interpreters) ? "an interpreter: every program that is written for it"
	       : is_one(leaf, starters)	    ? "what starts many programs"
					    : NULL;
}

static void put_name(struct fence_exe *e, size_t *used, const char *dir, const char *leaf)
{
	size_t n = strlen(dir) + 1 + strlen(leaf) + 1;

	if (*used + n + 1 > sizeof(e->names))
		return;
	snprintf(e->names + *used, n, "%s/%s", dir, leaf);
	*used += n;
}

/* What a name of those directories leads to; with `mounts` no user's own file system is asked. */
static int name_is(int dir, const char *name, const char *leaf, struct stat *st,
		   struct fence_mounts *mounts)
{
	AUTO_FD int fd = -1;

	if (!mounts)
		return fstatat(dir, leaf, st, 0);
	if (fstatat(dir, leaf, st, AT_SYMLINK_NOFOLLOW))
		return -1;
	if (!S_ISLNK(st->st_mode))
		return 0;
	fd = fence_path_leads(dir, leaf, name, mounts);
	return fd < 0 || fstat(fd, st);
}

/* Names of the file among those that programs are started by. */
static void look_names(const char *path, struct fence_exe *e, struct fence_mounts *mounts)
{
	char name[PATH_MAX];
	size_t i, used = 0;
	struct dirent *f;
	struct stat st;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		DIR *d = opendir(dirs[i]);

		while (d && (f = readdir(d))) {
			snprintf(name, sizeof(name), "%s/%s", dirs[i], f->d_name);
			if (f->d_name[0] == '.' ||
			    name_is(dirfd(d), name, f->d_name, &st, mounts) ||
			    st.st_dev != e->dev || st.st_ino != e->ino || !S_ISREG(st.st_mode))
				continue;
			put_name(e, &used, dirs[i], f->d_name);
			if (!e->broad[0] && strcmp(name, path) && broad_leaf(f->d_name))
				snprintf(e->broad, sizeof(e->broad), "%s", broad_leaf(f->d_name));
		}
		if (d)
			closedir(d);
	}
}

static void look(const char *path, struct fence_exe *e, struct fence_mounts *mounts)
{
	AUTO_FD int fd = -1;
	uint32_t turner = 0;
	struct stat st;
	uint64_t ino;

	memset(e, 0, sizeof(*e));
	fd = look_path(path, e, &turner);
	if (fd < 0 || fstat(fd, &st)) {
		e->err = fd < 0 ? -fd : errno;
		return;
	}
	e->kind = FENCE_EXE_OTHER;
	e->foreign = turner && st.st_uid != turner;
	e->dev = st.st_dev;
	e->ino = st.st_ino;
	e->ctime = ns_of(&st.st_ctim);
	e->mtime = ns_of(&st.st_mtim);
	if (!S_ISREG(st.st_mode))
		return;
	/* where stat(2) has another device than the superblock (btrfs, overlays), an inode's number
	   is of a part of it */
	e->unique = !fence_path_id(fd, &e->kernel_dev, &ino) && ino == e->ino &&
		    e->kernel_dev == (major(e->dev) << 20 | minor(e->dev));
	if (strcmp(path, e->real) && broad_leaf(strrchr(e->real, '/') + 1))
		snprintf(e->broad, sizeof(e->broad), "%s", broad_leaf(strrchr(e->real, '/') + 1));
	if (st.st_mode & 0111) {
		look_inside(fd, e, mounts);
		look_names(path, e, mounts);
	}
}

void fence_exe_look(const char *path, struct fence_exe *e)
{
	look(path, e, NULL);
}

void fence_exe_look_now(const char *path, struct fence_exe *e)
{
	AUTO_MOUNTS struct fence_mounts mounts = { 0 };

	look(path, e, &mounts);
}

int fence_exe_script(const struct fence_exe *e)
{
	return e->kind == FENCE_EXE_SCRIPT || e->kind == FENCE_EXE_UNREAD;
}

const char *fence_exe_name(const struct fence_exe *e, const char *last)
{
	const char *next = last ? last + strlen(last) + 1 : e->names;

	return *next ? next : NULL;
}

int fence_exe_same(const struct fence_exe *a, const struct fence_exe *b)
{
	return a->kind == b->kind && a->err == b->err && a->foreign == b->foreign &&
	       a->unique == b->unique && a->ino == b->ino && a->dev == b->dev &&
	       a->kernel_dev == b->kernel_dev && a->ctime == b->ctime &&
	       !strcmp(a->real, b->real) && !strcmp(a->others, b->others) &&
	       !strcmp(a->broad, b->broad) && !memcmp(a->names, b->names, sizeof(a->names)) &&
	       !strcmp(a->interpreter, b->interpreter);
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

/* Where the system's own programs are: the same name elsewhere is somebody's copy. */
static int is_systems(const char *path, size_t dir)
{
	static const char *const places[] = {
		"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/lib",
	};
	static const char *const below[] = { "/usr/libexec/",	  "/usr/lib/jvm/",
					     "/usr/lib/xorg/",	  "/usr/lib/polkit-1/",
					     "/usr/lib/snapd/",	  "/usr/lib/openssh/",
					     "/usr/lib/electron", "/usr/lib/systemd/",
					     "/lib/systemd/" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(below); i++)
		if (!strncmp(path, below[i], strlen(below[i])))
			return 1;
	for (i = 0; i < ARRAY_SIZE(places); i++)
		if (dir == strlen(places[i]) && !strncmp(path, places[i], dir))
			return 1;
	return 0;
}

const char *fence_exe_broad(const char *path)
{
	const char *leaf = strrchr(path, '/');

	return leaf && is_systems(path, (size_t)(leaf - path)) ? broad_leaf(leaf + 1) : NULL;
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
		"docker-aaaa.scope",
		"libpod-aaaa.scope",
		"run-aaaa.scope",
		"run-u1.service",
		"dbus-:1.2-org.aaaa@0.service",
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
