// SPDX-License-Identifier: Apache-2.0
#include "agent/writer.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/ring.h"
#include "store/log.h"

#define ROWS 2000 /* of one transaction, at most */
#define IDLE_MS 2000 /* how often the file is looked at when nothing is to be written */
#define RETRY_MS 200
#define SYNC_NS 5000000000LL /* what nobody asks to have on the disk at once is there by then */
#define LAST_TRIES 150 /* of RETRY_MS, when the agent is gone and the log cannot be written */
#define FD 3
#define UNKNOWN INT64_MIN

/* What both know, beside the queue. Written by who writes the log, but for `urgent` and `bye`. */
struct shared {
	_Atomic int64_t base; /* number in the log of the row that is number 0 in the queue */
	_Atomic int64_t seq, safe;
	_Atomic uint64_t urgent; /* rows before this are to be on the disk at once */
	_Atomic int err;
	_Atomic unsigned int bye; /* the agent ends of itself */
	_Atomic unsigned int moved; /* `base` was changed */
	_Atomic unsigned int told,
		ended; /* ended: how often the process was, and by which signal */
	_Atomic int sig;
	_Atomic int file_err[WRITER_FILES];
	char why[160], said[400];
};

const char *const writer_file_names[WRITER_FILES] = { "tools-seen", "tls-offsets" };

/* One of the small files, as the agent has it last. It writes, `turn` odd meanwhile. */
struct file {
	_Atomic uint32_t turn;
	uint32_t len;
	char data[WRITER_FILE_BYTES];
};
#define NICE -10 /* the agent's: who reads faster than it is written fills the queue */

_Static_assert(sizeof(struct shared) <= FENCE_RING_STATE, "the queue has room for it");

struct writer {
	struct fence_ring *ring; /* owned */
	struct shared *shared; /* the queue's */
	struct file *files; /* owned; shared with who writes: WRITER_FILES */
	const char *db; /* borrowed */
	int fd; /* owned; its end is how the other side hears that this one is gone */
	pid_t keeper;
};

/* ---- the process that writes ---- */

struct writing {
	struct writer *w;
	struct fence_log *log; /* owned */
	unsigned int opened, begun;
	uint64_t synced; /* number of the first row that the disk may not have */
	int64_t synced_at; /* monotonic, ns */
	unsigned int told; /* by those that wrote before */
	uint32_t turns[WRITER_FILES]; /* of the small files, that were written */
	struct fence_entry rows[ROWS];
};

static const int calls[] = {
	SCMP_SYS(openat),	SCMP_SYS(close),
	SCMP_SYS(read),		SCMP_SYS(write),
	SCMP_SYS(pread64),	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),	SCMP_SYS(stat),
	SCMP_SYS(fstat),	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),	SCMP_SYS(statx),
	SCMP_SYS(fcntl),	SCMP_SYS(flock),
	SCMP_SYS(ftruncate),	SCMP_SYS(fallocate),
	SCMP_SYS(fsync),	SCMP_SYS(fdatasync),
	SCMP_SYS(mmap),		SCMP_SYS(munmap),
	SCMP_SYS(mremap),	SCMP_SYS(mprotect),
	SCMP_SYS(brk),		SCMP_SYS(madvise),
	SCMP_SYS(unlink),	SCMP_SYS(rename),
	SCMP_SYS(access),	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),	SCMP_SYS(readlink),
	SCMP_SYS(getcwd),	SCMP_SYS(umask),
	SCMP_SYS(fchmod),	SCMP_SYS(fchown),
	SCMP_SYS(geteuid),	SCMP_SYS(getpid),
	SCMP_SYS(poll),		SCMP_SYS(recvfrom),
	SCMP_SYS(futex),	SCMP_SYS(clock_gettime),
	SCMP_SYS(nanosleep),	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getrandom),	SCMP_SYS(sched_yield),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),		SCMP_SYS(exit_group),
};

static int write_close_off(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = f ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(calls); i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}

static int64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void set_base(struct shared *s, int64_t base)
{
	s->moved += s->base != base;
	s->base = base;
}

/*
 * The log was opened: which number has the next row? One that was written already, when this
 * process ended between the disk and the queue, is not written again.
 */
static void write_from(struct writing *x)
{
	struct fence_ring *ring = x->w->ring;
	struct shared *s = x->w->shared;
	struct fence_ring_row row;
	uint64_t at = 0, next = 0, done = 0, no;

	if (s->base != UNKNOWN && fence_log_begun(x->log) == x->begun)
		while (fence_ring_peek(ring, &next, &row) &&
		       s->base + (int64_t)row.no <= fence_log_found(x->log))
			done = next;
	fence_ring_taken(ring, done);
	no = fence_ring_next(ring);
	if (fence_ring_peek(ring, &at, &row))
		no = row.no;
	set_base(s, fence_log_seq(x->log) + 1 - (int64_t)no);
	x->opened = fence_log_opened(x->log);
	x->begun = fence_log_begun(x->log);
}

/* Up to ROWS of what waits; `last`: the number of the last of them. */
static size_t write_collect(struct writing *x, uint64_t *at, uint64_t *last)
{
	struct fence_ring_row row;
	size_t n = 0;

	*at = 0;
	while (n < ROWS && fence_ring_peek(x->w->ring, at, &row)) {
		x->rows[n++] = (struct fence_entry){
			.ts = row.ts, .kind = row.kind, .body = row.body, .len = row.len
		};
		*last = row.no;
	}
	return n;
}

/* Those that wait into the log. 1: there may be more; 0; -errno. */
static int write_rows(struct writing *x, struct fence_diag *d)
{
	struct shared *s = x->w->shared;
	uint64_t at, last = 0;
	size_t n;
	int err = fence_log_write(x->log, NULL, 0, d);

	if (err < 0)
		return err;
	if (fence_log_opened(x->log) != x->opened)
		write_from(x);
	n = write_collect(x, &at, &last);
	if (n)
		err = fence_log_write(x->log, x->rows, n, d);
	if (err < 0)
		return err;
	s->seq = fence_log_seq(x->log);
	if (!n)
		return 0;
	set_base(s, s->seq - (int64_t)last);
	fence_ring_taken(x->w->ring, at);
	x->opened = fence_log_opened(x->log);
	x->begun = fence_log_begun(x->log);
	return n == ROWS;
}

/* Have what was written on the disk, at once or in time. */
static int write_through(struct writing *x, struct fence_diag *d)
{
	struct shared *s = x->w->shared;
	struct fence_ring_row row;
	uint64_t at = 0, written;
	int64_t now = monotonic();
	int err = 0;

	written =
		fence_ring_next(x->w->ring); /* first: one that is put meanwhile is none of them */
	if (fence_ring_peek(x->w->ring, &at, &row))
		written = row.no;
	if (written > x->synced && (s->urgent > x->synced || now - x->synced_at >= SYNC_NS)) {
		err = fence_log_sync(x->log, d);
		if (!err) {
			x->synced = written;
			x->synced_at = now;
			s->safe = s->base + (int64_t)written - 1;
		}
	}
	return err;
}

void writer_file_path(const char *db, enum writer_file which, char out[512])
{
	const char *slash = strrchr(db, '/');

	snprintf(out, 512, "%.*s%s", slash ? (int)(slash + 1 - db) : 0, db,
		 writer_file_names[which]);
}

/* What the agent has put whole; its turn, 0: it is at it. */
static uint32_t file_take(struct file *f, char *out, size_t *len)
{
	uint32_t turn = f->turn;

	*len = f->len;
	if (turn & 1 || *len > WRITER_FILE_BYTES)
		return 0;
	memcpy(out, f->data, *len);
	atomic_thread_fence(memory_order_acquire);
	return f->turn == turn ? turn : 0;
}

/* 0, or -errno: the old one stays. */
static int file_replace(const char *path, const char *data, size_t len)
{
	char fresh[520];
	AUTO_FD int fd = -1;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (unlink(fresh) && errno != ENOENT)
		return -errno;
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || fchmod(fd, 0600))
		return -errno;
	errno = ENOSPC; /* what a short write means */
	return write(fd, data, len) != (ssize_t)len || fdatasync(fd) || rename(fresh, path) ? -errno
											    : 0;
}

static void write_files(struct writing *x)
{
	static char data[WRITER_FILE_BYTES];
	char path[512];
	uint32_t turn;
	size_t i, len;

	for (i = 0; i < WRITER_FILES; i++) {
		turn = file_take(&x->w->files[i], data, &len);
		if (!turn || turn == x->turns[i])
			continue;
		writer_file_path(x->w->db, (enum writer_file)i, path);
		x->w->shared->file_err[i] = file_replace(path, data, len);
		x->turns[i] = turn; /* one that fails is tried again when there is news */
	}
}

/* 0, or -errno: what waits could not be written. */
static int write_turn(struct writing *x)
{
	struct shared *s = x->w->shared;
	struct fence_diag d = { 0 };
	unsigned int told;
	const char *said;
	int err;

	do {
		err = write_rows(x, &d);
	} while (err > 0);
	if (!err)
		err = write_through(x, &d);
	write_files(x);
	said = fence_log_told(x->log, &told);
	if (told)
		snprintf(s->said, sizeof(s->said), "%s", said);
	s->told = x->told + told;
	if (err < 0)
		snprintf(s->why, sizeof(s->why), "%.150s", d.text);
	s->err = err;
	return err;
}

/* Until there is something to do. 1: the agent is gone. */
static int write_await(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char octets[256];
	ssize_t n;

	if (poll(&p, 1, ms) <= 0)
		return 0;
	while ((n = recv(fd, octets, sizeof(octets), MSG_DONTWAIT)) > 0)
		;
	return !n;
}

static void write_log(struct writer *w, struct fence_log *log)
{
	static struct writing x;
	char why[120];
	int err, gone = 0, tries = 0;

	x.w = w;
	x.log = log;
	x.told = w->shared->told;
	x.synced_at = monotonic();
	if (w->shared->ended) {
		snprintf(why, sizeof(why),
			 "the process that writes the log was ended by signal %d and started "
			 "again; no row is missing",
			 w->shared->sig);
		fence_log_note(log, "writer", why);
	}
	for (;;) {
		err = write_turn(&x);
		if (gone && (!err || ++tries == LAST_TRIES))
			break;
		if (gone)
			poll(NULL, 0, RETRY_MS);
		else
			gone = write_await(FD, err < 0 ? RETRY_MS : IDLE_MS);
	}
	fence_log_free(log, (int)w->shared->bye && !fence_ring_used(w->ring));
	_exit(0);
}

/* What is in its hands from now on: no descriptor but one, no capability but over files. */
static int write_shed(int fd)
{
	const struct rlimit none = { 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	for (i = 0; i < 3; i++)
		if (null < 0 || dup2(null, i) < 0)
			return -errno;
	if (dup2(fd, FD) < 0 || close_range(FD + 1, ~0u, 0))
		return -errno;
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_DAC_OVERRIDE) ||
	    capng_apply(CAPNG_SELECT_BOTH))
		return -EPERM;
	return setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_NAME, "crmfenced-log") ||
			       prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
			       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		       ? -errno
		       : 0;
}

/* Who sees it end by a signal, and has another one go on. */
static void write_keeper(struct writer *w, struct fence_log *log, const char *db, int fd)
{
	char dir[256];
	int status = 0;
	pid_t pid;

	/* the log's directory, by who may wait for its disk; who opens the log says what is amiss
	 */
	snprintf(dir, sizeof(dir), "%s", db);
	if (strrchr(dir, '/') > dir) {
		*strrchr(dir, '/') = 0;
		mkdir(dir, 0700);
	}
	setpriority(PRIO_PROCESS, 0, NICE); /* and its children's */
	if (write_shed(fd))
		_exit(1);
	for (;;) {
		pid = fork();
		if (!pid && write_close_off())
			_exit(1);
		if (!pid)
			write_log(w, log);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
			_exit(0);
		w->shared->sig = WTERMSIG(status);
		w->shared->ended++;
		poll(NULL, 0, RETRY_MS); /* one that ends at once is no busy loop */
	}
}

/* ---- who has it write ---- */

static struct file *files_new(void)
{
	void *m = mmap(NULL, WRITER_FILES * sizeof(struct file), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

static void files_free(struct file *f)
{
	if (f)
		munmap(f, WRITER_FILES * sizeof(*f));
}

int writer_start(const char *db, struct writer **ret)
{
	struct writer *w = calloc(1, sizeof(*w));
	struct fence_log *log = fence_log_new(db);
	int pair[2] = { -1, -1 };

	if (w)
		w->ring = fence_ring_new();
	if (w)
		w->files = files_new();
	if (!w || !log || !w->ring || !w->files ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		if (w)
			fence_ring_free(w->ring);
		files_free(w ? w->files : NULL);
		fence_log_free(log, 0);
		free(w);
		return -ENOMEM;
	}
	w->shared = fence_ring_state(w->ring);
	w->shared->base = UNKNOWN;
	w->db = db;
	w->keeper = fork();
	if (!w->keeper)
		write_keeper(w, log, db, pair[1]);
	fence_log_free(log, 0);
	fence_ring_keep(w->ring);
	madvise(w->files, WRITER_FILES * sizeof(struct file), MADV_DONTFORK);
	close(pair[1]);
	w->fd = pair[0];
	*ret = w;
	if (w->keeper < 0) {
		writer_end(w, 0, 0);
		return -EAGAIN;
	}
	return 0;
}

int64_t writer_put(struct writer *w, const char *kind, const char *body, size_t len)
{
	struct timespec t;
	int64_t no, base = w->shared->base;

	clock_gettime(CLOCK_REALTIME, &t);
	no = fence_ring_put(w->ring, (int64_t)t.tv_sec * 1000000000 + t.tv_nsec, kind, body, len);
	return no < 0 ? no : base == UNKNOWN ? 0 : base + no;
}

void writer_wake(struct writer *w, int now)
{
	if (now)
		w->shared->urgent = fence_ring_next(w->ring);
	/* one that does not read has enough to read */
	if (w->fd >= 0 && send(w->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE) {
		close(w->fd);
		w->fd = -1;
	}
}

int writer_file(struct writer *w, enum writer_file which, const void *data, size_t len)
{
	struct file *f = &w->files[which];

	if (len > WRITER_FILE_BYTES)
		return -EMSGSIZE;
	f->turn |= 1;
	memcpy(f->data, data, len);
	f->len = (uint32_t)len;
	f->turn++;
	writer_wake(w, 0);
	return 0;
}

void writer_look(struct writer *w, struct writer_state *out)
{
	struct shared *s = w->shared;
	size_t i;

	out->seq = s->seq;
	out->safe = s->safe;
	out->waiting = fence_ring_used(w->ring);
	out->err = w->fd < 0 ? -EPIPE : s->err;
	snprintf(out->why, sizeof(out->why), "%s",
		 w->fd < 0 ? "the process that writes it was ended; restart the agent" : s->why);
	out->told = s->told;
	out->moved = s->moved;
	for (i = 0; i < WRITER_FILES; i++)
		out->file_err[i] = s->file_err[i];
	snprintf(out->said, sizeof(out->said), "%s", s->said);
}

int writer_has_room(const struct writer *w)
{
	return fence_ring_used(w->ring) < FENCE_RING_BYTES / 2;
}

uint64_t writer_end(struct writer *w, int ms, int whole)
{
	uint64_t left;
	int64_t until = monotonic() + (int64_t)ms * 1000000;

	if (!w)
		return 0;
	w->shared->bye = (unsigned int)whole; /* else the next start tells that rows are missing */
	if (w->fd >= 0)
		close(w->fd);
	/* who starts the writer anew may have been ended, and the writer be still at work */
	while (w->keeper > 0 && (!waitpid(w->keeper, NULL, WNOHANG) || fence_ring_used(w->ring)) &&
	       monotonic() < until)
		poll(NULL, 0, 5);
	left = fence_ring_used(w->ring);
	fence_ring_free(w->ring);
	files_free(w->files);
	free(w);
	return left;
}
