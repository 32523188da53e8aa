# SPDX-License-Identifier: Apache-2.0
"""The evasion suite as a virtual machine's console tells it: "TRY flavour case kind who token said" lines, then "SEEN token" and "GOT text".

usage: vm.py KERNEL CONSOLE OUT; appends objects to OUT; ends with "N passed, N failed, N skipped".
       vm.py OUT; when every machine has run: lines of open.txt that are held on all of them
"""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run as R  # noqa: E402

if len(sys.argv) == 2:
    with open(sys.argv[1]) as f:
        print("\n".join("FAIL " + x for x in R.stale([json.loads(x) for x in f])))
    sys.exit(0)
kernel, console, out = sys.argv[1:4]
text = open(console, errors="replace").read().replace("\r", "")
tier = (re.findall(r"^TIER (\S+)", text, re.M) or ["?"])[0]
ways = {x.replace(" ", "-") for x in re.findall(r"^DOCTOR open +(.+?): ", text, re.M)}
seen = set(re.findall(r"^SEEN (\S+)", text, re.M))
got = "\n".join(re.findall(r"^GOT (.*)", text, re.M))
tried = {f: {} for f in ("bare", "exec", "match", "twin")}
for flavour, name, kind, who, token, said in re.findall(r"^TRY (\S+) (\S+) (\S) (\S) (\S+) ?(\S*)$", text, re.M):
    arrived = said == "sent" if kind == "s" else token in seen if kind == "w" else token in got or "signal " + token[-8:] in got
    tried[flavour][name] = (arrived, said, who)
count = {"passed": 0, "failed": 0, "skipped": 0}
with open(out, "a") as f:
    for name in tried["bare"]:
        for flavour in ("exec", "match"):
            if name not in tried[flavour] or name not in tried["twin"]:
                print("FAIL %s (%s): was not run" % (name, flavour))
                count["failed"] += 1
                continue
            outcome, wrong = R.judge(name, flavour, tried["bare"][name], tried[flavour][name], tried["twin"][name], kernel, tier, ways)
            f.write(json.dumps({"name": name, "flavour": flavour, "kernel": kernel, "tier": tier, "uid": R.NOBODY if tried["bare"][name][2] == "u" else 0,
                                "leaked_without": tried["bare"][name][0], "leaked_with": tried[flavour][name][0],
                                "error": tried[flavour][name][1], "outcome": outcome, "control_ok": tried["twin"][name][0]}) + "\n")
            if wrong:
                print("FAIL %s (%s): %s" % (name, flavour, wrong))
            count["failed" if wrong else "skipped" if outcome == "no leak here" else "passed"] += 1
for name in ("tcp4", "tcp6", "udp4", "unix-stream", "packet-raw"):
    if not tried["bare"].get(name, (0,))[0]:
        count["failed"] += 1
        print("FAIL %s does not even leak bare: the machine is not as it should be; console in %s" % (name, console))
refused = "update EPERM detach EPERM unlink EPERM rename EPERM own-update works own-pin works over EPERM own-unlink works"
for word, wanted, what in (("PAIR", "connect works", "two processes of one session"), ("OWN", refused, "what root does to the fence itself"), ("INSIDE", "held [1-9]", "a session that starts crmfenced --unpin as root"), ("DEAD", refused, "the same without an agent"),
                           ("STRANGER", "at another path only", "an agent at another path"), ("AGAIN", re.escape(tier), "the agent again"),
                           ("TOLD", "[1-9]", "a denial of it in the log"),
                           ("SIGHT", "SIGHT IS ON|needs Linux 6.6|return probes end processes", "whether TLS sight works is found out at start")):
    said = (re.findall(r"^%s (.*)" % word, text, re.M) or ["nothing"])[-1].strip()
    good = tier != "B" and re.search(wanted, said)
    count["passed" if good else "failed"] += 1
    if not good:
        print("FAIL %s: %s" % (what, said))
print("tier " + tier)
print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % count)
sys.exit(1 if count["failed"] else 0)
