// SPDX-License-Identifier: Apache-2.0
/*
 * What strangers may hand us, one libFuzzer target each; -DFUZZ_TARGET=name chooses. Besides not
 * crashing, each holds its reader to what its header promises.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../bpf/lib/dns.h"
#include "../../bpf/lib/head.h"
#include "../../bpf/lib/walk.h"
#include "base/diag.h"
#include "base/utf8.h"
#include "crm/action.h"
#include "crm/signon.h"
#include "crm/values.h"
#include "ipc/control.h"
#include "kernel/kernel.h"
#include "policy/policy.h"
#include "store/log.h"
#include "tls/find.h"
#include "wire/dns.h"
#include "wire/http.h"
#include "wire/extension.h"
#include "wire/native.h"

#define MUST(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "does not hold: %s\n", #x); \
			abort(); \
		} \
	} while (0)

/* Can who reads it on a terminal be led astray? */
static int shows(const char *text)
{
	unsigned int c;

	while ((c = fence_utf8_next(&text)))
		if (fence_utf8_hidden(c))
			return 0;
	return 1;
}

/* A refused policy says why; one that is taken can be decided by. */
static void fuzz_policy(const uint8_t *data, size_t len)
{
	struct fence_policy *p = NULL;
	struct fence_policy_errors e;
	char *text = calloc(len + 1, 1), line[FENCE_DIAG_LINE];
	size_t i;
	int err;

	if (!text)
		return;
	memcpy(text, data, len);
	err = fence_policy_parse(text, len, "fuzz", &p, &e);
	free(text);
	if (err < 0) {
		MUST(!p && e.count);
		for (i = 0; i < e.count && i < FENCE_POLICY_ERRORS; i++) {
			fence_diag_line(&e.d[i], line, sizeof(line));
			MUST(e.d[i].text[0] && shows(line));
			MUST(strlen(line) + 1 < sizeof(line));
		}
		return;
	}
	MUST(p->ntools > 0);
	fence_policy_find(p, 1, "acme.my.salesforce.com");
	fence_policy_free(p);
}

static void addon(void *ctx, const char *id, const char *uuid)
{
	*(size_t *)ctx += strlen(id) + strlen(uuid);
}

static void installed(void *ctx, const char *id, const char *dir, const char *manifest)
{
	MUST(!dir || *dir == '/');
	*(size_t *)ctx += strlen(id) + (manifest ? strlen(manifest) : 0);
}

/* A manifest that is taken has what a browser needs of it; an extension's, and prefs.js, just end.
 */
static void fuzz_native(const uint8_t *data, size_t len)
{
	struct fence_extension e;
	struct fence_native m;
	struct fence_buf text = { 0 };
	size_t n = 0;

	if (!fence_wire_extension((const char *)data, len, &e)) {
		fence_wire_covers(&e.hosts, "acme.my.salesforce.com");
		fence_wire_covers(&e.scripts, "");
		MUST(!e.hosts.len || !e.hosts.data[e.hosts.len - 1]);
		fence_wire_extension_done(&e);
	}
	fence_buf_add(&text, data, len);
	fence_wire_addons(fence_buf_text(&text), addon, &n);
	fence_wire_installed((const char *)data, len, installed, &n);
	fence_buf_done(&text);
	if (fence_wire_native((const char *)data, len, &m))
		return;
	MUST(m.name[0] && m.path[0] == '/' && m.count <= FENCE_NATIVE_ORIGINS);
	MUST(!m.count || fence_wire_native_for(&m, m.extensions[m.count - 1]));
}

/* An answer, then what leaves, with NUL between them: what is found has a field's name. */
static void fuzz_values(const uint8_t *data, size_t len)
{
	static const uint8_t key[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	static struct fence_values *v;
	static unsigned int runs;
	const uint8_t *cut = len ? memchr(data, 0, len) : NULL;
	struct fence_value_hit hits[4];
	size_t first = cut ? (size_t)(cut - data) : len, n, i;

	if (!v)
		v = fence_values_new(key);
	MUST(v);
	fence_values_learn(v, (const char *)data, first);
	n = fence_values_search(v, data, len, hits, 4);
	for (i = 0; i < n && i < 4; i++)
		MUST(hits[i].field[0] && memchr(hits[i].id, 0, sizeof(hits[i].id)));
	if (++runs % 50000 == 0) {
		fence_values_free(v);
		v = NULL;
	}
}

/* A request's head: however it is cut off, what is read of it is inside its limits. */
static void fuzz_head(const uint8_t *data, size_t len)
{
	struct fence_head h;
	size_t at = 0;
	uint32_t n;

	fence_head_init(&h);
	while (at < len && h.state != FENCE_HEAD_UNKNOWN) {
		if (h.state == FENCE_HEAD_DONE) {
			MUST(!h.has_org || strlen(h.org) == FENCE_ORG_LEN);
			MUST(h.name.len <= FENCE_NAME_MAX);
			fence_head_next(&h);
		}
		n = fence_head_jump(&h, (uint32_t)(len - at));
		MUST(n <= len - at);
		at += n;
		if (!n)
			fence_head_feed(&h, data[at++]);
	}
}

/* What passes the check has its tail inside. */
static void fuzz_record(const uint8_t *data, size_t len)
{
	const struct fence_rec *r = (const void *)data;
	uint8_t *copy = malloc(len ? len : 1);
	size_t i, sum = 0;

	if (!copy)
		return;
	memcpy(copy, data, len);
	r = (const void *)copy;
	if (!fence_record_check(copy, len)) {
		MUST(r->len <= len && r->kind < FENCE_K_MAX);
		if (r->kind == FENCE_K_NAME || r->kind == FENCE_K_DENY)
			for (i = 0; i < ((const struct fence_rec_flow *)copy)->name_len; i++)
				sum += (uint8_t)((const struct fence_rec_flow *)copy)->name[i];
		if (r->kind == FENCE_K_DNS)
			for (i = 0; i < ((const struct fence_rec_dns *)copy)->msg_len; i++)
				sum += ((const struct fence_rec_dns *)copy)->msg[i];
		if (r->kind == FENCE_K_EXEC)
			for (i = 0; i < ((const struct fence_rec_exec *)copy)->path_len; i++)
				sum += (uint8_t)((const struct fence_rec_exec *)copy)->path[i];
	}
	MUST(sum != (size_t)-1);
	free(copy);
}

/* Both readers of DNS. */
static void fuzz_dns(const uint8_t *data, size_t len)
{
	static uint8_t buf[FENCE_DNS_BUF];
	static struct fence_dns d;
	struct fence_dns_message m;
	uint8_t *copy;

	if (len > FENCE_DNS_BUF)
		len = FENCE_DNS_BUF;
	copy = malloc(len ? len : 1);
	if (!copy)
		return;
	memcpy(copy, data, len);
	memcpy(buf, data, len);
	fence_dns_ask(buf, (__u32)len, &d);
	MUST(d.bad || d.name.len <= FENCE_NAME_MAX);
	fence_dns_answer(buf, (__u32)len, 0, &d);
	fence_dns_answer(buf, (__u32)len, 1, &d);
	MUST(d.count <= FENCE_DNS_ADDRS && (!d.bad || !d.count));
	if (!fence_wire_dns(copy, len, &m))
		MUST(m.count <= FENCE_WIRE_ADDRS && memchr(m.name, 0, sizeof(m.name)));
	free(copy);
}

/* Over every hello or request in it. */
static void walk(struct fence_walk *w, const uint8_t *data, size_t len, int proxy, int jump)
{
	size_t at = 0;
	__u32 n;

	memset(w, 0, sizeof(*w));
	fence_walk_init(w, proxy);
	while (at < len) {
		if (w->state == FENCE_WALK_NAME || w->state == FENCE_WALK_ABSENT ||
		    w->state == FENCE_WALK_PLAIN)
			fence_walk_on(w);
		if (w->state != FENCE_WALK_MORE)
			return;
		n = fence_walk_jump(w, jump ? (__u32)(len - at) : 1);
		MUST(n <= len - at);
		if (n)
			at += n;
		else
			fence_walk_feed(w, data[at++]);
	}
}

/* What the proxy says, likewise. */
static void reply(struct fence_proxy *p, const uint8_t *data, size_t len, int jump)
{
	size_t at = 0;
	__u32 n;

	memset(p, 0, sizeof(*p));
	p->step = FENCE_P_WAIT;
	while (at < len) {
		n = fence_reply_jump(&p->reply, jump ? (__u32)(len - at) : 1);
		MUST(n <= len - at);
		if (n)
			at += n;
		else
			fence_reply_feed(p, data[at++]);
	}
}

/* However the stream is cut, the walk ends alike. */
static void fuzz_hello(const uint8_t *data, size_t len)
{
	struct fence_walk whole, cut;
	int proxy;

	for (proxy = 0; proxy < 2; proxy++) {
		walk(&whole, data, len, proxy, 1);
		walk(&cut, data, len, proxy, 0);
		MUST(whole.state == cut.state && whole.proxy.port == cut.proxy.port);
		MUST(whole.name.hash == cut.name.hash && whole.name.len == cut.name.len);
	}
	reply(&whole.proxy, data, len, 1);
	reply(&cut.proxy, data, len, 0);
	MUST(whole.proxy.answer == cut.proxy.answer);
	MUST(whole.proxy.reply.step == cut.proxy.reply.step);
}

static void fuzz_control(const uint8_t *data, size_t len)
{
	struct fence_control_request r;
	struct fence_peer peer;
	int s[2];

	int on = 1;

	if (len > 4096 || socketpair(AF_UNIX, SOCK_STREAM, 0, s))
		return;
	setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	if (send(s[0], data, len, MSG_NOSIGNAL) == (ssize_t)len) {
		shutdown(s[0], SHUT_WR);
		if (!fence_control_receive(s[1], &r, &peer))
			MUST(len >= sizeof(r) && strlen(r.tool) < sizeof(r.tool));
	}
	close(s[0]);
	close(s[1]);
}

static int row(void *ctx, const struct fence_row *r)
{
	(void)ctx;
	MUST(strlen(r->boot) + strlen(r->kind) + strlen(r->body) + 1);
	return 0;
}

/* A log that somebody else wrote. */
static void fuzz_log(const uint8_t *data, size_t len)
{
	static char path[64];
	struct fence_verify v;
	struct fence_query_log q = { 0 };
	struct fence_diag d = { 0 };
	FILE *f;

	if (!path[0])
		snprintf(path, sizeof(path), "/dev/shm/crmfence-fuzz-%d", getpid());
	f = fopen(path, "we");
	if (!f)
		return;
	fwrite(data, 1, len, f);
	fclose(f);
	if (fence_log_verify(path, &v, &d) < 0)
		MUST(d.text[0]);
	else
		MUST(!v.bad_seq == !v.why[0]);
	fence_log_read(path, &q, row, NULL, &d);
	unlink(path);
}

/* A binary that lies: what is found stands inside the file. */
static void fuzz_tls(const uint8_t *data, size_t len)
{
	struct fence_tls_points p;
	uint8_t *copy = malloc(len ? len : 1);
	size_t i;
	int err;

	if (!copy)
		return;
	memcpy(copy, data, len);
	err = fence_tls_find(copy, len, &p);
	MUST(!err == !!p.count && p.count <= FENCE_TLS_POINTS);
	for (i = 0; i < p.count; i++)
		MUST(p.at[i].offset < len && p.at[i].call && p.at[i].call < FENCE_TLS_CALL_MAX);
	free(copy);
}

struct tally {
	uint64_t requests, done, sum;
};

static void tally_request(void *ctx, const struct fence_exchange *x)
{
	struct tally *t = ctx;

	t->requests++;
	MUST(memchr(x->path, 0, sizeof(x->path)) && memchr(x->authority, 0, sizeof(x->authority)));
	MUST(!x->org[0] || !strncmp(x->org, "00D", 3));
}

static void tally_done(void *ctx, struct fence_exchange *x)
{
	struct tally *t = ctx;

	t->done++;
	MUST(x->request.len <= (x->coding_out[0] ? 1u << 20 : FENCE_HTTP_BODY));
	MUST(x->response.len <= (x->coding_in[0] ? 1u << 20 : FENCE_HTTP_BODY));
	MUST(x->coding_out[0] || x->request.len <= x->out);
	MUST(x->coding_in[0] || x->response.len <= x->in);
	t->sum += x->out * 3 + x->in * 7 + x->status + x->request.len + x->response.len;
}

static void tally_message(void *ctx, struct fence_exchange *x, int out, const char *data,
			  size_t len)
{
	struct tally *t = ctx;

	MUST(len && len <= FENCE_HTTP_BODY && (out ? x->messages : x->messages_in));
	t->sum += len * (out ? 11 : 17) + (uint8_t)data[0] * 13 + (uint8_t)data[len - 1];
}

/* The first octet: how it is cut, and whether it is late. Then octets, the sides in turn at 0xff.
 */
static struct tally http(const uint8_t *data, size_t len, size_t step, int late, int gaps)
{
	static size_t room = 4u << 20;
	static const struct fence_http_hooks hooks = { .request = tally_request,
						       .message = tally_message,
						       .done = tally_done,
						       .room = &room };
	struct tally t = { 0 };
	struct fence_http *h = fence_http_new(&hooks, &t, late);
	size_t at = 0, n;
	int out = 1;

	MUST(h);
	while (at < len) {
		const uint8_t *turn = memchr(data + at, 0xff, len - at);

		n = turn ? (size_t)(turn - data) - at : len - at;
		if (n > step)
			n = step;
		if (gaps && n > 3 && data[at] == 0xfe)
			fence_http_gap(h, out, n);
		else if (gaps && n > 3 && data[at] == 0xfd)
			fence_http_pass(h, out, n);
		else
			fence_http_feed(h, out, data + at, n);
		at += n;
		if (at < len && data[at] == 0xff) {
			out = !out;
			at++;
		}
	}
	fence_http_free(h);
	MUST(room == 4u << 20);
	return t;
}

/* However the stream is cut, the same is read; with gaps, nothing breaks. */
static void fuzz_http(const uint8_t *data, size_t len)
{
	struct tally whole, cut;

	if (!len)
		return;
	whole = http(data + 1, len - 1, len, data[0] & 1, 0);
	cut = http(data + 1, len - 1, 1, data[0] & 1, 0);
	MUST(whole.requests == cut.requests && whole.done == cut.done && whole.sum == cut.sum);
	http(data + 1, len - 1, 1 + data[0] / 2, data[0] & 1, 1);
}

static void each_action(void *ctx, const struct fence_crm_action *a)
{
	uint32_t i;

	(*(unsigned int *)ctx)++;
	MUST(a->api && a->verb && memchr(a->object, 0, sizeof(a->object)));
	for (i = 0; i < a->nids && i < FENCE_ACTION_IDS; i++)
		MUST(fence_crm_record_id(a->ids[i], strlen(a->ids[i])));
	for (i = 0; i < a->nfields && i < FENCE_ACTION_FIELDS; i++)
		MUST(a->fields[i][0] && strlen(a->fields[i]) < FENCE_ACTION_NAME);
}

/* A method and types, a path up to NUL, a body up to RS (0x1e), an answer. */
static void fuzz_action(const uint8_t *data, size_t len)
{
	static const char *const methods[] = { "GET", "POST", "PATCH", "DELETE", "PUT" };
	char *text = calloc(len + 3, 1), shape[128], org[FENCE_CRM_ID], user[FENCE_CRM_ID];
	static const char *const types[] = { "application/json", "text/xml", "text/csv",
					     "application/x-www-form-urlencoded" };
	struct fence_crm_call c = { .soap_action = "", .status = 200 };
	struct fence_buf session = { 0 };
	struct fence_crm_signon signon;
	unsigned int n = 0;
	const char *rs;

	if (!text || !len) {
		free(text);
		return;
	}
	memcpy(text, data + 1, len - 1);
	c.method = methods[data[0] % 5];
	c.path = text;
	c.type_out = c.type_in = types[data[0] / 5 % 4];
	c.request = text + strlen(text) + 1;
	c.request = c.request > text + len ? text + len : c.request;
	c.request_len = (size_t)(text + len - c.request);
	rs = memchr(c.request, 0x1e, c.request_len);
	c.response = rs ? rs + 1 : text + len;
	c.response_len = (size_t)(text + len - c.response);
	c.request_len = rs ? (size_t)(rs - c.request) : c.request_len;
	MUST(fence_crm_actions(&c, each_action, &n) == n);
	fence_crm_path_shape(c.path, shape, sizeof(shape));
	MUST(memchr(shape, 0, sizeof(shape)));
	fence_crm_identity(c.path, org, user);
	fence_crm_signon(&c, &signon);
	MUST(strlen(signon.user) < FENCE_CRM_ID && strlen(signon.org) < FENCE_CRM_ID);
	fence_crm_signon_done(&signon);
	fence_crm_soap_session(&c, &session);
	fence_buf_done(&session);
	free(text);
}

#define CALL_(name) fuzz_##name
#define CALL(name) CALL_(name)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const targets[])(const uint8_t *, size_t) = {
		fuzz_policy, fuzz_record, fuzz_dns,    fuzz_hello,  fuzz_control,
		fuzz_log,    fuzz_tls,	  fuzz_native, fuzz_values, fuzz_head,
	};

	(void)targets; /* each is built in each */
	CALL(FUZZ_TARGET)(data, len);
	return 0;
}
