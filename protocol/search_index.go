package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed"
)

// Forms of an index on disk.
const (
	FormFast    = "fast"    // ready for multiplication
	FormCompact = "compact" // a sixteenth of the room, more work a search
)

// IndexRequest asks for the index that the peer may search to be built or
// brought up to date.
type IndexRequest struct {
	Agreement string
	User      *keys.User // unlocked; nil is the node itself
	Source    Source
	// Form is FormFast or FormCompact; "" keeps the one there is, FormFast at
	// first. Another form begins a new epoch.
	Form string
	// RotateNow begins a new epoch: another order of the slots, with which the
	// asker's keys and handles end.
	RotateNow bool
	Progress  func(Progress) // stages "reading", "indexing"
}

// SearchIndex is one version of an index.
type SearchIndex struct {
	Agreement string `json:"agreement"`
	Epoch     uint32 `json:"epoch"`
	Serial    uint64 `json:"serial"`
	State     string `json:"state"` // building, current or ended
	Form      string `json:"form"`
	// Changed is false if the records had not changed: the version before stands.
	Changed bool `json:"changed"`
	indexDetail
	// Capacity is the number of slots after padding, which the asker sees.
	Capacity  int       `json:"padded_slots"`
	Began     time.Time `json:"began"`
	Indexed   time.Time `json:"indexed"`
	EpochEnds time.Time `json:"epoch_ends"`
}

// indexDetail are figures of our own records.
type indexDetail struct {
	Records int64 `json:"records"`
	Slots   int64 `json:"slots"` // name forms
	// Nameless records have no name to sketch, Cut ones more names than fit.
	Nameless int64 `json:"nameless"`
	Cut      int64 `json:"cut"`
	// Added, Altered and Removed slots against the version before.
	Added   int64   `json:"added"`
	Altered int64   `json:"altered"`
	Removed int64   `json:"removed"`
	Bytes   int64   `json:"index_bytes"`
	Seconds float64 `json:"seconds"`
}

// maxForms bounds the name forms of a record that enter an index.
const maxForms = 16

const stageIndexing = "indexing"

// errIndexFull: the records have outgrown the epoch's padded size.
var errIndexFull = errors.New("the index is full")

// Index builds the index of an agreement or brings it up to date: only what has
// changed is computed, and searches go on over the version before meanwhile.
func (n *Node) Index(ctx context.Context, req IndexRequest) (*SearchIndex, error) {
	a, err := n.mayOffer(req.Agreement, psi.ModeSearch, req.User)
	if err != nil {
		return nil, err
	}
	form, err := formOf(req.Form)
	if err != nil {
		return nil, err
	}
	unlock, err := n.lookups.lock(ctx, "index/"+a.Hex())
	if err != nil {
		return nil, err
	}
	defer unlock()
	b := &indexBuilder{n: n, a: a, req: req, began: time.Now()}
	if err := b.choose(form); err != nil {
		return nil, err
	}
	out, err := b.build(ctx)
	if errors.Is(err, errIndexFull) && !b.fresh {
		b.row.Epoch, b.fresh = 0, true
		out, err = b.build(ctx)
	}
	return out, err
}

func formOf(name string) (sealed.Form, error) {
	switch name {
	case "":
		return 0, nil
	case FormFast:
		return sealed.Fast, nil
	case FormCompact:
		return sealed.Compact, nil
	}
	return 0, refuse(CodeRefused, "form %q of an index is unknown, want %s or %s", name, FormFast, FormCompact)
}

func formName(f uint8) string {
	if sealed.Form(f) == sealed.Compact {
		return FormCompact
	}
	return FormFast
}

// indexBuilder is one run of Index.
type indexBuilder struct {
	n     *Node
	a     *Agreement
	req   IndexRequest
	began time.Time
	row   store.SearchIndex // the epoch to work on
	fresh bool              // it begins with this run
	forms []recordForm
	indexDetail
}

// recordForm is one name form of a record as it was read.
type recordForm struct {
	id      string
	label   bookLabel
	form    int
	symbols []uint8
}

// choose decides whether the current epoch goes on.
func (b *indexBuilder) choose(form sealed.Form) error {
	row, err := b.n.Store.CurrentSearchIndex(b.a.Hex())
	switch {
	case errors.Is(err, store.ErrNotFound):
		b.row, b.fresh = store.SearchIndex{Form: uint8(sealed.Fast)}, true
	case err != nil:
		return err
	default:
		b.row = row
		b.fresh = b.req.RotateNow || !b.n.Now().Before(row.Ends) || form != 0 && uint8(form) != row.Form || !b.n.opens(b.a)
	}
	if form != 0 {
		b.row.Form = uint8(form)
	}
	return nil
}

// opens reports whether the index that answers can be opened: its secrets are
// lost with the identity that sealed them, its files with the disk.
func (n *Node) opens(a *Agreement) bool {
	x, err := n.hold(a)
	if err != nil {
		n.Logger.Warn().Str("agreement", short(a.Hex())).Str("reason", err.Error()).Msg("the search index does not open: a new epoch begins")
		return false
	}
	n.done(x)
	return true
}

// build reads the records and makes the next version.
func (b *indexBuilder) build(ctx context.Context) (*SearchIndex, error) {
	if b.fresh {
		if err := b.begin(ctx); err != nil {
			return nil, err
		}
	} else if err := b.read(ctx, b.row.Epoch); err != nil {
		return nil, err
	}
	x, err := b.open()
	if err != nil {
		return nil, err
	}
	defer b.n.done(x)
	out, err := b.write(ctx, x)
	if err != nil {
		// What was staged must not be written with the next version.
		err = errors.Join(err, b.n.searches.retire(b.a.Hex()))
	}
	return out, err
}

// open returns the epoch's index, held by us.
func (b *indexBuilder) open() (*openIndex, error) {
	if !b.fresh {
		return b.n.hold(b.a)
	}
	seed, err := b.n.openSeed32(b.row.Seed, indexSeedName(b.a, b.row.Epoch))
	if err != nil {
		return nil, err
	}
	defer clear(seed[:])
	blocks := filepath.Join(b.n.indexDir(b.a, b.row.Epoch), blocksDir)
	if err := os.MkdirAll(blocks, 0o700); err != nil {
		return nil, err
	}
	x, err := sealed.CreateIndex(blocks, b.a.Search.Params(), b.a.scope(b.row.Epoch),
		sealed.IndexOptions{Form: sealed.Form(b.row.Form), Capacity: b.row.Capacity, Seed: seed})
	if err != nil {
		return nil, fmt.Errorf("the search index: %w", err)
	}
	return &openIndex{a: b.a, Index: x, epoch: b.row.Epoch, book: &searchBook{}, users: 1}, nil
}

// write writes the next version, if it is another than the last, and makes it
// the one that answers. The book goes first: a version that is cut off then has
// no slot of which the book does not know whose it is.
func (b *indexBuilder) write(ctx context.Context, x *openIndex) (*SearchIndex, error) {
	_, old := b.n.searches.version(x)
	book, err := b.stage(x.Index, old)
	if err != nil {
		return nil, err
	}
	same := b.Added+b.Altered+b.Removed == 0 && book.Contact == old.Contact && book.Text == old.Text
	if !b.fresh && same && old.Serial == b.row.Serial {
		v := b.n.viewIndex(b.row)
		v.Added, v.Altered, v.Removed = 0, 0, 0
		return v, nil
	}
	dir := b.n.indexDir(b.a, b.row.Epoch)
	if err := b.n.writeBook(dir, bookName(b.a, b.row.Epoch), book); err != nil {
		return nil, err
	}
	err = x.Flush(ctx, b.n.Workers, func(done, total int) { b.progress(stageIndexing, done, total) })
	if err != nil {
		return nil, fmt.Errorf("writing the index: %w", err)
	}
	b.Bytes = x.Bytes()
	return b.finish(x, book)
}

// progress tells how far a stage is.
func (b *indexBuilder) progress(stage string, done, total int) {
	if b.req.Progress != nil {
		b.req.Progress(Progress{Stage: stage, Done: done, Total: total})
	}
}

// begin starts a new epoch, which needs the number of its slots first.
func (b *indexBuilder) begin(ctx context.Context) error {
	// The number of the epoch is part of the sketches' salt, and the number of
	// sketches of the epoch's size: the number is known before it is taken, for
	// one run at a time builds.
	all, err := b.n.Store.SearchIndexes(b.a.Hex())
	if err != nil {
		return err
	}
	epoch := uint32(1)
	for _, x := range all {
		if x.State != store.EpochBuilding {
			epoch = x.Epoch + 1
			break
		}
	}
	if err := b.read(ctx, epoch); err != nil {
		return err
	}
	if b.row.Capacity, err = b.a.capacity(len(b.forms)); err != nil {
		return refuse(CodeBudget, "the records have %d name forms, the agreement allows %d slots", len(b.forms), b.a.Search.MaxSlots)
	}
	var seed [32]byte
	if _, err := io.ReadFull(b.n.Rand, seed[:]); err != nil {
		return fmt.Errorf("drawing the index's seed: %w", err)
	}
	defer clear(seed[:])
	if b.row.Seed, err = b.n.seal(seed[:], indexSeedName(b.a, epoch)); err != nil {
		return err
	}
	b.row.Agreement, b.row.Serial, b.row.State = b.a.Hex(), 0, store.EpochBuilding
	b.row.Began = b.n.Now()
	b.row.Ends = b.row.Began.Add(b.a.Search.epoch())
	if err := os.RemoveAll(b.n.indexDir(b.a, epoch)); err != nil { // of a run that was cut off
		return err
	}
	return b.n.Store.Update(func(tx *store.Tx) error {
		b.row.Epoch, err = tx.BeginSearchIndex(b.row)
		if err == nil && b.row.Epoch != epoch {
			err = fmt.Errorf("the index's epoch is %d, not %d", b.row.Epoch, epoch)
		}
		return err
	})
}

// read sketches the records.
func (b *indexBuilder) read(ctx context.Context, epoch uint32) error {
	src := b.req.Source
	if src.Compartment != b.a.Compartment {
		return refuse(CodeRefused, "source %s is of compartment %q, the agreement of %q", src.Records.Name(), src.Compartment, b.a.Compartment)
	}
	s, err := b.a.Sketcher(epoch, sketch.Owner)
	if err != nil {
		return err
	}
	b.forms, b.indexDetail = nil, indexDetail{}
	b.progress(stageReading, 0, 0)
	var scratch []sketch.Form
	report, err := src.Records.Each(ctx, src.Read, func(r *records.Record) error {
		scratch = s.Append(scratch[:0], r)
		b.Records++
		if len(scratch) == 0 {
			b.Nameless++
		}
		if len(scratch) > maxForms {
			scratch = scratch[:maxForms]
			b.Cut++
		}
		label := bookLabel{cut(r.SourceRef), cut(r.Contact), cut(r.Note)}
		if label.Reference == "" || src.ReferenceID {
			label.Reference = cut(r.ID)
		}
		for i, f := range scratch {
			b.forms = append(b.forms, recordForm{r.ID, label, i, slices.Clone(f.Symbols)})
		}
		if int64(len(b.forms)) > b.a.Search.MaxSlots {
			return refuse(CodeBudget, "the records have more name forms than the %d slots that the agreement allows", b.a.Search.MaxSlots)
		}
		return nil
	})
	if src.Report != nil && report != nil {
		src.Report(report)
	}
	if err != nil {
		return refuse(CodeRefused, "%w", err)
	}
	if b.Records < int64(b.a.Caps.MinRecords) {
		return refuse(CodeRefused, "source %s has %d records, the agreement wants at least %d", src.Records.Name(), b.Records, b.a.Caps.MinRecords)
	}
	b.Slots = int64(len(b.forms))
	return nil
}

// cut bounds a text that the peer may be told.
func cut(s string) string {
	if len(s) <= maxReference {
		return s
	}
	return strings.ToValidUTF8(s[:maxReference], "")
}

// Sketcher makes the sketches of an epoch's index, or of queries to it.
func (a *Agreement) Sketcher(epoch uint32, role sketch.Role) (*sketch.Sketcher, error) {
	id := a.ID()
	salt := psi.HashTuple([]byte("symbolon/v1/sketch"), id[:], beUint32(epoch))
	s, err := sketch.New(a.Search.shape(), a.Normalisation, salt[:], role)
	if err != nil {
		return nil, refuse(CodeRules, "%w", err)
	}
	return s, nil
}

// stage tells the index what has changed and returns its new book.
func (b *indexBuilder) stage(x *sealed.Index, old *searchBook) (*searchBook, error) {
	at, free := old.places(x.Capacity())
	book := &searchBook{Serial: max(b.row.Serial, old.Serial) + 1, Entries: slices.Clone(old.Entries),
		Contact: b.req.Source.Contact, Text: b.req.Source.Text}
	for _, f := range b.forms {
		k := bookKey{f.id, f.form}
		i, there := at[k]
		delete(at, k)
		if !there {
			if len(free) == 0 {
				return nil, errIndexFull
			}
			i, free = free[len(free)-1], free[:len(free)-1]
			for len(book.Entries) <= i {
				book.Entries = append(book.Entries, bookEntry{})
			}
			book.Entries[i] = bookEntry{ID: f.id, Form: f.form, Since: book.Serial}
			b.Added++
		}
		if err := x.Put(i, f.symbols); err != nil {
			return nil, fmt.Errorf("the index: %w", err)
		}
		e := &book.Entries[i]
		hash := psi.HashTuple(f.symbols)
		sum := [8]byte(hash[:8])
		if there && (e.Sum != sum || e.Label != f.label) {
			b.Altered++
		}
		e.Sum, e.Label = sum, f.label
	}
	for _, i := range at { // what is left is there no more
		book.Entries[i].Gone = book.Serial
		b.Removed++
	}
	for i := range book.Entries {
		e := &book.Entries[i]
		if e.Gone == 0 {
			continue
		}
		// One that left in a version that was cut off may be there still.
		if err := x.Remove(i); err != nil {
			return nil, fmt.Errorf("the index: %w", err)
		}
		if e.Gone <= b.row.Serial { // no version that answers knows of it
			e.Label, e.Sum = bookLabel{}, [8]byte{}
		}
	}
	return book, nil
}

// finish makes the new version the one that answers.
func (b *indexBuilder) finish(x *openIndex, book *searchBook) (*SearchIndex, error) {
	b.Seconds = time.Since(b.began).Seconds()
	detail, err := json.Marshal(b.indexDetail)
	if err != nil {
		return nil, err
	}
	now := b.n.Now()
	b.row.State, b.row.Serial, b.row.Detail, b.row.Changed = store.EpochCurrent, book.Serial, string(detail), now
	e := audit.Entry{Event: eventIndexed, Role: string(psi.RoleSender), Mode: string(psi.ModeSearch), OwnItems: &b.Slots,
		Note: fmt.Sprintf("index %d of epoch %d", book.Serial, b.row.Epoch)}
	if b.req.User != nil {
		e.User = b.req.User.Name()
	}
	err = b.n.Store.Update(func(tx *store.Tx) error {
		if err := tx.FinishSearchIndex(b.a.Hex(), b.row.Epoch, book.Serial, b.row.Detail, now); err != nil {
			return err
		}
		return b.n.append(tx, b.a, e)
	})
	if err != nil {
		return nil, err
	}
	s := &b.n.searches
	s.mu.Lock()
	x.serial, x.book = book.Serial, book
	if s.indexes[b.a.Hex()] != x {
		err = s.install(x)
	}
	s.mu.Unlock()
	out := b.n.viewIndex(b.row)
	out.Changed = true
	return out, errors.Join(err, b.n.removeOldEpochs(b.a, b.row.Epoch))
}

// Indexes returns the indexes of an agreement, or of all for "", the newest of
// each first.
func (n *Node) Indexes(agreement string) ([]SearchIndex, error) {
	rows, err := n.Store.SearchIndexes(agreement)
	if err != nil {
		return nil, err
	}
	var out []SearchIndex
	for _, r := range rows {
		out = append(out, *n.viewIndex(r))
	}
	return out, nil
}

func (n *Node) viewIndex(r store.SearchIndex) *SearchIndex {
	v := &SearchIndex{Agreement: r.Agreement, Epoch: r.Epoch, Serial: r.Serial, State: r.State, Form: formName(r.Form),
		Capacity: r.Capacity, Began: r.Began, Indexed: r.Changed, EpochEnds: r.Ends}
	if err := json.Unmarshal([]byte(r.Detail), &v.indexDetail); err != nil {
		v.indexDetail = indexDetail{} // one that is being built has none
	}
	return v
}

// Places of the indexes.

// blocksDir is where an epoch's blocks are.
const blocksDir = "blocks"

func (n *Node) searchDir(a *Agreement) string { return filepath.Join(n.Dir, "search", a.Hex()) }

func (n *Node) indexDir(a *Agreement, epoch uint32) string {
	return filepath.Join(n.searchDir(a), fmt.Sprintf("epoch-%d", epoch))
}

func indexSeedName(a *Agreement, epoch uint32) string {
	return fmt.Sprintf("search-index-seed/%s/%d", a.Hex(), epoch)
}

func bookName(a *Agreement, epoch uint32) string {
	return fmt.Sprintf("search-book/%s/%d", a.Hex(), epoch)
}

func (a *Agreement) scope(epoch uint32) sealed.Scope {
	return sealed.Scope{Agreement: a.ID(), Epoch: epoch}
}

// openSeed32 opens a sealed seed.
func (n *Node) openSeed32(sealedSeed []byte, what string) (seed [32]byte, err error) {
	plain, err := n.open(sealedSeed, what)
	if err != nil {
		return seed, err
	}
	defer clear(plain)
	if len(plain) != len(seed) {
		return seed, fmt.Errorf("a seed has %d bytes, want %d", len(plain), len(seed))
	}
	copy(seed[:], plain)
	return seed, nil
}

// removeOldEpochs deletes what earlier epochs have left on disk.
func (n *Node) removeOldEpochs(a *Agreement, current uint32) error {
	dirs, err := os.ReadDir(n.searchDir(a))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if d.Name() != filepath.Base(n.indexDir(a, current)) {
			if err := os.RemoveAll(filepath.Join(n.searchDir(a), d.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
