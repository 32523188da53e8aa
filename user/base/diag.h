/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person is told when something is refused: where, what, and the remedy. Library code fills
 * it and returns a negative errno; the program prints it once.
 */
#ifndef FENCE_BASE_DIAG_H
#define FENCE_BASE_DIAG_H

struct fence_diag {
	char file[256];
	char path[256]; /* JSON path, "$.tools[0].match"; empty when there is none */
	char text[512]; /* a sentence, with its remedy */
};

/* Fill and return `err` (a negative errno). `d` may be NULL. `path` may be NULL. */
int fence_diag_set(struct fence_diag *d, int err, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* "file: path: sentence" into `out`. */
const char *fence_diag_line(const struct fence_diag *d, char *out, unsigned long size);

#endif
