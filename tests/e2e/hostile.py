# SPDX-License-Identifier: Apache-2.0
"""Sessions that fight back, and processes that ran before they were sessions. Cases for run.py; each starts its own agent."""
import os
import random
import re
import signal
import sys
import time

import world as W
from world import AI


def token():
    return W.PREFIX + "%08x" % random.getrandbits(32)


def script(w, name, text):
    path = w.dir + "/" + name
    with open(path, "w") as f:
        f.write(text)
    return path


# Everything is open before the join: a stream that talks, one that is corked with half of a request in it, a child's, one that only
# the child still holds, a datagram socket that is connected, a listener, and a thread that sends without pause.
RUNNING = """
import os, signal, socket, sys, threading, time
host, port, late, corked, child, early = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
def tcp():
    return socket.create_connection((host, port))
talks, half, busy = tcp(), tcp(), tcp()
half.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
tied = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tied.connect((host, 9999))
tied.send(early.encode())
listens = socket.create_server(("127.0.0.1", 0))
talks.send(early.encode())
half.send(corked.encode())
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
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0) if s is half else 0
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


def running(w, tokens):
    p = w.popen("python3", script(w, "running.py", RUNNING), AI, "80", *tokens, confined=False)
    line = p.stdout.readline().split()
    if line[:1] != ["ready"]:
        raise RuntimeError("the client did not come up: %r" % p.communicate(timeout=10)[0])
    return p, int(line[1])


def join(w):
    """A process that ran before becomes a session, with its descendants: of what it had open, half-sent or corked, nothing leaves afterwards."""
    bad = []
    tokens = [token() for _ in range(4)]
    late, corked, child, early = tokens
    p, _ = running(w, tokens)  # without crmfence it all leaves
    p.send_signal(signal.SIGUSR1)
    out = p.communicate(timeout=20)[0]
    bad += ["does not leak without crmfence: %r" % out for tok in tokens if not w.arrived(tok)][:1]
    w.start()
    tokens = [token() for _ in range(4)]
    late, corked, child, early = tokens
    (p, _), (twin, twins_child) = running(w, tokens), running(w, [token() for _ in range(4)])
    pid = p.pid
    cli = [W.BUILD + "/crmfence", "join", "--control", w.control]
    no = W.sh(*cli, "--tool", "nobody", str(pid), check=False)
    bad += [] if no.returncode == 2 and "has no tool" in no.stdout else ["an unknown tool: %r" % no.stdout]
    no = W.sh(*cli, "--tool", "voice-assistant", "1", check=False)
    bad += [] if no.returncode == 2 and "process 1" in no.stdout else ["process 1: %r" % no.stdout]
    no = W.sh(*cli, "--tool", "voice-assistant", "99999999", check=False)
    bad += [] if no.returncode == 2 and "no process" in no.stdout else ["a process that is not there: %r" % no.stdout]
    done = W.sh(*cli, "--tool", "voice-assistant", str(pid), check=False)
    if done.returncode or not re.search("with 1 descendants; [45] open connections ended$", done.stdout.strip()):
        bad.append("join: %d %r" % (done.returncode, done.stdout))
    again = W.sh(*cli, "--tool", "voice-assistant", str(pid), check=False)
    bad += [] if again.returncode == 2 and "already" in again.stdout else ["a second time: %r" % again.stdout]
    os.kill(pid, signal.SIGUSR1)
    out = p.communicate(timeout=20)[0]
    for what in ("talks", "tied", "half"):
        bad += [] if what + " error" in out else ["%s should see an error: %r" % (what, out)]
    time.sleep(2)
    for what, tok in (("late", late), ("corked", corked), ("a child's", child)):
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


ALONE = [join]
if __name__ == "__main__":
    sys.exit("run.py runs these")
