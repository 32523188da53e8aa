# SPDX-License-Identifier: Apache-2.0
"""What is refused stays refused, and what is read is what arrives: refusals that live in the socket, datagrams that are cut, hellos to
their end, a proxy's conversation. Cases for run.py; each starts its own agent. Each way is tried bare first, where it has to leak."""
import os
import re
import shutil
import signal
import subprocess
import time

import world as W
from world import AI, DNS, OWN, PROXY, token

HERE = os.path.dirname(os.path.abspath(__file__))
LAP = {"10.99.0.2": "4", "fd99::2": "6"}  # the laptop's own addresses
FLAVOURS = ("exec", "match")

LISTEN = """
import os, select, socket, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
p, held = select.epoll(), {}
for a, f in (("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)):
    s = socket.socket(f)
    s.setsockopt(1, 2, 1)
    if f == socket.AF_INET6:
        s.setsockopt(41, 26, 1)
    s.bind((a, int(sys.argv[2])))
    s.listen(4096)
    held[s.fileno()] = s
    p.register(s, 1)
servers = set(held)
print("up", flush=True)
while True:
    for fd, _ in p.poll():
        if fd in servers:
            c = held[fd].accept()[0]
            held[c.fileno()] = c
            p.register(c, 1)
            continue
        try:
            d = held[fd].recv(4096)
        except OSError:
            d = b""
        os.write(out, d)
        if not d:
            p.unregister(fd)
            held.pop(fd).close()
"""


class Ground:
    """The world as these cases want it: a program that is recognised, a helper on this machine outside every session, and its file."""

    def __init__(self, w, port=8443):
        self.w, self.port = w, port
        self.script = shutil.copy(HERE + "/packet_ways.py", w.dir)
        self.matched = shutil.copy(os.path.realpath("/usr/bin/python3"), w.dir + "/assistantd")
        self.got = w.dir + "/helper.got"
        open(self.got, "w").close()
        with open(w.dir + "/listen.py", "w") as f:
            f.write(LISTEN)
        self.helpers = []
        self.helper(w.lap)

    def helper(self, ns, port=None):
        log = self.w.dir + "/listen.%d" % len(self.helpers)
        with open(log, "w") as out:
            self.helpers.append(subprocess.Popen(["ip", "netns", "exec", ns, "/usr/bin/python3", self.w.dir + "/listen.py", self.got, str(port or self.port)], stdout=out,
                                                 stdin=subprocess.DEVNULL))
        self.w.wait(lambda: "up" in open(log).read(), "the helper")

    def close(self):
        for p in self.helpers:
            p.terminate()
            p.wait()
        W.sh("ip", "netns", "exec", self.w.lap, "nft", "flush", "ruleset", check=False)

    def start(self, **change):
        tools = change.pop("tools", None) or [{"name": "voice-assistant", "match": [{"exe": self.matched}], "allow": [
            "crm.own", {"host": "models.acme.example", "why": "x"}, {"host": "rotate.acme.example", "ports": [443, self.port], "why": "x"},
            {"host": "plain.acme.example", "ports": [80], "tls": False, "why": "x"},
            {"cidr": "10.99.0.0/16", "ports": [self.port, 9999], "why": "x"}, {"cidr": "fd99::/64", "ports": [self.port], "why": "x"}]}]
        self.w.start("--quiet", tools=tools, **change)

    def popen(self, flavour, *args, uid=65534):
        python = self.matched if flavour == "match" else "/usr/bin/python3"
        return self.w.popen(python, self.script, *args, confined=flavour == "exec", uid=uid)

    def run(self, flavour, *args, uid=65534, timeout=25):
        p = self.popen(flavour, *args, uid=uid)
        try:
            return p.communicate(timeout=timeout)[0].strip()[-200:]
        except subprocess.TimeoutExpired:
            p.kill()
            return "TIMEOUT " + p.communicate()[0][-200:]

    def helped(self, tok):
        time.sleep(0.3)
        return tok in open(self.got).read()


def foreign_question(w, tok):
    """Did the resolver get the token, in the types of questions for a name that nobody may ask for?"""
    time.sleep(0.3)
    got = {}
    for t in re.findall(r"query\[type=(\d+)\] q7z.io from", open(w.dir + "/dns.log").read()):
        got[int(t) >> 8 & 127] = chr(int(t) & 255)
    return "".join(got.get(i, "?") for i in range(len(tok))) == tok


def cut_questions(w):
    """UDP_SEGMENT cuts an allowed question in two, and the second datagram is any question (kind: the unit that is seen is not the unit that arrives)."""
    g, bad = Ground(w), []
    ways = [(how, r) for how in ("option", "message", "unconnected") for r in (DNS, "fd99::53")]
    try:
        for how, r in ways:
            tok = token()
            said = g.run("bare", "gso", how, r, tok)
            if not foreign_question(w, tok):
                bad.append("%s %s does not leak bare: %s" % (how, r, said))
        g.start()
        for flavour in FLAVOURS:
            for how, r in ways:
                tok = token()
                said = g.run(flavour, "gso", how, r, tok)
                if foreign_question(w, tok) or said != "error EPERM":
                    bad.append("%s %s %s: arrived %s, %r" % (flavour, how, r, foreign_question(w, tok), said))
            tok = token()  # the twin: where datagrams may go they may be cut
            said = g.run(flavour, "gso-plain", AI, "9999", tok)
            if not w.arrived(tok):
                bad.append("%s: two datagrams in one send to a listed net: %s" % (flavour, said))
        if not any(d["reason"] == "dns-form" for d in w.rows("deny")):
            bad.append("no row says so")
    finally:
        g.close()
    return bad


def second_packet(w):
    """A destination that is refused when its first packet leaves stays refused: TCP sends again, the process is gone, the agent stands still or is
    dead, thousands at once (kind: a refusal that user space keeps). Afterwards the program reaches what it may."""
    g, bad = Ground(w), []
    many = os.environ.get("MANY", "600")
    try:
        for addr in LAP:
            for args in (("dial", addr, g.port, "TOK", "1", "-"), ("gone", addr, g.port, "TOK", "-")):
                tok = token()
                said = g.run("bare", *[tok if a == "TOK" else str(a) for a in args])
                if not g.helped(tok):
                    bad.append("%s %s does not leak bare: %s" % (args[0], addr, said))
        g.start()

        def held(name, flavour, *args):
            tok = token()
            said = g.run(flavour, *[tok if a == "TOK" else str(a) for a in args])
            if g.helped(tok) or w.arrived(tok) or "connected" in said.replace("not connected", ""):
                bad.append("%s, %s: %s, arrived %s" % (name, flavour, said, g.helped(tok)))

        for flavour in FLAVOURS:
            for addr in LAP:
                held("one, v" + LAP[addr], flavour, "dial", addr, g.port, "TOK", 1, "-")
                held("the process is gone, v" + LAP[addr], flavour, "gone", addr, g.port, "TOK", "-")
            held(many + " at once", flavour, "dial", "10.99.0.2", g.port, "TOK", many, "-")
            tok = token()
            said = g.run(flavour, "again", "10.99.0.2", str(g.port), "plain.acme.example", tok)
            if not w.arrived(tok):
                bad.append("%s: the same socket, to an allowed host: %s" % (flavour, said))
        for flavour in FLAVOURS:
            for sig in (signal.SIGSTOP, signal.SIGKILL):
                tok = token()
                p = w.popen("sh", "-c", "sleep 0.7; exec %s %s dial 10.99.0.2 %d %s 3 -" % (
                    g.matched if flavour == "match" else "/usr/bin/python3", g.script, g.port, tok), confined=flavour == "exec", uid=65534)
                time.sleep(0.4)
                w.agent.send_signal(sig)
                said = p.communicate(timeout=20)[0].strip()
                if sig == signal.SIGSTOP:
                    w.agent.send_signal(signal.SIGCONT)
                else:
                    w.agent.wait()
                if g.helped(tok) or "connected" in said:
                    bad.append("%s, the agent gets signal %d: %s, arrived %s" % (flavour, sig, said, g.helped(tok)))
                if sig == signal.SIGKILL:  # the next one takes over what the last one left
                    os.unlink(w.control)
                    g.start()
    finally:
        g.close()
    return bad


def other_wire(w):
    """NAT behind the socket turns an allowed address into another, to another port and to the same one: every packet is refused, and the rows have both
    addresses. Turned into an allowed one, it passes."""
    g, bad = Ground(w), []
    rule = "table ip n { chain o { type nat hook output priority -100; ip daddr %s tcp dport %d dnat to %s:%d; }; }\n"
    allow = [{"name": "voice-assistant", "match": [{"exe": g.matched}], "allow": ["crm.own", {"cidr": OWN + "/32", "ports": [g.port], "why": "x"},
             {"cidr": W.OWN2 + "/32", "ports": [g.port], "why": "x"}]}]

    def nat(port, to, on):
        W.sh("ip", "netns", "exec", w.lap, "nft", "flush", "ruleset")
        W.sh("ip", "netns", "exec", w.lap, "nft", "-f", "-", input=rule % (OWN, port, to, on))

    try:
        for port in (g.port, 8444):
            g.helper(w.net, port)
            nat(g.port, AI, port)
            tok = token()
            said = g.run("bare", "dial", OWN, str(g.port), tok, "1", "-")
            if not w.arrived(tok):
                bad.append("to port %d: does not leak bare: %s" % (port, said))
        g.start(tools=allow)
        for port in (g.port, 8444):
            nat(g.port, AI, port)
            for flavour in FLAVOURS:
                tok = token()
                said = g.run(flavour, "dial", OWN, str(g.port), tok, "3", "-")
                if w.arrived(tok) or "connected" in said or "ECONNABORTED" not in said:
                    bad.append("%s to port %d: %s, arrived %s" % (flavour, port, said, w.arrived(tok)))
            rows = [r for r in w.rows("deny") if r["reason"] == "address-unknown" and r.get("wire_addr") == AI and r.get("wire_port") == port]
            if not rows or rows[0]["addr"] != OWN or rows[0]["port"] != g.port:
                bad.append("to port %d: no row with both addresses: %s" % (port, [(r["addr"], r.get("wire_addr")) for r in w.rows("deny")]))
        flows = [r for r in w.rows("flow") if r.get("wire_addr") == AI]
        if not flows or any(f["action"] != "deny" for f in flows):
            bad.append("no flow says where its packets would have gone")
        nat(g.port, W.OWN2, g.port)
        for flavour in FLAVOURS:
            tok = token()
            said = g.run(flavour, "dial", OWN, str(g.port), tok, "1", "-")
            if "connected" not in said:
                bad.append("%s: turned into an allowed address: %s" % (flavour, said))
    finally:
        g.close()
    return bad


def watched_then_held(w):
    """What a policy that only watches has told of is refused from its next packet on, when one that enforces takes its place, also where no agent ends it."""
    g, bad = Ground(w), []
    script = w.dir + "/stay.py"
    with open(script, "w") as f:
        f.write("import socket, sys, time\ns = socket.create_connection((sys.argv[1], 80), 5)\ns.send(b'x')\nprint('open', flush=True)\nsys.stdin.readline()\n"
                "try:\n    s.send(sys.argv[2].encode()); time.sleep(0.5); s.send(b'x'); print('sent')\nexcept OSError as e: print('error', e.errno)\n")
    try:
        for flavour in FLAVOURS:
            g.start(mode="monitor")
            tok = token()
            p = w.popen(g.matched if flavour == "match" else "/usr/bin/python3", script, AI, tok, confined=flavour == "exec", stdin_fd=subprocess.PIPE)
            p.stdout.readline()
            w.agent.kill()  # whoever comes next finds the stream, and does not end it: stopped at once
            w.agent.wait()
            os.unlink(w.control)
            w.start("--quiet", mode="enforce", tools=[{"name": "voice-assistant", "match": [{"exe": g.matched}], "allow": ["crm.own"]}])
            w.agent.send_signal(signal.SIGSTOP)
            said = p.communicate("\n", timeout=20)[0].strip()
            w.agent.send_signal(signal.SIGCONT)
            if w.arrived(tok):
                bad.append("%s: %s, arrived" % (flavour, said))
            w.stop()
        # an allowed hello, then another in clear, under a policy that only watches: told, and refused from the reload on
        again = w.dir + "/again.py"
        with open(again, "w") as f:
            f.write("import socket, sys, time\ntok = sys.argv[1]; sys.argv[1:] = ['none']\nsys.path.insert(0, %r)\nimport packet_ways as p\n"
                    "addr = socket.getaddrinfo(p.SHARED_NAME, 443, socket.AF_INET)[0][4][0]\ns = socket.create_connection((addr, 8445), 5)\n"
                    "s.send(p.first_hello(p.SHARED_NAME)[3]); time.sleep(0.2); s.send(p.CCS + p.first_hello('drop.evil.example')[3]); time.sleep(0.3)\n"
                    "print('open', flush=True); sys.stdin.readline()\ntry:\n    s.send(tok.encode()); time.sleep(0.5); s.send(b'x'); print('sent')\n"
                    "except OSError as e: print('error', e.errno)\n" % w.dir)
        g.helper(w.net, 8445)
        tools = [{"name": "voice-assistant", "match": [{"exe": g.matched}], "allow": ["crm.own", {"host": "models.acme.example", "ports": [443, 8445], "why": "x"}]}]
        for flavour in FLAVOURS:
            tok = token()
            g.start(mode="monitor", tools=tools)
            p = w.popen(g.matched if flavour == "match" else "/usr/bin/python3", again, tok, confined=flavour == "exec", stdin_fd=subprocess.PIPE)
            p.stdout.readline()
            w.policy(mode="enforce", tools=tools)
            W.sh(W.BUILD + "/crmfence", "reload", "--control", w.control)
            said = p.communicate("\n", timeout=20)[0].strip()
            if w.arrived(tok):
                bad.append("%s, a second hello that was told of: %s, arrived" % (flavour, said))
            w.stop()
    finally:
        g.close()
    return bad


def hello_to_its_end(w):
    """A foreign server name behind an allowed one, in clear: a second extension, a second hello. Real clients that are asked for another hello,
    speak TLS 1.2 with a certificate of their own, or send early data, pass."""
    g, bad = Ground(w), []
    ways = ("two-names", "again", "again-cipher", "again-alert", "again-early", "again-pieces", "one-segment")
    server = None
    try:
        for how in ways:
            tok = token()
            said = g.run("bare", "hellos", how, tok)
            if not w.arrived(tok):
                bad.append("%s does not leak bare: %s" % (how, said))
        g.start(tools=[{"name": "voice-assistant", "match": [{"exe": g.matched}], "allow": ["crm.own", {"host": "models.acme.example", "ports": [443, 8446, 8447, 8448], "why": "x"}]}])
        for flavour in FLAVOURS:
            for how in ways:
                tok = token()
                said = g.run(flavour, "hellos", how, tok)
                if w.arrived(tok):
                    bad.append("%s, %s: %s, arrived %s" % (flavour, how, said, w.arrived(tok)))
        # the twins: P-384 alone asks everybody for another hello; the next wants a certificate under TLS 1.2; the last had taken early data
        base = ["openssl", "s_server", "-cert", w.dir + "/cert.pem", "-key", w.dir + "/key.pem", "-quiet"]
        w.spawn(w.net, *base, "-www", "-accept", W.SHARED + ":8446", "-groups", "P-384")
        w.spawn(w.net, *base, "-www", "-accept", W.SHARED + ":8447", "-tls1_2", "-Verify", "2", "-CAfile", w.dir + "/ca.pem")
        early = open(w.dir + "/early.log", "w")
        server = subprocess.Popen(["ip", "netns", "exec", w.net, *base, "-accept", W.SHARED + ":8448", "-early_data", "-groups", "P-384"], stdin=subprocess.PIPE,
                                  stdout=early, stderr=early)
        time.sleep(0.7)
        curl = ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code} "]
        for name, cmd in (("another hello", curl + ["https://models.acme.example:8446/"]),
                          ("another hello, node", ["node", "-e", "require('https').get('https://models.acme.example:8446/', r => console.log(r.statusCode)).on('error', e => console.log(e.code))"]),
                          ("TLS 1.2 with a certificate", curl + ["--tls-max", "1.2", "--cert", w.dir + "/cert.pem", "--key", w.dir + "/key.pem", "https://models.acme.example:8447/"])):
            free, got = w.run(*cmd, confined=False), w.run(*cmd)
            if free != got or "200" not in got[1]:
                bad.append("%s: %r, without %r" % (name, got, free))
        for flavour in ("bare", "exec"):
            first, then = token(), token()
            client = "openssl s_client -connect models.acme.example:8448 -servername models.acme.example -groups %s %s"
            open(w.dir + "/early.data", "w").write(first)
            said = w.run("sh", "-c", "(sleep 0.7) | %s >/dev/null 2>&1; (sleep 0.7; echo %s; sleep 0.5) | %s 2>&1 | grep -i early" % (
                client % ("P-384", "-sess_out %s/sess" % w.dir), then,
                client % ("X25519:P-384", "-sess_in %s/sess -early_data %s/early.data" % (w.dir, w.dir))), confined=flavour == "exec")
            if then not in open(w.dir + "/early.log").read() or "rejected" not in said[1]:
                bad.append("%s: early data, then another hello: %r" % (flavour, said))
    finally:
        if server:
            server.terminate()
            server.wait()
        g.close()
    return bad


class Squid:
    """A real proxy that asks for a password: Basic on one port, NTLM on another."""

    def __init__(self, w):
        self.w, self.dir = w, w.dir + "/squid"
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o777)
        with open(self.dir + "/passwd", "w") as f:
            f.write("u:" + W.sh("openssl", "passwd", "-apr1", "pw").stdout)
        self.procs = [self.serve(3130, "auth_param basic program /usr/lib/squid/basic_ncsa_auth %s/passwd\nauth_param basic realm x" % self.dir),
                      self.serve(3131, "auth_param ntlm program /usr/lib/squid/ntlm_fake_auth")]
        for port in (3130, 3131):
            w.wait(lambda p=port: W.sh("ip", "netns", "exec", w.net, "sh", "-c", "ss -ltnH sport = :%d" % p).stdout, "squid on %d" % port)

    def serve(self, port, auth):
        conf = "%s/%d.conf" % (self.dir, port)
        for log in ("access", "cache"):
            open("%s/%s%d" % (self.dir, log, port), "w").close()
            os.chmod("%s/%s%d" % (self.dir, log, port), 0o666)
        with open(conf, "w") as f:
            f.write("http_port %s:%d\n%s\nacl in proxy_auth REQUIRED\nacl ports port 80 443\nhttp_access allow in ports\nhttp_access deny all\nhosts_file %s/hosts\n"
                    "dns_nameservers %s\naccess_log stdio:%s/access%d\ncache_log %s/cache%d\ncache deny all\npid_filename none\ncoredump_dir %s\n"
                    "visible_hostname proxy\nshutdown_lifetime 0 seconds\nrequest_header_max_size 64 KB\n" % (PROXY, port, auth, self.w.dir, DNS, self.dir, port, self.dir, port, self.dir))
        return self.w.spawn(self.w.net, "/usr/sbin/squid", "-N", "-f", conf)

    def close(self):
        for p in self.procs:
            p.terminate()


def proxy_conversation(w):
    """A proxy that asks for a password: the honest conversation passes, in each way that curl and node know; nothing gets through another name's tunnel
    (kind: two readers of one text)."""
    g, squid, bad = Ground(w), Squid(w), []
    ways = [("lf", "api.ai-vendor.example"), ("after-407", "api.ai-vendor.example"), ("early", "api.ai-vendor.example"), ("plain-first", "api.ai-vendor.example"),
            ("plain-then", "api.ai-vendor.example"), ("body-short", "api.ai-vendor.example"), ("plain", "api.ai-vendor.example")]
    try:
        leaks = []
        for how, evil in ways:
            tok = token()
            said = g.run("bare", "proxy", "3130", how, "acme.my.salesforce.com", evil, tok)
            if w.arrived(tok):
                leaks.append(how)
            elif how in ("lf", "after-407", "plain", "plain-then", "body-short"):
                bad.append("%s does not leak bare: %s" % (how, said))
        g.start(proxies=[{"host": "proxy.acme.example", "port": 3128}, {"host": PROXY, "port": 3130}, {"host": PROXY, "port": 3131}])
        for flavour in FLAVOURS:
            for how, evil in ways:
                tok = token()
                said = g.run(flavour, "proxy", "3130", how, "acme.my.salesforce.com", evil, tok)
                if w.arrived(tok):
                    bad.append("%s, %s: %s, arrived %s" % (flavour, how, said, w.arrived(tok)))
        reasons = {d["reason"] for d in w.rows("deny")}
        for want in ("proxy-form", "proxy-name", "proxy-early", "proxy-method"):
            if want not in reasons:
                bad.append("no row with reason %s, but %s" % (want, sorted(reasons)))
        honest(w, bad)
        tls = w.run("curl", "-sSk", "-m", "5", "--proxy-insecure", "-x", "https://proxy.acme.example:3128", "https://acme.my.salesforce.com/x")
        if "proxy-tls" not in {d["reason"] for d in w.rows("deny")}:
            bad.append("TLS to the proxy: %r, no row proxy-tls" % (tls,))
    finally:
        squid.close()
        g.close()
    return bad


def honest(w, bad):
    """Real clients through the proxy."""
    curl = ["curl", "-sS", "-m", "10", "--proxy-user", "u:pw", "-o", "/dev/null", "-w", "%{http_connect} %{http_code}"]
    basic, ntlm, own = "http://proxy.acme.example:3130", "http://proxy.acme.example:3131", "https://acme.my.salesforce.com/x"
    ticket = ["--proxy-header", "Proxy-Authorization: Basic dTpwdw==", "--proxy-header", "X-Ticket: " + "k" * 16000]
    node = ("const http = require('http'), tls = require('tls'), ask = (n) => { const r = http.request({ host: 'proxy.acme.example', port: 3130, method: 'CONNECT', agent, path: 'acme.my.salesforce.com:443', "
            "headers: n ? { 'Proxy-Authorization': 'Basic dTpwdw==' } : {} }); r.on('connect', (res, s) => { if (res.statusCode === 407 && !n) { s.destroy(); return ask(1); } "
            "const t = tls.connect({ socket: s, servername: 'acme.my.salesforce.com' }, () => t.write('GET /quiet HTTP/1.1\\r\\nHost: acme.my.salesforce.com\\r\\nConnection: close\\r\\n\\r\\n')); "
            "t.on('data', d => { console.log(String(d).slice(9, 12)); process.exit(); }); }); r.on('error', e => { console.log(e.code); process.exit(); }); r.end(); }; const agent = new http.Agent(); ask(0);")
    page = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--ignore-certificate-errors",
            "--user-data-dir=" + w.dir + "/chromium-proxy", "--proxy-server=http://proxy.acme.example:3128", "--timeout=20000", "--dump-dom"]
    for host in ("acme.my.salesforce.com", "models.acme.example") if shutil.which("chromium") else ():
        code, out = w.run(*page, "https://%s/services/data/v60.0/limits" % host, timeout=60)
        if "DailyApiRequests" not in out:
            bad.append("Chromium through the proxy, %s: %s %r" % (host, code, out[-300:]))
    for name, cmd in (("Basic, at once", curl + ["--proxy-basic", "-x", basic, own]), ("Basic, asked for", curl + ["--proxy-anyauth", "-x", basic, own]),
                      ("NTLM, two rounds", curl + ["--proxy-ntlm", "-x", ntlm, own]), ("two hosts of one proxy", curl + ["--proxy-anyauth", "-x", basic, own, "https://models.acme.example/y"]),
                      ("a head of 16 kB", curl + ticket + ["-x", basic, own]), ("plain", curl + ["--proxy-basic", "-x", basic, "http://plain.acme.example/x"]),
                      ("plain, asked for", curl + ["--proxy-anyauth", "-x", basic, "http://plain.acme.example/x"]),
                      ("plain, three on one connection", curl + ["--proxy-basic", "-d", "a=b", "-x", basic] + ["http://plain.acme.example/%d" % i for i in range(3)]),
                      ("plain, inside a tunnel", curl + ["--proxytunnel", "-x", "http://proxy.acme.example:3128", "http://plain.acme.example/x"]),
                      ("node", ["node", "-e", node]), ("wget", ["wget", "-q", "-T", "10", "-t", "1", "-O", "/dev/null", "--ca-certificate=" + w.dir + "/cert.pem", "-e", "use_proxy=yes",
                       "-e", "https_proxy=proxy.acme.example:3130", "--proxy-user=u", "--proxy-password=pw", own])):
        free, got = w.run(*cmd, confined=False), w.run(*cmd)
        if free != got or got[0]:
            bad.append("%s: %r, without %r" % (name, got, free))


ALONE = [cut_questions, second_packet, other_wire, watched_then_held, hello_to_its_end, proxy_conversation]
