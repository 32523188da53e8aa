/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 1. Of test builds alone (make faults): what the kernel may refuse for want of memory or
 * room is refused at will. tests/e2e/faults.py counts such calls, then fails each.
 *
 * Counted are those of programs that only the test's own processes meet, and, of programs that the
 * whole machine meets, those on behalf of one uid. The iterators' are not: they run over the whole
 * machine, for the agent.
 */
#ifndef FENCE_BPF_FAULTS_H
#define FENCE_BPF_FAULTS_H

struct fence_faults {
	__u64 from, to; /* the calls that fail, counted from 1 */
	__u64 seen;
	__u64 failed;
	__u32 uid;
	__u32 spare;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fence_faults);
} faults SEC(".maps") __weak;

#if defined(FENCE_IN_proc) || defined(FENCE_IN_close) || defined(FENCE_IN_tls)
#define FAULT_MINE(f) ((__u32)bpf_get_current_uid_gid() == (f)->uid)
#elif defined(FENCE_IN_recon)
#define FAULT_MINE(f) 0
#else
#define FAULT_MINE(f) 1
#endif

static __noinline int fence_fault(void)
{
	__u32 zero = 0;
	struct fence_faults *f = bpf_map_lookup_elem(&faults, &zero);
	__u64 n;

	if (!f || !f->uid || !FAULT_MINE(f))
		return 0;
	n = __sync_fetch_and_add(&f->seen, 1) + 1;
	if (n < f->from || n > f->to)
		return 0;
	__sync_fetch_and_add(&f->failed, 1);
	return 1;
}

#define bpf_map_update_elem(m, k, v, f) \
	(fence_fault() ? -12 : (bpf_map_update_elem)((m), (k), (v), (f)))
#define bpf_sk_storage_get(m, s, v, f) \
	((f) && fence_fault() ? (void *)0 : (bpf_sk_storage_get)((m), (s), (v), (f)))
#define bpf_task_storage_get(m, t, v, f) \
	((f) && fence_fault() ? (void *)0 : (bpf_task_storage_get)((m), (t), (v), (f)))
#define bpf_ringbuf_reserve(r, n, f) \
	(fence_fault() ? (void *)0 : (bpf_ringbuf_reserve)((r), (n), (f)))
#define bpf_ringbuf_output(r, d, n, f) \
	(fence_fault() ? -11 : (bpf_ringbuf_output)((r), (d), (n), (f)))

#endif
