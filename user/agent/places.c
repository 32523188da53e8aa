// SPDX-License-Identifier: Apache-2.0
/*
 * What is at a path on a user's own file system (FUSE), which may make who asks wait: looked at by
 * the scanner, again every five seconds while somebody asks. What it said last counts meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/scan.h"

#define PLACES 64 /* paths that are known; who was asked for longest ago goes first */
#define AGAIN_NS 5000000000ULL
#define PLACE_USER 0x40000000u /* a share of the scanner's time beside that of his programs */

struct place {
	char path[FENCE_PATH_MAX + 1]; /* "": free */
	uint32_t user, id; /* id: of the last question */
	uint8_t asked, known; /* asked: and not answered */
	struct scan_place is;
	uint64_t at, used; /* boot time: of the last question, of who asked */
};

struct places {
	struct place of[PLACES];
	uint32_t id;
};

/* NULL: all are in use. */
static struct place *place_of(struct places *s, const char *path, uint32_t user, uint64_t now)
{
	struct place *p = s->of;
	size_t i;

	for (i = 0; i < PLACES; i++) {
		if (s->of[i].user == user && !strcmp(s->of[i].path, path))
			return &s->of[i];
		if (s->of[i].used < p->used)
			p = &s->of[i];
	}
	if (p->path[0] && now - p->used < AGAIN_NS)
		return NULL;
	memset(p, 0, sizeof(*p));
	snprintf(p->path, sizeof(p->path), "%s", path);
	p->user = user;
	return p;
}

int agent_place(struct agent *a, const char *path, uint32_t user, uint32_t owner,
		struct scan_place *out)
{
	struct scan_question q = { .kind = SCAN_PLACE, .tgid = { user } };
	struct place *p;

	if (!a->places)
		a->places = calloc(1, sizeof(*a->places));
	if (!a->places || !path[0] || strlen(path) > FENCE_PATH_MAX)
		return 0;
	p = place_of(a->places, path, user, a->now);
	if (!p)
		return 0;
	p->used = a->now;
	if (!p->asked && (!p->at || a->now - p->at >= AGAIN_NS)) {
		p->id = q.id = ++a->places->id;
		q.uid = PLACE_USER | (owner & (PLACE_USER - 1));
		snprintf(q.path, sizeof(q.path), "%s", path);
		p->asked = !scan_ask(a->scan, &q);
		p->at = a->now;
	}
	*out = p->is;
	return p->known;
}

void agent_place_answer(struct agent *a, const struct scan_answer *r)
{
	struct place *p = a->places ? a->places->of : NULL;
	size_t i;

	for (i = 0; p && i < PLACES && !(p[i].asked && p[i].id == r->id); i++)
		;
	if (!p || i == PLACES)
		return;
	p[i].asked = 0;
	/* what does not answer is not there for a session, until it does */
	p[i].known = !r->err && r->len == sizeof(p[i].is);
	if (p[i].known)
		memcpy(&p[i].is, r->data, sizeof(p[i].is));
}

void agent_places_done(struct agent *a)
{
	free(a->places);
	a->places = NULL;
}
