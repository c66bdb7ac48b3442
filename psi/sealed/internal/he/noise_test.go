package he

import (
	"context"
	"math"
	"math/big"
	"math/cmplx"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"
)

// noise returns the logarithms of the root mean square and of the largest
// coefficient of a ciphertext's noise.
func (f *fixture) noise(ct *rlwe.Ciphertext) (rms, largest float64) {
	c := f.c
	r := c.at(limbs(ct))
	p := r.NewPoly()
	r.MulCoeffsMontgomery(ct.Value[1], lowerPoly(f.sk.full.Q, limbs(ct)), p)
	r.Add(p, ct.Value[0], p)
	r.INTT(p, p)
	r.MulScalar(p, T, p)
	v := make([]*big.Int, c.N())
	for i := range v {
		v[i] = new(big.Int)
	}
	r.PolyToBigintCentered(p, 1, v)
	sum := 0.0
	t := big.NewInt(T)
	for _, x := range v {
		// T·phase = m + T·e with m centred.
		m := new(big.Int).Mod(x, t)
		if m.Int64() > T/2 {
			m.Sub(m, t)
		}
		e, _ := new(big.Float).SetInt(m.Sub(x, m).Div(m, t)).Float64()
		sum += e * e
		largest = max(largest, math.Abs(e))
	}
	return math.Log2(math.Sqrt(sum / float64(c.N()))), math.Log2(largest)
}

// TestNoise runs the circuit at the real parameters and measures the noise
// after each part: answers are right, noise before flooding keeps its bound,
// flooding stands as far over the bound as stated, and what is left decrypts.
func TestNoise(t *testing.T) {
	for _, s := range []Shape{
		{LogN, 64, 4, 49},
		{LogN, 64, 4, 41}, // the wide window
	} {
		f := newFixture(t, s)
		c := f.c
		rng := rand.New(rand.NewPCG(1, 2))
		query := make([]uint8, s.Groups)
		for g := range query {
			query[g] = uint8(rng.IntN(s.Symbols))
		}
		sketches, scores := f.block(rng, query)
		q := f.query(t, c.OneHot(query), 0)
		p, err := f.keys.Prepare(context.Background(), q, Seed{6}, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		show := func(name string, ct *rlwe.Ciphertext) (rms, largest float64) {
			rms, largest = f.noise(ct)
			t.Logf("window %d: %-10s %d limbs, noise 2^%.1f, largest 2^%.1f", s.Window(), name, limbs(ct), rms, largest)
			return rms, largest
		}
		show("query", q.ct)
		for _, z := range p.checks {
			if rms, _ := show("check", z); rms > 6 {
				t.Errorf("a check's noise is 2^%.1f", rms)
			}
		}
		w := c.Worker()
		w.Use(f.keys)
		scored := w.Collapse(f.sums(p, sketches))
		show("scores", scored)
		th := w.threshold(scored, s.Threshold)
		if rms, _ := show("threshold", th); rms > 6 {
			t.Errorf("the threshold's noise is 2^%.1f", rms)
		}
		answer := w.blind(th, p, newStream(Seed{1}))
		rms, _ := show("blinded", answer)
		if bound := s.NoiseBound(); rms > bound-3 {
			t.Errorf("noise 2^%.1f is within 3 bits of its bound 2^%.1f", rms, bound)
		}
		t.Logf("flooding 2^%.2f: %.1f bits over the bound, %.1f over the noise", s.FloodDeviation(), s.FloodMargin(), s.FloodDeviation()-rms)
		least := 40.0
		if s.Window() == 16 {
			least = 71
		}
		if s.FloodMargin() < least || s.FloodDeviation()-rms < least+4 {
			t.Error("flooding is too small")
		}
		w.finish(answer, newStream(Seed{2}))
		var packed []byte
		for _, half := range answer.Value {
			packed = pack(packed, half.Coeffs[0])
		}
		slots, err := c.DecryptAnswer(f.sk, packed)
		if err != nil {
			t.Fatal(err)
		}
		wrong := 0
		for j, v := range slots {
			if (v == 0) != (scores[j] >= s.Threshold) {
				wrong++
			}
		}
		if wrong > 0 {
			t.Errorf("%d slots are wrong", wrong)
		}
		// What is left of flooding, against the room to decrypt.
		r := c.at(1)
		r.NTT(answer.Value[0], answer.Value[0])
		r.NTT(answer.Value[1], answer.Value[1])
		if rms, largest := show("answer", answer); largest > math.Log2(float64(primes[0])/(2*T)) || rms < 10.5 || rms > 11 {
			t.Error("the answer's noise is not the flooding's")
		}
	}
}

// TestFlood draws flooding and looks at its range, mean, spread and low bits.
func TestFlood(t *testing.T) {
	s := Shape{LogN, 64, 4, 49}
	c, err := NewContext(s)
	if err != nil {
		t.Fatal(err)
	}
	r := c.at(c.FinalLimbs())
	p := r.NewPoly()
	newStream(Seed{3}).flood(p.Coeffs, primes[:c.FinalLimbs()], c.FloodBits())
	v := make([]*big.Int, c.N())
	for i := range v {
		v[i] = new(big.Int)
	}
	r.PolyToBigintCentered(p, 1, v)
	unit := math.Exp2(float64(c.FloodBits()))
	var sum, squares float64
	low := make([]int, 16)
	for _, x := range v {
		e, _ := new(big.Float).SetInt(x).Float64()
		e /= unit
		if math.Abs(e) > FloodTerms {
			t.Fatal("flooding is over its bound")
		}
		sum += e
		squares += e * e
		low[new(big.Int).And(x, big.NewInt(15)).Int64()]++
	}
	n := float64(c.N())
	deviation := math.Exp2(s.FloodDeviation()) / unit
	if mean := sum / n; math.Abs(mean) > 6*deviation/math.Sqrt(n) {
		t.Errorf("mean %.3f", mean)
	}
	if got := math.Sqrt(squares / n); math.Abs(got/deviation-1) > 0.04 {
		t.Errorf("deviation %.3f, want %.3f", got, deviation)
	}
	for i, k := range low {
		if math.Abs(float64(k)-n/16) > 6*math.Sqrt(n/16) {
			t.Errorf("low bits %d: %d of %.0f", i, k, n)
		}
	}
}

// TestFloodInformation works out the Fisher information of flooding, a sum of
// uniform variables on [-1, 1] in its unit, which SECURITY.md bounds.
func TestFloodInformation(t *testing.T) {
	// On its left half the density of the sum of n uniform variables on [0, 1]
	// is a sum of few terms (Irwin and Hall 1927).
	const n = FloodTerms
	density := func(x float64, power int) float64 {
		sum, binomial := 0.0, 1.0
		for k := 0; float64(k) < x; k++ {
			sum += binomial * math.Pow(x-float64(k), float64(power))
			binomial *= -float64(n-k) / float64(k+1)
		}
		return sum / math.Gamma(float64(power)+1)
	}
	const steps = 20000
	mass, information := 0.0, 0.0
	for i := range steps {
		x := (float64(i) + 0.5) * n / 2 / steps
		f, d := density(x, n-1), density(x, n-2)
		mass += f
		information += d * d / f
	}
	width := 2 * n / 2.0 / steps // both halves
	mass *= width
	information *= width
	root := math.Sqrt(information * n / 12)
	t.Logf("mass %.6f, root of the information %.4f over the deviation", mass, root)
	if math.Abs(mass-1) > 1e-4 || root > 1.01 {
		t.Error("the information is over its bound")
	}
}

// TestTail simulates the noise at the root where the largest key allowed is
// largest, in units of q/T: each product squares it and each division adds
// fresh noise. SECURITY.md quotes how seldom it grows large.
func TestTail(t *testing.T) {
	s := Shape{LogN, 64, 4, 49}
	chains := 1 << 20
	if os.Getenv("SYMBOLON_LONG") != "" {
		chains = 1 << 28
	}
	rms := math.Sqrt(float64(s.N())/12) * s.SecretNorm() * T / (1 << LimbBits)
	rng := rand.New(rand.NewPCG(1, 2))
	fresh := func() complex128 {
		return complex(rng.NormFloat64(), rng.NormFloat64()) * complex(rms/math.Sqrt2, 0)
	}
	var over [16]int
	mean := 0.0
	for range chains {
		x := fresh()
		y := x*x + fresh()
		z := y*y + fresh()
		p := cmplx.Abs((z*z + fresh()) * (z*z + fresh()))
		mean += p
		for k := 0; k < len(over) && p > math.Exp2(float64(k)); k++ {
			over[k]++
		}
	}
	mean /= float64(chains)
	t.Logf("fresh noise %.3f, mean before the last division's own %.3f", rms, mean)
	for k, n := range over {
		t.Logf("over 2^%d: %.1e", k, float64(n)/float64(chains))
	}
	if mean > 0.5 || over[6] > chains/10000 {
		t.Error("the tail is heavier than stated")
	}
}
