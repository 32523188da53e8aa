// SPDX-License-Identifier: Apache-2.0
/* lograte FILE ROWS: append rows of a flow's size, 2000 a transaction, and print rows a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/log.h"

int main(int argc, char **argv)
{
	long rows = argc == 3 ? atol(argv[2]) : 0, i;
	struct fence_log *log = NULL;
	struct fence_diag d = { 0 };
	struct timespec a, b;
	char body[200];
	double s;

	if (rows <= 0 || fence_log_open(argv[1], &log, &d) < 0) {
		fprintf(stderr, "usage: lograte FILE ROWS %s\n", d.text);
		return 2;
	}
	memset(body, 'x', sizeof(body));
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 1; i <= rows; i++) {
		if (fence_log_append(log, "flow", body, sizeof(body)) < 0)
			return 1;
		if (i % 2000 == 0 && fence_log_commit(log) < 0)
			return 1;
	}
	fence_log_close(log);
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%ld rows in %.2f s: %.0f a second, %.0f ns each\n", rows, s, (double)rows / s,
	       s * 1e9 / (double)rows);
	return 0;
}
