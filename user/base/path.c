// SPDX-License-Identifier: Apache-2.0
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LINKS_MAX 40 /* as the kernel's */

int fence_path_is_plain(const char *path)
{
	const char *last = strrchr(path, '/');

	return !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../") &&
	       !(last && (!strcmp(last, "/.") || !strcmp(last, "/..")));
}

/* Who can turn a link of `link` in a directory `above`; 0: root alone. */
static uint32_t turner_of(const struct stat *link, const struct stat *above)
{
	if (above->st_mode & 022 && !(above->st_mode & S_ISVTX))
		return FENCE_PATH_ANYBODY;
	if (link->st_uid && above->st_uid && link->st_uid != above->st_uid)
		return FENCE_PATH_ANYBODY;
	return link->st_uid ? link->st_uid : above->st_uid;
}

/* The link `fd` in the directory `dir`: what it says, in `text`. `turner` NULL: root's alone. */
static int read_link(int dir, int fd, const struct stat *link, uint32_t *turner, char *text,
		     size_t size)
{
	struct stat above;
	uint32_t by;
	ssize_t n;

	if (fstat(dir, &above))
		return -errno;
	if (!turner && (link->st_uid || above.st_uid || above.st_mode & 022))
		return -EPERM;
	by = turner_of(link, &above);
	if (turner && by)
		*turner = *turner && *turner != by ? FENCE_PATH_ANYBODY : by;
	n = readlinkat(fd, "", text, size);
	if (n < 0)
		return -errno;
	if (n == (ssize_t)size)
		return -ENAMETOOLONG;
	text[n] = 0;
	return 0;
}

/* What is left becomes what the link says, and then that. */
static int put_before(char *rest, size_t size, const char *text)
{
	char whole[2 * PATH_MAX + 2];
	int n = snprintf(whole, sizeof(whole), "%s/%s", text, rest);

	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	memcpy(rest, whole, (size_t)n + 1);
	return 0;
}

struct walk {
	int dir; /* owned: where it stands */
	int links;
	int flags; /* FENCE_PATH_* */
	struct fence_mounts *mounts; /* NULL: it may be waited for any file system */
	uint32_t *turner; /* NULL: links of others than root end it */
	char rest[PATH_MAX]; /* from there */
};

/* Behind the next space; NULL: there is none in the line. */
static const char *field(const char *at, const char *end)
{
	at = at ? memchr(at, ' ', (size_t)(end - at)) : NULL;
	return at ? at + 1 : NULL;
}

/* "... - type source options": of who mounted it the source is chosen, too. */
int fence_mount_is_users(const char *mountinfo, uint64_t mount, uint32_t *user)
{
	const char *line = mountinfo, *kind, *option, *end;

	*user = ~0u;
	while (line && strtoull(line, NULL, 10) != mount) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	end = line ? line + strcspn(line, "\n") : NULL;
	kind = line ? strstr(line, " - ") : NULL;
	if (!kind || kind + 3 > end)
		return 1; /* made since, or none that we see */
	kind += 3;
	if (strncmp(kind, "fuse", 4))
		return 0;
	for (option = field(field(kind, end), end); option; option = option ? option + 1 : NULL) {
		if (!strncmp(option, "user_id=", 8)) {
			*user = (uint32_t)strtoul(option + 8, NULL, 10);
			return *user != 0;
		}
		option = memchr(option, ',', (size_t)(end - option));
	}
	return 1;
}

void fence_mounts_done(struct fence_mounts *m)
{
	fence_buf_done(&m->text);
}

static int is_users(struct fence_mounts *m, uint64_t mount)
{
	const size_t most = ARRAY_SIZE(m->id);
	unsigned int i;

	for (i = 0; i < m->n && i < most && m->id[i] != mount; i++)
		;
	if (i == m->n || i == most) {
		if (!m->text.len && !m->bad &&
		    fence_buf_read_file(&m->text, "/proc/self/mountinfo", FENCE_MOUNTS_MAX))
			m->bad = 1; /* a part of it says nothing of the rest */
		i = m->n++ % most;
		m->id[i] = mount;
		m->owner[i] = ~0u;
		m->users[i] = m->bad ||
			      fence_mount_is_users(fence_buf_text(&m->text), mount, &m->owner[i]);
	}
	m->user = m->users[i] ? m->owner[i] : m->user;
	return m->users[i];
}

/* What was opened. -EAGAIN: who asks it might have to wait. */
static int look_at(const struct walk *w, int fd, struct stat *st)
{
	struct statx x;

	if (!w->mounts)
		return fstat(fd, st) ? -errno : 0;
	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		  STATX_MNT_ID | STATX_TYPE, &x))
		return -errno;
	if (!(x.stx_mask & STATX_MNT_ID) || is_users(w->mounts, x.stx_mnt_id))
		return -EAGAIN;
	return fstat(fd, st) ? -errno : 0;
}

/* The next component of what is left. 1: there was none. */
static int step(struct walk *w)
{
	AUTO_FD int fd = -1;
	char text[PATH_MAX];
	struct stat st;
	size_t skip, n;
	int err;

	if (w->rest[0] == '/') {
		fd = w->dir;
		w->dir = open("/", O_PATH | O_CLOEXEC);
		skip = strspn(w->rest, "/");
		memmove(w->rest, w->rest + skip, strlen(w->rest + skip) + 1);
		return w->dir < 0 ? -errno : 0;
	}
	n = strcspn(w->rest, "/");
	if (!n)
		return 1;
	memcpy(text, w->rest, n);
	text[n] = 0;
	skip = n + strspn(w->rest + n, "/");
	memmove(w->rest, w->rest + skip, strlen(w->rest + skip) + 1);
	fd = openat(w->dir, text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = look_at(w, fd, &st);
	if (err)
		return err;
	if (!S_ISLNK(st.st_mode) || (w->flags & FENCE_PATH_ITSELF && !w->rest[0])) {
		close(w->dir);
		w->dir = TAKE_FD(fd);
		return 0;
	}
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	err = read_link(w->dir, fd, &st, w->turner, text, sizeof(text));
	return err ? err : put_before(w->rest, sizeof(w->rest), text);
}

static int follow(const char *path, uint32_t *turner, int flags, struct fence_mounts *mounts)
{
	struct walk w = { .dir = -1, .turner = turner, .flags = flags, .mounts = mounts };
	int err;

	if (path[0] != '/')
		return -EINVAL;
	if (snprintf(w.rest, sizeof(w.rest), "%s", path) >= (int)sizeof(w.rest))
		return -ENAMETOOLONG;
	do
		err = step(&w);
	while (!err);
	if (err > 0)
		return w.dir;
	if (w.dir >= 0)
		close(w.dir);
	return err;
}

int fence_path_open(const char *path)
{
	return follow(path, NULL, 0, NULL);
}

int fence_path_now(const char *path, int flags, struct fence_mounts *m)
{
	uint32_t turner = 0;

	return follow(path, flags & FENCE_PATH_LINKS ? &turner : NULL, flags, m);
}

int fence_path_follow(const char *path, uint32_t *turner)
{
	*turner = 0;
	return follow(path, turner, 0, NULL);
}

int fence_path_kept(int fd, uid_t owner, int sticky)
{
	AUTO_FD int at = openat(fd, ".", O_PATH | O_CLOEXEC);
	AUTO_FD int root = open("/", O_PATH | O_CLOEXEC);
	struct stat st, top;
	int up;

	if (at < 0 || root < 0 || fstat(root, &top))
		return 0;
	for (;;) {
		if (fstat(at, &st) || (st.st_uid && st.st_uid != owner) ||
		    (st.st_mode & 022 && !(sticky && st.st_mode & S_ISVTX)))
			return 0;
		if (st.st_ino == top.st_ino && st.st_dev == top.st_dev)
			return 1;
		up = openat(at, "..", O_PATH | O_CLOEXEC);
		close(at);
		at = up;
		if (at < 0)
			return 0;
	}
}

int fence_path_leads(int dir, const char *leaf, const char *path, struct fence_mounts *m)
{
	static const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
					     .resolve = RESOLVE_CACHED };
	int fd = (int)syscall(SYS_openat2, dir, leaf, &how, sizeof(how));
	struct statx x;

	if (fd < 0)
		return errno == EAGAIN ? fence_path_now(path, FENCE_PATH_LINKS, m) : -errno;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &x) ||
	    !(x.stx_mask & STATX_MNT_ID) || is_users(m, x.stx_mnt_id)) {
		close(fd);
		return -EAGAIN;
	}
	return fd;
}

/* Nothing is at `path`: whose is the directory in which it could be made? */
static int is_roots_to_make(const char *path, struct fence_mounts *m)
{
	char at[PATH_MAX];
	int fd = -ENOENT, is;

	if (snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at))
		return 0;
	while (fd == -ENOENT && strrchr(at, '/')) {
		*strrchr(at, '/') = 0;
		fd = fence_path_now(at[0] ? at : "/", 0, m);
	}
	is = fd >= 0 && fence_path_kept(fd, 0, 0);
	if (fd >= 0)
		close(fd);
	return is;
}

int fence_path_is_roots(const char *path, struct fence_mounts *m)
{
	AUTO_FD int fd = fence_path_now(path, 0, m);
	AUTO_FD int dir = -1;
	char link[32], real[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fd == -ENOENT)
		return is_roots_to_make(path, m);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid || st.st_mode & 022)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, real, sizeof(real) - 1);
	if (n <= 0 || real[0] != '/')
		return 0;
	real[n] = 0;
	*(strrchr(real, '/') == real ? real + 1 : strrchr(real, '/')) = 0;
	dir = fence_path_now(real, 0, m);
	return dir >= 0 && fence_path_kept(dir, 0, 0);
}

/* The device of a mount, by its number. */
static int device_of(uint64_t mount, uint32_t *dev)
{
	AUTO_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	unsigned long long id;
	unsigned int major, minor;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0)
		if (sscanf(line, "%llu %*u %u:%u", &id, &major, &minor) == 3 && id == mount) {
			*dev = major << 20 | minor;
			return 0;
		}
	return -ENOENT;
}

int fence_path_id(int fd, uint32_t *dev, uint64_t *ino)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &st))
		return -errno;
	*ino = st.stx_ino;
	return st.stx_mask & STATX_MNT_ID ? device_of(st.stx_mnt_id, dev) : -ENODATA;
}

int fence_path_regular(const char *path, struct stat *st)
{
	AUTO_FD int at = open(path, O_PATH | O_CLOEXEC);
	char link[32];
	int fd;

	if (at < 0 || fstat(at, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
