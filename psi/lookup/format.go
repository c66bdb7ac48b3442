package lookup

import (
	"encoding/binary"
	"fmt"
)

// A filter file is
//
//	header 96 | table: set of fingerprints | entries | rows
//
// with one entry for each fingerprint, in the order of ranks, and rows as many as
// the header says; neither without labels. The header, numbers big-endian:
//
//	"symbolon filter\x01" | agreement 32 | epoch 4 | serial 8 | bits 2 |
//	max keys 2 | false positives 2 | label bytes 2 | slots 2 | keys 4 | rows 4 | zeros
type header struct {
	params     Params
	serial     uint64
	bits       int
	keys, rows int
}

const (
	headerLen   = 96
	filterMagic = "symbolon filter\x01"
	maxLoad     = 64 // fingerprints in one bucket, of which one is expected
)

func (h *header) append(b []byte, magic string) []byte {
	end := len(b) + headerLen
	b = append(b, magic...)
	b = append(b, h.params.Agreement[:]...)
	b = binary.BigEndian.AppendUint32(b, h.params.Epoch)
	b = binary.BigEndian.AppendUint64(b, h.serial)
	for _, n := range []int{h.bits, h.params.MaxKeys, h.params.FalsePositiveLog2, h.params.LabelBytes, h.params.Slots} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(h.keys))
	b = binary.BigEndian.AppendUint32(b, uint32(h.rows))
	return append(b, make([]byte, end-len(b))...)
}

// parseHeader reads a header and checks that its numbers can be.
func parseHeader(b []byte, magic string) (*header, error) {
	if len(b) < headerLen {
		return nil, fmt.Errorf("header has %d bytes, want %d", len(b), headerLen)
	}
	h := new(header)
	if string(b[:16]) != magic {
		return nil, fmt.Errorf("it does not begin with %q", magic)
	}
	h.params.Agreement = [32]byte(b[16:])
	h.params.Epoch = binary.BigEndian.Uint32(b[48:])
	h.serial = binary.BigEndian.Uint64(b[52:])
	for i, n := range []*int{&h.bits, &h.params.MaxKeys, &h.params.FalsePositiveLog2, &h.params.LabelBytes, &h.params.Slots} {
		*n = int(binary.BigEndian.Uint16(b[60+2*i:]))
	}
	keys, rows := binary.BigEndian.Uint32(b[70:]), binary.BigEndian.Uint32(b[74:])
	if err := h.params.Validate(); err != nil {
		return nil, err
	}
	if keys > MaxTableKeys || rows > MaxTableKeys || h.bits < 1 || h.bits > maxFingerprintBits || h.serial > maxSerial {
		return nil, fmt.Errorf("%d keys of %d bits and %d rows of serial %d can't be", keys, h.bits, rows, h.serial)
	}
	h.keys, h.rows = int(keys), int(rows)
	if got := h.append(nil, magic); string(got) != string(b[:headerLen]) {
		return nil, fmt.Errorf("its header does not end in zeros")
	}
	return h, nil
}

// tableLen is the length of the header and the table in bytes.
func (h *header) tableLen() int64 { return headerLen + int64(setLen(h.keys, uint(h.bits))) }

// entryAt and rowAt return the places of an entry and a row in the file.
func (h *header) entryAt(rank int) int64 {
	return h.tableLen() + int64(rank)*int64(h.params.entryLen())
}

func (h *header) rowAt(row int) int64 {
	return h.entryAt(h.keys) + int64(row)*int64(h.params.rowLen())
}

// fileLen is the length of the file in bytes.
func (h *header) fileLen() int64 { return h.rowAt(h.rows) }
