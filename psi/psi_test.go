package psi

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestTagBits(t *testing.T) {
	for _, tt := range []struct {
		ns, nr   int
		security Security
		want     int
	}{
		{0, 0, SemiHonest, 40}, {1, 1, SemiHonest, 40}, {2, 2, SemiHonest, 42},
		{3, 1, SemiHonest, 42}, {1 << 20, 1<<20 + 1, SemiHonest, 81}, {5, 5, Malicious, 128},
	} {
		p := Params{Security: tt.security, SenderItems: tt.ns, ReceiverItems: tt.nr}
		if got := p.TagBits(); got != tt.want {
			t.Errorf("TagBits(%d, %d, %s) = %d, want %d", tt.ns, tt.nr, tt.security, got, tt.want)
		}
	}
}

func TestHashTupleIsInjective(t *testing.T) {
	a := HashTuple([]byte("ab"), []byte("c"))
	b := HashTuple([]byte("a"), []byte("bc"))
	c := HashTuple([]byte("abc"))
	if a == b || a == c || b == c {
		t.Fatal("tuples with equal concatenation hash alike")
	}
}

func TestItemHasher(t *testing.T) {
	s1, s2 := [32]byte{1}, [32]byte{2}
	h := NewItemHasher(s1)
	want := h.Item("document", "XA 123")
	if h.Item("phone", "XA 123") == want || NewItemHasher(s2).Item("document", "XA 123") == want {
		t.Fatal("rule or session does not separate items")
	}
	sum := HashTuple([]byte("symbolon/v1/item"), s1[:], []byte("document"), []byte("XA 123"))
	if got := h.Clone().Item("document", "XA 123"); got != want || !bytes.Equal(got[:], sum[:16]) {
		t.Fatal("an item is not the first half of the tuple's hash")
	}
}

func TestItems(t *testing.T) {
	h := NewItemHasher([32]byte{3})
	for _, rule := range []string{"", "document", strings.Repeat("r", 47), strings.Repeat("r", 80)} {
		for n := range 200 {
			keys := make([][]byte, n)
			for i := range keys {
				keys[i] = bytes.Repeat([]byte{byte(i)}, i*i%70)
			}
			got := make([]Item, n)
			h.Clone().Items(got, rule, func(i int) []byte { return keys[i] })
			for i := range got {
				if got[i] != h.Item(rule, string(keys[i])) {
					t.Fatalf("rule of %d bytes: item %d of %d differs from one hashed alone", len(rule), i, n)
				}
			}
		}
	}
}

func TestStream(t *testing.T) {
	read := func(r io.Reader, n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	seed := bytes.Repeat([]byte{7}, 32)
	whole := read(NewStream(seed, "x", 0, 1), 100)
	r := NewStream(seed, "x", 0, 1)
	if got := append(read(r, 33), read(r, 67)...); !bytes.Equal(got, whole) {
		t.Fatal("a stream depends on how it is read")
	}
	for name, other := range map[string]io.Reader{
		"domain":  NewStream(seed, "y", 0, 1),
		"attempt": NewStream(seed, "x", 0, 2),
		"shard":   NewStream(seed, "x", 1, 1),
		"seed":    NewStream(bytes.Repeat([]byte{8}, 32), "x", 0, 1),
	} {
		if bytes.Equal(read(other, 100), whole) {
			t.Errorf("another %s gives the same stream", name)
		}
	}
}
