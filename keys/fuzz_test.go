package keys

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
)

// seeds returns the documents of the vector, and some that are near to it. A
// seed that is not found fails the target.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	v := readVector(f)
	var indented bytes.Buffer
	if err := json.Indent(&indented, v.Successor, "", "\t"); err != nil {
		f.Fatal(err)
	}
	p, err := ParsePublicIdentity(indented.Bytes())
	if err != nil {
		f.Fatal(err)
	}
	return [][]byte{
		p.Bytes(), v.Document, indented.Bytes(),
		[]byte(strings.Replace(string(p.Bytes()), `"chain":[`, `"chain":[null,`, 1)),
		[]byte(`{"version":1,"name":"x","created":"2026-03-01T12:00:00Z","chain":[],"signature":{}}`),
	}
}

func FuzzParsePublicIdentity(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePublicIdentity(data)
		if err != nil {
			if p != nil {
				t.Error("an error comes with an identity")
			}
			return
		}
		again, err := ParsePublicIdentity(p.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), p.Bytes()) || again.Fingerprint() != p.Fingerprint() {
			t.Errorf("an accepted document reads back otherwise: %v", err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, data); err != nil || len(p.Bytes()) > compact.Len() {
			t.Errorf("an accepted document grew from %d to %d bytes: %v", compact.Len(), len(p.Bytes()), err)
		}
	})
}

// FuzzBinding parses the certificate extension of a stranger.
func FuzzBinding(f *testing.F) {
	id := testIdentity(f, "North")
	cert, err := x509.ParseCertificate(id.keys().cert.Certificate[0])
	if err != nil {
		f.Fatal(err)
	}
	found := false
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(bindingOID) {
			f.Add(ext.Value)
			found = true
		}
	}
	if !found {
		f.Fatal("no seed: the certificate has no binding")
	}
	f.Add([]byte{0x30, 0x04, 0x04, 0x00, 0x04, 0x00})
	want := id.Public().Fingerprint()
	f.Fuzz(func(t *testing.T, der []byte) {
		if p, err := parseBinding(der, cert.RawSubjectPublicKeyInfo); err == nil && p.Fingerprint() != want {
			t.Errorf("the TLS key of %s is bound to %s", want, p)
		}
	})
}

// FuzzKeyFiles reads what a damaged or foreign sealed file may hold.
func FuzzKeyFiles(f *testing.F) {
	id := testIdentity(f, "North")
	f.Add(id.marshal().Expose())
	f.Add([]byte(`{"kind":"symbolon user","name":"anna","seed":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := unmarshalIdentity(phrase(string(data))); err == nil {
			if again, err := unmarshalIdentity(got.marshal()); err != nil || !again.seed.Equal(got.seed) {
				t.Errorf("an identity reads back otherwise: %v", err)
			}
		}
		if got, err := unmarshalUser(phrase(string(data))); err == nil && CheckUserName(got.Name()) != nil {
			t.Errorf("a user is named %q", got.Name())
		}
	})
}
