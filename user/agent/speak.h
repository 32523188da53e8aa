/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a child that is tried (fence_sight_try): speak to itself through a TLS library of the system,
 * loaded from `path`, over the connection fds; write the first nonce on fds[0], read it on fds[1].
 * 0; -1: this library does not do so here. No certificate is needed: pre-shared key or anonymous.
 */
#ifndef FENCE_AGENT_SPEAK_H
#define FENCE_AGENT_SPEAK_H

#include "kernel/sight.h"

int speak_openssl(const char *path, const int fds[2], const uint8_t nonce[][FENCE_TRY_NONCE]);
int speak_gnutls(const char *path, const int fds[2], const uint8_t nonce[][FENCE_TRY_NONCE]);
/* NSPR knows no TLS, which NSS lays over it: a layer that passes on does for its probes. */
int speak_nspr(const char *path, const int fds[2], const uint8_t nonce[][FENCE_TRY_NONCE]);

#endif
