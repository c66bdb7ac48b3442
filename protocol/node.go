package protocol

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/chacha20poly1305"
	"google.golang.org/grpc"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/psi"
)

// Options configure a Node.
type Options struct {
	Identity *keys.Identity
	Store    *store.Store
	// Source returns where the records for an agreement come from when the peer
	// proposes a session.
	Source func(agreement string) (Source, error)
	Logger zerolog.Logger
	// Timeouts are DefaultTimeouts where zero.
	Timeouts Timeouts
	// MaxSessions bounds the sessions served at once, 0 means 8; MaxLookups the
	// streams of lookups, which cost far less, 0 means 256.
	MaxSessions, MaxLookups int
	// Dir is the node's directory, which holds filters and the secrets of their
	// epochs; without it the node has no lookups.
	Dir string
	// Workers bounds the goroutines of an engine; 0 means all processors.
	Workers int
	// Rand and Now are crypto/rand and the clock unless a test sets them.
	Rand io.Reader
	Now  func() time.Time
	// StandingEvery is how often Tend asks a peer whether the filter that a
	// standing lookup is tested against has changed; 0 means 10 minutes.
	StandingEvery time.Duration
	// OnStanding, if set, hears of each new hit of a standing lookup.
	OnStanding func(StandingHit)
	// Observe, if set, hears of every attempt that ends, and of every lookup that
	// was answered or refused, for metrics.
	Observe func(Event)
}

// Event is an attempt that ended, without anything of persons in it.
type Event struct {
	// Request says that it is a request that was answered at once: PeerItems are
	// its evaluations, after padding, and there is no traffic of its own.
	Request   bool
	Mode      psi.Mode
	Role      psi.Role
	Outcome   string
	Items     int64
	PeerItems int64
	Sent, Got Traffic
	Duration  time.Duration
}

// Node is one agency's service: it proposes sessions and answers those of its
// peers. It is safe for concurrent use.
type Node struct {
	Options
	dial     func(context.Context, store.Peer) (Conn, func(), error) // dialPeer, unless a test sets it
	override func(*Agreement) *Agreement                             // set by tests that play a lax node
	cost     time.Duration                                           // of an evaluation, if a test sets it

	turns sync.Map // agreement -> chan struct{}: who asks for a log head

	lookups  lookupState
	searches searchState

	mu      sync.Mutex
	live    map[*liveSession]struct{}
	closing bool
	idle    sync.WaitGroup
}

// liveSession is a stream in progress, so that a suspension can end it.
type liveSession struct {
	peerRoot, agreement, handle string
	kind                        streamKind
	cancel                      context.CancelCauseFunc
}

// streamKind is what a stream turned out to be for.
type streamKind int

const (
	streamOurs    streamKind = iota // we opened it
	streamOpening                   // the peer has not said yet
	streamSession
	streamRequests // under a grant
)

// NewNode returns a node over an open store. Sessions that an earlier process
// left running are marked aborted; what they cost stays charged.
func NewNode(o Options) (*Node, error) {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 8
	}
	if o.MaxLookups == 0 {
		o.MaxLookups = 256
	}
	if o.StandingEvery == 0 {
		o.StandingEvery = standingEvery
	}
	if o.Timeouts == (Timeouts{}) {
		o.Timeouts = DefaultTimeouts
	}
	n := &Node{Options: o, live: map[*liveSession]struct{}{}}
	n.dial = n.dialPeer
	n.lookups.init(o.Workers)
	n.searches.init()
	if err := n.recover(); err != nil {
		return nil, err
	}
	return n, nil
}

// recover logs the sessions that a stopped process left running.
func (n *Node) recover() error {
	return n.Store.Update(func(tx *store.Tx) error {
		sessions, err := tx.RecoverSessions(n.Now())
		if err != nil {
			return err
		}
		for _, s := range sessions {
			a, err := loadAgreement(tx.Reader, s.Agreement)
			if err != nil {
				return err
			}
			e := entryOf(s, eventAborted)
			e.Outcome = s.Outcome
			if err := n.append(tx, a, e); err != nil {
				return err
			}
		}
		return nil
	})
}

var errClosing = &Error{Code: CodeCancelled, Reason: "the node is shutting down"}

// enter registers a stream, unless the node is full or closing.
func (n *Node) enter(cancel context.CancelCauseFunc, peerRoot string, served bool) (*liveSession, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return nil, errClosing
	}
	s := &liveSession{cancel: cancel, peerRoot: peerRoot}
	if served {
		if open := len(n.live); open >= n.MaxSessions+n.MaxLookups {
			return nil, refuse(CodeBusy, "%d streams are open already", open)
		}
		s.kind = streamOpening
	}
	n.live[s] = struct{}{}
	n.idle.Add(1)
	return s, nil
}

// admit decides whether a stream that the peer opened may be what it asks to be.
func (n *Node) admit(s *liveSession, kind streamKind) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	running, ofPeer, most := 0, 0, n.MaxSessions
	if kind == streamRequests {
		most = n.MaxLookups
	}
	for other := range n.live {
		if other.kind == kind {
			running++
			if other.peerRoot == s.peerRoot {
				ofPeer++
			}
		}
	}
	// Streams of requests stay open for long: no peer may take them all.
	if running >= most || kind == streamRequests && ofPeer >= max(1, most*3/4) {
		return refuse(CodeBusy, "%d streams of the kind are open already, %d of this peer", running, ofPeer)
	}
	s.kind = kind
	return nil
}

// claim gives the stream its session; one session runs on one stream only.
func (n *Node) claim(s *liveSession, agreement, handle string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.live {
		if other != s && handle != "" && other.handle == handle {
			return refuse(CodeBusy, "session %.16s runs already", handle)
		}
	}
	s.agreement, s.handle = agreement, handle
	return nil
}

func (n *Node) leave(s *liveSession) {
	n.mu.Lock()
	delete(n.live, s)
	n.mu.Unlock()
	n.idle.Done()
}

// interrupt ends the streams that match, telling their peers a code.
func (n *Node) interrupt(cause error, match func(*liveSession) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.live {
		if match(s) {
			s.cancel(cause)
		}
	}
}

// Server returns the gRPC server that answers the node's peers.
func (n *Node) Server() *grpc.Server {
	return NewServer(n.Identity.ServerTLS(n.pin), n.Handle)
}

// Live returns how many streams are open.
func (n *Node) Live() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.live)
}

// Close refuses new streams, ends those of peers' requests, waits for the running
// sessions until ctx ends, then aborts those that remain and waits for them. The
// store stays open.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	// Streams of requests may stay idle for long, and lose nothing but the
	// requests under way.
	n.interrupt(errClosing, func(s *liveSession) bool { return s.kind == streamRequests })
	done := make(chan struct{})
	go func() {
		n.idle.Wait()
		close(done)
	}()
	select {
	case <-done:
		return n.searches.close()
	case <-ctx.Done():
		n.interrupt(errClosing, func(*liveSession) bool { return true })
		<-done
		return errors.Join(ctx.Err(), n.searches.close())
	}
}

// SuspendAgreement stops an agreement at once: running sessions under it abort
// and no new ones start.
func (n *Node) SuspendAgreement(id, user, reason string) error {
	root, err := n.ownRoot()
	if err != nil {
		return err
	}
	err = n.Store.Update(func(tx *store.Tx) error {
		a, err := loadAgreement(tx.Reader, id)
		if err != nil {
			return err
		}
		if err := tx.SuspendAgreement(id, root, reason, n.Now()); err != nil {
			return err
		}
		return n.append(tx, a, audit.Entry{Event: eventSuspended, User: user, Note: reason})
	})
	if err == nil {
		n.interrupt(refuse(CodeNotInForce, "the agreement was suspended"), func(s *liveSession) bool { return s.agreement == id })
	}
	return err
}

// ResumeAgreement lifts our own suspension.
func (n *Node) ResumeAgreement(id, user string) error {
	root, err := n.ownRoot()
	if err != nil {
		return err
	}
	return n.Store.Update(func(tx *store.Tx) error {
		a, err := loadAgreement(tx.Reader, id)
		if err != nil {
			return err
		}
		if err := tx.ResumeAgreement(id, root, n.Now()); err != nil {
			return err
		}
		return n.append(tx, a, audit.Entry{Event: eventResumed, User: user})
	})
}

// RevokePeer cuts off a peer at once.
func (n *Node) RevokePeer(root string) error {
	err := n.Store.Update(func(tx *store.Tx) error { return tx.RevokePeer(root, n.Now()) })
	if err == nil {
		n.interrupt(refuse(CodeRefused, "the peer was revoked"), func(s *liveSession) bool { return s.peerRoot == root })
	}
	return err
}

// ownRoot is the fingerprint that the agency has had from the start.
func (n *Node) ownRoot() (string, error) {
	own, err := n.Store.OwnIdentities()
	if err != nil {
		return "", err
	}
	if len(own) == 0 {
		return n.Identity.Public().Fingerprint().String(), nil
	}
	return own[0].Fingerprint, nil
}

// loadAgreement reads a stored agreement.
func loadAgreement(r store.Reader, id string) (*Agreement, error) {
	row, err := r.Agreement(id)
	if err != nil {
		return nil, err
	}
	s, err := ParseSignedAgreement(row.Document)
	if err != nil {
		return nil, fmt.Errorf("stored agreement %.16s: %w", id, err)
	}
	return s.Agreement, nil
}

// inForce returns the agreement if sessions may run under it now, with the peer
// it is with.
func (n *Node) inForce(id string) (*Agreement, store.Peer, error) {
	row, err := n.Store.Agreement(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, store.Peer{}, refuse(CodeAgreement, "agreement %.16s is unknown here", id)
	}
	if err != nil {
		return nil, store.Peer{}, err
	}
	signed, err := ParseSignedAgreement(row.Document)
	if err != nil {
		return nil, store.Peer{}, fmt.Errorf("stored agreement %.16s: %w", id, err)
	}
	a := signed.Agreement
	if a.Hex() != id {
		return nil, store.Peer{}, fmt.Errorf("stored agreement %.16s hashes to %.16s", id, a.Hex())
	}
	if n.override != nil {
		a = n.override(a)
	}
	peer, err := n.Store.PeerByRoot(row.PeerRoot)
	if err != nil {
		return nil, store.Peer{}, err
	}
	if err := signed.Complete(); err != nil {
		return nil, peer, refuse(CodeNotInForce, "%w", err)
	}
	if row.State != store.AgreementInForce {
		return nil, peer, refuse(CodeNotInForce, "agreement %.16s is %s", id, row.State)
	}
	if peer.Status != store.StatusActive {
		return nil, peer, refuse(CodeRefused, "peer %q is %s", peer.Name, peer.Status)
	}
	from, until, err := a.Validity()
	if err != nil {
		return nil, peer, err
	}
	if now := n.Now(); now.Before(from) || now.After(until) {
		return nil, peer, refuse(CodeNotInForce, "agreement %.16s is valid from %s until %s", id, a.ValidFrom, a.ValidUntil)
	}
	return a, peer, nil
}

// seal and open keep a session's secrets in the store under a key of the
// identity, bound to what they are.
func (n *Node) seal(secret []byte, what string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(n.Identity.Derive(storeKey).Expose())
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(n.Rand, nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, secret, []byte(what)), nil
}

func (n *Node) open(sealed []byte, what string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(n.Identity.Derive(storeKey).Expose())
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("the session's secrets are gone")
	}
	secret, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(what))
	if err != nil {
		return nil, errors.New("the session's secrets were sealed under another identity: start a new session")
	}
	return secret, nil
}

// storeKey derives the key under which sessions' secrets lie in the store.
const storeKey = "symbolon/v1/session-secrets"

// sealSeed and openSeed keep a session's seed.
func (n *Node) sealSeed(seed []byte, handle [32]byte) ([]byte, error) {
	return n.seal(seed, "seed/"+hexOf(handle))
}

func (n *Node) openSeed(sealed []byte, handle [32]byte) ([]byte, error) {
	seed, err := n.open(sealed, "seed/"+hexOf(handle))
	if err == nil && len(seed) != seedSize {
		err = fmt.Errorf("the session's seed has %d bytes, want %d", len(seed), seedSize)
	}
	return seed, err
}

func hexOf(b [32]byte) string { return hex.EncodeToString(b[:]) }
