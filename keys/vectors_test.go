package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/gowebpki/jcs"
)

var update = flag.Bool("update", false, "rewrite testdata")

// vector is one identity from its seed to what it signs, byte strings in
// hexadecimal.
type vector struct {
	Description string          `json:"description"`
	Seed        string          `json:"seed"`
	Name        string          `json:"name"`
	Created     time.Time       `json:"created"`
	Ed25519Seed string          `json:"ed25519_seed"`
	MLDSA65Seed string          `json:"mldsa65_seed"`
	TLSSeed     string          `json:"tls_ed25519_seed"`
	Fingerprint string          `json:"fingerprint"`
	Phone       string          `json:"phone"`
	NoteName    string          `json:"note_name"`
	NoteKeyHash uint32          `json:"note_key_hash"`
	DeriveLabel string          `json:"derive_label"`
	Derived     string          `json:"derived"`
	Domain      string          `json:"domain"`
	Message     string          `json:"message"`
	Signed      string          `json:"signed"`
	Signature   string          `json:"signature"`
	Document    json.RawMessage `json:"document"`
	// Certificate is the TLS certificate in DER, in base64.
	Certificate []byte `json:"certificate"`
	// Successor is the document after one rotation to SuccessorSeed.
	SuccessorSeed string          `json:"successor_seed"`
	Rotated       time.Time       `json:"rotated"`
	Successor     json.RawMessage `json:"successor"`
}

const vectorFile = "testdata/identity-v1.json"

func makeVector(t *testing.T) vector {
	t.Helper()
	seed, next := bytes.Repeat([]byte{1}, SeedSize), bytes.Repeat([]byte{2}, SeedSize)
	id, err := NewIdentity(bytes.NewReader(seed), `R&D "Nørd" <1>`, then)
	if err != nil {
		t.Fatal(err)
	}
	successor, err := id.Rotate(bytes.NewReader(next), then.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	const domain, msg, label = "symbolon/v1/example", "a message", "store"
	sig, err := id.Sign(domain, []byte(msg))
	if err != nil {
		t.Fatal(err)
	}
	f := id.Public().Fingerprint()
	return vector{
		Description: "an identity, what it derives and signs, and its successor; byte strings in hexadecimal, documents in canonical JSON",
		Seed:        hex.EncodeToString(seed), Name: id.Public().Name(), Created: then,
		Ed25519Seed: hex.EncodeToString(derive(id.seed, domainKey, "ed25519")),
		MLDSA65Seed: hex.EncodeToString(derive(id.seed, domainKey, "mldsa65")),
		TLSSeed:     hex.EncodeToString(derive(id.seed, domainKey, "tls-ed25519")),
		Fingerprint: f.String(), Phone: f.Phone(), NoteName: NoteName(f),
		NoteKeyHash: id.Public().NoteVerifier().KeyHash(),
		DeriveLabel: label, Derived: hex.EncodeToString(id.Derive(label).Expose()),
		Domain: domain, Message: hex.EncodeToString([]byte(msg)),
		Signed: hex.EncodeToString(message(domain, f, []byte(msg))), Signature: hex.EncodeToString(sig.Bytes()),
		Document: id.Public().Bytes(), Certificate: id.keys().cert.Certificate[0],
		SuccessorSeed: hex.EncodeToString(next), Rotated: then.AddDate(1, 0, 0), Successor: successor.Public().Bytes(),
	}
}

func readVector(t testing.TB) vector {
	t.Helper()
	data, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVectorIsWhatWeMake(t *testing.T) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(makeVector(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorFile, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(vectorFile)
	if err != nil || !bytes.Equal(data, buf.Bytes()) {
		t.Errorf("%s differs from what the code makes (-update rewrites it): %v", vectorFile, err)
	}
}

// TestVectorAsStranger checks the vector with the bare algorithms, as another
// implementation would.
func TestVectorAsStranger(t *testing.T) {
	v := readVector(t)
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var doc struct {
		Ed25519, MLDSA65 []byte
		Signature        Signature
	}
	if err := json.Unmarshal(v.Document, &doc); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ed25519.NewKeyFromSeed(unhex(v.Ed25519Seed)).Public().(ed25519.PublicKey), doc.Ed25519) {
		t.Error("the Ed25519 key is not of its seed")
	}
	pk, _ := mldsa65.NewKeyFromSeed((*[32]byte)(unhex(v.MLDSA65Seed)))
	if !bytes.Equal(pk.Bytes(), doc.MLDSA65) {
		t.Error("the ML-DSA-65 key is not of its seed")
	}
	fp := unhex(v.Fingerprint)
	layout := func(domain string, msg []byte) (signed []byte) {
		for _, part := range [][]byte{[]byte("symbolon/v1/signature"), []byte(domain), fp, msg} {
			signed = append(signed, 0, 0, 0, 0, 0, 0, byte(len(part)>>8), byte(len(part)))
			signed = append(signed, part...)
		}
		return signed
	}
	if !bytes.Equal(layout(v.Domain, unhex(v.Message)), unhex(v.Signed)) {
		t.Error("what is signed is laid out otherwise")
	}
	holds := func(what, domain string, msg, ed, ml []byte) {
		m := layout(domain, msg)
		if !ed25519.Verify(doc.Ed25519, m, ed) || !mldsa65.Verify(pk, m, nil, ml) {
			t.Errorf("the signature of the %s does not hold", what)
		}
	}
	sig := unhex(v.Signature)
	holds("message", v.Domain, unhex(v.Message), sig[:64], sig[64:])

	var members map[string]json.RawMessage
	if err := json.Unmarshal(v.Document, &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "signature")
	part, err := json.Marshal(members)
	if err == nil {
		part, err = jcs.Transform(part)
	}
	if err != nil {
		t.Fatal(err)
	}
	holds("document", "symbolon/v1/identity", part, doc.Signature.Ed25519, doc.Signature.MLDSA65)

	var next struct {
		Ed25519, MLDSA65 []byte
		Chain            []struct {
			At        string
			Signature Signature
		}
	}
	if err := json.Unmarshal(v.Successor, &next); err != nil {
		t.Fatal(err)
	}
	to := fingerprint(next.Ed25519, next.MLDSA65)
	r := next.Chain[0]
	msg := append([]byte{0, 0, 0, 0, 0, 0, 0, 32}, to[:]...)
	msg = append(append(msg, 0, 0, 0, 0, 0, 0, 0, 20), r.At...)
	holds("rotation", "symbolon/v1/rotation", msg, r.Signature.Ed25519, r.Signature.MLDSA65)

	cert, err := x509.ParseCertificate(v.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for _, ext := range cert.Extensions {
		if ext.Id.String() != "2.25.933518719" {
			continue
		}
		var b struct{ Document, Signature []byte }
		if _, err := asn1.Unmarshal(ext.Value, &b); err != nil {
			t.Fatal(err)
		}
		holds("TLS key", "symbolon/v1/tls", cert.RawSubjectPublicKeyInfo, b.Signature[:64], b.Signature[64:])
		return
	}
	t.Error("the certificate has no binding")
}

func TestVectorParses(t *testing.T) {
	v := readVector(t)
	p, err := ParsePublicIdentity(v.Document)
	if err != nil {
		t.Fatal(err)
	}
	f := p.Fingerprint()
	if f.String() != v.Fingerprint || f.Phone() != v.Phone || p.Name() != v.Name || !p.Created().Equal(v.Created) {
		t.Errorf("got %s", p)
	}
	q, err := ParsePublicIdentity(v.Successor)
	if err != nil {
		t.Fatal(err)
	}
	if r := q.Rotations(); len(r) != 1 || r[0].Fingerprint != f || !r[0].At.Equal(v.Rotated) || !q.DescendsFrom(f) {
		t.Error("the successor has another history")
	}
}
