/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 0. The kernel types that the programs read, and only their members that are read: CO-RE
 * finds the offsets at load.
 */
#ifndef FENCE_BPF_VMLINUX_H
#define FENCE_BPF_VMLINUX_H

#include <linux/types.h>
#include <linux/bpf.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct bpf_map {
	__u32 id;
};

struct bpf_link {
	__u32 id;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

typedef struct {
	__u32 val;
} kuid_t;

struct module {
	char name[56];
};

struct cdev {
	struct module *owner;
};

struct inode {
	unsigned short i_mode;
	kuid_t i_uid;
	__u32 i_rdev;
	struct cdev *i_cdev;
	unsigned long i_ino;
	struct super_block *i_sb;
	long long i_size;
};

/* Its ctime: from 6.11 on; 6.6 to 6.10; before. */
struct inode___fields {
	long long i_ctime_sec;
	__u32 i_ctime_nsec; /* from 6.13 on with a flag in its highest bit */
};

struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};

struct inode___hidden {
	struct timespec64 __i_ctime;
};

struct inode___plain {
	struct timespec64 i_ctime;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct user_namespace {
	int level; /* 0: the machine's own */
};

struct mnt_namespace {
	struct user_namespace *user_ns;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
	int mnt_id;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	struct path pwd;
	struct path root;
};

struct file {
	struct path f_path;
	unsigned int f_mode;
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};

struct files_struct {
	struct fdtable *fdt;
};

typedef struct {
	__u64 val; /* before 6.3 an array of two __u32 */
} kernel_cap_t;

struct cred {
	kuid_t fsuid;
	kernel_cap_t cap_effective;
	struct user_namespace *user_ns;
};

struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
};

struct linux_binprm {
	struct file *file; /* the program; of a script, its interpreter */
	const char *filename; /* as execve(2) was given it */
	const char *interp; /* the same pointer, but for scripts and the like */
};

struct kernfs_node {
	const char *name;
	__u64 id;
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct signal_struct {
	atomic_t live;
};

struct task_struct {
	int pid;
	int tgid;
	__u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct mm_struct *mm;
	const struct cred *cred;
	struct css_set *cgroups;
	struct fs_struct *fs;
	struct files_struct *files;
	struct uprobe_task *utask;
};

struct in6_addr {
	__u8 in6_u[16];
};

typedef struct {
	__s64 counter;
} atomic64_t;

struct net {
	struct user_namespace *user_ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	possible_net_t skc_net;
	atomic64_t skc_cookie;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__u16 skc_dport;
	__u16 skc_num;
	__u32 skc_daddr;
	struct in6_addr skc_v6_daddr;
};

struct upid {
	int nr;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct pid {
	struct hlist_head tasks[2]; /* by enum pid_type; 1: thread groups */
	struct upid numbers[1];
};

struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	struct socket *sk_socket;
	struct pid *sk_peer_pid;
	struct sock_cgroup_data sk_cgrp_data;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct path path;
};

struct socket {
	struct sock *sk;
};

struct request_sock {
	struct request_sock *dl_next;
	struct sock *sk;
};

struct request_sock_queue {
	struct request_sock *rskq_accept_head;
};

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
};

struct tcp_sock {
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
};

struct sk_buff {
	unsigned char *head;
	unsigned int end;
};

struct skb_shared_info {
	__u8 flags;
};

enum special_kfunc_type {
	KF_bpf_cast_to_kern_ctx = 1,
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
