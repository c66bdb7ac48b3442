package protocol

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// lookupPair is pair under an agreement on lookups; south has published.
func lookupPair(t *testing.T, change func(*Agreement)) (north, south *agency, agreement string) {
	t.Helper()
	north, south, agreement = pair(t, func(a *Agreement) {
		lookups(a)
		if change != nil {
			change(a)
		}
	})
	must(t, south.publish(agreement))
	return north, south, agreement
}

func (ag *agency) publish(agreement string) error {
	_, err := ag.publish1(agreement, nil)
	return err
}

func (ag *agency) publish1(agreement string, change func(*PublishRequest)) (*Publication, error) {
	src := ag.source()
	src.Contact, src.Text = "desk@south.example", "handle with care"
	req := PublishRequest{Agreement: agreement, User: ag.users[0], Source: src}
	if change != nil {
		change(&req)
	}
	return ag.Publish(context.Background(), req)
}

// look opens lookups that end with the test.
func (ag *agency) look(t *testing.T, agreement string) *Lookups {
	t.Helper()
	l, err := ag.OpenLookups(t.Context(), LookupRequest{Agreement: agreement, User: ag.users[1], Purpose: "find", Case: "C-7"})
	must(t, err)
	return l
}

// the returns the record of a person of the register prefix.
func (ag *agency) the(t *testing.T, id string) *records.Record {
	t.Helper()
	var out *records.Record
	_, err := ag.source().Records.Each(t.Context(), records.ReadOptions{}, func(r *records.Record) error {
		if r.ID == id {
			c := *r
			c.Names, c.Births, c.Documents = slices.Clone(r.Names), slices.Clone(r.Births), slices.Clone(r.Documents)
			c.Phones, c.Emails = slices.Clone(r.Phones), slices.Clone(r.Emails)
			out = &c
		}
		return nil
	})
	must(t, err)
	if out == nil {
		t.Fatalf("no record %s", id)
	}
	return out
}

// setData replaces an agency's register.
func (ag *agency) setData(t *testing.T, csv string) {
	t.Helper()
	must(t, os.WriteFile(ag.data, []byte(csv), 0o600))
}

// entries returns the log's entries of an event.
func (ag *agency) entries(t *testing.T, agreement, event string) []audit.Entry {
	t.Helper()
	tree, err := ag.Tree(agreement)
	must(t, err)
	list, err := tree.List(ag.Store.Reader, audit.Filter{Event: event})
	must(t, err)
	var out []audit.Entry
	for _, r := range list {
		out = append(out, r.Entry)
	}
	return out
}

func TestLookup(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	l := north.look(t, agreement)
	hit, err := l.Lookup(t.Context(), north.the(t, "n-25"))
	must(t, err)
	if len(hit.Hits) != 1 || hit.Epoch != 1 || hit.Serial != 1 || hit.Keys != 5 || hit.Evaluations != 8 {
		t.Fatalf("the result is %+v", hit)
	}
	h := hit.Hits[0]
	if h.Reference != "REF-s-25" || h.Contact != "desk@south.example" || h.Text != "handle with care" || len(h.Rules) != 5 || len(h.Flags) != 0 {
		t.Errorf("the hit is %+v", h)
	}
	miss, err := l.Lookup(t.Context(), north.the(t, "n-3"))
	must(t, err)
	if len(miss.Hits) != 0 {
		t.Errorf("a stranger is hit: %+v", miss)
	}
	none, err := l.Lookup(t.Context(), &records.Record{ID: "nobody"})
	must(t, err)
	if !none.NoKeys || none.Evaluations != 0 {
		t.Errorf("a record without keys gives %+v", none)
	}
	must(t, l.Close())

	// The asker's log has whom and what, the owner's who and how many.
	asked, answered := north.entries(t, agreement, eventAsked), north.entries(t, agreement, eventAnswered)
	if len(asked) != 2 || asked[0].References[0] != "n-25" || asked[0].User != "user1" || asked[0].Case != "C-7" {
		t.Errorf("asked: %+v", asked)
	}
	if len(answered) != 2 || answered[0].Outcome != "hit" || answered[1].Outcome != "no-hit" || len(answered[0].Rules) != 5 || *answered[0].Hits != 1 {
		t.Errorf("answered: %+v", answered)
	}
	opened, seen := south.entries(t, agreement, eventOpened), south.entries(t, agreement, eventLookup)
	if len(opened) != 1 || len(opened[0].Key) != 32 || len(opened[0].Signature) == 0 {
		t.Errorf("opened: %+v", opened)
	}
	if len(seen) != 2 || *seen[0].PeerItems != 8 || seen[0].User != "user1" || seen[0].Purpose != "find" || len(seen[0].Signature) != 64 {
		t.Errorf("seen: %+v", seen)
	}
	// The owner's log is evidence: the asker's agency certified the key, and the
	// key signed the request.
	id := loaded(t, south, agreement).ID()
	binding, err := hex.DecodeString(opened[0].Transcript)
	must(t, err)
	sig, err := keys.ParseSignature(opened[0].Signature)
	must(t, err)
	must(t, north.Identity.Public().Verify(domainGrant, grantBytes(psi.ModeLookup, id, binding, opened[0].Key), sig))
	for _, e := range seen {
		hash, err := hex.DecodeString(e.PeerCommitment)
		must(t, err)
		signed := signedRequest(kindLookup, id, e.Number, beUint32(e.Epoch), nil, []byte(e.User), []byte(e.Purpose), []byte(e.Case), beUint32(uint32(*e.PeerItems)), hash)
		if !bytes.Equal(e.Key, opened[0].Key) || !ed25519.Verify(e.Key, signed, e.Signature) {
			t.Errorf("the log does not prove %+v", e)
		}
	}
	for _, e := range seen {
		if len(e.References) > 0 || e.Outcome != "" || e.Hits != nil {
			t.Errorf("the owner knows too much: %+v", e)
		}
	}
	verifyLog(t, north)
	verifyLog(t, south)
	// Both sides have countersigned each other's last entry.
	for _, ag := range []*agency{north, south} {
		size, _, _, err := ag.Store.LastLogHead(agreement, true, true)
		must(t, err)
		if n, err := ag.Store.LogSize(agreement); err != nil || n != size {
			t.Errorf("%d of %d entries are countersigned (%v)", size, n, err)
		}
	}
	own, err := north.Store.EvaluationUsage(south.root(t), agreement, epoch)
	must(t, err)
	theirs, err := south.Store.EvaluationUsage(north.root(t), agreement, epoch)
	must(t, err)
	if own.DayOut != 16 || theirs.Day != 16 || theirs.Minute != 16 {
		t.Errorf("the budgets count %+v and %+v", own, theirs)
	}
}

func TestLookupEach(t *testing.T) {
	t.Parallel()
	north, _, agreement := lookupPair(t, nil)
	l := north.look(t, agreement)
	var order, hits []string
	sum, err := l.Each(t.Context(), north.source(), func(r *LookupResult) error {
		order = append(order, r.ID)
		if len(r.Hits) > 0 {
			hits = append(hits, r.ID)
		}
		return nil
	})
	must(t, err)
	must(t, l.Close())
	slices.Sort(hits)
	if !slices.Equal(hits, wantIDs("n", 20, 40)) {
		t.Errorf("hits are %v", hits)
	}
	for i, id := range order {
		if id != fmt.Sprintf("n-%d", i) {
			t.Fatalf("result %d is of %s", i, id)
		}
	}
	if sum.Records != 40 || sum.Hits != 20 || sum.Evaluations != 320 || sum.NoKeys != 0 {
		t.Errorf("the summary is %+v", sum)
	}
	stop := errors.New("enough")
	l = north.look(t, agreement)
	n := 0
	if _, err := l.Each(t.Context(), north.source(), func(*LookupResult) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	}); !errors.Is(err, stop) || n != 3 {
		t.Errorf("stopped after %d by %v", n, err)
	}
	must(t, l.Close())
}

// Lookups find what a session finds.
func TestLookupsAgreeWithASession(t *testing.T) {
	t.Parallel()
	rules, err := records.Shipped("standard")
	must(t, err)
	north, south, agreement := pair(t, func(a *Agreement) {
		lookups(a)
		a.Modes = []psi.Mode{psi.ModeMutual, psi.ModeLookup}
		a.Rules = rules
		must(t, recanary(a))
		a.Labels = &Labels{Bytes: 64, Slots: 8}
		a.Caps.ItemsPerSession = 1 << 14
		a.Lookup.EvaluationsPerMinute = 1 << 20
	})
	// Names with many forms, and people who share some.
	var a, b strings.Builder
	a.WriteString(header)
	b.WriteString(header)
	for i := range 120 {
		name := fmt.Sprintf("Aleksandr Petrovich %c%cimenko", 'A'+i%7, 'a'+i%5)
		born := fmt.Sprintf("19%02d-0%d-1%d", 50+i%30, i%9+1, i%9)
		if i < 90 {
			fmt.Fprintf(&a, "n-%d,%s,%s,,,,,,\n", i, name, born)
		}
		if i >= 40 {
			fmt.Fprintf(&b, "s-%d,%s,%s,,,,,,S%d\n", i, strings.ReplaceAll(name, "ks", "x"), born, i)
		}
	}
	north.setData(t, a.String())
	south.setData(t, b.String())
	out, err := north.match(agreement, psi.ModeMutual)
	must(t, err)
	_, err = south.publish1(agreement, func(r *PublishRequest) { r.Source.Contact, r.Source.Text = "", "" })
	must(t, err)
	want := map[string][]string{}
	for _, h := range out.Hits {
		slices.Sort(h.Rules)
		want[h.ID+" "+h.Reference] = h.Rules
	}
	if len(want) < 50 {
		t.Fatalf("the session finds only %d pairs", len(want))
	}
	l := north.look(t, agreement)
	got := map[string][]string{}
	_, err = l.Each(t.Context(), north.source(), func(r *LookupResult) error {
		for _, h := range r.Hits {
			slices.Sort(h.Rules)
			got[r.ID+" "+h.Reference] = h.Rules
		}
		return nil
	})
	must(t, err)
	must(t, l.Close())
	for pair, rules := range want {
		if !slices.Equal(got[pair], rules) {
			t.Errorf("%s: lookups by %v, the session by %v", pair, got[pair], rules)
		}
	}
	if len(got) != len(want) {
		t.Errorf("lookups find %d pairs, the session %d", len(got), len(want))
	}
}

func TestLookupsOverGRPC(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	south.listen(t, north)
	f, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	if !f.New || f.ByDelta || f.Epoch != 1 || f.Serial != 1 || f.Received != f.FilterBytes || f.FalsePositiveLog2 > -40 {
		t.Errorf("fetched %+v", f)
	}
	again, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	if again.New || again.Received != 0 {
		t.Errorf("fetched again %+v", again)
	}
	l := north.look(t, agreement)
	before, _ := l.Traffic()
	_, got := l.Traffic()
	hit, err := l.Lookup(t.Context(), north.the(t, "n-21"))
	must(t, err)
	after, gotAfter := l.Traffic()
	if len(hit.Hits) != 1 {
		t.Errorf("the hits are %+v", hit.Hits)
	}
	if up, down := after.Bytes-before.Bytes, gotAfter.Bytes-got.Bytes; up > 2048 || down > 2048 {
		t.Errorf("a lookup takes %d bytes up and %d down, want at most 2048", up, down)
	}
	must(t, l.Close())
	list, err := north.Filters("")
	must(t, err)
	if len(list) != 1 || list[0].Serial != 1 {
		t.Errorf("on the disk are %+v", list)
	}
}

// Budget: what is over it is refused with a time, and the stream goes on.
func TestLookupBudget(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.EvaluationsPerMinute, a.Lookup.EvaluationsPerDay = 24, 32 })
	l := north.look(t, agreement)
	rec := north.the(t, "n-30")
	for range 3 {
		_, err := l.Lookup(t.Context(), rec)
		must(t, err)
	}
	for range 5 {
		_, err := l.Lookup(t.Context(), rec)
		codeIs(t, err, CodeBudget, true)
		var e *Error
		errors.As(err, &e)
		if wait := e.RetryAfter.Sub(epoch); wait <= time.Minute || wait > 62*time.Second {
			t.Errorf("to be tried again after %v", wait)
		}
	}
	south.at(epoch.Add(61 * time.Second))
	_, err := l.Lookup(t.Context(), rec)
	must(t, err)
	_, err = l.Lookup(t.Context(), rec)
	codeIs(t, err, CodeBudget, true)
	must(t, l.Close())
	refused := south.entries(t, agreement, eventRefused)
	if len(refused) != 2 || *refused[0].PeerItems != 8 || *refused[1].PeerItems != 40 || refused[0].Outcome != string(CodeBudget) {
		t.Errorf("refused: %+v", refused)
	}
	if n := len(south.entries(t, agreement, eventLookup)); n != 4 {
		t.Errorf("%d lookups are logged as answered, want 4", n)
	}
	if got := north.entries(t, agreement, eventAnswered); got[len(got)-1].Outcome != string(CodeBudget) {
		t.Errorf("the asker's last entry is %+v", got[len(got)-1])
	}
}

// A batch that is over the budget hands out all that was paid for; a patient one
// waits for room.
func TestLookupEachOverBudget(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.EvaluationsPerMinute = 24 })
	l := north.look(t, agreement)
	asked := 0
	sum, err := l.Each(t.Context(), north.source(), func(*LookupResult) error { asked++; return nil })
	codeIs(t, err, CodeBudget, true)
	if n := len(south.entries(t, agreement, eventLookup)); n != 3 || asked != n || sum.Records != int64(n) || sum.Evaluations != 24 {
		t.Errorf("%d lookups were charged, %d handed out: %+v", n, asked, sum)
	}
	must(t, l.Close())

	// Our clock is a minute before the peer's, so that the wait is short.
	north.at(epoch.Add(2 * time.Minute))
	south.at(epoch.Add(61 * time.Second))
	var mu sync.Mutex
	var events []Event
	south.Observe = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
		if e.Outcome == string(CodeBudget) { // time passes while we wait
			south.at(epoch.Add(3 * time.Minute))
		}
	}
	l, err = north.OpenLookups(t.Context(), LookupRequest{Agreement: agreement, User: north.users[1], Purpose: "find", Case: "C-7",
		InFlight: 1, Patience: time.Minute})
	must(t, err)
	north.setData(t, people("n", 20, 25))
	asked = 0
	sum, err = l.Each(t.Context(), north.source(), func(*LookupResult) error { asked++; return nil })
	must(t, err)
	must(t, l.Close())
	if asked != 5 || sum.Hits != 5 {
		t.Errorf("%d were answered: %+v", asked, sum)
	}
	mu.Lock()
	defer mu.Unlock()
	answered, refused := 0, 0
	for _, e := range events {
		switch {
		case !e.Request || e.Mode != psi.ModeLookup || e.Role != psi.RoleSender || e.Duration <= 0:
			t.Errorf("metrics hear of %+v", e)
		case e.Outcome == outcomeAnswered && e.PeerItems == 8:
			answered++
		case e.Outcome == string(CodeBudget) && e.PeerItems == 0:
			refused++
		}
	}
	if answered != 5 || answered+refused != len(events) {
		t.Errorf("metrics hear of %d answers among %+v", answered, events)
	}
}

func TestLookupQuotaIsExactUnderARace(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.EvaluationsPerMinute = 400 })
	rec := north.the(t, "n-30")
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted, refused := 0, 0
	for range 16 {
		l := north.look(t, agreement)
		wg.Go(func() {
			defer func() { must(t, l.Close()) }()
			var inner sync.WaitGroup
			for range 6 {
				inner.Go(func() {
					res, err := l.Lookup(t.Context(), rec)
					mu.Lock()
					defer mu.Unlock()
					if err == nil && len(res.Hits) == 1 {
						granted++
						return
					}
					refused++
					codeIs(t, err, CodeBudget, true)
				})
			}
			inner.Wait()
		})
	}
	wg.Wait()
	if granted != 50 || refused != 46 {
		t.Errorf("%d lookups of 8 were answered and %d refused under a cap of 400", granted, refused)
	}
	verifyLog(t, south)
	// A restart gives nothing back.
	again := south.restart(t)
	north.connect(again, nil)
	l := north.look(t, agreement)
	_, err := l.Lookup(t.Context(), rec)
	codeIs(t, err, CodeBudget, true)
	must(t, l.Close())
}

// restart opens an agency's node anew over the same files.
func (ag *agency) restart(t *testing.T) *agency {
	t.Helper()
	must(t, ag.Close(t.Context()))
	must(t, ag.Store.Close())
	s, err := store.Open(filepath.Dir(ag.data))
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	o := ag.Options
	o.Store = s
	next := &agency{t: t, users: ag.users, data: ag.data, clock: ag.now()}
	o.Now = next.now
	next.Node, err = NewNode(o)
	must(t, err)
	return next
}

func TestPublishChanges(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	_, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
	must(t, err)
	p, err := south.publish1(agreement, nil)
	must(t, err)
	if p.Changed || p.Serial != 1 || p.Records != 60 || p.Keys != 300 || p.Computed != 300 || p.RotationCPUSeconds <= 0 {
		t.Errorf("publishing the same gives %+v", p)
	}
	south.setData(t, people("s", 30, 90)) // ten withdrawn, ten new
	p, err = south.publish1(agreement, nil)
	must(t, err)
	if !p.Changed || p.Serial != 2 || p.Epoch != 1 || p.Computed != 50 || p.Added != 50 || p.Removed != 50 {
		t.Errorf("publishing the change gives %+v", p)
	}
	l := north.look(t, agreement) // fetches
	for id, want := range map[string]int{"n-25": 0, "n-35": 1} {
		res, err := l.Lookup(t.Context(), north.the(t, id))
		must(t, err)
		if len(res.Hits) != want || res.Serial != 2 {
			t.Errorf("%s gives %+v", id, res)
		}
	}
	// A change is seen on a stream that is open.
	south.setData(t, people("s", 0, 90))
	must(t, south.publish(agreement))
	res, err := l.Lookup(t.Context(), north.the(t, "n-25"))
	must(t, err)
	if len(res.Hits) != 1 || res.Serial != 3 {
		t.Errorf("after the change %+v", res)
	}
	must(t, l.Close())
	all, err := south.Publications(agreement)
	must(t, err)
	if len(all) != 3 || all[0].Serial != 3 || all[0].State != store.EpochCurrent {
		t.Errorf("publications are %+v", all)
	}
}

func TestPublishSchedule(t *testing.T) {
	t.Parallel()
	_, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.DeltaHours = 24 })
	south.setData(t, people("s", 30, 90))
	south.at(epoch.Add(23 * time.Hour))
	err := south.publish(agreement)
	codeIs(t, err, CodeNotDue, false)
	var e *Error
	if errors.As(err, &e); !e.RetryAfter.Equal(epoch.Add(24 * time.Hour)) {
		t.Errorf("to be tried again at %v", e.RetryAfter)
	}
	must(t, south.TendOnce(t.Context()))
	if all, _ := south.Publications(agreement); len(all) != 1 {
		t.Errorf("published before it was due: %+v", all)
	}
	south.at(epoch.Add(24 * time.Hour))
	must(t, south.TendOnce(t.Context()))
	all, err := south.Publications(agreement)
	must(t, err)
	if len(all) != 2 || all[0].Serial != 2 {
		t.Errorf("the schedule gives %+v", all)
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	_, south, agreement := pair(t, func(a *Agreement) { lookups(a); a.Labels.Bytes = 20 })
	err := south.publish(agreement)
	codeIs(t, err, CodeRefused, false) // contact and text are too long
	_, err = south.publish1(agreement, func(r *PublishRequest) { r.Source.Compartment = "suspects"; r.Source.Text = "" })
	codeIs(t, err, CodeRefused, false)
	short := func(r *PublishRequest) { r.Source.Contact, r.Source.Text = "", "" }
	south.cost = 24 * time.Hour
	_, err = south.publish1(agreement, short)
	codeIs(t, err, CodeRefused, false)
	if !strings.Contains(err.Error(), "a rotation of all agreements takes") {
		t.Errorf("refused by %v", err)
	}
	south.cost = 0
	_, err = south.publish1(agreement, short)
	must(t, err)

	_, south, agreement = pair(t, func(a *Agreement) {
		lookups(a)
		a.Learns = identities()[1].Public().Fingerprint().String() // south asks, north answers
	})
	codeIs(t, south.publish(agreement), CodeNotPermitted, false)
	_, south, agreement = pair(t, nil)
	codeIs(t, south.publish(agreement), CodeNotPermitted, false)
}

func TestRotateEpoch(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	l := north.look(t, agreement)
	rec := north.the(t, "n-25")
	_, err := l.Lookup(t.Context(), rec)
	must(t, err)
	id := epochID{agreement, 1}
	secret, err := os.ReadFile(south.secretPath(id))
	must(t, err)

	south.at(epoch.Add(30 * 24 * time.Hour))
	north.at(south.now())
	must(t, south.TendOnce(t.Context()))
	all, err := south.Publications(agreement)
	must(t, err)
	if len(all) != 2 || all[0].Epoch != 2 || all[0].Serial != 1 || all[1].State != store.EpochOverlap {
		t.Fatalf("after 30 days %+v", all)
	}
	// The old epoch answers, and says that there is a newer one.
	res, err := l.Lookup(t.Context(), rec)
	must(t, err)
	if res.Epoch != 1 || len(res.Hits) != 1 {
		t.Errorf("in the overlap %+v", res)
	}
	res, err = l.Lookup(t.Context(), rec)
	must(t, err)
	if res.Epoch != 2 || len(res.Hits) != 1 {
		t.Errorf("then %+v", res)
	}
	must(t, l.Close())
	if _, err := os.Stat(north.peerPath(id)); !isNotExist(err) {
		t.Error("the asker keeps the old filter")
	}
	south.at(epoch.Add((30*24 + 72) * time.Hour))
	must(t, south.TendOnce(t.Context()))
	if _, err := os.Stat(south.secretPath(id)); !isNotExist(err) {
		t.Error("the old secret is still there")
	}
	if _, err := os.Stat(south.ownPath(id)); !isNotExist(err) {
		t.Error("the old filter is still there")
	}
	_ = secret
	if got := south.entries(t, agreement, eventEpochEnded); len(got) != 1 || got[0].Epoch != 1 {
		t.Errorf("ended: %+v", got)
	}
}

func TestRotateNow(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, func(a *Agreement) { a.Lookup.DeltaHours = 24 })
	l := north.look(t, agreement)
	rec := north.the(t, "n-25")
	_, err := l.Lookup(t.Context(), rec)
	must(t, err)
	south.setData(t, people("s", 30, 90)) // the person is withdrawn
	p, err := south.publish1(agreement, func(r *PublishRequest) { r.RotateNow, r.NoOverlap = true, true })
	must(t, err)
	if p.Epoch != 2 || p.Serial != 1 || !p.Changed {
		t.Errorf("published %+v", p)
	}
	if _, err := os.Stat(south.secretPath(epochID{agreement, 1})); !isNotExist(err) {
		t.Error("the old secret is still there")
	}
	res, err := l.Lookup(t.Context(), rec) // the asker's epoch is gone: it fetches and asks again
	must(t, err)
	if res.Epoch != 2 || len(res.Hits) != 0 {
		t.Errorf("after the rotation %+v", res)
	}
	must(t, l.Close())
}

func TestSuspensionEndsLookups(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(north, south *agency, agreement string) error{
		"suspended": func(_, south *agency, agreement string) error { return south.SuspendAgreement(agreement, "u", "r") },
		"revoked":   func(north, south *agency, _ string) error { return south.RevokePeer(north.root(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			north, south, agreement := lookupPair(t, nil)
			l := north.look(t, agreement)
			_, err := l.Lookup(t.Context(), north.the(t, "n-25"))
			must(t, err)
			must(t, act(north, south, agreement))
			<-l.r.ended
			if _, err := l.Lookup(t.Context(), north.the(t, "n-25")); err == nil {
				t.Error("a lookup was answered")
			}
			if l.Close() == nil {
				t.Error("the stream ended in order")
			}
			if _, err := north.OpenLookups(t.Context(), l.req); err == nil {
				t.Error("another stream was opened")
			}
			if n := south.Live(); n != 0 {
				t.Errorf("%d streams are open", n)
			}
		})
	}
}

func TestLookupStreamsAreBounded(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	south.MaxLookups = 4 // of which no peer gets all
	var open []*Lookups
	for range 3 {
		open = append(open, north.look(t, agreement))
	}
	_, err := north.OpenLookups(t.Context(), open[0].req)
	codeIs(t, err, CodeBusy, true)
	for _, l := range open {
		must(t, l.Close())
	}
	must(t, north.look(t, agreement).Close())
}

// What is published is served until the next version is whole.
func TestServedWhileBuilding(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	l := north.look(t, agreement)
	rec := north.the(t, "n-25")
	south.setData(t, people("s", 20, 70))
	asked := 0
	_, err := south.publish1(agreement, func(r *PublishRequest) {
		r.RotateNow = true
		r.Progress = func(at Progress) {
			if asked++; asked > 5 {
				return
			}
			res, err := l.Lookup(t.Context(), rec)
			must(t, err)
			f, err := north.Fetch(t.Context(), FetchRequest{Agreement: agreement})
			must(t, err)
			if res.Epoch != 1 || len(res.Hits) != 1 || f.Epoch != 1 {
				t.Errorf("during %s: %+v, fetched %+v", at.Stage, res, f)
			}
		}
	})
	must(t, err)
	if asked == 0 {
		t.Fatal("nothing was asked meanwhile")
	}
	// A publication that fails leaves the one before.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = south.Publish(ctx, PublishRequest{Agreement: agreement, User: south.users[0], Source: south.source(), RotateNow: true,
		Progress: func(at Progress) {
			if at.Stage != stageReading {
				cancel()
			}
		}})
	if err == nil {
		t.Fatal("a publication that was cancelled succeeded")
	}
	for want := uint32(1); want <= 2; want++ { // the overlap, then the next
		res, err := l.Lookup(t.Context(), rec)
		must(t, err)
		if res.Epoch != want || len(res.Hits) != 1 {
			t.Errorf("afterwards %+v", res)
		}
	}
	must(t, l.Close())
}

// On a stream that stays open, log heads are exchanged once a minute.
func TestHeadsOfALongStream(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	l := north.look(t, agreement)
	rec := north.the(t, "n-25")
	heads := func(ag *agency) int64 {
		size, _, _, err := ag.Store.LastLogHead(agreement, true, true)
		must(t, err)
		return size
	}
	for minute := range 5 {
		now := epoch.Add(time.Duration(minute) * 61 * time.Second)
		north.at(now)
		south.at(now)
		before := [2]int64{heads(north), heads(south)}
		_, err := l.Lookup(t.Context(), rec)
		must(t, err)
		if minute == 0 {
			continue // the stream's beginning was just now
		}
		for heads(north) == before[0] || heads(south) == before[1] {
			select {
			case <-l.r.ended:
				t.Fatal(l.r.failure())
			case <-time.After(time.Millisecond):
			}
		}
	}
	must(t, l.Close())
	verifyLog(t, north)
	verifyLog(t, south)
}

// A node that stops does not wait for peers who are idle.
func TestCloseEndsLookups(t *testing.T) {
	t.Parallel()
	north, south, agreement := lookupPair(t, nil)
	l := north.look(t, agreement)
	_, err := l.Lookup(t.Context(), north.the(t, "n-25"))
	must(t, err)
	must(t, south.Close(t.Context()))
	<-l.r.ended
	_, err = l.Lookup(t.Context(), north.the(t, "n-25"))
	codeIs(t, err, CodeCancelled, true)
	if l.Close() == nil {
		t.Error("the stream ended in order")
	}
}

// FuzzRequests: no frame of a peer's gets through without its signature.
func FuzzRequests(f *testing.F) {
	a := draft(&testing.T{}, lookups)
	m := &wirepb.LookupRequest{Number: 1, Epoch: 1, User: "u", Purpose: "p", Case: "c", Blinded: make([]byte, 8*32), Signature: make([]byte, 64)}
	for _, frame := range []*frame{
		{Body: &wirepb.Frame_LookupRequest{LookupRequest: m}},
		{Body: &wirepb.Frame_Standing{Standing: &wirepb.Standing{Number: 1, List: make([]byte, 16), Count: 8, User: "u", Purpose: "p", Case: "c"}}},
		{Body: &wirepb.Frame_ManifestQuery{ManifestQuery: &wirepb.ManifestQuery{Number: 1}}},
		{Body: &wirepb.Frame_ChunkQuery{ChunkQuery: &wirepb.ChunkQuery{Number: 1}}},
		{Body: &wirepb.Frame_Done{Done: &wirepb.Done{}}},
	} {
		raw, err := proto.Marshal(frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	key, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var frame wirepb.Frame
		if proto.Unmarshal(raw, &frame) != nil {
			return
		}
		s := &answerer{grantStream: grantStream{a: a}, key: key}
		r, err := s.read(psi.ModeLookup, &frame)
		if err == nil && frame.GetManifestQuery() == nil && frame.GetChunkQuery() == nil {
			t.Errorf("request %d was taken", r.number)
		}
		if err != nil {
			if code, _ := codeOf(err); code != CodeMessage && code != CodeSignature {
				t.Errorf("refused with %q", code)
			}
		}
	})
}
