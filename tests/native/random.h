/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that a seed decides: xorshift. A run is repeated by its seed. */
#ifndef TESTS_NATIVE_RANDOM_H
#define TESTS_NATIVE_RANDOM_H

#include <stdint.h>

static uint64_t random_state;

static inline void random_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
}

/* 0 .. below - 1 */
static inline uint32_t rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 16) % below);
}

#endif
