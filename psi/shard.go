package psi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"

	"github.com/symbolon/symbolon/internal/binomial"
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/oracle"
)

// Sharding cuts a run into shards by a keyed hash of the items: each shard is a
// run of its own over part of both sets, so that memory is bounded by the shard
// and a session resumes after the last one that finished. Both parties compute
// the same Sharding from the Params of the whole.
type Sharding struct {
	// Shards is the number of shards.
	Shards int
	// SenderItems and ReceiverItems are the sizes of each shard after padding:
	// with n items in all, no shard exceeds them but with probability 2^-λ.
	SenderItems, ReceiverItems int
}

// NewSharding returns how a run over p is cut into shards of about target
// items of the larger set each; 0 means a single shard. One shard is not
// padded.
func NewSharding(p *Params, target int) (Sharding, error) {
	if err := p.Validate(); err != nil {
		return Sharding{}, err
	}
	if target < 0 || target > MaxItems {
		return Sharding{}, fmt.Errorf("psi: shards of %d items are outside [0, %d]", target, MaxItems)
	}
	larger := max(p.SenderItems, p.ReceiverItems)
	s := Sharding{Shards: 1}
	if target > 0 {
		s.Shards = max(1, (larger+target-1)/target)
	}
	level := StatisticalSecurity + math.Log2(float64(s.Shards))
	s.SenderItems = binomial.Capacity(p.SenderItems, s.Shards, level)
	s.ReceiverItems = binomial.Capacity(p.ReceiverItems, s.Shards, level)
	return s, nil
}

// Params returns the parameters of one shard's run, of which p are the whole's.
func (s Sharding) Params(p Params, shard int) Params {
	p.Shard = uint32(shard)
	p.SenderItems, p.ReceiverItems = s.SenderItems, s.ReceiverItems
	return p
}

// Tags returns the number of tags that all shards have together.
func (s Sharding) Tags() int { return s.Shards * s.SenderItems }

// ShardOptions are what a party of a sharded run may choose beside Options.
type ShardOptions struct {
	// First is the first shard to run: those before it are finished.
	First int
	// Rand yields the randomness of a shard, in place of Options.Rand. Every
	// attempt at a shard needs its own: a Stream of seed, shard and attempt.
	Rand func(shard int) io.Reader
	// Finished, if set, hears of each shard that is done, in order.
	Finished func(shard int)
}

// Cut assigns a party's items to shards.
type Cut struct {
	sharding Sharding
	items    []Item
	// order holds the items' indices by shard, starts where each begins.
	order, starts []uint32
}

// NewCut cuts items by a hash under the session of p.
func NewCut(s Sharding, p *Params, items []Item) *Cut {
	c := &Cut{sharding: s, items: items}
	if s.Shards == 1 {
		return c
	}
	// The key keeps a peer that chose some of our items from filling a shard.
	h := oracle.NewBatch("symbolon/v1/shard", p.Session[:])
	shards := make([]uint32, len(items))
	const batch = 256
	var x, a, b [batch]field.Element
	c.starts = make([]uint32, s.Shards+1)
	for lo := 0; lo < len(items); lo += batch {
		n := min(batch, len(items)-lo)
		for i := range n {
			x[i] = field.FromBytes(items[lo+i])
		}
		h.Hash1(a[:n], b[:n], x[:n])
		for i := range n {
			shard := uint32(a[i].Lo >> 32 * uint64(s.Shards) >> 32)
			shards[lo+i] = shard
			c.starts[shard+1]++
		}
	}
	for i := range s.Shards {
		c.starts[i+1] += c.starts[i]
	}
	next := append([]uint32(nil), c.starts...)
	c.order = make([]uint32, len(items))
	for i, shard := range shards {
		c.order[next[shard]] = uint32(i)
		next[shard]++
	}
	return c
}

// Shard returns the items of a shard, padded to size with random ones, and the
// index of the item at each place that is not padding; nil, for each its own,
// where there is one shard.
func (c *Cut) Shard(i, size int, rand io.Reader) ([]Item, []uint32, error) {
	if c.order == nil {
		return c.items, nil, nil
	}
	order := c.order[c.starts[i]:c.starts[i+1]]
	if len(order) > size {
		return nil, nil, fmt.Errorf("psi: shard %d has %d items, room for %d", i, len(order), size)
	}
	items := make([]Item, size)
	for j, o := range order {
		items[j] = c.items[o]
	}
	for j := len(order); j < size; j++ {
		if _, err := io.ReadFull(rand, items[j][:]); err != nil {
			return nil, nil, fmt.Errorf("psi: reading randomness: %w", err)
		}
	}
	return items, order, nil
}

// sharded is a party that runs the shards one after the other. Each party goes
// on to the next shard as soon as it is done with one, so a sender prepares the
// next while the receiver still compares.
type sharded[P Party] struct {
	p       Params
	o       Options
	so      ShardOptions
	cut     *Cut
	size    int
	shard   int
	party   P
	order   []uint32
	running bool
	err     error
	start   func(p Params, items []Item, o Options) (P, error)
	finish  func(party P, shard int, order []uint32)
}

func newSharded[P Party](p Params, s Sharding, size int, items []Item, want int, o Options, so ShardOptions) (*sharded[P], error) {
	switch {
	case len(items) != want:
		return nil, fmt.Errorf("psi: got %d items, want %d", len(items), want)
	case so.First < 0 || so.First > s.Shards:
		return nil, fmt.Errorf("psi: shard %d is outside [0, %d]", so.First, s.Shards)
	case so.Rand == nil:
		return nil, errors.New("psi: no source of randomness")
	}
	return &sharded[P]{p: p, o: o, so: so, cut: NewCut(s, &p, items), size: size, shard: so.First}, nil
}

// advance starts the shard that is next, and takes those that are done.
func (s *sharded[P]) advance() error {
	for s.err == nil && s.shard < s.cut.sharding.Shards {
		if !s.running {
			s.err = s.begin()
		}
		if s.err != nil || !s.party.Done() {
			break
		}
		s.finish(s.party, s.shard, s.order)
		if s.so.Finished != nil {
			s.so.Finished(s.shard)
		}
		var none P
		s.party, s.order, s.running = none, nil, false
		s.shard++
		// A shard's memory is large and dead: the next one takes it over.
		runtime.GC()
	}
	return s.err
}

func (s *sharded[P]) begin() error {
	o := s.o
	o.Rand = s.so.Rand(s.shard)
	items, order, err := s.cut.Shard(s.shard, s.size, o.Rand)
	if err != nil {
		return err
	}
	s.order = order
	if s.party, err = s.start(s.cut.sharding.Params(s.p, s.shard), items, o); err != nil {
		return fmt.Errorf("shard %d: %w", s.shard, err)
	}
	s.running = true
	return nil
}

// Next implements Party.
func (s *sharded[P]) Next(ctx context.Context) (*Message, error) {
	for s.advance() == nil && !s.Done() {
		shard := s.shard
		m, err := s.party.Next(ctx)
		if err != nil {
			s.err = fmt.Errorf("shard %d: %w", shard, err)
			return nil, s.err
		}
		// Without a message the party may have finished, and the next shard
		// may begin with one.
		if m != nil || !s.party.Done() {
			return m, nil
		}
	}
	return nil, s.err
}

// Wants implements Party.
func (s *sharded[P]) Wants() bool {
	return s.err == nil && s.advance() == nil && !s.Done() && s.party.Wants()
}

// Handle implements Party.
func (s *sharded[P]) Handle(ctx context.Context, m Message) error {
	if err := s.advance(); err != nil {
		return err
	}
	if s.Done() {
		s.err = Peerf("psi: message kind %d after the last shard", m.Kind)
		return s.err
	}
	if err := s.party.Handle(ctx, m); err != nil {
		s.err = fmt.Errorf("shard %d: %w", s.shard, err)
		return s.err
	}
	return s.advance()
}

// Done implements Party.
func (s *sharded[P]) Done() bool { return s.err == nil && s.shard == s.cut.sharding.Shards }

// ShardedSender is the sender of a sharded run.
type ShardedSender struct {
	*sharded[Sender]
	outputs *Outputs
}

// NewShardedSender returns a sender that runs the shards of a run over p with
// the parties that start makes. Of p.SenderItems items, none may repeat.
func NewShardedSender(p Params, s Sharding, items []Item, o Options, so ShardOptions,
	start func(Params, []Item, Options) (Sender, error)) (*ShardedSender, error) {
	base, err := newSharded[Sender](p, s, s.SenderItems, items, p.SenderItems, o, so)
	if err != nil {
		return nil, err
	}
	sender := &ShardedSender{sharded: base}
	base.start, base.finish = start, sender.add
	return sender, nil
}

// add appends a shard's outputs. Padding gets indices beyond the items'.
func (s *ShardedSender) add(party Sender, _ int, order []uint32) {
	o := party.Outputs()
	if o == nil {
		return
	}
	if order != nil {
		for i, item := range o.Order {
			if int(item) < len(order) {
				o.Order[i] = order[item]
			} else {
				o.Order[i] = uint32(s.p.SenderItems) + item
			}
		}
	}
	if s.outputs == nil {
		s.outputs = o
		return
	}
	s.outputs.Tags = append(s.outputs.Tags, o.Tags...)
	s.outputs.Full = append(s.outputs.Full, o.Full...)
	s.outputs.Order = append(s.outputs.Order, o.Order...)
}

// Outputs implements Sender: those of the shards that this party ran, one after
// the other. Tags that stand for padding have indices of SenderItems or more.
func (s *ShardedSender) Outputs() *Outputs {
	if !s.Done() {
		return nil
	}
	return s.outputs
}

// ShardedReceiver is the receiver of a sharded run.
type ShardedReceiver struct {
	*sharded[Receiver]
	count  int
	shards []shardHits
	result *Result
}

// shardHits are the hits of one shard, in the order of the receiver's items.
type shardHits struct {
	hits []place
	// kept are the hits themselves if they have tags and outputs, nil if not.
	kept []Hit
}

// place is what every hit has, in a seventh of its memory.
type place struct{ item, position uint32 }

// NewShardedReceiver returns a receiver that runs the shards of a run over p
// with the parties that start makes. Of p.ReceiverItems items, none may
// repeat. Modes that tell which items are shared only.
func NewShardedReceiver(p Params, s Sharding, items []Item, o Options, so ShardOptions,
	start func(Params, []Item, Options) (Receiver, error)) (*ShardedReceiver, error) {
	base, err := newSharded[Receiver](p, s, s.ReceiverItems, items, p.ReceiverItems, o, so)
	if err != nil {
		return nil, err
	}
	r := &ShardedReceiver{sharded: base}
	base.start, base.finish = start, r.add
	return r, nil
}

// add collects a shard's hits.
func (r *ShardedReceiver) add(party Receiver, shard int, order []uint32) {
	res := party.Result()
	if order == nil {
		r.result = res
		return
	}
	first := uint32((shard - r.so.First) * r.cut.sharding.SenderItems)
	found := shardHits{hits: make([]place, 0, len(res.Hits))}
	if r.o.KeepOutputs {
		found.kept = res.Hits
	}
	for _, h := range res.Hits {
		// Padding comes last. A hit of it would be two equal random items: 2^-128.
		if int(h.Item) < len(order) {
			found.hits = append(found.hits, place{order[h.Item], h.Position + first})
		}
	}
	r.shards = append(r.shards, found)
	r.count += res.Count
}

// Result implements Receiver: the hits of the shards that this party ran, in
// the order of its items, with positions in ShardedSender's Outputs.
func (r *ShardedReceiver) Result() *Result {
	if !r.Done() {
		return nil
	}
	if r.result == nil {
		r.result = r.merge()
	}
	return r.result
}

// merge joins the shards' hits. Those of each shard ascend already, so it is
// enough to know whose turn it is.
func (r *ShardedReceiver) merge() *Result {
	total := 0
	turn := make([]uint32, r.p.ReceiverItems) // one more than the shard, or 0
	for i, s := range r.shards {
		total += len(s.hits)
		for _, h := range s.hits {
			turn[h.item] = uint32(i) + 1
		}
	}
	res := &Result{Count: r.count}
	if r.p.Mode == ModeCardinality {
		return res
	}
	res.Hits = make([]Hit, 0, total)
	next := make([]int, len(r.shards))
	for _, t := range turn {
		if t == 0 {
			continue
		}
		s, i := &r.shards[t-1], next[t-1]
		hit := Hit{Item: s.hits[i].item, Position: s.hits[i].position}
		if s.kept != nil {
			hit.Tag, hit.Full = s.kept[i].Tag, s.kept[i].Full
		}
		res.Hits = append(res.Hits, hit)
		next[t-1]++
	}
	r.shards = nil
	return res
}
