/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * A keyed hash of a text, one octet at a time: SipHash-2-4 (Aumasson and Bernstein, 2012). Pure;
 * shared by BPF and user space.
 *
 * The maps know programs, cgroups, Unix names and extensions by this number, not by their text. Who
 * chooses texts could make two of one number if the hash had no key. The key is random, made by the
 * first agent, and stays in `config` as long as the pins do: who can read it may write our maps
 * too.
 *
 * 2-4, not 1-3: the parameters that were published and analysed, and an exec has about four words
 * to hash. Words are little endian, as every machine is that BPF programs of ours are built for.
 */
#ifndef CRMFENCE_HASH_H
#define CRMFENCE_HASH_H

#include "abi.h"

#define FENCE_HASH_KEY 2 /* words of the key */

struct fence_hash {
	__u64 v[4];
	__u64 word; /* octets that are not mixed in yet */
	__u64 len; /* octets so far */
};

FENCE_INLINE __u64 fence_hash_rotate(__u64 x, unsigned int by)
{
	return x << by | x >> (64 - by);
}

FENCE_INLINE void fence_hash_round(struct fence_hash *h)
{
	h->v[0] += h->v[1];
	h->v[1] = fence_hash_rotate(h->v[1], 13) ^ h->v[0];
	h->v[0] = fence_hash_rotate(h->v[0], 32);
	h->v[2] += h->v[3];
	h->v[3] = fence_hash_rotate(h->v[3], 16) ^ h->v[2];
	h->v[0] += h->v[3];
	h->v[3] = fence_hash_rotate(h->v[3], 21) ^ h->v[0];
	h->v[2] += h->v[1];
	h->v[1] = fence_hash_rotate(h->v[1], 17) ^ h->v[2];
	h->v[2] = fence_hash_rotate(h->v[2], 32);
}

FENCE_INLINE void fence_hash_word(struct fence_hash *h)
{
	h->v[3] ^= h->word;
	fence_hash_round(h);
	fence_hash_round(h);
	h->v[0] ^= h->word;
	h->word = 0;
}

FENCE_INLINE void fence_hash_init(struct fence_hash *h, const __u64 key[FENCE_HASH_KEY])
{
	h->v[0] = key[0] ^ 0x736f6d6570736575ULL;
	h->v[1] = key[1] ^ 0x646f72616e646f6dULL;
	h->v[2] = key[0] ^ 0x6c7967656e657261ULL;
	h->v[3] = key[1] ^ 0x7465646279746573ULL;
	h->word = 0;
	h->len = 0;
}

/*
 * The octet at place `at`; every one in its turn, from 0 on. A loop of a BPF program gives its own
 * index, which is any number to the verifier: of a count that is kept here it would walk each
 * value.
 */
FENCE_INLINE void fence_hash_feed(struct fence_hash *h, __u64 at, __u8 octet)
{
	h->word |= (__u64)octet << (at & 7) * 8;
	h->len = at + 1;
	if ((at & 7) == 7)
		fence_hash_word(h);
}

/* The number. What was fed before is gone. */
FENCE_INLINE __u64 fence_hash_end(struct fence_hash *h)
{
	h->word |= h->len << 56;
	fence_hash_word(h);
	h->v[2] ^= 0xff;
	fence_hash_round(h);
	fence_hash_round(h);
	fence_hash_round(h);
	fence_hash_round(h);
	return h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
}

/* Of `n` octets at once. */
FENCE_INLINE __u64 fence_hash_octets(const __u64 key[FENCE_HASH_KEY], const void *octets, __u64 n)
{
	const __u8 *at = (const __u8 *)octets;
	struct fence_hash h;
	__u64 i;

	fence_hash_init(&h, key);
	for (i = 0; i < n; i++)
		fence_hash_feed(&h, i, at[i]);
	return fence_hash_end(&h);
}

#endif
