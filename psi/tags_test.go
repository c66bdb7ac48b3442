package psi

import (
	"encoding/binary"
	"testing"
)

func TestTagIndex(t *testing.T) {
	tag := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i))[2:] }
	x := NewTagIndex(6)
	for i := range 1000 {
		if !x.Add(tag(i)) {
			t.Fatalf("tag %d is refused", i)
		}
	}
	if x.Add(tag(77)) || x.Len() != 1000 {
		t.Fatal("a repeated tag is added")
	}
	for i := range 2000 {
		p, ok := x.Find(tag(i))
		if ok != (i < 1000) || ok && int(p) != i {
			t.Fatalf("Find(%d) = %d, %v", i, p, ok)
		}
	}
	if _, ok := x.Find(tag(3)[:5]); ok {
		t.Fatal("a shorter tag is found")
	}
	var flat []byte
	for i := range 9 {
		flat = append(flat, tag(i)...)
	}
	if y, err := IndexTags(6, flat); err != nil || y.Len() != 9 {
		t.Fatalf("IndexTags: %v", err)
	}
	if _, err := IndexTags(6, append(flat, tag(4)...)); err == nil {
		t.Fatal("IndexTags takes a repeated tag")
	}
}
