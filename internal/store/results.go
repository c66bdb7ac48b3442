package store

import (
	"database/sql"
	"fmt"
	"time"
)

// Hit is one record of ours that a session matched. A hit is a lead, not an
// identification.
type Hit struct {
	// LocalID is our record's id, Rules the rules that matched.
	LocalID string
	Rules   []string
	// PeerReference is the peer's label, where the mode gives one.
	PeerReference []byte
	// Flags say what a reader must know, for instance that the peer's record
	// list for this key was cut.
	Flags []string
	// Bits is the local agreement weight; 0 if it was not computed.
	Bits float64
}

// Finish is the end of a session.
type Finish struct {
	At             time.Time
	Outcome        string
	Detail         string
	TranscriptHash []byte
	// Count is the number of hits, or of shared items where the mode gives no
	// hits.
	Count int64
	// ResultsExpire is the end of the hits' retention; zero means never.
	ResultsExpire time.Time
}

// FinishSession ends a running session and stores its hits, all of them or, if
// the transaction fails, none. It returns ErrState for a session that is not
// running, so results are written once. The caller appends the log entry in the
// same transaction.
func (tx *Tx) FinishSession(id string, f Finish, hits []Hit) error {
	s, err := tx.Session(id)
	if err != nil {
		return err
	}
	what := "session " + short(id)
	if s.State != SessionRunning {
		return fmt.Errorf("store: %s is %s, want running: %w", what, s.State, ErrState)
	}
	s.Outcome, s.Detail, s.TranscriptHash = f.Outcome, f.Detail, f.TranscriptHash
	s.Count, s.ResultsExpire = f.Count, f.ResultsExpire
	if err := tx.saveSession(s, id, SessionFinished, f.At); err != nil {
		return err
	}
	return tx.insertHits(id, hits)
}

func (tx *Tx) insertHits(session string, hits []Hit) error {
	const what = "storing hits"
	if tx.failed != nil {
		return tx.failed
	}
	insert, err := tx.tx.Prepare(`INSERT INTO hits (session, n, local_id, rules, peer_reference, flags, bits)
		VALUES (?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return wrap(what, err)
	}
	defer insert.Close()
	for i, h := range hits {
		rules, err := listOf(h.Rules)
		if err != nil {
			return wrap(what, err)
		}
		flags, err := listOf(h.Flags)
		if err != nil {
			return wrap(what, err)
		}
		if _, err := insert.Exec(session, i, h.LocalID, rules, h.PeerReference, flags, h.Bits); err != nil {
			return tx.fail(what, err)
		}
	}
	return nil
}

// Results returns the hits of a finished session in the order they were given.
// It returns ErrState before the session has finished and ErrExpired after the
// end of their retention.
func (r Reader) Results(session string) ([]Hit, error) {
	s, err := r.Session(session)
	if err != nil {
		return nil, err
	}
	what := "results of session " + short(session)
	switch {
	case s.ResultsExpired:
		return nil, fmt.Errorf("store: %s: %w on %s", what, ErrExpired, s.ResultsExpire.Format(time.RFC3339))
	case s.State != SessionFinished:
		return nil, fmt.Errorf("store: %s: it is %s: %w", what, s.State, ErrState)
	}
	return list(r, what, func(rows *sql.Rows) (h Hit, err error) {
		return h, rows.Scan(&h.LocalID, listVar{&h.Rules}, &h.PeerReference, listVar{&h.Flags}, &h.Bits)
	}, `SELECT local_id, rules, peer_reference, flags, bits FROM hits WHERE session = ? ORDER BY n`, session)
}

// ExpireResults deletes the hits whose retention has ended, those of standing
// lists too, and returns of how many sessions and lists. Their bytes are
// overwritten in the database and its log before it returns.
func (s *Store) ExpireResults(now time.Time) (int64, error) {
	return s.expire(func(tx *Tx) (int64, error) {
		const due = `results_expire > 0 AND results_expire <= ? AND results_expired = 0`
		_, err := tx.exec("expiring results", `DELETE FROM hits WHERE session IN
			(SELECT id FROM sessions WHERE `+due+`)`, millis(now))
		if err != nil {
			return 0, err
		}
		n, err := tx.exec("expiring results", `UPDATE sessions SET results_expired = 1 WHERE `+due, millis(now))
		if err != nil {
			return 0, err
		}
		standing, err := tx.expireStandingHits(now)
		return n + standing, err
	})
}

// ExpireSessions deletes the sessions, with approvals and hits, whose record's
// retention has ended, except running ones, and charges and counts of
// evaluations of more than 30 days ago. It returns how many sessions.
func (s *Store) ExpireSessions(now time.Time) (int64, error) {
	return s.expire(func(tx *Tx) (int64, error) {
		// The newest charge stays: it guards against a clock set back.
		_, err := tx.exec("expiring charges", `DELETE FROM charges WHERE at <= ?
			AND id <> (SELECT id FROM charges ORDER BY at DESC LIMIT 1)`, millis(now.Add(-chargeRetention)))
		if err != nil {
			return 0, err
		}
		if err := tx.expireEvaluations(now.Add(-chargeRetention)); err != nil {
			return 0, err
		}
		return tx.exec("expiring sessions", `DELETE FROM sessions
			WHERE record_expires > 0 AND record_expires <= ? AND state <> ?`, millis(now), SessionRunning)
	})
}

// expire runs a deletion and makes sure that no copy stays in the write-ahead
// log, nor one of an earlier deletion whose scrubbing a reader prevented.
func (s *Store) expire(del func(tx *Tx) (int64, error)) (n int64, err error) {
	err = s.Update(func(tx *Tx) (err error) {
		n, err = del(tx)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, s.scrub()
}
