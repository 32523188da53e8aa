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

struct function {
	uint64_t entry, info; /* vaddrs: code, struct _func */
};

/* One function's stack-depth table as it is walked: pairs (change of depth, octets of code). */
struct depths {
	uint64_t at, pc; /* next octet of the table; end of the range */
	uint64_t from; /* beginning of the range */
	uint32_t length;
	int32_t depth;
	int first;
};

/* 1: the next range; 0: the table ended; -EINVAL: it does not hold together. */
static int next_range(const struct fence_image *im, struct depths *d)
{
	uint32_t delta;
	size_t room = 10;
	const uint8_t *p;
	unsigned int n;

	while (room > 1 && !fence_image_at(im, d->at, room))
		room--;
	p = fence_image_at(im, d->at, room);
	n = p ? number(p, room, &delta) : 0;
	if (!n)
		return -EINVAL;
	if (!delta && !d->first)
		return 0;
	d->at += n;
	n = number(p + n, room - n, &d->length);
	if (!n)
		return -EINVAL;
	d->at += n;
	d->first = 0;
	d->depth += (int32_t)(delta & 1 ? ~(delta >> 1) : delta >> 1);
	d->from = d->pc;
	d->pc += d->length;
	return 1;
}

/*
 * Behind the prologue, where the depth is other than zero for the first time: a function whose
 * stack has to grow begins again from its entry, and would be seen twice there. The arguments are
 * still in their registers. With `returns`, also each RET: the depth is zero again, for one octet.
 */
static int add_function(const struct fence_image *im, struct fence_tls_points *out,
			const struct table *t, const struct function *f, uint8_t call, int returns)
{
	const uint8_t *p = fence_image_at(im, f->info + 16, 4), *code;
	struct depths d = { .depth = -1, .first = 1, .pc = f->entry };
	unsigned int step, found = 0;
	int more = 1, body = 0;

	if (!p)
		return -EINVAL;
	d.at = t->pctab + fence_image_u32(p);
	for (step = 0; step < STEPS_MAX && more > 0; step++) {
		more = next_range(im, &d);
		if (more <= 0)
			break;
		code = fence_image_at(im, d.from, 1);
		if (d.depth && !body) {
			body = 1;
			if (fence_tls_add(im, out, d.from, call))
				return -EINVAL;
		} else if (returns && body && !d.depth && d.length == 1 && code && *code == RET) {
			found++;
			if (fence_tls_add(im, out, d.from, FENCE_TLS_GO_RETURN))
				return -EINVAL;
		}
	}
	return more || !body || (returns && !found) ? -EINVAL : 0;
}

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
	int err = fence_image_pointers(im);

	if (!err)
		err = find_table(im, &t);
	if (!err)
		err = find_functions(im, &t, &wr, &rd);
	if (err)
		return err;
	out->stack = FENCE_TLS_GO;
	snprintf(out->how, sizeof(out->how), ".gopclntab");
	if (add_function(im, out, &t, &wr, FENCE_TLS_GO_WRITE, 0) ||
	    add_function(im, out, &t, &rd, FENCE_TLS_GO_READ, 1)) {
		snprintf(out->how, sizeof(out->how),
			 "the stack tables of Read and Write do not fit");
		return -EINVAL;
	}
	return 0;
}
