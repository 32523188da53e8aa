// SPDX-License-Identifier: Apache-2.0
/*
 * Unix sockets: those that the policy does not list, and names of those that it lists made to lead
 * elsewhere, by the session itself or by an accomplice outside it.
 */
#include "evade.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

socklen_t unix_name(struct sockaddr_un *a, const char *leaf, int abstract)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path + abstract, sizeof(a->sun_path) - 1, "%s/%s", dir, leaf);
	return (socklen_t)(2 + abstract + strlen(a->sun_path + abstract) + !abstract);
}

static void unix_stream(void)
{
	struct sockaddr_un a;
	static const char *const leaf[] = { "stream",	     "stream", "owned",	     "",
					    "impostor",	     "",       "unit",	     "",
					    "pretender",     "",       "disguised",  "",
					    "forged/proved", "",       "forged-unit" };
	socklen_t len = unix_name(&a, leaf[way_arg()], way_arg() & 1);
	int fd = must(socket(AF_UNIX, SOCK_STREAM, 0));

	must(connect(fd, (void *)&a, len));
	must(send(fd, token, strlen(token), MSG_NOSIGNAL));
}

/* Where root listens: `proved` by that alone, `listed` also by its name (tests/vm/evasion.json). */
#define ROOTS "/run/crmfence-evade"

static void post_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = must(socket(AF_UNIX, SOCK_STREAM, 0));

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	must(connect(fd, (void *)&a, sizeof(a)));
	must(send(fd, token, strlen(token), MSG_NOSIGNAL));
}

static void unix_roots(void)
{
	static const char *const path[] = { ROOTS "/proved", ROOTS "/listed",
					    "/run/user/65534/pulse/native" };

	post_to(path[way_arg()]);
}

/* A name that is listed, or is taken for one, leads to the helper. */
static void alias_to_helper(const char *path)
{
	char helpers[160];

	snprintf(helpers, sizeof(helpers), "%s/stream", dir);
	unlink(path);
	must(symlink(helpers, path));
}

static void unix_alias(void)
{
	/* by the number of ROOTS "/listed" without a key: tests/unit test_hash_collision */
	static const char collides[] = "/tmp/cf80a4\076\227\044\074\065\073\044\346\167\026\001"
				       "\033\055\342\015\062\022\024\042\111";
	char path[160];

	snprintf(path, sizeof(path), "%s/ok/%s", dir, way_arg() == 1 ? "claimed" : "absent");
	if (way_arg() == 2)
		snprintf(path, sizeof(path), "%s", collides);
	alias_to_helper(path);
	post_to(path);
	unlink(path);
}

/* The session listens, the helper comes to fetch. */
static void unix_fetched(void)
{
	struct sockaddr_un a;
	socklen_t len = unix_name(&a, "ok/fetch", 0);
	int fd = must(socket(AF_UNIX, SOCK_STREAM, 0)), c;

	unlink(a.sun_path);
	must(bind(fd, (void *)&a, len));
	chmod(a.sun_path, 0777);
	must(listen(fd, 1));
	c = must(accept(fd, NULL, NULL));
	must(send(c, token, strlen(token), MSG_NOSIGNAL));
	unlink(a.sun_path);
}

/* One socket of its own at the name, until the agent has seen it there; then the helper's. */
static void unix_unproved(void)
{
	struct sockaddr_un a;
	socklen_t len = unix_name(&a, "ok/exchanged", 0);
	char next[160];

	snprintf(next, sizeof(next), "%s/ok/next", dir);
	unlink(a.sun_path);
	must(bind(must(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, len));
	sleep(3);
	alias_to_helper(next);
	must(rename(next, a.sun_path));
	post_to(a.sun_path);
	unlink(a.sun_path);
}

static void map_one(const char *file, const char *format, unsigned int id)
{
	char line[32];
	int fd = must(open(file, O_WRONLY));

	snprintf(line, sizeof(line), format, id);
	must(write(fd, line, strlen(line)));
	close(fd);
}

/* Root of a user namespace, with files to make where `mapped`. */
static void user_namespace(int also, int mapped)
{
	unsigned int uid = getuid(), gid = getgid();

	must(unshare(CLONE_NEWUSER | also));
	if (!mapped)
		return;
	map_one("/proc/self/uid_map", "0 %u 1", uid);
	map_one("/proc/self/setgroups", "deny", 0);
	map_one("/proc/self/gid_map", "0 %u 1", gid);
}

/*
 * Who made the socket has ended, and his number is free: a process of the session's takes it. Where
 * numbers do not come round in time it is as any other socket.
 */
static void unix_reused(void)
{
	int pid, near, left = 4000, child;
	char path[160];
	FILE *f;

	f = fopen(at("reused-by"), "r");
	if (!f || fscanf(f, "%d", &pid) != 1)
		lost(ESRCH);
	snprintf(path, sizeof(path), "%s/reused", dir);
	for (near = 0; left--; near = child < pid && child > pid - 8) {
		child = must(near ? fork() : vfork()); /* which is sooner done */
		if (!child && getpid() != pid)
			_exit(0);
		if (!child) {
			post_to(path);
			return; /* and it says so */
		}
		waitpid(child, NULL, 0);
		if (near && child == pid)
			_exit(0);
	}
	post_to(path);
}

/* A directory of its own becomes the root: there the name leads to a link of the helper's socket.
 */
static void unix_chroot(void)
{
	char path[200], inner[160];

	snprintf(inner, sizeof(inner), "%s/ok/inner", dir);
	snprintf(path, sizeof(path), "%s/ok/root", dir);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/ok/root/run", dir);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/ok/root" ROOTS, dir);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/ok/root" ROOTS "/proved", dir);
	unlink(path);
	must(link(inner, path));
	snprintf(path, sizeof(path), "%s/ok/root", dir);
	user_namespace(0, 0);
	must(chroot(path));
	post_to(ROOTS "/proved");
}

/* Its own file system over the directory. */
static void unix_mounted(void)
{
	user_namespace(CLONE_NEWNS, 1);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount("none", "/run", "tmpfs", 0, NULL));
	must(mkdir(ROOTS, 0777));
	alias_to_helper(ROOTS "/proved");
	post_to(ROOTS "/proved");
}

static void unix_seqpacket(void)
{
	struct sockaddr_un a;
	socklen_t len = unix_name(&a, "seq", 0);
	int fd = must(socket(AF_UNIX, SOCK_SEQPACKET, 0));

	must(connect(fd, (void *)&a, len));
	must(send(fd, token, strlen(token), MSG_NOSIGNAL));
}

static void unix_dgram(void)
{
	struct sockaddr_un a;
	socklen_t len = unix_name(&a, "dgram", way_arg() & 1);
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));

	if (way_arg() & 2) {
		must(connect(fd, (void *)&a, len));
		must(send(fd, token, strlen(token), 0));
	} else {
		must(sendto(fd, token, strlen(token), 0, (void *)&a, len));
	}
}

/* A descriptor in the mail: the read end of a pipe that holds the token. */
static void unix_rights(void)
{
	struct sockaddr_un a;
	socklen_t len = unix_name(&a, "stream", 0);
	int fd = must(socket(AF_UNIX, SOCK_STREAM, 0)), p[2];

	must(connect(fd, (void *)&a, len));
	must(pipe(p));
	must(write(p[1], token, strlen(token)));
	must(hand_over(fd, p[0]));
}

/* An accomplice in namespaces of his own: `from` is mounted over `to` there, and he begins anew. */
static void accomplice(const char *from, const char *to, const char *program, const char *path)
{
	char *args[] = { (char *)program, (char *)"listener", (char *)dir, (char *)path, NULL };

	if (must(fork()))
		return;
	user_namespace(CLONE_NEWNS, 1);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount(from, to, NULL, MS_BIND, NULL));
	execv(program, args);
	lost(errno);
}

/* He who listened ends, and another one goes on. */
static void orphan(const char *path)
{
	struct sockaddr_un a;
	socklen_t len = unix_name(&a, path, 0);
	int fd, pid;
	FILE *f;

	/* numbers below 300 are not given out again */
	for (pid = must(fork()); pid && pid < 320; pid = must(fork()))
		waitpid(pid, NULL, 0);
	if (!pid && getpid() < 320)
		_exit(0);
	if (pid) {
		waitpid(pid, NULL, 0);
		f = fopen(at("reused-by"), "w");
		fprintf(f, "%d\n", pid);
		fclose(f);
		return;
	}
	fd = must(socket(AF_UNIX, SOCK_STREAM, 0));
	unlink(a.sun_path);
	must(bind(fd, (void *)&a, len));
	must(listen(fd, 16));
	if (fork())
		_exit(0);
	take_all(&fd, 1);
}

/* One of them has the owner's path, one the path where none but root can listen. */
void accomplices(const char *self, const char *owner)
{
	orphan("reused");
	mkdir(at("forged"), 0777);
	accomplice(self, owner, owner, at("disguised"));
	accomplice(at("forged"), ROOTS, self, ROOTS "/proved");
}

const struct way unix_ways[] = {
	{ "unix-stream", unix_stream, 0, 'l', 'u' },
	{ "unix-abstract", unix_stream, 1, 'l', 'u' },
	{ "unix-owned", unix_stream, 2, 'l', 'u' },
	{ "unix-impostor", unix_stream, 4, 'l', 'u' },
	{ "unix-unit", unix_stream, 6, 'l', 'u' },
	{ "unix-pretender", unix_stream, 8, 'l', 'u' },
	{ "unix-disguised", unix_stream, 10, 'l', 'u' },
	{ "unix-forged", unix_stream, 12, 'l', 'u' },
	{ "unix-forged-unit", unix_stream, 14, 'l', 'u' },
	{ "unix-reused", unix_reused, 0, 'l', 'u' },
	{ "unix-proved", unix_roots, 0, 'l', 'u' },
	{ "unix-listed", unix_roots, 1, 'l', 'u' },
	{ "unix-curated", unix_roots, 2, 'l', 'u' }, /* of the list "audio" */
	{ "unix-alias", unix_alias, 0, 'l', 'u' },
	{ "unix-alias-unproved", unix_alias, 1, 'l', 'u' },
	{ "unix-collision", unix_alias, 2, 'l', 'u' },
	{ "unix-unproved", unix_unproved, 0, 'l', 'u' },
	{ "unix-fetched", unix_fetched, 0, 'l', 'u' },
	{ "unix-chroot", unix_chroot, 0, 'l', 'u' },
	{ "unix-mounted", unix_mounted, 0, 'l', 'u' },
	{ "unix-seqpacket", unix_seqpacket, 0, 'l', 'u' },
	{ "unix-dgram", unix_dgram, 0, 'l', 'u' },
	{ "unix-dgram-abstract", unix_dgram, 1, 'l', 'u' },
	{ "unix-dgram-connected", unix_dgram, 2, 'l', 'u' },
	{ "unix-rights-out", unix_rights, 0, 'l', 'u' },
	{ 0 },
};
