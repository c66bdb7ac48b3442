package lookup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/symbolon/symbolon/internal/disk"
)

// A delta leads from one serial of a filter to the next. It is
//
//	header 96, of the new filter | counts 28 |
//	ranks removed from the old table | fingerprints added |
//	ranks of the new table with another entry | rows of the new filter with other contents |
//	entries of the added | other entries | other rows
//
// where the four lists are sets and counts are seven numbers of four bytes: keys
// and rows of the old filter, the lengths of the four lists, and zero. Rows are
// never fewer than before, and those that the old filter lacks are all in the
// delta.
//
// Every list is padded: the table's with dummies that come and go, entries and
// rows with new randomness for dummies.
type Delta struct {
	header
	oldKeys, oldRows int
	file             *os.File
	unmap            func() error
	keys             keyer
	removed          set
	added            set
	relabelled       set
	rewritten        set
}

const (
	deltaMagic = "symbolon delta \x01"
	countsLen  = 28
)

// deltaCounts are the numbers that fix the layout of a delta.
type deltaCounts struct {
	header                                header
	oldKeys, oldRows                      int
	removed, added, relabelled, rewritten int
}

func (c *deltaCounts) append(b []byte) []byte {
	b = c.header.append(b, deltaMagic)
	for _, n := range []int{c.oldKeys, c.oldRows, c.removed, c.added, c.relabelled, c.rewritten, 0} {
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return b
}

func parseDeltaCounts(b []byte) (*deltaCounts, error) {
	h, err := parseHeader(b, deltaMagic)
	if err != nil {
		return nil, err
	}
	c := &deltaCounts{header: *h}
	last := 0
	for i, n := range []*int{&c.oldKeys, &c.oldRows, &c.removed, &c.added, &c.relabelled, &c.rewritten, &last} {
		x := b[headerLen+4*i:]
		*n = int(x[0])<<24 | int(x[1])<<16 | int(x[2])<<8 | int(x[3])
	}
	switch {
	case c.oldKeys > MaxTableKeys || c.oldRows > h.rows || last != 0:
		return nil, fmt.Errorf("%d keys and %d rows before %d can't be", c.oldKeys, c.oldRows, h.rows)
	case c.removed > c.oldKeys || c.added > h.keys || c.oldKeys-c.removed+c.added != h.keys:
		return nil, fmt.Errorf("%d keys less %d and %d more do not make %d", c.oldKeys, c.removed, c.added, h.keys)
	case c.relabelled > h.keys-c.added || c.rewritten > h.rows || c.rewritten < h.rows-c.oldRows:
		return nil, fmt.Errorf("%d other entries and %d other rows can't be", c.relabelled, c.rewritten)
	case !h.params.Labelled() && c.relabelled+c.rewritten+h.rows != 0:
		return nil, errors.New("it has labels, which the filter has not")
	}
	return c, nil
}

// sets returns the sizes and number lengths of the four lists.
func (c *deltaCounts) sets() [4]struct {
	n int
	u uint
} {
	return [4]struct {
		n int
		u uint
	}{
		{c.removed, uint(ceilLog2(c.oldKeys))},
		{c.added, uint(c.header.bits)},
		{c.relabelled, uint(ceilLog2(c.header.keys))},
		{c.rewritten, uint(ceilLog2(c.header.rows))},
	}
}

// listsLen is the length in bytes of all that precedes entries and rows.
func (c *deltaCounts) listsLen() int64 {
	n := int64(headerLen + countsLen)
	for _, s := range c.sets() {
		n += int64(setLen(s.n, s.u))
	}
	return n
}

func (c *deltaCounts) fileLen() int64 {
	p := &c.header.params
	return c.listsLen() + int64(c.added+c.relabelled)*int64(p.entryLen()) + int64(c.rewritten)*int64(p.rowLen())
}

// openDelta opens a delta and checks all of its lists.
func openDelta(path string) (*Delta, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	d := &Delta{file: file}
	if err := d.load(); err != nil {
		d.Close()
		return nil, fmt.Errorf("lookup: delta %s: %w", filepath.Base(path), err)
	}
	return d, nil
}

func (d *Delta) load() error {
	head := make([]byte, headerLen+countsLen)
	if n, err := d.file.ReadAt(head, 0); err != nil {
		return fmt.Errorf("it ends after %d bytes of its header: %w", n, err)
	}
	c, err := parseDeltaCounts(head)
	if err != nil {
		return err
	}
	if fi, err := d.file.Stat(); err != nil {
		return err
	} else if fi.Size() != c.fileLen() {
		return fmt.Errorf("it has %d bytes, want %d", fi.Size(), c.fileLen())
	}
	b, unmap, err := disk.Map(d.file, c.listsLen())
	if err != nil {
		return err
	}
	d.unmap = unmap
	d.header, d.oldKeys, d.oldRows = c.header, c.oldKeys, c.oldRows
	d.keys = newKeyer(&d.params, d.bits)
	b = b[headerLen+countsLen:]
	shapes := c.sets()
	limits := [4]int{c.oldKeys, 0, c.header.keys, c.header.rows}
	for i, s := range []*set{&d.removed, &d.added, &d.relabelled, &d.rewritten} {
		n := setLen(shapes[i].n, shapes[i].u)
		*s = newSet(b[:n], shapes[i].n, shapes[i].u)
		b = b[n:]
		load := shapes[i].n
		if i == 1 {
			load = maxLoad
		}
		if err := s.check(load); err != nil {
			return fmt.Errorf("its list %d %w", i+1, err)
		}
		if i != 1 && !s.below(limits[i]) {
			return fmt.Errorf("its list %d goes beyond %d", i+1, limits[i])
		}
	}
	return nil
}

// below reports whether all numbers are less than a limit.
func (s *set) below(limit int) bool {
	for r := s.reader(); ; {
		f, ok := r.next()
		if !ok {
			return true
		}
		if !f.less(number(limit)) {
			return false
		}
	}
}

// Close gives the file back.
func (d *Delta) Close() error {
	var err error
	if d.unmap != nil {
		err = d.unmap()
		d.unmap = nil
	}
	return errors.Join(err, d.file.Close())
}

// base reports why a delta doesn't apply to a filter; nil stands for the empty
// filter before serial 1.
func (d *Delta) base(old *Filter) error {
	if old == nil {
		if d.serial != 1 || d.oldKeys != 0 || d.oldRows != 0 {
			return fmt.Errorf("delta to serial %d does not begin with nothing", d.serial)
		}
		return nil
	}
	want := old.header
	want.serial, want.keys, want.rows = d.serial, d.header.keys, d.rows
	if d.header != want || d.serial != old.serial+1 || d.oldKeys != old.header.keys || d.oldRows != old.rows {
		return fmt.Errorf("delta to serial %d does not fit the filter of serial %d", d.serial, old.serial)
	}
	return nil
}

// apply writes the filter to which the delta leads.
func (d *Delta) apply(ctx context.Context, old *Filter, path string) (Blob, error) {
	if err := d.base(old); err != nil {
		return Blob{}, fmt.Errorf("lookup: %w", err)
	}
	return writeBlob(path, func(w io.Writer) error {
		if _, err := w.Write(d.header.append(nil, filterMagic)); err != nil {
			return err
		}
		table, err := d.mergeTable(old)
		if err != nil {
			return err
		}
		if _, err := w.Write(table); err != nil || !d.params.Labelled() {
			return err
		}
		if err := d.mergeEntries(ctx, old, w); err != nil {
			return err
		}
		return d.mergeRows(ctx, old, w)
	})
}

// merge calls kept and added for every key of the new table in order, with the
// rank that it has in the old one or in the delta.
func (d *Delta) merge(old *Filter, kept, added func(f fingerprint, rank int) error) error {
	var oldReader *setReader
	if old != nil {
		oldReader = old.table.reader()
	} else {
		oldReader = (&set{}).reader()
	}
	newReader, removed := d.added.reader(), d.removed.reader()
	a, aOK := oldReader.next()
	b, bOK := newReader.next()
	gone, goneOK := removed.next()
	for aOK || bOK {
		rank := oldReader.rank - 1
		switch {
		case aOK && goneOK && gone == number(rank):
			gone, goneOK = removed.next()
			a, aOK = oldReader.next()
		case aOK && (!bOK || a.less(b)):
			if err := kept(a, rank); err != nil {
				return err
			}
			a, aOK = oldReader.next()
		case aOK && a == b:
			return errors.New("lookup: delta adds a key that is there")
		default:
			if err := added(b, newReader.rank-1); err != nil {
				return err
			}
			b, bOK = newReader.next()
		}
	}
	return nil
}

func (d *Delta) mergeTable(old *Filter) ([]byte, error) {
	w := newSetWriter(d.header.keys, uint(d.bits))
	add := func(f fingerprint, _ int) error { return w.add(f) }
	if err := d.merge(old, add, add); err != nil {
		return nil, err
	}
	return w.finish()
}

// mergeEntries writes the entries of the new table. All that it reads, it reads
// from the beginning to the end.
func (d *Delta) mergeEntries(ctx context.Context, old *Filter, w io.Writer) error {
	size := d.params.entryLen()
	at := d.listsLen()
	added := newBoxes(d.file, at, size)
	changed := newBoxes(d.file, at+int64(d.added.n)*int64(size), size)
	var before *boxes
	if old != nil {
		before = newBoxes(old.file, old.entryAt(0), size)
	}
	relabelled := d.relabelled.reader()
	other, otherOK := relabelled.next()
	rank, done := -1, 0
	put := func(b *boxes, i int) error {
		box, err := b.at(i)
		if err == nil {
			_, err = w.Write(box)
		}
		return err
	}
	err := d.merge(old, func(_ fingerprint, oldRank int) error {
		if rank++; rank%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if otherOK && other == number(rank) {
			other, otherOK = relabelled.next()
			done++
			return put(changed, done-1)
		}
		return put(before, oldRank)
	}, func(_ fingerprint, i int) error {
		rank++
		return put(added, i)
	})
	if err == nil && otherOK {
		err = errors.New("lookup: delta has another entry for an added key")
	}
	return err
}

func (d *Delta) mergeRows(ctx context.Context, old *Filter, w io.Writer) error {
	size := d.params.rowLen()
	at := d.listsLen() + int64(d.added.n+d.relabelled.n)*int64(d.params.entryLen())
	changed := newBoxes(d.file, at, size)
	var before *boxes
	if old != nil {
		before = newBoxes(old.file, old.rowAt(0), size)
	}
	rewritten := d.rewritten.reader()
	other, otherOK := rewritten.next()
	done := 0
	for row := range d.rows {
		if row%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		from, i := before, row
		if otherOK && other == number(row) {
			from, i = changed, done
			done++
			other, otherOK = rewritten.next()
		} else if row >= d.oldRows {
			return fmt.Errorf("lookup: delta lacks row %d", row)
		}
		box, err := from.at(i)
		if err != nil {
			return err
		}
		if _, err := w.Write(box); err != nil {
			return err
		}
	}
	return nil
}

// listsLen is the length in bytes of all that precedes entries and rows.
func (d *Delta) listsLen() int64 {
	c := deltaCounts{
		header: d.header, oldKeys: d.oldKeys, oldRows: d.oldRows,
		removed: d.removed.n, added: d.added.n, relabelled: d.relabelled.n, rewritten: d.rewritten.n,
	}
	return c.listsLen()
}

// boxes reads pieces of equal size from a file, in rising order.
type boxes struct {
	file  io.ReaderAt
	start int64
	size  int
	buf   []byte
	first int // index of the first piece in buf
}

func newBoxes(f io.ReaderAt, start int64, size int) *boxes {
	return &boxes{file: f, start: start, size: size}
}

// at returns piece i, until the next call.
func (b *boxes) at(i int) ([]byte, error) {
	if have := len(b.buf) / b.size; i < b.first || i >= b.first+have {
		if b.buf == nil {
			b.buf = make([]byte, max(1, (256<<10)/b.size)*b.size)
		}
		n, err := b.file.ReadAt(b.buf[:cap(b.buf)], b.start+int64(i)*int64(b.size))
		if n < b.size {
			return nil, fmt.Errorf("lookup: reading labels: %w", err)
		}
		b.buf, b.first = b.buf[:n-n%b.size], i
	}
	return b.buf[(i-b.first)*b.size:][:b.size], nil
}
