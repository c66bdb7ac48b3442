package he

import (
	"context"
	"math/rand/v2"
	"testing"
)

type fixture struct {
	c    *Context
	sk   *SecretKey
	keys *Keys
}

func newFixture(t testing.TB, s Shape) *fixture {
	t.Helper()
	c, err := NewContext(s)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{c: c, sk: c.NewSecretKey(Seed{1})}
	packed := c.PackKeys(f.sk, Seed{2}, Seed{3})
	if len(packed) != c.KeysSize() {
		t.Fatalf("keys have %d bytes, want %d", len(packed), c.KeysSize())
	}
	if f.keys, err = c.UnpackKeys(packed, Seed{2}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) query(t testing.TB, slots []uint32, seed byte) *Query {
	t.Helper()
	q, err := f.c.UnpackQuery(f.c.Encrypt(f.sk, slots, Seed{4, seed}, Seed{5, seed}), Seed{4, seed}, f.c.Threshold)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// scores are a block of sketches against a query.
func (f *fixture) block(rng *rand.Rand, query []uint8) (sketches []uint8, scores []int) {
	c := f.c
	sketches = make([]uint8, c.N()*c.Groups)
	for j := range c.N() {
		s := sketches[j*c.Groups:][:c.Groups]
		want := j % (c.Groups + 1)
		same := rng.Perm(c.Groups)[:want]
		for g := range s {
			s[g] = uint8((int(query[g]) + 1 + rng.IntN(c.Symbols-1)) % c.Symbols)
		}
		for _, g := range same {
			s[g] = query[g]
		}
		scores = append(scores, want)
	}
	return sketches, scores
}

func (f *fixture) answer(t testing.TB, q *Query, sketches []uint8, stages *Stages) []uint32 {
	t.Helper()
	c := f.c
	p, err := f.keys.Prepare(context.Background(), q, Seed{6}, 2, stages)
	if err != nil {
		t.Fatal(err)
	}
	sums := f.sums(p, sketches)
	w := c.Worker()
	packed := w.Answer(nil, p, sums, Seed{7}, stages)
	if len(packed) != c.AnswerSize() {
		t.Fatalf("answer has %d bytes, want %d", len(packed), c.AnswerSize())
	}
	slots, err := c.DecryptAnswer(f.sk, packed)
	if err != nil {
		t.Fatal(err)
	}
	return slots
}

// sums are the inner products of a block with a query.
func (f *fixture) sums(p *Prepared, sketches []uint8) Sums {
	c := f.c
	size := c.Babies() * c.Chunk()
	chunks := c.N() / c.Chunk()
	buf := make([]uint32, c.Limbs()*c.N()*c.Babies())
	z := c.NewDiagonalizer()
	sums := c.NewSums()
	for g := range c.Giants() {
		z.Group(buf, size, sketches, g)
		for limb := range c.Limbs() {
			for chunk := range chunks {
				c.Inner(sums, p, buf[(limb*chunks+chunk)*size:][:size], g, 1, limb, chunk)
			}
		}
	}
	return sums
}

func TestCircuit(t *testing.T) {
	for _, s := range []Shape{
		{10, 16, 4, 9},
		{11, 64, 8, 49},
		{11, 64, 8, 33},
	} {
		f := newFixture(t, s)
		rng := rand.New(rand.NewPCG(1, 2))
		query := make([]uint8, s.Groups)
		for g := range query {
			query[g] = uint8(rng.IntN(s.Symbols))
		}
		sketches, scores := f.block(rng, query)
		q := f.query(t, f.c.OneHot(query), 0)
		wrong := 0
		for j, v := range f.answer(t, q, sketches, nil) {
			if (v == 0) != (scores[j] >= s.Threshold) {
				wrong++
			}
		}
		t.Logf("%+v: %d limbs, log QP %.1f, keys %d bytes", s, f.c.Limbs(), f.c.LogQP(), f.c.KeysSize())
		if wrong > 0 {
			t.Errorf("%+v: %d of %d slots are wrong", s, wrong, s.N())
		}
	}
}
