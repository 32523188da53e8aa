// SPDX-License-Identifier: Apache-2.0
/*
 * OpenSSL's internal read, seen from inside. It calls its SSL_METHOD's ssl_read_bytes and looks at
 * what that returned; the jump that follows is an instruction that the kernel emulates, and there
 * the arguments are still in registers that calls keep. One probe there does the work of one at the
 * entry and one at the return.
 *
 * The function is followed instruction by instruction along its straight line. What is met and not
 * known, a jump that is not behind that call, an argument that is nowhere: -ENOENT, and the read is
 * probed from outside.
 */
#include <errno.h>
#include <string.h>

#include "tls/find.h"

#define INSNS_MAX 80 /* of a line */
#define INSN_MAX 15 /* octets; Intel SDM vol. 2, 2.3.11 */
#define READ_BYTES 0x68 /* of ssl_method_st: ssl_read_bytes */
#define NOP 0x90
#define CALLER_SAVED 0x0fc7 /* rax, rcx, rdx, rsi, rdi, r8 to r11: System V ABI AMD64, 3.2.1 */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9 };

/* What is in a register. */
enum value {
	OTHER,
	CONN, /* the arguments of ssl3_read */
	BUF,
	LEN,
	DONE,
	ZERO,
	PEEK, /* a zero that was there before a jump into what peeking shares */
	RESULT, /* of ssl_read_bytes */
};

struct insn {
	uint32_t op; /* 0x100: of those behind 0x0f */
	uint8_t wide, mod, reg, rm; /* REX.W; ModRM with REX's bits */
	uint8_t len;
	int32_t disp, imm;
};

struct line {
	const struct fence_image *im;
	uint64_t at; /* the next instruction */
	uint8_t is[16]; /* enum value of each register */
	uint8_t pushed; /* the last value */
	uint8_t peeks; /* ssl3_peek comes here, too */
	uint8_t minus; /* the last instruction compared eax with -1 */
	unsigned int left;
};

/* Octets of an immediate: 0, 1, 4; -1: an instruction that is not known. */
static int immediate(uint32_t op)
{
	if ((op >= 0x50 && op <= 0x5f) || op == 0x31 || op == 0x33 || op == 0x85 || op == 0x89 ||
	    op == 0x8b || op == 0x8d || op == NOP || op == 0xff || op == 0x11f)
		return 0;
	if ((op >= 0x70 && op <= 0x7f) || op == 0x83 || op == 0xeb)
		return 1;
	if (op == 0x81 || (op >= 0xb8 && op <= 0xbf) || op == 0xc7 || op == 0xe8 || op == 0xe9 ||
	    (op >= 0x180 && op <= 0x18f))
		return 4;
	return -1;
}

static int has_modrm(uint32_t op)
{
	return op == 0x31 || op == 0x33 || op == 0x81 || op == 0x83 || op == 0x85 || op == 0x89 ||
	       op == 0x8b || op == 0x8d || op == 0xc7 || op == 0xff || op == 0x11f;
}

static int32_t number(const uint8_t *p, int octets)
{
	return octets == 4 ? (int32_t)fence_image_u32(p) : octets ? (int8_t)*p : 0;
}

/* ModRM and what belongs to it at `p`; how many octets. */
static uint8_t modrm(const uint8_t *p, uint8_t rex, struct insn *i)
{
	uint8_t n = 1, base = p[0] & 7;
	int octets;

	i->mod = p[0] >> 6;
	i->reg = (uint8_t)((p[0] >> 3 & 7) | (rex & 4) << 1);
	i->rm = (uint8_t)(base | (rex & 1) << 3);
	if (i->mod == 3)
		return n;
	if (base == RSP) /* a SIB follows */
		base = p[n++] & 7;
	octets = i->mod == 1 ? 1 : i->mod == 2 || base == RBP ? 4 : 0;
	i->disp = number(p + n, octets);
	return (uint8_t)(n + octets);
}

static int decode(const struct line *l, struct insn *i)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	const uint8_t *p = fence_image_at(l->im, l->at, INSN_MAX + 1);
	uint8_t n = 0, rex = 0;
	int octets;

	*i = (struct insn){ 0 };
	if (!p || !fence_image_is_code(l->im, l->at))
		return -ENOENT;
	if (!memcmp(p, endbr64, sizeof(endbr64))) {
		i->op = NOP;
		i->len = sizeof(endbr64);
		return 0;
	}
	if ((p[n] & 0xf0) == 0x40)
		rex = p[n++];
	i->wide = rex >> 3 & 1;
	i->op = p[n++];
	if (i->op == 0x0f)
		i->op = 0x100u | p[n++];
	octets = immediate(i->op);
	if (octets < 0 || (i->wide && i->op >= 0xb8 && i->op <= 0xbf)) /* it has eight */
		return -ENOENT;
	i->rm = (uint8_t)((i->op & 7) | (rex & 1) << 3); /* push, pop, mov */
	if (has_modrm(i->op))
		n = (uint8_t)(n + modrm(p + n, rex, i));
	i->imm = number(p + n, octets);
	i->len = (uint8_t)(n + octets);
	return 0;
}

/* Half of a pointer is none. */
static uint8_t moved(const struct line *l, const struct insn *i, uint8_t from)
{
	uint8_t v = l->is[from];

	return i->wide || v == ZERO || v == PEEK ? v : OTHER;
}

static void called(struct line *l)
{
	unsigned int r;

	for (r = 0; r < 16; r++)
		if (CALLER_SAVED >> r & 1)
			l->is[r] = OTHER;
}

/* All but calls through a pointer and jumps. */
static void effect(struct line *l, const struct insn *i)
{
	uint32_t op = i->op;

	if (op == 0x89 && i->mod == 3)
		l->is[i->rm] = moved(l, i, i->reg);
	else if (op == 0x8b)
		l->is[i->reg] = i->mod == 3 ? moved(l, i, i->rm) : OTHER;
	else if (op == 0x31 && i->mod == 3)
		l->is[i->rm] = i->rm == i->reg ? ZERO : OTHER;
	else if (op == 0x33)
		l->is[i->reg] = i->mod == 3 && i->rm == i->reg ? ZERO : OTHER;
	else if (op == 0x8d)
		l->is[i->reg] = OTHER;
	else if ((op == 0x81 || op == 0x83) && i->mod == 3 && (i->reg & 7) != 7) /* all but cmp */
		l->is[i->rm] = OTHER;
	else if ((op == 0xc7 && i->mod == 3) || (op >= 0x58 && op <= 0x5f) ||
		 (op >= 0xb8 && op <= 0xbf))
		l->is[i->rm] = OTHER;
	else if (op >= 0x50 && op <= 0x57)
		l->pushed = l->is[i->rm];
	else if (op == 0xe8)
		called(l);
	l->minus = op == 0x83 && i->mod == 3 && (i->reg & 7) == 7 && i->rm == RAX && !i->wide &&
		   i->imm == -1;
}

static void follow(struct line *l, const struct insn *i)
{
	unsigned int r;

	l->at += (uint64_t)(int64_t)i->imm;
	for (r = 0; r < 16; r++)
		if (l->is[r] == ZERO)
			l->is[r] = PEEK;
}

/* Up to the first instruction that `until` wants; it is in *i, and l->at is behind it. */
static int go(struct line *l, struct insn *i,
	      int (*until)(const struct line *, const struct insn *))
{
	while (l->left--) {
		if (decode(l, i))
			return -ENOENT;
		l->at += i->len;
		if (until(l, i))
			return 0;
		if (i->op == 0xff)
			return -ENOENT;
		if (i->op == 0xe9 || i->op == 0xeb)
			follow(l, i);
		else
			effect(l, i);
	}
	return -ENOENT;
}

static int is_inner(const struct line *l, const struct insn *i)
{
	(void)l;
	return i->op == 0xff && (i->reg & 7) == 2 && i->mod == 1 && i->disp == READ_BYTES;
}

static int is_test(const struct line *l, const struct insn *i)
{
	return l->minus && l->is[RAX] == RESULT && (i->op == 0x74 || i->op == 0x184);
}

/* Over the call, which has to have the arguments. */
static int inner(struct line *l, struct insn *i)
{
	l->left = INSNS_MAX;
	if (go(l, i, is_inner) || l->is[RDI] != CONN || l->is[RCX] != BUF || l->is[R8] != LEN ||
	    (l->is[R9] != ZERO && l->is[R9] != PEEK) || l->pushed != DONE)
		return -ENOENT;
	l->peeks = l->is[R9] == PEEK;
	called(l);
	l->is[RAX] = RESULT;
	return 0;
}

/* The register that has it and that calls keep; RSP: none, or two. */
static uint8_t kept(const struct line *l, uint8_t value)
{
	uint8_t r, it = RSP, n = 0;

	for (r = 0; r < 16; r++)
		if (!(CALLER_SAVED >> r & 1) && l->is[r] == value && !n++)
			it = r;
	return n == 1 ? it : RSP;
}

static int add(const struct line *l, struct fence_tls_points *out, uint64_t at)
{
	uint8_t conn = kept(l, CONN), buf = kept(l, BUF), done = kept(l, DONE),
		peek = l->peeks ? kept(l, PEEK) : RSP;
	struct fence_tls_point *t;

	if (conn == RSP || buf == RSP || done == RSP || (l->peeks && peek == RSP) ||
	    fence_tls_add(l->im, out, at, FENCE_TLS_READ_KEPT))
		return -ENOENT;
	t = &out->at[out->count - 1];
	t->box = FENCE_TLS_KEPT(conn, buf);
	t->seq = FENCE_TLS_KEPT(done, peek);
	return 0;
}

/*
 * The jump is taken when a renegotiation met data: it reads again there. Behind that call any
 * instruction will do: it is rare, and may be stepped through.
 */
int fence_tls_add_kept(const struct fence_image *im, struct fence_tls_points *out, uint64_t vaddr)
{
	struct line l = { .im = im,
			  .at = vaddr,
			  .is = { [RDI] = CONN, [RSI] = BUF, [RDX] = LEN, [RCX] = DONE } };
	struct fence_tls_points was = *out;
	struct insn i;
	int err;

	err = inner(&l, &i);
	if (!err)
		err = go(&l, &i, is_test);
	if (!err)
		err = add(&l, out, l.at - i.len);
	if (!err) {
		l.at += (uint64_t)(int64_t)i.imm;
		err = inner(&l, &i);
	}
	if (!err)
		err = decode(&l, &i);
	if (!err)
		err = add(&l, out, l.at);
	if (err)
		*out = was;
	return err;
}
