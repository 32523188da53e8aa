// SPDX-License-Identifier: Apache-2.0
/*
 * probe FILE PID: the least that a probe can be, a program that returns, where sight would put its
 * own into the file for that process, entry and return; until its input ends. For the bench.
 */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tls/find.h"

/* of linux/bpf.h, which Debian 12's lacks */
#define UPROBE_MULTI ((enum bpf_attach_type)48)
#define RETURN 1

static int load(void)
{
	const struct bpf_insn code[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K },
					 { .code = BPF_JMP | BPF_EXIT } };
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = UPROBE_MULTI);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "bare", "GPL", code, 2, &o);
}

int main(int argc, char **argv)
{
	unsigned long at[2][FENCE_TLS_POINTS]; /* entries; returns */
	struct fence_buf b = { 0 };
	struct fence_tls_points p;
	unsigned int n[2] = { 0 }, i;
	int prog = load();

	if (argc != 3 || prog < 0 || fence_buf_read_file(&b, argv[1], 1u << 30) ||
	    fence_tls_find((const uint8_t *)b.data, b.len, &p))
		return 1;
	for (i = 0; i < p.count; i++) {
		if (p.at[i].call == FENCE_TLS_FREE)
			continue;
		at[0][n[0]++] = p.at[i].offset;
		if (p.at[i].call != FENCE_TLS_READ_KEPT) /* inside a function nothing returns */
			at[1][n[1]++] = p.at[i].offset;
	}
	for (i = 0; i < 2; i++) {
		LIBBPF_OPTS(bpf_link_create_opts, o, .uprobe_multi.path = argv[1],
			    .uprobe_multi.offsets = at[i], .uprobe_multi.cnt = n[i],
			    .uprobe_multi.flags = i ? RETURN : 0,
			    .uprobe_multi.pid = (__u32)atoi(argv[2]));

		if (bpf_link_create(prog, 0, UPROBE_MULTI, &o) < 0)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	fence_buf_done(&b);
	return 0;
}
