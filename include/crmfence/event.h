/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Records from the programs to the agent. Fixed-width types only, no padding that a compiler chose
 * (-Wpadded below), a tail of variable length where a struct ends in a name. Addresses network
 * order (IPv4 as ::ffff:a.b.c.d), ports host order, times CLOCK_BOOTTIME nanoseconds. A kind is
 * never reused; a record grows at its tail and its version goes up.
 *
 * exec id: the boot time of the exec in nanoseconds; unique per boot for all that matters here (two
 * execs in one nanosecond on two CPUs would share one). Processes that existed before the agent get
 * their start time plus their pid.
 */
#ifndef CRMFENCE_EVENT_H
#define CRMFENCE_EVENT_H

#include "abi.h"
#include "decide.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

enum fence_kind {
	FENCE_K_NONE,
	FENCE_K_EXEC, /* struct fence_rec_exec + path */
	FENCE_K_SESSION, /* struct fence_rec_session */
	FENCE_K_FLOW, /* struct fence_rec_flow: a flow begins */
	FENCE_K_NAME, /* struct fence_rec_flow + server name: its stream has said where it goes */
	FENCE_K_DENY, /* struct fence_rec_flow + name: a verdict that is not allow */
	FENCE_K_CLOSE, /* struct fence_rec_close */
	FENCE_K_DNS, /* struct fence_rec_dns + message */
	FENCE_K_MAX,
};

struct fence_rec {
	__u64 time;
	__u32 len; /* of the whole record with its tail */
	__u16 kind; /* enum fence_kind */
	__u8 version;
	__u8 flags; /* FENCE_REC_* */
};

#define FENCE_REC_URGENT 0x1 /* the agent was woken for it */
#define FENCE_REC_EXISTING 0x2 /* was there before the agent */
#define FENCE_REC_AGAIN 0x4 /* K_DENY: counted in `denied` already; only its socket has to go */

struct fence_rec_exec {
	struct fence_rec h;
	__u64 exec;
	__u64 parent_exec; /* exec id before this exec: that of the process which forked it, or its
			      own former program */
	__u64 start;
	__u64 session;
	__u64 ino; /* its file: with dev, size and changed, as they were at the exec */
	__u64 size; /* octets */
	__u64 changed; /* ctime in ns since 1970; 0: not known */
	__u64 cgroup; /* v2 cgroup id */
	__u32 dev; /* kernel's encoding: major << 20 | minor */
	__u32 tgid;
	__u32 parent;
	__u32 uid;
	__u8 tool;
	__u8 match; /* enum fence_match; NONE: inherited or not confined */
	__u8 check; /* waits for user space */
	__u8 rule; /* index into the tool's match list */
	__u16 path_len;
	__u16 spare;
	char path[]; /* resolved, not terminated; path_len octets */
};

enum fence_session_change {
	FENCE_SESSION_START = 1,
	FENCE_SESSION_END,
	FENCE_SESSION_SEIZED, /* a start; it had sockets, which are the session's: to be tagged */
	FENCE_SESSION_MOVED, /* a start; it ran already, and was moved into a tool's cgroup: what it
				holds is to be looked at, and what it has started is in it too */
};

struct fence_rec_session {
	struct fence_rec h;
	__u64 session;
	__u64 total; /* processes ever */
	__u64 start;
	__u32 tgid;
	__u8 rule;
	__u8 tool;
	__u8 match;
	__u8 change; /* enum fence_session_change */
};

struct fence_rec_flow {
	struct fence_rec h;
	__u64 cookie; /* socket */
	__u64 exec;
	__u64 start; /* of the process */
	__u64 session;
	__u64 netns; /* cookie; 0: unknown at this hook */
	__u8 addr[16]; /* as the program asked for it, where that is known */
	__u8 wire[16]; /* a packet's, where that is another one; all zero: it is not */
	__u32 tgid;
	__u32 uid; /* ~0: unknown at this hook */
	__u32 rule; /* ~0: none */
	__u16 port;
	__u8 tool;
	__u8 family; /* AF_INET or AF_INET6 as the socket has it */
	struct fence_facts facts;
	__u8 action; /* enum fence_action */
	__u8 reason; /* enum fence_reason */
	__u16 detail; /* AT_CREATE: type << 8 | protocol; AT_SOCKOPT: option; AT_DNS: question
		       * type; AT_STREAM: the port that a proxy was asked for, or 0
		       */
	__u16 level; /* AT_SOCKOPT: level */
	__u16 wire_port;
	__u16 name_len;
	__u16 spare;
	__u32 root; /* AT_UNIX, before the name was looked up: id of the mount that the process's
		       root directory is the root of, where root alone mounts; 0: not known */
	char name[]; /* lower case, as the stream or question had it; name_len octets */
};

struct fence_rec_close {
	struct fence_rec h;
	__u64 cookie;
	__u64 opened;
	__u64 tx; /* payload octets sent, retransmits not counted */
	__u64 rx;
	__u8 proto;
	__u8 shared; /* UDP: more than one remote address used this socket; octets are the socket's
		      */
	__u8 why; /* enum fence_reason: its packets were refused to the end; 0: they were not */
	__u8 spare[5];
};

struct fence_rec_dns {
	struct fence_rec h;
	__u64 cookie;
	__u64 exec;
	__u64 session;
	__u8 resolver[16];
	__u32 tgid;
	__u16 msg_len; /* octets that follow */
	__u8 learned; /* addresses put into the allow map */
	__u8 spare;
	__u8 msg[];
};

/*
 * `denied`, hash: the same denial again is counted, not sent. The agent bumps the epoch and reads
 * an epoch's entries when no program can touch them any more, so that the counts are exact.
 */
struct fence_denial_key {
	__u64 session;
	__u64 exec;
	__u64 name; /* hash; 0: none */
	__u8 addr[16];
	__u32 epoch;
	__u16 port;
	__u16 detail;
	__u16 level;
	__u8 at;
	__u8 reason;
	__u8 action;
	__u8 proto;
	__u16 spare;
};

#define FENCE_DENIAL_REC (sizeof(struct fence_rec_flow) + 256)

struct fence_denial {
	__u64 count;
	__u64 last;
	__u64 told; /* 1: the first went through the ring */
	__u64 rec[FENCE_DENIAL_REC / 8]; /* struct fence_rec_flow + name: the first */
};

/* `pulse`, array of one, written by the agent every turn. */
struct fence_pulse {
	__u64 beat; /* CLOCK_MONOTONIC: a laptop that slept has not been silent */
	__u64 limit; /* ns */
	__u32 epoch; /* of `denied` */
	__u32 probe; /* tgid of the agent while it tests itself; 0 */
};

/* One per process from the iterator at start; not a ring record. */
struct fence_recon_task {
	__u64 exec;
	__u64 parent_exec;
	__u64 start;
	__u32 tgid;
	__u32 parent;
	__u32 kernel; /* 1: a kernel thread */
	__u16 shared; /* 1: the programs see payload that is on shared pages */
	__u16 overflow; /* 1: who is not known may be a session's, and stays unknown */
};

/* One per socket that became a session's while it was open; not a ring record. */
struct fence_recon_socket {
	__u64 cookie;
	__u64 session;
	__u8 addr[16]; /* the other side, when it is connected */
	__u32 tgid;
	__u16 port; /* 0: not connected */
	__u8 tool;
	__u8 family;
	__u8 proto;
	__u8 unseen; /* 1: no inet socket, but what carries out unseen (FENCE_G_INHERIT) */
	__u8 untagged; /* 1: there was no room for its tag */
	__u8 spare[5];
};

#pragma GCC diagnostic pop

_Static_assert(sizeof(struct fence_rec) == 16, "record header");
_Static_assert(sizeof(struct fence_facts) == 8, "facts");
_Static_assert(FENCE_DENIAL_REC % 8 == 0, "a record in words");

#endif
