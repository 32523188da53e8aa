# SPDX-License-Identifier: Apache-2.0
"""Mutants: each is one small change to a file that decides or writes, built in a copy of the tree, and has to make a test fail. First the
native suites are asked, with ASan and UBSan, with fixed seeds; of those that live, one end-to-end case a file. A mutant that does not
compile, or that the compiler makes the same code of, does not count; others are drawn until there are enough.

A suite that fails, crashes, or needs more processor time than it may, kills. What lives stands in survivors.txt, with the reason why it
cannot matter; an entry of that file that names no survivor is a failure: the file can only shrink, or the tests got worse.

usage: run.py [-n N] [--e2e N] [--jobs N] [--slice] [--list] [FILE...]
  -n N      mutants of each file, 24
  --e2e N   of a file's mutants that only an end-to-end case can kill, as many are run; the rest is skipped (all)
  --slice   a fixed few of the files that native suites test, for tests/check
Writes build/mutants.json and a table; ends with "N passed, N failed, N skipped" (passed: killed, or explained).
"""
import argparse
import collections
import concurrent.futures
import json
import os
import queue
import re
import resource
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

import mutate

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
ROOM = "%s/build/mutants/%d" % (TOP, os.getpid())  # two may run
SEED = "1"
MUTANTS = 24  # of each file, of which those that live are explained
CPU = 60  # seconds of processor time that a suite may need; none needs ten
WALL = 60  # for one that waits for ever

# file: the suites that build it in, the likeliest first; the end-to-end case for those that live.
FILES = collections.OrderedDict([
    ("include/crmfence/decide.h", ("decide policy unit", "replay")),
    ("bpf/lib/walk.h", ("walkers edges proxies", "shared-*")),
    ("bpf/lib/dns.h", ("walkers edges", "dns-foreign")),
    ("bpf/lib/head.h", ("requests heads", "sight-requests")),
    ("bpf/lib/proxy.h", ("proxies requests walkers", "proxy-conversation")),
    ("bpf/lib/match.h", ("", "recognised-* match-other-keys full-and-handed")),
    ("user/agent/match.c", ("matches", "recognised-* tools-amiss")),
    ("user/agent/running.c", ("matches", "recognised-*")),
    ("user/base/exe.c", ("exe policy unit", "recognised-*")),
    ("user/policy/decide.c", ("decide policy unit", "policy-alone")),
    ("user/store/log.c", ("log logwrite", "log-is-whole-and-private")),
    ("user/store/chain.c", ("log", "log-is-whole-and-private")),
    ("user/ipc/control.c", ("control", "reload")),
    ("user/cli/closure.c", ("closure", "exit-status-and-signals")),
    ("user/agent/confine.c", ("", "exit-status-and-signals join")),
    ("user/agent/evidence.c", ("", "sight-evidence sight-taint")),
])
# what each is called with
SUITES = {
    "walkers": "tests/native/corpus 300000 7", "proxies": "300000 7", "heads": "60000 7",
}
# what a suite takes beside the library
MORE = {"matches": ["user/agent/match.c", "user/agent/running.c"], "closure": ["user/cli/closure.c", "user/cli/mounts.c"]}
# files whose suites are quick, and how many mutants of each, in tests/check
SLICE = {"include/crmfence/decide.h": 4, "bpf/lib/walk.h": 4, "bpf/lib/dns.h": 4, "bpf/lib/proxy.h": 4, "user/policy/decide.c": 4}


def call(args, **more):
    return subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def variables(names, *settings):
    """What the Makefile says, so that nothing of it is said twice."""
    rule = "mutants-say: ; @" + "; ".join("echo '$(%s)'" % n for n in names)
    out = subprocess.run(["make", "-s", "--eval", rule, *settings, "mutants-say"], cwd=TOP, stdout=subprocess.PIPE, check=True).stdout
    return [shlex.split(line) for line in out.decode().splitlines()]


def sections(path):
    """What an object file holds, but for names and types for a debugger."""
    with open(path, "rb") as f:
        d = f.read()
    at, = struct.unpack_from("<Q", d, 40)
    size, count, names = struct.unpack_from("<HHH", d, 58)
    heads = [struct.unpack_from("<IIQQQQ", d, at + size * i) for i in range(count)]
    text = heads[names][4]
    out = []
    for name, kind, flags, _, start, length in heads:
        word = d[text + name:d.index(b"\0", text + name)].decode()
        if kind != 8 and not re.match(r"\.(rela?)?\.?(debug|BTF|comment|note|symtab|strtab|shstrtab|llvm)", word):
            out.append((word, d[start:start + length]))
    return out


class Build:
    """How the Makefile builds the suites, and what it built."""

    def __init__(self):
        (self.cc,), self.cflags, self.link, self.libs = variables(["CC", "CFLAGS", "LINK", "LDLIBS"], "DEBUG=1")
        self.plain, (self.clang,), (self.arch,), triplet = variables(["CFLAGS", "CLANG", "ARCH", "TRIPLET"])
        self.triplet = triplet[0] if triplet else ""
        self.users = {}
        self.uses = collections.defaultdict(set)  # an object's source: what it includes
        self.libs += ["-lcmocka", "-lbrotlienc", "-lseccomp", "-lcap-ng"]
        for where, _, files in os.walk(TOP + "/build/debug/obj"):
            for f in files:
                if f.endswith(".d"):
                    with open(os.path.join(where, f)) as text:
                        words = text.read().replace("\\\n", " ").split()
                    source = os.path.relpath(os.path.join(where, f), TOP + "/build/debug/obj")[:-1] + "c"
                    self.uses[source] = {os.path.normpath(w) for w in words if not w.endswith(":")}

    def changed(self, path):
        """Sources whose objects a change of the file changes: it, or those that name what it defines, themselves or by a header."""
        if path not in self.users:
            with open(TOP + "/" + path) as f:
                t, _ = mutate.tokens(f.read())
                names = {name for name, _, _ in mutate.functions(t)}
                f.seek(0)
                names |= set(re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", f.read(), re.M))
            named = {}
            for u in {u for s in self.uses.values() for u in s if path in s and u != path and u.split("/")[0] in ("bpf", "include", "user", "tests")}:
                with open(TOP + "/" + u) as f:
                    t, defines = mutate.tokens(f.read())
                    named[u] = bool(names & ({w.text for w in t} | set(re.findall(r"\w+", " ".join(v for _, v in defines)))))
            self.users[path] = {s for s, us in self.uses.items() if s == path or path in us and any(named.get(u) for u in us)}
        return self.users[path]

    def of(self, suite):
        """A suite's own source, and those of the library."""
        own = next(s for s in ("tests/unit/%s.c" % suite, "tests/native/%s.c" % suite) if os.path.exists(TOP + "/" + s))
        return [own] + MORE.get(suite, []) + [s for s in self.uses if re.match(r"user/(?!agent|cli)", s)]


class Tree:
    """A copy of the sources, in which one mutant at a time is built."""

    def __init__(self, build, name):
        self.build, self.at = build, "%s/%s" % (ROOM, name)
        shutil.rmtree(self.at, ignore_errors=True)
        for part in ("include", "bpf", "user", "policies", "tests/native", "tests/unit"):
            shutil.copytree(TOP + "/" + part, self.at + "/" + part)
        os.mkdir(self.at + "/out")

    def compile(self, source, out, flags, cc=None):
        r = call([cc or self.build.cc, *flags, "-c", source, "-o", out], cwd=self.at)
        return r.returncode == 0

    def code(self, path):
        """What the compiler makes of it, alone; None: nothing."""
        out = self.at + "/out/alone.o"
        flags = [f for f in self.build.plain if f != "-g"] + ["-g0", "-w", "-I" + TOP + "/build/skel"]
        cc, source = None, path
        if path == "bpf/lib/match.h":
            cc, source = self.build.clang, "bpf/proc.bpf.c"
            flags = ["-g", "-O2", "-w", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_" + self.build.arch, "-Iinclude",
                     "-I/usr/include/" + self.build.triplet]
        elif path.endswith(".h"):  # each function for itself, used or not
            source = "out/alone.c"
            with open(self.at + "/" + source, "w") as f:
                f.write("#include <stddef.h>\n#include <crmfence/abi.h>\n#include <crmfence/name.h>\n#include <crmfence/hash.h>\n"
                        "#undef FENCE_INLINE\n#define FENCE_INLINE static __attribute__((noinline, used))\n#include \"../%s\"\n" % path)
        if not self.compile(source, out, flags, cc):
            return None
        return sections(out)

    def write(self, path, text):
        with open(self.at + "/" + path, "w") as f:
            f.write(text)

    def suite(self, name, path):
        """Why the suite fails with what stands in the tree now; None: it does not."""
        objects = []
        for source in self.build.of(name):
            built, library = "%s/build/debug/obj/%s.o" % (TOP, source[:-2]), re.match(r"user/(?!agent|cli)", source)
            # what make takes away when it is linked is built here, too
            if path and source in self.build.changed(path) or not library and not os.path.exists(built):
                out = "%s/out/%d.o" % (self.at, len(objects))
                if not self.compile(source, out, [f for f in self.build.cflags if f != "-g"] + ["-g0", "-w", "-I" + TOP + "/build/debug/skel"]):
                    raise SystemExit("%s does not compile in %s" % (source, name))
                objects.append(out)
            elif not library:
                objects.append(built)
        program = os.path.relpath("%s/out/%s" % (self.at, name), TOP)  # run() has another /tmp, and this may be below it
        r = call([self.build.cc, *self.build.link, *objects, TOP + "/build/debug/libcrmfence.a", *self.build.libs, "-o", program], cwd=TOP)
        if r.returncode:
            raise SystemExit("%s does not link: %s" % (name, r.stdout.decode(errors="replace")[-400:]))
        return self.run([program] + SUITES.get(name, "").split())

    def run(self, args):
        """In a /tmp and with processes of its own, where root runs this."""
        if os.geteuid() == 0:
            args = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                    "mount -t tmpfs -o mode=1777 tmpfs /tmp && exec \"$@\"", "sh"] + args
        p = subprocess.Popen(args, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU)))
        try:
            out, _ = p.communicate(timeout=WALL)
        except subprocess.TimeoutExpired:
            return "no end"
        finally:
            if p.poll() is None:  # with all that it started
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        if not p.returncode:
            return None
        lines = out.decode(errors="replace").splitlines()
        told = [x for x in lines if re.search(r"DIFFERENCE|ERROR: AddressSanitizer|runtime error|FAILED  \]|: error:", x)] or lines[-1:]
        return (told[0] if told else "status %d" % p.returncode)[:160]


class Broken(Exception):
    """A case that fails without a mutant kills none."""


class Whole:
    """A copy of the tree with all that is built, for the end-to-end cases; one at a time."""

    def __init__(self):
        self.at, self.lock, self.made, self.bare = ROOM + "/whole", threading.Lock(), False, {}

    def make(self):
        self.made = True
        shutil.rmtree(self.at, ignore_errors=True)
        os.makedirs(self.at + "/build")
        for part in ("include", "bpf", "user", "policies", "tests", "tools"):
            call(["cp", "-a", TOP + "/" + part, self.at])
        call(["cp", "-a", TOP + "/Makefile", self.at])
        for part in ("bpf", "skel", "obj", "libcrmfence.a", "crmfence", "crmfenced", "tests", "evasion"):
            call(["cp", "-a", TOP + "/build/" + part, self.at + "/build"])
        call(["make", "-s", "build/crmfenced", "build/crmfence", "build/tests/redecide"], cwd=self.at)

    def run(self, names):
        """Why the case fails, twice: a machine that is busy makes one fail now and then. None: it does not."""
        for _ in range(2):
            try:
                r = call([sys.executable, "tests/e2e/run.py", *names.split()], cwd=self.at, timeout=900)
            except subprocess.TimeoutExpired:
                return "no end"
            if not r.returncode:
                return None
            lines = r.stdout.decode(errors="replace").splitlines()
        i = next((i for i, x in enumerate(lines) if x.startswith("FAIL")), len(lines) - 1)
        return " ".join(" ".join(lines[i:i + 2]).split())[:160]

    def case(self, path, text, names):
        """Why the case fails; None: it does not. Without a mutant it has to pass first."""
        with self.lock:
            if not self.made:
                self.make()
            if names not in self.bare:
                self.bare[names] = self.run(names)
            if self.bare[names]:
                raise Broken("%s fails as it is: %s" % (names, self.bare[names]))
            with open(self.at + "/" + path) as f:
                old = f.read()
            try:
                with open(self.at + "/" + path, "w") as f:
                    f.write(text)
                r = call(["make", "-s", "WARN=-w", "build/crmfenced", "build/crmfence", "build/tests/redecide"], cwd=self.at)
                if r.returncode:
                    return "does not build: " + r.stdout.decode(errors="replace")[-160:]
                return self.run(names)
            finally:
                with open(self.at + "/" + path, "w") as f:
                    f.write(old)


def explained():
    """survivors.txt: (file, id) -> the line."""
    out = {}
    with open(os.path.dirname(os.path.abspath(__file__)) + "/survivors.txt") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                m = re.match(r"(\S+) ([0-9a-f]{8}) (\w+): (.{10,})$", line.strip())
                if not m:
                    raise SystemExit("survivors.txt: " + line)
                out[m[1], m[2]] = line.strip()
    return out


def suites_of(path):
    return [s for s in FILES[path][0].split() if any(os.path.exists("%s/tests/%s/%s.c" % (TOP, d, s)) for d in ("unit", "native"))]


def judge(tree, whole, m, e2e, explained):
    """A mutant's end: (how, why); how: native, e2e, lives, skipped."""
    case = FILES[m.file][1]
    tree.write(m.file, m.text)
    for name in suites_of(m.file):
        why = tree.suite(name, m.file)
        if why:
            return "native", "%s: %s" % (name, why)
    if explained:  # that it cannot matter
        return "lives", ""
    if not e2e:
        return "skipped", "end-to-end case %s was not run" % case
    try:
        why = whole.case(m.file, m.text, case)
    except Broken as e:
        return "skipped", str(e)
    return ("e2e", why) if why else ("lives", "")


def counts(tree, m, plain):
    """Is it a mutant: does it compile, to other code?"""
    tree.write(m.file, m.text)
    code = tree.code(m.file)
    return code is not None and code != plain


def one_file(path, number, trees, whole, e2e, known):
    """The mutants of a file, each with its end."""
    tree = trees.get()
    try:
        with open(TOP + "/" + path) as f:
            text = f.read()
        plain, out, ran = tree.code(path), [], 0
        if plain is None:
            raise SystemExit("%s does not compile alone" % path)
        for m in mutate.drawn(path, text, SEED):
            if len(out) == number:
                break
            if not counts(tree, m, plain):
                continue
            how, why = judge(tree, whole, m, e2e is None or ran < e2e, (path, m.id) in known)
            ran += how in ("e2e", "lives") and (path, m.id) not in known
            out.append((m, how, why))
            say("%-8s %s:%d %s %s %s -> %s  %s" % (how, m.file, m.line, m.id, m.kind, m.old[:60], m.new[:60], why[:100]))
            tree.write(path, text)
        tree.write(path, text)
        return out
    finally:
        trees.put(tree)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=MUTANTS)
    parser.add_argument("--e2e", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--slice", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--out", default=TOP + "/build/mutants.json")
    parser.add_argument("files", nargs="*")
    a = parser.parse_args()
    numbers = collections.OrderedDict((f, SLICE.get(f, 0) if a.slice else a.n) for f in FILES if f in a.files or not a.files)
    numbers = collections.OrderedDict((f, n) for f, n in numbers.items() if n)
    if a.list:
        for path, n in numbers.items():
            with open(TOP + "/" + path) as f:
                for m in mutate.drawn(path, f.read(), SEED)[:n]:
                    print("%s:%d %s %s %s: %s -> %s" % (m.file, m.line, m.id, m.kind, m.function, m.old, m.new))
        return 0
    began = time.time()
    os.makedirs(ROOM, exist_ok=True)
    build, whole, known, trees = Build(), Whole(), explained(), queue.Queue()
    for i in range(a.jobs):
        trees.put(Tree(build, "tree%d" % i))
    tree = trees.get()
    for name in sorted({s for f in numbers for s in suites_of(f)}):  # who fails without a mutant kills nothing
        why = tree.suite(name, "")
        if why:
            raise SystemExit("%s fails as it is: %s" % (name, why))
    trees.put(tree)
    try:
        with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
            ends = {f: pool.submit(one_file, f, n, trees, whole, a.e2e, known) for f, n in numbers.items()}
            ends = collections.OrderedDict((f, e.result()) for f, e in ends.items())
    finally:
        shutil.rmtree(ROOM, ignore_errors=True)
    return report(a, numbers, ends, known, time.time() - began)


def report(a, numbers, ends, known, seconds):
    passed = failed = skipped = 0
    rows, all_of = [], []
    for path, out in ends.items():
        row = collections.Counter(how for _, how, _ in out)
        rows.append((path, len(out), row["native"], row["e2e"], row["lives"], row["skipped"], FILES[path][1]))
        for m, how, why in out:
            reason = known.pop((path, m.id), None) if how == "lives" else None
            passed += how in ("native", "e2e") or bool(reason)
            failed += how == "lives" and not reason
            skipped += how == "skipped"
            if how == "lives" and not reason:
                print("FAIL %s:%d %s %s: nothing notices %s -> %s in %s" % (path, m.line, m.id, m.kind, m.old[:80], m.new[:80], m.function))
            all_of.append({"file": path, "line": m.line, "id": m.id, "kind": m.kind, "function": m.function, "old": m.old, "new": m.new,
                           "end": how, "why": reason or why})
    ran = {(path, m.id) for path, out in ends.items() for m, _, _ in out}
    for (path, ident), line in known.items():
        if path not in FILES or path in numbers and ((path, ident) in ran or numbers[path] >= MUTANTS):
            print("FAIL survivors.txt names what is no survivor: %s" % line)
            failed += 1
    with open(a.out, "w") as f:
        json.dump({"seconds": round(seconds), "mutants": all_of}, f, indent=1)
    print("%-28s %7s %7s %5s %6s %8s  %s" % ("file", "mutants", "native", "e2e", "alive", "skipped", "end-to-end case"))
    rows.append(("all",) + tuple(sum(r[i] for r in rows) for i in range(1, 6)) + ("",))
    for r in rows:
        print("%-28s %7d %7d %5d %6d %8d  %s" % r)
    print("%d s" % seconds)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
