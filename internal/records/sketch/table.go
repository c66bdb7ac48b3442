package sketch

import "math/bits"

// Table holds many sketches of one shape, packed, and compares a query with
// all of them in the clear: the reference for the encrypted search.
type Table struct {
	p Params
	// width is the bits of a symbol: 1, 2 or 4. Words of 64 bits, so many a
	// sketch, hold the symbols from the lowest bit.
	width, words int
	data         []uint64
}

// NewTable returns an empty table for a valid shape.
func NewTable(p Params) *Table {
	if err := p.Validate(); err != nil {
		panic(err.Error())
	}
	t := &Table{p: p, width: 1}
	for 1<<t.width < p.Symbols {
		t.width *= 2
	}
	t.words = (p.Groups*t.width + 63) / 64
	return t
}

// Params returns the shape.
func (t *Table) Params() Params { return t.p }

// Add appends a sketch and returns its slot, counted from 0.
func (t *Table) Add(symbols []uint8) (slot int) {
	t.data = t.pack(t.data, symbols)
	return t.Len() - 1
}

// Len returns the number of slots.
func (t *Table) Len() int { return len(t.data) / t.words }

// Symbols appends the sketch of a slot to dst.
func (t *Table) Symbols(dst []uint8, slot int) []uint8 {
	row := t.row(slot)
	for i := range t.p.Groups {
		at := i * t.width
		dst = append(dst, uint8(row[at/64]>>(at%64))&(1<<t.width-1))
	}
	return dst
}

// Scores appends the score of every slot with the query to dst.
func (t *Table) Scores(dst []uint8, query []uint8) []uint8 {
	q := t.pack(nil, query)
	for row := 0; row < len(t.data); row += t.words {
		dst = append(dst, t.score(t.data[row:row+t.words], q))
	}
	return dst
}

// AtLeast appends to dst the slots whose score with the query is at least
// threshold: those that open.
func (t *Table) AtLeast(dst []int, query []uint8, threshold int) []int {
	q := t.pack(nil, query)
	for slot := range t.Len() {
		if int(t.score(t.row(slot), q)) >= threshold {
			dst = append(dst, slot)
		}
	}
	return dst
}

// row returns the words of a slot.
func (t *Table) row(slot int) []uint64 { return t.data[slot*t.words:][:t.words] }

// pack appends the words of a sketch to dst. Symbols of another shape are our
// own mistake: a sketch comes from a Sketcher, or was checked when decoded.
func (t *Table) pack(dst []uint64, symbols []uint8) []uint64 {
	if len(symbols) != t.p.Groups {
		panic("sketch: sketch of another length than the table's")
	}
	head := len(dst)
	for range t.words {
		dst = append(dst, 0)
	}
	for i, v := range symbols {
		if int(v) >= t.p.Symbols {
			panic("sketch: symbol outside the table's range")
		}
		at := i * t.width
		dst[head+at/64] |= uint64(v) << (at % 64)
	}
	return dst
}

// lowBits has the lowest bit of each symbol set, by width.
var lowBits = [5]uint64{1: ^uint64(0), 2: 0x5555555555555555, 4: 0x1111111111111111}

// score counts the equal symbols: those whose bits differ nowhere.
func (t *Table) score(a, b []uint64) uint8 {
	mask := lowBits[t.width]
	differ := 0
	for i, x := range a {
		x ^= b[i]
		switch t.width {
		case 2:
			x |= x >> 1
		case 4:
			x |= x >> 1
			x |= x >> 2
		}
		differ += bits.OnesCount64(x & mask)
	}
	return uint8(t.p.Groups - differ)
}
