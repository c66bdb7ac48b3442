package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/internal/records"
)

// inClear is what the demo knows because it invented both sides: what the rules
// find when nobody hides anything, and who is who.
type inClear struct {
	a, b  *records.Index
	found []records.FoundPair
	truth map[[2]string]bool
}

// inTheClear joins both agencies' data under a rule set.
func (d *demo) inTheClear(ctx context.Context, rules *records.RuleSet) (*inClear, error) {
	var c inClear
	for _, side := range []struct {
		file  string
		index **records.Index
	}{{bench.FileA, &c.a}, {bench.FileB, &c.b}} {
		src, err := records.Open(filepath.Join(d.dir, side.file), nil)
		if err != nil {
			return nil, err
		}
		deriver, err := records.NewDeriver(rules, records.NormalisationVersion())
		if err != nil {
			return nil, err
		}
		if *side.index, _, err = records.BuildIndex(ctx, src, deriver, records.ReadOptions{}); err != nil {
			return nil, err
		}
	}
	truth, err := records.ReadPairs(filepath.Join(d.dir, bench.FileTruth))
	if err != nil {
		return nil, err
	}
	c.truth = make(map[[2]string]bool, len(truth))
	for _, p := range truth {
		c.truth[p] = true
	}
	e, err := records.Evaluate(c.a, c.b, truth, nil, records.DefaultMaxPairs)
	if err != nil {
		return nil, err
	}
	c.found = e.Found
	return &c, nil
}

// shared counts the keys that both sides have.
func (c *inClear) shared() int {
	n := 0
	for i := range c.a.Len() {
		if c.b.Find(c.a.Key(i)) >= 0 {
			n++
		}
	}
	return n
}

// differences counts the elements in one of two sets but not in the other.
func differences(got, want []string) int {
	in := map[string]int{}
	for _, x := range slices.Compact(slices.Sorted(slices.Values(got))) {
		in[x]++
	}
	for _, x := range slices.Compact(slices.Sorted(slices.Values(want))) {
		in[x]--
	}
	n := 0
	for _, balance := range in {
		if balance != 0 {
			n++
		}
	}
	return n
}

// mutual runs the session in which both sides learn of hits, and checks what
// each learned.
func (d *demo) mutual(ctx context.Context) error {
	rules, err := records.Shipped(demoRules)
	if err != nil {
		return err
	}
	c, err := d.inTheClear(ctx, rules)
	if err != nil {
		return err
	}
	d.head("North proposes a session in mode mutual.")
	s, err := d.session(ctx, demoAgreements[0])
	if err != nil {
		return err
	}
	var got, want, wantSouth []string
	for _, h := range s.Hits {
		got = append(got, h.ID+" "+h.Reference)
	}
	for _, p := range c.found {
		want = append(want, c.a.ID(p.A)+" "+c.b.SourceRef(p.B))
		wantSouth = append(wantSouth, c.b.ID(p.B))
		if !c.truth[[2]string{c.a.ID(p.A), c.b.ID(p.B)}] {
			s.NearMisses++
		}
	}
	south, err := d.southHits(ctx, s.Session)
	if err != nil {
		return err
	}
	s.Expected = len(c.found)
	s.Wrong = differences(got, want) + differences(south, wantSouth)
	d.result.Mutual, d.result.Wrong = s, d.result.Wrong+s.Wrong
	d.line("North learned: %d of its %d records are known to South, with South's case references.", len(s.Hits), c.a.Records())
	if len(s.Hits) > 0 {
		d.line("               For instance %s: %s, by %s.", s.Hits[0].ID, s.Hits[0].Reference, strings.Join(s.Hits[0].Rules, ", "))
	}
	d.line("South learned: %d of its %d records are known to North.", len(south), c.b.Records())
	d.line("Neither learned anything of the other's remaining people but how many match keys")
	d.line("               there are, padded: %d here, %d there.", s.Items, s.PeerItems)
	d.traffic(s)
	d.line("Checked:       of the %d people in both registers, rule set %q finds %d in the clear;", len(c.truth), demoRules, len(c.found)-s.NearMisses)
	d.line("               the session found %s.", d.verdict(s.Wrong))
	if s.NearMisses > 0 {
		d.line("               %d of the hits are near misses: different people who share a match key,", s.NearMisses)
		d.line("               such as relatives with one phone. The rules disclose them like hits.")
	}
	d.line("A hit is a lead, not an identification.")
	return nil
}

func (d *demo) verdict(wrong int) string {
	if wrong == 0 {
		return "exactly what the rules find"
	}
	return fmt.Sprintf("something else in %d cases: WRONG", wrong)
}

// southHits asks South's node which of its records were hit.
func (d *demo) southHits(ctx context.Context, session string) ([]string, error) {
	out, err := d.symbolon(ctx, d.south, "sessions", "results", session, "--json")
	if err != nil {
		return nil, err
	}
	var r resultsView
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, err
	}
	var ids []string
	for _, h := range r.Hits {
		ids = append(ids, h.ID)
	}
	return ids, nil
}

// cardinality runs the session that only counts.
func (d *demo) cardinality(ctx context.Context) error {
	rules, err := records.Shipped(demoRules)
	if err != nil {
		return err
	}
	one := *rules
	one.Rules = []records.Rule{*rules.Rule(demoCardinalityRule)}
	c, err := d.inTheClear(ctx, &one)
	if err != nil {
		return err
	}
	d.head("North proposes a session in mode cardinality, over rule %q.", demoCardinalityRule)
	s, err := d.session(ctx, demoAgreements[1])
	if err != nil {
		return err
	}
	s.Expected = c.shared()
	if s.Count != s.Expected {
		s.Wrong = 1
	}
	d.result.Cardinality, d.result.Wrong = s, d.result.Wrong+s.Wrong
	d.line("North learned: %d documents are in both registers, not which. South learned nothing.", s.Count)
	d.traffic(s)
	d.line("Checked: in the clear there are %d.", s.Expected)
	return nil
}

func (d *demo) traffic(s *demoSession) {
	d.line("On the wire:   %.2f MB in %d frames from North, %.2f MB in %d frames from South, %.1f s.",
		float64(s.Sent.Bytes)/1e6, s.Sent.Frames, float64(s.Got.Bytes)/1e6, s.Got.Frames, s.Seconds)
}

// verifyLogs lets each side check its log, countersigned by the other.
func (d *demo) verifyLogs(ctx context.Context) error {
	for _, node := range []string{d.north, d.south} {
		if _, err := d.symbolon(ctx, node, "audit", "verify"); err != nil {
			return err
		}
	}
	d.head("Both agencies' logs verify: every entry is in a Merkle tree whose head the other has countersigned.")
	return nil
}
