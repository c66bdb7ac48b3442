package psi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"
)

// NewStream returns a reader of pseudorandom bytes, AES-256-CTR keyed by
// HKDF-SHA-256 (RFC 5869) of the seed with the domain and numbers as info.
// Equal arguments give equal bytes; streams of different domains or numbers
// are independent. It is safe for concurrent use.
//
// A session draws everything from one seed: each attempt at a shard has its own
// stream, so that a repeated attempt never repeats a mask.
func NewStream(seed []byte, domain string, numbers ...uint32) io.Reader {
	info := AppendPart(nil, []byte(domain))
	for _, n := range numbers {
		info = binary.BigEndian.AppendUint32(info, n)
	}
	// 32 bytes of output are far below the 255 blocks that HKDF can give, so
	// neither call can fail.
	key, err := hkdf.Key(sha256.New, seed, nil, string(info), 32)
	if err != nil {
		panic("psi: " + err.Error())
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("psi: " + err.Error())
	}
	return &stream{ctr: cipher.NewCTR(block, make([]byte, aes.BlockSize))}
}

type stream struct {
	mu  sync.Mutex
	ctr cipher.Stream
}

func (s *stream) Read(p []byte) (int, error) {
	clear(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctr.XORKeyStream(p, p)
	return len(p), nil
}
