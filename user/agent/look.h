/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files are looked into for a TLS stack by a process that has nothing: nobody's, with a handful of
 * system calls, a file at a time and ten seconds for it. What is in a file that anybody may have
 * made, or that is cut short meanwhile, ends that process at worst; another one goes on, also
 * beside one that cannot be ended, since the kernel waits for its file system. The agent asks and
 * goes on, and hears of it later.
 */
#ifndef FENCE_AGENT_LOOK_H
#define FENCE_AGENT_LOOK_H

#include <stdint.h>

#include "agent/offsets.h"
#include "tls/find.h"

struct look;

struct look_answer {
	uint32_t id; /* as asked */
	int32_t err; /* of fence_tls_find; -EIO: the process did not live through it */
	int known; /* it was among those that look_start() was given */
	struct fence_tls_points points;
};

/*
 * Before anything is there to be inherited. Files among `known` are only held against their build
 * id. 0: *ret is owned by the caller; or -errno.
 */
int look_start(const struct offsets *known, struct look **ret);
void look_stop(struct look *l); /* NULL is fine; nobody waits */

/*
 * Ask about the open file `fd`, which is `file`. 0; -EAGAIN: too much is asked already; -EPIPE: the
 * processes were ended by somebody, and there will be no others; -errno.
 */
int look_ask(struct look *l, int fd, const struct offsets_file *file, uint32_t id);

/* The next answer, in the order of the questions. 1, or 0: none waits. */
int look_next(struct look *l, struct look_answer *out);
int look_fd(const struct look *l); /* readable when an answer waits; -1: there will be none */
unsigned int look_asked(const struct look *l); /* without an answer yet */

#endif
