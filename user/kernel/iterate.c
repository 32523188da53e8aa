// SPDX-License-Identifier: Apache-2.0
/* The iterators: over processes, and over what they have open. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <crmfence/event.h>

#include "base/cleanup.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

static struct bpf_program *find_program(struct fence_kernel *k, const char *name)
{
	struct bpf_program *p = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(k->objects) && !p; i++)
		if (k->objects[i])
			p = bpf_object__find_program_by_name(k->objects[i], name);
	return p;
}

/*
 * Run one iterator; its output, `size` octets an entry, to `each`. `tgid`: of this process alone,
 * from 6.1 on; an older kernel goes through all of them. 0: of all.
 */
static int iterate(struct fence_kernel *k, const char *name, uint32_t tgid, size_t size,
		   void (*each)(void *ctx, const void *entry), void *ctx)
{
	union bpf_iter_link_info one = { .task.pid = tgid };
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, o, .link_info = &one,
			    .link_info_len = sizeof(one));
	struct bpf_program *p = find_program(k, name);
	struct bpf_link *link = bpf_program__attach_iter(p, tgid ? &o : NULL);
	char room[4096] __attribute__((aligned(8)));
	size_t have = 0, at;
	ssize_t n = 0;
	int fd;

	if (!link && tgid)
		link = bpf_program__attach_iter(p, NULL);
	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	while (fd >= 0 && (n = read(fd, room + have, sizeof(room) - have)) > 0) {
		have += (size_t)n;
		for (at = 0; have - at >= size; at += size)
			each(ctx, room + at);
		have -= at;
		memmove(room, room + at, have);
	}
	if (fd < 0 || n < 0)
		n = -errno;
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return (int)n;
}

int fence_kernel_tasks(struct fence_kernel *k, void (*each)(void *ctx, const void *task), void *ctx)
{
	return iterate(k, "recon_task", 0, sizeof(struct fence_recon_task), each, ctx);
}

int fence_kernel_sockets(struct fence_kernel *k, uint32_t tgid,
			 void (*each)(void *ctx, const void *socket), void *ctx)
{
	return iterate(k, "recon_socket", tgid, sizeof(struct fence_recon_socket), each, ctx);
}
