package records

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"unicode/utf8"
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

	seed     maphash.Seed
	filled   [len(fillFields)]int64
	frequent [len(spikeFields)]heavy
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

// fillFields are the fields of Fill, spikeFields those of Spikes in their order
// in a report.
var (
	fillFields  = [...]string{"names", "births", "places_of_birth", "nationalities", "documents", "phones", "emails", "identifiers", "sex", "source_ref"}
	spikeFields = [...]string{"births", "documents", "emails", "names", "phones"}
)

// Places in spikeFields.
const (
	spikeBirth = iota
	spikeDocument
	spikeEmail
	spikeName
	spikePhone
)

func newQuality() Quality { return Quality{Fill: map[string]int64{}, seed: maphash.MakeSeed()} }

// traces are what one record adds to the Quality of its source.
type traces struct {
	filled                                 [len(fillFields)]bool
	fullDates, firstOfJanuary, checkFailed int64
	values                                 []trace
	text                                   []byte
}

// trace is a value of a field that may be a spike, by its hash.
type trace struct {
	field uint8
	hash  uint64
}

// trace sets t to the traces of a record. It may run on several goroutines at
// once.
func (q *Quality) trace(t *traces, r *Record) {
	*t = traces{values: t.values[:0], text: t.text}
	for i, n := range [len(fillFields)]int{len(r.Names), len(r.Births), len(r.PlacesOfBirth), len(r.Nationalities), len(r.Documents), len(r.Phones),
		len(r.Emails), len(r.Others), len(r.Sex), len(r.SourceRef)} {
		t.filled[i] = n > 0
	}
	for _, d := range r.Births {
		if d.Precision == PrecisionDay {
			t.fullDates++
			if d.Month == 1 && d.Day == 1 {
				t.firstOfJanuary++
			}
			t.values = append(t.values, trace{spikeBirth, maphash.Comparable(q.seed, d)})
		}
	}
	value := func(field uint8, s string) {
		t.values = append(t.values, trace{field, maphash.String(q.seed, s)})
	}
	for _, d := range r.Documents {
		if d.CheckFailed {
			t.checkFailed++
		}
		value(spikeDocument, d.Number)
	}
	for _, p := range r.Phones {
		value(spikePhone, p)
	}
	for _, e := range r.Emails {
		value(spikeEmail, e)
	}
	if len(r.Names) > 0 {
		t.text = appendLower(t.text[:0], r.Names[0].Full)
		t.values = append(t.values, trace{spikeName, maphash.Bytes(q.seed, t.text)})
	}
}

// appendLower appends strings.ToLower(s) to dst.
func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			return append(dst[:len(dst)-i], strings.ToLower(s)...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// add counts one record.
func (q *Quality) add(t *traces) {
	for i, f := range t.filled {
		if f {
			q.filled[i]++
		}
	}
	q.FullDates += t.fullDates
	q.FirstOfJanuary += t.firstOfJanuary
	q.CheckFailed += t.checkFailed
	for _, v := range t.values {
		q.frequent[v.field].add(v.hash)
	}
}

// finish fills in Fill and Spikes.
func (q *Quality) finish() {
	for i, n := range q.filled {
		if n > 0 {
			q.Fill[fillFields[i]] = n
		}
	}
	for i := range q.frequent {
		h := &q.frequent[i]
		head := len(q.Spikes)
		for _, n := range h.counters {
			if n >= spikeCount && float64(n) >= spikeShare*float64(h.total) {
				q.Spikes = append(q.Spikes, Spike{Field: spikeFields[i], Count: n, Share: float64(n) / float64(h.total)})
			}
		}
		slices.SortFunc(q.Spikes[head:], func(a, b Spike) int { return cmp.Compare(b.Count, a.Count) })
	}
	q.frequent = [len(spikeFields)]heavy{}
}

// heavy finds the values that make up more than one in heavyCounters of a
// stream (Misra and Gries, Finding Repeated Elements, 1982), by hash: their
// counts are lower bounds.
type heavy struct {
	counters map[uint64]int64
	total    int64
}

// heavyCounters bounds the memory of a field: ten times what spikeShare needs.
const heavyCounters = 1000

func (h *heavy) add(k uint64) {
	h.total++
	if h.counters == nil {
		h.counters = make(map[uint64]int64, heavyCounters)
	}
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
