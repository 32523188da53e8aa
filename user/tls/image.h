/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ELF file (x86-64, System V ABI AMD64 supplement) as the loader sees it: segments, the dynamic
 * section's relocations and symbols. Sections are not needed and not trusted. The bytes are
 * hostile: every offset is checked where it is used, nothing is written, nothing recurses.
 */
#ifndef FENCE_TLS_IMAGE_H
#define FENCE_TLS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define FENCE_IMAGE_SEGMENTS 16 /* PT_LOAD; more: the file is refused */
#define FENCE_IMAGE_POINTERS \
	(8u << 20) /* relocated pointers; more are not looked at: a find then fails */
#define FENCE_BUILD_ID 20 /* octets of a build id that are kept */

struct fence_image_segment {
	uint64_t vaddr, offset, size; /* size: octets in the file */
	int exec;
};

/* A pointer in the file's data: where it stands, and what it will point to before the load bias. */
struct fence_image_pointer {
	uint64_t at, to;
};

struct fence_image {
	const uint8_t *data; /* borrowed */
	size_t size;
	struct fence_image_segment segments[FENCE_IMAGE_SEGMENTS];
	size_t nsegments;
	int pie; /* ET_DYN */
	uint64_t rela, rela_size, relr, relr_size; /* vaddrs of the dynamic section; 0: none */
	uint64_t symbols, strings, strings_size, gnu_hash;
	uint8_t build_id[FENCE_BUILD_ID];
	size_t build_id_len; /* 0: it has none */
	struct fence_image_pointer *pointers; /* owned, by `at`; see fence_image_pointers */
	size_t npointers;
};

/* 0, or -ENOEXEC: not an ELF64 x86-64 executable or library that holds together. */
int fence_image_init(struct fence_image *im, const uint8_t *data, size_t size);
void fence_image_done(struct fence_image *im);

/* `len` octets at `vaddr` as they are in the file; NULL: not all of them are in one segment. */
const uint8_t *fence_image_at(const struct fence_image *im, uint64_t vaddr, uint64_t len);
uint64_t fence_image_offset(const struct fence_image *im,
			    uint64_t vaddr); /* in the file; 0: none */
int fence_image_is_code(const struct fence_image *im, uint64_t vaddr);
int fence_image_is_data(const struct fence_image *im, uint64_t vaddr);
uint32_t fence_image_u32(const uint8_t *p);
uint64_t fence_image_u64(const uint8_t *p);

/* A function that the file defines and exports, by DT_GNU_HASH. Its vaddr; 0: none. */
uint64_t fence_image_symbol(const struct fence_image *im, const char *name);

/*
 * Collect every pointer that the loader relocates (R_X86_64_RELATIVE in RELA or RELR) or, in a
 * program at a fixed address, every aligned word of data that points into the program. Once; 0, or
 * -ENOMEM, -E2BIG.
 */
int fence_image_pointers(struct fence_image *im);
uint64_t fence_image_pointer(const struct fence_image *im, uint64_t at); /* 0: none stands there */

#endif
