package records

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

// The shipped sets are text files, so that what an agreement says can be read
// without the source.
//
//go:embed sets/*.rules
var setFiles embed.FS

// Shipped returns a rule set that comes with the program, by name: exact,
// strict, standard or wide.
func Shipped(name string) (*RuleSet, error) {
	if !slices.Contains(ShippedNames(), name) {
		return nil, fmt.Errorf("rules: no set %q comes with the program; there are %s", name, strings.Join(ShippedNames(), ", "))
	}
	b, err := setFiles.ReadFile("sets/" + name + ".rules")
	if err != nil {
		// The name is that of an embedded file.
		panic("records: " + err.Error())
	}
	return ParseRuleSet(b)
}

// ShippedNames lists the shipped rule sets, from the narrowest to the widest.
func ShippedNames() []string { return []string{"exact", "strict", "standard", "wide"} }

// Without returns a copy of the set that lacks the rules named, to measure
// what the others find. Unknown names are an error.
func (rs *RuleSet) Without(ids ...string) (*RuleSet, error) {
	for _, id := range ids {
		if rs.Rule(id) == nil {
			return nil, fmt.Errorf("rules: set %q has no rule %q", rs.Name, id)
		}
	}
	out := *rs
	out.Rules = slices.DeleteFunc(slices.Clone(rs.Rules), func(r Rule) bool { return slices.Contains(ids, r.ID) })
	return &out, out.Validate()
}
