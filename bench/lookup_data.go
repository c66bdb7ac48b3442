package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/symbolon/symbolon/internal/records"
)

// Files of a run.
const (
	fileOwner          = "owner.csv"
	fileChanged        = "changed.csv"
	fileQueries        = "queries.csv"
	fileChangedQueries = "changed-queries.csv"
	ownerDir           = "owner"
	askerDir           = "asker"
)

// lookupRules derives one match key from each document, so that a run has as
// many keys as it is asked for.
const lookupRules = `# One key a document.
set bench
max keys 64
meant for 10000000 x 10000000
document: document exact
`

// writeData writes the owner's people before and after the change, and those
// looked up. Person p has the documents p*Keys, ..., p*Keys+Keys-1; the people
// who replace others, and the strangers whom the asker asks for, have numbers
// that nobody else has.
func (r *lookupRun) writeData() error {
	step := max(1, r.Records/max(1, r.Changed))
	changed := func(p int) int { // who stands in person p's place afterwards
		if r.Changed > 0 && p%step == 0 && p/step < r.Changed {
			return r.Records + p
		}
		return p
	}
	same := func(p int) int { return p }
	stranger := func(q int) int { return 2*r.Records + q }
	// Queries walk over the register in strides; one in two is of a stranger.
	asked := func(q int) int {
		if q%2 == 1 {
			return stranger(q)
		}
		return int(int64(q) * 7919 % int64(r.Records))
	}
	// After the change, one in three is of somebody who came, one of somebody who
	// went, one of a stranger.
	askedAfter := func(q int) int {
		p := q / 3 % max(1, r.Changed) * step
		switch q % 3 {
		case 0:
			return changed(p)
		case 1:
			return p
		}
		return stranger(q)
	}
	for _, f := range []struct {
		name, prefix string
		n            int
		person       func(int) int
	}{
		{fileOwner, "O", r.Records, same}, {fileChanged, "O", r.Records, changed},
		{fileQueries, "Q", r.Queries, asked}, {fileChangedQueries, "Q", min(r.Queries, 3*r.Changed), askedAfter},
	} {
		if f.n == 0 {
			continue
		}
		if err := r.writePeople(f.name, f.prefix, f.n, f.person); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}

func (r *lookupRun) writePeople(name, prefix string, n int, person func(int) int) (err error) {
	f, err := os.OpenFile(r.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "id,primary_name,document_type,document_number,document_country,source_ref")
	var numbers strings.Builder
	for i := range n {
		p := person(i)
		numbers.Reset()
		for k := range r.Keys {
			if k > 0 {
				numbers.WriteString(separator)
			}
			fmt.Fprintf(&numbers, "%010d", int64(p)*int64(r.Keys)+int64(k))
		}
		fmt.Fprintf(w, "%s-%d,Nobody,passport,%s,NO,REF-%d\n", prefix, i, &numbers, i)
	}
	return w.Flush()
}

// inTheClear joins two files by a plaintext index: of each person asked for, the
// references of the owner's records that share a key, in order; without labels,
// a hit has the reference "".
func (r *lookupRun) inTheClear(owner, asked string) (map[string][]string, error) {
	rules, err := records.ParseRuleSet([]byte(lookupRules))
	if err != nil {
		return nil, err
	}
	d, err := records.NewDeriver(rules, records.NormalisationVersion())
	if err != nil {
		return nil, err
	}
	src, err := records.Open(r.path(owner), nil)
	if err != nil {
		return nil, err
	}
	index, _, err := records.BuildIndex(context.Background(), src, d, records.ReadOptions{})
	if err != nil {
		return nil, err
	}
	want := map[string][]string{}
	err = eachRecord(r.path(asked), func(person *records.Record) error {
		hits := []string{}
		keys, _ := d.Keys(nil, person)
		for _, k := range keys {
			at := index.Find(k)
			if at < 0 {
				continue
			}
			for _, rec := range index.RecordsOf(nil, at) {
				reference := ""
				if r.LabelBytes > 0 {
					reference = index.SourceRef(rec)
				}
				hits = append(hits, reference)
			}
		}
		slices.Sort(hits)
		want[person.ID] = slices.Compact(hits)
		return nil
	})
	return want, err
}

// eachRecord reads a CSV file.
func eachRecord(path string, fn func(*records.Record) error) error {
	src, err := records.Open(path, nil)
	if err != nil {
		return err
	}
	_, err = src.Each(context.Background(), records.ReadOptions{}, fn)
	return err
}
