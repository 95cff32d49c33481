#!/usr/bin/env python3
"""Reads what a peer printed, for interop/run.

    seen.py wait FILE TYPE SECONDS PID    the first JSON line of that type; waits for it, and
                                          stops early when the process has ended
    seen.py wait-dcrd FILE PATTERN SECONDS PID
                                          the same for a line of dcrd's log; prints the match
    seen.py get KEY                       one value of the JSON object on standard input
    seen.py words                         that object as words, for the report
    seen.py dcrd FILE                     dcrd's log as the JSON object it amounts to

Exits 1 when there is nothing to print.
"""

import json
import os
import re
import sys
import time


def json_of(line, wanted):
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return line if isinstance(value, dict) and value.get("type") == wanted else None


def match_of(line, pattern):
    found = re.search(pattern, line)
    return found and (found.group(1) if found.groups() else found.group(0))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait(find, path, wanted, seconds, pid):
    deadline = time.monotonic() + float(seconds)
    while True:
        # Asked before reading, so that the last words of a process that has ended are seen.
        running = alive(int(pid))
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                # The last line may still be growing.
                found = line.endswith("\n") and find(line.rstrip("\n"), wanted)
                if found:
                    return found
        if not running or time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def words(value):
    parts = [str(value.get("agent") or "(no agent)")]
    for key, name, unit in [
        ("protocol_version", "version", ""),
        ("negotiated", "negotiated", ""),
        ("services", "services", ""),
        ("height", "height", ""),
        ("rtt_ms", "rtt", " ms"),
    ]:
        if value.get(key) is not None:
            parts.append(f"{name} {value[key]}{unit}")
    return ", ".join(parts)


def dcrd(path):
    text = open(path, encoding="utf-8", errors="replace").read()
    valid = re.search(r"New valid peer \S+ \((inbound|outbound)\)", text)
    version = re.search(r"Received version \(agent (.*), pver (\d+), block (-?\d+)\) from", text)
    negotiated = re.search(r"Negotiated protocol version (\d+) for peer", text)
    if not (valid and version and negotiated):
        return None
    return json.dumps(
        {
            "direction": valid.group(1),
            "agent": version.group(1),
            "protocol_version": int(version.group(2)),
            "negotiated": int(negotiated.group(1)),
            "height": int(version.group(3)),
        }
    )


def main(command, *rest):
    if command == "wait":
        return wait(json_of, *rest)
    if command == "wait-dcrd":
        return wait(match_of, *rest)
    if command == "dcrd":
        return dcrd(*rest)
    text = sys.stdin.read()
    if not text.strip():
        return None  # what came before in the pipe had nothing to print and has said so
    value = json.loads(text)
    if command == "words":
        return words(value)
    found = value.get(rest[0])
    return None if found is None else found if isinstance(found, str) else json.dumps(found)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("wait", "wait-dcrd", "get", "words", "dcrd"):
        sys.exit(__doc__)
    answer = main(*sys.argv[1:])
    if answer is None:
        sys.exit(1)
    print(answer)
