// SPDX-License-Identifier: Apache-2.0
/*
 * rustls 0.23, stripped or not: RecordLayer::encrypt_outgoing and decrypt_incoming, which the
 * plaintext of every record passes through whole. Each has a text of its own, a panic's and a log
 * line's; the code that refers to it is the function's. Where it begins, others call it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/find.h"

#define WRITE_TEXT "assertion failed: self.next_pre_encrypt_action() != PreEncryptAction::Refuse"
#define READ_TEXT "Dropping undecryptable message after aborted early_data"
#define BODY 0x400 /* octets of the function that come before the reference, at most */
#define CALL 5
#define LEA 7

/* The text's vaddr; 0: it is not in the file, or twice. */
static uint64_t text_at(const struct fence_image *im, const char *text)
{
	size_t len = strlen(text), i;
	uint64_t at = 0;

	for (i = 0; i < im->nsegments; i++) {
		const struct fence_image_segment *s = &im->segments[i];
		const uint8_t *data = fence_image_at(im, s->vaddr, s->size), *p = data;

		while (p && (p = memmem(p, s->size - (size_t)(p - data), text, len))) {
			if (at)
				return 0;
			at = s->vaddr + (uint64_t)(p - data);
			p++;
		}
	}
	return at;
}

static uint64_t relative(const uint8_t *p, uint64_t next)
{
	return next + (uint64_t)(int64_t)(int32_t)fence_image_u32(p);
}

/* lea text(%rip), %reg: where it stands; 0: there is none, or there are two. */
static uint64_t reference(const uint8_t *code, const struct fence_image_segment *s, uint64_t text)
{
	const uint8_t *p = code + 1, *end = code + s->size;
	uint64_t at = 0;

	for (; p < end && (p = memchr(p, 0x8d, (size_t)(end - p))); p++) {
		uint64_t here = s->vaddr + (uint64_t)(p - 1 - code);

		if (end - p < LEA - 1 || (p[-1] & 0xfb) != 0x48 || (p[1] & 0xc7) != 5 ||
		    relative(p + 2, here + LEA) != text)
			continue;
		if (at)
			return 0;
		at = here;
	}
	return at;
}

/* The last place before `at` that is called. */
static uint64_t begins(const uint8_t *code, const struct fence_image_segment *s, uint64_t at)
{
	const uint8_t *p = code, *end = code + s->size;
	uint64_t best = 0, to;

	for (; p < end && (p = memchr(p, 0xe8, (size_t)(end - p))) && end - p >= CALL; p++) {
		to = relative(p + 1, s->vaddr + (uint64_t)(p - code) + CALL);
		if (to < at && at - to < BODY && to > best)
			best = to;
	}
	return best;
}

/* mov disp8(%rsi), %reg or back, the last before `end`: disp8; 0: there is none. */
static uint8_t field(const uint8_t *p, const uint8_t *end, uint8_t rex, uint8_t op, uint8_t modrm)
{
	for (end -= 4; end >= p; end--)
		if (end[0] == rex && end[1] == op && end[2] == modrm)
			return end[3];
	return 0;
}

/*
 * It pushes a register first; it calls the fourth entry of the vtable of message_encrypter, a
 * Box<dyn MessageEncrypter> of two words in *self, and before that counts write_seq up, another.
 * Where these are is the compiler's choice, and read here.
 */
static int is_write(const struct fence_image *im, uint64_t at, uint64_t end,
		    struct fence_tls_point *out)
{
	const uint8_t *p = fence_image_at(im, at, end - at), *q, *last;
	uint8_t vtable, reg;

	if (!p || (p[0] & 0xf8) != 0x50)
		return 0;
	last = p + (end - at) - 3;
	for (q = p; q < last && !(q[0] == 0xff && (q[1] & 0xf8) == 0x50 && q[2] == 0x18); q++)
		;
	if (q >= last || q == p)
		return 0;
	reg = (uint8_t)((q[1] & 7) << 3 | 0x46);
	vtable = field(p, q, q[-1] == 0x41 ? 0x4c : 0x48, 0x8b, reg);
	out->box = vtable >= 8 ? vtable - 8 : 0;
	out->seq = field(p, q, 0x48, 0x89, 0x46); /* mov %rax, disp8(%rsi) */
	return vtable >= 8 && out->seq;
}

/* What refers to the text, and where its function begins. 0: not known for sure. */
static uint64_t function_of(const struct fence_image *im, const char *text, uint64_t *ref)
{
	uint64_t at = text_at(im, text);
	size_t i;

	for (i = 0; at && i < im->nsegments; i++) {
		const struct fence_image_segment *s = &im->segments[i];
		const uint8_t *code = s->exec ? fence_image_at(im, s->vaddr, s->size) : NULL;

		*ref = code ? reference(code, s, at) : 0;
		if (*ref)
			return begins(code, s, *ref);
	}
	return 0;
}

/* It pushes a register first, and compares read_seq with SEQ_SOFT_LIMIT, all ones but 16. */
static int is_read(const struct fence_image *im, uint64_t at, uint64_t end)
{
	static const uint8_t limit[] = { 0x00, 0x00, 0xff, 0xff };
	const uint8_t *p = at ? fence_image_at(im, at, end - at) : NULL;

	return p && (p[0] & 0xf8) == 0x50 && memmem(p, end - at, limit, sizeof(limit));
}

int fence_tls_find_rustls(struct fence_image *im, struct fence_tls_points *out)
{
	struct fence_tls_point fields = { 0 };
	uint64_t ref, at;

	if (!text_at(im, WRITE_TEXT))
		return -ENOENT;
	out->stack = FENCE_TLS_RUSTLS;
	snprintf(out->how, sizeof(out->how), "encrypt_outgoing is not where it was");
	at = function_of(im, WRITE_TEXT, &ref);
	if (!at || !is_write(im, at, ref, &fields) ||
	    fence_tls_add(im, out, at, FENCE_TLS_WRITE_RUSTLS))
		return -EINVAL;
	out->at[0].box = fields.box;
	out->at[0].seq = fields.seq;
	at = function_of(im, READ_TEXT, &ref);
	if (is_read(im, at, ref) && !fence_tls_add(im, out, at, FENCE_TLS_READ_RUSTLS))
		out->at[1].box = fields.box;
	snprintf(out->how, sizeof(out->how), "texts of its record layer%s",
		 out->count < 2 ? "; answers are not seen" : "");
	return 0;
}
