package sealed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/internal/parallel"
)

// A block file holds BlockSlots slots:
//
//	0     "SYMB"  4 version  8 block u32  12 form  16 byte order
//	32    the head's hash, which binds it to one index
//	64    CRC-32C of the sketches  68 of the diagonals  72 of bytes 0 to 71
//	4096  sketches, Groups bytes a slot, 255 throughout an empty one
//	      diagonals (fast form), 32-bit residues in the host's byte order,
//	      [limb][chunk][group][rotation][coefficient], from a multiple of 4096
//
// The checksums find damage, not tampering: whoever can write the index can
// answer whatever they like.
const (
	blockMagic = "SYMB"
	blockPage  = 4096
	byteOrder  = 0x01020304
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// block is a mapped block file. Scans hold references; the last to go unmaps.
type block struct {
	data      []byte
	unmap     func() error
	refs      atomic.Int64
	sketches  []uint8
	diagonals []uint32
	sums      [2]uint32
	entries   int
	verify    func() error
}

func (x *Index) blockPath(at int) string {
	return filepath.Join(x.dir, fmt.Sprintf("block-%05d", at))
}

// layout returns where the diagonals begin and the file ends.
func (x *Index) layout() (diagonals, end int64) {
	diagonals = blockPage + int64(x.p.blockSlots()*x.p.Groups+blockPage-1)/blockPage*blockPage
	if x.form == Compact {
		return diagonals, diagonals
	}
	return diagonals, diagonals + 4*int64(x.c.DiagonalWords())
}

func (x *Index) blockHeader(at int, sums [2]uint32) []byte {
	b := make([]byte, blockPage)
	copy(b, blockMagic)
	b[4] = indexVersion
	binary.LittleEndian.PutUint32(b[8:], uint32(at))
	b[12] = byte(x.form)
	binary.NativeEndian.PutUint32(b[16:], byteOrder)
	copy(b[32:], x.id[:])
	binary.LittleEndian.PutUint32(b[64:], sums[0])
	binary.LittleEndian.PutUint32(b[68:], sums[1])
	binary.LittleEndian.PutUint32(b[72:], crc32.Checksum(b[:72], castagnoli))
	return b
}

// openBlock maps a block and checks it, the diagonals' checksum excepted, which
// the first scan looks at.
func (x *Index) openBlock(at int) (*block, error) {
	path := x.blockPath(at)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	start, end := x.layout()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() != end {
		return nil, fmt.Errorf("sealed: %s has %d bytes, want %d", path, info.Size(), end)
	}
	data, unmap, err := disk.Map(f, end)
	if err != nil {
		return nil, fmt.Errorf("sealed: %s: %w", path, err)
	}
	b := &block{data: data, unmap: unmap}
	b.refs.Store(1)
	b.sums = [2]uint32{binary.LittleEndian.Uint32(data[64:]), binary.LittleEndian.Uint32(data[68:])}
	if string(data[:blockPage]) != string(x.blockHeader(at, b.sums)) {
		return nil, errors.Join(fmt.Errorf("sealed: %s is damaged, of another index, or of a machine of other byte order", path), b.release())
	}
	sketches := data[blockPage:][:x.p.blockSlots()*x.p.Groups]
	if crc32.Checksum(sketches, castagnoli) != b.sums[0] {
		return nil, errors.Join(fmt.Errorf("sealed: %s: the sketches are damaged", path), b.release())
	}
	b.sketches = append([]uint8(nil), sketches...)
	for i := 0; i < len(b.sketches); i += x.p.Groups {
		b.entries += occupied(b.sketches[i:])
	}
	raw := data[start:]
	if len(raw) > 0 {
		b.diagonals = unsafe.Slice((*uint32)(unsafe.Pointer(&raw[0])), len(raw)/4)
	}
	b.verify = sync.OnceValue(func() error {
		if crc32.Checksum(raw, castagnoli) != b.sums[1] {
			return fmt.Errorf("sealed: %s: the diagonals are damaged", path)
		}
		return nil
	})
	return b, nil
}

func (b *block) release() error {
	if b == nil || b.refs.Add(-1) > 0 {
		return nil
	}
	return b.unmap()
}

// blockWriter encodes and writes blocks, with one buffer for all.
type blockWriter struct {
	x         *Index
	workers   int
	diagonals []uint32
}

func (x *Index) newBlockWriter(workers int) *blockWriter {
	return &blockWriter{x: x, workers: workers}
}

func (w *blockWriter) write(ctx context.Context, at int, sketches []uint8) error {
	x := w.x
	var raw []byte
	if x.form == Fast {
		if w.diagonals == nil {
			w.diagonals = make([]uint32, x.c.DiagonalWords())
		}
		size := x.c.Babies() * x.c.Chunk()
		err := parallel.For(ctx, w.workers, x.c.Giants(), func(g int) error {
			x.c.NewDiagonalizer().Group(w.diagonals[g*size:], x.c.Giants()*size, sketches, g)
			return nil
		})
		if err != nil {
			return err
		}
		raw = unsafe.Slice((*byte)(unsafe.Pointer(&w.diagonals[0])), 4*len(w.diagonals))
	}
	start, _ := x.layout()
	padding := make([]byte, start-blockPage-int64(len(sketches)))
	sums := [2]uint32{crc32.Checksum(sketches, castagnoli), crc32.Checksum(raw, castagnoli)}
	if err := ctx.Err(); err != nil {
		return err
	}
	return disk.Replace(x.blockPath(at), x.blockHeader(at, sums), sketches, padding, raw)
}
