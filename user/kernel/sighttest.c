// SPDX-License-Identifier: Apache-2.0
/*
 * Do the probes work here? A child says octets that nobody else knows: they have to come, once, on
 * the socket that it sends them to, and the child has to live.
 *
 * fence_sight_test: a child that has given up all but three system calls calls a function of its
 * own for each way in which TLS libraries are called. There are kernels whose return probes make a
 * system call of their own, which ends a process with a seccomp filter that does not know it, such
 * as a browser's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/shed.h"
#include "kernel/kernel.h"
#include "kernel/sight.h"

#define NONCE FENCE_TRY_NONCE
#define PATIENCE_MS 3000
#define NOT_TRIED 4 /* exit status of a child */

struct test {
	uint8_t nonce[FENCE_TRY_NONCES][NONCE];
	uint64_t cookie; /* of the child's socket; 0: this machine has no loopback */
	uint32_t tgid;
	uint32_t seen[2]; /* bits: nonces that came once, read and written */
	int mapped, strange;
};

/* ---- a function for each way of calling ---- */

/* A connection is known by its address; its first member is what the function sends on. */
struct conn {
	const void *methods; /* NSPR's: what kind of descriptor it is */
	uint64_t seq;
	const void *box; /* of rustls */
	int fd;
};

static int put(const struct conn *c, const void *buf, size_t len)
{
	return send(c->fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len ? (int)len : -1;
}

/* It is called, and with these arguments. */
#if __has_attribute(noipa)
#define CALLED __attribute__((noipa))
#else
#define CALLED __attribute__((noinline, optnone))
#endif

CALLED static int write_n(struct conn *c, const void *buf, int len)
{
	return put(c, buf, (size_t)len);
}

CALLED static int write_ex(struct conn *c, const void *buf, size_t len, size_t *done)
{
	*done = len;
	return put(c, buf, len) == (int)len;
}

CALLED static int write_bssl(struct conn *c, int *again, size_t *done, const void *buf, size_t len)
{
	*again = 0;
	*done = len;
	return put(c, buf, len) == (int)len;
}

CALLED static int write_pr(struct conn *c, const void *buf, int len)
{
	return put(c, buf, (size_t)len);
}

CALLED static int read_n(struct conn *c, const void *buf, int len)
{
	return c && buf ? len : -1;
}

CALLED static int read_ex(struct conn *c, const void *buf, size_t len, size_t *done)
{
	*done = len;
	return c && buf;
}

struct span {
	const void *at;
	size_t len;
};

CALLED static int read_bssl(struct conn *c, struct span *out, const struct span *from)
{
	*out = *from;
	return c ? 0 : -1;
}

CALLED static int recv_pr(struct conn *c, const void *buf, int len, int flags)
{
	return c && buf && !flags ? len : -1;
}

struct rustls_plain { /* bpf/tls.bpf.c: struct rustls_message */
	uint64_t slices;
	const void *at;
	size_t len;
	uint64_t end;
	uint8_t type, spare[7];
};

struct rustls_open { /* ... and what rustls_read takes apart */
	uint64_t ok;
	const void *at;
	size_t len;
	uint8_t type, spare[7], close;
};

#define RUSTLS_DATA 3

CALLED static void write_rustls(uint64_t out[3], struct conn *c, const struct rustls_plain *m)
{
	memset(out, 0, 3 * sizeof(*out));
	put(c, m->at, m->len);
}

CALLED static void read_rustls(struct rustls_open *out, struct conn *c, const struct span *from)
{
	*out = (struct rustls_open){
		.ok = !!c, .at = from->at, .len = from->len, .type = RUSTLS_DATA
	};
}

#ifdef __x86_64__
/* Inside OpenSSL's read: the label is behind what gives the octets. */
extern const char read_kept_at[];

CALLED static int read_kept(struct conn *c, const void *buf, size_t len, size_t *done)
{
	register const void *r12 __asm__("r12") = buf;
	register size_t *r13 __asm__("r13") = done;
	register uint64_t r14 __asm__("r14") = 0; /* does not peek */
	int given = c && buf;

	*done = len;
	__asm__ volatile(".globl read_kept_at\n.hidden read_kept_at\nread_kept_at: nop"
			 :
			 : "a"(given), "b"(c), "r"(r12), "r"(r13), "r"(r14)
			 : "memory");
	return given;
}

/* Go's: rax, rbx, rcx; the goroutine in r14. The labels are where its probes would be. */
extern const char go_write_at[], go_read_at[], go_return_at[];

CALLED static int go_write(struct conn *c, const void *buf, size_t len)
{
	__asm__ volatile(".globl go_write_at\n.hidden go_write_at\ngo_write_at: nop"
			 :
			 : "a"(c), "b"(buf), "c"(len)
			 : "memory");
	return put(c, buf, len);
}

CALLED static size_t go_read(struct conn *c, const void *buf, size_t len)
{
	__asm__ volatile(".globl go_read_at\n.hidden go_read_at\ngo_read_at: nop"
			 :
			 : "a"(c), "b"(buf)
			 : "memory");
	__asm__ volatile(".globl go_return_at\n.hidden go_return_at\ngo_return_at: nop"
			 :
			 : "a"(len), "b"(0), "c"(0)
			 : "memory");
	return len;
}
#endif

static const struct {
	const void *at;
	const char *name;
	uint8_t call;
} ways[] = {
	{ write_n, "SSL_write", FENCE_TLS_WRITE_N },
	{ write_ex, "SSL_write_ex", FENCE_TLS_WRITE_EX },
	{ write_bssl, "BoringSSL's write", FENCE_TLS_WRITE_BSSL },
	{ write_pr, "PR_Write", FENCE_TLS_WRITE_PR },
	{ read_n, "SSL_read", FENCE_TLS_READ_N },
	{ read_ex, "SSL_read_ex", FENCE_TLS_READ_EX },
	{ read_bssl, "BoringSSL's read", FENCE_TLS_READ_BSSL },
	{ recv_pr, "PR_Recv", FENCE_TLS_RECV_PR },
	{ write_rustls, "rustls's write", FENCE_TLS_WRITE_RUSTLS },
	{ read_rustls, "rustls's read", FENCE_TLS_READ_RUSTLS },
#ifdef __x86_64__
	{ read_kept_at, "OpenSSL's read, inside", FENCE_TLS_READ_KEPT },
	{ go_write_at, "Go's write", FENCE_TLS_GO_WRITE },
	{ go_read_at, "Go's read", FENCE_TLS_GO_READ },
	{ go_return_at, "", FENCE_TLS_GO_RETURN },
#endif
};

_Static_assert(ARRAY_SIZE(ways) <= FENCE_TRY_NONCES, "a nonce each");

static int is_read(size_t way)
{
	uint8_t call = ways[way].call;

	return (call >= FENCE_TLS_READ_N && call <= FENCE_TLS_READ_KEPT) ||
	       call == FENCE_TLS_GO_READ || call == FENCE_TLS_READ_RUSTLS;
}

static void say(size_t way, struct conn *c, const uint8_t *nonce)
{
	struct rustls_plain plain = { .at = nonce, .len = NONCE, .type = RUSTLS_DATA };
	struct span span = { nonce, NONCE }, out;
	struct rustls_open open;
	uint64_t record[3];
	size_t done;
	int again;

	switch (ways[way].call) {
	case FENCE_TLS_WRITE_N:
		write_n(c, nonce, NONCE);
		break;
	case FENCE_TLS_WRITE_EX:
		write_ex(c, nonce, NONCE, &done);
		break;
	case FENCE_TLS_WRITE_BSSL:
		write_bssl(c, &again, &done, nonce, NONCE);
		break;
	case FENCE_TLS_WRITE_PR:
		write_pr(c, nonce, NONCE);
		break;
	case FENCE_TLS_READ_N:
		read_n(c, nonce, NONCE);
		break;
	case FENCE_TLS_READ_EX:
		read_ex(c, nonce, NONCE, &done);
		break;
	case FENCE_TLS_READ_BSSL:
		read_bssl(c, &out, &span);
		break;
	case FENCE_TLS_RECV_PR:
		recv_pr(c, nonce, NONCE, 0);
		break;
	case FENCE_TLS_WRITE_RUSTLS:
		write_rustls(record, c, &plain);
		break;
	case FENCE_TLS_READ_RUSTLS:
		read_rustls(&open, c, &span);
		break;
#ifdef __x86_64__
	case FENCE_TLS_READ_KEPT:
		read_kept(c, nonce, NONCE, &done);
		break;
	case FENCE_TLS_GO_WRITE:
		go_write(c, nonce, NONCE);
		break;
	case FENCE_TLS_GO_READ:
		go_read(c, nonce, NONCE);
		break;
#endif
	}
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

static int say_all(const char *path, const int fds[2], const uint8_t nonce[][NONCE])
{
	static const uint32_t layered[] = { 4 }; /* PR_DESC_LAYERED */
	struct conn c[ARRAY_SIZE(ways)];
	size_t i;

	(void)path;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		c[i] = (struct conn){ .methods = layered, .box = &c[i], .fd = fds[0] };
		say(i, &c[i], nonce[i]);
	}
	return 0;
}

/* ---- the trial ---- */

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
	uint32_t i;

	if (r->tgid != t->tgid)
		return;
	if (r->kind == FENCE_SIGHT_MAP)
		t->mapped += r->cookie == t->cookie && r->how == FENCE_SIGHT_EXACT ? 1 : -99;
	if (r->kind != FENCE_SIGHT_DATA)
		return;
	for (i = 0; i < FENCE_TRY_NONCES; i++)
		if (r->len == NONCE && !memcmp(r->data, t->nonce[i], NONCE) &&
		    !(t->seen[r->out] & 1u << i))
			break;
	if (i < FENCE_TRY_NONCES)
		t->seen[r->out] |= 1u << i;
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

static int judge(const struct test *t, const struct fence_try *try, int ended, struct fence_diag *d)
{
	uint32_t missing = (try->out & ~t->seen[1]) | (try->in & ~t->seen[0]);

	if (ended == 128 + SIGSYS)
		return fence_diag_set(d, -EPERM, NULL,
				      "its return probes end processes that have a seccomp filter "
				      "on this kernel; a browser would die");
	if (ended == -ETIMEDOUT)
		return fence_diag_set(d, ended, NULL, "a probed child does not end");
	if (ended == NOT_TRIED)
		return fence_diag_set(d, -EAGAIN, NULL, "it cannot be tried: it does not begin");
	if (ended)
		return fence_diag_set(d, -EIO, NULL, "a probed child ended with %d", ended);
	if (missing)
		return fence_diag_set(d, -EIO, NULL, "what a probed child said did not come (%s)",
				      try->names ? try->names[__builtin_ctz(missing)] : try->path);
	if (t->strange || t->seen[1] != try->out || t->seen[0] != try->in)
		return fence_diag_set(d, -EIO, NULL, "a probed child's octets came twice or wrong");
	if (t->cookie && t->mapped != __builtin_popcount(try->out))
		return fence_diag_set(d, -EIO, NULL,
				      "what a probed child wrote was not seen on its socket");
	return 0;
}

static void child(const struct fence_try *try, const struct test *t, int go, const int fds[2])
{
	const int keep[] = { go, fds[0], fds[1] },
		  kept[] = { FENCE_SHED_FD + 1, FENCE_SHED_FD + 2 };
	char octet;

	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	if (fence_shed(keep, ARRAY_SIZE(keep), "crmfenced-try") ||
	    (try->closed_off && close_off()) || read(FENCE_SHED_FD, &octet, 1) != 1)
		_exit(NOT_TRIED);
	_exit(try->child(try->path, kept, t->nonce) ? NOT_TRIED : 0);
}

static int run(struct fence_kernel *k, struct fence_sight *s, const struct fence_try *try,
	       struct test *t, const int fds[2], const int go[2], struct fence_diag *d)
{
	struct fence_proc p = { 0 };
	uint64_t bad = 0;
	int err, ended;
	pid_t pid;

	pid = fork();
	if (!pid)
		child(try, t, go[0], fds);
	if (pid < 0)
		return fence_diag_set(d, -errno, NULL, "no child can be started");
	t->tgid = (uint32_t)pid;
	fence_kernel_get(k, FENCE_MAP_PROCS, &t->tgid, &p);
	p.sight = 1;
	err = fence_kernel_put(k, FENCE_MAP_PROCS, &t->tgid, &p);
	if (!err)
		err = fence_sight_attach(s, try->path, t->tgid, try->at, try->count);
	if (err || write(go[1], "g", 1) != 1)
		kill(pid, SIGKILL);
	ended = reap(pid);
	while (fence_sight_drain(s, on_record, t, &bad))
		;
	fence_sight_release(s, t->tgid);
	fence_kernel_del(k, FENCE_MAP_PROCS, &t->tgid);
	return err ? fence_diag_set(d, err, NULL, "a probe cannot be put into a child: %s",
				    strerror(-err))
		   : judge(t, try, ended, d);
}

int fence_sight_try(struct fence_kernel *k, struct fence_sight *s, const struct fence_try *try,
		    struct fence_diag *d)
{
	struct test t = { 0 };
	int fds[2] = { -1, -1 }, go[2] = { -1, -1 }, err, i;

	err = getrandom(t.nonce, sizeof(t.nonce), 0) == sizeof(t.nonce) ? pair(fds, &t.cookie)
									: -EAGAIN;
	if (!err && pipe2(go, O_CLOEXEC))
		err = -errno;
	err = err ? fence_diag_set(d, err, NULL, "it cannot be tried: %s", strerror(-err))
		  : run(k, s, try, &t, fds, go, d);
	for (i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		if (go[i] >= 0)
			close(go[i]);
	}
	return err;
}

/* ---- our own functions ---- */

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

int fence_sight_test(struct fence_kernel *k, struct fence_sight *s, struct fence_diag *d)
{
	struct fence_sight_point at[ARRAY_SIZE(ways)];
	const char *names[ARRAY_SIZE(ways)];
	struct fence_try try = { .path = "/proc/self/exe",
				 .at = at,
				 .count = ARRAY_SIZE(ways),
				 .names = names,
				 .closed_off = 1,
				 .child = say_all };
	struct place place;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		place = (struct place){ .at = (uintptr_t)ways[i].at };
		dl_iterate_phdr(on_object, &place);
		at[i] = (struct fence_sight_point){ .offset = place.offset,
						    .call = ways[i].call,
						    .box = offsetof(struct conn, box),
						    .seq = offsetof(struct conn, seq) };
		if (ways[i].call == FENCE_TLS_READ_KEPT) { /* rbx, r12, r13, r14 */
			at[i].box = FENCE_TLS_KEPT(3, 12);
			at[i].seq = FENCE_TLS_KEPT(13, 14);
		}
		names[i] = ways[i].name;
		if (is_read(i))
			try.in |= 1u << i;
		else if (ways[i].call != FENCE_TLS_GO_RETURN)
			try.out |= 1u << i;
	}
	return fence_sight_try(k, s, &try, d);
}
