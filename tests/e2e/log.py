# SPDX-License-Identifier: Apache-2.0
"""The log: whoever reads it and sees nothing wrong may rely on it, whatever was done to its file."""
import hashlib
import json
import os
import shutil
import sqlite3

import world as W

ALONE = []
TABLE = ("CREATE TABLE log(seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, ts INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, "
         "hash BLOB NOT NULL)")
BOOT = "11111111-2222-3333-4444-555555555555"
READERS = ["flows", "requests", "alerts", "sessions", "report", "verify"]


def alone(f):
    ALONE.append(f)
    return f


def body(i):
    """Row i: flows, and in places what each listing shows."""
    if i % 1000 == 1:
        return "session", {"change": "start", "match": "exec", "pid": 5, "session": "9", "start": i, "tool": "t"}
    if i % 1000 == 2:
        return "request", {"authority": "acme.my.salesforce.com", "exec": "1", "method": "GET", "path": "/x", "status": 200}
    if i % 1000 == 999:
        return "alert", {"authority": "paste.example", "left": 1, "name": "token-exposure", "pid": 5, "rule": "E014", "session": "9", "tool": "t"}
    return "flow", {"action": "allow", "addr": "10.99.1.10", "exec": "1", "port": 443, "session": "9", "start": i, "state": "closed", "tool": "t"}


def append(db, n):
    """n more rows behind those that are there, with the product's chain."""
    seq, prev = db.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone() or (0, bytes(32))
    with db:
        for i in range(seq + 1, seq + n + 1):
            kind, b = body(i)
            text, ts = json.dumps(b, separators=(",", ":"), sort_keys=True), 1795910400 * 10**9 + i
            prev = hashlib.sha256(prev + ("%d\n%s\n%d\n%s\n" % (i, BOOT, ts, kind)).encode() + text.encode()).digest()
            db.execute("INSERT INTO log VALUES(?,?,?,?,?,?)", (i, BOOT, ts, kind, text, prev))


def make(path, n):
    for end in ("", "-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)
    db = sqlite3.connect(path)
    db.execute(TABLE)
    append(db, n)
    db.close()


def read(command, path, *more, prefix=()):
    return W.sh(*prefix, W.BUILD + "/crmfence", command, *more, "--db", path, check=False)


def each_reader(path, want, say, bad, what, prefix=()):
    """Exit status of each listing and of verify; `say`: what their output has to have in it."""
    for command in READERS:
        p = read(command, path, prefix=prefix)
        code = want.get(command, want["all"])
        if p.returncode != code or (say and say not in p.stdout):
            bad.append("%s: %s: exit status %d, expected %d and %r: %r" % (what, command, p.returncode, code, say, p.stdout[-300:]))


@alone
def log_readers(w):
    """A damaged page, an edited row, another schema, copies and read-only media: each listing says so, by sentence and exit status."""
    bad, d = [], w.dir + "/log"
    os.mkdir(d)
    os.chmod(d, 0o755)
    db, nobody = d + "/egress.db", ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    fine = {"all": 0, "alerts": 1, "report": 1}
    make(db, 5000)
    each_reader(db, fine, "", bad, "as it was written")
    head = sqlite3.connect(db).execute("SELECT hash FROM log WHERE seq=5000").fetchone()[0].hex()
    p = read("verify", db)
    bad += [] if "last row 5000, hash " + head in p.stdout and "kept elsewhere" in p.stdout else ["verify does not say where the log ends: %r" % p.stdout]
    p = read("verify", db, "--json").stdout
    v = json.loads(p) if p.startswith("{") else {}
    bad += [] if (v.get("rows"), v.get("seq"), v.get("head"), v.get("bad"), v.get("cut")) == (5000, 5000, head, 0, False) else ["verify --json: %s" % p]

    os.chmod(db, 0o644)  # an auditor's copy, in a directory where he may not write
    each_reader(db, fine, "", bad, "by nobody", nobody)
    for what, size in (("noise", 1), ("zeros", 64)):
        make(db, 5000)
        with open(db, "r+b") as f:
            f.seek(4096 * 200)
            f.write((os.urandom(4096) if what == "noise" else bytes(4096)) * size)
        each_reader(db, {"all": 2, "verify": 1}, "cannot be read", bad, what)
    for what, sql in (("a NUL behind kinds", "UPDATE log SET kind=CAST(kind||char(0) AS TEXT) WHERE kind='alert'"),
                      ("an edited row", "UPDATE log SET body=replace(body,'allow','deny') WHERE seq=77")):
        make(db, 5000)
        c = sqlite3.connect(db)
        c.execute(sql)
        c.commit()
        c.close()
        each_reader(db, {"all": 2, "verify": 1}, "does not fit", bad, what)
    make(db, 5000)
    c = sqlite3.connect(db)
    c.execute("CREATE TRIGGER t BEFORE INSERT ON log BEGIN SELECT RAISE(IGNORE); END")
    c.close()
    each_reader(db, {"all": 2}, "its tables are not", bad, "a trigger")

    make(db, 5000)
    live = sqlite3.connect(db)
    live.execute("PRAGMA journal_mode=WAL")
    append(live, 1000)
    each_reader(db, fine, "", bad, "live")
    os.mkdir(d + "/medium")
    W.sh("mount", "-t", "tmpfs", "none", d + "/medium")
    try:
        for name in ("both", "alone"):
            os.mkdir("%s/medium/%s" % (d, name))
            shutil.copy(db, "%s/medium/%s/egress.db" % (d, name))
        shutil.copy(db + "-wal", d + "/medium/both/egress.db-wal")
        W.sh("chmod", "-R", "a+rX", d + "/medium")
        for where in ("where it may be written", "on a read-only medium"):
            each_reader(d + "/medium/both/egress.db", fine, "", bad, "with its -wal, " + where)
            each_reader(d + "/medium/alone/egress.db", {"all": 0, "alerts": 1, "report": 1, "verify": 1}, "without its -wal", bad, "alone, " + where)
            each_reader(d + "/medium/both/egress.db", fine, "", bad, "with its -wal, by nobody, " + where, nobody)
            W.sh("mount", "-o", "remount,ro", d + "/medium")
        left = sorted(os.listdir(d + "/medium/both") + os.listdir(d + "/medium/alone"))
        bad += [] if left == ["egress.db", "egress.db", "egress.db-wal"] else ["readers leave files: %s" % left]
    finally:
        W.sh("umount", d + "/medium")
    p = W.sh(W.BUILD + "/crmfence", "log", "copy", d + "/copy.db", "--db", db, check=False)
    bad += [] if not p.returncode and "6000 rows" in p.stdout and not os.path.exists(d + "/copy.db-wal") else ["log copy: %r" % p.stdout]
    each_reader(d + "/copy.db", fine, "", bad, "copied")
    live.close()

    make(db, 10)  # nothing to be alerted of, where rows may be missing
    shutil.copy(db, d + "/cut.db")
    c = sqlite3.connect(d + "/cut.db")
    c.execute("PRAGMA journal_mode=WAL")
    c.close()
    each_reader(d + "/cut.db", {"all": 0, "alerts": 2, "report": 2, "verify": 1}, "without its -wal", bad, "no alert in a cut copy")
    each_reader(db, {"all": 0}, "", bad, "no alert")

    for args in (["verify", "--since", "1d"], ["verify", "--last", "1"], ["why", "1", "--since", "1d"], ["sessions", "--last", "1"], ["flows", "deny"],
                 ["log", "move", "x"], ["log", "copy"], ["verify", "x"]):
        p = read(args[0], db, *args[1:])
        bad += [] if p.returncode == 2 and "usage" in p.stdout else ["%s is not refused: %d %r" % (args, p.returncode, p.stdout)]
    return bad
