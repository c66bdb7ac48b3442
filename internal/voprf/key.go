package voprf

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/symbolon/symbolon/internal/ristretto"
)

// PrivateKey is the owner's key. It is safe for concurrent use.
type PrivateKey struct {
	suite  *suite
	public *PublicKey

	mu        sync.RWMutex
	secret    ristretto.Scalar
	destroyed bool
}

// PublicKey is what a proof is checked against. It never changes.
type PublicKey struct {
	suite   *suite
	element ristretto.Element
	encoded [ElementSize]byte
}

// GenerateKey returns a new key, from 64 bytes of rand.
func GenerateKey(mode Mode, rand io.Reader) (*PrivateKey, error) {
	s, err := suiteOf(mode)
	if err != nil {
		return nil, err
	}
	var secret ristretto.Scalar
	if err := secret.SetRandom(rand); err != nil {
		return nil, fmt.Errorf("voprf: generating a key: %w", err)
	}
	return newKey(s, &secret), nil
}

// DeriveKey returns the key that a secret seed of SeedSize bytes and a public
// info determine (RFC 9497, Section 3.2.1).
func DeriveKey(mode Mode, seed, info []byte) (*PrivateKey, error) {
	s, err := suiteOf(mode)
	if err != nil {
		return nil, err
	}
	if len(seed) != SeedSize || len(info) > MaxInput {
		return nil, fmt.Errorf("voprf: got a seed of %d and an info of %d bytes, want %d and at most %d",
			len(seed), len(info), SeedSize, MaxInput)
	}
	msg := appendCounted(append([]byte(nil), seed...), info)
	defer clear(msg)
	var secret ristretto.Scalar
	for counter := range 256 {
		s.key.Scalar(&secret, append(msg, byte(counter)))
		if !secret.IsZero() {
			return newKey(s, &secret), nil
		}
	}
	return nil, errors.New("voprf: the seed determines no key")
}

// ParsePrivateKey returns the key that Bytes has written.
func ParsePrivateKey(mode Mode, b []byte) (*PrivateKey, error) {
	s, err := suiteOf(mode)
	if err != nil {
		return nil, err
	}
	if len(b) != KeySize {
		return nil, fmt.Errorf("voprf: private key of %d bytes, want %d", len(b), KeySize)
	}
	var secret ristretto.Scalar
	if err := secret.Decode(b); err != nil {
		return nil, fmt.Errorf("voprf: private key %w", err)
	}
	if secret.IsZero() {
		return nil, errors.New("voprf: private key is zero")
	}
	return newKey(s, &secret), nil
}

func newKey(s *suite, secret *ristretto.Scalar) *PrivateKey {
	k := &PrivateKey{suite: s, secret: *secret, public: &PublicKey{suite: s}}
	k.public.element.MultiplyBase(secret)
	k.public.element.Encode(k.public.encoded[:])
	*secret = ristretto.Scalar{}
	return k
}

// Bytes returns the key's KeySize bytes, which are secret, or nil once it is
// destroyed.
func (k *PrivateKey) Bytes() []byte {
	secret, err := k.scalar()
	if err != nil {
		return nil
	}
	b := make([]byte, KeySize)
	secret.Encode(b)
	return b
}

// Public returns the public key.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// Destroy overwrites the key. Calls that have begun may still finish.
func (k *PrivateKey) Destroy() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.secret, k.destroyed = ristretto.Scalar{}, true
}

// scalar returns a copy of the secret.
func (k *PrivateKey) scalar() (ristretto.Scalar, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.destroyed {
		return ristretto.Scalar{}, errors.New("voprf: the key is destroyed")
	}
	return k.secret, nil
}

// ParsePublicKey returns the key that Bytes has written. It refuses everything
// else, the identity too, with an ErrPeer.
func ParsePublicKey(mode Mode, b []byte) (*PublicKey, error) {
	s, err := suiteOf(mode)
	if err != nil {
		return nil, err
	}
	if len(b) != ElementSize {
		return nil, peerf("public key of %d bytes, want %d", len(b), ElementSize)
	}
	p := &PublicKey{suite: s, encoded: [ElementSize]byte(b)}
	if err := p.element.Decode(b); err != nil {
		return nil, peerf("public key %w", err)
	}
	return p, nil
}

// Bytes returns the key's ElementSize bytes.
func (p *PublicKey) Bytes() []byte { return append([]byte(nil), p.encoded[:]...) }

// Equal reports whether p and q are the same key for the same mode.
func (p *PublicKey) Equal(q *PublicKey) bool {
	return p.suite == q.suite && p.encoded == q.encoded
}
