/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a program or library keeps the functions that its TLS plaintext passes through: file
 * offsets for uprobes, found in the file's bytes alone. A finder that doubts refuses: a wrong
 * offset would put a breakpoint into the middle of an instruction.
 *
 * Facts: BoringSSL ssl/tls_method.cc (kTLSProtocolMethod), OpenSSL ssl/methods.c and
 * ssl_local.h (struct ssl_method_st), Go debug/gosym and runtime/symtab.go (pclntab), GnuTLS
 * lib/record.c, NSPR prio.h, rustls src/record_layer.rs.
 */
#ifndef FENCE_TLS_FIND_H
#define FENCE_TLS_FIND_H

#include <stddef.h>
#include <stdint.h>

#include <crmfence/sight.h>

#include "tls/image.h"

enum fence_tls_stack {
	FENCE_TLS_NONE,
	FENCE_TLS_OPENSSL,
	FENCE_TLS_BORINGSSL,
	FENCE_TLS_GNUTLS,
	FENCE_TLS_NSPR, /* below NSS: PR_Read and PR_Write of layered descriptors */
	FENCE_TLS_GO,
	FENCE_TLS_RUSTLS,
};

#define FENCE_TLS_POINTS 32 /* Go has one a RET of its Read */

struct fence_tls_point {
	uint64_t offset; /* in the file */
	uint8_t call; /* enum fence_tls_call */
	uint8_t cheap; /* its first instruction is emulated, not single-stepped */
	uint8_t box, seq; /* rustls: where in its connection's record layer these are; READ_KEPT:
			     FENCE_TLS_KEPT() */
};

struct fence_tls_points {
	uint8_t stack; /* enum fence_tls_stack */
	uint8_t count;
	uint8_t build_id_len; /* 0: the file has none */
	uint8_t build_id[FENCE_BUILD_ID];
	char how[48]; /* by what they were found, or why not: for people */
	struct fence_tls_point at[FENCE_TLS_POINTS];
};

/*
 * Any stack, at most one a file. 0; -ENOENT: it has none that we know; -EINVAL: it looks as if, but
 * a check failed, `how` says which; -ENOEXEC, -ENOMEM, -E2BIG.
 */
int fence_tls_find(const uint8_t *data, size_t size, struct fence_tls_points *out);

const char *fence_tls_stack_name(uint8_t stack);

/* One finder each; *im has its pointers collected where it needs them. */
int fence_tls_find_boringssl(struct fence_image *im, struct fence_tls_points *out);
int fence_tls_find_openssl(struct fence_image *im, struct fence_tls_points *out);
int fence_tls_find_gnutls(struct fence_image *im, struct fence_tls_points *out);
int fence_tls_find_nspr(struct fence_image *im, struct fence_tls_points *out);
int fence_tls_find_go(struct fence_image *im, struct fence_tls_points *out);
int fence_tls_find_rustls(struct fence_image *im, struct fence_tls_points *out);
int fence_tls_find_bio(struct fence_image *im, struct fence_tls_points *out); /* libcrypto */

/* The write of memory BIOs beside the points of a stack; none when it cannot be told. */
void fence_tls_add_bio(struct fence_image *im, struct fence_tls_points *out);

/* OpenSSL's internal read, from inside; `out` is as it was when its code is not as known. */
int fence_tls_add_kept(const struct fence_image *im, struct fence_tls_points *out, uint64_t vaddr);

/* Add a point at `vaddr`, behind an endbr64 when there is one. -EINVAL: no code, or no room. */
int fence_tls_add(const struct fence_image *im, struct fence_tls_points *out, uint64_t vaddr,
		  uint8_t call);

#endif
