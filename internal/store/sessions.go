package store

import (
	"bytes"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// States of a session.
//
//	proposed ──▶ approved ──▶ running ──▶ finished
//	    │            │  ▲        │
//	    ▼            ▼  │ retry  ▼
//	 refused      refused └── aborted ──▶ failed
//
// A session whose agreement asks for no approval begins as approved.
const (
	SessionProposed = "proposed"
	SessionApproved = "approved"
	SessionRunning  = "running"
	SessionAborted  = "aborted"
	SessionFinished = "finished"
	SessionRefused  = "refused"
	SessionFailed   = "failed"
)

// next lists the states that SetSessionState may lead to. BeginAttempt alone
// leads to running and FinishSession alone to finished.
var next = map[string][]string{
	SessionProposed: {SessionApproved, SessionRefused, SessionFailed},
	SessionApproved: {SessionRefused, SessionFailed, SessionAborted},
	SessionRunning:  {SessionAborted, SessionFailed},
	SessionAborted:  {SessionFailed},
}

// Session is one run of a protocol under an agreement, as this node sees it.
type Session struct {
	ID        string
	Agreement string
	PeerRoot  string
	Role      string
	Mode      string
	State     string
	// Local says that this node proposed it.
	Local bool
	// User proposed or answers for it; with Purpose and Case as the agreement
	// asks.
	User, Purpose, Case string
	Proposal            []byte
	// OwnSize and PeerSize count items after padding.
	OwnSize, PeerSize          int64
	Commitment, PeerCommitment []byte
	// SealedSeed is the seed of the session's randomness, sealed by the
	// caller. It is deleted when the session reaches its end.
	SealedSeed []byte
	// Attempts counts the attempts begun; BeginAttempt alone raises it.
	Attempts int
	// Source names the configured data source.
	Source  string
	Created time.Time
	Changed time.Time

	TranscriptHash []byte
	// Outcome is a code, Detail the reason for our operator.
	Outcome, Detail string
	// Count is the number of hits, or of shared items where the mode gives no
	// hits.
	Count int64
	// ResultsExpire is the end of the hits' retention; ResultsExpired says
	// that they have been deleted.
	ResultsExpire  time.Time
	ResultsExpired bool
	// RecordExpires is the end of this row's own retention.
	RecordExpires time.Time
}

const sessionColumns = `id, agreement, peer_root, role, mode, state, local, user, purpose, case_number, proposal,
	own_size, peer_size, commitment, peer_commitment, sealed_seed, attempts, source, created, changed,
	transcript_hash, outcome, detail, count, results_expire, results_expired, record_expires`

func scanSession(rows *sql.Rows) (s Session, err error) {
	return s, rows.Scan(&s.ID, &s.Agreement, &s.PeerRoot, &s.Role, &s.Mode, &s.State, &s.Local,
		&s.User, &s.Purpose, &s.Case, &s.Proposal, &s.OwnSize, &s.PeerSize, &s.Commitment, &s.PeerCommitment,
		&s.SealedSeed, &s.Attempts, &s.Source, timeVar{&s.Created}, timeVar{&s.Changed},
		&s.TranscriptHash, &s.Outcome, &s.Detail, &s.Count,
		timeVar{&s.ResultsExpire}, &s.ResultsExpired, timeVar{&s.RecordExpires})
}

// CreateSession stores a new session, proposed or approved. It returns
// ErrExists when the id was used before, and ErrNotFound or ErrConflict when
// the agreement is unknown or another peer's.
func (tx *Tx) CreateSession(s Session) error {
	if err := checkID("session id", s.ID); err != nil {
		return err
	}
	what := "session " + short(s.ID)
	if s.State != SessionProposed && s.State != SessionApproved {
		return fmt.Errorf("store: %s: a new session can't be %q", what, s.State)
	}
	a, err := tx.Agreement(s.Agreement)
	if err != nil {
		return err
	}
	if a.PeerRoot != s.PeerRoot {
		return fmt.Errorf("store: %s: agreement %s is with another peer: %w", what, short(a.ID), ErrConflict)
	}
	n, err := tx.exec(what, `INSERT INTO sessions (`+sessionColumns+`) VALUES
		(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING`,
		s.ID, s.Agreement, s.PeerRoot, s.Role, s.Mode, s.State, s.Local, s.User, s.Purpose, s.Case, s.Proposal,
		s.OwnSize, s.PeerSize, s.Commitment, s.PeerCommitment, s.SealedSeed, s.Source,
		millis(s.Created), millis(s.Created), s.TranscriptHash, s.Outcome, s.Detail, s.Count,
		millis(s.ResultsExpire), millis(s.RecordExpires))
	if err == nil && n == 0 {
		err = wrap(what, ErrExists)
	}
	return err
}

// Session returns the session with this id.
func (r Reader) Session(id string) (Session, error) {
	return one(r, "session "+short(id), scanSession, `SELECT `+sessionColumns+` FROM sessions WHERE id = ?`, id)
}

// FindSession returns the session whose id begins with the prefix. It returns
// ErrNotFound or, with their number, ErrAmbiguous.
func (r Reader) FindSession(prefix string) (Session, error) {
	id, err := r.findID("session", "sessions", prefix)
	if err != nil {
		return Session{}, err
	}
	return r.Session(id)
}

// SessionFilter selects sessions; an empty field selects all.
type SessionFilter struct {
	Agreement string
	PeerRoot  string
	States    []string
	Since     time.Time
	// Limit bounds how many are returned; 0 means no bound.
	Limit int
}

// Sessions returns the sessions selected, the newest first.
func (r Reader) Sessions(f SessionFilter) ([]Session, error) {
	var where []string
	var args []any
	add := func(cond string, values ...any) {
		where = append(where, cond)
		args = append(args, values...)
	}
	if f.Agreement != "" {
		add("agreement = ?", f.Agreement)
	}
	if f.PeerRoot != "" {
		add("peer_root = ?", f.PeerRoot)
	}
	if len(f.States) > 0 {
		states := make([]any, len(f.States))
		for i, s := range f.States {
			states[i] = s
		}
		add("state IN (?"+strings.Repeat(", ?", len(states)-1)+")", states...)
	}
	if !f.Since.IsZero() {
		add("created >= ?", millis(f.Since))
	}
	query := `SELECT ` + sessionColumns + ` FROM sessions`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	query += ` ORDER BY created DESC, id`
	if f.Limit > 0 {
		query += ` LIMIT ?`
		args = append(args, f.Limit)
	}
	return list(r, "sessions", scanSession, query, args...)
}

// SetSessionState moves a session from one of the states in from to another,
// or keeps its state, and lets change, if given, set fields on the way; changes
// to identity, State, Attempts and times of creation are ignored. It returns
// ErrState when the session is in none of these states or the drawing at
// SessionProposed has no such arrow. The seed is deleted with a final state.
func (tx *Tx) SetSessionState(id string, from []string, to string, at time.Time, change func(*Session)) error {
	s, err := tx.Session(id)
	if err != nil {
		return err
	}
	what := "session " + short(id)
	if !slices.Contains(from, s.State) {
		return fmt.Errorf("store: %s is %s, want %s: %w", what, s.State, strings.Join(from, " or "), ErrState)
	}
	if isFinal(s.State) || to != s.State && !slices.Contains(next[s.State], to) {
		return fmt.Errorf("store: %s can't go from %s to %s: %w", what, s.State, to, ErrState)
	}
	if change != nil {
		change(&s)
	}
	return tx.saveSession(s, id, to, at)
}

// saveSession writes the fields of s that may change.
func (tx *Tx) saveSession(s Session, id, state string, at time.Time) error {
	if isFinal(state) {
		s.SealedSeed = nil
		if _, err := tx.exec("shards of session "+short(id), `DELETE FROM shards WHERE session = ?`, id); err != nil {
			return err
		}
	}
	return tx.execOne("session "+short(id), `UPDATE sessions SET state = ?, user = ?, purpose = ?, case_number = ?,
		proposal = ?, own_size = ?, peer_size = ?, commitment = ?, peer_commitment = ?, sealed_seed = ?, source = ?,
		changed = ?, transcript_hash = ?, outcome = ?, detail = ?, count = ?, results_expire = ?, record_expires = ?
		WHERE id = ?`, state, s.User, s.Purpose, s.Case, s.Proposal, s.OwnSize, s.PeerSize, s.Commitment,
		s.PeerCommitment, s.SealedSeed, s.Source, millis(at), s.TranscriptHash, s.Outcome, s.Detail, s.Count,
		millis(s.ResultsExpire), millis(s.RecordExpires), id)
}

// PutShard keeps what a running session has of finished shard n, from 0: the
// next one, or one that is done again, which drops those after it. It lasts
// until the session reaches a final state.
func (tx *Tx) PutShard(session string, n int, data []byte) error {
	what := fmt.Sprintf("shard %d of session %s", n, short(session))
	s, err := tx.Session(session)
	if err != nil {
		return err
	}
	if s.State != SessionRunning {
		return fmt.Errorf("store: %s: the session is %s, want running: %w", what, s.State, ErrState)
	}
	if _, err := tx.exec(what, `DELETE FROM shards WHERE session = ? AND n >= ?`, session, n); err != nil {
		return err
	}
	var have int
	if err := tx.q.QueryRow(`SELECT count(*) FROM shards WHERE session = ?`, session).Scan(&have); err != nil {
		return wrap(what, err)
	}
	if have != n {
		return fmt.Errorf("store: %s: %d shards are finished: %w", what, have, ErrConflict)
	}
	_, err = tx.exec(what, `INSERT INTO shards (session, n, data) VALUES (?, ?, ?)`, session, n, data)
	return err
}

// Shards returns what the session has of its finished shards, in order.
func (r Reader) Shards(session string) ([][]byte, error) {
	return list(r, "shards of session "+short(session), func(rows *sql.Rows) (b []byte, err error) {
		return b, rows.Scan(&b)
	}, `SELECT data FROM shards WHERE session = ? ORDER BY n`, session)
}

func isFinal(state string) bool { return len(next[state]) == 0 }

// RecoverSessions aborts the sessions that a killed process left running, and
// returns them as they now are. Their attempts and charges stay. Call it once,
// after Open and before the first session.
func (tx *Tx) RecoverSessions(at time.Time) ([]Session, error) {
	running, err := tx.Sessions(SessionFilter{States: []string{SessionRunning}})
	if err != nil {
		return nil, err
	}
	for i := range running {
		s := &running[i]
		s.State, s.Changed = SessionAborted, timeOf(millis(at))
		s.Outcome, s.Detail = OutcomeInterrupted, "the node stopped while the session ran"
		if err := tx.saveSession(*s, s.ID, s.State, at); err != nil {
			return nil, err
		}
	}
	return running, nil
}

// OutcomeInterrupted is the outcome of a session that RecoverSessions aborts.
const OutcomeInterrupted = "interrupted"

// Approval is one operator's consent to a proposed session.
type Approval struct {
	Session   string
	User      string
	PublicKey []byte
	Signature []byte
	At        time.Time
}

// AddApproval stores a consent to a proposed session. It returns ErrExists when
// the user has already given it, ErrConflict when the key is not the user's, and
// ErrState when the session no longer waits for it or the user is revoked.
// Whether the signature holds and the user may approve is the caller's to know.
func (tx *Tx) AddApproval(a Approval) error {
	what := "approving session " + short(a.Session)
	s, err := tx.Session(a.Session)
	if err != nil {
		return err
	}
	if s.State != SessionProposed {
		return fmt.Errorf("store: %s: it is %s: %w", what, s.State, ErrState)
	}
	u, err := tx.User(a.User)
	if err != nil {
		return err
	}
	if u.Status != StatusActive {
		return fmt.Errorf("store: %s: user %s is %s: %w", what, quote(u.Name), u.Status, ErrState)
	}
	if !bytes.Equal(u.PublicKey, a.PublicKey) {
		return fmt.Errorf("store: %s: the key is not that of user %s: %w", what, quote(u.Name), ErrConflict)
	}
	n, err := tx.exec(what, `INSERT INTO approvals (session, user, public_key, signature, at)
		VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, a.Session, a.User, a.PublicKey, a.Signature, millis(a.At))
	if err == nil && n == 0 {
		err = wrap("approval by user "+quote(a.User), ErrExists)
	}
	return err
}

// Approvals returns the consents to a session, the oldest first.
func (r Reader) Approvals(session string) ([]Approval, error) {
	return list(r, "approvals", func(rows *sql.Rows) (a Approval, err error) {
		return a, rows.Scan(&a.Session, &a.User, &a.PublicKey, &a.Signature, timeVar{&a.At})
	}, `SELECT session, user, public_key, signature, at FROM approvals WHERE session = ? ORDER BY at, user`, session)
}
