#!/usr/bin/env python3
"""Watches a peerage daemon: its peers, its events as they come, and the answer of one peer.

Survives what happens to the connection and to the daemon: it comes back with a growing pause, takes
its subscription up where it was, and begins anew where the daemon is a new one.
"""

import argparse
import sys
import time
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parent / "generated"))
from peerage.v1 import message_pb2, peer_pb2, service_pb2, service_pb2_grpc, stream_pb2  # noqa: E402

# How long the subscription waits for us, in milliseconds.
LEASE_MS = 60_000
# How long one peer may take to answer, in milliseconds.
ANSWER_MS = 3_000
# How long to wait before asking again, in seconds.
ASK_EVERY = 1.0
# How long a call that asks nobody else may take, in seconds.
PATIENCE = 10
# The pauses before coming back, in seconds: the first, doubled each time, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
# A daemon that is there says no, and will say so again.
FINAL = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)
OPTIONS = [
    # Every channel connects by itself, when we say so, and never through a proxy of the environment.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    # A machine that is gone says nothing: ask it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.max_receive_message_length", 32 << 20),
]


def say(words):
    print(words, flush=True)


class Watch:
    """What is known of the daemon, over all connections to it."""

    def __init__(self, options):
        self.options = options
        self.metadata = []
        if options.token_file:
            token = Path(options.token_file).read_text().strip()
            self.metadata = [("authorization", f"Bearer {token}")]
        self.pause = FIRST_PAUSE
        self.restarts = self.resumes = 0
        self.started_ms = 0
        self.asked_at = float("-inf")
        self.forget()

    def forget(self):
        """Of one daemon: the subscription, the last item taken care of, and what was seen."""
        self.token, self.last = "", 0
        self.events, self.is_answered = 0, False

    def is_done(self):
        wanted = self.options
        return (
            wanted.events > 0
            and self.events >= wanted.events
            and self.is_answered
            and self.restarts >= wanted.restarts
            and self.resumes >= wanted.resumes
        )

    def run(self):
        while True:
            try:
                with grpc.insecure_channel(self.options.place, options=OPTIONS) as channel:
                    self.visit(service_pb2_grpc.DaemonStub(channel))
                return
            except grpc.RpcError as error:
                if error.code() in FINAL:
                    raise
                say(f"lost: {error.details()}; again in {self.pause} s")
            time.sleep(self.pause)
            self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def visit(self, daemon):
        """One connection, until there is nothing more to see."""
        self.greet(daemon)
        stream = self.subscribe(daemon)
        # Until now it has cost the daemon something.
        self.pause = FIRST_PAUSE
        self.ask(daemon)
        while not self.is_done():
            item = next(stream, None)
            if item is None:
                raise Ended
            self.take(item)
            self.ask(daemon)
        daemon.Unsubscribe(
            service_pb2.UnsubscribeRequest(token=self.token),
            metadata=self.metadata,
            timeout=PATIENCE,
        )

    def greet(self, daemon):
        """Who is it, and whom does it have?"""
        info = daemon.Info(service_pb2.InfoRequest(), metadata=self.metadata, timeout=PATIENCE)
        if self.started_ms == info.started_ms:
            return
        if self.started_ms:
            say("a new daemon: the lease went with the old one")
            self.restarts += 1
            self.forget()
        self.started_ms = info.started_ms
        for node in info.nodes:
            at = " ".join(node.addresses)
            say(f"node {node.realm.network} {node.realm.chain} of peerage {info.version} at {at}")
        peers = daemon.ListPeers(
            peer_pb2.ListPeersRequest(limit=10), metadata=self.metadata, timeout=PATIENCE
        )
        for peer in peers.peers:
            who = peer.peer
            say(f"peer {who.realm.network} {who.session} {peer.address} {peer.agent} {peer.speaks}")
        say(f"peers: {len(peers.peers)}{' and more' if peers.more else ''}")

    def subscribe(self, daemon):
        """All events; the subscription that we have, if the daemon still has it."""
        if self.token:
            request = stream_pb2.SubscribeRequest(resume=self.token, after=self.last)
            try:
                stream = daemon.Subscribe(request, metadata=self.metadata)
                opened = next(stream).opened
                say(f"lease taken up after item {self.last}, the next is {opened.next}")
                self.resumes += 1
                return stream
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.NOT_FOUND:
                    raise
                say("the lease has run out: items are lost")
                self.last = 0
        request = stream_pb2.SubscribeRequest(
            events=stream_pb2.EventFilter(), policy=stream_pb2.POLICY_DROP_OLDEST, lease_ms=LEASE_MS
        )
        stream = daemon.Subscribe(request, metadata=self.metadata)
        opened = next(stream).opened
        self.token = opened.token
        say(f"subscribed, with a lease of {opened.lease_ms} ms")
        return stream

    def take(self, item):
        if item.WhichOneof("of") == "lagged":
            say(f"missed {item.lagged.messages} items")
            self.last = item.lagged.next - 1
            return
        if item.seq != self.last + 1:
            sys.exit(f"item {item.seq} came after {self.last}, and nothing was said of those between")
        self.last = item.seq
        if item.WhichOneof("of") == "event":
            self.events += 1
            event = item.event
            kind = event.WhichOneof("of")
            what = getattr(event, kind) if kind else None
            words = [getattr(what, "address", "")]
            if kind == "established":
                words += [what.agent, what.speaks]
            elif kind in ("closed", "failed"):
                words += [what.reason.words]
            say(f"event {item.seq} {event.realm.network} {kind} {' '.join(words)}")

    def ask(self, daemon):
        """Asks the best of those peers, unless one has answered; another time if there is none."""
        now = time.monotonic()
        if self.is_answered or now < self.asked_at + ASK_EVERY:
            return
        self.asked_at = now
        wanted = self.options
        selector = peer_pb2.Selector(
            realm=peer_pb2.Realm(network=wanted.network), agent=wanted.agent
        )
        request = message_pb2.RequestRequest(
            best=selector,
            message=message_pb2.Payload(name=wanted.ask),
            timeout_ms=ANSWER_MS,
        )
        try:
            answer = daemon.Request(request, metadata=self.metadata, timeout=PATIENCE)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE or error.code() in FINAL:
                raise
            say(f"no answer: {error.details()}")
            return
        self.is_answered = True
        body = len(answer.message.body)
        say(f"answer {answer.message.name}: {body} bytes of {answer.peer.key} in {answer.took_us} us")


class Ended(grpc.RpcError):
    """The stream ended without a word."""

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "the stream has ended"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("place", help="unix:/path/to/socket or ip:port")
    parser.add_argument("--token-file", help="the file with the token, for ip:port")
    parser.add_argument("--network", default="zcash", help="whose peer to ask (zcash)")
    parser.add_argument("--agent", default="", help="ask only peers whose software has this in its name")
    parser.add_argument("--ask", default="getaddr", help="what to ask (getaddr)")
    parser.add_argument("--events", type=int, default=0, help="end after so many events and an answer; else never")
    parser.add_argument("--restarts", type=int, default=0, help="but not before so many daemons have gone; events and answers are the last one's")
    parser.add_argument("--resumes", type=int, default=0, help="nor before the lease was taken up so often")
    watch = Watch(parser.parse_args())
    try:
        watch.run()
    except grpc.RpcError as error:
        sys.exit(f"refused: {error.code().name}: {error.details()}")
    except KeyboardInterrupt:
        sys.exit(130)
    say(f"done: {watch.events} events, {watch.resumes} resumed, {watch.restarts} restarts")


if __name__ == "__main__":
    main()
