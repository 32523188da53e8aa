// SPDX-License-Identifier: Apache-2.0
/*
 * What root has: files that something outside the session obeys, the kernel's switches, devices,
 * and the kernel's own roads for packets. Where a switch's effect would be felt by others, that it
 * can be written is the leak: what stood there is written back.
 */
#include "evade.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/loop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

int way_arg(void);

#define CORE_PATTERN "/proc/sys/kernel/core_pattern"

static void put(const char *path, const char *text)
{
	int fd = must(open(path, O_WRONLY));

	must(write(fd, text, strlen(text)));
	close(fd);
}

void tell(const char *to, const char *text)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/got", to);
	dprintf(open(path, O_WRONLY | O_APPEND), "kernel %s\n", text);
}

/*
 * A crash whose core the kernel hands to a program. The switch is the machine's: one at a time, and
 * for as long as the crash takes.
 */
static void core_pattern(void)
{
	int lock = open("/tmp/crmfence-core.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666), fd, pid;
	const struct rlimit most = { RLIM_INFINITY, RLIM_INFINITY };
	char old[256], fresh[256], self[128];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = 0;
	snprintf(fresh, sizeof(fresh), "|%s tell %s %s", self, dir, token);
	flock(lock, LOCK_EX);
	fd = must(open(CORE_PATTERN, O_RDONLY));
	n = must(read(fd, old, sizeof(old) - 1));
	close(fd);
	fd = must(open(CORE_PATTERN, O_WRONLY));
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &most);
		if (write(fd, fresh, strlen(fresh)) > 0)
			abort();
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	must(pwrite(fd, old, (size_t)n, 0));
	flock(lock, LOCK_UN);
}

/* Switches that name a program which the kernel starts, or a rule that it obeys. */
static void own_switch(void)
{
	static const char *const names[] = {
		"/proc/sys/kernel/modprobe",	    "/proc/sys/kernel/hotplug",
		"/sys/kernel/uevent_helper",	    "/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/kernel/core_pipe_limit", "/sys/power/pm_async",
	};
	char old[256];
	int fd = must(open(names[way_arg()], O_RDONLY));
	ssize_t n = must(read(fd, old, sizeof(old) - 1));

	old[n] = 0;
	close(fd);
	put(names[way_arg()], n ? old : "\n");
}

static void binfmt(void)
{
	static const char at[] = "/proc/sys/fs/binfmt_misc";
	char path[200], rule[200];

	mount("binfmt_misc", at, "binfmt_misc", 0, NULL);
	snprintf(path, sizeof(path), "%s/register", at);
	snprintf(rule, sizeof(rule), ":%s:M::%s::%s/handler:", token, token, dir);
	put(path, rule);
	snprintf(path, sizeof(path), "%s/%s", at, token);
	put(path, "-1");
}

/* Of a hierarchy of its own: cgroup v1 runs the agent when the last process is gone. */
static void release_agent(void)
{
	char at[160], path[200], name[64];

	snprintf(at, sizeof(at), "%s/%s-cg", dir, token);
	snprintf(name, sizeof(name), "none,name=%s", token);
	must(unshare(CLONE_NEWNS));
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mkdir(at, 0700));
	if (mount("cgroup", at, "cgroup", 0, name)) {
		int err = errno;

		rmdir(at);
		lost(err);
	}
	snprintf(path, sizeof(path), "%s/release_agent", at);
	put(path, "/bin/false");
	umount(at);
	rmdir(at);
}

/* What stands on a disk, past its file system. */
static void block_device(void)
{
	char back[160], path[32], seen[64] = "";
	int ctl = must(open("/dev/loop-control", O_RDWR)), n, fd, file, i;

	snprintf(back, sizeof(back), "%s/%s-disk", dir, token);
	file = must(open(back, O_RDWR | O_CREAT, 0600));
	must(ftruncate(file, 1 << 16));
	for (i = 0; i < 5; i++) { /* another may take the same */
		n = must(ioctl(ctl, LOOP_CTL_GET_FREE));
		snprintf(path, sizeof(path), "/dev/loop%d", n);
		fd = must(open(path, O_RDWR));
		if (!ioctl(fd, LOOP_SET_FD, file))
			break;
		close(fd);
	}
	unlink(back);
	must(pwrite(fd, token, strlen(token), 0));
	fsync(fd);
	ioctl(fd, LOOP_CLR_FD, 0);
	must(pread(file, seen, sizeof(seen) - 1, 0));
	if (strncmp(seen, token, strlen(token)))
		lost(EIO);
}

/* Devices below everything, by a node of its own where /dev has none. */
static void device(void)
{
	static const struct {
		const char *path;
		unsigned int major, minor;
	} devices[] = { { "/dev/kmsg", 1, 11 }, { "/dev/mem", 1, 1 }, { "/dev/uinput", 10, 223 } };
	char path[160];
	int fd = open(devices[way_arg()].path, O_WRONLY);

	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/%s-dev", dir, token);
		must(mknod(path, S_IFCHR | 0600,
			   makedev(devices[way_arg()].major, devices[way_arg()].minor)));
		fd = open(path, O_WRONLY);
		unlink(path);
	}
	must(fd);
}

/* A file that something of root's obeys: it is made, and taken away again. */
static void obeyed(void)
{
	static const char *const dirs[] = { "/etc", "/run", "/usr/lib", "/var/spool", "/boot" };
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/.%s.evade", dirs[way_arg()], token);
	fd = must(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
	unlink(path);
	must(write(fd, token, strlen(token)));
}

/* The resolvers that the machine, and the agent, believe. */
static void resolvers(void)
{
	int fd = must(open("/etc/resolv.conf", O_RDWR | O_APPEND));
	struct stat st;

	must(fstat(fd, &st));
	must(write(fd, "\n", 1));
	must(ftruncate(fd, st.st_size));
}

struct request {
	struct nlmsghdr h;
	union {
		struct ifinfomsg link;
		struct tcmsg tc;
	} u;
	char room[256];
};

static void attribute(struct request *r, unsigned short type, const void *data, size_t n)
{
	struct rtattr *a = (void *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), data, n);
	r->h.nlmsg_len = (unsigned int)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

/* Send it; the kernel's answer is an errno. */
static void asked(int fd, struct request *r)
{
	char room[1024];
	struct nlmsghdr *h = (void *)room;

	r->h.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	must(send(fd, r, r->h.nlmsg_len, 0));
	must(recv(fd, room, sizeof(room), 0));
	errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
	if (errno)
		lost(errno);
}

/* A tunnel of the kernel's, whose outer packets no socket of the session's sends. */
static void tunnel(void)
{
	static const struct {
		const char *kind;
		unsigned short has; /* the attribute without which it is not made */
	} kinds[] = { { "ipip", 3 }, { "vxlan", 1 }, { "gre", 7 }, { "dummy", 0 } };
	const unsigned int value = 0x001e01; /* an address, or a number of 24 bits */
	struct request r = { .h = { NLMSG_LENGTH(sizeof(struct ifinfomsg)), RTM_NEWLINK,
				    NLM_F_CREATE | NLM_F_EXCL, 0, 0 } };
	int fd = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	const char *kind = kinds[way_arg()].kind;
	char name[IFNAMSIZ];
	struct rtattr *info, *data;
	size_t before, inner;

	snprintf(name, sizeof(name), "ev%s", token + 4);
	attribute(&r, IFLA_IFNAME, name, strlen(name) + 1);
	before = NLMSG_ALIGN(r.h.nlmsg_len);
	info = (void *)((char *)&r + before);
	attribute(&r, IFLA_LINKINFO, "", 0);
	attribute(&r, IFLA_INFO_KIND, kind, strlen(kind));
	inner = NLMSG_ALIGN(r.h.nlmsg_len);
	data = (void *)((char *)&r + inner);
	if (kinds[way_arg()].has) {
		attribute(&r, IFLA_INFO_DATA, "", 0);
		attribute(&r, kinds[way_arg()].has, &value, sizeof(value));
		data->rta_len = (unsigned short)(r.h.nlmsg_len - inner);
	}
	info->rta_len = (unsigned short)(r.h.nlmsg_len - before);
	asked(fd, &r);
	r = (struct request){ .h = { NLMSG_LENGTH(sizeof(struct ifinfomsg)), RTM_DELLINK, 0, 0,
				     0 } };
	attribute(&r, IFLA_IFNAME, name, strlen(name) + 1);
	asked(fd, &r);
}

/* Where tc's filters hang, which change and redirect packets behind every hook. */
static void queueing(void)
{
	struct request r = { .h = { NLMSG_LENGTH(sizeof(struct tcmsg)), RTM_NEWQDISC, NLM_F_CREATE,
				    0, 0 } };
	int fd = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));

	r.u.tc.tcm_ifindex = (int)if_nametoindex("lo");
	r.u.tc.tcm_handle = 0xffff0000;
	r.u.tc.tcm_parent = 0xfffffff1; /* TC_H_CLSACT */
	attribute(&r, TCA_KIND, "clsact", 7);
	asked(fd, &r);
	r.h.nlmsg_type = RTM_DELQDISC;
	r.h.nlmsg_flags = 0;
	asked(fd, &r);
}

const struct way root_ways[] = {
	{ "core-pattern", core_pattern, 0, 'l', 'r' },
	{ "modprobe-path", own_switch, 0, 's', 'r' },
	{ "hotplug-path", own_switch, 1, 's', 'r' },
	{ "uevent-helper", own_switch, 2, 's', 'r' },
	{ "ip-forward", own_switch, 3, 's', 'r' },
	{ "core-pipe-limit", own_switch, 4, 's', 'r' },
	{ "sysfs", own_switch, 5, 's', 'r' },
	{ "binfmt-misc", binfmt, 0, 's', 'r' },
	{ "release-agent", release_agent, 0, 's', 'r' },
	{ "block-device", block_device, 0, 's', 'r' },
	{ "device-kmsg", device, 0, 's', 'r' },
	{ "device-mem", device, 1, 's', 'r' },
	{ "device-uinput", device, 2, 's', 'r' },
	{ "etc", obeyed, 0, 's', 'r' },
	{ "run", obeyed, 1, 's', 'r' },
	{ "usr", obeyed, 2, 's', 'r' },
	{ "var-spool", obeyed, 3, 's', 'r' },
	{ "boot", obeyed, 4, 's', 'r' },
	{ "resolv-conf", resolvers, 0, 's', 'r' },
	{ "link-ipip", tunnel, 0, 's', 'r' },
	{ "link-vxlan", tunnel, 1, 's', 'r' },
	{ "link-gre", tunnel, 2, 's', 'r' },
	{ "link-dummy", tunnel, 3, 's', 'r' },
	{ "qdisc-clsact", queueing, 0, 's', 'r' },
	{ 0 },
};
