// SPDX-License-Identifier: Apache-2.0
/* Who in a browser asked: an extension, a page, a person; how that is known, and who it may be. */
#include <stdio.h>
#include <string.h>

#include "agent/sight.h"

/* scheme://host[:port], RFC 6454 6.2: anything else may be anything. */
int sight_is_origin(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-+";
	size_t n = strspn(s, letters);

	if (!n || strncmp(s + n, "://", 3))
		return 0;
	s += n + 3;
	n = strspn(s, letters);
	return n && (!s[n] || (s[n] == ':' && s[n + 1 + strspn(s + n + 1, "0123456789")] == 0));
}

/* The extension whose origin this is; an add-on by its id, where its profile tells. 0: none's. */
static int extension_of(const struct sight_conn *c, const char *origin, char out[FENCE_ADDON_MAX])
{
	static const char chromium[] = "chrome-extension://", firefox[] = "moz-extension://";
	const char *id;

	if (!strncmp(origin, chromium, sizeof(chromium) - 1)) {
		id = origin + sizeof(chromium) - 1;
		snprintf(out, FENCE_ADDON_MAX, "%.*s", ID_LETTERS, id);
		return strspn(id, "abcdefghijklmnop") == ID_LETTERS;
	}
	if (strncmp(origin, firefox, sizeof(firefox) - 1) || !sight_is_origin(origin))
		return 0;
	id = origin + sizeof(firefox) - 1;
	if (sight_addon(c, id, out))
		snprintf(out, FENCE_ADDON_MAX, "%s", id);
	return 1;
}

/* No page and no person makes such a request; which extension, its headers do not say. */
static int is_anonymous(const struct fence_exchange *x)
{
	return !strcmp(x->site, "none") && !strcmp(x->mode, "cors") && !strcmp(x->dest, "empty") &&
	       !x->origin[0];
}

/*
 * A browser has sockets of their own for each initiator (Chromium's network anonymization key,
 * Firefox's partitioned network state), so one request whose Origin is an extension's labels its
 * whole connection: the later ones by the label, the earlier ones by the row that says so.
 */
static void label(struct sight_conn *c, const struct fence_exchange *x, const char *host)
{
	struct agent *a = c->agent;
	char id[FENCE_ADDON_MAX];
	const char *sole = NULL;
	struct fence_json j;

	if (!c->extension[0] && is_anonymous(x)) {
		c->listed = (uint8_t)sight_sole(c, host, &sole);
		if (c->listed)
			fence_sight_sole(a->sight->kernel, c->session, agent_names_hash(host),
					 a->now);
		c->by_permissions = !!sole;
		snprintf(c->extension, sizeof(c->extension), "%s", sole ? sole : "");
		return;
	}
	if ((c->extension[0] && !c->by_permissions) || !x->origin[0] ||
	    !extension_of(c, x->origin, id))
		return;
	c->by_permissions = c->listed = 0;
	memcpy(c->extension, id, sizeof(c->extension));
	agent_row(a, &j);
	fence_json_int(&j, "cookie", (int64_t)c->cookie);
	fence_json_id(&j, "exec", c->exec);
	fence_json_str(&j, "extension", c->extension);
	fence_json_int(&j, "pid", c->tgid);
	fence_json_id(&j, "session", c->session);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, c->tool));
	agent_row_end(a, &j, "initiator");
}

const char *sight_initiator(const struct sight_conn *c, const struct fence_exchange *x,
			    const char **by)
{
	*by = NULL;
	if (c->extension[0]) {
		*by = strstr(x->origin, "-extension://") ? "origin"
		      : c->by_permissions		 ? "permissions"
							 : "connection";
		return c->extension;
	}
	if (is_anonymous(x)) {
		*by = "sec-fetch";
		return "unknown";
	}
	return NULL;
}

/* The host of the page that asks, as far as its headers say; NULL. */
static const char *page_of(const struct sight_conn *c, const struct fence_exchange *x,
			   const struct sight_host *h)
{
	if (!strncmp(x->origin, "https://", 8) && sight_is_origin(x->origin))
		return x->origin + 8;
	return !strcmp(x->site, "same-origin") && sight_is_chromium(c) ? h->name : NULL;
}

const char *sight_kind(const struct sight_conn *c, const struct fence_exchange *x, int extension)
{
	if (extension)
		return "extension";
	if (!x->site[0])
		return NULL;
	if (!strcmp(x->mode, "navigate"))
		return "navigation";
	/* Firefox says same-origin of what an add-on asks of a host that it may ask */
	return x->origin[0] || strcmp(x->site, "same-origin") || sight_is_chromium(c) ? "page"
										      : NULL;
}

void sight_put_ids(struct fence_json *j, const char *key, const char *const *ids, size_t n)
{
	size_t i;

	if (!n)
		return;
	fence_json_array(j, key);
	for (i = 0; i < n; i++)
		fence_json_str(j, NULL, ids[i]);
	fence_json_array_end(j);
}

/* A page's request may be a content script's: whose run in that page, once a connection. */
static void page_row(struct sight_conn *c, const char *page)
{
	const char *ids[SIGHT_CANDIDATES];
	struct agent *a = c->agent;
	struct fence_json j;
	char host[256];
	size_t n;

	c->paged = 1;
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(page, ":"), page);
	n = sight_candidates(c, host, 1, 1, ids);
	if (!n)
		return;
	agent_row(a, &j);
	fence_json_int(&j, "cookie", (int64_t)c->cookie);
	fence_json_id(&j, "exec", c->exec);
	sight_put_ids(&j, "injectors", ids, n);
	fence_json_str(&j, "page", host);
	fence_json_int(&j, "pid", c->tgid);
	fence_json_id(&j, "session", c->session);
	fence_json_str(&j, "tool", fence_policy_tool_name(a->policy, c->tool));
	agent_row_end(a, &j, "page");
}

void sight_label(struct sight_conn *c, const struct fence_exchange *x, const struct sight_host *h)
{
	const char *page;

	label(c, x, h->name);
	page = c->paged || c->extension[0] ? NULL : page_of(c, x, h);
	if (page)
		page_row(c, page);
}
