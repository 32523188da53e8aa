/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that somebody else may have a hand in. */
#ifndef FENCE_BASE_PATH_H
#define FENCE_BASE_PATH_H

#include <stdint.h>
#include <sys/stat.h>

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
