package protocol

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi/sealed"
)

// hostileSearch sends a request for a search as it stands after change, signed,
// and returns the slots that open and what the owner says.
func (s *Searches) hostileSearch(t *testing.T, query []byte, change func(*wirepb.SearchRequest)) ([]uint32, error) {
	t.Helper()
	r, k := s.current()
	id := k.KeysID()
	in := make(chan []byte, 4)
	_, answer, err := r.ask(func(number uint64) *wirepb.Frame {
		name := sha256.Sum256(append([]byte{byte(number)}, query...))
		m := &wirepb.SearchRequest{Number: number, Epoch: r.granted.Epoch, Search: name[:searchIDSize], Keys: id[:],
			User: "user0", Purpose: "p", Case: "c", Query: query}
		if change != nil {
			change(m)
		}
		m.Signature = r.sign(searchSigned(r.a.ID(), m))
		r.expectBlocks(number, in)
		return &wirepb.Frame{Body: &wirepb.Frame_SearchRequest{SearchRequest: m}}
	})
	must(t, err)
	var f *wirepb.Frame
	select {
	case f = <-answer:
	case <-r.ended:
		return nil, r.failure()
	}
	if no := f.GetRefusal(); no != nil {
		return nil, refusalError(no)
	}
	c := k.Collect(sha256.Sum256(query))
	for len(in) > 0 {
		must(t, c.Add(<-in))
	}
	return c.Slots()
}

// query makes a query for a person, by any asker's keys.
func (s *Searches) query(t *testing.T, k *sealed.Asker, i int) []byte {
	t.Helper()
	forms, err := s.forms(somebody(t, i))
	must(t, err)
	q, err := k.Query(1<<40, forms[0].Symbols)
	must(t, err)
	return q.Message()
}

func TestSearchHostileQueries(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	s := north.openSearches(agreement)
	_, k := s.current()
	good := s.query(t, k, 30)
	askerOf := func(p sealed.Params, scope sealed.Scope, seed byte) *sealed.Asker {
		other, err := sealed.NewAsker(p, scope, [32]byte{seed})
		must(t, err)
		return other
	}
	params, scope := s.a.Search.Params(), s.a.scope(1)
	higher := params
	higher.Threshold++
	slots, err := s.hostileSearch(t, good, nil)
	must(t, err)
	if len(slots) == 0 {
		t.Fatal("the query that is spoilt in what follows finds nobody to begin with")
	}
	booked := used(t, south, north, agreement)
	for _, tt := range []struct {
		name  string
		query []byte
	}{
		{"empty", nil},
		{"truncated", good[:len(good)-1]},
		{"half", good[:len(good)/2]},
		{"oversized", append(bytes.Clone(good), 0)},
		{"no header", make([]byte, len(good))},
		{"coefficients out of range", append(bytes.Clone(good[:len(good)-64]), bytes.Repeat([]byte{0xff}, 64)...)},
		{"of another epoch", s.query(t, askerOf(params, s.a.scope(2), 1), 30)},
		{"of another agreement", s.query(t, askerOf(params, sealed.Scope{Epoch: 1}, 1), 30)},
		{"of other parameters", s.query(t, askerOf(higher, scope, 1), 30)},
		{"under other keys", s.query(t, askerOf(params, scope, 1), 30)},
	} {
		_, err := s.hostileSearch(t, tt.query, nil)
		codeIs(t, err, CodeMessage, true)
		if booked++; used(t, south, north, agreement) != booked {
			t.Errorf("%s: %d searches are booked, want %d", tt.name, used(t, south, north, agreement), booked)
		}
	}
	// A ciphertext of something that is no sketch: a coefficient that is off by
	// any amount is enough.
	for _, at := range []int{len(good) / 3, len(good) / 2, len(good) - 200} {
		spoilt := bytes.Clone(good)
		spoilt[at] ^= 0x10
		slots, err := s.hostileSearch(t, spoilt, nil)
		must(t, err)
		if len(slots) > 0 {
			t.Errorf("a query that is not one-hot opened %d slots", len(slots))
		}
		booked++
	}
	_, err = s.hostileSearch(t, good, func(m *wirepb.SearchRequest) { m.Epoch = 2 })
	codeIs(t, err, CodeEpoch, true)
	_, err = s.hostileSearch(t, good, func(m *wirepb.SearchRequest) { m.Keys = fixed(7) })
	codeIs(t, err, CodeKeys, true)
	_, err = s.hostileSearch(t, good, func(m *wirepb.SearchRequest) { // the first one's name
		name := sha256.Sum256(append([]byte{byte(m.Number)}, good...))
		m.Search = name[:searchIDSize]
	})
	must(t, err)
	booked++
	if n := used(t, south, north, agreement); n != booked {
		t.Errorf("%d searches are booked, want %d", n, booked)
	}
	s.check(t, south, somebody(t, 31)) // the stream still serves
	must(t, s.Close())
	verifyLog(t, south)
}

// A search's name serves for one query, and for no more tries than a cut
// connection excuses.
func TestSearchNameReused(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	s := north.openSearches(agreement)
	_, k := s.current()
	name := func(m *wirepb.SearchRequest) { m.Search = fixed(9)[:searchIDSize] }
	_, err := s.hostileSearch(t, s.query(t, k, 30), name)
	must(t, err)
	_, err = s.hostileSearch(t, s.query(t, k, 30), name)
	codeIs(t, err, CodeAttempts, true)
	_, err = s.hostileSearch(t, s.query(t, k, 31), name)
	codeIs(t, err, CodeInput, true)
	if n := used(t, south, north, agreement); n != 1 {
		t.Errorf("%d searches are booked, want 1", n)
	}
	// Form errors and wrong signatures end the stream.
	for _, change := range []func(*wirepb.SearchRequest){
		func(m *wirepb.SearchRequest) { m.Search = m.Search[1:] },
		func(m *wirepb.SearchRequest) { m.Keys = nil },
		func(m *wirepb.SearchRequest) { m.Purpose = "" },
	} {
		s := north.openSearches(agreement)
		_, err := s.hostileSearch(t, s.query(t, k, 30), change)
		codeIs(t, err, CodeMessage, true)
	}
	north.connect(south, func(c Conn) Conn {
		return &tapConn{Conn: c, out: edit(func(f *wirepb.Frame) {
			if m := f.GetSearchRequest(); m != nil {
				m.Case = "C-2"
			}
		})}
	})
	_, err = north.openSearches(agreement).Search(context.Background(), SearchQuery{Record: somebody(t, 30)})
	codeIs(t, err, CodeSignature, true)
	if n := used(t, south, north, agreement); n != 1 {
		t.Errorf("%d searches are booked, want 1", n)
	}
}

func TestSearchHostileKeys(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	s := north.openSearches(agreement)
	r, own := s.current()
	params, scope := s.a.Search.Params(), s.a.scope(1)
	higher := params
	higher.Threshold++
	size, err := params.KeysSize()
	must(t, err)
	bring := func(msg []byte, id [32]byte) error {
		at := uint64(0)
		for {
			state, err := r.sendKeys(t.Context(), id, at, msg[at:min(at+keysPiece, uint64(len(msg)))])
			if err != nil || state.Complete || state.Received == uint64(len(msg)) {
				return err
			}
			at = state.Received
		}
	}
	keysOf := func(p sealed.Params, scope sealed.Scope) []byte {
		k, err := sealed.NewAsker(p, scope, [32]byte{1})
		must(t, err)
		return k.Keys()
	}
	good := keysOf(params, scope)
	for name, msg := range map[string][]byte{
		"random":              bytes.Repeat([]byte{7}, size),
		"of another epoch":    keysOf(params, s.a.scope(2)),
		"of other parameters": append(keysOf(higher, scope), make([]byte, size)...)[:size],
		"out of range":        append(bytes.Clone(good[:size-64]), bytes.Repeat([]byte{0xff}, 64)...),
	} {
		err := bring(msg, sha256.Sum256(msg))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		codeIs(t, err, CodeMessage, true)
	}
	codeIs(t, bring(good, sha256.Sum256([]byte("others"))), CodeMessage, true)
	// Truncated keys are keys that have not come yet.
	must(t, bring(good[:size-1], sha256.Sum256(good)))
	id := sha256.Sum256(good)
	if _, err := south.peerKeys(s.a, 1, id); err == nil {
		t.Error("truncated keys are in use")
	}
	s.check(t, south, somebody(t, 30)) // ours are still there
	state, err := r.sendKeys(t.Context(), id, uint64(size-1), good[size-1:])
	must(t, err)
	if !state.Complete {
		t.Error("the last byte did not complete the keys")
	}
	// They have taken the place of ours, which are brought again.
	id = own.KeysID()
	state, err = r.sendKeys(t.Context(), id, 0, nil)
	must(t, err)
	if state.Complete || state.Received != 0 {
		t.Errorf("two sets of keys are kept: %v", state)
	}
	must(t, s.bringKeys(t.Context(), r, own))
	s.check(t, south, somebody(t, 30))
	// Oversized ones end the stream.
	_, err = r.sendKeys(t.Context(), id, uint64(size-1), []byte{1, 2})
	codeIs(t, err, CodeMessage, true)
	s = north.openSearches(agreement)
	r, _ = s.current()
	for range maxKeyUploads {
		if err = bring(good[:size:size], sha256.Sum256([]byte("others"))); err == nil {
			t.Fatal("accepted under another name")
		}
	}
	codeIs(t, err, CodeBudget, true)
}

// hostileBlock returns a tap that changes the blocks' answers on their way in.
func hostileBlock(change func(*wirepb.SearchBlock) []*wirepb.Frame) func(Conn) Conn {
	return func(c Conn) Conn {
		return &tapConn{Conn: c, in: func(f *wirepb.Frame) []*wirepb.Frame {
			if b := f.GetSearchBlock(); b != nil {
				return change(proto.Clone(b).(*wirepb.SearchBlock))
			}
			return []*wirepb.Frame{f}
		}}
	}
}

func blockFrame(b *wirepb.SearchBlock) *wirepb.Frame {
	return &wirepb.Frame{Body: &wirepb.Frame_SearchBlock{SearchBlock: b}}
}

func TestSearchHostileAnswers(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	for name, change := range map[string]func(*wirepb.SearchBlock) []*wirepb.Frame{
		"truncated": func(b *wirepb.SearchBlock) []*wirepb.Frame {
			b.Answer = b.Answer[1:]
			return []*wirepb.Frame{blockFrame(b)}
		},
		"to another query": func(b *wirepb.SearchBlock) []*wirepb.Frame {
			b.Answer[64] ^= 1
			return []*wirepb.Frame{blockFrame(b)}
		},
		"twice":   func(b *wirepb.SearchBlock) []*wirepb.Frame { return []*wirepb.Frame{blockFrame(b), blockFrame(b)} },
		"missing": func(*wirepb.SearchBlock) []*wirepb.Frame { return nil },
		"of a search not made": func(b *wirepb.SearchBlock) []*wirepb.Frame {
			b.Number = 99
			return []*wirepb.Frame{blockFrame(b)}
		},
		"too many": func(b *wirepb.SearchBlock) []*wirepb.Frame {
			return []*wirepb.Frame{blockFrame(b), blockFrame(b), blockFrame(b), blockFrame(b)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			north.connect(south, hostileBlock(change))
			s := north.openSearches(agreement)
			_, err := s.Search(context.Background(), SearchQuery{Record: somebody(t, 30)})
			codeIs(t, err, CodeMessage, false)
		})
	}
	rows, err := north.Store.Searches(agreement, true)
	must(t, err)
	for _, r := range rows {
		if r.State != store.SearchFailed || len(r.Slots) > 0 {
			t.Errorf("a search is stored as %s with %d slots", r.State, len(r.Slots))
		}
	}
}

// onSearch calls a function once, when a search leaves.
func onSearch(c Conn, do func()) Conn {
	var once sync.Once
	return &tapConn{Conn: c, out: func(f *wirepb.Frame) []*wirepb.Frame {
		if f.GetSearchRequest() != nil {
			once.Do(func() { time.AfterFunc(50*time.Millisecond, do) })
		}
		return []*wirepb.Frame{f}
	}}
}

func TestSearchCancelled(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	north.connect(south, func(c Conn) Conn { return onSearch(c, cancel) })
	s := north.openSearches(agreement)
	_, err := s.Search(ctx, SearchQuery{Record: somebody(t, 30)})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the cancellation", err)
	}
	s.check(t, south, somebody(t, 31)) // on the same stream
	must(t, s.Close())
	if n := used(t, south, north, agreement); n != 2 {
		t.Errorf("%d searches are booked, want 2", n)
	}
	if e := events(t, south, agreement); e["search"] != 2 || e["search-failed"] != 1 {
		t.Errorf("the owner has logged %v", e)
	}
	if s.n.Live() != 0 {
		t.Error("a stream is left")
	}
}

func TestSearchSuspended(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	north.connect(south, func(c Conn) Conn {
		return onSearch(c, func() { must(t, south.SuspendAgreement(agreement, "admin", "a test")) })
	})
	s := north.openSearches(agreement)
	_, err := s.Search(context.Background(), SearchQuery{Record: somebody(t, 30)})
	codeIs(t, err, CodeNotInForce, true)
	if n := used(t, south, north, agreement); n != 1 {
		t.Errorf("%d searches are booked, want 1", n)
	}
}

// The owner's node stops in the middle of a scan and comes back: the search is
// sent again, answered, and was charged once.
func TestSearchOwnerRestarts(t *testing.T) {
	t.Parallel()
	north, south, agreement := searchPair(t, small)
	again := &agency{t: t, users: south.users, data: south.data, clock: south.clock}
	var restarted atomic.Pointer[Node]
	north.connect(south, func(c Conn) Conn {
		return onSearch(c, func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = south.Close(ctx) // whose error is that it did not wait
			n, err := NewNode(south.Options)
			if err != nil {
				t.Error(err)
				return
			}
			restarted.Store(n)
		})
	})
	s := north.openSearches(agreement)
	north.dial = func(ctx context.Context, p store.Peer) (Conn, func(), error) {
		if again.Node = restarted.Load(); again.Node == nil {
			return nil, nil, ErrUnreachable
		}
		north.connect(again, nil)
		return north.dial(ctx, p)
	}
	s.check(t, south, somebody(t, 30))
	if restarted.Load() == nil {
		t.Fatal("the node did not stop")
	}
	must(t, s.Close())
	rows, err := again.Store.Searches(agreement, false)
	must(t, err)
	if len(rows) != 1 || rows[0].Attempts != 2 || rows[0].State != store.SearchAnswered {
		t.Errorf("the owner has stored %+v", rows)
	}
	if n := used(t, again, north, agreement); n != 1 {
		t.Errorf("%d searches are booked, want 1", n)
	}
	verifyLog(t, again)
	verifyLog(t, north)
}
