// Package keys makes, checks, seals and presents the keys of a node: its
// identity, its operators' keys and its TLS key.
//
//	seed (32 bytes, in identity.age under a passphrase)
//	 ├─ Ed25519 ─┐
//	 ├─ ML-DSA-65┴─ identity ──signs──> agreements, transcripts, log heads
//	 │                  │ └──signs──> TLS key  (in the certificate's extension)
//	 │                  └──signs──> the identity that replaces it (rotation)
//	 ├─ TLS key (Ed25519) ──signs──> handshakes
//	 └─ Derive(label): keys that never leave the node
//
// An identity signs with Ed25519 (RFC 8032) and ML-DSA-65 (FIPS 204) side by
// side, and a signature holds when both do: a forger has to break both. What
// is signed always begins with a domain and the signer's fingerprint, so a
// signature made for one purpose or one key is worth nothing for another.
//
// A peer's identity reaches a node as a public document (PublicIdentity),
// which is trusted by its Fingerprint alone: two people compare it by phone,
// the node pins it. There is no authority above them. A rotated identity
// carries the signatures of those it replaced, and a node that pinned one of
// these can follow; which identities are pinned or revoked is the caller's to
// know (PinFunc).
//
// Signing is deterministic: equal messages have equal signatures, so a
// document signed again after a crash is the same document. Running times vary
// with secrets in two places only: ML-DSA's rejection sampling, whose number
// of rounds is independent of the key (Lyubashevsky, Fiat-Shamir with Aborts,
// Asiacrypt 2009), and scrypt, whose memory accesses depend on the passphrase
// (RFC 7914, Section 13).
package keys

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// Domains of everything this package signs, hashes or derives itself. Callers
// of Sign choose others.
const (
	domainFingerprint = "symbolon/v1/fingerprint"
	domainSignature   = "symbolon/v1/signature"
	domainUser        = "symbolon/v1/user-signature"
	domainDocument    = "symbolon/v1/identity"
	domainRotation    = "symbolon/v1/rotation"
	domainTLS         = "symbolon/v1/tls"
	domainKey         = "symbolon/v1/key"
	domainLocal       = "symbolon/v1/local"
)

// SeedSize is the length in bytes of the seed behind an identity or a user.
const SeedSize = 32

// MaxNameLen bounds an agency's name in bytes of UTF-8.
const MaxNameLen = 100

// ErrSignature says that a signature does not hold. Which half failed is of no
// use to anybody but a forger.
var ErrSignature = errors.New("keys: signature does not hold")

// tuple encodes parts so that no two lists of parts share an encoding: each is
// prefixed with its length as eight big-endian bytes. A tuple begins with a
// zero byte and so is never a text.
func tuple(parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += 8 + len(p)
	}
	b := make([]byte, 0, n)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

// canonical returns the canonical JSON (RFC 8785) of one of our own documents:
// a struct of printable strings, byte strings and small integers whose members
// are declared in alphabetical order. Of such encoding/json makes canonical
// JSON in a tenth of the time that transforming it would take.
func canonical(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("keys: " + err.Error()) // such a document can't fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decodeStrict reads one JSON value of at most limit bytes into v and refuses
// members v does not know. The caller still compares the canonical form of what
// it made of v with the input's, by sameDocument.
func decodeStrict(data []byte, limit int, v any) error {
	if len(data) > limit {
		return fmt.Errorf("got %d bytes, want at most %d", len(data), limit)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n"); len(rest) != 0 {
		return fmt.Errorf("%d bytes follow the JSON value", len(rest))
	}
	return nil
}

// sameDocument reports whether data is another spelling of the canonical JSON
// want. It catches what encoding/json lets pass: repeated members, names in the
// wrong case, null for empty, invalid UTF-8, line breaks in base64.
func sameDocument(data, want []byte) bool {
	if bytes.Equal(data, want) {
		return true
	}
	got, err := jcs.Transform(data)
	return err == nil && bytes.Equal(got, want)
}

// checkName refuses agency names that could not be printed on one line as they
// are: they come from strangers, and go to terminals and logs.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("name is empty")
	case len(name) > MaxNameLen:
		return fmt.Errorf("name has %d bytes, want at most %d", len(name), MaxNameLen)
	case !utf8.ValidString(name):
		return errors.New("name is not UTF-8")
	case name[0] == ' ' || name[len(name)-1] == ' ':
		return errors.New("name begins or ends with a space")
	}
	for i, r := range name {
		// IsPrint knows the ASCII space only, and neither controls nor the
		// format characters that reorder or hide text.
		if !unicode.IsPrint(r) {
			return fmt.Errorf("name holds the unprintable character %U at byte %d", r, i)
		}
	}
	return nil
}
