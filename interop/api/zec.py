"""A peer of Zcash's regtest, as small as one can be: it greets, answers pings, says what it is told to.

Written from the protocol's description; it is no node, it only has to be one for the other side.
"""

import asyncio
import hashlib
import os
import struct
import time

MAGIC = bytes.fromhex("aae83f5f")
VERSION = 170190
LONGEST = 2 << 20


def double(data):
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def frame(command, body=b""):
    return MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", len(body)) + double(body)[:4] + body


def address(ip, port):
    octets = bytes(int(part) for part in ip.split("."))
    return struct.pack("<Q", 0) + bytes(10) + b"\xff\xff" + octets + struct.pack(">H", port)


def version(host, port):
    agent = b"/zec.py:1/"
    return (
        struct.pack("<iQq", VERSION, 1, int(time.time()))
        + address(host, port)
        + address("0.0.0.0", 0)
        + os.urandom(8)
        + bytes([len(agent)])
        + agent
        + struct.pack("<iB", 1, 1)
    )


async def read(reader):
    """The next message."""
    head = await reader.readexactly(24)
    length = struct.unpack_from("<I", head, 16)[0]
    if head[:4] != MAGIC or length > LONGEST:
        raise ConnectionError("this is no peer of regtest")
    return head[4:16].rstrip(b"\0").decode(), await reader.readexactly(length)


async def greet(reader, writer):
    """Both halves of the handshake; either side may have opened the connection."""
    host, port = writer.get_extra_info("peername")[:2]
    writer.write(frame("version", version(host, port)))
    seen = set()
    while seen < {"version", "verack"}:
        command, _ = await read(reader)
        seen.add(command)
        if command == "version":
            writer.write(frame("verack"))
    await writer.drain()


async def dial(host, port, source=None):
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(host, port, local_addr=local)
    try:
        await greet(reader, writer)
    except BaseException:
        writer.close()
        raise
    return reader, writer


def inv(number):
    """One transaction of this number."""
    return bytes([1]) + struct.pack("<I", 1) + struct.pack("<Q", number) * 4


async def live(reader, writer):
    """Answers pings, and says what it has when it is asked, until the connection ends."""
    while True:
        command, body = await read(reader)
        if command == "ping":
            writer.write(frame("pong", body))
        elif command == "mempool":
            writer.write(frame("inv", inv(7)))
        elif command == "getaddr":
            writer.write(frame("addr", b"\0"))
        else:
            continue
        await writer.drain()
