package okvs

import (
	"github.com/symbolon/symbolon/internal/field"
)

// coreRow is one row that peeling left: its sparse columns as bits over the
// core's columns, its dense coefficients k, k², ..., and its value.
type coreRow struct {
	bits  []uint64
	dense []field.Element
	value field.Element
	pivot int // the column it determines, -1 for none
}

func (r *coreRow) addRow(o *coreRow) {
	for w := range r.bits {
		r.bits[w] ^= o.bits[w]
	}
	field.AddTo(r.dense, o.dense)
	r.value = r.value.Add(o.value)
}

// solveCore solves the rows that peeling left, by elimination of the binary
// part, then of the dense part of the rows that have no binary part left. It
// writes the core's columns and the dense ones.
func (e *encoder) solveCore(keys, values, sparse, dense []field.Element) error {
	rows, cols, err := e.core(keys, values)
	if err != nil {
		return err
	}
	var pivots, gap []*coreRow
	for i := range rows {
		r := &rows[i]
		for _, p := range pivots {
			if r.bits[p.pivot/64]>>(p.pivot%64)&1 == 1 {
				r.addRow(p)
			}
		}
		if r.pivot = firstBit(r.bits); r.pivot < 0 {
			gap = append(gap, r)
		} else {
			pivots = append(pivots, r)
		}
	}
	if err := solveDense(gap, dense); err != nil {
		return err
	}
	// A pivot row holds no pivot of an earlier row: backwards, all its other
	// columns are known or free, and free ones are zero.
	for i := len(pivots) - 1; i >= 0; i-- {
		r := pivots[i]
		v := r.value.Add(field.InnerProduct(r.dense, dense))
		for j, c := range cols {
			if j != r.pivot && r.bits[j/64]>>(j%64)&1 == 1 {
				v = v.Add(sparse[c])
			}
		}
		sparse[cols[r.pivot]] = v
	}
	return nil
}

// core collects the rows that are left, over the columns that they select.
func (e *encoder) core(keys, values []field.Element) ([]coreRow, []int, error) {
	index := make([]int, len(e.cols))
	var cols []int
	for c, s := range e.cols {
		if s>>16 > 0 {
			index[c] = len(cols)
			cols = append(cols, c)
		}
	}
	solved := make([]bool, len(keys))
	for _, o := range e.order {
		solved[o&0xffff] = true
	}
	rows := make([]coreRow, 0, len(keys)-len(e.order))
	seen := make(map[field.Element]bool)
	for i, k := range keys {
		if solved[i] {
			continue
		}
		if seen[k] {
			return nil, nil, ErrDuplicate
		}
		seen[k] = true
		r := coreRow{bits: make([]uint64, (len(cols)+63)/64), value: values[i], dense: make([]field.Element, e.params.Dense)}
		for three, j := e.rows[i], 0; j < Weight; j++ {
			c := index[three&0xffff]
			r.bits[c/64] ^= 1 << (c % 64)
			three >>= 16
		}
		power := field.One
		for j := range r.dense {
			power = power.Mul(k)
			r.dense[j] = power
		}
		rows = append(rows, r)
	}
	return rows, cols, nil
}

// solveDense solves the rows of the gap, which have only dense coefficients.
func solveDense(gap []*coreRow, dense []field.Element) error {
	if len(gap) > len(dense) {
		return ErrSingular
	}
	for i, r := range gap {
		r.pivot = -1
		for j, d := range r.dense {
			if !d.IsZero() {
				r.pivot = j
				break
			}
		}
		if r.pivot < 0 {
			return ErrSingular
		}
		inv := r.dense[r.pivot].Inverse()
		for j := range r.dense {
			r.dense[j] = r.dense[j].Mul(inv)
		}
		r.value = r.value.Mul(inv)
		for k, o := range gap {
			if f := o.dense[r.pivot]; k != i && !f.IsZero() {
				field.MulAdd(o.dense, r.dense, f)
				o.value = o.value.Add(r.value.Mul(f))
			}
		}
	}
	for _, r := range gap {
		dense[r.pivot] = r.value
	}
	return nil
}

func firstBit(bits []uint64) int {
	for w, b := range bits {
		for j := range 64 {
			if b>>j&1 == 1 {
				return 64*w + j
			}
		}
	}
	return -1
}
