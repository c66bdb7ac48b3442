package he

import (
	"context"
	"math/bits"
	"time"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"

	"github.com/symbolon/symbolon/internal/parallel"
)

// Prepared is a query made ready for scanning: its rotations, and the check.
type Prepared struct {
	keys      *Keys
	threshold int
	rotated   []uint32 // [limb][chunk][rotation][half][coefficient]
	checks    [checksUsed]*rlwe.Ciphertext
}

// Keys returns the keys that the query is under.
func (p *Prepared) Keys() *Keys { return p.keys }

// Prepare rotates the query and works out the check, with randomness of its own
// from the seed. It reports the nanoseconds of CPU spent on each.
func (k *Keys) Prepare(ctx context.Context, q *Query, seed Seed, workers int, stages *Stages) (*Prepared, error) {
	c := k.c
	n := c.Babies()
	p := &Prepared{keys: k, threshold: q.threshold, rotated: make([]uint32, n*2*c.N()*c.Limbs())}
	cts := make([]*rlwe.Ciphertext, n)
	cts[0] = q.ct
	p.store(0, q.ct)
	// A rotation costs the decomposition of its source and a product with a key.
	// Rotation i is the source of i + 2^k for each 2^k over i, and decomposed
	// once: half of them are sources. Those with as many bits set are made side
	// by side, the check once its rotations are there.
	for ones := 0; ; ones++ {
		var sources []int
		for i := range n / 2 {
			if bits.OnesCount(uint(i)) == ones {
				sources = append(sources, i)
			}
		}
		if len(sources) == 0 {
			return p, nil
		}
		extra := 0
		if ones == 2 {
			extra = 1
		}
		err := parallel.For(ctx, workers, extra+len(sources), func(i int) error {
			w := c.Worker()
			defer w.Release()
			w.Use(k)
			start := time.Now()
			if i < extra {
				p.checks = w.check(cts[:checkClasses], newStream(seed))
				stages.add(StageCheck, start)
				return nil
			}
			w.rotations(cts, sources[i-extra], func(at int, ct *rlwe.Ciphertext) {
				if at < n/2 {
					cts[at] = ct.CopyNew()
				}
				p.store(at, ct)
			})
			stages.add(StageRotate, start)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
}

// rotations computes the rotations of cts[from] by the powers of two over from
// and hands each over before the next overwrites it.
func (w *Worker) rotations(cts []*rlwe.Ciphertext, from int, use func(at int, ct *rlwe.Ciphertext)) {
	w.decompose(cts[from].Value[1])
	for step := 1 << bits.Len(uint(from)); step < len(cts); step *= 2 {
		w.automorphism(w.spare, cts[from], w.c.galois(step))
		use(from+step, w.spare)
	}
}

// store writes a rotation where the inner products read it.
func (p *Prepared) store(b int, ct *rlwe.Ciphertext) {
	c := p.keys.c
	n, size := c.Babies(), c.Chunk()
	chunks := c.N() / size
	for limb := range c.Limbs() {
		for half := range 2 {
			row := ct.Value[half].Coeffs[limb]
			for chunk := range chunks {
				dst := p.rotated[(((limb*chunks+chunk)*n+b)*2+half)*size:][:size]
				for i, v := range row[chunk*size:][:size] {
					dst[i] = uint32(v)
				}
			}
		}
	}
}

// Sums are one query's inner products with one block, by group of diagonals.
type Sums []*rlwe.Ciphertext

// NewSums returns zero sums.
func (c *Context) NewSums() Sums {
	s := make(Sums, c.Giants())
	for i := range s {
		s[i] = c.newCiphertext(c.Limbs())
	}
	return s
}

// Inner sets the sums of the groups of diagonals from first on, for one limb
// and chunk, to the products of their diagonals with the query's rotations.
// diagonals are those of the limb and chunk, [group][rotation][coefficient].
func (c *Context) Inner(sums Sums, p *Prepared, diagonals []uint32, first, groups, limb, chunk int) {
	size, n := c.Chunk(), c.Babies()
	chunks := c.N() / size
	rotated := p.rotated[(limb*chunks+chunk)*n*2*size:][:n*2*size]
	s := c.ringQ.SubRings[limb]
	for g := range groups {
		ct := sums[first+g]
		lo := ct.Value[0].Coeffs[limb][chunk*size:][:size]
		hi := ct.Value[1].Coeffs[limb][chunk*size:][:size]
		multiplyAdd(c.features, lo, hi, diagonals[g*n*size:][:n*size], rotated, c.lazy[limb])
		s.Reduce(lo, lo)
		s.Reduce(hi, hi)
	}
}

// Collapse rotates the groups' sums into place and adds them up: the scores of
// a block. It overwrites the sums.
func (w *Worker) Collapse(sums Sums) *rlwe.Ciphertext {
	c := w.c
	r := c.at(c.Limbs())
	last := len(sums) - 1
	sum := sums[last]
	for g := last - 1; g >= 0; g-- {
		w.rotate(w.spare, sum, c.galois(c.Babies()))
		r.Add(w.spare.Value[0], sums[g].Value[0], sums[g].Value[0])
		r.Add(w.spare.Value[1], sums[g].Value[1], sums[g].Value[1])
		sum = sums[g]
	}
	return sum
}

// Answer finishes a block whose groups have all been summed: the threshold, the
// blinding, and the packed answer, which it appends to dst. It overwrites the
// sums.
func (w *Worker) Answer(dst []byte, p *Prepared, sums Sums, seed Seed, stages *Stages) []byte {
	w.Use(p.keys)
	start := time.Now()
	scores := w.Collapse(sums)
	stages.add(StageInner, start)
	start = time.Now()
	t := w.threshold(scores, p.threshold)
	stages.add(StageThreshold, start)
	start = time.Now()
	out := w.blind(t, p, newStream(subSeed(seed, 0)))
	w.finish(out, newStream(subSeed(seed, 1)))
	for _, half := range out.Value {
		dst = pack(dst, half.Coeffs[0])
	}
	stages.add(StageAnswer, start)
	return dst
}
