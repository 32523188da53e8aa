/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 1. Walk the first bytes of a TCP stream, one octet at a time, wherever a segment or a TLS
 * record ends, until they say where it goes: the server_name of a TLS ClientHello (RFC 8446 4.1.2,
 * RFC 6066 3), or what an HTTP proxy is asked for (proxy.h). Pure; the host tests build this very
 * file.
 *
 * Lengths are checked against what encloses them; whatever does not add up is BAD, and so is a
 * second server_name. What lies between is jumped over, not read, so a 2 kB key share costs
 * nothing.
 *
 * A hello is not the last one: a server may ask for another (HelloRetryRequest), which comes in
 * clear as well. fence_walk_on() walks what follows, until it is encrypted (DONE) or a hello again
 * (NAME, ABSENT). Early data may lie between the two, so a hello that announces some is watched for
 * FENCE_EARLY_MAX octets; what servers pass over is far less.
 */
#ifndef FENCE_BPF_WALK_H
#define FENCE_BPF_WALK_H

#include <crmfence/name.h>
#include "proxy.h"

#define TLS_CIPHER 20 /* change_cipher_spec */
#define TLS_HANDSHAKE 22
#define TLS_DATA 23 /* application_data */
#define TLS_RECORD_MAX 16384 /* RFC 8446 5.1 */
#define TLS_SEALED_MAX (16384 + 2048) /* RFC 5246 6.2.3 */

#define FENCE_EARLY_MAX (1u << 20)
#define FENCE_FLIGHT_MAX (1u << 17) /* octets of one handshake message that is no hello */

enum fence_walk_state {
	FENCE_WALK_MORE, /* undecided: feed on */
	FENCE_WALK_NAME, /* a whole hello with a server name, in name */
	FENCE_WALK_ABSENT, /* a whole hello without one */
	FENCE_WALK_CONNECT, /* CONNECT request complete, authority in name and proxy.port */
	FENCE_WALK_PLAIN, /* a request in absolute form to a proxy, likewise */
	FENCE_WALK_OTHER, /* neither TLS nor, where a proxy is spoken to, a request to one */
	FENCE_WALK_BAD, /* TLS or a request that does not parse, or is too long */
	FENCE_WALK_EARLY, /* the proxy has not answered yet */
	FENCE_WALK_DONE, /* behind a hello: nothing more comes in clear */
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
	FENCE_W_VERSION, /* behind a change of cipher: is it a hello's? */
};

struct fence_walk {
	__u32 total; /* octets taken; of what follows a hello, octets of early data */
	__u32 skip; /* handshake octets to jump over */
	__u32 left; /* of the handshake message */
	__u32 number; /* an integer that is being read */
	__u16 rec_left; /* of the TLS record */
	__u16 ext_left; /* of the extensions block */
	__u16 ext_len; /* of the extension */
	__u16 ext_type;
	__u16 port; /* inside a tunnel: what CONNECT asked for */
	__u16 name_left;
	__u8 state; /* enum fence_walk_state */
	__u8 step; /* enum fence_walk_step */
	__u8 got; /* octets of `number` so far */
	__u8 rec_got;
	__u8 rec_type;
	__u8 rec_hi; /* high octet of the record's length */
	__u8 asks; /* a proxy is spoken to */
	__u8 tls; /* the first octet was a handshake record's */
	__u8 hello; /* the message is a ClientHello */
	__u8 named; /* the server name is complete, the hello perhaps not */
	__u8 again; /* a hello was there before */
	__u8 early; /* it announced early data */
	__u8 began; /* it was initialised */
	__u8 cipher; /* a change of cipher was there: what follows may be encrypted */
	struct fence_proxy proxy;
	struct fence_name name;
};

/* A stream's beginning; `asks`: of one to a proxy. What the proxy says stays. */
FENCE_INLINE void fence_walk_init(struct fence_walk *w, int asks)
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
	w->rec_type = 0;
	w->rec_hi = 0;
	w->asks = (__u8)asks;
	w->tls = 0;
	w->hello = 0;
	w->named = 0;
	w->again = 0;
	w->early = 0;
	w->cipher = 0;
	w->began = 1;
	fence_proxy_begin(&w->proxy);
	fence_name_init(&w->name);
}

/*
 * On, behind a hello, a CONNECT or a plain request that was let pass. After a hello the name that
 * it gave is the caller's to remember.
 */
FENCE_INLINE void fence_walk_on(struct fence_walk *w)
{
	w->state = FENCE_WALK_MORE;
	if (!w->tls)
		return;
	w->again = 1;
	w->named = 0;
	w->total = 0;
	w->step = FENCE_W_HS_TYPE;
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

/* The hello is complete. */
FENCE_INLINE void walk_whole(struct fence_walk *w)
{
	if (w->left)
		walk_bad(w);
	else
		w->state = w->named ? FENCE_WALK_NAME : FENCE_WALK_ABSENT;
}

/* Between two extensions: on to the next, or the end. */
FENCE_INLINE void walk_next_extension(struct fence_walk *w)
{
	w->step = FENCE_W_EXT_TYPE;
	if (!w->ext_left)
		walk_whole(w);
}

/* Octets of the next `avail` that need not be looked at. The caller advances by as many. */
FENCE_INLINE __u32 fence_walk_jump(struct fence_walk *w, __u32 avail)
{
	__u32 n = w->skip;

	if (w->asks)
		return fence_proxy_jump(&w->proxy, avail);
	if (w->rec_type == TLS_DATA)
		n = w->rec_left;
	if (n > w->rec_left)
		n = w->rec_left;
	if (n > avail)
		n = avail;
	w->rec_left -= (__u16)n;
	w->total += n;
	if (w->rec_type == TLS_DATA)
		return n;
	w->skip -= n;
	w->left -= n;
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
	if (w->ext_type == 0 && w->named) { /* a second server name */
		walk_bad(w);
		return;
	}
	w->early |= w->ext_type == 42;
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
		w->named = (__u8)fence_name_ok(&w->name);
		if (w->named)
			walk_next_extension(w);
		else
			walk_bad(w);
	}
}

/* The type of the next handshake message. */
FENCE_INLINE void walk_type(struct fence_walk *w, __u8 c)
{
	w->left = 0;
	w->number = c;
	w->step = FENCE_W_HS_LEN;
	w->got = 0;
	w->hello = c == 1;
	if (w->hello)
		return;
	if (!w->again)
		walk_bad(w);
	else if (w->cipher)
		w->state = FENCE_WALK_DONE; /* encrypted: TLS 1.2's Finished */
}

/* Its length. Behind a change of cipher it may as well be noise that begins with a 1. */
FENCE_INLINE void walk_length(struct fence_walk *w)
{
	w->left = w->number;
	if (!w->hello) {
		w->step = FENCE_W_HS_TYPE;
		w->skip = w->left;
		if (w->left > FENCE_FLIGHT_MAX)
			walk_bad(w);
		return;
	}
	if (w->left > FENCE_HELLO_MAX || w->left < 34) {
		if (w->cipher)
			w->state = FENCE_WALK_DONE;
		else
			walk_bad(w);
		return;
	}
	if (w->cipher)
		w->step = FENCE_W_VERSION;
	else
		walk_skip(w, 34, FENCE_W_SESSION); /* version, random */
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
		walk_type(w, c);
		return;
	case FENCE_W_HS_LEN:
		if (walk_number(w, c, 3))
			walk_length(w);
		return;
	case FENCE_W_VERSION:
		if (c != 3)
			w->state = FENCE_WALK_DONE;
		walk_skip(w, 33, FENCE_W_SESSION);
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

/* A record's header is complete. */
FENCE_INLINE void walk_record_begin(struct fence_walk *w)
{
	w->rec_got = 0;
	if (!w->rec_left || w->rec_left > (w->again ? TLS_SEALED_MAX : TLS_RECORD_MAX) ||
	    (w->rec_type == TLS_CIPHER && w->rec_left != 1))
		walk_bad(w);
	else if (w->rec_type == TLS_DATA && (!w->early || w->total > FENCE_EARLY_MAX))
		w->state = FENCE_WALK_DONE;
}

/* One octet of the record layer. */
FENCE_INLINE void walk_record(struct fence_walk *w, __u8 c)
{
	__u8 i = w->rec_got;

	if (w->rec_left) {
		w->rec_left--;
		if (w->rec_type == TLS_HANDSHAKE)
			walk_handshake(w, c);
		w->cipher |= w->rec_type == TLS_CIPHER;
		return;
	}
	/* type, legacy version 3.x, length 1..2^14; behind the first hello not only handshake */
	if (i == 0) {
		w->rec_type = c;
		if (c != TLS_HANDSHAKE && (!w->again || c < TLS_CIPHER || c > TLS_DATA ||
					   w->step != FENCE_W_HS_TYPE || w->skip))
			walk_bad(w);
	}
	if (i == 1 && c != 3)
		walk_bad(w);
	if (i == 3)
		w->rec_hi = c;
	if (i < 4) {
		w->rec_got = i + 1;
		return;
	}
	w->rec_left = (__u16)(w->rec_hi << 8 | c);
	walk_record_begin(w);
}

FENCE_INLINE void walk_proxy(struct fence_walk *w, __u8 c)
{
	switch (fence_proxy_feed(&w->proxy, &w->name, c)) {
	case FENCE_PROXY_MORE:
		return;
	case FENCE_PROXY_CONNECT:
		w->state = FENCE_WALK_CONNECT;
		return;
	case FENCE_PROXY_PLAIN:
		w->state = FENCE_WALK_PLAIN;
		return;
	case FENCE_PROXY_OTHER:
		w->state = FENCE_WALK_OTHER;
		return;
	case FENCE_PROXY_EARLY:
		w->state = FENCE_WALK_EARLY;
		return;
	default:
		walk_bad(w);
	}
}

/* Take one octet. Only while state is MORE and fence_walk_jump gives 0. */
FENCE_INLINE void fence_walk_feed(struct fence_walk *w, __u8 c)
{
	w->total++;
	if (w->step == FENCE_W_FIRST) {
		w->tls = c == TLS_HANDSHAKE;
		w->step = FENCE_W_HS_TYPE;
		if (!w->tls && !w->asks) {
			w->state = FENCE_WALK_OTHER;
			return;
		}
		if (w->tls && w->asks) {
			w->state = FENCE_WALK_OTHER; /* TLS to the proxy itself */
			return;
		}
	}
	if (w->asks)
		walk_proxy(w, c);
	else
		walk_record(w, c);
}

#endif
