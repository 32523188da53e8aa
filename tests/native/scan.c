// SPDX-License-Identifier: Apache-2.0
/*
 * scan: files are read by a process that can write none, within its time; a hash is of the file
 * that was asked about; who breaks or ends a child costs that question alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/scan.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/exe.h"

#define PATIENCE_MS 30000

static int failed;
static char dir[] = "/tmp/crmfence-scan-XXXXXX";

static void must(int holds, const char *what)
{
	if (!holds)
		printf("not so: %s\n", what);
	failed |= !holds;
}

static struct scan_question about(const char *path, uint32_t id)
{
	struct scan_question q = { .kind = SCAN_HASH, .id = id, .uid = 1000 };
	struct stat st = { 0 };

	stat(path, &st);
	q.file = (struct scan_file){ .dev = major(st.st_dev) << 20 | minor(st.st_dev),
				     .ino = st.st_ino,
				     .size = (uint64_t)st.st_size,
				     .changed = (uint64_t)st.st_ctim.tv_sec * 1000000000 +
						(uint64_t)st.st_ctim.tv_nsec };
	snprintf(q.path, sizeof(q.path), "%s", path);
	return q;
}

/* The next part of an answer; ETIMEDOUT of our own is -ETIME. */
static struct scan_answer next(struct scan *s)
{
	struct pollfd p = { .fd = scan_fd(s), .events = POLLIN };
	struct scan_answer a = { 0 };

	while (!scan_next(s, &a)) {
		if (poll(&p, 1, PATIENCE_MS) != 1) {
			a.err = -ETIME;
			break;
		}
		p.fd = scan_fd(s);
	}
	return a;
}

static const char *file(const char *name, const char *text)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	must(f && fputs(text, f) >= 0 && !fclose(f), path);
	return path;
}

static int asks(struct scan *s, const struct scan_question *q)
{
	must(!scan_ask(s, q), "it is asked");
	return next(s).err;
}

static void hashes(struct scan *s)
{
	/* sha256 of "abc", FIPS 180-2 B.1 */
	static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea };
	struct scan_question q = about(file("abc", "abc"), 7), changed = q;
	struct scan_hash h;
	struct scan_answer a;
	char path[128];

	must(!scan_ask(s, &q), "it is asked");
	a = next(s);
	must(a.id == 7 && a.kind == SCAN_HASH && !a.err && a.last && a.len == sizeof(h),
	     "a file is hashed");
	memcpy(&h, a.data, sizeof(h) < a.len ? sizeof(h) : a.len);
	must(!memcmp(h.sha, abc, sizeof(abc)) && !memcmp(&h.is, &q.file, sizeof(h.is)),
	     "its hash, and what it is of");
	changed.file.changed--;
	must(asks(s, &changed) == -ESTALE, "another ctime is another file");
	changed = q;
	changed.file.size++;
	must(asks(s, &changed) == -ESTALE, "another size is another file");
	changed = q;
	changed.file.ino++;
	must(asks(s, &changed) == -ENOENT, "another inode is another file");
	changed.file = (struct scan_file){ .ino = q.file.ino };
	must(!asks(s, &changed), "of what nobody saw begin, the inode is enough");

	q = about(file("huge", ""), 1);
	must(!truncate(q.path, 200LL << 30), "a sparse file");
	q = about(q.path, 1);
	must(asks(s, &q) == -EFBIG, "200 GB are not read");
	snprintf(path, sizeof(path), "%s/fifo", dir);
	must(!mkfifo(path, 0666), path);
	q = about(path, 1);
	must(asks(s, &q) == -EINVAL, "a FIFO is not opened");
	q = about("/dev/zero", 1);
	must(asks(s, &q) == -EINVAL, "a device is not opened");
	snprintf(path, sizeof(path), "%s/gone", dir);
	q = about(path, 1);
	q.file.ino = 1;
	must(asks(s, &q) == -ENOENT, "what is gone is gone");
	q.file.ino = 0;
	memset(q.path, 'x', sizeof(q.path));
	must(asks(s, &q) == -EINVAL, "a question that is none");
}

static void looks(struct scan *s)
{
	struct scan_question q = { .kind = SCAN_LOOK };
	char link[128];
	struct fence_exe own;
	struct scan_answer a;
	static const char *const paths[] = { "/bin/sh", "/etc/passwd", "/nowhere/at/all", "/" };
	size_t i;

	snprintf(link, sizeof(link), "%s/link", dir);
	must(!symlink("/bin/sh", link), link);
	for (i = 0; i <= ARRAY_SIZE(paths); i++) {
		snprintf(q.path, sizeof(q.path), "%s", i < ARRAY_SIZE(paths) ? paths[i] : link);
		fence_exe_look(q.path, &own);
		must(!scan_ask(s, &q), "it is asked");
		a = next(s);
		must(!a.err && a.len == sizeof(own) &&
			     fence_exe_same((const struct fence_exe *)(const void *)a.data, &own),
		     q.path);
	}
}

/* A process with these arguments: this program, which waits (main). */
static pid_t with_arguments(const char *const argv[])
{
	char *const waits[] = { "SCAN_WAITS=1", NULL };
	pid_t pid = fork();

	if (!pid) {
		execve("/proc/self/exe", (char *const *)argv, waits);
		_exit(1);
	}
	return pid;
}

static void arguments(struct scan *s)
{
	static const char *const
		chromium[] = { "cat", "-", "chrome-extension://abcdefghijklmnopabcdefghijklmnop/",
			       NULL },
		*const firefox[] = { "cat", "/x/native-messaging-hosts/y.json", "me@here", NULL },
		*const none[] = { "chrome-extension://abcdefghijklmnopabcdefghijklmnop/", "-",
				  NULL };
	static const struct {
		const char *const *argv;
		const char *id;
	} all[] = { { chromium, "2abcdefghijklmnopabcdefghijklmnop" },
		    { firefox, "1me@here" },
		    { none, "" } };
	struct scan_question q = { .kind = SCAN_ARGUMENTS };
	struct scan_answer a = { 0 };
	int tries;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		q.tgid[0] = (uint32_t)with_arguments(all[i].argv);
		for (tries = 0; tries < 1000; tries++) { /* until it has begun */
			must(!scan_ask(s, &q), "it is asked");
			a = next(s);
			if (a.err || (a.len && !strcmp((const char *)a.data, all[i].id) &&
				      (*all[i].id || tries > 20)))
				break;
		}
		must(!a.err && a.len && !strcmp((const char *)a.data, all[i].id),
		     "the extension in a command line");
		kill((pid_t)q.tgid[0], SIGKILL);
		waitpid((pid_t)q.tgid[0], NULL, 0);
	}
	must(asks(s, &q) == -ENOENT, "a process that is gone");
}

/* Of the descendants of this process: what /proc/PID/status says of each. */
static int rights(pid_t *keeper)
{
	static const char *const lines[] = { "CapEff:\t0000010000080004",
					     "CapBnd:\t0000000000000000", "NoNewPrivs:\t1",
					     "Seccomp:\t2" };
	char path[64], parent[32];
	int ok = 0, pid;
	size_t i;

	snprintf(parent, sizeof(parent), "\nPPid:\t%d\n", getpid());
	for (pid = getpid() + 1; pid < getpid() + 5000; pid++) {
		AUTO_BUF struct fence_buf b = { 0 };

		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		if (fence_buf_read_file(&b, path, 65536) ||
		    !strstr(fence_buf_text(&b), "crmfenced-test") ||
		    !strstr(fence_buf_text(&b), parent) || strstr(fence_buf_text(&b), "State:\tZ"))
			continue;
		*keeper = pid;
		ok = 1;
		for (i = 0; i < ARRAY_SIZE(lines); i++)
			ok &= !!strstr(fence_buf_text(&b), lines[i]);
	}
	return ok;
}

/* A user's share of the queue; another's questions are asked all the same, and before the rest. */
static void shares(struct scan *s)
{
	struct scan_question q = about(file("abc", "abc"), 0), other = q;
	unsigned int i, before = 0;

	for (i = 0; i < SCAN_SHARE + 1; i++)
		must(!scan_ask(s, &q), "one of his share"); /* the first is out already */
	must(scan_ask(s, &q) == -EAGAIN, "no more than his share");
	other.uid = 1001;
	other.id = 1;
	must(!scan_ask(s, &other), "another user's");
	for (i = 0; i < SCAN_SHARE + 2; i++) {
		struct scan_answer a = next(s);

		must(!a.err, "each has an answer");
		before = a.id ? i : before;
	}
	must(before == 1, "another user's comes next");
}

/* A child of who keeps them; 0: none is at work. */
static pid_t child_of(pid_t keeper)
{
	char path[64], parent[32];
	pid_t pid;

	snprintf(parent, sizeof(parent), "\nPPid:\t%d\n", keeper);
	for (pid = keeper + 1; pid < keeper + 5000; pid++) {
		AUTO_BUF struct fence_buf b = { 0 };

		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		if (!fence_buf_read_file(&b, path, 65536) && strstr(fence_buf_text(&b), parent))
			return pid;
	}
	return 0;
}

static int hands(pid_t pid, int fd, char out[64])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	n = readlink(path, out, 63);
	out[n < 0 ? 0 : n] = 0;
	return n > 0;
}

/*
 * Who reads a stranger's file, and may be broken by it, has a socket of its own in its hands: it
 * answers its own question alone, and takes nobody else's. Its end is that question's.
 */
static void broken(struct scan *s, pid_t keeper)
{
	struct scan_question large = about(file("large", ""), 3),
			     good = about(file("abc", "abc"), 4);
	char keeps[64], has[64] = "";
	pid_t child = 0;
	int i;

	must(!truncate(large.path, 1 << 30), "a file that takes its time");
	large = about(large.path, 3);
	must(!scan_ask(s, &large) && !scan_ask(s, &good), "two are asked");
	must(hands(keeper, 3, keeps), "who keeps them has the agent's socket");
	for (i = 0; i < 1000 && !(child && hands(child, 3, has) && strcmp(has, keeps)); i++)
		child = child_of(keeper);
	must(child && *has && strcmp(has, keeps), "its child has another one");
	for (i = 0; i < 16; i++)
		must(!hands(child, i, has) || strcmp(has, keeps), "and that one nowhere");
	must(child && !kill(child, SIGKILL), "it is killed");
	must(next(s).err == -EIO, "its question has no answer");
	must(!next(s).err, "the next one has");
}

/* Who keeps them stands still: after a question's time nobody waits any more. */
static void late(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct scan_question q = { .kind = SCAN_ARGUMENTS, .uid = 5, .tgid = { 1 } };
	struct scan_answer a = { 0 };
	struct scan *s;
	pid_t keeper = 0;
	int i;

	must(!scan_start("crmfenced-test", &s), "another one");
	must(!scan_ask(s, &q) && next(s).last, "it answers");
	must(rights(&keeper) && !kill(keeper, SIGSTOP), "it is stopped");
	must(!scan_ask(s, &q), "it is asked");
	for (i = 0; i < PATIENCE_MS && !scan_next(s, &a); i++)
		nanosleep(&ms, NULL);
	must(a.last && a.err == -EPIPE && scan_fd(s) < 0, "it is not waited for");
	if (keeper)
		kill(keeper, SIGKILL);
	scan_stop(s);
}

int main(void)
{
	struct scan_question q;
	struct scan *s;
	pid_t keeper = 0;
	char clean[64];

	if (getenv("SCAN_WAITS"))
		pause();
	if (!mkdtemp(dir) || scan_start("crmfenced-test", &s))
		return 1;
	hashes(s);
	looks(s);
	arguments(s);
	shares(s);
	must(rights(&keeper), "it may read, and nothing else");
	broken(s, keeper);
	must(keeper && !kill(keeper, SIGSTOP), "it is stopped");
	q = about(file("abc", "abc"), 9);
	must(!scan_ask(s, &q) && !scan_ask(s, &q), "two are asked");
	must(keeper && !kill(keeper, SIGKILL), "it is killed");
	must(next(s).err == -EPIPE && next(s).err == -EPIPE, "what was asked has an answer");
	must(scan_fd(s) < 0 && scan_ask(s, &q) == -EPIPE, "nobody is asked any more");
	scan_stop(s);
	late();
	snprintf(clean, sizeof(clean), "rm -rf %s", dir);
	must(!system(clean), clean);
	if (!failed)
		printf("files, command lines, shares of the time\n");
	return failed;
}
