// SPDX-License-Identifier: Apache-2.0
/*
 * When each tool last had a session. A tool that nobody meets looks like one that behaves: its path
 * may be wrong, or somebody starts it otherwise. The times outlive the agent, in a file beside the
 * log: a line a tool, when it was first listed, when it was last met (0: never; microseconds of the
 * wall clock), its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/writer.h"
#include "base/cleanup.h"

#define FILE_MAX 65536
#define DAY_US (86400LL * 1000000)
#define LOOK_NS 60000000000ULL
#define SAVE_US (3600LL * 1000000) /* a tool that is met all day is written once an hour */

static int64_t now_us(const struct agent *a)
{
	return agent_us(a, a->now);
}

static struct agent_seen *seen_of(struct agent *a, const char *name)
{
	uint8_t id = fence_policy_tool(a->policy, name);

	return id ? &a->seen[id - 1] : NULL;
}

void agent_seen_load(struct agent *a)
{
	AUTO_BUF struct fence_buf b = { 0 };
	char path[512], name[FENCE_TOOL_NAME_MAX], *line, *save = NULL;
	long long first, last;
	struct agent_seen *s;
	struct stat st;
	size_t i;

	writer_file_path(a->opt.db, WRITER_SEEN, path);
	if (!lstat(path, &st) && (!S_ISREG(st.st_mode) || st.st_uid || st.st_mode & 022))
		agent_show_note(a, "%s is not a file that root alone can write: not read", path);
	else if (!fence_buf_read_file(&b, path, FILE_MAX))
		for (line = strtok_r((char *)fence_buf_text(&b), "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save)) {
			s = sscanf(line, "%lld %lld %47[^\n]", &first, &last, name) == 3 &&
					    first > 0 && last >= 0
				    ? seen_of(a, name)
				    : NULL;
			if (s)
				*s = (struct agent_seen){ .first = first, .last = last };
		}
	for (i = 0; i < a->policy->ntools; i++)
		if (!a->seen[i].first)
			a->seen[i].first = now_us(a);
}

void agent_seen_save(struct agent *a)
{
	AUTO_BUF struct fence_buf b = { 0 };
	size_t i;

	for (i = 0; i < a->policy->ntools; i++)
		fence_buf_printf(&b, "%lld %lld %s\n", (long long)a->seen[i].first,
				 (long long)a->seen[i].last, a->policy->tools[i].name);
	if (!b.failed)
		writer_file(a->log, WRITER_SEEN, fence_buf_text(&b), b.len);
	for (i = 0; i < a->policy->ntools; i++)
		a->seen[i].saved = a->seen[i].last;
}

void agent_seen(struct agent *a, uint8_t tool)
{
	if (tool && tool <= a->policy->ntools)
		a->seen[tool - 1].last = now_us(a);
}

int agent_unseen(const struct agent *a, size_t i)
{
	const struct agent_seen *s = &a->seen[i];
	int64_t since = s->last > s->first ? s->last : s->first;

	return now_us(a) - since > a->policy->unseen_days * DAY_US;
}

static void tell(struct agent *a, size_t i)
{
	struct fence_json j;

	agent_row(a, &j);
	fence_json_str(&j, "change", "unseen");
	if (a->seen[i].last)
		fence_json_int(&j, "last", a->seen[i].last);
	fence_json_int(&j, "listed", a->seen[i].first);
	fence_json_str(&j, "tool", a->policy->tools[i].name);
	agent_row_end(a, &j, "match");
	agent_alert_raise(a, &(struct agent_alert){ .alert = FENCE_ALERT_E030,
						    .authority = a->policy->tools[i].name,
						    .tool = (uint8_t)(i + 1) });
	agent_show_note(a,
			"%s has had no session for %ld days: is it where the policy looks? "
			"`crmfence doctor` says what is amiss",
			a->policy->tools[i].name, a->policy->unseen_days);
}

void agent_seen_turn(struct agent *a)
{
	int save = 0;
	size_t i;

	if (a->now - a->seen_looked < LOOK_NS && a->seen_looked)
		return;
	a->seen_looked = a->now;
	for (i = 0; i < a->policy->ntools; i++) {
		struct agent_seen *s = &a->seen[i];

		save |= s->last - s->saved > SAVE_US || (s->last && !s->saved);
		if (!agent_unseen(a, i))
			s->told = 0;
		else if (!s->told) {
			s->told = 1;
			tell(a, i);
		}
	}
	if (save)
		agent_seen_save(a);
}
