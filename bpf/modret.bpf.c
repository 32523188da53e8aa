// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tier A2: fmod_ret on the functions that call the security hooks. Such a program may not look into
 * socket storage.
 */
#define GUARD_WITHOUT_STORAGE
#define GUARD_TIER 2
#define GUARD(hook, ...) \
	SEC("fmod_ret/security_" #hook) \
	int BPF_PROG(modret_##hook, ##__VA_ARGS__)
#include "lib/guards.h"
