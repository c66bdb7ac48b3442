package protocol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed"
)

// Forms returns how many name forms of a record can be looked for, each in a
// search of its own.
func (s *Searches) Forms(r *records.Record) (int, error) {
	forms, err := s.forms(r)
	return len(forms), err
}

func (s *Searches) forms(r *records.Record) ([]sketch.Form, error) {
	open, _ := s.current()
	k, err := s.a.Sketcher(open.granted.Epoch, sketch.Query)
	if err != nil {
		return nil, err
	}
	return k.Append(nil, r), nil
}

// pendingSearch is a search that is stored and charged to us; it may be sent
// again, on another stream too, until it is answered.
type pendingSearch struct {
	id    [searchIDSize]byte
	epoch uint32
	query *sealed.Query
	entry audit.Entry
	local string
	at    int // threshold
}

// begin makes the query and stores it before it is sent.
func (s *Searches) begin(q SearchQuery) (*pendingSearch, error) {
	n, a := s.n, s.a
	open, k := s.current()
	least := a.Search.Threshold
	switch {
	case q.Threshold == 0:
		q.Threshold = least
	case q.Threshold < least || q.Threshold > a.Search.Groups:
		return nil, refuse(CodeNotPermitted, "threshold %d is outside [%d, %d], which the agreement allows", q.Threshold, least, a.Search.Groups)
	}
	forms, err := s.forms(q.Record)
	if err != nil {
		return nil, err
	}
	if q.Form < 0 || q.Form >= len(forms) {
		return nil, refuse(CodeInput, "the record has %d name forms to look for, there is none with number %d", len(forms), q.Form)
	}
	p := &pendingSearch{epoch: open.granted.Epoch, local: q.Record.ID, at: q.Threshold}
	if _, err := io.ReadFull(n.Rand, p.id[:]); err != nil {
		return nil, fmt.Errorf("drawing a search's name: %w", err)
	}
	now, count, commitment := n.Now(), a.Search.Evaluations, k.Commitment()
	row := store.Search{ID: hex.EncodeToString(p.id[:]), Agreement: a.Hex(), Epoch: p.epoch, Serial: open.granted.Serial, Local: true,
		Threshold: q.Threshold, User: s.req.User.Name(), Purpose: s.req.Purpose, Case: s.req.Case, LocalID: p.local,
		Created: now, Expires: now.Add(a.Retention())}
	p.entry = auditOf(eventAsked, s.req.User)
	p.entry.Role, p.entry.Mode, p.entry.Purpose, p.entry.Case = string(psi.RoleReceiver), string(psi.ModeSearch), s.req.Purpose, s.req.Case
	p.entry.Session, p.entry.Epoch, p.entry.References, p.entry.OwnItems = row.ID, p.epoch, []string{p.local}, &count
	err = n.Store.Update(func(tx *store.Tx) (err error) {
		p.entry.Number, err = tx.NextSearchQuery(a.Hex(), p.epoch)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.query, err = k.QueryAt(p.entry.Number, forms[q.Form].Symbols, q.Threshold); err != nil {
		return nil, err
	}
	name := p.query.ID()
	row.Query, p.entry.Commitment, p.entry.Note = name[:], hexOf(name), "seed "+hexOf(commitment)
	return p, n.Store.Batch(func(tx *store.Tx) error {
		if err := tx.BookEvaluations(open.peer.Root, a.Hex(), store.Charge{At: now, ItemsOut: count}, a.searchLimits()); err != nil {
			return err
		}
		if err := tx.AddSearch(row); err != nil {
			return err
		}
		return n.append(tx, a, p.entry)
	})
}

// Search looks for one person. The answer is handles of the peer's records that
// resemble the query, or none. A search that is cut off, such as by a restart of
// the peer's node, is sent again, and is charged once.
func (s *Searches) Search(ctx context.Context, q SearchQuery) (*SearchResult, error) {
	p, err := s.begin(q)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		r, k := s.current()
		out, err := s.run(ctx, r, k, p)
		if err == nil || !cutOff(err) || ctx.Err() != nil || attempt == maxSearchAttempts {
			return out, err
		}
		if again := s.reopen(ctx, r); again != nil {
			return nil, errors.Join(err, again)
		}
	}
}

// run sends a search and gathers its answer.
func (s *Searches) run(ctx context.Context, r *requester, k *sealed.Asker, p *pendingSearch) (*SearchResult, error) {
	began := time.Now()
	answer, slots, blocks, err := s.exchange(ctx, r, k, p)
	if err != nil {
		return nil, s.ended(p, store.SearchFailed, nil, r.blame(err))
	}
	id := hex.EncodeToString(p.id[:])
	out := &SearchResult{ID: id, Local: p.local, Epoch: p.epoch, Serial: uint64(answer.Serial), Threshold: p.at, Handles: HandleNames(id, slots),
		Slots: blocks * sealed.BlockSlots, Evaluations: s.a.Search.Evaluations, Seconds: time.Since(began).Seconds()}
	return out, s.ended(p, store.SearchAnswered, slots, nil)
}

// ended stores and logs how a search has ended.
func (s *Searches) ended(p *pendingSearch, state string, slots []uint32, cause error) error {
	n := s.n
	e := p.entry
	e.Event, e.Note, e.OwnItems = eventAnswered, "", nil
	if cause != nil {
		code, _ := codeOf(cause)
		e.Outcome = string(code)
	} else {
		hits := int64(len(slots))
		e.Hits = &hits
	}
	err := n.Store.Batch(func(tx *store.Tx) error {
		if err := tx.EndSearch(e.Session, state, slots, n.Now()); err != nil {
			return err
		}
		return n.append(tx, s.a, e)
	})
	return errors.Join(cause, err)
}

// exchange sends a search and gathers the answers of all blocks.
func (s *Searches) exchange(ctx context.Context, r *requester, k *sealed.Asker, p *pendingSearch) (*wirepb.SearchAnswer, []uint32, int, error) {
	if p.epoch != r.granted.Epoch {
		return nil, nil, 0, refuse(CodeEpoch, "the peer's index is of epoch %d now, the search was made for %d", r.granted.Epoch, p.epoch)
	}
	in := make(chan []byte, s.a.Search.maxBlocks())
	keysID := k.KeysID()
	number, answer, err := r.ask(func(number uint64) *wirepb.Frame {
		m := &wirepb.SearchRequest{Number: number, Epoch: p.epoch, Search: p.id[:], Keys: keysID[:],
			User: s.req.User.Name(), Purpose: s.req.Purpose, Case: s.req.Case, Query: p.query.Message()}
		m.Signature = r.sign(searchSigned(r.a.ID(), m))
		r.expectBlocks(number, in)
		return &wirepb.Frame{Body: &wirepb.Frame_SearchRequest{SearchRequest: m}}
	})
	if err != nil {
		return nil, nil, 0, err
	}
	defer r.expectBlocks(number, nil)
	c := k.Collect(p.query.ID())
	deadline := time.NewTimer(r.l.timeouts.Round)
	defer deadline.Stop()
	for {
		var final *wirepb.Frame
		select {
		case msg := <-in:
			if err := s.collect(r, c, msg); err != nil {
				return nil, nil, 0, err
			}
			deadline.Reset(r.l.timeouts.Round)
			continue
		case final = <-answer:
		case <-r.ended:
			return nil, nil, 0, r.failure()
		case <-ctx.Done():
			return nil, nil, 0, r.cancelSearch(ctx, number, answer)
		case <-deadline.C:
			return nil, nil, 0, r.fail(refuse(CodeTimeout, "the peer sent nothing of the search for %s", r.l.timeouts.Round))
		}
		if m := final.GetRefusal(); m != nil {
			return nil, nil, 0, refusalError(m)
		}
		m := final.GetSearchAnswer()
		if m == nil {
			return nil, nil, 0, refuse(CodeMessage, "the peer sent %s, want SearchAnswer", frameName(final))
		}
		for len(in) > 0 { // all were routed before the answer
			if err := s.collect(r, c, <-in); err != nil {
				return nil, nil, 0, err
			}
		}
		slots, err := c.Slots()
		done, _ := c.Progress()
		if err != nil || done != int(m.Blocks) {
			return nil, nil, 0, refuse(CodeMessage, "the peer ended the search after %d blocks, and says %d", done, m.Blocks)
		}
		return m, slots, done, nil
	}
}

// collect takes the answer of one block.
func (s *Searches) collect(r *requester, c *sealed.Collector, msg []byte) error {
	if err := c.Add(msg); err != nil {
		return refuse(CodeMessage, "%w", err)
	}
	done, blocks := c.Progress()
	if most := s.a.Search.maxBlocks(); blocks > most {
		return refuse(CodeMessage, "the peer's index has %d blocks, the agreement allows %d", blocks, most)
	}
	s.progress(r, stageSearching, done, blocks)
	return nil
}

// cancelSearch gives a search up and tells the peer, whose refusal of it leaves the
// stream usable.
func (r *requester) cancelSearch(ctx context.Context, number uint64, answer <-chan *wirepb.Frame) error {
	cause := context.Cause(ctx)
	_, _, err := r.ask(func(own uint64) *wirepb.Frame {
		return &wirepb.Frame{Body: &wirepb.Frame_SearchCancel{SearchCancel: &wirepb.SearchCancel{Number: own, Request: number}}}
	})
	if err != nil {
		return cause
	}
	patience := time.NewTimer(r.l.timeouts.Close)
	defer patience.Stop()
	select {
	case <-answer:
		return &Error{Code: CodeCancelled, Reason: "the search was given up: " + cause.Error(), request: true, err: cause}
	case <-r.ended:
	case <-patience.C:
	}
	return r.fail(cause)
}

// expectBlocks lets the answers of a search's blocks through to it; nil ends
// that.
func (r *requester) expectBlocks(number uint64, to chan []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blocks == nil {
		r.blocks = map[uint64]chan []byte{}
	}
	if to == nil {
		r.blocks[number] = nil // what is still under way falls to the ground
		return
	}
	r.blocks[number] = to
}

// routeBlock hands a block's answer to its search.
func (r *requester) routeBlock(m *wirepb.SearchBlock) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	to, known := r.blocks[m.Number]
	switch {
	case !known:
		return refuse(CodeMessage, "the peer answers a search that was not made")
	case to == nil:
		return nil
	}
	select {
	case to <- m.Answer:
		return nil
	default:
		return refuse(CodeMessage, "the peer answers for more blocks than the agreement allows")
	}
}
