#!/usr/bin/env python3
"""Reads what a peer printed, for interop/run.

    seen.py wait FILE TYPE SECONDS PID    the first JSON line of that type; waits for it, and
                                          stops early when the process has ended
    seen.py where FILE FROM SECONDS PID KEY=VALUE...
                                          the first JSON line after the first FROM ones with all of
                                          these; KEY may be a path (reason.kind), KEY>=N is a number
                                          not below N, KEY~TEXT has it in it; waits as above
    seen.py sessions FILE                 the log of `peerage serve --json` as an object for each
                                          session that has ended: what its beginning and its end tell
    seen.py lost                          the end of a session on standard input in one line
    seen.py story                         the story on standard input in one line
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


def value_of(line, path):
    for name in path.split("."):
        line = line.get(name) if isinstance(line, dict) else None
    return line


def has(line, wanted):
    for one in wanted:
        if "~" in one:
            path, part = one.split("~", 1)
            if part not in str(value_of(line, path)):
                return False
            continue
        if ">=" in one:
            path, least = one.split(">=", 1)
            found = value_of(line, path)
            if not isinstance(found, (int, float)) or found < float(least):
                return False
            continue
        path, expected = one.split("=", 1)
        found = value_of(line, path)
        if (found if isinstance(found, str) else json.dumps(found)) != expected:
            return False
    return True


def where(path, first, seconds, pid, *wanted):
    def found(line, _):
        try:
            value = json.loads(line)
        except ValueError:
            return None
        return line if isinstance(value, dict) and has(value, wanted) else None

    return wait(found, path, None, seconds, pid, int(first))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait(find, path, wanted, seconds, pid, first=0):
    deadline = time.monotonic() + float(seconds)
    while True:
        # Asked before reading, so that the last words of a process that has ended are seen.
        running = alive(int(pid))
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file):
                # The last line may still be growing.
                whole = number >= first and line.endswith("\n")
                found = whole and find(line.rstrip("\n"), wanted)
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


def sessions(path):
    begun, ended = {}, []
    for line in open(path, encoding="utf-8", errors="replace"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        name = (value.get("network"), value.get("chain"), value.get("session"))
        if value["type"] == "established":
            begun[name] = value
        if value["type"] == "closed":
            ended.append(json.dumps(begun.pop(name, {}) | value))
    return "\n".join(ended) or None


def lost(value):
    reason = value["reason"]
    lasted, rtt = value["lasted_ms"] / 1000, value.get("rtt_ms")
    return (
        f"kept {lasted:.0f} s, {value['pongs_in']} pings of ours answered and {value['pongs_out']} of"
        f" theirs, last in {rtt} ms; killed: {reason['kind']} at {reason['stage']}, {value['ending']}"
    )


def story(value):
    def one(event):
        cause = event.get("cause")
        return event["what"] + (f"({cause['kind']})" if cause else "")

    return " ".join(one(event) for event in value["history"])


def main(command, *rest):
    if command == "where":
        return where(*rest)
    if command == "sessions":
        return sessions(*rest)
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
    if command in ("story", "lost"):
        return {"story": story, "lost": lost}[command](value)
    found = value.get(rest[0])
    return None if found is None else found if isinstance(found, str) else json.dumps(found)


if __name__ == "__main__":
    known = ("wait", "where", "wait-dcrd", "sessions", "get", "words", "story", "lost", "dcrd")
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(__doc__)
    answer = main(*sys.argv[1:])
    if answer is None:
        sys.exit(1)
    print(answer)
