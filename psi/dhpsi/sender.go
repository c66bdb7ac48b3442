package dhpsi

import (
	"context"
	"errors"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/psi"
)

// maxPending is the number of evaluated batches that may wait to be sent.
const maxPending = 2

// Sender is the sending party. It learns nothing but the sizes.
type Sender struct {
	*run
	sched    schedule
	received int // blinded elements
	pending  [][]byte
	// shuffled is where each evaluated element goes, and evaluated what has
	// been put there, in ModeCardinality.
	shuffled  []uint32
	evaluated []byte
	out       psi.Outputs
}

var _ psi.Sender = (*Sender)(nil)

// NewSender returns the sender of a run over items, which are p.SenderItems
// distinct ones and must not change while it runs. It reads 64 bytes and one
// or two permutations from o.Rand and keeps no reference to it.
func NewSender(p psi.Params, items []psi.Item, o psi.Options) (*Sender, error) {
	r, err := newRun(p, psi.RoleSender, items, o)
	if err != nil {
		return nil, err
	}
	s := &Sender{run: r, sched: newSchedule(&p)}
	s.out.TagLen = r.tagLen
	if s.out.Order, err = psi.Permutation(o.Rand, len(items)); err != nil {
		return nil, err
	}
	if p.Mode == psi.ModeCardinality {
		s.o.KeepOutputs = false
		if s.shuffled, err = psi.Permutation(o.Rand, p.ReceiverItems); err != nil {
			return nil, err
		}
	}
	if s.o.KeepOutputs {
		s.out.FullLen = ElementSize
	}
	s.o.Rand = nil
	return s, nil
}

// Next returns the next batch of tags, or of evaluated elements.
func (s *Sender) Next(ctx context.Context) (*psi.Message, error) {
	if s.err != nil {
		return nil, s.err
	}
	switch s.sched.next() {
	case kindTags:
		payload, err := s.tags(ctx)
		if err != nil {
			return nil, s.fail(err)
		}
		s.sched.advance()
		return &psi.Message{Kind: kindTags, Payload: payload}, nil
	case kindEvaluated:
		if len(s.pending) == 0 {
			return nil, nil
		}
		payload := s.pending[0]
		s.pending = s.pending[1:]
		s.sched.advance()
		return &psi.Message{Kind: kindEvaluated, Payload: payload}, nil
	}
	return nil, nil
}

// tags makes the next batch of tags.
func (s *Sender) tags(ctx context.Context) ([]byte, error) {
	done := s.sched.tags * BatchItems
	n := batchLen(done, len(s.items))
	payload := make([]byte, n*s.tagLen)
	full := make([]byte, n*s.out.FullLen)
	err := parallel.Ranges(ctx, s.o.Workers, n, chunk, func(lo, hi int) error {
		encoded := make([]byte, (hi-lo)*ElementSize)
		s.evaluate(encoded, hi-lo, func(i int) *psi.Item { return &s.items[s.out.Order[done+lo+i]] })
		for i := lo; i < hi; i++ {
			copy(payload[i*s.tagLen:], s.tag(encoded[(i-lo)*ElementSize:][:ElementSize]))
		}
		if s.o.KeepOutputs {
			copy(full[lo*ElementSize:], encoded)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.o.KeepOutputs {
		s.out.Tags = append(s.out.Tags, payload...)
		s.out.Full = append(s.out.Full, full...)
	}
	s.progress(StageTag, done+n, len(s.items))
	return payload, nil
}

// Wants reports whether the sender takes blinded elements now: while some are
// missing and those it has evaluated can leave.
func (s *Sender) Wants() bool {
	if s.err != nil || s.received == s.p.ReceiverItems {
		return false
	}
	return s.shuffled != nil || len(s.pending) < maxPending
}

// Handle evaluates a batch of blinded elements.
func (s *Sender) Handle(ctx context.Context, m psi.Message) error {
	switch {
	case s.err != nil:
		return s.err
	case m.Kind != kindBlinded:
		return s.fail(psi.Peerf("dhpsi: message of kind %d, want %d", m.Kind, kindBlinded))
	case s.received == s.p.ReceiverItems:
		return s.fail(psi.Peerf("dhpsi: blinded elements beyond the declared %d", s.received))
	case !s.Wants():
		return s.fail(errors.New("dhpsi: sender was handed a message while it wants none"))
	}
	total := s.p.ReceiverItems
	if err := s.take(ctx, "blinded", m.Payload, s.received, total, s.secret); err != nil {
		return s.fail(err)
	}
	done := s.received
	s.received += len(m.Payload) / ElementSize
	s.progress(StageEvaluate, s.received, total)
	if s.shuffled == nil {
		s.pending = append(s.pending, m.Payload)
		return nil
	}
	s.shuffle(done, m.Payload)
	return nil
}

// shuffle puts the evaluated elements from index done on into their places,
// and once all are there, cuts the batches that are sent.
func (s *Sender) shuffle(done int, batch []byte) {
	if s.evaluated == nil {
		s.evaluated = make([]byte, s.p.ReceiverItems*ElementSize)
	}
	for i := range len(batch) / ElementSize {
		at := int(s.shuffled[done+i]) * ElementSize
		copy(s.evaluated[at:], batch[i*ElementSize:][:ElementSize])
	}
	if s.received < s.p.ReceiverItems {
		return
	}
	for rest := s.evaluated; len(rest) > 0; {
		n := min(len(rest), BatchItems*ElementSize)
		s.pending = append(s.pending, rest[:n:n])
		rest = rest[n:]
	}
	s.evaluated, s.shuffled = nil, s.shuffled[:0]
}

// Done reports whether everything has been sent.
func (s *Sender) Done() bool { return s.err == nil && s.sched.next() == 0 }

// Outputs returns the outputs behind the tags, once the last tag has left, if
// they were kept.
func (s *Sender) Outputs() *psi.Outputs {
	if !s.o.KeepOutputs || s.sched.tags < s.sched.tagsTotal {
		return nil
	}
	return &s.out
}
