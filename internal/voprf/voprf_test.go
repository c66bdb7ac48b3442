package voprf

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"

	"github.com/symbolon/symbolon/internal/ristretto"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func join(t testing.TB, parts []string) []byte { return unhex(t, strings.Join(parts, "")) }

// randomness is reproducible and not secret.
func randomness(seed string) *rand.ChaCha8 {
	var key [32]byte
	copy(key[:], seed)
	return rand.NewChaCha8(key)
}

func scalars(t testing.TB, parts []string) []ristretto.Scalar {
	t.Helper()
	ks := make([]ristretto.Scalar, len(parts))
	for i, p := range parts {
		if err := ks[i].Decode(unhex(t, p)); err != nil {
			t.Fatal(err)
		}
	}
	return ks
}

func inputs(n int) [][]byte {
	in := make([][]byte, n)
	for i := range in {
		in[i] = fmt.Appendf(nil, "input %d of %d", i, n)
	}
	return in
}

func TestVectors(t *testing.T) {
	type vector struct {
		Input      []string `json:"input"`
		Blind      []string `json:"blind"`
		Blinded    []string `json:"blinded_element"`
		Evaluation []string `json:"evaluation_element"`
		Proof      string   `json:"proof"`
		Random     string   `json:"proof_random_scalar"`
		Output     []string `json:"output"`
	}
	var file struct {
		Suites []struct {
			Mode    Mode     `json:"mode"`
			Seed    string   `json:"seed"`
			Info    string   `json:"key_info"`
			Secret  string   `json:"secret_key"`
			Public  string   `json:"public_key"`
			Vectors []vector `json:"vectors"`
		} `json:"suites"`
	}
	b, err := os.ReadFile("testdata/rfc9497_a1.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, s := range file.Suites {
		key, err := DeriveKey(s.Mode, unhex(t, s.Seed), unhex(t, s.Info))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(key.Bytes(), unhex(t, s.Secret)) {
			t.Fatalf("mode %d: derived another key", s.Mode)
		}
		var public *PublicKey
		if s.Mode == ModeVOPRF {
			if public, err = ParsePublicKey(s.Mode, unhex(t, s.Public)); err != nil {
				t.Fatal(err)
			}
			if !public.Equal(key.Public()) {
				t.Fatal("another public key")
			}
		}
		for i, v := range s.Vectors {
			seen++
			var in [][]byte
			for _, p := range v.Input {
				in = append(in, unhex(t, p))
			}
			request := suites[s.Mode].blind(scalars(t, v.Blind), in)
			if !bytes.Equal(request.Blinded(), join(t, v.Blinded)) {
				t.Errorf("mode %d, vector %d: blinded elements differ", s.Mode, i)
			}
			var r ristretto.Scalar
			if v.Random != "" {
				r = scalars(t, []string{v.Random})[0]
			}
			evaluated, proof, err := key.blindEvaluate(&r, request.Blinded())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(evaluated, join(t, v.Evaluation)) {
				t.Errorf("mode %d, vector %d: evaluated elements differ", s.Mode, i)
			}
			if !bytes.Equal(proof, unhex(t, v.Proof)) {
				t.Errorf("mode %d, vector %d: proof is %x", s.Mode, i, proof)
			}
			got, err := request.Finalize(public, evaluated, proof)
			if err != nil {
				t.Fatal(err)
			}
			own, err := key.Evaluate(context.Background(), in, 1)
			if err != nil {
				t.Fatal(err)
			}
			for j := range got {
				if want := unhex(t, v.Output[j]); !bytes.Equal(got[j][:], want) || own[j] != got[j] {
					t.Errorf("mode %d, vector %d, output %d: got %x and %x", s.Mode, i, j, got[j], own[j])
				}
			}
		}
	}
	if seen != 5 {
		t.Errorf("saw %d vectors", seen)
	}
}

// TestRoundTrip runs both parties for batches of many sizes.
func TestRoundTrip(t *testing.T) {
	for _, mode := range []Mode{ModeOPRF, ModeVOPRF} {
		r := randomness("round trip")
		key, err := GenerateKey(mode, r)
		if err != nil {
			t.Fatal(err)
		}
		key, err = ParsePrivateKey(mode, key.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 2, 8, 9, 17, 64} {
			in := inputs(n)
			request, err := Blind(mode, r, in)
			if err != nil {
				t.Fatal(err)
			}
			evaluated, proof, err := key.BlindEvaluate(r, request.Blinded())
			if err != nil {
				t.Fatal(err)
			}
			var public *PublicKey
			if mode == ModeVOPRF {
				public = key.Public()
			}
			got, err := request.Finalize(public, evaluated, proof)
			if err != nil {
				t.Fatalf("mode %d, %d inputs: %v", mode, n, err)
			}
			want, err := key.Evaluate(context.Background(), in, 2)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("mode %d, output %d of %d differs", mode, i, n)
				}
			}
			if _, err := request.Finalize(public, evaluated, proof); err == nil || errors.Is(err, ErrPeer) {
				t.Errorf("a spent request: got error %v", err)
			}
		}
	}
}

// TestAgainstCircl has each of the two answer the other.
func TestAgainstCircl(t *testing.T) {
	r := randomness("circl")
	key, err := GenerateKey(ModeVOPRF, r)
	if err != nil {
		t.Fatal(err)
	}
	var theirs oprf.PrivateKey
	if err := theirs.UnmarshalBinary(oprf.SuiteRistretto255, key.Bytes()); err != nil {
		t.Fatal(err)
	}
	server := oprf.NewVerifiableServer(oprf.SuiteRistretto255, &theirs)
	client := oprf.NewVerifiableClient(oprf.SuiteRistretto255, theirs.Public())
	for _, n := range []int{1, 8, 13} {
		in := inputs(n)
		want, err := key.Evaluate(context.Background(), in, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range in {
			full, err := server.FullEvaluate(in[i])
			if err != nil || !bytes.Equal(full, want[i][:]) {
				t.Fatalf("output %d of %d differs, error %v", i, n, err)
			}
		}
		// Ours asks, circl answers.
		request, err := Blind(ModeVOPRF, r, in)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Evaluate(&oprf.EvaluationRequest{Elements: circlElements(t, request.Blinded())})
		if err != nil {
			t.Fatal(err)
		}
		proof, err := answer.Proof.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var evaluated []byte
		for _, e := range answer.Elements {
			b, err := e.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			evaluated = append(evaluated, b...)
		}
		got, err := request.Finalize(key.Public(), evaluated, proof)
		if err != nil || got[n-1] != want[n-1] || got[0] != want[0] {
			t.Fatalf("outputs of %d differ, error %v", n, err)
		}
		// circl asks, ours answers.
		data, question, err := client.Blind(in)
		if err != nil {
			t.Fatal(err)
		}
		var blinded []byte
		for _, e := range question.Elements {
			b, err := e.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			blinded = append(blinded, b...)
		}
		if evaluated, proof, err = key.BlindEvaluate(r, blinded); err != nil {
			t.Fatal(err)
		}
		theirProof := new(dleq.Proof)
		if err := theirProof.UnmarshalBinary(group.Ristretto255, proof); err != nil {
			t.Fatal(err)
		}
		outputs, err := client.Finalize(data, &oprf.Evaluation{Elements: circlElements(t, evaluated), Proof: theirProof})
		if err != nil {
			t.Fatal(err)
		}
		for i := range outputs {
			if !bytes.Equal(outputs[i], want[i][:]) {
				t.Fatalf("circl's output %d of %d differs", i, n)
			}
		}
	}
}

func circlElements(t *testing.T, b []byte) []group.Element {
	t.Helper()
	var es []group.Element
	for ; len(b) > 0; b = b[ElementSize:] {
		e := group.Ristretto255.NewElement()
		if err := e.UnmarshalBinary(b[:ElementSize]); err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	return es
}

func TestWorkersDoNotMatter(t *testing.T) {
	key, err := GenerateKey(ModeVOPRF, randomness("workers"))
	if err != nil {
		t.Fatal(err)
	}
	in := inputs(150)
	var first []Output
	for _, workers := range []int{1, 3} {
		got, err := key.Evaluate(context.Background(), in, workers)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		for i := range got {
			if got[i] != first[i] {
				t.Fatalf("%d workers: output %d differs", workers, i)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := key.Evaluate(ctx, in, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
}

// exchange is one honest exchange for tests to spoil.
type exchange struct {
	key              *PrivateKey
	request          *Request
	evaluated, proof []byte
}

func newExchange(t *testing.T, n int) *exchange {
	t.Helper()
	r := randomness("exchange")
	key, err := GenerateKey(ModeVOPRF, r)
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{key: key}
	if x.request, err = Blind(ModeVOPRF, r, inputs(n)); err != nil {
		t.Fatal(err)
	}
	if x.evaluated, x.proof, err = key.BlindEvaluate(r, x.request.Blinded()); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestBadOwners(t *testing.T) {
	x := newExchange(t, 9)
	other, err := GenerateKey(ModeVOPRF, randomness("another"))
	if err != nil {
		t.Fatal(err)
	}
	otherEvaluated, otherProof, err := other.BlindEvaluate(randomness("proof"), x.request.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	change := func(b []byte, f func(b []byte)) []byte {
		c := append([]byte(nil), b...)
		f(c)
		return c
	}
	one := func(i int, b []byte) func([]byte) {
		return func(to []byte) { copy(to[i*ElementSize:][:ElementSize], b) }
	}
	for _, c := range []struct {
		name             string
		evaluated, proof []byte
		want             string
	}{
		{"another key", otherEvaluated, otherProof, "does not hold"},
		{"another key for one element", change(x.evaluated, one(4, otherEvaluated[4*ElementSize:])), x.proof, "does not hold"},
		{"elements swapped", change(x.evaluated, func(b []byte) {
			copy(b, x.evaluated[ElementSize:][:ElementSize])
			copy(b[ElementSize:], x.evaluated[:ElementSize])
		}), x.proof, "does not hold"},
		{"proof of other elements", x.evaluated, otherProof, "does not hold"},
		{"wrong challenge", x.evaluated, change(x.proof, func(b []byte) { b[0] ^= 1 }), "does not hold"},
		{"wrong response", x.evaluated, change(x.proof, func(b []byte) { b[32] ^= 1 }), "does not hold"},
		{"challenge not canonical", x.evaluated, change(x.proof, func(b []byte) { b[31] |= 0xf0 }), "first half of the proof is not a canonical scalar"},
		{"response not canonical", x.evaluated, change(x.proof, func(b []byte) { b[63] |= 0xf0 }), "second half of the proof is not a canonical scalar"},
		{"no proof", x.evaluated, nil, "proof of 0 bytes, want 64"},
		{"long proof", x.evaluated, append(change(x.proof, func([]byte) {}), 0), "proof of 65 bytes, want 64"},
		{"identity", change(x.evaluated, one(3, make([]byte, ElementSize))), x.proof, "evaluated element 3 is the identity"},
		{"not canonical", change(x.evaluated, one(8, bytes.Repeat([]byte{0xff}, ElementSize))), x.proof, "evaluated element 8 is not a canonical encoding"},
		{"too few", x.evaluated[ElementSize:], x.proof, "evaluated elements of 256 bytes, want 9 of 32"},
		{"too many", append(change(x.evaluated, func([]byte) {}), x.evaluated[:ElementSize]...), x.proof, "evaluated elements of 320 bytes"},
		{"half an element", x.evaluated[1:], x.proof, "evaluated elements of 287 bytes"},
		{"nothing", nil, nil, "evaluated elements of 0 bytes"},
	} {
		_, err := x.request.Finalize(x.key.Public(), c.evaluated, c.proof)
		if !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v", c.name, err)
		}
	}
	if _, err := x.request.Finalize(other.Public(), x.evaluated, x.proof); !errors.Is(err, ErrPeer) {
		t.Errorf("proof against another key: got error %v", err)
	}
	for _, b := range [][]byte{nil, make([]byte, ElementSize), bytes.Repeat([]byte{0xff}, ElementSize), x.evaluated[:31]} {
		if _, err := ParsePublicKey(ModeVOPRF, b); !errors.Is(err, ErrPeer) {
			t.Errorf("public key %x: got error %v", b, err)
		}
	}
	// After all that the right answer still works.
	if _, err := x.request.Finalize(x.key.Public(), x.evaluated, x.proof); err != nil {
		t.Error(err)
	}
}

func TestBadAskers(t *testing.T) {
	x := newExchange(t, 9)
	good := x.request.Blinded()
	spoiled := func(i int, b []byte) []byte {
		c := append([]byte(nil), good...)
		copy(c[i*ElementSize:], b)
		return c
	}
	for _, c := range []struct {
		name    string
		blinded []byte
		want    string
	}{
		{"identity", spoiled(2, make([]byte, ElementSize)), "blinded element 2 is the identity"},
		{"not canonical", spoiled(8, bytes.Repeat([]byte{0xff}, ElementSize)), "blinded element 8 is not a canonical encoding"},
		{"nothing", nil, "blinded elements of 0 bytes, want 1 to 65535 elements of 32"},
		{"half an element", good[1:], "blinded elements of 287 bytes"},
		{"too many", make([]byte, (MaxBatch+1)*ElementSize), "blinded elements of 2097152 bytes"},
	} {
		_, _, err := x.key.BlindEvaluate(randomness(c.name), c.blinded)
		if !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v", c.name, err)
		}
	}
}

func TestOwnMistakes(t *testing.T) {
	x := newExchange(t, 1)
	short := bytes.NewReader(make([]byte, 63))
	basic, err := GenerateKey(ModeOPRF, randomness("basic"))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"mode":            func() error { _, err := GenerateKey(2, randomness("")); return err },
		"no randomness":   func() error { _, err := GenerateKey(ModeVOPRF, short); return err },
		"short seed":      func() error { _, err := DeriveKey(ModeVOPRF, make([]byte, 31), nil); return err },
		"short key":       func() error { _, err := ParsePrivateKey(ModeVOPRF, make([]byte, 31)); return err },
		"zero key":        func() error { _, err := ParsePrivateKey(ModeVOPRF, make([]byte, 32)); return err },
		"large key":       func() error { _, err := ParsePrivateKey(ModeVOPRF, bytes.Repeat([]byte{255}, 32)); return err },
		"no inputs":       func() error { _, err := Blind(ModeVOPRF, randomness(""), nil); return err },
		"too many inputs": func() error { _, err := Blind(ModeVOPRF, randomness(""), make([][]byte, MaxBatch+1)); return err },
		"long input": func() error {
			_, err := Blind(ModeVOPRF, randomness(""), [][]byte{make([]byte, MaxInput+1)})
			return err
		},
		"long input evaluated": func() error {
			_, err := x.key.Evaluate(context.Background(), [][]byte{make([]byte, MaxInput+1)}, 0)
			return err
		},
		"no key": func() error { _, err := x.request.Finalize(nil, x.evaluated, x.proof); return err },
		"key of another mode": func() error {
			_, err := x.request.Finalize(basic.Public(), x.evaluated, x.proof)
			return err
		},
	} {
		if err := f(); err == nil || errors.Is(err, ErrPeer) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func TestDestroy(t *testing.T) {
	x := newExchange(t, 3)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				_, _, err := x.key.BlindEvaluate(randomness("destroy"), x.request.Blinded())
				if err != nil {
					return
				}
			}
		})
	}
	x.key.Destroy()
	wg.Wait()
	if x.key.Bytes() != nil {
		t.Error("a destroyed key has bytes")
	}
	if !x.key.secret.IsZero() {
		t.Error("a destroyed key is still there")
	}
	if _, err := x.key.Evaluate(context.Background(), inputs(1), 0); err == nil {
		t.Error("a destroyed key evaluates")
	}
}

// FuzzBlindEvaluate feeds an owner a peer's bytes.
func FuzzBlindEvaluate(f *testing.F) {
	key, err := DeriveKey(ModeVOPRF, make([]byte, SeedSize), nil)
	if err != nil {
		f.Fatal(err)
	}
	request, err := Blind(ModeVOPRF, randomness("fuzz"), inputs(2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request.Blinded())
	f.Add(request.Blinded()[:33])
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 8*ElementSize {
			return
		}
		evaluated, proof, err := key.BlindEvaluate(randomness("proof"), b)
		if err != nil {
			if !errors.Is(err, ErrPeer) {
				t.Fatal(err)
			}
			return
		}
		if len(evaluated) != len(b) || len(proof) != ProofSize {
			t.Fatalf("answer of %d and %d bytes to %d", len(evaluated), len(proof), len(b))
		}
	})
}

// FuzzFinalize feeds an asker a peer's bytes: nothing but the one right answer
// is taken.
func FuzzFinalize(f *testing.F) {
	r := randomness("finalize")
	key, err := GenerateKey(ModeVOPRF, r)
	if err != nil {
		f.Fatal(err)
	}
	request, err := Blind(ModeVOPRF, r, inputs(2))
	if err != nil {
		f.Fatal(err)
	}
	evaluated, proof, err := key.BlindEvaluate(r, request.Blinded())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(evaluated, proof)
	f.Add(evaluated, proof[1:])
	f.Add(proof, proof)
	f.Fuzz(func(t *testing.T, e, p []byte) {
		if bytes.Equal(e, evaluated) {
			return
		}
		if _, err := request.Finalize(key.Public(), e, p); !errors.Is(err, ErrPeer) {
			t.Fatalf("got error %v", err)
		}
	})
}
