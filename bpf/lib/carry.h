/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 4. What an open file can carry out of a session that had no part in making it.
 *
 * A ring has sockets that no descriptor shows, and perhaps a thread of its maker that works for it;
 * a packet socket, or one of a family without a cgroup hook, is asked nothing when it sends; what
 * MPTCP and the like send leaves by sockets of the kernel's own; what goes into a TUN or TAP
 * device, or a virtual machine's queue, comes from nobody.
 */
#ifndef FENCE_BPF_CARRY_H
#define FENCE_BPF_CARRY_H

#include "fence.h"

#define S_IFMT 0170000
#define S_IFIFO 0010000
#define S_IFCHR 0020000
#define S_IFSOCK 0140000
#define IPPROTO_ICMP 1
#define IPPROTO_ICMPV6 58
#define AF_UNIX 1
#define FMODE_PATH 0x4000
#define AF_NETLINK 16
#define ANON_INODE_FS_MAGIC 0x09041934

enum carried {
	CARRIES_NOTHING,
	CARRIES_INET, /* a socket whose packets are its own: they are judged once it is tagged */
	CARRIES_UNSEEN, /* what goes through it cannot be judged */
};

/* Of the inet families: TCP, UDP, ping, and raw sockets of any protocol. */
static __always_inline int inet_sends_itself(struct sock *sk)
{
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);

	return protocol == FENCE_IPPROTO_TCP || protocol == FENCE_IPPROTO_UDP ||
	       protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ||
	       BPF_CORE_READ(sk, sk_type) == SOCK_RAW;
}

static __always_inline enum carried socket_carries(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family == AF_INET || family == AF_INET6)
		return inet_sends_itself(sk) ? CARRIES_INET : CARRIES_UNSEEN;
	if (family == AF_UNIX || (family == AF_NETLINK && !BPF_CORE_READ(sk, sk_protocol)))
		return CARRIES_NOTHING;
	return CARRIES_UNSEEN;
}

static __always_inline int is_ring(struct file *file, struct inode *inode)
{
	const char want[16] = "[io_uring]";
	__u64 name[2] = {}, ring[2];

	if (BPF_CORE_READ(inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return 0;
	__builtin_memcpy(ring, want, sizeof(ring));
	bpf_probe_read_kernel_str(name, sizeof(name),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return name[0] == ring[0] && name[1] == ring[1];
}

/* Of a file that is a socket. */
static __always_inline struct sock *file_sock(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);

	return BPF_CORE_READ(socket, sk);
}

/*
 * Of a character device; numbers: Documentation/admin-guide/devices.txt. macvtap and ipvtap have a
 * number that is given when they are loaded, as other drivers have: those say whose they are.
 */
static __always_inline int device_carries(struct inode *inode)
{
	__u32 dev = BPF_CORE_READ(inode, i_rdev), major = dev >> 20;
	struct module *owner;
	char name[16] = {};

	if (dev == DEVICE(10, 200)) /* TUN and TAP */
		return 1;
	if (dev == DEVICE(10, 238) || dev == DEVICE(10, 241)) /* vhost-net, vhost-vsock */
		return 1;
	if (!(major >= 234 && major <= 254) && !(major >= 384 && major <= 511))
		return 0;
	owner = BPF_CORE_READ(inode, i_cdev, owner);
	if (!owner || bpf_core_read_str(name, sizeof(name), &owner->name) < 0)
		return 1;
	return !bpf_strncmp(name, sizeof(name), "macvtap") ||
	       !bpf_strncmp(name, sizeof(name), "ipvtap");
}

static __always_inline enum carried file_carries(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 type = BPF_CORE_READ(inode, i_mode) & S_IFMT;

	if (BPF_CORE_READ(file, f_mode) & FMODE_PATH) /* a name, not what it leads to */
		return CARRIES_NOTHING;
	if (type == S_IFSOCK)
		return socket_carries(file_sock(file));
	if (type == S_IFCHR)
		return device_carries(inode) ? CARRIES_UNSEEN : CARRIES_NOTHING;
	return is_ring(file, inode) ? CARRIES_UNSEEN : CARRIES_NOTHING;
}

#endif
