package records

import (
	"bytes"
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
	rules  *RuleSet
	parser names.Parser
	forms  []nameForm
	parts  [][]string
	list   keyList
}

// keyList is a record's match keys in flat memory.
type keyList struct {
	text []byte
	ends []uint32
	// rules holds the rule of each key by its place in the set.
	rules []uint8
}

func (l *keyList) len() int { return len(l.ends) }

func (l *keyList) at(i int) []byte {
	var start uint32
	if i > 0 {
		start = l.ends[i-1]
	}
	return l.text[start:l.ends[i]]
}

// has reports whether one of the keys from start on is value.
func (l *keyList) has(start int, value []byte) bool {
	for i := start; i < l.len(); i++ {
		if bytes.Equal(l.at(i), value) {
			return true
		}
	}
	return false
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
	cut = d.derive(&d.list, r)
	text, start := string(d.list.text), uint32(0)
	for i, end := range d.list.ends {
		dst = append(dst, Key{Rule: d.rules.Rules[d.list.rules[i]].ID, Value: text[start:end]})
		start = end
	}
	return dst, cut
}

// derive sets list to the keys of the record, as Keys has them.
func (d *Deriver) derive(list *keyList, r *Record) (cut bool) {
	list.text, list.ends, list.rules = list.text[:0], list.ends[:0], list.rules[:0]
	d.forms = d.forms[:0]
	read := false
	for i := range d.rules.Rules {
		if !read && d.rules.Rules[i].named() {
			d.readNames(r)
			read = true
		}
		if d.ruleKeys(list, uint8(i), r) {
			return true
		}
	}
	return false
}

// named reports whether the rule asks for a name.
func (r *Rule) named() bool {
	return slices.ContainsFunc(r.Clauses, func(c Clause) bool { return c.Field == fieldName })
}

// readNames normalises the names of a record.
func (d *Deriver) readNames(r *Record) {
	for i := range r.Names {
		n := &r.Names[i]
		f := nameForm{tokens: d.parser.Parse(n.Full)}
		if len(f.tokens) == 0 {
			continue
		}
		if n.Given != "" && n.Family != "" {
			f.given, f.family = d.parser.Parse(n.Given), d.parser.Parse(n.Family)
		}
		d.forms = append(d.forms, f)
	}
}

// ruleKeys adds the keys of one rule.
func (d *Deriver) ruleKeys(list *keyList, at uint8, r *Record) (cut bool) {
	rule := &d.rules.Rules[at]
	start := list.len()
	d.parts = d.parts[:0]
	named := false
	for _, c := range rule.Clauses {
		var values []string
		if c.Field == fieldName {
			named = true
		} else if values = c.values(r, &d.parser); len(values) == 0 {
			return false
		}
		d.parts = append(d.parts, values)
	}
	if !named {
		return d.product(list, start, at)
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
		if ok && d.product(list, start, at) {
			return true
		}
	}
	return false
}

// product adds one key for each choice of one value a clause.
func (d *Deriver) product(list *keyList, start int, rule uint8) (cut bool) {
	var choice [maxClauses]int
	for {
		head := len(list.text)
		for i, values := range d.parts {
			if i > 0 {
				list.text = append(list.text, '|')
			}
			list.text = append(list.text, values[choice[i]]...)
		}
		switch {
		case list.has(start, list.text[head:]):
			list.text = list.text[:head]
		case list.len() == d.rules.MaxKeysPerRecord:
			list.text = list.text[:head]
			return true
		default:
			list.ends = append(list.ends, uint32(len(list.text)))
			list.rules = append(list.rules, rule)
		}
		i := len(d.parts) - 1
		for ; i >= 0; i-- {
			if choice[i]++; choice[i] < len(d.parts[i]) {
				break
			}
			choice[i] = 0
		}
		if i < 0 {
			return false
		}
	}
}

// minNumber is the least number of characters, zeros in front not counted, of
// a document number that identifies without its issuer.
const minNumber = 6

// values returns what a record holds for a clause that is not about names, in
// canonical text without the separator |.
func (c Clause) values(r *Record, parser *names.Parser) []string {
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
			add(emailEscapes.Replace(e))
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
			if v := placeValue(parser, p, c.How); v != "" {
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

// emailEscapes keeps the separator of keys out of an address.
var emailEscapes = strings.NewReplacer("%", "%25", "|", "%7c")

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

func placeValue(parser *names.Parser, place, how string) string {
	tokens := parser.Tokens(place)
	if how == howSkeleton {
		for i, t := range tokens {
			tokens[i] = names.Skeleton(t)
		}
	}
	slices.Sort(tokens)
	return strings.Join(slices.Compact(tokens), " ")
}
