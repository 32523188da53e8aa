// SPDX-License-Identifier: Apache-2.0
/* Ways out over TCP and UDP. */
#include "evade.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define IPPROTO_MPTCP_ 262
#define IPPROTO_UDPLITE_ 136

static struct sockaddr_in at4(const char *addr, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, addr, &a.sin_addr);
	return a;
}

static struct sockaddr_in6 at6(const char *addr, uint16_t port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	inet_pton(AF_INET6, addr, &a.sin6_addr);
	return a;
}

static void tcp4(void)
{
	post(dial4(AI4, TCP_PORT, SOCK_STREAM, way_arg()));
}

static void tcp6(void)
{
	struct sockaddr_in6 a = at6(way_arg() ? "::ffff:" AI4 : AI6, TCP_PORT);
	int fd = must(socket(AF_INET6, SOCK_STREAM, 0));

	must(connect(fd, (void *)&a, sizeof(a)));
	post(fd);
}

static void tcp_nonblock(void)
{
	struct sockaddr_in a = at4(AI4, TCP_PORT);
	int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

	if (connect(fd, (void *)&a, sizeof(a)) && errno != EINPROGRESS)
		lost(errno);
	usleep(100000);
	fcntl(fd, F_SETFL, 0);
	post(fd);
}

static void tfo(void)
{
	struct sockaddr_in a = at4(AI4, TCP_PORT);
	int fd = must(socket(AF_INET, SOCK_STREAM, way_arg() & 2 ? IPPROTO_MPTCP_ : 0)), one = 1;

	if (way_arg() & 1) {
		must(setsockopt(fd, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, &one, sizeof(one)));
		must(connect(fd, (void *)&a, sizeof(a)));
		post(fd);
		return;
	}
	must(sendto(fd, token, strlen(token), MSG_FASTOPEN | MSG_NOSIGNAL, (void *)&a, sizeof(a)));
	usleep(100000);
}

/* A socket that was somewhere allowed first, then disconnected, then elsewhere. */
static void reconnect(void)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	struct sockaddr_in good = at4(OK4, TCP_PORT), bad = at4(AI4, TCP_PORT);
	int fd = must(socket(AF_INET, way_arg(), 0));

	must(connect(fd, (void *)&good, sizeof(good)));
	must(connect(fd, &unspec, sizeof(unspec)));
	must(connect(fd, (void *)&bad, sizeof(bad)));
	post(fd);
}

enum { BINDTODEVICE = 1, MARK, BIND_ANY, CORK, MORE, OOB, WRITEV, ZEROCOPY };

static void tcp_option(void)
{
	struct sockaddr_in a = at4(AI4, TCP_PORT), any = { .sin_family = AF_INET };
	int fd = must(socket(AF_INET, SOCK_STREAM, 0)), one = 1, how = way_arg();
	struct iovec v = { .iov_base = (void *)(uintptr_t)token, .iov_len = strlen(token) };

	if (how == BINDTODEVICE)
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 0);
	if (how == MARK)
		must(setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof(one)));
	if (how == BIND_ANY)
		must(bind(fd, (void *)&any, sizeof(any)));
	if (how == CORK)
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &one, sizeof(one));
	if (how == ZEROCOPY)
		setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one));
	must(connect(fd, (void *)&a, sizeof(a)));
	if (how == MORE || how == OOB || how == ZEROCOPY)
		must(send(fd, token, strlen(token),
			  how == MORE  ? MSG_MORE
			  : how == OOB ? MSG_OOB
				       : MSG_ZEROCOPY));
	else
		must(writev(fd, &v, 1));
	shutdown(fd, SHUT_WR);
	usleep(300000);
}

static void tcp_pipe(void)
{
	int fd = dial4(AI4, TCP_PORT, SOCK_STREAM, 0), p[2], file;
	struct iovec v = { .iov_base = (void *)(uintptr_t)token, .iov_len = strlen(token) };

	if (way_arg() == 0) {
		file = must(memfd_create("x", 0));
		must(write(file, token, strlen(token)));
		lseek(file, 0, SEEK_SET);
		must(sendfile(fd, file, NULL, strlen(token)));
	} else {
		must(pipe(p));
		if (way_arg() == 1)
			must(write(p[1], token, strlen(token)));
		else
			must(vmsplice(p[1], &v, 1, 0));
		must(splice(p[0], NULL, fd, NULL, strlen(token), 0));
	}
	usleep(200000);
}

static void tcp_aio(void)
{
	int fd = dial4(AI4, TCP_PORT, SOCK_STREAM, 0);
	aio_context_t ctx = 0;
	struct iocb cb = { .aio_fildes = (uint32_t)fd,
			   .aio_lio_opcode = IOCB_CMD_PWRITE,
			   .aio_buf = (uintptr_t)token,
			   .aio_nbytes = strlen(token) },
		    *list[] = { &cb };

	must(syscall(SYS_io_setup, 8, &ctx));
	must(syscall(SYS_io_submit, ctx, 1, list));
	usleep(200000);
}

/* The smallest ring: one submission, no completion read. */
static void ring_submit(int ring, const struct io_uring_params *p, const struct io_uring_sqe *sqe)
{
	char *sq = mmap(NULL, p->sq_off.array + p->sq_entries * 4, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqes =
		mmap(NULL, p->sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	uint32_t *tail, *array;

	if (sq == MAP_FAILED || sqes == MAP_FAILED)
		lost(errno);
	tail = (void *)(sq + p->sq_off.tail);
	array = (void *)(sq + p->sq_off.array);
	sqes[*tail % p->sq_entries] = *sqe;
	array[*tail % p->sq_entries] = *tail % p->sq_entries;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0));
	munmap(sq, p->sq_off.array + p->sq_entries * 4);
}

static void tcp_uring(void)
{
	struct sockaddr_in a = at4(AI4, TCP_PORT);
	struct io_uring_params p = { 0 };
	int ring = must(syscall(SYS_io_uring_setup, 4, &p));
	int fd = must(socket(AF_INET, SOCK_STREAM, 0));
	struct io_uring_sqe dial = {
		.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&a, .off = sizeof(a)
	};
	struct io_uring_sqe put = { .opcode = IORING_OP_SEND,
				    .fd = fd,
				    .addr = (uintptr_t)token,
				    .len = (uint32_t)strlen(token) };

	ring_submit(ring, &p, &dial);
	ring_submit(ring, &p, &put);
	usleep(200000);
	must(send(fd, "", 1, MSG_NOSIGNAL)); /* the errno of what happened */
}

static void *in_thread(void *unused)
{
	(void)unused;
	post(dial4(AI4, TCP_PORT, SOCK_STREAM, 0));
	return NULL;
}

enum { THREAD, VFORK, DOUBLE_FORK, SETUID, USERNS, NETNS, CHROOT };

static void tcp_from(void)
{
	int status;
	pthread_t t;
	pid_t pid;

	switch (way_arg()) {
	case THREAD:
		pthread_create(&t, NULL, in_thread, NULL);
		pthread_join(t, NULL);
		return;
	case SETUID:
		must(setuid(12345));
		break;
	case USERNS:
		must(unshare(CLONE_NEWUSER));
		break;
	case NETNS: { /* a socket of the old network, used in a new one */
		struct sockaddr_in a = at4(AI4, TCP_PORT);
		int fd = must(socket(AF_INET, SOCK_STREAM, 0));

		must(unshare(CLONE_NEWUSER | CLONE_NEWNET));
		must(connect(fd, (void *)&a, sizeof(a)));
		post(fd);
		return;
	}
	case CHROOT:
		must(chroot("/tmp"));
		break;
	default:
		pid = must(fork());
		if (!pid) {
			setsid();
			if (way_arg() == DOUBLE_FORK && fork())
				_exit(0);
			usleep(100000); /* the parent is gone */
			in_thread(NULL);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		usleep(500000);
		if (way_arg() == VFORK && status)
			_exit(1);
		return;
	}
	in_thread(NULL);
}

/* The program itself again, from memory, under another name. */
static void tcp_memfd(void)
{
	char *args[] = { (char *)(uintptr_t) "kworker", (char *)(uintptr_t) "tcp4", NULL, NULL,
			 NULL };
	int in = must(open("/proc/self/exe", O_RDONLY)), fd = must(memfd_create("kworker", 0));
	char octets[65536];
	ssize_t n;

	while ((n = read(in, octets, sizeof(octets))) > 0)
		must((int)write(fd, octets, (size_t)n));
	args[2] = (char *)(uintptr_t)token;
	args[3] = (char *)(uintptr_t)dir;
	fexecve(fd, args, args + 4);
	lost(errno);
}

static void tcp_repair(void)
{
	struct sockaddr_in a = at4(AI4, TCP_PORT);
	int fd = must(socket(AF_INET, SOCK_STREAM, 0)), one = 1;

	must(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &one, sizeof(one)));
	must(connect(fd, (void *)&a, sizeof(a)));
	one = -1; /* out of repair without a probe, which would have an answer */
	must(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &one, sizeof(one)));
	must(send(fd, token, strlen(token), MSG_NOSIGNAL));
	usleep(300000);
}

/* Where with() put it. */
int handed(void)
{
	return way_arg() == ON_STDIN ? 0 : 9;
}

/* A socket that was connected before the session began. */
static void inherited(void)
{
	if (fcntl(handed(), F_GETFD) < 0)
		lost(errno);
	post(handed());
}

/* A ring with a connected socket that no descriptor shows. */
static int ring_with_socket(void)
{
	struct io_uring_params p = { 0 };
	int ring = must(syscall(SYS_io_uring_setup, 4, &p)),
	    fd = dial4(AI4, TCP_PORT, SOCK_STREAM, 0);

	must(syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1));
	close(fd);
	return ring;
}

static int made(const char *name)
{
	if (strstr(name, "ring"))
		return ring_with_socket();
	if (strstr(name, "packet"))
		return packet_socket();
	if (strstr(name, "tun"))
		return tun_device();
	if (strstr(name, "udp"))
		return dial4(AI4, UDP_PORT, SOCK_DGRAM, 0);
	return dial4(AI4, TCP_PORT, SOCK_STREAM, 0);
}

void with(const char *name)
{
	int pair[2];
	char asked;

	if (!strncmp(name, "inherited", 9)) {
		must(dup2(made(name), strstr(name, "stdin") ? 0 : 9));
		return;
	}
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	if (must(fork())) {
		must(dup2(pair[0], 9));
		close(pair[0]);
		close(pair[1]);
		return;
	}
	close(pair[0]);
	alarm(8);
	if (read(pair[1], &asked, 1) == 1) {
		hand_over(pair[1], made(name));
		sleep(2);
	}
	_exit(0);
}

static int receive(void)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
	struct iovec v = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	struct cmsghdr *h;
	int fd;

	must(write(9, "?", 1));
	must(recvmsg(9, &m, 0));
	h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_type != SCM_RIGHTS) /* the kernel leaves out what may not be received */
		lost(EPERM);
	memcpy(&fd, CMSG_DATA(h), sizeof(int));
	return fd;
}

static void received(void)
{
	post(receive());
}

/* 1: it comes on fd 9; else it is there, or on 0. */
static void handed_ring(void)
{
	int ring = way_arg() == 1 ? receive() : handed();
	struct io_uring_params p = { 0 }; /* those of a ring of the same size */
	struct io_uring_sqe put = { .opcode = IORING_OP_SEND,
				    .flags = IOSQE_FIXED_FILE,
				    .addr = (uintptr_t)token,
				    .len = (uint32_t)strlen(token) };

	if (fcntl(ring, F_GETFD) < 0)
		lost(errno);
	must(syscall(SYS_io_uring_setup, 4, &p));
	ring_submit(ring, &p, &put);
	usleep(200000);
}

/* ---- datagrams ---- */

enum {
	PLAIN,
	CONNECTED,
	MMSG,
	GSO,
	UDP_MORE,
	FRAGMENTS,
	UNSPEC,
	AFTER_GOOD,
	PKTINFO,
	UDP_MARK,
	UDP_BIND,
	BROADCAST
};

static void udp_send(int fd, const void *a, socklen_t len, int how)
{
	static char big[4000];
	struct iovec v = { .iov_base = (void *)(uintptr_t)token, .iov_len = strlen(token) };
	struct mmsghdr m = { .msg_hdr = { .msg_name = (void *)(uintptr_t)a,
					  .msg_namelen = len,
					  .msg_iov = &v,
					  .msg_iovlen = 1 } };
	int segment = 32;

	switch (how) {
	case MMSG:
		must(sendmmsg(fd, &m, 1, 0));
		return;
	case GSO:
		memset(big, 'x', 64);
		memcpy(big, token, strlen(token));
		must(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)));
		must(sendto(fd, big, 64, 0, a, len));
		return;
	case UDP_MORE:
		must(sendto(fd, token, strlen(token), MSG_MORE, a, len));
		must(sendto(fd, "!", 1, 0, a, len));
		return;
	case FRAGMENTS:
		memset(big, 'x', sizeof(big));
		memcpy(big + 3000, token, strlen(token));
		must(sendto(fd, big, sizeof(big), 0, a, len));
		return;
	default:
		must(sendto(fd, token, strlen(token), 0, a, len));
	}
}

static void udp4(void)
{
	struct sockaddr_in a = at4(AI4, UDP_PORT), good = at4(OK4, TCP_PORT),
			   any = { .sin_family = AF_INET };
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0)), one = 1, how = way_arg();

	if (how == UDP_MARK)
		must(setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof(one)));
	if (how == UDP_BIND)
		must(bind(fd, (void *)&any, sizeof(any)));
	if (how == BROADCAST) {
		must(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)));
		a = at4("10.99.255.255", UDP_PORT);
	}
	if (how == AFTER_GOOD)
		must(connect(fd, (void *)&good, sizeof(good)));
	if (how == UNSPEC) {
		must(connect(fd, (void *)&good, sizeof(good)));
		must(connect(fd, &unspec, sizeof(unspec)));
	}
	if (how == CONNECTED) {
		must(connect(fd, (void *)&a, sizeof(a)));
		must(send(fd, token, strlen(token), 0));
		return;
	}
	udp_send(fd, &a, sizeof(a), how);
}

static void udp_port(void)
{
	struct sockaddr_in a = at4(AI4, (uint16_t)way_arg());

	udp_send(must(socket(AF_INET, SOCK_DGRAM, 0)), &a, sizeof(a), PLAIN);
}

static void udp6(void)
{
	struct sockaddr_in6 a = at6(AI6, UDP_PORT), mapped = at6("::ffff:" AI4, UDP_PORT);
	int fd = must(socket(AF_INET6, SOCK_DGRAM, 0));

	if (way_arg() == 1)
		a = mapped;
	udp_send(fd, &a, sizeof(a), PLAIN);
}

/* An IPv4 address on an IPv6 socket. */
static void udp_mixed(void)
{
	struct sockaddr_in a = at4(AI4, UDP_PORT);

	udp_send(must(socket(AF_INET6, SOCK_DGRAM, 0)), &a, sizeof(a), PLAIN);
}

/* sendto(2) with family AF_UNSPEC, which means AF_INET. */
static void udp_unspec_family(void)
{
	struct sockaddr_in a = at4(AI4, UDP_PORT);

	a.sin_family = AF_UNSPEC;
	udp_send(must(socket(AF_INET, SOCK_DGRAM, 0)), &a, sizeof(a), PLAIN);
}

static void udp_multicast(void)
{
	struct sockaddr_in a = at4("239.9.9.9", UDP_PORT);
	struct in_addr own;
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));

	inet_pton(AF_INET, OWN4, &own);
	setsockopt(fd, 0, IP_MULTICAST_IF, &own, sizeof(own));
	udp_send(fd, &a, sizeof(a), PLAIN);
}

static void udp_lite(void)
{
	struct sockaddr_in a = at4(AI4, UDP_PORT);

	udp_send(must(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE_)), &a, sizeof(a), PLAIN);
}

/* The token in an extension header, towards an allowed address. */
static void udp_option6(void)
{
	struct sockaddr_in6 a = at6(OK6, TCP_PORT);
	uint8_t h[40] = { 0, 4, 0x1e, 36 };
	int fd = must(socket(AF_INET6, SOCK_DGRAM, 0));

	memcpy(h + 4, token, strlen(token));
	must(setsockopt(fd, IPPROTO_IPV6, way_arg(), h, sizeof(h)));
	must(sendto(fd, "x", 1, 0, (void *)&a, sizeof(a)));
}

/* The same with the header beside one datagram (RFC 3542 20). */
static void udp_cmsg6(void)
{
	struct sockaddr_in6 a = at6(OK6, TCP_PORT);
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(40)];
	} c = { 0 };
	struct iovec v = { .iov_base = (char[]){ "x" }, .iov_len = 1 };
	struct msghdr m = { .msg_name = &a,
			    .msg_namelen = sizeof(a),
			    .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = &c,
			    .msg_controllen = sizeof(c) };
	uint8_t *h = CMSG_DATA(&c.h);

	c.h.cmsg_level = IPPROTO_IPV6;
	c.h.cmsg_type = way_arg();
	c.h.cmsg_len = CMSG_LEN(40);
	h[1] = 4;
	h[2] = 0x1e;
	h[3] = 36;
	memcpy(h + 4, token, strlen(token));
	must(sendmsg(must(socket(AF_INET6, SOCK_DGRAM, 0)), &m, 0));
}

/* A loose source route (RFC 791) towards an allowed address, by way of a foreign one. */
static void udp_source_route(void)
{
	struct sockaddr_in a = at4(OK4, TCP_PORT);
	uint8_t o[8] = { 0x83, 7, 4, 10, 99, 1, 30, 1 };
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));

	must(setsockopt(fd, 0, IP_OPTIONS, o, sizeof(o)));
	udp_send(fd, &a, sizeof(a), PLAIN);
}

const struct way net_ways[] = {
	{ "tcp4", tcp4, 0, 'w', 'u' },
	{ "tcp6", tcp6, 0, 'w', 'u' },
	{ "tcp-mapped", tcp6, 1, 'w', 'u' },
	{ "tcp-nonblock", tcp_nonblock, 0, 'w', 'u' },
	{ "tcp-fastopen-sendto", tfo, 0, 'w', 'u' },
	{ "tcp-fastopen-connect", tfo, 1, 'w', 'u' },
	{ "mptcp", tcp4, IPPROTO_MPTCP_, 'w', 'u' },
	{ "mptcp-fastopen", tfo, 2, 'w', 'u' },
	{ "tcp-unspec-reconnect", reconnect, SOCK_STREAM, 'w', 'u' },
	{ "tcp-bindtodevice", tcp_option, BINDTODEVICE, 'w', 'r' },
	{ "tcp-mark", tcp_option, MARK, 'w', 'r' },
	{ "tcp-bind-any", tcp_option, BIND_ANY, 'w', 'u' },
	{ "tcp-cork", tcp_option, CORK, 'w', 'u' },
	{ "tcp-more", tcp_option, MORE, 'w', 'u' },
	{ "tcp-oob", tcp_option, OOB, 'w', 'u' },
	{ "tcp-writev", tcp_option, WRITEV, 'w', 'u' },
	{ "tcp-zerocopy", tcp_option, ZEROCOPY, 'w', 'u' },
	{ "tcp-sendfile", tcp_pipe, 0, 'w', 'u' },
	{ "tcp-splice", tcp_pipe, 1, 'w', 'u' },
	{ "tcp-vmsplice", tcp_pipe, 2, 'w', 'u' },
	{ "tcp-aio", tcp_aio, 0, 'w', 'u' },
	{ "tcp-io-uring", tcp_uring, 0, 'w', 'u' },
	{ "tcp-thread", tcp_from, THREAD, 'w', 'u' },
	{ "tcp-fork", tcp_from, VFORK, 'w', 'u' },
	{ "tcp-double-fork-setsid", tcp_from, DOUBLE_FORK, 'w', 'u' },
	{ "tcp-setuid", tcp_from, SETUID, 'w', 'r' },
	{ "tcp-userns", tcp_from, USERNS, 'w', 'u' },
	{ "tcp-old-netns-socket", tcp_from, NETNS, 'w', 'u' },
	{ "tcp-chroot", tcp_from, CHROOT, 'w', 'r' },
	{ "tcp-memfd-renamed", tcp_memfd, 0, 'w', 'u' },
	{ "tcp-repair", tcp_repair, 0, 'w', 'r' },
	{ "inherited-socket", inherited, 0, 'w', 'u' },
	{ "inherited-stdin", inherited, ON_STDIN, 'w', 'u' },
	{ "inherited-stdin-udp", inherited, ON_STDIN, 'w', 'u' },
	{ "inherited-stdin-ring", handed_ring, ON_STDIN, 'w', 'u' },
	{ "received-socket", received, 0, 'w', 'u' },
	{ "inherited-ring", handed_ring, 0, 'w', 'u' },
	{ "received-ring", handed_ring, 1, 'w', 'u' },
	{ "udp4", udp4, PLAIN, 'w', 'u' },
	{ "udp-connected", udp4, CONNECTED, 'w', 'u' },
	{ "udp-sendmmsg", udp4, MMSG, 'w', 'u' },
	{ "udp-gso", udp4, GSO, 'w', 'u' },
	{ "udp-more", udp4, UDP_MORE, 'w', 'u' },
	{ "udp-fragments", udp4, FRAGMENTS, 'w', 'u' },
	{ "udp-unspec-reconnect", udp4, UNSPEC, 'w', 'u' },
	{ "udp-connected-to-allowed", udp4, AFTER_GOOD, 'w', 'u' },
	{ "udp-mark", udp4, UDP_MARK, 'w', 'r' },
	{ "udp-bind-any", udp4, UDP_BIND, 'w', 'u' },
	{ "udp-broadcast", udp4, BROADCAST, 'w', 'u' },
	{ "udp-multicast", udp_multicast, 0, 'w', 'u' },
	{ "udp-443", udp_port, 443, 'w', 'u' },
	{ "udp-53", udp_port, 53, 'w', 'u' },
	{ "udp-123", udp_port, 123, 'w', 'u' },
	{ "udp6", udp6, 0, 'w', 'u' },
	{ "udp6-mapped", udp6, 1, 'w', 'u' },
	{ "udp6-with-v4-address", udp_mixed, 0, 'w', 'u' },
	{ "udp-family-unspec", udp_unspec_family, 0, 'w', 'u' },
	{ "udp-lite", udp_lite, 0, 'w', 'u' },
	{ "udp6-dstopts", udp_option6, 59, 'w', 'r' },
	{ "udp6-hopopts", udp_option6, 54, 'w', 'r' },
	{ "udp6-dstopts-cmsg", udp_cmsg6, 59, 'w', 'r' },
	{ "udp6-hopopts-cmsg", udp_cmsg6, 54, 'w', 'r' },
	{ "udp-source-route", udp_source_route, 0, 'w', 'r' },
	{ 0 },
};
