# SPDX-License-Identifier: Apache-2.0
"""Sessions that fight back, and processes that ran before they were sessions. Cases for run.py; each starts its own agent."""
import json
import os
import random
import re
import shutil
import signal
import sys
import time

import world as W
from bpfmap import BpfMap
from closed import told
from world import AI, script, token

NOBODY = 65534


# Who takes a connection and reads nothing until told: what is sent to it waits in the sender's queue for as long as that takes.
MUTE_SERVER = """
import signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
l.bind((sys.argv[1], %d))
l.listen()
print("listens", flush=True)
held = [l.accept()[0] for _ in range(int(sys.argv[2]))]
print("holds", flush=True)
while True:
    signal.sigwait([signal.SIGUSR1])
    for s in held:
        s.settimeout(2)
        try:
            while s.recv(65536):
                pass
        except OSError:
            pass
"""
MUTE_PORT = 8099

# Everything is open before the join: a stream that talks, one with more in its queue than its receiver takes, a child's, one that only
# the child still holds, a datagram socket that is connected, a listener, and a thread that sends without pause.
RUNNING = """
import os, signal, socket, sys, threading, time
host, port, mute, late, queued, child, early = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]
def tcp():
    return socket.create_connection((host, port))
talks, half, busy = tcp(), socket.create_connection((host, mute)), tcp()
half.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200000)  # room behind what the receiver's window takes
half.setblocking(False)
tied = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tied.connect((host, 9999))
tied.send(early.encode())
listens = socket.create_server(("127.0.0.1", 0))
talks.send(early.encode())
try:
    for _ in range(16):
        half.send(b"-" * 4096)  # more than the receiver's window
except BlockingIOError:
    pass
half.settimeout(5)
half.sendall((queued + " ").encode() * 40)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
r, w = os.pipe()
pid = os.fork()
if not pid:
    os.setsid()
    own = tcp()
    os.write(w, b"x")
    signal.sigwait([signal.SIGUSR1])
    for s in (own, tied):
        try:
            s.send(child.encode())
        except OSError:
            pass
    os._exit(0)
os.read(r, 1)
joined = []
def flood():
    while True:
        try:
            busy.send(late.encode() if joined else b"busy")
        except OSError:
            return
threading.Thread(target=flood, daemon=True).start()
print("ready", pid, flush=True)
signal.sigwait([signal.SIGUSR1])
joined += [1]
os.kill(pid, signal.SIGUSR1)
for name, s in (("talks", talks), ("tied", tied), ("half", half)):
    try:
        s.send(late.encode())
        print(name, "sent", flush=True)
    except OSError as e:
        print(name, "error", e.errno, flush=True)
os.wait()
try:
    listens.settimeout(0.2)
    listens.accept()
except OSError as e:
    print("listens", type(e).__name__, e.errno, flush=True)
time.sleep(1)
"""


def mute_server(w, n):
    """Takes n connections; back when it listens. SIGUSR1 lets it read."""
    log = w.dir + "/python3.log"
    before = open(log).read().count("listens") if os.path.exists(log) else 0
    p = w.spawn(w.net, "python3", script(w, "mute-server.py", MUTE_SERVER % MUTE_PORT), AI, str(n))
    w.wait(lambda: open(log).read().count("listens") > before, "who reads nothing")
    return p


def running(w, tokens):
    p = w.popen("python3", script(w, "running.py", RUNNING), AI, "80", str(MUTE_PORT), *tokens, confined=False)
    line = p.stdout.readline().split()
    if line[:1] != ["ready"]:
        raise RuntimeError("the client did not come up: %r" % p.communicate(timeout=10)[0])
    return p, int(line[1])


def join(w):
    """A process that ran before becomes a session, with its descendants: of what it had open, half-sent or queued, nothing leaves afterwards."""
    bad = []
    tokens = [token() for _ in range(4)]
    late, queued, child, early = tokens
    mute = mute_server(w, 1)
    p, _ = running(w, tokens)  # without crmfence it all leaves
    p.send_signal(signal.SIGUSR1)
    mute.send_signal(signal.SIGUSR1)
    out = p.communicate(timeout=20)[0]
    time.sleep(0.5)
    mute.kill()
    mute.wait()
    bad += ["does not leak without crmfence: %r" % out for tok in tokens if not w.arrived(tok)][:1]
    w.start()
    tokens = [token() for _ in range(4)]
    late, queued, child, early = tokens
    mute = mute_server(w, 2)
    twin, twins_child = running(w, [token() for _ in range(4)])
    cli = [W.BUILD + "/crmfence", "join", "--control", w.control]
    no = W.sh(*cli, "--tool", "nobody", str(twin.pid), check=False)
    bad += [] if no.returncode == 2 and "has no tool" in no.stdout else ["an unknown tool: %r" % no.stdout]
    no = W.sh(*cli, "--tool", "voice-assistant", "1", check=False)
    bad += [] if no.returncode == 2 and "process 1" in no.stdout else ["process 1: %r" % no.stdout]
    no = W.sh(*cli, "--tool", "voice-assistant", "99999999", check=False)
    bad += [] if no.returncode == 2 and "no process" in no.stdout else ["a process that is not there: %r" % no.stdout]
    no = W.sh(*cli, "--tool", "voice-assistant", str(os.getpid()), check=False)
    bad += [] if no.returncode == 2 and "started the agent" in no.stdout else ["what started the agent: %r" % no.stdout]
    p, _ = running(w, tokens)
    pid = p.pid
    done = W.sh(*cli, "--tool", "voice-assistant", str(pid), check=False)
    if done.returncode or not re.search("with 1 descendants; [45] open connections ended$", done.stdout.strip()):
        bad.append("join: %d %r" % (done.returncode, done.stdout))
    again = W.sh(*cli, "--tool", "voice-assistant", str(pid), check=False)
    bad += [] if again.returncode == 2 and "already" in again.stdout else ["a second time: %r" % again.stdout]
    os.kill(pid, signal.SIGUSR1)
    mute.send_signal(signal.SIGUSR1)
    out = p.communicate(timeout=20)[0]
    for what in ("talks", "tied", "half"):
        bad += [] if what + " error" in out else ["%s should see an error: %r" % (what, out)]
    time.sleep(2)
    for what, tok in (("late", late), ("queued", queued), ("a child's", child)):
        bad += ["LEAKED %s" % what] if w.arrived(tok) else []
    bad += [] if w.arrived(early) else ["what was sent before did not arrive: the sniffer proves nothing"]
    bad += [] if twin.poll() is None else ["the twin was harmed"]
    sessions = [s for s in w.rows("session") if s["change"] == "start"]
    bad += [] if len(sessions) == 1 and sessions[0]["match"] == "crmfence join" else ["in the log: %s" % sessions]
    for x in (twins_child, twin.pid):
        os.kill(x, signal.SIGKILL)
    twin.communicate(timeout=10)
    w.stop()
    return bad


HANDED = """
import os, resource, sys
evade, shell, token = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (6000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.dup2(9, 5000)
os.close(9)
print("ready", flush=True)
sys.stdin.readline()
os.execv(shell, [shell, "-c", "exec 9<&5000; exec %s inherited-ring %s /tmp" % (evade, token)])
"""


def ring_in_hands(w):
    """A ring with a connected socket that no descriptor shows, far up in a program's table: it ends where it becomes a session, by its
    executable or by `crmfence join`, and in monitor mode it is told and goes on."""
    evade, shell = W.BUILD + "/evasion/evade", shutil.copy("/bin/bash", w.dir + "/shell")
    handed, bad = script(w, "handed.py", HANDED), []
    tool = {"tools": [{"name": "voice-assistant", "match": [{"exe": shell}], "allow": ["crm.own"]}]}

    def go(when=None):
        tok, (r, wr) = token(), os.pipe()
        p = w.popen(evade, "with", "inherited-ring", "/usr/bin/python3", handed, evade, shell, tok, stdin_fd=r, confined=False)
        os.close(r)
        p.stdout.readline()
        said = when(p.pid) if when else ""
        try:
            os.write(wr, b"\n")
        except BrokenPipeError:  # a join has ended it already
            pass
        os.close(wr)
        p.communicate(timeout=20)
        time.sleep(1)
        return bool(w.arrived(tok)), p.returncode, said

    def rows():
        return [(r["action"], r["pid"] > 1, r["tool"]) for r in w.rows("deny") if r.get("guard") == "inherited"]

    def join(pid):
        return W.sh(W.BUILD + "/crmfence", "join", "--control", w.control, "--tool", "voice-assistant", str(pid), check=False).stdout

    got = go()
    bad += [] if got[:2] == (True, 0) else ["does not leak without crmfence: %s" % (got,)]
    w.start("--quiet", **tool)
    got = go()
    bad += [] if got[:2] == (False, -9) and rows() == [("deny", True, "voice-assistant")] else ["at its exec: %s %s" % (got, rows())]
    got = go(join)
    bad += [] if got[:2] == (False, -9) and "was killed" in got[2] and len(rows()) == 2 else ["joined: %s %s" % (got, rows())]
    w.stop()
    w.start("--quiet", mode="monitor", **tool)
    got = go()
    bad += [] if got[:2] == (True, 0) and rows() == [("would-deny", True, "voice-assistant")] else ["in monitor mode: %s %s" % (got, rows())]
    w.stop()
    return bad


# ---- every map full ----

OWN_MAPS = "tier %s refuses bpf(2) on the fence's maps to root: nobody can fill or change them from outside"

TRY = """
import os, socket, sys
def go():
    for kind, port in ((socket.SOCK_DGRAM, 9999), (socket.SOCK_STREAM, 80)):
        try:
            s = socket.socket(socket.AF_INET, kind)
            s.connect((sys.argv[1], port))
            s.send(sys.argv[2].encode())
            print("SENT", flush=True)
        except OSError as e:
            print("error", e.errno, flush=True)
print("ready", flush=True)
sys.stdin.readline()
go()
if not os.fork():
    go()
    os._exit(0)
os.wait()
"""


def maps_full(w):
    """Each map that a session's acts can fill is full: a session's process gets nothing out, nor does a child of it or a tool that starts then;
    when there is room again the agent goes on."""
    bad, started = [], script(w, "try.py", TRY)
    twin = token()
    w.run("sh", "-c", "echo | python3 %s %s %s" % (started, AI, twin), confined=False)
    bad += [] if w.arrived(twin) else ["does not leak without crmfence"]
    for name in ("procs", "sessions", "cgroups", "denied"):
        w.start("--quiet")
        if w.tier != "B":
            w.stop()
            return OWN_MAPS % w.tier
        tok, tok2 = token(), token()
        r, wr = os.pipe()
        p = w.popen("python3", started, AI, tok, stdin_fd=r)
        os.close(r)
        if p.stdout.readline() != "ready\n":
            bad.append("%s: the client did not come up" % name)
        m = BpfMap(w.pins + "/" + name)
        keys = m.fill()
        try:
            os.write(wr, b"\n")
            os.close(wr)
            out = p.communicate(timeout=20)[0]
            code, later = w.run("sh", "-c", "echo | python3 %s %s %s" % (started, AI, tok2))  # a session that begins now, if it can
        finally:
            m.empty(keys)
        time.sleep(1.5)
        for what, t, said in (("a session that was there", tok, out), ("one that began then", tok2, later)):
            bad += ["%s full: LEAKED from %s: %r" % (name, what, said)] if w.arrived(t) else []
        bad += ["%s full: sent: %r" % (name, out)] if "SENT" in out or out.count("error") < 2 else []
        bad += ["%s: the agent ended" % name] if w.agent.poll() is not None else []
        w.stop()
    return bad


def full_and_handed(w):
    """`sessions`, `procs` or `seized` is full, or others hold all room that programs have: a tool that is recognised then gets nothing out, neither by a
    new socket nor by one that it inherited."""
    evade, tool, bad = W.BUILD + "/evasion/evade", shutil.copy(W.BUILD + "/evasion/evade", w.dir + "/recognised"), []
    policy = {"tools": [{"name": "voice-assistant", "match": [{"exe": tool}], "allow": ["crm.own"]}]}
    for name in (None, "sessions", "procs", "seized", "scratch"):
        if name:
            w.start("--quiet", **policy)
        if name and w.tier != "B":
            w.stop()
            return OWN_MAPS % w.tier
        if name:
            m = BpfMap(w.pins + "/" + name)
            keys = m.busy(1) if name == "scratch" else m.fill()
        said = {}
        try:
            for what, cmd in (("inherited", [evade, "with", "inherited-socket", tool, "inherited-socket"]), ("its own", [tool, "tcp4"])):
                tok = token()
                said[what] = (tok, w.run(*cmd, tok, w.dir, confined=False))
            time.sleep(1)
        finally:
            if name == "scratch":
                m.busy(0)
            if name:
                m.empty(keys)
        for what, (tok, out) in said.items():
            if bool(w.arrived(tok)) != (not name):
                bad.append("%s full: %s %s: %s" % (name, what, "LEAKED" if name else "does not leak without crmfence", out))
        w.stop()
    return bad


MUTE = """
import socket, sys, time
held = []
for _ in range(100):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    if len(held) % 3 == 1:
        s.send(b"x" * 7)
    if len(held) % 3 == 2:
        s.send(b"\\x00" * 100000, socket.MSG_DONTWAIT)
    held.append(s)
print("held", flush=True)
time.sleep(20)
"""


AGAIN = """
import socket, sys
held = []
print("calls", flush=True)
while True:
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(sys.argv[1])
    except OSError:
        pass
    held.append(s)
    del held[:max(len(held) - int(sys.argv[2]), 0)]
"""


REUSED = """
import ctypes, os, socket, struct, sys, time
control, magic, version, op = sys.argv[1], *(int(x) for x in sys.argv[2:5])
libc = ctypes.CDLL(None, use_errno=True)
r1, w1 = os.pipe(); r2, w2 = os.pipe()
p = os.fork()
if not p:
    os.setgid(65534); os.setuid(65534)
    s = socket.socket(socket.AF_UNIX); s.connect(control)
    if os.fork(): os._exit(0)  # who connected is gone; who has the connection is not
    os.write(w1, b"x"); os.read(r2, 1)
    s.send(struct.pack("<IHHI48s", magic, version, op, 0, b"voice-assistant")); s.settimeout(3)
    print("agent", s.recv(4096)[12:80], flush=True); os._exit(0)
os.waitpid(p, 0); os.read(r1, 1)
class A(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in "flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup".split()]
tid = ctypes.c_int(p); a = A(exit_signal=17, set_tid=ctypes.addressof(tid), set_tid_size=1)
v = libc.syscall(435, ctypes.byref(a), ctypes.sizeof(a))
if v == 0:  # the next one with that pid: root, of nobody's
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); os.write(w2, b"x"); time.sleep(1.5)
    try: u.sendto(sys.argv[5].encode(), ("10.99.1.30", 9999)); print("sent", os.getpid() == p, flush=True)
    except OSError as e: print("errno", e.errno, flush=True)
    os._exit(0)
if v < 0: print("clone3", ctypes.get_errno())
else: os.waitpid(v, 0)
"""


def another_pid(w):
    """Who connects to the control socket, hands the connection on and ends does not make the next process with his pid a session."""
    w.start()
    bad, tok = [], token()
    said = w.run("/usr/bin/python3", script(w, "reused.py", REUSED), w.control, str(0x46435243), "2", "2", tok, confined=False)[1]
    if "sent True" not in said or not w.arrived(tok):
        bad.append("the next process with that pid: %r" % said)
    if any(r["change"] == "start" for r in w.rows("session")):
        bad.append("a session began")
    if w.run("/usr/bin/python3", "-c", "pass", uid=65534)[0]:
        bad.append("who asks for himself is refused")
    return bad


def mute_callers(w):
    """Anybody may call the agent: a hundred who call and ask nothing, or half of it, or five who do so again and again, keep it from nobody else,
    nor from its work."""
    w.start("--quiet")
    bad, p = [], w.popen("python3", script(w, "mute.py", MUTE), w.control, uid=65534, confined=False)
    if p.stdout.readline() != "held\n":
        return ["the callers did not come up: %r" % p.communicate(timeout=10)[0]]
    began = time.monotonic()
    for _ in range(5):
        r = W.sh(W.BUILD + "/crmfence", "status", "--json", "--control", w.control, check=False)
        bad += [] if r.returncode == 0 and json.loads(r.stdout) else ["status: %d %r" % (r.returncode, r.stdout)]
    tok = token()
    code, out = w.run("python3", "-c", "import socket;socket.create_connection(('%s',80),3).send(b'%s')" % (AI, tok))
    bad += [] if code == 1 and "Permission" in out and not w.arrived(tok) else ["a session beside them: %d %r" % (code, out)]
    bad += [] if time.monotonic() - began < 5 * W.SLOW else ["the agent was held up for %.1f s" % (time.monotonic() - began)]
    p.kill()
    p.communicate(timeout=10)
    # and who calls again and again, also as several users: nobody else's call fails
    path = script(w, "again.py", AGAIN)
    again = [w.popen("python3", path, w.control, str(held), uid=uid, confined=False)
             for held, uid in ((0, 65534), (1, 65534), (100, 65534), (100, 4001), (100, 4002))]
    bad += [] if all(p.stdout.readline() == "calls\n" for p in again) else ["the callers did not come up"]
    said = {}
    for i in range(15):
        for who, uid, cmd in (("root's status", 0, ["status", "--json"]), ("another's status", 4242, ["status", "--json"]),
                              ("root's exec", 0, ["exec", "--tool", "voice-assistant", "--", "true"]),
                              ("another's exec", 4242, ["exec", "--tool", "voice-assistant", "--", "true"])):
            cmd[1:1] = ["--control", w.control]
            code, out = w.run(W.BUILD + "/crmfence", *cmd, uid=uid, confined=False)
            said.setdefault(who, []).extend([] if code == 0 else ["%d %r" % (code, out)])
    bad += ["%s: %d of 15 failed: %s" % (who, len(f), f[0]) for who, f in said.items() if f]
    for p in again:
        p.kill()
        p.communicate(timeout=10)
    w.stop()
    return bad


def many_denials(w):
    """More distinct denials in a second than have room to be counted: each is in the log, or in a gap with its number."""
    w.start("--quiet")
    n = 20000
    text = ("import socket\ns=socket.socket(2,2)\nfor i in range(%d):\n"
            " try: s.sendto(b'x',('10.98.%%d.%%d'%%(i>>8&255,i&255),9000+(i>>16)))\n except PermissionError: pass\n" % n)
    code, out = w.run("python3", script(w, "many.py", text), timeout=60)
    bad = ["the client failed: %r" % out] if code else []
    time.sleep(4)
    seen = {}
    for d in w.rows("deny"):
        seen[d["addr"], d["port"]] = seen.get((d["addr"], d["port"]), 0) + d["count"]
    lost = sum(g["count"] for g in w.rows("gap") if g["what"] == "ring_denials")
    if sum(seen.values()) + lost != n or (not lost and len(seen) != n):
        bad.append("%d kinds, %d denials, %d in gaps of %d" % (len(seen), sum(seen.values()), lost, n))
    rss = [int(x.split()[1]) for x in open("/proc/%d/status" % w.agent.pid) if x.startswith("VmRSS")][0]
    bad += ["the agent has %d kB" % rss] if rss > 40960 else []
    w.stop()
    return bad


def name_flood(w):
    """Questions for 4,000 foreign names, and 4,000 that the policy allows: all of the first are refused, and of the second all but 240; a second later
    the session has its own answers again."""
    text = """
import random, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.0)
def ask(i, name):
    q = struct.pack("!6H", i & 65535, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\\0\\0\\1\\0\\1"
    try:
        s.sendto(q, ("%s", 53))
    except OSError:
        return 1
    return 0
foreign = sum(ask(i, "x%%d.evil.example" %% i) for i in range(4000))
own = sum(ask(i, "acme--x%%d.vf.force.com" %% i) for i in range(4000))
print(foreign, own)
time.sleep(1)
socket.create_connection((socket.gethostbyname("plain.acme.example"), 80), 3).close()
print("works")
""".replace("\\\\", "\\") % W.DNS
    w.start("--quiet")
    code, out = w.run("python3", script(w, "names.py", text), timeout=60)
    bad = [] if code == 0 and re.fullmatch("4000 37[56][0-9]\nworks\n", out) else ["%d %r" % (code, out)]
    time.sleep(3)
    asked = open(w.dir + "/dns.log").read().count("evil.example from")
    bad += ["%d foreign questions reached the resolver" % asked] if asked else []
    for _ in range(30):  # rows of a busy machine are late
        told = {d["name"] for d in w.rows("deny") if d.get("name", "").endswith(".evil.example")}
        lost = sum(g["count"] for g in w.rows("gap") if g["what"] == "ring_denials")
        if len(told) + lost >= 4000:
            break
        time.sleep(0.5)
    bad += [] if len(told) + lost >= 4000 else ["%d names in the log, %d lost" % (len(told), lost)]
    w.stop()
    return bad


# ---- storms ----

def storms(w):
    """3,000 forks that each try once, and 100,000 sockets held open at once: nothing leaves, the count is right, the next call is answered."""
    w.start("--quiet")
    tok = token()
    forks = ("import os,socket,sys\n"
             "def one():\n try:\n  s=socket.socket(2,2);s.connect(('%s',9999));s.send(sys.argv[1].encode());os._exit(1)\n except OSError: os._exit(0)\n"
             "sent=0\nfor i in range(100):\n ps=[]\n for j in range(30):\n  p=os.fork()\n  if not p: one()\n  ps.append(p)\n"
             " for p in ps: sent+=os.waitpid(p,0)[1]!=0\nprint('sent',sent)\n" % AI)
    code, out = w.run("python3", script(w, "forks.py", forks), tok, timeout=120)
    bad = [] if out == "sent 0\n" else ["fork storm: %d %r" % (code, out)]
    many = ("import os,resource,socket,sys\nmost=resource.getrlimit(resource.RLIMIT_NOFILE)[1]\nresource.setrlimit(resource.RLIMIT_NOFILE,(most,most))\n"
            "each=2000\ngo,hold,done=os.pipe(),os.pipe(),os.pipe()\n"  # 50 processes that hold theirs until all have them
            "for i in range(50):\n if not os.fork():\n  l=[socket.socket(2,2) for _ in range(each)];bad=0;os.close(hold[1]);os.write(go[1],b'x')\n"
            "  os.read(hold[0],1)\n  for s in l[::10]:\n   try: s.sendto(sys.argv[1].encode(),('%s',9999));bad+=1\n   except PermissionError: pass\n"
            "  os.write(done[1],b'y' if bad else b'n');os._exit(0)\n"
            "n=0\nwhile n<50: n+=len(os.read(go[0],50))\n"
            "s=socket.create_connection((socket.gethostbyname('plain.acme.example'),80),3)\nos.close(hold[1])\n"
            "said=b''\nwhile len(said)<50: said+=os.read(done[0],50)\nfor i in range(50): os.wait()\nprint(n*each,said.count(b'y'))\n" % AI)
    code, out = w.run("python3", script(w, "sockets.py", many), tok, timeout=120)
    bad += [] if out == "100000 0\n" else ["sockets: %d %r" % (code, out[-300:])]
    time.sleep(3)
    bad += ["LEAKED"] if w.arrived(tok) else []
    denied = sum(d["count"] for d in w.rows("deny") if d["port"] == 9999)
    bad += [] if denied == 3000 + 10000 else ["%d of 13000 denials" % denied]
    ends = [s for s in w.rows("session") if s["change"] == "end"]
    bad += [] if 3001 in [s["processes"] for s in ends] else ["processes: %s" % [s["processes"] for s in ends]]
    w.stop()
    return bad


def moved_away(w):
    """Root moves a session's process into another cgroup and removes the session's own; another session lives in a time namespace where it is
    ten days later: both stay what they were."""
    w.start("--quiet")
    tok, text = token(), TRY + "socket.create_connection((socket.gethostbyname('plain.acme.example'), 80), 3)\nprint('works')\n"
    path = script(w, "moved.py", text)
    r, wr = os.pipe()
    p = w.popen("python3", path, AI, tok, stdin_fd=r)
    os.close(r)
    bad = [] if p.stdout.readline() == "ready\n" else ["the client did not come up"]
    slice_ = w.cgroup + "/crmfence.slice"
    own = [d for d in os.listdir(slice_) if os.path.isdir(slice_ + "/" + d)]
    with open(w.cgroup + "/cgroup.procs", "w") as f:
        f.write(str(p.pid))
    for d in own:
        os.rmdir(slice_ + "/" + d)
    os.write(wr, b"\n")
    os.close(wr)
    out = p.communicate(timeout=20)[0]
    bad += [] if "SENT" not in out and "works" in out else ["moved away: %r" % out]
    inside = [W.BUILD + "/crmfence", "exec", "--control", w.control, "--tool", "voice-assistant", "--"]
    code, out = w.run("unshare", "-T", "--boottime", "864000", "--monotonic", "864000", *inside, "sh", "-c", "echo | python3 %s %s %s" % (path, AI, tok),
                      confined=False)
    bad += [] if code == 0 and "SENT" not in out and "works" in out else ["ten days later: %d %r" % (code, out)]
    time.sleep(1)
    bad += ["LEAKED"] if w.arrived(tok) else []
    w.stop()
    return bad


def thawed(w):
    """An agent that is killed in the middle of a join leaves its processes frozen; the next one thaws them, and they are the session's."""
    w.start("--quiet")
    path = script(w, "thaw.py", "import sys\nprint('ready',flush=True)\nsys.stdin.readline()\nprint('goes on',flush=True)\n")
    r, wr = os.pipe()
    p = w.popen("python3", path, confined=False, stdin_fd=r)
    os.close(r)
    p.stdout.readline()
    W.sh(W.BUILD + "/crmfence", "join", "--control", w.control, "--tool", "voice-assistant", str(p.pid))
    slice_ = w.cgroup + "/crmfence.slice"
    freeze = ["%s/%s/cgroup.freeze" % (slice_, d) for d in os.listdir(slice_) if os.path.isdir(slice_ + "/" + d)]
    for name in freeze:
        with open(name, "w") as f:
            f.write("1")
    w.agent.kill()
    w.agent.wait()
    os.write(wr, b"\n")
    os.close(wr)
    time.sleep(0.5)
    state = open("/proc/%d/wchan" % p.pid).read() if freeze else "none frozen"
    os.unlink(w.control)
    w.start("--quiet")
    out = p.communicate(timeout=10)[0]
    bad = [] if freeze and out == "goes on\n" else ["%s: %r" % (state, out)]
    w.stop()
    return bad


def changed_rules(w):
    """Root changes one octet of a rule in each of the policy's maps, or adds a service: noticed, mended, in the log."""
    w.start("--quiet", tools=[{"name": "voice-assistant", "match": [{"exe": w.dir + "/assistantd"}], "allow": [
        "crm.own", {"cidr": "10.99.3.0/24", "ports": [443], "why": "test"}]}])
    if w.tier != "B":
        w.stop()
        return OWN_MAPS % w.tier
    time.sleep(1)
    bad = ["tampering before there was any"] if w.rows("tamper") else []
    for name in ("names", "nets", "services", "matches"):
        m, last = BpfMap(w.pins + "/" + name), max([r["id"] for r in w.rows("tamper")] or [0])
        key = m.first()
        was = m.get(key)
        changed = bytes([was[0] ^ 1]) + was[1:]
        if name == "services":  # its value is but a stamp
            key, was = bytes(b ^ 0x55 for b in key[:16]) + key[16:], None
        m.put(key, changed)
        told(w, "tamper", lambda r: r["id"] > last)
        rows = [r for r in w.rows("tamper") if r["id"] > last]
        bad += [] if [(r["what"], r["mended"]) for r in rows] == [("changed map", True)] else ["%s: %s" % (name, rows)]
        mended = key[:16] not in [k[:16] for k in m.keys()] if was is None else was in m.values() and changed not in m.values()
        bad += [] if mended else ["%s is not as it was" % name]
        m.close()
    w.stop()
    return bad


def hash_key(w):
    """The key of the maps' hashes: random, the pins' as long as they are there, put back when root changes it; a tool is recognised under it."""
    matched, keys, bad = shutil.copy("/usr/bin/env", w.dir + "/assistantd"), [], []
    call = "import socket; socket.create_connection(('%s', 80), 3)" % AI
    refused = lambda: "PermissionError" in w.run(matched, "python3", "-c", call, confined=False)[1]  # noqa: E731
    for how in ("first", "adopted", "anew"):
        w.start("--quiet")
        if w.tier != "B":
            w.stop()
            return OWN_MAPS % w.tier
        m = BpfMap(w.pins + "/config")
        was = m.get(m.first())
        keys.append(was[-16:])
        bad += [] if refused() else [how + ": the tool was not recognised"]
        if how == "adopted":
            m.put(m.first(), was[:-16] + b"k" * 16)
            w.wait(lambda: w.rows("tamper"), "a row of the changed key")
            bad += [] if m.get(m.first())[-16:] == keys[0] and refused() else ["the key was not put back"]
        m.close()
        if how == "first":
            agent, w.agent = w.agent, None
            agent.kill()
            agent.wait()
            os.unlink(w.control)
        else:
            w.stop()
    return bad + ([] if keys[0] == keys[1] != keys[2] and not any(k[:8] in (b"\0" * 8, k[8:]) for k in keys) else ["keys: %s" % keys])


# Names that a policy lists and names that only look like it: what comes of a connection to each.
CALLS = """
import os, socket, sys
def call(name):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(name)
        s.send(b"x")
        return "works"
    except OSError as e:
        return e.strerror
    finally:
        s.close()
os.chdir(sys.argv[1])
for name in ("%s/listed", "listed", "%s/../%s/listed", "\\0%s/abstract", "\\0%s/abstract\\0", "%s/unlisted", "%s/\x1b[31mred"):
    print(call(name.replace("%s", sys.argv[1], 1).replace("%s", os.path.basename(sys.argv[1]))))
"""


LISTENERS = """
import os, socket, sys, time
there, held = sys.argv[1], []
for name in (there + "/listed", "\\0" + there + "/abstract", "\\0" + there + "/abstract\\0", there + "/unlisted", there + "/\x1b[31mred"):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].bind(name)
    held[-1].listen(16)
open(there + "/ready", "w")
time.sleep(60)
"""


def unix_peers(w):
    """A session reaches the Unix sockets that its tool lists, by the very name; what was refused is told by its name."""
    there = w.dir + "/peers"
    os.mkdir(there)
    listeners = w.popen(sys.executable, script(w, "listeners", LISTENERS), there, confined=False)
    w.wait(lambda: os.path.exists(there + "/ready"), "the listeners")
    who, link = os.path.realpath(sys.executable), w.dir + "/interpreter"
    os.symlink(who, link)
    calls = script(w, "calls", CALLS)
    _, bare = w.run(sys.executable, calls, there, confined=False)
    w.start("--quiet", tools=[{"name": "voice-assistant", "match": [{"exe": w.dir + "/assistantd"}], "allow": ["crm.own"], "unix": [
        {"path": there + "/listed", "owner": who, "unproved": True}, {"path": "@" + there + "/abstract", "owner": link, "unproved": True}, "audio"]}])
    _, out = w.run(sys.executable, calls, there)
    _, twin = w.run(sys.executable, calls, there, confined=False)
    no = "Operation not permitted"
    bad = [] if bare.split("\n")[:6] == twin.split("\n")[:6] == ["works"] * 6 else ["bare: %s; beside: %s" % (bare, twin)]
    # tier A goes by the name that the listener bound, however it is called; tier B by what the session says
    a = w.tier != "B"
    want = ["works"] * 4 + [no, no] if a else ["works", no, no, "works", no, no]
    bad += [] if out.split("\n")[:6] == want else ["confined: " + out]
    refused = {r["name"]: r["id"] for r in w.rows("deny") if r["reason"] == "unix-peer"}
    told = list(refused)
    bad += [] if there + "/unlisted" in told and (a or "listed" in told) else ["told: %s" % told]
    _, shown = w.run(W.BUILD + "/crmfence", "flows", "--db", w.db, confined=False)
    _, why = w.run(W.BUILD + "/crmfence", "why", "--db", w.db, str(refused.get(there + "/unlisted", 0)), confined=False)
    bad += [] if "Unix socket  %s/unlisted" % there in why and '.unix: add { "path": "%s/unlisted"' % there in why else ["why: " + why]
    bad += [] if "\x1b" not in shown and there + "/\x1b[31mred" in told else ["a name reaches the terminal as it is: %r, %s" % (shown[-300:], told)]
    bad += [] if there[:20] in shown else ["flows does not name the socket: " + shown[-300:]]
    listeners.kill()
    w.stop()
    return bad


LIST_NAMES = ["dbus-send", "--session", "--print-reply", "--reply-timeout=1500", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames"]


class Desktop:
    """A user's runtime directory with a real bus in it, and the directory of X11's sockets; what is made goes again."""

    def __init__(self, w):
        self.w, self.made = w, []
        self.runtime, self.services = "/run/user/%d" % NOBODY, w.dir + "/xdg/dbus-1/services"
        os.makedirs(self.services)
        for d, mode, uid in (("/run/user", 0o755, 0), (self.runtime, 0o700, NOBODY), ("/tmp/.X11-unix", 0o1777, 0)):
            if not os.path.isdir(d):
                os.mkdir(d)
                os.chmod(d, mode)
                os.chown(d, uid, uid)
                self.made.append(d)
        os.chown(self.services, NOBODY, NOBODY)
        self.bus = self.runtime + "/bus"
        self.x11 = "/tmp/.X11-unix/X1"
        self.daemon = w.popen("dbus-daemon", "--session", "--nofork", "--address=unix:path=" + self.bus, confined=False, uid=NOBODY, env={"XDG_DATA_HOME": w.dir + "/xdg"})
        w.wait(lambda: os.path.exists(self.bus), "the bus")

    def close(self):
        self.daemon.kill()
        self.daemon.wait()
        if os.path.lexists(self.x11) and os.path.islink(self.x11):
            os.unlink(self.x11)
        for d in reversed(self.made):
            shutil.rmtree(d, ignore_errors=True)


def unix_names(w):
    """A name that a policy lists, and that leads elsewhere: a real bus is asked to start a program. Beside it the client that the list is for."""
    bad = []
    attack, matched = shutil.copy(os.path.dirname(os.path.abspath(__file__)) + "/by_the_bus.sh", w.dir), shutil.copy("/usr/bin/env", w.dir + "/assistantd")

    desktop = Desktop(w)

    def tries(confined, *prefix):
        token = W.PREFIX + "%08x" % random.getrandbits(31)
        _, out = w.run(*prefix, "sh", attack, token, desktop.bus, desktop.services, desktop.x11, confined=confined, uid=NOBODY)
        time.sleep(0.3)
        return w.arrived(token), out.strip()

    def listed(confined, *prefix):
        return w.run(*prefix, *LIST_NAMES, confined=confined, uid=NOBODY, env={"DBUS_SESSION_BUS_ADDRESS": "unix:path=" + desktop.bus})[1]

    try:
        bad += [] if tries(False)[0] else ["bare, the bus starts nothing: the test shows nothing"]
        for unix in (["display"], [{"group": "display", "unproved": True}]):
            w.start("--quiet", tools=[{"name": "voice-assistant", "match": [{"exe": matched}], "allow": ["crm.own"], "unix": unix}])
            for how in ((True,), (False, matched)):
                got, said = tries(*how)
                bad += ["%s, %s: %s arrived (%s)" % (unix, "exec" if how[0] else "match", got, said)] if got else []
            w.stop()
        for unix, works in (["session-bus"], False), ([{"group": "session-bus", "unproved": True}], True):
            w.start("--quiet", tools=[{"name": "voice-assistant", "match": [{"exe": matched}], "allow": ["crm.own"], "unix": unix}])
            for how in ((True,), (False, matched)):
                out = listed(*how)
                bad += [] if ("org.freedesktop.DBus" in out and "Error" not in out and "Failed" not in out) == (works or w.tier != "B") else ["%s, %s: %s" % (unix, how[0], out)]
            if w.tier != "B":  # who listens is seen there: nothing is closed for want of that, nothing is "unproved"
                w.stop()
                continue
            _, told = w.run(W.BUILD + "/crmfence", "doctor", "--control", w.control, confined=False)
            want = "voice-assistant lists a name as \"unproved\"" if works else "%t/bus: closed, for nobody sees who listens there"
            bad += [] if want in told else ["doctor says nothing of %s: %s" % (unix, told)]
            _, told = w.run(W.BUILD + "/crmfence", "status", "--json", "--control", w.control, confined=False)
            bad += [] if '"unix_closed":%d,"unix_unproved":%d' % (not works, works) in told else ["status: " + told]
            bad += [] if "org.freedesktop.DBus" in listed(False) else ["the twin beside the agent was harmed"]
            w.stop()
    finally:
        desktop.close()
    return bad


ALONE = [changed_rules, hash_key, unix_peers, unix_names, join, ring_in_hands, thawed, maps_full, full_and_handed, mute_callers, another_pid, many_denials, name_flood, storms, moved_away]
if __name__ == "__main__":
    sys.exit("run.py runs these")
