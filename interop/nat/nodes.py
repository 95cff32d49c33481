"""Nodes behind a router that gives ports: reached from outside by others, and gone without a trace."""

import json
import os
import re
import signal
import subprocess
import time

import world as w
from party import Party

PORT = 9000
LISTEN = 8233


def told(said):
    """Whether our node says that its record names a mapped endpoint."""
    if said.get("type") != "external":
        return False
    return any(one["source"] == "mapped" for one in said["decisions"])


def left(site):
    """The ports that the router has open for anybody."""
    listed = w.within(site.router, "nft", "list", "table", "inet", "upnp")
    return re.findall(r"dport (\d+) dnat", listed)


def disc(lab, site, *more):
    key = os.path.join(lab.folder, f"{site.letter}.key")
    if not os.path.exists(key):
        w.run(lab.args.peerage, "key", "new", key)
    node = Party(site.host, lab.args.peerage, "disc", "serve", "--bind", f"0.0.0.0:{PORT}", "--key", key,
                 "--talk-echo", "echo", "--json", *more)
    node.wait(lambda said: said.get("type") == "serving", 30)
    return node


def ask(program, enr, ip):
    """A foreign node in the public network asks ours: PING, FINDNODE, TALKREQ. Its lines."""
    done = subprocess.run(w.inside("stun", *program, "ask", enr, "--ip", ip), capture_output=True,
                          text=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["type"]: line for line in lines}


def reached(lab):
    """Rows of what was asked from outside and what came of it."""
    rows = []
    # Whoever never heard of us reaches us at the port that the router gave.
    for protocols in ("PCP", "UPnP"):
        site = lab.world.site("a", "mapped", protocols)
        node = disc(lab, site, "--map-ports", "--stun", w.STUN)
        enr = node.wait(told, 60)["enr"]
        for name, program in lab.foreign_nodes.items():
            said = ask(program, enr, w.BROKER)
            ok = "pong" in said and said.get("nodes", {}).get("enrs") == [enr] and "hello" in str(said.get("talk"))
            rows.append((f"discovery, mapped by {protocols}", name, "ping, findnode, talk" if ok else f"{said}"))
            if not ok:
                lab.fail(f"{name} does not reach our node mapped by {protocols}: {said}")
        node.stop()
        if left(site):
            lab.fail(f"after the end the router has {left(site)}")
        rows.append((f"discovery, mapped by {protocols}", "the router, after its end", f"{len(left(site))} ports left"))
    # The same without the router's help: nobody reaches it, so it was the mapping that let them in.
    site = lab.world.site("a", "port-restricted")
    node = disc(lab, site, "--external", f"{site.outside}:{PORT}")
    enr = node.said[0]["enr"]
    for name, program in lab.foreign_nodes.items():
        said = ask(program, enr, w.BROKER)
        rows.append(("discovery, not mapped", name, "nothing" if "pong" not in said else "reached"))
        if "pong" in said:
            lab.fail(f"{name} reaches a node that nobody can reach: {said}")
    node.stop()
    killed(lab, rows)
    announced(lab, rows)
    lab.world.remove("a")
    return rows


def killed(lab, rows):
    """A node that is killed: its ports end by themselves, and the next start takes them up and gives
    them back."""
    for protocols in ("PCP", "UPnP"):
        site = lab.world.site("a", "mapped", protocols)
        node = disc(lab, site, "--map-ports", "--stun", w.STUN)
        node.wait(told, 60)
        node.stop(signal.SIGKILL)
        stayed = left(site)
        node = disc(lab, site, "--map-ports", "--stun", w.STUN)
        again = node.wait(told, 60)
        how = again["mapped"][0]["method"]
        node.stop()
        rows.append((f"discovery, killed, mapped by {protocols}", "the router, then and after the next run",
                     f"{len(stayed)} ports left, then taken up by {how}, then {len(left(site))}"))
        if not stayed or left(site):
            lab.fail(f"killed by {protocols}: {stayed}, then {left(site)}")


def announced(lab, rows):
    """A Zcash node tells its peers the mapped address, and follows the router to another one."""
    site = lab.world.site("a", "mapped")
    data = os.path.join(lab.folder, "zcash")
    node = Party(site.host, lab.args.peerage, "serve", "zcash", "--chain", "testnet", "--data", data, "--listen",
                 f"0.0.0.0:{LISTEN}", "--no-seeds", "--map-ports", "--stun", w.STUN, "--json")
    try:
        # Seen as well: from then on a change is noticed.
        node.wait(lambda said: told(said) and said["decisions"][0]["confirmed_by"], 60)
        first = version(lab, site)
        began = time.monotonic()
        site.move(lab.world)
        moved, second = None, None
        while time.monotonic() - began < 200 and moved is None:
            time.sleep(2)
            second = version(lab, site)
            if second == f"{site.outside}:{LISTEN}":
                moved = time.monotonic() - began
        words = f"told {first}, then {second}" + (f" after {moved:.0f} s" if moved else "")
        rows.append(("Zcash, mapped", "a peer outside, and again after the router has moved", words))
        if first == second or moved is None:
            lab.fail(f"what a Zcash node tells: {words}: {[*node.said[-4:], *node.errors[-4:]]}")
    finally:
        node.stop()


def version(lab, site):
    """Where a node says that it can be dialled, as a peer outside reads it."""
    done = subprocess.run(w.inside("stun", lab.args.peerage, "probe", "--chain", "testnet", "--json", "--transcript",
                                   f"zec://{site.outside}:{LISTEN}"), capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    theirs = [line["fields"]["addr_from"] for line in lines
              if line.get("command") == "version" and line["sent_by"] == "them"]
    return "{ip}:{port}".format(**theirs[0]) if theirs else None
