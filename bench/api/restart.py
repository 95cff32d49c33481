"""A daemon that is started again with a thousand peers in its book: when has it greeted some of them?

The peers are small ones on loopback (interop/api/zec.py) in a process of their own. The daemon is
`peerage serve` as it is built for release, stopped with SIGTERM or killed, and its clock begins when the
process does.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "interop/api"))

import zec  # noqa: E402

KNOWN = 1000
PORT = 18344


def ip(number):
    return f"127.{number % 250 + 1}.{number // 250 + 1}.1"


def town(mute, told):
    """All peers in one process: those in `mute` accept and say nothing."""

    async def serve():
        async def guest(reader, writer):
            number = numbers[writer.get_extra_info("sockname")[0]]
            try:
                if number in mute:
                    await reader.read()
                else:
                    await zec.greet(reader, writer)
                    await zec.live(reader, writer)
            except (OSError, asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        numbers = {ip(number): number for number in range(KNOWN)}
        for address in numbers:
            await asyncio.start_server(guest, address, PORT)
        told.set()
        await asyncio.Event().wait()

    asyncio.run(serve())


class Town:
    """Who is there. Whoever is gone refuses, since nobody listens at its address."""

    def __init__(self, mute=()):
        told = multiprocessing.Event()
        self.process = multiprocessing.Process(target=town, args=(frozenset(mute), told), daemon=True)
        self.process.start()
        told.wait(60)

    def end(self):
        self.process.kill()
        self.process.join()


class Daemon:
    def __init__(self, peerage, folder):
        words = ["serve", "zcash", "--chain", "regtest", "--no-listen", "--no-seeds", "--local", "--json",
                 "--data", str(folder), "--status", "1h", "--log-level", "error"]
        self.began = time.monotonic()
        self.process = subprocess.Popen([peerage, *words], stdout=subprocess.PIPE, text=True)
        self.times = []
        self.keys = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            at = time.monotonic() - self.began
            event = json.loads(line)
            if event["type"] == "established":
                self.times.append(at)
                self.keys.append(event["key"])

    def wait(self, count, longest=60):
        deadline = time.monotonic() + longest
        while len(self.times) < count and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.times[count - 1] if len(self.times) >= count else None

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait()
        self.thread.join()


def book(peerage, folder):
    """A thousand that were greeted a day ago."""
    now = int(time.time())
    lines = []
    for number in range(KNOWN):
        at = f"{ip(number)}:{PORT}"
        lines.append(json.dumps({
            "v": 1, "type": "peer", "key": at, "role": "ordinary", "sources": [], "verdict": "unknown",
            "spots": [{"at": at, "heard": now - 86400, "verified": now - 86400, "failures": 0}],
            "first_heard": now - 864000, "last_heard": now - 86400, "attempts": 3, "successes": 3,
            "failures": 0, "last_attempt": now - 86400, "last_success": now - 86400, "online": 3600,
            "score": 0, "at": now - 86400,
        }))
    subprocess.run([peerage, "book", "import", "-n", "zcash", "--chain", "regtest", "--data", str(folder)],
                   input="\n".join(lines) + "\n", text=True, check=True, stderr=subprocess.DEVNULL)


def one(peerage, how, left):
    """One restart: the seconds to the first, the eighth and the thirtieth peer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        book(peerage, folder)
        there = Town()
        before = Daemon(peerage, folder)
        before.wait(40)
        # What it has learnt is on the disk a moment later.
        time.sleep(3)
        before.end(how)
        there.end()
        # Those it knew best are gone first: all it had a session with, and others until so many are left.
        gone = set(before.keys) if left < KNOWN else set()
        order = sorted(range(KNOWN), key=lambda number: f"{ip(number)}:{PORT}" not in gone)
        mute = order[: KNOWN - left]
        there = Town(mute)
        after = Daemon(peerage, folder)
        try:
            return [after.wait(count) for count in (1, 8, 30)]
        finally:
            after.end(signal.SIGKILL)
            there.end()


CASES = [
    ("stopped", signal.SIGTERM, KNOWN, "all are there"),
    ("killed", signal.SIGKILL, KNOWN, "all are there"),
    ("killed", signal.SIGKILL, KNOWN // 2, "half say nothing, all it was connected to among them"),
    ("killed", signal.SIGKILL, KNOWN // 10, "nine tenths say nothing, all it was connected to among them"),
]


def measure(peerage, runs):
    for word, how, left, words in CASES:
        times = [one(peerage, how, left) for _ in range(runs)]
        yield word, words, list(zip(*times))


if __name__ == "__main__":
    for row in measure(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3):
        print(json.dumps(row), flush=True)
