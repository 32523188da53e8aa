// SPDX-License-Identifier: Apache-2.0
/*
 * The BPF reader of request heads, built for the host: requests that are made here, in HTTP/1.1 and
 * (by nghttp2) in HTTP/2, have to be read as they were made, however they are framed; the same with
 * a few octets changed must not be read outside its bounds, nor, in HTTP/1.1, as another authority
 * than the agent's own parser reads. Where it says that nothing is left for the agent to tell, the
 * agent finds neither an authority nor a credential that it had not.
 *
 * usage: heads ROUNDS [SEED]
 */
#include <ctype.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/lib/head.h"
#include "wire/http.h"
#include "random.h"

#define ROOM 4096

struct made {
	char host[80], org[16], text[120], path[64];
	const char *site, *mode; /* Sec-Fetch-* */
	int has_org, kind; /* of the field with the credential */
	int tunnel;
	int cut; /* a header block in two frames, or a credential that is not read to its end */
	uint8_t data[ROOM];
	size_t len;
};

static void word(char *out, size_t n, const char *letters)
{
	size_t i, all = strlen(letters);

	for (i = 0; i < n; i++)
		out[i] = letters[rnd((uint32_t)all)];
	out[n] = 0;
}

static const char *const fields[] = { "Authorization", "Cookie", "AccessToken", "X-SFDC-Session" };
static const char *const small[] = { "authorization", "cookie", "accesstoken", "x-sfdc-session" };
static const char *const scheme[] = { "Bearer ", "a=b; sid=", "", "" };

static void make_words(struct made *m)
{
	static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	static const char alnum[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	char a[24], b[24], id[16];

	word(a, 1 + rnd(20), lower);
	word(b, 1 + rnd(20), lower);
	snprintf(m->host, sizeof(m->host), "%s%s%s.salesforce.example", a, rnd(2) ? "--" : ".", b);
	m->site = rnd(2) ? "none" : "cross-site";
	m->mode = rnd(2) ? "cors" : "navigate";
	m->has_org = (int)rnd(2);
	m->kind = (int)rnd(4);
	m->tunnel = !rnd(4);
	word(id, 12, alnum);
	snprintf(m->org, sizeof(m->org), "00D%.12s", id);
	word(a, rnd(20), alnum);
	snprintf(m->text, sizeof(m->text), "%s%s!%s", scheme[m->kind],
		 m->has_org ? m->org
		 : rnd(2)   ? "00Dshort"
			    : "none",
		 a);
	word(a, rnd(20), alnum);
	snprintf(m->path, sizeof(m->path), "/services/%s", a);
}

static void put(struct made *m, const void *data, size_t n)
{
	memcpy(m->data + m->len, data, n);
	m->len += n;
}

static void make_one(struct made *m)
{
	static const char *const cases[] = { "Host", "host", "HOST" };
	char text[600];
	int n = snprintf(text, sizeof(text),
			 "%s %s HTTP/1.1\r\nAccept: */*\r\n%s:%s%s%s\r\nSec-Fetch-Site: %s\r\n%s: "
			 "%s\r\nsec-fetch-mode:%s\r\n\r\n",
			 rnd(2) ? "GET" : "PATCH", m->path, cases[rnd(3)], rnd(2) ? " " : "",
			 m->host, rnd(2) ? ":443" : "", m->site, fields[m->kind], m->text, m->mode);

	put(m, text, (size_t)n);
}

/* One frame of a header block. */
static void frame(struct made *m, const uint8_t *block, size_t n, uint8_t type, uint8_t flags)
{
	uint8_t extra[6] = { 0 }, pad = type == 1 && flags & 8 ? (uint8_t)rnd(20) : 0;
	size_t before = type == 1 ? !!(flags & 8) + (flags & 0x20 ? 5u : 0u) : 0;
	size_t all = n + before + pad;
	uint8_t head[9] = { 0, (uint8_t)(all >> 8), (uint8_t)all, type, flags, 0, 0, 0, 1 };
	static const uint8_t zeros[32];

	extra[0] = flags & 8 ? pad : 0;
	put(m, head, 9);
	put(m, extra, before);
	put(m, block, n);
	put(m, zeros, pad);
}

#define NV(name, value) \
	{ \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), \
			strlen(value), (uint8_t)(rnd(3) ? 0 : NGHTTP2_NV_FLAG_NO_INDEX) \
	}

static void make_two(struct made *m)
{
	nghttp2_nv nv[] = { NV(":method", m->tunnel ? "CONNECT" : "POST"),
			    NV(":scheme", "https"),
			    NV(":authority", m->host),
			    NV(":path", m->path),
			    NV("user-agent", "test/1.0 (x; \"y\")"),
			    NV("sec-fetch-site", m->site),
			    NV("sec-fetch-mode", m->mode),
			    NV(small[m->kind], m->text),
			    NV(":protocol", "websocket") };
	static const uint8_t settings[] = { 0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100 };
	nghttp2_hd_deflater *d = NULL;
	uint8_t block[ROOM], flags;
	ssize_t n;
	size_t cut;

	nghttp2_hd_deflate_new(&d, rnd(2) ? 4096 : 0);
	n = nghttp2_hd_deflate_hd(d, block, sizeof(block), nv,
				  sizeof(nv) / sizeof(nv[0]) - !m->tunnel);
	nghttp2_hd_deflate_del(d);
	put(m, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	put(m, settings, sizeof(settings));
	flags = (uint8_t)((rnd(2) ? 8 : 0) | (rnd(2) ? 0x20 : 0));
	cut = rnd(3) ? (size_t)n : rnd((uint32_t)n);
	frame(m, block, cut, 1, flags | (cut == (size_t)n ? 4 : 0));
	if (cut < (size_t)n)
		frame(m, block + cut, (size_t)n - cut, 9, 4);
	m->cut = cut < (size_t)n || !m->has_org;
}

static void read_head(struct fence_head *h, const uint8_t *data, size_t len)
{
	size_t at = 0;
	uint32_t n;

	fence_head_init(h);
	while (at < len && h->state == FENCE_HEAD_MORE) {
		n = fence_head_jump(h, (uint32_t)(len - at));
		at += n;
		if (!n)
			fence_head_feed(h, data[at++]);
	}
}

/* What a whole write says to the reader, and to the agent's parser. */
struct said {
	int told, hosts, orgs;
};

static void read_all(struct said *s, const uint8_t *data, size_t len)
{
	struct fence_head h;
	size_t at = 0;
	uint32_t n;

	*s = (struct said){ 0 };
	fence_head_init(&h);
	for (;;) {
		if (h.state == FENCE_HEAD_DONE) {
			s->hosts += h.hosts;
			s->orgs += h.has_org;
			fence_head_next(&h);
		}
		if (at == len || h.state != FENCE_HEAD_MORE)
			break;
		n = fence_head_jump(&h, (uint32_t)(len - at));
		at += n;
		if (!n)
			fence_head_feed(&h, data[at++]);
	}
	s->told = at == len && fence_head_told(&h);
}

static struct said agent;

static void on_request(void *ctx, const struct fence_exchange *x)
{
	char *out = ctx;
	size_t i;

	agent.hosts += !!x->authority[0];
	agent.orgs += !!x->org[0];
	if (!out[0])
		snprintf(out, 256, "%s", x->authority);
	out[strcspn(out, ":")] = 0;
	for (i = 0; out[i]; i++)
		out[i] = (char)tolower((unsigned char)out[i]);
}

static void on_done(void *ctx, struct fence_exchange *x)
{
	(void)ctx;
	(void)x;
}

static char other[256];

static int differs(const struct fence_head *h, const struct made *m)
{
	size_t room = 1 << 20;
	struct fence_http_hooks hooks = { .request = on_request, .done = on_done, .room = &room };
	struct fence_http *http = fence_http_new(&hooks, other, 0);

	other[0] = 0;
	agent = (struct said){ 0 };
	if (!http)
		return 0;
	fence_http_feed(http, 1, m->data, m->len);
	fence_http_free(http);
	/* HTTP/2: a name by a dynamic index is the agent's to see, not ours */
	return other[0] && !h->two && h->state == FENCE_HEAD_DONE && h->hosts &&
	       fence_name_ok(&h->name) &&
	       (strlen(other) != h->name.len || memcmp(other, h->name.text, h->name.len));
}

static int fail(const char *what, const struct fence_head *h, const struct made *m)
{
	size_t i;

	printf("%s: made %s %s, other %s, read %.*s %s (state %d)\n", what, m->host,
	       m->has_org ? m->org : "-", other, h->name.len, h->name.text,
	       h->has_org ? h->org : "-", h->state);
	for (i = 0; i < m->len; i++)
		printf("%02x", m->data[i]);
	printf("\n");
	return 1;
}

/* Fields whose names are not what they were taken for: the origin stays the one that was said. */
static int names(void)
{
	static const char id[] = "abcdefghijklmnopabcdefghijklmnop";
	static const char *const beside[] = {
		/* of one number with "origin" where names are known by FNV-1a */
		"x-"
		"64a4\013\262\020\002\054\177\047\157\032\061\005\004\070\017\014\043\037\023\372"
		"\342",
		"x-origin",
		"0123456789origin",
		"0123456789012345678origin",
	};
	struct fence_head h;
	char text[300];
	size_t i;
	int n;

	for (i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		n = snprintf(text, sizeof(text),
			     "GET / HTTP/1.1\r\nHost: a.example\r\nOrigin: "
			     "chrome-extension://%s\r\n%s: nobody\r\n\r\n",
			     id, beside[i]);
		read_head(&h, (const uint8_t *)text, (size_t)n);
		if (h.state != FENCE_HEAD_DONE || h.origin_len != strlen(id) ||
		    memcmp(h.origin, id, strlen(id))) {
			printf("the origin is another's beside %s\n", beside[i]);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, told = 0, i;
	static struct made m;
	struct fence_head h;
	struct said all;
	uint32_t k;

	if (names())
		return 1;
	random_seed((argc > 2 ? strtoull(argv[2], NULL, 10) : 1));
	for (i = 0; i < rounds; i++) {
		m.len = 0;
		m.cut = 0;
		make_words(&m);
		if (rnd(2))
			make_one(&m);
		else
			make_two(&m);
		read_head(&h, m.data, m.len);
		if (h.state != FENCE_HEAD_DONE || !fence_name_ok(&h.name) ||
		    h.name.len != strlen(m.host) || memcmp(h.name.text, m.host, h.name.len) ||
		    fence_head_is_anonymous(&h) != (*m.site == 'n' && *m.mode == 'c') ||
		    h.tunnel != (h.two && m.tunnel) || h.has_org != m.has_org ||
		    (h.has_org && strcmp(h.org, m.org)))
			return fail("not as it was made", &h, &m);
		read_all(&all, m.data, m.len);
		if (all.hosts != 1 || all.orgs != m.has_org || (!m.cut && !all.told))
			return fail("a whole write", &h, &m);
		for (k = 1 + rnd(3); k; k--)
			m.data[rnd((uint32_t)m.len)] = (uint8_t)rnd(256);
		read_head(&h, m.data, m.len);
		if (differs(&h, &m))
			return fail("another authority than the agent reads", &h, &m);
		read_all(&all, m.data, m.len);
		told += (unsigned long)all.told;
		if (all.told && (all.hosts < agent.hosts || all.orgs < agent.orgs))
			return fail("said to be told, and the agent finds more", &h, &m);
	}
	printf("%lu requests, each also changed (%lu of these told whole), no difference\n", rounds,
	       told);
	return 0;
}
