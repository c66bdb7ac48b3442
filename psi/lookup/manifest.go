package lookup

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gowebpki/jcs"

	"github.com/symbolon/symbolon/psi"
)

// Suite names the VOPRF (RFC 9497, Section 4.1).
const Suite = "ristretto255-SHA512"

// ManifestVersion is the version of the manifest's and the files' formats.
const ManifestVersion = 1

const (
	// ChunkSize is the length in bytes of the pieces that a manifest's hashes
	// cover, the last of a file excepted. A piece fits in one frame.
	ChunkSize = 960 << 10
	// MaxManifest bounds a manifest in bytes, so that it fits in one frame.
	MaxManifest = psi.MaxPayload - MaxSignature - 64
	// MaxSignature bounds what signs a manifest, in bytes.
	MaxSignature = 16 << 10
	// maxBlob bounds a file in bytes, so that its hashes fit in a manifest.
	maxBlob int64 = MaxManifest / 43 * ChunkSize
	// maxDeltas bounds the deltas of a manifest.
	maxDeltas = 64
	// maxSerial is the largest whole number that every JSON reader keeps.
	maxSerial = 1<<53 - 1
)

// ErrStale says that a manifest is not valid at the time it is looked at.
var ErrStale = errors.New("manifest is not valid now")

// Manifest describes one serial of a filter. Its canonical JSON (RFC 8785) is
// what the owner signs; through the hashes it fixes every byte of the filter and
// of the deltas that lead to it.
type Manifest struct {
	Version   int    `json:"version"`
	Agreement string `json:"agreement"` // id, lower-case hexadecimal
	Epoch     uint32 `json:"epoch"`
	// Serial counts the versions of the epoch's filter from 1.
	Serial     uint64    `json:"serial"`
	Created    time.Time `json:"created"` // whole seconds, UTC
	ValidUntil time.Time `json:"valid_until"`
	Suite      string    `json:"suite"`
	// PublicKey is the VOPRF key against which evaluations are proved, RuleSet
	// the hash of the rule set; both in lower-case hexadecimal, 32 bytes.
	PublicKey     string `json:"public_key"`
	RuleSet       string `json:"rule_set"`
	Normalisation string `json:"normalisation"`
	// MaxKeys, FingerprintBits and Keys give the rate of false positives, which
	// is 2^-FalsePositiveLog2 at most: see FalsePositive.
	MaxKeys           int `json:"max_keys"`
	FalsePositiveLog2 int `json:"false_positive_log2"`
	FingerprintBits   int `json:"fingerprint_bits"`
	// Keys is the number of slots in the table, real keys and dummies.
	Keys   int             `json:"keys"`
	Labels *ManifestLabels `json:"labels,omitempty"`
	Filter Blob            `json:"filter"`
	// Deltas lead from earlier serials to this one, one serial each.
	Deltas []DeltaBlob `json:"deltas,omitempty"`
	// Previous is the hash of the manifest before, in lower-case hexadecimal;
	// empty for serial 1.
	Previous string `json:"previous,omitempty"`
}

// ManifestLabels describes the labels of a filter.
type ManifestLabels struct {
	Bytes int `json:"bytes"`
	Slots int `json:"slots"`
	// Rows is the number of rows, real records and dummies.
	Rows int `json:"rows"`
}

// Blob describes a file.
type Blob struct {
	Bytes int64 `json:"bytes"`
	// Hashes are the SHA-256 of its pieces of ChunkSize bytes, one after the
	// other, in base64.
	Hashes string `json:"hashes"`
}

// DeltaBlob describes the delta from a serial to the next.
type DeltaBlob struct {
	From uint64 `json:"from"`
	Blob
}

// chunks returns the number of pieces.
func (b *Blob) chunks() int { return int((b.Bytes + ChunkSize - 1) / ChunkSize) }

// chunkLen returns the length of a piece in bytes.
func (b *Blob) chunkLen(i int) int { return int(min(ChunkSize, b.Bytes-int64(i)*ChunkSize)) }

// decoded returns the hashes of the pieces of a valid blob, 32 bytes each.
func (b *Blob) decoded() []byte {
	all, err := base64.StdEncoding.DecodeString(b.Hashes)
	if err != nil {
		panic("lookup: blob was not validated")
	}
	return all
}

func (b *Blob) validate() error {
	if b.Bytes < 1 || b.Bytes > maxBlob {
		return fmt.Errorf("%d bytes are outside [1, %d]", b.Bytes, maxBlob)
	}
	// Encoding again catches line breaks, which decoding lets pass.
	hashes, err := base64.StdEncoding.DecodeString(b.Hashes)
	if err != nil || base64.StdEncoding.EncodeToString(hashes) != b.Hashes {
		return errors.New("hashes are not base64")
	}
	if len(hashes) != 32*b.chunks() {
		return fmt.Errorf("%d bytes of hashes, want %d", len(hashes), 32*b.chunks())
	}
	return nil
}

// Bytes returns the canonical JSON of a valid manifest: what is signed.
func (m *Manifest) Bytes() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m.encode()
}

func (m *Manifest) encode() ([]byte, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	b, err := jcs.Transform(raw)
	if err == nil && len(b) > MaxManifest {
		err = fmt.Errorf("lookup: manifest has %d bytes, want at most %d", len(b), MaxManifest)
	}
	return b, err
}

// ParseManifest reads a manifest, which must be valid and in canonical form.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("lookup: manifest has %d bytes, want at most %d", len(b), MaxManifest)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	m := new(Manifest)
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("lookup: manifest: %w", err)
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	// What encoding/json lets pass, repeated members or other spellings, shows
	// here.
	if want, err := m.encode(); err != nil || !bytes.Equal(want, b) {
		return nil, errors.New("lookup: manifest is not in canonical form")
	}
	return m, nil
}

// Validate reports the first member that can't be.
func (m *Manifest) Validate() error {
	if err := m.validate(); err != nil {
		return fmt.Errorf("lookup: manifest: %w", err)
	}
	return nil
}

func (m *Manifest) validate() error {
	switch {
	case m.Version != ManifestVersion:
		return fmt.Errorf("version %d is unknown, want %d", m.Version, ManifestVersion)
	case m.Serial < 1 || m.Serial > maxSerial:
		return fmt.Errorf("serial %d is outside [1, %d]", m.Serial, uint64(maxSerial))
	case m.Suite != Suite:
		return fmt.Errorf("suite %q is unknown, want %q", m.Suite, Suite)
	case !isHash(m.Agreement):
		return errors.New("agreement is not an id")
	case !isHash(m.PublicKey):
		return errors.New("public key has not 32 bytes")
	case !isHash(m.RuleSet):
		return errors.New("rule set is not a hash")
	case m.Normalisation == "" || len(m.Normalisation) > 64:
		return fmt.Errorf("normalisation has %d bytes, want 1 to 64", len(m.Normalisation))
	case !wholeSeconds(m.Created) || !wholeSeconds(m.ValidUntil):
		return errors.New("a time is not in whole seconds of UTC")
	case !m.Created.Before(m.ValidUntil):
		return errors.New("it is not valid for any time")
	case (m.Serial == 1) != (m.Previous == ""):
		return errors.New("serial 1 has no previous manifest, others have one")
	case m.Previous != "" && !isHash(m.Previous):
		return errors.New("previous is not a hash")
	}
	p := m.params()
	if err := p.Validate(); err != nil {
		return err
	}
	return m.validateSizes(&p)
}

// validateSizes checks what follows from the parameters.
func (m *Manifest) validateSizes(p *Params) error {
	rows := 0
	if m.Labels != nil {
		if rows = m.Labels.Rows; m.Labels.Slots < 1 || rows < 1 || rows > MaxTableKeys {
			return fmt.Errorf("%d slots for %d rows of labels can't be", m.Labels.Slots, rows)
		}
	}
	switch {
	case m.Keys < 1 || m.Keys > MaxTableKeys:
		return fmt.Errorf("%d keys are outside [1, %d]", m.Keys, MaxTableKeys)
	case m.FingerprintBits < 1 || m.FingerprintBits > maxFingerprintBits:
		return fmt.Errorf("fingerprints of %d bits are outside [1, %d]", m.FingerprintBits, maxFingerprintBits)
	case !p.fits(m.Keys, m.FingerprintBits):
		return fmt.Errorf("false positives of 2^%.1f miss the stated 2^-%d", m.FalsePositive(), m.FalsePositiveLog2)
	}
	h := header{params: *p, serial: m.Serial, bits: m.FingerprintBits, keys: m.Keys, rows: rows}
	if m.Filter.Bytes != h.fileLen() {
		return fmt.Errorf("filter has %d bytes, want %d", m.Filter.Bytes, h.fileLen())
	}
	if err := m.Filter.validate(); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if len(m.Deltas) > maxDeltas || uint64(len(m.Deltas)) >= m.Serial {
		return fmt.Errorf("%d deltas are more than %d, or than there are serials before %d", len(m.Deltas), maxDeltas, m.Serial)
	}
	for i := range m.Deltas {
		d := &m.Deltas[i]
		if want := m.Serial - uint64(len(m.Deltas)-i); d.From != want {
			return fmt.Errorf("delta %d is from serial %d, want %d", i, d.From, want)
		}
		if err := d.validate(); err != nil {
			return fmt.Errorf("delta from serial %d: %w", d.From, err)
		}
	}
	return nil
}

func wholeSeconds(t time.Time) bool {
	return t.Nanosecond() == 0 && t.Location() == time.UTC && t.Year() > 0 && t.Year() < 10000
}

// isHash reports whether s is 32 bytes in lower-case hexadecimal.
func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

// Hash returns the SHA-256 of the canonical JSON of a valid manifest.
func (m *Manifest) Hash() [32]byte {
	b, err := m.encode()
	if err != nil {
		panic("lookup: manifest cannot be encoded: " + err.Error())
	}
	return sha256.Sum256(b)
}

// params returns the parameters that the manifest states.
func (m *Manifest) params() Params {
	p := Params{Epoch: m.Epoch, MaxKeys: m.MaxKeys, FalsePositiveLog2: m.FalsePositiveLog2}
	if id, err := hex.DecodeString(m.Agreement); err == nil {
		copy(p.Agreement[:], id)
	}
	if m.Labels != nil {
		p.LabelBytes, p.Slots = m.Labels.Bytes, m.Labels.Slots
	}
	return p
}

// Fits reports how the manifest departs from the parameters that the agreement
// gives.
func (m *Manifest) Fits(p Params) error {
	got := m.params()
	switch {
	case got.Agreement != p.Agreement:
		return fmt.Errorf("%w: lookup: manifest is of another agreement", ErrPeer)
	case got.Epoch != p.Epoch:
		return fmt.Errorf("%w: lookup: manifest is of epoch %d, want %d", ErrPeer, got.Epoch, p.Epoch)
	case got != p:
		return fmt.Errorf("%w: lookup: manifest states %d keys a record, 2^-%d false positives and labels of %d bytes in %d slots, want %d, 2^-%d, %d and %d",
			ErrPeer, got.MaxKeys, got.FalsePositiveLog2, got.LabelBytes, got.Slots, p.MaxKeys, p.FalsePositiveLog2, p.LabelBytes, p.Slots)
	}
	return nil
}

// FalsePositive returns log2 of the probability that a query of MaxKeys keys
// hits by chance, computed from the size of the table: at most
// -FalsePositiveLog2.
func (m *Manifest) FalsePositive() float64 {
	return math.Log2(float64(m.Keys)*float64(m.MaxKeys)) - float64(m.FingerprintBits)
}

// ValidAt returns an error that wraps ErrStale unless the manifest is valid at t,
// for clocks that differ by at most tolerance.
func (m *Manifest) ValidAt(t time.Time, tolerance time.Duration) error {
	if t.Before(m.Created.Add(-tolerance)) {
		return fmt.Errorf("%w: it is dated %s", ErrStale, m.Created.Format(time.RFC3339))
	}
	if !t.Before(m.ValidUntil.Add(tolerance)) {
		return fmt.Errorf("%w: it expired on %s", ErrStale, m.ValidUntil.Format(time.RFC3339))
	}
	return nil
}

// Signed is a manifest as it is kept and sent: its bytes and what signs them,
// which this package doesn't look into.
type Signed struct{ Manifest, Signature []byte }

// Marshal returns both, each behind its length.
func (s Signed) Marshal() []byte {
	b := make([]byte, 0, 16+len(s.Manifest)+len(s.Signature))
	return psi.AppendPart(psi.AppendPart(b, s.Manifest), s.Signature)
}

// ParseSigned reads what Marshal wrote. It doesn't look into the manifest.
func ParseSigned(b []byte) (Signed, error) {
	var parts [2][]byte
	for i, limit := range []int{MaxManifest, MaxSignature} {
		if len(b) < 8 {
			return Signed{}, fmt.Errorf("lookup: signed manifest ends after %d bytes of a length", len(b))
		}
		n := binary.BigEndian.Uint64(b)
		if b = b[8:]; n > uint64(limit) || n > uint64(len(b)) {
			return Signed{}, fmt.Errorf("lookup: signed manifest has a part of %d bytes, of which %d are there and %d may be", n, len(b), limit)
		}
		parts[i], b = b[:n], b[n:]
	}
	if len(b) != 0 {
		return Signed{}, fmt.Errorf("lookup: %d bytes follow a signed manifest", len(b))
	}
	return Signed{parts[0], parts[1]}, nil
}
