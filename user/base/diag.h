/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person is told when something is refused: where, what, and the remedy. Library code fills
 * it and returns a negative errno; the program prints it once.
 */
#ifndef FENCE_BASE_DIAG_H
#define FENCE_BASE_DIAG_H

struct fence_diag {
	char file[256];
	unsigned int line, column; /* in `file`, from 1, in characters; 0: nobody said where */
	char path[256]; /* JSON path, "$.tools[0].match"; empty when there is none */
	char value[256]; /* what stands there, fit for a terminal; empty: nothing to show */
	char text[512]; /* a sentence, with its remedy */
};

/*
 * Fill path and text, and return `err` (a negative errno): the place and the value are the caller's
 * to add. Both are made fit for a terminal. `d` may be NULL. `path` may be NULL.
 */
int fence_diag_set(struct fence_diag *d, int err, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define FENCE_DIAG_LINE 1400 /* room for any line */

/* "file:line:column: path = value: sentence" into `out`, without what there is none of. */
const char *fence_diag_line(const struct fence_diag *d, char *out, unsigned long size);

#endif
