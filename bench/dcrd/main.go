// The peer package that dcrd's newest tagged release uses, measured the same way as ours. Each run
// prints one line of JSON, a listening one first a line with its address.
//
// dcrd remembers the nonces it sent for the whole process, so a client and a server cannot share
// one.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/decred/dcrd/peer/v3"
	"github.com/decred/dcrd/wire"
)

const usage = `usage: bench-dcrd serve -count N                answers N connections, then ends
       bench-dcrd dial  -count N -at-once C ADDR
       bench-dcrd idle  -count N                holds N greeted connections
ADDR is an address on this machine.`

const (
	// runLimit is the longest any run may take.
	runLimit = 120 * time.Second
	// greetLimit is the deadline of each handshake.
	greetLimit = 30 * time.Second
	// settle is how long background work after the last handshake is given before processor time
	// is read, as in the other programs.
	settle = 100 * time.Millisecond
	// rest is how long idle connections rest before memory is read.
	rest = time.Second
)

func main() {
	time.AfterFunc(runLimit, func() { fail(errors.New("not done in time")) })
	if len(os.Args) < 2 {
		fail(errors.New(usage))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	count := flags.Int64("count", 1000, "how many")
	atOnce := flags.Int64("at-once", 1, "how many at once")
	_ = flags.Parse(os.Args[2:])
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(*count)
	case "dial":
		err = dial(*count, *atOnce, flags.Arg(0))
	case "idle":
		err = idle(*count)
	default:
		err = errors.New(usage)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench-dcrd:", err)
	os.Exit(1)
}

// config says the same as every other peer here, with dcrd's own way of writing a user agent.
func config(listeners peer.MessageListeners) *peer.Config {
	return &peer.Config{
		UserAgentName:    "bench",
		UserAgentVersion: "1.0.0",
		Net:              wire.SimNet,
		Services:         wire.SFNodeNetwork,
		IdleTimeout:      120 * time.Second,
		Listeners:        listeners,
	}
}

// meter takes wall time and the processor time of this process.
type meter struct {
	started time.Time
	cpu     time.Duration
}

func startMeter() meter { return meter{time.Now(), cpuTime()} }

func (m meter) report(name string, count, atOnce int64, rss uint64) {
	wall := time.Since(m.started)
	time.Sleep(settle)
	cpu := cpuTime() - m.cpu
	fmt.Printf("{\"name\":%q,\"count\":%d,\"at_once\":%d,\"wall_s\":%.6f,\"cpu_s\":%.6f,\"bytes\":0,\"rss\":%d}\n",
		name, count, atOnce, wall.Seconds(), cpu.Seconds(), rss)
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resident is the resident memory of this process, in bytes.
func resident() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fail(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseUint(strings.Fields(after)[0], 10, 64)
	if err != nil {
		fail(err)
	}
	return kib * 1024
}

// listen answers every connection. It counts a peer on greeted when its verack came, and on left
// when it has gone.
func listen(greeted, left *sync.WaitGroup) (net.Addr, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	cfg := config(peer.MessageListeners{
		OnVerAck: func(*peer.Peer, *wire.MsgVerAck) { greeted.Done() },
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				fail(err)
			}
			go func() {
				p := peer.NewInboundPeer(cfg)
				p.AssociateConnection(conn)
				p.WaitForDisconnect()
				left.Done()
			}()
		}
	}()
	return listener.Addr(), nil
}

func serve(count int64) error {
	var greeted, left sync.WaitGroup
	greeted.Add(int(count))
	left.Add(int(count))
	addr, err := listen(&greeted, &left)
	if err != nil {
		return err
	}
	m := startMeter()
	fmt.Printf("{\"listening\":%q}\n", addr)
	left.Wait()
	greeted.Wait()
	m.report("serve", count, 0, resident())
	return nil
}

func idle(count int64) error {
	var greeted, left sync.WaitGroup
	greeted.Add(int(count))
	left.Add(int(count))
	addr, err := listen(&greeted, &left)
	if err != nil {
		return err
	}
	before, m := resident(), startMeter()
	fmt.Printf("{\"listening\":%q}\n", addr)
	greeted.Wait()
	time.Sleep(rest)
	m.report("idle", count, count, resident()-before)
	return nil
}

// dial dials and leaves so often.
func dial(count, atOnce int64, target string) error {
	addr, err := netip.ParseAddrPort(target)
	if err != nil {
		return err
	}
	if !addr.Addr().IsLoopback() {
		return fmt.Errorf("%v is not on this machine", addr)
	}
	m := startMeter()
	failed := make(chan error, atOnce)
	for task := int64(0); task < atOnce; task++ {
		share := count / atOnce
		if task < count%atOnce {
			share++
		}
		go func() {
			for ; share > 0; share-- {
				if err := dialOne(target); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for task := int64(0); task < atOnce; task++ {
		if err := <-failed; err != nil {
			return err
		}
	}
	m.report("dial", count, atOnce, resident())
	return nil
}

// dialOne dials, greets and leaves. It is done when their verack came and ours went: dcrd's
// outbound side queues its verack and would otherwise leave before it is written.
func dialOne(target string) error {
	came, went := make(chan struct{}), make(chan struct{})
	cfg := config(peer.MessageListeners{
		OnVerAck: func(*peer.Peer, *wire.MsgVerAck) { close(came) },
		OnWrite: func(_ *peer.Peer, _ int, msg wire.Message, err error) {
			if _, verack := msg.(*wire.MsgVerAck); verack && err == nil {
				close(went)
			}
		},
	})
	p, err := peer.NewOutboundPeer(cfg, target)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", target)
	if err != nil {
		return err
	}
	p.AssociateConnection(conn)
	late := time.NewTimer(greetLimit)
	defer late.Stop()
	for _, event := range []chan struct{}{came, went} {
		select {
		case <-event:
		case <-late.C:
			return errors.New("no handshake in time")
		}
	}
	p.Disconnect()
	p.WaitForDisconnect()
	return nil
}
