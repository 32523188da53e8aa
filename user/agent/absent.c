// SPDX-License-Identifier: Apache-2.0
/*
 * Was there a file at the path of a Unix socket that a session was refused? In tier B the program
 * refuses a name before the kernel looks it up; where nothing is at it the kernel would have said
 * so, and nothing was refused. Every program of glibc's asks for /var/run/nscd/socket.
 *
 * That it was not there is proved, not guessed: the path is walked as the process had it, and no
 * directory that was asked has changed since before the attempt. What cannot be proved was there:
 * a process that is gone, a name that is no absolute path, mounts that a user made, a directory
 * that changed meanwhile, a file system that somebody answers for (FUSE, a network's), whose
 * answer the agent would have to wait for.
 *
 * The same again is counted by the programs and told a second later, when the process may be gone,
 * and a loop of short commands asks for the same path each time: the directories are kept open for
 * a while, and looked at again. They hold the mount, so that its id stays its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"

#define DIRS 10 /* asked on the way to one path */
#define LINKS 8
#define TARGET 512 /* bytes of a symbolic link, and of what is left of the path behind it */
#define KEPT 64 /* paths at which nothing was; of DIRS descriptors each */
#define LOOKS 200 /* a second; what is beyond is told without */
#define MOUNTS (256u << 10) /* bytes of /proc/PID/mountinfo */
#define VIEWS 64 /* sessions whose mounts are held */
#define KEEP_NS 3000000000ULL
#define SLACK_NS 50000000LL /* a file's times are those of the last tick */

struct walk {
	int dir[DIRS]; /* owned; every directory that was asked */
	unsigned int ndirs;
	unsigned int up[DIRS], depth; /* of them, those on the way to where the walk is */
	int mounts; /* borrowed: mountinfo */
	uint64_t mount; /* of the last directory; its file system answers at once */
	char left[2 * TARGET]; /* of the path */
	unsigned int links;
};

struct absent {
	uint64_t time; /* boot time of the first attempt; 0: free */
	uint64_t asked; /* boot time: of the last */
	uint32_t root; /* id of the mount that is the root */
	char path[FENCE_UNIX_MAX];
	struct walk walk;
};

struct absences {
	struct absent kept[KEPT];
	unsigned int at, looks;
	uint64_t second; /* boot time at which `looks` began */
};

static void walk_done(struct walk *w)
{
	while (w->ndirs)
		close(w->dir[--w->ndirs]);
}

static int mounts_read(int fd, struct fence_buf *b)
{
	char piece[4096];
	ssize_t n = lseek(fd, 0, SEEK_SET);

	while (!n || b->len) {
		n = read(fd, piece, sizeof(piece));
		if (n <= 0 || b->len > MOUNTS)
			return n;
		fence_buf_add(b, piece, (size_t)n);
	}
	return (int)n;
}

/* Is it of a file system of the kernel's own, on a disk or in memory? */
static int fs_answers(int mounts, uint64_t mount)
{
	static const char *const kinds[] = { "ext2", "ext3",	 "ext4",    "xfs",	"btrfs",
					     "f2fs", "bcachefs", "zfs",	    "tmpfs",	"ramfs",
					     "vfat", "devtmpfs", "overlay", "squashfs", "erofs" };
	AUTO_BUF struct fence_buf b = { 0 };
	char *line, *next, *kind;
	size_t i;

	if (mounts_read(mounts, &b))
		return 0;
	for (line = b.data; line && strtoull(line, NULL, 10) != mount; line = next)
		next = (next = strchr(line, '\n')) ? next + 1 : NULL;
	kind = line ? strstr(line, " - ") : NULL;
	if (!kind || (strchr(line, '\n') && kind > strchr(line, '\n')))
		return 0;
	kind += 3;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strncmp(kind, kinds[i], strlen(kinds[i])) && kind[strlen(kinds[i])] == ' ')
			return 1;
	return 0;
}

static int fd_stat(int fd, struct statx *x)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		     STATX_TYPE | STATX_CTIME | STATX_MNT_ID, x);
}

static int is_older(const struct statx *x, int64_t wall)
{
	return (int64_t)x->stx_ctime.tv_sec * 1000000000 + x->stx_ctime.tv_nsec < wall - SLACK_NS;
}

/* Go on from this directory; takes the descriptor. -1: what it says would prove nothing. */
static int walk_into(struct walk *w, int fd, const struct statx *x, int64_t wall)
{
	if (w->ndirs == DIRS || w->depth == DIRS) {
		close(fd);
		return -1;
	}
	w->up[w->depth++] = w->ndirs;
	w->dir[w->ndirs++] = fd;
	if (!is_older(x, wall) ||
	    (x->stx_mnt_id != w->mount && !fs_answers(w->mounts, x->stx_mnt_id)))
		return -1;
	w->mount = x->stx_mnt_id;
	return 0;
}

static int walk_link(struct walk *w, int fd)
{
	char target[TARGET + 1], rest[2 * TARGET];
	ssize_t n = readlinkat(fd, "", target, TARGET);

	if (n <= 0 || n == TARGET || ++w->links > LINKS)
		return -1;
	target[n] = 0;
	memcpy(rest, w->left, sizeof(rest));
	if (snprintf(w->left, sizeof(w->left), "%s/%s", target, rest) >= (int)sizeof(w->left))
		return -1;
	if (target[0] == '/')
		w->depth = 1;
	return 0;
}

/* One component. 0: on; 1: there is nothing; -1: there is, or it cannot be said. */
static int walk_step(struct walk *w, int64_t wall)
{
	static const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC };
	char name[TARGET];
	struct statx x;
	size_t n, skip = strspn(w->left, "/");
	int fd, r;

	memmove(w->left, w->left + skip, strlen(w->left + skip) + 1);
	n = strcspn(w->left, "/");
	if (!n || n >= sizeof(name))
		return -1;
	memcpy(name, w->left, n);
	name[n] = 0;
	memmove(w->left, w->left + n, strlen(w->left + n) + 1);
	if (!strcmp(name, "."))
		return 0;
	if (!strcmp(name, "..")) {
		w->depth -= w->depth > 1;
		return 0;
	}
	fd = (int)syscall(SYS_openat2, w->dir[w->up[w->depth - 1]], name, &how, sizeof(how));
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 1 : -1;
	if (fd_stat(fd, &x)) {
		close(fd);
		return -1;
	}
	if (S_ISDIR(x.stx_mode))
		return walk_into(w, fd, &x, wall);
	if (S_ISLNK(x.stx_mode))
		r = walk_link(w, fd);
	else /* a file: behind it there is nothing */
		r = w->left[strspn(w->left, "/")] ? 1 : -1;
	close(fd);
	return r;
}

/* From this root, with these mounts; the first is taken. `root`: it has to be that mount's; 0: any.
 */
static int walk_begin(struct walk *w, int fd, int mounts, uint32_t root, int64_t wall)
{
	struct statx x;

	if (fd < 0 || mounts < 0 || fd_stat(fd, &x) || !(x.stx_mask & STATX_MNT_ID) ||
	    (root && (x.stx_mnt_id != root || !(x.stx_attributes & STATX_ATTR_MOUNT_ROOT)))) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	w->mounts = mounts;
	return walk_into(w, fd, &x, wall);
}

static int view_open(uint32_t tgid, const char *what, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", tgid, what);
	return open(path, flags | O_CLOEXEC);
}

/* Has no directory changed? */
static int walk_holds(const struct walk *w, int64_t wall)
{
	struct statx x;
	unsigned int i;

	for (i = 0; i < w->ndirs; i++)
		if (fd_stat(w->dir[i], &x) || !is_older(&x, wall))
			return 0;
	return w->ndirs > 0;
}

/* At last the directories again: one may have changed while the next was asked. */
static int walk_finds_none(struct walk *w, const char *path, int64_t wall)
{
	int r = 0;

	snprintf(w->left, sizeof(w->left), "%s", path);
	while (!r)
		r = walk_step(w, wall);
	return r > 0 && walk_holds(w, wall);
}

static struct absences *absences_get(struct agent *a)
{
	if (!a->absences)
		a->absences = calloc(1, sizeof(*a->absences));
	if (a->absences && a->now - a->absences->second >= 1000000000) {
		a->absences->second = a->now;
		a->absences->looks = 0;
	}
	return a->absences;
}

static void absent_drop(struct absent *one)
{
	walk_done(&one->walk);
	one->time = 0;
}

static struct absent *absent_find(struct absences *all, const struct fence_rec_flow *r)
{
	struct absent *one;

	for (one = all->kept; one < all->kept + KEPT; one++)
		if (one->time && one->root == r->root && strlen(one->path) == r->name_len &&
		    !memcmp(one->path, r->name, r->name_len))
			return one;
	return NULL;
}

/* From this root, which is taken. -1: it is not from where the process stood. */
static int absent_from(struct absent *one, int root, int mounts, uint32_t id, int64_t wall)
{
	if (!walk_begin(&one->walk, root, mounts, id, wall))
		return walk_finds_none(&one->walk, one->path, wall);
	walk_done(&one->walk);
	return -1;
}

static int absent_through(struct absent *one, uint32_t tgid, uint32_t id, int64_t wall)
{
	AUTO_FD int mounts = tgid ? view_open(tgid, "mountinfo", O_RDONLY) : -1;

	return mounts < 0 ? -1
			  : absent_from(one, view_open(tgid, "root", O_PATH | O_DIRECTORY), mounts,
					id, wall);
}

/*
 * From where the process stood: through itself, the session's first process, or the first of all,
 * as long as that has the same root; or as its session began. Root's sessions have mounts of their
 * own by then, which are these made read-only (user/cli/mounts.c), and cannot make others.
 */
static int absent_look(struct agent *a, struct absent *one, const struct fence_rec_flow *r)
{
	const struct agent_session *s = agent_session_find(a, r->session);
	const uint32_t through[] = { r->tgid, s ? s->tgid : 0, 1 };
	int64_t wall = (int64_t)r->h.time + a->wall_offset;
	int found = -1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(through) && found < 0; i++)
		found = absent_through(one, through[i], r->root, wall);
	if (found < 0 && s && s->view[0])
		found = absent_from(one, fcntl(s->view[0], F_DUPFD_CLOEXEC, 0), s->view[1],
				    a->policy->monitor || r->uid ? r->root : 0, wall);
	return found > 0;
}

void agent_view_take(struct agent *a, struct agent_session *s)
{
	AUTO_FD int root = view_open(s->tgid, "root", O_PATH | O_DIRECTORY);
	AUTO_FD int mounts = view_open(s->tgid, "mountinfo", O_RDONLY); /* holds the namespace */

	if (a->views == VIEWS || root < 0 || mounts < 0)
		return;
	s->view[0] = TAKE_FD(root);
	s->view[1] = TAKE_FD(mounts);
	a->views++;
}

void agent_view_drop(struct agent *a, struct agent_session *s)
{
	if (!s->view[0])
		return;
	close(s->view[0]);
	close(s->view[1]);
	s->view[0] = 0;
	a->views--;
}

int agent_unix_absent(struct agent *a, const struct fence_rec_flow *r)
{
	struct absences *all;
	struct absent *one;

	if (r->facts.at != FENCE_AT_UNIX || r->reason != FENCE_R_UNIX || !r->root || !r->name_len ||
	    r->name_len >= FENCE_UNIX_MAX || r->name[0] != '/')
		return 0;
	all = absences_get(a);
	if (!all)
		return 0;
	one = absent_find(all, r);
	if (one && r->h.time < one->time) /* records come in no order */
		one->time = r->h.time;
	if (one && walk_holds(&one->walk, (int64_t)one->time + a->wall_offset)) {
		one->asked = a->now;
		return 1;
	}
	if (all->looks++ >= LOOKS)
		return 0;
	if (!one)
		one = &all->kept[all->at++ % KEPT];
	absent_drop(one);
	memset(one, 0, sizeof(*one));
	one->root = r->root;
	snprintf(one->path, sizeof(one->path), "%.*s", r->name_len, r->name);
	if (!absent_look(a, one, r)) {
		absent_drop(one);
		return 0;
	}
	one->time = r->h.time;
	one->asked = a->now;
	return 1;
}

void agent_absent_turn(struct agent *a)
{
	struct absent *one;

	for (one = a->absences ? a->absences->kept : NULL; one && one < a->absences->kept + KEPT;
	     one++)
		if (one->time && a->now - one->asked > KEEP_NS)
			absent_drop(one);
}

void agent_absent_done(struct agent *a)
{
	struct absent *one;

	for (one = a->absences ? a->absences->kept : NULL; one && one < a->absences->kept + KEPT;
	     one++)
		absent_drop(one);
	free(a->absences);
	a->absences = NULL;
}
