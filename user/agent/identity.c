// SPDX-License-Identifier: Apache-2.0
/*
 * Programs: what runs in which process, where it came from, and the hash of its file. A program is
 * written down when the first of its flows or sessions is, its ancestors before it; its file is
 * hashed in slices between turns, once an inode.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/cleanup.h"

#define EXES 512 /* files whose hash is known or waited for */
#define SLICE (4u << 20) /* bytes hashed between two turns */
#define ANCESTORS 32
#define ARGUMENTS (16u << 10)

struct exe {
	uint32_t dev;
	uint64_t ino;
	char *path; /* owned */
	uint32_t tgid;
};

struct exe_queue {
	struct exe known[EXES];
	size_t count; /* ever; index modulo EXES */
	size_t done; /* hashed so far */
	int fd; /* of the one in work */
	uint64_t size;
	EVP_MD_CTX *md; /* owned */
};

int agent_exec_init(struct agent *a)
{
	a->execs = calloc(AGENT_EXECS, sizeof(*a->execs));
	a->exes = calloc(1, sizeof(*a->exes));
	if (!a->execs || !a->exes)
		return -ENOMEM;
	a->exes->fd = -1;
	a->exes->md = EVP_MD_CTX_new();
	return a->exes->md ? 0 : -ENOMEM;
}

static void exec_free(struct agent_exec *e)
{
	free(e->path);
	free(e->extension);
	free(e);
}

void agent_exec_done(struct agent *a)
{
	struct agent_exec *e, *next;
	size_t i;

	for (i = 0; a->execs && i < AGENT_EXECS; i++)
		for (e = a->execs[i]; e; e = next) {
			next = e->next;
			exec_free(e);
		}
	free(a->execs);
	if (!a->exes)
		return;
	for (i = 0; i < EXES; i++)
		free(a->exes->known[i].path);
	if (a->exes->fd >= 0)
		close(a->exes->fd);
	EVP_MD_CTX_free(a->exes->md);
	free(a->exes);
}

static struct agent_exec **bucket(struct agent *a, uint64_t id)
{
	return &a->execs[(id * 0x9e3779b97f4a7c15ULL >> 40) % AGENT_EXECS];
}

struct agent_exec *agent_exec_find(struct agent *a, uint64_t id)
{
	struct agent_exec *e;

	for (e = *bucket(a, id); e; e = e->next)
		if (e->id == id)
			return e;
	return NULL;
}

/* What a program reads is its descendants', if they began after it. */
uint64_t agent_exec_tainted(struct agent *a, uint64_t id)
{
	const struct agent_exec *e = a->sight ? agent_exec_find(a, id) : NULL;
	uint64_t began = ~0ULL;
	int hops;

	for (hops = 0; e && hops < 16; hops++) {
		if (e->tainted && e->tainted <= began)
			return e->tainted;
		began = e->id;
		e = e->parent_id == e->id ? NULL : agent_exec_find(a, e->parent_id);
	}
	return 0;
}

static void exec_drop(struct agent *a, struct agent_exec *e)
{
	struct agent_exec **p = bucket(a, e->id);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	exec_free(e);
}

/* A place in the ring: the oldest entry whose process no longer runs, or the oldest. */
static struct agent_exec **ring_place(struct agent *a)
{
	struct agent_exec **slot;
	int tries;

	for (tries = 0; tries < 64; tries++) {
		slot = &a->exec_ring[a->exec_at++ % AGENT_EXECS];
		if (!*slot || (kill((pid_t)(*slot)->tgid, 0) && errno == ESRCH))
			break;
	}
	if (*slot)
		exec_drop(a, *slot);
	return slot;
}

struct agent_exec *agent_exec_add(struct agent *a, const struct fence_rec_exec *r, int existing)
{
	struct agent_exec *e = agent_exec_find(a, r->exec), **slot, **b;

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->id = r->exec;
	e->parent_id = r->parent_exec;
	e->start = r->start;
	e->session = r->session;
	e->ino = r->ino;
	e->dev = r->dev;
	e->cgroup = r->cgroup;
	e->tgid = r->tgid;
	e->parent = r->parent;
	e->uid = r->uid;
	e->tool = r->tool;
	e->match = r->match;
	e->rule = r->rule;
	e->existing = (uint8_t)existing;
	e->path = strndup(r->path, r->path_len);
	slot = ring_place(a);
	*slot = e;
	b = bucket(a, e->id);
	e->next = *b;
	*b = e;
	return e;
}

static void exe_want(struct agent *a, const struct agent_exec *e)
{
	struct exe_queue *q = a->exes;
	size_t i, n = q->count < EXES ? q->count : EXES;
	struct exe *x;

	if (!e->ino || !e->path)
		return;
	for (i = 0; i < n; i++)
		if (q->known[i].ino == e->ino && q->known[i].dev == e->dev)
			return;
	if (q->count - q->done >= EXES - 1)
		return; /* far behind: asked for again by the next process of this program */
	x = &q->known[q->count++ % EXES];
	free(x->path);
	x->path = strdup(e->path);
	x->ino = e->ino;
	x->dev = e->dev;
	x->tgid = e->tgid;
}

/* The unit, or the cgroup when there is none, from the kernel's own list. */
static void cgroup_text(const struct agent_exec *e, char *out, size_t size)
{
	AUTO_FILE FILE *f = NULL;
	char path[64], line[1024];

	out[0] = 0;
	snprintf(path, sizeof(path), "/proc/%u/cgroup", e->tgid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "0::", 3))
			snprintf(out, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
}

/*
 * A native messaging host is given its extension's origin by the browser that starts it; what it
 * starts is that extension's too. Firefox gives the add-on's id behind its manifest's path.
 */
static void exec_extension(struct agent *a, struct agent_exec *e)
{
	static const char origin[] = "chrome-extension://";
	const struct agent_exec *parent = agent_exec_find(a, e->parent_id);
	AUTO_BUF struct fence_buf b = { 0 };
	const char *p, *end, *id;
	char path[64];
	int i;

	if (parent && parent != e && parent->extension) {
		e->extension = strdup(parent->extension);
		return;
	}
	if (e->match == FENCE_MATCH_NATIVE && e->tool && e->tool <= a->policy->ntools &&
	    e->rule < a->policy->tools[e->tool - 1].nmatch) { /* the kernel has read it */
		e->extension = strdup(a->policy->tools[e->tool - 1].match[e->rule].text);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%u/cmdline", e->tgid);
	if (fence_buf_read_file(&b, path, ARGUMENTS))
		return;
	for (p = fence_buf_text(&b), end = p + b.len, i = 0; p < end && i < 4 && !e->extension;
	     p += strlen(p) + 1, i++) {
		id = p + sizeof(origin) - 1;
		if (i && !strncmp(p, origin, sizeof(origin) - 1) &&
		    strspn(id, "abcdefghijklmnop") == 32 && (!id[32] || id[32] == '/'))
			e->extension = strndup(id, 32);
		id = p + strlen(p) + 1;
		if (i == 1 && strstr(p, "/native-messaging-hosts/") && id < end)
			e->extension = strndup(id, FENCE_ADDON_MAX - 1);
	}
}

static void exec_row(struct agent *a, struct agent_exec *e)
{
	struct fence_json j;
	char cgroup[512];

	cgroup_text(e, cgroup, sizeof(cgroup));
	if (e->session)
		exec_extension(a, e);
	agent_row(a, &j);
	if (cgroup[0])
		fence_json_str(&j, "cgroup", cgroup);
	fence_json_id(&j, "cgroup_id", e->cgroup);
	fence_json_int(&j, "dev", e->dev);
	fence_json_str(&j, "exe", e->path ? e->path : "");
	fence_json_id(&j, "exec", e->id);
	fence_json_bool(&j, "existing", e->existing);
	if (e->extension)
		fence_json_str(&j, "extension", e->extension);
	fence_json_int(&j, "ino", (int64_t)e->ino);
	fence_json_id(&j, "parent_exec", e->parent_id);
	fence_json_int(&j, "pid", e->tgid);
	fence_json_int(&j, "ppid", e->parent);
	if (e->session)
		fence_json_id(&j, "session", e->session);
	fence_json_int(&j, "start", agent_us(a, e->start));
	if (e->session) {
		fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, e->tool));
	}
	fence_json_int(&j, "uid", e->uid);
	agent_row_end(a, &j, "process");
}

void agent_exec_log(struct agent *a, struct agent_exec *e)
{
	struct agent_exec *line[ANCESTORS];
	size_t n = 0;

	while (e && !e->logged && n < ANCESTORS) {
		line[n++] = e;
		e = e->parent_id && e->parent_id != e->id ? agent_exec_find(a, e->parent_id) : NULL;
	}
	while (n--) {
		line[n]->logged = 1;
		exec_row(a, line[n]);
		exe_want(a, line[n]);
	}
}

static void hex(const uint8_t *in, size_t n, char *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", in[i]);
}

/*
 * The file of a process that may be gone: its own link first, so that a replaced file is told from
 * the one that runs.
 */
static int exe_open(const struct exe *x)
{
	char path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/exe", x->tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &st) && st.st_ino == x->ino)
		return fd;
	if (fd >= 0)
		close(fd);
	fd = open(x->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && !fstat(fd, &st) && st.st_ino == x->ino && S_ISREG(st.st_mode))
		return fd;
	if (fd >= 0)
		close(fd);
	return -ENOENT;
}

static void exe_row(struct agent *a, const struct exe *x, const uint8_t *sha)
{
	struct fence_json j;
	char text[65];

	agent_row(a, &j);
	fence_json_int(&j, "dev", x->dev);
	fence_json_str(&j, "exe", x->path);
	fence_json_int(&j, "ino", (int64_t)x->ino);
	if (sha) {
		hex(sha, 32, text);
		fence_json_str(&j, "sha256", text);
		fence_json_int(&j, "size", (int64_t)a->exes->size);
	} else {
		fence_json_str(&j, "unknown", "the file was gone before it could be read");
	}
	agent_row_end(a, &j, "exe");
}

int agent_exes_work(struct agent *a)
{
	struct exe_queue *q = a->exes;
	static uint8_t chunk[65536];
	uint8_t sha[32];
	size_t left = SLICE;
	ssize_t n = 0;
	struct exe *x;

	if (q->done == q->count)
		return 0;
	x = &q->known[q->done % EXES];
	if (q->fd < 0) {
		q->fd = exe_open(x);
		q->size = 0;
		if (q->fd < 0) {
			exe_row(a, x, NULL);
			q->done++;
			return q->done != q->count;
		}
		EVP_DigestInit_ex(q->md, EVP_sha256(), NULL);
	}
	while (left && (n = read(q->fd, chunk, sizeof(chunk))) > 0) {
		EVP_DigestUpdate(q->md, chunk, (size_t)n);
		q->size += (uint64_t)n;
		left = left > (size_t)n ? left - (size_t)n : 0;
	}
	if (n > 0)
		return 1;
	EVP_DigestFinal_ex(q->md, sha, NULL);
	exe_row(a, x, n < 0 ? NULL : sha);
	close(q->fd);
	q->fd = -1;
	q->done++;
	return q->done != q->count;
}

int agent_hash_fd(int fd, uint8_t out[32])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	static uint8_t chunk[65536];
	ssize_t n = -1;

	if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL)) {
		while ((n = read(fd, chunk, sizeof(chunk))) > 0)
			EVP_DigestUpdate(md, chunk, (size_t)n);
		if (!n)
			EVP_DigestFinal_ex(md, out, NULL);
	}
	EVP_MD_CTX_free(md);
	return n ? -EIO : 0;
}
