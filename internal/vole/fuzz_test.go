package vole

import (
	"bytes"
	"context"
	"testing"

	"github.com/symbolon/symbolon/internal/hugepage"
)

// FuzzSumsAndProof feeds any bytes to a receiver that waits for the sums, and to
// one that waits for the proof: lengths are checked, and no proof but the
// honest sender's passes.
func FuzzSumsAndProof(f *testing.F) {
	p := params(0, true)
	r := newSeeded(9)
	sums := make([]byte, p.ExpandLen())
	_, _ = r.Read(sums)
	f.Add(sums, make([]byte, ProveLen))
	f.Add(sums[:100], []byte{})
	f.Add([]byte{}, bytes.Repeat([]byte{1}, ProveLen+1))
	f.Fuzz(func(t *testing.T, sums, proof []byte) {
		receiver, err := NewReceiver(p, 1, newSeeded(1))
		if err != nil {
			t.Fatal(err)
		}
		// As after Extend, with the OTs of a dealer.
		receiver.step = 1
		dealer := newSeeded(2)
		for range receiver.shape.totalOTs() {
			receiver.shares = append(receiver.shares, dealer.element())
		}
		open, err := receiver.Open(context.Background(), sums, hugepage.Elements(p.ReceiverMemory()))
		if ok := len(sums) == p.ExpandLen(); ok != (err == nil) || err != nil && !PeerFault(err) {
			t.Fatalf("%d bytes of sums give %v", len(sums), err)
		}
		if err != nil {
			return
		}
		if len(open) != OpenLen {
			t.Fatalf("challenge of %d bytes", len(open))
		}
		err = receiver.Verify(proof)
		if good := bytes.Equal(proof, receiver.expected[:]); good != (err == nil) || err != nil && !PeerFault(err) {
			t.Fatalf("a proof that is honest: %v, error %v", good, err)
		}
	})
}
