# SPDX-License-Identifier: Apache-2.0
"""A tool is what the policy says it is: through links, by another name of the file, as a script, by a pattern of units; before the agent, while
it looks away, and after an updater. Each way leaks bare. Cases for run.py."""
import os
import shutil
import signal
import subprocess
import time

import world as W
from world import AI, token

# Says that it is there, and waits; with a connection to the vendor when asked to. Then sends on it, and on a new one.
WAITS = r'''
import os, socket, sys
tokens = sys.argv[1:]
s = socket.create_connection(("%s", 80), 5) if tokens[0] != "-" else None
if "child" in tokens:
    r, w = os.pipe()
    if os.fork():
        os.wait()
        os._exit(0)
print("there", flush=True)
sys.stdin.readline()
def go(what):
    try:
        print(what(), end=" ", flush=True)
    except OSError as e:
        print(e.errno, end=" ", flush=True)
if s:
    go(lambda: s.send(tokens[0].encode()))
go(lambda: socket.create_connection(("%s", 80), 5).send(tokens[1].encode()))
import time; time.sleep(0.5)
''' % (AI, AI)
FIRST = "import socket, sys\ntry:\n socket.create_connection(('%s', 80), 5).send(sys.argv[1].encode()); print('sent')\nexcept OSError as e:\n print(e.errno)" % AI


CLONE = r'''
import ctypes, os, socket, struct, sys
args = ctypes.create_string_buffer(struct.pack("11Q", 0x200000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, os.open(sys.argv[1], os.O_RDONLY)))
if ctypes.CDLL(None).syscall(435, args, 88) == 0:
    try:
        socket.create_connection(("%s", 80), 5).send(sys.argv[2].encode())
        print("sent")
    except OSError as e:
        print(e.errno)
    sys.stdout.flush()
    os._exit(0)
os.wait()
''' % AI


def python(path):
    shutil.copy(os.path.realpath("/usr/bin/python3"), path)
    return path


def tool(*match):
    return {"tools": [{"name": "voice-assistant", "match": list(match), "allow": ["crm.own"]}]}


def turn(link, to):
    os.symlink(to, link + ".new")
    os.rename(link + ".new", link)


def arrives(w, tok, free):
    """Did it? What is to arrive may take the sniffer a while on a busy machine."""
    end = time.time() + (5 * W.SLOW if free else 0)
    while not w.arrived(tok) and time.time() < end:
        time.sleep(0.2)
    return bool(w.arrived(tok))


class Ways:
    def __init__(self, w):
        self.w, self.bad = w, []

    def one(self, name, free, *command, **kw):
        """Its first act is to send a token to the vendor: `free`, it arrives."""
        tok = token()
        _, out = self.w.run(*[tok if x == "TOKEN" else x for x in command], confined=False, **kw)
        if arrives(self.w, tok, free) != free or ("sent" in out) != free:
            self.bad.append("%s: %r, arrived %s" % (name, out[-200:], self.w.arrived(tok)))

    def rows(self, what, **members):
        end = time.time() + 10 * W.SLOW
        while time.time() < end:
            if [r for r in self.w.rows(what) if all(r.get(k) == v for k, v in members.items())]:
                return
            time.sleep(0.1)
        self.bad.append("no row %s %s: %s" % (what, members, self.w.rows(what)[-3:]))


def waiting(w, *command, **kw):
    p = w.popen(*command, confined=False, stdin_fd=subprocess.PIPE, **kw)
    p.stdout.readline()
    return p


def recognised_links(w):
    """An executable by a link, a link of a directory, another name and a mount of its file; then a link is turned to the next version."""
    at, ways = w.dir + "/opt", Ways(w)
    for v in ("1.0", "1.1"):
        os.makedirs("%s/versions/%s" % (at, v))
        python("%s/versions/%s/assistant" % (at, v))
    os.mkdir(at + "/bin")
    turn(at + "/current", "versions/1.0")
    turn(at + "/bin/assistant", "../current/assistant")
    os.link(at + "/versions/1.0/assistant", at + "/hard")
    python(at + "/other")
    open(at + "/place", "w").close()
    mounted = ["unshare", "-m", "sh", "-c", "mount --bind %s/versions/1.0/assistant %s/place && exec \"$0\" \"$@\"" % (at, at), at + "/place", "-c", FIRST, "TOKEN"]
    starts = {"the link": [at + "/bin/assistant", "-c", FIRST, "TOKEN"], "a link on the way": [at + "/current/assistant", "-c", FIRST, "TOKEN"],
              "the file": [at + "/versions/1.0/assistant", "-c", FIRST, "TOKEN"], "another name of it": [at + "/hard", "-c", FIRST, "TOKEN"],
              "a mount of it": mounted}
    for name, command in starts.items():
        ways.one("bare, " + name, True, *command)
    w.start("--quiet", **tool({"exe": at + "/bin/assistant"}))
    for name, command in starts.items():
        ways.one(name, False, *command)
    ways.one("a copy at another path", True, at + "/other", "-c", FIRST, "TOKEN")
    w.agent.send_signal(signal.SIGSTOP)  # it looks away, an updater turns the link, and the new one is started
    turn(at + "/current", "versions/1.1")
    first, then = token(), token()
    p = waiting(w, at + "/bin/assistant", "-c", WAITS, first, then)
    w.agent.send_signal(signal.SIGCONT)
    ways.rows("match", change="turned", real=at + "/versions/1.1/assistant")
    ways.rows("session", change="start", pid=p.pid)
    out, _ = p.communicate("go\n", timeout=20 * W.SLOW)
    if w.arrived(first) or w.arrived(then):
        ways.bad.append("started while a link was turned: %r, arrived %s %s" % (out, w.arrived(first), w.arrived(then)))
    ways.one("the link, turned", False, at + "/bin/assistant", "-c", FIRST, "TOKEN")
    os.unlink(at + "/versions/1.1/assistant")
    ways.rows("match", change="missing")
    python(at + "/versions/1.1/assistant")
    ways.rows("match", change="found")
    ways.one("gone, and there again", False, at + "/bin/assistant", "-c", FIRST, "TOKEN")
    python(at + "/next")
    os.rename(at + "/next", at + "/versions/1.1/assistant")
    ways.one("replaced a moment ago", False, at + "/bin/assistant", "-c", FIRST, "TOKEN")
    ways.rows("match", change="replaced")
    turn(at + "/bin/assistant", "/bin/sh")  # which everybody starts
    ways.rows("match", change="broad", real=os.path.realpath("/bin/sh"))
    ways.one("a shell that a link leads to", True, "sh", "-c", "exec %s/other -c \"$0\" $1" % at, FIRST, "TOKEN")
    ways.one("the link to a shell", False, at + "/bin/assistant", "-c", "exec %s/other -c \"$0\" $1" % at, FIRST, "TOKEN")
    w.stop()
    os.mkdir(at + "/theirs")
    os.symlink("../other", at + "/theirs/link")
    os.lchown(at + "/theirs/link", 65534, 65534)
    os.chown(at + "/theirs", 65534, 65534)
    os.makedirs(at + "/venv/bin")
    os.symlink("/usr/bin/python3", at + "/venv/bin/python3")
    with open(at + "/venv/bin/tool", "w") as f:
        f.write("#!%s/venv/bin/python3\nimport sys; exec(sys.argv.pop(1))\n" % at)
    os.chmod(at + "/venv/bin/tool", 0o755)
    early = [token(), token()]
    p = waiting(w, at + "/venv/bin/python3", "-c", WAITS, *early)
    w.start("--quiet", **tool({"exe": at + "/venv/bin/python3"}, {"exe": at + "/theirs/link"}))
    ways.rows("match", change="not followed", real=at + "/other")
    ways.one("what somebody's link leads to", True, at + "/other", "-c", FIRST, "TOKEN")
    ways.one("somebody's link", False, at + "/theirs/link", "-c", FIRST, "TOKEN", uid=65534)
    ways.one("an environment's link", False, at + "/venv/bin/python3", "-c", FIRST, "TOKEN")
    ways.one("from inside it", False, "sh", "-c", "cd %s/venv && bin/python3 -c \"$0\" $1" % at, FIRST, "TOKEN")
    ways.one("a script of it", False, at + "/venv/bin/tool", FIRST, "TOKEN")
    ways.one("its interpreter by another name", True, "/usr/bin/python3", "-c", FIRST, "TOKEN")
    out, _ = p.communicate("go\n", timeout=20 * W.SLOW)
    if w.arrived(early[0]) or w.arrived(early[1]):
        ways.bad.append("an environment's, before the agent: %r" % out)
    w.stop()
    return ways.bad


def recognised_scripts(w):
    """A script by its absolute and relative path, by links, by its name in a directory of programs; running before the agent; the interpreter
    itself, and another script of the same text, are nobody's."""
    at, ways = w.dir + "/app", Ways(w)
    os.makedirs(at + "/elsewhere")
    inner = python(at + "/inner")
    for path, text in (("run.sh", "#!/bin/sh\nexec %s -c \"$@\"\n" % inner), ("elsewhere/run.sh", "#!/bin/sh\nexec %s -c \"$@\"\n" % inner),
                       ("env.py", "#! /usr/bin/env python3\nimport sys; exec(sys.argv.pop(1))\n"), ("wait.sh", "#!/bin/sh -e\n%s -c \"$@\"\nexit 0\n" % inner)):
        with open(at + "/" + path, "w") as f:
            f.write(text)
        os.chmod(at + "/" + path, 0o755)
    turn(at + "/link", "run.sh")
    common = "/usr/local/bin/" + w.id
    if not os.access("/usr/local/bin", os.W_OK):  # a laptop whose root is read-only: another directory there, for the agent too
        W.sh("mount", "-t", "tmpfs", "tmpfs", "/usr/local/bin")
    os.symlink(at + "/run.sh", common)
    rest = [FIRST, "TOKEN"]
    starts = {"absolute": [at + "/run.sh", *rest], "relative": ["sh", "-c", "cd %s && ./run.sh \"$0\" $1" % at, *rest],
              "from above": ["sh", "-c", "cd %s && app/run.sh \"$0\" $1" % w.dir, *rest], "a link": [at + "/link", *rest],
              "a common name": [os.path.basename(common), *rest], "env": [at + "/env.py", *rest]}
    matches = tool({"exe": at + "/link"}, {"exe": at + "/env.py"}, {"exe": at + "/wait.sh"})
    try:
        for name, command in starts.items():
            ways.one("bare, " + name, True, *command)
        early = [token(), token()]
        p = waiting(w, at + "/wait.sh", WAITS, *early)
        w.start("--quiet", **matches)
        for name, command in starts.items():
            ways.one(name, False, *command)
        out, _ = p.communicate("go\n", timeout=20 * W.SLOW)
        if w.arrived(early[0]) or w.arrived(early[1]):
            ways.bad.append("before the agent: %r, arrived" % out)
        ways.one("another script", True, at + "/elsewhere/run.sh", *rest)
        ways.one("the interpreter", True, "sh", "-c", "exec %s -c \"$0\" $1" % inner, *rest)
        ways.rows("match", change="script", script=True)
        w.stop()
    finally:
        os.unlink(common)
    return ways.bad


def recognised_units(w):
    """A unit with a star: begun in its scope, and moved into it after its start with an open connection and a child, as desktops do; also while the
    agent stands still. Names that only look alike are nobody's."""
    ways, program = Ways(w), python(w.dir + "/program")
    scopes = {"app-assistant-4711.scope": False, "app-assistant@3.service": False, "snap.assistant.app-9d.scope": False, "app-assistant-more-1.scope": False,
              "app-assistant-.scope": True, "app-other-4711.scope": True, "app-assistant-4711.slice": True}
    for s in scopes:
        os.mkdir(w.cgroup + "/" + s)

    def begin(name, scope, free):
        tok = token()
        out = w.run(program, "-c", FIRST, tok, confined=False, scope=scope, timeout=20 * W.SLOW)[1]
        if arrives(w, tok, free) != free:
            ways.bad.append("%s, %s: %r" % (name, scope, out))

    def moved(name, scope, free, stands=False, *more):
        toks = [token(), token()]
        p = waiting(w, program, "-c", WAITS, *toks, *more, scope="")
        if stands:
            w.agent.send_signal(signal.SIGSTOP)
        with open(w.cgroup + "/" + scope + "/cgroup.procs", "w") as f:
            f.write(str(p.pid))
        if not stands and not free:
            ways.rows("session", change="start", pid=p.pid)
            time.sleep(1)
        out = p.communicate("go\n", timeout=20 * W.SLOW)[0]
        if stands:
            w.agent.send_signal(signal.SIGCONT)
        if (arrives(w, toks[0], free), arrives(w, toks[1], free)) != (free, free):
            ways.bad.append("%s, %s: %r, arrived %s %s" % (name, scope, out, w.arrived(toks[0]), w.arrived(toks[1])))

    def cloned(name, free):
        """A fork straight into the scope, which executes nothing."""
        tok = token()
        out = w.run(program, "-c", CLONE, w.cgroup + "/app-assistant-4711.scope", tok, confined=False, scope="", timeout=20 * W.SLOW)[1]
        if arrives(w, tok, free) != free:
            ways.bad.append("%s: %r" % (name, out))

    begin("bare", "app-assistant-4711.scope", True)
    cloned("bare, cloned", True)
    moved("bare, moved", "app-assistant-4711.scope", True)
    moved("bare, a child", "app-assistant-4711.scope", True, False, "child")
    w.start("--quiet", **tool({"unit": "app-assistant-*.scope"}, {"unit": "app-assistant@*.service"}, {"unit": "snap.assistant.*"},
                              {"unit": "app-assistant-more-*.scope"}))
    for s, free in scopes.items():
        begin("begun", s, free)
        moved("moved", s, free)
    cloned("cloned", False)
    moved("moved, the agent stands", "app-assistant-4711.scope", False, True)
    moved("its child", "app-assistant-4711.scope", False, False, "child")
    w.stop()
    for d in ("chosen", "elsewhere", "elsewhere/chosen"):
        os.mkdir(w.cgroup + "/" + d)
        scopes[d] = True
    w.start("--quiet", **tool({"cgroup": "/%s/chosen" % w.id}))
    moved("moved, a path", "chosen", False)
    moved("moved, another path of that name", "elsewhere/chosen", True)
    w.stop()
    for s in reversed(scopes):
        os.rmdir(w.cgroup + "/" + s)
    return ways.bad


SEEN = r'''
import subprocess, sys
sys.exit(subprocess.call(sys.argv[1:]))
'''


def recognised_in_seen(w):
    """What a browser that is but seen has started: a tool that ran before the agent, before a reload that lists it, and one that is started by a link
    that is turned meanwhile is confined; the browser goes on."""
    ways, at = Ways(w), w.dir + "/seen"
    os.mkdir(at)
    browser, host = python(at + "/browser"), python(at + "/host")
    browsers = {"name": "browser", "match": [{"exe": browser}], "sight": True, "confine": "extensions", "allow": ["crm.own"]}
    both = [browsers, tool({"exe": host})["tools"][0]]

    def held(name, start):
        toks = [token(), token()]
        p = waiting(w, browser, "-c", SEEN, host, "-c", WAITS, *toks)
        start()
        out, _ = p.communicate("go\n", timeout=20 * W.SLOW)
        if w.arrived(toks[0]) or w.arrived(toks[1]):
            ways.bad.append("%s: %r, arrived %s %s" % (name, out, w.arrived(toks[0]), w.arrived(toks[1])))

    def change(tools):
        w.policy(tools=tools)
        asked(w, "reload", "--control", w.control)

    ways.one("bare", True, browser, "-c", SEEN, host, "-c", FIRST, "TOKEN")
    held("before the agent", lambda: w.start("--quiet", tools=both))
    ways.one("beside it", False, browser, "-c", SEEN, host, "-c", FIRST, "TOKEN")
    ways.one("the browser", True, browser, "-c", FIRST, "TOKEN")
    w.stop()
    w.start("--quiet", tools=[browsers])
    held("before a reload", lambda: change(both))
    ways.rows("session", change="end", tool="browser")
    w.stop()
    return ways.bad


def recognised_builds(w):
    """"sha256": another build is let go, but not from another match of the policy; and what is let go is the tool again when it becomes the right build."""
    ways, at = Ways(w), w.dir + "/builds"
    os.mkdir(at)
    right, wrong = python(at + "/right"), python(at + "/wrong")
    with open(wrong, "ab") as f:
        f.write(b"x")
    sha = W.sh("sha256sum", right).stdout.split()[0]
    at_path = at + "/tool"
    shutil.copy(wrong, at_path)
    late = "import time; time.sleep(1.5); " + FIRST
    renews = "import os, shutil, sys, time; time.sleep(1.5); shutil.copy(%r, %r); os.rename(%r, %r); os.execv(%r, [%r, '-c', %r, sys.argv[1]])" % (
        right, at_path + ".new", at_path + ".new", at_path, at_path, at_path, FIRST)
    ways.one("bare", True, at_path, "-c", late, "TOKEN", uid=4242)
    w.start("--quiet", **tool({"exe": at_path, "sha256": sha}, {"uid": 4242}, {"exe": at_path, "sha256": "0" * 64}))
    ways.one("another build", True, at_path, "-c", late, "TOKEN")
    ways.one("another build, of the tool's user", False, at_path, "-c", late, "TOKEN", uid=4242)
    ways.one("it becomes the right one", False, at_path, "-c", renews, "TOKEN")
    ways.one("the right one", False, at_path, "-c", late, "TOKEN")
    w.stop()
    return ways.bad


def recognised_names(w):
    """A listed path that others have a hand in, or that leads to what everybody starts: known by its name, and nobody else's program is confined. While
    no agent runs, the next version by that name. What is no file is not opened."""
    ways, at = Ways(w), w.dir + "/names"
    for d, uid in (("", 0), ("/alice", 4243), ("/bob", 4244), ("/versions", 0)):
        os.makedirs(at + d, exist_ok=True)
        os.chown(at + d, uid, uid)
    python(at + "/bob/program")
    os.chown(at + "/bob/program", 4244, 4244)
    for link, to, uid in (("alice/link", "../bob/program", 4243), ("alice/python", "/usr/bin/python3", 4243), ("snap-assistant", "versions/snap", 0),
                          ("turned", "versions/1", 0)):
        os.symlink(to, at + "/" + link)
        os.lchown(at + "/" + link, uid, uid)
    for name in ("snap", "1", "2"):
        python(at + "/versions/" + name)
    open(at + "/place", "w").close()
    os.mkfifo(at + "/fifo")
    os.symlink("fifo", at + "/pipe")
    with open(at + "/early", "w") as f:
        f.write("#!/usr/bin/env python3\nimport sys; exec(sys.argv.pop(1))\n")
    os.chmod(at + "/early", 0o755)
    W.sh("mount", "--bind", "/usr/bin/python3", at + "/place")
    try:
        before = [token(), token()]
        p = waiting(w, at + "/early", WAITS, *before)
        writer = subprocess.Popen(["sh", "-c", "echo x >%s/fifo" % at])
        w.start("--quiet", **tool(*[{"exe": at + x} for x in ("/alice/link", "/alice/python", "/snap-assistant", "/turned", "/place", "/pipe", "/early")]))
        out, _ = p.communicate("go\n", timeout=20 * W.SLOW)
        if w.arrived(before[0]) or w.arrived(before[1]):
            ways.bad.append("env's script before the agent: %r" % out)
        if writer.poll() is not None:
            ways.bad.append("a FIFO was opened")
        writer.kill()
        writer.wait()
        for name, uid in (("/alice/link", 4243), ("/alice/python", 4243), ("/snap-assistant", 0), ("/place", 0), ("/early", 0)):
            ways.one(name, False, at + name, *([] if name == "/early" else ["-c"]), FIRST, "TOKEN", uid=uid)
        for name, uid in (("/bob/program", 4244), ("/versions/snap", 0)):
            ways.one(name, True, at + name, "-c", FIRST, "TOKEN", uid=uid)
        ways.one("the system's python", True, "/usr/bin/python3", "-c", FIRST, "TOKEN")
        agent, w.agent = w.agent, None
        agent.kill()
        agent.wait()
        turn(at + "/turned", "versions/2")
        ways.one("the next version, without an agent", False, at + "/turned", "-c", FIRST, "TOKEN")
    finally:
        if not w.agent:  # in tier A nobody else takes the pins away
            w.start("--quiet")
        w.stop()
        W.sh("umount", at + "/place")
    return ways.bad


def asked(w, *command):
    p = W.sh(W.BUILD + "/crmfence", *command, check=False)
    return p.returncode, p.stdout


def tools_amiss(w):
    """What is wrong with a listed executable is told by policy check, doctor, status and in the log; a well one by none of them. A tool that nobody
    has met for the policy's days is told; one that is met is not."""
    bad, at = [], w.dir + "/amiss"
    os.makedirs(at + "/theirs")
    python(at + "/well")
    for name, text in (("script", "#!/bin/sh\n"), ("text", "echo\n")):
        with open(at + "/" + name, "w") as f:
            f.write(text)
        os.chmod(at + "/" + name, 0o755)
    python(at + "/theirs/program")
    os.chown(at + "/theirs", 65534, 65534)
    turn(at + "/shell", "/bin/bash")
    turn(at + "/theirs/link", at + "/well")
    os.lchown(at + "/theirs/link", 65534, 65534)
    states = {"gone": "missing", "script": "script", "text": "no program", "theirs/program": "others", "shell": "broad", "theirs/link": "not followed"}
    words = {"gone": "No such file", "script": "is a script", "text": "is no program", "theirs/program": "others than root", "shell": "a shell", "theirs/link": "is not that user's"}
    tools = [{"name": "voice-assistant", "match": [{"exe": "%s/%s" % (at, s)} for s in [*states, "well"]], "allow": ["crm.own"]},
             {"name": "met", "match": [{"exe": at + "/theirs/met"}, {"exe": w.dir + "/met"}], "allow": ["crm.own"]}]
    python(w.dir + "/met")
    eight = int((time.time() - 8 * 86400) * 1e6)
    with open(w.dir + "/tools-seen", "w") as f:
        f.write("%d 0 voice-assistant\n%d %d met\n" % (eight, eight, eight))
    w.start("--quiet", tools=tools)
    ways = Ways(w)
    for tool_name in ("voice-assistant", "met"):
        ways.rows("match", change="unseen", tool=tool_name)
    unseen = [(r["rule"], r["authority"]) for r in w.rows("alert") if r["rule"] != "E031"]
    bad += ["an alert of what is well: %s" % r for r in w.rows("alert") if r["authority"].endswith(("/well", "/met")) and "theirs" not in r["authority"] and r["rule"] == "E031"]
    bad += [] if unseen == [("E030", "voice-assistant"), ("E030", "met")] else ["alerts: %s" % unseen]
    status, (_, doctor) = asked(w, "status", "--control", w.control)[1], asked(w, "doctor", "--control", w.control)
    check = asked(w, "policy", "check", w.dir + "/policy.json")[1]
    for name, state in states.items():
        ways.rows("match", change=state, exe="%s/%s" % (at, name))
        ways.rows("alert", rule="E031", authority="%s/%s" % (at, name))
        if "%s/%s: %s\n" % (at, name, state) not in status:
            bad.append("status: %s" % name)
        for who, said in (("doctor", doctor), ("policy check", check)):
            if not [x for x in said.split("\n") if "%s/%s" % (at, name) in x and words[name] in x]:
                bad.append("%s: %s: %r" % (who, name, said))
    bad += ["told of what is well: %s" % x for x in (status, doctor, check) if "/well: " in x]
    bad += [] if status.count("NOT FOR DAYS") == 2 and doctor.count("no session for days") == 2 else ["unseen: %s %s" % (status, doctor)]
    w.run(w.dir + "/met", "-c", "pass", confined=False)
    ways.rows("session", change="start", tool="met")
    status = asked(w, "status", "--control", w.control)[1]
    bad += [] if status.count("NOT FOR DAYS") == 1 and "met, last seen 20" in status else ["met: %s" % status]
    w.stop()
    w.start("--quiet", tools=tools)
    time.sleep(1)
    status = asked(w, "status", "--control", w.control)[1]
    bad += [] if status.count("NOT FOR DAYS") == 1 and "met, last seen 20" in status else ["another agent: %s" % status]
    w.stop()
    os.chown(w.dir + "/tools-seen", 65534, 65534)
    w.start("--quiet", tools=tools)
    bad += [] if "tools-seen is not a file that root alone can write" in open(w.dir + "/agent.log").read() else ["somebody's file was read"]
    w.stop()
    return bad + ways.bad


def policy_alone(w):
    """A policy that others than root can write, or turn a link to, is refused at the start and by a reload; so is the file of its ip_ranges."""
    bad, at = [], w.dir + "/etc"
    os.makedirs(at)
    os.mkdir(w.dir + "/theirs")
    os.chown(w.dir + "/theirs", 65534, 65534)
    whole = w.policy(org={"my_domain": "acme", "ip_ranges": "ranges.json"})
    ranges = '{"prefixes": [{"ip_prefix": ["198.51.100.0/24"]}]}'

    def lay(where, owner=0, mode=0o644):
        for name, text in (("policy.json", open(whole).read()), ("ranges.json", ranges)):
            with open(where + "/" + name, "w") as f:
                f.write(text)
            os.chmod(where + "/" + name, 0o644)
        os.chown(where + "/policy.json", owner, owner)
        os.chmod(where + "/policy.json", mode)
        return where + "/policy.json"

    def start(path):
        return subprocess.run([W.BUILD + "/crmfenced", "--policy", path, "--db", w.dir + "/alone.db", "--control", w.dir + "/alone.sock", "--cgroup", w.cgroup,
                               "--pin-dir", w.pins, "--quiet", "--for", "1s"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def refused(name, path, where):
        p = start(path)
        if p.returncode != 2 or "others than root can write or turn %s:" % where not in p.stdout or p.stdout.count("\n") != 1:
            bad.append("%s: %d %r" % (name, p.returncode, p.stdout))

    p = start(lay(at))
    bad += [] if p.returncode == 0 else ["root's: %d %r" % (p.returncode, p.stdout)]
    refused("of another user", lay(at, 65534), at + "/policy.json")
    refused("all may write", lay(at, 0, 0o666), at + "/policy.json")
    refused("in somebody's directory", lay(w.dir + "/theirs"), w.dir + "/theirs")
    lay(at)
    os.symlink(at + "/policy.json", w.dir + "/theirs/link.json")
    refused("by a link in somebody's directory", w.dir + "/theirs/link.json", w.dir + "/theirs")
    os.symlink("policy.json", at + "/link.json")
    p = start(at + "/link.json")
    bad += [] if p.returncode == 0 else ["by root's link: %d %r" % (p.returncode, p.stdout)]
    os.chmod(at + "/ranges.json", 0o666)
    refused("its ip_ranges", at + "/policy.json", at + "/ranges.json")
    w.start("--quiet")
    os.chmod(w.dir + "/policy.json", 0o666)
    code, said = asked(w, "reload", "--control", w.control)
    bad += [] if code and "others than root" in said else ["reload: %d %r" % (code, said)]
    os.chmod(w.dir + "/policy.json", 0o644)
    code, said = asked(w, "reload", "--control", w.control)
    bad += [] if not code else ["reload of root's: %d %r" % (code, said)]
    w.stop()
    return bad


ALONE = [recognised_links, recognised_scripts, recognised_units, recognised_in_seen, recognised_builds, recognised_names, tools_amiss, policy_alone]
