package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/symbolon/symbolon/keys"
)

const domainAgreement = "symbolon/v1/agreement"

// SignedAgreement is an agreement with the signatures it has so far: none in a
// draft, one while it waits to be countersigned, two when it is complete.
type SignedAgreement struct {
	Agreement  *Agreement
	Signatures []AgreementSignature
}

// AgreementSignature is one party's signature over the id. The signer's public
// identity travels along, so that a file can be checked years later by somebody
// who pinned nobody: its fingerprint is what the agreement names.
type AgreementSignature struct {
	Party     string               `json:"party"` // identity as in the agreement
	Signer    *keys.PublicIdentity `json:"signer"`
	Signature keys.Signature       `json:"signature"`
}

type signedFile struct {
	Agreement  json.RawMessage      `json:"agreement"`
	Signatures []AgreementSignature `json:"signatures"`
}

// ErrUnsigned is returned for an agreement that lacks a signature.
var ErrUnsigned = errors.New("agreement: not signed by both parties")

// ParseSignedAgreement reads an agreement file and verifies every signature in
// it; it may be unsigned or half-signed.
func ParseSignedAgreement(raw []byte) (*SignedAgreement, error) {
	if len(raw) > MaxAgreementSize {
		return nil, fmt.Errorf("agreement: file has %d bytes, at most %d allowed", len(raw), MaxAgreementSize)
	}
	var f signedFile
	if err := strictJSON(raw, &f); err != nil {
		return nil, fmt.Errorf("agreement file: %w", err)
	}
	if len(f.Agreement) == 0 {
		return nil, errors.New("agreement file: field \"agreement\" is missing")
	}
	a, err := parseAgreement(f.Agreement)
	if err != nil {
		return nil, err
	}
	s := &SignedAgreement{Agreement: a}
	for _, sig := range f.Signatures {
		if err := s.add(sig); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ReadAgreementFile reads and parses the file at path.
func ReadAgreementFile(path string) (*SignedAgreement, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > MaxAgreementSize {
		return nil, fmt.Errorf("reading agreement %q: %d bytes, at most %d allowed", path, st.Size(), MaxAgreementSize)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := ParseSignedAgreement(raw)
	if err != nil {
		return nil, fmt.Errorf("reading agreement %q: %w", path, err)
	}
	return s, nil
}

// add verifies a signature and keeps it.
func (s *SignedAgreement) add(sig AgreementSignature) error {
	if sig.Signer == nil {
		return errors.New("agreement: a signature has no signer")
	}
	p, ok := s.Agreement.PartyOf(sig.Signer)
	if !ok || p.Identity != sig.Party {
		return fmt.Errorf("agreement: the signer %s is not the party %q", sig.Signer.Fingerprint(), sig.Party)
	}
	if s.SignedBy(p) {
		return fmt.Errorf("agreement: %q has signed already", p.Name)
	}
	id := s.Agreement.ID()
	if err := sig.Signer.Verify(domainAgreement, id[:], sig.Signature); err != nil {
		return fmt.Errorf("agreement: signature of %q: %w", p.Name, err)
	}
	s.Signatures = append(s.Signatures, sig)
	return nil
}

// SignedBy reports whether the party has signed.
func (s *SignedAgreement) SignedBy(p Party) bool {
	for _, sig := range s.Signatures {
		if sig.Party == p.Identity {
			return true
		}
	}
	return false
}

// Complete returns ErrUnsigned unless both parties have signed.
func (s *SignedAgreement) Complete() error {
	for _, p := range s.Agreement.Parties {
		if !s.SignedBy(p) {
			return fmt.Errorf("%w: %q is missing", ErrUnsigned, p.Name)
		}
	}
	return nil
}

// Sign adds the signature of id, which must be a party that has not signed.
func (s *SignedAgreement) Sign(id *keys.Identity) error {
	p, ok := s.Agreement.PartyOf(id.Public())
	if !ok {
		return errors.New("agreement: this node is not a party to it")
	}
	digest := s.Agreement.ID()
	sig, err := id.Sign(domainAgreement, digest[:])
	if err != nil {
		return err
	}
	return s.add(AgreementSignature{Party: p.Identity, Signer: id.Public(), Signature: sig})
}

// Marshal returns the file's bytes, indented for people; the id is over the
// canonical form, so white space does not matter.
func (s *SignedAgreement) Marshal() ([]byte, error) {
	body, err := json.Marshal(s.Agreement)
	if err != nil {
		return nil, err
	}
	f := signedFile{Agreement: body, Signatures: s.Signatures}
	if f.Signatures == nil {
		f.Signatures = []AgreementSignature{}
	}
	out, err := json.MarshalIndent(f, "", "  ")
	return append(out, '\n'), err
}
