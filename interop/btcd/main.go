// btcd-peer: the peer package of btcd, a Bitcoin node in Go, speaking on a Zcash chain.
//
// The version/verack dialogue of Zcash is Bitcoin's with another magic, so this is an independent
// implementation of both ends of it: what differs in Zcash are the messages that follow.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/peer"
	"github.com/btcsuite/btcd/wire/v2"
)

const usage = `usage: btcd-peer serve [flags]        greets one inbound peer and answers its pings
       btcd-peer dial [flags] ADDR    dials a peer, greets it and pings it

With -ping it pings again and again until the peer leaves, and serves whoever comes next.

Prints JSON lines: listening, peer, pong.`

// Zcash's magics, in the order in which their bytes stand on the wire.
var magics = map[string]wire.BitcoinNet{
	"mainnet": 0x6427e924,
	"testnet": 0xbff91afa,
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "btcd-peer:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 2 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	chain := flags.String("chain", "testnet", "mainnet or testnet")
	version := flags.Uint("version", 170190, "protocol version to speak")
	timeout := flags.Duration("timeout", 10*time.Second, "for everything together")
	listen := flags.String("listen", "127.0.0.1:0", "where to serve")
	every := flags.Duration("ping", 0, "ping again and again after so long; 0 for a dialler's one ping")
	hold := flags.Duration("hold", time.Second, "how long a dialler stays after its pong")
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	magic, ok := magics[*chain]
	if !ok {
		return fmt.Errorf("no chain %q", *chain)
	}
	deadline := time.Now().Add(*timeout)
	conversation := newConversation(magic, uint32(*version))
	conversation.hold, conversation.every, conversation.listen = *hold, *every, *listen
	switch os.Args[1] {
	case "serve":
		return conversation.serve(deadline)
	case "dial":
		if flags.NArg() != 1 {
			return errors.New(usage)
		}
		return conversation.dial(flags.Arg(0), deadline)
	}
	return errors.New(usage)
}

// A conversation is one handshake and one ping.
type conversation struct {
	config  peer.Config
	greeted chan struct{}
	pong    chan time.Duration
	sent    time.Time
	hold    time.Duration
	every   time.Duration
	listen  string
}

func newConversation(magic wire.BitcoinNet, version uint32) *conversation {
	params := chaincfg.RegressionNetParams
	params.Net = magic
	c := &conversation{greeted: make(chan struct{}), pong: make(chan time.Duration, 1)}
	c.config = peer.Config{
		ChainParams:      &params,
		ProtocolVersion:  version,
		UserAgentName:    "btcd-peer",
		UserAgentVersion: "1.0.0",
		Services:         wire.SFNodeNetwork,
		Listeners: peer.MessageListeners{
			OnVerAck: func(*peer.Peer, *wire.MsgVerAck) { close(c.greeted) },
			OnPong: func(_ *peer.Peer, pong *wire.MsgPong) {
				if pong.Nonce == nonce {
					c.pong <- time.Since(c.sent)
				}
			},
		},
	}
	return c
}

const nonce = 0x706565726167652e

func (c *conversation) serve(deadline time.Time) error {
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	say("listening", map[string]any{"addr": listener.Addr().String()})
	if err := listener.(*net.TCPListener).SetDeadline(deadline); err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		err = c.converse(peer.NewInboundPeer(&c.config), conn, deadline)
		if err != nil || c.every == 0 {
			return err
		}
		// Whoever is kept may leave and come back.
		next := newConversation(c.config.ChainParams.Net, c.config.ProtocolVersion)
		next.hold, next.every, next.listen = c.hold, c.every, c.listen
		c = next
	}
}

func (c *conversation) dial(addr string, deadline time.Time) error {
	remote, err := peer.NewOutboundPeer(&c.config, addr)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("tcp", addr, time.Until(deadline))
	if err != nil {
		return err
	}
	return c.converse(remote, conn, deadline)
}

func (c *conversation) converse(remote *peer.Peer, conn net.Conn, deadline time.Time) error {
	remote.AssociateConnection(conn)
	defer remote.Disconnect()
	gone := make(chan struct{})
	go func() { remote.WaitForDisconnect(); close(gone) }()
	late := time.After(time.Until(deadline))
	select {
	case <-c.greeted:
	case <-gone:
		return errors.New("the peer left before the handshake was over")
	case <-late:
		return errors.New("no handshake in time")
	}
	say("peer", map[string]any{
		"agent":            remote.UserAgent(),
		"protocol_version": remote.ProtocolVersion(),
		"services":         fmt.Sprintf("%#x", uint64(remote.Services())),
		"height":           remote.StartingHeight(),
		"inbound":          remote.Inbound(),
	})
	if c.every > 0 {
		return c.keep(remote, gone, late)
	}
	if remote.Inbound() {
		// A peer that dialled us measures a round trip of its own, and leaves when it likes.
		select {
		case <-gone:
			return nil
		case <-late:
			return errors.New("the peer did not leave in time")
		}
	}
	c.sent = time.Now()
	remote.QueueMessage(wire.NewMsgPing(nonce), nil)
	select {
	case rtt := <-c.pong:
		say("pong", map[string]any{"rtt_ms": float64(rtt.Microseconds()) / 1000})
	case <-gone:
		return errors.New("the peer left instead of answering a ping")
	case <-late:
		return errors.New("no pong in time")
	}
	// Stays a little, so that the peer can measure its own round trip.
	select {
	case <-gone:
	case <-time.After(c.hold):
	}
	return nil
}

// keep pings until the peer leaves; a ping without a pong is an error.
func (c *conversation) keep(remote *peer.Peer, gone <-chan struct{}, late <-chan time.Time) error {
	for {
		c.sent = time.Now()
		remote.QueueMessage(wire.NewMsgPing(nonce), nil)
		next := time.After(c.every)
		select {
		case rtt := <-c.pong:
			say("pong", map[string]any{"rtt_ms": float64(rtt.Microseconds()) / 1000})
		case <-gone:
			return nil
		case <-late:
			return errors.New("no pong in time")
		}
		select {
		case <-next:
		case <-gone:
			return nil
		case <-late:
			return nil
		}
	}
}

func say(kind string, fields map[string]any) {
	fields["type"] = kind
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}
