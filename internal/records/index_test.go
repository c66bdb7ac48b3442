package records

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	rs := mustParse(t, "set x\na: any 2 names exact, birth year\nb: phone")
	x := NewIndex(mustDerive(t, rs))
	type keyed = map[Key][]uint32
	want := keyed{}
	d := mustDerive(t, rs)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		r := Record{
			ID: fmt.Sprint("id", i), SourceRef: fmt.Sprint("ref", i%7),
			Names:  []Name{{Full: fmt.Sprintf("N%d M%d O%d", rng.IntN(50), rng.IntN(50), rng.IntN(50))}},
			Births: []Date{{Year: int16(1950 + rng.IntN(3)), Precision: PrecisionYear}},
		}
		if i%3 == 0 {
			r.Phones = []string{fmt.Sprint("+49", rng.IntN(500))}
		}
		keys, _ := d.Keys(nil, &r)
		for _, k := range keys {
			want[k] = append(want[k], uint32(i))
		}
		if err := x.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	got := keyed{}
	postings := 0
	for i := range x.Len() {
		k := x.Key(i)
		if x.Find(k) != i {
			t.Fatalf("key %v is at %d, found at %d", k, i, x.Find(k))
		}
		got[k] = x.RecordsOf(nil, i)
		if x.Shared(i) != len(got[k]) {
			t.Errorf("key %v: %d records, want %d", k, x.Shared(i), len(got[k]))
		}
		postings += len(got[k])
	}
	if !reflect.DeepEqual(got, want) || postings != x.Postings() {
		t.Errorf("got %d keys, %d postings, want %d keys", len(got), postings, len(want))
	}
	if x.Records() != 3000 || x.ID(2999) != "id2999" || x.SourceRef(8) != "ref1" || x.Cut() != 0 {
		t.Errorf("records %d, last %q, ref %q", x.Records(), x.ID(2999), x.SourceRef(8))
	}
	for _, k := range []Key{{"a", "nobody"}, {"nope", ""}} {
		if i := x.Find(k); i != -1 {
			t.Errorf("%v found at %d", k, i)
		}
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	rs := mustParse(t, "set x\nmeant for 2 x 9\nname: all names exact, birth year\nphone: phone")
	build := func(rows ...string) *Index {
		path := writeFile(t, "a.csv", "id,primary_name,date_of_birth,phone\n"+strings.Join(rows, "\n"))
		return indexFile(t, rs, path)
	}
	a := build("a1,Ada Byron,1915,", "a2,Bob,1920 | 1921,+442079460000", "a3,Eve,1930,")
	b := build("b1,Byron Ada,1915-03,", "b2,Rob,1950,+442079460000", "b3,Bob,1921,", "b4,Ada Byron,1915,")
	truth := [][2]string{{"a1", "b1"}, {"a2", "b2"}, {"a2", "b3"}, {"a3", "b3"}, {"a9", "b1"}}
	e, err := Evaluate(a, b, truth, [][2]string{{"a1", "b4"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if e.TruePositives != 3 || e.FalsePositives != 0 || e.Missed != 2 || e.Pairs != 4 || e.Ignored != 1 || e.UnknownTruth != 1 || e.Truth != 5 ||
		e.Recall != 0.6 || e.Precision != 1 || math.Abs(e.F1-0.75) > 1e-9 || e.KeysPerRecordA != 5.0/3 || e.KeysPerRecordB != 5.0/4 || len(e.Warnings) != 2 {
		t.Errorf("got %+v", e)
	}
	if n, p := e.Rules[0], e.Rules[1]; n.TruePositives != 2 || n.Pairs != 3 || p.TruePositives != 1 || p.Pairs != 1 || p.KeysPerRecordA != 1.0/3 {
		t.Errorf("got %+v", e.Rules)
	}
	if want := [][2]string{{"a3", "b3"}, {"a9", "b1"}}; !slices.Equal(e.MissedPairs, want) {
		t.Errorf("missed %v, want %v", e.MissedPairs, want)
	}
	if e, err = Evaluate(a, b, nil, nil, 0); err != nil || e.FalsePositives != 4 || e.Recall != 0 {
		t.Errorf("without truth: %+v, %v", e, err)
	}
	if _, err := Evaluate(a, b, nil, nil, 2); err == nil || !strings.Contains(err.Error(), "too weak") {
		t.Errorf("more pairs than allowed: %v", err)
	}
	if _, err := Evaluate(a, NewIndex(mustDerive(t, mustParse(t, "set y\na: phone"))), nil, nil, 0); err == nil {
		t.Error("two rule sets were joined")
	}
}

func TestReadPairsOfReviewSheet(t *testing.T) {
	t.Parallel()
	got, err := ReadPairs(writeFile(t, "p.csv", "pair,same,id_a,id_b\n1,y,a1,b1\n2,n,a2,b2\n3,,a3,b3\n4, Y ,a4,b4\n"))
	if want := [][2]string{{"a1", "b1"}, {"a4", "b4"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestReadPairsErrors(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{"": "header", "a,b\n": "got 2 others", "id_a,id_b\n1\n": "broken CSV", "id_a,id_b\n\"": "broken CSV"} {
		if _, err := ReadPairs(writeFile(t, "p.csv", content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", content, err, want)
		}
	}
}

func TestReadPairs(t *testing.T) {
	t.Parallel()
	got, err := ReadPairs(writeFile(t, "p.csv", "\ufeffid_b, id_a,evidence\r\n1,\"2,3\",x\r\n"))
	if err != nil || len(got) != 1 || got[0] != [2]string{"2,3", "1"} {
		t.Errorf("got %q, error %v", got, err)
	}
}

func FuzzReadSources(f *testing.F) {
	f.Add([]byte(header+"7,person,\"L, A\",A,L,B | c,1915 | ~1914,X,GBR,p | ,1 | 2,GB | ,+442079460000,F,c\n"), byte(0))
	f.Add([]byte(`{"id":"7","schema":"Person","properties":{"name":["L, A"],"birthDate":["1915"],"passportNumber":["1","2"]}}`), byte(1))
	f.Add([]byte(`{"entity_id":7,"forename":"\u202eA","name":null,"nationalities":[["GB"],{"x":1}]}`), byte(1))
	rs, err := Shipped("exact")
	if err != nil {
		f.Fatal(err)
	}
	d := mustDerive(f, rs)
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		name := []string{"a.csv", "a.jsonl"}[kind%2]
		rec, report, err := readAll(t, writeFile(t, name, string(b)), nil, ReadOptions{OnBadRow: KeepBadRow})
		if err == nil && int64(len(rec)) != report.Records {
			t.Errorf("%d records, the report says %d", len(rec), report.Records)
		}
		for i := range rec {
			if keys, _ := d.Keys(nil, &rec[i]); rec[i].ID == "" || len(keys) > rs.MaxKeysPerRecord {
				t.Errorf("record %+v", rec[i])
			}
		}
	})
}
