package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
)

// A run's parties are told what to do by lines of JSON, one call and one reply
// after the other, so that each may be a process of its own, whose CPU time and
// memory are its own.

// lookupCall is what a party is to do.
type lookupCall struct {
	Do      string  `json:"do"`
	Text    string  `json:"text,omitempty"`
	Streams int     `json:"streams,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Rate    int     `json:"rate,omitempty"`
	Workers int     `json:"workers,omitempty"`
	Count   int     `json:"count,omitempty"`
	Form    string  `json:"form,omitempty"`
}

// lookupReply is what came of it.
type lookupReply struct {
	Error      string  `json:"error,omitempty"`
	Text       string  `json:"text,omitempty"`
	Seconds    float64 `json:"seconds,omitempty"`
	Keys       int64   `json:"keys,omitempty"`
	Bytes      int64   `json:"bytes,omitempty"`
	DeltaBytes int64   `json:"delta_bytes,omitempty"`
	Log2       float64 `json:"log2,omitempty"`
	CPU        float64 `json:"cpu,omitempty"`
	RSS        int64   `json:"rss,omitempty"`
	In         int64   `json:"in,omitempty"`
	Out        int64   `json:"out,omitempty"`
	// Latencies are in milliseconds. Answers are the references of the hits, by
	// the id of who was asked for.
	Latencies []float64           `json:"latencies,omitempty"`
	Answers   map[string][]string `json:"answers,omitempty"`
}

// lookupParty is the coordinator's end of a party.
type lookupParty struct {
	conn io.ReadWriteCloser
	in   *json.Decoder
	out  *json.Encoder
}

// startParty starts a party of a run and opens its node.
func startParty(ctx context.Context, start func(context.Context) (io.ReadWriteCloser, error), dir string, workers int) (*lookupParty, error) {
	conn, err := start(ctx)
	if err != nil {
		return nil, fmt.Errorf("bench: starting a party: %w", err)
	}
	p := &lookupParty{conn, json.NewDecoder(conn), json.NewEncoder(conn)}
	if _, err := p.do(lookupCall{Do: "enter", Text: dir, Workers: workers}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return p, nil
}

// startPair starts owner and asker in directories of their own, and tells the
// asker where the owner serves. What it started has to be closed even after an
// error.
func startPair(ctx context.Context, start func(context.Context) (io.ReadWriteCloser, error), owner, asker string, workers int) (parties [2]*lookupParty, err error) {
	for i, dir := range []string{owner, asker} {
		if parties[i], err = startParty(ctx, start, dir, workers); err != nil {
			return parties, err
		}
	}
	address, err := parties[0].do(lookupCall{Do: "serve"})
	if err != nil {
		return parties, err
	}
	_, err = parties[1].do(lookupCall{Do: "address", Text: address.Text})
	return parties, err
}

// closePair ends what startPair has started, the asker first.
func closePair(parties [2]*lookupParty) (err error) {
	for _, p := range []*lookupParty{parties[1], parties[0]} {
		if p != nil {
			err = errors.Join(err, p.close())
		}
	}
	return err
}

func (p *lookupParty) do(c lookupCall) (lookupReply, error) {
	var r lookupReply
	if err := p.out.Encode(c); err != nil {
		return r, fmt.Errorf("bench: %s: %w", c.Do, err)
	}
	if err := p.in.Decode(&r); err != nil {
		return r, fmt.Errorf("bench: %s: the party ended: %w", c.Do, err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("bench: %s: %s", c.Do, r.Error)
	}
	return r, nil
}

func (p *lookupParty) usage() (lookupReply, error) { return p.do(lookupCall{Do: "usage"}) }

// close lets the party end.
func (p *lookupParty) close() error {
	_, err := p.do(lookupCall{Do: "leave"})
	return errors.Join(err, p.conn.Close())
}

// startLookupParty starts a party in this process.
func startLookupParty(ctx context.Context) (io.ReadWriteCloser, error) {
	fromParty, replies := io.Pipe()
	calls, toParty := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := LookupParty(ctx, calls, replies)
		_ = calls.CloseWithError(err)
		_ = replies.CloseWithError(err)
		done <- err
	}()
	return &localParty{fromParty, toParty, done}, nil
}

type localParty struct {
	io.Reader
	io.WriteCloser
	done chan error
}

func (l *localParty) Close() error { return errors.Join(l.WriteCloser.Close(), <-l.done) }

// LookupParty plays a party of Lookup: it reads calls from in and writes replies
// to out until in ends.
func LookupParty(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := &lookupNode{ctx: ctx}
	defer n.leave()
	calls, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var c lookupCall
		if err := calls.Decode(&c); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("bench: reading a call: %w", err)
		}
		reply, err := n.do(c)
		if err != nil {
			reply.Error = err.Error()
		}
		if err := replies.Encode(reply); err != nil {
			return fmt.Errorf("bench: writing a reply: %w", err)
		}
	}
}

// lookupNode is a party's node and what it holds open.
type lookupNode struct {
	ctx       context.Context
	store     *store.Store
	node      *protocol.Node
	user      *keys.User
	peer      store.Peer
	agreement string
	server    *grpc.Server
	served    chan error
	wire      grpcTransport // counts what the server's sockets carry
	streams   []*protocol.Lookups
	searching searchingNode
}

func (n *lookupNode) do(c lookupCall) (r lookupReply, err error) {
	began := time.Now()
	switch c.Do {
	case "enter":
		err = n.enter(c.Text, c.Workers)
	case "serve":
		r.Text, err = n.serve()
	case "address":
		err = n.store.Update(func(tx *store.Tx) error { return tx.SetPeerAddress(n.peer.Root, c.Text, time.Now()) })
	case "publish":
		err = n.publish(&r, c.Text)
	case "fetch":
		var f *protocol.Fetched
		if f, err = n.node.Fetch(n.ctx, protocol.FetchRequest{Agreement: n.agreement}); err == nil {
			r.Bytes, r.Log2 = f.Received, f.FalsePositiveLog2
		}
	case "open":
		err = n.open(c.Streams)
	case "ask":
		err = n.ask(&r, c.Text)
	case "load":
		err = n.load(&r, c)
	case "index":
		err = n.index(&r, c)
	case "open-searches":
		err = n.searching.open(n, c.Text)
	case "search":
		err = n.searching.search(n.ctx, &r, c)
	case "reveal":
		err = n.searching.reveal(n.ctx, &r)
	case "shut":
		err = n.shut()
	case "usage":
		r.CPU, r.RSS = cpuTime().Seconds(), peakRSS()
		r.In, r.Out = n.wire.Bytes()
	case "leave":
		err = n.leave()
	default:
		err = fmt.Errorf("bench: no call %q", c.Do)
	}
	if r.Seconds == 0 {
		r.Seconds = time.Since(began).Seconds()
	}
	return r, err
}

// enter opens the node in a directory.
func (n *lookupNode) enter(dir string, workers int) error {
	id, err := keys.LoadIdentity(dir, benchPassphrase())
	if err != nil {
		return err
	}
	if n.user, err = keys.LoadUser(filepath.Join(dir, userFile), benchPassphrase()); err != nil {
		return err
	}
	if n.store, err = store.Open(dir); err != nil {
		return err
	}
	all, err := n.store.Agreements()
	if err != nil {
		return err
	}
	n.agreement = all[0].ID
	if n.peer, err = n.store.PeerByRoot(all[0].PeerRoot); err != nil {
		return err
	}
	n.node, err = protocol.NewNode(protocol.Options{Identity: id, Store: n.store, Dir: dir, Workers: workers, MaxLookups: 512, Logger: zerolog.Nop()})
	return err
}

// serve answers the peer, and returns where.
func (n *lookupNode) serve() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	n.server, n.served = n.node.Server(), make(chan error, 1)
	go func() { n.served <- n.server.Serve(countingListener{lis, &n.wire}) }()
	return lis.Addr().String(), nil
}

func (n *lookupNode) publish(r *lookupReply, data string) error {
	src, err := records.Open(data, nil)
	if err != nil {
		return err
	}
	began := time.Now()
	p, err := n.node.Publish(n.ctx, protocol.PublishRequest{Agreement: n.agreement, User: n.user,
		Source: protocol.Source{Compartment: benchCompartment, Records: src}})
	if err != nil {
		return err
	}
	r.Seconds = time.Since(began).Seconds()
	r.Keys, r.Bytes, r.DeltaBytes = p.Keys, p.FilterBytes, p.DeltaBytes
	return nil
}

// open opens streams to the owner.
func (n *lookupNode) open(streams int) error {
	for range streams {
		l, err := n.node.OpenLookups(n.ctx, protocol.LookupRequest{Agreement: n.agreement, User: n.user, Purpose: "measuring", Case: "1"})
		if err != nil {
			return errors.Join(err, n.shut())
		}
		n.streams = append(n.streams, l)
	}
	return nil
}

func (n *lookupNode) shut() (err error) {
	for _, l := range n.streams {
		err = errors.Join(err, l.Close())
	}
	n.streams = nil
	return errors.Join(err, n.searching.shut())
}

// answers collects hits; the same question must get the same answer again.
type answers struct {
	mu sync.Mutex
	of map[string][]string
}

// unsteady stands among the hits of a question that got two answers.
const unsteady = "two answers"

func (a *answers) add(r *protocol.LookupResult) {
	hits := make([]string, 0, len(r.Hits))
	for _, h := range r.Hits {
		hits = append(hits, h.Reference)
		hits = append(hits, h.Flags...)
	}
	slices.Sort(hits)
	hits = slices.Compact(hits)
	a.mu.Lock()
	defer a.mu.Unlock()
	if before, ok := a.of[r.ID]; ok && !slices.Equal(before, hits) {
		hits = []string{unsteady}
	}
	a.of[r.ID] = hits
}

// people reads those to ask for into memory.
func people(path string) ([]*records.Record, error) {
	var all []*records.Record
	err := eachRecord(path, func(r *records.Record) error {
		c := *r
		c.Names, c.Births, c.Documents = slices.Clone(r.Names), slices.Clone(r.Births), slices.Clone(r.Documents)
		all = append(all, &c)
		return nil
	})
	return all, err
}

// ask asks for one person after the other.
func (n *lookupNode) ask(r *lookupReply, path string) error {
	all, err := people(path)
	if err != nil {
		return err
	}
	got := answers{of: map[string][]string{}}
	for _, person := range all {
		began := time.Now()
		res, err := n.streams[0].Lookup(n.ctx, person)
		if err != nil {
			return err
		}
		r.Latencies = append(r.Latencies, milliseconds(time.Since(began)))
		got.add(res)
	}
	r.Answers = got.of
	return nil
}

// load asks from all streams at once for some seconds. With a rate, a question's
// time runs from when it was due, so that a queue shows.
func (n *lookupNode) load(r *lookupReply, c lookupCall) error {
	all, err := people(c.Text)
	if err != nil {
		return err
	}
	got := answers{of: map[string][]string{}}
	var next atomic.Int64
	began := time.Now()
	end := began.Add(time.Duration(c.Seconds * float64(time.Second)))
	latencies := make([][]float64, len(n.streams))
	g, ctx := errgroup.WithContext(n.ctx)
	for i, stream := range n.streams {
		g.Go(func() error {
			for {
				q := next.Add(1) - 1
				due := time.Now()
				if c.Rate > 0 {
					due = began.Add(time.Duration(q) * time.Second / time.Duration(c.Rate))
				}
				if due.After(end) {
					return nil
				}
				if err := sleepUntil(ctx, due); err != nil {
					return err
				}
				res, err := stream.Lookup(ctx, all[q%int64(len(all))])
				if err != nil {
					return err
				}
				latencies[i] = append(latencies[i], milliseconds(time.Since(due)))
				got.add(res)
			}
		})
	}
	err = g.Wait()
	r.Seconds = time.Since(began).Seconds()
	r.Latencies, r.Answers = slices.Concat(latencies...), got.of
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// leave closes what is open. It may be called again.
func (n *lookupNode) leave() error {
	err := n.shut()
	if n.node != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(n.ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, n.node.Close(ctx))
		n.node = nil
	}
	if n.server != nil {
		n.server.Stop()
		<-n.served
		n.server = nil
	}
	if n.store != nil {
		err = errors.Join(err, n.store.Close())
		n.store = nil
	}
	return err
}
