package store

import (
	"slices"
	"testing"
	"time"
)

func TestSearchIndexes(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	begin := func() uint32 {
		t.Helper()
		var n uint32
		must(t, s.Update(func(tx *Tx) (err error) {
			n, err = tx.BeginSearchIndex(SearchIndex{Agreement: agrA, Seed: []byte("seed"), Form: 1, Capacity: 16384, Began: t0, Ends: t0.Add(time.Hour)})
			return err
		}))
		return n
	}
	finish := func(epoch uint32, serial uint64) error {
		return s.Update(func(tx *Tx) error { return tx.FinishSearchIndex(agrA, epoch, serial, "{}", t0) })
	}
	_, err := s.CurrentSearchIndex(agrA)
	wantErr(t, err, ErrNotFound)
	if n := begin(); n != 1 {
		t.Fatalf("the first epoch is %d", n)
	}
	_, err = s.CurrentSearchIndex(agrA)
	wantErr(t, err, ErrNotFound)
	must(t, finish(1, 1))
	wantErr(t, finish(1, 1), ErrConflict)
	must(t, finish(1, 2))
	if n := begin(); n != 2 {
		t.Fatalf("the second epoch is %d", n)
	}
	if n := begin(); n != 2 {
		t.Fatalf("an epoch that was never finished counts: %d", n)
	}
	x, err := s.CurrentSearchIndex(agrA)
	must(t, err)
	if x.Epoch != 1 || x.Serial != 2 || x.Capacity != 16384 || x.Form != 1 || string(x.Seed) != "seed" || !x.Ends.Equal(t0.Add(time.Hour)) {
		t.Errorf("the current index is %+v", x)
	}
	must(t, finish(2, 1))
	wantErr(t, finish(1, 3), ErrConflict)
	all, err := s.SearchIndexes("")
	must(t, err)
	if len(all) != 2 || all[0].State != EpochCurrent || all[1].State != EpochEnded || len(all[1].Seed) != 0 {
		t.Errorf("the indexes are %+v", all)
	}
	must(t, s.Update(func(tx *Tx) error { return tx.EndSearchIndexes(agrA, t0) }))
	_, err = s.CurrentSearchIndex(agrA)
	wantErr(t, err, ErrNotFound)
}

func TestSearchSeeds(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	seed := SearchSeed{Agreement: agrA, Epoch: 3, Seed: []byte("sealed"), KeysID: []byte("id"), Commitment: []byte("c"), Created: t0}
	add := func() error { return s.Update(func(tx *Tx) error { return tx.PutSearchSeed(seed) }) }
	next := func() (n uint64, err error) {
		err = s.Update(func(tx *Tx) error { n, err = tx.NextSearchQuery(agrA, 3); return err })
		return n, err
	}
	_, err := next()
	wantErr(t, err, ErrNotFound)
	must(t, add())
	_, err = next()
	must(t, err)
	must(t, add()) // another one begins anew
	for want := uint64(1); want <= 3; want++ {
		if n, err := next(); err != nil || n != want {
			t.Fatalf("query number %d, %v, want %d", n, err, want)
		}
	}
	got, err := s.SearchSeed(agrA, 3)
	must(t, err)
	if string(got.Seed) != "sealed" || string(got.KeysID) != "id" || string(got.Commitment) != "c" {
		t.Errorf("the seed is %+v", got)
	}
	_, err = s.SearchSeed(agrA, 4)
	wantErr(t, err, ErrNotFound)
}

func TestSearches(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	row := Search{ID: sid(1), Agreement: agrA, Epoch: 1, Serial: 2, Query: []byte("hash"), Threshold: 49, User: "anna", Purpose: "p", Case: "c",
		Created: t0, Expires: t0.Add(time.Hour)}
	update := func(fn func(tx *Tx) error) error { t.Helper(); return s.Update(fn) }
	must(t, update(func(tx *Tx) error { return tx.AddSearch(row) }))
	wantErr(t, update(func(tx *Tx) error { return tx.AddSearch(row) }), ErrExists)
	must(t, update(func(tx *Tx) error { return tx.EndSearch(sid(1), SearchFailed, nil, t0) }))
	must(t, update(func(tx *Tx) error { return tx.RetrySearch(sid(1), 3, 2) }))
	wantErr(t, update(func(tx *Tx) error { return tx.RetrySearch(sid(1), 3, 2) }), ErrState)
	must(t, update(func(tx *Tx) error { return tx.EndSearch(sid(1), SearchAnswered, []uint32{5, 9}, t0) }))
	wantErr(t, update(func(tx *Tx) error { return tx.RetrySearch(sid(1), 3, 9) }), ErrState)
	for _, r := range []struct {
		slot uint32
		want int
		err  error
	}{{5, 1, nil}, {9, 2, nil}, {5, 2, nil}, {7, 0, ErrState}} {
		err := update(func(tx *Tx) error {
			n, err := tx.RevealSlot(sid(1), r.slot, 2)
			if n != r.want {
				t.Errorf("slot %d is reveal %d, want %d", r.slot, n, r.want)
			}
			return err
		})
		if r.err != nil {
			wantErr(t, err, r.err)
		} else {
			must(t, err)
		}
	}
	got, err := s.FindSearch(sid(1)[:8])
	must(t, err)
	if got.State != SearchAnswered || got.Attempts != 2 || got.Serial != 3 || !slices.Equal(got.Slots, []uint32{5, 9}) || !slices.Equal(got.Revealed, []uint32{5, 9}) {
		t.Errorf("the search is %+v", got)
	}
	if all, err := s.Searches(agrA, true); err != nil || len(all) != 0 {
		t.Errorf("a search of the peer's is among our own: %v, %v", all, err)
	}
	if n, err := s.ExpireSearches(t0.Add(time.Minute)); err != nil || n != 0 {
		t.Errorf("%d expired early, %v", n, err)
	}
	if n, err := s.ExpireSearches(t0.Add(2 * time.Hour)); err != nil || n != 1 {
		t.Errorf("%d expired, %v", n, err)
	}
	_, err = s.Search(sid(1))
	wantErr(t, err, ErrNotFound)
}
