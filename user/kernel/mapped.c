// SPDX-License-Identifier: Apache-2.0
/*
 * PERF_RECORD_MMAP2 and PERF_RECORD_FORK of one process and its descendants, perf_event_open(2).
 * An inherited event has a ring a CPU; rings are small, for only code mappings come through them.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "kernel/sight.h"

#define PAGES 16 /* of a ring, a power of two */
#define CPUS 256
#define AT_ONCE_NS 20000000 /* attaching takes milliseconds, and other work waits */

struct ring {
	int fd;
	struct perf_event_mmap_page *page; /* owned; NULL: none */
};

struct fence_mapped {
	int ep;
	size_t page_size;
	int cpus;
	struct ring rings[CPUS];
};

static int open_ring(struct fence_mapped *m, struct ring *r, uint32_t tgid, int cpu)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_DUMMY,
					.size = sizeof(attr),
					.mmap = 1,
					.mmap2 = 1,
					.task = 1,
					.inherit = 1,
					.watermark = 1,
					.wakeup_watermark = 1 };
	struct epoll_event e = { .events = EPOLLIN };
	void *p;

	r->fd = (int)syscall(SYS_perf_event_open, &attr, (pid_t)tgid, cpu, -1,
			     PERF_FLAG_FD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	p = mmap(NULL, (PAGES + 1) * m->page_size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	r->page = p;
	return epoll_ctl(m->ep, EPOLL_CTL_ADD, r->fd, &e) ? -errno : 0;
}

int fence_mapped_ready(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_DUMMY,
					.size = sizeof(attr) };
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int fence_mapped_open(uint32_t tgid, struct fence_mapped **ret)
{
	struct fence_mapped *m = calloc(1, sizeof(*m));
	int cpu, err = 0;

	if (!m)
		return -ENOMEM;
	for (cpu = 0; cpu < CPUS; cpu++)
		m->rings[cpu].fd = -1;
	m->page_size = (size_t)sysconf(_SC_PAGESIZE);
	m->cpus = libbpf_num_possible_cpus();
	m->ep = epoll_create1(EPOLL_CLOEXEC);
	if (m->ep < 0 || m->cpus < 1 || m->cpus > CPUS)
		err = -ENOTSUP;
	for (cpu = 0; cpu < m->cpus && !err; cpu++) {
		err = open_ring(m, &m->rings[cpu], tgid, cpu);
		if (err == -ENODEV) /* a CPU that is not there */
			err = 0;
	}
	if (err) {
		fence_mapped_close(m);
		return err;
	}
	*ret = m;
	return 0;
}

void fence_mapped_close(struct fence_mapped *m)
{
	int cpu;

	if (!m)
		return;
	for (cpu = 0; cpu < CPUS; cpu++) {
		if (m->rings[cpu].page)
			munmap(m->rings[cpu].page, (PAGES + 1) * m->page_size);
		if (m->rings[cpu].fd >= 0)
			close(m->rings[cpu].fd);
	}
	if (m->ep >= 0)
		close(m->ep);
	free(m);
}

int fence_mapped_fd(const struct fence_mapped *m)
{
	return m->ep;
}

struct mmap2 {
	struct perf_event_header h;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	uint32_t maj, min;
	uint64_t ino, generation;
	uint32_t prot, flags;
};

struct forked {
	struct perf_event_header h;
	uint32_t pid, ppid, tid, ptid;
	uint64_t time;
};

/* One record, whole in `data`. */
static void one(const uint8_t *data, void (*each)(void *ctx, const struct fence_mapping *g),
		void *ctx)
{
	struct fence_mapping g = { 0 };
	struct perf_event_header h;
	struct forked f;
	struct mmap2 v;

	memcpy(&h, data, sizeof(h));
	if (h.type == PERF_RECORD_MMAP2 && h.size >= sizeof(v) &&
	    !(h.misc & PERF_RECORD_MISC_MMAP_BUILD_ID)) {
		memcpy(&v, data, sizeof(v));
		g.tgid = v.pid;
		g.start = v.addr;
		g.end = v.addr + v.len;
		g.ino = v.ino;
		g.major = v.maj;
		g.minor = v.min;
		if (v.ino && v.prot & PROT_EXEC)
			each(ctx, &g);
	} else if (h.type == PERF_RECORD_FORK && h.size >= sizeof(f)) {
		memcpy(&f, data, sizeof(f));
		g.tgid = f.pid;
		g.parent = f.ppid;
		if (f.pid != f.ppid) /* else a thread */
			each(ctx, &g);
	}
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void drain_ring(struct fence_mapped *m, struct ring *r,
		       void (*each)(void *ctx, const struct fence_mapping *g), void *ctx,
		       uint64_t *lost)
{
	uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE),
		 tail = r->page->data_tail, size = PAGES * m->page_size, i;
	const uint8_t *base = (const uint8_t *)r->page + m->page_size;
	uint8_t room[4096 + 256] __attribute__((aligned(8)));
	struct perf_event_header h;
	int64_t begun = now();

	while (tail < head && now() - begun < AT_ONCE_NS) {
		for (i = 0; i < sizeof(h); i++)
			room[i] = base[(tail + i) % size];
		memcpy(&h, room, sizeof(h));
		if (h.size < sizeof(h))
			break;
		for (i = 0; i < h.size && i < sizeof(room); i++)
			room[i] = base[(tail + i) % size];
		if (h.type == PERF_RECORD_LOST)
			(*lost)++;
		else if (h.size <= sizeof(room))
			one(room, each, ctx);
		tail += h.size;
	}
	__atomic_store_n(&r->page->data_tail, tail, __ATOMIC_RELEASE);
}

void fence_mapped_drain(struct fence_mapped *m,
			void (*each)(void *ctx, const struct fence_mapping *g), void *ctx,
			uint64_t *lost)
{
	int cpu;

	for (cpu = 0; cpu < m->cpus; cpu++)
		if (m->rings[cpu].page)
			drain_ring(m, &m->rings[cpu], each, ctx, lost);
}
