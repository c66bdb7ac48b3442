package keys

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"

	"github.com/symbolon/symbolon/internal/secret"
)

// then is when the tests' identities are made.
var then = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testRand returns a reader that yields the same bytes for the same name.
func testRand(name string) io.Reader {
	return rand.NewChaCha8([32]byte([]byte(name + strings.Repeat(".", 32))[:32]))
}

// testIdentity returns the identity of a name, the same every time.
func testIdentity(t testing.TB, name string) *Identity {
	t.Helper()
	id, err := NewIdentity(testRand(name), name, then)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// rotated rotates id a number of times, a year apart.
func rotated(t testing.TB, id *Identity, times int) *Identity {
	t.Helper()
	r := testRand("rotation of " + id.Public().Name())
	for i := range times {
		next, err := id.Rotate(r, then.AddDate(i+1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		id = next
	}
	return id
}

func phrase(s string) secret.Bytes { return secret.New([]byte(s)) }

// wantError fails unless err's text holds want, or is nil for an empty want.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %q, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got error %v, want one that says %q", err, want)
	}
}

func TestTupleIsInjective(t *testing.T) {
	seen := map[string]int{}
	for i, parts := range [][][]byte{
		nil, {nil}, {nil, nil}, {[]byte("ab"), []byte("c")}, {[]byte("a"), []byte("bc")}, {[]byte("abc")},
		{tuple([]byte("a"), []byte("bc"))},
	} {
		b := tuple(parts...)
		if j, ok := seen[string(b)]; ok {
			t.Errorf("tuples %d and %d encode alike", i, j)
		}
		seen[string(b)] = i
		if len(b) > 0 && b[0] != 0 {
			t.Errorf("tuple %d does not begin with a zero byte", i)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"plain", "North Agency", ""},
		{"markup and accents", "Bureau d'Été <R&D> \"5\" \\", ""},
		{"Arabic", "وكالة الشمال", ""},
		{"longest", strings.Repeat("x", MaxNameLen), ""},
		{"empty", "", "empty"},
		{"too long", strings.Repeat("é", MaxNameLen/2+1), "102 bytes, want at most 100"},
		{"leading space", " North", "space"},
		{"trailing space", "North ", "space"},
		{"line break", "North\nSouth", "U+000A at byte 5"},
		{"terminal escape", "North\x1b[31m", "U+001B"},
		{"delete", "North\x7f", "U+007F"},
		{"no-break space", "North\u00a0Agency", "U+00A0"},
		{"line separator", "North\u2028", "U+2028"},
		{"right-to-left override", "North\u202eycnegA", "U+202E"},
		{"zero-width joiner", "No\u200drth", "U+200D"},
		{"private use", "North\ue000", "U+E000"},
		{"not UTF-8", "North\xff", "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantError(t, checkName(tt.value), tt.want) })
	}
}

func TestDecodeStrict(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"plain", ` {"at":"x"} ` + "\r\n", ""},
		{"unknown member", `{"at":"x","on":1}`, "unknown field"},
		{"two values", `{"at":"x"}{}`, "2 bytes follow"},
		{"garbage after", `{"at":"x"} x`, "1 bytes follow"},
		{"nothing", ``, "EOF"},
		{"cut", `{"at":"x"`, "EOF"},
		{"array", `[]`, "cannot unmarshal"},
		{"too long", `{"at":"` + strings.Repeat("x", 100) + `"}`, "got 109 bytes, want at most 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var v rotationJSON
			wantError(t, decodeStrict([]byte(tt.data), 100, &v), tt.want)
		})
	}
}

func TestSameDocument(t *testing.T) {
	want := []byte(`{"a":"<é>","b":[1]}`)
	for data, same := range map[string]bool{
		string(want):                            true,
		`{ "b":[1 ], "a":"\u003c\u00e9\u003E"}`: true,
		`{"a":"<é>","b":[1],"b":[1]}`:           false,
		`{"a":"<é>","B":[1]}`:                   false,
		`{"a":"<\xff>","b":[1]}`:                false,
		``:                                      false,
	} {
		if sameDocument([]byte(data), want) != same {
			t.Errorf("%s: same is not %v", data, same)
		}
	}
}

func TestOwnDocumentsAreCanonical(t *testing.T) {
	id := rotated(t, testIdentity(t, `"North" <R&D> \ é ~`), 1)
	for name, b := range map[string][]byte{
		"document":      id.Public().Bytes(),
		"signed part":   canonical(id.public.json(false)),
		"identity file": id.marshal().Expose(),
		"user file":     canonical(userJSON{userKind, "anna", make([]byte, 32), 1}),
	} {
		if want, err := jcs.Transform(b); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s: %v: got %.300s", name, err, b)
		}
	}
}
