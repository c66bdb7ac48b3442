package he

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

// Seed keys a stream of randomness.
type Seed = [32]byte

// stream expands a seed with AES-256 in counter mode. As the public source of
// the uniform halves of keys this is what FrodoKEM does with AES-128 (FrodoKEM
// specification, 2021, Section 2.2.4: Gen using AES).
type stream struct {
	c   cipher.Stream
	buf [8192]byte
	at  int
}

func newStream(seed Seed) *stream {
	b, err := aes.NewCipher(seed[:])
	if err != nil {
		panic("sealed: " + err.Error())
	}
	s := &stream{c: cipher.NewCTR(b, make([]byte, aes.BlockSize))}
	s.at = len(s.buf)
	return s
}

// next returns the next n <= 64 bytes, valid until the next call.
func (s *stream) next(n int) []byte {
	if s.at+n > len(s.buf) {
		clear(s.buf[:])
		s.c.XORKeyStream(s.buf[:], s.buf[:])
		s.at = 0
	}
	b := s.buf[s.at : s.at+n]
	s.at += n
	return b
}

func (s *stream) u32() uint32 { return binary.LittleEndian.Uint32(s.next(4)) }
func (s *stream) u64() uint64 { return binary.LittleEndian.Uint64(s.next(8)) }

// uniform fills dst with uniform residues mod q, which has at most LimbBits bits.
func (s *stream) uniform(dst []uint64, q uint64) {
	shift := 32 - bits.Len64(q)
	for i := range dst {
		for {
			v := uint64(s.u32() >> shift)
			if v < q {
				dst[i] = v
				break
			}
		}
	}
}

// uniformT fills dst with uniform residues mod T.
func (s *stream) uniformT(dst []uint32) {
	for i := range dst {
		for {
			// 2^32 - 1 is a multiple of T, so one value is one too many.
			if v := s.u32(); v != 1<<32-1 {
				dst[i] = v % T
				break
			}
		}
	}
}

// nonzeroT fills dst with uniform non-zero residues mod T: T - 1 is 2^16.
func (s *stream) nonzeroT(dst []uint32) {
	for i := range dst {
		dst[i] = uint32(binary.LittleEndian.Uint16(s.next(2))) + 1
	}
}

// ternary fills p with uniform values of -1, 0 and 1.
func (s *stream) ternary(p small) {
	for i := range p {
		for {
			if v := s.next(1)[0]; v < 255 {
				p[i] = int8(v%3) - 1
				break
			}
		}
	}
}

// freshNoise bounds the coefficients of fresh noise.
const freshNoise = 21

// noise fills p with centred binomial noise of parameter freshNoise: variance
// 10.5, standard deviation 3.24, over the 3.2 of the homomorphic encryption
// standard, and never outside the bound.
func (s *stream) noise(p small) {
	for i := range p {
		v := s.u64()
		p[i] = int8(bits.OnesCount64(v&(1<<freshNoise-1)) - bits.OnesCount64(v>>32&(1<<freshNoise-1)))
	}
}

// FloodTerms and FloodBits say how answers are flooded: every coefficient gets
// a sum of FloodTerms uniform integers in [-2^FloodBits, 2^FloodBits). Its
// standard deviation is 2^FloodBits·sqrt(FloodTerms/3), and it never exceeds
// FloodTerms·2^FloodBits, which leaves room to decrypt.
const FloodTerms = 10

// FloodBits is 103 with four final limbs and 72 with three.
func (s Shape) FloodBits() int { return (s.FinalLimbs()-1)*LimbBits + 10 }

// flood adds a flooding polynomial to dst, in coefficients mod the primes.
func (s *stream) flood(dst [][]uint64, primes []uint64, size int) {
	var shift, high [maxFinalLimbs]uint64 // 2^size·FloodTerms and 2^64 mod q
	for l, q := range primes {
		high[l] = pow64(q)
		shift[l] = mulMod(FloodTerms, mulMod(1<<(size-64), high[l], q), q)
	}
	mask := uint64(1)<<(size+1-64) - 1
	for i := range dst[0] {
		// A sum of FloodTerms integers of size+1 bits: 128 bits hold it.
		var lo, hi uint64
		for range FloodTerms {
			b := s.next(16)
			var carry uint64
			lo, carry = bits.Add64(lo, binary.LittleEndian.Uint64(b), 0)
			hi += binary.LittleEndian.Uint64(b[8:])&mask + carry
		}
		for l, q := range primes {
			v := (lo%q + hi%q*high[l]) % q
			dst[l][i] = (dst[l][i] + v + q - shift[l]) % q
		}
	}
}

// pow64 is 2^64 mod q.
func pow64(q uint64) uint64 { return (1 << 63 % q) * 2 % q }

func mulMod(a, b, q uint64) uint64 {
	hi, lo := bits.Mul64(a%q, b%q)
	return bits.Rem64(hi, lo, q)
}

func powMod(a, e, q uint64) uint64 {
	r := uint64(1)
	for ; e > 0; e >>= 1 {
		if e&1 == 1 {
			r = mulMod(r, a, q)
		}
		a = mulMod(a, a, q)
	}
	return r
}

func invMod(a, q uint64) uint64 { return powMod(a, q-2, q) }
