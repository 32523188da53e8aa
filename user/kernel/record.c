// SPDX-License-Identifier: Apache-2.0
/* Nothing reads a record before it has passed here. */
#include <errno.h>
#include <string.h>

#include "kernel/kernel.h"

static uint64_t tail_of(const void *data, uint16_t kind)
{
	switch (kind) {
	case FENCE_K_EXEC:
		return ((const struct fence_rec_exec *)data)->path_len;
	case FENCE_K_FLOW:
	case FENCE_K_NAME:
	case FENCE_K_DENY:
		return ((const struct fence_rec_flow *)data)->name_len;
	case FENCE_K_DNS:
		return ((const struct fence_rec_dns *)data)->msg_len;
	default:
		return 0;
	}
}

int fence_record_check(const void *data, uint64_t size)
{
	static const uint32_t fixed[FENCE_K_MAX] = {
		[FENCE_K_EXEC] = sizeof(struct fence_rec_exec),
		[FENCE_K_SESSION] = sizeof(struct fence_rec_session),
		[FENCE_K_FLOW] = sizeof(struct fence_rec_flow),
		[FENCE_K_NAME] = sizeof(struct fence_rec_flow),
		[FENCE_K_DENY] = sizeof(struct fence_rec_flow),
		[FENCE_K_CLOSE] = sizeof(struct fence_rec_close),
		[FENCE_K_DNS] = sizeof(struct fence_rec_dns),
	};
	static const uint16_t most[FENCE_K_MAX] = {
		[FENCE_K_EXEC] = FENCE_PATH_MAX, [FENCE_K_FLOW] = FENCE_NAME_MAX,
		[FENCE_K_NAME] = FENCE_NAME_MAX, [FENCE_K_DENY] = FENCE_NAME_MAX,
		[FENCE_K_DNS] = FENCE_DNS_MAX,
	};
	struct fence_rec h;
	uint64_t tail;

	if (size < sizeof(h))
		return -EINVAL;
	memcpy(&h, data, sizeof(h));
	if (h.kind >= FENCE_K_MAX || !fixed[h.kind] || h.version != 1 || h.len < fixed[h.kind] ||
	    h.len > size)
		return -EINVAL;
	tail = tail_of(data, h.kind);
	if (tail > most[h.kind] || fixed[h.kind] + tail > h.len)
		return -EINVAL;
	return 0;
}
