// SPDX-License-Identifier: Apache-2.0
#include "policy/browser.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static const struct fence_browser browsers[] = {
	{ "chromium",
	  { "/usr/bin/chromium", "/usr/lib/chromium/chromium" },
	  "/etc/chromium/policies/managed",
	  "crmfence.json",
	  "/etc/chromium/native-messaging-hosts" },
	{ "chrome",
	  { "/opt/google/chrome/chrome" },
	  "/etc/opt/chrome/policies/managed",
	  "crmfence.json",
	  "/etc/opt/chrome/native-messaging-hosts" },
	{ "edge",
	  { "/opt/microsoft/msedge/msedge" },
	  "/etc/opt/edge/policies/managed",
	  "crmfence.json",
	  "/etc/opt/edge/native-messaging-hosts" },
	{ "firefox",
	  { "/usr/bin/firefox", "/usr/bin/firefox-esr" },
	  "/etc/firefox/policies",
	  "policies.json",
	  NULL },
};

const char fence_policy_leaves_why[] =
	"a listed extension is itself free: no tool is the browser that it runs in, and what its "
	"own "
	"code sends goes where it likes (its native messaging host is another program)";
const char fence_policy_leaves_remedy[] =
	"list the browser as a tool, with \"sight\": true and \"confine\": \"extensions\" "
	"(policies/extension.json), or start a browser of its own by crmfence exec";

static int is_of(const struct fence_policy_match *m, const char *const *names)
{
	const char *slash = strrchr(m->text, '/');

	for (; *names; names++)
		if (m->kind == FENCE_MATCH_EXE
			    ? !strncmp(slash ? slash + 1 : m->text, *names, strlen(*names))
			    : m->kind == FENCE_MATCH_CGROUP && strcasestr(m->text, *names))
			return 1;
	return 0;
}

int fence_policy_leaves(const struct fence_policy *p)
{
	static const char *const chromium[] = { "chrom",  "google-chrome",
						"msedge", "microsoft-edge",
						"brave",  "vivaldi",
						"opera",  NULL };
	static const char *const firefox[] = { "firefox", "librewolf", "waterfox", NULL };
	int left =
		(p->nextensions ? FENCE_FREE_EXTENSIONS : 0) | (p->naddons ? FENCE_FREE_ADDONS : 0);
	const struct fence_policy_match *m;
	int one, other;
	size_t i, j;

	for (i = 0; i < p->ntools; i++)
		for (j = 0; j < p->tools[i].nmatch; j++) {
			m = &p->tools[i].match[j];
			one = is_of(m, chromium);
			other = is_of(m, firefox);
			if (p->tools[i].loose && !one && !other) /* some browser, it says */
				one = other = 1;
			left &= ~((one ? FENCE_FREE_EXTENSIONS : 0) |
				  (other ? FENCE_FREE_ADDONS : 0));
		}
	return left;
}

const struct fence_browser *fence_browser(size_t i)
{
	return i < ARRAY_SIZE(browsers) ? &browsers[i] : NULL;
}

/* A name of ours as a browser's host pattern; a shape has none that would not allow strangers. */
static int add_host(void *ctx, const char *pattern)
{
	const char *star = strchr(pattern, '*');
	char text[FENCE_NAME_MAX + 16];
	cJSON *list = ctx;

	if (star && star != pattern)
		return 0;
	snprintf(text, sizeof(text), "*://%s", pattern);
	cJSON_AddItemToArray(list, cJSON_CreateString(text));
	return 0;
}

static int is_tool_of(const struct fence_policy_tool *t, const char *extension)
{
	size_t i;

	for (i = 0; i < t->nmatch; i++)
		if (t->match[i].kind == FENCE_MATCH_NATIVE && !strcmp(t->match[i].text, extension))
			return 1;
	return 0;
}

int fence_policy_native(const struct fence_policy *p, const char *extension)
{
	size_t i;

	for (i = 0; i < p->ntools; i++)
		if (is_tool_of(&p->tools[i], extension))
			return 1;
	return 0;
}

/* What the tools that the extension is part of may reach; of no tool: the own org. */
static void reachable(const struct fence_policy *p, const char *extension, cJSON *list)
{
	size_t i;

	if (!fence_policy_native(p, extension) && p->org.my_domain[0])
		fence_crm_own(&p->org, add_host, list);
	for (i = 0; i < p->nrules; i++) {
		const struct fence_policy_rule *r = &p->rules[i];

		if (!is_tool_of(&p->tools[r->tool - 1], extension) || r->flags & FENCE_RULE_ASK)
			continue;
		if (!strcmp(r->text, "crm.own"))
			fence_crm_own(&p->org, add_host, list);
		else if (!strchr(r->text, '/'))
			add_host(list, r->text);
	}
}

static void extensions(const struct fence_policy *p, cJSON *o)
{
	cJSON *settings = cJSON_AddObjectToObject(o, "ExtensionSettings"), *one;
	size_t i;

	for (i = 0; i < p->nextensions; i++) {
		one = cJSON_AddObjectToObject(settings, p->extensions[i]);
		cJSON_AddItemToArray(cJSON_AddArrayToObject(one, "runtime_blocked_hosts"),
				     cJSON_CreateString("*://*"));
		reachable(p, p->extensions[i],
			  cJSON_AddArrayToObject(one, "runtime_allowed_hosts"));
	}
}

static void chromium(const struct fence_policy *p, const char (*hosts)[128], size_t nhosts,
		     cJSON *o)
{
	cJSON *list, *audio;
	char text[64];
	size_t i;

	if (!p->quic_allow)
		cJSON_AddFalseToObject(o, "QuicAllowed");
	cJSON_AddFalseToObject(o, "EncryptedClientHelloEnabled");
	cJSON_AddStringToObject(o, "DnsOverHttpsMode", "off");
	if (!p->nextensions)
		return;
	list = cJSON_AddArrayToObject(o, "NativeMessagingBlocklist");
	cJSON_AddItemToArray(list, cJSON_CreateString("*"));
	list = cJSON_AddArrayToObject(o, "NativeMessagingAllowlist");
	for (i = 0; i < nhosts; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(hosts[i]));
	cJSON_AddFalseToObject(o, "NativeMessagingUserLevelHosts");
	/* the microphone for the assistant without a question; others are asked about, as before */
	audio = cJSON_AddArrayToObject(o, "AudioCaptureAllowedUrls");
	for (i = 0; i < p->nextensions; i++) {
		snprintf(text, sizeof(text), "chrome-extension://%s", p->extensions[i]);
		cJSON_AddItemToArray(audio, cJSON_CreateString(text));
	}
	extensions(p, o);
}

static void preference(cJSON *o, const char *name)
{
	cJSON *v = cJSON_AddObjectToObject(o, name);

	cJSON_AddFalseToObject(v, "Value");
	cJSON_AddStringToObject(v, "Status", "locked");
}

/* Extensions of Firefox have other ids than those that our policy lists. */
static void firefox(const struct fence_policy *p, cJSON *o)
{
	cJSON *policies = cJSON_AddObjectToObject(o, "policies"), *doh, *prefs;

	doh = cJSON_AddObjectToObject(policies, "DNSOverHTTPS");
	cJSON_AddFalseToObject(doh, "Enabled");
	cJSON_AddTrueToObject(doh, "Locked");
	prefs = cJSON_AddObjectToObject(policies, "Preferences");
	if (!p->quic_allow)
		preference(prefs, "network.http.http3.enable");
	preference(prefs, "network.dns.echconfig.enabled");
	preference(prefs, "network.dns.http3_echconfig.enabled");
}

char *fence_policy_browser(const struct fence_policy *p, const struct fence_browser *b,
			   const char (*hosts)[128], size_t nhosts)
{
	cJSON *o = cJSON_CreateObject();
	char *text;

	if (b->hosts)
		chromium(p, hosts, nhosts, o);
	else
		firefox(p, o);
	text = cJSON_Print(o);
	cJSON_Delete(o);
	return text;
}
