package volepsi

import (
	"cmp"
	"context"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/parallel"
)

// tag is a tag as a number, its bytes in big-endian order, and the place in the
// table of the item it belongs to.
type tag struct {
	hi, lo uint64
	place  uint32
}

func (t tag) compare(u tag) int {
	if c := cmp.Compare(t.hi, u.hi); c != 0 {
		return c
	}
	return cmp.Compare(t.lo, u.lo)
}

// tagMask keeps the first n of a tag's 16 bytes.
func tagMask(n int) (hi, lo uint64) {
	if n < 8 {
		return ^(^uint64(0) >> (8 * n)), 0
	}
	return ^uint64(0), ^(^uint64(0) >> (8 * (n - 8)))
}

// bucketTags is the number of tags that a bucket of the sort is meant for.
const bucketTags = 256

// sortTags returns the tags, truncated to tagLen bytes, in ascending order. A
// tag is uniformly random, so its top bits cut the tags into buckets of nearly
// equal size.
func sortTags(ctx context.Context, workers int, outputs []field.Element, tagLen int) ([]tag, error) {
	n := len(outputs)
	shift := 64 - bits.Len(uint(n/bucketTags))
	buckets := 1 << (64 - shift)
	hiMask, loMask := tagMask(tagLen)
	const chunk = 1 << 16
	pieces := (n + chunk - 1) / chunk
	counts := make([]uint32, pieces*buckets)
	err := parallel.Ranges(ctx, workers, n, chunk, func(lo, hi int) error {
		count := counts[lo/chunk*buckets:][:buckets]
		for _, o := range outputs[lo:hi] {
			count[bits.ReverseBytes64(o.Lo)>>shift]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	starts := make([]uint32, buckets+1)
	total := uint32(0)
	for b := range buckets {
		starts[b] = total
		for p := range pieces {
			c := &counts[p*buckets+b]
			*c, total = total, total+*c
		}
	}
	starts[buckets] = total
	tags := make([]tag, n)
	err = parallel.Ranges(ctx, workers, n, chunk, func(lo, hi int) error {
		next := counts[lo/chunk*buckets:][:buckets]
		for i := lo; i < hi; i++ {
			v := bits.ReverseBytes64(outputs[i].Lo)
			at := &next[v>>shift]
			tags[*at] = tag{v & hiMask, bits.ReverseBytes64(outputs[i].Hi) & loMask, uint32(i)}
			*at++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = parallel.Ranges(ctx, workers, buckets, 64, func(lo, hi int) error {
		for b := lo; b < hi; b++ {
			slices.SortFunc(tags[starts[b]:starts[b+1]], tag.compare)
		}
		return nil
	})
	return tags, err
}

// putTag writes the first len(dst) bytes of t.
func putTag(dst []byte, t tag) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], t.hi)
	binary.BigEndian.PutUint64(b[8:], t.lo)
	copy(dst, b[:])
}

// getTag reads a tag of len(src) bytes, at most 16.
func getTag(src []byte) tag {
	var b [16]byte
	copy(b[:], src)
	return tag{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}
