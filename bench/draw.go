package bench

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"strings"

	"github.com/symbolon/symbolon/psi"
)

// draw yields the choices of a synthetic person or record. It depends on the
// seed and the numbers alone, on every machine and in every release: it uses no
// derived method of math/rand. These draws protect nothing.
type draw struct{ pcg rand.PCG }

func newDraw(seed uint64, stream string, index int) *draw {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], seed)
	binary.BigEndian.PutUint64(n[8:], uint64(index))
	h := psi.HashTuple([]byte("symbolon/bench/population"), []byte(stream), n[:])
	d := new(draw)
	d.pcg.Seed(binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:]))
	return d
}

// below returns a number from 0 to n-1; its bias is under n/2^64.
func (d *draw) below(n int) int {
	hi, _ := bits.Mul64(d.pcg.Uint64(), uint64(n))
	return int(hi)
}

// chance reports true with probability p.
func (d *draw) chance(p float64) bool {
	return float64(d.pcg.Uint64()>>11)/(1<<53) < p
}

// pick returns one of the elements of s.
func pick[T any](d *draw, s []T) T { return s[d.below(len(s))] }

// skewed returns a number from 0 to n-1, low ones more often, as names are
// distributed.
func (d *draw) skewed(n int) int { return min(d.below(n), d.below(n)) }

// fill replaces # by digits and @ by letters. The first character is no zero,
// which spreadsheets would drop.
func (d *draw) fill(template string) string {
	var b strings.Builder
	for i, c := range []byte(template) {
		switch {
		case c == '#' && i == 0:
			b.WriteByte('1' + byte(d.below(9)))
		case c == '#':
			b.WriteByte('0' + byte(d.below(10)))
		case c == '@':
			b.WriteByte("ABCDEFGHJKLMNPRSTUVWXYZ"[d.below(23)])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
