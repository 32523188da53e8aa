// SPDX-License-Identifier: Apache-2.0
/*
 * The load. One side serves for ever; the other does one thing as fast as it can for a while and
 * prints: operations, seconds, CPU nanoseconds of its own, median nanoseconds of one operation.
 *
 * usage: bench serve ADDRESS CERT KEY
 *        bench conn|rr|bulk|udp|tls|tlsnew HOST SECONDS
 *        bench exec|open - SECONDS
 *        bench paced HOST SECONDS      200 connects a second
 *
 * With one argument more it does so once, and again for each line of its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 200000

enum { CONN = 7001, RR, BULK, UDP, TLS = 443 };

static char block[65536];
static uint32_t samples[SAMPLES];
static size_t nsamples;

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listener(const char *addr, uint16_t port, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type, 0), one = 1;

	inet_pton(AF_INET, addr, &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(fd, 1024)))
		die("listen");
	return fd;
}

static void serve_stream(const char *addr, uint16_t port)
{
	int l = listener(addr, port, SOCK_STREAM), fd, one = 1;
	ssize_t n;

	for (;;) {
		fd = accept(l, NULL, NULL);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while ((n = read(fd, block, sizeof(block))) > 0)
			if (port == RR && write(fd, block, (size_t)n) != n)
				break;
		close(fd);
	}
}

static void serve_tls(const char *addr, const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int l = listener(addr, TLS, SOCK_STREAM), fd, one = 1;
	SSL *s;
	int n;

	if (SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		exit(1);
	SSL_CTX_set_num_tickets(ctx, 0);
	for (;;) {
		fd = accept(l, NULL, NULL);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		s = SSL_new(ctx);
		SSL_set_fd(s, fd);
		if (SSL_accept(s) == 1)
			while ((n = SSL_read(s, block, 1024)) > 0)
				SSL_write(s, block, n);
		SSL_free(s);
		close(fd);
	}
}

static void serve(const char *addr, const char *cert, const char *key)
{
	static const uint16_t ports[] = { CONN, RR, BULK };
	size_t i;
	int fd;

	for (i = 0; i < 4; i++) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* they end with the one that is known */
		if (i < 3)
			serve_stream(addr, ports[i]);
		serve_tls(addr, cert, key);
	}
	fd = listener(addr, UDP, SOCK_DGRAM);
	puts("ready");
	fflush(stdout);
	for (;;)
		if (recv(fd, block, sizeof(block), 0) < 0)
			die("recv");
}

static struct sockaddr_in target;

static int dial(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	target.sin_port = htons(port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (void *)&target, sizeof(target)))
		die("connect");
	return fd;
}

static void sample(uint64_t since)
{
	if (nsamples < SAMPLES)
		samples[nsamples++] = (uint32_t)(now(CLOCK_MONOTONIC) - since);
}

static void one_conn(void)
{
	struct linger hard = { 1, 0 };
	int fd = dial(CONN);

	if (write(fd, "x", 1) != 1)
		die("write");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static int stream = -1, dgram = -1;

static void one_rr(void)
{
	if (stream < 0)
		stream = dial(RR);
	if (write(stream, "x", 1) != 1 || read(stream, block, 64) != 1)
		die("rr");
}

static void one_bulk(void)
{
	if (stream < 0)
		stream = dial(BULK);
	if (write(stream, block, sizeof(block)) != (ssize_t)sizeof(block))
		die("bulk");
}

static void one_udp(void)
{
	if (dgram < 0)
		dgram = socket(AF_INET, SOCK_DGRAM, 0);
	target.sin_port = htons(UDP);
	if (sendto(dgram, block, 64, 0, (void *)&target, sizeof(target)) != 64)
		die("sendto");
}

static void one_exec(void)
{
	char *args[] = { (char *)"/bin/true", NULL };
	pid_t pid;

	if (posix_spawn(&pid, "/bin/true", NULL, NULL, args, NULL))
		die("spawn");
	waitpid(pid, NULL, 0);
}

static void one_open(void)
{
	close(open("/etc/hostname", O_RDONLY | O_CLOEXEC));
}

static SSL_CTX *client;
static SSL *session;
static const char *host;

static SSL *tls_dial(void)
{
	SSL *s;

	if (!client)
		client = SSL_CTX_new(TLS_client_method());
	s = SSL_new(client);
	SSL_set_tlsext_host_name(s, host);
	SSL_set_fd(s, dial(TLS));
	if (SSL_connect(s) != 1)
		die("SSL_connect");
	return s;
}

static void tls_ask(SSL *s)
{
	if (SSL_write(s, block, 200) != 200 || SSL_read(s, block, 1024) <= 0)
		die("tls");
}

static void one_tls(void)
{
	if (!session)
		session = tls_dial();
	tls_ask(session);
}

static void one_tlsnew(void)
{
	SSL *s = tls_dial();

	tls_ask(s);
	close(SSL_get_fd(s));
	SSL_free(s);
}

static int by_size(const void *a, const void *b)
{
	return (*(const uint32_t *)a > *(const uint32_t *)b) -
	       (*(const uint32_t *)a < *(const uint32_t *)b);
}

static uint64_t cpu(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000 +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
}

static void report(void (*one)(void), double seconds, int paced)
{
	uint64_t begin, end, ops = 0, used, next;

	nsamples = 0;
	begin = next = now(CLOCK_MONOTONIC);
	end = begin + (uint64_t)(seconds * 1e9);
	used = cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN);
	while (now(CLOCK_MONOTONIC) < end) {
		uint64_t t = now(CLOCK_MONOTONIC);

		one();
		sample(t);
		ops++;
		if (paced) {
			next += 5000000;
			t = now(CLOCK_MONOTONIC);
			if (next > t)
				usleep((useconds_t)((next - t) / 1000));
		}
	}
	used = cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN) - used;
	qsort(samples, nsamples, sizeof(samples[0]), by_size);
	printf("%llu %.4f %llu %u\n", (unsigned long long)ops,
	       (double)(now(CLOCK_MONOTONIC) - begin) / 1e9, (unsigned long long)used,
	       samples[nsamples / 2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*one)(void);
	} modes[] = {
		{ "conn", one_conn }, { "rr", one_rr },		{ "bulk", one_bulk },
		{ "udp", one_udp },   { "exec", one_exec },	{ "open", one_open },
		{ "tls", one_tls },   { "tlsnew", one_tlsnew }, { "paced", one_conn },
	};
	struct addrinfo hint = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
	char line[8];
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 5 && !strcmp(argv[1], "serve"))
		serve(argv[2], argv[3], argv[4]);
	if (argc != 4 && argc != 5)
		return 2;
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]) && strcmp(argv[1], modes[i].name); i++)
		;
	if (i == sizeof(modes) / sizeof(modes[0]))
		return 2;
	host = argv[2];
	if (strcmp(host, "-")) {
		if (getaddrinfo(host, "443", &hint, &found))
			die(host);
		memcpy(&target, found->ai_addr, sizeof(target));
	}
	modes[i].one();
	do
		report(modes[i].one, atof(argv[3]), !strcmp(argv[1], "paced"));
	while (argc == 5 && fgets(line, sizeof(line), stdin));
	return 0;
}
