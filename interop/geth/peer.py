#!/usr/bin/env python3
"""A geth of a private chain on loopback that tells in lines of JSON what it sees.

    peer.py serve GETH [--chain NAME] [--dial ENODE] [--max-peers N] [--seconds N]
                       [--key HEX] [--port N] [--discover ENR]

With --discover it runs discovery v5 as well, begins with that node, and dials nobody of itself.

The chain is genesis.json beside this file, or a variant that differs in one thing:

    main           network 7331, one block past Osaka, BPO1 far ahead
    other-network  network 7332
    other-genesis  another genesis block
    other-fork     Osaka at another time, already passed, so another fork hash
    later-fork     BPO1 at another time, not reached: still compatible
    behind         no block past genesis, so two known forks behind: still compatible
    outdated       knows neither Osaka nor BPO1 and is past where Osaka was
    ahead          BPO1 at a time that clocks have passed and its head has not

Lines, in the order of what happens:

    listening  pid (of geth's process group), enode, rpc, agent, network, genesis, fork_hash, fork_next, head
    peer       a peer whose Status geth accepted: agent, inbound, negotiated (the eth version)
    info       what admin_peers says of it, once: agent, caps, negotiated, inbound, enode
    refused    a peer that geth turned away: stage, reason
    gone       a peer that left or was dropped: reason

geth ends with this program, which ends when told to, or after --seconds.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
BLOCK_TIME = 1_730_000_000  # of block 1, past every fork that main has passed
FORKS = ("pragueTime", "osakaTime", "bpo1Time")  # what is not active at genesis, in order


def main_chain():
    return {"network": 7331, "blocks": 1, "genesis": json.loads((HERE / "genesis.json").read_text())}


def variant(name):
    chain = main_chain()
    genesis = chain["genesis"]
    match name:
        case "main":
            pass
        case "other-network":
            chain["network"] = 7332
        case "other-genesis":
            genesis["extraData"] = "0x01"
        case "other-fork":
            genesis["config"]["osakaTime"] = 1_725_000_000
        case "later-fork":
            genesis["config"]["bpo1Time"] = 4_100_000_000
        case "behind":
            chain["blocks"] = 0
        case "outdated":
            for fork in ("osaka", "bpo1"):
                del genesis["config"][f"{fork}Time"], genesis["config"]["blobSchedule"][fork]
        case "ahead":
            genesis["config"]["bpo1Time"] = 1_750_000_000
        case _:
            raise SystemExit(f"no chain {name}")
    return chain


def fork_id(chain, genesis_hash):
    """EIP-6122, worked out here to hold against what geth says of itself."""
    now = BLOCK_TIME if chain["blocks"] else int(chain["genesis"]["timestamp"], 16)
    crc = zlib.crc32(bytes.fromhex(genesis_hash[2:]))
    config = chain["genesis"]["config"]
    for fork in sorted(config[name] for name in FORKS if name in config):
        if fork > now:
            return f"0x{crc:08x}", fork
        crc = zlib.crc32(fork.to_bytes(8, "big"), crc)
    return f"0x{crc:08x}", 0


def say(kind, **fields):
    print(json.dumps({"type": kind, **fields}, separators=(",", ":")), flush=True)


class Rpc:
    """JSON-RPC to loopback, past any proxy; with a secret, the authenticated port."""

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __init__(self, endpoint, secret=None):
        self.url, self.secret = f"http://{endpoint}", secret

    def token(self):
        part = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")
        claims = json.dumps({"iat": int(time.time())}).encode()
        text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(claims)
        return (text + b"." + part(hmac.new(self.secret, text, hashlib.sha256).digest())).decode()

    def __call__(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        if self.secret:
            request.add_header("Authorization", f"Bearer {self.token()}")
        with self.opener.open(request, timeout=10) as answer:
            value = json.load(answer)
        if "error" in value:
            raise RuntimeError(f"{method}: {value['error']['message']}")
        return value["result"]


def add_block(rpc, engine, osaka):
    """Block 1, as a consensus client would have it made."""
    head = rpc("eth_getBlockByNumber", "latest", False)["hash"]
    zero = "0x" + 32 * "00"
    state = lambda block: {"headBlockHash": block, "safeBlockHash": zero, "finalizedBlockHash": zero}
    wanted = {
        "timestamp": hex(BLOCK_TIME),
        "prevRandao": zero,
        "suggestedFeeRecipient": "0x" + 20 * "00",
        "withdrawals": [],
        "parentBeaconBlockRoot": zero,
    }
    made = engine("engine_forkchoiceUpdatedV3", state(head), wanted)
    built = engine("engine_getPayloadV5" if osaka else "engine_getPayloadV4", made["payloadId"])
    block = built["executionPayload"]
    for status in (
        engine("engine_newPayloadV4", block, [], zero, built["executionRequests"]),
        engine("engine_forkchoiceUpdatedV3", state(block["blockHash"]), None)["payloadStatus"],
    ):
        if status["status"] != "VALID":
            raise RuntimeError(f"geth refused its own block: {status}")


class Geth:
    def __init__(self, args):
        self.args, self.chain = args, variant(args.chain)
        self.known = {}  # node id, as far as the log shows it: what its connection told
        self.ports, self.enode, self.ready = {}, None, threading.Event()
        self.failed = False
        self.folder = Path(tempfile.mkdtemp(prefix="geth."))
        self.secret = secrets.token_bytes(32)

    def start(self):
        # Variables of this name are settings to geth.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GETH_")}
        genesis, config, jwt = (self.folder / name for name in ("genesis.json", "config.toml", "jwt"))
        genesis.write_text(json.dumps(self.chain["genesis"]))
        jwt.write_text(self.secret.hex())
        # --port would listen on every interface.
        p2p = ["[Node.P2P]", f'ListenAddr = "127.0.0.1:{self.args.port}"']
        finding = ["--nodiscover"]
        if self.args.discover:
            boot = f'["{self.args.discover}"]'
            p2p += [f"BootstrapNodes = {boot}", f"BootstrapNodesV5 = {boot}", "NoDial = true"]
            finding = ["--discovery.v4=false", "--discovery.v5", "--discovery.dns", ""]
        if self.args.key:
            finding += ["--nodekeyhex", self.args.key]
        config.write_text("\n".join(p2p) + "\n")
        common = [self.args.geth, "--datadir", str(self.folder / "data")]
        init = [*common, "init", str(genesis)]
        made = subprocess.run(init, capture_output=True, text=True, timeout=60, env=clean)
        if made.returncode:
            raise SystemExit(f"geth takes no such genesis: {made.stderr[-2000:]}")
        self.process = subprocess.Popen(
            ["timeout", "--kill-after=5", str(self.args.seconds), *common]
            + ["--config", str(config), "--networkid", str(self.chain["network"])]
            + ["--maxpeers", str(self.args.max_peers), *finding, "--nat", "none"]
            + ["--netrestrict", "127.0.0.0/8", "--ipcdisable", "--syncmode", "full"]
            + ["--http", "--http.addr", "127.0.0.1", "--http.port", "0", "--http.api", "admin,eth"]
            + ["--authrpc.addr", "127.0.0.1", "--authrpc.port", "0", "--authrpc.jwtsecret", str(jwt)]
            + ["--cache", "64", "--verbosity", "5", "--log.format", "json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=clean,
        )
        threading.Thread(target=self.watch_peers, daemon=True).start()
        try:
            self.read_log()
        finally:
            self.stop()
        return 1 if self.failed else 0

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=8)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def read_log(self):
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {}
            # What goes to standard error is for whoever looks into a failed conversation.
            if entry.get("lvl") not in ("trace", "debug", "info") or "id" in entry:
                sys.stderr.write(line)
                sys.stderr.flush()
            self.on_log(entry.get("msg", ""), entry)

    def on_log(self, msg, entry):
        who = str(entry.get("id"))[:16]
        inbound = "inbound" in entry.get("conn", "")
        match msg.split()[:2]:
            case ["HTTP", "server"]:
                self.ports["auth" if entry.get("auth") else "open"] = entry["endpoint"]
            case ["Started", "P2P"]:
                self.enode = entry["self"]
            case ["Starting", "protocol"] if " eth/" in msg:
                self.known[who] = int(msg.rsplit("/", 1)[1])
            case ["Ethereum", "peer"] if msg == "Ethereum peer connected":
                say("peer", agent=entry["name"], inbound=inbound, negotiated=self.known.get(who))
            case ["Ethereum", "handshake"]:
                say("refused", stage="status", reason=entry["err"], inbound=inbound)
            case ["Failed", "p2p"]:
                say("refused", stage="hello", reason=entry["err"], inbound=inbound)
            case ["Rejected", "peer"]:
                say("refused", stage="admission", reason=entry["err"], inbound=inbound)
            case ["Removing", "p2p"]:
                say("gone", reason=entry.get("err"), by_us=not entry.get("req"))
        if self.enode and len(self.ports) == 2 and not self.ready.is_set():
            self.ready.set()

    def watch_peers(self):
        try:
            if not self.ready.wait(30):
                raise RuntimeError("geth does not listen")
            rpc = Rpc(self.ports["open"])
            if self.chain["blocks"]:
                osaka = "osakaTime" in self.chain["genesis"]["config"]
                add_block(rpc, Rpc(self.ports["auth"], self.secret), osaka)
            self.introduce(rpc)
            for enode in self.args.dial:
                rpc("admin_addPeer", enode)
        except Exception as error:  # whatever it is, this peer is of no use
            print(f"peer.py: {error}", file=sys.stderr, flush=True)
            self.failed = True
            self.process.terminate()
            return
        told = set()
        while True:
            try:
                peers = rpc("admin_peers")
            except OSError:
                return  # geth is ending, which the reader of its log notices
            for peer in peers:
                eth = peer["protocols"].get("eth")
                if isinstance(eth, dict) and peer["id"] not in told:
                    told.add(peer["id"])
                    say(
                        "info",
                        agent=peer["name"],
                        caps=peer["caps"],
                        negotiated=eth["version"],
                        inbound=peer["network"]["inbound"],
                        enode=peer["enode"],
                    )
            time.sleep(0.1)

    def introduce(self, rpc):
        own = rpc("admin_nodeInfo")
        genesis = own["protocols"]["eth"]["genesis"]
        worked_out = fork_id(self.chain, genesis)
        theirs = rpc("eth_config")["current"]["forkId"]
        if theirs != worked_out[0]:
            raise RuntimeError(f"geth has fork hash {theirs}, EIP-6122 gives {worked_out[0]}")
        say(
            "listening",
            pid=self.process.pid,
            enode=self.enode,
            rpc=rpc.url,
            agent=own["name"],
            network=own["protocols"]["eth"]["network"],
            genesis=genesis,
            fork_hash=worked_out[0],
            fork_next=worked_out[1],
            head=int(rpc("eth_blockNumber"), 16),
        )


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("geth")
    parser.add_argument("--chain", default="main")
    parser.add_argument("--dial", action="append", default=[])
    parser.add_argument("--key", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--discover", default="")
    parser.add_argument("--max-peers", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=110)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(Geth(parser.parse_args()).start())


if __name__ == "__main__":
    main()
