# SPDX-License-Identifier: Apache-2.0
"""What TLS sight costs: h2load against nghttpd, 3 KB answers, asked by a process outside of what crmfence is attached to (bare), the same with the least probe
at sight's places (uprobe), one confined without sight (off), the same with the least probe (floor), one confined with sight (on), and one beside them that is not confined; with client and
server on one CPU, on a CPU each, on any, and over a link of 100 Mbit/s. All are there at once and ask without end; each in turn, while the others stand still. Of the ratios to bare in the same turn the
middle, and the lowest and highest round. A round has processes of its own: two that are alike differ by some per cent.
What sight takes of the process beside is too little for that: one octet there and back, and a TLS request, over a connection that stands, in turn with and without a watched session under one
agent, by the middle of what one takes; and the kernel's own clock over the programs. Writes build/bench-sight.json.

usage: sight.py [ROUNDS] [TURNS]
"""
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../world")
import world as W  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
TURNS = int(sys.argv[2]) if len(sys.argv) > 2 else 20
TURN = 0.1  # seconds
SUBJECTS = {"bare": None, "uprobe": None, "off": "without", "floor": "without", "on": "voice-assistant", "beside": None}  # whose tool it is
PROBED = ("uprobe", "floor")
ASIDE = "10.99.1.60"
LIBSSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
URL = "https://models.acme.example:8443/f"


WHERE = {"one CPU": ("0", "0"), "a CPU each": ("0", "1"), "any CPU": ("0,1", "0,1"), "100 Mbit/s": ("0", "1")}  # client, server


def link(w, slow):
    """tc-tbf(8) on both ends, or nothing."""
    for ns, dev in ((w.lap, "a"), (w.net, "b")):
        W.sh("tc", "-n", ns, "qdisc", "del", "dev", w.id + dev, "root", check=False)
        if slow:
            W.sh("tc", "-n", ns, "qdisc", "add", "dev", w.id + dev, "root", "tbf", "rate", "100mbit", "burst", "16kb", "latency", "50ms")


class Load:
    """h2load that asks without end, in its turns."""
    def __init__(self, w, subject, where, streams):
        # a library of its own: each probe of a file is met by all that are probed there
        env = {"LD_LIBRARY_PATH": w.dir + "/" + subject} if subject in PROBED else None
        tool = SUBJECTS[subject]
        self.p = w.popen("taskset", "-c", WHERE[where][0], "h2load", "-n", "1000000000", "-c", "1", "-m", str(streams), URL,
                         confined=bool(tool), tool=tool, env=env, inside=subject not in ("bare", "uprobe"))
        try:
            w.wait(lambda: self.done() > 100000, "h2load")
        except BaseException:
            self.end()
            raise
        self.stop()

    def done(self):
        with open("/proc/%d/io" % self.p.pid) as f:
            return int(f.readline().split()[1])  # rchar

    def stop(self):
        os.kill(self.p.pid, signal.SIGSTOP)

    def turn(self):
        """Octets that it read in a second: of answers, which are alike."""
        os.kill(self.p.pid, signal.SIGCONT)
        time.sleep(0.02)
        before, since = self.done(), time.monotonic()
        time.sleep(TURN)
        after, now = self.done(), time.monotonic()
        self.stop()
        time.sleep(0.005)
        return (after - before) / (now - since)

    def end(self):
        os.kill(self.p.pid, signal.SIGKILL)
        self.p.wait(20)


def turns(w, where, streams):
    """A round: each one's octets a second, turn by turn."""
    got, loads = {s: [] for s in SUBJECTS}, {}
    try:
        for s in random.sample(sorted(SUBJECTS), len(SUBJECTS)):
            loads[s] = Load(w, s, where, streams)
        with contextlib.ExitStack() as probes:
            for s in PROBED:
                probes.enter_context(least_probe(loads[s].p.pid, "%s/%s/libssl.so.3" % (w.dir, s)))
            for _ in range(TURNS):
                for s in random.sample(sorted(SUBJECTS), len(SUBJECTS)):
                    got[s].append(loads[s].turn())
    finally:
        for load in loads.values():
            load.end()
    return got


def programs():
    """Nanoseconds spent in BPF programs so far, by the kernel's own clock (kernel.bpf_stats_enabled)."""
    return sum(p.get("run_time_ns", 0) for p in json.loads(W.sh("bpftool", "prog", "show", "-j").stdout))


@contextlib.contextmanager
def watched(w):
    """A session that waits, with its probes in."""
    p = w.popen("curl", "-sS", "-K", "-", stdin_fd=subprocess.PIPE)
    time.sleep(0.5)
    yield
    p.communicate("", timeout=20)
    time.sleep(0.3)


class Client:
    """One that asks over a connection that stands, on the one CPU with its server: for each turn the middle of what a request takes, in ns."""
    def __init__(self, w, work):
        self.p = w.popen("taskset", "-c", "0", W.BUILD + "/bench/bench", work, ASIDE, "0.2", "turns", confined=False, stdin_fd=subprocess.PIPE)
        self.p.stdout.readline()

    def turn(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        ops, _, _, middle = self.p.stdout.readline().split()
        self.ops = int(ops)
        return int(middle)

    def inside(self):
        W.sh("sysctl", "-qw", "kernel.bpf_stats_enabled=1")
        try:
            before = programs()
            self.turn()
            return (programs() - before) / self.ops
        finally:
            W.sh("sysctl", "-qw", "kernel.bpf_stats_enabled=0")


def beside(w, tool):
    """A process that is not watched, while another is against while none is: the middle of the ratios, and where it is with 95 % (bootstrap)."""
    ratios, ns, out = {}, {}, []
    W.sh("ip", "-n", w.net, "addr", "add", ASIDE + "/16", "dev", w.id + "b")
    w.spawn(w.net, "taskset", "-c", "0", W.BUILD + "/bench/bench", "serve", ASIDE, w.dir + "/cert.pem", w.dir + "/key.pem")
    w.wait(lambda: "ready" in open(w.dir + "/taskset.log").read(), "the server")
    w.start("--quiet", tools=[dict(tool, sight=True)])
    clients = {work: Client(w, work) for work in ("rr", "tls")}
    for i in range(20 * ROUNDS):
        got = {}
        for on in (i % 2, 1 - i % 2):
            with watched(w) if on else contextlib.nullcontext():
                for work, c in clients.items():
                    got[on, work] = c.turn()
                    if i < 5:
                        ns.setdefault((on, work), []).append(c.inside())
        for work in clients:
            ratios.setdefault(work, []).append(got[0, work] / got[1, work])
    for c in clients.values():
        c.p.communicate("", timeout=20)
    w.stop()
    for work, r in ratios.items():
        medians = sorted(statistics.median(random.choices(r, k=len(r))) for _ in range(2000))
        out.append({"work": work, "subject": "beside a watched session", "ratio": statistics.median(r), "from": medians[50], "to": medians[1949], "pairs": len(r),
                    "programs_ns": statistics.median(ns[1, work]), "programs_ns_without": statistics.median(ns[0, work])})
        print("beside, %-4s a session watched against none %.3f (%.3f to %.3f, %d pairs); programs %.0f ns a request, %.0f with none" % (
            work + ":", out[-1]["ratio"], out[-1]["from"], out[-1]["to"], len(r), out[-1]["programs_ns"], out[-1]["programs_ns_without"]))
    return out


PAIRS = 3000  # what waits for an agent that stands still has room
SIGHT = ("sight", "stopped")


@contextlib.contextmanager
def least_probe(pid, ssl):
    """The least that a probe can be, where sight puts its own."""
    probe = subprocess.Popen([W.BUILD + "/tests/probe", ssl, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if probe.stdout.readline() != "ready\n":
        sys.exit("the probe cannot be put in")
    yield
    probe.communicate("", timeout=60)


def pair(w, how):
    """CPU time of one write and read of a small request through memory: bare, with the least probe at the same places, with sight, with an agent that stands still."""
    p = w.popen(W.BUILD + "/bench/pair", str(PAIRS), confined=how in SIGHT, stdin_fd=subprocess.PIPE)
    if p.stdout.readline() != "ready\n":
        sys.exit("pair does not come up")
    with least_probe(p.pid, LIBSSL) if how == "uprobe" else contextlib.nullcontext():
        time.sleep(0.5)  # sight's are
        if how == "stopped":
            os.kill(w.agent.pid, signal.SIGSTOP)
        try:
            return int(p.communicate("\n", timeout=60)[0])
        finally:
            if how == "stopped":
                os.kill(w.agent.pid, signal.SIGCONT)


def pairs(w, tool):
    ns = {}
    for _ in range(ROUNDS):
        for how in ("bare", "uprobe") + SIGHT:
            if how in SIGHT:
                w.start("--quiet", tools=[dict(tool, sight=True)])
            ns.setdefault(how, []).append(pair(w, how))
            w.stop()
    out = [{"subject": "pair " + how, "ns": statistics.median(v)} for how, v in ns.items()]
    for o in out:
        print("%-20s %9.0f ns" % (o["subject"], o["ns"]))
    return out


def main():
    w, got, rows = W.World(sniffer=False), {}, []
    try:
        with open(w.dir + "/f", "wb") as f:
            f.write(os.urandom(3072))
        for s in PROBED:
            os.mkdir(w.dir + "/" + s)
            shutil.copy(LIBSSL, w.dir + "/" + s)
        server = w.spawn(w.net, "nghttpd", "-a", W.SHARED, "-d", w.dir, "8443", w.dir + "/key.pem", w.dir + "/cert.pem")
        tool = {"name": "voice-assistant", "match": [{"exe": w.dir + "/none"}],
                "allow": [{"host": "models.acme.example", "ports": [8443], "why": "the bench"}]}
        both = [dict(tool, sight=True), dict(tool, name="without", match=[{"exe": w.dir + "/neither"}])]
        for where, cpus in WHERE.items():
            W.sh("taskset", "-cp", cpus[1], str(server.pid))
            link(w, where == "100 Mbit/s")
            for streams, _ in itertools.product((1, 20), range(ROUNDS)):
                w.start("--quiet", tools=both)
                got.setdefault((where, streams), []).append(turns(w, where, streams))
                w.stop()
                r = w.rows()
                rows.append((len([x for x in r if x["kind"] == "request"]), sum(x["count"] for x in r if x["kind"] == "gap")))
        if server.poll() is not None:
            sys.exit("nghttpd ended")
        link(w, False)
        small = beside(w, tool) + pairs(w, tool)
    finally:
        w.close()
    out = []
    for (where, streams), rounds in got.items():
        for s in SUBJECTS:
            of = [[a / b for a, b in zip(r[s], r["bare"])] for r in rounds]
            middles = [statistics.median(x) for x in of]
            out.append({"where": where, "streams": streams, "subject": s, "kb_s": statistics.median(sum((r[s] for r in rounds), [])) / 1000,
                        "ratio": statistics.median(sum(of, [])), "lowest": min(middles), "highest": max(middles)})
            if s == "on":
                out[-1]["to_off"] = statistics.median(a / b for r in rounds for a, b in zip(r[s], r["off"]))
            print("%-10s %2d streams %-7s %7.0f KB/s  %.3f (%.3f to %.3f)%s" % (where, streams, s, out[-1]["kb_s"], out[-1]["ratio"], out[-1]["lowest"],
                  out[-1]["highest"], "  to off %.3f" % out[-1]["to_off"] if s == "on" else ""))
    print("requests seen %d, in %d rounds; what was lost: %d" % (sum(a for a, _ in rows), len(rows), sum(b for _, b in rows)))
    with open(W.BUILD + "/bench-sight.json", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in out + small)


main()
