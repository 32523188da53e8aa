/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 0. What a session says to an HTTP proxy, and what the proxy answers (RFC 9112), one octet
 * at a time. Pure; the host tests build this very file.
 *
 * The session's text is attacked: what it means to us has to be what it means to every proxy. So
 * one form of each thing is taken, and the rest is BAD: CR LF ends a line and stands nowhere else,
 * no NUL or other control character, no space before a colon, no folded line, no Transfer-Encoding,
 * one Content-Length, and none in a CONNECT, one Host, and of a plain request the target's (some
 * go by it; of a CONNECT nobody does, and Node says the proxy's there).
 *
 *   CONNECT host:port HTTP/1.1     then nothing of the session's until the proxy's 2xx
 *   GET http://host/path HTTP/1.1  for hosts that may be spoken to in plain text; its body is
 *                                  counted, and the next request has its own host
 *
 * The proxy's text is its own: lines may end in a bare LF. It is read for one thing, whether the
 * last CONNECT was granted, and to its end, for behind a 407 comes the next one's answer.
 */
#ifndef FENCE_BPF_PROXY_H
#define FENCE_BPF_PROXY_H

#include <crmfence/name.h>

#define FENCE_METHOD_MAX 24 /* octets of a method */

/* What the octets so far are. */
enum fence_proxy_found {
	FENCE_PROXY_MORE, /* feed on */
	FENCE_PROXY_CONNECT, /* a CONNECT is complete: name, port */
	FENCE_PROXY_PLAIN, /* a request in absolute form is: name, port; its body comes next */
	FENCE_PROXY_OTHER, /* something else than those two */
	FENCE_PROXY_BAD, /* one of them, but not in the one form that is taken */
	FENCE_PROXY_EARLY, /* more of the session's before the proxy has answered its CONNECT */
};

enum fence_proxy_step {
	FENCE_P_METHOD,
	FENCE_P_SCHEME,
	FENCE_P_HOST,
	FENCE_P_PORT,
	FENCE_P_PATH,
	FENCE_P_VERSION,
	FENCE_P_MINOR,
	FENCE_P_CR, /* the request line's */
	FENCE_P_LF,
	FENCE_P_LINE, /* the first octet of a header line, or of the empty one */
	FENCE_P_FIELD,
	FENCE_P_VALUE,
	FENCE_P_HOST_FIELD,
	FENCE_P_LENGTH, /* Content-Length's value */
	FENCE_P_END, /* the empty line's LF */
	FENCE_P_BODY,
	FENCE_P_WAIT, /* for the proxy's answer */
};

enum fence_proxy_answer {
	FENCE_ANSWER_NONE,
	FENCE_ANSWER_TUNNEL, /* 2xx */
	FENCE_ANSWER_NO, /* ask again */
};

enum fence_reply_step {
	FENCE_R_START, /* "HTTP/1." */
	FENCE_R_MINOR_DIGIT,
	FENCE_R_SPACE,
	FENCE_R_STATUS,
	FENCE_R_REST, /* of the status line */
	FENCE_R_LINE,
	FENCE_R_FIELD,
	FENCE_R_VALUE,
	FENCE_R_LENGTH,
	FENCE_R_CODING, /* "chunked" */
	FENCE_R_BODY,
	FENCE_R_CHUNK, /* its size */
	FENCE_R_CHUNK_REST, /* of the size's line */
	FENCE_R_CHUNK_DATA,
	FENCE_R_CHUNK_END, /* the line end behind its data */
	FENCE_R_TRAILER,
	FENCE_R_LOST, /* not to be followed any more: no answer is taken from here on */
};

/* What the proxy says; the ingress program's. */
struct fence_reply {
	__u64 left; /* octets of the body, or of the chunk, still to come; Content-Length */
	__u32 next; /* sequence number behind what was read */
	__u16 status;
	__u8 step; /* enum fence_reply_step */
	__u8 got;
	__u8 on; /* `next` holds */
	__u8 field; /* FENCE_FIELD_*: what the field name may still be */
	__u8 framed; /* FENCE_FIELD_*: that the head has it */
	__u8 spare[5];
};

#define FENCE_FIELD_LENGTH 1 /* content-length */
#define FENCE_FIELD_CODING 2 /* transfer-encoding */
#define FENCE_FIELD_HOST 4 /* host */
#define FENCE_FIELD_ANY 7

/* What the session says; the egress program's, but for `answer`. */
struct fence_proxy {
	__u64 left; /* octets of the body still to come; Content-Length while it is read */
	__u32 total; /* octets of the head */
	__u32 number; /* the port */
	__u16 port;
	__u8 step; /* enum fence_proxy_step */
	__u8 got; /* octets of a literal or number so far */
	__u8 field; /* FENCE_FIELD_*: what the field name may still be */
	__u8 had; /* FENCE_FIELD_*: that the head has it */
	__u8 connect; /* the method is, or may still be, CONNECT */
	__u8 plain; /* a request in absolute form was taken: no CONNECT comes behind it */
	__u8 answer; /* enum fence_proxy_answer; the ingress program's to set */
	__u8 spare[7];
	struct fence_reply reply;
};

/* The next head. What the proxy said, and that plain requests came, stays. */
FENCE_INLINE void fence_proxy_begin(struct fence_proxy *p)
{
	p->left = 0;
	p->total = 0;
	p->number = 0;
	p->port = 0;
	p->step = FENCE_P_METHOD;
	p->got = 0;
	p->field = 0;
	p->had = 0;
	p->connect = 1;
	p->answer = FENCE_ANSWER_NONE;
}

/* Octet `i` of "content-length", "transfer-encoding" or "host", 0 behind its end. */
FENCE_INLINE __u8 proxy_field_at(__u8 field, __u8 i)
{
	__u64 word;

	if (field == FENCE_FIELD_LENGTH)
		word = i < 8 ? 0x2d746e65746e6f63ULL : i < 14 ? 0x6874676e656cULL : 0;
	else if (field == FENCE_FIELD_HOST)
		word = i < 4 ? 0x74736f68ULL : 0;
	else
		word = i < 8	? 0x726566736e617274ULL
		       : i < 16 ? 0x6e69646f636e652dULL
		       : i < 17 ? 0x67ULL
				: 0;
	return (__u8)(word >> (i % 8 * 8));
}

/* One octet of a field name: what it may still be. */
FENCE_INLINE __u8 proxy_field(__u8 field, __u8 i, __u8 c)
{
	if (c >= 'A' && c <= 'Z')
		c |= 0x20;
	if (c != proxy_field_at(FENCE_FIELD_LENGTH, i))
		field &= ~FENCE_FIELD_LENGTH;
	if (c != proxy_field_at(FENCE_FIELD_CODING, i))
		field &= ~FENCE_FIELD_CODING;
	if (c != proxy_field_at(FENCE_FIELD_HOST, i))
		field &= ~FENCE_FIELD_HOST;
	return field;
}

/* The field name ended after `n` octets: which it is. */
FENCE_INLINE __u8 proxy_field_is(__u8 field, __u8 n)
{
	if (n != 14)
		field &= ~FENCE_FIELD_LENGTH;
	if (n != 17)
		field &= ~FENCE_FIELD_CODING;
	if (n != 4)
		field &= ~FENCE_FIELD_HOST;
	return field;
}

/* RFC 9110 5.6.2 */
FENCE_INLINE int proxy_is_token(__u8 c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return 1;
	return c == '!' || (c >= '#' && c <= '\'') || c == '*' || c == '+' || c == '-' ||
	       c == '.' || c == '^' || c == '_' || c == '`' || c == '|' || c == '~';
}

/* `c` as octet `i` of at most eight, little endian */
FENCE_INLINE int proxy_literal(__u64 text, __u8 i, __u8 c)
{
	return (__u8)(text >> (i * 8 & 63)) == c;
}

#define PROXY_CONNECT 0x5443454e4e4f43ULL /* "CONNECT" */
#define PROXY_SCHEME 0x2f2f3a70747468ULL /* "http://" */
#define PROXY_HTTP1 0x2e312f50545448ULL /* "HTTP/1." */

FENCE_INLINE enum fence_proxy_found proxy_to(struct fence_proxy *p, __u8 step)
{
	p->step = step;
	p->got = 0;
	return FENCE_PROXY_MORE;
}

FENCE_INLINE enum fence_proxy_found proxy_method(struct fence_proxy *p, __u8 c)
{
	if (c == ' ' && p->got) {
		p->connect = p->connect && p->got == 7;
		if (p->connect && p->plain)
			return FENCE_PROXY_BAD;
		return proxy_to(p, p->connect ? FENCE_P_HOST : FENCE_P_SCHEME);
	}
	if (!proxy_is_token(c) || p->got >= FENCE_METHOD_MAX)
		return FENCE_PROXY_OTHER;
	if (p->got >= 7 || !proxy_literal(PROXY_CONNECT, p->got, c))
		p->connect = 0;
	p->got++;
	return FENCE_PROXY_MORE;
}

/* Behind host or port: the rest of the target. */
FENCE_INLINE enum fence_proxy_found proxy_target(struct fence_proxy *p, __u8 c)
{
	if (c == ' ')
		return proxy_to(p, FENCE_P_VERSION);
	if (p->connect || c != '/') /* some end a host at '/' alone: "allowed?@other" */
		return FENCE_PROXY_BAD;
	return proxy_to(p, FENCE_P_PATH);
}

FENCE_INLINE enum fence_proxy_found proxy_host(struct fence_proxy *p, struct fence_name *name,
					       __u8 c)
{
	int ends = c == ':' || (!p->connect && (c == '/' || c == ' '));

	if (!ends) {
		fence_name_feed(name, c);
		return name->bad ? FENCE_PROXY_BAD : FENCE_PROXY_MORE;
	}
	if (!fence_name_ok(name))
		return FENCE_PROXY_BAD;
	p->number = 0;
	if (c == ':')
		return proxy_to(p, FENCE_P_PORT);
	p->port = 80;
	return proxy_target(p, c);
}

FENCE_INLINE enum fence_proxy_found proxy_port(struct fence_proxy *p, __u8 c)
{
	if (c >= '0' && c <= '9') {
		if (c == '0' && !p->number)
			return FENCE_PROXY_BAD;
		p->number = p->number * 10 + (c - '0');
		return p->number > 65535 ? FENCE_PROXY_BAD : FENCE_PROXY_MORE;
	}
	if (!p->number)
		return FENCE_PROXY_BAD;
	p->port = (__u16)p->number;
	return proxy_target(p, c);
}

/* The name of a header field, or where its value begins. */
FENCE_INLINE enum fence_proxy_found proxy_header(struct fence_proxy *p, __u8 c)
{
	__u8 field;

	if (c != ':') {
		if (!proxy_is_token(c))
			return FENCE_PROXY_BAD;
		p->field = proxy_field(p->field, p->got, c);
		if (p->got < 255)
			p->got++;
		return FENCE_PROXY_MORE;
	}
	field = proxy_field_is(p->field, p->got);
	if (field & FENCE_FIELD_CODING)
		return FENCE_PROXY_BAD;
	if (field & p->had || (field & FENCE_FIELD_LENGTH && p->connect))
		return FENCE_PROXY_BAD;
	p->had |= field;
	if (field & FENCE_FIELD_HOST && !p->connect) {
		p->number = 0;
		return proxy_to(p, FENCE_P_HOST_FIELD);
	}
	if (!(field & FENCE_FIELD_LENGTH))
		return proxy_to(p, FENCE_P_VALUE);
	p->left = 0;
	return proxy_to(p, FENCE_P_LENGTH);
}

/*
 * Host: the target's, for some take it for the target. `got`: octets of the name that were equal,
 * 255 behind it; `number`: the port, which is 80 when it is not said.
 */
FENCE_INLINE enum fence_proxy_found proxy_host_field(struct fence_proxy *p,
						     const struct fence_name *name, __u8 c)
{
	int whole = p->got == name->len || p->got == 255;

	if ((c == ' ' || c == '\t') && !p->got)
		return FENCE_PROXY_MORE;
	if (c >= 'A' && c <= 'Z')
		c |= 0x20;
	if (p->got < name->len && p->got < 254 && (__u8)name->text[p->got] == c) {
		p->got++;
		return FENCE_PROXY_MORE;
	}
	if (!whole)
		return FENCE_PROXY_BAD;
	if (c == ':' && p->got != 255) {
		p->got = 255;
		return FENCE_PROXY_MORE;
	}
	if (c >= '0' && c <= '9' && p->got == 255 && (p->number || c != '0')) {
		p->number = p->number * 10 + (c - '0');
		return p->number > 65535 ? FENCE_PROXY_BAD : FENCE_PROXY_MORE;
	}
	if (c != '\r')
		return FENCE_PROXY_BAD;
	return (p->got == 255 ? p->number : 80) == p->port ? proxy_to(p, FENCE_P_LF)
							   : FENCE_PROXY_BAD;
}

/* Content-Length: `got` 0 before its digits, then their number, 255 behind them. */
FENCE_INLINE enum fence_proxy_found proxy_length(struct fence_proxy *p, __u8 c)
{
	if (c >= '0' && c <= '9' && p->got < 15) {
		p->left = p->left * 10 + (c - '0');
		p->got++;
		return FENCE_PROXY_MORE;
	}
	if (c == ' ' || c == '\t') {
		if (p->got)
			p->got = 255;
		return FENCE_PROXY_MORE;
	}
	return c == '\r' && p->got ? proxy_to(p, FENCE_P_LF) : FENCE_PROXY_BAD;
}

FENCE_INLINE enum fence_proxy_found proxy_line(struct fence_proxy *p, __u8 c)
{
	if (c == '\r')
		return proxy_to(p, FENCE_P_END);
	proxy_to(p, FENCE_P_FIELD);
	p->field = FENCE_FIELD_ANY;
	return c == ':' ? FENCE_PROXY_BAD : proxy_header(p, c);
}

FENCE_INLINE enum fence_proxy_found proxy_value(struct fence_proxy *p, __u8 c)
{
	if (c == '\r')
		return proxy_to(p, FENCE_P_LF);
	return (c < ' ' && c != '\t') || c == 127 ? FENCE_PROXY_BAD : FENCE_PROXY_MORE;
}

/* Octets of the next `avail` that need not be looked at. The caller advances by as many. */
FENCE_INLINE __u32 fence_proxy_jump(struct fence_proxy *p, __u32 avail)
{
	__u32 n = avail;

	if (p->step != FENCE_P_BODY)
		return 0;
	if (n > p->left)
		n = (__u32)p->left;
	p->left -= n;
	return n;
}

/* One octet; `name` takes the host. Not where fence_proxy_jump() gives some. */
FENCE_INLINE enum fence_proxy_found fence_proxy_feed(struct fence_proxy *p, struct fence_name *name,
						     __u8 c)
{
	if (p->step == FENCE_P_BODY) { /* it is over */
		fence_proxy_begin(p);
		fence_name_init(name);
	}
	if (p->step == FENCE_P_WAIT)
		return FENCE_PROXY_EARLY;
	if (++p->total > FENCE_CONNECT_MAX)
		return FENCE_PROXY_BAD;
	switch (p->step) {
	case FENCE_P_METHOD:
		return proxy_method(p, c);
	case FENCE_P_SCHEME:
		if (!proxy_literal(PROXY_SCHEME, p->got, c))
			return FENCE_PROXY_OTHER;
		return ++p->got < 7 ? FENCE_PROXY_MORE : proxy_to(p, FENCE_P_HOST);
	case FENCE_P_HOST:
		return proxy_host(p, name, c);
	case FENCE_P_PORT:
		return proxy_port(p, c);
	case FENCE_P_PATH:
		if (c == ' ')
			return proxy_to(p, FENCE_P_VERSION);
		return c < ' ' || c == 127 ? FENCE_PROXY_BAD : FENCE_PROXY_MORE;
	case FENCE_P_VERSION:
		if (!proxy_literal(PROXY_HTTP1, p->got, c))
			return FENCE_PROXY_BAD;
		return ++p->got < 7 ? FENCE_PROXY_MORE : proxy_to(p, FENCE_P_MINOR);
	case FENCE_P_MINOR:
		return c == '0' || c == '1' ? proxy_to(p, FENCE_P_CR) : FENCE_PROXY_BAD;
	case FENCE_P_CR:
		return c == '\r' ? proxy_to(p, FENCE_P_LF) : FENCE_PROXY_BAD;
	case FENCE_P_LF:
		return c == '\n' ? proxy_to(p, FENCE_P_LINE) : FENCE_PROXY_BAD;
	case FENCE_P_LINE:
		return proxy_line(p, c);
	case FENCE_P_FIELD:
		return proxy_header(p, c);
	case FENCE_P_VALUE:
		return proxy_value(p, c);
	case FENCE_P_LENGTH:
		return proxy_length(p, c);
	case FENCE_P_HOST_FIELD:
		return proxy_host_field(p, name, c);
	default: /* FENCE_P_END */
		if (c != '\n')
			return FENCE_PROXY_BAD;
		p->step = p->connect ? FENCE_P_WAIT : FENCE_P_BODY;
		p->plain |= !p->connect;
		return p->connect ? FENCE_PROXY_CONNECT : FENCE_PROXY_PLAIN;
	}
}

/* ---- the proxy's side ---- */

FENCE_INLINE void reply_to(struct fence_reply *r, __u8 step)
{
	r->step = step;
	r->got = 0;
}

/* The head is complete. */
FENCE_INLINE void reply_head(struct fence_proxy *p, struct fence_reply *r)
{
	__u8 class = (__u8)(r->status / 100);

	if (class == 1) {
		reply_to(r, FENCE_R_START);
		return;
	}
	if (p->step != FENCE_P_WAIT) { /* nothing was asked */
		reply_to(r, FENCE_R_LOST);
		return;
	}
	if (class == 2) {
		reply_to(r, FENCE_R_LOST);
		p->answer = FENCE_ANSWER_TUNNEL;
		return;
	}
	if (r->framed & FENCE_FIELD_CODING && !(r->framed & FENCE_FIELD_LENGTH))
		reply_to(r, FENCE_R_CHUNK);
	else if (r->framed != FENCE_FIELD_LENGTH) /* until it closes, or nobody knows */
		reply_to(r, FENCE_R_LOST);
	else
		reply_to(r, r->left ? FENCE_R_BODY : FENCE_R_START);
	if (r->step == FENCE_R_CHUNK)
		r->left = 0;
	p->answer = FENCE_ANSWER_NO;
}

FENCE_INLINE void reply_status(struct fence_reply *r, __u8 c)
{
	if (c < '0' || c > '9') {
		r->step = FENCE_R_LOST;
		return;
	}
	r->status = (__u16)(r->status * 10 + (c - '0'));
	if (++r->got == 3)
		reply_to(r, FENCE_R_REST);
}

/* A header line: its first octet, or one of its name. */
FENCE_INLINE void reply_field(struct fence_proxy *p, struct fence_reply *r, __u8 c)
{
	if (r->step == FENCE_R_LINE) {
		if (c == '\r')
			return;
		if (c == '\n') {
			reply_head(p, r);
			return;
		}
		reply_to(r, FENCE_R_FIELD);
		r->field = FENCE_FIELD_ANY;
	}
	if (c == '\n') {
		reply_to(r, FENCE_R_LINE);
	} else if (c != ':') {
		r->field = proxy_field(r->field, r->got, c);
		if (r->got < 255)
			r->got++;
	} else {
		r->field = proxy_field_is(r->field, r->got) & ~FENCE_FIELD_HOST;
		if (r->field & r->framed) { /* said twice */
			reply_to(r, FENCE_R_LOST);
			return;
		}
		r->framed |= r->field;
		if (r->field & FENCE_FIELD_LENGTH)
			r->left = 0;
		reply_to(r, r->field & FENCE_FIELD_LENGTH   ? FENCE_R_LENGTH
			    : r->field & FENCE_FIELD_CODING ? FENCE_R_CODING
							    : FENCE_R_VALUE);
	}
}

/* A number that does not fit is none; zeros in front are. */
FENCE_INLINE void reply_digit(struct fence_reply *r, __u8 digit, __u8 base)
{
	if (r->left >> 40)
		r->step = FENCE_R_LOST;
	r->left = r->left * base + digit;
	r->got = 1;
}

/* Content-Length's value: digits, and white space round them. `got`: 2 behind them. */
FENCE_INLINE void reply_length(struct fence_reply *r, __u8 c)
{
	if (c >= '0' && c <= '9' && r->got < 2)
		reply_digit(r, c - '0', 10);
	else if (c == '\n' && r->got)
		reply_to(r, FENCE_R_LINE);
	else if ((c == ' ' || c == '\t' || c == '\r') && (r->got || c != '\r'))
		r->got = r->got ? 2 : 0;
	else
		r->step = FENCE_R_LOST;
}

/* Transfer-Encoding's: "chunked", or the body's end is not known. */
FENCE_INLINE void reply_coding(struct fence_reply *r, __u8 c)
{
	const __u64 chunked = 0x64656b6e756863ULL;

	if (r->got == 7 && c == '\n')
		reply_to(r, FENCE_R_LINE);
	else if (r->got < 7 && proxy_literal(chunked, r->got, c | 0x20) && c != ' ')
		r->got++;
	else if ((c != ' ' && c != '\t' && c != '\r') || (r->got && r->got < 7))
		r->step = FENCE_R_LOST;
}

/* The size of a chunk, in hexadecimal. */
FENCE_INLINE void reply_chunk(struct fence_reply *r, __u8 c)
{
	__u8 low = c | 0x20;

	if (c >= '0' && c <= '9') {
		reply_digit(r, c - '0', 16);
	} else if (low >= 'a' && low <= 'f') {
		reply_digit(r, low - 'a' + 10, 16);
	} else if (!r->got) {
		r->step = FENCE_R_LOST;
	} else if (c == '\n') {
		reply_to(r, r->left ? FENCE_R_CHUNK_DATA : FENCE_R_TRAILER);
	} else {
		r->step = FENCE_R_CHUNK_REST;
	}
}

/* As fence_proxy_jump(). */
FENCE_INLINE __u32 fence_reply_jump(struct fence_reply *r, __u32 avail)
{
	__u32 n = avail;

	if (r->step == FENCE_R_LOST)
		return avail;
	if (r->step != FENCE_R_BODY && r->step != FENCE_R_CHUNK_DATA)
		return 0;
	if (n > r->left)
		n = (__u32)r->left;
	r->left -= n;
	if (!r->left)
		reply_to(r, r->step == FENCE_R_BODY ? FENCE_R_START : FENCE_R_CHUNK_END);
	return n;
}

/* One octet of the proxy's. Sets p->answer. */
FENCE_INLINE void fence_reply_feed(struct fence_proxy *p, __u8 c)
{
	struct fence_reply *r = &p->reply;

	switch (r->step) {
	case FENCE_R_START:
		if (!proxy_literal(PROXY_HTTP1, r->got, c)) {
			r->step = FENCE_R_LOST;
			return;
		}
		if (++r->got < 7)
			return;
		r->status = 0;
		r->framed = 0;
		r->left = 0;
		reply_to(r, FENCE_R_MINOR_DIGIT);
		return;
	case FENCE_R_MINOR_DIGIT:
		r->step = FENCE_R_SPACE;
		return;
	case FENCE_R_SPACE:
		reply_to(r, c == ' ' ? FENCE_R_STATUS : FENCE_R_LOST);
		return;
	case FENCE_R_STATUS:
		reply_status(r, c);
		return;
	case FENCE_R_LINE:
	case FENCE_R_FIELD:
		reply_field(p, r, c);
		return;
	case FENCE_R_LENGTH:
		reply_length(r, c);
		return;
	case FENCE_R_CODING:
		reply_coding(r, c);
		return;
	case FENCE_R_CHUNK:
		reply_chunk(r, c);
		return;
	case FENCE_R_CHUNK_REST:
		if (c == '\n')
			reply_to(r, r->left ? FENCE_R_CHUNK_DATA : FENCE_R_TRAILER);
		return;
	case FENCE_R_CHUNK_END:
		if (c == '\n') {
			reply_to(r, FENCE_R_CHUNK);
			r->left = 0;
		}
		return;
	case FENCE_R_TRAILER: /* `got`: octets of the line, but for its CR */
		if (c == '\n')
			reply_to(r, r->got ? FENCE_R_TRAILER : FENCE_R_START);
		else if (c != '\r')
			r->got = 1;
		return;
	default:
		break;
	}
	if (c == '\n')
		reply_to(r, FENCE_R_LINE);
}

#endif
