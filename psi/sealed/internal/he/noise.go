package he

import "math"

// NoiseBound returns the logarithm of a bound on the root mean square of an
// honest answer's noise before flooding; SECURITY.md derives it. It fails with
// probability at most 2^-40 an answer.
func (s Shape) NoiseBound() float64 {
	n := float64(s.N())
	// Each of the four ciphertexts that blinding multiplies: the rounding of its
	// last division, whatever it is; twice the expected rest of the noise before
	// that division; and the plaintext's carry.
	rounding := math.Sqrt(n) / 2 * (1 + s.SecretNorm())
	rest := 2 * T * (n * (2.0 / 3) / 12) * math.Sqrt(n) / (1 << LimbBits) * math.Sqrt(n)
	carry := math.Sqrt(n) / 2
	term := rounding + rest + carry
	// Blinding's factor, and the root of four terms' squares.
	total := 2.25 * T * math.Sqrt(n) * term * math.Sqrt(1+checksUsed)
	return math.Log2(total / math.Sqrt(n))
}

// FloodDeviation returns the logarithm of the standard deviation of flooding.
func (s Shape) FloodDeviation() float64 { return float64(s.FloodBits()) + math.Log2(FloodTerms/3.0)/2 }

// FloodMargin returns the bits of flooding over NoiseBound.
func (s Shape) FloodMargin() float64 { return s.FloodDeviation() - s.NoiseBound() }
