/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of strangers are opened and read by processes of their own, not by the agent's thread: who
 * makes a file that is huge, or slow, or does not answer (FUSE, a dead NFS server), or whose reader
 * breaks, costs the process that reads it. "crmfenced-scan" may read every file and write none; it
 * forks a child a question, which has a time, is ended after it, and is not waited for where it
 * cannot be ended. Only regular files are opened. A user whose files take too much of that time is
 * not served for a while. The agent asks and goes on; answers are messages.
 */
#ifndef FENCE_AGENT_SCAN_H
#define FENCE_AGENT_SCAN_H

#include <stdint.h>

#include <crmfence/abi.h>

#include "policy/policy.h"

#define SCAN_QUEUE 1024 /* questions that wait */
#define SCAN_SHARE 384 /* of them, of one user */
#define SCAN_LARGEST (1ULL << 30) /* bytes of a file that is hashed */
#define SCAN_PART (60u << 10) /* bytes of a part of an answer */
#define SCAN_WINDOW_MS 60000 /* of a user's share of the time: */
#define SCAN_USER_MS 20000
#define SCAN_USER_LATE 3 /* questions that were ended: he is not served for the window's rest */
#define SCAN_STUCK 8 /* children that cannot be ended, at most */
#define SCAN_STUCK_HIS 2 /* ... of one share */

enum scan_kind {
	SCAN_HASH, /* SHA-256 of a program: struct scan_hash */
	SCAN_ARGUMENTS, /* the extension in a command line: the argument's number, its id; or "" */
	SCAN_OPEN, /* the file itself, for reading: a descriptor */
	SCAN_LOOK, /* what a path leads to: struct fence_exe */
	SCAN_BROWSER, /* what a browser has installed: profiles.h; in parts */
	SCAN_PLACE, /* what a path leads to, by root's links: struct scan_place */
	SCAN_KINDS
};

/* A file as it was at an exec. */
struct scan_file {
	uint64_t ino, size,
		changed; /* changed: ctime in ns since 1970; 0: size and it are not known */
	uint64_t dev; /* the kernel's encoding: major << 20 | minor */
};

struct scan_question {
	uint32_t kind, id; /* id: the answer's */
	uint32_t uid; /* whose share it is of */
	uint32_t tgid[3]; /* processes; 0: none. SCAN_PLACE: [0] a user, FENCE_UNIX_ANYBODY */
	struct scan_file file; /* SCAN_HASH, SCAN_OPEN */
	char path[FENCE_PATH_MAX + 1]; /* of it, SCAN_LOOK; SCAN_HASH: where the process is gone */
	uint32_t seq; /* set here */
};

struct scan_hash {
	struct scan_file is; /* what was hashed */
	uint8_t sha[32];
};

struct scan_place {
	uint64_t mount, ino; /* of what is there; ino 0: nothing */
	uint32_t dev; /* as the superblock has it */
	uint32_t sound; /* a socket at a name that is its user's alone (fence_unix_amiss): tgid[0]'s
			 */
};

struct scan_answer {
	uint32_t kind, id;
	int err; /* of the last part; scan_why() */
	int last; /* no more parts of it follow */
	int fd; /* SCAN_OPEN: the caller's from now on; -1: none */
	const uint8_t *data; /* borrowed, until the next call */
	uint32_t len;
};

struct scan;

/* 0: *ret is owned by the caller; or -errno. `name`: the process's. */
int scan_start(const char *name, struct scan **ret);
void scan_stop(struct scan *s); /* NULL is fine; nobody waits */

/* 0; -EAGAIN: too much of that user's, or of all, waits already; -EPIPE: the process is gone. */
int scan_ask(struct scan *s, const struct scan_question *q);

/* The next part of an answer, 1; 0: none waits. Has the next question asked. */
int scan_next(struct scan *s, struct scan_answer *out);
int scan_fd(const struct scan *s); /* readable when an answer waits; -1: there will be none */

/* In words why there is no answer. */
const char *scan_why(int err);
/* 1: it may be answered another time: the file itself was not looked at. */
int scan_passes(int err);

/* scanfiles.c, in the child: parts by `part`, then what the last one says. */
struct scan_out {
	int fd;
	uint32_t seq;
};
int scan_part(const struct scan_out *o, const void *data, uint32_t len); /* 0, or -EPIPE */
int scan_open_file(const struct scan_question *q); /* a descriptor, or -errno */
int scan_hash_file(const struct scan_question *q, struct scan_hash *out);
void scan_place(const struct scan_question *q, struct scan_place *out);
int scan_arguments(const struct scan_question *q, char out[FENCE_ADDON_MAX + 1]);

#endif
