package records

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// RuleSet says when two records match: when they agree under any one rule. It
// is part of the agreement, as JSON:
//
//	{"name": "exact", "max_keys_per_record": 64, "meant_for": [1000000, 1000000],
//	 "rules": [{"id": "document", "match": "document exact"}]}
//
// and people may write it as text, one line a rule:
//
//	set exact
//	max keys 64
//	meant for 1000000 x 1000000
//	document: document exact
//
// Lines that start with # are comments.
type RuleSet struct {
	Name string `json:"name"`
	// MaxKeysPerRecord caps what one record derives, so that people and items
	// stay in proportion.
	MaxKeysPerRecord int `json:"max_keys_per_record"`
	// MeantFor holds the set sizes, in records, that the rules were chosen
	// for: false matches grow with their product. Zero is unstated.
	MeantFor [2]int64 `json:"meant_for"`
	// AllowWeak admits rules that name too little to tell people apart.
	AllowWeak bool   `json:"allow_weak,omitempty"`
	Rules     []Rule `json:"rules"`
}

// Rule is one way to agree: all its clauses must hold.
type Rule struct {
	// ID is a short name of lower-case letters, digits and hyphens. It enters
	// the items.
	ID string
	// Clauses are in the order written.
	Clauses []Clause
}

// Bounds on a rule set, which a peer may have written.
const (
	maxRules        = 32
	maxClauses      = 8
	maxRuleIDBytes  = 32
	maxSetNameBytes = 64
	maxRuleSetBytes = 64 << 10
	// DefaultMaxKeys is the number of keys per record where a set says none.
	DefaultMaxKeys = 64
	maxMaxKeys     = 1024
	maxMeantFor    = 1 << 40
)

// ParseRuleSet reads a rule set from JSON or, where it does not start with a
// brace, from text, and validates it.
func ParseRuleSet(b []byte) (*RuleSet, error) {
	if len(b) > maxRuleSetBytes {
		return nil, fmt.Errorf("rules: %d bytes are more than %d", len(b), maxRuleSetBytes)
	}
	var rs *RuleSet
	var err error
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 0 && t[0] == '{' {
		rs, err = parseRuleSetJSON(t)
	} else {
		rs, err = parseRuleSetText(b)
	}
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if rs.MaxKeysPerRecord == 0 {
		rs.MaxKeysPerRecord = DefaultMaxKeys
	}
	return rs, rs.Validate()
}

func parseRuleSetJSON(b []byte) (*RuleSet, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var rs RuleSet
	if err := d.Decode(&rs); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return &rs, nil
}

func parseRuleSetText(b []byte) (*RuleSet, error) {
	rs := &RuleSet{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxRuleSetBytes+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		var err error
		if id, match, ok := strings.Cut(line, ":"); ok {
			var r Rule
			if r, err = parseRule(strings.TrimSpace(id), match); err == nil {
				rs.Rules = append(rs.Rules, r)
			}
		} else {
			err = rs.parseSetting(strings.Fields(line))
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return rs, lines.Err()
}

func (rs *RuleSet) parseSetting(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "set":
		rs.Name = words[1]
		return nil
	case len(words) == 2 && words[0] == "allow" && words[1] == "weak":
		rs.AllowWeak = true
		return nil
	case len(words) == 3 && words[0] == "max" && words[1] == "keys":
		n, err := strconv.Atoi(words[2])
		if err != nil || n < 1 {
			return errors.New("max keys wants a number above zero")
		}
		rs.MaxKeysPerRecord = n
		return nil
	case len(words) == 5 && words[0] == "meant" && words[1] == "for" && words[3] == "x":
		for i, w := range []string{words[2], words[4]} {
			n, err := strconv.ParseInt(w, 10, 64)
			if err != nil {
				return errors.New("meant for wants two numbers of records, such as 1000000 x 1000000")
			}
			rs.MeantFor[i] = n
		}
		return nil
	}
	return fmt.Errorf("%q is neither a rule (id: clauses) nor one of: set NAME, max keys N, meant for N x N, allow weak", strings.Join(words, " "))
}

func parseRule(id, match string) (Rule, error) {
	r := Rule{ID: id}
	for text := range strings.SplitSeq(match, ",") {
		c, err := parseClause(text)
		if err != nil {
			return Rule{}, fmt.Errorf("rule %q: %w", id, err)
		}
		r.Clauses = append(r.Clauses, c)
		if len(r.Clauses) > maxClauses {
			return Rule{}, fmt.Errorf("rule %q: more than %d clauses", id, maxClauses)
		}
	}
	return r, nil
}

// Validate reports the first thing that makes the set unusable.
func (rs *RuleSet) Validate() error {
	if rs.Name == "" || len(rs.Name) > maxSetNameBytes || strings.ContainsFunc(rs.Name, notNameRune) {
		return fmt.Errorf("rules: the set's name must be 1 to %d lower-case letters, digits and hyphens", maxSetNameBytes)
	}
	if n := rs.MaxKeysPerRecord; n < 1 || n > maxMaxKeys {
		return fmt.Errorf("rules: %d keys per record are outside [1, %d]", n, maxMaxKeys)
	}
	for _, n := range rs.MeantFor {
		if n < 0 || n > maxMeantFor {
			return fmt.Errorf("rules: meant for %d records, outside [0, %d]", n, int64(maxMeantFor))
		}
	}
	if n := len(rs.Rules); n < 1 || n > maxRules {
		return fmt.Errorf("rules: %d rules are outside [1, %d]", n, maxRules)
	}
	seen := map[string]bool{}
	for i := range rs.Rules {
		r := &rs.Rules[i]
		if r.ID == "" || len(r.ID) > maxRuleIDBytes || strings.ContainsFunc(r.ID, notNameRune) {
			return fmt.Errorf("rules: the id of rule %d must be 1 to %d lower-case letters, digits and hyphens", i+1, maxRuleIDBytes)
		}
		if seen[r.ID] {
			return fmt.Errorf("rules: two rules have the id %q", r.ID)
		}
		seen[r.ID] = true
		if err := r.validate(); err != nil {
			return fmt.Errorf("rules: rule %q: %w", r.ID, err)
		}
		if r.Weak() && !rs.AllowWeak {
			return fmt.Errorf("rules: rule %q is weak: %s; a set with such a rule must say so (allow weak)", r.ID, r.weakness())
		}
	}
	return nil
}

func notNameRune(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-')
}

func (r *Rule) validate() error {
	if len(r.Clauses) == 0 {
		return errors.New("no clause")
	}
	if len(r.Clauses) > maxClauses {
		return fmt.Errorf("more than %d clauses", maxClauses)
	}
	seen := map[string]bool{}
	for _, c := range r.Clauses {
		if err := c.validate(); err != nil {
			return err
		}
		if seen[c.Field] && c.Field != fieldName {
			return fmt.Errorf("two clauses about %s", c.Field)
		}
		if seen[c.String()] {
			return fmt.Errorf("clause %q twice", c.String())
		}
		seen[c.Field], seen[c.String()] = true, true
	}
	return nil
}

// Match returns the clauses as text, in canonical spelling.
func (r *Rule) Match() string {
	parts := make([]string, len(r.Clauses))
	for i, c := range r.Clauses {
		parts[i] = c.String()
	}
	return strings.Join(parts, ", ")
}

// ruleJSON is the JSON form of a Rule.
type ruleJSON struct {
	ID    string `json:"id"`
	Match string `json:"match"`
}

// MarshalJSON implements json.Marshaler.
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(ruleJSON{r.ID, r.Match()})
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Rule) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var j ruleJSON
	if err := d.Decode(&j); err != nil {
		return err
	}
	parsed, err := parseRule(j.ID, j.Match)
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// Canonical returns the one spelling of the set as bytes: compact JSON with
// every field, clauses in canonical words. Equal sets give equal bytes.
func (rs *RuleSet) Canonical() []byte {
	b, err := json.Marshal(rs)
	if err != nil {
		// The struct holds strings, numbers and rules that marshal as such.
		panic("records: " + err.Error())
	}
	return b
}

// Hash identifies the set: SHA-256 of Canonical.
func (rs *RuleSet) Hash() [32]byte { return sha256.Sum256(rs.Canonical()) }

// Text returns the set in the form that people write.
func (rs *RuleSet) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "set %s\nmax keys %d\n", rs.Name, rs.MaxKeysPerRecord)
	if rs.MeantFor != [2]int64{} {
		fmt.Fprintf(&b, "meant for %d x %d\n", rs.MeantFor[0], rs.MeantFor[1])
	}
	if rs.AllowWeak {
		b.WriteString("allow weak\n")
	}
	for i := range rs.Rules {
		fmt.Fprintf(&b, "%s: %s\n", rs.Rules[i].ID, rs.Rules[i].Match())
	}
	return b.String()
}

// Rule returns the rule with the id, or nil.
func (rs *RuleSet) Rule(id string) *Rule {
	for i := range rs.Rules {
		if rs.Rules[i].ID == id {
			return &rs.Rules[i]
		}
	}
	return nil
}
