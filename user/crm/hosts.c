// SPDX-License-Identifier: Apache-2.0
#include "crm/hosts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define EXACT 1 /* label is MyDomain[--Sandbox] */
#define STAR 2 /* label is MyDomain[--Sandbox]--Package or --UniqueID */
#define GOV 4
#define CHINA 8

/* Suffixes under which an organisation's own label stands. */
static const struct {
	const char *suffix;
	int form;
} suffixes[] = {
	{ "my.salesforce.com", EXACT },
	{ "lightning.force.com", EXACT },
	{ "vf.force.com", STAR },
	{ "file.force.com", EXACT },
	{ "container.force.com", EXACT | STAR },
	{ "my.site.com", EXACT },
	{ "my.salesforce-sites.com", EXACT },
	{ "my.salesforce-scrt.com", EXACT },
	{ "my.salesforce-setup.com", EXACT },
	{ "cdn.salesforce-experience.com", EXACT },
	{ "builder.salesforce-experience.com", EXACT },
	{ "preview.salesforce-experience.com", EXACT },
	{ "live-preview.salesforce-experience.com", EXACT },
	{ "my.force-user-content.com", EXACT | STAR },
	{ "file.force-user-content.com", EXACT | STAR },
	{ "my.sfdcopens.com", EXACT },
	{ "my.salesforce.mil", EXACT | GOV },
	{ "lightning.force.mil", EXACT | GOV },
	{ "lightning.crmforce.mil", EXACT | GOV },
	{ "vf.force.mil", STAR | GOV },
	{ "visual.force.mil", STAR | GOV },
	{ "salesforce-setup.mil", EXACT | GOV },
	{ "gia.force-user-content.com", EXACT | STAR | GOV },
	{ "my.sfcrmproducts.cn", EXACT | CHINA },
	{ "lightning.sfcrmapps.cn", EXACT | CHINA },
	{ "vf.sfcrmapps.cn", STAR | CHINA },
	{ "file.sfcrmapps.cn", EXACT | CHINA },
};

/* Hosts of all organisations. */
static const char *const shared[] = {
	"login.salesforce.com",		 "test.salesforce.com",
	"welcome.salesforce.com",	 "api.salesforce.com",
	"test.api.salesforce.com",	 "api.pubsub.salesforce.com",
	"api.deu.pubsub.salesforce.com", "static.lightning.force.com",
	"a.static.lightning.force.com",	 "b.static.lightning.force.com",
};

/* Salesforce's domains: whatever is under one and none of the above is auxiliary or retired. */
static const char *const domains[] = {
	"salesforce.com",
	"force.com",
	"site.com",
	"salesforce-sites.com",
	"salesforce-scrt.com",
	"salesforce-setup.com",
	"salesforce-experience.com",
	"force-user-content.com",
	"sfdcopens.com",
	"sfdcstatic.com",
	"forceusercontent.com",
	"documentforce.com",
	"salesforceliveagent.com",
	"salesforce-communities.com",
	"salesforce-hub.com",
	"lightning.com",
	"visualforce.com",
	"cloudforce.com",
	"sfdcfc.net",
	"trailhead.com",
	"trailblazer.me",
	"salesforce.mil",
	"force.mil",
	"crmforce.mil",
	"cloudforce.mil",
	"visualforce.mil",
	"salesforce-setup.mil",
	"govforce.com",
	"sfcrmapps.cn",
	"sfcrmproducts.cn",
	"quip.com",
	"slack.com",
	"tableau.com",
	"herokuapp.com",
	"exacttarget.com",
	"pardot.com",
	"marketingcloudapis.com",
};

static const char *const partitions[] = { "sandbox", "develop", "scratch",   "demo",
					  "free",    "patch",	"trailblaze" };

const char *fence_host_class_name(enum fence_host_class c)
{
	static const char *const names[] = { "other",	    "own",    "unlisted-sandbox",
					     "foreign-org", "shared", "salesforce-other",
					     "address",	    "invalid" };

	return (size_t)c < ARRAY_SIZE(names) ? names[c] : "invalid";
}

static int wanted(const struct fence_org *org, int form)
{
	return !((form & GOV && !org->government) || (form & CHINA && !org->china));
}

struct walk {
	int (*each)(void *ctx, const char *pattern);
	void *ctx;
	int defender;
};

static int give(const struct walk *w, const char *label, const char *star, const char *partition,
		const char *suffix)
{
	char name[300];
	int r;

	snprintf(name, sizeof(name), "%s%s%s%s.%s", label, star, *partition ? "." : "", partition,
		 suffix);
	r = w->each(w->ctx, name);
	if (r < 0 || !w->defender)
		return r;
	strncat(name, ".mcas.ms", sizeof(name) - strlen(name) - 1);
	return w->each(w->ctx, name);
}

static int give_label(const struct fence_org *org, const struct walk *w, const char *label,
		      const char *partition)
{
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(suffixes); i++) {
		if (!wanted(org, suffixes[i].form))
			continue;
		r = suffixes[i].form & EXACT ? give(w, label, "", partition, suffixes[i].suffix)
					     : 0;
		if (r >= 0 && suffixes[i].form & STAR)
			r = give(w, label, "--*", partition, suffixes[i].suffix);
		if (r < 0)
			return r;
	}
	return 0;
}

int fence_crm_own(const struct fence_org *org, int (*each)(void *ctx, const char *pattern),
		  void *ctx)
{
	struct walk w = { .each = each, .ctx = ctx, .defender = org->defender };
	char label[2 * FENCE_MY_DOMAIN_MAX + 4];
	size_t i;
	int r;

	if (!org->my_domain[0])
		return 0;
	r = give_label(org, &w, org->my_domain, org->partition);
	for (i = 0; r >= 0 && i < org->nsandboxes; i++) {
		snprintf(label, sizeof(label), "%s--%s", org->my_domain, org->sandboxes[i]);
		r = give_label(org, &w, label, "sandbox");
	}
	if (r >= 0 && org->login_hosts)
		r = each(ctx, "login.salesforce.com");
	if (r >= 0 && org->login_hosts && org->nsandboxes)
		r = each(ctx, "test.salesforce.com");
	return r < 0 ? r : 0;
}

int fence_crm_is_login(const char *host)
{
	return !strcmp(host, "login.salesforce.com") || !strcmp(host, "test.salesforce.com");
}

/*
 * Is `host` equal to `domain`, or below it at a label boundary? Returns the octets in front of it,
 * -1 when not.
 */
static long below(const char *host, const char *domain)
{
	size_t h = strlen(host), d = strlen(domain);

	if (h < d || strcmp(host + h - d, domain))
		return -1;
	if (h == d)
		return 0;
	return host[h - d - 1] == '.' ? (long)(h - d - 1) : -1;
}

/* The rest of `label` behind "my_domain", or NULL when it is another one. */
static const char *behind(const char *label, size_t len, const char *my_domain)
{
	size_t n = strlen(my_domain);

	if (!n || len < n || strncmp(label, my_domain, n))
		return NULL;
	return len == n || (len > n + 2 && label[n] == '-' && label[n + 1] == '-') ? label + n
										   : NULL;
}

struct match {
	const char *host;
	int found;
};

/* Does the host match a pattern with at most one star, in its first label, that spans no "--"? */
static int match_pattern(void *ctx, const char *pattern)
{
	struct match *m = ctx;
	const char *star = strchr(pattern, '*'), *dot;
	size_t n;

	if (!star) {
		m->found |= !strcmp(pattern, m->host);
		return 0;
	}
	n = (size_t)(star - pattern);
	dot = strchr(m->host, '.');
	if (!dot || strncmp(m->host, pattern, n) || strlen(m->host) <= n || strcmp(dot, star + 1) ||
	    dot <= m->host + n || dot - m->host - (long)n > 40)
		return 0;
	for (; m->host + n + 1 < dot; n++)
		if (m->host[n] == '-' && m->host[n + 1] == '-')
			return 0;
	m->found = 1;
	return 0;
}

static int is_name(const char *host)
{
	size_t label = 0, i;

	for (i = 0; host[i]; i++) {
		if (host[i] == '.') {
			if (!label || label > 63)
				return 0;
			label = 0;
		} else if ((host[i] >= 'a' && host[i] <= 'z') || isdigit((unsigned char)host[i]) ||
			   host[i] == '-' || host[i] == '_') {
			label++;
		} else {
			return 0;
		}
	}
	return label && label <= 63 && i <= 253 && strchr(host, '.');
}

static int is_address(const char *host)
{
	unsigned char a[16];

	return inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

enum fence_host_class fence_crm_classify(const char *host, const struct fence_org *org)
{
	struct match m = { .host = host };
	size_t i;
	long n;

	if (is_address(host))
		return FENCE_HOST_IP;
	if (!is_name(host))
		return FENCE_HOST_INVALID;
	for (i = 0; i < ARRAY_SIZE(shared); i++)
		if (!strcmp(host, shared[i]))
			return FENCE_HOST_SHARED;
	if (org && behind(host, strcspn(host, "."), org->my_domain)) /* each of its own begins so */
		fence_crm_own(org, match_pattern, &m);
	if (m.found)
		return FENCE_HOST_OWN;
	for (i = 0; i < ARRAY_SIZE(suffixes); i++) {
		n = below(host, suffixes[i].suffix);
		if (n > 0)
			return org && behind(host, strcspn(host, "."), org->my_domain)
				       ? FENCE_HOST_SANDBOX
				       : FENCE_HOST_FOREIGN;
		if (!n)
			return FENCE_HOST_SHARED;
	}
	for (i = 0; i < ARRAY_SIZE(domains); i++)
		if (below(host, domains[i]) >= 0)
			return FENCE_HOST_LEGACY;
	return FENCE_HOST_OTHER;
}

/*
 * Domains beyond Salesforce's under which anybody can have a name. Not the Public Suffix List: the
 * ones a rep's traffic meets.
 */
static const char *const anybody[] = {
	"amazonaws.com", "cloudfront.net",  "azurewebsites.net", "azureedge.net",
	"windows.net",	 "googleapis.com",  "appspot.com",	 "run.app",
	"web.app",	 "firebaseapp.com", "herokuapp.com",	 "vercel.app",
	"netlify.app",	 "pages.dev",	    "workers.dev",	 "github.io",
	"gitlab.io",	 "ngrok.io",	    "ngrok.app",	 "trycloudflare.com",
	"fly.dev",	 "onrender.com",    "mcas.ms",
};

int fence_crm_is_shared_suffix(const char *suffix)
{
	size_t i;

	if (!strchr(suffix, '.'))
		return 1; /* a top-level domain */
	for (i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (below(suffixes[i].suffix, suffix) >= 0 ||
		    below(suffix, suffixes[i].suffix) >= 0)
			return 1;
	for (i = 0; i < ARRAY_SIZE(domains); i++)
		if (below(domains[i], suffix) >= 0 || below(suffix, domains[i]) >= 0)
			return 1;
	for (i = 0; i < ARRAY_SIZE(anybody); i++)
		if (below(anybody[i], suffix) >= 0 || below(suffix, anybody[i]) >= 0)
			return 1;
	return 0;
}

int fence_crm_partition_ok(const char *partition)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(partitions); i++)
		if (!strcmp(partition, partitions[i]))
			return 1;
	return 0;
}

int fence_crm_id_checksum(const char *id, char out[19])
{
	static const char code[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
	unsigned int bits, i;

	memset(out, 0, 19);
	for (i = bits = 0; i < 15; i++) {
		if (!isalnum((unsigned char)id[i]))
			return -EINVAL;
		out[i] = id[i];
		bits |= (unsigned int)!!isupper((unsigned char)id[i]) << i;
	}
	for (i = 0; i < 3; i++)
		out[15 + i] = code[bits >> 5 * i & 31];
	return 0;
}

int fence_crm_org_id_ok(const char *id)
{
	size_t n = strlen(id);
	char whole[19];

	return (n == 15 || n == 18) && !strncmp(id, "00D", 3) &&
	       !fence_crm_id_checksum(id, whole) && (n == 15 || !strcmp(id, whole));
}

/*
 * Vendors of models and of speech recognition that a policy has no harmless reason for. Not every
 * one: those that an engineer who follows a vendor's quick start writes down.
 */
static const char *const models[] = {
	"openai.com",
	"chatgpt.com",
	"oaiusercontent.com",
	"openai.azure.com",
	"cognitiveservices.azure.com",
	"speech.microsoft.com",
	"inference.ai.azure.com",
	"services.ai.azure.com",
	"anthropic.com",
	"claude.ai",
	"claude.com",
	"generativelanguage.googleapis.com",
	"aiplatform.googleapis.com",
	"gemini.google.com",
	"speech.googleapis.com",
	"cohere.com",
	"cohere.ai",
	"mistral.ai",
	"groq.com",
	"x.ai",
	"together.ai",
	"together.xyz",
	"perplexity.ai",
	"deepseek.com",
	"openrouter.ai",
	"huggingface.co",
	"replicate.com",
	"fireworks.ai",
	"cerebras.ai",
	"moonshot.ai",
	"deepgram.com",
	"assemblyai.com",
	"elevenlabs.io",
	"speechmatics.com",
	"rev.ai",
	"gladia.io",
	"aistudio.google.com",
	"notebooklm.google.com",
	"copilot.microsoft.com",
	"grok.com",
	"sambanova.ai",
	"hf.space",
	"integrate.api.nvidia.com",
	"poe.com",
	"meta.ai",
	"elevenlabs.com",
	"soniox.com",
	"cartesia.ai",
	"hume.ai",
	"otter.ai",
	"fireflies.ai",
	"gong.io",
	"fathom.video",
	"read.ai",
	"krisp.ai",
	"granola.ai",
};

int fence_crm_is_model(const char *host)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(models); i++)
		if (below(host, models[i]) >= 0)
			return 1;
	/* REGION-aiplatform.googleapis.com, bedrock-runtime.REGION.amazonaws.com, Chrome's speech
	 */
	return (below(host, "googleapis.com") > 0 && strstr(host, "-aiplatform.")) ||
	       (below(host, "amazonaws.com") > 0 &&
		(!strncmp(host, "bedrock", 7) || !strncmp(host, "transcribe", 10))) ||
	       !strcmp(host, "www.google.com");
}
