// SPDX-License-Identifier: Apache-2.0
/*
 * What a session's first process gives up, tried out: children close themselves, as root and as
 * nobody, with "write" and without, then do each thing that is refused, and each beside it that
 * goes on.
 *
 * usage: closure (as root); ends with how much was tried.
 */
#include <cap-ng.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <crmfence/shut.h>

#include "cli/cli.h"
#include "ipc/control.h"

#define NOBODY 65534

static char dir[] = "/tmp/crmfence-unit-XXXXXX", open_dir[64], shut_dir[64];
static int failures, tried;
static ino_t ipc; /* namespace of the parent */

static int fault, calls; /* which call of those below fails; how many there were */

static int fails(void)
{
	errno = EINVAL;
	return fault && ++calls == fault;
}

/* What a session cannot be closed without: each of these fails once. */
#define MAY_FAIL(type, name, failure, args, ...) \
	type name args \
	{ \
		static type(*real) args; \
\
		if (!real) \
			*(void **)&real = dlsym(RTLD_NEXT, #name); \
		return fails() ? failure : real(__VA_ARGS__); \
	}

MAY_FAIL(int, close_range, -1, (unsigned int from, unsigned int to, int flags), from, to, flags)
MAY_FAIL(int, unshare, -1, (int flags), flags)
MAY_FAIL(int, capng_update, -1, (capng_act_t act, capng_type_t type, unsigned int cap), act, type,
	 cap)
MAY_FAIL(int, capng_apply, -1, (capng_select_t set), set)

/* Ours, that is; the library asks itself later, and goes on without. */
int capng_get_caps_process(void)
{
	static int (*real)(void);
	int first = !real;

	if (first)
		*(void **)&real = dlsym(RTLD_NEXT, "capng_get_caps_process");
	return first && fails() ? -1 : real();
}

MAY_FAIL(scmp_filter_ctx, seccomp_init, NULL, (uint32_t action), action)
MAY_FAIL(int, seccomp_attr_set, -EINVAL,
	 (scmp_filter_ctx f, enum scmp_filter_attr attr, uint32_t value), f, attr, value)
MAY_FAIL(int, seccomp_load, -EINVAL, (const scmp_filter_ctx f), f)
MAY_FAIL(int, seccomp_rule_add_array, -EINVAL,
	 (scmp_filter_ctx f, uint32_t action, int call, unsigned int n,
	  const struct scmp_arg_cmp *when),
	 f, action, call, n, when)

static long oldest; /* the Landlock that is shown, as of an older kernel; 0: this one's */

/* In the C library's place: the same, but for that number. */
long syscall(long nr, ...)
{
	long a[6], r;
	va_list args;
	int i;

	va_start(args, nr);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (nr == SYS_landlock_create_ruleset && a[2] && oldest)
		return oldest;
	if (((nr == SYS_landlock_create_ruleset && !a[2]) || nr == SYS_landlock_restrict_self ||
	     nr == SYS_prctl) &&
	    fails())
		return -1;
	{
		register long r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4],
				  r9 __asm__("r9") = a[5];

		__asm__ volatile("syscall"
				 : "=a"(r)
				 : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8),
				   "r"(r9)
				 : "rcx", "r11", "memory");
	}
	if (r >= 0 || r < -4095)
		return r;
	errno = (int)-r;
	return -1;
}

static void check(int ok, const char *what, long value)
{
	tried++;
	if (ok)
		return;
	failures++;
	printf("FAIL %s (%ld, %s)\n", what, value, strerror(errno));
}

/* A call has to end with this error; 0: it has to succeed. */
static void expect(long r, int error, const char *what)
{
	check(error ? r < 0 && errno == error : r >= 0, what, r);
}

static const struct {
	int nr;
	const char *name;
} refused[] = {
#define CALL(x) \
	{ \
		SYS_##x, #x \
	}
	CALL(ptrace),
	CALL(process_vm_readv),
	CALL(process_vm_writev),
	CALL(process_madvise),
	CALL(pidfd_getfd),
	CALL(kcmp),
	CALL(setns),
	CALL(bpf),
	CALL(perf_event_open),
	CALL(userfaultfd),
	CALL(io_uring_setup),
	CALL(io_uring_enter),
	CALL(io_uring_register),
	CALL(mq_open),
	CALL(mq_unlink),
	CALL(mq_timedsend),
	CALL(mq_timedreceive),
	CALL(mq_notify),
	CALL(mq_getsetattr),
	CALL(msgget),
	CALL(msgsnd),
	CALL(msgrcv),
	CALL(msgctl),
	CALL(shmget),
	CALL(shmat),
	CALL(shmctl),
	CALL(semget),
	CALL(semop),
	CALL(semtimedop),
	CALL(semctl),
	CALL(add_key),
	CALL(request_key),
	CALL(keyctl),
	CALL(rt_sigqueueinfo),
	CALL(rt_tgsigqueueinfo),
	CALL(pidfd_send_signal),
	CALL(open_by_handle_at),
	CALL(name_to_handle_at),
	CALL(init_module),
	CALL(finit_module),
	CALL(delete_module),
	CALL(kexec_load),
	CALL(kexec_file_load),
	CALL(iopl),
	CALL(ioperm),
};

static const struct {
	int nr;
	const char *name;
	long arg[6]; /* with which it is no more than a bad descriptor */
} sharing[] = {
	{ SYS_vmsplice, "vmsplice", { -1 } },
	{ SYS_splice, "splice", { -1, 0, -1, 0, 1 } },
	{ SYS_tee, "tee", { -1, -1, 1 } },
	{ SYS_sendfile, "sendfile", { -1, -1, 0, 1 } },
};

static void try_calls(int unshared)
{
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		expect(syscall(refused[i].nr, -1, -1, -1, -1, -1, -1), EPERM, refused[i].name);
	for (i = 0; i < sizeof(sharing) / sizeof(sharing[0]); i++)
		expect(syscall(sharing[i].nr, sharing[i].arg[0], sharing[i].arg[1],
			       sharing[i].arg[2], sharing[i].arg[3], sharing[i].arg[4], 0),
		       unshared ? EINVAL : EBADF, sharing[i].name);
	expect(syscall(SYS_getpid), 0, "getpid");
	expect(syscall(SYS_kill, getpid(), 0), 0, "kill itself");
	expect(ioctl(-1, TIOCSTI), EPERM, "TIOCSTI");
	expect(ioctl(-1, TIOCLINUX), EPERM, "TIOCLINUX");
	expect(syscall(SYS_ioctl, -1, TIOCSTI | 1UL << 32), EPERM, "TIOCSTI with a high bit");
	expect(ioctl(-1, TIOCSTI + 1), EBADF, "another ioctl");
	expect(ioctl(-1, TIOCLINUX + 1), EBADF, "another ioctl");
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs", 0);
}

static void try_families(void)
{
	static const unsigned long beyond[] = { AF_MAX, AF_MAX + 1, 200, 1UL << 32 | AF_INET,
						1UL << 31 };
	int family, kept;
	size_t i;

	for (family = 0; family < AF_MAX; family++) {
		kept = family == AF_UNIX || family == AF_INET || family == AF_INET6;
		errno = 0;
		expect(syscall(SYS_socket, family, SOCK_DGRAM, 0),
		       kept || family == AF_NETLINK ? 0 : EPERM, "a family of sockets");
	}
	for (i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
		expect(syscall(SYS_socket, beyond[i], SOCK_STREAM, 0), EPERM, "a family beyond");
	for (i = 1; i < 20; i++)
		expect(syscall(SYS_socket, AF_NETLINK, SOCK_RAW, i), EPERM, "netlink");
	expect(syscall(SYS_socket, AF_INET, SOCK_STREAM, 6), 0, "TCP");
}

static void try_cores(void)
{
	struct rlimit l = { 0, 0 }, old;

	expect(setrlimit(RLIMIT_CORE, &l), 0, "the limit of cores, set and told as done");
	expect(syscall(SYS_setrlimit, RLIMIT_CORE, &l), 0, "setrlimit");
	expect(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &l, NULL), 0, "prlimit");
	expect(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &l, &old), EPERM, "prlimit with the old one");
	expect(syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &old), 0, "prlimit asked");
	check(old.rlim_cur == 1 && old.rlim_max == 1, "the limit of cores", (long)old.rlim_cur);
	l = (struct rlimit){ 64, 64 };
	expect(syscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, &l, &old), 0, "another limit");
	expect(syscall(SYS_setrlimit, RLIMIT_MSGQUEUE, &l), 0, "another limit");
	getrlimit(RLIMIT_MSGQUEUE, &old);
	check(old.rlim_cur == 64, "another limit, set", (long)old.rlim_cur);
}

/* Of root's: what shut.h lists, in every set; of others': nothing. */
static void try_capabilities(int root)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	uint64_t want = root ? FENCE_CAPS_KEPT : 0, has;
	int i;

	expect(syscall(SYS_capget, &head, d), 0, "capget");
	has = d[0].effective | (uint64_t)d[1].effective << 32;
	check(has == want, "effective capabilities", (long)has);
	has = d[0].permitted | (uint64_t)d[1].permitted << 32;
	check(has == want, "permitted capabilities", (long)has);
	has = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	check(!has, "inheritable capabilities", (long)has);
	for (i = 0; root && i <= 40; i++)
		check(prctl(PR_CAPBSET_READ, i, 0, 0, 0) == (int)(want >> i & 1), "bounding set",
		      i);
}

/* The rights below a directory, one by one. */
static void try_files(const char *at, int may, long abi)
{
	char a[100], b[100];
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int error = may ? 0 : EACCES, fd;

	snprintf(a, sizeof(a), "%s/made", at);
	snprintf(b, sizeof(b), "%s/there", at);
	expect(mkfifo(a, 0600), EACCES, "a FIFO");
	expect(open(a, O_CREAT | O_EXCL | O_WRONLY, 0600), error, "a file made");
	expect(open(b, O_WRONLY), error, "a file written");
	expect(open(b, O_RDONLY), 0, "a file read");
	if (abi >= 3)
		expect(truncate(b, 0), error, "a file cut");
	snprintf(a, sizeof(a), "%s/dir", at);
	expect(mkdir(a, 0700), error, "a directory made");
	expect(rmdir(may ? a : at), may ? 0 : EACCES, "a directory removed");
	expect(symlink("x", a), error, "a link made");
	expect(unlink(may ? a : b), error, "a name removed");
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", at);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	expect(bind(fd, (struct sockaddr *)&name, sizeof(name)), error, "a socket bound");
	close(fd);
}

static void try_writing(const char *write, long abi)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full",
					       "/proc/self/comm" };
	char a[100], b[100];
	size_t i;

	try_files(open_dir, 1, abi);
	try_files(shut_dir, !write, abi);
	for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		expect(open(devices[i], O_WRONLY | O_TRUNC | O_CLOEXEC), 0, devices[i]);
	if (abi >= 2) { /* from one directory to another */
		snprintf(a, sizeof(a), "%s/made", open_dir);
		snprintf(b, sizeof(b), "%s/sub/moved", open_dir);
		expect(rename(a, b), 0, "a file moved");
	}
}

static int outside_abstract; /* a listener's name; outside the session */

static void try_scope(int abstract, long abi)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), n;

	if (abi < 6)
		return;
	n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "crmfence-closure-%d",
		     outside_abstract);
	expect(connect(fd, (struct sockaddr *)&a,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)),
	       abstract ? 0 : EPERM, "an abstract socket outside");
	expect(kill(getppid(), 0), EPERM, "a signal to the parent");
	close(fd);
}

/* What was printed: what of "write" is not writable, and why. */
static void try_lines(const char *write)
{
	char text[1000] = "";
	ssize_t n = pread(2, text, sizeof(text) - 1, 0);

	check((n > 0) == !!write, "something is said", n);
	check(!write || strstr(text, "/nobody-has-this is not there"), "a directory missing", n);
	check(!write || strstr(text, "/foreign leads through a symbolic link that is not root's"),
	      "somebody's link", n);
}

static int session(int root, const char *write, int abstract, int unshared, int left)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0L, LANDLOCK_CREATE_RULESET_VERSION);
	char *lines = write ? strdup(write) : NULL;
	struct cli_closing c = { .abstract = abstract, .unshared = unshared, .write = lines };
	struct stat st;
	int r = cli_close_session(&c);

	check((r < 0) == (write && abi < 1), "the session closes, or cannot", r);
	if (r)
		return failures ? 1 : 0;
	check(fcntl(left, F_GETFD) < 0 && errno == EBADF, "a descriptor left open", left);
	check(fcntl(2, F_GETFD) >= 0, "standard error", 2);
	check(!stat("/proc/self/ns/ipc", &st) && (st.st_ino != ipc) == root, "IPC", root);
	try_lines(abi < 1 ? NULL : write);
	try_scope(abstract, abi);
	try_writing(write, abi);
	if (root)
		expect(open("/proc/sys/kernel/core_pattern", O_WRONLY), EROFS, "a switch");
	try_capabilities(root);
	try_calls(unshared);
	try_families();
	try_cores();
	return failures ? 1 : 0;
}

static void prepare(int root)
{
	char path[100];
	const char *dirs[] = { open_dir, shut_dir };
	int i, fd;

	snprintf(path, sizeof(path), "rm -rf %s/*", dir);
	if (system(path))
		exit(2);
	snprintf(path, sizeof(path), "%s/foreign", dir);
	if (symlink("/tmp", path) || lchown(path, NOBODY, NOBODY))
		exit(2);
	for (i = 0; i < 2; i++) {
		mkdir(dirs[i], 0755);
		snprintf(path, sizeof(path), "%s/sub", dirs[i]);
		mkdir(path, 0755);
		if (!root && chown(path, NOBODY, NOBODY))
			exit(2);
		snprintf(path, sizeof(path), "%s/there", dirs[i]);
		fd = open(path, O_CREAT | O_WRONLY, 0644);
		close(fd);
		if (!root && (chown(path, NOBODY, NOBODY) || chown(dirs[i], NOBODY, NOBODY)))
			exit(2);
	}
}

/* The lines in a session of its own; how many failed. */
static int flavour(int root, const char *write, int abstract, int unshared)
{
	int status = -1, left;
	char path[100];
	pid_t child;

	prepare(root);
	fflush(stdout);
	child = fork();
	if (!child) {
		left = open("/dev/null", O_RDONLY);
		snprintf(path, sizeof(path), "%s/said", dir);
		dup2(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), 2);
		if (!root &&
		    (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
			_exit(2);
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* as after an exec: its /proc is its own */
		status = session(root, write, abstract, unshared, left);
		printf("%s, %s: %d tried, %d failed\n", root ? "root" : "nobody",
		       write ? "write" : "files open", tried, failures);
		fflush(stdout);
		_exit(status);
	}
	waitpid(child, &status, 0);
	return status;
}

/* Whichever call fails, nothing starts. How often that was not so. */
static int faults(int root, const char *write)
{
	int status, bad = 0, n;

	for (n = 1; n < 1000; n++) {
		pid_t child = fork();

		if (!child) {
			char *lines = write ? strdup(write) : NULL;
			struct cli_closing c = { .unshared = 1, .write = lines };
			int r;

			close(2);
			if (!root && setresuid(NOBODY, NOBODY, NOBODY))
				_exit(2);
			fault = n;
			r = cli_close_session(&c);
			_exit(calls < n ? 3 : r >= 0);
		}
		waitpid(child, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
			break; /* there are no more */
		if (status)
			printf("FAIL call %d fails, and a session starts (%d)\n", n, status);
		bad += status != 0;
	}
	printf("%s: %d calls, each fails once\n", root ? "root" : "nobody", n - 1);
	return bad || n < 100;
}

/* A limit of cores that cannot be 1: nothing starts. */
static int no_cores(void)
{
	struct rlimit none = { 0, 0 };
	struct cli_closing c = { 0 };
	int status = -1;
	pid_t child = fork();

	if (!child) {
		if (setrlimit(RLIMIT_CORE, &none) || setresuid(NOBODY, NOBODY, NOBODY))
			_exit(2);
		close(2);
		_exit(cli_close_session(&c) < 0 ? 0 : 1);
	}
	waitpid(child, &status, 0);
	if (status)
		printf("FAIL a limit of cores of 0\n");
	return status;
}

static char seen[300];

static int see(void *ctx, const char *path)
{
	int *left = ctx;

	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s;", path);
	return --*left ? 0 : -5;
}

/* Lines of "write": words that are none are passed over, "~" is the user's home. */
static int lines(void)
{
	int left = 9, few = 2, bad;

	seen[0] = 0;
	bad = cli_write_each(NULL, see, &left) || cli_write_each("", see, &left) || seen[0];
	bad |= cli_write_each("write /a\n\nwrite \nwrite ~/b c\nwrite /d", see, &left);
	bad |= strcmp(seen, geteuid() ? "/a;/nonexistent/b c;/d;" : "/a;/root/b c;/d;") != 0;
	seen[0] = 0;
	bad |= cli_write_each("write /a\nwrite /b\nwrite /c", see, &few) != -5;
	bad |= strcmp(seen, "/a;/b;") != 0;
	if (bad)
		printf("FAIL lines of \"write\": %s\n", seen);
	return bad;
}

int main(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), bad, n;
	char write[300];
	struct stat st;

	if (geteuid()) {
		printf("skipped: not root\n");
		return 0;
	}
	umask(022);
	outside_abstract = getpid();
	n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "crmfence-closure-%d",
		     outside_abstract);
	if (bind(fd, (struct sockaddr *)&a,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) ||
	    listen(fd, 9) || !mkdtemp(dir) || chmod(dir, 0755) || stat("/proc/self/ns/ipc", &st))
		return 2;
	ipc = st.st_ino;
	snprintf(open_dir, sizeof(open_dir), "%s/open", dir);
	snprintf(shut_dir, sizeof(shut_dir), "%s/shut", dir);
	snprintf(write, sizeof(write), "%s%s%s/nobody-has-this%s%s/foreign",
		 FENCE_CONTROL_WRITE + 1, open_dir, FENCE_CONTROL_WRITE, FENCE_CONTROL_WRITE, dir);
	bad = lines() | no_cores();
	if (!fork()) /* somebody whom the user database does not have */
		_exit(setresuid(123456789, 123456789, 123456789) || lines());
	wait(&n);
	bad |= n;
	bad |= flavour(0, NULL, 0, 0) | flavour(0, write, 1, 1);
	bad |= flavour(1, NULL, 1, 0) | flavour(1, write, 0, 1);
	bad |= faults(0, NULL) | faults(1, write);
	for (oldest = 1; oldest < 7; oldest++)
		bad |= flavour(0, NULL, 0, 0) | flavour(0, write, 0, 0);
	snprintf(write, sizeof(write), "rm -rf %s", dir);
	bad |= system(write);
	printf("%s\n", bad ? "something stays open, or is closed that should not be"
			   : "what is refused is, and what is not goes on");
	return bad ? 1 : 0;
}
