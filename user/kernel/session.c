// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <errno.h>

#include "kernel/internal.h"

int fence_kernel_session(struct fence_kernel *k, const struct fence_session_set *c)
{
	struct fence_session_set change = *c;
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = &change, .ctx_size_in = sizeof(change));
	struct bpf_program *p = bpf_object__find_program_by_name(k->objects[0], "session_set");

	if (!p || bpf_prog_test_run_opts(bpf_program__fd(p), &o))
		return p ? -errno : -ENOENT;
	return o.retval ? -ENOENT : 0;
}
