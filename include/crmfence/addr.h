/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Which addresses are nobody's on the internet: those that a public name has no business with, and
 * that lead to this machine, its network or the cloud's metadata service. Pure; shared by BPF and
 * user space. 16 octets, network order, IPv4 as ::ffff:a.b.c.d.
 *
 * Source: the IANA special-purpose registries (RFC 6890 and its updates). What only documents use
 * (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32) leads nowhere and is left out. A
 * NAT64 prefix of the network's own (RFC 6052) is not known here.
 */
#ifndef CRMFENCE_ADDR_H
#define CRMFENCE_ADDR_H

#include "abi.h"

FENCE_INLINE int fence_v4_is_private(const __u8 *a)
{
	switch (a[0]) {
	case 0: /* this network; Linux takes 0.0.0.0 for itself */
	case 10:
	case 127:
		return 1;
	case 100: /* 100.64/10, carriers' and some tunnels' */
		return (a[1] & 0xc0) == 64;
	case 169: /* link-local, with the cloud's metadata */
		return a[1] == 254;
	case 168: /* Azure's, for each machine its own */
		return a[1] == 63 && a[2] == 129 && a[3] == 16;
	case 172:
		return (a[1] & 0xf0) == 16;
	case 192: /* 192.168/16; 192.0.0/24, protocols' */
		return a[1] == 168 || (!a[1] && !a[2]);
	case 198: /* 198.18/15, benchmarks' */
		return (a[1] & 0xfe) == 18;
	default: /* multicast, reserved, broadcast */
		return a[0] >= 224;
	}
}

/* Sixteen bits of an IPv6 address. */
FENCE_INLINE __u16 fence_addr_part(const __u8 *a, int i)
{
	return (__u16)(a[2 * i] << 8 | a[2 * i + 1]);
}

/* An IPv4 address as a network without IPv4 has it (64:ff9b::/96, RFC 6052), by DNS64. */
FENCE_INLINE int fence_addr_is_nat64(const __u8 *a)
{
	return fence_addr_part(a, 0) == 0x64 && fence_addr_part(a, 1) == 0xff9b &&
	       !(fence_addr_part(a, 2) | fence_addr_part(a, 3) | fence_addr_part(a, 4) |
		 fence_addr_part(a, 5));
}

/* The address that is meant: NAT64's as IPv4. */
FENCE_INLINE void fence_addr_meant(const __u8 *a, __u8 *out)
{
	int i, nat64 = fence_addr_is_nat64(a);

	for (i = 0; i < 16; i++)
		out[i] = !nat64 || i > 11 ? a[i] : i < 10 ? 0 : 0xff;
}

FENCE_INLINE int fence_addr_is_private(const __u8 *a)
{
	__u16 first = fence_addr_part(a, 0), second = fence_addr_part(a, 1);
	int rest = fence_addr_part(a, 2) | fence_addr_part(a, 3);

	if (!first && !second && !rest) {
		if (!fence_addr_part(a, 4) && fence_addr_part(a, 5) == 0xffff) /* mapped */
			return fence_v4_is_private(a + 12);
		if (fence_addr_part(a, 4) == 0xffff &&
		    !fence_addr_part(a, 5)) /* translated, SIIT */
			return fence_v4_is_private(a + 12);
		return 1; /* ::, ::1, what is v4-compatible, and the rest of ::/64, which nobody has
			   */
	}
	if (first == 0x64 && second == 0xff9b) /* 64:ff9b:1::/48 is the network's own NAT64 */
		return !fence_addr_is_nat64(a) || fence_v4_is_private(a + 12);
	if (first == 0x2002) /* 6to4 */
		return fence_v4_is_private(a + 2);
	if (first == 0x2001 && !second) /* Teredo: to whom is hidden in it */
		return 1;
	return (a[0] & 0xfe) == 0xfc || /* unique local */
	       (first & 0xff80) == 0xfe80 || /* link-local; site-local, as it was */
	       a[0] == 0xff; /* multicast */
}

#endif
