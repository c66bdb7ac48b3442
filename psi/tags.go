package psi

import (
	"bytes"
	"fmt"
	"hash/maphash"
)

// TagIndex finds the position of a tag among those added. It holds each tag
// once, and four to eleven bytes beside it. Its hash is seeded, so that a peer
// who chooses tags can't make it slow.
type TagIndex struct {
	tagLen int
	tags   []byte
	slots  []uint32 // position + 1, or 0
	seed   maphash.Seed
}

// NewTagIndex returns an empty index of tags of tagLen bytes.
func NewTagIndex(tagLen int) *TagIndex {
	return &TagIndex{tagLen: tagLen, slots: make([]uint32, 16), seed: maphash.MakeSeed()}
}

// IndexTags returns the index of all tags in a flat slice of them, which it
// keeps. A repeated tag is an error.
func IndexTags(tagLen int, tags []byte) (*TagIndex, error) {
	x := NewTagIndex(tagLen)
	for len(tags) >= tagLen {
		if !x.Add(tags[:tagLen]) {
			return nil, fmt.Errorf("psi: tag %d repeats an earlier one", x.Len())
		}
		tags = tags[tagLen:]
	}
	return x, nil
}

// Len returns the number of tags.
func (x *TagIndex) Len() int { return len(x.tags) / x.tagLen }

// Tag returns the tag at position p. It stays valid until the next Add.
func (x *TagIndex) Tag(p uint32) []byte {
	return x.tags[int(p)*x.tagLen : (int(p)+1)*x.tagLen]
}

// Add appends a copy of tag, at position Len. It reports false, and leaves the
// index as it was, if the tag is there already.
func (x *TagIndex) Add(tag []byte) bool {
	if len(tag) != x.tagLen {
		panic("psi: tag of another length than the index has")
	}
	slot, found := x.lookup(tag)
	if found {
		return false
	}
	x.tags = append(x.tags, tag...)
	n := x.Len()
	x.slots[slot] = uint32(n)
	if 4*n > 3*len(x.slots) {
		x.grow()
	}
	return true
}

// Find returns the position of tag.
func (x *TagIndex) Find(tag []byte) (uint32, bool) {
	if len(tag) != x.tagLen {
		return 0, false
	}
	slot, found := x.lookup(tag)
	if !found {
		return 0, false
	}
	return x.slots[slot] - 1, true
}

// lookup returns the slot of tag, or the free one where it belongs.
func (x *TagIndex) lookup(tag []byte) (int, bool) {
	mask := len(x.slots) - 1
	for i := int(maphash.Bytes(x.seed, tag)) & mask; ; i = (i + 1) & mask {
		if x.slots[i] == 0 {
			return i, false
		}
		if bytes.Equal(x.Tag(x.slots[i]-1), tag) {
			return i, true
		}
	}
}

func (x *TagIndex) grow() {
	n := x.Len()
	x.slots = make([]uint32, 2*len(x.slots))
	for p := range n {
		slot, _ := x.lookup(x.Tag(uint32(p)))
		x.slots[slot] = uint32(p) + 1
	}
}
