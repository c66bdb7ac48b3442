package oracle

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

func TestSumIsInjective(t *testing.T) {
	got := map[[32]byte]bool{}
	for _, tuple := range [][]string{{"d"}, {"d", ""}, {"d", "ab", "c"}, {"d", "a", "bc"}, {"d", "abc"}, {"dab", "c"}} {
		var parts [][]byte
		for _, p := range tuple[1:] {
			parts = append(parts, []byte(p))
		}
		got[Sum(tuple[0], parts...)] = true
	}
	if len(got) != 6 {
		t.Fatalf("6 tuples have %d sums", len(got))
	}
	want := sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x01d\x00\x00\x00\x00\x00\x00\x00\x02ab"))
	if Sum("d", []byte("ab")) != want {
		t.Fatal("a sum is not SHA-256 of the length-prefixed parts")
	}
}

func TestStreamAt(t *testing.T) {
	key := bytes.Repeat([]byte{5}, 16)
	whole, part := make([]byte, 160), make([]byte, 64)
	Fill(whole, Stream(key))
	Fill(part, StreamAt(key, 6))
	if !bytes.Equal(part, whole[96:]) {
		t.Fatal("a stream from its sixth block differs from the whole")
	}
}
