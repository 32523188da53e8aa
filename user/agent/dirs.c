// SPDX-License-Identifier: Apache-2.0
/*
 * The directories that a tool's sessions may write below ("write"), and those that root's may not
 * (base/shut.h), as the programs of tier A know them: by device and inode. They are looked at again
 * each second, for they come and go; "~/" is the home of everybody in /etc/passwd, and each
 * directory of /home. A link that a user made leads to none.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/scan.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/shut.h"

struct dirs {
	struct agent *a;
	agent_dir_put *put; /* NULL: only looked at */
	uint8_t kind; /* FENCE_SVC_DIR or FENCE_SVC_SHUT, and then how */
	uint16_t how;
	uint8_t tool;
	int err;
	uint64_t sum; /* over all that are there */
	struct fence_mounts mounts;
};

/* What is at a path; 0: nothing, or nobody knows. */
static int find(struct dirs *d, const char *path, struct scan_place *out)
{
	struct fence_mounts *mounts = d->kind == FENCE_SVC_SHUT ? NULL : &d->mounts; /* root's */
	AUTO_FD int fd = fence_path_now(path, 0, mounts);
	struct statx st;

	if (fd == -EAGAIN)
		return agent_place(d->a, path, 0, d->mounts.user, out) && out->ino;
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &st) ||
	    !(st.stx_mask & STATX_MNT_ID))
		return 0;
	out->ino = st.stx_ino;
	out->mount = st.stx_mnt_id;
	return !d->put || !fence_path_id(fd, &out->dev, &out->ino);
}

static void one(struct dirs *d, const char *path)
{
	struct scan_place is = { 0 };
	uint64_t id[2];

	if (d->err || !find(d, path, &is))
		return;
	d->sum = (d->sum ^ is.ino ^ is.mount << 40 ^ d->tool) * FENCE_FNV_PRIME;
	id[0] = is.dev;
	id[1] = is.ino;
	if (d->put)
		d->err = d->put(d->a, d->tool, d->kind, d->how, (const uint8_t *)id);
}

static void below(struct dirs *d, const char *home, const char *rest)
{
	char path[FENCE_WRITE_MAX + 256];

	if (home[0] != '/' || !home[1])
		return;
	snprintf(path, sizeof(path), "%.200s/%s", home, rest);
	one(d, path);
}

static void at_homes(struct dirs *d, const char *rest)
{
	AUTO_FILE FILE *f = fopen("/etc/passwd", "re");
	struct passwd *user;
	glob_t found;
	size_t i;

	while (f && (user = fgetpwent(f)))
		below(d, user->pw_dir, rest);
	if (glob("/home/*", GLOB_ONLYDIR, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		below(d, found.gl_pathv[i], rest);
	globfree(&found);
}

static int one_shut(void *dirs, const char *path)
{
	struct dirs *d = dirs;

	one(d, path);
	return d->err;
}

/* Those that root's sessions write nothing in, of every tool, and how they are led to. */
static void each_shut(struct dirs *d)
{
	d->tool = 0;
	d->kind = FENCE_SVC_SHUT;
	d->how = FENCE_SHUT_BELOW;
	fence_shut_each(one_shut, d);
	d->how = FENCE_SHUT_PLACE;
	fence_shut_above(one_shut, d);
	d->how = FENCE_SHUT_ENTRIES;
	one(d, "/");
}

static int each(struct dirs *d)
{
	const struct fence_policy *p = d->a->policy;
	static const uint8_t none[16];
	size_t i, k;

	each_shut(d);
	d->kind = FENCE_SVC_DIR;
	d->how = 0;
	for (i = 0; i < p->ntools; i++) {
		d->tool = (uint8_t)(i + 1);
		if (d->put && !d->err && p->tools[i].nwrite)
			d->err = d->put(d->a, d->tool, FENCE_SVC_DIRS, 0, none); /* it has a list */
		for (k = 0; k < p->tools[i].nwrite; k++)
			if (p->tools[i].write[k][0] == '~')
				at_homes(d, p->tools[i].write[k] + 2);
			else
				one(d, p->tools[i].write[k]);
	}
	return d->err;
}

int agent_dirs_put(struct agent *a, agent_dir_put *put)
{
	struct dirs d = { .a = a, .put = put };
	int err = each(&d);

	a->dirs = d.sum;
	fence_mounts_done(&d.mounts);
	return err;
}

int agent_dirs_changed(struct agent *a)
{
	struct dirs d = { .a = a };

	if (a->now - a->dirs_looked < AGENT_LATE_NS)
		return 0;
	a->dirs_looked = a->now;
	each(&d);
	fence_mounts_done(&d.mounts);
	return d.sum != a->dirs;
}
