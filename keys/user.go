package keys

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/symbolon/symbolon/internal/secret"
)

// userName is a login-like name, fit for file names and log fields.
var userName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckUserName refuses names other than 1 to 64 of the characters a-z, 0-9,
// dot, underscore and hyphen that begin with a letter or digit.
func CheckUserName(name string) error {
	if !userName.MatchString(name) {
		return errors.New("keys: " + badUserName)
	}
	return nil
}

const badUserName = "user's name is malformed: want 1 to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit"

// User is an operator with an Ed25519 key of their own. The key signs what the
// operator does on this node; peers never see it, so it need not outlast a
// quantum computer's arrival as an identity's signatures must. A User prints as
// its name.
type User struct {
	name string
	key  hidden[ed25519.PrivateKey]
	seed secret.Bytes
}

// NewUser makes a key from SeedSize bytes of rand.
func NewUser(rand io.Reader, name string) (*User, error) {
	seed, err := secret.Random(rand, SeedSize)
	if err != nil {
		return nil, fmt.Errorf("keys: making a user: %w", err)
	}
	u, err := newUser(seed, name)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return u, nil
}

func newUser(seed secret.Bytes, name string) (*User, error) {
	if !userName.MatchString(name) {
		return nil, errors.New(badUserName)
	}
	if seed.Len() != SeedSize {
		return nil, fmt.Errorf("seed has %d bytes, want %d", seed.Len(), SeedSize)
	}
	return &User{name: name, seed: seed, key: hide(ed25519.NewKeyFromSeed(seed.Expose()))}, nil
}

// Name returns the user's name.
func (u *User) Name() string { return u.name }

// PublicKey returns the 32-byte Ed25519 public key (RFC 8032).
func (u *User) PublicKey() []byte { return u.key().Public().(ed25519.PublicKey) }

// Sign signs msg in the domain, which says what the message is and is not
// empty. The signature has 64 bytes.
func (u *User) Sign(domain string, msg []byte) []byte {
	return ed25519.Sign(u.key(), userMessage(u.PublicKey(), domain, msg))
}

// VerifyUser returns nil when sig is the signature of the user with the public
// key over msg in the domain, ErrSignature when it is not, and another error
// for a public key that no user can have.
func VerifyUser(public []byte, domain string, msg, sig []byte) error {
	if err := checkEd25519(public); err != nil {
		return fmt.Errorf("keys: user: %w", err)
	}
	if !ed25519.Verify(public, userMessage(public, domain, msg), sig) {
		return ErrSignature
	}
	return nil
}

func userMessage(public []byte, domain string, msg []byte) []byte {
	if domain == "" {
		panic("keys: signing without a domain")
	}
	return tuple([]byte(domainUser), []byte(domain), public, msg)
}

// Format prints the name whatever the verb.
func (u User) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "user "+u.name) }

const userKind = "symbolon user"

type userJSON struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Seed    []byte `json:"seed"`
	Version int    `json:"version"`
}

// SaveUser seals the user's key in a new file at path, as SealFile does.
func SaveUser(path string, u *User, passphrase secret.Bytes, workFactor int) error {
	b := canonical(userJSON{Kind: userKind, Version: documentVersion, Name: u.name, Seed: u.seed.Expose()})
	defer clear(b)
	plain := secret.New(b)
	defer plain.Clear()
	return SealFile(path, plain, passphrase, workFactor)
}

// LoadUser opens what SaveUser sealed.
func LoadUser(path string, passphrase secret.Bytes) (*User, error) {
	plain, err := OpenFile(path, passphrase)
	if err != nil {
		return nil, err
	}
	defer plain.Clear()
	u, err := unmarshalUser(plain)
	if err != nil {
		return nil, fmt.Errorf("keys: %s: %w", path, err)
	}
	return u, nil
}

func unmarshalUser(data secret.Bytes) (*User, error) {
	var j userJSON
	err := decodeStrict(data.Expose(), 1024, &j)
	defer clear(j.Seed)
	if err != nil || j.Kind != userKind || j.Version != documentVersion {
		return nil, errors.New("not a user's key file, or one of another version")
	}
	return newUser(secret.New(j.Seed), j.Name)
}
