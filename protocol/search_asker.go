package protocol

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed"
)

// SearchRequest opens a stream of sealed searches.
type SearchRequest struct {
	Agreement     string
	User          *keys.User // unlocked
	Purpose, Case string
	Progress      func(Progress) // stages "keys", "searching" (in blocks), bytes
}

// SearchQuery is whom to look for: one name of a record with what else is known
// of the person.
type SearchQuery struct {
	Record *records.Record
	// Form is the name form to look for, from 0: see Forms.
	Form int
	// Threshold is how many groups must agree, at least as many as the agreement
	// says; 0 means as many.
	Threshold int
}

// SearchResult is the outcome of a search.
type SearchResult struct {
	ID    string `json:"search"`
	Local string `json:"id"` // the record's
	Epoch uint32 `json:"epoch"`
	// Serial is the version of the peer's index.
	Serial    uint64 `json:"serial"`
	Threshold int    `json:"threshold"`
	// Handles name the slots that opened, in no order that means anything.
	Handles []string `json:"handles"`
	// Slots is the padded size of the peer's index.
	Slots int `json:"padded_slots"`
	// Evaluations is what the search counts as in the budget.
	Evaluations int64   `json:"evaluations"`
	Seconds     float64 `json:"seconds"`
}

// Searches is an open stream of searches. Its calls may overlap. Close it.
type Searches struct {
	n   *Node
	a   *Agreement
	req SearchRequest
	ctx context.Context // ends every stream

	opening sync.Mutex // held while a stream that was cut is opened again
	mu      sync.Mutex
	r       *requester
	k       *sealed.Asker
	before  [2]Traffic // of streams that were cut
}

// Stages of a search.
const (
	stageKeys      = "keys"
	stageSearching = "searching"
)

// OpenSearches opens a stream of searches and brings our keys for the peer's
// present epoch, where it has not got them.
func (n *Node) OpenSearches(ctx context.Context, req SearchRequest) (*Searches, error) {
	if req.User == nil {
		return nil, refuse(CodeApproval, "a search needs an operator")
	}
	if err := n.checkUser(req.User); err != nil {
		return nil, err
	}
	if err := checkAsker(req.User.Name(), req.Purpose, req.Case); err != nil {
		return nil, err
	}
	s := &Searches{n: n, req: req, ctx: ctx}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// open opens the stream and sees to it that the peer has our keys.
func (s *Searches) open() error {
	ctx := s.ctx
	r, err := s.n.openRequests(ctx, s.req.Agreement, psi.ModeSearch)
	if err != nil {
		return err
	}
	k, err := s.prepare(ctx, r)
	if err != nil {
		err = r.blame(err)
		if closed := r.close(); closed != nil && !errors.Is(closed, err) {
			err = errors.Join(err, closed)
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.a == nil { // the agreement stays what it is
		s.a = r.a
	}
	s.r, s.k = r, k
	return nil
}

// current returns the stream in use.
func (s *Searches) current() (*requester, *sealed.Asker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r, s.k
}

// reopen opens a new stream in the place of one that was cut, trying for as long
// as a handshake may take.
func (s *Searches) reopen(ctx context.Context, cut *requester) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if r, _ := s.current(); r != cut {
		return nil // another search has seen to it
	}
	_ = cut.close() // why it was cut is known
	sent, got := cut.l.traffic()
	s.mu.Lock()
	s.before[0].plus(sent)
	s.before[1].plus(got)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.n.Timeouts.Handshake)
	defer cancel()
	for {
		err := s.open()
		if err == nil || !cutOff(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(reopenPause):
		}
	}
}

// reopenPause is the time between tries to reach a peer again.
const reopenPause = time.Second

// cutOff reports whether an error is a connection that came to its end.
func cutOff(err error) bool {
	var e *Error
	return errors.Is(err, ErrUnreachable) || errors.As(err, &e) && e.Code == CodeCancelled && !e.request
}

// prepare makes or finds our keys and brings them.
func (s *Searches) prepare(ctx context.Context, r *requester) (*sealed.Asker, error) {
	epoch := r.granted.Epoch
	if epoch == 0 {
		return nil, &Error{Code: CodeNotPublished, Reason: "the peer has no index under this agreement yet", request: true}
	}
	s.progress(r, stageKeys, 0, 0)
	k, err := s.n.asker(ctx, r.a, epoch)
	if err != nil {
		return nil, err
	}
	return k, s.bringKeys(ctx, r, k)
}

// Close ends the stream, at which both sides show their logs' heads.
func (s *Searches) Close() error {
	r, _ := s.current()
	return r.close()
}

// Traffic returns what the stream has carried.
func (s *Searches) Traffic() (sent, got Traffic) {
	r, _ := s.current()
	sent, got = r.l.traffic()
	s.mu.Lock()
	defer s.mu.Unlock()
	sent.plus(s.before[0])
	got.plus(s.before[1])
	return sent, got
}

func (t *Traffic) plus(o Traffic) {
	t.Bytes += o.Bytes
	t.Frames += o.Frames
}

func (s *Searches) progress(r *requester, stage string, done, total int) {
	if s.req.Progress != nil {
		s.req.Progress(Progress{Stage: stage, Done: done, Total: total, Bytes: r.l.carried.Load()})
	}
}

// deriveAsker returns our keys for an epoch, from the stored seed or a new one.
// The seed is kept: with it an inspector can work out all that was asked.
func (n *Node) deriveAsker(a *Agreement, epoch uint32) (*sealed.Asker, error) {
	what := fmt.Sprintf("search-seed/%s/%d", a.Hex(), epoch)
	row, err := n.Store.SearchSeed(a.Hex(), epoch)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		k, err := n.storedAsker(a, row, what)
		if err == nil {
			return k, nil
		}
		// Such as one that was sealed under another identity: the peer takes new
		// keys in their place.
		n.Logger.Warn().Str("agreement", short(a.Hex())).Str("reason", err.Error()).Msg("the stored search keys do not open: new ones are made")
	}
	var seed [32]byte
	if _, err := io.ReadFull(n.Rand, seed[:]); err != nil {
		return nil, fmt.Errorf("drawing the seed of search keys: %w", err)
	}
	defer clear(seed[:])
	k, err := sealed.NewAsker(a.Search.Params(), a.scope(epoch), seed)
	if err != nil {
		return nil, err
	}
	id, commitment := k.KeysID(), k.Commitment()
	row = store.SearchSeed{Agreement: a.Hex(), Epoch: epoch, KeysID: id[:], Commitment: commitment[:], Created: n.Now()}
	if row.Seed, err = n.seal(seed[:], what); err != nil {
		return nil, err
	}
	e := audit.Entry{Event: eventSearchKeys, Role: string(psi.RoleReceiver), Mode: string(psi.ModeSearch), Epoch: epoch,
		Commitment: hexOf(commitment), Note: "keys " + hexOf(id)}
	return k, n.Store.Update(func(tx *store.Tx) error {
		if err := tx.PutSearchSeed(row); err != nil {
			return err
		}
		return n.append(tx, a, e)
	})
}

// storedAsker returns the keys of a stored seed.
func (n *Node) storedAsker(a *Agreement, row store.SearchSeed, what string) (*sealed.Asker, error) {
	seed, err := n.openSeed32(row.Seed, what)
	if err != nil {
		return nil, err
	}
	defer clear(seed[:])
	if len(row.KeysID) != sha256.Size {
		return nil, fmt.Errorf("the stored name of our keys has %d bytes, want %d", len(row.KeysID), sha256.Size)
	}
	return sealed.NewAskerFor(a.Search.Params(), a.scope(row.Epoch), seed, [32]byte(row.KeysID))
}

// keysPiece is how much of the keys goes in a frame.
const keysPiece = 960 << 10

// bringKeys sends what the peer has not got of our keys.
func (s *Searches) bringKeys(ctx context.Context, r *requester, k *sealed.Asker) error {
	id := k.KeysID()
	state, err := r.sendKeys(ctx, id, 0, nil)
	if err != nil || state.Complete {
		return err
	}
	msg := k.Keys()
	for err == nil && !state.Complete {
		at := state.Received
		if at >= uint64(len(msg)) {
			return refuse(CodeMessage, "the peer says it has %d bytes of keys of %d", at, len(msg))
		}
		s.progress(r, stageKeys, int(at), len(msg))
		state, err = r.sendKeys(ctx, id, at, msg[at:min(at+keysPiece, uint64(len(msg)))])
		if err == nil && state.Received <= at {
			return refuse(CodeMessage, "the peer takes no more than %d bytes of keys of %d", at, len(msg))
		}
	}
	return err
}

func (r *requester) sendKeys(ctx context.Context, id [32]byte, offset uint64, piece []byte) (*wirepb.SearchKeysAnswer, error) {
	f, err := r.call(ctx, r.l.timeouts.Round, func(number uint64) *wirepb.Frame {
		m := &wirepb.SearchKeys{Number: number, Epoch: r.granted.Epoch, Id: id[:], Offset: offset, Payload: piece}
		m.Signature = r.sign(searchKeysSigned(r.a.ID(), m))
		return &wirepb.Frame{Body: &wirepb.Frame_SearchKeys{SearchKeys: m}}
	})
	if err != nil {
		return nil, err
	}
	m := f.GetSearchKeysAnswer()
	if m == nil {
		return nil, refuse(CodeMessage, "the peer sent %s, want SearchKeysAnswer", frameName(f))
	}
	return m, nil
}
