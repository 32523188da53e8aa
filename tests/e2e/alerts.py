# SPDX-License-Identifier: Apache-2.0
"""What is told of a refusal, and what is none: a clean session leaves no trace; each refusal is an alert, once, with its count."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import world as W
from world import AI

KNOCK = os.path.dirname(os.path.abspath(__file__)) + "/knock.py"
NOBODY = 65534


def crmfence(w, *args):
    p = W.sh(W.BUILD + "/crmfence", *args, "--db", w.db, check=False)
    return p.returncode, p.stdout


def lines(w, command):
    return [json.loads(line) for line in crmfence(w, command, "--json")[1].splitlines()]


def status(w):
    return json.loads(W.sh(W.BUILD + "/crmfence", "status", "--json", "--control", w.control).stdout)


CLEAN = """
export NODE_PATH=%s
for n in 1 2 3; do curl -sS -m 10 -o /dev/null https://acme.my.salesforce.com/x || echo curl; done
wget -q -T 10 -t 1 -O /dev/null --ca-certificate=$CURL_CA_BUNDLE https://acme.my.salesforce.com/x || echo wget
node -e 'fetch("https://acme.my.salesforce.com/x").then(r => r.text()).catch(e => console.log(e))'
python3 -c 'import urllib.request as u; u.urlopen("https://acme.my.salesforce.com/x").read()'
id nobody >/dev/null; ls -l /etc >/dev/null; getent passwd nosuchuser; getent hosts acme.my.salesforce.com >/dev/null
true
"""


def clean_session(w):
    """Real programs that do what they may leave no denial: no row, no count, no alert; in both modes, as root and as a user."""
    bad = []
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect("/var/run/nscd/socket")
            return "a name service cache daemon runs here"
        except OSError:
            pass
    for mode in ("enforce", "monitor"):
        for uid in (0, NOBODY):
            w.start("--quiet", mode=mode)
            code, out = w.run("sh", "-c", CLEAN, uid=uid, timeout=60)
            single = w.run("curl", "-sS", "-m", "10", "-o", "/dev/null", "https://acme.my.salesforce.com/x", uid=uid)
            name = "%s, uid %d: " % (mode, uid)
            bad += [] if (code, out) == (0, "") and single == (0, "") else [name + "%s %r %r" % (code, out, single)]
            mine = {r["session"] for r in w.rows("session") if r.get("match") == "crmfence exec"}  # other agents' tools run here too

            def ends():
                return [r["denials"] for r in w.rows("session") if r["change"] == "end" and r["session"] in mine]

            w.wait(lambda: len(ends()) == 2, "the end of both sessions")
            denied = [(r["reason"], r["name"], r["count"]) for r in w.rows("deny")]
            bad += [name + "denied: %s" % denied] if denied else []
            s = status(w)
            bad += [name + "status: %s" % s] if s["denials"] or s["would_deny"] else []
            bad += [name + "sessions: %s" % ends()] if ends() != [0, 0] else []
            report = [r["denials"] for r in lines(w, "report") if r["session"] in mine]
            bad += [name + "report: %s" % report] if report != [0, 0] else []
            bad += [name + "alerts: %s %s" % crmfence(w, "alerts")] if crmfence(w, "alerts")[0] else []
            w.stop()
    return bad


# way, times, whether tier A tells (there is a peer to ask about), whether tier B does (it was there, or that it was not is not proved)
WAYS = [("/var/run/nosuchd/socket", 1, 0, 0), ("STILL/none", 1, 0, 0), ("STILL/none/deeper", 3, 0, 0), ("STILL/file/deeper", 2, 0, 0),
        ("STILL/many", 20, 0, 0),
        ("there", 3, 1, 1), ("file", 1, 0, 1), ("remove:gone", 1, 1, 1), ("turn:link/there2", 1, 1, 1), ("relative:none2", 1, 0, 1),
        ("chroot:/there3", 1, 1, 1), ("mounted:/mnt/there4", 1, 1, 1), ("/proc/self/none", 1, 0, 1), ("marker", 5, 1, 1)]


def knocks(w, mode, there, still):
    bad = []
    knock = W.script(w, "knock.py", open(KNOCK).read())

    def listen(name, d=there):
        s, path = socket.socket(socket.AF_UNIX), d + "/" + name
        os.makedirs(d, exist_ok=True)
        s.bind(path)
        s.listen(64)
        os.chmod(path, 0o777)
        os.chown(path, NOBODY, NOBODY)
        return s

    def told():
        count = {}
        for r in w.rows("deny"):
            if r["reason"] == "unix-peer":
                count[r["name"]] = count.get(r["name"], 0) + r["count"]
        return count

    for d in (there, still):
        os.mkdir(d)
        os.chmod(d, 0o777)
        open(d + "/file", "w").close()
    held = [listen(n) for n in ("there", "gone", "there2", "there3", "there4", "marker")]
    os.symlink(there, there + "/link")
    os.lchown(there + "/link", NOBODY, NOBODY)
    w.start("--quiet", mode=mode)
    b = w.tier == "B"
    time.sleep(0.2)  # what has just been made proves nothing
    # who knocked is gone when its counts come; the shell is not
    ways = [(x[0].replace("STILL", still),) + x[1:] for x in WAYS if mode == "monitor" or not x[0].startswith("mounted:")]  # which it may not
    calls = "; ".join("python3 %s %s %s %d" % (knock, there, way, n) for way, n, _, _ in ways)
    p = w.popen("sh", "-c", calls + "; echo over; read x", uid=NOBODY, stdin_fd=subprocess.PIPE)
    out = [p.stdout.readline().strip() for _ in range(len(ways) + 1)]
    w.wait(lambda: told().get(there + "/marker") == 5, "the marker's count")
    want = {}
    for way, n, a, in_b in ways:
        name = way.split(":")[-1]
        if b and in_b or not b and a:
            want[name if way.startswith(("relative:", "chroot:", "mounted:")) or name[0] == "/" else there + "/" + name] = n
    if not b:  # by the name that was bound
        want = {there + "/" + os.path.basename(k): v for k, v in want.items()}
    bad += [] if told() == want else ["%s: told %s, not %s (%s)" % (mode, sorted(told().items()), sorted(want.items()), out)]
    p.communicate("\n", timeout=10)
    # the whole session is gone at once; the last has another mount's root for its own
    alone = "/dev/shm/" + os.path.basename(w.dir)
    held.append(listen("marker2"))
    held.append(listen("alone", alone))
    for way, n in ((still + "/none2", 2), ("inmount:/" + os.path.basename(alone) + "/alone", 2), ("marker2", 5)):
        w.run("python3", knock, there, way, str(n), uid=NOBODY)
    w.wait(lambda: told().get(there + "/marker2") == 5, "the second marker's count")  # which comes with those before it, or after
    got = {k: v for k, v in told().items() if k not in want}
    expect = {there + "/marker2": 5, ("/" + os.path.basename(alone) if b else alone) + "/alone": 2}
    bad += [] if got == expect else ["%s, alone: told %s, not %s" % (mode, got, expect)]
    # it was not there, then it is
    p = w.popen("python3", knock, there, "appears:late", "20", uid=NOBODY)
    p.stdout.readline()
    held.append(listen("late"))
    open(there + "/late.listens", "w").close()
    said = p.communicate(timeout=10)[0].strip()
    w.wait(lambda: told().get(there + "/late", 0) >= 19, "the count of what came late")
    bad += [] if said == ("EPERM" if mode == "enforce" else "connected") else ["%s: %s" % (mode, said)]
    w.stop()
    return bad


def unix_absent(w):
    """A Unix socket that is not there is no denial; one that is there is told, also where its name is taken away at once."""
    # where nothing changes: others work in /tmp too, but not in a machine of its own, where /srv cannot be written
    there, still, bad = w.dir + "/knocks", "%s/still-%d" % ("/srv" if os.access("/srv", os.W_OK) else w.dir, os.getpid()), []
    for mode in ("enforce", "monitor"):
        try:
            bad += knocks(w, mode, there, still)
        finally:
            for d in (there, still, "/dev/shm/" + os.path.basename(w.dir)):
                shutil.rmtree(d, ignore_errors=True)
    return bad


VENDOR = ["python3", "-c", """
import socket, sys
for _ in range(int(sys.argv[2])):
    try:
        socket.create_connection((sys.argv[1], 443), 5).close()
    except OSError as e:
        pass
"""]


def refusal_alerts(w):
    """Each refusal is an alert: the first at once, then its count, by program, class and reason; the same in both modes, with and without sight."""
    bad, sight_too = [], [int(x) for x in os.uname().release.split("-")[0].split(".")[:2]] >= [6, 6]
    for mode in ("enforce", "monitor"):
        for sight in (False, True)[:1 + sight_too]:
            w.start("--quiet", mode=mode, tools=[{"name": "voice-assistant", "allow": ["crm.own"], "match": [{"exe": w.dir + "/assistantd"}], "sight": sight}])
            name, verdict = "%s, sight %s: " % (mode, sight), "deny" if mode == "enforce" else "would-deny"
            w.run(*VENDOR, AI, "7")  # 7 connections, one address
            w.run("curl", "-sS", "-m", "5", "-o", "/dev/null", "https://api.ai-vendor.example/x")
            w.run("curl", "-sS", "-m", "5", "-o", "/dev/null", "https://api.openai.com/x")
            w.run("curl", "-sS", "-m", "5", "-o", "/dev/null", "https://evil.my.salesforce.com/x")
            w.run("node", "-e", 'fetch("https://api.ai-vendor.example/x").catch(e => 0)')
            w.run("curl", "-sS", "-m", "5", "-o", "/dev/null", "http://127.0.0.1:9/")
            program = {r["exec"]: os.path.basename(r["exe"]) for r in w.rows("process")}
            want = {("E007", "high", "address", "address-unknown", AI, "python3"), ("E001", "medium", "other-host", "dns-name", "api.ai-vendor.example", "curl"),
                    ("E002", "high", "ai-vendor", "dns-name", "api.openai.com", "curl"), ("E003", "high", "other-org", "dns-name", "evil.my.salesforce.com", "curl"),
                    ("E001", "medium", "other-host", "dns-name", "api.ai-vendor.example", "node"), ("E018", "medium", "this-machine", "loopback", "127.0.0.1", "curl")}

            def seen():
                return {(a["rule"], a["severity"], a.get("class"), a.get("reason"), a["authority"], program[a["exec"]].replace("python3.11", "python3")): a
                        for a in lines(w, "alerts") if a.get("action") == verdict}

            # what is let through is judged again by its packets
            w.wait(lambda: [a for k, a in seen().items() if k[0] == "E007" and (a["count"] == 7 if mode == "enforce" else a["count"] >= 7)], name + "seven of one kind")
            got = seen()
            missing = want - set(got)
            bad += [name + "no alert: %s, but %s" % (sorted(missing), sorted(got))] if missing else []
            bad += [name + "an alert is of no denial"] if any(w_["alert"] != a["rule"] for a in got.values() for w_ in w.rows("deny") if w_["id"] == a["denial"]) else []
            bad += [name + "of %s" % a for a in got.values() if not a["first"] <= a["last"] or a["count"] > 1 and a["first"] == a["last"]]
            # the counts are the kernel's: all alerts together are all denials
            bad += [name + "%d denials, %d in alerts" % (sum(d["count"] for d in w.rows("deny")), sum(a["count"] for a in lines(w, "alerts") if "denial" in a))] \
                if sum(d["count"] for d in w.rows("deny") if d["at"] != "request") != sum(a["count"] for a in lines(w, "alerts") if "denial" in a) else []
            code, text = crmfence(w, "alerts")
            bad += [] if code == 1 and "COUNT" in text.split("\n")[0] and text.count("\n") == len(lines(w, "alerts")) + 1 else [name + "%d %s" % (code, text)]
            w.stop()
    return bad


FLOOD = """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(int(sys.argv[1])):
    try:
        s.sendto(b"x", ("10.99.7.%d" % (i % 250 + 1), 9000 + i % 40))
    except OSError:
        pass
"""


def alert_flood(w):
    """Twenty thousand denials of ten thousand destinations are one alert with the exact count, and a few rows."""
    w.start("--quiet")
    n = 20000
    w.run("python3", W.script(w, "flood.py", FLOOD), str(n), timeout=60)
    w.wait(lambda: sum(a["count"] for a in lines(w, "alerts")) >= n, "the count", 60)
    rows = w.rows()
    got = [(a["rule"], a["count"]) for a in lines(w, "alerts")]
    counts = sum(r["kind"] == "alert-count" for r in rows)
    denied = sum(r["count"] for r in rows if r["kind"] == "deny")
    w.stop()
    bad = [] if got == [("E007", n)] and denied == n else ["%s of %d, denied %d" % (got, n, denied)]
    return bad + ([] if counts < 60 else ["%d rows of counts" % counts])


NODE = 'fetch("https://api.ai-vendor.example/x").then(r => r.text()).then(() => console.log("there"), e => console.log(e))'
PYTHON = 'import urllib.request as u; u.urlopen("https://api.ai-vendor.example/x").read(); print("there")'


SEVERAL = """
import http.client, ssl
c = http.client.HTTPSConnection("api.ai-vendor.example", timeout=10, context=ssl.create_default_context())
for n in range(4):
    c.request("GET", "/x%d" % n, headers={"Host": ("api.ai-vendor.example", "other.example")[n % 2]})
    print(c.getresponse().read() is not None)
"""


def sight_monitor_alerts(w):
    """What a client asks inside TLS of a forbidden host while nothing is blocked is found, whatever its library says first: Node's as curl's."""
    clients = {"curl": ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "there", "https://api.ai-vendor.example/x"], "node": ["node", "-e", NODE], "python3": ["python3", "-c", PYTHON]}
    w.start("--quiet", mode="monitor", tools=[{"name": "voice-assistant", "allow": ["crm.own"], "match": [{"exe": w.dir + "/assistantd"}], "sight": True}])
    bad = []
    for name, cmd in clients.items():
        done = max([r["id"] for r in w.rows()] or [0])
        said = [w.run(*cmd)[1].strip() for _ in range(6)]
        w.wait(lambda: len([r for r in w.rows("request") if r["id"] > done]) == 6, "six requests of " + name)
        got = [(r["rule"], r["authority"], r["sni"]) for r in w.rows("alert") if r["id"] > done and "denial" not in r]
        bad += [] if said == ["there"] * 6 and got == [("E001", "api.ai-vendor.example", "api.ai-vendor.example")] * 6 else ["%s: %s %s" % (name, said, got)]
    # each host of one connection, once
    done = max([r["id"] for r in w.rows()] or [0])
    out = w.run("python3", "-c", SEVERAL)[1]
    w.wait(lambda: len([r for r in w.rows("request") if r["id"] > done]) == 4, "four requests of a connection")
    got = sorted((r["rule"], r["authority"]) for r in w.rows("alert") if r["id"] > done and "denial" not in r)
    want = [("E001", "api.ai-vendor.example"), ("E001", "other.example"), ("E007", "other.example")]
    bad += [] if out.split() == ["True"] * 4 and got == want else ["several hosts: %r %s" % (out[-200:], got)]
    # nor is one hidden behind many
    done = max([r["id"] for r in w.rows()] or [0])
    w.run("python3", "-c", SEVERAL.replace("range(4)", "range(40)").replace('("api.ai-vendor.example", "other.example")[n % 2]', '"h%d.example" % n'))
    w.wait(lambda: len([r for r in w.rows("request") if r["id"] > done]) == 40, "forty requests of a connection")
    hosts = {r["authority"] for r in w.rows("alert") if r["id"] > done and r["rule"] == "E001"} - {"api.ai-vendor.example"}
    bad += [] if hosts == {"h%d.example" % n for n in range(40)} else ["forty hosts: %d told" % len(hosts)]
    # and the honest twin: the own org's
    done = max([r["id"] for r in w.rows()] or [0])
    w.run("node", "-e", NODE.replace("api.ai-vendor.example", "acme.my.salesforce.com"))
    w.wait(lambda: [r for r in w.rows("request") if r["id"] > done], "the request to the org")
    bad += ["the own org: %s" % r for r in w.rows("alert") if r["id"] > done]
    w.stop()
    return bad


OWN = "acme.my.salesforce.com"
TUNNEL = """
const http = require("http"), tls = require("tls"), own = process.argv[1];
http.request({host: "proxy.acme.example", port: 3128, method: "CONNECT", path: own + ":443"}).on("connect", (r, socket) => {
  const s = tls.connect({socket, servername: own}, () => s.write("GET /x HTTP/1.1\\r\\nHost: " + own + "\\r\\n\\r\\n"));
  s.on("data", () => s.end());
}).end();
"""
KEPT = """
import http.client, ssl, sys
c = http.client.HTTPSConnection("proxy.acme.example", 3128, timeout=10, context=ssl.create_default_context())
c.set_tunnel(sys.argv[1], 443)
for n in range(4):
    c.request("GET", "/x%d" % n, headers={"Host": sys.argv[2]})
    print(c.getresponse().read() is not None)
"""


def sight_proxy_alerts(w):
    """A listed proxy and sight: the own org's connection goes on, and raises nothing; another host inside of it is found, by the port that was asked for."""
    bad = []
    for mode in ("enforce", "monitor"):
        w.start("--quiet", mode=mode, tools=[{"name": "voice-assistant", "allow": ["crm.own"], "match": [{"exe": w.dir + "/assistantd"}], "sight": True}])
        for name, cmd in (("kept", ["python3", "-c", KEPT, OWN, OWN]), ("curl", ["curl", "-sS", "-m", "10", "-x", "http://proxy.acme.example:3128"] + ["https://%s/x" % OWN, "-o", "/dev/null"] * 3),
                          ("node", ["node", "-e", TUNNEL, OWN])):
            done = max([r["id"] for r in w.rows()] or [0])
            code, out = w.run(*cmd)
            rows = w.rows()
            told = [(r["kind"], r.get("rule") or r["reason"]) for r in rows if r["id"] > done and r["kind"] in ("alert", "deny")]
            bad += [] if code == 0 and not told and (name != "kept" or out.split() == ["True"] * 4) else ["%s, %s: %s %r %s" % (mode, name, code, out[-200:], told)]
            ports = {(r["port"], r.get("target_port")) for r in rows if r["id"] > done and r["kind"] == "flow" and r.get("sni") == OWN}
            bad += [] if ports == {(3128, 443)} else ["%s, %s: ports %s" % (mode, name, ports)]
        # another org's host inside of the tunnel is refused all the same
        done = max([r["id"] for r in w.rows()] or [0])
        code, out = w.run("python3", "-c", KEPT, OWN, "evil.my.salesforce.com")
        w.wait(lambda: [r for r in w.rows("alert") if r["id"] > done], "the alert of another host")
        got = {r["rule"] for r in w.rows("alert") if r["id"] > done}
        bad += [] if "E003" in got and (code != 0) == (mode == "enforce") else ["%s, another host: %s %r %s" % (mode, code, out[-200:], got)]
        # a CONNECT that is refused: `why` names the port that was asked for
        done = max([r["id"] for r in w.rows()] or [0])
        w.run("curl", "-sS", "-m", "5", "-x", "http://proxy.acme.example:3128", "https://api.ai-vendor.example:8443/x")
        row = [r for r in w.rows("deny") if r["id"] > done and r["reason"] == "proxy-name"][0]
        code, text = crmfence(w, "why", str(row["id"]))
        bad += [] if row["target_port"] == 8443 and '"ports": [8443]' in text and "3128" not in text.split("What would change it")[1] else ["%s, why: %s %s" % (mode, row, text)]
        w.stop()
    return bad


SILENT = """
import os, socket, sys
print("up", flush=True)
sys.stdin.readline()
try:
    socket.create_connection(("%s", 443), 3)
except OSError as e:
    print(e.strerror, flush=True)
sys.stdin.readline()
""" % AI


def why_explains(w):
    """`why` of a denial, an alert, its count, a request; the kernel's verdict is found again from all eight facts, also while the agent was silent."""
    sight = [int(x) for x in os.uname().release.split("-")[0].split(".")[:2]] >= [6, 6]
    tool = {"name": "voice-assistant", "allow": ["crm.own"], "match": [{"exe": w.dir + "/assistantd"}]}
    w.start("--quiet", heartbeat=3, tools=[tool])
    bad = []

    def why(what, row, *want):
        code, text = crmfence(w, "why", str(row))
        missing = [x for x in want if x not in text]
        bad.extend(["%s: %d, no %s in %s" % (what, code, missing, text)] if code or missing or "DIFFERS" in text else [])
        return text

    p = w.popen("python3", "-c", SILENT, stdin_fd=subprocess.PIPE)
    p.stdout.readline()  # it is there
    w.agent.send_signal(signal.SIGSTOP)
    time.sleep(3.5)  # the heartbeat, by the clock of the policy
    p.stdin.write("go\n")
    p.stdin.flush()
    said = p.stdout.readline().strip()
    w.agent.send_signal(signal.SIGCONT)
    w.wait(lambda: [r for r in w.rows("deny") if r["reason"] == "agent-silent"], "the denial")
    p.communicate("over\n", timeout=10)
    bad += [] if said == "Network is unreachable" else ["without an agent: " + said]
    denied = [r for r in w.rows("deny") if r["reason"] == "agent-silent"][0]
    why("silent", denied["id"], "decided again: deny")
    alerts = {a["rule"]: a for a in lines(w, "alerts")}
    why("silent's alert", alerts["E028"]["id"], "E028 agent-silent, high", "What to do", "decided again: deny")
    w.stop()
    w.start("--quiet", tools=[dict(tool, sight=sight)])
    w.run(*VENDOR, AI, "3")
    w.run("curl", "-sS", "-m", "5", "-o", "/dev/null", "https://api.openai.com/x")
    w.wait(lambda: [a for a in lines(w, "alerts") if a["rule"] == "E007" and a["count"] == 3], "three of one kind")
    alerts = {a["rule"]: a for a in lines(w, "alerts")}
    text = why("address", alerts["E007"]["id"], "E007 name-unproved, high", "3 times", "What to do", "Its first denial", "address-unknown", "python3", "decided again: deny", "That opens the boundary")
    counted = why("its count", w.rows("alert-count")[-1]["id"], "E0")
    bad += [] if counted.startswith("alert ") else ["a count: " + counted]
    why("name", alerts["E002"]["id"], "api.openai.com (ai-vendor)", "DNS question api.openai.com, asked of %s" % W.DNS, "dns-name", "That opens the boundary")
    if sight:
        w.run("curl", "-sS", "-m", "5", "-o", "/dev/null", "-X", "PATCH", "-H", "Content-Type: application/json", "-d", '{"StageName":"Won"}',
              "https://%s/services/data/v60.0/sobjects/Opportunity/006000000000001AAA" % OWN)
        w.run("curl", "-sS", "-m", "5", "-o", "/dev/null", "https://%s/x" % OWN, "-H", "Host: evil.my.salesforce.com")
        w.wait(lambda: [a for a in w.rows("alert") if a["rule"] == "E003"] and [r for r in w.rows("request") if r["method"] == "PATCH"], "sight's rows")
        asked = [r for r in w.rows("request") if r["method"] == "PATCH"][0]
        w.wait(lambda: [r for r in w.rows("flow") if r["cookie"] == asked["cookie"]], "its flow")
        text = why("request", asked["id"], "PATCH %s/services/data" % OWN, "Opportunity 006000000000001AAA", "Its connection", "server name  " + OWN, "allow (name)")
        bad += ["a value: " + text] if "Won" in text else []
        found = [a for a in w.rows("alert") if a["rule"] == "E003"][0]
        why("sight's alert", found["id"], "E003 foreign-tenant, high", "request for  evil.my.salesforce.com", "server name  " + OWN, "held")
    code, text = crmfence(w, "why", str(w.rows("policy")[0]["id"]))
    bad += [] if code == 2 and "is no flow, denial, alert or request" in text else ["a row of another kind: %d %s" % (code, text)]
    w.stop()
    return bad


def sessions_agree(w):
    """What a session was refused: its end row, `sessions`, `report`, `alerts`, `status` and the kernel's counter say the same number."""
    bad = []
    for mode in ("enforce", "monitor"):
        w.start("--quiet", mode=mode, tools=[{"name": "voice-assistant", "allow": ["crm.own"], "match": [{"exe": w.dir + "/assistantd"}]}])
        made = [(5, "10.99.7.1"), (1, "10.99.7.2"), (40, "10.99.7.3")]
        text = "import socket, sys\ns = socket.socket(2, 2)\nfor _ in range(int(sys.argv[1])):\n try: s.sendto(b'x', (sys.argv[2], 9))\n except OSError: pass\n"
        for n, addr in made:
            w.run("python3", "-c", text, str(n), addr)

        def ended():  # without those of other agents' tools, which are refused nothing
            return [r["denials"] for r in w.rows("session") if r["change"] == "end" and r["denials"]]

        w.wait(lambda: len(ended()) == len(made), "the ends")
        ends = ended()
        shown = [n for n in (int(line.split()[-3]) for line in crmfence(w, "sessions")[1].splitlines()[1:] if not line.endswith("live")) if n]
        report = [r["denials"] for r in lines(w, "report") if r["denials"]]
        words = [sum(x["count"] for x in r["alerts"]) for r in lines(w, "report") if r["alerts"]]
        s = status(w)
        alerts = sum(a["count"] for a in lines(w, "alerts"))
        want, total = sorted(n for n, _ in made), s["denials"] + s["would_deny"]
        kernel = s["counters"]["denied"] if mode == "enforce" else total  # what passes is judged, and counted there, once more where it leaves
        bad += [] if sorted(ends) == sorted(shown) == sorted(report) == sorted(words) == want and total == alerts == kernel == sum(want) else [
            "%s: end rows %s, sessions %s, report %s and %s, status %d, alerts %d, the kernel %d" % (mode, ends, shown, report, words, total, alerts, kernel)]
        w.stop()
    return bad


ALONE = [clean_session, unix_absent, refusal_alerts, alert_flood, sessions_agree, why_explains, sight_monitor_alerts, sight_proxy_alerts]
if __name__ == "__main__":
    sys.exit("run.py runs these")
