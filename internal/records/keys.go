package records

import (
	"fmt"
	"slices"
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
