package protocol

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
)

// tendEvery is how often a node looks at what is due.
const tendEvery = time.Minute

// Tend keeps a serving node's lookups up to date until ctx ends. As an owner: it
// publishes again on the schedule of each agreement whose source is configured
// and that an operator has published once, begins new epochs when they are due,
// and destroys the secrets of those that answer no more. As an asker: it fetches
// and runs standing lookups. What fails is logged and tried again.
func (n *Node) Tend(ctx context.Context) error {
	tick := time.NewTicker(min(tendEvery, n.StandingEvery))
	defer tick.Stop()
	for {
		if err := n.TendOnce(ctx); err != nil && ctx.Err() == nil {
			n.Logger.Warn().Str("reason", err.Error()).Msg("tending lookups")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// TendOnce does what is due now, and returns everything that went wrong.
func (n *Node) TendOnce(ctx context.Context) error {
	if n.Dir == "" {
		return nil
	}
	rows, err := n.Store.Agreements()
	if err != nil {
		return err
	}
	var errs []error
	for _, row := range rows {
		a, err := loadAgreement(n.Store.Reader, row.ID)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		what := "agreement " + short(row.ID) + ": "
		if err := n.tendIndex(ctx, a, row.State); err != nil {
			errs = append(errs, fmt.Errorf(what+"search index: %w", err))
		}
		if !a.Allows(psi.ModeLookup) || ctx.Err() != nil {
			continue
		}
		// Secrets are destroyed whatever becomes of the agreement. A publication
		// under way has an epoch that is not whole yet.
		if err := n.sweepEpochs(ctx, a); err != nil {
			errs = append(errs, fmt.Errorf(what+"%w", err))
		}
		if row.State != store.AgreementInForce {
			continue
		}
		if err := n.tendPublication(ctx, a); err != nil {
			errs = append(errs, fmt.Errorf(what+"publishing: %w", err))
		}
		errs = append(errs, n.tendStanding(ctx, a))
		if err := n.tendCopy(ctx, a); err != nil {
			errs = append(errs, fmt.Errorf(what+"fetching: %w", err))
		}
	}
	return errors.Join(errs...)
}

// copyEvery is how often a copy of a peer's filter is brought up to date, at
// most; where the agreement has changes enter less often, then as often.
const copyEvery = time.Hour

// tendCopy fetches the newest version of a filter that was fetched before, so
// that a lookup need not wait for it.
func (n *Node) tendCopy(ctx context.Context, a *Agreement) error {
	seen, err := n.Store.FilterSeen(a.Hex())
	if errors.Is(err, store.ErrNotFound) {
		return nil // nobody looks anybody up here
	}
	if err != nil {
		return err
	}
	last, now := seen.At, n.Now()
	if tried := n.lookups.lastFetch(a.Hex()); tried.After(last) {
		last = tried
	}
	if now.Before(last.Add(max(copyEvery, a.Lookup.every()))) {
		return nil
	}
	n.lookups.fetching(a.Hex(), now)
	_, err = n.Fetch(ctx, FetchRequest{Agreement: a.Hex()})
	return err
}

// fetching and lastFetch remember when a copy was last brought up to date.
func (s *lookupState) fetching(agreement string, at time.Time) {
	s.mu.Lock()
	s.copied[agreement] = at
	s.mu.Unlock()
}

func (s *lookupState) lastFetch(agreement string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copied[agreement]
}

// sweepEpochs ends the epochs whose time is over, and finishes what a crash left
// of the end of others.
func (n *Node) sweepEpochs(ctx context.Context, a *Agreement) error {
	unlock, err := n.lookups.lock(ctx, "publish "+a.Hex())
	if err != nil {
		return err
	}
	defer unlock()
	_, until, err := a.Validity()
	if err != nil {
		return err
	}
	now := n.Now()
	return n.endEpochs(a, func(e store.Epoch) bool {
		if e.State == store.EpochEnded {
			id := epochID{e.Agreement, e.Epoch}
			_, secret := os.Stat(n.secretPath(id))
			_, filter := os.Stat(n.ownPath(id))
			return secret == nil || filter == nil
		}
		if now.After(until) || e.State != store.EpochBuilding && !now.Before(e.AnswersUntil) {
			return true
		}
		// An epoch whose secret does not open, for instance after a rotation of
		// the identity, can't answer any more: the next begins.
		_, err := n.loadEpoch(epochID{e.Agreement, e.Epoch})
		if err != nil {
			n.Logger.Warn().Str("agreement", short(e.Agreement)).Uint32("epoch", e.Epoch).Str("reason", err.Error()).Msg("the epoch does not open")
		}
		return errors.Is(err, errSecretLost)
	})
}

// tendPublication publishes the next version if one is due.
func (n *Node) tendPublication(ctx context.Context, a *Agreement) error {
	if n.Source == nil {
		return nil
	}
	due, rotate, err := n.publicationDue(a)
	if err != nil || !due || n.Now().Before(n.lookups.restsUntil(a.Hex())) {
		return err
	}
	src, err := n.Source(a.Hex())
	if err != nil {
		if rotate {
			return fmt.Errorf("a new epoch is due, but no source is configured: %w", err)
		}
		return nil // this agreement is published by hand
	}
	p, err := n.Publish(ctx, PublishRequest{Agreement: a.Hex(), Source: src})
	if err != nil {
		n.lookups.rest(a.Hex(), n.Now().Add(restAfterFailure))
		return err
	}
	n.lookups.tried(a.Hex(), n.Now())
	if p.Changed {
		n.Logger.Info().Str("agreement", short(a.Hex())).Uint32("epoch", p.Epoch).Uint64("serial", p.Serial).
			Int64("padded_keys", p.PaddedKeys).Msg("published")
	}
	return nil
}

// publicationDue reports whether the schedule wants a version now, and whether
// it is one of a new epoch.
func (n *Node) publicationDue(a *Agreement) (due, rotate bool, err error) {
	epochs, err := n.Store.Epochs(a.Hex())
	if err != nil || len(epochs) == 0 {
		return false, false, err // nothing was published yet: an operator begins
	}
	now := n.Now()
	for _, e := range epochs {
		switch e.State {
		case store.EpochBuilding: // was cut off
			return true, true, nil
		case store.EpochCurrent:
			if !now.Before(e.Ends) {
				return true, true, nil
			}
			last, err := n.Store.LastPublication(a.Hex(), e.Epoch)
			if err != nil {
				return false, false, err
			}
			every := a.Lookup.every()
			if every == 0 { // whenever: an operator says so
				return false, false, nil
			}
			next := last.Created
			if tried := n.lookups.lastTry(a.Hex()); tried.After(next) {
				next = tried
			}
			return !now.Before(next.Add(every)), false, nil
		}
	}
	// The last epoch has ended and none follows: its records should be served.
	return true, true, nil
}

// restAfterFailure is how long the schedule rests after a publication that
// failed: reading a large source takes its time.
const restAfterFailure = 10 * time.Minute

// rest and restsUntil remember that a publication has failed.
func (s *lookupState) rest(agreement string, until time.Time) {
	s.mu.Lock()
	s.rests[agreement] = until
	s.mu.Unlock()
}

func (s *lookupState) restsUntil(agreement string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rests[agreement]
}

// tried and lastTry remember when the schedule last looked for changes, so that
// where there are none it looks again a whole interval later.
func (s *lookupState) tried(agreement string, at time.Time) {
	s.mu.Lock()
	s.tries[agreement] = at
	s.mu.Unlock()
}

func (s *lookupState) lastTry(agreement string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries[agreement]
}

// standingEvery is how often a peer is asked whether its filter has changed, and
// how long a list rests after a failure, unless the options say otherwise.
const standingEvery = 10 * time.Minute

// tendStanding runs the standing lookups under an agreement.
func (n *Node) tendStanding(ctx context.Context, a *Agreement) error {
	lists, err := n.Store.StandingLists(a.Hex())
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range lists {
		if !l.Ended.IsZero() || n.Now().Sub(l.LastRun) < n.StandingEvery || ctx.Err() != nil {
			continue
		}
		run, err := n.RunStanding(ctx, l.ID, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("standing lookup %.16s: %w", l.ID, err))
			continue
		}
		for range run.New {
			// Whose hit it is stays in the store.
			n.Logger.Info().Str("agreement", short(a.Hex())).Str("list", short(l.ID)).Msg("new hit of a standing lookup")
		}
	}
	return errors.Join(errs...)
}
