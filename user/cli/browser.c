// SPDX-License-Identifier: Apache-2.0
/*
 * policy browser: the managed policy of each browser, from ours; --install puts it where the
 * browser looks, --remove takes just that away. doctor asks whether what is there is what it should
 * be.
 */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "policy/browser.h"
#include "wire/native.h"

#define POLICY_BYTES (1u << 20)

struct native_hosts {
	char names[FENCE_BROWSER_HOSTS][128];
	size_t count;
};

static void path_of(char *out, size_t size, const char *root, const char *dir, const char *file)
{
	snprintf(out, size, "%s%s%s%s", root, dir, *file ? "/" : "", file);
}

/* In the order of their names, so that the same machine gives the same text. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_json(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 5 && !strcmp(e->d_name + n - 5, ".json");
}

/*
 * May a browser go on to start it? Not for a listed extension whose hosts no tool recognises: such
 * a host would run unconfined. Users' own manifests do not count: they are off.
 */
static int wanted(const struct fence_policy *p, const char *path, struct fence_native *m)
{
	AUTO_BUF struct fence_buf b = { 0 };
	size_t i;

	if (fence_buf_read_file(&b, path, FENCE_NATIVE_BYTES) < 0 ||
	    fence_wire_native(fence_buf_text(&b), b.len, m))
		return 0;
	for (i = 0; i < p->nextensions; i++)
		if (fence_wire_native_for(m, p->extensions[i]) &&
		    !fence_policy_native(p, p->extensions[i]))
			return 0;
	return 1;
}

static void find_hosts(const struct fence_policy *p, const struct fence_browser *b,
		       const char *root, struct native_hosts *hosts)
{
	struct dirent **list = NULL;
	struct fence_native m;
	char path[512];
	int i, n;

	hosts->count = 0;
	path_of(path, sizeof(path), root, b->hosts ? b->hosts : "", "");
	n = b->hosts ? scandir(path, &list, is_json, by_name) : 0;
	for (i = 0; i < n; i++) {
		path_of(path, sizeof(path), root, b->hosts, list[i]->d_name);
		if (hosts->count < FENCE_BROWSER_HOSTS && wanted(p, path, &m))
			memcpy(hosts->names[hosts->count++], m.name, sizeof(m.name));
		free(list[i]);
	}
	free(list);
}

static char *text_of(const struct fence_policy *p, const struct fence_browser *b, const char *root)
{
	struct native_hosts hosts;

	find_hosts(p, b, root, &hosts);
	return fence_policy_browser(p, b, (const char(*)[128])hosts.names, hosts.count);
}

static int is_there(const struct fence_browser *b, const char *root)
{
	char path[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(b->programs) && b->programs[i]; i++) {
		path_of(path, sizeof(path), root, b->programs[i], "");
		if (!access(path, F_OK))
			return 1;
	}
	return 0;
}

static cJSON *read_json(const char *path)
{
	AUTO_BUF struct fence_buf b = { 0 };

	if (fence_buf_read_file(&b, path, POLICY_BYTES) < 0)
		return NULL;
	return cJSON_ParseWithLength(fence_buf_text(&b), b.len);
}

/* Every directory on the way. */
static int make_dirs(const char *dir)
{
	char path[520], *p;

	snprintf(path, sizeof(path), "%s/", dir);
	for (p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

/* Whole or not at all. */
static int write_file(const char *path, const char *text)
{
	char fresh[520];
	size_t n = strlen(text);
	int fd, err = 0;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n || write(fd, "\n", 1) != 1 || fsync(fd))
		err = errno ? -errno : -EIO;
	close(fd);
	if (!err && rename(fresh, path))
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

static int cannot(const char *path, int err)
{
	fprintf(stderr, "crmfence: %s: %s; run as root\n", path, strerror(-err));
	return 2;
}

static int install(const struct fence_policy *p, const struct fence_browser *b, const char *root)
{
	AUTO_FREE char *text = text_of(p, b, root);
	char dir[512], path[512];
	cJSON *have, *want;
	int err, same;

	path_of(dir, sizeof(dir), root, b->dir, "");
	path_of(path, sizeof(path), root, b->dir, b->file);
	if (!text)
		return cannot(path, -ENOMEM);
	have = read_json(path);
	want = cJSON_Parse(text);
	same = have && cJSON_Compare(have, want, 1);
	cJSON_Delete(have);
	cJSON_Delete(want);
	/* Firefox has one file for everybody's policies; it may be somebody else's */
	if (!b->hosts && !same && !access(path, F_OK)) {
		fprintf(stderr,
			"crmfence: %s is there already and %s reads no other; add to it what "
			"`crmfence policy browser FILE --browser %s` prints\n",
			path, b->name, b->name);
		return 2;
	}
	err = make_dirs(dir);
	if (!err)
		err = write_file(path, text);
	if (err)
		return cannot(path, err);
	printf("wrote %s; a running %s takes it over within minutes, or at its next start\n", path,
	       b->name);
	return 0;
}

static int take_away(const struct fence_policy *p, const struct fence_browser *b, const char *root)
{
	AUTO_FREE char *text = text_of(p, b, root);
	char path[512];
	cJSON *have, *want;
	int same;

	path_of(path, sizeof(path), root, b->dir, b->file);
	if (access(path, F_OK))
		return 0;
	have = read_json(path);
	want = text ? cJSON_Parse(text) : NULL;
	same = have && want && cJSON_Compare(have, want, 1);
	cJSON_Delete(have);
	cJSON_Delete(want);
	if (!b->hosts && !same) {
		fprintf(stderr, "crmfence: %s holds more than ours; take ours out by hand\n", path);
		return 2;
	}
	if (unlink(path))
		return cannot(path, -errno);
	printf("removed %s\n", path);
	return 0;
}

static const struct fence_browser *by_word(const char *name)
{
	const struct fence_browser *b;
	size_t i;

	for (i = 0; (b = fence_browser(i)) && strcmp(b->name, name); i++)
		;
	return b;
}

int cli_policy_browser(const struct fence_policy *p, int argc, char **argv)
{
	static const struct option longs[] = { { "browser", 1, NULL, 'b' },
					       { "root", 1, NULL, 'r' },
					       { "install", 0, NULL, 'i' },
					       { "remove", 0, NULL, 'd' },
					       { NULL, 0, NULL, 0 } };
	const struct fence_browser *b = NULL, *one = NULL;
	const char *root = "";
	int c, act = 'p', worst = 0, r, done = 0;
	size_t i;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'b')
			one = by_word(optarg);
		else if (c == 'r')
			root = optarg;
		else if (c == 'i' || c == 'd')
			act = c;
		if (c == '?' || (c == 'b' && !one))
			return -EINVAL;
	}
	if (optind < argc)
		return -EINVAL;
	if (act == 'p') {
		AUTO_FREE char *text = text_of(p, one ? one : fence_browser(0), root);

		puts(text ? text : "");
		return text ? 0 : 2;
	}
	for (i = 0; (b = fence_browser(i)); i++) {
		if (one ? b != one : act == 'i' && !is_there(b, root))
			continue;
		r = act == 'i' ? install(p, b, root) : take_away(p, b, root);
		worst = r > worst ? r : worst;
		done = 1;
	}
	if (!done)
		fprintf(stderr, "crmfence: none of chromium, chrome, edge, firefox is installed; "
				"name one with --browser\n");
	return done ? worst : 2;
}

/* What another file of the directory says of a key of ours. */
static void against(cJSON *want, const char *path, const struct fence_browser *b, cli_drift *each,
		    void *ctx)
{
	cJSON *other = read_json(path);
	const cJSON *v, *o;
	char text[700];

	cJSON_ArrayForEach (v, want) {
		o = cJSON_GetObjectItemCaseSensitive(other, v->string);
		if (!o || cJSON_Compare(o, v, 1))
			continue;
		snprintf(text, sizeof(text), "%s says otherwise of %s; a browser takes either",
			 path, v->string);
		each(ctx, b->name, text, "take the key out of that file");
	}
	cJSON_Delete(other);
}

static void drift(const struct fence_policy *p, const struct fence_browser *b, const char *root,
		  cli_drift *each, void *ctx)
{
	AUTO_FREE char *text = text_of(p, b, root);
	cJSON *want = text ? cJSON_Parse(text) : NULL, *have;
	struct dirent **list = NULL;
	char path[512], why[700];
	int i, n;

	path_of(path, sizeof(path), root, b->dir, b->file);
	have = read_json(path);
	if (!have || !cJSON_Compare(have, want, 1)) {
		snprintf(why, sizeof(why),
			 have ? "%s is not what the policy makes of it"
			      : "%s is not there: QUIC, encrypted names, DNS over "
				"HTTPS and native messaging are as the user likes",
			 path);
		each(ctx, b->name, why, "crmfence policy browser FILE --install");
	}
	path_of(path, sizeof(path), root, b->dir, "");
	n = b->hosts ? scandir(path, &list, is_json, by_name) : 0;
	for (i = 0; i < n; i++) {
		path_of(path, sizeof(path), root, b->dir, list[i]->d_name);
		if (strcmp(list[i]->d_name, b->file))
			against(want, path, b, each, ctx);
		free(list[i]);
	}
	free(list);
	cJSON_Delete(have);
	cJSON_Delete(want);
}

void cli_browser_drift(const struct fence_policy *p, const char *root, cli_drift *each, void *ctx)
{
	const struct fence_browser *b;
	size_t i;

	if (!p->nextensions) /* no browser of this policy's has to be anything */
		return;
	for (i = 0; (b = fence_browser(i)); i++)
		if (is_there(b, root))
			drift(p, b, root, each, ctx);
}
