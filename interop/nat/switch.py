"""A slow switch: every frame takes its time.

The kernel's netem does the same, where it is built in. Ports are TAP interfaces, which need no
module that network namespaces do not need as well.
"""

import fcntl
import heapq
import itertools
import os
import select
import struct
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


def open_port():
    """A TAP interface wan0 in the space where this is called."""
    port = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(port, TUNSETIFF, struct.pack("16sH", b"wan0", IFF_TAP | IFF_NO_PI))
    return port


class Switch:
    """Carries frames between its ports after `delay` seconds, and learns who is where."""

    def __init__(self, delay):
        self.delay, self.ports, self.homes = delay, set(), {}
        self.wake, self.woken = os.pipe()
        self.carried = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def plug(self, place):
        """`place` calls what opens a port in the space where it belongs."""
        self.ports.add(place(open_port))
        os.write(self.woken, b".")

    def close(self):
        os.write(self.woken, b"x")
        self.thread.join()
        for port in self.ports:
            os.close(port)

    def run(self):
        due, order = [], itertools.count()
        while True:
            wait = max(0.0, due[0][0] - time.monotonic()) if due else None
            ready, _, _ = select.select([self.wake, *self.ports], [], [], wait)
            now = time.monotonic()
            for port in ready:
                if port == self.wake:
                    if b"x" in os.read(self.wake, 64):
                        return
                    continue
                # A bounded share, so that a busy port does not hold up what is due.
                for _ in range(64):
                    try:
                        frame = os.read(port, 65536)
                    except BlockingIOError:
                        break
                    except OSError:
                        # Its space is gone, and its interface with it.
                        self.ports.discard(port)
                        os.close(port)
                        break
                    heapq.heappush(due, (now + self.delay, next(order), port, frame))
            while due and due[0][0] <= now:
                _, _, port, frame = heapq.heappop(due)
                self.carry(port, frame)

    def carry(self, port, frame):
        to, source = frame[:6], frame[6:12]
        self.homes[source] = port
        known = self.homes.get(to)
        for other in [known] if known in self.ports else self.ports - {port}:
            try:
                os.write(other, frame)
                self.carried += 1
            except OSError:
                # Not up yet, or full: a frame is lost, as on any wire.
                pass
