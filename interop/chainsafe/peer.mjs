// A discovery node around @chainsafe/discv5, for interop/run.
//
//   peer.mjs serve [--ip ADDR] [--key HEX] [--port N] [--boot ENR]... [--for SECONDS]
//   peer.mjs ask ENR [--ip ADDR] [--times N] [--payload TEXT] [--again]
//
// The same words and lines as interop/discv5: see the top of its source.

import { createSocket } from "node:dgram";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { Discv5 } from "@chainsafe/discv5";
import { ENR, SignableENR } from "@chainsafe/enr";
import { privateKeyFromRaw } from "@libp2p/crypto/keys";
import { multiaddr } from "@multiformats/multiaddr";

const say = (type, body = {}) => console.log(JSON.stringify({ ...body, type }));

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    ip: { type: "string", default: "127.0.0.1" },
    key: { type: "string" },
    port: { type: "string", default: "0" },
    boot: { type: "string", multiple: true, default: [] },
    for: { type: "string", default: "100" },
    times: { type: "string", default: "1" },
    payload: { type: "string", default: "hello" },
    again: { type: "boolean", default: false },
  },
});

// A port that was free a moment ago: the record has to name it before the socket is bound.
function freePort() {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", reject);
    socket.bind(0, values.ip, () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

async function start() {
  const secret = values.key ? Buffer.from(values.key, "hex") : randomBytes(32);
  const privateKey = privateKeyFromRaw(secret);
  const port = Number(values.port) || (await freePort());
  const enr = SignableENR.createFromPrivateKey(privateKey);
  enr.ip = values.ip;
  enr.udp = port;
  const node = Discv5.create({
    enr,
    privateKey,
    bindAddrs: { ip4: multiaddr(`/ip4/${values.ip}/udp/${port}`) },
    config: { requestTimeout: 2000, enrUpdate: false },
  });
  await node.start();
  for (const boot of values.boot) node.addEnr(boot);
  return node;
}

async function serve() {
  const node = await start();
  node.on("talkReqReceived", (from, enr, message) => {
    const protocol = Buffer.from(message.protocol).toString();
    say("talk", { from: from.nodeId, protocol });
    const payload = protocol === "echo" ? message.request : Buffer.alloc(0);
    node.sendTalkResp(from, message.id, Buffer.from(payload)).catch(() => {});
  });
  node.sessionService.on("established", (address, enr) => say("session", { node_id: enr.nodeId }));
  say("serving", { enr: node.enr.encodeTxt(), node_id: node.enr.nodeId });
  if (values.boot.length > 0) {
    const look = () => node.findRandomNode().catch(() => {});
    setInterval(look, 2000);
    look();
  }
  setTimeout(() => process.exit(0), Number(values.for) * 1000);
}

async function askOnce(node, to) {
  const began = performance.now();
  const pings = Array.from({ length: Number(values.times) }, () => node.sendPing(to));
  const pongs = await Promise.all(pings);
  const { addr } = pongs[0];
  const observed = `${[...addr.ip.octets].join(".")}:${addr.port}`;
  say("pong", { count: pongs.length, observed, rtt_ms: performance.now() - began });
  const found = await node.sendFindNode(to, [0]);
  say("nodes", { enrs: found.map((enr) => enr.encodeTxt()) });
  const said = await node.sendTalkReq(to, Buffer.from(values.payload), "echo");
  say("talk", { payload: Buffer.from(said).toString() });
}

async function ask(text) {
  const node = await start();
  const to = ENR.decodeTxt(text);
  await askOnce(node, to);
  if (values.again) {
    const lines = createInterface({ input: process.stdin });
    await new Promise((resolve) => lines.once("line", resolve).once("close", resolve));
    await askOnce(node, to);
  }
  say("done");
  process.exit(0);
}

const failed = (error) => {
  say("error", { error: String(error?.stack ?? error) });
  process.exit(1);
};
process.on("unhandledRejection", failed);
process.on("uncaughtException", failed);
const [command, whom] = positionals;
if (command === "serve") await serve();
else if (command === "ask" && whom) await ask(whom);
else failed("usage: peer.mjs serve|ask …, see the top of this file");
