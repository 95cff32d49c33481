"""Turns the test vectors into seeds for the `decoders` target: choice, command, payload."""

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
