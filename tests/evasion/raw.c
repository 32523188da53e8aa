// SPDX-License-Identifier: Apache-2.0
/* Ways out below, or beside, TCP and UDP. */
#include "evade.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sockaddr_in to4(const char *addr)
{
	struct sockaddr_in a = { .sin_family = AF_INET };

	inet_pton(AF_INET, addr, &a.sin_addr);
	return a;
}

static uint16_t sum(const void *data, size_t n)
{
	const uint16_t *p = data;
	uint32_t s = 0;

	for (; n > 1; n -= 2)
		s += *p++;
	if (n)
		s += *(const uint8_t *)p;
	s = (s >> 16) + (s & 0xffff);
	return (uint16_t) ~(s + (s >> 16));
}

/* Echo request with the token, by a ping socket (0) or a raw one (1). */
static void icmp4(void)
{
	struct sockaddr_in a = to4(AI4);
	struct {
		struct icmphdr h;
		char text[64];
	} p = { .h = { .type = ICMP_ECHO } };
	int fd = must(socket(AF_INET, way_arg() ? SOCK_RAW : SOCK_DGRAM, IPPROTO_ICMP));

	snprintf(p.text, sizeof(p.text), "%s", token);
	p.h.checksum = sum(&p, sizeof(p));
	must(sendto(fd, &p, sizeof(p), 0, (void *)&a, sizeof(a)));
}

static void icmp6(void)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
	char p[72] = { (char)128 };
	int fd = must(socket(AF_INET6, way_arg() ? SOCK_RAW : SOCK_DGRAM, IPPROTO_ICMPV6));

	inet_pton(AF_INET6, AI6, &a.sin6_addr);
	snprintf(p + 8, 64, "%s", token);
	must(sendto(fd, p, sizeof(p), 0, (void *)&a, sizeof(a)));
}

static void raw_protocol(void)
{
	struct sockaddr_in a = to4(AI4);

	must(sendto(must(socket(AF_INET, SOCK_RAW, way_arg())), token, strlen(token), 0, (void *)&a,
		    sizeof(a)));
}

static void raw6_protocol(void)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };

	inet_pton(AF_INET6, AI6, &a.sin6_addr);
	must(sendto(must(socket(AF_INET6, SOCK_RAW, way_arg())), token, strlen(token), 0,
		    (void *)&a, sizeof(a)));
}

/* An IPv4 UDP packet; returns its octets. */
static size_t packet(uint8_t *out, const char *to)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 9, .protocol = IPPROTO_UDP };
	struct udphdr u = { .source = htons(9), .dest = htons(UDP_PORT) };
	size_t n = strlen(token);

	u.len = htons((uint16_t)(8 + n));
	ip.tot_len = htons((uint16_t)(28 + n));
	inet_pton(AF_INET, OWN4, &ip.saddr);
	inet_pton(AF_INET, to, &ip.daddr);
	ip.check = sum(&ip, sizeof(ip));
	memcpy(out, &ip, 20);
	memcpy(out + 20, &u, 8);
	memcpy(out + 28, token, n);
	return 28 + n;
}

/* 0: plain; 1: the header says allowed, the next hop is foreign; 2: a tiny first fragment. */
static void header_included(void)
{
	struct sockaddr_in a = to4(AI4);
	uint8_t p[200];
	size_t n = packet(p, way_arg() == 1 ? OK4 : AI4);
	int fd = must(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));

	if (way_arg() == 2)
		p[6] = 0x20; /* more fragments */
	must(sendto(fd, p, n, 0, (void *)&a, sizeof(a)));
}

/*
 * Past the IP stack altogether. 0: raw, 1: cooked, 2: raw past the queues, 3: raw, and of the
 * protocol that the agent's self-test asks for, 4: raw, inherited on fd 9.
 */
int packet_socket(void)
{
	return must(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP)));
}

static void link_layer(void)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_halen = 6 };
	struct ifaddrs *list, *one_of;
	char text[64];
	uint8_t p[256] = { 0 };
	int fd = way_arg() >= 4 ? handed()
				: must(socket(AF_PACKET, way_arg() == 1 ? SOCK_DGRAM : SOCK_RAW,
					      way_arg() == 3 ? 0x4353 : htons(ETH_P_IP))),
	    one = 1, i;
	size_t n;

	if (fcntl(fd, F_GETFD) < 0)
		lost(errno);

	must(getifaddrs(&list));
	for (one_of = list; one_of; one_of = one_of->ifa_next)
		if (one_of->ifa_addr && one_of->ifa_addr->sa_family == AF_INET &&
		    inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)one_of->ifa_addr)->sin_addr,
			      text, sizeof(text)) &&
		    !strcmp(text, OWN4))
			a.sll_ifindex = (int)if_nametoindex(one_of->ifa_name);
	memset(a.sll_addr, 0xff, 6);
	if (way_arg() == 2)
		must(setsockopt(fd, SOL_PACKET, 20 /* PACKET_QDISC_BYPASS */, &one, sizeof(one)));
	memset(p, 0xff, 6);
	p[12] = 8;
	n = packet(p + 14, AI4);
	for (i = 0; i < 5; i++, usleep(10000)) { /* past the queues, a busy device drops */
		if (way_arg() == 1)
			must(sendto(fd, p + 14, n, 0, (void *)&a, sizeof(a)));
		else
			must(sendto(fd, p, n + 14, 0, (void *)&a, sizeof(a)));
	}
}

/* A device of our own that routes what comes in. */
int tun_device(void)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = must(open("/dev/net/tun", O_RDWR)), s, on;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "evade%d", (int)getpid() % 100000);
	must(ioctl(fd, TUNSETIFF, &r));
	s = must(socket(AF_INET, SOCK_DGRAM, 0));
	inet_pton(AF_INET, "10.98.0.1", &a.sin_addr);
	memcpy(&r.ifr_addr, &a, sizeof(a));
	must(ioctl(s, SIOCSIFADDR, &r));
	r.ifr_flags = IFF_UP;
	must(ioctl(s, SIOCSIFFLAGS, &r));
	on = open("/proc/sys/net/ipv4/ip_forward", O_WRONLY);
	if (on < 0 || write(on, "1", 1) != 1)
		lost(errno);
	return fd;
}

/* A packet into it is routed out. */
static void tun(void)
{
	int fd = way_arg() == ON_STDIN ? handed() : tun_device();
	uint8_t p[200];
	size_t n = packet(p, AI4);

	inet_pton(AF_INET, "10.98.0.2", p + 12);
	p[10] = p[11] = 0;
	{
		uint16_t c = sum(p, 20);

		memcpy(p + 10, &c, 2);
	}
	must(write(fd, p, n));
	usleep(200000);
}

struct family {
	int family, type, proto;
};

/*
 * Families and protocols with their own way to another machine: that the socket can be made at all
 * is the leak.
 */
static const struct family families[] = {
	{ AF_INET, SOCK_STREAM, 132 },
	{ AF_INET, SOCK_SEQPACKET, 132 },
	{ AF_INET, SOCK_DCCP, 33 },
	{ AF_INET, SOCK_DGRAM, 115 },
	{ AF_RXRPC, SOCK_DGRAM, AF_INET },
	{ 43, SOCK_STREAM, 0 },
	{ AF_INET, SOCK_STREAM, 256 },
	{ AF_VSOCK, SOCK_STREAM, 0 },
	{ AF_TIPC, SOCK_RDM, 0 },
	{ 41, SOCK_DGRAM, 0 },
	{ AF_CAN, SOCK_RAW, 1 },
	{ AF_BLUETOOTH, SOCK_STREAM, 3 },
	{ 42, SOCK_DGRAM, 0 },
	{ 44, SOCK_RAW, 0 },
	{ AF_NETLINK, SOCK_RAW, 2 },
	{ AF_KEY, SOCK_RAW, 2 },
	{ AF_ALG, SOCK_SEQPACKET, 0 },
	{ AF_PPPOX, SOCK_DGRAM, 0 },
	{ AF_LLC, SOCK_DGRAM, 0 },
	{ AF_APPLETALK, SOCK_DGRAM, 0 },
	{ AF_X25, SOCK_SEQPACKET, 0 },
	{ AF_AX25, SOCK_SEQPACKET, 0 },
	{ AF_IEEE802154, SOCK_DGRAM, 0 },
	{ AF_PHONET, SOCK_DGRAM, 0 },
	{ AF_CAIF, SOCK_SEQPACKET, 0 },
	{ AF_NFC, SOCK_SEQPACKET, 0 },
	{ 45, SOCK_DGRAM, 0 },
	{ AF_INET6, SOCK_STREAM, 132 },
	{ AF_INET6, SOCK_STREAM, 262 },
	{ AF_NETLINK, SOCK_RAW, 12 }, /* netfilter: nft, queues to user space */
	{ AF_NETLINK, SOCK_RAW, 6 }, /* xfrm */
	{ AF_NETLINK, SOCK_RAW, 16 }, /* generic: WireGuard, l2tp, fou, ... */
};

static void family(void)
{
	const struct family *f = &families[way_arg()];

	must(socket(f->family, f->type, f->proto));
	usleep(10000);
}

/* The same with bits that the kernel does not look at, and a filter might. */
static void family_high_bits(void)
{
	const struct family *f = &families[way_arg()];

	must(syscall(SYS_socket, f->family | 1L << 32, f->type | 1L << 32, f->proto | 1L << 32));
	usleep(10000);
}

const struct way raw_ways[] = {
	{ "icmp-ping-socket", icmp4, 0, 'w', 'u' },
	{ "icmp-raw", icmp4, 1, 'w', 'r' },
	{ "icmp6-ping-socket", icmp6, 0, 'w', 'u' },
	{ "icmp6-raw", icmp6, 1, 'w', 'r' },
	{ "raw-253", raw_protocol, 253, 'w', 'r' },
	{ "raw-gre", raw_protocol, 47, 'w', 'r' },
	{ "raw-igmp", raw_protocol, 2, 'w', 'r' },
	{ "raw-esp", raw_protocol, 50, 'w', 'r' },
	{ "raw-ospf", raw_protocol, 89, 'w', 'r' },
	{ "raw6-253", raw6_protocol, 253, 'w', 'r' },
	{ "raw6-ipip", raw6_protocol, 4, 'w', 'r' },
	{ "header-included", header_included, 0, 'w', 'r' },
	{ "header-included-lie", header_included, 1, 'w', 'r' },
	{ "header-included-fragment", header_included, 2, 'w', 'r' },
	{ "packet-raw", link_layer, 0, 'w', 'r' },
	{ "packet-cooked", link_layer, 1, 'w', 'r' },
	{ "packet-qdisc-bypass", link_layer, 2, 'w', 'r' },
	{ "packet-self-test", link_layer, 3, 'w', 'r' },
	{ "inherited-packet", link_layer, 4, 'w', 'r' },
	{ "inherited-stdin-packet", link_layer, ON_STDIN, 'w', 'r' },
	{ "tun", tun, 0, 'w', 'r' },
	{ "inherited-stdin-tun", tun, ON_STDIN, 'w', 'r' },
	{ "sctp", family, 0, 's', 'u' },
	{ "sctp-one-to-many", family, 1, 's', 'u' },
	{ "dccp", family, 2, 's', 'u' },
	{ "l2tp", family, 3, 's', 'r' },
	{ "rxrpc", family, 4, 's', 'u' },
	{ "smc", family, 5, 's', 'u' },
	{ "smc-protocol", family, 6, 's', 'u' },
	{ "vsock", family, 7, 's', 'u' },
	{ "tipc", family, 8, 's', 'u' },
	{ "kcm", family, 9, 's', 'u' },
	{ "can", family, 10, 's', 'r' },
	{ "bluetooth", family, 11, 's', 'r' },
	{ "qrtr", family, 12, 's', 'u' },
	{ "xdp", family, 13, 's', 'r' },
	{ "netlink-userspace", family, 14, 's', 'u' },
	{ "key", family, 15, 's', 'r' },
	{ "alg", family, 16, 's', 'u' },
	{ "pppox", family, 17, 's', 'u' },
	{ "llc", family, 18, 's', 'r' },
	{ "appletalk", family, 19, 's', 'u' },
	{ "x25", family, 20, 's', 'u' },
	{ "ax25", family, 21, 's', 'u' },
	{ "ieee802154", family, 22, 's', 'u' },
	{ "phonet", family, 23, 's', 'u' },
	{ "caif", family, 24, 's', 'u' },
	{ "nfc", family, 25, 's', 'u' },
	{ "mctp", family, 26, 's', 'u' },
	{ "sctp6", family, 27, 's', 'u' },
	{ "netlink-netfilter", family, 29, 's', 'r' },
	{ "netlink-xfrm", family, 30, 's', 'r' },
	{ "netlink-generic", family, 31, 's', 'r' },
	{ "mptcp6", family, 28, 's', 'u' },
	{ "vsock-high-bits", family_high_bits, 7, 's', 'u' },
	{ "netlink-high-bits", family_high_bits, 14, 's', 'u' },
	{ 0 },
};
