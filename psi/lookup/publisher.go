package lookup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/internal/parallel"
)

// SecretSize is the length of an epoch's secret in bytes.
const SecretSize = 32

// Errors of Stage that tell the caller what to do.
var (
	// ErrUnchanged says that what is published is up to date.
	ErrUnchanged = errors.New("lookup: nothing has changed")
	// ErrRotate says that the epoch is at its end, for want of room or because
	// two keys share a fingerprint: a new epoch solves it.
	ErrRotate = errors.New("a new epoch is needed")
)

// Evaluate sets dst[i] to the VOPRF output of items[i]. It is called from
// several goroutines at once, each time with thousands of items if there are as
// many.
type Evaluate func(ctx context.Context, dst [][OutputSize]byte, items []Item) error

// Input is what an owner publishes.
type Input struct {
	// Items calls yield once for each distinct item, with the numbers of its
	// records, which yield keeps no longer than the call; without labels they
	// may be nil. An error of yield ends the walk and is returned.
	Items func(yield func(item Item, records []uint32) error) error
	// Count, if not 0, says about how many items there are, which saves memory.
	Count int
	// Records are numbered from 0 to Records-1.
	Records int
	// Record returns a record's label, and an id by which the record is known
	// from one publication to the next. It is called only for labels, from
	// several goroutines, once or twice a record.
	Record func(n int) (id string, label Label, err error)
}

// Terms are what a manifest says beyond the filter.
type Terms struct {
	Created, ValidUntil time.Time
	// PublicKey is the epoch's VOPRF key, RuleSet the hash of the rule set.
	PublicKey, RuleSet [32]byte
	Normalisation      string
}

// Options are what an owner may choose alone.
type Options struct {
	// Rand is where nonces, dummies and rows come from.
	Rand io.Reader
	// Workers bounds the goroutines of a call; 0 means all processors.
	Workers int
	// Progress, if set, hears of the items done in each stage: StageReading,
	// StageEvaluating and StageWriting. A total of 0 is not known yet.
	Progress func(stage string, done, total int)
}

// The stages of a publication. Reading and evaluating go on together.
const (
	StageReading    = "reading"
	StageEvaluating = "evaluating"
	StageWriting    = "writing"
)

// Stats are exact counts of one publication. They are for the owner alone.
type Stats struct {
	Items, Records int
	// Evaluated is the number of VOPRF outputs computed.
	Evaluated int
	// Added, Removed and Relabelled count items, Rewritten records.
	Added, Removed, Relabelled, Rewritten int
	// Cut is the number of items with more records than slots.
	Cut int
}

// A Publisher makes the filters of one agreement and epoch in a directory of
// its own:
//
//	cache-N      the seeds of all items so far
//	book-N       what is remembered of serial N
//	filter-N     the filter
//	delta-N      the delta to serial N
//	manifest-N   the signed manifest; once it is there, serial N is published
//
// Stage writes the files of the next serial, Commit its manifest; what a crash
// leaves in between is written again or removed. It is not safe for concurrent
// use, and a directory has one publisher at a time. See OpenPublication for those
// who serve what is published.
type Publisher struct {
	dir    string
	params Params
	opts   Options
	keys   ownerKeys
	cache  *cache
	staged *Staged // what Commit may publish
	// fail, in tests, dies at a named step.
	fail func(step string) error
}

// OpenPublisher opens a directory, which it makes if it has to. The secret of
// SecretSize bytes is random, the epoch's own, and destroyed with the VOPRF key:
// from it come the keys of records and of all that is kept here.
func OpenPublisher(dir string, p Params, secret []byte, o Options) (*Publisher, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if len(secret) != SecretSize {
		return nil, fmt.Errorf("lookup: got a secret of %d bytes, want %d", len(secret), SecretSize)
	}
	if o.Rand == nil {
		return nil, errors.New("lookup: no source of randomness")
	}
	o.Workers = parallel.Workers(o.Workers)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keys := newOwnerKeys(&p, secret)
	c, err := openCache(dir, keys)
	if err != nil {
		return nil, err
	}
	return &Publisher{dir: dir, params: p, opts: o, keys: keys, cache: c}, nil
}

// Close gives the files back.
func (p *Publisher) Close() error { return p.cache.close() }

// step is where tests let a publisher die.
func (p *Publisher) step(name string) error {
	if p.fail == nil {
		return nil
	}
	return p.fail(name)
}

func (p *Publisher) progress(stage string, done, total int) {
	if p.opts.Progress != nil {
		p.opts.Progress(stage, done, total)
	}
}

// Names of files in a directory.
const (
	namedManifest = "manifest-"
	namedFilter   = "filter-"
	namedDelta    = "delta-"
	namedBook     = "book-"
)

func fileOf(dir, name string, serial uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%08d", name, serial))
}

// serialOf returns the serial of a file called so, false for others.
func serialOf(file, name string) (uint64, bool) {
	rest, ok := strings.CutPrefix(file, name)
	if !ok {
		return 0, false
	}
	var serial uint64
	if _, err := fmt.Sscanf(rest, "%d", &serial); err != nil || fmt.Sprintf("%08d", serial) != rest {
		return 0, false
	}
	return serial, true
}

// serials returns the serials whose manifests are in a directory, the newest
// first.
func serials(dir string) ([]uint64, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []uint64
	for _, f := range files {
		if s, ok := serialOf(f.Name(), namedManifest); ok {
			all = append(all, s)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all, nil
}

// readSigned reads the signed manifest of a serial.
func readSigned(dir string, serial uint64) (Signed, *Manifest, error) {
	path := fileOf(dir, namedManifest, serial)
	b, err := os.ReadFile(path)
	if err != nil {
		return Signed{}, nil, err
	}
	s, err := ParseSigned(b)
	var m *Manifest
	if err == nil {
		m, err = ParseManifest(s.Manifest)
	}
	if err == nil && m.Serial != serial {
		err = fmt.Errorf("it is of serial %d", m.Serial)
	}
	if err != nil {
		return Signed{}, nil, fmt.Errorf("lookup: %s: %w", filepath.Base(path), err)
	}
	return s, m, nil
}

// newest returns the newest published manifest, nil if there is none.
func newest(dir string) (Signed, *Manifest, error) {
	all, err := serials(dir)
	if err != nil || len(all) == 0 {
		return Signed{}, nil, err
	}
	return readSigned(dir, all[0])
}

// Staged is a serial that waits for its signature.
type Staged struct {
	Manifest *Manifest
	Stats    Stats
	p        *Publisher
	bytes    []byte
}

// Bytes returns what is to be signed.
func (s *Staged) Bytes() []byte { return s.bytes }

// Commit publishes the serial with its signature, at most MaxSignature bytes:
// before it returns nil or after a crash, either this serial or the one before is
// published, whole. What older serials have left is removed.
func (s *Staged) Commit(signature []byte) error {
	if s.p.staged != s {
		return errors.New("lookup: serial was committed or discarded, or another one staged")
	}
	if len(signature) > MaxSignature {
		return fmt.Errorf("lookup: signature has %d bytes, want at most %d", len(signature), MaxSignature)
	}
	if err := s.p.step("commit"); err != nil {
		return err
	}
	_, err := writeBlob(fileOf(s.p.dir, namedManifest, s.Manifest.Serial), func(w io.Writer) error {
		_, err := w.Write(Signed{s.bytes, signature}.Marshal())
		return err
	})
	if err != nil {
		return err
	}
	s.p.staged = nil
	if err := s.p.step("clean"); err != nil {
		return err
	}
	return s.p.clean()
}

// Discard removes what was staged. It does nothing after Commit.
func (s *Staged) Discard() error {
	if s.p.staged != s {
		return nil
	}
	s.p.staged = nil
	return s.p.clean()
}

// clean removes what neither the published serial nor the one before needs:
// older files, and newer ones of a serial that was never committed. Seeds stay.
func (p *Publisher) clean() error {
	all, err := serials(p.dir)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for i, serial := range all[:min(len(all), 2)] {
		_, m, err := readSigned(p.dir, serial)
		if err != nil {
			return err
		}
		keep[fileOf(p.dir, namedManifest, serial)] = true
		keep[fileOf(p.dir, namedFilter, serial)] = true
		if i == 0 {
			keep[fileOf(p.dir, namedBook, serial)] = true
		}
		for _, d := range m.Deltas {
			keep[fileOf(p.dir, namedDelta, d.From+1)] = true
		}
	}
	return removeOthers(p.dir, keep, namedManifest, namedFilter, namedBook, namedDelta)
}

// removeOthers removes unfinished files, and of the files called so those that
// are not to be kept.
func removeOthers(dir string, keep map[string]bool, names ...string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		ours := strings.HasSuffix(path, tempSuffix)
		for _, name := range names {
			if _, ok := serialOf(f.Name(), name); ok {
				ours = !keep[path]
			}
		}
		if ours {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return disk.SyncDir(dir)
}

// manifest returns the manifest of a new serial without its files.
func (t *Terms) manifest(p *Params) *Manifest {
	m := &Manifest{
		Version: ManifestVersion, Agreement: hex.EncodeToString(p.Agreement[:]), Epoch: p.Epoch, Serial: 1,
		Created: t.Created.UTC().Truncate(time.Second), ValidUntil: t.ValidUntil.UTC().Truncate(time.Second),
		Suite: Suite, PublicKey: hex.EncodeToString(t.PublicKey[:]), RuleSet: hex.EncodeToString(t.RuleSet[:]),
		Normalisation: t.Normalisation, MaxKeys: p.MaxKeys, FalsePositiveLog2: p.FalsePositiveLog2,
	}
	if p.Labelled() {
		m.Labels = &ManifestLabels{Bytes: p.LabelBytes, Slots: p.Slots}
	}
	return m
}
