package protocol

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/internal/voprf"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol/wirepb"
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

// LookupSummary is what a batch of lookups came to.
type LookupSummary struct {
	Records int64 `json:"records"`
	NoKeys  int64 `json:"no_keys"`
	// Hits counts the records with at least one.
	Hits        int64   `json:"hits"`
	Evaluations int64   `json:"evaluations"`
	Seconds     float64 `json:"seconds"`
}

// defaultInFlight is how many lookups of a batch are on the wire at once.
const defaultInFlight = 16

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

// Each looks up every record of a source and calls fn with the results, in the
// source's order. It stops at the first error, after the results before it.
func (l *Lookups) Each(ctx context.Context, src Source, fn func(*LookupResult) error) (sum LookupSummary, err error) {
	began := time.Now()
	if src.Compartment != l.r.a.Compartment {
		return sum, refuse(CodeRefused, "source %s is of compartment %q, the agreement of %q", src.Records.Name(), src.Compartment, l.r.a.Compartment)
	}
	inFlight := l.req.InFlight
	if inFlight <= 0 {
		inFlight = defaultInFlight
	}
	queue := make(chan chan lookedUp, inFlight)
	stop := make(chan struct{}) // what is on the wire is waited for
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(queue)
		report, err := src.Records.Each(ctx, src.Read, func(rec *records.Record) error {
			keys, cut := l.deriver.Keys(nil, rec)
			id := rec.ID
			one := make(chan lookedUp, 1)
			select {
			case queue <- one:
			case <-stop:
				return context.Canceled
			}
			wg.Go(func() {
				res, err := l.lookup(ctx, id, keys, cut)
				one <- lookedUp{res, err}
			})
			return nil
		})
		if src.Report != nil {
			src.Report(report)
		}
		if err != nil {
			last := make(chan lookedUp, 1)
			last <- lookedUp{nil, err}
			select {
			case queue <- last:
			case <-stop:
			}
		}
	})
	for one := range queue {
		got := <-one
		if err != nil {
			continue // draining
		}
		if err = got.err; err == nil {
			sum.add(got.result)
			err = fn(got.result)
		}
		if err != nil {
			close(stop)
		}
	}
	wg.Wait()
	sum.Seconds = time.Since(began).Seconds()
	return sum, err
}

// lookedUp is a result of Each that waits for those before it.
type lookedUp struct {
	result *LookupResult
	err    error
}

func (s *LookupSummary) add(r *LookupResult) {
	s.Records++
	s.Evaluations += int64(r.Evaluations)
	if r.NoKeys {
		s.NoKeys++
	}
	if len(r.Hits) > 0 {
		s.Hits++
	}
}

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
