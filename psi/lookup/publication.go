package lookup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrNoChunk says that a publication holds no such piece.
var ErrNoChunk = errors.New("lookup: no such chunk")

// A Publication is a published serial, for those who serve it. It holds its
// files open, so that it stays whole while later serials are published. It is
// safe for concurrent use until closed.
type Publication struct {
	Signed   Signed
	Manifest *Manifest
	filter   *os.File
	deltas   []*os.File // as in the manifest
}

// OpenPublication opens a serial of a publisher's directory, the newest for 0.
// The newest and the one before are there. The error wraps fs.ErrNotExist if
// there is none.
func OpenPublication(dir string, serial uint64) (*Publication, error) {
	// A serial that is replaced while it is opened may lose its files: then
	// there is a newer one.
	for before := uint64(0); ; {
		at := serial
		if at == 0 {
			all, err := serials(dir)
			if err != nil {
				return nil, err
			}
			if len(all) == 0 {
				return nil, fmt.Errorf("lookup: no filter is published: %w", fs.ErrNotExist)
			}
			at = all[0]
		}
		p, err := openSerial(dir, at)
		if err == nil || serial != 0 || !errors.Is(err, fs.ErrNotExist) || at == before {
			return p, err
		}
		before = at
	}
}

func openSerial(dir string, serial uint64) (*Publication, error) {
	s, m, err := readSigned(dir, serial)
	if err != nil {
		return nil, err
	}
	p := &Publication{Signed: s, Manifest: m}
	if p.filter, err = os.Open(fileOf(dir, namedFilter, serial)); err != nil {
		return nil, err
	}
	for _, d := range m.Deltas {
		f, err := os.Open(fileOf(dir, namedDelta, d.From+1))
		if err != nil {
			p.Close()
			return nil, err
		}
		p.deltas = append(p.deltas, f)
	}
	return p, nil
}

// Chunk returns a piece, at most ChunkSize bytes: of the filter if from is 0,
// otherwise of the delta from that serial to the next. The error wraps ErrNoChunk
// if there is no such piece.
func (p *Publication) Chunk(from uint64, n int) ([]byte, error) {
	file, blob := p.filter, &p.Manifest.Filter
	if from != 0 {
		file = nil
		for i, d := range p.Manifest.Deltas {
			if d.From == from {
				file, blob = p.deltas[i], &p.Manifest.Deltas[i].Blob
			}
		}
	}
	if file == nil || n < 0 || n >= blob.chunks() {
		return nil, fmt.Errorf("%w: %d of what leads from serial %d to %d", ErrNoChunk, n, from, p.Manifest.Serial)
	}
	b := make([]byte, blob.chunkLen(n))
	if _, err := file.ReadAt(b, int64(n)*ChunkSize); err != nil {
		return nil, fmt.Errorf("lookup: reading chunk %d: %w", n, err)
	}
	return b, nil
}

// Close gives the files back. No other method is called then or later.
func (p *Publication) Close() error {
	errs := []error{p.filter.Close()}
	for _, f := range p.deltas {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
