// SPDX-License-Identifier: Apache-2.0
/* What people see of the enumerations in decide.h and rule.h, in their order. */
#include "base/cleanup.h"
#include "policy/policy.h"

static const struct {
	const char *name, *sentence;
} reasons[] = {
	[FENCE_R_UNCONFINED] = { "unconfined", "not part of a session; recorded only" },
	[FENCE_R_NAME_OK] = { "name",
			      "the server name is allowed, and DNS gave this address for it" },
	[FENCE_R_PLAIN_OK] = { "plain", "allowed without TLS by its rule" },
	[FENCE_R_ADDR_OK] = { "address", "the address is inside a listed network" },
	[FENCE_R_PENDING] = { "pending", "the address is allowed; the name has not been said yet" },
	[FENCE_R_DNS_OK] = { "dns", "a question for an allowed name" },
	[FENCE_R_LOCAL_OK] = { "local", "a loopback port or Unix socket that the tool lists" },
	[FENCE_R_QUIC_OK] = { "quic-allowed",
			      "UDP to an allowed address, as the policy's \"quic\" says" },
	[FENCE_R_PROXY_OK] = { "proxy", "a CONNECT for an allowed name and port" },
	[FENCE_R_SOCKET_OK] = { "socket", "a TCP or UDP socket" },
	[FENCE_R_ADDR] = { "address-unknown", "DNS gave this address for no name that the tool may "
					      "reach on this port" },
	[FENCE_R_LOCAL] = { "loopback",
			    "this machine itself, where a helper could pass the data on" },
	[FENCE_R_SOCKET] = { "socket-kind", "only TCP and UDP sockets can be checked" },
	[FENCE_R_BIND] = { "listen", "a session does not listen" },
	[FENCE_R_SOCKOPT] = { "socket-option",
			      "this option changes where packets go, or how they are framed" },
	[FENCE_R_DNS_NAME] = { "dns-name", "a question for a name that is not allowed would itself "
					   "carry data out" },
	[FENCE_R_DNS_TYPE] = { "dns-type", "only A, AAAA and CNAME are asked for" },
	[FENCE_R_DNS_FORM] = { "dns-form", "not one plain DNS question, or asked in a network "
					   "namespace that a user "
					   "made, where he answers it himself" },
	[FENCE_R_UDP] = { "udp", "UDP (QUIC too) hides the server name; clients fall back to TCP" },
	[FENCE_R_SNI] = { "server-name", "the TLS server name is not allowed" },
	[FENCE_R_SNI_ADDR] = { "name-elsewhere", "the server name is allowed, but DNS never gave "
						 "this address for it" },
	[FENCE_R_SNI_NONE] = { "no-server-name", "a TLS hello without a server name" },
	[FENCE_R_HELLO] = { "hello", "the TLS hello cannot be parsed" },
	[FENCE_R_NOT_TLS] = { "not-tls",
			      "the stream is not TLS, and its rule does not say \"tls\": false" },
	[FENCE_R_PROXY_METHOD] = { "proxy-method",
				   "a proxy may be asked to CONNECT, and for plain requests "
				   "to hosts whose rule says \"tls\": false" },
	[FENCE_R_PROXY_NAME] = { "proxy-name", "CONNECT to a name or port that is not allowed" },
	[FENCE_R_ACCEPT] = { "accept", "a session takes no connections from outside" },
	[FENCE_R_OVERFLOW] = { "overflow", "a table was full, and nothing could be proved" },
	[FENCE_R_UNIX] = { "unix-peer", "a local process that the tool does not list, which could "
					"pass the data on" },
	[FENCE_R_OTHER] = { "other-process", "a way to a process outside the session that is no "
					     "network: a family of "
					     "sockets, a queue, memory, a signal, a key" },
	[FENCE_R_REQUEST] = { "request-host",
			      "a request inside TLS for a host that is not allowed" },
	[FENCE_R_TENANT] = { "foreign-tenant", "a request with the credential of another org" },
	[FENCE_R_TOKEN] = { "token-exposure",
			    "a Salesforce credential on its way to a host that is "
			    "not the org's" },
	[FENCE_R_SILENT] = { "agent-silent",
			     "the agent has been silent for longer than the policy's "
			     "\"heartbeat\"; nothing leaves until it is back" },
	[FENCE_R_PROXY_FORM] = { "proxy-form",
				 "a request to the proxy that is too long, or that not every proxy "
				 "reads alike" },
	[FENCE_R_PROXY_EARLY] = { "proxy-early",
				  "more was sent before the proxy had answered the CONNECT" },
	[FENCE_R_PROXY_TLS] = { "proxy-tls",
				"TLS to the proxy itself hides what it is asked for; speak to it "
				"in plain text, what is inside the tunnel is TLS" },
	[FENCE_R_DNS_RATE] = { "dns-rate", "more DNS questions than a session may ask: each that "
					   "differs carries a little out" },
	[FENCE_R_DNS_ADDR] = { "dns-address",
			       "DNS gave an address that is not a public one for a public name" },
	[FENCE_R_DNS_RANGE] = { "dns-range", "DNS gave an address for the org that is none of "
					     "Salesforce's" },
};

_Static_assert(ARRAY_SIZE(reasons) == FENCE_R_MAX, "a sentence for every reason");

const char *fence_reason_name(uint8_t reason)
{
	return reason < ARRAY_SIZE(reasons) ? reasons[reason].name : "?";
}

const char *fence_reason_sentence(uint8_t reason)
{
	return reason < ARRAY_SIZE(reasons) ? reasons[reason].sentence : "?";
}

#define NAMED(fn, ...) \
	const char *fn(uint8_t v) \
	{ \
		static const char *const names[] = { __VA_ARGS__ }; \
		return v < ARRAY_SIZE(names) ? names[v] : "?"; \
	}

NAMED(fence_action_name, "allow", "deny", "would-deny")
NAMED(fence_at_name, "none", "create", "connect", "sendmsg", "bind", "sockopt", "packet", "dns",
      "stream", "accept", "local", "unix", "request")
NAMED(fence_guard_name, "none", "socket-family", "ptrace", "signal", "ipc", "key", "fifo", "tun",
      "bpf", "received-socket", "write", "fence", "inherited", "capability", "system-file")
NAMED(fence_addr_name, "unknown", "loopback", "resolver", "proxy", "named", "listed")
NAMED(fence_namefact_name, "none", "pending", "allowed", "refused", "absent", "malformed")
NAMED(fence_match_name, "none", "exe", "unit", "uid", "native-messaging", "crmfence exec",
      "crmfence join")
