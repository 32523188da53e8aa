# SPDX-License-Identifier: Apache-2.0
"""The agent killed, stopped, restarted, replaced by another build, given its policy again, killed for memory, under eight processes of a session that try
forbidden and allowed hosts without pause; and met by 4,000 connections at once that are refused where their packets leave, whether it runs or is
stopped among them. Not one token at the sniffer, not one allowed call refused.

usage: trials.py [N]; ends with "N passed, N failed, N skipped".
"""
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../world")
import world as W  # noqa: E402

TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000

FORBIDDEN = """
import socket, sys, time
token = sys.argv[1].encode()
n = 0
while True:
    for kind, port in ((socket.SOCK_DGRAM, 9999), (socket.SOCK_STREAM, 80)):
        s = None
        try:
            s = socket.socket(socket.AF_INET, kind)
            s.settimeout(1)
            s.connect(("%s", port))
            s.send(token)
            print("SENT", flush=True)
        except OSError:
            pass
        finally:
            if s:
                s.close()
    n += 1
    time.sleep(0.001)
""" % W.AI

ALLOWED = """
import socket, ssl, sys, time
ctx = ssl.create_default_context()
n = 0
while True:
    what = "?"
    try:
        what = "name"
        addr = socket.gethostbyname("acme.my.salesforce.com")
        what = "connect"
        s = socket.create_connection((addr, 443), 10)
        what = "hello"
        t = ctx.wrap_socket(s, server_hostname="acme.my.salesforce.com")
        what = "call"
        t.send(b"GET /quiet HTTP/1.1\\r\\nHost: acme.my.salesforce.com\\r\\nConnection: close\\r\\n\\r\\n")
        if not t.recv(9999).startswith(b"HTTP/1.1 200"):
            raise OSError(0, "answer")
        t.close()
    except OSError as e:
        print("FAILED %s: %s" % (what, e), flush=True)
    n += 1
    if n % 50 == 0:
        print("calls", n, flush=True)
    time.sleep(0.02)
"""

# The laptop's own address lies in a net that the policy lists: connect(2) may begin, the packet is refused. Half of the connections are begun by
# a child that is gone when the answer would come. What connects all the same sends.
REFUSED = """
import errno, os, resource, select, socket, sys, time
token, n = sys.argv[1].encode(), int(sys.argv[2])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
to = ("10.99.0.2", 443)
socks = [socket.socket() for _ in range(n)]
for s in socks:
    s.setblocking(False)
def begin(some):
    return sum(s.connect_ex(to) in (0, errno.EINPROGRESS) for s in some)
print("ready", flush=True)
sys.stdin.readline()
r, w = os.pipe()
if not os.fork():
    os.write(w, b"%d" % begin(socks[::2]))
    os._exit(0)
begun = begin(socks[1::2]) + int(os.read(r, 9))
os.wait()
poll, left, sent, end = select.epoll(), {s.fileno(): s for s in socks}, 0, time.time() + 3
for s in socks:
    poll.register(s, select.EPOLLOUT)
while left and time.time() < end:
    for fd, _ in poll.poll(0.2):
        s = left.pop(fd)
        poll.unregister(fd)
        try:
            s.send(token)
            sent += 1
        except OSError:
            pass
print(to[0], begun, sent, flush=True)
"""

# Unconfined, at the laptop's own address: hands what it is sent on to the vendor.
RELAY = """
import resource, select, socket
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("10.99.0.2", 443))
s.listen(4096)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
poll, held = select.epoll(), {}
poll.register(s, select.EPOLLIN)
print("up", flush=True)
while True:
    for fd, _ in poll.poll():
        if fd == s.fileno():
            c, _ = s.accept()
            held[c.fileno()] = c
            poll.register(c, select.EPOLLIN)
            continue
        try:
            said = held[fd].recv(4096)
        except OSError:
            said = b""
        if said:
            out.sendto(said, ("%s", 9999))
        else:
            poll.unregister(fd)
            held.pop(fd).close()
""" % W.AI
MANY = int(os.environ.get("REFUSED", "4000"))


def memory_controller():
    """Where memory cgroups are made, and their limit's file; v1 or v2. None: this machine has neither."""
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        at, kind, options = left.split()[4], right.split()[0], right.split()[2]
        if kind == "cgroup" and "memory" in options.split(","):
            return at, "memory.limit_in_bytes"
        if kind == "cgroup2" and "memory" in open(at + "/cgroup.controllers").read().split():
            return at, "memory.max"
    return None, None


class Trials:
    def __init__(self, w):
        self.w = w
        self.builds = [b for b in (W.BUILD + "/crmfenced", W.BUILD + "/clang/crmfenced") if os.path.exists(b)]
        w.start("--quiet", "--keep", tools=[{"name": "voice-assistant", "allow": [
            "crm.own", {"cidr": "10.99.0.0/24", "ports": [443], "why": "a net in which the laptop itself is"}]}])
        self.db = w.db
        self.memory, self.limit = memory_controller()
        self.token, self.met = None, [0, 0]

    def begin(self, build=None):
        w = self.w
        if os.path.exists(w.control):
            os.unlink(w.control)
        out = open(w.dir + "/agent.log", "a")
        w.agent = subprocess.Popen([build or self.builds[0], "--quiet", "--keep", "--policy", w.dir + "/policy.json", "--db", self.db, "--control", w.control,
                                    "--cgroup", w.cgroup, "--pin-dir", w.pins], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        w.wait(lambda: os.path.exists(w.control) or w.agent.poll() is not None, "crmfenced")
        if w.agent.poll() is not None:
            raise RuntimeError("crmfenced ended: " + open(w.dir + "/agent.log").read()[-800:])

    def end(self, sig):
        self.w.agent.send_signal(sig)
        self.w.agent.wait(20)

    def kill(self):
        self.end(signal.SIGKILL)
        time.sleep(random.random() * 0.3)
        self.begin()

    def oom(self):
        """The kernel's own OOM killer: the agent in a memory cgroup that has no room for its next page."""
        agent, group = self.w.agent, self.memory + "/" + self.w.id
        os.makedirs(group, exist_ok=True)
        try:
            with open(group + "/cgroup.procs", "w") as f:
                f.write(str(agent.pid))
            for room in [4096] * 20 + [1 << n for n in range(13, 24)]:
                try:  # v1 refuses a limit that it cannot reclaim down to just now
                    with open(group + "/" + self.limit, "w") as f:
                        f.write(str(room))
                    break
                except OSError:
                    time.sleep(0.01)
            W.sh(W.BUILD + "/crmfence", "status", "--control", self.w.control, check=False)  # something to do
            agent.wait(20)
        finally:
            with open(group + "/" + self.limit, "w") as f:
                f.write("1000000000")
        if agent.returncode != -signal.SIGKILL:
            raise RuntimeError("the OOM killer did not come: %s" % agent.returncode)
        self.begin()

    def stop(self):
        self.w.agent.send_signal(signal.SIGSTOP)
        time.sleep(random.random())
        self.w.agent.send_signal(signal.SIGCONT)

    def refused(self):
        """4,000 connections at once that are refused at egress; every other time the agent stands still meanwhile."""
        r, wr = os.pipe()
        p = refused_program(self.w, self.token, True, stdin_fd=r)
        os.close(r)
        p.stdout.readline()
        stands = random.random() < 0.5
        if stands:
            self.w.agent.send_signal(signal.SIGSTOP)
        os.close(wr)
        try:
            said = p.communicate(timeout=60)[0].split()
        finally:
            if stands:
                self.w.agent.send_signal(signal.SIGCONT)
        if len(said) == 3 and said[0] == "10.99.0.2":
            self.met = [self.met[0] + int(said[1]), self.met[1] + int(said[2])]

    def restart(self):
        self.end(signal.SIGTERM)
        self.begin()

    def upgrade(self):
        self.end(signal.SIGTERM)
        self.begin(random.choice(self.builds))

    def reload(self):
        p = self.w.dir + "/policy.json"
        text = open(p).read()
        with open(p, "w") as f:
            f.write(text.replace('"ceiling": 60', '"ceiling": 61') if '"ceiling": 60' in text else text.replace('"ceiling": 61', '"ceiling": 60'))
        self.w.agent.send_signal(signal.SIGHUP)
        time.sleep(0.1)


def refused_program(w, token, confined, **kw):
    return w.popen("python3", w.dir + "/refused.py", token, str(MANY), confined=confined, **kw)


def own_address(w):
    """At the laptop's own address somebody hands on what he gets: a session is to be refused. Back with why that would prove nothing."""
    for name, text in (("refused", REFUSED), ("relay", RELAY)):
        with open(w.dir + "/" + name + ".py", "w") as f:
            f.write(text)
    relay = w.popen("python3", w.dir + "/relay.py", confined=False)
    w.procs.append(relay)
    relay.stdout.readline()
    bare = W.PREFIX + "%08x" % random.getrandbits(31)
    said = refused_program(w, bare, False).communicate(timeout=60)[0]
    return [] if w.arrived(bare) else ["nothing arrives without crmfence: %r" % said]


def main():
    w = W.World()
    count = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        bare = own_address(w)
        t = Trials(w)
        for name, text in (("forbidden", FORBIDDEN), ("allowed", ALLOWED)):
            with open(w.dir + "/" + name + ".py", "w") as f:
                f.write(text)
        token, t.token = [W.PREFIX + "%08x" % random.getrandbits(31) for _ in range(2)]
        logs = [open(w.dir + "/client-%d.log" % i, "w+") for i in range(8)]
        clients = [w.popen("python3", w.dir + ("/forbidden.py" if i % 2 else "/allowed.py"), token, uid=0) for i in range(8)]
        import threading
        for p, log in zip(clients, logs):
            threading.Thread(target=lambda p=p, log=log: [log.write(x) for x in p.stdout], daemon=True).start()
        time.sleep(1.5)
        kinds = [t.kill, t.stop, t.restart, t.upgrade, t.reload, t.refused] + ([t.oom] if t.memory else [])
        kinds = [k for k in kinds if k.__name__ in os.environ.get("KINDS", k.__name__).split()]
        done = {}
        for i in range(TRIALS):
            act = random.choice(kinds)
            act()
            done[act.__name__] = done.get(act.__name__, 0) + 1
            time.sleep(random.random() * 0.2)
        time.sleep(1)
        alive = [p.poll() is None for p in clients]
        for p in clients:
            p.kill()
            p.wait()
        time.sleep(2)
        said = []
        for log in logs:
            log.flush()
            log.seek(0)
            said.append(log.read().split("\n"))
        failed = [x for s in said for x in s if x.startswith(("FAILED", "SENT"))]
        calls = sum(max([int(x.split()[1]) for x in s if x.startswith("calls")] or [0]) for s in said)
        arrived, slipped = w.arrived(token), w.arrived(t.token)
        whole = W.sh(W.BUILD + "/crmfence", "verify", "--db", t.db, check=False)
        for name, bad in (("the clients live", not all(alive)), ("no forbidden packet", arrived),
                          ("refused connections leak bare", bare), ("no refused connection", (slipped or t.met[1]) and (slipped[:3], t.met)),
                          ("connections were begun and refused", not t.met[0] and "refused" in done), ("no allowed call refused", failed[:5]),
                          ("allowed calls were made", calls < TRIALS and "%d calls" % calls), ("the log is whole", whole.returncode and whole.stdout)):
            count["failed" if bad else "passed"] += 1
            print("%s %s%s" % ("FAIL" if bad else "ok  ", name, ": %s" % (bad,) if bad else ""))
        print("%d trials (%s), %d allowed calls, %d refused, %d forbidden packets; of %d connections refused at egress %d sent" % (
            TRIALS, ", ".join("%s %d" % x for x in sorted(done.items())), calls, len(failed), len(arrived) + len(slipped), *t.met))
        w.stop()
    finally:
        w.close()
        for group in [x + "/" + w.id for x in (memory_controller()[0],) if x]:
            if os.path.isdir(group):
                os.rmdir(group)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % count)
    sys.exit(1 if count["failed"] else 0)


main()
