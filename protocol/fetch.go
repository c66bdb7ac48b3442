package protocol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// FetchRequest asks for the newest version of the peer's filter.
type FetchRequest struct {
	Agreement string
	Progress  func(Progress)
}

// Fetched is a version of a peer's filter that is on our disk.
type Fetched struct {
	Agreement string `json:"agreement"`
	Peer      string `json:"peer"`
	Epoch     uint32 `json:"epoch"`
	Serial    uint64 `json:"serial"`
	// New says that it was not there before; ByDelta that only what changed was
	// fetched.
	New        bool  `json:"new"`
	ByDelta    bool  `json:"by_delta"`
	PaddedKeys int64 `json:"padded_keys"`
	// FilterBytes is the filter's size, Received what was fetched of it now.
	FilterBytes int64 `json:"filter_bytes"`
	Received    int64 `json:"received"`
	// FalsePositiveLog2 is k where a lookup is wrongly a hit with probability
	// 2^k, recomputed from the filter's size.
	FalsePositiveLog2 float64   `json:"false_positive_log2"`
	Created           time.Time `json:"created"`
	ValidUntil        time.Time `json:"valid_until"`

	before version // what was seen last, zeros for nothing
}

const stageFetching = "fetching"

// Fetch brings our copy of the peer's filter up to date: by deltas where it can,
// going on where an earlier call was cut off. Everything is verified against the
// signed manifest before it is used; a filter that is stale, rolled back, signed
// by another key or for other terms than the agreement's is CodeManifest.
func (n *Node) Fetch(ctx context.Context, req FetchRequest) (_ *Fetched, err error) {
	if n.Dir == "" {
		return nil, errNoDir
	}
	r, err := n.openRequests(ctx, req.Agreement, psi.ModeLookup)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	f, update, err := n.fetch(ctx, r, req.Progress)
	if err != nil {
		return nil, r.blame(err)
	}
	return f, closeUpdate(update)
}

func closeUpdate(u *lookup.Update) error {
	if u == nil {
		return nil
	}
	return u.Close()
}

// blame ends a stream on which the peer did something wrong, so that it is told
// a code. A refusal of one request is no such thing.
func (r *requester) blame(err error) error {
	var e *Error
	if errors.As(err, &e) && e.request {
		return err
	}
	return r.fail(err)
}

// fetch is Fetch over an open stream. The update tells what changed; it is nil
// where nothing did.
func (n *Node) fetch(ctx context.Context, r *requester, progress func(Progress)) (*Fetched, *lookup.Update, error) {
	a := r.a
	unlock, err := n.lookups.lock(ctx, "fetch "+a.Hex())
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	signed, m, err := r.manifest(ctx)
	if err != nil {
		return nil, nil, err
	}
	out := fetchedOf(a, r.peer, m)
	if out.before, err = n.checkManifest(a, r.peer, m); err != nil {
		return nil, nil, err
	}
	mirror, err := lookup.OpenMirror(n.peerPath(epochID{a.Hex(), m.Epoch}), a.lookupParams(m.Epoch))
	if err != nil {
		return nil, nil, err
	}
	var update *lookup.Update
	f, err := mirror.Begin(signed)
	if err == nil {
		update, err = r.download(ctx, f, out, progress)
		err = errors.Join(err, f.Close())
	}
	if err != nil && !errors.Is(err, lookup.ErrCurrent) {
		return nil, nil, manifestError(err)
	}
	if err := n.seen(a, m, signed, out); err != nil {
		return nil, nil, errors.Join(err, closeUpdate(update))
	}
	if err := n.dropOld(a, m.Epoch); err != nil {
		return nil, nil, errors.Join(err, closeUpdate(update))
	}
	return out, update, nil
}

// download fetches what is missing and installs it.
func (r *requester) download(ctx context.Context, f *lookup.Fetch, out *Fetched, progress func(Progress)) (*lookup.Update, error) {
	for {
		out.ByDelta = f.ByDelta()
		received, err := r.chunks(ctx, f, progress)
		out.Received += received
		if err != nil {
			return nil, err
		}
		update, err := f.Finish(ctx)
		if err == nil {
			out.New = true
			return update, nil
		}
		if !errors.Is(err, lookup.ErrRefetch) {
			return nil, err
		}
		r.n.Logger.Warn().Str("agreement", short(r.a.Hex())).Str("reason", err.Error()).Msg("the deltas did not lead to the filter: it is fetched whole")
	}
}

// manifestError gives refusals of package lookup their code.
func manifestError(err error) error {
	if errors.Is(err, psi.ErrPeer) || errors.Is(err, lookup.ErrStale) || errors.Is(err, lookup.ErrRollback) {
		return refuse(CodeManifest, "%w", err)
	}
	return err
}

// manifest asks for the newest manifest and checks whose it is.
func (r *requester) manifest(ctx context.Context) (lookup.Signed, *lookup.Manifest, error) {
	var none lookup.Signed
	f, err := r.call(ctx, r.l.timeouts.Handshake, func(number uint64) *wirepb.Frame {
		return &wirepb.Frame{Body: &wirepb.Frame_ManifestQuery{ManifestQuery: &wirepb.ManifestQuery{Number: number}}}
	})
	if err != nil {
		return none, nil, err
	}
	got := f.GetManifest()
	if got == nil {
		return none, nil, refuse(CodeMessage, "the peer sent %s, want Manifest", frameName(f))
	}
	sig := signatureOf(got.Signature)
	if err := r.l.conn.Peer().Verify(domainManifest, got.Manifest, sig); err != nil {
		return none, nil, refuse(CodeManifest, "the manifest's signature: %w", err)
	}
	m, err := lookup.ParseManifest(got.Manifest)
	if err != nil {
		return none, nil, refuse(CodeManifest, "%w", err)
	}
	return lookup.Signed{Manifest: got.Manifest, Signature: sig.Bytes()}, m, nil
}

// checkManifest compares a manifest with the agreement, the clock and what was
// fetched before, which it returns.
func (n *Node) checkManifest(a *Agreement, peer store.Peer, m *lookup.Manifest) (last version, err error) {
	if err := m.Fits(a.lookupParams(m.Epoch)); err != nil {
		return last, refuse(CodeManifest, "%w", err)
	}
	rules := a.Rules.Hash()
	if m.RuleSet != hex.EncodeToString(rules[:]) || m.Normalisation != a.Normalisation {
		return last, refuse(CodeManifest, "the filter was made by other rules than the agreement's")
	}
	if err := m.ValidAt(n.Now(), a.ClockTolerance()); err != nil {
		return last, refuse(CodeManifest, "%w", err)
	}
	if life := a.Lookup.epoch() + a.Lookup.overlap(); m.ValidUntil.Sub(m.Created) > life {
		return last, refuse(CodeManifest, "the epoch would answer for longer than the agreement's %s", life)
	}
	seen, err := n.Store.FilterSeen(a.Hex())
	if errors.Is(err, store.ErrNotFound) {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	last = version{seen.Epoch, seen.Serial}
	hash := m.Hash()
	switch {
	case m.Epoch < last.epoch || m.Epoch == last.epoch && m.Serial < last.serial:
		return last, refuse(CodeManifest, "peer %q shows version %d.%d after %d.%d: the filter was rolled back", peer.Name, m.Epoch, m.Serial, last.epoch, last.serial)
	case m.Epoch == last.epoch && m.Serial == last.serial && string(seen.Hash) != string(hash[:]):
		return last, refuse(CodeManifest, "peer %q shows two filters as version %d.%d", peer.Name, m.Epoch, m.Serial)
	}
	before, err := lookup.ParseManifest(seen.Manifest)
	if err != nil {
		return last, fmt.Errorf("stored manifest: %w", err)
	}
	if m.Epoch == last.epoch && m.PublicKey != before.PublicKey {
		return last, refuse(CodeManifest, "peer %q shows two keys in epoch %d", peer.Name, m.Epoch)
	}
	return last, nil
}

// chunks fetches what is missing and returns how many bytes that was.
func (r *requester) chunks(ctx context.Context, f *lookup.Fetch, progress func(Progress)) (received int64, err error) {
	m := f.Manifest()
	for {
		from, chunk, ok := f.Want()
		if progress != nil {
			done, total := f.Progress()
			progress(Progress{Stage: stageFetching, Done: int(done), Total: int(total), Bytes: r.l.carried.Load()})
		}
		if !ok {
			return received, nil
		}
		answer, err := r.call(ctx, r.l.timeouts.Round, func(number uint64) *wirepb.Frame {
			return &wirepb.Frame{Body: &wirepb.Frame_ChunkQuery{ChunkQuery: &wirepb.ChunkQuery{
				Number: number, Epoch: m.Epoch, Serial: m.Serial, From: from, Chunk: uint32(chunk)}}}
		})
		if err != nil {
			return received, err
		}
		got := answer.GetFileChunk()
		if got == nil {
			return received, refuse(CodeMessage, "the peer sent %s, want FileChunk", frameName(answer))
		}
		if err := f.Put(ctx, got.Payload); err != nil {
			return received, manifestError(err)
		}
		received += int64(len(got.Payload))
	}
}

// seen stores and logs that a version was fetched.
func (n *Node) seen(a *Agreement, m *lookup.Manifest, s lookup.Signed, f *Fetched) error {
	hash := m.Hash()
	return n.Store.Update(func(tx *store.Tx) error {
		err := tx.PutFilterSeen(store.Seen{Agreement: a.Hex(), Epoch: m.Epoch, Serial: m.Serial, Hash: hash[:],
			Manifest: s.Manifest, Signature: s.Signature, At: n.Now()})
		if err != nil || !f.New {
			return err
		}
		return n.append(tx, a, audit.Entry{Event: eventFetched, Mode: string(psi.ModeLookup), Role: string(psi.RoleReceiver),
			Epoch: m.Epoch, Serial: m.Serial, Transcript: hex.EncodeToString(hash[:])})
	})
}

// dropOld removes the copies of earlier epochs.
func (n *Node) dropOld(a *Agreement, epoch uint32) error {
	dir := filepath.Join(n.Dir, lookupDir, peerDir, a.Hex())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if old, err := strconv.ParseUint(e.Name(), 10, 32); err == nil && uint32(old) < epoch {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func fetchedOf(a *Agreement, peer store.Peer, m *lookup.Manifest) *Fetched {
	return &Fetched{Agreement: a.Hex(), Peer: peer.Name, Epoch: m.Epoch, Serial: m.Serial, PaddedKeys: int64(m.Keys),
		FilterBytes: m.Filter.Bytes, FalsePositiveLog2: m.FalsePositive(), Created: m.Created, ValidUntil: m.ValidUntil}
}

// Filters returns the peers' filters that are on our disk, under one agreement or
// all for "".
func (n *Node) Filters(agreement string) ([]Fetched, error) {
	all, err := n.Store.FiltersSeen()
	if err != nil {
		return nil, err
	}
	out := []Fetched{}
	for _, s := range all {
		if agreement != "" && s.Agreement != agreement {
			continue
		}
		a, err := loadAgreement(n.Store.Reader, s.Agreement)
		if err != nil {
			return nil, err
		}
		row, err := n.Store.Agreement(s.Agreement)
		if err != nil {
			return nil, err
		}
		peer, err := n.Store.PeerByRoot(row.PeerRoot)
		if err != nil {
			return nil, err
		}
		m, err := lookup.ParseManifest(s.Manifest)
		if err != nil {
			return nil, fmt.Errorf("stored manifest: %w", err)
		}
		out = append(out, *fetchedOf(a, peer, m))
	}
	return out, nil
}
