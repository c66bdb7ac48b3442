package volepsi

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/psi"
)

// FuzzTags joins any bytes with a party's own tags, whole or cut in two batches:
// it accepts what ascends strictly, and finds what a search finds.
func FuzzTags(f *testing.F) {
	own := tagList{ids: []uint32{2, 0, 1, 3}}
	var known []byte
	for _, b := range []byte{3, 9, 77, 200} {
		tag := bytes.Repeat([]byte{b}, 16)
		known = append(known, tag...)
		own.tags = append(own.tags, getTag(tag))
	}
	f.Add(known, uint8(1))
	f.Add(known[16:48], uint8(0))
	f.Add(append(bytes.Clone(known[:16]), known[:16]...), uint8(1))
	f.Add(append(bytes.Clone(known[16:]), known[:16]...), uint8(2))
	f.Fuzz(func(t *testing.T, batch []byte, cut uint8) {
		batch = batch[:len(batch)/16*16]
		split := min(int(cut)*16, len(batch))
		j := newJoiner(own, 4)
		err := j.join(batch[:split], 16)
		if err == nil {
			err = j.join(batch[split:], 16)
		}
		var tags []field.Element
		for b := range slices.Chunk(batch, 16) {
			tags = append(tags, getTag(b))
		}
		ascends := true
		for i := 1; i < len(tags); i++ {
			ascends = ascends && bytes.Compare(batch[16*i-16:16*i], batch[16*i:16*i+16]) < 0
		}
		if ascends != (err == nil) || err != nil && !errors.Is(err, psi.ErrPeer) {
			t.Fatalf("ascending is %v, error %v", ascends, err)
		}
		if err != nil {
			return
		}
		var want []uint32
		for item := range uint32(4) {
			if i := slices.Index(own.ids, item); slices.Contains(tags, own.tags[i]) {
				want = append(want, item)
			}
		}
		res := j.result(nil, 16)
		if got := items(res.Hits); !slices.Equal(got, want) || res.Count != len(want) {
			t.Fatalf("hits %v, want %v", got, want)
		}
		for _, h := range res.Hits {
			if tags[h.Position] != own.tags[slices.Index(own.ids, h.Item)] {
				t.Fatalf("hit of item %d is at another position than %d", h.Item, h.Position)
			}
		}
	})
}

func items(hits []psi.Hit) []uint32 {
	var out []uint32
	for _, h := range hits {
		out = append(out, h.Item)
	}
	return out
}
