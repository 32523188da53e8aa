// SPDX-License-Identifier: Apache-2.0
/*
 * Go 1.18 and newer: .gopclntab stays when a program is stripped and names every function. Its
 * stack-depth table also says where the RETs are: the depth is zero again from there on, for one
 * octet. A return probe is no choice: it would write into a stack that Go moves.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/find.h"

#define FUNCTIONS_MAX (1u << 22)
#define STEPS_MAX 4096 /* entries of one function's stack-depth table */
#define HEAD 72 /* octets of the header, Go 1.18 on */
#define RET 0xc3

struct table {
	uint64_t at; /* vaddr of the header */
	uint64_t text, count;
	uint64_t names, pctab, functions; /* vaddrs */
};

static uint64_t word(const struct fence_image *im, uint64_t at)
{
	const uint8_t *p = fence_image_at(im, at, 8);

	return p ? fence_image_u64(p) : 0;
}

/* struct pcHeader of runtime/symtab.go. */
static int header(const struct fence_image *im, uint64_t at, struct table *t)
{
	const uint8_t *p = fence_image_at(im, at, HEAD);
	uint64_t moved;

	if (!p || (fence_image_u32(p) != 0xfffffff0 && fence_image_u32(p) != 0xfffffff1) || p[4] ||
	    p[5] || p[6] != 1 || p[7] != 8)
		return -ENOENT;
	t->at = at;
	t->count = word(im, at + 8);
	t->text = word(im, at + 24);
	moved = fence_image_pointer(im, at + 24); /* a PIE's is relocated */
	if (moved)
		t->text = moved;
	t->names = at + word(im, at + 32);
	t->pctab = at + word(im, at + 56);
	t->functions = at + word(im, at + 64);
	if (!t->count || t->count > FUNCTIONS_MAX || !fence_image_is_code(im, t->text))
		return -EINVAL;
	return 0;
}

static int find_table(const struct fence_image *im, struct table *t)
{
	size_t i;

	for (i = 0; i < im->nsegments; i++) {
		const struct fence_image_segment *s = &im->segments[i];
		uint64_t off;

		for (off = 0; !s->exec && off + HEAD <= s->size; off += 16)
			if (!memcmp(im->data + s->offset + off + 1, "\xff\xff\xff\0\0\1\10", 7) &&
			    !header(im, s->vaddr + off, t))
				return 0;
	}
	return -ENOENT;
}

/* A variable-length number; 0 octets: it does not end. */
static unsigned int number(const uint8_t *p, size_t room, uint32_t *v)
{
	unsigned int n;

	*v = 0;
	for (n = 0; n < 5 && n < room; n++) {
		*v |= (uint32_t)(p[n] & 0x7f) << (7 * n);
		if (!(p[n] & 0x80))
			return n + 1;
	}
	return 0;
}

/*
 * The pc-value table of a function's stack depth: pairs (change of depth, octets of code). Where
 * the depth comes back to zero there is a RET: each becomes a point.
 */
static int add_returns(const struct fence_image *im, struct fence_tls_points *out,
		       const struct table *t, uint64_t entry, uint64_t pcsp)
{
	uint64_t pc = entry, at = t->pctab + pcsp;
	int32_t depth = -1;
	uint32_t delta, length;
	unsigned int step, n, found = 0;

	for (step = 0; step < STEPS_MAX; step++) {
		size_t room = 10;
		const uint8_t *p, *code;

		while (room > 1 && !fence_image_at(im, at, room))
			room--;
		p = fence_image_at(im, at, room);
		n = p ? number(p, room, &delta) : 0;
		if (!n)
			return -EINVAL;
		if (!delta && step)
			return found ? 0 : -EINVAL;
		at += n;
		n = number(p + n, room - n, &length);
		if (!n)
			return -EINVAL;
		at += n;
		depth += (int32_t)(delta & 1 ? ~(delta >> 1) : delta >> 1);
		code = fence_image_at(im, pc, 1);
		if (!depth && pc != entry && length == 1 && code && *code == RET) {
			if (fence_tls_add(im, out, pc, FENCE_TLS_GO_RETURN))
				return -EINVAL;
			found++;
		}
		pc += length;
	}
	return -EINVAL;
}

struct function {
	uint64_t entry, info;
};

/* The two functions by name, in one walk. */
static int find_functions(const struct fence_image *im, const struct table *t, struct function *wr,
			  struct function *rd)
{
	static const char wname[] = "crypto/tls.(*Conn).Write", rname[] = "crypto/tls.(*Conn).Read";
	uint64_t i;

	for (i = 0; i < t->count && !(wr->entry && rd->entry); i++) {
		const uint8_t *p = fence_image_at(im, t->functions + 8 * i, 8), *f, *name;
		uint64_t info, at;

		if (!p)
			return -EINVAL;
		info = t->functions + fence_image_u32(p + 4);
		f = fence_image_at(im, info, 20); /* struct _func */
		at = f ? t->names + fence_image_u32(f + 4) : 0;
		name = fence_image_at(im, at, sizeof(rname));
		if (!name || memcmp(name, "crypto/tls.", 11))
			continue;
		if (!memcmp(name, rname, sizeof(rname)))
			*rd = (struct function){ t->text + fence_image_u32(p), info };
		name = fence_image_at(im, at, sizeof(wname));
		if (name && !memcmp(name, wname, sizeof(wname)))
			*wr = (struct function){ t->text + fence_image_u32(p), info };
	}
	return wr->entry && rd->entry ? 0 : -ENOENT;
}

int fence_tls_find_go(struct fence_image *im, struct fence_tls_points *out)
{
	struct function wr = { 0 }, rd = { 0 };
	struct table t;
	const uint8_t *p;
	int err = fence_image_pointers(im);

	if (!err)
		err = find_table(im, &t);
	if (!err)
		err = find_functions(im, &t, &wr, &rd);
	if (err)
		return err;
	out->stack = FENCE_TLS_GO;
	snprintf(out->how, sizeof(out->how), ".gopclntab");
	p = fence_image_at(im, rd.info + 16, 4);
	if (!p || fence_tls_add(im, out, wr.entry, FENCE_TLS_GO_WRITE) ||
	    fence_tls_add(im, out, rd.entry, FENCE_TLS_GO_READ) ||
	    add_returns(im, out, &t, rd.entry, fence_image_u32(p))) {
		snprintf(out->how, sizeof(out->how), "the RETs of Read are not to be found");
		return -EINVAL;
	}
	return 0;
}
