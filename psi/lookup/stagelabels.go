package lookup

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/psi"
)

// labelPlan is the labels of the serial that is staged. A record keeps its row
// from serial to serial. Its key is an HMAC of its id and of the set of its
// items: a record that gains or loses a match key gets another key, so that who
// opened it through a key that it no longer has reads nothing new.
type labelPlan struct {
	*labeller
	records []labelRecord // by number
	// rewritten are the rows whose contents change, sorted; owner is the record
	// behind each, or -1 for randomness.
	rewritten []uint32
	owner     []int32
	digests   []uint64 // of entries, by the items' numbers
	book      []bookRecord
	keys      *ownerKeys
}

// labelRecord is a record of the input. One without items has no row.
type labelRecord struct {
	id, items index // items is the sum of the indices of its items
	row       uint32
	used      bool
	digest    [16]byte // of its label
}

// planLabels gives rows to records, and finds the rows that change.
func (s *staging) planLabels() error {
	if !s.params.Labelled() {
		return nil
	}
	s.label = &labelPlan{records: make([]labelRecord, s.in.Records), keys: &s.keys}
	for _, it := range s.items {
		for _, r := range s.links.of(it.ord) {
			rec := &s.label.records[r]
			rec.used = true
			rec.items = rec.items.plus(it.key)
		}
	}
	if err := s.readRecords(); err != nil {
		return err
	}
	if err := s.assignRows(); err != nil {
		return err
	}
	s.label.labeller = newLabeller(&s.params, s.rows)
	return s.digestEntries()
}

func (f fingerprint) plus(g fingerprint) fingerprint {
	lo := f.lo + g.lo
	if lo < f.lo {
		return fingerprint{f.hi + g.hi + 1, lo}
	}
	return fingerprint{f.hi + g.hi, lo}
}

// readRecords asks for all ids and labels, and keeps HMACs of them.
func (s *staging) readRecords() error {
	l := s.label
	err := parallel.Ranges(s.ctx, s.opts.Workers, len(l.records), 256, func(lo, hi int) error {
		ids, labels := hmac.New(sha256.New, s.keys.record[:]), hmac.New(sha256.New, s.keys.digest[:])
		for i := lo; i < hi; i++ {
			if !l.records[i].used {
				continue
			}
			id, label, err := s.labelOf(i)
			if err != nil {
				return err
			}
			l.records[i].id = getIndex(sumOf(ids, []byte("id"), []byte(id)))
			copy(l.records[i].digest[:], sumOf(labels, []byte("label"), label))
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Records of one id are told apart by their order.
	order := make([]uint32, 0, len(l.records))
	for i := range l.records {
		if l.records[i].used {
			order = append(order, uint32(i))
		}
	}
	byID := func(a, b uint32) int { return l.records[a].id.compare(l.records[b].id) }
	slices.SortStableFunc(order, byID)
	h := hmac.New(sha256.New, s.keys.record[:])
	var ids []index
	for i := 0; i < len(order); {
		j := i + 1
		for ; j < len(order) && byID(order[i], order[j]) == 0; j++ {
			var b [indexLen]byte
			putIndex(b[:], l.records[order[i]].id)
			ids = append(ids, getIndex(sumOf(h, []byte("again"), b[:], binary.BigEndian.AppendUint32(nil, uint32(j-i)))))
		}
		for k := range j - i - 1 {
			l.records[order[i+1+k]].id = ids[k]
		}
		ids, i = ids[:0], j
	}
	slices.SortFunc(order, byID)
	l.book = make([]bookRecord, len(order))
	for i, r := range order {
		l.book[i] = bookRecord{id: l.records[r].id, row: r} // the record's number, for now
	}
	return nil
}

// labelOf returns the id and the encoded label of a record.
func (s *staging) labelOf(n int) (string, []byte, error) {
	id, label, err := s.in.Record(n)
	if err != nil {
		return "", nil, fmt.Errorf("lookup: record %d: %w", n, err)
	}
	b, err := label.encode(s.params.LabelBytes)
	if err != nil {
		return "", nil, fmt.Errorf("lookup: record %d: %w", n, err)
	}
	return id, b, nil
}

// sumOf returns the HMAC of a tuple.
func sumOf(h hash.Hash, parts ...[]byte) []byte {
	h.Reset()
	for _, p := range parts {
		h.Write(psi.AppendPart(nil, p))
	}
	return h.Sum(nil)
}

// key returns the key under which a record's label is sealed.
func (l *labelPlan) key(h hash.Hash, r *labelRecord) [32]byte {
	var b [2 * indexLen]byte
	putIndex(b[:], r.id)
	putIndex(b[indexLen:], r.items)
	return [32]byte(sumOf(h, []byte("key"), b[:]))
}

// keyHash returns the hash with which key is called.
func (l *labelPlan) keyHash() hash.Hash { return hmac.New(sha256.New, l.keys.record[:]) }

// assignRows merges the records with those of the book: known ones keep their
// rows, new ones get random free rows, and what changes is noted.
func (s *staging) assignRows() error {
	l := s.label
	oldRows := 0
	if s.before != nil {
		oldRows = s.before.Labels.Rows
	}
	s.rows = max(oldRows, paddedCount(len(l.book)+reserve(len(l.book))))
	if s.rows > MaxTableKeys {
		return fmt.Errorf("lookup: %d rows of labels, at most %d", s.rows, MaxTableKeys)
	}
	const free, kept = -1, -2
	state := make([]int32, s.rows) // free, kept as it is, or the record that is written there
	for i := range state {
		state[i] = free
	}
	h := l.keyHash()
	touched := make([]bool, s.rows)
	var fresh []int // places in the book
	j := 0
	for i := range l.book {
		b := &l.book[i]
		rec := &l.records[b.row]
		number := int32(b.row)
		key := l.key(h, rec)
		copy(b.digest[:], sumOf(h, []byte("row"), key[:], rec.digest[:]))
		for ; j < len(s.book.records) && s.book.records[j].id.less(b.id); j++ {
			touched[s.book.records[j].row] = true
		}
		if j == len(s.book.records) || s.book.records[j].id != b.id {
			fresh = append(fresh, i)
			continue
		}
		was := &s.book.records[j]
		j++
		rec.row, b.row = was.row, was.row
		state[was.row] = kept
		if was.digest != b.digest {
			state[was.row], touched[was.row] = number, true
		}
	}
	for ; j < len(s.book.records); j++ {
		touched[s.book.records[j].row] = true
	}
	open := s.freeRows(state, free)
	for i, place := range fresh {
		b := &l.book[place]
		number := b.row
		row := open[len(open)-1-i]
		l.records[number].row, b.row = row, row
		state[row], touched[row] = int32(number), true
	}
	changes := 0
	for row := range touched {
		if touched[row] {
			changes++
		}
	}
	s.stats.Rewritten = changes
	// Rows that are new are all written, and free ones until a step is full.
	for row := oldRows; row < s.rows; row++ {
		touched[row] = true
	}
	written := 0
	for _, t := range touched {
		if t {
			written++
		}
	}
	target := paddedCount(written)
	for _, row := range open[:len(open)-len(fresh)] {
		if written >= target {
			break
		}
		if !touched[row] {
			touched[row] = true
			written++
		}
	}
	for row, t := range touched {
		if t {
			l.rewritten = append(l.rewritten, uint32(row))
			l.owner = append(l.owner, max(state[row], -1))
		}
	}
	return nil
}

// freeRows returns the free rows in the order of a keyed hash. Padding takes from
// the front, serial after serial, and records from the back: as with dummies, the
// rest stays as rows of real records do.
func (s *staging) freeRows(state []int32, free int32) []uint32 {
	type ranked struct {
		rank uint64
		row  uint32
	}
	var order []ranked
	h := hmac.New(sha256.New, s.keys.record[:])
	for row, st := range state {
		if st == free {
			b := binary.BigEndian.AppendUint32(nil, uint32(row))
			order = append(order, ranked{binary.BigEndian.Uint64(sumOf(h, []byte("free row"), b)), uint32(row)})
		}
	}
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	open := make([]uint32, len(order))
	for i := range order {
		open[i] = order[i].row
	}
	return open
}

// entry appends the slots of an item's entry, in the order of rows, and reports
// whether there are more records than slots.
func (l *labelPlan) entry(slots []psi.LabelSlot, h hash.Hash, records []uint32) ([]psi.LabelSlot, bool) {
	for _, r := range records {
		slots = append(slots, psi.LabelSlot{Row: l.records[r].row, Key: l.key(h, &l.records[r])})
	}
	slices.SortFunc(slots, func(a, b psi.LabelSlot) int { return int(a.Row) - int(b.Row) })
	slots = slices.CompactFunc(slots, func(a, b psi.LabelSlot) bool { return a.Row == b.Row })
	if len(slots) > l.Slots {
		return slots[:l.Slots], true
	}
	return slots, false
}

// digestEntries computes what tells a changed entry.
func (s *staging) digestEntries() error {
	l := s.label
	l.digests = make([]uint64, len(s.items))
	const piece = 1024
	cut := make([]int, (len(s.items)+piece-1)/piece)
	err := parallel.Ranges(s.ctx, s.opts.Workers, len(s.items), piece, func(lo, hi int) error {
		keys, digest := l.keyHash(), hmac.New(sha256.New, s.keys.digest[:])
		var slots []psi.LabelSlot
		var b []byte
		for ord := lo; ord < hi; ord++ {
			var more bool
			slots, more = l.entry(slots[:0], keys, s.links.of(uint32(ord)))
			b = append(b[:0], "entry"...)
			for _, slot := range slots {
				b = binary.BigEndian.AppendUint32(b, slot.Row)
				b = append(b, slot.Key[:]...)
			}
			if more {
				b = append(b, 1)
				cut[lo/piece]++
			}
			digest.Reset()
			digest.Write(b)
			l.digests[ord] = binary.BigEndian.Uint64(digest.Sum(b[:0]))
		}
		return nil
	})
	for _, n := range cut {
		s.stats.Cut += n
	}
	return err
}

// sealBatch is the number of entries or rows that are sealed before they are
// written.
const sealBatch = 4096

// writeBoxes writes n pieces of randomness, over which seal writes what belongs
// there. It is called from several goroutines, with a range of pieces and where
// the first of them begins.
func (s *staging) writeBoxes(ctx context.Context, w io.Writer, n, size int, seal func(lo, hi int, at func(i int) []byte) error) error {
	buf := make([]byte, min(n, sealBatch)*size)
	for done := 0; done < n; {
		batch := min(n-done, sealBatch)
		if _, err := readRandom(s.opts.Rand, buf[:batch*size]); err != nil {
			return err
		}
		first := done
		err := parallel.Ranges(ctx, s.opts.Workers, batch, 256, func(lo, hi int) error {
			return seal(first+lo, first+hi, func(i int) []byte { return buf[(i-first)*size:][:size] })
		})
		if err != nil {
			return err
		}
		if _, err := w.Write(buf[:batch*size]); err != nil {
			return err
		}
		done += batch
	}
	return nil
}

// writeEntries seals the entries of fingerprints with the items' numbers.
func (s *staging) writeEntries(w io.Writer, list []keyed, indexOf func(ord uint32) index) error {
	l := s.label
	return s.writeBoxes(s.ctx, w, len(list), l.EntryLen(), func(lo, hi int, at func(int) []byte) error {
		keys, hide := l.keyHash(), s.keys.hider()
		var slots []psi.LabelSlot
		for i := lo; i < hi; i++ {
			ord := list[i].ord
			if ord == dummyOrd {
				continue // stays random
			}
			seed, err := s.cache.seed(hide, indexOf(ord))
			if err != nil {
				return err
			}
			var more bool
			slots, more = l.entry(slots[:0], keys, s.links.of(ord))
			l.SealEntry(at(i), s.keyer.labelKey(seed), slots, more, l.entryAD)
		}
		return nil
	})
}

// writeRows seals the rows that change.
func (s *staging) writeRows(w io.Writer) error {
	l := s.label
	return s.writeBoxes(s.ctx, w, len(l.rewritten), l.RowLen(), func(lo, hi int, at func(int) []byte) error {
		keys := l.keyHash()
		for i := lo; i < hi; i++ {
			if l.owner[i] < 0 {
				continue // stays random
			}
			_, label, err := s.labelOf(int(l.owner[i]))
			if err != nil {
				return err
			}
			l.SealRow(at(i), l.key(keys, &l.records[l.owner[i]]), label, l.atRow(l.rewritten[i]))
		}
		return nil
	})
}

func readRandom(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if err != nil {
		err = fmt.Errorf("lookup: reading randomness: %w", err)
	}
	return n, err
}
