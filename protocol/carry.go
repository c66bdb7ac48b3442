package protocol

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
)

// Outcome is what an attempt that ended well gave this side.
type Outcome struct {
	Session   string   `json:"session"`
	Agreement string   `json:"agreement"`
	Peer      string   `json:"peer"`
	Mode      psi.Mode `json:"mode"`
	Role      psi.Role `json:"role"`
	Attempt   int      `json:"attempt"`
	// Items and PeerItems count match keys after padding, Keys our own before.
	Items     int64 `json:"items"`
	PeerItems int64 `json:"peer_items"`
	Keys      int   `json:"keys"`
	Records   int   `json:"records"`
	// Count is the number of shared match keys that this side learned of, or -1
	// where the mode tells it nothing.
	Count      int     `json:"shared_keys"`
	Hits       []Hit   `json:"hits"`
	Transcript string  `json:"transcript"`
	Signed     bool    `json:"signed_by_peer"`
	Sent       Traffic `json:"sent"`
	Got        Traffic `json:"received"`
	Seconds    float64 `json:"seconds"`
}

// Hit is one of our records that the peer knows too, by the rules named. It is
// a lead, not an identification.
type Hit struct {
	ID        string   `json:"id"`
	Rules     []string `json:"rules"`
	Reference string   `json:"peer_reference,omitempty"`
	Flags     []string `json:"flags,omitempty"`
	// Bits is the local agreement weight: how much more likely the shared keys
	// are for one person than for two, in log2, by how rare they are among the
	// local records. It orders hits for review and is no probability.
	Bits float64 `json:"bits,omitempty"`

	row int64 // the peer's record, -1 if unknown
}

// Flags of a hit.
const (
	// FlagCut: the key belongs to more of the peer's records than the agreement
	// opens labels for.
	FlagCut = "more-records-than-labels"
	// FlagBroken: the peer's label did not open; its reference is unknown.
	FlagBroken = "label-broken"
)

// storeGate stores and charges attempts.
type storeGate struct {
	n   *Node
	row *store.Session
	a   *Agreement
}

func (a *Agreement) limits() store.Limits {
	return store.Limits{
		ItemsPerSession: a.Caps.ItemsPerSession, ItemsPerDay: a.Caps.ItemsPerDay,
		SessionsPerDay: a.Caps.SessionsPerDay, MaxAttempts: MaxAttempts,
	}
}

func (g *storeGate) begin(attempt uint32, own int64, commitment [32]byte) (uint32, error) {
	var number int
	err := g.n.Store.Update(func(tx *store.Tx) error {
		var err error
		number, err = tx.BeginAttempt(g.row.ID, int(attempt), store.Charge{At: g.n.Now(), ItemsOut: own}, g.a.limits())
		if err != nil {
			return err
		}
		return tx.SetSessionState(g.row.ID, []string{store.SessionRunning}, store.SessionRunning, g.n.Now(), func(s *store.Session) {
			s.OwnSize, s.Commitment = own, commitment[:]
		})
	})
	if err == nil {
		g.row.Attempts, g.row.State, g.row.OwnSize, g.row.Commitment = number, store.SessionRunning, own, commitment[:]
	}
	return uint32(number), budgetError(err, g.n.Now())
}

func (g *storeGate) admit(peer int64, commitment [32]byte) error {
	err := g.n.Store.Update(func(tx *store.Tx) error {
		if err := tx.ChargeAttempt(g.row.ID, store.Charge{At: g.n.Now(), ItemsIn: peer}, g.a.limits()); err != nil {
			return err
		}
		return tx.SetSessionState(g.row.ID, []string{store.SessionRunning}, store.SessionRunning, g.n.Now(), func(s *store.Session) {
			s.PeerSize, s.PeerCommitment = peer, commitment[:]
		})
	})
	if err == nil {
		g.row.PeerSize, g.row.PeerCommitment = peer, commitment[:]
	}
	return budgetError(err, g.n.Now())
}

// finished opens what earlier attempts have kept.
func (g *storeGate) finished() ([]shardState, error) {
	rows, err := g.n.Store.Shards(g.row.ID)
	if err != nil {
		return nil, err
	}
	states := make([]shardState, len(rows))
	for i, sealed := range rows {
		raw, err := g.n.open(sealed, shardName(g.row.ID, i))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &states[i]); err != nil {
			return nil, fmt.Errorf("stored shard %d: %w", i, err)
		}
	}
	return states, nil
}

func (g *storeGate) keep(shard int, state shardState) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	sealed, err := g.n.seal(raw, shardName(g.row.ID, shard))
	if err != nil {
		return err
	}
	return g.n.Store.Update(func(tx *store.Tx) error { return tx.PutShard(g.row.ID, shard, sealed) })
}

func shardName(session string, shard int) string { return fmt.Sprintf("shard/%s/%d", session, shard) }

// budgetError gives the store's refusals their codes.
func budgetError(err error, now time.Time) error {
	var over *store.OverBudgetError
	switch {
	case errors.As(err, &over):
		e := refuse(CodeBudget, "%w", over)
		if over.RetryAfter > 0 {
			e.RetryAfter = now.Add(over.RetryAfter)
		}
		return e
	case errors.Is(err, store.ErrTooManyAttempts):
		return refuse(CodeAttempts, "%w", err)
	case errors.Is(err, store.ErrClock):
		return refuse(CodeClock, "%w", err)
	}
	return err
}

// carry runs an accepted session from Start to the exchange of log heads.
func (n *Node) carry(l *link, s *session, in *input, row store.Session, a *Agreement, progress func(Progress)) (*Outcome, error) {
	began := n.Now()
	g := &storeGate{n: n, row: &row, a: a}
	o := psi.Options{Workers: n.Workers}
	if progress != nil {
		o.Progress = func(stage string, done, total int) { progress(Progress{stage, done, total, l.carried.Load()}) }
	}
	r, err := s.run(l, in, g, o)
	if err != nil {
		return nil, n.failed(row.ID, a, l.cause(err))
	}
	// The acceptor stores its result once the proposer has signed, and only then
	// signs, so that a proposer never holds a signature over a result that the
	// acceptor has lost.
	signed := true
	if s.proposes {
		if err := s.sendFinish(l, n.Identity, r); err != nil {
			return nil, n.failed(row.ID, a, err)
		}
		if err := s.recvFinish(l, r); err != nil {
			if !wasCut(err) {
				return nil, n.failed(row.ID, a, err)
			}
			// The result is complete; the peer has it too or has lost only its
			// own. What is missing is its signature, and the log says so.
			signed = false
		}
	} else if err := s.recvFinish(l, r); err != nil {
		return nil, n.failed(row.ID, a, err)
	}
	out := outcomeOf(s, in, r, &row, a)
	out.Signed, out.Seconds = signed, n.Now().Sub(began).Seconds()
	if p, err := n.Store.PeerByRoot(row.PeerRoot); err == nil {
		out.Peer = p.Name
	}
	if err := n.finish(row, a, r, out); err != nil {
		return nil, n.failed(row.ID, a, err)
	}
	n.observe(s, r, "finished", out.Seconds)
	if !s.proposes {
		if err := s.sendFinish(l, n.Identity, r); err != nil {
			return out, nil // stored and logged: the peer may ask again
		}
	}
	if signed {
		if err := n.exchangeHeads(l, a); err != nil {
			n.Logger.Warn().Str("session", short(row.ID)).Str("reason", err.Error()).Msg("log heads not exchanged after the session")
		}
	}
	return out, nil
}

// wasCut reports whether err means that the peer is gone rather than that it
// said something wrong.
func wasCut(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Code == CodeCancelled && !errors.Is(err, errClosing) || e.Code == CodeTimeout
	}
	return errors.Is(err, context.Canceled)
}

func (n *Node) observe(s *session, r *attemptResult, outcome string, seconds float64) {
	if n.Observe != nil {
		n.Observe(Event{Mode: s.proposal.Mode, Role: s.role, Outcome: outcome, Items: r.items, PeerItems: r.peerItems,
			Sent: r.sent, Got: r.got, Duration: time.Duration(seconds * float64(time.Second))})
	}
}

// outcomeOf turns hits on keys into hits on records: one row for each pair of a
// record of ours and a reference of the peer's.
func outcomeOf(s *session, in *input, r *attemptResult, row *store.Session, a *Agreement) *Outcome {
	out := &Outcome{
		Session: row.ID, Agreement: row.Agreement, Mode: s.proposal.Mode, Role: s.role, Attempt: int(r.attempt),
		Items: r.items, PeerItems: r.peerItems, Keys: in.index.Len(), Records: in.index.Records(),
		Count: r.count, Transcript: hexOf(r.transcript), Sent: r.sent, Got: r.got, Hits: []Hit{},
	}
	type pair struct {
		record uint32
		row    int64 // of the peer's label, -1 without one
	}
	at := map[pair]int{}
	var owners []uint32
	var keys [][]int
	for _, h := range r.hits {
		rule := in.index.Key(h.key).Rule
		owners = in.index.RecordsOf(owners[:0], h.key)
		labels := h.labels.Labels
		for _, record := range owners {
			for l := range max(1, len(labels)) {
				p := pair{record, -1}
				var reference string
				if len(labels) > 0 {
					p.row, reference = int64(labels[l].Row), string(labels[l].Label)
				}
				i, ok := at[p]
				if !ok {
					i = len(out.Hits)
					at[p] = i
					out.Hits = append(out.Hits, Hit{ID: in.index.ID(record), Reference: reference, row: p.row})
					keys = append(keys, nil)
				}
				keys[i] = append(keys[i], h.key)
				out.Hits[i].add(rule, h.labels)
			}
		}
	}
	if len(out.Hits) > 0 {
		scorer := records.NewScorer(in.index)
		for i := range out.Hits {
			out.Hits[i].Bits = math.Round(10*scorer.Hit(keys[i]).Bits) / 10
		}
	}
	slices.SortFunc(out.Hits, func(x, y Hit) int {
		return cmp.Or(strings.Compare(x.ID, y.ID), strings.Compare(x.Reference, y.Reference), cmp.Compare(x.row, y.row))
	})
	return out
}

// add notes a further key by which the hit was found.
func (h *Hit) add(rule string, l psi.HitLabels) {
	if !slices.Contains(h.Rules, rule) {
		h.Rules = append(h.Rules, rule)
	}
	if l.More && !slices.Contains(h.Flags, FlagCut) {
		h.Flags = append(h.Flags, FlagCut)
	}
	if l.Broken && !slices.Contains(h.Flags, FlagBroken) {
		h.Flags = append(h.Flags, FlagBroken)
	}
}

// finish stores the result and the log entry in one transaction.
func (n *Node) finish(row store.Session, a *Agreement, r *attemptResult, out *Outcome) error {
	outcome := "finished"
	if !out.Signed {
		outcome = "finished-unsigned"
	}
	hits := make([]store.Hit, len(out.Hits))
	for i, h := range out.Hits {
		hits[i] = store.Hit{LocalID: h.ID, Rules: h.Rules, Flags: h.Flags, Bits: h.Bits}
		if h.Reference != "" {
			hits[i].PeerReference = []byte(h.Reference)
		}
	}
	f := store.Finish{At: n.Now(), Outcome: outcome, TranscriptHash: r.transcript[:], Count: int64(r.count),
		ResultsExpire: n.Now().Add(a.Retention())}
	return n.Store.Update(func(tx *store.Tx) error {
		if err := tx.FinishSession(row.ID, f, hits); err != nil {
			return err
		}
		e := entryOf(row, eventFinished)
		e.Outcome, e.Transcript, e.Attempts = outcome, out.Transcript, int(r.attempt)
		e.OwnItems, e.PeerItems = &r.items, &r.peerItems
		if r.count >= 0 {
			hits := int64(r.count)
			e.Hits = &hits
		}
		e.Commitment, e.PeerCommitment = hexOf(r.commitment), hexOf(r.peerCommitment)
		for _, h := range out.Hits {
			e.References = append(e.References, h.ID)
		}
		e.References = slices.Compact(e.References)
		return n.append(tx, a, e)
	})
}

// failed records why a session stopped, as far as the store still can, and
// returns the cause.
func (n *Node) failed(handle string, a *Agreement, cause error) error {
	var pending *PendingError
	if errors.As(cause, &pending) {
		return cause
	}
	code, _ := codeOf(cause)
	err := n.Store.Update(func(tx *store.Tx) error {
		row, err := tx.Session(handle)
		if err != nil {
			return err
		}
		if row.State == store.SessionRunning {
			err = tx.SetSessionState(handle, []string{store.SessionRunning}, store.SessionAborted, n.Now(), func(s *store.Session) {
				s.Outcome, s.Detail = string(code), cause.Error()
			})
			if err != nil {
				return err
			}
		}
		e := entryOf(row, eventAborted)
		e.Outcome = string(code)
		return n.append(tx, a, e)
	})
	if n.Observe != nil {
		n.Observe(Event{Outcome: string(code)})
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	return cause
}
