package store

import (
	"testing"
	"time"
)

func TestEpochs(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	day := 24 * time.Hour
	states := func(want ...string) {
		t.Helper()
		all, err := s.Epochs(agrA)
		must(t, err)
		var got []string
		for _, e := range all {
			got = append(got, e.State)
		}
		if len(got) != len(want) {
			t.Fatalf("epochs are %v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("epochs are %v, want %v", got, want)
			}
		}
	}
	next := func(at time.Time) uint32 {
		t.Helper()
		var n uint32
		must(t, s.Update(func(tx *Tx) (err error) {
			n, err = tx.BeginEpoch(agrA, []byte("key"), at)
			return err
		}))
		return n
	}
	if n := next(t0); n != 1 {
		t.Fatalf("the first epoch is %d", n)
	}
	states(EpochBuilding)
	wantErr(t, s.Update(func(tx *Tx) error { _, err := tx.BeginEpoch(agrA, nil, t0); return err }), ErrState)
	must(t, s.Update(func(tx *Tx) error { return tx.PublishEpoch(agrA, 1, t0.Add(30*day), t0.Add(33*day), t0) }))
	wantErr(t, s.Update(func(tx *Tx) error { return tx.PublishEpoch(agrA, 1, t0, t0, t0) }), ErrState)
	if n := next(t0.Add(day)); n != 2 {
		t.Fatalf("the second epoch is %d", n)
	}
	states(EpochBuilding, EpochCurrent)
	must(t, s.Update(func(tx *Tx) error {
		return tx.PublishEpoch(agrA, 2, t0.Add(31*day), t0.Add(34*day), t0.Add(4*day))
	}))
	states(EpochCurrent, EpochOverlap)
	old, err := s.Epoch(agrA, 1)
	must(t, err)
	if !old.AnswersUntil.Equal(t0.Add(4 * day)) {
		t.Errorf("the old epoch answers until %v", old.AnswersUntil)
	}
	must(t, s.Update(func(tx *Tx) error { return tx.EndEpoch(agrA, 1) }))
	states(EpochCurrent, EpochEnded)
	wantErr(t, s.Update(func(tx *Tx) error { return tx.EndEpoch(agrA, 9) }), ErrNotFound)
}

func TestPublications(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	put := func(serial uint64, manifest string) error {
		return s.Update(func(tx *Tx) error {
			return tx.PutPublication(Publication{Agreement: agrA, Epoch: 1, Serial: serial, Manifest: []byte(manifest),
				Signature: []byte("sig"), Detail: "{}", Created: t0})
		})
	}
	if put(1, "one") == nil {
		t.Error("a version without an epoch was stored")
	}
	must(t, s.Update(func(tx *Tx) error { _, err := tx.BeginEpoch(agrA, []byte("key"), t0); return err }))
	must(t, put(1, "one"))
	must(t, put(1, "one"))
	wantErr(t, put(1, "other"), ErrConflict)
	must(t, put(2, "two"))
	wantErr(t, put(1, "one"), ErrConflict)
	last, err := s.LastPublication(agrA, 1)
	must(t, err)
	if string(last.Manifest) != "two" || last.Serial != 2 || !last.Created.Equal(t0) {
		t.Errorf("the last version is %+v", last)
	}
	all, err := s.Publications("")
	must(t, err)
	if len(all) != 2 || all[0].Serial != 2 {
		t.Errorf("versions are %+v", all)
	}
}

func TestFilterSeenGoesForward(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	see := func(epoch uint32, serial uint64, hash string) error {
		return s.Update(func(tx *Tx) error {
			return tx.PutFilterSeen(Seen{Agreement: agrA, Epoch: epoch, Serial: serial, Hash: []byte(hash), Manifest: []byte("m"), Signature: []byte("s"), At: t0})
		})
	}
	_, err := s.FilterSeen(agrA)
	wantErr(t, err, ErrNotFound)
	must(t, see(1, 3, "a"))
	must(t, see(1, 3, "a"))
	wantErr(t, see(1, 3, "b"), ErrConflict)
	wantErr(t, see(1, 2, "a"), ErrConflict)
	must(t, see(2, 1, "c"))
	wantErr(t, see(1, 9, "d"), ErrConflict)
	got, err := s.FilterSeen(agrA)
	must(t, err)
	if got.Epoch != 2 || got.Serial != 1 || string(got.Hash) != "c" {
		t.Errorf("seen is %+v", got)
	}
}

func TestStandingLists(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	seed(t, s)
	l := StandingList{ID: sid(7), Name: "wanted", Agreement: agrA, Data: "list.csv", Mapping: "m.toml", OnBadRow: "skip",
		User: "ana", Purpose: "p", Case: "c", Created: t0}
	must(t, s.Update(func(tx *Tx) error { return tx.AddStandingList(l) }))
	wantErr(t, s.Update(func(tx *Tx) error { return tx.AddStandingList(l) }), ErrExists)
	got, err := s.FindStandingList(sid(7)[:60])
	must(t, err)
	if got != l {
		t.Errorf("stored %+v, want %+v", got, l)
	}
	run := func(epoch uint32, serial uint64) {
		l.Epoch, l.Serial, l.LastRun, l.Records = epoch, serial, t0, 5
		must(t, s.Update(func(tx *Tx) error { return tx.SaveStandingRun(l) }))
	}
	run(2, 5)
	run(1, 9) // an older version changes nothing
	run(2, 4)
	got, err = s.FindStandingList(sid(7))
	must(t, err)
	if got.Epoch != 2 || got.Serial != 5 || got.Records != 5 {
		t.Errorf("after runs %+v", got)
	}
	hit := StandingHit{List: l.ID, Digest: []byte{1}, LocalID: "NORTH-77", Hit: []byte("SOUTH-SECRET"), Epoch: 2, Serial: 5, Found: t0, Expires: t0.Add(time.Hour)}
	for i, want := range []bool{true, false} {
		must(t, s.Update(func(tx *Tx) error {
			fresh, err := tx.AddStandingHit(hit)
			if fresh != want {
				t.Errorf("adding %d: new is %v", i, fresh)
			}
			return err
		}))
	}
	n, err := s.ExpireResults(t0.Add(2 * time.Hour))
	must(t, err)
	hits, err := s.StandingHits(l.ID)
	must(t, err)
	if n != 1 || len(hits) != 1 || hits[0].Hit != nil || hits[0].LocalID != "" {
		t.Errorf("after expiry of %d: %+v", n, hits)
	}
	if onDisk(t, dir, "SOUTH-SECRET") {
		t.Error("an expired hit is still on the disk")
	}
	must(t, s.Update(func(tx *Tx) error { // reported before, so not again
		fresh, err := tx.AddStandingHit(hit)
		if fresh {
			t.Error("an expired hit is new again")
		}
		return err
	}))
	must(t, s.Update(func(tx *Tx) error { return tx.EndStandingList(l.ID, t0) }))
	wantErr(t, s.Update(func(tx *Tx) error { return tx.EndStandingList(l.ID, t0) }), ErrState)
}

func TestStandingIsChargedOnceAVersion(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	for i, st := range []struct {
		epoch  uint32
		serial uint64
		want   bool
	}{{1, 0, true}, {1, 0, false}, {1, 1, true}, {1, 1, false}, {2, 1, true}, {1, 5, false}, {2, 2, true}} {
		must(t, s.Update(func(tx *Tx) error {
			got, err := tx.ChargeStanding(agrA, "aa", st.epoch, st.serial)
			if got != st.want {
				t.Errorf("step %d: charged %v", i, got)
			}
			return err
		}))
	}
}
