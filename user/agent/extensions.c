// SPDX-License-Identifier: Apache-2.0
/*
 * What a watched browser has installed: where a request's headers do not say which extension made
 * it, its hosts narrow it down; what runs scripts in pages is told where a page asks. Of the
 * browser's own files, which its user may write, read by the scanner (profiles.h): evidence for
 * people. What is decided by it is that a request which nobody but a listed extension can have made
 * ends its connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/profiles.h"
#include "agent/sight.h"
#include "base/cleanup.h"
#include "wire/extension.h"

#define AGAIN_NS 1000000000ULL /* an add-on of an unknown name may have been installed since */

struct installed {
	char id[PROFILES_ID + 1];
	struct fence_extension e;
};

struct addon {
	char id[FENCE_ADDON_MAX], uuid[FENCE_ADDON_MAX];
};

/* What was told of it last: whole, or being told. */
struct told {
	struct installed list[SIGHT_INSTALLED];
	struct addon addons[SIGHT_ADDONS];
	size_t n, naddons;
	int more; /* there may be others */
};

struct sight_browser {
	uint64_t session, asked, looked; /* boot time of the last question, of the one answered */
	uint32_t tgid; /* that was asked about */
	uint32_t question; /* the one without an answer; 0: none */
	struct told *now, *next; /* owned; `next` takes the place of `now` when it is whole */
};

static void forget(struct told *t)
{
	while (t && t->n)
		fence_wire_extension_done(&t->list[--t->n].e);
	if (t)
		t->naddons = t->more = 0;
}

static void browser_free(struct sight_browser *b)
{
	if (!b)
		return;
	forget(b->now);
	forget(b->next);
	free(b->now);
	free(b->next);
	free(b);
}

void sight_browsers_done(struct sight *s)
{
	size_t i;

	for (i = 0; i < SIGHT_BROWSERS; i++) {
		browser_free(s->browsers[i]);
		s->browsers[i] = NULL;
	}
}

/* Of several manifests that one has (versions, and what the profile says) all count. */
static void put_extension(struct told *t, const char *id, const char *hosts, size_t nhosts,
			  const char *scripts, size_t nscripts)
{
	size_t i;

	for (i = 0; i < t->n && strcmp(t->list[i].id, id); i++)
		;
	if (i == SIGHT_INSTALLED || strlen(id) > PROFILES_ID) {
		t->more = 1;
		return;
	}
	if (i == t->n) {
		t->list[t->n++] = (struct installed){ 0 };
		snprintf(t->list[i].id, sizeof(t->list[i].id), "%s", id);
	}
	fence_buf_add(&t->list[i].e.hosts, hosts, nhosts);
	fence_buf_add(&t->list[i].e.scripts, scripts, nscripts);
}

/* The kernel holds a listed one's requests by the name that its profile has for it. */
static void hold(struct agent *a, const char *id, const char *uuid)
{
	size_t i, k;

	if (strlen(uuid) != sizeof(a->addons[0]) - 1)
		return;
	for (i = 0; i < a->policy->naddons && strcmp(a->policy->addons[i], id); i++)
		;
	for (k = 0; k < a->naddons && strcmp(a->addons[k], uuid); k++)
		;
	if (i == a->policy->naddons || k < a->naddons || k == AGENT_ADDONS)
		return;
	memcpy(a->addons[a->naddons++], uuid, sizeof(a->addons[0]));
	a->addon_new = 1;
}

static void put_addon(struct agent *a, struct told *t, const char *id, const char *uuid)
{
	hold(a, id, uuid);
	if (t->naddons == SIGHT_ADDONS || strlen(id) >= FENCE_ADDON_MAX ||
	    strlen(uuid) >= FENCE_ADDON_MAX)
		return;
	strcpy(t->addons[t->naddons].id, id);
	strcpy(t->addons[t->naddons++].uuid, uuid);
}

/* A part of an answer, by whoever found a hole in who reads the profiles: nothing is believed. */
static void on_part(struct agent *a, struct told *t, const uint8_t *data, size_t len)
{
	const char *p = (const char *)data + 1, *end = (const char *)data + len, *second;
	unsigned long hosts;

	if (len < 3 || !memchr(p, 0, len - 1))
		return;
	second = p + strlen(p) + 1;
	if (second >= end || !memchr(second, 0, (size_t)(end - second)))
		return;
	if (data[0] == PROFILES_ADDON)
		put_addon(a, t, p, second);
	if (data[0] != PROFILES_EXTENSION)
		return;
	hosts = strtoul(second, NULL, 10);
	second += strlen(second) + 1;
	if (hosts > (unsigned long)(end - second) || (end > second && end[-1]) ||
	    (hosts && second[hosts - 1]))
		return;
	put_extension(t, p, second, hosts, second + hosts, (size_t)(end - second) - hosts);
}

void sight_browser_answer(struct agent *a, const struct scan_answer *r)
{
	struct sight_browser *b = NULL;
	struct told *t;
	size_t i;

	for (i = 0; a->sight && i < SIGHT_BROWSERS; i++)
		if (a->sight->browsers[i] && a->sight->browsers[i]->question == r->id)
			b = a->sight->browsers[i];
	if (!b)
		return;
	on_part(a, b->next, r->data, r->len);
	if (!r->last)
		return;
	b->question = 0;
	b->next->more |= !!r->err;
	if (r->err && r->err != -EOVERFLOW && !b->next->n && !b->next->naddons) {
		forget(b->next); /* nothing is known: what was known stays, and gets old */
		return;
	}
	t = b->now;
	b->now = b->next;
	b->next = t;
	forget(b->next);
	b->looked = b->asked;
	if (a->addon_new)
		agent_services_turn(a);
}

static struct sight_browser *slot(struct sight *s, uint64_t session)
{
	struct sight_browser **oldest = &s->browsers[0], *b;
	size_t i;

	for (i = 0; i < SIGHT_BROWSERS; i++) {
		if (!s->browsers[i]) {
			oldest = &s->browsers[i];
			break;
		}
		if (s->browsers[i]->session == session)
			return s->browsers[i];
		if (s->browsers[i]->asked < (*oldest)->asked)
			oldest = &s->browsers[i];
	}
	b = calloc(1, sizeof(*b));
	if (b) {
		b->now = calloc(1, sizeof(*b->now));
		b->next = calloc(1, sizeof(*b->next));
	}
	if (!b || !b->now || !b->next) {
		browser_free(b);
		return NULL;
	}
	browser_free(*oldest);
	b->session = session;
	*oldest = b;
	return b;
}

/* `wait`: a decision hangs on it, or a row that is not begun. */
static const struct sight_browser *browser(struct agent *a, uint32_t tgid, uint64_t id,
					   uint64_t age, int wait)
{
	const struct agent_session *session = agent_session_find(a, id);
	struct sight_browser *b = session ? slot(a->sight, id) : NULL;
	struct scan_question q = { .kind = SCAN_BROWSER, .uid = agent_proc_owner(tgid) };
	struct fence_proc k;

	if (!b || (b->tgid == tgid && a->now < b->looked + age))
		return b;
	if (b->tgid != tgid || (!b->question && a->now >= b->asked + AGAIN_NS)) {
		forget(b->next);
		if (b->tgid != tgid)
			forget(b->now);
		b->looked = b->tgid == tgid ? b->looked : 0;
		b->tgid = tgid;
		q.tgid[0] = tgid;
		q.tgid[1] = fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &tgid, &k) ? 0 : k.parent;
		q.tgid[2] = session->tgid;
		q.id = b->question = ++a->sight->question;
		b->asked = a->now;
		if (scan_ask(a->scan, &q))
			b->question = 0;
	}
	if (b->question && wait)
		agent_scan_wait(a, &b->question);
	return b;
}

size_t sight_candidates(const struct sight_conn *c, const char *host, int scripts, int wait,
			const char *ids[SIGHT_CANDIDATES])
{
	const struct sight_browser *b = browser(c->agent, c->tgid, c->session, FENCE_SOLE_NS, wait);
	const struct told *t = b ? b->now : NULL;
	size_t i, n = 0;

	for (i = 0; t && i < t->n && n < SIGHT_CANDIDATES; i++)
		if (fence_wire_covers(scripts ? &t->list[i].e.scripts : &t->list[i].e.hosts, host))
			ids[n++] = t->list[i].id;
	return n;
}

static int is_listed(const struct fence_policy *p, const char *id)
{
	size_t i;

	for (i = 0; i < p->nextensions; i++)
		if (!strcmp(p->extensions[i], id))
			return 1;
	return 0;
}

int sight_sole(const struct sight_conn *c, const char *host, const char **id)
{
	const struct sight_browser *b = browser(c->agent, c->tgid, c->session, FENCE_SOLE_NS, 1);
	const struct told *t = b ? b->now : NULL;
	size_t i, n = 0, listed = 0;

	/* there may be others; or it is not known what is installed now */
	if (!t || t->more || c->agent->now >= b->looked + FENCE_SOLE_NS)
		return 0;
	for (i = 0; i < t->n; i++) {
		if (!fence_wire_covers(&t->list[i].e.hosts, host))
			continue;
		n++;
		listed += is_listed(c->agent->policy, t->list[i].id);
		*id = t->list[i].id;
	}
	if (n != 1)
		*id = NULL;
	return n && listed == n;
}

int sight_addon(const struct sight_conn *c, const char *uuid, char out[FENCE_ADDON_MAX])
{
	const struct sight_browser *b = browser(c->agent, c->tgid, c->session, FENCE_SOLE_NS, 1);
	int again;
	size_t i;

	for (again = 0; b && again < 2; again++) {
		for (i = 0; i < b->now->naddons; i++)
			if (!strcmp(b->now->addons[i].uuid, uuid)) {
				strcpy(out, b->now->addons[i].id);
				return 0;
			}
		b = browser(c->agent, c->tgid, c->session, AGAIN_NS, 1);
	}
	return -ENOENT;
}

void sight_addons(struct agent *a, uint32_t tgid, uint64_t session)
{
	if (a->policy->naddons)
		browser(a, tgid, session, AGAIN_NS, 1);
}
