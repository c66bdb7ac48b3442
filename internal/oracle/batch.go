package oracle

import (
	"crypto/sha256"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

// Batch is a random oracle from one or two blocks of 128 bits to two, for many
// inputs at once: SHA-256 of a 16-byte prefix and the inputs, which is one call
// of the compression function.
type Batch struct{ prefix [16]byte }

// NewBatch returns the oracle of a domain and binding.
func NewBatch(domain string, binding []byte) *Batch {
	sum := Sum(domain, binding)
	return &Batch{[16]byte(sum[:16])}
}

var host = cpu.Host()

// Hash1 sets a[i], b[i] to the halves of the oracle's value at x[i]. Output and
// input may be the same slices.
func (h *Batch) Hash1(a, b, x []field.Element) { h.sum1(host, a, b, x) }

// Hash2 sets a[i], b[i] to the halves of the oracle's value at (x[i], y[i]).
// Output and input may be the same slices.
func (h *Batch) Hash2(a, b, x, y []field.Element) { h.sum2(host, a, b, x, y) }

func (h *Batch) sum1(f cpu.Features, a, b, x []field.Element) {
	if len(a) != len(x) || len(b) != len(x) {
		panic("oracle: slices differ in length")
	}
	var m [32]byte
	copy(m[:], h.prefix[:])
	for i := h.hash1(f, a, b, x); i < len(x); i++ {
		putElement(m[16:], x[i])
		a[i], b[i] = split(sha256.Sum256(m[:]))
	}
}

func (h *Batch) sum2(f cpu.Features, a, b, x, y []field.Element) {
	if len(a) != len(x) || len(b) != len(x) || len(y) != len(x) {
		panic("oracle: slices differ in length")
	}
	var m [48]byte
	copy(m[:], h.prefix[:])
	for i := h.hash2(f, a, b, x, y); i < len(x); i++ {
		putElement(m[16:], x[i])
		putElement(m[32:], y[i])
		a[i], b[i] = split(sha256.Sum256(m[:]))
	}
}

func putElement(dst []byte, e field.Element) {
	b := e.Bytes()
	copy(dst, b[:])
}

func split(sum [32]byte) (a, b field.Element) { return field.Load(sum[:16]), field.Load(sum[16:]) }
