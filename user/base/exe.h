/* SPDX-License-Identifier: Apache-2.0 */
/* What an executable that a policy names is now. */
#ifndef FENCE_BASE_EXE_H
#define FENCE_BASE_EXE_H

#include <crmfence/abi.h>
#include <stdint.h>
#include <sys/types.h>

enum fence_exe_kind {
	FENCE_EXE_MISSING, /* `err` says why */
	FENCE_EXE_PROGRAM, /* ELF */
	FENCE_EXE_SCRIPT, /* "#!" and an interpreter */
	FENCE_EXE_UNREAD, /* a file that cannot be read: either */
	FENCE_EXE_OTHER, /* a file that execve(2) does not start by itself; no file */
};

#define FENCE_EXE_NAMES 2048

struct fence_exe {
	enum fence_exe_kind kind;
	int err; /* errno; 0: it is there */
	char real[FENCE_PATH_MAX]; /* symbolic links resolved */
	char interpreter[FENCE_PATH_MAX]; /* of a script, likewise; "": it is not there */
	char others[FENCE_PATH_MAX]; /* what of it, or on the way to it, others than root can write
					or turn; "": nothing */
	char broad[96]; /* links lead to what everybody starts, or it is the same file: what it
			   is; "": no */
	char names[FENCE_EXE_NAMES]; /* of the file in directories of programs (/usr/bin, ...), each
					with its NUL, then an empty one */
	int foreign; /* by a user's link it leads to what is not that user's */
	int unique; /* device and inode name it alone */
	dev_t dev; /* as stat(2) has it */
	uint32_t kernel_dev; /* as the superblock has it, major << 20 | minor */
	uint64_t ino;
	int64_t ctime, mtime; /* ns */
};

/*
 * Follows links as execve(2) does, opens regular files alone, and reads 256 bytes. `path` is
 * absolute.
 */
void fence_exe_look(const char *path, struct fence_exe *e);

/* The same of a path that is root's alone (fence_path_is_roots); no user's own mount is asked. */
void fence_exe_look_now(const char *path, struct fence_exe *e);

/* Is it the same file, at the same place? */
int fence_exe_same(const struct fence_exe *a, const struct fence_exe *b);

/* Is it, or may it be, a script? */
int fence_exe_script(const struct fence_exe *e);

/* The next of e->names, from NULL on; NULL: there is none. */
const char *fence_exe_name(const struct fence_exe *e, const char *last);

/* A number that changes when a name in one of those directories comes, goes or is turned. */
uint64_t fence_exe_dirs(void);

/*
 * Would a tool of this executable, cgroup or unit be the whole machine, or what everybody starts? A
 * sentence that says what it is; NULL: no.
 */
const char *fence_exe_broad(const char *path);
const char *fence_unit_broad(const char *unit);

/* Is it a browser as a distribution or its maker installs it: the user's own, not a tool's? */
int fence_exe_browser(const char *path);

#endif
