package he

import (
	"encoding/binary"
	"errors"
)

// ErrRange says that a packed coefficient is not below its prime.
var ErrRange = errors.New("sealed: a coefficient is not below its modulus")

// pack appends the residues, LimbBits bits each, low bits first.
func pack(dst []byte, src []uint64) []byte {
	var acc uint64
	var n uint
	for _, v := range src {
		acc |= v << n
		n += LimbBits
		if n >= 32 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(acc))
			acc >>= 32
			n -= 32
		}
	}
	return dst // the count is a multiple of 32: no bits are left
}

// unpack reads residues below q into dst and returns the rest of src, which the
// caller has checked to be long enough.
func unpack(dst []uint64, src []byte, q uint64) ([]byte, error) {
	var acc uint64
	var n uint
	for i := range dst {
		if n < LimbBits {
			acc |= uint64(binary.LittleEndian.Uint32(src)) << n
			src = src[4:]
			n += 32
		}
		v := acc & (1<<LimbBits - 1)
		if v >= q {
			return nil, ErrRange
		}
		dst[i] = v
		acc >>= LimbBits
		n -= LimbBits
	}
	return src, nil
}
