package okvs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

var ctx = context.Background()

func randomVector(r *rand.Rand, n int) []field.Element {
	v := make([]field.Element, n)
	for i := range v {
		v[i] = field.Element{Lo: r.Uint64(), Hi: r.Uint64()}
	}
	return v
}

// reference decodes one key by the definition.
func reference(p *Params, vector []field.Element, key field.Element) field.Element {
	bin := vector[p.bin(key)*p.BinLen():][:p.BinLen()]
	p0, p1, p2 := columns(key, uint64(p.Columns))
	v := bin[p0].Add(bin[p1]).Add(bin[p2])
	for j := range p.Dense {
		v = v.Add(field.Pow(key, uint64(j+1)).Mul(bin[p.Columns+j]))
	}
	return v
}

func TestEncodeDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 3, 63, 64, 65, 1000, 16384, 50000} {
		p := NewParams(n, 40)
		k, places, err := p.Sort(ctx, 2, randomVector(r, n))
		if err != nil {
			t.Fatal(err)
		}
		values := randomVector(r, n)
		vector := make([]field.Element, p.Len())
		if err := Encode(ctx, 2, k, values, vector); err != nil {
			t.Fatalf("n = %d: %v", n, err)
		}
		again := make([]field.Element, p.Len())
		if err := Encode(ctx, 1, k, values, again); err != nil || !slices.Equal(again, vector) {
			t.Fatalf("n = %d: the result depends on the number of workers (%v)", n, err)
		}
		// Dense columns too, as in a masked vector.
		field.AddTo(vector, randomVector(r, p.Len()))
		got := make([]field.Element, n)
		if err := Decode(ctx, 2, k, vector, got); err != nil {
			t.Fatal(err)
		}
		mask := make([]field.Element, p.Len())
		copy(mask, vector)
		field.AddTo(mask, again)
		for i, key := range k.Keys {
			if got[i] != reference(&p, vector, key) {
				t.Fatalf("n = %d: Decode is wrong at %d", n, i)
			}
			if got[i] != values[i].Add(reference(&p, mask, key)) {
				t.Fatalf("n = %d: Encode is wrong at %d", n, i)
			}
		}
		if !slices.IsSorted(k.Starts) || len(places) != n {
			t.Fatalf("n = %d: bins are not in order", n)
		}
	}
}

// forceCore returns keys of one bin such that no peeling can remove them: each
// group of three columns is chosen by several keys.
func forceCore(r *rand.Rand, p *Params, groups, size int) []field.Element {
	var keys []field.Element
	for range groups {
		k := randomVector(r, 1)[0]
		for range size {
			// The columns come from the top bits of each 32-bit part.
			same := k
			same.Lo ^= r.Uint64() & 0x000000ff_000000ff
			same.Hi ^= r.Uint64() & 0x000000ff_000000ff
			keys = append(keys, same)
		}
	}
	return keys
}

func TestCore(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, tt := range []struct {
		groups, size, rest int
		want               error
	}{
		{1, 2, 0, nil}, {1, 2, 500, nil}, {2, 2, 500, nil}, {1, 3, 100, nil},
		{3, 2, 200, nil}, {1, 7, 10, ErrSingular}, {8, 2, 500, ErrSingular},
	} {
		t.Run(fmt.Sprintf("%d groups of %d", tt.groups, tt.size), func(t *testing.T) {
			p := NewParams(tt.groups*tt.size+tt.rest, 40)
			p.Dense = 3
			keys := append(forceCore(r, &p, tt.groups, tt.size), randomVector(r, tt.rest)...)
			k, _, err := p.Sort(ctx, 1, keys)
			if err != nil {
				t.Fatal(err)
			}
			values := randomVector(r, len(keys))
			vector := make([]field.Element, p.Len())
			if err := Encode(ctx, 1, k, values, vector); !errors.Is(err, tt.want) {
				t.Fatalf("error is %v, want %v", err, tt.want)
			}
			if tt.want != nil {
				return
			}
			got := make([]field.Element, len(keys))
			if err := Decode(ctx, 1, k, vector, got); err != nil || !slices.Equal(got, values) {
				t.Fatalf("values are wrong, error %v", err)
			}
		})
	}
}

// TestLargeCore solves systems with far fewer columns than peeling needs.
func TestLargeCore(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	solved := 0
	for range 20 {
		p := NewParams(300, 40)
		p.Columns = 320 // expansion 1.07
		keys := randomVector(r, 300)
		k, _, err := p.Sort(ctx, 1, keys)
		if err != nil {
			t.Fatal(err)
		}
		values, vector, got := randomVector(r, 300), make([]field.Element, p.Len()), make([]field.Element, 300)
		if err := Encode(ctx, 1, k, values, vector); errors.Is(err, ErrSingular) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		solved++
		if err := Decode(ctx, 1, k, vector, got); err != nil || !slices.Equal(got, values) {
			t.Fatalf("values are wrong, error %v", err)
		}
	}
	if solved < 10 {
		t.Fatalf("only %d of 20 systems were solved", solved)
	}
}

func TestEncodeRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	p := NewParams(100, 40)
	keys := randomVector(r, 100)
	keys[99] = keys[3]
	k, _, err := p.Sort(ctx, 1, keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := Encode(ctx, 1, k, randomVector(r, 100), make([]field.Element, p.Len())); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a duplicate key gives %v", err)
	}
	if err := Encode(ctx, 1, k, randomVector(r, 99), make([]field.Element, p.Len())); err == nil {
		t.Error("99 values for 100 keys were accepted")
	}
	if err := Decode(ctx, 1, k, make([]field.Element, p.Len()-1), keys); err == nil {
		t.Error("a short vector was accepted")
	}
	k.Params.Keys = 99
	if err := Encode(ctx, 1, k, randomVector(r, 100), make([]field.Element, p.Len())); err == nil {
		t.Error("more keys than declared were accepted")
	}
	p = NewParams(40000, 40)
	full := randomVector(r, 40000)
	for i := range full {
		full[i].Hi &= 0xffffffff // all in bin 0
	}
	if k, _, err = p.Sort(ctx, 1, full); err != nil {
		t.Fatal(err)
	}
	if err := Encode(ctx, 1, k, full, make([]field.Element, p.Len())); !errors.Is(err, ErrCapacity) {
		t.Errorf("a full bin gives %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := Encode(cancelled, 2, k, full, make([]field.Element, p.Len())); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled encoder returns %v", err)
	}
}

func TestColumns(t *testing.T) {
	// Every ordered triple of 5 columns comes up equally often.
	const n, trials = 5, 60000
	r := rand.New(rand.NewPCG(5, 5))
	counts := map[[3]uint64]int{}
	for range trials {
		p0, p1, p2 := columns(field.Element{Lo: r.Uint64(), Hi: r.Uint64()}, n)
		if p0 >= n || p1 >= n || p2 >= n || p0 == p1 || p1 == p2 || p0 == p2 {
			t.Fatalf("columns %d, %d, %d", p0, p1, p2)
		}
		counts[[3]uint64{p0, p1, p2}]++
	}
	for c, got := range counts {
		if math.Abs(float64(got)-trials/60) > 6*math.Sqrt(trials/60.) {
			t.Errorf("triple %v came up %d times, want about %d", c, got, trials/60)
		}
	}
	if len(counts) != 60 {
		t.Errorf("%d triples, want 60", len(counts))
	}
	for _, k := range []field.Element{{}, {Lo: ^uint64(0), Hi: ^uint64(0)}} {
		if p0, p1, p2 := columns(k, 1000); max(p0, p1, p2) > 999 || p0 == p1 || p1 == p2 || p0 == p2 {
			t.Errorf("columns of %x are %d, %d, %d", k, p0, p1, p2)
		}
	}
}

// TestKernels compares every tier with the definition.
func TestKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for name, f := range cpu.Tiers() {
		for _, n := range []int{3, 4, 100, 1 << 16} {
			for _, count := range []int{0, 1, 7, 8, 9, 16, 31, 200} {
				keys, sparse := randomVector(r, count), randomVector(r, n)
				for i := range keys[:count/2] {
					keys[i].Hi = -keys[i].Lo & uint64(i) // extremes and repeats
				}
				rows, values := make([]uint64, count+1), make([]field.Element, count+1)
				columnRows(f, rows[:count], keys, n)
				sumRows(f, values[:count], rows[:count], sparse)
				for i, k := range keys {
					p0, p1, p2 := columns(k, uint64(n))
					if rows[i] != p0|p1<<16|p2<<32 {
						t.Fatalf("%s: columns of key %d of %d among %d are wrong", name, i, count, n)
					}
					if values[i] != sparse[p0].Add(sparse[p1]).Add(sparse[p2]) {
						t.Fatalf("%s: sum of row %d of %d among %d is wrong", name, i, count, n)
					}
				}
				if rows[count] != 0 || !values[count].IsZero() {
					t.Fatalf("%s: %d keys write beyond the end", name, count)
				}
			}
		}
	}
}
