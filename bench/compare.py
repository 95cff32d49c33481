#!/usr/bin/env python3
"""Runs the measuring programs in pairs, A B A B, and writes docs/performance.md. See README.md."""

import argparse
import datetime
import json
import math
import os
import queue
import re
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs" / "performance.md"
RAW = HERE / ".cache" / "results.jsonl"
OURS = str(HERE / ".cache/target/release/bench-ours")
ZEBRA = str(HERE / ".cache/target/release/bench-zebra")
DCRD = str(HERE / ".cache/bin/bench-dcrd")
RLPX = str(HERE / ".cache/target/release/bench-rlpx")
DISC = str(HERE / ".cache/target/release/bench-discovery")
KEEP = str(HERE / ".cache/target/release/bench-keep")
INPROXY = str(HERE / ".cache/target/release/bench-inproxy")
GETH = str(HERE / ".cache/bin/bench-geth")
GETH_PURE = str(HERE / ".cache/bin/bench-geth-pure")

# What has to be built for a comparison: that of the first word that its name contains.
PROGRAMS = {
    "disc": ("discovery",),
    "keep": ("keep", "ours"),
    "inproxy": ("inproxy",),
    "eth": ("rlpx", "geth"),
    "floor": ("ours",),
    "decred": ("ours", "dcrd"),
    "": ("ours", "zebra"),
}

LIMIT = 150  # seconds a program may take; each also ends by itself within 120
LEAST_PAIRS = 15
IDLE = 2000  # connections held at once

# ---- running ----------------------------------------------------------------------------------


class Child:
    """A program under way. It is ended by its process id, whatever happens."""

    def __init__(self, words):
        self.words = [str(word) for word in words]
        self.process = subprocess.Popen(
            self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def line(self):
        """Its next line of JSON."""
        try:
            line = self.lines.get(timeout=LIMIT)
        except queue.Empty:
            line = None
        if line is None:
            self.process.kill()
            said = self.process.stderr.read().strip()
            raise SystemExit(f"bench: {' '.join(self.words)} gave no result: {said}")
        return line

    def ask(self):
        """What it tells of itself, where it does so for each line it is given."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            # What it still does after its result is of no interest, unless it should have ended.
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def alone(*words):
    """A program that needs nobody else."""
    with Child(words) as child:
        return child.line()


def client_and_server(server, client):
    """Two processes; their processor times are added."""
    with Child(server) as serving:
        addr = serving.line()["listening"]
        dialled = alone(*client, addr)
        served = serving.line()
    return dialled | {"cpu_s": dialled["cpu_s"] + served["cpu_s"]}


def held(holder, *dialler, count=IDLE):
    """A program that holds connections, which another process opens."""
    with Child(holder) as holding:
        addr = holding.line()["listening"]
        with Child([*dialler, "--count", count, addr]):
            return holding.line()


def node_holds(count):
    """A node with so many sessions: what it grew by, a second after the last came."""
    with Child([KEEP, "serve", "--rate", "open"]) as node:
        addr = node.line()["listening"]
        before = node.ask()
        with Child([KEEP, "hold", "--count", count, addr]) as holding:
            holding.line()
            time.sleep(1)
            after = node.ask()
    if after["established"] != count:
        raise SystemExit(f"bench: the node has {after['established']} of {count} sessions")
    return {"count": count, "rss": after["rss"] - before["rss"]}


def node_greets(count):
    """A node that is called so often: its own processor time."""
    with Child([KEEP, "serve", "--rate", "open"]) as node:
        addr = node.line()["listening"]
        greet = lambda count: alone(KEEP, "greet", "--count", count, "--at-once", 16, addr)
        greet(count // 10)
        before = node.ask()
        greet(count)
        after = node.ask()
    greeted = after["greeted"] - before["greeted"]
    if greeted != count:
        raise SystemExit(f"bench: the node greeted {greeted} of {count}")
    return {"count": count, "cpu_s": after["cpu_s"] - before["cpu_s"]}


def acceptor_greets(count):
    """The same of an acceptor that keeps nobody."""
    with Child([OURS, "serve", "zcash", "--count", count]) as server:
        addr = server.line()["listening"]
        alone(KEEP, "greet", "--count", count, "--at-once", 16, addr)
        return server.line()


def crowd(count, peers, kind="mixed", per_group=4):
    """Honest peers at a node's door: before a crowd has come and after it has left, and beside it."""
    with Child([KEEP, "serve"]) as node:
        addr = node.line()["listening"]
        honest = lambda phase, count: alone(KEEP, "honest", "--count", count, "--first", 10_000 * phase, addr)
        before = honest(0, peers // 2)
        # It gives way to the other two, as if it came from other machines.
        words = ["nice", "-n", 19, KEEP, "crowd", "--count", count, "--kind", kind, "--per-group", per_group, addr]
        with Child(words) as hostile:
            hostile.line()
            time.sleep(1)
            started, told, tried = time.monotonic(), node.ask(), hostile.ask()
            beside = honest(1, peers)
            took, now, tries = time.monotonic() - started, node.ask(), hostile.ask()
        time.sleep(0.5)
        after = honest(2, peers // 2)
    rate = lambda new, old, name: (new[name] - old[name]) / took
    alone_with_it = times(before, after)
    return alone_with_it, times(beside) | {
        "tries": rate(tries, tried, "tries"),
        "refused": rate(now, told, "refused"),
        "node_cpu": rate(now, told, "cpu_s"),
        "pending": now["pending"],
        "established": now["established"],
    }


def times(*runs):
    """How long honest peers waited, in microseconds, and how many of them did in vain."""
    us = sorted(took for run in runs for took in run["us"])
    if not us:
        raise SystemExit("bench: no honest peer was greeted")
    count = sum(run["count"] for run in runs)
    at = lambda share: us[min(int(len(us) * share), len(us) - 1)]
    return {"count": count, "p50": at(0.5), "p99": at(0.99), "max": us[-1], "served": len(us) / count}


def beside(*words):
    """A program in which both sides take turns."""
    line = alone(*words)
    return line["peer"], line["ours"]


# ---- what is compared -------------------------------------------------------------------------


def cpu_per_one(run):
    return run["cpu_s"] / run["count"] * 1e6


def rss_per_one(run):
    return run["rss"] / run["count"] / 1000


def bytes_read(run):
    return run["bytes"]


def per_one(spent):
    return lambda run: run[spent] / run["count"] * 1e6


@dataclass
class Comparison:
    """Two programs that do the same, and how far apart they may be."""

    name: str
    what: str
    peer: str
    run_peer: object = None
    run_ours: object = None
    run_both: object = None  # instead of the two, where one process measures both
    runs_of: object = None  # instead of the three: another comparison, whose runs tell this as well
    figure: object = cpu_per_one
    peer_figure: object = None  # where ours is compared with ourselves: what, of the same run of ours
    unit: str = "µs"
    ratio_target: float = None
    ratio_least: float = None  # instead: what it may not fall below
    ratio_words: str = ""
    figure_target: float = None
    figure_least: float = None  # instead: what it may not fall below
    pairs: int = None  # dear runs are repeated less often; six pairs are the fewest with an interval
    repeat: int = 1  # short runs are noisier and are repeated more often
    peers: list = field(default_factory=list)
    ours: list = field(default_factory=list)

    def figures(self):
        runs = self.runs_of or self
        ours = list(map(self.figure, runs.ours))
        if self.peer_figure:
            return list(map(self.peer_figure, runs.ours)), ours
        return list(map(self.figure, runs.peers)), ours

    def ratios(self):
        return [ours / peer for peer, ours in zip(*self.figures())]

    def run_pair(self):
        pair = self.run_both() if self.run_both else (self.run_peer(), self.run_ours())
        for runs, run in zip((self.peers, self.ours), pair):
            runs.append(run)

    def programs(self):
        return next(names for word, names in PROGRAMS.items() if word in self.name)


def comparisons(quick):
    all_of_them = []
    for at_once, how in ((1, "one at a time"), (64, "64 at once")):
        amount = ["--count", many(20000, quick), "--at-once", at_once]
        all_of_them.append(
            Comparison(
                name=f"zcash-memory-{at_once}",
                what=f"Zcash handshake, both ends, in memory, {how}",
                peer="zebra-network",
                run_peer=lambda amount=amount: alone(ZEBRA, "duplex", *amount),
                run_ours=lambda amount=amount: alone(OURS, "duplex", "zcash", *amount),
                ratio_target=0.5,
                ratio_words="at most half",
                repeat=2,
            )
        )
    for at_once, how in ((1, "one at a time"), (64, "64 at once")):
        amount = ["--count", many(4000, quick), "--at-once", at_once]
        ours = lambda amount=amount: alone(OURS, "accept", "zcash", *amount)
        all_of_them.append(
            Comparison(
                name=f"zcash-floor-{at_once}",
                what=f"bare sockets dial our acceptor, TCP, {how}",
                peer="bare sockets",
                run_peer=lambda amount=amount: alone(OURS, "raw", "zcash", *amount),
                run_ours=ours,
                ratio_target=1.15,
                ratio_words="at most 1.15 times",
                repeat=5,
            )
        )
        all_of_them.append(
            Comparison(
                name=f"zcash-acceptor-{at_once}",
                what=f"bare sockets dial the acceptor, TCP, {how}",
                peer="zebra-network",
                run_peer=lambda amount=amount: alone(ZEBRA, "accept", *amount),
                run_ours=ours,
            )
        )
    for at_once, how in ((1, "one at a time"), (64, "64 at once")):
        count = many(4000, quick)
        amount, go_amount = ["--count", count], ["-count", count]
        together, go_together = ["--at-once", at_once], ["-at-once", at_once]
        all_of_them.append(
            Comparison(
                name=f"decred-tcp-{at_once}",
                what=f"Decred handshake, both ends, TCP, {how}",
                peer="dcrd peer",
                run_peer=lambda amount=go_amount, together=go_together: client_and_server(
                    [DCRD, "serve", *amount], [DCRD, "dial", *amount, *together]
                ),
                run_ours=lambda amount=amount, together=together: client_and_server(
                    [OURS, "serve", "decred", *amount], [OURS, "dial", "decred", *amount, *together]
                ),
                ratio_target=1 / 3 if at_once == 64 else None,
                ratio_words="at most a third" if at_once == 64 else "",
            )
        )
    amount = ["--count", IDLE]
    hold = lambda network: (OURS, "hold", network)
    zebra = lambda: held([ZEBRA, "idle", *amount], *hold("zcash"))
    dcrd = lambda: held([DCRD, "idle", "-count", IDLE], *hold("decred"))
    for name, network, peer, run_peer, form, words, target in (
        ("idle-zcash", "zcash", "zebra-network", zebra, "task", "one task each", 12),
        ("idle-decred", "decred", "dcrd peer", dcrd, "task", "one task each", 12),
        ("idle-value", "zcash", "zebra-network", zebra, "value", "as a bare value", None),
    ):
        all_of_them.append(
            Comparison(
                name=name,
                what=f"idle greeted {network.capitalize()} connection, resident, ours {words}",
                peer=peer,
                run_peer=run_peer,
                run_ours=lambda network=network, form=form: held(
                    [OURS, "idle", network, *amount, "--as", form], *hold(network)
                ),
                figure=rss_per_one,
                unit="kB",
                figure_target=target,
            )
        )
    all_of_them.append(
        Comparison(
            name="junk",
            what="pings in place of a version: bytes read until refused",
            peer="zebra-network",
            run_peer=lambda: alone(ZEBRA, "junk"),
            run_ours=lambda: alone(OURS, "junk", "zcash", "--kind", "ping"),
            figure=bytes_read,
            unit="B",
            figure_target=4096,
        )
    )
    return all_of_them + ethereum(quick) + discovery(quick) + keep(quick) + inproxy(quick)


def ethereum(quick):
    """Ethereum's: the curve and Keccak below, and geth's transport beside."""
    geth = "geth rlpx"
    greet = Comparison(
        name="eth-greet",
        what="Ethereum handshake, auth to Status, both ends, in memory",
        peer="its curve operations",
        run_both=lambda: beside(RLPX, "greet", "--count", 100 if quick else 300),
        ratio_target=1.25,
        ratio_words="at most 1.25 times",
    )
    all_of_them = [greet]
    for name, words in (("prepared", "ephemeral keys made ahead"), ("known", "and the static secret kept")):
        all_of_them.append(
            Comparison(
                name=f"eth-greet-{name}",
                what=f"the same, {words}",
                peer="all keys made on the way",
                runs_of=greet,
                figure=per_one(f"{name}_s"),
                peer_figure=cpu_per_one,
            )
        )
    for at_once, how in ((1, "one at a time"), (64, "64 at once")):
        amount, go_amount = (many(400, quick), "--at-once", at_once), (many(400, quick), "-at-once", at_once)
        ours = lambda amount=amount: alone(RLPX, "exchange", "--count", *amount)
        for program, build in ((GETH, "cgo"), (GETH_PURE, "pure Go")):
            if program == GETH_PURE and at_once != 1:
                continue
            all_of_them.append(
                Comparison(
                    name=f"eth-exchange-{build.replace(' ', '-').lower()}-{at_once}",
                    what=f"RLPx key exchange, both ends, in memory, {how}",
                    peer=f"{geth}, {build}",
                    run_peer=lambda program=program, amount=go_amount: alone(
                        program, "handshake", "-count", *amount
                    ),
                    run_ours=ours,
                )
            )
    for size in (16 << 10, 1 << 20):
        measured = None
        for way, words in (("seal", "sealed"), ("open", "opened")):
            spent = per_one(f"{way}_s")
            one = Comparison(
                name=f"eth-keccak-{size}-{way}",
                what=f"RLPx frame of {sized(size)} {words}, without snappy",
                peer="Keccak of the same bytes",
                run_both=lambda size=size: beside(RLPX, "keccak", "--size", size, "--total", many(64 << 20, quick)),
                runs_of=measured,
                figure=spent,
                ratio_target=1 / 0.85,
                ratio_words="at least 0.85 of its speed: at most 1.18 times",
            )
            measured = measured or one
            all_of_them.append(one)
    # As much of each size as takes a few tenths of a second.
    for size, total in ((64, 4 << 20), (1 << 10, 32 << 20), (16 << 10, 64 << 20), (1 << 20, 64 << 20)):
        for snappy in (False, True):
            amount = (size, many(total, quick))
            words = ("-data", "half", "-snappy") if snappy else ("-data", "random")
            ours_words = ("--data", "half", "--snappy", "yes") if snappy else ("--data", "random")
            measured = None
            for way, past in (("seal", "sealed"), ("open", "opened")):
                one = Comparison(
                    name=f"eth-frames-{size}-{'snappy' if snappy else 'plain'}-{way}",
                    what=f"RLPx message of {sized(size)} {past}{', with snappy' if snappy else ''}",
                    peer=geth,
                    run_peer=lambda amount=amount, words=words: alone(
                        GETH, "frames", "-size", amount[0], "-total", amount[1], *words
                    ),
                    run_ours=lambda amount=amount, words=ours_words: alone(
                        RLPX, "frames", "--size", amount[0], "--total", amount[1], *words
                    ),
                    runs_of=measured,
                    figure=per_one(f"{way}_s"),
                )
                measured = measured or one
                all_of_them.append(one)
    ours = lambda form: held([RLPX, "idle", "--count", IDLE, "--as", form], RLPX, "hold")
    task = Comparison(
        name="eth-idle-task",
        what="idle greeted Ethereum connection, resident, ours one task each",
        peer=f"{geth}, keys exchanged",
        run_peer=lambda: held([GETH, "idle", "-count", IDLE], RLPX, "hold", "--until", "keyed"),
        run_ours=lambda: {"value": ours("value"), **ours("task")},
        figure=rss_per_one,
        unit="kB",
        figure_target=12,
    )
    value = Comparison(
        name="eth-idle-value",
        what="idle greeted Ethereum connection, resident, ours as a bare value",
        peer=task.peer,
        runs_of=task,
        figure=lambda run: rss_per_one(run.get("value", run)),
        unit="kB",
    )
    all_of_them += [task, value]
    return all_of_them


def discovery(quick):
    """Discovery v5: beside the crate discv5, and the curve and the kernel below."""
    peer = "discv5 0.12"
    run = lambda whose, *words: lambda: alone(DISC, whose, *words)
    both = lambda *words: {"run_peer": run("sigp", *words), "run_ours": run("ours", *words)}
    all_of_them = []
    for kind, what, count, target, words in (
        ("ping", "PING round trip", 10000, 0.4, "at most 0.4 times"),
        ("own", "FINDNODE of a node's own record, round trip", 4000, 1 / 6, "at most a sixth"),
        ("talk", "TALK round trip, 64 bytes", 10000, None, ""),
    ):
        for at_once, how in ((64, "64 at once"), (1, "one at a time")):
            amount = ("--kind", kind, "--count", many(count, quick), "--at-once", at_once)
            all_of_them.append(
                Comparison(
                    name=f"disc-{kind}-{at_once}",
                    what=f"{what}, {how}",
                    peer=peer,
                    **both("rr", *amount),
                    ratio_target=target if at_once == 64 else None,
                    ratio_words=words if at_once == 64 else "",
                )
            )
    sessions = ("sessions", "--count", 300, "--at-once", 16)
    curve = lambda: beside(DISC, "session", "--count", 300)
    session = {"ratio_target": 1.25, "ratio_words": "at most 1.25 times"}
    all_of_them += [
        Comparison(
            name="disc-session",
            what="new session with a PING, without sockets",
            peer="its curve operations (libsecp256k1)",
            run_both=curve,
            **session,
        ),
        Comparison(
            name="disc-session-loopback-curve",
            what="the same over loopback, 16 at once",
            peer="its curve operations (libsecp256k1)",
            run_peer=lambda: curve()[0],
            run_ours=run("ours", *sessions),
            **session,
        ),
        Comparison(name="disc-session-loopback", what="the same", peer=peer, **both(*sessions)),
    ]
    nodes = 50 if quick else 200
    swarm = Comparison(
        name="disc-swarm",
        what=f"{nodes} nodes that know one start and look up one target each, all at once",
        peer=peer,
        **both("swarm", "--count", nodes),
        pairs=6,
        figure=lambda run: run["cpu_s"],
        unit="s",
        ratio_target=0.2,
        ratio_words="at most a fifth",
    )
    all_of_them.append(swarm)
    for number, words in ((1, "these lookups"), (2, "a second round")):
        all_of_them.append(
            Comparison(
                name=f"disc-recall-{number}",
                what=f"recall of the true 16 nearest, {words}",
                peer=peer,
                runs_of=swarm,
                figure=lambda run, number=number: run[f"recall_{number}"],
                unit="",
                figure_least=0.9 if number == 2 else None,
            )
        )
    all_of_them.append(
        Comparison(
            name="disc-second-round",
            what="the second round",
            peer=peer,
            runs_of=swarm,
            figure=lambda run: run["cpu_2_s"],
            unit="s",
        )
    )
    forged = many(5000, quick)
    in_memory = lambda run: run["ns"]["spoofed_handshake"] / 1000 if "ns" in run else cpu_per_one(run)
    all_of_them += [
        Comparison(
            name="disc-forged",
            what="handshake packet that nobody asked for, sent and refused, over loopback",
            peer=peer,
            **both("spoofed", "--count", forged),
        ),
        Comparison(
            name="disc-forged-quiet",
            what="the same, ours without sockets",
            peer=f"{peer}, over loopback",
            run_peer=run("sigp", "spoofed", "--count", forged),
            run_ours=run("hot"),
            figure=in_memory,
            figure_target=3,
        ),
        Comparison(
            name="disc-idle",
            what="idle node that knows nobody, resident, of 500",
            peer=peer,
            **both("idle", "--count", 50 if quick else 500),
            figure=lambda run: run["rss"] / run["count"] / 1024,
            unit="KiB",
            figure_target=30,
        ),
        Comparison(
            name="disc-kernel",
            what="the kernel's share: 95 bytes sent and received by bare sockets, 32 a call",
            peer="one a call",
            run_peer=run("floor", "--count", many(100_000, quick)),
            run_ours=run("floor", "--count", many(100_000, quick), "--batched", "yes"),
        ),
    ]
    return all_of_them


KINDS = (
    ("silent", "say nothing"),
    ("trickle", "say a byte a second"),
    ("garbage", "say what is no message"),
    ("versions", "say `version` again and again"),
    ("churn", "connect and leave"),
    ("deaf", "greet, ping, and never read"),
)


def keep(quick):
    """A whole node: beside an acceptor without one, and beside itself without a crowd."""
    sessions, calls = many(5000, quick), many(4000, quick)
    hostile, peers = many(10_000, quick), many(400, quick)
    amount = ["--count", sessions]
    per_second = lambda run: run["count"] / run["cpu_s"]
    all_of_them = [
        Comparison(
            name="keep-idle",
            what=f"idle Zcash session, resident, all layers, {sessions:,} of them",
            peer="one task each, without a node",
            run_peer=lambda: held([OURS, "idle", "zcash", *amount], OURS, "hold", "zcash", count=sessions),
            run_ours=lambda: node_holds(sessions),
            figure=rss_per_one,
            unit="kB",
            figure_target=15,
        ),
        Comparison(
            name="keep-accept",
            what="inbound Zcash handshakes at a listener, for a second of its processor time",
            peer="one task each, without a node",
            run_peer=lambda: acceptor_greets(calls),
            run_ours=lambda: node_greets(calls),
            figure=per_second,
            unit="",
            figure_least=2000,
        ),
    ]
    ways = [("mixed", 4, "of all kinds, four of each address group", None)]
    ways.append(("mixed", 1, "of all kinds, each of its own address group", None))
    ways += [(kind, 4, f"that {words}", 6) for kind, words in KINDS]
    for kind, per_group, words, pairs in ways:
        first = Comparison(
            name=f"keep-crowd-{kind}-{per_group}",
            what=f"handshake of an honest peer, p99, beside {hostile:,} hostile sockets {words}",
            peer="alone",
            run_both=lambda kind=kind, per_group=per_group: crowd(hostile, peers, kind, per_group),
            figure=lambda run: run["p99"],
            pairs=pairs,
            ratio_target=3,
            ratio_words="at most 3 times",
        )
        all_of_them.append(first)
        if kind == "mixed":
            all_of_them.append(
                Comparison(
                    name=f"keep-median-{per_group}",
                    what="the same, median of them",
                    peer="alone",
                    runs_of=first,
                    figure=lambda run: run["p50"],
                )
            )
    return all_of_them


def inproxy(quick):
    """The in-proxy's transports, whole, beside the same transports alone."""
    count, bulk, long_bulk = 10, 32 if quick else 128, 1 if quick else 2
    ms = lambda run: run["wall_s"] * 1000
    rate = lambda run: run["bytes"] / run["wall_s"] / 2**20
    kinds = (("quic", "bare-quinn", "QUIC", "quinn"), ("webrtc", "bare-webrtc", "WebRTC", "webrtc"))
    all_of_them = []
    for kind, _, name, _ in kinds:
        words = ["--count", count]
        target = {"figure_target": 60} if kind == "quic" else {"ratio_target": 1, "ratio_words": "at most 50 ms more"}
        all_of_them.append(
            Comparison(
                name=f"inproxy-setup-{kind}",
                what=f"offer to the first byte back from the destination, {name}, median of {count}",
                peer="webrtc alone, channel open",
                run_peer=lambda words=words: alone(INPROXY, "set-up", "bare-webrtc", *words),
                run_ours=lambda words=words, kind=kind: alone(INPROXY, "set-up", kind, *words),
                figure=ms,
                unit="ms",
                pairs=6,
                **target,
            )
        )
    fair, foul = ["--mib", bulk], ["--mib", long_bulk, "--delay", 50, "--loss", 1]
    for kind, bare, name, crate in kinds:
        for path, words, where, pairs in (
            ("loopback", fair, "loopback", None),
            ("long", foul, "round trip of 100 ms, 1 % lost each way", 6),
        ):
            least = 0.8 if path == "long" else 0.5 if kind == "quic" else 0.7
            seeds = iter(range(1, 1000))

            def both(words=words, kind=kind, bare=bare, path=path, seeds=seeds):
                # The same dice for both sides of a pair.
                dice = ["--seed", next(seeds)] if path == "long" else []
                return (
                    alone(INPROXY, "stream", bare, *words, *dice),
                    alone(INPROXY, "stream", kind, *words, *dice),
                )

            all_of_them.append(
                Comparison(
                    name=f"inproxy-{path}-{kind}",
                    what=f"relayed one way over {name}, {where}",
                    peer=f"{crate} alone",
                    run_both=both,
                    figure=rate,
                    unit="MiB/s",
                    pairs=pairs,
                    ratio_least=least,
                    ratio_words=f"at least {least}",
                )
            )
    return all_of_them


STEPS = (
    ("ping_round_trip", "PING round trip, both ends"),
    ("own_record_round_trip", "FINDNODE of its own record, round trip, both ends"),
    ("encode_ping", "PING encoded, sealed and masked"),
    ("decode_ping", "PING unmasked, opened and decoded"),
    ("unmask_and_parse_header", "header unmasked and parsed"),
    ("open_1100", "message of 1,100 bytes unmasked and opened"),
    ("spoofed_handshake", "handshake packet that nobody asked for, refused"),
    ("record_decode", "record decoded"),
    ("record_verify", "record decoded and verified (libsecp256k1)"),
    ("record_sign", "record signed (libsecp256k1)"),
    ("nearest_16", "a lookup's choice: the 16 nearest of a full table"),
    ("answer_3_distances", "an answer's choice: 16 nodes at three distances of a full table"),
)


def many(count, quick):
    return max(count // 10, 200) if quick else count


def sized(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


JUNK = (
    ("zcash", "ping", "pings of 32 bytes"),
    ("zcash", "long", "unknown messages of 1,024 bytes"),
    ("zcash", "noise", "bytes that are no message"),
    ("decred", "ping", "pings of 32 bytes"),
)

# ---- figures ----------------------------------------------------------------------------------


def interval(values):
    """The 95 % interval of a median by order statistics: no shape of distribution is assumed.

    Returns None when there are too few values for one.
    """
    values = sorted(values)
    n = len(values)
    below = 0.0
    rank = 0
    while rank < n // 2:
        below += math.comb(n, rank) / 2**n
        if 2 * below > 0.05:
            break
        rank += 1
    return (values[rank - 1], values[n - rank]) if rank else None


def number(value):
    """Three digits that matter, thousands set apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def with_interval(values, show):
    found = interval(values)
    if found is None:
        return f"{show(statistics.median(values))} (of {show(min(values))} to {show(max(values))})"
    return f"{show(statistics.median(values))} ({show(found[0])} to {show(found[1])})"


def verdict(values, target):
    """Met when the median is within the target; clearly so when its whole interval is."""
    median = statistics.median(values)
    low, high = interval(values) or (min(values), max(values))
    if median <= target:
        return "met" if high <= target else "met, but the interval reaches beyond"
    return "**missed**" if low > target else "**missed**, but the interval reaches the target"


def row(one):
    ratios = one.ratios()
    shown = lambda value: f"{number(value)} {one.unit}".strip()
    peers, ours = one.figures()
    peer = statistics.median(peers)
    target = met = ""
    ours_shown = shown(statistics.median(ours))
    if one.ratio_target is not None:
        target, met = one.ratio_words, verdict(ratios, one.ratio_target)
    elif one.ratio_least is not None:
        target, met = one.ratio_words, verdict([-ratio for ratio in ratios], -one.ratio_least)
    elif one.figure_least is not None:
        target, met = f"at least {shown(one.figure_least)}", verdict([-v for v in ours], -one.figure_least)
        ours_shown = with_interval(ours, shown)
    elif one.figure_target is not None:
        target, met = f"at most {shown(one.figure_target)}", verdict(ours, one.figure_target)
        if min(ours) < max(ours):
            ours_shown = with_interval(ours, shown)
    return [
        one.what,
        f"{one.peer}: {shown(peer)}",
        ours_shown,
        with_interval(ratios, number),
        target or "–",
        met or "–",
    ]


def table(head, rows):
    lines = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def rates(done):
    """Handshakes a second: what a user sees, and what other work on the machine moves most."""
    rows = []
    for one in done:
        if one.figure is cpu_per_one and not one.run_both:
            rate = lambda runs: number(statistics.median(run["count"] / run["wall_s"] for run in runs))
            rows.append([one.what, f"{one.peer}: {rate(one.peers)}", rate(one.ours), str(len(one.ours))])
    return rows


def junk_rows():
    rows = []
    for network, kind, words in JUNK:
        run = alone(OURS, "junk", network, "--kind", kind)
        size = {"ping": 32, "long": 1024, "noise": 0}[kind]
        taken = run["count"] * size
        met = "met" if run["count"] <= 8 and taken <= 4096 else "**missed**"
        rows.append([network.capitalize(), words, str(run["count"]), f"{taken:,}", f"{run['bytes']:,}", met])
    return rows


def step_rows(done):
    """Single steps: of each run the quickest, of the runs the median."""
    runs = next(one.ours for one in done if one.name == "disc-forged-quiet")
    median = lambda name: statistics.median(run["ns"][name] for run in runs)
    return [[words, f"{number(median(name))} ns"] for name, words in STEPS]


def served_row(done):
    """Not one of any run may have failed, so there is no median to take."""
    crowds = [one for one in done if one.name.startswith("keep-crowd-")]
    total = lambda runs: (sum(round(run["count"] * run["served"]) for run in runs), sum(run["count"] for run in runs))
    peer, ours = (total([run for one in crowds for run in side(one)]) for side in (lambda one: one.peers, lambda one: one.ours))
    words = lambda pair: f"{pair[0]:,} of {pair[1]:,}"
    met = "met" if ours[0] == ours[1] else "**missed**"
    return ["honest peers greeted at their first try, and kept", f"alone: {words(peer)}", words(ours), "–", "all", met]


def crowd_rows(done):
    rows = []
    for one in done:
        if one.name.startswith("keep-crowd-"):
            median = lambda name, runs=one.ours: number(statistics.median(run[name] for run in runs))
            who = one.what.split(" hostile sockets ")[1]
            both = lambda name, one=one: " / ".join(
                number(statistics.median(run[name] for run in runs)) for runs in (one.peers, one.ours)
            )
            figures = [median(name) for name in ("tries", "refused", "pending", "established", "node_cpu")]
            rows.append([who, str(len(one.ours)), *figures, both("p50"), both("p99"), both("max")])
    return rows


# ---- the page ---------------------------------------------------------------------------------


def first(pattern, text, otherwise="unknown"):
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else otherwise


def output(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=HERE / "dcrd").stdout


def machine(loads):
    cpu = first(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text())
    memory = int(first(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), "0")) / 2**20
    system = first(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text())
    kernel = ".".join(os.uname().release.split("-")[0].split(".")[:2])
    go = first(r"go version go(\S+)", output("go", "version"))
    rust = first(r"rustc (\S+)", output("rustc", "-V"))
    virtual = "hypervisor" in Path("/proc/cpuinfo").read_text()
    text = (
        f"{os.cpu_count()} cores of an {cpu}{', virtual' if virtual else ''}, {memory:.0f} GiB of memory; "
        f"{system}, Linux {kernel}; rustc {rust}, go {go}. The cores are shared with other work: "
        f"the load average was {loads[0]:.1f} before the run and {loads[1]:.1f} after it."
    )
    return textwrap.fill(text, 100)


def with_foreign_sections(page):
    """What other programs wrote into the old page stays: each stands between two marks."""
    old = DOCS.read_text() if DOCS.exists() else ""
    kept = re.findall(r"^<!-- (\w+): written by .*?^<!-- \1: end -->\n", old, re.S | re.M)
    for name in kept:
        block = re.search(rf"^<!-- {name}: written by .*?^<!-- {name}: end -->\n", old, re.S | re.M).group(0)
        page = page.replace("## Machine\n", f"{block}\n## Machine\n", 1)
    return page


DISCOVERY = """\
<!-- discovery: written by bench/run --only disc. Do not edit: run it again. -->

## Discovery v5

Measured on {date} with `bench/run --only disc`, {pairs} pairs, beside the published crate `discv5`
0.12.0 (its curve is k256; ours is libsecp256k1), six where {nodes} nodes are run. The load average was {before:.1f} before and
{after:.1f} after.

{main}
### Single steps

Without sockets, one thread, of each run the quickest of seven repetitions, of the runs the median.
The table has {places} nodes.

{steps}
### How this is measured

- Both ends are nodes of the same kind in one process with a runtime of two workers, over loopback,
  each with its defaults; ours is the service (`peerage-find`), upkeep and all. µs are processor time,
  user and system, of everything at both ends. Runs alternate: theirs, ours.
- Round trips: two nodes that have a session. A tenth of them goes before, unmeasured.
- New sessions: fresh nodes, made beforehand, PING one that has never heard of them. The curve
  operations in one: a key made, two shared points, a proof signed and checked, a record verified, and
  the points that these need read from their 33 bytes. Without sockets, sessions and the operations
  take turns in one thread, by that thread's processor time.
- Many nodes: all have the same keys in both implementations, so that they lie at the same places.
  Processor time is from before the first is made until the last lookup of the first round has ended;
  in ours that is the whole of joining, which others do not do by themselves. The targets are random.
- Forged handshakes: each with a genuine record and noise for the rest, 50 in a row from a bare socket,
  then a PING whose answer says that they have been dealt with. What the PINGs cost is taken off; what
  the bare socket costs is not.
- Idle: the growth of resident memory over 500 nodes, a second after the last was made, without what
  lies in the kernel.

<!-- discovery: end -->
"""

KEEPING = """\
<!-- keep: written by bench/run --only keep. Do not edit: run it again. -->

## Keeping

Measured on {date} with `bench/run --only keep`, {pairs} pairs, six where the crowd is of one kind.
The load average was {before:.1f} before and {after:.1f} after.

{main}
### The crowd

What {hostile:,} hostile sockets did each second, what became of them, and how long honest peers
waited alone / beside them, in µs. Medians of the runs.

{crowds}
### How this is measured

- The node is `peerage::Node` of Zcash's testnet in a process of its own, with its listener, admission,
  peer table, book and an application that takes its events, on a runtime of two workers. Everything
  is as it comes, but for two things: loopback counts as the world, each /24 of it as an address group
  of its own, and there are slots for 10,000 inbound peers, since who gets one when there are few is a
  question for eviction.
- Idle: bare sockets of another process open {sessions:,} connections, each from its own group, and
  greet. The figure is the growth of the node's resident memory from before the first to one second
  after the last, for each. Beside it the same for an acceptor that keeps each peer in one task and
  has no node around it. What the kernel holds is in neither.
- Inbound handshakes: bare sockets of another process greet and leave, 16 at once, each from its own
  group; a tenth goes before, unmeasured. Processor time is the node's alone, user and system, until
  the last session is over, and the count is that of its `Established` events. For this and for idle
  sessions the total rate at the door is lifted.
- Honest peers: `Greeter`s of another process, each from a group of its own, one each 5 ms whether or
  not the last is done. The time is from the first packet to the end of the handshake, by the clock. A
  peer counts as greeted when it was so at its first try and a ping after it was answered. Half of
  those alone come before the crowd, half after it has left.
- The crowd is a third process, which gives way to the other two (`nice`), as if it came from other
  machines; all share two cores. Its sockets arrive within a second and come again a second after they
  are shown the door. Honest peers follow one second after the last of them has tried.
- These times are by the clock. Where others keep the cores busy, a node that has work to do waits for
  them as one that has none does not, and the system itself drops packets of loopback: a ratio says
  something of the node only where the load average is below the number of cores.

<!-- keep: end -->
"""

TRANSPORTS = """\
<!-- transports: written by bench/run --only inproxy. Do not edit: run it again. -->

## Transports

Measured on {date} with `bench/run --only inproxy`, {pairs} pairs, fewer where a run takes long. The
load average was {before:.1f} before and {after:.1f} after. Processor time is of both ends together,
and of the forwarder where there is one.

{main}
{cpu}
### How this is measured

- Alone, QUIC is quinn with its defaults and a certificate; WebRTC is the crate `webrtc` with what is known
  to help it: socket buffers of 4 MiB, 256 KiB unacknowledged (1 MiB on the long path), messages of 16 KiB,
  ICE's checks every 10 ms. One ordered, reliable channel or stream, both ends in one process on two
  workers.
- Set-up: broker, volunteer, client and destination in one process, over loopback, sessions with the
  broker there. Beside it the time until two ends of `webrtc` have a channel open and a byte through it,
  without any broker.
- Relayed: from the client's channel through the volunteer's relay over TCP to a destination that reads.
- The long path is a forwarder of datagrams between the two ends, in the same process: 50 ms each way, one
  in a hundred lost each way, by the same dice for both sides of a pair.

<!-- transports: end -->
"""

PAGE = """\
# Performance

<!-- Written by bench/run. Do not edit: run it again. -->

Measured on {date} beside the published peers, with `bench/run`.

{main}
Figures are medians. A ratio is ours to theirs, the median of the ratios of the pairs, with the 95 %
interval of that median in brackets; below 1 ours takes less. µs are processor time, user and system,
of one handshake or message, all processes together. kB are 1,000 bytes.

## Junk in place of a version

Until it is refused, a stranger may send 8 messages and 4 KiB on Zcash, and nothing on Decred.

{junk}
Bytes reach us 4 KiB at a time, so more of them than are taken in may have been read from the socket.

## Rate

Handshakes a second by the clock, for orientation only: other work on the machine moves these most.

{rates}
## Machine

{machine}

## Method

- Peers: zebra-network 15.0.0 through `connect_isolated`, its public way to greet over any
  connection, which makes its configuration anew for each; dcrd's `peer/v3` 3.2.0, the newest tagged
  peer package, which speaks version 11, so on Decred ours was told to speak 11 too. Ours through
  `Greeter`, direct connections, keyed nonces.
- All Rust programs are built by the same compiler in Cargo's default release profile and run on a
  tokio runtime of two workers; Go takes two threads by itself. All say the same user agent.
- Runs alternate: theirs, ours, theirs, ours. A pair is one of each. In-process runs begin with a
  tenth of the handshakes unmeasured. Processor time is read a tenth of a second after the last
  handshake, so that work left behind counts.
- In memory: both ends in one task over a pipe of 4 KiB, dropped when both are greeted.
- Bare sockets: tokio's, sending canned frames and looking at nothing but frame lengths and command
  names. Both ends share one process. The one that dials leaves after its verack, the acceptor drops the
  connection when it is greeted. `bare sockets` against themselves are the floor: what the sockets
  cost without a protocol, a timer or a check. Both acceptors have `TCP_NODELAY` from their listening
  socket and answer in one write.
- Decred over TCP: client and server are two processes, because dcrd remembers the nonces it sent
  for a whole process. The client leaves first; the server serves each peer until it has left.
- Idle: one process accepts {idle:,} connections that bare sockets of another process open and greet.
  The figure is the growth of its resident memory from before the first connection to one second
  after the last handshake, divided by {idle:,}. Ours answers pings meanwhile, in one task for each
  connection; as a bare value it lies in a list. Memory inside the kernel is not in it.
- Ethereum beside what it stands on: ours and the curve's operations (libsecp256k1's, blinded, two
  base multiplications, four general ones and a signature or a recovery a side), or Keccak (the same
  assembly), take turns of some milliseconds in one thread of one process, by that thread's processor
  time. Both nodes draw random bytes from the system and judge each other's Status. Frames are
  sealed and opened where they stand, and Keccak absorbs what was sealed; the copying of the data
  into the frame, which is the caller's part, is not in it.
- Ethereum beside geth: its package `p2p/rlpx` of 1.17.8, which ends with the key exchange, so that
  is what both do: neither Hello nor Status. Both ends in one process over a pipe in memory, all keys
  but the static ones made on the way. With cgo, as geth's releases are built, its curve is
  libsecp256k1 too; without, it is Go's. Messages are sealed and written to a buffer one by one, then
  read from it and opened, 4 MiB in turn, by one thread, which collects Go's garbage in others. With
  snappy ours are whole sessions, as an application has them, and every other 32 bytes of a message
  are zero; without they are frames alone, of random bytes.
- Idle Ethereum connections are held in the same way. Ours were greeted, Status and all, by another
  process. geth's exchanged keys only and have one goroutine that waits for a message, without what
  geth keeps above its transport; its garbage is collected before memory is read.
- Intervals are those of order statistics: nothing is assumed about how the figures are distributed.
  A target counts as met when the median is within it; where the interval reaches beyond, the table
  says so.

## To repeat

```text
bench/run            # some twenty minutes after building; writes this page
bench/run --quick    # a minute; prints the tables only
```

It needs bash, Python 3, Go, Rust and a C compiler. Everything stays on the loopback interface.
"""


def discovery_section(done, pairs, loads):
    head = ["what", "peer", "ours", "ratio", "target", "met?"]
    runs = next(one.ours for one in done if one.name == "disc-forged-quiet")
    return DISCOVERY.format(
        date=datetime.date.today().strftime("%-d %B %Y"),
        pairs=pairs,
        before=loads[0],
        after=loads[1],
        main=table(head, [row(one) for one in done]),
        steps=table(["step", "ours"], step_rows(done)),
        places=runs[0]["places"],
        nodes=next(one.ours[0]["count"] for one in done if one.name == "disc-swarm"),
    )


def keep_section(done, pairs, loads):
    head = ["what", "peer", "ours", "ratio", "target", "met?"]
    crowds = ["they", "runs", "tries", "shown the door", "unfinished handshakes", "sessions", "the node's processor time, s"]
    crowds += ["median, µs", "p99, µs", "longest, µs"]
    sessions = next(one.ours[0]["count"] for one in done if one.name == "keep-idle")
    return KEEPING.format(
        date=datetime.date.today().strftime("%-d %B %Y"),
        pairs=pairs,
        before=loads[0],
        after=loads[1],
        main=table(head, [row(one) for one in done] + [served_row(done)]),
        crowds=table(crowds, crowd_rows(done)),
        hostile=2 * sessions,
        sessions=sessions,
    )


def inproxy_section(done, pairs, loads):
    head = ["what", "peer", "ours", "ratio", "target", "met?"]
    rows = []
    for one in done:
        if one.name.startswith("inproxy-setup"):
            continue
        per_gib = lambda runs: number(statistics.median(run["cpu_s"] / run["bytes"] * 2**30 for run in runs))
        rows.append([one.what, f"{one.peer}: {per_gib(one.peers)}", per_gib(one.ours)])
    return TRANSPORTS.format(
        date=datetime.date.today().strftime("%-d %B %Y"),
        pairs=pairs,
        before=loads[0],
        after=loads[1],
        main=table(head, [row(one) for one in done]),
        cpu=table(["processor time, s for each GiB", "peer", "ours"], rows),
    )


def write_section(section):
    """Puts a section in place of the one with the same name, or before the machine."""
    text = DOCS.read_text()
    name = first(r"^<!-- (\w+): written by", section)
    old = re.compile(rf"^<!-- {name}: written by .*?^<!-- {name}: end -->\n", re.S | re.M)
    if old.search(text):
        text = old.sub(lambda _: section, text)
    else:
        text = text.replace("## Machine\n", f"{section}\n## Machine\n", 1)
    DOCS.write_text(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--needs", action="store_true", help="print which programs these comparisons need")
    args = parser.parse_args()
    if not args.quick and args.pairs < LEAST_PAIRS:
        parser.error(f"at least {LEAST_PAIRS} pairs make a result")

    chosen = [one for one in comparisons(args.quick) if not args.only or any(w in one.name for w in args.only)]
    if not chosen:
        parser.error("no comparison has such a name")
    if args.needs:
        print(*sorted({program for one in chosen for program in one.programs()}))
        return
    loads = [os.getloadavg()[0], 0]
    with RAW.open("w") as raw:
        # Each set of runs once, whichever of the comparisons that read it are chosen.
        for one in {id(runs): runs for runs in (one.runs_of or one for one in chosen)}.values():
            pairs = min(args.pairs, one.pairs or args.pairs) * (1 if args.quick else one.repeat)
            print(f"bench: {one.name}, {pairs} pairs", file=sys.stderr, flush=True)
            for _ in range(pairs):
                one.run_pair()
                raw.write(json.dumps({"comparison": one.name, "peer": one.peers[-1], "ours": one.ours[-1]}) + "\n")
                raw.flush()
    loads[1] = os.getloadavg()[0]

    head = ["what", "peer", "ours", "ratio", "target", "met?"]
    main_table = table(head, [row(one) for one in chosen])
    rate_table = table(["what", "peer", "ours", "pairs"], rates(chosen))
    sections, apart = [], []
    for word, whole, write in (
        ("disc-", discovery, discovery_section),
        ("keep-", keep, keep_section),
        ("inproxy-", inproxy, inproxy_section),
    ):
        found = [one for one in chosen if one.name.startswith(word)]
        apart += found
        if len(found) == len(whole(args.quick)):
            sections.append(write(found, args.pairs, loads))
    if args.quick or args.only:
        print(main_table, rate_table, sep="\n")
        for section in sections:
            print(section) if args.quick else write_section(section)
        return
    junk_head = ["network", "junk", "messages taken in", "their bytes", "bytes read from the socket", "met?"]
    page = PAGE.format(
        date=datetime.date.today().strftime("%-d %B %Y"),
        main=table(head, [row(one) for one in chosen if one not in apart]),
        junk=table(junk_head, junk_rows()),
        rates=table(["what", "peer", "ours", "pairs"], rates([one for one in chosen if one not in apart])),
        machine=machine(loads),
        idle=IDLE,
    )
    DOCS.write_text(with_foreign_sections(page))
    for section in sections:
        write_section(section)
    print(main_table)


if __name__ == "__main__":
    main()
