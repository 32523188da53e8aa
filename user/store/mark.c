// SPDX-License-Identifier: Apache-2.0
/* What was written last, kept beside the log: "crmfence-log 1 SEQ HASH running|ended  ". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/internal.h"

#define FORM "crmfence-log 1 %020lld %s %s\n"
#define LENGTH (15 + 20 + 1 + 2 * HASH + 1 + 7 + 1)

static int mark_name(char out[4096], const char *path)
{
	return snprintf(out, 4096, "%s.last", path) < 4096 ? 0 : -ENAMETOOLONG;
}

static int mark_nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* -ENOENT: it says nothing. */
static int mark_read(int fd, struct mark *m)
{
	char text[LENGTH + 1] = "", hash[2 * HASH + 1], state[8];
	long long seq;
	size_t i;

	memset(m, 0, sizeof(*m));
	if (pread(fd, text, LENGTH, 0) != LENGTH ||
	    sscanf(text, "crmfence-log 1 %20lld %64s %7s", &seq, hash, state) != 3 || seq < 0 ||
	    strlen(hash) != 2 * HASH)
		return -ENOENT;
	for (i = 0; i < HASH; i++) {
		int high = mark_nibble(hash[2 * i]), low = mark_nibble(hash[2 * i + 1]);

		if (high < 0 || low < 0)
			return -ENOENT;
		m->hash[i] = (uint8_t)(high << 4 | low);
	}
	m->there = 1;
	m->seq = seq;
	m->ended = !strcmp(state, "ended");
	return 0;
}

int mark_open(const char *path, int *fd, struct mark *m)
{
	char name[4096];
	int err = mark_name(name, path);

	struct stat open_is, there_is;

	memset(m, 0, sizeof(*m));
	if (err < 0)
		return err;
	if (*fd >= 0 && (fstat(*fd, &open_is) || stat(name, &there_is) ||
			 open_is.st_ino != there_is.st_ino)) { /* taken away: another one */
		close(*fd);
		*fd = -1;
	}
	if (*fd < 0)
		*fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (*fd < 0)
		return -errno;
	if (flock(*fd, LOCK_EX | LOCK_NB))
		return -EBUSY;
	mark_read(*fd, m);
	return 0;
}

int mark_write(int fd, const struct mark *m, int sync)
{
	char text[LENGTH + 1], hash[2 * HASH + 1];
	size_t i;

	for (i = 0; i < HASH; i++)
		sprintf(hash + 2 * i, "%02x", m->hash[i]);
	snprintf(text, sizeof(text), FORM, (long long)m->seq, hash,
		 m->ended ? "ended  " : "running");
	return pwrite(fd, text, LENGTH, 0) != LENGTH || (sync && fsync(fd)) ? -errno : 0;
}

int64_t mark_seq(const char *path)
{
	char name[4096];
	struct mark m = { 0 };
	AUTO_FD int fd = mark_name(name, path) < 0
				 ? -1
				 : open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd >= 0 && !mark_read(fd, &m) ? m.seq : 0;
}
