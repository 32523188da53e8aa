/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 9. The programs of tier A, one a hook. The includer says of which kind.
 */
#include "own.h"
#include "write.h"

char _license[] SEC("license") = "GPL";

GUARD(socket_create, int family, int type, int protocol, int kern)
{
	return guard_family(family, type, protocol, kern);
}

GUARD(capable, const struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts)
{
	return guard_capable(cred, ns, cap, opts);
}

GUARD(unix_stream_connect, struct sock *sock, struct sock *other, struct sock *newsk)
{
	return guard_unix(other);
}

GUARD(unix_may_send, struct socket *sock, struct socket *other)
{
	return guard_unix(BPF_CORE_READ(other, sk));
}

GUARD(ptrace_access_check, struct task_struct *child, unsigned int mode)
{
	return guard_other(FENCE_G_PTRACE, child->tgid);
}

GUARD(task_kill, struct task_struct *p, void *info, int sig, const void *cred)
{
	if ((unsigned long)info == SIG_INFO_KERNEL)
		return 0;
	return guard_other(FENCE_G_SIGNAL, p->tgid);
}

GUARD(msg_queue_msgsnd, void *perm, void *msg, int flags)
{
	return guard(FENCE_G_IPC);
}

GUARD(shm_shmat, void *perm, void *addr, int flags)
{
	return guard(FENCE_G_IPC);
}

GUARD(key_permission, void *key, const void *cred, int need)
{
	return need == KEY_NEED_WRITE ? guard(FENCE_G_KEY) : 0;
}

GUARD(file_open, struct file *file)
{
	int err = guard_file(file);

	return err ? err : write_file(file);
}

GUARD(path_mknod, const struct path *dir)
{
	return write_dir(dir);
}

GUARD(path_mkdir, const struct path *dir)
{
	return write_dir(dir);
}

GUARD(path_symlink, const struct path *dir)
{
	return write_dir(dir);
}

/* Under its new name the file is written too. */
GUARD(path_link, struct dentry *old, const struct path *dir)
{
	int err = write_dir(dir);

	return err ? err : write_there(old);
}

/* Who is its owner writes it later. */
GUARD(path_chown, const struct path *path)
{
	return write_there(BPF_CORE_READ(path, dentry));
}

GUARD(path_rename, const struct path *from, struct dentry *old, const struct path *to,
      struct dentry *new)
{
	int err = write_name(BPF_CORE_READ(from, dentry), old);

	if (!err)
		err = write_there(old); /* a directory, that is itself shut */
	if (!err)
		err = write_there(new); /* and what it takes the place of, or changes places with */
	return err ? err : write_name(BPF_CORE_READ(to, dentry), new);
}

GUARD(file_receive, struct file *file)
{
	return guard_receive(file);
}

GUARD(tun_dev_create)
{
	return guard(FENCE_G_TUN);
}

GUARD(bpf, int cmd, void *attr, unsigned int size)
{
	int err = guard(FENCE_G_BPF);

	return err ? err : own_call(cmd, attr);
}

GUARD(inode_unlink, struct inode *dir, struct dentry *dentry)
{
	return own_dir(dir);
}

GUARD(inode_rename, struct inode *from, struct dentry *old, struct inode *to, struct dentry *new)
{
	int err = own_dir(from);

	if (!err)
		err = own_dir(to);
	return err ? err : own_dir(old->d_inode);
}
