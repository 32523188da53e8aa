/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS answers (RFC 1035 4.1), for naming what people see. Pure; the bytes are hostile. Written
 * apart from bpf/lib/dns.h on purpose: the tests hold the two against each other.
 */
#ifndef FENCE_WIRE_DNS_H
#define FENCE_WIRE_DNS_H

#include <stddef.h>
#include <stdint.h>

#define FENCE_WIRE_ADDRS 128

struct fence_dns_message {
	uint16_t id; /* as two octets on the wire, native order of the copy */
	uint16_t qtype;
	int response;
	uint8_t rcode;
	char name[256]; /* of the question, lower case, dots, terminated; empty when it is no host
			   name */
	uint32_t ttl; /* least of the A, AAAA and CNAME records; ~0 when there is none */
	size_t count;
	uint8_t addrs[FENCE_WIRE_ADDRS][16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* 0, or -EINVAL when the message is cut short or not one question of class IN. */
int fence_wire_dns(const uint8_t *msg, size_t len, struct fence_dns_message *m);

#endif
