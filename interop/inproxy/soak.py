#!/usr/bin/env python3
"""Many connections through volunteers, and what they leave behind: nothing.

usage: soak.py PEERAGE [--count 1000] [--at-once 16]

A broker, two volunteers, a client (a SOCKS5 listener) and a destination on loopback. Most connections
carry up to 256 KiB there and back, ended by either side first; some are broken off in the middle, some
go to a port where nobody listens. Memory and descriptors of the four processes are read while nothing
is under way: after the first tenth, and at the end. At last one volunteer is stopped with a client in its
hands, and one while it relays: when is the client told?

Prints one line of JSON. Exit code: 0 if all went well and nothing grew, 1 if not.
"""

import argparse
import contextlib
import hashlib
import json
import os
import queue
import random
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

# The longest anything is waited for, in seconds.
LIMIT = 60
# What may be more at the end, besides noise of the allocator: bytes in all of a process, descriptors.
MORE_MEMORY, MORE_DESCRIPTORS = 8 << 20, 4


class Echo(socketserver.ThreadingTCPServer):
    """Gives back what it hears. A first byte E ends its side once the other has ended, B breaks it."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.settimeout(LIMIT)
            with contextlib.suppress(OSError):
                first = True
                while chunk := self.request.recv(1 << 16):
                    if first and chunk[:1] == b"B":
                        broken_off(self.request)
                        return
                    first = False
                    self.request.sendall(chunk)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)


def broken_off(sock):
    """Closes it with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Running:
    """A command of ours that goes on, and its lines."""

    def __init__(self, *command):
        self.child = subprocess.Popen(
            [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.lines.put(json.loads(line))

    def line(self, key, value):
        until = time.monotonic() + LIMIT
        while True:
            line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
            if line.get(key) == value:
                return line

    def forget(self):
        """Lines that nobody asked for."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.lines.get_nowait()

    def memory(self):
        with open(f"/proc/{self.child.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def end(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(10)
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()


def through(proxy, port):
    """A connection to that port of ours by SOCKS5 (RFC 1928)."""
    sock = socket.create_connection(proxy, timeout=LIMIT)
    sock.sendall(b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\x00\x00\x01" + struct.pack(">H", port))
    reply = b""
    while len(reply) < 12:
        got = sock.recv(12 - len(reply))
        if not got:
            break
        reply += got
    if len(reply) < 12 or reply[3] != 0:
        sock.close()
        raise ConnectionError(f"the proxy says {reply.hex()}")
    return sock


def one(proxy, echo, shut, number):
    """A connection of the kind that is its turn."""
    kind = number % 10
    rng = random.Random(number)
    if kind == 0:
        try:
            through(proxy, shut).close()
        except ConnectionError:
            return "refused"
        raise AssertionError("somebody listens where nobody does")
    sock = through(proxy, echo)
    if kind == 1:
        # The destination breaks it.
        sock.sendall(b"B" * 1000)
        with contextlib.suppress(OSError):
            while sock.recv(1 << 16):
                pass
        sock.close()
        return "broken_by_destination"
    body = b"E" + rng.randbytes(rng.randrange(1 << 18))
    if kind == 2:
        # The program breaks it.
        sock.sendall(body[:1000])
        broken_off(sock)
        return "broken_by_program"
    sender = threading.Thread(target=send, args=(sock, body))
    sender.start()
    heard, length = hashlib.sha256(), 0
    while chunk := sock.recv(1 << 16):
        heard.update(chunk)
        length += len(chunk)
    sender.join()
    sock.close()
    if (length, heard.digest()) != (len(body), hashlib.sha256(body).digest()):
        raise AssertionError(f"{len(body)} bytes came back as {length} others")
    return "echoed"


def send(sock, body):
    sock.sendall(body)
    sock.shutdown(socket.SHUT_WR)


def many(work, count, at_once):
    """Does the numbered pieces of work; gives what became of how many, and what went wrong."""
    counts, wrong, lock = {}, [], threading.Lock()
    numbers = iter(range(count))

    def worker():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                what = work(number)
            except Exception as error:  # whatever it was, it is told
                what = "failed"
                with lock:
                    wrong.append(f"{number}: {error!r}")
            with lock:
                counts[what] = counts.get(what, 0) + 1

    workers = [threading.Thread(target=worker) for _ in range(at_once)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return counts, wrong


def at_rest(parties):
    """Memory and descriptors once nothing is under way: descriptors no longer change."""
    last, until = None, time.monotonic() + LIMIT
    while time.monotonic() < until:
        time.sleep(2)
        now = {name: party.descriptors() for name, party in parties.items()}
        if now == last:
            break
        last = now
    return {
        name: {"kib": party.memory() >> 10, "descriptors": party.descriptors()}
        for name, party in parties.items()
    }


def metric(at, name):
    """One of the broker's numbers."""
    with socket.create_connection(at, timeout=LIMIT) as sock:
        sock.sendall(b"GET /metrics HTTP/1.0\r\nhost: b\r\nconnection: close\r\n\r\n")
        text = b""
        while chunk := sock.recv(1 << 16):
            text += chunk
    for line in text.decode().splitlines():
        if line.startswith(f"peerage_broker_{name} "):
            return int(line.split()[-1])
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peerage")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    args = parser.parse_args()
    echo = Echo()
    threading.Thread(target=echo.serve_forever, daemon=True).start()
    # Held, and nobody listens.
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:

        def run(*words):
            running = Running(args.peerage, *words)
            stack.callback(running.end)
            return running

        op, invitation = f"{folder}/op", f"{folder}/invitation"
        broker = run(
            "broker", "serve", "--dir", op, "--listen", "127.0.0.1:0",
            "--loopback-for-tests", "--reports", f"{folder}/reports",
        )  # fmt: skip
        line = broker.line("type", "broker")
        at = ("127.0.0.1", int(line["listen"].rsplit(":", 1)[1]))
        everything = "127.0.0.0/8:1-65535"
        with open(invitation, "w") as file:
            subprocess.run(
                [args.peerage, "broker", "invite", "--dir", op, "--at", line["listen"],
                 "--allow", everything],
                stdout=file, stderr=subprocess.DEVNULL, check=True,
            )  # fmt: skip

        def volunteer(name, *words):
            running = run(
                "broker", "volunteer", "--broker", f"{line['key']}@{line['listen']}",
                "--key", f"{folder}/{name}", "--allow", everything, "--allow-private",
                "--bind", "127.0.0.1", *words,
            )  # fmt: skip
            running.line("type", "volunteer")
            return running

        helpers = [volunteer(f"v{n}", "--announcing", "8") for n in range(2)]
        client = run(
            "broker", "dial", "--via", invitation, "--bind", "127.0.0.1", "--socks",
            "--listen", "127.0.0.1:0",
        )  # fmt: skip
        proxy = client.line("type", "listening")["at"].rsplit(":", 1)
        proxy = (proxy[0], int(proxy[1]))
        ports = (echo.server_address[1], closed.getsockname()[1])
        parties = {"broker": broker, "volunteer_1": helpers[0], "volunteer_2": helpers[1], "client": client}

        first = max(args.count // 10, 1)
        warm, wrong = many(lambda n: one(proxy, *ports, n), first, args.at_once)
        before = at_rest(parties)
        began = time.monotonic()
        counts, more = many(lambda n: one(proxy, *ports, n), args.count - first, args.at_once)
        took = time.monotonic() - began
        after = at_rest(parties)
        wrong += more
        for name in parties:
            memory = (after[name]["kib"] - before[name]["kib"]) << 10
            if memory > MORE_MEMORY:
                wrong.append(f"{name} has {memory >> 10} KiB more")
            if after[name]["descriptors"] - before[name]["descriptors"] > MORE_DESCRIPTORS:
                wrong.append(f"{name} has more descriptors")

        # Stopped while it relays: the end comes by its silence.
        for helper in helpers:
            helper.end()
        helper = volunteer("v2", "--announcing", "1", "--connections", "1")
        sock = through(proxy, ports[0])
        sock.sendall(b"E")
        sock.recv(1)
        helper.child.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        with contextlib.suppress(OSError):
            sock.recv(1)
        told_relaying = time.monotonic() - stopped_at
        sock.close()
        helper.end()

        # Stopped with a client in its hands: the broker tells it to ask again, and counts that.
        helper = volunteer("v3", "--announcing", "1", "--connections", "1")
        until = time.monotonic() + LIMIT
        waiting = 'waiting{side="volunteer",nat="strict"}'
        while not metric(at, waiting) and time.monotonic() < until:
            time.sleep(0.01)
        helper.child.send_signal(signal.SIGSTOP)
        left = 'calls_total{call="offer",outcome="volunteer_left"}'
        had = metric(at, left)
        asking = subprocess.Popen(
            [args.peerage, "broker", "explain", "--via", invitation, "--bind", "127.0.0.1",
             f"127.0.0.1:{ports[0]}", "--timeout", "10s"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(asking.wait)
        stack.callback(asking.kill)
        while not metric(at, "answers_awaited") and time.monotonic() < until:
            time.sleep(0.005)
        matched_at = time.monotonic()
        while metric(at, left) == had and time.monotonic() < until:
            time.sleep(0.005)
        told_matched = time.monotonic() - matched_at
        if time.monotonic() > until:
            wrong.append("nobody was told that a volunteer had left")
        with open(f"{folder}/reports") as reports:
            records = sum(1 for _ in reports)

    for what, number in warm.items():
        counts[what] = counts.get(what, 0) + number
    result = {
        "connections": counts,
        "seconds": round(took, 1),
        "records": records,
        "before": before,
        "after": after,
        "told_after_s": {"relaying": round(told_relaying, 2), "matched": round(told_matched, 2)},
        "load": round(os.getloadavg()[0], 1),
        "wrong": wrong[:20],
    }
    print(json.dumps(result))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
