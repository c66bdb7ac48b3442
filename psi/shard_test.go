package psi

import (
	"encoding/binary"
	"slices"
	"testing"
)

func manyItems(n int) []Item {
	items := make([]Item, n)
	for i := range items {
		binary.BigEndian.PutUint32(items[i][:], uint32(i)+1)
	}
	return items
}

func TestSharding(t *testing.T) {
	for _, tt := range []struct{ ns, nr, target, shards int }{
		{0, 0, 10, 1}, {5, 3, 2, 3}, {100, 100, 0, 1}, {100, 100, 100, 1}, {1000, 900, 300, 4}, {10, 5000, 2000, 3},
	} {
		p := Params{Mode: ModeIntersection, Security: Malicious, SenderItems: tt.ns, ReceiverItems: tt.nr, Session: [32]byte{1}}
		s, err := NewSharding(&p, tt.target)
		if err != nil {
			t.Fatal(err)
		}
		if s.Shards != tt.shards {
			t.Errorf("%v: %d shards", tt, s.Shards)
		}
		if s.Shards == 1 && (s.SenderItems != tt.ns || s.ReceiverItems != tt.nr) {
			t.Errorf("%v: a single shard is padded to %d and %d", tt, s.SenderItems, s.ReceiverItems)
		}
		if got := s.Params(p, s.Shards-1); got.Shard != uint32(s.Shards-1) || got.SenderItems != s.SenderItems || got.Session != p.Session {
			t.Errorf("%v: the last shard's parameters are %+v", tt, got)
		}
		// Equal items of two sides fall into equal shards, and each into one.
		ours, theirs := manyItems(tt.ns), manyItems(tt.nr)
		a, b := NewCut(s, &p, ours), NewCut(s, &p, theirs)
		place := map[Item]int{}
		seen := 0
		for i := range s.Shards {
			items, order, err := a.Shard(i, s.SenderItems, NewStream([]byte("a"), "x", uint32(i)))
			if err != nil {
				t.Fatal(err)
			}
			if len(items) != s.SenderItems {
				t.Errorf("%v: shard %d has %d items, want %d", tt, i, len(items), s.SenderItems)
			}
			real := items
			if order != nil {
				real = items[:len(order)]
				for j, o := range order {
					if items[j] != ours[o] {
						t.Fatalf("%v: item %d of shard %d is not item %d", tt, j, i, o)
					}
				}
				if !slices.IsSorted(order) {
					t.Errorf("%v: shard %d is out of order", tt, i)
				}
			}
			for _, x := range real {
				place[x] = i
				seen++
			}
		}
		if seen != tt.ns || len(place) != tt.ns {
			t.Errorf("%v: the shards hold %d items, %d different", tt, seen, len(place))
		}
		for i := range s.Shards {
			items, order, err := b.Shard(i, s.ReceiverItems, NewStream([]byte("b"), "x", uint32(i)))
			if err != nil {
				t.Fatal(err)
			}
			if order != nil {
				items = items[:len(order)]
			}
			for _, x := range items {
				if at, ok := place[x]; ok && at != i {
					t.Fatalf("%v: one item is in shard %d here, in %d there", tt, at, i)
				}
			}
		}
	}
}

func TestShardingErrors(t *testing.T) {
	p := Params{Mode: ModeIntersection, Security: Malicious, SenderItems: 100, ReceiverItems: 100, Session: [32]byte{1}}
	for _, target := range []int{-1, MaxItems + 1} {
		if _, err := NewSharding(&p, target); err == nil {
			t.Errorf("shards of %d items", target)
		}
	}
	s, err := NewSharding(&p, 40)
	if err != nil {
		t.Fatal(err)
	}
	// A shard that does not hold its items, as with probability 2^-40.
	if _, _, err := NewCut(s, &p, manyItems(100)).Shard(0, 5, NewStream([]byte("a"), "x")); err == nil {
		t.Error("a shard took more items than it has room for")
	}
	other := p
	other.Session = [32]byte{2}
	order := func(p *Params) []uint32 {
		_, order, err := NewCut(s, p, manyItems(100)).Shard(0, s.SenderItems, NewStream([]byte("a"), "x"))
		if err != nil {
			t.Fatal(err)
		}
		return order
	}
	if slices.Equal(order(&p), order(&other)) {
		t.Error("two sessions cut alike")
	}
}
