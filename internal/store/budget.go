package store

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// BudgetWindow is the time for which a charge counts.
	BudgetWindow = 24 * time.Hour
	// ClockTolerance is how far the clock may stand before the newest charge.
	// Without a bound, a clock set back would hide charges from the window of
	// a later, correct clock, and a peer would win budget by it.
	ClockTolerance = 5 * time.Minute
	// NoLimit, as a limit, is none.
	NoLimit = math.MaxInt64
	// maxCharge keeps sums of charges far from overflow.
	maxCharge = 1 << 40
	// chargeRetention is how long charges are kept for operators to look at.
	chargeRetention = 30 * 24 * time.Hour
)

// Errors of BeginAttempt, besides *OverBudgetError.
var (
	// ErrTooManyAttempts: the session has used its attempts.
	ErrTooManyAttempts = errors.New("session has used all its attempts")
	// ErrClock: the clock stands before the newest charge.
	ErrClock = errors.New("clock stands before the last charge")
)

// Charge is what one attempt, or a part of it, costs. ItemsIn counts the peer's
// padded items, ItemsOut ours, so both sides of a session charge the same sums,
// and each enforces the caps on both. Where a direction tells nobody anything,
// the caller may charge 0 for it.
type Charge struct {
	At                time.Time
	ItemsIn, ItemsOut int64
}

// Limits are an agreement's caps on one peer. Each is positive; NoLimit lifts
// one. Item limits hold for each direction on its own; ItemsPerSession bounds
// the sum of each attempt, since all attempts have the same items.
type Limits struct {
	ItemsPerSession int64
	ItemsPerDay     int64
	SessionsPerDay  int64
	MaxAttempts     int
}

func (l Limits) validate() error {
	for _, v := range []struct {
		name string
		n    int64
	}{
		{"items per session", l.ItemsPerSession}, {"items per day", l.ItemsPerDay},
		{"sessions per day", l.SessionsPerDay}, {"attempts", int64(l.MaxAttempts)},
	} {
		if v.n <= 0 {
			return fmt.Errorf("store: limit on %s is %d, want at least 1", v.name, v.n)
		}
	}
	return nil
}

// OverBudgetError says which cap an attempt would break.
type OverBudgetError struct {
	// Which is the cap: "items in per session", "items out per day", ...
	Which string
	// Used is what the last 24 hours or minute, or the attempt so far, have used;
	// Asked is what was to be added.
	Limit, Used, Asked int64
	// RetryAfter is when it would fit, if nothing else is charged; 0
	// means never.
	RetryAfter time.Duration
}

// Error implements error.
func (e *OverBudgetError) Error() string {
	msg := fmt.Sprintf("store: over budget: asked for %d %s, the limit is %d and %d are used", e.Asked, e.Which, e.Limit, e.Used)
	if e.RetryAfter == 0 {
		return msg + "; it will never fit"
	}
	// Rounded up: "fits in 0s" would send the operator in a circle.
	return fmt.Sprintf("%s; fits in %v", msg, (e.RetryAfter + time.Second - 1).Truncate(time.Second))
}

// Usage is what a peer has used in the last 24 hours, over all agreements and
// modes.
type Usage struct {
	ItemsIn, ItemsOut, Sessions int64
}

// Usage returns what the peer has used in the 24 hours before now.
func (r Reader) Usage(peerRoot string, now time.Time) (Usage, error) {
	var u Usage
	what := "usage of peer " + short(peerRoot)
	err := r.q.QueryRow(`SELECT coalesce(sum(items_in), 0), coalesce(sum(items_out), 0), count(DISTINCT session)
		FROM charges WHERE peer_root = ? AND at > ?`, peerRoot, windowStart(now)).
		Scan(&u.ItemsIn, &u.ItemsOut, &u.Sessions)
	if err != nil {
		return u, wrap(what, err)
	}
	ins, outs, err := r.evaluationsOf(peerRoot, millis(now))
	for i := range ins {
		u.ItemsIn += ins[i].n
		u.ItemsOut += outs[i].n
	}
	return u, err
}

func windowStart(now time.Time) int64 { return millis(now) - BudgetWindow.Milliseconds() }

// BeginAttempt charges the peer's budget, counts the attempt and sets the
// session running. It returns the attempt's number, from 1: the next one when
// number is 0, else number, which the peer has given and which must be above
// all earlier ones, or it is ErrTooManyAttempts, like one beyond the limit. The
// session must be approved or aborted (ErrState). A charge over a cap, counting
// all the peer's charges of the last 24 hours, is an *OverBudgetError; a clock
// far before the newest charge is ErrClock; a revoked peer, or an agreement that
// is not in force, is ErrState: looking here, in the transaction, makes a
// revocation or suspension count at once. Nothing of the attempt may leave the
// node before the transaction has ended: a number given twice would repeat a
// mask.
func (tx *Tx) BeginAttempt(session string, number int, c Charge, l Limits) (int, error) {
	s, err := tx.Session(session)
	if err != nil {
		return 0, err
	}
	what := "session " + short(session)
	if s.State != SessionApproved && s.State != SessionAborted {
		return 0, fmt.Errorf("store: %s is %s, want approved or aborted: %w", what, s.State, ErrState)
	}
	if number == 0 {
		number = s.Attempts + 1
	}
	if number <= s.Attempts || number > l.MaxAttempts {
		return 0, fmt.Errorf("store: %s: %w: attempt %d after %d of at most %d", what, ErrTooManyAttempts, number, s.Attempts, l.MaxAttempts)
	}
	s.Attempts = number
	if err := tx.charge(s, c, l); err != nil {
		return 0, err
	}
	err = tx.execOne(what, `UPDATE sessions SET attempts = ?, state = ?, changed = ? WHERE id = ?`,
		number, SessionRunning, millis(c.At), s.ID)
	return number, err
}

// ChargeAttempt adds to what the running attempt costs, as soon as it is known.
// Its errors are those of BeginAttempt.
func (tx *Tx) ChargeAttempt(session string, c Charge, l Limits) error {
	s, err := tx.Session(session)
	if err != nil {
		return err
	}
	if s.State != SessionRunning {
		return fmt.Errorf("store: session %s is %s, want running: %w", short(session), s.State, ErrState)
	}
	return tx.charge(s, c, l)
}

// CheckBudget returns the error that a charge for a new session with the peer
// would get now, and books nothing.
func (tx *Tx) CheckBudget(peerRoot string, c Charge, l Limits) error {
	if err := l.validate(); err != nil {
		return err
	}
	return tx.checkBudget(Session{PeerRoot: peerRoot}, c, l)
}

// charge books c to the current attempt unless it breaks a cap.
func (tx *Tx) charge(s Session, c Charge, l Limits) error {
	if err := l.validate(); err != nil {
		return err
	}
	if min(c.ItemsIn, c.ItemsOut) < 0 || max(c.ItemsIn, c.ItemsOut) > maxCharge {
		return fmt.Errorf("store: charge of %d in and %d out is outside [0, 2^40]", c.ItemsIn, c.ItemsOut)
	}
	if err := tx.checkStanding(s); err != nil {
		return err
	}
	at, err := tx.chargeTime(c.At)
	if err != nil {
		return err
	}
	if err := tx.checkBudget(s, c, l); err != nil {
		return err
	}
	_, err = tx.exec("charging session "+short(s.ID), `INSERT INTO charges
		(peer_root, agreement, session, attempt, at, items_in, items_out) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		s.PeerRoot, s.Agreement, s.ID, s.Attempts, at, c.ItemsIn, c.ItemsOut)
	return err
}

// checkStanding returns ErrState if the peer is revoked or the agreement not in
// force.
func (tx *Tx) checkStanding(s Session) error {
	p, err := tx.PeerByRoot(s.PeerRoot)
	if err != nil {
		return err
	}
	a, err := tx.Agreement(s.Agreement)
	if err != nil {
		return err
	}
	switch {
	case p.Status != StatusActive:
		return fmt.Errorf("store: peer %s is %s: %w", quote(p.Name), p.Status, ErrState)
	case a.State != AgreementInForce:
		return fmt.Errorf("store: agreement %s is %s: %w", short(a.ID), a.State, ErrState)
	}
	return nil
}

// chargeTime returns the time to book a charge at: now, or the newest charge's
// time when the clock stands a little before it.
func (tx *Tx) chargeTime(now time.Time) (int64, error) {
	var newest int64
	if err := tx.q.QueryRow(`SELECT max(coalesce((SELECT max(at) FROM charges), 0),
		coalesce((SELECT max(newest) FROM evaluation_sums), 0))`).Scan(&newest); err != nil {
		return 0, wrap("newest charge", err)
	}
	if millis(now) < newest-ClockTolerance.Milliseconds() {
		return 0, fmt.Errorf("store: %w: it shows %s, the charge was at %s", ErrClock,
			now.UTC().Format(time.RFC3339), timeOf(newest).Format(time.RFC3339))
	}
	return max(millis(now), newest), nil
}

// RebaseCharges is the operator's way out of ErrClock when the clock was wrong
// then and is right now: charges from after now count from now on, for their
// full 24 hours, so that no peer wins by it. It returns how many it moved.
func (tx *Tx) RebaseCharges(now time.Time) (int64, error) {
	n, err := tx.exec("rebasing charges", `UPDATE charges SET at = ?1 WHERE at > ?1`, millis(now))
	if err != nil {
		return 0, err
	}
	evaluations, err := tx.rebaseEvaluations(now)
	return n + evaluations, err
}

// booked is one charge within the window.
type booked struct {
	session string
	at      int64
	in, out int64
}

// checkBudget returns an *OverBudgetError if the charge breaks a cap.
func (tx *Tx) checkBudget(s Session, c Charge, l Limits) error {
	var in, out int64 // of this attempt so far
	err := tx.q.QueryRow(`SELECT coalesce(sum(items_in), 0), coalesce(sum(items_out), 0) FROM charges
		WHERE peer_root = ? AND session = ? AND attempt = ?`, s.PeerRoot, s.ID, s.Attempts).Scan(&in, &out)
	if err != nil {
		return wrap("charges", err)
	}
	for _, d := range []struct {
		which       string
		used, asked int64
	}{{"items in per session", in, c.ItemsIn}, {"items out per session", out, c.ItemsOut}} {
		if d.asked > l.ItemsPerSession-d.used {
			return &OverBudgetError{Which: d.which, Limit: l.ItemsPerSession, Used: d.used, Asked: d.asked}
		}
	}
	charges, err := list(tx.Reader, "charges", func(rows *sql.Rows) (b booked, err error) {
		return b, rows.Scan(&b.session, &b.at, &b.in, &b.out)
	}, `SELECT session, at, items_in, items_out FROM charges WHERE peer_root = ? AND at > ? ORDER BY at, id`,
		s.PeerRoot, windowStart(c.At))
	if err != nil {
		return err
	}
	evaluationsIn, evaluationsOut, err := tx.evaluationsOf(s.PeerRoot, millis(c.At))
	if err != nil {
		return err
	}
	// Each cap sees the charges as the units that leave the window in turn.
	ins := make([]unit, 0, len(charges))
	outs := make([]unit, 0, len(charges))
	for _, b := range charges {
		ins = append(ins, unit{b.at, b.in})
		outs = append(outs, unit{b.at, b.out})
	}
	ins, outs = merged(ins, evaluationsIn), merged(outs, evaluationsOut)
	for _, cap := range []struct {
		which        string
		limit, asked int64
		used         []unit
	}{
		{"items in per day", l.ItemsPerDay, c.ItemsIn, ins},
		{"items out per day", l.ItemsPerDay, c.ItemsOut, outs},
		{"sessions per day", l.SessionsPerDay, 1, otherSessions(charges, s.ID)},
	} {
		if err := checkCap(cap.which, cap.limit, cap.asked, cap.used, millis(c.At), BudgetWindow.Milliseconds()); err != nil {
			return err
		}
	}
	return nil
}

// unit is something that counts until a window after its time.
type unit struct{ at, n int64 }

// otherSessions returns one unit for each session but this one, at the time of
// its last charge, in order of time.
func otherSessions(charges []booked, session string) []unit {
	var units []unit
	seen := map[string]bool{session: true}
	for i := len(charges) - 1; i >= 0; i-- {
		if b := charges[i]; !seen[b.session] {
			seen[b.session] = true
			units = append(units, unit{b.at, 1})
		}
	}
	slices.Reverse(units)
	return units
}

// checkCap returns what is wrong with asking for so many more, or nil. The units
// are in order of time.
func checkCap(which string, limit, asked int64, used []unit, now, window int64) *OverBudgetError {
	var sum int64
	for _, u := range used {
		sum += u.n
	}
	if asked == 0 || sum <= limit-asked { // asked is at most 2^40: no overflow
		return nil
	}
	e := &OverBudgetError{Which: which, Limit: limit, Used: sum, Asked: asked}
	if asked > limit {
		return e
	}
	left := sum
	for _, u := range used {
		if left -= u.n; left <= limit-asked {
			e.RetryAfter = time.Duration(u.at+window-now) * time.Millisecond
			break
		}
	}
	return e
}
