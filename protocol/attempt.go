package protocol

import (
	"bytes"
	"crypto/subtle"

	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// session is one session as a running attempt sees it; both sides hold equal
// values of everything but seed, role and proposes.
type session struct {
	agreement *Agreement
	proposal  *Proposal
	handle    [32]byte // hash of the proposal: the operators' name for the session
	id        [32]byte // what items are hashed with
	seed      []byte
	proposes  bool
	role      psi.Role
	peer      *keys.PublicIdentity
	// commitment and peerCommitment are those of the first attempt, nil before.
	commitment, peerCommitment []byte
}

// attemptResult is what one side takes from an attempt.
type attemptResult struct {
	attempt          uint32
	items, peerItems int64
	commitment       [32]byte
	peerCommitment   [32]byte
	transcript       [32]byte
	count            int
	// hits are in the order of our keys; count is -1 and hits nil for a sender
	// who learns nothing, and hits nil in cardinality mode.
	hits      []itemHit
	sent, got Traffic
}

// itemHit is a hit on one of our own match keys, with the labels of the peer's
// records where the mode gives any.
type itemHit struct {
	key    int // index of the key in our input
	labels psi.HitLabels
}

// gate is what a side does between the peer's Start and its own rounds: on the
// proposer's side begin is called before anything is sent, on the acceptor's
// once the peer's Start is known. It stores the attempt's number durably,
// charges the budget and refuses.
type gate interface {
	// begin stores and charges an attempt of which own items will be put in. A
	// proposer passes attempt 0 and gets its number, an acceptor the peer's.
	begin(attempt uint32, own int64, commitment [32]byte) (uint32, error)
	// admit charges what the peer puts in.
	admit(attempt uint32, peer int64, commitment [32]byte) error
}

// run runs one attempt over an accepted session.
func (s *session) run(l *link, in *input, g gate, o psi.Options) (*attemptResult, error) {
	items, err := in.itemize(s.id, s.seed)
	if err != nil {
		return nil, err
	}
	r := &attemptResult{items: in.items}
	if r.commitment, err = commitment(s.seed, items); err != nil {
		return nil, err
	}
	if s.commitment != nil && !bytes.Equal(s.commitment, r.commitment[:]) {
		return nil, refuse(CodeInput, "the data is not what the session was started with")
	}
	peer, err := s.start(l, r, in, g)
	if err != nil {
		return nil, err
	}
	p := psi.Params{
		Mode: s.proposal.Mode, Security: s.agreement.Security,
		SenderItems: int(r.items), ReceiverItems: int(r.peerItems),
		Session: s.id, Attempt: r.attempt,
	}
	if s.role == psi.RoleReceiver {
		p.SenderItems, p.ReceiverItems = p.ReceiverItems, p.SenderItems
	}
	o.Rand = psi.NewStream(s.seed, streamEngine, 0, r.attempt)
	o.KeepOutputs = p.Mode == psi.ModeMutual || s.labelled()
	e := &rounds{session: s, link: l, params: p, in: in, rows: int(s.labelRecords(in) + int64(peer.Records)),
		rand: psi.NewStream(s.seed, streamLabels, 0, r.attempt)}
	if s.role == psi.RoleSender {
		err = e.send(items, o, r)
	} else {
		err = e.receive(items, o, r)
	}
	if err != nil {
		return nil, err
	}
	r.transcript = l.transcript.sum()
	l.transcript = nil
	r.sent, r.got = l.sent, l.got
	return r, nil
}

// start exchanges and checks the two Start frames, the proposer's first.
func (s *session) start(l *link, r *attemptResult, in *input, g gate) (*wirepb.Start, error) {
	mine := &wirepb.Start{Session: s.id[:], Items: uint64(in.items), Records: uint64(s.labelRecords(in)), Commitment: r.commitment[:]}
	frame := &wirepb.Frame{Body: &wirepb.Frame_Start{Start: mine}}
	var theirs *wirepb.Start
	var err error
	if s.proposes {
		if r.attempt, err = g.begin(0, in.items, r.commitment); err != nil {
			return nil, err
		}
		mine.Attempt = r.attempt
		if err := l.send(frame); err != nil {
			return nil, err
		}
	}
	got, err := l.recv(l.timeouts.Round)
	if err != nil {
		return nil, err
	}
	if theirs = got.GetStart(); theirs == nil {
		return nil, refuse(CodeMessage, "the peer sent %s, want Start", frameName(got))
	}
	if err := s.checkStart(theirs, r); err != nil {
		return nil, err
	}
	if !s.proposes {
		r.attempt = theirs.Attempt
		if _, err := g.begin(r.attempt, in.items, r.commitment); err != nil {
			return nil, err
		}
		mine.Attempt = r.attempt
	}
	if err := g.admit(r.attempt, r.peerItems, r.peerCommitment); err != nil {
		return nil, err
	}
	if !s.proposes {
		if err := l.send(frame); err != nil {
			return nil, err
		}
	}
	l.transcript = newTranscript(s.id, s.handle, r.attempt)
	l.transcript.add(s.proposes, frame)
	l.transcript.add(!s.proposes, got)
	return theirs, nil
}

// labelled reports whether the sender's labels travel.
func (s *session) labelled() bool {
	return s.agreement.Labels != nil && s.proposal.Mode != psi.ModeCardinality
}

// labelRecords is how many labels we send: only the sender sends any.
func (s *session) labelRecords(in *input) int64 {
	if s.role == psi.RoleReceiver || !s.labelled() {
		return 0
	}
	return in.labels
}

// checkStart checks the peer's Start and takes its values.
func (s *session) checkStart(m *wirepb.Start, r *attemptResult) error {
	a := s.agreement
	if len(m.Session) != 32 || subtle.ConstantTimeCompare(m.Session, s.id[:]) == 0 {
		return refuse(CodeMessage, "the peer started another session")
	}
	if s.proposes && m.Attempt != r.attempt || m.Attempt == 0 || m.Attempt > MaxAttempts {
		return refuse(CodeAttempts, "the peer starts attempt %d, want at most %d", m.Attempt, MaxAttempts)
	}
	if m.Items > uint64(a.Caps.ItemsPerSession) {
		return refuse(CodeBudget, "the peer puts in %d items, the agreement allows %d", m.Items, a.Caps.ItemsPerSession)
	}
	if !s.proposes && m.Items > uint64(s.proposal.Items) {
		return refuse(CodeInput, "the peer puts in %d items, it proposed %d", m.Items, s.proposal.Items)
	}
	if want, err := a.Padding.Size(int64(m.Items), a.Caps.ItemsPerSession); err != nil || want != int64(m.Items) {
		return refuse(CodeMessage, "the peer puts in %d items, which the agreement's padding %q does not give", m.Items, a.Padding)
	}
	labelled := s.labelled() && s.role == psi.RoleReceiver
	if labelled && (m.Records > uint64(a.Caps.ItemsPerSession) || m.Records == 0 && m.Items > 0) || !labelled && m.Records != 0 {
		return refuse(CodeMessage, "the peer labels %d records, which the agreement does not allow", m.Records)
	}
	if len(m.Commitment) != 32 {
		return refuse(CodeMessage, "the peer's commitment has %d bytes, want 32", len(m.Commitment))
	}
	copy(r.peerCommitment[:], m.Commitment)
	if s.peerCommitment != nil && !bytes.Equal(s.peerCommitment, m.Commitment) {
		return refuse(CodeInput, "the peer's data is not what the session was started with")
	}
	r.peerItems = int64(m.Items)
	return nil
}

// finishBytes are what both agencies sign at the end.
func finishBytes(s *session, r *attemptResult) []byte {
	h := psi.HashTuple(s.id[:], s.handle[:], r.transcript[:])
	return h[:]
}

// sendFinish signs the transcript.
func (s *session) sendFinish(l *link, id *keys.Identity, r *attemptResult) error {
	sig, err := id.Sign(domainFinish, finishBytes(s, r))
	if err != nil {
		return err
	}
	return l.send(&wirepb.Frame{Body: &wirepb.Frame_Finish{Finish: &wirepb.Finish{
		Transcript: r.transcript[:], Signature: wireSignature(sig),
	}}})
}

// recvFinish verifies the peer's signature over the same transcript.
func (s *session) recvFinish(l *link, r *attemptResult) error {
	f, err := l.recv(l.timeouts.Round)
	if err != nil {
		return err
	}
	m := f.GetFinish()
	if m == nil {
		return refuse(CodeMessage, "the peer sent %s, want Finish", frameName(f))
	}
	if !bytes.Equal(m.Transcript, r.transcript[:]) {
		return refuse(CodeSignature, "the peer's transcript differs from ours")
	}
	if err := s.peer.Verify(domainFinish, finishBytes(s, r), signatureOf(m.Signature)); err != nil {
		return refuse(CodeSignature, "the peer's signature over the transcript: %w", err)
	}
	return nil
}

func wireSignature(s keys.Signature) *wirepb.Signature {
	return &wirepb.Signature{Ed25519: s.Ed25519, MlDsa_65: s.MLDSA65}
}

func signatureOf(s *wirepb.Signature) keys.Signature {
	return keys.Signature{Ed25519: s.GetEd25519(), MLDSA65: s.GetMlDsa_65()}
}
