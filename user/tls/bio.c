// SPDX-License-Identifier: Apache-2.0
/*
 * Programs that let their TLS library write to memory (a memory BIO) and send by themselves: where
 * that write is. OpenSSL reaches it through a constant table (crypto/bio/bss_mem.c), a BIO_METHOD:
 * int type; const char *name; what adapts the write to size_t; the write; and so on. Node brings a
 * BIO of its own. Bun makes one when it starts (BoringSSL, BIO_meth_new and its setters, inlined):
 * four stores of functions in a row, into a table that it has just allocated.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/find.h"

#define TYPE_MEM 0x401 /* BIO_TYPE_MEM */
#define HEAD 16 /* type, padding, name */
#define SLOTS_MIN 8 /* functions, to create and destroy among them */
#define SLOT_WRITE 1
#define STORE 8 /* octets of movq $function, disp8(reg) */
#define STORES 4
#define BUILT_WRITE 0x08 /* BoringSSL's bio_method_st: where what is stored */
#define BUILT_READ 0x18
#define BUILT_CTRL 0x28
#define BUILT_CREATE 0x30

/* A BIO_METHOD's functions begin at the pointer `i`: is it that of memory? */
static int is_memory(const struct fence_image *im, size_t i)
{
	static const char name[] = "memory buffer";
	uint64_t first = im->pointers[i].at;
	const uint8_t *head = fence_image_at(im, first - HEAD, HEAD), *p;
	unsigned int n;

	if (!head || fence_image_u64(head) != TYPE_MEM)
		return 0;
	p = fence_image_at(im, fence_image_pointer(im, first - 8), sizeof(name));
	if (!p || memcmp(p, name, sizeof(name)))
		return 0;
	for (n = 0; n < SLOTS_MIN; n++)
		if (i + n >= im->npointers || im->pointers[i + n].at != first + 8 * n ||
		    !fence_image_is_code(im, im->pointers[i + n].to))
			return 0;
	return 1;
}

/* 0: there is not exactly one */
static uint64_t write_of(struct fence_image *im)
{
	uint64_t at = 0;
	size_t i;

	if (fence_image_pointers(im))
		return 0;
	for (i = 0; i + 1 < im->npointers; i++) {
		if (!is_memory(im, i))
			continue;
		if (at)
			return 0;
		at = im->pointers[i + SLOT_WRITE].to;
	}
	return at;
}

/* A store of a function's address at `p`: where in the table, `at`: which; -1: it is none. */
static int store_at(const struct fence_image *im, const uint8_t *p, uint64_t *at)
{
	if ((p[0] & 0xfe) != 0x48 || p[1] != 0xc7 || (p[2] & 0xf8) != 0x40 || (p[2] & 7) == 4)
		return -1;
	*at = (uint64_t)(int64_t)(int32_t)fence_image_u32(p + 4);
	return fence_image_is_code(im, *at) ? p[3] : -1;
}

/* The write of a BIO_METHOD that is made at `p`; 0: none is. */
static uint64_t made_at(const struct fence_image *im, const uint8_t *p)
{
	uint64_t at, write = 0, slots = 0;
	int i, slot;

	for (i = 0; i < STORES; i++) {
		slot = memcmp(p, p + i * STORE, 3) ? -1 : store_at(im, p + i * STORE, &at);
		if (slot < 0 || slot > BUILT_CREATE)
			return 0;
		slots |= 1ull << slot;
		if (slot == BUILT_WRITE)
			write = at;
	}
	return slots == (1ull << BUILT_WRITE | 1ull << BUILT_READ | 1ull << BUILT_CTRL |
			 1ull << BUILT_CREATE)
		       ? write
		       : 0;
}

/* ... of the one that a program at a fixed address makes; 0: not exactly one. */
static uint64_t made_write(const struct fence_image *im)
{
	uint64_t at, found = 0;
	const uint8_t *p, *end;
	size_t i;

	for (i = 0; i < im->nsegments && !im->pie; i++) {
		if (!im->segments[i].exec || im->segments[i].size < STORE * STORES)
			continue;
		p = im->data + im->segments[i].offset + 1; /* where the opcode is */
		end = im->data + im->segments[i].offset + im->segments[i].size - STORE * STORES;
		for (; p < end && (p = memchr(p, 0xc7, (size_t)(end - p))); p++) {
			at = made_at(im, p - 1);
			if (at && found)
				return 0;
			found |= at;
		}
	}
	return found;
}

void fence_tls_add_bio(struct fence_image *im, struct fence_tls_points *out)
{
	uint64_t at = write_of(im),
		 node = fence_image_symbol(im, "_ZN4node6crypto7NodeBIO5WriteEP6bio_stPKci");

	if (at)
		fence_tls_add(im, out, at, FENCE_TLS_BIO_WRITE);
	if (node)
		fence_tls_add(im, out, node, FENCE_TLS_BIO_WRITE);
	at = at || node || out->stack != FENCE_TLS_BORINGSSL ? 0 : made_write(im);
	if (at)
		fence_tls_add(im, out, at, FENCE_TLS_BIO_WRITE);
}

int fence_tls_find_bio(struct fence_image *im, struct fence_tls_points *out)
{
	if (!fence_image_symbol(im, "BIO_s_mem"))
		return -ENOENT;
	out->stack = FENCE_TLS_OPENSSL;
	snprintf(out->how, sizeof(out->how), "BIO_s_mem");
	fence_tls_add_bio(im, out);
	return out->count ? 0 : -ENOENT;
}
