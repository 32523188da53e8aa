// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent gives up once it stands. It reads what strangers send (DNS, server names, paths,
 * control requests): who finds a hole there shall find a process that can neither start a program
 * nor connect to anything, and leaves no memory image. What stays is much: files, maps, netlink.
 */
#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "base/cleanup.h"

#define NICE -10
#define NICE_YIELDING 10

static int yields; /* who may not go before others could not come back from behind them */

/*
 * Still needed: maps and links, other namespaces, other users' /proc, signals, its priority, and
 * the limit of cores of who asks to be confined.
 */
static const unsigned int kept[] = { CAP_BPF,	      CAP_PERFMON,	   CAP_NET_ADMIN,
				     CAP_SYS_ADMIN,   CAP_SYS_PTRACE,	   CAP_DAC_OVERRIDE,
				     CAP_KILL,	      CAP_DAC_READ_SEARCH, CAP_SYS_NICE,
				     CAP_SYS_RESOURCE };

static const int refused[] = {
	SCMP_SYS(connect),
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(io_uring_setup),
};

static int is_kept(unsigned int cap)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		if (kept[i] == cap)
			return 1;
	return 0;
}

static int capabilities(void)
{
	unsigned int cap;

	if (capng_get_caps_process())
		return -errno;
	for (cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (capng_update(CAPNG_DROP,
				 CAPNG_INHERITABLE | CAPNG_BOUNDING_SET | CAPNG_AMBIENT |
					 (is_kept(cap) ? 0 : CAPNG_EFFECTIVE | CAPNG_PERMITTED),
				 cap))
			return -EINVAL;
	/* the bounding set needs CAP_SETPCAP, which is still there now */
	return capng_apply(CAPNG_SELECT_BOUNDS) || capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

static int calls(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int err = f ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(refused); i++)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
				       SCMP_A0(SCMP_CMP_NE, AF_NETLINK, 0));
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}

int agent_rights_narrow(struct fence_diag *d)
{
	const struct rlimit none = { 0 };
	int err;

	/* a busy machine is not to keep it from its work, which takes a thousandth of a CPU */
	yields = !setpriority(PRIO_PROCESS, 0, NICE);
	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = -errno;
	else
		err = capabilities();
	if (!err)
		err = calls();
	return err < 0 ? fence_diag_set(d, err, NULL, "rights cannot be given up: %s",
					strerror(-err))
		       : 0;
}

void agent_yield(int yield)
{
	if (yields)
		setpriority(PRIO_PROCESS, 0, yield ? NICE_YIELDING : NICE);
}
