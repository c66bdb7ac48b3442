package lookup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/symbolon/symbolon/internal/disk"
)

// The book is what the owner remembers of a published serial, so that the next
// one can be told from it: which items are in the filter, by their indices, with
// a digest of what their entries say; the dummies of the table; the records with
// their rows and a digest of their labels. Digests are keyed. The file is
//
//	"symbolon book  \x01" | check 8 | serial 8 | items 4 | dummies 4 | records 4 | zero 4 |
//	items · (index 16, digest 8) | dummies · 16 | records · (id 16, row 4, digest 16) | SHA-256 32
//
// sorted by index and id; items have no digest without labels.
type book struct {
	serial  uint64
	items   []byte
	dummies []fingerprint
	records []bookRecord
	itemLen int
	unmap   func() error
}

// bookRecord is a record with labels.
type bookRecord struct {
	id     index
	row    uint32
	digest [16]byte
}

const (
	bookMagic     = "symbolon book  \x01"
	bookHead      = 48
	bookRecordLen = 36
)

func bookItemLen(p *Params) int {
	if p.Labelled() {
		return indexLen + 8
	}
	return indexLen
}

// emptyBook is what precedes serial 1.
func emptyBook(p *Params) *book {
	return &book{itemLen: bookItemLen(p), unmap: func() error { return nil }}
}

func (b *book) count() int { return len(b.items) / b.itemLen }

func (b *book) index(i int) index { return getIndex(b.items[i*b.itemLen:]) }

// digest returns the digest of an item's entry, 0 without labels.
func (b *book) digest(i int) uint64 {
	if b.itemLen == indexLen {
		return 0
	}
	return binary.BigEndian.Uint64(b.items[i*b.itemLen+indexLen:])
}

func (b *book) close() error { return b.unmap() }

func openBook(path string, p *Params, keys *ownerKeys) (*book, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the mapping stays
	b, err := loadBook(f, p, keys)
	if err != nil {
		return nil, fmt.Errorf("lookup: %s: %w", filepath.Base(path), err)
	}
	return b, nil
}

func loadBook(f *os.File, p *Params, keys *ownerKeys) (*book, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() < bookHead+sha256.Size {
		return nil, fmt.Errorf("it has %d bytes, want at least %d", fi.Size(), bookHead+sha256.Size)
	}
	all, unmap, err := disk.Map(f, fi.Size())
	if err != nil {
		return nil, err
	}
	b := &book{itemLen: bookItemLen(p), unmap: unmap}
	if err := b.parse(all, keys); err != nil {
		return nil, errors.Join(err, unmap())
	}
	return b, nil
}

func (b *book) parse(all []byte, keys *ownerKeys) error {
	body, sum := all[:len(all)-sha256.Size], all[len(all)-sha256.Size:]
	n := func(at int) int { return int(binary.BigEndian.Uint32(all[at:])) }
	items, dummies, records := n(32), n(36), n(40)
	want := bookHead + items*b.itemLen + dummies*indexLen + records*bookRecordLen
	switch {
	case string(all[:16]) != bookMagic:
		return errors.New("it is no book")
	case !bytes.Equal(all[16:24], keys.check()):
		return errors.New("it was written under another secret")
	case len(body) != want:
		return fmt.Errorf("it has %d bytes, want %d", len(all), want+sha256.Size)
	case sha256.Sum256(body) != [32]byte(sum):
		return errors.New("it is damaged")
	}
	b.serial = binary.BigEndian.Uint64(all[24:])
	b.items = body[bookHead:][:items*b.itemLen]
	rest := body[bookHead+len(b.items):]
	b.dummies = make([]fingerprint, dummies)
	for i := range b.dummies {
		b.dummies[i] = getIndex(rest[i*indexLen:])
	}
	rest = rest[dummies*indexLen:]
	b.records = make([]bookRecord, records)
	for i := range b.records {
		r := rest[i*bookRecordLen:]
		b.records[i] = bookRecord{getIndex(r), binary.BigEndian.Uint32(r[16:]), [16]byte(r[20:])}
	}
	return nil
}

// bookContents is a book to be written.
type bookContents struct {
	serial  uint64
	items   []keyed  // sorted by index; ord selects the digest
	digests []uint64 // nil without labels
	dummies []fingerprint
	records []bookRecord
}

func (c *bookContents) write(path string, keys *ownerKeys) error {
	_, err := writeBlob(path, func(w io.Writer) error {
		sum := sha256.New()
		both := io.MultiWriter(w, sum)
		head := append([]byte(bookMagic), keys.check()...)
		head = binary.BigEndian.AppendUint64(head, c.serial)
		for _, n := range []int{len(c.items), len(c.dummies), len(c.records), 0} {
			head = binary.BigEndian.AppendUint32(head, uint32(n))
		}
		if _, err := both.Write(head); err != nil {
			return err
		}
		buf := make([]byte, 0, 64<<10)
		put := func(last bool) error {
			if !last && len(buf)+bookRecordLen <= cap(buf) {
				return nil
			}
			_, err := both.Write(buf)
			buf = buf[:0]
			return err
		}
		for _, it := range c.items {
			buf = appendIndex(buf, it.key)
			if c.digests != nil {
				buf = binary.BigEndian.AppendUint64(buf, c.digests[it.ord])
			}
			if err := put(false); err != nil {
				return err
			}
		}
		for _, d := range c.dummies {
			buf = appendIndex(buf, d)
			if err := put(false); err != nil {
				return err
			}
		}
		for _, r := range c.records {
			buf = appendIndex(buf, r.id)
			buf = binary.BigEndian.AppendUint32(buf, r.row)
			buf = append(buf, r.digest[:]...)
			if err := put(false); err != nil {
				return err
			}
		}
		if err := put(true); err != nil {
			return err
		}
		_, err := w.Write(sum.Sum(nil))
		return err
	})
	return err
}

func appendIndex(b []byte, i index) []byte {
	b = binary.BigEndian.AppendUint64(b, i.hi)
	return binary.BigEndian.AppendUint64(b, i.lo)
}
