"""The page of results, in Markdown."""

import statistics

BEGIN, END = "<!-- made by interop/nat/run -->\n", "<!-- end -->\n"


def table(title, words, heads, rows):
    """A part of the page; nothing where nothing was measured."""
    if not rows:
        return []
    lines = ["", f"### {title}", ""]
    lines += [words, ""] if words else []
    lines.append("| " + " | ".join(heads) + " |")
    lines.append("|---" * len(heads) + "|")
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return lines


def types(rows):
    def row(kind, family, name, right, count, took):
        typical = f"{statistics.median(took) / 1000:.1f} s" if took else "-"
        return kind, family, name, f"{right} of {count}", typical

    return table("Types found", "", ("site", "family", "must be found", "right", "time"),
                 [row(*one) for one in rows or []])


def pairs(result, compatible):
    if not result:
        return []
    kinds, matrix, counted = result
    runs = max(len(tries) for tries in matrix.values())
    few = min(len(tries) for tries in matrix.values())
    rows = []
    for volunteer in kinds:
        cells = []
        for client in kinds:
            met = sum(ms is not None for ms, _ in matrix[volunteer, client])
            cells.append(f"**{met}**" if compatible(volunteer, client) else str(met))
        rows.append((volunteer, *cells))
    met = [ms for tries in matrix.values() for ms, _ in tries if ms is not None]
    likely = [pair for pair in matrix if compatible(*pair)]
    enough = [pair for pair in likely
              if sum(ms is not None for ms, _ in matrix[pair]) >= runs - runs // 20]
    return table("Pairs", f"Connections of {runs} that carried 64 KiB there and back; **bold** where the "
                 f"tables say that the two are compatible, and elsewhere of {few}, which nobody met. "
                 "Rows: volunteer. Columns: client.", ("", *kinds), rows) + [
        "", f"Set-up, from the program's connection to the destination's: median "
        f"{statistics.median(met):.0f} ms, longest {max(met):.0f} ms. Compatible pairs {len(likely)}, of "
        f"which {len(enough)} met often enough. The destination counted {counted} bytes."]


def told(rows):
    return table("Told why", "", ("volunteer", "client", "told that it is the NAT", "longest"),
                 [(volunteer, client, f"{right} of {count}", f"{longest:.1f} s")
                  for volunteer, client, right, count, longest in rows or []])


def preference(rows):
    def got(whom):
        return ", ".join(f"{kind} {count}" for kind, count in sorted(whom.items(), key=lambda one: -one[1]))

    return table("Who is given", "Volunteers of every kind wait in one compartment.",
                 ("client", "of the preferred class", "volunteers given"),
                 [(client, f"{liked} of {runs}", got(whom)) for client, liked, runs, whom in rows or []])


def slow(rows):
    return table("Set-up over a slow network", "Each packet of the public network takes as long as said; so "
                 "there and back is twice that.", ("a packet takes", "first connections", "median", "later ones",
                                                   "median", "longest"),
                 [(f"{delay * 1000:.0f} ms", firsts, f"{first:.0f} ms", laters, f"{later or 0:.0f} ms",
                   f"{longest:.0f} ms") for delay, firsts, first, laters, later, longest in rows or []])


def churn(rows):
    return table("Changes under way", "A connection that is kept busy, while something changes; and the next "
                 "one, made 5 s later over what there is then.",
                 ("volunteer", "client", "change", "went on", "longest silence", "the next after"),
                 [(volunteer, client, what, f"{went_on} of {count}",
                   f"{longest * 1000:.0f} ms" if longest is not None else "-", f"{again:.1f} s")
                  for volunteer, client, what, went_on, count, longest, again in rows or []])


def ports(rows):
    return table("Ports of the router", "", ("port", "outside", "by", "address told"),
                 [(line["port"], line.get("external"), line.get("method"), f"{say['addr']}, {say['source']}")
                  for line, say in rows or []])


def reached(rows):
    return table("Reached from outside", "", ("our node", "who asks from outside", "what came of it"), rows or [])


def foreign(rows):
    return table("Second opinions", "", ("site", "our survey, with coturn as the server",
                                         "coturn's client, with our server"), rows or [])


def put(path, page):
    """Between the marks of a page."""
    with open(path) as file:
        before, rest = file.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w") as file:
        file.write(before + BEGIN + page + "\n" + END + after)
