// SPDX-License-Identifier: Apache-2.0
/*
 * Tamper evidence: what somebody with root changed under the agent is noticed within a second,
 * mended where it can be, a row, and a line for people.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"

#define WATCH_NS 800000000ULL

void agent_tampered(void *agent, const char *what, const char *name, int err)
{
	struct agent *a = agent;
	struct fence_json j;

	agent_row(a, &j);
	fence_json_bool(&j, "mended", !err);
	fence_json_str(&j, "name", name);
	fence_json_str(&j, "what", what);
	agent_row_end(a, &j, "tamper");
	agent_alert_raise(a, &(struct agent_alert){ .alert = name[0] == '/' || what[0] == '/'
								     ? FENCE_ALERT_E016
								     : FENCE_ALERT_E015,
						    .authority = name,
						    .reason = what });
	agent_show_note(a, "TAMPERED: %s: %s%s", name, what,
			err ? "; it could not be mended, restart the agent" : "; mended");
}

static void watch_config(struct agent *a)
{
	struct fence_config c;
	struct fence_diag d = { 0 };
	uint32_t zero = 0;
	uint64_t sum;

	if (fence_kernel_get(a->kernel, FENCE_MAP_CONFIG, &zero, &c))
		return;
	c.flags &= ~(uint32_t)FENCE_CFG_CGROUPS;
	sum = agent_policy_digest(a);
	if (sum && sum == a->digest && !memcmp(&c, &a->config, sizeof(c)))
		return;
	agent_tampered(a, "changed map", "policy", agent_policy_restore(a, &d));
	if (d.text[0])
		agent_show_note(a, "TAMPERED: policy: %s", d.text);
}

static void watch_binary(struct agent *a)
{
	struct stat st;

	if (stat(a->exe, &st) || (st.st_ino == a->exe_ino && st.st_mtime == a->exe_mtime))
		return;
	a->exe_ino = st.st_ino;
	a->exe_mtime = st.st_mtime;
	agent_tampered(a, "replaced binary", a->exe, 1);
}

void agent_watch_init(struct agent *a)
{
	ssize_t n = readlink("/proc/self/exe", a->exe, sizeof(a->exe) - 1);
	struct stat st;

	a->exe[n > 0 ? n : 0] = 0;
	if (stat(a->exe, &st))
		return;
	a->exe_ino = st.st_ino;
	a->exe_mtime = st.st_mtime;
}

void agent_watch_turn(struct agent *a)
{
	if (a->now - a->watched < WATCH_NS)
		return;
	a->watched = a->now;
	fence_kernel_watch(a->kernel, agent_tampered, a);
	watch_config(a);
	watch_binary(a);
	agent_services_turn(a);
}
