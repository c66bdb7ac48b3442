package sketch_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/bits"
	"os"
	"path/filepath"
	"testing"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/names"
	"github.com/symbolon/symbolon/internal/records/sketch"
)

// realSet is two lists with their true pairs, and those that the standard
// rules miss.
type realSet struct {
	name          string
	a, b          string
	truth, missed [][2]string
}

func source(t testing.TB, path string) *records.Source {
	t.Helper()
	s, err := records.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var keepBad = records.ReadOptions{OnBadRow: records.KeepBadRow}

// realSets returns FEBRL, whose documents are not used, and the alias set.
func realSets(t testing.TB) []realSet {
	t.Helper()
	dir := os.Getenv("SYMBOLON_DATA")
	if dir == "" {
		t.Skip("SYMBOLON_DATA names no folder with the real lists")
	}
	sets := []realSet{
		{name: "FEBRL", a: filepath.Join(dir, "febrl_a.csv"), b: filepath.Join(dir, "febrl_b.csv")},
		{name: "aliases", a: filepath.Join(dir, "a_sdn.csv"), b: filepath.Join(dir, "aka_b.csv")},
	}
	for i, file := range []string{"truth_febrl.csv", "truth_a_aka.csv"} {
		s := &sets[i]
		var err error
		if s.truth, err = records.ReadPairs(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
		rules, err := records.Shipped("standard")
		if err != nil {
			t.Fatal(err)
		}
		if rules, err = rules.Without("document"); err != nil {
			t.Fatal(err)
		}
		index := func(path string) *records.Index {
			d, err := records.NewDeriver(rules, records.NormalisationVersion())
			if err != nil {
				t.Fatal(err)
			}
			x, _, err := records.BuildIndex(t.Context(), source(t, path), d, keepBad)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		e, err := records.Evaluate(index(s.a), index(s.b), s.truth, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.missed = e.MissedPairs
	}
	return sets
}

// tunedOn reports whether a pair is of the half that the weights were chosen
// on; the other is held out.
func tunedOn(pair [2]string) bool {
	h := fnv.New32a()
	h.Write([]byte(pair[1]))
	x := uint64(h.Sum32())
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x^x>>31)&1 == 0
}

func heldOut(pairs [][2]string) (out [][2]string) {
	for _, p := range pairs {
		if !tunedOn(p) {
			out = append(out, p)
		}
	}
	return out
}

// strangers writes so many synthetic people, and some others to ask for them.
func strangers(t testing.TB, n int) (people, asking string) {
	t.Helper()
	dir := t.TempDir()
	p, err := bench.NewPopulation(bench.PopulationConfig{Seed: 12, SizeA: n, SizeB: 3000})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, bench.FileA), filepath.Join(dir, bench.FileB)
}

func slots(t testing.TB, p sketch.Params, salt, path string, role sketch.Role) *sketch.Slots {
	t.Helper()
	s, err := sketch.New(p, records.NormalisationVersion(), []byte(salt), role)
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := sketch.Read(t.Context(), source(t, path), s, keepBad)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestUsefulness holds the default shape to its mark: at the default threshold
// at least half of the true pairs that the standard rules miss open, held-out
// ones too, and on average at most one slot of 100,000 synthetic people for a
// query, whoever asks. A smaller population is scaled up.
func TestUsefulness(t *testing.T) {
	t.Parallel()
	sets := realSets(t)
	size := 10_000
	if os.Getenv("SYMBOLON_LONG") != "" {
		size = 100_000
	}
	people, asking := strangers(t, size)
	p := sketch.Default()
	known, others := slots(t, p, "mark", people, sketch.Owner), slots(t, p, "mark", asking, sketch.Query)
	for _, s := range sets {
		a, b := slots(t, p, "mark", s.a, sketch.Owner), slots(t, p, "mark", s.b, sketch.Query)
		c, err := sketch.Measure(t.Context(), a, b, known, []*sketch.Slots{others}, s.truth, s.missed, 1000)
		if err != nil {
			t.Fatal(err)
		}
		held, err := sketch.Measure(t.Context(), a, b, known, nil, heldOut(s.missed), heldOut(s.missed), 1)
		if err != nil {
			t.Fatal(err)
		}
		at := c.Points[p.Threshold]
		share := float64(at.Found.Missed) / float64(c.Pairs.Missed)
		unseen := float64(held.Points[p.Threshold].Found.Missed) / float64(held.Pairs.Missed)
		t.Logf("%s: %.3f of %d missed pairs open, %.3f of those held out, %.3f of all", s.name, share, c.Pairs.Missed, unseen,
			float64(at.Found.All)/float64(c.Pairs.All))
		if c.Pairs.Missed < 300 || share < 0.5 || unseen < 0.5 {
			t.Errorf("%s: %.3f of %d missed pairs open, and %.3f of those held out; want half of at least 300", s.name, share, c.Pairs.Missed, unseen)
		}
		for i, f := range at.FalseSlots {
			f *= 100_000 / float64(size)
			t.Logf("%s: queries of kind %d open %.3f false slots of 100,000 people", s.name, i, f)
			if f > 1 {
				t.Errorf("%s: queries of kind %d open %.3f false slots, want at most 1", s.name, i, f)
			}
		}
	}
}

// TestTradeOff prints the tables of README.md: the curve of the default shape
// on both halves of the pairs, other shapes, and brute-force Dice.
func TestTradeOff(t *testing.T) {
	if os.Getenv("SYMBOLON_LONG") == "" {
		t.Skip("SYMBOLON_LONG is unset: some minutes")
	}
	sets := realSets(t)
	people, asking := strangers(t, 100_000)
	fmt.Println("| K | m | d | T | FEBRL missed | held out | FEBRL all | aliases missed | false, FEBRL asks | false, aliases ask | false, synthetic people ask |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	shapes := []sketch.Params{sketch.Default(), {Groups: 64, Symbols: 8}, {Groups: 64, Symbols: 16}, {Groups: 32, Symbols: 4},
		{Groups: 32, Symbols: 8}, {Groups: 32, Symbols: 16}, {Groups: 128, Symbols: 2}, {Groups: 128, Symbols: 4}, {Groups: 128, Symbols: 8}, {Groups: 128, Symbols: 16}}
	for _, p := range shapes {
		p.Threshold = p.Groups
		known, others := slots(t, p, "mark", people, sketch.Owner), slots(t, p, "mark", asking, sketch.Query)
		var all, unseen []*sketch.Curve
		for _, s := range sets {
			a, b := slots(t, p, "mark", s.a, sketch.Owner), slots(t, p, "mark", s.b, sketch.Query)
			for _, pairs := range []struct {
				truth, missed [][2]string
				to            *[]*sketch.Curve
				most          int
			}{{s.truth, s.missed, &all, 3000}, {heldOut(s.truth), heldOut(s.missed), &unseen, 1}} {
				c, err := sketch.Measure(t.Context(), a, b, known, []*sketch.Slots{others}, pairs.truth, pairs.missed, pairs.most)
				if err != nil {
					t.Fatal(err)
				}
				*pairs.to = append(*pairs.to, c)
			}
		}
		shown := 0
		for i, at := range all[0].Points {
			worst := max(at.FalseSlots[0], at.FalseSlots[1], all[1].Points[i].FalseSlots[0])
			if p.Symbols == sketch.Default().Symbols && p.Groups == sketch.Default().Groups {
				if i < 40 || i > 58 {
					continue
				}
			} else if worst > 1 || shown == 2 {
				continue
			}
			shown++
			of := func(c *sketch.Curve) float64 { return float64(c.Points[i].Found.Missed) / float64(c.Pairs.Missed) }
			fmt.Printf("| %d | %d | %d | %d | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f |\n", p.Groups, p.Symbols, p.Dimension(), i,
				of(all[0]), of(unseen[0]), float64(at.Found.All)/float64(all[0].Pairs.All), of(all[1]),
				at.FalseSlots[0], all[1].Points[i].FalseSlots[0], at.FalseSlots[1])
		}
	}
	for _, date := range []int{0, 1} {
		diceCurve(t, sets, people, asking, date)
	}
}

// gramBits is the length of the bit vector of a form: one bit for each pair of
// 27 characters, and for each digit at each of the eight places of a date.
const gramBits = 27*27 + 8*10

type grams struct {
	bits  [(gramBits + 63) / 64]uint64
	count int
}

func (g *grams) set(bit int) { g.bits[bit/64] |= 1 << (bit % 64) }

func letter(c byte) int {
	if 'a' <= c && c <= 'z' {
		return int(c-'a') + 1
	}
	return 0
}

// formsOf returns the padded bigrams of each name of each record, and the
// digits of its first full date where dates count.
func formsOf(t testing.TB, path string, date int) (forms map[string][]grams) {
	t.Helper()
	forms = map[string][]grams{}
	_, err := source(t, path).Each(t.Context(), keepBad, func(r *records.Record) error {
		seen := map[grams]bool{}
		for _, n := range r.Names {
			var g grams
			for _, word := range names.Tokens(n.Full) {
				before := 0
				for i := range len(word) {
					g.set(before*27 + letter(word[i]))
					before = letter(word[i])
				}
				g.set(before * 27)
			}
			if date > 0 && len(r.Births) > 0 && r.Births[0].Precision == records.PrecisionDay {
				d := r.Births[0]
				for i, c := range fmt.Sprintf("%04d%02d%02d", d.Year, d.Month, d.Day) {
					g.set(27*27 + 10*i + int(c-'0'))
				}
			}
			for _, w := range g.bits {
				g.count += bits.OnesCount64(w)
			}
			if !seen[g] && g.count > 0 {
				seen[g] = true
				forms[r.ID] = append(forms[r.ID], g)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return forms
}

// dice returns the coefficient in hundredths, rounded down.
func dice(a, b *grams) int {
	both := 0
	for i, w := range a.bits {
		both += bits.OnesCount64(w & b.bits[i])
	}
	return 200 * both / (a.count + b.count)
}

// diceCurve prints what brute-force Dice over bigrams finds, with and without
// the digits of the date.
func diceCurve(t *testing.T, sets []realSet, people, asking string, date int) {
	fmt.Printf("\nDice over the bigrams of names, dates %v\n\n", date > 0)
	fmt.Println("| Dice | FEBRL missed | FEBRL all | aliases missed | false, synthetic people ask |")
	fmt.Println("|---|---|---|---|---|")
	var found, missed [2][101]int
	for i, s := range sets {
		a, b := formsOf(t, s.a, date), formsOf(t, s.b, date)
		count := func(pairs [][2]string, into *[101]int) {
			for _, p := range pairs {
				best := -1
				if q := b[p[1]]; len(q) > 0 {
					for k := range a[p[0]] {
						best = max(best, dice(&a[p[0]][k], &q[0]))
					}
				}
				for d := 0; d <= best; d++ {
					into[d]++
				}
			}
		}
		count(s.truth, &found[i])
		count(s.missed, &missed[i])
	}
	var flat []grams
	for _, forms := range formsOf(t, people, date) {
		flat = append(flat, forms...)
	}
	var open [101]int
	queries := 0
	for id, forms := range formsOf(t, asking, date) {
		h := fnv.New32a()
		h.Write([]byte(id))
		if binary.BigEndian.Uint32(h.Sum(nil))%3 != 0 {
			continue
		}
		queries++
		for i := range flat {
			open[dice(&flat[i], &forms[0])]++
		}
	}
	for d := 99; d >= 0; d-- {
		open[d] += open[d+1]
	}
	for d := 60; d <= 100; d++ {
		f := float64(open[d]) / float64(queries)
		if f > 4 {
			continue
		}
		fmt.Printf("| %.2f | %.3f | %.3f | %.3f | %.3f |\n", float64(d)/100, float64(missed[0][d])/float64(len(sets[0].missed)),
			float64(found[0][d])/float64(len(sets[0].truth)), float64(missed[1][d])/float64(len(sets[1].missed)), f)
	}
}
