package psi

import (
	"fmt"
	"io"
	"math"

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
