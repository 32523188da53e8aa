/* SPDX-License-Identifier: Apache-2.0 */
/* What a forked child gives up before it does what it is for. */
#ifndef FENCE_BASE_SHED_H
#define FENCE_BASE_SHED_H

#define FENCE_SHED_FD 3

/*
 * Become nobody (65534, no groups, no capabilities, none to be had by exec), with the name `name`
 * and, of descriptors, the standard ones and `keep`, which is FENCE_SHED_FD from now on. 0, or
 * -errno: then the child is to end.
 */
int fence_shed(int keep, const char *name);

#endif
