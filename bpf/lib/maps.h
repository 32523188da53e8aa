/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 2. Every map. All are pinned by name and shared by the sensors; user/kernel fills the
 * policy ones. What happens when one is full, absent or late stands with it, and in bpf/README.md.
 */
#ifndef FENCE_BPF_MAPS_H
#define FENCE_BPF_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include <crmfence/event.h>
#include <crmfence/name.h>
#include <crmfence/rule.h>
#include "dns.h"
#include "frame.h"
#include "head.h"
#include "walk.h"

/* One entry, always there. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fence_config);
} config SEC(".maps") __weak;

/*
 * Full: the child of a session raises `overflow`, and unknown processes are refused; any
 * other child is recorded without its program.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FENCE_PROC_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct fence_proc);
} procs SEC(".maps") __weak;

/*
 * One entry, always there, of the programs alone: 1 when a session's child could not be tagged.
 * Until the next boot, or --unpin: nobody can tell any more who that child was.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} overflow SEC(".maps") __weak;

/* Full: the new session's processes find none, and are refused everything. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FENCE_SESSION_MAX);
	__type(key, __u64);
	__type(value, struct fence_session);
} sessions SEC(".maps") __weak;

/*
 * Sockets of a v2 cgroup belong to its session, whoever made them. Filled by the agent; full: the
 * agent refuses the session.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FENCE_SESSION_MAX);
	__type(key, __u64);
	__type(value, __u64);
} cgroups SEC(".maps") __weak;

/* Filled by the agent from the policy; a policy that does not fit is refused. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096); /* two policies', while one replaces the other */
	__type(key, struct fence_match_key);
	__type(value, struct fence_match_rule);
} matches SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fence_name_key);
	__type(value, struct fence_unit_rule);
} units SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, FENCE_RULE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fence_name_key);
	__type(value, struct fence_rule);
} names SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, FENCE_RULE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fence_net_key);
	__type(value, struct fence_answer);
} nets SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * FENCE_RANGE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fence_range_key);
	__type(value, __u32);
} ranges SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fence_service_key);
	__type(value, __u32);
} services SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct fence_own_key);
	__type(value, __u32);
} own SEC(".maps") __weak;

/* Full: the least recently used goes; a connect to it is refused until DNS is asked again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FENCE_ANSWER_MAX);
	__type(key, struct fence_answer_key);
	__type(value, struct fence_answer);
} answers SEC(".maps") __weak;

/* Full: the least recently asked goes; its answer then changes nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FENCE_QUESTION_MAX);
	__type(key, struct fence_question_key);
	__type(value, struct fence_question);
} questions SEC(".maps") __weak;

/* Full: the least recently asked goes; asked again, it counts as another. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FENCE_ASKED_MAX);
	__type(key, struct fence_asked_key);
	__type(value, __u64);
} asked SEC(".maps") __weak;

/* Full: the least recently used goes; its next datagram makes one more flow record. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fence_peer_key);
	__type(value, __u8);
} peers SEC(".maps") __weak;

/* No memory: a confined socket is refused; any other is not recorded. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct fence_sock);
} socks SEC(".maps") __weak;

/* Full, or no memory: the process ends. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FENCE_SEIZED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct fence_seized);
} seized SEC(".maps") __weak;

/*
 * One entry, always there, of the programs alone: how many `seized` has. While it is 0, which is
 * nearly always, nobody looks there.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seizing SEC(".maps") __weak;

/* Only while a stream has not said where it goes. No memory: as above. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fence_walk);
} walks SEC(".maps") __weak;

/* No memory: the question is refused. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fence_frames);
} frames SEC(".maps") __weak;

/* Full: the one that waits longest goes; what it held, user space cuts. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, struct fence_hold);
} holds SEC(".maps") __weak;

/* One entry, always there. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fence_pulse);
} pulse SEC(".maps") __weak;

/* Full: each denial goes through the ring. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FENCE_DENIED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fence_denial_key);
	__type(value, struct fence_denial);
} denied SEC(".maps") __weak;

/* Denials and sessions. Full: `denied` still counts; a session's record is lost and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FENCE_DENIALS_SIZE);
} denials SEC(".maps") __weak;

/* Full: the record is lost and counted; the verdict stands. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FENCE_RING_SIZE);
} ring SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FENCE_C_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps") __weak;

/*
 * Names by tool id, the agent's: ids are in processes and sockets, and mean the same in every
 * policy.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FENCE_TOOL_MAX + 1);
	__type(key, __u32);
	__type(value, char[FENCE_TOOL_NAME_MAX]);
} tools SEC(".maps") __weak;

/* Of the counters, what the log has already: the agent's, kept here for the next one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FENCE_C_MAX);
	__type(key, __u32);
	__type(value, __u64);
} logged SEC(".maps") __weak;

/*
 * Room that does not fit on the stack. A program may be interrupted, or preempted, by another on
 * the same CPU, so a slot is taken with a compare-and-swap and given back; a program holds two at
 * most. None free: a confined packet is refused, any other is not recorded.
 */
#define FENCE_SLOTS 8

struct fence_scratch {
	__u32 busy;
	__u32 spare;
	union {
		struct {
			__u8 msg[FENCE_DNS_BUF];
			struct fence_dns dns;
		};
		struct {
			__u8 text[FENCE_HEAD_BUF];
			struct fence_head head;
			struct fence_hold hold;
		};
		struct {
			char path[2 * FENCE_PATH_MAX + 256];
			char arg[4096];
		};
	};
	__u64 room[(sizeof(struct fence_rec_dns) + FENCE_DNS_BUF) / 8]; /* a record with its tail */
	struct fence_name_key key;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FENCE_SLOTS);
	__type(key, __u32);
	__type(value, struct fence_scratch);
} scratch SEC(".maps") __weak;

/* proc_exec's own: whoever holds the others cannot keep a tool from being recognised. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FENCE_SLOTS);
	__type(key, __u32);
	__type(value, struct fence_scratch);
} exec_scratch SEC(".maps") __weak;

#ifdef FENCE_FAULTS
#include "faults.h"
#else
#define fence_fault() 0
#endif

#endif
