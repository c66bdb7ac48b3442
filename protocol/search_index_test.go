package protocol

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi/sealed"
)

func TestSearchIndexFollowsItsSource(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	x := south.index(agreement)
	if x.Changed || x.Serial != 1 || x.Epoch != 1 || x.Slots != 60 || x.Records != 60 || x.Capacity != sealed.BlockSlots {
		t.Errorf("the same records again: %+v", x)
	}
	s := north.openSearches(agreement)
	who := somebody(t, 30)
	before, err := s.Search(t.Context(), SearchQuery{Record: who})
	must(t, err)
	found := s.revealAll(t, before)
	if !slices.Contains(found, "REF-s-30") {
		t.Fatalf("found %v", found)
	}

	// Person 30 leaves, 31 has another name, 90 comes.
	data := strings.Replace(people("s", 20, 30)+strings.TrimPrefix(people("s", 31, 80), header)+person("s", 90), "Givenf Family31,", "Xaver Quux,", 1)
	south.setData(t, data)
	x = south.index(agreement)
	if !x.Changed || x.Serial != 2 || x.Epoch != 1 || x.Added != 1 || x.Removed != 1 || x.Altered != 1 || x.Slots != 60 {
		t.Errorf("after a change: %+v", x)
	}
	for _, i := range []int{30, 31, 90} {
		s.check(t, south, somebody(t, i))
	}
	gone := 0
	for _, h := range before.Handles {
		v, err := s.Reveal(t.Context(), h)
		var e *Error
		if errors.As(err, &e) && e.Code == CodeNotThere {
			gone++
		} else if err != nil || v.Reference == "REF-s-30" {
			t.Errorf("handle %s: %+v, %v", h, v, err)
		}
	}
	if gone != 1 {
		t.Errorf("%d handles lead nowhere, want that of the one who left", gone)
	}
	must(t, s.Close())

	// Another process finds it all on the disk.
	must(t, south.searches.close())
	south.Node, err = NewNode(south.Options)
	must(t, err)
	north.connect(south, nil)
	s = north.openSearches(agreement)
	last, err := s.Search(t.Context(), SearchQuery{Record: somebody(t, 90)})
	must(t, err)
	if got, want := s.revealAll(t, last), resembling(t, south, agreement, 1, somebody(t, 90)); !slices.Equal(got, want) {
		t.Errorf("after a restart got %v, want %v", got, want)
	}
	must(t, s.Close())
	if e := events(t, south, agreement); e["indexed"] != 2 || e["search-keys"] != 1 {
		t.Errorf("logged %v", e)
	}
	all, err := south.Indexes("")
	must(t, err)
	if len(all) != 1 || all[0].Serial != 2 || all[0].State != store.EpochCurrent || all[0].Slots != 60 {
		t.Errorf("the indexes are %+v", all)
	}
}

func TestSearchIndexRotates(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	s := north.openSearches(agreement)
	r, err := s.Search(t.Context(), SearchQuery{Record: somebody(t, 30)})
	must(t, err)
	x, err := south.Index(t.Context(), IndexRequest{Agreement: agreement, Source: south.source(), RotateNow: true})
	must(t, err)
	if x.Epoch != 2 || x.Serial != 1 || x.Form != FormCompact || !x.Changed {
		t.Errorf("after a rotation: %+v", x)
	}
	_, err = s.Search(t.Context(), SearchQuery{Record: somebody(t, 30)})
	codeIs(t, err, CodeEpoch, true)
	_, err = s.Reveal(t.Context(), r.Handles[0])
	codeIs(t, err, CodeEpoch, true)
	if n := used(t, south, north, agreement); n != 1 {
		t.Errorf("%d searches are booked, want 1: what is of another epoch costs nothing", n)
	}
	must(t, s.Close())
	s = north.openSearches(agreement)
	again, err := s.Search(t.Context(), SearchQuery{Record: somebody(t, 30)})
	must(t, err)
	if again.Epoch != 2 || slices.Equal(suffixes(again.Handles), suffixes(r.Handles)) {
		t.Errorf("the slots are in the same order: %v and %v", again.Handles, r.Handles)
	}
	a, err := loadAgreement(south.Store.Reader, agreement)
	must(t, err)
	if dirs, err := os.ReadDir(south.searchDir(a)); err != nil || len(dirs) != 1 || dirs[0].Name() != "epoch-2" {
		t.Errorf("on the disk are %v, %v", dirs, err)
	}

	// The epoch's end makes the next run begin another; without one the index
	// stops answering after a while.
	south.at(south.now().Add(a.Search.epoch() + searchOverlap + 1))
	north.at(south.now())
	_, err = s.Search(t.Context(), SearchQuery{Record: somebody(t, 30)})
	codeIs(t, err, CodeEpoch, true)
	if x = south.index(agreement); x.Epoch != 3 {
		t.Errorf("after the epoch's end: %+v", x)
	}
}

func suffixes(handles []string) []string {
	var out []string
	for _, h := range handles {
		_, slot, _ := strings.Cut(h, "-")
		out = append(out, slot)
	}
	return out
}

func TestSearchIndexOutgrowsItsEpoch(t *testing.T) {
	t.Parallel()
	_, south, agreement := searchPair(t, func(a *Agreement) { small(a); a.Padding = PadExact; a.Search.MaxSlots = 3 * sealed.BlockSlots })
	south.setData(t, people("s", 20, 20+sealed.BlockSlots+10))
	if x := south.index(agreement); x.Epoch != 2 || x.Capacity != 2*sealed.BlockSlots || x.Slots != sealed.BlockSlots+10 {
		t.Errorf("grown over a block: %+v", x)
	}
	south.setData(t, people("s", 20, 20+3*sealed.BlockSlots+1))
	_, err := south.Index(t.Context(), IndexRequest{Agreement: agreement, Source: south.source()})
	codeIs(t, err, CodeRefused, false)
	if all, err := south.Indexes(agreement); err != nil || all[0].State != store.EpochCurrent || all[0].Epoch != 2 {
		t.Errorf("the index that answers is %+v, %v", all, err)
	}
}

// A run that is cut off leaves the version before in place, and the next one
// finishes.
func TestSearchIndexCutOff(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	south.setData(t, people("s", 25, 85))
	for _, rotate := range []bool{false, true, true} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := south.Index(ctx, IndexRequest{Agreement: agreement, Source: south.source(), RotateNow: rotate,
			Progress: func(p Progress) {
				if p.Stage == stageIndexing {
					cancel()
				}
			}})
		cancel()
		if err == nil {
			t.Fatal("the index was written in spite of the cancellation")
		}
		s := north.openSearches(agreement)
		south.setDataAnd(people("s", 20, 80), func() {
			r, err := s.Search(t.Context(), SearchQuery{Record: somebody(t, 22)})
			must(t, err)
			var got []string
			for _, h := range r.Handles {
				v, err := s.Reveal(t.Context(), h)
				must(t, err)
				got = append(got, v.Reference)
			}
			slices.Sort(got)
			if want := resembling(t, south, agreement, 1, somebody(t, 22)); !slices.Equal(got, want) {
				t.Errorf("the version before finds %v, want %v", got, want)
			}
		})
		must(t, s.Close())
	}
	if x := south.index(agreement); x.Epoch != 1 || x.Slots != 60 {
		t.Errorf("after the runs that were cut off: %+v", x)
	}
	s := north.openSearches(agreement)
	for _, i := range []int{22, 83} {
		s.check(t, south, somebody(t, i))
	}
	must(t, s.Close())
}

// setDataAnd does something while the records are others.
func (ag *agency) setDataAnd(data string, do func()) {
	ag.t.Helper()
	old, err := os.ReadFile(ag.data)
	must(ag.t, err)
	ag.setData(ag.t, data)
	do()
	ag.setData(ag.t, string(old))
}

func TestReveal(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, func(a *Agreement) { small(a); a.Search.Threshold, a.Search.Reveals = 10, 1 })
	s := north.openSearches(agreement)
	r, err := s.Search(t.Context(), SearchQuery{Record: somebody(t, 30)})
	must(t, err)
	if len(r.Handles) < 2 {
		t.Fatalf("%d slots opened, want two at least", len(r.Handles))
	}
	for range 2 { // the same one may be asked for again
		_, err = s.Reveal(t.Context(), r.Handles[0])
		must(t, err)
	}
	_, err = s.Reveal(t.Context(), r.Handles[1])
	codeIs(t, err, CodeReveals, true)
	for _, handle := range []string{"", "nothing", r.ID, r.ID + "-", r.ID + "-x", "abcd-1", r.ID + "-16000"} {
		if _, err := s.Reveal(t.Context(), handle); err == nil {
			t.Errorf("handle %q was revealed", handle)
		}
	}
	// A peer that asks for what it was not given.
	open, _ := s.current()
	_, err = s.askReveal(t.Context(), open, fixed(3)[:searchIDSize], 1, 7)
	codeIs(t, err, CodeUnknownSession, true)
	must(t, s.Close())
	e := events(t, south, agreement)
	if e["reveal"] != 2 || e["refused"] != 2 {
		t.Errorf("the owner has logged %v", e)
	}
	row, err := north.Store.Search(r.ID)
	must(t, err)
	if len(row.Revealed) != 1 || row.Local != true {
		t.Errorf("the asker has stored %+v", row)
	}
	if info, err := os.ReadDir(filepath.Join(south.Dir, "search")); err != nil || len(info) != 1 {
		t.Errorf("the owner's directory holds %v, %v", info, err)
	}
}

// The node itself makes the next version daily and the next epoch when it is
// due, and removes what it has when the agreement has ended.
func TestSearchIndexIsTended(t *testing.T) {
	t.Parallel()
	_, south, agreement := searchPair(t, small)
	south.setData(t, people("s", 20, 90))
	for _, tt := range []struct {
		after  time.Duration
		epoch  uint32
		serial uint64
	}{
		{time.Hour, 1, 1},
		{indexEvery, 1, 2},
		{time.Hour, 1, 2},
		{31 * 24 * time.Hour, 2, 1},
	} {
		south.at(south.now().Add(tt.after))
		must(t, south.TendOnce(t.Context()))
		all, err := south.Indexes(agreement)
		must(t, err)
		if all[0].Epoch != tt.epoch || all[0].Serial != tt.serial || all[0].State != store.EpochCurrent {
			t.Fatalf("%v later the index is %+v, want %d.%d", tt.after, all[0], tt.epoch, tt.serial)
		}
	}
	south.at(south.now().AddDate(1, 0, 0))
	must(t, south.TendOnce(t.Context()))
	all, err := south.Indexes(agreement)
	must(t, err)
	a, err := loadAgreement(south.Store.Reader, agreement)
	must(t, err)
	if _, gone := os.Stat(south.searchDir(a)); all[0].State != store.EpochEnded || !errors.Is(gone, os.ErrNotExist) {
		t.Errorf("after the agreement's end the index is %+v, %v", all[0], gone)
	}
}

func TestSearchThreshold(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, func(a *Agreement) { small(a); a.Search.Threshold = 10 })
	s := north.openSearches(agreement)
	who := somebody(t, 30)
	last := 1000
	for _, at := range []int{0, 10, 13, 16} {
		r, err := s.Search(t.Context(), SearchQuery{Record: who, Threshold: at})
		must(t, err)
		want := resemblingAt(t, south, agreement, r.Epoch, who, max(at, 10))
		if len(r.Handles) != len(want) || r.Threshold != max(at, 10) || len(want) > last {
			t.Errorf("at %d: %d opened, want %d; %+v", at, len(r.Handles), len(want), r)
		}
		last = len(want)
	}
	for _, at := range []int{-1, 9, 17} {
		_, err := s.Search(t.Context(), SearchQuery{Record: who, Threshold: at})
		codeIs(t, err, CodeNotPermitted, false)
	}
	_, err := s.Search(t.Context(), SearchQuery{Record: who, Form: 1})
	codeIs(t, err, CodeInput, false)
	if n := used(t, south, north, agreement); n != 4 {
		t.Errorf("%d searches are booked, want 4", n)
	}
}

// What can't be opened any more, such as after the identity that sealed it was
// lost, is made anew on both sides.
func TestSearchSecretsLost(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	s := north.openSearches(agreement)
	s.check(t, south, somebody(t, 30))
	must(t, s.Close())
	a := loaded(t, south, agreement)
	for _, ag := range []*agency{north, south} {
		must(t, ag.searches.close())
	}
	must(t, north.Store.Update(func(tx *store.Tx) error {
		return tx.PutSearchSeed(store.SearchSeed{Agreement: agreement, Epoch: 1, Seed: fixed(1), KeysID: fixed(2), Commitment: fixed(3), Created: epoch})
	}))
	s = north.openSearches(agreement)
	s.check(t, south, somebody(t, 31))
	must(t, s.Close())
	must(t, south.searches.close())
	must(t, os.WriteFile(filepath.Join(south.indexDir(a, 1), bookFile), fixed(9), 0o600))
	if x := south.index(agreement); x.Epoch != 2 || !x.Changed {
		t.Errorf("over a book that does not open: %+v", x)
	}
	s = north.openSearches(agreement)
	s.check(t, south, somebody(t, 32))
	must(t, s.Close())
}
