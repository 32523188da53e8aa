# SPDX-License-Identifier: Apache-2.0
"""A pinned map by bpf(2)."""
import ctypes
import errno
import json
import os
import struct
import subprocess


class BpfMap:
    """To fill it as a flood would, faster, or to change it as root could."""
    NR = 321  # x86_64
    GET, LOOKUP, UPDATE, DELETE, NEXT = 7, 1, 2, 3, 4

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        shown = json.loads(subprocess.run(["bpftool", "-j", "map", "show", "pinned", path], stdout=subprocess.PIPE, check=True).stdout)
        self.key, self.value = shown["bytes_key"], shown["bytes_value"]
        name = ctypes.create_string_buffer(path.encode())
        self.fd = self.call(self.GET, struct.pack("QII", ctypes.addressof(name), 0, 0))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), path)

    def call(self, cmd, attr):
        buf = ctypes.create_string_buffer(attr, 128)
        return self.libc.syscall(self.NR, cmd, buf, 128)

    def fill(self):
        """Entries until it is full, spread by their first octets; their keys."""
        keys, value = [], ctypes.create_string_buffer(self.value)
        for i in range(1 << 17):
            key = ctypes.create_string_buffer(struct.pack("<I", 0x40000000 + i).ljust(self.key, b"\xee"), self.key)
            if self.call(self.UPDATE, struct.pack("IIQQQ", self.fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)):
                if ctypes.get_errno() not in (errno.E2BIG, errno.ENOMEM):
                    raise OSError(ctypes.get_errno(), "filling a map")
                return keys
            keys.append(key)
        raise RuntimeError("the map is never full")

    def busy(self, flag):
        """`scratch`: each slot of each CPU in use, or none."""
        cpus = int(open("/sys/devices/system/cpu/possible").read().split("-")[-1]) + 1
        value = struct.pack("<I", flag).ljust(self.value, b"\0").ljust((self.value + 7) // 8 * 8, b"\0") * cpus
        for key in self.keys():
            k, v = ctypes.create_string_buffer(key, self.key), ctypes.create_string_buffer(value)
            if self.call(self.UPDATE, struct.pack("IIQQQ", self.fd, 0, ctypes.addressof(k), ctypes.addressof(v), 0)):
                raise OSError(ctypes.get_errno(), "occupying a slot")
        return []

    def empty(self, keys):
        for key in keys:
            self.call(self.DELETE, struct.pack("IIQQQ", self.fd, 0, ctypes.addressof(key), 0, 0))
        self.close()

    def close(self):
        os.close(self.fd)

    def next(self, key):
        k, out = key and ctypes.create_string_buffer(key, self.key), ctypes.create_string_buffer(self.key)
        if self.call(self.NEXT, struct.pack("IIQQQ", self.fd, 0, k and ctypes.addressof(k) or 0, ctypes.addressof(out), 0)):
            return None
        return out.raw

    def first(self):
        return self.next(None)

    def get(self, key):
        k, out = ctypes.create_string_buffer(key, self.key), ctypes.create_string_buffer(self.value)
        if self.call(self.LOOKUP, struct.pack("IIQQQ", self.fd, 0, ctypes.addressof(k), ctypes.addressof(out), 0)):
            raise OSError(ctypes.get_errno(), "looking a key up")
        return out.raw

    def put(self, key, value):
        k, v = ctypes.create_string_buffer(key, self.key), ctypes.create_string_buffer(value, self.value)
        if self.call(self.UPDATE, struct.pack("IIQQQ", self.fd, 0, ctypes.addressof(k), ctypes.addressof(v), 0)):
            raise OSError(ctypes.get_errno(), "changing a map")

    def keys(self):
        out, key = [], self.first()
        while key:
            out.append(key)
            key = self.next(key)
        return out

    def values(self):
        return [self.get(key) for key in self.keys()]
