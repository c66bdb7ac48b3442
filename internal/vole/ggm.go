package vole

import (
	"crypto/aes"
	"crypto/cipher"

	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/oracle"
)

// A GGM tree grows from its root by the length-doubling generator
// G(x) = AES_k0(x) + x, AES_k1(x) + x with two fixed keys of the run (Guo et
// al., "Efficient and Secure Multiparty Computation from Fixed-Key Block
// Ciphers", S&P 2020). A level of n nodes grows in place: the left child of node
// i stays at i, its right child goes to n+i. A tree need not be full: the last
// node of a level may lack its right child.
type tree struct {
	shape
	prg *prg
}

// prg holds the two fixed keys.
type prg struct {
	left, right cipher.Block
	schedules   schedules
}

var host = cpu.Host()

func newPRG(binding []byte) *prg {
	keys := oracle.Sum(treeDomain, binding)
	g := &prg{}
	var err error
	if g.left, err = aes.NewCipher(keys[:16]); err != nil {
		panic("vole: " + err.Error())
	}
	if g.right, err = aes.NewCipher(keys[16:]); err != nil {
		panic("vole: " + err.Error())
	}
	g.schedules.expand(host, [2]field.Element{field.Load(keys[:]), field.Load(keys[16:])})
	return g
}

// growFrom replaces nodes from to n-1 by their left children and puts their
// right children n further on, up to len(nodes). It returns the sums of both.
func (g *prg) growFrom(nodes []field.Element, n, from int) (left, right field.Element) {
	var in, out [field.Size]byte
	for i := from; i < n; i++ {
		x := nodes[i]
		in = x.Bytes()
		g.left.Encrypt(out[:], in[:])
		l := field.FromBytes(out).Add(x)
		nodes[i] = l
		left = left.Add(l)
		if n+i < len(nodes) {
			g.right.Encrypt(out[:], in[:])
			r := field.FromBytes(out).Add(x)
			nodes[n+i] = r
			right = right.Add(r)
		}
	}
	return left, right
}

// expand grows a whole tree into leaves and returns the sums of the left and
// right children of each level.
func (t *tree) expand(leaves []field.Element, root field.Element, sums [][2]field.Element) {
	leaves[0] = root
	for l := range t.depth {
		n := t.level(l)
		sums[l][0], sums[l][1] = t.prg.grow(host, leaves[:t.level(l+1)], n)
	}
}

// path returns the sides that lead to the leaf at position, level by level: 0
// for left.
func (t *tree) path(position int) []uint64 {
	p := make([]uint64, t.depth)
	for l := t.depth - 1; l >= 0; l-- {
		if n := t.level(l); position >= n {
			position -= n
			p[l] = 1
		}
	}
	return p
}

// puncture grows a tree into leaves without the path to one, whose leaf it
// leaves zero. known[l] is the sum of the children of level l on the side
// that the path does not take.
func (t *tree) puncture(leaves []field.Element, path []uint64, known []field.Element) {
	leaves[0] = field.Element{}
	at := 0
	for l := range t.depth {
		n, m := t.level(l), t.level(l+1)
		// The unknown node at position at holds zero, and so its children
		// come out wrong: one is the new unknown, the other follows from
		// the sum of its side.
		var sums [2]field.Element
		sums[0], sums[1] = t.prg.grow(host, leaves[:m], n)
		child := [2]int{at, n + at}
		on, off := path[l], 1-path[l]
		if c := child[off]; c < m {
			leaves[c] = leaves[c].Add(sums[off]).Add(known[l])
		}
		at = child[on]
		leaves[at] = field.Element{}
	}
}
