package psi

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"
)

// ReceiptLen is the length of a receipt in bytes.
const ReceiptLen = 32

// receiptBatch is the number of tags with receipts in a batch.
const receiptBatch = 4096

// Receipts tell the sender which of its items were hit, in ModeMutual: for each
// hit the tag and a value that only who holds the item can derive, shuffled. A
// hit can't be invented so; it can be withheld.
type Receipts struct {
	run   []byte
	hits  []Hit
	order []uint32
	done  int
}

// NewReceipts returns the receipts of a result, whose full outputs must have
// been kept, of a run with the given Params.Context.
func NewReceipts(run []byte, res *Result, rand io.Reader) (*Receipts, error) {
	for i, h := range res.Hits {
		if len(h.Full) == 0 {
			return nil, fmt.Errorf("psi: hit %d has no full output to derive a receipt from", i)
		}
	}
	order, err := Permutation(rand, len(res.Hits))
	if err != nil {
		return nil, err
	}
	return &Receipts{run: run, hits: res.Hits, order: order}, nil
}

// Len returns the number of receipts, which the sender is told beforehand.
func (r *Receipts) Len() int { return len(r.hits) }

// Done reports whether the last batch has been returned.
func (r *Receipts) Done() bool { return r.done == len(r.hits) }

// Next returns the next batch, of tags each followed by its receipt, nil after
// the last.
func (r *Receipts) Next(ctx context.Context) ([]byte, error) {
	var payload []byte
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for range min(receiptBatch, len(r.hits)-r.done) {
		h := r.hits[r.order[r.done]]
		receipt := Derive(DeriveReceipt, r.run, h.Full)
		payload = append(payload, h.Tag...)
		payload = append(payload, receipt[:]...)
		r.done++
	}
	return payload, nil
}

// ReceiptChecker verifies receipts on the sender's side.
type ReceiptChecker struct {
	run       []byte
	out       *Outputs
	index     *TagIndex
	total     int
	positions []uint32
	got       map[uint32]bool
	err       error
}

// NewReceiptChecker returns a checker for so many receipts as the peer has
// announced, over the outputs of a run with parameters p. More than either
// party's items are refused.
func NewReceiptChecker(p *Params, out *Outputs, total int) (*ReceiptChecker, error) {
	if total < 0 || total > min(p.SenderItems, p.ReceiverItems) {
		return nil, Peerf("psi: %d receipts for %d and %d items", total, p.SenderItems, p.ReceiverItems)
	}
	if out == nil || out.FullLen == 0 || len(out.Full) != len(out.Order)*out.FullLen {
		return nil, fmt.Errorf("psi: receipts need the outputs of a run that kept them")
	}
	index, err := IndexTags(out.TagLen, out.Tags)
	if err != nil {
		return nil, err
	}
	return &ReceiptChecker{
		run: p.Context(), out: out, index: index, total: total, got: make(map[uint32]bool),
	}, nil
}

// Handle verifies the next batch. The errors that wrap ErrPeer say what is
// wrong; the peer gets one code for all.
func (c *ReceiptChecker) Handle(ctx context.Context, payload []byte) error {
	if c.err == nil {
		c.err = ctx.Err()
	}
	if c.err == nil {
		c.err = c.handle(payload)
	}
	return c.err
}

func (c *ReceiptChecker) handle(payload []byte) error {
	size := c.out.TagLen + ReceiptLen
	n := min(receiptBatch, c.total-len(c.positions))
	if n == 0 {
		return Peerf("psi: receipts beyond the announced %d", c.total)
	}
	if len(payload) != n*size {
		return Peerf("psi: receipts %d to %d: got %d bytes, want %d",
			len(c.positions), len(c.positions)+n, len(payload), n*size)
	}
	for row := range slices.Chunk(payload, size) {
		at := len(c.positions)
		pos, ok := c.index.Find(row[:c.out.TagLen])
		if !ok {
			return Peerf("psi: receipt %d is for a tag that was not sent", at)
		}
		if c.got[pos] {
			return Peerf("psi: receipt %d is for a tag that has one already", at)
		}
		want := Derive(DeriveReceipt, c.run, c.out.At(int(pos)))
		if subtle.ConstantTimeCompare(row[c.out.TagLen:], want[:]) != 1 {
			return Peerf("psi: receipt %d is wrong", at)
		}
		c.got[pos] = true
		c.positions = append(c.positions, pos)
	}
	return nil
}

// Done reports whether all announced receipts have come.
func (c *ReceiptChecker) Done() bool { return c.err == nil && len(c.positions) == c.total }

// Positions returns the positions of the tags that were hit, in ascending
// order, once the checker is Done, nil before.
func (c *ReceiptChecker) Positions() []uint32 {
	if !c.Done() {
		return nil
	}
	return slices.Sorted(slices.Values(c.positions))
}
