// SPDX-License-Identifier: Apache-2.0
/* What the scanner's children read of programs: their files' hashes, their command lines. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/scan.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"

#define ARGUMENTS (16u << 10)

static struct scan_file file_of(const struct stat *st)
{
	return (struct scan_file){
		.dev = (uint64_t)major(st->st_dev) << 20 | minor(st->st_dev),
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.changed =
			(uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec,
	};
}

/* The device is not compared: on btrfs and overlays stat(2) says another one than the kernel. */
static int is_same(const struct scan_file *a, const struct scan_file *b)
{
	return a->ino == b->ino &&
	       (!a->changed || (a->size == b->size && a->changed == b->changed));
}

/*
 * The file of a process that may be gone, or be another program by now: its own link first, so that
 * a replaced file is told from the one that runs.
 */
static int program_open(const struct scan_question *q, struct stat *st)
{
	char link[64];
	int fd, i, err = -ENOENT;

	snprintf(link, sizeof(link), "/proc/%u/exe", q->tgid[0]);
	for (i = 0; i < 2; i++) {
		fd = fence_path_regular(i ? q->path : link, st);
		if (fd >= 0 && st->st_ino == q->file.ino)
			return fd;
		if (fd >= 0)
			close(fd);
		else if (fd != -ENOENT && fd != -ESRCH)
			err = fd;
	}
	return err;
}

/* Is it FUSE's? Closing a file of that waits for who answers for it, if it was open to be read. */
static int is_fuse(const char *path)
{
	AUTO_FD int at = open(path, O_PATH | O_CLOEXEC);
	struct statfs fs;

	return at >= 0 && !fstatfs(at, &fs) && fs.f_type == FUSE_SUPER_MAGIC;
}

int scan_open_file(const struct scan_question *q)
{
	struct scan_file is;
	struct stat st;
	AUTO_FD int fd = is_fuse(q->path) ? -EXDEV : fence_path_regular(q->path, &st);

	if (fd < 0)
		return fd;
	is = file_of(&st);
	return is_same(&q->file, &is) ? TAKE_FD(fd) : -ESTALE;
}

static int digest(int fd, uint8_t out[32])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	static uint8_t chunk[65536];
	uint64_t all = 0;
	ssize_t n = -1;

	if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL)) {
		while (all <= SCAN_LARGEST && (n = read(fd, chunk, sizeof(chunk))) > 0) {
			EVP_DigestUpdate(md, chunk, (size_t)n);
			all += (uint64_t)n;
		}
		if (!n)
			EVP_DigestFinal_ex(md, out, NULL);
	}
	EVP_MD_CTX_free(md);
	return n > 0 ? -EFBIG : n ? -EIO : 0;
}

int scan_hash_file(const struct scan_question *q, struct scan_hash *out)
{
	struct scan_file before;
	struct stat st;
	AUTO_FD int fd = program_open(q, &st);
	int err;

	if (fd < 0)
		return fd;
	before = file_of(&st);
	if (!is_same(&q->file, &before))
		return -ESTALE;
	if (before.size > SCAN_LARGEST)
		return -EFBIG;
	err = digest(fd, out->sha);
	if (err)
		return err;
	if (fstat(fd, &st))
		return -EIO;
	out->is = file_of(&st);
	return is_same(&before, &out->is) ? 0 : -ESTALE;
}

void scan_place(const struct scan_question *q, struct scan_place *out)
{
	AUTO_FD int fd = fence_path_open(q->path);
	struct statx st;

	memset(out, 0, sizeof(*out));
	out->sound = !fence_unix_amiss(q->path, q->tgid[0], NULL);
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &st) ||
	    !(st.stx_mask & STATX_MNT_ID) || fence_path_id(fd, &out->dev, &out->ino))
		out->ino = 0;
	else
		out->mount = st.stx_mnt_id;
}

/*
 * A native messaging host is given its extension's origin by the browser that starts it. Firefox
 * gives the add-on's id behind its manifest's path.
 */
int scan_arguments(const struct scan_question *q, char out[FENCE_ADDON_MAX + 1])
{
	static const char origin[] = "chrome-extension://";
	AUTO_BUF struct fence_buf b = { 0 };
	const char *p, *end, *id;
	char path[64];
	int i, err;

	snprintf(path, sizeof(path), "/proc/%u/cmdline", q->tgid[0]);
	err = fence_buf_read_file(&b, path, ARGUMENTS);
	if (err && err != -EFBIG) /* of a longer one the beginning is enough */
		return err;
	for (p = fence_buf_text(&b), end = p + b.len, i = 0; p < end && i < 4;
	     p += strlen(p) + 1, i++) {
		id = p + sizeof(origin) - 1;
		if (i && !strncmp(p, origin, sizeof(origin) - 1) &&
		    strspn(id, "abcdefghijklmnop") == 32 && (!id[32] || id[32] == '/')) {
			snprintf(out, FENCE_ADDON_MAX + 1, "%d%.32s", i, id);
			return 0;
		}
		id = p + strlen(p) + 1;
		if (i == 1 && strstr(p, "/native-messaging-hosts/") && id < end) {
			snprintf(out, FENCE_ADDON_MAX + 1, "%d%s", i, id);
			return 0;
		}
	}
	return 0;
}
