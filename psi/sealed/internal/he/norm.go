package he

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// canonicalNorm returns the largest absolute value of the polynomial at the
// complex roots of X^N+1, N = len(p) a power of two.
func canonicalNorm(p []float64) float64 {
	n := len(p)
	v := make([]complex128, n)
	for i, x := range p {
		// p(ζ·ω^j) with ζ a root and ω = ζ²: twist, then a transform of length n.
		v[i] = complex(x, 0) * cmplx.Exp(complex(0, math.Pi*float64(i)/float64(n)))
	}
	fft(v)
	largest := 0.0
	for _, x := range v {
		largest = max(largest, cmplx.Abs(x))
	}
	return largest
}

// fft is the discrete Fourier transform in place (Cooley and Tukey 1965).
func fft(v []complex128) {
	n := len(v)
	shift := 64 - (bits.Len(uint(n)) - 1)
	for i := range v {
		if j := int(bits.Reverse64(uint64(i)) >> shift); i < j {
			v[i], v[j] = v[j], v[i]
		}
	}
	for size := 2; size <= n; size *= 2 {
		root := make([]complex128, size/2)
		for j := range root {
			root[j] = cmplx.Exp(complex(0, 2*math.Pi*float64(j)/float64(size)))
		}
		for i := 0; i < n; i += size {
			for j, w := range root {
				a, b := v[i+j], v[i+j+size/2]*w
				v[i+j], v[i+j+size/2] = a+b, a-b
			}
		}
	}
}
