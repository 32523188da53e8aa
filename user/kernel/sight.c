// SPDX-License-Identifier: Apache-2.0
#include "kernel/sight.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/shed.h"
#include "kernel/internal.h"
#include "tls.skel.h"

#define DRAIN_MOST 64 /* 0.3 ms */
#define MUCH (FENCE_SIGHT_RING / 4) /* octets */

struct attached {
	struct bpf_link *link; /* owned */
	uint32_t tgid;
};

#define CLOSERS 4
#define CLOSER_ROOM (4 << 20) /* octets: all links that there can be */

struct fence_sight {
	int closer; /* socket to the process that closes links; -1: none */
	struct tls_bpf *skel; /* owned */
	struct ring_buffer *ring; /* owned */
	struct bpf_link *send; /* owned; there while anything is attached */
	struct fence_kernel *kernel; /* borrowed */
	int tagging; /* packet_egress goes on with ours: a library that writes to memory is probed
		      */
	struct attached at[FENCE_SIGHT_LINKS];
	unsigned int count;
	void (*each)(void *ctx, const struct fence_sight_rec *r);
	void *ctx;
	uint64_t *bad;
	unsigned int budget; /* records of this drain still to be taken */
	uint64_t urgent; /* records that the agent was woken for, when there was none left */
};

int fence_sight_check(const void *data, uint64_t size)
{
	struct fence_sight_rec r;

	if (size < sizeof(r))
		return -EINVAL;
	memcpy(&r, data, sizeof(r));
	if (r.kind < FENCE_SIGHT_DATA || r.kind > FENCE_SIGHT_TAINT || r.out > 1 ||
	    r.len > FENCE_SIGHT_CHUNK || sizeof(r) + r.len > size || r.tool > FENCE_TOOL_MAX ||
	    r.len > r.call || r.after >> 30 || (r.kind == FENCE_SIGHT_DATA) != (r.len || r.after))
		return -EINVAL;
	return 0;
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct fence_sight *s = ctx;

	if (fence_sight_check(data, size))
		(*s->bad)++;
	else
		s->each(s->ctx, data);
	return --s->budget ? 0 : -EAGAIN; /* stops behind this record */
}

/* The maps that it shares with the enforcing programs are theirs. */
static int share(struct fence_kernel *k, struct bpf_object *o)
{
	struct bpf_map *map, *theirs;
	int err = 0;

	bpf_object__for_each_map(map, o)
	{
		theirs = bpf_map__is_internal(map) ? NULL : fence_kernel_map(k, bpf_map__name(map));
		if (theirs && !err)
			err = bpf_map__reuse_fd(map, bpf_map__fd(theirs));
	}
	return err;
}

/*
 * Closing a uprobe's link waits until no CPU can be inside its programs, 50 ms a link: too long for
 * the loop. Processes that have given up everything receive what is to be closed, and close it;
 * they end with us.
 */
static void closer_run(int fd)
{
	char octet, room[CMSG_SPACE(sizeof(int))];
	struct iovec v = { .iov_base = &octet, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int got;

	if (fence_shed(&fd, 1, "crmfenced-close"))
		_exit(1);
	for (;;) {
		m.msg_control = room;
		m.msg_controllen = sizeof(room);
		if (recvmsg(FENCE_SHED_FD, &m, MSG_CMSG_CLOEXEC) <= 0)
			_exit(0);
		c = CMSG_FIRSTHDR(&m);
		if (!c || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&got, CMSG_DATA(c), sizeof(got));
		close(got);
	}
}

static int closer_start(struct fence_sight *s)
{
	int pair[2], room = CLOSER_ROOM, i;
	pid_t pid = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	for (i = 0; i < CLOSERS && pid >= 0; i++) { /* each message is one's; their waits overlap */
		pid = fork();
		if (!pid)
			closer_run(pair[1]);
	}
	close(pair[1]);
	s->closer = pair[0];
	return pid < 0 ? -errno : 0;
}

/* Hand it over; what does not fit is closed here. */
static void let_go(struct fence_sight *s, struct bpf_link *link)
{
	char octet = 0, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { .iov_base = &octet, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fd = bpf_link__fd(link);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	sendmsg(s->closer, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	bpf_link__destroy(link); /* the other's copy is the last one now */
}

int fence_sight_open(struct fence_kernel *k, struct fence_sight **ret, struct fence_diag *d)
{
	struct fence_sight *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->closer = -1;
	s->kernel = k;
	err = closer_start(s); /* before anything is there to be inherited */
	if (!err)
		s->skel = tls_bpf__open();
	if (!err)
		err = s->skel ? share(k, s->skel->obj) : -errno;
	if (!err)
		err = tls_bpf__load(s->skel);
	if (!err) {
		s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.sight), on_record, s, NULL);
		err = s->ring ? 0 : -errno;
	}
	if (err) {
		fence_sight_close(s);
		return fence_diag_set(d, -ENOTSUP, NULL,
				      "its sensor cannot be loaded (%s); it needs Linux 6.6",
				      strerror(-err));
	}
	*ret = s;
	return 0;
}

/* Does packet_egress go on with the programs that look for tags? */
static int tags(struct fence_sight *s, int on)
{
	int *prog = s->kernel->after_prog, err;

	if (s->tagging == on)
		return 0;
	s->tagging = on;
	prog[FENCE_PACKET_PASSED] = on ? bpf_program__fd(s->skel->progs.tls_tag_passed) : -1;
	prog[FENCE_PACKET_REFUSED] = on ? bpf_program__fd(s->skel->progs.tls_tag_refused) : -1;
	err = fence_kernel_after(s->kernel, FENCE_PACKET_PASSED);
	return err ? err : fence_kernel_after(s->kernel, FENCE_PACKET_REFUSED);
}

void fence_sight_close(struct fence_sight *s)
{
	if (!s)
		return;
	while (s->count)
		let_go(s, s->at[--s->count].link);
	bpf_link__destroy(s->send);
	tags(s, 0);
	ring_buffer__free(s->ring);
	if (s->closer >= 0)
		close(s->closer); /* it ends when all is closed; nobody waits */
	tls_bpf__destroy(s->skel);
	free(s);
}

static int attach_one(struct fence_sight *s, struct bpf_program *prog, const char *path,
		      uint32_t tgid, const unsigned long *offsets, const __u64 *cookies, size_t n,
		      int returns)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .offsets = offsets, .cookies = cookies, .cnt = n,
		    .retprobe = returns);
	struct bpf_link *link;

	if (!n)
		return 0;
	if (s->count == FENCE_SIGHT_LINKS)
		return -E2BIG;
	link = bpf_program__attach_uprobe_multi(prog, (pid_t)tgid, path, NULL, &opts);
	if (!link)
		return -errno;
	s->at[s->count].tgid = tgid;
	s->at[s->count++].link = link;
	return 0;
}

/* In the order in which they are attached: an entry without its return would leave a frame behind.
 */
enum kind { RETURN, ENTRY, GO, KEPT, KINDS };

static enum kind kind_of(uint8_t call)
{
	if (call >= FENCE_TLS_GO_WRITE && call <= FENCE_TLS_GO_RETURN)
		return GO;
	return call == FENCE_TLS_READ_KEPT ? KEPT : ENTRY;
}

int fence_sight_attach(struct fence_sight *s, const char *path, uint32_t tgid,
		       const struct fence_sight_point *at, unsigned int count)
{
	struct bpf_program *const progs[] = { s->skel->progs.tls_leave, s->skel->progs.tls_enter,
					      s->skel->progs.tls_go, s->skel->progs.tls_kept };
	unsigned long offsets[KINDS][FENCE_SIGHT_POINTS];
	__u64 cookies[KINDS][FENCE_SIGHT_POINTS];
	size_t n[KINDS] = { 0 }, i;
	int err = 0, memory = 0;

	if (count > FENCE_SIGHT_POINTS)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		enum kind to = kind_of(at[i].call);

		offsets[to][n[to]] = at[i].offset;
		cookies[to][n[to]++] = FENCE_TLS_COOKIE(at[i].call, at[i].box, at[i].seq);
		memory |= at[i].call == FENCE_TLS_BIO_WRITE || at[i].call == FENCE_TLS_WRITE_RUSTLS;
		if (to != ENTRY || at[i].call == FENCE_TLS_FREE ||
		    at[i].call == FENCE_TLS_BIO_WRITE)
			continue;
		offsets[RETURN][n[RETURN]] = at[i].offset;
		cookies[RETURN][n[RETURN]++] = FENCE_TLS_COOKIE(at[i].call, 0, 0);
	}
	if (!s->send)
		s->send = bpf_program__attach(s->skel->progs.tls_send);
	if (!s->send)
		return -errno;
	if (memory)
		err = tags(s, 1);
	if (err)
		return err;
	for (i = 0; i < KINDS && !err; i++)
		err = attach_one(s, progs[i], path, tgid, offsets[i], cookies[i], n[i],
				 i == RETURN);
	return err;
}

void fence_sight_release(struct fence_sight *s, uint32_t tgid)
{
	unsigned int i = 0;

	while (i < s->count) {
		if (s->at[i].tgid != tgid) {
			i++;
			continue;
		}
		let_go(s, s->at[i].link);
		s->at[i] = s->at[--s->count];
	}
	if (!s->count) {
		bpf_link__destroy(s->send);
		s->send = NULL;
		tags(s, 0);
	}
}

unsigned int fence_sight_attached(const struct fence_sight *s)
{
	return s->count;
}

unsigned int fence_sight_drain(struct fence_sight *s,
			       void (*each)(void *ctx, const struct fence_sight_rec *r), void *ctx,
			       uint64_t *bad)
{
	s->each = each;
	s->ctx = ctx;
	s->bad = bad;
	s->budget = DRAIN_MOST;
	ring_buffer__consume(s->ring);
	return DRAIN_MOST - s->budget;
}

enum fence_sight_waits fence_sight_waits(struct fence_sight *s)
{
	uint64_t urgent = __atomic_load_n(&s->skel->bss->urgent, __ATOMIC_ACQUIRE);
	size_t n = ring__avail_data_size(ring_buffer__ring(s->ring, 0));

	if (!n) {
		s->urgent = urgent;
		return FENCE_SIGHT_NONE;
	}
	return n > MUCH || s->urgent != urgent ? FENCE_SIGHT_NOW : FENCE_SIGHT_QUIET;
}

int fence_sight_fd(const struct fence_sight *s)
{
	return ring_buffer__epoll_fd(s->ring);
}

void fence_sight_missed(struct fence_sight *s, uint64_t out[FENCE_SIGHT_MISS_MAX])
{
	int cpus = libbpf_num_possible_cpus(), cpu;
	AUTO_FREE uint64_t *each = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*each));
	uint32_t i;

	for (i = 0; i < FENCE_SIGHT_MISS_MAX; i++) {
		out[i] = 0;
		if (!each || bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.missed), &i, each))
			continue;
		for (cpu = 0; cpu < cpus; cpu++)
			out[i] += each[cpu];
	}
}

void fence_sight_sole(struct fence_sight *s, uint64_t session, uint64_t host, uint64_t now)
{
	const uint64_t key[2] = { session, host };

	bpf_map_update_elem(bpf_map__fd(s->skel->maps.soles), key, &now, BPF_ANY);
}

void fence_sight_soles_forget(struct fence_sight *s)
{
	int fd = bpf_map__fd(s->skel->maps.soles);
	uint64_t key[2];

	while (!bpf_map_get_next_key(fd, NULL, key) && !bpf_map_delete_elem(fd, key))
		;
}
