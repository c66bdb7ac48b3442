package sealed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/symbolon/symbolon/psi/sealed/internal/he"
)

// Asker holds one epoch's secret key. All of it, the evaluation keys and every
// query follow from one seed, so that an inspector who is given the seed can
// work out what was sent. It is safe for concurrent use.
type Asker struct {
	p     Params
	scope Scope
	c     *he.Context
	seed  [32]byte
	key   *he.SecretKey
	id    [32]byte
	keys  func() []byte
}

// NewAsker derives the keys of an epoch, which takes a few tenths of a second.
// The seed is 32 bytes of cryptographic randomness, drawn for this scope and
// kept like a secret key.
func NewAsker(p Params, s Scope, seed [32]byte) (*Asker, error) {
	a, err := NewAskerFor(p, s, seed, [32]byte{})
	if err != nil {
		return nil, err
	}
	a.id = sha256.Sum256(a.keys())
	return a, nil
}

// NewAskerFor is NewAsker where the keys message has been made before and has
// the ID given: evaluation keys are then derived only if Keys is called.
func NewAskerFor(p Params, s Scope, seed, keysID [32]byte) (*Asker, error) {
	c, err := p.context()
	if err != nil {
		return nil, err
	}
	a := &Asker{p: p, scope: s, c: c, seed: seed, id: keysID}
	a.key = c.NewSecretKey(a.derive("secret"))
	a.keys = sync.OnceValue(func() []byte {
		public := a.derive("uniform")
		h := header{kind: kindKeys, first: a.Commitment(), second: public}
		return append(h.append(nil, p, s), c.PackKeys(a.key, public, a.derive("noise"))...)
	})
	return a, nil
}

func (a *Asker) derive(label string, parts ...[]byte) [32]byte {
	return bound("symbolon/v1/search-"+label, a.p, a.scope, append([][]byte{a.seed[:]}, parts...)...)
}

// Commitment returns the commitment to the seed that stands in the keys message
// and in every query.
func (a *Asker) Commitment() [32]byte { return a.derive("commitment") }

// Keys returns the keys message, the same each time. The caller must not change it.
func (a *Asker) Keys() []byte { return a.keys() }

// KeysID returns the SHA-256 of the keys message.
func (a *Asker) KeysID() [32]byte { return a.id }

// Query is a query ready to be sent.
type Query struct {
	msg []byte
	id  [32]byte
}

// Message returns the query message.
func (q *Query) Message() []byte { return q.msg }

// ID returns the SHA-256 of the query message, by which its answers name it.
func (q *Query) ID() [32]byte { return q.id }

// Query encrypts a sketch. The number tells queries apart for the inspector;
// equal numbers and sketches give equal messages, so a query can be sent again.
func (a *Asker) Query(number uint64, sketch []uint8) (*Query, error) {
	return a.QueryAt(number, sketch, a.p.Threshold)
}

// QueryAt is Query with a threshold of the query's own, from the parameters' to
// Groups. The owner sees it.
func (a *Asker) QueryAt(number uint64, sketch []uint8, threshold int) (*Query, error) {
	if err := a.p.check(sketch); err != nil {
		return nil, err
	}
	if threshold < a.p.Threshold || threshold > a.p.Groups {
		return nil, fmt.Errorf("sealed: threshold %d is outside %d to %d", threshold, a.p.Threshold, a.p.Groups)
	}
	return a.encrypt(number, threshold, sketch, a.c.OneHot(sketch)), nil
}

// encrypt encrypts slots, which are the sketch's for an honest asker.
func (a *Asker) encrypt(number uint64, threshold int, sketch []uint8, slots []uint32) *Query {
	// Both seeds depend on the sketch: no uniform half and no noise ever serves
	// two messages, even if a number does.
	n := binary.LittleEndian.AppendUint64(nil, number)
	public := a.derive("query-uniform", n, sketch)
	h := header{kind: kindQuery, limit: threshold, number: number, first: public, second: a.id, third: a.Commitment()}
	msg := append(h.append(nil, a.p, a.scope), a.c.Encrypt(a.key, slots, public, a.derive("query-noise", n, sketch))...)
	return &Query{msg: msg, id: sha256.Sum256(msg)}
}

// Collector gathers the answers to one query, block by block in any order. It
// is not safe for concurrent use.
type Collector struct {
	a     *Asker
	query [32]byte
	seen  []bool
	done  int
	slots []uint32
}

// Collect returns a collector for the query with this ID.
func (a *Asker) Collect(query [32]byte) *Collector { return &Collector{a: a, query: query} }

// MaxBlocks bounds the blocks of an index: 2^30 slots.
const MaxBlocks = 1 << 16

// Add reads the answer to one block. It fails with an error that wraps
// psi.ErrPeer if the answer is malformed, to another query, repeated, or
// disagrees with those before about the number of blocks.
func (c *Collector) Add(msg []byte) error {
	h, body, err := open(msg, kindAnswer, c.a.p, c.a.scope, c.a.c.AnswerSize())
	if err != nil {
		return err
	}
	block, blocks := int(h.number&0xffffffff), int(h.number>>32)
	switch {
	case h.first != c.query:
		return fmt.Errorf("sealed: answer: to another query: %w", ErrScope)
	case h.second != [32]byte{} || h.third != [32]byte{}:
		return fmt.Errorf("sealed: answer: reserved bytes are not zero: %w", ErrFormat)
	case blocks < 1 || blocks > MaxBlocks || block >= blocks:
		return fmt.Errorf("sealed: answer: block %d of %d: %w", block, blocks, ErrFormat)
	case c.seen != nil && len(c.seen) != blocks:
		return fmt.Errorf("sealed: answer: %d blocks, %d before: %w", blocks, len(c.seen), ErrFormat)
	case c.seen != nil && c.seen[block]:
		return fmt.Errorf("sealed: answer: block %d came twice: %w", block, ErrFormat)
	}
	residues, err := c.a.c.DecryptAnswer(c.a.key, body)
	if err != nil {
		return rangeError(kindAnswer, err)
	}
	if c.seen == nil {
		c.seen = make([]bool, blocks)
	}
	c.seen[block] = true
	c.done++
	for i, v := range residues {
		if v == 0 {
			c.slots = append(c.slots, uint32(block*c.a.p.blockSlots()+i))
		}
	}
	return nil
}

// Progress returns how many of how many blocks have been answered. The latter
// is zero before the first answer.
func (c *Collector) Progress() (done, blocks int) { return c.done, len(c.seen) }

// Slots returns the slots at or over the threshold, ascending. It fails while
// answers are missing.
func (c *Collector) Slots() ([]uint32, error) {
	if c.seen == nil || c.done != len(c.seen) {
		return nil, fmt.Errorf("sealed: %d of %d blocks are answered", c.done, len(c.seen))
	}
	slices.Sort(c.slots)
	return slices.Clone(c.slots), nil
}

// AuditKeys reports whether the keys message is the one that the seed gives.
func AuditKeys(p Params, s Scope, seed [32]byte, keys []byte) error {
	a, err := NewAsker(p, s, seed)
	if err != nil {
		return err
	}
	if !bytes.Equal(a.keys(), keys) {
		return fmt.Errorf("sealed: the keys are not those of the opened seed")
	}
	return nil
}

// AuditQuery returns the number and the sketch of a query message; its threshold
// is in the clear. It fails
// unless the message is, bit for bit, what an honest asker with this seed sends
// for them.
func AuditQuery(p Params, s Scope, seed [32]byte, msg []byte) (number uint64, sketch []uint8, err error) {
	a, err := NewAsker(p, s, seed)
	if err != nil {
		return 0, nil, err
	}
	h, body, err := open(msg, kindQuery, p, s, a.c.QuerySize())
	if err != nil {
		return 0, nil, err
	}
	q, err := a.c.UnpackQuery(body, h.first, h.limit)
	if err != nil {
		return 0, nil, rangeError(kindQuery, err)
	}
	sketch = a.c.FromOneHot(a.c.DecryptQuery(a.key, q))
	again, err := a.QueryAt(h.number, sketch, h.limit)
	if err != nil || !bytes.Equal(again.msg, msg) {
		return 0, nil, fmt.Errorf("sealed: the query is not one that an honest asker with the opened seed sends")
	}
	return h.number, sketch, nil
}
