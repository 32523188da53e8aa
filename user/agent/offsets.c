// SPDX-License-Identifier: Apache-2.0
#include "agent/offsets.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

#define SUM 32 /* SHA-256 of all before it: against damage, not against root */

void offsets_file(struct offsets_file *f, const struct stat *st)
{
	*f = (struct offsets_file){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.changed = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
	};
}

static size_t used(const struct offsets *o)
{
	return offsetof(struct offsets, at) + o->count * sizeof(o->at[0]);
}

static int sum(const struct offsets *o, uint8_t out[SUM])
{
	return EVP_Digest(o, used(o), out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int self(struct offsets_file *f)
{
	struct stat st;

	if (stat("/proc/self/exe", &st))
		return -errno;
	offsets_file(f, &st);
	return 0;
}

/* 0: as offsets_pack() left it. */
static int check(const struct fence_buf *b, struct offsets *o)
{
	uint8_t is[SUM];

	if (b->len < offsetof(struct offsets, at) + SUM || b->len - SUM > sizeof(*o))
		return -EBADMSG;
	memcpy(o, b->data, b->len - SUM);
	if (o->count > OFFSETS_MOST || used(o) != b->len - SUM || sum(o, is) ||
	    memcmp(is, b->data + b->len - SUM, SUM))
		return -EBADMSG;
	return 0;
}

int offsets_load(const char *path, struct offsets *o, struct fence_diag *d)
{
	AUTO_BUF struct fence_buf b = { 0 };
	struct offsets_file me = { 0 };
	struct stat st;
	int err;

	memset(o, 0, sizeof(*o));
	if (lstat(path, &st))
		return errno == ENOENT
			       ? 0
			       : fence_diag_set(d, -errno, NULL, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_uid || st.st_mode & (S_IWGRP | S_IWOTH))
		err = -EPERM;
	else
		err = fence_buf_read_file(&b, path, sizeof(*o) + SUM);
	if (!err)
		err = check(&b, o);
	if (!err)
		err = self(&me);
	if (err || memcmp(&me, &o->self, sizeof(me)))
		memset(o, 0, sizeof(*o)); /* another build may find otherwise: nothing to tell */
	if (err)
		return fence_diag_set(d, err, NULL,
				      err == -EPERM ? "%s is not a file that root alone can write"
						    : "%s is damaged",
				      path);
	return 0;
}

int offsets_pack(struct offsets *o, struct fence_buf *out)
{
	uint8_t is[SUM];
	int err = self(&o->self);

	if (!err)
		err = sum(o, is);
	if (err)
		return err;
	fence_buf_add(out, o, used(o));
	fence_buf_add(out, is, SUM);
	return out->failed ? -ENOMEM : 0;
}

const struct fence_tls_points *offsets_find(const struct offsets *o, const struct offsets_file *f,
					    const uint8_t *build_id, size_t len)
{
	const struct fence_tls_points *p;
	uint32_t i;

	for (i = 0; i < o->count; i++) {
		p = &o->at[i].points;
		if (!memcmp(&o->at[i].file, f, sizeof(*f)) && p->build_id_len == len &&
		    !memcmp(p->build_id, build_id, len))
			return p;
	}
	return NULL;
}

void offsets_add(struct offsets *o, const struct offsets_file *f,
		 const struct fence_tls_points *points)
{
	if (o->count == OFFSETS_MOST)
		return;
	o->at[o->count].file = *f;
	o->at[o->count++].points = *points;
}
