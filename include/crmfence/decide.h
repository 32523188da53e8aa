/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The decision: from facts to a verdict. Pure: no helper, no map, no clock, no memory but its
 * arguments.
 *
 * The BPF programs collect facts and obey the verdict; the agent, `crmfence policy decide`, replay
 * and the tests call the same function. A record carries the facts that led to its verdict, so that
 * anybody can decide again.
 *
 * Every case that is not explicitly allowed for a confined subject ends in a denial: an unknown is
 * a no.
 */
#ifndef CRMFENCE_DECIDE_H
#define CRMFENCE_DECIDE_H

#include <linux/types.h>
#include "abi.h"

/* Where the question was put. */
enum fence_at {
	FENCE_AT_NONE,
	FENCE_AT_CREATE, /* socket(2) */
	FENCE_AT_CONNECT, /* connect(2), or sendto(2) with MSG_FASTOPEN */
	FENCE_AT_SENDMSG, /* an unconnected datagram with an address */
	FENCE_AT_BIND, /* bind(2) with a port of its own */
	FENCE_AT_SOCKOPT, /* a socket option that changes routes or opens layer 2 */
	FENCE_AT_PACKET, /* a packet at egress, by the address on the wire */
	FENCE_AT_DNS, /* a DNS question at egress */
	FENCE_AT_STREAM, /* the first bytes of a TCP stream at egress */
	FENCE_AT_ACCEPT, /* a connection from outside reaches a confined socket */
	FENCE_AT_LOCAL, /* another process, by other than the network (tier A) */
	FENCE_AT_UNIX, /* a Unix socket's peer, by its path */
	FENCE_AT_REQUEST, /* the head of an HTTP request, before TLS encrypts it ("sight") */
	FENCE_AT_MAX,
};

/* What a denial at FENCE_AT_LOCAL is about; the record's `detail`. */
enum fence_guard {
	FENCE_G_FAMILY = 1, /* of sockets */
	FENCE_G_PTRACE,
	FENCE_G_SIGNAL,
	FENCE_G_IPC, /* System V */
	FENCE_G_KEY,
	FENCE_G_FILE, /* a FIFO or message queue that has a name */
	FENCE_G_TUN,
	FENCE_G_BPF,
	FENCE_G_RECEIVE, /* a socket that somebody else made */
	FENCE_G_WRITE, /* a file outside the tool's directories */
	FENCE_G_OWN, /* not a session's: anybody but the agent, and the fence's own objects */
	FENCE_G_INHERIT, /* in the hands of a process that becomes a session: a ring, or a socket
			    whose packets no program sees; the process ends */
	FENCE_G_CAPABILITY, /* that a session has not, were it root's (shut.h) */
	FENCE_G_SHUT, /* a file, for writing, that is a whole way out: the kernel's switches, the
			 system's configuration, a device */
	FENCE_G_MAX,
};

/*
 * What the destination address is: the first that holds of resolver, proxy, loopback, named,
 * listed.
 */
enum fence_addr {
	FENCE_ADDR_UNKNOWN, /* nobody the policy knows */
	FENCE_ADDR_LOOPBACK, /* 127/8, ::1, unspecified, or routed through lo: this machine */
	FENCE_ADDR_RESOLVER, /* a listed DNS resolver, port 53 */
	FENCE_ADDR_PROXY, /* a listed HTTP proxy and its port */
	FENCE_ADDR_NAMED, /* DNS gave it for an allowed name, port included, and the answer is still
			     good */
	FENCE_ADDR_LISTED, /* inside a listed CIDR, port included */
	FENCE_ADDR_MAX,
};

/* What the stream, or the question, says about the name. */
enum fence_namefact {
	FENCE_NAME_NONE, /* not looked at */
	FENCE_NAME_PENDING, /* not complete yet */
	FENCE_NAME_ALLOWED, /* complete, allowed for the tool and port */
	FENCE_NAME_REFUSED, /* complete, not allowed */
	FENCE_NAME_ABSENT, /* the hello ended without a server name */
	FENCE_NAME_MALFORMED, /* cannot be parsed, or longer than any limit */
	FENCE_NAME_MAX_,
};

/* What the first bytes of a stream are. */
enum fence_stream {
	FENCE_STREAM_NONE, /* no byte yet */
	FENCE_STREAM_TLS, /* a TLS handshake record */
	FENCE_STREAM_CONNECT, /* an HTTP CONNECT request */
	FENCE_STREAM_OTHER, /* anything else */
	FENCE_STREAM_ABSOLUTE, /* an HTTP request in absolute form, to a proxy */
	FENCE_STREAM_MAX,
};

/* fence_facts.flags */
#define FENCE_F_CONFINED 0x01 /* the subject is a session's process or socket */
#define FENCE_F_MONITOR 0x02 /* the policy's mode: decide the same, block nothing */
#define FENCE_F_PLAIN_OK 0x04 /* the rule that gave the address says "tls": false */
#define FENCE_F_QUIC_OK 0x08 /* the policy says "quic": "allow" */
#define FENCE_F_PORT_OK 0x10 /* loopback, Unix: the tool lists this port or path */
#define FENCE_F_NAME_AT \
	0x20 /* the server name belongs to the address: DNS gave that address for that name */
#define FENCE_F_VIA_PROXY \
	0x40 /* inside a CONNECT: the name must be the one that CONNECT asked for, see NAME_AT */
#define FENCE_F_OVERFLOW 0x80 /* a table was full: nothing can be proved */

/*
 * fence_facts.form: what is wrong with the message (AT_DNS: a question, or an answer's address;
 * AT_REQUEST; AT_STREAM: a request to a proxy). AT_CREATE: the socket's kind is TCP or UDP
 */
#define FENCE_FORM_OK 0
#define FENCE_FORM_BAD 1 /* not one plain question, or bytes beyond it */
#define FENCE_FORM_TYPE 2 /* a question type other than A, AAAA, CNAME */
#define FENCE_FORM_TENANT 3 /* AT_REQUEST: the credential is of another org than the policy's */
#define FENCE_FORM_TOKEN 4 /* AT_REQUEST: an org's credential, for a host that is not the org's */
#define FENCE_FORM_RATE 5 /* AT_DNS: more questions than a session may ask */
#define FENCE_FORM_PRIVATE 6 /* AT_DNS: an answer's address is not a public one */
#define FENCE_FORM_RANGE 7 /* AT_DNS: an answer's address is none of those that Salesforce has */
#define FENCE_FORM_EARLY 8 /* AT_STREAM: more before the proxy has answered a CONNECT */

/* fence_facts.state */
#define FENCE_S_SILENT \
	0x01 /* the agent has not been heard of for longer than the policy allows \
	      */

struct fence_facts {
	__u8 at; /* enum fence_at */
	__u8 flags; /* FENCE_F_* */
	__u8 proto; /* IPPROTO_*, as the socket has it */
	__u8 addr; /* enum fence_addr */
	__u8 name; /* enum fence_namefact */
	__u8 stream; /* enum fence_stream */
	__u8 form; /* FENCE_FORM_* */
	__u8 state; /* FENCE_S_* */
};

enum fence_action {
	FENCE_ALLOW,
	FENCE_DENY,
	FENCE_WOULD_DENY, /* monitor mode: recorded, not blocked */
};

/*
 * Why. The names that people see stand in user/policy/reason.c, in this order; a number is never
 * reused.
 */
enum fence_reason {
	FENCE_R_UNCONFINED, /* not a session: nothing to decide */
	FENCE_R_NAME_OK, /* allowed name at its own address */
	FENCE_R_PLAIN_OK, /* allowed name without TLS, as its rule says */
	FENCE_R_ADDR_OK, /* listed CIDR */
	FENCE_R_PENDING, /* address allowed; the name is still to come */
	FENCE_R_DNS_OK, /* question for an allowed name */
	FENCE_R_LOCAL_OK, /* loopback port that the tool lists */
	FENCE_R_QUIC_OK, /* UDP to an allowed address, "quic": "allow" */
	FENCE_R_PROXY_OK, /* CONNECT to an allowed name and port */
	FENCE_R_SOCKET_OK, /* a TCP or UDP socket */
	FENCE_R_ADDR, /* DNS gave this address to no allowed name */
	FENCE_R_LOCAL, /* this machine */
	FENCE_R_SOCKET, /* socket kind other than TCP or UDP */
	FENCE_R_BIND, /* sessions do not listen */
	FENCE_R_SOCKOPT, /* option changes routes or opens layer 2 */
	FENCE_R_DNS_NAME, /* question for a name that is not allowed */
	FENCE_R_DNS_TYPE, /* question type other than A, AAAA, CNAME */
	FENCE_R_DNS_FORM, /* not one plain question */
	FENCE_R_UDP, /* UDP to other than a resolver */
	FENCE_R_SNI, /* server name not allowed */
	FENCE_R_SNI_ADDR, /* server name allowed, but not at this address */
	FENCE_R_SNI_NONE, /* TLS without a server name */
	FENCE_R_HELLO, /* hello cannot be parsed */
	FENCE_R_NOT_TLS, /* neither TLS nor allowed to be plain */
	FENCE_R_PROXY_METHOD, /* a proxy was asked for other than CONNECT */
	FENCE_R_PROXY_NAME, /* CONNECT to a name or port that is not allowed */
	FENCE_R_ACCEPT, /* connection from outside */
	FENCE_R_OVERFLOW, /* a table was full */
	FENCE_R_UNIX, /* a Unix peer that the tool does not list */
	FENCE_R_OTHER, /* a way to a process outside the session that is no network */
	FENCE_R_REQUEST, /* a request for a host that is not allowed */
	FENCE_R_TENANT, /* another org's credential */
	FENCE_R_TOKEN, /* the org's credential, for somebody else */
	FENCE_R_SILENT, /* no agent: nothing leaves a session until one is back */
	FENCE_R_PROXY_FORM, /* a request to a proxy that not every proxy reads alike */
	FENCE_R_PROXY_EARLY, /* more, before the proxy has answered the CONNECT */
	FENCE_R_PROXY_TLS, /* TLS to the proxy itself: what it is asked for cannot be seen */
	FENCE_R_DNS_RATE, /* more questions than a session may ask */
	FENCE_R_DNS_ADDR, /* an answer with an address that is not public */
	FENCE_R_DNS_RANGE, /* an answer for the org with an address that is not Salesforce's */
	FENCE_R_MAX,
};

struct fence_verdict {
	__u8 action; /* enum fence_action */
	__u8 reason; /* enum fence_reason */
};

#define FENCE_IPPROTO_TCP 6
#define FENCE_IPPROTO_UDP 17

FENCE_INLINE int fence_reason_is_allow(__u8 reason)
{
	return reason < FENCE_R_ADDR;
}

/*
 * An address of its own right: connect, or a packet that carries no stream or question to look at.
 */
FENCE_INLINE __u8 fence_decide_addr(const struct fence_facts *f)
{
	int udp = f->proto == FENCE_IPPROTO_UDP;

	switch (f->addr) {
	case FENCE_ADDR_RESOLVER: /* form bad: too few hops to reach it */
		return f->form == FENCE_FORM_OK ? FENCE_R_PENDING : FENCE_R_DNS_FORM;
	case FENCE_ADDR_LOOPBACK:
		return f->flags & FENCE_F_PORT_OK ? FENCE_R_LOCAL_OK : FENCE_R_LOCAL;
	case FENCE_ADDR_PROXY:
		return udp ? FENCE_R_UDP : FENCE_R_PENDING;
	case FENCE_ADDR_NAMED:
		if (!udp)
			return FENCE_R_PENDING;
		/*
		 * connect(2) of a datagram socket sends nothing and is how getaddrinfo(3) sorts
		 * addresses
		 */
		if (f->at == FENCE_AT_CONNECT)
			return FENCE_R_PENDING;
		return f->flags & FENCE_F_QUIC_OK ? FENCE_R_QUIC_OK : FENCE_R_UDP;
	case FENCE_ADDR_LISTED:
		return FENCE_R_ADDR_OK;
	default:
		return FENCE_R_ADDR;
	}
}

/* A server name inside TLS: allowed, and at an address (or behind a CONNECT) that belongs to it. */
FENCE_INLINE __u8 fence_decide_sni(const struct fence_facts *f)
{
	switch (f->name) {
	case FENCE_NAME_PENDING:
		return FENCE_R_PENDING;
	case FENCE_NAME_ALLOWED:
		return f->flags & FENCE_F_NAME_AT ? FENCE_R_NAME_OK : FENCE_R_SNI_ADDR;
	case FENCE_NAME_REFUSED:
		return FENCE_R_SNI;
	case FENCE_NAME_ABSENT:
		return FENCE_R_SNI_NONE;
	default:
		return FENCE_R_HELLO;
	}
}

/* What a proxy is asked for. */
FENCE_INLINE __u8 fence_decide_proxy(const struct fence_facts *f)
{
	if (f->form == FENCE_FORM_EARLY)
		return FENCE_R_PROXY_EARLY;
	if (f->stream == FENCE_STREAM_TLS)
		return FENCE_R_PROXY_TLS;
	if (f->stream == FENCE_STREAM_OTHER)
		return FENCE_R_PROXY_METHOD;
	if (f->name == FENCE_NAME_PENDING)
		return FENCE_R_PENDING;
	if (f->name == FENCE_NAME_MALFORMED)
		return FENCE_R_PROXY_FORM;
	if (f->stream == FENCE_STREAM_ABSOLUTE)
		return f->name == FENCE_NAME_ALLOWED && f->flags & FENCE_F_PLAIN_OK
			       ? FENCE_R_PLAIN_OK
			       : FENCE_R_PROXY_METHOD;
	return f->name == FENCE_NAME_ALLOWED ? FENCE_R_PROXY_OK : FENCE_R_PROXY_NAME;
}

FENCE_INLINE __u8 fence_decide_stream(const struct fence_facts *f)
{
	if (f->addr == FENCE_ADDR_LISTED)
		return FENCE_R_ADDR_OK;
	if (f->addr == FENCE_ADDR_LOOPBACK)
		return f->flags & FENCE_F_PORT_OK ? FENCE_R_LOCAL_OK : FENCE_R_LOCAL;
	if (f->addr == FENCE_ADDR_PROXY && !(f->flags & FENCE_F_VIA_PROXY))
		return fence_decide_proxy(f);
	if (f->addr != FENCE_ADDR_NAMED && f->addr != FENCE_ADDR_PROXY)
		return FENCE_R_ADDR;
	if (f->stream == FENCE_STREAM_NONE)
		return f->name == FENCE_NAME_PENDING ? FENCE_R_PENDING : FENCE_R_HELLO;
	if (f->stream == FENCE_STREAM_TLS)
		return fence_decide_sni(f);
	if (f->flags & FENCE_F_PLAIN_OK)
		return FENCE_R_PLAIN_OK;
	return FENCE_R_NOT_TLS;
}

FENCE_INLINE __u8 fence_decide_dns(const struct fence_facts *f)
{
	if (f->form == FENCE_FORM_BAD || f->name == FENCE_NAME_MALFORMED)
		return FENCE_R_DNS_FORM;
	if (f->name != FENCE_NAME_ALLOWED)
		return FENCE_R_DNS_NAME;
	switch (f->form) {
	case FENCE_FORM_OK:
		return FENCE_R_DNS_OK;
	case FENCE_FORM_RATE:
		return FENCE_R_DNS_RATE;
	case FENCE_FORM_PRIVATE:
		return FENCE_R_DNS_ADDR;
	case FENCE_FORM_RANGE:
		return FENCE_R_DNS_RANGE;
	default:
		return FENCE_R_DNS_TYPE;
	}
}

/* AT_DNS: it is about an answer's address, not about the question that the socket sent. */
FENCE_INLINE int fence_form_is_answer(__u8 form)
{
	return form == FENCE_FORM_PRIVATE || form == FENCE_FORM_RANGE;
}

/* What a session says inside a stream that was let through. */
FENCE_INLINE __u8 fence_decide_request(const struct fence_facts *f)
{
	int named = f->addr != FENCE_ADDR_LISTED && f->addr != FENCE_ADDR_LOOPBACK;

	if (f->form == FENCE_FORM_TOKEN)
		return FENCE_R_TOKEN;
	if (f->form == FENCE_FORM_TENANT)
		return FENCE_R_TENANT;
	return !named || f->name == FENCE_NAME_ALLOWED ? FENCE_R_PENDING : FENCE_R_REQUEST;
}

FENCE_INLINE __u8 fence_decide_reason(const struct fence_facts *f)
{
	if (f->flags & FENCE_F_OVERFLOW)
		return FENCE_R_OVERFLOW;
	if (f->state & FENCE_S_SILENT)
		return FENCE_R_SILENT;
	switch (f->at) {
	case FENCE_AT_CREATE:
		return f->form == FENCE_FORM_OK ? FENCE_R_SOCKET_OK : FENCE_R_SOCKET;
	case FENCE_AT_CONNECT:
	case FENCE_AT_SENDMSG:
	case FENCE_AT_PACKET:
		return fence_decide_addr(f);
	case FENCE_AT_BIND:
		return FENCE_R_BIND;
	case FENCE_AT_SOCKOPT:
		return FENCE_R_SOCKOPT;
	case FENCE_AT_DNS:
		return fence_decide_dns(f);
	case FENCE_AT_STREAM:
		return fence_decide_stream(f);
	case FENCE_AT_ACCEPT:
		return FENCE_R_ACCEPT;
	case FENCE_AT_LOCAL:
		return FENCE_R_OTHER;
	case FENCE_AT_REQUEST:
		return fence_decide_request(f);
	case FENCE_AT_UNIX:
		return f->flags & FENCE_F_PORT_OK ? FENCE_R_LOCAL_OK : FENCE_R_UNIX;
	default:
		return FENCE_R_OVERFLOW;
	}
}

FENCE_INLINE struct fence_verdict fence_decide(const struct fence_facts *f)
{
	struct fence_verdict v = { .action = FENCE_ALLOW, .reason = FENCE_R_UNCONFINED };

	if (!(f->flags & FENCE_F_CONFINED))
		return v;
	v.reason = fence_decide_reason(f);
	if (fence_reason_is_allow(v.reason))
		return v;
	v.action = f->flags & FENCE_F_MONITOR ? FENCE_WOULD_DENY : FENCE_DENY;
	return v;
}

#endif
