// Watches a peerage daemon: its peers, its events as they come, and the answer of one peer.
//
// It survives what happens to the connection and to the daemon: it comes back with a growing pause,
// takes its subscription up where it was, and begins anew where the daemon is a new one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	v1 "example.org/peerage-watch/peeragev1"
)

const (
	// How long the subscription waits for us.
	lease = time.Minute
	// How long one peer may take to answer.
	answerWithin = 3 * time.Second
	// How long to wait before asking again.
	askEvery = time.Second
	// How long a call that asks nobody else may take.
	patience = 10 * time.Second
	// The pauses before coming back: the first, doubled each time, and the longest.
	firstPause, longestPause = 250 * time.Millisecond, 5 * time.Second
)

type options struct {
	place, token, network, agent, ask string
	events, restarts, resumes         int
}

// watch is what is known of the daemon, over all connections to it.
type watch struct {
	options
	pause             time.Duration
	restarts, resumes int
	startedMs         uint64
	askedAt           time.Time
	// Of one daemon: the subscription, the last item taken care of, and what was seen.
	token    string
	last     uint64
	events   int
	answered bool
}

func (w *watch) done() bool {
	wanted := w.options
	return wanted.events > 0 && w.events >= wanted.events && w.answered &&
		w.restarts >= wanted.restarts && w.resumes >= wanted.resumes
}

// final tells whether a daemon that is there said no, and will say so again.
func final(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented:
		return true
	}
	var broken unannounced
	return errors.As(err, &broken)
}

// unannounced is a gap in the numbers that the stream said nothing of.
type unannounced struct{ after, came uint64 }

func (u unannounced) Error() string {
	return fmt.Sprintf("item %d came after %d, and nothing was said of those between", u.came, u.after)
}

func (w *watch) run(ctx context.Context) error {
	for {
		err := w.visit(ctx)
		if err == nil || final(err) {
			return err
		}
		fmt.Printf("lost: %v; again in %v\n", status.Convert(err).Message(), w.pause)
		time.Sleep(w.pause)
		w.pause = min(2*w.pause, longestPause)
	}
}

// visit is one connection, until there is nothing more to see.
func (w *watch) visit(ctx context.Context) error {
	channel, err := grpc.NewClient(w.place,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// Never through a proxy of the environment.
		grpc.WithNoProxy(),
		// A machine that is gone says nothing: ask it.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32<<20)))
	if err != nil {
		return err
	}
	defer channel.Close()
	// The stream ends with the visit.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.options.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+w.options.token)
	}
	daemon := v1.NewDaemonClient(channel)
	if err := w.greet(ctx, daemon); err != nil {
		return err
	}
	stream, err := w.subscribe(ctx, daemon)
	if err != nil {
		return err
	}
	// Until now it has cost the daemon something.
	w.pause = firstPause
	for {
		if err := w.askOnce(ctx, daemon); err != nil {
			return err
		}
		if w.done() {
			break
		}
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Unavailable, "the stream has ended")
		}
		if err != nil {
			return err
		}
		if err := w.take(item); err != nil {
			return err
		}
	}
	soon, cancelSoon := context.WithTimeout(ctx, patience)
	defer cancelSoon()
	_, err = daemon.Unsubscribe(soon, &v1.UnsubscribeRequest{Token: w.token})
	return err
}

// greet asks who it is, and whom it has.
func (w *watch) greet(ctx context.Context, daemon v1.DaemonClient) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	info, err := daemon.Info(ctx, &v1.InfoRequest{})
	if err != nil || info.StartedMs == w.startedMs {
		return err
	}
	if w.startedMs != 0 {
		fmt.Println("a new daemon: the lease went with the old one")
		w.restarts++
		w.token, w.last, w.events, w.answered = "", 0, 0, false
	}
	w.startedMs = info.StartedMs
	for _, node := range info.Nodes {
		fmt.Printf("node %s %s of peerage %s at %s\n", node.Realm.GetNetwork(), node.Realm.GetChain(),
			info.Version, strings.Join(node.Addresses, " "))
	}
	peers, err := daemon.ListPeers(ctx, &v1.ListPeersRequest{Limit: 10})
	if err != nil {
		return err
	}
	for _, peer := range peers.Peers {
		fmt.Printf("peer %s %d %s %s %s\n", peer.Peer.GetRealm().GetNetwork(), peer.Peer.GetSession(),
			peer.Address, peer.Agent, peer.Speaks)
	}
	more := ""
	if peers.More {
		more = " and more"
	}
	fmt.Printf("peers: %d%s\n", len(peers.Peers), more)
	return nil
}

// subscribe asks for all events: by the subscription that we have, if the daemon still has it.
func (w *watch) subscribe(ctx context.Context, daemon v1.DaemonClient) (grpc.ServerStreamingClient[v1.Item], error) {
	if w.token != "" {
		stream, opened, err := open(ctx, daemon, &v1.SubscribeRequest{Resume: w.token, After: w.last})
		if err == nil {
			fmt.Printf("lease taken up after item %d, the next is %d\n", w.last, opened.GetNext())
			w.resumes++
			return stream, nil
		}
		if status.Code(err) != codes.NotFound {
			return nil, err
		}
		fmt.Println("the lease has run out: items are lost")
		w.last = 0
	}
	stream, opened, err := open(ctx, daemon, &v1.SubscribeRequest{
		Events:  &v1.EventFilter{},
		Policy:  v1.Policy_POLICY_DROP_OLDEST,
		LeaseMs: uint32(lease.Milliseconds()),
	})
	if err != nil {
		return nil, err
	}
	w.token = opened.GetToken()
	fmt.Printf("subscribed, with a lease of %d ms\n", opened.GetLeaseMs())
	return stream, nil
}

// open begins a stream, and reads the item that every stream begins with.
func open(ctx context.Context, daemon v1.DaemonClient, request *v1.SubscribeRequest) (grpc.ServerStreamingClient[v1.Item], *v1.Opened, error) {
	stream, err := daemon.Subscribe(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, nil, err
	}
	return stream, first.GetOpened(), nil
}

func (w *watch) take(item *v1.Item) error {
	if lagged := item.GetLagged(); lagged != nil {
		fmt.Printf("missed %d items\n", lagged.Messages)
		w.last = lagged.Next - 1
		return nil
	}
	if item.Seq != w.last+1 {
		return unannounced{after: w.last, came: item.Seq}
	}
	w.last = item.Seq
	if event := item.GetEvent(); event != nil {
		w.events++
		fmt.Printf("event %d %s %s\n", item.Seq, event.Realm.GetNetwork(), told(event))
	}
	return nil
}

// told is what happened, in words.
func told(event *v1.Event) string {
	switch of := event.Of.(type) {
	case *v1.Event_Established:
		return fmt.Sprint("established ", of.Established.Address, " ", of.Established.Agent, " ", of.Established.Speaks)
	case *v1.Event_Closed:
		return fmt.Sprint("closed ", of.Closed.Address, " ", of.Closed.Reason.GetWords())
	case *v1.Event_Failed:
		return fmt.Sprint("failed ", of.Failed.Address, " ", of.Failed.Reason.GetWords())
	case *v1.Event_Misbehaved:
		return fmt.Sprint("misbehaved ", of.Misbehaved.Misdeed)
	case *v1.Event_Incompatible:
		return fmt.Sprint("incompatible ", of.Incompatible.Reason.GetWords())
	case *v1.Event_AlreadyConnected:
		return fmt.Sprint("already connected, session ", of.AlreadyConnected.Dropped, " goes")
	case *v1.Event_Stalled:
		return fmt.Sprint("stalled for ", of.Stalled.LostMs, " ms")
	case *v1.Event_Found:
		return fmt.Sprint("found ", of.Found.Gave, " by ", of.Found.Finder)
	case *v1.Event_Dialling:
		return fmt.Sprint("dialling ", of.Dialling.Address, " ", of.Dialling.Why)
	case *v1.Event_LateAnswer:
		return fmt.Sprint("late answer by ", of.LateAnswer.LateUs, " us")
	case *v1.Event_GivenUp:
		return fmt.Sprint("given up ", of.GivenUp.Request)
	}
	return "something newer than this program"
}

// askOnce asks the best of those peers, unless one has answered; another time if there is none.
func (w *watch) askOnce(ctx context.Context, daemon v1.DaemonClient) error {
	if w.answered || time.Since(w.askedAt) < askEvery {
		return nil
	}
	w.askedAt = time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := daemon.Request(ctx, &v1.RequestRequest{
		To: &v1.RequestRequest_Best{Best: &v1.Selector{
			Realm: &v1.Realm{Network: w.network},
			Agent: w.agent,
		}},
		Message:   &v1.Payload{Name: w.ask},
		TimeoutMs: uint32(answerWithin.Milliseconds()),
	})
	if err != nil {
		if status.Code(err) == codes.Unavailable || final(err) {
			return err
		}
		fmt.Printf("no answer: %v\n", status.Convert(err).Message())
		return nil
	}
	w.answered = true
	fmt.Printf("answer %s: %d bytes of %s in %d us\n", answer.Message.GetName(),
		len(answer.Message.GetBody()), answer.Peer.GetKey(), answer.TookUs)
	return nil
}

func main() {
	var wanted options
	var tokenFile string
	flag.StringVar(&tokenFile, "token-file", "", "the file with the token, for ip:port")
	flag.StringVar(&wanted.network, "network", "zcash", "whose peer to ask")
	flag.StringVar(&wanted.agent, "agent", "", "ask only peers whose software has this in its name")
	flag.StringVar(&wanted.ask, "ask", "getaddr", "what to ask")
	flag.IntVar(&wanted.events, "events", 0, "end after so many events and an answer; else never")
	flag.IntVar(&wanted.restarts, "restarts", 0, "but not before so many daemons have gone; events and answers are the last one's")
	flag.IntVar(&wanted.resumes, "resumes", 0, "nor before the lease was taken up so often")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: watch [FLAGS] unix:/path/to/socket|ip:port")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	wanted.place = flag.Arg(0)
	if tokenFile != "" {
		text, err := os.ReadFile(tokenFile)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		wanted.token = strings.TrimSpace(string(text))
	}
	w := watch{options: wanted, pause: firstPause}
	if err := w.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Printf("done: %d events, %d resumed, %d restarts\n", w.events, w.resumes, w.restarts)
}
