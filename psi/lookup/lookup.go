// Package lookup holds the filters behind missing-person lookups: what an owner
// publishes of its match keys, and what an asker keeps of it.
//
// For every match key the owner computes the output of a verifiable oblivious
// PRF (RFC 9497, ristretto255-SHA512) under a key of one agreement and epoch.
// A filter holds a fingerprint of each output in a compact sorted table, and, at
// the fingerprint's rank, a sealed entry that leads to the labels of the
// records behind the key. Without an output the filter is noise; with one, a
// test is a look at the table.
//
//	owner                                               asker
//	items ── VOPRF ──► outputs ──► filter, manifest ──► copy of the filter
//	                      ▲  delta, manifest ─────────► the same, a version on
//	                      └── blinded items ◄────────── item of a query
//	                          evaluated, proof ───────► output ──► hit or no hit
//
// A filter has an epoch, the time of one key, and within it serials: versions,
// each with a manifest that the owner signs and that fixes every byte of filter
// and deltas. The package knows no network, no clock and no signature; the
// VOPRF comes to it as a function.
//
// One evaluation is good for as long as the epoch lasts: who has a key's output
// can test every later version of the filter with it.
package lookup

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/symbolon/symbolon/psi"
)

// Domains of what is hashed.
const (
	domainContext     = "symbolon/v1/lookup"
	domainItem        = "symbolon/v1/lookup-item"
	domainSeed        = "symbolon/v1/lookup-seed"
	domainFingerprint = "symbolon/v1/lookup-fingerprint"
	domainLabelKey    = "symbolon/v1/lookup-label-key"
)

// OutputSize is the length of a VOPRF output in bytes.
const OutputSize = 64

// Bounds of parameters.
const (
	MaxKeysLimit         = 4096
	MinFalsePositiveLog2 = 16
	MaxFalsePositiveLog2 = 64
	maxSlots             = 64
	roomFloor            = 1 << 16 // keys for which every table has room
	maxFingerprintBits   = 28 + 12 + MaxFalsePositiveLog2 + 1
)

// MaxTableKeys bounds the slots of a table.
const MaxTableKeys = psi.MaxItems

// ErrPeer marks what is the peer's fault, as psi.ErrPeer does.
var ErrPeer = psi.ErrPeer

// Params fixes the lookups of one agreement in one epoch. Both sides take them
// from the agreement.
type Params struct {
	// Agreement is the agreement's id, Epoch counts its keys from 1.
	Agreement [32]byte
	Epoch     uint32
	// MaxKeys is the number of match keys that a record may have.
	MaxKeys int
	// FalsePositiveLog2 bounds the probability that a query of MaxKeys keys
	// hits by chance: 2^-FalsePositiveLog2.
	FalsePositiveLog2 int
	// LabelBytes is the length of a label's three parts together, Slots the
	// number of records that one key leads to. Both are 0 without labels.
	LabelBytes, Slots int
}

// Validate reports the first parameter that can't be.
func (p *Params) Validate() error {
	switch {
	case p.Agreement == [32]byte{}:
		return errors.New("lookup: agreement id is zero")
	case p.Epoch == 0:
		return errors.New("lookup: epoch is 0, the first is 1")
	case p.MaxKeys < 1 || p.MaxKeys > MaxKeysLimit:
		return fmt.Errorf("lookup: %d keys a record are outside [1, %d]", p.MaxKeys, MaxKeysLimit)
	case p.FalsePositiveLog2 < MinFalsePositiveLog2 || p.FalsePositiveLog2 > MaxFalsePositiveLog2:
		return fmt.Errorf("lookup: false positives of 2^-%d are outside 2^-%d to 2^-%d",
			p.FalsePositiveLog2, MinFalsePositiveLog2, MaxFalsePositiveLog2)
	case (p.LabelBytes == 0) != (p.Slots == 0):
		return fmt.Errorf("lookup: labels of %d bytes in %d slots: both or neither must be 0", p.LabelBytes, p.Slots)
	case p.LabelBytes < 0 || p.LabelBytes > MaxLabel:
		return fmt.Errorf("lookup: labels of %d bytes are outside [0, %d]", p.LabelBytes, MaxLabel)
	case p.Slots < 0 || p.Slots > maxSlots:
		return fmt.Errorf("lookup: %d label slots are outside [0, %d]", p.Slots, maxSlots)
	}
	return nil
}

// Labelled reports whether hits open labels.
func (p *Params) Labelled() bool { return p.Slots > 0 }

// Context returns the bytes to which everything of the agreement and epoch is
// bound.
func (p *Params) Context() []byte {
	b := psi.AppendPart(nil, []byte(domainContext))
	b = psi.AppendPart(b, p.Agreement[:])
	return binary.BigEndian.AppendUint32(b, p.Epoch)
}

// Item is a match key as the VOPRF takes it.
type Item [32]byte

// Hasher turns match keys into items. It is not safe for concurrent use; every
// goroutine has its own.
type Hasher struct {
	buf  []byte
	head int
}

// Hasher returns a hasher for the agreement and epoch.
func (p *Params) Hasher() *Hasher {
	b := psi.AppendPart(nil, []byte(domainItem))
	b = psi.AppendPart(b, p.Agreement[:])
	b = psi.AppendPart(b, binary.BigEndian.AppendUint32(nil, p.Epoch))
	return &Hasher{b, len(b)}
}

// Item returns the item of a rule's canonical key: SHA-256 over (domain,
// agreement id, epoch, rule id, key), every part prefixed with its length.
func (h *Hasher) Item(rule, key string) Item {
	b := h.buf[:h.head]
	for _, part := range [2]string{rule, key} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	h.buf = b
	return sha256.Sum256(b)
}

// Seed is what a filter is tested with: a hash of an item's VOPRF output. It is
// as secret as the output, and good until the epoch ends.
type Seed [32]byte

// Seed returns the seed of an output of OutputSize bytes.
func (p *Params) Seed(output []byte) Seed {
	return psi.HashTuple([]byte(domainSeed), p.Context(), output)
}

// keyer derives from seeds what a filter is made of.
type keyer struct {
	context []byte
	bits    uint
}

func newKeyer(p *Params, bits int) keyer { return keyer{p.Context(), uint(bits)} }

// fingerprint returns the seed's place in the table: the first bits of a hash.
func (k keyer) fingerprint(s Seed) fingerprint {
	h := psi.HashTuple([]byte(domainFingerprint), k.context, s[:])
	return fingerprintOf(h[:], k.bits)
}

// labelKey returns the key of the seed's entry.
func (k keyer) labelKey(s Seed) [32]byte {
	return psi.HashTuple([]byte(domainLabelKey), k.context, s[:])
}

// paddedCount returns n rounded up to a step of an eighth to a sixteenth of it,
// at least 64: what is shown of a count.
func paddedCount(n int) int {
	const least = 64
	if n <= least {
		return least
	}
	step := 1 << max(bits.Len(uint(n))-1-3, 0)
	return (n + step - 1) / step * step
}

// reserve is the least number of dummies beside n real keys or rows. They pad
// the removals of a delta, and keep a table from showing when it is just full.
func reserve(n int) int { return 64 + n/64 }

// fingerprintBits returns the length of a fingerprint with which a table of so
// many slots may double and still keep to the stated rate of false positives,
// 2·slots·MaxKeys / 2^bits ≤ 2^-FalsePositiveLog2, and to a probability of at
// most 2^-20 that two of its keys share a fingerprint, (2·slots)² / 2^(bits+1).
func (p *Params) fingerprintBits(slots int) int {
	slots = 2 * max(slots, roomFloor)
	return max(ceilLog2(slots*p.MaxKeys)+p.FalsePositiveLog2, 2*ceilLog2(slots)-1+20)
}

// fits reports whether a table of so many slots keeps to the stated rate.
func (p *Params) fits(slots, fingerprintBits int) bool {
	return ceilLog2(slots*p.MaxKeys)+p.FalsePositiveLog2 <= fingerprintBits
}
