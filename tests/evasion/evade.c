// SPDX-License-Identifier: Apache-2.0
#include "evade.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *token, *dir;

void lost(int err)
{
	printf("%s\n", strerrorname_np(err) ? strerrorname_np(err) : "?");
	fflush(stdout);
	_exit(1);
}

int must(long result)
{
	if (result < 0)
		lost(errno);
	return (int)result;
}

int dial4(const char *addr, uint16_t port, int type, int proto)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval limit = { .tv_sec = 3 };
	int fd = must(socket(AF_INET, type, proto));

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	inet_pton(AF_INET, addr, &a.sin_addr);
	must(connect(fd, (void *)&a, sizeof(a)));
	return fd;
}

void post(int fd)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "POST /x HTTP/1.1\r\nHost: ai\r\nContent-Length: %zu\r\n\r\n%s",
			 strlen(token), token);

	must(send(fd, text, (size_t)n, MSG_NOSIGNAL));
	recv(fd, text, sizeof(text), 0);
}

static const struct way *find(const char *name)
{
	const struct way *const tables[] = { net_ways, raw_ways, unix_ways, local_ways, root_ways },
				*w;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (w = tables[i]; w->name; w++)
			if (!strcmp(w->name, name))
				return w;
	return NULL;
}

static int list(void)
{
	const struct way *const tables[] = { net_ways, raw_ways, unix_ways, local_ways, root_ways },
				*w;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (w = tables[i]; w->name; w++)
			printf("%s %c %c\n", w->name, w->kind, w->who);
	return 0;
}

static int arg;

int way_arg(void)
{
	return arg;
}

long hand_over(int unix_socket, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)),
		       .cmsg_level = SOL_SOCKET,
		       .cmsg_type = SCM_RIGHTS } };
	struct iovec v = { .iov_base = (char[]){ "F" }, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};

	memcpy(CMSG_DATA(&c.h), &fd, sizeof(int));
	return sendmsg(unix_socket, &m, 0);
}

int main(int argc, char **argv)
{
	const struct way *w;

	if (argc == 2 && !strcmp(argv[1], "list"))
		return list();
	machine(argc, argv);
	if (argc == 4 && !strcmp(argv[1], "tell")) {
		tell(argv[2], argv[3]);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "own"))
		return own(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "pair"))
		return pair(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "helper")) { /* helper DIR OWNER */
		dir = argv[2];
		helper(argv[0], argv[3]);
	}
	if (argc > 3 && !strcmp(argv[1], "listener")) { /* listener DIR PATH... */
		dir = argv[2];
		listen_at(argc - 3, argv + 3);
	}
	if (argc >= 4 && !strcmp(argv[1], "with")) { /* with CASE PROGRAM ... */
		with(argv[2]);
		execv(argv[3], argv + 3);
		lost(errno);
	}
	w = argc == 4 ? find(argv[1]) : NULL;
	if (!w)
		return 2;
	token = argv[2];
	dir = argv[3];
	arg = w->arg;
	alarm(8);
	w->run();
	puts("sent");
	return 0;
}
