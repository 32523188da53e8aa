// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unix sockets, since 6.7: a helper on the same machine could pass the data on.
 *
 * cgroup/connect_unix, sendmsg_unix -> a session reaches the paths that its tool lists, which only
 * root can have put there; no abstract name.
 */
#include "lib/subject.h"

char _license[] SEC("license") = "GPL";

#define SUN_PATH 2 /* offset of the path in struct sockaddr_un */
#define SUN_MAX 108

struct sockaddr;

struct bpf_sock_addr_kern {
	struct sockaddr *uaddr;
	__u32 uaddrlen;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

struct path_hash {
	struct fence_name *name;
	__u32 len;
};

static long path_step(__u32 i, void *ctx)
{
	struct path_hash *c = ctx;
	__u8 octet;

	if (i >= c->len)
		return 1;
	octet = (__u8)c->name->text[i & 127];
	if (!octet) {
		c->name->len = (__u16)i;
		return 1;
	}
	c->name->hash = fence_fnv(c->name->hash, octet);
	c->name->len = (__u16)(i + 1);
	return 0;
}

/* The peer's path into `name`, its hash too; empty for an abstract name. */
static __always_inline void peer_read(struct bpf_sock_addr *ctx, struct fence_name *name)
{
	struct bpf_sock_addr_kern *k = bpf_cast_to_kern_ctx(ctx);
	struct path_hash c = { .name = name };
	void *uaddr = BPF_CORE_READ(k, uaddr);

	c.len = BPF_CORE_READ(k, uaddrlen);
	fence_name_init(name);
	name->hash = FENCE_FNV_BASIS;
	name->len = 0;
	if (c.len <= SUN_PATH || c.len > SUN_PATH + SUN_MAX)
		return;
	c.len -= SUN_PATH;
	if (bpf_probe_read_kernel(name->text, ((c.len - 1) & 127) + 1, uaddr + SUN_PATH))
		return;
	fence_loop(SUN_MAX, path_step, &c);
}

static __always_inline int peer(struct bpf_sock_addr *ctx)
{
	struct fence_facts f = { .at = FENCE_AT_UNIX };
	struct fence_service_key key = { .kind = FENCE_SVC_UNIX };
	struct fence_sock none = { .rule = NO_RULE, .family = 1 };
	struct fence_scratch *s;
	struct told t = {};
	struct subject who;

	subject_get(&who);
	if (!subject_confined(&who, 0))
		return 1;
	owner_set(&none, &who);
	facts_begin(&f);
	s = scratch_take();
	if (who.overflow || !s)
		f.flags |= FENCE_F_OVERFLOW;
	if (s) {
		peer_read(ctx, &s->dns.name);
		key.tool = tool_key(none.tool);
		__builtin_memcpy(key.addr, &s->dns.name.hash, 8);
		if (s->dns.name.len && bpf_map_lookup_elem(&services, &key))
			f.flags |= FENCE_F_PORT_OK;
	}
	t.v = judge(&f);
	if (t.v.action != FENCE_ALLOW)
		deny_emit(&none, &f, s ? &s->dns.name : 0, &t);
	if (s)
		scratch_give(s);
	return pass(t.v);
}

SEC("cgroup/connect_unix")
int unix_connect(struct bpf_sock_addr *ctx)
{
	return peer(ctx);
}

SEC("cgroup/sendmsg_unix")
int unix_sendmsg(struct bpf_sock_addr *ctx)
{
	return peer(ctx);
}
