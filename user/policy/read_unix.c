// SPDX-License-Identifier: Apache-2.0
/* $.tools[].unix: which Unix sockets a session may reach. */
#include "base/cleanup.h"
#include "base/path.h"
#include "policy/read.h"

int fence_unix_resolves(const char *path)
{
	static const char *const below[] = { "/run/nscd/", "/run/systemd/resolve/",
					     "/var/run/nscd/", "/var/run/systemd/resolve/" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(below); i++)
		if (!strncmp(path, below[i], strlen(below[i])))
			return 1;
	return 0;
}

static int check_path(struct reader *r, const char *sub, const struct fence_policy_unix *u)
{
	const char *path = u->path[0] == '@' ? u->path + 1 : u->path;

	if (fence_unix_resolves(path))
		return REFUSE(r, sub,
			      "resolves any name, and a question can carry data out; leave it "
			      "out: the C library then asks the resolver");
	if (u->path[0] != '@' &&
	    ((path[0] != '/' && strncmp(path, "%t/", 3)) || !fence_path_is_plain(path)))
		return REFUSE(r, sub,
			      "must be an absolute path without \"//\", \"/./\" or \"/../\", or "
			      "begin with %%t/ (a user's runtime directory) or @ (abstract)");
	if (!u->owner[0] && (strncmp(path, "/run/", 5) || !strncmp(path, "/run/user/", 10)))
		return REFUSE(r, sub,
			      "a session's user could put a socket of his own there; say who "
			      "listens, { \"path\": ..., \"owner\": \"/usr/bin/...\" }, or use a "
			      "path below /run, and not /run/user");
	return 0;
}

static int read_unproved(struct reader *r, const cJSON *v, const char *path, int *unproved)
{
	const cJSON *k = cJSON_GetObjectItemCaseSensitive(v, "unproved");
	char sub[128];

	snprintf(sub, sizeof(sub), "%s.unproved", path);
	*unproved = 0;
	return k ? fence_read_bool(r, k, sub, unproved) : 0;
}

/* A service of the system: a user's own units are his to name. */
static int read_unit(struct reader *r, const cJSON *v, const char *path,
		     struct fence_policy_unix *u)
{
	int err = fence_read_str(r, v, path, u->owner, sizeof(u->owner));
	size_t n = strlen(u->owner);

	if (err >= 0 && (strchr(u->owner, '/') || n <= 8 || strcmp(u->owner + n - 8, ".service")))
		return REFUSE(r, path,
			      "must be a service of system.slice by its full name, such as "
			      "\"assistant-helper.service\"");
	return err;
}

/* The group of that name: 1, and the tool has it. 0: there is none. */
static int take_group(struct fence_policy_tool *t, const char *name, int unproved)
{
	const struct fence_unix_group *g;
	size_t i;

	for (i = 0; (g = fence_unix_group(i)); i++)
		if (!strcmp(g->name, name)) {
			t->unix_groups |= 1u << i;
			t->unix_unproved |= (unsigned int)unproved << i;
			return 1;
		}
	return 0;
}

static int refuse_group(struct reader *r, const char *path, const char *name)
{
	size_t n = 0;
	const char *near = fence_read_near(name, ",display,audio,session-bus,", &n);

	if (near)
		return REFUSE(r, path, "did you mean \"%.*s\"?", (int)n, near);
	return REFUSE(r, path, "must be a path, or one of the groups display, audio, session-bus");
}

/* { "group": ..., "unproved": true } */
static int read_group(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_tool *t)
{
	char sub[128], name[32];
	int unproved = 0, err = fence_read_keys(r, v, path, ",group,unproved,");

	snprintf(sub, sizeof(sub), "%s.group", path);
	if (err >= 0)
		err = fence_read_str(r, cJSON_GetObjectItemCaseSensitive(v, "group"), sub, name,
				     sizeof(name));
	if (err >= 0)
		err = read_unproved(r, v, path, &unproved);
	if (err >= 0 && !take_group(t, name, unproved))
		return refuse_group(r, sub, name);
	return err;
}

static int read_owned(struct reader *r, const cJSON *v, const char *path,
		      struct fence_policy_unix *u)
{
	char sub[128];
	const cJSON *unit = cJSON_GetObjectItemCaseSensitive(v, "unit");
	const cJSON *owner = cJSON_GetObjectItemCaseSensitive(v, "owner");
	int err = fence_read_keys(r, v, path, ",path,owner,unit,unproved,");

	snprintf(sub, sizeof(sub), "%s.path", path);
	if (err >= 0)
		err = fence_read_str(r, cJSON_GetObjectItemCaseSensitive(v, "path"), sub, u->path,
				     sizeof(u->path));
	if (err >= 0)
		err = read_unproved(r, v, path, &u->unproved);
	if (err >= 0 && (owner ? unit != NULL : !unit && !u->unproved))
		return REFUSE(r, path,
			      "needs \"path\" and exactly one of owner, unit; or, below /run, "
			      "\"unproved\": true");
	snprintf(sub, sizeof(sub), "%s.%s", path, unit ? "unit" : "owner");
	if (err >= 0 && unit)
		err = read_unit(r, unit, sub, u);
	else if (err >= 0 && owner)
		err = fence_read_exe(r, owner, sub, u->owner, sizeof(u->owner));
	snprintf(sub, sizeof(sub), "%s.path", path);
	return err < 0 ? err : check_path(r, sub, u);
}

/* The name of a group, or a path where none but root can listen. */
static int read_text(struct reader *r, const cJSON *v, const char *path,
		     struct fence_policy_tool *t)
{
	struct fence_policy_unix *u = &t->unix_peers[t->nunix];
	int err = fence_read_str(r, v, path, u->path, sizeof(u->path));

	if (err < 0)
		return err;
	if (take_group(t, u->path, 0))
		return 0;
	if (!strchr("/%@", u->path[0]))
		return refuse_group(r, path, u->path);
	err = check_path(r, path, u);
	t->nunix += err >= 0;
	return err;
}

int fence_read_unix(struct reader *r, const cJSON *v, const char *path, struct fence_policy_tool *t)
{
	const cJSON *e;
	char sub[112];
	size_t i = 0;

	if (fence_read_list(r, v, path, FENCE_POLICY_UNIX) < 0)
		return -EINVAL;
	cJSON_ArrayForEach (e, v) {
		snprintf(sub, sizeof(sub), "%s[%zu]", path, i++);
		if (!cJSON_IsObject(e))
			read_text(r, e, sub, t);
		else if (cJSON_GetObjectItemCaseSensitive(e, "group"))
			read_group(r, e, sub, t);
		else
			t->nunix += read_owned(r, e, sub, &t->unix_peers[t->nunix]) >= 0;
	}
	return 0;
}
