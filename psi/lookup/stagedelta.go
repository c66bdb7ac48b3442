package lookup

import (
	"errors"
	"io"
	"iter"
	"slices"
)

// writeDelta writes what leads from the published filter to the staged one.
func (s *staging) writeDelta(path string, serial uint64) (Blob, error) {
	removed, err := s.oldRanks(s.change.removed)
	if err != nil {
		return Blob{}, err
	}
	c := deltaCounts{
		header:  header{params: s.params, serial: serial, bits: s.bits, keys: s.slots, rows: s.rows},
		removed: len(removed), added: len(s.change.added), relabelled: len(s.change.relabelled),
	}
	if s.old != nil {
		c.oldKeys, c.oldRows = s.old.header.keys, s.old.rows
	}
	relabelled, err := s.newRanks(removed)
	if err != nil {
		return Blob{}, err
	}
	var rewritten []fingerprint
	if s.label != nil {
		c.rewritten = len(s.label.rewritten)
		for _, row := range s.label.rewritten {
			rewritten = append(rewritten, number(int(row)))
		}
	}
	return writeBlob(path, func(w io.Writer) error {
		if _, err := w.Write(c.append(nil)); err != nil {
			return err
		}
		shapes := c.sets()
		added := func(yield func(fingerprint) bool) {
			for _, k := range s.change.added {
				if !yield(k.key) {
					return
				}
			}
		}
		for i, numbers := range []iter.Seq[fingerprint]{slices.Values(removed), added, slices.Values(relabelled), slices.Values(rewritten)} {
			b, err := encodeSet(shapes[i].n, numbers, shapes[i].u)
			if err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		if s.label == nil {
			return nil
		}
		indices := s.indices()
		for _, list := range [][]keyed{s.change.added, s.change.relabelled} {
			if err := s.writeEntries(w, list, indices); err != nil {
				return err
			}
		}
		return s.writeRows(w)
	})
}

// indices returns what finds an item's index by its number.
func (s *staging) indices() func(ord uint32) index {
	place := make([]uint32, len(s.items))
	for i, it := range s.items {
		place[it.ord] = uint32(i)
	}
	return func(ord uint32) index { return s.items[place[ord]].key }
}

// oldRanks returns the ranks of sorted fingerprints in the published table.
func (s *staging) oldRanks(list []fingerprint) ([]fingerprint, error) {
	ranks := make([]fingerprint, len(list))
	for i, f := range list {
		rank, ok := s.old.table.find(f)
		if !ok {
			return nil, errors.New("lookup: the published filter lacks a key of the book")
		}
		ranks[i] = number(rank)
	}
	return ranks, nil
}

// newRanks returns the ranks in the new table of the keys with other entries:
// those in the old one, shifted by what has gone and come before.
func (s *staging) newRanks(removed []fingerprint) ([]fingerprint, error) {
	list := make([]fingerprint, len(s.change.relabelled))
	for i, k := range s.change.relabelled {
		list[i] = k.key
	}
	ranks, err := s.oldRanks(list)
	if err != nil {
		return nil, err
	}
	for i := range ranks {
		gone, _ := slices.BinarySearchFunc(removed, ranks[i], fingerprint.compare)
		come, _ := slices.BinarySearchFunc(s.change.added, list[i], keyed.compare)
		ranks[i] = number(int(ranks[i].lo) - gone + come)
	}
	return ranks, nil
}
