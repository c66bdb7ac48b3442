package records

import (
	"fmt"
	"strings"
)

// shipped are the rule sets that come with the program.
var shipped = map[string]string{
	// Fields must agree to the letter.
	"exact": `
set exact
max keys 64
meant for 1000000 x 1000000
document: document exact
document-number: document number exact
phone: phone exact
email: email exact
name-date: all names exact, birth date exact
`,
}

// Shipped returns a rule set that comes with the program, by name.
func Shipped(name string) (*RuleSet, error) {
	text, ok := shipped[name]
	if !ok {
		return nil, fmt.Errorf("rules: no set %q comes with the program; there are %s", name, strings.Join(ShippedNames(), ", "))
	}
	return ParseRuleSet([]byte(text))
}

// ShippedNames lists the shipped rule sets.
func ShippedNames() []string { return sortedKeys(shipped) }
