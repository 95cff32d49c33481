#!/usr/bin/env python3
"""The laboratory: NATs made of network namespaces and nftables. See README.md beside this file."""

import argparse
import concurrent.futures
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time

import nodes
import report
import world as w
from proxy import PAYLOAD, Proxy, Talk, attempt, median

# The tables of docs/matcher.md, written down once more: they are what the runs are compared with.
CLASS = {"endpoint-independent": {"endpoint-independent": "unlimited", "address-dependent": "unlimited",
                                  "address-and-port-dependent": "partial"}}
COMPATIBLE = {("unlimited", "unlimited"), ("unlimited", "partial"), ("unlimited", "strict"),
              ("partial", "unlimited"), ("partial", "partial"), ("strict", "unlimited")}

# Of which classes a client wants a volunteer, where it can choose.
PREFERRED = {"unlimited": {"strict"}, "partial": {"unlimited", "partial"}, "strict": {"unlimited"}}

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
        self.folder = tempfile.mkdtemp(prefix="peerage-nat-")
        self.servers, self.proxies = [], []
        self.world = w.World()
        self.serve()

    def renew(self, delay=0.0):
        """Another world, where packets take so long."""
        self.end()
        self.world = w.World(delay)
        self.serve()

    def end(self):
        self.leave()
        while self.servers:
            server = self.servers.pop()
            server.terminate()
            server.wait()
        self.world.close()

    def close(self):
        self.end()
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

    def types(self):
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

    def parties(self, kinds, require_nat=False):
        """A site of each kind for volunteers and one for clients, and an in-proxy between them."""
        volunteers = {kind: self.world.site(f"v{n}", kind) for n, kind in enumerate(kinds)}
        clients = {kind: self.world.site(f"c{n}", kind) for n, kind in enumerate(kinds)}
        sites = [*volunteers.values(), *clients.values()]
        return volunteers, clients, self.proxy(sites, require_nat)

    def proxy(self, sites, require_nat=False):
        self.proxies.append(Proxy(self, sites, require_nat))
        return self.proxies[-1]

    def leave(self):
        """Everybody goes, and all sites with them."""
        while self.proxies:
            self.proxies.pop().close()
        for letter in list(self.world.sites):
            self.world.remove(letter)

    def known(self, parties):
        """Each finds out by itself what network it is on: as what it will be matched."""
        for kind, party in parties:
            # What a survey finds can come before what the router gives.
            right = class_of(EFFECTIVE[kind])
            try:
                party.wait(lambda said: said.get("event") == "network" and said["class"] == right, 90)
            except RuntimeError:
                self.fail(f"{kind} takes itself for {party.all('network')}")

    def pairs(self):
        """Every volunteer and every client, alone with each other in a compartment of their own."""
        kinds = [kind for kind in w.KINDS if kind not in self.args.without]
        volunteers, clients, proxy = self.parties(kinds)
        links = {kind: proxy.pairing(n) for n, kind in enumerate(kinds)}
        serving = {kind: proxy.volunteer(volunteers[kind], links[kind]) for kind in kinds}
        every = [(volunteer, client) for volunteer in kinds for client in kinds]
        dialers = {(volunteer, client): proxy.dial(clients[client], links[volunteer])
                   for volunteer, client in every}
        self.known([*serving.items(), *((client, dialers[pair]) for pair in every for client in pair[1:])])
        note(f"{len(serving)} volunteers and {len(dialers)} clients know their network")

        def tried(pair):
            # What is not compatible is tried all the same, and is given up sooner.
            runs, seconds = (self.args.runs, 20) if compatible(*pair) else (min(3, self.args.runs), 8)
            return [attempt(dialers[pair], seconds) for _ in range(runs)]

        before = proxy.destination.bytes
        matrix = {}
        for turn in range(len(kinds)):
            # Each volunteer with one client at a time, and each client with one volunteer.
            together = [(volunteer, kinds[(n + turn) % len(kinds)]) for n, volunteer in enumerate(kinds)]
            matrix |= self.at_once(tried, together, self.args.at_once)
        for pair, runs in sorted(matrix.items(), key=lambda item: every.index(item[0])):
            met = [ms for ms, _ in runs if ms is not None]
            says = {said.get("message", said.get("kind")) for ms, said in runs if ms is None}
            note(f"{pair[0]:<16} {pair[1]:<16} {len(met):>2}/{len(runs)} "
                 f"{'compatible' if compatible(*pair) else 'incompatible'} {says or ''}")
            if compatible(*pair) and len(met) < len(runs) - len(runs) // 20:
                self.fail(f"{pair[0]} with {pair[1]} met {len(met)} times: {says}")
        met = sum(ms is not None for runs in matrix.values() for ms, _ in runs)
        counted = proxy.destination.bytes - before
        if counted < met * PAYLOAD:
            self.fail(f"{met} connections, and the destination counted {counted} bytes")
        for party in serving.values():
            # What was carried for somebody is told by who carried it.
            party.wait(lambda said: said.get("event") == "ended", 10)
        self.leave()
        return kinds, matrix, counted

    def at_once(self, work, things, count):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return dict(zip(things, pool.map(work, things)))

    def told(self):
        """Pairs that cannot meet are told so, at a broker that introduces only those who can."""
        kinds = [kind for kind in w.KINDS if class_of(EFFECTIVE[kind]) != "unlimited"
                 and kind not in self.args.without]
        volunteers, clients, proxy = self.parties(kinds, require_nat=True)
        links = {kind: proxy.pairing(n) for n, kind in enumerate(kinds)}
        serving = {kind: proxy.volunteer(volunteers[kind], links[kind]) for kind in kinds}
        self.known(serving.items())
        declared = {"partial": "port-restricted", "strict": "symmetric"}

        def tried(pair):
            volunteer, client = pair
            words = [self.args.peerage, "broker", "explain", "--json", "--timeout", "5s",
                     "--nat", declared[class_of(EFFECTIVE[client])], "--via", links[volunteer],
                     "%s:%d" % w.DESTINATION]
            runs = []
            for _ in range(self.args.runs):
                began = time.monotonic()
                done = subprocess.run(w.inside(clients[client].host, *words), capture_output=True,
                                      text=True, timeout=60)
                said = json.loads(done.stdout) if done.stdout else {"error": done.stderr}
                runs.append((time.monotonic() - began, said))
            return runs

        unlikely = [(volunteer, client) for volunteer in kinds for client in kinds
                    if not compatible(volunteer, client)]
        table = []
        for pair, runs in self.at_once(tried, unlikely, 16).items():
            right = [took for took, said in runs if took <= 10 and said.get("ok") is False
                     and "nat" in (said.get("kept_away") or {}) and said["compatible"] == 0]
            table.append((*pair, len(right), len(runs), max(took for took, _ in runs)))
            note(f"{pair[0]} with {pair[1]}: told that it is the NAT {len(right)}/{len(runs)}")
            if len(right) < len(runs):
                self.fail(f"{pair} was not told: {runs[-1]}")
        self.leave()
        return table

    def preference(self):
        """Volunteers of every kind wait in one compartment: whom does each client get?"""
        kinds = [kind for kind in w.KINDS if kind not in self.args.without]
        volunteers, clients, proxy = self.parties(kinds)
        serving = {kind: proxy.volunteer(volunteers[kind]) for kind in kinds}
        dialers = {kind: proxy.dial(clients[kind], proxy.invitation) for kind in kinds}
        self.known([*serving.items(), *dialers.items()])
        at = {site.seen_at: kind for kind, site in volunteers.items()}
        table = []
        for client in kinds:
            got = {}
            for _ in range(self.args.runs):
                ms, said = attempt(dialers[client], 20)
                if ms is None:
                    self.fail(f"{client} among all got nobody: {said}")
                    continue
                whom = at[said["volunteer"].rsplit(":", 1)[0]]
                got[whom] = got.get(whom, 0) + 1
            unlikely = {kind: count for kind, count in got.items() if not compatible(kind, client)}
            wanted = PREFERRED[class_of(EFFECTIVE[client])]
            liked = sum(count for kind, count in got.items() if class_of(EFFECTIVE[kind]) in wanted)
            table.append((client, liked, self.args.runs, got))
            note(f"{client:<16} preferred {liked}/{self.args.runs}: {got}")
            if unlikely or liked < self.args.runs - self.args.runs // 20:
                self.fail(f"{client} got {got}")
        self.leave()
        return table

    def slow(self):
        """Set-up over a public network where every packet takes its time."""
        table, first_times, later_times = [], [], []
        for delay in (0.025, 0.050):
            self.renew(delay)
            kinds = ["open", "port-restricted", "symmetric", "mapped"]
            volunteers, clients, proxy = self.parties(kinds)
            links = {kind: proxy.pairing(n) for n, kind in enumerate(kinds)}
            pairs = [(volunteer, client) for volunteer in kinds for client in kinds
                     if compatible(volunteer, client)]
            serving = {kind: proxy.volunteer(volunteers[kind], links[kind]) for kind in kinds}
            dialers = {pair: proxy.dial(clients[pair[1]], links[pair[0]]) for pair in pairs}
            self.known([*serving.items(), *((pair[1], dialers[pair]) for pair in pairs)])
            first, later = [], []
            for pair in pairs:
                times = [attempt(dialers[pair], 20) for _ in range(min(10, self.args.runs))]
                met = [ms for ms, _ in times if ms is not None]
                if len(met) < len(times):
                    self.fail(f"{pair} over a slow network: {[said for ms, said in times if ms is None]}")
                first += met[:1]
                later += met[1:]
            row = (delay, len(first), median(first), len(later), median(later), max(later or first))
            table.append(row)
            if delay == 0.025:
                first_times, later_times = first, later
            note(f"each packet takes {delay * 1000:.0f} ms: the first connection {row[2]:.0f} ms, "
                 f"later ones {row[4]} ms, the longest {row[5]:.0f} ms")
            self.leave()
        if median(first_times + later_times) >= 600:
            self.fail(f"set-up over 50 ms there and back: {table[0]}")
        self.renew()
        return table

    # ---- changes ----------------------------------------------------------------------------

    def churn(self):
        """Connections whose mappings are lost, or whose side moves: they go on, or are made anew."""
        cases = (
            ("full cone", "full cone", "v", "forget", "the volunteer's router forgets its mappings", True),
            ("port-restricted", "port-restricted", "v", "forget", "the volunteer's router forgets", True),
            ("port-restricted", "port-restricted", "c", "forget", "the client's router forgets", True),
            ("full cone", "symmetric", "c", "forget", "the client's symmetric router maps anew", True),
            ("open", "port-restricted", "c", "move", "the client's router gets another address", True),
            ("open", "symmetric", "c", "move", "the client's symmetric router gets another", True),
            ("symmetric", "full cone", "v", "forget", "the volunteer's symmetric router maps anew", False),
            ("port-restricted", "open", "v", "move", "the volunteer's router gets another address", False),
        )
        became = [[] for _ in cases]
        for _ in range(self.args.changes):
            # All cases side by side: each is mostly waiting.
            sites = [{side: self.world.site(f"{side}{n}", kind) for side, kind in zip("vc", case)}
                     for n, case in enumerate(cases)]
            proxy = self.proxy([site for pair in sites for site in pair.values()])

            def tried(n):
                volunteer, client, side, change, _, _ = cases[n]
                link = proxy.pairing(n)
                serving, dialer = proxy.volunteer(sites[n]["v"], link), proxy.dial(sites[n]["c"], link)
                self.known([(volunteer, serving), (client, dialer)])
                talk = Talk(dialer)
                talk.started.wait(25)
                time.sleep(1)
                getattr(sites[n][side], change)(self.world)
                time.sleep(5)
                rounds = talk.rounds
                time.sleep(0.5)
                lives = not talk.broke and talk.rounds > rounds
                talk.end()
                # Whatever became of that one: the next is made over what there is now.
                began = time.monotonic()
                _, said = attempt(dialer, 60)
                return lives, talk.silence, time.monotonic() - began, said

            for n, result in self.at_once(tried, range(len(cases)), len(cases)).items():
                became[n].append(result)
            self.leave()
        table = []
        for (volunteer, client, _, _, what, goes_on), results in zip(cases, became):
            went_on = sum(lives for lives, *_ in results)
            silence = max((silence for lives, silence, *_ in results if lives), default=None)
            again = max(took for _, _, took, _ in results)
            table.append((volunteer, client, what, went_on, len(results), silence, again))
            note(f"{volunteer} with {client}, {what}: {went_on}/{len(results)} went on, longest silence "
                 f"{silence}; the next after {again:.1f} s")
            if goes_on and went_on < len(results):
                self.fail(f"{volunteer} with {client} did not survive: {what}")
            for said in (said for *_, said in results if said.get("event") != "connected"):
                self.fail(f"{volunteer} with {client}, {what}: nothing after it: {said}")
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

    def reached(self):
        """Foreign nodes reach ours from outside, at the port that its router gave."""
        self.foreign_nodes = dict(one.split("=", 1) for one in self.args.foreign)
        self.foreign_nodes = {name: words.split() for name, words in self.foreign_nodes.items()}
        if not self.foreign_nodes:
            note("no foreign node is given: whether one reaches ours is not tried")
        return nodes.reached(self)

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


PARTS = ("types", "ports", "foreign", "roam", "reached", "pairs", "told", "preference", "churn", "slow")

SHORT = ("types", "ports", "pairs", "told")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peerage", required=True)
    parser.add_argument("--foreign", action="append", default=[], help="NAME=PROGRAM of a foreign node")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--only", action="append", choices=PARTS, default=[])
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--short", action="store_true", help="two runs of the parts that are quick")
    parser.add_argument("--report")
    parser.add_argument("--keep", help="a file for what was measured: parts run apart make one page")
    args = parser.parse_args()
    if args.short:
        args.runs, args.only = 2, args.only or list(SHORT)
        args.without = args.without or ["restricted", "double", "firewall"]
    done = {}
    if args.keep and os.path.exists(args.keep):
        with open(args.keep, "rb") as file:
            done = pickle.load(file)
    lab = Lab(args)
    try:
        for part in PARTS:
            if not args.only or part in args.only:
                began = time.monotonic()
                try:
                    done[part] = getattr(lab, part)()
                except (RuntimeError, OSError, LookupError, subprocess.SubprocessError) as error:
                    # The others still run, each in sites of its own.
                    lab.fail(f"{part}: {error!r}")
                    lab.leave()
                if args.keep:
                    with open(args.keep, "wb") as file:
                        pickle.dump(done, file)
                note(f"-- {part}: {time.monotonic() - began:.0f} s")
        page = "\n".join([
            *report.types(done.get("types")), *report.pairs(done.get("pairs"), compatible),
            *report.told(done.get("told")), *report.preference(done.get("preference")),
            *report.slow(done.get("slow")), *report.churn(done.get("churn")),
            *report.ports(done.get("ports")), *report.reached(done.get("reached")),
            *report.foreign(done.get("foreign"))]) + "\n"
        print(page)
        if args.report:
            report.put(args.report, page)
    finally:
        lab.close()
    if lab.failures:
        note(f"{len(lab.failures)} failed:", *lab.failures, sep="\n  ")
        sys.exit(1)


if __name__ == "__main__":
    main()
