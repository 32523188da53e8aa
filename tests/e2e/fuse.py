# SPDX-License-Identifier: Apache-2.0
"""A file system that does not answer: every file of a directory with its names and contents, read as it is up to an offset. Who reads
behind that waits for ever; who opens one too, once there is a ".shut" in the directory, who reads anything once there is a ".mute", and
who so much as looks for one once there is a ".dumb". USER: whose it is, root's if it is not given; of his nothing is kept by the kernel.
The kernel's protocol (linux/fuse.h, 7.31) by hand, as no library has to be there.

usage: fuse.py MOUNTPOINT DIRECTORY OFFSET [USER]; writes "ready", serves until it is killed, which ends who waits
"""
import ctypes
import os
import stat
import struct
import sys

point, source, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
LOOKUP, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR = 1, 3, 5, 14, 15, 17, 18, 25, 26, 27, 28, 29
FORGET, INTERRUPT, BATCH_FORGET, ENOENT, ENOSYS = 2, 36, 42, 2, 38

dev = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
user = int(sys.argv[4]) if len(sys.argv) > 4 else 0
keep = 0 if user else 1000
if libc.mount(b"crmfence-test", point.encode(), b"fuse", 0, b"fd=%d,rootmode=40755,user_id=%d,group_id=0,allow_other" % (dev, user)):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
print("ready", flush=True)
nodes = {1: source}
numbers = {source: 1}


def attributes(path):
    s = os.stat(path)
    mode = stat.S_IFMT(s.st_mode) | 0o755
    return struct.pack("<6Q10I", s.st_ino, s.st_size, 0, 1, 1, 1, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(op, node, body):
    path = nodes.get(node)
    if op in (LOOKUP, GETATTR) and os.path.exists(source + "/.dumb"):
        return None
    if op == INIT:
        return struct.pack("<4I2H3I2H8I", 7, 31, 0, 0, 0, 0, 65536, 1, 0, 0, 0, *[0] * 8)[:64]
    if op == LOOKUP:
        child = path + "/" + body.rstrip(b"\0").decode()
        if not os.path.lexists(child):
            return -ENOENT
        n = numbers.setdefault(child, len(numbers) + 1)
        nodes[n] = child
        return struct.pack("<4Q2I", n, 0, keep, keep, 0, 0) + attributes(child)
    if op == GETATTR:
        return struct.pack("<Q2I", keep, 0, 0) + attributes(path)
    if op == OPEN and os.path.exists(source + "/.shut"):
        return None
    if op in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 0, 0, 0)
    if op == READ and os.path.exists(source + "/.mute"):
        return None
    if op == READ:
        offset, size = struct.unpack("<QI", body[8:20])
        if offset + size > limit:
            return None
        with open(path, "rb") as f:
            f.seek(offset)
            return f.read(size)
    if op == READDIR:
        offset, out = struct.unpack("<Q", body[8:16])[0], b""
        for i, name in enumerate(sorted(os.listdir(path))):
            if i >= offset:
                out += struct.pack("<2Q2I", i + 2, i + 1, len(name), 0) + name.encode() + bytes(-len(name) % 8)
        return out
    if op == STATFS:
        return struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6)
    return b"" if op in (RELEASE, FLUSH, RELEASEDIR) else -ENOSYS


while True:
    request = os.read(dev, 1 << 17)
    _, op, unique, node = struct.unpack("<2I2Q", request[:24])
    if op in (FORGET, INTERRUPT, BATCH_FORGET):
        continue
    r = answer(op, node, request[40:])
    if r is not None:
        os.write(dev, struct.pack("<IiQ", 16 + (0 if isinstance(r, int) else len(r)), r if isinstance(r, int) else 0, unique) + (b"" if isinstance(r, int) else r))
