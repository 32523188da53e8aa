/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: a unix stream socket, one request and one reply a connection. Who asks is
 * known by SO_PEERCRED, never by what the request says, and has to be who sends it
 * (SCM_CREDENTIALS): a connection outlives who made it, and its pid may be another process's by
 * then. Integers are in the machine's byte order: both ends are this machine.
 *
 * Anybody may ask for status, and may have the asking process confined: both give nothing away and
 * take rights, never add them.
 */
#ifndef FENCE_IPC_CONTROL_H
#define FENCE_IPC_CONTROL_H

#include <stdint.h>
#include <sys/types.h>

#include <crmfence/abi.h>

#define FENCE_CONTROL_PATH "/run/crmfence/control.sock"
#define FENCE_CONTROL_MAGIC 0x46435243u
#define FENCE_CONTROL_VERSION 2
/* What may follow in a reply to FENCE_OP_CONFINE. */
#define FENCE_CONTROL_MONITOR " monitor" /* nothing is enforced: close nothing either */
#define FENCE_CONTROL_ABSTRACT " abstract" /* the tool lists an abstract Unix socket */
#define FENCE_CONTROL_UNCHECKED " unchecked" /* this kernel does not check Unix sockets */
#define FENCE_CONTROL_WRITE "\nwrite " /* and a directory: the session may write below it */
#define FENCE_CONTROL_SHARING " sharing" /* nor sees it payload on shared pages */
#define FENCE_CONTROL_REPLY 65536 /* bytes of a reply's text */

enum fence_control_op {
	FENCE_OP_STATUS = 1, /* reply: one JSON object */
	FENCE_OP_CONFINE, /* the asking process becomes a session of `tool`; reply: the session's id
			     in hex, " monitor" behind it when nothing is blocked */
	FENCE_OP_RELOAD, /* root: read the policy again; reply: its name, or why not */
	FENCE_OP_JOIN, /* root: running process `pid` and its descendants become a session of
			  `tool`; reply: a sentence on what was done, or why not */
};

struct fence_control_request {
	uint32_t magic;
	uint16_t version; /* FENCE_CONTROL_VERSION */
	uint16_t op;
	uint32_t pid; /* FENCE_OP_JOIN */
	char tool[FENCE_TOOL_NAME_MAX];
};

struct fence_control_reply {
	uint32_t magic;
	int32_t status; /* 0, or a negative errno */
	uint32_t len; /* octets of text that follow */
};

struct fence_peer {
	pid_t pid;
	uid_t uid; /* effective, when it connected: what it may ask for */
	uid_t real; /* when it asked */
};

/* Agent: bind and listen. The fd, or a negative errno. */
int fence_control_listen(const char *path);

struct fence_caller {
	int fd, pidfd; /* owned; pidfd -1: there is none */
	uid_t uid; /* effective, when it connected */
};

/*
 * Agent: the next connection, and the process that made it (SO_PEERPIDFD, Linux 6.5; before, the
 * one that has its pid now). 0, or a negative errno. Ended by fence_control_end().
 */
int fence_control_accept(int listener, struct fence_caller *c);
void fence_control_end(struct fence_caller *c);
int fence_control_gone(const struct fence_caller *c); /* 1: the process has ended */

/*
 * Agent: take one request of an accepted connection, without waiting: -EAGAIN when it has not come
 * yet; refused with -EBADMSG when it is not whole and well formed, with -EPERM when another process
 * sends it than the one which connected. Nor does the reply wait for who does not read it.
 */
int fence_control_receive(int fd, struct fence_control_request *r, struct fence_peer *peer);
int fence_control_reply(int fd, int status, const char *text, uint32_t len);

/*
 * Command line: ask. The status of the reply, its text in `out` (terminated); -ECONNREFUSED or
 * -ENOENT when no agent runs; -EAGAIN, with a sentence, when it is there and does not answer;
 * -EBUSY, with one, when it had no place for who asks, also after some time: nothing was done.
 */
int fence_control_ask(const char *path, uint16_t op, const char *tool, uint32_t pid, char *out,
		      uint32_t size);

#endif
