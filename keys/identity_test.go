package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/symbolon/symbolon/internal/secret"
)

func TestSignAndVerify(t *testing.T) {
	north, south := testIdentity(t, "North"), testIdentity(t, "South")
	msg := []byte("the fourth clause")
	sig, err := north.Sign("agreement", msg)
	if err != nil {
		t.Fatal(err)
	}
	other, err := south.Sign("agreement", msg)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(b []byte, i int) []byte { c := bytes.Clone(b); c[i] ^= 1; return c }
	for _, tt := range []struct {
		name   string
		who    *Identity
		domain string
		msg    []byte
		sig    Signature
		holds  bool
	}{
		{"as signed", north, "agreement", msg, sig, true},
		{"another domain", north, "transcript", msg, sig, false},
		{"another message", north, "agreement", msg[1:], sig, false},
		{"domain and message cut elsewhere", north, "agreementt", msg[1:], sig, false},
		{"another signer", south, "agreement", msg, sig, false},
		{"Ed25519 damaged", north, "agreement", msg, Signature{flip(sig.Ed25519, 40), sig.MLDSA65}, false},
		{"ML-DSA-65 damaged", north, "agreement", msg, Signature{sig.Ed25519, flip(sig.MLDSA65, 0)}, false},
		{"ML-DSA-65 damaged at its end", north, "agreement", msg, Signature{sig.Ed25519, flip(sig.MLDSA65, len(sig.MLDSA65)-1)}, false},
		{"halves of two signers", north, "agreement", msg, Signature{sig.Ed25519, other.MLDSA65}, false},
		{"no ML-DSA-65", north, "agreement", msg, Signature{Ed25519: sig.Ed25519}, false},
		{"no Ed25519", north, "agreement", msg, Signature{MLDSA65: sig.MLDSA65}, false},
		{"nothing", north, "agreement", msg, Signature{}, false},
		{"too long", north, "agreement", msg, Signature{sig.Ed25519, append(bytes.Clone(sig.MLDSA65), 0)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.who.Public().Verify(tt.domain, tt.msg, tt.sig)
			if tt.holds != (err == nil) || !tt.holds && !errors.Is(err, ErrSignature) {
				t.Errorf("got %v", err)
			}
		})
	}
	again, err := north.Sign("agreement", msg)
	if err != nil || !bytes.Equal(again.Bytes(), sig.Bytes()) {
		t.Error("signing is not deterministic")
	}
}

func TestSignatureEncodings(t *testing.T) {
	id := testIdentity(t, "North")
	sig, err := id.Sign("d", nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseSignature(sig.Bytes())
	if err != nil || id.Public().Verify("d", nil, back) != nil {
		t.Errorf("binary: %v", err)
	}
	text, err := json.Marshal(sig)
	if err != nil {
		t.Fatal(err)
	}
	var fromJSON Signature
	if err := json.Unmarshal(text, &fromJSON); err != nil || id.Public().Verify("d", nil, fromJSON) != nil {
		t.Errorf("JSON: %v", err)
	}
	for _, n := range []int{0, SignatureSize - 1, SignatureSize + 1} {
		_, err := ParseSignature(make([]byte, n))
		wantError(t, err, fmt.Sprintf("%d bytes, want 3373", n))
	}
}

func TestSigningWithoutDomainPanics(t *testing.T) {
	id := testIdentity(t, "North")
	u, err := NewUser(testRand("u"), "anna")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(){
		"Sign":       func() { _, _ = id.Sign("", nil) },
		"Verify":     func() { _ = id.Public().Verify("", nil, Signature{make([]byte, 64), make([]byte, 3309)}) },
		"User.Sign":  func() { u.Sign("", nil) },
		"VerifyUser": func() { _ = VerifyUser(u.PublicKey(), "", nil, nil) },
		"TLS":        func() { id.ServerTLS(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestNewIdentityRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rand   io.Reader
		agency string
		now    time.Time
		want   string
	}{
		{"a short source", strings.NewReader("short"), "North", then, "reading 32 random bytes: unexpected EOF"},
		{"an empty name", testRand("x"), "", then, "name is empty"},
		{"a name with a line break", testRand("x"), "a\nb", then, "U+000A"},
		{"the first year", testRand("x"), "North", time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		{"the last year", testRand("x"), "North", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), ""},
		{"a year that RFC 3339 can't write", testRand("x"), "North", then.AddDate(9000, 0, 0), "year 11026 is outside"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewIdentity(tt.rand, tt.agency, tt.now)
			wantError(t, err, tt.want)
		})
	}
}

func TestRotateRefuses(t *testing.T) {
	id := testIdentity(t, "North")
	_, err := id.Rotate(testRand("x"), then.Add(-time.Second))
	wantError(t, err, "check the clock")
	_, err = id.Rotate(testRand("North"), then)
	wantError(t, err, "repeats itself")
	_, err = id.Rotate(strings.NewReader(""), then)
	wantError(t, err, "random bytes")
	_, err = id.Rotate(testRand("x"), then.Add(time.Nanosecond))
	wantError(t, err, "")
}

func TestTimesAreWholeSecondsUTC(t *testing.T) {
	zone := time.FixedZone("east", 3*3600)
	id, err := NewIdentity(testRand("x"), "North", time.Date(2026, 3, 1, 15, 0, 0, 999, zone))
	if err != nil || !id.Public().Created().Equal(then) || id.Public().Created().Location() != time.UTC {
		t.Errorf("got %v, %v", id.Public().Created(), err)
	}
}

func TestDerive(t *testing.T) {
	id := testIdentity(t, "North")
	key := id.Derive("store")
	if key.Len() != 32 || !key.Equal(id.Derive("store")) {
		t.Error("equal labels give different keys")
	}
	for name, other := range map[string]secret.Bytes{
		"another label":    id.Derive("stor"),
		"another identity": testIdentity(t, "South").Derive("store"),
		"its successor":    rotated(t, id, 1).Derive("store"),
		"the seed":         id.seed,
	} {
		if key.Equal(other) {
			t.Errorf("%s has the same key", name)
		}
	}
	for _, label := range []string{"ed25519", "mldsa65", "tls-ed25519"} {
		if bytes.Equal(id.Derive(label).Expose(), derive(id.seed, domainKey, label)) {
			t.Errorf("label %q gives the identity's own key", label)
		}
	}
}

// TestSecretsAreNotPrinted looks for every secret of an identity and a user in
// whatever fmt and encoding/json make of them.
func TestSecretsAreNotPrinted(t *testing.T) {
	id := testIdentity(t, "North")
	u, err := NewUser(testRand("u"), "anna")
	if err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{id.seed.Expose(), id.keys().ed.Seed(), id.keys().tls.Seed(), id.keys().ml.Seed(), id.keys().ml.Bytes()[32:64], u.seed.Expose()}
	type holder struct {
		id *Identity
		v  Identity
		u  *User
		w  User
	}
	h := holder{id, *id, u, *u}
	var outs []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		for _, v := range []any{id, *id, u, *u, h, &h, []any{id, u}, id.NoteSigner(), id.marshal()} {
			outs = append(outs, fmt.Sprintf(verb, v))
		}
	}
	for _, v := range []any{id, u, h, id.NoteSigner()} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, string(b))
	}
	for _, out := range outs {
		for i, s := range secrets {
			for _, spelling := range []string{
				string(s), hex.EncodeToString(s), strings.ToUpper(hex.EncodeToString(s)),
				base64.RawStdEncoding.EncodeToString(s[:30]), strings.Trim(fmt.Sprint(s), "[]"),
			} {
				if strings.Contains(out, spelling) {
					t.Fatalf("secret %d stands in %.200s", i, out)
				}
			}
		}
	}
	if got, want := fmt.Sprint(id), "identity "+id.Public().String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIdentityFileContent(t *testing.T) {
	id := rotated(t, testIdentity(t, "North"), 1)
	content := string(id.marshal().Expose())
	south := string(testIdentity(t, "South").Public().Bytes())
	seed := base64.StdEncoding.EncodeToString(id.seed.Expose())
	for _, tt := range []struct{ name, data, want string }{
		{"as written", content, ""},
		{"another kind", strings.Replace(content, identityKind, userKind, 1), "not an identity file"},
		{"another version", strings.Replace(content, `,"version":1}`, `,"version":2}`, 1), "another version"},
		{"another's public identity", strings.Replace(content, string(id.Public().Bytes()), south, 1), "does not belong to the seed"},
		{"no public identity", strings.Replace(content, string(id.Public().Bytes()), "null", 1), "not an identity file"},
		{"a short seed", strings.Replace(content, seed, seed[:40], 1), "seed has 30 bytes, want 32"},
		{"another seed", strings.Replace(content, seed, strings.Repeat("A", 43)+"=", 1), "does not belong to the seed"},
		{"unknown member", strings.Replace(content, `{"kind"`, `{"x":1,"kind"`, 1), "not an identity file"},
		{"nothing", "", "not an identity file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			back, err := unmarshalIdentity(phrase(tt.data))
			wantError(t, err, tt.want)
			if err != nil {
				return
			}
			sig, err := back.Sign("d", nil)
			if err != nil || id.Public().Verify("d", nil, sig) != nil || !back.Derive("x").Equal(id.Derive("x")) {
				t.Error("the identity read back is another")
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	id := testIdentity(b, "North")
	for b.Loop() {
		if _, err := id.Sign("d", []byte("message")); err != nil {
			b.Fatal(err)
		}
	}
}
