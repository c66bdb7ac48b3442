package records

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
)

// idsInMemory is how many ids are compared at once; 40 MB or so.
const idsInMemory = 1 << 20

// idParts is into how many parts the ids of a large source are divided, by
// their keyed hash: at 10^8 rows a part holds about 400,000 ids, 10 MB.
const idParts = 256

const idEntry = 24

// idSet finds duplicate ids in bounded memory. Ids are hashed to 128 bits under
// a key that lives in memory only, so that a false duplicate among 10^8 ids has
// probability 2^-75 and the file tells nothing.
type idSet struct {
	key   []byte
	seen  map[idHash]int64
	limit int
	dir   string
	file  *os.File
	parts [idParts]idPart
}

// idHash is the keyed hash of an id.
type idHash [16]byte

// idHasher hashes ids for one set. It is not safe for concurrent use.
type idHasher struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

func (s *idSet) hasher() *idHasher { return &idHasher{mac: hmac.New(sha256.New, s.key)} }

func (h *idHasher) hash(id string) idHash {
	h.mac.Reset()
	io.WriteString(h.mac, id)
	return idHash(h.mac.Sum(h.sum[:0])[:len(idHash{})])
}

// idPart is a chain of blocks in the file.
type idPart struct {
	buf    []byte
	blocks []int64
}

const idBlock = 512 * idEntry

func newIDSet(dir string) (*idSet, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return &idSet{key: key, seen: make(map[idHash]int64), limit: idsInMemory, dir: dir}, nil
}

// add records the id of a row, or says which row had it before.
func (s *idSet) add(k idHash, row int64) error {
	if s.file == nil {
		if first, dup := s.seen[k]; dup {
			return duplicateError(row, first)
		}
		s.seen[k] = row
		if len(s.seen) < s.limit {
			return nil
		}
		return s.spill()
	}
	return s.write(k, row)
}

func duplicateError(row, first int64) error {
	return fmt.Errorf("row %d: its id is that of row %d", row, first)
}

// spill moves all ids to a file.
func (s *idSet) spill() error {
	f, err := os.CreateTemp(s.dir, "symbolon-ids-*")
	if err != nil {
		return fmt.Errorf("temporary file for ids: %w", err)
	}
	// Without a name nothing is left behind, even after a crash, where the
	// system allows it; close removes it elsewhere.
	os.Remove(f.Name())
	s.file = f
	for k, row := range s.seen {
		if err := s.write(k, row); err != nil {
			return err
		}
	}
	s.seen = nil
	return nil
}

func (s *idSet) write(k idHash, row int64) error {
	p := &s.parts[k[0]]
	p.buf = append(p.buf, k[:]...)
	p.buf = binary.BigEndian.AppendUint64(p.buf, uint64(row))
	if len(p.buf) < idBlock {
		return nil
	}
	at, err := s.file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = s.file.Write(p.buf)
	}
	if err != nil {
		return fmt.Errorf("temporary file for ids: %w", err)
	}
	p.blocks = append(p.blocks, at)
	p.buf = p.buf[:0]
	return nil
}

// finish compares what went to the file, part by part.
func (s *idSet) finish(ctx context.Context) error {
	if s.file == nil {
		return nil
	}
	var all []byte
	for i := range s.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &s.parts[i]
		all = all[:0]
		for _, at := range p.blocks {
			n := len(all)
			all = slices.Grow(all, idBlock)[:n+idBlock]
			r := bufio.NewReaderSize(io.NewSectionReader(s.file, at, idBlock), idBlock)
			if _, err := io.ReadFull(r, all[n:]); err != nil {
				return fmt.Errorf("temporary file for ids: %w", err)
			}
		}
		all = append(all, p.buf...)
		if err := findDuplicate(all); err != nil {
			return err
		}
	}
	return nil
}

// findDuplicate sorts entries of a hash and a row, and compares neighbours.
func findDuplicate(all []byte) error {
	order := make([]int32, len(all)/idEntry)
	for i := range order {
		order[i] = int32(i)
	}
	entry := func(i int32) []byte { return all[int(i)*idEntry:][:idEntry] }
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(bytes.Compare(entry(a)[:16], entry(b)[:16]), bytes.Compare(entry(a)[16:], entry(b)[16:]))
	})
	for i := 1; i < len(order); i++ {
		a, b := entry(order[i-1]), entry(order[i])
		if bytes.Equal(a[:16], b[:16]) {
			return duplicateError(int64(binary.BigEndian.Uint64(b[16:])), int64(binary.BigEndian.Uint64(a[16:])))
		}
	}
	return nil
}

func (s *idSet) close() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
	}
}
