package okvs

import (
	"fmt"

	"github.com/symbolon/symbolon/internal/field"
)

// encoder holds the scratch of one bin at a time.
type encoder struct {
	params *Params
	// rows packs the three columns of a row in 16 bits each.
	rows []uint64
	// cols holds for each column the number of rows that select it, times
	// 2^16, and the XOR of their numbers: at count one, the row itself.
	cols []uint32
	// ready are columns that had count one; order are the rows solved, with
	// the column that each determines: column<<16 | row.
	ready []uint16
	order []uint32
	vals  []field.Element
}

func newEncoder(p *Params) *encoder {
	if p.Columns > 1<<16 {
		panic(fmt.Sprintf("okvs: %d columns do not fit in 16 bits", p.Columns))
	}
	return &encoder{
		params: p,
		rows:   make([]uint64, 0, p.Capacity),
		cols:   make([]uint32, p.Columns),
		ready:  make([]uint16, 0, p.Columns),
		order:  make([]uint32, 0, p.Capacity),
	}
}

// encode solves one bin into out, which is zero.
func (e *encoder) encode(keys, values, out []field.Element) error {
	if len(keys) > e.params.Capacity {
		return fmt.Errorf("%w: %d of %d", ErrCapacity, len(keys), e.params.Capacity)
	}
	e.fill(keys)
	e.peel()
	sparse, dense := out[:e.params.Columns], out[e.params.Columns:]
	if len(e.order) < len(keys) {
		if err := e.solveCore(keys, values, sparse, dense); err != nil {
			return err
		}
		// The core fixed the dense columns; the peeled rows have to follow.
		e.vals = append(e.vals[:0], values...)
		field.AddPoly(e.vals, keys, dense)
		values = e.vals
	}
	// Each row is solved when all columns but its own are known.
	for i := len(e.order) - 1; i >= 0; i-- {
		row, col := e.order[i]&0xffff, e.order[i]>>16
		c := e.rows[row]
		a, b, d, v := &sparse[c&0xffff], &sparse[c>>16&0xffff], &sparse[c>>32], &values[row]
		// The row's own column is still zero among the three.
		sparse[col] = field.Element{Lo: a.Lo ^ b.Lo ^ d.Lo ^ v.Lo, Hi: a.Hi ^ b.Hi ^ d.Hi ^ v.Hi}
	}
	return nil
}

// fill enters every key's columns.
func (e *encoder) fill(keys []field.Element) {
	clear(e.cols)
	e.rows = e.rows[:len(keys)]
	columnRows(host, e.rows, keys, len(e.cols))
	for i, c := range e.rows {
		p0, p1, p2, r := c&0xffff, c>>16&0xffff, c>>32, uint32(i)
		e.cols[p0] = (e.cols[p0] + 1<<16) ^ r
		e.cols[p1] = (e.cols[p1] + 1<<16) ^ r
		e.cols[p2] = (e.cols[p2] + 1<<16) ^ r
	}
}

// peel repeatedly takes a column that one row selects, and removes the row.
func (e *encoder) peel() {
	cols, rows := e.cols, e.rows
	order, ready := e.order[:cap(e.order)], e.ready[:cap(e.ready)]
	taken, entered := 0, 0
	for c, s := range cols {
		if s>>16 == 1 {
			ready[entered] = uint16(c)
			entered++
		}
	}
	// A column enters at most once: its count falls to one once.
	for i := 0; i < entered; i++ {
		c := ready[i]
		s := cols[c]
		if s>>16 != 1 {
			continue // its row went by another column
		}
		row := s & 0xffff
		order[taken] = uint32(c)<<16 | row
		taken++
		three := rows[row]
		for range Weight {
			p := three & 0xffff
			three >>= 16
			t := (cols[p] ^ row) - 1<<16
			cols[p] = t
			if t>>16 == 1 {
				ready[entered] = uint16(p)
				entered++
			}
		}
	}
	e.order = order[:taken]
}
