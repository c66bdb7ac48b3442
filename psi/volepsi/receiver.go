package volepsi

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/okvs"
	"github.com/symbolon/symbolon/internal/vole"
	"github.com/symbolon/symbolon/psi"
)

// Receiver is the receiving party.
type Receiver struct {
	run
	vole   *vole.Receiver
	wants  uint8 // the kind of message that comes next, 0 for none
	coin   [coinLen]byte
	other  field.Element
	commit []byte // to the sender's half of the coin

	vector []field.Element // P, then A = P + A'
	c      []field.Element
	sent   int  // elements of A that have left
	ended  bool // all of A and the coin have left
	u      []field.Element
	got    int // tags that have come
	joiner *joiner
	result *psi.Result
}

// NewReceiver returns the receiver of a run over p.ReceiverItems distinct
// items.
func NewReceiver(p psi.Params, items []psi.Item, o psi.Options) (*Receiver, error) {
	base, err := newRun(p, psi.RoleReceiver, items, o)
	if err != nil {
		return nil, err
	}
	r := &Receiver{run: *base, wants: kindOffer}
	if r.malicious() {
		if _, err := io.ReadFull(o.Rand, r.coin[:]); err != nil {
			return nil, fmt.Errorf("volepsi: reading randomness: %w", err)
		}
	}
	if r.vole, err = vole.NewReceiver(r.voleParams(), o.Workers, o.Rand); err != nil {
		return nil, err
	}
	return r, nil
}

// Wants implements psi.Party.
func (r *Receiver) Wants() bool { return r.err == nil && r.wants != 0 && len(r.next) == 0 }

// Done implements psi.Party.
func (r *Receiver) Done() bool { return r.err == nil && r.result != nil && len(r.next) == 0 }

// Result implements psi.Receiver.
func (r *Receiver) Result() *psi.Result {
	if !r.Done() {
		return nil
	}
	return r.result
}

// Next implements psi.Party. While there is nothing to send it works ahead: the
// sender is busy too.
func (r *Receiver) Next(ctx context.Context) (*psi.Message, error) {
	if r.err != nil {
		return nil, r.err
	}
	m, err := r.advance(ctx)
	if err != nil {
		return nil, r.fail(err)
	}
	return m, nil
}

func (r *Receiver) advance(ctx context.Context) (*psi.Message, error) {
	if m := r.pop(); m != nil {
		return m, nil
	}
	switch {
	case r.wants == kindOffer || r.wants == kindSums:
		return nil, r.encode(ctx)
	case r.wants == kindProof || r.result != nil:
		return nil, nil
	case !r.ended:
		return r.nextVector(ctx)
	case r.malicious():
		return nil, r.decode(ctx)
	default:
		return nil, r.prepare(ctx)
	}
}

// Handle implements psi.Party.
func (r *Receiver) Handle(ctx context.Context, m psi.Message) error {
	if r.err != nil {
		return r.err
	}
	if r.wants == 0 {
		return r.fail(psi.Peerf("volepsi: message kind %d after the last", m.Kind))
	}
	if m.Kind != r.wants {
		return r.fail(wrongKind(m.Kind, r.wants))
	}
	// The sender answers the whole of A, so an answer to a part is a lie.
	if (m.Kind == kindReveal || m.Kind == kindTags) && !r.ended {
		return r.fail(psi.Peerf("volepsi: message kind %d before the vector's end", m.Kind))
	}
	var err error
	switch m.Kind {
	case kindOffer:
		err = r.offer(m.Payload)
	case kindSums:
		err = r.open(ctx, m.Payload)
	case kindProof:
		if err = r.vole.Verify(m.Payload); err == nil {
			r.progress(StageCheck, 1, 1)
			r.wants = kindReveal
		}
	case kindReveal:
		err = r.reveal(m.Payload)
	case kindTags:
		err = r.merge(ctx, m.Payload)
	}
	if err != nil {
		return r.fail(err)
	}
	return nil
}

// offer takes the commitment to the sender's coin and the base OTs' request.
func (r *Receiver) offer(m []byte) error {
	p := r.voleParams()
	want := p.RequestLen()
	if r.malicious() {
		want += commitLen
	}
	if len(m) != want {
		return wrongLen("offer", len(m), want)
	}
	split := want - p.RequestLen()
	r.commit = m[:split]
	extend, err := r.vole.Extend(m[split:])
	if err != nil {
		return err
	}
	r.progress(StageBase, 1, 1)
	r.push(kindExtend, extend)
	r.wants = kindSums
	return nil
}

// open takes the sums of the sender's trees.
func (r *Receiver) open(ctx context.Context, sums []byte) error {
	if err := r.encode(ctx); err != nil {
		return err
	}
	v := r.voleParams()
	challenge, err := r.vole.Open(ctx, sums, r.take(v.ReceiverMemory()))
	if err != nil {
		return err
	}
	r.progress(StageTrees, 1, 1)
	if r.malicious() {
		r.push(kindChallenge, challenge)
		r.wants = kindProof
		return nil
	}
	r.wantTags()
	return nil
}

// wantTags waits for the tags, of which there may be none.
func (r *Receiver) wantTags() {
	r.wants = kindTags
	if r.p.SenderItems == 0 {
		r.wants = 0
	}
}

// encode makes P.
func (r *Receiver) encode(ctx context.Context) error {
	if r.vector != nil {
		return nil
	}
	if err := r.hash(ctx); err != nil {
		return err
	}
	p := r.take(r.store.Len())
	clear(p)
	if err := okvs.Encode(ctx, r.o.Workers, r.own.keys, r.own.values, p); err != nil {
		return fmt.Errorf("volepsi: encoding the items: %w", err)
	}
	r.give(r.own.values)
	r.own.values = nil
	r.vector = p
	r.progress(StageEncode, r.p.ReceiverItems, r.p.ReceiverItems)
	return nil
}

// nextVector returns the next chunk of A = P + A', or the coin after the last.
func (r *Receiver) nextVector(ctx context.Context) (*psi.Message, error) {
	if r.c == nil {
		if err := r.encode(ctx); err != nil {
			return nil, err
		}
		c, rest, err := r.vole.Compress(ctx, r.vector)
		if err != nil {
			return nil, err
		}
		r.c = c
		r.give(rest)
		r.progress(StageCompress, len(c), len(c))
	}
	n := min(vectorChunk, len(r.vector)-r.sent)
	if n == 0 {
		r.ended = true
		r.vector = nil
		return &psi.Message{Kind: kindCoin, Payload: append([]byte(nil), r.coin[:]...)}, nil
	}
	// The payload is the vector's own memory, and not ours any more.
	payload := field.Encoding(r.vector[r.sent : r.sent+n : r.sent+n])
	r.sent += n
	r.progress(StageVector, r.sent, len(r.vector))
	if r.sent == len(r.vector) && !r.malicious() {
		r.ended = true
		r.vector = nil
		if r.wants == 0 {
			r.finish()
		}
	}
	return &psi.Message{Kind: kindVector, Payload: payload}, nil
}

// decode computes what the outputs take but the coin.
func (r *Receiver) decode(ctx context.Context) error {
	if r.u != nil {
		return nil
	}
	u := r.take(r.p.ReceiverItems)
	if err := okvs.Decode(ctx, r.o.Workers, r.own.keys, r.c, u); err != nil {
		return err
	}
	r.give(r.c)
	r.u, r.c = u, nil
	r.progress(StageDecode, len(u), len(u))
	return nil
}

// reveal takes the sender's half of the coin.
func (r *Receiver) reveal(coin []byte) error {
	if len(coin) != coinLen {
		return wrongLen("reveal", len(coin), coinLen)
	}
	if c := r.run.commit(coin); subtle.ConstantTimeCompare(c[:], r.commit) != 1 {
		return psi.Peerf("volepsi: the coin is not the one committed to")
	}
	r.other = field.Load(coin)
	if r.wantTags(); r.wants == 0 {
		r.finish()
	}
	return nil
}

// prepare computes the own tags, once the coin is known.
func (r *Receiver) prepare(ctx context.Context) error {
	if r.joiner != nil {
		return nil
	}
	if err := r.decode(ctx); err != nil {
		return err
	}
	coin := field.Load(r.coin[:]).Add(r.other)
	tags, err := r.outputs(ctx, r.u, coin)
	if err != nil {
		return err
	}
	r.joiner = newJoiner(tags, r.p.ReceiverItems)
	if r.o.KeepOutputs {
		r.joiner.keep(r.own.origin)
	}
	return nil
}

// merge joins a batch of the sender's tags with the own ones.
func (r *Receiver) merge(ctx context.Context, batch []byte) error {
	n := min(psi.MaxPayload/r.tagLen, r.p.SenderItems-r.got)
	if len(batch) != n*r.tagLen {
		return wrongLen(fmt.Sprintf("batch from tag %d", r.got), len(batch), n*r.tagLen)
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.joiner.join(batch, r.tagLen); err != nil {
		return err
	}
	r.got += n
	if r.got == r.p.SenderItems {
		r.finish()
	}
	r.progress(StageTags, r.got, r.p.SenderItems)
	return nil
}

// finish makes the result.
func (r *Receiver) finish() {
	r.result = &psi.Result{}
	if r.joiner != nil {
		r.result = r.joiner.result(r.u, r.tagLen)
	}
	r.wants = 0
	r.own, r.u, r.joiner, r.spare, r.places = nil, nil, nil, nil, nil
}
