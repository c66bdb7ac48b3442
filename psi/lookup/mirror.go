package lookup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Errors of Begin and Put.
var (
	// ErrCurrent says that the manifest is the one installed.
	ErrCurrent = errors.New("lookup: the filter is installed already")
	// ErrRollback says that the peer came with an older serial than the one
	// installed, or with another manifest for it, or one that does not follow.
	ErrRollback = fmt.Errorf("%w: the manifest goes back or does not follow", ErrPeer)
	// ErrAltered says that what the peer sent is not what its manifest says.
	ErrAltered = fmt.Errorf("%w: it is not what the manifest says", ErrPeer)
	// ErrRefetch says that the deltas did not lead to the filter that they
	// should, and that the whole filter is wanted now.
	ErrRefetch = errors.New("lookup: the whole filter must be fetched")
)

// A Mirror is an asker's copy of the filter of one agreement and epoch, in a
// directory of its own:
//
//	filter-N      the filter of serial N
//	manifest-N    its signed manifest; once it is there, serial N is installed
//	part-N        what is fetched so far: of the filter for 0, otherwise of the
//	              delta from serial N
//
// Its methods are called from one goroutine at a time; the filters that it opens
// may be used from many, and stay whole when later serials are installed.
type Mirror struct {
	dir    string
	params Params
	signed Signed
	have   *Manifest // installed, or nil
}

// OpenMirror opens a directory, which it makes if it has to.
func OpenMirror(dir string, p Params) (*Mirror, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m := &Mirror{dir: dir, params: p}
	var err error
	if m.signed, m.have, err = newest(dir); err != nil {
		return nil, err
	}
	if m.have != nil {
		if err := m.have.Fits(p); err != nil {
			return nil, fmt.Errorf("lookup: the directory is of other parameters: %w", err)
		}
	}
	return m, nil
}

// Current returns the installed manifest, false if there is none.
func (m *Mirror) Current() (Signed, *Manifest, bool) { return m.signed, m.have, m.have != nil }

// Open opens the installed filter. The error wraps fs.ErrNotExist if there is
// none.
func (m *Mirror) Open() (*Filter, error) {
	if m.have == nil {
		return nil, fmt.Errorf("lookup: no filter is installed: %w", fs.ErrNotExist)
	}
	return OpenFilter(fileOf(m.dir, namedFilter, m.have.Serial), m.have)
}

// Begin prepares to fetch what a manifest describes, whose signature and time
// the caller has checked. It refuses with ErrRollback what does not follow the
// installed serial. What an earlier Fetch of the same files left is kept as far
// as it is right.
func (m *Mirror) Begin(s Signed) (*Fetch, error) {
	next, err := ParseManifest(s.Manifest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPeer, err)
	}
	if err := next.Fits(m.params); err != nil {
		return nil, err
	}
	if err := m.follows(s, next); err != nil {
		return nil, err
	}
	f := &Fetch{mirror: m, signed: s, next: next}
	if err := f.plan(m.byDeltas(next)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// follows reports why a manifest can't replace the installed one.
func (m *Mirror) follows(s Signed, next *Manifest) error {
	have := m.have
	if have == nil {
		return nil
	}
	hash := have.Hash()
	switch {
	case next.Serial == have.Serial && bytes.Equal(s.Manifest, m.signed.Manifest):
		return ErrCurrent
	case next.Serial <= have.Serial:
		return fmt.Errorf("%w: serial %d, installed is %d", ErrRollback, next.Serial, have.Serial)
	case next.Serial == have.Serial+1 && next.Previous != hex.EncodeToString(hash[:]):
		return fmt.Errorf("%w: serial %d does not name the installed one", ErrRollback, next.Serial)
	case next.PublicKey != have.PublicKey || next.RuleSet != have.RuleSet || next.Normalisation != have.Normalisation || next.FingerprintBits != have.FingerprintBits:
		return fmt.Errorf("%w: serial %d has another key, rule set, normalisation or fingerprint than the epoch", ErrRollback, next.Serial)
	}
	return nil
}

// byDeltas returns the deltas that lead from the installed serial to the next,
// nil if the whole filter has to come.
func (m *Mirror) byDeltas(next *Manifest) []DeltaBlob {
	if m.have == nil {
		return nil
	}
	i := slices.IndexFunc(next.Deltas, func(d DeltaBlob) bool { return d.From == m.have.Serial })
	if i < 0 {
		return nil
	}
	total := int64(0)
	for _, d := range next.Deltas[i:] {
		total += d.Bytes
	}
	if total >= next.Filter.Bytes {
		return nil
	}
	return next.Deltas[i:]
}
