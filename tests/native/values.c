// SPDX-License-Identifier: Apache-2.0
/*
 * Fingerprints of the org's values: planted in other octets, raw and in each coding, they are
 * found; in octets without any, nothing is.
 *
 * usage: values PLANTED MEGABYTES [SEED [-]]: how many are planted in as many octets as said; and
 * three times as many octets, random and ordinary text, without; "-": and in all of standard input
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "crm/values.h"
#include "random.h"

#define BODY (256u << 10)
#define AN_ANSWER 200 /* records of one */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
static const char *const words[] = {
	"the",	"of",	    "and",   "account", "to",	 "in",	 "deal",    "quarter", "meeting",
	"with", "customer", "price", "call",	"notes", "from", "Tuesday", "about",   "budget"
};

/* Names, sums, addresses, sentences: 12 to 60 octets, some with what has to be escaped. */
static void make_value(char *out, unsigned int i)
{
	unsigned int n = 0, k;

	switch (i % 4) {
	case 0:
		snprintf(out, 64, "%u%07u%05u.%u", 1 + rnd(9), rnd(9999999), rnd(99999), rnd(10));
		return;
	case 1:
		for (k = 0; k < 8; k++)
			out[n++] = letters[rnd(26)];
		snprintf(out + n, 50, "%u@customer%u.example", rnd(100000), rnd(1000));
		return;
	case 2:
		for (k = 0; k < 4; k++)
			n += (unsigned int)snprintf(out + n, 64 - n, "%s%u ", words[rnd(18)],
						    rnd(1000));
		snprintf(out + n, 64 - n, "& \"%c\"", letters[rnd(62)]);
		return;
	default:
		for (k = 0; k < 14 + rnd(20); k++)
			out[n++] = letters[rnd(62)];
		snprintf(out + n, 64 - n, "%u", rnd(10));
	}
}

static void quoted(struct fence_buf *b, const char *s)
{
	for (; *s; s++)
		fence_buf_printf(b, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
}

static void base64(struct fence_buf *b, const char *s, size_t skip)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[128];
	size_t n = (size_t)snprintf(text, sizeof(text), "%.*s%s--", (int)skip, "xyz", s), i;
	uint32_t v;

	for (i = 0; i + 3 <= n; i += 3) {
		v = (uint32_t)(uint8_t)text[i] << 16 | (uint32_t)(uint8_t)text[i + 1] << 8 |
		    (uint8_t)text[i + 2];
		fence_buf_printf(b, "%c%c%c%c", set[v >> 18], set[v >> 12 & 63], set[v >> 6 & 63],
				 set[v & 63]);
	}
	fence_buf_str(b, " ");
}

/* The value as somebody could send it. */
static void plant(struct fence_buf *b, const char *s, unsigned int how)
{
	switch (how % 5) {
	case 0:
		fence_buf_str(b, s);
		return;
	case 1:
		fence_buf_str(b, "q=");
		for (; *s; s++)
			fence_buf_printf(b, strchr(letters, *s) ? "%c" : "%%%02X", (uint8_t)*s);
		return;
	case 2:
		fence_buf_str(b, "{\"text\":\"");
		quoted(b, s);
		fence_buf_str(b, "\"}");
		return;
	case 3:
		base64(b, s, rnd(3));
		return;
	default:
		fence_buf_str(b, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
		fence_buf_str(b, s);
		fence_buf_str(b, "\r\n--x--\r\n");
	}
}

static void noise(struct fence_buf *b, size_t n)
{
	size_t end = b->len + n;

	while (b->len < end) {
		if (b->len & 1)
			fence_buf_printf(b, "%s %u ", words[rnd(18)], rnd(10000));
		else
			fence_buf_printf(b, "%c%c%c%c\n", (int)(32 + rnd(95)), (int)(32 + rnd(95)),
					 (int)(128 + rnd(128)), (int)(32 + rnd(95)));
	}
}

static void answer(struct fence_values *v, char (*values)[64], unsigned int from, unsigned int n)
{
	struct fence_buf b = { 0 };
	unsigned int i;

	fence_buf_str(&b, "{\"records\":[");
	for (i = from; i < n && i < from + AN_ANSWER; i++) {
		fence_buf_printf(
			&b,
			"%s{\"attributes\":{\"type\":\"Account\"},\"Id\":\"001%012u\",\"F%u\":\"",
			i == from ? "" : ",", i, i % 50);
		quoted(&b, values[i]);
		fence_buf_str(&b, "\"}");
	}
	fence_buf_str(&b, "]}");
	fence_values_learn(v, fence_buf_text(&b), b.len);
	fence_buf_done(&b);
}

static size_t read_all(struct fence_values *v, unsigned int *false_hits)
{
	static struct fence_value_hit hits[16];
	static char body[BODY];
	size_t n, all = 0;

	while ((n = fread(body, 1, sizeof(body), stdin))) {
		*false_hits += (unsigned int)fence_values_search(v, body, n, hits, 16);
		all += n;
	}
	return all;
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 0, i, found = 0,
		     false_hits = 0;
	size_t more = 0, all = (argc > 2 ? strtoul(argv[2], NULL, 10) : 0) << 20, done, k, each;
	uint8_t key[16] = { 7, 3, 11, 200, 9, 1, 4, 77, 5, 6, 1, 90, 33, 12, 8, 2 };
	static struct fence_value_hit hits[256];
	char(*values)[64] = calloc(n + 1, 64), id[32];
	struct fence_values *v = fence_values_new(key);
	struct fence_buf b = { 0 };
	struct rusage use;

	random_seed((argc > 3 ? strtoull(argv[3], NULL, 10) : 1));
	if (!n || !all || !v || !values)
		return 2;
	for (i = 0; i < n; i++)
		make_value(values[i], i);
	for (i = 0; i < n; i += AN_ANSWER)
		answer(v, values, i, n);
	each = all / n; /* octets a value */
	for (i = 0; i < n;) {
		unsigned int first = i;

		fence_buf_reset(&b);
		do {
			noise(&b, each < BODY / 2 ? each : BODY / 2);
			plant(&b, values[i], i / 4);
			i++;
		} while (i < n && b.len < BODY / 2 && i - first < 200);
		k = fence_values_search(v, b.data, b.len, hits, 256);
		for (; k; k--) {
			unsigned int x;

			for (x = first; x < i; x++) {
				snprintf(id, sizeof(id), "001%012u", x);
				if (!strcmp(hits[k - 1].id, id))
					break;
			}
			x < i ? found++ : false_hits++;
		}
	}
	for (done = 0; done < 3 * all; done += b.len) {
		fence_buf_reset(&b);
		noise(&b, BODY);
		false_hits += (unsigned int)fence_values_search(v, b.data, b.len, hits, 256);
	}
	if (argc > 4)
		more = read_all(v, &false_hits);
	fence_values_free(v);
	fence_buf_done(&b);
	free(values);
	getrusage(RUSAGE_SELF, &use);
	printf("%u of %u found, %u false in %zu MB, %ld KiB at most\n", found, n, false_hits,
	       (3 * all + all + more) >> 20, use.ru_maxrss);
	return (double)found < 0.99 * n || false_hits;
}
