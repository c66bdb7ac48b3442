package sealed

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed/internal/he"
)

// What is wrong with a message. All wrap psi.ErrPeer.
var (
	// ErrFormat: the bytes are not of the form, wrong in length, or hold
	// coefficients out of range.
	ErrFormat = fmt.Errorf("%w: malformed sealed search message", psi.ErrPeer)
	// ErrParams: made for other parameters.
	ErrParams = fmt.Errorf("%w: sealed search with other parameters", psi.ErrPeer)
	// ErrScope: made for another agreement or epoch, or under other keys.
	ErrScope = fmt.Errorf("%w: sealed search message of another agreement, epoch or key", psi.ErrPeer)
)

// kind is what a message is.
type kind uint8

const (
	kindKeys   kind = 1
	kindQuery  kind = 2
	kindAnswer kind = 3
)

var kindNames = map[kind]string{kindKeys: "keys", kindQuery: "query", kindAnswer: "answer"}

const (
	magic      = "SYMS"
	version    = 1
	headerSize = 168
)

// header begins every message: little-endian, headerSize bytes.
//
//	 0  "SYMS"       4  version      5  kind        6  log2 of the ring degree
//	 8  groups      10  symbols     12  threshold  14  limit (queries)
//	16  epoch       24  agreement   56  number     64  first
//	96  second     128  third
//
// Bytes not named are zero.
type header struct {
	kind                 kind
	limit                int
	number               uint64
	first, second, third [32]byte
}

func (h header) append(dst []byte, p Params, s Scope) []byte {
	var b [headerSize]byte
	copy(b[:], magic)
	b[4], b[5], b[6] = version, byte(h.kind), byte(p.shape().LogN)
	binary.LittleEndian.PutUint16(b[8:], uint16(p.Groups))
	binary.LittleEndian.PutUint16(b[10:], uint16(p.Symbols))
	binary.LittleEndian.PutUint16(b[12:], uint16(p.Threshold))
	binary.LittleEndian.PutUint16(b[14:], uint16(h.limit))
	binary.LittleEndian.PutUint32(b[16:], s.Epoch)
	copy(b[24:], s.Agreement[:])
	binary.LittleEndian.PutUint64(b[56:], h.number)
	copy(b[64:], h.first[:])
	copy(b[96:], h.second[:])
	copy(b[128:], h.third[:])
	return append(dst, b[:]...)
}

// open reads the header of a message of the kind and returns it with the body,
// which has the length given.
func open(msg []byte, k kind, p Params, s Scope, body int) (header, []byte, error) {
	name := kindNames[k]
	fail := func(err error, format string, args ...any) (header, []byte, error) {
		return header{}, nil, fmt.Errorf("sealed: %s: %s: %w", name, fmt.Sprintf(format, args...), err)
	}
	if len(msg) < headerSize {
		return fail(ErrFormat, "got %d bytes, want at least %d", len(msg), headerSize)
	}
	if string(msg[:4]) != magic {
		return fail(ErrFormat, "the magic number is wrong")
	}
	if msg[4] != version {
		return fail(ErrFormat, "version %d, want %d", msg[4], version)
	}
	if kind(msg[5]) != k {
		return fail(ErrFormat, "message kind %d, want %d", msg[5], k)
	}
	h := header{kind: k, limit: int(binary.LittleEndian.Uint16(msg[14:])), number: binary.LittleEndian.Uint64(msg[56:])}
	h.first, h.second, h.third = [32]byte(msg[64:]), [32]byte(msg[96:]), [32]byte(msg[128:])
	got := Params{
		Groups:    int(binary.LittleEndian.Uint16(msg[8:])),
		Symbols:   int(binary.LittleEndian.Uint16(msg[10:])),
		Threshold: int(binary.LittleEndian.Uint16(msg[12:])),
	}
	if got.Groups != p.Groups || got.Symbols != p.Symbols || got.Threshold != p.Threshold || int(msg[6]) != p.shape().LogN {
		return fail(ErrParams, "%d groups of %d, threshold %d, ring 2^%d; want %d of %d, %d, 2^%d",
			got.Groups, got.Symbols, got.Threshold, msg[6], p.Groups, p.Symbols, p.Threshold, p.shape().LogN)
	}
	if [32]byte(msg[24:]) != s.Agreement {
		return fail(ErrScope, "another agreement")
	}
	if e := binary.LittleEndian.Uint32(msg[16:]); e != s.Epoch {
		return fail(ErrScope, "epoch %d, want %d", e, s.Epoch)
	}
	if len(msg) != headerSize+body {
		return fail(ErrFormat, "got %d bytes, want %d", len(msg), headerSize+body)
	}
	if k != kindQuery && h.limit != 0 {
		return fail(ErrFormat, "reserved bytes are not zero")
	}
	if k == kindQuery && (h.limit < p.Threshold || h.limit > p.Groups) {
		return fail(ErrParams, "threshold %d is outside %d to %d", h.limit, p.Threshold, p.Groups)
	}
	// One encoding only: what is not named is zero.
	if string(h.append(nil, p, s)) != string(msg[:headerSize]) {
		return fail(ErrFormat, "reserved bytes are not zero")
	}
	return h, msg[headerSize:], nil
}

// rangeError says which message held a coefficient out of range.
func rangeError(k kind, err error) error {
	if errors.Is(err, he.ErrRange) {
		return fmt.Errorf("sealed: %s: a coefficient is not below its modulus: %w", kindNames[k], ErrFormat)
	}
	return fmt.Errorf("sealed: %s: %w", kindNames[k], err)
}

// KeysSize returns the length of a keys message.
func (p Params) KeysSize() (int, error) {
	return p.size(func(c *he.Context) int { return c.KeysSize() })
}

// QuerySize returns the length of a query message.
func (p Params) QuerySize() (int, error) {
	return p.size(func(c *he.Context) int { return c.QuerySize() })
}

// AnswerSize returns the length of the answer to one block.
func (p Params) AnswerSize() (int, error) {
	return p.size(func(c *he.Context) int { return c.AnswerSize() })
}

func (p Params) size(body func(*he.Context) int) (int, error) {
	c, err := p.context()
	if err != nil {
		return 0, err
	}
	return headerSize + body(c), nil
}
