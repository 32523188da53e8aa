// SPDX-License-Identifier: Apache-2.0
/* pair N: when a line comes, N times SSL_write and SSL_read of a small request, through memory. CPU
 * ns.
 */
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

static SSL *side(SSL_CTX *c, BIO *in, BIO *out)
{
	SSL *s = SSL_new(c);

	BIO_up_ref(in);
	BIO_up_ref(out);
	SSL_set_bio(s, in, out);
	return s;
}

int main(int argc, char **argv)
{
	SSL_CTX *cc = SSL_CTX_new(TLS_client_method()), *sc = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
	X509 *x = X509_new();
	long n = argc == 2 ? atol(argv[1]) : 0, i;
	char octets[] = "GET /services/data/v60.0/limits HTTP/1.1\r\nHost: models.acme.example\r\n"
			"Accept: application/json\r\n\r\n";
	int len = sizeof(octets) - 1;
	SSL *c, *s;
	long long t;

	X509_set_pubkey(x, key);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	X509_sign(x, key, EVP_sha256());
	if (n < 1 || SSL_CTX_use_certificate(sc, x) != 1 || SSL_CTX_use_PrivateKey(sc, key) != 1)
		return 1;
	c = side(cc, down, up);
	s = side(sc, up, down);
	SSL_set_connect_state(c);
	SSL_set_accept_state(s);
	for (i = 0; i < 10; i++) {
		SSL_do_handshake(c);
		SSL_do_handshake(s);
	}
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	t = cpu();
	for (i = 0; i < n; i++)
		if (SSL_write(c, octets, len) != len || SSL_read(s, octets, len) != len)
			return 1;
	printf("%lld\n", (cpu() - t) / n);
	return 0;
}
