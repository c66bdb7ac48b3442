package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

const documentVersion = 1

// MaxRotations bounds the history a document carries, 7 KB a step: yearly
// rotations for 16 years. Rotate drops the oldest beyond it.
const MaxRotations = 16

// MaxDocument bounds a document in bytes. With MaxRotations steps it has about
// 124,000; a TLS certificate message may have 262,144.
const MaxDocument = 160 << 10

// timeLayout is RFC 3339 in UTC with whole seconds.
const timeLayout = "2006-01-02T15:04:05Z"

// PublicIdentity is what others know of an identity: its document, checked. It
// is immutable, and only ParsePublicIdentity, Identity.Public and unmarshalling
// make one, so that whoever holds one holds valid keys, name and history. It
// says nothing about who its owner is: compare the Fingerprint.
//
// The document is JSON with the members version (1), name, created, ed25519,
// mldsa65 (public keys in base64), chain and signature. The signature is the
// identity's own over the canonical JSON (RFC 8785) of the document without
// it, in domain "symbolon/v1/identity". A chain lists the identities this one
// replaced, the oldest first: their keys, the time at, and their signature over
// the tuple (fingerprint of the next, at) in domain "symbolon/v1/rotation". The
// self-signature covers the chain, so nobody can claim to have become somebody
// else.
type PublicIdentity struct {
	name      string
	created   time.Time
	keys      *publicKeys
	chain     []Rotation
	signature Signature
	document  []byte
}

// Rotation is an identity that a later one replaced.
type Rotation struct {
	// Fingerprint is of the identity replaced, At the time it signed its
	// successor, by its owner's clock.
	Fingerprint Fingerprint
	At          time.Time

	keys      *publicKeys
	signature Signature
}

type publicJSON struct {
	Chain     []rotationJSON `json:"chain"`
	Created   string         `json:"created"`
	Ed25519   []byte         `json:"ed25519"`
	MLDSA65   []byte         `json:"mldsa65"`
	Name      string         `json:"name"`
	Signature *Signature     `json:"signature,omitempty"`
	Version   int            `json:"version"`
}

type rotationJSON struct {
	At        string    `json:"at"`
	Ed25519   []byte    `json:"ed25519"`
	MLDSA65   []byte    `json:"mldsa65"`
	Signature Signature `json:"signature"`
}

// ParsePublicIdentity reads a document and checks all of it: members, sizes,
// keys, name, times, and every signature. It accepts any spelling of the JSON;
// Bytes gives the canonical one. With a full history it verifies 17 signatures,
// a few milliseconds of CPU.
func ParsePublicIdentity(data []byte) (*PublicIdentity, error) {
	p, err := parsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("keys: identity document: %w", err)
	}
	return p, nil
}

func parsePublic(data []byte) (*PublicIdentity, error) {
	var j publicJSON
	if err := decodeStrict(data, MaxDocument, &j); err != nil {
		return nil, err
	}
	if j.Version != documentVersion {
		return nil, fmt.Errorf("version is %d, want %d", j.Version, documentVersion)
	}
	if err := checkName(j.Name); err != nil {
		return nil, err
	}
	if j.Signature == nil {
		return nil, errors.New("signature is missing")
	}
	p := &PublicIdentity{name: j.Name, signature: *j.Signature}
	var err error
	if p.created, err = parseTime(j.Created); err != nil {
		return nil, fmt.Errorf("created: %w", err)
	}
	if p.keys, err = parsePublicKeys(j.Ed25519, j.MLDSA65); err != nil {
		return nil, err
	}
	if p.chain, err = parseChain(j.Chain); err != nil {
		return nil, err
	}
	p.document = canonical(p.json(true))
	if !sameDocument(data, p.document) {
		return nil, errors.New("members are repeated, misspelt or not in canonical form")
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil || t.Format(timeLayout) != s || t.Year() < 1 {
		return time.Time{}, fmt.Errorf("want a time like %s", timeLayout)
	}
	return t, nil
}

func parseChain(list []rotationJSON) ([]Rotation, error) {
	if len(list) > MaxRotations {
		return nil, fmt.Errorf("chain has %d rotations, want at most %d", len(list), MaxRotations)
	}
	chain := make([]Rotation, len(list))
	for i, j := range list {
		at, err := parseTime(j.At)
		if err != nil {
			return nil, fmt.Errorf("rotation %d: at: %w", i+1, err)
		}
		k, err := parsePublicKeys(j.Ed25519, j.MLDSA65)
		if err != nil {
			return nil, fmt.Errorf("rotation %d: %w", i+1, err)
		}
		chain[i] = Rotation{Fingerprint: k.fingerprint, At: at, keys: k, signature: j.Signature}
	}
	return chain, nil
}

// check verifies what the members say about one another.
func (p *PublicIdentity) check() error {
	seen := map[Fingerprint]bool{p.keys.fingerprint: true}
	for i, r := range p.chain {
		if seen[r.Fingerprint] {
			return fmt.Errorf("rotation %d: the same keys stand elsewhere in the chain", i+1)
		}
		seen[r.Fingerprint] = true
		next, limit := p.keys, p.created
		if i+1 < len(p.chain) {
			next, limit = p.chain[i+1].keys, p.chain[i+1].At
		}
		if r.At.After(limit) {
			return fmt.Errorf("rotation %d is later than what follows it", i+1)
		}
		if r.keys.verify(domainRotation, rotationMessage(next.fingerprint, r.At), r.signature) != nil {
			return fmt.Errorf("rotation %d: signature does not hold", i+1)
		}
	}
	if p.keys.verify(domainDocument, canonical(p.json(false)), p.signature) != nil {
		return errors.New("signature does not hold")
	}
	return nil
}

func rotationMessage(next Fingerprint, at time.Time) []byte {
	return tuple(next[:], []byte(at.Format(timeLayout)))
}

// json returns the document, or what its signature covers.
func (p *PublicIdentity) json(signed bool) publicJSON {
	j := publicJSON{
		Version: documentVersion,
		Name:    p.name,
		Created: p.created.Format(timeLayout),
		Ed25519: p.keys.ed,
		MLDSA65: p.keys.mlBytes,
		Chain:   make([]rotationJSON, len(p.chain)),
	}
	for i, r := range p.chain {
		j.Chain[i] = rotationJSON{
			At: r.At.Format(timeLayout), Ed25519: r.keys.ed, MLDSA65: r.keys.mlBytes, Signature: r.signature,
		}
	}
	if signed {
		j.Signature = &p.signature
	}
	return j
}

// Bytes returns the document in canonical JSON. Equal identities have equal
// bytes.
func (p *PublicIdentity) Bytes() []byte { return slices.Clone(p.document) }

// MarshalJSON returns Bytes, so that a document can stand in a larger one.
func (p *PublicIdentity) MarshalJSON() ([]byte, error) {
	if p.keys == nil {
		return nil, errNoIdentity
	}
	return p.Bytes(), nil
}

// UnmarshalJSON is ParsePublicIdentity.
func (p *PublicIdentity) UnmarshalJSON(data []byte) error {
	parsed, err := ParsePublicIdentity(data)
	if err == nil {
		*p = *parsed
	}
	return err
}

var errNoIdentity = errors.New("keys: the zero value of PublicIdentity is no identity")

// Name returns the agency's name, as its owner gave it.
func (p *PublicIdentity) Name() string { return p.name }

// Created returns when the identity was made, by its owner's clock.
func (p *PublicIdentity) Created() time.Time { return p.created }

// Fingerprint returns the identity's name among names. That of the zero value
// is zero.
func (p *PublicIdentity) Fingerprint() Fingerprint {
	if p.keys == nil {
		return Fingerprint{}
	}
	return p.keys.fingerprint
}

// Rotations returns the identities that this one replaced, the oldest first.
// All their signatures hold.
func (p *PublicIdentity) Rotations() []Rotation { return slices.Clone(p.chain) }

// DescendsFrom reports whether f is this identity or one that it replaced,
// directly or through others.
func (p *PublicIdentity) DescendsFrom(f Fingerprint) bool {
	return p.keys != nil && (f == p.keys.fingerprint ||
		slices.ContainsFunc(p.chain, func(r Rotation) bool { return r.Fingerprint == f }))
}

// Verify returns nil when both halves of s are this identity's signatures of
// msg in the domain, and ErrSignature otherwise. The domain is not empty.
func (p *PublicIdentity) Verify(domain string, msg []byte, s Signature) error {
	if p.keys == nil {
		return errNoIdentity
	}
	return p.keys.verify(domain, msg, s)
}

// String returns name and fingerprint.
func (p *PublicIdentity) String() string {
	return fmt.Sprintf("%q (%s)", p.name, p.Fingerprint())
}
