package protocol

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed"
)

// searchPair returns two agencies under an agreement on sealed searches; South
// has an index of its 60 people.
func searchPair(t *testing.T, change func(*Agreement)) (north, south *agency, agreement string) {
	t.Helper()
	north, south, agreement = pair(t, func(a *Agreement) {
		searching(a)
		a.Search.MaxSlots, a.Search.Reveals, a.Search.SearchesPerMinute = 2*sealed.BlockSlots, 60, 100
		if change != nil {
			change(a)
		}
	})
	south.index(agreement)
	return north, south, agreement
}

func (ag *agency) index(agreement string) *SearchIndex {
	ag.t.Helper()
	src := ag.source()
	src.Contact, src.Text = "desk 4", "ask for Sven"
	x, err := ag.Index(context.Background(), IndexRequest{Agreement: agreement, User: ag.users[0], Source: src, Form: FormCompact})
	must(ag.t, err)
	return x
}

// openSearches opens a stream that the test closes, or fails at.
func (ag *agency) openSearches(agreement string) *Searches {
	ag.t.Helper()
	s, err := ag.OpenSearches(context.Background(), SearchRequest{Agreement: agreement, User: ag.users[0], Purpose: "find people", Case: "C-1"})
	must(ag.t, err)
	ag.t.Cleanup(func() { s.Close() })
	return s
}

// somebody is a record as North knows it: person i, with a slip in the name.
func somebody(t *testing.T, i int) *records.Record {
	t.Helper()
	p := records.Person{ID: fmt.Sprintf("local-%d", i), Given: fmt.Sprintf("Given%c", 'a'+i%26), Family: fmt.Sprintf("Famly%d", i),
		Births: []string{fmt.Sprintf("19%02d-0%d-1%d", i%80+10, i%9+1, i%9)}}
	r, err := p.Record()
	must(t, err)
	return r
}

// stranger resembles nobody.
func stranger(t *testing.T) *records.Record {
	t.Helper()
	p := records.Person{ID: "local-stranger", Given: "Zbigniew", Family: "Wojciechowski", Births: []string{"1931-12-30"}}
	r, err := p.Record()
	must(t, err)
	return r
}

// resembling returns the references whose sketches reach the threshold, for a
// query that is compared openly.
func resembling(t *testing.T, owner *agency, agreement string, epoch uint32, query *records.Record) []string {
	t.Helper()
	a, err := loadAgreement(owner.Store.Reader, agreement)
	must(t, err)
	return resemblingAt(t, owner, agreement, epoch, query, a.Search.Threshold)
}

func resemblingAt(t *testing.T, owner *agency, agreement string, epoch uint32, query *records.Record, threshold int) []string {
	t.Helper()
	a, err := loadAgreement(owner.Store.Reader, agreement)
	must(t, err)
	theirs, err := a.Sketcher(epoch, sketch.Owner)
	must(t, err)
	mine, err := a.Sketcher(epoch, sketch.Query)
	must(t, err)
	q := mine.Append(nil, query)
	var out []string
	_, err = owner.source().Records.Each(context.Background(), records.ReadOptions{}, func(r *records.Record) error {
		for _, f := range theirs.Append(nil, r) {
			if sketch.Score(f.Symbols, q[0].Symbols) >= threshold {
				out = append(out, r.SourceRef)
			}
		}
		return nil
	})
	must(t, err)
	slices.Sort(out)
	return out
}

// reveal asks for the references of all handles.
func (s *Searches) revealAll(t *testing.T, r *SearchResult) []string {
	t.Helper()
	var out []string
	for _, h := range r.Handles {
		v, err := s.Reveal(context.Background(), h)
		must(t, err)
		if v.Contact != "desk 4" || v.Text != "ask for Sven" || v.Local != r.Local {
			t.Errorf("revealed %+v", v)
		}
		out = append(out, v.Reference)
	}
	slices.Sort(out)
	return out
}

func TestSearch(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, nil)
	s := north.openSearches(agreement)
	found := 0
	for i, who := range []*records.Record{somebody(t, 30), somebody(t, 64), stranger(t)} {
		want := resembling(t, south, agreement, 1, who)
		r, err := s.Search(context.Background(), SearchQuery{Record: who})
		must(t, err)
		if got := s.revealAll(t, r); !slices.Equal(got, want) {
			t.Errorf("person %d: got %v, want %v", i, got, want)
		}
		found += len(want)
		if r.Slots != sealed.BlockSlots || r.Evaluations != 64 || r.Threshold != DefaultSearch().Threshold || r.Epoch != 1 || r.Serial != 1 {
			t.Errorf("the result is %+v", r)
		}
		if (i == 2) != (len(r.Handles) == 0) {
			t.Errorf("person %d has %d handles", i, len(r.Handles))
		}
	}
	if found == 0 {
		t.Error("nothing was to be found")
	}
	must(t, s.Close())
	u, err := south.Store.EvaluationUsage(north.Identity.Public().Fingerprint().String(), agreement, epoch)
	must(t, err)
	if u.Day != 3*64 || u.Minute != 3*64 {
		t.Errorf("the owner has booked %+v", u)
	}
	sent, got := s.Traffic()
	t.Logf("%d bytes up, %d down", sent.Bytes, got.Bytes)
	for _, ag := range []*agency{north, south} {
		verifyLog(t, ag)
	}
	owner, asker := events(t, south, agreement), events(t, north, agreement)
	for _, want := range []string{"indexed", "stream-opened", "search-keys", "search", "reveal"} {
		if owner[want] == 0 {
			t.Errorf("the owner has not logged %q: %v", want, owner)
		}
	}
	if owner["search"] != 3 || owner["reveal"] != found || asker["asked"] != 3 || asker["answered"] != 3 || asker["revealed"] != found {
		t.Errorf("logged: owner %v, asker %v", owner, asker)
	}
	checkEvidence(t, north, south, agreement)
	// The second stream finds the keys there.
	again := north.openSearches(agreement)
	must(t, again.Close())
	if sent, _ := again.Traffic(); sent.Bytes > 64<<10 {
		t.Errorf("opening again took %d bytes", sent.Bytes)
	}
}

// checkEvidence verifies, from the owner's log alone, that the asker's stream keys
// signed the searches and what followed.
func checkEvidence(t *testing.T, asker, owner *agency, agreement string) {
	t.Helper()
	id := loaded(t, owner, agreement).ID()
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		must(t, err)
		return b
	}
	opened := owner.entries(t, agreement, eventOpened)[0]
	sig, err := keys.ParseSignature(opened.Signature)
	must(t, err)
	must(t, asker.Identity.Public().Verify(domainGrant, grantBytes(psi.ModeSearch, id, unhex(opened.Transcript), opened.Key), sig))
	for event, parts := range map[string]func(e audit.Entry) (string, [][]byte){
		eventSearch: func(e audit.Entry) (string, [][]byte) {
			return kindSearch, [][]byte{unhex(e.Session), unhex(strings.TrimPrefix(e.Note, "keys ")), []byte(e.User), []byte(e.Purpose), []byte(e.Case), unhex(e.PeerCommitment)}
		},
		eventReveal: func(e audit.Entry) (string, [][]byte) {
			var slot uint32
			_, err := fmt.Sscanf(e.Note, "slot %d", &slot)
			must(t, err)
			return kindReveal, [][]byte{unhex(e.Session), []byte(e.User), []byte(e.Purpose), []byte(e.Case), beUint32(slot)}
		},
		eventSearchKeys: func(e audit.Entry) (string, [][]byte) {
			var id []byte
			var at uint64
			_, err := fmt.Sscanf(e.Note, "keys %x, signed from byte %d on", &id, &at)
			must(t, err)
			return kindSearchKeys, [][]byte{id, beUint64(at), unhex(e.Transcript)}
		},
	} {
		all := owner.entries(t, agreement, event)
		for _, e := range all {
			kind, rest := parts(e)
			signed := signedRequest(kind, id, e.Number, append([][]byte{beUint32(e.Epoch)}, rest...)...)
			if !bytes.Equal(e.Key, opened.Key) || !ed25519.Verify(e.Key, signed, e.Signature) {
				t.Errorf("the log does not prove who asked: %+v", e)
			}
		}
		if len(all) == 0 {
			t.Errorf("no entry %q", event)
		}
	}
}

// events counts an agency's log entries by event.
func events(t *testing.T, ag *agency, agreement string) map[string]int {
	t.Helper()
	tree, err := ag.Tree(agreement)
	must(t, err)
	list, err := tree.List(ag.Store.Reader, audit.Filter{})
	must(t, err)
	out := map[string]int{}
	for _, r := range list {
		out[r.Entry.Event]++
	}
	return out
}

// small is a shape that is quick and finds about as well in these tests.
func small(a *Agreement) { a.Search.Groups, a.Search.Symbols, a.Search.Threshold = 16, 2, 15 }

// used returns what the owner has booked of the peer's evaluations, in searches.
func used(t *testing.T, owner, asker *agency, agreement string) int64 {
	t.Helper()
	u, err := owner.Store.EvaluationUsage(asker.Identity.Public().Fingerprint().String(), agreement, epoch)
	must(t, err)
	return u.Day / DefaultSearch().Evaluations
}

// check runs an honest search, whose outcome must be that of a comparison in the
// clear.
func (s *Searches) check(t *testing.T, owner *agency, who *records.Record) {
	t.Helper()
	r, err := s.Search(context.Background(), SearchQuery{Record: who})
	must(t, err)
	if want := resembling(t, owner, s.a.Hex(), r.Epoch, who); len(r.Handles) != len(want) {
		t.Errorf("%d slots opened, want %d", len(r.Handles), len(want))
	}
}

func TestSearchesAtOnce(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, func(a *Agreement) { small(a); a.Search.SearchesPerDay = 5 })
	s := north.openSearches(agreement)
	const asked = 8
	var wg sync.WaitGroup
	var answered, refused atomic.Int64
	for i := range asked {
		who := somebody(t, 30+i)
		want := len(resembling(t, south, agreement, 1, who))
		wg.Go(func() {
			r, err := s.Search(context.Background(), SearchQuery{Record: who})
			var e *Error
			switch {
			case err == nil && len(r.Handles) == want:
				answered.Add(1)
			case errors.As(err, &e) && e.ByPeer && e.Code == CodeBudget && !e.RetryAfter.IsZero():
				refused.Add(1)
			default:
				t.Errorf("search %d: %+v, %v; want %d handles", i, r, err, want)
			}
		})
	}
	wg.Wait()
	if answered.Load() != 5 || refused.Load() != 3 {
		t.Errorf("%d were answered and %d refused, want 5 and 3", answered.Load(), refused.Load())
	}
	if n := used(t, south, north, agreement); n != 5 {
		t.Errorf("%d searches are booked", n)
	}
	must(t, s.Close())
	if e := events(t, south, agreement); e["search"] != 5 || e["refused"] == 0 {
		t.Errorf("the owner has logged %v", e)
	}
}

func TestSearchRefused(t *testing.T) {
	t.Parallel()
	north, south, agreement := pair(t, func(a *Agreement) { searching(a); a.Learns = identities()[0].Public().Fingerprint().String() })
	open := func(ag *agency) error {
		s, err := ag.OpenSearches(context.Background(), SearchRequest{Agreement: agreement, User: ag.users[0], Purpose: "p", Case: "c"})
		if err == nil {
			s.Close()
		}
		return err
	}
	codeIs(t, open(north), CodeNotPublished, false)
	south.connect(north, nil)
	codeIs(t, open(south), CodeNotPermitted, false)
	if _, err := north.Index(context.Background(), IndexRequest{Agreement: agreement, Source: north.source()}); err == nil {
		t.Error("an index was made that nobody may search")
	}
	if _, err := south.Index(context.Background(), IndexRequest{Agreement: agreement, Source: south.source(), Form: "tiny"}); err == nil {
		t.Error("an unknown form was accepted")
	}
}

// What a stream's key signs of each request is what SPEC.md says.
func TestSearchSigned(t *testing.T) {
	t.Parallel()
	id := [32]byte(fixed(1))
	be := func(n uint64, bytes int) []byte { return binary.BigEndian.AppendUint64(nil, n)[8-bytes:] }
	sum := func(b []byte) []byte { h := sha(b); return h[:] }
	hash := func(parts ...[]byte) []byte { h := psi.HashTuple(parts...); return h[:] }
	search, keys, query := fixed(2)[:16], fixed(3), []byte("query")
	for _, tt := range []struct {
		name      string
		got, want []byte
	}{
		{"search", searchSigned(id, &wirepb.SearchRequest{Number: 7, Epoch: 8, Search: search, Keys: keys, User: "u", Purpose: "p", Case: "c", Query: query}),
			hash([]byte("symbolon/v1/search-request"), id[:], be(7, 8), be(8, 4), search, keys, []byte("u"), []byte("p"), []byte("c"), sum(query))},
		{"keys", searchKeysSigned(id, &wirepb.SearchKeys{Number: 7, Epoch: 8, Id: keys, Offset: 9, Payload: query}),
			hash([]byte("symbolon/v1/search-keys"), id[:], be(7, 8), be(8, 4), keys, be(9, 8), sum(query))},
		{"reveal", revealSigned(id, &wirepb.RevealRequest{Number: 7, Epoch: 8, Search: search, Slot: 9, User: "u", Purpose: "p", Case: "c"}),
			hash([]byte("symbolon/v1/reveal-request"), id[:], be(7, 8), be(8, 4), search, []byte("u"), []byte("p"), []byte("c"), be(9, 4))},
	} {
		if !bytes.Equal(tt.got, tt.want) {
			t.Errorf("%s is signed otherwise than the specification says", tt.name)
		}
	}
}
