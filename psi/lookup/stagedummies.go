package lookup

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// swapDummies pads the change: dummies leave until the removals fill a step, and
// come until the additions do and the table is full. A serial with equal slots
// adds as many keys as it removes, so that neither number shows. There are
// always enough dummies to pad the removal of an eighth of all keys; beyond
// that, removals show as far as dummies don't suffice.
func (s *staging) swapDummies() error {
	c := &s.change
	real := len(s.items)
	dummies := slices.Clone(s.book.dummies)
	forced, err := s.collisions()
	if err != nil {
		return err
	}
	oldSlots := 0
	leave := 0
	if s.before != nil {
		oldSlots = s.before.Keys
		total := max(paddedCount(len(c.removed)), paddedCount(len(c.added))-(s.slots-oldSlots))
		leave = max(min(total-len(c.removed), len(dummies)), len(c.added)-len(c.removed)-(s.slots-oldSlots), len(forced))
	}
	s.orderDummies(dummies, forced)
	c.removed = append(c.removed, dummies[:leave]...)
	slices.SortFunc(c.removed, fingerprint.compare)
	stay := dummies[leave:]
	fresh, err := s.drawDummies(s.slots-real-len(stay), stay)
	if err != nil {
		return err
	}
	for _, f := range fresh {
		c.added = append(c.added, keyed{f, dummyOrd})
	}
	if err := sortKeyed(s.ctx, s.opts.Workers, c.added, s.keyer.bits); err != nil {
		return err
	}
	if s.label != nil {
		// Again the restless first.
		n := min(paddedCount(len(c.relabelled))-len(c.relabelled), len(stay))
		for _, f := range stay[:n] {
			c.relabelled = append(c.relabelled, keyed{f, dummyOrd})
		}
		if err := sortKeyed(s.ctx, s.opts.Workers, c.relabelled, s.keyer.bits); err != nil {
			return err
		}
	}
	s.next.items, s.next.dummies = s.items, append(slices.Clone(stay), fresh...)
	slices.SortFunc(s.next.dummies, fingerprint.compare)
	return nil
}

// collisions returns the dummies whose fingerprints new keys have by chance.
// Two keys of one fingerprint, which no epoch should see, end it.
func (s *staging) collisions() (forced map[fingerprint]bool, err error) {
	same := fmt.Errorf("lookup: two keys share a fingerprint of %d bits: %w", s.bits, ErrRotate)
	forced = map[fingerprint]bool{}
	for i, k := range s.change.added {
		if i > 0 && k.key == s.change.added[i-1].key {
			return nil, same
		}
		if s.old == nil {
			continue
		}
		if _, ok := s.old.table.find(k.key); !ok {
			continue
		}
		if _, ok := slices.BinarySearchFunc(s.change.removed, k.key, fingerprint.compare); ok {
			continue
		}
		if _, ok := slices.BinarySearchFunc(s.book.dummies, k.key, fingerprint.compare); !ok {
			return nil, same
		}
		forced[k.key] = true
	}
	return forced, nil
}

// Half of the dummies are restless: they pad one serial after the other, while the
// rest stays as real keys do. Chosen anew each time, all dummies would sooner or
// later have come, gone or changed, and whoever keeps every serial would count
// those that never did: the real keys. A keyed hash says which is which.
type rankDummy func(f fingerprint) uint64

// restless bounds the ranks of restless dummies.
const restless = 1 << 63

func (s *staging) rankDummy() rankDummy {
	h := hmac.New(sha256.New, s.keys.record[:])
	return func(f fingerprint) uint64 {
		var b [indexLen]byte
		putIndex(b[:], f)
		return binary.BigEndian.Uint64(sumOf(h, []byte("dummy"), b[:]))
	}
}

// orderDummies sorts dummies by rank, those that must leave first.
func (s *staging) orderDummies(dummies []fingerprint, forced map[fingerprint]bool) {
	rank := s.rankDummy()
	type ranked struct {
		stays bool
		rank  uint64
		f     fingerprint
	}
	order := make([]ranked, len(dummies))
	for i, f := range dummies {
		order[i] = ranked{!forced[f], rank(f), f}
	}
	slices.SortFunc(order, func(a, b ranked) int {
		if a.stays != b.stays {
			if b.stays {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.rank, b.rank)
	})
	for i := range order {
		dummies[i] = order[i].f
	}
}

// drawDummies returns n random fingerprints, unlike all that there are. They are
// restless as far as those that stay leave half of the ones at rest.
func (s *staging) drawDummies(n int, stay []fingerprint) ([]fingerprint, error) {
	rank := s.rankDummy()
	atRest := (len(stay) + n) / 2
	for _, f := range stay {
		if rank(f) >= restless {
			atRest--
		}
	}
	out := make([]fingerprint, 0, n)
	seen := make(map[fingerprint]bool, n)
	for buf := make([]byte, 16<<10); len(out) < n; {
		if _, err := readRandom(s.opts.Rand, buf); err != nil {
			return nil, err
		}
		for b := buf; len(b) > 0 && len(out) < n; b = b[16:] {
			f := fingerprintOf(b, s.keyer.bits)
			_, there := slices.BinarySearchFunc(s.change.added, f, keyed.compare)
			if !there && s.old != nil {
				_, there = s.old.table.find(f)
			}
			if there || seen[f] {
				continue
			}
			if rank(f) >= restless {
				if atRest <= 0 {
					continue
				}
				atRest--
			}
			seen[f] = true
			out = append(out, f)
		}
	}
	return out, nil
}
