// SPDX-License-Identifier: Apache-2.0
/*
 * The BPF readers of hellos and of DNS at their edges, built for the host: the last that is taken
 * and the first that is not, which random inputs seldom meet. Limits are numbers here, so that a
 * changed one is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../bpf/lib/dns.h"
#include "../../bpf/lib/walk.h"

/* ---- walk.h ---- */

static struct fence_walk w;

static void feed(const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len && w.state == FENCE_WALK_MORE; i++) {
		uint32_t n = fence_walk_jump(&w, (uint32_t)(len - i));

		if (n)
			i += n - 1;
		else
			fence_walk_feed(&w, (uint8_t)data[i]);
	}
}

/* `n` octets of no matter what. */
static void feed_zeros(size_t n)
{
	static const char zeros[32768];

	for (; n && w.state == FENCE_WALK_MORE; n -= n > 32768 ? 32768 : n)
		feed(zeros, n > 32768 ? 32768 : n);
}

/* A record's header; what the walk says then. */
static int record(int type, int major, size_t len)
{
	const char head[] = { (char)type, (char)major, 1, (char)(len >> 8), (char)len };

	feed(head, 5);
	return w.state;
}

/* The least hello that there is, with or without early data; its walk goes on. */
static void hello(int early)
{
	static const char with[] =
		"\1\0\0\57\3\3" /* and 32, no session, one cipher */
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
		"\0\0\2\23\1\1\0\0\4\0\52\0\0";
	char text[sizeof(with)];

	memcpy(text, with, sizeof(with));
	text[3] = 34 + 1 + 4 + 2 + 6;
	text[48] = early ? 42 : 43;
	fence_walk_init(&w, 0);
	assert_int_equal(record(22, 3, sizeof(with) - 1), FENCE_WALK_MORE);
	feed(text, sizeof(with) - 1);
	assert_int_equal(w.state, FENCE_WALK_ABSENT);
	fence_walk_on(&w);
}

static void test_records(void **state)
{
	int type;

	(void)state;
	for (type = 0; type < 256; type++) {
		fence_walk_init(&w, 0);
		assert_int_equal(record(type, 3, 1),
				 type == 22 ? FENCE_WALK_MORE : FENCE_WALK_OTHER);
		fence_walk_init(&w, 0);
		assert_int_equal(record(22, type, 1), type == 3 ? FENCE_WALK_MORE : FENCE_WALK_BAD);
		hello(0);
		assert_int_equal(record(type, 3, 1), type == 23			? FENCE_WALK_DONE
						     : type >= 20 && type <= 22 ? FENCE_WALK_MORE
										: FENCE_WALK_BAD);
		if (type == 20)
			feed("\1", 1); /* the change of cipher is over: another may come */
		else if (type == 21)
			feed("\0", 1);
		if (type == 20 || type == 21)
			assert_int_equal(record(22, 3, 1), FENCE_WALK_MORE);
	}
	fence_walk_init(&w, 0);
	assert_int_equal(record(22, 3, 0), FENCE_WALK_BAD);
	fence_walk_init(&w, 0);
	assert_int_equal(record(22, 3, 16384), FENCE_WALK_MORE);
	fence_walk_init(&w, 0);
	assert_int_equal(record(22, 3, 16385), FENCE_WALK_BAD);
	hello(0);
	assert_int_equal(record(22, 3, 18432), FENCE_WALK_MORE);
	hello(0);
	assert_int_equal(record(22, 3, 18433), FENCE_WALK_BAD);
	hello(0);
	assert_int_equal(record(20, 3, 2), FENCE_WALK_BAD);
	hello(0);
	assert_int_equal(record(21, 3, 2), FENCE_WALK_MORE);
}

/* The head of a handshake message, in a record of its own. */
static int message(int type, size_t len)
{
	const char head[] = { (char)type, (char)(len >> 16), (char)(len >> 8), (char)len };

	record(22, 3, 4);
	feed(head, 4);
	return w.state;
}

static void test_messages(void **state)
{
	static const struct {
		size_t len;
		int state;
	} hellos[] = {
		{ 0, FENCE_WALK_BAD },	   { 33, FENCE_WALK_BAD },
		{ 34, FENCE_WALK_MORE },   { 16384, FENCE_WALK_MORE },
		{ 16385, FENCE_WALK_BAD }, { 65536 + 100, FENCE_WALK_BAD },
	};
	size_t i;
	int type;

	(void)state;
	for (i = 0; i < sizeof(hellos) / sizeof(hellos[0]); i++) {
		fence_walk_init(&w, 0);
		assert_int_equal(message(1, hellos[i].len), hellos[i].state);
		hello(0); /* and again, in clear; or behind a change of cipher, where it is noise */
		assert_int_equal(message(1, hellos[i].len), hellos[i].state);
		hello(0);
		record(20, 3, 1);
		feed("\1", 1);
		assert_int_equal(message(1, hellos[i].len), hellos[i].state == FENCE_WALK_BAD
								    ? FENCE_WALK_DONE
								    : FENCE_WALK_MORE);
		if (hellos[i].state == FENCE_WALK_BAD)
			continue;
		record(22, 3, 1);
		feed("\2", 1); /* no version of TLS */
		assert_int_equal(w.state, FENCE_WALK_DONE);
	}
	for (type = 0; type < 256; type++) {
		fence_walk_init(&w, 0);
		assert_int_equal(message(type, 34), type == 1 ? FENCE_WALK_MORE : FENCE_WALK_BAD);
		hello(0);
		assert_int_equal(message(type, 34), FENCE_WALK_MORE);
	}
	hello(0);
	assert_int_equal(message(11, 131072), FENCE_WALK_MORE);
	hello(0);
	assert_int_equal(message(11, 131073), FENCE_WALK_BAD);
	hello(0); /* it is passed over, however many records it has, and then comes the next */
	assert_int_equal(message(11, 131072), FENCE_WALK_MORE);
	for (i = 0; i < 8; i++) {
		assert_int_equal(record(22, 3, 16384), FENCE_WALK_MORE);
		feed_zeros(16384);
	}
	assert_int_equal(message(20, 0), FENCE_WALK_MORE);
	assert_int_equal(message(1, 33), FENCE_WALK_BAD);
}

/* Early data is passed over, a MiB of it with its headers; without an announcement it is the end.
 */
static void test_early(void **state)
{
	size_t more, total = 0;

	(void)state;
	hello(0);
	assert_int_equal(record(23, 3, 100), FENCE_WALK_DONE);
	for (more = 0; more < 2; more++) {
		hello(1);
		for (total = 0; 1048576 - total > 16384 + 10; total += 16384 + 5) {
			assert_int_equal(record(23, 3, 16384), FENCE_WALK_MORE);
			feed_zeros(16384);
		}
		/* the last header ends exactly at the limit, and one octet behind it */
		assert_int_equal(record(23, 3, 1048576 - total - 10 + more), FENCE_WALK_MORE);
		feed_zeros(1048576 - total - 10 + more);
		assert_int_equal(record(23, 3, 1), more ? FENCE_WALK_DONE : FENCE_WALK_MORE);
	}
	hello(1); /* behind early data a message goes on, in clear */
	assert_int_equal(record(23, 3, 10), FENCE_WALK_MORE);
	feed_zeros(10);
	assert_int_equal(message(1, 33), FENCE_WALK_BAD);
}

/* ---- dns.h ---- */

static uint8_t msg[4096];
static struct fence_dns d;

/* Header of an answer to "a.b A", with the question; octets. */
static size_t answer_head(unsigned int records)
{
	static const uint8_t head[] = { 1, 2, 0x81, 0x80, 0,   1, 0, 0, 0, 0, 0,
					0, 1, 'a',  1,	  'b', 0, 0, 1, 0, 1 };

	memset(msg, 0, sizeof(msg));
	memcpy(msg, head, sizeof(head));
	msg[6] = (uint8_t)(records >> 8);
	msg[7] = (uint8_t)records;
	return sizeof(head);
}

/* A record of the root's; octets of all. */
static size_t answer_record(size_t at, int type, unsigned int ttl, const void *data, size_t len)
{
	const uint8_t head[] = { 0,
				 0,
				 (uint8_t)type,
				 0,
				 1,
				 0,
				 0,
				 (uint8_t)(ttl >> 8),
				 (uint8_t)ttl,
				 (uint8_t)(len >> 8),
				 (uint8_t)len };

	memcpy(msg + at, head, sizeof(head));
	memcpy(msg + at + sizeof(head), data, len);
	return at + sizeof(head) + len;
}

static void test_answers(void **state)
{
	static const uint8_t zeros[2048];
	uint8_t addr[4] = { 1, 2, 3, 0 };
	size_t at, i;

	(void)state;
	/* as many octets as the buffer has */
	at = answer_record(answer_head(2), 1, 60, addr, 4);
	at = answer_record(at, 16, 5, zeros, 2048 - at - 11);
	assert_int_equal(at, 2048);
	fence_dns_answer(msg, 2048, 0, &d);
	assert_true(!d.bad && d.count == 1 && d.ttl == 60); /* of what is used */
	fence_dns_answer(msg, 2049, 0, &d);
	assert_true(d.bad);
	fence_dns_answer(msg, 2047, 0, &d);
	assert_true(d.bad && !d.count);
	fence_dns_answer(msg, 2047, 1, &d);
	assert_true(!d.bad && d.count == 1);
	/* more addresses than are used: the first stay */
	for (at = answer_head(132), i = 0; i < 132; i++) {
		addr[3] = (uint8_t)i;
		at = answer_record(at, 1, (unsigned int)(1000 - i), addr, 4);
	}
	fence_dns_answer(msg, (uint32_t)at, 0, &d);
	assert_true(!d.bad && d.count == 128 && d.ttl == 1000 - 131);
	for (i = 0; i < 128; i++)
		assert_int_equal(d.addrs[i].addr[15], i);
	/* an address of another length is none; a rest behind the records is not looked at */
	at = answer_record(answer_head(3), 1, 9, addr, 3);
	at = answer_record(at, 28, 8, zeros, 15);
	at = answer_record(at, 28, 7, zeros, 16);
	fence_dns_answer(msg, (uint32_t)at + 9, 0, &d);
	assert_true(!d.bad && d.count == 1 && d.ttl == 7);
	/* one record less than is said; and none, which is no answer but a good one */
	msg[7] = 4;
	fence_dns_answer(msg, (uint32_t)at, 0, &d);
	assert_true(d.bad && !d.count);
	fence_dns_answer(msg, (uint32_t)answer_head(0), 0, &d);
	assert_true(!d.bad && !d.count && d.ttl == 0xffffffff && d.end == 21);
}

/* 640 labels and records are read. */
static void test_steps(void **state)
{
	uint8_t addr[4] = { 1, 2, 3, 4 };
	size_t labels, at, i;

	(void)state;
	for (labels = 638; labels < 642; labels++) {
		at = answer_head(1);
		for (i = 0; i < labels; i++, at += 2)
			memcpy(msg + at, "\1x", 2);
		at = answer_record(at, 1, 60, addr, 4);
		fence_dns_answer(msg, (uint32_t)at, 0, &d);
		assert_int_equal(d.count, labels <= 639);
		assert_int_equal(d.bad, labels > 639);
	}
}

/* Each octet of the header that may be something else, and each that may not. */
static void test_question_head(void **state)
{
	static const uint8_t ask[] = { 7, 8, 1,	  0, 0,	  1, 0, 0, 0, 0, 0,
				       0, 1, 'a', 1, 'b', 0, 0, 1, 0, 1 };
	static const struct {
		uint8_t at, may;
	} bits[] = { { 0, 0xff }, { 1, 0xff }, { 2, 1 }, { 3, 0x30 }, { 17, 0xff }, { 18, 0xff } };
	unsigned int i, v, k, may;

	(void)state;
	for (i = 0; i < sizeof(ask); i++)
		for (v = 0; v < 256; v++) {
			if ((i > 11 && i < 17) || v == ask[i])
				continue;
			memcpy(msg, ask, sizeof(ask));
			msg[i] = (uint8_t)v;
			for (k = 0, may = 0; k < sizeof(bits) / sizeof(bits[0]); k++)
				may |= bits[k].at == i ? bits[k].may : 0u;
			fence_dns_ask(msg, sizeof(ask), &d);
			if (!d.bad != !((ask[i] ^ v) & ~may))
				fail_msg("octet %u: %#x", i, v);
		}
	memcpy(msg, ask, sizeof(ask));
	fence_dns_ask(msg, sizeof(ask) - 1, &d);
	assert_true(d.bad);
	fence_dns_ask(msg, sizeof(ask) + 1, &d);
	assert_true(d.bad);
	fence_dns_ask(msg, 16, &d);
	assert_true(d.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records), cmocka_unit_test(test_messages),
		cmocka_unit_test(test_early),	cmocka_unit_test(test_answers),
		cmocka_unit_test(test_steps),	cmocka_unit_test(test_question_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
