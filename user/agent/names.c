// SPDX-License-Identifier: Apache-2.0
/*
 * Which name an address was given for: to this program, or to anybody on the machine (exec 0),
 * labelled so by the caller. Four ways a set, the oldest makes room: a name that is forgotten costs
 * a label, never a verdict.
 */
#include <stdlib.h>
#include <string.h>

#include <crmfence/name.h>

#include "agent/agent.h"

#define WAYS 4
#define KEPT 1024
#define SETS (AGENT_NAMES / WAYS)

struct entry {
	uint64_t exec;
	uint8_t addr[16];
	uint64_t used; /* order of learning; 0: empty */
	char *host; /* owned */
};

struct names {
	uint64_t clock;
	char *kept[KEPT]; /* owned; by hash: what sessions were given addresses for */
	struct entry sets[SETS][WAYS];
};

struct names *agent_names_new(void)
{
	return calloc(1, sizeof(struct names));
}

void agent_names_free(struct names *n)
{
	size_t i;

	for (i = 0; n && i < SETS * WAYS; i++)
		free(n->sets[i / WAYS][i % WAYS].host);
	for (i = 0; n && i < KEPT; i++)
		free(n->kept[i]);
	free(n);
}

uint64_t agent_names_hash(const char *host)
{
	struct fence_name name;

	fence_name_init(&name);
	for (; *host; host++)
		fence_name_feed(&name, (uint8_t)*host);
	return name.hash;
}

void agent_names_keep(struct names *n, const char *host)
{
	char **at = &n->kept[agent_names_hash(host) % KEPT];

	if (*at && !strcmp(*at, host))
		return;
	free(*at);
	*at = strdup(host);
}

const char *agent_names_hashed(const struct names *n, uint64_t hash)
{
	const char *host = n->kept[hash % KEPT];

	return host && agent_names_hash(host) == hash ? host : NULL;
}

static size_t set_of(uint64_t exec, const uint8_t addr[16])
{
	uint64_t h = exec * 0x9e3779b97f4a7c15ULL, w[2];

	memcpy(w, addr, 16);
	h = (h ^ w[0]) * 0x9e3779b97f4a7c15ULL;
	h = (h ^ w[1]) * 0x9e3779b97f4a7c15ULL;
	return (h >> 32) % SETS;
}

void agent_names_learn(struct names *n, uint64_t exec, const uint8_t addr[16], const char *host)
{
	struct entry *set = n->sets[set_of(exec, addr)], *e = set;
	size_t i;

	for (i = 0; i < WAYS; i++) {
		if (set[i].used && set[i].exec == exec && !memcmp(set[i].addr, addr, 16)) {
			e = &set[i];
			break;
		}
		if (set[i].used < e->used)
			e = &set[i];
	}
	e->used = ++n->clock;
	if (e->host && e->exec == exec && !memcmp(e->addr, addr, 16) && !strcmp(e->host, host))
		return;
	free(e->host);
	e->exec = exec;
	memcpy(e->addr, addr, 16);
	e->host = strdup(host);
}

const char *agent_names_find(const struct names *n, uint64_t exec, const uint8_t addr[16])
{
	const struct entry *set = n->sets[set_of(exec, addr)];
	size_t i;

	for (i = 0; i < WAYS; i++)
		if (set[i].used && set[i].exec == exec && !memcmp(set[i].addr, addr, 16))
			return set[i].host;
	return NULL;
}
