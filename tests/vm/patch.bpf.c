// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that do nothing at places of each kind that the fence has programs at: attached, the
 * kernel patches its text for them, and no more. Of the functions that call security hooks three:
 * the kernel waits a second for each that it lets go.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

#define PLACE(name, section, value) \
	SEC(section) \
	int name(void *ctx) \
	{ \
		return value; \
	}

PLACE(fork, "tp_btf/sched_process_fork", 0)
PLACE(exec, "tp_btf/sched_process_exec", 0)
PLACE(exit_of, "tp_btf/sched_process_exit", 0)
PLACE(state, "tp_btf/inet_sock_set_state", 0)
PLACE(attach, "tp_btf/cgroup_attach_task", 0)
PLACE(create, "cgroup/sock_create", 1)
PLACE(release, "cgroup/sock_release", 1)
PLACE(connect4, "cgroup/connect4", 1)
PLACE(connect6, "cgroup/connect6", 1)
PLACE(sendmsg4, "cgroup/sendmsg4", 1)
PLACE(bind4, "cgroup/bind4", 1)
PLACE(setsockopt, "cgroup/setsockopt", 1)
PLACE(egress, "cgroup_skb/egress", 1)
PLACE(ingress, "cgroup_skb/ingress", 1)
PLACE(socket_create, "fmod_ret/security_socket_create", 0)
PLACE(task_kill, "fmod_ret/security_task_kill", 0)
PLACE(file_open, "fmod_ret/security_file_open", 0)
