// SPDX-License-Identifier: Apache-2.0
/* What is amiss with the executables that a policy names, on this machine. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exe.h"
#include "cli/cli.h"
#include "policy/policy.h"

/* 0: nothing. Else why and what to do, of a match by exe. */
static int amiss(const struct fence_policy_match *m, char *why, size_t size, const char **remedy)
{
	struct fence_exe e;

	fence_exe_look(m->text, &e);
	if (e.err == ENOENT) {
		snprintf(why, size, "%s: %s; nothing is recognised by it", m->text,
			 strerror(e.err));
		*remedy = "install it, or correct the path";
	} else if (e.err) {
		snprintf(why, size, "%s cannot be looked at: %s", m->text, strerror(e.err));
		*remedy = geteuid() ? "ask as root" : "start the tool with crmfence exec";
	} else if (e.foreign) {
		snprintf(why, size,
			 "%s leads, by a user's link, to %s, which is not that user's: known when "
			 "it is "
			 "started by this name alone",
			 m->text, e.real);
		*remedy = "name the program itself";
	} else if (e.broad[0] && !m->broad[0]) {
		snprintf(why, size, "%s is %s, %s: known when it is started by this name alone",
			 m->text, e.real, e.broad);
		*remedy = "start it with crmfence exec where that is not enough";
	} else if (e.kind == FENCE_EXE_OTHER) {
		snprintf(why, size,
			 "%s is no program: neither an executable nor a script that begins with "
			 "\"#!\"",
			 m->text);
		*remedy = "name what is started";
	} else if (e.others[0]) {
		snprintf(why, size,
			 "%s: others than root can write %s, and with it end recognition", m->text,
			 e.others);
		*remedy = "give it to root, or start the tool with crmfence exec";
	} else if (e.kind == FENCE_EXE_SCRIPT) {
		snprintf(why, size,
			 "%s is a script: known by the names that it is started by, not as `sh %s`",
			 m->text, m->text);
		*remedy = "name the program that it starts, too";
	} else {
		return 0;
	}
	return 1;
}

void cli_matches(const struct fence_policy *p, cli_match_amiss *each, void *ctx)
{
	char path[96], why[1024];
	const char *remedy;
	size_t i, j;

	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			if (p->tools[i].match[j].kind != FENCE_MATCH_EXE ||
			    !amiss(&p->tools[i].match[j], why, sizeof(why), &remedy))
				continue;
			snprintf(path, sizeof(path), "$.tools[%zu].match[%zu].exe", i, j);
			each(ctx, p->tools[i].name, path, why, remedy);
		}
}
