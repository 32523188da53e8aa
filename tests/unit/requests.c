// SPDX-License-Identifier: Apache-2.0
/*
 * The BPF readers of requests at their edges, built for the host: heads inside TLS, what a proxy is
 * asked for, what it answers. Limits are numbers here, so that a changed one is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../bpf/lib/head.h"
#include "../../bpf/lib/walk.h"

/* ---- head.h ---- */

static struct fence_head h;

static int head(const char *text, size_t len)
{
	size_t i;

	fence_head_init(&h);
	for (i = 0; i < len && h.state == FENCE_HEAD_MORE; i++) {
		uint32_t n = fence_head_jump(&h, (uint32_t)(len - i));

		if (n)
			i += n - 1;
		else
			fence_head_feed(&h, (uint8_t)text[i]);
	}
	return h.state;
}

static int head_one_of(const char *fields)
{
	char text[1000];

	return head(text,
		    (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n\r\n", fields));
}

/* What may stand before an org's id, in it and behind it. */
static void test_credentials(void **state)
{
	char text[100], id[] = "00D5f000000J2PK";
	int c, alnum;

	(void)state;
	for (c = 1; c < 256; c++) {
		if (c == '\n')
			continue;
		alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		snprintf(text, sizeof(text), "cookie: sid=%c%s!x", c, id);
		assert_int_equal(head_one_of(text), FENCE_HEAD_DONE);
		if (h.has_org == alnum)
			fail_msg("octet %#x before the id", c);
		snprintf(text, sizeof(text), "cookie: sid=%.14s%c!x", id, c);
		head_one_of(text);
		if (h.has_org != alnum)
			fail_msg("octet %#x as its last", c);
		snprintf(text, sizeof(text), "cookie: sid=%s%c", id, c);
		head_one_of(text);
		if (h.has_org != (c == '!'))
			fail_msg("octet %#x behind it", c);
		snprintf(text, sizeof(text), "cookie: sid=00%c%s!", c, id + 3);
		head_one_of(text);
		if (h.has_org != (c == 'D'))
			fail_msg("octet %#x in it", c);
	}
	head_one_of("cookie: a=105f000000J2PKE!");
	assert_int_equal(h.has_org, 0);
	head_one_of("cookie: a=0X05f000000J2PKE!");
	assert_int_equal(h.has_org, 0);
	head_one_of("cookie: a=00D000000000001!; b=00D000000000002!"); /* the first counts */
	assert_string_equal(h.org, "00D000000000001");
	head_one_of("x-cookie: a=00D000000000001!");
	assert_int_equal(h.has_org, 0);
	head_one_of("authorization: Bearer 00D000000000001!x\r\nhost: a.example");
	assert_string_equal(h.org, "00D000000000001");
	assert_int_equal(h.name.len, 9);
}

static void test_head_fields(void **state)
{
	static const struct {
		const char *fields;
		int hosts, ok;
	} heads[] = {
		{ "Host: a.example", 1, 1 },
		{ "Host: a.example:443", 1, 1 },
		{ "Host:a.example \t", 1, 1 },
		{ "Host: a.example x", 1, 0 },
		{ "Host: a.example:1 x", 1, 1 },
		{ "Host: a\r.example", 1, 0 },
		{ "Host: a.example\rx", 1, 0 },
		{ "Host: a.example\r x", 1, 0 },
		{ "Host: a.example\r\nHost: a.example", 1, 0 },
		{ "Host: a.example\r\nX: b.example", 1, 1 },
		{ "Hos: a.example", 0, 0 },
		{ "Host : a.example", 0, 0 },
		{ "Host: a b.example", 1, 0 },
		{ ":authority: a.example", 0, 0 },
	};
	static const struct {
		const char *fields;
		size_t len;
		int anonymous;
	} origins[] = {
		{ "sec-fetch-site: none\r\nsec-fetch-mode: cors", 0, 1 },
		{ "sec-fetch-site: none\r\nsec-fetch-mode: cors\r\norigin: x", 1, 0 },
		{ "sec-fetch-site: none\r\nsec-fetch-mode: corss", 0, 0 },
		{ "sec-fetch-site: xnone\r\nsec-fetch-mode: cors", 0, 0 },
		{ "sec-fetch-site: 12345nonenone\r\nsec-fetch-mode: cors", 0, 0 },
		{ "sec-fetch-site: none\r\nsec-fetch-site: x\r\nsec-fetch-mode: cors", 0, 0 },
		{ "sec-fetch-site: x\r\nsec-fetch-site: none\r\nsec-fetch-mode: cors", 0, 1 },
		{ "origin: https://a/b/cde", 3, 0 },
		{ "origin: abc\r\norigin: xy", 2, 0 },
		{ "origin: a/", 0, 0 },
		{ "origin: 0123456789012345678901234567890123456789012345678901234567890123", 64,
		  0 },
		{ "origin: 01234567890123456789012345678901234567890123456789012345678901234", 65,
		  0 },
		{ "origin: 0123456789012345678901234567890123456789012345678901234567890123456", 65,
		  0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		assert_int_equal(head_one_of(heads[i].fields), FENCE_HEAD_DONE);
		if (h.hosts != heads[i].hosts || fence_name_ok(&h.name) != heads[i].ok)
			fail_msg("%s: %d, %.*s", heads[i].fields, h.hosts, h.name.len, h.name.text);
	}
	for (i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		assert_int_equal(head_one_of(origins[i].fields), FENCE_HEAD_DONE);
		if (h.origin_len != origins[i].len ||
		    !fence_head_is_anonymous(&h) != !origins[i].anonymous)
			fail_msg("%s: %u", origins[i].fields, h.origin_len);
	}
}

/* How a request may begin. */
static void test_head_first(void **state)
{
	char text[32];
	int c;

	(void)state;
	for (c = 0; c < 256; c++) {
		snprintf(text, sizeof(text), "%cET / HTTP/1.1\r\n", c);
		head(text, 1);
		assert_int_equal(h.state != FENCE_HEAD_MORE, fence_head_is_foreign(&h));
		assert_int_equal(h.state == FENCE_HEAD_MORE, !c || (c >= 'A' && c <= 'Z'));
		assert_int_equal(h.two, !c);
		snprintf(text, sizeof(text), "GET / HTTP/1%c1\r\n\r\n", c ? c : ' ');
		head(text, 18);
		assert_int_equal(h.state, c == '.'		       ? FENCE_HEAD_DONE
					  : c == '\n'		       ? FENCE_HEAD_UNKNOWN
					  : h.state == FENCE_HEAD_MORE ? FENCE_HEAD_MORE
								       : FENCE_HEAD_UNKNOWN);
		assert_false(fence_head_is_foreign(&h));
	}
	head("GET / HTTP/2.1\r\nHost: a.b\r\n\r\n", 28);
	assert_int_equal(h.state, FENCE_HEAD_UNKNOWN);
}

/* A frame of HTTP/2 with its payload, without the preface, as any but the first write has it. */
static int head_frames(const char *more, size_t n, size_t len, int type, int flags)
{
	char text[256] = { (char)(len >> 16), (char)(len >> 8), (char)len, (char)type,
			   (char)flags };

	memcpy(text + 9, more, n);
	return head(text, 9 + n);
}

static void test_head_two(void **state)
{
#define FIELD "\1\11a.example" /* literal, of the static table's first */
	(void)state;
	assert_int_equal(head_frames(FIELD, 11, 11, 1, 4), FENCE_HEAD_DONE);
	assert_true(h.hosts == 1 && fence_name_ok(&h.name) && !h.unsure);
	assert_int_equal(head_frames(FIELD, 11, 11, 1, 0), FENCE_HEAD_MORE); /* it goes on */
	assert_true(h.unsure && !fence_head_told(&h));
	assert_int_equal(head_frames(FIELD, 10, 10, 1, 4), FENCE_HEAD_UNKNOWN); /* in a field */
	assert_int_equal(head_frames(FIELD, 10, 11, 1, 4), FENCE_HEAD_MORE); /* in the frame */
	assert_false(fence_head_told(&h));
	assert_int_equal(head_frames("\2" FIELD "xy", 14, 14, 1, 12),
			 FENCE_HEAD_DONE); /* padding */
	assert_true(h.skip == 2 && h.hosts == 1);
	assert_int_equal(head_frames("\3" FIELD, 12, 12, 1, 12), FENCE_HEAD_UNKNOWN);
	assert_int_equal(head_frames("\2xy", 3, 3, 1, 12), FENCE_HEAD_DONE); /* nothing but it */
	assert_int_equal(head_frames("\3xy", 3, 3, 1, 12), FENCE_HEAD_UNKNOWN);
	assert_int_equal(head_frames("\5", 1, 1, 1, 12),
			 FENCE_HEAD_UNKNOWN); /* more than there is */
	assert_int_equal(head_frames("\xff\x80\x80\x80\1", 5, 5, 1, 4), FENCE_HEAD_UNKNOWN);
	assert_int_equal(head_frames("12345" FIELD, 16, 16, 1, 0x24), FENCE_HEAD_DONE);
	assert_int_equal(h.hosts, 1);
	assert_int_equal(head_frames("1234", 4, 4, 1, 0x24), FENCE_HEAD_UNKNOWN);
	assert_int_equal(head_frames("", 0, 0xffff, 0, 0), FENCE_HEAD_MORE); /* other frames */
	assert_int_equal(h.skip, 0xffff);
	assert_true(fence_head_told(&h));
	assert_int_equal(head_frames("", 0, 0x10000, 0, 0), FENCE_HEAD_UNKNOWN);
	assert_int_equal(head_frames("", 0, 5, 0x10, 0), FENCE_HEAD_MORE);
	assert_int_equal(head_frames("", 0, 5, 0x11, 0), FENCE_HEAD_UNKNOWN);
	assert_int_equal(head_frames("", 0, 5, 9, 0), FENCE_HEAD_MORE);
	assert_int_equal(h.skip, 0);
	/* by an index: the static table's authority, cookie, authorization; what is not in it */
	assert_int_equal(head_frames("\x0f\x08\x10"
				     "00D000000000001!",
				     19, 19, 1, 4),
			 FENCE_HEAD_DONE);
	assert_string_equal(h.org, "00D000000000001");
	assert_int_equal(head_frames("\x0f\x11\x10"
				     "00D000000000002!",
				     19, 19, 1, 4),
			 FENCE_HEAD_DONE);
	assert_string_equal(h.org, "00D000000000002");
	assert_int_equal(head_frames("\x0f\x10\x10"
				     "00D000000000002!",
				     19, 19, 1, 4),
			 FENCE_HEAD_DONE);
	assert_false(h.has_org || h.unsure);
	assert_int_equal(head_frames("\x0f\x17\11a.example", 12, 12, 1, 4), FENCE_HEAD_DONE);
	assert_int_equal(h.hosts, 1); /* 38 */
	assert_int_equal(head_frames("\x0f\x2e\1x", 4, 4, 1, 4), FENCE_HEAD_DONE);
	assert_false(h.unsure); /* 61, the last of the static table */
	assert_int_equal(head_frames("\x0f\x2f\1x", 4, 4, 1, 4), FENCE_HEAD_DONE);
	assert_true(h.unsure);
	assert_int_equal(head_frames("\x81\x82\xff\x80\1", 5, 5, 1, 4), FENCE_HEAD_DONE);
	assert_false(h.hosts || h.unsure); /* indexed: looked at when it was a literal */
	/* an integer of many octets */
	assert_int_equal(head_frames("\xff\x80\x80\1", 4, 4, 1, 4), FENCE_HEAD_DONE);
	assert_int_equal(head_frames("\xff\x80\x80\x80\1\x82", 6, 6, 1, 4), FENCE_HEAD_UNKNOWN);
}

/* ---- proxy.h ---- */

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

static int proxy(const char *text)
{
	memset(&w, 0, sizeof(w)); /* another connection */
	fence_walk_init(&w, 1);
	feed(text, strlen(text));
	return w.state;
}

static void test_methods(void **state)
{
	char text[40000];
	size_t i;

	(void)state;
	assert_int_equal(proxy("ABCDEFGHIJKLMNOPQRSTUVWX http://a.b/ HTTP/1.1\r\n\r\n"),
			 FENCE_WALK_PLAIN);
	assert_int_equal(proxy("ABCDEFGHIJKLMNOPQRSTUVWXY http://a.b/ HTTP/1.1\r\n\r\n"),
			 FENCE_WALK_OTHER);
	assert_int_equal(proxy(" http://a.b/ HTTP/1.1\r\n\r\n"), FENCE_WALK_OTHER);
	assert_int_equal(proxy("CONNECTS http://a.b/ HTTP/1.1\r\n\r\n"), FENCE_WALK_PLAIN);
	assert_int_equal(proxy("CONNEC http://a.b/ HTTP/1.1\r\n\r\n"), FENCE_WALK_PLAIN);
	assert_int_equal(proxy("CONNECT a.b:65535 HTTP/1.1\r\n\r\n"), FENCE_WALK_CONNECT);
	assert_int_equal(w.proxy.port, 65535);
	assert_int_equal(proxy("CONNECT a.b:65536 HTTP/1.1\r\n\r\n"), FENCE_WALK_BAD);
	assert_int_equal(proxy("CONNECT a.b:01 HTTP/1.1\r\n\r\n"), FENCE_WALK_BAD);
	assert_int_equal(proxy("GET http://a.b HTTP/1.1\r\n\r\n"), FENCE_WALK_PLAIN);
	assert_int_equal(w.proxy.port, 80);
	assert_int_equal(
		proxy("GET http://a.b HTTP/1.1\r\nContent-Length: 123456789012345\r\n\r\n"),
		FENCE_WALK_PLAIN);
	assert_true(w.proxy.left == 123456789012345);
	assert_int_equal(
		proxy("GET http://a.b HTTP/1.1\r\nContent-Length: 1234567890123456\r\n\r\n"),
		FENCE_WALK_BAD);
	assert_int_equal(proxy("GET http://a.b HTTP/1.1\r\n\r\n"), FENCE_WALK_PLAIN);
	/* behind a plain request no CONNECT */
	fence_walk_on(&w);
	feed("CONNECT a.b:443 HTTP/1.1\r\n\r\n", 28);
	assert_int_equal(w.state, FENCE_WALK_BAD);
	for (i = 0; i < 2; i++) { /* the most that a head may have */
		memset(text, 'x', sizeof(text));
		memcpy(text, "CONNECT a.b:443 HTTP/1.1\r\nX: ", 29);
		strcpy(text + 32768 - 4 + i, "\r\n\r\n");
		assert_int_equal(proxy(text), i ? FENCE_WALK_BAD : FENCE_WALK_CONNECT);
	}
	/* a field's name of 255 octets and more is none of those that are looked for */
	strcpy(text, "CONNECT a.b:443 HTTP/1.1\r\n");
	memset(text + 26, 'x', 269);
	strcpy(text + 26 + 269, ": 1\r\n\r\n");
	assert_int_equal(proxy(text), FENCE_WALK_CONNECT);
}

/* What a proxy says to a CONNECT that waits, or that has not been sent yet. */
static int reply(int step, const char *text)
{
	static struct fence_proxy p;

	memset(&p, 0, sizeof(p));
	p.step = (uint8_t)step;
	for (; *text; text++) {
		if (*text == '\1') { /* now it is asked */
			p.step = FENCE_P_WAIT;
			continue;
		}
		if (!fence_reply_jump(&p.reply, 1))
			fence_reply_feed(&p, (uint8_t)*text);
	}
	if (p.answer == FENCE_ANSWER_TUNNEL) /* the rest is not the proxy's */
		assert_int_equal(fence_reply_jump(&p.reply, 77), 77);
	return p.answer;
}

static void test_replies(void **state)
{
#define NO "HTTP/1.1 407 x\r\n"
#define YES "HTTP/1.1 200 x\r\n\r\n"
	static const struct {
		const char *text;
		int answer;
	} replies[] = {
		{ YES, FENCE_ANSWER_TUNNEL },
		{ "HTTP/1.1 299\n\n", FENCE_ANSWER_TUNNEL },
		{ "HTTP/1.1 199 x\n\n" YES, FENCE_ANSWER_TUNNEL },
		{ "HTTP/1.1 300 x\r\n\r\n", FENCE_ANSWER_NO },
		{ "HTTP/1.1 99 x\r\n\r\n", FENCE_ANSWER_NONE },
		{ "HTTP/1.1 2/0 x\r\n\r\n", FENCE_ANSWER_NONE },
		{ "HTTP/1.1 2:0 x\r\n\r\n", FENCE_ANSWER_NONE },
		{ "HTTP/1.1\t200 x\r\n\r\n", FENCE_ANSWER_NONE },
		{ "HTTP/2.1 200 x\r\n\r\n", FENCE_ANSWER_NONE },
		{ "HTTX/1.1 200 x\r\n\r\n", FENCE_ANSWER_NONE },
		{ "HTTP/1.1 200 x\r\n", FENCE_ANSWER_NONE },
		/* behind a no, of a length that is known, the next answer counts */
		{ NO "Content-Length: 0\r\n\r\n" YES, FENCE_ANSWER_TUNNEL },
		{ NO "Content-Length: 3\r\n\r\nabc" YES, FENCE_ANSWER_TUNNEL },
		{ NO "Content-Length:3\t\r\n\r\nabc" YES, FENCE_ANSWER_TUNNEL },
		{ NO "Content-Length: 4\r\n\r\nabc" YES, FENCE_ANSWER_NO },
		{ NO "Content-Length: 2\r\n\r\nabc" YES, FENCE_ANSWER_NO },
		{ NO "Content-Length: 1 9\r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Content-Length: 1,9\r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Content-Length: \r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Content-Length: -1\r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Content-Length: 3\r\nX: y\r\n\r\nabc" YES, FENCE_ANSWER_TUNNEL },
		{ NO "Content-Lengths: 3\r\n\r\n" YES, FENCE_ANSWER_NO },
		{ NO "\r\n" YES, FENCE_ANSWER_NO },
		/* 2 << 40 and some are too long, 1 << 40 is not */
		{ NO "Content-Length: 1099511627776\r\n\r\n", FENCE_ANSWER_NO },
		{ NO "Content-Length: 10995116277760\r\n\r\n", FENCE_ANSWER_NONE },
		{ NO "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" YES, FENCE_ANSWER_TUNNEL },
		{ NO "Transfer-Encoding: Chunked \r\n\r\n1A;x\r\n12345678901234567890123456\r\n"
		     "00\r\nT: u\r\n\r\n" YES,
		  FENCE_ANSWER_TUNNEL },
		{ NO "Transfer-Encoding: chunked\r\n\r\nf\r\n123456789012345\r\n0\r\n\r\n" YES,
		  FENCE_ANSWER_TUNNEL },
		{ NO "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n" YES, FENCE_ANSWER_NO },
		{ NO "Transfer-Encoding: chunked\r\n\r\n\r\n" YES, FENCE_ANSWER_NO },
		{ NO "Transfer-Encoding: chunked\r\n\r\ng\r\n\r\n" YES, FENCE_ANSWER_NO },
		{ NO "Transfer-Encoding: chunked\r\n\r\n0\r\n" YES, FENCE_ANSWER_NO },
		{ NO "Transfer-Encoding: chunkex\r\n\r\n0\r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Transfer-Encoding: chunke\r\n\r\n0\r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Transfer-Encoding: chunk ed\r\n\r\n0\r\n\r\n" YES, FENCE_ANSWER_NONE },
		{ NO "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" YES,
		  FENCE_ANSWER_NO },
		{ NO "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" YES, FENCE_ANSWER_NONE },
		/* before it is asked, nothing that is said counts, nor what follows */
		{ "\2" YES "\1" YES, FENCE_ANSWER_NONE },
		{ "\2" YES "\1\r\n\r\n", FENCE_ANSWER_NONE },
		{ "\2HTTP/1.1 100 x\r\n\r\n\1" YES, FENCE_ANSWER_TUNNEL },
	};
	size_t i;
	int early;

	(void)state;
	for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		early = replies[i].text[0] == '\2';
		if (reply(early ? FENCE_P_METHOD : FENCE_P_WAIT, replies[i].text + early) !=
		    replies[i].answer)
			fail_msg("%s", replies[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_credentials), cmocka_unit_test(test_head_fields),
		cmocka_unit_test(test_head_first),  cmocka_unit_test(test_head_two),
		cmocka_unit_test(test_methods),	    cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
