package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/psi"
)

// workload is two sets of strings with a known intersection.
type workload struct {
	sender, receiver keySet
	// shared are the indices of the receiver's strings that the sender holds,
	// in ascending order.
	shared []uint32
}

// keySet is a set of strings, one after the other in one buffer, so that a
// million of them cost no million allocations.
type keySet struct {
	buf  []byte
	ends []uint32
}

// newWorkload makes strings like match keys, in random order: the receiver has
// those numbered from 0, the sender's follow where the overlap starts.
func newWorkload(c PSIConfig) (*workload, error) {
	if n := max(c.SenderItems, c.ReceiverItems); n > maxWorkload {
		return nil, fmt.Errorf("bench: %d items are more than %d", n, maxWorkload)
	}
	shared := int(math.Round(c.Overlap * float64(min(c.SenderItems, c.ReceiverItems))))
	seed := make([]byte, 32)
	if _, err := io.ReadFull(c.Rand, seed); err != nil {
		return nil, fmt.Errorf("bench: reading randomness: %w", err)
	}
	orders := psi.NewStream(seed, "orders")
	receiver, err := psi.Permutation(orders, c.ReceiverItems)
	if err != nil {
		return nil, err
	}
	sender, err := psi.Permutation(orders, c.SenderItems)
	if err != nil {
		return nil, err
	}
	w := &workload{sender: newKeySet(c.SenderItems), receiver: newKeySet(c.ReceiverItems)}
	first := uint32(c.ReceiverItems - shared)
	for i, n := range receiver {
		if n >= first {
			w.shared = append(w.shared, uint32(i))
		}
		w.receiver.add(n)
	}
	for _, n := range sender {
		w.sender.add(first + n)
	}
	return w, nil
}

// example is as long as every string of a workload, and maxWorkload of them are
// what a keySet's ends can count.
const (
	example     = "passport|XA|100000000"
	maxWorkload = math.MaxUint32 / len(example)
)

func newKeySet(n int) keySet {
	return keySet{buf: make([]byte, 0, n*len(example)), ends: make([]uint32, 0, n)}
}

// add appends the string numbered n.
func (k *keySet) add(n uint32) {
	k.buf = append(k.buf, "passport|XA|"...)
	k.buf = strconv.AppendUint(k.buf, 100_000_000+uint64(n), 10)
	k.ends = append(k.ends, uint32(len(k.buf)))
}

func (k *keySet) at(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = k.ends[i-1]
	}
	return k.buf[start:k.ends[i]]
}

// items hashes all strings to items of the session.
func (k *keySet) items(ctx context.Context, session [32]byte, workers int) ([]psi.Item, error) {
	out := make([]psi.Item, len(k.ends))
	hasher := psi.NewItemHasher(session)
	err := parallel.Ranges(ctx, workers, len(out), 4096, func(lo, hi int) error {
		h := hasher.Clone()
		h.Items(out[lo:hi], benchRule, func(i int) []byte { return k.at(lo + i) })
		return nil
	})
	return out, err
}

// check compares a result with the plain intersection.
func (w *workload) check(mode psi.Mode, res *outcome) bool {
	if mode == psi.ModeCardinality {
		return res.count == len(w.shared)
	}
	slices.Sort(res.items)
	return res.count == len(w.shared) && slices.Equal(res.items, w.shared)
}
