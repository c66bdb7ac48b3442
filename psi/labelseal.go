package psi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/symbolon/symbolon/internal/parallel"
)

// LabelTable seals the sender's labels, one for each of its records. It holds
// eight bytes a row. The keys of the records come from one random seed by
// SHA-256, so that nothing else need be kept.
type LabelTable struct {
	p       LabelParams
	rand    io.Reader
	records int
	seed    [32]byte
	// row[record] is the record's row, and record[row] the reverse.
	row, record []uint32
	label       func(record int) ([]byte, error)
	ad          associated
	done        int
}

// NewLabelTable returns the table of so many records, at most p.Rows, whose
// labels the function label returns. Labels are asked for by the batch, in the
// order of rows.
//
// The order of rows and the keys of records come from layout: a session that
// seals its entries in several attempts draws them from one stream. What rows
// are filled with, nonces above all, comes from rand and is never repeated.
func NewLabelTable(p LabelParams, layout, rand io.Reader, records int, label func(record int) ([]byte, error)) (*LabelTable, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if records < 0 || records > p.Rows {
		return nil, fmt.Errorf("psi: %d records for a table of %d labels", records, p.Rows)
	}
	t := &LabelTable{
		p: p, rand: rand, records: records, label: label,
		ad: newAssociated(domainRow, p.Associated, nil),
	}
	if _, err := io.ReadFull(layout, t.seed[:]); err != nil {
		return nil, fmt.Errorf("psi: reading randomness: %w", err)
	}
	var err error
	if t.row, err = Permutation(layout, p.Rows); err != nil {
		return nil, err
	}
	t.record = make([]uint32, p.Rows)
	for record, row := range t.row {
		t.record[row] = uint32(record)
	}
	return t, nil
}

// key returns the random key of a record.
func (t *LabelTable) key(record uint32) [32]byte {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], record)
	return HashTuple([]byte("symbolon/v1/record-key"), t.seed[:], n[:])
}

// Next returns the next batch of rows, nil after the last.
func (t *LabelTable) Next(ctx context.Context) ([]byte, error) {
	size := t.p.RowLen()
	n := labelBatch(t.done, t.p.Rows, size)
	if n == 0 {
		return nil, ctx.Err()
	}
	payload := make([]byte, n*size)
	if _, err := io.ReadFull(t.rand, payload); err != nil {
		return nil, fmt.Errorf("psi: reading randomness: %w", err)
	}
	err := parallel.Ranges(ctx, 0, n, labelChunk, func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			record := t.record[t.done+i]
			if int(record) >= t.records {
				continue // stays random
			}
			label, err := t.label(int(record))
			if err != nil {
				return fmt.Errorf("psi: label of record %d: %w", record, err)
			}
			if len(label) > t.p.LabelLen {
				return fmt.Errorf("psi: label of record %d has %d bytes, at most %d fit",
					record, len(label), t.p.LabelLen)
			}
			t.p.SealRow(payload[i*size:][:size], t.key(record), label, t.ad.at(t.done+i))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.done += n
	return payload, nil
}

// Done reports whether the last batch has been returned.
func (t *LabelTable) Done() bool { return t.done == t.p.Rows }

// LabelSealer makes the entries of one run, in the order of its tags.
type LabelSealer struct {
	table     *LabelTable
	rand      io.Reader
	out       *Outputs
	recordsOf func(item uint32) []uint32
	run       []byte
	ad        associated
	done      int
	more      int
}

// NewLabelSealer returns the entries for the outputs of a run with the given
// Params.Context. recordsOf returns the records of an item, none for an item
// that pads; it is called from several goroutines. All of the run's full
// outputs must have been kept.
func NewLabelSealer(t *LabelTable, run []byte, out *Outputs, recordsOf func(item uint32) []uint32, rand io.Reader) (*LabelSealer, error) {
	if out == nil || len(out.Full) != len(out.Order)*out.FullLen || out.FullLen == 0 {
		return nil, errors.New("psi: labels need the outputs of a run that kept them")
	}
	return &LabelSealer{
		table: t, rand: rand, out: out, recordsOf: recordsOf, run: run,
		ad: newAssociated(domainEntry, t.p.Associated, run),
	}, nil
}

// Next returns the next batch of entries, nil after the last.
func (s *LabelSealer) Next(ctx context.Context) ([]byte, error) {
	p := &s.table.p
	size := p.EntryLen()
	n := labelBatch(s.done, len(s.out.Order), size)
	if n == 0 {
		return nil, ctx.Err()
	}
	payload := make([]byte, n*size)
	if _, err := io.ReadFull(s.rand, payload); err != nil {
		return nil, fmt.Errorf("psi: reading randomness: %w", err)
	}
	more := make([]int, (n+labelChunk-1)/labelChunk)
	err := parallel.Ranges(ctx, 0, n, labelChunk, func(lo, hi int) error {
		slots := make([]LabelSlot, 0, p.Slots)
		for i := lo; i < hi; i++ {
			records := s.recordsOf(s.out.Order[s.done+i])
			if len(records) == 0 {
				continue // stays random
			}
			if len(records) > p.Slots {
				more[lo/labelChunk]++
			}
			slots = slots[:0]
			for _, record := range records[:min(len(records), p.Slots)] {
				if int(record) >= s.table.records {
					return fmt.Errorf("psi: item points to record %d of %d", record, s.table.records)
				}
				slots = append(slots, LabelSlot{s.table.row[record], s.table.key(record)})
			}
			key := Derive(DeriveLabelKey, s.run, s.out.At(s.done+i))
			p.SealEntry(payload[i*size:][:size], key, slots, len(records) > p.Slots, s.ad.at(s.done+i))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, m := range more {
		s.more += m
	}
	s.done += n
	return payload, nil
}

// Done reports whether the last batch has been returned.
func (s *LabelSealer) Done() bool { return s.done == len(s.out.Order) }

// Cut returns the number of items so far that have more records than slots.
func (s *LabelSealer) Cut() int { return s.more }
