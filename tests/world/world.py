# SPDX-License-Identifier: Apache-2.0
"""The private internet: two network namespaces, a resolver, Salesforce, AI vendors, a proxy, a sniffer; and crmfenced beside it.

Everything that is made here (namespaces, a cgroup, pins, processes, files) is taken down by close(), also after a failure.
"""
import ctypes
import glob
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FENCE_BUILD", ROOT + "/build")
# How many times slower than a laptop this machine is (emulated: 8): what waits for something may wait so much longer. No test of speed uses it.
SLOW = float(os.environ.get("FENCE_SLOW", "1"))
PREFIX = "tkn0"  # every token begins with it; the sniffer looks for it

OWN, OWN2, FOREIGN, AI, SHARED, PROXY, DNS = ("10.99.1.10", "10.99.1.11", "10.99.1.20", "10.99.1.30", "10.99.1.40", "10.99.1.50",
                                             "10.99.0.53")
V6 = {OWN: "fd99::10", OWN2: "fd99::11", FOREIGN: "fd99::20", AI: "fd99::30", SHARED: "fd99::40"}
NAMES = {
    "acme.my.salesforce.com": OWN, "acme.lightning.force.com": OWN, "login.salesforce.com": OWN, "acme--c.vf.force.com": OWN,
    "evil.my.salesforce.com": FOREIGN, "evil.my.site.com": FOREIGN, "api.ai-vendor.example": AI, "paste.example": AI,
    "models.acme.example": SHARED, "drop.evil.example": SHARED, "proxy.acme.example": PROXY, "plain.acme.example": OWN2,
    "rotate.acme.example": OWN, "dropit.evil.example": SHARED,
}
MANY = ["10.99.1.%d" % n for n in range(100, 160)] + [OWN]  # more than a datagram has room for


def cgroup2():
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup2":
            return left.split()[4]
    raise SystemExit("no cgroup v2 is mounted")


def token():
    return PREFIX + "%08x" % random.getrandbits(32)


def sh(*args, check=True, **kw):
    return subprocess.run(args, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)


class Program(subprocess.Popen):
    """Its time-outs are of a laptop."""

    def communicate(self, input=None, timeout=None):
        return super().communicate(input, timeout and timeout * SLOW)

    def wait(self, timeout=None):
        return super().wait(timeout and timeout * SLOW)


def script(w, name, text):
    """A file of the world's own directory; its path."""
    path = w.dir + "/" + name
    with open(path, "w") as f:
        f.write(text)
    return path


class World:
    def __init__(self, sniffer=True):
        """`sniffer`: a bench goes without; it looks at each packet, on a CPU that is measured."""
        self.id = "cf%d" % os.getpid()
        self.lap, self.net = self.id + "l", self.id + "n"
        self.dir = tempfile.mkdtemp(prefix="crmfence-")
        self.cgroup = "%s/%s" % (cgroup2(), self.id)
        self.control = self.dir + "/control.sock"
        self.procs, self.agent, self.twice, self.tier = [], None, 0, None
        self.pins = "/sys/fs/bpf/" + self.id
        try:
            self.build(sniffer)
        except BaseException:
            self.close()
            raise

    # ---- up and down ----

    def build(self, sniffer):
        os.mkdir(self.cgroup)
        os.chmod(self.dir, 0o755)
        for ns in (self.lap, self.net):
            sh("ip", "netns", "add", ns)
            sh("ip", "-n", ns, "link", "set", "lo", "up")
        sh("ip", "link", "add", self.id + "a", "netns", self.lap, "type", "veth", "peer", "name", self.id + "b", "netns", self.net)
        for ns, dev, own in ((self.lap, "a", ("10.99.0.2", "fd99::2")), (self.net, "b", ("10.99.0.1", "fd99::1"))):
            extra = [] if ns == self.lap else [DNS, "fd99::53", PROXY] + list(V6) + list(V6.values())
            for a in list(own) + extra:
                if ":" in a:
                    sh("ip", "-n", ns, "addr", "add", a + "/64", "dev", self.id + dev, "nodad")
                else:
                    sh("ip", "-n", ns, "addr", "add", a + "/16", "dev", self.id + dev)
            sh("ip", "-n", ns, "link", "set", self.id + dev, "up")
        sh("ip", "netns", "exec", self.lap, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000", "net.ipv4.tcp_tw_reuse=1")
        os.makedirs("/etc/netns/" + self.lap)
        with open("/etc/netns/%s/resolv.conf" % self.lap, "w") as f:
            f.write("nameserver %s\noptions timeout:1 attempts:2\n" % DNS)
        self.certificate()
        self.resolver()
        self.servers()
        if sniffer:
            self.sniffer = self.spawn(self.net, "python3", ROOT + "/tests/world/sniff.py", self.id + "b", self.dir + "/sniff.json", PREFIX)
            self.wait(lambda: os.path.exists(self.dir + "/sniff.json"), "the sniffer")

    def spawn(self, ns, *args, **kw):
        out = open(self.dir + "/" + os.path.basename(args[0]) + ".log", "a")
        p = subprocess.Popen(["ip", "netns", "exec", ns] + list(args), stdout=out, stderr=out, stdin=subprocess.DEVNULL, **kw)
        self.procs.append(p)
        return p

    def wait(self, what, name, seconds=20):
        end = time.time() + seconds * SLOW
        while not what():
            if time.time() > end:
                raise RuntimeError("%s does not come up" % name)
            time.sleep(0.02)

    def certificate(self):
        names = ",".join("DNS:" + n for n in NAMES) + "," + ",".join("IP:" + a for a in list(V6) + list(V6.values()))
        ca, key, own = self.dir + "/ca.pem", self.dir + "/ca.key", self.dir + "/own.pem"
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=crmfence test CA", "-keyout", key, "-out", ca)
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=acme.my.salesforce.com", "-addext",
           "subjectAltName=" + names, "-addext", "basicConstraints=critical,CA:FALSE", "-CA", ca, "-CAkey", key, "-keyout", self.dir + "/key.pem", "-out", own)
        with open(self.dir + "/cert.pem", "w") as f:  # the chain that servers send, and the bundle that clients trust
            f.write(open(own).read() + open(ca).read())

    def hosts(self, names=NAMES):
        with open(self.dir + "/hosts", "w") as f:
            for n, a in names.items():
                f.write("%s %s\n" % (a, n))
                if a in V6:
                    f.write("%s %s\n" % (V6[a], n))
            f.writelines("%s acme--many.vf.force.com\n" % a for a in MANY)

    def resolver(self):
        self.hosts()
        self.dns = self.spawn(self.net, "dnsmasq", "-k", "--no-resolv", "--no-hosts", "--addn-hosts=" + self.dir + "/hosts",
                              "--listen-address=%s,fd99::53" % DNS, "--bind-interfaces", "--pid-file=", "--log-queries",
                              "--log-facility=" + self.dir + "/dns.log", "--local-ttl=5", "--user=root",
                              "--address=/exfil.example/" + AI, "--txt-record=t.exfil.example,hello",
                              "--cname=www.acme.example,models.acme.example", "--cache-size=0")

    def servers(self):
        with open(self.dir + "/where.json", "w") as f:
            json.dump({"addresses": list(V6) + list(V6.values()), "proxy": PROXY, "names": {n: [a] for n, a in NAMES.items()}}, f)
        self.node = self.spawn(self.net, "node", ROOT + "/tests/world/servers.js", self.dir + "/cert.pem", self.dir + "/key.pem",
                               self.dir + "/arrived.jsonl", self.dir + "/where.json")
        self.wait(lambda: "ready" in open(self.dir + "/node.log").read(), "the servers")

    def close(self):
        self.stop()
        for p in self.procs:
            p.terminate()
        for p in self.procs:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
        if os.path.isdir(self.cgroup):
            for d, _, _ in os.walk(self.cgroup, topdown=False):
                try:
                    open(d + "/cgroup.kill", "w").write("1")
                except OSError:
                    pass
            for _ in range(50):
                for d, _, _ in os.walk(self.cgroup, topdown=False):
                    try:
                        os.rmdir(d)
                    except OSError:
                        pass
                if not os.path.isdir(self.cgroup):
                    break
                time.sleep(0.05)
        for ns in (self.lap, self.net):
            sh("ip", "netns", "del", ns, check=False)
        shutil.rmtree("/etc/netns/" + self.lap, ignore_errors=True)
        if os.environ.get("KEEP"):
            print("kept", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- the agent ----

    def policy(self, **change):
        if not os.path.lexists(self.dir + "/assistantd"):  # the default tool's: its absence would be told
            shutil.copy("/bin/true", self.dir + "/assistantd")
        p = {"crmfence": 1, "name": "world", "mode": "enforce",
             "org": {"my_domain": "acme", "sandboxes": ["uat"], "login_hosts": True},
             "browser": {"extensions": ["abcdefghijklmnopabcdefghijklmnop"]},
             "tools": [{"name": "voice-assistant",
                        "match": [{"exe": self.dir + "/assistantd"},
                                  {"native_host_of": "chrome-extension://abcdefghijklmnopabcdefghijklmnop/"}],
                        "allow": ["crm.own", {"host": "models.acme.example", "why": "on-prem speech model"},
                                  {"host": "rotate.acme.example", "why": "addresses change"},
                                  {"host": "plain.acme.example", "ports": [80], "tls": False, "why": "legacy intranet"}]}],
             "ttl": {"floor": 2, "ceiling": 60},
             "resolvers": [DNS, "fd99::53"], "proxies": [{"host": "proxy.acme.example", "port": 3128}], "quic": "deny"}
        p.update(change)
        p["tools"] = [self.private(t) for t in p["tools"]]
        path = self.dir + "/policy.json"
        with open(path, "w") as f:
            json.dump(p, f)
        return path

    @staticmethod
    def private(tool):
        """The tool with each name let be private, as all of this world's addresses are, unless its entry says."""
        allow = [{"set": a} if isinstance(a, str) else dict(a) for a in tool["allow"]]
        for a in allow:
            if "cidr" not in a:
                a.setdefault("private", True)
        return dict(tool, allow=allow)

    def start(self, *extra, db=None, prefix=(BUILD + "/crmfenced",), **change):
        """Start crmfenced on the world's own cgroup; back when it enforces. `prefix`: what starts it instead."""
        self.db = db or self.dir + "/egress-%d.db" % self.twice
        self.twice += 1
        out = open(self.dir + "/agent.log", "a")
        self.agent = subprocess.Popen([*prefix, "--policy", self.policy(**change), "--db", self.db, "--control", self.control,
                                       "--cgroup", self.cgroup, "--pin-dir", self.pins] + list(extra),
                                      stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.wait(lambda: os.path.exists(self.control) or self.agent.poll() is not None, "crmfenced")
        if self.agent.poll() is not None:
            raise RuntimeError("crmfenced ended: " + open(self.dir + "/agent.log").read()[-2000:])
        self.tier = self.tier or json.loads(sh(BUILD + "/crmfence", "status", "--json", "--control", self.control, check=False).stdout)["tier"]

    def stop(self, sig=signal.SIGTERM):
        if self.agent and self.agent.poll() is None:
            self.agent.send_signal(sig)
            try:
                self.agent.wait(10 * SLOW)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
                raise
        self.agent = None
        if os.path.isdir(self.pins):  # in tier A nobody but the agent's program may take them away
            sh(BUILD + "/crmfenced", "--unpin", "--pin-dir", self.pins, check=False)
            for f in glob.glob(self.pins + "/*"):
                os.unlink(f)
        if os.path.isdir(self.pins):
            os.rmdir(self.pins)

    def rows(self, kind=None):
        """The log's rows so far, bodies parsed."""
        time.sleep(min(SLOW, 2) * 0.35 if kind in ("deny", "session", "tamper") else 1.6)  # a denial is committed at once, the rest every second
        db = sqlite3.connect("file:%s?mode=ro" % self.db, uri=True)
        rows = [dict(json.loads(b), id=s, kind=k) for s, k, b in db.execute("SELECT seq, kind, body FROM log ORDER BY seq")
                if not kind or k == kind]
        db.close()
        return rows

    # ---- programs ----

    def popen(self, *args, confined=True, uid=0, tool="voice-assistant", env=None, stdin_fd=subprocess.DEVNULL, inside=True, scope=None, **kw):
        """Start a program in the laptop's namespace, inside the world's cgroup or not; confined by `crmfence exec` when wanted. `scope`: a cgroup
        below the world's, which is entered last: who is in it may be a session."""
        cmd = list(args)
        if confined:
            cmd = [BUILD + "/crmfence", "exec", "--control", self.control, "--tool", tool, "--"] + cmd
        if uid:
            cmd = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"] + cmd
        procs = self.cgroup + "/cgroup.procs"

        def enter():
            with open(procs, "w") as f:
                f.write("0")

        e = dict(os.environ, SSL_CERT_FILE=self.dir + "/cert.pem", NODE_EXTRA_CA_CERTS=self.dir + "/cert.pem",
                 CURL_CA_BUNDLE=self.dir + "/cert.pem", PYTHONDONTWRITEBYTECODE="1", HOME="/tmp")
        for k in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            e.pop(k, None)
        e.update(env or {})
        into = ["ip", "netns", "exec", self.lap]
        if scope is not None:
            into = ["nsenter", "--net=/run/netns/" + self.lap, "sh", "-c", "echo $$ >%s/%s/cgroup.procs && exec \"$0\" \"$@\"" % (self.cgroup, scope)]
        return Program(into + cmd, preexec_fn=enter if inside else None, env=e, stdin=stdin_fd,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)

    def run(self, *args, timeout=20, **kw):
        p = self.popen(*args, **kw)
        try:
            out, _ = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            out, _ = p.communicate()
            return 124, out
        return p.returncode, out

    # ---- what left ----

    def sniffed(self):
        time.sleep(0.1)
        before = os.stat(self.dir + "/sniff.json").st_ino
        for pid in sh("pgrep", "-P", str(self.sniffer.pid), check=False).stdout.split() or [str(self.sniffer.pid)]:
            os.kill(int(pid), signal.SIGUSR1)
        try:
            self.wait(lambda: os.stat(self.dir + "/sniff.json").st_ino != before, "the sniffer's answer", 3)
        except FileNotFoundError:
            pass
        return json.load(open(self.dir + "/sniff.json"))

    def arrived(self, token):
        """Where the token arrived: in clear at the sniffer, or inside TLS at a server."""
        got = ["wire " + w for t, ws in self.sniffed()["tokens"].items() if t == token for w in ws]
        for line in open(self.dir + "/arrived.jsonl"):
            if token in line:
                r = json.loads(line)
                got.append("server %s" % (r.get("host") or r.get("url") or r.get("ip")))
        return got
