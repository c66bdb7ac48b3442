package protocol

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/internal/voprf"
	"github.com/symbolon/symbolon/protocol/wirepb"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/lookup"
)

// Lookup looks up one record. An *Error with CodeBudget tells when there is room
// again; the stream stays usable then.
func (l *Lookups) Lookup(ctx context.Context, rec *records.Record) (*LookupResult, error) {
	keys, cut := l.deriver.Clone().Keys(nil, rec)
	return l.lookup(ctx, rec.ID, keys, cut)
}

// lookup is Lookup by the keys of a record.
func (l *Lookups) lookup(ctx context.Context, id string, keys []records.Key, cut bool) (*LookupResult, error) {
	began := time.Now()
	out := &LookupResult{ID: id, Cut: cut, Keys: len(keys), NoKeys: len(keys) == 0, Hits: []LookupHit{}}
	if out.NoKeys {
		out.Epoch, out.Serial = l.Version()
		return out, nil
	}
	out.Evaluations = l.r.a.Lookup.padded(len(keys))
	if err := l.logAsked(out); err != nil {
		return nil, err
	}
	err := l.ask(ctx, out, keys)
	var e *Error
	if errors.As(err, &e) && e.request && e.Code == CodeEpoch && !l.req.NoFetch {
		l.mu.Lock()
		l.stale = true
		l.mu.Unlock()
		err = l.ask(ctx, out, keys)
	}
	if logged := l.logAnswered(out, err); err == nil {
		err = logged
	}
	out.Seconds = time.Since(began).Seconds()
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ask makes the request and tests what it gives.
func (l *Lookups) ask(ctx context.Context, out *LookupResult, keys []records.Key) error {
	f, err := l.acquire(ctx)
	if err != nil {
		return err
	}
	defer f.users.Done()
	seeds, newest, err := l.evaluate(ctx, f, keys)
	if err != nil {
		return err
	}
	at := f
	if newest != f.version && newest != (version{}) {
		l.mu.Lock()
		l.stale = l.stale || l.current.version != newest
		l.mu.Unlock()
	}
	if newest.epoch == f.epoch && newest.serial > f.serial && !l.req.NoFetch {
		// The outputs are good for the newer version too.
		g, err := l.acquire(ctx)
		if err != nil {
			return err
		}
		defer g.users.Done()
		if g.epoch == f.epoch {
			at = g
		}
	}
	out.Epoch, out.Serial = at.epoch, at.serial
	out.Hits, err = at.test(keys, seeds)
	return err
}

// evaluate returns the seeds of keys, in their order: one request, padded and
// shuffled, whose proof holds for the key that the manifest names. It also
// returns the peer's newest version.
func (l *Lookups) evaluate(ctx context.Context, f *openFilter, keys []records.Key) ([]lookup.Seed, version, error) {
	n := l.n
	items := make([]lookup.Item, l.r.a.Lookup.padded(len(keys)))
	hasher := f.params.Hasher()
	for i, k := range keys {
		items[i] = hasher.Item(k.Rule, k.Value)
	}
	for i := len(keys); i < len(items); i++ {
		if _, err := io.ReadFull(n.Rand, items[i][:]); err != nil {
			return nil, version{}, err
		}
	}
	// The owner may not see where the padding begins by any other means either.
	order, err := psi.Permutation(n.Rand, len(items))
	if err != nil {
		return nil, version{}, err
	}
	inputs := make([][]byte, len(items))
	for i, at := range order {
		inputs[at] = items[i][:]
	}
	blind, err := voprf.Blind(voprf.ModeVOPRF, n.Rand, inputs)
	if err != nil {
		return nil, version{}, err
	}
	m := &wirepb.LookupRequest{Epoch: f.epoch, List: l.who.list, User: l.who.name, Purpose: l.who.purpose, Case: l.who.caseNumber, Blinded: blind.Blinded()}
	answer, err := l.r.call(ctx, l.r.l.timeouts.Handshake, func(number uint64) *wirepb.Frame {
		m.Number = number
		m.Signature = ed25519.Sign(l.r.key, lookupSigned(l.r.a.ID(), m))
		return &wirepb.Frame{Body: &wirepb.Frame_LookupRequest{LookupRequest: m}}
	})
	if err != nil {
		return nil, version{}, err
	}
	got := answer.GetLookupAnswer()
	if got == nil {
		return nil, version{}, l.r.fail(refuse(CodeMessage, "the peer sent %s, want LookupAnswer", frameName(answer)))
	}
	outputs, err := blind.Finalize(f.key, got.Evaluated, got.Proof)
	if err != nil {
		return nil, version{}, l.r.fail(refuse(CodeMessage, "the peer's evaluation: %w", err))
	}
	seeds := make([]lookup.Seed, len(keys))
	for i := range keys {
		seeds[i] = f.params.Seed(outputs[order[i]][:])
	}
	l.r.keepHeads()
	return seeds, version{got.Epoch, got.Serial}, nil
}

// test looks the seeds of a record's keys up in the filter.
func (f *openFilter) test(keys []records.Key, seeds []lookup.Seed) ([]LookupHit, error) {
	hits := []LookupHit{}
	for i, seed := range seeds {
		hit, found, err := f.filter.Test(seed)
		if err != nil {
			return nil, err
		}
		if found {
			hits = mergeHit(hits, keys[i].Rule, hit)
		}
	}
	slices.SortFunc(hits, func(x, y LookupHit) int {
		return cmp.Or(strings.Compare(x.Reference, y.Reference), cmp.Compare(x.row, y.row))
	})
	return hits, nil
}

// mergeHit adds the hit of one key: records of the peer's that were hit before
// gain its rule.
func mergeHit(hits []LookupHit, rule string, hit lookup.Hit) []LookupHit {
	for l := range max(1, len(hit.Labels)) {
		h := LookupHit{row: -1}
		if len(hit.Labels) > 0 {
			label := hit.Labels[l]
			h = LookupHit{Reference: label.Reference, Contact: label.Contact, Text: label.Text, row: int64(hit.Rows[l])}
		}
		i := slices.IndexFunc(hits, func(x LookupHit) bool { return x.row == h.row })
		if i < 0 {
			i = len(hits)
			hits = append(hits, h)
		}
		h = hits[i]
		if !slices.Contains(h.Rules, rule) {
			h.Rules = append(h.Rules, rule)
		}
		for flag, set := range map[string]bool{FlagCut: hit.More, FlagBroken: hit.Broken} {
			if set && !slices.Contains(h.Flags, flag) {
				h.Flags = append(h.Flags, flag)
				slices.Sort(h.Flags)
			}
		}
		hits[i] = h
	}
	return hits
}

// entry starts a log entry about a request of ours.
func (l *Lookups) entry(event string, out *LookupResult) audit.Entry {
	items := int64(out.Evaluations)
	return audit.Entry{Event: event, Peer: l.r.peer.Root, Role: string(psi.RoleReceiver), Mode: string(psi.ModeLookup),
		User: l.who.name, UserKey: l.who.key, Purpose: l.who.purpose, Case: l.who.caseNumber, Session: hex.EncodeToString(l.who.list),
		References: []string{out.ID}, OwnItems: &items}
}

// logAsked logs whom we ask about, before anything of it leaves.
func (l *Lookups) logAsked(out *LookupResult) error {
	return l.n.Store.Batch(func(tx *store.Tx) error { return l.n.append(tx, l.r.a, l.entry(eventAsked, out)) })
}

// logAnswered logs the outcome and books what we put in, where the peer has.
func (l *Lookups) logAnswered(out *LookupResult, cause error) error {
	e := l.entry(eventAnswered, out)
	hits := int64(len(out.Hits))
	switch {
	case cause != nil:
		code, _ := codeOf(cause)
		e.Outcome = string(code)
	case hits > 0:
		e.Outcome = "hit"
	default:
		e.Outcome = "no-hit"
	}
	charge := store.Charge{At: l.n.Now(), ItemsOut: int64(out.Evaluations)}
	if cause == nil {
		e.Hits, e.Epoch, e.Serial = &hits, out.Epoch, out.Serial
		for _, h := range out.Hits {
			e.Rules = append(e.Rules, h.Rules...)
		}
		slices.Sort(e.Rules)
		e.Rules = slices.Compact(e.Rules)
	}
	return l.n.Store.Batch(func(tx *store.Tx) error {
		if cause == nil {
			err := tx.BookEvaluations(l.r.peer.Root, l.r.a.Hex(), charge, l.r.a.evaluationLimits())
			if err != nil && !errors.Is(err, store.ErrState) { // suspended in between: log it all the same
				return err
			}
		}
		return l.n.append(tx, l.r.a, e)
	})
}
