package protocol

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
)

// Handle answers one stream of a peer. It returns when the stream has ended.
func (n *Node) Handle(ctx context.Context, conn Conn) {
	// The stream's own context ends with it; the session's must not, or an
	// Abort could not be sent any more.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stopClock := context.WithTimeoutCause(ctx, n.Timeouts.Session,
		refuse(CodeTimeout, "the session did not end within %s", n.Timeouts.Session))
	defer stopClock()
	l := newLink(ctx, conn, false, n.Timeouts)
	defer l.release()
	live, err := n.enter(cancel, "", true)
	if err != nil {
		l.close(err)
		return
	}
	defer n.leave(live)
	out, err := n.accept(ctx, l, live)
	l.close(err)
	n.report(conn.Peer(), live.handle, out, err)
}

// report logs how a stream ended, without anything of persons.
func (n *Node) report(peer *keys.PublicIdentity, handle string, out *Outcome, err error) {
	log := n.Logger.With().Str("peer", peer.Fingerprint().String()[:16]).Str("session", short(handle)).Logger()
	var pending *PendingError
	switch {
	case errors.As(err, &pending):
		log.Info().Msg("session waits for approval")
	case err != nil:
		code, _ := codeOf(err)
		log.Warn().Str("code", string(code)).Str("reason", err.Error()).Msg("session refused or aborted")
	case out == nil:
		log.Debug().Msg("stream of requests ended")
	default:
		log.Info().Str("mode", string(out.Mode)).Str("role", string(out.Role)).
			Int64("items", out.Items).Int64("peer_items", out.PeerItems).Int("shared_keys", out.Count).
			Int64("bytes_in", out.Got.Bytes).Int64("bytes_out", out.Sent.Bytes).Msg("session finished")
	}
}

func short(handle string) string {
	if len(handle) > 16 {
		return handle[:16]
	}
	return handle
}

// accept runs the acceptor's side of a stream.
func (n *Node) accept(ctx context.Context, l *link, live *liveSession) (*Outcome, error) {
	a, peer, err := n.answerHello(l, live)
	if err != nil {
		return nil, err
	}
	f, err := l.recv(l.timeouts.Handshake)
	if err != nil {
		return nil, err
	}
	if g := f.GetGrant(); g != nil {
		return nil, n.answerRequests(l, live, a, peer, g)
	}
	if err := n.admit(live, streamSession); err != nil {
		return nil, err
	}
	var row store.Session
	switch {
	case f.GetPropose() != nil:
		row, err = n.considerProposal(l, live, a, peer, f.GetPropose())
	case f.GetResume() != nil:
		row, err = n.considerResume(live, a, peer, f.GetResume())
	default:
		err = refuse(CodeMessage, "the peer sent %s, want Propose, Resume or Grant", frameName(f))
	}
	if err != nil {
		return nil, err
	}
	s, st, err := n.sessionOf(row, a, l.conn.Peer())
	if err != nil {
		return nil, err
	}
	if err := n.decide(l, s, st, &row, a); err != nil {
		return nil, err
	}
	src, err := n.Source(row.Agreement)
	if err != nil {
		return nil, n.failed(row.ID, a, refuse(CodeRefused, "%w", err))
	}
	in, err := n.loadInput(ctx, src, a, s.proposal.Mode)
	if err != nil {
		return nil, n.failed(row.ID, a, err)
	}
	return n.carry(l, s, in, row, a, nil)
}

// considerProposal checks a proposal and stores it as a session.
func (n *Node) considerProposal(l *link, live *liveSession, a *Agreement, peer store.Peer, m *wirepb.Propose) (store.Session, error) {
	row := store.Session{}
	p, err := parseProposal(m.Proposal)
	if err != nil {
		return row, refuse(CodeMessage, "%w", err)
	}
	handle := handleOf(m.Proposal)
	if err := n.claim(live, a.Hex(), hexOf(handle)); err != nil {
		return row, err
	}
	if err := n.checkProposal(l.conn.Peer(), a, p, handle, m); err != nil {
		return row, n.refused(a, peer, p, err)
	}
	// Refuse early what could not run anyway; the attempt itself charges.
	if err := n.checkSource(a); err != nil {
		return row, n.refused(a, peer, p, err)
	}
	nonce := make([]byte, 32)
	if _, err := io.ReadFull(n.Rand, nonce); err != nil {
		return row, err
	}
	peerNonce, err := hex.DecodeString(p.Nonce)
	if err != nil {
		return row, err
	}
	id := SessionID(a.ID(), peerNonce, nonce, l.conn.Binding())
	st := &storedSession{Proposal: m.Proposal, Signature: signatureOf(m.Signature), UserSignature: m.UserSignature,
		Approvals: m.Approvals, Session: id[:], Nonce: nonce}
	blob, err := st.marshal()
	if err != nil {
		return row, err
	}
	if known, err := n.Store.Session(hexOf(handle)); err == nil {
		return n.proposedAgain(known, peer, blob)
	}
	seed, err := newSeed(n.Rand)
	if err != nil {
		return row, err
	}
	sealed, err := n.sealSeed(seed, handle)
	if err != nil {
		return row, err
	}
	own, _ := a.PartyOf(n.Identity.Public())
	row = store.Session{
		ID: hexOf(handle), Agreement: p.Agreement, PeerRoot: peer.Root, Role: string(a.RoleOf(own, false)), Mode: string(p.Mode),
		State: store.SessionApproved, User: p.User, Purpose: p.Purpose, Case: p.Case, Proposal: blob,
		PeerSize: p.Items, SealedSeed: sealed, Created: n.Now(), RecordExpires: n.Now().Add(a.Retention()),
	}
	if a.Approval.wants(false) > 0 {
		row.State = store.SessionProposed
	}
	if err := n.checkPendings(a, peer); err != nil {
		return row, n.refused(a, peer, p, err)
	}
	return row, n.Store.Update(func(tx *store.Tx) error {
		if err := tx.CreateSession(row); err != nil {
			return err
		}
		return n.append(tx, a, entryOf(row, eventProposed))
	})
}

// proposedAgain takes a proposal that we have stored but whose decision the peer
// never received. No item was hashed with the session id of then, so the new
// channel's replaces it.
func (n *Node) proposedAgain(row store.Session, peer store.Peer, blob []byte) (store.Session, error) {
	open := []string{store.SessionProposed, store.SessionApproved}
	if row.Local || row.PeerRoot != peer.Root || row.Attempts > 0 || !slices.Contains(open, row.State) {
		return row, refuse(CodeRefused, "the peer proposes session %.16s a second time", row.ID)
	}
	row.Proposal = blob
	return row, n.Store.Update(func(tx *store.Tx) error {
		return tx.SetSessionState(row.ID, []string{row.State}, row.State, n.Now(), func(s *store.Session) { s.Proposal = blob })
	})
}

// checkPendings keeps a peer from filling the store with proposals that it never
// runs: they are limited like sessions.
func (n *Node) checkPendings(a *Agreement, peer store.Peer) error {
	rows, err := n.Store.Sessions(store.SessionFilter{PeerRoot: peer.Root, Since: n.Now().Add(-store.BudgetWindow)})
	if err != nil {
		return err
	}
	var proposed int64
	for _, row := range rows {
		if !row.Local {
			proposed++
		}
	}
	if proposed >= a.Caps.SessionsPerDay {
		return refuse(CodeBudget, "the peer has proposed %d sessions in 24 hours, the agreement allows %d", proposed, a.Caps.SessionsPerDay)
	}
	return nil
}

// checkProposal checks everything a proposal claims.
func (n *Node) checkProposal(peer *keys.PublicIdentity, a *Agreement, p *Proposal, handle [32]byte, m *wirepb.Propose) error {
	if p.Agreement != a.Hex() {
		return refuse(CodeMessage, "the proposal is for agreement %.16s, the stream for %.16s", p.Agreement, a.Hex())
	}
	if err := peer.Verify(domainProposal, handle[:], signatureOf(m.Signature)); err != nil {
		return refuse(CodeSignature, "the proposal's signature: %w", err)
	}
	userKey, err := hex.DecodeString(p.UserKey)
	if err == nil {
		err = keys.VerifyUser(userKey, domainProposal, handle[:], m.UserSignature)
	}
	if err != nil {
		return refuse(CodeSignature, "the proposing user's signature: %w", err)
	}
	if err := checkApprovals(a.Approval.wants(true), p.UserKey, handle, m.Approvals); err != nil {
		return refuse(CodeApproval, "the proposer's approvals: %w", err)
	}
	if !slices.Contains(a.SessionModes(), p.Mode) {
		return refuse(CodeNotPermitted, "mode %q is not in the agreement", p.Mode)
	}
	if p.Items > a.Caps.ItemsPerSession || p.Records > a.Caps.ItemsPerSession {
		return refuse(CodeBudget, "the peer proposes %d items and %d records, the agreement allows %d", p.Items, p.Records, a.Caps.ItemsPerSession)
	}
	at, err := time.Parse(time.RFC3339, p.Time)
	if err != nil {
		return refuse(CodeMessage, "%w", err)
	}
	// A proposal may have waited for its own side's approvals, so it may be old,
	// but not from the future.
	if at.After(n.Now().Add(a.ClockTolerance())) {
		return refuse(CodeClock, "the proposal is dated %s from now", at.Sub(n.Now()).Round(time.Second))
	}
	return nil
}

func (n *Node) checkSource(a *Agreement) error {
	src, err := n.Source(a.Hex())
	if err != nil {
		return refuse(CodeRefused, "%w", err)
	}
	if src.Compartment != a.Compartment {
		return refuse(CodeRefused, "source %s is of compartment %q, the agreement of %q", src.Records.Name(), src.Compartment, a.Compartment)
	}
	return nil
}

// considerResume finds the session that the peer wants to go on with.
func (n *Node) considerResume(live *liveSession, a *Agreement, peer store.Peer, m *wirepb.Resume) (store.Session, error) {
	rows, err := n.Store.Sessions(store.SessionFilter{Agreement: a.Hex(), PeerRoot: peer.Root})
	if err != nil {
		return store.Session{}, err
	}
	for _, row := range rows {
		st, _, err := parseStored(row.Proposal)
		if err != nil || row.Local || string(st.Session) != string(m.Session) {
			continue
		}
		if err := n.claim(live, row.Agreement, row.ID); err != nil {
			return row, err
		}
		switch row.State {
		case store.SessionProposed, store.SessionApproved, store.SessionAborted:
			return row, nil
		}
		return row, refuse(CodeUnknownSession, "session %.16s is %s", row.ID, row.State)
	}
	return store.Session{}, refuse(CodeUnknownSession, "the peer resumes a session that is unknown here")
}

// decide answers with the state of our approvals. It returns *PendingError after
// saying that one is missing.
func (n *Node) decide(l *link, s *session, st *storedSession, row *store.Session, a *Agreement) error {
	d := &wirepb.Decision{State: wirepb.Decision_STATE_ACCEPTED, Session: st.Session, Nonce: st.Nonce}
	err := n.ready(row, a)
	var pending *PendingError
	if errors.As(err, &pending) {
		d.State = wirepb.Decision_STATE_PENDING
	} else if err != nil {
		return err
	}
	if d.State == wirepb.Decision_STATE_ACCEPTED {
		var err error
		if d.Approvals, err = approvalsOf(n.Store.Reader, row.ID); err != nil {
			return err
		}
	}
	sig, err := n.Identity.Sign(domainDecision, decisionBytes(d, s.handle))
	if err != nil {
		return err
	}
	d.Signature = wireSignature(sig)
	if err := l.send(&wirepb.Frame{Body: &wirepb.Frame_Decision{Decision: d}}); err != nil {
		return err
	}
	if pending != nil {
		return pending
	}
	return nil
}

// refused logs a proposal that was not even stored.
func (n *Node) refused(a *Agreement, peer store.Peer, p *Proposal, cause error) error {
	code, _ := codeOf(cause)
	e := entryOf(store.Session{PeerRoot: peer.Root, Agreement: a.Hex(), Mode: string(p.Mode), User: p.User,
		Purpose: p.Purpose, Case: p.Case, PeerSize: p.Items}, eventRefused)
	e.Outcome = string(code)
	if err := n.Store.Update(func(tx *store.Tx) error { return n.append(tx, a, e) }); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}
