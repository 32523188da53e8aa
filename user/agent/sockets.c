// SPDX-License-Identifier: Apache-2.0
/*
 * The Unix sockets that a tool's sessions may reach ("unix"), as the programs know them: by the
 * hash of their names. A hook that sees the peer (tier A) is told who has to listen, and judges
 * that. One that sees the name alone (tier B) is told only what is "unproved", and while a socket
 * is there that nobody but its own user could have put there. Of the curated lists nothing else is
 * told to anybody. Names come and go, as users do: they are looked at again each second.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

#define RUNTIME "/run/user"

struct peers {
	struct agent *a;
	agent_put_peer *put; /* NULL: only looked at */
	glob_t users; /* their runtime directories */
	uint64_t sum; /* over what is as it should be */
	const char *last; /* the policy's own, as looked at last */
	uint8_t tool;
};

/* Is what is at the name now to be reached? Of X11's abstract names, at the path that is one's
 * twin. */
static int is_there(struct peers *p, const char *path, int flags, uint32_t user)
{
	int curated = flags & FENCE_UNIX_CURATED;
	int there = !fence_unix_amiss(curated && path[0] == '@' ? path + 1 : path, user);

	p->sum = p->sum * 31 + agent_hash(p->a, path) + (uint64_t)there;
	return there;
}

/* What the hooks that see the peer are told of it. */
static int put_seen(const struct peers *p, uint64_t name[2], const char *owner)
{
	if (*owner)
		name[1] = agent_hash(p->a, owner);
	return p->put(p->a, (const uint8_t *)name, p->tool,
		      *owner ? FENCE_SVC_OWNED : FENCE_SVC_UNIX);
}

static int put_name(struct peers *p, const char *path, const char *owner, int flags, uint32_t user)
{
	uint64_t name[2] = { 0 };
	int err = 0, there = is_there(p, path, flags, user);

	if (!p->put)
		return 0;
	name[0] = agent_hash(p->a, path);
	if (flags & FENCE_UNIX_UNPROVED && there)
		err = p->put(p->a, (const uint8_t *)name, p->tool, FENCE_SVC_CLAIM);
	if (!err && (there || !(flags & FENCE_UNIX_CURATED)))
		err = put_seen(p, name, owner);
	return err;
}

static int each_peer(void *ctx, const char *path, const char *owner, int flags)
{
	struct peers *p = ctx;
	char full[sizeof(RUNTIME) + FENCE_UNIX_MAX + 32];
	const char *dir;
	size_t i;
	int err = 0;

	if (!p->put && path == p->last) /* again, with another owner */
		return 0;
	p->last = path;
	if (strncmp(path, "%t/", 3))
		return put_name(p, path, owner, flags, FENCE_UNIX_ANYBODY);
	for (i = 0; !err && i < p->users.gl_pathc; i++) {
		dir = p->users.gl_pathv[i];
		snprintf(full, sizeof(full), "%.32s/%s", dir, path + 3);
		err = put_name(p, full, owner, flags,
			       (uint32_t)strtoul(dir + sizeof(RUNTIME), NULL, 10));
	}
	return err;
}

static int peers_each(struct peers *p)
{
	const struct fence_policy *policy = p->a->policy;
	int err = 0;

	glob(RUNTIME "/*", 0, NULL, &p->users);
	p->sum = p->users.gl_pathc;
	while (!err && p->tool < policy->ntools) {
		p->tool++;
		err = fence_policy_unix_each(&policy->tools[p->tool - 1], each_peer, p);
	}
	globfree(&p->users);
	return err;
}

int agent_sockets_put(struct agent *a, agent_put_peer *put)
{
	struct peers p = { .a = a, .put = put };
	struct peers seen = { .a = a };

	peers_each(&seen); /* first: what changes meanwhile is looked at again */
	a->peers = seen.sum;
	return peers_each(&p);
}

int agent_sockets_changed(struct agent *a)
{
	struct peers p = { .a = a };

	if (a->now - a->peers_looked < AGENT_LATE_NS)
		return 0;
	a->peers_looked = a->now;
	peers_each(&p);
	return p.sum != a->peers;
}
