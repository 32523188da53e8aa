// SPDX-License-Identifier: Apache-2.0
/*
 * What a bare machine lacks: a sniffer, a server, another user. `sniff INTERFACE FILE` appends
 * every token that arrives; `serve` answers TCP connections and takes what they bring.
 */
#include "evade.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PREFIX "tkn0"
#define TOKEN 12

static void sniff(const char *interface, const char *file)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(interface) },
			   from;
	int fd = must(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))), size = 32 << 20;
	int out = must(open(file, O_WRONLY | O_CREAT | O_APPEND, 0644));
	static char p[70000];
	socklen_t len;
	ssize_t n;
	char *at;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	must(bind(fd, (void *)&a, sizeof(a)));
	for (;;) {
		len = sizeof(from);
		n = recvfrom(fd, p, sizeof(p) - 1, 0, (void *)&from, &len);
		if (n <= 0 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		for (at = p; (at = memmem(at, (size_t)(p + n - at), PREFIX, 4)); at += 4)
			if (p + n - at >= TOKEN)
				dprintf(out, "%.*s\n", TOKEN, at);
	}
}

static void serve(uint16_t port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int l = must(socket(AF_INET6, SOCK_STREAM, 0)), one = 1, fd;
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	char text[4096];

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	must(bind(l, (void *)&a, sizeof(a)));
	must(listen(l, 256));
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		fd = accept(l, NULL, NULL);
		if (fork()) {
			close(fd);
			continue;
		}
		alarm(600);
		while (recv(fd, text, sizeof(text), 0) > 0)
			send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
		_exit(0);
	}
}

void machine(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "sniff"))
		sniff(argv[2], argv[3]);
	if (argc == 2 && !strcmp(argv[1], "serve"))
		serve(TCP_PORT);
	if (argc > 3 && !strcmp(argv[1], "as")) {
		uint32_t id = (uint32_t)atoi(argv[2]);

		if (id) {
			must(setgroups(0, NULL));
			must(setgid(id));
			must(setuid(id));
		}
		execv(argv[3], argv + 3);
		lost(2);
	}
}
