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
	"github.com/symbolon/symbolon/psi"
)

// Request asks for a new session.
type Request struct {
	Agreement string // id
	Mode      psi.Mode
	User      *keys.User // unlocked
	Purpose   string
	Case      string
	Source    Source
	Progress  func(Progress)
}

// Progress is how far a session is: in a stage, so many of so many items (0 if
// that is unknown), with so many bytes on the wire in both directions so far.
type Progress struct {
	Stage       string
	Done, Total int
	Bytes       int64
}

// Propose checks a request against the agreement, loads its records and stores
// a new session. It returns the session's handle; Run runs it.
func (n *Node) Propose(ctx context.Context, req Request) (string, error) {
	a, peer, err := n.inForce(req.Agreement)
	if err != nil {
		return "", err
	}
	if modes := a.SessionModes(); !slices.Contains(modes, req.Mode) {
		return "", refuse(CodeNotPermitted, "mode %q is not in the agreement, which allows %v", req.Mode, modes)
	}
	if err := n.checkUser(req.User); err != nil {
		return "", err
	}
	if req.Progress != nil {
		req.Progress(Progress{Stage: stageReading})
	}
	in, err := n.loadInput(ctx, req.Source, a, req.Mode)
	if err != nil {
		return "", err
	}
	// What is over the budget already need not be asked for.
	err = n.Store.Update(func(tx *store.Tx) error {
		return tx.CheckBudget(peer.Root, store.Charge{At: n.Now(), ItemsOut: in.items}, a.limits())
	})
	if err != nil {
		return "", budgetError(err, n.Now())
	}
	own, _ := a.PartyOf(n.Identity.Public())
	role := a.RoleOf(own, true)
	p := &Proposal{
		Version: 1, Agreement: req.Agreement, Mode: req.Mode, Items: in.items,
		Purpose: req.Purpose, Case: req.Case, User: req.User.Name(), UserKey: hex.EncodeToString(req.User.PublicKey()),
		Time: n.Now().UTC().Format(time.RFC3339),
	}
	if role == psi.RoleSender {
		p.Records = in.labels
	}
	return n.storeProposal(a, peer, p, role, req)
}

// checkUser refuses an operator that the node does not know or has revoked.
func (n *Node) checkUser(u *keys.User) error {
	row, err := n.Store.UserByKey(u.PublicKey())
	if errors.Is(err, store.ErrNotFound) {
		return refuse(CodeApproval, "user %q is not registered at this node", u.Name())
	}
	if err != nil {
		return err
	}
	if row.Status != store.StatusActive {
		return refuse(CodeApproval, "user %q is %s", row.Name, row.Status)
	}
	return nil
}

func (n *Node) storeProposal(a *Agreement, peer store.Peer, p *Proposal, role psi.Role, req Request) (string, error) {
	nonce := make([]byte, 32)
	if _, err := io.ReadFull(n.Rand, nonce); err != nil {
		return "", err
	}
	p.Nonce = hex.EncodeToString(nonce)
	raw, err := p.Bytes()
	if err != nil {
		return "", err
	}
	if _, err := parseProposal(raw); err != nil { // as the peer will
		return "", refuse(CodeRefused, "%w", err)
	}
	handle := handleOf(raw)
	st := &storedSession{Proposal: raw, UserSignature: req.User.Sign(domainProposal, handle[:])}
	if st.Signature, err = n.Identity.Sign(domainProposal, handle[:]); err != nil {
		return "", err
	}
	blob, err := st.marshal()
	if err != nil {
		return "", err
	}
	seed, err := newSeed(n.Rand)
	if err != nil {
		return "", err
	}
	sealed, err := n.sealSeed(seed, handle)
	if err != nil {
		return "", err
	}
	state := store.SessionApproved
	if a.Approval.wants(true) > 0 {
		state = store.SessionProposed
	}
	row := store.Session{
		ID: hexOf(handle), Agreement: p.Agreement, PeerRoot: peer.Root, Role: string(role), Mode: string(p.Mode),
		State: state, Local: true, User: p.User, Purpose: p.Purpose, Case: p.Case, Proposal: blob,
		OwnSize: p.Items, SealedSeed: sealed, Source: req.Source.Records.Name(), Created: n.Now(),
		RecordExpires: n.Now().Add(a.Retention()),
	}
	return row.ID, n.Store.Update(func(tx *store.Tx) error {
		if err := tx.CreateSession(row); err != nil {
			return err
		}
		return n.append(tx, a, entryOf(row, eventProposed))
	})
}

const stageReading = "reading"

// RunOptions say how to run a stored session.
type RunOptions struct {
	Source   Source
	Progress func(Progress)
}

// Run runs a session that this node proposed: the first attempt, or another
// after a cut connection. It returns *PendingError while an approval is missing
// on either side.
func (n *Node) Run(ctx context.Context, handle string, o RunOptions) (*Outcome, error) {
	row, err := n.Store.Session(handle)
	if err != nil {
		return nil, err
	}
	if !row.Local {
		return nil, refuse(CodeRefused, "session %.16s was proposed by the peer, who must run it", handle)
	}
	a, peer, err := n.inForce(row.Agreement)
	if err != nil {
		return nil, err
	}
	if err := n.ready(&row, a); err != nil {
		return nil, err
	}
	if row.State != store.SessionApproved && row.State != store.SessionAborted {
		return nil, refuse(CodeRefused, "session %.16s is %s", handle, row.State)
	}
	connCtx, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	// Cancelling ends the session first, so that the peer can be told.
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(2*n.Timeouts.Close, hangUp) })
	defer stop()
	conn, closeConn, err := n.dial(connCtx, peer)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	return n.propose(ctx, hangUp, conn, row, a, peer, o)
}

// dialPeer connects to a peer's node.
func (n *Node) dialPeer(ctx context.Context, peer store.Peer) (Conn, func(), error) {
	fp, err := keys.ParseFingerprint(peer.Fingerprint)
	if err != nil {
		return nil, nil, err
	}
	if peer.Address == "" {
		return nil, nil, refuse(CodeRefused, "peer %q has no address: give one with `symbolon peer address`", peer.Name)
	}
	client, err := Dial(peer.Address, n.Identity.ClientTLS(n.pin, fp))
	if err != nil {
		return nil, nil, err
	}
	conn, err := client.Open(ctx)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return conn, func() { client.Close() }, nil
}

// ready moves a proposed session on when its approvals on our side are complete.
func (n *Node) ready(row *store.Session, a *Agreement) error {
	if row.State != store.SessionProposed {
		return nil
	}
	approvals, err := approvalsOf(n.Store.Reader, row.ID)
	if err != nil {
		return err
	}
	if len(approvals) < a.Approval.wants(row.Local) {
		return &PendingError{Session: row.ID}
	}
	return n.Store.Update(func(tx *store.Tx) error {
		now, err := tx.Session(row.ID)
		if err != nil {
			return err
		}
		// The last operator's approval may have moved it on in the meantime.
		if now.State == store.SessionProposed {
			err = tx.SetSessionState(row.ID, []string{store.SessionProposed}, store.SessionApproved, n.Now(), nil)
			now.State = store.SessionApproved
		}
		row.State = now.State
		return err
	})
}

// propose runs the proposer's side of a stream.
func (n *Node) propose(ctx context.Context, hangUp func(), conn Conn, row store.Session, a *Agreement, peer store.Peer, o RunOptions) (out *Outcome, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	live, err := n.enter(cancel, peer.Root, false)
	if err != nil {
		return nil, err
	}
	defer n.leave(live)
	if err := n.claim(live, row.Agreement, row.ID); err != nil {
		return nil, err
	}
	ctx, stopClock := context.WithTimeoutCause(ctx, n.Timeouts.Session,
		refuse(CodeTimeout, "the session did not end within %s", n.Timeouts.Session))
	defer stopClock()
	l := newLink(ctx, conn, true, n.Timeouts)
	defer func() {
		l.close(err)
		l.release()
		hangUp()
		l.join()
	}()
	if err := n.hello(l, a, conn.Peer()); err != nil {
		return nil, n.failed(row.ID, a, err)
	}
	s, st, err := n.sessionOf(row, a, conn.Peer())
	if err != nil {
		return nil, err
	}
	if err := n.ask(l, s, st, &row); err != nil {
		return nil, n.failed(row.ID, a, err)
	}
	if o.Progress != nil {
		o.Progress(Progress{Stage: stageReading})
	}
	in, err := n.loadInput(ctx, o.Source, a, s.proposal.Mode)
	if err != nil {
		return nil, n.failed(row.ID, a, err)
	}
	out, err = n.carry(l, s, in, row, a, o.Progress)
	n.report(conn.Peer(), row.ID, out, err)
	return out, err
}

// ask sends the proposal, or asks to resume, and stores an acceptance.
func (n *Node) ask(l *link, s *session, st *storedSession, row *store.Session) error {
	if st.Session == nil {
		approvals, err := approvalsOf(n.Store.Reader, row.ID)
		if err != nil {
			return err
		}
		st.Approvals = approvals
		err = l.send(&wirepb.Frame{Body: &wirepb.Frame_Propose{Propose: &wirepb.Propose{
			Proposal: st.Proposal, Signature: wireSignature(st.Signature),
			UserSignature: st.UserSignature, Approvals: approvals,
		}}})
		if err != nil {
			return err
		}
	} else if err := l.send(&wirepb.Frame{Body: &wirepb.Frame_Resume{Resume: &wirepb.Resume{Session: st.Session}}}); err != nil {
		return err
	}
	f, err := l.recv(l.timeouts.Handshake)
	if err != nil {
		return err
	}
	d := f.GetDecision()
	if d == nil {
		return refuse(CodeMessage, "the peer sent %s, want Decision", frameName(f))
	}
	if err := n.checkDecision(l, s, st, d); err != nil {
		return err
	}
	blob, err := st.marshal()
	if err != nil {
		return err
	}
	err = n.Store.Update(func(tx *store.Tx) error {
		return tx.SetSessionState(row.ID, []string{row.State}, row.State, n.Now(), func(r *store.Session) { r.Proposal = blob })
	})
	if err != nil {
		return err
	}
	row.Proposal = blob
	copy(s.id[:], st.Session)
	if d.State == wirepb.Decision_STATE_PENDING {
		return &PendingError{Session: row.ID, AtPeer: true}
	}
	return nil
}

// checkDecision verifies the acceptor's answer and takes it into st.
func (n *Node) checkDecision(l *link, s *session, st *storedSession, d *wirepb.Decision) error {
	switch d.State {
	case wirepb.Decision_STATE_PENDING, wirepb.Decision_STATE_ACCEPTED:
	default:
		return refuse(CodeMessage, "the peer decided %d, which is no decision", d.State)
	}
	if len(d.Nonce) != 32 || len(d.Session) != 32 {
		return refuse(CodeMessage, "the peer's nonce and session have %d and %d bytes, want 32", len(d.Nonce), len(d.Session))
	}
	if st.Session == nil {
		agreement, err := decodeHex32(s.proposal.Agreement)
		if err != nil {
			return err
		}
		nonce, err := hex.DecodeString(s.proposal.Nonce)
		if err != nil {
			return err
		}
		id := SessionID(agreement, nonce, d.Nonce, l.conn.Binding())
		st.Session, st.Nonce = id[:], d.Nonce
	}
	if string(st.Session) != string(d.Session) || string(st.Nonce) != string(d.Nonce) {
		return refuse(CodeMessage, "the peer answered for another session")
	}
	sig := signatureOf(d.Signature)
	if err := s.peer.Verify(domainDecision, decisionBytes(d, s.handle), sig); err != nil {
		return refuse(CodeSignature, "the peer's decision: %w", err)
	}
	if d.State == wirepb.Decision_STATE_ACCEPTED {
		if err := checkApprovals(s.agreement.Approval.wants(false), s.proposal.UserKey, s.handle, d.Approvals); err != nil {
			return refuse(CodeApproval, "the peer's approvals: %w", err)
		}
		st.Decision, st.AcceptorApprovals = sig, d.Approvals
	}
	return nil
}
