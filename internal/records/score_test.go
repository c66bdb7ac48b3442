package records

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func scoredPair(t *testing.T) (a, b *Index) {
	t.Helper()
	rs := mustParse(t, "set x\nname: all names exact, birth year\nphone: phone")
	build := func(rows ...string) *Index {
		return indexFile(t, rs, writeFile(t, "a.csv", "id,primary_name,date_of_birth,phone,nationality,sex\n"+strings.Join(rows, "\n")))
	}
	a = build("a1,Ali Ahmed,1970,,SY,M", "a2,Ali Hassan,1970,,SY,M", "a3,Ali Omar,1970,,IQ,F", "a4,Zebedee Quux,1951,,GB,", "a5,Ali Ahmed,1970,,,M", "a6,Ada Byron,1980,+442079460000,GB,F", "a7,Муса,1960,,,")
	b = build("b1,Ali Ahmed,1970,,,", "b4,Zebedee Quux,1951,,,", "b6,Ada Byron,1980,+442079460000,,")
	return a, b
}

func TestScores(t *testing.T) {
	t.Parallel()
	a, b := scoredPair(t)
	e, err := Evaluate(a, b, [][2]string{{"a1", "b1"}, {"a4", "b4"}, {"a6", "b6"}, {"a7", "b1"}}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	bits := map[string]float64{}
	for _, f := range e.Found {
		bits[a.ID(f.A)+b.ID(f.B)] = f.Bits
	}
	if len(bits) != 4 {
		t.Fatalf("found %v", bits)
	}
	if !(bits["a6b6"] > bits["a4b4"] && bits["a4b4"] > bits["a1b1"] && bits["a1b1"] == bits["a5b1"] && bits["a5b1"] >= 0) {
		t.Errorf("want name and phone above a rare name above a common one: %v", bits)
	}
	s := NewScorer(a)
	k := s.Key(a.Find(Key{"name", "ahmed ali|1970"}))
	if k.Rule != "name" || k.Records != 2 {
		t.Errorf("got %+v", k)
	}
	sweep := e.Sweep()
	if len(sweep) != 3 || sweep[0].TruePositives != 3 || sweep[0].FalsePositives != 1 || sweep[0].Recall != 0.75 || sweep[2].TruePositives != 1 || sweep[2].Precision != 1 {
		t.Errorf("got %+v", sweep)
	}
	var svg strings.Builder
	if err := WriteSweepSVG(&svg, "<x>", sweep); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(svg.String()))
	lines := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		if el, ok := tok.(xml.StartElement); ok && el.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != 2 {
		t.Errorf("%d lines, want 2", lines)
	}
}

func TestByGroup(t *testing.T) {
	t.Parallel()
	a, b := scoredPair(t)
	e, err := Evaluate(a, b, [][2]string{{"a1", "b1"}, {"a4", "b4"}, {"a7", "b1"}}, [][2]string{{"a6", "b6"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]GroupScore{}
	for _, g := range e.ByGroup {
		got[g.Group+"="+g.Value] = g
	}
	for key, want := range map[string][3]int{
		"script=Latin": {2, 1, 0}, "script=Cyrillic": {0, 0, 1}, "sex=M": {1, 1, 0}, "sex=unknown": {1, 0, 1}, "origin=Western Asia": {1, 0, 0},
		"origin=Northern Europe": {1, 0, 0}, "origin=unknown": {0, 1, 1}, "birth_decade=1970": {1, 1, 0}, "birth_decade=1950": {1, 0, 0}, "birth_decade=1960": {0, 0, 1},
	} {
		if g := got[key]; [3]int{g.TruePositives, g.FalsePositives, g.Missed} != want {
			t.Errorf("%s: got %+v, want %v", key, g, want)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("more groups: %v", got)
	}
	js, err := json.Marshal(e)
	if err != nil || !strings.Contains(string(js), `"by_group":[{"group":"birth_decade"`) {
		t.Errorf("%s, %v", js, err)
	}
}

func TestOneToOne(t *testing.T) {
	t.Parallel()
	pairs := []FoundPair{{A: 1, B: 1, Bits: 9}, {A: 1, B: 2, Bits: 5}, {A: 2, B: 2, Bits: 4}, {A: 3, B: 3, Bits: 7}, {A: 3, B: 4, Bits: 7}, {A: 4, B: 4, Bits: 3}, {A: 5, B: 5, Bits: 1}}
	kept, ties := OneToOne(pairs)
	var got [][2]uint32
	for _, f := range kept {
		got = append(got, [2]uint32{f.A, f.B})
	}
	// 3 ties between 3 and 4, so neither is taken, and 4 goes without.
	if want := [][2]uint32{{1, 1}, {2, 2}, {5, 5}}; !slices.Equal(got, want) || ties != 2 {
		t.Errorf("got %v with %d ties, want %v with 2", got, ties, want)
	}
}

func TestEvaluateOneToOne(t *testing.T) {
	t.Parallel()
	a, b := scoredPair(t)
	truth := [][2]string{{"a4", "b4"}, {"a6", "b6"}}
	e, err := EvaluateOneToOne(a, b, truth, nil, 0)
	// a1 and a5 tie for b1, so neither is taken.
	if err != nil || e.TruePositives != 2 || e.FalsePositives != 0 || e.Pairs != 2 {
		t.Errorf("got %+v, %v", e, err)
	}
	if all, err := Evaluate(a, b, truth, nil, 0); err != nil || all.FalsePositives != 2 {
		t.Errorf("got %+v, %v", all, err)
	}
}

func TestReviewSheet(t *testing.T) {
	t.Parallel()
	open := func(rows string) *Source {
		s, err := Open(writeFile(t, "a.csv", "id,primary_name,alt_names,date_of_birth,nationality\n"+rows), nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open("a1,Ada,Countess,~1915,GB\na2,Bob,,1920-01-02,\na3,X,,,\n"), open("b1,Ada L.,,1915/1916,\nb2,Rob,,1920-01,FR\n")
	pairs := [][2]string{{"a1", "b1"}, {"a2", "b2"}, {"a1", "b2"}}
	sheet := func(seed uint64) [][]string {
		var w strings.Builder
		if err := WriteReview(t.Context(), &w, a, b, ReadOptions{}, pairs, seed); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(w.String())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := sheet(1)
	if len(rows) != 4 || !slices.Equal(rows[0], reviewHeader) {
		t.Fatalf("got %v", rows)
	}
	for _, r := range rows[1:] {
		if r[14] == "a1" && r[15] == "b1" && (r[1] != "" || r[2] != "Ada | Countess" || r[4] != "~1915" || r[5] != "1915/1916" || r[8] != "GB") {
			t.Errorf("got %q", r)
		}
	}
	same := true
	for seed := range uint64(8) {
		same = same && slices.Equal(sheet(seed)[1], rows[1])
	}
	if same {
		t.Error("the order is always the same")
	}
	if err := WriteReview(t.Context(), io.Discard, a, b, ReadOptions{}, [][2]string{{"a1", "zz"}}, 1); err == nil {
		t.Error("a pair of an unknown record was written")
	}
}

func TestDateString(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1980-02-29", "1980-02", "1980", "~1980", "1980/1983", "~1980-01-05"} {
		d, err := ParseDate(s)
		if err != nil || d.String() != s {
			t.Errorf("%s became %s, %v", s, d, err)
		}
	}
}
