package ristretto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/edwards25519/field"
	"github.com/cloudflare/circl/group"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readVectors(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// randomness is reproducible and not secret.
func randomness(seed string) *rand.ChaCha8 {
	var key [32]byte
	copy(key[:], seed)
	return rand.NewChaCha8(key)
}

func randomScalar(t testing.TB, r *rand.ChaCha8) *Scalar {
	t.Helper()
	k := new(Scalar)
	if err := k.SetRandom(r); err != nil {
		t.Fatal(err)
	}
	return k
}

func encoding(e *Element) [ElementSize]byte {
	var b [ElementSize]byte
	e.Encode(b[:])
	return b
}

// batches are empty batches of each form that this machine has.
func batches() map[string]func() *Batch {
	forms := map[string]func() *Batch{"single": func() *Batch { return &Batch{generic: true} }}
	if haveLanes {
		forms["vectors"] = func() *Batch { return new(Batch) }
	}
	return forms
}

// TestConstants checks the constants against what defines them.
func TestConstants(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	value := func(e field.Element) *big.Int {
		b := e.Bytes()
		for i := range 16 {
			b[i], b[31-i] = b[31-i], b[i]
		}
		return new(big.Int).SetBytes(b)
	}
	mod := func(x *big.Int) *big.Int { return x.Mod(x, p) }
	mul := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }
	dv, n1 := value(d), big.NewInt(1)
	want := mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p))
	if dv.Cmp(want) != 0 {
		t.Error("d is not -121665/121666")
	}
	minus := mod(big.NewInt(-1))
	aMinusD := mod(new(big.Int).Sub(minus, dv))
	square := func(name string, e field.Element, want *big.Int) {
		if mul(value(e), value(e)).Cmp(want) != 0 {
			t.Errorf("%s has the wrong square", name)
		}
	}
	square("sqrtM1", sqrtM1, minus)
	square("sqrtADMinusOne", sqrtADMinusOne, mod(new(big.Int).Sub(new(big.Int).Neg(dv), n1)))
	square("invSqrtAMinusD", invSqrtAMinusD, new(big.Int).ModInverse(aMinusD, p))
	if value(oneMinusDSq).Cmp(mod(new(big.Int).Sub(n1, mul(dv, dv)))) != 0 {
		t.Error("oneMinusDSq is not 1 - d²")
	}
	less := new(big.Int).Sub(dv, n1)
	if value(dMinusOneSq).Cmp(mul(less, less)) != 0 {
		t.Error("dMinusOneSq is not (d - 1)²")
	}
}

func TestMultiplesOfGenerator(t *testing.T) {
	var file struct{ Multiples []string }
	readVectors(t, "rfc9496_a1_a3.json", &file)
	if len(file.Multiples) != 16 {
		t.Fatalf("found %d multiples", len(file.Multiples))
	}
	var sum, g Element
	sum.SetIdentity()
	g.SetGenerator()
	for i, m := range file.Multiples {
		want := unhex(t, m)
		k := scalarOf(t, i)
		var fixed, variable Element
		fixed.MultiplyBase(k)
		variable.Multiply(k, &g)
		for name, e := range map[string]*Element{"added": &sum, "fixed-base": &fixed, "multiplied": &variable} {
			if got := encoding(e); !bytes.Equal(got[:], want) {
				t.Errorf("%d·G, %s: got %x", i, name, got)
			}
			if !e.Equal(&sum) || e.IsIdentity() != (i == 0) {
				t.Errorf("%d·G, %s: equality is wrong", i, name)
			}
		}
		var decoded Element
		err := decoded.Decode(want)
		switch {
		case i == 0:
			if !errors.Is(err, ErrIdentity) {
				t.Errorf("identity: got error %v", err)
			}
		case err != nil:
			t.Errorf("%d·G: %v", i, err)
		case !decoded.Equal(&sum):
			t.Errorf("%d·G decodes to another element", i)
		}
		sum.Add(&sum, &g)
		if sum.Equal(&variable) {
			t.Errorf("%d·G equals the next multiple", i)
		}
	}
}

func scalarOf(t testing.TB, i int) *Scalar {
	t.Helper()
	b := make([]byte, ScalarSize)
	b[0], b[1] = byte(i), byte(i>>8)
	k := new(Scalar)
	if err := k.Decode(b); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestInvalidEncodings(t *testing.T) {
	var file struct {
		Vectors []struct{ Why, Encoding string }
	}
	readVectors(t, "rfc9496_a2.json", &file)
	if len(file.Vectors) != 29 {
		t.Fatalf("found %d vectors", len(file.Vectors))
	}
	var g Element
	g.SetGenerator()
	good := encoding(&g)
	check := func(why string, bad []byte, want error) {
		e := g
		if err := e.Decode(bad); !errors.Is(err, want) {
			t.Errorf("%s, %x: got error %v", why, bad, err)
		}
		if !e.Equal(&g) {
			t.Errorf("%s, %x: the element has changed", why, bad)
		}
		for name, form := range batches() {
			for _, at := range []int{0, 7, 8, 18} {
				batch := bytes.Repeat(good[:], 19)
				copy(batch[at*ElementSize:], bad)
				// The first is reported.
				copy(batch[18*ElementSize:], bad)
				b := form()
				err := b.Decode(batch)
				if e, ok := errors.AsType[*DecodeError](err); !ok || e.Index != at || !errors.Is(err, want) {
					t.Errorf("%s, %s, %x at %d: got error %v", name, why, bad, at, err)
				}
				if b.Len() != 0 {
					t.Errorf("%s, %s: batch of %d", name, why, b.Len())
				}
			}
		}
	}
	for _, v := range file.Vectors {
		check(v.Why, unhex(t, v.Encoding), ErrNotCanonical)
	}
	check("identity", make([]byte, ElementSize), ErrIdentity)
}

func TestUniform(t *testing.T) {
	var file struct {
		Uniform []struct{ Input, Encoding string }
	}
	readVectors(t, "rfc9496_a1_a3.json", &file)
	if len(file.Uniform) != 11 {
		t.Fatalf("found %d vectors", len(file.Uniform))
	}
	for i, v := range file.Uniform {
		var e Element
		e.SetUniform((*[64]byte)(unhex(t, v.Input)))
		if got := encoding(&e); !bytes.Equal(got[:], unhex(t, v.Encoding)) {
			t.Errorf("vector %d: got %x", i, got)
		}
	}
}

// TestAgainstCircl compares everything with another implementation.
func TestAgainstCircl(t *testing.T) {
	r := randomness("circl")
	g := group.Ristretto255
	for i := range 50 {
		msg := make([]byte, r.Uint64()%300)
		dst := make([]byte, 1+r.Uint64()%300)
		r.Read(msg)
		r.Read(dst)
		h := NewHasher(dst)
		var e Element
		var k Scalar
		h.Element(&e, msg)
		h.Scalar(&k, msg)
		wantE, wantK := g.HashToElement(msg, dst), g.HashToScalar(msg, dst)
		sameElement(t, "hash", &e, wantE)
		sameScalar(t, "hash to scalar", &k, wantK)

		other := g.HashToElement(dst, dst)
		var o Element
		h.Element(&o, dst)
		var sum, difference, product, base, inverted Element
		sum.Add(&e, &o)
		difference.Subtract(&e, &o)
		product.Multiply(&k, &e)
		base.MultiplyBase(&k)
		sameElement(t, "sum", &sum, g.NewElement().Add(wantE, other))
		sameElement(t, "difference", &difference, g.NewElement().Add(wantE, g.NewElement().Neg(other)))
		sameElement(t, "product", &product, g.NewElement().Mul(wantE, wantK))
		sameElement(t, "base product", &base, g.NewElement().MulGen(wantK))
		var l Scalar
		l.Invert(&k)
		sameScalar(t, "inverse", &l, g.NewScalar().Inv(wantK))
		inverted.Multiply(&l, &product)
		if !inverted.Equal(&e) {
			t.Fatalf("round %d: the inverse does not undo a scalar", i)
		}
		enc := encoding(&e)
		var back Element
		if err := back.Decode(enc[:]); err != nil || !back.Equal(&e) || back.Equal(&o) {
			t.Fatalf("round %d: decoding gives another element, error %v", i, err)
		}
	}
}

func sameElement(t *testing.T, what string, e *Element, want group.Element) {
	t.Helper()
	b, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got := encoding(e); !bytes.Equal(got[:], b) {
		t.Fatalf("%s: got %x, want %x", what, got, b)
	}
}

func sameScalar(t *testing.T, what string, k *Scalar, want group.Scalar) {
	t.Helper()
	b, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var got [ScalarSize]byte
	k.Encode(got[:])
	if !bytes.Equal(got[:], b) {
		t.Fatalf("%s: got %x, want %x", what, got, b)
	}
}

func TestScalar(t *testing.T) {
	order := unhex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	var k Scalar
	if err := k.Decode(order); !errors.Is(err, ErrScalar) {
		t.Errorf("the order decodes: %v", err)
	}
	order[0]--
	if err := k.Decode(order); err != nil {
		t.Errorf("the order less one: %v", err)
	}
	var sum Scalar
	sum.Add(&k, scalarOf(t, 1))
	if !sum.IsZero() || k.IsZero() {
		t.Error("the order is not zero")
	}
	if err := k.SetRandom(bytes.NewReader(make([]byte, 63))); err == nil {
		t.Error("63 random bytes give a scalar")
	}
	if err := k.SetRandom(bytes.NewReader(make([]byte, 64))); err == nil {
		t.Error("zero is a random scalar")
	}
	r := randomness("scalars")
	for n := range 20 {
		ks, want := make([]Scalar, n), make([]Scalar, n)
		for i := range ks {
			ks[i] = *randomScalar(t, r)
			want[i].Invert(&ks[i])
		}
		InvertAll(ks)
		for i := range ks {
			if !ks[i].Equal(&want[i]) {
				t.Fatalf("inverse %d of %d is wrong", i, n)
			}
		}
	}
}

// TestExpand checks expand_message_xmd with the vectors of RFC 9380, K.3.
func TestExpand(t *testing.T) {
	var file struct {
		DST     string `json:"dst"`
		Vectors []struct {
			Msg     string `json:"msg"`
			Length  int    `json:"length"`
			Uniform string `json:"uniform_bytes"`
		} `json:"vectors"`
	}
	readVectors(t, "rfc9380_k3.json", &file)
	if len(file.Vectors) < 8 {
		t.Fatalf("found %d vectors", len(file.Vectors))
	}
	h := NewHasher([]byte(file.DST))
	for i, v := range file.Vectors {
		got := make([]byte, v.Length)
		h.expand(got, []byte(v.Msg))
		if !bytes.Equal(got, unhex(t, v.Uniform)) {
			t.Errorf("vector %d: got %x", i, got)
		}
	}
}

// FuzzDecode checks that what decodes encodes to the same bytes, that batches
// decode the same, and that circl agrees.
func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, ElementSize))
	f.Add(unhex(f, "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")) // the generator
	f.Add(unhex(f, "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != ElementSize {
			return
		}
		var e Element
		err := e.Decode(b)
		c := group.Ristretto255.NewElement()
		if circlErr := c.UnmarshalBinary(b); (err == nil) != (circlErr == nil && !c.IsIdentity()) {
			t.Fatalf("%x: got error %v, circl %v", b, err, circlErr)
		}
		for name, form := range batches() {
			batch := form()
			if batchErr := batch.Decode(b); (batchErr == nil) != (err == nil) {
				t.Fatalf("%s, %x: got error %v, single %v", name, b, batchErr, err)
			}
			if err == nil {
				got := make([]byte, ElementSize)
				batch.Encode(got)
				if !bytes.Equal(got, b) {
					t.Fatalf("%s: %x encodes to %x", name, b, got)
				}
			}
		}
		if err != nil {
			return
		}
		if got := encoding(&e); !bytes.Equal(got[:], b) {
			t.Fatalf("%x encodes to %x", b, got)
		}
	})
}
