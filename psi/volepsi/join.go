package volepsi

import (
	"github.com/symbolon/symbolon/internal/field"
	"github.com/symbolon/symbolon/psi"
)

// joiner merges the sender's tags, as they come in ascending order, with the
// own ones.
type joiner struct {
	own  tagList
	next int // the first own tag that is not below those that came
	last field.Element
	got  int
	hits int
	// positions holds for each item one more than the position of the tag that
	// hit it, or 0; matches, if it is kept, the index of its own tag.
	origin, positions, matches []uint32
}

func newJoiner(own tagList, origin []uint32, keep bool) *joiner {
	j := &joiner{own: own, origin: origin, positions: make([]uint32, len(origin))}
	if keep {
		j.matches = make([]uint32, len(origin))
	}
	return j
}

// join takes the next tags. They ascend strictly: equal items would be merged
// by an honest sender, so a repeated tag is a lie, and any other order could
// carry a message or betray the sender's own.
func (j *joiner) join(batch []byte, tagLen int) error {
	own := j.own.tags
	for ; len(batch) > 0; batch = batch[tagLen:] {
		t := getTag(batch[:tagLen])
		if j.got > 0 && !less(j.last, t) {
			return psi.Peerf("volepsi: tag %d is not above the one before it", j.got)
		}
		j.last = t
		j.got++
		for j.next < len(own) && less(own[j.next], t) {
			j.next++
		}
		for i := j.next; i < len(own) && own[i] == t; i++ {
			item := j.origin[j.own.places[i]]
			j.positions[item] = uint32(j.got)
			if j.matches != nil {
				j.matches[item] = uint32(i)
			}
			j.hits++
		}
	}
	return nil
}

// result returns the hits in the order of the receiver's items. Full are the
// full outputs by place in the table.
func (j *joiner) result(full []field.Element, tagLen int) *psi.Result {
	res := &psi.Result{Count: j.hits, Hits: make([]psi.Hit, 0, j.hits)}
	var mem []byte
	if j.matches != nil {
		mem = make([]byte, j.hits*(tagLen+field.Size))
	}
	for item, position := range j.positions {
		if position == 0 {
			continue
		}
		hit := psi.Hit{Item: uint32(item), Position: position - 1}
		if j.matches != nil {
			i := j.matches[item]
			hit.Tag, mem = mem[:tagLen:tagLen], mem[tagLen:]
			putTag(hit.Tag, j.own.tags[i])
			hit.Full, mem = mem[:field.Size:field.Size], mem[field.Size:]
			b := full[j.own.places[i]].Bytes()
			copy(hit.Full, b[:])
		}
		res.Hits = append(res.Hits, hit)
	}
	return res
}
