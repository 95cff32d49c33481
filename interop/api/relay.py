#!/usr/bin/env python3
"""A cable that can be pulled: relay.py LISTEN TARGET, each unix:/path or ip:port.

Prints {"type":"listening","pid":N} once it listens. SIGUSR1 breaks every connection that goes through it, of
which it prints how many there were; the next ones go through again.
"""

import asyncio
import json
import os
import signal
import sys


def tell(**words):
    print(json.dumps(words), flush=True)


def listen(at, guest):
    if at.startswith("unix:"):
        return asyncio.start_unix_server(guest, at.removeprefix("unix:"))
    host, port = at.rsplit(":", 1)
    return asyncio.start_server(guest, host, int(port))


def connect(at):
    if at.startswith("unix:"):
        return asyncio.open_unix_connection(at.removeprefix("unix:"))
    host, port = at.rsplit(":", 1)
    return asyncio.open_connection(host, int(port))


async def pour(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def main(at, target):
    open_now = set()

    async def guest(reader, writer):
        me = asyncio.current_task()
        writers = [writer]
        try:
            there, back = await connect(target)
            writers.append(back)
            open_now.add(me)
            # The end of one direction is the end of both.
            ways = [asyncio.ensure_future(pour(reader, back)), asyncio.ensure_future(pour(there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            # Nobody there, or pulled: the guest sees it when its connection breaks.
            pass
        finally:
            open_now.discard(me)
            for one in writers:
                one.transport.abort()

    def pull():
        tell(type="pulled", connections=len(open_now))
        for one in list(open_now):
            one.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, pull)
    server = await listen(at, guest)
    tell(type="listening", pid=os.getpid())
    await server.serve_forever()


if len(sys.argv) != 3:
    sys.exit(__doc__)
asyncio.run(main(*sys.argv[1:]))
