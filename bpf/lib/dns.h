/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 1. DNS messages (RFC 1035 4.1), as a confined process may send them and as a resolver
 * answers. Pure; the host tests build this very file. The message lies in a buffer of FENCE_DNS_BUF
 * octets, so that a masked index is always inside it.
 *
 * A question is accepted only in the form that resolvers of today's systems write: one question of
 * class IN, of the flags RD, AD and CD alone, and behind it nothing, or one OPT record (RFC 6891)
 * of version 0 with DO alone and a cookie (RFC 7873) or no option; not a byte after it. What a
 * session can still choose (id, flags, case of the letters, UDP size, cookie, the star of an
 * `acme--*` name) is bounded by how many questions it may ask that differ, see question.h.
 *
 * Of an answer every A and AAAA of the answer section is used: the resolver, not the order of its
 * records, is what is trusted, and it follows CNAME chains itself. The TTL of an address is the
 * least on the way, CNAMEs included.
 */
#ifndef FENCE_BPF_DNS_H
#define FENCE_BPF_DNS_H

#include <crmfence/hash.h>
#include <crmfence/name.h>
#include "loop.h"

#define FENCE_DNS_BUF 2048
#define FENCE_DNS_ADDRS \
	128 /* addresses of one answer that are used: more do not fit in the buffer */
#define FENCE_DNS_STEPS 640

#define FENCE_DNS_A 1
#define FENCE_DNS_CNAME 5
#define FENCE_DNS_AAAA 28
#define FENCE_DNS_OPT 41
#define FENCE_DNS_COOKIE 10

struct fence_dns_addr {
	__u8 addr[16];
};

struct fence_dns {
	__u32 count; /* addresses in addrs */
	__u32 ttl; /* seconds, least of all records used */
	__u32 end; /* offset behind the question section */
	__u16 id; /* as on the wire */
	__u16 qtype;
	__u16 answers; /* ANCOUNT */
	__u8 bad; /* 1: not a message of the wanted form */
	__u8 rcode;
	struct fence_name name; /* of the question */
	struct fence_dns_addr addrs[FENCE_DNS_ADDRS];
};

struct fence_dns_cursor {
	const __u8 *msg;
	struct fence_dns *out;
	__u32 len;
	__u32 off;
	__u32 left; /* octets of the label, records of the section */
	__u16 done;
	__u16 cut; /* more of the message follows elsewhere: what is complete counts */
};

FENCE_INLINE __u8 dns_at(const __u8 *msg, __u32 off)
{
	return msg[off & (FENCE_DNS_BUF - 1)];
}

FENCE_INLINE __u16 dns_u16(const __u8 *msg, __u32 off)
{
	return (__u16)(dns_at(msg, off) << 8 | dns_at(msg, off + 1));
}

/* One octet of the question's name. */
static long dns_name_step(__u32 i, void *ctx)
{
	struct fence_dns_cursor *c = ctx;
	__u8 octet;

	(void)i;
	if (c->off >= c->len) {
		c->out->bad = 1;
		return 1;
	}
	octet = dns_at(c->msg, c->off++);
	if (c->left) {
		c->left--;
		if (octet == '.') /* a dot inside a label is not a host name's */
			c->out->name.bad = 1;
		fence_name_feed(&c->out->name, octet);
		return 0;
	}
	if (!octet) {
		c->done = 1;
		return 1;
	}
	if (octet > FENCE_LABEL_MAX) {
		c->out->bad = 1;
		return 1;
	}
	if (c->out->name.len)
		fence_name_feed(&c->out->name, '.');
	c->left = octet;
	return 0;
}

/* Header and question section, common to both directions. */
FENCE_INLINE void dns_question(struct fence_dns_cursor *c, __u8 flags_mask, __u8 flags_want)
{
	struct fence_dns *d = c->out;
	const __u8 *m = c->msg;

	d->count = 0;
	d->ttl = 0xffffffff;
	d->end = 0;
	d->qtype = 0;
	d->answers = 0;
	d->bad = 0;
	d->rcode = 0;
	fence_name_init(&d->name);
	if (c->len < 17 || c->len > FENCE_DNS_BUF) {
		d->bad = 1;
		return;
	}
	__builtin_memcpy(&d->id, m, 2);
	d->rcode = m[3] & 15;
	d->answers = dns_u16(m, 6);
	if ((m[2] & flags_mask) != flags_want || dns_u16(m, 4) != 1) {
		d->bad = 1;
		return;
	}
	c->off = 12 + fence_vague();
	c->left = fence_vague();
	c->done = (__u16)fence_vague();
	fence_loop(256, dns_name_step, c);
	if (!c->done || c->off + 4 > c->len || dns_u16(m, c->off + 2) != 1) {
		d->bad = 1;
		return;
	}
	d->qtype = dns_u16(m, c->off);
	c->off += 4;
	d->end = c->off;
}

/*
 * The one record that may stand behind a question, at `off`: root, OPT, a size that RFC 6891 6.2.3
 * knows, no extended RCODE, version 0, DO or nothing, and no option but a client's cookie of 8
 * octets, or that with a server's of 8 to 32. What is read beyond the end is in the buffer, and the
 * length at last has to be right.
 */
FENCE_INLINE int dns_opt_ok(const __u8 *m, __u32 off, __u32 len)
{
	__u32 rdlen, cookie;

	if (dns_at(m, off) || dns_u16(m, off + 1) != FENCE_DNS_OPT ||
	    dns_u16(m, off + 3) < FENCE_DNS_SIZE_MIN || dns_u16(m, off + 5) ||
	    dns_u16(m, off + 7) & 0x7fff)
		return 0;
	rdlen = dns_u16(m, off + 9);
	if (off + 11 + rdlen != len)
		return 0;
	if (!rdlen)
		return 1;
	if (rdlen > FENCE_DNS_OPT_MAX || dns_u16(m, off + 11) != FENCE_DNS_COOKIE)
		return 0;
	cookie = dns_u16(m, off + 13);
	return cookie + 4 == rdlen && (cookie == 8 || cookie >= 16);
}

/* A question that a confined process sends. d->bad, d->name.bad and d->qtype say what it is. */
FENCE_INLINE void fence_dns_ask(const __u8 *msg, __u32 len, struct fence_dns *d)
{
	struct fence_dns_cursor c = { .msg = msg, .out = d, .len = len };
	__u16 extra;

	dns_question(&c, 0xfe, 0); /* of the first octet of flags RD alone */
	if (d->bad)
		return;
	extra = dns_u16(msg, 10);
	d->bad = msg[3] & 0xcf || d->answers || dns_u16(msg, 8) || len > FENCE_DNS_ASK_MAX ||
		 (extra ? extra > 1 || !dns_opt_ok(msg, c.off, len) : c.off != len);
}

struct dns_marker {
	const __u8 *msg;
	struct fence_hash *hash;
	__u32 len;
};

/* One octet behind the id. */
static long dns_mark_step(__u32 i, void *ctx)
{
	struct dns_marker *m = ctx;

	if (i + 2 >= m->len)
		return 1;
	fence_hash_feed(m->hash, i, dns_at(m->msg, i + 2));
	return 0;
}

/*
 * What tells a question from others: all of it but its id, under a key that its sender lacks.
 * `room` is the hash's, for there is little on a program's stack.
 */
FENCE_INLINE __u64 fence_dns_mark(const __u64 key[FENCE_HASH_KEY], const __u8 *msg, __u32 len,
				  struct fence_hash *room)
{
	struct dns_marker m = { .msg = msg, .hash = room, .len = len };

	fence_hash_init(room, key);
	fence_loop(FENCE_DNS_ASK_MAX, dns_mark_step, &m);
	return fence_hash_end(room);
}

FENCE_INLINE void dns_keep(struct fence_dns_cursor *c, __u16 type, __u16 rdlen)
{
	struct fence_dns *d = c->out;
	__u32 n = d->count, i, at;

	if (n >= FENCE_DNS_ADDRS)
		return;
	at = n & (FENCE_DNS_ADDRS - 1);
	if (type == FENCE_DNS_A && rdlen == 4) {
		__builtin_memset(d->addrs[at].addr, 0, 10);
		d->addrs[at].addr[10] = 0xff;
		d->addrs[at].addr[11] = 0xff;
		for (i = 0; i < 4; i++)
			d->addrs[at].addr[12 + i] = dns_at(c->msg, c->off + i);
		d->count = n + 1;
	} else if (type == FENCE_DNS_AAAA && rdlen == 16) {
		for (i = 0; i < 16; i++)
			d->addrs[at].addr[i] = dns_at(c->msg, c->off + i);
		d->count = n + 1;
	}
}

/* The octets end inside a record. */
FENCE_INLINE long dns_short(struct fence_dns_cursor *c)
{
	if (c->cut)
		c->left = 0;
	else
		c->out->bad = 1;
	return 1;
}

/* One label of a record's name, or, when the name is behind, the record. */
static long dns_record_step(__u32 i, void *ctx)
{
	struct fence_dns_cursor *c = ctx;
	__u16 type, rdlen;
	__u32 ttl;
	__u8 octet;

	(void)i;
	if (!c->left)
		return 1;
	if (c->off + 1 > c->len)
		return dns_short(c);
	octet = dns_at(c->msg, c->off);
	if (octet && octet <= FENCE_LABEL_MAX) {
		c->off += 1 + octet;
		return 0;
	}
	if (octet && (octet & 0xc0) != 0xc0) {
		c->out->bad = 1;
		return 1;
	}
	c->off += octet ? 2 : 1;
	if (c->off + 10 > c->len)
		return dns_short(c);
	type = dns_u16(c->msg, c->off);
	ttl = (__u32)dns_u16(c->msg, c->off + 4) << 16 | dns_u16(c->msg, c->off + 6);
	rdlen = dns_u16(c->msg, c->off + 8);
	c->off += 10;
	if (c->off + rdlen > c->len)
		return dns_short(c);
	if (type == FENCE_DNS_A || type == FENCE_DNS_AAAA || type == FENCE_DNS_CNAME) {
		if (ttl < c->out->ttl)
			c->out->ttl = ttl;
		dns_keep(c, type, rdlen);
	}
	c->off += rdlen;
	c->left--;
	return 0;
}

/*
 * An answer: d->addrs, d->count, d->ttl. bad: nothing of it may be used. `cut`: these are its first
 * octets.
 */
FENCE_INLINE void fence_dns_answer(const __u8 *msg, __u32 len, int cut, struct fence_dns *d)
{
	struct fence_dns_cursor c = { .msg = msg, .out = d, .len = len, .cut = !!cut };

	dns_question(&c, 0xf8, 0x80); /* QR 1, opcode QUERY */
	if (d->bad || d->rcode)
		return;
	c.left = d->answers;
	fence_loop(FENCE_DNS_STEPS, dns_record_step, &c);
	if (c.left)
		d->bad = 1;
	if (d->bad)
		d->count = 0;
}

#endif
