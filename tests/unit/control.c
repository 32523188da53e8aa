// SPDX-License-Identifier: Apache-2.0
/* The control socket, both sides: what is asked, by whom, what is answered, and who does not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/control.h"

static char dir[] = "/tmp/crmfence-unit-XXXXXX", path[64];
static struct timeval patience[2]; /* as it was asked for: to receive, to send */

/* In the C library's place: the same, but who would wait for seconds waits for a moment. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	const struct timeval moment = { .tv_usec = 50000 };

	if (level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO)) {
		memcpy(&patience[option == SO_SNDTIMEO], value, sizeof(patience[0]));
		value = option == SO_RCVTIMEO && patience[0].tv_sec ? &moment : value;
	}
	return (int)syscall(SYS_setsockopt, fd, level, option, value, len);
}

static int asked_for; /* the last option that was asked for */
static int pidfd_error; /* what SO_PEERPIDFD fails with; 0: it is asked */

/* As an older kernel, or one whose caller has ended. */
int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	asked_for = option;
	if (option != SO_PEERCRED && pidfd_error) {
		errno = pidfd_error;
		return -1;
	}
	return (int)syscall(SYS_getsockopt, fd, level, option, value, len);
}

static size_t recv_most = 65536; /* bytes that one call gives */

ssize_t recv(int fd, void *data, size_t len, int flags)
{
	return syscall(SYS_recvfrom, fd, data, len < recv_most ? len : recv_most, flags, NULL,
		       NULL);
}

static void (*on_connect)(void); /* while who connected has asked nothing yet */

int connect(int fd, const struct sockaddr *a, socklen_t len)
{
	int err = (int)syscall(SYS_connect, fd, a, len);

	if (!err && on_connect)
		on_connect();
	return err;
}

static int pauses;

int nanosleep(const struct timespec *t, struct timespec *left)
{
	(void)left;
	pauses += t->tv_nsec == 50000000;
	return 0;
}

static int connected(const char *to)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", to);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Both ends of one connection. */
struct both {
	int listener, agent, asks;
};

static struct both both_open(void)
{
	struct both b = { .listener = fence_control_listen(path) };

	assert_true(b.listener >= 0);
	b.asks = connected(path);
	b.agent = accept(b.listener, NULL, NULL);
	assert_true(b.agent >= 0);
	return b;
}

static void both_close(struct both *b)
{
	close(b->listener);
	close(b->agent);
	close(b->asks);
}

static struct fence_control_request good(void)
{
	struct fence_control_request r = { .magic = FENCE_CONTROL_MAGIC,
					   .version = FENCE_CONTROL_VERSION,
					   .op = FENCE_OP_JOIN,
					   .pid = 77 };

	memset(r.tool, 'x', sizeof(r.tool) - 1);
	return r;
}

/* What the agent makes of `len` bytes of a request. */
static int received(const struct fence_control_request *r, size_t len,
		    struct fence_control_request *out, struct fence_peer *peer)
{
	struct both b = both_open();
	int err;

	assert_int_equal(send(b.asks, r, len, 0), (ssize_t)len);
	err = fence_control_receive(b.agent, out, peer);
	both_close(&b);
	return err;
}

/* Who connects and goes away asks nothing. */
static int shutdown_only(struct fence_control_request *out, struct fence_peer *peer)
{
	struct both b = both_open();
	int err;

	assert_int_equal(shutdown(b.asks, SHUT_WR), 0);
	errno = 0;
	err = fence_control_receive(b.agent, out, peer);
	both_close(&b);
	return err;
}

/* Descriptor 0 is one as any other. */
static void test_descriptor_zero(void **state)
{
	int kept = dup(0), listens, tells;
	char name[200];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	close(0);
	errno = ENOTTY;
	tells = fence_control_listen(name);
	listens = fence_control_listen(path);
	close(connected(path));
	dup2(kept, 0);
	close(kept);
	assert_int_equal(listens, 0);
	assert_int_equal(tells, -ENAMETOOLONG);
}

static void test_listen(void **state)
{
	struct sockaddr_un a;
	char name[sizeof(a.sun_path) + 1];
	struct stat st;
	int fd, on = 0;
	socklen_t len = sizeof(on);
	FILE *f = fopen(path, "w"); /* what an agent before it left */

	(void)state;
	fclose(f);
	umask(0077);
	fd = fence_control_listen(path);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, &len), 0);
	assert_int_equal(on, 1);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
	snprintf(name, sizeof(name), "%s/none/s", dir);
	assert_int_equal(fence_control_listen(name), -ENOENT);
	snprintf(name, sizeof(name), "%s/", dir);
	memset(name + strlen(name), 'x', sizeof(a.sun_path) - strlen(name));
	name[sizeof(a.sun_path)] = 0;
	assert_int_equal(fence_control_listen(name), -ENAMETOOLONG);
	name[sizeof(a.sun_path) - 1] = 0; /* the longest that there is */
	fd = fence_control_listen(name);
	assert_true(fd >= 0);
	close(connected(name));
	close(fd);
	assert_int_equal(unlink(name), 0);
}

static void test_receive(void **state)
{
	struct fence_control_request r = good(), out;
	struct fence_peer peer;
	struct both b = both_open();

	(void)state;
	assert_int_equal(fence_control_receive(b.agent, &out, &peer), -EAGAIN);
	both_close(&b);
	memset(&peer, 0xee, sizeof(peer));
	assert_int_equal(received(&r, sizeof(r), &out, &peer), 0);
	assert_memory_equal(&r, &out, sizeof(r));
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.real, getuid());
	assert_int_equal(received(&r, sizeof(r) - 1, &out, &peer), -EBADMSG);
	assert_int_equal(received(&r, 1, &out, &peer), -EBADMSG);
	assert_int_equal(shutdown_only(&out, &peer), -EBADMSG);
	r.magic++;
	assert_int_equal(received(&r, sizeof(r), &out, &peer), -EBADMSG);
	r = good();
	r.version++;
	assert_int_equal(received(&r, sizeof(r), &out, &peer), -EBADMSG);
	r = good();
	r.tool[sizeof(r.tool) - 1] = 'x';
	assert_int_equal(received(&r, sizeof(r), &out, &peer), -EBADMSG);
	assert_int_equal(fence_control_receive(open("/dev/null", O_RDONLY), &out, &peer),
			 -ENOTSOCK);
}

/* As whom it connected, and as whom it asks: a set-user-id program is still its user's. */
static void test_receive_user(void **state)
{
	struct fence_control_request r = good(), out;
	struct fence_peer peer = { 0 };
	int fd, asks, agent;

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chmod(dir, 0755), 0);
	fd = fence_control_listen(path);
	assert_int_equal(seteuid(65534), 0);
	asks = connected(path);
	assert_int_equal(seteuid(0), 0);
	agent = accept(fd, NULL, NULL);
	assert_int_equal(send(asks, &r, sizeof(r), 0), sizeof(r));
	assert_int_equal(fence_control_receive(agent, &out, &peer), 0);
	assert_int_equal(peer.uid, 65534);
	assert_int_equal(peer.real, 0);
	close(asks);
	close(agent);
	close(fd);
}

/* A connection in other hands: nobody is asked for by who did not connect. */
static void test_receive_other(void **state)
{
	struct fence_control_request r = good(), out;
	struct fence_peer peer;
	struct both b = both_open();
	pid_t child = fork();

	(void)state;
	if (!child)
		_exit(send(b.asks, &r, sizeof(r), 0) != sizeof(r));
	waitpid(child, NULL, 0);
	assert_int_equal(fence_control_receive(b.agent, &out, &peer), -EPERM);
	both_close(&b);
}

static void test_reply(void **state)
{
	static char big[4 << 20], back[64];
	struct fence_control_reply r;
	struct both b = both_open();

	(void)state;
	assert_int_equal(fence_control_reply(b.agent, -7, "text and more", 4), 0);
	assert_int_equal(fence_control_reply(b.agent, 3, NULL, 0), 0);
	assert_int_equal(recv(b.asks, &r, sizeof(r), 0), sizeof(r));
	assert_int_equal(r.magic, FENCE_CONTROL_MAGIC);
	assert_int_equal(r.status, -7);
	assert_int_equal(r.len, 4);
	assert_int_equal(recv(b.asks, back, 4, 0), 4);
	assert_memory_equal(back, "text", 4);
	assert_int_equal(recv(b.asks, &r, sizeof(r), 0), sizeof(r));
	assert_int_equal(r.status, 3);
	assert_int_equal(r.len, 0);
	assert_int_equal(recv(b.asks, back, 1, MSG_DONTWAIT), -1);
	/* who does not read waits for nobody */
	assert_int_equal(fence_control_reply(b.agent, 0, big, sizeof(big)), -EIO);
	while (send(b.agent, big, 1, MSG_DONTWAIT) == 1)
		;
	assert_int_equal(fence_control_reply(b.agent, 0, "x", 1), -EAGAIN);
	close(b.asks);
	assert_int_equal(fence_control_reply(b.agent, 0, "x", 1), -EPIPE);
	close(b.agent);
	close(b.listener);
}

/* ---- who asks ---- */

#define EACH 0x1 /* byte by byte */
#define SIGNAL 0x2 /* and a signal while it is waited for */
#define SILENT 0x4 /* nothing at all */
#define PARTS 0x8 /* three bytes at most are read at once */

struct answered {
	struct fence_control_reply r;
	const char *text;
	size_t bytes; /* of both together */
	int how;
};

/* Does it sleep? */
static int sleeps(pid_t pid)
{
	char name[64], line[256];
	FILE *f;
	int yes;

	snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	f = fopen(name, "r");
	yes = f && fgets(line, sizeof(line), f) && strstr(line, ") S ");
	if (f)
		fclose(f);
	return yes;
}

/* One request is taken, and answered as a case says. 0: it was the one that was expected. */
static int play(int listener, const struct answered *a, const char *tool)
{
	char room[256];
	struct fence_control_request q;
	struct fence_peer peer;
	int fd = accept(listener, NULL, NULL), err;
	size_t i;

	while ((err = fence_control_receive(fd, &q, &peer)) == -EAGAIN)
		;
	if (err || q.op != FENCE_OP_CONFINE || q.pid != 1234 || strcmp(q.tool, tool))
		return 1;
	if (a->how & SILENT) {
		recv(fd, room, 1, 0); /* until it is given up */
		return 0;
	}
	if (a->how & SIGNAL) {
		while (!sleeps(getppid()))
			;
		kill(getppid(), SIGUSR1);
	}
	memcpy(room, &a->r, sizeof(a->r));
	memcpy(room + sizeof(a->r), a->text, strlen(a->text));
	for (i = 0; i < a->bytes; i += a->how & EACH ? 1 : a->bytes)
		if (send(fd, room + i, a->how & EACH ? 1 : a->bytes, MSG_NOSIGNAL) < 0)
			return 2;
	return 0;
}

static int asked(const struct answered *a, const char *tool, char *out, uint32_t size)
{
	int listener = fence_control_listen(path), err, status = -1;
	pid_t child;

	assert_true(listener >= 0);
	fcntl(listener, F_SETFL, 0);
	child = fork();
	if (!child)
		_exit(play(listener, a, tool ? tool : ""));
	close(listener);
	memset(out, 'x', size);
	recv_most = a->how & PARTS ? 3 : 65536;
	err = fence_control_ask(path, FENCE_OP_CONFINE, tool, 1234, out, size);
	recv_most = 65536;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	return err;
}

static void on_signal(int sig)
{
	(void)sig;
}

#define HEAD sizeof(struct fence_control_reply)
#define REPLY(status, len) \
	{ \
		FENCE_CONTROL_MAGIC, status, len \
	}

static void test_ask(void **state)
{
	static const struct {
		struct answered a;
		int err;
		const char *out;
	} cases[] = {
		{ { REPLY(0, 5), "hello", HEAD + 5, 0 }, 0, "hello" },
		{ { REPLY(0, 5), "hello", HEAD + 5, EACH }, 0, "hello" },
		{ { REPLY(0, 5), "hello", HEAD + 5, PARTS }, 0, "hello" },
		{ { REPLY(-13, 2), "no", HEAD + 2, 0 }, -13, "no" },
		{ { REPLY(7, 0), "", HEAD, 0 }, 7, "" },
		{ { REPLY(0, 7), "1234567", HEAD + 7, 0 }, 0, "1234567" },
		{ { REPLY(0, 8), "12345678", HEAD + 8, 0 }, -EBADMSG, NULL },
		{ { REPLY(0, ~0u), "", HEAD, 0 }, -EBADMSG, NULL },
		{ { REPLY(0, 5), "hell", HEAD + 4, 0 }, -EBADMSG, NULL },
		{ { REPLY(0, 0), "", HEAD - 1, 0 }, -EBADMSG, NULL },
		{ { REPLY(0, 0), "", 0, 0 }, -EBADMSG, NULL },
		{ { { FENCE_CONTROL_MAGIC + 1, 0, 0 }, "", HEAD, 0 }, -EBADMSG, NULL },
	};
	char out[8];
	size_t i;
	int err;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err = asked(&cases[i].a, i % 2 ? "tool" : NULL, out, sizeof(out));
		if (err != cases[i].err || (cases[i].out && strcmp(out, cases[i].out)))
			fail_msg("case %zu: %d %.8s", i, err, out);
	}
	assert_int_equal(patience[0].tv_sec, 10);
	assert_int_equal(patience[1].tv_sec, 10);
}

/* A signal is no answer, and no end either: its session was frozen for a moment. */
static void test_ask_signal(void **state)
{
	static const struct answered a = { REPLY(0, 2), "ok", HEAD + 2, SIGNAL };
	struct sigaction act = { .sa_handler = on_signal };
	char out[64];

	(void)state;
	sigaction(SIGUSR1, &act, NULL);
	assert_int_equal(asked(&a, "t", out, sizeof(out)), 0);
	assert_string_equal(out, "ok");
}

static void test_ask_nobody(void **state)
{
	static const struct answered silent = { REPLY(0, 0), "", 0, SILENT };
	char name[200], out[200];
	int fd;

	(void)state;
	assert_int_equal(asked(&silent, "t", out, sizeof(out)), -EAGAIN);
	assert_non_null(strstr(out, "has not answered for 10 seconds"));
	fd = fence_control_listen(path);
	close(fd);
	assert_int_equal(fence_control_ask(path, 1, "t", 0, out, sizeof(out)), -ECONNREFUSED);
	unlink(path);
	assert_int_equal(fence_control_ask(path, 1, "t", 0, out, sizeof(out)), -ENOENT);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(fence_control_ask(name, 1, "t", 0, out, sizeof(out)), -ENAMETOOLONG);
}

static int places, listens_at, came;

/* Sent away before he asks, but for who comes when there is a place. */
static void send_away(void)
{
	int fd = accept(listens_at, NULL, NULL);

	came++;
	if (came > places)
		fence_control_reply(fd, 0, "in", 2);
	close(fd);
}

/* Who finds no place comes again, for two seconds; then he is told that nothing was done. */
static void test_ask_no_place(void **state)
{
	char out[200];

	(void)state;
	listens_at = fence_control_listen(path);
	on_connect = send_away;
	places = 1000, came = pauses = 0;
	assert_int_equal(fence_control_ask(path, 1, "t", 0, out, sizeof(out)), -EBUSY);
	assert_int_equal(came, 41);
	assert_int_equal(pauses, 40);
	assert_non_null(strstr(out, "before it was asked; try again"));
	places = 3, came = pauses = 0;
	assert_int_equal(fence_control_ask(path, 1, "t", 0, out, sizeof(out)), 0);
	assert_string_equal(out, "in"); /* who cannot ask any more reads why */
	assert_int_equal(came, 4);
	on_connect = NULL;
	close(listens_at);
}

/* The kernel says who connected; one that cannot is asked for who has his pid, and no other. */
static void test_caller_older(void **state)
{
	struct both b = both_open();
	struct fence_caller c = { .pidfd = -7 };
	int asks = connected(path);

	(void)state;
	pidfd_error = ENOPROTOOPT;
	assert_int_equal(fence_control_accept(b.listener, &c), 0);
	assert_true(c.pidfd >= 0);
	assert_int_equal(fence_control_gone(&c), 0);
	fence_control_end(&c);
	close(asks);
	asks = connected(path);
	pidfd_error = ESRCH;
	assert_int_equal(fence_control_accept(b.listener, &c), 0);
	assert_int_equal(c.pidfd, -1);
	assert_int_equal(fence_control_gone(&c), 1);
	fence_control_end(&c);
	close(asks);
	pidfd_error = 0;
	assert_int_equal(asked_for, 77); /* SO_PEERPIDFD of asm-generic/socket.h */
	both_close(&b);
}

/* Who connected: whose it is, and whether he lives; both descriptors are ours to end. */
static void test_caller(void **state)
{
	int listener = fence_control_listen(path), status;
	struct fence_caller c = { .fd = -7, .pidfd = -7, .uid = 7 };
	pid_t child;

	(void)state;
	assert_int_equal(fence_control_accept(listener, &c), -EAGAIN);
	assert_int_equal(c.fd, -7);
	child = fork();
	if (!child) {
		connected(path);
		pause();
	}
	fcntl(listener, F_SETFL, 0); /* until he is there */
	assert_int_equal(fence_control_accept(listener, &c), 0);
	assert_int_equal(c.uid, geteuid());
	assert_true(fcntl(c.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(c.pidfd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fence_control_gone(&c), 0);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_int_equal(fence_control_gone(&c), 1);
	status = c.pidfd;
	fence_control_end(&c);
	assert_int_equal(fcntl(c.fd, F_GETFD), -1);
	assert_int_equal(fcntl(status, F_GETFD), -1);
	c.pidfd = -1; /* none: nobody is known to live */
	assert_int_equal(fence_control_gone(&c), 1);
	close(listener);
}

/* No descriptor is left: that is said, and not what was found out beside it. */
static void test_no_descriptor(void **state)
{
	struct rlimit old, none;
	char out[64];
	int listens, asks;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 0, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	listens = fence_control_listen(path);
	asks = fence_control_ask(path, 1, "t", 0, out, sizeof(out));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(listens, -EMFILE);
	assert_int_equal(asks, -EMFILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen),		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_receive_user),	cmocka_unit_test(test_receive_other),
		cmocka_unit_test(test_reply),		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_ask_signal),	cmocka_unit_test(test_ask_nobody),
		cmocka_unit_test(test_ask_no_place),	cmocka_unit_test(test_no_descriptor),
		cmocka_unit_test(test_caller),		cmocka_unit_test(test_caller_older),
		cmocka_unit_test(test_descriptor_zero),
	};
	int failed;

	alarm(30); /* who waits for ever fails */
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/s", dir);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return failed;
}
