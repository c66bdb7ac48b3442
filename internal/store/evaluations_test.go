package store

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func book(s *Store, agreement string, at time.Time, in, out int64, l EvaluationLimits) error {
	peer := peerA
	if agreement == agrB {
		peer = peerB
	}
	return s.Batch(func(tx *Tx) error {
		return tx.BookEvaluations(peer, agreement, Charge{at, in, out}, l)
	})
}

func wantOver(t *testing.T, err error, which string, used int64, retry time.Duration) {
	t.Helper()
	var over *OverBudgetError
	if !errors.As(err, &over) || over.Which != which || over.Used != used || over.RetryAfter != retry {
		t.Errorf("got %v (%+v), want %q over with %d used, retry after %v", err, over, which, used, retry)
	}
}

func TestEvaluationBudget(t *testing.T) {
	t.Parallel()
	l := EvaluationLimits{PerMinute: 100, PerDay: 250, ItemsPerDay: 300}
	t.Run("minute", func(t *testing.T) {
		t.Parallel()
		s := seeded(t)
		at := t0.Add(500 * time.Millisecond)
		must(t, book(s, agrA, at, 60, 0, l))
		must(t, book(s, agrA, at.Add(20*time.Second), 40, 0, l))
		// The first second ends at +1 s and counts until +61 s.
		wantOver(t, book(s, agrA, at.Add(30*time.Second), 8, 0, l), "evaluations per minute", 100, 30500*time.Millisecond)
		wantOver(t, book(s, agrA, at.Add(30*time.Second), 61, 0, l), "evaluations per minute", 100, 50500*time.Millisecond)
		wantOver(t, book(s, agrA, at.Add(30*time.Second), 101, 0, l), "evaluations per minute", 100, 0)
		wantOver(t, book(s, agrA, t0.Add(61*time.Second-1*time.Millisecond), 60, 0, l), "evaluations per minute", 100, time.Millisecond)
		must(t, book(s, agrA, t0.Add(61*time.Second), 60, 0, l))
	})
	t.Run("day", func(t *testing.T) {
		t.Parallel()
		s := seeded(t)
		for i := range 5 {
			must(t, book(s, agrA, t0.Add(time.Duration(i)*time.Hour), 50, 0, l))
		}
		last := t0.Add(5 * time.Hour)
		wantOver(t, book(s, agrA, last, 1, 0, l), "evaluations per day", 250, 19*time.Hour+time.Minute)
		must(t, book(s, agrA2, last, 50, 0, l))
		wantOver(t, book(s, agrA2, last, 1, 0, l), "items in per day", 300, 19*time.Hour+time.Minute)
		must(t, book(s, agrB, last, 50, 0, l)) // another peer
		wantOver(t, book(s, agrA, t0.Add(24*time.Hour+59*time.Second), 50, 0, l), "evaluations per day", 250, time.Second)
		must(t, book(s, agrA, t0.Add(24*time.Hour+time.Minute), 50, 0, l))
		wantOver(t, book(s, agrA, t0.Add(24*time.Hour+2*time.Minute), 1, 0, l), "evaluations per day", 250, 59*time.Minute)
	})
	t.Run("shared with sessions", func(t *testing.T) {
		t.Parallel()
		s := seeded(t)
		limits := Limits{1000, 300, 9, 9}
		newSession(t, s, sid(1), agrA, peerA, SessionApproved)
		_, err := begin(s, sid(1), Charge{t0, 200, 7}, limits)
		must(t, err)
		must(t, book(s, agrA2, t0, 100, 3, l))
		wantOver(t, book(s, agrA2, t0.Add(2*time.Minute), 1, 0, l), "items in per day", 300, 23*time.Hour+58*time.Minute)
		newSession(t, s, sid(2), agrA, peerA, SessionApproved)
		_, err = begin(s, sid(2), Charge{t0, 1, 0}, limits)
		wantOver(t, err, "items in per day", 300, 24*time.Hour)
		_, err = begin(s, sid(2), Charge{t0, 0, 291}, limits)
		wantOver(t, err, "items out per day", 10, 24*time.Hour)
		u, err := s.Usage(peerA, t0)
		must(t, err)
		if u != (Usage{300, 10, 1}) {
			t.Errorf("usage is %+v", u)
		}
	})
	t.Run("what is ours is not refused", func(t *testing.T) {
		t.Parallel()
		s := seeded(t)
		must(t, book(s, agrA, t0, 0, 5000, l))
		u, err := s.EvaluationUsage(peerA, agrA, t0)
		must(t, err)
		if u != (EvaluationUsage{0, 0, 5000}) {
			t.Errorf("usage is %+v", u)
		}
	})
}

// The sums and the buckets must tell the same, whatever the times.
func TestEvaluationSumsAreTheBuckets(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	r := rand.New(rand.NewPCG(1, 2))
	l := EvaluationLimits{PerMinute: 50, PerDay: 400, ItemsPerDay: 500}
	type booking struct {
		at time.Time
		n  int64
	}
	done := map[string][]booking{}
	now := t0
	refused := 0
	for range 300 {
		now = now.Add(time.Duration(r.ExpFloat64() * float64(20*time.Minute)))
		agreement := []string{agrA, agrA2}[r.IntN(2)]
		n := 1 + r.Int64N(30)
		var minute, day, all int64
		for name, bookings := range done {
			for _, b := range bookings {
				if b.at.Truncate(time.Minute).Add(24*time.Hour + time.Minute).After(now) {
					all += b.n
					if name == agreement {
						day += b.n
					}
				}
				if name == agreement && b.at.Truncate(time.Second).Add(61*time.Second).After(now) {
					minute += b.n
				}
			}
		}
		err := book(s, agreement, now, n, 0, l)
		fits := minute+n <= l.PerMinute && day+n <= l.PerDay && all+n <= l.ItemsPerDay
		if fits != (err == nil) {
			t.Fatalf("%d more after %d, %d and %d: %v", n, minute, day, all, err)
		}
		if err == nil {
			done[agreement] = append(done[agreement], booking{now.Truncate(time.Millisecond), n})
			continue
		}
		refused++
		var over *OverBudgetError
		if !errors.As(err, &over) {
			t.Fatal(err)
		}
		// It fits when it says, and not a millisecond earlier.
		if err := book(s, agreement, now.Truncate(time.Millisecond).Add(over.RetryAfter-time.Millisecond), n, 0, l); err == nil {
			t.Fatalf("what should fit in %v fitted earlier", over.RetryAfter)
		}
	}
	if refused < 20 {
		t.Errorf("only %d of 300 were refused", refused)
	}
}

func TestEvaluationsAreExactUnderARace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	seed(t, s)
	l := EvaluationLimits{PerMinute: 800, PerDay: 10_000, ItemsPerDay: 10_000}
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for range 64 {
		wg.Go(func() {
			for range 4 {
				if book(s, agrA, t0, 8, 0, l) == nil {
					mu.Lock()
					granted++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if granted != 100 {
		t.Errorf("%d bookings of 8 were granted under a cap of 800", granted)
	}
	must(t, s.Close())
	again, err := Open(dir) // a restart gives nothing back
	must(t, err)
	defer again.Close()
	wantOver(t, book(again, agrA, t0.Add(time.Second), 8, 0, l), "evaluations per minute", 800, time.Minute)
}

func TestEvaluationsNeedStanding(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := EvaluationLimits{100, 100, 100}
	if book(s, agrA, t0, -1, 0, l) == nil || book(s, agrA, t0, 1, 0, EvaluationLimits{0, 1, 1}) == nil {
		t.Error("nonsense was booked")
	}
	must(t, s.Update(func(tx *Tx) error { return tx.SuspendAgreement(agrA, peerA, "why", t0) }))
	wantErr(t, book(s, agrA, t0, 1, 0, l), ErrState, "suspended")
	must(t, s.Update(func(tx *Tx) error { return tx.RevokePeer(peerB, t0) }))
	wantErr(t, book(s, agrB, t0, 1, 0, l), ErrState, "revoked")
	err := s.Batch(func(tx *Tx) error { return tx.BookEvaluations(peerB, agrA, Charge{t0, 1, 0}, l) })
	wantErr(t, err, ErrNotFound)
}

func TestEvaluationsAndTheClock(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := EvaluationLimits{100, 100, 100}
	must(t, book(s, agrA, t0.Add(time.Hour), 60, 0, l))
	wantErr(t, book(s, agrA, t0, 1, 0, l), ErrClock)
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	_, err := begin(s, sid(1), Charge{t0, 1, 0}, Limits{100, 100, 9, 9})
	wantErr(t, err, ErrClock)
	wantOver(t, book(s, agrA, t0.Add(56*time.Minute), 41, 0, l), "evaluations per day", 60, 24*time.Hour+time.Minute)
	must(t, s.Update(func(tx *Tx) error {
		n, err := tx.RebaseCharges(t0)
		if err == nil && n == 0 {
			err = errors.New("nothing was moved")
		}
		return err
	}))
	u, err := s.EvaluationUsage(peerA, agrA, t0)
	must(t, err)
	if u.Day != 60 || u.Minute != 60 {
		t.Errorf("after the rebase %+v count", u)
	}
	wantOver(t, book(s, agrA, t0, 41, 0, l), "evaluations per day", 60, 24*time.Hour+time.Minute)
	must(t, book(s, agrA, t0, 40, 0, l))
	if _, err := s.ExpireSessions(t0.Add(40 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	must(t, book(s, agrA, t0.Add(40*24*time.Hour), 100, 0, l))
}
