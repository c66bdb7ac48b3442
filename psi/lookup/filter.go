package lookup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/psi"
)

// Filter is a filter on disk. Its table is mapped into memory; entries and rows
// are read when a hit asks for them. It is safe for concurrent use until closed.
type Filter struct {
	header
	file  *os.File
	unmap func() error
	table set
	keys  keyer
	label *labeller
}

// Hit is what a filter says of a key that it holds.
type Hit struct {
	// Labels are those of the records behind the key. Rows tell the records
	// apart: equal rows of one epoch are the same record, until it is withdrawn.
	Labels []Label
	Rows   []uint32
	// More says that the key has further records, for which there was no slot.
	More bool
	// Broken says that the key's entry, or a row it leads to, did not open: the
	// hit is false, or the owner's fault.
	Broken bool
}

// OpenFilter opens the filter that a manifest describes. It checks the size and
// the whole table, so that nothing in the file can harm a test, but not the
// hashes: what is opened was verified when it was written.
func OpenFilter(path string, m *Manifest) (*Filter, error) {
	f, err := openFilter(path)
	if err != nil {
		return nil, err
	}
	rows := 0
	if m.Labels != nil {
		rows = m.Labels.Rows
	}
	want := header{m.params(), m.Serial, m.FingerprintBits, m.Keys, rows}
	if f.header != want {
		f.Close()
		return nil, fmt.Errorf("lookup: %s is not the filter of serial %d that the manifest describes", filepath.Base(path), m.Serial)
	}
	return f, nil
}

func openFilter(path string) (*Filter, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &Filter{file: file}
	if err := f.load(); err != nil {
		f.Close()
		return nil, fmt.Errorf("lookup: filter %s: %w", filepath.Base(path), err)
	}
	return f, nil
}

func (f *Filter) load() error {
	h, err := readHeader(f.file, filterMagic)
	if err != nil {
		return err
	}
	if fi, err := f.file.Stat(); err != nil {
		return err
	} else if fi.Size() != h.fileLen() {
		return fmt.Errorf("it has %d bytes, want %d", fi.Size(), h.fileLen())
	}
	b, unmap, err := disk.Map(f.file, h.tableLen())
	if err != nil {
		return err
	}
	f.header, f.unmap = *h, unmap
	f.table = newSet(b[headerLen:], h.keys, uint(h.bits))
	f.keys = newKeyer(&h.params, h.bits)
	if h.params.Labelled() {
		f.label = newLabeller(&h.params, h.rows)
	}
	if err := f.table.check(maxLoad); err != nil {
		return fmt.Errorf("its table %w", err)
	}
	return nil
}

// readHeader reads the header of a file.
func readHeader(f *os.File, magic string) (*header, error) {
	b := make([]byte, headerLen)
	if n, err := f.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("it ends after %d bytes of its header: %w", n, err)
	}
	return parseHeader(b, magic)
}

// Close gives the file back. No other method is called then or later.
func (f *Filter) Close() error {
	var err error
	if f.unmap != nil {
		err = f.unmap()
		f.unmap = nil
	}
	return errors.Join(err, f.file.Close())
}

// Serial returns the filter's version.
func (f *Filter) Serial() uint64 { return f.serial }

// Has reports whether the filter holds the seed's key. It holds any other key
// with probability 2^(FalsePositive)/MaxKeys of its manifest.
func (f *Filter) Has(s Seed) bool {
	_, ok := f.find(s)
	return ok
}

// find returns the rank of the seed's key.
func (f *Filter) find(s Seed) (rank int, ok bool) { return f.table.find(f.keys.fingerprint(s)) }

// Test returns what the filter says of the seed's key, and whether it holds it.
// An error is one of reading the file.
func (f *Filter) Test(s Seed) (Hit, bool, error) {
	rank, ok := f.find(s)
	if !ok {
		return Hit{}, false, nil
	}
	if f.label == nil {
		return Hit{}, true, nil
	}
	box, err := f.box(f.entryAt(rank), f.label.EntryLen())
	if err != nil {
		return Hit{}, true, err
	}
	entry := f.label.OpenEntry(box, f.keys.labelKey(s), f.label.entryAD)
	hit := Hit{More: entry.More, Broken: entry.Broken}
	for _, slot := range entry.Slots {
		l, ok, err := f.row(slot)
		if err != nil {
			return Hit{}, true, err
		}
		if !ok {
			hit.Broken = true
			continue
		}
		hit.Labels = append(hit.Labels, l)
		hit.Rows = append(hit.Rows, slot.Row)
	}
	return hit, true, nil
}

// row opens the label to which a slot points.
func (f *Filter) row(slot psi.LabelSlot) (Label, bool, error) {
	box, err := f.box(f.rowAt(int(slot.Row)), f.label.RowLen())
	if err != nil {
		return Label{}, false, err
	}
	b, ok := f.label.OpenRow(box, slot.Key, f.label.atRow(slot.Row))
	if !ok {
		return Label{}, false, nil
	}
	l, ok := decodeLabel(b)
	return l, ok, nil
}

// box reads an entry or a row.
func (f *Filter) box(at int64, size int) ([]byte, error) {
	b := make([]byte, size)
	if _, err := f.file.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("lookup: reading an entry or a row: %w", err)
	}
	return b, nil
}
