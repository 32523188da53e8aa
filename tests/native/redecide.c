// SPDX-License-Identifier: Apache-2.0
/*
 * redecide FILE: each line has eight facts, an action and a reason as the kernel gave them; decide
 * again and compare.
 */
#include <stdio.h>
#include <string.h>

#include "policy/policy.h"

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "re") : NULL;
	char action[32], reason[32];
	unsigned int n[8], rows = 0, differ = 0;

	while (f && fscanf(f, "%u %u %u %u %u %u %u %u %31s %31s", n, n + 1, n + 2, n + 3, n + 4,
			   n + 5, n + 6, n + 7, action, reason) == 10) {
		struct fence_facts x = {
			(uint8_t)n[0], (uint8_t)n[1], (uint8_t)n[2], (uint8_t)n[3],
			(uint8_t)n[4], (uint8_t)n[5], (uint8_t)n[6], (uint8_t)n[7]
		};
		struct fence_verdict v = fence_decide(&x);

		rows++;
		if (strcmp(fence_action_name(v.action), action) ||
		    strcmp(fence_reason_name(v.reason), reason)) {
			differ++;
			printf("row %u: kernel %s %s, here %s %s\n", rows, action, reason,
			       fence_action_name(v.action), fence_reason_name(v.reason));
		}
	}
	if (f)
		fclose(f);
	printf("%u rows, %u differ\n", rows, differ);
	return !rows || differ;
}
