# SPDX-License-Identifier: Apache-2.0
"""Facts that are of another place or another time: an answer that a session gave itself in a namespace of its own, a match that is looked
at when its process is something else already. Cases for run.py."""
import hashlib
import os
import shutil
import subprocess
import time

import world as W
from world import AI, DNS, token

HERE = os.path.dirname(os.path.abspath(__file__))
NOBODY = 65534
TWICE = r'''
import socket, subprocess, sys, time
def go(t):
    try:
        s = socket.create_connection(("10.99.1.30", 80), 3)
        s.send(t.encode())
        return "sent"
    except OSError as e:
        return str(e)
time.sleep(0.7)
first = go(sys.argv[1])
subprocess.run(["sh", "-c", sys.argv[3]], close_fds=False)
time.sleep(0.7)
print(first, "/", go(sys.argv[2]))
'''


def answers_itself(w):
    """A session answers its own question in a network namespace that it made, and its process outside connects to what that taught. Beside it a session in a
    namespace of root's, which asks as everybody does."""
    script = shutil.copy(HERE + "/self_answer.py", w.dir)
    matched, bad = shutil.copy(os.path.realpath("/usr/bin/python3"), w.dir + "/assistantd"), []
    args = (DNS, "acme.my.salesforce.com", AI)
    tok = token()
    said = w.run("/usr/bin/python3", script, *args, tok, confined=False, uid=NOBODY)[1]
    if not w.arrived(tok):
        return ["does not arrive bare: " + said]
    answered = "answered" in said
    for uid in (NOBODY, 0):
        for how in ("exec", "match"):
            w.start("--quiet", tools=[{"name": "voice-assistant", "match": [{"exe": matched}], "allow": ["crm.own"]}])
            tok, twin = token(), token()
            said = w.run(matched if how == "match" else "/usr/bin/python3", script, *args, tok, confined=how == "exec", uid=uid)[1]
            if w.arrived(tok) or "sent" in said:
                bad.append("%s, uid %d: %s, arrived %s" % (how, uid, said, w.arrived(tok)))
            code, out = w.run("curl", "-sS", "-m", "8", "-d", twin, "https://acme.my.salesforce.com/x", uid=uid)
            if code or not w.arrived(twin):
                bad.append("%s, uid %d: the twin: %d %s" % (how, uid, code, out))
            w.stop()
    return bad if answered or bad else "no TUN device here: nobody can answer himself"


def not_refuted(w):
    """A match by SHA-256 or by cgroup stands, whatever its process starts, becomes or moves to afterwards; another build at the path is let go."""
    twice, tool, bad = w.dir + "/twice.py", shutil.copy(os.path.realpath("/usr/bin/python3"), w.dir + "/tool"), []
    with open(twice, "w") as f:
        f.write(TWICE)
    sha = hashlib.sha256(open(tool, "rb").read()).hexdigest()
    deep, other = w.cgroup + "/deep", w.cgroup + "/other"
    for d in (w.cgroup, deep, other):
        os.makedirs(d, exist_ok=True)
        os.chown(d, NOBODY, NOBODY)
        os.chown(d + "/cgroup.procs", NOBODY, NOBODY)

    def held(name, command, where=None, free=False):
        """Nothing of it arrives; `free`: all of it does."""
        first, then = token(), token()
        said = w.run(*[{"FIRST": first, "THEN": then}.get(x, x) for x in command], confined=False, uid=NOBODY, scope=where, pass_fds=(procs.fileno(),))[1].strip()
        if (bool(w.arrived(first) and w.arrived(then)) != free) or (not free and (w.arrived(first) or w.arrived(then) or "sent" in said)):
            bad.append("%s: %r, arrived %s, %s" % (name, said[-200:], w.arrived(first), w.arrived(then)))

    procs = open(other + "/cgroup.procs", "w")  # where a session runs, `ip netns exec` has mounted another /sys
    users = w.dir + "/users"
    os.mkdir(users)
    shutil.copy(tool, users + "/tool")
    os.chown(users, NOBODY, NOBODY)
    child = [tool, twice, "FIRST", "THEN", "true"]
    become = [tool, "-Sc", "import os, sys; os.execv('/usr/bin/python3', ['python3'] + sys.argv[1:])", twice, "FIRST", "THEN", "true"]
    swap = ["sh", "-c", "cp $0 $0.new; printf x >>$0.new; \"$0\" \"$@\" & until [ $(readlink /proc/$!/exe) = $0 ]; do :; done; mv $0.new $0; wait", users + "/tool", twice, "FIRST", "THEN", "true"]
    moves = ["/usr/bin/python3", twice, "FIRST", "THEN", "echo $$ >&%d; exec true" % procs.fileno()]
    itself = ["/usr/bin/python3", "-Sc", "import os, sys; os.write(int(sys.argv[1]), b'0'); os.execv(sys.executable, sys.argv[1:])", str(procs.fileno()),
              twice, "FIRST", "THEN", "true"]
    for command, where in ((child, None), (become, None), (swap, None), (moves, "deep"), (itself, "deep")):
        held("bare", command, where, free=True)
    for name, match in (("sha256", [{"exe": tool, "sha256": sha}]), ("unit, then sha256", [{"unit": "x.service"}, {"exe": tool, "sha256": sha}])):
        w.start("--quiet", tools=[{"name": "voice-assistant", "match": match, "allow": ["crm.own"]}])
        held(name + ", a child", child)
        for _ in range(5):  # it becomes another program before anybody has looked
            held(name + ", another program at once", become)
        w.stop()
    w.start("--quiet", tools=[{"name": "voice-assistant", "match": [{"exe": users + "/tool", "sha256": sha}], "allow": ["crm.own"]}])
    for _ in range(5):  # its file is another one by the time that somebody looks
        shutil.copy(tool, users + "/tool")
        held("sha256, the file is exchanged", swap)
    held("another build", [users + "/tool", twice, "FIRST", "THEN", "true"], free=True)
    w.stop()
    w.start("--quiet", tools=[{"name": "voice-assistant", "match": [{"cgroup": "/%s/deep" % w.id}], "allow": ["crm.own"]}])
    held("cgroup, a child that moves", moves, "deep")
    for _ in range(5):
        held("cgroup, it moves itself", itself, "deep")
    w.stop()
    procs.close()
    return bad


ALONE = [answers_itself, not_refuted]
