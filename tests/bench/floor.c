// SPDX-License-Identifier: Apache-2.0
/* floor OBJECT CGROUP: attach every program of the object, drain its ring ten times a second. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int drop(void *ctx, void *data, size_t size)
{
	(void)ctx;
	(void)data;
	(void)size;
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_object *o = argc == 3 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct ring_buffer *ring;
	struct bpf_program *p;
	struct bpf_link *l;
	int fd;

	if (!o || bpf_object__load(o))
		return 1;
	fd = open(argv[2], O_RDONLY | O_DIRECTORY);
	bpf_object__for_each_program(p, o)
	{
		l = bpf_program__type(p) == BPF_PROG_TYPE_TRACING
			    ? bpf_program__attach(p)
			    : bpf_program__attach_cgroup(p, fd);
		if (!l)
			return 1;
	}
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(o, "floor_ring"), drop, NULL, NULL);
	puts("ready");
	fflush(stdout);
	for (;;) {
		usleep(100000);
		ring_buffer__consume(ring);
	}
}
