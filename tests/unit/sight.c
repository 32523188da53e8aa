// SPDX-License-Identifier: Apache-2.0
/* What TLS sight reads with: HTTP, content codings, TLS finders, a browser's extensions. */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <brotli/encode.h>
#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buf.h"
#include "tls/find.h"
#include "crm/signon.h"
#include "wire/extension.h"
#include "wire/http.h"

struct seen {
	unsigned int requests, done;
	char messages[128]; /* of WebSockets, ">" from the client, "<" to it */
	struct fence_exchange last;
	char request[64], response[64];
};

static void seen_request(void *ctx, const struct fence_exchange *x)
{
	(void)x;
	((struct seen *)ctx)->requests++;
}

static void seen_done(void *ctx, struct fence_exchange *x)
{
	struct seen *s = ctx;

	s->done++;
	s->last = *x;
	snprintf(s->request, sizeof(s->request), "%s", fence_buf_text(&x->request));
	snprintf(s->response, sizeof(s->response), "%s", fence_buf_text(&x->response));
}

static void seen_message(void *ctx, struct fence_exchange *x, int out, const char *data, size_t len)
{
	struct seen *s = ctx;
	size_t n = strlen(s->messages);

	(void)x;
	snprintf(s->messages + n, sizeof(s->messages) - n, "%s%.*s", out ? ">" : "<", (int)len,
		 data);
}

static const __u64 seen_key[FENCE_HASH_KEY] = { 1, 2 };
static size_t seen_room = 1u << 20;
static const struct fence_http_hooks seen_hooks = { .request = seen_request,
						    .message = seen_message,
						    .done = seen_done,
						    .room = &seen_room,
						    .key = seen_key };

/* A seed of the fuzzer, the two sides in turn at 0xff. */
static struct seen read_http(const char *path, int late)
{
	struct fence_buf b = { 0 };
	struct seen s = { 0 };
	struct fence_http *h = fence_http_new(&seen_hooks, &s, late);
	size_t at = 1, n;
	int out = 1;

	assert_int_equal(fence_buf_read_file(&b, path, 65536), 0);
	for (; at < b.len; at += n + 1, out = !out) {
		char *turn = memchr(b.data + at, 0xff, b.len - at);

		n = turn ? (size_t)(turn - b.data) - at : b.len - at;
		fence_http_feed(h, out, (const uint8_t *)b.data + at, n);
	}
	assert_false(fence_http_lost(h));
	fence_http_free(h);
	fence_buf_done(&b);
	return s;
}

static void test_http(void **state)
{
	struct seen s = read_http("tests/fuzz/corpus/http/h1", 0);

	(void)state;
	assert_int_equal(s.requests, 2);
	assert_int_equal(s.done, 2);
	assert_string_equal(s.last.method, "PATCH");
	assert_string_equal(s.last.authority, "acme.my.salesforce.com");
	assert_string_equal(s.last.org, "00D5f000000J2PK");
	/* the field's, not the cookie's behind it */
	assert_true(s.last.credential == fence_http_credential(seen_key, "00D5f000000J2PK!AQ", 18));
	assert_int_equal(s.last.status, 200);
	assert_string_equal(s.request, "hello");
	assert_string_equal(s.response, "abc");
	s = read_http("tests/fuzz/corpus/http/upgrade", 0);
	assert_true(s.last.flags & FENCE_HTTP_UPGRADED);
	assert_int_equal(s.last.out, 6);
	s = read_http("tests/fuzz/corpus/http/h2", 0);
	assert_int_equal(s.requests, 2);
	assert_int_equal(s.done, 2); /* one is answered, the other reset */
	assert_string_equal(s.last.method, "GET");
	assert_true(s.last.flags & FENCE_HTTP_CUT);
	s = read_http("tests/fuzz/corpus/http/late", 1);
	assert_int_equal(s.requests, 2);
	assert_true(s.last.flags & FENCE_HTTP_LATE);
}

/*
 * HTTP/2 whose server speaks first, as it may, and whose answer's body is not given to us: passed
 * over on purpose it is counted, missed it makes the exchange a cut one; outside a body neither is.
 */
static void test_http_pass(void **state)
{
	static const uint8_t settings[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 },
			     answer[] = { 0, 0, 1,    1, 4, 0, 0, 0, 1, 0x88,
					  0, 3, 0xe8, 0, 1, 0, 0, 0, 1 };
	static const char ask[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\6\1\5\0\0\0\1\x82\x84\x87"
				  "\x41\1a";
	struct fence_http *h;
	int pass;

	(void)state;
	for (pass = 0; pass < 2; pass++) {
		struct seen s = { 0 };

		h = fence_http_new(&seen_hooks, &s, 0);
		fence_http_feed(h, 0, settings, sizeof(settings));
		fence_http_feed(h, 1, (const uint8_t *)ask, sizeof(ask) - 1);
		fence_http_feed(h, 0, answer, sizeof(answer));
		(pass ? fence_http_pass : fence_http_gap)(h, 0, 400);
		assert_int_equal(s.done, 0);
		(pass ? fence_http_pass : fence_http_gap)(h, 0, 600);
		assert_int_equal(s.done, 1);
		assert_string_equal(s.last.authority, "a");
		assert_int_equal(s.last.status, 200);
		assert_int_equal(s.last.in, 1000);
		assert_int_equal(s.last.flags, pass ? FENCE_HTTP_WHOLE_OUT
						    : FENCE_HTTP_WHOLE_OUT | FENCE_HTTP_CUT);
		assert_false(fence_http_lost(h));
		fence_http_pass(h, 0, 1);
		assert_true(fence_http_lost(h));
		fence_http_free(h);
	}
}

/* Octets that were not seen: inside a body they are counted, elsewhere the direction is lost. */
static void test_http_gaps(void **state)
{
	static const char head[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
	struct seen s = { 0 };
	struct fence_http *h = fence_http_new(&seen_hooks, &s, 0);

	(void)state;
	fence_http_feed(h, 1, (const uint8_t *)head, sizeof(head) - 1);
	fence_http_gap(h, 1, 60);
	fence_http_feed(h, 1, (const uint8_t *)"0123456789012345678901234567890123456789", 40);
	fence_http_feed(h, 1, (const uint8_t *)head, sizeof(head) - 1);
	assert_int_equal(s.requests, 2);
	assert_false(fence_http_lost(h));
	fence_http_gap(h, 1, 101);
	assert_true(fence_http_lost(h));
	fence_http_feed(h, 1, (const uint8_t *)head, sizeof(head) - 1);
	assert_int_equal(s.requests, 2);
	fence_http_free(h);
	assert_int_equal(s.done, 2);
	assert_int_equal(seen_room, 1u << 20);
}

#define FEED(h, out, octets) fence_http_feed(h, out, (const uint8_t *)(octets), sizeof(octets) - 1)

/* Both sides of a WebSocket, over HTTP/1.1 and as a stream of HTTP/2; who masks wrongly is lost. */
static void test_websocket(void **state)
{
	struct seen s = { 0 };
	struct fence_http *h = fence_http_new(&seen_hooks, &s, 0);

	(void)state;
	FEED(h, 1, "GET /v HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
	FEED(h, 0,
	     "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\x81\x03"
	     "one");
	FEED(h, 1,
	     "\x81\x83"
	     "\x01\x01\x01\x01"
	     "uvn\x01\x82\x01\x01\x01\x01"
	     "ab");
	FEED(h, 0,
	     "\x89\x01x\x80\x02!!\x81\x83"
	     "\x01\x01\x01\x01"
	     "uvn");
	fence_http_free(h);
	assert_string_equal(s.messages, "<one>two<!!"); /* what the client continued has no end */
	assert_int_equal(s.last.messages, 1);
	assert_int_equal(s.last.messages_in, 2);

	memset(&s, 0, sizeof(s));
	h = fence_http_new(&seen_hooks, &s, 0);
	FEED(h, 1, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
	FEED(h, 1,
	     "\0\0\x25\x01\x04\0\0\0\x01"
	     "\x02\x07"
	     "CONNECT"
	     "\x01\x01"
	     "a"
	     "\x04\x02/v"
	     "\0\x09:protocol\x09websocket");
	FEED(h, 0, "\0\0\x01\x01\x04\0\0\0\x01\x88");
	FEED(h, 1, "\0\0\x05\0\0\0\0\0\x01\x81\x83\x01\x01\x01");
	FEED(h, 1, "\0\0\x04\0\x01\0\0\0\x01\x01uvn");
	FEED(h, 0, "\0\0\x04\0\x01\0\0\0\x01\x81\x02me");
	assert_false(fence_http_lost(h));
	assert_int_equal(s.done, 1);
	assert_string_equal(s.messages, ">two<me");
	assert_string_equal(s.last.method, "CONNECT");
	assert_true(s.last.flags & FENCE_HTTP_UPGRADED);
	assert_int_equal(s.last.out, 9);
	FEED(h, 1,
	     "\0\0\x25\x01\x04\0\0\0\x03\x02\x07"
	     "CONNECT\x01\x01"
	     "a\x04\x02/v\0\x09:protocol\x09websocket");
	FEED(h, 0, "\0\0\x01\x01\x05\0\0\0\x03\x8d"); /* 404 */
	assert_int_equal(s.done, 2);
	assert_int_equal(s.last.status, 404);
	assert_false(s.last.flags & FENCE_HTTP_UPGRADED);
	fence_http_free(h);
	assert_int_equal(seen_room, 1u << 20);
}

/* No room: what cannot be kept is said to be cut or long, and nothing is taken for good. */
static void test_http_room(void **state)
{
	static const char head[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
	struct seen s = { 0 };
	struct fence_http *h;
	size_t room;

	(void)state;
	for (room = 0; room < sizeof(struct fence_exchange) + 300; room += 50) {
		memset(&s, 0, sizeof(s));
		seen_room = room;
		h = fence_http_new(&seen_hooks, &s, 0);
		fence_http_feed(h, 1, (const uint8_t *)head, sizeof(head) - 1);
		fence_http_feed(h, 1,
				(const uint8_t *)"0123456789012345678901234567890123456789"
						 "012345678901234567890123456789012345678901"
						 "234567890123456789",
				100);
		fence_http_free(h);
		assert_int_equal(seen_room, room);
		assert_true(s.requests == s.done);
		if (s.done && s.last.request.len < 100)
			assert_true(s.last.flags & FENCE_HTTP_LONG);
	}
	assert_int_equal(s.done, 1);
	seen_room = 1u << 20;
}

/* A body that names its coding loses it; one that is cut or lies keeps it. */
static void test_http_codings(void **state)
{
	static const char clear[] = "{\"Name\": \"Acme\", \"Again\": \"Acme Acme Acme Acme Acme\"}";
	static const char *const names[] = { "gzip", "deflate", "br", "zstd" };
	uint8_t coded[512];
	char head[128];
	size_t i, n, cut;

	(void)state;
	for (i = 0; i < 4; i++) {
		z_stream z = { .next_in = (Bytef *)clear,
			       .avail_in = sizeof(clear) - 1,
			       .next_out = coded,
			       .avail_out = sizeof(coded) };

		n = sizeof(coded);
		if (i < 2) {
			assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, i ? 15 : 31, 8, 0), Z_OK);
			assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
			n = z.total_out;
			deflateEnd(&z);
		} else if (i == 2) {
			assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT,
							  sizeof(clear) - 1, (const uint8_t *)clear,
							  &n, coded));
		} else {
			n = ZSTD_compress(coded, n, clear, sizeof(clear) - 1, 3);
			assert_false(ZSTD_isError(n));
		}
		for (cut = 0; cut < 3; cut++) { /* whole, cut short, another coding's name */
			struct seen s = { 0 };
			struct fence_http *h = fence_http_new(&seen_hooks, &s, 0);
			int len =
				snprintf(head, sizeof(head),
					 "POST /x HTTP/1.1\r\nHost: a\r\nContent-Encoding: "
					 "%s\r\nContent-Length: %zu\r\n\r\n",
					 names[cut == 2 ? (i / 2 * 2 + 2) % 4 : i], n - (cut == 1));

			fence_http_feed(h, 1, (const uint8_t *)head, (size_t)len);
			fence_http_feed(h, 1, coded, n - (cut == 1));
			fence_http_free(h);
			assert_int_equal(s.done, 1);
			assert_int_equal(!!strstr(s.request, "Acme Acme Acme"), !cut);
			assert_int_equal(seen_room, 1u << 20);
		}
	}
}

static int find_in(const char *path, struct fence_tls_points *p)
{
	struct fence_buf b = { 0 };
	int err;

	assert_int_equal(fence_buf_read_file(&b, path, 256u << 20), 0);
	err = fence_tls_find((const uint8_t *)b.data, b.len, p);
	fence_buf_done(&b);
	return err;
}

/* The libcrypto that this program has mapped. */
static int on_library(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	if (!strstr(info->dlpi_name, "/libcrypto.so"))
		return 0;
	snprintf(ctx, 256, "%s", info->dlpi_name);
	return 1;
}

static void test_tls_find(void **state)
{
	char crypto[256] = "";

	struct fence_tls_points p;

	(void)state;
	assert_int_equal(find_in("tests/fuzz/corpus/tls/openssl", &p), 0);
	assert_int_equal(p.stack, FENCE_TLS_OPENSSL);
	assert_int_equal(p.count, 3);
	assert_int_equal(find_in("tests/fuzz/corpus/tls/gnutls", &p), 0);
	assert_int_equal(p.stack, FENCE_TLS_GNUTLS);
	assert_int_equal(find_in("tests/fuzz/corpus/tls/rustls", &p), 0);
	assert_int_equal(p.stack, FENCE_TLS_RUSTLS);
	assert_int_equal(p.count, 2);
	assert_int_equal(p.at[0].call, FENCE_TLS_WRITE_RUSTLS);
	assert_int_equal(p.at[0].box, 0x10);
	assert_int_equal(p.at[0].seq, 0x38);
	/* whose function does not count its records where it should */
	assert_int_equal(find_in("tests/fuzz/corpus/tls/rustls-other", &p), -EINVAL);
	assert_int_equal(p.count, 0);
	/* a table of BoringSSL's whose write does not begin as it should */
	assert_int_equal(find_in("tests/fuzz/corpus/tls/boringssl", &p), -EINVAL);
	assert_int_equal(p.stack, FENCE_TLS_BORINGSSL);
	assert_int_equal(p.count, 0);
	assert_non_null(dlopen("libcrypto.so.3", RTLD_NOW));
	dl_iterate_phdr(on_library, crypto);
	assert_int_equal(find_in(crypto, &p), 0);
	assert_string_equal(p.how, "BIO_s_mem");
	assert_int_equal(p.count, 1);
	assert_int_equal(p.at[0].call, FENCE_TLS_BIO_WRITE);
	assert_int_equal(find_in("/bin/sh", &p), -ENOENT);
	assert_int_equal(find_in("README.md", &p), -ENOEXEC);
}

/* A read like OpenSSL's, and what makes it one that is not known: then it is probed from outside.
 */
static void test_tls_find_kept(void **state)
{
	static const struct {
		size_t at;
		uint8_t is;
	} other[] = {
		{ 0, 0x7f }, /* as it is */
		{ 0x991, 0xf5 }, /* that it peeks is kept nowhere */
		{ 0x9a5, 0xf4 }, /* an instruction that is not known */
		{ 0x9c8, 0xe8 }, /* another length */
		{ 0x9d9, 0x57 }, /* another place for how many */
		{ 0x9dc, 0x70 }, /* it calls something else */
		{ 0x9dd, 0x5b }, /* the connection is lost behind the call */
		{ 0x9e0, 0xfe }, /* it looks for something else */
		{ 0x9e1, 0x75 }, /* and jumps when it is not that */
		{ 0x9e2, 0x70 }, /* to where there is no code */
		{ 0xa20, 0x70 }, /* it does not read again there */
		{ 0xa21, 0x06 }, /* ... and what follows is not known */
	};
	struct fence_buf b = { 0 };
	struct fence_tls_points p;
	uint8_t was;
	size_t i;

	(void)state;
	assert_int_equal(fence_buf_read_file(&b, "tests/fuzz/corpus/tls/openssl-kept", 1u << 20),
			 0);
	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		was = (uint8_t)b.data[other[i].at];
		b.data[other[i].at] = (char)other[i].is;
		assert_int_equal(fence_tls_find((const uint8_t *)b.data, b.len, &p), 0);
		b.data[other[i].at] = (char)was;
		assert_int_equal(p.count, i ? 3 : 4);
		assert_int_equal(p.at[2].offset, i ? 0x975 : 0x9e1);
		assert_int_equal(p.at[2].call, i ? FENCE_TLS_READ_EX : FENCE_TLS_READ_KEPT);
		assert_int_equal(p.at[2].box, i ? 0 : FENCE_TLS_KEPT(3, 5));
		assert_int_equal(p.at[2].seq, i ? 0 : FENCE_TLS_KEPT(14, 13));
	}
	fence_buf_done(&b);
	assert_int_equal(find_in("tests/fuzz/corpus/tls/openssl-kept", &p), 0);
	assert_int_equal(p.at[3].offset, 0xa21);
	assert_int_equal(p.at[3].seq, p.at[2].seq);
}

static void on_addon(void *ctx, const char *id, const char *uuid)
{
	snprintf(ctx, 64, "%s=%s", id, uuid);
}

static void on_installed(void *ctx, const char *id, const char *dir, const char *manifest)
{
	snprintf((char *)ctx + strlen(ctx), 32, "%s=%s,%s;", id, dir ? dir : "",
		 manifest ? manifest : "");
}

static void test_extensions(void **state)
{
	static const struct {
		const char *pattern, *host;
		int covers;
	} all[] = {
		{ "https://a.example/*", "a.example", 1 },
		{ "https://A.example/x", "a.example", 1 },
		{ "http://a.example/*", "a.example", 0 },
		{ "*://a.example/*", "b.a.example", 0 },
		{ "*://*.a.example/*", "b.a.example", 1 },
		{ "*://*.a.example/*", "a.example", 1 },
		{ "*://*.a.example/*", "ba.example", 0 },
		{ "*://*/*", "a.example", 1 },
		{ "https://a.example:8443/*", "a.example", 1 },
		{ "<all_urls>", "a.example", 1 },
		{ "https://*.", "a.example", 0 },
		{ "tabs", "tabs", 0 },
	};
	static const char *const may[] = {
		"\"permissions\": [\"tabs\"]",
		"\"permissions\": [\"activeTab\"]",
		"\"optional_host_permissions\": [\"https://*/*\"]",
		"\"optional_permissions\": [\"*://a.example/*\"]",
	};
	static const char profile[] = "{\"extensions\": {\"settings\": {\"a\": {\"path\": \"/x\"}, "
				      "\"b\": {\"path\": \"b/1\", \"manifest\": {\"v\": 1}}}}}";
	static const char prefs[] =
		"user_pref(\"a\", 1);\nuser_pref(\"extensions.webextensions.uuids\", "
		"\"{\\\"a@b\\\":\\\"u-1\\\"}\");\n";
	struct fence_extension e;
	char text[256], got[64] = "";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(text, sizeof(text),
			 "{ // it\n\"manifest_version\": 3, \"host_permissions\": [\"%s\"]}",
			 all[i].pattern);
		assert_int_equal(fence_wire_extension(text, strlen(text), &e), 0);
		assert_int_equal(fence_wire_covers(&e.hosts, all[i].host), all[i].covers);
		assert_int_equal(fence_wire_covers(&e.scripts, all[i].host), 0);
		fence_wire_extension_done(&e);
	}
	for (i = 0; i < sizeof(may) / sizeof(may[0]); i++) {
		snprintf(text, sizeof(text), "{\"manifest_version\": 3, %s}", may[i]);
		assert_int_equal(fence_wire_extension(text, strlen(text), &e), 0);
		assert_int_equal(fence_wire_covers(&e.hosts, "a.example"), i > 0);
		fence_wire_extension_done(&e);
	}
	assert_int_equal(fence_wire_extension("{}", 2, &e), -EINVAL);
	assert_int_equal(fence_wire_extension("", 0, &e), -EINVAL);
	fence_wire_installed(profile, sizeof(profile) - 1, on_installed, got);
	assert_string_equal(got, "a=/x,;b=,{\"v\":1};");
	got[0] = 0;
	fence_wire_addons(prefs, on_addon, got);
	assert_string_equal(got, "a@b=u-1");
}

/* Who signs on, by the answer of the org alone; anything else is nobody. */
static void test_signon(void **state)
{
#define ID "\"id\":\"https://login.salesforce.com/id/00D5f000000J2PKEA0/0055j000000utlPAAQ\""
#define WHO "<userId>0055j000000utlPAAQ</userId><organizationId>00D5f000000J2PKEA0</organizationId>"
	static const struct {
		const char *path, *answer, *how, *token;
		uint16_t status;
		int cut;
	} all[] = {
		{ "/services/oauth2/token", "{\"access_token\":\"T\\u0021\"," ID "}", "token", "T!",
		  200, 0 },
		{ "/services/oauth2/token?x=1", "{" ID "}", "token", "", 200, 0 },
		{ "/services/oauth2/userinfo",
		  "{\"user_id\":\"0055j000000utlPAAQ\",\"organization_id\":\"00D5f000000J2PKEA0\"}",
		  "userinfo", "", 200, 0 },
		{ "/services/Soap/u/60.0",
		  "<e><b><s:loginResponse><sessionId>T</sessionId>" WHO
		  "</s:loginResponse></b></e>",
		  "soap", "T", 200, 0 },
		{ "/services/Soap/c/60.0", "<getUserInfoResponse>" WHO "</getUserInfoResponse>",
		  "soap", "", 200, 0 },
		{ "/services/Soap/u/60.0", "<queryResponse>" WHO "</queryResponse>", NULL, NULL,
		  200, 0 },
		{ "/services/oauth2/token", "{" ID "}", NULL, NULL, 400, 0 },
		{ "/services/oauth2/token", "{" ID "}", NULL, NULL, 200, 1 },
		{ "/services/oauth2/introspect", "{" ID "}", NULL, NULL, 200, 0 },
		{ "/services/oauth2/token", "{\"id\":5}", NULL, NULL, 200, 0 },
		{ "/services/oauth2/token",
		  "{\"id\":\"/id/00D5f000000J2PKEA0/0065j000000utlPAAQ\"}", NULL, NULL, 200, 0 },
		{ "/services/oauth2/token", "", NULL, NULL, 200, 0 },
	};
	struct fence_crm_signon s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct fence_crm_call c = { .path = all[i].path,
					    .status = all[i].status,
					    .request = "",
					    .response = all[i].answer,
					    .response_len = strlen(all[i].answer),
					    .response_cut = all[i].cut };
		int err = fence_crm_signon(&c, &s);

		assert_int_equal(err, all[i].how ? 0 : -ENOENT);
		if (!err) {
			assert_string_equal(s.how, all[i].how);
			assert_string_equal(s.user, "0055j000000utlPAAQ");
			assert_string_equal(s.org, "00D5f000000J2PKEA0");
			assert_string_equal(fence_buf_text(&s.token), all[i].token);
		}
		fence_crm_signon_done(&s);
	}
#undef ID
#undef WHO
}

/* The same credential has the same number, as a cookie may have it; another one another. */
static void test_credential(void **state)
{
	static const __u64 other[FENCE_HASH_KEY] = { 1, 3 };

	(void)state;
	assert_true(fence_http_credential(seen_key, "a!b", 3) ==
		    fence_http_credential(seen_key, "a%21b", 5));
	assert_false(fence_http_credential(seen_key, "a!b", 3) ==
		     fence_http_credential(seen_key, "a!c", 3));
	assert_false(fence_http_credential(seen_key, "a!b", 3) ==
		     fence_http_credential(other, "a!b", 3));
	assert_true(fence_http_credential(seen_key, "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signon),	      cmocka_unit_test(test_credential),
		cmocka_unit_test(test_http),	      cmocka_unit_test(test_http_gaps),
		cmocka_unit_test(test_http_pass),     cmocka_unit_test(test_http_room),
		cmocka_unit_test(test_http_codings),  cmocka_unit_test(test_tls_find),
		cmocka_unit_test(test_tls_find_kept), cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_websocket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
