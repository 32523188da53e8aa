/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One static program with every way out. `evade CASE TOKEN` tries one and prints "sent" or the name
 * of the errno; what arrived is for the sniffer and the helper to say, not for it.
 */
#ifndef EVADE_H
#define EVADE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define AI4 "10.99.1.30" /* nobody that the policy knows */
#define AI6 "fd99::30"
#define OK4 "10.99.1.10" /* listed by address: TCP and UDP port 80 */
#define OK6 "fd99::10"
#define OWN4 "10.99.0.2" /* this laptop's own */
#define TCP_PORT 80
#define UDP_PORT 9999
#define HELPER_PORT 7070

struct way {
	const char *name;
	void (*run)(void);
	int arg;
	char kind; /* w: seen on the wire; l: seen by the helper */
	char who; /* u: an unprivileged user; r: root */
};

extern const struct way net_ways[], raw_ways[], unix_ways[], local_ways[], root_ways[];
extern const char *token, *dir; /* dir: where the helper lives */

int way_arg(void); /* of the case that is tried */

/* Give up with an errno. */
void lost(int err) __attribute__((noreturn));
int must(long result); /* result, or lost(errno) */
int dial4(const char *addr, uint16_t port, int type, int proto);
long hand_over(int unix_socket, int fd); /* SCM_RIGHTS; as sendmsg(2) */
/*
 * Make what the case CASE needs in its hands at its exec: on fd 9, or, when it is received, a
 * pair's end there and somebody forked who sends it when asked.
 */
void with(const char *name);
#define ON_STDIN 5 /* of a way's arg: it is on fd 0 */
int handed(void);
int packet_socket(void);
int tun_device(void);
/* The kernel starts this program, outside every session: TOKEN into DIR/got. */
void tell(const char *to, const char *text);
void post(int fd); /* one HTTP request with the token */
int own(const char *where); /* what root does to the fence's pins, maps and links */
int pair(const char *path);
socklen_t unix_name(struct sockaddr_un *a, const char *leaf, int abstract);
char *at(const char *leaf); /* below dir */
/* unix.c: `self` is the helper's program, `owner` one that the policy names */
void accomplices(const char *self, const char *owner);
/* The unconfined one. */
void helper(const char *self, const char *owner) __attribute__((noreturn));
void take_all(const int *listeners, int n) __attribute__((noreturn)); /* into DIR/got */
void listen_at(int n, char **paths) __attribute__((noreturn)); /* for whom somebody else began */
void machine(int argc, char **argv); /* returns when it is not asked for */

#endif
