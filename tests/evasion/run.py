# SPDX-License-Identifier: Apache-2.0
"""Every way out that we know, tried by one static program (evade.c): without crmfence, where it has to leak; inside a session that
`crmfence exec` closed; inside a session that was recognised by its executable, where only the kernel programs stand; and by an unconfined
twin beside the agent. What left is for a sniffer in another namespace to say, and for a helper that takes what local channels bring.

usage: run.py [CASE...]; writes build/evasion.json, one object a case and flavour; ends with "N passed, N failed, N skipped".
"""
import concurrent.futures
import fnmatch
import json
import os
import random
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../world")
import world as W  # noqa: E402

NOBODY = 65534
only = sys.argv[1:]

FILES = "a file is not the network: closed in tier A, where the policy has \"write\""
LAUNCH = "only `crmfence exec` closes it on a kernel without BPF LSM: relaunch the tool with it"
# what stays open in a flavour on this tier, and why; anything else that leaks is a failure
ROOT = "a recognised session that runs as root, without BPF LSM: its launch takes away neither capabilities nor files; relaunch the tool with `crmfence exec`"
HANDED = "a socket that another process connected and hands in: only tier A1 sees it (lsm/file_receive, with socket storage)"
OPEN = {
    "exec": {},  # "write" closes files, and with them the FIFO
    "match": dict({"received-socket": HANDED, "received-ring": LAUNCH}, **{n: FILES for n in ("fifo", "file", "file-in-dev-shm", "fifo-made")}, **{n: LAUNCH for n in (
        "sysv-message", "sysv-shared-memory", "posix-message-queue", "ptrace", "process-vm-writev", "proc-mem", "proc-fd-pipe", "pidfd-getfd",
        "queued-signal", "key-ring", "netlink-usersock", "netlink-userspace", "netlink-high-bits", "vsock-high-bits", "rxrpc", "smc", "vsock", "tipc", "kcm", "can", "bluetooth", "qrtr",
        "xdp", "key", "alg", "pppox", "llc", "appletalk", "x25", "ax25", "ieee802154", "phonet", "caif", "nfc", "mctp", "packet-raw",
        "netlink-netfilter", "netlink-xfrm", "netlink-generic",
        "packet-cooked", "packet-qdisc-bypass", "packet-self-test", "tun")}, **{n: ROOT for n in (
        "core-pattern", "modprobe-path", "hotplug-path", "uevent-helper", "ip-forward", "core-pipe-limit", "sysfs", "binfmt-misc", "release-agent",
        "block-device", "device-kmsg", "device-mem", "device-uinput", "etc", "run", "usr", "var-spool", "boot", "resolv-conf", "link-ipip", "link-vxlan",
        "link-gre", "link-dummy", "qdisc-clsact")}),
}
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
    "sysv-message": {"EPERM", "ENOENT"}, "sysv-shared-memory": {"EPERM", "ENOENT"}, "posix-message-queue": {"EPERM", "ENOENT"}, "fifo-made": {"EACCES", "EPERM"},
}


class Suite:
    def __init__(self, w):
        self.w = w
        self.evade = shutil.copy(W.BUILD + "/evasion/evade", w.dir + "/evade")
        self.matched = shutil.copy(self.evade, w.dir + "/evade-matched")
        self.dir = w.dir + "/helper"
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o777)
        for s in ("net.ipv4.ping_group_range=0 2147483647", "net.ipv4.tcp_fastopen=3", "net.mptcp.enabled=1"):
            W.sh("ip", "netns", "exec", w.lap, "sysctl", "-qw", s, check=False)
        lines = W.sh(self.evade, "list").stdout.split("\n")
        self.cases = [x.split() for x in lines if x and (not only or any(fnmatch.fnmatch(x.split()[0], p) for p in only))]
        self.helper = w.popen(self.evade, "helper", self.dir, confined=False, uid=NOBODY)
        w.wait(lambda: os.path.exists(self.dir + "/about") or self.helper.poll() is not None, "the helper")
        if self.helper.poll() is not None:
            raise RuntimeError("the helper ended: " + self.helper.stdout.read())

    def policy(self):
        return {"tools": [{"name": "voice-assistant", "match": [{"exe": self.matched}], "write": [self.dir + "/ok"], "allow": [
            "crm.own", {"cidr": "10.99.1.10/32", "ports": [80], "why": "evasion"}, {"cidr": "fd99::10/128", "ports": [80], "why": "evasion"}],
            "unix": [{"path": self.dir + "/owned", "owner": self.evade}, {"path": self.dir + "/impostor", "owner": "/usr/bin/somebody-else"},
            {"path": self.dir + "/unit", "unit": "helper.service"}, {"path": self.dir + "/pretender", "unit": "other.service"}]}]}

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


OLD = "a kernel before 6.7 has no hook for Unix sockets: tier A, or a mount namespace, closes it"


LISTED = "the policy lists this peer, by its path and its program or unit"
CLAIMED = "listed by its path, listened on by another program or unit than the policy says: who listens is seen in tier A only"


def open_why(name, flavour, release, tier):
    """Why this may stay open here; None: it may not."""
    if name in ("unix-owned", "unix-unit"):
        return LISTED
    if tier != "B":
        return HANDED if tier == "A2" and name == "received-socket" and flavour == "match" else None
    version = tuple(int(x) for x in release.split("-")[0].split("+")[0].split(".")[:2])
    if version < (6, 7) and name.startswith("unix-"):
        return OLD
    if name in ("unix-impostor", "unix-pretender"):
        return CLAIMED
    return OPEN[flavour].get(name)


def judge(name, flavour, bare, tried, twin, release=os.uname().release, tier="B"):
    """Outcome, and what is wrong with it."""
    leaked, said = tried[:2]
    if not bare[0]:
        return "no leak here", None
    if leaked:
        why = open_why(name, flavour, release, tier)
        return ("open: " + why, None) if why else ("LEAKED", "it leaked (%s)" % said)
    if name in ("unix-owned", "unix-unit"):
        return "held", "the policy lists this peer, and it was refused (%s)" % said
    if not twin[0]:
        return "held", "the unconfined twin was harmed (%s)" % twin[1]
    if flavour == "exec" and said not in ERRORS.get(name, {"EPERM"}):
        return "held", "the program should see %s, saw %s" % ("/".join(sorted(ERRORS.get(name, {"EPERM"}))), said)
    return "held", None


def main():
    w = W.World()
    rows, count = [], {"passed": 0, "failed": 0, "skipped": 0}
    try:
        s = Suite(w)
        bare = s.phase("bare", 0.5)
        w.start("--quiet", **s.policy())
        tried = {f: s.phase(f, 2) for f in ("exec", "match")}
        twin = s.phase("bare", 0.5)
        w.stop()
        s.helper.kill()
        for name, _, who in s.cases:
            for flavour in ("exec", "match"):
                outcome, wrong = judge(name, flavour, bare[name], tried[flavour][name], twin[name])
                rows.append({"name": name, "flavour": flavour, "kernel": os.uname().release, "tier": "B", "uid": NOBODY if who == "u" else 0,
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
    finally:
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
