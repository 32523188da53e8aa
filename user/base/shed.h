/* SPDX-License-Identifier: Apache-2.0 */
/* What a forked child gives up before it does what it is for. */
#ifndef FENCE_BASE_SHED_H
#define FENCE_BASE_SHED_H

#include <stddef.h>

#define FENCE_SHED_FD 3
#define FENCE_SHED_MOST 4

/*
 * Become nobody (65534, no groups, no capabilities, none to be had by exec), with the name `name`
 * and, of descriptors, the standard ones and the `n` of `keep`, which are FENCE_SHED_FD and the
 * next from now on. 0, or -errno: then the child is to end.
 */
int fence_shed(const int *keep, size_t n, const char *name);

#endif
