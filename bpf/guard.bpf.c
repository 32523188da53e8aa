// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tier A1: BPF LSM. Attaches also where `lsm=` lacks bpf, and is then never called: the agent's
 * self-test finds that out.
 */
#define GUARD_TIER 1
#define GUARD(hook, ...) \
	SEC("lsm/" #hook) \
	int BPF_PROG(guard_on_##hook, ##__VA_ARGS__)
#include "lib/guards.h"
