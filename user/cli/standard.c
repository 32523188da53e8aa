// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptors 0, 1 and 2, which the session keeps. They were opened before there was a session: a
 * connected socket, a ring or a device there carries out what no program looks at. So what is not
 * known to stay on this machine, and with who started the tool, is not handed on: nothing starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <crmfence/shut.h>

#include "base/cleanup.h"
#include "cli/cli.h"

#define EVERY 256 /* minors of a major */

/* Devices that a program may have there: terminals, and what is in every container. */
static const struct {
	unsigned int major, from, upto;
} devices[] = {
	{ 1, 3, 3 }, /* null */
	{ 1, 5, 5 }, /* zero */
	{ 1, 7, 9 }, /* full, random, urandom */
	{ 4, 0, EVERY }, /* consoles, serial lines */
	{ 5, 0, 2 }, /* tty, console, ptmx */
	{ 136, 0, ~0u }, /* pts, of eight majors */
	{ 137, 0, ~0u },   { 138, 0, ~0u }, { 139, 0, ~0u },  { 140, 0, ~0u }, { 141, 0, ~0u },
	{ 142, 0, ~0u },   { 143, 0, ~0u }, { 204, 64, 127 }, /* serial consoles of ARM */
	{ 229, 0, EVERY }, /* consoles of virtual machines */
};

static int is_socket_unfit(int fd, char *what, size_t size)
{
	static const struct {
		int domain;
		const char *name;
	} domains[] = { { AF_INET, "an IPv4" },
			{ AF_INET6, "an IPv6" },
			{ AF_PACKET, "a packet" },
			{ AF_NETLINK, "a netlink" },
			{ AF_VSOCK, "a vsock" } };
	int domain = -1;
	socklen_t len = sizeof(domain);
	size_t i;

	if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX)
		return 0;
	for (i = 0; i < ARRAY_SIZE(domains) && domains[i].domain != domain; i++)
		;
	if (i < ARRAY_SIZE(domains))
		snprintf(what, size, "%s socket", domains[i].name);
	else
		snprintf(what, size, "a socket of family %d", domain);
	return 1;
}

static int is_device_unfit(dev_t dev, char *what, size_t size)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		if (major(dev) == devices[i].major && minor(dev) >= devices[i].from &&
		    minor(dev) <= devices[i].upto)
			return 0;
	snprintf(what, size, "a device (%u:%u)", major(dev), minor(dev));
	return 1;
}

/* A file by its path; what has none is memory, a ring, or the like. */
static int is_file_unfit(int fd, char *what, size_t size)
{
	char path[PATH_MAX], link[32];
	struct statfs fs;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = 0;
	if (path[0] != '/') {
		snprintf(what, size, "%.60s", *path ? path : "a file that /proc does not show");
		return 1;
	}
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return 0;
	if (!fstatfs(fd, &fs) && (__u32)fs.f_type != FENCE_PROC_MAGIC &&
	    !fence_is_switches((__u32)fs.f_type))
		return 0;
	snprintf(what, size, "a file of the kernel's, open for writing (%.60s)", path);
	return 1;
}

static int is_unfit(int fd, char *what, size_t size)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return 0; /* closed */
	if (flags & O_PATH || fstat(fd, &st)) {
		snprintf(what, size, "a descriptor without a file (O_PATH)");
		return 1;
	}
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return is_file_unfit(fd, what, size);
	case S_IFIFO:
		return 0;
	case S_IFSOCK:
		return is_socket_unfit(fd, what, size);
	case S_IFCHR:
		return is_device_unfit(st.st_rdev, what, size);
	case S_IFDIR: /* its ".." leads past the mounts of a session that is root's */
		snprintf(what, size, "a directory");
		return 1;
	case S_IFBLK:
		snprintf(what, size, "a block device (%u:%u)", major(st.st_rdev),
			 minor(st.st_rdev));
		return 1;
	default:
		return is_file_unfit(fd, what, size);
	}
}

int cli_standard_check(int watched)
{
	char what[128];
	int fd, bad = 0;

	for (fd = 0; fd < 3; fd++) {
		if (!is_unfit(fd, what, sizeof(what)))
			continue;
		bad = 1;
		if (watched < 0)
			continue;
		fprintf(stderr,
			"crmfence: descriptor %d is %s: what a session sends through it nobody "
			"judges. %s it with </dev/null, or through a pipe\n",
			fd, what,
			watched ? "Where sessions are confined nothing would start: start"
				: "Nothing was started; start");
	}
	return bad;
}
