// SPDX-License-Identifier: Apache-2.0
/*
 * The BPF walkers, built for the host, against parsers written apart from them, on mutated inputs:
 * whatever the bytes, both must say the same. Also: however a stream is cut, the walk ends alike.
 *
 * usage: walkers CORPUS_DIR ROUNDS [SEED]; prints the input of the first difference.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/lib/dns.h"
#include "../../bpf/lib/walk.h"
#include "base/buf.h"
#include "wire/dns.h"
#include "random.h"

#define INPUT 2048
#define SEEDS 64

static struct {
	char name[64];
	uint8_t data[INPUT];
	size_t len;
} seeds[SEEDS];
static size_t nseeds;
/* ---- the other hello parser: recursive descent over octets pulled through the records ---- */

struct source {
	const uint8_t *data;
	size_t len, at;
	unsigned int record; /* octets left */
	int end; /* why no octet came: FENCE_WALK_MORE, FENCE_WALK_BAD or FENCE_WALK_DONE */
	int inside; /* a handshake message, not between two */
	long rest;
	int later, early, cipher; /* a hello was there; it had early data; a change of cipher was */
};

static int raw(struct source *s)
{
	if (s->at < s->len)
		return s->data[s->at++];
	s->end = FENCE_WALK_MORE;
	return -1;
}

static int stop(struct source *s, int why)
{
	s->end = why;
	return -1;
}

/* The header of the next record that is part of the handshake; what lies between is passed over. */
static int next_record(struct source *s)
{
	int type, major, hi, lo;
	unsigned int n;

	for (;;) {
		type = raw(s);
		if (type < 0)
			return -1;
		if (type != 22 && !(s->later && !s->inside && type >= 20 && type <= 23))
			return stop(s, FENCE_WALK_BAD);
		major = raw(s);
		if (major < 0)
			return -1;
		if (major != 3)
			return stop(s, FENCE_WALK_BAD);
		if (raw(s) < 0)
			return -1;
		hi = raw(s);
		lo = hi < 0 ? -1 : raw(s);
		if (lo < 0)
			return -1;
		n = (unsigned int)(hi * 256 + lo);
		if (n < 1 || n > (s->later ? 18432u : 16384u) || (type == 20 && n != 1))
			return stop(s, FENCE_WALK_BAD);
		if (type == 22) {
			s->record = n;
			return 0;
		}
		if (type == 23 && !s->early)
			return stop(s, FENCE_WALK_DONE);
		while (n--)
			if (raw(s) < 0)
				return -1;
		s->cipher |= type == 20;
	}
}

static int pull(struct source *s)
{
	int c;

	if (!s->record && next_record(s) < 0)
		return -1;
	c = raw(s);
	if (c >= 0)
		s->record--;
	return c;
}

static long number(struct source *s, int octets)
{
	long n = 0;
	int c;

	while (octets--) {
		c = pull(s);
		if (c < 0)
			return -1;
		n = n * 256 + c;
	}
	return n;
}

static int pass(struct source *s, long n)
{
	while (n--)
		if (pull(s) < 0)
			return -1;
	return 0;
}

#define BAD_IF(c) \
	do { \
		if (c) \
			return FENCE_WALK_BAD; \
	} while (0)
#define NEED(c) \
	do { \
		if ((c) < 0) \
			return s->end; \
	} while (0)

/* One server_name extension of `len` octets. */
static int server_name(struct source *s, long len, char *name)
{
	char text[256];
	long n, i, label = 0, dots = 0;
	int c, ok = 1;

	BAD_IF(len < 1);
	NEED(n = number(s, 2));
	BAD_IF(n + 2 != len);
	BAD_IF(len < 3);
	NEED(c = pull(s));
	BAD_IF(c);
	NEED(n = number(s, 2));
	BAD_IF(n + 5 != len || n < 1 || n > 253);
	for (i = 0; i < n; i++) {
		NEED(c = pull(s));
		if (c >= 'A' && c <= 'Z')
			c += 32;
		if (c == '.') {
			ok &= label > 0;
			label = 0;
			dots++;
		} else {
			ok &= (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
			      c == '_';
			ok &= ++label <= 63;
		}
		text[i] = (char)c;
	}
	text[n] = 0;
	if (!ok || !label || !dots)
		return FENCE_WALK_BAD;
	memcpy(name, text, (size_t)n + 1);
	return FENCE_WALK_NAME;
}

/* A hello of `left` octets behind its version and random; `name` is empty where it has none. */
static int hello_rest(struct source *s, long left, char *name)
{
	long n, type, c;

	if (!left) {
		NEED(pull(s));
		return FENCE_WALK_BAD;
	}
	NEED(c = pull(s));
	left--;
	BAD_IF(c > 32 || c > left);
	NEED(pass(s, c));
	left -= c;
	for (n = 0, c = 0; n < 2; n++, left--) {
		NEED(type = pull(s));
		BAD_IF(!left);
		c = c * 256 + type;
	}
	BAD_IF(c > left);
	NEED(pass(s, c));
	left -= c;
	NEED(c = pull(s));
	BAD_IF(!left);
	left--;
	BAD_IF(c > left);
	if (c == left) { /* no extensions; what is left of it lies before the next hello */
		s->rest = c;
		return FENCE_WALK_ABSENT;
	}
	NEED(pass(s, c));
	left -= c;
	for (n = 0, c = 0; n < 2; n++, left--) {
		NEED(type = pull(s));
		BAD_IF(!left);
		c = c * 256 + type;
	}
	BAD_IF(c != left);
	while (left) {
		for (n = 0, type = 0; n < 4; n++, left--) {
			NEED(c = pull(s));
			BAD_IF(!left);
			type = type * 256 + c;
		}
		n = type & 0xffff;
		BAD_IF(n > left);
		s->early |= type >> 16 == 42;
		BAD_IF(type >> 16 == 0 && *name);
		if (type >> 16 == 0 && !n) { /* the list's length is read from what follows */
			NEED(pull(s));
			BAD_IF(!left);
			NEED(pull(s));
			return FENCE_WALK_BAD;
		}
		if (type >> 16 == 0) {
			c = server_name(s, n, name);
			if (c != FENCE_WALK_NAME)
				return (int)c;
		} else {
			NEED(pass(s, n));
		}
		left -= n;
	}
	return *name ? FENCE_WALK_NAME : FENCE_WALK_ABSENT;
}

/* The next hello, over whatever lies before it. */
static int other_hello(struct source *s, char *name)
{
	long left, c;

	*name = 0;
	if (!s->later && !s->len)
		return FENCE_WALK_MORE;
	if (!s->later && s->data[0] != 22)
		return FENCE_WALK_OTHER;
	NEED(pass(s, s->rest));
	s->rest = 0;
	for (;;) {
		s->inside = 0;
		NEED(c = pull(s));
		s->inside = 1;
		if (c == 1)
			break;
		BAD_IF(!s->later);
		if (s->cipher)
			return FENCE_WALK_DONE;
		NEED(left = number(s, 3));
		BAD_IF(left > FENCE_FLIGHT_MAX);
		NEED(pass(s, left));
	}
	NEED(left = number(s, 3));
	if (left > FENCE_HELLO_MAX || left < 34)
		return s->cipher ? FENCE_WALK_DONE : FENCE_WALK_BAD;
	if (s->cipher) {
		NEED(c = pull(s));
		if (c != 3)
			return FENCE_WALK_DONE;
	}
	NEED(pass(s, s->cipher ? 33 : 34));
	c = hello_rest(s, left - 34, name);
	s->later = 1;
	return (int)c;
}

/* ---- ours, in pieces ---- */

#define HELLOS 4 /* of one stream that are compared */

struct found {
	int state;
	char name[256];
};

/* Every hello of a stream, in pieces of `piece` octets; how many, the last one is no hello. */
static int walk(const uint8_t *data, size_t len, size_t piece, struct found *found)
{
	struct fence_walk w;
	size_t at = 0, end;
	uint32_t n;
	int i = 0;

	fence_walk_init(&w, 0);
	while (i < HELLOS) {
		while (at < len && w.state == FENCE_WALK_MORE) {
			end = piece && at + piece < len ? at + piece : len;
			while (at < end && w.state == FENCE_WALK_MORE) {
				n = fence_walk_jump(&w, (uint32_t)(end - at));
				if (n)
					at += n;
				else
					fence_walk_feed(&w, data[at++]);
			}
		}
		memset(&found[i], 0, sizeof(found[i]));
		found[i].state = w.state;
		if (w.state == FENCE_WALK_NAME)
			memcpy(found[i].name, w.name.text, w.name.len);
		i++;
		if (w.state != FENCE_WALK_NAME && w.state != FENCE_WALK_ABSENT)
			break;
		fence_walk_on(&w);
	}
	return i;
}

static int fail(const char *what, const uint8_t *data, size_t len)
{
	size_t i;

	printf("DIFFERENCE: %s; input:", what);
	for (i = 0; i < len; i++)
		printf("%02x", data[i]);
	printf("\n");
	return 1;
}

static unsigned long named, later;

static int check_hello(const uint8_t *data, size_t len)
{
	struct source s = { .data = data, .len = len };
	struct found a[HELLOS], b[HELLOS];
	char name[256];
	int i, n = walk(data, len, 0, a), other;

	if (n != walk(data, len, 1 + rnd(9), b) || memcmp(a, b, (size_t)n * sizeof(a[0])))
		return fail("whole and in pieces", data, len);
	for (i = 0; i < n; i++) {
		other = other_hello(&s, name);
		if (a[i].state != other)
			return printf("hello %d: walker %d, other %d\n", i, a[i].state, other),
			       fail("state", data, len);
		if (other == FENCE_WALK_NAME && strcmp(name, a[i].name))
			return fail("name", data, len);
		named += other == FENCE_WALK_NAME;
		later += i && (other == FENCE_WALK_NAME || other == FENCE_WALK_DONE);
	}
	return 0;
}

/* Of a good answer's first octets, the first addresses; of all of them, all. */
static int check_cut(const uint8_t *buf, size_t len, const struct fence_dns *whole)
{
	static struct fence_dns part;
	uint32_t n = whole->end + rnd((uint32_t)(len - whole->end + 1));

	fence_dns_answer(buf, n, 1, &part);
	if (part.bad || part.count > whole->count ||
	    memcmp(part.addrs, whole->addrs, part.count * 16) ||
	    (n == len && part.count != whole->count))
		return fail("an answer that is cut", buf, n);
	return 0;
}

/* ---- the other reader of questions: what it understood, written again, has to be what it read
 * ---- */

/* Of a host's name, in lower case: 1, and its text. */
static int host_text(const uint8_t *labels, size_t n, char *text)
{
	size_t at, i, len = 0, count = 0;

	for (at = 0; at < n; at += labels[at] + 1u, count++) {
		if (len)
			text[len++] = '.';
		for (i = 1; i <= labels[at]; i++) {
			int c = labels[at + i];

			if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_",
				    c ? c : ' '))
				return 0;
			text[len++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
		}
	}
	text[len] = 0;
	return count > 1 && len < 254;
}

static int other_ask(const uint8_t *data, size_t len, char *text, unsigned int *qtype)
{
	uint8_t again[FENCE_DNS_BUF] = { data[0], data[1], data[2] & 1, data[3] & 0x30, 0, 1 };
	size_t at = 12, n, cookie;

	while (at < len && data[at] && data[at] < 64 && at + data[at] < 12 + 255)
		at += data[at] + 1u;
	n = at - 12;
	if (at + 5 > len || !host_text(data + 12, n, text))
		return 0;
	memcpy(again + 12, data + 12, n);
	at = 12 + n + 1;
	*qtype = data[at] * 256u + data[at + 1];
	memcpy(again + at, data + at, 2);
	again[at + 3] = 1;
	at += 4;
	if (len > at) {
		again[11] = 1;
		again[at + 2] = 41;
		if (len < at + 11)
			return 0;
		again[at + 3] = data[at + 3];
		again[at + 4] = data[at + 4];
		again[at + 7] = data[at + 7] & 0x80;
		cookie = len - at - 11;
		if (data[at + 3] < 2)
			return 0;
		at += 11;
		if (cookie) {
			if (cookie != 12 && (cookie < 20 || cookie > 44))
				return 0;
			again[at - 1] = (uint8_t)cookie;
			again[at + 1] = 10;
			again[at + 3] = (uint8_t)(cookie - 4);
			memcpy(again + at + 4, data + at + 4, cookie - 4);
			at += cookie;
		}
	}
	return at == len && !memcmp(again, data, len);
}

static unsigned long asked;

/* Questions that differ in their id alone have one mark; any other octet makes another. */
static int check_mark(uint8_t *buf, size_t len)
{
	struct fence_hash room;
	__u64 key[] = { rnd(1u << 31), rnd(1u << 31) }, other[] = { key[0], key[1] ^ 1 },
	      mark = fence_dns_mark(key, buf, (uint32_t)len, &room);
	size_t at = 2 + rnd((uint32_t)len - 2);

	buf[rnd(2)] ^= (uint8_t)(1 + rnd(255));
	buf[len] ^= (uint8_t)(1 + rnd(255));
	if (fence_dns_mark(key, buf, (uint32_t)len, &room) != mark)
		return fail("the mark of another id", buf, len);
	if (fence_dns_mark(other, buf, (uint32_t)len, &room) == mark ||
	    fence_dns_mark(key, buf, (uint32_t)len - 1, &room) == mark)
		return fail("the mark of another key, or of less", buf, len);
	buf[at] ^= (uint8_t)(1 + rnd(255));
	return fence_dns_mark(key, buf, (uint32_t)len, &room) == mark ? fail("one mark", buf, len)
								      : 0;
}

/* `data` has INPUT octets: behind `len` there may stand what makes sense of it. */
static int check_ask(const uint8_t *data, size_t len)
{
	static uint8_t buf[FENCE_DNS_BUF];
	static struct fence_dns d;
	unsigned int qtype = 0;
	char text[FENCE_DNS_BUF];
	int good, other;

	memcpy(buf, data, INPUT);
	fence_dns_ask(buf, (uint32_t)len, &d);
	good = !d.bad && fence_name_ok(&d.name);
	other = len >= 17 && other_ask(data, len, text, &qtype);
	asked += other;
	if (good != other)
		return fail("a question is good to one only", data, len);
	if (good && (d.qtype != qtype || strlen(text) != d.name.len ||
		     memcmp(text, d.name.text, d.name.len)))
		return fail("what a question asks", data, len);
	return good ? check_mark(buf, len) : 0;
}

static uint8_t *put16(uint8_t *p, unsigned int n)
{
	*p++ = (uint8_t)(n >> 8);
	*p++ = (uint8_t)n;
	return p;
}

static uint8_t *put_label(uint8_t *p, unsigned int n)
{
	static const char octets[] = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_";

	*p++ = (uint8_t)n;
	while (n--)
		*p++ = rnd(2000) ? (uint8_t)octets[rnd(sizeof(octets) - 1)] : (uint8_t)rnd(256);
	return p;
}

/* Mostly `usual`, now and then anything below `most`. */
static unsigned int odd(unsigned int usual, unsigned int most)
{
	return rnd(40) ? usual : rnd(most);
}

/* A question as somebody might write it who looks for room: each field is right most of the time.
 */
static size_t ask_make(uint8_t *out)
{
	unsigned int labels = 1 + rnd(5), wide = rnd(20) ? 12 : 64, opt = rnd(4) != 0;
	unsigned int cookie = rnd(2) ? 0 : 8 + rnd(40);
	uint8_t *p = out;

	p = put16(p, rnd(65536));
	*p++ = (uint8_t)odd(rnd(2), 256);
	*p++ = (uint8_t)odd(rnd(4) << 4, 256);
	p = put16(put16(put16(p, odd(1, 3)), odd(0, 2)), odd(0, 2));
	p = put16(p, odd(opt, 4));
	while (labels--)
		p = put_label(p, 1 + rnd(wide));
	*p++ = (uint8_t)odd(0, 256);
	p = put16(put16(p, odd(1, 300)), odd(1, 4));
	if (opt) {
		*p++ = (uint8_t)odd(0, 2);
		p = put16(put16(p, odd(41, 300)), rnd(2) ? 1232 : odd(512, 1024));
		p = put16(put16(p, odd(0, 512)), odd(rnd(2) << 15, 65536));
		p = put16(p, odd(cookie ? cookie + 4 : 0, 64));
		if (cookie) {
			p = put16(put16(p, odd(10, 20)), odd(cookie, 64));
			while (cookie--)
				*p++ = (uint8_t)rnd(256);
		}
	}
	while (!rnd(20)) /* a tail */
		*p++ = (uint8_t)rnd(256);
	return rnd(10) ? (size_t)(p - out) : rnd((uint32_t)(p - out));
}

/* An answer that is not read to its end, for its many labels, is none. */
static int check_long(void)
{
	static uint8_t buf[FENCE_DNS_BUF] = { 0, 1, 0x80, 0, 0, 1, 0, 1 };
	static struct fence_dns d;
	uint8_t *p = buf + 16;

	*p++ = 1;
	while (p < buf + 17 + 2 * (FENCE_DNS_STEPS + 10)) {
		*p++ = 1;
		*p++ = 'x';
	}
	memcpy(p, "\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4", 15);
	fence_dns_answer(buf, (uint32_t)(p + 15 - buf), 0, &d);
	return d.bad && !d.count ? 0 : fail("an answer of many labels", buf, sizeof(buf));
}

static int check_dns(const uint8_t *data, size_t len)
{
	static uint8_t buf[FENCE_DNS_BUF];
	static struct fence_dns d;
	struct fence_dns_message m;
	int other;

	if (len > FENCE_DNS_MAX)
		len = FENCE_DNS_MAX;
	memcpy(buf, data, INPUT);
	fence_dns_answer(buf, (uint32_t)len, 0, &d);
	other = fence_wire_dns(data, len, &m);
	if (len >= 12 && !(data[2] & 0x80))
		other = -1; /* the BPF side takes answers only */
	if (len < 17)
		other = -1;
	if (check_ask(data, len))
		return -1;
	if ((other < 0) != d.bad)
		return fail("a DNS message is good to one only", data, len);
	if (d.bad)
		return 0;
	if (d.count != m.count || memcmp(d.addrs, m.addrs, m.count * 16) || d.qtype != m.qtype)
		return fail("DNS addresses", data, len);
	if (!m.rcode && d.ttl != m.ttl)
		return fail("DNS TTL", data, len);
	if (fence_name_ok(&d.name) &&
	    (strlen(m.name) != d.name.len || memcmp(m.name, d.name.text, d.name.len)))
		return fail("DNS name", data, len);
	return check_cut(buf, len, &d);
}

static size_t mutate(uint8_t *out, size_t which)
{
	size_t len = seeds[which].len, i, at, n;

	memcpy(out, seeds[which].data, len);
	for (i = rnd(6); i; i--) {
		at = rnd((uint32_t)len);
		switch (rnd(6)) {
		case 0:
			out[at] = (uint8_t)rnd(256);
			break;
		case 1:
			out[at] ^= (uint8_t)(1u << rnd(8));
			break;
		case 2:
			out[at] = (uint8_t)(out[at] + (rnd(2) ? 1 : -1));
			break;
		case 3:
			len = at + 1;
			break;
		case 4: /* take a run out */
			n = rnd(16) + 1;
			if (at + n < len) {
				memmove(out + at, out + at + n, len - at - n);
				len -= n;
			}
			break;
		default: /* say a run twice */
			n = rnd(16) + 1;
			if (at + n < len && len + n < INPUT) {
				memmove(out + at + n, out + at, len - at);
				len += n;
			}
		}
	}
	return len;
}

static int load(const char *dir)
{
	struct fence_buf b = { 0 };
	struct dirent *e;
	char path[600];
	DIR *d = opendir(dir);

	while (d && (e = readdir(d)) && nseeds < SEEDS) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		fence_buf_reset(&b);
		if (e->d_name[0] == '.' || fence_buf_read_file(&b, path, INPUT) || !b.len)
			continue;
		snprintf(seeds[nseeds].name, sizeof(seeds[0].name), "%.60s", e->d_name);
		memcpy(seeds[nseeds].data, b.data, b.len);
		seeds[nseeds++].len = b.len;
	}
	if (d)
		closedir(d);
	fence_buf_done(&b);
	return nseeds ? 0 : -1;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, i;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	static uint8_t input[INPUT];
	unsigned long answered = 0;
	size_t which, len;

	random_seed(seed);
	if (check_long())
		return 1;
	if (argc < 3 || load(argv[1])) {
		fprintf(stderr, "usage: walkers CORPUS_DIR ROUNDS [SEED]\n");
		return 2;
	}
	for (i = 0; i < rounds; i++) {
		len = ask_make(input);
		if (check_ask(input, len))
			return 1;
		which = i < nseeds ? i : rnd((uint32_t)nseeds);
		len = i < nseeds ? seeds[which].len : mutate(input, which);
		if (i < nseeds)
			memcpy(input, seeds[which].data, len);
		if (!strncmp(seeds[which].name, "dns", 3)) {
			answered++;
			if (check_dns(input, len))
				return 1;
			continue;
		}
		if (check_hello(input, len))
			return 1;
	}
	printf("%lu inputs (%lu server names, %lu second flights, %lu DNS messages, %lu good "
	       "questions), no difference\n",
	       rounds, named, later, answered, asked);
	return named && later && answered && asked ? 0 : 1;
}
