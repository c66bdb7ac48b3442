// Package secret holds bytes that refuse to be printed.
//
// A Bytes shows itself as "[secret]" to every fmt verb, to log/slog and to
// every encoder that asks a value for its text or JSON. The bytes sit in a
// closure, where reflection can't follow: fmt does not call the methods of
// unexported fields, and behind a plain pointer it would still find the bytes
// when the verb does not fit ("%s" of a struct prints what its pointers point
// to). Reading takes a call of Expose, which is easy to find in a review.
//
// Clear overwrites the bytes. Go may have copied them elsewhere before, while
// growing a stack or a buffer, and nothing here promises otherwise.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[secret]"

// Bytes is a secret byte string. Copies of a Bytes share their memory. The zero
// value is an empty secret. It can't be compared with ==; use Equal.
type Bytes struct {
	cell func() *[]byte
}

func hold(b []byte) Bytes { return Bytes{cell: func() *[]byte { return &b }} }

// New returns a secret holding a copy of b. The caller clears b.
func New(b []byte) Bytes { return hold(append([]byte(nil), b...)) }

// Random returns a secret of n bytes from rand, which must be a source of
// cryptographic randomness. It fails when rand does.
func Random(rand io.Reader, n int) (Bytes, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(rand, b); err != nil {
		clear(b)
		return Bytes{}, fmt.Errorf("secret: reading %d random bytes: %w", n, err)
	}
	return hold(b), nil
}

// Expose returns the bytes themselves, not a copy: they change with Clear.
func (s Bytes) Expose() []byte {
	if s.cell == nil {
		return nil
	}
	return *s.cell()
}

// Len returns the number of bytes, which is not kept secret.
func (s Bytes) Len() int { return len(s.Expose()) }

// Equal reports whether both secrets hold the same bytes. Its running time
// depends on the lengths only.
func (s Bytes) Equal(other Bytes) bool {
	return subtle.ConstantTimeCompare(s.Expose(), other.Expose()) == 1
}

// Clear overwrites the bytes with zeros and empties the secret and all its
// copies, so that a later use fails by its length instead of keying with zeros.
func (s Bytes) Clear() {
	if s.cell == nil {
		return
	}
	b := s.cell()
	clear(*b)
	*b = nil
}

// String returns "[secret]".
func (Bytes) String() string { return redacted }

// GoString returns "[secret]".
func (Bytes) GoString() string { return redacted }

// Format writes "[secret]" whatever the verb.
func (Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[secret]" to log/slog.
func (Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[secret]". There is no UnmarshalText: text read back
// would pass for a secret.
func (Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[secret]" as a JSON string.
func (Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
