package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon/symbolon/bench"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/protocol"
	"github.com/symbolon/symbolon/psi"
)

// demoReveals is for how many handles of a search North may ask the reference.
const (
	demoReveals    = 8
	demoSearchCase = "DEMO-3"
)

// demoSearchTerms are the flags of the draft of the agreement for searches.
func demoSearchTerms() []string { return []string{"--reveals", strconv.Itoa(demoReveals)} }

// demoSearch is the part with the sealed search in the demo's result.
type demoSearch struct {
	Index    indexView  `json:"index"`
	Search   searchView `json:"search"`
	Revealed searchView `json:"revealed"`
	// Expected are the references of South's records whose sketches, compared in
	// the clear, reach the threshold. KeysFind says whether a lookup, by match
	// keys, would have found the person too.
	Expected []string `json:"expected"`
	KeysFind bool     `json:"keys_find"`
	Wrong    int      `json:"wrong"`
}

// search is the part with the sealed search: somebody whom the rules miss, if
// there is such a person, and who is found by resemblance.
func (d *demo) search(ctx context.Context) error {
	a := demoAgreementFor(psi.ModeSearch)
	r := &demoSearch{}
	d.head("South publishes nothing here: it indexes its %d missing people, and North searches under encryption.", min(d.People, demoMissing))
	out, err := d.symbolon(ctx, d.south, "index", "--agreement", a.id, "--form", protocol.FormCompact, "--json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &r.Index); err != nil {
		return err
	}
	p, err := d.choosePerson(ctx, a, r)
	if err != nil {
		return err
	}
	out, err = d.symbolon(ctx, d.north, append([]string{"search", "--peer", "south", "--agreement", a.id, "--purpose", "missing person",
		"--case", demoSearchCase, "--id", p.id, "--json"}, p.flags...)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &r.Search); err != nil {
		return err
	}
	res := r.Search.Results[0]
	d.line("North sent %s of ciphertext, once %s of keys for the epoch; South computed over all %d slots of its index in %.1f s.",
		byteCount(querySize(a)), byteCount(r.Search.Sent.Bytes-querySize(a)), res.Slots, res.Seconds)
	if err := d.revealAll(ctx, r, res.Handles); err != nil {
		return err
	}
	var got []string
	for _, v := range r.Revealed.Revealed {
		got = append(got, v.Reference)
	}
	r.Expected, r.Wrong = p.want, differences(got, p.want)
	d.searchVerdict(r, p, got)
	d.result.Search, d.result.Wrong = r, d.result.Wrong+r.Wrong
	if err := d.southSaw(ctx, a.id, demoSearchCase); err != nil {
		return err
	}
	d.line("Of the search it saw neither the person nor the outcome; asking for a reference tells it of that hit.")
	return nil
}

// querySize is the size of a query's message.
func querySize(a *demoAgreement) int64 {
	size, err := a.terms.Search.Params().QuerySize()
	if err != nil {
		return 0
	}
	return int64(size)
}

// revealAll asks for the references behind handles.
func (d *demo) revealAll(ctx context.Context, r *demoSearch, handles []string) error {
	if len(handles) == 0 {
		return nil
	}
	args := []string{"search", "--json"}
	for _, h := range handles {
		args = append(args, "--reveal", h)
	}
	out, err := d.symbolon(ctx, d.north, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, &r.Revealed)
}

func (d *demo) searchVerdict(r *demoSearch, p missingPerson, got []string) {
	how := "A lookup by match keys finds this person too."
	if !r.KeysFind {
		how = "A lookup by match keys misses this person: the two records share none."
	}
	d.line("%-12s %s opened, no scores: %s", p.id, plural(len(r.Search.Results[0].Handles), "handle"), strings.Join(r.Search.Results[0].Handles, ", "))
	d.line("%-12s North asks for the references behind: %s. %s", "", strings.Join(got, ", "), how)
	check := "The same records resemble in the clear."
	if r.Wrong > 0 {
		check = fmt.Sprintf("In the clear %q resemble: WRONG.", p.want)
	}
	d.line("%-12s %s", "", check)
}

// choosePerson returns one of North's people who resembles few enough of those
// whom South lists, the right one among them: if possible one whom the rules
// miss.
func (d *demo) choosePerson(ctx context.Context, a *demoAgreement, r *demoSearch) (missingPerson, error) {
	rules, err := records.Shipped(demoRules)
	if err != nil {
		return missingPerson{}, err
	}
	byKeys, err := d.missingInTheClear(ctx, rules)
	if err != nil {
		return missingPerson{}, err
	}
	truth, err := records.ReadPairs(filepath.Join(d.dir, bench.FileTruth))
	if err != nil {
		return missingPerson{}, err
	}
	resembling, err := d.resembling(ctx, a)
	if err != nil {
		return missingPerson{}, err
	}
	cells, err := d.rowsOf(bench.FileA)
	if err != nil {
		return missingPerson{}, err
	}
	best := missingPerson{}
	for _, pair := range truth {
		if _, found := resembling[pair[0]][pair[1]]; !found || len(resembling[pair[0]]) > demoReveals {
			continue
		}
		missed := len(byKeys[pair[0]].want) == 0
		if best.id != "" && (!missed || !r.KeysFind) {
			continue
		}
		best = missingPerson{id: pair[0], flags: typed(cells[pair[0]])}
		for _, ref := range resembling[pair[0]] {
			best.want = append(best.want, ref)
		}
		slices.Sort(best.want)
		r.KeysFind = !missed
	}
	if best.id == "" {
		return best, usagef("nobody among the people is found by resemblance: give --people and --shared more")
	}
	return best, nil
}

// resembling compares the sketches of all of North's people, by their first
// names, with South's list in the clear: the references there by id, by id here.
func (d *demo) resembling(ctx context.Context, a *demoAgreement) (map[string]map[string]string, error) {
	table := sketch.NewTable(sketch.Params{Groups: a.terms.Search.Groups, Symbols: a.terms.Search.Symbols, Threshold: a.terms.Search.Threshold})
	type listed struct{ id, reference string }
	var owner []listed
	each := func(file string, role sketch.Role, fn func(r *records.Record, forms []sketch.Form)) error {
		s, err := a.terms.Sketcher(1, role)
		if err != nil {
			return err
		}
		src, err := records.Open(filepath.Join(d.dir, file), nil)
		if err != nil {
			return err
		}
		var forms []sketch.Form
		_, err = src.Each(ctx, records.ReadOptions{}, func(r *records.Record) error {
			forms = s.Append(forms[:0], r)
			fn(r, forms)
			return nil
		})
		return err
	}
	err := each(demoMissingFile, sketch.Owner, func(r *records.Record, forms []sketch.Form) {
		for _, f := range forms {
			table.Add(f.Symbols)
			owner = append(owner, listed{r.ID, r.SourceRef})
		}
	})
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]string{}
	return out, each(bench.FileA, sketch.Query, func(r *records.Record, forms []sketch.Form) {
		if len(forms) == 0 {
			return
		}
		for _, slot := range table.AtLeast(nil, forms[0].Symbols, a.terms.Search.Threshold) {
			if out[r.ID] == nil {
				out[r.ID] = map[string]string{}
			}
			out[r.ID][owner[slot].id] = owner[slot].reference
		}
	})
}
