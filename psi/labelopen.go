package psi

import (
	"context"
	"errors"
	"fmt"
)

// RecordLabel is the sender's label of one of its records.
type RecordLabel struct {
	// Row is the record's place in the shuffled table: equal rows are the same
	// record, of one session.
	Row uint32
	// Label is what the sender calls the record.
	Label []byte
}

// HitLabels are the labels of one hit.
type HitLabels struct {
	// Labels are those of the records behind the item, in the sender's order.
	Labels []RecordLabel
	// More says that the item has further records, for which there was no slot.
	More bool
	// Broken says that the sender's entry or a row it points to did not open.
	Broken bool
}

// LabelOpener opens the labels of a run's hits as entries and rows stream by.
// It keeps what belongs to hits alone: 36 bytes a slot and the labels.
//
// Entries and rows that should open and don't are the peer's fault, but Entries
// and Rows don't report them: the sender would learn from it that the item was
// a hit. Labels does, when everything has come; what it says is for our own
// operator, and the session goes on before the peer as if nothing had been.
type LabelOpener struct {
	p       LabelParams
	run     []byte
	tags    int
	entryAD associated
	rowAD   associated
	// byPosition are the hits by the position of their tags.
	byPosition map[uint32]openHit
	labels     []HitLabels
	rows       map[uint32][]openSlot
	entries    int
	read       int
	broken     int
	err        error
}

type openHit struct {
	hit  int
	full []byte
}

// openSlot is where the label of a row goes, and what opens it.
type openSlot struct {
	hit, label int
	key        [recordKeyLen]byte
}

// NewLabelOpener returns the opener for the result of a run with so many tags
// and the given Params.Context. The result's full outputs must have been kept.
func NewLabelOpener(p LabelParams, run []byte, tags int, res *Result) (*LabelOpener, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	o := &LabelOpener{
		p: p, run: run, tags: tags,
		entryAD:    newAssociated(domainEntry, p.Associated, run),
		rowAD:      newAssociated(domainRow, p.Associated, nil),
		byPosition: make(map[uint32]openHit, len(res.Hits)),
		labels:     make([]HitLabels, len(res.Hits)),
		rows:       make(map[uint32][]openSlot, len(res.Hits)),
	}
	for i, h := range res.Hits {
		if len(h.Full) == 0 || int(h.Position) >= tags {
			return nil, errors.New("psi: labels need the outputs of a run that kept them")
		}
		o.byPosition[h.Position] = openHit{i, h.Full}
	}
	return o, nil
}

// EntriesDone reports whether all entries have come.
func (o *LabelOpener) EntriesDone() bool { return o.err == nil && o.entries == o.tags }

// Slots returns what the entries say of each hit, in the order of the result's,
// once EntriesDone. It serves a session of several runs, whose rows follow once,
// after the last run: see NewRowOpener.
func (o *LabelOpener) Slots() []HitSlots {
	out := make([]HitSlots, len(o.labels))
	for i, l := range o.labels {
		out[i] = HitSlots{Slots: make([]LabelSlot, len(l.Labels)), More: l.More, Broken: l.Broken}
	}
	for row, slots := range o.rows {
		for _, s := range slots {
			out[s.hit].Slots[s.label] = LabelSlot{row, s.key}
		}
	}
	return out
}

// NewRowOpener returns an opener that takes rows only, for the hits of runs whose
// entries have been read.
func NewRowOpener(p LabelParams, hits []HitSlots) (*LabelOpener, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	o := &LabelOpener{p: p, rowAD: newAssociated(domainRow, p.Associated, nil),
		labels: make([]HitLabels, len(hits)), rows: make(map[uint32][]openSlot, len(hits))}
	for i, h := range hits {
		for _, s := range h.Slots {
			if int64(s.Row) >= int64(p.Rows) {
				return nil, fmt.Errorf("psi: hit %d points to row %d of %d", i, s.Row, p.Rows)
			}
		}
		o.slots(i, h)
	}
	return o, nil
}

// Entries takes the next batch of entries. All entries precede the rows.
func (o *LabelOpener) Entries(ctx context.Context, payload []byte) error {
	size := o.p.EntryLen()
	n, err := o.check(ctx, "entries", payload, o.entries, o.tags, size)
	if err != nil {
		return err
	}
	for i := range n {
		at := o.entries + i
		h, ok := o.byPosition[uint32(at)]
		if !ok {
			continue
		}
		delete(o.byPosition, uint32(at))
		key := Derive(DeriveLabelKey, o.run, h.full)
		o.slots(h.hit, o.p.OpenEntry(payload[i*size:][:size], key, o.entryAD.at(at)))
	}
	o.entries += n
	return nil
}

// slots notes what the entry of a hit says.
func (o *LabelOpener) slots(hit int, h HitSlots) {
	l := &o.labels[hit]
	l.More = h.More
	if h.Broken {
		o.breaks(hit)
	}
	for _, s := range h.Slots {
		o.rows[s.Row] = append(o.rows[s.Row], openSlot{hit, len(l.Labels), s.Key})
		l.Labels = append(l.Labels, RecordLabel{Row: s.Row})
	}
}

// Rows takes the next batch of rows.
func (o *LabelOpener) Rows(ctx context.Context, payload []byte) error {
	if o.err == nil && o.entries < o.tags {
		o.err = Peerf("psi: rows after %d of %d label entries", o.entries, o.tags)
	}
	size := o.p.RowLen()
	n, err := o.check(ctx, "rows", payload, o.read, o.p.Rows, size)
	if err != nil {
		return err
	}
	for i := range n {
		at := o.read + i
		box := payload[i*size:][:size]
		for _, s := range o.rows[uint32(at)] {
			label, ok := o.p.OpenRow(box, s.key, o.rowAD.at(at))
			if !ok {
				o.breaks(s.hit)
				continue
			}
			o.labels[s.hit].Labels[s.label].Label = label
		}
		delete(o.rows, uint32(at))
	}
	o.read += n
	return nil
}

// check returns the number of entries or rows in a batch, and makes an error
// stick.
func (o *LabelOpener) check(ctx context.Context, what string, payload []byte, done, total, size int) (int, error) {
	if o.err == nil {
		o.err = ctx.Err()
	}
	n := labelBatch(done, total, size)
	switch {
	case o.err != nil:
	case n == 0:
		o.err = Peerf("psi: label %s beyond the %d expected", what, total)
	case len(payload) != n*size:
		o.err = Peerf("psi: label %s %d to %d: got %d bytes, want %d", what, done, done+n, len(payload), n*size)
	}
	return n, o.err
}

func (o *LabelOpener) breaks(hit int) {
	if !o.labels[hit].Broken {
		o.labels[hit].Broken = true
		o.broken++
	}
}

// Done reports whether all entries and rows have come.
func (o *LabelOpener) Done() bool {
	return o.err == nil && o.entries == o.tags && o.read == o.p.Rows
}

// Labels returns the labels of each hit, in the order of the result's, once the
// opener is Done, nil before. An error that wraps ErrPeer comes with the
// labels, says that some are broken, and must not reach the peer.
func (o *LabelOpener) Labels() ([]HitLabels, error) {
	if !o.Done() {
		return nil, o.err
	}
	if o.broken > 0 {
		return o.labels, Peerf("psi: the labels of %d of %d hits did not open", o.broken, len(o.labels))
	}
	return o.labels, nil
}
