// SPDX-License-Identifier: Apache-2.0
#include "ipc/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"

static int address(const char *path, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	memcpy(a->sun_path, path, strlen(path));
	return 0;
}

#define PATIENCE 10 /* seconds that an agent may be busy */
#define TRIES 40 /* for a place at the agent, 50 ms apart */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* asm-generic/socket.h of 6.5 */
#endif

static void limit(int fd)
{
	struct timeval t = { .tv_sec = PATIENCE };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static int read_all(int fd, void *data, size_t len)
{
	size_t have = 0;
	ssize_t n;

	while (have < len) {
		n = recv(fd, (char *)data + have, len - have, 0);
		if (n < 0 && errno == EINTR) /* its session was frozen for a moment */
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG;
		have += (size_t)n;
	}
	return 0;
}

int fence_control_listen(const char *path)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;
	int err = address(path, &a), on = 1;

	if (fd < 0 || err < 0)
		return fd < 0 ? -errno : err;
	unlink(path);
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) || chmod(path, 0666) || listen(fd, 16))
		return -errno;
	return TAKE_FD(fd);
}

int fence_control_accept(int listener, struct fence_caller *c)
{
	AUTO_FD int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct ucred cred;
	socklen_t len = sizeof(cred), one = sizeof(c->pidfd);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	c->pidfd = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &c->pidfd, &one) && errno == ENOPROTOOPT)
		c->pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	c->uid = cred.uid;
	c->fd = TAKE_FD(fd);
	return 0;
}

void fence_control_end(struct fence_caller *c)
{
	close(c->fd);
	if (c->pidfd >= 0)
		close(c->pidfd);
}

int fence_control_gone(const struct fence_caller *c)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

	return c->pidfd < 0 || poll(&p, 1, 0) != 0; /* readable: it has ended */
}

/* Who sent it, as the kernel says; pid 0: nobody is said. */
static struct ucred sender(struct msghdr *m)
{
	struct ucred cred = { 0 };
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	return cred;
}

int fence_control_receive(int fd, struct fence_control_request *r, struct fence_peer *peer)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} c;
	struct iovec v = { .iov_base = r, .iov_len = sizeof(*r) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};
	struct ucred cred, from;
	socklen_t len = sizeof(cred);
	ssize_t n;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); /* it is sent whole, or is none */
	if (n < 0)
		return -errno;
	if (n != sizeof(*r) || r->magic != FENCE_CONTROL_MAGIC ||
	    r->version != FENCE_CONTROL_VERSION || !memchr(r->tool, 0, sizeof(r->tool)))
		return -EBADMSG;
	from = sender(&m);
	if (from.pid != cred.pid)
		return -EPERM;
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->real = from.uid;
	return 0;
}

int fence_control_reply(int fd, int status, const char *text, uint32_t len)
{
	struct fence_control_reply r = { .magic = FENCE_CONTROL_MAGIC,
					 .status = status,
					 .len = len };

	if (send(fd, &r, sizeof(r), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(r))
		return -errno;
	return len && send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len ? -EIO : 0;
}

/* Once. -EBUSY: there was no place, and nothing was done. */
static int ask_once(const char *path, const struct fence_control_request *q, char *out,
		    uint32_t size)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct fence_control_reply r;
	struct sockaddr_un a;
	int err = address(path, &a), unsent;

	if (fd < 0 || err < 0)
		return fd < 0 ? -errno : err;
	limit(fd);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return -errno;
	/* who is sent away before he asks cannot ask, but reads why */
	unsent = send(fd, q, sizeof(*q), MSG_NOSIGNAL) != (ssize_t)sizeof(*q);
	err = read_all(fd, &r, sizeof(r));
	if (err == -EAGAIN)
		snprintf(out, size,
			 "the agent has not answered for %d seconds: it is busy, or stopped; try "
			 "again, or look at its log",
			 PATIENCE);
	if (err < 0 && unsent)
		snprintf(out, size,
			 "the agent ended the connection before it was asked; try again");
	if (err < 0)
		return unsent ? -EBUSY : err;
	if (r.magic != FENCE_CONTROL_MAGIC || r.len >= size)
		return -EBADMSG;
	err = read_all(fd, out, r.len);
	out[r.len] = 0;
	return err < 0 ? err : r.status;
}

int fence_control_ask(const char *path, uint16_t op, const char *tool, uint32_t pid, char *out,
		      uint32_t size)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct fence_control_request q = {
		.magic = FENCE_CONTROL_MAGIC, .version = FENCE_CONTROL_VERSION, .op = op, .pid = pid
	};
	int i, err;

	snprintf(q.tool, sizeof(q.tool), "%s", tool ? tool : "");
	for (i = 0; (err = ask_once(path, &q, out, size)) == -EBUSY && i < TRIES; i++)
		nanosleep(&pause, NULL);
	return err;
}
