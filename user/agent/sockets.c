// SPDX-License-Identifier: Apache-2.0
/*
 * The Unix sockets that a tool's sessions may reach ("unix"), as the programs know them: by the
 * hash of their names. A hook that sees the peer (tier A) is told who has to listen, and judges
 * that. One that sees the name alone (tier B) is told only what is "unproved", and while a socket
 * is there that nobody but its own user could have put there. Of the curated lists nothing else is
 * told to anybody. Names come and go, as users do: they are looked at again each second.
 */
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/scan.h"
#include "base/cleanup.h"
#include "base/path.h"

struct peers {
	struct agent *a;
	agent_put_peer *put; /* NULL: only looked at */
	uint64_t sum; /* over what is as it should be */
	struct fence_mounts *mounts;
	const char *last; /* path of the policy's own, as looked at last; its owner, FENCE_UNIX_* */
	const char *owner;
	int flags;
	uint8_t tool;
};

/* Is what is there now to be reached? An abstract name of X11's has a path for its twin. */
static int is_there(struct peers *p, const char *path, uint32_t user)
{
	const char *at = p->flags & FENCE_UNIX_CURATED && path[0] == '@' ? path + 1 : path;
	const char *amiss = fence_unix_amiss(at, user, p->mounts);
	struct scan_place is = { 0 };
	int there = amiss == fence_unix_waits
			    ? agent_place(p->a, at, user, p->mounts->user, &is) && is.sound
			    : !amiss;

	p->sum = p->sum * 31 + agent_hash(p->a, path) + (uint64_t)there;
	return there;
}

/* Where root's links lead from an executable's path; "": nowhere else, or it cannot be asked. */
static void resolved(const struct peers *p, const char *path, char *out, size_t size)
{
	AUTO_FD int fd = path[0] == '/' ? fence_path_now(path, 0, p->mounts) : -1;
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = fd < 0 ? -1 : readlink(link, out, size - 1);
	out[n < 0 || n == (ssize_t)size - 1 ? 0 : n] = 0;
	if (!strcmp(out, path))
		out[0] = 0;
}

/* What the hooks that see the peer are told of it: the listener by its path, and by its links'. */
static int put_seen(const struct peers *p, uint64_t name[2])
{
	char real[FENCE_PATH_MAX];
	int err;

	if (!*p->owner)
		return p->put(p->a, (const uint8_t *)name, p->tool, FENCE_SVC_UNIX);
	name[1] = agent_hash(p->a, p->owner);
	err = p->put(p->a, (const uint8_t *)name, p->tool, FENCE_SVC_OWNED);
	resolved(p, p->owner, real, sizeof(real));
	if (err || !real[0])
		return err;
	name[1] = agent_hash(p->a, real);
	return p->put(p->a, (const uint8_t *)name, p->tool, FENCE_SVC_OWNED);
}

static int put_name(void *ctx, const char *path, uint32_t user)
{
	struct peers *p = ctx;
	uint64_t name[2] = { 0 };
	int err = 0, there = is_there(p, path, user);
	char real[FENCE_PATH_MAX];

	if (!p->put) { /* a link that was turned is another owner */
		resolved(p, p->owner, real, sizeof(real));
		p->sum = p->sum * 31 + agent_hash(p->a, real);
		return 0;
	}
	name[0] = agent_hash(p->a, path);
	if (p->flags & FENCE_UNIX_UNPROVED && there)
		err = p->put(p->a, (const uint8_t *)name, p->tool, FENCE_SVC_CLAIM);
	if (!err && (there || !(p->flags & FENCE_UNIX_CURATED)))
		err = put_seen(p, name);
	return err;
}

static int each_peer(void *ctx, const char *path, const char *owner, int flags)
{
	struct peers *p = ctx;

	if (!p->put && path == p->last) /* again, with another owner */
		return 0;
	p->last = path;
	p->owner = owner;
	p->flags = flags;
	return fence_unix_expand(path, put_name, p);
}

static int peers_each(struct peers *p)
{
	const struct fence_policy *policy = p->a->policy;
	int err = 0;

	while (!err && p->tool < policy->ntools) {
		p->tool++;
		err = fence_policy_unix_each(&policy->tools[p->tool - 1], each_peer, p);
	}
	return err;
}

int agent_sockets_put(struct agent *a, agent_put_peer *put)
{
	AUTO_MOUNTS struct fence_mounts mounts = { 0 };
	struct peers p = { .a = a, .put = put, .mounts = &mounts };
	struct peers seen = { .a = a, .mounts = &mounts };

	peers_each(&seen); /* first: what changes meanwhile is looked at again */
	a->peers = seen.sum;
	return peers_each(&p);
}

int agent_sockets_changed(struct agent *a)
{
	AUTO_MOUNTS struct fence_mounts mounts = { 0 };
	struct peers p = { .a = a, .mounts = &mounts };

	if (a->now - a->peers_looked < AGENT_LATE_NS)
		return 0;
	a->peers_looked = a->now;
	peers_each(&p);
	return p.sum != a->peers;
}
