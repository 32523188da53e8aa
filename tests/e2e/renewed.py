# SPDX-License-Identifier: Apache-2.0
"""What was judged is judged again, and what one reader takes for the end is the end for all: streams that are silent while the policy
changes, real proxies that read a request otherwise, a proxy whose refusal holds the session's own words; and a session that makes
refusals by the thousand beside another. Cases for run.py."""
import json
import os
import shutil
import subprocess
import time

import world as W
from packets import FLAVOURS, Ground
from world import AI, DNS, PROXY, script, token

STAY = r'''
import socket, struct, sys, time
how, tok = sys.argv[1], sys.argv[2].encode()
post = b"POST /x HTTP/1.1\r\nHost: plain.acme.example\r\nContent-Length: %d\r\n\r\n%s" % (len(tok), tok)
def ask():
    print("open", flush=True)
    sys.stdin.readline()
try:
    if how in ("plain", "open"):
        s = socket.create_connection(("plain.acme.example", 80), 5)
        if how == "open":  # it has said something before
            s.send(b"POST /x HTTP/1.1\r\nHost: plain.acme.example\r\nContent-Length: 99999\r\n\r\n")
        ask()
        s.send(tok if how == "open" else post)
    elif how == "resolver":
        q = struct.pack("!HHHHHH", 7, 256, 1, 0, 0, 0) + b"".join(bytes([len(x)]) + x for x in (b"acme--" + tok, b"vf", b"force", b"com")) + b"\0" + struct.pack("!HH", 1, 1)
        s = socket.create_connection(("10.99.0.53", 53), 5)
        ask()
        s.send(struct.pack("!H", len(q)) + q)
    else:
        s = socket.create_connection(("proxy.acme.example", 3128), 5)
        if how == "body":
            s.send(b"POST http://plain.acme.example/ HTTP/1.1\r\nHost: plain.acme.example\r\nContent-Length: 999999999\r\n\r\nab")
        if how == "granted":
            s.send(b"CONNECT plain.acme.example:80 HTTP/1.1\r\n\r\n")
            s.recv(100)
        ask()
        s.send({"body": tok, "granted": post, "idle": b"CONNECT acme.my.salesforce.com:443 HTTP/1.1\r\nX: %s\r\n\r\n" % tok}[how])
    s.settimeout(1)
    time.sleep(0.4)
    s.send(b"zz")
    print("sent")
except OSError as e:
    print("error", e)
'''

REFUSER = r'''
import socket, sys, threading
def pump(x, y):
    try:
        while True:
            d = x.recv(65536)
            if not d: break
            y.sendall(d)
    except OSError: pass
    y.close()
def refusal(say):
    how = sys.argv[2]
    if how.isdigit():
        return b"Transfer-Encoding: chunked\r\n\r\n%0*x\r\n%s\r\n0\r\n\r\n" % (int(how), len(say), say)
    if how == "identity":
        return b"Transfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n%s" % (len(say), say)
    return b"Content-Length: %0*d\r\n\r\n%s" % (int(how[1:]), len(say), say)
def serve(c):
    buf = b""
    while True:
        while b"\r\n\r\n" not in buf:
            d = c.recv(4096)
            if not d: return
            buf += d
        head, buf = buf.split(b"\r\n\r\n", 1)
        if b"Proxy-Authorization" not in head:
            say = head.split(b"X-Say: ")[1].split(b"\r\n")[0].replace(b"|", b"\r\n") if b"X-Say" in head else b"no"
            c.sendall(b"HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm=x\r\n" + refusal(say))
            continue
        h = head.split()[1].split(b":")
        u = socket.create_connection(({b"api.ai-vendor.example": "10.99.1.30", b"acme.my.salesforce.com": "10.99.1.10"}.get(h[0], "10.99.1.11"), int(h[1])))
        c.sendall(b"HTTP/1.1 200 ok\r\n\r\n")
        threading.Thread(target=pump, args=(u, c), daemon=True).start()
        pump(c, u)
        return
s = socket.socket()
s.setsockopt(1, 2, 1)
s.bind((sys.argv[1], 3150))
s.listen(50)
print("up", flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
'''
SAYER = r'''
import socket, sys, time
tok = sys.argv[1].encode()
s = socket.create_connection(("10.99.1.50", 3150), 5)
s.settimeout(2)
try:
    s.send(b"CONNECT plain.acme.example:80 HTTP/1.1\r\nX-Say: %s\r\n\r\n" % (b"|0||HTTP/1.1 200 ok|||" if sys.argv[2].isdigit() else b"HTTP/1.1 200 ok||"))
    time.sleep(0.4)
    s.recv(9999)
    s.send(b"CONNECT api.ai-vendor.example:80 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n")
    time.sleep(0.4)
    s.recv(9999)
    s.send(b"POST /x HTTP/1.1\r\nHost: api.ai-vendor.example\r\nContent-Length: %d\r\n\r\n%s" % (len(tok), tok))
    s.recv(30)
    print("sent")
except OSError as e:
    print("error", e)
'''
ASK = r'''
import socket, sys, time
s = socket.create_connection(("10.99.1.50", int(sys.argv[1])), 5)
s.settimeout(2)
try:
    s.send(sys.argv[2].encode().decode("unicode_escape").encode("latin1"))
    s.recv(1000)
    print("sent")
except OSError as e:
    print("error", e)
'''


def policy_between(w):
    """A stream that has not said everything, or nothing, while another policy comes: it is judged again by its address, and by what it said. What the new
    policy allows goes on."""
    g, bad = Ground(w), []
    stay = script(w, "stay.py", STAY)
    plain = {"host": "plain.acme.example", "ports": [80], "tls": False, "why": "x"}
    tool = {"name": "voice-assistant", "match": [{"exe": g.matched}]}
    before = dict(tools=[dict(tool, allow=["crm.own", plain])], proxies=[{"host": "proxy.acme.example", "port": 3128}])
    gone = dict(tools=[dict(tool, allow=["crm.own"])], resolvers=[DNS.replace("53", "54")])
    tls = dict(tools=[dict(tool, allow=["crm.own", {"host": "plain.acme.example", "ports": [80], "why": "x"}])])
    more = dict(tools=[dict(tool, allow=["crm.own", plain, {"host": "models.acme.example", "why": "x"}])], proxies=before["proxies"])

    def one(flavour, how, change, restart):
        tok = token()
        w.start("--quiet", **before)
        p = w.popen(g.matched if flavour == "match" else "/usr/bin/python3", stay, how, tok, confined=flavour == "exec", stdin_fd=subprocess.PIPE, uid=65534)
        if "open" not in p.stdout.readline():
            p.kill()
            w.stop()
            return None, "it did not open"
        if restart:
            w.agent.kill()
            w.agent.wait()
            os.unlink(w.control)
            w.start("--quiet", **change)
        else:
            w.policy(**change)
            W.sh(W.BUILD + "/crmfence", "reload", "--control", w.control)
        said = p.communicate("\n", timeout=20)[0].strip()
        time.sleep(0.2)
        got = w.arrived(tok) or (tok in open(w.dir + "/dns.log").read())
        w.stop()
        return got, said

    try:
        for flavour in FLAVOURS:
            for how in ("plain", "open", "body", "granted", "idle", "resolver"):
                got, said = one(flavour, how, gone, True)
                if got or got is None:
                    bad.append("%s, %s, another agent with another policy: %s, arrived %s" % (flavour, how, said, got))
            got, said = one(flavour, "plain", tls, False)
            if got or got is None:
                bad.append("%s, TLS is wanted from now on: %s, arrived %s" % (flavour, said, got))
            for how in ("plain", "open"):  # the twin
                got, said = one(flavour, how, more, False)
                if not got:
                    bad.append("%s, %s, a reload that allows more: %s" % (flavour, how, said))
    finally:
        g.close()
    return bad


def other_readers(w):
    """Real proxies that end a host elsewhere than others (tinyproxy), or go by Host (nginx as a forward proxy): what we take for the allowed host is it for them."""
    if not shutil.which("tinyproxy") or not shutil.which("nginx"):
        return "tinyproxy and nginx are not installed"
    g, bad, d = Ground(w), [], w.dir + "/px"
    ask = script(w, "ask.py", ASK)
    os.mkdir(d)
    os.chmod(d, 0o777)
    script(w, "px/tiny.conf", "Port 3140\nListen %s\nTimeout 60\nMaxClients 20\nUser nobody\nGroup nogroup\nConnectPort 443\nPidFile \"%s/tiny.pid\"\n" % (PROXY, d))
    script(w, "px/nginx.conf", "daemon off; master_process off; pid %s/nginx.pid; error_log %s/nginx.err; events {}\nhttp { access_log off; %s resolver %s ipv6=off;\n"
           "server { listen %s:3141; location / { proxy_pass http://$http_host$request_uri; } } }\n" % (
               d, d, " ".join("%s_temp_path %s;" % (x, d) for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")), DNS, PROXY))
    os.makedirs("/etc/netns/" + w.net, exist_ok=True)
    script(w, "px/resolv.conf", "nameserver %s\n" % DNS)
    shutil.copy(d + "/resolv.conf", "/etc/netns/%s/resolv.conf" % w.net)
    head = "POST http://plain.acme.example%s HTTP/1.%d\\r\\nHost: %s\\r\\nContent-Length: 12\\r\\n\\r\\nTOK"
    ways = [(3140, head % ("?@api.ai-vendor.example/x", 1, "plain.acme.example")), (3140, head % (":80?@api.ai-vendor.example/x", 1, "plain.acme.example")),
            (3141, head % ("/x", 1, "api.ai-vendor.example")), (3141, head % ("/x", 0, "api.ai-vendor.example"))]

    def one(flavour, port, text):
        tok = token()
        p = w.popen(g.matched if flavour == "match" else "/usr/bin/python3", ask, str(port), text.replace("TOK", tok), confined=flavour == "exec", uid=65534)
        said = p.communicate(timeout=20)[0].strip()
        time.sleep(0.2)
        return [r for r in map(json.loads, open(w.dir + "/arrived.jsonl")) if tok in json.dumps(r)], said
    try:
        w.spawn(w.net, shutil.which("tinyproxy"), "-d", "-c", d + "/tiny.conf")
        w.spawn(w.net, shutil.which("nginx"), "-c", d + "/nginx.conf", "-p", d)
        for port in (3140, 3141):
            w.wait(lambda p=port: W.sh("ip", "netns", "exec", w.net, "sh", "-c", "ss -ltnH sport = :%d" % p).stdout, "the proxy on %d" % port)
        for port, text in ways:
            got, said = one("bare", port, text)
            if not any(r.get("ip") in (AI, "fd99::30") for r in got):
                bad.append("does not leak bare: %d %s: %s" % (port, text, said))
        g.start(proxies=[{"host": PROXY, "port": p} for p in (3140, 3141)])
        for flavour in FLAVOURS:
            for port, text in ways:
                got, said = one(flavour, port, text)
                if got:
                    bad.append("%s, %d %s: %s, arrived %s" % (flavour, port, text, said, got))
            for port in (3140, 3141):  # the twin
                got, said = one(flavour, port, head % ("/x", 1, "plain.acme.example"))
                if not got:
                    bad.append("%s, %d, the allowed host: %s" % (flavour, port, said))
    finally:
        g.close()
        shutil.rmtree("/etc/netns/" + w.net, ignore_errors=True)
    return bad


def words_of_a_refusal(w):
    """A proxy whose 407 has the session's own words in its body: however its length is written, they are not taken for the proxy's 2xx."""
    g, bad = Ground(w), []
    say, refuser = script(w, "sayer.py", SAYER), script(w, "refuser.py", REFUSER)
    forms = ("1", "9", "16", "identity", "z1", "z20")

    def one(flavour, form, *command):
        log = open(w.dir + "/refuser.log", "w")
        pr = subprocess.Popen(["ip", "netns", "exec", w.net, "/usr/bin/python3", refuser, PROXY, form], stdout=log, stderr=log)
        try:
            w.wait(lambda: "up" in open(w.dir + "/refuser.log").read(), "the proxy")
            if command:
                return w.run(*command, confined=flavour == "exec")
            tok = token()
            p = w.popen(g.matched if flavour == "match" else "/usr/bin/python3", say, tok, form, confined=flavour == "exec", uid=65534)
            said = p.communicate(timeout=20)[0].strip()
            return w.arrived(tok), said
        finally:
            pr.terminate()
            pr.wait()
    try:
        for form in forms:
            got, said = one("bare", form)
            if not got:
                bad.append("%s does not leak bare: %s" % (form, said))
        g.start(proxies=[{"host": PROXY, "port": 3150}])
        for flavour in FLAVOURS:
            for form in forms:
                got, said = one(flavour, form)
                if got:
                    bad.append("%s, %s: %s, arrived %s" % (flavour, form, said, got))
        for form in ("1", "9", "z1", "z20"):  # the twin
            code, out = one("exec", form, "curl", "-sS", "-m", "8", "--proxy-anyauth", "-U", "u:pw", "-x", "http://%s:3150" % PROXY, "-o", "/dev/null", "-w", "%{http_code}",
                            "https://acme.my.salesforce.com/quiet")
            if code or out != "200":
                bad.append("curl behind such a proxy, %s: %d %r" % (form, code, out))
    finally:
        g.close()
    return bad


CROWD = r'''
import errno, resource, socket, sys, time
h = resource.getrlimit(7)[1]
resource.setrlimit(7, (h, h))
idle = [socket.socket() for _ in range(3000)]
end, n = time.time() + 12, 0
while time.time() < end:
    batch = []
    for _ in range(1500):
        s = socket.socket()
        s.setblocking(False)
        e = s.connect_ex(("10.99.0.2", 8443))
        n += e == errno.EINPROGRESS
        batch.append(s)
    time.sleep(0.3)
    for s in batch:
        s.close()
print(n)
'''


def crowd(w):
    """A session that makes refused connections by the thousand takes the network from nobody else: another session's calls, and the agent, go on."""
    g, bad = Ground(w), []
    crowding = script(w, "crowd.py", CROWD)
    try:
        g.start(heartbeat=5)
        p = w.popen("/usr/bin/python3", crowding, uid=65534)
        calls, end = [], time.time() + 12
        while time.time() < end:
            calls.append(w.run("curl", "-sS", "-m", "6", "-o", "/dev/null", "-w", "%{http_code}", "https://acme.my.salesforce.com/quiet", uid=65533))
            time.sleep(0.3)
        begun = p.communicate(timeout=60)[0].strip()
        wrong = [c for c in calls if c != (0, "200")]
        if wrong or len(calls) < 5 or not begun.isdigit() or int(begun) < 3000:
            bad.append("%d of %d calls beside %s refused connections fail: %s" % (len(wrong), len(calls), begun, wrong[:3]))
        if any(d["reason"] == "agent-silent" for d in w.rows("deny")):
            bad.append("the agent was taken for dead")
    finally:
        g.close()
    return bad


ALONE = [policy_between, other_readers, words_of_a_refusal, crowd]
