package keys

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"

	"github.com/symbolon/symbolon/internal/secret"
)

// Identity is a node's identity with its secret seed, from which all its keys
// are derived by HKDF-SHA-256 (RFC 5869). It prints as its public part. It is
// immutable and safe for concurrent use.
type Identity struct {
	public *PublicIdentity
	seed   secret.Bytes
	keys   hidden[*privateKeys]
}

// NewIdentity makes an identity from SeedSize bytes of rand. The name is one
// printable line of at most MaxNameLen bytes; now is recorded in whole seconds.
func NewIdentity(rand io.Reader, name string, now time.Time) (*Identity, error) {
	seed, err := secret.Random(rand, SeedSize)
	if err != nil {
		return nil, fmt.Errorf("keys: making an identity: %w", err)
	}
	return newIdentity(seed, name, now, nil)
}

func newIdentity(seed secret.Bytes, name string, now time.Time, chain func(*publicKeys) ([]Rotation, error)) (*Identity, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	now = wholeSeconds(now)
	if now.Year() < 1 || now.Year() > 9999 {
		return nil, fmt.Errorf("keys: year %d is outside [1, 9999]", now.Year())
	}
	k, err := expand(seed)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	p := &PublicIdentity{name: name, created: now, keys: k.pub}
	if chain != nil {
		if p.chain, err = chain(k.pub); err != nil {
			return nil, err
		}
	}
	if p.signature, err = k.sign(domainDocument, canonical(p.json(false))); err != nil {
		return nil, err
	}
	p.document = canonical(p.json(true))
	return assemble(p, seed, k)
}

func assemble(p *PublicIdentity, seed secret.Bytes, k *privateKeys) (*Identity, error) {
	var err error
	if k.cert, err = makeCertificate(p, k); err != nil {
		return nil, err
	}
	return &Identity{public: p, seed: seed, keys: hide(k)}, nil
}

func wholeSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// expand derives the keys of a seed.
func expand(seed secret.Bytes) (*privateKeys, error) {
	if seed.Len() != SeedSize {
		return nil, fmt.Errorf("seed has %d bytes, want %d", seed.Len(), SeedSize)
	}
	ed := derive(seed, domainKey, "ed25519")
	ml := derive(seed, domainKey, "mldsa65")
	tlsSeed := derive(seed, domainKey, "tls-ed25519")
	defer clear(ed)
	defer clear(ml)
	defer clear(tlsSeed)
	k := &privateKeys{ed: ed25519.NewKeyFromSeed(ed), tls: ed25519.NewKeyFromSeed(tlsSeed)}
	mlPublic, mlPrivate := mldsa65.NewKeyFromSeed((*[mldsa65.SeedSize]byte)(ml))
	k.ml = mlPrivate
	var err error
	if k.pub, err = parsePublicKeys(k.ed.Public().(ed25519.PublicKey), mlPublic.Bytes()); err != nil {
		return nil, err
	}
	return k, nil
}

// derive returns 32 bytes, separated by the domain and label.
func derive(seed secret.Bytes, domain, label string) []byte {
	b, err := hkdf.Key(sha256.New, seed.Expose(), nil, string(tuple([]byte(domain), []byte(label))), 32)
	if err != nil {
		panic("keys: " + err.Error()) // 32 bytes are far below HKDF's limit
	}
	return b
}

// Public returns the public identity.
func (id *Identity) Public() *PublicIdentity { return id.public }

// Sign signs msg with both keys. The domain says what the message is; it is
// not empty, and no two kinds of message share one.
func (id *Identity) Sign(domain string, msg []byte) (Signature, error) {
	return id.keys().sign(domain, msg)
}

// Derive returns a 32-byte key that never leaves the node, for instance to seal
// session seeds in its database. Equal labels give equal keys. Labels are
// separated from the identity's own keys. A rotated identity derives others:
// what is sealed under the old must be sealed anew while both are at hand.
func (id *Identity) Derive(label string) secret.Bytes {
	b := derive(id.seed, domainLocal, label)
	defer clear(b)
	return secret.New(b)
}

// Rotate makes the identity that replaces this one, from SeedSize bytes of
// rand: the same name, new keys, and this identity's signature over them. It
// refuses a time before this identity was made. Peers that pinned this one or
// an ancestor can follow; whoever stole this one's seed can make such a
// successor too, and then only revocation by the peers helps.
func (id *Identity) Rotate(rand io.Reader, now time.Time) (*Identity, error) {
	at := wholeSeconds(now)
	if at.Before(id.public.created) {
		return nil, fmt.Errorf("keys: rotating at %s an identity made at %s: check the clock",
			at.Format(timeLayout), id.public.created.Format(timeLayout))
	}
	seed, err := secret.Random(rand, SeedSize)
	if err != nil {
		return nil, fmt.Errorf("keys: rotating an identity: %w", err)
	}
	return newIdentity(seed, id.public.name, at, func(next *publicKeys) ([]Rotation, error) {
		if next.fingerprint == id.public.Fingerprint() {
			return nil, errors.New("keys: rotating an identity: the random source repeats itself")
		}
		sig, err := id.Sign(domainRotation, rotationMessage(next.fingerprint, at))
		if err != nil {
			return nil, err
		}
		chain := append(id.public.Rotations(), Rotation{
			Fingerprint: id.public.Fingerprint(), At: at, keys: id.public.keys, signature: sig,
		})
		return chain[max(0, len(chain)-MaxRotations):], nil
	})
}

// Format prints the public part whatever the verb.
func (id Identity) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "identity "+id.public.String())
}

const identityKind = "symbolon identity"

// identityJSON is what a sealed identity file holds.
type identityJSON struct {
	Kind    string          `json:"kind"`
	Public  *PublicIdentity `json:"public"`
	Seed    []byte          `json:"seed"`
	Version int             `json:"version"`
}

func (id *Identity) marshal() secret.Bytes {
	b := canonical(identityJSON{Kind: identityKind, Version: documentVersion, Seed: id.seed.Expose(), Public: id.public})
	defer clear(b)
	return secret.New(b)
}

// unmarshalIdentity reads what marshal wrote. Its errors say nothing of the
// content.
func unmarshalIdentity(data secret.Bytes) (*Identity, error) {
	var j identityJSON
	err := decodeStrict(data.Expose(), MaxDocument+1024, &j)
	defer clear(j.Seed)
	if err != nil || j.Kind != identityKind || j.Version != documentVersion || j.Public == nil {
		return nil, errors.New("not an identity file, or one of another version")
	}
	seed := secret.New(j.Seed)
	k, err := expand(seed)
	if err != nil {
		return nil, err
	}
	if k.pub.fingerprint != j.Public.Fingerprint() {
		return nil, errors.New("public identity does not belong to the seed")
	}
	return assemble(j.Public, seed, k)
}
