// SPDX-License-Identifier: Apache-2.0
#include "agent/scan.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/profiles.h"
#include "base/cleanup.h"
#include "base/exe.h"

#define SCAN_FD 3
#define SCAN_USERS 64 /* whose share is counted; who asked longest ago goes first */
#define SCAN_MEMORY (256u << 20) /* bytes of a child's heap */
#define NICE 10
#define END_MS 200 /* that a child has to end after SIGKILL */
#define PARTS 4096 /* of an answer, at most */
#define LATE_MS 20000 /* after a child's time: who keeps the children does not answer either */

static const int limit_ms[SCAN_KINDS] = { 20000, 1000, 2000, 5000, 5000, 2000 };

struct reply {
	uint32_t seq;
	int32_t err;
	uint32_t last;
	uint32_t len; /* octets that follow */
};

/* ---- the process that may read ---- */

static const int calls[] = {
	SCMP_SYS(read),	   SCMP_SYS(close),	    SCMP_SYS(fstat),	    SCMP_SYS(newfstatat),
	SCMP_SYS(statx),   SCMP_SYS(getdents64),    SCMP_SYS(readlink),	    SCMP_SYS(readlinkat),
	SCMP_SYS(fcntl),   SCMP_SYS(sendmsg),	    SCMP_SYS(sendto),	    SCMP_SYS(munmap),
	SCMP_SYS(mremap),  SCMP_SYS(brk),	    SCMP_SYS(madvise),	    SCMP_SYS(futex),
	SCMP_SYS(exit),	   SCMP_SYS(exit_group),    SCMP_SYS(rt_sigreturn), SCMP_SYS(getrandom),
	SCMP_SYS(pread64), SCMP_SYS(access),	    SCMP_SYS(faccessat),    SCMP_SYS(faccessat2),
	SCMP_SYS(lseek),   SCMP_SYS(clock_gettime), SCMP_SYS(fadvise64),    SCMP_SYS(fstatfs),
};

/* What only who keeps the children needs. */
static const int keeps[] = {
	SCMP_SYS(recvmsg), SCMP_SYS(clone),	 SCMP_SYS(clone3),
	SCMP_SYS(wait4),   SCMP_SYS(kill),	 SCMP_SYS(poll),
	SCMP_SYS(ppoll),   SCMP_SYS(pidfd_open), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(prctl),   SCMP_SYS(seccomp),	 SCMP_SYS(set_robust_list),
	SCMP_SYS(gettid),  SCMP_SYS(getpid),	 SCMP_SYS(prlimit64),
	SCMP_SYS(rseq),	   SCMP_SYS(getppid),	 SCMP_SYS(setpriority),
	SCMP_SYS(dup2),	   SCMP_SYS(socketpair),
};

/* Nothing is written, made, started or connected to. */
static int close_off(int child)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	const uint64_t writes = O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE;
	int err = f ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(calls); i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	for (i = 0; !err && !child && i < ARRAY_SIZE(keeps); i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, keeps[i], 0);
	if (!err) /* O_TMPFILE has O_DIRECTORY in it, which alone is fine */
		err = seccomp_rule_add(
			f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, writes & ~(uint64_t)O_DIRECTORY, 0));
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}

/* Root's, so that nobody else's signals reach it, with no right of root's but to read. */
static int narrow(int fd, const char *name)
{
	const struct rlimit none = { 0 };
	int kept[] = { CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_CHECKPOINT_RESTORE };
	size_t i;

	if (fd != SCAN_FD && dup2(fd, SCAN_FD) < 0)
		return -errno;
	if (close_range(SCAN_FD + 1, ~0u, 0) || setrlimit(RLIMIT_CORE, &none) ||
	    prctl(PR_SET_NAME, name) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				 (unsigned int)kept[i]))
			return -EINVAL;
	return capng_apply(CAPNG_SELECT_BOTH) ? -EPERM : close_off(0);
}

/* To who asked, by a process's only socket. `fd`: goes with it; negative: none does. */
static int put(const struct reply *r, const void *data, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v[2] = { { (void *)(uintptr_t)r, sizeof(*r) },
			      { (void *)(uintptr_t)data, r->len } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = r->len ? 2 : 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		m.msg_control = room;
		m.msg_controllen = sizeof(room);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(SCAN_FD, &m, MSG_NOSIGNAL) == (ssize_t)(sizeof(*r) + r->len) ? 0 : -EPIPE;
}

int scan_part(const struct scan_out *o, const void *data, uint32_t len)
{
	const struct reply r = { .seq = o->seq, .len = len };

	return len > SCAN_PART ? -EMSGSIZE : put(&r, data, -1);
}

/* pair[1]: to who keeps it, which is all that it is left with. */
static void child(const struct scan_question *q, const int pair[2])
{
	const struct rlimit heap = { SCAN_MEMORY, SCAN_MEMORY };
	const struct scan_out o = { .fd = SCAN_FD, .seq = q->seq };
	struct reply r = { .seq = q->seq, .last = 1 };
	char extension[FENCE_ADDON_MAX + 1] = "";
	struct scan_hash hash = { 0 };
	struct scan_place place;
	struct fence_exe exe;
	const void *data = NULL;
	int fd = -1;

	if (dup2(pair[1], SCAN_FD) != SCAN_FD || close(pair[1]) || close(pair[0]))
		_exit(1);
	if (q->kind == SCAN_HASH) /* behind the machine's other work */
		setpriority(PRIO_PROCESS, 0, NICE);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || setrlimit(RLIMIT_DATA, &heap) || close_off(1))
		_exit(1);
	if (q->kind == SCAN_HASH) {
		r.err = scan_hash_file(q, &hash);
		r.len = sizeof(hash);
		data = &hash;
	} else if (q->kind == SCAN_OPEN) {
		fd = scan_open_file(q);
		r.err = fd < 0 ? fd : 0;
	} else if (q->kind == SCAN_LOOK) {
		fence_exe_look(q->path, &exe);
		r.len = sizeof(exe);
		data = &exe;
	} else if (q->kind == SCAN_PLACE) {
		scan_place(q, &place);
		r.len = sizeof(place);
		data = &place;
	} else if (q->kind == SCAN_ARGUMENTS) {
		r.err = scan_arguments(q, extension);
		r.len = (uint32_t)strlen(extension) + 1;
		data = extension;
	} else {
		r.err = profiles_read(q, &o);
	}
	_exit(put(&r, data, fd) ? 1 : 0);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct user {
	uint32_t uid;
	int64_t since; /* of the window; 0: free */
	int64_t used;
	int late;
};

struct keeper {
	struct user users[SCAN_USERS];
	struct {
		pid_t pid;
		uint32_t uid;
	} stuck[SCAN_STUCK];
	unsigned int nstuck;
};

static struct user *user_of(struct keeper *k, uint32_t uid)
{
	struct user *u = &k->users[0];
	int64_t now = now_ms();
	unsigned int i;

	for (i = 0; i < SCAN_USERS; i++) {
		if (k->users[i].since && k->users[i].uid == uid) {
			u = &k->users[i];
			break;
		}
		if (k->users[i].since < u->since)
			u = &k->users[i];
	}
	if (!u->since || u->uid != uid || now - u->since > SCAN_WINDOW_MS)
		*u = (struct user){ .uid = uid, .since = now };
	return u;
}

/* Those that could not be ended, and have since. */
static void reap(struct keeper *k)
{
	unsigned int i;

	for (i = 0; i < k->nstuck; i++)
		if (waitpid(k->stuck[i].pid, NULL, WNOHANG))
			k->stuck[i--] = k->stuck[--k->nstuck];
}

/* A message, and the descriptor with it. */
static ssize_t receive(int socket, char *data, size_t size, int *fd)
{
	char room[CMSG_SPACE(sizeof(int))];
	struct iovec v = { data, size };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = room,
			    .msg_controllen = CMSG_LEN(sizeof(int)) }; /* for one, no more */
	ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);

	*fd = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return n;
}

/* A part of a child's answer; of who has read a stranger's file, it is held to its form. */
struct part {
	struct reply r;
	char data[SCAN_PART];
};

static int is_part(const struct part *p, ssize_t n, const struct scan_question *q, int fd)
{
	return n >= (ssize_t)sizeof(p->r) && n == (ssize_t)(sizeof(p->r) + p->r.len) &&
	       p->r.seq == q->seq && (fd < 0 || q->kind == SCAN_OPEN) && p->r.err <= 0 &&
	       p->r.err > -4096 && p->r.err != -EINPROGRESS &&
	       (p->r.last || q->kind == SCAN_BROWSER);
}

/* What it says, to who asked. 1: the last of it; 0; -EIO: that is no answer; -EPIPE. */
static int pass_on(const struct scan_question *q, int from, unsigned int *parts)
{
	static struct part p;
	AUTO_FD int fd = -1;
	ssize_t n;

	while ((n = receive(from, (char *)&p, sizeof(p), &fd)) > 0) {
		if (!is_part(&p, n, q, fd) || ++*parts > PARTS)
			return -EIO;
		if (put(&p.r, p.data, fd))
			return -EPIPE;
		if (p.r.last)
			return 1;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	return 0;
}

/* Until the child's last word, or its end, or its time is over. 1: it had its last word; -errno. */
static int hear(const struct scan_question *q, int from, int pidfd)
{
	struct pollfd p[2] = { { .fd = from, .events = POLLIN },
			       { .fd = pidfd, .events = POLLIN } };
	int64_t until = now_ms() + limit_ms[q->kind], left;
	unsigned int parts = 0;
	int err = 0;

	while (!err) {
		left = until - now_ms();
		if (left <= 0 || poll(p, 2, (int)left) <= 0)
			return -ETIMEDOUT;
		err = pass_on(q, from, &parts);
		if (!err && p[1].revents)
			return -EIO;
		if (!err && p[0].revents & POLLHUP)
			p[0].fd = -1;
	}
	return err;
}

/* It has said what it had to, or was not to be waited for: it ends. */
static void end(struct keeper *k, uint32_t uid, pid_t pid, int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (poll(&p, 1, 0) != 1)
		kill(pid, SIGKILL);
	if (poll(&p, 1, END_MS) == 1) {
		waitpid(pid, NULL, 0);
		return;
	}
	k->stuck[k->nstuck].pid = pid; /* the kernel waits for somebody */
	k->stuck[k->nstuck++].uid = uid;
}

static int serve_by(struct keeper *k, const struct scan_question *q, int pair[2])
{
	AUTO_FD int pidfd = -1;
	int err = -EBUSY;
	pid_t pid = fork();

	if (!pid)
		child(q, pair);
	close(pair[1]);
	if (pid < 0)
		return err;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0)
		err = hear(q, pair[0], pidfd);
	end(k, q->uid, pid, pidfd);
	return err;
}

/* 1: it is answered; else why not. */
static int serve(struct keeper *k, const struct scan_question *q)
{
	struct user *u = user_of(k, q->uid);
	int64_t began = now_ms();
	unsigned int i, his = 0;
	int pair[2], err;

	reap(k);
	if (q->kind >= SCAN_KINDS || !memchr(q->path, 0, sizeof(q->path)))
		return -EINVAL;
	if (u->used >= SCAN_USER_MS || u->late >= SCAN_USER_LATE)
		return -EDQUOT;
	for (i = 0; i < k->nstuck; i++)
		his += k->stuck[i].uid == q->uid;
	if (k->nstuck == SCAN_STUCK || his >= SCAN_STUCK_HIS)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -EBUSY;
	err = serve_by(k, q, pair);
	close(pair[0]);
	u->used += now_ms() - began;
	u->late += err == -ETIMEDOUT;
	return err;
}

static void keeper(int fd, const char *name)
{
	static struct keeper k;
	struct scan_question q;
	struct iovec v = { &q, sizeof(q) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (narrow(fd, name))
		_exit(1);
	while (recvmsg(SCAN_FD, &m, 0) == sizeof(q)) {
		struct reply r = { .seq = q.seq, .last = 1 };

		r.err = serve(&k, &q);
		if (r.err == -EPIPE || (r.err < 0 && put(&r, NULL, -1)))
			break;
	}
	_exit(0);
}

/* ---- who asks ---- */

struct scan {
	int fd; /* owned */
	uint32_t seq; /* of the question that is out */
	int out;
	struct scan_question asked; /* it */
	int64_t asked_at; /* ms */
	uint32_t served; /* the user of the last */
	unsigned int count;
	struct scan_question *waits; /* owned: SCAN_QUEUE, in the order in which they came */
	char part[sizeof(struct reply) + SCAN_PART];
};

int scan_start(const char *name, struct scan **ret)
{
	struct scan *s = calloc(1, sizeof(*s));
	int pair[2];
	pid_t pid;

	if (s)
		s->waits = calloc(SCAN_QUEUE, sizeof(*s->waits));
	if (!s || !s->waits || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		if (s)
			free(s->waits);
		free(s);
		return -ENOMEM;
	}
	pid = fork();
	if (!pid)
		keeper(pair[1], name);
	close(pair[1]);
	s->fd = pair[0];
	*ret = s;
	if (pid > 0)
		return 0;
	scan_stop(s);
	*ret = NULL;
	return -EAGAIN;
}

void scan_stop(struct scan *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->waits);
	free(s);
}

int scan_fd(const struct scan *s)
{
	return s->fd;
}

/* The next one, another user's than the last if there is any. */
static void send_next(struct scan *s)
{
	unsigned int i;

	if (s->out || !s->count || s->fd < 0)
		return;
	for (i = 0; i < s->count && s->waits[i].uid == s->served; i++)
		;
	i = i < s->count ? i : 0;
	s->asked = s->waits[i];
	memmove(&s->waits[i], &s->waits[i + 1], (--s->count - i) * sizeof(s->waits[0]));
	s->asked.seq = ++s->seq;
	s->asked_at = now_ms();
	s->served = s->asked.uid;
	s->out = 1;
	/* of a process that is gone we hear when we listen */
	if (send(s->fd, &s->asked, sizeof(s->asked), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		shutdown(s->fd, SHUT_RDWR);
}

int scan_ask(struct scan *s, const struct scan_question *q)
{
	unsigned int i, same = 0;

	if (s->fd < 0)
		return -EPIPE;
	for (i = 0; i < s->count; i++)
		same += s->waits[i].uid == q->uid;
	if (s->count == SCAN_QUEUE || same >= SCAN_SHARE)
		return -EAGAIN;
	s->waits[s->count++] = *q;
	send_next(s);
	return 0;
}

/* What was asked has no answer, and will have none. */
static int lost(struct scan *s, struct scan_answer *out)
{
	if (!s->out && s->count) {
		s->asked = s->waits[--s->count];
		s->out = 1;
	}
	if (!s->out)
		return 0;
	s->out = 0;
	*out = (struct scan_answer){
		.kind = s->asked.kind, .id = s->asked.id, .err = -EPIPE, .last = 1, .fd = -1
	};
	return 1;
}

/* It has had its time, and who keeps it has not said so. */
static int is_late(const struct scan *s)
{
	return s->out && now_ms() - s->asked_at > limit_ms[s->asked.kind] + LATE_MS;
}

int scan_next(struct scan *s, struct scan_answer *out)
{
	struct reply r;
	ssize_t n;
	int fd;

	for (;;) {
		send_next(s);
		fd = -1;
		n = s->fd < 0 ? 0 : receive(s->fd, s->part, sizeof(s->part), &fd);
		if (n < 0 && (errno == EAGAIN || errno == EINTR) && !is_late(s))
			return 0;
		if (n < (ssize_t)sizeof(r)) { /* it would be readable for ever */
			if (s->fd >= 0)
				close(s->fd);
			s->fd = -1;
			return lost(s, out);
		}
		memcpy(&r, s->part, sizeof(r));
		if (s->out && r.seq == s->seq && n == (ssize_t)(sizeof(r) + r.len) &&
		    (fd < 0 || s->asked.kind == SCAN_OPEN))
			break;
		if (fd >= 0) /* to an answer that nobody waits for any more */
			close(fd);
	}
	s->out = !r.last;
	*out = (struct scan_answer){ .kind = s->asked.kind,
				     .id = s->asked.id,
				     .err = r.err,
				     .last = !!r.last,
				     .fd = fd,
				     .data = (const uint8_t *)s->part + sizeof(r),
				     .len = r.len };
	return 1;
}

static const struct {
	int err;
	int passes;
	const char *why;
} reasons[] = {
	{ -EFBIG, 0, "it is too large to be read" },
	{ -EINVAL, 0, "it is no regular file" },
	{ -ENOENT, 0, "it was gone before it could be read" },
	{ -ESTALE, 0, "it has been changed, or replaced, meanwhile" },
	{ -ETIMEDOUT, 0, "it was not read in time" },
	{ -EIO, 0, "reading it failed" },
	{ -EXDEV, 0, "a program answers for its file system (FUSE)" },
	{ -EDQUOT, 1, "its user's files have taken too much time" },
	{ -EAGAIN, 1, "too many files of its user wait" },
	{ -EBUSY, 1, "other files do not answer" },
	{ -ECANCELED, 1, "the agent ended before" },
	{ -EPIPE, 1, "crmfenced-scan was ended; restart the agent" },
};

const char *scan_why(int err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].err == err)
			return reasons[i].why;
	return "it cannot be read";
}

int scan_passes(int err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].err == err)
			return reasons[i].passes;
	return 0;
}
