package protocol

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
)

// standing adds a standing lookup over a list of the persons numbered lo to hi.
func (ag *agency) standing(t *testing.T, agreement string, lo, hi int) (*Standing, string) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list.csv")
	must(t, os.WriteFile(list, []byte(people("w", lo, hi)), 0o600))
	s, err := ag.AddStanding(t.Context(), StandingRequest{Agreement: agreement, Name: "wanted", Data: list, User: ag.users[2], Purpose: "search", Case: "C-9"})
	must(t, err)
	return s, list
}

func (ag *agency) runStanding(t *testing.T, id string) *StandingRun {
	t.Helper()
	run, err := ag.RunStanding(t.Context(), id, nil)
	must(t, err)
	return run
}

func hitIDs(hits []StandingHit) []string {
	out := []string{}
	for _, h := range hits {
		out = append(out, h.ID)
	}
	slices.Sort(out)
	return out
}

func TestStanding(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil) // south has 20 to 80
	var told []StandingHit
	north.OnStanding = func(h StandingHit) { told = append(told, h) }
	s, list := north.standing(t, agreement, 70, 90)
	if d := south.entries(t, agreement, eventStanding); len(d) != 1 || *d[0].PeerItems != 160 || d[0].Session != s.ID || d[0].User != "user2" {
		t.Fatalf("the owner logged %+v", d)
	}
	usage := func() int64 {
		u, err := south.Store.EvaluationUsage(north.root(t), agreement, south.now())
		must(t, err)
		return u.Day
	}
	if usage() != 0 {
		t.Error("an announcement was charged")
	}

	run := north.runStanding(t, s.ID)
	if got := hitIDs(run.New); !slices.Equal(got, wantIDs("w", 70, 80)) || run.Evaluated != 160 || run.Declared != 0 {
		t.Fatalf("the first run gives %v and %+v", got, run)
	}
	if h := run.New[0]; h.Reference == "" || h.Contact != "desk@south.example" || len(h.Rules) != 5 {
		t.Errorf("a hit is %+v", h)
	}
	if usage() != 160 {
		t.Errorf("%d evaluations are booked, want 160", usage())
	}

	// Nothing new: nothing is asked, charged or reported.
	run = north.runStanding(t, s.ID)
	if len(run.New) != 0 || run.Evaluated+run.Declared != 0 || usage() != 160 {
		t.Errorf("the second run gives %+v", run)
	}

	// A new version: only what came in is tested, and the list is charged once.
	south.setData(t, people("s", 20, 85))
	must(t, south.publish(agreement))
	run = north.runStanding(t, s.ID)
	if got := hitIDs(run.New); !slices.Equal(got, wantIDs("w", 80, 85)) || run.Evaluated != 0 || run.Declared != 160 || run.Serial != 2 {
		t.Errorf("after a change %v and %+v", got, run)
	}
	if usage() != 320 {
		t.Errorf("%d evaluations are booked, want 320", usage())
	}
	run = north.runStanding(t, s.ID)
	if len(run.New) != 0 || usage() != 320 {
		t.Errorf("again %+v", run)
	}

	// The list grows: only who is new is evaluated.
	must(t, os.WriteFile(list, []byte(people("w", 68, 90)), 0o600))
	run = north.runStanding(t, s.ID)
	if got := hitIDs(run.New); !slices.Equal(got, wantIDs("w", 68, 70)) || run.Evaluated != 16 || run.Declared != 0 {
		t.Errorf("with a longer list %v and %+v", got, run)
	}

	// A version fetched by another command is tested as well.
	south.setData(t, people("s", 20, 86))
	must(t, south.publish(agreement))
	_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	run = north.runStanding(t, s.ID)
	if got := hitIDs(run.New); !slices.Equal(got, []string{"w-85"}) || run.Declared != 176 {
		t.Errorf("after another fetch %v and %+v", got, run)
	}

	// A new epoch evaluates everybody anew, and reports nobody again.
	_, err = south.publish1(agreement, func(r *PublishRequest) { r.RotateNow = true })
	must(t, err)
	old := north.seedsPath(loaded(t, north, agreement), s.ID, 1)
	if _, err := os.Stat(old); err != nil {
		t.Error(err)
	}
	run = north.runStanding(t, s.ID)
	if len(run.New) != 0 || run.Evaluated != 176 || run.Epoch != 2 {
		t.Errorf("in a new epoch %+v", run)
	}
	if _, err := os.Stat(old); !isNotExist(err) {
		t.Error("the seeds of the old epoch are still there")
	}

	// What is kept of the list on the disk says nothing without the identity.
	raw, err := os.ReadFile(north.seedsPath(loaded(t, north, agreement), s.ID, 2))
	must(t, err)
	if bytes.Contains(raw, []byte("seeds")) || len(raw) < 110*32 {
		t.Errorf("%d bytes of seeds lie open", len(raw))
	}
	hits, err := north.StandingHits(s.ID[:8])
	must(t, err)
	if len(hits) != 18 || len(told) != 18 {
		t.Errorf("%d hits are kept and %d were told of, want 18", len(hits), len(told))
	}
	all, err := north.Standings(agreement)
	must(t, err)
	if len(all) != 1 || all[0].Epoch != 2 || all[0].Records != 22 || all[0].Evaluations != 176 || all[0].Hits != 18 {
		t.Errorf("the list is %+v", all)
	}

	must(t, north.EndStanding(t.Context(), s.ID[:10], north.users[0]))
	if _, err := os.Stat(north.seedsPath(loaded(t, north, agreement), s.ID, 2)); !isNotExist(err) {
		t.Error("the seeds of a list that has ended are still there")
	}
	if _, err := north.RunStanding(t.Context(), s.ID, nil); err == nil {
		t.Error("a list that has ended ran")
	}
	if d := south.entries(t, agreement, eventStandingEnded); len(d) != 1 || d[0].User != "user0" {
		t.Errorf("the owner logged the end as %+v", d)
	}
	verifyLog(t, north)
	verifyLog(t, south)
}

// A further record of the peer's behind keys that were there is news too.
func TestStandingSeesFurtherRecords(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	s, _ := north.standing(t, agreement, 70, 73)
	if run := north.runStanding(t, s.ID); len(run.New) != 3 {
		t.Fatalf("the first run gives %+v", run)
	}
	south.setData(t, people("s", 20, 80)+strings.ReplaceAll(person("s", 71), "s-71", "t-71"))
	must(t, south.publish(agreement))
	run := north.runStanding(t, s.ID)
	if len(run.New) != 1 || run.New[0].ID != "w-71" || run.New[0].Reference != "REF-t-71" {
		t.Errorf("with a further record %+v", run)
	}
}

// A list longer than the budget of a minute is tested against every version, and
// every declaration is logged, those that cost nothing too.
func TestStandingOfManyPeople(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.EvaluationsPerMinute, a.Lookup.EvaluationsPerDay = 160, 320 })
	_, err := north.AddStanding(t.Context(), StandingRequest{Agreement: agreement, Name: "all", Data: north.data, User: north.users[2], Purpose: "p",
		Case: "c"})
	must(t, err) // forty people
	s, list := north.standing(t, agreement, 62, 82)
	north.runStanding(t, s.ID)
	minutes := func(n time.Duration) {
		north.at(epoch.Add(n * time.Minute))
		south.at(north.now())
	}
	minutes(2)
	must(t, os.WriteFile(list, []byte(people("w", 62, 84)), 0o600))
	_, err = north.RunStanding(t.Context(), s.ID, nil)
	must(t, err)
	minutes(24*60 + 1) // the day is free again but for the two who came later
	south.setData(t, people("s", 20, 81))
	must(t, south.publish(agreement))
	run := north.runStanding(t, s.ID)
	if got := hitIDs(run.New); !slices.Equal(got, []string{"w-80"}) || run.Declared != 176 {
		t.Errorf("tested again %+v", run)
	}
	// Declaring it again is free, and logged.
	l := north.look(t, agreement)
	id, err := hex.DecodeString(s.ID)
	must(t, err)
	who := asker{name: "u", purpose: "p", caseNumber: "c", list: id}
	declare := func() error {
		return l.r.declare(t.Context(), who, &wirepb.Standing{Epoch: 1, Serial: 2, Count: 176})
	}
	for range maxDeclared {
		must(t, declare())
	}
	codeIs(t, declare(), CodeMessage, true)
	if l.Close() == nil {
		t.Error("the stream ended in order")
	}
	u, err := south.Store.EvaluationUsage(north.root(t), agreement, south.now())
	must(t, err)
	if u.Day != 192 || u.Minute != 0 {
		t.Errorf("the budget counts %+v", u)
	}
	if n := len(south.entries(t, agreement, eventStandingRun)); n != 1+maxDeclared {
		t.Errorf("%d declarations are logged", n)
	}
	// Whom no day has room for can't be watched.
	must(t, os.WriteFile(list, []byte(people("w", 0, 41)), 0o600))
	_, err = north.AddStanding(t.Context(), StandingRequest{Agreement: agreement, Name: "many", Data: list, User: north.users[2], Purpose: "p", Case: "c"})
	codeIs(t, err, CodeRefused, false)
}

// A run that the budget cuts short goes on where it stopped.
func TestStandingOverBudget(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.EvaluationsPerDay = 160 })
	l := north.look(t, agreement)
	for range 10 { // half of the day is used already
		_, err := l.Lookup(t.Context(), north.the(t, "n-30"))
		must(t, err)
	}
	must(t, l.Close())
	s, _ := north.standing(t, agreement, 70, 90)
	_, err := north.RunStanding(t.Context(), s.ID, nil)
	codeIs(t, err, CodeBudget, true)
	list, err := north.Standings("")
	must(t, err)
	if list[0].Serial != 0 || !strings.Contains(list[0].LastError, "over-budget") {
		t.Errorf("after the budget ended: %+v", list[0])
	}
	for _, ag := range []*agency{north, south} {
		ag.at(epoch.Add(24*time.Hour + time.Minute))
	}
	run, err := north.RunStanding(t.Context(), s.ID, nil)
	must(t, err)
	if run.Evaluated != 80 || !slices.Equal(hitIDs(run.New), wantIDs("w", 70, 80)) {
		t.Errorf("the second run gives %+v", run)
	}
	list, err = north.Standings("")
	must(t, err)
	if list[0].LastError != "" || list[0].Serial != 1 {
		t.Errorf("then %+v", list[0])
	}
}

func TestStandingNeedsItsOperator(t *testing.T) {
	t.Parallel()
	north, _, agreement := lookupPair(t, nil)
	s, _ := north.standing(t, agreement, 70, 72)
	must(t, north.Store.Update(func(tx *store.Tx) error { return tx.RevokeUser("user2", epoch) }))
	_, err := north.RunStanding(t.Context(), s.ID, nil)
	codeIs(t, err, CodeApproval, false)
	stranger, err := keys.NewUser(north.Rand, "stranger")
	must(t, err)
	_, err = north.AddStanding(t.Context(), StandingRequest{Agreement: agreement, Name: "x", Data: north.data, User: stranger, Purpose: "p", Case: "c"})
	codeIs(t, err, CodeApproval, false)
}

// TestTend: an owner that only serves rotates and publishes by itself, an asker
// fetches and runs its lists.
func TestTend(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.DeltaHours = 24 })
	s, _ := north.standing(t, agreement, 78, 90)
	must(t, north.TendOnce(t.Context()))
	hits, err := north.StandingHits(s.ID)
	must(t, err)
	if !slices.Equal(hitIDs(hits), wantIDs("w", 78, 80)) {
		t.Errorf("hits are %v", hitIDs(hits))
	}
	day := 24 * time.Hour
	for i := 1; i <= 40; i++ {
		now := epoch.Add(time.Duration(i) * day)
		south.at(now)
		north.at(now)
		south.setData(t, people("s", 20, min(80+i, 88)))
		must(t, south.TendOnce(t.Context()))
		must(t, north.TendOnce(t.Context()))
	}
	hits, err = north.StandingHits(s.ID)
	must(t, err)
	if !slices.Equal(hitIDs(hits), wantIDs("w", 78, 88)) {
		t.Errorf("after forty days hits are %v", hitIDs(hits))
	}
	var states []string
	epochs, err := south.Store.Epochs(agreement)
	must(t, err)
	for _, e := range epochs {
		states = append(states, e.State)
	}
	if !slices.Equal(states, []string{store.EpochCurrent, store.EpochEnded}) {
		t.Errorf("the epochs are %v", states)
	}
	secrets, err := filepath.Glob(filepath.Join(south.Dir, lookupDir, secretsDir, "*"))
	must(t, err)
	if len(secrets) != 1 || secrets[0] != south.secretPath(epochID{agreement, 2}) {
		t.Errorf("the secrets are %v", secrets)
	}
	// With the agreement everything ends.
	south.at(time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC))
	if err := south.TendOnce(t.Context()); err != nil && !strings.Contains(err.Error(), "valid from") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(south.Dir, lookupDir, "*", "*")); len(left) > 1 {
		t.Errorf("after the agreement %v are left", left)
	}
	verifyLog(t, north)
	verifyLog(t, south)
}

// TestCopyIsKeptUpToDate: who has looked somebody up once has the newest filter
// at hand.
func TestCopyIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	serial := func(want uint64) {
		t.Helper()
		must(t, north.TendOnce(t.Context()))
		list, err := north.Filters(agreement)
		must(t, err)
		if want == 0 && len(list) > 0 || want > 0 && (len(list) != 1 || list[0].Serial != want) {
			t.Errorf("on the disk are %+v, want serial %d", list, want)
		}
	}
	serial(0) // nobody has asked for anything
	_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	south.setData(t, people("s", 20, 81))
	must(t, south.publish(agreement))
	serial(1)
	for _, ag := range []*agency{north, south} {
		ag.at(epoch.Add(copyEvery))
	}
	serial(2)
	opened := len(south.entries(t, agreement, eventOpened))
	serial(2)
	if n := len(south.entries(t, agreement, eventOpened)); n != opened {
		t.Error("the peer was asked again at once")
	}
}
