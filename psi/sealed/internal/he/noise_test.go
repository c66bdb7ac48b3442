package he

import (
	"context"
	"math"
	"math/big"
	"math/rand/v2"
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

func TestNoise(t *testing.T) {
	s := testShape(LogN)
	f := newFixture(t, s)
	c := f.c
	rng := rand.New(rand.NewPCG(1, 2))
	query := make([]uint8, s.Groups)
	sketches, scores := f.block(rng, query)
	var stages Stages
	q := f.query(t, c.OneHot(query), 0)
	p, err := f.keys.Prepare(context.Background(), q, Seed{6}, 2, &stages)
	if err != nil {
		t.Fatal(err)
	}
	show := func(name string, ct *rlwe.Ciphertext) {
		rms, largest := f.noise(ct)
		t.Logf("%-10s %d limbs: noise rms 2^%.1f, largest 2^%.1f", name, limbs(ct), rms, largest)
	}
	show("query", q.ct)
	for i, z := range p.checks {
		show("check", z)
		_ = i
	}
	wrong := 0
	for j, v := range f.answer(t, q, sketches, &stages) {
		if (v == 0) != (scores[j] >= s.Threshold) {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d slots are wrong", wrong)
	}
	w := c.NewWorker()
	w.Use(f.keys)
	scored, err := w.Collapse(f.sums(p, sketches))
	if err != nil {
		t.Fatal(err)
	}
	show("inner", scored)
	th := w.threshold(scored, s.Threshold)
	show("threshold", th)
	b := w.blind(th, p, newStream(Seed{1}))
	show("blinded", b)
	for i := range stages {
		t.Logf("%s: %d ms", Stage(i), stages[i].Load()/1e6)
	}
}
