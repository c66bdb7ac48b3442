package he

import "math"

// chunkSize is the number of coefficients that lie together in an index and in
// the rotated query: what the kernel sums in registers.
const chunkSize = 32

// multiplyAddGeneric sets lo and hi to the sums over all rotations of diagonal times
// rotated query, lazily: modulo the prime, but only below 2^64. diagonals is
// [rotation][coefficient], rotated [rotation][half][coefficient]; residues are
// below 2^31 and m is the largest multiple of the prime under 2^63.
//
// Two products on top of a sum under 2^63 stay under 2^64; m is then taken off
// where it fits, which leaves a sum under 2^63 again, up to the prime.
func multiplyAddGeneric(lo, hi []uint64, diagonals, rotated []uint32, m uint64) {
	size := len(lo)
	clear(lo)
	clear(hi)
	for b := 0; b+1 < len(diagonals)/size; b += 2 {
		d0, d1 := diagonals[b*size:][:size], diagonals[(b+1)*size:][:size]
		l0, h0 := rotated[2*b*size:][:size], rotated[(2*b+1)*size:][:size]
		l1, h1 := rotated[(2*b+2)*size:][:size], rotated[(2*b+3)*size:][:size]
		lo, hi := lo[:size], hi[:size]
		for i, x := range d0 {
			x, y := uint64(x), uint64(d1[i])
			s := lo[i] + x*uint64(l0[i]) + y*uint64(l1[i])
			lo[i] = min(s, s-m)
			s = hi[i] + x*uint64(h0[i]) + y*uint64(h1[i])
			hi[i] = min(s, s-m)
		}
	}
}

// convertGeneric extends the rows of src, n residues each below its source
// prime, to rows of dst below four times the target.
func convertGeneric(v *conversion, dst, src []uint64, n int) {
	var y [8]uint64
	for x := range n {
		sum := 0.0
		k := v.constants
		for i := range v.sources {
			q := k[1]
			y[i] = src[i*n+x] * (k[0] & (1<<32 - 1)) % q
			sum += float64(y[i]) * math.Float64frombits(k[2])
			k = k[sourceWords:]
		}
		y[v.sources] = uint64(sum + 0.5)
		for _, offset := range v.offsets {
			var s uint64
			for i := range v.sources + 1 {
				s += y[i] * k[2+i]
			}
			dst[offset+x] = montgomery(s, k[0], k[1])
			k = k[3+v.sources:]
		}
	}
}

// montgomery returns s·2^-32 mod p, below 4p.
func montgomery(s, p, inverse uint64) uint64 {
	m := uint64(uint32(s) * uint32(inverse))
	return s>>32 + p - m*p>>32
}

// sumProductsGeneric sets dst to the sums of products of up to three rows,
// below q, with rows of a key.
func sumProductsGeneric(dst []uint64, rows [][]uint64, key [][]uint32, q uint64) {
	inverse := inverse32(q)
	for i := range dst {
		var s uint64
		for d, row := range rows {
			s += row[i] * uint64(key[d][i])
		}
		t := montgomery(s, q, inverse)
		t = min(t, t-2*q)
		dst[i] = min(t, t-q)
	}
}

// subtractScaleGeneric sets dst to (a - b)·scale + plus mod q; plus may be nil.
func subtractScaleGeneric(dst, a, b, plus []uint64, scale, q uint64) {
	w := scale & (1<<32 - 1)
	for i := range dst {
		v := (a[i] + q - b[i]) * w % q
		if plus != nil {
			v += plus[i]
			v = min(v, v-q)
		}
		dst[i] = v
	}
}
