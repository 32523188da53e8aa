// SPDX-License-Identifier: Apache-2.0
#include "tls/find.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

const char *fence_tls_stack_name(uint8_t stack)
{
	static const char *const names[] = { "none", "OpenSSL", "BoringSSL", "GnuTLS",
					     "NSPR", "Go",	"rustls" };

	return stack < sizeof(names) / sizeof(names[0]) ? names[stack] : "?";
}

/* push, nop, call, jmp, jcc: the kernel emulates them; it steps through others, tenfold dearer. */
static int is_cheap(const uint8_t *p)
{
	if ((p[0] & 0xf8) == 0x50 || (p[0] == 0x41 && (p[1] & 0xf8) == 0x50))
		return 1;
	return p[0] == 0x90 || p[0] == 0xe8 || p[0] == 0xe9 || p[0] == 0xeb ||
	       (p[0] & 0xf0) == 0x70 || (p[0] == 0x0f && (p[1] == 0x1f || (p[1] & 0xf0) == 0x80));
}

int fence_tls_add(const struct fence_image *im, struct fence_tls_points *out, uint64_t vaddr,
		  uint8_t call)
{
	const uint8_t *p = fence_image_at(im, vaddr, 8);
	struct fence_tls_point *t;

	if (!p || !fence_image_is_code(im, vaddr) || out->count == FENCE_TLS_POINTS)
		return -EINVAL;
	if (!memcmp(p, endbr64, sizeof(endbr64))) {
		p += sizeof(endbr64);
		vaddr += sizeof(endbr64);
	}
	t = &out->at[out->count++];
	t->offset = fence_image_offset(im, vaddr);
	t->call = call;
	t->cheap = (uint8_t)is_cheap(p);
	return 0;
}

static int add_symbol(const struct fence_image *im, struct fence_tls_points *out, const char *name,
		      uint8_t call)
{
	uint64_t at = fence_image_symbol(im, name);

	return at ? fence_tls_add(im, out, at, call) : -ENOENT;
}

int fence_tls_find_gnutls(struct fence_image *im, struct fence_tls_points *out)
{
	/* gnutls_record_send ends in a jump to the former */
	int err = add_symbol(im, out, "gnutls_record_send2", FENCE_TLS_WRITE_N);

	if (err)
		return err;
	out->stack = FENCE_TLS_GNUTLS;
	snprintf(out->how, sizeof(out->how), "exported symbols");
	err = add_symbol(im, out, "gnutls_record_recv", FENCE_TLS_READ_N);
	if (!err)
		err = add_symbol(im, out, "gnutls_deinit", FENCE_TLS_FREE);
	return err ? -EINVAL : 0;
}

int fence_tls_find_nspr(struct fence_image *im, struct fence_tls_points *out)
{
	static const struct {
		const char *name;
		uint8_t call;
	} all[] = { { "PR_Send", FENCE_TLS_WRITE_PR },
		    { "PR_Write", FENCE_TLS_WRITE_PR },
		    { "PR_Recv", FENCE_TLS_RECV_PR },
		    { "PR_Read", FENCE_TLS_READ_PR },
		    { "PR_Close", FENCE_TLS_FREE } };
	size_t i;

	if (!fence_image_symbol(im, "PR_Send") || !fence_image_symbol(im, "PR_GetLayersIdentity"))
		return -ENOENT;
	out->stack = FENCE_TLS_NSPR;
	snprintf(out->how, sizeof(out->how), "exported symbols");
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (add_symbol(im, out, all[i].name, all[i].call))
			return -EINVAL;
	return 0;
}

int fence_tls_find(const uint8_t *data, size_t size, struct fence_tls_points *out)
{
	/* the cheap ones first */
	static int (*const finders[])(struct fence_image *, struct fence_tls_points *) = {
		fence_tls_find_gnutls,	  fence_tls_find_nspr, fence_tls_find_openssl,
		fence_tls_find_boringssl, fence_tls_find_go,   fence_tls_find_rustls,
		fence_tls_find_bio,
	};
	struct fence_image im;
	size_t i;
	int err;

	memset(out, 0, sizeof(*out));
	err = fence_image_init(&im, data, size);
	for (i = 0; !err && i < sizeof(finders) / sizeof(finders[0]); i++) {
		memset(out, 0, sizeof(*out));
		err = finders[i](&im, out);
		if (err != -ENOENT)
			break;
		err = i + 1 < sizeof(finders) / sizeof(finders[0]) ? 0 : -ENOENT;
	}
	if (err)
		out->count = 0;
	out->build_id_len = (uint8_t)im.build_id_len;
	memcpy(out->build_id, im.build_id, sizeof(out->build_id));
	fence_image_done(&im);
	return err;
}
