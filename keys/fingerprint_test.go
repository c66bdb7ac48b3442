package keys

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

func TestFingerprintText(t *testing.T) {
	f := testIdentity(t, "North").Public().Fingerprint()
	back, err := ParseFingerprint(f.String())
	if err != nil || back != f {
		t.Fatalf("got %v, %v", back, err)
	}
	b, err := json.Marshal(map[Fingerprint]Fingerprint{f: f})
	if err != nil {
		t.Fatal(err)
	}
	var m map[Fingerprint]Fingerprint
	if err := json.Unmarshal(b, &m); err != nil || m[f] != f {
		t.Fatalf("%s reads as %v, %v", b, m, err)
	}
}

func TestParseFingerprintRefuses(t *testing.T) {
	good := strings.Repeat("0a", 32)
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "0 characters, want 64"},
		{"short", good[1:], "63 characters"},
		{"long", good + "0", "65 characters"},
		{"upper case", strings.ToUpper(good), "upper-case"},
		{"not hexadecimal", "g" + good[1:], "not hexadecimal"},
		{"spaces", " " + good[1:], "not hexadecimal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ParseFingerprint(tt.in)
			wantError(t, err, tt.want)
			if f != (Fingerprint{}) {
				t.Error("an error comes with a fingerprint")
			}
			if f.UnmarshalText([]byte(tt.in)) == nil {
				t.Error("UnmarshalText accepts it")
			}
		})
	}
}

func TestPhone(t *testing.T) {
	var zero, ones Fingerprint
	for i := range ones {
		ones[i] = 0xff
	}
	if got, want := zero.Phone(), strings.TrimSpace(strings.Repeat("00000 ", 8)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// 2^256-1 in decimal ends in these digits.
	n := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)).String()
	if got := strings.ReplaceAll(ones.Phone(), " ", ""); got != n[len(n)-40:] {
		t.Errorf("got %s, want %s", got, n[len(n)-40:])
	}
}

func TestMatches(t *testing.T) {
	f := testIdentity(t, "North").Public().Fingerprint()
	other := testIdentity(t, "South").Public().Fingerprint()
	for _, tt := range []struct {
		name, typed string
		want        bool
	}{
		{"hexadecimal", f.String(), true},
		{"upper case in groups", strings.ToUpper(f.String()[:32] + " " + f.String()[32:]), true},
		{"digits", f.Phone(), true},
		{"digits with hyphens", strings.ReplaceAll(f.Phone(), " ", "-") + "\n", true},
		{"digits from a letter", strings.ReplaceAll(f.Phone(), " ", "\u2009\u2013\u00a0"), true},
		{"another's hexadecimal", other.String(), false},
		{"another's digits", other.Phone(), false},
		{"all but one group", f.Phone()[6:], false},
		{"a prefix", f.String()[:40], false},
		{"nothing", "", false},
	} {
		if f.Matches(tt.typed) != tt.want {
			t.Errorf("%s: Matches is not %v", tt.name, tt.want)
		}
	}
}

func FuzzParseFingerprint(f *testing.F) {
	f.Add(strings.Repeat("0a", 32))
	f.Add("00000 00000")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParseFingerprint(s); err == nil && (p.String() != s || !p.Matches(s) || !p.Matches(p.Phone())) {
			t.Errorf("%q is accepted as %s", s, p)
		}
	})
}
