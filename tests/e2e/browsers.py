# SPDX-License-Identifier: Apache-2.0
"""TLS sight inside Chromium and Firefox, extension by extension; cases for run.py."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import zipfile

import world as W
from sight import OWN, ROW, tools, arrived, firefox, chromium, version


def network_services():
    """Of Chromium's network processes that live: the pid, and its seccomp mode, which it enters once it is up."""
    modes = {}
    for d in filter(str.isdigit, os.listdir("/proc")):
        try:
            if b"network.mojom.NetworkService" in open("/proc/%s/cmdline" % d, "rb").read():
                modes[d] = [line.split()[1] for line in open("/proc/%s/status" % d) if line.startswith("Seccomp:")][0]
        except (OSError, IndexError):
            pass
    return modes


def sight_sandbox(w):
    """Chromium as it is on a desktop: not root, with all its sandboxes, the network process's too (seccomp). Recognised by its file. REQUESTS
    (60) over CONNECTIONS (3), a browser each, four at once."""
    program, total, conns = "/usr/lib/chromium/chromium", int(os.environ.get("REQUESTS", 60)), int(os.environ.get("CONNECTIONS", 3))
    if not os.path.exists(program):
        return "chromium is not installed"
    t, modes, bad = tools(w), {}, []
    t["tools"][0]["match"] = [{"exe": program, "broad": "nobody else's browser runs here"}]
    w.start("--quiet", **t)
    for begun in range(0, conns, 4):
        ps = []
        for _ in range(min(4, conns - begun)):
            cmd = [c for c in chromium(w, total // conns, ROW + "?t=sandbox") if c != "--no-sandbox"]
            cmd.insert(1, "--enable-features=NetworkServiceSandbox")
            where = cmd[-1][7:].rsplit("/", 1)[0]
            os.chmod(where, 0o777)
            ps.append(w.popen("env", "HOME=" + where, *cmd, confined=False, uid=65534))
        while any(p.poll() is None for p in ps):
            modes.update(network_services())
            time.sleep(0.02)
        for p in ps:
            text = p.communicate(timeout=30)[0]
            bad += ["exit %d: %s" % (p.returncode, text[-300:])] if p.returncode else []
    made = len([r for r in arrived(w) if "t=sandbox" in r["url"]])
    for _ in range(6):
        rows = w.rows()
        seen = [r for r in rows if r["kind"] == "request" and r["path"] == ROW and r["mapping"] == "exact" and r["status"] == 200]
        if len(seen) >= made:
            break
    w.stop()
    on = {r["cookie"] for r in seen}
    keep("chromium, all sandboxes", made, seen, [r["how"] for r in rows if r["kind"] == "sight" and r.get("stack") == "BoringSSL"])
    return bad + ([] if made == len(seen) == total // conns * conns and len(on) >= conns and list(modes.values()) == ["2"] * conns else [
        "made %d, seen %d on %d connections, the network processes' seccomp modes %s" % (made, len(seen), len(on), modes)])


def keep(name, made, seen, how):
    """A row beside those of sight-programs."""
    path = W.BUILD + "/tls.json"
    rows = [r for r in map(json.loads, open(path)) if r["program"] != name] if os.path.exists(path) else []
    rows.append({"program": name, "version": version("chromium"), "stack": "BoringSSL", "made": made, "seen": len(seen),
                 "mapped": len(seen), "mapping": "exact", "method": ", ".join(sorted(set(how))), "connections": len({r["cookie"] for r in seen})})
    with open(path, "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)

EXTENSION = {
    "manifest.json": json.dumps({"manifest_version": 3, "name": "%s", "version": "1", "background": {"service_worker": "sw.js"},
                                 "host_permissions": ["https://acme.my.salesforce.com/*"]}),
    "sw.js": "(async()=>{for(let i=0;i<5;i++){await fetch('%s?t=ext-%s&i='+i).catch(()=>{});"
             "if(%s)await fetch('%s?t=ext-%s&post='+i,{method:'POST',body:'{}'}).catch(()=>{})}})()"}


def extension(w, name, posts):
    where = "%s/ext-%s" % (w.dir, name)
    os.mkdir(where)
    with open(where + "/manifest.json", "w") as f:
        f.write(EXTENSION["manifest.json"] % name)
    with open(where + "/sw.js", "w") as f:
        f.write(EXTENSION["sw.js"] % (OWN + ROW, name, "true" if posts else "false", OWN + ROW, name))
    return where, "".join(chr(ord("a") + int(c, 16)) for c in hashlib.sha256(where.encode()).hexdigest()[:32])  # id of an unpacked one


def sight_extensions(w):
    """Two extensions and a page of one Chromium ask the same host: each request is labelled with its own, or with nobody."""
    if not shutil.which("chromium"):
        return {"sight-extensions": "chromium is not installed"}
    w.start(**tools(w))
    (one, one_id), (two, two_id) = extension(w, "one", True), extension(w, "two", False)
    three, three_id = extension(w, "three", False)  # which asks nobody, and runs in a page
    with open(three + "/manifest.json", "w") as f:
        f.write('{ // a comment\n"manifest_version": 3, "name": "three", "version": "1", "host_permissions": ["https://*.elsewhere.example/*"],'
                '"content_scripts": [{"matches": ["*://*.acme.example/*"], "js": ["sw.js"]}]}')
    with open(three + "/sw.js", "w") as f:
        f.write("1")
    cmd = chromium(w, 5, ROW + "?t=page")
    with open(cmd[-1][7:], "a") as f:
        f.write("<iframe src='https://models.acme.example/frame'></iframe>")
    cmd[1:1] = ["--load-extension=%s,%s,%s" % (one, two, three), "--disable-features=DisableLoadExtensionCommandLineSwitch"]
    cmd = [c for c in cmd if c != "--dump-dom"]
    mark, done = len(arrived(w)), max([r["id"] for r in w.rows()])
    p = w.popen(*cmd, stdin_fd=subprocess.PIPE)
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline and len(arrived(w, mark)) < 20:
        time.sleep(0.5)
    time.sleep(1)
    p.terminate()
    p.communicate(timeout=20)
    made = [r["url"] for r in arrived(w, mark)]
    for _ in range(6):
        rows = [r for r in w.rows() if r["id"] > done]
        seen = [r for r in rows if r["kind"] == "request" and r["path"] == ROW]
        if len(seen) >= len(made):
            break
    w.stop()
    count = {k: len([u for u in made if "t=" + k in u]) for k in ("ext-one", "ext-two", "page")}
    if count != {"ext-one": 10, "ext-two": 5, "page": 5}:
        return ["what was asked: %s" % count]
    whole = {r["cookie"]: r["extension"] for r in rows if r["kind"] == "initiator"}
    who = lambda r: whole.get(r["cookie"], r.get("extension"))  # noqa: E731
    got = {k: len([r for r in seen if who(r) == k]) for k in (one_id, "unknown", None)}
    bad = [] if got == {one_id: 10, "unknown": 5, None: 5} else ["labelled %s of %s" % (got, count)]
    asked = {(r["initiator"], tuple(sorted(r.get("candidates", [])))) for r in seen if r.get("extension") in (None, "unknown") and r["cookie"] not in whole}
    bad += [] if asked == {("page", ()), ("extension", tuple(sorted((one_id, two_id))))} else ["who may have asked: %s" % asked]
    pages = {(r["page"], tuple(r["injectors"])) for r in rows if r["kind"] == "page"}
    return bad + ([] if pages == {("models.acme.example", (three_id,))} else ["whose scripts run in pages: %s" % pages])


def sight_addon(w):
    """Firefox: an add-on's connections are told as its, by the name that this profile gave it; a page's are a page's. In a browser that is
    seen and not confined a listed add-on's request to a vendor is held, the page's to the same vendor goes on."""
    program, addon, vendor = "/usr/lib/firefox-esr/firefox-esr", "crm-helper@acme.example", "https://api.ai-vendor.example/talk?t="
    if not os.path.exists(program):
        return "firefox-esr is not installed"
    cmd = firefox(w, 5, ROW + "?t=page")
    where = os.path.dirname(cmd[-1].split("file://")[1].split(";")[0])
    os.mkdir(where + "/extensions")
    with zipfile.ZipFile("%s/extensions/%s.xpi" % (where, addon), "w") as z:
        z.writestr("manifest.json", json.dumps({"manifest_version": 2, "name": "helper", "version": "1", "permissions": [OWN + "/*", "https://api.ai-vendor.example/*"],
                                                "background": {"scripts": ["sw.js"]}, "browser_specific_settings": {"gecko": {"id": addon}}}))
        z.writestr("sw.js", EXTENSION["sw.js"] % (OWN + ROW, "addon", "true", OWN + ROW, "addon") +
                   ";(async()=>{for(let i=0;i<20;i++){await fetch('%saddon',{method:'POST',body:'{}'}).catch(()=>{});await new Promise(r=>setTimeout(r,400))}})()" % vendor)
    with open(where + "/user.js", "w") as f:
        f.write('user_pref("xpinstall.signatures.required", false);user_pref("extensions.autoDisableScopes", 0);')
    with open(where + "/page.html", "a") as f:
        f.write("<script>setInterval(()=>fetch('%spage',{method:'POST',mode:'no-cors',body:'{}'}),400)</script>" % vendor)
    t, bad = tools(w), []
    t["browser"] = {"addons": [addon]}
    t["tools"] = [{"name": "browser", "match": [{"exe": program}], "sight": True, "confine": "extensions", "allow": ["crm.own"]}]
    for enforced in (False, True):
        if enforced:
            w.start("--quiet", **t)
        mark = len(arrived(w))
        w.run(*cmd, timeout=60, confined=False)
        made = [(r["method"], re.search("t=([a-z-]*)", r["url"]).group(1)) for r in arrived(w, mark) if "?t=" in r["url"]]
        count = {k: made.count(k) for k in (("GET", "ext-addon"), ("POST", "ext-addon"), ("GET", "page"))}
        bad += [] if set(count.values()) == {5} else ["enforced %s: asked of the org: %s" % (enforced, count)]
        bad += [] if made.count(("POST", "page")) > 5 and (made.count(("POST", "addon")) > 5) != enforced and not (enforced and made.count(("POST", "addon"))) else [
            "enforced %s: at the vendor: %d of the page, %d of the add-on" % (enforced, made.count(("POST", "page")), made.count(("POST", "addon")))]
    rows = w.rows()
    w.stop()
    whole = {r["cookie"]: r["extension"] for r in rows if r["kind"] == "initiator"}
    got = [(r["method"], whole.get(r["cookie"], r.get("extension")), r.get("initiator")) for r in rows if r["kind"] == "request" and r["path"] == ROW]
    # what an add-on GETs looks as a page's own: its connection tells, where it says more
    want = {("POST", addon, "extension"): 5, ("GET", None, "page"): 5}
    bad += [] if {k: got.count(k) for k in want} == want and len(got) == 15 and {g for g in got if g not in want} <= {("GET", addon, None), ("GET", addon, "extension"), ("GET", None, None)} else [
        "labelled: %s" % got]
    alerts = {(r["rule"], r["authority"], r.get("extension"), r.get("held")) for r in rows if r["kind"] == "alert"}
    return bad + ([] if alerts == {("E001", "api.ai-vendor.example", addon, True)} else ["alerts: %s" % alerts])

LISTED = ("(async()=>{for(let i=0;i<40;i++){for(const u of ['https://api.ai-vendor.example/talk?t=%s','" + OWN + "/services/data/v60.0/sobjects/Task?t=%s'])"
          "await fetch(u+'&i='+i,{method:'POST',headers:{'content-type':'application/json'},body:JSON.stringify({r:'x'.repeat(%d)})}).catch(()=>{});"
          "await new Promise(r=>setTimeout(r,700))}})()")


def sight_listed(w):
    """A browser that is seen and not confined: a listed extension, another one, a page and another site's frame talk to the same vendor.
    The listed one's record is cut, each time; what the others send arrives, and so does what the listed one sends to the org."""
    program, seconds = "/usr/lib/chromium/chromium", int(os.environ.get("BROWSE", 12))
    if not os.path.exists(program):
        return "chromium is not installed"
    ids = {}
    for name, size in (("one", 30), ("two", 30)):
        where = "%s/listed-%s" % (w.dir, name)
        os.mkdir(where)
        with open(where + "/manifest.json", "w") as f:
            json.dump({"manifest_version": 3, "name": name, "version": "1", "background": {"service_worker": "sw.js"}, "host_permissions": ["<all_urls>"]}, f)
        with open(where + "/sw.js", "w") as f:
            f.write(LISTED % ("ext-" + name, "ext-" + name, size))
        ids[name] = (where, "".join(chr(ord("a") + int(c, 16)) for c in hashlib.sha256(where.encode()).hexdigest()[:32]))
    t = tools(w)
    t["browser"] = {"extensions": [ids["one"][1]]}
    t["tools"] = [{"name": "browser", "match": [{"exe": program}], "sight": True, "confine": "extensions", "allow": ["crm.own"]},
                  {"name": "voice-assistant", "match": [{"exe": w.dir + "/assistantd"}], "allow": ["crm.own"]}]
    bad = []
    for enforced in (False, True):
        if enforced:
            w.start("--quiet", **t)
        cmd = chromium(w, 0, ROW)
        page = cmd[-1][7:]
        with open(page, "w") as f:
            f.write("<iframe src='https://models.acme.example/frame'></iframe><script>setInterval(()=>fetch('https://api.ai-vendor.example/talk?t=page',"
                    "{method:'POST',mode:'no-cors',body:'{}'}),700)</script>")
        cmd = [c for c in cmd if c not in ("--dump-dom", "--no-sandbox")]
        cmd[1:1] = ["--load-extension=%s,%s" % (ids["one"][0], ids["two"][0]), "--disable-features=DisableLoadExtensionCommandLineSwitch"]
        os.chmod(os.path.dirname(page), 0o777)
        mark, done = len(arrived(w)), max([r["id"] for r in w.rows()] or [0]) if enforced else 0
        p = w.popen("env", "HOME=" + os.path.dirname(page), *cmd, confined=False, uid=65534, stdin_fd=subprocess.PIPE)
        time.sleep(seconds)
        p.terminate()
        p.communicate(timeout=20)
        here = lambda t, host: len([r for r in arrived(w, mark) if "t=" + t in r["url"] and r["host"].startswith(host) and r["method"] == "POST"])  # noqa: E731
        got = {k: here(k, "api.ai-vendor") for k in ("ext-one", "ext-two", "page", "frame")}
        own = {k: here(k, "acme") for k in ("ext-one", "ext-two")}
        few = seconds // 4
        if min(own.values()) < 1 or any(got[k] < few for k in ("ext-two", "page", "frame")) or (got["ext-one"] > 0) == enforced:
            bad.append("enforced %s: at the vendor %s, at the org %s" % (enforced, got, own))
    rows = [r for r in w.rows() if r["id"] > done]
    w.stop()
    alerts = {(r["rule"], r["authority"], r.get("extension"), r["cut"]) for r in rows if r["kind"] == "alert"}
    if alerts != {("E001", "api.ai-vendor.example", ids["one"][1], True)}:
        bad.append("alerts: %s" % alerts)
    whole = {r["cookie"]: r["extension"] for r in rows if r["kind"] == "initiator"}
    wrong = [r for r in rows if r["kind"] == "request" and r.get("extension") == ids["one"][1] and r["cookie"] not in whole]
    if wrong or set(whole.values()) != {i for _, i in ids.values()}:
        bad.append("labels: %s %s" % (set(whole.values()), wrong[:2]))
    denied = {(r["at"], r["name"], r["reason"]) for r in rows if r["kind"] == "deny"}
    if denied != {("request", "api.ai-vendor.example", "request-host")} or not all(r.get("held") for r in rows if r["kind"] == "alert"):
        bad.append("refused: %s; alerts %s" % (denied, [(r["authority"], r.get("held")) for r in rows if r["kind"] == "alert"][:3]))
    return bad

SOLE = ("(async()=>{for(let i=0;i<40;i++){for(const u of ['https://%s/talk?t=%s','" + OWN + "/services/data/v60.0/limits?t=%s'])"
        "await fetch(u+'&i='+i).catch(()=>{});await new Promise(r=>setTimeout(r,500))}})()")


def sight_sole(w):
    """Extensions that only GET say nothing of themselves. One is the only installed that may ask a host, and listed: its first request there is
    told by its name and its connection ended, the later ones are held; another one's to another host go on, on one connection."""
    program, bad, ids = "/usr/lib/chromium/chromium", [], {}
    if not os.path.exists(program):
        return "chromium is not installed"
    for name, host in (("solo", "api.ai-vendor.example"), ("other", "models.acme.example")):
        where = "%s/sole-%s" % (w.dir, name)
        os.mkdir(where)
        with open(where + "/manifest.json", "w") as f:
            json.dump({"manifest_version": 3, "name": name, "version": "1", "background": {"service_worker": "sw.js"},
                       "host_permissions": ["https://%s/*" % host, OWN + "/*"]}, f)
        with open(where + "/sw.js", "w") as f:
            f.write(SOLE % (host, name, name))
        ids[name] = (where, "".join(chr(ord("a") + int(c, 16)) for c in hashlib.sha256(where.encode()).hexdigest()[:32]))
    t = tools(w)
    t["browser"] = {"extensions": [ids["solo"][1]]}
    t["tools"] = [{"name": "browser", "match": [{"exe": program}], "sight": True, "confine": "extensions", "allow": ["crm.own"]}]
    for enforced in (False, True):
        if enforced:
            w.start("--quiet", **t)
        cmd = [c for c in chromium(w, 0, ROW) if c not in ("--dump-dom", "--no-sandbox")]
        cmd[1:1] = ["--load-extension=%s,%s" % (ids["solo"][0], ids["other"][0]), "--disable-features=DisableLoadExtensionCommandLineSwitch"]
        os.chmod(os.path.dirname(cmd[-1][7:]), 0o777)
        mark = len(arrived(w))
        p = w.popen("env", "HOME=" + os.path.dirname(cmd[-1][7:]), *cmd, confined=False, uid=65534, stdin_fd=subprocess.PIPE)
        there = lambda name, host: len([r for r in arrived(w, mark) if "t=" + name in r["url"] and r["host"].startswith(host)])  # noqa: E731
        deadline = time.monotonic() + 25
        while time.monotonic() < deadline and there("other", "models") < 8:
            time.sleep(0.5)
        p.terminate()
        p.communicate(timeout=20)
        got = {"solo": there("solo", "api.ai-vendor"), "other": there("other", "models"), "own": there("solo", "acme")}
        bad += [] if min(got["other"], got["own"]) > 4 and (got["solo"] == 1 if enforced else got["solo"] > 4) else ["enforced %s: %s" % (enforced, got)]
    rows = w.rows()
    w.stop()
    asked = [r for r in rows if r["kind"] == "request" and r["authority"] != "acme.my.salesforce.com" and r["path"] == "/talk"]
    by = lambda host: [r for r in asked if r["authority"] == host]  # noqa: E731
    alerts = [r for r in rows if r["kind"] == "alert"]
    if len(alerts) < 4 or {(r["rule"], r["authority"], r["extension"], r["cut"]) for r in alerts} != {("E001", "api.ai-vendor.example", ids["solo"][1], True)} or \
            [bool(r.get("held")) for r in alerts] != [False] + [True] * (len(alerts) - 1):
        bad.append("alerts: %s" % [(r["rule"], r["authority"], r.get("extension"), r["cut"], r.get("held")) for r in alerts][:4])
    solo, other = by("api.ai-vendor.example"), by("models.acme.example")
    if len({r["cookie"] for r in solo}) != len(solo) or {(r.get("extension"), r.get("extension_by")) for r in solo} != {(ids["solo"][1], "permissions")}:
        bad.append("the listed one's: %s" % [(r["cookie"], r.get("extension"), r.get("extension_by"), r.get("cut")) for r in solo][:4])
    if len(other) < 4 or len({r["cookie"] for r in other}) != 1 or {(r.get("extension"), r.get("extension_by")) for r in other} != {(ids["other"][1], "permissions")}:
        bad.append("the other's: %s" % [(r["cookie"], r.get("extension"), r.get("extension_by")) for r in other][:4])
    shared = {(r.get("extension"), tuple(sorted(r.get("candidates", [])))) for r in rows if r["kind"] == "request" and "limits" in r["path"]}
    return bad + ([] if shared == {("unknown", tuple(sorted(i for _, i in ids.values())))} else ["at the org: %s" % shared])


def sight_tool_inside(w):
    """What a browser that is but seen starts, or a program that was taken for a tool and is not, may be a tool: it is confined."""
    shell, tool, refuted, bad = w.dir + "/browser", w.dir + "/assistantd", w.dir + "/refuted", []
    for a, b in (("/bin/bash", shell), ("/bin/bash", refuted), ("/usr/bin/curl", tool)):
        shutil.copy(a, b)
    t = tools(w)
    t["browser"] = {"extensions": ["abcdefghijklmnopabcdefghijklmnop"]}
    t["tools"] = [{"name": "browser", "match": [{"exe": shell}], "sight": True, "confine": "extensions", "allow": ["crm.own"]},
                  {"name": "voice-assistant", "match": [{"exe": tool}, {"exe": refuted, "sha256": "00" * 32}], "allow": ["crm.own"]}]
    w.start("--quiet", **t)
    vendor, code = "https://api.ai-vendor.example/inside", "-sS -m 4 -o /dev/null"
    for who in (shell, refuted):
        mark = len(arrived(w))
        _, out = w.run(who, "-c", "sleep 1; curl %s %s?plain; echo plain $?; %s %s %s?tool; echo tool $?; %s %s %s/quiet; echo org $?; curl %s %s?after; echo after $?" % (
            code, vendor, tool, code, vendor, tool, code, OWN, code, vendor), confined=False)
        got = [r["url"].split("?")[1] for r in arrived(w, mark) if "?" in r["url"]]
        said = dict(line.split() for line in out.split("\n") if len(line.split()) == 2 and line.split()[0] in ("plain", "tool", "org", "after"))
        if got != ["plain", "after"] or said.get("tool") == "0" or said.get("org") != "0":
            bad.append("%s: %s %s" % (who, got, out[-300:]))
    r = W.sh(W.BUILD + "/crmfence", "exec", "--control", w.control, "--tool", "browser", "--", "/bin/true", check=False)
    bad += [] if r.returncode and "seen, not confined" in r.stdout else ["exec of it: %d %s" % (r.returncode, r.stdout)]
    want = {("voice-assistant", "start"): 5, ("voice-assistant", "end"): 4, ("voice-assistant", "refuted"): 1, ("browser", "start"): 1, ("browser", "end"): 1}
    for _ in range(15):  # an end is written a second later, a busy machine's later still
        rows = w.rows("session")
        sessions = [(x["tool"], x["change"]) for x in rows]
        if all(sessions.count(k) >= n for k, n in want.items()):
            break
        time.sleep(1)
    w.stop()
    bad += [] if {x["tool"]: x.get("confined", True) for x in rows if x["change"] == "start"} == {"browser": False, "voice-assistant": True} else ["confined: %s" % rows]
    bad += [] if {k: sessions.count(k) for k in want} == want else ["sessions: %s" % sessions]
    # what such a browser has open stays open when an agent comes, and through a reload
    ask = "exec 3<>/dev/tcp/%s/80; sleep 3; printf 'GET /open HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n' >&3; head -c 12 <&3; " % W.AI
    p = w.popen(shell, "-c", ask + ask, confined=False)
    time.sleep(1)
    w.start("--quiet", **t)
    time.sleep(3)
    W.sh(W.BUILD + "/crmfence", "reload", "--control", w.control)
    out = p.communicate(timeout=20)[0]
    w.stop()
    return bad + ([] if out.count("HTTP/1.1 200") == 2 else ["open through a start and a reload: %r" % out])


def browser_policy(w):
    """Chromium holds a listed extension to the managed policy: its JSON goes to the org and no longer to a vendor. Without it, to both."""
    if not shutil.which("chromium"):
        return "chromium is not installed"
    where, bad = w.dir + "/ext-listed", []
    os.mkdir(where)
    listed = "".join(chr(ord("a") + int(c, 16)) for c in hashlib.sha256(where.encode()).hexdigest()[:32])
    with open(where + "/manifest.json", "w") as f:
        json.dump({"manifest_version": 3, "name": "listed", "version": "1", "background": {"service_worker": "sw.js"}, "host_permissions": ["<all_urls>"]}, f)
    with open(where + "/sw.js", "w") as f:
        f.write("(async()=>{for(let i=0;i<3;i++)for(const h of ['api.ai-vendor.example','acme.my.salesforce.com'])"
                "await fetch('https://'+h+'/listed',{method:'POST',headers:{'Content-Type':'application/json'},body:'{}'}).catch(()=>{})})()")
    policy = w.policy(browser={"extensions": [listed]}, tools=[{"name": "voice-assistant", "allow": ["crm.own"]}])
    over = "/etc/netns/%s/chromium" % w.lap  # what `ip netns exec` lays over /etc/chromium
    for managed in (False, True):
        if managed:
            os.makedirs(over)
            r = W.sh(W.BUILD + "/crmfence", "policy", "browser", policy, "--browser", "chromium", check=False)
            os.makedirs(over + "/policies/managed")
            with open(over + "/policies/managed/crmfence.json", "w") as f:
                f.write(r.stdout)
        cmd = chromium(w, 1, ROW + "?t=page")
        cmd[1:1] = ["--load-extension=" + where, "--disable-features=DisableLoadExtensionCommandLineSwitch"]
        cmd = [c for c in cmd if c != "--dump-dom"]
        mark = len(arrived(w))
        p = w.popen(*cmd, confined=False, stdin_fd=subprocess.PIPE)
        deadline = time.monotonic() + 25
        while time.monotonic() < deadline and len([r for r in arrived(w, mark) if r["url"] == "/listed" and r["host"].startswith("acme")]) < 2:
            time.sleep(0.3)
        p.terminate()
        p.communicate(timeout=20)
        posts = [r["host"] for r in arrived(w, mark) if r["url"] == "/listed" and r["method"] == "POST"]
        want = {"acme.my.salesforce.com"} | (set() if managed else {"api.ai-vendor.example"})
        if set(posts) != want:
            bad.append("managed %s: %s" % (managed, [(r["method"], r["host"]) for r in arrived(w, mark)]))
    shutil.rmtree(over)
    return bad


ALONE = [sight_sandbox, sight_listed, sight_sole, sight_tool_inside, sight_extensions, sight_addon, browser_policy]
