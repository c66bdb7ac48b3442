package psi

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// receipts returns all receipts of a result in one slice.
func receipts(t testing.TB, r *ran) []byte {
	t.Helper()
	rc, err := NewReceipts(r.p.Context(), &r.res, labelRand())
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for !rc.Done() {
		b, err := rc.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	if b, err := rc.Next(context.Background()); len(b) != 0 || err != nil {
		t.Fatalf("after the last batch: %d bytes, error %v", len(b), err)
	}
	if rc.Len() != len(r.res.Hits) {
		t.Fatalf("%d receipts for %d hits", rc.Len(), len(r.res.Hits))
	}
	return all
}

func TestReceipts(t *testing.T) {
	ctx := context.Background()
	for _, shared := range []int{0, 1, 30, receiptBatch + 3} {
		r := newRan(t, shared+10, shared+5, shared)
		all := receipts(t, r)
		c, err := NewReceiptChecker(&r.p, &r.out, shared)
		if err != nil {
			t.Fatal(err)
		}
		size := r.out.TagLen + ReceiptLen
		for b := range slices.Chunk(all, receiptBatch*size) {
			if c.Done() || c.Positions() != nil {
				t.Fatal("done too early")
			}
			if err := c.Handle(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
		var want []uint32
		for _, h := range r.res.Hits {
			want = append(want, h.Position)
		}
		slices.Sort(want)
		if !c.Done() || !slices.Equal(c.Positions(), want) {
			t.Fatalf("%d hits: the sender has other positions", shared)
		}
		if shared == 30 {
			inOrder := true
			for i, h := range r.res.Hits {
				inOrder = inOrder && bytes.Equal(h.Tag, all[i*size:][:r.out.TagLen])
			}
			if inOrder {
				t.Error("receipts are not shuffled")
			}
		}
	}
}

// TestInventedReceipts is a receiver that claims what it doesn't hold.
func TestInventedReceipts(t *testing.T) {
	ctx := context.Background()
	r := newRan(t, 20, 20, 10)
	tagLen := r.out.TagLen
	size := tagLen + ReceiptLen
	hit := map[uint32]bool{}
	for _, h := range r.res.Hits {
		hit[h.Position] = true
	}
	miss := 0
	for hit[uint32(miss)] {
		miss++
	}
	for _, tt := range []struct {
		name, says string
		change     func(b []byte) []byte
	}{
		{"random receipt for a tag that was sent", "receipt 2 is wrong", func(b []byte) []byte {
			copy(b[2*size:], r.out.Tag(miss))
			return b
		}},
		{"flipped bit", "receipt 9 is wrong", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"the tag's own hash", "receipt 0 is wrong", func(b []byte) []byte {
			copy(b, r.out.Tag(miss))
			guess := Derive(DeriveReceipt, r.p.Context(), r.out.Tag(miss))
			copy(b[tagLen:], guess[:])
			return b
		}},
		{"unknown tag", "receipt 1 is for a tag that was not sent", func(b []byte) []byte { b[size] ^= 1; return b }},
		{"twice", "receipt 3 is for a tag that has one", func(b []byte) []byte { copy(b[3*size:4*size], b); return b }},
		{"too few", "bytes, want", func(b []byte) []byte { return b[size:] }},
		{"too many", "bytes, want", func(b []byte) []byte { return append(b, b[:size]...) }},
		{"half", "bytes, want", func(b []byte) []byte { return b[:len(b)-1] }},
		{"none", "got 0 bytes", func([]byte) []byte { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := NewReceiptChecker(&r.p, &r.out, 10)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Handle(ctx, tt.change(receipts(t, r)))
			if !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got error %v, want one that says %q", err, tt.says)
			}
			if c.Done() || c.Positions() != nil || c.Handle(ctx, nil) == nil {
				t.Fatal("the checker goes on after an error")
			}
		})
	}
	t.Run("of another attempt", func(t *testing.T) {
		other := r.p
		other.Attempt++
		c, err := NewReceiptChecker(&other, &r.out, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Handle(ctx, receipts(t, r)); !errors.Is(err, ErrPeer) {
			t.Fatalf("got error %v", err)
		}
	})
	t.Run("after the last", func(t *testing.T) {
		c, err := NewReceiptChecker(&r.p, &r.out, 10)
		if err != nil {
			t.Fatal(err)
		}
		all := receipts(t, r)
		if err := c.Handle(ctx, all); err != nil {
			t.Fatal(err)
		}
		if err := c.Handle(ctx, all[:size]); !errors.Is(err, ErrPeer) {
			t.Fatalf("got error %v", err)
		}
	})
	for _, n := range []int{-1, 21} {
		if _, err := NewReceiptChecker(&r.p, &r.out, n); !errors.Is(err, ErrPeer) {
			t.Errorf("%d receipts announced: got error %v", n, err)
		}
	}
	bare := Result{Hits: []Hit{{}}}
	if _, err := NewReceipts(nil, &bare, labelRand()); err == nil {
		t.Error("receipts work without outputs")
	}
	if _, err := NewReceiptChecker(&r.p, &Outputs{TagLen: 5, Order: []uint32{0}}, 0); err == nil {
		t.Error("a checker works without outputs")
	}
}
