// SPDX-License-Identifier: Apache-2.0
/*
 * OpenSSL 1.1.1 to 3.x, shared or linked in: its SSL_METHOD constants hold the internal read and
 * write that every call of the API ends in. All methods of TLS share them, which is what they are
 * checked by; with none of them, the exported functions.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/find.h"

#define HEAD 16 /* int version; unsigned flags; unsigned long mask */
#define SLOTS_MIN 16 /* functions looked for; there are 22 and more */
#define SLOT_FREE 2
#define SLOT_READ 5
#define SLOT_WRITE 7
#define TABLES_MIN 3 /* TLS_method and its client and server side at the least */
#define ANY_VERSION 0x10000
#define PAIRS 16 /* candidates; what is no method table makes some */

/* A read and a write that stand together in so many tables. */
struct pair {
	uint64_t read, write, free;
	unsigned int tables;
};

struct found {
	struct pair pairs[PAIRS];
	size_t n;
};

static void count(struct found *f, const uint64_t *to, uint32_t version)
{
	struct pair *p;
	size_t i;

	for (i = 0; i < f->n; i++)
		if (f->pairs[i].read == to[SLOT_READ] && f->pairs[i].write == to[SLOT_WRITE])
			break;
	if (i == PAIRS)
		return;
	p = &f->pairs[i];
	if (i == f->n) {
		f->n++;
		*p = (struct pair){ .read = to[SLOT_READ], .write = to[SLOT_WRITE] };
	}
	p->tables++;
	if (version == ANY_VERSION) /* SSL 3.0 has a free of its own */
		p->free = to[SLOT_FREE];
}

static void look(const struct fence_image *im, size_t i, struct found *f)
{
	uint64_t first = im->pointers[i].at, to[SLOTS_MIN];
	const uint8_t *head = fence_image_at(im, first - HEAD, HEAD);
	unsigned int n;
	uint32_t version;

	if (!head)
		return;
	version = fence_image_u32(head);
	if ((version != ANY_VERSION && (version < 0x300 || version > 0x304)) ||
	    fence_image_u32(head + 4) > 0xff)
		return;
	for (n = 0; n < SLOTS_MIN; n++) {
		if (i + n >= im->npointers || im->pointers[i + n].at != first + 8 * n ||
		    !fence_image_is_code(im, im->pointers[i + n].to))
			return;
		to[n] = im->pointers[i + n].to;
	}
	count(f, to, version);
}

/* The one pair that stands in enough tables; NULL: there is none, or there are two. */
static const struct pair *the_pair(const struct found *f)
{
	const struct pair *p = NULL;
	size_t i;

	for (i = 0; i < f->n; i++) {
		if (f->pairs[i].tables < TABLES_MIN || !f->pairs[i].free)
			continue;
		if (p)
			return NULL;
		p = &f->pairs[i];
	}
	return p;
}

static int by_symbols(struct fence_image *im, struct fence_tls_points *out)
{
	static const struct {
		const char *name;
		uint8_t call;
	} all[] = { { "SSL_write", FENCE_TLS_WRITE_N },
		    { "SSL_read", FENCE_TLS_READ_N },
		    { "SSL_write_ex", FENCE_TLS_WRITE_EX },
		    { "SSL_read_ex", FENCE_TLS_READ_EX },
		    { "SSL_free", FENCE_TLS_FREE } };
	uint64_t at;
	size_t i;

	if (!fence_image_symbol(im, "SSL_write") || !fence_image_symbol(im, "SSL_read"))
		return -ENOENT;
	out->stack = FENCE_TLS_OPENSSL;
	snprintf(out->how, sizeof(out->how), "exported symbols");
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		at = fence_image_symbol(im, all[i].name);
		if (at && fence_tls_add(im, out, at, all[i].call))
			return -EINVAL;
	}
	fence_tls_add_bio(im, out);
	return 0;
}

int fence_tls_find_openssl(struct fence_image *im, struct fence_tls_points *out)
{
	struct found f = { 0 };
	const struct pair *p;
	size_t i;
	int err = fence_image_pointers(im);

	if (err)
		return err;
	for (i = 0; i < im->npointers; i++)
		if (fence_image_is_code(im, im->pointers[i].to))
			look(im, i, &f);
	p = the_pair(&f);
	if (!p)
		return by_symbols(im, out);
	out->stack = FENCE_TLS_OPENSSL;
	snprintf(out->how, sizeof(out->how), "SSL_METHOD, %u alike", p->tables);
	if (fence_tls_add(im, out, p->write, FENCE_TLS_WRITE_EX) ||
	    fence_tls_add(im, out, p->free, FENCE_TLS_FREE))
		return -EINVAL;
	if (fence_tls_add_kept(im, out, p->read) &&
	    fence_tls_add(im, out, p->read, FENCE_TLS_READ_EX))
		return -EINVAL;
	fence_tls_add_bio(im, out);
	return 0;
}
