/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log is written by a process of its own, which may open and write files and nothing else: a
 * disk that is full, stands still or is held by somebody costs the agent nothing but the rows' room
 * in a queue. The queue is memory that both share (base/ring.h): a row stays there until it was
 * committed, also when that process is ended and started again, and when the agent is ended. What
 * finds no room is lost, and the caller's to count.
 */
#ifndef FENCE_AGENT_WRITER_H
#define FENCE_AGENT_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct writer;

/* Before anything is there to be inherited. 0: *ret is owned by the caller; or -errno. */
int writer_start(const char *db, struct writer **ret);

/*
 * A row. Its number in the log; 0: that is not known yet, for the log is not open; -ENOSPC: the
 * queue is full, the row is lost.
 */
int64_t writer_put(struct writer *w, const char *kind, const char *body, size_t len);

/* Have it write what was put; `now`: and have that on the disk as soon as may be. */
void writer_wake(struct writer *w, int now);

/* Small files of the agent's beside the log, root's alone. */
enum writer_file { WRITER_SEEN, WRITER_OFFSETS, WRITER_FILES };
#define WRITER_FILE_BYTES 131072
extern const char *const writer_file_names[WRITER_FILES]; /* in the log's directory */

/*
 * Have it written whole in its old one's place, once the disk has it; of several the last counts.
 * 0, or -EMSGSIZE. What does not become of it is in writer_state.
 */
int writer_file(struct writer *w, enum writer_file which, const void *data, size_t len);
/* Its path, for who reads it; one that is too long is cut. */
void writer_file_path(const char *db, enum writer_file which, char out[512]);

struct writer_state {
	int64_t seq; /* last row that was written */
	int64_t safe; /* last row that the disk is known to have */
	uint64_t waiting; /* bytes that were put and not written */
	int err; /* 0, or -errno of the last attempt; -EPIPE: nobody is there to write */
	char why[160]; /* ... in words */
	unsigned int told; /* how often something was told of the log */
	char said[400]; /* ... the last: "WHAT: sentence" */
	int file_err[WRITER_FILES]; /* 0, or -errno: it is not written */
	unsigned int moved; /* how often numbers that were given out became others: another file was
			       begun, or rows of the log's own came first */
};

void writer_look(struct writer *w, struct writer_state *out);
int writer_has_room(const struct writer *w); /* 1: half of the queue is free */

/*
 * The end: what was put is written, for which there are `ms`; who writes goes on with the rest.
 * `whole`: no row was lost that no gap tells of; else the next start says so. Bytes that were not
 * written. NULL is fine.
 */
uint64_t writer_end(struct writer *w, int ms, int whole);

#endif
