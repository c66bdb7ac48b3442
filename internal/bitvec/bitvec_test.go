package bitvec

import (
	"math/rand/v2"
	"testing"

	"github.com/symbolon/symbolon/internal/field"
)

func TestVector(t *testing.T) {
	v := New(130)
	if len(v) != 3 {
		t.Fatalf("130 bits take %d words, want 3", len(v))
	}
	v.Set(129)
	v.Or(64, 1)
	v.Or(65, 2)
	for i := range 130 {
		want := uint64(0)
		if i == 129 || i == 64 {
			want = 1
		}
		if v.Get(i) != want {
			t.Errorf("bit %d is %d", i, v.Get(i))
		}
	}
}

func TestTranspose(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 128, 256, 640} {
		columns := make([]uint64, 128*n/64)
		for i := range columns {
			columns[i] = r.Uint64()
		}
		rows := make([]field.Element, n)
		Transpose(rows, columns)
		for i, row := range rows {
			for j := range 128 {
				word, bit := row.Lo, j
				if j >= 64 {
					word, bit = row.Hi, j-64
				}
				if word>>bit&1 != Vector(columns[j*n/64:]).Get(i) {
					t.Fatalf("n = %d: bit %d of row %d differs from bit %d of column %d", n, j, i, i, j)
				}
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("127 rows were accepted")
		}
	}()
	Transpose(make([]field.Element, 127), make([]uint64, 254))
}
