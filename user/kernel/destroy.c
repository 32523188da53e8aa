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
#include <stdlib.h>
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

/* A socket that is to go, and where it was found. */
struct target {
	struct fence_doomed d;
	uint64_t netns; /* inode; 0: its process is gone */
	int found;
	struct inet_diag_sockid id;
};

static int target_order(const void *a, const void *b)
{
	const struct target *x = a, *y = b;

	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	if (x->d.family != y->d.family)
		return x->d.family < y->d.family ? -1 : 1;
	return x->d.cookie < y->d.cookie ? -1 : x->d.cookie > y->d.cookie;
}

static int target_is(const void *cookie, const void *target)
{
	uint64_t c = *(const uint64_t *)cookie, t = ((const struct target *)target)->d.cookie;

	return c < t ? -1 : c > t;
}

/* Mark what one buffer of answers has of `n` targets. 0: more to come; negative: the end. */
static int scan(const char *buf, ssize_t size, struct target *t, size_t n)
{
	const struct nlmsghdr *h = (const void *)buf;
	const struct inet_diag_msg *m;
	struct target *hit;
	uint64_t cookie;

	for (; NLMSG_OK(h, (size_t)size); h = NLMSG_NEXT(h, size)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return -ESRCH;
		m = NLMSG_DATA(h);
		cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
		hit = bsearch(&cookie, t, n, sizeof(*t), target_is);
		if (hit) {
			hit->id = m->id;
			hit->found = 1;
		}
	}
	return 0;
}

/* One table for all of them: a table has every socket of its namespace. */
static int find(int fd, struct target *t, size_t n)
{
	char buf[16384] __attribute__((aligned(8)));
	struct request r;
	ssize_t size;
	int err = 0;

	request_fill(&r, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, t->d.family);
	if (n == 1)
		r.q.id.idiag_dport = htons(t->d.port);
	if (send(fd, &r, sizeof(r), 0) < 0)
		return -errno;
	while (!err) {
		size = recv(fd, buf, sizeof(buf), 0);
		if (size < 0)
			return -errno;
		err = scan(buf, size, t, n);
	}
	return 0;
}

static int destroy(int fd, const struct target *t)
{
	char buf[1024] __attribute__((aligned(8)));
	const struct nlmsghdr *h = (const void *)buf;
	struct request r;

	request_fill(&r, SOCK_DESTROY, NLM_F_ACK, t->d.family);
	r.q.id = t->id;
	if (send(fd, &r, sizeof(r), 0) < 0 || recv(fd, buf, sizeof(buf), 0) < (ssize_t)sizeof(*h))
		return -errno;
	return h->nlmsg_type == NLMSG_ERROR ? ((const struct nlmsgerr *)NLMSG_DATA(h))->error : 0;
}

/* Of one namespace and family. How many went. */
static size_t destroy_group(struct target *t, size_t n)
{
	AUTO_FD int fd = open_in_netns(t->d.tgid), second = -1;
	struct timeval limit = { .tv_sec = 1 };
	size_t i, gone = 0;

	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (find(fd, t, n) < 0)
		return 0;
	second = open_in_netns(t->d.tgid); /* the first may have answers left */
	if (second < 0)
		return 0;
	setsockopt(second, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	for (i = 0; i < n; i++)
		gone += t[i].found && !destroy(second, &t[i]);
	return gone;
}

static uint64_t netns_of(uint32_t tgid)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/ns/net", tgid);
	return stat(path, &st) ? 0 : st.st_ino;
}

size_t fence_sockets_destroy(const struct fence_doomed *doomed, size_t n)
{
	struct target *t = calloc(n, sizeof(*t));
	size_t i, end, gone = 0;

	for (i = 0; t && i < n; i++) {
		t[i].d = doomed[i];
		t[i].netns = i && doomed[i].tgid == doomed[i - 1].tgid ? t[i - 1].netns
								       : netns_of(doomed[i].tgid);
	}
	if (t)
		qsort(t, n, sizeof(*t), target_order);
	for (i = 0; t && i < n; i = end) {
		for (end = i;
		     end < n && t[end].netns == t[i].netns && t[end].d.family == t[i].d.family;
		     end++)
			;
		gone += destroy_group(t + i, end - i);
	}
	free(t);
	return gone;
}

int fence_socket_destroy(uint64_t cookie, uint8_t family, uint16_t port, uint32_t tgid)
{
	struct fence_doomed one = {
		.cookie = cookie, .tgid = tgid, .port = port, .family = family
	};

	return fence_sockets_destroy(&one, 1) ? 0 : -ESRCH;
}
