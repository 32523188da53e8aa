// SPDX-License-Identifier: Apache-2.0
/*
 * Root's own mounts. What a session must not write as root is mounted read-only, for it and all
 * that descend from it: the kernel's switches (/sys, /proc but for processes, and every other mount
 * of such file systems), what something outside the session obeys (base/shut.h), and devices, of
 * which a handful is left. CAP_SYS_ADMIN goes right afterwards; in a user namespace of the
 * session's own these mounts are locked, flags too. "/" is read-only as well, for a name in it
 * stands for such a directory; what else it has are mounts of their own, writable as before.
 *
 * As copies on top of what was there: who is here already, by its working directory or a
 * descriptor, would still stand on the old ones, so both are looked up again.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <crmfence/shut.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/shut.h"
#include "cli/cli.h"

/* MS_PRIVATE and MS_SLAVE of sys/mount.h, which does not go with linux/mount.h. */
#define PRIVATE (1u << 18)
#define SLAVE (1u << 19)
#define KEPT_MAX 200 /* what stands in "/", directories of "write", 16 by the policy, devices */

/* A tree as it was, to be put back on top. */
struct kept {
	char *path; /* owned */
	int fd; /* owned */
};

struct mounts {
	struct kept kept[KEPT_MAX];
	size_t nkept, nput; /* the first ones are back */
	const char *at; /* where it went wrong */
};

static int set_mount(int dir, const char *path, unsigned int flags, uint64_t set, uint64_t clear,
		     uint64_t propagation)
{
	struct mount_attr a = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

	return syscall(SYS_mount_setattr, dir, path, flags, &a, sizeof(a)) ? -errno : 0;
}

/* A copy of what is mounted at `path` and below, attached nowhere. Its fd. */
static int copy_tree(const char *path)
{
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path,
			      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	return fd < 0 ? -errno : fd;
}

static int put_tree(int fd, const char *path)
{
	return syscall(SYS_move_mount, fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) ? -errno
											: 0;
}

/* What is at `path` and below can only be read; mounts that come outside do not come here. */
static int shut_tree(void *ctx, const char *path)
{
	struct mounts *m = ctx;
	AUTO_FD int fd = copy_tree(path);
	int err = fd < 0 ? fd : 0;

	m->at = path;
	if (!err)
		err = set_mount(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0,
				PRIVATE);
	return err ? err : put_tree(fd, path);
}

static int keep_tree(struct mounts *m, const char *path)
{
	struct kept *k = &m->kept[m->nkept];

	if (m->nkept == KEPT_MAX)
		return -E2BIG;
	m->at = path;
	k->fd = copy_tree(path);
	if (k->fd < 0)
		return k->fd == -ENOENT ? 0 : k->fd;
	m->nkept++;
	k->path = strdup(path);
	return k->path ? 0 : -ENOMEM;
}

static int is_below(void *ctx, const char *shut)
{
	return fence_path_below(ctx, shut);
}

/* A directory of "write" in what is to be shut: it stays, unless it is the kernel's or a device. */
static int keep_writable(void *ctx, const char *path)
{
	AUTO_FD int fd = fence_path_open(path);
	char link[32], real[PATH_MAX];
	struct statfs fs;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fd < 0 || !realpath(link, real) || statfs(real, &fs) ||
	    (__u32)fs.f_type == FENCE_PROC_MAGIC || fence_is_switches((__u32)fs.f_type) ||
	    fence_path_below(real, "/dev") || !fence_shut_each(is_below, real))
		return 0;
	return keep_tree(ctx, real);
}

static int put_back(struct mounts *m)
{
	int err = 0;

	for (; !err && m->nput < m->nkept; m->nput++) {
		m->at = m->kept[m->nput].path;
		err = put_tree(m->kept[m->nput].fd, m->kept[m->nput].path);
	}
	return err;
}

/* Not yet the root of a mount, and not kept yet. */
static int is_plain(const struct mounts *m, const char *path)
{
	struct statx st;
	size_t i;

	for (i = 0; i < m->nkept; i++)
		if (!strcmp(m->kept[i].path, path))
			return 0;
	return !statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MODE, &st) &&
	       S_ISDIR(st.stx_mode) && !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int keep_plain(void *ctx, const char *path)
{
	return is_plain(ctx, path) ? keep_tree(ctx, path) : 0;
}

/*
 * "/" itself: /bin may be a link, and who moves /var makes another one. So no name in it is made or
 * moved, nor a directory above one that is shut; as mounts of their own the directories go on.
 */
static int shut_names(struct mounts *m)
{
	static char path[PATH_MAX];
	DIR *d = opendir("/");
	struct dirent *e;
	int err = d ? 0 : -errno;

	m->at = "/";
	while (d && !err && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/%s", e->d_name);
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			err = keep_plain(m, path);
	}
	if (d)
		closedir(d);
	if (!err)
		err = fence_shut_above(keep_plain, m);
	if (!err)
		err = set_mount(AT_FDCWD, "/", 0, MOUNT_ATTR_RDONLY, 0, 0);
	return err ? err : put_back(m);
}

/* "\040" and the like, as mountinfo writes them. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++)
		if (s[0] == '\\' && isdigit(s[1]) && isdigit(s[2]) && isdigit(s[3])) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	*to = 0;
}

/* By name: to ask each mount what it is could wait for a server that is gone. */
static int is_switches(const char *type)
{
	static const char *const types[] = {
		"sysfs",    "cgroup", "cgroup2",     "debugfs", "tracefs", "securityfs", "configfs",
		"efivarfs", "bpf",    "binfmt_misc", "pstore",	"resctrl", "selinuxfs",	 "smackfs",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types) && strcmp(types[i], type); i++)
		;
	return i < ARRAY_SIZE(types);
}

/* Every mount of the kernel's switches, wherever: what is hidden below another is out of reach. */
static int shut_switches(struct mounts *m)
{
	AUTO_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	static char where[PATH_MAX];
	char type[32], *rest;
	size_t size = 0;
	int err = f ? 0 : -errno;

	m->at = "/proc/self/mountinfo";
	while (f && !err && getline(&line, &size, f) > 0) {
		rest = strstr(line, " - ");
		if (!rest || sscanf(line, "%*u %*u %*s %*s %4095s", where) != 1 ||
		    sscanf(rest, " - %31s", type) != 1)
			continue;
		unescape(where);
		m->at = where;
		if (is_switches(type) || (!strcmp(type, "proc") && strcmp(where, "/proc")))
			err = set_mount(AT_FDCWD, where, 0, MOUNT_ATTR_RDONLY, 0, PRIVATE);
		if (err == -EINVAL || err == -ENOENT) /* it has been mounted over */
			err = 0;
	}
	return err;
}

/* Of /proc, whatever is no process: directories, and files that somebody may write. */
static int shut_proc(struct mounts *m)
{
	static char path[PATH_MAX];
	DIR *d = opendir("/proc");
	struct dirent *e;
	struct stat st;
	int err = d ? 0 : -errno;

	while (d && !err && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s", e->d_name);
		if (e->d_name[0] == '.' || isdigit((unsigned char)e->d_name[0]) ||
		    lstat(path, &st) || S_ISLNK(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode) || st.st_mode & 0222)
			err = shut_tree(m, path);
	}
	if (d)
		closedir(d);
	return err;
}

/*
 * Devices. Everywhere else none can be opened. Sound is the tools' own; ptmx belongs beside its
 * pts, so it is made, or, where root may not (a container), it is the link that pts has one for.
 */
static const struct {
	const char *name;
	unsigned int major, minor; /* 0: a directory, or a link, as it is */
} devices[] = {
	{ "null", 1, 3 },    { "zero", 1, 5 },	 { "full", 1, 7 },   { "random", 1, 8 },
	{ "urandom", 1, 9 }, { "tty", 5, 0 },	 { "ptmx", 5, 2 },   { "console", 5, 1 },
	{ "pts", 0, 0 },     { "shm", 0, 0 },	 { "snd", 0, 0 },    { "fd", 0, 0 },
	{ "stdin", 0, 0 },   { "stdout", 0, 0 }, { "stderr", 0, 0 }, { "log", 0, 0 },
};

/* A device, socket or directory of the old /dev as it is there; nodev may have come over it. */
static int keep_device(struct mounts *m, int dev, const char *name, mode_t mode)
{
	size_t before = m->nkept;
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/dev/%s", name);
	err = keep_tree(m, path);
	if (!err && m->nkept == before)
		return 0; /* it went meanwhile */
	if (!err)
		err = set_mount(m->kept[m->nkept - 1].fd, "", AT_EMPTY_PATH | AT_RECURSIVE, 0,
				MOUNT_ATTR_NODEV, PRIVATE);
	if (err)
		return err;
	if (S_ISDIR(mode))
		return mkdirat(dev, name, 0755) ? -errno : 0;
	fd = openat(dev, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : close(fd);
}

static int add_device(struct mounts *m, int dev, size_t i)
{
	char path[64], to[PATH_MAX];
	const char *name = devices[i].name;
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/dev/%s", name);
	if (lstat(path, &st))
		return 0;
	m->at = path;
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, to, sizeof(to) - 1);
		to[n < 0 ? 0 : n] = 0;
		return symlinkat(to, dev, name) ? -errno : 0;
	}
	if (devices[i].major && S_ISCHR(st.st_mode) &&
	    !mknodat(dev, name, st.st_mode, makedev(devices[i].major, devices[i].minor)))
		return fchownat(dev, name, st.st_uid, st.st_gid, 0) ? -errno : 0;
	if (!strcmp(name, "ptmx"))
		return symlinkat("pts/ptmx", dev, name) ? -errno : 0;
	return keep_device(m, dev, name, st.st_mode);
}

/* A /dev of its own, read-only. */
static int make_dev(struct mounts *m)
{
	AUTO_FD int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), dev = -1;
	mode_t mask = umask(0);
	size_t i;
	int err = 0;

	m->at = "/dev";
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0755", 0) ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	dev = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID);
	if (dev < 0)
		return -errno;
	for (i = 0; !err && i < ARRAY_SIZE(devices); i++)
		err = add_device(m, dev, i);
	umask(mask);
	if (!err)
		err = put_tree(dev, "/dev");
	return err ? err : set_mount(dev, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, PRIVATE);
}

/*
 * A descriptor of 0 to 2 on a file that can now only be read: by /proc/self/fd it could be opened
 * again as it was. Who reads goes on at the same place; who was to write there is told.
 */
static int renew_standard(int fd)
{
	char link[32], path[PATH_MAX];
	AUTO_FD int fresh = -1;
	struct stat old, st;
	struct statvfs fs;
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	if (flags < 0 || fstat(fd, &old) || !S_ISREG(old.st_mode))
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = 0;
	if (stat(path, &st) || st.st_ino != old.st_ino || st.st_dev != old.st_dev)
		return old.st_nlink ? -EROFS : 0; /* by another name it may be what is shut */
	if (statvfs(path, &fs) || !(fs.f_flag & ST_RDONLY))
		return 0;
	if ((flags & O_ACCMODE) != O_RDONLY)
		return -EROFS;
	fresh = open(path, O_RDONLY | O_CLOEXEC | (flags & O_NONBLOCK));
	if (fresh < 0)
		return -errno;
	lseek(fresh, lseek(fd, 0, SEEK_CUR), SEEK_SET);
	return dup2(fresh, fd) < 0 ? -errno : 0;
}

static int stand_here(struct mounts *m, const char *cwd)
{
	static const char *const names[] = { "standard input", "standard output",
					     "standard error" };
	int fd, err = 0;

	m->at = cwd;
	if (chdir(cwd))
		return -errno;
	for (fd = 0; !err && fd < 3; fd++) {
		m->at = names[fd];
		err = renew_standard(fd);
	}
	return err;
}

static int build(struct mounts *m, const char *write)
{
	static char cwd[PATH_MAX];
	int err;

	m->at = "the working directory";
	if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/')
		return cwd[0] ? -EXDEV : -errno; /* not below the root of this process */
	m->at = "a mount namespace";
	if (unshare(CLONE_NEWNS))
		return -errno;
	m->at = "/"; /* of a chroot: EINVAL, and what is outside it would stay as it is */
	err = set_mount(AT_FDCWD, "/", AT_RECURSIVE, MOUNT_ATTR_NODEV, 0, SLAVE);
	if (!err)
		err = shut_names(m);
	if (!err)
		err = cli_write_each(write, keep_writable, m);
	if (!err && !access("/run/user", F_OK))
		err = keep_tree(m, "/run/user");
	if (!err)
		err = fence_shut_each(shut_tree, m);
	if (!err)
		err = shut_switches(m);
	if (!err)
		err = shut_proc(m);
	if (!err)
		err = make_dev(m);
	if (!err)
		err = put_back(m);
	return err ? err : stand_here(m, cwd);
}

int cli_close_mounts(const char *write)
{
	static struct mounts m;
	char what[PATH_MAX + 64];
	size_t i;
	int err = build(&m, write);

	for (i = 0; i < m.nkept; i++) {
		close(m.kept[i].fd);
		free(m.kept[i].path);
	}
	if (!err)
		return 0;
	snprintf(what, sizeof(what), "%s, as root's session is to have it", m.at);
	return cli_close_failed(what, -err);
}
