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
	// hit it, or 0.
	positions []uint32
	// If tags and full outputs are kept, the own tags' ids are places in the
	// table: origin leads from there to items, matches back to the own tag.
	origin, matches []uint32
}

func newJoiner(own tagList, items int) *joiner {
	return &joiner{own: own, positions: make([]uint32, items)}
}

func (j *joiner) keep(origin []uint32) {
	j.origin, j.matches = origin, make([]uint32, len(origin))
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
			item := j.own.ids[i]
			if j.matches != nil {
				item = j.origin[item]
				j.matches[item] = uint32(i)
			}
			j.positions[item] = uint32(j.got)
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
			b := full[j.own.ids[i]].Bytes()
			copy(hit.Full, b[:])
		}
		res.Hits = append(res.Hits, hit)
	}
	return res
}
