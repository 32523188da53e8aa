/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are a whole way out for who may write them, which is root: something outside the
 * session obeys what stands there. One table for both who keep a session that runs as root from
 * them: `crmfence exec` by read-only mounts, the agent by the programs of tier A.
 */
#ifndef FENCE_BASE_SHUT_H
#define FENCE_BASE_SHUT_H

#include <stddef.h>

#define FENCE_RESOLV "/etc/resolv.conf"

/*
 * Call for the real path of every directory of the table that is there, each once, and for the one
 * that /etc/resolv.conf really leads to when it lies below none of them. Ends with, and returns,
 * what is not 0.
 */
int fence_shut_each(int (*each)(void *ctx, const char *path), void *ctx);

/*
 * Call for every directory above those, but "/": who moves one puts another in the place of what is
 * below. More than once for some.
 */
int fence_shut_above(int (*each)(void *ctx, const char *path), void *ctx);

/* Is `path` the directory `above`, or below it? */
int fence_path_below(const char *path, const char *above);

/*
 * Is `path` a file that root alone, or systemd's resolver, could have put there: by the owners and
 * modes of the file that it leads to and of every directory above that? `why` gets the first path
 * that is not so, "" when the file is not there.
 */
int fence_path_trusted(const char *path, char *why, size_t size);

/*
 * Can others than these write what an absolute path leads to, or turn a link on the way? 1, with
 * the place in `why`; 0 also when nothing is there.
 */
int fence_path_others(const char *path, char *why, size_t size);

#endif
