// SPDX-License-Identifier: Apache-2.0
/*
 * What a session's first process gives up before it becomes the tool, for ever and for every
 * descendant: the ways out that are no network, on kernels where no BPF hook sees them.
 *
 * Landlock: a domain of its own, so that processes outside it cannot be traced, read or robbed of
 * descriptors, and (ABI 6) neither their abstract sockets nor their signals be used; no FIFO is
 * made, and where the policy has "write", nothing is written elsewhere. Capabilities: those that
 * reach below sockets, or into other processes. seccomp: address families, message queues, key
 * rings, pages shared with a socket, and calls that hand data to a process outside.
 *
 * User namespaces stay: browsers sandbox themselves with them, and the programs on the v2 root hold
 * in every namespace.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "ipc/control.h"

#define SCOPE_ABI 6 /* first ABI of LANDLOCK_SCOPE_* */
#define SCOPE_ABSTRACT_UNIX_SOCKET 1u
#define SCOPE_SIGNAL 2u
#define ACCESS_FS_REFER (1u << 13) /* ABI 2 */
#define ACCESS_FS_TRUNCATE (1u << 14) /* ABI 3 */

/* struct landlock_ruleset_attr as of ABI 6; an older kernel takes the part that it knows. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

static int fail(const char *what, int err)
{
	fprintf(stderr, "crmfence: the session cannot be closed (%s: %s). Nothing was started\n",
		what, strerror(err));
	return -err;
}

/* What a program may do to a file system, beside making FIFOs: by the ABI that knows it. */
static uint64_t writing(long abi)
{
	uint64_t rights = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
			  LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
			  LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
			  LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
			  LANDLOCK_ACCESS_FS_MAKE_SYM;

	return rights | (abi >= 2 ? ACCESS_FS_REFER : 0) | (abi >= 3 ? ACCESS_FS_TRUNCATE : 0);
}

/* One directory, or device, that stays writable. */
static int allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr at = { .allowed_access = rights };
	AUTO_FD int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	at.parent_fd = fd;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &at, 0) ? -errno
											   : 0;
}

/* "~/x": below the home that the user database says, not the one that the environment says. */
static const char *at_home(const char *path, char *room, size_t size)
{
	const struct passwd *user = path[0] == '~' ? getpwuid(getuid()) : NULL;

	if (path[0] != '~')
		return path;
	snprintf(room, size, "%s%s", user ? user->pw_dir : "/nonexistent", path + 1);
	return room;
}

/* The policy's directories, and the devices that every program writes to. */
static int write_rules(int ruleset, char *lines, long abi)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full",
					       "/dev/tty",  "/dev/ptmx", "/dev/pts" };
	char room[512], *line, *save = NULL;
	const char *path;
	size_t i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		allow(ruleset, devices[i], LANDLOCK_ACCESS_FS_WRITE_FILE); /* as far as there */
	for (line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		path = at_home(line + strlen(FENCE_CONTROL_WRITE) - 1, room, sizeof(room));
		err = allow(ruleset, path, writing(abi));
		if (err == -ENOENT)
			fprintf(stderr,
				"crmfence: %s is not there; nothing can be written below it\n",
				path);
		else if (err)
			return fail(path, -err);
	}
	return 0;
}

/* That a kernel has no Landlock is said by doctor; it is a reason not to start where files count.
 */
static int landlock(const struct cli_closing *c)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset r = { .fs = LANDLOCK_ACCESS_FS_MAKE_FIFO };
	size_t size = sizeof(r.fs);
	AUTO_FD int fd = -1;

	if (abi < 1)
		return c->write ? fail("this kernel has no Landlock for \"write\"", ENOTSUP) : 0;
	if (c->write)
		r.fs |= writing(abi);
	else if (abi >= 2) /* else no domain may link or rename between directories */
		r.fs |= ACCESS_FS_REFER;
	if (abi >= SCOPE_ABI) {
		r.scoped = SCOPE_SIGNAL | (c->abstract ? 0 : SCOPE_ABSTRACT_UNIX_SOCKET);
		size = sizeof(r);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd >= 0 && c->write && write_rules(fd, c->write, abi) < 0)
		return -1;
	if (fd >= 0 && !c->write && abi >= 2 && allow(fd, "/", ACCESS_FS_REFER))
		return fail("Landlock", errno);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0))
		return fail("Landlock", errno);
	return 0;
}

static int capabilities(void)
{
	static const unsigned int none[] = { CAP_NET_RAW,    CAP_NET_ADMIN,	    CAP_SYS_ADMIN,
					     CAP_SYS_PTRACE, CAP_SYS_MODULE,	    CAP_SYS_RAWIO,
					     CAP_BPF,	     CAP_PERFMON,	    CAP_MKNOD,
					     CAP_SYS_BOOT,   CAP_MAC_OVERRIDE,	    CAP_MAC_ADMIN,
					     CAP_IPC_OWNER,  CAP_CHECKPOINT_RESTORE };
	size_t i;

	if (capng_get_caps_process())
		return fail("capabilities", errno);
	for (i = 0; i < ARRAY_SIZE(none); i++)
		if (capng_update(CAPNG_DROP,
				 CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE |
					 CAPNG_BOUNDING_SET | CAPNG_AMBIENT,
				 none[i]))
			return fail("capabilities", EINVAL);
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) && capng_apply(CAPNG_SELECT_BOUNDS))
		return fail("bounding set", errno);
	return capng_apply(CAPNG_SELECT_CAPS) ? fail("capabilities", errno) : 0;
}

/* Calls that give data to a process outside, or reach below the hooks. */
static const int refused[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(process_madvise),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(setns),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	/* a ring that was set up elsewhere acts outside every hook on the caller */
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(mq_open),
	SCMP_SYS(mq_unlink),
	SCMP_SYS(mq_timedsend),
	SCMP_SYS(mq_timedreceive),
	SCMP_SYS(mq_notify),
	SCMP_SYS(mq_getsetattr),
	SCMP_SYS(msgget),
	SCMP_SYS(msgsnd),
	SCMP_SYS(msgrcv),
	SCMP_SYS(msgctl),
	SCMP_SYS(shmget),
	SCMP_SYS(shmat),
	SCMP_SYS(shmctl),
	SCMP_SYS(semget),
	SCMP_SYS(semop),
	SCMP_SYS(semtimedop),
	SCMP_SYS(semctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(rt_sigqueueinfo),
	SCMP_SYS(rt_tgsigqueueinfo),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
};

/*
 * Pages that a socket shares with its sender: what is sent is not what was looked at. Where the
 * programs do not see that (before 6.2), nobody makes such pages. EINVAL: copy it yourself.
 */
static const int sharing[] = { SCMP_SYS(vmsplice), SCMP_SYS(splice), SCMP_SYS(tee),
			       SCMP_SYS(sendfile) };

static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

/* An int argument: the kernel looks at its low half alone, so the rule does too. */
static struct scmp_arg_cmp is(unsigned int arg, uint32_t value)
{
	return (struct scmp_arg_cmp){
		.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xffffffff, .datum_b = value
	};
}

static int refuse(scmp_filter_ctx f, int call, unsigned int n, const struct scmp_arg_cmp *when)
{
	return seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EPERM), call, n, when);
}

/*
 * socket(2): IPv4, IPv6 (what of them, the kernel programs decide), Unix, and of netlink the
 * routing table alone, which getaddrinfo(3) reads. A family beyond the last, or with high bits, is
 * none.
 */
static int family_rules(scmp_filter_ctx f)
{
	struct scmp_arg_cmp beyond = { .arg = 0, .op = SCMP_CMP_GT, .datum_a = AF_MAX };
	struct scmp_arg_cmp netlink[] = { is(0, AF_NETLINK),
					  { .arg = 2, .op = SCMP_CMP_NE, .datum_a = 0 } };
	unsigned int i, family;
	int err = refuse(f, SCMP_SYS(socket), 1, &beyond);

	for (family = 0; !err && family <= AF_MAX; family++) {
		struct scmp_arg_cmp one = is(0, family);

		for (i = 0; i < ARRAY_SIZE(families) && families[i] != (int)family; i++)
			;
		if (i == ARRAY_SIZE(families))
			err = refuse(f, SCMP_SYS(socket), 1, &one);
	}
	return err ? err : refuse(f, SCMP_SYS(socket), 2, netlink);
}

/* Characters pushed into a terminal are commands to the shell outside. */
static int terminal_rules(scmp_filter_ctx f)
{
	struct scmp_arg_cmp push = is(1, TIOCSTI), select = is(1, TIOCLINUX);
	int err = refuse(f, SCMP_SYS(ioctl), 1, &push);

	return err ? err : refuse(f, SCMP_SYS(ioctl), 1, &select);
}

static int filter(int unshared)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	size_t i;
	int err;

	if (!f)
		return fail("seccomp", ENOMEM);
	/* another calling convention would pass the rules by: it finds no system calls at all */
	err = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	for (i = 0; !err && i < ARRAY_SIZE(refused); i++)
		err = refuse(f, refused[i], 0, NULL);
	for (i = 0; !err && unshared && i < ARRAY_SIZE(sharing); i++)
		err = seccomp_rule_add_array(f, SCMP_ACT_ERRNO(EINVAL), sharing[i], 0, NULL);
	if (!err)
		err = family_rules(f);
	if (!err)
		err = terminal_rules(f);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err ? fail("seccomp", -err) : 0;
}

int cli_close_session(const struct cli_closing *c)
{
	int err;

	if (close_range(3, ~0u, 0))
		return fail("descriptors", errno);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return fail("no_new_privs", errno);
	if (!geteuid() && unshare(CLONE_NEWIPC))
		return fail("an IPC namespace", errno);
	err = landlock(c);
	if (!err)
		err = capabilities();
	return err ? err : filter(c->unshared);
}
