package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func mustParse(t testing.TB, text string) *RuleSet {
	t.Helper()
	rs, err := ParseRuleSet([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func mustDerive(t testing.TB, rs *RuleSet) *Deriver {
	t.Helper()
	d, err := NewDeriver(rs, NormalisationVersion())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRuleSetForms(t *testing.T) {
	t.Parallel()
	for _, name := range ShippedNames() {
		rs, err := Shipped(name)
		if err != nil {
			t.Fatal(err)
		}
		for form, b := range map[string][]byte{"text": []byte(rs.Text()), "canonical": rs.Canonical(), "indented": indent(t, rs)} {
			again, err := ParseRuleSet(b)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, form, err)
			}
			if !bytes.Equal(again.Canonical(), rs.Canonical()) || again.Hash() != rs.Hash() {
				t.Errorf("%s, %s: got %s, want %s", name, form, again.Canonical(), rs.Canonical())
			}
		}
		for _, r := range rs.Rules {
			if d := r.Domain(); d < 1 || math.IsInf(d, 0) {
				t.Errorf("%s, %s: domain %g", name, r.ID, d)
			}
			if s := r.Sentence(); !strings.HasPrefix(s, "Two records match when they share ") {
				t.Errorf("%s, %s: %s", name, r.ID, s)
			}
		}
	}
	if _, err := Shipped("nope"); err == nil || !strings.Contains(err.Error(), "exact") {
		t.Errorf("unknown set: %v", err)
	}
}

func indent(t *testing.T, v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRuleSetCanonicalSpelling(t *testing.T) {
	t.Parallel()
	a := mustParse(t, "set x\n# note\nr:  any   2 names skeleton,birth   date unordered\n  s: e-mail")
	b := mustParse(t, `{"name":"x","rules":[{"id":"r","match":"any 2 names skeleton, birth date unordered"},{"match":"email exact","id":"s"}]}`)
	if a.Hash() != b.Hash() {
		t.Errorf("got %s and %s", a.Canonical(), b.Canonical())
	}
	if want := `{"name":"x","max_keys_per_record":64,"meant_for":[0,0],"rules":[{"id":"r","match":"any 2 names skeleton, birth date unordered"},{"id":"s","match":"email exact"}]}`; string(a.Canonical()) != want {
		t.Errorf("got  %s\nwant %s", a.Canonical(), want)
	}
}

func TestRuleSetErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"", "set's name"},
		{"set x", "0 rules"},
		{"set X\na: phone", "set's name"},
		{"set x\na: phone\na: email", `two rules have the id "a"`},
		{"set x\nA: phone", "id of rule 1"},
		{"set x\na: phone, phone", "two clauses"},
		{"set x\na: birth year, birth date exact, all names exact", "two clauses about birth"},
		{"set x\na:", "empty clause"},
		{"set x\na: phone,", "empty clause"},
		{"set x\na: shoe size", "not one that is known"},
		{"set x\na: any 9 names exact", "not a number from 1 to 4"},
		{"set x\na: any names exact", "not a number"},
		{"set x\na: all names prefix", "not one that is known"},
		{"set x\na: all names exact at most 2 shoes", "not one that is known"},
		{"set x\na: birth year within 9", "not a number from 1 to 3"},
		{"set x\na: all names exact", "weak: a name without a date"},
		{"set x\na: birth date exact", "weak: a date of birth without a name"},
		{"set x\na: nationality, sex", "weak: neither"},
		{"set x\na: any 1 names prefix 1, birth year", "weak: its domain"},
		{"set x\na: all names exact, birth decade or absent", "weak: a name without a date"},
		{"set x\na: all names skeleton at least 5 consonants, birth year", "counts consonants"},
		{"set x\na: all names exact at least 2 words at least 3 words, birth year", "twice"},
		{"set x\nmax keys 0\na: phone", "line 2"},
		{"set x\nmax keys 5000\na: phone", "outside [1, 1024]"},
		{"set x\nmeant for few x many\na: phone", "line 2"},
		{"set x\nplease", "line 2"},
		{`{"name":"x","rules":[{"id":"a","match":"phone"}],"more":1}`, "more"},
		{`{"name":"x","rules":[{"id":"a","match":"phone","more":1}]}`, "more"},
		{`{"name":"x","rules":[{"id":"a","match":"phone"}]} {}`, "follows"},
		{`{"name":"x","max_keys_per_record":-1,"rules":[{"id":"a","match":"phone"}]}`, "outside"},
		{"set x\n" + strings.Repeat("a: phone\n", 40), "rules"},
		{strings.Repeat("#", 70000), "more than"},
	} {
		if _, err := ParseRuleSet([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: got %v, want %q in it", tt.text, err, tt.want)
		}
	}
	if _, err := ParseRuleSet([]byte("set x\nallow weak\na: all names exact")); err != nil {
		t.Errorf("a weak rule that is allowed: %v", err)
	}
	for _, c := range []Clause{{Field: fieldPhone, How: howExact, Count: 3}, {Field: "shoe", How: howExact}, {Field: fieldName, How: howExact, Which: whichAny, Count: 2, Within: 1}} {
		rs := &RuleSet{Name: "x", MaxKeysPerRecord: 1, Rules: []Rule{{ID: "a", Clauses: []Clause{c}}}}
		if rs.Validate() == nil {
			t.Errorf("clause %+v was accepted", c)
		}
	}
}

func TestEnumerationDays(t *testing.T) {
	t.Parallel()
	rs := mustParse(t, "set x\na: all names exact, birth date exact")
	if got, want := rs.Rules[0].EnumerationDays(1e6), 1e9*36525/1e6; got != want {
		t.Errorf("got %g days, want %g", got, want)
	}
	if !math.IsInf(rs.Rules[0].EnumerationDays(0), 1) {
		t.Error("no budget, yet an end")
	}
}

func FuzzParseRuleSet(f *testing.F) {
	for _, name := range ShippedNames() {
		rs, _ := Shipped(name)
		f.Add([]byte(rs.Text()))
		f.Add(rs.Canonical())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rs, err := ParseRuleSet(b)
		if err != nil {
			return
		}
		for _, form := range [][]byte{rs.Canonical(), []byte(rs.Text())} {
			again, err := ParseRuleSet(form)
			if err != nil || !bytes.Equal(again.Canonical(), rs.Canonical()) {
				t.Errorf("%s became %v, %v", form, again, err)
			}
		}
	})
}

func keyText(keys []Key) string {
	var out []string
	for _, k := range keys {
		out = append(out, k.Rule+"="+k.Value)
	}
	return strings.Join(out, "\n")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	r := ada(1)
	r.Emails = []string{"a|b%@x.y"}
	r.Others = []Identifier{{"iban", "DE1"}}
	r.Documents = append(r.Documents, Document{Type: "national_id", Number: "00123456"})
	for _, tt := range []struct{ rule, want string }{
		{"document", "GB/passport/X12; IT//99Z; GB/national_id/123456"},
		{"document number", "123456"},
		{"phone", "+442079460000"},
		{"email", "a%7cb%25@x.y"},
		{"identifier", "iban/DE1"},
		{"all names exact, birth date exact", "ada augusta lovelace|1915-12-10; ada byron|1915-12-10; ada|1915-12-10"},
		{"all names exact at least 2 words, birth year", "ada augusta lovelace|1915; ada augusta lovelace|1914; ada byron|1915; ada byron|1914"},
		{"any 2 names exact, birth year-month", "ada augusta|1915-12; ada lovelace|1915-12; augusta lovelace|1915-12; ada byron|1915-12"},
		{"family names exact, given names prefix 2, birth date unordered", "lovelace|ad au|1915:10:12; byron|ad|1915:10:12"},
		{"birth year within 1, all names exact at least 3 words", "1914..1915|ada augusta lovelace; 1915..1916|ada augusta lovelace; 1913..1914|ada augusta lovelace"},
		{"sex, nationality, place of birth exact", "F|GB|england london"},
		{"all names phonetic at least 2 words, birth half or year", "akusta ata lufalas|1915.2; akusta ata lufalas|1914.1; akusta ata lufalas|1914.2; ata pirun|1915.2; ata pirun|1914.1; ata pirun|1914.2"},
		{"both names prefix 4, birth two parts", "adaa love|1915-12; adaa love|1915/10; adaa love|12-10; ada byro|1915-12; ada byro|1915/10; ada byro|12-10"},
		{"all names exact at most 1 words, birth quarter or year", "ada|1915.4; ada|1914.1; ada|1914.2; ada|1914.3; ada|1914.4"},
		{"all names exact at least 2 words at least 4 letters, birth decade or absent", ""},
		{"any 1 names exact at least 5 letters, birth decade or absent", "augusta|1910; lovelace|1910; byron|1910"},
		{"any 2 names skeleton at least 6 consonants, birth date exact but 1 january", "at lfls|1915-12-10; kst lfls|1915-12-10; at prn|1915-12-10"},
		{"email, nationality absent", ""},
		{"email, birth absent", ""},
	} {
		rs := mustParse(t, "set x\nallow weak\na: "+tt.rule)
		keys, cut := mustDerive(t, rs).Keys(nil, &r)
		var got []string
		for _, k := range keys {
			got = append(got, k.Value)
		}
		if strings.Join(got, "; ") != tt.want || cut {
			t.Errorf("%s:\ngot  %s (cut %v)\nwant %s", tt.rule, strings.Join(got, "; "), cut, tt.want)
		}
	}
}

func TestKeysAreCut(t *testing.T) {
	t.Parallel()
	r := ada(1)
	full, cut := mustDerive(t, mustParse(t, "set x\na: any 1 names exact, birth year\nb: phone")).Keys(nil, &r)
	if cut || len(full) != 9 {
		t.Fatalf("got %s, cut %v", keyText(full), cut)
	}
	for n := 1; n <= 10; n++ {
		d := mustDerive(t, mustParse(t, fmt.Sprintf("set x\nmax keys %d\na: any 1 names exact, birth year\nb: phone", n)))
		got, cut := d.Keys([]Key{{"before", ""}}, &r)
		if want := min(n, 9); !slices.Equal(got[1:], full[:want]) || cut != (n < 9) {
			t.Errorf("at most %d: got %s, cut %v", n, keyText(got), cut)
		}
	}
}

func TestDeriverRefusesOtherVersion(t *testing.T) {
	t.Parallel()
	rs, _ := Shipped("exact")
	if _, err := NewDeriver(rs, "symbolon-0"); err == nil || !strings.Contains(err.Error(), NormalisationVersion()) {
		t.Errorf("got %v", err)
	}
	if _, err := NewDeriver(&RuleSet{}, NormalisationVersion()); err == nil {
		t.Error("an invalid set was accepted")
	}
}

func TestCanaryKeys(t *testing.T) {
	t.Parallel()
	rs, _ := Shipped("exact")
	a, err := CanaryKeys(rs)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := CanaryKeys(mustParse(t, rs.Text())); a != b || len(a) != 64 {
		t.Errorf("got %s and %s", a, b)
	}
	if b, _ := CanaryKeys(mustParse(t, "set exact\ndocument: document")); a == b {
		t.Error("other rules have the same canaries")
	}
	// Each clause derives something from the test persons, else a drift of its
	// field would go unseen.
	for _, clause := range []string{
		"document", "document number", "phone", "email", "identifier", "all names exact", "any 2 names skeleton", "given names prefix 3", "family names exact",
		"birth date exact", "birth date unordered", "birth year-month", "birth year", "birth year within 1", "birth two parts", "birth half or year", "birth decade or absent",
		"both names phonetic", "birth date exact but 1 january", "birth absent", "nationality absent", "sex absent", "place of birth absent", "place of birth exact", "place of birth skeleton", "nationality", "sex",
	} {
		d := mustDerive(t, mustParse(t, "set x\nallow weak\na: "+clause))
		n := 0
		for _, c := range canaries {
			r := c.record()
			keys, _ := d.Keys(nil, &r)
			n += len(keys)
		}
		if n == 0 {
			t.Errorf("no test person has a key of %q", clause)
		}
	}
}

func TestNearYearsShareAKey(t *testing.T) {
	t.Parallel()
	for within := 1; within <= maxWithin; within++ {
		c := Clause{Field: fieldBirth, How: howNearYear, Within: within}
		for diff := range 6 {
			var a, b []string
			Date{Year: 1980, Precision: PrecisionYear}.values(c, func(s string) { a = append(a, s) })
			Date{Year: int16(1980 + diff), Precision: PrecisionYear}.values(c, func(s string) { b = append(b, s) })
			shared := slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
			if shared != (diff <= within) {
				t.Errorf("years %d apart within %d: shared %v", diff, within, shared)
			}
		}
	}
}

func TestAbsentDateAgreesWithAnyDecade(t *testing.T) {
	t.Parallel()
	d := mustDerive(t, mustParse(t, "set x\nallow weak\na: all names exact, birth decade or absent"))
	keysOf := func(births ...Date) []Key {
		keys, _ := d.Keys(nil, &Record{ID: "1", Names: []Name{{Full: "Ada Byron"}}, Births: births})
		return keys
	}
	year := func(y int16) Date { return Date{Year: y, Precision: PrecisionYear} }
	missing := keysOf()
	for y := int16(minYear); y <= maxYear; y++ {
		if k := keysOf(year(y)); len(k) != 1 || !slices.Contains(missing, k[0]) {
			t.Fatalf("year %d: %v is not among %v", y, k, missing)
		}
	}
	if slices.Equal(keysOf(year(1979)), keysOf(year(1980))) {
		t.Error("two decades agree")
	}
}

func TestPartOfYearAgreesWithYear(t *testing.T) {
	t.Parallel()
	for how, n := range yearParts {
		c := Clause{Field: fieldBirth, How: how}
		read := func(d Date) (out []string) {
			d.values(c, func(s string) { out = append(out, s) })
			return out
		}
		whole := read(Date{Year: 1980, Precision: PrecisionYear})
		if len(whole) != n || !slices.Equal(whole, read(Date{Year: 1980, Month: 1, Day: 1, Precision: PrecisionDay})) {
			t.Errorf("%s: a year gives %v", how, whole)
		}
		seen := map[string]bool{}
		for m := uint8(1); m <= 12; m++ {
			part := read(Date{Year: 1980, Month: m, Day: 2, Precision: PrecisionDay})
			if len(part) != 1 || !slices.Contains(whole, part[0]) {
				t.Errorf("%s: month %d gives %v, not one of %v", how, m, part, whole)
			}
			seen[part[0]] = true
		}
		if len(seen) != n {
			t.Errorf("%s: the months give %d parts, want %d", how, len(seen), n)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, name := range ShippedNames() {
		rs, _ := Shipped(name)
		e, err := rs.Explain(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if e.SizeA != rs.MeantFor[0] || len(e.Rules) != len(rs.Rules) || e.KeysPerRecord < 3 || e.ExpectedFalse <= 0 {
			t.Errorf("%s: %+v", name, e)
		}
		for _, r := range e.Rules {
			if (r.Weak != "") != (rs.Rule(r.ID).Weak()) || !strings.Contains(e.String(), r.Sentence) {
				t.Errorf("%s, %s: %+v", name, r.ID, r)
			}
		}
	}
	rs := mustParse(t, "set x\nmeant for 100 x 100\na: all names exact, birth year")
	e, err := rs.Explain(1e6, 1e6)
	if err != nil || len(e.Warnings) != 2 || !strings.Contains(e.Warnings[0], "false pairs are expected") {
		t.Errorf("a weak rule between large registers: %v, %v", e.Warnings, err)
	}
	if few, _ := rs.Explain(100, 100); len(few.Warnings) != 0 {
		t.Errorf("small registers: %v", few.Warnings)
	}
}

func TestWithout(t *testing.T) {
	t.Parallel()
	rs, _ := Shipped("exact")
	less, err := rs.Without("document", "phone")
	if err != nil || len(less.Rules) != len(rs.Rules)-2 || less.Rule("phone") != nil || rs.Rule("phone") == nil {
		t.Errorf("got %v, %v", less, err)
	}
	if _, err := rs.Without("shoes"); err == nil {
		t.Error("an unknown rule was left out")
	}
}

// BenchmarkKeys derives the keys of a record with one name, a date, a document
// and a nationality.
func BenchmarkKeys(b *testing.B) {
	rs, err := Shipped("standard")
	if err != nil {
		b.Fatal(err)
	}
	d := mustDerive(b, rs)
	r := ada(1)
	r.Names, r.Births, r.Documents, r.Phones = r.Names[:1], r.Births[:1], r.Documents[:1], nil
	var keys []Key
	b.ReportAllocs()
	for b.Loop() {
		keys, _ = d.Keys(keys[:0], &r)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
