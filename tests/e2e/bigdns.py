# SPDX-License-Identifier: Apache-2.0
"""Ask over TCP for a name with many addresses, the message cut as asked; then say how many addresses came, and how connect(2) took each.

usage: bigdns.py whole|length|two RESOLVER NAME
"""
import errno
import socket
import struct
import sys

cut, resolver, name = sys.argv[1:]
q = b"\0\7\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0\0\1\0\1"
s = socket.create_connection((resolver, 53), 5)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
if cut == "length":  # in a segment of its own
    s.sendall(struct.pack("!H", len(q)))
    s.sendall(q)
elif cut == "two":  # two questions in one segment, as the C library asks for A and AAAA
    aaaa = q[:1] + b"\x08" + q[2:-3] + b"\x1c\0\1"
    s.sendall(struct.pack("!H", len(aaaa)) + aaaa + struct.pack("!H", len(q)) + q)
else:
    s.sendall(struct.pack("!H", len(q)) + q)


def message():
    n = struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0]
    return s.recv(n, socket.MSG_WAITALL)


m = message()
if cut == "two" and not struct.unpack("!H", m[6:8])[0]:
    m = message()
count, at, addrs = struct.unpack("!H", m[6:8])[0], len(q), []
for _ in range(count):
    addrs.append(socket.inet_ntoa(m[at + 12:at + 16]))  # a pointer, ten octets, four of address
    at += 16
took = {"reached": 0, "refused": 0}
for a in addrs:
    c = socket.socket()
    c.setblocking(False)
    took["refused" if c.connect_ex((a, 443)) == errno.EPERM else "reached"] += 1
    c.close()
print(count, "reached", took["reached"], "refused", took["refused"])
