package dhpsi

import (
	"context"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/ristretto"
	"github.com/symbolon/symbolon/psi"
)

// Receiver is the receiving party. It learns the result.
type Receiver struct {
	*run
	sched             schedule
	inverse           *ristretto.Scalar
	blinded           int // elements sent
	tagged, evaluated int // tags and elements received
	index             *psi.TagIndex
	// own are the tags of the evaluated elements, in the order these came,
	// and full the outputs behind them.
	own, full []byte
	result    *psi.Result
}

var _ psi.Receiver = (*Receiver)(nil)

// NewReceiver returns the receiver of a run over items, which are
// p.ReceiverItems distinct ones and must not change while it runs. It reads 64
// bytes from o.Rand and keeps no reference to it.
func NewReceiver(p psi.Params, items []psi.Item, o psi.Options) (*Receiver, error) {
	r, err := newRun(p, psi.RoleReceiver, items, o)
	if err != nil {
		return nil, err
	}
	r.o.Rand = nil
	if p.Mode == psi.ModeCardinality {
		r.o.KeepOutputs = false
	}
	x := &Receiver{
		run:     r,
		sched:   newSchedule(&p),
		inverse: inverse(r.secret),
		index:   psi.NewTagIndex(r.tagLen),
	}
	x.finish()
	return x, nil
}

// Next returns the next batch of blinded elements.
func (r *Receiver) Next(ctx context.Context) (*psi.Message, error) {
	if r.err != nil {
		return nil, r.err
	}
	done := r.blinded
	n := batchLen(done, len(r.items))
	if n == 0 {
		return nil, nil
	}
	payload := make([]byte, n*ElementSize)
	err := parallel.Ranges(ctx, r.o.Workers, n, chunk, func(lo, hi int) error {
		r.evaluate(payload[lo*ElementSize:hi*ElementSize], hi-lo, func(i int) *psi.Item { return &r.items[done+lo+i] })
		return nil
	})
	if err != nil {
		return nil, r.fail(err)
	}
	r.blinded += n
	r.progress(StageBlind, r.blinded, len(r.items))
	return &psi.Message{Kind: kindBlinded, Payload: payload}, nil
}

// Wants reports whether something is still to come. The receiver takes it at
// any time, so that the sender is never kept from sending.
func (r *Receiver) Wants() bool { return r.err == nil && r.result == nil }

// Handle takes a batch of tags or of evaluated elements, in the order of the
// sender's schedule.
func (r *Receiver) Handle(ctx context.Context, m psi.Message) error {
	if r.err != nil {
		return r.err
	}
	want := r.sched.next()
	var err error
	switch {
	case want == 0:
		err = psi.Peerf("dhpsi: message of kind %d after the last", m.Kind)
	case m.Kind != want:
		err = psi.Peerf("dhpsi: message of kind %d, want %d", m.Kind, want)
	case want == kindTags:
		err = r.handleTags(m.Payload)
	default:
		err = r.handleEvaluated(ctx, m.Payload)
	}
	if err != nil {
		return r.fail(err)
	}
	r.sched.advance()
	r.finish()
	return nil
}

// handleTags keeps a batch of tags. Repeated ones are refused: an honest
// sender of ny items has two equal tags with probability at most
// 2^-41 · ny/nx, since tags are λ + log2 nx + log2 ny bits long.
func (r *Receiver) handleTags(payload []byte) error {
	n := batchLen(r.tagged, r.p.SenderItems)
	if len(payload) != n*r.tagLen {
		return psi.Peerf("dhpsi: tags %d to %d: got %d bytes, want %d",
			r.tagged, r.tagged+n, len(payload), n*r.tagLen)
	}
	for range n {
		if !r.index.Add(payload[:r.tagLen]) {
			return psi.Peerf("dhpsi: tag %d repeats an earlier one", r.tagged)
		}
		payload = payload[r.tagLen:]
		r.tagged++
	}
	return nil
}

// handleEvaluated unblinds a batch and keeps its tags.
func (r *Receiver) handleEvaluated(ctx context.Context, payload []byte) error {
	n, total := batchLen(r.evaluated, r.p.ReceiverItems), r.p.ReceiverItems
	sent := r.evaluated + n
	if r.p.Mode == psi.ModeCardinality {
		sent = total
	}
	if r.blinded < sent {
		return psi.Peerf("dhpsi: evaluated elements up to %d of %d blinded ones", r.evaluated+n, r.blinded)
	}
	if err := r.take(ctx, "evaluated", payload, r.evaluated, total, r.inverse); err != nil {
		return err
	}
	for i := range n {
		r.own = append(r.own, r.tag(payload[i*ElementSize:][:ElementSize])...)
	}
	if r.o.KeepOutputs {
		r.full = append(r.full, payload...)
	}
	r.evaluated += n
	r.progress(StageUnblind, r.evaluated, total)
	return nil
}

// finish joins the tags once all have come; by then everything has been sent.
func (r *Receiver) finish() {
	if r.sched.next() != 0 {
		return
	}
	r.result = new(psi.Result)
	for i := range r.evaluated {
		p, ok := r.index.Find(r.own[i*r.tagLen:][:r.tagLen])
		if !ok {
			continue
		}
		r.result.Count++
		if r.p.Mode == psi.ModeCardinality {
			continue
		}
		hit := psi.Hit{Item: uint32(i), Position: p, Tag: r.index.Tag(p)}
		if r.o.KeepOutputs {
			hit.Full = append([]byte(nil), r.full[i*ElementSize:][:ElementSize]...)
		}
		r.result.Hits = append(r.result.Hits, hit)
	}
	// Only what the hits refer to stays.
	r.own, r.full, r.seen = nil, nil, nil
}

// Done reports whether the result is there.
func (r *Receiver) Done() bool { return r.err == nil && r.result != nil }

// Result returns the result once the receiver is done, nil before.
func (r *Receiver) Result() *psi.Result { return r.result }
