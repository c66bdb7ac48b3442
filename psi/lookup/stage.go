package lookup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/symbolon/symbolon/internal/parallel"
)

const (
	// evaluateBatch is the number of items that a worker evaluates at a time.
	evaluateBatch = 4096
	// walkBatch is the number of items looked up in the cache at a time.
	walkBatch = 1 << 16
	// walkPiece is the number that a worker looks up at a time, in the order of
	// the cache.
	walkPiece = 1 << 13
	// dummyOrd stands for a dummy where an item's number is.
	dummyOrd = ^uint32(0)
)

// staging is one Stage under way.
type staging struct {
	*Publisher
	ctx   context.Context
	in    Input
	eval  Evaluate
	stats Stats
	// signed, before and old are the published serial, nil before the first.
	signed Signed
	before *Manifest
	old    *Filter
	book   *book
	bits   int
	keyer  keyer
	// items are sorted by index, numbered as they came.
	items []keyed
	links links
	label *labelPlan // nil without labels
	// known are the segments of the cache from before.
	known []*segment
	// Not yet evaluated, and evaluated but not yet in a segment.
	pending      []Item
	pendingIndex []index
	fresh        []hidden
	change       change
	slots, rows  int // of the new filter
	next         bookContents
}

// change is what differs from the published serial.
type change struct {
	added   []keyed // fingerprints, sorted, with the items' numbers
	removed []fingerprint
	// relabelled are fingerprints whose entries say something else.
	relabelled []keyed
}

// links are the records of each item, one after the other.
type links struct {
	ends    []uint32
	records []uint32
}

func (l *links) of(ord uint32) []uint32 {
	start := uint32(0)
	if ord > 0 {
		start = l.ends[ord-1]
	}
	return l.records[start:l.ends[ord]]
}

// Stage writes the next serial beside the published one, and evaluates what the
// cache lacks for it. The time is that of reading the input and the published
// filter, besides what has changed. It returns ErrUnchanged if nothing has, and
// an error that wraps ErrRotate if the epoch has no room left.
func (p *Publisher) Stage(ctx context.Context, in Input, eval Evaluate, t Terms) (*Staged, error) {
	s := &staging{Publisher: p, ctx: ctx, in: in, eval: eval}
	defer s.close()
	if err := s.open(&t); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"walk", s.walk}, {"sort", s.sort}, {"labels", s.planLabels}, {"diff", s.diff}, {"compact", p.cache.compact},
	} {
		if err := p.step(part.name); err != nil {
			return nil, err
		}
		if err := part.do(); err != nil {
			return nil, err
		}
	}
	return s.write(&t)
}

func (s *staging) close() {
	if s.old != nil {
		s.old.Close()
	}
	if s.book != nil {
		s.book.close()
	}
}

// open reads what is published.
func (s *staging) open(t *Terms) error {
	s.staged = nil
	if err := s.clean(); err != nil {
		return err
	}
	var err error
	if s.signed, s.before, err = newest(s.dir); err != nil {
		return err
	}
	if s.before == nil {
		s.book = emptyBook(&s.params)
		return nil
	}
	m := s.before
	if err := m.Fits(s.params); err != nil {
		return fmt.Errorf("lookup: the directory is of other parameters: %w", err)
	}
	if m.PublicKey != hex.EncodeToString(t.PublicKey[:]) || m.RuleSet != hex.EncodeToString(t.RuleSet[:]) || m.Normalisation != t.Normalisation {
		return fmt.Errorf("lookup: the epoch began with another key, rule set or normalisation: %w", ErrRotate)
	}
	if s.old, err = OpenFilter(fileOf(s.dir, namedFilter, m.Serial), m); err != nil {
		return err
	}
	if s.book, err = openBook(fileOf(s.dir, namedBook, m.Serial), &s.params, &s.keys); err != nil {
		return err
	}
	if s.book.serial != m.Serial || s.book.count()+len(s.book.dummies) != m.Keys {
		return fmt.Errorf("lookup: the book does not fit the filter of serial %d", m.Serial)
	}
	return nil
}

// walk reads the input once and sees to it that the cache has all seeds.
func (s *staging) walk() error {
	batch := make([]Item, 0, walkBatch)
	s.known = slices.Clone(s.cache.segments)
	s.items = make([]keyed, 0, min(max(s.in.Count, 0)+walkBatch, MaxTableKeys))
	err := s.in.Items(func(item Item, records []uint32) error {
		if len(s.items)+len(batch) == MaxTableKeys {
			return fmt.Errorf("lookup: more than %d items", MaxTableKeys)
		}
		if err := s.link(records); err != nil {
			return err
		}
		if batch = append(batch, item); len(batch) < walkBatch {
			return nil
		}
		err := s.take(batch)
		batch = batch[:0]
		return err
	})
	if err == nil {
		err = s.take(batch)
	}
	if err == nil {
		err = s.evaluate()
	}
	if err == nil {
		err = s.keep()
	}
	return err
}

// link notes the records of the next item.
func (s *staging) link(records []uint32) error {
	if !s.params.Labelled() {
		return nil
	}
	if len(records) == 0 || len(s.links.records)+len(records) >= 1<<32 {
		return fmt.Errorf("lookup: an item has %d records", len(records))
	}
	for _, r := range records {
		if int64(r) >= int64(s.in.Records) {
			return fmt.Errorf("lookup: an item has record %d of %d", r, s.in.Records)
		}
	}
	s.links.records = append(s.links.records, records...)
	s.links.ends = append(s.links.ends, uint32(len(s.links.records)))
	return nil
}

// take looks a batch of items up.
func (s *staging) take(batch []Item) error {
	first := len(s.items)
	s.items = slices.Grow(s.items, len(batch))[:first+len(batch)]
	missing := make([]bool, len(batch))
	err := parallel.Ranges(s.ctx, s.opts.Workers, len(batch), walkPiece, func(lo, hi int) error {
		h := s.keys.hider()
		for i := lo; i < hi; i++ {
			s.items[first+i] = keyed{h.indexOf(&batch[i]), uint32(first + i)}
		}
		piece := slices.Clone(s.items[first+lo : first+hi])
		if len(s.known) > 0 {
			slices.SortFunc(piece, func(a, b keyed) int { return a.key.compare(b.key) })
		}
		for _, k := range piece {
			_, ok := findIn(s.known, k.key)
			missing[int(k.ord)-first] = !ok
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, m := range missing {
		if m {
			s.pending = append(s.pending, batch[i])
			s.pendingIndex = append(s.pendingIndex, s.items[first+i].key)
		}
	}
	s.progress(StageReading, len(s.items), 0)
	if len(s.pending) >= s.opts.Workers*evaluateBatch {
		return s.evaluate()
	}
	return nil
}

// evaluate computes the outputs of the pending items, on all workers.
func (s *staging) evaluate() error {
	n := len(s.pending)
	if n == 0 {
		return nil
	}
	first := len(s.fresh)
	s.fresh = slices.Grow(s.fresh, n)[:first+n]
	// Whole batches, or what there is in equal parts.
	size := min(evaluateBatch, (n+s.opts.Workers-1)/s.opts.Workers)
	err := parallel.Ranges(s.ctx, s.opts.Workers, n, size, func(lo, hi int) error {
		outputs := make([][OutputSize]byte, hi-lo)
		if err := s.eval(s.ctx, outputs, s.pending[lo:hi]); err != nil {
			return fmt.Errorf("lookup: evaluating: %w", err)
		}
		h := s.keys.hider()
		for i := range outputs {
			seed := [32]byte(s.params.Seed(outputs[i][:]))
			x := s.pendingIndex[lo+i]
			h.mask(x, &seed)
			s.fresh[first+lo+i] = hidden{x, seed}
		}
		clear(outputs)
		return nil
	})
	if err != nil {
		return err
	}
	s.stats.Evaluated += n
	s.progress(StageEvaluating, s.stats.Evaluated, 0)
	s.pending, s.pendingIndex = s.pending[:0], s.pendingIndex[:0]
	if len(s.fresh) >= freshLimit {
		return s.keep()
	}
	return nil
}

// keep puts fresh seeds on disk, so that nothing is computed again after a crash.
func (s *staging) keep() error {
	if err := s.step("cache"); err != nil {
		return err
	}
	err := s.cache.add(s.fresh)
	s.fresh = s.fresh[:0]
	return err
}

// sort brings the items in the order of the book.
func (s *staging) sort() error {
	s.fresh, s.pending, s.pendingIndex = nil, nil, nil
	s.stats.Items, s.stats.Records = len(s.items), s.in.Records
	if err := sortKeyed(s.ctx, s.opts.Workers, s.items, 128); err != nil {
		return err
	}
	for i := range s.items {
		if i > 0 && s.items[i].key == s.items[i-1].key {
			return fmt.Errorf("lookup: items %d and %d are the same", s.items[i-1].ord, s.items[i].ord)
		}
	}
	s.slots = paddedCount(len(s.items) + reserve(len(s.items)))
	s.bits = s.params.fingerprintBits(s.slots)
	if s.before != nil {
		s.slots, s.bits = max(s.slots, s.before.Keys), s.before.FingerprintBits
	}
	if s.slots > MaxTableKeys || !s.params.fits(s.slots, s.bits) {
		return fmt.Errorf("lookup: no room for %d slots in fingerprints of %d bits: %w", s.slots, s.bits, ErrRotate)
	}
	s.keyer = newKeyer(&s.params, s.bits)
	return nil
}

// diff finds what has come, gone and changed since the book was written.
func (s *staging) diff() error {
	var relabelled []keyed
	var removed []index
	// Room for all that can come, dummies too.
	added := make([]keyed, 0, s.countAdded()+s.slots-len(s.items))
	i, j := 0, 0
	for i < len(s.items) || j < s.book.count() {
		switch {
		case j == s.book.count() || i < len(s.items) && s.items[i].key.less(s.book.index(j)):
			added = append(added, s.items[i])
			i++
		case i == len(s.items) || s.book.index(j).less(s.items[i].key):
			removed = append(removed, s.book.index(j))
			j++
		default:
			if s.label != nil && s.label.digests[s.items[i].ord] != s.book.digest(j) {
				relabelled = append(relabelled, s.items[i])
			}
			i, j = i+1, j+1
		}
	}
	s.stats.Added, s.stats.Removed, s.stats.Relabelled = len(added), len(removed), len(relabelled)
	if len(added)+len(removed)+len(relabelled)+s.stats.Rewritten == 0 && s.before != nil {
		return ErrUnchanged
	}
	gone := make([]keyed, len(removed))
	for i, x := range removed {
		gone[i] = keyed{key: x}
	}
	for _, list := range []*[]keyed{&added, &relabelled, &gone} {
		if err := s.fingerprints(*list); err != nil {
			return err
		}
	}
	s.change = change{added: added, relabelled: relabelled}
	for _, k := range gone {
		s.change.removed = append(s.change.removed, k.key)
	}
	return s.swapDummies()
}

// countAdded returns the number of items that the book lacks.
func (s *staging) countAdded() int {
	n, j := 0, 0
	for i := range s.items {
		for j < s.book.count() && s.book.index(j).less(s.items[i].key) {
			j++
		}
		if j == s.book.count() || s.book.index(j) != s.items[i].key {
			n++
		}
	}
	return n
}

// fingerprints replaces indices by fingerprints, and sorts by them.
func (s *staging) fingerprints(list []keyed) error {
	err := parallel.Ranges(s.ctx, s.opts.Workers, len(list), 1024, func(lo, hi int) error {
		h := s.keys.hider()
		for i := lo; i < hi; i++ {
			seed, err := s.cache.seed(h, list[i].key)
			if err != nil {
				return err
			}
			list[i].key = s.keyer.fingerprint(seed)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return sortKeyed(s.ctx, s.opts.Workers, list, s.keyer.bits)
}

// write writes delta, filter and book, and describes them.
func (s *staging) write(t *Terms) (*Staged, error) {
	m := t.manifest(&s.params)
	m.FingerprintBits, m.Keys = s.bits, s.slots
	if s.label != nil {
		m.Labels.Rows = s.rows
	}
	if s.before != nil {
		h := s.before.Hash()
		m.Serial, m.Previous = s.before.Serial+1, hex.EncodeToString(h[:])
	}
	deltaPath := fileOf(s.dir, namedDelta, m.Serial)
	delta, err := s.writeDelta(deltaPath, m.Serial)
	if err != nil {
		return nil, err
	}
	if err := s.step("delta"); err != nil {
		return nil, err
	}
	s.progress(StageWriting, 1, 3)
	if m.Filter, err = s.applyDelta(deltaPath, m.Serial); err != nil {
		return nil, err
	}
	if err := s.step("filter"); err != nil {
		return nil, err
	}
	s.progress(StageWriting, 2, 3)
	s.next.serial = m.Serial
	if s.label != nil {
		s.next.digests, s.next.records = s.label.digests, s.label.book
	}
	if err := s.next.write(fileOf(s.dir, namedBook, m.Serial), &s.keys); err != nil {
		return nil, err
	}
	if err := s.step("book"); err != nil {
		return nil, err
	}
	s.progress(StageWriting, 3, 3)
	if m.Deltas = s.chain(m, delta); len(m.Deltas) == 0 {
		if err := os.Remove(deltaPath); err != nil {
			return nil, err
		}
	}
	b, err := m.Bytes()
	if err != nil {
		return nil, err
	}
	s.staged = &Staged{Manifest: m, Stats: s.stats, p: s.Publisher, bytes: b}
	return s.staged, nil
}

// applyDelta makes the filter as every asker will.
func (s *staging) applyDelta(path string, serial uint64) (Blob, error) {
	d, err := openDelta(path)
	if err != nil {
		return Blob{}, err
	}
	b, err := d.apply(s.ctx, s.old, fileOf(s.dir, namedFilter, serial))
	return b, errors.Join(err, d.Close())
}

// chain returns the deltas that lead to a serial: the newest of them as long as
// all together are less than half of the filter.
func (s *staging) chain(m *Manifest, last Blob) []DeltaBlob {
	if s.before == nil {
		return nil
	}
	all := append(slices.Clone(s.before.Deltas), DeltaBlob{s.before.Serial, last})
	total := int64(0)
	for i := len(all) - 1; i >= 0; i-- {
		if total += all[i].Bytes; 2*total > m.Filter.Bytes || len(all)-i > maxDeltas {
			return all[i+1:]
		}
	}
	return all
}
