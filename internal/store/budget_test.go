package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	const h = time.Hour
	type step struct {
		session int
		at      time.Duration
		in, out int64
		limits  Limits
		want    *OverBudgetError // nil: the attempt begins
	}
	day := func(items, sessions int64) Limits { return Limits{1000, items, sessions, 9} }
	for name, steps := range map[string][]step{
		"items per session": {
			{1, 0, 1000, 0, day(5000, 9), nil},
			{2, 0, 1001, 0, day(5000, 9), &OverBudgetError{"items in per session", 1000, 0, 1001, 0}},
			{2, 0, 0, 1001, day(5000, 9), &OverBudgetError{"items out per session", 1000, 0, 1001, 0}},
			{2, 0, 0, 1000, day(5000, 9), nil},
		},
		"items per day": {
			{1, 0, 60, 0, day(100, 9), nil},
			{2, 1 * h, 40, 100, day(100, 9), nil},
			{3, 2 * h, 1, 0, day(100, 9), &OverBudgetError{"items in per day", 100, 100, 1, 22 * h}},
			{3, 2 * h, 61, 0, day(100, 9), &OverBudgetError{"items in per day", 100, 100, 61, 23 * h}},
			{3, 2 * h, 101, 0, day(100, 9), &OverBudgetError{"items in per day", 100, 100, 101, 0}},
			{3, 2 * h, 0, 1, day(100, 9), &OverBudgetError{"items out per day", 100, 100, 1, 23 * h}},
			{3, 2 * h, 1, 0, day(101, 9), nil},
			{4, 24*h - 1, 60, 0, day(101, 9), &OverBudgetError{"items in per day", 101, 101, 60, time.Millisecond}},
			{4, 24 * h, 60, 0, day(101, 9), nil},
		},
		"every attempt is charged": {
			{1, 0, 50, 0, day(100, 1), nil},
			{1, 1 * h, 50, 0, day(100, 1), nil},
			{1, 2 * h, 50, 0, day(100, 1), &OverBudgetError{"items in per day", 100, 100, 50, 22 * h}},
		},
		"sessions per day count distinct sessions": {
			{1, 0, 1, 0, day(100, 2), nil},
			{2, 1 * h, 1, 0, day(100, 2), nil},
			{1, 2 * h, 1, 0, day(100, 2), nil},
			{3, 3 * h, 0, 0, day(100, 2), &OverBudgetError{"sessions per day", 2, 2, 1, 22 * h}},
			{3, 25 * h, 0, 0, day(100, 2), nil},
			{4, 25*h + 1, 0, 0, day(100, 2), &OverBudgetError{"sessions per day", 2, 2, 1, h}},
		},
		"nothing asked, nothing refused": {
			{1, 0, 100, 0, day(100, 9), nil},
			{2, 0, 0, 0, day(50, 9), nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := seeded(t)
			for i, st := range steps {
				if _, err := s.Session(sid(st.session)); err != nil {
					newSession(t, s, sid(st.session), agrA, peerA, SessionApproved)
				}
				_, err := begin(s, sid(st.session), Charge{t0.Add(st.at), st.in, st.out}, st.limits)
				var got *OverBudgetError
				if err != nil && !errors.As(err, &got) {
					t.Fatalf("step %d: %v", i, err)
				}
				if !reflect.DeepEqual(got, st.want) {
					t.Errorf("step %d: got %+v, want %+v", i, got, st.want)
				}
				if err == nil {
					must(t, setState(s, sid(st.session), SessionRunning, SessionAborted))
				}
			}
		})
	}
}

func TestBudgetIsOnePerPeer(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := Limits{100, 100, 9, 3}
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	newSession(t, s, sid(2), agrA2, peerA, SessionApproved)
	newSession(t, s, sid(3), agrB, peerB, SessionApproved)
	_, err := begin(s, sid(1), Charge{t0, 80, 0}, l)
	must(t, err)
	// A rotation of keys is no fresh budget, nor is another agreement.
	must(t, s.Update(func(tx *Tx) error { return tx.MovePin(peerA, sid(99), []byte("next"), t0) }))
	var over *OverBudgetError
	if _, err = begin(s, sid(2), Charge{t0, 30, 0}, l); !errors.As(err, &over) {
		t.Fatalf("got error %v", err)
	}
	if !strings.Contains(over.Error(), "fits in 24h") || !strings.Contains(over.Error(), "80 are used") {
		t.Errorf("the message is %q", over)
	}
	_, err = begin(s, sid(3), Charge{t0, 100, 0}, l)
	must(t, err)
	c, err := s.Session(sid(2))
	must(t, err)
	if c.State != SessionApproved || c.Attempts != 0 {
		t.Errorf("a refused attempt left %+v", c)
	}
	u, err := s.Usage(peerA, t0)
	if err != nil || u != (Usage{80, 0, 1}) {
		t.Errorf("usage is %+v, %v", u, err)
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := Limits{100, 1000, 9, 3}
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	for want := 1; want <= 3; want++ {
		n, err := begin(s, sid(1), Charge{t0, 1, 1}, l)
		if err != nil || n != want {
			t.Fatalf("attempt %d is %d, %v", want, n, err)
		}
		_, err = begin(s, sid(1), Charge{t0, 1, 1}, l)
		wantErr(t, err, ErrState, "running")
		must(t, setState(s, sid(1), SessionRunning, SessionAborted))
	}
	_, err := begin(s, sid(1), Charge{t0, 1, 1}, l)
	wantErr(t, err, ErrTooManyAttempts)
	u, err := s.Usage(peerA, t0)
	if err != nil || u != (Usage{3, 3, 1}) {
		t.Errorf("usage is %+v, %v", u, err)
	}
	newSession(t, s, sid(2), agrA, peerA, SessionProposed)
	_, err = begin(s, sid(2), Charge{t0, 1, 1}, l)
	wantErr(t, err, ErrState, "proposed")
	_, err = begin(s, sid(3), Charge{t0, 1, 1}, l)
	wantErr(t, err, ErrNotFound)
}

func TestAttemptNumbersOfThePeer(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := Limits{100, 1000, 9, 3}
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	number := func(n int) (got int, err error) {
		err = s.Update(func(tx *Tx) error {
			var err error
			got, err = tx.BeginAttempt(sid(1), n, Charge{t0, 0, 1}, l)
			return err
		})
		return got, err
	}
	// The peer may have lost an attempt before it reached us, but never repeats one.
	if n, err := number(2); err != nil || n != 2 {
		t.Fatalf("attempt 2 is %d, %v", n, err)
	}
	must(t, setState(s, sid(1), SessionRunning, SessionAborted))
	for _, n := range []int{1, 2, 4, -1} {
		_, err := number(n)
		wantErr(t, err, ErrTooManyAttempts)
	}
	if n, err := number(3); err != nil || n != 3 {
		t.Fatalf("attempt 3 is %d, %v", n, err)
	}
}

func TestChargeAttempt(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := Limits{100, 150, 9, 3}
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	more := func(c Charge) error {
		return s.Update(func(tx *Tx) error { return tx.ChargeAttempt(sid(1), c, l) })
	}
	wantErr(t, more(Charge{t0, 1, 0}), ErrState, "approved")
	_, err := begin(s, sid(1), Charge{t0, 0, 100}, l)
	must(t, err)
	must(t, more(Charge{t0, 60, 0}))
	must(t, more(Charge{t0, 40, 0}))
	refuse := func(err error, want OverBudgetError) {
		t.Helper()
		var over *OverBudgetError
		if !errors.As(err, &over) || *over != want {
			t.Errorf("got %v, want %+v", err, want)
		}
	}
	// An attempt in pieces is no more than an attempt.
	refuse(more(Charge{t0, 1, 0}), OverBudgetError{"items in per session", 100, 100, 1, 0})
	refuse(more(Charge{t0, 0, 1}), OverBudgetError{"items out per session", 100, 100, 1, 0})
	must(t, setState(s, sid(1), SessionRunning, SessionAborted))
	_, err = begin(s, sid(1), Charge{t0, 0, 50}, l)
	must(t, err)
	refuse(more(Charge{t0, 51, 0}), OverBudgetError{"items in per day", 150, 100, 51, 24 * time.Hour})
	u, err := s.Usage(peerA, t0)
	if err != nil || u != (Usage{100, 150, 1}) {
		t.Errorf("usage is %+v, %v", u, err)
	}
	// A suspension stops an attempt that runs.
	must(t, s.Update(func(tx *Tx) error { return tx.SuspendAgreement(agrA, peerA, "why", t0) }))
	wantErr(t, more(Charge{t0, 1, 0}), ErrState, "suspended")
}

// TestStanding: a revocation or suspension counts from the moment it is stored.
func TestStanding(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := Limits{100, 1000, 9, 3}
	half := sid(500)
	must(t, s.Update(func(tx *Tx) error {
		return tx.PutAgreement(Agreement{ID: half, PeerRoot: peerA, Document: []byte("x"), State: AgreementSigned, Changed: t0})
	}))
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	newSession(t, s, sid(2), agrA2, peerA, SessionApproved)
	newSession(t, s, sid(3), half, peerA, SessionApproved)
	must(t, s.Update(func(tx *Tx) error { return tx.SuspendAgreement(agrA, peerA, "why", t0) }))
	_, err := begin(s, sid(1), Charge{t0, 1, 1}, l)
	wantErr(t, err, ErrState, "suspended")
	_, err = begin(s, sid(3), Charge{t0, 1, 1}, l)
	wantErr(t, err, ErrState, "signed")
	must(t, s.Update(func(tx *Tx) error { return tx.RevokePeer(peerA, t0) }))
	_, err = begin(s, sid(2), Charge{t0, 1, 1}, l)
	wantErr(t, err, ErrState, "revoked")
	if u, err := s.Usage(peerA, t0); err != nil || u != (Usage{}) {
		t.Errorf("usage is %+v, %v", u, err)
	}
}

func TestBeginAttemptRefusesNonsense(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	newSession(t, s, sid(1), agrA, peerA, SessionApproved)
	good := Limits{1, 1, 1, 1}
	for name, tt := range map[string]struct {
		c Charge
		l Limits
	}{
		"no limits":       {Charge{At: t0}, Limits{}},
		"negative limit":  {Charge{At: t0}, Limits{-1, 1, 1, 1}},
		"no attempts":     {Charge{At: t0}, Limits{1, 1, 1, 0}},
		"negative charge": {Charge{t0, -1, 0}, good},
		"huge charge":     {Charge{t0, 0, maxCharge + 1}, Limits{NoLimit, NoLimit, NoLimit, 1}},
	} {
		if _, err := begin(s, sid(1), tt.c, tt.l); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	must(t, s.Check())
}

func TestClockSetBack(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	l := Limits{100, 100, 9, 3}
	for n := 1; n <= 4; n++ {
		newSession(t, s, sid(n), agrA, peerA, SessionApproved)
	}
	_, err := begin(s, sid(1), Charge{t0, 100, 0}, l)
	must(t, err)
	_, err = begin(s, sid(2), Charge{t0.Add(-ClockTolerance - time.Millisecond), 1, 0}, l)
	wantErr(t, err, ErrClock, "2026-03-01T09:00:00Z")
	// Within the tolerance the charge is booked no earlier than the newest, so
	// it counts as long as that one does.
	_, err = begin(s, sid(2), Charge{t0.Add(-time.Minute), 1, 0}, Limits{100, 101, 9, 3})
	must(t, err)
	if u, err := s.Usage(peerA, t0.Add(24*time.Hour-time.Millisecond)); err != nil || u.ItemsIn != 101 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	// The way out after a clock that ran ahead: charges keep counting.
	now := t0.Add(-48 * time.Hour)
	_, err = begin(s, sid(3), Charge{now, 1, 0}, l)
	wantErr(t, err, ErrClock)
	must(t, s.Update(func(tx *Tx) error {
		n, err := tx.RebaseCharges(now)
		if n != 2 {
			t.Errorf("moved %d charges", n)
		}
		return err
	}))
	var over *OverBudgetError
	if _, err = begin(s, sid(3), Charge{now, 1, 0}, l); !errors.As(err, &over) || over.Used != 101 {
		t.Errorf("after rebasing: %v", err)
	}
	_, err = begin(s, sid(3), Charge{now.Add(24 * time.Hour), 1, 0}, l)
	must(t, err)
}
