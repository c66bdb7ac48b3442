package store

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// EvaluationLimits are an agreement's caps on the evaluations of one peer. Each
// is positive; NoLimit lifts one.
type EvaluationLimits struct {
	// PerMinute and PerDay bound the evaluations under the agreement. What no
	// minute limits is not counted in one.
	PerMinute, PerDay int64
	// ItemsPerDay bounds all that the peer puts in, under any agreement and in
	// sessions too.
	ItemsPerDay int64
}

// Spans of the buckets in which evaluations are counted. A bucket counts until
// its end has left the window, so a limit errs on the side of refusing: by at
// most a second in a minute and a minute in a day.
const (
	secondMillis = int64(time.Second / time.Millisecond)
	minuteMillis = int64(time.Minute / time.Millisecond)
	dayMinutes   = int64(BudgetWindow / time.Minute)
)

// firstMinute and firstSecond are the oldest buckets that count at a time.
func firstMinute(at int64) int64 { return at/minuteMillis - dayMinutes }
func firstSecond(at int64) int64 { return at/secondMillis - 60 }

// BookEvaluations books evaluations with the peer under an agreement: what it
// puts in (ItemsIn) unless that breaks a cap, which is an *OverBudgetError, and
// what we put in (ItemsOut), on which it is the peer's to enforce its caps. A
// revoked peer, or an agreement that is not in force, is ErrState; a clock far
// before the newest charge is ErrClock. Nothing may be evaluated before the
// transaction has ended.
func (tx *Tx) BookEvaluations(peerRoot, agreement string, c Charge, l EvaluationLimits) error {
	if min(c.ItemsIn, c.ItemsOut) < 0 || max(c.ItemsIn, c.ItemsOut) > maxCharge {
		return fmt.Errorf("store: charge of %d in and %d out is outside [0, 2^40]", c.ItemsIn, c.ItemsOut)
	}
	if min(l.PerMinute, l.PerDay, l.ItemsPerDay) <= 0 {
		return fmt.Errorf("store: limits on evaluations are %d a minute, %d and %d a day, want at least 1", l.PerMinute, l.PerDay, l.ItemsPerDay)
	}
	if err := tx.checkInForce(peerRoot, agreement); err != nil {
		return err
	}
	at, err := tx.chargeTime(c.At)
	if err != nil {
		return err
	}
	sums, err := tx.evaluationSums(peerRoot, at)
	if err != nil {
		return err
	}
	if err := tx.checkEvaluations(peerRoot, agreement, sums, at, c.ItemsIn, l); err != nil {
		return err
	}
	inMinute := c.ItemsIn
	if l.PerMinute == NoLimit {
		inMinute = 0
	}
	return tx.bookEvaluations(peerRoot, agreement, at, c, inMinute)
}

// checkInForce is checkStanding without reading the documents.
func (tx *Tx) checkInForce(peerRoot, agreement string) error {
	var status, state string
	var suspended bool
	err := tx.q.QueryRow(`SELECT p.status, a.state, EXISTS (SELECT 1 FROM suspensions s WHERE s.agreement = a.id)
		FROM agreements a JOIN peers p ON p.root = a.peer_root WHERE a.id = ? AND p.root = ?`, agreement, peerRoot).
		Scan(&status, &state, &suspended)
	what := "agreement " + short(agreement)
	switch {
	case err != nil:
		return wrap(what+" of peer "+short(peerRoot), err)
	case status != StatusActive:
		return fmt.Errorf("store: peer %s is %s: %w", short(peerRoot), status, ErrState)
	case suspended:
		return fmt.Errorf("store: %s is %s: %w", what, AgreementSuspended, ErrState)
	case state != AgreementInForce:
		return fmt.Errorf("store: %s is %s: %w", what, state, ErrState)
	}
	return nil
}

// evaluationSum is what the window holds under one agreement.
type evaluationSum struct {
	agreement      string
	since, in, out int64
}

// evaluationSums returns the sums of all the peer's agreements, less what has
// left the window by now.
func (tx *Tx) evaluationSums(peerRoot string, at int64) ([]evaluationSum, error) {
	const what = "sums of evaluations"
	sums, err := list(tx.Reader, what, func(rows *sql.Rows) (s evaluationSum, err error) {
		return s, rows.Scan(&s.agreement, &s.since, &s.in, &s.out)
	}, `SELECT agreement, since, items_in, items_out FROM evaluation_sums WHERE peer_root = ?`, peerRoot)
	if err != nil {
		return nil, err
	}
	first := firstMinute(at)
	for i := range sums {
		s := &sums[i]
		if s.since >= first {
			continue
		}
		var in, out int64
		err := tx.q.QueryRow(`SELECT coalesce(sum(items_in), 0), coalesce(sum(items_out), 0) FROM evaluation_minutes
			WHERE peer_root = ? AND agreement = ? AND minute >= ? AND minute < ?`, peerRoot, s.agreement, s.since, first).Scan(&in, &out)
		if err != nil {
			return nil, wrap(what, err)
		}
		s.since, s.in, s.out = first, s.in-in, s.out-out
		if _, err := tx.exec(what, `UPDATE evaluation_sums SET since = ?, items_in = ?, items_out = ? WHERE peer_root = ? AND agreement = ?`,
			s.since, s.in, s.out, peerRoot, s.agreement); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// checkEvaluations returns an *OverBudgetError if n more evaluations break a
// cap. Only then does it look for when they would fit.
func (tx *Tx) checkEvaluations(peerRoot, agreement string, sums []evaluationSum, at, n int64, l EvaluationLimits) error {
	if n == 0 {
		return nil
	}
	var minute, day, all int64
	for _, s := range sums {
		all += s.in
		if s.agreement == agreement {
			day = s.in
		}
	}
	var sessions int64
	err := tx.q.QueryRow(`SELECT
		(SELECT coalesce(sum(items_in), 0) FROM evaluation_seconds WHERE peer_root = ?1 AND agreement = ?2 AND second >= ?3),
		(SELECT coalesce(sum(items_in), 0) FROM charges WHERE peer_root = ?1 AND at > ?4)`,
		peerRoot, agreement, firstSecond(at), at-BudgetWindow.Milliseconds()).Scan(&minute, &sessions)
	if err != nil {
		return wrap("evaluations", err)
	}
	// The cap that is freed last says when to try again.
	var worst *OverBudgetError
	for _, cap := range []struct {
		which       string
		limit, used int64
		units       func() ([]unit, error)
		window      int64
	}{
		{"evaluations per minute", l.PerMinute, minute, func() ([]unit, error) { return tx.secondUnits(peerRoot, agreement, at) }, minuteMillis},
		{"evaluations per day", l.PerDay, day, func() ([]unit, error) { return tx.minuteUnits(peerRoot, agreement, at) }, BudgetWindow.Milliseconds()},
		{"items in per day", l.ItemsPerDay, all + sessions, func() ([]unit, error) { return tx.peerUnits(peerRoot, at) }, BudgetWindow.Milliseconds()},
	} {
		if cap.used <= cap.limit-n {
			continue
		}
		units, err := cap.units()
		if err != nil {
			return err
		}
		e := checkCap(cap.which, cap.limit, n, units, at, cap.window)
		if e == nil { // the sums and the buckets are one transaction's
			return fmt.Errorf("store: sums of evaluations: %w: they differ from what they sum", ErrCorrupt)
		}
		if worst == nil || e.RetryAfter == 0 || worst.RetryAfter != 0 && e.RetryAfter > worst.RetryAfter {
			worst = e
		}
	}
	if worst != nil {
		return worst
	}
	return nil
}

func scanUnit(rows *sql.Rows) (u unit, err error) { return u, rows.Scan(&u.at, &u.n) }

// secondUnits and minuteUnits return the buckets that count, at their ends.
func (r Reader) secondUnits(peerRoot, agreement string, at int64) ([]unit, error) {
	return list(r, "evaluations", scanUnit, `SELECT (second + 1) * 1000, items_in FROM evaluation_seconds
		WHERE peer_root = ? AND agreement = ? AND second >= ? ORDER BY second`, peerRoot, agreement, firstSecond(at))
}

func (r Reader) minuteUnits(peerRoot, agreement string, at int64) ([]unit, error) {
	return list(r, "evaluations", scanUnit, `SELECT (minute + 1) * 60000, items_in FROM evaluation_minutes
		WHERE peer_root = ? AND agreement = ? AND minute >= ? ORDER BY minute`, peerRoot, agreement, firstMinute(at))
}

// peerUnits returns what the peer has put in under all agreements and modes.
func (r Reader) peerUnits(peerRoot string, at int64) ([]unit, error) {
	return list(r, "evaluations", scanUnit, `SELECT (minute + 1) * 60000 AS until, items_in FROM evaluation_minutes
			WHERE peer_root = ?1 AND minute >= ?2
		UNION ALL SELECT at, items_in FROM charges WHERE peer_root = ?1 AND at > ?3 ORDER BY until`,
		peerRoot, firstMinute(at), at-BudgetWindow.Milliseconds())
}

// evaluationsOf returns, for sessions, the minutes of evaluations that count
// against the peer's day.
func (r Reader) evaluationsOf(peerRoot string, at int64) (ins, outs []unit, err error) {
	minutes, err := list(r, "evaluations", func(rows *sql.Rows) (b booked, err error) {
		return b, rows.Scan(&b.at, &b.in, &b.out)
	}, `SELECT (minute + 1) * 60000, sum(items_in), sum(items_out) FROM evaluation_minutes
		WHERE peer_root = ? AND minute >= ? GROUP BY minute ORDER BY minute`, peerRoot, firstMinute(at))
	for _, m := range minutes {
		ins = append(ins, unit{m.at, m.in})
		outs = append(outs, unit{m.at, m.out})
	}
	return ins, outs, err
}

// merged returns both lists in order of time.
func merged(a, b []unit) []unit {
	out := slices.Concat(a, b)
	slices.SortStableFunc(out, func(x, y unit) int { return cmp.Compare(x.at, y.at) })
	return out
}

// bookEvaluations adds to the buckets and the sum.
func (tx *Tx) bookEvaluations(peerRoot, agreement string, at int64, c Charge, inMinute int64) error {
	const what = "booking evaluations"
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO evaluation_minutes (peer_root, agreement, minute, items_in, items_out) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET items_in = items_in + excluded.items_in, items_out = items_out + excluded.items_out`,
			[]any{peerRoot, agreement, at / minuteMillis, c.ItemsIn, c.ItemsOut}},
		{`INSERT INTO evaluation_seconds (peer_root, agreement, second, items_in) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET items_in = items_in + excluded.items_in`,
			[]any{peerRoot, agreement, at / secondMillis, inMinute}},
		{`DELETE FROM evaluation_seconds WHERE peer_root = ? AND agreement = ? AND second < ?`,
			[]any{peerRoot, agreement, firstSecond(at)}},
		{`INSERT INTO evaluation_sums (peer_root, agreement, since, items_in, items_out, newest) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET items_in = items_in + excluded.items_in, items_out = items_out + excluded.items_out,
			newest = max(newest, excluded.newest)`,
			[]any{peerRoot, agreement, firstMinute(at), c.ItemsIn, c.ItemsOut, at}},
	} {
		if _, err := tx.exec(what, q.sql, q.args...); err != nil {
			return err
		}
	}
	return nil
}

// EvaluationUsage is what has been used under one agreement.
type EvaluationUsage struct {
	// Minute and Day count the peer's evaluations, DayOut our own.
	Minute, Day, DayOut int64
}

// EvaluationUsage returns the evaluations that count against the budget now.
func (r Reader) EvaluationUsage(peerRoot, agreement string, now time.Time) (EvaluationUsage, error) {
	var u EvaluationUsage
	at := millis(now)
	err := r.q.QueryRow(`SELECT
		(SELECT coalesce(sum(items_in), 0) FROM evaluation_seconds WHERE peer_root = ?1 AND agreement = ?2 AND second >= ?3),
		coalesce(sum(items_in), 0), coalesce(sum(items_out), 0)
		FROM evaluation_minutes WHERE peer_root = ?1 AND agreement = ?2 AND minute >= ?4`,
		peerRoot, agreement, firstSecond(at), firstMinute(at)).Scan(&u.Minute, &u.Day, &u.DayOut)
	return u, wrap("evaluations", err)
}

// rebaseEvaluations moves what was counted after now to now.
func (tx *Tx) rebaseEvaluations(now time.Time) (int64, error) {
	const what = "rebasing evaluations"
	at := millis(now)
	var moved int64
	for _, t := range []struct{ table, bucket, columns string }{
		{"evaluation_minutes", "minute", "items_in, items_out"}, {"evaluation_seconds", "second", "items_in"},
	} {
		bucket, sums, adds := at/minuteMillis, "sum(items_in), sum(items_out)", "items_in = items_in + excluded.items_in, items_out = items_out + excluded.items_out"
		if t.bucket == "second" {
			bucket, sums, adds = at/secondMillis, "sum(items_in)", "items_in = items_in + excluded.items_in"
		}
		_, err := tx.exec(what, `INSERT INTO `+t.table+` (peer_root, agreement, `+t.bucket+`, `+t.columns+`)
			SELECT peer_root, agreement, ?1, `+sums+` FROM `+t.table+` WHERE `+t.bucket+` > ?1 GROUP BY peer_root, agreement
			ON CONFLICT DO UPDATE SET `+adds, bucket)
		if err != nil {
			return 0, err
		}
		n, err := tx.exec(what, `DELETE FROM `+t.table+` WHERE `+t.bucket+` > ?`, bucket)
		if err != nil {
			return 0, err
		}
		moved += n
	}
	if _, err := tx.exec(what, `UPDATE evaluation_sums SET newest = min(newest, ?)`, at); err != nil {
		return 0, err
	}
	return moved, tx.sumEvaluations(firstMinute(at), true)
}

// expireEvaluations forgets the counts from before a time.
func (tx *Tx) expireEvaluations(before time.Time) error {
	first := millis(before) / minuteMillis
	if _, err := tx.exec("expiring evaluations", `DELETE FROM evaluation_minutes WHERE minute < ?`, first); err != nil {
		return err
	}
	return tx.sumEvaluations(first, false)
}

// sumEvaluations begins the sums at a minute: all of them, or those that begin
// earlier.
func (tx *Tx) sumEvaluations(first int64, all bool) error {
	_, err := tx.exec("summing evaluations", `UPDATE evaluation_sums SET since = ?1,
		items_in = (SELECT coalesce(sum(m.items_in), 0) FROM evaluation_minutes m WHERE m.peer_root = evaluation_sums.peer_root
			AND m.agreement = evaluation_sums.agreement AND m.minute >= ?1),
		items_out = (SELECT coalesce(sum(m.items_out), 0) FROM evaluation_minutes m WHERE m.peer_root = evaluation_sums.peer_root
			AND m.agreement = evaluation_sums.agreement AND m.minute >= ?1)
		WHERE ?2 OR since < ?1`, first, all)
	return err
}
