// SPDX-License-Identifier: Apache-2.0
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

int fence_addr_parse(const char *text, uint8_t addr[16])
{
	uint8_t a[16];

	if (inet_pton(AF_INET, text, a + 12) == 1) {
		memcpy(a, mapped, 12);
	} else if (inet_pton(AF_INET6, text, a) != 1) {
		return -EINVAL;
	}
	memcpy(addr, a, 16);
	return 0;
}

int fence_addr_parse_net(const char *text, uint8_t addr[16], unsigned int *bits)
{
	char host[FENCE_ADDR_TEXT], *end;
	const char *slash = strchr(text, '/');
	unsigned long n;
	unsigned int i;
	uint8_t a[16];

	if (!slash || (size_t)(slash - text) >= sizeof(host) || slash[1] < '0' || slash[1] > '9')
		return -EINVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = 0;
	n = strtoul(slash + 1, &end, 10);
	if (*end || fence_addr_parse(host, a))
		return -EINVAL;
	if (!strchr(host, ':'))
		n = n > 32 ? 129 : n + 96;
	if (n > 128)
		return -EINVAL;
	for (i = (unsigned int)n; i < 128; i++)
		if (a[i / 8] & (0x80 >> (i % 8)))
			return -EINVAL;
	memcpy(addr, a, 16);
	*bits = (unsigned int)n;
	return 0;
}

int fence_addr_is_v4(const uint8_t addr[16])
{
	return !memcmp(addr, mapped, 12);
}

const char *fence_addr_text(const uint8_t addr[16], char out[FENCE_ADDR_TEXT])
{
	char *p = out;
	int i;

	if (!fence_addr_is_v4(addr)) {
		inet_ntop(AF_INET6, addr, out, FENCE_ADDR_TEXT);
		return out;
	}
	for (i = 12; i < 16; i++) { /* inet_ntop is ten times dearer, and this is once a row */
		p += fence_digits(p, addr[i]);
		*p++ = i < 15 ? '.' : 0;
	}
	return out;
}

int fence_addr_is_local(const uint8_t addr[16])
{
	static const uint8_t zero[12];

	if (fence_addr_is_v4(addr))
		return addr[12] == 127 || addr[12] == 0;
	return !memcmp(addr, zero, 12);
}
