package ristretto

import (
	"fmt"

	"filippo.io/edwards25519"
)

// Batch is a sequence of elements in the form that the processor is best at:
// eight to a vector, or one by one. Decode, Hash and SetAll give it its
// elements; the other methods work on those. The zero value is an empty batch.
// It keeps its memory when it gets new elements. Not safe for concurrent use.
type Batch struct {
	n int
	// One of the two holds the elements.
	single []Element
	lanes  lanes
	// generic keeps to single elements where vectors would do.
	generic bool
}

// DecodeError reports bytes that are no element.
type DecodeError struct {
	// Index is the position of the element in its batch.
	Index int
	// Err is ErrIdentity or ErrNotCanonical.
	Err error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("ristretto: element %d %v", e.Index, e.Err) }

func (e *DecodeError) Unwrap() error { return e.Err }

// Len returns the number of elements.
func (b *Batch) Len() int { return b.n }

// reset makes room for n elements.
func (b *Batch) reset(n int) {
	b.n = n
	if !b.generic && b.lanes.reset(n) {
		return
	}
	if cap(b.single) < n {
		b.single = make([]Element, n)
	}
	b.single = b.single[:n]
}

// vectors reports whether the elements are in vectors.
func (b *Batch) vectors() bool { return !b.generic && haveLanes }

// Decode sets b to the elements that src, ElementSize bytes each, encodes. It
// refuses what Element.Decode refuses, with a *DecodeError of the first such
// element; the batch is then empty.
func (b *Batch) Decode(src []byte) error {
	if len(src)%ElementSize != 0 {
		panic("ristretto: encodings of no whole number of elements")
	}
	b.reset(len(src) / ElementSize)
	if b.vectors() {
		if err := b.lanes.decode(src); err != nil {
			b.n = 0
			return err
		}
		return nil
	}
	for i := range b.single {
		if err := b.single[i].Decode(src[i*ElementSize:][:ElementSize]); err != nil {
			b.n = 0
			return &DecodeError{Index: i, Err: err}
		}
	}
	return nil
}

// Hash sets b to the hashes of messages to the group: msg(i) for each i below
// n, which it calls in order and whose result it does not keep.
func (b *Batch) Hash(h *Hasher, n int, msg func(i int) []byte) {
	b.reset(n)
	if b.vectors() {
		b.lanes.hash(h, n, msg)
		return
	}
	for i := range b.single {
		h.Element(&b.single[i], msg(i))
	}
}

// SetAll sets b to the given elements.
func (b *Batch) SetAll(es []*Element) {
	b.reset(len(es))
	if b.vectors() {
		b.lanes.set(es)
		return
	}
	for i, e := range es {
		b.single[i] = *e
	}
}

// Set sets b to the elements of a.
func (b *Batch) Set(a *Batch) {
	b.generic = a.generic
	b.reset(a.n)
	if b.vectors() {
		b.lanes.copy(&a.lanes)
		return
	}
	copy(b.single, a.single)
}

// At sets e to element i.
func (b *Batch) At(e *Element, i int) {
	if i < 0 || i >= b.n {
		panic("ristretto: element beyond the batch")
	}
	if b.vectors() {
		b.lanes.at(e, i)
		return
	}
	*e = b.single[i]
}

// Multiply multiplies every element by k.
func (b *Batch) Multiply(k *Scalar) {
	if b.vectors() {
		b.lanes.multiply(func(int) *Scalar { return k }, b.n)
		return
	}
	for i := range b.single {
		b.single[i].Multiply(k, &b.single[i])
	}
}

// MultiplyEach multiplies element i by ks[i]. There is one for each.
func (b *Batch) MultiplyEach(ks []Scalar) {
	if len(ks) != b.n {
		panic("ristretto: not one scalar for each element")
	}
	if b.vectors() {
		b.lanes.multiply(func(i int) *Scalar { return &ks[i] }, b.n)
		return
	}
	for i := range b.single {
		b.single[i].Multiply(&ks[i], &b.single[i])
	}
}

// MultiplyBase sets b to the products of the scalars with the generator.
func (b *Batch) MultiplyBase(ks []Scalar) {
	b.reset(len(ks))
	if b.vectors() {
		b.lanes.setGenerator()
		b.MultiplyEach(ks)
		return
	}
	for i := range b.single {
		b.single[i].MultiplyBase(&ks[i])
	}
}

// Add adds the elements of a, as many, to those of b.
func (b *Batch) Add(a *Batch) { b.combine(a, (*Element).Add, (*lanes).add) }

// Subtract subtracts the elements of a, as many, from those of b.
func (b *Batch) Subtract(a *Batch) { b.combine(a, (*Element).Subtract, (*lanes).subtract) }

func (b *Batch) combine(a *Batch, single func(e, x, y *Element), vectors func(l, m *lanes)) {
	if a.n != b.n || a.generic != b.generic {
		panic("ristretto: batches of different lengths or forms")
	}
	if b.vectors() {
		vectors(&b.lanes, &a.lanes)
		return
	}
	for i := range b.single {
		single(&b.single[i], &b.single[i], &a.single[i])
	}
}

// Encode writes the encodings of the elements to dst, ElementSize bytes each.
func (b *Batch) Encode(dst []byte) {
	if len(dst) != b.n*ElementSize {
		panic("ristretto: encodings of another number of elements")
	}
	if b.vectors() {
		b.lanes.encode(dst)
		return
	}
	for i := range b.single {
		b.single[i].Encode(dst[i*ElementSize:])
	}
}

// VarTimeSums cuts the batch into as many equal parts as there are sums and sets
// each sum to that of ks[i] times element i over its part (multi-scalar
// multiplication). There is one scalar for each element; all may be public only,
// since time depends on them.
func (b *Batch) VarTimeSums(sums []*Element, ks []Scalar) {
	if len(ks) != b.n || len(sums) == 0 || b.n%len(sums) != 0 {
		panic("ristretto: not one scalar for each element, or unequal parts")
	}
	if b.vectors() {
		b.lanes.sums(sums, ks)
		return
	}
	scalars, points := make([]*edwards25519.Scalar, b.n), make([]*edwards25519.Point, b.n)
	for i := range ks {
		scalars[i], points[i] = &ks[i].s, &b.single[i].p
	}
	size := b.n / len(sums)
	for j, sum := range sums {
		sum.p.VarTimeMultiScalarMult(scalars[j*size:][:size], points[j*size:][:size])
	}
}
