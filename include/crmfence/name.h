/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Host names, one octet at a time, and the key under which a rule is found. Pure; shared by BPF and
 * user space.
 *
 * A name is fed octet by octet (from a hello, a CONNECT line or DNS labels). It is folded to lower
 * case and refused when it has any octet but a-z 0-9 - _ and single dots between labels of 1..63
 * octets. A trailing dot is refused here: the callers that may meet one (people, policies) strip it
 * first.
 *
 * Keys are reversed so that one longest-prefix lookup finds both exact and suffix rules at a label
 * boundary: exact   acme.my.salesforce.com     "moc.ecrofselas.ym.emca" NUL suffix  *.acme.example
 * "elpmaxe.emca." shape   acme--*.vf.force.com       "moc.ecrof.fv." "*" "--emca" NUL The shape of
 * a name replaces what follows the last "--" of its first label by one "*". So "acme--c" and
 * "acme--ns" have the shape "acme--*", and "acme--uat--c" has "acme--uat--*", which is another one:
 * a star never spans a "--".
 *
 * `hash` has no key, so a session can make two names of one number. No decision rests on it alone:
 * a name is allowed by its text (rule_find), and the number only says which of the allowed ones it
 * was. What two names of one number give, map by map: `answers`, fence_sock.name: a name that is
 * allowed at an address that DNS gave for another one that is allowed as well. `questions`: who can
 * forge an answer can write the right name into it. `soles`: more is held to the policy, never
 * less. `denied`: a denial is counted under another name. What is decided by a number is decided by
 * a keyed one (hash.h).
 */
#ifndef CRMFENCE_NAME_H
#define CRMFENCE_NAME_H

#include "abi.h"

#define FENCE_FNV_BASIS 0xcbf29ce484222325ULL
#define FENCE_FNV_PRIME 0x100000001b3ULL

struct fence_name {
	__u64 hash; /* FNV-1a of the octets, and never 0; of a Unix name: hash.h */
	__u16 len; /* octets in text */
	__u16 dot; /* octets of the first label: place of the first dot, or len while there is none
		    */
	__u16 star; /* place after the last "--" in the first label; 0: none */
	__u8 label; /* octets of the current label */
	__u8 bad; /* 1: refused; stays so */
	char text[256]; /* not terminated */
};

FENCE_INLINE void fence_name_init(struct fence_name *n)
{
	n->hash = FENCE_FNV_BASIS;
	n->len = 0;
	n->dot = 0;
	n->star = 0;
	n->label = 0;
	n->bad = 0;
}

FENCE_INLINE __u64 fence_fnv(__u64 hash, __u8 octet)
{
	return (hash ^ octet) * FENCE_FNV_PRIME;
}

FENCE_INLINE int fence_name_octet_ok(__u8 c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Take one octet. Once bad, a name stays bad. */
FENCE_INLINE void fence_name_feed(struct fence_name *n, __u8 c)
{
	__u16 len = n->len;

	if (c >= 'A' && c <= 'Z')
		c |= 0x20;
	if (n->bad || len >= FENCE_NAME_MAX) {
		n->bad = 1;
		return;
	}
	if (c == '.') {
		if (!n->label) {
			n->bad = 1;
			return;
		}
		n->label = 0;
	} else {
		if (!fence_name_octet_ok(c) || n->label >= FENCE_LABEL_MAX) {
			n->bad = 1;
			return;
		}
		n->label++;
		if (n->dot == len) { /* still in the first label */
			n->dot = len + 1;
			if (c == '-' && len && n->text[(len - 1) & 255] == '-')
				n->star = len + 1;
		}
	}
	n->text[len & 255] = (char)c;
	n->hash = fence_fnv(n->hash, c);
	if (!n->hash) /* means "none", and "any", elsewhere */
		n->hash = FENCE_FNV_BASIS;
	n->len = len + 1;
}

/* True when the name is whole: not bad, not empty, no trailing dot, at least two labels. */
FENCE_INLINE int fence_name_ok(const struct fence_name *n)
{
	return !n->bad && n->label && n->dot < n->len;
}

/* True when the first label has a shape: "x--y", x not empty, y of 1..FENCE_STAR_MAX octets. */
FENCE_INLINE int fence_name_has_shape(const struct fence_name *n)
{
	return n->star > 2 && n->dot > n->star && n->dot - n->star <= FENCE_STAR_MAX;
}

/* Octets of the exact key and of the shape key, each with its NUL. */
FENCE_INLINE __u32 fence_name_key_len(const struct fence_name *n)
{
	return n->len + 1u;
}

FENCE_INLINE __u32 fence_name_shape_len(const struct fence_name *n)
{
	return (__u32)n->len - n->dot + 1u + n->star + 1u;
}

/* Octet `i` of the exact key. */
FENCE_INLINE char fence_name_key_at(const struct fence_name *n, __u32 i)
{
	return i < n->len ? n->text[(n->len - 1u - i) & 255] : 0;
}

/* Octet `i` of the shape key. */
FENCE_INLINE char fence_name_shape_at(const struct fence_name *n, __u32 i)
{
	__u32 tail = (__u32)n->len - n->dot; /* ".vf.force.com" */

	if (i < tail)
		return n->text[(n->len - 1u - i) & 255];
	if (i == tail)
		return '*';
	i -= tail + 1;
	return i < n->star ? n->text[(n->star - 1u - i) & 255] : 0;
}

#endif
