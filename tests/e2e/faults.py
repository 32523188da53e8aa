# SPDX-License-Identifier: Apache-2.0
"""No memory, no room: in a build of the programs for this test alone (bpf/lib/faults.h), the n-th call that the kernel may refuse for want of
either is refused, for every n that a way out makes: the session is refused each time. Cases for run.py."""
import os
import struct

import launch
import world as W
from bpfmap import BpfMap
from world import token

FAULTS = W.BUILD + "/faults/crmfenced"
UID, ALL = 4244, 1 << 60


class Faults:
    """The switch. `seen`: calls since it was set."""

    def __init__(self, w):
        self.map = BpfMap(w.pins + "/faults")
        self.key = struct.pack("<I", 0)

    def set(self, first, last, uid=UID):
        self.map.put(self.key, struct.pack("<QQQQII", first, last, 0, 0, uid, 0))

    def read(self):
        return struct.unpack("<QQQQII", self.map.get(self.key))[2:4]

    def off(self):
        self.set(0, 0, uid=0)


def ways(w):
    """name -> how it is tried; each with a socket that the program had, or makes."""
    free, tool = launch.build(w)
    as_session = [W.BUILD + "/crmfence", "exec", "--control", w.control, "--tool", "voice-assistant", "--", free]
    out = {"matched-" + how: [tool, "try", how] for how in ("tcp4", "udp4", "own", "dns", "hello", "fork")}
    out.update({"exec-" + how: as_session + ["try", how] for how in ("tcp4", "udp4", "dns", "hello", "fork")})
    out.update({"inherited-" + how: [free, "start", how, tool] for how in ("tcp4", "udp6")})
    return out


def bare(w):
    """Each of them leaks without crmfence; what does not."""
    free, _ = launch.build(w)
    said = {}
    for how in ("tcp4", "udp4", "own", "dns", "hello", "fork"):
        said[how] = token()
        w.run(free, "try", how, said[how], confined=False, uid=UID, env={"OTHER": free})
    seen = w.sniffed()["tokens"]
    return ["%s does not leak without crmfence" % how for how, tok in said.items() if tok not in seen]


def well(w):
    """With the switch off again: an unconfined program, and what the policy allows to a session."""
    free, tool = launch.build(w)
    twin, bad = token(), []
    w.run(free, "try", "udp4", twin, confined=False, uid=UID)
    text = ("import socket\ns=socket.create_connection((socket.gethostbyname('plain.acme.example'),80),3)\n"
            "s.send(b'GET /quiet HTTP/1.1\\r\\nHost: plain.acme.example\\r\\n\\r\\n')\nprint(s.recv(12))\n")
    code, out = w.run("python3", "-c", text, uid=UID)
    bad += [] if "200" in out else ["an allowed call: %d %r" % (code, out[-200:])]
    bad += [] if w.agent.poll() is None else ["the agent ended"]
    return bad + ([] if w.arrived(twin) else ["the unconfined twin was harmed"])


def every(w, faults, name, command, counts):
    """One way: as often as it makes such calls."""
    sent, bad = {}, []

    def one(first, last):
        sent[first, last] = token()
        faults.set(first, last)
        w.run(*command, sent[first, last], confined=False, uid=UID, timeout=15, env={"OTHER": w.dir + "/launch"})
        seen = faults.read()
        faults.off()
        return seen

    n = one(0, 0)[0]
    steps = range(1, n + 3)  # a refusal may lead to calls that nobody made before
    failed = sum(one(i, i)[1] for i in steps)
    one(1, ALL)
    counts[name] = n
    bad += [] if n > 3 else ["%s: only %d calls" % (name, n)]
    bad += ["%s: only %d of %d failed" % (name, failed, n)] if failed < 8 else []
    seen = w.sniffed()["tokens"]
    return bad + ["%s, calls %d to %d fail: LEAKED %s" % (name, *k, seen[tok]) for k, tok in sent.items() if tok in seen]


def fault_calls(w):
    """Every way out, every call."""
    if not os.path.exists(FAULTS):
        return "build/faults is not built (make faults-build)"
    bad, counts = bare(w), {}
    w.start("--quiet", prefix=(FAULTS,), **rules(w))
    faults = Faults(w)
    for name, command in ways(w).items():
        bad += every(w, faults, name, command, counts)
    bad += well(w)
    print("     calls, each failed once: " + ", ".join("%s %d" % c for c in counts.items()), flush=True)
    w.stop()
    return bad


def rules(w):
    """launch.py's, and what the ways out and well() need to come as far as they do."""
    p = launch.policy(w)
    p["tools"][0]["allow"] += [{"host": "models.acme.example", "why": "test"},
                               {"host": "plain.acme.example", "ports": [80], "tls": False, "why": "test"}]
    return p


ALONE = [fault_calls]
if __name__ == "__main__":
    raise SystemExit("run.py runs these")
