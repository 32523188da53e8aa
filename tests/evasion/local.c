// SPDX-License-Identifier: Apache-2.0
/*
 * Ways to a process on the same machine that is not confined, and that process: the helper takes
 * what it is given through any channel and writes it to DIR/got.
 */
#include "evade.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY 0x63726d66
#define PORTID 424242
#define STOLEN 40 /* the helper's connected socket; the next is a pipe */
#define HEX 8 /* what of the token fits everywhere: its last eight characters */

static char mailbox[3][64]; /* of the helper, for those who write into its memory */

/* What the helper wrote down about itself: pid, address of its mailbox, a descriptor of its own. */
static void helper_is(int *pid, unsigned long *addr, int *fd)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/about", dir);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%d %lx %d", pid, addr, fd) != 3)
		lost(ESRCH);
	fclose(f);
}

/* ---- what the session tries ---- */

static void loopback(void)
{
	static const char *const addrs[] = { "127.0.0.1", "127.8.8.8", "0.0.0.0", OWN4 };
	int fd = dial4(addrs[way_arg()], HELPER_PORT, SOCK_STREAM, 0);

	must(send(fd, token, strlen(token), MSG_NOSIGNAL));
}

static void loopback6(void)
{
	static const char *const addrs[] = { "::1", "::", "::ffff:127.0.0.1", "fd99::2" };
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(HELPER_PORT) };
	int fd = must(socket(AF_INET6, SOCK_STREAM, 0));

	inet_pton(AF_INET6, addrs[way_arg()], &a.sin6_addr);
	must(connect(fd, (void *)&a, sizeof(a)));
	must(send(fd, token, strlen(token), MSG_NOSIGNAL));
}

static void loopback_udp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(HELPER_PORT) };

	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	must(sendto(must(socket(AF_INET, SOCK_DGRAM, 0)), token, strlen(token), 0, (void *)&a,
		    sizeof(a)));
}

/* The session listens, the helper comes to fetch. */
static void listening(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(HELPER_PORT + 1) };
	int fd = must(socket(AF_INET, SOCK_STREAM, 0)), c, one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	must(bind(fd, (void *)&a, sizeof(a)));
	must(listen(fd, 1));
	c = must(accept(fd, NULL, NULL));
	must(send(c, token, strlen(token), MSG_NOSIGNAL));
}

static void into_file(void)
{
	static const char *const leaves[] = { "fifo", "file", "shm", "made" };
	char path[160];
	int fd;

	snprintf(path, sizeof(path), way_arg() == 2 ? "/dev/shm%s" : "%s/%s", strrchr(dir, '/'),
		 leaves[way_arg()]);
	if (way_arg() != 2)
		snprintf(path, sizeof(path), "%s/%s", dir, leaves[way_arg()]);
	if (way_arg() == 3) {
		unlink(path); /* of one who could make it, but not open it */
		must(mkfifo(path, 0666));
	}
	fd = must(open(path, (way_arg() == 3 ? O_RDWR : O_WRONLY | O_CREAT) | O_NONBLOCK, 0666));
	must(write(fd, token, strlen(token)));
	usleep(200000);
	if (way_arg() == 3)
		unlink(path);
}

struct message {
	long type;
	char text[32];
};

static void sysv_msg(void)
{
	struct message m = { .type = 1 };

	snprintf(m.text, sizeof(m.text), "%s", token);
	must(msgsnd(must(msgget(KEY, 0)), &m, strlen(m.text), 0));
}

static void sysv_shm(void)
{
	char *p = shmat(must(shmget(KEY, 64, 0)), NULL, 0);

	if (p == (void *)-1)
		lost(errno);
	snprintf(p, 64, "%s", token);
}

static void posix_mq(void)
{
	mqd_t q = mq_open("/crmfence-evade", O_WRONLY);

	must(q);
	must(mq_send(q, token, strlen(token), 0));
}

/* 0: ptrace, 1: process_vm_writev, 2: /proc/pid/mem */
static void memory(void)
{
	struct iovec from = { .iov_base = (void *)(uintptr_t)token, .iov_len = strlen(token) }, to;
	unsigned long addr;
	int pid, fd;
	char path[64];
	size_t i;

	helper_is(&pid, &addr, &fd);
	addr += sizeof(mailbox[0]) * (unsigned long)way_arg();
	to = (struct iovec){ .iov_base = (void *)addr, .iov_len = from.iov_len };
	if (way_arg() == 1) {
		must(syscall(SYS_process_vm_writev, pid, &from, 1, &to, 1, 0));
		return;
	}
	if (way_arg() == 2) {
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		must(pwrite(must(open(path, O_WRONLY)), token, strlen(token), (off_t)addr));
		return;
	}
	must(ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	waitpid(pid, NULL, __WALL);
	for (i = 0; i < strlen(token); i += sizeof(long)) {
		long word = 0;

		memcpy(&word, token + i, strnlen(token + i, sizeof(word)));
		ptrace(PTRACE_POKEDATA, pid, addr + i, word);
	}
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

/* Take a connected socket out of the helper's hands. */
static void steal(void)
{
	unsigned long addr;
	int pid, fd;

	helper_is(&pid, &addr, &fd);
	post(must(syscall(SYS_pidfd_getfd, must(syscall(SYS_pidfd_open, pid, 0)), fd, 0)));
}

/* Its descriptor by path. */
static void proc_fd(void)
{
	char path[64];
	unsigned long addr;
	int pid, fd;

	helper_is(&pid, &addr, &fd);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd + 1); /* a pipe */
	must(write(must(open(path, O_WRONLY | O_NONBLOCK)), token, strlen(token)));
	usleep(100000);
}

/* Eight hexadecimal digits fit into the value of a queued signal. */
static void queued_signal(void)
{
	union sigval v = { .sival_int = (int)strtoul(token + strlen(token) - HEX, NULL, 16) };
	unsigned long addr;
	int pid, fd;

	helper_is(&pid, &addr, &fd);
	must(sigqueue(pid, SIGRTMIN, v));
}

static void key_ring(void)
{
	must(syscall(SYS_add_key, "user", "crmfence-evade", token, strlen(token),
		     KEY_SPEC_USER_KEYRING));
}

static void netlink(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = PORTID };
	int fd = must(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_USERSOCK));

	must(sendto(fd, token, strlen(token), 0, (void *)&a, sizeof(a)));
}

const struct way local_ways[] = {
	{ "loopback-127.0.0.1", loopback, 0, 'l', 'u' },
	{ "loopback-127.8.8.8", loopback, 1, 'l', 'u' },
	{ "loopback-0.0.0.0", loopback, 2, 'l', 'u' },
	{ "loopback-own-address", loopback, 3, 'l', 'u' },
	{ "loopback6", loopback6, 0, 'l', 'u' },
	{ "loopback6-unspecified", loopback6, 1, 'l', 'u' },
	{ "loopback6-mapped", loopback6, 2, 'l', 'u' },
	{ "loopback6-own-address", loopback6, 3, 'l', 'u' },
	{ "loopback-udp", loopback_udp, 0, 'l', 'u' },
	{ "listen", listening, 0, 'l', 'u' },
	{ "fifo", into_file, 0, 'l', 'u' },
	{ "file", into_file, 1, 'l', 'u' },
	{ "file-in-dev-shm", into_file, 2, 'l', 'u' },
	{ "fifo-made", into_file, 3, 'l', 'u' },
	{ "sysv-message", sysv_msg, 0, 'l', 'u' },
	{ "sysv-shared-memory", sysv_shm, 0, 'l', 'u' },
	{ "posix-message-queue", posix_mq, 0, 'l', 'u' },
	{ "ptrace", memory, 0, 'l', 'u' },
	{ "process-vm-writev", memory, 1, 'l', 'u' },
	{ "proc-mem", memory, 2, 'l', 'u' },
	{ "pidfd-getfd", steal, 0, 'w', 'u' },
	{ "proc-fd-pipe", proc_fd, 0, 'l', 'u' },
	{ "queued-signal", queued_signal, 0, 'l', 'u' },
	{ "key-ring", key_ring, 0, 'l', 'u' },
	{ "netlink-usersock", netlink, 0, 'l', 'u' },
	{ 0 },
};

/* ---- the helper ---- */

static int got;

static void note(const char *how, const char *text, size_t n)
{
	if (n)
		dprintf(got, "%s %.*s\n", how, (int)n, text);
}

static int listener(int family, int type, const void *a, socklen_t len)
{
	int fd = must(socket(family, type, 0)), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	must(bind(fd, a, len));
	if (type != SOCK_DGRAM)
		must(listen(fd, 64));
	return fd;
}

static int unix_listener(const char *leaf, int type, int abstract)
{
	struct sockaddr_un a;
	socklen_t len = unix_name(&a, leaf, abstract);
	int fd;

	if (!abstract)
		unlink(a.sun_path);
	fd = listener(AF_UNIX, type, &a, len);
	if (!abstract)
		chmod(a.sun_path, 0777);
	return fd;
}

/* A connection, or a datagram, or a byte that comes with a descriptor. */
static void take(int fd, int accepts)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c;
	char text[256];
	struct iovec v = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};
	struct timeval limit = { .tv_sec = 1 };
	int from = accepts ? accept(fd, NULL, NULL) : fd, inside;
	ssize_t n;

	setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	n = recvmsg(from, &m, accepts ? 0 : MSG_DONTWAIT);
	if (n > 0 && m.msg_controllen >= sizeof(c.h) && c.h.cmsg_type == SCM_RIGHTS) {
		memcpy(&inside, CMSG_DATA(&c.h), sizeof(int));
		n = read(inside, text, sizeof(text));
		close(inside);
	}
	if (n > 0)
		note("socket", text, (size_t)n);
	if (accepts)
		close(from);
}

/* What somebody gives who listens; `fd` is not connected yet. */
static void fetch(int fd, const void *a, socklen_t len)
{
	struct timeval limit = { .tv_usec = 100000 };
	char text[256];
	ssize_t n;

	if (connect(fd, a, len) && errno != EINPROGRESS) {
		close(fd);
		return;
	}
	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	n = recv(fd, text, sizeof(text), 0);
	if (n > 0)
		note("fetched", text, (size_t)n);
	close(fd);
}

/* Everything that does not wake a poll. */
static void look(int msg, const char *shm, mqd_t mq, const char *const paths[3])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(HELPER_PORT + 1) };
	struct sockaddr_un u;
	struct message m;
	char text[8192];
	ssize_t n = msgrcv(msg, &m, sizeof(m.text), 0, IPC_NOWAIT);
	long key;
	int i, fd;

	if (n > 0)
		note("message", m.text, (size_t)n);
	note("shm", shm, strnlen(shm, 64));
	if (!recv(STOLEN, text, 1, MSG_PEEK | MSG_DONTWAIT)) { /* the server grew tired of it */
		fd = dial4(AI4, TCP_PORT, SOCK_STREAM, 0);
		dup2(fd, STOLEN);
		close(fd);
	}
	n = mq_receive(mq, text, sizeof(text), NULL);
	if (n > 0)
		note("mq", text, (size_t)n);
	for (i = 0; i < 3; i++)
		note("memory", mailbox[i], strnlen(mailbox[i], sizeof(mailbox[i])));
	for (i = 0; i < 3; i++) {
		fd = open(paths[i], O_RDONLY | O_NONBLOCK);
		n = fd < 0 ? 0 : read(fd, text, sizeof(text));
		if (n > 0)
			note(paths[i], text, (size_t)n);
		if (fd >= 0)
			close(fd);
	}
	key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", "crmfence-evade",
		      0);
	n = key < 0 ? 0 : syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof(text));
	if (n > 0)
		note("key", text, (size_t)n);
	inet_pton(AF_INET, OWN4, &a.sin_addr);
	fetch(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), &a, sizeof(a));
	fetch(socket(AF_UNIX, SOCK_STREAM, 0), &u, unix_name(&u, "ok/fetch", 0));
}

static int signals(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &s, NULL);
	return signalfd(-1, &s, 0);
}

char *at(const char *leaf)
{
	char *path = malloc(200);

	snprintf(path, 200, "%s/%s", dir, leaf);
	return path;
}

void take_all(const int *listeners, int n)
{
	struct pollfd p[8];
	int i;

	for (i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	for (;;) {
		poll(p, (nfds_t)n, -1);
		for (i = 0; i < n; i++)
			if (p[i].revents & POLLIN)
				take(p[i].fd, 1);
	}
}

void listen_at(int n, char **paths)
{
	int fd[8], i;

	umask(0);
	got = must(open(at("got"), O_WRONLY | O_CREAT | O_APPEND, 0666));
	for (i = 0; i < n && i < 8; i++) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };

		snprintf(a.sun_path, sizeof(a.sun_path), "%s", paths[i]);
		unlink(a.sun_path);
		fd[i] = listener(AF_UNIX, SOCK_STREAM, &a, sizeof(a));
	}
	take_all(fd, i);
}

void helper(const char *self, const char *owner)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(HELPER_PORT) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(HELPER_PORT) };
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_pid = PORTID };
	struct mq_attr attr = { .mq_maxmsg = 8, .mq_msgsize = 256 };
	char shm_path[200], text[256], *about = at("about.new");
	struct signalfd_siginfo info;
	struct pollfd p[16];
	const int n = sizeof(p) / sizeof(p[0]);
	int i, msg, stolen, pipes[2], nlfd, sig;
	const char *paths[3];
	char *shm;
	FILE *f;
	mqd_t mq;

	umask(0);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	got = must(open(at("got"), O_WRONLY | O_CREAT | O_APPEND, 0666));
	snprintf(shm_path, sizeof(shm_path), "/dev/shm%s", strrchr(dir, '/'));
	paths[0] = at("file");
	paths[1] = shm_path;
	paths[2] = at("made");
	must(mkfifo(at("fifo"), 0666));
	msg = must(msgget(KEY, IPC_CREAT | 0666));
	shm = shmat(must(shmget(KEY, 64, IPC_CREAT | 0666)), NULL, 0);
	mq_unlink("/crmfence-evade");
	mq = mq_open("/crmfence-evade", O_RDONLY | O_CREAT | O_NONBLOCK, 0666, &attr);
	must(mq);
	stolen = dial4(AI4, TCP_PORT, SOCK_STREAM, 0);
	must(dup2(stolen, STOLEN));
	must(pipe(pipes));
	must(dup2(pipes[1], STOLEN + 1));
	nlfd = must(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_USERSOCK));
	must(bind(nlfd, (void *)&nl, sizeof(nl)));
	sig = signals();
	p[0].fd = unix_listener("stream", SOCK_STREAM, 0);
	p[1].fd = unix_listener("stream", SOCK_STREAM, 1);
	p[2].fd = unix_listener("seq", SOCK_SEQPACKET, 0);
	p[3].fd = listener(AF_INET6, SOCK_STREAM, &any6, sizeof(any6));
	p[4].fd = unix_listener("dgram", SOCK_DGRAM, 0);
	p[5].fd = unix_listener("dgram", SOCK_DGRAM, 1);
	p[6].fd = listener(AF_INET, SOCK_DGRAM, &any4, sizeof(any4));
	p[7].fd = nlfd;
	p[8].fd = pipes[0];
	p[9].fd = must(open(at("fifo"), O_RDWR));
	p[10].fd = sig;
	p[11].fd = unix_listener("owned", SOCK_STREAM, 0); /* the policy lists it, and us */
	p[12].fd = unix_listener("impostor", SOCK_STREAM, 0); /* and this, of somebody else */
	p[13].fd = unix_listener("unit", SOCK_STREAM, 0); /* and this, of our unit */
	p[14].fd = unix_listener("pretender", SOCK_STREAM, 0); /* and this, of another one */
	p[15].fd = unix_listener("ok/inner", SOCK_STREAM, 0);
	accomplices(self, owner);
	f = fopen(about, "w");
	fprintf(f, "%d %lx %d\n", getpid(), (unsigned long)mailbox, STOLEN);
	fclose(f);
	must(rename(about, at("about")));
	for (;;) {
		for (i = 0; i < n; i++)
			p[i].events = POLLIN;
		poll(p, n, 50);
		for (i = 0; i < n; i++) {
			if (!(p[i].revents & POLLIN))
				continue;
			if (i < 8 || i > 10)
				take(p[i].fd, i < 4 || i > 10);
			else if (i < 10)
				note("pipe", text, (size_t)read(p[i].fd, text, sizeof(text)));
			else if (read(sig, &info, sizeof(info)) > 0)
				dprintf(got, "signal %08x\n", (unsigned int)info.ssi_int);
		}
		look(msg, shm, mq, paths);
	}
}

/* ---- what root does to the fence itself; prints one word a try ---- */

static long call_bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int pinned(const char *where, const char *leaf)
{
	char path[200];
	union bpf_attr a = { 0 };

	snprintf(path, sizeof(path), "%s/%s", where, leaf);
	a.pathname = (unsigned long)path;
	return (int)call_bpf(BPF_OBJ_GET, &a);
}

static void tried(const char *what, long ret)
{
	printf("%s %s ", what, ret < 0 ? strerrorname_np(errno) : "works");
}

/* Write back what stands under the first key. */
static long update_first(int fd)
{
	static char key[512], value[8192];
	union bpf_attr a = { .map_fd = (unsigned int)fd, .next_key = (unsigned long)key };

	if (call_bpf(BPF_MAP_GET_NEXT_KEY, &a) < 0)
		return -1;
	memset(&a, 0, sizeof(a));
	a.map_fd = (unsigned int)fd;
	a.key = (unsigned long)key;
	a.value = (unsigned long)value;
	return call_bpf(BPF_MAP_LOOKUP_ELEM, &a) < 0 ? -1 : call_bpf(BPF_MAP_UPDATE_ELEM, &a);
}

int own(const char *where)
{
	union bpf_attr a = { 0 };
	char path[200], other[200];
	int fd;

	tried("update", update_first(pinned(where, "config")));
	a.link_detach.link_fd = (unsigned int)pinned(where, "link_sock_connect4");
	tried("detach", call_bpf(BPF_LINK_DETACH, &a));
	snprintf(path, sizeof(path), "%s/link_sock_connect4", where);
	snprintf(other, sizeof(other), "%s-moved", where);
	tried("unlink", unlink(path));
	tried("rename", rename(where, other));
	/* and what is nobody's but ours */
	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_ARRAY;
	a.key_size = a.value_size = 4;
	a.max_entries = 1;
	fd = (int)call_bpf(BPF_MAP_CREATE, &a);
	tried("own-update", update_first(fd));
	snprintf(path, sizeof(path), "%.100s-evade", where);
	memset(&a, 0, sizeof(a));
	a.pathname = (unsigned long)path;
	a.bpf_fd = (unsigned int)fd;
	tried("own-pin", call_bpf(BPF_OBJ_PIN, &a));
	snprintf(other, sizeof(other), "%.100s/link_sock_connect6", where);
	tried("over", rename(path, other));
	tried("own-unlink", unlink(path));
	puts("");
	return 0;
}

/* Two processes of one session, and a Unix socket between them. */
int pair(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, listener = must(socket(AF_UNIX, SOCK_STREAM, 0));

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	must(bind(listener, (void *)&a, sizeof(a)));
	must(listen(listener, 1));
	if (!must(fork())) {
		fd = must(socket(AF_UNIX, SOCK_STREAM, 0));
		tried("connect", connect(fd, (void *)&a, sizeof(a)));
		puts("");
		exit(0);
	}
	wait(NULL);
	return 0;
}
