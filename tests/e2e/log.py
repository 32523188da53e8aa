# SPDX-License-Identifier: Apache-2.0
"""The log: whoever reads it and sees nothing wrong may rely on it, whatever was done to its file."""
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import time

import world as W
from world import AI

ALONE = []
TABLE = ("CREATE TABLE log(seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, ts INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, "
         "hash BLOB NOT NULL)")
BOOT = "11111111-2222-3333-4444-555555555555"
READERS = ["flows", "requests", "alerts", "sessions", "report", "verify"]


def unmount(w, mount):
    """Who writes the log may be at it still, for half a minute."""
    w.wait(lambda: W.sh("umount", mount, check=False).returncode == 0, "umount", 60)


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


# ---- the agent, when its log cannot be written or is not what it left ----

FLOOD = """
import socket, sys
for i in range(int(sys.argv[1])):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("%s", 9))
    s.send(b"x")
    s.close()
""" % AI


def status(w):
    """Exit status and JSON."""
    p = W.sh(W.BUILD + "/crmfence", "status", "--json", "--control", w.control, check=False)
    return p.returncode, json.loads(p.stdout) if p.stdout.startswith("{") else {}


def await_status(w, want, name, seconds=30):
    """Until the agent's status is as wanted; that status."""
    last = []

    def look():
        last[:] = [status(w)[1]]
        return bool(last[0]) and want(last[0])

    try:
        w.wait(look, name, seconds)
    except RuntimeError as e:
        raise RuntimeError("%s: %s" % (e, {k: v for k, v in last[0].items() if k.startswith("log")}))
    return last[0]


def says(w, bad, when, code, words):
    """status and doctor: exit status, and words that both say. Doctor may have other reasons for 1."""
    for command in ("status", "doctor"):
        p = W.sh(W.BUILD + "/crmfence", command, "--control", w.control, check=False)
        lines = " ".join(x for x in p.stdout.splitlines() if x.startswith(("log ", "trouble   log", "open      log")))
        if (command == "status" and p.returncode != code) or (words and p.returncode != 1 and command == "doctor") or \
                any(x not in lines for x in words) or (not words and ("CANNOT" in lines or "open" in lines or "trouble" in lines)):
            bad.append("%s: %s: exit status %d, expected %s: %r" % (when, command, p.returncode, words, lines))


def denied(w, bad, port, when):
    """A session tries, and is refused, whatever the log does; and another is let through."""
    _, out = w.run(*w.leak, "udp", AI, str(port), W.token())
    bad += [] if out.startswith("EPERM") else ["%s: not refused: %r" % (when, out)]
    code, out = w.run("curl", "-sS", "-m", "10", "https://acme.my.salesforce.com/quiet/%d" % port)
    bad += ["%s: what is allowed failed: %r" % (when, out)] if code else []


def ports(db, kind="deny"):
    """The ports of the refused, in the log; none where it cannot be read."""
    try:
        c = sqlite3.connect("file:%s?mode=ro" % db, uri=True, timeout=5)
        rows = [json.loads(b) for (b,) in c.execute("SELECT body FROM log WHERE kind=? ORDER BY seq", (kind,))]
        c.close()
    except sqlite3.Error:
        return []
    return [r if kind != "deny" else r.get("port") for r in rows]


def await_ports(w, bad, db, want, when):
    """Until each of them is in the log."""
    try:
        w.wait(lambda: want <= set(ports(db)), "row")
    except RuntimeError:
        bad.append("%s: denials of %s are not in the log: %s" % (when, sorted(want), sorted(set(ports(db)))))


def alerts(w, bad, when, words):
    """`alerts`, of which only those of the log are of interest here."""
    p = read("alerts", w.db, "--json")
    rows = [json.loads(x) for x in p.stdout.splitlines() if x.startswith("{")]
    mine = " ".join(r["reason"] for r in rows if r["rule"] == "E015" and r.get("authority") == "log")
    if any(x not in mine for x in words) or (not words and mine) or p.returncode != (1 if rows else 0):
        bad.append("%s: alerts: exit status %d, expected %s: %r %r" % (when, p.returncode, words, mine, p.stdout[-200:]))


def fits(bad, db, when, code=0):
    p = read("verify", db)
    bad += [] if p.returncode == code else ["%s: verify: exit status %d: %r" % (when, p.returncode, p.stdout)]


def held_for(w, bad, seconds, port):
    """Another program has the lock on writing; nothing is lost."""
    when = "locked for %d s" % seconds
    w.start()
    await_status(w, lambda s: s["log_seq"] > 0, "the log")
    db = sqlite3.connect(w.db, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    start = time.time()
    denied(w, bad, port, when)
    await_status(w, lambda s: not s["log_writable"], "that it cannot be written")
    says(w, bad, when, 1, ["another program holds it"])
    fits(bad, w.db, when)
    while time.time() < start + seconds:  # the time is the case
        denied(w, bad, port + 1, when)
        time.sleep(min(5, max(0, start + seconds - time.time())))
    db.execute("ROLLBACK")
    db.close()
    s = await_status(w, lambda s: s["log_writable"] and not s["log_waiting"], "that it is written again")
    await_ports(w, bad, w.db, {port, port + 1}, when)
    bad += [] if not s["log_lost"] and not ports(w.db, "gap") else ["%s: rows are lost: %s %s" % (when, s["log_lost"], ports(w.db, "gap"))]
    says(w, bad, when + ", then", 0, [])
    alerts(w, bad, when, [])
    w.stop()
    fits(bad, w.db, when)


@alone
def log_locked(w):
    bad = []
    held_for(w, bad, 3, 9100)
    held_for(w, bad, 60, 9110)
    return bad


def fill(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(fd, b"\0" * 4096):
            pass
    except OSError:
        pass
    os.close(fd)


@alone
def log_disk_full(w):
    """Full at the start, and full later until more rows wait than there is room for: enforced all the time, the loss counted to the row."""
    bad, mount = [], w.dir + "/small"
    os.mkdir(mount)
    W.sh("mount", "-t", "tmpfs", "-o", "size=64m", "none", mount)
    try:
        fill(mount + "/ballast")
        w.start("--quiet", db=mount + "/egress.db")
        denied(w, bad, 9200, "full at the start")
        await_status(w, lambda s: not s["log_writable"], "that it cannot be written")
        says(w, bad, "full at the start", 1, ["make room"])
        text = open(w.dir + "/agent.log").read()
        bad += [] if "cannot be written (make room)" in text else ["the agent did not say so: %r" % text[-300:]]
        os.unlink(mount + "/ballast")
        await_status(w, lambda s: s["log_writable"] and s["log_seq"] > 0 and not s["log_waiting"], "that it is written")
        await_ports(w, bad, w.db, {9200}, "full at the start")
        bad += [] if len(ports(w.db, "start")) == 1 and not ports(w.db, "gap") else ["the agent's start is not in the log, or rows are lost"]
        says(w, bad, "room again", 0, [])

        fill(mount + "/ballast")
        for _ in range(10):
            w.run("python3", "-c", FLOOD, "20000", confined=False, timeout=120)
            if status(w)[1]["log_lost"]:
                break
        denied(w, bad, 9201, "full later")
        s = await_status(w, lambda s: s["log_lost"] > 0, "a loss")
        says(w, bad, "full later", 1, ["make room", "rows are lost"])
        fits(bad, w.db, "full later")
        os.unlink(mount + "/ballast")
        s = await_status(w, lambda s: s["log_writable"] and not s["log_waiting"], "that it is written again", 60)
        denied(w, bad, 9202, "room again")
        await_ports(w, bad, w.db, {9202}, "room again")
        s = await_status(w, lambda s: not s["log_waiting"], "all rows")
        gaps = sum(r["count"] for r in ports(w.db, "gap") if r["what"] == "rows")
        bad += [] if gaps == s["log_lost"] > 0 else ["lost %d rows, %d are told as a gap" % (s["log_lost"], gaps)]
        says(w, bad, "after a loss", 0, ["lost"])
        alerts(w, bad, "after a loss", ["rows found no room"])
        w.stop()
        fits(bad, w.db, "after a loss")
        return bad
    finally:
        w.stop()
        unmount(w, mount)


@alone
def log_read_only(w):
    """The agent starts and enforces where its log can only be read; and writes it from when it can."""
    bad, mount = [], w.dir + "/medium"
    os.mkdir(mount)
    W.sh("mount", "-t", "tmpfs", "none", mount)
    try:
        W.sh("mount", "-o", "remount,ro", mount)
        w.start(db=mount + "/egress.db")
        denied(w, bad, 9300, "read-only")
        await_status(w, lambda s: not s["log_writable"], "that it cannot be written")
        says(w, bad, "read-only", 1, ["it can only be read there"])
        W.sh("mount", "-o", "remount,rw", mount)
        await_status(w, lambda s: s["log_writable"] and s["log_seq"] > 0, "that it is written")
        await_ports(w, bad, w.db, {9300}, "read-only")
        says(w, bad, "writable again", 0, [])
        w.stop()
        fits(bad, w.db, "read-only")
        return bad
    finally:
        w.stop()
        unmount(w, mount)


@alone
def log_frozen(w):
    """The file system of the log stands still for a minute: sessions go on, an allowed one and a refused one; then every row is there."""
    bad, image, mount = [], w.dir + "/disk.img", w.dir + "/disk"
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    W.sh("mkfs.ext4", "-q", "-F", image)
    os.mkdir(mount)
    W.sh("mount", "-o", "loop", image, mount)
    frozen = False
    try:
        w.start(db=mount + "/egress.db")
        await_status(w, lambda s: s["log_seq"] > 0, "the log")
        W.sh("fsfreeze", "-f", mount)
        frozen, start = True, time.time()
        denied(w, bad, 9400, "frozen")
        await_status(w, lambda s: not s["log_writable"], "that it stands still")
        says(w, bad, "frozen", 1, ["the disk does not answer"])
        while time.time() < start + 60:  # the time is the case
            denied(w, bad, 9401, "frozen")
            time.sleep(5)
        W.sh("fsfreeze", "-u", mount)
        frozen = False
        s = await_status(w, lambda s: s["log_writable"] and not s["log_waiting"], "that it is written")
        await_ports(w, bad, w.db, {9400, 9401}, "thawed")
        bad += [] if not s["log_lost"] and not ports(w.db, "gap") else ["rows are lost"]
        says(w, bad, "thawed", 0, [])
        alerts(w, bad, "thawed", [])

        W.sh("fsfreeze", "-f", mount)  # and the agent ends in it: in time, and its rows are there when it is over
        frozen = True
        denied(w, bad, 9402, "frozen at the end")
        await_status(w, lambda s: not s["log_writable"], "that it stands still")
        start = time.time()
        w.stop()
        bad += [] if time.time() - start < 9 * W.SLOW else ["the agent's end waits for the disk"]
        W.sh("fsfreeze", "-u", mount)
        frozen = False
        await_ports(w, bad, w.db, {9402}, "frozen at the end")
        w.wait(lambda: not os.path.exists(w.db + "-wal"), "the end of who writes")
        fits(bad, w.db, "frozen at the end")
        return bad
    finally:
        if frozen:
            W.sh("fsfreeze", "-u", mount)
        w.stop()
        W.sh("umount", "-l", mount)


def sql(db, text):
    c = sqlite3.connect(db, timeout=10)
    c.executescript(text)
    c.close()


def moved(db):
    os.rename(db, db + ".1")
    return db + ".1"


def copy_truncated(db):
    shutil.copy(db, db + ".1")
    os.truncate(db, 0)


def deleted(db):
    os.unlink(db)


def wal_deleted(db):
    os.unlink(db + "-wal")


def shm_cut(db):
    os.truncate(db + "-shm", 0)


def trigger_made(db):
    sql(db, "CREATE TRIGGER t BEFORE INSERT ON log BEGIN SELECT RAISE(IGNORE); END")


def rows_deleted(db):
    sql(db, "DELETE FROM log WHERE seq > (SELECT max(seq) - 3 FROM log)")


# what is done to the log of a running agent; what is told; whether the rows before are whole in the old file, or in the new; where the old is
DONE = [(moved, "taken from its place", True), (copy_truncated, "somebody else cut it", False), (deleted, "taken from its place", True),
        (wal_deleted, "taken from its place", True), (trigger_made, "somebody else cut it, or wrote", None), (rows_deleted, "or wrote into it", None),
        (shm_cut, "signal 7", True)]


@alone
def log_done_to(w):
    """Under the running agent: told within seconds, written on, and the old kept where that can be."""
    bad = []
    for i, (how, told, whole) in enumerate(DONE):
        when, port = how.__name__, 9500 + 10 * i
        w.start()
        denied(w, bad, port, when)
        await_ports(w, bad, w.db, {port}, when)
        await_status(w, lambda s: not s["log_waiting"], "rows")
        how(w.db)
        denied(w, bad, port + 1, when)
        try:
            s = await_status(w, lambda s: told in s["log_told"], "that it is told")
        except RuntimeError as e:
            bad.append("%s: %s" % (when, e))
            w.stop()
            continue
        says(w, bad, when, 0, [told])
        await_ports(w, bad, w.db, {port + 1}, when)
        alerts(w, bad, when, [told])
        fits(bad, w.db, when)
        rows = [r for r in ports(w.db, "log") if told in r["why"]]
        bad += [] if len(rows) == 1 else ["%s: not told in the log: %s" % (when, ports(w.db, "log"))]
        old = rows[0].get("file") if rows else None
        if how is not shm_cut:
            bad += [] if old and os.path.exists(old) and rows[0].get("seq") else ["%s: the old is not kept: %s" % (when, rows)]
        bad += [] if whole is None or (port in ports(old or w.db)) == whole else ["%s: rows of before: %s" % (when, ports(old or w.db))]
        if whole and old:
            fits(bad, old, when + ", the old")
        bad += [] if w.agent.poll() is None else ["%s: the agent ended" % when]
        w.stop()
        fits(bad, w.db, when)
    return bad


@alone
def log_killed(w):
    """Who writes is killed, then who starts it again too; then the agent. Rows that were put are there; what is not known to be is told."""
    bad = []
    w.start()

    def writers(of):
        return [int(x) for x in W.sh("pgrep", "-x", "-P", str(of), "crmfenced-log", check=False).stdout.split()]

    w.wait(lambda: writers(w.agent.pid), "the keeper")
    keeper = writers(w.agent.pid)[0]
    w.wait(lambda: writers(keeper), "the writer")
    for i in range(3):
        os.kill(writers(keeper)[0], signal.SIGKILL)
        denied(w, bad, 9600 + i, "writer killed")
        await_status(w, lambda s: "signal 9" in s["log_told"] and not s["log_waiting"], "another one")
        w.wait(lambda: writers(keeper), "another one")
    await_ports(w, bad, w.db, {9600, 9601, 9602}, "writer killed")
    alerts(w, bad, "writer killed", ["signal 9"])
    says(w, bad, "writer killed", 0, ["signal 9"])
    fits(bad, w.db, "writer killed")
    pids = [keeper] + writers(keeper)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    denied(w, bad, 9610, "nobody writes")
    await_status(w, lambda s: not s["log_writable"], "that nobody writes")
    says(w, bad, "nobody writes", 1, ["restart the agent"])
    w.stop()

    w.start(db=w.db)  # finds that the one before did not end as it should
    denied(w, bad, 9620, "started again")
    await_ports(w, bad, w.db, {9620}, "started again")
    denied(w, bad, 9621, "to be killed")
    w.agent.kill()
    w.agent.wait()
    w.agent = None
    os.unlink(w.control)
    w.start(db=w.db)
    await_ports(w, bad, w.db, {9620, 9621}, "the agent killed")
    told = [r["what"] for r in ports(w.db, "log")]
    bad += [] if told.count("unclean") == 2 else ["who did not end is not told: %s" % told]
    w.stop()
    fits(bad, w.db, "killed")
    return bad


@alone
def log_cut_before(w):
    """Between two runs the tail is cut, then the file is taken away: verify and the next start say so."""
    bad = []
    w.start()
    denied(w, bad, 9700, "before")
    await_ports(w, bad, w.db, {9700}, "before")
    w.stop()
    db = w.db
    fits(bad, db, "before")
    sql(db, "DELETE FROM log WHERE seq > (SELECT max(seq) - 3 FROM log)")
    each_reader(db, {"all": 2, "verify": 1}, "gone from the end", bad, "tail cut")
    for what, say in (("short", "gone from the log's end"), ("short", "gone from the log's end")):
        w.start(db=db)
        await_status(w, lambda s: say in s["log_told"], "that it is told")
        says(w, bad, "tail cut", 0, [say])
        w.wait(lambda: any(r["what"] == what for r in ports(db, "log")), "the row")
        alerts(w, bad, "tail cut", [say])
        fits(bad, db, "tail cut")
        w.stop()
        os.unlink(db)
    w.start(db=db)
    await_status(w, lambda s: s["log_seq"] > 0, "the log")
    w.stop()
    w.start(db=db)  # nothing was done: nothing is told
    await_status(w, lambda s: s["log_seq"] > 0, "the log")
    says(w, bad, "as it was left", 0, [])
    alerts_of = [r for r in ports(db, "log") if r["what"] != "short"]
    bad += [] if not alerts_of else ["told without cause: %s" % alerts_of]
    w.stop()
    return bad


AGAIN = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[1])):
    try:
        s.sendto(b"x", ("%s", 9850))
    except OSError:
        pass
    time.sleep(0.05)
""" % AI


@alone
def log_rotated_alerts(w):
    """The log is moved away while a tool is refused again and again: what is counted from then on is of an alert in the new file."""
    bad = []
    w.start("--quiet")
    p = w.popen("python3", "-c", AGAIN, "300")
    w.wait(lambda: ports(w.db, "alert-count"), "counts in the old file")
    os.rename(w.db, w.db + ".1")
    w.wait(lambda: [r for r in ports(w.db, "alert-count")], "counts in the new file", 40)
    p.communicate(timeout=60)
    await_status(w, lambda s: not s["log_waiting"], "all rows")
    w.stop()
    c = sqlite3.connect(w.db)
    rows = [(seq, kind, json.loads(body)) for seq, kind, body in c.execute("SELECT seq, kind, body FROM log ORDER BY seq")]
    c.close()
    raised = {seq for seq, kind, r in rows if kind == "alert" and r["rule"] == "E007"}
    of = [r["alert"] for _, kind, r in rows if kind == "alert-count"]
    if not raised or len([x for x in of if x not in raised]) > 2:  # the moment of the move may be counted of the old file's
        bad.append("alerts %s, counts of %s" % (raised, of))
    return bad
