package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gowebpki/jcs"

	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
)

// Signature domains of a session.
const (
	domainProposal = "symbolon/v1/proposal"
	domainApproval = "symbolon/v1/approval"
	domainDecision = "symbolon/v1/decision"
	domainFinish   = "symbolon/v1/finish"
)

// Proposal is what an agency asks for: who, for which purpose and case, and how
// much. Both sides log it. Its hash is the handle by which operators on both
// sides name the session.
type Proposal struct {
	Version   int      `json:"version"`
	Agreement string   `json:"agreement"`
	Nonce     string   `json:"nonce"` // 32 random bytes, hexadecimal
	Mode      psi.Mode `json:"mode"`
	// Items and Records are the proposer's sizes after padding; an attempt may
	// put in as many or fewer. Records counts labelled records.
	Items   int64  `json:"items"`
	Records int64  `json:"records"`
	Purpose string `json:"purpose"`
	Case    string `json:"case"`
	User    string `json:"user"`
	UserKey string `json:"user_key"` // Ed25519 public key, hexadecimal
	Time    string `json:"time"`     // RFC 3339
}

// Bytes returns the canonical JSON.
func (p *Proposal) Bytes() ([]byte, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(raw)
}

// maxProposalSize bounds a proposal in bytes.
const maxProposalSize = 16 << 10

// parseProposal reads canonical bytes strictly.
func parseProposal(raw []byte) (*Proposal, error) {
	if len(raw) > maxProposalSize {
		return nil, fmt.Errorf("proposal has %d bytes, at most %d allowed", len(raw), maxProposalSize)
	}
	var p Proposal
	if err := strictJSON(raw, &p); err != nil {
		return nil, fmt.Errorf("proposal: %w", err)
	}
	own, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("proposal: %w", err)
	}
	if !bytes.Equal(own, raw) {
		return nil, errors.New("proposal is not canonical JSON")
	}
	if p.Version != 1 {
		return nil, fmt.Errorf("proposal has version %d, this node knows 1", p.Version)
	}
	for _, f := range []struct {
		name, value string
		most        int
	}{{"purpose", p.Purpose, 2000}, {"case", p.Case, 200}, {"user", p.User, 200}} {
		if err := checkText("proposal: "+f.name, f.value, 1, f.most); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct{ name, value string }{{"nonce", p.Nonce}, {"user_key", p.UserKey}, {"agreement", p.Agreement}} {
		if b, err := hex.DecodeString(f.value); err != nil || len(b) != 32 {
			return nil, fmt.Errorf("proposal: %s is not 32 bytes in hexadecimal", f.name)
		}
	}
	if p.Items < 0 || p.Items > psi.MaxItems || p.Records < 0 || p.Records > psi.MaxItems {
		return nil, errors.New("proposal: a size is out of range")
	}
	if _, err := time.Parse(time.RFC3339, p.Time); err != nil {
		return nil, errors.New("proposal: time is not RFC 3339")
	}
	return &p, nil
}

// handleOf returns the hash of canonical proposal bytes.
func handleOf(raw []byte) [32]byte { return sha256.Sum256(raw) }

// SessionID binds the agreement, both nonces and the channel; it is fixed before
// items are hashed and never reused.
func SessionID(agreement [32]byte, proposerNonce, acceptorNonce, binding []byte) [32]byte {
	return psi.HashTuple([]byte("symbolon/v1/session"), agreement[:], proposerNonce, acceptorNonce, binding)
}

// decisionBytes are what the acceptor's agency signs.
func decisionBytes(d *wirepb.Decision, handle [32]byte) []byte {
	h := psi.HashTuple([]byte(d.State.String()), handle[:], d.Session, d.Nonce)
	return h[:]
}

// maxApprovals bounds the approvals that travel with a message.
const maxApprovals = 16

// checkApprovals verifies the operators' signatures of one agency over a
// proposal and that there are at least want. Keys are distinct, and the
// proposer's own is never among them.
func checkApprovals(want int, proposer string, handle [32]byte, approvals []*wirepb.Approval) error {
	if len(approvals) > maxApprovals {
		return fmt.Errorf("%d approvals, at most %d allowed", len(approvals), maxApprovals)
	}
	seen := map[string]bool{}
	for _, a := range approvals {
		key := hex.EncodeToString(a.PublicKey)
		if seen[key] {
			return errors.New("an operator approved twice")
		}
		if key == proposer {
			return errors.New("the proposer is among the approvers")
		}
		if err := keys.VerifyUser(a.PublicKey, domainApproval, handle[:], a.Signature); err != nil {
			return fmt.Errorf("approver %d: %w", len(seen)+1, err)
		}
		if err := checkText("approver's name", a.User, 1, 200); err != nil {
			return err
		}
		seen[key] = true
	}
	if len(seen) < want {
		return fmt.Errorf("got %d approvals, want %d", len(seen), want)
	}
	return nil
}

// wants returns how many approvals an agency needs beside the proposing user's
// signature, which is the one approval of its own side under ApproveOne.
func (a Approval) wants(proposes bool) int {
	switch {
	case a == ApproveTwo:
		return 2
	case a == ApproveOne && !proposes:
		return 1
	}
	return 0
}
