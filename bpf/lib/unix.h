/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Layer 6. The name of a Unix socket, and whether a tool lists it. */
#ifndef FENCE_BPF_UNIX_H
#define FENCE_BPF_UNIX_H

#include "subject.h"

#define SUN_PATH 2 /* offset of the path in struct sockaddr_un */
#define SUN_MAX 108

struct unix_cursor {
	struct fence_hash hash;
	struct fence_name *name;
	__u32 len;
	__u32 abstract;
};

static long unix_step(__u32 i, void *ctx)
{
	struct unix_cursor *c = ctx;
	__u8 octet;

	if (i >= c->len)
		return 1;
	octet = (__u8)c->name->text[i & 127];
	if (!octet) { /* the end of a path; in an abstract name an octet like any other */
		c->name->bad |= (__u8)c->abstract;
		return 1;
	}
	fence_hash_feed(&c->hash, i, octet);
	c->name->len = (__u16)(i + 1);
	return 0;
}

/*
 * The name in a struct sockaddr_un of `len` octets, as a policy writes it: '@' before an abstract
 * one. `bad`: none that a policy could mean (no name, a relative path, NUL in an abstract name).
 */
static __always_inline void unix_read(struct fence_name *name, const void *sun, __u32 len)
{
	struct unix_cursor c = { .name = name };
	struct fence_config *cfg = config_get();

	fence_name_init(name);
	name->bad = 1;
	if (!cfg || len <= SUN_PATH || len > SUN_PATH + SUN_MAX)
		return;
	c.len = len - SUN_PATH;
	if (bpf_probe_read_kernel(name->text, ((c.len - 1) & 127) + 1, sun + SUN_PATH))
		return;
	c.abstract = !name->text[0];
	name->bad = !c.abstract && name->text[0] != '/';
	if (c.abstract)
		name->text[0] = '@';
	fence_hash_init(&c.hash, cfg->key);
	fence_loop(SUN_MAX, unix_step, &c);
	name->hash = fence_hash_end(&c.hash);
}

/* `program`: hash of the listener's executable, where the kind of line asks for it. */
static __always_inline int unix_listed(const struct fence_name *name, __u8 kind, __u8 tool,
				       __u64 program)
{
	struct fence_service_key key = { .kind = kind, .tool = tool_key(tool) };

	__builtin_memcpy(key.addr, &name->hash, 8);
	__builtin_memcpy(key.addr + 8, &program, 8);
	return !name->bad && bpf_map_lookup_elem(&services, &key);
}

#endif
