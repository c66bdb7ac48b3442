package volepsi

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/okvs"
	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/internal/vole"
	"github.com/symbolon/symbolon/psi"
)

// Sender is the sending party.
type Sender struct {
	run
	vole  *vole.Sender
	wants uint8 // the kind of message that comes next, 0 for none
	coin  [coinLen]byte
	other field.Element // the receiver's half of the coin

	b    []field.Element // B, and chunk by chunk K = B + AΔ
	got  int             // elements of A that have come
	part []field.Element // one chunk of A
	mem  [][]byte        // payloads of chunks, to send tags in

	tags    tagList
	sent    int
	outputs *psi.Outputs
	full    []field.Element
}

// NewSender returns the sender of a run over p.SenderItems distinct items.
func NewSender(p psi.Params, items []psi.Item, o psi.Options) (*Sender, error) {
	r, err := newRun(p, psi.RoleSender, items, o)
	if err != nil {
		return nil, err
	}
	s := &Sender{run: *r, wants: kindExtend}
	var offer []byte
	if s.malicious() {
		if _, err := io.ReadFull(o.Rand, s.coin[:]); err != nil {
			return nil, fmt.Errorf("volepsi: reading randomness: %w", err)
		}
		c := s.commit(s.coin[:])
		offer = c[:]
	}
	v, request, err := vole.NewSender(s.voleParams(), o.Workers, o.Rand)
	if err != nil {
		return nil, err
	}
	s.vole = v
	s.progress(StageBase, 1, 2)
	s.push(kindOffer, append(offer, request...))
	return s, nil
}

// Wants implements psi.Party.
func (s *Sender) Wants() bool { return s.err == nil && s.wants != 0 }

// Done implements psi.Party.
func (s *Sender) Done() bool {
	return s.err == nil && s.wants == 0 && len(s.next) == 0 && s.sent == s.p.SenderItems
}

// Next implements psi.Party. While there is nothing to send it works ahead: the
// receiver is busy too.
func (s *Sender) Next(ctx context.Context) (*psi.Message, error) {
	if s.err != nil {
		return nil, s.err
	}
	if m := s.pop(); m != nil {
		return m, nil
	}
	var err error
	switch s.wants {
	case kindExtend:
		err = s.hash(ctx)
	case kindVector:
		err = s.compress(ctx)
	case 0:
		if s.sent < s.p.SenderItems {
			return s.nextTags(), nil
		}
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return nil, nil
}

// Handle implements psi.Party.
func (s *Sender) Handle(ctx context.Context, m psi.Message) error {
	if s.err != nil {
		return s.err
	}
	if s.wants == 0 {
		return s.fail(psi.Peerf("volepsi: message kind %d after the last", m.Kind))
	}
	if m.Kind != s.wants {
		return s.fail(wrongKind(m.Kind, s.wants))
	}
	var err error
	switch m.Kind {
	case kindExtend:
		err = s.expand(ctx, m.Payload)
	case kindChallenge:
		err = s.prove(ctx, m.Payload)
	case kindVector:
		err = s.vector(ctx, m.Payload)
	case kindCoin:
		err = s.open(ctx, m.Payload)
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}

func (s *Sender) expand(ctx context.Context, extend []byte) error {
	if err := s.vole.Accept(extend); err != nil {
		return err
	}
	s.progress(StageBase, 2, 2)
	if err := s.hash(ctx); err != nil {
		return err
	}
	v := s.voleParams()
	sums, err := s.vole.Expand(ctx, s.take(v.SenderMemory()))
	if err != nil {
		return err
	}
	s.progress(StageTrees, 1, 1)
	s.push(kindSums, sums)
	s.wants = kindVector
	if s.malicious() {
		s.wants = kindChallenge
	}
	return nil
}

func (s *Sender) prove(ctx context.Context, challenge []byte) error {
	proof, err := s.vole.Prove(ctx, challenge)
	if err != nil {
		return err
	}
	s.progress(StageCheck, 1, 1)
	s.push(kindProof, proof)
	s.wants = kindVector
	return nil
}

func (s *Sender) compress(ctx context.Context) error {
	if s.b != nil {
		return nil
	}
	b, rest, err := s.vole.Compress(ctx)
	if err != nil {
		return err
	}
	s.b = b
	s.give(rest)
	s.progress(StageCompress, len(b), len(b))
	return nil
}

// vector takes the next chunk of A, and adds AΔ to B.
func (s *Sender) vector(ctx context.Context, chunk []byte) error {
	if err := s.compress(ctx); err != nil {
		return err
	}
	n := min(vectorChunk, len(s.b)-s.got)
	if len(chunk) != n*field.Size {
		return wrongLen(fmt.Sprintf("vector from element %d", s.got), len(chunk), n*field.Size)
	}
	if s.part == nil {
		s.part = make([]field.Element, n)
	}
	a := s.part[:n]
	err := parallel.Ranges(ctx, s.o.Workers, n, piece, func(lo, hi int) error {
		field.Decode(a[lo:hi], chunk[lo*field.Size:hi*field.Size])
		field.MulAdd(s.b[s.got+lo:s.got+hi], a[lo:hi], s.vole.Delta())
		return nil
	})
	s.got += n
	s.mem = append(s.mem, chunk)
	s.progress(StageVector, s.got, len(s.b))
	if err != nil || s.got < len(s.b) {
		return err
	}
	if s.malicious() {
		s.wants = kindCoin
		return nil
	}
	s.wants = 0
	return s.finish(ctx)
}

// open takes the receiver's half of the coin. All of A has come: only now may
// the own half be opened.
func (s *Sender) open(ctx context.Context, coin []byte) error {
	if len(coin) != coinLen {
		return wrongLen("coin", len(coin), coinLen)
	}
	s.other = field.Load(coin)
	s.push(kindReveal, append([]byte(nil), s.coin[:]...))
	s.wants = 0
	return s.finish(ctx)
}

// finish computes the tags from K.
func (s *Sender) finish(ctx context.Context) error {
	n := s.p.SenderItems
	u := s.take(n)
	if err := okvs.Decode(ctx, s.o.Workers, s.own.keys, s.b, u); err != nil {
		return err
	}
	err := parallel.Ranges(ctx, s.o.Workers, n, piece, func(lo, hi int) error {
		field.MulAdd(u[lo:hi], s.own.values[lo:hi], s.vole.Delta())
		return nil
	})
	if err != nil {
		return err
	}
	s.give(s.b)
	s.give(s.own.values)
	s.b, s.part = nil, nil
	s.progress(StageDecode, n, n)
	coin := field.Load(s.coin[:]).Add(s.other)
	if s.tags, err = s.run.outputs(ctx, u, coin); err != nil {
		return err
	}
	// Equal items have equal tags, and others only with probability 2^-λ.
	for i := 1; i < n; i++ {
		if s.tags.tags[i-1] == s.tags.tags[i] {
			return errors.New("volepsi: an item occurs twice")
		}
	}
	if s.o.KeepOutputs {
		s.full = u
		s.outputs = &psi.Outputs{TagLen: s.tagLen, FullLen: field.Size}
	}
	return nil
}

// nextTags returns the next batch of tags.
func (s *Sender) nextTags() *psi.Message {
	n := min(psi.MaxPayload/s.tagLen, s.p.SenderItems-s.sent)
	payload := s.payload(n * s.tagLen)
	for i, t := range s.tags.tags[s.sent : s.sent+n] {
		putTag(payload[i*s.tagLen:(i+1)*s.tagLen], t)
	}
	s.sent += n
	s.progress(StageTags, s.sent, s.p.SenderItems)
	if s.sent == s.p.SenderItems {
		s.keep()
	}
	return &psi.Message{Kind: kindTags, Payload: payload}
}

// payload returns n bytes, of a chunk of A if one is as long.
func (s *Sender) payload(n int) []byte {
	for len(s.mem) > 0 {
		last := len(s.mem) - 1
		b := s.mem[last]
		s.mem = s.mem[:last]
		if cap(b) >= n {
			return b[:n]
		}
	}
	return make([]byte, n)
}

// keep fills the outputs, if they are wanted, and lets the rest go.
func (s *Sender) keep() {
	if o := s.outputs; o != nil {
		n := len(s.tags.tags)
		o.Tags = make([]byte, s.tagLen*n)
		o.Full = make([]byte, field.Size*n)
		o.Order = make([]uint32, n)
		for i, t := range s.tags.tags {
			place := s.tags.ids[i]
			putTag(o.Tags[i*s.tagLen:(i+1)*s.tagLen], t)
			full := s.full[place].Bytes()
			copy(o.Full[i*field.Size:], full[:])
			o.Order[i] = s.own.origin[place]
		}
	}
	s.tags, s.full, s.own, s.mem, s.spare, s.places = tagList{}, nil, nil, nil, nil, nil
}

// Outputs implements psi.Sender.
func (s *Sender) Outputs() *psi.Outputs {
	if s.err != nil || s.wants != 0 || s.sent < s.p.SenderItems {
		return nil
	}
	return s.outputs
}
