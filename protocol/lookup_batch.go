package protocol

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/symbolon/symbolon/internal/records"
)

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

// Each looks up every record of a source and calls fn with the results, in the
// source's order. It stops at the first error, after the results before it. Where
// the peer's budget was what ended it, those under way that were paid for follow.
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
				res, err := l.patient(ctx, stop, id, keys, cut)
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
		switch {
		case err == nil:
			if err = got.err; err == nil {
				sum.add(got.result)
				err = fn(got.result)
			}
			if err != nil {
				close(stop)
			}
		case got.err == nil && overBudget(err): // draining
			sum.add(got.result)
			err = errors.Join(err, fn(got.result))
		}
	}
	wg.Wait()
	sum.Seconds = time.Since(began).Seconds()
	return sum, err
}

// patient is lookup that waits for room in the peer's budget, unless stop is
// closed.
func (l *Lookups) patient(ctx context.Context, stop <-chan struct{}, id string, keys []records.Key, cut bool) (*LookupResult, error) {
	for {
		res, err := l.lookup(ctx, id, keys, cut)
		wait, worth := budgetWait(err, l.n.Now(), l.req.Patience)
		if !worth {
			return res, err
		}
		select {
		case <-time.After(wait):
		case <-stop:
			return res, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// overBudget reports whether the peer has refused a request, and only that, for
// its budget.
func overBudget(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.request && e.Code == CodeBudget
}

// budgetWait returns how long to wait until a request that was refused for the
// peer's budget has room, and whether patience suffices. Where the clocks differ
// that may be too early: never so often that it matters.
func budgetWait(err error, now time.Time, patience time.Duration) (wait time.Duration, worth bool) {
	var e *Error
	if !overBudget(err) || !errors.As(err, &e) || e.RetryAfter.IsZero() || patience == 0 {
		return 0, false
	}
	wait = max(e.RetryAfter.Sub(now), time.Second)
	return wait, wait <= patience
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
