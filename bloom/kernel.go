package bloom

import "math/bits"

// rowsPerTile is how many CLKs of the one side a kernel takes at a time.
const rowsPerTile = 4

// places is the number of binary places of bases and bounds, so that fractions
// of a bit decide, too.
const places = 16

// scanArgs is one call of the kernel: four CLKs (rows) against groups of eight.
//
//	tile    w0r0 w0r1 w0r2 w0r3 w1r0 ...           words·4
//	groups  w0c0 ... w0c7 w1c0 ... , next group    n·words·8
//
// Row r and candidate c pass if base[r] plus 2^places times their number of bits
// in common reaches bounds[c]; then bit c%8 of masks[c/8][r] is set. All that Dice,
// Jaccard and Hamming ask of a pair has this form.
type scanArgs struct {
	masks  [][rowsPerTile]byte
	tile   []uint64
	groups []uint64
	bounds []int64
	base   [rowsPerTile]int64
}

func (s *scanArgs) words() int { return len(s.tile) / rowsPerTile }

// scanGeneric is the kernel in plain Go.
func scanGeneric(s *scanArgs) {
	words := s.words()
	for g := range s.masks {
		candidates := s.groups[g*words*group : (g+1)*words*group]
		bounds := (*[group]int64)(s.bounds[g*group:])
		for r := range rowsPerTile {
			var n [group]int
			for w := range words {
				row := s.tile[w*rowsPerTile+r]
				c := (*[group]uint64)(candidates[w*group:])
				n[0] += bits.OnesCount64(row & c[0])
				n[1] += bits.OnesCount64(row & c[1])
				n[2] += bits.OnesCount64(row & c[2])
				n[3] += bits.OnesCount64(row & c[3])
				n[4] += bits.OnesCount64(row & c[4])
				n[5] += bits.OnesCount64(row & c[5])
				n[6] += bits.OnesCount64(row & c[6])
				n[7] += bits.OnesCount64(row & c[7])
			}
			mask := byte(0)
			for i, common := range n {
				if s.base[r]+int64(common)<<places >= bounds[i] {
					mask |= 1 << i
				}
			}
			s.masks[g][r] = mask
		}
	}
}
