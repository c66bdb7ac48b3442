package field

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/symbolon/symbolon/internal/cpu"
)

// modulus is x^128 + x^7 + x^2 + x + 1.
var modulus = new(big.Int).SetBit(big.NewInt(0x87), 128, 1)

func random(r *rand.Rand) Element { return Element{r.Uint64(), r.Uint64()} }

func randomVector(r *rand.Rand, n int) []Element {
	v := make([]Element, n)
	for i := range v {
		v[i] = random(r)
	}
	return v
}

func toBig(e Element) *big.Int {
	z := new(big.Int).SetUint64(e.Hi)
	return z.Lsh(z, 64).Or(z, new(big.Int).SetUint64(e.Lo))
}

// mulSchoolbook multiplies bit by bit and divides with remainder.
func mulSchoolbook(a, b Element) Element {
	x, y, z := toBig(a), toBig(b), new(big.Int)
	for i := range 128 {
		if y.Bit(i) == 1 {
			z.Xor(z, new(big.Int).Lsh(x, uint(i)))
		}
	}
	for z.BitLen() > 128 {
		z.Xor(z, new(big.Int).Lsh(modulus, uint(z.BitLen()-129)))
	}
	mask := new(big.Int).SetUint64(^uint64(0))
	return Element{new(big.Int).And(z, mask).Uint64(), new(big.Int).Rsh(z, 64).Uint64()}
}

func edgeCases(r *rand.Rand) []Element {
	v := []Element{{}, One, {2, 0}, {0, 1 << 63}, {^uint64(0), ^uint64(0)}, {^uint64(0), 0}, {0, ^uint64(0)}, {1 << 63, 0}}
	return append(v, randomVector(r, 24)...)
}

func TestMul(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	v := edgeCases(r)
	for _, a := range v {
		for _, b := range v {
			if got, want := a.Mul(b), mulSchoolbook(a, b); got != want {
				t.Fatalf("%x·%x = %x, want %x", a, b, got, want)
			}
		}
		if got, want := a.MulX(), mulSchoolbook(a, Element{Lo: 2}); got != want {
			t.Fatalf("x·%x = %x, want %x", a, got, want)
		}
		inv := a.Inverse()
		if p := a.Mul(inv); a.IsZero() != inv.IsZero() || !a.IsZero() && p != One {
			t.Fatalf("%x times its inverse is %x", a, p)
		}
	}
}

func TestFieldLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		a, b, c := random(r), random(r), random(r)
		if a.Mul(b) != b.Mul(a) || a.Mul(b.Mul(c)) != a.Mul(b).Mul(c) || a.Mul(b.Add(c)) != a.Mul(b).Add(a.Mul(c)) {
			t.Fatal("multiplication is not commutative, associative and distributive")
		}
	}
	a := random(r)
	for n, p := range Powers(a, 20) {
		if p != Pow(a, uint64(n)) {
			t.Fatalf("power %d differs", n)
		}
	}
}

func TestVectorOperations(t *testing.T) {
	for name, f := range cpu.Tiers() {
		t.Run(name, func(t *testing.T) { testVectorOperations(t, f) })
	}
}

func testVectorOperations(t *testing.T, f cpu.Features) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 130, 257, 1000} {
		a, b, c := randomVector(r, n), randomVector(r, n), random(r)
		var sum, inner Element
		for i := range a {
			sum = sum.Add(a[i])
			inner = inner.Add(mulSchoolbook(a[i], b[i]))
		}
		if Sum(a) != sum || innerProduct(f, a, b) != inner || InnerProduct(a, b) != inner {
			t.Errorf("n = %d: sum or inner product is wrong", n)
		}
		// One more element on either side shows what a kernel overwrites.
		dst := randomVector(r, n+2)
		want := append([]Element(nil), dst...)
		for i := range b {
			want[i+1] = want[i+1].Add(mulSchoolbook(b[i], c))
		}
		mulAdd(f, dst[1:n+1], b, c)
		for i := range want {
			if dst[i] != want[i] {
				t.Fatalf("n = %d: MulAdd is wrong at %d", n, i-1)
			}
		}
		AddTo(dst[1:n+1], a)
		for i := range a {
			if dst[i+1] != want[i+1].Add(a[i]) {
				t.Fatalf("n = %d: AddTo is wrong at %d", n, i)
			}
		}
		testAddPoly(t, f, r, a)
		mulAdd(f, a, a, c) // source and destination may be one
		for i := range a {
			if want := dst[i+1].Add(want[i+1]); a[i] != want.Add(mulSchoolbook(want, c)) {
				t.Fatalf("n = %d: MulAdd in place is wrong at %d", n, i)
			}
		}
	}
}

// testAddPoly compares with powers, at points x and for all degrees in use.
func testAddPoly(t *testing.T, f cpu.Features, r *rand.Rand, x []Element) {
	t.Helper()
	for degree := range 6 {
		coef := randomVector(r, degree)
		got := randomVector(r, len(x)+2)
		want := append([]Element(nil), got...)
		for i, e := range x {
			power := e
			for _, c := range coef {
				want[i+1] = want[i+1].Add(c.Mul(power))
				power = power.Mul(e)
			}
		}
		addPoly(f, got[1:len(x)+1], x, coef)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%d points, degree %d: addPoly is wrong at %d", len(x), degree, i-1)
			}
		}
	}
}

func TestLongInnerProduct(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	a, b := randomVector(r, 2*callLen+5), randomVector(r, 2*callLen+5)
	if InnerProduct(a, b) != innerProductGeneric(a, b) {
		t.Fatal("an inner product of several calls is wrong")
	}
}

func TestEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	v := randomVector(r, 9)
	b := make([]byte, Size*len(v))
	Encode(b, v)
	back := make([]Element, len(v))
	Decode(back, b)
	for i := range v {
		if back[i] != v[i] || FromBytes(v[i].Bytes()) != v[i] || v[i].Bytes() != [Size]byte(b[Size*i:]) {
			t.Fatalf("element %d does not survive its encoding", i)
		}
	}
	if !bytes.Equal(Encoding(v), b) || len(Encoding(nil)) != 0 {
		t.Fatal("Encoding differs from Encode")
	}
	if b := (Element{Lo: 2}).Bytes(); b[0] != 2 {
		t.Fatal("the encoding of x does not begin with 2")
	}
}

func BenchmarkMulAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	x, y, c := randomVector(r, 4096), randomVector(r, 4096), random(r)
	b.SetBytes(4096 * Size)
	for b.Loop() {
		MulAdd(x, y, c)
	}
}

func BenchmarkInnerProduct(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	x, y := randomVector(r, 4096), randomVector(r, 4096)
	b.SetBytes(4096 * Size)
	for b.Loop() {
		InnerProduct(x, y)
	}
}
