package protocol

import (
	"errors"
	"fmt"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
)

// pin decides whether a peer that presents an identity is one we know: the
// pinned one, or one that the pinned one has signed as its successor, to which
// the pin then moves.
func (n *Node) pin(presented *keys.PublicIdentity) error {
	_, err := AdoptPeer(n.Store, presented, n.Now)
	return err
}

// AdoptPeer returns the active peer with the presented identity, moving its pin
// if the identity is a later one of a pinned peer.
func AdoptPeer(s *store.Store, presented *keys.PublicIdentity, now func() time.Time) (store.Peer, error) {
	fp := presented.Fingerprint().String()
	p, err := s.PeerByFingerprint(fp)
	if err == nil {
		if p.Status != store.StatusActive {
			return p, fmt.Errorf("peer %q is %s", p.Name, p.Status)
		}
		return p, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return p, err
	}
	all, err := s.Peers()
	if err != nil {
		return p, err
	}
	for _, old := range all {
		f, err := keys.ParseFingerprint(old.Fingerprint)
		if err != nil || !presented.DescendsFrom(f) {
			continue
		}
		if old.Status != store.StatusActive {
			return old, fmt.Errorf("peer %q is %s", old.Name, old.Status)
		}
		err = s.Update(func(tx *store.Tx) error {
			return tx.MovePin(old.Fingerprint, fp, presented.Bytes(), now())
		})
		if err != nil && !errors.Is(err, store.ErrExists) { // another stream may have moved it
			return old, err
		}
		return s.PeerByFingerprint(fp)
	}
	return p, fmt.Errorf("the identity %.16s is not pinned here", fp)
}
