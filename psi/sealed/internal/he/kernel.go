package he

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
