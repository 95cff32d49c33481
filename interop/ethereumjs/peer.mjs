// A foreign Ethereum peer: @ethereumjs/devp2p with the least around it, telling in lines of JSON
// what it sees. See ../README.md.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

import { Common, Mainnet } from '@ethereumjs/common'
import { DISCONNECT_REASON, DisconnectReasonNames, ETH, Peer, RLPx } from '@ethereumjs/devp2p'
import { RLP } from '@ethereumjs/rlp'
import { bigIntToBytes, bytesToBigInt, bytesToHex, hexToBytes, utf8ToBytes } from '@ethereumjs/util'
import { compress } from 'snappyjs'

const USAGE = `usage: peer.mjs serve CHAIN [--port N] [--key HEX] [--count N] [COMMON]
       peer.mjs dial CHAIN [--no-ping] [COMMON] ENODE

CHAIN    --network-id N --genesis 0xHASH --fork-hash 0xHASH [--fork-next N]
COMMON   --eth 68[,69...]   versions to offer, 64 to 69; without it 68, the newest of the library's own
         --patient          sends its Status only when theirs has come
         --max-peers N      serve: 0 refuses everyone as one too many
         --hold S           how long a greeted peer is kept; without it dial: 1 s, serve: as it likes
         --seconds S        the longest it may take, 60 without it
ENODE    of an address on this machine

Lines: listening, then for each peer hello, peer (Status accepted), pong (to our ping), message,
error, disconnect. exit code: 0 every peer greeted and its pong seen, 1 not so, 2 usage, 124 not done in time.`

function usage(why) {
  console.error(`peer.mjs: ${why}\n\n${USAGE}`)
  process.exit(2)
}

const say = (type, fields) => console.log(JSON.stringify({ type, ...fields }))

// ---- what it is told ---------------------------------------------------------------------------

function readArguments() {
  let parsed
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: Object.fromEntries([
        ...['network-id', 'genesis', 'fork-hash', 'fork-next', 'port', 'key', 'count', 'eth', 'max-peers', 'hold', 'seconds']
          .map((name) => [name, { type: 'string' }]),
        ...['no-ping', 'patient'].map((name) => [name, { type: 'boolean' }]),
      ]),
    })
  } catch (error) {
    usage(error.message)
  }
  const { values, positionals: [command, enode] } = parsed
  const number = (name, otherwise) => {
    if (values[name] === undefined && otherwise === undefined) usage(`--${name} is needed`)
    if (values[name] !== undefined && !/^\d+$/.test(values[name])) usage(`--${name} wants a number`)
    return Number(values[name] ?? otherwise)
  }
  const bytes = (name, length) => {
    const value = (values[name] ?? '').toLowerCase()
    if (!/^0x[0-9a-f]*$/.test(value) || value.length !== 2 + 2 * length) usage(`--${name} wants ${length} bytes of hex`)
    return hexToBytes(value)
  }
  if (command !== 'serve' && command !== 'dial') usage('serve or dial?')
  return {
    command,
    target: command === 'dial' ? readEnode(enode) : null,
    networkId: number('network-id'),
    genesis: bytes('genesis', 32),
    forkHash: bytesToHex(bytes('fork-hash', 4)),
    forkNext: number('fork-next', 0),
    port: number('port', 0),
    key: values.key === undefined ? randomBytes(32) : bytes('key', 32),
    count: number('count', 1),
    maxPeers: number('max-peers', 10),
    hold: values.hold === undefined && command === 'serve' ? null : 1000 * number('hold', 1),
    seconds: number('seconds', 60),
    ping: values['no-ping'] !== true,
    patient: values.patient === true,
    eth: (values.eth ?? '68').split(',').map(Number),
  }
}

function readEnode(text) {
  const found = /^enode:\/\/([0-9a-f]{128})@(127(?:\.\d+){3}):(\d+)(\?|$)/i.exec(text ?? '')
  if (!found) usage('ENODE wants enode://ID@127.0.0.1:PORT')
  return { id: hexToBytes(`0x${found[1].toLowerCase()}`), address: found[2], tcpPort: Number(found[3]) }
}

// ---- the chain and the protocol ----------------------------------------------------------------

// The library wants a hard fork table. The fork hash is given, so two rows are enough: the fork we
// are in and the one that follows.
function common({ networkId, forkHash, forkNext }) {
  const hardforks = [
    { name: 'chainstart', block: 0, forkHash: null },
    { name: 'cancun', block: null, timestamp: '1', forkHash },
    ...(forkNext ? [{ name: 'prague', block: null, timestamp: String(forkNext), forkHash: null }] : []),
  ]
  const chain = { ...Mainnet, name: 'private', chainId: networkId, hardforks, bootstrapNodes: [] }
  return new Common({ chain, hardfork: 'cancun' })
}

// eth/69 is not in the library; its Status has another order, and 0x11 is a message.
// https://eips.ethereum.org/EIPS/eip-7642
class Eth69 extends ETH {
  sendStatus({ genesisHash }) {
    this._status = [
      bigIntToBytes(BigInt(this._version)),
      bigIntToBytes(this._peer.common.chainId()),
      genesisHash,
      [hexToBytes(this._forkHash), this._nextForkBlock ? bigIntToBytes(this._nextForkBlock) : new Uint8Array()],
      new Uint8Array(),
      new Uint8Array(),
      genesisHash,
    ]
    this._send(0x00, compress(RLP.encode(this._status)))
    this._handleStatus()
  }

  _handleStatus() {
    if (this._status === null || this._peerStatus === null) return
    clearTimeout(this._statusTimeoutId)
    const same = (a, b, what) => {
      if (bytesToHex(a) !== bytesToHex(b)) throw new Error(`${what} mismatch`)
    }
    if (this._peerStatus.length < 7) throw new Error('Status is too short')
    same(this._status[0], this._peerStatus[0], 'Protocol version')
    same(this._status[1], this._peerStatus[1], 'NetworkId')
    same(this._status[2], this._peerStatus[2], 'Genesis block')
    this._validateForkId(this._peerStatus[3])
    this.events.emit('status', {})
  }

  _getStatusString() {
    return ''
  }

  _handleMessage(code, data) {
    if (code === 0x11) this.events.emit('message', code, RLP.decode(data))
    else super._handleMessage(code, data)
  }

  static eth69 = { name: 'eth', version: 69, length: 18, constructor: Eth69 }
}

function capabilities(versions) {
  return versions.map((version) => {
    const known = ETH[`eth${version}`] ?? Eth69[`eth${version}`]
    return known && version >= 64 ? known : usage(`no eth/${version}`) // older ones have no fork id
  })
}

// What their Status says, in words of the specification.
function statusFields(status) {
  const number = (bytes) => Number(bytesToBigInt(bytes))
  const hex = bytesToHex
  const forkId = ([hash, next]) => ({ fork_hash: hex(hash), fork_next: number(next) })
  const [version, network, ...rest] = status
  const start = { version: number(version), network: number(network) }
  if (start.version <= 68) {
    const [, best, genesis, fork] = rest
    return { ...start, genesis: hex(genesis), ...forkId(fork), head_hash: hex(best) }
  }
  const [genesis, fork, earliest, latest, head] = rest
  const range = { earliest: number(earliest), latest: number(latest), head_hash: hex(head) }
  return { ...start, genesis: hex(genesis), ...forkId(fork), ...range }
}

// ---- the peer ----------------------------------------------------------------------------------

const told = readArguments()
const lock = JSON.parse(readFileSync(new URL('./package-lock.json', import.meta.url)))
const { version } = lock.packages['node_modules/@ethereumjs/devp2p']
const rlpx = new RLPx(told.key, {
  capabilities: capabilities(told.eth),
  clientId: utf8ToBytes(`ethereumjs-devp2p/v${version}/interop`),
  common: common(told),
  listenPort: null,
  maxPeers: told.maxPeers,
  timeout: 10_000,
})

let content = 0 // peers that did all that is asked of them
let left = 0
let code = null
const late = setTimeout(() => finish(124), 1000 * told.seconds)

// The library keeps a connection open for two seconds after its last words; these are not waited for.
function finish(result) {
  if (code !== null) return
  code = result
  clearTimeout(late)
  if (rlpx._isAlive()) rlpx.destroy()
  setTimeout(() => process.exit(code), told.command === 'dial' ? 300 : 100)
}

const text = (error) => String(error?.message ?? error).slice(0, 200)

function helloFields(peer) {
  const hello = peer.getHelloMessage()
  const eth = peer.getProtocols().find((protocol) => protocol instanceof ETH)
  return {
    agent: hello.clientId,
    protocol_version: hello.protocolVersion,
    caps: hello.capabilities.map(({ name, version }) => `${name}/${version}`),
    negotiated: eth?.getVersion() ?? null,
    id: bytesToHex(hello.id),
  }
}

// The library tells of nobody with whom it shares no capability, nor of how that ends.
const { _handleHello, _onSocketClose } = Peer.prototype
Peer.prototype._handleHello = function (payload) {
  _handleHello.call(this, payload)
  say('hello', helloFields(this))
}
Peer.prototype._onSocketClose = function () {
  _onSocketClose.call(this)
  const code = this._disconnectReason ?? null
  say('disconnect', { code, reason: DisconnectReasonNames[code] ?? null, by_us: this._disconnectWe === true })
  left += 1
  if (told.command === 'dial') finish(content > 0 ? 0 : 1)
  else if (left >= told.count) finish(content >= told.count ? 0 : 1)
}

function onPeer(peer) {
  const fields = helloFields(peer)
  const eth = peer.getProtocols().find((protocol) => protocol instanceof ETH)
  let asked = null
  // The library answers pings, and sends its own without telling of the answer.
  const onPong = peer._handlePong.bind(peer)
  peer._handlePong = () => {
    onPong()
    if (asked === null) return
    say('pong', { rtt_ms: Number((performance.now() - asked).toFixed(3)) })
    asked = null
    done()
  }
  const done = () => {
    content += 1
    if (told.hold !== null) {
      setTimeout(() => {
        peer.disconnect(DISCONNECT_REASON.CLIENT_QUITTING)
        if (told.command === 'dial') finish(0)
      }, told.hold)
    }
  }
  eth.events.on('message', (id) => id !== 0x00 && say('message', { id }))
  eth.events.once('status', () => {
    say('peer', { ...fields, status: statusFields(eth._peerStatus) })
    if (!told.ping) return done()
    asked = performance.now()
    peer._sendPing()
  })
  const sendStatus = () => {
    eth.sendStatus({ td: new Uint8Array(), bestHash: told.genesis, genesisHash: told.genesis })
  }
  if (told.patient) {
    const onStatus = eth._handleStatus.bind(eth)
    // sendStatus comes back here, with both at hand.
    eth._handleStatus = () => (eth._status === null ? sendStatus() : onStatus())
    return
  }
  try {
    sendStatus()
  } catch (error) {
    say('error', { error: text(error) })
    peer.disconnect(DISCONNECT_REASON.SUBPROTOCOL_ERROR)
  }
}

rlpx.events.on('peer:added', onPeer)
rlpx.events.on('peer:error', (_, error) => say('error', { error: text(error) }))
rlpx.events.on('error', (error) => {
  say('error', { error: text(error) })
  finish(1)
})

if (told.command === 'serve') {
  rlpx.events.on('listening', () => {
    const { port } = rlpx._server.address()
    say('listening', { addr: `127.0.0.1:${port}`, enode: `enode://${bytesToHex(rlpx.id).slice(2)}@127.0.0.1:${port}` })
  })
  rlpx.listen(told.port, '127.0.0.1')
} else {
  rlpx.connect(told.target).catch((error) => {
    say('error', { error: text(error) })
    finish(1)
  })
}
process.on('SIGTERM', () => process.exit(143))
