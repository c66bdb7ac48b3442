package lookup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
)

// A set is a sorted list of distinct numbers below 2^u in Elias and Fano's
// encoding (Vigna, Quasi-succinct indices, WSDM 2013, Section 3). With
// B = ⌈log2 n⌉ (at most u) and l = u - B,
//
//	samples  4 bytes for each 256th of the 2^B buckets: the numbers before it
//	high     for each bucket, as many ones as numbers begin with its B bits,
//	         then a zero; filled with zeros to whole 64-bit words
//	low      the last l bits of each number, filled with zeros, then 17 zero bytes
//
// The bit vectors count bits from the least significant of their first byte on;
// samples are big-endian. n and u stand elsewhere.
//
// A test finds its bucket from a sample and a few words of high, so that it reads
// two or three lines of memory straight from the mapped file, and the number's
// rank comes with it.
//
// Golomb and Rice's code of the gaps is the other candidate. Measured at 2^20
// fingerprints of 67 bits (BenchmarkTable, 2 cores of an EPYC, busy): 49.13 bits
// a key here, of which 0.13 are samples, and 0.26 µs a test; Golomb-Rice 48.58
// bits a key for the codes, 49.58 with a bit offset and the first bits of a
// fingerprint for every 64th key, without which there is no random access, and
// 1.4 µs a test. So Elias-Fano is as small, and five times as fast.
type set struct {
	n      int
	u      uint
	bucket uint // B
	low    uint // l
	// samples, high and lows are parts of the mapped file.
	samples, high, lows []byte
}

// sampleShift is log2 of the buckets between samples.
const sampleShift = 8

// lowSlack lets a number be read as two words and a byte wherever it begins.
const lowSlack = 17

// fingerprint is a number below 2^128.
type fingerprint struct{ hi, lo uint64 }

// fingerprintOf returns the first u bits of b, which has at least 16 bytes.
func fingerprintOf(b []byte, u uint) fingerprint {
	f := fingerprint{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
	return f.shiftRight(128 - u)
}

func number(n int) fingerprint { return fingerprint{lo: uint64(n)} }

func (f fingerprint) shiftRight(n uint) fingerprint {
	// Shifts by 64 and more give 0 in Go.
	return fingerprint{f.hi >> n, f.lo>>n | f.hi<<(64-n) | f.hi>>(n-64)}
}

func (f fingerprint) mask(n uint) fingerprint {
	if n >= 64 {
		return fingerprint{f.hi & (1<<(n-64) - 1), f.lo}
	}
	return fingerprint{0, f.lo & (1<<n - 1)}
}

func (f fingerprint) less(g fingerprint) bool {
	return f.hi < g.hi || f.hi == g.hi && f.lo < g.lo
}

func (f fingerprint) compare(g fingerprint) int {
	switch {
	case f == g:
		return 0
	case f.less(g):
		return -1
	}
	return 1
}

// setShape returns B and l for n numbers below 2^u.
func setShape(n int, u uint) (bucket, low uint) {
	bucket = min(uint(ceilLog2(n)), u)
	return bucket, u - bucket
}

// ceilLog2 returns the number of bits of the numbers below n.
func ceilLog2(n int) int {
	if n < 2 {
		return 0
	}
	return bits.Len(uint(n - 1))
}

// setParts returns the lengths of a set's parts in bytes.
func setParts(n int, u uint) (samples, high, low int) {
	b, l := setShape(n, u)
	buckets := 1 << b
	return (buckets + 1<<sampleShift - 1) >> sampleShift * 4, (n + buckets + 63) / 64 * 8, (n*int(l)+7)/8 + lowSlack
}

// setLen returns the length of a set in bytes.
func setLen(n int, u uint) int {
	samples, high, low := setParts(n, u)
	return samples + high + low
}

// newSet returns the set of n numbers below 2^u in b, which has setLen bytes.
// Until check has passed it may hold anything, and nothing but check is called.
func newSet(b []byte, n int, u uint) set {
	samples, high, low := setParts(n, u)
	if len(b) != samples+high+low {
		panic("lookup: set has the wrong length")
	}
	s := set{n: n, u: u, samples: b[:samples], high: b[samples:][:high], lows: b[samples+high:]}
	s.bucket, s.low = setShape(n, u)
	return s
}

func (s *set) word(i int) uint64 { return binary.LittleEndian.Uint64(s.high[8*i:]) }

// lowAt returns the last bits of the number of a rank.
func (s *set) lowAt(rank int) fingerprint {
	at := uint64(rank) * uint64(s.low)
	b := s.lows[at/8:][:lowSlack]
	shift := uint(at % 8)
	x, y, z := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), uint64(b[16])
	f := fingerprint{y>>shift | z<<(64-shift), x>>shift | y<<(64-shift)}
	return f.mask(s.low)
}

// find returns the rank of a number, and whether it is there.
func (s *set) find(f fingerprint) (int, bool) {
	if s.n == 0 {
		return 0, false
	}
	bucket := int(f.shiftRight(s.low).lo)
	sample := bucket >> sampleShift
	rank := int(binary.BigEndian.Uint32(s.samples[4*sample:]))
	// The bit after the last zero of the buckets before.
	at := s.skipZeros(sample<<sampleShift+rank, bucket&(1<<sampleShift-1))
	low := f.mask(s.low)
	for rank = at - bucket; s.word(at/64)>>(at%64)&1 == 1; at, rank = at+1, rank+1 {
		switch s.lowAt(rank).compare(low) {
		case 0:
			return rank, true
		case 1:
			return 0, false
		}
	}
	return 0, false
}

// skipZeros returns the bit of high behind so many zeros from a bit on.
func (s *set) skipZeros(at, zeros int) int {
	if zeros == 0 {
		return at
	}
	i := at / 64
	// Bits before at don't count.
	w := ^s.word(i) >> (at % 64) << (at % 64)
	for {
		n := bits.OnesCount64(w)
		if n >= zeros {
			break
		}
		zeros -= n
		i++
		w = ^s.word(i)
	}
	for ; zeros > 1; zeros-- {
		w &= w - 1
	}
	return 64*i + bits.TrailingZeros64(w) + 1
}

// A setReader walks through the numbers of a set.
type setReader struct {
	s    *set
	rank int    // of the next number
	at   int    // the next word of high
	word uint64 // what is left of the word before
}

func (s *set) reader() *setReader { return &setReader{s: s} }

// next returns the next number, false behind the last.
func (r *setReader) next() (fingerprint, bool) {
	if r.rank == r.s.n {
		return fingerprint{}, false
	}
	for r.word == 0 {
		r.word = r.s.word(r.at)
		r.at++
	}
	bit := 64*(r.at-1) + bits.TrailingZeros64(r.word)
	r.word &= r.word - 1
	f := join(uint64(bit-r.rank), r.s.lowAt(r.rank), r.s.low)
	r.rank++
	return f, true
}

// join returns the number with the given bucket and last bits.
func join(bucket uint64, low fingerprint, l uint) fingerprint {
	b := fingerprint{lo: bucket}
	if l >= 64 {
		return fingerprint{low.hi | b.lo<<(l-64), low.lo}
	}
	return fingerprint{b.lo >> (64 - l), low.lo | b.lo<<l}
}

var errSet = errors.New("is damaged")

// check reports whether the set is the encoding of n distinct numbers in order,
// of which at most load begin alike. It reads all of it.
func (s *set) check(load int) error {
	buckets := 1 << s.bucket
	ones, last := 0, -1
	for i := range len(s.high) / 8 {
		w := s.word(i)
		ones += bits.OnesCount64(w)
		if w != 0 {
			last = 64*i + 63 - bits.LeadingZeros64(w)
		}
	}
	// All ones lie in buckets, the zero of the last follows: then the zeros
	// are as many as they must be too.
	if ones != s.n || last >= s.n+buckets-1 {
		return fmt.Errorf("%w: %d numbers are marked up to bit %d, want %d below bit %d", errSet, ones, last, s.n, s.n+buckets-1)
	}
	r := s.reader()
	before := fingerprint{}
	bucket, run := -1, 0
	sample := 0
	for i := range s.n {
		f, _ := r.next()
		if i > 0 && !before.less(f) {
			return fmt.Errorf("%w: number %d is not above the one before", errSet, i)
		}
		before = f
		b := int(f.shiftRight(s.low).lo)
		if b != bucket {
			bucket, run = b, 0
		}
		if run++; run > load {
			return fmt.Errorf("%w: more than %d numbers begin alike", errSet, load)
		}
		for ; sample<<sampleShift <= b; sample++ {
			if got := binary.BigEndian.Uint32(s.samples[4*sample:]); int64(got) != int64(i) {
				return fmt.Errorf("%w: sample %d says %d, want %d", errSet, sample, got, i)
			}
		}
	}
	for ; 4*sample < len(s.samples); sample++ {
		if got := binary.BigEndian.Uint32(s.samples[4*sample:]); int64(got) != int64(s.n) {
			return fmt.Errorf("%w: sample %d says %d, want %d", errSet, sample, got, s.n)
		}
	}
	used := s.n * int(s.low)
	tail := s.lows[used/8:]
	if len(tail) > 0 && used%8 != 0 && tail[0]>>(used%8) != 0 {
		return fmt.Errorf("%w: it does not end in zeros", errSet)
	}
	for _, b := range s.lows[(used+7)/8:] {
		if b != 0 {
			return fmt.Errorf("%w: it does not end in zeros", errSet)
		}
	}
	return nil
}

// A setWriter encodes a set of a known size.
type setWriter struct {
	set
	b      []byte
	rank   int
	sample int // the next to be written
	before fingerprint
}

func newSetWriter(n int, u uint) *setWriter {
	b := make([]byte, setLen(n, u))
	return &setWriter{set: newSet(b, n, u), b: b}
}

// add appends a number, which must be above the one before and below 2^u.
func (w *setWriter) add(f fingerprint) error {
	switch {
	case w.rank == w.n:
		return fmt.Errorf("lookup: more than %d numbers for a set", w.n)
	case w.rank > 0 && !w.before.less(f):
		return errors.New("lookup: numbers of a set are not in order")
	case f != f.mask(w.u):
		return fmt.Errorf("lookup: a number of a set has more than %d bits", w.u)
	}
	w.before = f
	bucket := int(f.shiftRight(w.low).lo)
	w.sampleTo(bucket)
	at := bucket + w.rank
	w.high[at/8] |= 1 << (at % 8)
	w.putLow(f.mask(w.low))
	w.rank++
	return nil
}

// sampleTo writes the samples up to a bucket.
func (w *setWriter) sampleTo(bucket int) {
	for ; w.sample<<sampleShift <= bucket; w.sample++ {
		binary.BigEndian.PutUint32(w.samples[4*w.sample:], uint32(w.rank))
	}
}

func (w *setWriter) putLow(f fingerprint) {
	at := uint64(w.rank) * uint64(w.low)
	b := w.lows[at/8:][:lowSlack]
	shift := uint(at % 8)
	or := func(b []byte, x uint64) { binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)|x) }
	or(b, f.lo<<shift)
	or(b[8:], f.hi<<shift|f.lo>>(64-shift))
	b[16] |= byte(f.hi >> (64 - shift))
}

// finish returns the encoding, once all numbers are there.
func (w *setWriter) finish() ([]byte, error) {
	if w.rank != w.n {
		return nil, fmt.Errorf("lookup: got %d numbers for a set of %d", w.rank, w.n)
	}
	w.sampleTo(1<<w.bucket - 1)
	return w.b, nil
}

// encodeSet returns the set of n sorted numbers.
func encodeSet(n int, numbers iter.Seq[fingerprint], u uint) ([]byte, error) {
	w := newSetWriter(n, u)
	for f := range numbers {
		if err := w.add(f); err != nil {
			return nil, err
		}
	}
	return w.finish()
}
