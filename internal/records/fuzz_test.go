package records

import (
	"slices"
	"strings"
	"testing"
)

// FuzzDerive derives the keys of every shipped set from hostile fields.
func FuzzDerive(f *testing.F) {
	f.Add("O'Neill | de la", "Ada Byron", "1980-01-01", "AB-12|34", "a|b%@x.y", "Köln|")
	f.Add("\u202e\u200bمحمد بن سلمان", "김철수", "1980/1985", "١٢٣", "", "")
	f.Add(strings.Repeat("Aé", 5000), "abu abu abu", "~1900", strings.Repeat("9", 300), "@", "🙂")
	f.Add("a", "de la", "0000-00-00", "АВ12", "x", "")
	var derivers []*Deriver
	for _, name := range ShippedNames() {
		rs, err := Shipped(name)
		if err != nil {
			f.Fatal(err)
		}
		derivers = append(derivers, mustDerive(f, rs))
	}
	f.Fuzz(func(t *testing.T, full, alias, birth, number, email, place string) {
		r := Record{ID: "1", Names: []Name{SplitName(full), SplitName(alias)}, PlacesOfBirth: []string{place}}
		if d, err := ParseDate(birth); err == nil {
			r.Births = []Date{d}
		}
		if n := NormaliseNumber(number); n != "" {
			r.Documents = []Document{{Type: documentType(place), Number: n}}
		}
		if e, err := parseEmail(email); err == nil {
			r.Emails = []string{e}
		}
		for _, d := range derivers {
			keys, cut := d.Keys(nil, &r)
			if len(keys) > d.Rules().MaxKeysPerRecord || cut && len(keys) != d.Rules().MaxKeysPerRecord {
				t.Errorf("%s: %d keys, cut %v", d.Rules().Name, len(keys), cut)
			}
			again, _ := d.Clone().Keys(nil, &r)
			if !slices.Equal(keys, again) {
				t.Errorf("%s: two runs differ", d.Rules().Name)
			}
			seen := map[Key]bool{}
			for _, k := range keys {
				// A separator in a part would let two agreements of fields give
				// one text.
				if strings.Count(k.Value, "|") != len(d.Rules().Rule(k.Rule).Clauses)-1 || seen[k] {
					t.Errorf("%s: key %q", d.Rules().Name, k)
				}
				seen[k] = true
			}
		}
	})
}

func FuzzParseMapping(f *testing.F) {
	f.Add("delimiter = ';'\nregion = 'DE'\ndate_formats = ['DD.MM.YYYY']\n[columns]\nid = 'a'\nname = ['b', 'c']\nidentifiers.iban = 'd'")
	f.Add("format = 'sqlite'\ntable = 'a.b'")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMapping([]byte(text))
		if err != nil {
			return
		}
		if _, err := Open("a.csv", m); err != nil {
			t.Errorf("a mapping that was accepted is refused: %v", err)
		}
	})
}
