/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Versions, limits and counters shared by the BPF programs and user space.
 *
 * FENCE_ABI names the layout of every map and record in include/crmfence. Pinned state of another
 * ABI is refused, never reinterpreted. Bump it when a struct below changes other than by growing a
 * record at its tail.
 */
#ifndef CRMFENCE_ABI_H
#define CRMFENCE_ABI_H

#include <linux/types.h>

/* BPF has no calls with struct results; the verifier likes these inlined, and so does the host. */
#define FENCE_INLINE static inline __attribute__((always_inline))

#define FENCE_MAGIC 0x65636e65666d7263ULL /* "crmfence", little endian */
#define FENCE_ABI 10

#define FENCE_TOOL_MAX \
	32 /* tools a policy may have; tool ids are 1..FENCE_TOOL_MAX, 0 is "none" \
	    */
#define FENCE_TOOL_NAME_MAX 48 /* bytes of a tool's name with its NUL */
#define FENCE_RULE_MAX 4096 /* compiled rules of one policy */
#define FENCE_PORTS_MAX 8 /* ports of one allow entry */
#define FENCE_NAME_MAX 253 /* octets of a DNS name in text form, RFC 1035 2.3.4 */
#define FENCE_LABEL_MAX 63 /* octets of one label */
#define FENCE_STAR_MAX 40 /* octets that the "*" of "acme--*" may stand for */
#define FENCE_PATH_MAX 512 /* bytes of an executable's path kept in a record */
#define FENCE_DNS_MAX 1232 /* bytes of a DNS message that are read (the usual EDNS size) */
/* octets of a confined DNS question: header, name, type, class, OPT */
#define FENCE_DNS_ASK_MAX 326
/* RDATA octets of the OPT record that a confined question may carry: the longest cookie */
#define FENCE_DNS_OPT_MAX 44
#define FENCE_DNS_SIZE_MIN 512 /* the least UDP size that OPT can give, RFC 6891 6.2.3 */
/* a confined question that may cross fewer routers dies on its way: somebody else would answer it
 */
#define FENCE_DNS_HOPS_MIN 32
#define FENCE_ASKED_MAX 16384 /* distinct questions of sessions that are remembered ... */
#define FENCE_ASKED_NS (3600ULL * 1000000000) /* ... and for how long */
#define FENCE_ASK_WINDOW_NS (60ULL * 1000000000) /* "distinct" is a number a minute */
/* all questions of a session, the same again too: 200 a second, 2,000 at once */
#define FENCE_ASK_NS (1000000000ULL / 200)
#define FENCE_ASK_BURST_NS (2000 * FENCE_ASK_NS)
#define FENCE_RANGE_MAX 8192 /* networks of "ip_ranges" */
#define FENCE_DNS_BATCH 4 /* messages of one segment that are read, DNS over TCP */
#define FENCE_HELLO_MAX 16384 /* bytes a ClientHello may have before its server name is known */
/* bytes of a request head to a proxy: a Kerberos ticket may be in it */
#define FENCE_CONNECT_MAX 32768
#define FENCE_PROC_MAX 65536 /* live processes that are known */
#define FENCE_SESSION_MAX 1024 /* live sessions */
#define FENCE_SEIZED_MAX 65536 /* sockets of new sessions that the agent has not tagged yet */
#define FENCE_ANSWER_MAX 16384 /* (tool, port, name, address) tuples that DNS gave */
#define FENCE_QUESTION_MAX \
	4096 /* DNS questions of confined processes that wait for their answer \
	      */
#define FENCE_RING_SIZE (1u << 20)
#define FENCE_DENIALS_SIZE (256u << 10) /* denials and sessions have a ring of their own */
#define FENCE_DENIED_MAX 8192 /* distinct denials of one epoch */
#define FENCE_PROBE_PROTOCOL \
	0x4352 /* plus 1 or 2, the tier: of a socket of the agent's self-test */
#define FENCE_RING_WAKE (256u << 10) /* wake the agent early when this much waits */

#define FENCE_QUESTION_NS \
	(10ULL * 1000000000) /* an answer later than this is late and changes nothing */

/* What BPF counts instead of printing; index into the `counters` map, summed over CPUs. */
enum fence_counter {
	FENCE_C_RING_LOST, /* records that found the ring full */
	FENCE_C_RING_LOST_DENY, /* denials and sessions that found their ring full, and `denied` too
				 */
	FENCE_C_PROC_FULL, /* processes that found `procs` full */
	FENCE_C_SESSION_FULL, /* sessions that found `sessions` full: their process was confined to
				 nothing */
	FENCE_C_SOCK_FULL, /* sockets whose state could not be stored */
	FENCE_C_SCRATCH_BUSY, /* packets that found no scratch buffer: denied when confined */
	FENCE_C_ANSWER_FULL, /* addresses that could not be stored */
	FENCE_C_ARG_FAULT, /* argument vectors that could not be read at exec */
	FENCE_C_DENIED, /* denials, each try */
	FENCE_C_MAX,
};

#endif
