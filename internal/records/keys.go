package records

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon/symbolon/internal/records/names"
)

// Key is one match key: the canonical text that a rule derives from a record.
// Two records match by the rule when they share a Value.
type Key struct {
	// Rule is the id of the rule.
	Rule string
	// Value is injective: different agreements of fields give different text.
	Value string
}

// Deriver derives match keys by a rule set. It is not safe for concurrent use;
// Clone it.
type Deriver struct {
	rules *RuleSet
	forms []nameForm
	parts [][]string
	buf   []byte
}

// nameForm is one normalised reading of one name of a record.
type nameForm struct {
	tokens, given, family []names.Token
}

// NewDeriver returns a Deriver for a valid rule set, under the agreement's
// normalisation version; another version than ours is an error.
func NewDeriver(rs *RuleSet, version string) (*Deriver, error) {
	if v := NormalisationVersion(); version != v {
		return nil, fmt.Errorf("records: the agreement wants normalisation %q, this program has %q", version, v)
	}
	if err := rs.Validate(); err != nil {
		return nil, err
	}
	return &Deriver{rules: rs}, nil
}

// Clone returns an independent Deriver for the same rules.
func (d *Deriver) Clone() *Deriver { return &Deriver{rules: d.rules} }

// Rules returns the rule set.
func (d *Deriver) Rules() *RuleSet { return d.rules }

// Keys appends to dst the distinct match keys of the record, in the order of
// the rules and then of the record's names, dates and documents. There are at
// most MaxKeysPerRecord; cut reports that there would have been more.
func (d *Deriver) Keys(dst []Key, r *Record) (keys []Key, cut bool) {
	d.readNames(r)
	head := len(dst)
	limit := head + d.rules.MaxKeysPerRecord
	for i := range d.rules.Rules {
		rule := &d.rules.Rules[i]
		if dst, cut = d.ruleKeys(dst, limit, rule, r); cut {
			return dst, true
		}
	}
	return dst, false
}

// readNames normalises the names of a record.
func (d *Deriver) readNames(r *Record) {
	d.forms = d.forms[:0]
	for i := range r.Names {
		n := &r.Names[i]
		f := nameForm{tokens: names.Parse(n.Full)}
		if len(f.tokens) == 0 {
			continue
		}
		if n.Given != "" && n.Family != "" {
			f.given, f.family = names.Parse(n.Given), names.Parse(n.Family)
		}
		d.forms = append(d.forms, f)
	}
}

// ruleKeys appends the keys of one rule.
func (d *Deriver) ruleKeys(dst []Key, limit int, rule *Rule, r *Record) (keys []Key, cut bool) {
	start := len(dst)
	d.parts = d.parts[:0]
	named := false
	for _, c := range rule.Clauses {
		var values []string
		if c.Field == fieldName {
			named = true
		} else if values = c.values(r); len(values) == 0 {
			return dst, false
		}
		d.parts = append(d.parts, values)
	}
	if !named {
		return d.product(dst, start, limit, rule)
	}
	for f := range d.forms {
		ok := true
		for i, c := range rule.Clauses {
			if c.Field != fieldName {
				continue
			}
			d.parts[i] = d.forms[f].values(c)
			if len(d.parts[i]) == 0 {
				ok = false
				break
			}
		}
		if !ok {
			continue
		}
		if dst, cut = d.product(dst, start, limit, rule); cut {
			return dst, true
		}
	}
	return dst, false
}

// product appends one key for each choice of one value a clause.
func (d *Deriver) product(dst []Key, start, limit int, rule *Rule) (keys []Key, cut bool) {
	var choice [maxClauses]int
	for {
		d.buf = d.buf[:0]
		for i, values := range d.parts {
			if i > 0 {
				d.buf = append(d.buf, '|')
			}
			d.buf = append(d.buf, values[choice[i]]...)
		}
		if !slices.ContainsFunc(dst[start:], func(k Key) bool { return k.Value == string(d.buf) }) {
			if len(dst) == limit {
				return dst, true
			}
			dst = append(dst, Key{Rule: rule.ID, Value: string(d.buf)})
		}
		i := len(d.parts) - 1
		for ; i >= 0; i-- {
			if choice[i]++; choice[i] < len(d.parts[i]) {
				break
			}
			choice[i] = 0
		}
		if i < 0 {
			return dst, false
		}
	}
}

// minNumber is the least number of characters, zeros in front not counted, of
// a document number that identifies without its issuer.
const minNumber = 6

// values returns what a record holds for a clause that is not about names, in
// canonical text without the separator |.
func (c Clause) values(r *Record) []string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if c.How == howAbsent {
		return c.absent(r)
	}
	switch c.Field {
	case fieldDocument:
		for _, doc := range r.Documents {
			for _, issuer := range issuers(r, &doc) {
				add(issuer + "/" + doc.Type + "/" + significant(doc.Number))
			}
		}
	case fieldDocNumber:
		for _, doc := range r.Documents {
			if n := significant(doc.Number); len(n) >= minNumber {
				add(n)
			}
		}
	case fieldPhone:
		return r.Phones
	case fieldEmail:
		for _, e := range r.Emails {
			add(strings.NewReplacer("%", "%25", "|", "%7c").Replace(e))
		}
	case fieldIdentifier:
		for _, o := range r.Others {
			add(o.Type + "/" + o.Value)
		}
	case fieldNationality:
		return r.Nationalities
	case fieldSex:
		if r.Sex != SexUnknown {
			add(string(r.Sex))
		}
	case fieldPlace:
		for _, p := range r.PlacesOfBirth {
			if v := placeValue(p, c.How); v != "" {
				add(v)
			}
		}
	case fieldBirth:
		if c.How == howDecade {
			decades(r.Births, add)
		}
		for _, d := range r.Births {
			d.values(c, add)
		}
	}
	return out
}

// absent returns one empty value for a record that does not hold the field.
func (c Clause) absent(r *Record) []string {
	held := len(r.Nationalities)
	switch c.Field {
	case fieldPlace:
		held = len(r.PlacesOfBirth)
	case fieldBirth:
		held = len(r.Births)
	case fieldSex:
		held = len(r.Sex)
	}
	if held > 0 {
		return nil
	}
	return []string{""}
}

// issuers returns the issuing country of a document or, where the register
// leaves it out, the person's nationalities: who issued it most often.
func issuers(r *Record, doc *Document) []string {
	if doc.Country != "" {
		return []string{doc.Country}
	}
	if len(r.Nationalities) > 0 {
		return r.Nationalities
	}
	return []string{""}
}

func placeValue(place, how string) string {
	tokens := names.Tokens(place)
	if how == howSkeleton {
		for i, t := range tokens {
			tokens[i] = names.Skeleton(t)
		}
	}
	slices.Sort(tokens)
	return strings.Join(slices.Compact(tokens), " ")
}

// First and last decade that decades tells apart.
const (
	firstDecade = 1900
	lastDecade  = 2020
)

// decades adds the decades of the dates, earlier and later ones counted to the
// first and last. A record without a date has every decade: so it agrees with
// any other, while two dates of different decades don't.
func decades(births []Date, add func(string)) {
	if len(births) == 0 {
		for y := firstDecade; y <= lastDecade; y += 10 {
			add(strconv.Itoa(y))
		}
	}
	for _, d := range births {
		for y := range d.years() {
			add(strconv.Itoa(min(max(y-y%10, firstDecade), lastDecade)))
		}
	}
}

// values adds the readings of a date under a clause. A date that is known to
// less than the clause asks for has none; a range has each of its years, up to
// maxRangeYears.
func (d Date) values(c Clause, add func(string)) {
	switch c.How {
	case howDay, howRealDay:
		if d.Precision == PrecisionDay && (c.How == howDay || d.Month != 1 || d.Day != 1) {
			add(dateText('-', int(d.Year), int(d.Month), int(d.Day)))
		}
	case howUnordered:
		if d.Precision == PrecisionDay {
			add(dateText(':', int(d.Year), int(min(d.Month, d.Day)), int(max(d.Month, d.Day))))
		}
	case howMonth:
		if d.Precision <= PrecisionMonth {
			add(dateText('-', int(d.Year), int(d.Month), 0))
		}
	case howTwoParts:
		if d.Precision == PrecisionDay {
			add(dateText('-', int(d.Year), int(d.Month), 0))
			add(dateText('/', int(d.Year), int(d.Day), 0))
			add(dateText('-', int(d.Month), int(d.Day), 0))
		}
	case howHalf, howQuarter, howTwoMonths, howMonthOrYear:
		d.partsOfYear(yearParts[c.How], add)
	case howYear:
		for y := range d.years() {
			add(strconv.Itoa(y))
		}
	case howNearYear:
		// Two years at most w apart share one of the windows of w+1 years.
		for y := range d.years() {
			for first := y - c.Within; first <= y; first++ {
				add(strconv.Itoa(first) + ".." + strconv.Itoa(first+c.Within))
			}
		}
	}
}

// yearParts says into how many parts a comparison cuts the year.
var yearParts = map[string]int{howHalf: 2, howQuarter: 4, howTwoMonths: 6, howMonthOrYear: 12}

// partsOfYear adds the part of the year, of n, that holds the date, or all of
// them where no more than the year is known, which the first of January often
// stands for: so a year agrees with any date in it, while two dates agree only
// in the same part.
func (d Date) partsOfYear(n int, add func(string)) {
	if d.Month != 0 && (d.Month != 1 || d.Day != 1) {
		add(strconv.Itoa(int(d.Year)) + "." + strconv.Itoa((int(d.Month)-1)*n/12+1))
		return
	}
	if d.Precision == PrecisionRange {
		add(strconv.Itoa(int(d.Year)) + "/" + strconv.Itoa(int(d.ToYear)))
		return
	}
	for y := range d.years() {
		for part := 1; part <= n; part++ {
			add(strconv.Itoa(y) + "." + strconv.Itoa(part))
		}
	}
}

// dateText joins two or three parts of a date, each of at least two digits; a
// third part of 0 is left out.
func dateText(sep byte, first, second, third int) string {
	b := make([]byte, 0, 12)
	for i, n := range [3]int{first, second, third} {
		if i == 2 && n == 0 {
			break
		}
		if i > 0 {
			b = append(b, sep)
		}
		if n < 10 {
			b = append(b, '0')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

// maxRangeYears bounds the years of a range: a longer one tells too little.
const maxRangeYears = 5

func (d Date) years() func(yield func(int) bool) {
	last := int(d.Year)
	if d.Precision == PrecisionRange {
		last = int(d.ToYear)
	}
	if last-int(d.Year) >= maxRangeYears {
		last = int(d.Year) - 1
	}
	return func(yield func(int) bool) {
		for y := int(d.Year); y <= last; y++ {
			if !yield(y) {
				return
			}
		}
	}
}

// maxReadings bounds the readings of a name that one clause gives, where words
// have several spellings.
const maxReadings = 32

// values returns what one name holds for a clause.
func (f *nameForm) values(c Clause) []string {
	if c.Which == whichBoth {
		return f.both(c)
	}
	tokens := f.tokens
	switch c.Which {
	case whichGiven:
		tokens = f.given
	case whichFamily:
		tokens = f.family
	}
	words := 0
	parts := make([][]string, 0, len(tokens))
	for _, t := range tokens {
		v := tokenValues(t, c)
		if len(v) > 0 {
			parts = append(parts, v)
			words += t.Words
		} else if c.Which != whichAny {
			return nil
		}
	}
	if len(parts) == 0 || words < c.AtLeast || c.AtMost > 0 && words > c.AtMost {
		return nil
	}
	if c.Which == whichAny {
		return choices(parts, c.Count, c.Consonants)
	}
	return choices(parts, len(parts), 0)
}

// both returns the values of the given names, written as one word, and of the
// family names, written as one word, sorted.
func (f *nameForm) both(c Clause) []string {
	if len(f.given) == 0 || len(f.family) == 0 {
		return nil
	}
	given, family := names.Join(f.given), names.Join(f.family)
	if words := given.Words + family.Words; words < c.AtLeast || c.AtMost > 0 && words > c.AtMost {
		return nil
	}
	a, b := tokenValues(given, c), tokenValues(family, c)
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	return choices([][]string{a, b}, 2, 0)
}

// tokenValues returns the distinct values of a word's spellings that are long
// enough, the most usual first.
func tokenValues(t names.Token, c Clause) []string {
	if len(t.Spellings) == 1 {
		if s := t.Spellings[0]; len(s) < c.Letters {
			return nil
		} else if c.How == howExact {
			return t.Spellings
		}
	}
	out := make([]string, 0, len(t.Spellings))
	for _, s := range t.Spellings {
		if len(s) < c.Letters {
			continue
		}
		if v := tokenValue(s, c); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func tokenValue(s string, c Clause) string {
	switch c.How {
	case howSkeleton:
		return names.Skeleton(s)
	case howPhonetic:
		return names.Phonetic(s)
	case howPrefix:
		n := 0
		for i := range s {
			if n == c.Length {
				return s[:i]
			}
			n++
		}
	}
	return s
}

// choices returns the distinct ways to choose n of the words and one value of
// each, sorted and joined by spaces: the most usual spellings first, at most
// maxReadings for each choice of words. Where there are more words than n, the
// values must be worth at least so many consonants together, and differ.
func choices(parts [][]string, n, consonants int) []string {
	if len(parts) < n {
		return nil
	}
	if len(parts) == n {
		consonants = 0
	}
	c := chooser{parts: parts, consonants: consonants, sorted: make([]string, n), at: make([]int, n)}
	c.pick(0, make([]int, 0, n))
	return c.out
}

type chooser struct {
	parts      [][]string
	consonants int
	sorted     []string
	at         []int
	out        []string
}

func (c *chooser) pick(from int, chosen []int) {
	n := len(c.sorted)
	if len(chosen) == n {
		c.emit(chosen)
		return
	}
	for i := from; i <= len(c.parts)-(n-len(chosen)); i++ {
		c.pick(i+1, append(chosen, i))
	}
}

// emit adds the values of the chosen words.
func (c *chooser) emit(chosen []int) {
	clear(c.at)
	for range maxReadings {
		for i, p := range chosen {
			c.sorted[i] = c.parts[p][c.at[i]]
		}
		slices.Sort(c.sorted)
		if c.strong() {
			if s := strings.Join(c.sorted, " "); !slices.Contains(c.out, s) {
				c.out = append(c.out, s)
			}
		}
		i := len(chosen) - 1
		for ; i >= 0; i-- {
			if c.at[i]++; c.at[i] < len(c.parts[chosen[i]]) {
				break
			}
			c.at[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

func (c *chooser) strong() bool {
	if c.consonants == 0 {
		return true
	}
	total := 0
	for i, s := range c.sorted {
		if i > 0 && s == c.sorted[i-1] {
			return false
		}
		total += len(s)
	}
	return total >= c.consonants
}
