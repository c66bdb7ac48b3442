package keys

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"

	"filippo.io/edwards25519"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
)

// SignatureSize is the length of a Signature's binary form in bytes: 64 of
// Ed25519, then 3309 of ML-DSA-65.
const SignatureSize = ed25519.SignatureSize + mldsa65.SignatureSize

// Signature is an identity's signature: both hold or it does not.
type Signature struct {
	Ed25519 []byte `json:"ed25519"`
	MLDSA65 []byte `json:"mldsa65"`
}

// ParseSignature splits the binary form that Bytes writes.
func ParseSignature(b []byte) (Signature, error) {
	if len(b) != SignatureSize {
		return Signature{}, fmt.Errorf("keys: signature has %d bytes, want %d", len(b), SignatureSize)
	}
	return Signature{
		Ed25519: append([]byte(nil), b[:ed25519.SignatureSize]...),
		MLDSA65: append([]byte(nil), b[ed25519.SignatureSize:]...),
	}, nil
}

// Bytes returns the signature's binary form, SignatureSize bytes of a complete
// signature.
func (s Signature) Bytes() []byte {
	return append(append(make([]byte, 0, SignatureSize), s.Ed25519...), s.MLDSA65...)
}

// publicKeys are the two public keys of an identity.
type publicKeys struct {
	ed          ed25519.PublicKey
	ml          *mldsa65.PublicKey
	mlBytes     []byte
	fingerprint Fingerprint
}

func parsePublicKeys(ed, ml []byte) (*publicKeys, error) {
	if err := checkEd25519(ed); err != nil {
		return nil, err
	}
	if len(ml) != mldsa65.PublicKeySize {
		return nil, fmt.Errorf("ML-DSA-65 key has %d bytes, want %d", len(ml), mldsa65.PublicKeySize)
	}
	k := &publicKeys{
		ed:          append(ed25519.PublicKey(nil), ed...),
		mlBytes:     append([]byte(nil), ml...),
		ml:          new(mldsa65.PublicKey),
		fingerprint: fingerprint(ed, ml),
	}
	if err := k.ml.UnmarshalBinary(k.mlBytes); err != nil {
		return nil, errors.New("ML-DSA-65 key does not decode")
	}
	return k, nil
}

// CheckEd25519 reports why a public key that a peer has drawn must not be taken:
// its length, a form that is not canonical, or small order, under which one
// signature holds for many messages.
func CheckEd25519(key []byte) error {
	if err := checkEd25519(key); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// checkEd25519 refuses keys under which one signature holds for many messages.
// Their owner could sign a log head and later show another under the same
// signature. See Chalkias, Garillot and Nikolaenko, Taming the Many EdDSAs
// (SSR 2020), Section 3.
func checkEd25519(key []byte) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("Ed25519 key has %d bytes, want %d", len(key), ed25519.PublicKeySize)
	}
	point, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return errors.New("Ed25519 key is not a point of the curve")
	}
	if string(point.Bytes()) != string(key) {
		return errors.New("Ed25519 key is not in canonical form")
	}
	if point.MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("Ed25519 key has small order")
	}
	return nil
}

// message is what both algorithms sign.
func message(domain string, signer Fingerprint, msg []byte) []byte {
	if domain == "" {
		panic("keys: signing without a domain")
	}
	return tuple([]byte(domainSignature), []byte(domain), signer[:], msg)
}

func (k *publicKeys) verify(domain string, msg []byte, s Signature) error {
	if len(s.Ed25519) != ed25519.SignatureSize || len(s.MLDSA65) != mldsa65.SignatureSize {
		return ErrSignature
	}
	m := message(domain, k.fingerprint, msg)
	if !ed25519.Verify(k.ed, m, s.Ed25519) || !mldsa65.Verify(k.ml, m, nil, s.MLDSA65) {
		return ErrSignature
	}
	return nil
}

// privateKeys are everything an identity's seed expands to. Structs hold it
// behind a hidden, so that printing them can't reach it.
type privateKeys struct {
	ed   ed25519.PrivateKey
	ml   *mldsa65.PrivateKey
	tls  ed25519.PrivateKey
	pub  *publicKeys
	cert *tls.Certificate
}

// hidden yields a value that reflection can't follow; see package secret.
type hidden[T any] func() T

func hide[T any](v T) hidden[T] { return func() T { return v } }

func (k *privateKeys) sign(domain string, msg []byte) (Signature, error) {
	m := message(domain, k.pub.fingerprint, msg)
	s := Signature{Ed25519: ed25519.Sign(k.ed, m), MLDSA65: make([]byte, mldsa65.SignatureSize)}
	if err := mldsa65.SignTo(k.ml, m, nil, false, s.MLDSA65); err != nil {
		return Signature{}, fmt.Errorf("keys: signing with ML-DSA-65: %w", err)
	}
	return s, nil
}
