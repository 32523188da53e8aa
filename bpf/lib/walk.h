/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 1. Walk the first bytes of a TCP stream, one octet at a time, wherever a segment or a TLS
 * record ends, until they say where it goes: the server_name of a TLS ClientHello (RFC 8446 4.1.2,
 * RFC 6066 3), or the authority of an HTTP CONNECT (RFC 9110 9.3.6). Pure; the host tests build
 * this very file.
 *
 * Lengths are checked against what encloses them; whatever does not add up is BAD. What lies
 * between the length and the name is jumped over, not read, so a 2 kB key share costs nothing.
 */
#ifndef FENCE_BPF_WALK_H
#define FENCE_BPF_WALK_H

#include <crmfence/name.h>

enum fence_walk_state {
	FENCE_WALK_MORE, /* undecided: feed on */
	FENCE_WALK_NAME, /* server name complete, in name */
	FENCE_WALK_ABSENT, /* a whole hello without one */
	FENCE_WALK_CONNECT, /* CONNECT request complete, authority in name and port */
	FENCE_WALK_OTHER, /* neither TLS nor, where a proxy is spoken to, CONNECT */
	FENCE_WALK_BAD, /* TLS or CONNECT that does not parse, or is too long */
};

enum fence_walk_step {
	FENCE_W_FIRST,
	FENCE_W_HS_TYPE,
	FENCE_W_HS_LEN,
	FENCE_W_SESSION,
	FENCE_W_CIPHERS,
	FENCE_W_COMPRESSION,
	FENCE_W_EXTENSIONS,
	FENCE_W_EXT_TYPE,
	FENCE_W_EXT_LEN,
	FENCE_W_SNI_LIST,
	FENCE_W_SNI_TYPE,
	FENCE_W_SNI_LEN,
	FENCE_W_SNI_NAME,
	FENCE_W_VERB,
	FENCE_W_HOST,
	FENCE_W_PORT,
	FENCE_W_VERSION,
	FENCE_W_HEADERS,
};

struct fence_walk {
	__u32 total; /* octets taken */
	__u32 skip; /* handshake octets to jump over */
	__u32 left; /* of the handshake message */
	__u32 number; /* an integer that is being read */
	__u16 rec_left; /* of the TLS record */
	__u16 ext_left; /* of the extensions block */
	__u16 ext_len; /* of the extension */
	__u16 ext_type;
	__u16 port;
	__u16 name_left;
	__u8 state; /* enum fence_walk_state */
	__u8 step; /* enum fence_walk_step */
	__u8 got; /* octets of `number`, or of a literal, so far */
	__u8 rec_got;
	__u8 proxy; /* expects CONNECT */
	__u8 tls; /* the first octet was a handshake record's */
	__u8 rec_hi; /* high octet of the record's length */
	__u8 spare;
	struct fence_name name;
};

FENCE_INLINE void fence_walk_init(struct fence_walk *w, int proxy)
{
	w->total = 0;
	w->skip = 0;
	w->left = 0;
	w->number = 0;
	w->rec_left = 0;
	w->ext_left = 0;
	w->ext_len = 0;
	w->ext_type = 0;
	w->port = 0;
	w->name_left = 0;
	w->state = FENCE_WALK_MORE;
	w->step = FENCE_W_FIRST;
	w->got = 0;
	w->rec_got = 0;
	w->proxy = (__u8)proxy;
	w->tls = 0;
	w->rec_hi = 0;
	w->spare = 0;
	fence_name_init(&w->name);
}

/* An integer of `bytes` octets, most significant first: 1 when complete in number. */
FENCE_INLINE int walk_number(struct fence_walk *w, __u8 c, __u8 bytes)
{
	if (!w->got)
		w->number = 0;
	w->number = w->number << 8 | c;
	if (++w->got < bytes)
		return 0;
	w->got = 0;
	return 1;
}

FENCE_INLINE void walk_bad(struct fence_walk *w)
{
	w->state = FENCE_WALK_BAD;
}

/* Between two extensions: on to the next, or the end of a hello without a name. */
FENCE_INLINE void walk_next_extension(struct fence_walk *w)
{
	w->step = FENCE_W_EXT_TYPE;
	if (!w->ext_left)
		w->state = w->left == 0 ? FENCE_WALK_ABSENT : FENCE_WALK_BAD;
}

/* Octets of the next `avail` that need not be looked at. The caller advances by as many. */
FENCE_INLINE __u32 fence_walk_jump(struct fence_walk *w, __u32 avail)
{
	__u32 n = w->skip;

	if (n > w->rec_left)
		n = w->rec_left;
	if (n > avail)
		n = avail;
	w->skip -= n;
	w->left -= n;
	w->rec_left -= (__u16)n;
	w->total += n;
	if (n && !w->skip && w->step == FENCE_W_EXT_TYPE)
		walk_next_extension(w);
	return n;
}

FENCE_INLINE void walk_skip(struct fence_walk *w, __u32 n, __u8 step)
{
	w->step = step;
	w->skip = n;
	if (n > w->left)
		walk_bad(w);
}

FENCE_INLINE void walk_extension(struct fence_walk *w)
{
	__u16 len = (__u16)w->number;

	if (w->ext_left < 4u + len) {
		walk_bad(w);
		return;
	}
	w->ext_left -= 4 + len;
	w->ext_len = len;
	if (w->ext_type) {
		w->skip = len;
		w->step = FENCE_W_EXT_TYPE;
		if (!w->ext_left && !len)
			walk_next_extension(w);
		return;
	}
	w->step = FENCE_W_SNI_LIST;
}

FENCE_INLINE void walk_sni(struct fence_walk *w, __u8 c)
{
	switch (w->step) {
	case FENCE_W_SNI_LIST:
		if (!walk_number(w, c, 2))
			return;
		if (w->number + 2 != w->ext_len)
			walk_bad(w);
		w->step = FENCE_W_SNI_TYPE;
		return;
	case FENCE_W_SNI_TYPE:
		if (c)
			walk_bad(w);
		w->step = FENCE_W_SNI_LEN;
		return;
	case FENCE_W_SNI_LEN:
		if (!walk_number(w, c, 2))
			return;
		if (w->number + 5 != w->ext_len || !w->number || w->number > FENCE_NAME_MAX)
			walk_bad(w);
		w->name_left = (__u16)w->number;
		w->step = FENCE_W_SNI_NAME;
		return;
	default:
		fence_name_feed(&w->name, c);
		if (--w->name_left)
			return;
		w->state = fence_name_ok(&w->name) ? FENCE_WALK_NAME : FENCE_WALK_BAD;
	}
}

/* One octet of the handshake message. */
FENCE_INLINE void walk_handshake(struct fence_walk *w, __u8 c)
{
	if (w->step > FENCE_W_HS_LEN) {
		if (!w->left) {
			walk_bad(w);
			return;
		}
		w->left--;
	}
	switch (w->step) {
	case FENCE_W_HS_TYPE:
		if (c != 1)
			walk_bad(w);
		w->step = FENCE_W_HS_LEN;
		return;
	case FENCE_W_HS_LEN:
		if (!walk_number(w, c, 3))
			return;
		w->left = w->number;
		if (w->left > FENCE_HELLO_MAX)
			walk_bad(w);
		walk_skip(w, 34, FENCE_W_SESSION); /* version, random */
		return;
	case FENCE_W_SESSION:
		if (c > 32)
			walk_bad(w);
		walk_skip(w, c, FENCE_W_CIPHERS);
		return;
	case FENCE_W_CIPHERS:
		if (!walk_number(w, c, 2))
			return;
		walk_skip(w, w->number, FENCE_W_COMPRESSION);
		return;
	case FENCE_W_COMPRESSION:
		walk_skip(w, c, FENCE_W_EXTENSIONS);
		if (c == w->left && w->state == FENCE_WALK_MORE) /* TLS 1.2 without extensions */
			w->state = FENCE_WALK_ABSENT;
		return;
	case FENCE_W_EXTENSIONS:
		if (!walk_number(w, c, 2))
			return;
		w->ext_left = (__u16)w->number;
		if (w->number != w->left)
			walk_bad(w);
		else
			walk_next_extension(w);
		return;
	case FENCE_W_EXT_TYPE:
		if (!w->ext_left) { /* the last one was jumped over, yet something follows */
			walk_bad(w);
			return;
		}
		if (!walk_number(w, c, 2))
			return;
		w->ext_type = (__u16)w->number;
		w->step = FENCE_W_EXT_LEN;
		return;
	case FENCE_W_EXT_LEN:
		if (walk_number(w, c, 2))
			walk_extension(w);
		return;
	default:
		walk_sni(w, c);
	}
}

/* One octet of the record layer. */
FENCE_INLINE void walk_record(struct fence_walk *w, __u8 c)
{
	__u8 i = w->rec_got;

	if (w->rec_left) {
		w->rec_left--;
		walk_handshake(w, c);
		return;
	}
	/* type handshake, legacy version 3.x, length 1..2^14 */
	if ((i == 0 && c != 22) || (i == 1 && c != 3)) {
		walk_bad(w);
		return;
	}
	if (i == 3)
		w->rec_hi = c;
	if (i < 4) {
		w->rec_got = i + 1;
		return;
	}
	w->rec_got = 0;
	w->rec_left = (__u16)(w->rec_hi << 8 | c);
	if (!w->rec_left || w->rec_left > 16384)
		walk_bad(w);
}

/* `c` as octet `i` of "CONNECT " or "HTTP/1." */
FENCE_INLINE int walk_literal(__u64 text, __u8 i, __u8 c)
{
	return (__u8)(text >> (i * 8 & 63)) == c;
}

/* One octet of a CONNECT request. */
FENCE_INLINE void walk_connect(struct fence_walk *w, __u8 c)
{
	switch (w->step) {
	case FENCE_W_VERB: /* "CONNECT ", little endian */
		if (!walk_literal(0x205443454e4e4f43ULL, w->got, c))
			w->state = FENCE_WALK_OTHER;
		if (++w->got < 8)
			return;
		w->got = 0;
		w->step = FENCE_W_HOST;
		return;
	case FENCE_W_HOST:
		if (c != ':') {
			fence_name_feed(&w->name, c);
			if (w->name.bad)
				walk_bad(w);
			return;
		}
		if (!fence_name_ok(&w->name))
			walk_bad(w);
		w->number = 0;
		w->step = FENCE_W_PORT;
		return;
	case FENCE_W_PORT:
		if (c >= '0' && c <= '9') {
			w->number = w->number * 10 + (c - '0');
			if (w->number > 65535)
				walk_bad(w);
			return;
		}
		if (c != ' ' || !w->number)
			walk_bad(w);
		w->port = (__u16)w->number;
		w->step = FENCE_W_VERSION;
		return;
	case FENCE_W_VERSION: /* "HTTP/1." */
		if (!walk_literal(0x2e312f50545448ULL, w->got, c))
			walk_bad(w);
		if (++w->got < 7)
			return;
		w->got = 0;
		w->step = FENCE_W_HEADERS;
		return;
	default: /* to the empty line: CR LF CR LF */
		if (c == (w->got & 1 ? '\n' : '\r'))
			w->got++;
		else
			w->got = c == '\r';
		if (w->got == 4)
			w->state = FENCE_WALK_CONNECT;
		else if (w->total >= FENCE_CONNECT_MAX)
			walk_bad(w);
	}
}

/* Take one octet. Only while state is MORE and fence_walk_jump gives 0. */
FENCE_INLINE void fence_walk_feed(struct fence_walk *w, __u8 c)
{
	w->total++;
	if (w->step == FENCE_W_FIRST) {
		if (w->proxy) {
			w->step = FENCE_W_VERB;
		} else if (c == 22) {
			w->step = FENCE_W_HS_TYPE;
			w->tls = 1;
		} else {
			w->state = FENCE_WALK_OTHER;
			return;
		}
	}
	if (w->tls)
		walk_record(w, c);
	else
		walk_connect(w, c);
}

#endif
