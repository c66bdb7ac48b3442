package he

// Empty is the symbol of a slot without a record: it agrees with nothing.
const Empty = 0xff

// DiagonalWords is the number of 32-bit words of one block's diagonals.
func (c *Context) DiagonalWords() int { return c.Limbs() * c.Dimension() * c.N() }

// A Diagonalizer turns blocks of sketches into diagonals: entry j of diagonal
// g·Babies()+b is the one-hot form of slot j - g·Babies() (within its row) at
// position j+b mod d, so that
//
//	score = Σ_g rot(Σ_b diagonal_(g,b) · rot(q, b), g·Babies())
//
// It is not safe for concurrent use.
type Diagonalizer struct {
	c     *Context
	slots []uint32
	poly  []uint64
	row   []uint64
}

// NewDiagonalizer returns one with buffers of its own.
func (c *Context) NewDiagonalizer() *Diagonalizer {
	return &Diagonalizer{c, make([]uint32, c.N()), make([]uint64, c.N()), make([]uint64, c.N())}
}

// Diagonal computes one diagonal of a block of N sketches, Groups symbols each,
// and hands over each limb's residues, transformed: put must copy them.
func (z *Diagonalizer) Diagonal(sketches []uint8, g, b int, put func(limb int, row []uint64)) {
	c := z.c
	cols, d, k := c.N()/2, c.Dimension(), c.Groups
	for j := range z.slots {
		row, col := j/cols*cols, j%cols
		at := (col + b) % d
		slot := row + (col-g*c.Babies()+cols)%cols
		// One where they are equal, without a branch.
		z.slots[j] = (uint32(int(sketches[slot*k+at%k])^at/k) - 1) >> 31
	}
	c.encodeT(z.poly, z.slots)
	for limb := range c.Limbs() {
		c.lift(z.row, z.poly, limb)
		c.ringQ.SubRings[limb].NTT(z.row, z.row)
		put(limb, z.row)
	}
}

// Group writes the diagonals of one group, laid out [limb][chunk][rotation]
// [coefficient] with the given stride between chunks, into dst.
func (z *Diagonalizer) Group(dst []uint32, stride int, sketches []uint8, g int) {
	c := z.c
	size := c.Chunk()
	chunks := c.N() / size
	for b := range c.Babies() {
		z.Diagonal(sketches, g, b, func(limb int, row []uint64) {
			for chunk := range chunks {
				out := dst[(limb*chunks+chunk)*stride+b*size:][:size]
				for i, v := range row[chunk*size:][:size] {
					out[i] = uint32(v)
				}
			}
		})
	}
}
