// SPDX-License-Identifier: Apache-2.0
/* Lint of what the policy calls a tool: nothing twice, and nothing that everybody runs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/exe.h"
#include "policy/read.h"

static int is_same(const struct fence_policy_match *a, const struct fence_policy_match *b)
{
	return a->kind == b->kind && a->uid == b->uid && !strcmp(a->text, b->text) &&
	       a->has_sha == b->has_sha && !memcmp(a->sha, b->sha, sizeof(a->sha));
}

static int lint_twice(struct reader *r, size_t tool, size_t index, const char *path)
{
	const struct fence_policy *p = r->p;
	const struct fence_policy_match *m = &p->tools[tool].match[index];
	size_t k, l;

	for (k = 0; k <= tool; k++)
		for (l = 0; l < (k == tool ? index : p->tools[k].nmatch); l++)
			if (is_same(m, &p->tools[k].match[l]))
				return REFUSE(r, path,
					      "the same match stands in "
					      "$.tools[%zu].match[%zu]; "
					      "a process belongs to one tool",
					      k, l);
	return 0;
}

static int lint_broad(struct reader *r, const struct fence_policy_tool *t,
		      const struct fence_policy_match *m, const char *path)
{
	const char *what = NULL;

	if (m->kind == FENCE_MATCH_EXE)
		what = fence_exe_broad(m->text);
	if (m->kind == FENCE_MATCH_EXE && !what && !t->loose && fence_exe_browser(m->text))
		what = "a whole browser, every tab of it (\"confine\": \"extensions\" holds its "
		       "extensions alone)";
	if (m->kind == FENCE_MATCH_CGROUP)
		what = fence_unit_broad(m->text);
	if (what && !m->broad[0])
		return REFUSE(r, path,
			      "is %s; where that is meant, say so: \"broad\": "
			      "\"why\"",
			      what);
	if (!what && m->broad[0] && m->kind != FENCE_MATCH_EXE)
		return REFUSE(r, path,
			      "\"broad\" is for what everybody runs; this is not: take "
			      "it away");
	return 0;
}

/* Of patterns that begin alike the programs look at a few. */
static int lint_star(struct reader *r, const struct fence_policy_match *m, const char *path)
{
	const struct fence_policy *p = r->p;
	const char *star = strchr(m->text, '*'), *other;
	size_t k, l, n = 0;

	for (k = 0; k < p->ntools; k++)
		for (l = 0; l < p->tools[k].nmatch; l++) {
			other = strchr(p->tools[k].match[l].text, '*');
			if (other && p->tools[k].match[l].kind == FENCE_MATCH_CGROUP &&
			    other - p->tools[k].match[l].text <= star - m->text &&
			    !strncmp(m->text, p->tools[k].match[l].text,
				     (size_t)(other - p->tools[k].match[l].text)))
				n++;
		}
	return n <= FENCE_UNIT_ENDS ? 0
				    : REFUSE(r, path,
					     "is one of %zu patterns that begin alike; %d "
					     "may: write more of the name before the \"*\"",
					     n, FENCE_UNIT_ENDS);
}

void fence_lint_matches(struct reader *r)
{
	const struct fence_policy *p = r->p;
	const struct fence_policy_match *m;
	char path[96];
	size_t i, j;

	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			m = &p->tools[i].match[j];
			snprintf(path, sizeof(path), "$.tools[%zu].match[%zu]", i, j);
			if (lint_twice(r, i, j, path) >= 0 &&
			    lint_broad(r, &p->tools[i], m, path) >= 0 &&
			    m->kind == FENCE_MATCH_CGROUP && strchr(m->text, '*'))
				lint_star(r, m, path);
		}
}
