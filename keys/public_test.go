package keys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"filippo.io/edwards25519"
)

func TestPublicIdentityRoundTrip(t *testing.T) {
	for name, id := range map[string]*Identity{
		"fresh":        testIdentity(t, "North Agency"),
		"markup":       testIdentity(t, `R&D "<North>" \ é`),
		"rotated":      rotated(t, testIdentity(t, "South"), 2),
		"full history": rotated(t, testIdentity(t, "East"), MaxRotations),
	} {
		t.Run(name, func(t *testing.T) {
			p := id.Public()
			if size := len(p.Bytes()); size > MaxDocument*4/5 {
				t.Errorf("document has %d bytes of %d", size, MaxDocument)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, p.Bytes(), "", "  "); err != nil {
				t.Fatal(err)
			}
			nested, err := json.Marshal(map[string]any{"public": p}) // escapes for HTML
			if err != nil {
				t.Fatal(err)
			}
			var outer map[string]*PublicIdentity
			if err := json.Unmarshal(nested, &outer); err != nil {
				t.Fatal(err)
			}
			back := []*PublicIdentity{outer["public"]}
			for _, data := range [][]byte{p.Bytes(), indented.Bytes()} {
				q, err := ParsePublicIdentity(data)
				if err != nil {
					t.Fatal(err)
				}
				back = append(back, q)
			}
			for _, q := range back {
				if !bytes.Equal(q.Bytes(), p.Bytes()) || q.Fingerprint() != p.Fingerprint() ||
					q.Name() != p.Name() || !q.Created().Equal(p.Created()) || len(q.Rotations()) != len(p.Rotations()) {
					t.Errorf("%s reads back as %s", p, q)
				}
			}
		})
	}
}

// member replaces one member of the document, or removes it for nil.
func member(path string, value any) func(doc map[string]any) {
	return func(doc map[string]any) {
		keys := strings.Split(path, ".")
		at := doc
		for _, k := range keys[:len(keys)-1] {
			switch v := at[k].(type) {
			case []any:
				at = v[0].(map[string]any)
			case map[string]any:
				at = v
			}
		}
		if last := keys[len(keys)-1]; value == nil {
			delete(at, last)
		} else {
			at[last] = value
		}
	}
}

func TestMalformedDocuments(t *testing.T) {
	p := rotated(t, testIdentity(t, "North"), 2).Public()
	other := testIdentity(t, "South").Public()
	b64 := base64.StdEncoding.EncodeToString
	for _, tt := range []struct {
		name   string
		change func(map[string]any)
		want   string
	}{
		{"another version", member("version", 2), "version is 2, want 1"},
		{"no version", member("version", nil), "version is 0"},
		{"version in a string", member("version", "1"), "cannot unmarshal"},
		{"unknown member", member("comment", "x"), "unknown field"},
		{"unknown member in the chain", member("chain.comment", "x"), "unknown field"},
		{"name changed", member("name", "Nortn"), "signature does not hold"},
		{"no name", member("name", nil), "name is empty"},
		{"unprintable name", member("name", "N\x1borth"), "U+001B"},
		{"date changed", member("created", "2028-03-01T12:00:01Z"), "signature does not hold"},
		{"date with a zone", member("created", "2028-03-01T12:00:00+00:00"), "created: want a time like"},
		{"date with fractions", member("created", "2028-03-01T12:00:00.0Z"), "created: want a time like"},
		{"no such day", member("created", "2028-02-30T12:00:00Z"), "created: want a time like"},
		{"no date", member("created", nil), "created: want a time like"},
		{"no Ed25519 key", member("ed25519", nil), "Ed25519 key has 0 bytes, want 32"},
		{"short Ed25519 key", member("ed25519", b64(make([]byte, 31))), "31 bytes, want 32"},
		{"another's Ed25519 key", member("ed25519", b64(other.keys.ed)), "signature does not hold"},
		{"Ed25519 key off the curve", member("ed25519", b64(append([]byte{2}, make([]byte, 31)...))), "not a point"},
		{"no ML-DSA-65 key", member("mldsa65", nil), "ML-DSA-65 key has 0 bytes, want 1952"},
		{"long ML-DSA-65 key", member("mldsa65", b64(make([]byte, 1953))), "1953 bytes"},
		{"another's ML-DSA-65 key", member("mldsa65", b64(other.keys.mlBytes)), "signature does not hold"},
		{"base64 with a line break", member("ed25519", "\n"+b64(p.keys.ed)), "not in canonical form"},
		{"not base64", member("ed25519", "%"), "illegal base64"},
		{"base64 with stray bits", member("signature.ed25519", strayBits(p.signature.Ed25519)), "not in canonical form"},
		{"no signature", member("signature", nil), "signature is missing"},
		{"no Ed25519 signature", member("signature.ed25519", nil), "not in canonical form"},
		{"empty Ed25519 signature", member("signature.ed25519", ""), "signature does not hold"},
		{"empty ML-DSA-65 signature", member("signature.mldsa65", ""), "signature does not hold"},
		{"another's signature", member("signature.mldsa65", b64(other.signature.MLDSA65)), "signature does not hold"},
		{"chain removed", member("chain", []any{}), "signature does not hold"},
		{"chain missing", member("chain", nil), "not in canonical form"},
		{"chain of nothing", member("chain", []any{nil}), "rotation 1: at"},
		{"rotation dated anew", member("chain.at", "2026-03-02T12:00:00Z"), "rotation 1: signature does not hold"},
		{"rotation's key replaced", member("chain.ed25519", b64(other.keys.ed)), "rotation 1: signature does not hold"},
		{"rotation's key of small order", member("chain.ed25519", b64(append([]byte{1}, make([]byte, 31)...))), "rotation 1: Ed25519 key has small order"},
		{"rotation's signature empty", member("chain.signature.mldsa65", ""), "rotation 1: signature does not hold"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var doc map[string]any
			if err := json.Unmarshal(p.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			tt.change(doc)
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			q, err := ParsePublicIdentity(data)
			wantError(t, err, tt.want)
			if q != nil {
				t.Error("an error comes with an identity")
			}
		})
	}
}

// strayBits encodes b with bits set that decoding drops.
func strayBits(b []byte) string {
	s := []byte(base64.StdEncoding.EncodeToString(b)) // of 64 bytes, so four bits are spare
	i := bytes.IndexByte(s, '=') - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	s[i] = alphabet[strings.IndexByte(alphabet, s[i])|1]
	return string(s)
}

func TestMalformedText(t *testing.T) {
	text := string(testIdentity(t, "North").Public().Bytes())
	for _, tt := range []struct{ name, data, want string }{
		{"nothing", "", "EOF"},
		{"null", "null", "version is 0"},
		{"array", "[]", "cannot unmarshal"},
		{"cut", text[:len(text)-1], "EOF"},
		{"twice", text + text, "follow the JSON value"},
		{"byte order mark", "\ufeff" + text, "invalid character"},
		{"repeated member", strings.Replace(text, `"name":`, `"name":"x","name":`, 1), "repeated"},
		{"member in upper case", strings.Replace(text, `"name":`, `"Name":`, 1), "misspelt"},
		{"null for a list", strings.Replace(text, `"chain":[]`, `"chain":null`, 1), "canonical form"},
		{"fraction", strings.Replace(text, `"version":1`, `"version":1.0`, 1), "cannot unmarshal"},
		{"not UTF-8", strings.Replace(text, `"North"`, "\"North\xff\"", 1), "canonical form"},
		{"deep", strings.Repeat(`{"chain":[`, 8000), "exceeded max depth"},
		{"too long", text + strings.Repeat(" ", MaxDocument), "want at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParsePublicIdentity([]byte(tt.data))
			wantError(t, err, tt.want)
		})
	}
}

// forge changes a document and signs it again with the identity's own keys, as
// a dishonest owner can.
func forge(t *testing.T, id *Identity, change func(*PublicIdentity)) []byte {
	t.Helper()
	p := *id.public
	p.chain = p.Rotations()
	change(&p)
	var err error
	if p.signature, err = id.Sign(domainDocument, canonical(p.json(false))); err != nil {
		t.Fatal(err)
	}
	return canonical(p.json(true))
}

func TestDishonestOwners(t *testing.T) {
	north := testIdentity(t, "North")
	later := rotated(t, north, 2)
	mallory := testIdentity(t, "Mallory")
	rotation := func(signer, next *Identity, at time.Time) Rotation {
		sig, err := signer.Sign(domainRotation, rotationMessage(next.Public().Fingerprint(), at))
		if err != nil {
			t.Fatal(err)
		}
		return Rotation{Fingerprint: signer.public.Fingerprint(), At: at, keys: signer.keys().pub, signature: sig}
	}
	for _, tt := range []struct {
		name   string
		owner  *Identity
		change func(*PublicIdentity)
		want   string
	}{
		{"claims an ancestor without its signature", mallory, func(p *PublicIdentity) {
			r := rotation(mallory, mallory, then)
			r.keys = north.keys().pub
			p.chain = []Rotation{r}
		}, "rotation 1: signature does not hold"},
		{"reuses another's rotation", mallory, func(p *PublicIdentity) {
			p.chain = later.public.Rotations()[:1]
			p.chain[0].At = then
		}, "rotation 1: signature does not hold"},
		{"drops the middle", later, func(p *PublicIdentity) { p.chain = p.chain[:1] }, "rotation 1: signature does not hold"},
		{"swaps the order", later, func(p *PublicIdentity) {
			p.chain[0], p.chain[1] = p.chain[1], p.chain[0]
		}, "rotation 1 is later than what follows it"},
		{"is its own ancestor", mallory, func(p *PublicIdentity) {
			p.chain = []Rotation{rotation(mallory, mallory, then)}
		}, "rotation 1: the same keys stand elsewhere"},
		{"goes in a circle", mallory, func(p *PublicIdentity) {
			p.chain = []Rotation{rotation(north, north, then), rotation(north, mallory, then)}
		}, "rotation 2: the same keys stand elsewhere"},
		{"rotates after its successor was made", mallory, func(p *PublicIdentity) {
			p.chain = []Rotation{rotation(north, mallory, then.Add(time.Second))}
		}, "rotation 1 is later than what follows it"},
		{"has too long a history", mallory, func(p *PublicIdentity) {
			p.chain = make([]Rotation, MaxRotations+1)
			for i := range p.chain {
				p.chain[i] = rotation(north, mallory, then)
			}
		}, "17 rotations, want at most 16"},
		{"hides in its name", mallory, func(p *PublicIdentity) { p.name = "North\u202e" }, "U+202E"},
		{"forgets the oldest ancestor", later, func(p *PublicIdentity) { p.chain = p.chain[1:] }, ""},
		{"joins with consent", mallory, func(p *PublicIdentity) {
			p.chain = []Rotation{rotation(north, mallory, then)}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParsePublicIdentity(forge(t, tt.owner, tt.change))
			wantError(t, err, tt.want)
		})
	}
}

// smallOrder lists all encodings of the eight points of small order, canonical
// or not.
func smallOrder() map[string][]byte {
	hex := func(first byte, rest byte, last byte) []byte {
		b := bytes.Repeat([]byte{rest}, 32)
		b[0], b[31] = first, last
		return b
	}
	order8a := []byte{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}
	order8b := []byte{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}
	sign := func(b []byte) []byte { c := bytes.Clone(b); c[31] |= 0x80; return c }
	return map[string][]byte{
		"order 1":                    hex(1, 0, 0),
		"order 1, x negative":        hex(1, 0, 0x80),
		"order 1, y = p+1":           hex(0xee, 0xff, 0x7f),
		"order 1, y = p+1, negative": hex(0xee, 0xff, 0xff),
		"order 2":                    hex(0xec, 0xff, 0x7f),
		"order 2, x negative":        hex(0xec, 0xff, 0xff),
		"order 4":                    hex(0, 0, 0),
		"order 4, x negative":        hex(0, 0, 0x80),
		"order 4, y = p":             hex(0xed, 0xff, 0x7f),
		"order 4, y = p, negative":   hex(0xed, 0xff, 0xff),
		"order 8, first":             order8a,
		"order 8, first, negative":   sign(order8a),
		"order 8, second":            order8b,
		"order 8, second, negative":  sign(order8b),
	}
}

func TestWeakEd25519KeysAreRefused(t *testing.T) {
	ml := testIdentity(t, "North").public.keys.mlBytes
	for name, key := range smallOrder() {
		t.Run(name, func(t *testing.T) {
			if _, err := parsePublicKeys(key, ml); err == nil {
				t.Error("an identity may have this key")
			}
			if err := VerifyUser(key, "d", nil, make([]byte, ed25519.SignatureSize)); err == nil || err == ErrSignature {
				t.Errorf("a user may have this key: %v", err)
			}
		})
	}
}

// TestNonCanonicalEd25519KeysAreRefused: y in [p, 2^255) is a second spelling
// of a point, and would give one key two fingerprints.
func TestNonCanonicalEd25519KeysAreRefused(t *testing.T) {
	tried := 0
	for i := 2; i < 19; i++ {
		key := bytes.Repeat([]byte{0xff}, 32)
		key[0], key[31] = byte(0xed+i), 0x7f
		if _, err := new(edwards25519.Point).SetBytes(key); err != nil {
			continue // not on the curve
		}
		tried++
		wantError(t, checkEd25519(key), "not in canonical form")
	}
	if tried == 0 {
		t.Fatal("no such point was found")
	}
}

func TestDescendsFrom(t *testing.T) {
	first := testIdentity(t, "North")
	second := rotated(t, first, 1)
	r := testRand("forks")
	third, err := second.Rotate(r, then.AddDate(2, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	fork, err := second.Rotate(r, then.AddDate(2, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	stranger := testIdentity(t, "South")
	ids := map[string]*Identity{"first": first, "second": second, "third": third, "fork": fork, "stranger": stranger}
	for name, ancestors := range map[string][]string{
		"first": {"first"}, "second": {"first", "second"}, "third": {"first", "second", "third"},
		"fork": {"first", "second", "fork"}, "stranger": {"stranger"},
	} {
		for other, o := range ids {
			want := false
			for _, a := range ancestors {
				want = want || a == other
			}
			if ids[name].Public().DescendsFrom(o.Public().Fingerprint()) != want {
				t.Errorf("%s descends from %s: want %v", name, other, want)
			}
		}
	}
	if third.Public().DescendsFrom(Fingerprint{}) {
		t.Error("an identity descends from nothing")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	first := testIdentity(t, "North")
	id := rotated(t, first, MaxRotations+1)
	if n := len(id.Public().Rotations()); n != MaxRotations {
		t.Fatalf("chain has %d rotations, want %d", n, MaxRotations)
	}
	if id.Public().DescendsFrom(first.Public().Fingerprint()) {
		t.Error("the oldest is still there")
	}
	if _, err := ParsePublicIdentity(id.Public().Bytes()); err != nil {
		t.Error(err)
	}
}

func TestZeroPublicIdentity(t *testing.T) {
	var p PublicIdentity
	if p.Verify("d", nil, Signature{}) == nil || p.DescendsFrom(Fingerprint{}) || p.Fingerprint() != (Fingerprint{}) {
		t.Error("the zero value passes for an identity")
	}
	if _, err := json.Marshal(&p); err == nil {
		t.Error("the zero value has a document")
	}
	if p.Name() != "" || !p.Created().IsZero() || len(p.Bytes()) != 0 || p.Rotations() != nil || p.String() == "" {
		t.Error("the zero value holds something")
	}
}

func TestDocumentsAreNotShared(t *testing.T) {
	p := rotated(t, testIdentity(t, "North"), 1).Public()
	clear(p.Bytes())
	p.Rotations()[0] = Rotation{}
	if _, err := ParsePublicIdentity(p.Bytes()); err != nil || p.Rotations()[0].keys == nil {
		t.Error("a caller can change an identity")
	}
}

func BenchmarkParsePublicIdentity(b *testing.B) {
	for name, rotations := range map[string]int{"fresh": 0, "full": MaxRotations} {
		data := rotated(b, testIdentity(b, "North"), rotations).Public().Bytes()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ParsePublicIdentity(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
