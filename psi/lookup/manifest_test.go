package lookup

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func testParams() Params {
	return Params{Agreement: [32]byte{1, 2}, Epoch: 3, MaxKeys: 64, FalsePositiveLog2: 40, LabelBytes: 100, Slots: 2}
}

// blobOf describes bytes.
func blobOf(b []byte) Blob {
	var hashes []byte
	for rest := b; len(rest) > 0; rest = rest[min(len(rest), ChunkSize):] {
		h := sha256.Sum256(rest[:min(len(rest), ChunkSize)])
		hashes = append(hashes, h[:]...)
	}
	return Blob{int64(len(b)), base64.StdEncoding.EncodeToString(hashes)}
}

func testManifest(p Params) *Manifest {
	h := header{params: p, serial: 3, bits: p.fingerprintBits(128), keys: 128}
	m := &Manifest{
		Version: ManifestVersion, Agreement: strings.Repeat("ab", 32), Epoch: p.Epoch, Serial: h.serial,
		Created: testTime, ValidUntil: testTime.Add(33 * 24 * time.Hour), Suite: Suite,
		PublicKey: strings.Repeat("cd", 32), RuleSet: strings.Repeat("ef", 32), Normalisation: "1",
		MaxKeys: p.MaxKeys, FalsePositiveLog2: p.FalsePositiveLog2, FingerprintBits: h.bits, Keys: h.keys,
		Deltas:   []DeltaBlob{{1, blobOf(make([]byte, 500))}, {2, blobOf(make([]byte, ChunkSize+1))}},
		Previous: strings.Repeat("01", 32),
	}
	if p.Labelled() {
		h.rows = 64
		m.Labels = &ManifestLabels{p.LabelBytes, p.Slots, h.rows}
	}
	m.Filter = blobOf(make([]byte, h.fileLen()))
	return m
}

func TestManifest(t *testing.T) {
	for _, p := range []Params{testParams(), {Epoch: 1, MaxKeys: 8, FalsePositiveLog2: 20}} {
		m := testManifest(p)
		b, err := m.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseManifest(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := got.Bytes()
		if err != nil || !bytes.Equal(again, b) || got.Hash() != sha256.Sum256(b) {
			t.Errorf("parsed and encoded again it differs: %v", err)
		}
		if rate := m.FalsePositive(); rate > -float64(p.FalsePositiveLog2) || math.Abs(rate-math.Log2(float64(128*p.MaxKeys))+float64(m.FingerprintBits)) > 1e-9 {
			t.Errorf("false positives of 2^%v", rate)
		}
	}
}

func TestManifestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		change     func(m *Manifest)
	}{
		{"version", "version 2", func(m *Manifest) { m.Version = 2 }},
		{"serial 0", "serial 0", func(m *Manifest) { m.Serial = 0 }},
		{"serial too large", "serial", func(m *Manifest) { m.Serial = 1 << 53 }},
		{"suite", "suite", func(m *Manifest) { m.Suite = "P256-SHA256" }},
		{"agreement", "agreement", func(m *Manifest) { m.Agreement = strings.Repeat("AB", 32) }},
		{"no agreement", "agreement", func(m *Manifest) { m.Agreement = strings.Repeat("00", 32) }},
		{"public key", "public key", func(m *Manifest) { m.PublicKey = "cd" }},
		{"rule set", "rule set", func(m *Manifest) { m.RuleSet = "" }},
		{"normalisation", "normalisation", func(m *Manifest) { m.Normalisation = "" }},
		{"time", "whole seconds", func(m *Manifest) { m.Created = m.Created.Add(1) }},
		{"zone", "whole seconds", func(m *Manifest) { m.Created = m.Created.In(time.FixedZone("x", 3600)) }},
		{"never valid", "any time", func(m *Manifest) { m.ValidUntil = m.Created }},
		{"first with previous", "previous", func(m *Manifest) { m.Serial, m.Deltas = 1, nil }},
		{"later without", "previous", func(m *Manifest) { m.Previous = "" }},
		{"epoch", "epoch is 0", func(m *Manifest) { m.Epoch = 0 }},
		{"keys a record", "keys a record", func(m *Manifest) { m.MaxKeys = 0 }},
		{"no keys", "0 keys", func(m *Manifest) { m.Keys = 0 }},
		{"too many keys", "keys are outside", func(m *Manifest) { m.Keys = MaxTableKeys + 1 }},
		{"false positives", "miss the stated", func(m *Manifest) { m.FingerprintBits = 52 }},
		{"fingerprints", "fingerprints of", func(m *Manifest) { m.FingerprintBits = 129 }},
		{"labels", "slots", func(m *Manifest) { m.Labels = &ManifestLabels{} }},
		{"no rows", "rows", func(m *Manifest) { m.Labels.Rows = 0 }},
		{"filter size", "filter has", func(m *Manifest) { m.Filter.Bytes++ }},
		{"hashes", "base64", func(m *Manifest) { m.Filter.Hashes = "?" }},
		{"too few hashes", "bytes of hashes", func(m *Manifest) { m.Filter.Hashes = "" }},
		{"gap in deltas", "delta 1 is from", func(m *Manifest) { m.Deltas[1].From = 3 }},
		{"too many deltas", "deltas", func(m *Manifest) { m.Deltas = append(m.Deltas, m.Deltas...) }},
		{"empty delta", "delta from serial 1", func(m *Manifest) { m.Deltas[0].Blob = Blob{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := testManifest(testParams())
			if err := m.Validate(); err != nil {
				t.Fatal(err)
			}
			tt.change(m)
			if err := m.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got error %v, want one with %q", err, tt.says)
			}
			if b, err := m.encode(); err == nil {
				if _, err := ParseManifest(b); err == nil {
					t.Error("it parses")
				}
			}
		})
	}
}

func TestManifestSpelling(t *testing.T) {
	b, err := testManifest(testParams()).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"space":           " " + string(b),
		"trailing":        string(b) + "{}",
		"repeated member": strings.Replace(string(b), `"epoch":3`, `"epoch":4,"epoch":3`, 1),
		"unknown member":  strings.Replace(string(b), `"epoch":3`, `"epoch":3,"epocha":3`, 1),
		"case":            strings.Replace(string(b), `"epoch":3`, `"Epoch":3`, 1),
		"number":          strings.Replace(string(b), `"epoch":3`, `"epoch":3.0`, 1),
		"zone":            strings.Replace(string(b), `03:02:01Z`, `03:02:01+00:00`, 1),
		"line break":      strings.Replace(string(b), `"hashes":"`, `"hashes":"\n`, 1),
		"empty":           "",
		"too long":        strings.Repeat(" ", MaxManifest) + string(b),
	} {
		if bad == string(b) {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := ParseManifest([]byte(bad)); err == nil {
			t.Errorf("%s: it parses", name)
		}
	}
}

func TestManifestFits(t *testing.T) {
	p := testParams()
	m := testManifest(p)
	p = m.params()
	if err := m.Fits(p); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Params){
		"agreement": func(p *Params) { p.Agreement[0]++ },
		"epoch":     func(p *Params) { p.Epoch++ },
		"keys":      func(p *Params) { p.MaxKeys++ },
		"rate":      func(p *Params) { p.FalsePositiveLog2++ },
		"labels":    func(p *Params) { p.LabelBytes, p.Slots = 0, 0 },
	} {
		q := p
		change(&q)
		if err := m.Fits(q); !errors.Is(err, ErrPeer) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func TestManifestValidAt(t *testing.T) {
	m := testManifest(testParams())
	for _, tt := range []struct {
		at    time.Time
		valid bool
	}{
		{m.Created, true}, {m.Created.Add(-time.Minute), true}, {m.Created.Add(-time.Minute - 1), false},
		{m.ValidUntil, true}, {m.ValidUntil.Add(time.Minute), false},
	} {
		if err := m.ValidAt(tt.at, time.Minute); (err == nil) != tt.valid || err != nil && !errors.Is(err, ErrStale) {
			t.Errorf("at %s: %v", tt.at, err)
		}
	}
}

func TestSigned(t *testing.T) {
	s := Signed{[]byte("manifest"), []byte("signature")}
	b := s.Marshal()
	got, err := ParseSigned(b)
	if err != nil || !bytes.Equal(got.Manifest, s.Manifest) || !bytes.Equal(got.Signature, s.Signature) {
		t.Fatalf("got %q, %v", got, err)
	}
	for i := range b {
		if _, err := ParseSigned(b[:i]); err == nil {
			t.Fatalf("%d of %d bytes are taken", i, len(b))
		}
	}
	if _, err := ParseSigned(append(b, 0)); err == nil {
		t.Error("a byte too many is taken")
	}
	long := Signed{nil, make([]byte, MaxSignature+1)}
	if _, err := ParseSigned(long.Marshal()); err == nil {
		t.Error("a long signature is taken")
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, p := range []Params{testParams(), {Epoch: 1, MaxKeys: 8, FalsePositiveLog2: 20}} {
		b, err := testManifest(p).Bytes()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		if again, err := m.Bytes(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted, but encodes otherwise: %v", err)
		}
	})
}

func FuzzParseSigned(f *testing.F) {
	f.Add(Signed{[]byte("manifest"), []byte("signature")}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSigned(b); err == nil && !bytes.Equal(s.Marshal(), b) {
			t.Fatal("accepted, but encodes otherwise")
		}
	})
}
