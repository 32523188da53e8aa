// SPDX-License-Identifier: Apache-2.0
/*
 * What a session's first process gives up before it becomes the tool, for ever and for every
 * descendant: the ways out that are no network, on kernels where no BPF hook sees them.
 *
 * Landlock: a domain of its own, so that processes outside it cannot be traced, read or robbed of
 * descriptors, and (ABI 6) neither their abstract sockets nor their signals be used; no FIFO is
 * made, and where the policy has "write", nothing is written elsewhere. Root besides: its own
 * mounts, in which the kernel's switches, the system's configuration and devices are read-only or
 * not there (mounts.c). Capabilities: all but those over its own files. seccomp: address families,
 * message queues, key rings, pages shared with a socket, and calls that hand data to a process
 * outside.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <crmfence/shut.h>

#include "base/cleanup.h"
#include "base/path.h"
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

int cli_close_failed(const char *what, int err)
{
	fprintf(stderr, "crmfence: the session cannot be closed (%s: %s). Nothing was started\n",
		what, strerror(err));
	return -err;
}

/* What a program may do to a file system, beside making FIFOs: by the ABI that knows it. */
static uint64_t writing_rights(long abi)
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
	AUTO_FD int fd = fence_path_open(path);

	if (fd < 0)
		return fd;
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

int cli_write_each(const char *write, int (*each)(void *ctx, const char *path), void *ctx)
{
	const size_t word = strlen(FENCE_CONTROL_WRITE) - 1;
	char line[512], room[1024];
	const char *end;
	int err = 0;

	for (; !err && write && *write; write = *end ? end + 1 : end) {
		end = strchrnul(write, '\n');
		snprintf(line, sizeof(line), "%.*s", (int)(end - write), write);
		if (strlen(line) > word)
			err = each(ctx, at_home(line + word, room, sizeof(room)));
	}
	return err;
}

struct writing {
	int ruleset;
	long abi;
};

static int write_rule(void *ctx, const char *path)
{
	const struct writing *w = ctx;
	int err = allow(w->ruleset, path, writing_rights(w->abi));

	if (err != -ENOENT && err != -EPERM)
		return err ? cli_close_failed(path, -err) : 0;
	fprintf(stderr, "crmfence: %s %s; nothing can be written below it\n", path,
		err == -EPERM ? "leads through a symbolic link that is not root's"
			      : "is not there");
	return 0;
}

/*
 * The policy's directories, the devices that every program writes to, and what processes say of
 * themselves: /proc/self/uid_map, without which no browser has its sandbox. By path that cannot be
 * told from the rest of /proc, which is the user's own processes, beyond Landlock's scope, or
 * root's, and then read-only (mounts.c).
 */
static int write_rules(int ruleset, const char *lines, long abi)
{
	static const char *const files[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/tty",
					     "/dev/ptmx", "/dev/pts",  "/proc" };
	const uint64_t rights = LANDLOCK_ACCESS_FS_WRITE_FILE | (abi >= 3 ? ACCESS_FS_TRUNCATE : 0);
	struct writing w = { ruleset, abi };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		allow(ruleset, files[i], rights); /* as far as there */
	return cli_write_each(lines, write_rule, &w);
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
		return c->write ? cli_close_failed("this kernel has no Landlock for \"write\"",
						   ENOTSUP)
				: 0;
	if (c->write)
		r.fs |= writing_rights(abi);
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
		return cli_close_failed("Landlock", errno);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0))
		return cli_close_failed("Landlock", errno);
	return 0;
}

/* Root keeps what crmfence/shut.h lists; anybody else needs none. */
static int capabilities(int root)
{
	const unsigned int sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE |
				  CAPNG_BOUNDING_SET | CAPNG_AMBIENT;
	unsigned int i;

	if (capng_get_caps_process())
		return cli_close_failed("capabilities", errno);
	for (i = 0; i <= (unsigned int)CAP_LAST_CAP; i++)
		if (!(root && FENCE_CAPS_KEPT >> i & 1) && capng_update(CAPNG_DROP, sets, i))
			return cli_close_failed("capabilities", EINVAL);
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) && capng_apply(CAPNG_SELECT_BOUNDS))
		return cli_close_failed("bounding set", errno);
	return capng_apply(CAPNG_SELECT_CAPS) ? cli_close_failed("capabilities", errno) : 0;
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

/*
 * A core that a handler takes ("|program", or a socket: systemd-coredump, apport, ABRT) is the
 * session's memory, given to a process outside. With a limit of exactly 1 the kernel starts no
 * handler; with 0 it does, and whoever likes may lower his own limit. So nobody sets it any more:
 * who turns cores off, as ssh-agent does, is told that it is done.
 */
static int core_rules(scmp_filter_ctx f)
{
	struct scmp_arg_cmp set[] = { is(0, RLIMIT_CORE) };
	struct scmp_arg_cmp both[] = { is(1, RLIMIT_CORE),
				       { .arg = 2, .op = SCMP_CMP_NE, .datum_a = 0 },
				       { .arg = 3, .op = SCMP_CMP_EQ, .datum_a = 0 } };
	int err = seccomp_rule_add_array(f, SCMP_ACT_ERRNO(0), SCMP_SYS(setrlimit), 1, set);

	if (!err)
		err = seccomp_rule_add_array(f, SCMP_ACT_ERRNO(0), SCMP_SYS(prlimit64), 3, both);
	both[2].op = SCMP_CMP_NE; /* and tell the old one: not both */
	return err ? err : refuse(f, SCMP_SYS(prlimit64), 3, both);
}

static int filter(int unshared)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	size_t i;
	int err;

	if (!f)
		return cli_close_failed("seccomp", ENOMEM);
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
		err = core_rules(f);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err ? cli_close_failed("seccomp", -err) : 0;
}

/* Can it be root, now or by asking for a saved id back? */
static int is_root(void)
{
	uid_t real = 0, effective = 0, saved = 0;

	return getresuid(&real, &effective, &saved) || !real || !effective || !saved;
}

int cli_close_session(const struct cli_closing *c)
{
	struct rlimit core = { 1, 1 };
	int err, root = is_root();

	if (close_range(3, ~0u, 0))
		return cli_close_failed("descriptors", errno);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return cli_close_failed("no_new_privs", errno);
	setrlimit(RLIMIT_CORE, &core); /* of a hard limit of 0 only the agent can make 1 */
	if (getrlimit(RLIMIT_CORE, &core) || core.rlim_cur != 1 || core.rlim_max != 1)
		return cli_close_failed("the limit of cores, which 0 does not keep from the "
					"machine's handler: start with ulimit -Hc 1",
					EPERM);
	if (root && unshare(CLONE_NEWIPC))
		return cli_close_failed("an IPC namespace", errno);
	err = root ? cli_close_mounts(c->write) : 0;
	if (!err)
		err = landlock(c);
	if (!err)
		err = capabilities(root);
	return err ? err : filter(c->unshared);
}
