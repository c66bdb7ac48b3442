package volepsi

import (
	"context"
	"encoding/binary"
	"math/bits"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/internal/parallel"
)

// A tag is held as the number that its bytes are in big-endian order, so that
// numbers sort as bytes do; ids say whose it is.
type tagList struct {
	tags []field.Element
	ids  []uint32
}

func less(a, b field.Element) bool {
	return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo
}

// tagMask keeps the first n of a tag's 16 bytes.
func tagMask(n int) field.Element {
	if n < 8 {
		return field.Element{Hi: ^(^uint64(0) >> (8 * n))}
	}
	return field.Element{Hi: ^uint64(0), Lo: ^(^uint64(0) >> (8 * (n - 8)))}
}

const (
	// bucketTags is the number of tags that a bucket of the sort is meant for:
	// little enough to be sorted within the first-level cache.
	bucketTags = 512
	sortPiece  = 1 << 16
)

// sortTags writes the outputs, truncated to tagLen bytes, in ascending order to
// the list, which has their length; output i has the id ids[i], or i if ids is
// nil. Tags are uniformly random, even those of a
// lying peer's choice of items, so their top bits cut them into buckets of
// nearly equal size.
func sortTags(ctx context.Context, workers int, outputs []field.Element, ids []uint32, tagLen int, list tagList) error {
	n := len(outputs)
	shift := 64 - bits.Len(uint(n/bucketTags))
	buckets := 1 << (64 - shift)
	mask := tagMask(tagLen)
	pieces := (n + sortPiece - 1) / sortPiece
	counts := make([]uint32, pieces*buckets)
	err := parallel.Ranges(ctx, workers, n, sortPiece, func(lo, hi int) error {
		count := counts[lo/sortPiece*buckets:][:buckets]
		for _, o := range outputs[lo:hi] {
			count[bits.ReverseBytes64(o.Lo)>>shift]++
		}
		return nil
	})
	if err != nil {
		return err
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
	err = parallel.Ranges(ctx, workers, n, sortPiece, func(lo, hi int) error {
		next := counts[lo/sortPiece*buckets:][:buckets]
		for i := lo; i < hi; i++ {
			v := bits.ReverseBytes64(outputs[i].Lo)
			at := next[v>>shift]
			next[v>>shift] = at + 1
			list.tags[at] = field.Element{Hi: v & mask.Hi, Lo: bits.ReverseBytes64(outputs[i].Hi) & mask.Lo}
			if ids == nil {
				list.ids[at] = uint32(i)
			} else {
				list.ids[at] = ids[i]
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return parallel.Ranges(ctx, workers, buckets, 64, func(lo, hi int) error {
		var s bucketSorter
		for b := lo; b < hi; b++ {
			s.sort(tagList{list.tags[starts[b]:starts[b+1]], list.ids[starts[b]:starts[b+1]]}, 64-shift)
		}
		return nil
	})
}

// bucketSorter sorts tags whose top bits are equal: by the bits that follow, to
// slots of two on average, then by insertion.
type bucketSorter struct {
	count [bucketTags / 2]uint32
	tags  []field.Element
	ids   []uint32
}

func (s *bucketSorter) sort(l tagList, skip int) {
	const slotBits = 8 // of bucketTags/2
	shift := 64 - slotBits
	s.tags = append(s.tags[:0], l.tags...)
	s.ids = append(s.ids[:0], l.ids...)
	clear(s.count[:])
	for i := range s.tags {
		s.count[s.tags[i].Hi<<skip>>shift]++
	}
	total := uint32(0)
	for i, c := range s.count {
		s.count[i], total = total, total+c
	}
	for i, t := range s.tags {
		c := &s.count[t.Hi<<skip>>shift]
		l.tags[*c], l.ids[*c] = t, s.ids[i]
		*c++
	}
	for i := 1; i < len(l.tags); i++ {
		t, p := l.tags[i], l.ids[i]
		j := i
		for ; j > 0 && less(t, l.tags[j-1]); j-- {
			l.tags[j], l.ids[j] = l.tags[j-1], l.ids[j-1]
		}
		l.tags[j], l.ids[j] = t, p
	}
}

// putTag writes the first len(dst) bytes of t.
func putTag(dst []byte, t field.Element) {
	if len(dst) == 16 {
		binary.BigEndian.PutUint64(dst[:8], t.Hi)
		binary.BigEndian.PutUint64(dst[8:], t.Lo)
		return
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], t.Hi)
	binary.BigEndian.PutUint64(b[8:], t.Lo)
	copy(dst, b[:])
}

// getTag reads a tag of len(src) bytes, at most 16.
func getTag(src []byte) field.Element {
	if len(src) == 16 {
		return field.Element{Hi: binary.BigEndian.Uint64(src[:8]), Lo: binary.BigEndian.Uint64(src[8:])}
	}
	var b [16]byte
	copy(b[:], src)
	return field.Element{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}
