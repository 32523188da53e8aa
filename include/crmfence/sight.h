/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * TLS sight: what the uprobes of bpf/tls.bpf.c read of a watched process's TLS calls. Plaintext: it
 * goes from the ring to the agent's parsers and nowhere else.
 */
#ifndef CRMFENCE_SIGHT_H
#define CRMFENCE_SIGHT_H

#include "abi.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

/*
 * How a probed function is called (System V ABI; Go: its own registers), and so where its buffer
 * and its result are. The low octet of an attach cookie.
 */
enum fence_tls_call {
	FENCE_TLS_CALL_NONE,
	FENCE_TLS_WRITE_N, /* (conn, buf, len), returns octets taken */
	FENCE_TLS_WRITE_EX, /* (conn, buf, len, size_t *done), returns 1 */
	FENCE_TLS_WRITE_BSSL, /* (conn, bool *, size_t *done, buf, len), returns 1 */
	FENCE_TLS_WRITE_PR, /* as WRITE_N, of a layered PRFileDesc only */
	FENCE_TLS_READ_N, /* (conn, buf, len), returns octets given */
	FENCE_TLS_READ_EX, /* (conn, buf, len, size_t *done), returns 1 */
	FENCE_TLS_READ_BSSL, /* (conn, struct { u8 *p; size_t n; } *out, ..), returns 0 */
	FENCE_TLS_READ_PR,
	FENCE_TLS_RECV_PR, /* as READ_PR, with flags: what is peeked at will be read again */
	FENCE_TLS_READ_KEPT, /* inside (conn, buf, len, size_t *done), where rax will be returned */
	FENCE_TLS_GO_WRITE, /* rax conn, rbx buf, rcx len; entry only */
	FENCE_TLS_GO_READ, /* rax conn, rbx buf; entry */
	FENCE_TLS_GO_RETURN, /* of Read: rax octets, at a RET instruction */
	FENCE_TLS_FREE, /* (conn): it ends; entry only */
	FENCE_TLS_WRITE_RUSTLS, /* (out, conn, message): octets and type in *message, record in *out
				 */
	FENCE_TLS_READ_RUSTLS, /* (out, conn, ..): the same of *out */
	FENCE_TLS_BIO_WRITE, /* (bio, buf, len): records of the TLS call around it; entry only */
	FENCE_TLS_CALL_MAX,
};

/*
 * A probe's attach cookie: its call; rustls: where in a connection its encrypter and count are;
 * READ_KEPT: the registers of conn and buf, of done and of what is not zero when it peeks.
 */
#define FENCE_TLS_COOKIE(call, box, seq) ((call) | (__u64)(box) << 8 | (__u64)(seq) << 16)
#define FENCE_TLS_KEPT(a, b) ((__u8)((a) | (b) << 4)) /* as instructions number them; 4: none */

#define FENCE_SIGHT_CHUNK 4096 /* octets of plaintext in one record */
#define FENCE_SIGHT_SMALL 512 /* smaller records for what fits */
#define FENCE_SIGHT_TINY 64 /* a frame's header */
#define FENCE_SIGHT_CALL 16 /* chunks of one run; what is beyond is a gap */
#define FENCE_SIGHT_FRAMES_AT_ONCE 64 /* HTTP/2 frames of a call; with more, it is read whole */
#define FENCE_SIGHT_BODY 128 /* octets of a body that are fewer are not worth passing over */
#define FENCE_SIGHT_RING (8u << 20)
#define FENCE_SOLE_NS 60000000000ULL /* what a browser has installed is believed for so long */
#define FENCE_SIGHT_FRAMES 4 /* TLS calls inside one another on one thread */

enum fence_sight_kind {
	FENCE_SIGHT_DATA = 1, /* struct fence_sight_rec + octets */
	FENCE_SIGHT_MAP, /* the connection's socket became known: cookie */
	FENCE_SIGHT_END, /* the connection is freed */
	FENCE_SIGHT_TAINT, /* its session is confined from now on: it reads from the org */
};

/* How a connection's socket was found. */
enum fence_sight_how {
	FENCE_SIGHT_UNMAPPED,
	FENCE_SIGHT_GUESSED, /* the thread's next send after the TLS call */
	FENCE_SIGHT_EXACT, /* sent to inside the TLS call, or it sent that record's very end */
};

struct fence_sight_rec {
	__u64 time; /* CLOCK_BOOTTIME */
	__u64 conn; /* id: boot time of its first call; unique per boot */
	__u64 cookie; /* socket; 0: not known yet */
	__u64 offset; /* octets of this direction before these, seen or not */
	__u64 exec;
	__u64 session;
	__u32 tgid;
	__u32 call; /* octets of the whole run, a call's or what is between two bodies of it */
	__u16 len; /* octets that follow */
	__u8 kind; /* enum fence_sight_kind */
	__u8 out; /* 1: written, 0: read */
	__u8 how; /* enum fence_sight_how */
	__u8 tool;
	__u8 part; /* which chunk of its run, from 0 */
	__u8 spare;
	__u32 after; /* octets of bodies behind these, which are passed over on purpose */
	__u32 spare2;
	__u8 data[];
};

/* What the sensor counts; index into its `missed` map, summed over CPUs. */
enum fence_sight_miss {
	FENCE_SIGHT_RING_FULL, /* chunks that found the ring full */
	FENCE_SIGHT_FAULT, /* chunks that were not in memory */
	FENCE_SIGHT_NO_FRAME, /* returns whose entry is not known */
	FENCE_SIGHT_LONG, /* calls of more than FENCE_SIGHT_CALL chunks */
	FENCE_SIGHT_MISS_MAX,
};

/* Where packet_egress goes on with a session's packet while sight looks for it (`packet_after`). */
enum fence_packet_end {
	FENCE_PACKET_PASSED,
	FENCE_PACKET_REFUSED,
	FENCE_PACKET_ENDS,
};

#pragma GCC diagnostic pop

_Static_assert(sizeof(struct fence_sight_rec) == 72, "sight record");

#endif
