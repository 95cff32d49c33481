#!/usr/bin/env python3
"""Runs the measurements of the API and of restarts, and writes their section of docs/performance.md.

measure.py FOLDER [--quick] [--only wire|stall|restart]...: FOLDER has the release builds of bench-api and
peerage. With --quick or --only the rows are printed instead.
"""

import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import restart

DOCS = Path(__file__).resolve().parent.parent.parent / "docs/performance.md"

SECTION = """\
<!-- api: written by bench/api/run. Do not edit: run it again. -->

## The API

Measured on {date} with `bench/api/run`. The load average was {before:.1f} before and {after:.1f} after, on 2
cores{ahead}; times are by the clock, and other work moves them.

### From the wire to an application

From the send of a peer to the application behind gRPC, through the API and, taking turns with it,
through a bare `tonic` stream of the same bytes that is fed from the events of an ordinary node. Both
over a unix socket, the peer in the same process; medians of 7 rounds of 2,000 messages one at a time
(latency) and of several at once (processor time of all: both ends and the peer). The ratio is the median
of the ratios of the rounds.

{wire}
### One subscriber that stalls

Latency of a message of 1,000 bytes to a subscriber that reads, alone and while another one has stalled
with its budget of 1 MiB full: 7 rounds of each in turns, 2,000 messages a round. Medians of the rounds, in
brackets the least and the most of them. Within noise means that the median beside it lies within what
rounds without it differ by.

{stall}
### A restart with 1,000 known peers

`peerage serve` is started on a book of {known} that were greeted a day ago, in {groups} address groups of
loopback; it connects to at least 40 of them, is ended, and started again. The clock begins with the
process. Medians of {runs} runs, in brackets the longest. Those who say nothing accept and are silent, so
that each costs an attempt its deadline. Dials begin 100 ms apart, those first whom the daemon was
connected to last: where twenty of these are silent, two seconds are over before anybody else is dialled.

{restarts}
<!-- api: end -->
"""


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def lines(program, mode):
    out = subprocess.run([program, mode], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def met(yes):
    return "met" if yes else "**missed**"


def wire(program):
    rows = []
    for of in lines(program, "wire"):
        rows.append([f"{of['bytes']:,} B", of["what"], f"{of['bare_us']:,.1f} µs", f"{of['api_us']:,.1f} µs",
                     f"{of['ratio']:.2f}", "at most 1.5 times", met(of["ratio"] <= 1.5)])
    return table(["message", "what", "bare stream", "API", "ratio", "target", "met?"], rows)


def stall(program):
    rows = []
    for of in lines(program, "stall"):
        shown = [f"{of[f'{who}_us']:,.1f} µs ({of[f'{who}_from']:,.1f} to {of[f'{who}_to']:,.1f})"
                 for who in ("alone", "beside")]
        is_noise = of["alone_from"] <= of["beside_us"] <= of["alone_to"] or of["beside_us"] < of["alone_us"]
        judged = ["within noise", met(is_noise)] if of["what"] == "p99" else ["–", "–"]
        rows.append([of["what"], *shown, f"{of['beside_us'] / of['alone_us']:.2f}", *judged])
    return table(["what", "alone", "beside a stalled one", "ratio", "target", "met?"], rows)


def seconds(times):
    there = [one for one in times if one is not None]
    if len(there) < len(times):
        return f"not in 60 s ({len(times) - len(there)} of {len(times)} runs)"
    middle = sorted(there)[len(there) // 2]
    return f"{middle:.2f} s ({max(there):.2f} s)"


def restarts(program, runs):
    rows = []
    for how, words, (first, eighth, thirtieth) in restart.measure(program, runs):
        good = all(time is not None and time <= 2 for time in first)
        rows.append([f"{how}; {words}", seconds(first), seconds(eighth), seconds(thirtieth),
                     "first within 2 s", met(good)])
    return table(["ended; then", "first peer", "eighth", "thirtieth", "target", "met?"], rows)


def main():
    folder, quick = Path(sys.argv[1]).resolve(), "--quick" in sys.argv
    only = [sys.argv[at + 1] for at, word in enumerate(sys.argv) if word == "--only"]
    runs = 1 if quick else 5
    before = os.getloadavg()[0]
    parts = {
        "wire": lambda: wire(folder / "bench-api"),
        "stall": lambda: stall(folder / "bench-api"),
        "restart": lambda: restarts(folder / "peerage", runs),
    }
    done = {name: part() for name, part in parts.items() if not only or name in only}
    if quick or only:
        print(*done.values(), sep="\n")
        print(f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")
        return
    section = SECTION.format(
        date=datetime.date.today().strftime("%-d %B %Y"), before=before, after=os.getloadavg()[0],
        wire=done["wire"], stall=done["stall"], restarts=done["restart"], runs=runs,
        known=f"{restart.KNOWN:,}", groups=250,
        ahead=", which these programs had before others (`nice`)" if os.nice(0) < 0 else "",
    )
    text = DOCS.read_text()
    old = re.compile(r"^<!-- api: written by .*?^<!-- api: end -->\n", re.S | re.M)
    if old.search(text):
        text = old.sub(lambda _: section, text)
    else:
        text = text.replace("## Machine\n", f"{section}\n## Machine\n", 1)
    DOCS.write_text(text)


if __name__ == "__main__":
    main()
