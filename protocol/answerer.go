package protocol

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// requestIdle is how long a stream of requests may go without one.
const requestIdle = 10 * time.Minute

// answerer is the owner's side of a stream under a grant.
type answerer struct {
	grantStream
	peer     store.Peer
	key      ed25519.PublicKey
	limits   store.EvaluationLimits
	requests sync.WaitGroup
	ending   sync.WaitGroup
	slots    chan struct{}
	last     uint64 // number of the last request
	declared int    // requests about standing lookups

	// The rest is guarded by mu of grantStream: what the peer fetches, what was
	// refused.
	serving *lookup.Publication
	refused map[Code]*refusals
	// searches cancels those under way, by the number of their request.
	searches map[uint64]context.CancelCauseFunc
	// over is when a request for at least so many evaluations need not be looked
	// at before.
	over struct {
		until time.Time
		count int64
	}
}

// refusals counts what a stream was refused with one code.
type refusals struct {
	requests    int
	evaluations int64
}

// request is one request that a peer has made: what answers it may take its
// time and runs beside others.
type request struct {
	number uint64
	answer func() (*wirepb.Frame, error)
	// mode and evaluations are what metrics count; empty where nothing is asked
	// about anybody.
	mode        psi.Mode
	evaluations int64
}

// refusal is an error that ends only a request.
type refusal struct{ why *Error }

func (r refusal) Error() string { return r.why.Error() }
func (r refusal) Unwrap() error { return r.why }

// refuseRequest is refuse for a request on a stream that goes on.
func refuseRequest(code Code, format string, args ...any) refusal {
	return refusal{refuse(code, format, args...)}
}

var errRequestsDone = errors.New("the peer is done")

// answerRequests runs the owner's side of a stream under a grant, after the
// opening.
func (n *Node) answerRequests(l *link, live *liveSession, a *Agreement, peer store.Peer, m *wirepb.Grant) error {
	mode := psi.Mode(m.Mode)
	s := &answerer{peer: peer, slots: make(chan struct{}, maxInFlight), refused: map[Code]*refusals{}}
	s.grantStream = grantStream{n: n, l: l, a: a, began: n.Now()}
	var err error
	if s.key, err = verifyGrant(l, a, m); err != nil {
		return err
	}
	if err := n.mayAsk(a, mode); err != nil {
		return n.notGranted(a, peer, mode, err)
	}
	if err := n.admit(live, streamRequests); err != nil {
		return n.notGranted(a, peer, mode, err)
	}
	s.limits = a.limitsOf(mode)
	n.lookups.headsSeen(a.Hex(), n.Now())
	granted, err := n.granted(a, mode)
	if err != nil {
		return err
	}
	e := s.entry(eventOpened)
	e.Mode, e.Key, e.Signature, e.Transcript = m.Mode, m.Key, signatureOf(m.Signature).Bytes(), hex.EncodeToString(l.conn.Binding())
	if err := n.Store.Batch(func(tx *store.Tx) error { return n.append(tx, a, e) }); err != nil {
		return err
	}
	if err := l.send(&wirepb.Frame{Body: &wirepb.Frame_Granted{Granted: granted}}); err != nil {
		return err
	}
	err = s.serve(mode)
	if errors.Is(err, errRequestsDone) {
		err = nil
	}
	l.cancel(err) // what still runs for a peer that is gone
	s.requests.Wait()
	s.ending.Wait()
	s.sees.Wait()
	s.shows.Wait()
	return errors.Join(err, s.logRefused(mode), s.stopServing())
}

// mayAsk reports why the peer may not ask under the agreement.
func (n *Node) mayAsk(a *Agreement, mode psi.Mode) error {
	own, ok := a.PartyOf(n.Identity.Public())
	switch {
	case !ok:
		return refuse(CodeAgreement, "this node is no party to agreement %.16s", a.Hex())
	case !isImmediate(mode) || !a.Allows(mode):
		return refuse(CodeNotPermitted, "mode %q is not in the agreement", mode)
	case !a.MayAsk(a.Other(own)):
		return refuse(CodeNotPermitted, "by the agreement, the peer may not ask")
	}
	return nil
}

// notGranted logs a stream that was refused.
func (n *Node) notGranted(a *Agreement, peer store.Peer, mode psi.Mode, cause error) error {
	code, _ := codeOf(cause)
	e := audit.Entry{Event: eventRefused, Peer: peer.Root, Mode: string(mode), Outcome: string(code)}
	return errors.Join(cause, n.Store.Batch(func(tx *store.Tx) error { return n.append(tx, a, e) }))
}

// entry starts a log entry about the stream.
func (s *answerer) entry(event string) audit.Entry {
	return audit.Entry{Event: event, Peer: s.peer.Root, Role: string(psi.RoleSender)}
}

// serve answers requests until the stream ends or the peer is done, which is
// errRequestsDone.
func (s *answerer) serve(mode psi.Mode) error {
	done := false
	for {
		f, err := s.l.recv(requestIdle)
		if err != nil {
			return err
		}
		if taken, err := s.routeHeads(f); taken || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if done {
			return refuse(CodeMessage, "the peer sent %s after Done", frameName(f))
		}
		if f.GetDone() != nil {
			done = true
			s.ending.Go(s.end) // beside us, who must go on routing
			continue
		}
		r, err := s.read(mode, f)
		if err != nil {
			return err
		}
		select {
		case s.slots <- struct{}{}:
		case <-s.l.ctx.Done():
			return s.l.cause(s.l.ctx.Err())
		}
		s.requests.Go(func() {
			defer func() { <-s.slots }()
			s.answer(r)
		})
	}
}

// end waits for what is under way and asks for the peer's log head a last time.
func (s *answerer) end() {
	s.requests.Wait()
	s.sees.Wait()
	err := s.seeHeads()
	if err == nil {
		err = errRequestsDone
	}
	s.l.cancel(err)
}

// read checks the form and the signature of a request.
func (s *answerer) read(mode psi.Mode, f *wirepb.Frame) (*request, error) {
	r, err := s.requestOf(mode, f)
	if err != nil {
		return nil, err
	}
	if r.number <= s.last {
		return nil, refuse(CodeMessage, "the peer's request %d came after %d", r.number, s.last)
	}
	s.last = r.number
	return r, nil
}

// answer sends the answer to a request, or its refusal. Any other error ends the
// stream.
func (s *answerer) answer(r *request) {
	began := time.Now()
	f, err := r.answer()
	s.observe(r, err, time.Since(began))
	var no refusal
	if errors.As(err, &no) {
		m := &wirepb.Refusal{Number: r.number, Code: string(no.why.Code)}
		if !no.why.RetryAfter.IsZero() {
			m.RetryAfterUnixSeconds = ceilSeconds(no.why.RetryAfter)
		}
		f, err = &wirepb.Frame{Body: &wirepb.Frame_Refusal{Refusal: m}}, nil
	}
	if err == nil {
		err = s.l.send(f)
	}
	if err != nil {
		s.l.cancel(err)
		return
	}
	s.keepHeads()
}

// Outcome of a request that was answered, for metrics.
const outcomeAnswered = "answered"

// observe tells metrics of a request.
func (s *answerer) observe(r *request, err error, took time.Duration) {
	if s.n.Observe == nil || r.mode == "" {
		return
	}
	e := Event{Request: true, Mode: r.mode, Role: psi.RoleSender, Outcome: outcomeAnswered, PeerItems: r.evaluations, Duration: took}
	if err != nil {
		code, _ := codeOf(err)
		e.Outcome, e.PeerItems = string(code), 0
	}
	s.n.Observe(e)
}

// ceilSeconds rounds up: who comes back then must not be too early.
func ceilSeconds(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

// verify checks the signature of a request by the key of the grant.
func (s *answerer) verify(signed, signature []byte) error {
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(s.key, signed, signature) {
		return refuse(CodeSignature, "the request's signature is not the granted key's")
	}
	return nil
}

// book books evaluations and logs the request in one transaction with what else is
// to be stored, before anything is evaluated.
func (s *answerer) book(e audit.Entry, count int64, also func(tx *store.Tx) error) error {
	if err := s.overAlready(count, s.n.Now()); err != nil {
		return s.refusedBudget(e, count, err)
	}
	err := s.bookAt(e, count, s.limits, func(tx *store.Tx) (int64, error) { return count, also(tx) })
	s.rememberOver(err, count)
	return err
}

// bookAt is book for as many of the evaluations asked for as price says.
func (s *answerer) bookAt(e audit.Entry, asked int64, limits store.EvaluationLimits, price func(tx *store.Tx) (int64, error)) error {
	now := s.n.Now()
	err := s.n.Store.Batch(func(tx *store.Tx) error {
		count, err := price(tx)
		if err != nil {
			return err
		}
		if err := tx.BookEvaluations(s.peer.Root, s.a.Hex(), store.Charge{At: now, ItemsIn: count}, limits); err != nil {
			return err
		}
		if e.PeerItems == nil {
			e.PeerItems = &asked
		}
		return s.n.append(tx, s.a, e)
	})
	err = budgetError(err, now)
	var over *Error
	if errors.As(err, &over) && over.Code == CodeBudget {
		return s.refusedBudget(e, asked, refusal{over})
	}
	if errors.Is(err, store.ErrState) {
		return refuse(CodeNotInForce, "%w", err)
	}
	return err
}

// rememberOver keeps what a refusal for the budget has decided.
func (s *answerer) rememberOver(err error, count int64) {
	var no refusal
	if errors.As(err, &no) && no.why.Code == CodeBudget {
		s.mu.Lock()
		s.over.until, s.over.count = no.why.RetryAfter, count
		s.mu.Unlock()
	}
}

// overAlready refuses what an earlier refusal has already decided: time alone
// frees budget.
func (s *answerer) overAlready(count int64, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.count == 0 || count < s.over.count || !now.Before(s.over.until) {
		return nil
	}
	no := refuseRequest(CodeBudget, "the budget has room again at %s", s.over.until.UTC().Format(time.RFC3339))
	no.why.RetryAfter = s.over.until
	return no
}

// refusedBudget logs the first refusal of a stream; the rest is counted and
// logged at its end, so that a peer can't fill the log with them.
func (s *answerer) refusedBudget(e audit.Entry, count int64, cause error) error {
	code, _ := codeOf(cause)
	s.mu.Lock()
	r := s.refused[code]
	first := r == nil
	if first {
		r = &refusals{}
		s.refused[code] = r
	} else {
		r.requests++
		r.evaluations += count
	}
	s.mu.Unlock()
	if !first {
		return cause
	}
	e.Event, e.Outcome, e.PeerItems = eventRefused, string(code), &count
	if err := s.n.Store.Batch(func(tx *store.Tx) error { return s.n.append(tx, s.a, e) }); err != nil {
		return err
	}
	return cause
}

// logRefused logs what was refused on the stream beyond the first of a kind.
func (s *answerer) logRefused(mode psi.Mode) error {
	for code, r := range s.refused {
		if r.requests == 0 {
			continue
		}
		e := s.entry(eventRefused)
		e.Mode, e.Outcome, e.PeerItems = string(mode), string(code), &r.evaluations
		e.Note = fmt.Sprintf("%d more requests of one stream", r.requests)
		if err := s.n.Store.Batch(func(tx *store.Tx) error { return s.n.append(tx, s.a, e) }); err != nil {
			return err
		}
	}
	return nil
}
