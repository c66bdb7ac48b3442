package sketch

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/internal/records"
)

func newSketcher(t testing.TB, p Params, salt string, role Role) *Sketcher {
	t.Helper()
	s, err := New(p, records.NormalisationVersion(), []byte(salt), role)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func person(t testing.TB, id string, fullNames []string, births ...string) *records.Record {
	t.Helper()
	r := &records.Record{ID: id}
	for _, n := range fullNames {
		r.Names = append(r.Names, records.Name{Full: n})
	}
	for _, b := range births {
		d, err := records.ParseDate(b)
		if err != nil {
			t.Fatal(err)
		}
		r.Births = append(r.Births, d)
	}
	return r
}

// primary returns the sketch of a record's first name.
func primary(t testing.TB, s *Sketcher, r *records.Record) []uint8 {
	t.Helper()
	forms := s.Append(nil, r)
	if len(forms) == 0 {
		t.Fatal("no form")
	}
	return forms[0].Symbols
}

// TestVectors holds the sketches to those of the first release: other ones
// find nothing, and need another Version.
func TestVectors(t *testing.T) {
	full := person(t, "1", []string{"Erika MUSTERMANN"}, "1964-08-12")
	for _, tt := range []struct {
		name string
		p    Params
		salt string
		role Role
		r    *records.Record
		want string
	}{
		{"full date", Default(), "epoch 1", Owner, full, vectorFull},
		{"other salt", Default(), "epoch 2", Owner, full, vectorSalt},
		{"no date", Default(), "epoch 1", Query, person(t, "1", []string{"Erika MUSTERMANN"}), vectorBare},
		{"Cyrillic, range", Params{32, 8, 24}, "epoch 1", Owner, person(t, "2", []string{"Иван Петров"}, "1970/1972"), vectorCyrillic},
		{"Arabic, partial", Params{128, 16, 90}, "", Query, person(t, "3", []string{"محمد علي"}, "1970-05", "~1971"), vectorArabic},
	} {
		got := hex.EncodeToString(pairs(primary(t, newSketcher(t, tt.p, tt.salt, tt.role), tt.r)))
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// pairs packs two symbols a byte.
func pairs(symbols []uint8) []byte {
	out := make([]byte, len(symbols)/2)
	for i := range out {
		out[i] = symbols[2*i] | symbols[2*i+1]<<4
	}
	return out
}

const (
	vectorFull     = "3031002311201101202031111022300312032001102003333311103213120013"
	vectorSalt     = "1003002020001331130101121001022313103320123220302231331221000012"
	vectorBare     = "3031002311201101202031111022300312032001102003333311201110132221"
	vectorCyrillic = "42143124161636475400403400521113"
	vectorArabic   = "cfe7cd085e98e9d8f718805ac73dafe1b80949c69fdde223d8017378312cacb38683fa5eb6417faef6ee7709c0c62782a96fe7c83fbc01f2640172e3dfa04492"
)

// TestSpellingsAgree takes pairs of records that differ in nothing that counts.
func TestSpellingsAgree(t *testing.T) {
	owner, query := newSketcher(t, Default(), "x", Owner), newSketcher(t, Default(), "x", Query)
	for _, tt := range []struct {
		name, a, b string
		birthA     string
		birthB     string
		least      int
	}{
		{"equal", "Erika Mustermann", "Erika Mustermann", "1964-08-12", "1964-08-12", 64},
		{"order of words", "Erika Mustermann", "MUSTERMANN, Erika", "1964-08-12", "1964-08-12", 64},
		{"case and marks", "JOSÉ GARCÍA LÓPEZ", "jose garcia lopez", "1964-08-12", "1964-08-12", 64},
		{"particles", "Ludwig van Beethoven", "Ludwig Beethoven", "1964-08-12", "1964-08-12", 64},
		{"script", "Иван Петров", "Ivan Petrov", "1964-08-12", "1964-08-12", 64},
		{"article written together", "Ahmed Alsalih", "Ahmed al-Salih", "1964-08-12", "1964-08-12", 49},
		{"day and month exchanged", "Erika Mustermann", "Erika Mustermann", "1964-08-12", "1964-12-08", 60},
		{"a slip", "Erika Mustermann", "Erika Mustermnan", "1964-08-12", "1964-08-12", 49},
		{"year off by one", "Erika Mustermann", "Erika Mustermann", "1964-08-12", "1965-08-12", 57},
		{"no date here", "Erika Mustermann", "Erika Mustermann", "1964-08-12", "", 52},
		{"no date there", "Erika Mustermann", "Erika Mustermann", "", "1964-08-12", 52},
		{"no date at all", "Erika Mustermann", "Erika Mustermann", "", "", 52},
		{"the year alone", "Erika Mustermann", "Erika Mustermann", "1964", "1964-08-12", 57},
	} {
		record := func(id, name, birth string) *records.Record {
			if birth == "" {
				return person(t, id, []string{name})
			}
			return person(t, id, []string{name}, birth)
		}
		a, b := primary(t, owner, record("a", tt.a, tt.birthA)), primary(t, query, record("b", tt.b, tt.birthB))
		if got := Score(a, b); got < tt.least {
			t.Errorf("%s: score %d, want at least %d", tt.name, got, tt.least)
		}
	}
}

// TestStrangersAgreeByChance: unrelated names share few features, missing
// dates none, so that scores lie close above K/m and far below the threshold.
func TestStrangersAgreeByChance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(letters string) string {
		b := make([]byte, 7)
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	for _, p := range []Params{Default(), {64, 8, 49}, {32, 16, 24}, {128, 2, 100}} {
		const n = 400
		sum := 0
		for i := range n {
			// Under one salt scores would depend on each other through the
			// letters that words share.
			salt := fmt.Sprint(i)
			owner, query := newSketcher(t, p, salt, Owner), newSketcher(t, p, salt, Query)
			// No letter in common, nor a class of the skeleton.
			a := primary(t, owner, person(t, fmt.Sprint(i), []string{word("abptdl")}))
			b := primary(t, query, person(t, fmt.Sprint(i), []string{word("okgrnm")}))
			sum += Score(a, b)
		}
		mean, want := float64(sum)/n, float64(p.Groups)/float64(p.Symbols)
		sd := math.Sqrt(want * (1 - 1/float64(p.Symbols)) / n)
		if math.Abs(mean-want) > 5*sd {
			t.Errorf("%v: mean score %.3f, want %.3f with standard deviation %.3f", p, mean, want, sd)
		}
	}
}

// TestMissingDates: two records without a date agree in its groups by chance,
// whatever their ids, and so do a record with a date and one without.
func TestMissingDates(t *testing.T) {
	p := Default()
	owner, query := newSketcher(t, p, "x", Owner), newSketcher(t, p, "x", Query)
	name := []string{"Erika Mustermann"}
	names := layout(p.Groups)[0].groups
	const n = 2000
	both, one, symbols := 0, 0, make([]int, p.Symbols)
	for i := range n {
		id := fmt.Sprint(i)
		a := primary(t, owner, person(t, id, name))
		b := primary(t, query, person(t, id, name))
		d := primary(t, query, person(t, id, name, fmt.Sprintf("19%02d-%02d-%02d", i%100, 1+i%12, 1+i%28)))
		both += Score(a, b) - names
		one += Score(a, d) - names
		for _, s := range a[names:] {
			symbols[s]++
		}
	}
	groups := float64(p.Groups - names)
	want := groups / float64(p.Symbols)
	sd := math.Sqrt(want * (1 - 1/float64(p.Symbols)) / n)
	for what, sum := range map[string]int{"both": both, "one": one} {
		if mean := float64(sum) / n; math.Abs(mean-want) > 5*sd {
			t.Errorf("%s without a date: %.3f groups agree, want %.3f", what, mean, want)
		}
	}
	for s, got := range symbols {
		if want := n * groups / float64(p.Symbols); math.Abs(float64(got)-want) > 5*math.Sqrt(want) {
			t.Errorf("symbol %d fills %d groups, want about %.0f", s, got, want)
		}
	}
}

func TestForms(t *testing.T) {
	s := newSketcher(t, Default(), "x", Owner)
	r := person(t, "1", []string{"Erika Mustermann", "MUSTERMANN, Erika", "", "...", "Erika Gabler"}, "1964-08-12")
	forms := s.Append(nil, r)
	if len(forms) != 2 || forms[0].Name != 0 || forms[1].Name != 4 {
		t.Fatalf("got %d forms, want those of the names 0 and 4", len(forms))
	}
	// The names before a form don't change it, nor do records before.
	if alone := s.Append(nil, person(t, "1", []string{"Erika Gabler"}, "1964-08-12")); !bytes.Equal(alone[0].Symbols, forms[1].Symbols) {
		t.Error("an alias has another sketch alone")
	}
	if again := s.Clone().Append(forms[:1:1], r); !bytes.Equal(again[1].Symbols, forms[0].Symbols) {
		t.Error("a clone makes another sketch")
	}
	if none := s.Append(nil, &records.Record{ID: "2"}); len(none) != 0 {
		t.Errorf("got %d forms of no name", len(none))
	}
}

func TestSaltsSeparate(t *testing.T) {
	r := person(t, "1", []string{"Erika Mustermann"}, "1964-08-12")
	a := primary(t, newSketcher(t, Default(), "epoch 1", Owner), r)
	b := primary(t, newSketcher(t, Default(), "epoch 2", Owner), r)
	if got := Score(a, b); got > 35 {
		t.Errorf("sketches of two epochs score %d, want about 16", got)
	}
}

func TestNewRefuses(t *testing.T) {
	v := records.NormalisationVersion()
	for _, tt := range []struct {
		name    string
		p       Params
		version string
		role    Role
	}{
		{"zero", Params{}, v, Owner},
		{"groups no power of two", Params{48, 4, 20}, v, Owner},
		{"too many groups", Params{256, 4, 20}, v, Owner},
		{"symbols no power of two", Params{64, 5, 20}, v, Owner},
		{"one symbol", Params{64, 1, 20}, v, Owner},
		{"threshold 0", Params{64, 4, 0}, v, Owner},
		{"threshold above groups", Params{64, 4, 65}, v, Owner},
		{"other normalisation", Default(), "symbolon-0", Owner},
		{"no role", Default(), v, 0},
	} {
		if _, err := New(tt.p, tt.version, nil, tt.role); err == nil {
			t.Errorf("%s: accepted", tt.name)
		}
	}
}

func TestLayoutKeepsProportion(t *testing.T) {
	for groups := 16; groups <= 128; groups *= 2 {
		sum := 0
		for i, b := range layout(groups) {
			sum += b.groups
			if want := float64(weights[i].groups*groups) / 64; math.Abs(float64(b.groups)-want) > 1 {
				t.Errorf("%d groups: %d of kind %d, want about %.1f", groups, b.groups, b.kind, want)
			}
		}
		if sum != groups {
			t.Errorf("%d groups: the blocks have %d", groups, sum)
		}
	}
}

// TestTable compares the packed table with Score.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, p := range []Params{{16, 2, 5}, {64, 4, 20}, {32, 8, 8}, {128, 16, 10}, {64, 8, 10}} {
		table := NewTable(p)
		draw := func() []uint8 {
			s := make([]uint8, p.Groups)
			for i := range s {
				s[i] = uint8(r.IntN(p.Symbols))
			}
			return s
		}
		var all [][]uint8
		for slot := range 50 {
			all = append(all, draw())
			if got := table.Add(all[slot]); got != slot {
				t.Fatalf("%v: added slot %d as %d", p, slot, got)
			}
		}
		query := draw()
		all[7] = query
		table = NewTable(p)
		for _, s := range all {
			table.Add(s)
		}
		scores := table.Scores(nil, query)
		var open []int
		for slot, s := range all {
			if !bytes.Equal(table.Symbols(nil, slot), s) {
				t.Errorf("%v: slot %d holds another sketch", p, slot)
			}
			if int(scores[slot]) != Score(s, query) {
				t.Errorf("%v: slot %d scores %d, want %d", p, slot, scores[slot], Score(s, query))
			}
			if Score(s, query) >= p.Threshold {
				open = append(open, slot)
			}
		}
		if got := table.AtLeast(nil, query, p.Threshold); !slices.Equal(got, open) {
			t.Errorf("%v: slots %v open, want %v", p, got, open)
		}
		if scores[7] != uint8(p.Groups) || table.Len() != 50 {
			t.Errorf("%v: a sketch scores %d with itself, %d slots", p, scores[7], table.Len())
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("Erika Mustermann", "MUSTERMANN, E.", "1964-08-12")
	f.Add("محمد بن سلمان", "金正恩", "~1970")
	f.Add("\xff\xfe", "'", "1970/1999")
	f.Fuzz(func(t *testing.T, a, b, birth string) {
		r := &records.Record{ID: a, Names: []records.Name{{Full: a}, {Full: b}}}
		if d, err := records.ParseDate(birth); err == nil {
			r.Births = append(r.Births, d)
		}
		p := Params{32, 8, 24}
		s := newSketcher(t, p, "x", Owner)
		forms := s.Append(nil, r)
		again := newSketcher(t, p, "x", Owner).Append(nil, r)
		if len(forms) > 2 || len(forms) != len(again) {
			t.Fatalf("%d forms of two names, then %d", len(forms), len(again))
		}
		table := NewTable(p)
		for i, form := range forms {
			if !bytes.Equal(form.Symbols, again[i].Symbols) {
				t.Fatal("not deterministic")
			}
			table.Add(form.Symbols) // panics on a symbol outside the shape
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s := newSketcher(b, Default(), "x", Owner)
	r := person(b, "1", []string{"Erika Mustermann"}, "1964-08-12")
	var forms []Form
	for b.Loop() {
		forms = s.Append(forms[:0], r)
	}
}

func BenchmarkScores(b *testing.B) {
	p := Default()
	table := NewTable(p)
	s := newSketcher(b, p, "x", Owner)
	for i := range 100_000 {
		table.Add(primary(b, s, &records.Record{ID: fmt.Sprint(i), Names: []records.Name{{Full: fmt.Sprintf("name%d", i%1000)}}}))
	}
	query := table.Symbols(nil, 5)
	var scores []uint8
	for b.Loop() {
		scores = table.Scores(scores[:0], query)
	}
}
