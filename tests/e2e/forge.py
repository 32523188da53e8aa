# SPDX-License-Identifier: Apache-2.0
"""Inside a session: ask for an allowed name, and have answers forged for it that name an address which must stay closed.

argv: resolver, address to smuggle in. Runs as root, so that even the resolver's own address can be forged by a raw socket of an
unconfined helper; here the forger is another socket of this machine, with every field right but one.
"""
import os
import socket
import struct
import sys
import time

resolver, evil = sys.argv[1:3]


def question(name, ident):
    q = struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0)
    for label in name.split("."):
        q += bytes([len(label)]) + label.encode()
    return q + b"\0" + struct.pack("!HH", 1, 1)


def answer(q, ident, ip):
    return struct.pack("!HHHHHH", ident, 0x8180, 1, 1, 0, 0) + q[12:] + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + socket.inet_aton(ip)


def opened():
    s = socket.socket()
    s.settimeout(1)
    try:
        s.connect((evil, 443))
        return True
    except OSError:
        return False


bad = []
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
own = ("10.99.0.2", 0)
s.connect((resolver, 53))
port = s.getsockname()[1]
s.close()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
q = question("acme.my.salesforce.com", 0x1234)
s.sendto(q, (resolver, 53))
mine = s.getsockname()[1]
# another local process answers the right question, id and port, from its own address
other = os.fork()
if not other:
    f = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        f.sendto(answer(q, 0x1234, evil), ("10.99.0.2", mine))
    except OSError:
        pass
    os._exit(0)
os.waitpid(other, 0)
s.recv(2000)
if opened():
    bad.append("an answer from another process")
# the true answer came: the same again is late, and was not asked for
if opened():
    bad.append("late")
print("; ".join(bad) or "closed")
sys.exit(1 if bad else 0)
