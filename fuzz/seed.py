"""Turns the test vectors into seeds for the `decoders` targets: choice, command, payload."""

import json
import pathlib
import re
import sys

here = pathlib.Path(__file__).parent
vectors = here.parent / "crates/verack/tests/vectors"
source = (here / "fuzz_targets/decoders.rs").read_text()
commands = re.findall(r'"(\w+)"', source.split("const COMMANDS", 1)[1].split("];", 1)[0])
out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def seed(name, network, command, payload, newest=True):
    versions = {"zcash": [2, 0], "decred": [1 + 2 * n for n in range(4)]}[network]
    for choice in versions:
        data = bytes([choice, commands.index(command)]) + bytes.fromhex(payload)
        (out / f"{name}-{choice}").write_bytes(data)


for n, row in enumerate(json.loads((vectors / "zcash-version.json").read_text())["vectors"]):
    if row["command"] in commands:
        seed(f"zcash-version-{n}", "zcash", row["command"], row["body"])
for n, row in enumerate(json.loads((vectors / "zcash-addr.json").read_text())["vectors"]):
    seed(f"zcash-addr-{n}", "zcash", row["command"], row["payload"])
for n, row in enumerate(json.loads((vectors / "decred-frames.json").read_text())["vectors"]):
    if row["command"] in commands:
        seed(f"decred-{n}", "decred", row["command"], row["payload"])


vectors = here.parent / "crates/ethereum/tests/vectors"
out = pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)


def ethereum(name, choice, which, payload):
    (out / name).write_bytes(bytes([choice, which]) + payload)


hello = json.loads((vectors / "hello.json").read_text())
for n, text in enumerate(re.findall(r"[0-9a-f]{64,}", json.dumps(hello))):
    ethereum(f"hello-{n}", 0, 0, bytes.fromhex(text))
# Status by the forms of the specification, on mainnet.
genesis = bytes.fromhex("a0d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")
best, fork = b"\xa0" + b"\xaa" * 32, bytes.fromhex("c68407c9462e80")
ethereum("status-68", 1, 0, b"\xf8\x4c\x44\x01\x01" + best + genesis + fork)
for which in range(1, 5):
    head = b"\xf8\x4c" + bytes([0x44 + which, 1])
    ethereum(f"status-{68 + which}", 1, which, head + genesis + fork + b"\x01\x02" + best)
# One of each shape that eth messages have, for every message of every version.
shapes = ["c0", "c201c0", "c382010280", "c3010180", "c4018001c0", "c401c0c0c0", "c501c480018001"]
shapes += ["c6018081c1c0c0", "e301e1" + best.hex(), "f5010203" + "90" + "11" * 16, "c3c20102"]
for version in range(5):
    for message in range(18):
        for n, shape in enumerate(shapes):
            payload = bytes.fromhex(shape)
            ethereum(f"eth-{68 + version}-{message}-{n}", 12 * version + 2, message, payload)
for n, body in enumerate(["c104", "04", "c0", "", "c180", "00", "0202c104", "c110"]):
    for which in (0, 1):
        ethereum(f"disconnect-{n}-{which}", 5, which, bytes.fromhex(body))
ethereum("record-0", 6, 0, b"\xc7" + fork)
for n, text in enumerate(["@10.0.0.1:30303?discport=0", "@[::1]:30303", "@node.example:1"]):
    ethereum(f"enode-{n}", 7, 0, b"ab" * 64 + text.encode())
source = (here.parent / "crates/ethereum/src/tables/ethereum.toml").read_text()
for n, chain in enumerate(source.split("[[chain]]")[2:]):
    plain = re.sub(r"(?m)^(boot_nodes|dns_lists|discv5_records) = (\[\n[^\]]*\]|.*)\n", "", "[[chain]]" + chain)
    ethereum(f"table-{n}", 8, 0, plain.encode())
rlpx = json.loads((vectors / "rlpx.json").read_text())
for which, kind in enumerate(["auth", "ack"]):
    for n, row in enumerate(rlpx[kind]):
        ethereum(f"{kind}-{n}", 9, which, bytes.fromhex(row["hex"]))
ack = b"\xf8\x64\xb8\x40" + b"\x11" * 64 + b"\xa0" + b"\x22" * 32 + b"\x04"
auth = b"\xf8\xa7\xb8\x41" + b"\x11" * 65 + b"\xb8\x40" + b"\x22" * 64 + b"\xa0" + b"\x33" * 32 + b"\x04"
ethereum("auth-body", 9, 0, auth)
ethereum("ack-body", 9, 1, ack)
for which in (0, 1, 30, 130):
    ethereum(f"frames-{which}", 10, which, bytes(range(256)))
ethereum("snappy-literal", 11, 0, bytes.fromhex("03081122 33".replace(" ", "")))
ethereum("snappy-copies", 11, 0, bytes.fromhex("800100aafe0100fe0100"))


# Kept inputs, each behind the byte that chooses its decoder.
for crate, folder in [("discv5", sys.argv[3]), ("inproxy", sys.argv[4])]:
    tests = here.parent / "crates" / crate / "tests"
    source = (tests / "common/decoders.rs").read_text()
    kinds = re.findall(r'\("(\w+)", \w+\)', source.split("const DECODERS", 1)[1].split("];", 1)[0])
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for choice, kind in enumerate(kinds):
        for kept in (tests / "corpus" / kind).iterdir():
            (out / f"{kind}-{kept.name}").write_bytes(bytes([choice]) + kept.read_bytes())
