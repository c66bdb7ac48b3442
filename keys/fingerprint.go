package keys

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

// Fingerprint names an identity: SHA-256 over the length-prefixed tuple
// (domain, Ed25519 public key, ML-DSA-65 public key). It covers the keys alone;
// name and history are signed by them.
type Fingerprint [sha256.Size]byte

func fingerprint(ed, ml []byte) Fingerprint {
	return sha256.Sum256(tuple([]byte(domainFingerprint), ed, ml))
}

// ParseFingerprint reads the form that String writes: 64 lower-case hexadecimal
// digits and nothing else, so that equal fingerprints are equal strings.
func ParseFingerprint(s string) (Fingerprint, error) {
	var f Fingerprint
	if len(s) != 2*len(f) {
		return f, fmt.Errorf("keys: fingerprint has %d characters, want %d", len(s), 2*len(f))
	}
	if strings.ToLower(s) != s {
		return f, errors.New("keys: fingerprint has upper-case characters, want lower case")
	}
	if _, err := hex.Decode(f[:], []byte(s)); err != nil {
		return Fingerprint{}, errors.New("keys: fingerprint is not hexadecimal")
	}
	return f, nil
}

// String returns the fingerprint as 64 lower-case hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText returns String.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText is ParseFingerprint.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	parsed, err := ParseFingerprint(string(text))
	if err == nil {
		*f = parsed
	}
	return err
}

const (
	phoneGroups      = 8
	phoneGroupDigits = 5
	phoneDigits      = phoneGroups * phoneGroupDigits
)

var phoneModulus = new(big.Int).Exp(big.NewInt(10), big.NewInt(phoneDigits), nil)

// Phone returns the fingerprint in the form two people read to each other: 40
// decimal digits in 8 groups of 5, the fingerprint as a big-endian number
// modulo 10^40.
//
// Digits, since both speak some common language badly and may spell letters
// differently. Forty of them, 132.9 bits: an impostor must find keys whose
// digits equal given ones, a second preimage, which then costs 2^132 trials and
// stays above 2^100 against a target among a billion identities. (Finding two
// of his own with the same digits costs 2^66 and gains nothing: a node pins the
// whole fingerprint.)
func (f Fingerprint) Phone() string {
	n := new(big.Int).SetBytes(f[:])
	digits := fmt.Sprintf("%0*s", phoneDigits, n.Mod(n, phoneModulus).String())
	groups := make([]string, phoneGroups)
	for i := range groups {
		groups[i] = digits[i*phoneGroupDigits : (i+1)*phoneGroupDigits]
	}
	return strings.Join(groups, " ")
}

// Matches reports whether s, as a person typed it, is this fingerprint: all 64
// hexadecimal or all 40 decimal digits, with spaces and dashes anywhere and
// letters in either case.
func (f Fingerprint) Matches(s string) bool {
	typed := strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Dash, r) {
			return -1
		}
		return r
	}, s))
	want := f.String()
	if len(typed) == phoneDigits {
		want = strings.ReplaceAll(f.Phone(), " ", "")
	}
	return subtle.ConstantTimeCompare([]byte(typed), []byte(want)) == 1
}
