package records

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// Quality says how well a source is kept: what is filled in, and what stands in
// it too often to be true. It holds counts, never a value.
type Quality struct {
	// Fill counts the records that hold a field.
	Fill map[string]int64 `json:"fill"`
	// FullDates counts the full dates of birth, FirstOfJanuary those on the
	// first of January: far over one in 365 they stand for unknown days.
	FullDates      int64 `json:"full_dates"`
	FirstOfJanuary int64 `json:"first_of_january"`
	// CheckFailed counts documents with a wrong check digit.
	CheckFailed int64 `json:"check_failed"`
	// Spikes are values that stand in suspiciously many records.
	Spikes []Spike `json:"spikes,omitempty"`

	frequent map[string]*heavy
}

// Spike is one value of a field that at least Count records hold.
type Spike struct {
	Field string  `json:"field"`
	Count int64   `json:"count"`
	Share float64 `json:"share"`
}

// A value is a spike from so many records and so large a share of those that
// hold the field.
const (
	spikeCount = 10
	spikeShare = 0.01
)

func newQuality() Quality {
	return Quality{Fill: map[string]int64{}, frequent: map[string]*heavy{}}
}

// observe counts one record.
func (q *Quality) observe(r *Record) {
	fill := func(field string, n int) {
		if n > 0 {
			q.Fill[field]++
		}
	}
	fill("names", len(r.Names))
	fill("births", len(r.Births))
	fill("places_of_birth", len(r.PlacesOfBirth))
	fill("nationalities", len(r.Nationalities))
	fill("documents", len(r.Documents))
	fill("phones", len(r.Phones))
	fill("emails", len(r.Emails))
	fill("identifiers", len(r.Others))
	fill("sex", len(r.Sex))
	fill("source_ref", len(r.SourceRef))
	for _, d := range r.Births {
		if d.Precision == PrecisionDay {
			q.FullDates++
			if d.Month == 1 && d.Day == 1 {
				q.FirstOfJanuary++
			}
			q.count("births", d.String())
		}
	}
	for _, d := range r.Documents {
		if d.CheckFailed {
			q.CheckFailed++
		}
		q.count("documents", d.Number)
	}
	for _, p := range r.Phones {
		q.count("phones", p)
	}
	for _, e := range r.Emails {
		q.count("emails", e)
	}
	if len(r.Names) > 0 {
		q.count("names", strings.ToLower(r.Names[0].Full))
	}
}

func (q *Quality) count(field, value string) {
	h := q.frequent[field]
	if h == nil {
		h = &heavy{seed: maphash.MakeSeed(), counters: make(map[uint64]int64, heavyCounters)}
		q.frequent[field] = h
	}
	h.add(value)
}

// finish lists the spikes.
func (q *Quality) finish() {
	for _, field := range sortedKeys(q.frequent) {
		h := q.frequent[field]
		for _, n := range h.counters {
			if n >= spikeCount && float64(n) >= spikeShare*float64(h.total) {
				q.Spikes = append(q.Spikes, Spike{Field: field, Count: n, Share: float64(n) / float64(h.total)})
			}
		}
	}
	q.frequent = nil
}

// heavy finds the values that make up more than one in heavyCounters of a
// stream (Misra and Gries, Finding Repeated Elements, 1982), by hash: their
// counts are lower bounds.
type heavy struct {
	seed     maphash.Seed
	counters map[uint64]int64
	total    int64
}

// heavyCounters bounds the memory of a field: ten times what spikeShare needs.
const heavyCounters = 1000

func (h *heavy) add(value string) {
	h.total++
	k := maphash.String(h.seed, value)
	if _, ok := h.counters[k]; ok || len(h.counters) < heavyCounters {
		h.counters[k]++
		return
	}
	for k, n := range h.counters {
		if n == 1 {
			delete(h.counters, k)
		} else {
			h.counters[k] = n - 1
		}
	}
}

// Text is the quality report for a terminal: a line for each thing to know.
func (q *Quality) Text(records int64) string {
	var b strings.Builder
	share := func(n, of int64) float64 { return 100 * ratio(int(n), int(of)) }
	for _, f := range sortedKeys(q.Fill) {
		fmt.Fprintf(&b, "%-16s in %5.1f %% of the records\n", f, share(q.Fill[f], records))
	}
	if q.FirstOfJanuary >= spikeCount && q.FirstOfJanuary*365 > 3*q.FullDates {
		fmt.Fprintf(&b, "suspicious: %.1f %% of the full dates of birth are on the first of January\n", share(q.FirstOfJanuary, q.FullDates))
	}
	if q.CheckFailed > 0 {
		fmt.Fprintf(&b, "suspicious: %d documents have a wrong check digit\n", q.CheckFailed)
	}
	for _, s := range q.Spikes {
		fmt.Fprintf(&b, "suspicious: one value of %s stands in at least %d records (%.1f %%)\n", s.Field, s.Count, 100*s.Share)
	}
	return b.String()
}

// Duplicates counts the pairs of records of the index that share a key of the
// rule: people whom the agency itself may hold twice. A key of more than
// maxDuplicates records counts as the pairs of that many.
func (x *Index) Duplicates(rule string) int64 {
	at, ok := x.byID[rule]
	if !ok {
		return 0
	}
	var pairs int64
	for i := range x.Len() {
		if x.rules[i] == at {
			n := int64(min(x.Shared(i), maxDuplicates))
			pairs += n * (n - 1) / 2
		}
	}
	return pairs
}

const maxDuplicates = 1 << 20
