// SPDX-License-Identifier: Apache-2.0
/*
 * Policy into maps. A policy is built in the bank that is not in force, put in force by one word of
 * the configuration, and only then does the old one's bank go. What DNS gave under the old policy
 * is carried over where the new one allows it, so that nobody has to ask again.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/agent.h"
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/shut.h"

#define CARRIED_NS 60000000000ULL /* what is carried over is good for at least as long */

uint64_t agent_hash(const struct agent *a, const char *text)
{
	return fence_hash_octets(fence_kernel_key(a->kernel), text, strlen(text));
}

static int put_service(struct agent *a, const uint8_t addr[16], uint16_t port, uint8_t tool,
		       uint8_t kind)
{
	struct fence_service_key k = { .port = port, .tool = tool | a->bank, .kind = kind };

	if (addr)
		memcpy(k.addr, addr, 16);
	return fence_kernel_put(a->kernel, FENCE_MAP_SERVICES, &k, &a->stamp);
}

static int put_resolver(struct agent *a, const uint8_t addr[16])
{
	return put_service(a, addr, 53, 0, FENCE_SVC_RESOLVER);
}

static int put_peer(struct agent *a, const uint8_t addr[16], uint8_t tool, uint8_t kind)
{
	return put_service(a, addr, 0, tool, kind);
}

static int put_dir(struct agent *a, uint8_t tool, uint8_t kind, uint16_t how, const uint8_t id[16])
{
	return put_service(a, id, how, tool, kind);
}

static int put_services(struct agent *a)
{
	const struct fence_policy *p = a->policy;
	uint64_t hash[2] = { 0 };
	uint8_t org[16] = { 0 };
	size_t i, j;
	int err;

	a->stamp++;
	err = p->resolvers_system ? agent_resolvers_put(a, put_resolver) : 0;
	for (i = 0; !err && i < p->nresolvers; i++)
		err = put_service(a, p->resolvers[i], 53, 0, FENCE_SVC_RESOLVER);
	for (i = 0; !err && i < p->nproxies; i++)
		if (p->proxies[i].is_addr)
			err = put_service(a, p->proxies[i].addr, p->proxies[i].port, 0,
					  FENCE_SVC_PROXY);
	for (i = 0; !err && i < p->ntools; i++)
		for (j = 0; !err && j < p->tools[i].nlocal; j++)
			err = put_service(a, NULL, p->tools[i].local[j], (uint8_t)(i + 1),
					  FENCE_SVC_LOCAL);
	for (i = 0; !err && i < p->nextensions; i++) {
		hash[0] = agent_hash(a, p->extensions[i]);
		err = put_service(a, (const uint8_t *)hash, 0, 0, FENCE_SVC_ORIGIN);
	}
	for (i = 0; !err && i < a->naddons; i++) {
		hash[0] = agent_hash(a, a->addons[i]);
		err = put_service(a, (const uint8_t *)hash, 0, 0, FENCE_SVC_ORIGIN);
	}
	for (i = 0; !err && i < p->org.nids; i++) {
		memcpy(org, p->org.ids[i], 15);
		err = put_service(a, org, 0, 0, FENCE_SVC_ORG);
	}
	if (!err)
		err = agent_dirs_put(a, put_dir);
	return err ? err : agent_sockets_put(a, put_peer);
}

static uint32_t config_flags(const struct fence_policy *p)
{
	uint32_t flags =
		(p->monitor ? FENCE_CFG_MONITOR : 0u) | (p->quic_allow ? FENCE_CFG_QUIC : 0u);
	size_t i, j;

	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			if (p->tools[i].match[j].kind == FENCE_MATCH_NATIVE)
				flags |= FENCE_CFG_NATIVE;
			if (p->tools[i].match[j].kind == FENCE_MATCH_CGROUP)
				flags |= FENCE_CFG_CGROUP;
			if (strchr(p->tools[i].match[j].text, '*'))
				flags |= FENCE_CFG_UNITS;
			if (p->tools[i].match[j].kind == FENCE_MATCH_EXE)
				flags |= FENCE_CFG_EXE;
		}
	for (i = 0; i < p->ntools; i++)
		if (p->tools[i].sight)
			flags |= FENCE_CFG_SIGHT;
	if (p->nproxies)
		flags |= FENCE_CFG_PROXIES;
	if (p->ranges_file[0])
		flags |= FENCE_CFG_RANGES | (p->ranges_tell ? FENCE_CFG_RANGES_TELL : 0);
	return flags | (p->org.nids ? FENCE_CFG_ORGS : 0);
}

void agent_beat(struct agent *a)
{
	struct fence_pulse p = { .limit = (uint64_t)a->policy->heartbeat * 1000000000,
				 .epoch = a->epoch };
	struct timespec now;
	uint32_t zero = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	p.beat = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	fence_kernel_put(a->kernel, FENCE_MAP_PULSE, &zero, &p);
}

static int put_ranges(struct agent *a)
{
	struct fence_range_key key = { .bank = a->bank };
	uint32_t one = 1;
	size_t i;
	int err = 0;

	for (i = 0; !err && i < a->policy->nranges; i++) {
		key.prefixlen = FENCE_RANGE_KEY_BITS(a->policy->ranges[i].bits);
		memcpy(key.addr, a->policy->ranges[i].addr, 16);
		err = fence_kernel_put(a->kernel, FENCE_MAP_RANGES, &key, &one);
	}
	return err;
}

static int put_policy(struct agent *a)
{
	const struct fence_policy *p = a->policy;
	struct fence_answer net = { .until = ~0ULL };
	size_t i;
	int err = 0;

	for (i = 0; !err && i < p->nnames; i++) {
		struct fence_name_key key = p->names[i].key;

		key.tool |= a->bank;
		err = fence_kernel_put(a->kernel, FENCE_MAP_NAMES, &key, &p->names[i].rule);
	}
	for (i = 0; !err && i < p->nnets; i++) {
		struct fence_net_key key = p->nets[i].key;

		key.tool |= a->bank;
		net.rule = p->nets[i].rule;
		err = fence_kernel_put(a->kernel, FENCE_MAP_NETS, &key, &net);
	}
	if (!err)
		err = put_ranges(a);
	if (!err)
		err = agent_matches_put(a);
	return err ? err : put_services(a);
}

/* The bank that a policy key is of. */
static uint8_t bank_of(enum fence_map map, const void *key)
{
	switch (map) {
	case FENCE_MAP_NAMES:
	case FENCE_MAP_UNITS:
		return ((const struct fence_name_key *)key)->tool & FENCE_BANK;
	case FENCE_MAP_NETS:
		return ((const struct fence_net_key *)key)->tool & FENCE_BANK;
	case FENCE_MAP_RANGES:
		return ((const struct fence_range_key *)key)->bank;
	case FENCE_MAP_SERVICES:
		return ((const struct fence_service_key *)key)->tool & FENCE_BANK;
	case FENCE_MAP_MATCHES:
		return ((const struct fence_match_key *)key)->bank & FENCE_BANK;
	default:
		return ((const struct fence_answer_key *)key)->tool & FENCE_BANK;
	}
}

/* Take a bank's keys out of every policy map. */
static int clear_bank(struct agent *a, uint8_t bank)
{
	static const enum fence_map maps[] = { FENCE_MAP_NAMES,	   FENCE_MAP_NETS,
					       FENCE_MAP_SERVICES, FENCE_MAP_MATCHES,
					       FENCE_MAP_ANSWERS,  FENCE_MAP_RANGES,
					       FENCE_MAP_UNITS };
	union {
		struct fence_name_key name;
		uint8_t octets[sizeof(struct fence_name_key)];
	} key, next;
	size_t i;
	int more, err;

	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		more = !fence_kernel_next(a->kernel, maps[i], NULL, &next);
		while (more) {
			key = next;
			more = !fence_kernel_next(a->kernel, maps[i], &key, &next);
			if (bank_of(maps[i], &key) != bank)
				continue;
			err = fence_kernel_del(a->kernel, maps[i], &key);
			if (err && err != -ENOENT)
				return err;
		}
	}
	return 0;
}

/* Services of the bank that the last put_services() did not write. */
static void sweep_services(struct agent *a)
{
	struct fence_service_key key, next;
	uint32_t stamp;
	int more = !fence_kernel_next(a->kernel, FENCE_MAP_SERVICES, NULL, &next);

	while (more) {
		key = next;
		more = !fence_kernel_next(a->kernel, FENCE_MAP_SERVICES, &key, &next);
		if ((key.tool & FENCE_BANK) == a->bank &&
		    !fence_kernel_get(a->kernel, FENCE_MAP_SERVICES, &key, &stamp) &&
		    stamp != a->stamp)
			fence_kernel_del(a->kernel, FENCE_MAP_SERVICES, &key);
	}
}

static void put_answer(struct agent *a, struct fence_answer_key k, uint64_t name, uint16_t port,
		       const struct fence_answer *v)
{
	k.name = name;
	k.port = port;
	k.tool = (k.tool & ~FENCE_BANK) | a->bank;
	fence_kernel_put(a->kernel, FENCE_MAP_ANSWERS, &k, v);
}

/* Would the programs have learned it? */
static int may_carry(const struct fence_policy *p, uint16_t flags, const uint8_t addr[16])
{
	uint8_t form = fence_policy_leads(p, flags, addr);

	return form == FENCE_FORM_OK || p->monitor || (form == FENCE_FORM_RANGE && p->ranges_tell);
}

/* What DNS gave for a name that the new policy allows too. */
static void carry(struct agent *a, const struct fence_answer_key *k, const struct fence_answer *old)
{
	uint8_t tool = k->tool & (uint8_t)~FENCE_BANK;
	const char *host = agent_names_hashed(a->names, k->name);
	const struct fence_policy_name *n;
	struct fence_answer v;
	size_t i;

	if (!host || tool > a->policy->ntools)
		return;
	n = fence_policy_find(a->policy, tool, host);
	if (!n || !may_carry(a->policy, n->rule.flags, k->addr))
		return;
	v = (struct fence_answer){ .until = old->until,
				   .rule = n->rule.id,
				   .flags = n->rule.flags };
	if (v.until < a->now + CARRIED_NS)
		v.until = a->now + CARRIED_NS;
	put_answer(a, *k, 0, 0, &v);
	for (i = 0; i < n->rule.nports && i < FENCE_PORTS_MAX; i++) {
		put_answer(a, *k, 0, n->rule.ports[i], &v);
		put_answer(a, *k, k->name, n->rule.ports[i], &v);
	}
}

static void carry_answers(struct agent *a, uint8_t from)
{
	struct fence_answer_key key, next;
	struct fence_answer v;
	int more = !fence_kernel_next(a->kernel, FENCE_MAP_ANSWERS, NULL, &next);

	while (more) {
		key = next;
		more = !fence_kernel_next(a->kernel, FENCE_MAP_ANSWERS, &key, &next);
		if (key.name && (key.tool & FENCE_BANK) == from &&
		    !fence_kernel_get(a->kernel, FENCE_MAP_ANSWERS, &key, &v))
			carry(a, &key, &v);
	}
}

/*
 * Tool ids are in processes and sockets that outlive a policy: a tool keeps its place, new ones
 * come behind.
 */
static int check_tools(struct agent *a, struct fence_diag *d)
{
	const struct fence_policy *p = a->policy;
	char name[FENCE_TOOL_NAME_MAX];
	uint32_t id;

	for (id = 1; id <= FENCE_TOOL_MAX; id++)
		if (!fence_kernel_get(a->kernel, FENCE_MAP_TOOLS, &id, name) && name[0] &&
		    (id > p->ntools || strcmp(name, p->tools[id - 1].name)))
			return fence_diag_set(d, -EINVAL, "$.tools",
					      "tool %u was \"%.47s\", and its processes may still "
					      "run: keep its place, and "
					      "put new tools behind; to take it away, end the "
					      "agent and `crmfence run "
					      "--unpin`",
					      id, name);
	return 0;
}

static int put_tools(struct agent *a)
{
	uint32_t id;
	int err = 0;

	for (id = 1; !err && id <= a->policy->ntools; id++)
		err = fence_kernel_put(a->kernel, FENCE_MAP_TOOLS, &id,
				       a->policy->tools[id - 1].name);
	return err;
}

/* `old`: as it was, all zero at first. */
static int put_config(struct agent *a, const struct fence_config *old)
{
	const struct fence_policy *p = a->policy;
	struct fence_config c = { .magic = FENCE_MAGIC,
				  .abi = FENCE_ABI,
				  .flags = config_flags(p) | (old->flags & FENCE_CFG_CGROUPS),
				  .generation = a->generation,
				  .cgroup = fence_kernel_cgroup(a->kernel),
				  .ttl_floor = (uint64_t)p->ttl_floor * 1000000000,
				  .ttl_ceiling = (uint64_t)p->ttl_ceiling * 1000000000,
				  .distinct_ns = FENCE_ASK_WINDOW_NS / (uint64_t)p->distinct };
	uint32_t zero = 0;

	if (a->bank)
		c.flags |= FENCE_CFG_BANK;
	memcpy(c.policy, p->digest, 32);
	memcpy(c.key, fence_kernel_key(a->kernel), sizeof(c.key));
	a->config = c;
	a->config.flags &= ~(uint32_t)FENCE_CFG_CGROUPS;
	return fence_kernel_put(a->kernel, FENCE_MAP_CONFIG, &zero, &c);
}

uint64_t agent_policy_digest(struct agent *a)
{
	static const struct {
		enum fence_map map;
		uint32_t value;
	} parts[] = {
		{ FENCE_MAP_NAMES, sizeof(struct fence_rule) },
		{ FENCE_MAP_NETS, sizeof(struct fence_answer) },
		{ FENCE_MAP_SERVICES, sizeof(uint32_t) },
		{ FENCE_MAP_MATCHES, sizeof(struct fence_match_rule) },
		{ FENCE_MAP_RANGES, sizeof(uint32_t) },
		{ FENCE_MAP_UNITS, sizeof(struct fence_unit_rule) },
	};
	uint64_t sum = 0, part;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		part = fence_kernel_digest(a->kernel, parts[i].map, parts[i].value, bank_of,
					   a->bank);
		if (!part)
			return 0;
		sum += part;
	}
	return sum;
}

/* A policy on its way into force. */
struct swap {
	struct fence_config old;
	uint8_t from; /* the bank in force */
	int same; /* as its file goes, it is in force already: written over itself */
};

/*
 * a->policy into its bank, not in force yet; `force`: also when it seems to be the same. On error
 * what is in force is as it was.
 */
static int stage(struct agent *a, int force, struct swap *s, struct fence_diag *d)
{
	uint32_t zero = 0;
	int err;

	*s = (struct swap){ 0 };
	fence_kernel_get(a->kernel, FENCE_MAP_CONFIG, &zero, &s->old);
	s->from = s->old.flags & FENCE_CFG_BANK ? FENCE_BANK : 0;
	s->same = !force && s->old.magic == FENCE_MAGIC &&
		  !memcmp(s->old.policy, a->policy->digest, 32);
	err = check_tools(a, d);
	if (err < 0)
		return err;
	a->bank = s->same ? s->from : s->from ^ FENCE_BANK;
	err = s->same ? 0 : clear_bank(a, a->bank);
	if (!err)
		err = put_policy(a);
	if (!err)
		return 0;
	if (!s->same)
		clear_bank(a, a->bank);
	a->bank = s->from;
	return fence_diag_set(d, err, NULL, "the policy does not fit the kernel's maps: %s",
			      strerror(-err));
}

/* What was staged into force. */
static int commit(struct agent *a, const struct swap *s, struct fence_diag *d)
{
	int err;

	a->generation = s->old.generation + !s->same;
	if (s->same)
		sweep_services(a);
	else
		carry_answers(a, s->from);
	err = put_tools(a);
	if (!err)
		err = put_config(a, &s->old);
	if (!err && !s->same)
		clear_bank(a, s->from);
	if (err) { /* what is in force is the old one */
		a->bank = s->from;
		a->generation = s->old.generation;
	}
	a->digest = agent_policy_digest(a);
	return err ? fence_diag_set(d, err, NULL, "the kernel refused the policy: %s",
				    strerror(-err))
		   : 0;
}

static int swap(struct agent *a, int force, struct fence_diag *d)
{
	struct swap s;
	int err = stage(a, force, &s, d);

	return err < 0 ? err : commit(a, &s, d);
}

static int is_newer(const char *path, const struct timespec *seen)
{
	struct stat st;

	return !stat(path, &st) &&
	       (st.st_mtim.tv_sec != seen->tv_sec || st.st_mtim.tv_nsec != seen->tv_nsec);
}

void agent_services_turn(struct agent *a)
{
	int addon = a->addon_new;

	a->addon_new = 0;
	if (!(a->policy->resolvers_system && is_newer(FENCE_RESOLV, &a->resolv)) &&
	    !agent_sockets_changed(a) && !agent_dirs_changed(a) && !addon)
		return;
	if (put_services(a)) {
		agent_show_note(a, "the resolvers of " FENCE_RESOLV ", the Unix sockets and the "
				   "directories to write do not fit the kernel's map");
	} else {
		sweep_services(a);
	}
	a->digest = agent_policy_digest(a);
}

int agent_policy_install(struct agent *a, struct fence_diag *d)
{
	struct fence_pulse pulse;
	uint32_t zero = 0;

	if (!fence_kernel_get(a->kernel, FENCE_MAP_PULSE, &zero, &pulse))
		a->epoch = pulse.epoch + 1; /* what an earlier agent left is of another */
	a->swept = a->now;
	a->stamp = (uint32_t)(a->now / 1000000); /* none that an earlier agent wrote */
	agent_beat(a);
	return swap(a, 0, d);
}

int agent_policy_restore(struct agent *a, struct fence_diag *d)
{
	return swap(a, 1, d);
}

/* Who can write it says what is enforced. */
static int is_roots(const char *file, struct fence_policy_errors *e)
{
	char real[PATH_MAX], why[FENCE_PATH_MAX];

	if (!realpath(file[0] ? file : ".", real)) /* reading it says what is wrong */
		return 0;
	if (!fence_path_others(file[0] == '/' ? file : real, why, sizeof(why)))
		return 0;
	e->count = 1;
	snprintf(e->d[0].file, sizeof(e->d[0].file), "%s", file);
	return fence_diag_set(&e->d[0], -EPERM, NULL,
			      "others than root can write or turn %s: a policy is root's alone; "
			      "chown root:root and chmod go-w it, or keep the policy in "
			      "/etc/crmfence",
			      why);
}

int agent_policy_read(struct agent *a, struct fence_policy **ret, struct fence_policy_errors *e)
{
	struct fence_policy *p = NULL;
	int err = is_roots(a->opt.policy, e);

	if (err >= 0)
		err = fence_policy_read(a->opt.policy, &p, e);
	if (err >= 0 && p->ranges_file[0])
		err = is_roots(p->ranges_file, e);
	if (err >= 0)
		*ret = p;
	else
		fence_policy_free(p);
	return err;
}

int agent_policy_reload(struct agent *a, struct fence_policy *fresh, struct fence_diag *d)
{
	struct fence_policy *old = a->policy;
	struct swap s;
	int err;

	a->policy = fresh;
	err = stage(a, 0, &s, d);
	if (err < 0) {
		a->policy = old; /* its bank is still the one in force */
		agent_matches_forget(a, fresh);
		fence_policy_free(fresh);
		return err;
	}
	agent_flows_judge(a, 0); /* what is idle and forbidden now goes first */
	err = commit(a, &s, d);
	if (err < 0) {
		a->policy = old;
		put_tools(a);
		a->digest = agent_policy_digest(a);
		agent_matches_forget(a, fresh);
		fence_policy_free(fresh);
		return err;
	}
	agent_flows_judge(a, 1);
	agent_matches_forget(a, old);
	fence_policy_free(old);
	agent_log_policy(a);
	agent_beat(a);
	return 0;
}
