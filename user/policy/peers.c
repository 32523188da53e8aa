// SPDX-License-Identifier: Apache-2.0
/*
 * Unix sockets that a desktop offers: what its programs connect to and who listens there on Debian,
 * Ubuntu and Fedora. Where systemd made the socket before it started the service, systemd is the
 * one who listens.
 */
#include <string.h>

#include "base/cleanup.h"
#include "policy/policy.h"

#define SYSTEMD "/usr/lib/systemd/systemd"

static const struct fence_unix_group groups[] = {
	{ "display", "Wayland and X11",
	  "X11 lets a client read other windows and type into them; Wayland does not",
	  (const char *const[]){ "%t/wayland-0", "%t/wayland-1", "@/tmp/.X11-unix/X0",
				 "/tmp/.X11-unix/X0", "@/tmp/.X11-unix/X1", "/tmp/.X11-unix/X1",
				 NULL },
	  (const char *const[]){ "/usr/bin/gnome-shell", "/usr/bin/kwin_wayland", "/usr/bin/sway",
				 "/usr/bin/weston", "/usr/lib/xorg/Xorg", "/usr/libexec/Xorg",
				 "/usr/bin/Xwayland", NULL } },
	{ "audio", "PipeWire and PulseAudio",
	  "a sound server can be told to send sound to the network",
	  (const char *const[]){ "%t/pipewire-0", "%t/pulse/native", NULL },
	  (const char *const[]){ SYSTEMD, "/usr/bin/pipewire", "/usr/bin/pipewire-pulse",
				 "/usr/bin/pulseaudio", NULL } },
	{ "session-bus", "the D-Bus session bus",
	  "who may speak on the session bus can have other programs started outside the session",
	  (const char *const[]){ "%t/bus", NULL },
	  (const char *const[]){ SYSTEMD, "/usr/bin/dbus-daemon", "/usr/bin/dbus-broker", NULL } },
};

const struct fence_unix_group *fence_unix_group(size_t i)
{
	return i < ARRAY_SIZE(groups) ? &groups[i] : NULL;
}

int fence_policy_unix_each(const struct fence_policy_tool *t, fence_unix_one *each, void *ctx)
{
	const char *const *path, *const *owner;
	size_t i;
	int flags, err = 0;

	for (i = 0; !err && i < t->nunix; i++)
		err = each(ctx, t->unix_peers[i].path, t->unix_peers[i].owner,
			   t->unix_peers[i].unproved ? FENCE_UNIX_UNPROVED : 0);
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		flags = FENCE_UNIX_CURATED | (t->unix_unproved >> i & 1 ? FENCE_UNIX_UNPROVED : 0);
		for (path = groups[i].paths; t->unix_groups >> i & 1 && *path; path++)
			for (owner = groups[i].owners; !err && *owner; owner++)
				err = each(ctx, *path, *owner, flags);
	}
	return err;
}

static int is_unproved(void *ctx, const char *path, const char *owner, int flags)
{
	const int *abstract = ctx;

	(void)owner;
	return flags & FENCE_UNIX_UNPROVED && (!*abstract || path[0] == '@');
}

int fence_policy_unproved(const struct fence_policy_tool *t, int abstract)
{
	return fence_policy_unix_each(t, is_unproved, &abstract);
}
