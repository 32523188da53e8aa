// SPDX-License-Identifier: Apache-2.0
/*
 * What a destination is, and which alert its denial is. The lists describe: they choose an alert's
 * severity and words, never what is allowed, which is the policy's alone.
 */
#include <string.h>
#include <strings.h>

#include "alert/alert.h"
#include "base/cleanup.h"

static const char *const names[] = {
	[FENCE_PLACE_OWN] = "own-org",
	[FENCE_PLACE_SANDBOX] = "unlisted-sandbox",
	[FENCE_PLACE_FOREIGN] = "other-org",
	[FENCE_PLACE_SHARED] = "shared-salesforce",
	[FENCE_PLACE_SALESFORCE] = "other-salesforce",
	[FENCE_PLACE_AI] = "ai-vendor",
	[FENCE_PLACE_DROP] = "drop-site",
	[FENCE_PLACE_DOH] = "encrypted-dns",
	[FENCE_PLACE_HOST] = "other-host",
	[FENCE_PLACE_ADDRESS] = "address",
	[FENCE_PLACE_MACHINE] = "this-machine",
	[FENCE_PLACE_UNIX] = "unix-socket",
	[FENCE_PLACE_PROCESS] = "other-process",
	[FENCE_PLACE_SOCKET] = "socket",
	[FENCE_PLACE_INCOMING] = "incoming",
};

_Static_assert(ARRAY_SIZE(names) == FENCE_PLACE_MAX, "a name for every place");

/* Suffixes. */
static const char *const drop[] = {
	"pastebin.com", "webhook.site",	  "hooks.slack.com",   "pipedream.net",
	"transfer.sh",	"file.io",	  "gofile.io",	       "ngrok.io",
	"ngrok.app",	"ngrok-free.app", "trycloudflare.com", "pinggy.io",
};

static const char *const doh[] = {
	"cloudflare-dns.com", "one.one.one.one",       "dns.google",	      "dns.quad9.net",
	"doh.opendns.com",    "doh.cleanbrowsing.org", "dns.adguard-dns.com", "dns.nextdns.io",
};

const char *fence_place_name(enum fence_place p)
{
	return p < FENCE_PLACE_MAX ? names[p] : "?";
}

/* Is it one of them, or below one? */
static int is_below(const char *host, const char *const *list, size_t n)
{
	size_t len = strlen(host), l, i;

	for (i = 0; i < n; i++) {
		l = strlen(list[i]);
		if (len >= l && !strcasecmp(host + len - l, list[i]) &&
		    (len == l || host[len - l - 1] == '.'))
			return 1;
	}
	return 0;
}

enum fence_place fence_place_of_host(const char *host, const struct fence_org *org)
{
	static const uint8_t of_class[] = {
		[FENCE_HOST_OTHER] = FENCE_PLACE_HOST,
		[FENCE_HOST_OWN] = FENCE_PLACE_OWN,
		[FENCE_HOST_SANDBOX] = FENCE_PLACE_SANDBOX,
		[FENCE_HOST_FOREIGN] = FENCE_PLACE_FOREIGN,
		[FENCE_HOST_SHARED] = FENCE_PLACE_SHARED,
		[FENCE_HOST_LEGACY] = FENCE_PLACE_SALESFORCE,
		[FENCE_HOST_IP] = FENCE_PLACE_ADDRESS,
		[FENCE_HOST_INVALID] = FENCE_PLACE_HOST,
	};

	if (fence_crm_is_model(host) && strcasecmp(host, "www.google.com")) /* it is much else */
		return FENCE_PLACE_AI;
	if (is_below(host, drop, ARRAY_SIZE(drop)))
		return FENCE_PLACE_DROP;
	if (is_below(host, doh, ARRAY_SIZE(doh)))
		return FENCE_PLACE_DOH;
	return of_class[fence_crm_classify(host, org)];
}

enum fence_place fence_place_of(const struct fence_facts *f, const char *host,
				const struct fence_org *org)
{
	switch (f->at) {
	case FENCE_AT_CREATE:
	case FENCE_AT_SOCKOPT:
	case FENCE_AT_BIND:
		return FENCE_PLACE_SOCKET;
	case FENCE_AT_ACCEPT:
		return FENCE_PLACE_INCOMING;
	case FENCE_AT_LOCAL:
		return FENCE_PLACE_PROCESS;
	case FENCE_AT_UNIX:
		return FENCE_PLACE_UNIX;
	default:
		break;
	}
	if (f->addr == FENCE_ADDR_LOOPBACK)
		return FENCE_PLACE_MACHINE;
	return host && *host ? fence_place_of_host(host, org) : FENCE_PLACE_ADDRESS;
}

enum fence_alert fence_alert_of_place(enum fence_place p)
{
	switch (p) {
	case FENCE_PLACE_AI:
		return FENCE_ALERT_E002;
	case FENCE_PLACE_FOREIGN:
	case FENCE_PLACE_SANDBOX:
		return FENCE_ALERT_E003;
	case FENCE_PLACE_SHARED:
		return FENCE_ALERT_E004;
	case FENCE_PLACE_DROP:
		return FENCE_ALERT_E006;
	case FENCE_PLACE_ADDRESS:
		return FENCE_ALERT_E007;
	case FENCE_PLACE_DOH:
		return FENCE_ALERT_E008;
	case FENCE_PLACE_MACHINE:
		return FENCE_ALERT_E018;
	default:
		return FENCE_ALERT_E001;
	}
}

static enum fence_alert of_guard(uint16_t guard)
{
	switch (guard) {
	case FENCE_G_OWN:
		return FENCE_ALERT_E015;
	case FENCE_G_FAMILY:
	case FENCE_G_TUN:
	case FENCE_G_BPF:
	case FENCE_G_INHERIT:
	case FENCE_G_CAPABILITY:
	case FENCE_G_SHUT:
		return FENCE_ALERT_E019;
	default:
		return FENCE_ALERT_E013;
	}
}

enum fence_alert fence_alert_of(const struct fence_facts *f, uint8_t reason, uint16_t guard,
				uint16_t port, enum fence_place p)
{
	switch (reason) {
	case FENCE_R_OTHER:
		return of_guard(guard);
	case FENCE_R_UNIX:
	case FENCE_R_BIND:
	case FENCE_R_ACCEPT:
		return FENCE_ALERT_E013;
	case FENCE_R_SOCKET:
	case FENCE_R_SOCKOPT:
		return FENCE_ALERT_E019;
	case FENCE_R_LOCAL:
		return FENCE_ALERT_E018;
	case FENCE_R_UDP:
		return FENCE_ALERT_E009;
	case FENCE_R_DNS_TYPE:
	case FENCE_R_DNS_FORM:
	case FENCE_R_DNS_RATE:
		return FENCE_ALERT_E026;
	case FENCE_R_DNS_ADDR:
		return FENCE_ALERT_E027;
	case FENCE_R_DNS_RANGE:
		return FENCE_ALERT_E022;
	case FENCE_R_TENANT:
		return FENCE_ALERT_E003;
	case FENCE_R_TOKEN:
		return FENCE_ALERT_E014;
	case FENCE_R_SILENT:
		return FENCE_ALERT_E028;
	case FENCE_R_OVERFLOW:
		return FENCE_ALERT_E029;
	case FENCE_R_SNI_NONE:
	case FENCE_R_SNI_ADDR:
	case FENCE_R_HELLO:
	case FENCE_R_NOT_TLS:
	case FENCE_R_PROXY_METHOD:
	case FENCE_R_PROXY_FORM:
	case FENCE_R_PROXY_EARLY:
	case FENCE_R_PROXY_TLS:
		return FENCE_ALERT_E007;
	case FENCE_R_ADDR:
		if (p == FENCE_PLACE_ADDRESS && f->at != FENCE_AT_DNS &&
		    (port == 53 || port == 853))
			return FENCE_ALERT_E008;
		if (p == FENCE_PLACE_OWN) /* its host, at an address that is not shown to be its */
			return FENCE_ALERT_E007;
		return fence_alert_of_place(p);
	default:
		return fence_alert_of_place(p);
	}
}
