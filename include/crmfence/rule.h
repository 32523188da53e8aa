/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The compiled policy: keys and values of the maps that the programs read. Addresses are 16 bytes
 * in network order, IPv4 as
 * ::ffff:a.b.c.d; ports in host order; times CLOCK_BOOTTIME nanoseconds.
 */
#ifndef CRMFENCE_RULE_H
#define CRMFENCE_RULE_H

#include "abi.h"
#include "decide.h"
#include "hash.h"
#include "name.h"

/*
 * Two banks: a policy is built beside the one that is in force, in keys whose tool (or `bank`) has
 * FENCE_BANK set or not, and one word of `config` says which counts. No live rule is ever edited.
 */
#define FENCE_BANK 0x80

/*
 * `names`, LPM trie. data = tool, then the reversed name of name.h. prefixlen counts bits of data.
 */
struct fence_name_key {
	__u32 prefixlen;
	__u8 tool;
	char name[255];
};

#define FENCE_NAME_KEY_BITS(octets) (8u * (1u + (octets)))

#define FENCE_RULE_PLAIN 0x1 /* "tls": false */
#define FENCE_RULE_ASK \
	0x2 /* the host of a proxy: may be asked of DNS, and spoken to with CONNECT */

#define FENCE_RULE_OWN 0x4 /* a host of the customer's own org, or its login */
#define FENCE_RULE_PRIVATE 0x8 /* its address may be other than a public one, addr.h */

struct fence_rule {
	__u32 id; /* index into the policy's list of rules, for people */
	__u16 flags; /* FENCE_RULE_* */
	__u16 nports; /* 1..FENCE_PORTS_MAX, FENCE_RULE_ASK: the proxy's own port */
	__u16 ports[FENCE_PORTS_MAX];
};

/*
 * `nets`, LPM trie: listed CIDRs. data = tool, port in host order, address. Map key: one entry a
 * (tool, port, net).
 */
struct fence_net_key {
	__u32 prefixlen;
	__u8 tool;
	__u8 spare;
	__u16 port;
	__u8 addr[16];
};

#define FENCE_NET_KEY_BITS(bits) (32u + (bits))

/*
 * `ranges`, LPM trie: the networks of "ip_ranges". data = FENCE_BANK or 0, three zero octets,
 * address.
 */
struct fence_range_key {
	__u32 prefixlen;
	__u8 bank;
	__u8 spare[3];
	__u8 addr[16];
};

#define FENCE_RANGE_KEY_BITS(bits) (32u + (bits))

/* `services`, hash: resolvers, proxies, loopback ports, by exact address. tool 0 = every tool. */
enum fence_service {
	FENCE_SVC_RESOLVER = 1,
	FENCE_SVC_PROXY,
	FENCE_SVC_LOCAL, /* addr is zero: the port on any address of this machine */
	/*
	 * Unix sockets by name: addr begins with the name's hash (hash.h, as the others of this
	 * enum). UNIX: a path where none but root can listen. OWNED: any path or, after '@',
	 * abstract name; then the hash of the listener's program's path, or of its unit's name.
	 * Both are for hooks that see the peer.
	 */
	FENCE_SVC_UNIX,
	FENCE_SVC_OWNED,
	FENCE_SVC_DIRS, /* the tool has "write" */
	FENCE_SVC_DIR, /* addr is device (20 bits minor) and inode, 8 octets each, of a directory of
			* it
			*/
	FENCE_SVC_ORG, /* addr is the id of an org of the policy's, 15 characters */
	FENCE_SVC_ORIGIN, /* addr begins with the hash of a listed extension's id, or UUID */
	FENCE_SVC_CLAIM, /* a Unix name that will do unproved, for the hook that sees no peer */
	FENCE_SVC_SHUT, /* tool 0; as FENCE_SVC_DIR: below it root's sessions write nothing, others
			 * what is their own; the port says how far (enum fence_shut)
			 */
};

enum fence_shut {
	FENCE_SHUT_BELOW, /* the directory and all below it */
	FENCE_SHUT_ENTRIES, /* the names directly in it: they lead to directories of BELOW */
	FENCE_SHUT_PLACE, /* it is not moved or replaced: one of BELOW is inside it */
};

struct fence_service_key {
	__u8 addr[16];
	__u16 port;
	__u8 tool;
	__u8 kind; /* enum fence_service */
};

/*
 * `answers`, LRU hash: what DNS gave. One entry with name = 0 (any name) and one with the name's
 * hash.
 */
struct fence_answer_key {
	__u64 name;
	__u8 addr[16];
	__u16 port;
	__u8 tool;
	__u8 spare[5];
};

struct fence_answer {
	__u64 until; /* not good after this */
	__u32 rule;
	__u32 flags; /* FENCE_RULE_* */
};

/* `questions`, LRU hash: what a confined socket asked. */
struct fence_question_key {
	__u64 cookie; /* socket */
	__u8 resolver[16];
	__u16 id; /* DNS id, network order as on the wire */
	__u16 port; /* resolver's port */
	__u32 spare;
};

struct fence_question {
	__u64 name; /* hash of the name asked for */
	__u64 asked;
	__u16 qtype;
	__u8 tool;
	__u8 local; /* it went out through lo: so must its answer come */
	__u8 bank; /* of the policy that let it go */
	__u8 spare[3];
	struct fence_rule rule;
	__u32 pad;
};

/*
 * `asked`, LRU hash: the questions of a session that differ in more than their id, each by a keyed
 * hash of it. Value: when it was asked last, good for FENCE_ASKED_NS.
 */
struct fence_asked_key {
	__u64 session;
	__u64 mark; /* fence_dns_mark() */
};

/* `matches`, hash: how a process is recognised at exec. */
enum fence_match {
	FENCE_MATCH_NONE,
	FENCE_MATCH_EXE, /* key: hash of the resolved path */
	FENCE_MATCH_CGROUP, /* key: hash of the name (a unit's) or of the path of a cgroup on the
			       way to the root */
	FENCE_MATCH_UID, /* key: uid */
	FENCE_MATCH_NATIVE, /* key: hash of the 32 letters of the extension id */
	FENCE_MATCH_EXEC, /* crmfence exec */
	FENCE_MATCH_JOIN, /* crmfence join: it ran already */
	FENCE_MATCH_FILE, /* key: inode and device of a listed executable; told as EXE */
	FENCE_MATCH_NAME, /* key: hash of the path that execve(2) was given, or of a script's
			     interpreter as its first line has it; told as EXE */
	FENCE_MATCH_MAX,
};

#define FENCE_MATCH_CHECK 0x1 /* user space has to confirm; confined until then */
#define FENCE_MATCH_SIGHT 0x2 /* its TLS is to be seen */
#define FENCE_MATCH_LOOSE 0x4 /* seen, not confined: what it starts may be another tool's */
#define FENCE_MATCH_TAINT 0x8 /* beside it: until it has read from the org */

struct fence_match_key {
	__u64 value;
	__u32 kind; /* enum fence_match */
	__u32 bank;
	__u32 dev; /* FENCE_MATCH_FILE: the kernel's encoding, major << 20 | minor */
	__u32 spare;
};

struct fence_match_rule {
	__u8 tool;
	__u8 flags; /* FENCE_MATCH_* above */
	__u8 rule; /* index into the tool's match list */
	__u8 spare;
};

/*
 * `units`, LPM trie, key struct fence_name_key with bank and no tool: what a cgroup's name begins
 * with. It is a match where the name also ends as one of these says, and something is between. The
 * longest key that fits is the one that is found: it has those that begin shorter too.
 */
#define FENCE_UNIT_ENDS 4

struct fence_unit_end {
	__u64 hash; /* of the end */
	__u32 head; /* octets that the name begins with; 0: no more ends */
	__u32 tail; /* octets of the end */
	struct fence_match_rule rule;
	__u32 spare;
};

struct fence_unit_rule {
	struct fence_unit_end end[FENCE_UNIT_ENDS];
};

/* `config`, array of one. Written by the agent; the generation changes with every policy. */
#define FENCE_CFG_MONITOR 0x1
#define FENCE_CFG_QUIC 0x2
#define FENCE_CFG_NATIVE 0x4 /* some tool is recognised by its extension: read argv at exec */
#define FENCE_CFG_CGROUP 0x8 /* some tool is recognised by cgroup */
#define FENCE_CFG_EXE 0x10 /* some tool is recognised by its executable */
#define FENCE_CFG_UNITS 0x1000 /* some tool's unit has a star */
#define FENCE_CFG_CGROUPS 0x20 /* `cgroups` is not empty */
#define FENCE_CFG_SIGHT 0x80 /* some tool's TLS is seen: a request may be held */
#define FENCE_CFG_ORGS 0x100 /* the policy says which orgs are the customer's */
#define FENCE_CFG_PROXIES 0x200 /* there are proxies: what they answer is read */
#define FENCE_CFG_BANK 0x40 /* the policy's keys have FENCE_BANK */
#define FENCE_CFG_RANGES 0x400 /* `ranges` has Salesforce's addresses */
#define FENCE_CFG_RANGES_TELL 0x800 /* the org's name elsewhere is learned, and told */

struct fence_config {
	__u64 magic; /* FENCE_MAGIC */
	__u32 abi;
	__u32 flags; /* FENCE_CFG_* */
	__u64 generation;
	__u64 cgroup; /* inode of the directory that the programs are attached at */
	__u64 ttl_floor; /* ns */
	__u64 ttl_ceiling; /* ns */
	__u8 policy[32]; /* SHA-256 of the policy's file, and of what it reads */
	__u64 distinct_ns; /* what one more question costs of FENCE_ASK_WINDOW_NS */
	__u64 key[FENCE_HASH_KEY]; /* of the keyed hashes (hash.h); stays while the pins do */
};

/* `procs`, hash by tgid: every live process that is known. */
struct fence_proc {
	__u64 exec; /* id of its last exec, inherited at fork; see fence_rec_exec */
	__u64 session; /* 0: not confined */
	__u64 start; /* task start, boot time */
	__u64 program; /* hash of its executable's path; 0: not known, or a name in a mount
			  namespace that is not root's */
	__u32 parent; /* tgid of the parent at fork */
	__u8 tool;
	__u8 check; /* 1: waits for user space to confirm the match */
	__u8 sight; /* 1: its TLS is to be seen */
	__u8 spare;
};

/*
 * `own`, hash: the fence's own objects, which in tier A only the agent's program may change. Value:
 * the time it was written, a stamp.
 */
enum fence_own {
	FENCE_OWN_PROGRAM = 1, /* id: hash of the agent's executable's path */
	FENCE_OWN_MAP, /* id: the kernel's */
	FENCE_OWN_LINK, /* id: the kernel's */
	FENCE_OWN_DIR, /* id: device (20 bits minor) << 32 | inode */
};

struct fence_own_key {
	__u64 id;
	__u32 kind; /* enum fence_own */
	__u32 spare;
};

enum fence_cleared {
	FENCE_CONFINED,
	FENCE_CLEARED, /* not confined: user space refuted the match, or the tool is but seen */
	FENCE_UNTAINTED, /* seen, until something has been read from the org: then confined */
};

/* `sessions`, hash by session id (the exec id of its first process). */
struct fence_session {
	__u64 start;
	__u64 procs; /* live processes */
	__u64 total; /* processes ever */
	__u8 tool;
	__u8 match; /* enum fence_match */
	__u8 cleared; /* enum fence_cleared */
	__u8 rule;
	__u32 tgid; /* first process */
	__u64 asks; /* time up to which its questions are paid for, FENCE_ASK_NS each ... */
	__u64 distinct; /* ... and those that differ from earlier ones; only programs write both */
};

/*
 * What user space changes of a session: beside programs that count its processes meanwhile, so by a
 * program too (session_set), never by writing the whole entry.
 */
struct fence_session_set {
	__u64 id;
	__u64 more; /* processes that have joined it */
	__u8 clears; /* 1: `cleared` becomes `to`, where it is `from` or `from` is FENCE_ANY_CLEARED
		      */
	__u8 from, to; /* enum fence_cleared */
	__u8 leaves; /* 1: a process has left it, for another */
	__u8 spare[4];
};

#define FENCE_ANY_CLEARED 0xff

/* `socks`, socket storage: what is known of a socket. Kept small: it is read for every packet. */
enum fence_phase {
	FENCE_PH_NEW, /* no destination yet */
	FENCE_PH_WALK, /* TCP: the stream has not said yet where it goes */
	FENCE_PH_OPEN, /* nothing left to look at */
	FENCE_PH_DENIED, /* payload is refused until the socket is gone */
	FENCE_PH_REFUSED, /* TCP: the destination is, and so is every packet, until it connects
			     again */
};

#define FENCE_SK_SEQ 0x01 /* next_seq holds */
#define FENCE_SK_FLOW 0x02 /* a flow record was made: a close record is due */
#define FENCE_SK_SHARED 0x04 /* UDP: more than one remote address */
#define FENCE_SK_VIA_PROXY 0x08 /* inside an accepted CONNECT, name holds its name's hash */
#define FENCE_SK_PLAIN 0x10 /* the address was given by a rule with "tls": false */
#define FENCE_SK_TOLD \
	0x20 /* monitor: a would-deny was recorded; the rest is only watched, and refused when a \
		policy that enforces comes */
#define FENCE_SK_EXISTING 0x40 /* was there before the agent */
#define FENCE_SK_UNTOLD \
	0x80 /* refused, but the ring was full: the agent has still to destroy it \
	      */

struct fence_sock {
	__u64 session; /* 0: not confined */
	__u64 exec;
	__u64 start;
	__u64 opened;
	__u64 name; /* hash: the server name, or what CONNECT asked for; 0: none */
	__u64 tx; /* UDP only; TCP has its own */
	__u64 rx;
	__u64 listed; /* UDP: the last destination that a rule's own address let pass; listed_word
		       */
	__u8 addr[16];
	__u32 next_seq;
	__u32 rule;
	__u32 tgid;
	__u32 uid;
	__u32 generation; /* of the policy that let the stream go on */
	__u32 first; /* the sequence number of its SYN, with FENCE_SK_SEQ */
	__u16 port;
	__u8 tool;
	__u8 phase; /* enum fence_phase */
	__u8 flags; /* FENCE_SK_* */
	__u8 proto;
	__u8 kind; /* enum fence_addr */
	__u8 family;
	__u8 why; /* enum fence_reason, FENCE_PH_DENIED and FENCE_PH_REFUSED */
	__u8 spare[7];
};

/*
 * `seized`, hash by a socket's address in the kernel: what a tool had in its hands at the exec that
 * made it a session. Its socket storage may still be nobody's.
 */
struct fence_seized {
	__u64 session;
	__u64 start; /* of the process */
	__u32 tgid;
	__u8 tool;
	__u8 proto;
	__u8 family;
	__u8 released; /* TCP: nobody has it open any more; it goes when its connection has ended */
};

/*
 * `frames`, socket storage of a session's DNS over TCP (RFC 1035 4.2.2): where messages begin, each
 * way.
 */
struct fence_frames {
	__u32 rx_next; /* sequence number behind what was read of the answers */
	__u32 rx_left; /* octets of an answer that are still to come */
	__u16 rx_len; /* the next answer's length, when it came alone; 0: it is still to come */
	__u16 tx_len; /* the next question's, likewise */
	__u8 rx_on; /* rx_next holds */
	__u8 rx_lost; /* an answer cannot be followed: no more is learned here */
	__u8 spare[2];
};

/*
 * `holds`, LRU hash by thread (pid_tgid), and by socket (FENCE_HOLD_SOCKET | cookie) where it is
 * known: what is about to be sent was refused before it was encrypted. A thread's is good for its
 * next send.
 */
#define FENCE_HOLD_SOCKET (1ULL << 63)

struct fence_hold {
	__u64 session;
	__u64 time;
	struct fence_facts facts;
	__u32 rule;
	__u32 spare;
	struct fence_name name; /* the request's authority */
};

#define FENCE_HOLD_NS \
	(5ULL * 1000000000) /* a thread that has not sent by then sends something else */

/* `peers`, LRU hash: remote addresses of datagram sockets that use more than one. */
struct fence_peer_key {
	__u64 cookie;
	__u8 addr[16];
	__u16 port;
	__u8 spare[6];
};

#endif
