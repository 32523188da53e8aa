# SPDX-License-Identifier: Apache-2.0
"""What a session may ask of DNS beside a name, how often, and which answers it may follow. Cases for run.py; each starts its own agent."""
import json
import os
import shutil
import subprocess
import time

import world as W
from world import AI, DNS, OWN, SHARED, script

OWN_NAME = "acme.my.salesforce.com"


def flavours(w):
    """The same program as a session of `crmfence exec`, and recognised by its executable."""
    shutil.copy("/usr/bin/python3", w.dir + "/assistantd")
    return (("exec", ["python3"], True), ("matched", [w.dir + "/assistantd"], False))


others = {}


def serve(w, names, address="10.99.0.54"):
    """Another resolver, in place of one that was made here before, whose answers are `names`: name -> addresses."""
    where, log = "%s/hosts-%s" % (w.dir, address), "%s/%s.log" % (w.dir, address)
    if address in others:
        others[address].kill()
        others[address].wait()
        os.unlink(log)
    with open(where, "w") as f:
        f.writelines("%s %s\n" % (a, n) for n, each in names.items() for a in each)
    W.sh("ip", "-n", w.net, "addr", "replace", address + "/16", "dev", w.id + "b")
    others[address] = w.spawn(w.net, "dnsmasq", "-k", "--no-resolv", "--no-hosts", "--addn-hosts=" + where, "--listen-address=" + address,
                              "--bind-interfaces", "--pid-file=", "--log-queries", "--log-facility=" + log, "--local-ttl=5", "--user=root",
                              "--cache-size=0")
    w.wait(lambda: os.path.exists(log) and "started" in open(log).read() and "read " + where in open(log).read(), "the other resolver")
    return address


def denials(w, before, reason=None):
    return [d for d in w.rows("deny") if d["id"] > before and (not reason or d["reason"] == reason)]


def last(w):
    return max([r["id"] for r in w.rows("deny")] or [0])


def counted(w, before, n):
    """Denials since then, when as many as that are told, or none comes any more."""
    end = time.time() + 15
    while sum(d["count"] for d in denials(w, before)) < n and time.time() < end:
        time.sleep(0.3)
    return denials(w, before)


# ---- forms ----

# Each form is (name, may it pass, header's flags, counts, OPT or None, other things).
ASK = r"""
import json, os, socket, struct, sys, time
NAME = b"".join(bytes([len(x)]) + x for x in b"acme.my.salesforce.com".split(b".")) + b"\0"
def opt(size=1232, ttl=0, data=b"", name=b"\0", kind=41):
    return name + struct.pack("!HHIH", kind, size, ttl, len(data)) + data
def option(code, data):
    return struct.pack("!HH", code, len(data)) + data
def ask(flags=0x100, counts=(1, 0, 0), more=b"", tail=b"", name=NAME, qclass=1):
    n = 1 if more else 0
    return struct.pack("!HHHHHH", int.from_bytes(os.urandom(2), "big"), flags, *counts, n) + name + struct.pack("!HH", 1, qclass) + more + tail
COOKIE = lambda n: opt(data=option(10, b"tkn0form" + b"c" * (n - 8)))
FORMS = {  # name: (may it pass, message, hop limit)
    "plain": (1, ask(), 64), "no recursion": (1, ask(0), 64), "AD": (1, ask(0x120), 64), "CD": (1, ask(0x110), 64),
    "OPT": (1, ask(more=opt()), 64), "DO": (1, ask(more=opt(ttl=0x8000)), 64), "size 512": (1, ask(more=opt(512)), 64),
    "size 65535": (1, ask(more=opt(65535)), 64), "cookie 8": (1, ask(more=COOKIE(8)), 64), "cookie 16": (1, ask(more=COOKIE(16)), 64),
    "cookie 24": (1, ask(more=COOKIE(24)), 64), "cookie 40": (1, ask(more=COOKIE(40)), 64), "32 hops": (1, ask(), 32),
    "31 hops": (0, ask(), 31), "1 hop": (0, ask(), 1), "RA": (0, ask(0x180), 64), "Z": (0, ask(0x140), 64), "RCODE": (0, ask(0x10f), 64),
    "AA": (0, ask(0x500), 64), "TC": (0, ask(0x300), 64), "opcode": (0, ask(0x2900), 64), "QR": (0, ask(0x8100), 64),
    "ANCOUNT": (0, ask(counts=(1, 1, 0)), 64), "NSCOUNT": (0, ask(counts=(1, 0, 1)), 64), "QDCOUNT": (0, ask(counts=(2, 0, 0)), 64),
    "class": (0, ask(qclass=3), 64), "size 511": (0, ask(more=opt(511)), 64), "version": (0, ask(more=opt(ttl=0x10000)), 64),
    "extended RCODE": (0, ask(more=opt(ttl=0x1000000)), 64), "OPT flags": (0, ask(more=opt(ttl=0x4001)), 64),
    "any option": (0, ask(more=opt(data=option(65001, b"tkn0form" * 2))), 64), "NSID": (0, ask(more=opt(data=option(3, b""))), 64),
    "padding": (0, ask(more=opt(data=option(12, b"tkn0form"))), 64), "subnet": (0, ask(more=opt(data=option(8, b"\0\1\x18\0\1\2\3"))), 64),
    "cookie 9": (0, ask(more=COOKIE(9)), 64), "cookie 15": (0, ask(more=COOKIE(15)), 64), "cookie 41": (0, ask(more=COOKIE(41)), 64),
    "two options": (0, ask(more=opt(data=option(10, b"tkn0form") + option(12, b""))), 64),
    "two cookies": (0, ask(more=opt(data=option(10, b"tkn0form") * 2)), 64), "OPT's name": (0, ask(more=opt(name=b"\1x\0")), 64),
    "another record": (0, ask(more=opt(kind=250)), 64), "a tail": (0, ask(tail=b"x"), 64), "a tail behind OPT": (0, ask(more=opt(), tail=b"x"), 64),
}
def send(how, resolver, message, hops):
    v6 = ":" in resolver
    level, name = (41, 16) if v6 else (0, 2)  # IPV6_UNICAST_HOPS, IP_TTL
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM if how == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(2 * float(os.environ.get("FENCE_SLOW", "1")))
    if how == "tcp":
        s.connect((resolver, 53))
        s.setsockopt(level, name, hops)
        s.sendall(struct.pack("!H", len(message)) + message)
        if not s.recv(2000):
            raise OSError(0, "closed")
    elif how == "cmsg":
        s.sendmsg([message], [(level, 52 if v6 else name, struct.pack("i", hops))], 0, (resolver, 53))  # IPV6_HOPLIMIT
    else:
        s.setsockopt(level, name, hops)
        s.sendto(message, (resolver, 53))
how, resolver, which = sys.argv[1:4]
for name, (good, message, hops) in FORMS.items():
    if which != "all" and good != (which == "good") or (how == "cmsg" and "hop" not in name):
        continue
    try:
        send(how, resolver, message, hops)
        print(name, "sent", sep=": ")
    except OSError as e:
        print(name, e.errno, sep=": ")
"""


def heard(w, resolver, proto):
    return w.sniffed()["flows"].get("%s %d 53" % (resolver, proto), {"octets": 0})["octets"]


def dns_forms(w):
    """Forty forms of an allowed question, in a datagram, by a control message, over TCP, v4 and v6: what leaves room beside the name or dies on its
    way is refused, and nothing of it is at the sniffer; what resolvers of today write passes."""
    path, bad = script(w, "ask.py", ASK), []
    ways = [(how, r) for how in ("udp", "cmsg", "tcp") for r in (DNS, "fd99::53")]
    for how, r in ways:
        out = w.run("python3", path, how, r, "bad" if how != "tcp" else "good", confined=False, timeout=120)[1]
        lost = [x for x in out.splitlines() if not x.endswith(": sent")]
        bad += ["does not leak without crmfence: %s %s %s" % (how, r, lost)] if lost or not out else []
    w.start("--quiet", dns={"distinct": 1000})
    for flavour, python, confined in flavours(w):
        for how, r in ways:
            code, out = w.run(*python, path, how, r, "good", confined=confined, timeout=60)
            lost = [x for x in out.splitlines() if not x.endswith(": sent")]
            bad += ["%s %s %s refused: %s" % (flavour, how, r, lost)] if lost or not out else []
            before, at = heard(w, r, 6 if how == "tcp" else 17), last(w)
            code, out = w.run(*python, path, how, r, "bad", confined=confined, timeout=120)
            passed = [x for x in out.splitlines() if not x.endswith(": 1" if how != "tcp" else ": 103")]
            leaked = heard(w, r, 6 if how == "tcp" else 17) - before
            bad += ["%s %s %s: %s, %d octets LEAKED" % (flavour, how, r, passed, leaked)] if passed or leaked or not out else []
            told = {d["reason"] for d in denials(w, at)}
            bad += ["%s %s %s told as %s" % (flavour, how, r, told)] if told != {"dns-form"} else []
    # the beginning of a connection that dies on its way, which somebody nearer could take
    syn = ("import socket,sys\ns=socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)\ns.settimeout(3)\n"
           "s.setsockopt(*((41,16) if ':' in sys.argv[1] else (0,2)),int(sys.argv[2]))\n"
           "try:\n s.connect((sys.argv[1],53));print('connected')\nexcept OSError as e:\n print(e.errno or 'late')")
    for r in (DNS, "fd99::53"):
        got = [w.run("python3", "-c", syn, r, hops)[1].strip() for hops in ("1", "64")]
        bad += ["a connection to %s with 1 and 64 hops: %s" % (r, got)] if got not in (["103", "connected"], ["late", "connected"]) else []
    w.stop()
    return bad


def dns_askers(w):
    """Real askers, each as it comes: the C library, busybox, Node's two ways, Go's own, and dig with cookies of 8 and 8 + 16 octets, DNSSEC, TCP, v6.
    What says more than that (name server id, client subnet, padding) is refused."""
    dig = ["dig", "+short", "+tries=1", "+time=2", "@" + DNS, OWN_NAME]
    good = {"getent": ["getent", "ahosts", OWN_NAME], "getent edns0": ["env", "RES_OPTIONS=edns0 trust-ad", "getent", "ahosts", OWN_NAME],
            "getent rotate": ["env", "RES_OPTIONS=single-request use-vc", "getent", "ahosts", OWN_NAME], "python": ["python3", "-c", "import socket;print(socket.gethostbyname('%s'))" % OWN_NAME],
            "node resolve": ["node", "-e", "require('dns').resolve4('%s',(e,a)=>console.log(e?e.code:a[0]))" % OWN_NAME],
            "node lookup": ["node", "-e", "require('dns').lookup('%s',{family:4},(e,a)=>console.log(e?e.code:a))" % OWN_NAME],
            "dig": dig, "dig 8+16": dig + ["+cookie=" + "0123456789abcdef" * 3], "dig dnssec": dig + ["+dnssec"], "dig plain": dig + ["+noedns"],
            "dig tcp": dig + ["+tcp"], "dig v6": [a.replace("@" + DNS, "@fd99::53") for a in dig] + ["-6"], "dig cd": dig + ["+cd", "+nocookie"]}
    if shutil.which("busybox"):
        good["busybox"] = ["busybox", "nslookup", OWN_NAME, DNS]
    if shutil.which("go"):
        path = w.dir + "/ask.go"
        with open(path, "w") as f:
            f.write('package main\nimport ("context";"fmt";"net")\nfunc main() { r := net.Resolver{PreferGo: true}\n'
                    'a, e := r.LookupHost(context.Background(), "%s"); fmt.Println(a, e) }\n' % OWN_NAME)
        W.sh("go", "build", "-o", w.dir + "/goask", path, env=dict(os.environ, GOCACHE=w.dir + "/gocache", GO111MODULE="off", CGO_ENABLED="0"))
        good["go"] = [w.dir + "/goask"]
    if not shutil.which("dig"):
        return "dig is not installed"
    w.start("--quiet")
    bad = []
    for name, cmd in good.items():
        for confined in (False, True):
            code, out = w.run(*cmd, confined=confined)
            bad += ["%s, confined %s: %d %r" % (name, confined, code, out[-200:])] if code or OWN not in out else []
    told = [d for d in denials(w, 0) if d["at"] == "dns"]
    bad += ["honest askers were refused: %s" % [(d["reason"], d.get("name")) for d in told]] if told else []
    for more in (["+nsid"], ["+subnet=192.0.2.0/24"], ["+padding=128"], ["+ednsopt=65001:746b6e30"], ["+qr", "+header-only"]):
        code, out = w.run(*dig, *more)
        bad += ["dig %s: %r" % (more, out[-200:])] if OWN in out else []
    w.stop()
    return bad


# ---- how often ----

FLOOD = r"""
import os, random, socket, struct, sys, time
how, resolver, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
def name(text):
    return b"".join(bytes([len(x)]) + x for x in text.encode().split(b".")) + b"\0"
def ask(i):
    text, flags, more, kind = "acme.my.salesforce.com", 0x100, b"", 1
    if how == "case":
        text = "ACME".join(("", ".my.")) + "".join(c.upper() if i >> k & 1 else c for k, c in enumerate("salesforce")) + ".com"
    elif how == "star":
        text = "acme--x%d.vf.force.com" % i
    elif how == "size":
        more = b"\0" + struct.pack("!HHIH", 41, 512 + i, 0, 0)
    elif how == "cookie":
        more = b"\0" + struct.pack("!HHIHHH8s", 41, 1232, 0, 12, 10, 8, i.to_bytes(8, "big"))
    elif how == "mixed":
        flags, kind = (0x100, 0x110, 0x120, 0x130)[i % 4], (1, 28, 5)[i // 4 % 3]
    return struct.pack("!HHHHHH", random.randrange(65536), flags, 1, 0, 0, 1 if more else 0) + name(text) + struct.pack("!HH", kind, 1) + more
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((resolver, 53))
sent, errors, began = 0, set(), time.time()
for i in range(n):
    if how == "children" and os.fork():
        os.wait()
        continue
    try:
        s.send(ask(i if how != "children" else i * 64))
        sent += 1
    except OSError as e:
        errors.add(e.errno)
    if how == "children":
        print("child", sent)
        os._exit(0)
print(sent, sorted(errors), round(time.time() - began, 2))
"""


def dns_rate(w):
    """Whatever a session chooses of a question is bounded by how many it may ask that differ, and its ids by how many it may ask at all; asked again, a
    question costs nothing, and another session has its own."""
    path, bad = script(w, "flood.py", FLOOD), []
    w.start("--quiet", dns={"distinct": 30})
    for flavour, python, confined in flavours(w):
        for how, n, most in (("case", 400, 31), ("star", 400, 31), ("size", 400, 31), ("cookie", 400, 31), ("same", 400, 400), ("mixed", 400, 400)):
            free = w.run("python3", path, how, DNS, "400", confined=False)[1].split(" ", 1)[0]
            at, marked = last(w), len(open(w.dir + "/dns.log").read())
            code, out = w.run(*python, path, how, DNS, str(n), confined=confined)
            sent, errors = out.split(" ", 1) if out[:1].isdigit() else (0, out)
            want = 400 if most == 400 else 30
            if free != "400" or not want <= int(sent) <= most or not errors.startswith("[]" if want == n else "[1]"):
                bad.append("%s %s: free %s, sent %s of %d, %s" % (flavour, how, free, sent, n, errors))
            told = counted(w, at, n - int(sent))
            reached = open(w.dir + "/dns.log").read()[marked:].count("query[")
            if reached > int(sent) or sum(d["count"] for d in told) != n - int(sent) or {d["reason"] for d in told} - {"dns-rate"}:
                bad.append("%s %s: %d reached the resolver, %d of %d told: %s" % (
                    flavour, how, reached, sum(d["count"] for d in told), n - int(sent), {d["reason"] for d in told}))
    # all of a session's, 2,000 at once and then 200 a second
    code, out = w.run("python3", path, "same", DNS, "6000", timeout=60)
    sent, took = int(out.split()[0]), float(out.split()[-1])
    bad += ["the same 6,000 times: %r" % out] if not 2000 <= sent <= 2001 + 201 * took else []
    # one session, many processes; another session beside it
    code, out = w.run("sh", "-c", "python3 %s star %s 100; python3 %s children %s 20; sleep 4; python3 %s case %s 1" % ((path, DNS) * 3), timeout=60)
    bad += ["children of one session: %r" % out] if out.count("child 1") > 2 or not out.strip().splitlines()[-1].startswith("1 ") else []
    code, out = w.run("getent", "ahosts", OWN_NAME)
    bad += ["another session: %d %r" % (code, out)] if code else []
    w.stop()
    w.start("--quiet", dns={"distinct": 30}, mode="monitor")
    code, out = w.run("python3", path, "star", DNS, "100")
    told = counted(w, 0, 70)
    bad += ["monitor: %r %s" % (out, told[:2])] if not out.startswith("100 []") or {(d["action"], d["reason"]) for d in told} != {("would-deny", "dns-rate")} or \
        sum(d["count"] for d in told) != 70 else []
    w.stop()
    return bad


def dns_rate_honest(w):
    """What real programs do in a hurry is not refused under the default: 200 calls of curl in a loop, 200 fresh lookups of Node's, a browser that loads
    pages of the org."""
    w.start("--quiet")
    bad = []
    code, out = w.run("sh", "-c", "for i in $(seq 200); do curl -s -o /dev/null -m 10 https://%s/quiet || echo failed; done" % OWN_NAME, timeout=300)
    bad += ["curl: %d %r" % (code, out[-200:])] if code or out else []
    js = ("const d=require('dns');(async()=>{let bad=0;for(let i=0;i<200;i++){const r=new d.promises.Resolver();"
          "try{await r.resolve4('%s')}catch(e){bad++}try{await d.promises.lookup('acme--c.vf.force.com')}catch(e){bad++}}console.log(bad)})()" % OWN_NAME)
    code, out = w.run("node", "-e", js, timeout=120)
    bad += ["node: %d %r" % (code, out[-200:])] if code or out != "0\n" else []
    if shutil.which("chromium"):
        for i in range(4):
            code, out = w.run("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                              "--disable-component-update", "--disable-sync", "--ignore-certificate-errors", "--user-data-dir=%s/c%d" % (w.dir, i),
                              "--timeout=8000", "--dump-dom", "https://%s/page%d" % ((OWN_NAME, "acme.lightning.force.com")[i % 2], i), timeout=60)
            bad += ["chromium: %d %r" % (code, out[-200:])] if "ok" not in out else []
    told = denials(w, 0, "dns-rate")
    bad += ["refused: %s" % told[:3]] if told else []
    w.stop()
    return bad


# ---- where answers lead ----

PRIVATE = ["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.254", "192.0.0.8", "192.168.1.1", "198.18.0.1",
           "224.0.0.5", "240.0.0.1", "255.255.255.255", "::", "::1", "::10.1.2.3", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::ffff:0:10.1.2.3", "fc00::1",
           "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "64:ff9b::10.1.2.3", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:a01:203::1", "2001::1"]
PUBLIC = ["198.51.100.10", "172.32.0.1", "100.128.0.1", "169.253.0.1", "192.0.2.1", "2001:db8::10", "::ffff:198.51.100.10", "64:ff9b::198.51.100.10",
          "2002:c633:640a::1", "2001:4860::8888"]

FOLLOW = r"""
import socket, struct, sys
how, resolver = sys.argv[1:3]
def ask(name, kind):
    q = struct.pack("!HHHHHH", 77, 256, 1, 0, 0, 0) + b"".join(bytes([len(x)]) + x for x in name.encode().split(b".")) + struct.pack("!BHH", 0, kind, 1)
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if how == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(3)
    s.connect((resolver, 53))
    s.sendall((struct.pack("!H", len(q)) if how == "tcp" else b"") + q)
    r = b""
    while how == "tcp" and (len(r) < 2 or len(r) < 2 + int.from_bytes(r[:2], "big")):
        r += s.recv(4096)
    r = r[2:] if r else s.recv(4096)
    at, got = len(q), []
    for i in range(int.from_bytes(r[6:8], "big")):
        size = int.from_bytes(r[at + 10:at + 12], "big")
        got.append(socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, r[at + 12:at + 12 + size]))
        at += 12 + size
    return got
for name in sys.argv[3:]:
    for kind in (1, 28):
        for a in ask(name, kind):
            s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET)
            s.setblocking(False)
            e = s.connect_ex((a, 443) + ((0, 2) if a.startswith("fe80") else ()))
            print(name, a, "refused" if e == 1 else "let")
"""


def followed(out):
    """(name, address) -> was it let."""
    return {(x.split()[0], x.split()[1]): x.split()[2] == "let" for x in out.splitlines() if x.endswith(("refused", "let"))}


def canonical(a):
    import socket
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, a)) if ":" in a else a


def private_answers(w):
    """A resolver that leads the org's names, and a listed one, into the company's network, to the metadata service, to this machine, in every spelling,
    over UDP and TCP: followed without crmfence; in a session refused and told, but where the entry says "private"."""
    here = {"127.0.0.1", "0.0.0.0", "::", "::1", "::10.1.2.3"}  # this machine, whatever the entry says
    names = {"acme--%s%d.vf.force.com" % (kind, i): [a] for kind, each in (("p", PRIVATE), ("o", PUBLIC)) for i, a in enumerate(each)}
    names["models.acme.example"] = ["10.1.2.3", "198.51.100.10", "fd00::1", "2001:db8::10"]
    where = {(n, canonical(a)): a in PUBLIC for n, each in names.items() for a in each}
    resolver = serve(w, names)
    path, bad = script(w, "follow.py", FOLLOW), []
    allow = lambda **more: [{"name": "voice-assistant", "match": [{"exe": w.dir + "/assistantd"}], "allow": [  # noqa: E731
        dict(set="crm.own", **more), dict(host="models.acme.example", why="test", **more)]}]
    free = followed(w.run("python3", path, "udp", resolver, *names, confined=False)[1])
    if set(free) != set(where) or not all(free.values()):
        bad.append("without crmfence: %s" % (set(where) ^ set(free) or [k for k, v in free.items() if not v]))
    w.start("--quiet", tools=allow(private=False), resolvers=[resolver])
    for flavour, python, confined in flavours(w):
        for how in ("udp", "tcp"):
            at = last(w)
            got = followed(w.run(*python, path, how, resolver, *names, confined=confined)[1])
            wrong = [k for k in where if got.get(k) != where[k]]
            bad += ["%s %s: %s" % (flavour, how, wrong)] if wrong or len(got) != len(where) else []
            time.sleep(1.2)
            told = {(d["name"], d["addr"]) for d in denials(w, at, "dns-address") if d["action"] == "deny" and d["at"] == "dns"}
            missing = {k for k, v in where.items() if not v} ^ {(n, a if ":" not in a else canonical(a)) for n, a in told}
            missing = {k for k in missing if not k[1].startswith("::ffff:") and k[1] not in ("10.1.2.3", "169.254.169.254")}
            bad += ["%s %s: told and not: %s" % (flavour, how, missing)] if missing else []
    w.stop()
    w.start("--quiet", tools=allow(private=True), resolvers=[resolver])
    for flavour, python, confined in flavours(w):
        got = followed(w.run(*python, path, "udp", resolver, *names, confined=confined)[1])
        wrong = [k for k in where if got.get(k) != (k[1] not in here)]
        bad += ["%s, private: %s" % (flavour, wrong)] if wrong else []
    bad += ["private, and told: %s" % denials(w, 0, "dns-address")[:2]] if denials(w, 0, "dns-address") else []
    w.stop()
    w.start("--quiet", tools=allow(private=False), resolvers=[resolver], mode="monitor")
    got = followed(w.run("python3", path, "udp", resolver, *names)[1])
    told = [d for d in denials(w, 0, "dns-address")]
    bad += ["monitor: %s" % [k for k, v in got.items() if not v]] if not all(got.values()) or len(got) != len(where) else []
    bad += ["monitor told %s" % told[:2]] if len(told) < 25 or {d["action"] for d in told} != {"would-deny"} else []
    w.stop()
    return bad


STREAM = """
import socket, ssl, sys
ctx = ssl.create_default_context()
ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
def dial():
    return ctx.wrap_socket(socket.create_connection((socket.gethostbyname(sys.argv[1]), 443), 3), server_hostname=sys.argv[1])
s = None
for line in sys.stdin:
    try:
        if line == "new\\n":
            s = dial()
        s.sendall(("POST /x HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(sys.argv[2]), sys.argv[2])).encode())
        print(s.recv(9000)[:12], flush=True)
    except OSError as e:
        print("error", e.errno, flush=True)
"""


def private_reload(w):
    """A stream inside the company is ended when a reload takes "private" away, and a new one refused; the other way round it is let again."""
    name = "acme--c.vf.force.com"
    tools = lambda p: [{"name": "voice-assistant", "allow": [{"set": "crm.own", "private": p}]}]  # noqa: E731
    w.start("--quiet", tools=tools(True))
    r, wr = os.pipe()
    p = w.popen("python3", script(w, "stream.py", STREAM), name, "x" * 12, stdin_fd=r)
    os.close(r)
    said = []

    def say(line):
        os.write(wr, line.encode() + b"\n")
        said.append(p.stdout.readline().strip())

    say("new")
    w.policy(tools=tools(False))
    W.sh(W.BUILD + "/crmfence", "reload", "--control", w.control)
    say("again")
    say("new")
    w.policy(tools=tools(True))
    W.sh(W.BUILD + "/crmfence", "reload", "--control", w.control)
    say("new")
    os.close(wr)
    p.wait(10)
    bad = [] if "200" in said[0] and "200" not in said[1] and said[2] == "error 1" and "200" in said[3] else ["said: %s" % said]
    w.stop()
    return bad


def ip_ranges(w):
    """Salesforce's published addresses: the org's names elsewhere are refused and told, or told and let where the policy says so; other names are not
    asked. A list and a string of the file; a file that is not there, or not understood, is no policy."""
    names = {"acme--in.vf.force.com": ["198.51.100.10", "2001:db8:1::10"], "acme--out.vf.force.com": ["203.0.113.10", "2001:db8:2::10"],
             "login.salesforce.com": ["198.51.101.1", "198.51.102.1", "64:ff9b::c633:6501", "64:ff9b::c633:6601"], "models.acme.example": ["203.0.113.20"], "acme.my.salesforce.com": ["10.1.2.3"]}
    where = {(n, a): n[:8] in ("acme--in", "models.a") or a in ("198.51.101.1", "64:ff9b::c633:6501") for n, each in names.items() for a in each}
    resolver, path, file, bad = serve(w, names), script(w, "follow.py", FOLLOW), w.dir + "/ip-ranges.json", []

    def publish(prefixes):
        with open(file, "w") as f:
            json.dump({"createDate": "2026-01-01", "prefixes": prefixes}, f)

    published = [{"ip_prefix": ["198.51.100.0/25", "2001:db8:1::/48"], "region": "us"}, {"ip_prefix": "198.51.101.1/32", "service": "x"}]
    publish(published)
    tools = [{"name": "voice-assistant", "match": [{"exe": w.dir + "/assistantd"}], "allow": [
        {"set": "crm.own", "private": False}, {"host": "models.acme.example", "why": "test", "private": False}]}]
    org = lambda ranges: {"my_domain": "acme", "login_hosts": True, "ip_ranges": ranges}  # noqa: E731

    def refused(what, say):
        p = W.sh(W.BUILD + "/crmfence", "policy", "check", w.policy(tools=tools, org=org("ip-ranges.json")), check=False)
        if p.returncode == 0 or say not in p.stdout or "ip-ranges.json" not in p.stdout:
            bad.append("%s: %d %r" % (what, p.returncode, p.stdout))

    free = followed(w.run("python3", path, "udp", resolver, *names, confined=False)[1])
    bad += ["without crmfence: %s" % free] if len(free) != len(where) or not all(free.values()) else []
    w.start("--quiet", tools=tools, resolvers=[resolver], org=org("ip-ranges.json"))
    for flavour, python, confined in flavours(w):
        for how in ("udp", "tcp"):
            at = last(w)
            got = followed(w.run(*python, path, how, resolver, *names, confined=confined)[1])
            bad += ["%s %s: %s" % (flavour, how, got)] if got != where else []
            told = {(d["name"], d["addr"], d["reason"]) for d in denials(w, at) if d["at"] == "dns"}
            want = {(n, a, "dns-address" if a == "10.1.2.3" else "dns-range") for (n, a), good in where.items() if not good}
            bad += ["%s %s told: %s" % (flavour, how, told ^ want)] if told != want else []
    generation = w.rows("policy")[-1]["generation"]
    sha = W.sh("sha256sum", file).stdout.split()[0]
    bad += ["the log's policy: %s" % w.rows("policy")[-1]] if w.rows("policy")[-1].get("ip_ranges") != sha else []
    publish(published + [{"ip_prefix": ["203.0.113.10/32"]}])  # the file alone changes
    W.sh(W.BUILD + "/crmfence", "reload", "--control", w.control)
    got = followed(w.run("python3", path, "udp", resolver, *names)[1])
    bad += ["a newer file: %s %s" % (got, w.rows("policy")[-1])] if not got.get(("acme--out.vf.force.com", "203.0.113.10")) or \
        w.rows("policy")[-1]["generation"] != generation + 1 else []
    publish([{"ip_prefix": "203.0.113.10"}])
    p = W.sh(W.BUILD + "/crmfence", "reload", "--control", w.control, check=False)
    bad += ["a broken file at a reload: %r" % p.stdout] if p.returncode == 0 or "$.prefixes[0].ip_prefix" not in p.stdout else []
    got = followed(w.run("python3", path, "udp", resolver, *names)[1])
    bad += ["after a broken file: %s" % got] if not got.get(("acme--out.vf.force.com", "203.0.113.10")) else []
    w.stop()
    publish(published)
    w.start("--quiet", tools=tools, resolvers=[resolver], org=org({"file": file, "outside": "alert"}))
    got = followed(w.run("python3", path, "udp", resolver, *names)[1])
    alerts = {(a["authority"], a["addr"], a["rule"], a["name"]) for a in w.rows("alert") if a["rule"] not in ("E007", "E027")}  # of the denials
    want = {(n, a, "E022", "org-range") for (n, a), good in where.items() if not good and a != "10.1.2.3"}
    bad += ["alert: %s %s" % (got, alerts ^ want)] if got != {k: k[1] != "10.1.2.3" for k in where} or alerts != want else []
    told = {(d["action"], d["reason"]) for d in denials(w, 0) if d["at"] == "dns"}
    bad += ["alert told: %s" % told] if told != {("would-deny", "dns-range"), ("deny", "dns-address")} else []
    bad += replayed(w)
    w.stop()
    for what, text, say in (("no JSON", "{", "$.prefixes"), ("no list", "{}", "$.prefixes"), ("an empty list", '{"prefixes": []}', "has no network"),
                            ("a number", '{"prefixes": [{"ip_prefix": 1}]}', "$.prefixes[0].ip_prefix"),
                            ("host bits", '{"prefixes": [{"ip_prefix": ["10.0.0.1/8"]}]}', "$.prefixes[0].ip_prefix[0]"),
                            ("everything", '{"prefixes": [{"ip_prefix": ["0.0.0.0/0"]}]}', "too wide"),
                            ("everything as IPv6", '{"prefixes": [{"ip_prefix": ["::/80"]}]}', "too wide"),
                            ("too many", json.dumps({"prefixes": [{"ip_prefix": ["198.51.100.1/32"] * 9000}]}), "8192"),
                            ("too large", '{"prefixes": [' + " " * (4 << 20) + "]}", "cannot be read")):
        with open(file, "w") as f:
            f.write(text)
        refused(what, say)
    os.unlink(file)
    refused("no file", "cannot be read")
    p = W.sh(W.BUILD + "/crmfence", "policy", "check", w.policy(), check=False)
    bad += ["no warning without the file: %r" % p.stdout] if "ip_ranges" not in p.stdout else []
    return bad


def replayed(w):
    """Each verdict again from its facts."""
    rows = [r for r in w.rows() if "facts" in r]
    with open(w.dir + "/facts.txt", "w") as f:
        f.writelines("%s %s %s\n" % (" ".join(map(str, r["facts"])), r["action"], r["reason"]) for r in rows)
    out = W.sh(W.BUILD + "/tests/redecide", w.dir + "/facts.txt", check=False)
    return [] if out.returncode == 0 else ["replay: %s" % out.stdout[-300:]]


def led_inside(w):
    """The attack itself: whoever answers for DNS leads the org's name to a server inside the company, and the deal with it."""
    resolver, tok = serve(w, {OWN_NAME: [AI]}), W.PREFIX + "%08x" % int(time.time())
    curl = lambda t: ["curl", "-sSk", "-m", "5", "--resolve", "nobody:1:127.0.0.1", "-d", t, "https://%s/x" % OWN_NAME]  # noqa: E731
    etc = "/etc/netns/%s/resolv.conf" % w.lap
    was = open(etc).read()
    with open(etc, "w") as f:
        f.write("nameserver %s\noptions timeout:1 attempts:2\n" % resolver)
    bad = []
    try:
        w.run(*curl(tok), confined=False)
        bad += [] if w.arrived(tok) else ["does not leak without crmfence"]
        w.start("--quiet", tools=[{"name": "voice-assistant", "allow": [{"set": "crm.own", "private": False}]}], resolvers=[resolver])
        code, out = w.run(*curl(tok[:-1] + "x"))
        bad += ["LEAKED: %d %r" % (code, out)] if w.arrived(tok[:-1] + "x") or not code else []
        why = W.sh(W.BUILD + "/crmfence", "why", "--db", w.db, str(denials(w, 0, "dns-address")[0]["id"]), check=False).stdout
        bad += ["why: %r" % why] if "private" not in why or "DIFFERS" in why else []
        w.stop()
    finally:
        with open(etc, "w") as f:
            f.write(was)
    return bad


ALONE = [dns_forms, dns_askers, dns_rate, dns_rate_honest, private_answers, private_reload, led_inside, ip_ranges]
