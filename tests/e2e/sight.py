# SPDX-License-Identifier: Apache-2.0
"""TLS sight, cases for run.py. The server's own log says what was asked; the agent's rows have to say the same, and no more."""
import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import world as W
from bpfmap import BpfMap

OWN = "https://acme.my.salesforce.com"
DATA = "/services/data/v60.0"
ROW = DATA + "/sobjects/Opportunity/006000000000001AAA"
TOKEN = "00D5f000000J2PK!AQ4AQIsecretsecretsecret"


def tools(w, sight=True, **more):
    tool = {"name": "voice-assistant", "match": [{"exe": w.dir + "/assistantd"}],
            "allow": ["crm.own", {"host": "models.acme.example", "why": "on-prem speech model"},
                                {"cidr": "%s/32" % W.OWN2, "ports": [443], "why": "a machine without a name"}]}
    if sight:
        tool["sight"] = True
    return dict(tools=[dict(tool, **more)],
                org={"my_domain": "acme", "sandboxes": ["uat"], "login_hosts": True, "org_ids": ["00D5f000000J2PK"]})


def arrived(w, since=0):
    rows = [json.loads(line) for line in open(w.dir + "/arrived.jsonl")]
    return [r for r in rows if "url" in r][since:]


def kind(body):
    if not isinstance(body, str):
        return "application/json"
    return "text/xml" if body[0] == "<" else "text/csv" if body.startswith("Id,") else "application/x-www-form-urlencoded"


def curl(w, version, method, path, body, *more):
    cmd = ["curl", "-sS", "--" + version, "-o", "/dev/null", "-X", method, "-H", "Authorization: Bearer " + TOKEN]
    if body is not None:
        cmd += ["-H", "Content-Type: " + kind(body),
                "--data-binary", body if isinstance(body, str) else json.dumps(body)]
    return w.run(*cmd, *more, OWN + path)


PY = """
import http.client, ssl, sys
n, url = int(sys.argv[1]), sys.argv[2]
c = http.client.HTTPSConnection("acme.my.salesforce.com", context=ssl.create_default_context())
for i in range(n):
    c.request("GET", url + "&i=%d" % i)
    c.getresponse().read()
"""

ASYNC = """
import asyncio, ssl, sys
async def main(n, url):
    r, w = await asyncio.open_connection("acme.my.salesforce.com", 443, ssl=ssl.create_default_context())
    for i in range(n):
        w.write(("GET %s&i=%d HTTP/1.1\\r\\nHost: acme.my.salesforce.com\\r\\n\\r\\n" % (url, i)).encode())
        head = await r.readuntil(b"\\r\\n\\r\\n")
        if b"chunked" in head.lower():
            while True:
                size = int(await r.readline(), 16)
                await r.readexactly(size + 2)
                if not size:
                    break
        else:
            length = [l for l in head.lower().split(b"\\r\\n") if l.startswith(b"content-length")]
            await r.readexactly(int(length[0].split(b":")[1]))
    w.close()
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""

NODE = {
    "https": "const h=require('https'),a=new h.Agent({keepAlive:true,maxSockets:1});let i=0;(function go(){if(i==n)return process.exit(0);"
             "h.get({host:'acme.my.salesforce.com',path:u+'&i='+i++,agent:a},r=>{r.resume();r.on('end',go)})})()",
    "http2": "const c=require('http2').connect('https://acme.my.salesforce.com');let i=0;(function go(){if(i==n)return process.exit(0);"
             "const s=c.request({':path':u+'&i='+i++});s.resume();s.on('end',go);s.end()})()",
    "fetch": "(async()=>{for(let i=0;i<n;i++)await(await fetch('https://acme.my.salesforce.com'+u+'&i='+i)).text();process.exit(0)})()",
}

GO = """package main
import ("fmt"; "io"; "net/http"; "os"; "strconv")
func main() {
	n, _ := strconv.Atoi(os.Args[1])
	for i := 0; i < n; i++ {
		r, err := http.Get(fmt.Sprintf("https://acme.my.salesforce.com%s&i=%d", os.Args[2], i))
		if err != nil { fmt.Println(err); os.Exit(1) }
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
}
"""

BUN = W.ROOT + "/tests/e2e/node_modules/@oven/bun-linux-x64/bin/bun"

DENO = W.ROOT + "/tests/e2e/node_modules/@deno/linux-x64-glibc/deno"


def deno(w, script, *args):
    return ["env", "DENO_DIR=%s/deno" % w.dir, "DENO_NO_UPDATE_CHECK=1", DENO, "run", "--no-remote", "-A", "--unsafely-ignore-certificate-errors",
            "%s/%s" % (w.dir, script), *args]


def programs(w):
    """name, stack, method of mapping, and how it is started for n requests of a path."""
    go, stripped = w.dir + "/goclient", w.dir + "/gostripped"
    with open(w.dir + "/sight.go", "w") as f:
        f.write(GO)
    have = {n: shutil.which(n) for n in ("go", "chromium")}
    for out, flags in ((go, []), (stripped, ["-ldflags", "-s -w"])) if have["go"] else ():
        subprocess.run(["go", "build"] + flags + ["-o", out, w.dir + "/sight.go"], check=True, cwd=w.dir,
                       env=dict(os.environ, HOME=w.dir, GOFLAGS="-mod=mod", GO111MODULE="off"))
    many = lambda n, u: ["%s%s&i=%d" % (OWN, u, i) for i in range(n)]  # noqa: E731
    out = {
        "curl h1": ("OpenSSL", "exact", lambda n, u: ["curl", "-sS", "--http1.1", "-o", "/dev/null", "%s%s&i=[1-%d]" % (OWN, u, n)]),
        "curl h2": ("OpenSSL", "exact", lambda n, u: ["curl", "-sS", "--http2", "-o", "/dev/null", "%s%s&i=[1-%d]" % (OWN, u, n)]),
        "python ssl": ("OpenSSL", "exact", lambda n, u: ["python3", "-c", PY, str(n), u]),
        "python asyncio": ("OpenSSL", "exact", lambda n, u: ["python3", "-c", ASYNC, str(n), u]),
        "wget": ("GnuTLS", "exact", lambda n, u: ["wget", "-q", "-O", "/dev/null", "--ca-certificate=" + w.dir + "/cert.pem"] + many(n, u)),
        "go": ("Go", "exact", lambda n, u: [go, str(n), u]),
        "go stripped": ("Go", "exact", lambda n, u: [stripped, str(n), u]),
    }
    for name, script in NODE.items():
        out["node " + name] = ("OpenSSL", "exact", lambda n, u, s=script: ["node", "-e", "const n=%d,u='%s';" % (n, u) + s])
    for name in [n for n in out if n.startswith("go") and not have["go"]]:
        out[name] = "go is not installed"
    out["bun"] = "bun is not installed (npm ci in tests/e2e)" if not os.path.exists(BUN) else ("BoringSSL", "exact", lambda n, u: [
        BUN, "-e", "for(let i=0;i<%d;i++)await(await fetch('%s%s&i='+i,{tls:{rejectUnauthorized:false}})).text();process.exit(0)" % (n, OWN, u)])
    with open(w.dir + "/deno.js", "w") as f:
        f.write("const [n,u]=Deno.args;for(let i=0;i<n;i++)await(await fetch('%s'+u+'&i='+i)).text()" % OWN)
    out["deno"] = "deno is not installed (npm ci in tests/e2e)" if not os.path.exists(DENO) else ("rustls", "exact", lambda n, u: deno(w, "deno.js", str(n), u))
    out["firefox"] = "firefox-esr is not installed" if not shutil.which("firefox-esr") else ("NSPR", "exact", lambda n, u: firefox(w, n, u))
    out["chromium"] = "chromium is not installed" if not have["chromium"] else ("BoringSSL", "exact", lambda n, u: chromium(w, n, u))
    return out


def version(name):
    kind = name.split()[0]
    program = {"bun": BUN, "deno": DENO, "python": "python3", "firefox": "firefox-esr"}.get(kind, kind)
    said = W.sh(program, "version" if kind == "go" else "--version", check=False).stdout
    return re.search(r"\d+(\.\d+)+", said).group(0)


def sight_programs(w):
    """Every program, REQUESTS (60) over CONNECTIONS (3): each request seen once, on its own flow, with what the server answered."""
    total, conns = int(os.environ.get("REQUESTS", 60)), int(os.environ.get("CONNECTIONS", 3))
    out, table = {}, []
    w.start(**tools(w))
    for name, how in programs(w).items():
        if os.environ.get("PROGRAMS") and name not in os.environ["PROGRAMS"].split(","):
            continue
        if isinstance(how, str):
            out["sight-" + name.replace(" ", "-")] = how
            continue
        stack, mapping, start = how
        bad, mark, done = [], len(arrived(w)), max([r["id"] for r in w.rows()])
        url = ROW + "?t=" + name.replace(" ", "-")
        at_once = 4 if name in ("firefox", "chromium") else conns  # a browser is a dozen processes
        for begun in range(0, conns, at_once):
            ps = [w.popen(*start(total // conns, url)) for _ in range(min(at_once, conns - begun))]
            for p in ps:
                text, _ = p.communicate(timeout=120)
                bad += [] if p.returncode == 0 else ["exit %d: %s" % (p.returncode, text[-300:])]
        made = [r for r in arrived(w, mark) if "t=" + name.replace(" ", "-") in r["url"]]
        for _ in range(6):  # what a program leaves open is written when its last process ends
            rows = [r for r in w.rows() if r["id"] > done]
            seen = [r for r in rows if r["kind"] == "request" and r["path"] == ROW and r["status"] == 200]
            flows = {r["cookie"] for r in rows if r["kind"] == "flow" and "cookie" in r}
            ends = {r["cookie"] for r in seen} - flows
            if len(seen) >= len(made) and not ends:
                break
        right = [r for r in seen if r["authority"] == "acme.my.salesforce.com" and r["bytes_in"] > 0]
        exact = [r for r in seen if r["mapping"] == mapping or r["mapping"] == "exact"]
        stacks = {r["stack"] for r in rows if r["kind"] == "sight" and r["state"] == "attached"}
        how = sorted({r["how"] for r in rows if r["kind"] == "sight" and r["state"] == "attached" and r["stack"] == stack and r["how"] != "BIO_s_mem"})
        table.append({"program": name, "version": version(name), "stack": stack, "made": len(made), "seen": len(seen), "mapped": len(exact), "mapping": mapping,
                      "method": ", ".join(how), "connections": len({r["cookie"] for r in seen})})
        if len(made) != total // conns * conns:
            bad.append("the program made %d requests" % len(made))
        if len(seen) != len(made) or len(right) != len(made) or len(exact) != len(made):
            bad.append("made %d, seen %d, right %d, mapped %d" % (len(made), len(seen), len(right), len(exact)))
        blind = [r["plain_out"] for r in rows if r["kind"] == "flow" and r["state"] == "closed" and r.get("plain_out") == 0]
        bad += ["an alert: %s" % r for r in rows if r["kind"] == "alert" and "denial" not in r]  # a browser asks for much that is refused
        if blind and name not in ("firefox", "chromium"):  # they open connections that they do not use
            bad.append("%d connections of which nothing was seen" % len(blind))
        if stack not in stacks:
            bad.append("no probes for %s: %s" % (stack, stacks))
        if ends:
            bad.append("requests on no flow: %s" % ends)
        out["sight-" + name.replace(" ", "-")] = bad
    out["sight-untouched"] = ["told: %s" % r for r in w.rows("tamper")]  # its own programs are no strangers
    w.stop()
    with open(W.BUILD + "/tls.json", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in table)
    return out


def firefox(w, n, url):
    """A page that asks n times; the machine's policies make the test's CA known. It is ended, for it does not end by itself."""
    where, over = tempfile.mkdtemp(dir=w.dir), "/etc/netns/%s/firefox/policies" % w.lap  # `ip netns exec` lays it over /etc/firefox
    if not os.path.isdir("/etc/firefox"):
        os.mkdir("/etc/firefox")
        atexit.register(os.rmdir, "/etc/firefox")
    if not os.path.isdir(over):
        os.makedirs(over)
        with open(over + "/policies.json", "w") as f:
            json.dump({"policies": {"Certificates": {"Install": [w.dir + "/ca.pem"]}}}, f)
    with open(where + "/page.html", "w") as f:
        f.write("<script>(async()=>{for(let i=0;i<%d;i++)await(await fetch('%s%s&i='+i,{mode:'no-cors',cache:'no-store'})).text()})()</script>" % (n, OWN, url))
    return ["env", "HOME=" + where, "sh", "-c", "timeout -s TERM -k 5 %d firefox-esr --headless --no-remote --profile %s file://%s/page.html; true" % (20 + n // 20, where, where)]


def chromium(w, n, url):
    """A page of n images. They are no images, so Chromium resets their streams: those answers are cut, and said to be."""
    where = tempfile.mkdtemp(dir=w.dir)
    with open(where + "/page.html", "w") as f:
        f.write("".join("<img src='%s%s&i=%d'>" % (OWN, url, i) for i in range(n)))
    return ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--ignore-certificate-errors", "--user-data-dir=" + where + "/profile",
            "--dump-dom", "file://" + where + "/page.html"]


# What is asked, and what its rows have to say: (api, verb, object, ids, fields) each.


def on_wire(w, what="octets"):
    """TCP's payload that left for port 443, by the sniffer; "inside": of it, what is inside TLS."""
    return sum(f[what] for k, f in w.sniffed()["flows"].items() if k.endswith(" 6 443"))


FINISHED = (36, 52)  # octets of a TLS 1.3 client's Finished, by its hash; what it says comes behind


def sight_witness(w):
    """A request for a host that is not allowed, another org's credential, a credential to a host that is not the org's: held in the
    kernel, before they are encrypted. Another allowed host on the connection: told. A head that comes in two writes: cut by the agent."""
    out = {}
    w.start(**tools(w))
    kinds = {"authority": ([OWN + "/held/a", "-H", "Host: evil.my.salesforce.com"], "E003", "request-host"),
             "tenant": ([OWN + "/held/b", "-H", "Authorization: Bearer 00D000000000FRN!x"], "E003", "foreign-tenant"),
             "token": (["https://models.acme.example/held/c", "-H", "Authorization: Bearer " + TOKEN], "E014", "token-exposure"),
             "cookie": (["https://models.acme.example/held/d", "-H", "Cookie: a=b; sid=" + TOKEN], "E014", "token-exposure")}
    for version in ("http1.1", "http2"):
        for name, (args, rule, reason) in kinds.items():
            mark, done = len(arrived(w)), max([r["id"] for r in w.rows()])
            url = [a for a in args if a.startswith("https://")][0].split(".", 1)[1].split("/", 1)[1]
            w.run("curl", "-sS", "-m", "4", "-k", "--" + version, *args, confined=False)
            bad = [] if any(r["url"] == "/" + url for r in arrived(w, mark)) else ["it does not arrive without crmfence: %s" % arrived(w, mark)]
            mark, out_before = len(arrived(w)), on_wire(w, "inside")
            rc, text = w.run("curl", "-sS", "-m", "4", "--" + version, *args)
            rows = [r for r in w.rows() if r["id"] > done]
            got = [r for r in rows if r["kind"] == "alert"]
            denied = [r for r in rows if r["kind"] == "deny" and r["at"] == "request"]
            bad += [] if rule in [r["rule"] for r in got] else ["no %s: %s" % (rule, got)]
            bad += [] if rc and got and all(r["cut"] and r.get("held") for r in got) else ["not held, curl's exit %d %r: %s" % (rc, text, got)]
            bad += [] if [r["reason"] for r in denied] == [reason] else ["denials: %s" % denied]
            left = on_wire(w, "inside") - out_before  # nothing of HTTP/1.1, HTTP/2's preface and settings, which came before
            bad += [] if [left - n for n in FINISHED if left - n == got[0]["left"]] and got[0]["left"] < 100 else ["left: %s, by the sniffer %d" % (got, left)]
            bad += ["it arrived: %s" % arrived(w, mark)] if arrived(w, mark) else []
            out["sight-%s-%s" % (name, version)] = bad
    # the same by programs that write to memory first, or have a TLS of their own
    leak = {"python": ["python3", "-c", "import urllib.request as u\nu.urlopen(u.Request('https://models.acme.example/held/py',"
                       "headers={'Authorization':'Bearer %s'}),timeout=4)" % TOKEN],
            "node": ["node", "-e", "require('https').get({host:'models.acme.example',path:'/held/node',timeout:4000,headers:{authorization:'Bearer %s'}},"
                     "r=>process.exit(0)).on('error',()=>process.exit(1))" % TOKEN],
            "node-http2": ["node", "-e", "const c=require('http2').connect('https://models.acme.example');c.on('error',()=>process.exit(1));"
                           "const s=c.request({':path':'/held/node2',authorization:'Bearer %s'});s.on('error',()=>process.exit(1));s.on('response',()=>process.exit(0));s.end()" % TOKEN]}
    if os.path.exists(BUN):
        leak["bun"] = [BUN, "-e", "await fetch('https://models.acme.example/held/bun',{headers:{authorization:'Bearer %s'},tls:{rejectUnauthorized:false}})" % TOKEN]
    if os.path.exists(DENO):
        with open(w.dir + "/held.js", "w") as f:
            f.write("await fetch('https://models.acme.example/held/deno',{method:'POST',body:'x',headers:{authorization:'Bearer %s'}})" % TOKEN)
        leak["deno"] = deno(w, "held.js")
    if shutil.which("go"):
        with open(w.dir + "/held.go", "w") as f:
            f.write('package main\nimport ("net/http"; "os")\nfunc main() {\nr, _ := http.NewRequest("GET", "https://models.acme.example/held/go", nil)\n'
                    'r.Header.Set("Authorization", "Bearer %s")\nif _, err := http.DefaultClient.Do(r); err != nil { os.Exit(1) }\n}\n' % TOKEN)
        subprocess.run(["go", "build", "-o", w.dir + "/goheld", w.dir + "/held.go"], check=True, cwd=w.dir,
                       env=dict(os.environ, HOME=w.dir, GOFLAGS="-mod=mod", GO111MODULE="off"))
        leak["go"] = [w.dir + "/goheld"]
    for name, cmd in leak.items():
        mark, done = len(arrived(w)), max([r["id"] for r in w.rows()])
        w.run(*cmd, confined=False)
        bad = [] if len(arrived(w)) > mark else ["it does not arrive without crmfence"]
        mark = len(arrived(w))
        rc, text = w.run(*cmd)
        got = [r for r in w.rows("alert") if r["id"] > done]
        rc = rc or name == "node-http2"  # it ends without a word when its connection does
        # Go and rustls are seen before they encrypt: the agent may end the connection before there is anything to hold
        bad += [] if rc and [r["rule"] for r in got] == ["E014"] and (got[0].get("held") or (name in ("go", "deno") and got[0]["cut"])) else ["exit %d %r: %s" % (rc, text[-200:], got)]
        bad += ["it arrived: %s" % arrived(w, mark)] if arrived(w, mark) else []
        out["sight-held-" + name] = bad
    # fronting between two hosts that are both allowed is told, and goes on
    out["sight-coalesced"] = []
    for version in ("http1.1", "http2"):
        done = max([r["id"] for r in w.rows("alert")] or [0])
        rc, _ = w.run("curl", "-sS", "-m", "4", "--" + version, OWN + "/quiet/e", "-H", "Host: models.acme.example")
        got = [(r["rule"], r["name"], r["sni"], r["authority"], r["cut"]) for r in w.rows("alert") if r["id"] > done]
        out["sight-coalesced"] += [] if not rc and \
            got == [("E007", "name-unproved", "acme.my.salesforce.com", "models.acme.example", False)] else ["%s: exit %d, %s" % (version, rc, got)]
    # at an address that is listed itself no name is asked for
    done = max([r["id"] for r in w.rows()])
    rc, text = w.run("curl", "-sSk", "-m", "4", "--http1.1", "https://%s/quiet/g" % W.OWN2, "https://%s/quiet/h" % W.OWN2)
    got = [r for r in w.rows() if r["id"] > done and (r["kind"] == "alert" or r["kind"] == "deny" and r["at"] == "request" or
                                                       r["kind"] == "flow" and r["action"] == "deny")]
    out["sight-listed-address"] = [] if not rc and not got else ["exit %d %r, %s" % (rc, text, got)]
    # a head in two writes is the agent's to see; what its writer went on to write until it was cut is told as it was on the wire
    out["sight-head-in-two"] = bad = []
    for pause in (0.01, 0.0002):
        done, wire = max(r["id"] for r in w.rows()), on_wire(w)
        p = w.popen("python3", "-c", "import socket,ssl,time\ns=ssl.create_default_context().wrap_socket(socket.create_connection(('models.acme.example',443)),"
                    "server_hostname='models.acme.example')\ns.send(b'POST /quiet/f HTTP/1.1\\r\\nHost: models.acme.example\\r\\nAuthor')\n"
                    "s.send(b'ization: Bearer %s\\r\\nContent-Length: 999999999\\r\\n\\r\\n')\n"
                    "for i in range(400):\n s.send(b'x'*100)\n time.sleep(%s)" % (TOKEN, pause))
        p.communicate(timeout=20)
        rows = [r for r in w.rows() if r["id"] > done]
        got = [r for r in rows if r["kind"] == "alert"]
        wire, said = on_wire(w) - wire, [r["bytes_out"] for r in rows if r["kind"] == "flow" and r["state"] == "closed" and r["port"] == 443]
        bad += [] if p.returncode and [r["rule"] for r in got] == ["E014"] and got[0]["cut"] and not got[0].get("held") and \
            got[0]["left"] > 100 and 0 < got[0]["cut_us"] < 5000 else ["exit %d: %s" % (p.returncode, got)]
        bad += [] if said == [wire] and wire > 300 else ["the sniffer saw %d octets, the flow's row says %s" % (wire, said)]
    done = max([r["id"] for r in w.rows("alert")] or [0])
    rc, _ = curl(w, "http2", "GET", ROW, None)
    out["sight-no-false-alarm"] = [] if not rc and not [r for r in w.rows("alert") if r["id"] > done] else ["an alert, or exit %d" % rc]
    w.stop()
    return out


def sight_off(w):
    """Without "sight" nothing is probed; with it, a process outside the session is not."""
    bad = []
    for sight in (False, True):
        w.start(**tools(w, sight))
        w.run("curl", "-sS", OWN + "/quiet/x", confined=not sight)
        rows = w.rows()
        if [r for r in rows if r["kind"] == "request" or r["kind"] == "sight" and "pid" in r]:
            bad.append("sight %s: rows of %s" % (sight, "an unconfined process" if sight else "a tool without sight"))
        status = json.loads(w.run(W.BUILD + "/crmfence", "status", "--json", "--control", w.control, confined=False)[1])
        if status["sight"]["on"] != sight or status["sight"]["probes"]:
            bad.append("status: %s" % status["sight"])
        w.stop()
    return bad

DECOY = """
#include <sys/socket.h>
#include <stddef.h>
static int at[2]; static unsigned n;
#define ZERO(name) int name(void) { return 0; }
ZERO(gnutls_anon_allocate_client_credentials) ZERO(gnutls_anon_allocate_server_credentials) ZERO(gnutls_priority_set_direct)
ZERO(gnutls_credentials_set) ZERO(gnutls_handshake) ZERO(gnutls_deinit)
int gnutls_init(void **s, unsigned f) { *s = &at[n++]; return 0; }
void gnutls_transport_set_int2(int *s, int in, int out) { *s = in; }
long gnutls_record_recv(int *s, void *p, size_t len) { return recv(*s, p, len, 0); }
long gnutls_record_send2(int *s, const void *p, size_t len) { return send(*s, p, len, 0) + 1; }
long NAME(int *s, const void *p, size_t len) { return SEND; }
"""

LATER = """
import http.client, ssl, sys
print("ready", flush=True)
sys.stdin.readline()
c = http.client.HTTPSConnection("acme.my.salesforce.com", context=ssl.create_default_context())
c.request("GET", sys.argv[1])
c.getresponse().read()
"""

GO_LATER = """package main
import ("bufio"; "fmt"; "net/http"; "os")
func main() {
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString(10)
	if _, err := http.Get("https://acme.my.salesforce.com" + os.Args[1]); err != nil { os.Exit(1) }
}
"""


def go_later(w):
    with open(w.dir + "/later.go", "w") as f:
        f.write(GO_LATER)
    subprocess.run(["go", "build", "-o", w.dir + "/golater", w.dir + "/later.go"], check=True, cwd=w.dir, env=dict(os.environ, HOME=w.dir, GO111MODULE="off"))
    return w.dir + "/golater"


def sight_discovery(w):
    """A library is found where the process has it: deleted since, put in another's place by an update, in a mount namespace of its own, in a
    program that runs already and is loaded at a low address; the first request is seen."""
    libs, bad = w.dir + "/libs", []
    with open(w.dir + "/later.py", "w") as f:
        f.write(LATER)
    go_later(w)

    def copies():
        shutil.rmtree(libs, ignore_errors=True)
        os.mkdir(libs)
        for lib in ("libssl.so.3", "libcrypto.so.3"):
            shutil.copy("/usr/lib/x86_64-linux-gnu/" + lib, libs)

    def join(p):
        rc = W.sh(W.BUILD + "/crmfence", "join", "--control", w.control, "--tool", "voice-assistant", str(p.pid), check=False)
        bad.extend([] if rc.returncode == 0 else ["join: %s" % rc.stderr])

    def ask(what, stack, cmd, between=None, env=None, path=None, **kw):
        done = max([r["id"] for r in w.rows()] or [0])
        p = w.popen(*cmd, ROW + "?t=" + what, stdin_fd=subprocess.PIPE, env=env, **kw)
        if p.stdout.readline() != "ready\n":
            bad.append("%s: %s" % (what, p.communicate("\n")[0][-300:]))
            return
        if between:
            between(p)
        out = p.communicate("\n", timeout=20)[0]
        rows = [r for r in w.rows() if r["id"] > done]
        got = [(r["path"], r["status"], r["mapping"], r.get("late")) for r in rows if r["kind"] == "request"]
        where = {r["path"] for r in rows if r["kind"] == "sight" and r.get("stack") == stack and r["state"] == "attached"}
        bad.extend([] if p.returncode == 0 and got == [(ROW, 200, "exact", None)] and (not path or path in where) else [
            "%s: exit %d %s; %s; %s" % (what, p.returncode, out[-200:], got, where)])
    w.start(**tools(w))
    copies()
    theirs, later = {"LD_LIBRARY_PATH": libs}, ["python3", w.dir + "/later.py"]
    ask("deleted", "OpenSSL", later, lambda p: (shutil.rmtree(libs), join(p)), theirs, libs + "/libssl.so.3 (deleted)", confined=False)
    for what in ("first", "replaced"):  # another inode at the same path
        copies()
        ask(what, "OpenSSL", later, env=theirs, path=libs + "/libssl.so.3")
    inside = "mount -t tmpfs none %s && cp -t %s /usr/lib/x86_64-linux-gnu/libssl.so.3 /usr/lib/x86_64-linux-gnu/libcrypto.so.3 && exec %s/crmfence exec " \
             '--control %s --tool voice-assistant -- env LD_LIBRARY_PATH=%s python3 %s/later.py "$0"' % (libs, libs, W.BUILD, w.control, libs, w.dir)
    # the system's library once more, below a container's overlay: the same inode, by another name and device
    over = "mount -t tmpfs none %s && cd %s && mkdir u w m l && mount -t overlay -o lowerdir=/usr/lib/x86_64-linux-gnu,upperdir=u,workdir=w none m && " \
           'ln -s ../m/libssl.so.3 ../m/libcrypto.so.3 l && exec %s/crmfence exec --control %s --tool voice-assistant -- env LD_LIBRARY_PATH=%s/l python3 %s/later.py "$0"' % (
               libs, libs, W.BUILD, w.control, libs, w.dir)
    ask("overlay", "OpenSSL", ["unshare", "-m", "sh", "-c", over], path=libs + "/m/libssl.so.3", confined=False)
    ask("namespace", "OpenSSL", ["unshare", "-m", "sh", "-c", inside], path=libs + "/libssl.so.3", confined=False)
    ask("running", "Go", [w.dir + "/golater"], join, path=w.dir + "/golater", confined=False)
    fds = "/proc/%d/fd/" % w.agent.pid
    kept = lambda: [os.readlink(fds + n) for n in os.listdir(fds) if os.path.islink(fds + n) and "/libs/" in os.readlink(fds + n)]  # noqa: E731
    end = time.monotonic() + 10
    while any("deleted" in k for k in kept()) and time.monotonic() < end:
        time.sleep(0.2)
    bad += ["the agent keeps what is deleted: %s" % kept()] if any("deleted" in k for k in kept()) else []
    # who looks into files is ended: a file that is new is said not to be seen, what is known goes on to be, and the agent is idle
    keeper = [p for p in W.sh("pgrep", "-P", str(w.agent.pid)).stdout.split() if open("/proc/%s/comm" % p).read().startswith("crmfenced-look")]
    for p in keeper + W.sh("pgrep", "-P", keeper[0]).stdout.split():
        os.kill(int(p), signal.SIGKILL)
    spent = lambda: sum(map(int, open("/proc/%d/stat" % w.agent.pid).read().split()[13:15]))  # noqa: E731
    before = spent()
    time.sleep(2)
    bad += ["the agent spins: %d of 200 ticks" % (spent() - before)] if spent() - before > 50 else []
    ask("system's", "OpenSSL", later)
    copies()
    w.run("env", "LD_LIBRARY_PATH=" + libs, "curl", "-sS", OWN + ROW)
    told = [r["how"] for r in w.rows("sight") if r["state"] == "refused"]
    bad += [] if told and all("restart the agent" in t for t in told) else ["told: %s" % told]
    w.stop()
    return bad


STOPPER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
int close_range(unsigned first, unsigned last, int flags)  /* what it calls first when it is confined, and may not signal later */
{
	if (!strcmp(program_invocation_short_name, "crmfence"))
		kill(atoi(getenv("STOP")), SIGSTOP);
	return ((int (*)(unsigned, unsigned, int))dlsym(RTLD_NEXT, "close_range"))(first, last, flags);
}
"""


PEEK = """
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#define ASKED "GET /x HTTP/1.1\\r\\nHost: models.acme.example\\r\\n\\r\\n"
int main(int argc, char **argv)
{
	BIO *b = BIO_new_ssl_connect(SSL_CTX_new(TLS_client_method()));
	char got[100] = "";
	int n;
	SSL *s;
	(void)argc;
	BIO_get_ssl(b, &s);
	SSL_set_tlsext_host_name(s, "models.acme.example");
	BIO_set_conn_hostname(b, "models.acme.example:8443");
	if (BIO_do_connect(b) != 1 || SSL_write(s, ASKED, sizeof(ASKED) - 1) <= 0)
		return 1;
	puts("asked");
	fflush(stdout);
	getchar();
	if (argv[1][0] == 'p' && SSL_peek(s, got, 10) != 10)
		return 2;
	n = SSL_read(s, got, sizeof(got) - 1);
	return n != 43 || strcmp(got + 38, "hello");
}
"""


def sight_inside(w):
    """OpenSSL's read is probed from inside: what is only peeked at is not taken for what was read, and what comes while the server renegotiates,
    which the library reads by another way, is seen like all else."""
    bad, client = [], w.dir + "/peek"
    with open(client + ".c", "w") as f:
        f.write(PEEK)
    W.sh("gcc", "-w", "-o", client, client + ".c", "-lssl", "-lcrypto")
    policy = tools(w)
    policy["tools"][0]["allow"] = [{"host": "models.acme.example", "ports": [8443], "why": "on-prem speech model"}]
    w.start("--quiet", **policy)
    for how in ("read", "peek"):
        for again in (False, True):
            done = max(r["id"] for r in w.rows())
            server = subprocess.Popen(["ip", "netns", "exec", w.net, "openssl", "s_server", "-accept", W.SHARED + ":8443", "-tls1_2", "-naccept", "1",
                                       "-key", w.dir + "/key.pem", "-cert", w.dir + "/cert.pem"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                w.wait(lambda: "8443" in W.sh("ip", "netns", "exec", w.net, "ss", "-ltn").stdout, "the server")
                p = w.popen(client, how, stdin_fd=subprocess.PIPE)
                said = [p.stdout.readline()]
                for text in (["r\n"] if again else []) + ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]:
                    server.stdin.write(text)
                    server.stdin.flush()
                    time.sleep(0.3)  # both are there when it reads
                said += p.communicate("\n", timeout=20)
            finally:
                server.kill()
                log = server.communicate()[0]
            rows = [(r["status"], r["bytes_in"], r["mapping"], r.get("cut")) for r in w.rows("request") if r["id"] > done]
            lost = [r for r in w.rows() if r["id"] > done and r["kind"] in ("gap", "stream")]
            bad += [] if p.returncode == 0 and rows == [(200, 5, "exact", None)] and not lost else [
                "%s, renegotiated %s: exit %d %s; %s; lost %s; %s" % (how, again, p.returncode, said, rows, lost, log[-300:])]
            bad += [] if ("SSL_do_handshake -> 1" in log) == again else ["renegotiated %s: %s" % (again, log[-300:])]
    w.stop()
    return bad


def sight_first(w):
    """A program with its TLS linked in, started by `crmfence exec`, has probes before its first instruction: its request is seen though the agent
    stands still from just before its exec until it has ended; and so it is when nobody had looked into its file."""
    program, bad = go_later(w), []
    with open(w.dir + "/stopper.c", "w") as f:
        f.write(STOPPER)
    W.sh("gcc", "-shared", "-fPIC", "-o", w.dir + "/stopper.so", w.dir + "/stopper.c", "-ldl")
    w.start(**tools(w))
    for what, env in (("new", {}), ("stopped", {"LD_PRELOAD": w.dir + "/stopper.so", "STOP": str(w.agent.pid)})):
        done = max(r["id"] for r in w.rows())
        try:
            rc, text = w.run(os.path.basename(program), ROW, env=dict(env, PATH="/nowhere::%s:%s" % (w.dir, os.environ["PATH"])))
            still = open("/proc/%d/stat" % w.agent.pid).read().split()[2]
        finally:
            os.kill(w.agent.pid, signal.SIGCONT)
        got = [(r["status"], r["mapping"], r.get("late")) for r in w.rows("request") if r["id"] > done]
        bad += [] if rc == 0 and got == [(200, "exact", None)] and (still == "T") == bool(env) else ["%s: exit %d %s; %s; the agent %s" % (what, rc, text[-200:], got, still)]
    w.stop()
    return bad


def sight_tried(w):
    """Each system library is tried at start: a child speaks through it. One whose writes do not pass the place that was found is refused, one
    that cannot be loaded is said to be untried, and the others are seen all the same."""
    lib, bad = "/usr/lib/x86_64-linux-gnu/libgnutls.so.30", []
    swap = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', w.dir + "/decoy.so", lib, W.BUILD + "/crmfenced"]
    for what, name, how, want in (("nothing", "", "", "tried"),
                                  ("a wrong place", "gnutls_record_send", "send(*s, p, len, 0)", "refused"),
                                  ("no such function", "gnutls_record_sent", "0", "untried")):
        with open(w.dir + "/decoy.c", "w") as f:
            f.write(DECOY.replace("NAME", name).replace("SEND", how))
        if name:
            W.sh("gcc", "-shared", "-fPIC", "-O1", "-w", "-o", w.dir + "/decoy.so", w.dir + "/decoy.c")
        w.start(**tools(w), **({"prefix": swap} if name else {}))
        rows = {r["stack"]: (r["state"], r["how"]) for r in w.rows("sight")}
        w.run("curl", "-sS", OWN + ROW)
        seen = len(w.rows("request"))
        w.stop()
        bad += [] if rows["GnuTLS"][0] == want and rows["OpenSSL"][0] == rows["NSPR"][0] == "tried" and seen == 1 else ["%s: %s, %d seen" % (what, rows, seen)]
    said = open(w.dir + "/agent.log").read()
    return bad + ([] if said.count("the TLS of %s is not seen: what a probed child said did not come" % lib) == 1 else ["not said: %s" % said[-500:]])


def sight_kept(w):
    """Where the system's libraries and the policy's programs are probed is found once and kept on disk: the next start looks into none of them
    again, but into what has changed; a file of offsets that is damaged, or that others can write, is not used, and what they own is not kept."""
    program, kept, bad = go_later(w), w.dir + "/tls-offsets", []
    theirs = shutil.copy(program, w.dir + "/theirs")
    os.chown(theirs, 1000, 1000)

    def start():
        w.start(**tools(w, match=[{"exe": theirs}, {"exe": program}]))  # theirs first: it is not to keep root's from being kept
        return status()

    def status():
        return json.loads(W.sh(W.BUILD + "/crmfence", "status", "--json", "--control", w.control).stdout)["sight"]

    def begin(what, looked, known, said=None):
        at = os.path.getsize(w.dir + "/agent.log")
        s = start()
        p = w.popen(program, ROW, stdin_fd=subprocess.PIPE, confined=False)  # recognised by its file
        w.wait(lambda: status()["probes"], "probes")
        p.communicate("\n", timeout=20)
        rows = [(r["status"], r["mapping"], r.get("late")) for r in w.rows("request")]
        tried = {r["stack"]: r["state"] for r in w.rows("sight") if r["state"] in ("tried", "refused", "untried")}
        w.stop()
        log = open(w.dir + "/agent.log").read()[at:]
        got, want = (s["looked"], s["known"]), (looked, known)
        bad.extend([] if got == want and p.returncode == 0 and rows == [(200, "exact", None)] and set(tried.values()) == {"tried"}
                   and ("looked into anew" in log) == bool(said) and (said or "") in log else [
                       "%s: looked, known %s, not %s; %s %s %s" % (what, got, want, rows, tried, log[-300:] if said else "")])

    if os.path.exists(kept):
        os.unlink(kept)
    n = start()["looked"]
    w.stop()
    mode = os.stat(kept)
    bad += [] if n >= 6 and (mode.st_mode & 0o777, mode.st_uid) == (0o600, 0) else ["the first start looked into %d; %o" % (n, mode.st_mode)]
    begin("again", 1, n - 1)  # theirs alone
    with open(program, "r+b") as f:  # in its place, with its build id
        f.seek(0, 2)
        f.write(b"\0")
    begin("changed", 2, n - 2)
    begin("changed, again", 1, n - 1)
    with open(kept, "r+b") as f:
        f.seek(200)
        byte = f.read(1)[0]
        f.seek(200)
        f.write(bytes([byte ^ 1]))
    begin("damaged", n, 0, "tls-offsets is damaged")
    begin("mended", 1, n - 1)
    os.truncate(kept, os.path.getsize(kept) - 1)
    begin("cut short", n, 0, "tls-offsets is damaged")
    os.chmod(kept, 0o666)
    begin("anybody's", n, 0, "is not a file that root alone can write")
    begin("root's again", 1, n - 1)
    os.unlink(kept)
    os.symlink("/nowhere", kept)
    begin("a link", n, 0, "is not a file that root alone can write")
    begin("at the end", 1, n - 1)
    return bad


def sight_opaque(w):
    """A TLS stack that we do not know: its request arrives and is not seen, and that is told, by its flow, an alert, status and report."""
    w.start(**tools(w))
    asked, bad = "GET %s?x=%s HTTP/1.1\r\nHost: acme.my.salesforce.com\r\nConnection: close\r\n\r\n" % (ROW, "o" * 5000), []

    def ask(*cmd):
        done = max([r["id"] for r in w.rows()] or [0])
        there = len(arrived(w))
        rc, text = w.run(*cmd)
        w.wait(lambda: any(r["kind"] == "flow" and r["id"] > done and r["state"] == "closed" and r["port"] == 443 for r in w.rows()), "the flow's end")
        rows = [r for r in w.rows() if r["id"] > done]
        bad.extend([] if rc == 0 else ["%s: exit %d %s" % (cmd[0], rc, text[-200:])])
        return (len(arrived(w)) - there, len([r for r in rows if r["kind"] == "request"]), [r["name"] for r in rows if r["kind"] == "alert"],
                [min(r.get("plain_out", -1), 100) for r in rows if r["kind"] == "flow" and r["port"] == 443 and r["state"] == "closed"])
    botan = "printf '%s' | botan tls_client acme.my.salesforce.com --trusted-cas=%s/cert.pem --skip-system-cert-store >/dev/null; sleep 0.2"
    for what, cmd, want in (("curl", ("curl", "-sS", "-o", "/dev/null", OWN + ROW + "?x=" + "o" * 5000), (1, 1, [], [100])),
                            ("idle", ("sh", "-c", "openssl s_client -connect acme.my.salesforce.com:443 -servername acme.my.salesforce.com </dev/null >/dev/null 2>&1"),
                             (0, 0, [], [0])),
                            ("botan", ("sh", "-c", botan % (asked.replace("\r\n", "\\r\\n"), w.dir)), (1, 0, ["opaque"], [0]))):
        got = ask(*cmd)
        bad += [] if got == want else ["%s: %s" % (what, got)]
    s = json.loads(W.sh(W.BUILD + "/crmfence", "status", "--json", "--control", w.control).stdout)["sight"]
    bad += [] if (s["streams"], s["unseen"]) == (3, 2) else ["status: %s" % s]
    told = [r for r in map(json.loads, W.sh(W.BUILD + "/crmfence", "doctor", "--json", "--control", w.control, check=False).stdout.split("\n")[:-1]) if "sight" in r.values()]
    bad += [] if len(told) == 1 and "2 TLS connections" in str(told) and "of 3" in str(told) else ["doctor: %s" % told]
    w.stop()
    said = W.sh(W.BUILD + "/crmfence", "report", "--db", w.db, "--json", check=False)
    told = [(r["streams"], r["unseen"], r["inheritance"], r["why"][:20]) for r in map(json.loads, said.stdout.split("\n")[:-1])]
    bad += [] if (1, 1, "not shown", "there were connectio") in told and (1, 0) in [t[:2] for t in told] else ["report: %s" % told]
    return bad

LONG = """
import socket, ssl
def head(method, path, more=""):
    return ("%s %s HTTP/1.1\\r\\nHost: acme.my.salesforce.com\\r\\n%s\\r\\n" % (method, path, more)).encode()
def answers(s, n):
    text = b""
    while text.count(b"HTTP/1.1 ") < n:
        got = s.recv(65536)
        if not got:
            break
        text += got
for many in (head("POST", "/in?t=long", "Content-Length: 300000\\r\\n") + b"x" * 300000, head("GET", "/in?t=many", "X-Long: %s\\r\\n" % ("x" * 7000)) * 12):
    s = ssl.create_default_context().wrap_socket(socket.create_connection(("acme.my.salesforce.com", 443)), server_hostname="acme.my.salesforce.com")
    s.settimeout(10)
    s.sendall(many)
    answers(s, many.count(b"HTTP/1.1"))
    s.sendall(head("GET", "/in?t=after"))
    answers(s, 1)
"""


def sight_missed(w):
    """A write that is longer than what is looked at of one: inside a body the rest is counted and the next request told; where heads were
    among it the connection is said to be lost, and no request of it is made up."""
    with open(w.dir + "/long.py", "w") as f:
        f.write(LONG)
    w.start("--quiet", **tools(w))
    rc, out = w.run("python3", w.dir + "/long.py", timeout=60)
    made = len([r for r in arrived(w) if "t=" in r["url"] and "/in" in r["url"]])
    for _ in range(4):
        rows = w.rows()
        streams = [(r["missed_out"] > 0, r["desynchronised"]) for r in rows if r["kind"] == "stream"]
        if len(streams) == 2:
            break
    w.stop()
    asked = [(r["method"], r["status"], r["bytes_out"], r["cookie"]) for r in rows if r["kind"] == "request"]
    long = [a for a in asked if a[0] == "POST"]
    beside = [a for a in asked if long and a[3] == long[0][3] and a[0] == "GET"]
    bad = [] if rc == 0 and made == 15 else ["exit %d %s, made %d %s" % (rc, out[-200:], made, [r for r in rows if r["kind"] in ("alert", "deny", "tamper", "gap")])]
    bad += [] if sorted(streams) == [(True, False), (True, True)] else ["streams: %s" % [r for r in rows if r["kind"] == "stream"]]
    bad += [] if [a[:3] for a in long] == [("POST", 200, 300000)] and [a[:3] for a in beside] == [("GET", 200, 0)] else ["asked: %s" % asked[:5]]
    return bad + ([] if 4 < len(asked) < 15 else ["%d requests told of %d" % (len(asked), made)])


PASSED_OVER = """
const c = require('http2').connect('https://models.acme.example'), query = '/services/data/v60.0/query?q=SELECT+Id,Name+FROM+Opportunity';
const ask = (head, body) => new Promise((ok, no) => { const s = c.request(head); s.on('error', no); s.resume(); s.on('end', ok); s.end(body); });
c.on('error', () => process.exit(1));
ask({ ':path': query + '&t=theirs' }).then(() => ask({ ':path': query + '&t=ours', ':authority': process.argv[1] }))
  .then(() => ask({ ':path': '/in?t=leak', ':method': 'POST' }, 'they said Acme - 200 seats')).then(() => process.exit(0));
"""


def sight_bodies(w):
    """Over HTTP/2 the bodies of others' answers are passed over in the kernel: four times what the ring holds comes while nobody reads it,
    and nothing is missing. On the same connection the org's answers are read: what they say is found when it leaves."""
    bad, size = [], 32 << 20
    with open(w.dir + "/big", "wb") as f:
        f.truncate(size)
    nghttpd = w.spawn(w.net, "nghttpd", "-a", W.SHARED, "-d", w.dir, "8443", w.dir + "/key.pem", w.dir + "/cert.pem")
    policy = tools(w)
    policy["tools"][0]["allow"] = ["crm.own", {"host": "models.acme.example", "ports": [443, 8443], "why": "on-prem speech model"}]
    w.start("--quiet", **policy)
    p = w.popen("curl", "-sS", "--http2", "-o", "/dev/null", "-K", "-", stdin_fd=subprocess.PIPE)
    time.sleep(1)  # its probes are there
    os.kill(w.agent.pid, signal.SIGSTOP)
    p.stdin.write("url = https://models.acme.example:8443/big\n")
    p.stdin.close()
    rc = p.wait(20)
    os.kill(w.agent.pid, signal.SIGCONT)
    time.sleep(1)
    rows = w.rows()
    got = [(r["bytes_in"], r.get("cut")) for r in rows if r["kind"] == "request"]
    lost = [r for r in rows if r["kind"] in ("gap", "stream")]
    bad += [] if rc == 0 and got == [(size, None)] and not lost else ["exit %d, %s, lost %s" % (rc, got, lost)]
    for host, rules in (("models.acme.example", []), ("acme.my.salesforce.com", ["E023"])):
        done = max([r["id"] for r in w.rows()])
        rc, out = w.run("node", "-e", PASSED_OVER, host)
        rows = [r for r in w.rows() if r["id"] > done]
        got = [r["rule"] for r in rows if r["kind"] == "alert" and r["rule"] != "E007"]
        late = [r for r in rows if r["kind"] == "request" and (r.get("cut") or r.get("late") or not r["bytes_in"])]
        bad += [] if rc == 0 and got == rules and not late else ["%s: exit %d %s, %s, %s" % (host, rc, out[-200:], got, late)]
    w.stop()
    nghttpd.terminate()
    return bad


ROOMLESS = """
import socket, ssl, sys
def open():
    s = ssl.create_default_context().wrap_socket(socket.create_connection(("models.acme.example", 443)), server_hostname="models.acme.example")
    s.settimeout(4)
    return s
def ask(s, path, more=""):
    try:
        s.sendall(("GET %s HTTP/1.1\\r\\nHost: models.acme.example\\r\\n%s\\r\\n" % (path, more)).encode())
        print(s.recv(1000)[9:12].decode() or "closed", flush=True)
    except OSError as e:
        print("refused", flush=True)
s = open()
print("ready", flush=True)
input()
ask(s, "/in?t=first", "Authorization: Bearer %s\\r\\n" % sys.argv[1])
input()
ask(open(), "/in?t=second")
"""


def sight_no_room(w):
    """Others hold all room that programs have while a session's program writes on an open connection: what cannot be looked at does not
    leave, the program lives, and what it asks afterwards does."""
    with open(w.dir + "/room.py", "w") as f:
        f.write(ROOMLESS)
    said, bad = [], []
    for confined in (False, True):
        if confined:
            w.start("--quiet", **tools(w))
            room = BpfMap(w.pins + "/scratch")
        mark = len(arrived(w))
        p = w.popen("python3", w.dir + "/room.py", TOKEN, confined=confined, stdin_fd=subprocess.PIPE)
        p.stdout.readline()
        time.sleep(1)
        try:
            if confined:
                room.busy(1)
            p.stdin.write("\n")
            p.stdin.flush()
            said.append(p.stdout.readline().strip())
        finally:
            if confined:
                room.busy(0)
        out = p.communicate("\n", timeout=20)[0]
        got = [r["url"].rsplit("=")[-1] for r in arrived(w, mark)]
        bad += [] if got == ["first", "second"][confined:] and out.strip() == "200" else ["%s, confined %s: %s arrived, then %r" % (said[-1], confined, got, out)]
    rows = w.rows("deny")
    w.stop()
    return bad + ([] if said[0] == "200" and said[1] in ("refused", "closed") and "overflow" in [r["reason"] for r in rows if r["at"] == "request"] else ["%s, %s" % (said, rows)])


ALONE = [sight_programs, sight_missed, sight_bodies, sight_no_room, sight_discovery, sight_inside, sight_first, sight_kept, sight_tried, sight_opaque, sight_witness, sight_off]
