/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership that ends with its scope: declare with a cleanup attribute, let go with TAKE_PTR or
 * TAKE_FD.
 */
#ifndef FENCE_BASE_CLEANUP_H
#define FENCE_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void fence_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void fence_cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fence_cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define AUTO_FREE __attribute__((cleanup(fence_cleanup_free)))
#define AUTO_FD __attribute__((cleanup(fence_cleanup_fd)))
#define AUTO_FILE __attribute__((cleanup(fence_cleanup_file)))

#define TAKE_PTR(p) \
	({ \
		__typeof__(p) taken_ = (p); \
		(p) = NULL; \
		taken_; \
	})
#define TAKE_FD(fd) \
	({ \
		int taken_ = (fd); \
		(fd) = -1; \
		taken_; \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
