package lookup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/symbolon/symbolon/internal/disk"
)

const namedPart = "part-"

// A Fetch takes in what a manifest describes, piece by piece:
//
//	for {
//		from, chunk, ok := f.Want()
//		if !ok {
//			break
//		}
//		data := ... // ask the owner
//		if err := f.Put(ctx, data); err != nil { ... }
//	}
//	update, err := f.Finish(ctx) // errors.Is(err, ErrRefetch): fetch on
//
// Every piece is verified before it is kept. After a crash, or Close, Begin goes
// on where it stopped.
type Fetch struct {
	mirror *Mirror
	signed Signed
	next   *Manifest
	parts  []*part
}

// part is one file that is fetched.
type part struct {
	from   uint64 // 0 for the filter
	blob   *Blob
	hashes []byte
	file   *os.File
	done   int // pieces
}

// plan opens the files to fetch: the deltas, or the filter if there are none.
func (f *Fetch) plan(deltas []DeltaBlob) error {
	f.parts = nil
	for i := range deltas {
		f.parts = append(f.parts, &part{from: deltas[i].From, blob: &deltas[i].Blob})
	}
	if len(deltas) == 0 {
		f.parts = []*part{{blob: &f.next.Filter}}
	}
	keep := map[string]bool{}
	for _, p := range f.parts {
		keep[f.path(p)] = true
	}
	if f.mirror.have != nil {
		keep[fileOf(f.mirror.dir, namedFilter, f.mirror.have.Serial)] = true
		keep[fileOf(f.mirror.dir, namedManifest, f.mirror.have.Serial)] = true
	}
	if err := removeOthers(f.mirror.dir, keep, namedPart, namedFilter, namedManifest); err != nil {
		return err
	}
	for _, p := range f.parts {
		if err := p.open(f.path(p)); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fetch) path(p *part) string { return fileOf(f.mirror.dir, namedPart, p.from) }

// open finds what is right of a file, and cuts off the rest.
func (p *part) open(path string) error {
	p.hashes = p.blob.decoded()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	p.file = file
	if p.done, err = verifyBlob(context.Background(), file, p.blob); err != nil {
		return err
	}
	return file.Truncate(p.size())
}

// size is the number of bytes that are there.
func (p *part) size() int64 { return min(int64(p.done)*ChunkSize, p.blob.Bytes) }

// current returns the first part that is not whole.
func (f *Fetch) current() *part {
	for _, p := range f.parts {
		if p.done < p.blob.chunks() {
			return p
		}
	}
	return nil
}

// Manifest returns the manifest of what is fetched.
func (f *Fetch) Manifest() *Manifest { return f.next }

// ByDelta reports whether deltas are fetched, rather than the whole filter.
func (f *Fetch) ByDelta() bool { return f.parts[0].from != 0 }

// Want returns the next piece to ask for, as Publication.Chunk takes it; false
// if all are there.
func (f *Fetch) Want() (from uint64, chunk int, ok bool) {
	p := f.current()
	if p == nil {
		return 0, 0, false
	}
	return p.from, p.done, true
}

// Put takes the wanted piece. It keeps none that is not what the manifest says:
// then the error wraps ErrAltered, and the same piece is still wanted.
func (f *Fetch) Put(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := f.current()
	if p == nil {
		return fmt.Errorf("%w: a piece too many", ErrAltered)
	}
	if want := p.blob.chunkLen(p.done); len(data) != want {
		return fmt.Errorf("%w: piece %d has %d bytes, want %d", ErrAltered, p.done, len(data), want)
	}
	if sha256.Sum256(data) != [32]byte(p.hashes[32*p.done:]) {
		return fmt.Errorf("%w: piece %d has another hash", ErrAltered, p.done)
	}
	if _, err := p.file.WriteAt(data, p.size()); err != nil {
		return err
	}
	p.done++
	return nil
}

// Progress returns the bytes that are there, and all that are fetched.
func (f *Fetch) Progress() (done, total int64) {
	for _, p := range f.parts {
		done += p.size()
		total += p.blob.Bytes
	}
	return done, total
}

// Close keeps what was fetched for another Begin.
func (f *Fetch) Close() error {
	var errs []error
	for _, p := range f.parts {
		if p.file != nil {
			errs = append(errs, p.file.Close())
			p.file = nil
		}
	}
	return errors.Join(errs...)
}

// Finish makes the filter from what was fetched, verifies it against the
// manifest, and installs it: before it returns nil or after a crash, either it
// or the serial before is installed, whole. The Fetch is spent then. If the
// error wraps ErrRefetch, the deltas were of no use, and the Fetch goes on with
// the whole filter.
func (f *Fetch) Finish(ctx context.Context) (*Update, error) {
	if f.current() != nil {
		return nil, errors.New("lookup: a fetch is not complete")
	}
	old, err := f.old()
	if err == nil {
		var u *Update
		if u, err = f.finish(ctx, old); err == nil {
			return u, nil
		}
		if old != nil {
			old.Close()
		}
	}
	if f.ByDelta() && ctx.Err() == nil {
		if e := f.restart(); e != nil {
			return nil, errors.Join(err, e)
		}
		return nil, fmt.Errorf("%w: %w", ErrRefetch, err)
	}
	return nil, err
}

// old opens the installed filter. One that is damaged is as good as none, unless
// deltas are to be applied to it.
func (f *Fetch) old() (*Filter, error) {
	if f.mirror.have == nil {
		return nil, nil
	}
	old, err := f.mirror.Open()
	if err != nil && !f.ByDelta() {
		return nil, nil
	}
	return old, err
}

// restart fetches the whole filter instead of deltas.
func (f *Fetch) restart() error {
	if err := f.Close(); err != nil {
		return err
	}
	return f.plan(nil)
}

func (f *Fetch) finish(ctx context.Context, old *Filter) (*Update, error) {
	path := fileOf(f.mirror.dir, namedFilter, f.next.Serial)
	u := &Update{Manifest: f.next, old: old}
	var err error
	if f.ByDelta() {
		err = f.apply(ctx, u, path)
	} else {
		err = f.whole(path)
	}
	if err == nil {
		u.Filter, err = OpenFilter(path, f.next)
	}
	if err == nil {
		err = f.install()
	}
	if err != nil {
		u.old = nil // Finish closes it
		return nil, errors.Join(err, u.Close())
	}
	return u, nil
}

// whole gives the fetched filter its name.
func (f *Fetch) whole(path string) error {
	file := f.parts[0].file
	if err := file.Sync(); err != nil {
		return err
	}
	// Checked before it has the name of a filter.
	if n, err := openFilter(f.path(f.parts[0])); err != nil {
		return fmt.Errorf("%w: %w", ErrPeer, err)
	} else if err := n.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.path(f.parts[0]), path); err != nil {
		return err
	}
	return disk.SyncDir(f.mirror.dir)
}

// apply makes the filter from the installed one and the deltas.
func (f *Fetch) apply(ctx context.Context, u *Update, path string) error {
	base, steps := u.old, []string{}
	defer func() {
		if base != u.old {
			base.Close()
		}
		for _, s := range steps {
			os.Remove(s)
		}
	}()
	for i, p := range f.parts {
		d, err := openDelta(f.path(p))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPeer, err)
		}
		u.deltas = append(u.deltas, d)
		to := path
		last := i == len(f.parts)-1
		if !last {
			to = filepath.Join(f.mirror.dir, fmt.Sprintf("step-%d%s", i, tempSuffix))
			steps = append(steps, to)
		}
		got, err := d.apply(ctx, base, to)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPeer, err)
		}
		if last {
			if got != f.next.Filter {
				return fmt.Errorf("%w: the deltas lead to another filter", ErrAltered)
			}
			return nil
		}
		next, err := openFilter(to)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPeer, err)
		}
		if base != u.old {
			base.Close()
		}
		base = next
	}
	return nil
}

// install makes the new serial the mirror's, and removes what it replaces.
func (f *Fetch) install() error {
	m := f.mirror
	_, err := writeBlob(fileOf(m.dir, namedManifest, f.next.Serial), func(w io.Writer) error {
		_, err := w.Write(f.signed.Marshal())
		return err
	})
	if err != nil {
		return err
	}
	m.signed, m.have = f.signed, f.next
	keep := map[string]bool{
		fileOf(m.dir, namedManifest, f.next.Serial): true,
		fileOf(m.dir, namedFilter, f.next.Serial):   true,
	}
	return errors.Join(f.Close(), removeOthers(m.dir, keep, namedPart, namedFilter, namedManifest))
}

// Update is an installed serial, and what it changed. It is safe for concurrent
// use until closed.
type Update struct {
	Manifest *Manifest
	// Filter is the installed filter. Close closes it too.
	Filter *Filter
	old    *Filter
	deltas []*Delta
}

// Changed reports whether the filter may say more of the seed's key than before:
// it has gained the key, the key's entry is another, or a row to which that leads
// is. In the first filter of an epoch all is new. An error is one of reading a
// file.
func (u *Update) Changed(s Seed) (bool, error) {
	rank, ok := u.Filter.find(s)
	if !ok || u.old == nil {
		return ok, nil
	}
	was, ok := u.old.find(s)
	if !ok || u.Filter.label == nil {
		return !ok, nil
	}
	l := u.Filter.label
	entry, same, err := u.sameBox(u.Filter.entryAt(rank), u.old.entryAt(was), l.EntryLen())
	if err != nil || !same {
		return !same, err
	}
	for _, slot := range l.OpenEntry(entry, u.Filter.keys.labelKey(s), l.entryAD).Slots {
		row := int(slot.Row)
		if row >= u.old.rows {
			return true, nil
		}
		_, same, err := u.sameBox(u.Filter.rowAt(row), u.old.rowAt(row), l.RowLen())
		if err != nil || !same {
			return !same, err
		}
	}
	return false, nil
}

// sameBox returns a box of the filter, and whether the old filter has the same.
func (u *Update) sameBox(at, was int64, size int) (now []byte, same bool, err error) {
	if now, err = u.Filter.box(at, size); err != nil {
		return nil, false, err
	}
	before, err := u.old.box(was, size)
	return now, bytes.Equal(now, before), err
}

// Close gives the files back.
func (u *Update) Close() error {
	var errs []error
	for _, d := range u.deltas {
		errs = append(errs, d.Close())
	}
	for _, f := range []*Filter{u.old, u.Filter} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
