package volepsi

import (
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/psi"
)

// joiner merges the sender's tags, as they come in ascending order, with the
// own ones.
type joiner struct {
	next int // the first own tag that is not below those that came
	last field.Element
	got  int
	hits []match
}

// match is a shared tag: its index among the own ones, and its position among
// the sender's.
type match struct{ own, position uint32 }

// join takes the next tags. They ascend strictly: equal items would be merged
// by an honest sender, so a repeated tag is a lie, and any other order could
// carry a message or betray the sender's own.
func (j *joiner) join(own []field.Element, batch []byte, tagLen int) error {
	for ; len(batch) > 0; batch = batch[tagLen:] {
		t := getTag(batch[:tagLen])
		if j.got > 0 && !less(j.last, t) {
			return psi.Peerf("volepsi: tag %d is not above the one before it", j.got)
		}
		j.last = t
		for j.next < len(own) && less(own[j.next], t) {
			j.next++
		}
		for i := j.next; i < len(own) && own[i] == t; i++ {
			j.hits = append(j.hits, match{uint32(i), uint32(j.got)})
		}
		j.got++
	}
	return nil
}

// result returns the hits in the order of the receiver's items.
func (j *joiner) result(r *Receiver) *psi.Result {
	n := len(j.hits)
	res := &psi.Result{Count: n, Hits: make([]psi.Hit, 0, n)}
	if n == 0 {
		return res
	}
	var mem []byte
	// at[i] is one more than the index of item i's hit.
	at := make([]uint32, r.p.ReceiverItems)
	for i, h := range j.hits {
		at[r.own.origin[r.tags.places[h.own]]] = uint32(i) + 1
	}
	if r.o.KeepOutputs {
		mem = make([]byte, n*(r.tagLen+field.Size))
	}
	for item, i := range at {
		if i == 0 {
			continue
		}
		h := j.hits[i-1]
		hit := psi.Hit{Item: uint32(item), Position: h.position}
		if r.o.KeepOutputs {
			hit.Tag = mem[:r.tagLen:r.tagLen]
			putTag(hit.Tag, r.tags.tags[h.own])
			mem = mem[r.tagLen:]
			full := r.u[r.tags.places[h.own]].Bytes()
			hit.Full = mem[:field.Size:field.Size]
			copy(hit.Full, full[:])
			mem = mem[field.Size:]
		}
		res.Hits = append(res.Hits, hit)
	}
	return res
}
