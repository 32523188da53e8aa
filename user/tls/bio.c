// SPDX-License-Identifier: Apache-2.0
/*
 * Programs that let their TLS library write to memory (a memory BIO) and send by themselves: where
 * that write is. OpenSSL reaches it through a constant table (crypto/bio/bss_mem.c), a BIO_METHOD:
 * int type; const char *name; what adapts the write to size_t; the write; and so on. Node brings a
 * BIO of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/find.h"

#define TYPE_MEM 0x401 /* BIO_TYPE_MEM */
#define HEAD 16 /* type, padding, name */
#define SLOTS_MIN 8 /* functions, to create and destroy among them */
#define SLOT_WRITE 1

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

void fence_tls_add_bio(struct fence_image *im, struct fence_tls_points *out)
{
	uint64_t at = write_of(im),
		 node = fence_image_symbol(im, "_ZN4node6crypto7NodeBIO5WriteEP6bio_stPKci");

	if (at)
		fence_tls_add(im, out, at, FENCE_TLS_BIO_WRITE);
	if (node)
		fence_tls_add(im, out, node, FENCE_TLS_BIO_WRITE);
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
