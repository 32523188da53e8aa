/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Layer 4. The headers of a packet, as cgroup_skb programs see it: from the IP header on. */
#ifndef FENCE_BPF_WIRE_H
#define FENCE_BPF_WIRE_H

#include "fence.h"

#define LOOPBACK_IFINDEX 1

struct wire {
	__u8 addr[16]; /* the other side */
	__u32 off; /* of the payload */
	__u32 len; /* of the payload */
	__u32 seq;
	__u16 port; /* the other side's */
	__u8 proto;
	__u8 tcp_flags;
	__u8 odd; /* options, extension headers, a fragment: nothing a session sends */
	__u8 cut; /* DNS over TCP: the payload is a message's beginning only */
	__u8 counted; /* UDP: its header's length is what is there */
	__u8 ttl; /* or hop limit */
};

static __always_inline int wire_ports(struct __sk_buff *skb, struct wire *w, __u32 l4, int egress)
{
	__u8 h[20];

	if (w->proto == FENCE_IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, l4, h, 8))
			return -1;
		w->off = l4 + 8;
	} else {
		if (bpf_skb_load_bytes(skb, l4, h, 20))
			return -1;
		w->seq = (__u32)h[4] << 24 | (__u32)h[5] << 16 | (__u32)h[6] << 8 | h[7];
		w->tcp_flags = h[13];
		w->off = l4 + (h[12] >> 4) * 4;
	}
	w->port = egress ? (__u16)(h[2] << 8 | h[3]) : (__u16)(h[0] << 8 | h[1]);
	w->len = skb->len > w->off ? skb->len - w->off : 0;
	w->counted = w->proto == FENCE_IPPROTO_UDP && (__u32)(h[4] << 8 | h[5]) == w->len + 8;
	return 0;
}

/* Read the headers. Negative: neither TCP nor UDP, or too short. */
static __always_inline int wire_read(struct __sk_buff *skb, struct wire *w, int egress)
{
	__u32 v4, at;
	__u8 h[40], jumbo[4];

	w->odd = 0;
	w->cut = 0;
	w->ttl = 0;
	w->seq = 0;
	w->tcp_flags = 0;
	if (bpf_skb_load_bytes(skb, 0, h, 20))
		return -1;
	if (h[0] >> 4 == 4) {
		at = (h[0] & 15) * 4;
		w->odd = at != 20 || (h[6] & 0x3f) || h[7];
		w->proto = h[9];
		w->ttl = h[8];
		__builtin_memcpy(&v4, egress ? h + 16 : h + 12, 4);
		addr_from4(w->addr, v4);
	} else {
		if (bpf_skb_load_bytes(skb, 20, h + 20, 20))
			return -1;
		at = 40;
		w->proto = h[6];
		/* longer than 64 kB: the kernel's own header says how long (RFC 2675), and no more
		 */
		if (!h[4] && !h[5] && !h[6] && !bpf_skb_load_bytes(skb, 40, jumbo, 4) &&
		    !jumbo[1] && jumbo[2] == 0xc2 && jumbo[3] == 4) {
			w->proto = jumbo[0];
			at = 48;
		}
		w->ttl = h[7];
		__builtin_memcpy(w->addr, egress ? h + 24 : h + 8, 16);
	}
	if (w->proto != FENCE_IPPROTO_TCP && w->proto != FENCE_IPPROTO_UDP)
		return -1;
	return wire_ports(skb, w, at, egress);
}

#define SKBFL_SHARED 3 /* SKBFL_ZEROCOPY_ENABLE, SKBFL_SHARED_FRAG: include/linux/skbuff.h */

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/* bpf_cast_to_kern_ctx is there: 6.2. */
#define WIRE_SEES_SHARED \
	bpf_core_enum_value_exists(enum special_kfunc_type, KF_bpf_cast_to_kern_ctx)

/*
 * Can its sender still write to the payload (splice, sendfile, MSG_ZEROCOPY)? Then what is read
 * here is not what arrives. Before 6.2 that is not seen.
 */
static __always_inline int wire_shared(struct __sk_buff *skb)
{
	struct skb_shared_info *info;
	struct sk_buff *k;

	if (!WIRE_SEES_SHARED)
		return 0;
	k = bpf_cast_to_kern_ctx(skb);
	info = (void *)(BPF_CORE_READ(k, head) + BPF_CORE_READ(k, end));
	return !!(BPF_CORE_READ(info, flags) & SKBFL_SHARED);
}

/*
 * A datagram's payload lies behind its headers, copied there by send(2), on no page of its own? A
 * kernel from 6.5 splices pages into a datagram without a word in its flags (seen: 6.12; 6.18 has
 * it), and before 6.2 nobody sees flags. A TCP segment's payload is on pages always.
 */
static __always_inline int wire_copied(struct __sk_buff *skb, const struct wire *w)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 n = w->off + w->len;

	return n < 2048 && data + (n & 2047) <= end;
}

#define TCP_URG 0x20

/*
 * Does the payload arrive as it is seen here? Every reader of one asks. Not a datagram that the
 * device cuts into several (UDP_SEGMENT: each piece is one of its own), or whose header counts
 * other octets than there are, or whose payload is on pages; not a fragment, nor what has options
 * (`odd`); not pages that the sender can still write to; not urgent data (RFC 6093), which the
 * receiver may leave out of what it reads. A stream's own segmentation is fine: who reads a stream
 * sees all of it.
 */
static __always_inline int wire_whole(struct __sk_buff *skb, const struct wire *w)
{
	if (w->odd || wire_shared(skb))
		return 0;
	if (w->proto == FENCE_IPPROTO_UDP)
		return !skb->gso_size && w->counted && wire_copied(skb, w);
	return !(w->tcp_flags & TCP_URG);
}

#endif
