package sealed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/symbolon/symbolon/internal/disk"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed/internal/he"
)

// Form is how an index keeps its records.
type Form uint8

const (
	// Fast keeps plaintexts transformed, ready for multiplication: 9 KiB a slot
	// with 256 positions, in proportion to them.
	Fast Form = 1
	// Compact keeps sketches alone, Groups bytes a slot, and transforms them in
	// every scan.
	Compact Form = 2
)

var formNames = map[Form]string{Fast: "fast", Compact: "compact"}

// String returns the form's name.
func (f Form) String() string { return formNames[f] }

// Index is an owner's database for one epoch: a directory with a file "head"
// and a file for each block of BlockSlots slots, memory-mapped and replaced
// atomically when their records change. It holds sketches, which tell much of
// a record: keep it where the records are kept.
//
// Entries have ordinals, numbers of the caller's; their slots are a secret
// permutation of the ordinals. Put, Remove and Flush may run while scans do,
// but not beside each other; a scan sees each block as it stood when the scan
// began.
type Index struct {
	dir      string
	id       [32]byte // the head's hash
	p        Params
	scope    Scope
	c        *he.Context
	form     Form
	capacity int
	slot     []uint32 // ordinal -> slot
	ordinal  []uint32 // slot -> ordinal

	mu      sync.Mutex
	staged  map[int][]uint8 // block -> its sketches as they shall be
	blocks  []*block        // nil: not yet written
	entries int
}

// IndexOptions say how to lay out an index.
type IndexOptions struct {
	Form Form
	// Capacity is the number of entries that the epoch has room for. Scans take
	// time for all of it, and the asker sees it, rounded up to blocks.
	Capacity int
	// Seed orders the slots: 32 bytes of cryptographic randomness, an epoch's
	// secret.
	Seed [32]byte
}

const (
	headName     = "head"
	indexMagic   = "SYMX"
	indexVersion = 1
	headLength   = 128
)

// head is the file that describes an index:
//
//	0 "SYMX"  4 version  5 form  6 parameters (7 bytes)  16 scope (36 bytes)
//	56 capacity u32  64 hash of the seed  96 hash of bytes 0 to 95
func head(p Params, s Scope, form Form, capacity int, seed [32]byte) []byte {
	b := make([]byte, headLength)
	copy(b, indexMagic)
	b[4], b[5] = indexVersion, byte(form)
	copy(b[6:], p.bytes())
	copy(b[16:], s.bytes())
	binary.LittleEndian.PutUint32(b[56:], uint32(capacity))
	order := bound("symbolon/v1/search-order", p, s, seed[:])
	copy(b[64:], order[:])
	sum := psi.HashTuple([]byte("symbolon/v1/search-index"), b[:96])
	copy(b[96:], sum[:])
	return b
}

func newIndex(dir string, p Params, s Scope, form Form, capacity int, seed [32]byte) (*Index, error) {
	c, err := p.context()
	if err != nil {
		return nil, err
	}
	if formNames[form] == "" {
		return nil, fmt.Errorf("sealed: index form %d is unknown", form)
	}
	n := p.blockSlots()
	blocks := (capacity + n - 1) / n
	if capacity < 1 || blocks > MaxBlocks {
		return nil, fmt.Errorf("sealed: index capacity %d is outside 1 to %d", capacity, MaxBlocks*n)
	}
	x := &Index{dir: dir, p: p, scope: s, c: c, form: form, capacity: capacity,
		staged: map[int][]uint8{}, blocks: make([]*block, blocks)}
	x.id = [32]byte(head(p, s, form, capacity, seed)[96:])
	order := rand.NewChaCha8(bound("symbolon/v1/search-slots", p, s, seed[:]))
	if x.slot, err = psi.Permutation(order, blocks*n); err != nil {
		return nil, err
	}
	x.ordinal = make([]uint32, len(x.slot))
	for i, v := range x.slot {
		x.ordinal[v] = uint32(i)
	}
	return x, nil
}

// CreateIndex makes an empty index in a directory that does not exist yet or is
// empty. Nothing can be scanned before the first Flush.
func CreateIndex(dir string, p Params, s Scope, o IndexOptions) (*Index, error) {
	x, err := newIndex(dir, p, s, o.Form, o.Capacity, o.Seed)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if files, err := os.ReadDir(dir); err != nil {
		return nil, err
	} else if len(files) > 0 {
		return nil, fmt.Errorf("sealed: creating an index in %s: %w", dir, fs.ErrExist)
	}
	if err := disk.Replace(filepath.Join(dir, headName), head(p, s, o.Form, o.Capacity, o.Seed)); err != nil {
		return nil, err
	}
	return x, nil
}

// OpenIndex opens the index of the scope in dir. It fails if the index is of
// other parameters, scope or seed, or damaged; a block that an interrupted
// Flush did not reach stands as before it.
func OpenIndex(dir string, p Params, s Scope, seed [32]byte) (*Index, error) {
	b, err := os.ReadFile(filepath.Join(dir, headName))
	if err != nil {
		return nil, err
	}
	if len(b) != headLength || string(b[:4]) != indexMagic || b[4] != indexVersion {
		return nil, fmt.Errorf("sealed: %s is not the head of an index of version %d", filepath.Join(dir, headName), indexVersion)
	}
	form, capacity := Form(b[5]), binary.LittleEndian.Uint32(b[56:])
	if string(head(p, s, form, int(capacity), seed)) != string(b) {
		return nil, fmt.Errorf("sealed: the index in %s has other parameters, scope or seed, or is damaged", dir)
	}
	x, err := newIndex(dir, p, s, form, int(capacity), seed)
	if err != nil {
		return nil, err
	}
	for i := range x.blocks {
		blk, err := x.openBlock(i)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, x.Close())
		}
		x.blocks[i] = blk
		x.entries += blk.entries
	}
	return x, nil
}

// Params returns the parameters.
func (x *Index) Params() Params { return x.p }

// Scope returns the scope.
func (x *Index) Scope() Scope { return x.scope }

// Form returns the form.
func (x *Index) Form() Form { return x.form }

// Capacity returns the number of entries that there is room for.
func (x *Index) Capacity() int { return x.capacity }

// Blocks returns the number of blocks, and of answers to a query.
func (x *Index) Blocks() int { return len(x.blocks) }

// Len returns the number of entries, staged ones included.
func (x *Index) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.entries
}

// Bytes returns the size of the files.
func (x *Index) Bytes() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := int64(headLength)
	for _, b := range x.blocks {
		if b != nil {
			n += int64(len(b.data))
		}
	}
	return n
}

// Slot returns the slot of an entry: the handle that a hit on it opens.
func (x *Index) Slot(ordinal int) (uint32, error) {
	if ordinal < 0 || ordinal >= x.capacity {
		return 0, fmt.Errorf("sealed: entry %d is outside 0 to %d", ordinal, x.capacity-1)
	}
	return x.slot[ordinal], nil
}

// Ordinal returns the entry in a slot, false if the slot is empty or outside
// the index.
func (x *Index) Ordinal(slot uint32) (int, bool) {
	if int64(slot) >= int64(len(x.ordinal)) {
		return 0, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	n, k := x.p.blockSlots(), x.p.Groups
	s := x.sketches(int(slot) / n)
	if s == nil || s[int(slot)%n*k] == he.Empty {
		return 0, false
	}
	return int(x.ordinal[slot]), true
}

// sketches returns a block's sketches as they shall be, nil if there are none.
func (x *Index) sketches(at int) []uint8 {
	if s := x.staged[at]; s != nil {
		return s
	}
	if b := x.blocks[at]; b != nil {
		return b.sketches
	}
	return nil
}

// Put stages an entry, new or changed. It enters scans with the next Flush.
func (x *Index) Put(ordinal int, sketch []uint8) error {
	if err := x.p.check(sketch); err != nil {
		return err
	}
	return x.set(ordinal, sketch)
}

// Remove stages the removal of an entry.
func (x *Index) Remove(ordinal int) error { return x.set(ordinal, nil) }

func (x *Index) set(ordinal int, sketch []uint8) error {
	slot, err := x.Slot(ordinal)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	n, k := x.p.blockSlots(), x.p.Groups
	at := int(slot) / n
	old := x.sketches(at)
	lo := int(slot) % n * k
	if sketch == nil {
		sketch = emptySketches(k)
	}
	if old != nil && string(old[lo:lo+k]) == string(sketch) {
		return nil
	}
	if x.staged[at] == nil {
		if old == nil {
			x.staged[at] = emptySketches(n * k)
		} else {
			x.staged[at] = append([]uint8(nil), old...)
		}
	}
	s := x.staged[at][lo : lo+k]
	x.entries += occupied(sketch) - occupied(s)
	copy(s, sketch)
	return nil
}

func occupied(sketch []uint8) int {
	if sketch[0] == he.Empty {
		return 0
	}
	return 1
}

func emptySketches(n int) []uint8 {
	s := make([]uint8, n)
	for i := range s {
		s[i] = he.Empty
	}
	return s
}

// Flush writes the blocks that changed, and those not written yet, each whole
// or not at all. In the fast form a block takes about 2 s of CPU. Blocks that
// it did not reach when ctx is cancelled stay staged.
func (x *Index) Flush(ctx context.Context, workers int, progress func(done, total int)) error {
	var todo []int
	x.mu.Lock()
	for i, b := range x.blocks {
		if b == nil && x.staged[i] == nil {
			x.staged[i] = emptySketches(x.p.blockSlots() * x.p.Groups)
		}
		if x.staged[i] != nil {
			todo = append(todo, i)
		}
	}
	x.mu.Unlock()
	w := x.newBlockWriter(workers)
	for done, at := range todo {
		if progress != nil {
			progress(done, len(todo))
		}
		x.mu.Lock()
		sketches := x.staged[at]
		x.mu.Unlock()
		if err := w.write(ctx, at, sketches); err != nil {
			return fmt.Errorf("sealed: writing block %d of the index: %w", at, err)
		}
		b, err := x.openBlock(at)
		if err != nil {
			return err
		}
		x.mu.Lock()
		old := x.blocks[at]
		x.blocks[at] = b
		delete(x.staged, at)
		x.mu.Unlock()
		if err := old.release(); err != nil {
			return err
		}
	}
	if progress != nil {
		progress(len(todo), len(todo))
	}
	return nil
}

// Close gives back the mapped files once no scan reads them. Staged changes are
// lost.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for i, b := range x.blocks {
		errs = append(errs, b.release())
		x.blocks[i] = nil
	}
	return errors.Join(errs...)
}
