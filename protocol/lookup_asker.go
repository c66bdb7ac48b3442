package protocol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/internal/voprf"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// LookupRequest opens lookups under an agreement.
type LookupRequest struct {
	Agreement     string
	User          *keys.User // unlocked
	Purpose, Case string
	// InFlight bounds the lookups of Each on the wire at once; 0 means 16.
	InFlight int
	// Patience is how long a lookup of Each waits for room in the peer's budget;
	// 0 is not at all.
	Patience time.Duration
	// NoFetch uses the filter on our disk even where the peer has a newer one.
	NoFetch  bool
	Progress func(Progress)
}

// asker is who asks, and why, as it travels with each request.
type asker struct {
	name, key, purpose, caseNumber string
	list                           []byte // of a standing lookup
}

// Lookups is an open stream on which single people are looked up at a peer. Its
// methods may be called concurrently, but for Close.
type Lookups struct {
	n       *Node
	r       *requester
	who     asker
	deriver *records.Deriver
	req     LookupRequest

	refreshing sync.Mutex // held while a newer version is fetched

	mu      sync.Mutex
	current *openFilter
	stale   bool           // the peer has spoken of a newer version
	closing sync.WaitGroup // filters that have been replaced
}

// openFilter is a version of the peer's filter in use.
type openFilter struct {
	version
	params lookup.Params
	key    *voprf.PublicKey
	filter *lookup.Filter
	users  sync.WaitGroup
}

// LookupResult is the answer for one record.
type LookupResult struct {
	ID string `json:"id"`
	// NoKeys says that no rule derives a key from the record, so that nobody
	// was asked; Cut that it has more keys than the agreement allows.
	NoKeys bool `json:"no_keys,omitempty"`
	Cut    bool `json:"cut,omitempty"`
	Keys   int  `json:"keys"`
	// Evaluations is what the request cost of the budget, after padding.
	Evaluations int         `json:"evaluations"`
	Epoch       uint32      `json:"epoch"`
	Serial      uint64      `json:"serial"`
	Hits        []LookupHit `json:"hits"`
	Seconds     float64     `json:"seconds"`
}

// LookupHit is a record of the peer's that shares a key with ours, by the rules
// named. It is a lead, not an identification.
type LookupHit struct {
	Rules     []string `json:"rules"`
	Reference string   `json:"reference,omitempty"`
	Contact   string   `json:"contact,omitempty"`
	Text      string   `json:"text,omitempty"`
	Flags     []string `json:"flags,omitempty"`

	row int64 // the peer's record, -1 if unknown
}

// OpenLookups connects to the peer and fetches its filter where ours is older.
// Close what it returns. Ending ctx ends the stream.
func (n *Node) OpenLookups(ctx context.Context, req LookupRequest) (*Lookups, error) {
	if req.User == nil {
		return nil, refuse(CodeApproval, "a lookup needs an operator")
	}
	if err := n.checkUser(req.User); err != nil {
		return nil, err
	}
	if err := checkAsker(req.User.Name(), req.Purpose, req.Case); err != nil {
		return nil, err
	}
	who := asker{name: req.User.Name(), key: hex.EncodeToString(req.User.PublicKey()), purpose: req.Purpose, caseNumber: req.Case}
	return n.openLookups(ctx, req, who)
}

func (n *Node) openLookups(ctx context.Context, req LookupRequest, who asker) (*Lookups, error) {
	if n.Dir == "" {
		return nil, errNoDir
	}
	r, err := n.openRequests(ctx, req.Agreement, psi.ModeLookup)
	if err != nil {
		return nil, err
	}
	l := &Lookups{n: n, r: r, who: who, req: req}
	if l.deriver, err = records.NewDeriver(r.a.Rules, r.a.Normalisation); err == nil {
		err = l.begin(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// begin opens the filter on the disk, or the peer's if that is newer.
func (l *Lookups) begin(ctx context.Context) error {
	granted := version{l.r.granted.Epoch, l.r.granted.Serial}
	seen, err := l.n.Store.FilterSeen(l.r.a.Hex())
	switch {
	case err == nil && (l.req.NoFetch || granted == version{seen.Epoch, seen.Serial}):
		if l.current, err = l.n.openSeen(l.r.a, seen); err == nil || l.req.NoFetch {
			return err
		}
		var stale *Error
		if errors.As(err, &stale) {
			break
		}
		// What is on the disk is damaged: the peer has it whole.
		l.n.Logger.Warn().Str("agreement", short(l.r.a.Hex())).Str("reason", err.Error()).Msg("the filter does not open: it is fetched again")
		if err := l.n.dropOld(l.r.a, seen.Epoch+1); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	case err != nil && l.req.NoFetch:
		return refuse(CodeNotPublished, "no filter of agreement %.16s was fetched", l.r.a.Hex())
	case granted.epoch == 0:
		return refuse(CodeNotPublished, "peer %q has published nothing under agreement %.16s", l.r.peer.Name, l.r.a.Hex())
	}
	return l.refresh(ctx, nil)
}

// openSeen opens the filter that was last fetched.
func (n *Node) openSeen(a *Agreement, seen store.Seen) (*openFilter, error) {
	mirror, err := lookup.OpenMirror(n.peerPath(epochID{a.Hex(), seen.Epoch}), a.lookupParams(seen.Epoch))
	if err != nil {
		return nil, err
	}
	signed, m, ok := mirror.Current()
	if !ok || string(signed.Manifest) != string(seen.Manifest) {
		return nil, fmt.Errorf("the filter on the disk is not version %d.%d", seen.Epoch, seen.Serial)
	}
	if err := m.ValidAt(n.Now(), a.ClockTolerance()); err != nil {
		return nil, refuse(CodeManifest, "%w", err)
	}
	public, err := hex.DecodeString(m.PublicKey)
	if err != nil {
		return nil, err
	}
	f := &openFilter{version: version{m.Epoch, m.Serial}, params: a.lookupParams(m.Epoch)}
	if f.key, err = voprf.ParsePublicKey(voprf.ModeVOPRF, public); err != nil {
		return nil, refuse(CodeManifest, "%w", err)
	}
	if f.filter, err = mirror.Open(); err != nil {
		return nil, err
	}
	return f, nil
}

// refresh fetches a newer version than the one given, unless another goroutine
// has done so already.
func (l *Lookups) refresh(ctx context.Context, old *openFilter) error {
	l.refreshing.Lock()
	defer l.refreshing.Unlock()
	l.mu.Lock()
	done := l.current != old
	l.mu.Unlock()
	if done {
		return nil
	}
	_, update, err := l.n.fetch(ctx, l.r, l.req.Progress)
	if err != nil {
		return l.r.blame(err)
	}
	if err := closeUpdate(update); err != nil {
		return err
	}
	seen, err := l.n.Store.FilterSeen(l.r.a.Hex())
	if err != nil {
		return err
	}
	f, err := l.n.openSeen(l.r.a, seen)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.current, l.stale = f, false
	l.mu.Unlock()
	if old != nil {
		l.closing.Go(func() { old.close(l.n) })
	}
	return nil
}

// close waits for those who use the filter.
func (f *openFilter) close(n *Node) {
	f.users.Wait()
	if err := f.filter.Close(); err != nil {
		n.Logger.Warn().Str("reason", err.Error()).Msg("closing a filter")
	}
}

// acquire returns the present filter, which users.Done gives back.
func (l *Lookups) acquire(ctx context.Context) (*openFilter, error) {
	l.mu.Lock()
	f, stale := l.current, l.stale && !l.req.NoFetch
	if !stale {
		f.users.Add(1)
	}
	l.mu.Unlock()
	if !stale {
		return f, nil
	}
	if err := l.refresh(ctx, f); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current.users.Add(1)
	return l.current, nil
}

// Version returns the epoch and serial of the filter in use.
func (l *Lookups) Version() (epoch uint32, serial uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current.epoch, l.current.serial
}

// Traffic returns what the stream has carried so far.
func (l *Lookups) Traffic() (sent, got Traffic) { return l.r.l.traffic() }

// Close ends the stream, with an exchange of log heads. All calls must have
// returned.
func (l *Lookups) Close() error {
	err := l.r.close()
	l.mu.Lock()
	f := l.current
	l.current = nil
	l.mu.Unlock()
	if f != nil {
		f.close(l.n)
	}
	l.closing.Wait()
	return err
}
