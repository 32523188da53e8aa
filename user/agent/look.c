// SPDX-License-Identifier: Apache-2.0
#include "agent/look.h"

#include <errno.h>
#include <poll.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/shed.h"

#define LOOK_MOST 1024 /* questions that wait */
#define LOOK_ROOM (4 << 20) /* octets: as many as there can be */
#define LOOK_SECONDS 10 /* for a file; Chromium's takes a quarter of one */
#define LOOK_STUCK 8 /* processes that cannot be ended, at most */
#define LOOK_MS 2000 /* between two looks whether one is stuck */
#define ENDED (~0u) /* seq of an answer by who saw the process end */

struct question {
	struct offsets_file file;
	uint32_t seq;
};

struct reply {
	uint32_t seq;
	int32_t err;
	int32_t known;
	struct fence_tls_points points;
};

struct look {
	int fd; /* owned */
	uint32_t seq; /* of the next question */
	unsigned int first, count;
	struct {
		uint32_t id, seq;
	} waits[LOOK_MOST];
};

/* ---- the process that looks ---- */

static const int calls[] = {
	SCMP_SYS(recvmsg),	 SCMP_SYS(sendto),    SCMP_SYS(mmap),	      SCMP_SYS(munmap),
	SCMP_SYS(mremap),	 SCMP_SYS(madvise),   SCMP_SYS(brk),	      SCMP_SYS(close),
	SCMP_SYS(futex),	 SCMP_SYS(setitimer), SCMP_SYS(rt_sigreturn), SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime), SCMP_SYS(exit),      SCMP_SYS(exit_group),
};

static int close_off(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = f ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(calls); i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}

/* The next question, and its file. -1: there will be none. */
static int next_question(struct question *q)
{
	char room[CMSG_SPACE(sizeof(int))];
	struct iovec v = { .iov_base = q, .iov_len = sizeof(*q) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(FENCE_SHED_FD, &m, MSG_CMSG_CLOEXEC) != sizeof(*q))
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void look_into(const struct offsets *known, const struct offsets_file *f, const uint8_t *map,
		      struct reply *r)
{
	const struct fence_tls_points *p = NULL;
	struct fence_image im;

	if (!fence_image_init(&im, map, f->size))
		p = offsets_find(known, f, im.build_id, im.build_id_len);
	fence_image_done(&im);
	r->known = !!p;
	if (p)
		r->points = *p;
	r->err = p ? 0 : fence_tls_find(map, f->size, &r->points);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* `began`: shared with who keeps it; ms of CLOCK_MONOTONIC, 0: it waits for a question. */
static void worker(const struct offsets *known, volatile int64_t *began)
{
	struct itimerval on = { .it_value.tv_sec = LOOK_SECONDS }, off = { 0 };
	struct question q;
	void *map;
	int fd;

	while ((fd = next_question(&q)) >= 0) {
		struct reply r = { .seq = q.seq };

		*began = now_ms();
		setitimer(ITIMER_REAL, &on, NULL);
		map = mmap(NULL, q.file.size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED)
			r.err = -errno;
		else
			look_into(known, &q.file, map, &r);
		if (map != MAP_FAILED)
			munmap(map, q.file.size);
		close(fd);
		setitimer(ITIMER_REAL, &off, NULL);
		*began = 0;
		if (send(FENCE_SHED_FD, &r, sizeof(r), MSG_NOSIGNAL) != sizeof(r))
			break;
	}
	_exit(0);
}

/*
 * 1: it was ended in the middle of a file. Its own time ends it; where it cannot be, since the
 * kernel waits for a file system, another one goes on beside it, and it ends when that answers.
 */
static int was_ended(pid_t pid, const volatile int64_t *began, int *stuck)
{
	AUTO_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t since;
	int status;

	while (fd >= 0 && poll(&p, 1, LOOK_MS) != 1) {
		since = *began;
		if (since && now_ms() - since > 1000 * (LOOK_SECONDS + 1) && *stuck < LOOK_STUCK) {
			++*stuck;
			return 1;
		}
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
}

/* Who sees it end, and has another one go on. */
static void keeper(const struct offsets *known, int fd)
{
	const struct reply ended = { .seq = ENDED, .err = -EIO };
	volatile int64_t *began = mmap(NULL, sizeof(*began), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int stuck = 0;
	pid_t pid;

	if (began == MAP_FAILED || fence_shed(&fd, 1, "crmfenced-look"))
		_exit(1);
	do {
		*began = 0;
		pid = fork();
		if (!pid && close_off())
			_exit(0);
		if (!pid)
			worker(known, began);
	} while (pid > 0 && was_ended(pid, began, &stuck) &&
		 send(FENCE_SHED_FD, &ended, sizeof(ended), MSG_NOSIGNAL) == sizeof(ended));
	_exit(0);
}

/* ---- who asks ---- */

int look_start(const struct offsets *known, struct look **ret)
{
	struct look *l = calloc(1, sizeof(*l));
	int pair[2], room = LOOK_ROOM;
	pid_t pid;

	if (!l)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(l);
		return -EMFILE;
	}
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	pid = fork();
	if (!pid)
		keeper(known, pair[1]);
	close(pair[1]);
	l->fd = pair[0];
	*ret = l;
	if (pid < 0) {
		look_stop(l);
		return -EAGAIN;
	}
	return 0;
}

void look_stop(struct look *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

int look_ask(struct look *l, int fd, const struct offsets_file *file, uint32_t id)
{
	struct question q = { .file = *file, .seq = l->seq };
	char room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { .iov_base = &q, .iov_len = sizeof(q) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	unsigned int at = (l->first + l->count) % LOOK_MOST;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (l->fd < 0)
		return -EPIPE;
	if (l->count == LOOK_MOST)
		return -EAGAIN;
	if (sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(q))
		return -errno;
	l->waits[at].id = id;
	l->waits[at].seq = l->seq;
	l->seq = (l->seq + 1) & 0x7fffffff;
	l->count++;
	return 0;
}

int look_next(struct look *l, struct look_answer *out)
{
	struct reply r = { 0 };
	ssize_t n = 0;

	do { /* what nobody waits for is of a question that was answered for its process */
		if (l->fd >= 0)
			n = recv(l->fd, &r, sizeof(r), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		n = n < 0 ? 0 : n; /* ECONNRESET: it ended with questions unread */
	} while (n == sizeof(r) &&
		 (!l->count || (r.seq != ENDED && r.seq != l->waits[l->first].seq)));
	if (!n && l->fd >= 0) { /* nobody is there any more; it would be readable for ever */
		close(l->fd);
		l->fd = -1;
	}
	if (!l->count)
		return 0;
	if (n != sizeof(r) || r.seq == ENDED || r.points.count > FENCE_TLS_POINTS)
		r = (struct reply){ .err = -EIO };
	out->id = l->waits[l->first].id;
	out->err = r.err;
	out->known = r.known;
	out->points = r.points;
	out->points.how[sizeof(out->points.how) - 1] = 0;
	l->first = (l->first + 1) % LOOK_MOST;
	l->count--;
	return 1;
}

int look_fd(const struct look *l)
{
	return l->fd;
}

unsigned int look_asked(const struct look *l)
{
	return l->count;
}
