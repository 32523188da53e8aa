// SPDX-License-Identifier: Apache-2.0
/*
 * What is said to a proxy, against a parser written apart from lib/proxy.h: it takes the text up to
 * the first empty line, splits it into lines and looks at each. Both must take the same heads, with
 * the same host, port and length of a body. And what a proxy answers, whole and in pieces.
 *
 * usage: proxies ROUNDS [SEED]; prints the input of the first difference.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../../bpf/lib/walk.h"
#include "random.h"

#define INPUT 2048
#define LINES 64

static const char *const asks[] = {
	"CONNECT acme.my.salesforce.com:443 HTTP/1.1\r\nHost: acme.my.salesforce.com:443\r\n"
	"Proxy-Authorization: Basic dTpwdw==\r\nUser-Agent: curl/7.88.1\r\n\r\n",
	"CONNECT acme.my.salesforce.com:443 HTTP/1.0\r\n\r\n",
	"CONNECT a.b:8443 HTTP/1.1\r\nX: \r\nProxy-Connection:keep-alive\r\n\r\n",
	"CONNECT own.example:443 HTTP/1.1\nHost: x\n\nCONNECT vendor.example:443 HTTP/1.1\r\n\r\n",
	"CONNECT own.example:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
	"CONNECT own.example:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"CONNECT own.example:443 HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
	"GET http://plain.acme.example/a/b?c=d HTTP/1.1\r\nHost: plain.acme.example\r\n\r\n",
	"POST http://plain.acme.example:8080 HTTP/1.1\r\nContent-Length: 12\r\nContent-Type: x\r\n"
	"\r\nGET http://v",
	"PUT http://plain.acme.example/ HTTP/1.1\r\ncontent-LENGTH:\t7 \r\n\r\nabcdefg",
	"GET http://plain.acme.example/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
	"GET http://u@plain.acme.example/ HTTP/1.1\r\n\r\n",
	"POST http://plain.acme.example?@api.ai-vendor.example/x HTTP/1.1\r\n\r\n",
	"POST http://plain.acme.example/x HTTP/1.1\r\nHost: api.ai-vendor.example\r\n\r\n",
	"GET http://plain.acme.example:8080/ HTTP/1.1\r\nHOST:  Plain.acme.example:8080\r\n\r\n",
	"GET http://plain.acme.example/ HTTP/1.1\r\nHost: plain.acme.example\r\nHost: x.y\r\n\r\n",
};

static const char *const answers[] = {
	"HTTP/1.1 200 Connection established\r\n\r\n",
	"HTTP/1.0 200\r\nProxy-Agent: x\r\n\r\nTLS",
	"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\n"
	"Content-Length: 9\r\n\r\nHTTP/1.1 HTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n0\r\nT: u\r\n\r\n"
	"HTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\nContent-Length: 0\n\n",
	"HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000018\r\nHTTP/1.1 200 "
	"OK\r\n"
	"\r\n.....\r\n0\r\n\r\n",
	"HTTP/1.1 407 No\r\nTransfer-Encoding: identity\r\nContent-Length: 19\r\n\r\n"
	"HTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 407 No\r\nContent-Length: 00000000000000000000019\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 407 No\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 407 No\r\nContent-Length: 99999999999999999999\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
};

struct head {
	char host[256];
	unsigned long port, length;
	size_t size; /* octets of the head; 0: it is not taken */
	int connect;
};

static int is_token(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
			return 0;
	return n > 0;
}

/* Labels of letters, digits, hyphens and underscores, two at the least. */
static int is_host(const char *s)
{
	size_t label = 0, dots = 0, n = strlen(s);

	for (; *s; s++)
		if (*s == '.') {
			if (!label)
				return 0;
			label = 0;
			dots++;
		} else if ((!isalnum((unsigned char)*s) && *s != '-' && *s != '_') ||
			   ++label > 63) {
			return 0;
		}
	return label && dots && n <= 253;
}

static int is_port(const char *s, unsigned long *port)
{
	char *end;

	if (!isdigit((unsigned char)*s) || *s == '0' || strlen(s) > 9)
		return 0;
	*port = strtoul(s, &end, 10);
	return !*end && *port <= 65535;
}

/* "METHOD target HTTP/1.x" */
static int request_line(char *line, struct head *h)
{
	char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
	char *host, *end, *c;

	if (!version || (strcmp(version, " HTTP/1.0") && strcmp(version, " HTTP/1.1")))
		return 0;
	*target++ = 0;
	*version = 0;
	if (!is_token(line, strlen(line)) || strlen(line) > FENCE_METHOD_MAX)
		return 0;
	for (c = target; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 127)
			return 0;
	h->connect = !strcmp(line, "CONNECT");
	host = target;
	if (!h->connect) {
		if (strncmp(target, "http://", 7))
			return 0;
		host += 7;
	}
	h->port = 80;
	end = host + (h->connect ? strlen(host) : strcspn(host, "/"));
	*end = 0;
	c = strchr(host, ':');
	if (c && !is_port(c + 1, &h->port))
		return 0;
	if (!c && h->connect)
		return 0;
	if (c)
		*c = 0;
	if (!is_host(host))
		return 0;
	snprintf(h->host, sizeof(h->host), "%s", host);
	for (c = h->host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return 1;
}

/* Host: the target's; without a port it is 80. */
static int is_target(const char *v, const struct head *h)
{
	const char *colon = strchr(v, ':');
	size_t n = colon ? (size_t)(colon - v) : strlen(v);
	unsigned long port = 80;

	return n == strlen(h->host) && !strncasecmp(v, h->host, n) &&
	       (!colon || is_port(colon + 1, &port)) && port == h->port;
}

static int header_line(const char *line, struct head *h, int *sized, int *hosts)
{
	const char *colon = strchr(line, ':'), *v;
	size_t n;

	if (!colon || !is_token(line, (size_t)(colon - line)))
		return 0;
	for (v = colon + 1; *v; v++)
		if (((unsigned char)*v < ' ' && *v != '\t') || *v == 127)
			return 0;
	n = (size_t)(colon - line);
	if (n == 17 && !strncasecmp(line, "transfer-encoding", 17))
		return 0;
	if (n == 4 && !strncasecmp(line, "host", 4))
		return !(*hosts)++ &&
		       (h->connect || is_target(colon + 1 + strspn(colon + 1, " \t"), h));
	if (n != 14 || strncasecmp(line, "content-length", 14))
		return 1;
	if (h->connect || (*sized)++)
		return 0;
	v = colon + 1 + strspn(colon + 1, " \t");
	n = strspn(v, "0123456789");
	h->length = strtoul(v, NULL, 10);
	return n && n <= 15 && !v[n + strspn(v + n, " \t")];
}

static struct head other(const uint8_t *data, size_t len)
{
	static char text[INPUT + 1], *lines[LINES];
	const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
	struct head h = { 0 }, none = { 0 };
	size_t size = end ? (size_t)(end - data) : 0, n = 0, i;
	int sized = 0, hosts = 0;
	char *s, *cr;

	if (!end || memchr(data, 0, size))
		return none;
	memcpy(text, data, size);
	text[size] = 0;
	for (s = text; s; s = cr ? cr + 2 : NULL) {
		cr = strstr(s, "\r\n");
		if (cr)
			*cr = 0;
		if (n == LINES || strchr(s, '\r') || strchr(s, '\n'))
			return none;
		lines[n++] = s;
	}
	if (!request_line(lines[0], &h))
		return none;
	for (i = 1; i < n; i++)
		if (!header_line(lines[i], &h, &sized, &hosts))
			return none;
	h.size = size + 4;
	return h;
}

static struct head ours(const uint8_t *data, size_t len, size_t piece)
{
	struct fence_walk w = { 0 };
	struct head h = { 0 };
	size_t at = 0, end;

	fence_walk_init(&w, 1);
	while (at < len && w.state == FENCE_WALK_MORE) {
		end = piece && at + piece < len ? at + piece : len;
		while (at < end && w.state == FENCE_WALK_MORE)
			fence_walk_feed(&w, data[at++]);
	}
	if (w.state != FENCE_WALK_CONNECT && w.state != FENCE_WALK_PLAIN)
		return h;
	memcpy(h.host, w.name.text, w.name.len);
	h.port = w.proxy.port;
	h.length = w.proxy.left;
	h.size = at;
	h.connect = w.state == FENCE_WALK_CONNECT;
	return h;
}

/* Behind a CONNECT nothing may come; behind a body the next head does. */
static int check_behind(const uint8_t *data, size_t len, const struct head *h)
{
	struct fence_walk w = { 0 };
	size_t at = 0, n;

	fence_walk_init(&w, 1);
	while (at < h->size)
		fence_walk_feed(&w, data[at++]);
	fence_walk_on(&w);
	while (at < len && w.state == FENCE_WALK_MORE && w.proxy.step != FENCE_P_METHOD) {
		n = fence_walk_jump(&w, (uint32_t)(len - at));
		at += n;
		if (!n)
			fence_walk_feed(&w, data[at++]);
	}
	if (len == h->size)
		return w.state == FENCE_WALK_MORE;
	if (h->connect)
		return w.state == FENCE_WALK_EARLY;
	return len - h->size <= h->length || at > h->size + h->length;
}

static int same(const struct head *a, const struct head *b)
{
	return a->size == b->size && a->port == b->port && a->length == b->length &&
	       a->connect == b->connect && !strcmp(a->host, b->host);
}

/* The answer to a CONNECT, in pieces of `piece`. */
static struct fence_proxy answer(const uint8_t *data, size_t len, size_t piece)
{
	struct fence_proxy p = { .step = FENCE_P_WAIT };
	size_t at = 0, end;
	uint32_t n;

	while (at < len) {
		end = piece && at + piece < len ? at + piece : len;
		while (at < end) {
			n = fence_reply_jump(&p.reply, (uint32_t)(end - at));
			at += n;
			if (!n)
				fence_reply_feed(&p, data[at++]);
		}
	}
	return p;
}

static int check_answers(void)
{
	static const uint8_t want[] = { FENCE_ANSWER_TUNNEL, FENCE_ANSWER_TUNNEL,
					FENCE_ANSWER_TUNNEL, FENCE_ANSWER_TUNNEL,
					FENCE_ANSWER_NO,     FENCE_ANSWER_NO,
					FENCE_ANSWER_NONE,   FENCE_ANSWER_NO,
					FENCE_ANSWER_NONE,   FENCE_ANSWER_NONE };
	struct fence_proxy p;
	const char *second;
	size_t i, n;

	for (i = 0; i < sizeof(want); i++) {
		p = answer((const uint8_t *)answers[i], strlen(answers[i]), 1 + rnd(7));
		if (p.answer != want[i])
			return printf("answer %zu: %u\n", i, p.answer), 1;
		/* behind a 407 with a body that looks like an answer, the first is a no */
		second = strstr(answers[i], " 200 OK");
		n = second ? (size_t)(second - answers[i]) : 0;
		if (n && i < 5 &&
		    answer((const uint8_t *)answers[i], n, 0).answer != FENCE_ANSWER_NO)
			return printf("answer %zu: its body counts\n", i), 1;
	}
	return 0;
}

static size_t mutate(uint8_t *out, const char *seed)
{
	static const char odd[] = "\r\n :\t\0\x7fHTTP/1.0/?@.#%,;GCcd0123456789";
	size_t len = strlen(seed), at, i, n;

	memcpy(out, seed, len);
	for (i = rnd(5); i && len > 1; i--) {
		at = rnd((uint32_t)len);
		n = rnd(12) + 1;
		switch (rnd(5)) {
		case 0:
			out[at] = (uint8_t)rnd(256);
			break;
		case 1:
			out[at] = (uint8_t)odd[rnd(sizeof(odd) - 1)];
			break;
		case 2:
			if (at + n < len) {
				memmove(out + at, out + at + n, len - at - n);
				len -= n;
			}
			break;
		case 3:
			if (len + 1 < INPUT) {
				memmove(out + at + 1, out + at, len - at);
				out[at] = (uint8_t)odd[rnd(sizeof(odd) - 1)];
				len++;
			}
			break;
		default:
			if (at + n < len && len + n < INPUT) {
				memmove(out + at + n, out + at, len - at);
				len += n;
			}
		}
	}
	return len;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, i, taken = 0, bodies = 0;
	static uint8_t input[INPUT];
	struct fence_proxy whole, cut;
	struct head a, b;
	size_t len, j;

	random_seed(argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
	if (!rounds || check_answers())
		return 2;
	for (i = 0; i < rounds; i++) {
		len = mutate(input, asks[rnd(sizeof(asks) / sizeof(asks[0]))]);
		a = ours(input, len, 0);
		b = ours(input, len, 1 + rnd(9));
		if (same(&a, &b))
			b = other(input, len);
		if (!same(&a, &b) || (a.size && !check_behind(input, len, &a))) {
			printf("DIFFERENCE: ours %zu %s:%lu %lu, other %zu %s:%lu %lu; input:",
			       a.size, a.host, a.port, a.length, b.size, b.host, b.port, b.length);
			for (j = 0; j < len; j++)
				printf("%02x", input[j]);
			printf("\n");
			return 1;
		}
		taken += a.size > 0;
		bodies += a.length > 0;
		len = mutate(input, answers[rnd(sizeof(answers) / sizeof(answers[0]))]);
		whole = answer(input, len, 0);
		cut = answer(input, len, 1 + rnd(9));
		if (whole.answer != cut.answer || whole.reply.step != cut.reply.step)
			return printf("DIFFERENCE: an answer in pieces\n"), 1;
	}
	printf("%lu requests to a proxy (%lu taken, %lu with a body), no difference\n", rounds,
	       taken, bodies);
	return taken && bodies ? 0 : 1;
}
