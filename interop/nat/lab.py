#!/usr/bin/env python3
"""The laboratory: NATs made of network namespaces and nftables. See README.md beside this file."""

import argparse
import concurrent.futures
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import world as w

# The tables of docs/matcher.md, written down once more: they are what the runs are compared with.
CLASS = {"endpoint-independent": {"endpoint-independent": "unlimited", "address-dependent": "unlimited",
                                  "address-and-port-dependent": "partial"}}
COMPATIBLE = {("unlimited", "unlimited"), ("unlimited", "partial"), ("unlimited", "strict"),
              ("partial", "unlimited"), ("partial", "partial"), ("strict", "unlimited")}

# mapping << 2 | filtering, as it must be found, and for matching, where a mapped port opens all.
VALUE = {"open": 5, "full cone": 5, "restricted": 6, "port-restricted": 7, "symmetric": 15,
         "double": 15, "firewall": 7, "mapped": 15}
EFFECTIVE = {**VALUE, "mapped": 5}


def class_of(value):
    names = ["unknown", "endpoint-independent", "address-dependent", "address-and-port-dependent"]
    return CLASS.get(names[value >> 2], {}).get(names[value & 3], "strict")


def compatible(one, other):
    return (class_of(EFFECTIVE[one]), class_of(EFFECTIVE[other])) in COMPATIBLE


def note(*words, **how):
    print(*words, file=sys.stderr, flush=True, **how)


class Lab:
    def __init__(self, args):
        self.args, self.failures = args, []
        self.world = w.World()
        self.folder = tempfile.mkdtemp(prefix="peerage-nat-")
        self.servers = []

    def close(self):
        for server in self.servers:
            server.terminate()
            server.wait()
        self.world.close()
        shutil.rmtree(self.folder)

    def fail(self, what):
        self.failures.append(what)
        note("FAILED", what)

    def serve(self):
        """Our STUN server, for each family. Its limits are those of one who serves a laboratory."""
        for first, other in ((w.STUN, w.STUN_OTHER), (w.STUN6, w.STUN6_OTHER)):
            words = [self.args.peerage, "broker", "stun", "--bind", first, "--bind", other,
                     "--burst", "100000", "--rate", "100000"]
            server = subprocess.Popen(w.inside("stun", *words), stderr=subprocess.PIPE,
                                      stdout=subprocess.DEVNULL, text=True)
            if not server.stderr.readline().startswith("answering"):
                raise RuntimeError("the STUN server does not start")
            self.servers.append(server)

    # ---- classification ---------------------------------------------------------------------

    def doctor(self, site, *more, servers=(w.STUN, w.STUN6)):
        stun = [word for at in servers for word in ("--stun", at)]
        words = [self.args.peerage, "doctor", "--json", *stun, *more]
        done = subprocess.run(w.inside(site.host, *words), capture_output=True, text=True, timeout=60)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return found, done

    def classify(self):
        """Each kind, in all runs, at once in the same namespace: each survey has its own ports."""
        table = []
        for kind in w.KINDS:
            site = self.world.site("a", kind)
            with concurrent.futures.ThreadPoolExecutor(self.args.at_once) as pool:
                runs = [pool.submit(self.doctor, site) for _ in range(self.args.runs)]
                found = [run.result()[0] for run in runs]
            for family in ("IPv4", "IPv6"):
                nats = [line for lines in found for line in lines
                        if line["type"] == "nat" and line["family"] == family]
                value, name = VALUE[kind], w.KINDS[kind]
                if family == "IPv6":
                    if kind == "double":
                        continue
                    value, name = (5, "no NAT") if kind == "open" else (7, "no NAT, a firewall")
                right = [nat for nat in nats if nat.get("nat", {}).get("value") == value
                         and nat.get("name") == name]
                took = [nat["took_ms"] for nat in nats if "took_ms" in nat]
                table.append((kind, family, name, len(right), len(nats), took))
                note(f"{kind:<16} {family}  {len(right)}/{len(nats)} {name}")
                if len(right) != self.args.runs:
                    self.fail(f"{kind} {family}: {[nat.get('name') for nat in nats]}")
        self.world.remove("a")
        return table

    def ports(self):
        """The mapping server: each protocol gives a port, shows it, and gets it back."""
        table = []
        for protocols in ("PCP", "UPnP"):
            site = self.world.site("a", "mapped", protocols)
            found, done = self.doctor(site, "--map", "9000/udp", "--map", "9001/tcp")
            mapped = [line for line in found if line["type"] == "mapping"]
            told = [line for line in found if line["type"] == "external"]
            nat = next(line for line in found
                       if line["type"] == "nat" and line["family"] == "IPv4")
            ok = (len(mapped) == 2 and all(line.get("method") == protocols for line in mapped)
                  and nat["effective"]["value"] == 5
                  and told[0]["addr"] == mapped[0]["external"]
                  and told[0]["confirmed_by"] == ["seen"])
            note(f"mapped by {protocols}: {'ok' if ok else 'FAILED'}")
            if not ok:
                self.fail(f"mapped ports: {mapped} {told} {done.stderr}")
            left = w.within(site.router, "nft", "list", "table", "inet", "upnp")
            if "dnat" in left:
                self.fail(f"a port was not given back:\n{left}")
            table += zip(mapped, told)
        self.world.remove("a")
        return table

    # ---- pairs ------------------------------------------------------------------------------

    def punch(self, letter, other, run, hold=0):
        site, peer = self.world.sites[letter], self.world.sites[other]
        words = [self.args.punch, "--me", f"{run}.{letter}", "--peer", f"{run}.{other}",
                 "--folder", self.folder, "--stun", w.STUN, "--nat", str(EFFECTIVE[site.kind]),
                 "--token", run, "--patience-ms", "8000", "--hold-ms", str(hold),
                 "--map", "yes" if site.kind == "mapped" else "no"]
        return subprocess.Popen(w.inside(site.host, *words), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def attempt(self, hold=0, meanwhile=None):
        """One attempt: both sides' results, and how long it took."""
        run = secrets.token_hex(8)
        began = time.monotonic()
        sides = [self.punch("a", "b", run, hold), self.punch("b", "a", run, hold)]
        if meanwhile:
            meanwhile()
        results = []
        for side in sides:
            out, errors = side.communicate(timeout=60)
            results.append(json.loads(out) if out else {"met": False, "reason": errors.strip()})
        return results, time.monotonic() - began

    def pairs(self):
        kinds = [kind for kind in w.KINDS if kind not in self.args.without]
        matrix = {}
        for volunteer in kinds:
            self.world.site("a", volunteer)
            for client in kinds:
                self.world.site("b", client)
                # Miniupnpd answers one at a time.
                at_once = 4 if "mapped" in (volunteer, client) else self.args.at_once
                with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                    runs = [pool.submit(self.attempt) for _ in range(self.args.runs)]
                    runs = [run.result() for run in runs]
                met = [all(side["met"] for side in sides) for sides, _ in runs]
                after = [max(side["after_ms"] for side in sides)
                         for (sides, _), ok in zip(runs, met) if ok]
                says = {side.get("reason") for sides, _ in runs for side in sides} - {None}
                slowest = max(took for _, took in runs)
                matrix[volunteer, client] = (sum(met), after)
                expected = compatible(volunteer, client)
                note(f"{volunteer:<16} {client:<16} {sum(met):>2}/{len(met)} "
                     f"{'compatible' if expected else 'incompatible'} {says or ''}")
                least = self.args.runs - self.args.runs // 20
                if expected and sum(met) < least:
                    self.fail(f"{volunteer} with {client} met {sum(met)} times: {says}")
                if not expected:
                    told = all(side.get("incompatible") for sides, _ in runs for side in sides
                               if not side["met"])
                    if not told or slowest > 10:
                        self.fail(f"{volunteer} with {client}: {says} after {slowest:.1f} s")
            self.world.remove("b")
        self.world.remove("a")
        return kinds, matrix

    # ---- changes ----------------------------------------------------------------------------

    def churn(self):
        """Channels whose mappings are lost, or whose side moves, go on."""
        table = []
        for volunteer, client, change, what in (
            ("full cone", "full cone", "forget", "the volunteer's router forgets its mappings"),
            ("port-restricted", "port-restricted", "forget", "the volunteer's router forgets"),
            ("symmetric", "restricted", "forget", "a symmetric router maps anew"),
            ("symmetric", "full cone", "move", "the volunteer's router gets another address"),
            ("port-restricted", "open", "move", "the volunteer's router gets another address"),
        ):
            went_on, silences = 0, []
            # The client must hear the volunteer from elsewhere, or nothing was tried.
            moves = change == "move" or volunteer == "symmetric"
            for _ in range(self.args.changes):
                site = self.world.site("a", volunteer)
                self.world.site("b", client)

                def meanwhile():
                    time.sleep(3)
                    getattr(site, change)(self.world)

                results, _ = self.attempt(hold=8000, meanwhile=meanwhile)
                silence = [side.get("silence_ms", 99999) for side in results]
                moved = results[1].get("heard_from") != results[1].get("heard_last_from")
                met = all(side["met"] for side in results)
                went_on += met and moved == moves and max(silence) < 3000
                silences += silence
            table.append((volunteer, client, what, went_on, self.args.changes, max(silences)))
            note(f"{volunteer} with {client}, {what}: {went_on}/{self.args.changes}, "
                 f"longest silence {max(silences)} ms")
            if went_on < self.args.changes:
                self.fail(f"{volunteer} with {client} did not survive: {what}")
            self.world.remove("b")
            self.world.remove("a")
        return table

    def roam(self):
        """The host gets another address: the observer notices and surveys again."""
        site = self.world.site("a", "port-restricted")
        words = [self.args.peerage, "doctor", "--json", "--watch", "--for", "30s", "--stun", w.STUN]
        process = subprocess.Popen(w.inside(site.host, *words), stdout=subprocess.PIPE, text=True)
        time.sleep(12)
        lan = f"10.0.{site.number}"
        w.within(site.host, "ip", "addr", "flush", "dev", "eth0", "scope", "global")
        w.within(site.host, "ip", "addr", "add", f"{lan}.3/24", "dev", "eth0")
        w.within(site.host, "ip", "route", "replace", "default", "via", f"{lan}.1")
        out, _ = process.communicate(timeout=60)
        lines = [json.loads(line) for line in out.splitlines()]
        seen = [(line["attached"]["local"], line["why"], line["name"]) for line in lines
                if line["family"] == "IPv4" and line.get("name")]
        expected = [(f"{lan}.2", "there was none yet", "port-restricted cone"),
                    (f"{lan}.3", "the network changed", "port-restricted cone")]
        if seen != expected:
            self.fail(f"roaming: {seen}")
        self.world.remove("a")
        return seen

    # ---- second opinions --------------------------------------------------------------------

    def foreign(self):
        """coturn as the server of our survey, and its client as a judge of our server."""
        table = []
        if not shutil.which("turnserver"):
            note("coturn is not installed: no second opinion")
            return table
        at, other = "20.0.113.1:3578", "20.0.113.2:3579"
        coturn = subprocess.Popen(
            w.inside("stun", "turnserver", "-n", "--no-tls", "--no-dtls", "--stun-only",
                     "--listening-port", "3578", "--alt-listening-port", "3579",
                     "-L", "20.0.113.1", "-L", "20.0.113.2", "--no-cli",
                     "--pidfile", f"{self.folder}/coturn.pid", "--log-file", "stdout"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.servers.append(coturn)
        time.sleep(2)
        for kind in ("open", "full cone", "restricted", "port-restricted", "symmetric"):
            site = self.world.site("a", kind)
            found, _ = self.doctor(site, servers=(at,))
            nat = next(line for line in found if line["type"] == "nat" and line["family"] == "IPv4")
            ours = nat.get("name")
            judged = w.within(site.host, "turnutils_natdiscovery", "-m", "-f",
                              "20.0.113.1", "-p", "3478", check=False)
            words = [line.strip().removeprefix("NAT with ").rstrip("!").lower()
                     for line in judged.splitlines() if "NAT with" in line]
            table.append((kind, ours, ", ".join(words)))
            note(f"{kind}: our survey of coturn: {ours}; coturn's client of our server: {words}")
            if ours != w.KINDS[kind]:
                self.fail(f"{kind} by coturn: {nat}")
            self.world.remove("a")
        return table


def report(lab, classes, ports, pairs, churn, foreign):
    """The page of results, in Markdown."""
    lines = ["### Types found", "",
             "| site | family | must be found | right | time |", "|---|---|---|---|---|"]
    for kind, family, name, right, count, took in classes:
        typical = f"{statistics.median(took) / 1000:.1f} s" if took else "-"
        lines.append(f"| {kind} | {family} | {name} | {right} of {count} | {typical} |")
    if pairs:
        kinds, matrix = pairs
        lines += ["", "### Pairs", "",
                  f"Of {lab.args.runs} attempts, how many met; **bold** where the tables say that they "
                  "are compatible. Rows: volunteer. Columns: client.", "",
                  "| | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
        for volunteer in kinds:
            cells = []
            for client in kinds:
                met, _ = matrix[volunteer, client]
                cells.append(f"**{met}**" if compatible(volunteer, client) else str(met))
            lines.append(f"| {volunteer} | " + " | ".join(cells) + " |")
        after = [ms for _, times in matrix.values() for ms in times]
        if after:
            lines += ["", f"From the first packet until both had heard that they were heard: median "
                      f"{statistics.median(after):.0f} ms, longest {max(after)} ms. Compatible pairs "
                      f"{sum(compatible(*pair) for pair in matrix)}, of which "
                      f"{sum(compatible(*pair) and met >= lab.args.runs - lab.args.runs // 20 for pair, (met, _) in matrix.items())} "
                      "met often enough."]
    if churn:
        lines += ["", "### Changes under way", "", "| volunteer | client | change | went on | longest silence |",
                  "|---|---|---|---|---|"]
        for volunteer, client, what, went_on, count, silence in churn:
            lines.append(f"| {volunteer} | {client} | {what} | {went_on} of {count} | {silence} ms |")
    if ports:
        lines += ["", "### Ports of the router", "", "| port | outside | by | address told |", "|---|---|---|---|"]
        for line, say in ports:
            lines.append(f"| {line['port']} | {line.get('external')} | {line.get('method')} | "
                         f"{say['addr']}, {say['source']} |")
    if foreign:
        lines += ["", "### Second opinions", "",
                  "| site | our survey, with coturn as the server | coturn's client, with our server |",
                  "|---|---|---|"]
        lines += [f"| {kind} | {ours} | {theirs} |" for kind, ours, theirs in foreign]
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- made by interop/nat/run -->\n", "<!-- end -->\n"


def put(path, page):
    """Between the marks of a page."""
    with open(path) as file:
        before, rest = file.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w") as file:
        file.write(before + BEGIN + "\n" + page + "\n" + END + after)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peerage", required=True)
    parser.add_argument("--punch", required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--report")
    args = parser.parse_args()
    lab = Lab(args)
    wants = lambda part: not args.only or part in args.only
    try:
        lab.serve()
        classes = lab.classify() if wants("types") else []
        ports = lab.ports() if wants("ports") else None
        foreign = lab.foreign() if wants("foreign") else []
        seen = lab.roam() if wants("roam") else None
        churn = lab.churn() if wants("churn") else []
        pairs = lab.pairs() if wants("pairs") else None
        page = report(lab, classes, ports, pairs, churn, foreign)
        if seen:
            note(f"roaming: {seen}")
        print(page)
        if args.report:
            put(args.report, page)
    finally:
        lab.close()
    if lab.failures:
        note(f"{len(lab.failures)} failed:", *lab.failures, sep="\n  ")
        sys.exit(1)


if __name__ == "__main__":
    main()
