// geth's RLPx transport, measured the same way as ours. Each run prints one line of JSON.
//
// Everything happens in this process, in memory unless told otherwise. Frames are sealed into a
// buffer and opened from it by one goroutine, so that nothing but the frame layer is measured.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/rlpx"
)

const usage = `usage: bench-geth handshake -count N -at-once C [-over pipe|tcp]   both ends: auth, ack, secrets
       bench-geth frames -size B [-data random|half] [-snappy] [-total BYTES]
       bench-geth idle -count N       holds N connections after the key exchange, one goroutine each
A message of B bytes goes one way so often that TOTAL is reached. In half, every other 32 bytes are
zero, so that snappy has something to do.`

const (
	// runLimit is the longest any run may take.
	runLimit = 120 * time.Second
	// rest is how long idle connections are left alone before memory is read, as in the other
	// programs.
	rest = time.Second
	// settle is how long background work is given before processor time is read, as in the other
	// programs.
	settle = 100 * time.Millisecond
	// batchLen is how many bytes of messages are sealed before they are opened.
	batchLen = 4 << 20
	// code is the message id of every frame: of one byte, as all of eth's are.
	code = 0x12
)

func main() {
	time.AfterFunc(runLimit, func() { fail(errors.New("not done in time")) })
	if len(os.Args) < 2 {
		fail(errors.New(usage))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	count := flags.Int("count", 1000, "how many")
	atOnce := flags.Int("at-once", 1, "how many at once")
	over := flags.String("over", "pipe", "pipe or tcp")
	size := flags.Int("size", 1024, "bytes of a message")
	total := flags.Int("total", 256<<20, "bytes of all messages")
	data := flags.String("data", "random", "random or half")
	snappy := flags.Bool("snappy", false, "compress")
	_ = flags.Parse(os.Args[2:])
	if *count < 1 || *atOnce < 1 || *size < 1 || *size > 8<<20 || *total < *size {
		fail(errors.New(usage))
	}
	var err error
	switch os.Args[1] {
	case "handshake":
		err = handshakes(*count, *atOnce, *over)
	case "frames":
		err = frames(*size, *total, *data, *snappy)
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
	fmt.Fprintln(os.Stderr, "bench-geth:", err)
	os.Exit(1)
}

// ---- measuring ---------------------------------------------------------------------------------

// meter adds up wall time and the processor time of this process.
type meter struct {
	wall, cpu time.Duration
	started   time.Time
	before    time.Duration
}

func (m *meter) start() { m.started, m.before = time.Now(), cpuTime() }

func (m *meter) stop() {
	m.cpu += cpuTime() - m.before
	m.wall += time.Since(m.started)
}

func (m *meter) report(name string, count, atOnce int, rss uint64) {
	fmt.Printf("{\"name\":%q,\"count\":%d,\"at_once\":%d,\"wall_s\":%.6f,\"cpu_s\":%.6f,\"bytes\":0,\"rss\":%d}\n",
		name, count, atOnce, m.wall.Seconds(), m.cpu.Seconds(), rss)
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

// ---- handshakes --------------------------------------------------------------------------------

// keys are the two nodes' own; the ephemeral ones are geth's business, fresh for each handshake.
type keys struct{ ours, theirs *ecdsa.PrivateKey }

func newKeys() (keys, error) {
	ours, err := crypto.GenerateKey()
	if err != nil {
		return keys{}, err
	}
	theirs, err := crypto.GenerateKey()
	return keys{ours, theirs}, err
}

// greet runs both ends of a handshake and checks that each learnt who the other is.
func (k keys) greet(near, far net.Conn) (initiator, recipient *rlpx.Conn, err error) {
	initiator = rlpx.NewConn(near, &k.theirs.PublicKey)
	recipient = rlpx.NewConn(far, nil)
	answered := make(chan error, 1)
	go func() {
		who, err := recipient.Handshake(k.theirs)
		if err == nil && !who.Equal(&k.ours.PublicKey) {
			err = errors.New("a stranger")
		}
		answered <- err
	}()
	_, err = initiator.Handshake(k.ours)
	if err != nil {
		near.Close()
	}
	return initiator, recipient, errors.Join(err, <-answered)
}

// ends makes the two ends of a connection.
type ends func() (near, far net.Conn, err error)

func pipe() (net.Conn, net.Conn, error) {
	near, far := net.Pipe()
	return near, far, nil
}

func overTCP() (near, far net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	far, err = listener.Accept()
	return near, far, err
}

func handshakes(count, atOnce int, over string) error {
	connect, known := map[string]ends{"pipe": pipe, "tcp": overTCP}[over]
	if !known {
		return errors.New(usage)
	}
	// A tenth goes unmeasured first.
	if err := handshake(max(count/10, 1), atOnce, connect); err != nil {
		return err
	}
	var m meter
	m.start()
	began := time.Now()
	if err := handshake(count, atOnce, connect); err != nil {
		return err
	}
	wall := time.Since(began)
	time.Sleep(settle)
	m.stop()
	m.wall = wall
	m.report("handshake", count, atOnce, resident())
	return nil
}

func handshake(count, atOnce int, connect ends) error {
	both, err := newKeys()
	if err != nil {
		return err
	}
	done := make(chan error, atOnce)
	for task := range atOnce {
		share := count / atOnce
		if task < count%atOnce {
			share++
		}
		go func() {
			var err error
			for ; share > 0 && err == nil; share-- {
				var near, far net.Conn
				if near, far, err = connect(); err == nil {
					_, _, err = both.greet(near, far)
					near.Close()
					far.Close()
				}
			}
			done <- err
		}()
	}
	for range atOnce {
		err = errors.Join(err, <-done)
	}
	return err
}

// ---- frames ------------------------------------------------------------------------------------

// wire is a connection until the handshake is done, a buffer after it.
type wire struct {
	net.Conn
	buffer *bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error)  { return w.stream().Read(p) }
func (w *wire) Write(p []byte) (int, error) { return w.stream().Write(p) }

func (w *wire) stream() io.ReadWriter {
	if w.buffer != nil {
		return w.buffer
	}
	return w.Conn
}

// payload is the same in every measuring program: xorshift64, from 1, eight bytes at a time, little
// endian.
func payload(size int, data string) ([]byte, error) {
	if data != "random" && data != "half" {
		return nil, errors.New(usage)
	}
	bytes := make([]byte, size+8)
	state := uint64(1)
	for at := 0; at < size; at += 8 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		if data == "random" || at/32%2 == 0 {
			binary.LittleEndian.PutUint64(bytes[at:], state)
		}
	}
	return bytes[:size], nil
}

// frames seals and opens in turn, and measures both.
func frames(size, total int, data string, snappy bool) error {
	message, err := payload(size, data)
	if err != nil {
		return err
	}
	both, err := newKeys()
	if err != nil {
		return err
	}
	near, far, _ := pipe()
	from, to := &wire{Conn: near}, &wire{Conn: far}
	sender, receiver, err := both.greet(from, to)
	if err != nil {
		return err
	}
	sender.SetSnappy(snappy)
	receiver.SetSnappy(snappy)
	var buffer bytes.Buffer
	from.buffer, to.buffer = &buffer, &buffer

	var sealing, opening meter
	batch := max(batchLen/size, 1)
	count := (total + size - 1) / size
	bytesOnWire := 0
	// One batch goes unmeasured first.
	for left := count + batch; left > 0; left -= batch {
		if left <= count && left+batch > count {
			sealing, opening, bytesOnWire = meter{}, meter{}, 0
		}
		these := min(batch, left)
		sealing.start()
		for range these {
			if _, err := sender.Write(code, message); err != nil {
				return err
			}
		}
		sealing.stop()
		bytesOnWire += buffer.Len()
		opening.start()
		for range these {
			got, opened, _, err := receiver.Read()
			if err != nil {
				return err
			}
			if got != code || len(opened) != size || opened[size-1] != message[size-1] {
				return errors.New("what was opened is not what was sealed")
			}
		}
		opening.stop()
	}
	fmt.Printf("{\"name\":\"frames\",\"count\":%d,\"at_once\":1,\"wall_s\":%.6f,\"seal_s\":%.6f,\"open_s\":%.6f,\"bytes\":%d,\"wire\":%d,\"rss\":%d}\n",
		count, (sealing.wall + opening.wall).Seconds(), sealing.cpu.Seconds(), opening.cpu.Seconds(), count*size, bytesOnWire, resident())
	return nil
}

// ---- idle connections --------------------------------------------------------------------------

// holder is the key of whoever holds connections, so that others can dial it: no secret.
var holder = bytes.Repeat([]byte{0x22}, 32)

// idle answers so many key exchanges, lets one goroutine wait for a message on each connection, and
// tells by how much resident memory grew. Neither Hello nor Status is awaited, and nothing of geth
// above its transport is held.
func idle(count int) error {
	key, err := crypto.ToECDSA(holder)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// What is garbage counts neither before nor after.
	debug.FreeOSMemory()
	before := resident()
	var m meter
	m.start()
	fmt.Printf("{\"listening\":%q}\n", listener.Addr())
	greeted := make(chan error, count)
	for range count {
		io, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			conn := rlpx.NewConn(io, nil)
			_, err := conn.Handshake(key)
			greeted <- err
			if err == nil {
				_, _, _, _ = conn.Read()
			}
		}()
	}
	for range count {
		if err := <-greeted; err != nil {
			return err
		}
	}
	time.Sleep(rest)
	debug.FreeOSMemory()
	grown := resident() - before
	m.stop()
	m.report("idle", count, count, grown)
	return nil
}
