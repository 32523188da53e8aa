# SPDX-License-Identifier: Apache-2.0
"""What it costs. Each workload bare, with the floor (floor.bpf.c), with crmfence unconfined and confined, interleaved, several rounds, single connections with a CPU for each end;
medians of ratios to bare in the same round. Writes build/bench.json and prints a table.

usage: bench.py [ROUNDS] [SECONDS]
"""
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../world")
import world as W  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SECONDS = sys.argv[2] if len(sys.argv) > 2 else "1"
HOST, ADDR = "bench.acme.example", "10.99.1.60"
WORK = (os.environ.get("WORK") or "conn paced rr bulk udp exec open tls tlsnew").split()
BENCH = W.BUILD + "/bench/bench"
EACH = ("rr", "bulk", "udp", "tls")  # one connection: where both ends are put would be most of what is measured


def cpu(pids):
    total = 0
    for p in pids:
        try:
            total += sum(int(open("/proc/%d/task/%s/schedstat" % (p, t)).read().split()[0]) for t in os.listdir("/proc/%d/task" % p))
        except OSError:
            pass
    return total


def programs():
    """Nanoseconds spent in BPF programs so far, by the kernel's own count (kernel.bpf_stats_enabled)."""
    shown = json.loads(W.sh("bpftool", "prog", "show", "-j").stdout)
    return {p["id"]: p.get("run_time_ns", 0) for p in shown}


def children(pid):
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += [int(x) for x in W.sh("pgrep", "-P", str(p), check=False).stdout.split()]
    return out


class Bench:
    stats = False

    def __init__(self, w):
        self.w = w
        W.sh("ip", "-n", w.net, "addr", "add", ADDR + "/16", "dev", w.id + "b")
        w.hosts(dict(W.NAMES, **{HOST: ADDR}))
        W.sh("sh", "-c", "pkill -HUP -P %d dnsmasq || kill -HUP %d" % (w.dns.pid, w.dns.pid), check=False)
        w.spawn(w.net, BENCH, "serve", ADDR, w.dir + "/cert.pem", w.dir + "/key.pem")
        w.wait(lambda: os.path.exists(w.dir + "/bench.log") and "ready" in open(w.dir + "/bench.log").read(), "the server")
        self.server = [p for p in children(w.procs[-1].pid)]

    def measure(self, work, confined, agent):
        server, mine, before = cpu(self.server), cpu(agent), programs() if self.stats else {}
        where = "0" if work in EACH else "0-%d" % (os.cpu_count() - 1)
        code, out = self.w.run("taskset", "-c", where, BENCH, work, "-" if work in ("exec", "open") else HOST, SECONDS, confined=confined, timeout=60)
        if code:
            raise RuntimeError("%s: %s" % (work, out))
        if agent:
            time.sleep(0.25)  # the rows of the last turn belong to it
        ops, seconds, own, p50 = out.split()
        ops, seconds = int(ops), float(seconds)
        ran = sum(t - before.get(i, 0) for i, t in programs().items()) if self.stats else 0
        return {"programs": ran / ops, "rate": ops / seconds, "load": (int(own) + cpu(self.server) - server) / ops, "agent": (cpu(agent) - mine) / ops,
                "agent_share": (cpu(agent) - mine) / 1e9 / seconds, "p50": int(p50), "ops": ops}

    def bare(self, work):
        return self.measure(work, False, [])

    def floor(self, work):
        p = subprocess.Popen([W.BUILD + "/bench/floor", W.BUILD + "/bench/floor.bpf.o", self.w.cgroup], stdout=subprocess.PIPE, text=True)
        try:
            if p.stdout.readline() != "ready\n":
                raise RuntimeError("the floor cannot be attached")
            return self.measure(work, False, [p.pid])
        finally:
            p.kill()
            p.wait()

    def ours(self, work, confined):
        tools = [{"name": "voice-assistant", "allow": [
            "crm.own", {"host": HOST, "why": "bench"},
            {"cidr": ADDR + "/32", "ports": [7001, 7002, 7003, 7004], "why": "bench"}]}]
        self.w.start("--quiet", tools=tools, browser={"extensions": ["abcdefghijklmnopabcdefghijklmnop"]})
        try:
            time.sleep(0.3)
            r = self.measure(work, confined, children(self.w.agent.pid))
            r["rss"] = [int(x.split()[1]) for x in open("/proc/%d/status" % self.w.agent.pid) if x.startswith("VmRSS")][0] / 1024
            s = json.loads(W.sh(W.BUILD + "/crmfence", "status", "--json", "--control", self.w.control, check=False).stdout)
            if not s["log_writable"]:
                sys.exit("the log cannot be written: %s" % s)
            r["lost"] = s["counters"]["ring"] + s["counters"]["ring_denials"]
            return r
        finally:
            self.w.stop()


def inside(b, work, subjects):
    """One more run of each with the kernel's own clock around every program; it costs a little, so no rate is taken from it."""
    W.sh("sysctl", "-qw", "kernel.bpf_stats_enabled=1")
    b.stats = True
    try:
        return {s: f(b, work)["programs"] for s, f in subjects.items()}
    finally:
        b.stats = False
        W.sh("sysctl", "-qw", "kernel.bpf_stats_enabled=0")


def main():
    W.sh("mkdir", "-p", W.BUILD)
    w = W.World(sniffer=False)
    subjects = {"floor": lambda b, x: b.floor(x), "unconfined": lambda b, x: b.ours(x, False), "confined": lambda b, x: b.ours(x, True)}
    out, idle = [], 0
    try:
        b = Bench(w)
        for work in WORK:
            for pid in b.server:
                W.sh("taskset", "-acp", "1" if work in EACH else "0-%d" % (os.cpu_count() - 1), str(pid), check=False)
            rows = {s: [] for s in subjects}
            bares = []
            for _ in range(ROUNDS):
                for s, f in subjects.items():
                    base = b.bare(work)
                    bares.append(base)
                    rows[s].append((base, f(b, work)))
            ran = inside(b, work, subjects)
            for s, pairs in rows.items():
                med = lambda f: statistics.median(f(x, y) for x, y in pairs)  # noqa: E731
                out.append({"workload": work, "subject": s, "pairs": len(pairs), "ratio": round(med(lambda x, y: y["rate"] / x["rate"]), 3),
                            "rate": round(med(lambda x, y: y["rate"])), "bare_rate": round(med(lambda x, y: x["rate"])),
                            "load_ns": round(med(lambda x, y: y["load"] - x["load"])), "agent_ns": round(med(lambda x, y: y["agent"])),
                            "agent_share": round(med(lambda x, y: y["agent_share"]), 4),
                            "program_ns": round(ran[s]),
                            "p50_ns": round(med(lambda x, y: y["p50"] - x["p50"])),
                            "rss_mb": round(max([y.get("rss", 0) for _, y in pairs]), 1), "lost": sum(y.get("lost", 0) for _, y in pairs)})
        w.start("--quiet")
        time.sleep(1)
        before = cpu(children(w.agent.pid))
        time.sleep(5)
        idle = (cpu(children(w.agent.pid)) - before) / 5e9
        w.stop()
    finally:
        w.close()
    floors = {r["workload"]: r["ratio"] for r in out if r["subject"] == "floor"}
    for r in out:
        r["to_floor"] = round(r["ratio"] / floors[r["workload"]], 3)
    out.append({"workload": "idle", "subject": "agent", "share_of_a_core": round(idle, 5)})
    with open(W.BUILD + "/bench.json", "w") as f:
        for r in out:
            f.write(json.dumps(r) + "\n")
    print("%-8s %-11s %9s %7s %8s %9s %8s %9s %8s %8s %6s %5s" % ("WORK", "SUBJECT", "BARE/s", "RATIO", "TO FLOOR", "LOAD +ns", "PROG ns", "AGENT ns", "AGENT %",
                                                        "P50 +us", "RSS MB", "LOST"))
    for r in out[:-1]:
        print("%-8s %-11s %9d %7.3f %8.3f %9d %8d %9d %8.2f %8.1f %6.1f %5d" % (
            r["workload"], r["subject"], r["bare_rate"], r["ratio"], r["to_floor"], r["load_ns"], r["program_ns"], r["agent_ns"], 100 * r["agent_share"],
            r["p50_ns"] / 1000, r["rss_mb"], r["lost"]))
    for r in out[:-1]:
        if not r["rate"]:
            sys.exit("FAIL %s, %s: nothing was done" % (r["workload"], r["subject"]))
    print("idle: %.3f %% of a core" % (100 * idle))


main()
