# SPDX-License-Identifier: Apache-2.0
"""TLS sight of what was done to the org and of what left: actions, values, taint, evidence; cases for run.py."""
import base64
import csv
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import xml.etree.ElementTree

import world as W
from sight import OWN, DATA, ROW, TOKEN, tools, arrived, curl

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
            if name.startswith(os.path.basename(w.db)) or name in ("agent.log", "tls-offsets"):
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
        if name.startswith(os.path.basename(w.db)) or name in ("agent.log", "tls-offsets"):
            said[name] = open(w.dir + "/" + name, "rb").read().decode("latin1")
    found = {n: [s for s in secrets if s in text] for n, text in said.items()}
    return bad + ["%s has %d secrets: %s" % (n, len(f), f[:2]) for n, f in found.items() if f]


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
            want = [] if name == "else" else [("E023", ["006000000000001AAA"], ["Name"], "models.acme.example")]
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
        bad += [] if got == ([("E023", "models.acme.example", ["006000000000001AAA"], ["Name"])] if want else []) and up == [(3, 3, "2" if name == "HTTP/2" else "1.1")] else [
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
            ("honey", ("--data", "they call it %s now" % honey, out), [("E024", "honey", ("$.org.honey[1]",))]),
            ("honey, URL", ("%s?q=%s" % (out, urllib.parse.quote(honey)),), [("E024", "honey", ("$.org.honey[1]",))]),
            ("honey, id", ("--data", '{"lead":"00Q5j00000AbCdEEAV"}', out), [("E024", "honey", ("$.org.honey[0]",))]),
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

def sight_sign_on(w):
    """Each sign-on of a session is a row, another user's E020, and from then on it is that user; what carries a credential is its owner's, however it
    was given and is sent, and nobody's when no sign-on of its was seen."""
    me, admin, bad = "0055j000000utlPAAQ", "0055j000000utlQAAQ", []
    t = tools(w)
    t["org"].update(users={"root": me})
    w.start("--quiet", **t)
    token, info, soap, out = OWN + "/services/oauth2/token", OWN + "/services/oauth2/userinfo", OWN + "/services/Soap/u/60.0", ["--next", "-sS", "-o", "/dev/null"]
    person, other, stranger = ("00D5f000000J2PK!" + x for x in ("token", "admintoken", "AQ4AQsomebodyelsestokensomebodyelses"))
    as_me, as_admin = (["--data", "grant_type=%s&code=x" % g, token] for g in ("authorization_code", "password&username=admin"))

    def ask(*how):
        return [*how, OWN + ROW]

    def bearer(value, word="Bearer"):
        return ask("-H", "Authorization: %s %s" % (word, value))

    def xml(text, head=""):
        return ["-H", "Content-Type: text/xml", "-H", "SOAPAction: x", "--data", "<e><Header>%s</Header><Body>%s</Body></e>" % (head, text), soap]

    def one(what, parts, users, signs=(), alerts=0):
        done = max([r["id"] for r in w.rows()] or [0])
        rc, text = w.run("curl", "-sS", "-o", "/dev/null", *[x for i, p in enumerate(parts) for x in (out if i else []) + p])
        rows = [r for r in w.rows() if r["id"] > done]
        got = [(r.get("user"), r["user_by"]) for r in rows if r["kind"] == "action" and r["verb"] in ("read", "update", "query")]
        seen = [(r["how"], r["user"], r.get("before")) for r in rows if r["kind"] == "sign-on"]
        told = [(r["rule"], r["name"], r["user"]) for r in rows if r["kind"] == "alert"]
        if rc or got != users or seen != list(signs) or told != [("E020", "user-differs", admin)] * alerts:
            bad.append("%s: exit %d %s; users %s, sign-ons %s, alerts %s" % (what, rc, text[-200:], got, seen, told))
    mine, his, nobodys = (me, "sign-on"), (admin, "sign-on"), (None, "not-shown")
    change = ["-X", "PATCH", "-H", "Content-Type: application/json", "--data", '{"StageName":"x"}', OWN + ROW]
    one("no sign-on", [ask()], [(me, "policy")])
    one("the person, twice", [as_me, ask(), as_me, change], [mine, mine], [("token", me, None), ("token", me, me)])
    one("somebody else alone", [as_admin, ask()], [his], [("token", admin, None)], 1)
    one("the person, then somebody else", [as_me, change, as_admin, change], [mine, his], [("token", me, None), ("token", admin, me)], 1)
    one("both, each by his token", [as_me, as_admin, bearer(person), bearer(other), bearer(person), ask()], [mine, his, mine, his],
        [("token", me, None), ("token", admin, me)], 1)
    for what, how in (("bearer", bearer(stranger)), ("oauth", bearer(stranger, "OAuth")), ("a JWT", bearer("eyJhbGciOiJub25lIn0.e30.x")), ("cookie", ask("-b", "a=b; sid=%s; c=d" % stranger)),
                      ("X-SFDC-Session", ask("-H", "X-SFDC-Session: " + stranger)), ("cookie behind a field", ask("-H", "Authorization: Bearer " + stranger, "-b", "sid=" + person)),
                      ("SOAP", xml("<query><queryString>SELECT Id FROM Lead</queryString></query>", "<sessionId>%s</sessionId>" % stranger))):
        one("nobody's " + what, [how], [nobodys])
        one("nobody's %s after a sign-on" % what, [as_me, how], [nobodys], [("token", me, None)])
    one("a cookie of the person's", [as_me, as_admin, ask("-b", "sid=" + person.replace("!", "%21"))], [mine], [("token", me, None), ("token", admin, me)], 1)
    one("userinfo", [["-H", "Authorization: Bearer an-admin-of-old", info], bearer("an-admin-of-old"), ask()], [his, his], [("userinfo", admin, None)], 1)
    one("userinfo of who is known", [as_me, ["-H", "Authorization: Bearer " + person, info], ask()], [mine], [("token", me, None)])
    one("SOAP login", [xml("<login><username>admin</username></login>"), bearer("00D5f000000J2PK!adminsession"),
                       xml("<query><queryString>SELECT Id FROM Lead</queryString></query>", "<sessionId>00D5f000000J2PK!adminsession</sessionId>")], [his, his], [("soap", admin, None)], 1)
    w.stop()
    said = W.sh(W.BUILD + "/crmfence", "report", "--db", w.db, "--json", check=False)
    why = [(r["inheritance"], r["why"]) for r in map(json.loads, said.stdout.split("\n")[:-1]) if r["verbs"]]
    bad += [] if why[2][0] == why[3][0] == "broken" and all(x == ("not shown", "it used a credential of which no sign-on was seen") for x in why[5:17]) else ["report: %s" % why]
    left = [n for n in os.listdir(w.dir) if n.startswith(os.path.basename(w.db)) or n == "agent.log"]
    return bad + ["%s has a credential" % n for n in left for x in (b"admintoken", b"AQ4AQ", b"adminsession", b"eyJ") if x in open(w.dir + "/" + n, "rb").read()]


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


ALONE = [sight_secrets, sight_evidence, sight_sign_on, sight_taint, sight_websocket, sight_actions, sight_jsforce, sight_values]
