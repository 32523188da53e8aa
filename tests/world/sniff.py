# SPDX-License-Identifier: Apache-2.0
"""Ground truth: every packet that reaches the private internet, seen from inside it.

Usage: sniff.py INTERFACE OUT TOKEN... . Writes OUT on SIGUSR1 and at the end: which tokens were seen in clear, and, per remote address
and port, payload octets, and octets inside TLS 1.3's application-data records (of packets that begin with a record).
"""
import json
import os
import signal
import socket
import struct
import sys

interface, out = sys.argv[1], sys.argv[2]
prefix = sys.argv[3].encode()
seen, flows = {}, {}


def dump(*_):
    with open(out + ".tmp", "w") as f:
        json.dump({"tokens": seen, "flows": flows}, f)
    os.rename(out + ".tmp", out)


def end(*_):
    dump()
    sys.exit(0)


signal.signal(signal.SIGUSR1, dump)
signal.signal(signal.SIGTERM, end)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
s.bind((interface, 0))
dump()
while True:
    try:
        p, addr = s.recvfrom(65600)
    except InterruptedError:
        continue
    if addr[2] == socket.PACKET_OUTGOING:
        continue
    kind = struct.unpack("!H", p[12:14])[0]
    if kind == 0x0800:
        at, proto, dst = 14 + (p[14] & 15) * 4, p[23], socket.inet_ntop(socket.AF_INET, p[30:34])
    elif kind == 0x86DD:
        at, proto, dst = 54, p[20], socket.inet_ntop(socket.AF_INET6, p[38:54])
    else:
        continue
    if proto == 6:
        data = p[at + (p[at + 12] >> 4) * 4:]
    elif proto == 17:
        data = p[at + 8:]
    else:
        data = p[at:]
    if not data:
        continue
    port = struct.unpack("!H", p[at + 2:at + 4])[0] if proto in (6, 17) else 0
    f = flows.setdefault("%s %d %d" % (dst, proto, port), {"octets": 0, "inside": 0})
    f["octets"] += len(data)
    i = 0
    while len(data) >= i + 5 and 20 <= data[i] <= 23 and data[i + 1] == 3:
        n = struct.unpack("!H", data[i + 3:i + 5])[0]
        f["inside"] += n - 17 if data[i] == 23 else 0  # without its type and tag (RFC 8446, 5.2)
        i += 5 + n
    i = data.find(prefix)
    while i >= 0:
        t = data[i:i + len(prefix) + 8].decode("latin1")
        seen.setdefault(t, [])
        where = "%s:%d" % (dst, port)
        if where not in seen[t]:
            seen[t].append(where)
        i = data.find(prefix, i + 1)
