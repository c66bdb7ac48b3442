package ot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/symbolon/symbolon/internal/bitvec"
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/oracle"
)

// seeded is a reproducible source of randomness.
type seeded struct{ r *rand.Rand }

func newSeeded(seed uint64) seeded { return seeded{rand.New(rand.NewPCG(seed, 77))} }

func (s seeded) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.r.Uint32())
	}
	return len(p), nil
}

func randomChoices(r *rand.Rand, n int) []bool {
	c := make([]bool, n)
	for i := range c {
		c[i] = r.Uint32()&1 == 1
	}
	return c
}

var binding = []byte("a run")

func TestEndemic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var b Base = Endemic{}
	for _, n := range []int{0, 1, 7, 32} {
		choices := randomChoices(r, n)
		request, receiver, err := b.Request(binding, choices, newSeeded(1))
		if err != nil || len(request) != b.RequestLen(n) {
			t.Fatalf("request of %d bytes, error %v", len(request), err)
		}
		reply, pairs, err := b.Reply(binding, n, request, newSeeded(2))
		if err != nil || len(reply) != b.ReplyLen(n) {
			t.Fatalf("reply of %d bytes, error %v", len(reply), err)
		}
		keys, err := receiver.Keys(reply)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range keys {
			if c := bit(choices[i]); k != pairs[i][c] || k == pairs[i][1-c] {
				t.Fatalf("OT %d: the receiver does not have exactly its own key", i)
			}
		}
		again, _, err := b.Request(binding, choices, newSeeded(1))
		if err != nil || !bytes.Equal(again, request) {
			t.Fatalf("a seed does not reproduce the request: %v", err)
		}
		if _, other, err := b.Reply([]byte("another run"), n, request, newSeeded(2)); err != nil || n > 0 && other[0] == pairs[0] {
			t.Fatalf("the binding does not separate runs: %v", err)
		}
	}
}

func TestEndemicRefusesMalformedMessages(t *testing.T) {
	b := Endemic{}
	request, receiver, err := b.Request(binding, []bool{true, false}, newSeeded(3))
	if err != nil {
		t.Fatal(err)
	}
	reply, _, err := b.Reply(binding, 2, request, newSeeded(4))
	if err != nil {
		t.Fatal(err)
	}
	// p = 2^255 - 19 encodes zero, but not canonically.
	noncanonical := append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...)
	noncanonical = append(noncanonical, 0x7f)
	points := map[string][]byte{
		"identity":      make([]byte, 32),
		"not a square":  append([]byte{1}, make([]byte, 31)...),
		"non-canonical": noncanonical,
		"negative":      append(bytes.Repeat([]byte{0xff}, 31), 0x7f),
	}
	for name, p := range points {
		for slot := range 4 {
			bad := append([]byte(nil), request...)
			copy(bad[slot*pointLen:], p)
			if _, _, err := b.Reply(binding, 2, bad, newSeeded(4)); !errors.Is(err, ErrMalformed) {
				t.Errorf("request with %s at %d was accepted", name, slot)
			}
		}
		bad := append([]byte(nil), reply...)
		copy(bad[pointLen:], p)
		if _, err := receiver.Keys(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("reply with %s was accepted", name)
		}
	}
	for _, m := range [][]byte{nil, request[:127], append(request, 0)} {
		if _, _, err := b.Reply(binding, 2, m, newSeeded(4)); !errors.Is(err, ErrMalformed) {
			t.Errorf("request of %d bytes was accepted", len(m))
		}
	}
	for _, m := range [][]byte{nil, reply[:63], append(reply, 0)} {
		if _, err := receiver.Keys(m); !errors.Is(err, ErrMalformed) {
			t.Errorf("reply of %d bytes was accepted", len(m))
		}
	}
}

// dealt returns base OTs as a trusted dealer would.
func dealt(r *rand.Rand) (pairs [][2]Key, keys []Key, delta field.Element) {
	delta = field.Element{Lo: r.Uint64(), Hi: r.Uint64()}
	for i := range BaseCount {
		sum := oracle.Sum("deal", []byte{byte(i)})
		pair := [2]Key{Key(sum[:16]), Key(sum[16:])}
		pairs = append(pairs, pair)
		keys = append(keys, pair[deltaBit(delta, i)])
	}
	return pairs, keys, delta
}

func TestExtension(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 63, 64, 65, 127, 128, 129, 1000} {
		pairs, keys, delta := dealt(r)
		choices := bitvec.New(n)
		for i := range n {
			choices.Or(i, r.Uint64())
		}
		msg, tt, err := Extend(binding, pairs, choices, n, newSeeded(5))
		if err != nil || len(msg) != ExtendLen(n) {
			t.Fatalf("n = %d: message of %d bytes, error %v", n, len(msg), err)
		}
		q, err := Accept(binding, keys, delta, msg, n)
		if err != nil || len(q) != n || len(tt) != n {
			t.Fatalf("n = %d: %d and %d correlations, error %v", n, len(q), len(tt), err)
		}
		for j := range n {
			want := q[j]
			if choices.Get(j) == 1 {
				want = want.Add(delta)
			}
			if tt[j] != want {
				t.Fatalf("n = %d: t = q + uΔ fails at %d", n, j)
			}
		}
		if _, err := Accept([]byte("another run"), keys, delta, msg, n); n > 0 && !errors.Is(err, ErrCheck) {
			t.Fatalf("a message of another run gives %v", err)
		}
	}
}

func TestExtensionCatchesLies(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	const n = 300
	pairs, keys, delta := dealt(r)
	msg, _, err := Extend(binding, pairs, bitvec.New(n), n, newSeeded(6))
	if err != nil {
		t.Fatal(err)
	}
	body := BaseCount * rowsFor(n) / 8
	for name, at := range map[string]int{"correction": 5, "last mask row": body - 1, "hash of choices": body, "digest": len(msg) - 1} {
		bad := append([]byte(nil), msg...)
		bad[at] ^= 0x10
		if _, err := Accept(binding, keys, delta, bad, n); !errors.Is(err, ErrCheck) {
			t.Errorf("altered %s gives %v", name, err)
		}
	}
	for _, m := range [][]byte{nil, msg[:len(msg)-1], append(msg, 0)} {
		if _, err := Accept(binding, keys, delta, m, n); !errors.Is(err, ErrMalformed) {
			t.Errorf("message of %d bytes was accepted", len(m))
		}
	}
}

// TestInconsistentColumnGuessesDelta states what the check leaves open: a
// receiver that uses another u in one column, and answers as if that bit of Δ
// were zero, passes exactly when the bit is zero.
func TestInconsistentColumnGuessesDelta(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	const n, column = 200, 17
	for range 8 {
		pairs, keys, delta := dealt(r)
		words := rowsFor(n) / 64
		msg := inconsistent(t, pairs, n, column, words)
		_, err := Accept(binding, keys, delta, msg, n)
		if caught := errors.Is(err, ErrCheck); caught != (deltaBit(delta, column) == 1) {
			t.Fatalf("bit %d of Δ is %d, error %v", column, deltaBit(delta, column), err)
		}
	}
}

// inconsistent is Extend with u flipped in one bit of one column.
func inconsistent(t *testing.T, pairs [][2]Key, n, column, words int) []byte {
	t.Helper()
	u, err := padChoices(bitvec.New(n), n, rowsFor(n), newSeeded(8))
	if err != nil {
		t.Fatal(err)
	}
	msg, _, err := Extend(binding, pairs, bitvec.New(n), n, newSeeded(8))
	if err != nil {
		t.Fatal(err)
	}
	msg[column*words*8] ^= 1
	body := BaseCount * words * 8
	check := newColumnHash(binding, msg[:body], rowsFor(n))
	columns := make([]uint64, BaseCount*words)
	for i, p := range pairs {
		expand(columns[i*words:(i+1)*words], p[0])
	}
	uHash := check.sum(u).Bytes()
	digest := check.digest(columns, field.Element{}, field.Element{})
	copy(msg[body:], uHash[:])
	copy(msg[body+field.Size:], digest[:])
	return msg
}

func BenchmarkEndemic(b *testing.B) {
	for b.Loop() {
		request, receiver, err := Endemic{}.Request(binding, make([]bool, BaseCount), newSeeded(1))
		if err != nil {
			b.Fatal(err)
		}
		reply, _, err := Endemic{}.Reply(binding, BaseCount, request, newSeeded(2))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := receiver.Keys(reply); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEndemicIsPinned keeps messages and keys from changing with the
// implementation of the group: both versions must be able to talk.
func TestEndemicIsPinned(t *testing.T) {
	request, receiver, err := Endemic{}.Request(binding, []bool{false, true, true}, newSeeded(1))
	if err != nil {
		t.Fatal(err)
	}
	reply, pairs, err := Endemic{}.Reply(binding, 3, request, newSeeded(2))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := receiver.Keys(reply)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %x %x %x", request, reply, pairs, keys))
	if got, want := hex.EncodeToString(sum[:]), "fbf3c67aa0f076a192fa6c442b25d87939ebe8c45517532903f5a196dd694321"; got != want {
		t.Errorf("the exchange hashes to %s, want %s", got, want)
	}
}
