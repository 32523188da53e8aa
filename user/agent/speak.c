// SPDX-License-Identifier: Apache-2.0
#include "agent/speak.h"

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>

#define TURNS 50 /* of a handshake */
#define TURN_MS 20

/* Until either end has something to read. */
static void await(const int fds[2])
{
	struct pollfd p[2] = { { .fd = fds[0], .events = POLLIN },
			       { .fd = fds[1], .events = POLLIN } };

	poll(p, 2, TURN_MS);
}

/* The library's own function of that name; `lib` and `missing` are the caller's. */
#define GET(type, name) \
	type *name##_; \
	*(void **)&name##_ = dlsym(lib, #name); \
	missing |= !name##_
#define OWN(name) GET(__typeof__(name), name)

/* ---- OpenSSL ---- */

static const unsigned char secret[32] = "of a trial: it protects nothing";

static unsigned int psk_client(SSL *s, const char *hint, char *id, unsigned int most,
			       unsigned char *psk, unsigned int room)
{
	(void)s;
	(void)hint;
	if (most < 2 || room < sizeof(secret))
		return 0;
	memcpy(id, "x", 2);
	memcpy(psk, secret, sizeof(secret));
	return sizeof(secret);
}

static unsigned int psk_server(SSL *s, const char *id, unsigned char *psk, unsigned int room)
{
	(void)s;
	(void)id;
	if (room < sizeof(secret))
		return 0;
	memcpy(psk, secret, sizeof(secret));
	return sizeof(secret);
}

int speak_openssl(const char *path, const int fds[2], const uint8_t nonce[][FENCE_TRY_NONCE])
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	uint8_t octets[FENCE_TRY_NONCE];
	int missing = !lib, i;
	SSL_CTX *ctx[2];
	SSL *s[2];

	if (!lib)
		return -1;
	OWN(TLS_client_method);
	OWN(TLS_server_method);
	OWN(SSL_CTX_new);
	OWN(SSL_CTX_ctrl);
	OWN(SSL_CTX_set_cipher_list);
	OWN(SSL_CTX_set_psk_client_callback);
	OWN(SSL_CTX_set_psk_server_callback);
	OWN(SSL_new);
	OWN(SSL_set_fd);
	OWN(SSL_set_connect_state);
	OWN(SSL_set_accept_state);
	OWN(SSL_do_handshake);
	OWN(SSL_write);
	OWN(SSL_read);
	if (missing)
		return -1;
	ctx[0] = SSL_CTX_new_(TLS_client_method_());
	ctx[1] = SSL_CTX_new_(TLS_server_method_());
	if (!ctx[0] || !ctx[1])
		return -1;
	SSL_CTX_set_psk_client_callback_(ctx[0], psk_client);
	SSL_CTX_set_psk_server_callback_(ctx[1], psk_server);
	for (i = 0; i < 2; i++) {
		SSL_CTX_ctrl_(ctx[i], SSL_CTRL_SET_MAX_PROTO_VERSION, TLS1_2_VERSION, NULL);
		s[i] = SSL_CTX_set_cipher_list_(ctx[i], "PSK") == 1 ? SSL_new_(ctx[i]) : NULL;
		if (!s[i] || SSL_set_fd_(s[i], fds[i]) != 1)
			return -1;
	}
	SSL_set_connect_state_(s[0]);
	SSL_set_accept_state_(s[1]);
	for (i = 0; i < TURNS && SSL_do_handshake_(s[0]) + SSL_do_handshake_(s[1]) != 2; i++)
		await(fds);
	if (i == TURNS || SSL_write_(s[0], nonce[0], FENCE_TRY_NONCE) != FENCE_TRY_NONCE)
		return -1;
	await(fds);
	return SSL_read_(s[1], octets, sizeof(octets)) == sizeof(octets) ? 0 : -1;
}

/* ---- GnuTLS (gnutls/gnutls.h) ---- */

#define GNUTLS_SERVER (1u << 0)
#define GNUTLS_CLIENT (1u << 1)
#define GNUTLS_NONBLOCK (1u << 3)
#define GNUTLS_CRD_ANON 2

typedef int new_fn(void **out);
typedef int init_fn(void **out, unsigned int flags);
typedef int priority_fn(void *session, const char *text, const char **at);
typedef int set_fn(void *session, int type, void *credentials);
typedef void fd_fn(void *session, int in, int out);
typedef int session_fn(void *session);
typedef ssize_t write_fn(void *session, const void *octets, size_t len);
typedef ssize_t read_fn(void *session, void *octets, size_t len);

int speak_gnutls(const char *path, const int fds[2], const uint8_t nonce[][FENCE_TRY_NONCE])
{
	static const unsigned int sides[2] = { GNUTLS_CLIENT, GNUTLS_SERVER };
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL), *s[2], *credentials[2];
	uint8_t octets[FENCE_TRY_NONCE];
	int missing = !lib, i, done[2] = { 0 };

	if (!lib)
		return -1;
	GET(new_fn, gnutls_anon_allocate_client_credentials);
	GET(new_fn, gnutls_anon_allocate_server_credentials);
	GET(init_fn, gnutls_init);
	GET(priority_fn, gnutls_priority_set_direct);
	GET(set_fn, gnutls_credentials_set);
	GET(fd_fn, gnutls_transport_set_int2);
	GET(session_fn, gnutls_handshake);
	GET(write_fn, gnutls_record_send);
	GET(read_fn, gnutls_record_recv);
	if (missing || gnutls_anon_allocate_client_credentials_(&credentials[0]) ||
	    gnutls_anon_allocate_server_credentials_(&credentials[1]))
		return -1;
	for (i = 0; i < 2; i++) {
		if (gnutls_init_(&s[i], sides[i] | GNUTLS_NONBLOCK) ||
		    gnutls_priority_set_direct_(
			    s[i], "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ANON-ECDH", NULL) ||
		    gnutls_credentials_set_(s[i], GNUTLS_CRD_ANON, credentials[i]))
			return -1;
		gnutls_transport_set_int2_(s[i], fds[i], fds[i]);
	}
	for (i = 0; i < TURNS && !(done[0] && done[1]); i++) { /* once done it would begin again */
		done[0] = done[0] || !gnutls_handshake_(s[0]);
		done[1] = done[1] || !gnutls_handshake_(s[1]);
		if (!done[0])
			await(fds);
	}
	if (i == TURNS || gnutls_record_send_(s[0], nonce[0], FENCE_TRY_NONCE) != FENCE_TRY_NONCE)
		return -1;
	await(fds);
	return gnutls_record_recv_(s[1], octets, sizeof(octets)) == sizeof(octets) ? 0 : -1;
}

/* ---- NSPR (prio.h) ---- */

#define PR_TOP_IO_LAYER (-2)

typedef int identity_fn(const char *name);
typedef const void *methods_fn(void);
typedef void *stub_fn(int identity, const void *methods);
typedef int push_fn(void *fd, int where, void *layer);
typedef void *import_fn(int fd);
typedef int32_t pr_write_fn(void *fd, const void *octets, int32_t len);
typedef int32_t pr_read_fn(void *fd, void *octets, int32_t len);

int speak_nspr(const char *path, const int fds[2], const uint8_t nonce[][FENCE_TRY_NONCE])
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL), *fd[2];
	uint8_t octets[FENCE_TRY_NONCE];
	int missing = !lib, i, identity;

	if (!lib)
		return -1;
	GET(identity_fn, PR_GetUniqueIdentity);
	GET(methods_fn, PR_GetDefaultIOMethods);
	GET(stub_fn, PR_CreateIOLayerStub);
	GET(push_fn, PR_PushIOLayer);
	GET(import_fn, PR_ImportTCPSocket);
	GET(pr_write_fn, PR_Write);
	GET(pr_read_fn, PR_Read);
	if (missing)
		return -1;
	identity = PR_GetUniqueIdentity_("trial");
	for (i = 0; i < 2; i++) {
		fd[i] = PR_ImportTCPSocket_(fds[i]);
		if (!fd[i] ||
		    PR_PushIOLayer_(fd[i], PR_TOP_IO_LAYER,
				    PR_CreateIOLayerStub_(identity, PR_GetDefaultIOMethods_())))
			return -1;
	}
	if (PR_Write_(fd[0], nonce[0], FENCE_TRY_NONCE) != FENCE_TRY_NONCE)
		return -1;
	return PR_Read_(fd[1], octets, sizeof(octets)) == sizeof(octets) ? 0 : -1;
}
