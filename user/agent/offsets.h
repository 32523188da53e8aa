/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the system's TLS libraries and the policy's programs keep what is probed, from one run of
 * the agent to the next: beside the log, root's alone. An entry holds for one file as it is, by
 * device, inode, size, time of change and build id: a build id alone is what its file says of
 * itself. What another build of crmfence wrote, or what is not as it was written, is not read.
 */
#ifndef FENCE_AGENT_OFFSETS_H
#define FENCE_AGENT_OFFSETS_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/diag.h"
#include "tls/find.h"

#define OFFSETS_MOST 64

/* A file as stat(2) has it. */
struct offsets_file {
	uint64_t dev, ino, size;
	int64_t changed; /* st_ctim in ns: its owner cannot set it back */
};

struct offsets {
	struct offsets_file self; /* the program that found them */
	uint32_t count;
	uint32_t pad;
	struct {
		struct offsets_file file;
		struct fence_tls_points points; /* their build id with them */
	} at[OFFSETS_MOST];
};

void offsets_file(struct offsets_file *f, const struct stat *st);

/*
 * What was kept in the file `path`; nothing when there is none. 0, or negative with `d` filled: it
 * is not trusted, *o is empty then.
 */
int offsets_load(const char *path, struct offsets *o, struct fence_diag *d);
int offsets_pack(struct offsets *o, struct fence_buf *out); /* as a file has it; 0, or -errno */

/* NULL: it is not known. Borrowed. */
const struct fence_tls_points *offsets_find(const struct offsets *o, const struct offsets_file *f,
					    const uint8_t *build_id, size_t len);
void offsets_add(struct offsets *o, const struct offsets_file *f,
		 const struct fence_tls_points *points); /* as long as there is room */

#endif
