/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to the control socket that have not asked yet. Nobody waits for them, and each user
 * has a share of the places: who calls in vain, or again and again, is in the way of himself. Where
 * there is no place, the oldest of the user with the most goes, root's last; what it has asked by
 * then is answered, else it is told -EBUSY, of which the command line knows that nothing was done.
 */
#ifndef FENCE_AGENT_CALLERS_H
#define FENCE_AGENT_CALLERS_H

#include "ipc/control.h"

#define CALLERS 64 /* places */
#define CALLERS_SHARE 16 /* of one user, at most */

struct callers {
	int ep; /* borrowed: where they are waited for */
	/* What one asks. -EAGAIN: nothing yet; anything else: it is done with. */
	int (*answer)(void *ctx, const struct fence_caller *c);
	void *ctx;
	struct fence_caller at[CALLERS]; /* owned; in the order in which they came */
	unsigned int n;
};

/* The next connection of `listener`, which is readable. */
void callers_accept(struct callers *c, int listener);
void callers_ready(struct callers *c, int fd); /* one of them; another one's `fd` is fine */
void callers_done(struct callers *c);

#endif
