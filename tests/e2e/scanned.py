# SPDX-License-Identifier: Apache-2.0
"""Files of strangers: huge, many, blocking, never answering. The agent looks at them by others, and meanwhile answers, enforces and records;
cases for run.py."""
import os
import re
import shutil
import socket
import subprocess
import time

import world as W
from sight import OWN, ROW, tools
from world import AI, script, token

HERE = os.path.dirname(os.path.abspath(__file__))
NOBODY = 65534
ANONYMOUS = ["-H", "Sec-Fetch-Site: none", "-H", "Sec-Fetch-Mode: cors", "-H", "Sec-Fetch-Dest: empty"]
TOOL = r"""
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)  /* connects at once, and again when it is told to by a line */
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };
	char line[8];
	inet_pton(AF_INET, argv[1], &a.sin_addr);
	do {
		int s = socket(AF_INET, SOCK_STREAM, 0), n = connect(s, (void *)&a, sizeof(a));
		printf("%s\n", n ? strerror(errno) : write(s, argv[2], strlen(argv[2])) > 0 ? "sent" : strerror(errno));
		fflush(stdout);
		close(s);
	} while (argc > 3 && fgets(line, sizeof(line), stdin));
	return 0;
}
"""
FUSE = "a program answers for its file system (FUSE)"


class Silent:
    """A directory as a file system that answers up to an offset of its files, and behind it never."""

    def __init__(self, w, source, offset, user=0):
        self.point = w.dir + "/silent"
        os.makedirs(self.point, exist_ok=True)
        self.p = subprocess.Popen(["python3", HERE + "/fuse.py", self.point, source, str(offset), str(user)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.works = self.p.stdout.readline() == "ready\n"

    def close(self):
        """Who waits for it is let go."""
        self.p.kill()
        self.p.wait()
        W.sh("umount", "-l", self.point, check=False)


def compiled(w, name, text):
    path = w.dir + "/" + name
    W.sh("gcc", "-O1", "-w", "-o", path, "-x", "c", script(w, name + ".c", text))
    os.chmod(path, 0o755)
    return path


def row(w, kind, test, seconds=40):
    """The first row of the kind that passes the test, when it comes; None."""
    end = time.monotonic() + seconds * W.SLOW
    while True:
        found = [r for r in w.rows(kind) if test(r)]
        if found or time.monotonic() > end:
            return found[0] if found else None


def goes_on(w, what, calls=4):
    """The agent answers, and a session works and is confined."""
    bad = []
    for _ in range(calls):
        began = time.monotonic()
        said = W.sh("timeout", "5", W.BUILD + "/crmfence", "status", "--json", "--control", w.control, check=False)
        if said.returncode or time.monotonic() - began > 2 * W.SLOW:
            bad.append("%s: status, after %.1f s: %d %r" % (what, time.monotonic() - began, said.returncode, said.stdout[-100:]))
    tok = token()
    code, out = w.run("sh", "-c", "curl -sS -m 8 -o /dev/null %s && ! curl -sS -m 3 -d %s http://%s/" % (OWN + ROW, tok, AI))
    if code or w.arrived(tok):
        bad.append("%s: a session: %d %r, arrived %s" % (what, code, out[-200:], w.arrived(tok)))
    return bad


def scanned_programs(w):
    """A program that is listed by its hash is huge, or on a file system that does not answer: it stays confined, its row says why there is no hash,
    the agent goes on meanwhile, and other programs are hashed. One whose hash is another is let go."""
    users, bad = w.dir + "/listed", []
    os.mkdir(users)
    plain = compiled(w, "plain", TOOL)
    huge, other = users + "/huge", users + "/other"
    for path in (huge, other):
        shutil.copy(plain, path)
    os.truncate(huge, 200 << 30)
    for path in (users, huge, other):
        os.chown(path, NOBODY, NOBODY)
    behind = w.dir + "/behind"
    os.mkdir(behind)
    shutil.copy(plain, behind + "/slow")
    os.truncate(behind + "/slow", 64 << 20)
    silent = Silent(w, behind, 16 << 20)
    zero = "00" * 32
    w.start("--quiet", tools=[{"name": "voice-assistant", "allow": ["crm.own"], "match": [
        {"exe": e, "sha256": zero} for e in (huge, other, silent.point + "/slow")]}])
    try:
        bad += [] if silent.works else ["no FUSE: %s" % silent.p.communicate()]
        for path, why in ((silent.point + "/slow", None), (huge, "it is too large to be read")):
            tok = token()
            p = w.popen(path, AI, tok, "again", confined=False, uid=NOBODY if path == huge else 0, stdin_fd=subprocess.PIPE)
            said = [p.stdout.readline()]
            bad += goes_on(w, os.path.basename(path))
            if why:
                r = row(w, "exe", lambda r: r["exe"] == path)
                bad += [] if r and r.get("unknown") == why and "sha256" not in r else ["%s: %s" % (path, r)]
            p.stdin.write("\n")
            p.stdin.flush()
            said.append(p.stdout.readline())
            p.kill()
            p.communicate(timeout=10)
            if set(said) != {"Operation not permitted\n"} or w.arrived(tok):
                bad.append("%s: %s, arrived %s" % (path, said, w.arrived(tok)))
        r = row(w, "exe", lambda r: r["exe"] == silent.point + "/slow")
        bad += [] if r and r.get("unknown") == "it was not read in time" else ["slow: %s" % r]
        # behind it the next is hashed: it has another hash than the policy's, and is let go
        tok = token()
        p = w.popen(other, AI, tok, "again", confined=False, uid=NOBODY, stdin_fd=subprocess.PIPE)
        first = p.stdout.readline()
        r = row(w, "session", lambda r: r["change"] == "refuted" or r["change"] == "end" and r["pid"] == p.pid, 20)
        p.communicate("\n", timeout=10)
        r = row(w, "session", lambda r: r["change"] == "refuted", 10)
        bad += [] if first in ("Operation not permitted\n", "sent\n") and w.arrived(tok) and r else ["another hash: %r, arrived %s, %s" % (first, w.arrived(tok), r)]
        refuted = [r["change"] for r in w.rows("session")].count("refuted")
        bad += [] if refuted == 1 else ["%d were refuted" % refuted]
    finally:
        silent.close()
    w.stop()
    return bad


def scanned_inode(w):
    """A hash is of the file as it was at the exec: the same inode written again is another file, and one that was changed before it could be
    read has no hash; the rows of a process and of its file say which."""
    users, bad, seen = w.dir + "/rewritten", [], []
    os.mkdir(users)
    path = users + "/tool"
    w.start("--quiet")
    for i in range(3):
        shutil.copyfile(compiled(w, "plain", TOOL), path)
        with open(path, "r+b") as f:
            f.seek(0, 2)
            f.write(b"%d" % min(i, 1))  # the third is the second's text again, at another time
        os.chmod(path, 0o755)
        sha = W.sh("sha256sum", path).stdout.split()[0]
        done = max(r["id"] for r in w.rows())
        w.run(path, AI, token(), confined=False)
        p = row(w, "process", lambda r: r["exe"] == path and r["id"] > done, 20)
        r = row(w, "exe", lambda r: r["exe"] == path and r["id"] > done, 20)
        key = lambda r: [r[k] for k in ("dev", "ino", "ctime", "size")]  # noqa: E731
        bad += [] if r and p and r.get("sha256") == sha and key(p) == key(r) else ["write %d: %s, not %s; %s" % (i, r, sha, p)]
        seen.append(r and r["ino"])
    bad += [] if len(set(seen)) == 1 else ["not one inode: %s" % seen]
    # who reads is stopped: it is changed before it is read
    readers = [p for p in W.sh("pgrep", "-P", str(w.agent.pid)).stdout.split() if open("/proc/%s/comm" % p).read() == "crmfenced-hash\n"]
    done = max(r["id"] for r in w.rows())
    os.kill(int(readers[0]), 19)
    try:
        with open(path, "ab") as f:
            f.write(b"x")
        w.run(path, AI, token(), confined=False)
        row(w, "process", lambda r: r["exe"] == path and r["id"] > done, 20)
        with open(path, "ab") as f:
            f.write(b"y")
    finally:
        os.kill(int(readers[0]), 18)
    r = row(w, "exe", lambda r: r["exe"] == path and r["id"] > done, 20)
    bad += [] if r and "sha256" not in r and "changed" in r.get("unknown", "") else ["changed meanwhile: %s" % r]
    w.stop()
    return bad


def scanned_profiles(w):
    """A browser's profiles are 300 and large, on a file system that does not answer, FIFOs and devices where files are expected: its request
    is answered, and so is everybody else."""
    many, odd, behind, bad = w.dir + "/many", w.dir + "/odd", w.dir + "/profiles", []
    for i in range(300):
        os.makedirs("%s/Profile %d" % (many, i))
        for name in ("Preferences", "Secure Preferences"):
            with open("%s/Profile %d/%s" % (many, i, name), "w") as f:
                f.truncate(8 << 20)
    os.makedirs(odd + "/Default/Extensions/%s/1" % ("a" * 32))
    os.mkfifo(odd + "/Default/Preferences")
    os.symlink("/dev/zero", odd + "/Default/Secure Preferences")
    os.symlink("/dev/tty", odd + "/Default/Extensions/%s/1/manifest.json" % ("a" * 32))
    os.makedirs(behind + "/Default")
    with open(behind + "/Default/Preferences", "w") as f:
        f.write("{}")
    silent = Silent(w, behind, 0)
    w.start("--quiet", **tools(w))
    try:
        bad += [] if silent.works else ["no FUSE: %s" % silent.p.communicate()]
        for what, where in (("300 profiles", many), ("FIFO and device", odd), ("a silent file system", silent.point)):
            p = w.popen("curl", "-sS", "-m", "15", "-o", "/dev/null", *ANONYMOUS, "-A", "--user-data-dir=" + where, OWN + ROW)
            bad += goes_on(w, what)
            out = p.communicate(timeout=20)[0]
            bad += [] if p.returncode == 0 else ["%s: the request: %d %r" % (what, p.returncode, out[-200:])]
            r = row(w, "request", lambda r: r["path"].startswith("/services/data") and r.get("extension"), 10)
            bad += [] if r else ["%s: no row" % what]
    finally:
        silent.close()
    w.stop()
    return bad


def scanned_arguments(w):
    """A native messaging host is its extension's, and what it starts: by its arguments, where the kernel has not read them; and one that runs before
    the agent is recognised by them."""
    bad, origin, host = [], "chrome-extension://abcdefghijklmnopabcdefghijklmnop/", w.dir + "/host"
    shutil.copy("/bin/sh", host)
    wait = script(w, "host.py", "import time\nprint(1, flush=True)\ntime.sleep(60)")
    before = [w.popen("python3", *x, confined=False) for x in ([wait, origin], [wait, "-", origin])]  # the second: too far behind to be one
    try:
        bad += [] if [p.stdout.readline() for p in before] == ["1\n"] * 2 else ["the hosts do not run"]
        w.start("--quiet", tools=[{"name": "voice-assistant", "allow": ["crm.own"], "match": [{"native_host_of": origin}, {"exe": host}]}])
        begun = [r["pid"] for r in w.rows("session") if r["change"] == "start" and r["match"] == "native-messaging"]
        bad += [] if begun == [before[0].pid] else ["sessions of native hosts: %s, not %d" % (begun, before[0].pid)]
        manifest = script(w, "native-messaging-hosts.sh", "sleep 1\ncat /dev/null\n")
        os.makedirs(w.dir + "/native-messaging-hosts", exist_ok=True)
        manifest = shutil.move(manifest, w.dir + "/native-messaging-hosts/x.json")
        w.run(host, manifest, "me@here", confined=False)
        r = row(w, "native-host", lambda r: r["extension"] == "me@here", 20)
        rows = w.rows()
        names = {r["exec"]: r["exe"] for r in rows if r["kind"] == "process"}
        told = {names.get(r["exec"]) for r in rows if r["kind"] == "native-host"} | {r["exe"] for r in rows if r["kind"] == "process" and r.get("extension") == "me@here"}
        want = {host, os.path.realpath("/bin/sleep"), os.path.realpath("/bin/cat")}
        bad += [] if r and told == want else ["of the add-on: %s; %s" % (r, told)]
    finally:
        for p in before:
            p.kill()
            p.communicate(timeout=10)
    w.stop()
    return bad


def scanned_mappings(w):
    """A session maps code from a file system that does not answer any more, which sight would look into: it goes on, so do the agent and others, and
    rows say that such a file's TLS is not seen, whether it could not be opened or not be read (who opens it may not even close it again); what is
    new after it is looked into."""
    behind, bad = w.dir + "/code", []
    os.mkdir(behind)
    for name in ("libssl.so.3", "other.so"):
        shutil.copy("/usr/lib/x86_64-linux-gnu/libssl.so.3", behind + "/" + name)
    text = """
import ctypes, mmap, os, subprocess, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print("open", flush=True)
input()
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
print("mapped" if libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, fd, ctypes.c_long(0)) != 2**64 - 1 else "no", flush=True)
input()
sys.exit(subprocess.run(["curl", "-sS", "-m", "8", "-o", "/dev/null", sys.argv[2]]).returncode)
"""
    silent = Silent(w, behind, 1 << 30)
    w.start("--quiet", **tools(w))
    try:
        bad += [] if silent.works else ["no FUSE: %s" % silent.p.communicate()]
        p = w.popen("python3", script(w, "maps.py", text), silent.point + "/libssl.so.3", OWN + ROW + "?t=maps", stdin_fd=subprocess.PIPE)
        said = [p.stdout.readline()]
        open(behind + "/.shut", "w").close()
        p.stdin.write("\n")
        p.stdin.flush()
        said.append(p.stdout.readline())
        bad += [] if said == ["open\n", "mapped\n"] else ["it does not map: %s" % said]
        bad += goes_on(w, "a mapping")
        r = row(w, "sight", lambda r: r["state"] == "refused" and r["path"].startswith(silent.point), 20)
        bad += [] if r and r["how"] == FUSE else ["no row says so: %s" % r]
        out = p.communicate("\n", timeout=20)[0]
        bad += [] if p.returncode == 0 else ["its own request: %d %r" % (p.returncode, out[-200:])]
        seen = [r for r in w.rows("request") if r["status"] == 200]
        bad += [] if seen else ["no request was seen"]
        # one that can be opened and not be read
        os.unlink(behind + "/.shut")
        open(behind + "/.mute", "w").close()
        p = w.popen("python3", w.dir + "/maps.py", silent.point + "/other.so", OWN + ROW, stdin_fd=subprocess.PIPE)
        said = [p.stdout.readline()]
        p.stdin.write("\n")
        p.stdin.flush()
        said.append(p.stdout.readline())
        bad += [] if said == ["open\n", "mapped\n"] else ["it does not map: %s" % said]
        r = row(w, "sight", lambda r: r["state"] == "refused" and r["path"].endswith("/other.so"), 40)
        bad += [] if r and r["how"] == FUSE else ["no row of what is not read: %s" % r]
        p.communicate("\n", timeout=20)
        users = w.dir + "/mine"
        os.mkdir(users)
        for lib in ("libssl.so.3", "libcrypto.so.3"):
            shutil.copy("/usr/lib/x86_64-linux-gnu/" + lib, users)
            os.chown(users + "/" + lib, NOBODY, NOBODY)
        w.run("env", "LD_LIBRARY_PATH=" + users, "curl", "-sS", "-o", "/dev/null", OWN + ROW)
        r = row(w, "sight", lambda r: r["state"] == "attached" and r["path"] == users + "/libssl.so.3", 30)
        bad += [] if r else ["what is new after it is not looked into"]
    finally:
        silent.close()
    w.stop()
    return bad


def scanned_places(w):
    """A socket, a directory and a program to be seen that the policy lists are on a user's own file system. While that answers they are found; when it does not any more the
    agent goes on, also one that starts then."""
    behind, bad = w.dir + "/behind", []
    os.makedirs(behind + "/d")
    shutil.copy("/bin/true", behind + "/seen")
    listens = socket.socket(socket.AF_UNIX)
    listens.bind(behind + "/s")
    mine = Silent(w, behind, 1 << 30, user=1000)
    policy = {"heartbeat": 3, "tools": [{"name": "voice-assistant", "match": [{"exe": w.dir + "/assistantd"}], "allow": ["crm.own"]},
                                        {"name": "other", "match": [{"exe": mine.point + "/seen"}], "sight": True, "allow": ["crm.own"], "write": [mine.point + "/d"],
                                         "unix": [{"path": mine.point + "/s", "owner": "/bin/true", "unproved": True}]}]}
    knock = "import socket\ntry: socket.socket(socket.AF_UNIX).connect(%r)\nexcept OSError as e: print(e.errno)" % (mine.point + "/s")
    try:
        if not mine.works:
            return "FUSE is not to be had: %s" % mine.p.stdout.read()
        w.start("--quiet", **policy)
        if w.tier == "B":  # who listens is seen in tier A: nobody does at this inode
            w.wait(lambda: w.run("python3", "-c", knock, tool="other")[1] == "111\n", "the socket that answers")
        else:
            w.wait(lambda: not re.search("permitted|denied", w.run("sh", "-c", "echo >%s/d/x" % mine.point, tool="other")[1]), "the directory that answers")
        open(behind + "/.dumb", "w").close()
        bad += goes_on(w, "it does not answer any more", 8)
        w.stop()
        w.start("--quiet", **policy)
        bad += goes_on(w, "an agent that starts then", 8)
        tampered = [r for r in w.rows() if r["kind"] == "deny" and r["reason"] == "agent-silent"]
        bad += ["the agent was silent: %s" % tampered[:1]] if tampered else []
    finally:
        mine.close()
        listens.close()
    w.stop()
    return bad


ALONE = [scanned_programs, scanned_inode, scanned_profiles, scanned_arguments, scanned_mappings, scanned_places]
