/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 1. The head of an HTTP request in the octets that a program gives to its TLS library, one
 * octet at a time: its authority, and the org of a Salesforce credential (the 15 characters before
 * the "!" of a session id). HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113, 7541). Pure; the host tests
 * build this very file.
 *
 * It is read at the beginning of a write, where requests begin. What does not look like one there
 * is UNKNOWN, and so is a head that goes on in another write: the agent, who sees the whole stream,
 * decides then. HPACK's dynamic table is not kept: a field by its index was a literal once, and
 * looked at then.
 */
#ifndef FENCE_BPF_HEAD_H
#define FENCE_BPF_HEAD_H

#include <crmfence/name.h>

#define FENCE_HEAD_BUF 2048 /* octets of a write that are looked at */
#define FENCE_ORIGIN_MAX 64 /* a power of two; an extension's id has 32 characters, or 36 */
#define FENCE_ORG_LEN 15 /* characters of an org id before its case suffix */

enum fence_head_state {
	FENCE_HEAD_MORE, /* feed on */
	FENCE_HEAD_DONE, /* a request's head is complete; fence_head_next for the one behind it */
	FENCE_HEAD_UNKNOWN,
};

enum fence_head_step {
	FENCE_H_FIRST,
	FENCE_H_LINE, /* HTTP/1: the request line */
	FENCE_H_NAME, /* a field's name */
	FENCE_H_VALUE,
	FENCE_H_FIELD, /* HTTP/2: a field's first octet */
	FENCE_H_INDEX, /* an integer that goes on (RFC 7541 5.1) */
	FENCE_H_NAMELEN,
	FENCE_H_VALUELEN,
	FENCE_H_LENGTH, /* of a string, going on */
	FENCE_H_STRING,
};

#define FENCE_H_PORT 1
#define FENCE_H_SPACE 2 /* and nothing may follow */
#define FENCE_H_CR 3 /* and nothing but LF may follow */

enum fence_head_target {
	FENCE_H_NOTHING,
	FENCE_H_HOST,
	FENCE_H_CREDENTIAL,
	FENCE_H_ORIGIN,
	FENCE_H_SITE,
	FENCE_H_MODE
};

/* A short text as a number: its octets, the last one lowest; longer, or with a NUL: all ones. */
struct fence_head_word {
	__u64 high, low;
};

struct fence_head {
	struct fence_head_word word; /* a field's name */
	__u64 window; /* the last eight octets of the request line */
	__u64 site, mode; /* Sec-Fetch-Site and -Mode (Fetch Metadata), as a word's low; 0: none */
	__u32 skip; /* octets to jump over */
	__u32 left; /* HTTP/2: of the frame's payload, padding not counted */
	__u32 pad; /* ... and its padding */
	__u32 number; /* an integer that is being read; octets of the string that are left */
	__u16 bits; /* Huffman: what is not decoded yet */
	__u8 nbits;
	__u8 state; /* enum fence_head_state */
	__u8 step; /* enum fence_head_step */
	__u8 two; /* HTTP/2 */
	__u8 got; /* octets of the frame's header */
	__u8 type; /* of the frame */
	__u8 flags;
	__u8 prologue; /* octets of the payload before the fields */
	__u8 shift; /* of an integer that goes on */
	__u8 literal; /* the field has a value of its own */
	__u8 naming; /* the string is a name */
	__u8 huffman; /* the string is coded */
	__u8 target; /* enum fence_head_target: what the value is */
	__u8 hosts; /* authorities of this request */
	__u8 port; /* what is behind the authority's name: FENCE_H_PORT ...; 0: nothing yet */
	__u8 run; /* letters and digits in a row, of a credential */
	__u8 has_org; /* org holds */
	__u8 origin_len; /* octets of origin, or more than it has; 0: there is none */
	__u8 unsure; /* of what was looked at, something may be an authority or a credential */
	__u8 tunnel; /* :protocol, RFC 8441: what follows is no body */
	char last[16]; /* of the run */
	char origin[FENCE_ORIGIN_MAX]; /* of the Origin field, what is behind its last '/' */
	char org[16];
	struct fence_name name; /* the authority, without its port */
};

/* RFC 7541 Appendix B, codes of at most 8 bits: length << 8 | octet by the next 8 bits; 0: longer.
 */
static const __u16 fence_huffman[256] = {
	0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x531, 0x531, 0x531, 0x531, 0x531,
	0x531, 0x531, 0x531, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x561, 0x561,
	0x561, 0x561, 0x561, 0x561, 0x561, 0x561, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563,
	0x563, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565, 0x569, 0x569, 0x569, 0x569,
	0x569, 0x569, 0x569, 0x569, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x573,
	0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x574, 0x574, 0x574, 0x574, 0x574, 0x574,
	0x574, 0x574, 0x620, 0x620, 0x620, 0x620, 0x625, 0x625, 0x625, 0x625, 0x62d, 0x62d, 0x62d,
	0x62d, 0x62e, 0x62e, 0x62e, 0x62e, 0x62f, 0x62f, 0x62f, 0x62f, 0x633, 0x633, 0x633, 0x633,
	0x634, 0x634, 0x634, 0x634, 0x635, 0x635, 0x635, 0x635, 0x636, 0x636, 0x636, 0x636, 0x637,
	0x637, 0x637, 0x637, 0x638, 0x638, 0x638, 0x638, 0x639, 0x639, 0x639, 0x639, 0x63d, 0x63d,
	0x63d, 0x63d, 0x641, 0x641, 0x641, 0x641, 0x65f, 0x65f, 0x65f, 0x65f, 0x662, 0x662, 0x662,
	0x662, 0x664, 0x664, 0x664, 0x664, 0x666, 0x666, 0x666, 0x666, 0x667, 0x667, 0x667, 0x667,
	0x668, 0x668, 0x668, 0x668, 0x66c, 0x66c, 0x66c, 0x66c, 0x66d, 0x66d, 0x66d, 0x66d, 0x66e,
	0x66e, 0x66e, 0x66e, 0x670, 0x670, 0x670, 0x670, 0x672, 0x672, 0x672, 0x672, 0x675, 0x675,
	0x675, 0x675, 0x73a, 0x73a, 0x742, 0x742, 0x743, 0x743, 0x744, 0x744, 0x745, 0x745, 0x746,
	0x746, 0x747, 0x747, 0x748, 0x748, 0x749, 0x749, 0x74a, 0x74a, 0x74b, 0x74b, 0x74c, 0x74c,
	0x74d, 0x74d, 0x74e, 0x74e, 0x74f, 0x74f, 0x750, 0x750, 0x751, 0x751, 0x752, 0x752, 0x753,
	0x753, 0x754, 0x754, 0x755, 0x755, 0x756, 0x756, 0x757, 0x757, 0x759, 0x759, 0x76a, 0x76a,
	0x76b, 0x76b, 0x771, 0x771, 0x776, 0x776, 0x777, 0x777, 0x778, 0x778, 0x779, 0x779, 0x77a,
	0x77a, 0x826, 0x82a, 0x82c, 0x83b, 0x858, 0x85a, 0x000, 0x000,
};

/* Fields by their names, folded: the text itself, for any hash of it could be met by another. */
#define FENCE_H_LOW_HOST 0x00000000686f7374ULL
#define FENCE_H_HIGH_AUTHORITY 0x3a61ULL /* :authority */
#define FENCE_H_LOW_AUTHORITY 0x7574686f72697479ULL
#define FENCE_H_HIGH_AUTHORIZATION 0x617574686fULL
#define FENCE_H_LOW_AUTHORIZATION 0x72697a6174696f6eULL
#define FENCE_H_LOW_COOKIE 0x0000636f6f6b6965ULL
#define FENCE_H_HIGH_ACCESSTOKEN 0x616363ULL /* gRPC metadata of Pub/Sub */
#define FENCE_H_LOW_ACCESSTOKEN 0x657373746f6b656eULL
#define FENCE_H_HIGH_SESSION 0x782d73666463ULL /* x-sfdc-session, of Bulk 1.0 */
#define FENCE_H_LOW_SESSION 0x2d73657373696f6eULL
#define FENCE_H_HIGH_PROTOCOL 0x3aULL /* :protocol */
#define FENCE_H_LOW_PROTOCOL 0x70726f746f636f6cULL
#define FENCE_H_STATIC 61 /* entries of HPACK's static table */
#define FENCE_H_LOW_ORIGIN 0x00006f726967696eULL
#define FENCE_H_HIGH_FETCH 0x7365632d6665ULL /* sec-fetch-site, sec-fetch-mode */
#define FENCE_H_LOW_SITE 0x7463682d73697465ULL
#define FENCE_H_LOW_MODE 0x7463682d6d6f6465ULL
#define FENCE_H_NONE 0x000000006e6f6e65ULL /* "none", its value */
#define FENCE_H_CORS 0x00000000636f7273ULL
#define FENCE_H_BANG 0xfe /* first 8 bits of "!", and of three more that no credential has */
#define FENCE_H_HTTP1 0x485454502f312eULL /* "HTTP/1." */
#define FENCE_H_HTTP2 0x485454502f322e30ULL /* "HTTP/2.0" */

FENCE_INLINE void head_word_clear(struct fence_head_word *w)
{
	w->high = 0;
	w->low = 0;
}

FENCE_INLINE void head_word_feed(struct fence_head_word *w, __u8 c)
{
	if (w->high >> 56 || !c) {
		w->high = ~0ULL;
		w->low = ~0ULL;
		return;
	}
	w->high = w->high << 8 | w->low >> 56;
	w->low = w->low << 8 | c;
}

FENCE_INLINE int head_word_is(const struct fence_head_word *w, __u64 high, __u64 low)
{
	return w->high == high && w->low == low;
}

/* Another request may follow; how far the frame is stays. */
FENCE_INLINE void fence_head_next(struct fence_head *h)
{
	head_word_clear(&h->word);
	h->window = 0;
	h->state = FENCE_HEAD_MORE;
	h->step = h->two ? FENCE_H_FIELD : FENCE_H_FIRST;
	h->target = FENCE_H_NOTHING;
	h->hosts = 0;
	h->naming = 0;
	h->port = 0;
	h->run = 0;
	h->has_org = 0;
	h->origin_len = 0;
	h->site = 0;
	h->mode = 0;
	h->tunnel = 0;
	fence_name_init(&h->name);
}

FENCE_INLINE void fence_head_init(struct fence_head *h)
{
	h->skip = 0;
	h->left = 0;
	h->pad = 0;
	h->number = 0;
	h->bits = 0;
	h->nbits = 0;
	h->two = 0;
	h->got = 0;
	h->type = 0;
	h->flags = 0;
	h->prologue = 0;
	h->shift = 0;
	h->literal = 0;
	h->naming = 0;
	h->huffman = 0;
	h->unsure = 0;
	fence_head_next(h);
}

/* Octets of the next `avail` that need not be looked at. The caller advances by as many. */
FENCE_INLINE __u32 fence_head_jump(struct fence_head *h, __u32 avail)
{
	__u32 n = h->skip < avail ? h->skip : avail;

	h->skip -= n;
	return n;
}

/*
 * The write ends here, and there is nothing in it that only who sees the whole stream can tell: no
 * head is left open, and each field was read.
 */
FENCE_INLINE int fence_head_told(const struct fence_head *h)
{
	return !h->unsure && h->state == FENCE_HEAD_MORE && !h->got && !h->left &&
	       h->step == (h->two ? FENCE_H_FIELD : FENCE_H_FIRST);
}

/* No page and no person makes such a request: an extension does, and does not say which. */
FENCE_INLINE int fence_head_is_anonymous(const struct fence_head *h)
{
	return h->site == FENCE_H_NONE && h->mode == FENCE_H_CORS && !h->origin_len;
}

/* What was fed does not begin as a request of any version does. */
FENCE_INLINE int fence_head_is_foreign(const struct fence_head *h)
{
	return h->state == FENCE_HEAD_UNKNOWN && h->step == FENCE_H_FIRST;
}

FENCE_INLINE int head_is_alnum(__u8 c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "00D" and twelve more, alone, before "!": a session id or access token begins with its org. */
FENCE_INLINE void head_credential(struct fence_head *h, __u8 c)
{
	__u32 i;

	if (head_is_alnum(c)) {
		if (h->run < FENCE_ORG_LEN)
			h->last[h->run & 15] = (char)c;
		if (h->run <= FENCE_ORG_LEN)
			h->run++;
		return;
	}
	if (c == '!' && h->run == FENCE_ORG_LEN && h->last[0] == '0' && h->last[1] == '0' &&
	    h->last[2] == 'D' && !h->has_org) {
		for (i = 0; i < FENCE_ORG_LEN; i++)
			h->org[i] = h->last[i];
		h->org[FENCE_ORG_LEN] = 0;
		h->has_org = 1;
	}
	h->run = 0;
}

FENCE_INLINE __u8 head_target(const struct fence_head_word *w)
{
	if (head_word_is(w, 0, FENCE_H_LOW_HOST) ||
	    head_word_is(w, FENCE_H_HIGH_AUTHORITY, FENCE_H_LOW_AUTHORITY))
		return FENCE_H_HOST;
	if (head_word_is(w, 0, FENCE_H_LOW_ORIGIN))
		return FENCE_H_ORIGIN;
	if (head_word_is(w, FENCE_H_HIGH_FETCH, FENCE_H_LOW_SITE))
		return FENCE_H_SITE;
	if (head_word_is(w, FENCE_H_HIGH_FETCH, FENCE_H_LOW_MODE))
		return FENCE_H_MODE;
	return head_word_is(w, FENCE_H_HIGH_AUTHORIZATION, FENCE_H_LOW_AUTHORIZATION) ||
			       head_word_is(w, 0, FENCE_H_LOW_COOKIE) ||
			       head_word_is(w, FENCE_H_HIGH_ACCESSTOKEN, FENCE_H_LOW_ACCESSTOKEN) ||
			       head_word_is(w, FENCE_H_HIGH_SESSION, FENCE_H_LOW_SESSION)
		       ? FENCE_H_CREDENTIAL
		       : FENCE_H_NOTHING;
}

/* A value begins. A second authority is nobody's: which one a server takes is its own choice. */
FENCE_INLINE void head_value(struct fence_head *h)
{
	h->run = 0;
	if (h->target == FENCE_H_SITE)
		h->site = 0;
	if (h->target == FENCE_H_MODE)
		h->mode = 0;
	if (h->target == FENCE_H_ORIGIN)
		h->origin_len = 0;
	if (h->target != FENCE_H_HOST)
		return;
	h->port = 0;
	if (h->hosts)
		h->name.bad = 1;
	h->hosts = 1;
}

/* "chrome-extension://" and 32 letters. */
FENCE_INLINE void head_origin(struct fence_head *h, __u8 c)
{
	if (c == '/') {
		h->origin_len = 0;
		return;
	}
	if (h->origin_len < FENCE_ORIGIN_MAX)
		h->origin[h->origin_len & (FENCE_ORIGIN_MAX - 1)] = (char)c;
	h->origin_len += h->origin_len <= FENCE_ORIGIN_MAX;
}

/* A short value as a number: what is longer than eight octets is none that is looked for. */
FENCE_INLINE __u64 head_value_word(__u64 word, __u8 c)
{
	return word >> 56 || !c ? ~0ULL : word << 8 | c;
}

/* One octet of a name or value, decoded. */
FENCE_INLINE void head_octet(struct fence_head *h, __u8 c)
{
	if (h->naming) {
		head_word_feed(&h->word, c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	} else if (h->target == FENCE_H_CREDENTIAL) {
		head_credential(h, c);
	} else if (h->target == FENCE_H_ORIGIN) {
		head_origin(h, c);
	} else if (h->target == FENCE_H_SITE) {
		h->site = head_value_word(h->site, c);
	} else if (h->target == FENCE_H_MODE) {
		h->mode = head_value_word(h->mode, c);
	} else if (h->target == FENCE_H_HOST) {
		if (h->port >= FENCE_H_SPACE)
			h->name.bad = 1;
		else if (c == ':' && !h->name.bad)
			h->port = FENCE_H_PORT;
		else if (!h->port)
			fence_name_feed(&h->name, c);
	}
}

/* ---- HTTP/1.1 ---- */

FENCE_INLINE void head_line(struct fence_head *h, __u8 c)
{
	if (c == '\r')
		return;
	if (c != '\n') {
		h->window = h->window << 8 | c;
		return;
	}
	if (h->window == FENCE_H_HTTP2) { /* the preface, RFC 9113 3.4 */
		h->two = 1;
		h->skip = 8;
		h->step = FENCE_H_FIELD;
	} else if ((h->window >> 8 & 0xffffffffffffffULL) == FENCE_H_HTTP1) {
		h->step = FENCE_H_NAME;
	} else {
		h->state = FENCE_HEAD_UNKNOWN;
	}
}

FENCE_INLINE void head_space(struct fence_head *h, __u8 c)
{
	h->run = 0; /* "Bearer 00D...": the run begins behind it */
	if (h->target != FENCE_H_HOST)
		return;
	if (h->port == FENCE_H_CR)
		h->name.bad = 1;
	else if (c == '\r')
		h->port = FENCE_H_CR;
	else if (h->name.len && !h->port)
		h->port = FENCE_H_SPACE;
}

FENCE_INLINE void head_one(struct fence_head *h, __u8 c)
{
	switch (h->step) {
	case FENCE_H_LINE:
		head_line(h, c);
		return;
	case FENCE_H_NAME:
		h->naming = 1;
		if (c == '\n' && head_word_is(&h->word, 0, 0))
			h->state = FENCE_HEAD_DONE;
		if (c == '\r')
			return;
		if (c != ':' && c != '\n') {
			head_octet(h, c);
			return;
		}
		h->naming = 0;
		h->target = c == ':' ? head_target(&h->word) : FENCE_H_NOTHING;
		head_word_clear(&h->word);
		h->step = c == ':' ? FENCE_H_VALUE : FENCE_H_NAME;
		head_value(h);
		return;
	default:
		if (c == '\n')
			h->step = FENCE_H_NAME;
		else if (c == ' ' || c == '\t' || c == '\r')
			head_space(h, c);
		else
			head_octet(h, c);
	}
}

/* ---- HTTP/2 ---- */

/* One octet of a frame's header. */
FENCE_INLINE void head_frame(struct fence_head *h, __u8 c)
{
	h->got++;
	if (h->got <= 3)
		h->left = h->left << 8 | c;
	else if (h->got == 4)
		h->type = c;
	else if (h->got == 5)
		h->flags = c;
	if (h->got < 9)
		return;
	h->got = 0;
	h->pad = 0;
	h->prologue = 0;
	if (h->left > 0xffff || h->type > 0x10) /* nothing that a client sends at its beginning */
		h->state = FENCE_HEAD_UNKNOWN;
	if (h->type == 1)
		h->prologue = !!(h->flags & 8) + (h->flags & 0x20 ? 5 : 0);
	if (h->type == 1 || h->type == 9)
		return;
	h->skip = h->left;
	h->left = 0;
}

/* The mask right before the table, where the verifier wants it. */
FENCE_INLINE __u16 head_code(__u32 peek)
{
#ifdef __bpf__
	asm volatile("" : "+r"(peek));
#endif
	return fence_huffman[peek & 0xff];
}

/* A string is over: the last bits are a symbol's, or padding. */
FENCE_INLINE void head_string_end(struct fence_head *h)
{
	__u16 code;

	if (h->huffman && h->nbits >= 5 && h->nbits < 8) {
		code = head_code((__u32)h->bits << (8 - h->nbits) | 0xffu >> h->nbits);
		if (code && code >> 8 <= h->nbits)
			head_octet(h, (__u8)code);
	}
	if (!h->naming) {
		h->step = FENCE_H_FIELD;
		return;
	}
	h->naming = 0;
	h->target = head_target(&h->word);
	h->tunnel |= (__u8)head_word_is(&h->word, FENCE_H_HIGH_PROTOCOL, FENCE_H_LOW_PROTOCOL);
	head_word_clear(&h->word);
	h->step = FENCE_H_VALUELEN;
}

/* One symbol of what waits, when there are enough bits for any. */
FENCE_INLINE void head_symbol(struct fence_head *h)
{
	__u32 peek;
	__u16 code;

	if (h->nbits < 8)
		return;
	peek = (__u32)h->bits >> ((h->nbits - 8) & 7);
	code = head_code(peek);
	if (!code) { /* no name of a host or field, and no id, has such an octet */
		if ((peek & 0xff) == FENCE_H_BANG) /* ... but the one behind the org's */
			head_octet(h, '!');
		if (h->target == FENCE_H_HOST && !h->naming)
			h->name.bad = 1;
		if (h->target == FENCE_H_CREDENTIAL && !h->has_org)
			h->unsure = 1;
		h->target = FENCE_H_NOTHING;
		h->word.high = ~0ULL;
		h->nbits = 0;
		h->huffman = 0;
		h->naming |= 2; /* not decoded any further */
		return;
	}
	h->nbits -= (__u8)(code >> 8);
	h->bits &= (__u16)((1u << h->nbits) - 1);
	head_octet(h, (__u8)code);
}

FENCE_INLINE void head_string(struct fence_head *h, __u8 c)
{
	if (h->huffman) {
		h->bits = (__u16)(h->bits << 8 | c);
		h->nbits += 8;
		head_symbol(h);
		head_symbol(h);
	} else if (!(h->naming & 2)) {
		head_octet(h, c);
	}
	if (!--h->number) {
		h->naming &= 1;
		head_string_end(h);
	}
}

/* An index is complete. */
FENCE_INLINE void head_index(struct fence_head *h)
{
	h->step = FENCE_H_FIELD;
	if (!h->literal)
		return;
	/* the static table: 1 :authority, 23 authorization, 32 cookie; 38 host */
	h->target = h->number == 1 || h->number == 38	 ? FENCE_H_HOST
		    : h->number == 23 || h->number == 32 ? FENCE_H_CREDENTIAL
							 : FENCE_H_NOTHING;
	if (h->number > FENCE_H_STATIC)
		h->unsure = 1;
	h->step = h->number ? FENCE_H_VALUELEN : FENCE_H_NAMELEN;
}

/* A string's length is complete. */
FENCE_INLINE void head_length(struct fence_head *h)
{
	h->bits = 0;
	h->nbits = 0;
	h->step = FENCE_H_STRING;
	if (h->naming)
		head_word_clear(&h->word);
	else
		head_value(h);
	if (!h->number)
		head_string_end(h);
}

/* An integer of RFC 7541 5.1 begins with the low bits of `c`: 1 when it is complete. */
FENCE_INLINE int head_integer(struct fence_head *h, __u8 c, __u8 mask)
{
	h->number = c & mask;
	h->shift = 0;
	return h->number < mask;
}

/* ... and goes on. */
FENCE_INLINE int head_integer_more(struct fence_head *h, __u8 c)
{
	if (h->shift > 14)
		h->state = FENCE_HEAD_UNKNOWN;
	else
		h->number += (__u32)(c & 0x7f) << h->shift;
	h->shift += 7;
	return !(c & 0x80);
}

FENCE_INLINE void head_field(struct fence_head *h, __u8 c)
{
	__u8 mask = c & 0x80 ? 0x7f : c & 0x40 ? 0x3f : c & 0x20 ? 0x1f : 0x0f;

	switch (h->step) {
	case FENCE_H_FIELD:
		h->literal = !(c & 0x80) && (c & 0x60) != 0x20;
		if (head_integer(h, c, mask))
			head_index(h);
		else
			h->step = FENCE_H_INDEX;
		return;
	case FENCE_H_INDEX:
		if (head_integer_more(h, c))
			head_index(h);
		return;
	case FENCE_H_NAMELEN:
	case FENCE_H_VALUELEN:
		h->naming = h->step == FENCE_H_NAMELEN;
		h->huffman = c >> 7;
		if (head_integer(h, c, 0x7f))
			head_length(h);
		else
			h->step = FENCE_H_LENGTH;
		return;
	case FENCE_H_LENGTH:
		if (head_integer_more(h, c))
			head_length(h);
		return;
	default:
		head_string(h, c);
	}
}

/* The length of the padding, and a priority, RFC 9113 6.2. */
FENCE_INLINE void head_prologue(struct fence_head *h, __u8 c)
{
	if (h->flags & 8) {
		h->pad = c;
		h->flags &= 0xf7;
	}
	if (--h->prologue)
		return;
	if (h->pad > h->left)
		h->state = FENCE_HEAD_UNKNOWN;
	else
		h->left -= h->pad;
}

/* One octet of HTTP/2. */
FENCE_INLINE void head_two(struct fence_head *h, __u8 c)
{
	if (h->got || !h->left) {
		head_frame(h, c);
	} else {
		h->left--;
		if (h->prologue)
			head_prologue(h, c);
		else
			head_field(h, c);
	}
	if (h->left || h->got || (h->type != 1 && h->type != 9))
		return;
	if (h->prologue)
		h->state = FENCE_HEAD_UNKNOWN;
	h->skip += h->pad;
	h->pad = 0;
	if (!(h->flags & 4)) /* END_HEADERS */
		h->unsure = 1;
	else if (h->state == FENCE_HEAD_MORE)
		h->state = h->step == FENCE_H_FIELD ? FENCE_HEAD_DONE : FENCE_HEAD_UNKNOWN;
	h->type = 0;
}

/* Take one octet. Only while state is MORE and fence_head_jump gives 0. */
FENCE_INLINE void fence_head_feed(struct fence_head *h, __u8 c)
{
	if (h->step == FENCE_H_FIRST) {
		if (c >= 'A' && c <= 'Z') {
			h->step = FENCE_H_LINE;
		} else if (!c) { /* a frame's length begins with it */
			h->two = 1;
			h->step = FENCE_H_FIELD;
		} else {
			h->state = FENCE_HEAD_UNKNOWN;
			return;
		}
	}
	if (h->two)
		head_two(h, c);
	else
		head_one(h, c);
}

#endif
