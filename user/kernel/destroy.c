// SPDX-License-Identifier: Apache-2.0
/*
 * SOCK_DESTROY (sock_diag(7), CONFIG_INET_DIAG_DESTROY). A socket is named by its tuple and cookie;
 * only the cookie and the remote port are known, so the table is asked first. Sockets live in
 * network namespaces: the request is made from inside the owner's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kernel/kernel.h"

#define ALL_STATES 0xffffffffu

struct request {
	struct nlmsghdr h;
	struct inet_diag_req_v2 q;
};

static void request_fill(struct request *r, uint16_t type, uint16_t flags, uint8_t family)
{
	memset(r, 0, sizeof(*r));
	r->h.nlmsg_len = sizeof(*r);
	r->h.nlmsg_type = type;
	r->h.nlmsg_flags = NLM_F_REQUEST | flags;
	r->q.sdiag_family = family;
	r->q.sdiag_protocol = IPPROTO_TCP;
	r->q.idiag_states = ALL_STATES;
}

static int open_diag(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

/*
 * A diag socket of the namespace that `tgid` is in; where it is gone, of the agent's own, which is
 * where most processes were.
 */
static int open_in_netns(uint32_t tgid)
{
	AUTO_FD int own = -1, other = -1;
	struct stat a, b;
	char path[64];
	int fd;

	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%u/ns/net", tgid);
	other = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	if (other < 0)
		return open_diag();
	if (fstat(own, &a) || fstat(other, &b))
		return -errno;
	if (a.st_ino != b.st_ino && setns(other, CLONE_NEWNET))
		return -errno;
	fd = open_diag();
	if (a.st_ino != b.st_ino && setns(own, CLONE_NEWNET)) {
		if (fd >= 0)
			close(fd);
		return -EIO;
	}
	return fd;
}

/* Find the cookie in one buffer of answers: 1 found, 0 more to come, negative at the end. */
static int scan(const char *buf, ssize_t n, uint64_t cookie, struct inet_diag_sockid *id)
{
	const struct nlmsghdr *h = (const void *)buf;
	const struct inet_diag_msg *m;

	for (; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return -ESRCH;
		m = NLMSG_DATA(h);
		if (((uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0]) == cookie) {
			*id = m->id;
			return 1;
		}
	}
	return 0;
}

static int find(int fd, uint8_t family, uint16_t port, uint64_t cookie, struct inet_diag_sockid *id)
{
	char buf[16384] __attribute__((aligned(8)));
	struct request r;
	ssize_t n;
	int err = 0;

	request_fill(&r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family);
	r.q.id.idiag_dport = htons(port);
	if (send(fd, &r, sizeof(r), 0) < 0)
		return -errno;
	while (!err) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0)
			return -errno;
		err = scan(buf, n, cookie, id);
	}
	return err < 0 ? err : 0;
}

int fence_socket_destroy(uint64_t cookie, uint8_t family, uint16_t port, uint32_t tgid)
{
	AUTO_FD int fd = open_in_netns(tgid), second = -1;
	char buf[1024] __attribute__((aligned(8)));
	const struct nlmsghdr *h = (const void *)buf;
	struct timeval limit = { .tv_sec = 1 };
	struct inet_diag_sockid id;
	struct request r;
	int err;

	if (fd < 0)
		return TAKE_FD(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	err = find(fd, family, port, cookie, &id);
	if (err < 0)
		return err;
	second = open_in_netns(tgid); /* the first may have answers left */
	if (second < 0)
		return TAKE_FD(second);
	setsockopt(second, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	request_fill(&r, SOCK_DESTROY, NLM_F_ACK, family);
	r.q.id = id;
	if (send(second, &r, sizeof(r), 0) < 0 ||
	    recv(second, buf, sizeof(buf), 0) < (ssize_t)sizeof(*h))
		return -errno;
	return h->nlmsg_type == NLMSG_ERROR ? ((const struct nlmsgerr *)NLMSG_DATA(h))->error : 0;
}
