package psi

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/crypto/chacha20poly1305"
)

// Labels tell the receiver what the sender calls a shared record. They travel
// in two parts, after the tags of a run.
//
// The table has one row for each record, in an order shuffled by the sender,
// and random rows up to a padded number:
//
//	nonce 24 | sealed under the record's key: length 2, label, zeros | 16
//
// The entries, one for each tag in the order of the tags, point from an item to
// its records:
//
//	nonce 24 | sealed under the item's label key: flags 1, slots · (row 4, record key 32) | 16
//
// An item's label key comes from the engine's full output for it, so only who
// holds the item opens its entry, and only entries open rows. Sealing is
// XChaCha20-Poly1305 (RFC 8439 with the extended nonce of
// draft-irtf-cfrg-xchacha-03), numbers are big-endian. Tags without records,
// which stand for padding, have entries of random bytes. A sender may lie
// about any label.
const (
	nonceLen     = chacha20poly1305.NonceSizeX
	sealOverhead = nonceLen + chacha20poly1305.Overhead
	recordKeyLen = chacha20poly1305.KeySize
	slotLen      = 4 + recordKeyLen
	flagMore     = 1
	noRow        = math.MaxUint32
)

// Domains of the associated data.
const (
	domainEntry = "symbolon/v1/label-entry"
	domainRow   = "symbolon/v1/label-row"
)

// LabelParams fixes the labels of a session. Both parties hold equal values.
type LabelParams struct {
	// Associated are canonical bytes of the agreement, the session and the
	// version, to which entries and rows are bound.
	Associated []byte
	// LabelLen is the length to which labels are padded, in bytes; longer ones
	// are an error.
	LabelLen int
	// Slots is the number of records to which one item can point. Further
	// ones are left out, and the entry says that there are more.
	Slots int
	// Rows is the number of the sender's records after padding.
	Rows int
}

// Validate reports the first parameter that can't be.
func (p *LabelParams) Validate() error {
	switch {
	case p.LabelLen < 1 || p.LabelLen > math.MaxUint16:
		return fmt.Errorf("psi: label length %d is outside [1, %d]", p.LabelLen, math.MaxUint16)
	case p.Slots < 1 || p.Slots > math.MaxUint8:
		return fmt.Errorf("psi: %d label slots are outside [1, %d]", p.Slots, math.MaxUint8)
	case p.Rows < 0 || p.Rows > MaxItems:
		return fmt.Errorf("psi: %d label rows are outside [0, %d]", p.Rows, MaxItems)
	}
	return nil
}

// EntryLen is the length of an entry in bytes.
func (p *LabelParams) EntryLen() int { return sealOverhead + 1 + p.Slots*slotLen }

// RowLen is the length of a row of the table in bytes.
func (p *LabelParams) RowLen() int { return sealOverhead + 2 + p.LabelLen }

// labelBatch returns the number of entries or rows in the batch that follows
// done of total, each size bytes long.
func labelBatch(done, total, size int) int {
	return min(total-done, MaxPayload/size, 4096)
}

// labelChunk is the number of entries that a worker seals at a time.
const labelChunk = 256

// sealer returns the AEAD under key.
func sealer(key [32]byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		// Only the key's length can be wrong.
		panic("psi: " + err.Error())
	}
	return aead
}

// associated is what an entry or row is bound to besides its key: its domain,
// the session, the run (nil for rows) and its place.
type associated struct{ prefix []byte }

func newAssociated(domain string, session, run []byte) associated {
	b := AppendPart(nil, []byte(domain))
	b = AppendPart(b, session)
	return associated{AppendPart(b, run)}
}

func (a associated) at(place int) []byte {
	b := make([]byte, len(a.prefix), len(a.prefix)+8)
	copy(b, a.prefix)
	return binary.BigEndian.AppendUint64(b, uint64(place))
}
