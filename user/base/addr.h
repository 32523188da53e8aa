/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as the records have them: 16 octets, network order, IPv4 as ::ffff:a.b.c.d. */
#ifndef FENCE_BASE_ADDR_H
#define FENCE_BASE_ADDR_H

#include <stdint.h>

#define FENCE_ADDR_TEXT 64

/* Text to address. 0, or -EINVAL. */
int fence_addr_parse(const char *text, uint8_t addr[16]);

/* "a.b.c.d/n" or "v6/n" to address and bits of 128; host bits must be zero. 0, or -EINVAL. */
int fence_addr_parse_net(const char *text, uint8_t addr[16], unsigned int *bits);

const char *fence_addr_text(const uint8_t addr[16], char out[FENCE_ADDR_TEXT]);
int fence_addr_is_v4(const uint8_t addr[16]);

/* This machine: 127/8, 0/8, ::1, ::. */
int fence_addr_is_local(const uint8_t addr[16]);

#endif
