// SPDX-License-Identifier: Apache-2.0
/*
 * doctor: the tier, each way out that stays open on this machine, and its remedy. --fix writes what
 * two files can close, --undo takes just that back. --root DIR: another tree than /, nothing of the
 * running kernel is asked.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/shut.h"
#include "cli/cli.h"
#include "ipc/control.h"
#include "policy/policy.h"

#define SYSCTL_FILE "/etc/sysctl.d/60-crmfence.conf"
#define MODPROBE_FILE "/etc/modprobe.d/crmfence.conf"

struct doctor {
	const char *root; /* "" for / */
	const char *tier; /* "A1", "A2", "B", or "?" when no agent answers */
	char policy[256]; /* the running agent's; "" */
	struct utsname kernel;
	int json;
	int sight; /* the agent's is on */
	long long streams, unseen; /* TLS connections of tools with sight; nothing seen of */
	char log[600]; /* what is amiss with the agent's log; "" */
	int shares; /* the agent's programs do not see payload on shared pages */
	int open; /* ways out that stay open */
	const char *last; /* Unix name that was told */
	char unseen_tools[FENCE_TOOL_MAX][FENCE_TOOL_NAME_MAX]; /* the agent has not met them */
	size_t nunseen;
};

/* What a session could use in tier B and a laptop does without. */
static const struct {
	const char *key, *want, *what;
	int guarded; /* tier A refuses it itself */
} sysctls[] = {
	{ "kernel/io_uring_disabled", "2",
	  "another process may hand a recognised session an io_uring", 1 },
	{ "kernel/yama/ptrace_scope", "1",
	  "a recognised session may write into processes of its user", 1 },
	{ "dev/tty/legacy_tiocsti", "0",
	  "a recognised session may type into the terminal it was started from", 0 },
	{ "kernel/unprivileged_bpf_disabled", "2", "processes without rights may load BPF programs",
	  0 },
};

/* Address families by their modules; Bluetooth stays: people use it, and `exec` refuses it. */
static const char *const modules[] = {
	"vsock",   "tipc",	  "rxrpc",     "smc",  "kcm",  "can",
	"qrtr",	   "llc2",	  "appletalk", "x25",  "ax25", "ieee802154_socket",
	"phonet",  "caif_socket", "nfc",       "mctp", "sctp", "dccp",
	"l2tp_ip", "l2tp_ip6",	  "atm",       "rds",
};

static FILE *open_at(const struct doctor *d, const char *path, const char *mode)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", d->root, path);
	return fopen(full, mode);
}

/* First line of a file, without its newline. 0, or negative when it is not there. */
static int first_line(const struct doctor *d, const char *path, char *out, int size)
{
	AUTO_FILE FILE *f = open_at(d, path, "re");

	if (!f || !fgets(out, size, f))
		return -ENOENT;
	out[strcspn(out, "\n")] = 0;
	return 0;
}

/* Does any line of the file hold `word`, delimited by what no module name has? */
static int file_has(const struct doctor *d, const char *path, const char *word)
{
	AUTO_FILE FILE *f = open_at(d, path, "re");
	size_t n = strlen(word);
	char line[4096], *at;

	while (f && fgets(line, sizeof(line), f))
		for (at = line; (at = strstr(at, word)); at += n)
			if ((at == line || strchr("/, \t", at[-1])) && strchr(".,: \t\n", at[n]))
				return 1;
	return 0;
}

static void say(struct doctor *d, const char *way, const char *why, const char *remedy)
{
	AUTO_BUF struct fence_buf b = { 0 };
	struct fence_json j;

	d->open++;
	if (!d->json) {
		printf("open      %s: %s\n          remedy: %s\n", way, why, remedy);
		return;
	}
	fence_json_init(&j, &b);
	fence_json_open(&j, NULL);
	fence_json_str(&j, "remedy", remedy);
	fence_json_str(&j, "way", way);
	fence_json_str(&j, "why", why);
	fence_json_close(&j);
	printf("%s\n", fence_buf_text(&b));
}

static int tier_a(const struct doctor *d)
{
	return d->tier[0] == 'A';
}

static void check_tier(struct doctor *d)
{
	char lsm[512], remedy[700];

	if (d->tier[0] == '?')
		say(d, "tier", "no agent answers, so none has tried what this kernel refuses",
		    "sudo crmfence run");
	if (tier_a(d))
		return;
	if (first_line(d, "/sys/kernel/security/lsm", lsm, sizeof(lsm)))
		snprintf(lsm, sizeof(lsm), "(what /sys/kernel/security/lsm says)");
	if (!file_has(d, "/sys/kernel/security/lsm", "bpf")) {
		snprintf(remedy, sizeof(remedy), "boot with lsm=%s,bpf", lsm);
		say(d, "other processes",
		    "BPF LSM is not seen among the kernel's security modules (tier B): message "
		    "queues, shared memory, ptrace, FIFOs and rare address families stay open to a "
		    "recognised session; `crmfence exec` closes them at launch",
		    remedy);
	} else if (d->tier[0] == 'B') {
		say(d, "other processes",
		    "the kernel lists bpf in lsm= but does not obey it (tier B): only `crmfence "
		    "exec` closes message queues, shared memory, ptrace, FIFOs and rare address "
		    "families",
		    "start the tool with crmfence exec");
	}
	if (d->tier[0] == 'B')
		say(d, "root",
		    "a recognised session that runs as root writes what the whole machine obeys "
		    "(/etc, /proc/sys, /sys, devices) and sets up networks behind the programs "
		    "(nft, "
		    "tc, tunnels); `crmfence exec` takes that away",
		    "start the tool with crmfence exec, or not as root");
}

/* Whose word is taken for where the org's names lead? */
static void check_resolvers(struct doctor *d, const struct fence_policy *p)
{
	char why[256], what[400];

	if (!p || !p->resolvers_system || d->root[0] ||
	    fence_path_trusted(FENCE_RESOLV, why, sizeof(why)) || !why[0])
		return;
	snprintf(what, sizeof(what),
		 "%s: others than root can write it, so the resolvers that /etc/resolv.conf names "
		 "are not taken; those before stay",
		 why);
	say(d, "resolvers", what, "chown root, chmod go-w; or list them: \"resolvers\"");
}

/* Pages that a socket shares with its sender: the programs look with a function of 6.2. */
static void check_sharing(struct doctor *d)
{
	if (d->shares)
		say(d, "shared pages",
		    "a recognised session may splice a DNS question or a TLS hello and change it "
		    "after it was looked at; `crmfence exec` closes that",
		    "a kernel from 6.2, or start the tool with crmfence exec");
}

/* Only BPF LSM may look into socket storage when a descriptor arrives. */
static void check_received(struct doctor *d)
{
	if (strcmp(d->tier, "A1") && d->tier[0] != '?')
		say(d, "received sockets",
		    "another process may hand a recognised session a socket that is connected "
		    "already (SCM_RIGHTS, pidfd_getfd)",
		    "boot with bpf in lsm=, or start the tool with crmfence exec");
}

/* The policy wants a tool's TLS seen: is it? */
static void check_sight(struct doctor *d, const struct fence_policy *p)
{
	char what[160];
	size_t i;

	for (i = 0; p && i < p->ntools && !p->tools[i].sight; i++)
		;
	if (!p || i == p->ntools || d->tier[0] == '?')
		return;
	if (!d->sight)
		say(d, "sight", "the policy wants TLS seen, and it is not",
		    "the log's `sight` row says why (crmfenced's output too): a kernel from 6.6, "
		    "or the agent started again after the policy asked for it");
	if (!d->unseen)
		return;
	snprintf(what, sizeof(what),
		 "of %lld TLS connections of tools with \"sight\" nothing was seen (of %lld; idle "
		 "ones among them)",
		 d->unseen, d->streams);
	say(d, "sight", what,
	    "crmfence alerts names the programs (E025): their TLS library is not known, or was "
	    "refused at its trial");
}

/* A name that will do unproved, but not what is there now. */
static int unix_amiss(void *ctx, const char *path, uint32_t user)
{
	const char *amiss = fence_unix_amiss(path, user, NULL);

	(void)ctx;
	if (amiss)
		printf("          %s: closed now: %s\n", path, amiss);
	return 0;
}

/* One entry of "unix" in tier B: by its name alone, or not at all. */
static int unix_entry(void *ctx, const char *path, const char *owner, int flags)
{
	struct doctor *d = ctx;

	(void)owner;
	if (d->last == path) /* once, whoever has to listen there */
		return 0;
	d->last = path;
	if (!(flags & FENCE_UNIX_UNPROVED))
		printf("          %s: closed, for nobody sees who listens there\n", path);
	else
		fence_unix_expand(path, unix_amiss, NULL);
	return 0;
}

/* Tier B: what "unix" leaves open, and what closed. */
static void check_unix(struct doctor *d, const struct fence_policy *p)
{
	int major = 0, minor = 0;
	char why[160];
	size_t i;

	sscanf(d->kernel.release, "%d.%d", &major, &minor);
	if (tier_a(d))
		return;
	if (major < 6 || (major == 6 && minor < 7))
		say(d, "unix sockets",
		    "this kernel has no hook for their peers, and no BPF LSM is at work",
		    "a kernel from 6.7, or lsm=...,bpf");
	for (i = 0; p && i < p->ntools; i++) {
		const struct fence_policy_tool *t = &p->tools[i];

		snprintf(why, sizeof(why),
			 "%s lists a name as \"unproved\": any Unix socket of this machine can be "
			 "reached through it",
			 t->name);
		if (fence_policy_unproved(t, 0))
			say(d, "unix sockets", why,
			    "boot with bpf in lsm=, or take \"unproved\" away");
		if (d->json || !(t->nunix || t->unix_groups))
			continue;
		printf("          the Unix sockets that %s lists, here:\n", t->name);
		fence_policy_unix_each(t, unix_entry, d);
	}
}

static void check_kernel(struct doctor *d)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 1)
		say(d, "launch",
		    "no Landlock: `crmfence exec` cannot keep the session from making "
		    "FIFOs",
		    "boot with landlock in lsm=");
	else if (abi < 6 && !tier_a(d))
		say(d, "launch",
		    "Landlock before ABI 6: abstract sockets and signals are not "
		    "scoped by `crmfence exec`",
		    "a kernel from 6.12");
}

static void on_drift(void *ctx, const char *browser, const char *why, const char *remedy)
{
	char way[48];

	snprintf(way, sizeof(way), "browser %s", browser);
	say(ctx, way, why, remedy);
}

/* The running agent's policy, else the machine's. Owned by the caller; NULL: none, or it is
 * refused.
 */
static struct fence_policy *policy_of(struct doctor *d)
{
	struct fence_policy_errors e;
	struct fence_policy *p = NULL;
	char path[512], line[FENCE_DIAG_LINE];
	int err;

	snprintf(path, sizeof(path), "%s%s", d->root, "/etc/crmfence/policy.json");
	err = fence_policy_read(d->policy[0] && !d->root[0] ? d->policy : path, &p, &e);
	if (err < 0 && err != -ENOENT)
		say(d, "policy", fence_diag_line(&e.d[0], line, sizeof(line)),
		    "crmfence policy check says all that is wrong with it");
	if (p && fence_policy_leaves(p))
		say(d, "extension", fence_policy_leaves_why, fence_policy_leaves_remedy);
	return p;
}

static void check_files(struct doctor *d, const struct fence_policy *p)
{
	size_t i, without = !p;

	for (i = 0; p && i < p->ntools; i++)
		without += !p->tools[i].nwrite;
	if (without)
		say(d, "files", "a session may write files that another program sends",
		    tier_a(d) ? "\"write\" in the tool's policy"
			      : "\"write\" in the tool's policy, and crmfence exec");
	else if (!tier_a(d))
		say(d, "files", "a recognised session may write files that another program sends",
		    "start the tool with crmfence exec");
}

static void on_match(void *ctx, const char *tool, const char *path, const char *why,
		     const char *remedy)
{
	char way[64];

	(void)path;
	snprintf(way, sizeof(way), "tool %s", tool);
	say(ctx, way, why, remedy);
}

/* Is it laxer than wanted? `have`: its value. A kernel without it is not. */
static int is_lax(const struct doctor *d, size_t i, char have[64])
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/%s", sysctls[i].key);
	return !first_line(d, path, have, 64) && !strcmp(have, "0") != (sysctls[i].want[0] == '0');
}

static void check_tools(struct doctor *d, const struct fence_policy *p)
{
	size_t i;

	if (p && !d->root[0])
		cli_matches(p, on_match, d);
	for (i = 0; i < d->nunseen; i++)
		on_match(
			d, d->unseen_tools[i], NULL,
			"no session for days: perhaps it is started by another path, or not at all",
			"compare the policy's match with what runs: crmfence flows");
}

static void check_sysctls(struct doctor *d)
{
	char have[64], remedy[160];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sysctls); i++) {
		if ((sysctls[i].guarded && tier_a(d)) || !is_lax(d, i, have))
			continue;
		snprintf(remedy, sizeof(remedy), "crmfence doctor --fix writes %s = %s",
			 sysctls[i].key, sysctls[i].want);
		say(d, sysctls[i].key, sysctls[i].what, remedy);
	}
}

/* A module that is on the disk, and that nobody keeps from being loaded. */
static int loadable(const struct doctor *d, const char *module)
{
	char dep[256], file[64];

	snprintf(dep, sizeof(dep), "/lib/modules/%s/modules.dep", d->kernel.release);
	snprintf(file, sizeof(file), "%s.ko", module);
	return (file_has(d, dep, file) || file_has(d, dep, module)) &&
	       !file_has(d, MODPROBE_FILE, module);
}

static void check_modules(struct doctor *d)
{
	char list[512] = "";
	size_t i, n = 0;

	if (tier_a(d))
		return;
	for (i = 0; i < ARRAY_SIZE(modules); i++)
		if (loadable(d, modules[i]))
			n += (size_t)snprintf(list + n, sizeof(list) - n, " %s", modules[i]);
	if (n)
		say(d, "address families",
		    "modules that a session's socket(2) would load; IP over them is refused, their "
		    "own families only by `crmfence exec`",
		    "crmfence doctor --fix keeps them from being loaded");
	if (n && !d->json)
		printf("          modules:%s\n", list);
}

static int cannot(const struct doctor *d, const char *path)
{
	fprintf(stderr,
		"crmfence: %s%s: %s; run as root, and crmfence doctor --undo takes back what was "
		"written\n",
		d->root, path, strerror(errno));
	return 2;
}

static int set(const struct doctor *d, const char *key, const char *value)
{
	char path[128];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "/proc/sys/%s", key);
	f = open_at(d, path, "we");
	if (!f)
		return cannot(d, path);
	bad = fprintf(f, "%s\n", value) < 0;
	return fclose(f) || bad ? cannot(d, path) : 0;
}

/* Both files, and the sysctls now. What was before stands in the file, for --undo. */
static int fix(const struct doctor *d)
{
	AUTO_FILE FILE *there = open_at(d, SYSCTL_FILE, "re");
	char have[64];
	FILE *f;
	size_t i;
	int bad = 0;

	if (there) {
		fprintf(stderr, "crmfence: %s%s is there already; crmfence doctor --undo first\n",
			d->root, SYSCTL_FILE);
		return 2;
	}
	f = open_at(d, MODPROBE_FILE, "we");
	if (!f)
		return cannot(d, MODPROBE_FILE);
	for (i = 0; i < ARRAY_SIZE(modules); i++)
		fprintf(f, "install %s /bin/false\n", modules[i]);
	bad = fclose(f);
	f = open_at(d, SYSCTL_FILE, "we");
	if (!f || bad)
		return cannot(d, SYSCTL_FILE);
	for (i = 0; i < ARRAY_SIZE(sysctls); i++) {
		if (!is_lax(d, i, have))
			continue;
		fprintf(f, "# was %s %s\n%s = %s\n", sysctls[i].key, have, sysctls[i].key,
			sysctls[i].want);
		bad |= set(d, sysctls[i].key, sysctls[i].want);
	}
	if (fclose(f) || bad)
		return cannot(d, SYSCTL_FILE);
	printf("wrote %s%s and %s%s; modules that are loaded stay until the next boot\n", d->root,
	       SYSCTL_FILE, d->root, MODPROBE_FILE);
	return 0;
}

/* Remove a file that fix() wrote. 1: it was there, 0: it was not, negative: it cannot be removed.
 */
static int take_away(const struct doctor *d, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", d->root, path);
	if (!unlink(full))
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

static int undo(const struct doctor *d)
{
	AUTO_FILE FILE *f = open_at(d, SYSCTL_FILE, "re");
	char line[256], key[64], was[64];
	int bad = 0, one, two;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "# was %63s %63s", key, was) == 2)
			bad |= set(d, key, was); /* some go one way only until the next boot */
	one = take_away(d, SYSCTL_FILE);
	two = take_away(d, MODPROBE_FILE);
	if (one < 0 || two < 0)
		return cannot(d, one < 0 ? SYSCTL_FILE : MODPROBE_FILE);
	if (!one && !two) {
		fprintf(stderr, "crmfence: no %s%s: nothing to undo\n", d->root, SYSCTL_FILE);
		return 2;
	}
	printf("removed %s%s and %s%s%s\n", d->root, SYSCTL_FILE, d->root, MODPROBE_FILE,
	       bad ? "; what could not be set back now will be at the next boot" : "");
	return 0;
}

static void ask_log(struct doctor *d, const cJSON *s)
{
	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(s, "log_writable")))
		snprintf(d->log, sizeof(d->log),
			 "%.200s cannot be written (%.200s): %lld bytes of rows wait, %lld rows "
			 "are lost",
			 cli_str(s, "db"), cli_str(s, "log_why"),
			 (long long)cli_int(s, "log_waiting"), (long long)cli_int(s, "log_lost"));
	else if (cli_int(s, "log_lost"))
		snprintf(d->log, sizeof(d->log), "%.200s lost %lld rows since the agent began",
			 cli_str(s, "db"), (long long)cli_int(s, "log_lost"));
	else if (*cli_str(s, "log_told"))
		snprintf(d->log, sizeof(d->log), "%.500s", cli_str(s, "log_told"));
}

/* The running agent's tier: it made the call that has to be refused. */
static void ask_tier(struct doctor *d, const char *control)
{
	static char text[FENCE_CONTROL_REPLY], tier[8];
	const cJSON *sight, *t;
	cJSON *s;
	int sees;

	d->tier = "?";
	if (fence_control_ask(control, FENCE_OP_STATUS, NULL, 0, text, sizeof(text)) < 0)
		return;
	s = cJSON_Parse(text);
	snprintf(tier, sizeof(tier), "%s", cli_str(s, "tier"));
	sees = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(s, "sees_shared"));
	snprintf(d->policy, sizeof(d->policy), "%s", cli_str(s, "policy_file"));
	sight = cJSON_GetObjectItemCaseSensitive(s, "sight");
	d->sight = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(sight, "on"));
	d->streams = cli_int(sight, "streams");
	d->unseen = cli_int(sight, "unseen");
	cJSON_ArrayForEach (t, cJSON_GetObjectItemCaseSensitive(s, "tools"))
		if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(t, "unseen")) &&
		    d->nunseen < FENCE_TOOL_MAX)
			snprintf(d->unseen_tools[d->nunseen++], FENCE_TOOL_NAME_MAX, "%s",
				 cli_str(t, "name"));
	ask_log(d, s);
	cJSON_Delete(s);
	d->tier = tier[0] ? tier : "?";
	d->shares = !sees;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", 0, NULL, 'j' }, { "fix", 0, NULL, 'f' },     { "undo", 0, NULL, 'u' },
		{ "root", 1, NULL, 'r' }, { "control", 1, NULL, 'c' }, { NULL, 0, NULL, 0 }
	};
	struct doctor d = { .root = "" };
	const char *control = FENCE_CONTROL_PATH;
	struct fence_policy *p;
	int c, change = 0;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j')
			d.json = 1;
		else if (c == 'f' || c == 'u')
			change = c;
		else if (c == 'r')
			d.root = optarg;
		else if (c == 'c')
			control = optarg;
		else
			return 2;
	}
	if (change)
		return change == 'f' ? fix(&d) : undo(&d);
	uname(&d.kernel);
	ask_tier(&d, control);
	if (!d.json)
		printf("tier      %s\nkernel    %s\n", d.tier, d.kernel.release);
	check_tier(&d);
	if (d.log[0])
		say(&d, "log", d.log,
		    "room, and nobody else who writes there; its rows of kind \"log\" and \"gap\" "
		    "say what is missing, EVENTS.md how it is copied and moved");
	check_kernel(&d);
	check_sharing(&d);
	check_received(&d);
	check_sysctls(&d);
	check_modules(&d);
	p = policy_of(&d);
	check_unix(&d, p);
	check_files(&d, p);
	check_tools(&d, p);
	check_sight(&d, p);
	check_resolvers(&d, p);
	if (p)
		cli_browser_drift(p, d.root, on_drift, &d);
	fence_policy_free(p);
	return d.open ? 1 : 0;
}
