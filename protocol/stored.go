package protocol

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// storedSession is what a node keeps of a session's agreement beside the row's
// own columns: the signed papers, as evidence and to resume from.
type storedSession struct {
	Proposal      json.RawMessage    `json:"proposal"` // canonical bytes
	Signature     keys.Signature     `json:"signature"`
	UserSignature []byte             `json:"user_signature"`
	Approvals     []*wirepb.Approval `json:"approvals,omitempty"` // the proposer's operators
	// Set once the acceptor has answered.
	Session           []byte             `json:"session,omitempty"`
	Nonce             []byte             `json:"nonce,omitempty"` // the acceptor's
	Decision          keys.Signature     `json:"decision,omitzero"`
	AcceptorApprovals []*wirepb.Approval `json:"acceptor_approvals,omitempty"`
}

func (s *storedSession) marshal() ([]byte, error) { return json.Marshal(s) }

func parseStored(raw []byte) (*storedSession, *Proposal, error) {
	var s storedSession
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, nil, fmt.Errorf("stored session: %w", err)
	}
	p, err := parseProposal(s.Proposal)
	if err != nil {
		return nil, nil, fmt.Errorf("stored session: %w", err)
	}
	return &s, p, nil
}

// approvalsOf returns the stored consents of our own operators in the form that
// travels.
func approvalsOf(r store.Reader, handle string) ([]*wirepb.Approval, error) {
	rows, err := r.Approvals(handle)
	if err != nil {
		return nil, err
	}
	var out []*wirepb.Approval
	for _, a := range rows {
		out = append(out, &wirepb.Approval{User: a.User, PublicKey: a.PublicKey, Signature: a.Signature})
	}
	return out, nil
}

// sessionOf rebuilds the running form of a stored session.
func (n *Node) sessionOf(row store.Session, a *Agreement, peer *keys.PublicIdentity) (*session, *storedSession, error) {
	st, p, err := parseStored(row.Proposal)
	if err != nil {
		return nil, nil, err
	}
	s := &session{
		agreement: a, proposal: p, handle: handleOf(st.Proposal), proposes: row.Local,
		role: psi.Role(row.Role), peer: peer,
		commitment: row.Commitment, peerCommitment: row.PeerCommitment,
	}
	if hexOf(s.handle) != row.ID {
		return nil, nil, fmt.Errorf("stored session %.16s does not hold its proposal", row.ID)
	}
	copy(s.id[:], st.Session)
	s.seed, err = n.openSeed(row.SealedSeed, s.handle)
	return s, st, err
}

func decodeHex32(s string) (out [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		return out, fmt.Errorf("want 32 bytes in hexadecimal")
	}
	copy(out[:], b)
	return out, nil
}
