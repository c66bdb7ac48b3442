package store

import (
	"database/sql"
	"fmt"
	"time"
)

// StandingList is a list of people whom this node looks up again whenever the
// peer's filter changes.
type StandingList struct {
	ID, Name, Agreement string
	// Data, Mapping and OnBadRow say where the list is and how it is read.
	Data, Mapping, OnBadRow string
	User, Purpose, Case     string
	Created, Ended          time.Time
	// Epoch and Serial are the version of the filter that was tested last.
	Epoch  uint32
	Serial uint64
	// Records and Evaluations count what the list held then.
	Records, Evaluations int64
	LastRun              time.Time
	LastError            string
}

// StandingHit is a hit of a standing list.
type StandingHit struct {
	List    string
	Digest  []byte // tells a hit from those reported before
	LocalID string
	// Hit is the caller's record of it, nil once its retention has ended.
	Hit    []byte
	Epoch  uint32
	Serial uint64
	Found  time.Time
	// Expires is the end of the retention of Hit; the digest stays.
	Expires time.Time
}

const standingColumns = `SELECT id, name, agreement, data, mapping, on_bad_row, user, purpose, case_number, created, ended,
	epoch, serial, records, evaluations, last_run, last_error FROM standing_lists `

func scanStanding(rows *sql.Rows) (l StandingList, err error) {
	return l, rows.Scan(&l.ID, &l.Name, &l.Agreement, &l.Data, &l.Mapping, &l.OnBadRow, &l.User, &l.Purpose, &l.Case,
		timeVar{&l.Created}, timeVar{&l.Ended}, &l.Epoch, &l.Serial, &l.Records, &l.Evaluations, timeVar{&l.LastRun}, &l.LastError)
}

// AddStandingList stores a new list; a known id is ErrExists.
func (tx *Tx) AddStandingList(l StandingList) error {
	if err := checkID("standing list", l.ID); err != nil {
		return err
	}
	what := "standing list " + short(l.ID)
	n, err := tx.exec(what, `INSERT INTO standing_lists (id, name, agreement, data, mapping, on_bad_row, user, purpose, case_number,
		created, ended, epoch, serial, records, evaluations, last_run, last_error)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, '') ON CONFLICT DO NOTHING`,
		l.ID, l.Name, l.Agreement, l.Data, l.Mapping, l.OnBadRow, l.User, l.Purpose, l.Case, millis(l.Created))
	if err == nil && n == 0 {
		err = wrap(what, ErrExists)
	}
	return err
}

// StandingLists returns the lists under an agreement, or under all for "", the
// newest first.
func (r Reader) StandingLists(agreement string) ([]StandingList, error) {
	return list(r, "standing lists", scanStanding, standingColumns+`WHERE ?1 = '' OR agreement = ?1 ORDER BY created DESC, id`, agreement)
}

// FindStandingList returns the list whose id begins with the prefix. It returns
// ErrNotFound or, with their number, ErrAmbiguous.
func (r Reader) FindStandingList(prefix string) (StandingList, error) {
	id, err := r.findID("standing list", "standing_lists", prefix)
	if err != nil {
		return StandingList{}, err
	}
	return one(r, "standing list "+short(id), scanStanding, standingColumns+`WHERE id = ?`, id)
}

// SaveStandingRun stores how far a list has been tested: LastRun, LastError,
// Records, Evaluations, Epoch and Serial, which never go back.
func (tx *Tx) SaveStandingRun(l StandingList) error {
	return tx.execOne("standing list "+short(l.ID), `UPDATE standing_lists SET last_run = ?1, last_error = ?2, records = ?3, evaluations = ?4,
		epoch = max(epoch, ?5), serial = CASE WHEN ?5 > epoch THEN ?6 WHEN ?5 = epoch THEN max(serial, ?6) ELSE serial END WHERE id = ?7`,
		millis(l.LastRun), l.LastError, l.Records, l.Evaluations, l.Epoch, int64(l.Serial), l.ID)
}

// EndStandingList ends a list; one that has ended is ErrState.
func (tx *Tx) EndStandingList(id string, at time.Time) error {
	what := "standing list " + short(id)
	n, err := tx.exec(what, `UPDATE standing_lists SET ended = ? WHERE id = ? AND ended = 0`, millis(at), id)
	if err == nil && n == 0 {
		err = fmt.Errorf("store: %s has ended or is unknown: %w", what, ErrState)
	}
	return err
}

// AddStandingHit stores a hit and reports whether it is new.
func (tx *Tx) AddStandingHit(h StandingHit) (bool, error) {
	n, err := tx.exec("hit of standing list "+short(h.List), `INSERT INTO standing_hits
		(list, digest, n, local_id, hit, epoch, serial, found, expires)
		VALUES (?1, ?2, (SELECT coalesce(max(n) + 1, 0) FROM standing_hits WHERE list = ?1), ?3, ?4, ?5, ?6, ?7, ?8)
		ON CONFLICT DO NOTHING`,
		h.List, h.Digest, h.LocalID, h.Hit, h.Epoch, int64(h.Serial), millis(h.Found), millis(h.Expires))
	return n == 1, err
}

// StandingHits returns the hits of a list in the order found.
func (r Reader) StandingHits(id string) ([]StandingHit, error) {
	return list(r, "hits of standing list "+short(id), func(rows *sql.Rows) (h StandingHit, err error) {
		return h, rows.Scan(&h.List, &h.Digest, &h.LocalID, &h.Hit, &h.Epoch, &h.Serial, timeVar{&h.Found}, timeVar{&h.Expires})
	}, `SELECT list, digest, local_id, hit, epoch, serial, found, expires FROM standing_hits WHERE list = ? ORDER BY n`, id)
}

// ChargeStanding reports whether a peer's list has yet to be charged for this
// version of our filter, and remembers that it has been.
func (tx *Tx) ChargeStanding(agreement, listID string, epoch uint32, serial uint64) (bool, error) {
	n, err := tx.exec("standing list of the peer", `INSERT INTO standing_charged (agreement, list, epoch, serial) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET epoch = excluded.epoch, serial = excluded.serial
		WHERE (excluded.epoch, excluded.serial) > (epoch, serial)`, agreement, listID, epoch, int64(serial))
	return n == 1, err
}

// expireStandingHits erases the hits whose retention has ended and returns of how
// many lists; their digests stay, so that they are not reported again.
func (tx *Tx) expireStandingHits(now time.Time) (lists int64, err error) {
	const due = `expires > 0 AND expires <= ? AND hit IS NOT NULL`
	err = tx.q.QueryRow(`SELECT count(DISTINCT list) FROM standing_hits WHERE `+due, millis(now)).Scan(&lists)
	if err != nil {
		return 0, wrap("standing hits", err)
	}
	_, err = tx.exec("expiring standing hits", `UPDATE standing_hits SET hit = NULL, local_id = '' WHERE `+due, millis(now))
	return lists, err
}
