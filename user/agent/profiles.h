/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a browser has installed, read by the scanner (SCAN_BROWSER) from files that its user may
 * write: command line and HOME of the question's processes, profiles, manifests. An answer is a
 * part an extension or add-on, its kind in the first octet, and a last part without data whose err
 * is -EOVERFLOW when there may be more than was told: too many, too large, or no time.
 */
#ifndef FENCE_AGENT_PROFILES_H
#define FENCE_AGENT_PROFILES_H

#include "agent/scan.h"
#include "base/buf.h"

#define PROFILES_MOST 64 /* extensions, and 4 times as many add-ons, that are told */
#define PROFILES_ID 32 /* letters of a Chromium extension's id */
#define PROFILES_EXTENSION 'e' /* id NUL, octets of hosts as a number NUL, hosts, scripts */
#define PROFILES_ADDON 'a' /* id NUL, uuid NUL */

int profiles_read(const struct scan_question *q, const struct scan_out *o);

#endif
