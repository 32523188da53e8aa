# SPDX-License-Identifier: Apache-2.0
"""What a launch looks at and takes away: descriptors 0 to 2, root's files, switches, devices and roads. Cases for run.py."""
import fcntl
import glob
import os
import re
import select
import shutil
import socket
import time

import world as W
from world import AI, token

NOBODY = 65534


def standard_descriptors(w):
    """`crmfence exec` hands on what it knows on 0, 1 and 2: files, pipes, terminals, Unix sockets. Through the rest a session would send unseen:
    nothing starts, and the line names the descriptor; in monitor mode that is a warning."""
    tcp, a = socket.socket(), socket.socketpair()
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    pty = os.openpty()
    journal = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    shutil.copy("/bin/true", w.dir + "/file")
    good = {"null": os.open("/dev/null", os.O_RDWR), "pipe": os.pipe()[0], "pty": pty[1], "unix": a[0], "journal": journal[0],
            "file": os.open(w.dir + "/file", os.O_RDWR), "memory": os.memfd_create("x"), "etc": os.open("/etc/hosts", os.O_RDONLY)}
    bad = {"IPv4": tcp, "IPv6": socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), "packet": packet,
           "netlink": socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0), "directory": os.open("/tmp", os.O_RDONLY),
           "kernel's": os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY), "eventpoll": select.epoll(), "O_PATH": os.open("/", os.O_PATH)}
    for path, flags, name in (("/dev/net/tun", os.O_RDWR, "10:200"), ("/dev/loop0", os.O_RDONLY, "block"), ("/dev/kmsg", os.O_WRONLY, "1:11")):
        try:
            bad[name] = os.open(path, flags)
        except OSError:
            pass
    found = []
    for mode in ("enforce", "monitor"):
        w.start("--quiet", mode=mode)
        sessions = len(w.rows("session"))
        for uid in (0, NOBODY):
            for name, fd in list(good.items()) + list(bad.items()):
                p = w.popen("sh", "-c", "echo ran", uid=uid, stdin_fd=fd)
                out = p.communicate(timeout=20)[0]
                refused = name in bad and mode == "enforce"
                if p.returncode != (2 if refused else 0) or ("ran" in out) == refused or ((name in out) != (name in bad)):
                    found.append("%s, uid %d, %s: exit %d, %r" % (mode, uid, name, p.returncode, out[-200:]))
            for at in (1, 2):  # the line goes to the one that is left
                _, out = w.run("sh", "-c", "exec %s/crmfence exec --control %s --tool voice-assistant -- sh -c 'echo ran >&%d' %d>/dev/null %d</etc" % (
                    W.BUILD, w.control, 3 - at, at, at), confined=False, uid=uid)
                found += [] if ("ran" in out) == (mode == "monitor") else ["%s, uid %d, a directory on %d: %r" % (mode, uid, at, out)]
        if mode == "enforce" and len([r for r in w.rows("session") if r["change"] == "start"]) - sessions != 2 * len(good):
            found.append("a session began for what was refused")
        w.stop()
    return found


def standard_sockets_agent(w):
    """Who asks the agent by himself, past the command line, with a connected socket on 0 and another on 9: the first is the session's from
    then on and sends nothing; the other, which its starter has too, is left alone."""
    w.start("--quiet")
    tok, twin = token(), token()
    script = w.dir + "/ask.py"
    with open(script, "w") as f:
        f.write("""import os, socket, struct, sys
s = [socket.create_connection((%r, 80)) for _ in range(2)]
os.dup2(s[0].fileno(), 0); os.dup2(s[1].fileno(), 9)
if os.fork(): # the starter keeps the second one
    os.close(0); s[0].close(); os.wait(); s[1].sendall(b'POST /x HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 12\\r\\n\\r\\n' + sys.argv[2].encode()); s[1].recv(99)
    sys.exit()
for x in s: x.close()
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[3])
c.sendall(struct.pack('=IHHI48s', 0x46435243, 2, 2, 0, b'voice-assistant')); c.recv(4096); os.close(9)
try:
    n = os.write(0, b'POST /x HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 12\\r\\n\\r\\n' + sys.argv[1].encode()); print('wrote', n)
except OSError as e: print(e)
import time; time.sleep(1)
""" % AI)
    _, out = w.run("python3", script, tok, twin, w.control, confined=False, timeout=30)
    time.sleep(0.5)
    return (["it leaked: " + out] if w.arrived(tok) else []) + ([] if w.arrived(twin) else ["the starter was harmed: " + out])


FILES = {
    "open": ["$D/x", "/tmp/$T", "/root/.$T", "/dev/null", "/proc/self/oom_score_adj", "/dev/shm/$T", "/run/user/$T"],
    "shut": ["/$T", "/etc/$T", "/etc/hosts", "/usr/$T", "/usr/local/$T", "/boot/$T", "/run/$T", "/var/spool/$T", "/proc/sys/kernel/domainname", "/proc/sysrq-trigger",
             "/proc/irq/default_smp_affinity", "/sys/$T", "/dev/$T"],
}
ROOT = """cd $1; T=$2; D=$1
for f in %s; do ( : >>$f ) 2>/dev/null && echo "wrote $f"; case $f in *$T | $D/x) rm -f $f 2>/dev/null ;; esac; done  # opened, never changed: the machine is others' too
cat /etc/passwd /etc/hosts /usr/bin/env /proc/sys/kernel/core_pattern >/dev/null && echo read
getent hosts acme.my.salesforce.com >/dev/null && echo resolved
unshare -Ur true && echo userns
unshare -Urm mount -t tmpfs t /mnt 2>/dev/null && echo "mount in a namespace"
unshare -Ur sh -c ': >>/proc/sys/kernel/domainname' 2>/dev/null && echo "switch from a namespace"
ls /dev | tr '\\n' ' '; test -b /dev/loop0 && echo block
mknod $D/b b 7 0 2>/dev/null && echo "mknod"
script -qec 'tty' /dev/null | grep -o /dev/pts
ls /etc/cron.d >/dev/null 2>&1; cd /etc; ( : >>crmfence.$T ) 2>/dev/null && echo "by cwd"; rm -f crmfence.$T 2>/dev/null
( cd /proc/1/cwd && : >>etc/crmfence.$T ) 2>/dev/null && echo "by another's cwd"
( : >>/proc/1/root/etc/crmfence.$T ) 2>/dev/null && echo "by another's root"; rm -f /proc/1/root/etc/crmfence.$T 2>/dev/null
grep -qE " / ro[, ]" /proc/self/mountinfo && grep -qE " /var/lib rw" /proc/self/mountinfo && grep -qE " /var rw" /proc/self/mountinfo && echo pinned
ln /etc/hosts /root/.$T 2>/dev/null && echo "by another name"; rm -f /root/.$T
mv /root/.$T-there /tmp/ 2>/dev/null; touch /root/.$T-there 2>/dev/null && mv /root/.$T-there /tmp/$T-moved 2>/dev/null && echo moved; rm -f /tmp/$T-moved /root/.$T-there
grep -q CapEff:.*00000000808445fb /proc/self/status && echo caps
"""


def root_files(w):
    """A session of root's reads the system and writes its own files; what something outside obeys, switches and devices it does not write, by
    whatever path; a directory that the policy names below them stays open, and only that."""
    found, made = [], []
    for d in ("/run/user",):
        if not os.path.isdir(d):
            os.mkdir(d)
            made.append(d)
    script = ROOT % " ".join(FILES["open"] + FILES["shut"])
    inside = "/etc/crmfence-" + w.id
    for write in (None, [w.dir + "/ok", inside]):
        tool = {"name": "voice-assistant", "allow": ["crm.own"]}
        if write:
            tool["write"] = write
            for d in write:
                os.makedirs(d, exist_ok=True)
        w.start("--quiet", tools=[tool])
        t = token()
        d = w.dir + "/own" if not write else write[0]
        os.makedirs(d, exist_ok=True)
        _, out = w.run("sh", "-c", script, "sh", d, t, timeout=40)
        wrote = [x[6:] for x in out.split("\n") if x.startswith("wrote ")]
        want = [f.replace("$T", t).replace("$D", d) for f in FILES["open"]]
        if write:
            want = [want[0], "/dev/null", "/proc/self/oom_score_adj"]
        if wrote != want:
            found.append("write %s: wrote %s, should be %s" % (bool(write), wrote, want))
        for must in ("read", "resolved", "userns", "caps") + ("pinned",) + (() if write else ("/dev/pts", "moved")):
            if must not in out:
                found.append("write %s: no %r in %r" % (bool(write), must, out[-600:]))
        for never in ("switch from", "block", "mknod", "by cwd", "by another"):
            if never in out:
                found.append("write %s: %s: %r" % (bool(write), never, out[-600:]))
        if write:
            _, out = w.run("sh", "-c", "echo x >%s/a && echo in; echo x >/etc/%s || echo out" % (inside, t))
            found += [] if "in\n" in out and "out\n" in out else ["a listed directory below /etc: %r" % out]
        for cmd in (["curl", "-sS", "-d", "TOKEN", "https://acme.my.salesforce.com/x"],
                    ["node", "-e", "fetch('https://acme.my.salesforce.com/x',{method:'POST',body:'TOKEN'}).then(r=>r.text()).then(console.log)"]):
            t = token()
            code, out = w.run(*[c.replace("TOKEN", t) for c in cmd], timeout=40)
            found += [] if not code and w.arrived(t) else ["%s as root does not reach the org: %r" % (cmd[0], out[-300:])]
        w.stop()
    shutil.rmtree(inside, ignore_errors=True)
    for d in made:
        os.rmdir(d)
    left = glob.glob("/etc/crmfence.tkn0*") + glob.glob("/etc/tkn0*") + glob.glob("/run/tkn0*") + glob.glob("/usr/tkn0*")
    return found + ["left behind: %s" % left] * bool(left)


def root_handed(w):
    """What root's session gets from its start leads not past its mounts: working directory, an open file, a chroot."""
    w.start("--quiet")
    found = []
    mine = "/etc/crmfence." + w.id  # a file of our own there: the others are the machine's
    open(mine, "w").close()
    for cwd, want in (("/etc", "held"), (w.dir, "free")):
        _, out = w.run("sh", "-c", "cd %s && exec %s/crmfence exec --control %s --tool voice-assistant -- sh -c 'echo x >.%s 2>/dev/null && echo free || echo held'" % (
            cwd, W.BUILD, w.control, w.id), confined=False)
        found += [] if want in out else ["in %s: %r" % (cwd, out)]
    p = w.popen("sh", "-c", "cat >/dev/null; echo x >/proc/self/fd/0 && echo free || echo held", stdin_fd=os.open(mine, os.O_RDONLY))
    out = p.communicate(timeout=10)[0]
    found += [] if "held" in out else ["a file of /etc on 0, opened again: %r" % out]
    p = w.popen("true", stdin_fd=os.open(mine, os.O_RDWR))
    out = p.communicate(timeout=10)[0]
    found += [] if p.returncode == 2 and "Nothing was started" in out else ["a file of /etc for writing on 0: %d %r" % (p.returncode, out)]
    for kind, leaf in (("proc", "sys/kernel/domainname"), ("sysfs", "power/pm_async"), ("sysfs", "kernel/profiling"), ("cgroup2", "cgroup.subtree_control")):
        at = w.dir + "/" + kind + " other"
        os.makedirs(at, exist_ok=True)
        inner = "( : >>'%s/%s' ) 2>/dev/null && echo open || echo held" % (at, leaf)
        for pre in ("", "%s/crmfence exec --control %s --tool voice-assistant -- " % (W.BUILD, w.control)):
            _, out = w.run("unshare", "-m", "sh", "-c", "mount -t %s x '%s' && exec %ssh -c \"%s\"" % (kind, at, pre, inner), confined=False)
            if not pre and "open" not in out:
                break  # not on this machine
            found += ["%s mounted elsewhere: %r" % (kind, out)] if pre and "held" not in out else []
    jail = w.dir + "/jail"
    os.mkdir(jail)
    _, out = w.run("unshare", "-m", "sh", "-c", "for d in usr bin lib lib64 etc proc dev tmp %s; do mkdir -p %s/$d; mount --rbind /$d %s/$d; done; mkdir -p %s%s; mount --rbind %s %s%s; exec chroot %s %s/crmfence exec --control %s --tool voice-assistant -- echo ran" % (
        W.ROOT[1:], jail, jail, jail, w.dir, w.dir, jail, w.dir, jail, W.BUILD, w.control), confined=False)
    found += [] if "Nothing was started" in out and "ran" not in out else ["in a chroot: %r" % out]
    w.stop()
    os.unlink(mine)
    if os.path.exists("/etc/." + w.id):
        os.unlink("/etc/." + w.id)
        found.append("a file was made in /etc")
    return found


def root_roads(w):
    """nft, tc and ip of a session of root's: the kernel's own roads, behind the hook that judges packets. A rule that sends what goes to an
    allowed address to the vendor's, bare; in a session none of it can be made."""
    found = []
    dev = w.id + "a"
    nft = ("add table netdev x; add chain netdev x out { type filter hook egress device %s priority 0; }; add rule netdev x out ip daddr 10.99.1.10 ip daddr set %s"
           % (dev, AI))
    dnat = "add table ip y; add chain ip y out { type nat hook output priority -100; }; add rule ip y out ip daddr 10.99.1.10 tcp dport 80 dnat to %s" % AI
    ways = {"nft-egress": ["nft", nft], "nft-dnat": ["nft", dnat],
            "tc": ["tc", "qdisc", "add", "dev", dev, "clsact"], "vxlan": ["ip", "link", "add", "vx0", "type", "vxlan", "id", "4", "dstport", "4789"],
            "route": ["ip", "route", "add", "10.77.0.0/16", "via", "10.99.1.30"]}
    undo = {"nft-egress": ["nft", "delete table netdev x"], "nft-dnat": ["nft", "delete table ip y"], "tc": ["tc", "qdisc", "del", "dev", dev, "clsact"],
            "vxlan": ["ip", "link", "del", "vx0"], "route": ["ip", "route", "del", "10.77.0.0/16"]}
    w.start("--quiet")
    for name, cmd in ways.items():
        if not shutil.which(cmd[0]):
            continue
        code, out = w.run(*cmd, confined=False)
        if code:
            print("     %s: not to be had here: %s" % (name, out.strip().split("\n")[0][:100]))
            continue
        if name == "nft-egress":
            t = token()
            w.run("python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'%s', ('10.99.1.10', 9999))" % t, confined=False)
            time.sleep(0.5)
            seen = [x for x in w.sniffed()["tokens"].get(t, []) if AI in str(x)]
            found += [] if seen else ["%s: nothing arrives at the vendor's bare: %s" % (name, w.sniffed()["tokens"].get(t))]
        w.run(*undo[name], confined=False)
        code, out = w.run(*cmd)
        found += [] if code else ["%s was made in a session" % name]
        w.run(*undo[name], confined=False)
    code, out = w.run("ip", "-br", "addr")
    found += [] if not code and "10.99.0.2" in out else ["reading addresses is refused: %r" % out]
    w.stop()
    return found


CRASH = """import ctypes, os, resource, sys
print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
try:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); print('set', flush=True)
except Exception as e: print(e, flush=True)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
secret = sys.argv[1]
os.abort()
"""


def core_handler(w):
    """A crash is not a way to the machine's core handler, which is root's and outside every session: none is started for a session, which
    cannot change that limit, and who sets it for his own safety (ssh-agent) goes on."""
    got = w.dir + "/cores"
    os.mkdir(got)
    os.chmod(got, 0o777)
    handler = w.dir + "/handler"
    with open(handler, "w") as f:
        f.write("#!/bin/sh\nexec cat >%s/$1\n" % got)
    os.chmod(handler, 0o755)
    w.start("--quiet")
    found, pattern = [], "/proc/sys/kernel/core_pattern"
    lock = open("/tmp/crmfence-core.lock", "a+")
    for uid, confined, zero in ((NOBODY, False, False), (NOBODY, False, True), (NOBODY, True, False), (NOBODY, True, True), (0, True, False)):
        name = "%s-%d-%d-%d" % (w.id, uid, confined, zero)
        ask = [W.BUILD + "/crmfence", "exec", "--control", w.control, "--tool", "voice-assistant", "--"] if confined else []
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = open(pattern).read()
        try:
            p = w.popen("sh", "-c", ("ulimit -Hc 0; " if zero else "") + 'exec "$@"', "sh", *ask, "python3", "-c", CRASH, token(), confined=False, uid=uid)
            with open(pattern, "w") as f:
                f.write("|%s %s" % (handler, name))
            out = p.communicate(timeout=20)[0]
        finally:
            with open(pattern, "w") as f:
                f.write(old)
            fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(0.3)
        there = os.path.exists(got + "/" + name)
        if there == confined:
            found.append("uid %d, confined %s: the handler %s: %r" % (uid, confined, "was started" if there else "was not", out))
        if confined and "(1, 1)" not in out and not (zero and "Nothing was started" in out):  # an agent without CAP_SYS_RESOURCE, as here
            found.append("limit: %r" % out)
    if shutil.which("ssh-agent"):
        code, out = w.run("ssh-agent", "sh", "-c", "echo agent $SSH_AGENT_PID", uid=NOBODY)
        found += [] if not code and "agent" in out else ["ssh-agent: %r" % out]
    w.stop()
    return found


def trusted_resolvers(w):
    """"resolvers": "system": lines of a file that root alone could have written; of another one nothing is taken, and a row says so."""
    found = []
    conf = w.dir + "/etc-resolv"
    own = "/etc/netns/%s/resolv.conf" % w.lap
    prefix = ("unshare", "-m", "--propagation", "private", "sh", "-c", "mount --bind %s /etc/resolv.conf; exec %s/crmfenced \"$@\"" % (own, W.BUILD), "sh")
    w.start("--quiet", prefix=prefix, resolvers="system")

    def works():
        return w.run("curl", "-sS", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", "https://acme.my.salesforce.com/x")[1].endswith("200")

    def asks(address):
        _, out = w.run("python3", "-c", "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.sendto(bytes.fromhex("
                       "'004d01000001000000000000') + b'\\4acme\\2my\\12salesforce\\3com\\0' + bytes.fromhex('00010001'), ('%s', 53)); print('sent')" % address)
        return "sent" in out

    found += [] if works() else ["with root's file it does not resolve"]
    text = open(own).read()
    for uid, mode, name in ((NOBODY, 0o644, "owner"), (0, 0o666, "mode")):
        with open(own, "w") as f:
            f.write("nameserver %s\n" % AI)
        os.chown(own, uid, 0)
        os.chmod(own, mode)
        os.utime(own, (time.time(), time.time() + (5 if uid else 9)))
        time.sleep(2.5)
        if asks(AI):
            found.append("%s: the vendor's resolver was taken" % name)
        if not asks(W.DNS):
            found.append("%s: the resolvers before are gone" % name)
        with open(own, "w") as f:
            f.write(text)
        os.chown(own, 0, 0)
        os.chmod(own, 0o644)
        time.sleep(2.5)
    rows = [r for r in w.rows("tamper") if "resolv.conf" in r["what"]]
    found += [] if len(rows) >= 2 else ["no row of it: %s" % rows]
    with open(own, "w") as f:
        f.write("nameserver %s\n" % AI)
    time.sleep(2.5)
    if not asks(AI):
        found.append("root's own change is not followed")
    with open(own, "w") as f:
        f.write(text)
    w.stop()
    return found


PEERS = """import os, sys
for path, data in (('/proc/sys/kernel/domainname', None), ('/proc/sysrq-trigger', None), ('/proc/%s/mem' % sys.argv[1], b'x'), ('/proc/%s/uid_map' % sys.argv[1], b'0 0 1'),
                   (sys.argv[2] + '/out', b'x')):
    try:
        fd = os.open(path, os.O_WRONLY | (os.O_CREAT if path.endswith('out') else 0)); data and os.write(fd, data); print('wrote', path)
    except OSError: pass
fd = os.open('/proc/self/comm', os.O_WRONLY); os.write(fd, b'own'); print('self')
"""


def sandbox_write(w):
    """"write" leaves user namespaces: `unshare -Ur`, and Chromium as it is on a desktop, with all its sandboxes, from `crmfence exec`. The same session
    writes no other process's files below /proc, and no switch."""
    home = w.dir + "/home"
    os.mkdir(home)
    os.chmod(home, 0o777)
    w.start("--quiet", tools=[{"name": "voice-assistant", "allow": ["crm.own"], "write": [home, "/dev/shm"]}])
    other = w.popen("sleep", "60", confined=False, uid=NOBODY)
    time.sleep(0.3)
    found = []
    for uid in (NOBODY, 0):
        code, out = w.run("unshare", "-Ur", "id", "-u", uid=uid, env={"HOME": home})
        found += [] if not code and out.strip() == "0" else ["unshare -Ur, uid %d: %r" % (uid, out)]
        _, out = w.run("python3", "-c", PEERS, str(other.pid), w.dir, uid=uid, env={"HOME": home})
        found += [] if out.strip().split("\n")[-1] == "self" and "wrote" not in out else ["uid %d: %r" % (uid, out)]
    other.kill()
    other.wait()
    if not os.path.exists("/usr/lib/chromium/chromium"):
        w.stop()
        return found or "chromium is not installed"
    t = token()
    p = w.popen("chromium", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--ignore-certificate-errors", "--disable-quic", "--user-data-dir=" + home + "/profile", "--timeout=8000", "--dump-dom", "https://acme.my.salesforce.com/" + t,
                uid=NOBODY, env={"HOME": home, "TMPDIR": home, "XDG_RUNTIME_DIR": home})
    spaces, filters, end = set(), set(), time.time() + 30
    mine = os.readlink("/proc/self/ns/user")
    while p.poll() is None and time.time() < end:
        for d in filter(str.isdigit, os.listdir("/proc")):
            try:
                if b"--type=renderer" in open("/proc/%s/cmdline" % d, "rb").read():
                    spaces.add(os.readlink("/proc/%s/ns/user" % d) != mine)
                    filters.update(re.findall(r"Seccomp_filters:\s+(\d+)", open("/proc/%s/status" % d).read()))
            except OSError:
                pass
        time.sleep(0.02)
    out = p.communicate(timeout=20)[0]
    found += [] if not p.returncode and "ok" in out and w.arrived(t) else ["chromium: exit %d, %r" % (p.returncode, out[-500:])]
    found += [] if True in spaces and max(map(int, filters or {0})) >= 2 else ["no sandbox: user namespace %s, filters %s" % (spaces, filters)]
    w.stop()
    return found


ALONE = [standard_descriptors, standard_sockets_agent, root_files, root_handed, root_roads, core_handler, trusted_resolvers, sandbox_write]
