/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 1. DNS messages (RFC 1035 4.1), as a confined process may send them and as a resolver
 * answers. Pure; the host tests build this very file. The message lies in a buffer of FENCE_DNS_BUF
 * octets, so that a masked index is always inside it.
 *
 * A question is accepted only in the plainest form: one question, class IN, nothing else but one
 * OPT record with little data, not a byte after it. That leaves no room for a channel beside the
 * name, which has to be an allowed one.
 *
 * Of an answer every A and AAAA of the answer section is used: the resolver, not the order of its
 * records, is what is trusted, and it follows CNAME chains itself. The TTL of an address is the
 * least on the way, CNAMEs included.
 */
#ifndef FENCE_BPF_DNS_H
#define FENCE_BPF_DNS_H

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

/* A question that a confined process sends. d->bad, d->name.bad and d->qtype say what it is. */
FENCE_INLINE void fence_dns_ask(const __u8 *msg, __u32 len, struct fence_dns *d)
{
	struct fence_dns_cursor c = { .msg = msg, .out = d, .len = len };
	__u16 extra;
	__u32 rdlen;

	dns_question(&c, 0xf8, 0); /* QR 0, opcode QUERY */
	if (d->bad)
		return;
	extra = dns_u16(msg, 10);
	if (d->answers || dns_u16(msg, 8) || extra > 1 || len > FENCE_DNS_ASK_MAX) {
		d->bad = 1;
		return;
	}
	if (!extra) {
		d->bad = c.off != len;
		return;
	}
	if (c.off + 11 > len || dns_at(msg, c.off) || dns_u16(msg, c.off + 1) != FENCE_DNS_OPT) {
		d->bad = 1;
		return;
	}
	rdlen = dns_u16(msg, c.off + 9);
	if (rdlen > FENCE_DNS_OPT_MAX || c.off + 11 + rdlen != len)
		d->bad = 1;
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
