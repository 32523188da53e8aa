// SPDX-License-Identifier: Apache-2.0
/*
 * What a watched browser has installed: where a request's headers do not say which extension made
 * it, its hosts narrow it down; what runs scripts in pages is told where a page asks. Of the
 * browser's own files, which its user may write: evidence for people. What is decided by it is that
 * a request which nobody but a listed extension can have made ends its connection.
 */
#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sight.h"
#include "base/cleanup.h"
#include "wire/extension.h"

#define COMMAND (64u << 10)
#define PREFS (2u << 20)
#define PREFERENCES (8u << 20)
#define HASHED 16 /* octets of a SHA-256 that an id has, each as two letters */

struct installed {
	char id[ID_LETTERS + 1];
	struct fence_extension e;
};

struct sight_browser {
	uint64_t session, looked;
	uint32_t tgid; /* that was asked about */
	struct fence_buf command, home; /* how it was started: arguments, each terminated; HOME */
	struct installed list[SIGHT_INSTALLED];
	size_t n;
};

/* Where its users' profiles are, by a word of its executable's path; below the home. */
static const struct {
	const char *word, *dir;
} profiles[] = {
	{ "/chromium", ".config/chromium" },
	{ "/chromium", "snap/chromium/common/chromium" },
	{ "/chrome", ".config/google-chrome" },
	{ "/msedge", ".config/microsoft-edge" },
	{ "/brave", ".config/BraveSoftware/Brave-Browser" },
};

static void forget(struct sight_browser *b)
{
	while (b->n)
		fence_wire_extension_done(&b->list[--b->n].e);
}

void sight_browsers_done(struct sight *s)
{
	size_t i;

	for (i = 0; i < SIGHT_BROWSERS; i++) {
		if (!s->browsers[i])
			continue;
		forget(s->browsers[i]);
		fence_buf_done(&s->browsers[i]->command);
		fence_buf_done(&s->browsers[i]->home);
		free(s->browsers[i]);
		s->browsers[i] = NULL;
	}
}

/* SHA-256 in letters a to p: of an unpacked extension's path, or of its key. */
static void id_of(const void *data, size_t len, char out[ID_LETTERS + 1])
{
	uint8_t sha[EVP_MAX_MD_SIZE];
	size_t i;

	out[0] = 0;
	if (!EVP_Digest(data, len, sha, NULL, EVP_sha256(), NULL))
		return;
	for (i = 0; i < HASHED; i++) {
		out[2 * i] = (char)('a' + (sha[i] >> 4));
		out[2 * i + 1] = (char)('a' + (sha[i] & 15));
	}
	out[ID_LETTERS] = 0;
}

static void id_of_key(const struct fence_buf *key, char out[ID_LETTERS + 1])
{
	uint8_t *raw = malloc(key->len + 4);
	int n = raw ? EVP_DecodeBlock(raw, (const uint8_t *)key->data, (int)key->len) : -1;
	size_t pad = 0;

	while (pad < 2 && pad < key->len && key->data[key->len - 1 - pad] == '=')
		pad++;
	if (n > (int)pad)
		id_of(raw, (size_t)n - pad, out);
	free(raw);
}

static struct installed *find(struct sight_browser *b, const char *id)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (!strcmp(b->list[i].id, id))
			return &b->list[i];
	return NULL;
}

/*
 * One by its manifest; `id` NULL: it is not packed, and stands in `dir`. Of several that one has
 * (versions, and what the profile says) all count.
 */
static void add_manifest(struct sight_browser *b, const char *text, size_t len, const char *id,
			 const char *dir)
{
	struct installed x = { 0 }, *known;

	if (fence_wire_extension(text, len, &x.e))
		return;
	if (id)
		snprintf(x.id, sizeof(x.id), "%s", id);
	else if (x.e.key.len)
		id_of_key(&x.e.key, x.id);
	else
		id_of(dir, strlen(dir), x.id);
	known = find(b, x.id);
	if (!known && b->n < SIGHT_INSTALLED) {
		b->list[b->n++] = x;
		return;
	}
	if (known) {
		fence_buf_add(&known->e.hosts, x.e.hosts.data, x.e.hosts.len);
		fence_buf_add(&known->e.scripts, x.e.scripts.data, x.e.scripts.len);
	}
	fence_wire_extension_done(&x.e);
}

/* ... in `dir`. */
static void add(struct sight_browser *b, const char *dir, const char *id)
{
	AUTO_BUF struct fence_buf text = { 0 };
	char path[1024];

	if (snprintf(path, sizeof(path), "%s/manifest.json", dir) < (int)sizeof(path) &&
	    !fence_buf_read_file(&text, path, FENCE_EXTENSION_BYTES))
		add_manifest(b, fence_buf_text(&text), text.len, id, dir);
}

static void on_installed(void *ctx, const char *id, const char *dir, const char *manifest)
{
	if (strlen(id) == ID_LETTERS && dir)
		add(ctx, dir, id);
	if (strlen(id) == ID_LETTERS && manifest)
		add_manifest(ctx, manifest, strlen(manifest), id, NULL);
}

/* Every directory in `path` to `each`. */
static void in_dir(struct sight_browser *b, const char *path,
		   void (*each)(struct sight_browser *b, const char *path, const char *name))
{
	DIR *d = opendir(path);
	struct dirent *e;
	char sub[768];

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub))
			each(b, sub, e->d_name);
	if (d)
		closedir(d);
}

static void on_version(struct sight_browser *b, const char *path, const char *name)
{
	const char *end = path + strlen(path) - strlen(name) - 1, *id = end - ID_LETTERS;
	char text[ID_LETTERS + 1];

	snprintf(text, sizeof(text), "%.*s", ID_LETTERS, id);
	add(b, path, text);
}

static void on_id(struct sight_browser *b, const char *path, const char *name)
{
	if (strspn(name, "abcdefghijklmnop") == ID_LETTERS && !name[ID_LETTERS])
		in_dir(b, path, on_version);
}

static void on_profile(struct sight_browser *b, const char *path, const char *name)
{
	static const char *const lists[] = { "Secure Preferences", "Preferences" };
	char sub[768];
	size_t i;

	if (strcmp(name, "Default") && strncmp(name, "Profile ", 8))
		return;
	if (snprintf(sub, sizeof(sub), "%s/Extensions", path) < (int)sizeof(sub))
		in_dir(b, sub, on_id);
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		AUTO_BUF struct fence_buf text = { 0 };

		if (snprintf(sub, sizeof(sub), "%s/%s", path, lists[i]) < (int)sizeof(sub) &&
		    !fence_buf_read_file(&text, sub, PREFERENCES))
			fence_wire_installed(fence_buf_text(&text), text.len, on_installed, b);
	}
}

/* The value of the last --name=value, or --name value, among the arguments that has one; NULL. */
static const char *argument(const struct sight_browser *b, const char *name)
{
	const char *p = fence_buf_text(&b->command), *end = p + b->command.len, *found = NULL;
	size_t n = strlen(name);

	for (; p < end; p += strlen(p) + 1)
		if (!strncmp(p, name, n) && (p[n] == '=' || !p[n]) && p + n + 1 < end && p[n + 1])
			found = p + n + 1;
	return found;
}

static void unpacked(struct sight_browser *b)
{
	const char *p = argument(b, "--load-extension");
	char dir[768];

	while (p && *p) {
		size_t n = strcspn(p, ",");

		if (n < sizeof(dir)) {
			snprintf(dir, sizeof(dir), "%.*s", (int)n, p);
			add(b, dir, NULL);
		}
		p += n + (p[n] == ',');
	}
}

static void look(struct sight_browser *b)
{
	const char *dir = argument(b, "--user-data-dir"), *exe = fence_buf_text(&b->command);
	char path[512];
	size_t i;

	forget(b);
	unpacked(b);
	if (dir)
		in_dir(b, dir, on_profile);
	for (i = 0; !dir && i < ARRAY_SIZE(profiles); i++)
		if (b->home.len && strstr(exe, profiles[i].word)) {
			snprintf(path, sizeof(path), "%s/%s", fence_buf_text(&b->home),
				 profiles[i].dir);
			in_dir(b, path, on_profile);
		}
}

static struct sight_browser *slot(struct sight *s, uint64_t session)
{
	struct sight_browser **oldest = &s->browsers[0];
	size_t i;

	for (i = 0; i < SIGHT_BROWSERS; i++) {
		if (!s->browsers[i]) {
			s->browsers[i] = calloc(1, sizeof(**s->browsers));
			return s->browsers[i];
		}
		if (s->browsers[i]->session == session)
			return s->browsers[i];
		if (s->browsers[i]->looked < (*oldest)->looked)
			oldest = &s->browsers[i];
	}
	return *oldest;
}

static void arguments(struct sight_browser *b, uint32_t tgid)
{
	AUTO_BUF struct fence_buf text = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/cmdline", tgid);
	if (tgid && !fence_buf_read_file(&text, path, COMMAND))
		fence_buf_add(&b->command, fence_buf_text(&text), text.len);
}

/* Chromium's arguments are its network process's parent's; Firefox connects by itself. */
static void started(struct sight_browser *b, struct agent *a, uint32_t tgid,
		    const struct agent_session *session)
{
	AUTO_BUF struct fence_buf setting = { 0 };
	const char *p, *end;
	struct fence_proc k;
	char path[64];

	b->session = session->id;
	b->tgid = tgid;
	fence_buf_reset(&b->command);
	fence_buf_reset(&b->home);
	arguments(b, tgid);
	arguments(b, fence_kernel_get(a->kernel, FENCE_MAP_PROCS, &tgid, &k) ? 0 : k.parent);
	arguments(b, session->tgid);
	snprintf(path, sizeof(path), "/proc/%u/environ", tgid);
	fence_buf_read_file(&setting, path, COMMAND);
	for (p = fence_buf_text(&setting), end = p + setting.len; p < end; p += strlen(p) + 1)
		if (!strncmp(p, "HOME=/", 6) && !b->home.len)
			fence_buf_str(&b->home, p + 5);
}

static struct sight_browser *browser(struct agent *a, uint32_t tgid, uint64_t id)
{
	const struct agent_session *session = agent_session_find(a, id);
	struct sight_browser *b = session ? slot(a->sight, id) : NULL;

	if (!b || (b->session == id && b->tgid == tgid && a->now < b->looked + FENCE_SOLE_NS))
		return b;
	if (b->session != id || b->tgid != tgid)
		started(b, a, tgid, session);
	b->looked = a->now;
	look(b);
	return b;
}

size_t sight_candidates(const struct sight_conn *c, const char *host, int scripts,
			const char *ids[SIGHT_CANDIDATES])
{
	const struct sight_browser *b = browser(c->agent, c->tgid, c->session);
	size_t i, n = 0;

	for (i = 0; b && i < b->n && n < SIGHT_CANDIDATES; i++)
		if (fence_wire_covers(scripts ? &b->list[i].e.scripts : &b->list[i].e.hosts, host))
			ids[n++] = b->list[i].id;
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
	const struct sight_browser *b = browser(c->agent, c->tgid, c->session);
	size_t i, n = 0, listed = 0;

	if (!b || b->n == SIGHT_INSTALLED) /* there may be more */
		return 0;
	for (i = 0; i < b->n; i++) {
		if (!fence_wire_covers(&b->list[i].e.hosts, host))
			continue;
		n++;
		listed += is_listed(c->agent->policy, b->list[i].id);
		*id = b->list[i].id;
	}
	if (n != 1)
		*id = NULL;
	return n && listed == n;
}

/* ---- Firefox ---- */

struct sought {
	struct agent *a;
	const char *uuid; /* or NULL */
	char *out;
	int found;
};

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

static void on_addon(void *ctx, const char *id, const char *uuid)
{
	struct sought *s = ctx;

	hold(s->a, id, uuid);
	if (!s->uuid || strcmp(uuid, s->uuid) || strlen(id) >= FENCE_ADDON_MAX)
		return;
	memcpy(s->out, id, strlen(id) + 1);
	s->found = 1;
}

static void prefs(struct sought *s, const char *dir)
{
	AUTO_BUF struct fence_buf text = { 0 };
	char path[768];

	if (snprintf(path, sizeof(path), "%s/prefs.js", dir) < (int)sizeof(path) &&
	    !fence_buf_read_file(&text, path, PREFS))
		fence_wire_addons(fence_buf_text(&text), on_addon, s);
}

/* prefs.js of the profile that it was started with, or of all that its user has. */
static void profile(struct sought *s, const struct sight_browser *b)
{
	const char *dir = argument(b, "--profile");
	char path[768], sub[768];
	struct dirent *e;
	DIR *d;

	dir = dir ? dir : argument(b, "-profile");
	if (dir) {
		prefs(s, dir);
		return;
	}
	snprintf(path, sizeof(path), "%s/.mozilla/firefox", fence_buf_text(&b->home));
	d = b->home.len ? opendir(path) : NULL;
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub))
			prefs(s, sub);
	if (d)
		closedir(d);
}

int sight_addon(const struct sight_conn *c, const char *uuid, char out[FENCE_ADDON_MAX])
{
	const struct sight_browser *b = browser(c->agent, c->tgid, c->session);
	struct sought s = { .a = c->agent, .uuid = uuid, .out = out };

	if (b)
		profile(&s, b);
	agent_services_turn(c->agent);
	return s.found ? 0 : -ENOENT;
}

void sight_addons(struct agent *a, uint32_t tgid, uint64_t session)
{
	const struct sight_browser *b = a->policy->naddons ? browser(a, tgid, session) : NULL;
	struct sought s = { .a = a };

	if (b)
		profile(&s, b);
	agent_services_turn(a);
}
