package bloom

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"
	"unicode/utf8"

	"golang.org/x/crypto/blake2b"
)

// kdf is HKDF (RFC 5869), which makes two keys a feature, ignored ones too.
type kdf struct {
	sha512     bool
	salt, info []byte
	keySize    int // bytes
}

const keysPerFeature = 2

func (k *kdf) length(features int) int { return keysPerFeature * features * k.keySize }

// most is the largest output of HKDF.
func (k *kdf) most() int {
	if k.sha512 {
		return 255 * sha512.Size
	}
	return 255 * sha256.Size
}

// keys returns the keys of all features, one after the other.
func (k *kdf) keys(secret []byte, features int) ([]byte, error) {
	h := sha256.New
	if k.sha512 {
		h = sha512.New
	}
	out, err := hkdf.Key(h, secret, k.salt, string(k.info), k.length(features))
	if err != nil {
		return nil, fmt.Errorf("bloom: deriving keys: %w", err)
	}
	return out, nil
}

// hasher finds the bits that a token sets among size bits. It belongs to one
// goroutine.
type hasher interface {
	// insert sets the bits of the token's first k hashes.
	insert(filter []uint64, token []byte, k int)
}

func newHasher(kind hashKind, keys []byte, size int) hasher {
	half := len(keys) / keysPerFeature
	if kind == hashBlake {
		return newBlakeHasher(keys[:half], size)
	}
	return &doubleHasher{
		size: uint64(size), nonSingular: kind == hashDoubleNonSingular,
		first: hmac.New(sha1.New, keys[:half]), second: hmac.New(md5.New, keys[half:]),
		seen: make(map[string][2]uint32),
	}
}

// Bounds on what a hasher remembers: tokens, bytes of each, for longer ones
// rarely come back, and words that BLAKE2b gave for each.
const (
	cacheTokens = 1 << 12
	cacheBytes  = 32
	cacheWords  = 1 << 8
)

// remember keeps the hashes of a token. It forgets all when it has too many.
func remember[T any](seen map[string]T, token []byte, v T) {
	if len(token) > cacheBytes {
		return
	}
	if len(seen) >= cacheTokens {
		clear(seen)
	}
	seen[string(token)] = v
}

// doubleHasher sets the bits h1 + i·h2 mod size for i from 0, with h1 the
// HMAC-SHA-1 and h2 the HMAC-MD5 of the token: Schnell, Bachteler and Reiher
// (2011), after Kirsch and Mitzenmacher. The hashes need no collision
// resistance, but see the package comment.
type doubleHasher struct {
	size          uint64
	nonSingular   bool // never an h2 of 0, which would set one bit only
	first, second hash.Hash
	seen          map[string][2]uint32
	sum           [sha1.Size]byte
}

func (d *doubleHasher) insert(filter []uint64, token []byte, k int) {
	h, ok := d.seen[string(token)]
	if !ok {
		h = [2]uint32{d.mac(d.first, token, nil), d.step(token)}
		remember(d.seen, token, h)
	}
	at, step := uint64(h[0]), uint64(h[1])
	for range k {
		w, mask := position(int(at))
		filter[w] |= mask
		if at += step; at >= d.size {
			at -= d.size
		}
	}
}

// step returns h2. To avoid a zero it hashes the token followed by the code
// point 0, 1, ... in UTF-8.
func (d *doubleHasher) step(token []byte) uint32 {
	step := d.mac(d.second, token, nil)
	var r [utf8.UTFMax]byte
	for i := rune(0); step == 0 && d.nonSingular; i++ {
		step = d.mac(d.second, token, r[:utf8.EncodeRune(r[:], i)])
	}
	return step
}

// mac returns a MAC, as a big-endian number, modulo size.
func (d *doubleHasher) mac(h hash.Hash, token, more []byte) uint32 {
	h.Reset()
	h.Write(token)
	h.Write(more)
	r := uint64(0)
	for b := h.Sum(d.sum[:0]); len(b) >= 4; b = b[4:] {
		r = (r<<32 | uint64(binary.BigEndian.Uint32(b))) % d.size
	}
	return uint32(r)
}

// blakeHasher takes its bits from keyed BLAKE2b (RFC 7693): the 16-bit
// little-endian words of the MACs with salts "0", "1", ..., modulo size.
type blakeHasher struct {
	key  []byte
	mask uint32 // size - 1, a power of two less one
	seen map[string][]uint16
	mac  hash.Hash
	sum  [blake2b.Size]byte
	// states are those of keyed and salted BLAKE2b once the key is taken in.
	states [][]byte
}

// wordsPerMAC is the number of bits that one BLAKE2b finds.
const wordsPerMAC = blake2b.Size / 2

func newBlakeHasher(key []byte, size int) *blakeHasher {
	h, err := blake2b.New512(nil)
	if err != nil {
		panic("bloom: " + err.Error()) // only a key can be wrong
	}
	return &blakeHasher{key: key, mask: uint32(size - 1), seen: make(map[string][]uint16), mac: h}
}

func (b *blakeHasher) insert(filter []uint64, token []byte, k int) {
	found := b.seen[string(token)]
	if len(found) < k {
		for len(found) < k {
			found = b.more(found, token)
		}
		if len(found) <= cacheWords {
			remember(b.seen, token, found)
		}
	}
	for _, v := range found[:k] {
		w, mask := position(int(uint32(v) & b.mask))
		filter[w] |= mask
	}
}

// more appends the words of the next MAC.
func (b *blakeHasher) more(found []uint16, token []byte) []uint16 {
	i := len(found) / wordsPerMAC
	for len(b.states) <= i {
		b.states = append(b.states, saltedState(b.key, strconv.Itoa(len(b.states))))
	}
	setState(b.mac, b.states[i])
	b.mac.Write(token)
	for s := b.mac.Sum(b.sum[:0]); len(s) > 0; s = s[2:] {
		found = append(found, binary.LittleEndian.Uint16(s))
	}
	return found
}
