// SPDX-License-Identifier: Apache-2.0
/* The key of the keyed hashes in the maps (hash.h): made once, and the pins' from then on. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "kernel/internal.h"

int fence_kernel_key_put(struct fence_kernel *k, struct fence_diag *d)
{
	struct fence_config c = { 0 };
	uint32_t zero = 0;

	if (k->adopted)
		return 0;
	if (getrandom(k->key, sizeof(k->key), 0) != sizeof(k->key))
		return fence_diag_set(d, -EIO, NULL, "the kernel gives no random octets: %s",
				      strerror(errno));
	memcpy(c.key, k->key, sizeof(c.key));
	return fence_kernel_put(k, FENCE_MAP_CONFIG, &zero, &c);
}

const __u64 *fence_kernel_key(const struct fence_kernel *k)
{
	return k->key;
}
