package lookup

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/internal/parallel"
	"github.com/symbolon/symbolon/psi"
)

// The cache keeps the seed of every item evaluated in an epoch, so that no
// output is computed twice. No hash of a key that others could recompute is on
// disk: an item is found by an HMAC of it, its index, and its seed is hidden by
// another HMAC, both under keys from the epoch's secret.
//
// It is made of segments, sorted files of
//
//	"symbolon seeds \x01" | count 8 | check 8 | indices, 16 each | hidden seeds, 32 each | SHA-256 32
//
// where check tells another secret apart, and indices lie close together because
// a publication looks for all of them. Publishing adds segments; now and then
// they are merged into one.
type cache struct {
	dir      string
	keys     ownerKeys
	segments []*segment
	next     int // number of the next segment
}

const (
	segmentMagic  = "symbolon seeds \x01"
	segmentHead   = 32
	cacheRecord   = indexLen + 32
	indexLen      = 16
	segmentPrefix = "cache-"
	maxSegments   = 8
	freshLimit    = 1 << 17 // seeds held in memory before they become a segment
)

// ownerKeys are an owner's keys of one epoch, from its secret.
type ownerKeys struct{ index, hide, record, digest [32]byte }

func newOwnerKeys(p *Params, secret []byte) ownerKeys {
	key := func(what string) [32]byte {
		return psi.HashTuple([]byte("symbolon/v1/lookup-owner"), []byte(what), p.Context(), secret)
	}
	return ownerKeys{key("index"), key("hide"), key("record"), key("digest")}
}

// index is the HMAC by which an item is known, a number of 128 bits.
type index = fingerprint

// A hider computes indices and hides seeds. It is not safe for concurrent use.
type hider struct {
	index, hide hash.Hash
	sum         []byte
}

func (k *ownerKeys) hider() *hider {
	return &hider{index: hmac.New(sha256.New, k.index[:]), hide: hmac.New(sha256.New, k.hide[:])}
}

func (h *hider) indexOf(item *Item) index {
	h.index.Reset()
	h.index.Write(item[:])
	h.sum = h.index.Sum(h.sum[:0])
	return fingerprintOf(h.sum, 128)
}

// mask hides a seed, or shows it again.
func (h *hider) mask(i index, seed *[32]byte) {
	var b [indexLen]byte
	putIndex(b[:], i)
	h.hide.Reset()
	h.hide.Write(b[:])
	h.sum = h.hide.Sum(h.sum[:0])
	for j := range seed {
		seed[j] ^= h.sum[j]
	}
}

func putIndex(b []byte, i index) {
	binary.BigEndian.PutUint64(b, i.hi)
	binary.BigEndian.PutUint64(b[8:], i.lo)
}

func getIndex(b []byte) index {
	return index{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// segment is one sorted file, mapped.
type segment struct {
	name  string
	file  *os.File
	unmap func() error
	n     int
	// The indices, and the hidden seeds in the same order.
	indices, seeds []byte
}

func (s *segment) index(i int) index { return getIndex(s.indices[i*indexLen:]) }

func (s *segment) seed(i int) [32]byte { return [32]byte(s.seeds[i*32:]) }

// find returns the hidden seed of an index. Indices are uniform, so that
// interpolation finds one in a few steps (Perl, Itai, Avni, Interpolation
// search, CACM 1978).
func (s *segment) find(x index) (seed [32]byte, ok bool) {
	lo, hi := 0, s.n // x, if there, is in [lo, hi)
	for from, to := uint64(0), ^uint64(0); lo < hi; {
		mid := lo + int(float64(hi-lo)*(float64(x.hi-from)/(float64(to-from)+1)))
		mid = min(max(mid, lo), hi-1)
		got := s.index(mid)
		switch got.compare(x) {
		case 0:
			return s.seed(mid), true
		case -1:
			lo, from = mid+1, got.hi
		default:
			hi, to = mid, got.hi
		}
		if x.hi < from || x.hi > to {
			break
		}
	}
	return seed, false
}

func (s *segment) close() error { return errors.Join(s.unmap(), s.file.Close()) }

func openCache(dir string, keys ownerKeys) (*cache, error) {
	c := &cache{dir: dir, keys: keys}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), segmentPrefix) || strings.HasSuffix(f.Name(), tempSuffix) {
			continue
		}
		if err := c.open(f.Name()); err != nil {
			c.close()
			return nil, fmt.Errorf("lookup: %s: %w", f.Name(), err)
		}
		var n int
		if _, err := fmt.Sscanf(f.Name(), segmentPrefix+"%d", &n); err == nil {
			c.next = max(c.next, n+1)
		}
	}
	return c, nil
}

// open adds a segment that is on disk.
func (c *cache) open(name string) error {
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		return err
	}
	s := &segment{name: name, file: f, unmap: func() error { return nil }}
	if err := c.load(s); err != nil {
		s.close()
		return err
	}
	c.segments = append(c.segments, s)
	return nil
}

func (c *cache) load(s *segment) error {
	fi, err := s.file.Stat()
	if err != nil {
		return err
	}
	if fi.Size() < segmentHead+sha256.Size {
		return fmt.Errorf("it has %d bytes, want at least %d", fi.Size(), segmentHead+sha256.Size)
	}
	b, unmap, err := disk.Map(s.file, fi.Size())
	if err != nil {
		return err
	}
	s.unmap = unmap
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	n := binary.BigEndian.Uint64(b[16:])
	switch {
	case string(b[:16]) != segmentMagic:
		return errors.New("it is no cache of seeds")
	case !bytes.Equal(b[24:32], c.keys.check()):
		return errors.New("it was written under another secret")
	case n != uint64(len(body)-segmentHead)/cacheRecord || (len(body)-segmentHead)%cacheRecord != 0:
		return fmt.Errorf("it has %d bytes, not those of %d seeds", len(b), n)
	case sha256.Sum256(body) != [32]byte(sum):
		return errors.New("it is damaged")
	}
	s.n = int(n)
	s.indices, s.seeds = body[segmentHead:][:s.n*indexLen], body[segmentHead+s.n*indexLen:]
	return nil
}

// check tells the keys from those of another secret.
func (k *ownerKeys) check() []byte {
	sum := psi.HashTuple([]byte("symbolon/v1/lookup-check"), k.index[:])
	return sum[:8]
}

func (c *cache) close() error {
	var errs []error
	for _, s := range c.segments {
		errs = append(errs, s.close())
	}
	c.segments = nil
	return errors.Join(errs...)
}

// find returns the hidden seed of an index.
func (c *cache) find(x index) ([32]byte, bool) { return findIn(c.segments, x) }

func findIn(segments []*segment, x index) ([32]byte, bool) {
	for _, s := range segments {
		if seed, ok := s.find(x); ok {
			return seed, true
		}
	}
	return [32]byte{}, false
}

// seed returns the seed of an index that must be there.
func (c *cache) seed(h *hider, x index) (Seed, error) {
	seed, ok := c.find(x)
	if !ok {
		return Seed{}, errors.New("lookup: the cache lacks a seed of a published key")
	}
	h.mask(x, &seed)
	return seed, nil
}

// hidden is a record of the cache.
type hidden struct {
	index index
	seed  [32]byte
}

// add makes a segment of fresh seeds, which it sorts.
func (c *cache) add(fresh []hidden) error {
	if len(fresh) == 0 {
		return nil
	}
	slices.SortFunc(fresh, func(a, b hidden) int { return a.index.compare(b.index) })
	name, err := c.write(slices.Values(fresh))
	if err != nil {
		return err
	}
	return c.open(name)
}

// write makes a segment, without opening it, of records that come in order each
// time they are asked for.
func (c *cache) write(records iter.Seq[hidden]) (name string, err error) {
	name = fmt.Sprintf("%s%08d", segmentPrefix, c.next)
	_, err = writeBlob(filepath.Join(c.dir, name), func(w io.Writer) error {
		sum := sha256.New()
		both := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
		n := uint64(0)
		for range records {
			n++
		}
		head := binary.BigEndian.AppendUint64([]byte(segmentMagic), n)
		// The writer keeps its first error.
		both.Write(append(head, c.keys.check()...))
		var b []byte
		for h := range records {
			b = appendIndex(b[:0], h.index)
			both.Write(b)
		}
		for h := range records {
			both.Write(h.seed[:])
		}
		if err := both.Flush(); err != nil {
			return err
		}
		_, err := w.Write(sum.Sum(nil))
		return err
	})
	if err != nil {
		return "", err
	}
	c.next++
	return name, nil
}

// compact merges the segments once there are many, or the largest holds less
// than four fifths of all seeds. An index is in one segment alone, unless a
// publication died between a merge and its end.
func (c *cache) compact() error {
	all, largest := 0, 0
	for _, s := range c.segments {
		all += s.n
		largest = max(largest, s.n)
	}
	if len(c.segments) < 2 || len(c.segments) <= maxSegments && 5*largest >= 4*all {
		return nil
	}
	name, err := c.write(merged(c.segments))
	if err != nil {
		return err
	}
	// The old ones are given back first: their pages count as ours.
	old := c.segments
	if err := c.close(); err != nil {
		return err
	}
	if err := c.open(name); err != nil {
		return err
	}
	for _, s := range old {
		if err := os.Remove(filepath.Join(c.dir, s.name)); err != nil {
			return err
		}
	}
	return disk.SyncDir(c.dir)
}

// merged returns the records of several segments in order.
func merged(segments []*segment) iter.Seq[hidden] {
	return func(yield func(hidden) bool) {
		at := make([]int, len(segments))
		for {
			least := -1
			var x index
			for i, s := range segments {
				if at[i] == s.n {
					continue
				}
				if y := s.index(at[i]); least < 0 || y.less(x) {
					least, x = i, y
				}
			}
			if least < 0 || !yield(hidden{x, segments[least].seed(at[least])}) {
				return
			}
			for i, s := range segments {
				if at[i] < s.n && s.index(at[i]) == x {
					at[i]++
				}
			}
		}
	}
}

// A keyed is a number with where it comes from.
type keyed struct {
	key fingerprint
	ord uint32
}

func (k keyed) compare(f fingerprint) int { return k.key.compare(f) }

// sortKeyed sorts by number, on all processors and in place: numbers are uniform
// below 2^u, so that their first bits cut them evenly.
func sortKeyed(ctx context.Context, workers int, all []keyed, u uint) error {
	const parts = 256
	var ends [parts + 1]int
	part := func(k *keyed) int { return int(k.key.shiftRight(u-8).lo & (parts - 1)) }
	for i := range all {
		ends[part(&all[i])+1]++
	}
	for i := range parts {
		ends[i+1] += ends[i]
	}
	// Each swap brings one to its part (McIlroy, Bostic, McIlroy, Engineering
	// radix sort, Computing Systems 1993, Section 4).
	at := ends
	for p := range parts {
		for at[p] < ends[p+1] {
			k := &all[at[p]]
			q := part(k)
			*k, all[at[q]] = all[at[q]], *k
			at[q]++
		}
	}
	return parallel.For(ctx, workers, parts, func(p int) error {
		slices.SortFunc(all[ends[p]:ends[p+1]], func(a, b keyed) int {
			if c := a.key.compare(b.key); c != 0 {
				return c
			}
			return cmp.Compare(a.ord, b.ord)
		})
		return nil
	})
}
