package records

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Score counts what a rule, or a whole set, finds.
type Score struct {
	Recall         float64 `json:"recall"`
	Precision      float64 `json:"precision"`
	F1             float64 `json:"f1"`
	TruePositives  int     `json:"true_positives"`
	FalsePositives int     `json:"false_positives"`
	Missed         int     `json:"missed"`
	KeysPerRecordA float64 `json:"keys_per_record_a"`
	KeysPerRecordB float64 `json:"keys_per_record_b"`
	// Pairs counts all pairs found, ignored ones too.
	Pairs int `json:"pairs"`
	// Ignored counts the pairs found that count as neither.
	Ignored int `json:"ignored"`
}

// Evaluation is the outcome of joining two sets in the clear.
type Evaluation struct {
	Score
	RuleSet  string `json:"rule_set"`
	RecordsA int    `json:"records_a"`
	RecordsB int    `json:"records_b"`
	Truth    int    `json:"truth"`
	// UnknownTruth counts true pairs with an id that is in no record; they are
	// missed.
	UnknownTruth int `json:"unknown_truth"`
	// CutA and CutB count records with more keys than the set allows.
	CutA int `json:"cut_a"`
	CutB int `json:"cut_b"`
	// Warnings are for people.
	Warnings []string    `json:"warnings,omitempty"`
	Rules    []RuleScore `json:"rules"`
	// ByGroup breaks the figures down by traits of side A's records.
	ByGroup []GroupScore `json:"by_group"`
	// Found are the pairs found, by record of a, then of b.
	Found []FoundPair `json:"-"`
	// MissedPairs are the true pairs that no rule found.
	MissedPairs [][2]string `json:"-"`
}

// RuleScore is the Score of one rule alone.
type RuleScore struct {
	ID string `json:"id"`
	Score
}

// Verdict is what the truth says of a pair.
type Verdict string

// The verdicts.
const (
	VerdictTrue    Verdict = "true"
	VerdictFalse   Verdict = "false"
	VerdictIgnored Verdict = "ignored"
)

// FoundPair is a pair of records that some rule matches.
type FoundPair struct {
	A, B uint32
	// Rules has bit i set if rule i of the set matches.
	Rules   uint32
	Verdict Verdict
	// Bits is the agreement weight by side A's records, see Scorer.
	Bits float64
}

// DefaultMaxPairs bounds the pairs of an evaluation: beyond it the rules are
// useless for the data, and memory would go.
const DefaultMaxPairs = 20_000_000

// ReadPairs reads a CSV file of pairs of ids, with the header id_a,id_b and
// any further columns. Of a review sheet, which has a column named same, it
// takes the pairs marked y.
func ReadPairs(path string) ([][2]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading pairs: %w", err)
	}
	defer f.Close()
	pairs, err := parsePairs(f)
	if err != nil {
		return nil, fmt.Errorf("reading pairs %q: %w", path, err)
	}
	return pairs, nil
}

func parsePairs(r io.Reader) ([][2]string, error) {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("empty: not even a header")
	}
	if err != nil {
		return nil, csvError(err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // of spreadsheet programs
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	a, b := slices.Index(header, "id_a"), slices.Index(header, "id_b")
	if a < 0 || b < 0 {
		return nil, fmt.Errorf("want the columns id_a and id_b, got %d others", len(header))
	}
	same := slices.Index(header, "same")
	var pairs [][2]string
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return pairs, nil
		}
		if err != nil {
			return nil, csvError(err)
		}
		if same >= 0 && !strings.EqualFold(strings.TrimSpace(row[same]), "y") {
			continue
		}
		pairs = append(pairs, [2]string{strings.Clone(row[a]), strings.Clone(row[b])})
	}
}

// Evaluate joins two indexes of one rule set, exactly as a session would, and
// compares the pairs with the truth. Pairs in ignore count as neither hit nor
// false positive. More than maxPairs pairs are an error; 0 means
// DefaultMaxPairs.
func Evaluate(a, b *Index, truth, ignore [][2]string, maxPairs int) (*Evaluation, error) {
	return evaluate(a, b, truth, ignore, maxPairs, func(found []FoundPair) []FoundPair { return found })
}

// EvaluateOneToOne is Evaluate of what OneToOne keeps.
func EvaluateOneToOne(a, b *Index, truth, ignore [][2]string, maxPairs int) (*Evaluation, error) {
	return evaluate(a, b, truth, ignore, maxPairs, func(found []FoundPair) []FoundPair {
		kept, _ := OneToOne(found)
		return kept
	})
}

func evaluate(a, b *Index, truth, ignore [][2]string, maxPairs int, keep func([]FoundPair) []FoundPair) (*Evaluation, error) {
	if a.Rules().Hash() != b.Rules().Hash() {
		return nil, errors.New("records: the two sides were indexed by different rule sets")
	}
	if maxPairs == 0 {
		maxPairs = DefaultMaxPairs
	}
	found, err := join(a, b, maxPairs)
	if err != nil {
		return nil, err
	}
	scoreFound(a, b, found)
	found = keep(found)
	rs := a.Rules()
	e := &Evaluation{RuleSet: rs.Name, RecordsA: a.Records(), RecordsB: b.Records(), CutA: a.Cut(), CutB: b.Cut(), Found: found}
	idsA, idsB := recordsByID(a), recordsByID(b)
	verdicts := e.judge(a, b, truth, ignore, idsA, idsB)
	e.Score = score(found, verdicts, ^uint32(0), e.Truth)
	e.KeysPerRecordA, e.KeysPerRecordB = perRecord(a, -1), perRecord(b, -1)
	for i, r := range rs.Rules {
		s := RuleScore{ID: r.ID, Score: score(found, verdicts, 1<<i, e.Truth)}
		s.KeysPerRecordA, s.KeysPerRecordB = perRecord(a, i), perRecord(b, i)
		e.Rules = append(e.Rules, s)
	}
	e.ByGroup = e.byGroup(a, idsA)
	e.warn(rs)
	return e, nil
}

// join returns the pairs that share a key.
func join(a, b *Index, maxPairs int) ([]FoundPair, error) {
	at := map[uint64]uint32{}
	var ra, rb []uint32
	for i := range a.Len() {
		j := b.Find(a.Key(i))
		if j < 0 {
			continue
		}
		ra, rb = a.RecordsOf(ra[:0], i), b.RecordsOf(rb[:0], j)
		for _, p := range ra {
			for _, q := range rb {
				at[uint64(p)<<32|uint64(q)] |= 1 << a.rules[i]
			}
			if len(at) > maxPairs {
				return nil, fmt.Errorf("records: more than %d pairs match: the rules are too weak for this data", maxPairs)
			}
		}
	}
	found := make([]FoundPair, 0, len(at))
	for k, rules := range at {
		found = append(found, FoundPair{A: uint32(k >> 32), B: uint32(k), Rules: rules})
	}
	slices.SortFunc(found, func(x, y FoundPair) int { return cmp.Or(cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B)) })
	return found, nil
}

// scoreFound sets the agreement weight of each pair, as side A would see it
// after a session.
func scoreFound(a, b *Index, found []FoundPair) {
	scorer := NewScorer(a)
	at := make(map[uint64]int, len(found))
	for i, f := range found {
		at[uint64(f.A)<<32|uint64(f.B)] = i
	}
	shared := make([][]int, len(found))
	var ra, rb []uint32
	for i := range a.Len() {
		j := b.Find(a.Key(i))
		if j < 0 {
			continue
		}
		ra, rb = a.RecordsOf(ra[:0], i), b.RecordsOf(rb[:0], j)
		for _, p := range ra {
			for _, q := range rb {
				n := at[uint64(p)<<32|uint64(q)]
				shared[n] = append(shared[n], i)
			}
		}
	}
	for i := range found {
		found[i].Bits = scorer.Hit(shared[i]).Bits
	}
}

// judge sets the verdict of each pair found, and lists what was missed.
func (e *Evaluation) judge(a, b *Index, truth, ignore [][2]string, idsA, idsB map[string]uint32) []Verdict {
	known := map[[2]string]Verdict{}
	for _, p := range ignore {
		known[p] = VerdictIgnored
	}
	for _, p := range truth {
		if known[p] != VerdictTrue {
			e.Truth++
		}
		known[p] = VerdictTrue
	}
	verdicts := make([]Verdict, len(e.Found))
	hit := map[[2]string]bool{}
	for i := range e.Found {
		f := &e.Found[i]
		p := [2]string{a.ID(f.A), b.ID(f.B)}
		if f.Verdict = known[p]; f.Verdict == "" {
			f.Verdict = VerdictFalse
		}
		if f.Verdict == VerdictTrue {
			hit[p] = true
		}
		verdicts[i] = f.Verdict
	}
	for _, p := range truth {
		if hit[p] {
			continue
		}
		hit[p] = true
		e.MissedPairs = append(e.MissedPairs, p)
		_, inA := idsA[p[0]]
		if _, inB := idsB[p[1]]; !inA || !inB {
			e.UnknownTruth++
		}
	}
	return verdicts
}

func recordsByID(x *Index) map[string]uint32 {
	m := make(map[string]uint32, x.Records())
	for i := range uint32(x.Records()) {
		m[x.ID(i)] = i
	}
	return m
}

// score counts the pairs that any rule in the mask finds.
func score(found []FoundPair, verdicts []Verdict, mask uint32, truth int) Score {
	var s Score
	for i, f := range found {
		if f.Rules&mask == 0 {
			continue
		}
		s.Pairs++
		switch verdicts[i] {
		case VerdictTrue:
			s.TruePositives++
		case VerdictIgnored:
			s.Ignored++
		default:
			s.FalsePositives++
		}
	}
	s.finish(truth)
	return s
}

func (s *Score) finish(truth int) {
	s.Missed = truth - s.TruePositives
	s.Recall = ratio(s.TruePositives, truth)
	s.Precision = ratio(s.TruePositives, s.TruePositives+s.FalsePositives)
	if s.Recall+s.Precision > 0 {
		s.F1 = 2 * s.Recall * s.Precision / (s.Recall + s.Precision)
	}
}

func ratio(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// perRecord returns the mean number of keys of a record, of one rule or, for
// -1, of all.
func perRecord(x *Index, rule int) float64 {
	if rule < 0 {
		return ratio(x.Postings(), x.Records())
	}
	n := 0
	for i := range x.Len() {
		if int(x.rules[i]) == rule {
			n += x.Shared(i)
		}
	}
	return ratio(n, x.Records())
}

func (e *Evaluation) warn(rs *RuleSet) {
	for i, n := range []int{e.RecordsA, e.RecordsB} {
		if most := rs.MeantFor[i]; most > 0 && int64(n) > most {
			e.Warnings = append(e.Warnings, fmt.Sprintf("side %c has %d records; the rule set is meant for %d", 'a'+i, n, most))
		}
	}
	if e.UnknownTruth > 0 {
		e.Warnings = append(e.Warnings, fmt.Sprintf("%d true pairs name an id that is in no record", e.UnknownTruth))
	}
	for i, n := range []int{e.CutA, e.CutB} {
		if n > 0 {
			e.Warnings = append(e.Warnings, fmt.Sprintf("side %c: %d records have more than %d keys and lost some", 'a'+i, n, rs.MaxKeysPerRecord))
		}
	}
}
