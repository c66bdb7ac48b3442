package protocol

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
)

// Version is the version of the wire protocol.
const Version = 1

// newHello returns our Hello under an agreement.
func (n *Node) newHello(a *Agreement) (*wirepb.Hello, error) {
	canary, err := records.CanaryKeys(a.Rules)
	if err != nil {
		return nil, err
	}
	if canary != a.Canary {
		return nil, refuse(CodeCanary, "this node derives other keys from the test persons than when the agreement was drafted")
	}
	digest, err := hex.DecodeString(canary)
	if err != nil {
		return nil, err
	}
	id, rules := a.ID(), a.Rules.Hash()
	return &wirepb.Hello{
		Version: Version, Agreement: id[:], RulesHash: rules[:], Normalisation: records.NormalisationVersion(),
		Canary: digest, UnixSeconds: n.Now().Unix(),
	}, nil
}

// checkHello compares the peer's Hello with ours.
func (n *Node) checkHello(a *Agreement, own, peer *wirepb.Hello) error {
	switch {
	case peer.Version != Version:
		return refuse(CodeVersion, "the peer speaks version %d, this node %d", peer.Version, Version)
	case string(peer.Agreement) != string(own.Agreement):
		return refuse(CodeAgreement, "the peer names another agreement")
	case string(peer.RulesHash) != string(own.RulesHash):
		return refuse(CodeRules, "the peer's rule set hashes differently")
	case peer.Normalisation != own.Normalisation:
		return refuse(CodeRules, "the peer normalises by another version than %q", own.Normalisation)
	case string(peer.Canary) != string(own.Canary):
		return refuse(CodeCanary, "the peer derives other keys from the test persons")
	}
	skew := n.Now().Sub(time.Unix(peer.UnixSeconds, 0))
	if skew.Abs() > a.ClockTolerance() {
		return refuse(CodeClock, "the peer's clock differs by %s, the agreement allows %s", skew.Round(time.Second), a.ClockTolerance())
	}
	return nil
}

// hello runs the proposer's part of the opening.
func (n *Node) hello(l *link, a *Agreement, peer *keys.PublicIdentity) error {
	own, err := n.newHello(a)
	if err != nil {
		return err
	}
	if _, ok := a.PartyOf(peer); !ok {
		return refuse(CodeAgreement, "the peer is no party to the agreement")
	}
	if err := l.send(&wirepb.Frame{Body: &wirepb.Frame_Hello{Hello: own}}); err != nil {
		return err
	}
	got, err := recvHello(l)
	if err != nil {
		return err
	}
	if err := n.checkHello(a, own, got); err != nil {
		return err
	}
	return n.exchangeHeads(l, a)
}

// answerHello runs the acceptor's part of the opening.
func (n *Node) answerHello(l *link, live *liveSession) (*Agreement, store.Peer, error) {
	var none store.Peer
	got, err := recvHello(l)
	if err != nil {
		return nil, none, err
	}
	if got.Version != Version {
		return nil, none, refuse(CodeVersion, "the peer speaks version %d, this node %d", got.Version, Version)
	}
	a, peer, err := n.inForce(hex.EncodeToString(got.Agreement))
	if err != nil {
		return nil, none, err
	}
	// The channel has shown who the peer is; the agreement must be with it.
	fp := l.conn.Peer().Fingerprint().String()
	if at, err := n.Store.PeerByFingerprint(fp); err != nil || at.Root != peer.Root {
		return nil, none, refuse(CodeAgreement, "agreement %.16s is not with the peer %.16s", a.Hex(), fp)
	}
	n.mu.Lock()
	live.peerRoot, live.agreement = peer.Root, a.Hex()
	n.mu.Unlock()
	// A suspension or revocation between the check and the line above would have
	// missed this stream.
	if _, _, err := n.inForce(a.Hex()); err != nil {
		return nil, none, err
	}
	own, err := n.newHello(a)
	if err != nil {
		return nil, none, err
	}
	if err := n.checkHello(a, own, got); err != nil {
		return nil, none, err
	}
	if err := l.send(&wirepb.Frame{Body: &wirepb.Frame_Hello{Hello: own}}); err != nil {
		return nil, none, err
	}
	return a, peer, n.exchangeHeads(l, a)
}

func recvHello(l *link) (*wirepb.Hello, error) {
	f, err := l.recv(l.timeouts.Handshake)
	if err != nil {
		return nil, err
	}
	h := f.GetHello()
	if h == nil {
		return nil, refuse(CodeMessage, "the peer sent %s, want Hello", frameName(f))
	}
	if len(h.Agreement) != 32 || len(h.RulesHash) != 32 || len(h.Canary) != 32 {
		return nil, refuse(CodeMessage, "the peer's Hello has fields of the wrong length")
	}
	return h, nil
}

// headTalk is what an exchange of heads needs of a stream. A link is one; where
// other frames pass at the same time, a port of it is.
type headTalk interface {
	send(*wirepb.Frame) error
	recv(time.Duration) (*wirepb.Frame, error)
	base() *link
}

func (l *link) base() *link { return l }

// exchangeHeads shows our log to the peer and countersigns the peer's: the
// proposer's is seen first.
func (n *Node) exchangeHeads(l *link, a *Agreement) error {
	if l.proposer {
		if err := n.showHead(l, a); err != nil {
			return err
		}
		return n.seeHead(l, a)
	}
	if err := n.seeHead(l, a); err != nil {
		return err
	}
	return n.showHead(l, a)
}

// showHead sends our head with its proof and keeps the countersignature.
func (n *Node) showHead(talk headTalk, a *Agreement) error {
	l := talk.base()
	t, err := n.tree(a)
	if err != nil {
		return err
	}
	q, err := talk.recv(l.timeouts.Handshake)
	if err != nil {
		return err
	}
	if q.GetLogQuery() == nil {
		return refuse(CodeMessage, "the peer sent %s, want LogQuery", frameName(q))
	}
	known := q.GetLogQuery().KnownSize
	m := &wirepb.LogHead{}
	err = n.Store.Batch(func(tx *store.Tx) error {
		head, err := t.Head(tx)
		if err != nil {
			return err
		}
		if known > uint64(head.Size) {
			return refuse(CodeLog, "this node's log has %d entries, the peer has countersigned %d: was the database replaced by an old copy?", head.Size, known)
		}
		if m.Proof, err = t.ConsistencyProof(tx, int64(known), head.Size); err != nil {
			return err
		}
		m.Checkpoint, err = t.SignHead(tx, n.Identity.NoteSigner())
		return err
	})
	if err != nil {
		return logError(err)
	}
	if err := talk.send(&wirepb.Frame{Body: &wirepb.Frame_LogHead{LogHead: m}}); err != nil {
		return err
	}
	f, err := talk.recv(l.timeouts.Handshake)
	if err != nil {
		return err
	}
	back := f.GetLogCosign()
	if back == nil {
		return refuse(CodeMessage, "the peer sent %s, want LogCosign", frameName(f))
	}
	return logError(n.Store.Batch(func(tx *store.Tx) error {
		return t.AcceptCountersignature(tx, back.Checkpoint, n.Identity.Public().NoteVerifier(), l.conn.Peer().NoteVerifier())
	}))
}

// seeHead checks the peer's head and countersigns it. Streams under one
// agreement take turns, or the head known when asking could be an older one when
// the answer arrives. The peer needs no turn to answer, so this can't deadlock.
func (n *Node) seeHead(talk headTalk, a *Agreement) error {
	l := talk.base()
	t, err := n.tree(a)
	if err != nil {
		return err
	}
	turn, _ := n.turns.LoadOrStore(t.Agreement, make(chan struct{}, 1))
	select {
	case turn.(chan struct{}) <- struct{}{}:
		defer func() { <-turn.(chan struct{}) }()
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
	last, err := t.PeerHead(n.Store.Reader)
	if err != nil {
		return err
	}
	if err := talk.send(&wirepb.Frame{Body: &wirepb.Frame_LogQuery{LogQuery: &wirepb.LogQuery{KnownSize: uint64(last.Size)}}}); err != nil {
		return err
	}
	f, err := talk.recv(l.timeouts.Handshake)
	if err != nil {
		return err
	}
	m := f.GetLogHead()
	if m == nil {
		return refuse(CodeMessage, "the peer sent %s, want LogHead", frameName(f))
	}
	if len(m.Checkpoint) > audit.MaxHead || len(m.Proof) > audit.MaxProof {
		return refuse(CodeMessage, "the peer's log head has %d bytes and %d hashes", len(m.Checkpoint), len(m.Proof))
	}
	var both []byte
	err = n.Store.Batch(func(tx *store.Tx) error {
		var err error
		both, err = t.Countersign(tx, m.Checkpoint, m.Proof, l.conn.Peer().NoteVerifier(), n.Identity.NoteSigner())
		return err
	})
	if err != nil {
		return logError(err)
	}
	return talk.send(&wirepb.Frame{Body: &wirepb.Frame_LogCosign{LogCosign: &wirepb.LogCosign{Checkpoint: both}}})
}

// logError gives audit's refusals their code.
func logError(err error) error {
	if errors.Is(err, audit.ErrRollback) || errors.Is(err, audit.ErrFork) || errors.Is(err, audit.ErrHead) {
		return refuse(CodeLog, "%w", err)
	}
	return err
}
