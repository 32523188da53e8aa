# SPDX-License-Identifier: Apache-2.0
"""TLS sight, cases for run.py. The server's own log says what was asked; the agent's rows have to say the same, and no more."""
import atexit
import base64
import csv
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree
import zipfile

import world as W

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
        table.append({"program": name, "stack": stack, "made": len(made), "seen": len(seen), "mapped": len(exact), "mapping": mapping,
                      "connections": len({r["cookie"] for r in seen})})
        if len(made) != total // conns * conns:
            bad.append("the program made %d requests" % len(made))
        if len(seen) != len(made) or len(right) != len(made) or len(exact) != len(made):
            bad.append("made %d, seen %d, right %d, mapped %d" % (len(made), len(seen), len(right), len(exact)))
        blind = [r["plain_out"] for r in rows if r["kind"] == "flow" and r["state"] == "closed" and r.get("plain_out") == 0]
        bad += ["an alert: %s" % r for r in rows if r["kind"] == "alert"]
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
OPP = "006000000000001AAA"
ACC = "0015j00000AbCdEAAV"
SOAP = "<?xml version='1.0'?><soapenv:Envelope><soapenv:Header><SessionHeader><sessionId>00D5f000000J2PK!secret</sessionId></SessionHeader></soapenv:Header><soapenv:Body>%s"
PAOS = "</soapenv:Body></soapenv:Envelope>"
CALLS = [
    ("GET", ROW, None, [("rest", "read", "Opportunity", [OPP], [])]),
    ("PATCH", ROW, {"StageName": "Closed Won", "Amount": 880991177553}, [("rest", "update", "Opportunity", [OPP], ["StageName", "Amount"])]),
    ("POST", DATA + "/sobjects/Task", {"Subject": "call back secret-subject", "WhatId": OPP}, [("rest", "create", "Task", "made", ["Subject", "WhatId"])]),
    ("DELETE", DATA + "/sobjects/Task/00T5j00000AbCdEEAV", None, [("rest", "delete", "Task", ["00T5j00000AbCdEEAV"], [])]),
    ("GET", DATA + "/query?q=" + urllib.parse.quote("SELECT Id, (SELECT Id FROM Contacts) FROM Account WHERE Name = 'secret FROM Lead'"), None,
     [("query", "query", "Account", [], [])]),
    ("PATCH", DATA + "/sobjects/Contact/Email__c/jane.secret@example.com", {"Phone": "secret-phone"}, [("rest", "upsert", "Contact", [], ["Email__c", "Phone"])]),
    ("POST", DATA + "/composite", {"compositeRequest": [
        {"method": "PATCH", "url": ROW, "referenceId": "a", "body": {"Amount": 5}},
        {"method": "GET", "url": DATA + "/sobjects/Account/" + ACC, "referenceId": "b"}]},
     [("composite", "batch", None, [], []), ("rest", "update", "Opportunity", [OPP], ["Amount"]), ("rest", "read", "Account", [ACC], [])]),
    ("POST", DATA + "/composite/batch", {"batchRequests": [{"method": "GET", "url": "v60.0/limits"}]},
     [("composite", "batch", None, [], []), ("rest", "limits", None, [], [])]),
    ("POST", DATA + "/composite/tree/Account", {"records": [{"attributes": {"type": "Account", "referenceId": "r1"}, "Name": "secret-name"}]},
     [("composite", "create", "Account", [], ["Name"])]),
    ("POST", DATA + "/composite/graph", {"graphs": [{"graphId": "1", "compositeRequest": [
        {"method": "DELETE", "url": DATA + "/sobjects/Account/" + ACC, "referenceId": "x"}]}]},
     [("composite", "batch", None, [], []), ("rest", "delete", "Account", [ACC], [])]),
    ("PATCH", DATA + "/composite/sobjects", {"records": [{"attributes": {"type": "Opportunity"}, "id": OPP, "Amount": 1}]},
     [("composite", "update", "Opportunity", [OPP], ["Amount"])]),
    ("POST", DATA + "/jobs/ingest", {"object": "Lead", "operation": "insert"}, [("bulk2", "create", "Lead", ["7505j00000AbCdEAAV"], [])]),
    ("PUT", DATA + "/jobs/ingest/7505j00000AbCdEAAV/batches", 'Id,Name,"Amount"\n%s,"secret, name",5\n' % OPP,
     [("bulk2", "load", None, ["7505j00000AbCdEAAV", OPP], ["Name", "Amount"])]),
    ("POST", DATA + "/jobs/query", {"operation": "query", "query": "SELECT Id FROM Contact WHERE Name = 'secret'"}, [("bulk2", "export", "Contact", [], [])]),
    ("POST", "/services/async/60.0/job", "<?xml version='1.0'?><jobInfo xmlns='x'><operation>update</operation><object>Case</object></jobInfo>",
     [("bulk1", "update", "Case", [], [])]),
    ("POST", DATA + "/graphql", {"query": "query q($n: String = \"secret }\") { uiapi { query { Account(where: {Name: {eq: \"secret {\"}}) { edges { node { Id Name { value } "
      "boss: Owner { Name { value } } } } } second: Lead { edges { node { Email { value } } } } } } }"},
     [("graphql", "query", "Account", [], ["Name", "Owner"]), ("graphql", "query", "Lead", [], ["Email"])]),
    ("POST", DATA + "/graphql", {"query": "mutation m($in: CaseCreateInput!) { uiapi { OpportunityUpdate(input: {Opportunity: {StageName: \"secret\", Amount: 5}, Id: \"%s\"}) "
      "{ Record { Id Name { value } } } CaseCreate(input: $in) { Record { Id } } AccountDelete(input: {Id: \"%s\"}) { Id } } }" % (OPP, ACC),
      "variables": {"in": {"Case": {"Subject": "secret"}}}},
     [("graphql", "update", "Opportunity", [OPP], ["StageName", "Amount"]), ("graphql", "create", "Case", [], ["Subject"]), ("graphql", "delete", "Account", [ACC], [])]),
    ("PATCH", DATA + "/ui-api/records/" + OPP, {"fields": {"StageName": "secret-stage"}}, [("ui-api", "update", None, [OPP], ["StageName"])]),
    ("POST", "/services/Soap/u/60.0", SOAP % "<urn:update><urn:sObjects><urn1:type>Opportunity</urn1:type><urn1:Id>" + OPP + "</urn1:Id><StageName>secret-stage</StageName>"
     "<urn1:fieldsToNull>NextStep</urn1:fieldsToNull></urn:sObjects></urn:update>" + PAOS, [("soap", "update", "Opportunity", [OPP], ["StageName", "NextStep"])]),
    ("POST", "/services/Soap/c/60.0", SOAP % "<create><sObjects xsi:type='ens:Contact'><LastName>secret-name</LastName></sObjects></create>" + PAOS,
     [("soap", "create", "Contact", [], ["LastName"])]),
    ("POST", "/services/Soap/u/60.0", SOAP % "<query><queryString>SELECT Id FROM Lead WHERE Email = 'secret@example.com'</queryString></query>" + PAOS,
     [("soap", "query", "Lead", [], [])]),
    ("POST", "/services/Soap/u/60.0", SOAP % "<delete><ids>" + OPP + "</ids><ids>" + ACC + "</ids></delete>" + PAOS, [("soap", "delete", None, [OPP, ACC], [])]),
    ("POST", "/services/Soap/u/60.0", "<!DOCTYPE e [<!ENTITY s 'secret'>]>" + SOAP % "<query/>" + PAOS, [("soap", "other", None, [], [])]),
    ("POST", "/aura?r=1&ui-force.getRecord=1", "message=" + urllib.parse.quote(json.dumps({"actions": [
        {"descriptor": "aura://RecordUiController/ACTION$getRecordWithFields", "params": {"recordId": OPP, "fields": ["Opportunity.Name", "Opportunity.Amount"]}},
        {"descriptor": "aura://RecordUiController/ACTION$updateRecord", "params": {"recordId": OPP, "recordInput": {"fields": {"StageName": "secret", "Id": OPP}}}},
        {"descriptor": "aura://ApexActionController/ACTION$execute", "params": {"classname": "Notes", "method": "send", "params": {"text": "secret"}}}]})) +
     "&aura.token=secret-token", [("aura", "read", "Opportunity", [OPP], ["Name", "Amount"]), ("aura", "update", None, [OPP], ["StageName"]), ("aura", "invoke", None, [], [])]),
    ("POST", "/aura?r=2", "message=%7B%22actions%22%3A%5B%5D%7D&aura.token=secret-token", [("aura", "page", None, [], [])]),
    ("POST", "/cometd/60.0", [{"channel": "/meta/subscribe", "subscription": "/data/LeadChangeEvent", "clientId": "secret"}], [("streaming", "subscribe", "LeadChangeEvent", [], [])]),
    ("GET", DATA + "/tooling/query?q=SELECT+Body+FROM+ApexClass+WHERE+Name='secret'", None, [("tooling", "query", "ApexClass", [], [])]),
    ("GET", DATA + "/analytics/reports/00O5j00000AbCdEEAV", None, [("analytics", "report", None, ["00O5j00000AbCdEEAV"], [])]),
    ("GET", "/servlet/servlet.FileDownload?file=0155j00000AbCdEAAV", None, [("files", "download", None, ["0155j00000AbCdEAAV"], [])]),
    ("GET", "/" + OPP, None, [("page", "page", None, [OPP], [])]),
    ("GET", "/services/apexrest/Customer/secret-jane", None, [("apexrest", "invoke", None, [], [])]),
    ("POST", "/services/oauth2/token", "grant_type=password&password=secret-password", [("oauth", "token", None, [], [])]),
    ("GET", "/id/00D5f000000J2PKEA0/0055j000000utlPAAQ", None, [("oauth", "identity", None, ["00D5f000000J2PKEA0", "0055j000000utlPAAQ"], [])]),
    ("GET", "/lightning/r/Opportunity/%s/view" % OPP, None, [("lightning", "page", "Opportunity", [OPP], [])]),
]


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


def sight_actions(w):
    """Each API's request becomes the actions it was, in HTTP/1.1 and HTTP/2; no value of it is in the log, the agent's output or its files."""
    out = {}
    w.start(**tools(w))
    for version in ("http1.1", "http2"):
        bad, done = [], max([r["id"] for r in w.rows("request")] or [0])
        for method, path, body, _ in CALLS:
            mark = len(arrived(w))
            rc, text = curl(w, version, method, path, body)
            server = arrived(w, mark)
            if rc or len(server) != 1 or server[0]["method"] != method or server[0]["url"] != path:
                bad.append("%s %s: exit %d %s; the server has %s" % (method, path, rc, text, server[:2]))
        rows, made = w.rows(), {r["call"]: r["made"] for r in map(json.loads, open(w.dir + "/arrived.jsonl")) if "made" in r}
        requests = [r for r in rows if r["kind"] == "request" and r["id"] > done]
        if [r["method"] for r in requests] != [c[0] for c in CALLS]:
            bad.append("requests: %s" % [(r["method"], r["path"]) for r in requests])
        for request, (method, path, _, want) in zip(requests, CALLS):
            got = [(r["api"], r["verb"], r.get("object"), r["ids"], r["fields"]) for r in rows
                   if r["kind"] == "action" and r["request"] == request["id"]]
            want = [(a, v, o, made[path] if i == "made" else i, f) for a, v, o, i, f in want]
            if got != want:
                bad.append("%s %s: %s, not %s" % (method, path[:60], got, want))
        out["sight-actions-" + version] = bad
    rows = w.rows()
    users = {r.get("user") for r in rows if r["kind"] == "action"}
    w.stop()
    left = []
    for root, _, files in os.walk(w.dir):
        for name in files:
            if name.startswith(os.path.basename(w.db)) or name == "agent.log":
                with open(root + "/" + name, "rb") as f:
                    data = f.read()
                left += ["%s has %s" % (name, s) for s in (b"secret", b"880991177553", b"Closed Won", b"AQ4AQI", b"jane") if s in data]
    shown = subprocess.run([W.BUILD + "/crmfence", "requests", "--db", w.db, "--json"], capture_output=True, text=True)
    left += ["requests --json shows a secret"] if "secret" in shown.stdout or shown.returncode else []
    out["sight-private"] = left
    out["sight-user"] = [] if users <= {None, "0055j000000utlPAAQ"} else [str(users)]
    return out


def records(body):
    """Fields and ids of what a JSON body has: one record, or { records }."""
    rows = body["records"] if isinstance(body, dict) and "records" in body else body if isinstance(body, list) else [body]
    names = list(dict.fromkeys(k for r in rows for k in r if k not in ("attributes", "Id", "id")))
    return names, [r[k] for r in rows for k in r if k in ("Id", "id")]


def done_by(call, made):
    """What the double was asked to do, read from its own log by other code than the agent's: (api, verb, object, ids, fields)."""
    url = urllib.parse.urlsplit(call["url"])
    args, p = urllib.parse.parse_qs(url.query), [urllib.parse.unquote(x) for x in url.path.split("/") if x]
    method, verb = call["method"], {"GET": "read", "POST": "create", "PATCH": "update", "DELETE": "delete"}.get(call["method"])
    p = p[3:] if p[:2] == ["services", "data"] else p
    frm = lambda q: re.sub(r"\(.*?\)", "", q).split(" FROM ")[1].split()[0]  # noqa: E731
    if not p:
        return [("rest", "versions", None, [], [])]
    if p[0] == "query":
        return [("query", "query", frm(args["q"][0]) if "q" in args else None, [], [])]
    if p[:2] == ["tooling", "query"]:
        return [("tooling", "query", frm(args["q"][0]), [], [])]
    if p[0] == "tooling":
        return [("tooling", verb, p[2], p[3:], [])]
    if p[0] == "limits":
        return [("rest", "limits", None, [], [])]
    if p[:2] == ["services", "oauth2"] or p[0] == "id":
        return [("oauth", "identity", None, [x for x in p if len(x) == 18], [])]
    if p[:2] == ["services", "Soap"]:
        body = xml.etree.ElementTree.fromstring(call["body"])
        op = [x for x in body if x.tag.endswith("}Body")][0][0]
        rows = [c for c in op if c.tag.endswith("sObjects")]
        name = lambda e: e.tag.split("}")[-1]  # noqa: E731
        return [("soap", name(op), [e.text for r in rows for e in r if name(e) == "type"][0], [e.text for r in rows for e in r if name(e) == "Id"],
                 list(dict.fromkeys(name(e) for r in rows for e in r if name(e) not in ("type", "Id"))))]
    if p[0] == "jobs":
        body = call["body"]
        if method == "PUT":
            rows = list(csv.reader(io.StringIO(body)))
            at = rows[0].index("Id")
            return [("bulk2", "load", None, [p[2]] + [r[at] for r in rows[1:]], [c for c in rows[0] if c != "Id"])]
        body = json.loads(body)
        return [("bulk2", {"insert": "create"}.get(body.get("operation"), body.get("operation", "load")), body.get("object"),
                 p[2:] or ["7505j00000AbCdEAAV"], [])]
    if p[:2] == ["composite", "sobjects"]:
        fields, ids = records(json.loads(call["body"])) if call["body"] else ([], args.get("ids", [""])[0].split(","))
        kinds = [r["attributes"]["type"] for r in json.loads(call["body"])["records"]] if call["body"] and "records" in call["body"] else p[2:] or [None]
        if method == "POST" and "ids" in (json.loads(call["body"]) or {}):
            body = json.loads(call["body"])
            return [("composite", "read", p[2], body["ids"], body["fields"])]  # Id among them, as it was asked
        return [("composite", verb, kinds[0], [i for i in ids if i] + made, fields)]
    if p[0] == "composite":
        subs = json.loads(call["body"])["compositeRequest"]
        return [("composite", "batch", None, [], [])] + [x for s in subs for x in done_by(dict(s, body=json.dumps(s.get("body")) if "body" in s else ""), [])]
    if p[2:] == ["describe"]:
        return [("rest", "describe", p[1], [], [])]
    fields, ids = records(json.loads(call["body"])) if call["body"] else ([], [])
    if len(p) == 4:
        return [("rest", "upsert", p[1], ids, [p[2]] + fields)]
    return [("rest", verb, p[1], p[2:] + ids + made, fields)]


def sight_jsforce(w):
    """All that an assistant does through jsforce: the action log equals the double's own, call for call, record for record, field for field."""
    if not os.path.isdir(W.ROOT + "/tests/e2e/node_modules/jsforce"):
        return "jsforce is not installed (npm ci in tests/e2e)"
    w.start(**tools(w))
    mark = len(open(w.dir + "/arrived.jsonl").readlines())
    rc, text = w.run("node", W.ROOT + "/tests/e2e/actions.js", timeout=60)
    log = [json.loads(line) for line in open(w.dir + "/arrived.jsonl")][mark:]
    calls = [(i, r) for i, r in enumerate(log) if "url" in r]
    want = [x for i, r in calls for x in done_by(r, log[i + 1]["made"] if i + 1 < len(log) and log[i + 1].get("call") == r["url"] else [])]
    for _ in range(6):
        rows = w.rows()
        got = [(r["api"], r["verb"], r.get("object"), r["ids"], r["fields"]) for r in rows if r["kind"] == "action"]
        if len(got) >= len(want):
            break
    w.stop()
    bad = [] if rc == 0 and len(calls) >= 21 else ["exit %d, %d calls: %s" % (rc, len(calls), text[-600:])]
    bad += ["the agent says %s, the double %s" % (a, b) for a, b in itertools.zip_longest(sorted(got, key=str), sorted(want, key=str)) if a != b][:6]
    left = [n for n in os.listdir(w.dir) if n.startswith(os.path.basename(w.db)) and b"secret" in open(w.dir + "/" + n, "rb").read()]
    return bad + ["%s has a value" % n for n in left]


# Where a secret may stand; %s is the secret. Method, path, headers, body.
PLACES = [
    ("GET", "/x", {"Authorization": "Bearer 00D5f000000J2PK!%s"}, None), ("GET", "/x", {"Cookie": "a=%s; sid=00D5f000000J2PK!%s"}, None),
    ("GET", DATA + "/query?q=SELECT+Id+FROM+Lead+WHERE+Name+=+'%s'", {}, None), ("GET", "/x?token=%s", {"X-Custom": "%s"}, None),
    ("GET", DATA + "/sobjects/Contact/Email__c/%s@example.com", {}, None), ("GET", "/services/apexrest/%s/x", {"User-Agent": "%s"}, None),
    ("PATCH", ROW, {"Content-Type": "application/json"}, '{"StageName":"%s","Nested":{"a":["%s"]}}'), ("POST", DATA + "/sobjects/Task", {}, '{"Subject":"%s"}'),
    ("POST", DATA + "/composite", {}, '{"compositeRequest":[{"method":"POST","url":"' + DATA + '/sobjects/Case?x=%s","body":{"Subject":"%s"}}]}'),
    ("POST", DATA + "/graphql", {}, '{"query":"{ uiapi { query { Lead(where:{Name:{eq:\\"%s\\"}}) { edges { node { Name { value } } } } } } }","variables":{"v":"%s"}}'),
    ("POST", DATA + "/graphql", {}, '{"query":"mutation { uiapi { LeadUpdate(input:{Lead:{Name:\\"%s\\"},Id:\\"%s\\"}) { Record { Id } } } }"}'),
    ("POST", "/services/Soap/u/60.0", {"SOAPAction": "%s"}, "<e><Header><sessionId>%s</sessionId></Header><Body><update><sObjects><type>Lead</type><Name>%s</Name></sObjects></update></Body></e>"),
    ("POST", "/services/Soap/u/60.0", {}, "<e><Body><login><username>%s</username><password>%s</password></login></Body></e>"),
    ("POST", "/aura?r=1", {"Content-Type": "application/x-www-form-urlencoded"}, "message=%%7B%%22actions%%22%%3A%%5B%%7B%%22params%%22%%3A%%7B%%22a%%22%%3A%%22%s%%22%%7D%%7D%%5D%%7D&aura.token=%s"),
    ("PUT", DATA + "/jobs/ingest/7505j00000AbCdEAAV/batches", {"Content-Type": "text/csv"}, "Id,Name\n" + OPP + ",%s\n"),
    ("POST", "/services/oauth2/token", {"Content-Type": "application/x-www-form-urlencoded"}, "grant_type=password&username=%s&password=%s&client_secret=%s"),
    ("GET", DATA + "/sobjects/Lead?fails=%s", {}, None), ("POST", "/cometd/60.0", {}, '[{"channel":"/meta/connect","clientId":"%s"}]'),
    ("POST", DATA + "/jobs/query", {}, '{"operation":"query","query":"SELECT Id FROM Lead WHERE Name = \'%s\'"}'),
    ("GET", "/%s/lightning/r/Lead/x", {"Origin": "%s and %s", "Referer": "https://x/%s"}, None),
    ("POST", "/x", {"Content-Type": "multipart/form-data; boundary=%s"}, "--%s\r\n\r\n%s\r\n--%s--"), ("POST", "/broken", {}, '{"a":"%s'),
    ("GET", "/services/oauth2/authorize?client_id=%s&code_challenge=%s&response_type=code", {}, None), ("DELETE", DATA + "/sobjects/Lead/%s", {}, None),
    ("POST", DATA + "/tooling/executeAnonymous?anonymousBody=%s", {"Sforce-Call-Options": "client=%s"}, "%s"),
]
TELLER = """
import http.client, json, ssl, sys
for host in sys.argv[2:]:
    c = http.client.HTTPSConnection(host, context=ssl.create_default_context())
    for m, path, headers, body in json.load(open(sys.argv[1])):
        if host.startswith("models"):
            headers = {k: v for k, v in headers.items() if "00D" not in v}
        try:
            c.request(m, path, body, headers)
            c.getresponse().read()
        except (http.client.HTTPException, OSError):
            c.close()  # honey: the agent ended it
"""


def sight_secrets(w):
    """A thousand secrets, each in one place of a request or an answer, to the org and to a vendor: in no file, no output, no --json."""
    filled, secrets = [], []

    def fill(text):
        for _ in range(text.count("%s")):
            secrets.append("zq%s" % os.urandom(9).hex())
            text = text.replace("%s", secrets[-1], 1)
        return text.replace("%%", "%")
    while len(secrets) < 1000:
        filled += [(m, fill(p), {k: fill(v) for k, v in h.items()}, b and fill(b)) for m, p, h, b in PLACES]
    with open(w.dir + "/secrets.json", "w") as f:
        json.dump(filled, f)
    t = tools(w)
    t["org"]["honey"] = [secrets[700], secrets[701] + " never"]
    w.start(**t)
    mark = len(arrived(w))
    rc, text = w.run("python3", "-c", TELLER, w.dir + "/secrets.json", "acme.my.salesforce.com", "models.acme.example", timeout=120)
    bad = [] if rc == 0 else ["exit %d %s" % (rc, text[-300:])]
    limits = [line.split() for line in open("/proc/%d/limits" % w.agent.pid) if line.startswith("Max core file size")][0]
    bad += [] if limits[4:6] == ["0", "0"] else ["the agent may dump core: %s" % limits]
    requests, made = len(w.rows("request")), len(arrived(w, mark))
    bad += [] if requests == made >= 2 * len(filled) - 4 else ["%d requests of %d" % (requests, made)]
    status = W.sh(W.BUILD + "/crmfence", "status", "--json", "--control", w.control, check=False).stdout
    w.stop()
    said = {"status": status}
    for cmd in ("requests", "flows", "alerts", "sessions", "report"):
        for how in ([], ["--json"]):
            said[" ".join([cmd] + how)] = W.sh(W.BUILD + "/crmfence", cmd, "--db", w.db, *how, check=False).stdout
    for name in os.listdir(w.dir):
        if name.startswith(os.path.basename(w.db)) or name == "agent.log":
            said[name] = open(w.dir + "/" + name, "rb").read().decode("latin1")
    found = {n: [s for s in secrets if s in text] for n, text in said.items()}
    return bad + ["%s has %d secrets: %s" % (n, len(f), f[:2]) for n, f in found.items() if f]


def sight_witness(w):
    """A request for a host that is not allowed, another org's credential, a credential to a host that is not the org's: held in the
    kernel, before they are encrypted. Another allowed host on the connection: told. A head that comes in two writes: cut by the agent."""
    out = {}
    w.start(**tools(w))
    kinds = {"authority": ([OWN + "/held/a", "-H", "Host: evil.my.salesforce.com"], "E001", "request-host"),
             "tenant": ([OWN + "/held/b", "-H", "Authorization: Bearer 00D000000000FRN!x"], "E003", "foreign-tenant"),
             "token": (["https://models.acme.example/held/c", "-H", "Authorization: Bearer " + TOKEN], "E014", "token-exposure"),
             "cookie": (["https://models.acme.example/held/d", "-H", "Cookie: a=b; sid=" + TOKEN], "E014", "token-exposure")}
    for version in ("http1.1", "http2"):
        for name, (args, rule, reason) in kinds.items():
            mark, done = len(arrived(w)), max([r["id"] for r in w.rows()])
            url = [a for a in args if a.startswith("https://")][0].split(".", 1)[1].split("/", 1)[1]
            w.run("curl", "-sS", "-m", "4", "-k", "--" + version, *args, confined=False)
            bad = [] if any(r["url"] == "/" + url for r in arrived(w, mark)) else ["it does not arrive without crmfence: %s" % arrived(w, mark)]
            mark = len(arrived(w))
            rc, text = w.run("curl", "-sS", "-m", "4", "--" + version, *args)
            rows = [r for r in w.rows() if r["id"] > done]
            got = [r for r in rows if r["kind"] == "alert"]
            denied = [r for r in rows if r["kind"] == "deny" and r["at"] == "request"]
            bad += [] if rule in [r["rule"] for r in got] else ["no %s: %s" % (rule, got)]
            bad += [] if rc and got and all(r["cut"] and r.get("held") for r in got) else ["not held, curl's exit %d %r: %s" % (rc, text, got)]
            bad += [] if [r["reason"] for r in denied] == [reason] else ["denials: %s" % denied]
            bad += [] if all(r["left"] < 100 for r in got) else ["left: %s" % got]  # HTTP/2: its preface and settings
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
    done = max([r["id"] for r in w.rows("alert")] or [0])
    rc, _ = w.run("curl", "-sS", "-m", "4", "--http1.1", OWN + "/quiet/e", "-H", "Host: models.acme.example")
    got = [r["rule"] for r in w.rows("alert") if r["id"] > done]
    out["sight-coalesced"] = [] if not rc and got == ["E007"] else ["exit %d, %s" % (rc, got)]
    # at an address that is listed itself no name is asked for
    done = max([r["id"] for r in w.rows()])
    rc, text = w.run("curl", "-sSk", "-m", "4", "--http1.1", "https://%s/quiet/g" % W.OWN2, "https://%s/quiet/h" % W.OWN2)
    got = [r for r in w.rows() if r["id"] > done and (r["kind"] == "alert" or r["kind"] == "deny" and r["at"] == "request" or
                                                       r["kind"] == "flow" and r["action"] == "deny")]
    out["sight-listed-address"] = [] if not rc and not got else ["exit %d %r, %s" % (rc, text, got)]
    # a head in two writes is the agent's to see
    done = max([r["id"] for r in w.rows("alert")] or [0])
    p = w.popen("python3", "-c", "import socket,ssl,time\ns=ssl.create_default_context().wrap_socket(socket.create_connection(('models.acme.example',443)),"
                "server_hostname='models.acme.example')\ns.send(b'POST /quiet/f HTTP/1.1\\r\\nHost: models.acme.example\\r\\nAuthor')\n"
                "s.send(b'ization: Bearer %s\\r\\nContent-Length: 999999999\\r\\n\\r\\n')\n"
                "for i in range(400):\n s.send(b'x'*100)\n time.sleep(0.01)" % TOKEN)
    p.communicate(timeout=20)
    got = [r for r in w.rows("alert") if r["id"] > done]
    out["sight-head-in-two"] = [] if p.returncode and [r["rule"] for r in got] == ["E014"] and got[0]["cut"] and not got[0].get("held") and \
        got[0]["left"] > 100 and got[0]["cut_us"] > 0 else ["exit %d: %s" % (p.returncode, got)]
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


def sight_sandbox(w):
    """Chromium as it is on a desktop: not root, with all its sandboxes, the network process's too (seccomp). Recognised by its file."""
    program = "/usr/lib/chromium/chromium"
    if not os.path.exists(program):
        return "chromium is not installed"
    t = tools(w)
    t["tools"][0]["match"] = [{"exe": program}]
    w.start("--quiet", **t)
    cmd = [c for c in chromium(w, 20, ROW + "?t=sandbox") if c != "--no-sandbox"]
    cmd.insert(1, "--enable-features=NetworkServiceSandbox")
    where = cmd[-1][7:].rsplit("/", 1)[0]
    os.chmod(where, 0o777)
    p = w.popen("env", "HOME=" + where, *cmd, confined=False, uid=65534)
    modes = set()
    while p.poll() is None:
        for d in os.listdir("/proc"):
            try:
                if d.isdigit() and b"network.mojom.NetworkService" in open("/proc/%s/cmdline" % d, "rb").read():
                    modes |= {line.split()[1] for line in open("/proc/%s/status" % d) if line.startswith("Seccomp:")}
            except OSError:
                pass
        time.sleep(0.02)
    p.communicate(timeout=30)
    made = len([r for r in arrived(w) if "t=sandbox" in r["url"]])
    for _ in range(4):
        rows = w.rows()
        seen = [r for r in rows if r["kind"] == "request" and r["path"] == ROW and r["mapping"] == "exact"]
        if len(seen) >= made:
            break
    w.stop()
    return [] if made == 20 and len(seen) == 20 and "2" in modes and p.returncode == 0 else [
        "made %d, seen %d, the network process's seccomp mode %s, exit %d" % (made, len(seen), modes, p.returncode)]


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
    """Extensions that only GET say nothing of themselves. One is the only installed that may ask a host, and listed: its connections to it are
    ended, each time, by its name; another one's to another host go on, on one connection."""
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
    w.start("--quiet", **t)
    cmd = [c for c in chromium(w, 0, ROW) if c not in ("--dump-dom", "--no-sandbox")]
    cmd[1:1] = ["--load-extension=%s,%s" % (ids["solo"][0], ids["other"][0]), "--disable-features=DisableLoadExtensionCommandLineSwitch"]
    os.chmod(os.path.dirname(cmd[-1][7:]), 0o777)
    p = w.popen("env", "HOME=" + os.path.dirname(cmd[-1][7:]), *cmd, confined=False, uid=65534, stdin_fd=subprocess.PIPE)
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline and len([r for r in arrived(w) if "t=other" in r["url"]]) < 12:
        time.sleep(0.5)
    p.terminate()
    p.communicate(timeout=20)
    rows = w.rows()
    w.stop()
    asked = [r for r in rows if r["kind"] == "request" and r["authority"] != "acme.my.salesforce.com" and r["path"] == "/talk"]
    by = lambda host: [r for r in asked if r["authority"] == host]  # noqa: E731
    alerts = [r for r in rows if r["kind"] == "alert"]
    if not alerts or {(r["rule"], r["authority"], r["extension"], r["cut"]) for r in alerts} != {("E001", "api.ai-vendor.example", ids["solo"][1], True)}:
        bad.append("alerts: %s" % [(r["rule"], r["authority"], r.get("extension"), r["cut"]) for r in alerts][:4])
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
    time.sleep(1.5)  # an end is written a second later
    rows = w.rows("session")
    w.stop()
    sessions = [(x["tool"], x["change"]) for x in rows]
    bad += [] if {x["tool"]: x.get("confined", True) for x in rows if x["change"] == "start"} == {"browser": False, "voice-assistant": True} else ["confined: %s" % rows]
    want = {("voice-assistant", "start"): 5, ("voice-assistant", "end"): 4, ("voice-assistant", "refuted"): 1, ("browser", "start"): 1, ("browser", "end"): 1}
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


def sight_discovery(w):
    """A library is found where the process has it: deleted since, put in another's place by an update, in a mount namespace of its own, in a
    program that runs already and is loaded at a low address; the first request is seen."""
    libs, bad = w.dir + "/libs", []
    for name, text in (("later.py", LATER), ("later.go", GO_LATER)):
        with open(w.dir + "/" + name, "w") as f:
            f.write(text)
    subprocess.run(["go", "build", "-o", w.dir + "/golater", w.dir + "/later.go"], check=True, cwd=w.dir, env=dict(os.environ, HOME=w.dir, GO111MODULE="off"))

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
    ask("namespace", "OpenSSL", ["unshare", "-m", "sh", "-c", inside], path=libs + "/libssl.so.3", confined=False)
    ask("running", "Go", [w.dir + "/golater"], join, path=w.dir + "/golater", confined=False)
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
    w.stop()
    said = W.sh(W.BUILD + "/crmfence", "report", "--db", w.db, "--json", check=False)
    told = [(r["streams"], r["unseen"], r["inheritance"], r["why"][:20]) for r in map(json.loads, said.stdout.split("\n")[:-1])]
    bad += [] if (1, 1, "not shown", "there were connectio") in told and (1, 0) in [t[:2] for t in told] else ["report: %s" % told]
    return bad


def sight_values(w):
    """A value that the org answered goes to another host that the tool may reach, however it is written: which record and field is
    told, the value is nowhere. What the org did not answer is nothing."""
    out = {}
    w.start(**tools(w))
    for version in ("http1.1", "http2"):
        bad = []
        for name, body in (("raw", "notes: Acme - 200 seats, call back"), ("json", json.dumps({"t": json.dumps({"q": "x Acme - 200 seats"})})),
                           ("url", "q=" + urllib.parse.quote_plus("deal Acme - 200 seats")),
                           ("base64", base64.b64encode(b'{"name":"Acme - 200 seats"}').decode()),
                           ("multipart", "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nAcme - 200 seats\r\n--b--"), ("else", "Acme - 300 seats")):
            done = max([r["id"] for r in w.rows()])
            where = w.dir + "/body"
            with open(where, "w") as f:
                f.write(body)
            rc, text = w.run("curl", "-sS", "--" + version, "-o", "/dev/null", OWN + DATA + "/query?q=SELECT+Name+FROM+Opportunity", "--next", "-sS",
                             "--" + version, "--data-binary", "@" + where, "https://models.acme.example/in")  # one process reads and sends
            rows = [r for r in w.rows() if r["id"] > done]
            got = [r for r in rows if r["kind"] == "alert"]
            taints = [r["exec"] for r in rows if r["kind"] == "taint"]
            marked = [r["exec"] for r in rows if r["kind"] == "flow" and r.get("tainted") and r["port"] == 443]
            if len(taints) != 1 or not set(marked) == set(taints):
                bad.append("%s: tainted %s, flows %s" % (name, taints, marked))
            said = [(r["rule"], r["ids"], r["fields"], r["authority"]) for r in got]
            want = [] if name == "else" else [("E011", ["006000000000001AAA"], ["Name"], "models.acme.example")]
            if rc or said != want:
                bad.append("%s: exit %d %r, %s" % (name, rc, text[-100:], said))
        out["sight-values-" + version] = bad
    w.stop()
    left = [n for n in os.listdir(w.dir) if n.startswith(os.path.basename(w.db)) or n == "agent.log"]
    out["sight-values-private"] = ["%s has the value" % n for n in left if b"200 seats" in open(w.dir + "/" + n, "rb").read()]
    return out


def sight_websocket(w):
    """What the org answered, compressed, goes to a speech model on a WebSocket: plain, deflated and in fragments, it is found; over HTTP/2 too."""
    if not os.path.isdir(W.ROOT + "/tests/e2e/node_modules/ws"):
        return "ws is not installed (npm ci in tests/e2e)"
    bad = []
    w.start(**tools(w))
    for name, packed, coding, said, want in (("plain", "false", "gzip", "x Acme - 200 seats y", True), ("deflated", "true", "gzip", "x Acme - 200 seats y", True),
                                             ("br", "true", "br", "x Acme - 200 seats y", True), ("else", "true", "br", "x Acme - 300 seats y", False), ("HTTP/2", "two", "br", "x Acme - 200 seats y", True)):
        mark, done = len(open(w.dir + "/arrived.jsonl").readlines()), max([r["id"] for r in w.rows()] or [0])
        rc, text = w.run("node", "-e", """
const https = require('https'), zlib = require('zlib'), WebSocket = require('%s/tests/e2e/node_modules/ws');
https.get('%s%s/query?q=SELECT+Name+FROM+Opportunity', { headers: { 'accept-encoding': '%s' } }, r => {
  r.resume();
  r.on('end', () => {
    const packed = '%s';
    if (packed != 'two')
      return go(new WebSocket('wss://models.acme.example/voice', { perMessageDeflate: packed == 'true' && { threshold: 0 } }));
    const two = require('http2').connect('https://models.acme.example');  // RFC 8441
    two.on('remoteSettings', () => {
      const stream = two.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/voice' }, { endStream: false });
      stream.on('response', () => {
        const s = new WebSocket(null, undefined, {});
        s._isServer = false; stream.setNoDelay = () => {};
        go(s); s.setSocket(stream, Buffer.alloc(0), { maxPayload: 1 << 20 });
      });
    });
  });
  function go(s) {
    let n = 0;
    s.on('open', () => { s.send('nothing much'); s.ping(); s.send('in par', { fin: false }); s.send('ts: %s', { fin: true }); s.send('more of it') });
    s.on('message', () => { if (++n == 3) { s.close(); } });
    s.on('close', () => process.exit(0));
  }
}).on('error', e => { console.error(e); process.exit(1); });""" % (W.ROOT, OWN, DATA, coding, packed, said))
        for _ in range(4):
            rows = [r for r in w.rows() if r["id"] > done]
            if any(r["kind"] == "request" and r.get("upgraded") for r in rows):
                break
        got = [(r["rule"], r["authority"], r["ids"], r["fields"]) for r in rows if r["kind"] == "alert"]
        sent = [json.loads(line) for line in open(w.dir + "/arrived.jsonl").readlines()[mark:]]
        sent = [r["body"] for r in sent if r.get("ws")]
        up = [(r.get("messages"), r.get("messages_in"), r["version"]) for r in rows if r["kind"] == "request" and r.get("upgraded")]
        bad += [] if rc == 0 and sent == ["nothing much", "in parts: " + said, "more of it"] else ["%s: exit %d %s; arrived %s" % (name, rc, text[-300:], sent)]
        bad += [] if got == ([("E011", "models.acme.example", ["006000000000001AAA"], ["Name"])] if want else []) and up == [(3, 3, "2" if name == "HTTP/2" else "1.1")] else [
            "%s: %s, messages %s" % (name, got, up)]
    w.stop()
    return bad


def sight_evidence(w):
    """Honey and credentials in a body, a flow of who read the org's records, the user by sign-on or by the policy, and tokens that are
    no person's: each is told, by its place, its id, its name."""
    honey, other, bad = "Project Nightingale 2027", "0055j000000utlQAAQ", []
    t = tools(w, taint="alert")
    t["org"].update(honey=["00Q5j00000AbCdEEAV", honey], users={"root": other, "nobody-here": "0055j000000utlPAAQ"})
    w.start(**t)

    def alerts(*cmd):
        done = max([r["id"] for r in w.rows()] or [0])
        rc, text = w.run("curl", "-sS", "-o", "/dev/null", *cmd)
        rows = [r for r in w.rows() if r["id"] > done]
        users = {(r.get("user"), r.get("user_by"), r.get("grant")) for r in rows if r["kind"] == "action"}
        bad.extend([] if rc == 0 else ["exit %d %s" % (rc, text)])
        return sorted((r["rule"], r["name"], tuple(r.get("fields", [])) or r.get("org") or r.get("user") or r.get("grant")) for r in rows if r["kind"] == "alert"), users
    out = "https://models.acme.example/in"
    for what, cmd, want in (
            ("honey", ("--data", "they call it %s now" % honey, out), [("E011", "honey", ("$.org.honey[1]",))]),
            ("honey, URL", ("%s?q=%s" % (out, urllib.parse.quote(honey)),), [("E011", "honey", ("$.org.honey[1]",))]),
            ("honey, id", ("--data", '{"lead":"00Q5j00000AbCdEEAV"}', out), [("E011", "honey", ("$.org.honey[0]",))]),
            ("honey to the org", ("--data", honey, OWN + DATA + "/sobjects/Task"), []),
            ("a token in a body", ("--data", '{"t":"%s"}' % TOKEN, out), [("E014", "token-exposure", "00D5f000000J2PK")]),
            ("no token", ("--data", '{"t":"00D5f000000J2PK!short"}', out), []),
            ("read, then elsewhere", (OWN + ROW, "--next", "-sS", "-o", "/dev/null", out), [("E011", "tainted-flow", None)]),
            ("elsewhere, then read", (out, "--next", "-sS", "-o", "/dev/null", OWN + ROW), [])):
        got, users = alerts(*cmd)
        bad += [] if got == want else ["%s: %s" % (what, got)]
        bad += [] if all(u[:2] == (other, "policy") for u in users) else ["%s: users %s" % (what, users)]
    got, users = alerts("--data", "grant_type=client_credentials&client_secret=secret", OWN + "/services/oauth2/token", OWN + ROW)
    bad += [] if got == [("E020", "user-differs", "0055j000000utlPAAQ"), ("E021", "integration-user", "client_credentials")] else ["sign-on: %s" % got]
    bad += [] if ("0055j000000utlPAAQ", "sign-on", None) in users else ["users: %s" % users]
    t["org"].update(users={"0": "0055j000000utlPAAQ"})
    w.stop()
    said = W.sh(W.BUILD + "/crmfence", "report", "--db", w.db, "--json", check=False)
    verdicts = sorted((r["inheritance"], r["why"][:40]) for r in map(json.loads, said.stdout.split("\n")[:-1]) if r["verbs"])
    bad += [] if said.returncode == 1 and ("broken", "its token is an integration user's, not ") in verdicts and \
        ("holds", "as far as the policy's map of users goes") in verdicts else ["report: %d %s" % (said.returncode, verdicts)]
    w.start(**t)
    got, users = alerts("--data", "grant_type=authorization_code&code=secret", OWN + "/services/oauth2/token", OWN + ROW)
    bad += [] if got == [] and users == {("0055j000000utlPAAQ", "policy", "authorization_code"), ("0055j000000utlPAAQ", "sign-on", None)} or \
        users == {("0055j000000utlPAAQ", "sign-on", "authorization_code"), ("0055j000000utlPAAQ", "sign-on", None)} else ["the person: %s %s" % (got, users)]
    w.stop()
    said = W.sh(W.BUILD + "/crmfence", "report", "--db", w.db, check=False)
    bad += [] if said.returncode == 0 and "permission inheritance: holds: one person's sign-on" in said.stdout and "authorization_code 1" in said.stdout else [
        "report: %d %s" % (said.returncode, said.stdout)]
    left = [n for n in os.listdir(w.dir) if n.startswith(os.path.basename(w.db)) or n == "agent.log"]
    return bad + ["%s has a value" % n for n in left for x in (b"Nightingale", b"secret", b"AQ4AQI") if x in open(w.dir + "/" + n, "rb").read()]


TAINT = """
import http.client, os, socket, ssl, sys
org, vendor, row, address = sys.argv[1:5]
def ask(conn, what, method="GET", path=row):
    try:
        conn.request(method, path + "?" + what)
        conn.getresponse().read()
        print(what, "ok", flush=True)
    except OSError as e:
        print(what, "refused", flush=True)
    return conn
def to(host):
    return http.client.HTTPSConnection(host, timeout=4, context=ssl.create_default_context())
def datagram(what):
    try:
        u.send(what.encode())
        print(what, "ok", flush=True)
    except OSError:
        print(what, "refused", flush=True)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect((address, 9999))
v = ask(to(vendor), "t-before", "POST", "/in")
datagram(sys.argv[5])
r, w = os.pipe()
if not os.fork():
    os.read(r, 1)
    ask(to(vendor), "t-child", "POST", "/in")
    os._exit(0)
o = ask(to(org), "t-read")
ask(v, "t-open", "POST", "/in")
datagram(sys.argv[6])
ask(to(vendor), "t-new", "POST", "/in")
ask(o, "t-again")
ask(to(org), "t-once-more")
os.write(w, b"x")
os.wait()
"""


def sight_taint(w):
    """"taint": "confined": a tool that goes where it likes is confined from the first octet on that it reads from the org, with all that
    it has open and started; its connection to the org goes on."""
    shell, script, bad = shutil.copy("/bin/bash", w.dir + "/reader"), w.dir + "/taint.py", []
    with open(script, "w") as f:
        f.write(TAINT)
    t = tools(w, taint="confined")
    t["tools"][0].update(match=[{"exe": shell}], allow=["crm.own"])

    def go():
        mark, sent = len(arrived(w)), ["tkn%d%s" % (i, os.urandom(6).hex()) for i in range(2)]
        _, out = w.run(shell, "-c", "python3 %s acme.my.salesforce.com api.ai-vendor.example %s %s %s %s; true" % (script, ROW, W.AI, *sent), confined=False, timeout=40)
        time.sleep(0.5)
        said = dict(line.split() for line in out.split("\n") if len(line.split()) == 2)
        return {r["url"].split("?")[1] for r in arrived(w, mark) if "?" in r["url"]}, [bool(w.arrived(x)) for x in sent], said
    every = {"t-before", "t-read", "t-open", "t-new", "t-again", "t-once-more", "t-child"}
    got = go()
    bad += [] if got[0] == every and got[1] == [True, True] else ["does not leak without crmfence: %s" % (got,)]
    w.start("--quiet", **tools(w))  # whose tool is another program
    got = go()
    bad += [] if got[0] == every and got[1] == [True, True] else ["one that is no tool: %s" % (got,)]
    w.stop()
    w.start("--quiet", **t)
    got = go()
    bad += [] if got[0] == {"t-before", "t-read", "t-again", "t-once-more"} and got[1] == [True, False] and \
        {k for k, v in got[2].items() if v == "refused" and k[:2] == "t-"} == {"t-open", "t-new", "t-child"} else ["confined: %s" % (got,)]
    time.sleep(1.5)
    rows = w.rows()
    taints = [r for r in rows if r["kind"] == "taint"]
    starts = [r for r in rows if r["kind"] == "session" and r["change"] == "start"]
    bad += [] if len(starts) == 1 and starts[0]["confined"] is False else ["sessions: %s" % starts]
    bad += [] if len(taints) == 1 and taints[0].get("confined") and taints[0]["session"] == starts[0]["session"] else ["told: %s" % taints]
    bad += [] if {r.get("dns") for r in rows if r["kind"] == "deny"} == {"api.ai-vendor.example", None} else ["denials: %s" % [r for r in rows if r["kind"] == "deny"]]
    # who only asks others stays as he was
    mark = len(arrived(w))
    w.run(shell, "-c", "for i in 1 2 3; do curl -sS -o /dev/null https://api.ai-vendor.example/in?t-$i; done", confined=False)
    bad += [] if len(arrived(w, mark)) == 3 else ["one that has read nothing is refused"]
    w.stop()
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


ALONE = [sight_programs, sight_missed, sight_discovery, sight_tried, sight_opaque, sight_secrets, sight_evidence, sight_taint, sight_websocket, sight_actions, sight_jsforce, sight_witness, sight_values, sight_sandbox, sight_listed, sight_sole, sight_tool_inside, sight_extensions, sight_addon, browser_policy, sight_off]
