package protocol

import (
	"bytes"
	"crypto/subtle"
	"runtime"

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

// gate is what the store does for an attempt: it keeps the attempt's number and
// its finished shards durably, charges the budget and refuses.
type gate interface {
	// begin stores and charges an attempt of which own items will be put in,
	// before anything of it is sent. A proposer passes attempt 0 and gets its
	// number, an acceptor passes the peer's.
	begin(attempt uint32, own int64, commitment [32]byte) (uint32, error)
	// admit charges what the peer puts in.
	admit(peer int64, commitment [32]byte) error
	// finished returns what earlier attempts have of their finished shards.
	finished() ([]shardState, error)
	// keep stores a shard that has just finished.
	keep(shard int, state shardState) error
}

// shardState is what a side keeps of a finished shard until the session ends.
type shardState struct {
	Chain [32]byte `json:"chain"` // of the transcript, after the shard
	// Rows are the sizes of both label tables when the shard ran: entries point
	// into them.
	Rows  int       `json:"rows"`
	Count int       `json:"count"`
	Hits  []keptHit `json:"hits"`
}

// keptHit is a hit whose labels are not open yet.
type keptHit struct {
	Key int           `json:"key"`
	At  *psi.HitSlots `json:"at,omitempty"`
}

// run runs one attempt over an accepted session: the shards that no earlier
// attempt has finished, then the labels.
func (s *session) run(l *link, in *input, g gate, o psi.Options) (*attemptResult, error) {
	items, err := in.itemize(l.ctx, o.Workers, s.id, s.seed)
	if err != nil {
		return nil, err
	}
	r := &attemptResult{items: in.items}
	if r.commitment, err = commitment(l.ctx, o.Workers, s.seed, items); err != nil {
		return nil, err
	}
	if s.commitment != nil && !bytes.Equal(s.commitment, r.commitment[:]) {
		return nil, refuse(CodeInput, "the data is not what the session was started with")
	}
	states, rows, err := s.start(l, r, in, g)
	if err != nil {
		return nil, err
	}
	e, err := s.newRounds(l, in, r, items, rows)
	if err != nil {
		return nil, err
	}
	o.KeepOutputs = e.params.Mode == psi.ModeMutual || s.labelled()
	for shard := len(states); shard < e.sharding.Shards; shard++ {
		state, err := e.shard(shard, o)
		if err != nil {
			return nil, err
		}
		l.transcript.fold(shard)
		state.Chain, state.Rows = l.transcript.chain, rows
		if e.sharding.Shards > 1 { // a single shard is done when the session is
			if err := g.keep(shard, *state); err != nil {
				return nil, err
			}
			// The shard's memory is large and dead: the next one takes it over.
			runtime.GC()
		}
		states = append(states, *state)
	}
	if err := e.collect(states, r); err != nil {
		return nil, err
	}
	r.transcript = l.transcript.sum()
	l.transcript = nil
	r.sent, r.got = l.sent, l.got
	return r, nil
}

// start exchanges and checks the two Start frames, the proposer's first. It
// returns the shards that both sides have finished and the rows of the sender's
// label table.
func (s *session) start(l *link, r *attemptResult, in *input, g gate) ([]shardState, int, error) {
	states, err := g.finished()
	if err != nil {
		return nil, 0, err
	}
	mine := &wirepb.Start{Session: s.id[:], Items: uint64(in.items), Records: uint64(s.labelRecords(in)),
		Commitment: r.commitment[:], FinishedShards: uint32(len(states))}
	frame := &wirepb.Frame{Body: &wirepb.Frame_Start{Start: mine}}
	if s.proposes {
		if mine.Attempt, err = g.begin(0, in.items, r.commitment); err != nil {
			return nil, 0, err
		}
		r.attempt = mine.Attempt
		if err := l.send(frame); err != nil {
			return nil, 0, err
		}
	}
	got, err := l.recv(l.timeouts.Round)
	if err != nil {
		return nil, 0, err
	}
	theirs := got.GetStart()
	if theirs == nil {
		return nil, 0, refuse(CodeMessage, "the peer sent %s, want Start", frameName(got))
	}
	if err := s.checkStart(theirs, r); err != nil {
		return nil, 0, err
	}
	if !s.proposes {
		r.attempt, mine.Attempt = theirs.Attempt, theirs.Attempt
		if _, err := g.begin(r.attempt, in.items, r.commitment); err != nil {
			return nil, 0, err
		}
	}
	if err := g.admit(r.peerItems, r.peerCommitment); err != nil {
		return nil, 0, err
	}
	if !s.proposes {
		if err := l.send(frame); err != nil {
			return nil, 0, err
		}
	}
	states = states[:min(len(states), int(theirs.FinishedShards))]
	rows := int(mine.Records) + int(theirs.Records)
	var chain [32]byte
	if n := len(states); n > 0 {
		chain = states[n-1].Chain
		if states[n-1].Rows != rows {
			return nil, 0, refuse(CodeInput, "the number of labels is not what the session was started with")
		}
	}
	l.transcript = newTranscript(s.id, s.handle, r.attempt, chain)
	l.transcript.add(s.proposes, frame)
	l.transcript.add(!s.proposes, got)
	return states, rows, nil
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
	if m.FinishedShards > psi.MaxItems {
		return refuse(CodeMessage, "the peer has finished %d shards", m.FinishedShards)
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
