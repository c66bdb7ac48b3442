package field

import (
	"encoding/binary"
	"unsafe"

	"github.com/symbolon/symbolon/internal/cpu"
)

var host = cpu.Host()

// Encode writes the encodings of src to dst, which is Size times as long.
func Encode(dst []byte, src []Element) {
	mustLen(len(dst), Size*len(src))
	for i, e := range src {
		binary.LittleEndian.PutUint64(dst[Size*i:], e.Lo)
		binary.LittleEndian.PutUint64(dst[Size*i+8:], e.Hi)
	}
}

// littleEndian reports whether elements lie in memory as they are encoded.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Encoding returns the encoding of v. Where the machine allows, it is v's own
// memory, so v must not be used any more.
func Encoding(v []Element) []byte {
	if littleEndian {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), Size*len(v))
	}
	b := make([]byte, Size*len(v))
	Encode(b, v)
	return b
}

// Decode reads len(dst) elements from src, which is Size times as long.
func Decode(dst []Element, src []byte) {
	mustLen(len(src), Size*len(dst))
	for i := range dst {
		dst[i] = Load(src[Size*i:])
	}
}

// AddTo sets dst[i] += src[i].
func AddTo(dst, src []Element) {
	mustLen(len(src), len(dst))
	for i, s := range src {
		dst[i].Lo ^= s.Lo
		dst[i].Hi ^= s.Hi
	}
}

// MulAdd sets dst[i] += c·src[i].
func MulAdd(dst, src []Element, c Element) {
	mustLen(len(src), len(dst))
	mulAdd(host, dst, src, c)
}

// Sum returns the sum of v.
func Sum(v []Element) Element {
	var s Element
	for _, e := range v {
		s.Lo ^= e.Lo
		s.Hi ^= e.Hi
	}
	return s
}

// Powers returns x^0, x^1, ..., x^(n-1).
func Powers(x Element, n int) []Element {
	p := make([]Element, n)
	if n == 0 {
		return p
	}
	p[0] = One
	for i := 1; i < n; i++ {
		p[i] = p[i-1].Mul(x)
	}
	return p
}

// Pow returns x^n.
func Pow(x Element, n uint64) Element {
	r := One
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			r = r.Mul(x)
		}
		x = x.Mul(x)
	}
	return r
}

// callLen bounds the elements of one call of a kernel, which the scheduler
// can't interrupt, to well under a millisecond.
const callLen = 1 << 16

// InnerProduct returns Σ a[i]·b[i].
func InnerProduct(a, b []Element) Element {
	mustLen(len(a), len(b))
	var s Element
	for ; len(a) > callLen; a, b = a[callLen:], b[callLen:] {
		s = s.Add(innerProduct(host, a[:callLen], b[:callLen]))
	}
	return s.Add(innerProduct(host, a, b))
}

// AddPoly sets dst[i] += Σ coef[j]·x[i]^(j+1).
func AddPoly(dst, x, coef []Element) {
	mustLen(len(dst), len(x))
	addPoly(host, dst, x, coef)
}

// Inverse returns 1/e, or zero for zero: e^(2^128-2).
func (e Element) Inverse() Element {
	r, s := One, e
	for range 127 {
		s = s.Mul(s)
		r = r.Mul(s)
	}
	return r
}

func mustLen(got, want int) {
	if got != want {
		panic("field: slices differ in length")
	}
}

func mulAddGeneric(dst, src []Element, c Element) {
	for i, s := range src {
		dst[i] = dst[i].Add(s.Mul(c))
	}
}

func innerProductGeneric(a, b []Element) Element {
	var s Element
	for i := range a {
		s = s.Add(a[i].Mul(b[i]))
	}
	return s
}

func addPolyGeneric(dst, x, coef []Element) {
	for i, e := range x {
		var s Element
		for j := len(coef) - 1; j >= 0; j-- {
			s = s.Add(coef[j]).Mul(e)
		}
		dst[i] = dst[i].Add(s)
	}
}
