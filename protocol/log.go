package protocol

import (
	"encoding/hex"
	"fmt"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
)

// Events of the audit log.
const (
	eventAgreed    = "agreement-in-force"
	eventSuspended = "agreement-suspended"
	eventResumed   = "agreement-resumed"
	eventProposed  = "proposed"
	eventApproved  = "approved"
	eventRejected  = "rejected"
	eventRefused   = "refused"
	eventFinished  = "finished"
	eventAborted   = "aborted"

	// Of streams of requests and of lookups: what an owner did, then an asker.
	eventOpened        = "stream-opened"
	eventPublished     = "published"
	eventEpochEnded    = "epoch-ended"
	eventLookup        = "lookup"
	eventStanding      = "standing-declared"
	eventStandingRun   = "standing-tested"
	eventStandingEnded = "standing-ended"
	eventFetched       = "filter-fetched"
	eventAsked         = "asked"
	eventAnswered      = "answered"

	// Of searches: what an owner did, then an asker.
	eventIndexed      = "indexed"
	eventSearch       = "search"
	eventSearchFailed = "search-failed"
	eventSearchKeys   = "search-keys"
	eventReveal       = "reveal"
	eventRevealAsked  = "reveal-asked"
	eventRevealed     = "revealed"
)

// tree names our log under an agreement.
func (n *Node) tree(a *Agreement) (audit.Tree, error) {
	own, ok := a.PartyOf(n.Identity.Public())
	if !ok {
		return audit.Tree{}, fmt.Errorf("this node is no party to agreement %.16s", a.Hex())
	}
	return audit.Tree{Agreement: a.Hex(), Own: own.Identity, Peer: a.Other(own).Identity}, nil
}

// append adds an entry to the agreement's log, to be erased at the end of its
// retention.
func (n *Node) append(tx *store.Tx, a *Agreement, e audit.Entry) error {
	t, err := n.tree(a)
	if err != nil {
		return err
	}
	e.Time = n.Now()
	if e.Peer == "" {
		e.Peer = t.Peer
	}
	_, err = t.Append(tx, n.Rand, e, n.Now().Add(a.Retention()))
	return err
}

// entryOf starts an entry with what a session's row says.
func entryOf(row store.Session, event string) audit.Entry {
	e := audit.Entry{
		Event: event, User: row.User, Purpose: row.Purpose, Case: row.Case, Session: row.ID,
		Peer: row.PeerRoot, Role: row.Role, Mode: row.Mode, Attempts: row.Attempts,
		Commitment: hex.EncodeToString(row.Commitment), PeerCommitment: hex.EncodeToString(row.PeerCommitment),
	}
	if row.OwnSize > 0 {
		e.OwnItems = &row.OwnSize
	}
	if row.PeerSize > 0 {
		e.PeerItems = &row.PeerSize
	}
	return e
}

// Tree names the log of an agreement, for reading.
func (n *Node) Tree(agreement string) (audit.Tree, error) {
	a, err := loadAgreement(n.Store.Reader, agreement)
	if err != nil {
		return audit.Tree{}, err
	}
	return n.tree(a)
}

// VerifyLog recomputes the log of an agreement and compares it with every head
// that we or the peer have signed.
func (n *Node) VerifyLog(agreement string) (audit.Report, error) {
	t, err := n.Tree(agreement)
	if err != nil {
		return audit.Report{}, err
	}
	row, err := n.Store.Agreement(agreement)
	if err != nil {
		return audit.Report{}, err
	}
	peer, err := n.Store.PeerByRoot(row.PeerRoot)
	if err != nil {
		return audit.Report{}, err
	}
	id, err := keys.ParsePublicIdentity(peer.Identity)
	if err != nil {
		return audit.Report{}, fmt.Errorf("stored identity of peer %q: %w", peer.Name, err)
	}
	var report audit.Report
	err = n.Store.View(func(r store.Reader) error {
		report, err = t.VerifyLog(r, n.Now(), n.Identity.Public().NoteVerifiers(), id.NoteVerifiers())
		return err
	})
	return report, err
}
