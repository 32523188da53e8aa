// SPDX-License-Identifier: Apache-2.0
/*
 * look: the process that looks into files has no rights, lives on when one of them ends it, and
 * answers in the order of the questions.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/look.h"
#include "base/buf.h"
#include "base/cleanup.h"

#define LIBSSL "/usr/lib/x86_64-linux-gnu/libssl.so.3"
#define PATIENCE_MS 15000

static int failed;

static void must(int holds, const char *what)
{
	if (!holds)
		printf("not so: %s\n", what);
	failed |= !holds;
}

static void ask(struct look *l, const char *path, uint32_t id)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct offsets_file f;
	struct stat st;

	must(fd >= 0 && !fstat(fd, &st), path);
	offsets_file(&f, &st);
	must(!look_ask(l, fd, &f, id), path);
}

/* A library that is cut short while it is looked into: its size is what it was. */
static void ask_short(struct look *l, uint32_t id)
{
	AUTO_BUF struct fence_buf b = { 0 };
	AUTO_FD int fd = memfd_create("short", MFD_CLOEXEC);
	struct offsets_file f = { 0 };

	must(!fence_buf_read_file(&b, LIBSSL, 1u << 24), LIBSSL);
	f.size = b.len;
	must(b.len > 8192 && write(fd, b.data, 8192) == 8192 && !look_ask(l, fd, &f, id),
	     "a short file");
}

static struct look_answer next(struct look *l)
{
	struct pollfd p = { .fd = look_fd(l), .events = POLLIN };
	struct look_answer a = { 0 };

	if (poll(&p, 1, PATIENCE_MS) != 1 || !look_next(l, &a))
		a.err = -ETIMEDOUT;
	return a;
}

/* What is kept of a file is taken when the file is the same, and has the build id it had. */
static void kept(const struct fence_tls_points *points)
{
	static struct offsets known;
	struct fence_tls_points p = *points;
	struct look_answer a;
	struct look *l;
	struct stat st;
	int i;

	for (i = 0; i < 3; i++) {
		known.count = 1;
		must(!stat(LIBSSL, &st), LIBSSL);
		offsets_file(&known.at[0].file, &st);
		known.at[0].file.changed += i == 1;
		snprintf(p.how, sizeof(p.how), "kept");
		p.build_id[0] = (uint8_t)(points->build_id[0] ^ (i == 2));
		known.at[0].points = p;
		if (look_start(&known, &l)) {
			must(0, "it starts");
			return;
		}
		ask(l, LIBSSL, 1);
		a = next(l);
		must(!a.err && a.known == !i && !strcmp(a.points.how, "kept") == !i &&
			     a.points.count == points->count,
		     i == 0   ? "what is kept is known"
		     : i == 1 ? "a changed file is looked into"
			      : "a file with another build id is looked into");
		look_stop(l);
	}
}

/* Of the descendants of this process: what /proc/PID/status says of each. */
static int rights(unsigned int *count, pid_t pids[2])
{
	static const char *const lines[] = { "Uid:\t65534\t65534\t65534\t65534",
					     "CapEff:\t0000000000000000", "NoNewPrivs:\t1" };
	char path[64];
	int ok = 1, pid, parent;
	size_t i;

	for (pid = getpid() + 1; pid < getpid() + 200; pid++) { /* they were started just now */
		AUTO_BUF struct fence_buf b = { 0 };
		const char *at;

		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		if (fence_buf_read_file(&b, path, 65536) ||
		    !strstr(fence_buf_text(&b), "crmfenced-look"))
			continue;
		at = strstr(fence_buf_text(&b), "PPid:");
		parent = at ? atoi(at + 5) : 0;
		(*count)++;
		for (i = 0; i < ARRAY_SIZE(lines); i++)
			ok &= !!strstr(fence_buf_text(&b), lines[i]);
		pids[parent != getpid()] = pid; /* who keeps it; who looks */
		if (parent != getpid())
			ok &= !!strstr(fence_buf_text(&b), "Seccomp:\t2");
	}
	return ok;
}

int main(void)
{
	static const struct offsets none;
	struct fence_tls_points found;
	unsigned int count = 0;
	struct look_answer a;
	pid_t pids[2] = { 0 };
	struct look *l;

	if (look_start(&none, &l))
		return 1;
	ask(l, LIBSSL, 7);
	a = next(l);
	must(a.id == 7 && !a.err && a.points.stack == FENCE_TLS_OPENSSL && a.points.count > 2 &&
		     a.points.build_id_len == FENCE_BUILD_ID && !a.known,
	     "libssl's stack is found");
	found = a.points;
	must(rights(&count, pids) && count == 2, "two processes without rights");
	ask_short(l, 1);
	ask(l, "/etc/passwd", 2);
	ask(l, LIBSSL, 3);
	must(look_asked(l) == 3, "three are asked");
	a = next(l);
	must(a.id == 1 && a.err == -EIO, "who reads behind the end ends");
	a = next(l);
	must(a.id == 2 && a.err == -ENOEXEC, "a text is no program");
	a = next(l);
	must(a.id == 3 && !a.err, "another one goes on");
	must(!look_asked(l) && !look_next(l, &a), "no more answers than questions");
	/* the first answer is of another process than the one that was met above */
	count = 0;
	must(rights(&count, pids) && count == 2 && !kill(pids[0], SIGKILL) &&
		     waitpid(pids[0], NULL, 0) == pids[0],
	     "the keeper is killed");
	ask(l, LIBSSL, 4);
	a = next(l);
	must(a.id == 4 && !a.err, "who looks goes on alone");
	must(!kill(pids[1], SIGSTOP), "it is stopped");
	ask(l, LIBSSL, 5);
	must(!kill(pids[1], SIGKILL), "it is killed");
	a = next(l);
	must(a.id == 5 && a.err == -EIO && look_fd(l) < 0, "what was asked has an answer");
	must(!look_next(l, &a) && look_ask(l, 0, &none.at[0].file, 6) == -EPIPE,
	     "nobody is asked any more");
	look_stop(l);
	kept(&found);
	if (!failed)
		printf("9 questions, two of which ended who looked\n");
	return failed;
}
