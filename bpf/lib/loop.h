/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 0. One loop for both worlds: the verifier walks the body of bpf_loop once; on the host it
 * is a plain loop.
 */
#ifndef FENCE_BPF_LOOP_H
#define FENCE_BPF_LOOP_H

#ifdef __bpf__
#define fence_loop(n, step, ctx) bpf_loop((n), (step), (ctx), 0)
#else
static inline long fence_loop_host(__u32 n, long (*step)(__u32, void *), void *ctx)
{
	__u32 i;

	for (i = 0; i < n; i++)
		if (step(i, ctx))
			return i + 1;
	return n;
}
#define fence_loop(n, step, ctx) fence_loop_host((n), (step), (ctx))
#endif

#endif
