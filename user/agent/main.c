// SPDX-License-Identifier: Apache-2.0
/* crmfenced: set up, loop, end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/callers.h"
#include "agent/scan.h"
#include "base/buf.h"
#include "base/cleanup.h"

#define DEFAULT_POLICY "/etc/crmfence/policy.json"
#define DEFAULT_DB "/var/lib/crmfence/egress.db"

static const char usage[] =
	"usage: crmfenced [options]\n"
	"  --policy FILE   default " DEFAULT_POLICY "\n"
	"  --db FILE       the log, default " DEFAULT_DB "\n"
	"  --control PATH  default " FENCE_CONTROL_PATH "\n"
	"  --cgroup DIR    attach at this cgroup v2 directory, default the v2 root\n"
	"  --pin-dir DIR   default " FENCE_PIN_DIR "\n"
	"  --table         draw a live table when standard output is a terminal\n"
	"  --quiet         no line a flow\n"
	"  --for TIME      end after 60s, 5m, 1h\n"
	"  --keep          leave enforcement in the kernel when ending (a service wants this)\n"
	"  --unpin         remove what an agent that is gone left in the kernel, and end\n"
	"  --help          this\n";

static int parse_time(const char *text, long *seconds)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (n <= 0 || n > 1000000)
		return -EINVAL;
	if (!strcmp(end, "m"))
		n *= 60;
	else if (!strcmp(end, "h"))
		n *= 3600;
	else if (*end && strcmp(end, "s"))
		return -EINVAL;
	*seconds = n;
	return 0;
}

/* 0 go on, 1 unpin, 2 help, negative: usage */
static int options(int argc, char **argv, struct agent_options *o)
{
	static const struct option longs[] = {
		{ "policy", 1, NULL, 'p' },  { "db", 1, NULL, 'd' },
		{ "control", 1, NULL, 'c' }, { "cgroup", 1, NULL, 'g' },
		{ "pin-dir", 1, NULL, 'n' }, { "table", 0, NULL, 't' },
		{ "quiet", 0, NULL, 'q' },   { "for", 1, NULL, 'f' },
		{ "keep", 0, NULL, 'k' },    { "unpin", 0, NULL, 'u' },
		{ "help", 0, NULL, 'h' },    { NULL, 0, NULL, 0 },
	};
	int c, unpin = 0;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->policy = optarg;
			break;
		case 'd':
			o->db = optarg;
			break;
		case 'c':
			o->control = optarg;
			break;
		case 'g':
			o->cgroup = optarg;
			break;
		case 'n':
			o->pin_dir = optarg;
			break;
		case 't':
			o->table = 1;
			break;
		case 'q':
			o->quiet = 1;
			break;
		case 'f':
			if (parse_time(optarg, &o->seconds))
				return -EINVAL;
			break;
		case 'k':
			o->keep = 1;
			break;
		case 'u':
			unpin = 1;
			break;
		case 'h':
			return 2;
		default:
			return -EINVAL;
		}
	}
	return optind == argc ? unpin : -EINVAL;
}

static void clocks(struct agent *a)
{
	struct timespec boot, wall;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &wall);
	a->now = (uint64_t)boot.tv_sec * 1000000000 + (uint64_t)boot.tv_nsec;
	a->wall_offset = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)a->now;
}

/* The directory of a path, made when it is missing. */
static int parent_dir(const char *path, mode_t mode)
{
	char dir[256], *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	return mkdir(dir, mode) && errno != EEXIST ? -errno : 0;
}

/* One agent a control path: the lock goes with the process. */
static int lock(const struct agent *a, struct fence_diag *d)
{
	char path[256];
	int fd, err = parent_dir(a->opt.control, 0755);

	snprintf(path, sizeof(path), "%s.lock", a->opt.control);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (err < 0 || fd < 0)
		return fence_diag_set(d, err < 0 ? err : -errno, NULL,
				      "%s cannot be made; give another path with --control", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return fence_diag_set(
			d, -EBUSY, NULL,
			"an agent is already running here; see `crmfence status`, or end it first");
	}
	return fd; /* kept open on purpose */
}

static int start(struct agent *a, struct fence_diag *d)
{
	struct fence_kernel_opts ko = { .cgroup = a->opt.cgroup, .pin_dir = a->opt.pin_dir };
	AUTO_BUF struct fence_buf text = { 0 };
	struct fence_policy_errors e;
	int err = agent_policy_read(a, &a->policy, &e);

	if (err < 0) { /* a line each: `d` has room for one */
		fence_policy_errors_text(&e, "crmfenced: ", &text);
		fprintf(stderr, "crmfenced: %s\n", fence_buf_text(&text));
		return err;
	}
	err = fence_kernel_check(&ko, d);
	if (err >= 0)
		err = lock(a, d);
	if (err < 0)
		return err;
	if (writer_start(a->opt.db, &a->log) < 0)
		return fence_diag_set(d, -ENOMEM, NULL, "no memory");
	a->names = agent_names_new();
	a->alerts = calloc(1, sizeof(*a->alerts));
	if (!a->names || !a->alerts || !a->show || agent_exec_init(a) || agent_flows_init(a) ||
	    agent_scan_init(a))
		return fence_diag_set(d, -ENOMEM, NULL, "no memory");
	clocks(a);
	a->started = a->now;
	if (agent_matches_look(a, a->policy))
		return fence_diag_set(d, -ENOMEM, NULL, "no memory");
	err = fence_kernel_open(&ko, &a->kernel, d);
	if (err >= 0)
		err = agent_policy_install(a, d);
	if (err >= 0)
		err = fence_kernel_attach(a->kernel, d);
	if (err < 0)
		return err;
	agent_watch_init(a);
	agent_log_start(a);
	agent_matches_tell(a);
	agent_seen_load(a);
	err = agent_sight_init(a);
	if (err < 0)
		return err;
	err = agent_reconcile(a);
	agent_scan_begun(a);
	return err < 0 ? fence_diag_set(d, err, NULL, "running processes cannot be read: %s",
					strerror(-err))
		       : 0;
}

/* `out`: the new policy's name, or why the old one stays, a line each. */
static int reload(struct agent *a, struct fence_buf *out)
{
	struct fence_policy *fresh = NULL;
	struct fence_policy_errors e;
	struct fence_diag d = { 0 };
	char line[FENCE_DIAG_LINE];
	int err = agent_policy_read(a, &fresh, &e);

	clocks(a);
	if (err < 0) {
		fence_policy_errors_text(&e, "", out);
		for (size_t i = 0; i < e.count && i < FENCE_POLICY_ERRORS; i++)
			agent_show_note(a, "the policy in force stays: %s",
					fence_diag_line(&e.d[i], line, sizeof(line)));
		return err;
	}
	if (agent_matches_look(a, fresh)) {
		fence_policy_free(fresh);
		fence_buf_str(out, "no memory");
		return -ENOMEM;
	}
	clocks(a);
	agent_beat(a);
	/* what DNS gave a moment ago is carried over by its name, which is in the ring */
	fence_kernel_drain(a->kernel, agent_record, a, &a->totals.bad);
	err = agent_policy_reload(a, fresh, &d);
	fence_buf_str(out, err < 0 ? fence_diag_line(&d, line, sizeof(line)) : a->policy->name);
	if (err < 0) {
		agent_show_note(a, "the policy in force stays: %s", line);
		return err;
	}
	agent_show_note(a, "policy \"%s\" is in force, generation %llu", a->policy->name,
			(unsigned long long)a->generation);
	agent_show_warnings(a);
	agent_sight_reload(a);
	agent_matches_tell(a);
	agent_seen_load(a);
	agent_recognise(a); /* what was no tool before */
	return 0;
}

static int is_abstract(void *ctx, const char *path, const char *owner, int flags)
{
	(void)ctx;
	(void)owner;
	(void)flags;
	return path[0] == '@';
}

/* Does the tool list an abstract name that the programs will let it reach? */
static int lists_abstract(const struct agent *a, const struct fence_policy_tool *t)
{
	return fence_kernel_tier(a->kernel) == FENCE_TIER_B
		       ? fence_policy_unproved(t, 1)
		       : fence_policy_unix_each(t, is_abstract, NULL);
}

static void tell_session(struct agent *a, const char *tool, uint64_t session, struct fence_buf *out)
{
	const struct fence_policy_tool *t =
		&a->policy->tools[fence_policy_tool(a->policy, tool) - 1];
	size_t i;

	fence_buf_printf(out, "%llx%s", (unsigned long long)session,
			 a->policy->monitor ? FENCE_CONTROL_MONITOR : "");
	if (!fence_kernel_checks_unix(a->kernel))
		fence_buf_str(out, FENCE_CONTROL_UNCHECKED);
	else if (lists_abstract(a, t))
		fence_buf_str(out, FENCE_CONTROL_ABSTRACT);
	if (!a->sees_shared)
		fence_buf_str(out, FENCE_CONTROL_SHARING);
	for (i = 0; i < t->nwrite; i++)
		fence_buf_printf(out, FENCE_CONTROL_WRITE "%s", t->write[i]);
}

static int watch(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/* What an accepted connection asks. -EAGAIN: nothing yet; anything else: it is done with. */
static int answer(void *agent, const struct fence_caller *c)
{
	struct agent *a = agent;
	int fd = c->fd;
	AUTO_BUF struct fence_buf out = { 0 };
	struct fence_control_request r;
	struct fence_diag d = { 0 };
	struct fence_peer peer;
	uint64_t session = 0;
	int err;

	err = fence_control_receive(fd, &r, &peer);
	if (err < 0)
		return err;
	switch (r.op) {
	case FENCE_OP_STATUS:
		agent_status(a, &out);
		fence_control_reply(fd, 0, fence_buf_text(&out), (uint32_t)out.len);
		break;
	case FENCE_OP_CONFINE:
		err = agent_confine(a, c, &peer, r.tool, &session, &d);
		if (err < 0)
			fence_buf_str(&out, d.text);
		else
			tell_session(a, r.tool, session, &out);
		fence_control_reply(fd, err, fence_buf_text(&out), (uint32_t)out.len);
		break;
	case FENCE_OP_RELOAD:
		if (peer.uid)
			fence_buf_str(&out, "needs root; use sudo");
		err = peer.uid ? -EPERM : reload(a, &out);
		fence_control_reply(fd, err, fence_buf_text(&out), (uint32_t)out.len);
		break;
	case FENCE_OP_JOIN:
		err = peer.uid ? fence_diag_set(&d, -EPERM, NULL, "needs root; use sudo")
			       : agent_join(a, r.pid, r.tool, &out, &d);
		if (err < 0)
			fence_buf_str(&out, d.text);
		fence_control_reply(fd, err, fence_buf_text(&out), (uint32_t)out.len);
		break;
	default:
		fence_control_reply(fd, -ENOSYS, "", 0);
	}
	return 0;
}

/* 1: more waits than one turn takes. */
static int turn(struct agent *a, int final)
{
	int more;

	clocks(a);
	more = fence_kernel_drain(a->kernel, agent_record, a, &a->totals.bad);
	if (!final) {
		agent_matches_turn(a);
		agent_seen_turn(a);
	}
	agent_doomed_turn(a);
	agent_scan_turn(a, final);
	agent_denials_turn(a, final);
	agent_beat(a);
	more = agent_sight_turn(a, final) || more > 0;
	if (!final)
		agent_watch_turn(a);
	agent_flows_turn(a, final);
	agent_sessions_turn(a, final);
	agent_log_turn(a, final);
	agent_show_turn(a);
	return more;
}

static int signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* How often there is a turn when nothing calls for one: what is only read may wait a little. */
static void pace(const struct agent *a, int tick, long *ms)
{
	long want = agent_sight_probes(a) ? AGENT_TURN_SIGHT_MS : AGENT_TURN_MS;
	struct itimerspec t = { .it_interval.tv_nsec = want * 1000000,
				.it_value.tv_nsec = want * 1000000 };

	if (want != *ms)
		timerfd_settime(tick, 0, &t, NULL);
	*ms = want;
}

/* SIGHUP: the policy again. 1: any other, the end. */
static int on_signal(struct agent *a, int sig)
{
	AUTO_BUF struct fence_buf out = { 0 };
	struct signalfd_siginfo info;

	if (read(sig, &info, sizeof(info)) != sizeof(info) || info.ssi_signo != SIGHUP)
		return 1;
	reload(a, &out);
	return 0;
}

/* Until a signal, or the time is up. Returns why. */
static const char *loop(struct agent *a, int control, int sig)
{
	AUTO_FD int ep = epoll_create1(EPOLL_CLOEXEC);
	AUTO_FD int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int ring = fence_kernel_ring_fd(a->kernel), n, i, more = 0;
	struct callers callers = { .ep = ep, .answer = answer, .ctx = a };
	struct epoll_event e[8];
	uint64_t expired;
	long ms = 0;

	if (watch(ep, sig) || watch(ep, tick) || watch(ep, ring) || watch(ep, control) ||
	    (scan_fd(a->scan) >= 0 && watch(ep, scan_fd(a->scan))) ||
	    (scan_fd(a->hasher) >= 0 && watch(ep, scan_fd(a->hasher))) ||
	    (a->sight && watch(ep, agent_sight_fd(a))))
		return "the loop cannot be set up";
	for (;;) {
		pace(a, tick, &ms);
		n = epoll_wait(ep, e, 8, more ? 0 : -1);
		for (i = 0; i < n; i++) {
			if (e[i].data.fd == sig && on_signal(a, sig))
				return "signal";
			if (e[i].data.fd == control)
				callers_accept(&callers, control);
			else
				callers_ready(&callers, e[i].data.fd);
			if (e[i].data.fd == tick && read(tick, &expired, sizeof(expired)) < 0)
				continue;
		}
		more = n > 0 || more ? turn(a, 0) : 0;
		if (a->opt.seconds && a->now - a->started >= (uint64_t)a->opt.seconds * 1000000000)
			return "time";
	}
}

static void done(struct agent *a, int keep)
{
	agent_sight_done(a);
	fence_kernel_close(a->kernel, keep);
	if (writer_end(a->log, AGENT_LAST_MS, !a->log_is.lost))
		fprintf(stderr,
			"crmfenced: rows of the log %s are not written yet (%s): who writes them "
			"tries for half a minute more\n",
			a->opt.db, a->log_is.why);
	agent_cgroups_done(a);
	while (a->sessions) {
		struct agent_session *s = a->sessions;

		a->sessions = s->next;
		agent_view_drop(a, s);
		free(s);
	}
	agent_flows_done(a);
	agent_absent_done(a);
	free(a->alerts);
	agent_exec_done(a);
	agent_matches_done(a);
	agent_places_done(a);
	agent_scan_done(a);
	agent_names_free(a->names);
	agent_show_free(a->show);
	fence_policy_free(a->policy);
	fence_buf_done(&a->body);
}

static int unpin(const struct agent_options *o)
{
	int err = fence_kernel_unpin(o->pin_dir);

	if (err == -ENOENT)
		printf("nothing is pinned\n");
	else if (err < 0)
		fprintf(stderr, "crmfenced: the pins cannot be removed: %s\n", strerror(-err));
	return err < 0 && err != -ENOENT ? 2 : 0;
}

int main(int argc, char **argv)
{
	static struct agent a;
	struct fence_diag d = { 0 };
	char line[FENCE_DIAG_LINE];
	const char *why;
	int control, err, sig;

	a.opt = (struct agent_options){ .policy = DEFAULT_POLICY,
					.db = DEFAULT_DB,
					.control = FENCE_CONTROL_PATH };
	err = options(argc, argv, &a.opt);
	if (err < 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (err == 2) {
		fputs(usage, stdout);
		return 0;
	}
	if (err)
		return unpin(&a.opt);
	signal(SIGPIPE, SIG_IGN);
	sig = signals(); /* one that comes early waits: what is in the kernel by then is taken out
			  */
	a.show = agent_show_new(a.opt.table);
	err = start(&a, &d);
	control = err < 0 ? err : fence_control_listen(a.opt.control);
	if (err >= 0 && control < 0)
		err = fence_diag_set(&d, control, NULL, "%s cannot be listened on: %s",
				     a.opt.control, strerror(-control));
	if (err >= 0)
		err = agent_rights_narrow(&d);
	if (err < 0 && control >= 0)
		unlink(a.opt.control);
	if (err < 0) {
		if (d.text[0])
			fprintf(stderr, "crmfenced: %s\n", fence_diag_line(&d, line, sizeof(line)));
		done(&a, a.kernel && fence_kernel_adopted(a.kernel));
		return 2;
	}
	agent_show_note(&a, "policy \"%s\" is %s; log %s", a.policy->name,
			a.policy->monitor ? "watched, nothing is blocked" : "enforced", a.opt.db);
	agent_show_warnings(&a);
	why = loop(&a, control, sig);
	close(control);
	unlink(a.opt.control);
	turn(&a, 1);
	agent_sight_done(&a);
	agent_seen_save(&a);
	agent_log_stop(&a, why);
	agent_show_summary(&a);
	done(&a, a.opt.keep);
	return 0;
}
