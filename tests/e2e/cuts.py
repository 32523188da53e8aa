# SPDX-License-Identifier: Apache-2.0
"""The log of an agent that writes without pause, when the power goes (its file system is shut down without a flush), and when any of its processes is
killed: each row that was told to be on the disk is there, the chain holds, and who goes on says what there is to say.

usage: cuts.py POWER KILLS; ends with "N passed, N failed, N skipped".
"""
import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FENCE_BUILD", ROOT + "/build")
EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, struct.pack("I", 2)


def sh(*args, check=True):
    return subprocess.run(args, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Writer:
    """logcut on a file; `safe`: the last row that it told to be on the disk."""

    def __init__(self, db, seed):
        self.p = subprocess.Popen([BUILD + "/tests/logcut", db, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        self.safe, self.lines = 0, 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.p.stdout:
            self.safe, self.lines = int(line), self.lines + 1

    def await_lines(self, n):
        end = time.time() + 30
        while self.lines < n:
            if time.time() > end or self.p.poll() is not None:
                self.kill(self.processes())
                raise RuntimeError("no row gets onto the disk: %d of %d" % (self.lines, n))
            time.sleep(0.002)

    def all_three(self):
        """As processes(), when each is there."""
        pids = self.processes()
        while len(pids) < 3 and self.p.poll() is None:
            pids = self.processes()
        return pids

    def processes(self):
        """Its own pid, its keeper's, its writer's: those that are there."""
        pids = [self.p.pid]
        while True:
            out = sh("pgrep", "-P", str(pids[-1]), check=False).stdout.split()
            if not out:
                return pids
            pids.append(int(out[0]))

    def kill(self, pids):
        """All of them at once, as when the power goes: none has the time to see another go. Back when none is there any more."""
        for sig in (signal.SIGSTOP, signal.SIGKILL):
            for pid in reversed(pids):
                try:
                    os.kill(pid, sig)
                except ProcessLookupError:
                    pass
        self.p.wait()
        self.reader.join()
        end = time.time() + 20
        while any(os.path.exists("/proc/%d" % p) for p in pids) and time.time() < end:
            time.sleep(0.005)

    def end(self):
        self.p.stdin.close()
        self.p.wait()
        self.reader.join()
        return self.p.returncode


def verify(db):
    p = sh(BUILD + "/crmfence", "verify", "--json", "--db", db, check=False)
    return json.loads(p.stdout) if p.stdout.startswith("{") else {"why": p.stdout, "bad": 1, "seq": 0}


def numbered(db):
    """Each row once, in the order in which it was put: its number is the one before it and 1, or a new writer's first."""
    c = sh("sqlite3", "-readonly", db, "SELECT json_extract(body, '$.n') FROM log WHERE kind='flow' ORDER BY seq", check=False)
    n = [int(x) for x in c.stdout.split()]
    return all(b in (a + 1, 0) for a, b in zip(n, n[1:])) and n[:1] == [0]


def told(db):
    """What the last start told of the log."""
    c = sh("sqlite3", "-readonly", db, "SELECT body FROM log WHERE kind='log' ORDER BY seq", check=False)
    return [json.loads(x)["what"] for x in c.stdout.splitlines() if x.startswith("{")]


def power(dir, n, seed):
    """One file system, one power cut after the other; the log goes on."""
    image, mount, bad = dir + "/disk.img", dir + "/disk", []
    with open(image, "wb") as f:
        f.truncate(256 << 20)
    sh("mkfs.ext4", "-q", "-F", image)
    os.mkdir(mount)
    db, before = mount + "/egress.db", 0
    for i in range(n):
        sh("mount", "-o", "loop", image, mount)
        try:
            w = Writer(db, seed + i)
            try:
                w.await_lines(random.randint(1, 40))
                time.sleep(random.random() * 0.3)
                fd = os.open(mount, os.O_RDONLY)
                safe = w.safe  # before: a call that is under way in a shutdown may be answered "done", which no power cut does
                fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, NOLOGFLUSH)
                os.close(fd)
            finally:
                w.kill(w.processes())
        finally:
            sh("umount", mount)
        sh("mount", "-o", "loop", image, mount)
        v = verify(db)
        if v["bad"] and not v.get("gone"):  # what was not told may be gone, and is then said to be
            bad.append("cut %d: %s" % (i, v))
        if v["seq"] < max(safe, before):
            bad.append("cut %d: told to be on the disk to row %d, there to row %d: %s" % (i, safe, v["seq"], v))
        w = Writer(db, seed)  # who goes on tells that the one before did not end
        w.await_lines(1)
        code = w.end()
        says = told(db)
        v = verify(db)
        if code or v["bad"] or v["cut"] or "unclean" not in says or not numbered(db):
            bad.append("cut %d: who goes on: exit status %s, %s, %s" % (i, code, v, says[-3:]))
        before = v["seq"]
        sh("umount", mount)
    return bad


def kills(dir, n, seed):
    """The one that writes, four times; or the agent, its keeper, or several of the three; again and again; the log goes on."""
    db, bad, before, i = dir + "/egress.db", [], 0, 0
    while i < n:
        w = Writer(db, seed + i)
        try:
            w.await_lines(random.randint(1, 5))
            who = random.choice([[2]] * 4 + [[0], [1], [0, 1], [1, 2], [0, 1, 2], [0, 2]])
            for _ in range(4 if who == [2] else 1):
                pids = w.all_three()
                time.sleep(random.random() * 0.02)  # anywhere between what it does
                for k in who:
                    try:
                        os.kill(pids[k], signal.SIGKILL)
                    except ProcessLookupError:  # who writes ends when the agent has
                        pass
                i += 1
                if who == [2]:  # another one takes its place, and rows go on
                    w.await_lines(w.lines + 2)
            if 0 not in who and who != [1, 2] and w.end():
                bad.append("kill %d of %s: it cannot end" % (i, who))
            w.p.stdin.close()
            w.p.wait()
            w.reader.join()
        finally:
            w.kill(w.processes())
        end = time.time() + 20  # what was put is still written by who is left
        while sh("pgrep", "-f", "logcut " + db, check=False).stdout and time.time() < end:
            time.sleep(0.005)
        v = verify(db)
        if v["bad"] or v["seq"] < max(w.safe, before) or not numbered(db):
            bad.append("kill %d of %s: told to be on the disk to row %d: %s" % (i, who, w.safe, v))
        before = v["seq"]
        if before > 20000:  # each look reads it all
            os.unlink(db)
            os.unlink(db + ".last")
            before = 0
    w = Writer(db, seed)
    w.await_lines(1)
    code, v = w.end(), verify(db)
    if code or v["bad"] or v["cut"]:
        bad.append("the last one: exit status %d, %s" % (code, v))
    return bad


def main():
    if not os.environ.get("FENCE_CUTS"):  # mounts of its own: who copies a mount of the machine's keeps the file system from going
        os.execvpe("unshare", ["unshare", "-m", sys.executable] + sys.argv, dict(os.environ, FENCE_CUTS="1"))
    seed, failed = random.randrange(1 << 20), 0
    random.seed(seed)
    for name, f, n in (("power cuts", power, int(sys.argv[1])), ("kill -9", kills, int(sys.argv[2]))):
        dir = tempfile.mkdtemp(prefix="crmfence-cuts-", dir="/dev/shm" if f is kills else None)  # no disk: a kill is to fall between other things
        start = time.time()
        try:
            bad = f(dir, n, seed)
        finally:
            if os.path.ismount(dir + "/disk"):
                sh("umount", dir + "/disk")
            shutil.rmtree(dir, ignore_errors=True)
        failed += bool(bad)
        print("%s %s, %d (seed %d, %.0f s)%s" % ("FAIL" if bad else "ok  ", name, n, seed, time.time() - start, "".join("\n     " + b for b in bad[:20])),
              flush=True)
    print("%d passed, %d failed, 0 skipped" % (2 - failed, failed))
    sys.exit(1 if failed else 0)


main()
