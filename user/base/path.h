/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that somebody else may have a hand in. */
#ifndef FENCE_BASE_PATH_H
#define FENCE_BASE_PATH_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"

/* No "//", no component "." or "..": the text says where it leads, but for symbolic links. */
int fence_path_is_plain(const char *path);

/*
 * What an absolute path leads to, as an O_PATH descriptor (the caller's to close). Of symbolic
 * links those count that root alone can have made: they are root's, in a directory that is root's
 * and his to write. Negative: errno; -EPERM: on the way is a link of somebody else's.
 */
int fence_path_open(const char *path);

/*
 * The same, whoever made the links. `turner`: whose links on the way are not root's, 0: nobody's,
 * FENCE_PATH_ANYBODY: more than one user's, or in a directory that others can write.
 */
#define FENCE_PATH_ANYBODY (~0u)
int fence_path_follow(const char *path, uint32_t *turner);

/*
 * Which mounts are a user's own: file systems that a program of his answers for (FUSE), as slowly
 * as it likes, or never. As the mounts are when it is asked first.
 */
struct fence_mounts {
	struct fence_buf text; /* of mountinfo(5) */
	uint64_t id[16];
	uint32_t owner[16];
	uint8_t users[16];
	unsigned int n;
	uint8_t bad; /* mountinfo(5) cannot be read: each may be a user's */
	uint32_t user; /* whose the last one was that was a user's; ~0: nobody knows */
};

#define FENCE_MOUNTS_MAX (1u << 20) /* bytes of mountinfo(5) */
#define AUTO_MOUNTS __attribute__((cleanup(fence_mounts_done)))
void fence_mounts_done(struct fence_mounts *m);
/* `user`: whose, ~0: nobody knows. 1 also where it is not there. */
int fence_mount_is_users(const char *mountinfo, uint64_t mount, uint32_t *user);

/*
 * As fence_path_open, but -EAGAIN when a user's own file system is on the way; NULL: it is waited
 * for. `flags`: FENCE_PATH_LINKS: whoever made the links; FENCE_PATH_ITSELF: of a link at its end,
 * the link.
 */
#define FENCE_PATH_LINKS 0x1
#define FENCE_PATH_ITSELF 0x2
int fence_path_now(const char *path, int flags, struct fence_mounts *m);

/* fence_path_now(path, FENCE_PATH_LINKS) of the name `leaf` in `dir`, quickly where it is known. */
int fence_path_leads(int dir, const char *leaf, const char *path, struct fence_mounts *m);

/*
 * May nobody but `owner` and root put something else at a name in the directory `fd`, or above it?
 * `sticky`: at a name that is there.
 */
int fence_path_kept(int fd, uid_t owner, int sticky);

/*
 * Is what is at a path, or that nothing is, root's doing alone: the file, links, directories,
 * mounts? 0 also where it cannot be told.
 */
int fence_path_is_roots(const char *path, struct fence_mounts *m);

/*
 * Device (major << 20 | minor, as the superblock has it, which stat(2) does not tell of every file
 * system) and inode of an open file. Negative: they cannot be told.
 */
int fence_path_id(int fd, uint32_t *dev, uint64_t *ino);

/*
 * A regular file, for reading, and what it is; whatever else is there is not even opened. The
 * descriptor is the caller's; negative: errno, -EINVAL: it is none. The file system may make it
 * wait.
 */
int fence_path_regular(const char *path, struct stat *st);

#endif
