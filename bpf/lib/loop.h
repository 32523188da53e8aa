/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 0. One loop for both worlds: the verifier walks the body of bpf_loop once; on the host it
 * is a plain loop.
 *
 * Before 6.7 "once" is from the state at the call, and branches that are dead there are cut out of
 * the program: a cursor that begins at a constant which the step changes and branches on is walked
 * wrongly from the second step on (seen on 6.1: no question of a session was ever read). So it
 * begins at the constant and fence_vague(): nothing, and the verifier does not know that.
 */
#ifndef FENCE_BPF_LOOP_H
#define FENCE_BPF_LOOP_H

#ifdef __bpf__
#define fence_loop(n, step, ctx) bpf_loop((n), (step), (ctx), 0)

static inline __attribute__((always_inline)) __u32 fence_vague(void)
{
	__u64 x = bpf_get_prandom_u32();

	asm volatile("%0 ^= %0" : "+r"(x));
	return (__u32)x;
}
#else
static inline __u32 fence_vague(void)
{
	return 0;
}

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
