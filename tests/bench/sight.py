# SPDX-License-Identifier: Apache-2.0
"""What TLS sight costs: h2load against nghttpd, 3 KB answers, bare, confined without sight, confined with it, and beside it a process that is
not watched. Rounds interleaved; medians of ratios to bare in the same round. Writes build/bench-sight.json.

usage: sight.py [ROUNDS] [REQUESTS]
"""
import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../world")
import world as W  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
REQUESTS = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
SUBJECTS = ("bare", "off", "on", "unwatched")


def rate(w, streams, confined):
    rc, out = w.run("h2load", "-n", str(REQUESTS), "-c", "1", "-m", str(streams), "https://models.acme.example:8443/f", confined=confined, timeout=120)
    m = re.search(r"finished in [^,]*, ([\d.]+) req/s", out)
    ok = re.search(r" (\d+) succeeded", out)
    if rc or not m or int(ok.group(1)) != REQUESTS:
        sys.exit("h2load: exit %d: %s" % (rc, out[-500:]))
    return float(m.group(1))


PAIRS = 20000


def pair(w, how):
    """CPU time of one write and read of a small request through memory: bare, with the least probe at the same places, with sight."""
    p = w.popen(W.BUILD + "/bench/pair", str(PAIRS), confined=how == "sight", stdin_fd=subprocess.PIPE)
    if p.stdout.readline() != "ready\n":
        sys.exit("pair does not come up")
    ssl = [line.split()[-1] for line in open("/proc/%d/maps" % p.pid) if "/libssl" in line][0]
    probe = subprocess.Popen([W.BUILD + "/tests/probe", ssl, str(p.pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) if how == "uprobe" else None
    if probe and probe.stdout.readline() != "ready\n":
        sys.exit("the probe cannot be put in")
    time.sleep(0.5)  # sight's are
    out = p.communicate("\n", timeout=60)[0]
    if probe:
        probe.communicate("", timeout=60)
    return int(out)


def pairs(w, tool):
    ns = {}
    for _ in range(ROUNDS):
        for how in ("bare", "uprobe", "sight"):
            if how == "sight":
                w.start("--quiet", tools=[dict(tool, sight=True)])
            ns.setdefault(how, []).append(pair(w, how))
            w.stop()
    out = [{"subject": "pair " + how, "ns": statistics.median(v)} for how, v in ns.items()]
    for o in out:
        print("%-20s %9.0f ns" % (o["subject"], o["ns"]))
    return out


def main():
    w, rates, seen, small = W.World(), {}, [], []
    try:
        with open(w.dir + "/f", "wb") as f:
            f.write(os.urandom(3072))
        server = w.spawn(w.net, "nghttpd", "-a", W.SHARED, "-d", w.dir, "8443", w.dir + "/key.pem", w.dir + "/cert.pem")
        tool = {"name": "voice-assistant", "match": [{"exe": w.dir + "/none"}],
                "allow": [{"host": "models.acme.example", "ports": [8443], "why": "the bench"}]}
        for _ in range(ROUNDS):
            for s in SUBJECTS:
                if s != "bare":
                    w.start("--quiet", tools=[dict(tool, sight=s != "off")])
                for streams in (1, 20):
                    rates.setdefault((s, streams), []).append(rate(w, streams, s in ("off", "on")))
                if s == "on":
                    rows = w.rows()
                    seen.append((len([r for r in rows if r["kind"] == "request"]), sum(r["count"] for r in rows if r["kind"] == "gap")))
                w.stop()
        if server.poll() is not None:
            sys.exit("nghttpd ended")
        small = pairs(w, tool)
    finally:
        w.close()
    out = []
    for streams in (1, 20):
        for s in SUBJECTS:
            ratio = statistics.median(a / b for a, b in zip(rates[s, streams], rates["bare", streams]))
            out.append({"streams": streams, "subject": s, "rate": statistics.median(rates[s, streams]), "ratio": ratio})
            print("%2d streams %-9s %9.0f req/s %6.3f" % (streams, s, out[-1]["rate"], ratio))
    print("seen %s of %d requests a round; what was lost: %s" % ([a for a, _ in seen], 2 * REQUESTS, [b for _, b in seen]))
    with open(W.BUILD + "/bench-sight.json", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in out + small)


main()
