// SPDX-License-Identifier: Apache-2.0
#include "wire/dns.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

/*
 * The question's name into m->name; returns the offset behind it, 0 when the message ends first or
 * a label is none.
 */
static size_t question_name(const uint8_t *msg, size_t len, struct fence_dns_message *m)
{
	size_t at = 12, out = 0, n, i;
	int host = 1;

	for (;;) {
		if (at >= len)
			return 0;
		n = msg[at++];
		if (!n)
			break;
		if (n > 63 || at + n > len || at + n > 12 + 255)
			return 0;
		if (out)
			m->name[out++] = '.';
		for (i = 0; i < n; i++, at++) {
			int c = tolower(msg[at]);

			if (!(isalnum(c) || c == '-' || c == '_') || c > 127)
				host = 0;
			m->name[out++] = (char)c;
		}
	}
	m->name[host && out <= 253 ? out : 0] = 0;
	return at;
}

/* Jump over a record's name. 0 when the message ends first. */
static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
	while (at < len) {
		if (!msg[at])
			return at + 1;
		if (msg[at] >= 0xc0)
			return at + 2;
		if (msg[at] > 63)
			return 0;
		at += 1u + msg[at];
	}
	return 0;
}

static void keep(struct fence_dns_message *m, unsigned int type, const uint8_t *data, size_t n)
{
	uint8_t *a;

	if (m->count == FENCE_WIRE_ADDRS || (type == 1 ? n != 4 : n != 16))
		return;
	a = m->addrs[m->count++];
	memset(a, 0, 16);
	if (type == 1) {
		a[10] = a[11] = 0xff;
		memcpy(a + 12, data, 4);
	} else {
		memcpy(a, data, 16);
	}
}

int fence_wire_dns(const uint8_t *msg, size_t len, struct fence_dns_message *m)
{
	unsigned int answers, type, n;
	uint32_t ttl;
	size_t at;

	memset(m, 0, sizeof(*m));
	m->ttl = ~0u;
	if (len < 12 || be16(msg + 4) != 1 || msg[2] & 0x78)
		return -EINVAL;
	memcpy(&m->id, msg, 2);
	m->response = msg[2] >> 7;
	m->rcode = msg[3] & 15;
	answers = be16(msg + 6);
	at = question_name(msg, len, m);
	if (!at || at + 4 > len || be16(msg + at + 2) != 1)
		return -EINVAL;
	m->qtype = (uint16_t)be16(msg + at);
	at += 4;
	if (m->rcode || !m->response)
		return 0;
	while (answers--) {
		at = skip_name(msg, len, at);
		if (!at || at + 10 > len || at + 10 + be16(msg + at + 8) > len)
			return -EINVAL;
		type = be16(msg + at);
		ttl = (uint32_t)be16(msg + at + 4) << 16 | be16(msg + at + 6);
		n = be16(msg + at + 8);
		at += 10;
		if (type == 1 || type == 5 || type == 28) {
			if (ttl < m->ttl)
				m->ttl = ttl;
			if (type != 5)
				keep(m, type, msg + at, n);
		}
		at += n;
	}
	return 0;
}
