package protocol

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
)

// AddAgreement stores an agreement that both parties have signed, with a peer
// that is pinned. Adding it again changes nothing.
func (n *Node) AddAgreement(s *SignedAgreement, user string) error {
	if err := s.Complete(); err != nil {
		return err
	}
	a := s.Agreement
	own, ok := a.PartyOf(n.Identity.Public())
	if !ok {
		return errors.New("agreement: this node is not a party to it")
	}
	other := a.Other(own)
	peer, err := n.peerOf(other)
	if err != nil {
		return err
	}
	raw, err := s.Marshal()
	if err != nil {
		return err
	}
	return n.Store.Update(func(tx *store.Tx) error {
		if have, err := tx.Agreement(a.Hex()); err == nil && have.State != store.AgreementSigned {
			return nil // the id covers everything but the signatures, which verify
		}
		err := tx.PutAgreement(store.Agreement{ID: a.Hex(), PeerRoot: peer.Root, Document: raw,
			State: store.AgreementInForce, Changed: n.Now()})
		if err != nil {
			return err
		}
		return n.append(tx, a, audit.Entry{Event: eventAgreed, User: user})
	})
}

// peerOf finds the pinned peer that is a party.
func (n *Node) peerOf(p Party) (store.Peer, error) {
	all, err := n.Store.Peers()
	if err != nil {
		return store.Peer{}, err
	}
	want, err := keys.ParseFingerprint(p.Identity)
	if err != nil {
		return store.Peer{}, err
	}
	for _, peer := range all {
		id, err := keys.ParsePublicIdentity(peer.Identity)
		if err != nil {
			return store.Peer{}, fmt.Errorf("stored identity of peer %q: %w", peer.Name, err)
		}
		if id.DescendsFrom(want) {
			return peer, nil
		}
	}
	return store.Peer{}, fmt.Errorf("agreement: the party %q (%.16s) is not among the pinned peers", p.Name, p.Identity)
}

// Approve gives an operator's consent to a session that waits for it. It
// returns how many consents there are and how many are wanted.
func (n *Node) Approve(handle string, user *keys.User) (have, want int, err error) {
	row, a, err := n.waiting(handle)
	if err != nil {
		return 0, 0, err
	}
	if err := n.checkUser(user); err != nil {
		return 0, 0, err
	}
	_, p, err := parseStored(row.Proposal)
	if err != nil {
		return 0, 0, err
	}
	if hex.EncodeToString(user.PublicKey()) == p.UserKey {
		return 0, 0, refuse(CodeApproval, "user %q proposed session %.16s and can't approve it", user.Name(), handle)
	}
	h, err := decodeHex32(handle)
	if err != nil {
		return 0, 0, err
	}
	err = n.Store.Update(func(tx *store.Tx) error {
		err := tx.AddApproval(store.Approval{Session: handle, User: user.Name(), PublicKey: user.PublicKey(),
			Signature: user.Sign(domainApproval, h[:]), At: n.Now()})
		if errors.Is(err, store.ErrExists) {
			return refuse(CodeApproval, "user %q has approved session %.16s already", user.Name(), handle)
		}
		if err != nil {
			return err
		}
		e := entryOf(row, eventApproved)
		e.User = user.Name()
		if err := n.append(tx, a, e); err != nil {
			return err
		}
		all, err := tx.Approvals(handle)
		have, want = len(all), a.Approval.wants(row.Local)
		if err != nil || have < want {
			return err
		}
		return tx.SetSessionState(handle, []string{store.SessionProposed}, store.SessionApproved, n.Now(), nil)
	})
	return have, want, err
}

// Reject refuses a session that waits for approval, for good.
func (n *Node) Reject(handle string, user *keys.User, reason string) error {
	row, a, err := n.waiting(handle)
	if err != nil {
		return err
	}
	if err := n.checkUser(user); err != nil {
		return err
	}
	return n.Store.Update(func(tx *store.Tx) error {
		err := tx.SetSessionState(handle, []string{store.SessionProposed}, store.SessionRefused, n.Now(), func(s *store.Session) {
			s.Outcome, s.Detail = eventRejected, reason
		})
		if err != nil {
			return err
		}
		e := entryOf(row, eventRejected)
		e.User, e.Note = user.Name(), reason
		return n.append(tx, a, e)
	})
}

// waiting returns a session that waits for our operators.
func (n *Node) waiting(handle string) (store.Session, *Agreement, error) {
	row, err := n.Store.Session(handle)
	if err != nil {
		return row, nil, err
	}
	if row.State != store.SessionProposed {
		return row, nil, refuse(CodeApproval, "session %.16s does not wait for approval: it is %s", handle, row.State)
	}
	a, err := loadAgreement(n.Store.Reader, row.Agreement)
	return row, a, err
}
