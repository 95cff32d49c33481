#!/usr/bin/env python3
"""Runs the matcher's scenarios and writes its section of docs/performance.md. See ../README.md."""

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN = "<!-- matcher: written by bench/matcher/run. Do not edit: run it again. -->"
END = "<!-- matcher: end -->"
LIMIT = 300  # seconds a run may take

PASSES_OF_REMOVAL = 7  # as in main.rs
SIZES = (10_000, 100_000, 1_000_000)
# Scenario, what it is, and so many operations of the scan at each size, because it is slow.
TOTALS = (
    ("no_compartment", "10k offers, nothing shares a compartment", (1000, 50, 4)),
    ("same_geo", "10k offers, all of the same place", (1000, 50, 4)),
    ("one_in_1000_by_compartment", "10k offers, 1 in 1000 eligible by compartment", (1000, 1000, None)),
    ("one_in_1000_by_geo", "10k offers, 1 in 1000 eligible by geography", (1000, 1000, None)),
)
SINGLES = (
    ("match_at_head", "match at head, the structure only", (10_000, 10_000, 10_000)),
    ("one_personal", "the same, with one personal announcement among them", (500, 20, 2)),
    ("match_at_head_arriving", "an offer arrives and is matched, the whole call", None),
    ("no_compartment_arriving", "an offer arrives and waits, the whole call", None),
    ("ping_pong_1", "announce, offer, answer: 1 pair at a time", None),
    ("ping_pong_64", "the same, 64 pairs at a time", None),
    ("insert", "an announcement arrives and waits", None),
    ("remove_fifo", "removal, oldest first", (1000, 1000, 1000)),
    ("remove_random", "removal, random", (1000, 200, 20)),
    ("remove_half", "removal, random, half of all in one go", None),
    ("remove_half_of_one_place", "the same, all of one place", None),
    ("remove_newest_first", "removal, newest first", (1000, 200, 20)),
    ("expire", "expiry of all, each", None),
)
# What memory itself takes, in the same run: a cache line for each entry that waits.
FLOORS = (
    ("any", "*memory alone: a line that was known beforehand*"),
    ("next", "*memory alone: a line that the last one named*"),
)
# What the worst cancel takes, of a run in which half of all leave.
LONGEST = ("remove_longest", "longest single cancel")
EXTRAS_AT = 100_000
EXTRAS = ("no_compartment", "one_in_1000_by_geo", "match_at_head", "insert", "remove_random")


class Runs:
    def __init__(self, program, repeat):
        self.program = program
        self.repeat = repeat
        self.seen = {}

    def one(self, *words):
        done = subprocess.run(
            [self.program, *map(str, words)], capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise SystemExit(f"bench: {' '.join(map(str, words))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def ours(self, scenario, size, variant="off"):
        return self.several(("ours", scenario, size, variant))

    def scan(self, scenario, size, operations):
        return self.several(("scan", scenario, size, operations))

    def floor(self, kind, size):
        return self.several(("floor", kind, size))

    def several(self, words):
        """Several runs of the same."""
        if words not in self.seen:
            print(f"bench: {' '.join(map(str, words))}", file=sys.stderr, flush=True)
            self.seen[words] = [self.one(*words) for _ in range(self.repeat)]
        return self.seen[words]


def each(runs):
    """Nanoseconds of one operation, of the quietest run: what a neighbour adds is not ours."""
    return min(run["ns"] / run["operations"] for run in runs)


def longest(runs, size):
    """Nanoseconds of the longest call, of the quietest run; within each, of each call the quietest."""
    return min(run["ns_longest"] for run in runs.ours(LONGEST[0], size))


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def span(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{number(ns / size)} {unit}"
    return f"{number(ns)} ns"


def table(head, rows):
    lines = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def met(holds):
    return "met" if holds else "**missed**"


def targets(runs):
    at = 100_000
    pass_of = lambda name: each(runs.ours(name, at)) * 10_000
    scan_of = lambda name, operations: each(runs.scan(name, at, operations)) * 10_000
    rows = []
    for name, words in (
        ("no_compartment", "10k offers against 100k announcements, nothing matches: no compartment"),
        ("same_geo", "the same: all of one place"),
        ("one_in_1000_by_geo", "the same, 1 in 1000 eligible by geography"),
    ):
        ours, pairs = pass_of(name), runs.ours(name, at)[0]["pairs"]
        wanted = 100 if name.startswith("one") else 0
        rows.append(
            [
                words,
                span(scan_of(name, 1000 if wanted else 50)),
                f"{span(ours)}, {pairs} matched",
                f"under 1.5 ms, {wanted} matched",
                met(ours < 1.5e6 and pairs == wanted),
            ]
        )
    for name, words, limit, operations in (
        ("match_at_head", "match at head, per offer, structure only", 500, 10_000),
        ("one_personal", "one personal announcement among 100k, per offer", 500, 20),
        ("remove_random", "random removal from 100k", 600, 200),
    ):
        ours, theirs = each(runs.ours(name, at)), each(runs.scan(name, at, operations))
        rows.append([words, span(theirs), span(ours), f"under {span(limit)}", met(ours < limit)])
    growths = []
    for name, _, _ in SINGLES:
        growth = each(runs.ours(name, SIZES[-1])) / each(runs.ours(name, SIZES[0]))
        growths.append((growth, name))
    worst, name = max(growths)
    second = sorted(growths)[-2]
    rows.append(
        [
            "growth from 10k to 1M queued, per operation: the worst of all below",
            "linear",
            f"{worst:.1f}× ({name}), next {second[0]:.1f}× ({second[1]})",
            "under 4×",
            met(worst < 4),
        ]
    )
    worst = longest(runs, SIZES[-1])
    rows.append([f"{LONGEST[1]} among {SIZES[-1]:,}", "–", span(worst), "under 1 ms", met(worst < 1e6)])
    for name, words in (
        ("memory", "memory per waiting announcement, one compartment for all"),
        ("memory_own_compartment", "the same, a compartment for each"),
    ):
        bytes_each = statistics.median(run["rss_growth"] / at for run in runs.ours(name, at))
        rows.append([words, "–", f"{bytes_each:.0f} B", "at most 600 B", met(bytes_each <= 600)])
    return table(["what", "reference's scan, same run", "ours", "target", "met?"], rows)


def sizes(runs):
    head = ["scenario", *(f"{size:,}" for size in SIZES), "1M / 10k", *(f"scan, {s:,}" for s in SIZES)]
    rows = []
    for scenarios, times in ((TOTALS, 10_000), (SINGLES, 1)):
        for name, words, operations in scenarios:
            ours = [each(runs.ours(name, size)) * times for size in SIZES]
            scan = ["–"] * len(SIZES)
            if operations:
                scan = [
                    span(each(runs.scan(name, size, count)) * times) if count else "–"
                    for size, count in zip(SIZES, operations)
                ]
            # Where 1 in 1000 matches, ten times as many match at ten times the size.
            growth = "–" if name.startswith("one_in") else f"{ours[-1] / ours[0]:.1f}×"
            rows.append([words, *map(span, ours), growth, *scan])
    worst = [longest(runs, size) for size in SIZES]
    rows.append([LONGEST[1], *map(span, worst), f"{worst[-1] / worst[0]:.0f}×", "–", "–", "–"])
    for kind, words in FLOORS:
        floor = [each(runs.floor(kind, size)) for size in SIZES]
        rows.append([words, *map(span, floor), f"{floor[-1] / floor[0]:.0f}×", "–", "–", "–"])
    return table(head, rows)


def middle(runs):
    """The quietest pass and the one in the middle, for what memory decides."""
    rows = []
    wanted = [(name, words, runs.ours) for name, words, _ in SINGLES if name.startswith("remove")]
    wanted += [(kind, words, runs.floor) for kind, words in FLOORS]
    for name, words, ask in wanted:
        cells = []
        for size in SIZES:
            done = ask(name, size)
            median = statistics.median(run["ns_median"] / run["operations"] for run in done)
            cells.append(f"{span(each(done))}, {span(median)}")
        rows.append([words, *cells])
    return table(["quietest, median", *(f"{size:,}" for size in SIZES)], rows)


def extras(runs, program):
    variants = subprocess.run([program, "list"], capture_output=True, text=True, check=True).stdout.split()
    rows = []
    for variant in variants:
        cells = []
        for name in EXTRAS:
            done = runs.ours(name, EXTRAS_AT, variant)
            times = 10_000 if name in dict((total[0], 1) for total in TOTALS) else 1
            cell = span(each(done) * times)
            if name == "one_in_1000_by_geo":
                cell += f", {done[0]['pairs']} matched"
            cells.append(cell)
        rows.append([f"`{variant}`", *cells])
    words = ["nothing shares a compartment", "1 in 1000 by geography", "match at head", "arrival", "random removal"]
    return table(["extra", *words], rows)


def memory(runs):
    rows = []
    for name, words in (("memory", "one compartment for all"), ("memory_own_compartment", "one for each")):
        cells = [words]
        for size in SIZES:
            done = runs.ours(name, size)
            growth = statistics.median(run["rss_growth"] / size for run in done)
            peak = statistics.median(run["peak_rss"] for run in done)
            cells.append(f"{growth:.0f} B, {peak / 1e6:.0f} MB")
        rows.append(cells)
    return table(["compartments", *(f"{size:,}" for size in SIZES)], rows)


SECTION = """\
## Matcher

Measured on {date} with `bench/matcher/run`: of {repeat} runs of each the quietest. What each
rule and extra means stands in [matcher.md](matcher.md).

{targets}
### By size

The four totals are for 10,000 offers; the rest is one operation. What the scan would take for all of
them is scaled up from a few.

{sizes}
Removal waits for memory, so its growth is judged beside what memory itself grows by, measured in the
same run; the first figure is of the quietest pass, the second of the one in the middle.

{middle}
### Extras

Against {extras_at:,} announcements, one extra on at a time. `off` is none; totals for 10,000 offers.

{extras}
### Memory

Growth of resident memory for each waiting announcement, and the most the whole process ever had.

{memory}
### How this is measured

- Processor time of one thread, on a shared machine of {cores} cores with a load average of {load} at
  the end. Neighbours take caches as well as time: runs of the same differ by more than two times, so
  the quietest one stands here, as it did for the figures measured before.
- Announcements come from 500 networks with random keys and NATs, evenly over a minute, each for 120 s,
  in one compartment unless the scenario says otherwise. Of all of one place there is one network. For
  `match at head` all are behind open NATs.
- A pass (`structure only`): everything is queued while matching is held, and what is timed is the one
  pass that ends it: search, removal of both, bookkeeping and the action. `Arriving` is the whole call
  as a broker makes it, with its memory, on the way in.
- Arrival: the last 10,000 to the given queue length. Removal: 10,000 from it, and as many others
  announced, {passes} times in each run. Removal puts work off while few wait for it, a sixteenth of
  the slots: from 1,000,000 that is hardly reached in a run. `Half of all` has it all in it, at every
  size; of all of one place next to nothing can be put off.
- Longest single cancel: half of all leave in random order, {passes} times from the same start, with a
  clock around each call. Of each call the quietest counts, of these the longest.
- Memory alone: 10,000 steps through an array of 64 bytes for each entry, each line read and written.
  A line known beforehand is fetched while others still are; one that the last one named is not.
- The scan is a model of the reference's, written from its description, in this language, without its
  locks and contexts, and with plain comparison of ids: it flatters the reference. Tests show that it
  chooses as the reference's order does.
"""


def write(section):
    text = DOCS.read_text()
    block = f"{BEGIN}\n\n{section}\n{END}\n"
    if BEGIN in text:
        text = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END) + "\n", lambda _: block, text, flags=re.S)
    else:
        text = text.replace("## Machine\n", f"{block}\n## Machine\n", 1)
    DOCS.write_text(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--quick", action="store_true", help="one run of each, printed: does it work at all?")
    parser.add_argument("--runs", type=int, default=7, help="of each; the default is 7")
    args = parser.parse_args()
    runs = Runs(args.program, 1 if args.quick else args.runs)
    section = SECTION.format(
        date=datetime.date.today().strftime("%-d %B %Y"),
        repeat=runs.repeat,
        passes=PASSES_OF_REMOVAL,
        targets=targets(runs),
        sizes=sizes(runs),
        middle=middle(runs),
        extras=extras(runs, args.program),
        memory=memory(runs),
        extras_at=EXTRAS_AT,
        load=f"{os.getloadavg()[0]:.1f}",
        cores=os.cpu_count(),
    )
    if args.quick:
        print(section)
    else:
        write(section)


if __name__ == "__main__":
    main()
