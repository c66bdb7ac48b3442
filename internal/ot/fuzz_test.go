package ot

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/symbolon/symbolon/internal/bitvec"
)

// FuzzBase feeds any bytes to both steps of the base OTs: what is not refused
// as malformed gives keys, the same for the same bytes.
func FuzzBase(f *testing.F) {
	b := Endemic{Workers: 1}
	request, _, err := b.Request(binding, []bool{true}, newSeeded(1))
	if err != nil {
		f.Fatal(err)
	}
	reply, _, err := b.Reply(binding, 1, request, newSeeded(2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Add(reply)
	f.Add(make([]byte, 64))
	f.Add(bytes.Repeat([]byte{0xff}, 32))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, pairs, err := b.Reply(binding, 1, data, newSeeded(3))
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if err == nil {
			again, same, err := b.Reply(binding, 1, data, newSeeded(3))
			if err != nil || !bytes.Equal(first, again) || pairs[0] != same[0] || pairs[0][0] == pairs[0][1] {
				t.Fatalf("an accepted request gives other keys the second time: %v", err)
			}
		}
		_, receiver, err := b.Request(binding, []bool{false}, newSeeded(4))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receiver.Keys(data); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
	})
}

// FuzzAccept alters a message of the extension anywhere: it is accepted
// unaltered only. Even a correction under a bit of Δ that is zero changes the
// coefficients of the check.
func FuzzAccept(f *testing.F) {
	const n = 130
	pairs, keys, delta := dealt(rand.New(rand.NewPCG(5, 5)))
	msg, _, err := Extend(binding, pairs, bitvec.New(n), n, newSeeded(6))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, []byte{0})
	f.Add(17, []byte{1, 2, 3})
	f.Add(len(msg)-1, []byte{0x80})
	f.Add(len(msg)-48, bytes.Repeat([]byte{7}, 48))
	f.Add(-1, msg[:100])
	f.Fuzz(func(t *testing.T, at int, change []byte) {
		if at < 0 {
			if _, err := Accept(binding, keys, delta, change, n); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrCheck) {
				t.Fatalf("bytes of no extension give %v", err)
			}
			return
		}
		bad := bytes.Clone(msg)
		for i, c := range change {
			if at+i < len(bad) {
				bad[at+i] ^= c
			}
		}
		_, err := Accept(binding, keys, delta, bad, n)
		if same := bytes.Equal(bad, msg); same != (err == nil) || err != nil && !errors.Is(err, ErrCheck) {
			t.Fatalf("unaltered is %v, error %v", same, err)
		}
	})
}
