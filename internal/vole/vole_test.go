package vole

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/hugepage"
	"github.com/symbolon/symbolon/internal/oracle"
	"github.com/symbolon/symbolon/internal/ot"
)

type seeded struct{ r *rand.Rand }

func newSeeded(seed uint64) seeded { return seeded{rand.New(rand.NewPCG(seed, 99))} }

func (s seeded) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.r.Uint32())
	}
	return len(p), nil
}

func (s seeded) element() field.Element { return field.Element{Lo: s.r.Uint64(), Hi: s.r.Uint64()} }

// run drives both parties; alter may change the messages: 0 request, 1 extend,
// 2 sums, 3 challenge, 4 proof.
func run(p Params, workers int, alter func(i int, m []byte) []byte) (s *Sender, a, b, c []field.Element, messages [][]byte, err error) {
	ctx := context.Background()
	pass := func(m []byte) []byte {
		i := len(messages)
		messages = append(messages, slices.Clone(m))
		if alter != nil {
			m = alter(i, slices.Clone(m))
		}
		return m
	}
	s, request, err := NewSender(p, workers, newSeeded(1))
	if err != nil {
		return
	}
	r, err := NewReceiver(p, workers, newSeeded(2))
	if err != nil {
		return
	}
	extend, err := r.Extend(pass(request))
	if err != nil {
		return
	}
	if err = s.Accept(pass(extend)); err != nil {
		return
	}
	sums, err := s.Expand(ctx, make([]field.Element, p.SenderMemory()))
	if err != nil {
		return
	}
	open, err := r.Open(ctx, pass(sums), make([]field.Element, p.ReceiverMemory()))
	if err != nil {
		return
	}
	if p.Malicious {
		var proof []byte
		if proof, err = s.Prove(ctx, pass(open)); err != nil {
			return
		}
		if err = r.Verify(pass(proof)); err != nil {
			return
		}
	}
	if b, _, err = s.Compress(ctx); err != nil {
		return
	}
	a = make([]field.Element, p.Length)
	c, _, err = r.Compress(ctx, a)
	return
}

func params(n int, malicious bool) Params {
	return Params{Length: n, Binding: []byte("test"), Malicious: malicious}
}

func TestCorrelation(t *testing.T) {
	for _, malicious := range []bool{false, true} {
		for _, n := range []int{0, 1, 100, 8192, 8193, 20000} {
			t.Run(fmt.Sprint(n, malicious), func(t *testing.T) {
				t.Parallel()
				p := params(n, malicious)
				s, a, b, c, messages, err := run(p, 2, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(a) != n || len(b) != n || len(c) != n {
					t.Fatalf("lengths %d, %d, %d", len(a), len(b), len(c))
				}
				seen := map[field.Element]bool{}
				for i := range a {
					if c[i] != a[i].Mul(s.Delta()).Add(b[i]) {
						t.Fatalf("C = AΔ + B fails at %d", i)
					}
					seen[a[i]] = true
				}
				if len(seen) != n {
					t.Fatalf("A has %d distinct values, want %d", len(seen), n)
				}
				for i, want := range []int{p.RequestLen(), p.ExtendLen(), p.ExpandLen(), OpenLen, ProveLen}[:len(messages)] {
					if len(messages[i]) != want {
						t.Errorf("message %d is %d bytes, want %d", i, len(messages[i]), want)
					}
				}
			})
		}
	}
	p := params(MaxLength+1, true)
	if _, _, err := NewSender(p, 1, newSeeded(1)); err == nil {
		t.Error("an excessive length was accepted")
	}
}

func TestReproducible(t *testing.T) {
	_, a1, b1, c1, m1, err1 := run(params(9000, true), 1, nil)
	_, a2, b2, c2, m2, err2 := run(params(9000, true), 5, nil)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if !slices.Equal(a1, a2) || !slices.Equal(b1, b2) || !slices.Equal(c1, c2) {
		t.Error("the result depends on the number of workers")
	}
	if !slices.EqualFunc(m1, m2, bytes.Equal) {
		t.Error("the messages depend on the number of workers")
	}
}

func TestLies(t *testing.T) {
	p := params(500, true)
	depth := p.shape().depth
	flip := func(at int) func(m []byte) []byte {
		return func(m []byte) []byte { m[at] ^= 1; return m }
	}
	tests := map[string]struct {
		message int
		alter   func(m []byte) []byte
		check   error // nil for any error
	}{
		"request with another point":  {0, func(m []byte) []byte { copy(m[:32], m[64:96]); return m }, ot.ErrCheck},
		"request short":               {0, func(m []byte) []byte { return m[1:] }, nil},
		"request not a point":         {0, func(m []byte) []byte { clear(m[:32]); return m }, nil},
		"reply with another point":    {1, func(m []byte) []byte { copy(m[:32], m[64:96]); return m }, ot.ErrCheck},
		"extension altered":           {1, flip(5000), ot.ErrCheck},
		"extension long":              {1, func(m []byte) []byte { return append(m, 0) }, nil},
		"both sums of a level":        {2, func(m []byte) []byte { m[0] ^= 1; m[16] ^= 1; return m }, ErrCheck},
		"both sums of a leaf level":   {2, func(m []byte) []byte { m[32*(depth-1)] ^= 4; m[32*(depth-1)+16] ^= 4; return m }, ErrCheck},
		"total of a tree":             {2, flip(32 * depth), ErrCheck},
		"total of the last tree":      {2, func(m []byte) []byte { m[len(m)-1] ^= 0x80; return m }, ErrCheck},
		"sums short":                  {2, func(m []byte) []byte { return m[:len(m)-16] }, nil},
		"challenge altered":           {3, flip(3), ErrCheck},
		"masked noise altered":        {3, flip(20), ErrCheck},
		"challenge empty":             {3, func([]byte) []byte { return nil }, nil},
		"wrong consistency answer":    {4, flip(31), ErrCheck},
		"consistency answer too long": {4, func(m []byte) []byte { return append(m, 0) }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, _, _, _, err := run(p, 1, func(i int, m []byte) []byte {
				if i == tt.message {
					return tt.alter(m)
				}
				return m
			})
			if !PeerFault(err) || tt.check != nil && !errors.Is(err, tt.check) {
				t.Errorf("error is %v, want %v", err, tt.check)
			}
		})
	}
}

// TestReplay sends messages of another run between the same parties.
func TestReplay(t *testing.T) {
	p, q := params(100, true), params(100, true)
	q.Binding = []byte("another run")
	_, _, _, _, old, err := run(q, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The challenge is random, and the same here: both runs have one seed.
	for _, i := range []int{0, 1, 2, 4} {
		_, _, _, _, _, err := run(p, 1, func(j int, m []byte) []byte {
			if i == j {
				return old[i]
			}
			return m
		})
		if !errors.Is(err, ErrCheck) && !errors.Is(err, ot.ErrCheck) {
			t.Errorf("message %d replayed: %v", i, err)
		}
	}
}

func TestStepsAreSpent(t *testing.T) {
	p := params(10, false)
	s, _, err := NewSender(p, 1, newSeeded(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(nil); err == nil {
		t.Fatal("an empty extension was accepted")
	}
	defer func() {
		if recover() == nil {
			t.Error("a step ran twice")
		}
	}()
	_ = s.Accept(nil)
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := newCode([]byte("x"), 8192)
	if err := c.compress(ctx, 2, make([]field.Element, 8192), make([]field.Element, 8192)); !errors.Is(err, context.Canceled) {
		t.Errorf("compress returns %v", err)
	}
}

func TestTree(t *testing.T) {
	r := newSeeded(3)
	prg := newPRG([]byte("tree"))
	for _, n := range []int{64, 65, 66, 100, 127, 128, 129, 1000} {
		sh := shape{block: n}
		for 1<<sh.depth < n {
			sh.depth++
		}
		tr := tree{sh, prg}
		leaves := make([]field.Element, n)
		sums := make([][2]field.Element, sh.depth)
		tr.expand(leaves, r.element(), sums)
		if got := sums[sh.depth-1][0].Add(sums[sh.depth-1][1]); got != field.Sum(leaves) {
			t.Fatalf("n = %d: the last sums are not the leaves'", n)
		}
		for _, p := range []int{0, 1, n/2 - 1, n / 2, n - 2, n - 1} {
			path := tr.path(p)
			known := make([]field.Element, sh.depth)
			for l, side := range path {
				known[l] = sums[l][1-side]
			}
			got := make([]field.Element, n)
			tr.puncture(got, path, known)
			for i := range got {
				if i == p && !got[i].IsZero() || i != p && got[i] != leaves[i] {
					t.Fatalf("n = %d, punctured at %d: leaf %d is wrong", n, p, i)
				}
			}
		}
	}
}

// TestGrow compares every tier of the generator with its plain twin.
func TestGrow(t *testing.T) {
	r := newSeeded(4)
	g := newPRG([]byte("grow"))
	for name, f := range cpu.Tiers() {
		sizes := []int{1<<16 - 1, 1 << 16, 1<<16 + 1, 1<<16 + 5}
		for n := range 80 {
			sizes = append(sizes, n+1)
		}
		for _, n := range sizes {
			for _, m := range []int{2 * n, 2*n - 1} {
				nodes := make([]field.Element, m+2)
				for i := range nodes {
					nodes[i] = r.element()
				}
				want := slices.Clone(nodes)
				wl, wr := g.growFrom(want[1:m+1], n, 0)
				gl, gr := g.grow(f, nodes[1:m+1], n)
				if wl != gl || wr != gr || !slices.Equal(nodes, want) {
					t.Fatalf("%s: %d nodes to %d differ from the plain twin", name, n, m)
				}
			}
		}
	}
}

// TestCode compares the code with its definition: matrices applied one
// coefficient at a time.
func TestCode(t *testing.T) {
	r := newSeeded(5)
	const k = 640
	c := newCode([]byte("code"), k)
	v := make([]field.Element, 2*k)
	for i := range v {
		v[i] = r.element()
	}
	words := make([]byte, 2*4*k+32*k)
	fill(words, c)
	x := slices.Clone(v[k:])
	for pass := range 2 {
		y := make([]field.Element, k)
		for i := range y {
			y[i] = x[i]
			for j := 1; j <= 24 && j <= i; j++ {
				switch {
				case j == 24:
					y[i] = y[i].Add(y[i-j].Mul(field.Element{Lo: 2}))
				case word(words, pass*k+i-j)>>(j-1)&1 == 1:
					y[i] = y[i].Add(y[i-j])
				}
			}
		}
		x = y
	}
	want := slices.Clone(v[:k])
	for i := range want {
		for j := range 7 {
			p := uint64(word(words, 2*k+8*i+j)) * k >> 32
			want[i] = want[i].Add(x[p])
		}
	}
	for _, workers := range []int{1, 3} {
		got := slices.Clone(v)
		if err := c.compress(context.Background(), workers, got[:k], got[k:]); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[:k], want) {
			t.Fatal("the code differs from its definition")
		}
		// As a pair with another vector, and not to the end.
		other := make([]field.Element, 2*k)
		for i := range other {
			other[i] = r.element()
		}
		pairs := make([]pair, k)
		for i := range pairs {
			pairs[i] = pair{v[k+i], other[k+i]}
		}
		out0, out1 := slices.Clone(v[:k-5]), slices.Clone(other[:k-5])
		if err := c.compressPairs(context.Background(), workers, out0, out1, pairs); err != nil {
			t.Fatal(err)
		}
		if err := c.compress(context.Background(), workers, other[:k], other[k:]); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out0, want[:k-5]) || !slices.Equal(out1, other[:k-5]) {
			t.Fatal("two vectors at once differ from one by one")
		}
	}
}

func fill(words []byte, c *code) { oracle.Fill(words, oracle.Stream(c.key[:16])) }

func word(words []byte, i int) uint32 { return binary.LittleEndian.Uint32(words[4*i:]) }

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if _, _, _, _, _, err := run(params(1<<18, true), 2, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestConvolve compares the kernels with their plain twins, from any start and
// for any length, near the end of the vector too.
func TestConvolve(t *testing.T) {
	r := newSeeded(6)
	const n = 400
	x, pairs := make([]field.Element, n), make([]pair, n)
	for i := range x {
		x[i], pairs[i] = r.element(), pair{r.element(), r.element()}
	}
	masks := make([]byte, 4*n)
	_, _ = r.Read(masks)
	for lo := 0; lo < n; lo += 13 {
		for hi := lo; hi <= n; hi += 7 {
			want, wantPairs := slices.Clone(x), slices.Clone(pairs)
			convolveGeneric(want, masks[4*lo:4*hi], lo)
			convolvePairsGeneric(wantPairs, masks[4*lo:4*hi], lo)
			for name, f := range cpu.Tiers() {
				got, gotPairs := slices.Clone(x), slices.Clone(pairs)
				convolve(f, got, masks[4*lo:4*hi], lo)
				convolvePairs(f, gotPairs, masks[4*lo:4*hi], lo)
				if !slices.Equal(got, want) || !slices.Equal(gotPairs, wantPairs) {
					t.Fatalf("%s: outputs %d to %d of %d differ", name, lo, hi, n)
				}
			}
		}
	}
}

// TestExpand compares the gathering kernels with their plain twins.
func TestExpand(t *testing.T) {
	r := newSeeded(7)
	vector := func(n int) []field.Element {
		v := make([]field.Element, n)
		for i := range v {
			v[i] = r.element()
		}
		return v
	}
	for _, rows := range []int{0, 1, 2, 3, 17, 100} {
		for _, n := range []int{1, 2, 63, 1000} {
			words := make([]byte, 32*rows)
			_, _ = r.Read(words)
			x, out0, out1 := vector(n), vector(rows+1), vector(rows+1)
			pairs := make([]pair, n)
			for i := range pairs {
				pairs[i] = pair{r.element(), x[i]}
			}
			want, want0, want1 := slices.Clone(out0), slices.Clone(out0), slices.Clone(out1)
			expandGeneric(want[:rows], x, words)
			expandPairsGeneric(want0[:rows], want1[:rows], pairs, words)
			for name, f := range cpu.Tiers() {
				got, got0, got1 := slices.Clone(out0), slices.Clone(out0), slices.Clone(out1)
				expand(f, got[:rows], x, words)
				expandPairs(f, got0[:rows], got1[:rows], pairs, words)
				if !slices.Equal(got, want) || !slices.Equal(got0, want0) || !slices.Equal(got1, want1) {
					t.Fatalf("%s: %d rows over %d elements differ", name, rows, n)
				}
			}
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	const k = 1 << 20
	c, v := newCode([]byte("bench"), k), hugepage.Elements(2*k)
	for b.Loop() {
		_ = c.compress(context.Background(), 1, v[:k], v[k:])
	}
}

func BenchmarkCompressPairs(b *testing.B) {
	const k = 1 << 20
	c, v := newCode([]byte("bench"), k), hugepage.Elements(2*k)
	x := hugepage.Of[pair](k)
	for b.Loop() {
		_ = c.compressPairs(context.Background(), 1, v[:k], v[k:], x)
	}
}

func BenchmarkTrees(b *testing.B) {
	p := params(1<<20, false)
	sh := p.shape()
	tr := tree{sh, newPRG([]byte("bench"))}
	leaves, sums := make([]field.Element, sh.block), make([][2]field.Element, sh.depth)
	for b.Loop() {
		for range NoiseWeight {
			tr.expand(leaves, field.One, sums)
		}
	}
}
