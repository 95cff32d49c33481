#!/usr/bin/env python3
"""Asks a dcrd on loopback over JSON-RPC.

    rpc.py HOST:PORT ping          has it ping all its peers
    rpc.py HOST:PORT mine          has it make a block, which it cannot without a mining address
    rpc.py HOST:PORT dial ADDR     has it dial a peer, again and again
    rpc.py HOST:PORT peers         a line of JSON for each of its peers: addr, inbound, rtt_ms (null
                              before a ping was answered), bytes_in, bytes_out

User and password are those of interop/keep.bash.
"""

import base64
import json
import sys
import urllib.request

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(at, method, *params):
    body = json.dumps({"jsonrpc": "1.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(f"http://{at}", body, {"Content-Type": "application/json"})
    request.add_header("Authorization", "Basic " + base64.b64encode(b"interop:interop").decode())
    with OPENER.open(request, timeout=30) as answer:
        value = json.load(answer)
    if value.get("error"):
        sys.exit(f"rpc.py: {value['error']}")
    return value["result"]


def main(at, what, *rest):
    commands = {"ping": ("ping",), "mine": ("generate", 1), "dial": ("addnode", *rest, "add")}
    if what in commands:
        call(at, *commands[what])
        return
    for peer in call(at, "getpeerinfo"):
        shown = {
            "addr": peer["addr"],
            "inbound": peer["inbound"],
            "rtt_ms": peer["pingtime"] / 1000 or None,
            "bytes_in": peer["bytesrecv"],
            "bytes_out": peer["bytessent"],
        }
        print(json.dumps(shown))


if __name__ == "__main__":
    if sys.argv[2:3] not in (["ping"], ["mine"], ["dial"], ["peers"]):
        sys.exit(__doc__)
    main(*sys.argv[1:])
