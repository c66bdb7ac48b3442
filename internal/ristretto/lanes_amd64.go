//go:build !purego

package ristretto

import (
	"unsafe"

	"filippo.io/edwards25519/field"

	"github.com/symbolon/symbolon/internal/cpu"
)

// haveLanes tells that elements are handled in vectors.
var haveLanes = cpu.Host().IFMA

// lanes are the elements of a batch, eight to a point. What is in lanes beyond
// the last element does not matter.
type lanes struct {
	// Of even length: square roots are taken of two vectors at a time.
	points []point
	table  *table
	n      int
}

// aligned returns room for n values of a type without pointers, where vectors
// lie in one cache line.
func aligned[T any](n int) []T {
	const line = 64
	var zero T
	room := make([]byte, n*int(unsafe.Sizeof(zero))+line)
	skip := -uintptr(unsafe.Pointer(&room[0])) % line
	return unsafe.Slice((*T)(unsafe.Pointer(&room[skip])), n)
}

// reset makes room for n elements and reports whether there are vectors.
func (l *lanes) reset(n int) bool {
	if !haveLanes {
		return false
	}
	vectors := (n + 15) / 16 * 2
	if cap(l.points) < vectors {
		l.points = aligned[point](vectors)
	}
	l.points, l.n = l.points[:vectors], n
	return true
}

// eachPair calls f for each two vectors with the index of their first element
// and the number of elements there.
func (l *lanes) eachPair(f func(a, b *point, first, n int)) {
	for i := 0; i < len(l.points); i += 2 {
		f(&l.points[i], &l.points[i+1], 8*i, min(16, l.n-8*i))
	}
}

func (l *lanes) decode(src []byte) (err error) {
	l.eachPair(func(a, b *point, first, n int) {
		if err != nil {
			return
		}
		var s wide
		var reasons [16]error
		for lane := range n {
			enc := src[(first+lane)*ElementSize:][:ElementSize]
			if reasons[lane] = checkField(enc); reasons[lane] == nil {
				s.load(lane, enc)
			}
		}
		var p points
		bad := p.decode(&s)
		for lane := range n {
			reason := reasons[lane]
			if reason == nil && bad[lane/8][lane%8] != 0 {
				reason = ErrNotCanonical
			}
			if reason != nil {
				err = &DecodeError{Index: first + lane, Err: reason}
				return
			}
		}
		p.get(a, b)
	})
	return err
}

func (l *lanes) encode(dst []byte) {
	l.eachPair(func(a, b *point, first, n int) {
		var p points
		var s wide
		p.set(a, b)
		p.encode(&s)
		for lane := range n {
			s.store(lane, dst[(first+lane)*ElementSize:][:ElementSize])
		}
	})
}

func (l *lanes) hash(h *Hasher, n int, msg func(i int) []byte) {
	l.eachPair(func(a, b *point, first, n int) {
		var halves [2]wide
		for lane := range n {
			u := h.uniform(msg(first + lane))
			halves[0].load(lane, u[:32])
			halves[1].load(lane, u[32:])
		}
		var p points
		var a1, b1 point
		var q cached
		p.elligator(&halves[0])
		p.get(a, b)
		p.elligator(&halves[1])
		p.get(&a1, &b1)
		q.set(&a1)
		a.add(&q, true)
		q.set(&b1)
		b.add(&q, true)
	})
}

func (l *lanes) set(es []*Element) {
	for i, e := range es {
		p, lane := &l.points[i/8], i%8
		x, y, z, t := e.p.ExtendedCoordinates()
		p.x.load(lane, x.Bytes())
		p.y.load(lane, y.Bytes())
		p.z.load(lane, z.Bytes())
		p.t.load(lane, t.Bytes())
	}
}

// generator has the generator in every lane.
var generator = func() *point {
	var g Element
	g.SetGenerator()
	var l lanes
	l.points = make([]point, 1)
	l.set([]*Element{&g, &g, &g, &g, &g, &g, &g, &g})
	return &l.points[0]
}()

func (l *lanes) setGenerator() {
	for i := range l.points {
		l.points[i] = *generator
	}
}

func (l *lanes) add(m *lanes) {
	var q cached
	for i := range l.points {
		q.set(&m.points[i])
		l.points[i].add(&q, true)
	}
}

func (l *lanes) subtract(m *lanes) {
	var q cached
	for i := range l.points {
		// The negative of a point has -x and -t.
		opposite, xt := m.points[i], wide{m.points[i].x, m.points[i].t}
		xt.negate(&xt)
		opposite.x, opposite.t = xt[0], xt[1]
		q.set(&opposite)
		l.points[i].add(&q, true)
	}
}

func (l *lanes) copy(from *lanes) { copy(l.points, from.points) }

func (l *lanes) at(e *Element, i int) { l.points[i/8].at(e, i%8) }

func (p *point) at(e *Element, lane int) {
	xy, zt := wide{p.x, p.y}, wide{p.z, p.t}
	xy.canonical(&xy)
	zt.canonical(&zt)
	var coordinates [4]field.Element
	for i, v := range []*vec{&xy[0], &xy[1], &zt[0], &zt[1]} {
		var b [32]byte
		v.store(lane, b[:])
		if _, err := coordinates[i].SetBytes(b[:]); err != nil {
			panic("ristretto: " + err.Error())
		}
	}
	e.set(&coordinates[0], &coordinates[1], &coordinates[2], &coordinates[3])
}

// multiply multiplies element i by k(i), for i below n.
func (l *lanes) multiply(k func(i int) *Scalar, n int) {
	if l.table == nil {
		l.table = &aligned[table](1)[0]
	}
	t := l.table
	for first := 0; first < n; first += 8 {
		for lane := range 8 {
			// Multiplied by zero, the lanes beyond the last element count
			// for nothing in a sum.
			s := new(Scalar)
			if first+lane < n {
				s = k(first + lane)
			}
			t.setDigits(lane, s)
		}
		t.multiply(&l.points[first/8])
	}
	clear(t.digits[:])
	t.chosen = cached{}
}

func (l *lanes) sums(sums []*Element, ks []Scalar) {
	var products lanes
	products.reset(l.n)
	products.copy(l)
	products.multiply(func(i int) *Scalar { return &ks[i] }, l.n)
	n := l.n
	if len(sums) == 1 && n > 8 {
		// All vectors into the first, lane by lane.
		var q cached
		for i := 8; i < n; i += 8 {
			q.set(&products.points[i/8])
			products.points[0].add(&q, true)
		}
		n = 8
	}
	size := n / len(sums)
	var part Element
	for j, sum := range sums {
		sum.SetIdentity()
		for i := range size {
			products.at(&part, j*size+i)
			sum.Add(sum, &part)
		}
	}
}
