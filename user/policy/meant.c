// SPDX-License-Identifier: Apache-2.0
/* What was probably meant by what is refused: for the remedy alone, nothing is read so. */
#include <ctype.h>

#include "base/addr.h"
#include "base/utf8.h"
#include "crm/hosts.h"
#include "policy/read.h"

/* RFC 3492, 6.1 */
static unsigned int puny_adapt(unsigned int delta, unsigned int count, int first)
{
	unsigned int k = 0;

	delta = first ? delta / 700 : delta / 2;
	for (delta += delta / count; delta > 455; k += 36)
		delta /= 35;
	return k + 36 * delta / (delta + 38);
}

/* One number of RFC 3492, 6.3. */
static void puny_number(unsigned int q, unsigned int bias, char *out, size_t *len)
{
	unsigned int k, t, digit;

	for (k = 36;; k += 36) {
		t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
		digit = q < t ? q : t + (q - t) % (36 - t);
		out[(*len)++] = (char)(digit < 26 ? 'a' + digit : '0' + digit - 26);
		if (q < t)
			return;
		q = (q - t) / (36 - t);
	}
}

/* A label as DNS has it. -EINVAL: letters whose small ones this does not know, or too long. */
static int puny_label(const unsigned int *c, size_t n, char out[80])
{
	unsigned int next = 0x80, delta = 0, bias = 72, least;
	size_t len = 0, done = 0, basic, i;

	for (i = 0; i < n; i++)
		if (c[i] < 0x80)
			out[len++] = (char)c[i];
	out[len] = 0;
	if (len == n)
		return 0;
	basic = done = len;
	memmove(out + 4, out, len);
	memcpy(out, "xn--", 4);
	len += 4;
	if (basic)
		out[len++] = '-';
	for (; done < n; next = least + 1, delta++) {
		for (least = ~0u, i = 0; i < n; i++)
			if (c[i] >= next && c[i] < least)
				least = c[i];
		if (least >= 0x100)
			return -EINVAL;
		delta += (least - next) * (unsigned int)(done + 1);
		for (i = 0; i < n; i++) {
			delta += c[i] < least;
			if (c[i] != least)
				continue;
			if (len > 56)
				return -EINVAL;
			puny_number(delta, bias, out, &len);
			bias = puny_adapt(delta, (unsigned int)done + 1, done == basic);
			delta = 0;
			done++;
		}
	}
	out[len] = 0;
	return 0;
}

/* Small letters; of others than ASCII those of Western Europe. */
static int small_host(const char *text, size_t n, char out[FENCE_MEANT])
{
	unsigned int label[63], c;
	const char *s = text;
	char puny[80];
	size_t len = 0, count = 0;

	while (s <= text + n) {
		c = s < text + n ? fence_utf8_next(&s) : (s++, '.');
		if (c != '.') {
			if (count == 63 || (c < 0x80 && !isalnum((int)c) && c != '-' && c != '_'))
				return -EINVAL;
			if ((c < 0x80 && isupper((int)c)) || (c >= 0xc0 && c <= 0xde && c != 0xd7))
				c += 0x20;
			label[count++] = c;
			continue;
		}
		if (puny_label(label, count, puny) || len + strlen(puny) > 250)
			return -EINVAL;
		len += (size_t)snprintf(out + len, FENCE_MEANT - len, "%s%s", len ? "." : "", puny);
		count = 0;
	}
	return 0;
}

int fence_meant_host(const char *text, char out[FENCE_MEANT], unsigned int *port)
{
	const char *s = text, *end, *colon;
	uint8_t addr[16];
	size_t n, star;

	out[0] = 0;
	*port = 0;
	s += strspn(s, " ");
	end = strstr(s, "://");
	if (end && end < s + strcspn(s, "/?#")) {
		*port = strncasecmp(s, "http:", 5) ? 0 : 80;
		s = end + 3;
	}
	end = s + strcspn(s, "/?# ");
	colon = memchr(s, '@', (size_t)(end - s));
	s = colon ? colon + 1 : s;
	if (*s == '[' && (colon = memchr(s, ']', (size_t)(end - s)))) {
		snprintf(out, FENCE_MEANT, "%.*s", (int)(colon - s - 1), s + 1);
		*port = colon[1] == ':' ? (unsigned int)atoi(colon + 2) : *port;
		goto check;
	}
	colon = memchr(s, ':', (size_t)(end - s));
	if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
		*port = (unsigned int)strtoul(colon + 1, NULL, 10);
		end = colon;
	}
	while (end > s && end[-1] == '.')
		end--;
	n = (size_t)(end - s);
	star = n > 2 && !strncmp(s, "*.", 2) ? 2 : 0;
	memcpy(out, "*.", star);
	if (n >= FENCE_MEANT || small_host(s + star, n - star, out + star))
		goto none;
	if (fence_crm_classify(out + star, NULL) == FENCE_HOST_INVALID)
		goto none;
check:
	if (*port > 65535)
		*port = 0;
	if (out[0] != '*' && fence_addr_parse(out, addr) &&
	    fence_crm_classify(out, NULL) == FENCE_HOST_INVALID)
		goto none;
	if (strcmp(out, text))
		return 0;
none:
	out[0] = 0;
	return -EINVAL;
}

int fence_meant_label(const char *text, char out[FENCE_MEANT])
{
	char host[FENCE_MEANT];
	unsigned int port;
	size_t n = 0;

	if (!fence_meant_host(text, host, &port))
		text = host; /* else a name: what is no letter or digit joins its words */
	for (; *text && *text != '.' && n < FENCE_MY_DOMAIN_MAX; text++) {
		if (isalnum((unsigned char)*text))
			out[n++] = (char)tolower((unsigned char)*text);
		else if (!strchr("-_ ", *text))
			n = FENCE_MEANT;
		else if (n)
			out[n++] = '-';
	}
	while (n && n < FENCE_MEANT && out[n - 1] == '-')
		n--;
	if (*text && *text != '.')
		n = 0;
	out[n < FENCE_MEANT ? n : 0] = 0;
	return out[0] ? 0 : -EINVAL;
}

int fence_meant_net(const char *text, char out[FENCE_MEANT])
{
	char host[FENCE_ADDR_TEXT];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	uint8_t addr[16], mask[16];
	unsigned int bits, all, i;

	out[0] = 0;
	snprintf(host, sizeof(host), "%.*s", (int)n, text);
	if (n >= sizeof(host) || fence_addr_parse(host, addr))
		return -EINVAL;
	all = fence_addr_is_v4(addr) ? 32 : 128;
	if (!slash || !slash[1]) {
		bits = all;
	} else if (strchr(slash, '.') && !fence_addr_parse(slash + 1, mask)) {
		for (bits = 0; bits < 32 && mask[12 + bits / 8] & (0x80 >> bits % 8); bits++)
			;
	} else {
		bits = (unsigned int)atoi(slash + 1);
		if (bits > all || !isdigit((unsigned char)slash[1]))
			return -EINVAL;
	}
	for (i = 128 - all + bits; i < 128; i++)
		addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	fence_addr_text(addr, host);
	snprintf(out, FENCE_MEANT, "%s/%u", host, bits);
	return 0;
}

void fence_meant_list(const cJSON *v, char out[FENCE_MEANT])
{
	const char *s;
	size_t n, len;

	out[0] = 0;
	if (cJSON_IsNumber(v)) {
		snprintf(out, FENCE_MEANT, "; write [%g]", v->valuedouble);
	} else if (cJSON_IsObject(v)) {
		snprintf(out, FENCE_MEANT, "; put [ and ] around it");
	} else if (cJSON_IsString(v) && strlen(v->valuestring) < 100) {
		len = (size_t)snprintf(out, FENCE_MEANT, "; write [");
		for (s = v->valuestring; *(s += strspn(s, ", ")); s += n) {
			n = strcspn(s, ",");
			len += (size_t)snprintf(out + len, FENCE_MEANT - len,
						strspn(s, "0123456789") == n ? "%s%.*s"
									     : "%s\"%.*s\"",
						out[len - 1] == '[' ? "" : ", ", (int)n, s);
		}
		snprintf(out + len, FENCE_MEANT - len, "]");
	}
}
