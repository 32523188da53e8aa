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
	static struct fence_entry batch[2000];
	struct fence_log *log = argc == 3 ? fence_log_new(argv[1]) : NULL;
	struct fence_diag d = { 0 };
	struct timespec a, b;
	char body[200];
	double s;

	if (rows <= 0 || !log || fence_log_write(log, NULL, 0, &d) < 0) {
		fprintf(stderr, "usage: lograte FILE ROWS %s\n", d.text);
		return 2;
	}
	memset(body, 'x', sizeof(body));
	body[0] = '{';
	body[sizeof(body) - 1] = '}';
	for (i = 0; i < 2000; i++)
		batch[i] = (struct fence_entry){ .ts = 1795910400000000000LL,
						 .kind = "flow",
						 .body = body,
						 .len = sizeof(body) };
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < rows; i += 2000)
		if (fence_log_write(log, batch, rows - i < 2000 ? (size_t)(rows - i) : 2000, &d) <
		    0)
			return 1;
	fence_log_free(log, 1);
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%ld rows in %.2f s: %.0f a second, %.0f ns each\n", rows, s, (double)rows / s,
	       s * 1e9 / (double)rows);
	return 0;
}
