# SPDX-License-Identifier: Apache-2.0
"""Every way out that we know, tried by one static program (evade.c): without crmfence, where it has to leak; inside a session that
`crmfence exec` closed; inside a session that was recognised by its executable, where only the kernel programs stand; and by an unconfined
twin beside the agent. What left is for a sniffer in another namespace to say, and for a helper that takes what local channels bring.

usage: run.py [CASE...]; writes build/evasion.json, one object a case and flavour; ends with "N passed, N failed, N skipped".
"""
import collections
import concurrent.futures
import fnmatch
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../world")
import world as W  # noqa: E402

NOBODY = 65534
ROOTS = "/run/crmfence-evade"  # tests/evasion/unix.c
RUNTIME = "/run/user/%d" % NOBODY  # of the user, with his sound server's socket
NAME = {"unproved": True}
only = sys.argv[1:]

# errors other than EPERM: the call succeeds and the packet goes nowhere, or another part of the kernel is asked first
ERRORS = {
    "file": {"EACCES", "EPERM"}, "file-in-dev-shm": {"EACCES", "EPERM"}, "fifo": {"EACCES", "EPERM"},
    "tcp-io-uring": {"EPERM", "EPIPE", "ENOTCONN"}, "received-socket": {"EBADF"}, "received-ring": {"EBADF"}, "inherited-ring": {"EBADF"}, "inherited-packet": {"EBADF"}, "inherited-socket": {"EBADF", "ECONNABORTED", "EPIPE", "ECONNRESET", "EAGAIN"},
    **{n: {"not started", ""} for n in ("inherited-stdin", "inherited-stdin-udp", "inherited-stdin-ring", "inherited-stdin-packet", "inherited-stdin-tun")},
    **{n: {"EROFS"} for n in ("core-pattern", "modprobe-path", "hotplug-path", "uevent-helper", "ip-forward", "core-pipe-limit", "sysfs", "etc", "run",
                              "usr", "var-spool", "boot", "resolv-conf")},
    **{n: {"EACCES", "EPERM", "ENOENT", "EROFS"} for n in ("binfmt-misc", "release-agent", "block-device", "device-kmsg", "device-mem", "device-uinput")},
    "icmp6-ping-socket": {"EPERM"}, "tcp-fork": {"EPERM", "sent"}, "tcp-double-fork-setsid": {"EPERM", "sent"},
    "unix-rights-out": {"EPERM"}, "proc-mem": {"EACCES", "EPERM"}, "proc-fd-pipe": {"EACCES", "EPERM"},
    "udp-multicast": {"EPERM"}, "tun": {"EPERM", "EACCES", "ENOENT"}, "tcp-old-netns-socket": {"EPERM"},
    "unix-collision": {"EACCES", "EPERM"}, "unix-mounted": {"EACCES", "EPERM"}, "sysv-message": {"EPERM", "ENOENT"}, "sysv-shared-memory": {"EPERM", "ENOENT"}, "posix-message-queue": {"EPERM", "ENOENT"}, "fifo-made": {"EACCES", "EPERM"},
}


class Suite:
    def __init__(self, w):
        self.w = w
        self.evade = shutil.copy(W.BUILD + "/evasion/evade", w.dir + "/evade")
        self.matched = shutil.copy(self.evade, w.dir + "/evade-matched")
        self.dir = w.dir + "/helper"
        self.owner = shutil.copy(self.evade, w.dir + "/evade-owner")
        for d in (self.dir, self.dir + "/ok"):
            os.mkdir(d)
            os.chmod(d, 0o1777)
        os.mkdir(ROOTS)
        for d in (RUNTIME, RUNTIME + "/pulse"):
            os.makedirs(d, 0o700)
            os.chown(d, NOBODY, NOBODY)
        for s in ("net.ipv4.ping_group_range=0 2147483647", "net.ipv4.tcp_fastopen=3", "net.mptcp.enabled=1"):
            W.sh("ip", "netns", "exec", w.lap, "sysctl", "-qw", s, check=False)
        lines = W.sh(self.evade, "list").stdout.split("\n")
        self.cases = [x.split() for x in lines if x and (not only or any(fnmatch.fnmatch(x.split()[0], p) for p in only))]
        unit = w.cgroup + "/system.slice/other.service"  # by its name: it is below a cgroup of ours
        os.makedirs(unit)
        self.others = [w.popen(self.evade, "listener", self.dir, RUNTIME + "/pulse/native", confined=False, uid=NOBODY),
                       w.popen(self.evade, "listener", self.dir, ROOTS + "/proved", ROOTS + "/listed", confined=False),
                       w.popen("sh", "-c", "echo $$ > %s/cgroup.procs; exec %s listener %s %s/forged-unit" % (unit, self.evade, self.dir, self.dir), confined=False)]
        w.wait(lambda: os.path.exists(RUNTIME + "/pulse/native") and os.path.exists(ROOTS + "/listed") and os.path.exists(self.dir + "/forged-unit"), "those who listen")
        self.helper = w.popen(self.evade, "helper", self.dir, self.owner, confined=False, uid=NOBODY)
        w.wait(lambda: all(os.path.exists(self.dir + n) for n in ("/about", "/forged/proved", "/disguised")) or self.helper.poll() is not None, "the helper")
        if self.helper.poll() is not None:
            raise RuntimeError("the helper ended: " + self.helper.stdout.read())

    def policy(self):
        return {"tools": [{"name": "voice-assistant", "match": [{"exe": self.matched}], "write": [self.dir + "/ok"], "allow": [
            "crm.own", {"cidr": "10.99.1.10/32", "ports": [80], "why": "evasion"}, {"cidr": "fd99::10/128", "ports": [80], "why": "evasion"}],
            "unix": [{"path": self.dir + n, "owner" if "/" in o else "unit": o, **more} for n, o, more in (
                ("/owned", self.evade, NAME), ("/impostor", "/usr/bin/somebody-else", {}), ("/unit", "helper.service", NAME),
                ("/pretender", "other.service", {}), ("/ok/absent", self.evade, {}), ("/ok/claimed", self.evade, NAME),
                ("/ok/exchanged", self.evade, NAME), ("/disguised", self.owner, {}), ("/forged-unit", "other.service", {}))] + [
                "audio", ROOTS + "/proved", {"path": ROOTS + "/listed", "unproved": True}]}]}

    def one(self, name, who, flavour):
        """Try it; back with the token and what the program said."""
        token = W.PREFIX + "%08x" % random.getrandbits(31)
        program = self.matched if flavour == "match" else self.evade
        cmd = [program, name, token, self.dir]
        prefix = []
        if flavour == "exec":
            prefix = [W.BUILD + "/crmfence", "exec", "--control", self.w.control, "--tool", "voice-assistant", "--"]
        if name.startswith(("inherited-", "received-")):
            prefix = [self.evade, "with", name] + prefix
        _, out = self.w.run(*prefix, *cmd, confined=False, uid=NOBODY if who == "u" else 0, timeout=15)
        said = out.strip().split("\n")[-1]
        return token, "not started" if "Nothing was started" in said else said

    def arrived(self, kind, token, said):
        if kind == "s":
            return said == "sent"
        if kind == "w":
            return bool(self.seen.get(token)) or token in self.served
        return token in self.got or "signal " + token[-8:] in self.got

    def look(self):
        """What arrived so far, anywhere."""
        self.seen = self.w.sniffed()["tokens"]
        self.served = open(self.w.dir + "/arrived.jsonl").read()
        self.got = open(self.dir + "/got").read()

    def phase(self, flavour, wait):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda c: self.one(c[0], c[2], flavour), self.cases))
        time.sleep(wait)  # retransmits
        self.look()
        return {c[0]: (self.arrived(c[1], *d), d[1]) for c, d in zip(self.cases, done)}


Line = collections.namedtuple("Line", "tier kernel flavour case way why")


def open_list():
    """The lines of open.txt."""
    with open(HERE + "/open.txt") as f:
        said = [x.strip() for x in f if x.strip() and not x.startswith("#")]
    lines = [Line(*x.split(None, 5)) for x in said[1:]]
    if said[0] != "lines %d" % len(lines):
        raise SystemExit("tests/evasion/open.txt has %d lines and says %r: its head says why" % (len(lines), said[0]))
    return lines


OPEN = open_list()


def fits(line, name, flavour, release, tier):
    version = [int(x) for x in re.findall(r"\d+", release)[:2]]
    return (line.tier in ("any", tier) and line.flavour in ("both", flavour) and fnmatch.fnmatch(name, line.case) and
            (line.kernel == "any" or version < [int(x) for x in line.kernel[1:].split(".")]))


def judge(name, flavour, bare, tried, twin, release=os.uname().release, tier="B", ways=None):
    """Outcome, and what is wrong with it. `ways`: what doctor calls open there."""
    leaked, said = tried[:2]
    line = next((x for x in OPEN if fits(x, name, flavour, release, tier)), None)
    if not bare[0]:
        return "no leak here", None
    if leaked and line and line.way != "-" and line.way not in ways:
        return "LEAKED", "it is open, and doctor does not say %s, but %s" % (line.way, sorted(ways))
    if leaked:
        return ("open: " + line.why, None) if line else ("LEAKED", "it leaked (%s)" % said)
    if line and line.way == "-":
        return "held", "the policy lists this peer, and it was refused (%s)" % said
    if not twin[0]:
        return "held", "the unconfined twin was harmed (%s)" % twin[1]
    if flavour == "exec" and said not in ERRORS.get(name, {"EPERM"}):
        return "held", "the program should see %s, saw %s" % ("/".join(sorted(ERRORS.get(name, {"EPERM"}))), said)
    return "held", None


def stale(rows):
    """Lines of the list whose cases leak bare and are held wherever they were tried."""
    tried = [(line, [r["leaked_with"] for r in rows if r["leaked_without"] and fits(line, r["name"], r["flavour"], r["kernel"], r["tier"])])
             for line in OPEN]
    return ["%s (%s, tier %s) is held by now: take its line out of tests/evasion/open.txt" % (line.case, line.flavour, line.tier)
            for line, leaks in tried if leaks and not any(leaks)]


def main():
    w = W.World()
    rows, count = [], {"passed": 0, "failed": 0, "skipped": 0}
    try:
        s = Suite(w)
        bare = s.phase("bare", 0.5)
        w.start("--quiet", **s.policy())
        doctor = W.sh(W.BUILD + "/crmfence", "doctor", "--json", "--control", w.control, check=False).stdout
        ways = {json.loads(x)["way"].replace(" ", "-") for x in doctor.splitlines() if x.startswith("{")}
        tried = {f: s.phase(f, 2) for f in ("exec", "match")}
        twin = s.phase("bare", 0.5)
        w.stop()
        for p in [s.helper] + s.others:
            p.kill()
        for name, _, who in s.cases:
            for flavour in ("exec", "match"):
                outcome, wrong = judge(name, flavour, bare[name], tried[flavour][name], twin[name], tier=w.tier, ways=ways)
                rows.append({"name": name, "flavour": flavour, "kernel": os.uname().release, "tier": w.tier, "uid": NOBODY if who == "u" else 0,
                             "leaked_without": bare[name][0], "leaked_with": tried[flavour][name][0], "error": tried[flavour][name][1],
                             "outcome": outcome, "control_ok": twin[name][0]})
                if wrong:
                    count["failed"] += 1
                    print("FAIL %s (%s): %s" % (name, flavour, wrong), flush=True)
                elif outcome == "no leak here":
                    count["skipped"] += 1
                    if flavour == "exec":
                        print("skip %s: does not leak on this machine without crmfence (%s)" % (name, bare[name][1]), flush=True)
                else:
                    count["passed"] += 1
        for wrong in stale(rows):
            count["failed"] += 1
            print("FAIL " + wrong, flush=True)
    finally:
        for d in (ROOTS, RUNTIME):
            shutil.rmtree(d, ignore_errors=True)
        for path in ("/dev/shm/helper",):
            if os.path.exists(path):
                os.unlink(path)
        W.sh("ipcrm", "-Q", "0x63726d66", "-M", "0x63726d66", check=False)
        if os.path.exists("/dev/mqueue/crmfence-evade"):
            os.unlink("/dev/mqueue/crmfence-evade")
        w.close()
    with open(W.BUILD + "/evasion.json", "w") as f:
        for r in rows:
            f.write(json.dumps(r) + "\n")
    held = sum(r["outcome"] == "held" for r in rows)
    print("%d cases in two flavours: %d held, %d open and said so, %d leaked, %d do not leak here" % (
        len(rows) // 2, held, sum(r["outcome"].startswith("open") for r in rows), sum(r["outcome"] == "LEAKED" for r in rows),
        sum(r["outcome"] == "no leak here" for r in rows)))
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % count)
    sys.exit(1 if count["failed"] else 0)


if __name__ == "__main__":
    main()
