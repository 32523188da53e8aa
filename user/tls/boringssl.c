// SPDX-License-Identifier: Apache-2.0
/*
 * BoringSSL, stripped or not: the table kTLSProtocolMethod, a constant of function pointers that
 * every SSL of TLS calls through, so that no optimiser can do away with what it points to. It is
 * found by the shape of the SSL_METHOD that refers to it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls/find.h"

#define SLOTS_MIN 16 /* functions of an SSL_PROTOCOL_METHOD; 18 and 20 have been seen */
#define X509_MIN 8 /* of an SSL_X509_METHOD */
#define SLOT_FREE 1
#define SLOT_OPEN 7 /* tls_open_app_data */
#define SLOT_WRITE 8 /* tls_write_app_data */
#define LOOK 0x60 /* octets of tls_write_app_data that are looked at */

/* Functions in a row from `at`. */
static unsigned int run_of(const struct fence_image *im, uint64_t at, unsigned int most)
{
	unsigned int n = 0;

	while (n < most && fence_image_is_code(im, fence_image_pointer(im, at + 8 * n)))
		n++;
	return n;
}

static int is_version(uint64_t v)
{
	return !v || (v >= 0x300 && v <= 0x304) || (v >= 0xfefc && v <= 0xfeff);
}

/* SSL_METHOD { version, method, x509_method } at `a`: its TLS method table, or 0. */
static uint64_t method_at(const struct fence_image *im, const struct fence_image_pointer *a)
{
	const uint8_t *version = fence_image_at(im, a[0].at - 8, 8);
	const uint8_t *dtls = fence_image_at(im, a[0].to, 8);

	if (a[1].at != a[0].at + 8 || !version || !is_version(fence_image_u64(version)) ||
	    fence_image_pointer(im, a[0].at - 8))
		return 0;
	if (!dtls || fence_image_u64(dtls) || fence_image_pointer(im, a[0].to))
		return 0; /* 1: DTLS */
	if (!fence_image_is_data(im, a[0].to) || !fence_image_is_data(im, a[1].to))
		return 0;
	if (run_of(im, a[0].to + 8, SLOTS_MIN) < SLOTS_MIN ||
	    run_of(im, a[1].to, X509_MIN) < X509_MIN)
		return 0;
	return a[0].to;
}

/* Builds with control-flow integrity point at a jump to the function. */
static uint64_t follow(const struct fence_image *im, uint64_t at)
{
	const uint8_t *p = fence_image_at(im, at, 5);

	if (!p || p[0] != 0xe9)
		return at;
	return at + 5 + (uint64_t)(int64_t)(int32_t)fence_image_u32(p + 1);
}

/* It begins with *out_needs_handshake = false: movb $0, (%rsi). */
static int writes_flag(const struct fence_image *im, uint64_t at)
{
	const uint8_t *p = fence_image_at(im, at, LOOK);

	return p && memmem(p, LOOK, "\xc6\x06\x00", 3);
}

int fence_tls_find_boringssl(struct fence_image *im, struct fence_tls_points *out)
{
	uint64_t table = 0, found, open_at, write_at, free_at;
	size_t i;
	int err = fence_image_pointers(im);

	if (err)
		return err;
	for (i = 0; i + 1 < im->npointers; i++) {
		found = method_at(im, &im->pointers[i]);
		if (!found || found == table)
			continue;
		if (table) {
			snprintf(out->how, sizeof(out->how), "two tables look like its methods");
			return -EINVAL;
		}
		table = found;
	}
	if (!table)
		return -ENOENT;
	out->stack = FENCE_TLS_BORINGSSL;
	free_at = follow(im, fence_image_pointer(im, table + 8 + 8 * SLOT_FREE));
	open_at = follow(im, fence_image_pointer(im, table + 8 + 8 * SLOT_OPEN));
	write_at = follow(im, fence_image_pointer(im, table + 8 + 8 * SLOT_WRITE));
	if (!writes_flag(im, write_at)) {
		snprintf(out->how, sizeof(out->how), "tls_write_app_data is not where it was");
		return -EINVAL;
	}
	snprintf(out->how, sizeof(out->how), "kTLSProtocolMethod");
	if (fence_tls_add(im, out, write_at, FENCE_TLS_WRITE_BSSL) ||
	    fence_tls_add(im, out, open_at, FENCE_TLS_READ_BSSL) ||
	    fence_tls_add(im, out, free_at, FENCE_TLS_FREE))
		return -EINVAL;
	fence_tls_add_bio(im, out);
	return 0;
}
