# SPDX-License-Identifier: Apache-2.0
"""Mutants of a C file: one small change each, that a careless hand could have made. Only in the bodies of functions, and of #defines that
are numbers; tables (`static const`), comments and strings stay.

A mutant is known by what it changes and in which function, never by the number of its line: a change elsewhere leaves its name as it was.
"""
import collections
import hashlib
import re

Mutant = collections.namedtuple("Mutant", "id file line kind function old new text")

TOKEN = re.compile(r"""
    (?P<skip>/\*.*?\*/|//[^\n]*|\s+)
  | (?P<define>^[ \t]*\#[ \t]*define[ \t]+\w+[ \t]*\\?\s+(?P<value>[^\n]*))
  | (?P<hash>^[ \t]*\#(?:\\\n|[^\n])*)
  | (?P<string>"(?:\\.|[^"\\])*")
  | (?P<char>'(?:\\.|[^'\\])+')
  | (?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<op>->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\.\.\.|.)
""", re.X | re.S | re.M)

SWAPS = {
    "bound": {"<": "<=", "<=": "<", ">": ">=", ">=": ">"},
    "equal": {"==": "!=", "!=": "=="},
    "logic": {"&&": "||", "||": "&&"},
    "operator": {"+": "-", "-": "+", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "%": "/", "/": "*", "+=": "-=", "-=": "+=", "|=": "&=",
                 "&=": "|=", "++": "--", "--": "++"},
}
CONSTANT = re.compile(r"[A-Z][A-Z0-9_]{2,}$")
BINARY_AFTER = ("number", "word", "char")  # and ) ]


class Token:
    __slots__ = ("kind", "text", "at", "end")

    def __init__(self, kind, text, at):
        self.kind, self.text, self.at, self.end = kind, text, at, at + len(text)


def tokens(text):
    out, defines = [], []
    for m in TOKEN.finditer(text):
        kind = m.lastgroup if m.lastgroup != "value" else "define"
        if kind == "define":
            defines.append((m.start("value"), m.group("value")))
        elif kind not in ("skip", "hash"):
            out.append(Token(kind, m.group(), m.start()))
    return out, defines


def closing(t, i):
    """The place of the bracket that closes t[i]."""
    pair, depth = {"(": ")", "{": "}", "[": "]"}[t[i].text], 0
    for k in range(i, len(t)):
        depth += (t[k].text == t[i].text) - (t[k].text == pair)
        if not depth:
            return k
    return len(t) - 1


def functions(t):
    """(name, first token behind {, the }) of each."""
    i = 0
    while i < len(t):
        if t[i].text == "{":
            end = closing(t, i)
            if i and t[i - 1].text == ")":
                depth, k = 0, i - 1
                while k > 0:
                    depth += (t[k].text == ")") - (t[k].text == "(")
                    if not depth:
                        break
                    k -= 1
                yield t[k - 1].text, i + 1, end
            i = end
        i += 1


def begins(t, i):
    """Does a statement begin at t[i]?"""
    before = t[i - 1].text
    if before in (";", "{", "}", "else", "do"):
        return True
    if before == ":":  # a label or a case, not the other half of a choice
        k = i - 2
        while t[k].text not in (";", "{", "}", "?", "case", "default"):
            k -= 1
        return t[k].text in ("case", "default")
    if before == ")":
        depth, k = 0, i - 1
        while k:
            depth += (t[k].text == ")") - (t[k].text == "(")
            if not depth:
                break
            k -= 1
        return t[k - 1].text in ("if", "for", "while")
    return False


def statement_end(t, i, end):
    """The `;` of the statement that begins at t[i]; None: it is none of one line's."""
    while i < end:
        if t[i].text in ("(", "[", "{"):
            i = closing(t, i)
        elif t[i].text == ";":
            return i
        i += 1
    return None


def stores(t, i, semi):
    """Is it an assignment, and no declaration?"""
    k, last = i, None
    while k < semi:
        if t[k].text in ("=", "+=", "-=", "|=", "&=", "*=", "<<=", ">>="):
            return k > i
        if t[k].text == "[":
            k = closing(t, k)
            last = "]"
        elif t[k].kind == "word":
            if last == "word" or last == "*" and k > i + 1:
                return False
            last = "word"
        elif t[k].text in ("->", "."):
            last = "."
        elif t[k].text == "*":
            if last == "word":
                return False
            last = "*"
        else:
            return False
        k += 1
    return False


def found(text, t, first, end):
    """(kind, at, end, new) of each change of a function's body."""
    skip = 0
    for i in range(first, end):
        tok, before = t[i], t[i - 1]
        if i < skip:
            continue
        if tok.text == "static" or (tok.text == "const" and t[i + 1].text == "char" and t[i + 2].text != "*"):
            semi = statement_end(t, i, end)
            skip = semi or skip
            continue
        if tok.kind == "op":
            operand = before.kind in BINARY_AFTER and before.text not in ("return", "case", "else") or before.text in (")", "]")
            for kind, swaps in SWAPS.items():
                if tok.text in swaps and (operand or tok.text in ("++", "--")):
                    yield kind, tok.at, tok.end, swaps[tok.text]
            if tok.text == "?":
                yield "choice", tok.at, tok.end, "|| 1 ?"
                yield "choice", tok.at, tok.end, "&& 0 ?"
        elif tok.kind == "number":
            yield "constant", tok.at, tok.end, "(%s + 1)" % tok.text
            if tok.text not in ("0", "0u"):
                yield "constant", tok.at, tok.end, "(%s - 1)" % tok.text
        elif tok.kind == "char":
            yield "constant", tok.at, tok.end, "(%s + 1)" % tok.text
        elif tok.kind == "word" and CONSTANT.match(tok.text) and t[i + 1].text != "(" and tok.text != "NULL":
            yield "constant", tok.at, tok.end, "(%s + 1)" % tok.text
        elif tok.text == "if" and t[i + 1].text == "(":
            k = closing(t, i + 1)
            yield "negation", t[i + 1].at, t[k].end, "(!%s)" % text[t[i + 1].at:t[k].end]
        elif tok.text == "return":
            semi = statement_end(t, i, end + 1)
            what = text[tok.end:t[semi].at].strip()
            yield "return", tok.at, t[semi].end, "return %s;" % ("1" if what == "0" else "0") if what else ";"
        elif tok.text in ("continue", "break") and t[i + 1].text == ";":
            yield "jump", tok.at, tok.end, ""
        if (tok.kind == "word" or tok.text == "*") and tok.text not in ("if", "for", "while", "return", "switch", "case", "do", "else") and \
                begins(t, i):
            semi = statement_end(t, i, end)
            if semi and t[i + 1].text == "(" and closing(t, i + 1) == semi - 1 and tok.kind == "word":
                yield "call", tok.at, t[semi].end, ";"
            elif semi and stores(t, i, semi):
                yield "store", tok.at, t[semi].end, ";"


def mutants(path, text):
    """Every mutant of a file, in its order."""
    t, defines = tokens(text)
    changes = [(name, c) for name, first, end in functions(t) for c in found(text, t, first, end)]
    for at, value in defines:
        m = re.match(r"\(?(\d+u?|0[xX][0-9a-fA-F]+(?:ULL)?)\b", value)
        if m and not re.search(r"[A-Za-z_]{4,}", re.sub(r"/\*.*", "", value)):
            start = at + m.start(1)
            changes.append(("#define", ("define", start, at + m.end(1), "(%s + 1)" % m.group(1))))
    out, times = [], collections.Counter()
    for name, (kind, at, end, new) in sorted(changes, key=lambda c: c[1][1]):
        begin = text.rfind("\n", 0, at) + 1
        stop = text.find("\n", end)
        old = text[at:end]
        line = " ".join(text[begin:at].split() + ["@"] + text[at:stop].split())
        key = "\0".join((path, name, kind, line, new))
        times[key] += 1
        ident = hashlib.sha256(("%s\0%d" % (key, times[key])).encode()).hexdigest()[:8]
        new += "\n" * (old.count("\n") - new.count("\n"))
        out.append(Mutant(ident, path, text.count("\n", 0, at) + 1, kind, name, " ".join(old.split()), new.strip() or new,
                          text[:at] + new + text[end:]))
    return out


def drawn(path, text, seed):
    """The same mutants, so that the first N of them are spread evenly over the kinds; which, the seed and their own names decide."""
    kinds = collections.defaultdict(list)
    for m in mutants(path, text):
        kinds[m.kind].append(m)
    for ms in kinds.values():
        ms.sort(key=lambda m: hashlib.sha256(("%s%s" % (seed, m.id)).encode()).digest())
    out = []
    while any(kinds.values()):
        for kind in sorted(kinds):
            if kinds[kind]:
                out.append(kinds[kind].pop(0))
    return out
