// Package dhpsi is the conservative engine: private set intersection from
// Diffie-Hellman in ristretto255 (RFC 9496), secure against semi-honest parties
// under the decisional Diffie-Hellman assumption in the random oracle model.
// The idea is Meadows' (IEEE S&P 1986) and Huberman, Franklin and Hogg's (EC
// 1999); it is also the only engine for psi.ModeCardinality.
//
// H hashes an item to the group, a is the receiver's secret scalar, b the
// sender's, x the receiver's items, y the sender's:
//
//	receiver                                          sender
//	              -- blinded    a·H(x) -->
//	              <-- tags      tag(b·H(y)), shuffled --
//	              <-- evaluated b·a·H(x) --
//	tag(a⁻¹·b·a·H(x)) is among the tags?
//
// Evaluated elements come in the order of the blinded ones, so that the
// receiver learns which of its items are shared. In ModeCardinality they come
// shuffled, once all blinded ones have arrived, so that it learns how many.
//
// Messages hold BatchItems elements or tags each, the last of its kind the
// rest. The sender alternates between tags and evaluated elements by a fixed
// schedule, in proportion to their numbers, so that both machines work all the
// time and the order of a party's messages depends on nothing but Params.
//
// A party holds its items, the tags, sixteen bytes for each element that the
// peer has sent (to refuse repeated ones), and a few batches: in
// ModeCardinality the sender holds all evaluated elements, and with
// Options.KeepOutputs either side 32 bytes an item.
//
// The engine is semi-honest. A receiver may blind its items with k different
// scalars and split a cardinality into k counts; a sender may answer for other
// items than it declared, item by item. Agreements that use it say so.
//
// Multiplication, hashing to the group and encoding take the same time for all
// scalars and items. Which tags match is found in time that varies with the
// receiver's own result.
package dhpsi

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/ristretto"
	"github.com/symbolon/symbolon/psi"
)

// BatchItems is the number of elements or tags in a message.
const BatchItems = 4096

// chunk is the number of elements that a worker takes at a time: about 1 ms
// where the processor multiplies vectors of integers, 5 ms elsewhere.
const chunk = 64

// ElementSize is the length of an encoded group element in bytes.
const ElementSize = ristretto.ElementSize

// Kinds of messages.
const (
	kindBlinded   = 1
	kindTags      = 2
	kindEvaluated = 3
)

// Stages that Options.Progress hears of.
const (
	StageBlind    = "blind"
	StageTag      = "tag"
	StageEvaluate = "evaluate"
	StageUnblind  = "unblind"
)

// run is what both parties have in common.
type run struct {
	p       psi.Params
	o       psi.Options
	items   []psi.Item
	context []byte
	group   *ristretto.Hasher
	secret  *ristretto.Scalar
	seen    seenElements
	tagLen  int
	err     error
}

// newRun checks the parameters and draws the party's secret scalar.
func newRun(p psi.Params, role psi.Role, items []psi.Item, o psi.Options) (*run, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if p.Security != psi.SemiHonest {
		return nil, fmt.Errorf("dhpsi: the engine is %s, not %s", psi.SemiHonest, p.Security)
	}
	want := p.SenderItems
	if role == psi.RoleReceiver {
		want = p.ReceiverItems
	}
	if len(items) != want {
		return nil, fmt.Errorf("dhpsi: got %d items for a %s of %d", len(items), role, want)
	}
	if o.Rand == nil {
		return nil, errors.New("dhpsi: no source of randomness")
	}
	if err := distinct(items); err != nil {
		return nil, err
	}
	r := &run{p: p, o: o, items: items, context: p.Context(), tagLen: p.TagLen()}
	r.group = newHasher(r.context)
	r.seen = make(seenElements)
	var err error
	r.secret, err = randomScalar(o.Rand)
	return r, err
}

// distinct refuses repeated items: the peer would see repeated elements.
func distinct(items []psi.Item) error {
	seen := make(map[psi.Item]struct{}, len(items))
	for i, it := range items {
		if _, ok := seen[it]; ok {
			return fmt.Errorf("dhpsi: item %d repeats an earlier one", i)
		}
		seen[it] = struct{}{}
	}
	return nil
}

// fail makes err stick: a party is spent after an error.
func (r *run) fail(err error) error {
	r.err = err
	return err
}

func (r *run) progress(stage string, done, total int) {
	if r.o.Progress != nil {
		r.o.Progress(stage, done, total)
	}
}

// tag is the truncated hash of an item's full output.
func (r *run) tag(full []byte) []byte {
	sum := psi.Derive(psi.DeriveTag, r.context, full)
	return sum[:r.tagLen]
}

// take checks the batch of elements in payload, which follows done of total
// elements, and multiplies each by s in place.
func (r *run) take(ctx context.Context, what string, payload []byte, done, total int, s *ristretto.Scalar) error {
	n := batchLen(done, total)
	if len(payload) != n*ElementSize {
		return psi.Peerf("dhpsi: %s elements %d to %d: got %d bytes, want %d",
			what, done, done+n, len(payload), n*ElementSize)
	}
	for i := range n {
		if err := r.seen.add(payload[i*ElementSize:][:ElementSize]); err != nil {
			return psi.Peerf("dhpsi: %s element %d %v", what, done+i, err)
		}
	}
	return parallel.Ranges(ctx, r.o.Workers, n, chunk, func(lo, hi int) error {
		encoded := payload[lo*ElementSize : hi*ElementSize]
		var b ristretto.Batch
		if bad, ok := errors.AsType[*ristretto.DecodeError](b.Decode(encoded)); ok {
			return psi.Peerf("dhpsi: %s element %d %v", what, done+lo+bad.Index, bad.Err)
		}
		b.Multiply(s)
		b.Encode(encoded)
		return nil
	})
}

// batchLen returns the length of the batch that follows done of total.
func batchLen(done, total int) int { return min(BatchItems, total-done) }

// schedule is the order of the sender's messages.
type schedule struct {
	// Counted in batches.
	tags, evaluated         int
	tagsTotal, evaluatedAll int
	tagsFirst               bool
}

func newSchedule(p *psi.Params) schedule {
	batches := func(n int) int { return (n + BatchItems - 1) / BatchItems }
	return schedule{
		tagsTotal:    batches(p.SenderItems),
		evaluatedAll: batches(p.ReceiverItems),
		tagsFirst:    p.Mode == psi.ModeCardinality,
	}
}

// next returns the kind of the sender's next message, 0 after the last.
func (s *schedule) next() uint8 {
	switch {
	case s.tags == s.tagsTotal && s.evaluated == s.evaluatedAll:
		return 0
	case s.tags == s.tagsTotal:
		return kindEvaluated
	case s.evaluated == s.evaluatedAll || s.tagsFirst:
		return kindTags
	// Tags come next while their share of the way is not the longer one.
	case s.tags*s.evaluatedAll <= s.evaluated*s.tagsTotal:
		return kindTags
	default:
		return kindEvaluated
	}
}

func (s *schedule) advance() {
	if s.next() == kindTags {
		s.tags++
	} else {
		s.evaluated++
	}
}
