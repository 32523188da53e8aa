/* SPDX-License-Identifier: Apache-2.0 */
/* Text that somebody else wrote, a character at a time (RFC 3629). */
#ifndef FENCE_BASE_UTF8_H
#define FENCE_BASE_UTF8_H

#include <stddef.h>

#define FENCE_UTF8_BAD 0xfffdu

/* Bytes of the valid sequence that begins at `s`, which has `n`; 0: none does. */
size_t fence_utf8_len(const unsigned char *s, size_t n);

/*
 * The character at *s, which moves behind it. 0: the end, where it stays. FENCE_UTF8_BAD: a byte
 * that begins none.
 */
unsigned int fence_utf8_next(const char **s);

/* Is it one that nobody sees: a control (C0, DEL, C1), of no width, or one that turns the direction
 * of the text around it? */
int fence_utf8_hidden(unsigned int c);

#endif
