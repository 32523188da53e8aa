// SPDX-License-Identifier: Apache-2.0
#include "agent/profiles.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "wire/extension.h"

#define COMMAND (64u << 10)
#define PREFS (2u << 20)
#define PREFERENCES (8u << 20)
#define BYTES (64u << 20) /* of all files of one browser */
#define ENTRIES 10000 /* of all its directories */
#define SECONDS 3
#define BLOB (28u << 10) /* bytes of an extension's patterns of one kind */
#define HASHED 16 /* octets of a SHA-256 that an id has, each as two letters */

struct reading {
	const struct scan_out *out;
	struct fence_buf command, home; /* how it was started: arguments, each terminated; HOME */
	uint64_t left; /* bytes */
	unsigned int entries, extensions, addons;
	struct timespec until;
	int more; /* there may be more than was told */
};

/* Where its users' profiles are, by a word of its executable's path; below the home. */
static const struct {
	const char *word, *dir;
} places[] = {
	{ "/chromium", ".config/chromium" },
	{ "/chromium", "snap/chromium/common/chromium" },
	{ "/chrome", ".config/google-chrome" },
	{ "/msedge", ".config/microsoft-edge" },
	{ "/brave", ".config/BraveSoftware/Brave-Browser" },
};

/* Is there time, and room, for another file or entry? */
static int goes_on(struct reading *r)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!r->left || r->entries >= ENTRIES || now.tv_sec > r->until.tv_sec)
		r->more = 1;
	return !r->more;
}

/* A whole file of the profile; one that is not read for its size may have had more in it. */
static int file_read(struct reading *r, struct fence_buf *b, const char *path, size_t limit)
{
	struct stat st;
	AUTO_FD int fd = goes_on(r) ? fence_path_regular(path, &st) : -EFBIG;
	char chunk[16384];
	ssize_t n = 0;

	if (fd < 0)
		return fd;
	limit = limit < r->left ? limit : r->left;
	while (b->len <= limit && (n = read(fd, chunk, sizeof(chunk))) > 0)
		fence_buf_add(b, chunk, (size_t)n);
	r->left -= b->len < r->left ? b->len : r->left;
	if (n <= 0 && !b->failed)
		return n ? -EIO : 0;
	r->more = 1;
	return -EFBIG;
}

/* SHA-256 in letters a to p: of an unpacked extension's path, or of its key. */
static void id_of(const void *data, size_t len, char out[PROFILES_ID + 1])
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
	out[PROFILES_ID] = 0;
}

static void id_of_key(const struct fence_buf *key, char out[PROFILES_ID + 1])
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

/* As many whole patterns as there is room for. */
static size_t fits(struct reading *r, const struct fence_buf *list)
{
	size_t n = list->len;

	if (n <= BLOB)
		return n;
	r->more = 1;
	for (n = BLOB; n && list->data[n - 1]; n--)
		;
	return n;
}

/* One by its manifest; `id` NULL: it is not packed, and stands in `dir`. */
static void add_manifest(struct reading *r, const char *text, size_t len, const char *id,
			 const char *dir)
{
	AUTO_BUF struct fence_buf part = { 0 };
	char own[PROFILES_ID + 1] = "", kind = PROFILES_EXTENSION;
	struct fence_extension e;
	size_t hosts, scripts;

	if (fence_wire_extension(text, len, &e))
		return;
	if (id)
		snprintf(own, sizeof(own), "%s", id);
	else if (e.key.len)
		id_of_key(&e.key, own);
	else
		id_of(dir, strlen(dir), own);
	hosts = fits(r, &e.hosts);
	scripts = fits(r, &e.scripts);
	fence_buf_add(&part, &kind, 1);
	fence_buf_add(&part, own, strlen(own) + 1);
	fence_buf_printf(&part, "%zu", hosts);
	fence_buf_add(&part, "", 1);
	fence_buf_add(&part, e.hosts.data, hosts);
	fence_buf_add(&part, e.scripts.data, scripts);
	fence_wire_extension_done(&e);
	/* several are one extension's: its versions, and what the profile says */
	if (r->extensions++ >= 4 * PROFILES_MOST || part.failed ||
	    scan_part(r->out, part.data, (uint32_t)part.len))
		r->more = 1;
}

/* ... in `dir`. */
static void add(struct reading *r, const char *dir, const char *id)
{
	AUTO_BUF struct fence_buf text = { 0 };
	char path[1024];

	if (snprintf(path, sizeof(path), "%s/manifest.json", dir) < (int)sizeof(path) &&
	    !file_read(r, &text, path, FENCE_EXTENSION_BYTES))
		add_manifest(r, fence_buf_text(&text), text.len, id, dir);
}

static void on_installed(void *ctx, const char *id, const char *dir, const char *manifest)
{
	if (strlen(id) == PROFILES_ID && dir)
		add(ctx, dir, id);
	if (strlen(id) == PROFILES_ID && manifest)
		add_manifest(ctx, manifest, strlen(manifest), id, NULL);
}

/* Every directory in `path` to `each`. */
static void in_dir(struct reading *r, const char *path,
		   void (*each)(struct reading *r, const char *path, const char *name))
{
	DIR *d = opendir(path);
	struct dirent *e;
	char sub[768];

	while (d && (e = readdir(d)) && goes_on(r)) {
		r->entries++;
		if (e->d_name[0] != '.' &&
		    snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub))
			each(r, sub, e->d_name);
	}
	if (d)
		closedir(d);
}

static void on_version(struct reading *r, const char *path, const char *name)
{
	const char *end = path + strlen(path) - strlen(name) - 1, *id = end - PROFILES_ID;
	char text[PROFILES_ID + 1];

	snprintf(text, sizeof(text), "%.*s", PROFILES_ID, id);
	add(r, path, text);
}

static void on_id(struct reading *r, const char *path, const char *name)
{
	if (strspn(name, "abcdefghijklmnop") == PROFILES_ID && !name[PROFILES_ID])
		in_dir(r, path, on_version);
}

static void on_profile(struct reading *r, const char *path, const char *name)
{
	static const char *const lists[] = { "Secure Preferences", "Preferences" };
	char sub[768];
	size_t i;

	if (strcmp(name, "Default") && strncmp(name, "Profile ", 8))
		return;
	if (snprintf(sub, sizeof(sub), "%s/Extensions", path) < (int)sizeof(sub))
		in_dir(r, sub, on_id);
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		AUTO_BUF struct fence_buf text = { 0 };

		if (snprintf(sub, sizeof(sub), "%s/%s", path, lists[i]) < (int)sizeof(sub) &&
		    !file_read(r, &text, sub, PREFERENCES))
			fence_wire_installed(fence_buf_text(&text), text.len, on_installed, r);
	}
}

/* The value of the last --name=value, or --name value, among the arguments that has one; NULL. */
static const char *argument(const struct reading *r, const char *name)
{
	const char *p = fence_buf_text(&r->command), *end = p + r->command.len, *found = NULL;
	size_t n = strlen(name);

	for (; p < end; p += strlen(p) + 1)
		if (!strncmp(p, name, n) && (p[n] == '=' || !p[n]) && p + n + 1 < end && p[n + 1])
			found = p + n + 1;
	return found;
}

static void unpacked(struct reading *r)
{
	const char *p = argument(r, "--load-extension");
	char dir[768];

	while (p && *p) {
		size_t n = strcspn(p, ",");

		if (n < sizeof(dir)) {
			snprintf(dir, sizeof(dir), "%.*s", (int)n, p);
			add(r, dir, NULL);
		}
		p += n + (p[n] == ',');
	}
}

static void chromium(struct reading *r)
{
	const char *dir = argument(r, "--user-data-dir"), *exe = fence_buf_text(&r->command);
	char path[512];
	size_t i;

	unpacked(r);
	if (dir)
		in_dir(r, dir, on_profile);
	for (i = 0; !dir && i < ARRAY_SIZE(places); i++)
		if (r->home.len && strstr(exe, places[i].word)) {
			snprintf(path, sizeof(path), "%s/%s", fence_buf_text(&r->home),
				 places[i].dir);
			in_dir(r, path, on_profile);
		}
}

/* ---- Firefox ---- */

static void on_addon(void *ctx, const char *id, const char *uuid)
{
	struct reading *r = ctx;
	char part[256];
	int n;

	if (strlen(id) >= FENCE_ADDON_MAX || strlen(uuid) >= FENCE_ADDON_MAX)
		return;
	n = snprintf(part, sizeof(part), "%c%s%c%s", PROFILES_ADDON, id, 0, uuid);
	if (r->addons++ >= 4 * PROFILES_MOST || scan_part(r->out, part, (uint32_t)n + 1))
		r->more = 1;
}

static void on_prefs(struct reading *r, const char *dir, const char *name)
{
	AUTO_BUF struct fence_buf text = { 0 };
	char path[1024];

	(void)name;
	if (snprintf(path, sizeof(path), "%s/prefs.js", dir) < (int)sizeof(path) &&
	    !file_read(r, &text, path, PREFS))
		fence_wire_addons(fence_buf_text(&text), on_addon, r);
}

/* prefs.js of the profile that it was started with, or of all that its user has. */
static void firefox(struct reading *r)
{
	const char *dir = argument(r, "--profile");
	char path[768];

	dir = dir ? dir : argument(r, "-profile");
	if (dir) {
		on_prefs(r, dir, NULL);
		return;
	}
	snprintf(path, sizeof(path), "%s/.mozilla/firefox", fence_buf_text(&r->home));
	if (r->home.len)
		in_dir(r, path, on_prefs);
}

/* Chromium's arguments are its network process's parent's; Firefox connects by itself. */
static void started(struct reading *r, const struct scan_question *q)
{
	AUTO_BUF struct fence_buf setting = { 0 };
	const char *p, *end;
	char path[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(q->tgid); i++) {
		AUTO_BUF struct fence_buf text = { 0 };

		snprintf(path, sizeof(path), "/proc/%u/cmdline", q->tgid[i]);
		if (q->tgid[i] && !fence_buf_read_file(&text, path, COMMAND))
			fence_buf_add(&r->command, fence_buf_text(&text), text.len);
	}
	snprintf(path, sizeof(path), "/proc/%u/environ", q->tgid[0]);
	fence_buf_read_file(&setting, path, COMMAND);
	for (p = fence_buf_text(&setting), end = p + setting.len; p < end; p += strlen(p) + 1)
		if (!strncmp(p, "HOME=/", 6) && !r->home.len)
			fence_buf_str(&r->home, p + 5);
}

int profiles_read(const struct scan_question *q, const struct scan_out *o)
{
	struct reading r = { .out = o, .left = BYTES };

	clock_gettime(CLOCK_MONOTONIC, &r.until);
	r.until.tv_sec += SECONDS;
	started(&r, q);
	chromium(&r);
	firefox(&r);
	fence_buf_done(&r.command);
	fence_buf_done(&r.home);
	return r.more ? -EOVERFLOW : 0;
}
