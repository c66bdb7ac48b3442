package ot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/bitvec"
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/oracle"
)

// BaseCount is the number of base OTs an extension needs: κ.
const BaseCount = 128

// ErrCheck reports that the receiver of an extension is inconsistent: a peer
// that lies.
var ErrCheck = errors.New("ot: consistency check failed")

// The extension is SoftSpokenOT of Roy, "SoftSpokenOT: Quieter OT Extension
// from Small-Field Silent VOLE in the Minicrypt Model" (CRYPTO 2022), with
// k = 1: the repetition code over GF(2), no trees, and 16 bytes a correlation,
// which is little here (a run needs some 37,000). For base OT i the receiver
// holds both keys and so columns t_i, t'_i; it sends d_i = t_i + t'_i + u. The
// sender holds one key and Δ_i, and computes q_i = t_i + Δ_i·u. Row j of the
// transposed matrices then gives q_j = t_j + u_j·Δ.
//
// A lying receiver uses another u in some columns. Both sides apply a linear
// universal hash over GF(2^128) to every column, whose last 128 random rows
// hide u; the hash's coefficients come from the receiver's message by
// Fiat-Shamir (Roy, Section 4.1). What remains is that a receiver may
// guess bits of Δ, each with probability 1/2 of being caught at once.
const (
	cotChallenge = "symbolon/v1/ot/challenge"
	cotDigest    = "symbolon/v1/ot/digest"
	maskRows     = 128
)

// rowsFor is the number of rows of an extension to n: n rounded up to whole
// field elements a column, and the rows that hide u in the check.
func rowsFor(n int) int { return (n+127)/128*128 + maskRows }

// ExtendLen is the length in bytes of the message that extends to n.
func ExtendLen(n int) int { return BaseCount*rowsFor(n)/8 + field.Size + 32 }

// Extend makes n correlated OTs as the receiver, of which bit j of choices is
// choice j. It returns the message for the sender and t. The binding names the
// run and the base OTs; the pairs are used for nothing else.
func Extend(binding []byte, pairs [][2]Key, choices bitvec.Vector, n int, rand io.Reader) ([]byte, []field.Element, error) {
	if len(pairs) != BaseCount || len(choices) != len(bitvec.New(n)) {
		panic(fmt.Sprintf("ot: got %d base OTs and %d words of choices for %d OTs", len(pairs), len(choices), n))
	}
	rows := rowsFor(n)
	words := rows / 64
	u, err := padChoices(choices, n, rows, rand)
	if err != nil {
		return nil, nil, err
	}
	columns := make([]uint64, BaseCount*words)
	msg := make([]byte, ExtendLen(n))
	other := make([]uint64, words)
	for i, pair := range pairs {
		t := columns[i*words : (i+1)*words]
		expand(t, pair[0])
		expand(other, pair[1])
		d := msg[i*words*8 : (i+1)*words*8]
		for w := range t {
			binary.LittleEndian.PutUint64(d[8*w:], t[w]^other[w]^u[w])
		}
	}
	body := BaseCount * words * 8
	check := newColumnHash(binding, msg[:body], rows)
	uHash := check.sum(u).Bytes()
	digest := check.digest(columns, field.Element{}, field.Element{})
	copy(msg[body:], uHash[:])
	copy(msg[body+field.Size:], digest[:])

	t := make([]field.Element, rows)
	bitvec.Transpose(t, columns)
	return msg, t[:n], nil
}

// Accept makes n correlated OTs as the sender from the receiver's message: q
// with t[j] = q[j] + u[j]·delta. Bit i of delta chose key i. It returns an
// error that wraps ErrCheck if the receiver lies.
func Accept(binding []byte, keys []Key, delta field.Element, msg []byte, n int) ([]field.Element, error) {
	if len(keys) != BaseCount {
		panic(fmt.Sprintf("ot: got %d base OTs, want %d", len(keys), BaseCount))
	}
	if len(msg) != ExtendLen(n) {
		return nil, fmt.Errorf("%w: extension is %d bytes, want %d", ErrMalformed, len(msg), ExtendLen(n))
	}
	rows := rowsFor(n)
	words := rows / 64
	columns := make([]uint64, BaseCount*words)
	for i, key := range keys {
		q := columns[i*words : (i+1)*words]
		expand(q, key)
		mask := -deltaBit(delta, i)
		d := msg[i*words*8 : (i+1)*words*8]
		for w := range q {
			q[w] ^= mask & binary.LittleEndian.Uint64(d[8*w:])
		}
	}
	body := BaseCount * words * 8
	check := newColumnHash(binding, msg[:body], rows)
	digest := check.digest(columns, delta, field.Load(msg[body:]))
	if !bytes.Equal(digest[:], msg[body+field.Size:]) {
		return nil, fmt.Errorf("%w: columns disagree", ErrCheck)
	}
	q := make([]field.Element, rows)
	bitvec.Transpose(q, columns)
	return q[:n], nil
}

// padChoices returns the choices followed by random rows.
func padChoices(choices bitvec.Vector, n, rows int, rand io.Reader) (bitvec.Vector, error) {
	buf := make([]byte, rows/8)
	if _, err := io.ReadFull(rand, buf); err != nil {
		return nil, fmt.Errorf("ot: reading randomness: %w", err)
	}
	u := bitvec.New(rows)
	for w := range u {
		u[w] = binary.LittleEndian.Uint64(buf[8*w:])
	}
	full := n / 64
	copy(u, choices[:full])
	if r := n % 64; r > 0 {
		mask := uint64(1)<<r - 1
		u[full] = u[full]&^mask | choices[full]&mask
	}
	return u, nil
}

// expand fills a column with the stream of a key.
func expand(column []uint64, key Key) {
	buf := make([]byte, 8*len(column))
	oracle.Fill(buf, oracle.Stream(key[:]))
	for w := range column {
		column[w] = binary.LittleEndian.Uint64(buf[8*w:])
	}
}

func deltaBit(delta field.Element, i int) uint64 {
	if i < 64 {
		return delta.Lo >> i & 1
	}
	return delta.Hi >> (i - 64) & 1
}

// columnHash is the universal hash Σ χ_j·x_j + x_last over the column's field
// elements.
type columnHash struct{ chi []field.Element }

func newColumnHash(binding, body []byte, rows int) *columnHash {
	key := oracle.Sum(cotChallenge, binding, body)
	n := rows / 128
	buf := make([]byte, field.Size*n)
	oracle.Fill(buf, oracle.Stream(key[:]))
	h := &columnHash{chi: make([]field.Element, n)}
	field.Decode(h.chi, buf)
	h.chi[n-1] = field.One
	return h
}

func (h *columnHash) sum(column []uint64) field.Element {
	x := make([]field.Element, len(h.chi))
	for j := range x {
		x[j] = field.Element{Lo: column[2*j], Hi: column[2*j+1]}
	}
	return field.InnerProduct(h.chi, x)
}

// digest hashes h(column i) + Δ_i·uHash over all columns. Only a digest travels:
// it fixes the 128 values as well as they do themselves.
func (h *columnHash) digest(columns []uint64, delta, uHash field.Element) [32]byte {
	words := 2 * len(h.chi)
	all := make([]byte, 0, BaseCount*field.Size)
	for i := range BaseCount {
		s := h.sum(columns[i*words : (i+1)*words])
		mask := -deltaBit(delta, i)
		s.Lo ^= mask & uHash.Lo
		s.Hi ^= mask & uHash.Hi
		b := s.Bytes()
		all = append(all, b[:]...)
	}
	return oracle.Sum(cotDigest, all)
}
