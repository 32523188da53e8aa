# SPDX-License-Identifier: Apache-2.0
"""A session's program that knocks at Unix sockets. usage: knock.py DIR WAY [TIMES]; prints the last error's name.

Ways: NAME (a path below DIR, or an absolute one), remove:NAME (connect, then take the name away at once), turn:NAME (connect through a link,
then point it elsewhere at once), relative:NAME, chroot:/NAME (with DIR for root), inmount:/NAME (with /dev/shm for it), mounted:/mnt/NAME (with DIR there, in mounts of its own),
appears:NAME (knock, wait until it is there and NAME.listens too, knock again).
"""
import ctypes
import errno
import os
import socket
import sys
import time

there, way, times = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1
how, _, name = way.rpartition(":")
path = os.path.join(there, name)
LIBC = ctypes.CDLL(None, use_errno=True)
if how in ("chroot", "inmount"):
    assert not LIBC.unshare(0x10000000), "unshare"
    os.chroot(there if how == "chroot" else "/dev/shm")
if how == "mounted":
    assert not LIBC.unshare(0x10020000), "unshare"
    assert not LIBC.mount(there.encode(), b"/mnt", None, 4096, None), "mount"
if how == "relative":
    os.chdir(there)
    path = name


def knock():
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(path)
        return "connected"
    except OSError as e:
        return errno.errorcode[e.errno]


out = knock()
if how == "remove":
    os.unlink(path)
if how == "turn":
    os.unlink(os.path.dirname(path))
    os.symlink("/nonexistent", os.path.dirname(path))
if how == "appears":
    print("knocked", flush=True)
    while not os.path.exists(path + ".listens"):
        time.sleep(0.001)
for _ in range(times - 1):
    out = knock()
print(out)
