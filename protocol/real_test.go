package protocol

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/psi"
)

// TestRealLists runs a session over two governments' lists and compares its
// pairs with those that the rules give in the clear.
func TestRealLists(t *testing.T) {
	dir := os.Getenv("SYMBOLON_DATA")
	if dir == "" {
		t.Skip("SYMBOLON_DATA is unset: the folder with the lists a_sdn.csv and b_other.csv")
	}
	runs := [][2]string{{EngineVOLE, "exact"}, {EngineVOLE, "standard"}}
	if os.Getenv("SYMBOLON_LONG") != "" {
		for _, engine := range Engines() {
			runs = append(runs, [2]string{engine, "strict"}, [2]string{engine, "wide"})
		}
	}
	for _, run := range runs {
		engine, set := run[0], run[1]
		t.Run(engine+" "+set, func(t *testing.T) {
			t.Parallel()
			rules, err := records.Shipped(set)
			must(t, err)
			canary, err := records.CanaryKeys(rules)
			must(t, err)
			north, south, agreement := pair(t, func(a *Agreement) {
				a.Engine, a.Security = engine, EngineSecurity(engine)[0]
				a.Modes, a.CardinalityRule = []psi.Mode{psi.ModeMutual}, ""
				a.Rules, a.Canary = rules, canary
				a.Caps = Caps{ItemsPerSession: 1 << 17, ItemsPerDay: 1 << 20, SessionsPerDay: 10}
				a.Labels = &Labels{Bytes: 32, Slots: 16}
			})
			north.data, south.data = filepath.Join(dir, "a_sdn.csv"), filepath.Join(dir, "b_other.csv")
			south.Source = func(string) (Source, error) { s := south.source(); s.ReferenceID = true; return s, nil }
			out, err := north.match(agreement, psi.ModeMutual)
			must(t, err)
			var got [][2]string
			for _, h := range out.Hits {
				got = append(got, [2]string{h.ID, h.Reference})
				if len(h.Flags) > 0 {
					t.Errorf("a hit is flagged %v", h.Flags)
				}
			}
			want := inTheClear(t, north, south, agreement)
			slices.SortFunc(got, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
			if !slices.Equal(got, want) {
				t.Errorf("the session gives %d pairs, the rules in the clear %d, or others", len(got), len(want))
			}
		})
	}
}

// TestRealLookups looks up every person of one government's list whom another
// knows, and compares the hits with those of a session over both lists.
func TestRealLookups(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SYMBOLON_DATA")
	if dir == "" {
		t.Skip("SYMBOLON_DATA is unset: the folder with the lists a_sdn.csv, b_other.csv and truth_a_b.csv")
	}
	rules, err := records.Shipped("standard")
	must(t, err)
	north, south, agreement := pair(t, func(a *Agreement) {
		lookups(a)
		a.Modes = []psi.Mode{psi.ModeMutual, psi.ModeLookup}
		a.Engine, a.Security = EngineVOLE, psi.Malicious
		a.Rules = rules
		must(t, recanary(a))
		a.Caps = Caps{ItemsPerSession: 1 << 17, ItemsPerDay: 1 << 20, SessionsPerDay: 10}
		a.Labels = &Labels{Bytes: 32, Slots: 16}
		a.Lookup.EvaluationsPerMinute, a.Lookup.EvaluationsPerDay = 1<<20, 1<<20
	})
	north.data, south.data = filepath.Join(dir, "a_sdn.csv"), filepath.Join(dir, "b_other.csv")
	byID := func(ag *agency) Source { s := ag.source(); s.ReferenceID = true; return s }
	south.Source = func(string) (Source, error) { return byID(south), nil }
	out, err := north.match(agreement, psi.ModeMutual)
	must(t, err)
	truth, err := records.ReadPairs(filepath.Join(dir, "truth_a_b.csv"))
	must(t, err)
	known := map[string]bool{}
	for _, p := range truth {
		known[p[0]] = true
	}
	want := map[[2]string][]string{}
	for _, h := range out.Hits {
		if known[h.ID] {
			slices.Sort(h.Rules)
			want[[2]string{h.ID, h.Reference}] = h.Rules
		}
	}
	_, err = south.Publish(t.Context(), PublishRequest{Agreement: agreement, Source: byID(south)})
	must(t, err)
	l := north.look(t, agreement)
	got := map[[2]string][]string{}
	asked := 0
	_, err = north.source().Records.Each(t.Context(), records.ReadOptions{}, func(r *records.Record) error {
		if !known[r.ID] {
			return nil
		}
		asked++
		res, err := l.Lookup(t.Context(), r)
		if err != nil {
			return err
		}
		for _, h := range res.Hits {
			if len(h.Flags) > 0 {
				t.Errorf("a hit is flagged %v", h.Flags)
			}
			slices.Sort(h.Rules)
			got[[2]string{r.ID, h.Reference}] = h.Rules
		}
		return nil
	})
	must(t, err)
	must(t, l.Close())
	if asked != len(known) || len(want) < 200 {
		t.Fatalf("%d of %d people were asked for; the session has %d pairs of them", asked, len(known), len(want))
	}
	found := 0
	for _, p := range truth {
		if got[p] != nil {
			found++
		}
	}
	t.Logf("%d lookups find %d of %d true pairs, %d pairs in all; the session has %d", asked, found, len(truth), len(got), len(want))
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("lookups give %d pairs, the session %d, or others", len(got), len(want))
	}
}

// inTheClear joins both agencies' keys without a protocol.
func inTheClear(t *testing.T, a, b *agency, agreement string) [][2]string {
	t.Helper()
	rules := loaded(t, a, agreement).Rules
	index := func(ag *agency) *records.Index {
		d, err := records.NewDeriver(rules, records.NormalisationVersion())
		must(t, err)
		x, _, err := records.BuildIndex(t.Context(), ag.source().Records, d, records.ReadOptions{})
		must(t, err)
		return x
	}
	x, y := index(a), index(b)
	e, err := records.Evaluate(x, y, nil, nil, 0)
	must(t, err)
	var pairs [][2]string
	for _, p := range e.Found {
		pairs = append(pairs, [2]string{x.ID(p.A), y.ID(p.B)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	if len(pairs) < 200 {
		t.Fatalf("the rules find only %d pairs in the clear", len(pairs))
	}
	return pairs
}

func loaded(t *testing.T, ag *agency, agreement string) *Agreement {
	t.Helper()
	a, err := loadAgreement(ag.Store.Reader, agreement)
	must(t, err)
	return a
}
