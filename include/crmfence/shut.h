/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What is taken from a session that runs as root, however it was begun: by `crmfence exec` at the
 * launch, by the programs of tier A at each use.
 */
#ifndef CRMFENCE_SHUT_H
#define CRMFENCE_SHUT_H

#include <linux/capability.h>
#include <linux/types.h>

#define FENCE_CAP(c) (1ULL << (c))

/*
 * The capabilities that it keeps: over its own files, users and priority. All others are gone,
 * those of kernels to come too: they reach below sockets, into other processes or into the kernel
 * (CAP_SYS_ADMIN alone mounts NFS, whose sockets are the kernel's own), or undo what a launch set
 * (CAP_SYS_RESOURCE: the limit that keeps cores from handlers).
 */
#define FENCE_CAPS_KEPT \
	(FENCE_CAP(CAP_CHOWN) | FENCE_CAP(CAP_DAC_OVERRIDE) | FENCE_CAP(CAP_FOWNER) | \
	 FENCE_CAP(CAP_FSETID) | FENCE_CAP(CAP_KILL) | FENCE_CAP(CAP_SETGID) | \
	 FENCE_CAP(CAP_SETUID) | FENCE_CAP(CAP_SETPCAP) | FENCE_CAP(CAP_NET_BIND_SERVICE) | \
	 FENCE_CAP(CAP_IPC_LOCK) | FENCE_CAP(CAP_SYS_CHROOT) | FENCE_CAP(CAP_SYS_NICE) | \
	 FENCE_CAP(CAP_SETFCAP))

/* Who has one of these writes files of root's, whatever its uid. */
#define FENCE_CAPS_ROOT \
	(FENCE_CAP(CAP_CHOWN) | FENCE_CAP(CAP_DAC_OVERRIDE) | FENCE_CAP(CAP_FOWNER) | \
	 FENCE_CAP(CAP_SETUID))

#define FENCE_PROC_MAGIC 0x9fa0

/*
 * Is it a file system whose files are the kernel's own switches? By the magic of its superblock.
 * Not procfs: what stands below a process of one's own is no switch.
 */
static inline __attribute__((always_inline)) int fence_is_switches(__u32 magic)
{
	switch (magic) {
	case 0x62656572: /* sysfs */
	case 0x0027e0eb: /* cgroup, with release_agent */
	case 0x63677270: /* cgroup2 */
	case 0x64626720: /* debugfs */
	case 0x74726163: /* tracefs */
	case 0x73636673: /* securityfs */
	case 0x62656570: /* configfs */
	case 0xde5e81e4: /* efivarfs */
	case 0x42494e4d: /* binfmt_misc */
	case 0xcafe4a11: /* bpf */
	case 0x6165676c: /* pstore */
	case 0x07655821: /* resctrl */
	case 0xf97cff8c: /* selinuxfs */
	case 0x43415d53: /* smackfs */
		return 1;
	default:
		return 0;
	}
}

#endif
