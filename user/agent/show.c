// SPDX-License-Identifier: Apache-2.0
/*
 * What a person at the terminal sees: a live table, or one line a flow when nobody is there to
 * redraw for.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/addr.h"

#define ROWS 64
#define NOTES 4
#define WARNINGS 20 /* of a policy that are told */
#define HOSTS \
	4096 /* distinct destinations counted for the summary; hashed, so a clash counts once */

struct line {
	char text[160];
	uint8_t action;
	uint64_t cookie;
};

struct show {
	int table, colour, dirty;
	uint64_t drawn;
	struct line rows[ROWS];
	size_t nrows; /* ever */
	char notes[NOTES][200];
	size_t nnotes;
	uint64_t hosts[HOSTS];
};

struct show *agent_show_new(int table)
{
	struct show *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->table = table && isatty(STDOUT_FILENO);
	s->colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	return s;
}

void agent_show_free(struct show *s)
{
	free(s);
}

static const char *tint(const struct show *s, uint8_t action)
{
	if (!s->colour)
		return "";
	return action == FENCE_DENY ? "\033[31m" : action == FENCE_WOULD_DENY ? "\033[33m" : "";
}

static const char *untint(const struct show *s)
{
	return s->colour ? "\033[0m" : "";
}

static void count_host(struct agent *a, const char *host)
{
	uint64_t h = FENCE_FNV_BASIS;
	size_t i, at;

	for (; *host; host++)
		h = fence_fnv(h, (uint8_t)*host);
	for (i = 0, at = h % HOSTS; i < 8; i++, at = (at + 1) % HOSTS) {
		if (a->show->hosts[at] == h)
			return;
		if (!a->show->hosts[at]) {
			a->show->hosts[at] = h;
			a->totals.hosts++;
			return;
		}
	}
}

static void amount(uint64_t n, char out[12])
{
	static const char units[] = " kMGT";
	size_t u = 0;
	double v = (double)n;

	while (v >= 1000 && u < sizeof(units) - 2) {
		v /= 1000;
		u++;
	}
	if (u)
		snprintf(out, 12, "%.1f%c", v, units[u]);
	else
		snprintf(out, 12, "%llu", (unsigned long long)n);
}

void agent_show_flow(struct agent *a, const struct agent_flow *f, int64_t seq, const char *state,
		     uint64_t tx, uint64_t rx)
{
	const char *host = f->sni ? f->sni : f->dns, *program = "?";
	struct agent_exec *e = agent_exec_find(a, f->exec);
	char addr[FENCE_ADDR_TEXT], where[96], out[12], in[12], clock[16], end[32];
	struct show *s = a->show;
	time_t now = (time_t)((int64_t)(a->now + (uint64_t)a->wall_offset) / 1000000000);
	struct line *line, one;
	struct tm tm;

	if (!s)
		return;
	if (!host)
		host = fence_addr_text(f->addr, addr);
	count_host(a, host);
	if (a->opt.quiet)
		return;
	if (e && e->path && strrchr(e->path, '/'))
		program = strrchr(e->path, '/') + 1;
	if (f->facts.at == FENCE_AT_CREATE || f->facts.at == FENCE_AT_SOCKOPT ||
	    f->facts.at == FENCE_AT_BIND || f->facts.at == FENCE_AT_LOCAL)
		snprintf(where, sizeof(where), "(%s)", fence_at_name(f->facts.at));
	else if (f->facts.at == FENCE_AT_UNIX)
		snprintf(where, sizeof(where), "%.60s", f->sni ? f->sni : "(unix)");
	else
		snprintf(where, sizeof(where), "%.60s:%u", host, f->port);
	amount(tx, out);
	amount(rx, in);
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	line = s->table ? &s->rows[s->nrows % ROWS] : &one;
	if (f->action)
		snprintf(end, sizeof(end), "%s", fence_reason_name(f->reason));
	else
		snprintf(end, sizeof(end), "%7s %7s", out, in);
	snprintf(line->text, sizeof(line->text), "%-8s %5lld %-10s %-8.8s %6u %-26.60s %-15s %s%s",
		 clock, (long long)seq, fence_action_name(f->action), program, f->tgid, where, end,
		 f->session ? fence_policy_tool_name(a->policy, f->tool) : "-",
		 strcmp(state, "open") ? "" : " (open)");
	fence_text_plain(line->text);
	line->action = f->action;
	line->cookie = f->cookie;
	if (s->table) {
		s->nrows++;
		s->dirty = 1;
		return;
	}
	printf("%s%s%s\n", tint(s, f->action), line->text, untint(s));
}

void agent_show_note(struct agent *a, const char *fmt, ...)
{
	struct show *s = a->show;
	char text[FENCE_DIAG_LINE + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	fence_text_plain(text);
	va_end(ap);
	if (!s || !s->table) {
		fprintf(stderr, "crmfenced: %s\n", text);
		return;
	}
	snprintf(s->notes[s->nnotes++ % NOTES], sizeof(s->notes[0]), "%.199s", text);
	s->dirty = 1;
}

/* What `policy check` says beside "ok": who never calls it hears it here. */
void agent_show_warnings(struct agent *a)
{
	const struct fence_policy *p = a->policy;
	char line[FENCE_DIAG_LINE];
	size_t i;

	if (a->show && a->show->table && p->nwarnings) {
		agent_show_note(a, "the policy has warnings: crmfence policy check %s", p->file);
		return;
	}
	for (i = 0; i < p->nwarnings && i < WARNINGS; i++)
		agent_show_note(a, "warning: %s",
				fence_diag_line(&p->warnings[i], line, sizeof(line)));
	if (i < p->nwarnings)
		agent_show_note(a, "and %zu more warnings: crmfence policy check %s",
				p->nwarnings - i, p->file);
}

static void draw_heading(void)
{
	printf("%-8s %5s %-10s %-8s %6s %-26s %7s %7s %s\n", "TIME", "ID", "VERDICT", "PROGRAM",
	       "PID", "WHERE", "OUT", "IN", "TOOL");
}

void agent_show_turn(struct agent *a)
{
	struct winsize w = { .ws_row = 24, .ws_col = 100 };
	struct show *s = a->show;
	struct agent_session *session;
	size_t i, rows, live = 0;

	if (!s->table) {
		fflush(stdout);
		return;
	}
	if (!s->dirty || a->now - s->drawn < 250000000)
		return;
	s->drawn = a->now;
	s->dirty = 0;
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	rows = w.ws_row > 10 ? w.ws_row - 8u : 4;
	if (rows > ROWS)
		rows = ROWS;
	for (session = a->sessions; session; session = session->next)
		live += !session->ended;
	printf("\033[H\033[2Jcrmfence  policy \"%s\" (%s)  sessions %zu  flows %llu  hosts %llu  "
	       "denied %llu%s\n\n",
	       a->policy->name, a->policy->monitor ? "monitor" : "enforce", live,
	       (unsigned long long)a->totals.flows, (unsigned long long)a->totals.hosts,
	       (unsigned long long)(a->totals.denials + a->totals.would),
	       a->log_is.since ? "  LOG NOT WRITTEN" : "");
	draw_heading();
	for (i = s->nrows > rows ? s->nrows - rows : 0; i < s->nrows; i++)
		printf("%s%.*s%s\n", tint(s, s->rows[i % ROWS].action), w.ws_col,
		       s->rows[i % ROWS].text, untint(s));
	printf("\n");
	for (i = s->nnotes > NOTES ? s->nnotes - NOTES : 0; i < s->nnotes; i++)
		printf("%.*s\n", w.ws_col, s->notes[i % NOTES]);
	fflush(stdout);
}

void agent_show_summary(struct agent *a)
{
	const struct agent_totals *t = &a->totals;

	printf("\nflows %llu, hosts %llu, sessions %llu, denied %llu, would deny %llu, lost "
	       "%llu\nlog %s, %lld rows\n",
	       (unsigned long long)t->flows, (unsigned long long)t->hosts,
	       (unsigned long long)t->sessions, (unsigned long long)t->denials,
	       (unsigned long long)t->would, (unsigned long long)(t->gaps + t->bad), a->opt.db,
	       (long long)a->log_is.last);
	printf("enforcement %s\n",
	       a->opt.keep
		       ? "goes on in the kernel without the agent (crmfence run --unpin ends it)"
		       : "ended with the agent");
	fflush(stdout);
}
