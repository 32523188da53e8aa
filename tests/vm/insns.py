# SPDX-License-Identifier: Apache-2.0
"""Verifier instructions per program, held against tests/vm/insns.txt ("KERNEL PROGRAM COUNT" a line, kernel as 6.12): more than 10 % above
fails, as does a program that the file does not know on a kernel that it knows.

usage: insns.py RELEASE < "PROGRAM COUNT" lines; with --write, the file is given these counts for that kernel.
"""
import os
import sys

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "insns.txt")
GROWTH = 1.10


def known():
    with open(FILE) as f:
        rows = [line.split() for line in f if line.strip() and not line.startswith("#")]
    return {(k, p): int(n) for k, p, n in rows}


def wrong(release, counts):
    kernel, have = ".".join(release.split(".")[:2]), known()
    if not counts:
        return ["no program is loaded"]
    if not any(k == kernel for k, _ in have):
        return []
    said = ["%s on %s: %d, the file has none" % (p, kernel, n) for p, n in counts.items() if (kernel, p) not in have]
    return said + ["%s on %s: %d, was %d" % (p, kernel, n, have[kernel, p]) for p, n in counts.items()
                   if (kernel, p) in have and n > have[kernel, p] * GROWTH]


def write(release, counts):
    kernel, have = ".".join(release.split(".")[:2]), known()
    have.update({(kernel, p): n for p, n in counts.items()})
    with open(FILE, "w") as f:
        f.write("# What the verifier walked: kernel, program, instructions. Written by tests/vm/insns.py --write.\n")
        for (k, p), n in sorted(have.items(), key=lambda e: ([int(x) for x in e[0][0].split(".")], e[0][1])):
            f.write("%s %s %d\n" % (k, p, n))


def read(text):
    return {p: int(n) for p, n in (line.split() for line in text.splitlines() if line.strip())}


if __name__ == "__main__":
    told = read(sys.stdin.read())
    if "--write" in sys.argv:
        write(sys.argv[1], told)
        sys.exit(0)
    bad = wrong(sys.argv[1], told)
    print("\n".join(bad) or "%d programs, none grew by a tenth" % len(told))
    sys.exit(1 if bad else 0)
