// SPDX-License-Identifier: Apache-2.0
/*
 * Do the probes work on this kernel? A child that has given up all but a few system calls calls a
 * function of its own, as if it were a TLS library's write, with octets that nobody else knows.
 * They have to come, once, on the socket that it sends them to, and the child has to live: there
 * are kernels whose return probes make a system call of their own, which ends a process with a
 * seccomp filter that does not know it, such as a browser's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel/kernel.h"
#include "kernel/sight.h"

#define NONCE 32
#define PATIENCE_MS 3000

struct test {
	uint8_t nonce[NONCE];
	uint64_t cookie; /* of the child's socket; 0: this machine has no loopback */
	uint32_t tgid;
	int seen, mapped, strange;
};

/* As SSL_write(connection, octets, length). */
__attribute__((noinline)) static int call_me(void *conn, const void *buf, int len)
{
	int fd = *(int *)conn;

	__asm__ volatile("" ::: "memory");
	return send(fd, buf, (size_t)len, MSG_NOSIGNAL) == len ? len : -1;
}

struct place {
	uintptr_t at;
	uint64_t offset;
};

static int on_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct place *p = ctx;
	unsigned int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + h->p_vaddr;

		if (h->p_type == PT_LOAD && p->at >= from && p->at < from + h->p_filesz)
			p->offset = p->at - from + h->p_offset;
	}
	return 1; /* the program itself is the first */
}

static int close_off(void)
{
#define ALLOW(nr) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_sendto),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void child(int go, int fd, const struct test *t)
{
	int (*volatile call)(void *, const void *, int) = call_me; /* it, and no clone of it */
	char octet;

	if (close_off() || read(go, &octet, 1) != 1)
		_exit(2);
	_exit(call(&fd, t->nonce, NONCE) == NONCE ? 0 : 3);
}

/* A connected pair over loopback; a Unix one where there is none. */
static int pair(int out[2], uint64_t *cookie)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	AUTO_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a), size = sizeof(*cookie);

	out[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	out[1] = -1;
	if (listener >= 0 && out[0] >= 0 && !bind(listener, (void *)&a, sizeof(a)) &&
	    !listen(listener, 1) && !getsockname(listener, (void *)&a, &len) &&
	    !connect(out[0], (void *)&a, sizeof(a)))
		out[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (out[1] >= 0)
		return getsockopt(out[0], SOL_SOCKET, SO_COOKIE, cookie, &size) ? -errno : 0;
	if (out[0] >= 0)
		close(out[0]);
	*cookie = 0;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) ? -errno : 0;
}

static void on_record(void *ctx, const struct fence_sight_rec *r)
{
	struct test *t = ctx;

	if (r->tgid != t->tgid)
		return;
	if (r->kind == FENCE_SIGHT_MAP)
		t->mapped = r->cookie == t->cookie && r->how == FENCE_SIGHT_EXACT;
	if (r->kind != FENCE_SIGHT_DATA)
		return;
	if (r->out && r->len == NONCE && !memcmp(r->data, t->nonce, NONCE))
		t->seen++;
	else
		t->strange++;
}

/* Its exit, or the signal that ended it; -ETIMEDOUT. */
static int reap(pid_t pid)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int i, status;

	for (i = 0; i < PATIENCE_MS; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		nanosleep(&ms, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -ETIMEDOUT;
}

static int judge(const struct test *t, int ended, struct fence_diag *d)
{
	if (ended == 128 + SIGSYS)
		return fence_diag_set(d, -EPERM, NULL,
				      "its return probes end processes that have a seccomp filter "
				      "on this kernel; a browser would die");
	if (ended)
		return fence_diag_set(d, -EIO, NULL, "a probed child ended with %d", ended);
	if (t->seen != 1 || t->strange)
		return fence_diag_set(d, -EIO, NULL,
				      "what a probed child wrote came %d times, and other octets "
				      "%d times",
				      t->seen, t->strange);
	if (t->cookie && !t->mapped)
		return fence_diag_set(d, -EIO, NULL,
				      "what a probed child wrote was not seen on its socket");
	return 0;
}

static int run(struct fence_kernel *k, struct fence_sight *s, struct test *t, const int fds[2],
	       const int go[2], struct fence_diag *d)
{
	struct place place = { .at = (uintptr_t)call_me };
	struct fence_sight_point at = { .call = FENCE_TLS_WRITE_N };
	struct fence_proc p = { 0 };
	uint64_t bad = 0;
	int err, ended;
	pid_t pid;

	dl_iterate_phdr(on_object, &place);
	at.offset = place.offset;
	pid = fork();
	if (!pid)
		child(go[0], fds[0], t);
	if (pid < 0)
		return fence_diag_set(d, -errno, NULL, "no child can be started");
	t->tgid = (uint32_t)pid;
	fence_kernel_get(k, FENCE_MAP_PROCS, &t->tgid, &p);
	p.sight = 1;
	err = fence_kernel_put(k, FENCE_MAP_PROCS, &t->tgid, &p);
	if (!err)
		err = fence_sight_attach(s, "/proc/self/exe", t->tgid, &at, 1);
	if (err || write(go[1], "g", 1) != 1)
		kill(pid, SIGKILL);
	ended = reap(pid);
	fence_sight_drain(s, on_record, t, &bad);
	fence_sight_release(s, t->tgid);
	fence_kernel_del(k, FENCE_MAP_PROCS, &t->tgid);
	return err ? fence_diag_set(d, err, NULL, "a probe cannot be put into a child: %s",
				    strerror(-err))
		   : judge(t, ended, d);
}

int fence_sight_test(struct fence_kernel *k, struct fence_sight *s, struct fence_diag *d)
{
	struct test t = { 0 };
	int fds[2] = { -1, -1 }, go[2] = { -1, -1 }, err, i;

	err = getrandom(t.nonce, NONCE, 0) == NONCE ? pair(fds, &t.cookie) : -EIO;
	if (!err && pipe2(go, O_CLOEXEC))
		err = -errno;
	err = err ? fence_diag_set(d, err, NULL, "it cannot be tried: %s", strerror(-err))
		  : run(k, s, &t, fds, go, d);
	for (i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		if (go[i] >= 0)
			close(go[i]);
	}
	return err;
}
