/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP as one connection's plaintext shows it, both directions: HTTP/1.1 (RFC 9112), HTTP/2 (RFC
 * 9113, headers by nghttp2), the messages of a WebSocket (RFC 6455, over HTTP/2 RFC 8441). The
 * octets are hostile, may begin in the middle and may have gaps; what cannot be told is said, never
 * guessed. Pure: no clock, no file.
 *
 * Credentials do not get past here: of an Authorization or Cookie field only the org id before the
 * "!" of a Salesforce session id is kept, and a number that tells one credential from another.
 */
#ifndef FENCE_WIRE_HTTP_H
#define FENCE_WIRE_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <crmfence/hash.h>

#include "base/buf.h"

#define FENCE_HTTP_HEAD 65536 /* octets of one message's head, or of one HTTP/2 header block */
#define FENCE_HTTP_BODY (256u << 10) /* octets of one body that are kept for reading it */
#define FENCE_HTTP_BODIES 8 /* exchanges of a connection whose bodies are kept at once */
#define FENCE_HTTP_OPEN 256 /* exchanges of a connection that have no end yet */
#define FENCE_HTTP_FIELD 512 /* octets of a field's value that are kept */
#define FENCE_HTTP_PATH 2048

enum fence_http_version { FENCE_HTTP_UNKNOWN, FENCE_HTTP_1, FENCE_HTTP_2, FENCE_HTTP_OPAQUE };

/* fence_exchange.flags */
#define FENCE_HTTP_LATE 0x01 /* the connection was there before its plaintext was seen */
#define FENCE_HTTP_CUT 0x02 /* octets of it were not seen, or it did not end */
#define FENCE_HTTP_LONG 0x04 /* a body was longer than what is kept */
#define FENCE_HTTP_BEARER 0x08 /* it carried a bearer token or session cookie */
#define FENCE_HTTP_UPGRADED 0x10 /* WebSocket, or a CONNECT that was granted: opaque from here */
#define FENCE_HTTP_CODED_OUT 0x20 /* the request's body still has a content coding */
#define FENCE_HTTP_CODED_IN 0x40
#define FENCE_HTTP_WHOLE_OUT 0x80 /* `request` is all of the body, and not coded */
#define FENCE_HTTP_WHOLE_IN 0x100

struct fence_exchange {
	uint32_t id; /* HTTP/2: stream; HTTP/1: 1, 2, 3 ... */
	uint8_t version, told, answered;
	uint8_t keeps; /* one of FENCE_HTTP_BODIES */
	uint16_t flags, status; /* status 0: none */
	uint32_t messages, messages_in; /* WebSocket: that the client has sent, and was sent */
	char method[16];
	char path[FENCE_HTTP_PATH]; /* as sent, query and all: not for the log */
	char authority[256], origin[FENCE_HTTP_FIELD];
	char site[24], mode[24], dest[24]; /* Sec-Fetch-* */
	char type_out[96], type_in[96]; /* Content-Type */
	char action[FENCE_HTTP_FIELD]; /* SOAPAction */
	char org[16]; /* org id of the credential, or of a gRPC call's tenant; empty: none */
	const __u64 *key; /* borrowed, of the hooks */
	uint64_t credential; /* fence_http_credential() of it; 0: none */
	uint8_t fielded; /* it stood in a field of its own, which goes before a cookie */
	char request_id[64]; /* the server's */
	char upgrade[24], coding_out[16], coding_in[16];
	uint64_t out, in; /* octets of the bodies */
	struct fence_buf request, response; /* what is kept of them */
	struct ws_side *ws[2]; /* owned; a WebSocket's frames, to the client and from it */
	struct fence_exchange *next;
};

struct fence_http_hooks {
	void (*request)(void *ctx, const struct fence_exchange *x); /* its head is complete */
	/* a WebSocket message, `out`: of the client, as far as it was kept; NULL: not wanted */
	void (*message)(void *ctx, struct fence_exchange *x, int out, const char *data, size_t len);
	void (*done)(void *ctx, struct fence_exchange *x); /* it is over, or never will be */
	const __u64
		*key; /* of the credentials' numbers, FENCE_HASH_KEY words; borrowed; NULL: none */
	size_t *room; /* octets that all connections together may still keep; borrowed */
};

struct fence_http;

/* NULL: no memory. `late`: octets went before what will be fed first. */
struct fence_http *fence_http_new(const struct fence_http_hooks *hooks, void *ctx, int late);
void fence_http_free(struct fence_http *h); /* ends what is open; NULL is fine */

/* `out`: 1 from the client, 0 to it. */
void fence_http_feed(struct fence_http *h, int out, const uint8_t *data, size_t len);
void fence_http_gap(struct fence_http *h, int out, uint64_t len); /* so many were not seen */
void fence_http_pass(struct fence_http *h, int out, uint64_t len); /* a body's, and not wanted */
uint64_t fence_http_credential(const __u64 *key, const char *value, size_t len); /* not 0 */
int fence_http_version(const struct fence_http *h); /* enum fence_http_version */
int fence_http_lost(const struct fence_http *h); /* a direction cannot be followed any more */

#endif
