package hugepage

import (
	"testing"

	"github.com/symbolon/symbolon/internal/field"
)

func TestElements(t *testing.T) {
	for _, n := range []int{0, 1, pageSize/field.Size - 1, pageSize / field.Size, 5*pageSize/field.Size + 3} {
		v := Elements(n)
		if len(v) != n {
			t.Fatalf("got %d elements, want %d", len(v), n)
		}
		for i := range v {
			if !v[i].IsZero() {
				t.Fatalf("element %d of %d is not zero", i, n)
			}
			v[i].Lo = uint64(i)
		}
		for i := range v {
			if v[i].Lo != uint64(i) {
				t.Fatalf("element %d of %d was lost", i, n)
			}
		}
	}
}
