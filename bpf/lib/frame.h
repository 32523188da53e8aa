/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Layer 1. Where the frames of one direction of an HTTP/2 connection begin (RFC 9113 4.1), from its
 * first on, a header's octet at a time. Pure; the host tests build this very file.
 */
#ifndef FENCE_BPF_FRAME_H
#define FENCE_BPF_FRAME_H

#include <crmfence/name.h>

#define FENCE_FRAME_HEADER 9

struct fence_frame {
	__u32 left; /* octets of the payload that are still to come; of a header, its length */
	__u8 got; /* octets of the header */
	__u8 type;
	__u8 flags;
	__u8 spare;
};

FENCE_INLINE void frame_feed(struct fence_frame *f, __u8 c)
{
	if (!f->got)
		f->left = 0;
	f->got++;
	if (f->got <= 3)
		f->left = f->left << 8 | c;
	else if (f->got == 4)
		f->type = c;
	else if (f->got == 5)
		f->flags = c;
	if (f->got == FENCE_FRAME_HEADER)
		f->got = 0;
}

/*
 * As many of the `n` octets at `p` as are the header's that is due, FENCE_FRAME_HEADER at most; n
 * is not 0. Only while there is no payload to come.
 */
FENCE_INLINE __u32 fence_frame_head(struct fence_frame *f, const __u8 *p, __u32 n)
{
	__u32 used = 0, i;

	for (i = 0; i < FENCE_FRAME_HEADER; i++)
		if (i < n && (!i || f->got)) {
			frame_feed(f, p[i]);
			used++;
		}
	return used;
}

/* Is what comes next payload, of which a body is made and nothing else? */
FENCE_INLINE int fence_frame_is_body(const struct fence_frame *f)
{
	return !f->got && f->left && !f->type && !(f->flags & 8);
}

#endif
