// SPDX-License-Identifier: Apache-2.0
/* patch OBJECT CGROUP N: attach every program of the object and take all away again, N times. */
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 64

/* Negative: one cannot be attached. */
static int cycle(struct bpf_object *o, int cgroup)
{
	struct bpf_link *links[MOST];
	struct bpf_program *p;
	int n = 0, err = 0;

	bpf_object__for_each_program(p, o)
	{
		if (n == MOST)
			break;
		links[n] = bpf_program__type(p) == BPF_PROG_TYPE_TRACING
				   ? bpf_program__attach(p)
				   : bpf_program__attach_cgroup(p, cgroup);
		err = links[n] ? 0 : -1;
		if (err) {
			printf("%s cannot be attached\n", bpf_program__name(p));
			break;
		}
		n++;
	}
	while (n)
		bpf_link__destroy(links[--n]);
	return err;
}

int main(int argc, char **argv)
{
	struct bpf_object *o = argc == 4 ? bpf_object__open_file(argv[1], NULL) : NULL;
	int n, i, cgroup = argc == 4 ? open(argv[2], O_RDONLY | O_DIRECTORY) : -1;

	if (!o || cgroup < 0 || bpf_object__load(o))
		return 1;
	n = atoi(argv[3]);
	for (i = 0; i < n && !cycle(o, cgroup); i++) {
		printf("PATCH %d\n", i + 1);
		fflush(stdout);
	}
	return i < n;
}
