"""The real in-proxy between sites: broker, volunteers, clients, and a destination that counts."""

import os
import secrets
import socket
import statistics
import threading
import time

import world as w
from party import Party

PAYLOAD = 64 * 1024


class Destination:
    """Gives back what it gets, and counts it. It stands in the public network."""

    def __init__(self):
        self.bytes = 0
        self.lock = threading.Lock()
        self.listener = w.placed("stun", self.listen)
        threading.Thread(target=self.accept, daemon=True).start()

    @staticmethod
    def listen():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(w.DESTINATION)
        listener.listen(512)
        return listener

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.echo, args=(stream,), daemon=True).start()

    def echo(self, stream):
        with stream:
            try:
                while got := stream.recv(65536):
                    with self.lock:
                        self.bytes += len(got)
                    stream.sendall(got)
            except OSError:
                # Whoever breaks it off has what it wanted.
                pass

    def close(self):
        # Wakes the one who accepts.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Proxy:
    """A broker in the public network, an invitation to it, and pairings."""

    def __init__(self, lab, sites, require_nat=False):
        self.peerage, self.folder = lab.args.peerage, os.path.join(lab.folder, secrets.token_hex(4))
        os.mkdir(self.folder)
        self.parties, self.links = [], {}
        self.destination = Destination()
        # Each site is a country of its own, or nobody would be introduced to anybody.
        places = self.write("places", "".join(
            f"{site.lan if site.seen_at == site.local else at + '/32'} "
            f"{chr(65 + site.number // 26)}{chr(65 + site.number % 26)} {64500 + site.number}\n"
            for site in sites for at in (site.outside, site.moved_to)))
        more = ["--require-nat"] if require_nat else []
        self.broker = self.start("stun", "serve", "--dir", self.path("op"), "--listen",
                                 f"{w.BROKER}:8080", "--places", places,
                                 "--offers-per-minute", "10000", *more)
        key = self.broker.wait(lambda said: said["type"] == "broker", 30)["key"]
        self.address = f"{key}@{w.BROKER}:8080"
        allowed = f"{w.DESTINATION[0]}/32:{w.DESTINATION[1]}"
        self.allowed = allowed
        link = w.run(self.peerage, "broker", "invite", "--dir", self.path("op"), "--at",
                     f"{w.BROKER}:8080", "--allow", allowed)
        self.invitation = self.write("invitation", link)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def start(self, name, command, *words):
        party = Party(name, self.peerage, "broker", command, "--json", *words)
        self.parties.append(party)
        return party

    def pairing(self, name):
        """A compartment for a volunteer and those who are to meet it, and nobody else."""
        link = w.run(self.peerage, "broker", "pair", "--invitation", self.invitation)
        return self.write(f"pairing-{name}", link)

    def end(self, site):
        """How an end learns its network: by our STUN server, and from its router where one gives
        ports."""
        return ["--stun", w.STUN, *(["--map-ports"] if site.kind == "mapped" else [])]

    def volunteer(self, site, pairing=None, slots=8):
        where = ["--pairing", pairing] if pairing else ["--broker", self.address]
        return self.start(site.host, "volunteer", *where, "--key", self.path(secrets.token_hex(4)),
                          "--allow", self.allowed, "--connections", str(slots), *self.end(site))

    def dial(self, site, link):
        party = self.start(site.host, "dial", "--via", link, "--to", "%s:%d" % w.DESTINATION,
                           *self.end(site))
        party.site = site
        party.at = party.wait(lambda said: said["type"] == "listening", 30)["at"]
        return party

    def close(self):
        for party in self.parties:
            party.process.send_signal(2)
        for party in self.parties:
            party.stop()
        self.destination.close()


def through(dialer, seconds):
    """A local connection of a client's host; what comes of it shows when it is used."""
    host, port = dialer.at.rsplit(":", 1)

    def connect():
        stream = socket.socket()
        stream.settimeout(seconds)
        stream.connect((host, int(port)))
        return stream

    return w.placed(dialer.site.host, connect)


def carry(stream, payload):
    """Whether what is sent through comes back as it was."""
    got = bytearray()
    sender = threading.Thread(target=send, args=(stream, payload), daemon=True)
    sender.start()
    try:
        while len(got) < len(payload):
            more = stream.recv(65536)
            if not more:
                break
            got += more
    except OSError:
        pass
    return bytes(got) == payload


def send(stream, payload):
    try:
        stream.sendall(payload)
    except OSError:
        # Seen by the one who receives.
        pass


def attempt(dialer, seconds):
    """One connection through volunteers: how long it took to be set up, or None, and why not."""
    since, began = len(dialer.said), time.monotonic()
    with through(dialer, seconds) as stream:
        ok = carry(stream, os.urandom(PAYLOAD))
    if ok:
        # What was carried can be here before what is said of it.
        connected = dialer.event("connected", 5, since)
        return connected["ms"], connected
    failed = [said for said in dialer.said[since:] if said.get("event") == "failed"]
    if failed:
        return None, failed[0]["reason"]
    events = ", ".join(said["event"] for said in dialer.said[since:]) or "nothing"
    after = time.monotonic() - began
    return None, {"message": f"{events} until {after:.0f} s"}


class Talk:
    """A connection that is kept busy: a few bytes there and back, again and again."""

    def __init__(self, dialer):
        self.stream = through(dialer, 20)
        self.silence, self.rounds, self.is_over = 0.0, 0, False
        self.broke = False
        self.started = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            with self.stream:
                while not self.is_over:
                    began = time.monotonic()
                    if not carry(self.stream, os.urandom(64)):
                        self.broke = True
                        return
                    if self.rounds:
                        self.silence = max(self.silence, time.monotonic() - began)
                    self.rounds += 1
                    self.started.set()
                    time.sleep(0.02)
        finally:
            self.started.set()

    def end(self):
        self.is_over = True
        self.thread.join(25)


def median(numbers):
    return statistics.median(numbers) if numbers else None
